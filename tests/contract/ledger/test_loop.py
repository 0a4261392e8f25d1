"""The loop over a real ledger: what keeps a lease alive, and what does not."""

from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.ledger.store import open_ledger
from reconciler.loop import Family, Loop
from reconciler.ports import Lease

LEASE = timedelta(seconds=1)


class Lines:
    """A log that is kept."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def info(self, event: str, **values: object) -> None:
        self.lines.append({"event": event, **values})

    warning = exception = info


@pytest.mark.parametrize(("heartbeat", "kept"), [(True, [True]), (False, [False, True])])
def test_only_a_family_with_a_heartbeat_may_take_longer_than_its_lease(
    tmp_path: Path, heartbeat: bool, kept: list[bool]
) -> None:
    """Without one the name is taken again, by whoever comes next."""
    store, log, reads = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", SystemClock()), Lines(), []

    def read(name: str, lease: Lease) -> datetime | None:
        reads.append(name)
        if len(reads) == 1:
            Event().wait(1.5 * LEASE.total_seconds())
        return None

    family = Family(name="inventory", run=read, lease=LEASE, heartbeat=heartbeat)
    store.add(["inventory:one"])
    ran = Loop(store, [family], SystemClock(), log).drain(["inventory"])
    store.close()

    assert len(kept) == ran
    assert kept == [line["lease_kept"] for line in log.lines if line["event"] == "pass"]
