"""How often an account may ask, counted on the forge's clock. Off unless a test sets it: an own server has no limits.

GitHub's are in its REST documentation ("Rate limits for the REST API"), GitLab's in `lib/gitlab/rack_attack.rb` and in
its settings (2,000 requests and 300 notes a minute); before a Gitea stands whatever its administrator put there.
"""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from threading import Lock

from reconciler.ports import Clock

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one account may do. `status` is what too many writes are answered: 403 or 429."""

    writes_per_minute: int = 80  # that create content; of GitLab only notes
    writes_per_hour: int = 500
    requests_per_hour: int = 5000
    requests_per_minute: int = 2000  # GitLab's measure
    status: int = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What one account has left. `wait` is in seconds, None where there is room."""

    limits: Limits
    used: int  # of this hour
    minute: int  # requests within the clock's minute, this one included
    resets: datetime
    wait: int | None = None

    @property
    def spent(self) -> bool:
        """The hour's requests are used up."""
        return self.used > self.limits.requests_per_hour


class _Account:
    def __init__(self) -> None:
        self.writes: deque[datetime] = deque()
        self.requests: deque[datetime] = deque()
        self.used = 0
        self.resets = datetime.min.replace(tzinfo=UTC)


class Meter:
    """Counts by account. `limits` may be switched while it runs; None is none at all."""

    def __init__(self, clock: Clock) -> None:
        self.limits: Limits | None = None
        self.refused = 0  # requests that met a limit
        self._clock = clock
        self._lock = Lock()
        self._accounts: dict[str, _Account] = {}

    def now(self) -> datetime:
        """The forge's time."""
        return self._clock.now()

    def admit(self, login: str, *, creates: bool) -> Room | None:
        """Count a request; None where nothing is counted. Who is told to wait, or has nothing left, is refused."""
        limits = self.limits
        if limits is None:
            return None
        with self._lock:
            now = self._clock.now()
            account = self._account(login, now)
            account.used += 1
            account.requests.append(now)
            wait = _wait(limits, account, now) if creates and account.used <= limits.requests_per_hour else None
            minute = sum(at >= now.replace(second=0, microsecond=0) for at in account.requests)
            room = Room(limits=limits, used=account.used, minute=minute, resets=account.resets, wait=wait)
            if creates and wait is None and not room.spent:
                account.writes.append(now)
            return room

    def count_refused(self) -> None:
        """A dialect turned somebody away."""
        with self._lock:
            self.refused += 1

    def left(self, login: str) -> tuple[int, int, int]:
        """The primary limit, how much of it is used, and when it begins anew, in epoch seconds."""
        limits = self.limits or Limits()
        with self._lock:
            account = self._account(login, self._clock.now())
            return limits.requests_per_hour, account.used, int(account.resets.timestamp())

    def _account(self, login: str, now: datetime) -> _Account:
        account = self._accounts.setdefault(login, _Account())
        if account.resets <= now:
            account.used, account.resets = 0, now + HOUR
        for times, span in ((account.writes, HOUR), (account.requests, MINUTE)):
            while times and times[0] <= now - span:
                times.popleft()
        return account


def _wait(limits: Limits, account: _Account, now: datetime) -> int | None:
    """Seconds until there is room for one more; None where there is now."""
    waits = [0]
    for most, span in ((limits.writes_per_minute, MINUTE), (limits.writes_per_hour, HOUR)):
        if len(account.writes) >= most and account.writes[-most] > now - span:
            waits.append(ceil((account.writes[-most] + span - now).total_seconds()))
    return max(waits) or None
