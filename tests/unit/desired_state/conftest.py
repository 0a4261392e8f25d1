"""A tree that is sound in everything, and a deploy model beside the shipped one."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from adapters.trigger.settings import TriggerSettings
from desired_state.durations import Duration
from desired_state.model import DesiredState
from desired_state.parser import Parser
from desired_state.trees import FolderTree, MemoryTree

DESIGN = Path(__file__).parents[2] / "data" / "design"


class PipelineWave(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    regions: str | list[str]
    soak: Duration | None = None


class ClusterSelect(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    cluster: str


class PipelineSettings(BaseModel):
    """Enough of a pipeline's settings to see what the parser makes of a deployer's model."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    application: str = Field(description="the name of the Spinnaker application")
    pipeline: str
    parameters: dict[str, str] = Field(default_factory=dict)
    select: ClusterSelect
    waves: list[PipelineWave] | None = None


SETTINGS: Mapping[str, type[BaseModel]] = {"spinnaker": PipelineSettings, "trigger": TriggerSettings}


@pytest.fixture(scope="session")
def design_files() -> dict[str, str]:
    """The examples of the format, by path."""
    tree = FolderTree(DESIGN)
    return {path: tree.read(entry.blob).decode() for path, entry in tree.entries().items()}


@pytest.fixture
def settings() -> Mapping[str, type[BaseModel]]:
    return SETTINGS


@pytest.fixture
def parser() -> Parser:
    return Parser(SETTINGS)


Declare = Callable[..., DesiredState]


@pytest.fixture
def declare(parser: Parser, design_files: dict[str, str]) -> Declare:
    """Parse the example tree with some files changed; None takes a file away."""

    def parse(
        changes: Mapping[str, str | bytes | None] | None = None, modes: Mapping[str, str] | None = None
    ) -> DesiredState:
        files = {path: text for path, text in {**design_files, **(changes or {})}.items() if text is not None}
        return parser.parse(MemoryTree(files, modes))

    return parse
