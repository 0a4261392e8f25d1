"""Downloads from a real S3 API: verified while they are read, and never half there under a final name."""

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.response import StreamingBody

from adapters.agent_protocol.orders import Artifact
from adapters.agent_protocol.reports import Blame
from fairlead_agent import artifacts, durable
from fairlead_agent.artifacts import Artifacts
from fairlead_agent.commands import run
from fairlead_agent.trouble import Interrupted, Trouble
from fairlead_sandbox.aws import Aws

REGION = "us-east-1"
CHUNK = 1 << 20
CONTENT = os.urandom(3 * CHUNK + 17)


def jar(content: bytes = CONTENT, key: str = "mm/1.0/mm.jar") -> Artifact:
    pin = hashlib.sha256(content).hexdigest()
    return Artifact(name="mm", version="1.0", format="file", source=f"s3://builds/{key}", to="mm.jar", sha256=pin)


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with Aws() as aws:
        client = aws.client("s3", REGION)
        client.create_bucket(Bucket="builds")
        client.put_object(Bucket="builds", Key="mm/1.0/mm.jar", Body=CONTENT)
        yield client


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "PAUSE", 0.0)


def downloads(folder: Path, s3: Any) -> Artifacts:
    return Artifacts(folder / "downloads", lambda: s3, run)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "downloads").glob("*"))


def test_it_is_downloaded_verified_and_named_by_its_hash(tmp_path: Path, s3: Any) -> None:
    path = downloads(tmp_path, s3).fetch(jar(), Event())

    assert (CONTENT, [jar().sha256]) == (path.read_bytes(), leftovers(tmp_path))


def test_what_is_there_is_verified_and_not_downloaded_again(tmp_path: Path, s3: Any) -> None:
    path = downloads(tmp_path, s3).fetch(jar(), Event())
    assert path == downloads(tmp_path, None).fetch(jar(), Event())  # without a client

    path.write_bytes(b"damaged")
    assert CONTENT == downloads(tmp_path, s3).fetch(jar(), Event()).read_bytes()


def test_another_checksum_is_refused_and_nothing_is_left(tmp_path: Path, s3: Any) -> None:
    wrong = replace(jar(), sha256="0" * 64)

    with pytest.raises(
        Trouble, match=rf"s3://builds/mm/1\.0/mm\.jar has sha256 {jar().sha256}, .* pins 0000"
    ) as caught:
        downloads(tmp_path, s3).fetch(wrong, Event())

    assert (Blame.REFUSED, []) == (caught.value.blame, leftovers(tmp_path))


@pytest.mark.parametrize(
    "source", ["s3://builds/mm/9/mm.jar", "s3://no-such-bucket/mm.jar", "s3://B/x", "s3://builds/"]
)
def test_what_is_not_there_is_refused_by_its_name(tmp_path: Path, s3: Any, source: str) -> None:
    with pytest.raises(Trouble, match=f"cannot download {source}: ") as caught:
        downloads(tmp_path, s3).fetch(replace(jar(), source=source), Event())

    assert (Blame.REFUSED, []) == (caught.value.blame, leftovers(tmp_path))


@dataclass
class Failing:
    """An S3 that fails in ways that moto cannot: by an error code, or in the middle of a stream."""

    code: str = ""
    breaks: int = 0  # how many streams break off
    asked: int = 0

    def get_object(self, **asked: str) -> Any:
        self.asked += 1
        if self.code:
            raise ClientError({"Error": {"Code": self.code}}, "GetObject")
        broken = self.asked <= self.breaks
        return {"ContentLength": len(CONTENT), "Body": StreamingBody(Stream(broken=broken), len(CONTENT))}


class Stream:
    def __init__(self, *, broken: bool) -> None:
        self.left, self.broken = CONTENT, broken

    def read(self, amount: int) -> bytes:
        if self.broken and len(self.left) < len(CONTENT):
            raise ReadTimeoutError(endpoint_url="https://s3.example.com")
        found, self.left = self.left[:amount], self.left[amount:]
        return found

    def close(self) -> None:
        return


@pytest.mark.parametrize(
    ("code", "blame", "asked"),
    [("AccessDenied", Blame.REFUSED, 1), ("SlowDown", Blame.TRANSIENT, 3), ("ExpiredToken", Blame.TRANSIENT, 3)],
)
def test_denied_is_refused_and_throttled_is_the_roads(tmp_path: Path, code: str, blame: Blame, asked: int) -> None:
    s3 = Failing(code=code)

    with pytest.raises(Trouble, match=f"S3 answered {code}") as caught:
        downloads(tmp_path, s3).fetch(jar(), Event())

    assert (blame, asked, []) == (caught.value.blame, s3.asked, leftovers(tmp_path))


def test_a_stream_that_breaks_off_is_begun_again_a_few_times(tmp_path: Path) -> None:
    assert CONTENT == downloads(tmp_path, Failing(breaks=2)).fetch(jar(), Event()).read_bytes()

    with pytest.raises(Trouble, match="ReadTimeoutError") as caught:
        downloads(tmp_path / "other", Failing(breaks=3)).fetch(jar(), Event())
    assert (Blame.TRANSIENT, []) == (caught.value.blame, leftovers(tmp_path / "other"))


def test_it_stops_between_two_chunks_and_between_two_tries(tmp_path: Path, s3: Any) -> None:
    stop = Event()
    stop.set()
    for client in (s3, Failing(breaks=1), Failing(code="SlowDown")):
        with pytest.raises(Interrupted):
            downloads(tmp_path, client).fetch(jar(), stop)
        assert [] == leftovers(tmp_path)


def test_a_disk_without_room_is_trouble_of_the_road(tmp_path: Path, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "RESERVE", 1 << 62)

    with pytest.raises(Trouble, match="is full") as caught:
        downloads(tmp_path, s3).fetch(jar(), Event())

    assert (Blame.TRANSIENT, []) == (caught.value.blame, leftovers(tmp_path))


def test_a_write_that_fails_is_trouble_of_the_road(tmp_path: Path, s3: Any) -> None:
    """In a child process whose files may not grow beyond one chunk: the kernel's own refusal."""
    child = os.fork()
    if child == 0:
        try:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK, CHUNK))
            downloads(tmp_path, Failing()).fetch(jar(), Event())
        except Trouble as trouble:
            os._exit(7 if trouble.blame is Blame.TRANSIENT and "File too large" in trouble.message else 1)
        finally:
            os._exit(1)
    assert (7, []) == (os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), leftovers(tmp_path))


def test_memory_stays_where_it_is(tmp_path: Path, s3: Any) -> None:
    import tracemalloc

    large = bytes(64 << 20)
    s3.put_object(Bucket="builds", Key="large", Body=large)
    wanted = jar(large, "large")
    del large
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        Artifacts(tmp_path / "downloads", lambda: LargeFile(64), run).fetch(wanted, Event())
        assert tracemalloc.get_traced_memory()[1] - before < 8 << 20
    finally:
        tracemalloc.stop()


@dataclass
class LargeFile:
    """An S3 in front of /dev/zero: moto in this process would keep the whole object in its memory."""

    mebibytes: int

    def get_object(self, **asked: str) -> Any:
        size = self.mebibytes << 20
        return {"ContentLength": size, "Body": StreamingBody(Zeros(size), size)}


class Zeros:
    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, amount: int) -> bytes:
        amount = min(amount, self.left)
        self.left -= amount
        return bytes(amount)

    def close(self) -> None:
        return


def test_only_a_deb_may_come_without_a_source(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="give it a `from`") as caught:
        downloads(tmp_path, None).fetch(replace(jar(), source=None), Event())

    assert Blame.REFUSED == caught.value.blame


APT = """
Dir "{root}";
Dir::State::status "{root}/status";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Log "{root}";
"""


class Repository:
    """An apt repository in a folder, and a host's apt that knows no other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("packages", "etc/apt", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
            (root / folder).mkdir(parents=True)
        (root / "status").touch()
        (root / "apt.conf").write_text(APT.format(root=root))
        (root / "sources.list").write_text(f"deb [trusted=yes] file:{root}/packages ./\n")
        (root / "packages/Packages").touch()

    def publish(self, version: str) -> Artifact:
        tree = self.root / f"mm-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: mm\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.com>\nDescription: x\n"
        (tree / "DEBIAN/control").write_text(control)
        built = self.root / "packages" / f"mm_{version}_all.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, built], check=True, capture_output=True)
        pin = hashlib.sha256(built.read_bytes()).hexdigest()
        with (self.root / "packages/Packages").open("a") as packages:
            packages.write(f"{control}Filename: ./{built.name}\nSize: {built.stat().st_size}\nSHA256: {pin}\n\n")
        return Artifact(name="mm", version=version, format="deb", source=None, to=None, sha256=pin)

    def run(self, argv: Any, **more: Any) -> Any:
        more["environment"] = {**more.get("environment", {}), "APT_CONFIG": str(self.root / "apt.conf")}
        return run(argv, **more)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    for program in ("apt-get", "dpkg-deb"):
        if subprocess.run(["which", program], check=False, capture_output=True).returncode:
            pytest.skip(f"there is no {program} here")
    return Repository(tmp_path / "apt")


def test_a_deb_comes_from_the_hosts_own_repositories_also_when_it_is_fresh(
    tmp_path: Path, repository: Repository
) -> None:
    here = Artifacts(tmp_path / "downloads", lambda: None, repository.run)
    for version in ("1.0", "1.1"):  # the second one is not in the lists that were read for the first
        package = repository.publish(version)
        path = here.fetch(package, Event())
        assert package.sha256 == durable.digest_of(path)
    assert 2 == len(leftovers(tmp_path))


def test_a_version_that_no_repository_has_is_refused(tmp_path: Path, repository: Repository) -> None:
    package = replace(repository.publish("1.0"), version="9.9")
    here = Artifacts(tmp_path / "downloads", lambda: None, repository.run)

    with pytest.raises(Trouble, match=r"mm=9\.9: this host's repositories do not have it") as caught:
        here.fetch(package, Event())

    assert (Blame.REFUSED, []) == (caught.value.blame, leftovers(tmp_path))


def test_a_deb_with_another_checksum_is_refused(tmp_path: Path, repository: Repository) -> None:
    package = replace(repository.publish("1.0"), sha256="0" * 64)
    here = Artifacts(tmp_path / "downloads", lambda: None, repository.run)

    with pytest.raises(Trouble, match=r"mm=1\.0 of this host's apt repositories has sha256") as caught:
        here.fetch(package, Event())

    assert (Blame.REFUSED, []) == (caught.value.blame, leftovers(tmp_path))
