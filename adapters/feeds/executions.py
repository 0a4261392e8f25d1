"""The feed of what is under way: all open intents of one Gate, polled in batches.

The feed `executions/<gate url>` holds for each fleet `{intent key: execution}` (see `gate.executions`).
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from adapters.feeds.pacing import Pacing
from adapters.gate.client import Gates
from adapters.gate.executions import feed_of
from adapters.gate.polling import A_CYCLE, read_work
from desired_state.model import FleetName
from reconciler.ports import Clock, Lease, Ledger, Unreadable
from reconciler.work import Outcome

DEPLOY_TYPE = "spinnaker"
BEHIND = timedelta(seconds=2)  # after the first fleets that may ask again: a good read of ours wakes all the others


class Executions:
    """Reads executions by Gate URL."""

    def __init__(self, ledger: Ledger, gates: Gates, clock: Clock, interval: timedelta) -> None:
        self._ledger = ledger
        self._gates = gates
        self._clock = clock
        self._pacing = Pacing(clock, interval)

    def names(self) -> frozenset[str]:
        """The URLs of all Gates that have work in flight."""
        return frozenset(self._in_flight())

    def run(self, name: str, lease: Lease) -> datetime | None:
        """Poll one Gate's work into the ledger; gives the time of the next poll, None when nothing is in flight there.

        Raises `LeaseLost`.
        """
        work = self._in_flight().get(name.rstrip("/"), [])
        feed = feed_of(name)
        read_at = self._clock.now()
        try:
            bodies = read_work(self._gates.at(name), work, A_CYCLE) if work else {}
        except Unreadable as trouble:
            self._ledger.record_trouble(lease, feed, str(trouble))
            again_at = self._pacing.failed(name)
            return again_at if trouble.retry_in is None else self._clock.now() + trouble.retry_in + BEHIND
        self._ledger.record_snapshots(lease, feed, _by_fleet(work, bodies), read_at)
        return self._pacing.succeeded(name) if work else None

    def _in_flight(self) -> dict[str, list[Outcome]]:
        found: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in self._ledger.work_in_flight():
            fleet = outcome.intent.fleet
            if fleet.deploy_type == DEPLOY_TYPE and not outcome.phase.ended:
                found[fleet.environment.spinnaker["url"].rstrip("/")].append(outcome)
        return found


def _by_fleet(
    work: list[Outcome], bodies: Mapping[str, Mapping[str, Any]]
) -> dict[FleetName, Mapping[str, Mapping[str, Any]]]:
    parts: dict[FleetName, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for outcome in work:
        key = outcome.intent.key
        if key in bodies:
            parts[outcome.intent.fleet.name][key] = bodies[key]
    return dict(parts)
