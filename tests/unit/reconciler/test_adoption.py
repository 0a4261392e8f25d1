"""What a fleet ran before it was ours, as a release to go back to: only where all of it can be told."""

from __future__ import annotations

import pytest

from reconciler.adoption import running_release
from reconciler.observed import Observed, Unit
from reconciler.work import Release

CONFIG = "config/checkout"


def ran(build, components, fleet=None):
    desired = Release(fleet=fleet or with_config(build), setting_commit=build.sha("now"))
    units = tuple(Unit(id=name, components=components, healthy=True) for name in ("i-1", "i-2"))
    return running_release(desired, Observed(units=units))


def with_config(build):
    components = {"package/checkout": "1.4.2", CONFIG: "a" * 64, "redeploy": "b" * 12}
    return build.fleet("1.4.2", components=components, redeploy="again")


def test_another_version_with_the_very_configuration_is_a_release_with_that_configuration(build):
    found = ran(build, {"package/checkout": "1.4.1", CONFIG: "a" * 64, "redeploy": "b" * 12})

    assert found.fleet.components == {"package/checkout": "1.4.1", CONFIG: "a" * 64, "redeploy": "b" * 12}
    assert (found.fleet.redeploy, found.fleet.packages[0].version) == ("again", "1.4.1")
    assert found.fleet.target_digest != with_config(build).target_digest


@pytest.mark.parametrize(
    "components",
    [
        {"package/checkout": "1.4.1"},
        {"package/checkout": "1.4.1", CONFIG: "c" * 64, "redeploy": "b" * 12},
        {"package/checkout": "1.4.1", CONFIG: "a" * 64},
        {"package/checkout": "1.4.1", CONFIG: "a" * 64, "redeploy": "d" * 12},
    ],
)
def test_another_configuration_or_none_cannot_be_told_from_its_digest(build, components):
    assert ran(build, components) is None


def test_a_pin_goes_with_its_package(build):
    found = ran(build, {"package/checkout": "1.4.1", "sha256/checkout": "e" * 64}, build.fleet("1.4.2"))

    assert found.fleet.packages[0].sha256 == "e" * 64
    assert found.fleet.components == {"package/checkout": "1.4.1", "sha256/checkout": "e" * 64}


def test_what_is_wanted_already_is_the_wanted_release(build):
    fleet = with_config(build)

    assert ran(build, dict(fleet.components)).fleet == fleet
