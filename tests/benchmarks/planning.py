"""A controller process on a forge, and pull requests: how soon the comment with the plan is written there."""

import os
import subprocess
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from statistics import median

from adapters.clock import SystemClock
from fairlead_sandbox.bulk.fleets import BulkFleets, fleet_file
from fairlead_sandbox.bulk.process import BulkProcess
from fairlead_sandbox.bulk.world import BulkSettings
from tests.benchmarks.forged import ForgeServer, OnForge
from tests.benchmarks.measurement import Measurement, percentile
from tests.benchmarks.pushing import ENVIRONMENTS, HOSTS, INSTANCES, bring_to_rest
from tests.benchmarks.running import AS_RUN, FULL_NAME, WITH_WEBHOOK, Running, Watch, calm, running, wait_until
from tests.benchmarks.scale import Scale

PATIENCE = 600.0
_QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def planning(scale: Scale, folder: Path) -> Iterable[Measurement]:
    """Pull requests of one fleet each, in an estate of few fleets and of many."""
    for count in (scale.few, scale.fleets):
        half = count // 2
        fleets = BulkFleets(spinnaker=half, trigger=half, environments=ENVIRONMENTS)
        settings = BulkSettings(fleets=fleets, hosts_each=HOSTS, instances_each=INSTANCES, serve=ForgeServer, **AS_RUN)
        with BulkProcess(folder / f"world-{count}", settings) as world:
            bring_to_rest(world)
            forge = OnForge(world.folder / "git")
            text = world.config.read_text().replace(WITH_WEBHOOK[0], forge.settings(world.folder / "forge.token"))
            world.config.write_text(text)
            watch = Watch(f"sqlite:///{world.state / 'ledger.db'}")
            with running(world, folder / f"controller-{count}") as controller:
                wait_until(lambda: bool(controller.passes("inventory")), "a first inventory", PATIENCE)
                calm(watch, PATIENCE)
                yield _plans(controller, forge, fleets, count, scale.trials)
            watch.close()


def _plans(controller: Running, forge: OnForge, fleets: BulkFleets, count: int, trials: int) -> Measurement:
    names = [*fleets.spinnaker_names(), *fleets.trigger_names()]
    first = _plan(controller, forge, names[-1], "1.0.1")
    before = len(controller.passes("pulls"))
    taken = [_plan(controller, forge, names[(n * 97 + 11) % len(names)], f"1.1.{n}") * 1000 for n in range(trials)]
    taken.sort()
    return Measurement(
        name="pull request → plan comment",
        conditions=f"{count:,} fleets, {trials} pull requests of one fleet each; SQLite",
        values={
            "p50 ms": median(taken),
            "p99 ms": percentile(taken, 0.99),
            "least ms": taken[0],
            "ms, the very first": first * 1000,
            "p50 ms, pass of pulls": median(each["took_ms"] for each in controller.passes("pulls")[before:]),
        },
        notes=(
            "from before the signed webhook is sent to the arrival of the comment in the forge's log",
            "earlier pull requests stay open: each look lists them all",
        ),
    )


def _plan(controller: Running, forge: OnForge, name: str, version: str) -> float:
    """Seconds from the webhook to the comment's arrival."""
    branch = f"bump-{version}"
    _commit(forge.bare, branch, *fleet_file(name, version))
    number = forge.open_pull(branch)
    path = f"/issues/{number}/comments"
    began = SystemClock().now()
    controller.tell("pull_request", {"action": "opened", "number": number, "repository": {"full_name": FULL_NAME}})
    wait_until(lambda: bool(forge.writes(path)), f"a comment on pull request {number}", PATIENCE, every=0.05)
    return (datetime.fromisoformat(forge.writes(path)[0]["at"]) - began).total_seconds()


def _commit(bare: Path, branch: str, path: str, text: str) -> None:
    """A branch from `main` that changes one file, straight into the bare repository."""
    data = text.encode()
    stream = b"commit refs/heads/%b\ncommitter Ada <ada@example.com> now\ndata 4\nBump\nfrom refs/heads/main^0\n"
    stream = stream % branch.encode() + b"M 100644 inline %b\ndata %d\n%b\n" % (path.encode(), len(data), data)
    subprocess.run(
        ["git", "-C", str(bare), "fast-import", "--quiet", "--date-format=now"],
        input=stream,
        env={**os.environ, **_QUIET},
        check=True,
        capture_output=True,
    )
