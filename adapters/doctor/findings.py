"""What a check says: a verdict, one sentence on what was seen, and one on what to do about it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

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
        """It could not be asked; sentences of Fairlead's end with their fix behind the last semicolon or colon."""
        text = " ".join(str(error).split()) or type(error).__name__
        seen, mark, fix = text.rpartition("; ")
        if not mark:
            seen, mark, fix = text.rpartition(": ")
        return self.unreachable(seen if mark else text, fix if mark else "see what it says, and ask again")

    def _said(self, verdict: Verdict, seen: str, fix: str = "", *, unreachable: bool = False) -> Finding:
        return Finding(check=self.check, about=self.name, verdict=verdict, seen=seen, fix=fix, unreachable=unreachable)


Check = Callable[[], Iterable[Finding]]


def together(checks: Sequence[Check]) -> Iterator[Finding]:
    """Everything that the checks find, in their order; they run at the same time."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for found in pool.map(lambda check: list(check()), checks):
            yield from found
