"""The instance's own life, looked at every few seconds: what its group waits for, and that it is about to go.

All of it is by level. A launch hook is answered when every fleet is where its order wants it, or has no order at all; a
terminating hook when no traffic comes any more. After a crash or a reboot it is looked at again, and asked again; how
long there is hope counts on over the agent's own restarts.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from fairlead_agent.clock import Clock, jittered
from fairlead_agent.deciding import Readiness
from fairlead_agent.durable import write_whole
from fairlead_agent.log import Log
from fairlead_agent.metadata import Metadata, Silent
from fairlead_agent.notices import Notice, group_of, read_notice
from fairlead_agent.reporting import Sender
from fairlead_agent.running import boot_id
from fairlead_agent.settings import Settings
from fairlead_agent.waiting import Action

LOOK = 5.0  # seconds between two looks; a spot notice comes two minutes before the end
RARELY = 300.0  # seconds, the most, where nobody ever answered
SOON = 15.0  # seconds, the most, where somebody did: silence must not hide a spot notice
HOPES = 3600.0  # seconds in which heartbeats say that there is hope of getting to where the order wants the host
MARGIN = 300.0  # seconds beyond the longest drain in which an ending host may hope that no traffic comes any more
_READY = frozenset({Readiness.THERE, Readiness.EMPTY})


class Inhabitant(Protocol):
    """A fleet on this host: a worker, or a watcher."""

    is_away: bool

    @property
    def is_held(self) -> bool:
        """It carries out what leaving does not cut off."""
        ...

    @property
    def drains(self) -> float:
        """Seconds that leaving its target groups may take."""
        ...

    @property
    def readiness(self) -> Readiness:
        """How far it is with its order."""
        ...

    def leave(self, *, leaving: bool) -> None:
        """The host is about to go, or stays after all."""
        ...

    def launch(self, *, waits: bool) -> None:
        """The instance waits for its launch hook, so that it serves nobody; or not any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a life is led by. `acts` is false for an agent that only reports: it answers no hook."""

    settings: Settings
    host: str
    client: Callable[[], Any]  # of Auto Scaling
    sender: Sender
    clock: Clock
    log: Log
    acts: bool = True


class Life:
    """`step` is one look, by a thread of its own; `pause` is how long until the next."""

    def __init__(self, means: Means, fleets: Sequence[Inhabitant]) -> None:
        self._means, self._fleets = means, fleets
        self._metadata = Metadata()
        self._notice = Notice()
        self._silent = 0.0  # seconds of the last pause that silence of the metadata service cost
        self._was_heard = None in {means.settings.host, means.settings.region}  # else it did not say who this is
        self._not_before = 0.0
        self._since = means.clock.monotonic()  # that there is hope
        self._launch: Action | None = None
        self._waits = False  # for its launch hook, as the fleets were told
        self._ending: Action | None = None
        self._trouble = ""
        self._launched = Launched(means.settings.state / "launched", means.host)
        self._wanted = Wanted(means.settings.state / "wanted", means.host)

    def step(self, ending: Event) -> None:
        """Look, tell the fleets and the reports, and answer the hooks. Raises nothing that AWS could cause."""
        if self._means.clock.monotonic() >= self._not_before:
            self._look()
        if self._means.acts and not ending.is_set():
            self._tend_launch()
            self._tend_ending()
        self._tell_of_launch()
        self._say()

    def _look(self) -> None:
        try:
            notice = read_notice(self._metadata)
        except Silent as silent:
            if not self._silent:
                self._means.log("no-metadata", why=str(silent))
            self._silent = min(2 * (self._silent or LOOK), SOON if self._was_heard else RARELY)
            self._not_before = self._means.clock.monotonic() + jittered(self._silent)
            return
        self._silent, self._was_heard = 0.0, True
        before, self._notice = self._notice, notice
        if notice.leaving != before.leaving:
            self._means.log("leaving" if notice.leaving else "stays", why=notice.leaving or before.leaving)
            for fleet in self._fleets:
                fleet.leave(leaving=bool(notice.leaving))
        if notice.advice and notice.advice != before.advice:
            self._means.log("advised", why=notice.advice)
        if notice.target != before.target:
            self._launch, self._since = None, self._wanted.since(notice.target, self._means.clock.monotonic())

    def _say(self) -> None:
        troubles = [action.trouble for action in (self._launch, self._ending) if action is not None]
        aside = [self._notice.advice, self._trouble, *troubles]
        self._means.sender.say_of_all(self._notice.leaving, "; ".join(part for part in aside if part))

    # Hooks

    def _tend_launch(self) -> None:
        hook, target = self._means.settings.launch_hook, self._notice.target
        if hook is None or self._notice.leaving or self._launched.is_known(target):
            return
        self._launch = self._launch or self._action(hook)
        if self._launch is None:
            return
        found = [fleet.readiness for fleet in self._fleets]
        is_ready = all(one in _READY for one in found)
        is_young = self._means.clock.monotonic() - self._since < HOPES
        self._launch.tend(ready=is_ready, hopeful=is_young and Readiness.FAILED not in found)
        if self._launch.over:
            self._launched.remember(target)

    def _tell_of_launch(self) -> None:
        waits = self._launch is not None and self._launch.waits
        if waits != self._waits:
            self._waits = waits
            for fleet in self._fleets:
                fleet.launch(waits=waits)

    def _tend_ending(self) -> None:
        hook = self._means.settings.terminating_hook
        if hook is None or not self._notice.ends:
            self._ending = None
            return
        self._ending = self._ending or self._action(hook, lasting=True)
        if self._ending is None:
            return
        now = self._means.clock.monotonic()
        if any(fleet.is_held for fleet in self._fleets):
            self._since = now
        is_young = now - self._since < max((fleet.drains for fleet in self._fleets), default=0.0) + MARGIN
        self._ending.tend(ready=all(fleet.is_away for fleet in self._fleets), hopeful=is_young)

    def _action(self, hook: str, *, lasting: bool = False) -> Action | None:
        group = self._group()
        if group is None:
            return None
        named = {"LifecycleHookName": hook, "AutoScalingGroupName": group, "InstanceId": self._means.host}
        return Action(self._means.client, named, self._means.clock, self._means.log, lasting=lasting)

    def _group(self) -> str | None:
        """The group's name: by the settings, else by the instance's tags, which costs no right."""
        found, why = group_of(self._means.settings, self._metadata)
        said = "" if found else f"no hook can be answered: {why}"
        if said and said != self._trouble:
            self._means.log("no-group", why=said)
        self._trouble = said
        return found


class Launched:
    """What this instance is known to wait for no more, in this boot. A warm pool lets one wait again."""

    def __init__(self, path: Path, host: str) -> None:
        self._path, self._host = path, host
        self._known = self._read()

    def is_known(self, target: str) -> bool:
        """Whether nothing waits for its way to that state any more."""
        return bool(self._known == self._said(target))

    def remember(self, target: str) -> None:
        """Nothing does. Where the disk takes nothing the group is asked once more after a restart."""
        self._known = self._said(target)
        try:
            write_whole(self._path, json.dumps(self._known).encode(), 0o600)
        except OSError:
            return

    def _said(self, target: str) -> list[str]:
        return [self._host, boot_id(), target]

    def _read(self) -> Any:
        return _found(self._path)


class Wanted:
    """Since when, in this boot, its group wants the instance in the state that it wants it in now."""

    def __init__(self, path: Path, host: str) -> None:
        self._path, self._host = path, host

    def since(self, target: str, now: float) -> float:
        """In seconds since boot; `now`, where that is new. Where the disk takes nothing it is new after a restart."""
        said = [self._host, boot_id(), target]
        match _found(self._path):
            case [*known, float(since)] if known == said and since <= now:
                return since
        if target:
            with suppress(OSError):
                write_whole(self._path, json.dumps([*said, now]).encode(), 0o600)
        return now


def _found(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
