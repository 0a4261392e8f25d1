"""A plan as text, Markdown (for a comment on a pull request) and JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from desired_state.changes import Change
from desired_state.model import Problem, Severity
from fairlead.rendering import count
from reconciler.markdown import code
from reconciler.merge_plan import MergePlan
from reconciler.plan_comment import comment
from reconciler.plan_images import image_lines
from reconciler.plan_words import HELD, MEANING, versions


def as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The documented keys of `fairlead plan -o json`."""
    from fairlead.commands.offline import problem_facts

    return {
        "base": facts["base"],
        "head": facts["head"],
        "changes": [_change(change) for change in facts["changes"]],
        "unchanged": facts["unchanged"],
        "problems": [problem_facts(problem) for problem in facts["problems"]],
        "images": facts["images"],
        "explain": {name: dict(_explained(values)) for name, values in facts["explain"].items()},
    }


def _change(change: Change) -> dict[str, Any]:
    before, after = change.versions
    return {
        "fleet": change.fleet,
        "effect": change.effect,
        "from": before,
        "to": after,
        "held_for_approval": change.identity_changed,
        "differences": change.sentences,
        "waves": change.waves,
    }


def _explained(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for path, (value, place) in values.items():
        yield path, {"value": value, "from": place_text(place)}


def place_text(place: Any) -> str:
    """`services/checkout.yaml:3:5`; a value that no file gives is a built-in."""
    return "built in" if place is None else f"{place.file}:{place.line}:{place.column}"


def as_text(facts: Mapping[str, Any]) -> str:
    """For a terminal."""
    lines = [_headline(facts), *(line for change in facts["changes"] for line in _text(change, facts["images"]))]
    lines += [line for name, values in facts["explain"].items() for line in _explain_text(name, values)]
    lines += ["", *(f"{problem}" for problem in facts["problems"])] if facts["problems"] else []
    return "\n".join(lines)


def _headline(facts: Mapping[str, Any]) -> str:
    changes, base = facts["changes"], facts["base"]
    span = f"{base[:7] if base else 'nothing'} → {facts['head'][:7]}"
    if not changes:
        return f"{span}: no fleet changes"
    return (
        f"{span}: {count(len(changes), 'fleet')} changed, {facts['deploys']} to deploy, {facts['unchanged']} unchanged"
    )


def _text(change: Change, images: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"\n{change.fleet}  {versions(change)}  ({MEANING[change.effect]})"
    if change.identity_changed:
        yield f"    {HELD}"
    for sentence in change.sentences:
        yield f"    {sentence}"
    for number, wave in enumerate(change.waves, 1):
        yield f"    wave {number}: {wave}"
    for line in image_lines(images, change.fleet):
        yield f"    {line}"


def _explain_text(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    rows = [(path, str(value), place_text(place)) for path, (value, place) in values.items()]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    yield f"\n{name}: where each value comes from"
    for path, value, place in rows:
        yield f"    {path:<{widths[0]}}  {value:<{min(widths[1], 60)}}  {place}"


def as_markdown(facts: Mapping[str, Any]) -> str:
    """For a comment on a pull request: what Fairlead itself says there, as far as a clone knows it."""
    problems: Sequence[Problem] = facts["problems"]
    plan = MergePlan(
        head=facts["head"],
        branch="",
        changes=tuple(facts["changes"]),
        problems=tuple(sorted(problems, key=lambda problem: (problem.severity is not Severity.ERROR, problem))),
        images=tuple(facts["images"]),
    )
    lines = [comment(plan, title=_headline(facts))]
    for name, values in facts["explain"].items():
        lines += ["", code(name), "", "| value | is | from |", "|---|---|---|"]
        rows = ((path, str(value), place_text(at)) for path, (value, at) in values.items())
        lines += [f"| {code(path)} | {code(value)} | {code(place)} |" for path, value, place in rows]
    return "\n".join(lines)
