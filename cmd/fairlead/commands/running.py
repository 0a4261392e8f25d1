"""The two ways to let Fairlead work: until it is told to end, or once over everything that is due."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from fairlead.commands.opening import CONFIG, settings_of
from fairlead.exit_codes import ExitCode, Refused

OBSERVE_ONLY = typer.Option(False, "--observe-only", help="Report what would be done; never act.")


def controller(config: Path | None = CONFIG, observe_only: bool = OBSERVE_ONLY) -> None:
    """Watch the repositories and keep the fleets at them, until ended (SIGTERM or Ctrl-C)."""
    from fairlead.controller import run

    settings = settings_of(config)
    with usable():
        raise typer.Exit(run(settings, observe_only=observe_only))


def once(config: Path | None = CONFIG, observe_only: bool = OBSERVE_ONLY) -> None:
    """Do everything that is due now and end. Exits 1 where a fleet is not at its wished state."""
    from fairlead.controller import once as run_once

    settings = settings_of(config)
    with usable():
        raise typer.Exit(run_once(settings, observe_only=observe_only))


@contextmanager
def usable() -> Iterator[None]:
    """Settings that turn out wrong when they are used, and a ledger that cannot be opened, are refusals."""
    from sqlalchemy.exc import SQLAlchemyError

    from fairlead.settings import SettingsError

    try:
        yield
    except SettingsError as error:
        raise Refused(str(error)) from error
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise Refused(f"{error}; check `state` and `ledger` in the settings", ExitCode.UNREACHABLE) from error
    except SQLAlchemyError as error:
        raise Refused(f"the ledger cannot be used: {' '.join(str(error).split())}", ExitCode.UNREACHABLE) from error


COMMANDS = (controller, once)
