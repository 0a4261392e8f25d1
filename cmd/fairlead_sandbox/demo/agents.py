"""What agents wrote into their own logs, as facts: which host did what, and when."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

ACTIVATING, DONE, FAILED, ROLLED_BACK = "activating", "done", "failed", "rolled-back"
STEPS = frozenset({"staging", "draining", ACTIVATING, "restarting", FAILED, ROLLED_BACK})  # more than to read an order


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLine:
    """One line: `2026-11-24T06:01:09.250Z done fleet=prod/matchmaker version=2.3.1`."""

    host: str  # instance id
    at: datetime
    event: str
    facts: Mapping[str, str]

    @property
    def version(self) -> str:
        """The version that it speaks of; empty where it names none."""
        return self.facts.get("version", "")


def lines_of(host: str, fleet: str, log: str) -> Iterator[AgentLine]:
    """The lines about a fleet, oldest first; what is no event is left out, and so is a line not yet written whole."""
    for text in log[: log.rfind("\n") + 1].splitlines():
        line = _line(host, text)
        if line is not None and line.facts.get("fleet") == fleet:
            yield line


def _line(host: str, text: str) -> AgentLine | None:
    try:
        stamp, event, *said = shlex.split(text)
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    facts = dict(each.split("=", 1) for each in said if "=" in each)
    return AgentLine(host=host, at=at, event=event, facts=facts)
