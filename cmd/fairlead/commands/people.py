"""What a person says beside Git: adopt, approve, retry. They change no desired state; the next pass heeds them."""

import getpass
from collections.abc import Sequence
from pathlib import Path

import typer

from fairlead.commands.opening import CONFIG, opened, record_of, settings_of
from fairlead.rendering import Output, json_document, say
from reconciler.record import Ask

FLEETS = typer.Argument(..., metavar="ENV/SERVICE...", help="The fleets.")
OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")


def adopt(fleets: list[str] = FLEETS, config: Path | None = CONFIG, output: Output = OUTPUT) -> None:
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
        names = list(dict.fromkeys(record_of(store, fleet).name for fleet in fleets))
        for name in names:
            store.request(name, ask, getpass.getuser(), wiring.clock().now())
        store.add([f"fleet:{name}" for name in names])
    if output is Output.JSON:
        json_document({"ask": ask, "fleets": names})
        return
    for name in names:
        say(f"{name}: asked to {ask}; the next pass acts on it (fairlead status {name})")


COMMANDS = (adopt, approve, retry)
