"""A history of an outbox: words are said while the forge, the road and the controllers fail in a given order.

Two controllers over one ledger tell a GitHub that is played over HTTP, on one clock. A blow strikes a controller at one
moment of its life: it dies (what it had sent may arrive later), or stands still until its lease is lost.
"""

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event, func, or_, select

from adapters.clock import ManualClock
from adapters.ledger.dialects import moment
from adapters.ledger.store import open_ledger
from adapters.ledger.tables import forge_writes, queue, statuses
from reconciler.outbox import Outbox
from reconciler.outlets import FAMILIES
from reconciler.ports import LeaseLost
from reconciler.record import CommitStatus, State
from reconciler.reviews import Head
from tests.contract.forges.conftest import NOW, Bench, Canned, Lines, PlayedGitHub, make_status

LEASE = timedelta(seconds=30)
MERGE, BRANCH, PLAIN, ABSENT = "1a" * 20, "2b" * 20, "3c" * 20, "4d" * 20
CONTEXTS = ("fairlead/validate", "fairlead/prod", "fairlead/prod/a", "fairlead/prod/b")
PLACES = [(commit, context) for commit in (MERGE, PLAIN) for context in CONTEXTS] + [(ABSENT, "fairlead/prod/a")]
STATES = (State.PENDING, State.PENDING, State.SUCCESS, State.FAILURE, State.ERROR)
PER_MINUTE, PER_HOUR = 18, 200
# What a forge answers instead. 0: the connection is cut before anything took effect.
ANSWERS = {
    "500": Canned(status=500),
    "503 with a time": Canned(status=503, headers={"Retry-After": "20"}),
    "cut": Canned(status=0),
    "403 for pace": Canned(status=403, headers={"Retry-After": "45"}, body=b'{"message": "secondary rate limit"}'),
    "403 for ever": Canned(status=403, body=b'{"message": "Resource not accessible by personal access token"}'),
    "429": Canned(status=429),
    "401": Canned(status=401, body=b'{"message": "Bad credentials"}'),
    "422 not yet": Canned(status=422, body=b'{"message": "No commit found for SHA: x"}'),
    "422": Canned(status=422, body=b'{"message": "Validation Failed"}'),
}
MOMENTS = (
    *("before request", "before take", "after take", "before take_up", "after take_up", "before settle"),
    *("after settle", "after undelivered", "after rest", "before recover", "statement"),
)
TOLD = ("take", "rest", "recover", "take_up", "settle", "undelivered")


class Killed(BaseException):
    """This controller takes no further step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """What strikes at a moment, after it was passed so many times."""

    moment: str
    after: int
    stands: int = 0  # seconds for which it stands still; 0: it dies
    arrives: int = -1  # seconds after which what it was about to send arrives all the same; below 0: never


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happens: `what` names it, the numbers say which and how."""

    what: str
    one: int = 0
    two: int = 0
    blow: Blow | None = None


class MortalLedger:
    """A ledger that notes each call of a controller which tells."""

    def __init__(self, store: Any, passes: Callable[[str], None]) -> None:
        self._store, self._passes = store, passes

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        return real if name not in TOLD else lambda *args: self._noted(name, real, args)

    def _noted(self, name: str, real: Any, args: tuple[Any, ...]) -> Any:
        self._passes(f"before {name}")
        answer = real(*args)
        self._passes(f"after {name}")
        return answer


@dataclass
class MortalLease:
    """Checked immediately before each request."""

    real: Any
    passes: Callable[[str], None]

    @property
    def key(self) -> str:
        return str(self.real.key)

    def check(self) -> None:
        self.real.check()
        self.passes("before request")


@dataclass
class Controller:
    """One process, as far as it tells."""

    history: "History"
    store: Any
    blow: Blow | None = None
    in_hand: list[CommitStatus] = field(default_factory=list)
    stands: bool = False

    def __post_init__(self) -> None:
        event.listen(self.store._database._engine, "before_cursor_execute", self._in_a_transaction)
        ledger = MortalLedger(self.store, self.passes)
        bench = replace(self.history.bench, store=ledger)
        self.forge = bench.forge(per_minute=PER_MINUTE, per_hour=PER_HOUR)
        self.outbox = Outbox(ledger, {"main": self})  # type: ignore[arg-type]

    def _in_a_transaction(self, _: Any, __: Any, statement: str, *___: Any) -> None:
        if not statement.startswith("BEGIN"):  # before it there is none
            self.passes("statement")

    def deliver(self, lease: Any, waiting: Any, now: datetime) -> Any:
        self.in_hand = [each.status for each in waiting]
        return self.forge.deliver(MortalLease(lease, self.passes), waiting, now)

    def passes(self, moment: str) -> None:
        blow = self.blow
        if blow is None or blow.moment != moment:
            return
        self.blow = replace(blow, after=blow.after - 1) if blow.after else None
        if not blow.after:
            self._struck(blow)

    def _struck(self, blow: Blow) -> None:
        self.history.blows += 1
        if blow.stands:
            self.stands = True
            self.history.run_for(timedelta(seconds=blow.stands))
            self.stands = False
            return
        if blow.moment == "before request" and blow.arrives >= 0 and self.in_hand:
            self.history.ghosts.append((self.history.clock.now() + timedelta(seconds=blow.arrives), self.in_hand[0]))
        raise Killed

    def run(self) -> bool:
        """One claim of the name, as the loop does it; whoever dies is another process from then on."""
        try:
            return self._run()
        except Killed:
            self.history.deaths += 1
            return True

    def _run(self) -> bool:
        claimed = [due for family in FAMILIES for due in self.store.claim(family, 1, LEASE)]
        for due in claimed:
            try:
                again_at = self.outbox.run(due.key.partition(":")[2], due.lease)
            except LeaseLost:
                again_at = self.history.clock.now()
            self.store.finish(due, again_at=again_at)
        return bool(claimed)


class History:
    """Use it as a context manager; `live` all steps, then look at what became of it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        self.clock = ManualClock(NOW)
        self.expected: dict[tuple[str, str], CommitStatus] = {}
        self.ghosts: list[tuple[datetime, CommitStatus]] = []
        self.merged = False
        self.refusals = self.blows = self.deaths = self.numbers = self.mendings = 0
        self._stack = ExitStack()

    def __enter__(self) -> "History":
        self.github = self._stack.enter_context(PlayedGitHub(self.clock))
        self.github.commits |= {MERGE, BRANCH, PLAIN}
        self.stores = [open_ledger(f"sqlite:///{self.folder / 'ledger.db'}", self.clock) for _ in range(3)]
        for store in self.stores:
            self._stack.callback(store.close)
        self.bench = Bench(github=self.github, store=self.stores[0], clock=self.clock, log=Lines())
        self.bench.jitter = 0.5
        self.controllers = [Controller(self, store) for store in self.stores[1:]]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # ── what happens ──

    def live(self, steps: Sequence[Step]) -> None:
        for step in steps:
            getattr(self, f"_{step.what}")(step)
            self.run_for(timedelta())

    def _say(self, step: Step) -> None:
        commit, context = PLACES[step.one % len(PLACES)]
        state, self.numbers = STATES[step.two % len(STATES)], self.numbers + 1
        self._said(make_status(commit, state, f"word {self.numbers}", context=context))

    def _says(self, step: Step) -> None:
        """More than there is room for at once."""
        for number in range(2 + step.two):
            self._say(replace(step, one=step.one + number, two=step.two + number))

    def _said(self, word: CommitStatus) -> None:
        """By whoever decides: another process than those who tell."""
        self.stores[0].add([f"rollup:{self.numbers}"])
        due = next(due for due in self.stores[0].claim("rollup", 9, LEASE) if due.key == f"rollup:{self.numbers}")
        self.stores[0].say(due.lease, [word])
        self.stores[0].finish(due)
        self.expected[word.commit, word.context] = word
        if word.commit == MERGE and self.merged:
            self.expected[BRANCH, word.context] = replace(word, commit=BRANCH)

    def _merge(self, _: Step) -> None:
        self.merged = True
        self.stores[0].record_heads("main", {MERGE: Head(head=BRANCH, pull=7)})
        for (commit, context), word in list(self.expected.items()):
            if commit == MERGE:
                self.expected[BRANCH, context] = replace(word, commit=BRANCH)

    def _wait(self, step: Step) -> None:
        self.run_for(timedelta(seconds=step.one))

    def _answers(self, step: Step) -> None:
        name = list(ANSWERS)[step.one % len(ANSWERS)]
        self.refusals += name == "422"
        self.github.next.extend([None] * (step.two % 4) + [ANSWERS[name]])

    def _down(self, step: Step) -> None:
        names = ("500", "cut", "503 with a time")
        self.github.down = None if self.github.down else ANSWERS[names[step.one % 3]]

    def _loses(self, step: Step) -> None:
        self.github.lose += 1 + step.one % 2

    def _slow(self, step: Step) -> None:
        """The next request takes effect so much later; who sent it waits for its answer."""
        self.blows += 1

        def later() -> None:
            self.clock.advance(timedelta(seconds=step.one % 50))

        self.github.late.append(later)

    def _struck(self, step: Step) -> None:
        self.controllers[step.one % 2].blow = step.blow

    def _mended(self, _: Step) -> None:
        """A person gives what was missing, and has every commit told anew."""
        self.mendings += 1
        for commit in (MERGE, PLAIN):
            self.stores[0].tell_anew("main", commit, ())

    # ── time ──

    def run_for(self, span: timedelta) -> None:
        """Whatever is due, at the moment at which it is, by any controller that does not stand still."""
        end = self.clock.now() + span
        while True:
            self._arrive()
            while any(each.run() for each in self._awake()):
                self._arrive()
            times = [each for each in (*self._due(), *(at for at, _ in self.ghosts)) if each > self.clock.now()]
            soonest = min(times, default=end)
            self.clock.advance(max(min(soonest, end) - self.clock.now(), timedelta()))
            if soonest >= end or self.clock.now() >= end:
                return

    def _awake(self) -> list[Controller]:
        awake = [each for each in self.controllers if not each.stands]
        self.chance.shuffle(awake)
        return awake

    def _arrive(self) -> None:
        """Requests of the dead that are carried out late."""
        for at, word in [each for each in self.ghosts if each[0] <= self.clock.now()]:
            self.ghosts.remove((at, word))
            body = {"state": word.state.value, "context": word.context, "description": word.description}
            self.github._put(word.commit, body)

    def _due(self) -> list[datetime]:
        when = func.min(func.max(queue.c.due, func.coalesce(queue.c.lease_until, 0)))
        with self.stores[0]._database.reading() as connection:
            due = connection.scalar(select(when).where(queue.c.family.in_(FAMILIES)))
        return [] if due is None else [moment(due)]

    def end(self) -> None:
        """All is well from here on; whoever stood or was struck is past it."""
        self.github.down, self.github.lose = None, 0
        self.github.next.clear()
        self.github.late.clear()
        for controller in self.controllers:
            controller.blow = None
        if self.refusals:
            self._mended(Step(what="mended"))
        self.run_for(timedelta(hours=6))

    # ── what became of it ──

    def shown(self) -> dict[tuple[str, str], tuple[str, str]]:
        return {
            (commit, each["context"]): (each["state"], each["description"])
            for commit in (MERGE, BRANCH, PLAIN)
            for each in self.github.newest(commit)
        }

    def wanted(self) -> dict[tuple[str, str], tuple[str, str]]:
        return {
            place: (word.state.value, word.description) for place, word in self.expected.items() if place[0] != ABSENT
        }

    def waiting(self) -> int:
        """Places that are still to be told, or told once more."""
        untold = or_(statuses.c.sequence > statuses.c.delivered_sequence, statuses.c.doubtful_until.is_not(None))
        with self.stores[0]._database.reading() as connection:
            return connection.scalar(select(func.count()).where(untold, statuses.c.refused.is_(None))) or 0

    def counted(self) -> list[datetime]:
        """When writes were counted in the budget."""
        with self.stores[0]._database.reading() as connection:
            return [moment(at) for at in connection.scalars(select(forge_writes.c.at).order_by(forge_writes.c.at))]

    def too_often(self) -> dict[tuple[str, str], int]:
        """Places whose newest word was told more often than what went wrong explains, and how often.

        A request of which nobody knows is tried again, and its word told once more a minute later; so is what a
        controller had in hand that died or stood still, and at once where its answer came after a newer word.
        """
        newest, found = self.wanted(), {}
        for (commit, context), said in self.github.said.items():
            times = sum((each["state"], each["description"]) == newest[commit, context] for each in said)
            here = [each for each in self.github.writes if commit in each.path and each.body["context"] == context]
            unknown = sum(each.answer == 0 or each.answer >= 500 for each in here)
            if times > 1 + 2 * (unknown + self.blows) + self.mendings:
                found[commit, context] = times
        return found

    def is_in_order(self) -> bool:
        """No place went back to an older word."""
        numbers = [
            [int(each["description"].removeprefix("word ")) for each in said] for said in self.github.said.values()
        ]
        return all(sorted(each) == each for each in numbers)
