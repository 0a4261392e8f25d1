"""Statuses on commits at GitHub: within its limits, newest word only, and nothing lost while it is away."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from adapters.forges.github.answers import Fate, Trouble, Verdict, verdict_on_status
from adapters.forges.github.auth import Auth
from adapters.forges.github.limits import (
    LAST_WORDS,
    MOST_WORDS,
    Allowance,
    asked_to_wait,
    backoff,
    closed,
    fitting,
    limited,
)
from adapters.forges.github.transport import Transport, checked_repository
from reconciler.ports import Delivery, Lease, LeaseLost, Turn, Undelivered, Unreadable
from reconciler.record import CommitStatus, State

FIRST_LOOK, LOOKS = timedelta(seconds=15), 5  # GitHub's API may know of a push minutes later than Git does
FAILURES = 3  # in a row, of one batch: then GitHub is away, and the rest is not tried


class Log(Protocol):
    """What of structlog's loggers is used here."""

    def warning(self, event: str, **values: Any) -> Any: ...


@dataclass(slots=True)
class _Batch:
    """How far a batch has come."""

    now: datetime
    left: deque[Undelivered]
    results: list[Delivery] = field(default_factory=list)
    failures: int = 0  # in a row
    why: str = ""  # the rest waits
    over: bool = False


class GitHub:
    """`reconciler.ports.Forge` over GitHub's REST API. Safe to share between threads.

    `repository` is `owner/name`. Contexts of a commit must differ by more than case, or GitHub takes them for one
    (names in desired state are lower case). `jitter` gives numbers from 0 to 1. Raises `BadAddress`.
    """

    def __init__(
        self,
        repository: str,
        *,
        transport: Transport,
        auth: Auth,
        allowance: Allowance,
        log: Log,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._repository = checked_repository(repository)
        self._transport, self._auth, self._allowance = transport, auth, allowance
        self._log, self._jitter = log, jitter
        self._account = f"{transport.host} {auth.account}"
        self._names = (self._account, f"{transport.host} {self._repository.lower()}")

    def deliver(self, lease: Lease, statuses: Sequence[Undelivered], now: datetime) -> Sequence[Delivery]:
        """Post them in their order, the most urgent first, each in its turn; what has none waits for a time of its own.

        A commit that is not there refuses its own status only. GitHub away, a limit, or a door that is shut let the
        whole account (or repository) rest, and the statuses behind wait without an attempt. Raises `LeaseLost` where
        none was posted.
        """
        batch = _Batch(now=now, left=deque(statuses))
        while batch.left and not batch.over:
            if _too_many(batch.left[0]):
                self._refuse(batch, batch.left.popleft(), _STOPPED)
                continue
            turn = self._allowance.take(self._names, batch.left[0].status)
            if turn.wait_until is not None:
                batch.why = turn.why
                break
            try:
                self._settle(batch, batch.left.popleft(), turn, lease)
            except LeaseLost:
                if not batch.results:
                    raise
                return batch.results  # a late answer must reach the ledger
        return [*batch.results, *self._waiting(batch)]

    def _settle(self, batch: _Batch, item: Undelivered, turn: Turn, lease: Lease) -> None:
        verdict = self._post(lease, item.status)
        if verdict.fate is Fate.DELIVERED:
            batch.results.append(Delivery(id=item.id, sequence=item.sequence, delivered=True))
        elif verdict.fate is Fate.ABSENT and item.attempts < LOOKS:
            batch.results.append(_not_yet(batch, item, verdict.message))
        elif verdict.fate in {Fate.REFUSED, Fate.ABSENT}:
            self._refuse(batch, item, verdict.message)
        else:
            self._later(batch, item, turn, verdict)
            return
        if turn.strikes:
            self._allowance.budget.recover(self._names)
        batch.failures = 0

    def _post(self, lease: Lease, status: CommitStatus) -> Verdict:
        try:
            authorization = self._auth.header()
        except Trouble as trouble:
            return trouble.verdict
        except Unreadable as missing:
            return Verdict(fate=Fate.LOCKED_OUT, message=str(missing))
        lease.check()
        verdict = self._sent(status, authorization)
        return replace(verdict, in_doubt=verdict.fate is Fate.AILING)

    def _sent(self, status: CommitStatus, authorization: str) -> Verdict:
        path = f"/repos/{self._repository}/statuses/{status.commit}"
        try:
            answer = self._transport.post(path, body_of(status), authorization)
        except Trouble as trouble:
            return trouble.verdict
        if answer.status == 401:
            self._auth.forget()
        return verdict_on_status(
            answer, repository=self._repository, commit=status.commit, secrets=self._auth.secrets()
        )

    def _refuse(self, batch: _Batch, item: Undelivered, why: str) -> None:
        batch.results.append(Delivery(id=item.id, sequence=item.sequence, delivered=False, message=why))
        self._log.warning("status refused", commit=item.status.commit, context=item.status.context, why=why)

    def _later(self, batch: _Batch, item: Undelivered, turn: Turn, verdict: Verdict) -> None:
        """Tried again later; after some troubles, or one that concerns all, nobody tries before then."""
        batch.failures += 1
        asked = _asked(verdict, batch.now)
        one_more = verdict.fate is Fate.AILING and batch.failures < FAILURES and not turn.strikes and asked is None
        if one_more:
            retry_at = batch.now + backoff(item.attempts, self._jitter())
        else:
            name = self._names[1] if verdict.fate is Fate.SHUT else self._account
            until = self._allowance.budget.rest(name, self._span(verdict, turn.strikes, batch.now), verdict.message)
            batch.over, batch.why = True, verdict.message
            self._log.warning("statuses wait", forge=self._names[1], why=verdict.message, until=until.isoformat())
            # Where only this one does not go through, it must not be the first to be tried again.
            alone = backoff(item.attempts, self._jitter()) if verdict.fate is Fate.AILING else timedelta()
            retry_at = until + alone
        batch.results.append(
            Delivery(
                id=item.id,
                sequence=item.sequence,
                delivered=False,
                retry_at=retry_at,
                message=verdict.message,
                in_doubt=verdict.in_doubt,
            )
        )

    def _span(self, verdict: Verdict, strikes: int, now: datetime) -> timedelta:
        if verdict.fate is Fate.LIMITED and verdict.answer is not None:
            return limited(verdict.answer.headers, strikes, now)
        if verdict.fate is Fate.AILING:
            return max(backoff(strikes, self._jitter()), _asked(verdict, now) or timedelta())
        return closed(self._jitter())

    def _waiting(self, batch: _Batch) -> Sequence[Delivery]:
        """Who was not tried comes back when there is room: after a rest at the budget's pace, never all at once."""
        slots = self._allowance.slots(self._names, [item.status for item in batch.left]) if batch.left else ()
        return [
            Delivery(id=item.id, sequence=item.sequence, delivered=False, retry_at=slot, message=batch.why, tried=False)
            for item, slot in zip(batch.left, slots, strict=True)
        ]


def _not_yet(batch: _Batch, item: Undelivered, why: str) -> Delivery:
    retry_at = batch.now + FIRST_LOOK * 2**item.attempts
    return Delivery(id=item.id, sequence=item.sequence, delivered=False, retry_at=retry_at, message=why)


_STOPPED = (
    f"GitHub takes {MOST_WORDS:,} statuses for a commit and context, and {LAST_WORDS} words were said here: "
    "only final states are still told"
)


def _asked(verdict: Verdict, now: datetime) -> timedelta | None:
    """How long a GitHub that is away asks us to wait."""
    if verdict.fate is not Fate.AILING or verdict.answer is None:
        return None
    return asked_to_wait(verdict.answer.headers, now)


def _too_many(item: Undelivered) -> bool:
    """Words stand in for writes; repetitions are few, and there is room for them after the last word."""
    return item.sequence > LAST_WORDS and item.status.state is State.PENDING


def body_of(status: CommitStatus) -> dict[str, str]:
    """What is posted. A link that GitHub would refuse the whole status for is left out."""
    body = {"state": status.state.value, "context": status.context, "description": fitting(status.description)}
    if status.target_url.startswith(("https://", "http://")):
        body["target_url"] = status.target_url
    return body
