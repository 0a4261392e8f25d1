"""Notices to one channel: few messages for many words, at a bearable pace, and nothing lost while the channel is away.

What is told is held back for a moment, because what fails one fleet often fails its neighbours. About one commit and
one kind of trouble there is one message in `AGAIN`: fleets that fail later wait, and are told together. Both are
counted in the ledger, so that replicas keep one pace.

One message is posted at a time, and settled. What somebody took up and left waits until the ledger's doubt is over, so
that it comes once more and not twice: a crash repeats one message.
"""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Protocol

from adapters.notify.addresses import BadAddress
from adapters.notify.exchange import Answer, Exchange, Unreached
from adapters.notify.messages import FEW, Message, Told, gather, is_silent, read
from reconciler.notices import Kind
from reconciler.ports import Budget, Delivery, Lease, Undelivered, Unreadable, Window

HELD_BACK = timedelta(seconds=5)
AGAIN = timedelta(minutes=1)
LEAST_REST, LONGEST_REST = timedelta(minutes=1), timedelta(hours=1)
SHUT_REST = timedelta(minutes=5)
UNSURE = timedelta(seconds=75)  # longer than the ledger's doubt: what may have been told is told once more, not twice
_GATEWAY = frozenset({502, 504})  # what is behind it may have taken the message
_FIRST = (Window(span=5 * AGAIN, most=FEW),)  # fleets of one commit that are told one by one
_AGAIN = (Window(span=AGAIN, most=1),)
LONGEST_BACKOFF = timedelta(minutes=5)


class Fate(Enum):
    """What became of a message."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # this message, for good
    AWAY = "away"  # nobody knows: it is tried again
    LIMITED = "limited"  # too fast
    SHUT = "shut"  # the channel takes nothing until people help


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A fate, and why, as a sentence that does not name the address."""

    fate: Fate
    why: str = ""
    wait: timedelta | None = None  # as long as the channel asks for
    in_doubt: bool = False  # it was sent, and may have been taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message as it is posted."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Voice(Protocol):
    """How one kind of channel is spoken to."""

    @property
    def windows(self) -> tuple[Window, ...]:
        """How many messages it takes."""
        ...

    def write(self, message: Message, now: datetime) -> Letter:
        """The message as it is posted. Raises `Unreadable` where a secret is missing."""
        ...

    def judge(self, answer: Answer) -> Verdict:
        """What the answer means."""
        ...


class Log(Protocol):
    """What of structlog's loggers is used here."""

    def warning(self, event: str, **values: Any) -> Any: ...


@dataclass(slots=True)
class _Batch:
    now: datetime
    results: list[Delivery] = field(default_factory=list)
    sent: bool = False


class Notifier:
    """One channel. Speaks the outbox's protocol (`reconciler.ports.Forge`). Safe to share between threads.

    `url` gives the address, read anew each time; it raises `Unreadable`. `jitter` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        name: str,
        *,
        url: Callable[[], str],
        voice: Voice,
        exchange: Exchange,
        budget: Budget,
        log: Log,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._name, self._url, self._voice = name, url, voice
        self._exchange, self._budget, self._log, self._jitter = exchange, budget, log, jitter
        self._account = f"notify {name}"
        self._held_back = HELD_BACK

    def hurry(self) -> None:
        """Nothing more is coming: hold nothing back."""
        self._held_back = timedelta()

    def deliver(self, lease: Lease, statuses: Sequence[Undelivered], now: datetime) -> Sequence[Delivery]:
        """Post one message of what is due, and give what became of each; the others wait until that is written down.

        `now` is the ledger's, and so are times to try again. Raises `LeaseLost` where nothing was posted.
        """
        batch = _Batch(now=now)
        words = [read(item) for item in statuses]
        untold = [told for told in words if is_silent(told)]
        batch.results += [_refused(told.item, "nobody needs to be told") for told in untold]
        unsure = [told for told in words if told not in untold and _is_unsure(told)]
        batch.results += [
            _later(told.item, now + UNSURE, "it may have been told as we were cut off", False) for told in unsure
        ]
        messages = gather([told for told in words if told not in untold and told not in unsure])
        for place, message in enumerate(messages):
            why = self._tell(batch, message, lease)
            if why is None and batch.sent:
                why = batch.now, "others are told first"
            if why is not None:
                self._leave(batch, messages[place + 1 :], *why)
                break
        return batch.results

    def _tell(self, batch: _Batch, message: Message, lease: Lease) -> tuple[datetime, str] | None:
        """One message; gives until when the channel rests, and why, where the others need not be tried."""
        ready_at = self._ready_at(message, batch.now)
        if ready_at > batch.now:
            batch.results += _waiting(message.told, ready_at, "it is held back for its neighbours")
            return None
        turn = self._budget.take([self._account], self._voice.windows)
        if turn.wait_until is not None:
            batch.results += _waiting(message.told, turn.wait_until, turn.why)
            return turn.wait_until, turn.why
        room_at = self._room_at(message)
        if room_at is not None:
            batch.results += _waiting(message.told, room_at, "the same was told a moment ago")
            return None
        verdict = self._post(message, lease, batch)
        return self._settle(batch, message, verdict, turn.strikes)

    def _room_at(self, message: Message) -> datetime | None:
        """When its commit may be told of again; None: now. All who wait are told together then."""
        if not message.commit:
            return None
        about = f"{self._account} {message.commit[:12]} {message.kind.value}"
        if len(message.told) == 1 and self._budget.take([about], _FIRST).wait_until is None:
            return None
        return self._budget.take([f"{about} again"], _AGAIN).wait_until

    def _ready_at(self, message: Message, now: datetime) -> datetime:
        """When the first of them has been held back for long enough; what was tried before is."""
        if any(told.item.attempts for told in message.told):
            return now
        return min(min(told.item.status.at or now, now) for told in message.told) + self._held_back

    def _post(self, message: Message, lease: Lease, batch: _Batch) -> Verdict:
        try:
            url, letter = self._url(), self._voice.write(message, batch.now)
            lease.check()
            batch.sent = True
            answer = self._exchange.post(url, letter.body, letter.headers)
            return replace(self._voice.judge(answer), in_doubt=answer.status in _GATEWAY)
        except Unreached as trouble:
            fate = Fate.SHUT if trouble.ours else Fate.AWAY
            return Verdict(fate=fate, why=str(trouble), in_doubt=trouble.in_doubt)
        except (BadAddress, Unreadable) as wrong:
            return Verdict(fate=Fate.SHUT, why=str(wrong))

    def _settle(self, batch: _Batch, message: Message, verdict: Verdict, strikes: int) -> tuple[datetime, str] | None:
        why = f"channel {self._name}: {verdict.why}"
        if verdict.fate in {Fate.DELIVERED, Fate.REFUSED}:
            if verdict.fate is Fate.REFUSED:
                self._log.warning("notice refused", channel=self._name, kind=message.kind.value, why=verdict.why)
            done = verdict.fate is Fate.DELIVERED
            batch.results += [_delivered(each.item) if done else _refused(each.item, why) for each in message.told]
            if strikes:
                self._budget.recover([self._account])
            return None
        until = self._budget.rest(self._account, self._span(verdict, strikes), why)
        self._log.warning("notices wait", channel=self._name, why=verdict.why, until=until.isoformat())
        again_at = until + UNSURE if verdict.in_doubt else until
        batch.results += [_later(told.item, again_at, why, verdict.in_doubt) for told in message.told]
        return until, why

    def _span(self, verdict: Verdict, strikes: int) -> timedelta:
        """How long nobody posts there."""
        if verdict.fate is Fate.SHUT:
            return LEAST_REST + (SHUT_REST - LEAST_REST) * self._jitter()
        if verdict.fate is Fate.LIMITED:
            asked = verdict.wait if verdict.wait is not None else LEAST_REST * 2 ** min(strikes, 5)
            return min(asked + timedelta(seconds=1), LONGEST_REST)
        doubling = timedelta(seconds=2.0 ** min(strikes + 1, 10)) * self._jitter()
        return max(timedelta(seconds=1), min(doubling, LONGEST_BACKOFF), min(verdict.wait or timedelta(), LONGEST_REST))

    def _leave(self, batch: _Batch, messages: Sequence[Message], until: datetime, why: str) -> None:
        for message in messages:
            batch.results += _waiting(message.told, until, why)


def _is_unsure(told: Told) -> bool:
    """The first word of a trouble, that somebody took up and left: only one who was cut off leaves it so."""
    item = told.item
    return told.kind is not Kind.RESOLVED and item.sequence == 1 and item.said_before and not item.attempts


def _delivered(item: Undelivered) -> Delivery:
    return Delivery(id=item.id, sequence=item.sequence, delivered=True)


def _refused(item: Undelivered, why: str) -> Delivery:
    return Delivery(id=item.id, sequence=item.sequence, delivered=False, message=why)


def _later(item: Undelivered, until: datetime, why: str, in_doubt: bool) -> Delivery:
    later = Delivery(id=item.id, sequence=item.sequence, delivered=False, retry_at=until, message=why)
    return replace(later, in_doubt=in_doubt)


def _waiting(words: Collection[Told], until: datetime, why: str) -> list[Delivery]:
    """They only wait for their turn."""
    return [
        Delivery(
            id=told.item.id, sequence=told.item.sequence, delivered=False, retry_at=until, message=why, tried=False
        )
        for told in words
    ]


def asked_to_wait(answer: Answer) -> timedelta | None:
    """What `Retry-After` says (RFC 9110, 10.2.3); a time is read on the answerer's own clock."""
    text = answer.headers.get("retry-after", "")
    if text.isascii() and text.isdigit() and len(text) < 10:
        return timedelta(seconds=int(text))
    until, said = _time(text), _time(answer.headers.get("date", ""))
    return max(timedelta(), until - said) if until is not None and said is not None else None


def _time(text: str) -> datetime | None:
    try:
        said = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return said if said.tzinfo is not None else None
