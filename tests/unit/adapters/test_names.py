"""Server group names by frigga's rule."""

import pytest

from adapters.aws.names import cluster_of, is_cluster, neighbours, sequence_of


@pytest.mark.parametrize(
    ("name", "cluster", "sequence"),
    [
        ("app-prod-v003", "app-prod", 3),
        ("app-prod-blue-eu-v1000", "app-prod-blue-eu", 1000),
        ("app--canary-v012", "app--canary", 12),
        ("x-prod-v01", "x-prod-v01", None),
        ("app", "app", None),
        ("app-prod", "app-prod", None),
        ("app-prod-v1234567", "app-prod-v1234567", None),
    ],
)
def test_a_group_belongs_to_the_cluster_before_its_push(name: str, cluster: str, sequence: int | None) -> None:
    assert (cluster, sequence) == (cluster_of(name), sequence_of(name))


@pytest.mark.parametrize("name", ["app", "app-prod", "app-prod-blue-eu", "app--canary", "my_app.x-prod"])
def test_a_legal_cluster_name_is_accepted(name: str) -> None:
    assert is_cluster(name)


@pytest.mark.parametrize("name", ["", "app-prod-v003", "-prod", "app prod", "app/prod", "app-pröd", "app-${x}"])
def test_what_frigga_cannot_read_is_no_cluster(name: str) -> None:
    assert not is_cluster(name)


def test_neighbours_wrap_at_a_thousand() -> None:
    assert neighbours("app", 999, 1) == ("app-v998", "app-v999", "app-v000")
