"""An estate of 500 fleets on a forge, and controllers over one ledger that are killed, stopped and continued."""

import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from adapters.agent_protocol.reports import WorkState
from adapters.clock import SystemClock
from adapters.ledger.store import open_ledger
from fairlead_sandbox.bulk.fleets import BulkFleets
from fairlead_sandbox.bulk.played_hosts import HostPace
from fairlead_sandbox.bulk.world import REPOSITORY, BulkSettings, BulkWorld
from fairlead_sandbox.forge import Forge
from fairlead_sandbox.gate import GateSettings
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

    def written(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """The forge's log: every state and description that was written, oldest first, by commit and context."""
        statuses = self.hosting.forge.repository(FULL_NAME).statuses
        found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for commit in statuses.commits():
            for each in reversed(statuses.all(commit)):
                found.setdefault((commit, each.context), []).append((each.state, each.description))
        return found

    def open_words(self) -> list[tuple[str, str]]:
        """(commit, context) of everything that is pending on the forge."""
        return [place for place, words in self.written().items() if words[-1][0] == "pending"]

    def truths(self) -> dict[tuple[str, str], tuple[str, str]]:
        """What the ledger would have the forge show: state and description by commit and context."""
        ledger = open_ledger(self.ledger_url or f"sqlite:///{self.world.state / 'ledger.db'}", SystemClock())
        with closing(ledger):
            said = ledger.statuses(REPOSITORY)
        return {(each.commit, each.context): (each.state.value, each.description) for each in said}

    @property
    def in_flight(self) -> int:
        """Executions that run at Gate, and hosts that are at work on an order."""
        hosts = [member for host in list(self.world.hosts.hosts.values()) for member in host.members.values()]
        at_work = [each for each in hosts if each.work is not None and each.work.state is WorkState.WORKING]
        return len(self.world.gate.executions.in_flight()) + len(at_work)

    def keys(self) -> Counter[str]:
        """How many executions Gate began for each key."""
        return Counter(str(each.parameters.get("FAIRLEAD_KEY")) for each in self.world.gate.executions.all())

    def said(self) -> str:
        """The end of what each process wrote, for a failure's report."""
        return "\n".join(f"── {each.log.name}\n{each.said()[-1500:]}" for each in self.running)


class Chaos:
    """Kills, stops and continues controllers at random, as long as it is asked for one more act.

    What harm is next comes from a shuffled deck, so that two acts are one of each. `meanwhile` is called all the time.
    """

    def __init__(self, estate: Estate, seed: int) -> None:
        self._estate = estate
        self._random = random.Random(seed)
        self._pause = Event()  # never set: waiting on it is what separates one act from the next
        self._deck: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.acts: Counter[str] = Counter()
        self.at_work: Counter[str] = Counter()  # those of the acts under which deploys were in flight

    def act(self) -> None:
        """One of them dies and another takes its place, or is stopped, often for longer than a lease; then a moment."""
        if not self._deck:
            self._deck = ["killed", "stopped"]
            self._random.shuffle(self._deck)
        what, chosen = self._deck.pop(), self._random.randrange(len(self._estate.running))
        self.acts[what] += 1
        self.at_work[what] += self._estate.in_flight > 0
        if what == "killed":
            self._kill(chosen)
        else:
            self._stop(self._estate.running[chosen])
        self._live(self._random.uniform(0.5, LEASE))

    def _kill(self, chosen: int) -> None:
        self._estate.running.pop(chosen).kill()
        self._estate.add_controllers()
        born = self._estate.running[-1]
        self._live(LONG, lambda: "controller started" in born.said())
        assert "controller started" in born.said(), born.said()[-2000:]

    def _stop(self, controller: Any) -> None:
        controller.send(signal.SIGSTOP)
        self._live(self._random.uniform(0.5, 1.5 * LEASE))
        controller.send(signal.SIGCONT)

    def _live(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not enough():
            self.meanwhile()
            self._pause.wait(0.1)


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
                gate=GateSettings(bake_seconds=2.0, deploy_seconds=6.0, health_seconds=10.0),
                pace=HostPace(deploy=5.0, check=1.0, poll=20.0, heartbeat=15.0),
                serve=serve,
            ),
        )
        opened.append(world.__enter__())
        return Estate(world, hostings[0], start, ledger_url)

    yield make
    for world in opened:
        world.__exit__(None, None, None)


@pytest.fixture
def make_chaos() -> Callable[[Estate], Chaos]:
    """`make_chaos(estate)`: harm to its processes, of a fixed seed."""
    return lambda estate: Chaos(estate, 20261126)
