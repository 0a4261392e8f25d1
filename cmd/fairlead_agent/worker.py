"""One fleet on this host: take the newest look at the order, decide, carry out, report. One thread of its own.

Another thread looks at the order meanwhile (`look`), and interrupts the work where it became another's.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import Event, Lock

from adapters.agent_protocol.orders import Order, assignment_of
from adapters.agent_protocol.reports import Report, WorkState
from fairlead_agent.clock import Clock
from fairlead_agent.deciding import (
    Begin,
    Decision,
    Readiness,
    Resume,
    Stay,
    Withdraw,
    decide,
    decide_leaving,
    is_between,
    readiness,
)
from fairlead_agent.departing import depart
from fairlead_agent.hands import Hands
from fairlead_agent.journal import Journal, Memory
from fairlead_agent.lifecycle import Deploy
from fairlead_agent.log import Log
from fairlead_agent.observing import Observer, Seen, witnessed
from fairlead_agent.orders import Look, Orders
from fairlead_agent.preparing import Preparation
from fairlead_agent.returning import Refuge
from fairlead_agent.stages import REGISTERING, TOUCHED
from fairlead_agent.trouble import Interrupted, Trouble
from fairlead_agent.watching import Elsewhere

KEPT = 3  # releases on the disk beside the active one
ROOM = 10.0  # seconds in which nothing is begun after each time that somebody asked for room


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What a worker reads, remembers, touches and says by."""

    orders: Orders
    journal: Journal
    hands: Callable[[str], Hands]  # by the root that an order names
    elsewhere: Elsewhere
    post: Callable[[Report], None]


class Worker:
    """`work` is one round, called again and again by its thread; `look` may be called by another one."""

    def __init__(self, blank: Report, ways: Ways, clock: Clock, log: Log) -> None:
        self.fleet = blank.fleet
        self.wake = Event()  # something is new
        self._blank = blank  # what all reports of this fleet begin with
        self._orders, self._journal, self._hands = ways.orders, ways.journal, ways.hands
        self._elsewhere, self._post = ways.elsewhere, ways.post
        self._clock = clock
        self._log = log
        self._observer = Observer(self.fleet, clock, log)
        self._deploy = Deploy(self.fleet, ways.journal, log, self._moved)
        self._before = Preparation(self.fleet, blank.host, ways.journal, log, self._report)
        self._lock = Lock()
        self._stop = Event()  # the work that is under way is not wanted any more
        self._cut = Event()  # nor is the step before a version, which a host that is about to go lets finish
        self._ending = False
        self._leaving = False
        self._serves = True  # as far as is known
        self._room_until, self._makes_room = 0.0, False
        self.is_away = False  # the host is about to go, and nobody sends it traffic any more
        self._at_work: str | None = None  # the key of what is under way, empty for none; None: nothing interrupts
        self._root = ""  # the last that was known
        self._look = Look(trouble="its order was not read yet")
        self._meant: tuple[Order, str] | None = None
        self._newest = (0, "")  # sequence and meaning of the newest order that was read here
        self._seen = Seen()

    # -- by the thread that looks ------------------------------------------------------------------------------

    def look(self) -> None:
        """Read the order. Work that it does not ask for any more is interrupted."""
        memory = self._journal.memory
        sequence, meaning = max((memory.sequence, memory.meaning), self._newest, key=lambda each: each[0])
        found = self._orders.look(self._clock.now(), sequence, meaning)
        if found.order is not None:
            self._newest = (found.order.sequence, self._meaning_of(found.order))
        with self._lock:
            if found != self._look:
                self._say(found)
                self.wake.set()
            self._look = found
            if self._at_work is not None and found.order is not None and self._at_work not in self._asked(found.order):
                self._log("interrupted", fleet=self.fleet, sequence=found.order.sequence)
                self._stop.set()
                self._cut.set()

    def _say(self, found: Look) -> None:
        if found.order is not None and found.order.sequence != self._journal.memory.sequence:
            self._log("order", fleet=self.fleet, sequence=found.order.sequence, version=found.order.target.version)
        if found.refused is not None:
            refused = found.refused
            self._log(
                "refused", fleet=self.fleet, reason=refused.reason, sequence=refused.sequence, why=refused.message
            )
        if found.trouble:
            self._log("no-order", fleet=self.fleet, why=found.trouble)

    def _asked(self, order: Order) -> frozenset[str]:
        """The keys of all that the order asks of this host."""
        step = self._before.key_of(order)
        return frozenset({self._wanted(order), step} if step else {self._wanted(order)})

    def _wanted(self, order: Order) -> str:
        wanted = assignment_of(order, self._blank.host)
        return wanted.key if wanted is not None else ""

    def leave(self, *, leaving: bool) -> None:
        """The host is about to go, or stays after all. What has touched nothing yet is given up."""
        with self._lock:
            self._leaving = self._deploy.stays_out = leaving
            self.is_away = False
            work = self._journal.memory.work
            may_wait = work is None or work.stage not in TOUCHED or work.stage == REGISTERING
            if leaving and self._at_work is not None and may_wait:
                self._stop.set()
        self.wake.set()

    def launch(self, *, waits: bool) -> None:
        """The instance waits for its launch hook, so that it serves nobody; or not any more."""
        self._serves = not waits
        self.wake.set()

    @property
    def is_preparing(self) -> bool:
        """A step before a version is under way: nobody could go on with it."""
        return self._before.is_under_way

    def make_room(self) -> bool:
        """Whether it is still at work. It begins nothing new, as long as this is asked every few seconds."""
        with self._lock:
            self._room_until = self._clock.monotonic() + ROOM
            return self._journal.memory.unfinished or self.is_preparing

    def end(self) -> None:
        """Interrupt what is under way, for good: the process is to end."""
        with self._lock:
            self._ending = True
            self._stop.set()
            self._cut.set()
        self.wake.set()

    # -- by its own thread -------------------------------------------------------------------------------------

    def work(self) -> None:
        """One round: observe, decide, carry out, report. What was interrupted is looked at again at once."""
        self.wake.clear()
        try:
            self._round()
        except Interrupted:
            self.wake.set()
        finally:
            with self._lock:
                self._at_work = None

    @property
    def is_settled(self) -> bool:
        """The host is healthy, and its order asks nothing more of it."""
        with self._lock:
            order = self._look.order
        memory = self._journal.memory
        if order is None or self._seen.ailment or self._before.is_due(order):
            return False
        has_failed = memory.work is not None and memory.work.state is WorkState.FAILED
        return not has_failed and isinstance(decide(order, self._blank.host, memory, self._seen.facts), Stay)

    @property
    def is_held(self) -> bool:
        """It carries out what leaving does not cut off."""
        memory = self._journal.memory
        return self._before.runs or (memory.unfinished and bool(memory.touched))

    @property
    def drains(self) -> float:
        """Seconds that leaving its target groups may take."""
        release = self._seen.release
        drain = release.lifecycle.drain if release is not None else None
        return drain.within if drain is not None else 0.0

    @property
    def readiness(self) -> Readiness:
        """How far the host is with its newest order."""
        with self._lock:
            look = self._look
        if look.order is None:
            return Readiness.EMPTY if look.absent else Readiness.WORKING
        return readiness(look.order, self._blank.host, self._journal.memory, self._seen.facts)

    def _round(self) -> None:
        with self._lock:
            if not self._ending:
                self._stop.clear()
                self._cut.clear()
            order = self._look.order
        self._observe(order)
        self._before.mend(self._reach(order))
        self._deploy.mend(self._reach(order))
        decision, order = self._decided()
        if isinstance(decision, Stay):
            if self._deploy.stays_out:
                self._depart(order, self._stop)
                return
            if order is not None and self._before.is_due(order) and not self._makes_room:
                hands = self._hands(order.target.lifecycle.root)
                self._before.run(order, hands, self._stop, self._cut, partial(self._depart_beside, order))
            self._rest(order)
            return
        try:
            self._carry_out(decision, order)
        finally:
            self._observer.forget_groups()
        self._observe(order)
        self._report()
        self._prune(order)

    def _decided(self) -> tuple[Decision, Order | None]:
        """Decide by the newest order, which is written down first. From here on another one interrupts."""
        with self._lock:
            if self._ending:
                raise Interrupted
            order = self._look.order
            self._makes_room = self._clock.monotonic() < self._room_until
            if order is not None:
                self._journal.imagine(self._journal.memory.with_order(order, self._meaning_of(order)))
            memory = self._journal.memory
            if self._leaving:
                decision: Decision = decide_leaving(memory)  # no newer order interrupts
            else:
                decision = decide(order, self._blank.host, memory, self._seen.facts, serving=self._serves)
            if isinstance(decision, Begin) and not memory.unfinished and self._makes_room:
                decision = Stay()
            if not isinstance(decision, Begin):  # which is written down before anything is done for it
                self._remember(memory)
            if not self._leaving:
                self._at_work = self._key_of(decision, order)
            return decision, order

    def _key_of(self, decision: Decision, order: Order | None) -> str | None:
        """What a newer order must ask for, or it interrupts."""
        if isinstance(decision, Begin | Resume):
            return decision.assignment.key
        if order is None:
            return None
        return self._before.key_of(order) if self._before.is_due(order) else self._wanted(order)

    def _meaning_of(self, order: Order) -> str:
        """Worked out once: an order may name thousands of hosts."""
        meant = self._meant
        if meant is None or meant[0] is not order:
            meant = self._meant = (order, order.meaning)
        return meant[1]

    def _remember(self, memory: Memory) -> None:
        """Written, or where the disk takes nothing known until the agent ends; a step of work must be written."""
        try:
            self._journal.write(memory)
        except Trouble as trouble:
            self._log("not-written", fleet=self.fleet, why=trouble.message)
            self._journal.imagine(memory)

    def _carry_out(self, decision: Decision, order: Order | None) -> None:
        memory = self._journal.memory  # of the last order that was believed, also by an agent before this one
        refuge = Refuge(rejected=memory.rejected, base=memory.base, hands=self._hands)
        if isinstance(decision, Withdraw):
            self._deploy.withdraw(self._reach(order), self._stop, refuge)
        if isinstance(decision, Begin | Resume):
            release = decision.assignment.release
            hands = self._hands(release.lifecycle.root)
            if isinstance(decision, Resume):
                self._log("resumed", fleet=self.fleet, version=release.version)
                self._deploy.resume(release, hands, self._stop, refuge)
            elif decision.settled:
                self._deploy.settle(decision.assignment, hands, self._stop)
            else:
                self._deploy.begin(decision.assignment, hands, self._stop, refuge)

    def _rest(self, order: Order | None) -> None:
        """Nothing is to be done: mend what an earlier ending left, and report."""
        memory, release = self._journal.memory, self._seen.release
        if memory.left and (not memory.touched or not self._seen.ailment):
            self._deploy.reenter(self._reach(order))
            self._observer.forget_groups()
        memory = self._journal.memory
        if not memory.last_good and release is not None and self._seen.facts.is_at(release.id):
            # The memory is new or lost, and the host is found well: that is what it would go back to.
            known = replace(memory, release=memory.release or release, root=self._root, last_good_root=self._root)
            self._remember(replace(known, last_good=release.id, last_good_version=release.version))
        self._report()

    def _depart_beside(self, order: Order, ended: Event) -> None:
        """While a step runs; until it has ended."""
        if self._deploy.stays_out and not self.is_away:
            with suppress(Interrupted):
                self._depart(order, ended)

    def _depart(self, order: Order | None, stop: Event) -> None:
        """Say so, and leave the target groups; once, and again where that failed."""
        is_due = order is not None and self._before.is_due(order)
        self._report("the host is about to go, so it does not begin the before step" if is_due else "")
        release = self._seen.release
        if not self.is_away:
            drain = release.lifecycle.drain if release is not None else None
            self.is_away = depart(self._journal, self._reach(order).balancer, drain, stop, self._log)

    def _prune(self, order: Order | None) -> None:
        memory = self._journal.memory
        if memory.unfinished or memory.release is None:
            return
        installation = self._reach(order).installation
        try:
            installation.prune({memory.last_good, memory.base, *installation.held()[-KEPT:]})
        except Trouble as trouble:
            self._log("not-pruned", fleet=self.fleet, why=trouble.message)

    # -- looking and saying ------------------------------------------------------------------------------------

    def _reach(self, order: Order | None) -> Hands:
        """The host's hands at the fleet's root: where what runs was activated, else where it is to be."""
        memory = self._journal.memory
        wanted = assignment_of(order, self._blank.host) if order is not None else None
        known = memory.release or (wanted.release if wanted else None) or (order.target if order else None)
        self._root = memory.root or (known.lifecycle.root if known is not None else self._root)
        return self._hands(self._root)

    def _observe(self, order: Order | None) -> None:
        memory, hands = self._journal.memory, self._reach(order)
        seen = self._observer.look(hands, order, memory, self._stop) if self._root else Seen()
        if seen.release is None:
            self._seen = self._elsewhere.look()
            return
        seen = replace(seen, root=self._root)
        if seen.stale:
            seen = seen.claiming_nothing("the process is of another release than the files; restart it or deploy again")
        else:
            memory = self._witnessed(memory, seen)
        self._seen = (
            seen.claiming_nothing("what runs may be another release than the files") if is_between(memory) else seen
        )

    def _witnessed(self, memory: Memory, seen: Seen) -> Memory:
        """Remember who runs the active release, and that the host is sound again where its way back failed."""
        if memory.unfinished or seen.release is None or seen.process is None:
            return memory
        found = witnessed(memory, seen)
        if found.touched != memory.touched:
            self._log("sound-again", fleet=self.fleet, release=seen.release.id)
        self._remember(found)
        return found

    def _moved(self) -> None:
        """A step was begun: say so. What runs is between two releases from when it is touched until it is observed."""
        work = self._journal.memory.work
        stage = work.stage if work is not None else ""
        if stage in TOUCHED:
            self._seen = replace(self._seen, components={}, ailment=f"{stage} {work.version if work else ''}".strip())
        self._report()

    def _report(self, aside: str = "") -> None:
        memory, seen, look = self._journal.memory, self._seen, self._look
        said = [aside, seen.ailment, look.trouble, self._journal.lost]
        self._post(
            replace(
                self._blank,
                sequence=memory.sequence,
                expires=memory.expires,
                components=seen.components,
                running=seen.running,
                healthy=not seen.ailment,
                message="; ".join(part for part in said if part),
                last_good=memory.last_good_version,
                target_groups=seen.groups,
                work=memory.work,
                refused=look.refused,
                before=self._before.step,
            )
        )
