"""Reports: what a host says of itself. It says what it observes, never what it was told.

One a fleet on the host: at boot, on every change, and as a jittered heartbeat. Anyone who may send to the queue may
have written one: who sent it is told by SQS (`SenderId`), never by the report.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from adapters.agent_protocol.addresses import FLEET
from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.fields import LONGEST, Fields, Malformed, moment_text
from adapters.agent_protocol.plain_text import lines, one_line
from adapters.agent_protocol.strict_json import read_json

FORMAT = "fairlead/report/v1"
LARGEST = 256 * 1024  # characters
LOG_TAIL = 2048  # characters
SAID = 1000  # characters of a sentence
SHOWN = 512  # characters of a name or version
_UNSENDABLE = re.compile("[\0\ud800-\udfff\ufffe\uffff]")  # SQS refuses them (SendMessage), and so do databases


class WorkState(StrEnum):
    """Where a host stands with its assignment."""

    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


class Blame(StrEnum):
    """What a failed assignment failed of."""

    NONE = ""
    UNHEALTHY = "unhealthy"  # the release itself
    REFUSED = "refused"  # what was asked cannot be: no such artifact, another checksum, no such secret
    TRANSIENT = "transient"  # the road: S3 not reached, disk full, throttled


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The newest assignment, by its key, and what came of it."""

    key: str  # orders.Assignment.key
    version: str
    attempt: int
    state: WorkState
    stage: str = ""  # staging, pre-hook, draining, ...: docs/agent-protocol.md draws them all
    message: str = ""
    blame: Blame = Blame.NONE
    rolled_back_to: str = ""  # the version that the host went back to by itself; empty: it did not
    log: str = ""  # the last words of what was run, bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The newest step before a version that this host was asked for, by its key, and what came of it."""

    key: str  # orders.step_key
    state: WorkState
    message: str = ""  # while it works: staging, running
    blame: Blame = Blame.NONE
    log: str = ""  # the last words of what was run, bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The newest order that was not believed."""

    reason: str
    message: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one host says of one fleet. `number` grows with every report, also over restarts."""

    host: str
    fleet: str
    agent: str  # the agent's version
    number: int
    at: datetime  # by the host's clock: for people only
    sequence: int = 0  # of the order that it follows; 0: none
    expires: datetime | None = None  # of that order
    components: Mapping[str, str] = field(default_factory=dict)  # what is installed and unchanged since
    running: bool = False
    healthy: bool = False
    message: str = ""  # why it is not healthy, or what a person should know
    report_only: bool = False
    last_good: str = ""  # the version that it would go back to
    target_groups: tuple[str, ...] = ()  # that it is attached to
    work: Work | None = None
    refused: Refusal | None = None
    before: Step | None = None
    leaving: str = ""  # why the host is about to go; empty: it stays

    def text(self) -> str:
        """The message. Texts are cut, and what no queue takes in them is replaced: it always can be sent and read."""
        work, refused = self.work, self.refused
        said: dict[str, Any] = {
            "format": FORMAT,
            "host": _cut(self.host),
            "fleet": _cut(self.fleet),
            "agent": _cut(self.agent, 60),
            "number": self.number,
            "at": moment_text(self.at),
            "sequence": self.sequence,
            "expires": moment_text(self.expires) if self.expires else None,
            "components": {_cut(name): _cut(version) for name, version in self.components.items()},
            "running": self.running,
            "healthy": self.healthy,
            "message": _cut(self.message, SAID),
            "report_only": self.report_only,
            "last_good": _cut(self.last_good),
            "target_groups": [_cut(group) for group in self.target_groups],
            "work": _work_document(work) if work else None,
            "refused": _refusal_document(refused) if refused else None,
            "before": _step_document(self.before) if self.before else None,
            "leaving": _cut(self.leaving, SAID),
        }
        return canonical(said).decode()


def _work_document(work: Work) -> dict[str, Any]:
    return {
        "key": _cut(work.key),
        "version": _cut(work.version),
        "attempt": work.attempt,
        "state": work.state,
        "stage": _cut(work.stage, 60),
        "message": _cut(work.message, SAID),
        "blame": work.blame,
        "rolled_back_to": _cut(work.rolled_back_to),
        "log": _sendable(work.log[-LOG_TAIL:]),
    }


def _step_document(step: Step) -> dict[str, Any]:
    return {
        "key": _cut(step.key),
        "state": step.state,
        "message": _cut(step.message, SAID),
        "blame": step.blame,
        "log": _sendable(step.log[-LOG_TAIL:]),
    }


def _refusal_document(refused: Refusal) -> dict[str, Any]:
    return {
        "reason": _cut(refused.reason, 60),
        "message": _cut(refused.message, SAID),
        "sequence": refused.sequence,
    }


def _cut(text: str, most: int = SHOWN) -> str:
    return _sendable(text[:most])


def _sendable(text: str) -> str:
    return _UNSENDABLE.sub("\ufffd", text)


def read_report(body: str) -> Report:
    """The report in a message's body. Its sentences are without what a terminal would obey. Raises `Malformed`."""
    if len(body) > LARGEST:
        raise Malformed(f"a report has at most {LARGEST} characters")
    fields = Fields(read_json(body, "the report"), "report")
    if fields.text("format", 60) != FORMAT:
        raise Malformed(f"the report's format is not {FORMAT}")
    return Report(
        host=fields.filled("host"),
        fleet=_fleet(fields),
        agent=one_line(fields.text("agent", 60)),
        number=fields.whole("number"),
        at=fields.moment("at"),
        sequence=fields.whole("sequence"),
        expires=fields.moment("expires") if fields.has("expires") else None,
        components=fields.texts("components"),
        running=fields.truth("running"),
        healthy=fields.truth("healthy"),
        message=one_line(fields.text("message")),
        report_only=fields.truth("report_only"),
        last_good=one_line(fields.text("last_good")),
        target_groups=fields.names("target_groups"),
        work=fields.maybe("work", _work),
        refused=fields.maybe("refused", _refusal),
        before=fields.maybe("before", read_step),
        leaving=one_line(fields.optional("leaving") or ""),
    )


def _fleet(fields: Fields) -> str:
    """Its readers make paths and keys of it."""
    name = fields.text("fleet")
    if FLEET.fullmatch(name) is None:
        raise Malformed("report.fleet must be environment and service, like prod/matchmaker")
    return name


def read_step(fields: Fields, longest: int = LONGEST) -> Step:
    """A step out of its JSON, as a report or a host's journal holds it. Raises `Malformed`."""
    state, blame = _state_and_blame(fields, "before")
    return Step(
        key=fields.filled("key"),
        state=state,
        message=one_line(fields.text("message", longest)),
        blame=blame,
        log=lines(fields.text("log", longest)),
    )


def _state_and_blame(fields: Fields, where: str) -> tuple[WorkState, Blame]:
    try:
        return WorkState(fields.text("state")), Blame(fields.text("blame"))
    except ValueError as error:
        raise Malformed(f"{where}: {error}") from None


def _work(fields: Fields) -> Work:
    state, blame = _state_and_blame(fields, "work")
    return Work(
        key=fields.filled("key"),
        version=one_line(fields.text("version")),
        attempt=fields.whole("attempt", 1),
        state=state,
        stage=one_line(fields.text("stage", 60)),
        message=one_line(fields.text("message")),
        blame=blame,
        rolled_back_to=one_line(fields.text("rolled_back_to")),
        log=lines(fields.text("log")),
    )


def _refusal(fields: Fields) -> Refusal:
    reason, message = one_line(fields.text("reason", 60)), one_line(fields.text("message"))
    return Refusal(reason=reason, message=message, sequence=fields.whole("sequence"))
