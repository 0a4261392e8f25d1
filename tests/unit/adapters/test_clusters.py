"""What a regional cluster is at, out of an inventory part."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.aws.clusters import merged, unit_in
from desired_state.model import Policy, ZeroUnits
from reconciler.observed import Unit

CLUSTER = "checkout-prod"


def unit(made: SimpleNamespace, part: dict[str, Any], **changes: Any) -> Unit:
    return unit_in("us-east-1", part, CLUSTER, made.fleet(**changes))


def test_one_healthy_group_is_at_its_instances_version(made: SimpleNamespace) -> None:
    assert Unit(id="us-east-1", components={"package/checkout": "1.4.2"}, healthy=True) == unit(
        made, made.running("1.4.2")
    )


def test_the_instances_image_counts_and_not_the_launch_template(made: SimpleNamespace) -> None:
    part = made.running("1.4.1", launch_image="ami-1.4.2")

    assert unit(made, part).components == {"package/checkout": "1.4.1"}


def test_two_versions_in_service_are_no_version(made: SimpleNamespace) -> None:
    old = made.group(2, made.instance(1, "ami-1.4.1"), desired=1)
    new = made.group(3, made.instance(2, "ami-1.4.2"), desired=1)

    found = unit(made, made.body(old, new))

    assert found.components == {}
    assert found.message == (
        "checkout-prod-v002 and checkout-prod-v003 are both in service: checkout 1.4.1 and 1.4.2 at once"
    )


def test_two_versions_inside_one_group_are_no_version(made: SimpleNamespace) -> None:
    part = made.body(made.group(3, made.instance(1, "ami-1.4.1"), made.instance(2, "ami-1.4.2")))

    assert ({}, "checkout 1.4.1 and 1.4.2 at once") == (unit(made, part).components, unit(made, part).message)


def test_a_disabled_group_does_not_count(made: SimpleNamespace) -> None:
    old = made.group(2, made.instance(1, "ami-1.4.1"), desired=1, enabled=False)
    new = made.group(3, made.instance(2, "ami-1.4.2"), desired=1)

    found = unit(made, made.body(old, new))

    assert (found.components, found.healthy) == ({"package/checkout": "1.4.2"}, True)


def test_the_newest_group_is_the_youngest_and_not_the_highest_number(made: SimpleNamespace) -> None:
    fleet = made.fleet(components={"redeploy": "again"})
    old = made.group(2, made.instance(1, "ami-1.4.2"), desired=1, name="checkout-prod-v999")
    new = made.group(3, made.instance(2, "ami-1.4.2"), desired=1, name="checkout-prod-v000")
    new["tags"] = {"fairlead:key": made.intent(fleet).key}

    assert unit_in("us-east-1", made.body(new, old), CLUSTER, fleet).components == {"redeploy": "again"}


@pytest.mark.parametrize(
    ("lifecycle", "health", "message"),
    [
        ("InService", "Unhealthy", "checkout-prod-v003: 1 of 2 instances healthy"),
        ("Pending", "Healthy", "checkout-prod-v003: 1 of 2 instances healthy"),
        ("Pending:Wait", "Healthy", "checkout-prod-v003: 1 of 2 instances healthy"),
        ("Terminating", "Healthy", "checkout-prod-v003: 1 of 2 instances healthy"),
        ("Standby", "Healthy", "checkout-prod-v003: 1 of 2 instances healthy"),
    ],
)
def test_every_wanted_instance_must_serve_and_be_healthy(
    made: SimpleNamespace, lifecycle: str, health: str, message: str
) -> None:
    part = made.body(made.group(3, made.instance(1, "ami-1.4.2"), made.instance(2, "ami-1.4.2", lifecycle, health)))

    found = unit(made, part)

    assert (found.components, found.healthy, found.message) == ({"package/checkout": "1.4.2"}, False, message)


def test_an_instance_that_leaves_does_not_count_against_a_full_group(made: SimpleNamespace) -> None:
    leaving = made.instance(3, "ami-1.4.1", "Terminating:Wait")
    part = made.body(made.group(3, made.instance(1, "ami-1.4.2"), made.instance(2, "ami-1.4.2"), leaving))

    found = unit(made, part)

    assert (found.components, found.healthy) == ({"package/checkout": "1.4.2"}, True)


def test_a_group_that_launches_nothing_is_not_healthy(made: SimpleNamespace) -> None:
    found = unit(made, made.body(made.group(3)))

    assert (found.components, found.healthy, found.running) == ({}, False, False)
    assert found.message == "checkout-prod-v003: 0 of 2 instances healthy"


def test_a_region_without_a_group_is_a_unit_that_runs_nothing(made: SimpleNamespace) -> None:
    found = unit(made, made.body())

    assert (found.components, found.healthy, found.running) == ({}, False, False)
    assert found.message == "there is no server group of checkout-prod in us-east-1"


def test_only_disabled_groups_run_nothing(made: SimpleNamespace) -> None:
    found = unit(made, made.running("1.4.2", enabled=False))

    assert found.message == "every server group of checkout-prod is disabled in us-east-1"


@pytest.mark.parametrize(("allowed", "healthy"), [(ZeroUnits.ALLOWED, True), (ZeroUnits.REFUSED, False)])
def test_no_capacity_anywhere_is_at_what_would_launch(made: SimpleNamespace, allowed: ZeroUnits, healthy: bool) -> None:
    old = made.group(2, desired=0, launch_image="ami-1.4.1")
    new = made.group(3, desired=0, launch_image="ami-1.4.2")

    found = unit(made, made.body(old, new), policy=Policy(zero_units=allowed))

    assert (found.components, found.healthy, found.running) == ({"package/checkout": "1.4.2"}, healthy, False)


def test_an_image_that_names_no_version_says_what_would_help(made: SimpleNamespace) -> None:
    part = made.body(made.group(3, made.instance(1, "ami-x"), made.instance(2, "ami-x")), **{"ami-x": {}})

    found = unit(made, part)

    assert found.components == {}
    assert found.message == "ami-x shows no version of checkout: tag it fairlead:package/checkout or appversion"


def test_evidence_that_disagrees_is_a_conflict_of_the_unit(made: SimpleNamespace) -> None:
    tags = {"fairlead:package/checkout": "1.4.2", "appversion": "checkout-1.4.1"}
    part = made.body(made.group(3, made.instance(1, "ami-x"), made.instance(2, "ami-x")), **{"ami-x": tags})

    found = unit(made, part)

    assert found.components == {}
    assert "its appversion says 1.4.1" in found.conflict


def test_a_groups_tag_is_believed_for_what_no_image_shows(made: SimpleNamespace) -> None:
    wanted = {"package/checkout": "1.4.2", "config/checkout": "d" * 64, "redeploy": "again"}
    fleet = made.fleet(components=wanted)
    part = made.running("1.4.2", tags={"fairlead:key": made.intent(fleet).key})

    assert unit_in("us-east-1", part, CLUSTER, fleet).components == wanted


def test_a_groups_tag_is_never_believed_for_a_packages_version(made: SimpleNamespace) -> None:
    fleet = made.fleet("1.4.2")
    part = made.running("1.4.1", tags={"fairlead:key": made.intent(fleet).key})

    assert unit_in("us-east-1", part, CLUSTER, fleet).components == {"package/checkout": "1.4.1"}


def test_a_groups_config_address_names_the_digest_that_runs(made: SimpleNamespace) -> None:
    fleet = made.fleet(components={"config/checkout": "d" * 64, "redeploy": "again"})
    address = f"s3://bucket/config/checkout/{'e' * 64}.yaml"
    part = made.running("1.4.2", tags={"fairlead:config": address, "fairlead:key": "fairlead:m:p/c:c:other:u:w1:a1"})

    assert unit_in("us-east-1", part, CLUSTER, fleet).components == {"config/checkout": "e" * 64}


def test_regions_as_one_unit_are_at_a_version_only_together(made: SimpleNamespace) -> None:
    one = unit(made, made.running("1.4.2"))
    other = replace(one, id="eu-west-1", components={"package/checkout": "1.4.1"})

    apart, together = merged("all", [one, other]), merged("all", [one, replace(one, id="eu-west-1")])

    assert (apart.components, apart.message) == ({}, "us-east-1 runs checkout 1.4.2, eu-west-1 runs checkout 1.4.1")
    assert (together.components, together.healthy, together.id) == ({"package/checkout": "1.4.2"}, True, "all")
