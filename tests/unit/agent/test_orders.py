"""A fleet's order out of S3: read only when it changed, and believed only when it is sound."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.response import StreamingBody
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.orders import Order
from adapters.agent_protocol.reading import LARGEST
from adapters.agent_protocol.signing import SigningKey
from fairlead_agent.orders import Look, Orders
from fairlead_sandbox.aws import Aws

BUCKET, KEY, FLEET = "example", "orders/prod/matchmaker.json", "prod/matchmaker"


@pytest.fixture
def put(aws: Aws, key: SigningKey) -> Callable[..., None]:
    """Lays an order, or bytes, where the agent looks."""
    aws.client("s3").create_bucket(Bucket=BUCKET)

    def lay(order: Order | bytes, **more: Any) -> None:
        body = order if isinstance(order, bytes) else canonical({**key.sign(order.document()), **more})
        aws.client("s3").put_object(Bucket=BUCKET, Key=KEY, Body=body)

    return lay


@pytest.fixture
def orders(aws: Aws, key: SigningKey) -> Orders:
    return Orders(lambda: aws.client("s3"), BUCKET, FLEET, lambda: {key.key_id: key.public})


@pytest.fixture
def order(host: Any, make_order: Any) -> Order:
    found: Order = make_order(host.release(host.file("1.0")), sequence=3)
    return found


def test_a_sound_order(put: Any, orders: Orders, order: Order, clock: Any) -> None:
    put(order)

    found = orders.look(clock.now(), 0, "")

    assert found.order is not None
    assert (3, order.meaning) == (found.order.sequence, found.order.meaning)
    assert (None, "") == (found.refused, found.trouble)


def test_what_did_not_change_is_not_sent_again_and_is_read_again(
    put: Any, orders: Orders, order: Order, clock: Any
) -> None:
    put(order)
    first = orders.look(clock.now(), 0, "")
    sent: list[int] = []
    client = orders._client()
    client.meta.events.register(
        "after-call.s3.GetObject", lambda http_response, **_: sent.append(http_response.status_code)
    )

    assert first == orders.look(clock.now(), 3, order.meaning)
    assert [304] == sent
    clock.advance(timedelta(days=31).total_seconds())
    assert "OrderExpired" == orders.look(clock.now(), 3, order.meaning).refused.reason  # type: ignore[union-attr]
    assert [304, 304] == sent


def test_what_did_not_change_is_verified_once(
    put: Any, orders: Orders, order: Order, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that names ten thousand hosts takes a while. Its time is looked at each time."""
    put(order)
    first = orders.look(clock.now(), 3, order.meaning)
    monkeypatch.setattr("fairlead_agent.orders.read_order", lambda *_, **__: pytest.fail("it was verified again"))
    again = orders.look(clock.now(), 3, order.meaning)
    monkeypatch.undo()

    assert first.order is again.order
    assert "OrderReplayed" == orders.look(clock.now(), 4, "").refused.reason  # type: ignore[union-attr]
    clock.advance(-7200)
    assert "OrderFromTheFuture" == orders.look(clock.now(), 3, order.meaning).refused.reason  # type: ignore[union-attr]


def test_a_new_order_is_seen_at_the_next_look(put: Any, orders: Orders, host: Any, make_order: Any, clock: Any) -> None:
    for sequence in (3, 4):
        put(make_order(host.release(host.file(f"1.{sequence}")), sequence=sequence))
        found = orders.look(clock.now(), sequence - 1, "")
        assert found.order is not None
        assert sequence == found.order.sequence


def test_where_there_is_no_order_yet(put: Any, orders: Orders, clock: Any) -> None:
    said = f"there is no order yet: s3://{BUCKET}/{KEY} is not there"

    assert Look(trouble=said, absent=True) == orders.look(clock.now(), 0, "")


def test_while_the_keys_cannot_be_read_an_order_is_neither_believed_nor_refused(
    put: Any, aws: Aws, order: Order, clock: Any
) -> None:
    put(order)
    why = ["keys.yaml cannot be read", ""]
    orders = Orders(lambda: aws.client("s3"), BUCKET, FLEET, dict, lambda: why.pop(0))

    assert Look(trouble="the order cannot be checked: keys.yaml cannot be read") == orders.look(clock.now(), 0, "")
    assert "OrderKeyUnknown" == orders.look(clock.now(), 0, "").refused.reason  # type: ignore[union-attr]


def test_where_there_is_no_bucket(orders: Orders, clock: Any) -> None:
    found = orders.look(clock.now(), 0, "")

    assert found.trouble.startswith(f"cannot read s3://{BUCKET}/{KEY}: ")
    assert "NoSuchBucket" in found.trouble


def test_an_order_that_was_taken_away_is_no_order_and_comes_back(
    put: Any, orders: Orders, order: Order, aws: Aws, clock: Any
) -> None:
    put(order)
    orders.look(clock.now(), 0, "")
    aws.client("s3").delete_object(Bucket=BUCKET, Key=KEY)
    assert orders.look(clock.now(), 3, order.meaning).order is None
    put(order)

    assert orders.look(clock.now(), 3, order.meaning).order is not None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the order"),
        (b"\xff\xfe", "the order is not UTF-8"),
        (b"{}", "the order's format is"),
        (b'{"format": "fairlead/order/v3"}', "this agent reads fairlead/order/v1"),
        (b" " * (LARGEST + 1), f"the order has {LARGEST + 1} bytes; the most is {LARGEST}"),
    ],
)
def test_what_is_no_order_is_refused(put: Any, orders: Orders, clock: Any, body: bytes, said: str) -> None:
    put(body)

    found = orders.look(clock.now(), 0, "")

    assert found.order is None
    assert found.refused is not None
    assert "OrderMalformed" == found.refused.reason
    assert said in found.refused.message


def test_an_order_that_was_changed_after_it_was_signed(put: Any, orders: Orders, order: Order, clock: Any) -> None:
    put(order, admitted=[])

    found = orders.look(clock.now(), 0, "")

    assert ("OrderTampered", 3) == (found.refused.reason, found.refused.sequence)  # type: ignore[union-attr]


def test_an_order_of_an_unknown_key_or_another_fleet(
    put: Any, aws: Aws, key: SigningKey, order: Order, clock: Any
) -> None:
    put(order)
    stranger = Orders(lambda: aws.client("s3"), BUCKET, FLEET, lambda: {"other": key.public})
    assert "OrderKeyUnknown" == stranger.look(clock.now(), 0, "").refused.reason  # type: ignore[union-attr]
    aws.client("s3").copy_object(Bucket=BUCKET, Key="orders/prod/lobby.json", CopySource=f"{BUCKET}/{KEY}")

    neighbour = Orders(lambda: aws.client("s3"), BUCKET, "prod/lobby", lambda: {key.key_id: key.public})

    assert "OrderMisaddressed" == neighbour.look(clock.now(), 0, "").refused.reason  # type: ignore[union-attr]


def test_an_older_order_is_refused_and_an_equal_one_only_where_it_means_another_thing(
    put: Any, orders: Orders, order: Order, host: Any, make_order: Any, clock: Any
) -> None:
    put(order)
    assert "OrderReplayed" == orders.look(clock.now(), 4, "").refused.reason  # type: ignore[union-attr]
    assert orders.look(clock.now(), 3, order.meaning).order is not None
    put(make_order(host.release(host.file("6.6")), sequence=3))

    assert "OrderReplayed" == orders.look(clock.now(), 3, order.meaning).refused.reason  # type: ignore[union-attr]


def test_a_clock_that_went_back_believes_nothing_of_the_future(
    put: Any, orders: Orders, order: Order, clock: Any
) -> None:
    put(order)
    clock.advance(-7200)

    assert "OrderFromTheFuture" == orders.look(clock.now(), 0, "").refused.reason  # type: ignore[union-attr]


def test_where_s3_is_down(put: Any, orders: Orders, order: Order, aws: Aws, clock: Any) -> None:
    put(order)
    orders.look(clock.now(), 0, "")
    client = aws.client("s3")
    aws._server.shutdown()  # type: ignore[union-attr]
    aws._server.server_close()  # type: ignore[union-attr]
    client.close()

    found = Orders(lambda: client, BUCKET, FLEET, dict).look(clock.now(), 0, "")

    assert (None, None) == (found.order, found.refused)
    assert found.trouble.startswith(f"cannot read s3://{BUCKET}/{KEY}: ")


class Broken:
    """A body that breaks off."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.closed = False
        self.left = b"{"

    def read(self, _: int | None = None) -> bytes:
        if self.error is not None:
            raise self.error
        said, self.left = self.left, b""
        return said

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    "error",
    [ProtocolError("reset"), ReadTimeoutError(None, "url", "slow"), OSError("gone"), None],  # type: ignore[arg-type]
)
def test_a_body_that_breaks_off_is_the_road(key: SigningKey, clock: Any, error: Exception | None) -> None:
    class S3:
        raw = Broken(error)

        def get_object(self, **_: str) -> dict[str, Any]:
            return {"ContentLength": 100, "ETag": '"1"', "Body": StreamingBody(self.raw, 100)}

    client = S3()
    orders = Orders(lambda: client, BUCKET, FLEET, lambda: {key.key_id: key.public})

    found = orders.look(clock.now(), 0, "")

    assert found.trouble.startswith(f"cannot read s3://{BUCKET}/{KEY}: ")
    assert client.raw.closed


def test_where_there_are_no_credentials(key: SigningKey, clock: Any) -> None:
    def nobody() -> Any:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    found = Orders(nobody, BUCKET, FLEET, dict).look(clock.now(), 0, "")

    assert "127.0.0.1:9" in found.trouble


def test_spaces_do_not_matter(put: Any, orders: Orders, order: Order, key: SigningKey, clock: Any) -> None:
    put(json.dumps(key.sign(order.document()), indent=2).encode())

    assert orders.look(clock.now(), 0, "").order is not None


def test_an_order_whose_key_was_taken_away_is_refused_at_the_next_look(
    put: Any, aws: Aws, key: SigningKey, order: Order, clock: Any
) -> None:
    """Though its bytes are the same that were believed before."""
    keys = {key.key_id: key.public}
    orders = Orders(lambda: aws.client("s3"), BUCKET, FLEET, lambda: dict(keys))
    put(order)
    assert orders.look(clock.now(), 0, "").order is not None

    keys.clear()

    refused = orders.look(clock.now(), 0, "").refused
    assert refused is not None
    assert "OrderKeyUnknown" == refused.reason
