"""The sandbox's forge tells of what moved: signed as GitHub signs, once and in order, unless a test says otherwise."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import pytest
import requests

from adapters.clock import ManualClock
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.forge import Forge, Person
from fairlead_sandbox.git_server import GitServer

NAME = "sandbox/main"
SECRET = "It's a Secret to Everybody"
ZEROS = "0" * 40
PATIENCE = 30.0


class Receiver:
    """Takes deliveries as `(headers, body)`; answers with `status`."""

    def __init__(self) -> None:
        self.got: Queue[tuple[dict[str, str], bytes]] = Queue()
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                receiver.got.put(({name.lower(): value for name, value in self.headers.items()}, body))

            def log_message(self, *args: Any) -> None:
                """Nothing on the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/github"
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def next(self) -> tuple[dict[str, str], dict[str, Any]]:
        headers, body = self.got.get(timeout=PATIENCE)
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert f"sha256={digest}" == headers["x-hub-signature-256"]
        return headers, json.loads(body)

    def push(self) -> dict[str, Any]:
        headers, payload = self.next()
        assert "push" == headers["x-github-event"]
        return payload


class Api:
    def __init__(self, forge: Forge, folder: Path, receiver: Receiver) -> None:
        self.forge = forge
        self.receiver = receiver
        self.hosted = forge.create(NAME)
        self.token = forge.identities.add_person("ada")
        self.person = Person(forge.addresses.api, NAME, self.token)
        self.checkout = Checkout(folder / "ada", forge.git.url(NAME))
        self.checkout.commit("first", {"fleet.yaml": "version: 1\n", "gone": "x\n"})
        self.first = self.checkout.push()
        self.person.add_webhook(receiver.url, SECRET)

    def change(self, version: int) -> str:
        self.checkout.commit(f"to {version}", {"fleet.yaml": f"version: {version}\n"})
        return self.checkout.push()

    def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.get(self.hosted.url + path, headers=headers, timeout=10).json()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    receiver, clock = Receiver(), ManualClock(datetime(2026, 11, 24, 6, 0, tzinfo=UTC))
    with GitServer(tmp_path / "git") as git, Forge(git, clock) as forge:
        api = Api(forge, tmp_path, receiver)
        assert "ping" == receiver.next()[0]["x-github-event"]
        yield api
    receiver.server.shutdown()
    receiver.server.server_close()


def test_a_git_push_is_told_with_what_it_brought(api: Api) -> None:
    api.checkout.commit("to 2", {"fleet.yaml": "version: 2\n", "new": "y\n", "gone": None})
    api.checkout.commit("to 3", {"fleet.yaml": "version: 3\n"})
    head = api.checkout.push()

    headers, event = api.receiver.next()

    assert ("push", "application/json") == (headers["x-github-event"], headers["content-type"])
    assert len(headers["x-github-delivery"]) == 36
    assert ("refs/heads/main", api.first, head) == (event["ref"], event["before"], event["after"])
    assert (False, False, False) == (event["created"], event["deleted"], event["forced"])
    assert ["to 2", "to 3"] == [commit["message"] for commit in event["commits"]]
    assert (["new"], ["gone"], ["fleet.yaml"]) == tuple(
        event["commits"][0][kind] for kind in ("added", "removed", "modified")
    )
    assert head == event["head_commit"]["id"]
    repository = event["repository"]
    assert (NAME, "main", api.forge.git.url(NAME)) == (
        repository["full_name"],
        repository["default_branch"],
        repository["clone_url"],
    )
    assert {"ssh_url", "html_url"} <= repository.keys()
    assert ("sandbox", "sandbox") == (event["pusher"]["name"], event["sender"]["login"])


def test_a_merge_is_told_as_a_push_by_who_merged(api: Api) -> None:
    api.checkout.git("checkout", "--quiet", "-b", "bump")
    head = api.checkout.commit("to 2", {"fleet.yaml": "version: 2\n"})
    api.checkout.git("push", "--quiet", "origin", "bump")
    branch = api.receiver.push()
    merged = api.person.merge("bump", "To 2")

    event = api.receiver.push()

    assert ("refs/heads/bump", ZEROS, True) == (branch["ref"], branch["before"], branch["created"])
    assert ("refs/heads/main", api.first, merged.commit) == (event["ref"], event["before"], event["after"])
    assert [head, merged.commit] == [commit["id"] for commit in event["commits"]]
    assert "ada" == event["sender"]["login"]


def test_a_forced_push_and_a_deletion_say_so(api: Api) -> None:
    api.change(2)
    api.receiver.push()
    api.checkout.git("reset", "--quiet", "--hard", api.first)
    api.checkout.commit("another", {"fleet.yaml": "version: 9\n"})
    api.checkout.push("--force")
    forced = api.receiver.push()
    api.checkout.git("push", "--quiet", "origin", "HEAD:refs/heads/old")
    api.receiver.push()
    api.checkout.git("push", "--quiet", "origin", ":refs/heads/old")
    deleted = api.receiver.push()

    assert (True, ["another"]) == (forced["forced"], [commit["message"] for commit in forced["commits"]])
    assert (True, ZEROS, None, []) == (
        deleted["deleted"],
        deleted["after"],
        deleted["head_commit"],
        deleted["commits"],
    )


def test_notes_and_refused_pushes_are_no_events(api: Api) -> None:
    api.checkout.git("notes", "add", "-m", "a note")
    api.checkout.git("push", "--quiet", "origin", "refs/notes/commits")
    api.checkout.git("commit", "--quiet", "--amend", "--message", "rewritten")
    with pytest.raises(RuntimeError, match="rejected"):
        api.checkout.push()
    api.checkout.git("reset", "--quiet", "--hard", api.first)
    head = api.change(2)

    assert head == api.receiver.push()["after"]


def test_events_may_be_lost_doubled_and_held(api: Api) -> None:
    trouble = api.hosted.webhooks.trouble
    trouble.lose = True
    api.change(2)
    trouble.lose, trouble.double = False, True
    third = api.change(3)
    trouble.double, trouble.hold = False, True
    fourth = api.change(4)

    (one, first), (other, second) = api.receiver.next(), api.receiver.next()
    assert (third, first) == (first["after"], second)
    assert one["x-github-delivery"] == other["x-github-delivery"]
    with pytest.raises(Empty):
        api.receiver.got.get_nowait()
    api.hosted.webhooks.release()
    assert fourth == api.receiver.push()["after"]


def test_a_receiver_that_fails_is_noted_and_not_asked_again(api: Api) -> None:
    api.receiver.status = 500
    api.change(2)
    api.receiver.push()
    api.receiver.status = 200
    head = api.change(3)

    assert head == api.receiver.push()["after"]
    api.forge.stop()
    found = api.get("/hooks/1/deliveries")
    assert [("push", 200), ("push", 500), ("ping", 200)] == [(each["event"], each["status_code"]) for each in found]


def test_webhooks_are_listed_without_their_secret(api: Api) -> None:
    [hook] = api.get("/hooks")

    assert {"url": api.receiver.url, "content_type": "json", "insecure_ssl": "0", "secret": "********"} == hook[
        "config"
    ]
    assert (["push"], True) == (hook["events"], hook["active"])
    with pytest.raises(RuntimeError, match="Hook already exists on this repository"):
        api.person.add_webhook(api.receiver.url, SECRET)
    with pytest.raises(RuntimeError, match="Config must contain URL for webhooks"):
        api.person.add_webhook("", SECRET)
