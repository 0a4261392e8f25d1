"""The service on the host: a systemd unit, or a command that restarts it.

The rules: systemctl(1). `is-active` prints the state, and `failed` means that systemd will not start it again.
"""

from pathlib import Path
from threading import Event

from adapters.agent_protocol.orders import Run
from adapters.agent_protocol.reports import Blame
from fairlead_agent.commands import Runner
from fairlead_agent.running import Process
from fairlead_agent.trouble import Interrupted, Trouble

START = 60.0  # seconds that a start may take, and longer where its health may: Type=notify begins when it is ready
ASK = 10.0  # seconds for a question to systemd
_MORE = 5.0  # seconds: systemd itself should be the one who ends what does not stop


class Service:
    """Restarts and looks at services."""

    def __init__(self, run: Runner) -> None:
        self._run = run

    def restart(self, how: Run, folder: Path, stop: Event, within: float = 0.0) -> None:
        """Stop what runs and start what is current. Raises `Trouble`: UNHEALTHY where it does not start; `Interrupted`.

        `within`: seconds that it has to be healthy, which a start may take as well. What does not stop within its time
        is killed, with everything in its group. Who interrupts does not leave the service stopped: what comes next may
        take long, or never come.
        """
        if stop.is_set():
            raise Interrupted
        if how.unit is None:
            self._command(how, folder, max(START, within))
            return
        before = self.process(how)
        try:
            self._stop(how.unit, how.stop_within, stop)
            self._start(how.unit, max(START, within), stop)
        except Interrupted:
            self._run(["systemctl", "--no-block", "start", how.unit], within=ASK)
            raise
        if before is not None and before == self.process(how):
            said = f"systemctl restart left the old process running: {how.unit} has still {before.pid} as its main one"
            raise Trouble(Blame.UNHEALTHY, said)

    def _stop(self, unit: str, within: float, stop: Event) -> None:
        stopped = self._run(["systemctl", "stop", unit], within=within + _MORE, stop=stop)
        if not stopped.well:
            self._run(["systemctl", "kill", "--signal=SIGKILL", unit], within=ASK)
            self._run(["systemctl", "stop", unit], within=ASK)
        self._run(["systemctl", "reset-failed", unit], within=ASK)  # so that old failures do not count against it

    def _start(self, unit: str, within: float, stop: Event) -> None:
        started = self._run(["systemctl", "start", unit], within=within, stop=stop)
        if not started.well:
            raise Trouble(Blame.UNHEALTHY, f"systemctl start {unit} {started.how}", started.output_tail)

    def _command(self, how: Run, folder: Path, within: float) -> None:
        """Not interrupted: ending its group half-way could end the service, and nobody would begin it again."""
        ended = self._run(
            ["/bin/sh", "-c", how.command or ""], within=how.stop_within + within, cwd=folder, lasting=True
        )
        if not ended.well:
            raise Trouble(Blame.UNHEALTHY, f"the command that restarts it {ended.how}", ended.output_tail)

    def beneath(self, how: Run, folder: Path) -> str:
        """The version that runs where no release of ours is active, and makes that so. Empty: nothing does."""
        return ""

    def is_running(self, how: Run) -> bool:
        """Its process is there. Of a command nothing can be told, so it counts as running."""
        return how.unit is None or self._state(how.unit) in {"active", "reloading", "deactivating"}

    def process(self, how: Run) -> Process | None:
        """Its unit's main process. None: nobody can tell, as of a command, or of a unit that has none."""
        if how.unit is None:
            return None
        asked = ["systemctl", "show", "--property=MainPID,ExecMainStartTimestampMonotonic", how.unit]
        try:
            lines = self._run(asked, within=ASK).output_tail.splitlines()
        except Trouble:
            return None
        said = dict(line.partition("=")[::2] for line in lines)
        pid, began = said.get("MainPID", ""), said.get("ExecMainStartTimestampMonotonic", "")
        if not (pid.isdecimal() and began.isdecimal()) or 0 in (int(pid), int(began)):
            return None
        return Process(pid=int(pid), began=int(began))

    def failure(self, how: Run) -> str:
        """Why it will not come up by itself, or nothing."""
        if how.unit is not None and self._state(how.unit) == "failed":
            return f"{how.unit} has failed"
        return ""

    def _state(self, unit: str) -> str:
        try:
            return self._run(["systemctl", "is-active", unit], within=ASK).output_tail.strip()
        except Trouble:
            return ""  # there is no systemctl
