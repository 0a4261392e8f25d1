"""The right to act on one name for a while, and the fence that a writer passes first."""

import math
from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import Connection, and_, bindparam, select

from adapters.ledger.dialects import Now
from adapters.ledger.tables import queue
from reconciler.ports import Clock, Lease, LeaseLost

MARGIN = timedelta(seconds=2)  # longer than a request takes to leave this host; a tenth of a short lease
# The row of the queue that the owner still holds, by the database's clock; `holder` gives its parameters.
IS_HELD = and_(
    queue.c.key == bindparam("held_key"), queue.c.owner == bindparam("held_owner"), queue.c.lease_until > Now()
)
_GUARDED = select(queue.c.key).where(IS_HELD).with_for_update(read=True, key_share=True)


class HeldLease:
    """A lease of this ledger: `owner` is unique to one claim. Implements `reconciler.ports.Lease`.

    Its end is reckoned on the monotonic clock from before the claim was sent, so it is never later than the database's.
    """

    __slots__ = ("_clock", "_ends", "_margin", "key", "owner")

    def __init__(self, key: str, owner: str, clock: Clock) -> None:
        self.key, self.owner = key, owner
        self._clock = clock
        self._ends = self._margin = 0.0

    def extend(self, began: float, span: timedelta) -> None:
        """The lease runs for `span` from the monotonic second `began`."""
        self._margin = min(MARGIN, span / 10).total_seconds()
        self._ends = began + span.total_seconds()

    def lose(self) -> None:
        """The database says that it is somebody else's, or nobody's."""
        self._ends = -math.inf

    def check(self) -> None:
        """Return while at least the safety margin is left. Raises `LeaseLost`."""
        left = self._ends - self._clock.monotonic()
        if left < self._margin:
            raise LeaseLost(f"the lease on {self.key} has {max(left, 0.0):.1f} s left: too little to act on")


def held(lease: Lease) -> HeldLease:
    """The lease as this ledger gave it. Raises TypeError for any other."""
    if not isinstance(lease, HeldLease):
        raise TypeError(f"{type(lease).__name__} is no lease of this ledger: claim the name from its queue")
    return lease


def holder(lease: Lease) -> Mapping[str, str]:
    """Who must hold what, for a statement with `IS_HELD`."""
    mine = held(lease)
    return {"held_key": mine.key, "held_owner": mine.owner}


def pass_fence(connection: Connection, lease: Lease) -> None:
    """Go on only as the owner, whom nobody replaces until the transaction ends. Raises `LeaseLost`.

    FOR KEY SHARE keeps claims out (they lock FOR UPDATE) and lets marks and heartbeats in: they wait for no pass, and
    no pass waits for them, so that the two cannot lock each other out.
    """
    if connection.execute(_GUARDED, holder(lease)).first() is None:
        raise LeaseLost(f"the lease on {lease.key} ran out or went to another owner")
