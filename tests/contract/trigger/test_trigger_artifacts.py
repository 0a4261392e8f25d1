"""Whether artifacts are there is asked of S3 before a merge, by one request each and without reading them."""

from dataclasses import replace
from typing import Any

import pytest

from adapters.trigger.artifacts import artifacts_of


def states(rig: Any, **package: Any) -> list[tuple[str, str]]:
    fleet = rig.fleet()
    fleet = replace(fleet, packages=(replace(fleet.packages[0], **package),))
    return [(found["state"], found["message"]) for found in artifacts_of(fleet, rig.sessions)]


def test_an_artifact_that_is_there_is_found_without_reading_it(rig: Any) -> None:
    rig.upload("2.3.1")

    assert [("found", "mm 2.3.1 is there")] == states(rig, version="2.3.1")
    assert "s3:GET" not in rig.road.went


def test_a_version_that_nobody_uploaded_is_missing(rig: Any) -> None:
    ((state, message),) = states(rig, version="9.9.9")

    assert "missing" == state
    assert message.endswith("is not there; upload it, or correct the version or `from`")


def test_a_store_that_does_not_answer_says_nothing(rig: Any) -> None:
    rig.road.breaks("s3:HEAD", "error")

    assert ["unknown"] == [state for state, _ in states(rig, version="2.3.1")]


@pytest.mark.parametrize("source", [None, "s3://builds-{version}/mm.jar"])
def test_what_lies_in_no_bucket_of_its_own_is_not_asked_for(rig: Any, source: str | None) -> None:
    assert [] == states(rig, source=source)
    assert [] == [each for each in rig.road.went if each.startswith("s3:")]
