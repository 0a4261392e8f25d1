"""suspend and resume: fleets, or whole environments, that are left alone for a while; by a file in Git."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fairlead.commands.changes import OUTPUT
from fairlead.commands.desk import (
    MESSAGE,
    PULL_REQUEST,
    REPOSITORY,
    Desk,
    Order,
    check_declared,
    check_text,
    desk,
    note,
)
from fairlead.commands.opening import CONFIG, unknown
from fairlead.commands.outcomes import TIMEOUT, WAIT, conclude, waiting
from fairlead.exit_codes import Refused
from fairlead.rendering import Output, seen

if TYPE_CHECKING:
    from desired_state.landing import Check
    from desired_state.model import Sha

SCOPES = typer.Argument(..., metavar="ENV[/SERVICE]...", help="Fleets, or environments with all of their fleets.")
REASON = typer.Option(..., "--reason", metavar="TEXT", help="Why, for people to read.")
UNTIL = typer.Option(
    None, "--until", metavar="TIME", help="When it ends: 2026-12-01T08:00:00Z, or from now, as 2h; left out: by resume."
)
REGIONS = typer.Option(None, "--region", metavar="REGION", help="Only this region; may be repeated.")
SLACK = 300  # seconds: the same wish again, a little later, is no other one


def suspend(  # noqa: PLR0917  typer calls it by name
    scopes: list[str] = SCOPES,
    reason: str = REASON,
    until: str | None = UNTIL,
    region: list[str] | None = REGIONS,
    message: str = MESSAGE,
    pull_request: bool | None = PULL_REQUEST,
    wait: bool = WAIT,
    timeout: str = TIMEOUT,
    repository: str | None = REPOSITORY,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Leave fleets, or whole environments, alone: they are still looked at. By one commit or pull request."""
    from desired_state.model import Suspension
    from desired_state.writing import suspending
    from fairlead import wiring

    within, said, names = waiting(wait, timeout), note("suspend", message), tuple(dict.fromkeys(scopes))
    end, slack = _end(until, wiring.clock().now()) if until else (None, 0)
    wished = Suspension(reason=_line(reason), until=end, regions=tuple(dict.fromkeys(region or ())))
    with desk(config, repository) as found:
        _check_scopes(found, names)
        order = Order(
            command="suspend",
            sets=False,
            scopes=names,
            wish=lambda some: suspending(found.mirror, some, wished, note=said, folder=found.folder, slack=slack),
            check=_no_new_errors(found),
        )
        conclude(found, found.carry(order, pull_request), output, within)


def resume(  # noqa: PLR0917  typer calls it by name
    scopes: list[str] = SCOPES,
    message: str = MESSAGE,
    pull_request: bool | None = PULL_REQUEST,
    wait: bool = WAIT,
    timeout: str = TIMEOUT,
    repository: str | None = REPOSITORY,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Act again on what was suspended. By one commit or pull request."""
    from desired_state.writing import resuming

    within, said, names = waiting(wait, timeout), note("resume", message), tuple(dict.fromkeys(scopes))
    with desk(config, repository) as found:
        _check_scopes(found, names)
        order = Order(
            command="resume",
            sets=False,
            scopes=names,
            wish=lambda some: resuming(found.mirror, some, note=said, folder=found.folder),
        )
        done = found.carry(order, pull_request)
        for sentence in _still(found, names):
            typer.echo(seen(sentence), err=True)
        conclude(found, done, output, within)


def _end(until: str, now: datetime) -> tuple[datetime, int]:
    """When it ends, in whole seconds, and how much earlier an end may be that means the same. Refuses the past."""
    from desired_state.durations import parse_duration
    from desired_state.words import parse_moment

    try:
        span = parse_duration(until)
    except ValueError:
        span = None
    if span is not None:
        if not span:
            raise Refused(f"--until {until}: that is over at once; fairlead resume ends a suspension")
        return now.replace(microsecond=0) + span, SLACK
    try:
        end = parse_moment(until).replace(microsecond=0) if "T" in until.upper() else None
    except ValueError:
        end = None
    if end is None:
        raise Refused(
            f"--until {until}: write a time with its zone, such as 2026-12-01T08:00:00Z, or how long, such as 90m or 2h"
        )
    if end <= now + timedelta(0):
        raise Refused(f"--until {until}: that is past")
    return end, 0


def _line(reason: str) -> str:
    """Refuses what a suspend file cannot hold."""
    from pydantic import ValidationError

    from desired_state.formats import SuspendFile

    check_text("--reason", reason)
    try:
        return SuspendFile(reason=reason).reason
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Refused(f"--reason: {said}") from error


def _check_scopes(found: Desk, scopes: Sequence[str]) -> None:
    """Refuses environments and fleets that are not there, and names those that are like them."""
    tree = found.tree()
    order = found.parser.order(tree)
    for scope in scopes:
        if "/" in scope:
            check_declared(tree, [scope])
        elif scope not in order:
            raise Refused(unknown(scope, order, "the repository"))


def _no_new_errors(found: Desk) -> "Check":
    """A region that is misspelt, or a fleet that cannot leave one out, is refused before it is pushed."""

    def check(old: "Sha", new: "Sha") -> None:
        known = {str(problem) for problem in found.parser.parse(found.tree(old)).errors}
        more = [str(problem) for problem in found.parser.parse(found.tree(new)).errors]
        wrong = [problem for problem in more if problem not in known]
        if wrong:
            raise Refused("; ".join(wrong[:2]))

    return check


def _still(found: Desk, scopes: Sequence[str]) -> list[str]:
    """The fleets that stay suspended with their environment."""
    from desired_state.writing import suspension_path

    entries = found.mirror.tree(found.head.sha).entries()
    whole = {scope: scope.partition("/")[0] for scope in scopes if "/" in scope}
    return [
        f"{scope} stays suspended with all of {environment}: fairlead resume {environment} ends that"
        for scope, environment in whole.items()
        if environment not in scopes and suspension_path(environment, found.folder) in entries
    ]


COMMANDS = (suspend, resume)
