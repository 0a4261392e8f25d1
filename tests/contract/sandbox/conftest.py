"""The sandbox's forge in each dialect, with one repository of two commits, a person, and a clock that tests move."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest
import requests

from adapters.clock import ManualClock
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.forge import Forge
from fairlead_sandbox.forge.vendor import Name
from fairlead_sandbox.git_server import GitServer

NAME = "acme/desired"
NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
TWO_COMMITS = "".join(
    f"commit refs/heads/main\ncommitter Ada <ada@example.com> 17954496{n:02} +0000\n"
    f"data <<.\n{words}\n.\nM 100644 inline fleet.yaml\ndata <<.\nversion: {n}\n.\n\n"
    for n, words in enumerate(("first", "second"), 1)
)
AUTH = {"github": "Bearer {}", "gitlab": "Bearer {}", "gitea": "token {}"}
ROOM = {"github": f"/repos/{NAME}", "gitlab": "/projects/acme%2Fdesired", "gitea": f"/repos/{NAME}"}


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Takes what webhooks post."""

    got: Queue[Received] = field(default_factory=Queue)

    def __enter__(self) -> "Receiver":
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                receiver.got.put(Received({name.lower(): value for name, value in self.headers.items()}, body))

            def log_message(self, *args: Any) -> None:
                """Nothing on the terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks"
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def next(self) -> Received:
        return self.got.get(timeout=30)


class Api:
    """Ada at the forge's API, with a clone. Paths are those within the repository; behind a `!` they are whole."""

    def __init__(self, forge: Forge, folder: Path, clock: ManualClock) -> None:
        self.forge, self.clock, self.folder = forge, clock, folder
        self.dialect: Name = forge.vendor.name
        self.hosted = forge.create(NAME)
        self.token = forge.identities.add_person("ada")
        self.hosted.bare.git("fast-import", "--quiet", input=TWO_COMMITS)
        self.first, self.second = (commit.sha for commit in self.hosted.bare.commits("main"))

    @cached_property
    def checkout(self) -> Checkout:
        clone = Checkout(self.folder / "ada", self.forge.git.url(NAME))
        clone.git("checkout", "--quiet", "main")
        return clone

    def __call__(self, method: str, path: str, body: Any = None, *, token: str = "", **more: Any) -> requests.Response:
        headers = {"Authorization": AUTH[self.dialect].format(token or self.token), **more.pop("headers", {})}
        url = self.forge.addresses.api + (path[1:] if path.startswith("!") else ROOM[self.dialect] + path)
        return requests.request(method, url, json=body, headers=headers, timeout=10, allow_redirects=False, **more)

    def commit(self, message: str, files: dict[str, str | None]) -> str:
        self.checkout.commit(message, files)
        return self.checkout.push()

    def branch(self, name: str, files: dict[str, str | None], *more: dict[str, str | None]) -> str:
        """A pushed branch off the second commit; gives its head."""
        self.checkout.git("checkout", "--quiet", "-B", name, self.second)
        for number, each in enumerate((files, *more), 1):
            self.checkout.commit(f"{name} {number}", each)
        self.checkout.git("push", "--quiet", "--force", "origin", name)
        return self.checkout.head

    def tag(self, name: str, *, annotated: bool = False) -> None:
        words = ("-m", f"Release {name}") if annotated else ()
        self.checkout.git("tag", *(("-a",) if annotated else ()), *words, name, self.second)
        self.checkout.git("push", "--quiet", "origin", f"refs/tags/{name}")

    def fork(self, owner: str, files: dict[str, str | None]) -> tuple[str, Checkout]:
        """Another's copy with a branch `change`; gives that branch's head, and the clone."""
        fork = self.forge.fork(NAME, owner)
        clone = Checkout(self.folder / owner, self.forge.git.url(fork.full_name))
        clone.pull()
        clone.git("checkout", "--quiet", "-B", "change")
        clone.commit("from outside", files)
        clone.git("push", "--quiet", "origin", "change")
        return clone.head, clone


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def speak(tmp_path: Path, clock: ManualClock) -> Iterator[Callable[[Name], Api]]:
    """A forge of that dialect."""
    with GitServer(tmp_path / "git") as git:
        forges: list[Forge] = []

        def make(dialect: Name) -> Api:
            forges.append(Forge(git, clock, dialect))
            return Api(forges[-1], tmp_path, clock)

        yield make
        for forge in forges:
            forge.stop()


@pytest.fixture
def gitlab(speak: Callable[[Name], Api]) -> Api:
    return speak("gitlab")


@pytest.fixture
def gitea(speak: Callable[[Name], Api]) -> Api:
    return speak("gitea")


@pytest.fixture
def github(speak: Callable[[Name], Api]) -> Api:
    return speak("github")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
