"""A forge on the git server's own port: its REST API under `/api/v3`, and what is around every push."""

import json
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from threading import Event
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

from fairlead_sandbox.forge.access_log import WRITES, AccessLog, Entry
from fairlead_sandbox.forge.dialect import VERSION, Answer, Refused, Request
from fairlead_sandbox.forge.faults import LOGIN_PAGE, Faults
from fairlead_sandbox.forge.hosted import Addresses, Hosted
from fairlead_sandbox.forge.identities import ALL, Identities, Identity
from fairlead_sandbox.forge.limits import Meter
from fairlead_sandbox.forge.push_event import moving
from fairlead_sandbox.forge.routes import Routes
from fairlead_sandbox.git_server import Call, Cut, GitServer, Reply
from reconciler.ports import Clock

PREFIX = "/api/v3"


class Forge:
    """Use it as a context manager. It ends before the git server whose port it shares.

    `identities` are its accounts, `faults` and `meter.limits` its switches, `log` every write to its API.
    """

    def __init__(self, git: GitServer, clock: Clock) -> None:
        self.git = git
        self.addresses = Addresses(web=f"http://127.0.0.1:{git.port}")
        self.identities = Identities(clock)
        self.meter = Meter(clock)
        self.faults = Faults()
        self.log = AccessLog()
        self._clock = clock
        self._hosted: dict[str, Hosted] = {}
        self._routes = Routes(self.addresses, self._hosted, self.identities, self.meter)
        self._stopped = Event()
        git.share(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Let go of whoever is kept waiting, and send the events that wait. May be called twice."""
        self._stopped.set()
        for hosted in self._hosted.values():
            hosted.webhooks.stop()

    def create(self, full_name: str) -> Hosted:
        """A new empty repository `owner/name`, which people may clone from and push to."""
        self.git.create(full_name)
        hosted = Hosted(full_name, len(self._hosted) + 1, self.git.path(full_name), self.addresses, self._clock)
        self._hosted[full_name] = hosted
        return hosted

    def repository(self, full_name: str) -> Hosted:
        """One of its repositories. Raises `LookupError`."""
        return self._hosted[full_name]

    # -- what the git server asks of its guest ---------------------------------------------------------------------

    def answer(self, call: Call) -> Reply | None:
        """What is under the API's prefix; the rest is git's. Raises `Cut`."""
        if call.path == "/login":
            return _reply(Answer(body=LOGIN_PAGE))
        if call.path != PREFIX and not call.path.startswith(f"{PREFIX}/"):
            return None
        entry = Entry(at=self._clock.now(), method=call.method, path=unquote(call.path.removeprefix(PREFIX)))
        self.log.arrived(entry)
        answer = self.faults.before(self._stopped) or self._answer(call, entry)
        entry.status = answer.status
        if entry.method in WRITES and self.faults.loses_answer():
            entry.cut = True
            raise Cut
        return _reply(answer)

    def receiving(self, name: str) -> AbstractContextManager[None]:
        """Around a push. Git alone says nothing of who pushes: it is taken for the repository's owner."""
        hosted = self._hosted.get(name)
        return nullcontext() if hosted is None else moving(hosted, Identity(login=hosted.owner, permissions=ALL))

    def _answer(self, call: Call, entry: Entry) -> Answer:
        def known(login: str) -> None:
            entry.login = login

        try:
            entry.body = _body(call.body)
            request = Request(
                method=call.method,
                path=entry.path,
                query=dict(parse_qsl(call.query, keep_blank_values=True)),
                authorization=call.headers.get("authorization", ""),
                body=entry.body,
            )
            return self._routes.answer(request, known)
        except Refused as refused:
            return refused.answer()


def _body(body: bytes) -> Mapping[str, Any]:
    """A JSON object; empty where nothing was sent. Raises `Refused`."""
    try:
        parsed = json.loads(body) if body.strip() else {}
    except ValueError:
        raise Refused(400, "Problems parsing JSON") from None
    if not isinstance(parsed, dict):
        raise Refused(400, "Body should be a JSON object")
    return parsed


def _reply(answer: Answer) -> Reply:
    headers = {
        **answer.typed(),
        "X-GitHub-Request-Id": uuid.uuid4().hex[:20].upper(),
        "X-GitHub-Enterprise-Version": VERSION,
        "X-GitHub-Media-Type": "github.v3; format=json",
    }
    return Reply(status=answer.status, headers=headers, body=answer.encoded())
