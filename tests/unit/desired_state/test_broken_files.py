"""Every kind of broken file: exactly its sentence at its place, and the healthy fleets of the same tree still parse."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from desired_state.model import Problem, Severity

KINDS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "broken" / "kinds.yaml").read_text(encoding="utf-8")
)
SOUND = {"prod/checkout", "prod/matchmaker", "staging/checkout"}


def test_there_are_many_kinds() -> None:
    assert len({kind["kind"] for kind in KINDS}) >= 80


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["kind"].replace(" ", "-"))
def test_a_broken_file_says_exactly_its_sentence_and_harms_only_its_fleets(kind: dict[str, Any], declare: Any) -> None:
    state = declare(kind["files"])

    assert kind["says"] == [str(problem) for problem in state.problems]
    assert set(kind["harms"]) == set(state.broken)
    assert SOUND - set(kind["harms"]) <= set(state.fleets)
    assert set(kind["harms"]) == {name for problem in state.problems for name in problem.fleets}


def test_a_symlink_is_refused_and_not_followed(declare: Any) -> None:
    path = "environments/staging/checkout.yaml"
    state = declare({path: "/etc/passwd"}, {path: "120000"})

    assert (
        Problem(
            file=path,
            line=1,
            column=1,
            message="a symbolic link stands here and is not followed; commit the file itself",
            fleets=("staging/checkout",),
        ),
    ) == state.problems
    assert "staging/checkout" in state.broken


@pytest.mark.parametrize("mode", ["120000", "160000"])
def test_a_linked_folder_is_refused(mode: str, declare: Any) -> None:
    state = declare({"environments/qa": "../elsewhere", "services": "x"}, {"environments/qa": mode, "services": mode})

    assert ["environments/qa", "services"] == [problem.file for problem in state.problems]


def test_a_submodule_is_refused(declare: Any) -> None:
    path = "services/checkout.yaml"
    state = declare({path: "x"}, {path: "160000"})

    assert ["services/checkout.yaml:1:1: a submodule stands here and is not read; commit the file itself"] == [
        str(problem) for problem in state.problems
    ]
    assert {"prod/checkout", "staging/checkout"} == state.broken


def test_a_file_that_is_too_large_is_never_read(declare: Any) -> None:
    state = declare({"services/matchmaker.config.yaml": "#" * (1024 * 1024 + 1)})

    assert ["the file is larger than 1024 KiB; split it or move data elsewhere"] == [
        problem.message for problem in state.problems
    ]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("services/search.yml", "nothing reads this file; rename it to end in .yaml"),
        ("environments/prod/search.yml", "nothing reads this file; rename it to end in .yaml"),
        ("environments/prod/old/search.yaml", "nothing reads this file; remove it, or see where files belong"),
        ("environments/search.yaml", "nothing reads this file; remove it, or see where files belong"),
        ("freezes/cup.txt", "nothing reads this file; remove it, or see where files belong"),
        (
            "services/search.config.yaml",
            "there is no services/search.yaml for this file; add it, or remove this file",
        ),
        (
            "environments/prod/search.config.yaml",
            "there is no environments/prod/search.yaml for this file; add it, or remove this file",
        ),
    ],
)
def test_a_file_that_nothing_reads_is_a_warning(path: str, said: str, declare: Any) -> None:
    state = declare({path: "a: 1\n"})

    assert [(path, said, Severity.WARNING, ())] == [
        (problem.file, problem.message, problem.severity, problem.fleets) for problem in state.problems
    ]
    assert SOUND == set(state.fleets)


@pytest.mark.parametrize(
    ("path", "harmed"),
    [
        ("freezes/cup.yml", SOUND),
        ("environments/prod/suspend.yml", {name for name in SOUND if name.startswith("prod/")}),
        ("environments/prod/checkout.suspend.yml", {"prod/checkout"}),
    ],
)
def test_what_was_meant_to_hold_fleets_holds_them_under_the_wrong_ending_too(
    path: str, harmed: set[str], declare: Any
) -> None:
    state = declare({path: "reason: the cup\n"})

    assert [(path, "nothing reads this file; rename it to end in .yaml", Severity.ERROR)] == [
        (problem.file, problem.message, problem.severity) for problem in state.problems
    ]
    assert harmed == state.broken


@pytest.mark.parametrize(
    "path", ["services/README.md", "environments/.gitkeep", "README.yml", "docs/a/b.yaml", ".git/x"]
)
def test_notes_and_other_folders_are_nobodys_business(path: str, declare: Any) -> None:
    assert () == declare({path: "{{{"}).problems


def test_a_suspension_without_a_fleet_is_a_warning(declare: Any) -> None:
    state = declare({"environments/prod/search.suspend.yaml": "reason: moving\n"})

    assert [Severity.WARNING] == [problem.severity for problem in state.problems]


def test_configuration_settings_without_values_are_a_warning(declare: Any) -> None:
    state = declare({"services/matchmaker.config.yaml": None, "environments/prod/matchmaker.config.yaml": None})

    told = "no file holds configuration values; add services/matchmaker.config.yaml or remove config"
    assert [f"services/matchmaker.yaml:4:1: {told}"] == [str(problem) for problem in state.problems]
    assert "prod/matchmaker" in state.fleets


def test_an_expression_in_a_trigger_fleet_is_the_shells_own(declare: Any, design_files: dict[str, str]) -> None:
    text = design_files["services/matchmaker.yaml"].replace("{unit: matchmaker.service,", '{command: "run ${OPTS}",')

    assert (
        "run ${OPTS}" == declare({"services/matchmaker.yaml": text}).fleets["prod/matchmaker"].deploy["run"]["command"]
    )


def test_an_expression_in_the_configuration_of_a_spinnaker_fleet_is_refused(
    declare: Any, design_files: dict[str, str]
) -> None:
    service = design_files["services/checkout.yaml"] + "config: {to: checkout.yaml, format: yaml}\n"
    state = declare({"services/checkout.yaml": service, "services/checkout.config.yaml": 'a: {b: ["${x}"]}\n'})

    assert ["services/checkout.config.yaml:1:9"] == [str(problem).partition(": ")[0] for problem in state.problems]
    assert {"prod/checkout", "staging/checkout"} == state.broken


def test_several_broken_files_are_all_said_in_order(declare: Any) -> None:
    state = declare(
        {
            "environments/staging/checkout.yaml": "version: 1.0\nfoo: 1\n",
            "environments/prod/matchmaker.yaml": "a: b: c\n",
        }
    )

    assert [
        "environments/prod/matchmaker.yaml:1:5",
        "environments/staging/checkout.yaml:1:10",
        "environments/staging/checkout.yaml:2:1",
    ] == [f"{problem.file}:{problem.line}:{problem.column}" for problem in state.problems]
    assert {"prod/checkout"} == set(state.fleets)
