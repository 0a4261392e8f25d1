"""Trees that are meant to do harm, or were made by an accident that is as bad."""

import time
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from adapters.deployers.spinnaker import Spinnaker
from desired_state.documents import read
from desired_state.model import Severity
from desired_state.parser import Parser
from desired_state.trees import SUBMODULE, SYMLINK, MemoryTree

FREEZE = "reason: cup\nfrom: 2026-12-01\nuntil: 2026-12-31\nenvironments: [prod]\n"
PROD = ("prod/checkout", "prod/matchmaker")
BIDI = "\u202e"


def test_thousands_of_fleets_on_one_cluster_are_told_once_each(declare: Any, design_files: dict[str, str]) -> None:
    same = design_files["services/checkout.yaml"].replace("checkout-{environment}", "checkout")
    many = {f"environments/prod/c{number}.yaml": "version: 1.4.2\nservice: checkout\n" for number in range(2000)}
    began = time.process_time()

    state = declare({"services/checkout.yaml": same, **many})

    assert 2001 == len(state.problems)  # staging/checkout clashes too: all pairs would be two millions
    assert {"prod/matchmaker"} == set(state.fleets)
    assert time.process_time() - began < 30


def test_every_fleet_of_a_clash_is_harmed_whatever_its_regions(declare: Any, design_files: dict[str, str]) -> None:
    same = design_files["services/checkout.yaml"].replace("checkout-{environment}", "checkout")
    third = {"environments/prod/third.yaml": "version: 1.4.2\nservice: checkout\n"}

    state = declare({"services/checkout.yaml": same, **third})

    assert {"prod/checkout", "prod/third", "staging/checkout"} == state.broken


def test_a_canary_does_not_hide_that_two_fleets_have_one_cluster(
    settings: Mapping[str, type[BaseModel]], design_files: dict[str, str]
) -> None:
    select = 'select: {cluster: "checkout-{environment}"'
    other = design_files["services/checkout.yaml"].replace(select, f"{select}, canary: checkout-canary")
    files = {"services/blue.yaml": other, "environments/prod/blue.yaml": "version: 1.4.2\n"}
    parser = Parser({**settings, "spinnaker": Spinnaker.settings_model})

    state = parser.parse(MemoryTree({**design_files, **files}))

    told = "prod/blue and prod/checkout select the same cluster; give each its own select"
    assert [(told, ("prod/blue", "prod/checkout"))] == [(each.message, each.fleets) for each in state.problems]


@pytest.mark.parametrize("name", ["Cup", "2026_12_cup", "cup.2"])
def test_a_freeze_whose_name_is_wrong_lets_nothing_move(name: str, declare: Any) -> None:
    state = declare({f"freezes/{name}.yaml": FREEZE})

    assert [PROD] == [problem.fleets for problem in state.problems]
    assert {"staging/checkout"} == set(state.fleets)


@pytest.mark.parametrize("folder", ["services", "environments", "freezes"])
@pytest.mark.parametrize("mode", [SYMLINK, SUBMODULE, "100644"])
def test_what_stands_where_a_folder_should_be_harms_every_fleet(
    folder: str, mode: str, parser: Parser, design_files: dict[str, str]
) -> None:
    files = {path: text for path, text in design_files.items() if not path.startswith(f"{folder}/")}

    state = parser.parse(MemoryTree({**files, folder: "../elsewhere"}, {folder: mode}))

    told = f"{folder} must be a folder of files, and it is not; links and submodules are not followed"
    found = next(problem for problem in state.problems if problem.file == folder)
    assert (told, Severity.ERROR, tuple(sorted(state.declared))) == (found.message, found.severity, found.fleets)
    assert {} == dict(state.fleets)


@pytest.mark.parametrize("odd", ["\x1b[31m", "a\nb", f"a{BIDI}b", "\udcff"])
def test_a_name_that_a_terminal_would_obey_is_shown_escaped(odd: str, declare: Any) -> None:
    said = [str(problem) for problem in declare({f"services/{odd}.yaml": "owner: x\n"}).problems]

    assert 1 == len(said)
    assert said[0].isprintable()


@pytest.mark.parametrize("odd", ["\\e[2J", "\\x07", "\\u2028", "\\u202e", "\\u2066", "\\x7f", "\\x9b"])
def test_one_line_of_text_holds_nothing_that_a_terminal_would_obey(odd: str, declare: Any) -> None:
    state = declare({"environments/prod/checkout.suspend.yaml": f'reason: "a{odd}b"\n'})

    assert [PROD[:1]] == [problem.fleets for problem in state.problems]
    assert '"reason" must be one line of text without control characters' in state.problems[0].message
    assert state.problems[0].message.isprintable()


def test_a_tab_and_other_writing_are_text(declare: Any) -> None:
    reason = "moving\ttomorrow: \u79fb\u52d5 \U0001f680"

    state = declare({"environments/staging/checkout.suspend.yaml": f'reason: "{reason}"\n'})

    assert () == state.problems
    assert reason == state.fleets["staging/checkout"].suspension.reason


def test_a_key_that_is_written_twenty_thousand_times_is_read_in_a_moment() -> None:
    began = time.process_time()

    found = read(b"k: x\n" * 20_000, "f").findings

    assert 19_999 == len(found)
    assert time.process_time() - began < 10


def test_thousands_of_fleets_without_their_service_are_told_in_a_moment(
    parser: Parser, design_files: dict[str, str]
) -> None:
    fleets = {f"environments/prod/f{number}.yaml": "version: 1.4.2\n" for number in range(2000)}
    services = {f"services/s{number}.yaml": design_files["services/checkout.yaml"] for number in range(2000)}
    began = time.process_time()

    state = parser.parse(MemoryTree({**design_files, **services, **fleets}))

    assert 2000 == len(state.broken)
    assert time.process_time() - began < 15
