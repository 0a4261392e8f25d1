"""Words at a forge: within its limits, newest word only, and nothing lost while it is away."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from adapters.forges.hosted.asking import APART, Answer, Call, Fate, Need, NoSense, Trouble, Verdict
from adapters.forges.hosted.limits import (
    Allowance,
    asked_to_wait,
    backoff,
    closed,
    closed_elsewhere,
    limited,
    rank,
)
from adapters.forges.hosted.reviewing import Reviewing
from adapters.forges.hosted.road import Road
from adapters.forges.hosted.saying import NOTHING_FURTHER, Aim, Allowed, Saying
from reconciler.ports import Delivery, Lease, LeaseLost, Turn, Undelivered, Unreadable
from reconciler.record import CommitStatus, Medium, State
from reconciler.reviews import Proposal, Pull

FIRST_LOOK = timedelta(seconds=15)  # after that each wait is twice as long: a forge may know of a push late
LAST_LOOK = FIRST_LOOK * 31  # the sixth
FAILURES = 3  # in a row, of one batch: then the forge is away, and the rest is not tried

_ANSWERED = frozenset({Fate.DELIVERED, Fate.REFUSED, Fate.ABSENT, Fate.EARLY})


class Log(Protocol):
    """What of structlog's loggers is used here."""

    def warning(self, event: str, **values: Any) -> Any: ...


@dataclass(slots=True)
class _Batch:
    """How far a batch has come."""

    now: datetime
    results: list[Delivery] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)  # in a row, by who would rest
    ailing: set[str] = field(default_factory=set)  # other repositories than our own, in a row
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

    aim: Aim
    names: tuple[str, ...]  # of all that must not rest
    verdict: Verdict = field(default_factory=lambda: Verdict(fate=Fate.DELIVERED))
    need: Need = Need.STATUSES  # of the last call
    strikes: int = 0
    why: str = ""  # it had no turn
    wait_until: datetime | None = None  # for several turns at once


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
            aim = Aim(word=item.status, commit=item.told_on)
            names = self._names(aim)
            if self._too_many(item):
                self._refuse(batch, item, self._stopped())
            elif why := batch.why_not(names, item.status):
                batch.waiting.append((item, names, why))
            else:
                try:
                    self._settle(batch, item, self._tell(aim, names, lease))
                except LeaseLost:
                    if not batch.results:
                        raise
                    return batch.results  # a late answer must reach the ledger
        return [*batch.results, *self._waiting(batch)]

    def _names(self, aim: Aim) -> tuple[str, ...]:
        also = (self._road.elsewhere,) if self._saying.is_elsewhere(aim.word) else ()
        return self._road.names(self._saying.project(aim.word), aim.needs, *also)

    def _tell(self, aim: Aim, names: tuple[str, ...], lease: Lease) -> _Told:
        """Take its steps, as far as they lead now."""
        told, steps = _Told(aim=aim, names=names), self._saying.steps(aim)
        try:
            call = next(steps)
            while answer := self._asked(told, call, lease):
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

    def _asked(self, told: _Told, call: Call, lease: Lease) -> Answer | None:
        """The answer to one call; None where the word ends here for now."""
        turn = self._turn(told, call)
        told.need, told.strikes = call.need, max(told.strikes, turn.strikes)
        if turn.wait_until is not None:
            told.why = turn.why or "the forge takes no more writes for now"
            told.wait_until = turn.wait_until if call.turns > 1 else None
            return None
        told.verdict = self._road.ask(call, lease)
        return told.verdict.answer if told.verdict.fate is Fate.DELIVERED else None

    def _turn(self, told: _Told, call: Call) -> Turn:
        if not call.writes or not call.turns:
            return self._allowance.resting(told.names)
        elsewhere = self._road.elsewhere if self._road.elsewhere in told.names else ""
        return self._allowance.take(told.names, told.aim.word, elsewhere, call.turns)

    def _settle(self, batch: _Batch, item: Undelivered, told: _Told) -> None:
        if told.wait_until is not None:
            batch.results.append(_put_off(item, told.wait_until, told.why))
        elif told.why:
            batch.full[*told.names, rank(item.status)] = told.why
            batch.waiting.append((item, told.names, told.why))
        elif told.verdict.fate in _ANSWERED:
            self._answered(batch, item, told)
        else:
            self._later(batch, item, told)

    def _answered(self, batch: _Batch, item: Undelivered, told: _Told) -> None:
        """The forge is well, whatever it said of this word."""
        fate, why = told.verdict.fate, told.verdict.message
        if fate is Fate.DELIVERED:
            on = told.aim.commit
            batch.results.append(Delivery(id=item.id, sequence=item.sequence, delivered=True, told_on=on))
        elif fate is Fate.EARLY:
            batch.results.append(_put_off(item, batch.now + APART, why))
        elif fate is Fate.ABSENT and batch.now < (item.absent_since or batch.now) + LAST_LOOK:
            batch.results.append(_not_yet(batch, item, why))
        else:
            self._refuse(batch, item, why)
        if told.strikes:
            self._allowance.budget.recover(told.names)
        batch.ailing.clear()
        for name in told.names:
            batch.failures.pop(name, None)

    def _refuse(self, batch: _Batch, item: Undelivered, why: str) -> None:
        batch.results.append(Delivery(id=item.id, sequence=item.sequence, delivered=False, message=why))
        word = item.status
        place = {"project": word.project} if word.project else {}
        self._log.warning(f"{word.medium} refused", commit=word.commit, context=word.context, why=why, **place)

    def _later(self, batch: _Batch, item: Undelivered, told: _Told) -> None:
        """Tried again later; after some troubles, or one that concerns all, nobody tries before then."""
        verdict, name = told.verdict, self._resting(batch, told)
        batch.failures[name] += 1
        asked = _asked_for(verdict, batch.now)
        ailing = verdict.fate is Fate.AILING
        few = batch.failures[name] < FAILURES and name != self._road.elsewhere
        if ailing and few and not told.strikes and asked is None:
            retry_at = batch.now + backoff(item.attempts, self._jitter())
        else:
            until = self._allowance.budget.rest(name, self._span(told, batch.now), verdict.message)
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
                told_on=told.aim.commit if verdict.in_doubt else "",
            )
        )

    def _resting(self, batch: _Batch, told: _Told) -> str:
        """Who rests for it. Trouble with comments, deployments or tags stops no status, and trouble with other
        repositories nothing of our own: of that ours is asked itself."""
        place = self._road.place(self._saying.project(told.aim.word), told.need)
        if told.verdict.fate is Fate.SHUT:
            return place
        if told.verdict.fate is not Fate.AILING:
            return self._road.account
        asked = _asked_for(told.verdict, batch.now) is not None
        if self._road.elsewhere not in told.names:
            return self._road.account if asked or told.need is Need.STATUSES else place
        batch.ailing.add(self._saying.project(told.aim.word))
        return self._road.elsewhere if asked or len(batch.ailing) >= FAILURES else place

    def _span(self, told: _Told, now: datetime) -> timedelta:
        verdict, strikes = told.verdict, told.strikes
        if verdict.fate is Fate.SHUT and self._road.elsewhere in told.names:
            return closed_elsewhere(strikes, self._jitter())
        if verdict.fate is Fate.LIMITED and verdict.answer is not None:
            return limited(verdict.answer.headers, strikes, now)
        if verdict.fate is Fate.AILING:
            return max(backoff(strikes, self._jitter()), _asked_for(verdict, now) or timedelta())
        return closed(self._jitter())

    def _waiting(self, batch: _Batch) -> Sequence[Delivery]:
        """Who was not tried comes back when there is room: after a rest at the budget's pace, never all at once."""
        found: list[Delivery] = []
        elsewhere = self._road.elsewhere
        turns = iter(self._allowance.share(elsewhere, sum(elsewhere in names for _, names, _ in batch.waiting)))
        for names in dict.fromkeys(names for _, names, _ in batch.waiting):
            waiting = [(item, why) for item, its, why in batch.waiting if its == names]
            slots = self._allowance.slots(names, [item.status for item, _ in waiting])
            if elsewhere in names:
                slots = list(map(max, slots, turns))
            found += [_put_off(item, slot, why) for (item, why), slot in zip(waiting, slots, strict=True)]
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
    """By the time since its commit was missed first: tries that ended otherwise were no looks."""
    retry_at = batch.now + FIRST_LOOK + (batch.now - (item.absent_since or batch.now))
    return Delivery(id=item.id, sequence=item.sequence, delivered=False, retry_at=retry_at, message=why, absent=True)


def _put_off(item: Undelivered, until: datetime, why: str) -> Delivery:
    return Delivery(id=item.id, sequence=item.sequence, delivered=False, retry_at=until, message=why, tried=False)


def _asked_for(verdict: Verdict, now: datetime) -> timedelta | None:
    """How long a forge that is away asks us to wait."""
    if verdict.fate is not Fate.AILING or verdict.answer is None:
        return None
    return asked_to_wait(verdict.answer.headers, now)
