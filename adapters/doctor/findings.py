"""What a check says: a verdict, one sentence on what was seen, and one on what to do about it."""

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
AT_ONCE = 16  # checks: nearly all of their time is waiting for an answer


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    TROUBLE = "trouble"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's. `fix` is empty where there is nothing to do."""

    check: str  # the system: git, ledger, aws ...
    about: str  # which one of it
    verdict: Verdict
    seen: str
    fix: str = ""
    unreachable: bool = False  # trouble, because the system did not let itself be asked


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """One thing that is looked at, and the four ways to speak of it."""

    check: str
    name: str

    def ok(self, seen: str) -> Finding:
        """It is as it should be."""
        return self._said(Verdict.OK, seen)

    def warning(self, seen: str, fix: str) -> Finding:
        """Fairlead works all the same, and something is worse for it."""
        return self._said(Verdict.WARNING, seen, fix)

    def trouble(self, seen: str, fix: str) -> Finding:
        """Fairlead cannot do its work with this."""
        return self._said(Verdict.TROUBLE, seen, fix)

    def unreachable(self, seen: str, fix: str) -> Finding:
        """It could not be asked."""
        return self._said(Verdict.TROUBLE, seen, fix, unreachable=True)

    def skipped(self, seen: str, fix: str = "") -> Finding:
        """It was not looked at, and why."""
        return self._said(Verdict.SKIPPED, seen, fix)

    def failed(self, error: Exception) -> Finding:
        """It could not be asked."""
        return self.unreachable(*_parted(" ".join(str(error).split()) or type(error).__name__))

    def refused(self, sentence: str) -> Finding:
        """The controller would not start with this, or not use it."""
        return self.trouble(*_parted(sentence))

    def _said(self, verdict: Verdict, seen: str, fix: str = "", *, unreachable: bool = False) -> Finding:
        return Finding(check=self.check, about=self.name, verdict=verdict, seen=seen, fix=fix, unreachable=unreachable)


def _parted(sentence: str) -> tuple[str, str]:
    """What was seen, and the fix: sentences of Fairlead's end with it behind the last semicolon or colon."""
    for mark in ("; ", ": "):
        seen, found, fix = sentence.rpartition(mark)
        if found:
            return seen, fix
    return sentence, "see what it says, and ask again"


def attempted(action: Callable[[], T], what: str) -> T | Finding:
    """What it gives, or the finding that it has a defect, so that the other checks are still told.

    The error's own text is left out: it may repeat what was looked at.
    """
    try:
        return action()
    except Exception as error:  # noqa: BLE001  a check that breaks off is a finding; the others must be printed
        place = traceback.extract_tb(error.__traceback__)[-1]
        seen = f"this check failed: {type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        return About(check="doctor", name=what).trouble(seen, "report it, with this line")


Check = Callable[[], Iterable[Finding]]


def together(checks: Sequence[Check]) -> Iterator[Finding]:
    """Everything that the checks find, in their order; they run at the same time."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for found in pool.map(_findings, checks):
            yield from found


def _findings(check: Check) -> list[Finding]:
    name = getattr(getattr(check, "func", check), "__qualname__", "a check")
    found = attempted(lambda: list(check()), name)
    return [found] if isinstance(found, Finding) else found
