"""Estates that rows share: made once a run, with what making them cost. Who changes one works on a copy."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from adapters.clock import SystemClock
from adapters.ledger.store import Store, open_ledger
from fairlead.controller import Controller
from fairlead.settings import RepositorySettings, Settings
from fairlead_sandbox.git_server import GitServer
from tests.benchmarks.counting import cost
from tests.benchmarks.estate import Estate, Pusher
from tests.benchmarks.settled import settle

REPOSITORY = "main"
LEASE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A settled estate: its repository behind a git server, its ledger, and a controller on both that has begun."""

    estate: Estate
    git: GitServer
    pusher: Pusher
    ledger: Store
    controller: Controller

    def read(self) -> None:
        """One run of the repository's feed, as the controller does it."""
        self.ledger.add([f"repository:{REPOSITORY}"])
        self.controller.loop.drain(("repository",))

    def sweep(self) -> None:
        """One sweep, as the controller does it."""
        self.ledger.add(["sweep:all"])
        self.controller.loop.drain(("sweep",))

    def due(self) -> int:
        """How many fleets are due now. They are done with: nothing is left due."""
        return finish_due(self.ledger)


def finish_due(ledger: Store) -> int:
    """Take every fleet that is due off the queue; gives how many there were."""
    found = ledger.claim("fleet", 1_000_000, LEASE)
    for each in found:
        ledger.finish(each)
    return len(found)


def costs(folder: Path, fleets: int) -> Mapping[str, float]:
    """What making the settled estate cost: seconds of processor for `first read` and `first passes`."""
    made: Mapping[str, float] = json.loads((_made(folder, fleets, at_rest=True) / "costs.json").read_text())
    return made


@contextmanager
def prepared(folder: Path, fleets: int, *, at_rest: bool) -> Iterator[Prepared]:
    """A copy of the estate, in use. Not at rest: its repository has been read, and nothing is known of what runs."""
    copy = folder / "copies" / str(fleets)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(_made(folder, fleets, at_rest=at_rest), copy)
    with _opened(copy, fleets) as found:
        found.read()
        found.due()
        yield found


@contextmanager
def _opened(folder: Path, fleets: int) -> Iterator[Prepared]:
    with GitServer(folder / "git") as git:
        repository = RepositorySettings(name=REPOSITORY, url=git.url(REPOSITORY))
        settings = Settings(state=folder / "state", repositories=(repository,))
        ledger = open_ledger(settings.ledger_url, SystemClock())
        controller = Controller(settings)
        yield Prepared(
            estate=Estate(fleets=fleets),
            git=git,
            pusher=Pusher(git.path(REPOSITORY)),
            ledger=ledger,
            controller=controller,
        )
        controller._parts.close()
        ledger.close()


def _made(folder: Path, fleets: int, *, at_rest: bool) -> Path:
    place = folder / "estates" / f"{fleets}-{'at-rest' if at_rest else 'read'}"
    if not (place / "costs.json").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        (place / "costs.json").write_text(json.dumps(_make(place, fleets, at_rest=at_rest)))
    return place


def _make(place: Path, fleets: int, *, at_rest: bool) -> Mapping[str, float]:
    with _opened(place, fleets) as found:
        found.git.create(REPOSITORY)
        found.pusher.push(dict(found.estate.files()), "Say what runs where")
        with cost() as reading:
            found.read()
        with cost() as passing:
            if at_rest:
                settle(found.ledger, SystemClock())
        return {"first read": reading.cpu, "first passes": passing.cpu}
