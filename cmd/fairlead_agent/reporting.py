"""Reports on their way to the controller: the newest of each fleet, sent by a thread of its own.

A report that cannot be sent holds nothing up and is not kept: a newer one is the better one. While a fleet's thread is
at work the last report is sent again as a heartbeat, so that a long download is not taken for silence. Of a fleet that
rests nothing is sent again: if its thread hangs, the controller shall hear the silence.

How a work ended goes at once. A step of it goes when it has lasted: thousands of hosts that each tell of every step of
a deploy of a moment would keep the controller from hearing how it ended.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Condition, Lock
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from adapters.agent_protocol.addresses import reports_queue_name
from adapters.agent_protocol.reports import Report, WorkState
from fairlead_agent.clock import Clock, jittered
from fairlead_agent.durable import write_whole
from fairlead_agent.log import Log

RETRY = 2.0  # seconds until what was not sent is tried again; twice that each further time
RARELY = 60.0  # seconds, the most
STEP = 2.0  # seconds that a step of work is kept back, and is not told where the next word comes meanwhile
LATE = 1.25  # a heartbeat that is this much overdue is sent by the sender itself
_AHEAD = 1000  # numbers that are reserved on the disk at once
_LARGEST = 2**52  # of a number that a file may claim: what is above is no number of ours, and no reader takes 2**53


class Numbers:
    """Numbers that grow, also over restarts: a file holds the next that may be given after one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = _number_in(path)
        self._reserved = 0
        self._lock = Lock()

    def take(self) -> int:
        """The next one. Where the disk takes nothing it goes on without it."""
        with self._lock:
            if self._next >= self._reserved:
                self._reserved = self._next + _AHEAD
                with suppress(OSError):
                    write_whole(self._path, str(self._reserved).encode())
            self._next += 1
            return self._next - 1


def _number_in(path: Path) -> int:
    try:
        found = int(path.read_text("ascii"))
    except (OSError, ValueError):
        return 1
    return found if 0 < found < _LARGEST else 1


class Sender:
    """Sends what fleets post. `send_due` is one round of its thread; `post` may be called by any."""

    def __init__(
        self,
        client: Callable[[], Any],
        numbers: Numbers,
        heartbeat: float,
        clock: Clock,
        log: Log,
        was_heard: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._was_heard = was_heard  # called after each report that SQS took; may raise OSError
        self._numbers = numbers
        self._heartbeat = heartbeat
        self._clock = clock
        self._log = log
        self._wake = Condition()
        self._leaving, self._aside = "", ""
        self._posted: dict[str, Report] = {}  # not sent yet
        self._last: dict[str, Report] = {}
        self._sent_at: dict[str, float] = {}
        self._queues: dict[str, str] = {}  # URL by name
        self._failing: dict[str, str] = {}  # by fleet: why
        self._retry: dict[str, float] = {}  # by fleet: seconds
        self._not_before: dict[str, float] = {}  # by fleet: its next try
        self._steps: dict[str, float] = {}  # by fleet: when the oldest step that was not told yet is told

    def post(self, report: Report) -> None:
        """Send this soon, in place of an older one of the same fleet. A step of work waits for `STEP` seconds."""
        with self._wake:
            self._posted[report.fleet] = self._last[report.fleet] = report
            if _is_at_work(report) and report.fleet in self._steps:
                return  # who sends knows when
            if _is_at_work(report):
                self._steps[report.fleet] = self._clock.monotonic() + STEP
            else:
                self._steps.pop(report.fleet, None)
            self._wake.notify()

    def say_of_all(self, leaving: str, aside: str) -> None:
        """What every report says of the host from now on; the last ones are sent again where that is new.

        `leaving` is why it is about to go, `aside` what a person should know.
        """
        with self._wake:
            if (leaving, aside) == (self._leaving, self._aside):
                return
            self._leaving, self._aside = leaving, aside
            self._posted = {**self._last, **self._posted}
            self._wake.notify()

    def silence(self, fleet: str) -> None:
        """Its last report is not sent again: what it says may not be so any more."""
        with self._wake:
            self._last.pop(fleet, None)

    def wait(self) -> None:
        """Return when there may be something to send."""
        with self._wake:
            now = self._clock.monotonic()
            left = [self._at(fleet, now) - now for fleet in self._posted]
            longest = min([*left, self._heartbeat / 2])
            if longest > 0:
                self._wake.wait(longest)

    def _at(self, fleet: str, now: float) -> float:
        """When something of it may be sent."""
        return max(self._not_before.get(fleet, now), self._steps.get(fleet, now))

    def send_due(self, *, last: bool = False) -> None:
        """Send what was posted and what is overdue, steps too if it is the last time.

        What could not be sent is due again after a while.
        """
        now = self._clock.monotonic()
        with self._wake:
            if last:
                self._steps.clear()
            due = {**self._overdue(now), **self._posted}
            due = {fleet: report for fleet, report in due.items() if self._at(fleet, now) <= now}
            self._posted = {**due, **self._posted}  # one that meets a surprise must not take the others with it
        for fleet, report in due.items():
            with self._wake:
                if self._posted.get(fleet) is report:
                    del self._posted[fleet]
                    self._steps.pop(fleet, None)
            said = "something that nobody thought of"
            try:
                said = self._send(report)
            finally:
                if said:
                    self._failed(report, said)
                else:
                    self._went(fleet)

    def _overdue(self, now: float) -> dict[str, Report]:
        return {
            fleet: report
            for fleet, report in self._last.items()
            if _is_at_work(report) and now - self._sent_at.get(fleet, now) > LATE * self._heartbeat
        }

    def _went(self, fleet: str) -> None:
        self._failing.pop(fleet, None)
        self._retry.pop(fleet, None)
        self._not_before.pop(fleet, None)

    def _failed(self, report: Report, said: str) -> None:
        fleet = report.fleet
        if said != self._failing.get(fleet):
            self._log("report-not-sent", fleet=fleet, why=said)
        wait = self._retry.get(fleet, RETRY)
        self._failing[fleet], self._retry[fleet] = said, min(2 * wait, RARELY)
        self._not_before[fleet] = self._clock.monotonic() + jittered(wait)
        with self._wake:
            self._posted.setdefault(fleet, report)

    def _send(self, report: Report) -> str:
        """Send one. Gives what went wrong."""
        name = reports_queue_name(report.fleet.partition("/")[0])
        said = "; ".join(part for part in (report.message, self._aside) if part)
        numbered = replace(
            report, number=self._numbers.take(), at=self._clock.now(), message=said, leaving=self._leaving
        )
        try:
            if name not in self._queues:
                self._queues[name] = self._client().get_queue_url(QueueName=name)["QueueUrl"]
            self._client().send_message(QueueUrl=self._queues[name], MessageBody=numbered.text())
        except (ClientError, BotoCoreError) as error:
            self._queues.pop(name, None)
            return f"cannot send to the queue {name}: {' '.join(str(error).split())[:300]}"
        self._sent_at[report.fleet] = self._clock.monotonic()
        try:
            self._was_heard()
        except OSError as error:
            self._log("not-written", fleet=report.fleet, why=f"cannot write down that it was heard: {error}")
        return ""


def _is_at_work(report: Report) -> bool:
    under_way = (report.work, report.before)
    return any(each is not None and each.state is WorkState.WORKING for each in under_way)
