"""The order of versions is Debian's: the cases are those of deb-version(7) and of everyday versions."""

import pytest

from desired_state.versions import is_older


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.4.1", "1.4.2"),
        ("1.9", "1.10"),
        ("1.4", "1.4.1"),
        ("2.0~rc1", "2.0"),
        ("2.0~~", "2.0~"),
        ("1.0~beta1", "1.0~beta2"),
        ("1.0-1", "1.0-2"),
        ("1.0", "1.0-1"),
        ("9.9", "1:0.1"),
        ("1.0a", "1.0b"),
        ("1.0a", "1.0+"),
        ("20261101", "20261102"),
    ],
)
def test_the_older_comes_first(older: str, newer: str) -> None:
    assert (True, False) == (is_older(older, newer), is_older(newer, older))


@pytest.mark.parametrize(("one", "other"), [("1.0", "1.0"), ("1.0", "1.00"), ("0:1.0", "1.0")])
def test_what_is_equal_is_not_older(one: str, other: str) -> None:
    assert (False, False) == (is_older(one, other), is_older(other, one))
