"""Orca's part: starts what is queued, moves what runs by a step, ends what was canceled.

Runs in a thread of its own, or step by step by `tick()`.
"""

from collections import Counter
from collections.abc import Iterator
from threading import Event, RLock, Thread

from fairlead_sandbox.gate.deploying import Site, milliseconds
from fairlead_sandbox.gate.executions import SUPERSEDED, Execution, Executions, top_level
from fairlead_sandbox.gate.pipelines import Pipelines
from fairlead_sandbox.gate.running import cancel, run


class Engine:
    """Moves all executions of one Gate."""

    def __init__(self, executions: Executions, pipelines: Pipelines, site: Site, every: float) -> None:
        self._executions = executions
        self._pipelines = pipelines
        self._site = site
        self._every = every
        self._runs: dict[str, Iterator[None]] = {}
        self._one_at_a_time = RLock()
        self._ended = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Tick in the background."""
        self._thread = Thread(target=self._loop, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the background thread; a step in progress is finished first."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _loop(self) -> None:
        while not self._ended.wait(self._every):
            self.tick()

    def tick(self) -> None:
        """Move every execution by one step."""
        with self._one_at_a_time:
            in_flight = self._executions.in_flight()
            running = Counter(each.config_id for each in in_flight if each.status == "RUNNING")
            taken = Counter(each.config_id for each in in_flight if each.status in {"RUNNING", "PAUSED"})
            for execution in in_flight:
                with execution.lock:
                    self._move(execution, running)
            self._let_in(taken)

    def _move(self, execution: Execution, running: Counter[str]) -> None:
        if execution.complete or execution.zombie:
            self._begin_zombie(execution)
        elif execution.body["canceled"]:
            self._end(execution)
        elif execution.status == "NOT_STARTED":
            self._admit(execution, running)
        elif execution.status == "RUNNING":
            self._step(execution)

    def _begin_zombie(self, execution: Execution) -> None:
        if execution.status == "NOT_STARTED":
            self._begin(execution)

    def _admit(self, execution: Execution, running: Counter[str]) -> None:
        """Start it, or queue it behind those that *run*: two that both wait slip through together, as in Orca."""
        if self._site.clock.monotonic() < execution.not_before or execution.queued:
            return
        if _is_full(execution, running):
            execution.queued = True
        else:
            self._begin(execution)

    def _let_in(self, taken: Counter[str]) -> None:
        """A freed slot takes the newest in the queue and cancels the rest, or the oldest with keepWaitingPipelines."""
        queued = [
            each
            for each in self._executions.in_flight()
            if each.queued and each.status == "NOT_STARTED" and not _is_full(each, taken)
        ]
        for config_id in {each.config_id for each in queued}:
            waiting = [each for each in queued if each.config_id == config_id]
            keep = waiting[0].body["keepWaitingPipelines"]
            chosen = waiting[0] if keep else waiting[-1]
            with chosen.lock:
                chosen.queued = False
                self._begin(chosen)
            for other in [] if keep else waiting[:-1]:
                other.cancel("spinnaker", SUPERSEDED)

    def _begin(self, execution: Execution) -> None:
        if not any(not each["requisiteStageRefIds"] for each in top_level(execution)):
            execution.finish("TERMINAL", milliseconds(self._site))  # Orca finds nothing to begin with, and says nothing
            return
        execution.body.update(status="RUNNING", startTime=milliseconds(self._site))

    def _step(self, execution: Execution) -> None:
        work = self._runs.get(execution.id)
        if work is None:
            work = self._runs[execution.id] = run(execution, self._site)
        try:
            next(work)
        except StopIteration:
            del self._runs[execution.id]
        except Exception as error:  # noqa: BLE001  the engine outlives a defect in one execution, and shows it
            execution.body["cancellationReason"] = f"the sandbox stumbled: {error!r}"
            execution.finish("TERMINAL", milliseconds(self._site))

    def _end(self, execution: Execution) -> None:
        """Canceled: what was under way takes no further step."""
        running = self._runs.pop(execution.id, None)
        if running is not None:
            running.close()  # type: ignore[attr-defined]
        now = milliseconds(self._site)
        cancel(execution, now)
        execution.finish("CANCELED", now)


def _is_full(execution: Execution, running: Counter[str]) -> bool:
    """As many of its configuration are running as may be: one with `limitConcurrent`, else the number it says."""
    limit = 1 if execution.body["limitConcurrent"] else int(execution.body["maxConcurrentExecutions"])
    return 0 < limit <= running[execution.config_id]
