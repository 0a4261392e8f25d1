"""What the cases of the contract are written with, and the list of them as docs/spinnaker-contract.md shows it.

`python -m tests.contract.spinnaker.servers.cases` prints the tables of that page.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

from tests.contract.spinnaker.servers.engine import version

GATE = "Gate decides it"
FRONT50 = "it takes Front50"
WEB = "Orca's web module decides it"
WEBHOOK = "it takes Orca's webhook module"
SQL = "checked by hand, on a SQL store"


def unverified(why: str, elsewhere: str = "") -> pytest.MarkDecorator:
    """A case that the published engine alone cannot answer: it runs against the sandbox, and a Gate that is named.

    `elsewhere` says how it was checked, where the suite did not do it.
    """
    return pytest.mark.unverified(why, elsewhere)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case, as the page of the contract lists it."""

    about: str  # the first line of its file
    says: str
    engine: str = ""  # why the engine cannot answer it
    gate: str = ""  # how a whole Gate was asked, where the suite did not do it


def cases() -> Iterator[Case]:
    """All cases, in the order of files and lines."""
    for path in sorted(Path(__file__).parent.glob("test_gate_contract_*.py")):
        tree = ast.parse(path.read_text())
        about = (ast.get_docstring(tree) or "").splitlines()[0].rstrip(".")
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                says = node.name.removeprefix("test_").replace("_", " ")
                engine, gate = [*_reasons(node), "", ""][:2]
                yield Case(about=about, says=says, engine=engine, gate=gate)


def _reasons(node: ast.FunctionDef) -> list[str]:
    calls = [each for each in node.decorator_list if isinstance(each, ast.Call)]
    found = next((each for each in calls if getattr(each.func, "id", "") == "unverified"), None)
    named = [each for each in found.args if isinstance(each, ast.Name)] if found else []
    return [str(globals()[each.id]) for each in named]


def tables() -> Iterator[str]:
    """The lines of the page: a table for each file of the suite."""
    for about, group in groupby(cases(), key=lambda each: each.about):
        yield f"### {about}"
        yield ""
        yield f"| case | sandbox | Orca's engine {version()} | a whole Gate |"
        yield "|---|---|---|---|"
        for each in group:
            yield f"| {each.says} | checked | {_cell(each)} | {each.gate or 'checked'} |"
        yield ""


def _cell(case: Case) -> str:
    return f"*unverified against real*: {case.engine}" if case.engine else "checked"


if __name__ == "__main__":
    print("\n".join(tables()))
