"""Statuses leave here: durable, newest word first, a commit with very many fleets kept readable."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from desired_state.model import Sha
from reconciler.ports import Clock, Delivery, Forge, Lease, Ledger, Undelivered
from reconciler.record import State

BATCH = 200
LOOK_AGAIN = timedelta(seconds=30)  # at the latest, while anything is put off
LONGEST_PUT_OFF = timedelta(days=1)
FLEETS_A_COMMIT = 20  # above that only failures are told one by one; the roll-up speaks for the rest (DESIGN 5)
LOUD = frozenset({State.FAILURE, State.ERROR})


class Outbox:
    """The family of names that delivers: `statuses:<repository>`."""

    def __init__(self, ledger: Ledger, forges: Mapping[str, Forge], clock: Clock) -> None:
        self._ledger, self._forges, self._clock = ledger, forges, clock

    def run(self, repository: str, lease: Lease) -> datetime | None:
        """Deliver what is due; gives the time of the next try where something is left."""
        waiting = self._ledger.undelivered(repository, BATCH, self._clock.now())
        retries = self._deliver(repository, lease, waiting) if waiting else []
        return self._next_try(repository, retries)

    def _deliver(self, repository: str, lease: Lease, waiting: Sequence[Undelivered]) -> list[datetime]:
        quiet = self._left_out(repository, waiting)
        told = [item for item in waiting if item.id not in quiet]
        results = list(self._forges[repository].deliver(lease, told, self._clock.now())) if told else []
        results += [
            Delivery(id=item.id, sequence=item.sequence, delivered=False, message="left to the roll-up")
            for item in waiting
            if item.id in quiet
        ]
        self._ledger.settle(lease, results)
        return [result.retry_at for result in results if result.retry_at is not None]

    def _next_try(self, repository: str, retries: Sequence[datetime]) -> datetime | None:
        """Now while more may be told; what an earlier run put off counts too, or nobody would come back for it."""
        now = self._clock.now()
        if self._ledger.undelivered(repository, 1, now):
            return now
        left = self._ledger.undelivered(repository, 1, now + LONGEST_PUT_OFF)
        return min([*retries, now + LOOK_AGAIN]) if left else None

    def _left_out(self, repository: str, waiting: Sequence[Undelivered]) -> frozenset[int]:
        commits = {item.status.commit for item in waiting}
        crowded = self._crowded(repository, commits)
        return frozenset(
            item.id
            for item in waiting
            if is_fleets(item.status.context)
            and item.status.commit in crowded
            and item.status.state not in LOUD
            and not item.said_before
        )

    def _crowded(self, repository: str, commits: Collection[Sha]) -> frozenset[Sha]:
        """The commits of very many fleets: known before the first of them speaks, and when some have moved on."""
        said = self._ledger.statuses(repository, commits=commits, context_prefix="fairlead/")
        spoken = Counter(status.commit for status in said if is_fleets(status.context))
        fleets = self._ledger.set_by(repository, commits)
        return frozenset(commit for commit in commits if max(spoken[commit], fleets.get(commit, 0)) > FLEETS_A_COMMIT)


def is_fleets(context: str) -> bool:
    """True for `fairlead/<env>/<service>`, false for roll-ups and validation."""
    return context.count("/") == 2
