"""Statuses leave here: durable, newest word first, a commit with very many fleets kept readable."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from reconciler.ports import Clock, Delivery, Forge, Lease, Ledger, Undelivered
from reconciler.record import State

BATCH = 200
FLEETS_A_COMMIT = 20  # above that only failures are told one by one; the roll-up speaks for the rest (DESIGN 5)
LOUD = frozenset({State.FAILURE, State.ERROR})


class Outbox:
    """The family of names that delivers: `statuses:<repository>`."""

    def __init__(self, ledger: Ledger, forges: Mapping[str, Forge], clock: Clock) -> None:
        self._ledger, self._forges, self._clock = ledger, forges, clock

    def run(self, repository: str, lease: Lease) -> datetime | None:
        """Deliver what is due; gives the time of the next try where something is left."""
        waiting = self._ledger.undelivered(repository, BATCH, self._clock.now())
        if not waiting:
            return None
        quiet = self._left_out(repository, waiting)
        told = [item for item in waiting if item.id not in quiet]
        results = list(self._forges[repository].deliver(lease, told, self._clock.now())) if told else []
        results += [
            Delivery(id=item.id, sequence=item.sequence, delivered=False, message="left to the roll-up")
            for item in waiting
            if item.id in quiet
        ]
        self._ledger.settle(lease, results)
        retries = [result.retry_at for result in results if result.retry_at is not None]
        return self._clock.now() if len(waiting) == BATCH else min(retries, default=None)

    def _left_out(self, repository: str, waiting: Sequence[Undelivered]) -> frozenset[int]:
        commits = {item.status.commit for item in waiting}
        said = self._ledger.statuses(repository, commits=commits, context_prefix="fairlead/")
        fleets = Counter(status.commit for status in said if is_fleets(status.context))
        return frozenset(
            item.id
            for item in waiting
            if is_fleets(item.status.context)
            and fleets[item.status.commit] > FLEETS_A_COMMIT
            and item.status.state not in LOUD
            and not item.said_before
        )


def is_fleets(context: str) -> bool:
    """True for `fairlead/<env>/<service>`, false for roll-ups and validation."""
    return context.count("/") == 2
