"""Evidence of a version on an image, best first; every trap of `appversion` that is known."""

import pytest

from adapters.aws.versions import Evidence, evidence, matches, version_in


@pytest.mark.parametrize(
    ("text", "package", "expected", "version"),
    [
        ("checkout-1.4.2", "checkout", "1.4.2", "1.4.2"),
        ("checkout-1.4.2-h311.9f3c2ab", "checkout", "1.4.2", "1.4.2"),
        ("checkout-1.4.2-h311.9f3c2ab/JOB-checkout/311", "checkout", "1.4.2", "1.4.2"),
        ("checkout-1.4.2/JOB/311", "checkout", "1.4.2", "1.4.2"),
        ("checkout-1.4.1-h310.aaaaaaa/JOB/310", "checkout", "1.4.2", "1.4.1"),
        ("checkout-1.4.20-h1", "checkout", "1.4.2", "1.4.20"),
        # a desired version that names its build: two builds of one version stay apart
        ("checkout-1.42.0-h311.9f3c2ab", "checkout", "1.42.0-h311.9f3c2ab", "1.42.0-h311.9f3c2ab"),
        ("checkout-1.42.0-h311.9f3c2ab/JOB/311", "checkout", "1.42.0-h311.9f3c2ab", "1.42.0-h311.9f3c2ab"),
        ("checkout-1.42.0-h310.9f3c2ab/JOB/310", "checkout", "1.42.0-h311.9f3c2ab", "1.42.0-h310.9f3c2ab"),
        ("checkout-1.42.0-h311.9f3c2ab", "checkout", "1.42.0-h311", "1.42.0-h311"),
        ("checkout-1.42.0-h3111", "checkout", "1.42.0-h311", "1.42.0-h3111"),
        ("checkout-1.42.0-h311.9f3c2ab-h1.abc1234", "checkout", "1.42.0-h311.9f3c2ab", "1.42.0-h311.9f3c2ab"),
        # what frigga's own pattern gets wrong or refuses
        ("subscriberha-1.0.0-h150.586499/WE-WAPP-subscriberha/150", "subscriberha", "1.0.0", "1.0.0"),
        ("subscriberha-1.0.0-586499.h150", "subscriberha", "1.0.0", "1.0.0"),
        ("subscriberha-1.0.0-586499.h150", "subscriberha", "1.0.0-586499.h150", "1.0.0-586499.h150"),
        ("app-1.0.0~rc.3-h44.deadbee", "app", "1.0.0", "1.0.0~rc.3"),
        ("app-1.0.0~rc.3-h44.deadbee", "app", "1.0.0~rc.3", "1.0.0~rc.3"),
        ("pkg-1.2.3", "pkg", "1.2.4", "1.2.3"),
        ("my-app-1.2", "my-app", "1.2", "1.2"),
        ("my-app-1.2", "my", "1.2", None),
        ("app-1.0+deb11u1-h3", "app", "1.0", "1.0+deb11u1"),
        ("app-1:2.0-h3", "app", "1:2.0", "1:2.0"),
        ("app-1.0_rc1-h3", "app", "1.0_rc1", "1.0_rc1"),
        ("app-1.2.3-h150.deadbeef~feature-x/JOB/150", "app", "1.2.3", "1.2.3"),
        ("app-1.2.3-h150.deadbeef~feature-x/JOB/150", "app", "1.2.4", "1.2.3"),
        ("app-1.0~rc1-h7", "app", "1.0~rc1", "1.0~rc1"),
        ("app-1.0^git3-h7", "app", "1.0", "1.0^git3"),
        ("app-2026.11.26-h7.abc", "app", "2026.11.26", "2026.11.26"),
        ("app-1.2.3-h7.ABC_def", "app", "1.2.3", "1.2.3"),
        ("app-1.2.3-586499.h150/JOB/150", "app", "1.2.3", "1.2.3"),
        ("app-1.2.3-586499.h150/JOB/150", "app", "1.2.4", "1.2.3"),
        ("app-1.2.3-0ubuntu1-h7", "app", "1.2.3-0ubuntu1", "1.2.3-0ubuntu1"),
        ("app-1.2.3-0ubuntu1-h7", "app", "1.2.3", "1.2.3-0ubuntu1"),
        ("app-1-h1", "app", "1", "1"),
        ("app-1", "app", "1.0", "1"),
        ("libfoo-2-1.0-h1", "libfoo-2", "1.0", "1.0"),
        ("libfoo-2-1.0-h1", "libfoo", "1.0", "2-1.0"),  # another package: only the wrong name is asked for
        # wrong ones
        ("App-1.2.3", "app", "1.2.3", None),
        ("app_1.2.3_all", "app", "1.2.3", None),
        (" app-1.2.3", "app", "1.2.3", None),
        ("app-1.2.3 ", "app", "1.2.4", None),
        ("app-1.2.3\n", "app", "1.2.3", None),
        ("app-1.2.3-h1\n", "app", "1.2.3", None),
        ("app-²", "app", "1.2.3", None),
        ("app-v1.2.3", "app", "1.2.3", None),
        ("app-/JOB/1", "app", "1.2.3", None),
        ("app-${version}", "app", "1.2.3", None),
        ("app-dev-1.2.3-h1", "app", "1.2.3", None),
        ("app-1.2.3-1", "app", "1.2.3", "1.2.3-1"),  # another revision is another version
        ("other-1.2.3", "app", "1.2.3", None),
        ("app", "app", "1.2.3", None),
        ("app-", "app", "1.2.3", None),
        ("", "app", "1.2.3", None),
    ],
)
def test_appversion_is_read_with_the_known_package(text: str, package: str, expected: str, version: str | None) -> None:
    assert version_in(text, package, expected) == version


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ({"fairlead:package/checkout": "1.4.2"}, Evidence(version="1.4.2")),
        ({"fairlead:package/checkout": "1.4.2", "appversion": "checkout-1.4.2-h3.abc"}, Evidence(version="1.4.2")),
        (
            {"fairlead:package/checkout": "1.4.2-h3.abc", "appversion": "checkout-1.4.2"},
            Evidence(version="1.4.2-h3.abc"),
        ),
        ({"fairlead:package/checkout": "1.4.2", "appversion": "base-22.04-h1"}, Evidence(version="1.4.2")),
        ({"fairlead:package/checkout": "1.4.2", "appversion": "nonsense"}, Evidence(version="1.4.2")),
        ({"appversion": "checkout-1.4.1"}, Evidence(version="1.4.1")),
        ({"fairlead:package/cart": "9"}, Evidence(version=None)),
        ({}, Evidence(version=None)),
    ],
)
def test_our_own_tag_is_the_best_evidence(tags: dict[str, str], found: Evidence) -> None:
    assert evidence({"name": "x", "tags": tags}, "ami-1", "checkout", "1.4.2") == found


def test_evidence_that_disagrees_is_no_version_but_a_conflict() -> None:
    tags = {"fairlead:package/checkout": "1.4.2", "appversion": "checkout-1.4.1-h310.aaaaaaa/JOB/310"}

    found = evidence({"name": "x", "tags": tags}, "ami-1", "checkout", "1.4.2")

    assert found.version is None
    assert found.conflict == (
        "image ami-1 is tagged fairlead:package/checkout=1.4.2, but its appversion says 1.4.1; correct the tags"
    )


def test_an_image_that_is_gone_shows_nothing() -> None:
    assert evidence(None, "ami-1", "checkout", "1.4.2") == Evidence(version=None)


@pytest.mark.parametrize(
    "text", ["checkout-1.4.2-hotfix", "checkout-1.4.2.1", "checkout-1.4.2-h", "checkout-1.4.2-h3x", "checkout-1.4.2\n"]
)
def test_a_longer_version_is_not_the_expected_one(text: str) -> None:
    assert not matches(text, "checkout", "1.4.2")
