"""What the host remembers of one fleet, written down before it acts. One small file, and the one before it.

Where the newest file is cut off or torn, the one before is read: it is one step behind, and every step may be taken
again. Where both are, the memory is lost, which the reports say.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from adapters.agent_protocol.fields import Fields, Malformed, moment_text
from adapters.agent_protocol.orders import Order, Release, release_document
from adapters.agent_protocol.reading import read_release
from adapters.agent_protocol.reports import Blame, Step, Work, WorkState, read_step
from fairlead_agent.durable import is_folder, remove, write_whole
from fairlead_agent.running import Ran
from fairlead_agent.trouble import on_disk

FORMAT = "fairlead/journal/v1"
_PRIVATE = 0o600
_SAID = 1 << 16  # characters of a message or a log
_UNREADABLE = re.compile("[\0\ud800-\udfff]")  # what no text may hold that is read (`fields`); commands print anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is known of a fleet on this host over crashes and reboots."""

    sequence: int = 0  # the highest that was accepted
    meaning: str = ""  # of that order, see `orders.Order.meaning`
    expires: datetime | None = None
    rejected: tuple[str, ...] = ()  # target digests that failed in this fleet, by that order
    base: str = ""  # the id of that order's base
    work: Work | None = None  # the newest assignment
    release: Release | None = None  # that it is to bring
    failed_at: str = ""  # the stage at which it failed, while the host goes back
    touched: str = ""  # the last stage that touched what runs, of any assignment; empty: that ended well
    root: str = ""  # where what runs was activated; an order may bring the next release elsewhere
    ran: Ran | None = None  # the newest restart of the service, or who was seen to run since
    last_good: str = ""  # the id of the release that was healthy here last
    last_good_version: str = ""
    last_good_root: str = ""
    left: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # target groups to enter again, with ports
    steps: tuple[Step, ...] = ()  # before versions, that were begun here; the newest first

    @property
    def unfinished(self) -> bool:
        """The newest assignment has not ended."""
        return self.work is not None and self.work.state is WorkState.WORKING

    def with_order(self, order: Order, meaning: str) -> "Memory":
        """The order's sequence, and where it forbids to go back to: remembered before anything is done for it."""
        return replace(
            self,
            rejected=tuple(order.rejected),
            base=order.base.id if order.base else "",
            sequence=order.sequence,
            meaning=meaning,
            expires=order.expires,
        )


class Journal:
    """The memory of one fleet. One thread writes; any may read `memory`."""

    def __init__(self, folder: Path, fleet: str) -> None:
        self._path = folder / f"{fleet.replace('/', '_')}.json"
        self._before = self._path.with_suffix(".before")
        self._spare = self._path.with_suffix(".spare")
        self.memory = Memory()
        self.lost = ""  # what was wrong with the file at boot, where memory was lost; as long as the agent lives
        self._is_torn = False  # the file, as it lies there
        self._written: Memory | None = None

    def load(self) -> None:
        """Read it at boot. Raises nothing: what cannot be read is lost, and is kept aside for people."""
        for path in (self._path, self._before):
            try:
                self.memory = self._written = _memory(json.loads(path.read_bytes()))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, RecursionError) as error:
                self.lost = self.lost or f"{path} cannot be read ({error})"
                self._is_torn = self._is_torn or path == self._path
                continue
            self.lost = f"{self.lost}; the step before it was read" if self.lost else ""
            return

    def write(self, memory: Memory) -> None:
        """Remember this from now on. Raises `Trouble` where it cannot be written; then nothing changed."""
        if memory == self._written and not self._is_torn:
            self.memory = memory
            return
        with on_disk(f"write down the next step in {self._path}"):
            self._keep()
            write_whole(self._path, json.dumps(_document(memory)).encode(), _PRIVATE)
        self.memory = self._written = memory
        self._is_torn = False

    def imagine(self, memory: Memory) -> None:
        """Go on with this where the disk takes nothing: after a crash the last that was written counts."""
        self.memory = memory

    def _keep(self) -> None:
        """The file as it is becomes the one before, unless it is torn; a torn one is kept aside."""
        if self._is_torn and self._path.exists():
            self._set_aside(self._path)
        try:
            self._link_spare()
        except FileNotFoundError:
            return
        if is_folder(self._before):
            self._set_aside(self._before)
        self._spare.replace(self._before)  # on the disk with what comes next: renames in one folder keep their order

    def _link_spare(self) -> None:
        try:
            os.link(self._path, self._spare)
        except FileExistsError:  # of an agent that ended here
            remove(self._spare)
            os.link(self._path, self._spare)

    def _set_aside(self, path: Path) -> None:
        """For people. It may be a folder, which no file can take the place of."""
        broken = self._path.with_suffix(".broken")
        remove(broken)
        path.replace(broken)


def _document(memory: Memory) -> Mapping[str, Any]:
    work = memory.work
    return {
        "format": FORMAT,
        "sequence": memory.sequence,
        "meaning": memory.meaning,
        "expires": moment_text(memory.expires) if memory.expires else None,
        "rejected": list(memory.rejected),
        "base": memory.base,
        "work": _sound_document(work, Work) if work else None,
        "release": release_document(memory.release) if memory.release else None,
        "failed_at": memory.failed_at,
        "touched": memory.touched,
        "root": memory.root,
        "ran": {name: getattr(memory.ran, name) for name in Ran.__slots__} if memory.ran else None,
        "last_good": memory.last_good,
        "last_good_version": memory.last_good_version,
        "last_good_root": memory.last_good_root,
        "left": {arn: list(ports) for arn, ports in memory.left.items()},
        "steps": [_sound_document(step, Step) for step in memory.steps],
    }


def _sound_document(said: Work | Step, kind: type[Work] | type[Step]) -> Mapping[str, Any]:
    """Whatever a command printed, it can be read again."""
    sound = replace(said, message=_sound(said.message), log=_sound(said.log))
    return {name: getattr(sound, name) for name in kind.__slots__}


def _sound(text: str) -> str:
    return _UNREADABLE.sub("\ufffd", text[:_SAID])


def _memory(value: Any) -> Memory:
    fields = Fields(value, "journal")
    if fields.text("format", 60) != FORMAT:
        raise Malformed(f"its format is not {FORMAT}")
    return Memory(
        sequence=fields.whole("sequence"),
        meaning=fields.text("meaning"),
        expires=fields.moment("expires") if fields.has("expires") else None,
        rejected=fields.names("rejected") if fields.has("rejected") else (),
        base=fields.optional("base") or "",
        work=fields.maybe("work", _work),
        release=read_release(fields.mapping("release")) if fields.has("release") else None,
        failed_at=fields.text("failed_at"),
        touched=fields.optional("touched") or "",
        root=fields.optional("root") or "",
        ran=fields.maybe("ran", _ran),
        last_good=fields.text("last_good"),
        last_good_version=fields.text("last_good_version"),
        last_good_root=fields.optional("last_good_root") or "",
        left={arn: _ports(ports) for arn, ports in fields.mapping("left").items()},
        steps=fields.each("steps", partial(read_step, longest=_SAID)) if fields.has("steps") else (),
    )


def _work(fields: Fields) -> Work:
    return Work(
        key=fields.filled("key"),
        version=fields.text("version"),
        attempt=fields.whole("attempt", 1),
        state=WorkState(fields.text("state")),
        stage=fields.text("stage"),
        message=fields.text("message", _SAID),
        blame=Blame(fields.text("blame")),
        rolled_back_to=fields.text("rolled_back_to"),
        log=fields.text("log", _SAID),
    )


def _ran(fields: Fields) -> Ran:
    return Ran(
        release=fields.text("release"),
        boot=fields.text("boot"),
        pid=fields.whole("pid"),
        began=fields.whole("began"),
    )


def _ports(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(isinstance(port, int) for port in value):
        raise Malformed("left must hold lists of ports")
    return tuple(value)
