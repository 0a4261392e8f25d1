"""A forge on the git server's own port: its REST API under the vendor's prefix, and what is around every push."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Event
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote

from fairlead_sandbox.forge.access_log import WRITES, AccessLog, Entry
from fairlead_sandbox.forge.dialect import Dialect, Ground
from fairlead_sandbox.forge.faults import LOGIN_PAGE, Faults
from fairlead_sandbox.forge.gitea import Gitea
from fairlead_sandbox.forge.github import GitHub
from fairlead_sandbox.forge.gitlab import GitLab
from fairlead_sandbox.forge.hosted import Addresses, Hosted
from fairlead_sandbox.forge.identities import ALL, Identities, Identity
from fairlead_sandbox.forge.limits import Meter
from fairlead_sandbox.forge.moving import moving
from fairlead_sandbox.forge.vendor import VENDORS, Name
from fairlead_sandbox.forge.wire import Answer, Misfit, NoSuchCall, Refused, Request, Wrong
from fairlead_sandbox.git_server import Call, Cut, GitServer, Reply
from reconciler.ports import Clock

DIALECTS: Mapping[Name, Callable[[Ground], Dialect]] = {"github": GitHub, "gitlab": GitLab, "gitea": Gitea}


@dataclass(frozen=True, slots=True)
class _Witness:
    """Writes into the log."""

    log: AccessLog
    entry: Entry

    def known(self, login: str) -> None:
        self.entry.login = login

    def undeclared(self, names: Sequence[str]) -> None:
        self.log.note_undeclared(self.entry, names)


class Forge:
    """Use it as a context manager. It ends before the git server whose port it shares.

    `identities` are its accounts, `faults` and `meter.limits` its switches, `log` every write to its API.
    """

    def __init__(self, git: GitServer, clock: Clock, dialect: Name = "github") -> None:
        self.git = git
        self.vendor = VENDORS[dialect]
        self.addresses = Addresses(web=f"http://127.0.0.1:{git.port}", prefix=self.vendor.prefix)
        self.identities = Identities(clock, self.vendor.token_prefix)
        self.meter = Meter(clock)
        self.faults = Faults()
        self.log = AccessLog()
        self._clock = clock
        self._hosted: dict[str, Hosted] = {}
        self._stopped = Event()
        self.dialect: Dialect = DIALECTS[dialect](
            Ground(
                addresses=self.addresses,
                hosted=self._hosted,
                identities=self.identities,
                meter=self.meter,
                faults=self.faults,
            )
        )
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
        hosted = Hosted(full_name, self.git.path(full_name), self.addresses, self.vendor, self._hosted)
        hosted.bare.hide(self.vendor.pull_ref.partition("/{}")[0])
        hosted.furnish(self._clock, self.dialect)
        self._hosted[full_name] = hosted
        return hosted

    def fork(self, full_name: str, owner: str) -> Hosted:
        """A copy of a repository, with all its branches and tags, that is another's."""
        parent = self._hosted[full_name]
        fork = self.create(f"{owner}/{parent.name}")
        refspecs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        fork.bare.git("fetch", "--quiet", str(parent.bare.path.resolve()), *refspecs)
        fork.parent = full_name
        return fork

    def remove(self, full_name: str) -> None:
        """A repository that is gone from the API; the pull requests that came from it stay. Raises `LookupError`."""
        self._hosted.pop(full_name).webhooks.stop()

    def repository(self, full_name: str) -> Hosted:
        """One of its repositories. Raises `LookupError`."""
        return self._hosted[full_name]

    # -- what the git server asks of its guest ---------------------------------------------------------------------

    def answer(self, call: Call) -> Reply | None:
        """What is under the API's prefix; the rest is git's. Raises `Cut`."""
        if call.path == "/login":
            return self._reply(Answer(body=LOGIN_PAGE))
        prefix = self.vendor.prefix
        if call.path != prefix and not call.path.startswith(f"{prefix}/"):
            return None
        entry = Entry(at=self._clock.now(), method=call.method, path=unquote(call.path.removeprefix(prefix)))
        self.log.arrived(entry)
        answer = self.faults.before(self._stopped) or self._struck(entry) or self._answer(call, entry)
        entry.status = answer.status
        if entry.method in WRITES and self.faults.loses_answer():
            entry.cut = True
            raise Cut
        return self._reply(answer)

    def receiving(self, name: str) -> AbstractContextManager[None]:
        """Around a push. Git alone says nothing of who pushes: it is taken for the repository's owner."""
        hosted = self._hosted.get(name)
        return nullcontext() if hosted is None else moving(hosted, Identity(login=hosted.owner, permissions=ALL))

    def _struck(self, entry: Entry) -> Answer | None:
        burst = self.faults.struck(entry.method, entry.path)
        return None if burst is None else self.dialect.struck(burst)

    def _answer(self, call: Call, entry: Entry) -> Answer:
        try:
            entry.body = self.dialect.parsed(call.body, call.headers.get("content-type", ""))
            return self.dialect.answer(self._request(call, entry.body), _Witness(self.log, entry))
        except Wrong as wrong:
            return self.dialect.refusal(wrong).answer
        except NoSuchCall as refused:
            self.log.note_unknown(entry)
            return refused.answer
        except Misfit as refused:
            self.log.note_misfit(entry, str(refused))
            return refused.answer
        except Refused as refused:
            return refused.answer

    def _request(self, call: Call, body: Mapping[str, object]) -> Request:
        raw = call.path.removeprefix(self.vendor.prefix)
        query = dict(parse_qsl(call.query, keep_blank_values=True))
        return Request(method=call.method, path=unquote(raw), raw=raw, query=query, headers=call.headers, body=body)

    def _reply(self, answer: Answer) -> Reply:
        headers = {**answer.typed(), **self.dialect.headers_of_answers()}
        return Reply(status=answer.status, headers=headers, body=answer.encoded())
