"""The sandbox's git server is a real smart HTTP remote: what git does to it works as with a forge."""

import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.git_server import GitServer, Login

LS_REFS = b"0014command=ls-refs\n00010000"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "repositories") as server:
        yield server


def test_what_is_pushed_can_be_cloned(server: GitServer, tmp_path: Path) -> None:
    url = server.create("fleets")
    writer = Checkout(tmp_path / "writer", url)
    pushed = writer.commit("first", {"fairlead.yaml": "apiVersion: fairlead/v1\n"})
    writer.push()

    reader = Checkout(tmp_path / "reader", url)

    assert pushed == reader.head
    assert "apiVersion: fairlead/v1\n" == (reader.folder / "fairlead.yaml").read_text()


def test_a_large_push_arrives_in_chunks(server: GitServer, tmp_path: Path) -> None:
    """git sends a body larger than http.postBuffer chunked."""
    writer = Checkout(tmp_path / "writer", server.create("fleets"))
    writer.git("config", "http.postBuffer", "1024")
    for number in range(20):
        writer.commit(f"{number}", {f"{number}.bin": "".join(chr(33 + (7 * n * n) % 90) for n in range(4000))})

    pushed = writer.push()

    assert pushed == Checkout(tmp_path / "reader", server.url("fleets")).head


def test_protocol_version_2_is_spoken(server: GitServer) -> None:
    url = server.create("fleets")

    answer = requests.get(f"{url}/info/refs?service=git-upload-pack", headers={"Git-Protocol": "version=2"}, timeout=10)

    assert b"version 2" in answer.content


def test_a_gzipped_request_is_understood(server: GitServer, tmp_path: Path) -> None:
    url = server.create("fleets")
    writer = Checkout(tmp_path / "writer", url)
    writer.commit("first")
    head = writer.push()

    answer = requests.post(
        f"{url}/git-upload-pack",
        data=gzip.compress(LS_REFS),
        headers={
            "Git-Protocol": "version=2",
            "Content-Type": "application/x-git-upload-pack-request",
            "Content-Encoding": "gzip",
        },
        timeout=10,
    )

    assert f"{head} refs/heads/main" in answer.text


def test_requests_share_one_connection(server: GitServer) -> None:
    url = server.create("fleets")
    with requests.Session() as session:
        ports = set()
        for _ in range(3):
            with session.get(f"{url}/info/refs?service=git-upload-pack", timeout=10, stream=True) as answer:
                ports.add(answer.raw.connection.sock.getsockname()[1])  # type: ignore[union-attr]
                answer.content  # noqa: B018  reads it to its end

    assert 1 == len(ports)


def test_each_request_is_in_the_access_log(server: GitServer) -> None:
    url = server.create("fleets")

    subprocess.run(["git", "ls-remote", url], check=True, capture_output=True)

    assert ("GET", "/fleets.git/info/refs", "git-upload-pack", 200) in [
        (access.method, access.path, access.service, access.status) for access in server.accesses
    ]


def test_an_unknown_repository_is_not_found(server: GitServer) -> None:
    assert 404 == requests.get(f"{server.url('none')}/info/refs?service=git-upload-pack", timeout=10).status_code


@pytest.mark.parametrize(
    ("login", "given", "status"),
    [
        (Login(user="ada", password="right"), {"auth": ("ada", "right")}, 200),
        (Login(user="ada", password="right"), {"auth": ("ada", "wrong")}, 401),
        (Login(user="ada", password="right"), {}, 401),
        (Login(token="right"), {"headers": {"Authorization": "Bearer right"}}, 200),
        (Login(token="right"), {"headers": {"Authorization": "Bearer wrong"}}, 401),
    ],
)
def test_a_login_is_asked_for(tmp_path: Path, login: Login, given: dict[str, object], status: int) -> None:
    with GitServer(tmp_path, login=login) as server:
        url = server.create("fleets")
        answer = requests.get(f"{url}/info/refs?service=git-upload-pack", timeout=10, **given)  # type: ignore[arg-type]

    assert status == answer.status_code


def test_a_fault_switch_refuses_and_is_switched_off_again(server: GitServer) -> None:
    address = f"{server.create('fleets')}/info/refs?service=git-upload-pack"

    server.faults.refuse_with = 503
    refused = requests.get(address, timeout=10).status_code
    server.faults.refuse_with = None

    assert (503, 200) == (refused, requests.get(address, timeout=10).status_code)


def test_a_stopped_server_answers_no_open_connection(server: GitServer) -> None:
    address = f"{server.create('fleets')}/info/refs?service=git-upload-pack"
    with requests.Session() as session:
        session.get(address, timeout=10)
        server.stop()

        with pytest.raises(requests.ConnectionError):
            session.get(address, timeout=10)
