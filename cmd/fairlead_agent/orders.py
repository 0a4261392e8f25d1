"""Reading a fleet's order from S3, and believing it or not."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from adapters.agent_protocol.addresses import order_key
from adapters.agent_protocol.orders import Order
from adapters.agent_protocol.reading import LARGEST, Trust, read_order
from adapters.agent_protocol.refusals import RefusalReason, Refused
from adapters.agent_protocol.reports import Refusal
from fairlead_agent.cloud import code_of
from fairlead_agent.streams import pieces
from fairlead_agent.trouble import Trouble

WITHIN = 10.0  # seconds in which each 64 KiB of an order must have come; it has 1 MiB at most
_SAME = frozenset({"304", "NotModified"})
_ABSENT = frozenset({"NoSuchKey", "404"})


_Known = tuple[bytes, int, str, Mapping[str, str]]  # which bytes, after what was accepted, and the keys of that time


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at S3 showed: an order to follow, or a refusal, or why neither is known."""

    order: Order | None = None
    refused: Refusal | None = None
    trouble: str = ""  # S3 was not reached, nothing is there yet, or the keys could not be read
    absent: bool = False  # nothing is there yet


class _NoOrder(Trouble):
    """S3 answered that there is none."""


class Orders:
    """One fleet's order. Not for two threads at once. `keyless`: why keys may be missing for now; empty: none are."""

    def __init__(
        self,
        client: Callable[[], Any],
        bucket: str,
        fleet: str,
        keys: Callable[[], Mapping[str, str]],
        keyless: Callable[[], str] = str,
        was_read: Callable[[Order], None] = lambda _order: None,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._key = order_key(fleet)
        self._fleet = fleet
        self._keys = keys
        self._keyless = keyless
        self._was_read = was_read  # called with each order that is believed
        self._etag = ""
        self._body = b""
        self._believed: tuple[_Known, Order] | None = None

    def look(self, now: datetime, at_least: int, known_meaning: str) -> Look:
        """Read it and check it against what was accepted before. Raises nothing that S3 or the order could cause."""
        try:
            body = self._read()
            keys = self._keys()
            known = (body, at_least, known_meaning, keys)
            order = self._again(known, now)
            if order is None:
                order = read_order(
                    body, Trust(fleet=self._fleet, keys=keys), now, at_least=at_least, known_meaning=known_meaning
                )
        except Refused as refused:
            if refused.reason is RefusalReason.UNKNOWN_KEY and (keyless := self._keyless()):
                return Look(trouble=f"the order cannot be checked: {keyless}")
            said = Refusal(reason=refused.reason, message=str(refused), sequence=refused.sequence)
            return Look(refused=said)
        except Trouble as trouble:
            return Look(trouble=trouble.message, absent=isinstance(trouble, _NoOrder))
        self._believed = (known, order)
        self._was_read(order)
        return Look(order=order)

    def _again(self, known: _Known, now: datetime) -> Order | None:
        """The order that was believed of the same bytes, as long as its time lasts: to verify a large one is work."""
        if self._believed is None or self._believed[0] != known:
            return None
        order = self._believed[1]
        return order if order.issued <= now < order.expires else None

    @property
    def _address(self) -> str:
        return f"s3://{self._bucket}/{self._key}"

    def _read(self) -> bytes:
        """The object's bytes, sent again by S3 only where they changed. Raises `Trouble`, `Refused`."""
        known = {"IfNoneMatch": self._etag} if self._etag else {}
        try:
            answer = self._client().get_object(Bucket=self._bucket, Key=self._key, **known)
            size = int(answer["ContentLength"])
            with closing(answer["Body"]) as stream:  # its own `with` gives the raw stream, whose errors are urllib3's
                if size > LARGEST:
                    said = f"the order has {size} bytes; the most is {LARGEST}"
                    raise Refused(RefusalReason.MALFORMED, said)
                body = b"".join(pieces(stream, f"read {self._address}", patience=WITHIN))
        except ClientError as error:
            return self._without(error)
        except (BotoCoreError, OSError) as error:
            raise Trouble.of_the_road(f"cannot read {self._address}: {error}") from None
        self._etag, self._body = str(answer["ETag"]), body
        return body

    def _without(self, error: ClientError) -> bytes:
        """What the answer means when S3 sends no object."""
        code = code_of(error)
        if code in _SAME:
            return self._body
        if code in _ABSENT:
            said = f"there is no order yet: {self._address} is not there"
            raise _NoOrder.of_the_road(said) from None
        raise Trouble.of_the_road(f"cannot read {self._address}: {error}") from None
