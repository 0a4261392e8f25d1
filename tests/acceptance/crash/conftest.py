"""One world, one fleet, and controllers that die or sleep at a boundary of their life (see mortal.py)."""

import json
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MORTAL = str(Path(__file__).with_name("mortal.py"))
SLOW = 60.0  # seconds; a start of unknown fate rests for the lease and 5 s more
FENCED = ("fleets", "intents", "statuses", "events", "chains", "requests")  # tables that a late owner must not touch


class Scene:
    """One world with the processes of one test in it."""

    def __init__(self, world: Any, ledger: Any, fixtures: dict[str, Any], folder: Path, bump: tuple[str, str]) -> None:
        self.world, self.ledger = world, ledger
        self.fleet, self.new = bump
        self._fixtures, self._folder = fixtures, folder

    def controller(self, **environment: str) -> Any:
        return self._fixtures["start"](self.world, **environment)

    def mortal(self, boundary: str, number: str) -> Any:
        """A controller that sends itself a signal at the boundary (see mortal.py)."""
        said = (boundary, number, str(self._marker(boundary)), self.fleet, self.new)
        return self._fixtures["start"](self.world, sys.executable, MORTAL, *said)

    def dies(self, mortal: Any, boundary: str) -> None:
        """Wait for its end, and be sure that it ended there and by that signal."""
        self.wait(lambda: mortal.exit_code is not None, f"the end {boundary}")
        assert (-signal.SIGKILL, True) == (mortal.exit_code, self._marker(boundary).exists())

    def _marker(self, boundary: str) -> Path:
        return self._folder / boundary.replace(" ", "-")

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        return self._fixtures["wait_until"](condition, what, SLOW)

    def at_rest(self) -> None:
        """The first commit is told to be deployed: from here on everything is about the bump."""
        context = f"fairlead/{self.fleet}"
        self._fixtures["wait_for_status"](self.world, self.world.checkout.head, "success", context)

    def told(self, commit: str) -> dict[str, str]:
        """Context to `state description`, as the git server shows it."""
        lines = self._fixtures["statuses"](self.world, commit)
        return {context: f"{line.state} {line.description}" for context, line in lines.items()}

    def finishes(self, controller: Any, commit: str) -> None:
        """Wait until it has nothing left to do for the commit, and end it."""
        self.wait(lambda: "controller started" in controller.said(), "the controller to start")
        self.wait(lambda: self.all_done(commit), f"a final status on {commit[:7]}")
        assert 0 == controller.terminate()

    def all_done(self, commit: str) -> bool:
        """Nothing under way, nothing left to say, and the commit's own word is there."""
        waiting = self.ledger.undelivered("main", 100)
        record = self.ledger.load(self.fleet)
        if waiting or record is None or record.work or not record.memory.status.ready:
            return False
        told = self.told(commit)
        said = {"fairlead/prod", f"fairlead/{self.fleet}"} <= set(told)
        return said and not any(word.startswith("pending") for word in told.values())

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the tables that passes write."""
        with sqlite3.connect(f"file:{self.world.state / 'ledger.db'}?mode=ro", uri=True) as connection:
            return {table: sorted(connection.execute(f"SELECT * FROM {table}")) for table in FENCED}

    def notes(self) -> str:
        """The commit that the server's notes are at."""
        return str(self.world.checkout.git("ls-remote", "origin", "refs/notes/fairlead"))

    def lost(self, controller: Any, family: str) -> list[dict[str, Any]]:
        """The lines of its log that say that a pass of this family lost its lease."""
        whole = controller.said().rpartition("\n")[0]  # the last line may be half written
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        ours = [line for line in lines if line.get("family") == family]
        return [line for line in ours if line["event"] == "lease lost" or line.get("lease_kept") is False]

    def assert_nothing_is_open(self) -> None:
        assert [] == list(self.ledger.statuses("main", open_only=True))
        assert [] == list(self.ledger.work_in_flight())
        assert None is self.ledger.verify_history(self.fleet)


@pytest.fixture
def make_scene(
    start: Any, wait_until: Any, wait_for_status: Any, statuses: Any, ledger_of: Any, tmp_path: Path
) -> Callable[[Any, str, str], Scene]:
    """`make_scene(world, fleet, new)`: the world in which the fleet is bumped to the version `new`."""
    fixtures = {"start": start, "wait_until": wait_until, "wait_for_status": wait_for_status, "statuses": statuses}

    def make(world: Any, fleet: str, new: str) -> Scene:
        return Scene(world, ledger_of(world), fixtures, tmp_path, (fleet, new))

    return make
