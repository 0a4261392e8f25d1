"""Hosts that others deploy to: the version by a command, and nothing is touched."""

from collections.abc import Callable
from dataclasses import replace
from threading import Event

from adapters.agent_protocol.reports import Report
from fairlead_agent.commands import Runner
from fairlead_agent.deciding import Readiness
from fairlead_agent.observing import Seen
from fairlead_agent.settings import Observe
from fairlead_agent.trouble import Trouble

WITHIN = 30.0  # seconds that the command may take
_LONGEST = 200  # characters of a version


class Elsewhere:
    """What a fleet runs that Fairlead did not install, by the `observe` command of the settings, where there is one."""

    def __init__(self, fleet: str, how: Observe, run: Runner) -> None:
        self._component = how.component or f"package/{fleet.partition('/')[2]}"
        self._command = how.command
        self._run = run

    def look(self) -> Seen:
        """The version that the command prints on its only line. Raises nothing."""
        if self._command is None:
            return Seen()
        try:
            ended = self._run(["/bin/sh", "-c", self._command], within=WITHIN)
        except Trouble as trouble:
            return Seen(ailment=trouble.message)
        lines = ended.output_tail.strip().splitlines()
        if not ended.well:
            return Seen(ailment=": ".join([f"the observe command {ended.how}", *lines[-1:]]))
        if len(lines) != 1 or len(lines[0]) > _LONGEST:
            return Seen(ailment=f"the observe command must print one line, the version; it printed {len(lines)}")
        return Seen(components={self._component: lines[0].strip()}, running=True, ailment="")


class Watcher:
    """A fleet with `--report-only`: `work` is one round, as a worker's. It never reads an order."""

    def __init__(self, fleet: str, elsewhere: Elsewhere, post: Callable[[Report], None], blank: Report) -> None:
        self.fleet = fleet
        self.wake = Event()
        self.wake.set()
        self._elsewhere = elsewhere
        self._post = post
        self._blank = blank
        self._seen = Seen()
        self.is_away = False

    def look(self) -> None:
        """Orders are not its business."""

    @property
    def is_preparing(self) -> bool:
        """Nothing is carried out."""
        return False

    @property
    def is_held(self) -> bool:
        """Nothing is carried out."""
        return False

    @property
    def drains(self) -> float:
        """It leaves no target groups."""
        return 0.0

    def leave(self, *, leaving: bool) -> None:
        """Nothing of the host's traffic is its business."""
        self.is_away = leaving

    def launch(self, *, waits: bool) -> None:
        """Nothing is begun, whoever is served."""

    def end(self) -> None:
        """Nothing is under way."""
        self.wake.set()

    @property
    def is_settled(self) -> bool:
        """The version is known."""
        return not self._seen.ailment

    @property
    def readiness(self) -> Readiness:
        """No order is read."""
        return Readiness.EMPTY

    def work(self) -> None:
        """Look and report."""
        self.wake.clear()
        self._seen = seen = self._elsewhere.look()
        self._post(
            replace(
                self._blank,
                components=seen.components,
                running=seen.running,
                healthy=not seen.ailment,
                message=seen.ailment,
                report_only=True,
            )
        )
