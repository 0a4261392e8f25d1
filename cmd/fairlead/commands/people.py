"""What a person says beside Git: adopt, approve, retry. They change no desired state; the next pass heeds them."""

import getpass
from collections.abc import Sequence
from pathlib import Path

import typer

from desired_state.model import FleetName
from fairlead.commands.opening import CONFIG, Store, opened, record_of, settings_of, unknown
from fairlead.exit_codes import Refused
from fairlead.rendering import Output, json_document, say
from reconciler.record import Ask

FLEETS = typer.Argument(..., metavar="ENV/SERVICE...", help="The fleets.")
SCOPES = typer.Argument(
    ..., metavar="ENV[/SERVICE]...", help="The fleets; an environment stands for all of its fleets."
)
OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")


def adopt(fleets: list[str] = SCOPES, config: Path | None = CONFIG, output: Output = OUTPUT) -> None:
    """Let Fairlead act on fleets that it saw drifting at first sight; what runs is kept as last good."""
    _ask(Ask.ADOPT, fleets, config, output)


def approve(fleets: list[str] = FLEETS, config: Path | None = CONFIG, output: Output = OUTPUT) -> None:
    """Approve a change of identity (account, region, selector, deploy type) or a rewritten history."""
    _ask(Ask.APPROVE, fleets, config, output)


def retry(fleets: list[str] = FLEETS, config: Path | None = CONFIG, output: Output = OUTPUT) -> None:
    """Lift a quarantine, or try again what stalled."""
    _ask(Ask.RETRY, fleets, config, output)


def _ask(ask: Ask, fleets: Sequence[str], config: Path | None, output: Output) -> None:
    """All fleets or none: a name that is not known asks for nothing."""
    from fairlead import wiring

    settings = settings_of(config)
    with opened(settings) as store:
        names = list(dict.fromkeys(name for fleet in fleets for name in _meant(store, ask, fleet)))
        for name in names:
            store.request(name, ask, getpass.getuser(), wiring.clock().now())
        store.add([f"fleet:{name}" for name in names])
    if output is Output.JSON:
        json_document({"ask": ask, "fleets": names})
        return
    if not names:
        say("every fleet of it is adopted already")
    for name in names:
        say(f"{name}: asked to {ask}; the next pass acts on it (fairlead status {name})")


def _meant(store: Store, ask: Ask, text: str) -> list[FleetName]:
    """A fleet; to adopt also an environment: its fleets that are managed and not adopted yet."""
    if ask is not Ask.ADOPT or "/" in text:
        return [record_of(store, text).name]
    known = [record for record in store.fleets() if record.present]
    found = [record for record in known if record.name.partition("/")[0] == text]
    if not found:
        raise Refused(unknown(text, sorted({record.name.partition("/")[0] for record in known})))
    return sorted(record.name for record in found if not record.memory.adopted)


COMMANDS = (adopt, approve, retry)
