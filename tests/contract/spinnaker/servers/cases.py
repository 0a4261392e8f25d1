"""What the cases of the contract are written with, and the list of them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

GATE = "Gate decides it, and Gate is not published"
FRONT50 = "it takes Front50, which is not published"
WEB = "Orca's web module decides it, and it is not published"
WEBHOOK = "Orca's webhook module is not published"


def unverified(why: str) -> pytest.MarkDecorator:
    """A case that the published engine alone cannot answer: it runs against the sandbox, and a Gate that is named."""
    return pytest.mark.unverified(why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case, as the page of the contract lists it."""

    about: str  # the first line of its file
    says: str
    unverified: str = ""  # why the engine cannot answer it


def cases() -> Iterator[Case]:
    """All cases, in the order of files and lines."""
    for path in sorted(Path(__file__).parent.glob("test_gate_contract_*.py")):
        tree = ast.parse(path.read_text())
        about = (ast.get_docstring(tree) or "").splitlines()[0].rstrip(".")
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                says = node.name.removeprefix("test_").replace("_", " ")
                yield Case(about=about, says=says, unverified=_reason(node))


def _reason(node: ast.FunctionDef) -> str:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "unverified":
            said = decorator.args[0]
            return globals()[said.id] if isinstance(said, ast.Name) else str(ast.literal_eval(said))
    return ""
