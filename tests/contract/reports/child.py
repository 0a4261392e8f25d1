"""A controller's one look at a reports queue, which ends with its process: `child.py LEDGER before|after`."""

import os
import signal
import sys
from datetime import timedelta
from typing import Any

import structlog

from adapters.aws import queues
from adapters.aws.sessions import Sessions
from adapters.clock import SystemClock
from adapters.feeds.reports import Reports
from adapters.ledger.store import Store, open_ledger

NAME = "123456789012/us-east-1/prod"
URL, WHEN = sys.argv[1:]


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


queues.HIDDEN = timedelta(seconds=1)
if WHEN == "before":
    Store.record_reports = die  # type: ignore[assignment,method-assign]
else:
    queues.SqsQueue.delete = die  # type: ignore[method-assign]
CLOCK = SystemClock()
LEDGER = open_ledger(URL, CLOCK)
LEDGER.add([f"reports:{NAME}"])
(DUE,) = LEDGER.claim("reports", 1, timedelta(minutes=1))
Reports(LEDGER, Sessions(), CLOCK, timedelta(0), structlog.get_logger()).run(NAME, DUE.lease)
