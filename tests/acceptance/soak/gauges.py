"""What is measured of a soak while it goes on: memory, descriptors and sizes, and how they grow."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.acceptance.soak.soaking import Soak

FLAT = {"controller": 20.0, "agents": 2.0}  # MiB an hour in the last third; 6 and 0.1 were measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look. Memory in MiB, sizes in KiB."""

    age: float  # seconds since the soak began
    controller: float
    descriptors: int  # of the controller
    threads: int  # of the controller
    agents: float  # the median of those that are never killed
    ledger: float
    journals: float  # the largest state folder of a host
    commits: int


def sample(soak: Soak) -> Sample | None:
    """Now; None while there is no controller."""
    pid = soak.controller.pid
    agents = [_resident(host.agent_pid) for host in soak.spared if host.agent_pid is not None]
    try:
        return Sample(
            age=soak.age,
            controller=_resident(pid),
            descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
            threads=len(list(Path(f"/proc/{pid}/task").iterdir())),
            agents=median(agents),
            ledger=_size(soak.world.state.glob("ledger.db*")),
            journals=max(_size((host.folder / "state").rglob("*")) for host in soak.world.hosts()),
            commits=len(soak.commits),
        )
    except (OSError, StopIteration):  # it was killed meanwhile
        return None


def _resident(pid: int | None) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def _size(paths: Iterable[Path]) -> float:
    found = 0
    for path in paths:
        try:
            found += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return found / 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """The second quarter of the time against the last, and slopes: after the first quarter, and in the last third."""

    name: str
    second: float
    last: float
    slope: float  # an hour
    late: float  # an hour; what is flat in the end has warmed up, what is not leaks

    def __str__(self) -> str:
        quarters = f"{self.second:.1f} in the second quarter, {self.last:.1f} in the last"
        return f"{self.name}: {quarters}; {self.slope:+.2f}/h, {self.late:+.2f}/h in the last third"


def growth(name: str, samples: Sequence[Sample], seconds: float) -> Growth:
    """How a value of the samples went after the first quarter. Where a quarter has none, in a short soak, all count."""
    every = [(each.age, float(getattr(each, name))) for each in samples]
    points = [(age, value) for age, value in every if age >= seconds / 4] or every
    whole = [value for _, value in points]
    second = [value for age, value in points if age < seconds / 2] or whole
    last = [value for age, value in points if age >= seconds * 3 / 4] or whole
    late = [(age, value) for age, value in points if age >= seconds * 2 / 3] or points
    return Growth(
        name=name, second=median(second), last=median(last), slope=_slope(points) * 3600, late=_slope(late) * 3600
    )


def leaks(grown: Mapping[str, Growth]) -> dict[str, float]:
    """What still grows at the end, in MiB an hour."""
    return {name: grown[name].late for name, most in FLAT.items() if grown[name].late > most}


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """By least squares."""
    middle = [sum(axis) / len(points) for axis in zip(*points, strict=True)]
    spread = sum((x - middle[0]) ** 2 for x, _ in points) or 1.0
    return sum((x - middle[0]) * (y - middle[1]) for x, y in points) / spread


def below(folder: Path) -> dict[int, str]:
    """Living processes whose command line names the folder, but for this one: command by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{folder}/" in command:
            found[int(entry.name)] = command
    return found
