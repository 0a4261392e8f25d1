"""The pipelines that Fairlead writes: they are there, as the service files say, and nobody edited them in Spinnaker."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from adapters.doctor.findings import About, Finding
from adapters.pipelines.building import Wanted
from adapters.pipelines.comparing import Change, State, Wishes, compare

APPLY = "run `fairlead spinnaker pipelines apply`"


def check_written(
    wanted: Sequence[Wanted], application: str, configs: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    """What is not as it was written, of one application of one Gate; nothing where all is well."""
    asked = [each for each in wanted if each.application == application]
    found = {(each.gate, application): configs for each in asked}
    yield from _findings(compare(asked, found, Wishes()))


def _findings(changes: Iterable[Change]) -> Iterator[Finding]:
    for change in changes:
        about = About(check="gate", name=f"{change.wanted.application}/{change.wanted.name}")
        seen, _, fix = change.message.rpartition("; ")
        if change.state is State.CREATE:
            yield about.trouble(f"{change.wanted.fleet} asks for it, and it is not there yet", APPLY)
        elif change.state is State.CHANGE:
            yield about.warning(f"{change.message}{_places(change)}", APPLY)
        elif change.state is State.EDITED:
            yield about.warning(f"{seen}{_places(change)}", f"{fix}: `fairlead spinnaker pipelines plan`")
        elif change.state is not State.UNCHANGED:
            yield about.trouble(seen, fix)


def _places(change: Change) -> str:
    number = len(change.differences.lines)
    return f", in {number} place{'s' if number != 1 else ''}"
