"""Fleets of type trigger: instances by their tags, versions by their agents."""

from dataclasses import replace
from typing import Any

import pytest

from adapters.importing.facts import Told


def why(made: Any, **rules: Any) -> list[str]:
    return [one.why for one in made.conclude(**rules).left_out]


def test_hosts_become_a_fleet_with_a_question_for_all_that_only_people_know(games: Any) -> None:
    found = games.conclude()

    assert ["prod/matchmaker"] == [one.fleet for one in found.fleets]
    text = found.files["services/matchmaker.yaml"]
    assert 'select: {tags: {environment: "{environment}", service: matchmaker}}' in text
    assert 'from: "s3://name-me/matchmaker/{version}/matchmaker.jar"' in text
    asked = (
        "where does CI put",
        "which folder may Fairlead own",
        "which systemd unit",
        "what tells that it is healthy",
    )
    assert all(f"# QUESTION: {words}" in text for words in asked)
    assert found.files["environments/prod/matchmaker.yaml"].endswith("version: 2.3.1\n")
    assert "trigger: {bucket: orders-prod}" in found.files["environments/prod/environment.yaml"]


def test_where_artifacts_lie_is_told_once_for_all(games: Any) -> None:
    found = games.conclude(artifacts="s3://builds/{service}/{version}/{package}-{version}.tar.gz")

    text = found.files["services/matchmaker.yaml"]
    assert 'from: "s3://builds/matchmaker/{version}/matchmaker-{version}.tar.gz"' in text
    assert "format: archive" in text
    assert "where does CI put" not in text


def test_mixed_versions_and_silent_hosts_are_asked_about(games: Any) -> None:
    games.host("i-c", service="matchmaker", environment="prod")
    games.told("i-c", "prod/matchmaker", matchmaker="2.2.0")
    games.host("i-d", service="matchmaker", environment="prod")

    text = games.conclude().files["environments/prod/matchmaker.yaml"]

    assert text.endswith("version: 2.3.1\n")
    assert "1 of 3 instances run another version: 2.2.0 on 1 (i-c)" in text
    assert "what runs on i-d? No agent told a version there" in text


def test_a_checksum_is_written_only_where_every_host_tells_the_same(games: Any) -> None:
    pin = {"sha256/matchmaker": "ab" * 32}
    told = games.reports
    games.reports = [replace(one, components={**one.components, **pin}) for one in told]
    assert f"sha256: {{matchmaker: {'ab' * 32}}}" in games.conclude().files["environments/prod/matchmaker.yaml"]

    games.reports = [games.reports[0], told[1]]
    assert "sha256" not in games.conclude().files["environments/prod/matchmaker.yaml"]


def test_agents_know_the_name_of_their_fleet(games: Any) -> None:
    games.reports = [replace(one, fleet="prod/mm") for one in games.reports]

    assert ["prod/mm"] == [one.fleet for one in games.conclude().fleets]


@pytest.mark.parametrize(
    "name",
    [
        "prod/../../../../.github/workflows/ci",
        "prod//etc/cron.d/x",
        "prod/a/b",
        "prod/",
        "prod/MM",
        "prod/mm.config",
        "prod/environment",
        "prod/suspend",
        "prod/x; reboot",
        "prod/a\nb",
        f"prod/{'a' * 41}",
    ],
)
def test_a_name_that_no_fleet_can_have_is_taken_from_nobody(games: Any, name: str) -> None:
    games.reports = [replace(one, fleet=name) for one in games.reports]

    found = games.conclude()

    assert {} == found.files
    seen = " ".join(name.split("\n"))
    reasons = {one.what: one.why for one in found.left_out}
    assert f"their agents speak of {seen}: name prod/matchmaker in their agent.yaml" in reasons.values()
    assert reasons[f"fleet {seen}"].startswith("no fleet can have this name: correct it in agent.yaml on i-a, i-b")


def test_one_host_that_names_its_fleet_wrongly_is_as_good_as_silent(games: Any) -> None:
    games.reports[0] = replace(games.reports[0], fleet="prod/../../x")

    found = games.conclude()

    assert ["prod/matchmaker"] == [one.fleet for one in found.fleets]
    assert "what runs on i-a?" in found.files["environments/prod/matchmaker.yaml"]


def test_a_package_that_only_some_hosts_tell_is_asked_about(games: Any) -> None:
    games.host("i-c", service="matchmaker", environment="prod")
    games.told("i-c", "prod/matchmaker", matchmaker="2.3.1", miner="1.0.0")

    text = games.conclude().files["services/matchmaker.yaml"]

    assert "  # QUESTION: does miner belong to it? Only 1 of 3 instances told of it: i-c.\n  miner:" in text


def test_a_tag_that_a_file_would_read_as_a_placeholder_is_left_out(games: Any) -> None:
    for host in games.found["us-east-1"]:
        host["tags"]["service"] = "{service}"
    games.reports = [replace(one, fleet="prod/service") for one in games.reports]

    assert {} == games.conclude().files
    assert ["{service} would be read as a placeholder: write its files by hand"] == why(games)


def test_several_packages_have_each_their_version(games: Any) -> None:
    games.reports = []
    for host in ("i-a", "i-b"):
        games.told(host, "prod/matchmaker", matchmaker="2.3.1", maps="41")

    text = games.conclude().files["environments/prod/matchmaker.yaml"]

    assert text.endswith('versions: {maps: "41", matchmaker: 2.3.1}\n')


def test_target_groups_that_agents_name_are_drained(games: Any) -> None:
    games.reports = [replace(one, target_groups=("arn:x",)) for one in games.reports]

    assert "drain: {target_groups: attached}" in games.conclude().files["services/matchmaker.yaml"]


def test_a_deploy_of_both_kinds_keeps_the_name_that_agents_know(games: Any) -> None:
    games.group("matchmaker-prod-v001", games.baked("matchmaker", "9.0.0"))

    assert ["prod/matchmaker", "prod/matchmaker-images"] == [one.fleet for one in games.conclude().fleets]


@pytest.mark.parametrize(
    ("change", "rules", "reason"),
    [
        ({"reports": []}, {}, "no agent told a version: run it with --report-only"),
        ({}, {"bucket": ""}, "orders need a bucket: say --bucket NAME"),
        ({}, {"service_tag": "team"}, "they have no tag team: tag them, or say --service-tag KEY"),
        ({}, {"environment_tag": "stack"}, "no tag tells the environment: say --environment NAME"),
        (
            {"reports": [Told(fleet="test/mm", host="i-a", components={"package/mm": "1"})]},
            {},
            "their agents speak of test/mm: name prod/matchmaker in their agent.yaml",
        ),
        (
            {"reports": [Told(fleet="prod/matchmaker", host="i-a", components={"package/m": "1", "config/m": "ab"})]},
            {},
            "Fairlead gave them configuration",
        ),
    ],
)
def test_what_cannot_be_a_fleet_is_left_out_with_what_to_do(
    games: Any, change: dict[str, Any], rules: dict[str, str], reason: str
) -> None:
    for name, value in change.items():
        setattr(games, name, value)

    assert {} == games.conclude(**rules).files
    assert any(said.startswith(reason) for said in why(games, **rules))


def test_tags_that_also_select_spinnakers_machines_make_no_fleet(games: Any) -> None:
    games.group("matchmaker-prod-v001", games.baked("matchmaker", "9.0.0"))
    games.found["us-east-1"][-1]["tags"].update(service="matchmaker", environment="prod")

    assert any("has these tags and is Spinnaker's" in said for said in why(games))


def test_a_fleet_that_agents_speak_of_and_no_tags_select_is_told(games: Any) -> None:
    games.told("i-a", "prod/lobby", lobby="1.0.0")
    games.told("i-b", "prod/matchmaker", matchmaker="2.3.1")

    assert any(one.what == "fleet prod/lobby" for one in games.conclude().left_out)
