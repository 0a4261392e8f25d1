"""Names: derived, within what AWS takes, and never two fleets' at once."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.agent_protocol.addresses import FLEET, agent_queue_name, order_key, reports_queue_name, topic_name
from desired_state.words import NAME

NAMES = st.from_regex(NAME, fullmatch=True)
FLEETS = st.tuples(NAMES, NAMES).map("/".join)
AWS_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")  # SQS; SNS takes 256


def test_a_fleet_is_named_as_desired_state_names_it() -> None:
    assert f"{NAME.pattern}/{NAME.pattern}" == FLEET.pattern


@given(FLEETS, FLEETS)
def test_no_two_fleets_share_a_name(one: str, other: str) -> None:
    for name in (order_key, topic_name):
        assert (one == other) == (name(one) == name(other))


@given(FLEETS)
def test_aws_takes_every_name(fleet: str) -> None:
    assert AWS_NAME.fullmatch(topic_name(fleet)[:80])
    assert len(topic_name(fleet)) <= 256
    assert AWS_NAME.fullmatch(reports_queue_name(fleet.partition("/")[0]))
    assert set(order_key(fleet)) <= set(string.ascii_lowercase + string.digits + "-/.")


@pytest.mark.parametrize("host", ["i-0123456789abcdef0", "i-01234567"])
def test_the_queue_of_an_instance(host: str) -> None:
    assert AWS_NAME.fullmatch(agent_queue_name(host))


@given(NAMES)
def test_no_environment_takes_the_queue_of_an_instance(environment: str) -> None:
    assert agent_queue_name("i-0123456789abcdef0") != reports_queue_name(environment)
