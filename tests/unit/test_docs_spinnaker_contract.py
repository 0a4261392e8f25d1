"""The page of Gate's contract lists the cases that there are, and says of each which server answered it."""

from pathlib import Path

from tests.contract.spinnaker.servers import conftest, engine
from tests.contract.spinnaker.servers.cases import cases, tables

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "spinnaker-contract.md").read_text()


def test_the_page_has_the_cases_of_the_suite() -> None:
    _, _, listed = PAGE.partition("## Cases\n\n")

    assert "\n".join(tables()).strip() == listed.strip(), "run python -m tests.contract.spinnaker.servers.cases"


def test_no_two_cases_say_the_same() -> None:
    said = [each.says for each in cases()]

    assert len(set(said)) == len(said) > 80


def test_a_case_that_the_engine_cannot_answer_says_why() -> None:
    assert 20 < sum(bool(each.engine) for each in cases()) < 60
    assert all(each.engine for each in cases() if each.gate)


def test_the_page_names_the_version_and_the_variables() -> None:
    assert engine.version() in PAGE
    assert [] == [name for name in (conftest.REAL, conftest.APPLICATION, conftest.STORE) if f"`{name}`" not in PAGE]
