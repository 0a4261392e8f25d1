"""Every row by name, in the order in which they run. Each gives measurements; estates that one made, later ones use."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.benchmarks.crowd import crowd
from tests.benchmarks.growing import growing
from tests.benchmarks.measurement import Measurement
from tests.benchmarks.planning import planning
from tests.benchmarks.pushing import pushing
from tests.benchmarks.queueing import queueing
from tests.benchmarks.reading import committing, polling
from tests.benchmarks.replicas import replicas
from tests.benchmarks.scale import Scale
from tests.benchmarks.starting import starting
from tests.benchmarks.waves import waves

Row = Callable[[Scale, Path], Iterable[Measurement]]

ROWS: Mapping[str, Row] = {
    "poll": polling,
    "commit": committing,
    "growth": growing,
    "queue": queueing,
    "push": pushing,
    "plan": planning,
    "start": starting,
    "replicas": replicas,
    "agents": waves,
    "inprocess": crowd,
}
