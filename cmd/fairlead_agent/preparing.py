"""The step before a version, where an order asks it of this host: the target is staged, and its command run, once.

What is begun is on the disk before it begins, by its key, and is never begun again under the same one. After a crash
in between nobody knows whether it finished: it is reported as failed, and what it left running is ended. Nothing that
the host serves with is touched. A host that is about to go begins none, but lets finish what runs.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

from adapters.agent_protocol.orders import Order, before_key
from adapters.agent_protocol.reports import Blame, Step, WorkState
from fairlead_agent.hands import Hands
from fairlead_agent.hooks import Errand
from fairlead_agent.journal import Journal, Memory
from fairlead_agent.log import Log
from fairlead_agent.trouble import Interrupted, Trouble

WHAT = "before step"
STAGING, RUNNING = "staging", "running"  # as reports say it
KEPT = 10  # steps
BESIDE = 2.0  # seconds between two looks at what may not wait for a step
INTERRUPTED = "interrupted; whether it finished is not known"


class Preparation:
    """One fleet's steps on this host. `moved` is called when there is something to report."""

    def __init__(self, fleet: str, host: str, journal: Journal, log: Log, moved: Callable[[], None]) -> None:
        self._fleet = fleet
        self._host = host
        self._journal = journal
        self._log = log
        self._moved = moved
        self._now: Step | None = None  # what is under way

    @property
    def step(self) -> Step | None:
        """What is to be reported: the newest step."""
        steps = self._journal.memory.steps
        return self._now or (steps[0] if steps else None)

    def key_of(self, order: Order) -> str:
        """The step that the order asks of this host; empty: none."""
        return before_key(order, self._host)

    def is_due(self, order: Order | None) -> bool:
        """Whether the order asks for one that was not begun yet."""
        key = self.key_of(order) if order is not None else ""
        return bool(key) and key not in {step.key for step in self._journal.memory.steps}

    def mend(self, hands: Hands) -> None:
        """What an agent before this one began and did not end: end it, and say so."""
        step = next((each for each in self._journal.memory.steps if each.state is WorkState.WORKING), None)
        if step is None:
            return
        hands.hooks.end(WHAT, step.key)
        self._end(step.key, WorkState.FAILED, Trouble(Blame.UNHEALTHY, INTERRUPTED))

    @property
    def is_under_way(self) -> bool:
        """A step is staged or runs, or was left by an agent before this one and is not ended yet."""
        return self._now is not None or any(each.state is WorkState.WORKING for each in self._journal.memory.steps)

    @property
    def runs(self) -> bool:
        """The command of a step is under way, which only `cut` ends."""
        now = self._now
        return now is not None and now.message == RUNNING

    def run(self, order: Order, hands: Hands, stop: Event, cut: Event, meanwhile: Callable[[Event], None]) -> None:
        """Stage the target and run the step. Raises `Interrupted`; how it ended is in the memory.

        `stop` ends the staging, `cut` the command. `meanwhile` is called while that runs, and told when it has ended.
        """
        key, step, release = self.key_of(order), order.before, order.target
        if step is None:
            return
        try:
            self._stage(key, order, hands, stop)
            self._begin(key)
            folder = hands.installation.folder(release.id)
            errand = Errand(
                what=WHAT, key=key, command=step.command, within=step.within, release=release, folder=folder
            )
            _run_beside(lambda: hands.hooks.run(errand, cut), meanwhile)
        except Trouble as trouble:
            self._end(key, WorkState.FAILED, trouble)
        except Interrupted:
            if self.runs:
                self._end(key, WorkState.FAILED, Trouble(Blame.UNHEALTHY, INTERRUPTED))
            raise
        else:
            self._end(key, WorkState.DONE, None)
        finally:
            self._now = None

    def _stage(self, key: str, order: Order, hands: Hands, stop: Event) -> None:
        self._log("before-staging", fleet=self._fleet, version=order.target.version, step=key)
        self._now = Step(key=key, state=WorkState.WORKING, message=STAGING)
        self._moved()
        hands.installation.stage(order.target, stop)
        if stop.is_set():
            raise Interrupted

    def _begin(self, key: str) -> None:
        """Raises `Trouble` where it cannot be written down: then it is not run."""
        step = Step(key=key, state=WorkState.WORKING, message=RUNNING)
        self._journal.write(self._with(step))
        self._now = step
        self._log("before-running", fleet=self._fleet, step=key)
        self._moved()

    def _end(self, key: str, state: WorkState, trouble: Trouble | None) -> None:
        said = {"message": trouble.message, "blame": trouble.blame, "log": trouble.log} if trouble else {}
        memory = self._with(Step(key=key, state=state, **said))  # type: ignore[arg-type]
        self._log("before-ended", fleet=self._fleet, step=key, state=state, why=trouble.message if trouble else "")
        try:
            self._journal.write(memory)
        except Trouble as unwritten:
            self._log("not-written", fleet=self._fleet, why=unwritten.message)
            self._journal.imagine(memory)

    def _with(self, step: Step) -> Memory:
        memory = self._journal.memory
        others = tuple(each for each in memory.steps if each.key != step.key)
        return replace(memory, steps=(step, *others)[:KEPT])


def _run_beside(command: Callable[[], None], meanwhile: Callable[[Event], None]) -> None:
    """Raises what the command raises, once that has ended. The journal is written by the calling thread alone."""
    ended = Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(command)
        running.add_done_callback(lambda _: ended.set())
        while not ended.wait(BESIDE):
            meanwhile(ended)
    running.result()
