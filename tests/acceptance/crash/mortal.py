"""`mortal.py BOUNDARY SIGNAL MARKER FLEET VERSION`: the controller that people run, but for one moment of its life.

At the boundary, `<before|after> <edge>[ of wave <number>]`, it writes the marker file and sends itself the signal (KILL
or STOP). An edge is a call by which the controller touches the world: a transaction of the ledger, a request that
changes something at Gate, an order in S3, a hint, a push. Only calls about the bump of the fleet to the version count:
a quiet pass before it does not.
"""

import json
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, get_ident
from typing import Any

from adapters.forges.git_notes import GitNotes
from adapters.gate.client import Gate
from adapters.ledger.store import Store
from adapters.trigger import publishing
from fairlead.controller import Controller
from fairlead.settings import load
from reconciler.record import State
from reconciler.work import Intent, Outcome, Phase

FLEET, NEW = sys.argv[4:6] if len(sys.argv) > 5 else ("", "")  # the version that the bump brings
Concerns = Callable[[int, tuple[Any, ...]], bool]  # (wave, the call's arguments without the first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One call between the controller and the world."""

    owner: Any  # a class or a module
    method: str
    concerns: Concerns


def declares_a_bump(_: int, call: tuple[Any, ...]) -> bool:
    return bool(call[1].desired.fleets[FLEET].version == NEW)


def intends(wave: int, call: tuple[Any, ...]) -> bool:
    return any(is_in(wave, outcome) and outcome.phase is Phase.INTENDED for outcome in call[2].work)


def saves_a_start(wave: int, call: tuple[Any, ...]) -> bool:
    return any(is_in(wave, outcome) and outcome.phase is Phase.RUNNING for outcome in call[2].work)


def saves_an_end(wave: int, call: tuple[Any, ...]) -> bool:
    return any(is_in(wave, outcome) and outcome.phase is Phase.SUCCEEDED for outcome in call[2].work)


def is_in(wave: int, outcome: Outcome) -> bool:
    intent: Intent = outcome.intent
    return intent.wave == wave


def starts(wave: int, call: tuple[Any, ...]) -> bool:
    return bool(call[2]["fairlead"]["wave"] == wave)


def always(_: int, __: tuple[Any, ...]) -> bool:
    return True


class Orders:
    """The newest order that was written for the fleet: told by each PUT, asked by the hint after it."""

    wave = 0  # that the order about the bump begins
    brought = False  # an order of the new version was written before

    @classmethod
    def told(cls, body: bytes) -> None:
        order = json.loads(body)
        cls.wave = 0
        if (order["fleet"], order["target"]["version"]) == (FLEET, NEW):
            cls.wave = 1 if len(order["admitted"]) == 1 else 2  # the first wave is one host; "all" is three letters
            cls.brought = True


def orders_out(wave: int, call: tuple[Any, ...]) -> bool:
    Orders.told(call[2])
    return Orders.wave == wave


def hints(wave: int, _: tuple[Any, ...]) -> bool:
    return Orders.wave == wave


def orders_back(_: int, call: tuple[Any, ...]) -> bool:
    was_brought = Orders.brought
    Orders.told(call[2])
    return was_brought and Orders.wave == 0


class Words:
    """Which of the fleet's words are on their way to the forge: told by `deliver`, asked by what comes after it."""

    pending = False
    final = False

    @classmethod
    def told(cls, statuses: Any) -> None:
        ours = [each.status for each in statuses if each.status.context == f"fairlead/{FLEET}"]
        mine = [status for status in ours if NEW in status.description]
        cls.pending = any(status.state is State.PENDING for status in mine)
        cls.final = any(status.state is State.SUCCESS for status in mine)


EDGES = {
    "revision": Edge(owner=Store, method="record_revision", concerns=declares_a_bump),
    "intent": Edge(owner=Store, method="intend", concerns=intends),
    "POST": Edge(owner=Gate, method="trigger", concerns=starts),
    "save": Edge(owner=Store, method="save", concerns=saves_a_start),
    "save of the end": Edge(owner=Store, method="save", concerns=saves_an_end),
    "order": Edge(owner=publishing, method="put_if_same", concerns=orders_out),
    "hint": Edge(owner=publishing, method="publish", concerns=hints),
    "order back": Edge(owner=publishing, method="put_if_same", concerns=orders_back),
    "cancel": Edge(owner=Gate, method="cancel", concerns=always),
    "push": Edge(owner=GitNotes, method="_push", concerns=lambda _, __: Words.pending),
    "last push": Edge(owner=GitNotes, method="_push", concerns=lambda _, __: Words.final),
    "last settling": Edge(owner=Store, method="settle", concerns=lambda _, __: Words.final),
}
BOUNDARY = re.compile(r"(?P<moment>before|after) (?P<edge>.+?)(?: of wave (?P<wave>\d))?")


class Fate:
    """Strikes once: writes the marker, then sends the signal to this process."""

    def __init__(self, number: signal.Signals, marker: Path) -> None:
        self._number, self._marker = number, marker
        self._struck = False
        self._lock = Lock()
        self.ledger_lock: Any = Lock()  # a stopped process must not hold SQLite's write lock: nobody could go on

    def strike(self) -> None:
        with self._lock, self.ledger_lock:
            if not self._struck:
                self._struck = True
                self._marker.touch()
                signal.pthread_kill(get_ident(), self._number)  # this thread takes no further step


def make_mortal(edge: Edge, moment: str, wave: int, fate: Fate) -> None:
    """Put the boundary around the edge's method."""
    real = getattr(edge.owner, edge.method)

    def mortal(self: Any, *call: Any, **named: Any) -> Any:
        struck = edge.concerns(wave, call)
        if struck and moment == "before":
            fate.strike()
        answer = real(self, *call, **named)
        if struck and moment == "after":
            fate.strike()
        return answer

    setattr(edge.owner, edge.method, mortal)


def listen() -> None:
    """Let `Words` hear what is delivered."""
    real = GitNotes.deliver

    def deliver(self: GitNotes, lease: Any, statuses: Any, now: Any) -> Any:
        Words.told(statuses)
        return real(self, lease, statuses, now)

    GitNotes.deliver = deliver  # type: ignore[method-assign]


def main(boundary: str, number: str, marker: str, *_: str) -> None:
    where = BOUNDARY.fullmatch(boundary)
    if where is None or where["edge"] not in EDGES:
        sys.exit(f"{boundary!r} is no boundary; edges are {', '.join(EDGES)}")
    fate = Fate(signal.Signals[f"SIG{number}"], Path(marker))
    listen()
    if where["edge"] == "hint":
        make_mortal(EDGES["order"], "never", 0, fate)  # which only listens
    make_mortal(EDGES[where["edge"]], where["moment"], int(where["wave"] or 1), fate)
    controller = Controller(load())
    fate.ledger_lock = controller._parts.ledger._database._one_writer
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    controller.run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
