"""It runs on every host: the standard library, `cryptography` and PyYAML are all that it may ask for."""

import ast
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "adapters" / "agent_protocol"
MODULES = sorted(FOLDER.glob("*.py"))


def imported(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text()))
    found = [
        [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for node in tree
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return {name for names in found for name in names}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_it_asks_for_little(path: Path) -> None:
    outside = {name for name in imported(path) if name.partition(".")[0] not in sys.stdlib_module_names}
    ours = {name for name in outside if name.startswith("adapters.agent_protocol.")}

    assert {name.partition(".")[0] for name in outside - ours} <= {"cryptography", "yaml"}


def test_every_module_has_its_line_in_the_readme() -> None:
    readme = (FOLDER / "README.md").read_text()

    assert [] == [path.name for path in MODULES if path.stem != "__init__" and f"- `{path.name}`: " not in readme]
