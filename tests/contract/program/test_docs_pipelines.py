"""What the page of pipelines from Git shows is what the command says, against the sandbox's Gate."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adapters.gate.settings_generate import Generate
from adapters.pipelines.comparing import State
from adapters.pipelines.writing import End
from fairlead.cli import app
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate, GateSettings

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "pipelines-from-git.md").read_text()
WRITTEN_BY_FAIRLEAD = "https://gate.example.com"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Aws() as aws, Gate(aws, GateSettings(background=False)) as running:
        yield running


@pytest.fixture
def folder(gate: Gate, tmp_path: Path) -> Path:
    for block in blocks("yaml"):
        path = tmp_path / block.partition("\n")[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.replace(WRITTEN_BY_FAIRLEAD, gate.url))
    (tmp_path / "fairlead.toml").write_text(f'state = "{tmp_path / "state"}"\n')
    return tmp_path


def run(folder: Path, *args: str) -> Result:
    config = str(folder / "fairlead.toml")
    return CliRunner().invoke(
        app, ["spinnaker", "pipelines", *args, str(folder), "--repository", "deploys", "--config", config]
    )


def test_the_page_shows_what_plan_says_of_a_change_and_of_an_edit(gate: Gate, folder: Path) -> None:
    changed, edited = blocks("text")
    assert 0 == run(folder, "apply", "--yes").exit_code
    service = folder / "services" / "checkout.yaml"
    before = service.read_text()

    service.write_text(before.replace("m6i.large", "m7i.large"))
    assert changed == run(folder, "plan").stdout

    service.write_text(before)
    config = gate.pipelines.find("checkout", "deploy-prod")
    assert config is not None
    at = "1795685400000"
    gate.pipelines.change(config["id"], limitConcurrent=True, lastModifiedBy="alice@example.com", updateTs=at)
    assert edited == run(folder, "plan").stdout


def test_the_page_tells_of_every_state_and_strategy() -> None:
    table = PAGE.partition("| state | the pipeline |")[2].partition("\n\n")[0]
    assert {each.value for each in State} == set(re.findall(r"^\| `([a-z]+)` \|", table, re.M))

    table = PAGE.partition("| `strategy` | what it leaves |")[2].partition("\n\n")[0]
    strategies = set(Generate.model_fields["strategy"].annotation.__args__)  # type: ignore[union-attr]
    assert strategies == set(re.findall(r"^\| `([a-z]+)` \|", table, re.M))


def test_the_page_of_the_command_line_tells_of_every_end() -> None:
    told = (DOCS / "cli.md").read_text().partition("An end is ")[2].partition("\n\n")[0]

    assert {each.value for each in End} <= set(re.findall(r"`([a-z]+)`", told))
