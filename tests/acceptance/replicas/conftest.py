"""An estate of 500 fleets on a forge, and controllers over one ledger that are killed, stopped and continued."""

import random
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from adapters.clock import SystemClock
from fairlead_sandbox.bulk.fleets import BulkFleets
from fairlead_sandbox.bulk.played_hosts import HostPace
from fairlead_sandbox.bulk.world import BulkSettings, BulkWorld
from fairlead_sandbox.forge import Forge
from fairlead_sandbox.git_server import GitServer

LEASE = 6  # seconds
LONG = 600.0  # seconds in which all of it must have settled
FULL_NAME = "sandbox/estate"


class Hosting:
    """The git server and the forge on one port, as a bulk world wants its repository served."""

    def __init__(self, folder: Path, port: int) -> None:
        self.git = GitServer(folder, port=port)
        self.forge = Forge(self.git, SystemClock())
        self.token = self.forge.identities.add_person("fairlead")

    def create(self, name: str) -> str:
        self.forge.create(FULL_NAME)
        return self.url(name)

    def url(self, name: str) -> str:
        return self.git.url(FULL_NAME)

    def path(self, name: str) -> Path:
        return self.git.path(FULL_NAME)

    def stop(self) -> None:
        self.forge.stop()
        self.git.stop()


class Estate:
    """A bulk world, what its logs say, and the processes that work on it."""

    def __init__(self, world: BulkWorld, hosting: Hosting, start: Any, ledger_url: str) -> None:
        self.world, self.hosting, self.ledger_url = world, hosting, ledger_url
        self._start = start
        self.running: list[Any] = []
        self._born = 0

    def add_controllers(self, number: int = 1) -> None:
        """Processes of their own, with mirrors of their own, on the one ledger."""
        for _ in range(number):
            self._born += 1
            state = {
                "FAIRLEAD_STATE": str(self.world.folder / f"state-{self._born}"),
                "FORGE_TOKEN": self.hosting.token,
            }
            self.running.append(self._start(self.world, **state))

    def end(self) -> None:
        """As an operator ends them; each must end well."""
        for controller in self.running:
            assert 0 == controller.terminate(), controller.said()[-2000:]

    def check_alive(self) -> None:
        """None of them ended by itself."""
        ended = [each for each in self.running if each.exit_code is not None]
        assert [] == [each.log.name for each in ended], self.said()

    def off(self, names: list[str], version: str) -> list[str]:
        """Those of the fleets that run anything else, somewhere."""
        return [name for name in names if set(self.world.versions(name).values()) != {version}]

    def words(self, commit: str) -> dict[str, tuple[str, str]]:
        """What the forge shows on a commit: state and description by context."""
        statuses = self.hosting.forge.repository(FULL_NAME).statuses
        return {each.context: (each.state, each.description) for each in statuses.newest(commit)}

    def open_words(self) -> list[tuple[str, str]]:
        """(commit, context) of everything that is pending on the forge."""
        statuses = self.hosting.forge.repository(FULL_NAME).statuses
        return [
            (commit, each.context)
            for commit in statuses.commits()
            for each in statuses.newest(commit)
            if each.state == "pending"
        ]

    def keys(self) -> Counter[str]:
        """How many executions Gate began for each key."""
        return Counter(str(each.parameters.get("FAIRLEAD_KEY")) for each in self.world.gate.executions.all())

    def said(self) -> str:
        """The end of what each process wrote, for a failure's report."""
        return "\n".join(f"── {each.log.name}\n{each.said()[-1500:]}" for each in self.running)


class Chaos:
    """Kills, stops and continues controllers at random, as long as it is asked for one more act."""

    def __init__(self, estate: Estate, seed: int, wait: Callable[..., Any]) -> None:
        self._estate, self._wait = estate, wait
        self._random = random.Random(seed)
        self._pause = Event()  # never set: waiting on it is what separates one act from the next
        self.acts: Counter[str] = Counter()

    def act(self) -> None:
        """One of them dies and another takes its place, or is stopped, often for longer than a lease; then a moment."""
        chosen = self._random.randrange(len(self._estate.running))
        if self._random.random() < 0.5:
            self._kill(chosen)
        else:
            self._stop(self._estate.running[chosen])
        self._pause.wait(self._random.uniform(0.5, 2 * LEASE))

    def _kill(self, chosen: int) -> None:
        self._estate.running.pop(chosen).kill()
        self._estate.add_controllers()
        born = self._estate.running[-1]
        self._wait(lambda: "controller started" in born.said(), "another one to start", LONG)
        self.acts["killed"] += 1

    def _stop(self, controller: Any) -> None:
        controller.send(signal.SIGSTOP)
        self._pause.wait(self._random.uniform(0.5, 1.5 * LEASE))
        controller.send(signal.SIGCONT)
        self.acts["stopped"] += 1


@pytest.fixture
def make_estate(tmp_path: Path, start: Any) -> Iterator[Callable[..., Estate]]:
    """`make_estate(ledger_url="")`: 250 fleets of each type, in sync; SQLite in its folder unless a URL is given."""
    opened: list[BulkWorld] = []

    def make(ledger_url: str = "") -> Estate:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        hostings: list[Hosting] = []

        def serve(folder: Path) -> Hosting:
            hostings.append(Hosting(folder, port))
            return hostings[-1]

        forge = (
            "[repositories.forge]",
            'type = "github"',
            f'api = "http://127.0.0.1:{port}/api/v3"',
            f'repository = "{FULL_NAME}"',
            'auth = {token = "env:FORGE_TOKEN"}',
            "writes_per_minute = 600",  # an Enterprise Server's own limits are off unless somebody turns them on
            "writes_per_hour = 20000",
        )
        world = BulkWorld(
            tmp_path / "world",
            BulkSettings(
                fleets=BulkFleets(
                    spinnaker=250,
                    trigger=250,
                    trigger_waves="[{hosts: 1}, {hosts: 100%}]",
                    defaults="{on_failure: rollback, heal: repair, adopt: ask, retries: 0}",
                ),
                hosts_each=2,
                instances_each=1,
                ledger=ledger_url,
                controller={"lease": f"{LEASE}s", "sweep_interval": "20s", "workers": "6"},
                repository=forge,
                pace=HostPace(poll=20.0, heartbeat=15.0),
                serve=serve,
            ),
        )
        opened.append(world.__enter__())
        return Estate(world, hostings[0], start, ledger_url)

    yield make
    for world in opened:
        world.__exit__(None, None, None)


@pytest.fixture
def make_chaos(wait_until: Callable[..., Any]) -> Callable[[Estate], Chaos]:
    """`make_chaos(estate)`: harm to its processes, of a fixed seed."""
    return lambda estate: Chaos(estate, 20261126, wait_until)
