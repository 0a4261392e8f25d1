"""An AWS that hangs: a pass waits less long than its lease, says what is wrong, and puts an order at most once."""

import hashlib
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from adapters.aws.sessions import Sessions
from adapters.clock import SystemClock
from adapters.deployers.trigger import Trigger
from reconciler.ports import Unreadable
from reconciler.reasons import Reason
from reconciler.work import Phase

SOON = timedelta(seconds=0.3)


@pytest.fixture
def hanging(rig: Any) -> Any:
    """A fault of the road: no answer until the test is over."""
    over = Event()
    yield lambda: over.wait(20)
    over.set()
    rig.road.clear()


def hurried(rig: Any, request_timeout: timedelta = SOON, read_within: timedelta = timedelta(seconds=9)) -> Trigger:
    """A deployer as the program makes it, but for its times."""
    sessions = Sessions.within_a_pass(SystemClock(), request_timeout)
    sessions._endpoint = rig.road.url
    return Trigger(sessions=sessions, clock=rig.clock, signing=rig.key, read_within=read_within)


def test_an_order_is_put_once_and_found_by_reading(rig: Any, hanging: Any) -> None:
    """The lease was asked before the request, and is not asked again before one that the SDK would send by itself."""
    (host,) = rig.launch()
    rig.road.breaks("s3:PUT", hanging)

    (outcome,) = rig.start(rig.intent(host), by=hurried(rig))

    assert rig.road.went.count("s3:PUT") == rig.lease.asked == 1
    assert outcome.phase is Phase.INTENDED
    assert outcome.message.endswith("it is looked at again")


def test_an_order_whose_answer_was_lost_is_taken_as_written(rig: Any) -> None:
    (host,) = rig.launch()
    rig.road.breaks("s3:PUT", "drop_after")

    (outcome,) = rig.start(rig.intent(host), by=hurried(rig))

    assert rig.road.went.count("s3:PUT") == 1
    assert (outcome.phase, rig.order().admitted) == (Phase.RUNNING, {host.id})


@pytest.mark.parametrize("action", ["ec2:DescribeInstances", "s3:GET"])
def test_a_request_is_sent_twice_at_most(rig: Any, hanging: Any, action: str) -> None:
    rig.launch()
    rig.road.breaks(action, hanging)
    rig.road.went.clear()

    with pytest.raises(Unreadable, match="cannot read "):
        hurried(rig).refresh(rig.fleet(), (), {})

    regions = 2 if action.startswith("ec2") else 1
    assert rig.road.went.count(action) <= 2 * regions


def test_a_look_ends_before_the_lease_does_and_the_trouble_is_said(rig: Any, passes: Any, hanging: Any) -> None:
    rig.launch()
    rig.road.breaks("ec2:DescribeInstances", hanging)
    passes.deployer = hurried(rig, request_timeout=timedelta(seconds=15), read_within=timedelta(seconds=3))
    passes.commit(rig.fleet("2.3.0"))

    passes.once()

    reason, message = passes.said
    assert reason == Reason.OBSERVATION_FAILED
    assert message.startswith("cannot read the instances of account 123456789012 in us-east-1")
    assert message.endswith("no answer within 3 s; check the network")


def test_an_order_that_another_wrote_is_hinted_at_as_it_lies_there(rig: Any) -> None:
    """Two controllers of one key may say the same in other bytes, signed at another moment."""
    (host,) = rig.launch()
    by = hurried(rig, request_timeout=timedelta(seconds=20))
    seen = rig.look(by=by)
    rig.start(rig.intent(host), snapshots=seen)
    rig.clock.advance(timedelta(seconds=5))

    standing = rig.standing(host)
    published = by._publish(standing, seen, rig.lease)

    assert published.sha256 == hashlib.sha256(rig.body()).hexdigest()
