"""An order as a snapshot, and an order that leaves hosts out."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.agent_protocol.orders import LIFETIME, Before, Order
from adapters.trigger.placed import Placed, admits, half_spent, placed_of
from adapters.trigger.releases import release_with
from adapters.trigger.starting import is_news, without


@pytest.fixture
def order(made: SimpleNamespace) -> Order:
    fleet = made.fleet()
    return Order(
        fleet=fleet.name,
        sequence=7,
        target=release_with(fleet, "c" * 40, {"mm": "e" * 64}),
        base=release_with(made.fleet("2.3.0"), "b" * 40, {"mm": "f" * 64}),
        admitted=frozenset({"i-1", "i-2"}),
        attempts={"i-2": 3},
        rejected=("9" * 64,),
        issued=made.NOW,
        expires=made.NOW + LIFETIME,
    )


def test_a_snapshot_says_all_that_the_object_did(order: Order) -> None:
    placed = Placed(address="s3://bucket/orders/prod/mm.json", etag='"e"', order=order, sequence=7)

    assert placed_of(placed.body()) == placed
    assert placed_of(Placed(address="s3://b/k", etag='"e"', sequence=9, trouble="why").body()).trouble == "why"
    assert placed_of(Placed(address="s3://b/k").body()) == Placed(address="s3://b/k")


def test_a_snapshot_tells_who_is_admitted_at_which_attempt(order: Order) -> None:
    body = Placed(address="s3://b/k", etag='"e"', order=order, sequence=7).body()
    everyone = Placed(address="s3://b/k", etag='"e"', order=replace(order, admitted=None), sequence=7).body()
    release = (order.target.commit, order.target.digest)

    assert [admits(body, *release, host, 1) for host in ("i-1", "i-2", "i-3")] == [True, False, False]
    assert [admits(body, *release, "i-2", number) for number in (2, 3)] == [False, True]
    assert [admits(everyone, *release, host, 1) for host in ("i-1", "i-2", "i-3")] == [True, False, True]


def test_leaving_out_keeps_all_else(order: Order) -> None:
    left = without(order, ["i-2", "i-9"], ["i-1", "i-2", "i-3"])

    assert (left.admitted, left.attempts) == ({"i-1"}, {})
    assert replace(left, admitted=order.admitted, attempts=order.attempts) == order
    assert without(replace(order, admitted=None), ["i-2"], ["i-1", "i-2", "i-3"]).admitted == {"i-1", "i-3"}


def test_half_of_a_life_is_fifteen_days(made: SimpleNamespace, order: Order) -> None:
    assert not half_spent(order, made.NOW + timedelta(days=15) - timedelta(seconds=1))
    assert half_spent(order, made.NOW + timedelta(days=15))


@pytest.mark.parametrize(
    ("change", "is_it"),
    [
        ({}, False),
        ({"sequence": 8, "base": None}, False),
        ({"attempts": {"i-2": 3, "i-9": 2}}, False),
        ({"admitted": None}, False),
        ({"admitted": frozenset({"i-1"})}, True),
        ({"attempts": {"i-2": 4}}, True),
        ({"rejected": ()}, True),
        ({"before": Before(host="i-1", attempt=1, command="migrate")}, True),
    ],
)
def test_an_order_is_news_where_it_asks_something_else_of_a_host(
    order: Order, change: dict[str, Any], is_it: bool
) -> None:
    assert is_news(order, replace(order, **change), {"i-1", "i-2"}) is is_it


def test_another_target_is_news_and_so_is_another_base_to_whom_it_leaves_there(order: Order) -> None:
    assert is_news(order, replace(order, target=replace(order.target, commit="d" * 40)), {"i-1"})
    assert is_news(order, replace(order, base=None), {"i-1", "i-3"})


def test_where_nothing_is_known_of_orders_or_hosts_an_order_is_news(order: Order) -> None:
    assert is_news(None, order, {"i-1"})
    assert is_news(order, order, set())
