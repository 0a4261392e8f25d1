"""A whole world on this machine and real controller processes in it.

`make_world` gives a quick `World` (by default one fleet, prod/checkout, in two regions and two waves), `start` a
controller process, `statuses` what the git server's notes say on a commit. Every wait is `wait_until`: on a condition,
with a deadline. What was started is ended by its process id with the test, and its log is shown where the test failed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pytest

from adapters.clock import SystemClock
from adapters.forges.git_notes import REF, Line, Note
from adapters.ledger.store import Store, open_ledger
from fairlead_sandbox.forge import Said
from fairlead_sandbox.forge.vendor import Name
from fairlead_sandbox.gate import GateSettings
from fairlead_sandbox.world import REPOSITORY, World, WorldSettings
from reconciler.record import Record, State

FAIRLEAD = (str(Path(sys.executable).parent / "fairlead"), "controller")
PATIENCE = 30.0  # seconds; far more than anything here takes on a busy machine
QUICK_GATE = GateSettings(bake_seconds=0.05, deploy_seconds=0.1, health_seconds=2.0)
QUICK = {
    "poll_interval": "1s",
    "request_timeout": "3s",
    "gate_timeout": "1s",  # the sandbox's does nothing for a request that was given up, unless it is told to
    "inventory_interval": "1s",
    "executions_interval": "1s",
    "active_interval": "1s",
}
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


@pytest.fixture
def make_files() -> Callable[[str], dict[str, str]]:
    """`make_files(more)`: the one fleet of `make_world`, with more said in its `deploy`."""
    return lambda more: {**ONE_FLEET, "services/checkout.yaml": f"{ONE_FLEET['services/checkout.yaml']}  {more}\n"}


class Controller:
    """One process. `log` holds what it wrote to stdout and stderr."""

    def __init__(self, command: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=file, stderr=file, stdin=subprocess.DEVNULL
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
def one_fleet() -> Mapping[str, str]:
    """The repository of a world that nothing else was said of, as path: text."""
    return ONE_FLEET


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """`make_world(files=ONE_FLEET, gate=QUICK_GATE, hosts={}, forge="", dialect="github", **durations)`: a world.

    It ends with the test. `files` is the desired-state repository as path: text, or the folder that holds it; `hosts`
    how many instances each trigger fleet has; `durations` go into fairlead.toml, such as `lease="3s"`.
    """
    with ExitStack() as worlds:

        def make(
            files: Mapping[str, str] | Path = ONE_FLEET,
            gate: GateSettings = QUICK_GATE,
            hosts: Mapping[str, int] | None = None,
            forge: Literal["", "token", "app"] = "",
            dialect: Name = "github",
            **durations: str,
        ) -> World:
            folder = tmp_path / f"world-{len(list(tmp_path.iterdir()))}"
            example = files if isinstance(files, Path) else written(folder / "example", files)
            pace = {**QUICK, **durations}
            settings = WorldSettings(
                example=example, gate=gate, controller=pace, hosts=hosts or {}, forge=forge, dialect=dialect
            )
            return worlds.enter_context(World(folder, settings))

        yield make


@pytest.fixture
def start(tmp_path: Path, make_world: MakeWorld) -> Iterator[Start]:
    """`start(world, *command, **environment)`: a process in that world; with no command, `fairlead controller`."""
    started: list[Controller] = []

    def begin(world: World, *command: str, **environment: str) -> Controller:
        log = tmp_path / f"controller-{len(started) + 1}.log"
        controller = Controller(command or FAIRLEAD, {**world.environment, **environment}, log)
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
            time.sleep(0.1)  # conditions may start a git process: asking more often would slow what is waited for
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
    """What the forge says on a commit, by context; without a forge the commit's note on the git server."""
    if world.settings.forge:
        return {line.context: line for line in map(_line, world.forge_half.person.statuses(commit))}
    shown = subprocess.run(
        ["git", "--git-dir", str(world.git.path(REPOSITORY)), "notes", f"--ref={REF}", "show", commit],
        capture_output=True,
        text=True,
        check=False,
    )
    return dict(Note.parse(shown.stdout).lines) if shown.returncode == 0 else {}


def _line(said: Said) -> Line:
    return Line(state=State(said.state), context=said.context, description=said.description, at=said.at)


def written(folder: Path, files: Mapping[str, str]) -> Path:
    """Write path: text into a folder; gives the folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


# ── a world that several tests share ────────────────────────────────────────────────────────────────────────────


class Story:
    """A world with one controller in it, and what people do and see there. Tests that share one keep to own fleets."""

    def __init__(self, world: World, logs: Path) -> None:
        self.world = world
        self._logs = logs
        self._started: list[Controller] = []
        self._ledger: Store | None = None

    def start(self) -> Controller:
        """Start the controller (again)."""
        log = self._logs / f"controller-{len(self._started) + 1}.log"
        environment = {**self.world.environment, "PYTHONFAULTHANDLER": "1"}  # `stop` makes one that hangs say where
        self._started.append(Controller(FAIRLEAD, environment, log))
        return self._started[-1]

    def stop(self) -> None:
        """End the controller as an operator does; one that does not end shows where its threads are."""
        if self._started and self._started[-1].exit_code is None:
            try:
                assert self._started[-1].terminate() == 0
            except subprocess.TimeoutExpired:
                self._started[-1].send(signal.SIGABRT)
                raise

    def lose_ledger(self) -> None:
        """The controller ends, and the ledger's files are gone."""
        self.stop()
        self.close_ledger()
        for file in self.world.state.glob("ledger.db*"):
            file.unlink()

    def close_ledger(self) -> None:
        """Let go of the controllers' ledger."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def end(self) -> None:
        """End whatever still runs."""
        self.close_ledger()
        for controller in self._started:
            if controller.exit_code is None:
                controller.kill()
            print(f"── {controller.log.name}\n{controller.said()}")

    @property
    def ledger(self) -> Store:
        """The controllers' ledger, opened beside them."""
        if self._ledger is None:
            self._ledger = open_ledger(f"sqlite:///{self.world.state / 'ledger.db'}", SystemClock())
        return self._ledger

    def record(self, fleet: str) -> Record:
        """All that the ledger knows of a fleet."""
        record = self.ledger.load(fleet)
        assert record is not None, f"{fleet} is not known"
        return record

    def reason(self, fleet: str) -> str:
        """Why it stands where it stands."""
        return self.record(fleet).memory.status.reason.value

    def fairlead(self, *args: str) -> tuple[int, Any]:
        """A real `fairlead` process with `-o json`: its exit code and what it printed."""
        command = [FAIRLEAD[0], *args, "-o", "json"]
        environment = {**os.environ, **self.world.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def program(self, *args: str) -> int:
        """A real `fairlead` process that ends by itself: its exit code."""
        environment = {**os.environ, **self.world.environment}
        return subprocess.run([FAIRLEAD[0], *args], env=environment, capture_output=True, check=False).returncode

    def said(self, commit: str, fleet: str = "") -> Any:
        """What stands on a commit by context; with a fleet (or `validate`, or an environment) its line or None."""
        lines = said_on(self.world, commit)
        return lines.get(f"fairlead/{fleet}") if fleet else lines

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = 2 * PATIENCE) -> Any:
        """The first true value of `condition()`. Raises TimeoutError with `what`."""
        until = time.monotonic() + timeout
        while not (found := condition()):
            if time.monotonic() > until:
                raise TimeoutError(f"{what}: not within {timeout:g} s")
            time.sleep(0.05)
        return found

    def wait_said(self, commit: str, fleet: str, state: str, text: str = "", timeout: float = 2 * PATIENCE) -> Line:
        """Wait for the line of a fleet (or `validate`, or an environment) to be in `state` and to hold `text`."""

        def found() -> Line | None:
            line: Line | None = self.said(commit, fleet)
            return line if line is not None and line.state == state and text in line.description else None

        try:
            line: Line = self.wait(found, "", timeout)
        except TimeoutError:
            shown = self.said(commit)
            pytest.fail(f"no {state} {text!r} of {fleet} on {commit[:7]} within {timeout:g} s, but {shown}")
        return line

    def wait_reason(self, fleet: str, reason: str, timeout: float = 2 * PATIENCE) -> None:
        """Wait until the fleet stands where it stands for that reason."""
        self.wait(lambda: self.reason(fleet) == reason, f"{fleet} is {reason}", timeout)

    def starts(self, fleet: str) -> list[dict[str, Any]]:
        """What Gate's access log tells of the executions that were started for a fleet, oldest first."""
        application = self.world.fleets[fleet].application
        path = f"/pipelines/{application}/{self.world.fleets[fleet].pipeline}"
        return [entry for entry in self.world.gate.access_log.starts() if entry["path"] == path]

    def keys(self, fleet: str) -> list[str]:
        """The keys under which executions were started for a fleet."""
        return [entry["body"]["parameters"]["FAIRLEAD_KEY"] for entry in self.starts(fleet)]

    def cancels(self, execution: str) -> list[dict[str, Any]]:
        """The requests to end an execution."""
        return self.world.gate.access_log.entries(method="PUT", path_prefix=f"/pipelines/{execution}/cancel")

    def versions(self, fleet: str, region: str = "us-east-1") -> set[str]:
        """What the fleet's instances run in a region."""
        return self.world.versions(self.world.fleets[fleet].cluster, region)


BeginStory = Callable[..., Story]


@pytest.fixture(scope="module")
def begin_story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BeginStory]:
    """`begin_story(files, gate=QUICK_GATE, hosts={}, deployed=True, **durations)`: a world for the tests of a module.

    The controller is not started yet.
    """
    with ExitStack() as stories:

        def begin(
            files: Mapping[str, str],
            gate: GateSettings = QUICK_GATE,
            hosts: Mapping[str, int] | None = None,
            deployed: bool = True,
            **durations: str,
        ) -> Story:
            folder = tmp_path_factory.mktemp("story")
            example = written(folder / "example", files)
            pace = {**QUICK, **durations}
            settings = WorldSettings(
                example=example, gate=gate, controller=pace, hosts=hosts or {}, deployed=deployed, agents=deployed
            )
            story = Story(stories.enter_context(World(folder / "world", settings)), folder)
            stories.callback(story.end)
            return story

        yield begin


def repository(fleets: Mapping[str, str], deploy: Mapping[str, str] | None = None) -> dict[str, str]:
    """A repository of such fleets (`{"staging/checkout": "1.4.0"}`), each service a Spinnaker application of its own.

    `deploy` adds keys to a service's `deploy`, `{"checkout": "deadline: 3s"}`. A failing version gets one attempt;
    prod has two regions and holds a failed fleet, every other environment one and rolls back.
    """
    environments = list(dict.fromkeys(name.partition("/")[0] for name in fleets))
    named = ", ".join(environments)
    files = {
        "fairlead.yaml": f"apiVersion: fairlead/v1\nenvironments: [{named}]\ndefaults: {{retries: 0}}\n",
    }
    for environment in environments:
        regions, override = ("us-east-1", "")
        if environment == "prod":
            regions, override = ("us-east-1, eu-west-1", "override: {on_failure: hold}\n")
        files[f"environments/{environment}/environment.yaml"] = (
            f'account: "123456789012"\nregions: [{regions}]\n'
            f'spinnaker: {{url: "https://gate.example.com", account: {environment}}}\n{override}'
        )
    for name, version in fleets.items():
        service = name.partition("/")[2]
        more = (deploy or {}).get(service, "")
        files[f"environments/{name}.yaml"] = f'version: "{version}"\n'
        files[f"services/{service}.yaml"] = SERVICE.format(service=service) + (f"  {more}\n" if more else "")
    return files


SERVICE = """\
owner: payments
package: {service}
deploy:
  type: spinnaker
  application: {service}
  pipeline: "deploy-{{environment}}"
  parameters: {{version: PKG_VERSION, region: REGION, ami: AMI, fairleadKey: FAIRLEAD_KEY}}
  image: {{missing: bake}}
  select: {{cluster: "{service}-{{environment}}"}}
"""


@pytest.fixture(scope="module")
def make_repository() -> Callable[..., dict[str, str]]:
    """`make_repository(fleets, deploy)`: see `repository`."""
    return repository
