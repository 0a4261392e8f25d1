"""The agent as a service of its own, that it upgrades like any other: the unit `fairlead-agent.service` in an order.

It cannot restart itself and see how that went. So it ends, once its journal says that it restarts; its launcher starts
what is `current` then, and the new agent goes on at that step. It is restarted when SQS has taken a report of it and it
has believed an order of its own fleet, as one that reads none could never be replaced: that is written into `heard`,
and the launcher goes back from a release that does not get there (deploy/agent/launcher.py). The agent before it then
finds why in `went-back.json`, and says so as the failure of the assignment.
"""

import json
import os
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import monotonic

from adapters.agent_protocol.orders import Order, Release, Run
from adapters.agent_protocol.places import AGENT_UNIT, is_agents, is_one_in_the_other
from adapters.agent_protocol.reports import Blame
from fairlead_agent.commands import Runner
from fairlead_agent.durable import remove, sync_folder, write_whole
from fairlead_agent.log import Log
from fairlead_agent.running import Process
from fairlead_agent.service import Service
from fairlead_agent.trouble import Interrupted, Trouble

UNIT = AGENT_UNIT
PROGRAM = "fairlead-agent.pyz"
_HEARD, _WENT_BACK = "heard", "went-back.json"
_NO_LAUNCHER = "no launcher started this agent, so it cannot upgrade itself; install its package"
_SAME = 30.0  # seconds that the agent before has to get through where a new one did not; else it is the road's fault
_PAUSE = 0.5  # seconds between two looks whether it was heard, and whether others are at work
_OTHERS = 900.0  # seconds that the deploys of other fleets may take before they are interrupted, and resumed


@dataclass(frozen=True, slots=True, kw_only=True)
class Itself:
    """What the launcher said. `leaving` is set where this process is to end; `heard` where it was."""

    version: str
    root: Path | None = None  # its own; None: no launcher started it
    release: str = ""  # that this process is; empty: the one of the package
    leaving: Event = field(default_factory=Event)
    sent: Event = field(default_factory=Event)  # SQS took a report of this process
    read: Event = field(default_factory=Event)  # this process believed an order of the agent's own fleet
    heard: Event = field(default_factory=Event)  # that is written down
    others: dict[str, Callable[[], bool]] = field(default_factory=dict)  # by fleet: whether it is at work

    def was_sent(self) -> None:
        """SQS took a report. Raises OSError, and may be called again."""
        self.sent.set()
        self.settle()

    def was_read(self, order: Order) -> None:
        """A fleet's order was believed."""
        releases = [each for each in (order.target, order.base) if each is not None]
        if any(is_agents(each.lifecycle.run.unit) for each in releases):
            self.read.set()

    def settle(self) -> None:
        """Write down that this release was heard, as soon as it was. Raises OSError, and may be called again.

        The agent of the package is on no trial: it needs no order.
        """
        if self.heard.is_set() or not self.sent.is_set() or not (self.read.is_set() or not self.release):
            return
        if self.root is not None and self.root.is_dir():
            write_whole(self.root / _HEARD, f"{self.release}\n".encode())
        self.heard.set()

    @property
    def is_known(self) -> bool:
        """This release was heard before, maybe by a process before this one."""
        try:
            return self.root is not None and (self.root / _HEARD).read_text("ascii").strip() == self.release
        except (OSError, ValueError):
            return False

    def check(self, release: Release, root: Path) -> None:
        """Before anything is touched. Raises `Trouble` (REFUSED) where this agent cannot become that release."""
        if not is_agents(release.lifecycle.run.unit):
            if self.root is not None and is_one_in_the_other(str(root.resolve()), str(self.root.resolve())):
                raise _refused(f"{root} is the agent's own, which is upgraded as {UNIT} only; give another `root`")
            return
        if self.root is None:
            raise _refused(_NO_LAUNCHER)
        if root.resolve() != self.root.resolve():
            raise _refused(f"the agent's own root is {self.root}, not {root}; write that as `root`")
        if PROGRAM not in {artifact.to or artifact.name for artifact in release.artifacts}:
            raise _refused(f"no package of {release.version} is put to {PROGRAM}; write `to: {PROGRAM}`")

    def went_back(self, release: str) -> str:
        """Why the launcher went back from a release; empty: it did not."""
        if self.root is None:
            return ""
        try:
            said = json.loads((self.root / _WENT_BACK).read_bytes())
            return str(said["why"]) if said["release"] == release else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def forget(self) -> None:
        """It is written down elsewhere why the launcher went back. Raises OSError."""
        if self.root is not None:
            remove(self.root / _WENT_BACK)


def launched(environment: MutableMapping[str, str], version: str) -> Itself:
    """What the launcher said in the environment; taken out of it, as it is not for what this agent starts."""
    root, release = environment.pop("FAIRLEAD_AGENT_SELF", ""), environment.pop("FAIRLEAD_AGENT_RELEASE", None)
    return Itself(version=version, root=Path(root) if root and release is not None else None, release=release or "")


class OwnService(Service):
    """Services, this agent among them."""

    def __init__(self, run: Runner, itself: Itself, fleet: str, log: Log) -> None:
        super().__init__(run)
        self._itself = itself
        self._fleet = fleet
        self._log = log

    def restart(self, how: Run, folder: Path, stop: Event, within: float = 0.0) -> None:
        """As for any service; for the agent's own unit this process ends, or was restarted and waits to be heard."""
        if not is_agents(how.unit):
            super().restart(how, folder, stop, within)
            return
        if stop.is_set():
            raise Interrupted
        wanted, itself = folder.readlink().name, self._itself
        if itself.root is None:
            raise _refused(_NO_LAUNCHER)
        if wanted != itself.release:
            if why := itself.went_back(wanted):
                raise Trouble(self._blame(stop), f"the new agent {why}")
            self._let_others_end(stop)
            self._log("hands-over", fleet=self._fleet, release=wanted)
            itself.leaving.set()
            raise Interrupted
        while not itself.is_known and not itself.heard.wait(_PAUSE):  # what takes too long is ended by the launcher
            if stop.is_set():
                raise Interrupted
            with suppress(OSError):  # who sends tries again, and says so
                itself.settle()
        itself.forget()

    def _blame(self, stop: Event) -> Blame:
        """Where this agent neither reports nor reads, the new one could not either. Raises `Interrupted`."""
        until = monotonic() + _SAME
        for event in (self._itself.heard, self._itself.read):
            while not event.wait(_PAUSE) and monotonic() < until:
                if stop.is_set():
                    raise Interrupted
        return Blame.UNHEALTHY if self._itself.heard.is_set() and self._itself.read.is_set() else Blame.TRANSIENT

    def _let_others_end(self, stop: Event) -> None:
        """A deploy of another fleet is not cut in two for this one. Raises `Interrupted`."""
        until, others = (
            monotonic() + _OTHERS,
            [each for name, each in self._itself.others.items() if name != self._fleet],
        )
        while any(is_at_work() for is_at_work in others) and monotonic() < until:
            if stop.wait(_PAUSE):
                raise Interrupted

    def beneath(self, how: Run, folder: Path) -> str:
        """The agent of the package, where this is that one: nothing of ours is active then."""
        itself = self._itself
        if not is_agents(how.unit) or itself.root is None or itself.release:
            return ""
        remove(folder)
        sync_folder(folder.parent)
        itself.forget()
        return itself.version

    def is_running(self, how: Run) -> bool:
        """This very process is there."""
        return is_agents(how.unit) or super().is_running(how)

    def process(self, how: Run) -> Process | None:
        """This very process, by the kernel's clock."""
        return _own_process() if is_agents(how.unit) else super().process(how)

    def failure(self, how: Run) -> str:
        """This very process has not failed."""
        return "" if is_agents(how.unit) else super().failure(how)


def _own_process() -> Process | None:
    """Field 22 of /proc/self/stat, see proc(5): ticks since boot."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
    return Process(pid=os.getpid(), began=ticks * 1_000_000 // os.sysconf("SC_CLK_TCK"))


def _refused(said: str) -> Trouble:
    return Trouble(Blame.REFUSED, said)
