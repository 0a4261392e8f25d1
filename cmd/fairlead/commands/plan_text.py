"""A plan as text, Markdown (for a comment on a pull request) and JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairlead.commands.plan_images import image_lines
from fairlead.commands.planning import Change, Effect
from fairlead.rendering import count

MEANING = {
    Effect.ADDED: "managed from now on",
    Effect.REMOVED: "no longer managed; nothing is destroyed",
    Effect.DEPLOY: "deploys",
    Effect.SPEC: "deploys nothing; the next rollout goes another way",
    Effect.POLICY: "deploys nothing",
    Effect.BROKEN: "cannot be read; keeps its last good spec",
}
HELD = "other machines than before: held until `fairlead approve`"


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


def _versions(change: Change) -> str:
    before, after = change.versions
    if before == after:
        return before or ""
    return " → ".join((before or "nothing", after or "nothing")) if change.effect is not Effect.BROKEN else before or ""


def _text(change: Change, images: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"\n{change.fleet}  {_versions(change)}  ({MEANING[change.effect]})"
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
    """For a comment on a pull request."""
    lines = [f"### Fairlead plan: {_headline(facts)}"]
    if facts["changes"]:
        lines += ["", "| fleet | version | what happens |", "|---|---|---|"]
        lines += [
            f"| `{each.fleet}` | {_cell(_versions(each))} | {_cell(_what(each, facts['images']))} |"
            for each in facts["changes"]
        ]
    for name, values in facts["explain"].items():
        lines += ["", f"`{name}`", "", "| value | is | from |", "|---|---|---|"]
        lines += [f"| `{path}` | {_cell(str(value))} | {place_text(at)} |" for path, (value, at) in values.items()]
    if facts["problems"]:
        lines += ["", "**Problems**", "", *(f"- `{str(problem).replace('`', '')}`" for problem in facts["problems"])]
    return "\n".join(lines)


def _what(change: Change, images: Sequence[Mapping[str, Any]]) -> str:
    held = [HELD] if change.identity_changed else []
    waves = [f"wave {number}: {wave}" for number, wave in enumerate(change.waves, 1)]
    return "<br>".join([MEANING[change.effect], *held, *change.sentences, *waves, *image_lines(images, change.fleet)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
