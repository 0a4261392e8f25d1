"""What names tell: services and environments of clusters, their order, and which version a mixed fleet has."""

import pytest

from adapters.importing.majority import Running, majority, others
from adapters.importing.naming import Parts, in_order, parts_of, slug, templated, twins


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        ("shop-prod", Parts("shop", "shop", "prod")),
        ("shop-prod-api", Parts("shop", "shop-api", "prod")),
        ("shop-main-prod", Parts("shop", "shop-main", "prod")),
        ("shop--prod", Parts("shop", "shop", "prod")),
        ("shop-live", Parts("shop", "shop-live", "")),
        ("shop", Parts("shop", "shop", "")),
        ("Shop_v2-PROD", Parts("Shop_v2", "shop-v2", "PROD")),
    ],
)
def test_a_clusters_name_tells_service_and_environment(cluster: str, expected: Parts) -> None:
    assert expected == parts_of(cluster, {})


def test_a_word_that_the_person_named_means_an_environment() -> None:
    assert Parts("shop", "shop", "live") == parts_of("shop-live", {"live": "prod"})


@pytest.mark.parametrize(
    ("text", "name"),
    [("Match Maker", "match-maker"), ("suspend", "suspend-service"), ("x" * 50, "x" * 40), ("日本", ""), ("-a-", "a")],
)
def test_a_name_is_made_one_that_files_may_have(text: str, name: str) -> None:
    assert name == slug(text)


def test_environments_stand_from_the_first_to_production() -> None:
    assert ["dev", "test", "staging", "blue", "prod", "prod-eu-west-1"] == in_order(
        ["prod", "prod-eu-west-1", "staging", "blue", "dev", "test", "dev"]
    )


def test_two_names_of_one_thing_are_seen() -> None:
    assert [("prod", "production")] == twins(["production", "staging", "prod"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("shop-prod", "shop-{environment}"), ("products", "products"), ("Deploy prod", "Deploy {environment}")],
)
def test_only_a_whole_word_becomes_a_placeholder(text: str, expected: str) -> None:
    assert expected == templated(text, "prod")


def test_the_version_of_most_machines_is_written_down_and_the_others_are_told() -> None:
    running = [Running("i-1", "1", "2.0"), Running("i-2", "1", "2.0"), Running("i-3", "2", "3.0")]

    assert "2.0" == majority(running)
    assert "1 of 3 hosts run another version: 3.0 on 1 (i-3)" in others(running, "2.0", "hosts")


def test_of_two_that_as_many_run_the_one_that_came_last_is_written_down() -> None:
    assert "1.9" == majority([Running("i-1", "2026-01-01", "2.0"), Running("i-2", "2026-02-01", "1.9")])


def test_a_fleet_of_one_version_asks_nothing() -> None:
    assert "" == others([Running("i-1", "1", "2.0")], "2.0", "hosts")
