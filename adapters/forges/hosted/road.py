"""The road to one forge: a call is signed in, sent once, and its answer judged; who rests together has a name."""

from collections.abc import Sequence
from dataclasses import replace

from adapters.forges.hosted.answers import no_sense, redacted
from adapters.forges.hosted.asking import Answer, Call, Fate, Need, Trouble, Verdict
from adapters.forges.hosted.dialect import Dialect
from adapters.forges.hosted.sign_in import SignIn
from adapters.forges.hosted.transport import Transport
from reconciler.ports import Lease, Unreadable


class Road:
    """One account at one API."""

    def __init__(self, dialect: Dialect, transport: Transport, sign_in: SignIn) -> None:
        self.dialect, self.sign_in = dialect, sign_in
        self._transport = transport
        self.account = f"{transport.host} {sign_in.account}"
        self.elsewhere = f"{self.account} elsewhere"  # all repositories but our own
        self.reads = f"{self.account} reads"  # of lists

    def place(self, project: str, need: Need = Need.STATUSES) -> str:
        """The name that trouble with this need of a repository is kept under: that of statuses stops all of it."""
        name = f"{self._transport.host} {project.lower()}"
        return name if need is Need.STATUSES else f"{name} {need.value}"

    def names(self, project: str, needs: Sequence[Need], *also: str) -> tuple[str, ...]:
        """All that must not rest for a call with these needs; see `reconciler.ports.Budget`."""
        places = dict.fromkeys(self.place(project, each) for each in (Need.STATUSES, *needs))
        return (self.account, *also, *places)

    def ask(self, call: Call, lease: Lease | None = None) -> Verdict:
        """Ask once. Raises `LeaseLost` for a write whose lease has gone."""
        try:
            signed = dict(self.sign_in.headers(call.project, call.need))
        except Trouble as trouble:
            return trouble.verdict
        except Unreadable as missing:
            return Verdict(fate=Fate.LOCKED_OUT, message=str(missing))
        if call.writes and lease is not None:
            lease.check()
        if call.etag:
            signed["If-None-Match"] = call.etag
        try:
            answer = self._transport.send(call, signed)
        except Trouble as trouble:
            return replace(trouble.verdict, in_doubt=call.writes)
        if answer.status in call.seen:
            return Verdict(fate=Fate.DELIVERED, answer=answer)
        return self._judged(call, answer)

    def _judged(self, call: Call, answer: Answer) -> Verdict:
        if answer.status == 401:
            self.sign_in.forget()
        said = redacted(self.dialect.said(answer.body), self.sign_in.secrets())
        verdict = self.dialect.verdict(call, answer, said)
        return replace(verdict, answer=answer, in_doubt=call.writes and verdict.fate is Fate.AILING)

    def senseless(self, call: Call, answer: Answer) -> Verdict:
        """What follows from an answer that was taken and cannot be read."""
        return replace(no_sense(self.dialect.title, answer), in_doubt=call.writes)
