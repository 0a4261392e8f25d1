"""What Spinnaker has against what the service files ask for. Pure: it decides what may be written, and says why not."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from adapters.pipelines.building import Wanted
from adapters.pipelines.contents import Config, Mark, content_of, copied_from, digest_of, last_edit, mark_of, trouble_in
from adapters.pipelines.differences import Differences, aligned, differences
from desired_state.model import FleetName

NONE = Differences()
NAME_AT_MOST = 100  # characters of somebody's name in a message


class State(StrEnum):
    """How a pipeline of Spinnaker's stands to the one that is wanted."""

    CREATE = "create"  # there is none of that name
    CHANGE = "change"  # ours, and the service file says something else now
    UNCHANGED = "unchanged"
    EDITED = "edited"  # ours, and edited in Spinnaker since it was written
    ADOPT = "adopt"  # somebody's, and a person said to take it over
    FOREIGN = "foreign"  # somebody's, and nobody said to take it over
    REFUSED = "refused"  # cannot be written, whatever a person says


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One wanted pipeline beside what is there. `written`: a save would be made."""

    wanted: Wanted
    state: State
    message: str
    written: bool
    differences: Differences = NONE
    found: Config | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person allows beyond writing what is ours and unedited."""

    adopt: bool = False
    overwrite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A pipeline that says it is ours, and that no fleet asks for. A copy is whoever's made it: it is only named."""

    application: str
    name: str
    fleet: FleetName
    copy: bool = False


def compare(
    wanted: Sequence[Wanted], found: Mapping[tuple[str, str], Sequence[Config]], wishes: Wishes
) -> list[Change]:
    """Each wanted pipeline against the configurations that its (Gate, application) has."""
    times = Counter(_key(each) for each in wanted)
    return [
        _twice(each, wanted)
        if times[_key(each)] > 1
        else change_of(each, found.get((each.gate, each.application), ()), wishes)
        for each in wanted
    ]


def change_of(wanted: Wanted, configs: Iterable[Config], wishes: Wishes) -> Change:
    """One wanted pipeline against the configurations of its application, where names differ by more than case."""
    configs = list(configs)
    named = [each for each in configs if _name(each.get("name")) == _name(wanted.name)]
    named = named or [each for each in configs if each.get("id") == wanted.id]  # one of ours that was renamed
    if not named:
        said = "there is none of that name"
        return Change(wanted=wanted, state=State.CREATE, message=said, written=True, differences=_all_of(wanted))
    if len(named) > 1:
        said = f"the application has {len(named)} pipelines of that name; delete all but one in Spinnaker"
        return Change(wanted=wanted, state=State.REFUSED, message=said, written=False)
    if trouble := trouble_in(named[0]):
        said = f"the pipeline of that name {trouble}; rename it in Spinnaker, or write another name"
        return Change(wanted=wanted, state=State.REFUSED, message=said, written=False)
    return _against(wanted, named[0], wishes)


def leftovers(
    wanted: Collection[Wanted],
    found: Mapping[tuple[str, str], Sequence[Config]],
    broken: Collection[FleetName],
    repository: str,
) -> Iterator[Leftover]:
    """What says it is this repository's and is not wanted. A fleet whose file cannot be read may want anything."""
    asked, ids = {_key(each) for each in wanted}, {each.id for each in wanted}
    for (gate, application), configs in sorted(found.items()):
        for config in configs:
            copied, name = copied_from(config), str(config.get("name"))
            mark = mark_of(config) or copied
            wished = (gate, application, _name(name)) in asked or str(config.get("id")) in ids
            if mark is not None and mark.repository == repository and mark.fleet not in broken and not wished:
                yield Leftover(
                    application=application, name=name[:NAME_AT_MOST], fleet=mark.fleet, copy=copied is not None
                )


def edited(config: Config) -> bool:
    """Whether a configuration of ours was edited since it was written."""
    mark = mark_of(config)
    return mark is not None and mark.digest != digest_of(config)


def _against(wanted: Wanted, config: Config, wishes: Wishes) -> Change:
    state, message, written = _judged(wanted, config, wishes)
    old, new = content_of(config), content_of(wanted.content)
    if mark_of(config) is None:
        old, new = aligned(old), aligned(new)
    lines = NONE if state is State.UNCHANGED else differences(old, new)
    return Change(wanted=wanted, state=state, message=message, written=written, differences=lines, found=config)


def _all_of(wanted: Wanted) -> Differences:
    """A line a part: a new pipeline differs everywhere."""
    parameters = f"+ parameters: {', '.join(each['name'] for each in wanted.content['parameterConfig'])}"
    stages = (f"+ stages[{each['refId']}]: {each['type']}" for each in wanted.content["stages"])
    return Differences(others=(parameters, *stages))


def _judged(wanted: Wanted, config: Config, wishes: Wishes) -> tuple[State, str, bool]:
    mark = mark_of(config)
    if wanted.is_in(config):
        return State.UNCHANGED, "it is as the service file says", False
    if mark is None:
        return _somebodys(wanted, config, wishes)
    if not wanted.owns(mark):
        return State.REFUSED, _anothers(wanted, mark), False
    if edited(config) and content_of(config) != content_of(wanted.content):
        said = f"edited in Spinnaker {last_edit(config)}"
        fix = (
            "what was edited is lost" if wishes.overwrite else "take the edit into the service file, or --overwrite it"
        )
        return State.EDITED, f"{said}; {fix}", wishes.overwrite
    return State.CHANGE, "the service file says something else now", True


def _anothers(wanted: Wanted, mark: Mark) -> str:
    said = f"it is the {mark.purpose} pipeline of {mark.fleet}"
    if wanted.repository in {"", mark.repository}:
        return f"{said}; write another name, or delete it in Spinnaker"
    return f"{said} in {mark.repository}; write another name, or say that --repository where it is this one"


def _somebodys(wanted: Wanted, config: Config, wishes: Wishes) -> tuple[State, str, bool]:
    edit = last_edit(config)
    if _name(config.get("name")) != _name(wanted.name):
        said = f"somebody made the pipeline {config.get('name')!r:.100} of it ({edit})"
        return State.REFUSED, f"{said}; rename that back, or write another name", False
    copied = copied_from(config)
    what = f"it is a copy of the {copied.purpose} pipeline of {copied.fleet}" if copied else "Fairlead did not write it"
    said = f"{what} (last edited {edit})"
    if wishes.adopt:
        return State.ADOPT, f"{said}; what it holds is replaced by the lines below", True
    return State.FOREIGN, f"{said}; take it over with --adopt, or write another name", False


def _twice(wanted: Wanted, all_wanted: Iterable[Wanted]) -> Change:
    fleets = sorted({each.fleet for each in all_wanted if _key(each) == _key(wanted)})
    said = f"{' and '.join(fleets)} ask for a pipeline of this name; put {{environment}} into it"
    return Change(wanted=wanted, state=State.REFUSED, message=said, written=False)


def _key(wanted: Wanted) -> tuple[str, str, str]:
    return wanted.gate, wanted.application, _name(wanted.name)


def _name(name: Any) -> str:
    """Front50 tells names apart without regard to case and to spaces around them."""
    return name.strip().casefold() if isinstance(name, str) else ""
