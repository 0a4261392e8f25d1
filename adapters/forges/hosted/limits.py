"""How much a forge takes, and how long we stay away from it.

The headers are those that forges share: `Retry-After` (RFC 9110, 10.2.3), else `x-ratelimit-reset` where
`x-ratelimit-remaining` is 0 (docs.github.com, "Rate limits for the REST API"), else at least a minute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from reconciler.outbox import is_fleets
from reconciler.ports import Budget, Turn, Window
from reconciler.record import CommitStatus, Medium, State
from reconciler.reviews import PLAN

LONGEST_WAIT = timedelta(minutes=5)
LONGEST_SHUT = timedelta(hours=4)  # of a repository that is not our own: its owners may never help
LEAST_REST = timedelta(minutes=1)  # where a forge limits us without saying for how long
LONGEST_REST = timedelta(hours=2)  # whatever a header says: limits are reset each hour
ELSEWHERE = 25  # percent of a minute and an hour that words on other repositories than our own may take together
ELSEWHERE_AT_ONCE = 50  # percent of ten seconds
SHARES = {"final": 100, "roll-up": 90, "fleet": 75}  # percent of a minute and an hour up to which each is told
_JOINERS = frozenset("\u200c\u200d")  # invisible, and parts of words and of emoji
_BURST = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """A budget, and the windows in which it is spent."""

    budget: Budget
    windows: tuple[Window, ...]

    def take(self, names: Sequence[str], status: CommitStatus, elsewhere: str = "", turns: int = 1) -> Turn:
        """So many turns at once, or none: see `Budget.take`. `elsewhere` names the share of other repositories."""
        room = self._part(SHARES[rank(status)], turns)
        if elsewhere or turns > 1:  # looked at first, so that none is counted in vain
            slots = [*self.budget.slots(names, [room] * turns), *self.share(elsewhere, turns, turns)]
            if max(slots) > self.now():
                why = self.resting(names).why or "the forge takes no more writes for now"
                return Turn(wait_until=max(slots), why=why)
        for _ in range(turns):
            turn = self.budget.take(names, room)
            if turn.wait_until is None and elsewhere:
                self.budget.take((elsewhere,), self._part(ELSEWHERE, turns, ELSEWHERE_AT_ONCE))
        return turn

    def share(self, elsewhere: str, many: int, least: int = 1) -> Sequence[datetime]:
        """The earliest times at which other repositories have so many turns among them; none without a name."""
        return (
            self.budget.slots((elsewhere,), [self._part(ELSEWHERE, least, ELSEWHERE_AT_ONCE)] * many)
            if elsewhere
            else ()
        )

    def resting(self, names: Sequence[str]) -> Turn:
        """See `Budget.resting`."""
        return self.budget.resting(names)

    def now(self) -> datetime:
        """By the ledger's clock."""
        (now,) = self.budget.slots(("nobody",), [()])
        return now

    def slots(self, names: Sequence[str], statuses: Sequence[CommitStatus]) -> Sequence[datetime]:
        """See `Budget.slots`."""
        return self.budget.slots(names, [self._part(SHARES[rank(status)]) for status in statuses])

    def _part(self, percent: int, least: int = 1, at_once: int = 100) -> tuple[Window, ...]:
        """Some leave room, so that a final word of any repository finds some however many wait before it."""
        parts = ((each, at_once if each.span <= _BURST else percent) for each in self.windows)
        return tuple(replace(each, most=max(least, each.most * part // 100)) for each, part in parts)


def rank(status: CommitStatus) -> str:
    """Which of `SHARES` is open to a word. What is said of a plan is never as urgent as how a deploy ended."""
    if status.medium is Medium.COMMENT or status.context == PLAN:
        return "fleet"
    if status.state is not State.PENDING:
        return "final"
    further = status.project or status.medium is Medium.DEPLOYMENT
    return "fleet" if further or is_fleets(status.context) else "roll-up"


def windows(per_minute: int, per_hour: int) -> tuple[Window, ...]:
    """A minute's, an hour's, and a sixth of the minute's in ten seconds, so that no minute begins with a burst."""
    return (
        Window(span=_BURST, most=-(-per_minute // 6)),
        Window(span=timedelta(minutes=1), most=per_minute),
        Window(span=timedelta(hours=1), most=per_hour),
    )


def backoff(troubles: int, jitter: float) -> timedelta:
    """Full jitter, capped; `troubles` in a row so far, `jitter` from 0 to 1. At least a second."""
    longest = min(LONGEST_WAIT.total_seconds(), 2.0 ** min(troubles + 1, 20))
    return timedelta(seconds=max(1.0, longest * jitter))


def closed(jitter: float) -> timedelta:
    """How long to stay away where only people can help: forges lock out who signs in wrongly again and again."""
    return LEAST_REST + (LONGEST_WAIT - LEAST_REST) * jitter


def closed_elsewhere(troubles: int, jitter: float) -> timedelta:
    """How long to leave a repository alone that others must open for us; `troubles` in a row so far."""
    return min(LONGEST_SHUT, closed(jitter) * (1 << min(troubles, 10)))


def limited(headers: Mapping[str, str], troubles: int, now: datetime) -> timedelta:
    """How long a forge wants us to stay away. `headers` by lower-case name; a reset is read on its own clock."""
    asked = _retry_after(headers, now)
    if asked is None and headers.get("x-ratelimit-remaining") == "0":
        reset = _seconds(headers.get("x-ratelimit-reset", ""))
        asked = None if reset is None else max(0, reset - _date(headers, now).timestamp())
    if asked is None:
        asked = LEAST_REST.total_seconds() * 2 ** min(troubles, 6)
    return min(timedelta(seconds=asked) + timedelta(seconds=1), LONGEST_REST)


def asked_to_wait(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """What `Retry-After` says of a server that is away (RFC 9110, 10.2.3); None where it says nothing."""
    asked = _retry_after(headers, now)
    return None if asked is None else min(timedelta(seconds=asked), LONGEST_REST)


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds. A time is read on the answerer's own clock."""
    text = headers.get("retry-after", "")
    until = None if _seconds(text) is not None else moment(text)
    return _seconds(text) if until is None else max(0.0, (until - _date(headers, now)).total_seconds())


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _date(headers: Mapping[str, str], now: datetime) -> datetime:
    return moment(headers.get("date", "")) or now


def moment(text: str) -> datetime | None:
    """A time as headers have it (RFC 9110, 5.6.7); None for anything else."""
    try:
        said = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return said if said.tzinfo is not None else None


def fitting(text: str, longest: int) -> str:
    """A description as a forge takes it: one line, so many characters, no half of a character."""
    whole = text.encode("utf-8", "replace").decode()
    line = " ".join("".join(map(_shown, whole)).split())
    if len(line) <= longest:
        return line
    return line[: longest - 1].rstrip(" \u200c\u200d") + "…"


def _shown(each: str) -> str:
    return each if each.isprintable() or each.isspace() or each in _JOINERS else "?"
