"""A soak under random faults: it ends converged, with nothing pending, nothing left over, and memory that stays flat.

`make soak MINUTES=30` is the long one; `make long` has a short one. SOAK_MINUTES, SOAK_SEED, and SOAK_LOG, a folder
that keeps logs and samples, come from the environment.
"""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.ledger.store import open_ledger
from fairlead_sandbox.example import EXAMPLE
from fairlead_sandbox.gate import GateSettings
from fairlead_sandbox.world import REPOSITORY, World, WorldSettings
from reconciler.reasons import Reason
from tests.acceptance.soak.gauges import Growth, Sample, below, growth, leaks, sample
from tests.acceptance.soak.soaking import FAIRLEAD, Soak

MINUTES = float(os.environ.get("SOAK_MINUTES") or 1)
SEED = int(os.environ.get("SOAK_SEED") or 20261126)
HOSTS = {"staging/matchmaker+staging/lobby": 2, "prod/matchmaker": 6, "prod/matchmaker+prod/lobby": 4}
SETTLED = 420.0  # seconds from the last fault to the end of everything, on a slow machine
EVERY = 5.0  # seconds between two samples
LONG = 10.0  # minutes; in less than that memory is still warming up
LARGEST_JOURNAL = 512.0  # KiB that an agent remembers by
PACE = {"poll": "10s", "heartbeat": "10s"}  # a look at a played service starts two programs
SETTINGS = WorldSettings(
    example=EXAMPLE,
    gate=GateSettings(bake_seconds=0.2, deploy_seconds=0.5, health_seconds=5.0),
    hosts=HOSTS,
    pace=PACE,
    controller={"active_interval": "2s", "lease": "10s", "sweep_interval": "30s"},
)


class Process:
    """A controller; all of them write to one log."""

    def __init__(self, world: World, log: Path) -> None:
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [FAIRLEAD, "controller"],
                env={**os.environ, **world.environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        self.pid = self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        return self._process.wait(60)


@pytest.fixture
def soak(tmp_path: Path) -> Iterator[Soak]:
    folder = Path(os.environ.get("SOAK_LOG") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("acts.log", "controller.log"):  # of an earlier soak
        (folder / name).unlink(missing_ok=True)
    with World(tmp_path / "world", SETTINGS) as world:
        made = Soak(
            world, lambda world: Process(world, folder / "controller.log"), SEED, MINUTES * 60, folder / "acts.log"
        )
        yield made
        if made.controller.exit_code is None:
            made.controller.send(signal.SIGKILL)
            made.controller.wait()
        for host in world.hosts():
            (folder / f"{host.id}.log").write_text(host.log(), encoding="utf-8")


def unsettled(soak: Soak) -> list[str]:
    """What is not yet where Git says, as sentences."""
    said = []
    for name, fleet in soak.world.fleets.items():
        for region in fleet.regions:
            found = soak.world.versions(fleet.cluster, region)
            said += [f"{name} runs {found} in {region}"] if found != {soak.wanted(name)} else []
    for name in soak.world.trigger.fleets:
        for host in soak.world.hosts(name):
            there = (host.version(name), host.healthy(name))
            said += [f"{name} on {host.id}: {there}"] if there != (soak.wanted(name), True) else []
    return said + open_ends(soak)


def open_ends(soak: Soak) -> list[str]:
    """What the ledger has still to do or to say."""
    if not (soak.world.state / "ledger.db").exists():
        return ["no ledger yet"]
    with closing(open_ledger(f"sqlite:///{soak.world.state / 'ledger.db'}", SystemClock())) as ledger:
        records = list(ledger.fleets())
        unready = [f"{one.name}: {one.memory.status.message}" for one in records if not one.memory.status.ready]
        words = [f"{one.context} on {one.commit[:7]} is open" for one in ledger.statuses(REPOSITORY, open_only=True)]
        unknown = [] if records else ["no fleet is known yet"]
        return [*unknown, *unready, *words, *(["words to be delivered"] if ledger.undelivered(REPOSITORY, 1) else [])]


def settle(soak: Soak) -> None:
    """Return when everything is as Git says; whatever is not within `SETTLED` fails the test."""
    until, mended = soak.age + SETTLED, set[str]()
    while (left := unsettled(soak)) and soak.age < until:
        for fleet in refused(soak) - mended:
            soak.retry(fleet)
            mended.add(fleet)
        soak.rest(1.0)  # to look is work, too
    assert [] == left


def refused(soak: Soak) -> set[str]:
    """Fleets whose artifact was not there: their status asks for a retry when it is."""
    if not (soak.world.state / "ledger.db").exists():
        return set()
    with closing(open_ledger(f"sqlite:///{soak.world.state / 'ledger.db'}", SystemClock())) as ledger:
        return {one.name for one in ledger.fleets() if one.memory.status.reason is Reason.DEPLOY_REFUSED}


def live(soak: Soak) -> list[Sample]:
    """The faults, with a look now and then."""
    samples: list[Sample] = []
    while soak.age < soak.seconds:
        soak.act()
        if not samples or soak.age - samples[-1].age >= EVERY:
            samples += [each for each in [sample(soak)] if each is not None]
    return samples


def events(log: Path) -> Counter[str]:
    """How often the controllers said what, passes by family."""
    found: Counter[str] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("{") and line.endswith("}"):
            said = json.loads(line)
            found[f"pass of {said['family']}" if said["event"] == "pass" else said["event"]] += 1
    return found


def deploys(soak: Soak) -> Counter[str]:
    """How deploys on hosts ended, by the agents' logs."""
    names = ("done", "ended-failed", "rolled-back", "resumed", "interrupted", "refused", "surprised", "memory-lost")
    lines = (line.split(" ")[1:2] for host in soak.world.hosts() for line in host.log().splitlines())
    return Counter(name for line in lines for name in line if name in names)


def summary(soak: Soak, samples: list[Sample], grown: list[Growth], took: float, log: Path) -> str:
    """What it was and how it ended, for people."""
    runs = len(soak.world.gate.executions.all())
    lines = [
        f"soak of {MINUTES:g} minutes, seed {SEED}, {len(soak.world.hosts())} agents",
        f"  {len(soak.world.trigger.fleets):5} trigger fleets, {len(soak.world.fleets)} Spinnaker fleets",
        *(f"  {count:5} {name}" for name, count in sorted(soak.acts.items())),
        *(f"  {count:5} deploys on hosts {name}" for name, count in sorted(deploys(soak).items())),
        f"  {runs:5} pipelines",
        *(f"  {count:5} controller: {name}" for name, count in sorted(events(log).items())),
        f"settled {took:.0f} s after the last fault, nothing pending on {len(soak.commits)} commits",
        *(f"  {each}" for each in grown),
        f"  at most: controller {max(each.controller for each in samples):.0f} MiB",
    ]
    return "\n".join(lines)


@pytest.mark.long
def test_a_soak_under_random_faults_ends_converged(soak: Soak, statuses: Callable[..., Any], tmp_path: Path) -> None:
    folder = Path(os.environ.get("SOAK_LOG") or tmp_path)
    settle(soak)  # a fleet that changes before its first sight would be held
    soak.begin()
    samples = live(soak)
    soak.end()
    ended = soak.age
    settle(soak)
    took = soak.age - ended
    samples += [each for each in [sample(soak)] if each is not None]
    names = ("controller", "descriptors", "threads", "agents", "ledger", "journals")
    grown = {name: growth(name, samples, soak.seconds) for name in names}
    said = summary(soak, samples, list(grown.values()), took, folder / "controller.log")
    (folder / "samples.json").write_text(json.dumps([asdict(each) for each in samples]), encoding="utf-8")
    (folder / "summary.txt").write_text(f"{said}\n", encoding="utf-8")
    print(f"\n{said}")

    pending = {commit[:7]: words for commit in soak.commits if (words := _pending(statuses(soak.world, commit)))}
    assert {} == pending
    counts = Counter(_kind(command) for command in below(soak.world.folder).values())
    services = sum(len(host.fleets) for host in soak.world.hosts())
    assert {"agent": len(soak.world.hosts()), "service": services} == {
        name: counts[name] for name in ("agent", "service")
    }
    assert 0 == deploys(soak)["surprised"]
    assert 0 == events(folder / "controller.log")["failed"]
    assert max(each.journals for each in samples) <= LARGEST_JOURNAL
    if MINUTES >= LONG:
        assert {} == leaks(grown)
        assert grown["descriptors"].last <= 1.10 * grown["descriptors"].second + 10
    soak.controller.send(signal.SIGTERM)
    assert 0 == soak.controller.wait()
    soak.world.stop()
    assert {} == below(soak.world.folder)


def _pending(lines: Any) -> list[str]:
    return [f"{context}: {line.description}" for context, line in lines.items() if line.state == "pending"]


def _kind(command: str) -> str:
    if "fairlead_agent" in command:
        return "agent"
    return "service" if "/current/" in command else "other"
