"""What changes a digest and what does not."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desired_state.digests import canonical, digest
from desired_state.model import DesiredState, Fleet

Change = dict[str, str]

FLEET = "environments/prod/matchmaker.yaml"
SERVICE = "services/matchmaker.yaml"
CONFIG = "services/matchmaker.config.yaml"
ENVIRONMENT = "environments/prod/environment.yaml"
PIN = "9f2c51e0" * 8


@pytest.fixture
def changed(declare: Callable[..., DesiredState], design_files: dict[str, str]) -> Callable[[str, str, str], Fleet]:
    """The fleet prod/matchmaker after replacing some text in one file."""

    def change(path: str, old: str, new: str) -> Fleet:
        assert old in design_files[path]
        return declare({path: design_files[path].replace(old, new)}).fleets["prod/matchmaker"]

    return change


@pytest.fixture
def fleet(declare: Callable[..., DesiredState]) -> Fleet:
    return declare().fleets["prod/matchmaker"]


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (FLEET, "2.3.1", "2.3.2"),
        (FLEET, PIN, "0" * 64),
        (FLEET, "version: 2.3.1", "version: 2.3.1\nredeploy: the disks were full"),
        (CONFIG, "db.example.com", "db2.example.com"),
        (CONFIG, 'version: "7"', 'version: "8"'),
        (CONFIG, "2.5", "2.5\n  "),
        (SERVICE, "config: {to: matchmaker.yaml", "config: {to: mm.yaml"),
        (SERVICE, "format: yaml", "format: json"),
    ],
    ids=[
        "version",
        "sha256",
        "redeploy",
        "config",
        "secret-version",
        "nothing-but-space",
        "config-to",
        "config-format",
    ],
)
def test_what_runs_is_in_the_target(changed: Any, fleet: Fleet, path: str, old: str, new: str) -> None:
    other = changed(path, old, new)
    same = new.strip() == old

    assert same is (fleet.target_digest == other.target_digest)
    assert same is (fleet.spec_digest == other.spec_digest)
    assert fleet.identity_digest == other.identity_digest


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (SERVICE, "[{hosts: 1, soak: 2m}, {hosts: 50%}, {hosts: 100%}]", "[{hosts: 100%}]"),
        (SERVICE, "owner: multiplayer", "owner: payments"),
        (ENVIRONMENT, "on_failure: hold", "on_failure: rollback, retries: 5"),
        (ENVIRONMENT, "role/fairlead ", "role/other "),
    ],
    ids=["waves", "owner", "policy", "role"],
)
def test_waves_owner_policy_and_role_change_no_digest(
    changed: Any, fleet: Fleet, path: str, old: str, new: str
) -> None:
    other = changed(path, old, new)

    assert fleet != other
    assert (fleet.target_digest, fleet.spec_digest, fleet.identity_digest) == (
        other.target_digest,
        other.spec_digest,
        other.identity_digest,
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("within: 2m}", "within: 3m}"),
        ("max_unavailable: 25%", "max_unavailable: 30%"),
        ("s3://builds/matchmaker/", "s3://artifacts/matchmaker/"),
    ],
    ids=["health", "deploy", "source"],
)
def test_how_it_gets_there_is_in_the_spec_alone(changed: Any, fleet: Fleet, old: str, new: str) -> None:
    other = changed(SERVICE, old, new)

    assert fleet.target_digest == other.target_digest
    assert fleet.spec_digest != other.spec_digest


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (ENVIRONMENT, 'account: "123456789012"', 'account: "123456789013"'),
        (ENVIRONMENT, "[us-east-1, eu-west-1]", "[us-east-1]"),
        (SERVICE, "service: matchmaker,", "service: mm,"),
    ],
    ids=["account", "regions", "select"],
)
def test_which_machines_is_in_the_identity(changed: Any, fleet: Fleet, path: str, old: str, new: str) -> None:
    other = changed(path, old, new)

    assert fleet.identity_digest != other.identity_digest
    assert fleet.target_digest == other.target_digest


def test_the_order_of_regions_is_no_identity(changed: Any, fleet: Fleet) -> None:
    assert fleet.identity_digest == changed(ENVIRONMENT, "us-east-1, eu-west-1", "eu-west-1, us-east-1").identity_digest


def test_components_name_everything_that_runs(changed: Any) -> None:
    fleet = changed(FLEET, "version: 2.3.1", "version: 2.3.1\nredeploy: the disks were full")

    assert {
        "package/matchmaker": "2.3.1",
        "sha256/matchmaker": PIN,
        "config/matchmaker": fleet.config.digest,
        "redeploy": "d73aca6a581f",
    } == fleet.components


def test_a_reformatted_file_has_the_same_digest(changed: Any, fleet: Fleet) -> None:
    assert fleet.target_digest == changed(FLEET, "version: 2.3.1", "# bumped\nversion:    '2.3.1'").target_digest


def test_canonical_json_is_sorted_tight_and_utf_8() -> None:
    assert '{"a":[1,2.5,null,true],"b":"é"}'.encode() == canonical({"b": "é", "a": [1, 2.5, None, True]})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_canonical_json_refuses_what_json_cannot_hold(value: float) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical({"a": value})


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4) | st.booleans(), max_size=6), st.randoms()
)
def test_the_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)

    assert digest(value) == digest({key: value[key] for key in keys})
