"""What the pages name exists, and what exists is named: commands, options, settings, reasons, words, links."""

import json
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from adapters.forges.git_notes import Line
from desired_state.durations import format_duration
from fairlead.settings import Settings, load
from reconciler.outlets import FAMILIES
from reconciler.reasons import Reason

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
TARGETS = frozenset(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
WORDS = """
    Desired state, Observed state, Target, Drift, Diverted, Service, Environment, Fleet, Unit, Component, Revision,
    Target digest, Spec digest, Setting commit, Generation, Reconcile, Plan, Intent, Outcome, Ticket, Rollout, Wave,
    Soak, Promotion, Guard, Hold, Quarantine, Deployer, Agent, Order, Forge, Ledger, Feed, Ready, Reconciling, Held,
    Stalled, Healthy, Reason, Message, Gate
"""


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def blocks(page: Path, language: str) -> list[str]:
    return [text for marked, text in FENCE.findall(page.read_text()) if marked == language]


def code_of(page: Path) -> Iterator[str]:
    """Every piece of inline code, and every line of a shell block without its comment."""
    yield from re.findall(r"`([^`\n]+)`", prose(page))
    for block in blocks(page, "bash"):
        yield from (line.partition(" #")[0].strip() for line in block.splitlines())


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────


def command_lines(program: str) -> list[str]:
    return [line for page in PAGES for line in code_of(page) if re.match(rf"{program}( |$)", line)]


def faults_of(line: str, command: Any) -> Iterator[str]:
    """What in the line the program does not have."""
    words = shlex.split(line.replace("...", ""))[1:]
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        name = words.pop(0).strip("[]")
        if name.isupper():
            return
        if name not in command.commands:
            yield f"{line}: there is no command {name}"
            return
        command = command.commands[name]
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
    for word in words:
        option = word.strip("[]").partition("=")[0]
        if option.startswith("-") and option not in known:
            yield f"{line}: {command.name} has no {option}"


def test_every_command_line_on_the_pages_exists() -> None:
    import typer

    from fairlead.cli import app

    command = typer.main.get_command(app)
    lines = command_lines("fairlead")

    assert [] == [fault for line in lines for fault in faults_of(line, command)]
    assert len(lines) > 20


def test_every_sandbox_command_line_on_the_pages_exists() -> None:
    import typer

    from fairlead_sandbox.cli import app

    command = typer.main.get_command(app)

    assert [] == [fault for line in command_lines("fairlead-sandbox") for fault in faults_of(line, command)]


def test_a_command_that_is_not_there_would_be_seen() -> None:
    import typer

    from fairlead.cli import app

    command = typer.main.get_command(app)

    assert ["fairlead fly: there is no command fly"] == list(faults_of("fairlead fly", command))
    assert ["fairlead status --fast: status has no --fast"] == list(faults_of("fairlead status --fast", command))


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_make_target_named_exists(page: Path) -> None:
    named = {found[1] for line in code_of(page) if (found := re.match(r"make ([a-z]+)", line))}

    assert set() == named - TARGETS


def test_the_first_commands_are_on_the_first_page() -> None:
    named = {found[1] for line in code_of(ROOT / "README.md") if (found := re.match(r"make ([a-z]+)", line))}

    assert {"demo", "test"} <= named


# ── reasons, words, links ────────────────────────────────────────────────────────────────────────────────────────


def test_every_reason_has_its_heading_and_every_heading_its_reason() -> None:
    headings = re.findall(r"^### (.+)$", (DOCS / "reasons.md").read_text(), re.M)

    assert [reason.value for reason in Reason] == headings


def test_every_reason_says_more_than_its_name() -> None:
    sections = re.split(r"^### .+$", (DOCS / "reasons.md").read_text(), flags=re.M)[1:]

    assert [] == [text for text in sections if len(text.split()) < 8]


def test_every_word_of_the_house_has_one_meaning_in_the_glossary() -> None:
    expected = [" ".join(word.split()) for word in WORDS.split(",")]
    explained = re.findall(r"^- \*\*(.+?)\*\*: \S", (DOCS / "glossary.md").read_text(), re.M)

    assert sorted(expected) == sorted(explained)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page if not path else (page.parent / path).resolve()
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)

    assert [] == lost


def anchors(page: Path) -> set[str]:
    """As forges make them: small letters, spaces as hyphens, nothing else but letters, digits and hyphens."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_first() -> None:
    linked = set(re.findall(r"\]\((docs/[a-z-]+\.md)\)", (ROOT / "README.md").read_text()))

    assert {relative(page) for page in DOCS.glob("*.md")} - {"docs/README.md"} == linked


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_page_names_no_machine_and_no_real_account(page: Path) -> None:
    text = page.read_text()

    assert set(re.findall(r"\b\d{12}\b", text)) <= {"123456789012"}
    assert re.findall(r"(?<![\w.])/(?:root|home|work|tmp)/\S*", text) == []


def test_the_status_example_is_what_is_written_into_notes() -> None:
    shown = [block for block in blocks(ROOT / "README.md", "text") if "Notes (fairlead):" in block]
    lines = [line[4:] for block in shown for line in re.findall(r"^    \w+ +fairlead/.*$", block, re.M)]

    assert lines
    assert lines == [str(Line.parse(line)) for line in lines]


def test_the_families_of_the_controller_are_on_the_page_of_the_architecture() -> None:
    controller = (ROOT / "cmd" / "fairlead" / "controller.py").read_text()
    told = re.findall(r"^\| [^|]+ \| `([a-z]+):", (DOCS / "architecture.md").read_text(), re.M)

    assert sorted([*re.findall(r'Family\(name="([a-z]+)"', controller), *FAMILIES]) == sorted(told)


def test_the_permissions_to_read_aws_are_those_of_the_calls_that_are_made() -> None:
    made_by_setup = {"buckets.py", "laying.py", "plumbing.py"}  # whose permissions are in deploy/terraform/iam
    paths = [path for path in (ROOT / "adapters" / "aws").glob("*.py") if path.name not in made_by_setup]
    sources = "".join(path.read_text() for path in paths)
    calls = set(re.findall(r'(?:get_paginator\("|\.)((?:describe|put|assume|get_caller)_[a-z_]+)', sources))
    text = (DOCS / "getting-started.md").read_text()
    told = set(re.findall(r"(?:autoscaling|ec2|elasticloadbalancing|s3|sts):([A-Z]\w+)", text))

    assert {call.title().replace("_", "") for call in calls} == told


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every setting by the name that the page gives it, and its default as it is written."""
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        many = "tuple" in str(field.annotation)
        if inner is None or not prefix:
            yield f"{prefix}{name}", "" if inner else shown(field.default)
        if inner is not None:
            yield from settings_of(inner, f"{prefix}{name}{'[]' if many else ''}.")


def model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := model_in(each)) is not None), None)


def shown(default: object) -> str:
    if default in (PydanticUndefined, None, "", ()):
        return ""
    if isinstance(default, timedelta):
        return format_duration(default)
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return json.dumps(default)
    return str(default.value if isinstance(default, Enum) else default)


def test_every_setting_is_on_its_page_with_its_default() -> None:
    cells = re.findall(r"^\| `([^`]+)` \|(?: `([^`]*)`)? \| \S", (DOCS / "settings.md").read_text(), re.M)

    assert dict(settings_of(Settings)) == dict(cells)


TOML = [(page, block) for page in PAGES for block in blocks(page, "toml")]


@pytest.mark.parametrize(("page", "block"), TOML, ids=lambda value: value.stem if isinstance(value, Path) else "toml")
def test_a_settings_example_loads(page: Path, block: str, tmp_path: Path) -> None:
    file = tmp_path / "fairlead.toml"
    file.write_text(block)

    assert block.startswith("# fairlead.toml\n")
    assert load(file).repositories


def test_the_page_of_settings_and_the_first_steps_have_an_example() -> None:
    assert {"settings", "getting-started"} <= {page.stem for page, _ in TOML}
