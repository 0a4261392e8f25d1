"""A whole world on this machine and real controller processes in it.

`make_world` gives a quick `World` (by default one fleet, prod/checkout, in two regions and two waves), `start` a
controller process, `statuses` what the git server's notes say on a commit. Every wait is `wait_until`: on a condition,
with a deadline. What was started is ended by its process id when the test ends, and its log is shown if the test failed.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.forges.git_notes import REF, Line, Note
from adapters.ledger.store import Store, open_ledger
from fairlead_sandbox.gate import GateSettings
from fairlead_sandbox.world import REPOSITORY, World, WorldSettings

FAIRLEAD = (str(Path(sys.executable).parent / "fairlead"), "controller")
PATIENCE = 30.0  # seconds; far more than anything here takes on a busy machine
QUICK_GATE = GateSettings(bake_seconds=0.05, deploy_seconds=0.1, health_seconds=2.0)
QUICK = {"poll_interval": "1s", "inventory_interval": "1s", "executions_interval": "1s", "active_interval": "1s"}
ONE_FLEET = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\n",
    "environments/prod/environment.yaml": """\
account: "123456789012"
regions: [us-east-1, eu-west-1]
spinnaker: {url: "https://gate.example.com", account: prod}
""",
    "environments/prod/checkout.yaml": "version: 1.4.0\n",
    "services/checkout.yaml": """\
owner: payments
package: checkout
deploy:
  type: spinnaker
  application: checkout
  pipeline: "deploy-{environment}"
  parameters: {version: PKG_VERSION, region: REGION, ami: AMI, fairleadKey: FAIRLEAD_KEY}
  select: {cluster: "checkout-{environment}"}
  waves: [{regions: [us-east-1]}, {regions: rest}]
""",
}


class Controller:
    """One process over a world's ledger. `log` holds what it wrote to stdout and stderr."""

    def __init__(self, world: World, log: Path, command: tuple[str, ...]) -> None:
        self.log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command, env={**os.environ, **world.environment}, stdout=file, stderr=file, stdin=subprocess.DEVNULL
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number where a signal ended it."""
        return self._process.poll()

    @property
    def stopped(self) -> bool:
        """True while SIGSTOP keeps it from running."""
        state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def said(self) -> str:
        """Everything that it wrote so far."""
        return self.log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def terminate(self) -> int:
        """SIGTERM, as an operator ends it; gives its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL, as a dying machine ends it; gives its exit code."""
        return self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        return self._process.wait(PATIENCE)


MakeWorld = Callable[..., World]
Start = Callable[..., Controller]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """`make_world(files=ONE_FLEET, gate=QUICK_GATE, **durations)`: a world, ended with the test.

    `files` is the desired-state repository as path: text, or the folder that holds it; `durations` go into
    fairlead.toml, such as `lease="3s"`.
    """
    with ExitStack() as worlds:

        def make(files: Mapping[str, str] | Path = ONE_FLEET, gate: GateSettings = QUICK_GATE, **durations: str) -> World:
            folder = tmp_path / f"world-{len(list(tmp_path.iterdir()))}"
            example = files if isinstance(files, Path) else written(folder / "example", files)
            settings = WorldSettings(example=example, gate=gate, controller={**QUICK, **durations})
            return worlds.enter_context(World(folder, settings))

        yield make


@pytest.fixture
def start(tmp_path: Path, make_world: MakeWorld, request: pytest.FixtureRequest) -> Iterator[Start]:
    """`start(world, *command)`: a process in that world; without a command, an ordinary `fairlead controller`."""
    started: list[Controller] = []

    def begin(world: World, *command: str) -> Controller:
        controller = Controller(world, tmp_path / f"controller-{len(started) + 1}.log", command or FAIRLEAD)
        started.append(controller)
        return controller

    yield begin
    for controller in started:
        if controller.exit_code is None:
            controller.kill()
        print(f"── {controller.log.name}\n{controller.said()}")  # pytest shows it with a failure only


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    """`wait_until(condition, what, timeout=30.0)`: the first true value of `condition()`; TimeoutError names `what`."""

    def wait(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
        until = time.monotonic() + timeout
        while not (found := condition()):
            if time.monotonic() > until:
                raise TimeoutError(f"{what}: not within {timeout:g} s")
            time.sleep(0.02)
        return found

    return wait


@pytest.fixture
def statuses() -> Callable[[World, str], dict[str, Line]]:
    """`statuses(world, commit)`: what the server's notes say on a commit, by context; `{}` where there is no note."""
    return said_on


@pytest.fixture
def wait_for_status(wait_until: Callable[..., Any]) -> Callable[..., Line]:
    """`wait_for_status(world, commit, state, context="fairlead/prod/checkout", text="")`: the line once it is there."""

    def wait(world: World, commit: str, state: str, context: str = "fairlead/prod/checkout", text: str = "") -> Line:
        def found() -> Line | None:
            line = said_on(world, commit).get(context)
            return line if line is not None and line.state == state and re.search(text, line.description) else None

        line: Line = wait_until(found, f"{state} in {context} on {commit[:7]}")
        return line

    return wait


@pytest.fixture
def ledger_of() -> Iterator[Callable[[World], Store]]:
    """`ledger_of(world)`: the controllers' ledger, opened beside them."""
    with ExitStack() as ledgers:

        def open_it(world: World) -> Store:
            store = open_ledger(f"sqlite:///{world.state / 'ledger.db'}", SystemClock())
            ledgers.callback(store.close)
            return store

        yield open_it


def said_on(world: World, commit: str) -> dict[str, Line]:
    """The note of a commit on the git server, by context."""
    shown = subprocess.run(
        ["git", "--git-dir", str(world.git.path(REPOSITORY)), "notes", f"--ref={REF}", "show", commit],
        capture_output=True,
        text=True,
        check=False,
    )
    return dict(Note.parse(shown.stdout).lines) if shown.returncode == 0 else {}


def written(folder: Path, files: Mapping[str, str]) -> Path:
    """Write path: text into a folder; gives the folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder
