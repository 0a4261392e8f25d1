"""The work queue alone: names added one by one and at once, and drained by one and two processes."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from adapters.clock import SystemClock
from adapters.ledger.store import open_ledger
from fairlead_sandbox.postgres import Postgres
from tests.benchmarks.machine import ROOT
from tests.benchmarks.measurement import Measurement
from tests.benchmarks.scale import Scale

ONE_BY_ONE = 2_000
AT_ONCE = 10_000
DRAINED = 4_000
BESIDE = {
    "SQLite": "own prototype, one commit each: add 10,735/s, drain 2,020/s (2 processes)",
    "PostgreSQL": "own prototype: add 270/s, drain 264/s; procrastinate: 183/s and 4,285/s in batches, drain 132/s; "
    "DBOS: 144/s, 98/s",
}


def queueing(scale: Scale, folder: Path) -> Iterable[Measurement]:
    """On each engine that is at hand."""
    del scale
    yield _on("SQLite", f"sqlite:///{folder / 'queue.db'}")
    with Postgres() as server:
        yield _on("PostgreSQL", server.url)


def _on(engine: str, url: str) -> Measurement:
    ledger = open_ledger(url, SystemClock())
    began = time.perf_counter()
    for number in range(ONE_BY_ONE):
        ledger.add([f"single:{number}"])
    one_by_one = ONE_BY_ONE / (time.perf_counter() - began)
    began = time.perf_counter()
    ledger.add(f"batch:{number}" for number in range(AT_ONCE))
    at_once = AT_ONCE / (time.perf_counter() - began)
    drained = {}
    for processes in (1, 2):
        family = f"drain{processes}"
        ledger.add(f"{family}:{number}" for number in range(DRAINED))
        drained[f"drain, {processes} process{'es' * (processes > 1)}: names/s"] = _drained(url, family, processes)
    ledger.close()
    return Measurement(
        name=f"queue operations on {engine}",
        conditions="a transaction for each add and finish, fsync as shipped; claims of 8; names that cost nothing",
        values={"add one by one: names/s": one_by_one, "add 10,000 at once: names/s": at_once, **drained},
        beside=BESIDE[engine],
    )


def _drained(url: str, family: str, processes: int) -> float:
    """Names a second, from the first claim to the last finish; interpreters have started before."""
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.drainer", url, family],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()  # it is ready
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    found = [json.loads(child.communicate()[0]) for child in children]
    if (count := sum(each["count"] for each in found)) != DRAINED:
        raise RuntimeError(f"{DRAINED} names were due and {count} were drained")
    return DRAINED / (max(each["ended"] for each in found) - min(each["began"] for each in found))
