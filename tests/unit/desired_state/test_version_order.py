"""The order of versions is dpkg's (deb-version(7), whose examples these are, and more)."""

from dataclasses import replace

import pytest

from desired_state.model import Environment, Fleet, Package
from desired_state.version_order import goes_back, order


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("1.4.1", "1.4.2"),
        ("1.9", "1.10"),
        ("1.0~rc1", "1.0"),
        ("1.0~~", "1.0~"),
        ("1.0", "1.0a"),
        ("1.0a", "1.0+b1"),
        ("1.0-1~bpo1", "1.0-1"),
        ("1.0-1", "1.0-2"),
        ("2.0", "1:0.1"),
        ("20261101", "20261126"),
        ("1", "1.0"),
    ],
)
def test_one_version_is_before_the_other(earlier: str, later: str) -> None:
    assert (-1, 1) == (order(earlier, later), order(later, earlier))


@pytest.mark.parametrize(("one", "other"), [("1.0", "1.0"), ("1.0", "1.0-0"), ("01.0", "1.0"), ("0:1.2", "1.2")])
def test_two_spellings_are_the_same_version(one: str, other: str) -> None:
    assert 0 == order(one, other)


@pytest.mark.parametrize("text", ["", "v1.4.2", "latest", "1.0-", "1 0", "1:", "abc1234", "1.0\n", "1_0", "9" * 300])
def test_of_what_is_no_version_of_debian_s_nothing_is_said(text: str) -> None:
    assert order(text, "1.0") is None
    assert order("1.0", text) is None


def fleet(**versions: str) -> Fleet:
    return Fleet(
        name="prod/checkout",
        environment=Environment(name="prod", account="123456789012", regions=("us-east-1",)),
        service="checkout",
        components={},
        packages=tuple(Package(name=name, version=version) for name, version in versions.items()),
        deploy_type="memory",
        deploy={},
        target_digest="",
        spec_digest="",
        identity_digest="",
    )


@pytest.mark.parametrize(
    ("before", "after", "back"),
    [
        ({"app": "1.4.1"}, {"app": "1.4.2"}, False),
        ({"app": "1.4.2"}, {"app": "1.4.1"}, True),
        ({"app": "1.4.2", "web": "2.0"}, {"app": "1.4.3", "web": "1.9"}, True),
        ({"app": "1.4.2", "web": "blue"}, {"app": "1.4.3", "web": "red"}, None),
        ({"app": "1.4.2", "web": "blue"}, {"app": "1.4.1", "web": "red"}, True),
        ({"app": "1.4.2"}, {"other": "1.0"}, False),
    ],
)
def test_a_fleet_goes_back_when_any_of_its_packages_does(
    before: dict[str, str], after: dict[str, str], back: bool | None
) -> None:
    assert back is goes_back(fleet(**before), replace(fleet(**after), owner="shop"))
