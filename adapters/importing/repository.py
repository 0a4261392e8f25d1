"""From what was read to a repository that passes `fairlead validate`, and what is to be said about it. Pure.

Whatever the parser refuses is left out and told: nothing half is handed over.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.importing.clusters import read_clusters
from adapters.importing.emitting import ASKED, shown
from adapters.importing.facts import Draft, LeftOut, Rules, Site
from adapters.importing.hosts import read_hosts
from adapters.importing.merging import files_of, settled
from adapters.importing.naming import in_order
from desired_state.model import DesiredState, Problem
from desired_state.parser import Parser
from desired_state.placeholders import KNOWN
from desired_state.trees import MemoryTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The repository as path: text, the fleets in it, and what is not."""

    files: dict[str, str]
    fleets: tuple[Draft, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...] = ()

    @property
    def questions(self) -> int:
        """How many the files ask."""
        return sum(text.count(ASKED) for path, text in self.files.items() if path.endswith(".yaml"))


def conclude(sites: Sequence[Site], rules: Rules, parser: Parser) -> Imported:
    """What these accounts run, as a repository. Without any fleet it has no files."""
    findings = [found for site in sites for found in (read_clusters(site, rules), read_hosts(site, rules))]
    drafts, left = settled([draft for found in findings for draft in found.drafts])
    left = [*(one for found in findings for one in found.left_out), *left]
    literal, filled = _literal(drafts)
    files, sound, refused = _sound(literal, rules, parser)
    notes = tuple(shown(note) for site in sites for note in site.notes)
    left_out = tuple(LeftOut(what=shown(one.what), why=shown(one.why)) for one in [*left, *filled, *refused])
    if files:
        files = {"README.md": _readme(sound, left_out), **files}
    return Imported(files=files, fleets=tuple(sound), left_out=left_out, notes=notes)


def _literal(drafts: Sequence[Draft]) -> tuple[list[Draft], list[LeftOut]]:
    """Drafts of which the parser reads every word as it stands. Tags and pipelines may hold `{region}` themselves."""
    kept: list[Draft] = []
    left: list[LeftOut] = []
    for draft in drafts:
        said = next((text for text in _texts(draft.deploy) if any(f"{{{word}}}" in text for word in KNOWN)), "")
        if said:
            why = f"{said} would be read as a placeholder: write its files by hand"
            left.append(LeftOut(what=draft.found, why=why))
        else:
            kept.append(draft)
    return kept, left


def _texts(tree: Mapping[str, Any]) -> Iterator[str]:
    for value in tree.values():
        if isinstance(value, Mapping):
            yield from _texts(value)
        else:
            yield str(value)


def _sound(drafts: Sequence[Draft], rules: Rules, parser: Parser) -> tuple[dict[str, str], list[Draft], list[LeftOut]]:
    """Drop what the parser refuses, or reads as nothing, until there is none; each round drops at least one."""
    refused: list[LeftOut] = []
    kept = sorted(drafts, key=lambda draft: draft.fleet)
    while kept:
        files = files_of(kept, rules)
        state = parser.parse(MemoryTree(dict(files)))
        wrong = _blamed(kept, state) if state.errors else _undeclared(kept, state)
        if not wrong:
            return files, kept, refused
        refused += [LeftOut(what=draft.found, why=said) for draft, said in wrong]
        gone = {draft.fleet for draft, _ in wrong}
        kept = [draft for draft in kept if draft.fleet not in gone]
    return {}, [], refused


def _blamed(drafts: Sequence[Draft], state: DesiredState) -> list[tuple[Draft, str]]:
    """Whose files the errors are in. An error in a file of all is everybody's."""
    found = []
    for draft in drafts:
        mine = [problem for problem in state.errors if _is_about(draft, problem)]
        found += [(draft, _refused(mine[0]))] if mine else []
    return found or [(draft, _refused(state.errors[0])) for draft in drafts]


def _refused(problem: Problem) -> str:
    return f"its file would be refused: {problem.message}"


def _undeclared(drafts: Sequence[Draft], state: DesiredState) -> list[tuple[Draft, str]]:
    """A file that nothing reads is no error to the parser, and no fleet to a controller."""
    lost = [draft for draft in drafts if draft.fleet not in state.fleets]
    return [(draft, f"its files would declare no fleet {draft.fleet}") for draft in lost]


def _is_about(draft: Draft, problem: Problem) -> bool:
    places = (
        f"services/{draft.service}.yaml",
        f"environments/{draft.fleet}.yaml",
        f"environments/{draft.environment}/environment.yaml",
    )
    return draft.fleet in problem.fleets or problem.file in places


def _readme(fleets: Sequence[Draft], left_out: Sequence[LeftOut]) -> str:
    first = in_order(draft.environment for draft in fleets)[0]
    lines = ["# Desired state", "", "Written by `fairlead import` from what was running.", "", "## Next", ""]
    lines += [
        "1. Answer the questions: `grep -rn QUESTION .`",
        "2. `fairlead validate`",
        "3. Commit, and push to a repository that `fairlead.toml` names.",
        "4. `fairlead controller --observe-only`: it reports and never acts. `fairlead status` shows every fleet.",
        f"5. Adopt one environment: `fairlead adopt {first}`. Then run the controller without --observe-only.",
        "6. Adopt the others, one by one. docs/adopting.md of Fairlead tells each step.",
        "",
        "## Imported",
        "",
        "| fleet | type | version | found |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{one.fleet}` | {one.kind} | {_cell(version_of(one))} | {_cell(one.found)} |" for one in fleets]
    if left_out:
        lines += ["", "## Not imported", "", "| what | why |", "|---|---|"]
        lines += [f"| {_cell(one.what)} | {_cell(one.why)} |" for one in left_out]
    return "\n".join(lines) + "\n"


def version_of(draft: Draft) -> str:
    """Its version, or each package's."""
    if len(draft.versions) == 1:
        return next(iter(draft.versions.values()))
    return ", ".join(f"{package} {version}" for package, version in sorted(draft.versions.items()))


def _cell(text: Any) -> str:
    """Text in a table, with nothing in it that becomes a column, a link or a picture."""
    return re.sub(r"([\\|\[\]])", r"\\\1", shown(str(text))).replace("<", "&lt;")
