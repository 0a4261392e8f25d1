"""Statuses leave here: durable, newest word first, a commit with very many fleets kept readable."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from desired_state.model import Sha
from reconciler.ports import Delivery, Forge, Lease, Ledger, Undelivered
from reconciler.record import State

BATCH = 200
FLEETS_A_COMMIT = 20  # above that only failures are told one by one; the roll-up speaks for the rest (DESIGN 5)
LOUD = frozenset({State.FAILURE, State.ERROR})


class Outbox:
    """The family of names that delivers: `statuses:<repository>`."""

    def __init__(self, ledger: Ledger, forges: Mapping[str, Forge]) -> None:
        self._ledger, self._forges = ledger, forges

    def run(self, repository: str, lease: Lease) -> datetime | None:
        """Deliver what is due; gives the time of the next try where something is left. All times are the ledger's."""
        waiting = self._ledger.undelivered(repository, BATCH)
        if waiting:
            self._deliver(repository, lease, waiting)
        return self._ledger.next_telling(repository)

    def _deliver(self, repository: str, lease: Lease, waiting: Sequence[Undelivered]) -> None:
        quiet = self._left_out(repository, waiting)
        told = [item for item in waiting if item.id not in quiet]
        results = [
            Delivery(id=item.id, sequence=item.sequence, delivered=False, message="left to the roll-up")
            for item in waiting
            if item.id in quiet
        ]
        now = self._ledger.take_up(lease, told)
        if told:
            results += self._forges[repository].deliver(lease, told, now)
        self._ledger.settle(lease, results)

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
