"""A process that drains one family of names, from a line on stdin on: `tests.benchmarks.drainer URL FAMILY`."""

import json
import sys
import time
from datetime import timedelta

from adapters.clock import SystemClock
from adapters.ledger.store import open_ledger

CLAIMED = 8  # as many as a controller has workers
LEASE = timedelta(seconds=30)


def main(url: str, family: str) -> None:
    """Claim and finish until nothing is due; say how many, and from when to when (monotonic, the same for all)."""
    ledger = open_ledger(url, SystemClock())
    ledger.claim(family + "-warm", CLAIMED, LEASE)
    print("ready", flush=True)
    sys.stdin.readline()
    count, began, ended = 0, time.monotonic(), 0.0
    while due := ledger.claim(family, CLAIMED, LEASE):
        for each in due:
            ledger.finish(each)
        count, ended = count + len(due), time.monotonic()
    print(json.dumps({"count": count, "began": began, "ended": ended}))


if __name__ == "__main__":
    main(*sys.argv[1:])
