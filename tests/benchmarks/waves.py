"""Rollouts over real agent processes, started and idle, beside the floor: the same AWS calls, no logic around them."""

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median

from adapters.clock import SystemClock
from fairlead_sandbox.bulk.fleets import FIRST, BulkFleets
from fairlead_sandbox.bulk.process import BulkProcess
from fairlead_sandbox.bulk.world import BulkSettings
from tests.benchmarks.floor import floor
from tests.benchmarks.measurement import Limit, Measurement
from tests.benchmarks.real_agents import NOTHING, accepting, agents, processes, processor, resident
from tests.benchmarks.running import AS_RUN, Running, Watch, running, wait_until
from tests.benchmarks.scale import Scale

FLEET = "prod/mm-0001"
PATIENCE = 900.0  # seconds; hundreds of processes start on two cores
WAVES = {"one wave": (1.0,), "four waves": (0.25, 0.5, 0.75, 1.0)}
LOOK = 0.01  # seconds between two looks at the ledger
TRIALS = 3
REPORTED = "FROM reports WHERE body LIKE :said"
OF_HOSTS = ("s3:GET", "sqs:ReceiveMessage", "sqs:DeleteMessageBatch", "sqs:SendMessage")  # nearly
BUDGET, OF = 2.0, 200  # DESIGN 8: for one wave over so many; over a few the floor is a moment


class Times:
    """Seconds from the push until half, and all, of the hosts had reported: of each trial."""

    def __init__(self) -> None:
        self.half: list[float] = []
        self.all: list[float] = []
        self.steps: list[tuple[float, float, float]] = []  # order in S3, half of the reports sent, all of them

    def add(self, came: Sequence[float]) -> None:
        """When each host reported, in order."""
        self.half.append(came[(len(came) - 1) // 2])
        self.all.append(came[-1])

    def on_the_way(self) -> dict[str, float]:
        """Where the time of the median trial went."""
        names = ("s to the order", "s to 50 % sent", "s to 100 % sent")
        return {name: median(each) for name, each in zip(names, zip(*self.steps, strict=True), strict=False)}


def waves(scale: Scale, folder: Path) -> Iterable[Measurement]:
    """Each shape of a rollout, three times by Fairlead and three times by the floor; then the table."""
    with accepting() as port:
        fleets = BulkFleets(
            spinnaker=0,
            trigger=1,
            role="",
            run=NOTHING,
            health=f'{{tcp: "127.0.0.1:{port}", within: 60s}}',
            more="max_unavailable: 100%",
        )
        settings = BulkSettings(fleets=fleets, hosts_each=scale.agents, played=False, **AS_RUN)
        with BulkProcess(folder / "agents", settings) as world:
            ours, about = _ours(world, fleets, folder)
            theirs = {}
            with floor(world, FLEET, fleets.bucket("prod"), folder / "floor") as bare:
                for name, shares in WAVES.items():
                    theirs[name], before = Times(), processor(bare.pids)
                    for _ in range(TRIALS):
                        theirs[name].add(bare.deploy(shares))
                    spent = (processor(bare.pids) - before) * 1000 / TRIALS / len(bare.pids)
                    about[name]["floor: ms of processor, a host"] = spent
    for name in WAVES:
        yield _measured(name, scale, ours[name], theirs[name], about[name])


def _ours(world: BulkProcess, fleets: BulkFleets, folder: Path) -> tuple[dict[str, Times], dict[str, dict[str, float]]]:
    times, about = {}, {}
    commands = agents(world, FLEET, fleets.bucket("prod"), folder / "hosts")
    with running(world, folder / "agents-controller") as controller, processes(commands, folder / "agent-logs") as pids:
        wait_until((world.state / "ledger.db").exists, "a ledger", PATIENCE)
        wait_until(lambda: '"controller started"' in controller.log(), "a controller", PATIENCE)
        watch = Watch(f"sqlite:///{world.state / 'ledger.db'}")
        wait_until(lambda: _there(watch, FIRST) == len(pids), "agents that run the first version", PATIENCE)
        wait_until(lambda: watch.ready() == 1, "a fleet at rest", PATIENCE)
        for number, (name, shares) in enumerate(WAVES.items()):
            world.ask("merge", message="Say the waves", files=dict(_service(fleets, shares)))
            times[name] = Times()
            before = (processor(pids), controller.cpu(), len(controller.passes("fleet")))
            world.ask("reset_calls")
            for trial in range(TRIALS):
                _rollout(world, controller, watch, f"1.{number + 1}.{trial}", times[name])
            after = (processor(pids), controller.cpu(), len(controller.passes("fleet")))
            calls = world.ask("calls")
            about[name] = {
                "ms of processor, an agent": (after[0] - before[0]) * 1000 / TRIALS / len(pids),
                "ms of processor, controller": (after[1] - before[1]) * 1000 / TRIALS,
                "passes of the fleet": (after[2] - before[2]) / TRIALS,
                "orders": calls.get("s3:PUT", calls.get("s3:PutObject", 0)) / TRIALS,
                "messages sent, a host": calls.get("sqs:SendMessage", 0) / TRIALS / len(pids),
                "calls, a host": sum(calls.get(name, 0) for name in OF_HOSTS) / TRIALS / len(pids),
                "MiB of an agent": median(resident(pids)),
            }
        watch.close()
    return times, about


def _rollout(world: BulkProcess, controller: Running, watch: Watch, version: str, times: Times) -> None:
    """Until the ledger knows that each host is healthy at the version; then wait for rest."""
    wait_until(controller.is_idle, "an idle controller", PATIENCE)
    head, before = world.bump([FLEET], version), len(world.ask("writes"))
    count, came = len(world.ask("launched", fleet=FLEET)), list[float]()
    at, began = SystemClock().now().timestamp(), time.perf_counter()
    controller.hint(head)
    while len(came) < count:
        there, now = _there(watch, version), time.perf_counter() - began
        came += [now] * (there - len(came))
        if now > PATIENCE:
            raise RuntimeError(f"{there} of {count} hosts are at {version} after {now:.0f} s")
        time.sleep(LOOK)
    times.add(came)
    sent = [
        each / 1_000_000 - at for each in watch.numbers(f"SELECT sent {REPORTED} ORDER BY sent", said=_said(version))
    ]
    order = datetime.fromisoformat(world.ask("writes", after=before)[0]["at"]).timestamp() - at
    times.steps.append((order, sent[(count - 1) // 2], sent[-1]))
    wait_until(lambda: watch.ready(version) == 1, f"a fleet at {version}", PATIENCE)


def _there(watch: Watch, version: str) -> int:
    return watch.number(f"SELECT count(*) {REPORTED}", said=_said(version))


def _said(version: str) -> str:
    return f'%"package/mm-0001":"{version}"%"healthy":true%'


def _service(fleets: BulkFleets, shares: Sequence[float]) -> Iterable[tuple[str, str]]:
    """The service's file with these waves."""
    written = ", ".join(f"{{hosts: {share:.0%}}}" for share in shares)
    for path, text in fleets.files(""):
        if path.startswith("services/"):
            yield path, text.replace("waves: [{hosts: 100%}]", f"waves: [{written}]")


def _measured(name: str, scale: Scale, ours: Times, theirs: Times, about: dict[str, float]) -> Measurement:
    ratio = median(ours.all) / median(theirs.all)
    is_budgeted = name == "one wave" and scale.agents >= OF
    return Measurement(
        name=f"{name} over {scale.agents} real agents",
        conditions="webhook of the bump → reports of healthy hosts in the ledger; processes started and idle; SQLite",
        values={
            "s to 50 %": median(ours.half),
            "s to 100 %": median(ours.all),
            "floor: s to 50 %": median(theirs.half),
            "floor: s to 100 %": median(theirs.all),
            "times the floor": ratio,
            **ours.on_the_way(),
            **about,
        },
        limits=(Limit(value="times the floor", most=BUDGET, ratio=True),) if is_budgeted else (),
        notes=(
            "the floor: as many processes that receive, get order and artifact, write it, report; and their reader",
            f"the median of {TRIALS}; the service is a command that ends at once and a port that accepts",
        ),
    )
