"""promote: the version that runs soundly in one environment is told to another, with its pins."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from desired_state.model import FleetName, Sha, Version
from fairlead.commands.changes import OUTPUT, bumped
from fairlead.commands.desk import MESSAGE, PULL_REQUEST, REPOSITORY, Desk, check_declared, desk, note
from fairlead.commands.hearing import Hearing
from fairlead.commands.opening import CONFIG, fleet_name
from fairlead.commands.outcomes import TIMEOUT, WAIT, conclude, waiting
from fairlead.commands.past import Past
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, seen
from reconciler.ports import Unreadable
from reconciler.record import Record, State
from reconciler.rollup import fleets_in

if TYPE_CHECKING:
    from desired_state.edits import Edit
    from desired_state.formats import FleetFile
    from fairlead.wiring.writing_back import Words

SERVICES = typer.Argument(..., metavar="SERVICE...", help="The services, by their fleets' short names.")
FROM = typer.Option(..., "--from", metavar="ENV", help="Where the version runs.")
INTO = typer.Option(..., "--to", metavar="ENV", help="Where it shall run.")
DOWNGRADE = typer.Option(False, "--allow-downgrade", help="Promote a version that is older than what is there.")
VERSION = typer.Option(
    None, "--version", metavar="VERSION", help="The version that is expected to run there; any other is refused."
)
FRESH = timedelta(minutes=10)  # how long ago a fleet may have been looked at
WHENCE = "Fairlead-From"  # the trailer that says which fleet a version comes from, and the commit that set it there


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What one fleet says about its versions, and at which commit."""

    fleet: FleetName
    file: "FleetFile"
    commit: Sha

    def version(self, package: str | None) -> Version | None:
        """Of a package; of all of them where none is named and they are at one."""
        if package is not None and not self.file.version:
            return self.file.versions.get(package)
        versions = {self.file.version} if self.file.version else set(self.file.versions.values())
        return versions.pop() if len(versions) == 1 else None

    @property
    def shown(self) -> str:
        """As people say it."""
        return self.file.version or ", ".join(f"{name} {version}" for name, version in self.file.versions.items())


def promote(  # noqa: PLR0917  typer calls it by name
    services: list[str] = SERVICES,
    from_: str = FROM,
    to: str = INTO,
    version: str | None = VERSION,
    allow_downgrade: bool = DOWNGRADE,
    message: str = MESSAGE,
    pull_request: bool | None = PULL_REQUEST,
    wait: bool = WAIT,
    timeout: str = TIMEOUT,
    repository: str | None = REPOSITORY,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Tell an environment to run what runs soundly in an earlier one; by one commit or pull request."""
    within = waiting(wait, timeout)
    pairs = {fleet_name(f"{from_}/{each}"): fleet_name(f"{to}/{each}") for each in dict.fromkeys(services)}
    with desk(config, repository) as found:
        check_declared(found.tree(), [*pairs, *pairs.values()])
        _check_order(found, from_, to)
        sources = _sources(found, list(pairs))
        _check_expected(sources, version)
        edits = {pairs[source.fleet]: _edits(found, source, pairs[source.fleet]) for source in sources}
        if not allow_downgrade:
            for fleet, several in edits.items():
                _check_newer(found, fleet, several)
        whence = [(WHENCE, f"{source.fleet} {source.shown} {source.commit}") for source in sources]
        order = bumped(found, "promote", edits, note("promote", message, *whence), "")
        conclude(found, found.carry(order, pull_request), output, within)


def _check_order(found: Desk, earlier: str, later: str) -> None:
    order = found.parser.order(found.tree())
    if earlier in order and later in order and order.index(earlier) >= order.index(later):
        raise Refused(
            f"{later} does not come after {earlier} in fairlead.yaml ({', '.join(order)}): promote goes forward; "
            "fairlead bump sets any version"
        )


def _check_expected(sources: Sequence[Source], version: Version | None) -> None:
    """What runs there may be another one by now, which nobody who runs the command again has in mind."""
    for source in sources:
        if version is not None and source.version(None) != version:
            raise Refused(f"{source.fleet} runs {source.shown}, and {version} is expected", ExitCode.FOUND)


def _sources(found: Desk, fleets: Sequence[FleetName]) -> list[Source]:
    """What runs soundly: by the ledger; without one by what the forge shows."""
    records = _records(found, fleets)
    if records is None:
        return [_declared(found, fleet, commit) for fleet, commit in _shown(found, fleets).items()]
    return [_declared(found, fleet, _sound(found, record, fleet)) for fleet, record in records.items()]


def _shown(found: Desk, fleets: Sequence[FleetName]) -> Mapping[FleetName, Sha]:
    """The commits that set them, where the forge shows success on each. Refuses what is not known to be well."""
    past = Past(found.mirror, found.parser, found.head, found.folder)
    hearing, shown = Hearing(found, _words(found)), {fleet: past.setting(fleet) for fleet in fleets}
    for fleet, commit in shown.items():
        try:
            said = hearing.said(commit)
        except Unreadable as trouble:
            raise Refused(f"what {commit[:7]} was told cannot be read: {trouble}", ExitCode.UNREACHABLE) from trouble
        rolled = said.get(f"fairlead/{fleet.partition('/')[0]}")
        word = said.get(f"fairlead/{fleet}") or (rolled if rolled and fleets_in(rolled.description) else None)
        if word is None:
            raise Refused(
                f"no ledger is at hand, and nothing is said about {fleet} on {commit[:7]}, so whether it runs soundly "
                "is not known: wait for it, or set the version with fairlead bump",
                ExitCode.FOUND,
            )
        if word.state is not State.SUCCESS:
            raise Refused(
                f"{fleet} does not run soundly what {commit[:7]} set ({word.state}: {word.description})", ExitCode.FOUND
            )
    return shown


def _words(found: Desk) -> "Words":
    """What the forge shows."""
    from fairlead import wiring
    from fairlead.settings import SettingsError
    from fairlead.wiring import writing_back

    try:
        return writing_back.words_at_forge(found.settings, found.repository, found.mirror, wiring.clock())
    except SettingsError as error:
        raise Refused(str(error)) from error


def _records(found: Desk, fleets: Sequence[FleetName]) -> Mapping[FleetName, Record | None] | None:
    """What the ledger knows of the fleets; None where there is no ledger, or it knows nothing at all."""
    from sqlalchemy.exc import SQLAlchemyError

    from fairlead import wiring
    from fairlead.wiring import writing_back

    try:
        store = writing_back.ledger_at_hand(found.settings, wiring.clock())
        if store is None:
            return None
        with closing(store):
            records = {fleet: store.load(fleet) for fleet in fleets}
            return records if any(records.values()) or store.fleets() else None
    except (SQLAlchemyError, OSError) as error:
        raise Refused(
            "the ledger cannot be read, so what runs soundly is not known: try again when it is back, "
            "or set the version with fairlead bump",
            ExitCode.UNREACHABLE,
        ) from error


def _sound(found: Desk, record: Record | None, fleet: FleetName) -> Sha:
    """The commit that set what the fleet runs. Refuses a fleet that does not run it soundly."""
    if record is None or not record.present or record.setting is None:
        raise Refused(f"{fleet} was never seen by the controller: wait for it, or set the version with fairlead bump")
    if record.repository != found.repository.name:
        raise Refused(f"{fleet} comes from repository {record.repository}: say --repository {record.repository}")
    status = record.memory.status
    if not status.ready or status.diverted:
        raise Refused(
            f"{fleet} does not run {status.version or 'its version'} soundly ({status.reason}: {status.message}): "
            f"fairlead why {fleet} says more",
            ExitCode.FOUND,
        )
    _check_fresh(found, record)
    return status.setting_commit or record.setting.commit


def _check_fresh(found: Desk, record: Record) -> None:
    """A ledger that nobody keeps tells of a fleet as it was."""
    from fairlead import wiring

    now, span = wiring.clock().now(), max(FRESH, 3 * found.settings.inventory_interval)
    newest = max((each.read_at for each in record.snapshots.values()), default=None)
    if newest is None or now - newest > span:
        when = f"last looked at {newest:%Y-%m-%d %H:%M:%S} UTC" if newest else "never looked at"
        raise Refused(
            f"{record.name} was {when}, so whether it still runs soundly is not known: is the controller running?",
            ExitCode.FOUND,
        )


def _declared(found: Desk, fleet: FleetName, commit: Sha) -> Source:
    file = found.parser.fleet_file(found.tree(found.mirror.revision(commit).sha), fleet)
    if file is None:
        raise Refused(f"the file of {fleet} cannot be read at {commit[:7]}: fairlead validate shows what is wrong")
    source = Source(fleet=fleet, file=file, commit=commit)
    now = found.parser.fleet_file(found.tree(), fleet)
    if now is not None and (now.version, now.versions) != (file.version, file.versions):
        typer.echo(
            seen(f"{fleet} declares something newer that does not run yet: {source.shown} is promoted"), err=True
        )
    return source


def _edits(found: Desk, source: Source, fleet: FleetName) -> "tuple[Edit, ...]":
    """What the fleet's file shall say, package by package. Refuses files that do not name the same packages."""
    from desired_state.edits import Edit

    target = _target(found, fleet)
    if target.version:
        version = source.version(None)
        if version is None:
            raise Refused(f"{fleet} has one version for all, and {source.fleet} {source.shown}: write versions there")
        return (Edit(version=version, sha256=source.file.sha256 or None),)
    unknown = sorted(set(source.file.versions) - set(target.versions))
    lacking = sorted(name for name in target.versions if source.version(name) is None)
    if unknown or lacking:
        name, has, not_ = (unknown[0], source.fleet, fleet) if unknown else (lacking[0], fleet, source.fleet)
        raise Refused(f"{has} has a version of {name}, and {not_} has none: write it there first")
    pins = source.file.sha256
    return tuple(
        Edit(
            version=str(source.version(name)),
            package=name,
            sha256={name: pins[name]} if name in pins else None,
        )
        for name in target.versions
    )


def _target(found: Desk, fleet: FleetName) -> "FleetFile":
    target = found.parser.fleet_file(found.tree(), fleet)
    if target is None:
        raise Refused(f"the file of {fleet} cannot be read: fairlead validate shows what is wrong with it")
    return target


def _check_newer(found: Desk, fleet: FleetName, edits: "Sequence[Edit]") -> None:
    from desired_state.version_order import order

    target = _target(found, fleet)
    for edit in edits:
        present = target.version or target.versions[edit.package or ""]
        if order(edit.version, present) == -1:
            raise Refused(
                f"{fleet} is told {present} and {edit.version} is older: --allow-downgrade promotes it all the same"
            )


COMMANDS = (promote,)
