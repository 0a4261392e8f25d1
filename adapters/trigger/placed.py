"""A fleet's order as it lies in S3, and as the snapshot `order/<fleet>` that `check` reads.

The body: `{address, etag, sequence, trouble, commit, digest, all, attempts, base, expires, meaning, document}`.
`etag` is null where there is no object, `document` where there is none of ours; `attempts` names every admitted
instance with its attempt, `all` says that any other is admitted too, at attempt 1.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapters.agent_protocol.addresses import order_key
from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.fields import moment_text
from adapters.agent_protocol.orders import Order
from adapters.agent_protocol.reading import LARGEST, own_order, parse_order
from adapters.agent_protocol.refusals import RefusalReason, Refused
from adapters.agent_protocol.signing import SigningKey
from adapters.aws.objects import Stored, get_small
from desired_state.model import Fleet
from reconciler.observed import UnitId


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a fleet's order lies."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What a read showed there."""

    address: str
    etag: str | None = None  # None: nothing
    order: Order | None = None  # None: nothing of ours
    sequence: int = 0  # as the object claims, whoever wrote it
    trouble: str = ""  # why what lies there is not ours
    sha256: str = ""  # of the object's bytes, where they were just read and are ours

    def body(self) -> dict[str, Any]:
        """The snapshot's body."""
        order = self.order
        found = {"address": self.address, "etag": self.etag, "sequence": self.sequence, "trouble": self.trouble}
        if order is None:
            return {**found, "all": False, "attempts": {}, "document": None}
        admitted = order.attempts if order.admitted is None else sorted(order.admitted)
        return {
            **found,
            "commit": order.target.commit,
            "digest": order.target.digest,
            "all": order.admitted is None,
            "attempts": {host: order.attempts.get(host, 1) for host in admitted},
            "base": order.base.digest if order.base else None,
            "expires": moment_text(order.expires),
            "meaning": order.meaning,
            "document": order.document(),
            "before": {"host": order.before.host, "attempt": order.before.attempt} if order.before else None,
        }


def spot_of(fleet: Fleet) -> Spot:
    """The object in the environment's bucket."""
    return Spot(bucket=fleet.environment.trigger["bucket"], key=order_key(fleet.name))


def placed_of(body: Mapping[str, Any]) -> Placed:
    """The same out of a snapshot's body."""
    document = body["document"]
    return Placed(
        address=body["address"],
        etag=body["etag"],
        order=parse_order(canonical(document)) if document is not None else None,
        sequence=body["sequence"],
        trouble=body["trouble"],
    )


def admits(body: Mapping[str, Any], commit: str, digest: str, host: UnitId, attempt: int) -> bool:
    """Whether the order of that snapshot asks the host for that release at that attempt."""
    if body["document"] is None or (body["commit"], body["digest"]) != (commit, digest):
        return False
    return bool(body["attempts"].get(host, 1 if body["all"] else 0) == attempt)


def asks_before(body: Mapping[str, Any], commit: str, digest: str, attempt: int) -> UnitId | None:
    """The host that the order of that snapshot asks for the step before that release, at that attempt; None: nobody."""
    step = body.get("before")
    if not step or body["document"] is None or (body["commit"], body["digest"]) != (commit, digest):
        return None
    return str(step["host"]) if step["attempt"] == attempt else None


def read_placed(s3: Any, spot: Spot, fleet: str, key: SigningKey | None) -> Placed:
    """The object, told from forgeries by our own key; without one it can only be looked at. Raises `Unreadable`."""
    stored = get_small(s3, spot.bucket, spot.key, LARGEST)
    if stored is None:
        return Placed(address=str(spot))
    try:
        order = _believed(stored, fleet, key)
    except Refused as refused:
        said = f"{spot} held no order of ours ({refused.reason}: {_of_ours(refused)})"
        return Placed(address=str(spot), etag=stored.etag, sequence=refused.sequence, trouble=said)
    digest = hashlib.sha256(stored.body or b"").hexdigest()
    return Placed(address=str(spot), etag=stored.etag, order=order, sequence=order.sequence, sha256=digest)


def _believed(stored: Stored, fleet: str, key: SigningKey | None) -> Order:
    if stored.body is None:
        raise Refused(RefusalReason.MALFORMED, f"it has {stored.size} bytes")
    order = own_order(stored.body, key) if key is not None else parse_order(stored.body)
    if order.fleet != fleet:
        raise Refused(RefusalReason.MISADDRESSED, f"it is for {order.fleet[:80]}", order.sequence)
    return order


def half_spent(order: Order, now: datetime) -> bool:
    """Less than half of its life is left: it is to be signed again."""
    return now >= order.issued + (order.expires - order.issued) / 2


def _of_ours(refused: Refused) -> str:
    """Its own sentence is a host's, which speaks of what that host trusts."""
    return "signed with another key" if refused.reason is RefusalReason.UNKNOWN_KEY else refused.message
