"""`rollback --manual`: what a person runs on AWS while Spinnaker is away. It reads, prints, and changes nothing."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desired_state.model import Fleet
from fairlead.commands.opening import fleet_name, opened, record_of, settings_of
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, json_document, progress, say
from reconciler.ports import Unreadable
from reconciler.record import Record

if TYPE_CHECKING:
    from adapters.by_hand.paper import Paper, Region
    from adapters.by_hand.steps import Step


def manual(fleet: str, to: str | None, folder: Path | None, config: Path | None, output: Output) -> None:
    """Print the paper for a fleet, out of the ledger or a folder of desired state, and of what stands on AWS."""
    from fairlead.wiring import by_hand

    spec, record = (_in_folder(fleet, folder), None) if folder is not None else _in_ledger(fleet, config)
    good = record.memory.last_good if record is not None else None
    last_good = {package.name: package.version for package in good.fleet.packages} if good is not None else None
    try:
        with progress("reading what stands on AWS ..."):
            paper = by_hand.paper(spec, to, last_good, record.snapshots if record is not None else {})
    except Unreadable as trouble:
        raise Refused(str(trouble), ExitCode.UNREACHABLE) from trouble
    except (LookupError, ValueError) as trouble:
        raise Refused(f"{fleet}: {trouble}") from trouble
    commit = record.setting.commit if record is not None and record.setting is not None else None
    if output is Output.JSON:
        json_document(_facts(paper, commit))
    else:
        for line in _lines(paper, commit):
            say(line)


def _in_ledger(fleet: str, config: Path | None) -> tuple[Fleet, Record]:
    try:
        with opened(settings_of(config)) as store:
            record = record_of(store, fleet)
    except Refused as refused:
        raise Refused(f"{refused}; --path FOLDER reads a checkout of the repository instead", refused.code) from refused
    if record.desired is None:
        raise Refused(f"{fleet} was never soundly declared; --path FOLDER reads a checkout of the repository")
    return record.desired, record


def _in_folder(fleet: str, folder: Path) -> Fleet:
    from desired_state.trees import FolderTree
    from fairlead import wiring

    if not folder.is_dir():
        raise Refused(f"{folder}: there is no such folder; name the one that holds fairlead.yaml")
    found = wiring.parser().parse(FolderTree(folder)).fleets.get(fleet_name(fleet))
    if found is None:
        raise Refused(f"{folder} declares no sound {fleet}; fairlead validate {folder} shows what is wrong")
    return found


def _facts(paper: "Paper", commit: str | None) -> dict[str, Any]:
    return {
        "fleet": paper.fleet,
        "version": paper.version,
        "why": paper.why,
        "suspend": {"file": paper.suspend[0], "text": paper.suspend[1]},
        "account": _step_facts(paper.account) if paper.account is not None else None,
        "regions": [_region_facts(region) for region in paper.regions],
        "revert": commit,
    }


def _region_facts(region: "Region") -> dict[str, Any]:
    return {"region": region.region, "note": region.note, "steps": [_step_facts(step) for step in region.steps]}


def _step_facts(step: "Step") -> dict[str, Any]:
    return {"does": step.does, "commands": step.commands, "check": step.check, "expect": step.expect}


def _lines(paper: "Paper", commit: str | None) -> Iterator[str]:
    path, text = paper.suspend
    yield f"{paper.fleet}: back to {paper.version} by hand, {paper.why}. Fairlead runs none of this: you do."
    yield ""
    yield "1. Suspend the fleet in Git, or Fairlead deploys beside you when Gate is back. No Git: stop the controllers."
    yield f"   # {path}"
    yield from (f"   {line}" for line in text.splitlines())
    number = 1
    if paper.account is not None:
        number += 1
        yield from _numbered(number, paper.account)
    for region in paper.regions:
        yield ""
        yield f"{region.region}: {region.note}"
        for step in region.steps:
            number += 1
            yield from _numbered(number, step)
    yield ""
    which = f" {commit[:7]}, which set the version," if commit else " that set the version"
    yield f"{number + 1}. When Git is there, revert the commit{which} and merge it: fairlead rollback {paper.fleet}"
    behind = " and ".join(region.region for region in paper.regions if not region.reached)
    if behind:
        yield f"   Keep the suspend file: {behind} cannot be brought back by these lines, for the reason above."
    else:
        yield "   Then remove the suspend file. Fairlead finds the fleet at the version and starts nothing."


def _numbered(number: int, step: "Step") -> Iterator[str]:
    yield f"{number}. {step.does[0].upper()}{step.does[1:]}."
    yield from _indented(step.commands)
    yield from _indented(step.check, "look: ")
    yield from _indented([step.expect] if step.expect else [], "expect: ")


def _indented(lines: Sequence[str], mark: str = "") -> Iterator[str]:
    return (f"   {mark}{line}" for line in lines)
