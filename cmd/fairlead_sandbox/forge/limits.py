"""GitHub's rate limits (REST API, "Rate limits"). An Enterprise Server has them off, and so is the forge's default."""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from threading import Lock

from fairlead_sandbox.forge.dialect import Refused
from reconciler.ports import Clock

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SECONDARY = (
    "You have exceeded a secondary rate limit and have been temporarily blocked from content creation. "
    "Please retry your request again later."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one account may do. `status` is what the secondary limits answer: 403 or 429."""

    writes_per_minute: int = 80  # that create content
    writes_per_hour: int = 500
    requests_per_hour: int = 5000
    status: int = 403


class _Account:
    def __init__(self) -> None:
        self.writes: deque[datetime] = deque()
        self.used = 0
        self.resets = datetime.min.replace(tzinfo=UTC)


class Meter:
    """Counts by account, on the forge's clock. `limits` may be switched while it runs; None is none at all."""

    def __init__(self, clock: Clock) -> None:
        self.limits: Limits | None = None
        self.refused = 0  # requests that met a limit
        self._clock = clock
        self._lock = Lock()
        self._accounts: dict[str, _Account] = {}

    def admit(self, login: str, *, creates: bool) -> dict[str, str]:
        """Count a request; gives the headers that tell how many are left. Raises `Refused`."""
        limits = self.limits
        if limits is None:
            return {}
        with self._lock:
            now = self._clock.now()
            account = self._account(login, now)
            account.used += 1
            headers = _headers(limits, account)
            if account.used > limits.requests_per_hour:
                self.refused += 1
                raise Refused(403, f"API rate limit exceeded for user {login}.", headers=headers)
            wait = _wait(limits, account, now) if creates else None
            if wait is not None:
                self.refused += 1
                raise Refused(limits.status, SECONDARY, headers={**headers, "Retry-After": str(wait)})
            if creates:
                account.writes.append(now)
            return headers

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
        while account.writes and account.writes[0] <= now - HOUR:
            account.writes.popleft()
        return account


def _wait(limits: Limits, account: _Account, now: datetime) -> int | None:
    """Seconds until there is room for one more; None where there is now."""
    waits = [0]
    for most, span in ((limits.writes_per_minute, MINUTE), (limits.writes_per_hour, HOUR)):
        if len(account.writes) >= most and account.writes[-most] > now - span:
            waits.append(ceil((account.writes[-most] + span - now).total_seconds()))
    return max(waits) or None


def _headers(limits: Limits, account: _Account) -> dict[str, str]:
    return {
        "x-ratelimit-limit": str(limits.requests_per_hour),
        "x-ratelimit-remaining": str(max(limits.requests_per_hour - account.used, 0)),
        "x-ratelimit-used": str(account.used),
        "x-ratelimit-reset": str(int(account.resets.timestamp())),
        "x-ratelimit-resource": "core",
    }
