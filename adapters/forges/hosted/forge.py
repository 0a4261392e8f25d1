"""Words at a forge: within its limits, newest word only, and nothing lost while it is away."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from adapters.forges.hosted.asking import Answer, Call, Fate, Need, NoSense, Trouble, Verdict
from adapters.forges.hosted.limits import Allowance, asked_to_wait, backoff, closed, limited, rank
from adapters.forges.hosted.reviewing import Reviewing
from adapters.forges.hosted.road import Road
from adapters.forges.hosted.saying import NOTHING_FURTHER, Allowed, Saying, needs_of
from reconciler.ports import Delivery, Lease, LeaseLost, Undelivered, Unreadable
from reconciler.record import CommitStatus, Medium, State
from reconciler.reviews import Proposal, Pull

FIRST_LOOK, LOOKS = timedelta(seconds=15), 5  # a forge's API may know of a push minutes later than Git does
FAILURES = 3  # in a row, of one batch: then the forge is away, and the rest is not tried


class Log(Protocol):
    """What of structlog's loggers is used here."""

    def warning(self, event: str, **values: Any) -> Any: ...


@dataclass(slots=True)
class _Batch:
    """How far a batch has come."""

    now: datetime
    results: list[Delivery] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)  # in a row, by who would rest
    resting: dict[str, str] = field(default_factory=dict)  # since this batch, and why
    full: dict[tuple[str, ...], str] = field(default_factory=dict)  # names and rank that had no turn, and why
    waiting: list[tuple[Undelivered, tuple[str, ...], str]] = field(default_factory=list)

    def why_not(self, names: tuple[str, ...], word: CommitStatus) -> str:
        """Why a word with these names need not be tried; empty where it may."""
        return self.full.get((*names, rank(word))) or next(
            (self.resting[name] for name in names if name in self.resting), ""
        )


@dataclass(slots=True)
class _Told:
    """How far one word has come."""

    verdict: Verdict = field(default_factory=lambda: Verdict(fate=Fate.DELIVERED))
    need: Need = Need.STATUSES  # of the last call
    strikes: int = 0
    why: str = ""  # it had no turn


class HostedForge:
    """`reconciler.ports.Forge` and `reconciler.reviews.Reviewed` over the REST API that `road` leads to.

    Safe to share between threads. `repository` is its name at the forge. Contexts of a commit must differ by more than
    case, or some forges take them for one (names in desired state are lower case). `jitter` gives numbers from 0 to 1.
    Raises `BadAddress`.
    """

    def __init__(
        self,
        road: Road,
        repository: str,
        *,
        allowance: Allowance,
        log: Log,
        allowed: Allowed = NOTHING_FURTHER,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.dialect = road.dialect
        project = road.dialect.checked(repository)
        self._road = road
        self._saying = Saying(road.dialect, project, road.sign_in, allowed)
        self._reviewing = Reviewing(road, project, allowance)
        self._allowance, self._log, self._jitter = allowance, log, jitter

    # ── pull requests ──

    @property
    def pull_ref(self) -> str:
        """See `Reviews`."""
        return self.dialect.pull_ref

    def pulls(self, base: str) -> Sequence[Pull]:
        """See `Reviews`."""
        return self._reviewing.pulls(base)

    def propose(self, proposal: Proposal) -> Pull:
        """See `Reviews`."""
        return self._reviewing.propose(proposal)

    def pull(self, number: int) -> Pull:
        """See `Reviewed`."""
        return self._reviewing.pull(number)

    # ── words ──

    def deliver(self, lease: Lease, statuses: Sequence[Undelivered], now: datetime) -> Sequence[Delivery]:
        """Say them in their order, the most urgent first, each in its turn; what has none waits for a time of its own.

        A commit that is not there refuses its own word only. The forge away, a limit, or a door that is shut let the
        whole account (or repository, or one kind of word there) rest, and the words behind wait without an attempt.
        Each write takes a turn: a deployment's word may take two. Raises `LeaseLost` where none was told.
        """
        batch = _Batch(now=now)
        for item in statuses:
            names = self._names(item.status)
            if self._too_many(item):
                self._refuse(batch, item, self._stopped())
            elif why := batch.why_not(names, item.status):
                batch.waiting.append((item, names, why))
            else:
                try:
                    self._settle(batch, item, names, self._tell(item.status, names, lease))
                except LeaseLost:
                    if not batch.results:
                        raise
                    return batch.results  # a late answer must reach the ledger
        return [*batch.results, *self._waiting(batch)]

    def _names(self, word: CommitStatus) -> tuple[str, ...]:
        return self._road.names(self._saying.project(word), needs_of(word))

    def _tell(self, word: CommitStatus, names: tuple[str, ...], lease: Lease) -> _Told:
        """Take its steps, as far as they lead now."""
        told, steps = _Told(), self._saying.steps(word)
        try:
            call = next(steps)
            while answer := self._asked(told, call, word, names, lease):
                told.verdict = self._road.senseless(call, answer)  # unless it is understood
                call = steps.send(answer)
        except StopIteration as end:
            told.verdict = end.value
        except Trouble as trouble:
            told.verdict = trouble.verdict
        except Unreadable as missing:
            told.verdict = Verdict(fate=Fate.LOCKED_OUT, message=str(missing))
        except NoSense:
            pass
        return told

    def _asked(
        self, told: _Told, call: Call, word: CommitStatus, names: tuple[str, ...], lease: Lease
    ) -> Answer | None:
        """The answer to one call; None where the word ends here for now."""
        turn = self._allowance.take(names, word) if call.writes else self._allowance.resting(names)
        told.need, told.strikes = call.need, max(told.strikes, turn.strikes)
        if turn.wait_until is not None:
            told.why = turn.why or "the forge takes no more writes for now"
            return None
        told.verdict = self._road.ask(call, lease)
        return told.verdict.answer if told.verdict.fate is Fate.DELIVERED else None

    def _settle(self, batch: _Batch, item: Undelivered, names: tuple[str, ...], told: _Told) -> None:
        verdict = told.verdict
        if told.why:
            batch.full[*names, rank(item.status)] = told.why
            batch.waiting.append((item, names, told.why))
            return
        if verdict.fate is Fate.DELIVERED:
            batch.results.append(Delivery(id=item.id, sequence=item.sequence, delivered=True))
        elif verdict.fate is Fate.ABSENT and item.attempts < LOOKS:
            batch.results.append(_not_yet(batch, item, verdict.message))
        elif verdict.fate in {Fate.REFUSED, Fate.ABSENT}:
            self._refuse(batch, item, verdict.message)
        else:
            self._later(batch, item, told)
            return
        if told.strikes:
            self._allowance.budget.recover(names)
        for name in names:
            batch.failures.pop(name, None)

    def _refuse(self, batch: _Batch, item: Undelivered, why: str) -> None:
        batch.results.append(Delivery(id=item.id, sequence=item.sequence, delivered=False, message=why))
        word = item.status
        place = {"project": word.project} if word.project else {}
        self._log.warning(f"{word.medium} refused", commit=word.commit, context=word.context, why=why, **place)

    def _later(self, batch: _Batch, item: Undelivered, told: _Told) -> None:
        """Tried again later; after some troubles, or one that concerns all, nobody tries before then."""
        verdict, name = told.verdict, self._resting(item.status, told, batch.now)
        batch.failures[name] += 1
        asked = _asked_for(verdict, batch.now)
        ailing = verdict.fate is Fate.AILING
        if ailing and batch.failures[name] < FAILURES and not told.strikes and asked is None:
            retry_at = batch.now + backoff(item.attempts, self._jitter())
        else:
            until = self._allowance.budget.rest(name, self._span(verdict, told.strikes, batch.now), verdict.message)
            batch.resting[name] = verdict.message
            place = self._road.place(self._saying.project(item.status))
            self._log.warning("statuses wait", forge=place, why=verdict.message, until=until.isoformat())
            # Where only this one does not go through, it must not be the first to be tried again.
            retry_at = until + (backoff(item.attempts, self._jitter()) if ailing else timedelta())
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

    def _resting(self, word: CommitStatus, told: _Told, now: datetime) -> str:
        """Who rests for it. Trouble with comments, deployments or tags stops no status."""
        place = self._road.place(self._saying.project(word), told.need)
        if told.verdict.fate is Fate.SHUT:
            return place
        alone = told.verdict.fate is Fate.AILING and told.need is not Need.STATUSES
        return place if alone and _asked_for(told.verdict, now) is None else self._road.account

    def _span(self, verdict: Verdict, strikes: int, now: datetime) -> timedelta:
        if verdict.fate is Fate.LIMITED and verdict.answer is not None:
            return limited(verdict.answer.headers, strikes, now)
        if verdict.fate is Fate.AILING:
            return max(backoff(strikes, self._jitter()), _asked_for(verdict, now) or timedelta())
        return closed(self._jitter())

    def _waiting(self, batch: _Batch) -> Sequence[Delivery]:
        """Who was not tried comes back when there is room: after a rest at the budget's pace, never all at once."""
        found: list[Delivery] = []
        for names in dict.fromkeys(names for _, names, _ in batch.waiting):
            waiting = [(item, why) for item, its, why in batch.waiting if its == names]
            slots = self._allowance.slots(names, [item.status for item, _ in waiting])
            for (item, why), slot in zip(waiting, slots, strict=True):
                put_off = Delivery(id=item.id, sequence=item.sequence, delivered=False, message=why, tried=False)
                found.append(replace(put_off, retry_at=slot))
        return found

    def _too_many(self, item: Undelivered) -> bool:
        """Words stand in for writes; repetitions are few, and there is room for them after the last word."""
        most = self.dialect.room.words if item.status.medium is Medium.STATUS else None
        return most is not None and item.sequence > last_words(most) and item.status.state is State.PENDING

    def _stopped(self) -> str:
        most = self.dialect.room.words or 0
        return (
            f"{self.dialect.title} takes {most:,} statuses for a commit and context, and {last_words(most)} words were "
            "said here: only final states are still told"
        )


def last_words(most: int) -> int:
    """From here on only final states are told, so that there is room for them."""
    return most * 9 // 10


def _not_yet(batch: _Batch, item: Undelivered, why: str) -> Delivery:
    retry_at = batch.now + FIRST_LOOK * 2**item.attempts
    return Delivery(id=item.id, sequence=item.sequence, delivered=False, retry_at=retry_at, message=why)


def _asked_for(verdict: Verdict, now: datetime) -> timedelta | None:
    """How long a forge that is away asks us to wait."""
    if verdict.fate is not Fate.AILING or verdict.answer is None:
        return None
    return asked_to_wait(verdict.answer.headers, now)
