"""A tree to what it declares: names, versions, suspensions, freezes, clashes, checks, caches."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from desired_state.model import Fleet, Package, Severity
from desired_state.parser import NoTarget, Parser
from desired_state.trees import Entry, FolderTree, MemoryTree, blob_id


def test_every_example_of_the_format_parses(declare: Any) -> None:
    state = declare()

    assert () == state.problems
    assert ("staging", "prod") == state.environments
    assert {"prod/checkout", "prod/matchmaker", "staging/checkout"} == set(state.fleets) == state.declared


def test_placeholders_are_filled_but_for_region_and_version(declare: Any, design_files: dict[str, str]) -> None:
    text = design_files["services/checkout.yaml"].replace("deploy-{environment}", "{service}-{environment}-{region}")
    fleets = declare({"services/checkout.yaml": text}).fleets

    assert "checkout-prod-{region}" == fleets["prod/checkout"].deploy["pipeline"]
    assert "s3://builds/matchmaker/{version}/matchmaker.jar" == fleets["prod/matchmaker"].packages[0].source


def test_the_type_is_no_part_of_the_settings(declare: Any) -> None:
    fleet = declare().fleets["prod/checkout"]

    assert "spinnaker" == fleet.deploy_type
    assert {"application", "pipeline", "parameters", "select", "waves"} == set(fleet.deploy)


def test_a_fleet_may_be_named_otherwise_than_its_service(declare: Any) -> None:
    state = declare(
        {
            "environments/staging/checkout.yaml": None,
            "environments/staging/blue.yaml": "version: 1.0.0\nservice: checkout\n",
        }
    )

    assert ("checkout", "blue") == (state.fleets["staging/blue"].service, state.fleets["staging/blue"].short_name)


def test_versions_and_pins_by_package(declare: Any, design_files: dict[str, str]) -> None:
    service = design_files["services/checkout.yaml"].replace(
        "package: checkout ", f'packages: {{a: {{sha256: "{"1" * 64}"}}, b: {{}}}} #'
    )
    files = {
        "services/checkout.yaml": service,
        "environments/prod/checkout.yaml": f'versions: {{b: "2", a: "1"}}\nsha256: {{b: "{"2" * 64}"}}\n',
        "environments/staging/checkout.yaml": "version: 1.0.0\n",
    }
    fleets = declare(files).fleets

    assert (
        Package(name="a", version="1", sha256="1" * 64),
        Package(name="b", version="2", sha256="2" * 64),
    ) == fleets["prod/checkout"].packages
    assert {"1.0.0"} == {package.version for package in fleets["staging/checkout"].packages}


def test_a_version_must_cover_every_package(declare: Any, design_files: dict[str, str]) -> None:
    service = design_files["services/checkout.yaml"].replace("package: checkout ", "packages: {a: {}, b: {}} #")
    state = declare({"services/checkout.yaml": service, "environments/prod/checkout.yaml": 'versions: {a: "1"}\n'})

    assert ['environments/prod/checkout.yaml:1:11: "versions" lacks b; add b: "1.2.3"'] == [
        str(problem) for problem in state.problems
    ]


def test_of_two_suspensions_the_longer_one_counts(declare: Any) -> None:
    own, whole = "environments/prod/checkout.suspend.yaml", "environments/prod/suspend.yaml"
    short, long = "reason: short\nuntil: 2026-12-01\n", "reason: long\nuntil: 2026-12-02\n"

    for files, reason in (
        ({own: short, whole: long}, "long"),
        ({own: long, whole: short}, "long"),
        ({own: short, whole: "reason: endless\n"}, "endless"),
        ({own: "reason: own\n", whole: long}, "own"),
    ):
        assert reason == declare(files).fleets["prod/checkout"].suspension.reason


def test_a_suspended_environment_suspends_its_fleets_alone(declare: Any) -> None:
    fleets = declare({"environments/prod/suspend.yaml": "reason: moving\n"}).fleets

    assert "environments/prod/suspend.yaml" == fleets["prod/matchmaker"].suspension.file
    assert fleets["staging/checkout"].suspension is None


def test_a_freeze_reaches_what_it_names(declare: Any) -> None:
    fleets = declare(
        {
            "freezes/mm.yaml": "reason: finals\nfrom: 2026-12-01\nuntil: 2026-12-02T01:00:00+01:00\n"
            "services: [matchmaker]\n"
        }
    ).fleets

    assert ["2026-12-cup", "mm"] == [freeze.name for freeze in fleets["prod/matchmaker"].freezes]
    assert ["2026-12-cup"] == [freeze.name for freeze in fleets["prod/checkout"].freezes]
    assert () == fleets["staging/checkout"].freezes
    mm = fleets["prod/matchmaker"].freezes[1]
    assert (datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 2, tzinfo=UTC)) == (mm.begins, mm.ends)


def hosts(design_files: Mapping[str, str], package: str) -> dict[str, str]:
    """A second service on matchmaker's hosts."""
    text = design_files["services/matchmaker.yaml"].replace("packages: {matchmaker:", f"packages: {{{package}:")
    return {
        "services/sidecar.yaml": text.replace("config: {to: matchmaker.yaml, format: yaml}\n", ""),
        "environments/prod/sidecar.yaml": "version: 1.0.0\n",
    }


def test_two_fleets_may_share_hosts_when_their_packages_differ(declare: Any, design_files: dict[str, str]) -> None:
    assert "prod/sidecar" in declare(hosts(design_files, "sidecar")).fleets


def test_two_fleets_may_not_share_hosts_and_a_package(declare: Any, design_files: dict[str, str]) -> None:
    state = declare(hosts(design_files, "matchmaker"))

    told = "prod/matchmaker and prod/sidecar select the same hosts and share matchmaker; give each its own select"
    assert [("services/sidecar.yaml", told, ("prod/matchmaker", "prod/sidecar"))] == [
        (problem.file, problem.message, problem.fleets) for problem in state.problems
    ]


@pytest.mark.parametrize(
    ("old", "new"), [('"123456789012"', '"123456789013"'), ("[us-east-1]", "[us-west-2]")], ids=["account", "region"]
)
def test_the_same_name_elsewhere_is_another_cluster(
    declare: Any, design_files: dict[str, str], old: str, new: str
) -> None:
    service = design_files["services/checkout.yaml"].replace("checkout-{environment}", "checkout-main")
    staging = design_files["environments/staging/environment.yaml"]
    together = declare({"services/checkout.yaml": service})
    apart = declare(
        {"services/checkout.yaml": service, "environments/staging/environment.yaml": staging.replace(old, new)}
    )

    assert {"prod/checkout", "staging/checkout"} == together.broken
    assert frozenset() == apart.broken


def test_a_deployers_sentence_gets_the_place_that_its_path_names(settings: Any, design_files: dict[str, str]) -> None:
    def check(fleet: Fleet) -> Iterable[str]:
        if fleet.environment.name == "prod":
            yield "waves.0.regions: one wave too many, name fewer"
            yield "deploy.parameters.config: no parameter takes the configuration, add one"
            yield "the whole is strange: say it otherwise"

    state = Parser(settings, {"spinnaker": check}).parse(MemoryTree(design_files))

    assert [
        "services/checkout.yaml:5:3: the whole is strange: say it otherwise",
        "services/checkout.yaml:8:15: no parameter takes the configuration, add one",
        "services/checkout.yaml:10:21: one wave too many, name fewer",
    ] == [str(problem) for problem in state.problems]
    assert {"prod/checkout"} == state.broken


def test_a_deployers_warning_stops_nothing(settings: Any, design_files: dict[str, str]) -> None:
    parser = Parser(settings, {"trigger": lambda _: ["warning: deploy.waves.2.hosts: this wave does nothing"]})
    state = parser.parse(MemoryTree(design_files))

    assert [("services/matchmaker.yaml:13:55: this wave does nothing", Severity.WARNING, ())] == [
        (str(problem), problem.severity, problem.fleets) for problem in state.problems
    ]
    assert frozenset() == state.broken


def test_the_target_digest_of_one_fleet_is_the_parsed_one(parser: Parser, design_files: dict[str, str]) -> None:
    tree = MemoryTree(design_files)
    fleets = parser.parse(tree).fleets

    assert {name: fleet.target_digest for name, fleet in fleets.items()} == {
        name: parser.target_digest(tree, name) for name in fleets
    }


@pytest.mark.parametrize(
    "name", ["prod/nobody", "nowhere/checkout", "prod/environment", "prod/suspend", "checkout", "a/b/c", ""]
)
def test_a_fleet_without_a_file_is_absent(parser: Parser, design_files: dict[str, str], name: str) -> None:
    assert NoTarget.ABSENT is parser.target_digest(MemoryTree(design_files), name)


@pytest.mark.parametrize(
    "path",
    [
        "environments/prod/matchmaker.yaml",
        "environments/prod/matchmaker.config.yaml",
        "services/matchmaker.yaml",
        "services/matchmaker.config.yaml",
        "environments/prod/environment.yaml",
        "fairlead.yaml",
    ],
)
def test_each_input_can_break_the_fleet(parser: Parser, design_files: dict[str, str], path: str) -> None:
    tree = MemoryTree({**design_files, path: "{"})

    assert NoTarget.BROKEN is parser.target_digest(tree, "prod/matchmaker")
    assert path in parser.inputs(tree, "prod/matchmaker")


class CountingTree(MemoryTree):
    """Counts what is read."""

    reads: int = 0

    def read(self, blob: str) -> bytes:
        self.reads += 1
        return super().read(blob)


def test_one_target_digest_reads_only_its_own_inputs(parser: Parser, design_files: dict[str, str]) -> None:
    tree = CountingTree(design_files)
    parser.target_digest(tree, "staging/checkout")

    inputs = parser.inputs(tree, "staging/checkout")
    assert len(inputs & set(design_files)) == tree.reads == 4


def test_a_second_parse_reads_only_what_changed(parser: Parser, design_files: dict[str, str]) -> None:
    parser.parse(MemoryTree(design_files))
    tree = CountingTree({**design_files, "environments/prod/checkout.yaml": "version: 9.9.9\n"})
    state = parser.parse(tree)

    assert 1 == tree.reads
    assert "9.9.9" == state.fleets["prod/checkout"].version


def test_many_histories_through_one_parser_are_as_through_a_new_one(
    settings: Any, design_files: dict[str, str]
) -> None:
    parser = Parser(settings)
    histories: tuple[dict[str, str | None], ...] = (
        {},
        {"environments/prod/checkout.yaml": "version: 2.0.0\n"},
        {"environments/prod/checkout.yaml": "version: 2.0.0\nservice: matchmaker\n"},
        {"services/checkout.yaml": "{"},
        {"fairlead.yaml": design_files["fairlead.yaml"].replace("ask", "auto")},
        {"environments/prod/suspend.yaml": "reason: moving\n"},
        {"environments/prod/search.yaml": "version: 1.0.0\n"},
        {"freezes/2026-12-cup.yaml": "{"},
        {"environments/prod/environment.yaml": "{"},
        {"environments/staging/checkout.yaml": "version: 1.0\n"},
        {"environments/staging/checkout.yaml": "version: 1.1.1\n"},
        {"environments/staging/checkout.yaml": "version: 1.1.2\n", "environments/prod/checkout.yaml": "version: 3\n"},
        {"environments/prod/matchmaker.config.yaml": "debug: false\n"},
        {"environments/prod/matchmaker.config.yaml": "debug: {$remove: 1}\n"},
        {"environments/prod/matchmaker.config.yaml": None},
        {"README.md": "words\n"},
        {"README.md": "other words\n", "environments/prod/checkout.yaml": "version: 4.0.0\n"},
        {},
    )
    for changes in histories:
        files = {path: text for path, text in {**design_files, **changes}.items() if text is not None}
        tree = MemoryTree(files)
        assert Parser(settings).parse(tree) == parser.parse(tree)


def test_the_same_bytes_at_two_paths_keep_their_own_places(declare: Any) -> None:
    state = declare({"environments/prod/checkout.yaml": "a: 1\n", "environments/staging/checkout.yaml": "a: 1\n"})

    assert {"environments/prod/checkout.yaml", "environments/staging/checkout.yaml"} == {
        problem.file for problem in state.problems
    }


def test_a_folder_is_read_without_following_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.yaml").write_text("a: 1\n")
    inside = tmp_path / "inside"
    (inside / "services").mkdir(parents=True)
    (inside / ".git").mkdir()
    (inside / ".git" / "config").write_text("x")
    (inside / "fairlead.yaml").write_text("a: 1\n")
    (inside / "services" / "a.yaml").symlink_to(outside / "secret.yaml")
    (inside / "environments").symlink_to(outside)
    tree = FolderTree(inside)

    assert {"fairlead.yaml": "100644", "services/a.yaml": "120000", "environments": "120000"} == {
        path: entry.mode for path, entry in tree.entries().items()
    }
    assert b"a: 1\n" == tree.read(tree.entries()["fairlead.yaml"].blob)


def test_a_large_file_in_a_folder_is_named_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "fairlead.yaml").write_bytes(b"#" * 100)
    tree = FolderTree(tmp_path, cap=10)
    entry = tree.entries()["fairlead.yaml"]

    assert 100 == entry.size
    with pytest.raises(KeyError):
        tree.read(entry.blob)


def test_blob_ids_are_gits_own() -> None:
    assert "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391" == blob_id(b"")
    assert Entry(mode="100755", blob="x", size=0).readable
