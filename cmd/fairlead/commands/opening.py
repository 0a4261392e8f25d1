"""From options to opened things: settings, the ledger, one fleet. Each failure is one sentence that names the fix."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from desired_state.model import FleetName, Sha
from fairlead.exit_codes import ExitCode, Refused
from reconciler.ports import Ledger, Queue
from reconciler.record import CommitStatus, Record

if TYPE_CHECKING:
    from desired_state.mirror import Mirror
    from fairlead.settings import RepositorySettings, Settings
    from reconciler.mending import Told


class Store(Ledger, Queue, Protocol):
    """The ledger with its queue: all that a command reads and asks."""

    def close(self) -> None: ...
    def spoken_on(self, beginning: str) -> Sequence[tuple[str, Sha]]: ...
    def told(self, repository: str, commit: Sha) -> "Sequence[Told]": ...
    def tell_anew(self, repository: str, commit: Sha, words: Iterable[CommitStatus]) -> int: ...


CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="The settings file; left out: $FAIRLEAD_CONFIG or ./fairlead.toml."
)


def settings_of(config: Path | None) -> "Settings":
    """The settings. Refuses what cannot be read, or is wrong."""
    from fairlead.settings import SettingsError, load

    try:
        return load(config)
    except (SettingsError, OSError) as error:
        raise Refused(_one_line(error)) from error


@contextmanager
def opened(settings: "Settings") -> Iterator[Store]:
    """The ledger; an unreachable one is a refusal also while it is used."""
    from sqlalchemy.exc import SQLAlchemyError

    from fairlead import wiring

    try:
        with closing(wiring.ledger(settings)) as store:
            yield store
    except (SQLAlchemyError, OSError) as error:
        raise Refused(
            f"the ledger {_shown(settings)} cannot be used: {_one_line(error)}", ExitCode.UNREACHABLE
        ) from error


def _shown(settings: "Settings") -> str:
    """The ledger's address without what may be a password."""
    scheme, mark, rest = settings.ledger_url.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


@contextmanager
def reaching_git() -> Iterator[None]:
    """A remote that is down or refuses ends the command with a sentence."""
    from desired_state.git_errors import GitError

    try:
        yield
    except GitError as error:
        raise Refused(_one_line(error), ExitCode.UNREACHABLE) from error


def repository_of(settings: "Settings", name: str | None) -> "RepositorySettings":
    """The repository of that name; the only one where none is named."""
    names = [repository.name for repository in settings.repositories]
    if not names:
        raise Refused("no repository is set up: add [[repositories]] with name and url to fairlead.toml")
    if name is None and len(names) > 1:
        raise Refused(f"several repositories are set up: say --repository with one of {', '.join(names)}")
    found = next((each for each in settings.repositories if name in (None, each.name)), None)
    if found is None:
        raise Refused(f"no repository is called {name!r}: there {'are' if len(names) > 1 else 'is'} {', '.join(names)}")
    return found


def mirror_of(settings: "Settings", repository: "RepositorySettings") -> "Mirror":
    """The repository's mirror, not fetched yet."""
    from fairlead import wiring
    from fairlead.settings import SettingsError

    try:
        return wiring.mirror(settings, repository)
    except SettingsError as error:
        raise Refused(_one_line(error)) from error


def fleet_name(text: str) -> FleetName:
    """`ENV/SERVICE`, or a refusal."""
    environment, slash, service = text.partition("/")
    if not (environment and slash and service) or "/" in service:
        raise Refused(f"{text!r} is no fleet: write ENV/SERVICE, such as prod/checkout")
    return text


def record_of(store: Store, text: str) -> Record:
    """Everything the ledger knows of one fleet; refuses a fleet that it does not know, and names near ones."""
    name = fleet_name(text)
    record = store.load(name)
    if record is None:
        raise Refused(unknown(name, [known.name for known in store.fleets()]))
    return record


def unknown(name: str, known: Sequence[str], where: str = "the ledger") -> str:
    """The sentence for a name that is not there, with the names that are like it."""
    if not known:
        return f"{name} is not known: {where} has no fleets yet; start the controller, or run fairlead once"
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    right = f"is it {' or '.join(near)}?" if near else f"{where} has {', '.join(known[:5])}{' ...' * (len(known) > 5)}"
    return f"{name} is not known: {right}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
