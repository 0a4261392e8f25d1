"""Writing a fleet's order: composed of what stands, signed, put where the one that was seen still lies, and hinted at.

Nobody's order is overwritten unseen. Who loses the race writes nothing and looks again in the next pass; who finds its
own words there (an answer was lost) takes them as its own.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

from adapters.agent_protocol.addresses import topic_name
from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.hints import Hint
from adapters.agent_protocol.orders import LIFETIME, Before, Order, Release, next_sequence
from adapters.agent_protocol.reading import LARGEST
from adapters.agent_protocol.signing import SigningKey
from adapters.aws.checksums import NoObject
from adapters.aws.objects import put_if_same
from adapters.aws.sessions import Sessions
from adapters.aws.topics import publish, topic_arn
from adapters.trigger.pins import Pins
from adapters.trigger.placed import Placed, half_spent, read_placed, spot_of
from desired_state.model import Environment, Fleet
from reconciler import work
from reconciler.ports import Clock, Lease, LeaseLost, Unreadable
from reconciler.work import Failure, Standing

HINT_WITHIN = 5.0  # seconds that a pass waits for hints; agents look by themselves, too
REGIONS_AT_ONCE = 8
NO_KEY = "there is no key to sign orders with; set [signing] in fairlead.toml"


class Undone(Exception):
    """The order was not written, or nobody knows. `failure` NONE: look again before anything is concluded."""

    def __init__(self, message: str, failure: Failure = Failure.NONE) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The order that lies there now, and what a person should know of how it came there."""

    order: Order
    sha256: str = ""  # of the object's bytes; empty: it lay there before
    replaced: str = ""  # what was wrong with what lay there
    said: tuple[str, ...] = ()
    hosts: int = 0  # that report: as many will look
    known: Order | None = None  # what hosts were asked until now; None: nothing of ours, or they know of a newer one


class Publisher:
    """Reads and writes orders. Raises `Unreadable`, `Undone` and `LeaseLost`, and nothing of AWS's."""

    def __init__(self, *, sessions: Sessions, clock: Clock, key: SigningKey | None) -> None:
        self._sessions = sessions
        self._clock = clock
        self._key = key
        self._pins = Pins()

    def read(self, fleet: Fleet) -> Placed:
        """The order as it lies in S3 now. Raises `Unreadable`."""
        return self._read(fleet, once=False)

    def _read(self, fleet: Fleet, *, once: bool) -> Placed:
        return read_placed(self._s3(fleet.environment, once=once), spot_of(fleet), fleet.name, self._key)

    def look(self, fleet: Fleet) -> Placed:
        """The same, where not to be able to look keeps from writing. Raises `Undone`."""
        try:
            return self.read(fleet)
        except Unreadable as trouble:
            raise Undone(str(trouble), Failure.TRANSIENT) from trouble

    def publish(
        self,
        standing: Standing,
        placed: Placed,
        reported: Sequence[int],
        lease: Lease,
        before: Before | None = None,
    ) -> Published:
        """Say in S3 what stands, unless it is said there already. `reported`: sequences that hosts follow."""
        fleet = standing.target.fleet
        try:
            order, said = self._compose(standing, placed)
            return self._put(fleet, replace(order, before=before), placed, reported, lease, said)
        except Unreadable as trouble:
            raise Undone(str(trouble), Failure.TRANSIENT) from trouble

    def amend(self, fleet: Fleet, order: Order, placed: Placed, reported: Sequence[int], lease: Lease) -> Published:
        """Say in S3 what the order says, which was made of the one that lies there, unless it is said there already.

        Raises `Undone` where hosts know of a newer one: an older order that somebody put back gets no new number.
        """
        now = self._clock.now()
        if next_sequence([placed.sequence, *reported]) != placed.sequence + 1:
            said = f"{placed.address} holds order {placed.sequence}, and a newer one was given out"
            raise Undone(f"{said}; look who put the older one back")
        try:
            return self._put(fleet, replace(order, issued=now, expires=now + LIFETIME), placed, reported, lease, ())
        except Unreadable as trouble:
            raise Undone(str(trouble), Failure.TRANSIENT) from trouble

    def hint(self, fleet: Fleet, published: Published, lease: Lease) -> str:
        """Wake the agents in all regions. Gives a sentence where that did not work: then they come by themselves."""
        environment = fleet.environment
        text = Hint(
            fleet=fleet.name,
            sequence=published.order.sequence,
            key=spot_of(fleet).key,
            sha256=published.sha256,
            hosts=published.hosts,
        ).text()
        try:
            lease.check()
        except LeaseLost:
            return "no hint was sent, the lease ran out"
        pool = ThreadPoolExecutor(max_workers=REGIONS_AT_ONCE)
        sent = {pool.submit(self._hint_in, environment, region, fleet.name, text) for region in environment.regions}
        done, late = wait(sent, HINT_WITHIN)
        pool.shutdown(wait=False, cancel_futures=True)
        troubles = sorted({said for future in done if (said := future.result())})
        return "; ".join([*troubles, *(["SNS is slow"] if late else [])])

    # ── composing ──

    def _compose(self, standing: Standing, placed: Placed) -> tuple[Order, tuple[str, ...]]:
        fleet, now = standing.target.fleet, self._clock.now()
        s3 = self._s3(fleet.environment)
        target = self._target(s3, standing.target, placed)
        base, said = self._base(s3, standing.base, placed)
        order = Order(
            fleet=fleet.name,
            sequence=1,
            target=target,
            base=base,
            admitted=standing.admitted,
            attempts=dict(standing.attempts),
            rejected=standing.rejected,
            issued=now,
            expires=now + LIFETIME,
        )
        return order, said

    def _target(self, s3: Any, target: work.Release, placed: Placed) -> Release:
        try:
            return self._pins.pinned(s3, target, placed.order)
        except NoObject as trouble:
            raise Undone(str(trouble), Failure.REFUSED) from trouble

    def _base(self, s3: Any, base: work.Release | None, placed: Placed) -> tuple[Release | None, tuple[str, ...]]:
        """Without a base, hosts that are not admitted stay as they are: no reason to hold back those that are."""
        if base is None:
            return None, ()
        try:
            return self._pins.pinned(s3, base, placed.order), ()
        except Unreadable as trouble:
            return None, (f"other hosts stay as they are: {trouble}",)

    # ── writing ──

    def _put(
        self,
        fleet: Fleet,
        order: Order,
        placed: Placed,
        reported: Sequence[int],
        lease: Lease,
        said: tuple[str, ...],
    ) -> Published:
        known = placed.order
        if known is not None and self._stands(known, order, reported):
            return Published(order=known, said=said)
        order = replace(order, sequence=next_sequence([placed.sequence, *reported]))
        body = self._signed(order)
        digest = hashlib.sha256(body).hexdigest()
        spot, s3 = spot_of(fleet), self._s3(fleet.environment, once=True)
        lease.check()
        try:
            written = put_if_same(s3, spot.bucket, spot.key, body, placed.etag) is not None
            lost = "" if written else f"another writer was faster at {spot}"
        except Unreadable as trouble:
            lost = str(trouble)
        if lost:
            order, digest = self._found(fleet, order, lost)
        return Published(
            order=order,
            sha256=digest,
            replaced=placed.trouble,
            said=said,
            hosts=len(reported),
            known=known if known is not None and _is_newest(known, reported) else None,
        )

    def _stands(self, known: Order, order: Order, reported: Sequence[int]) -> bool:
        """It says so already, hosts do not think it old, and it has long to live."""
        said = known.meaning == order.meaning
        return said and _is_newest(known, reported) and not half_spent(known, self._clock.now())

    def _signed(self, order: Order) -> bytes:
        if self._key is None:
            raise Undone(NO_KEY, Failure.REFUSED)
        body = canonical(self._key.sign(order.document()))
        if len(body) > LARGEST:
            said = f"the order of {order.fleet} takes {len(body)} bytes, and {LARGEST} is the most"
            raise Undone(f"{said}; shorten its configuration", Failure.REFUSED)
        return body

    def _found(self, fleet: Fleet, order: Order, lost: str) -> tuple[Order, str]:
        """Was it us all the same, or somebody who says the same? An answer can be lost. The order, and its SHA-256."""
        try:
            placed = self._read(fleet, once=True)
        except Unreadable as trouble:
            raise Undone(str(trouble)) from trouble
        found = placed.order
        if found is None or found.meaning != order.meaning or found.sequence < order.sequence:
            raise Undone(f"{lost}; it is looked at again")
        return found, placed.sha256

    def _hint_in(self, environment: Environment, region: str, fleet: str, text: str) -> str:
        try:
            sns = self._client("sns", environment, region)
        except Unreadable as trouble:
            return str(trouble)
        return publish(sns, topic_arn(environment.account, region, topic_name(fleet)), text)

    def _s3(self, environment: Environment, *, once: bool = False) -> Any:
        return self._client("s3", environment, environment.regions[0], once=once)

    def _client(self, service: str, environment: Environment, region: str, *, once: bool = False) -> Any:
        return self._sessions.client(service, region, role=environment.role, account=environment.account, once=once)


def _is_newest(order: Order, reported: Sequence[int]) -> bool:
    """No host follows a newer one."""
    return next_sequence([order.sequence, *reported]) == order.sequence + 1
