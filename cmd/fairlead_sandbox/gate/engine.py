"""Orca's part: starts what is queued, moves what runs by a step, ends what was canceled.

Runs in a thread of its own, or step by step by `tick()`.
"""

from collections.abc import Iterator
from threading import Event, RLock, Thread

from fairlead_sandbox.gate.deploying import Site
from fairlead_sandbox.gate.executions import SUPERSEDED, Execution, Executions
from fairlead_sandbox.gate.pipelines import Pipelines
from fairlead_sandbox.gate.running import milliseconds, run


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
            busy = {each.config_id for each in in_flight if each.status in {"RUNNING", "PAUSED"}}
            for execution in in_flight:
                with execution.lock:
                    self._move(execution, busy)
            self._let_in(busy)

    def _move(self, execution: Execution, busy: set[str]) -> None:
        if execution.complete or execution.zombie:
            self._begin_zombie(execution)
        elif execution.body["canceled"]:
            self._end(execution)
        elif execution.status == "NOT_STARTED":
            self._admit(execution, busy)
        elif execution.status == "RUNNING":
            self._step(execution)

    def _begin_zombie(self, execution: Execution) -> None:
        if execution.status == "NOT_STARTED":
            self._begin(execution)

    def _admit(self, execution: Execution, busy: set[str]) -> None:
        """Start it, or queue it behind one that *runs*: two that both wait slip through together, as in Orca."""
        if self._site.clock.monotonic() < execution.not_before or execution.queued:
            return
        if execution.body["limitConcurrent"] and execution.config_id in busy:
            execution.queued = True
        else:
            self._begin(execution)

    def _let_in(self, busy: set[str]) -> None:
        """A freed slot takes the newest in the queue and cancels the rest, or the oldest with keepWaitingPipelines."""
        queued = [each for each in self._executions.in_flight() if each.queued and each.config_id not in busy]
        for config_id in {each.config_id for each in queued}:
            waiting = [each for each in queued if each.config_id == config_id]
            keep = waiting[0].body["keepWaitingPipelines"]
            chosen = waiting[0] if keep else waiting[-1]
            chosen.queued = False
            self._begin(chosen)
            for other in [] if keep else waiting[:-1]:
                other.cancel("system", SUPERSEDED)
                self._end(other)

    def _begin(self, execution: Execution) -> None:
        execution.body.update(status="RUNNING", startTime=milliseconds(self._site))
        self._runs[execution.id] = run(execution, self._site)

    def _step(self, execution: Execution) -> None:
        try:
            next(self._runs[execution.id])
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
        for stage in execution.body["stages"]:
            if stage["status"] == "RUNNING":
                stage.update(status="CANCELED", endTime=now)
        execution.finish("CANCELED", now)
