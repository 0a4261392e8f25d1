"""What the pages promise about desired state is done: every example, table and message, with the real parser."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from pydantic import BaseModel

from adapters.aws.clusters import CONFIG_TAG, KEY_TAG
from adapters.gate.settings import Ours, Rollback, SpinnakerSettings
from adapters.gate.settings_generate import Bake, Canary, Generate, Judgment
from adapters.pipelines.stages import MAX_REMAINING, PERCENTAGES
from adapters.trigger.settings import TriggerSettings
from desired_state.durations import format_duration
from desired_state.formats import (
    EnvironmentFile,
    FairleadFile,
    FleetFile,
    FreezeFile,
    Layer,
    PolicyKeys,
    ServiceFile,
    SuspendFile,
)
from desired_state.layout import Kind, place
from desired_state.model import DesiredState
from desired_state.parser import Parser
from desired_state.placeholders import allowed
from desired_state.trees import MemoryTree
from fairlead import wiring
from reconciler.plan import base_key
from reconciler.work import Release

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = ROOT / "deploy" / "example"
FORMAT = ROOT / "docs" / "writing-desired-state.md"
SHOWN = {"bash", "json", "mermaid", "text", "toml", "yaml"}  # what a fence may be marked as


class Fence(NamedTuple):
    """A fenced block: what it is marked as, and what it holds."""

    language: str
    text: str


def fences(page: Path) -> list[Fence]:
    return [Fence(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S)]


def yaml_blocks(page: Path) -> list[str]:
    return [fence.text for fence in fences(page) if fence.language == "yaml"]


def path_of(block: str) -> str:
    found = re.match(r"# (\S+)\n", block)
    return found[1] if found else ""


def files_of(page: Path) -> dict[str, str]:
    """The repository that a page shows; the first page shows two files of the example repository."""
    shown = {path_of(block): block for block in yaml_blocks(page)}
    return {**example(), **shown} if page.name == "README.md" else shown


def example() -> dict[str, str]:
    return {path.relative_to(EXAMPLE).as_posix(): path.read_text() for path in EXAMPLE.rglob("*.yaml")}


def parser() -> Parser:
    return wiring.parser()


def parse(files: Mapping[str, str]) -> DesiredState:
    return parser().parse(MemoryTree({path: text.encode() for path, text in files.items()}))


def rows(text: str) -> Iterator[list[str]]:
    """The body rows of every table, cells stripped."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def section(page: Path, heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page.read_text(), re.M | re.S)
    assert found, f"{page.name} has no section {heading}"
    return found[1]


def code(cell: str) -> str:
    found = re.fullmatch(r"`(.*)`", cell)
    return found[1] if found else ""


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert {fence.language for fence in fences(page)} <= SHOWN


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_yaml_example_names_the_file_it_is(page: Path) -> None:
    unread = {Kind.OTHER, Kind.STRAY}

    assert [block for block in yaml_blocks(page) if place(path_of(block)).kind in unread] == []
    assert [path for path, times in Counter(map(path_of, yaml_blocks(page))).items() if times > 1] == []


@pytest.mark.parametrize("page", [page for page in PAGES if yaml_blocks(page)], ids=relative)
def test_the_examples_of_a_page_are_one_sound_repository(page: Path) -> None:
    state = parse(files_of(page))

    assert [] == [str(problem) for problem in state.problems]
    assert state.fleets


def test_the_example_repository_is_sound() -> None:
    assert [] == [str(problem) for problem in parse(example()).problems]


def test_the_page_of_the_format_has_an_example_of_every_file() -> None:
    expected = set(Kind) - {Kind.OTHER, Kind.STRAY}

    assert expected == {place(path).kind for path in files_of(FORMAT)}


def test_the_precedence_table_is_what_the_parser_does() -> None:
    files = files_of(FORMAT)
    tree = MemoryTree({path: text.encode() for path, text in files.items()})
    promised = list(rows(section(FORMAT, "Precedence")))[1:]

    for fleet, key, value, file in ([code(cell) for cell in row] for row in promised):
        explained, at = parser().explain(tree, fleet)[key]
        assert (value, file) == (str(explained), at.file), f"{fleet} {key}"
    assert len(promised) > 8


def test_every_problem_message_is_what_the_parser_says() -> None:
    files = files_of(FORMAT)
    promised = list(rows(section(FORMAT, "What the problem messages mean")))[1:]

    for file, line, message in ([code(cell) for cell in row[:3]] for row in promised):
        problems = parse({**files, file: with_line(files[file], line)}).problems
        assert message in {problem.message for problem in problems}, [str(problem) for problem in problems]
    assert len(promised) > 15


def with_line(text: str, line: str) -> str:
    """The file with a top-level key said anew: the old one goes, with what is indented below it."""
    key = line.partition(":")[0]
    without = re.sub(rf"^{re.escape(key)}:.*\n(?:[ #].*\n)*", "", text, flags=re.M)
    return f"{without}{line}\n"


def test_the_placeholder_table_is_what_the_parser_allows() -> None:
    for row in list(rows(section(FORMAT, "Placeholders")))[1:]:
        field = re.findall(r"`([^`]*)`", row[0])[0]
        expected = set(re.findall(r"\{(\w+)\}", row[1]))
        assert expected == allowed(tuple(field.split("."))), field


def test_the_example_pipeline_takes_what_the_example_service_gives() -> None:
    page = ROOT / "docs" / "pipelines.md"
    pipeline = json.loads(next(fence.text for fence in fences(page) if fence.language == "json"))
    fleet = parse(files_of(page)).fleets["prod/checkout"]
    parameters = pipeline["parameterConfig"]

    assert (fleet.deploy["application"], fleet.deploy["pipeline"]) == (pipeline["application"], pipeline["name"])
    assert set(fleet.deploy["parameters"].values()) == {each["name"] for each in parameters}
    assert [fleet.deploy["parameters"]["version"]] == [each["name"] for each in parameters if each["required"]]
    used = set(re.findall(r"parameters\.(\w+)", json.dumps(pipeline["stages"])))
    assert used <= {each["name"] for each in parameters}
    assert [None] * 2 == [
        _unlike_server_groups(each) for stage in pipeline["stages"] for each in stage.get("clusters", [])
    ]


def test_the_example_rollback_takes_what_the_example_service_gives() -> None:
    page = ROOT / "docs" / "pipelines.md"
    pipeline = json.loads([fence.text for fence in fences(page) if fence.language == "json"][1])
    settings = {"fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [staging, prod]\n"}
    staging = {"environments/staging/environment.yaml": files_of(page)["environments/prod/environment.yaml"]}
    bumped = {f"environments/{name}/basket.yaml": 'version: "1"\n' for name in ("staging", "prod")}
    fleet = parse({**files_of(page), **settings, **staging, **bumped}).fleets["prod/basket"]
    rollback, (stage,) = fleet.deploy["rollback"], pipeline["stages"]

    assert (fleet.deploy["application"], rollback["pipeline"]) == (pipeline["application"], pipeline["name"])
    assert set(rollback["parameters"].values()) == {each["name"] for each in pipeline["parameterConfig"]}
    assert {"restore", "disable", "region", "fairleadKey"} == set(rollback["parameters"])
    assert ("rollbackServerGroup", "EXPLICIT") == (stage["type"], stage["rollbackType"])
    assert ("staging", "bake") == (fleet.bakes.name if fleet.bakes else "", fleet.deploy["image"]["missing"])


def test_the_words_of_a_rollback_are_those_that_a_service_may_map() -> None:
    annotation = Rollback.model_fields["parameters"].annotation
    told = table_keys(section(ROOT / "docs" / "pipelines.md", "Three ways back"), "| Fairlead's word in")

    assert set(get_args(get_args(annotation)[0])) == told


def _unlike_server_groups(cluster: Mapping[str, Any]) -> str | None:
    """What keeps a deploy stage from the contract: our tags, the cluster's name, no rollback by itself."""
    if set(cluster["tags"]) != {KEY_TAG, CONFIG_TAG}:
        return "tags"
    if f"{cluster['application']}-{cluster['stack']}" != "checkout-prod":
        return "name"
    return "rollback" if cluster["rollback"]["onFailure"] else None


def test_the_words_of_a_pipeline_are_those_that_a_service_may_map() -> None:
    words = set(get_args(Ours))
    told = table_keys(section(ROOT / "docs" / "pipelines.md", "What it is called with"), "| Fairlead's word |")

    assert words == told


def test_a_json_example_is_json() -> None:
    for page in PAGES:
        for fence in fences(page):
            assert fence.language != "json" or isinstance(json.loads(fence.text), dict)


def test_the_key_of_an_intent_is_made_as_the_page_says() -> None:
    fleet = parse(example()).fleets["prod/checkout"]
    release = Release(fleet=fleet, setting_commit="a" * 40)
    values = {
        "<repository>": "main",
        "<env>/<service>": fleet.name,
        "<setting commit>": "a" * 12,
        "<target digest>": fleet.target_digest[:12],
        "<unit>": "us-east-1",
        ":w<wave>:a<attempt>": "",
    }
    written = next(fence.text for fence in fences(ROOT / "docs" / "architecture.md") if "<attempt>" in fence.text)
    for name, value in values.items():
        written = written.replace(name, value)

    assert base_key("main", release, "us-east-1") == written.strip()


KEYS = [
    ("fairlead.yaml", "| key | meaning |", FairleadFile, set()),
    ("fairlead.yaml", "| key | values |", PolicyKeys, set()),
    ("An environment", "| key | meaning |", EnvironmentFile, set()),
    ("A service deployed by Spinnaker", "| key of a service |", ServiceFile, set(PolicyKeys.model_fields)),
    ("A service deployed by Spinnaker", "| key | default |", SpinnakerSettings, set()),
    ("A service on long-lived instances", "| key | meaning |", TriggerSettings, {"type"}),
    ("Which version runs", "| key | meaning |", FleetFile, set()),
]


@pytest.mark.parametrize(
    ("heading", "header", "model", "apart"), KEYS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_table_of_keys_has_every_key_of_its_model(
    heading: str, header: str, model: type[BaseModel], apart: set[str]
) -> None:
    assert set(keys_of(model)) - apart == table_keys(section(FORMAT, heading), header) - apart


def test_the_tables_of_suspend_and_freeze_have_every_key() -> None:
    suspend, freeze = section(FORMAT, "Suspend and freeze").split("A freeze is one file")

    assert set(keys_of(SuspendFile)) == table_keys(suspend, "| key | meaning |")
    assert set(keys_of(FreezeFile)) == table_keys(freeze, "| key | meaning |")


def test_the_table_of_generate_has_every_key_with_its_default() -> None:
    text = section(ROOT / "docs" / "pipelines-from-git.md", "The service file")
    header = "| key of `deploy.generate` |"

    assert set(keys_of(Generate)) == table_keys(text, header)
    body = text[text.index(header) :].partition("\n\n")[0]
    told = {code(row[0]): code(row[1]) for row in rows(body) if code(row[1])}
    assert {
        "bake.base_label": Bake.model_fields["base_label"].default,
        "bake.architecture": Bake.model_fields["architecture"].default,
        "judgment.within": format_duration(Judgment.model_fields["within"].default),
        "canary.lifetime": format_duration(Canary.model_fields["lifetime"].default),
        "canary.marginal": str(Canary.model_fields["marginal"].default),
        "canary.passing": str(Canary.model_fields["passing"].default),
        "strategy": Generate.model_fields["strategy"].default,
        "max_remaining": str(MAX_REMAINING),
        "percentages": str(PERCENTAGES),
        "scale_down": "true",
        "disable_after": "0s",
        "scale_down_after": "0s",
        "cluster": "{}",
    } == told


def table_keys(text: str, header: str) -> set[str]:
    body = text[text.index(header) :].partition("\n\n")[0]
    return {code(row[0]) for row in rows(body)} - {""}


def keys_of(model: type[BaseModel]) -> Iterator[str]:
    """Every key of a file as the tables write it: `a.b`, `list[].b`, `map.<name>.b`.

    Layers and `generate` are told of elsewhere.
    """
    for name, field in model.model_fields.items():
        key = field.alias or name
        inner = model_in(field.annotation)
        if inner is None or issubclass(inner, Layer | Generate):
            yield key
        else:
            yield from (f"{key}{step_of(field.annotation)}{below}" for below in keys_of(inner))


def model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := model_in(each)) is not None), None)


def step_of(annotation: Any) -> str:
    written = str(annotation)
    if "dict[" in written:
        return ".<name>."
    return "[]." if "list[" in written else "."
