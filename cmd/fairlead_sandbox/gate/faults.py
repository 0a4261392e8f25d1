"""What can be switched on to go wrong, from a test or over HTTP, and who is held at the door just now."""

from dataclasses import dataclass, field
from enum import StrEnum
from threading import Condition
from typing import Any

NO_LIMIT = -1


class FaultKind(StrEnum):
    """The faults. Options are named in brackets; all take `times` and any of the conditions of `Faults.on`."""

    # at the door
    UNAVAILABLE = "unavailable"  # 503 for everything, by a proxy in front
    SLOW = "slow"  # [seconds]
    LOGIN_REDIRECT = "login_redirect"  # 302 to /login
    HTML = "html"  # 200 with a page
    TOO_MANY_REQUESTS = "too_many_requests"  # 429 [reset: seconds until the reset that the header tells]
    DROP_BEFORE_ACCEPTING = "drop_before_accepting"
    HOLD_BEFORE_ACCEPTING = "hold_before_accepting"  # until released
    # after a trigger took effect
    ERROR_AFTER_ACCEPTING = "error_after_accepting"  # [status: 500]
    DROP_AFTER_ACCEPTING = "drop_after_accepting"
    HOLD_AFTER_ACCEPTING = "hold_after_accepting"  # until released
    DELAY_AFTER_ACCEPTING = "delay_after_accepting"  # [seconds]
    ACCEPT_SLOWLY = "accept_slowly"  # [seconds] between the look for the correlation id and the storing
    HOLD_WHILE_ACCEPTING = "hold_while_accepting"  # at the same place, until released
    # reading an execution
    EMPTY_BODY = "empty_body"  # 200 and nothing
    LATE_READS = "late_reads"  # [reads] of each new execution do not find it
    UNKNOWN_STATUS = "unknown_status"  # [status]
    REPEATED_MATCHES = "repeated_matches"  # [repeats: 10] of each match of a search, as of Orca on Redis
    # in an execution
    NOT_STARTED = "not_started"  # [seconds] before it starts
    TERMINAL_AT_ONCE = "terminal_at_once"  # 202, and the execution is TERMINAL
    FAIL_BAKE = "fail_bake"
    DEPLOYS_NOTHING = "deploys_nothing"  # SUCCEEDED, and AWS is as before
    UNHEALTHY_VERSION = "unhealthy_version"  # [version, cluster] its instances never get healthy
    ZOMBIE = "zombie"  # RUNNING for ever; a cancel has no effect
    CANARY_SCORE = "canary_score"  # [score] of the canaries of a pipeline
    # in saving a configuration
    SAVE_TIMES_OUT = "save_times_out"  # 400 [reads: lists of configurations that do not show it yet; -1: never saved]
    SAVE_SEEN_LATE = "save_seen_late"  # 200 [reads] of the lists are from before


_OF_TRIGGERS = {
    FaultKind.DROP_BEFORE_ACCEPTING,
    FaultKind.HOLD_BEFORE_ACCEPTING,
    FaultKind.ERROR_AFTER_ACCEPTING,
    FaultKind.DROP_AFTER_ACCEPTING,
    FaultKind.HOLD_AFTER_ACCEPTING,
    FaultKind.DELAY_AFTER_ACCEPTING,
}


@dataclass(slots=True, kw_only=True)
class Fault:
    """One switched-on fault. `times` is how often it still strikes; -1 means until it is switched off."""

    kind: FaultKind
    times: int = NO_LIMIT
    options: dict[str, Any] = field(default_factory=dict)

    def fits(self, facts: dict[str, Any]) -> bool:
        """True when no option contradicts what is known of the moment."""
        return all(self.options[name] == fact for name, fact in facts.items() if name in self.options)

    def as_json(self) -> dict[str, Any]:
        """As GET /sandbox/faults shows it."""
        return {"kind": self.kind.value, "times": self.times, **self.options}


class Faults:
    """The switchboard. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._faults: list[Fault] = []
        self._held = 0
        self._arrivals = 0
        self._round = 0
        self._accept = True
        self._open = True

    def on(self, kind: str, *, times: int = NO_LIMIT, **options: Any) -> None:
        """Switch a fault on.

        Options that are conditions limit it: `operation` (trigger, read, bulk, search, configs, config, save, update,
        delete, judge, cancel, pause, resume), `application`, `pipeline`, `version`, `region`. Faults around accepting
        concern triggers unless `operation` says otherwise. Raises ValueError for a kind that does not exist.
        """
        fault = FaultKind(kind)
        if fault in _OF_TRIGGERS:
            options.setdefault("operation", "trigger")
        with self._changed:
            self._faults.append(Fault(kind=fault, times=times, options=options))

    def off(self, kind: str, **options: Any) -> None:
        """Switch off the faults of a kind whose options hold `options`."""
        wanted = options.items()
        with self._changed:
            self._faults = [each for each in self._faults if each.kind != kind or not wanted <= each.options.items()]

    def clear(self) -> None:
        """Switch everything off and let go whoever is held."""
        with self._changed:
            self._faults.clear()
        self.release()

    def take(self, kind: FaultKind, **facts: Any) -> dict[str, Any] | None:
        """The options of a fault that strikes now, and count it; None when none does."""
        with self._changed:
            fault = next((each for each in self._faults if each.kind == kind and each.fits(facts)), None)
            if fault is None:
                return None
            if fault.times != NO_LIMIT:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
            return fault.options

    def as_json(self) -> dict[str, Any]:
        """What is on, and how many requests are held."""
        with self._changed:
            return {"faults": [each.as_json() for each in self._faults], "held": self._held}

    # -- holding -----------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Stay here until `release` (or the end of the server). Raises `TurnedAway` when released with accept=False."""
        with self._changed:
            mine = self._round
            self._held += 1
            self._arrivals += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._round != mine or not self._open)
            self._held -= 1
            if not self._accept or not self._open:
                raise TurnedAway

    def wait_until_held(self, timeout: float = 10.0) -> bool:
        """True as soon as a request is held, False when none came within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._held > 0, timeout)

    def release(self, *, accept: bool = True) -> None:
        """Let go everybody who is held; with accept=False their connections end as if they had never arrived."""
        with self._changed:
            self._accept = accept
            self._round += 1
            self._changed.notify_all()

    def close(self) -> None:
        """The server ends: nobody is held any more."""
        with self._changed:
            self._open = False
            self._changed.notify_all()


class TurnedAway(Exception):
    """A held request was let go without being accepted."""
