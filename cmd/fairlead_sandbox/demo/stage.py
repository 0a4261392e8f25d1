"""Where the demo plays: the world, a controller that works on it, and what a person does there."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from adapters.clock import SystemClock
from adapters.ledger.store import Store, open_ledger
from fairlead_sandbox.demo.controller_process import ControllerProcess
from fairlead_sandbox.demo.scene import Scene, look
from fairlead_sandbox.gate import GateSettings
from fairlead_sandbox.world import REPOSITORY, World, WorldSettings
from reconciler.record import Event

SETTINGS = WorldSettings(
    gate=GateSettings(bake_seconds=0.7, deploy_seconds=0.7, health_seconds=2.5),
    boot_seconds=0.3,
    controller={"active_interval": "1s"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a pipeline, as Gate knows it. Times are epoch milliseconds."""

    version: str
    region: str
    status: str
    began: int
    ended: int | None


class Stage:
    """Use it as a context manager: the controller and the world end with it. `commits` are those the story made."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, SETTINGS)
        self.clock = SystemClock()
        self.commits: dict[str, str] = {}  # the story's name of it: its id
        self.controller: ControllerProcess
        self.ledger: Store
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:  # what was started is ended again if the rest fails
            world = starting.enter_context(self.world)
            self.ledger = open_ledger(f"sqlite:///{world.state / 'ledger.db'}", self.clock)
            starting.callback(self.ledger.close)
            log = world.folder / "controller.log"
            self.controller = starting.enter_context(ControllerProcess(world.config, world.environment, log))
            self.commits["first"] = world.checkout.head
            self._parts = starting.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._parts.close()

    @property
    def repository(self) -> Path:
        """The repository as the git server keeps it."""
        return self.world.git.path(REPOSITORY)

    def look(self) -> Scene:
        """What there is to see now."""
        return look(self.ledger, self.repository, self.clock)

    def history(self, fleet: str) -> list[Event]:
        """What the controller wrote down about a fleet, newest first."""
        return list(self.ledger.history(fleet, 100))

    def runs(self, fleet: str) -> list[Run]:
        """The executions of a fleet's pipeline, oldest first."""
        known = self.world.fleets[fleet]
        bodies = [execution.view(expand=False) for execution in self.world.gate.executions.all()]
        wanted = (known.application, known.pipeline)
        return [_run(body, known.parameters) for body in bodies if (body["application"], body["name"]) == wanted]

    def versions(self, fleet: str) -> dict[str, set[str]]:
        """What the instances in service run, by region, asked of AWS."""
        known = self.world.fleets[fleet]
        return {region: self.world.versions(known.cluster, region) for region in known.regions}

    # -- what a person does --------------------------------------------------------------------------------------

    def merge_bump(self, name: str, fleet: str, version: str) -> str:
        """A pull request that bumps a fleet, merged; gives its commit."""
        checkout, path = self.world.checkout, f"environments/{fleet}.yaml"
        checkout.pull()
        old = (checkout.folder / path).read_text(encoding="utf-8").splitlines(keepends=True)
        new = "".join(f"version: {version}\n" if line.startswith("version:") else line for line in old)
        branch = f"bump-{fleet.replace('/', '-')}-{version}"
        checkout.merge_branch(branch, f"Bump {fleet} to {version}", {path: new})
        self.commits[name] = checkout.push()
        return self.commits[name]

    def merge_revert(self, name: str, of: str) -> str:
        """A pull request that takes a commit back, merged; gives its commit."""
        checkout, commit = self.world.checkout, self.commits[of]
        checkout.pull()
        branch = f"revert-{commit[:7]}"
        checkout.git("checkout", "--quiet", "-b", branch)
        checkout.revert(commit)
        subject = checkout.git("log", "--max-count=1", "--format=%s")
        checkout.git("checkout", "--quiet", "main")
        checkout.git("merge", "--quiet", "--no-ff", "--message", f"Merge {branch}: {subject}", branch)
        self.commits[name] = checkout.push()
        return self.commits[name]

    def change_by_hand(self, fleet: str, region: str, version: str) -> str:
        """Another version on the serving group, outside any pipeline; gives the group's name."""
        return self.world.change_by_hand(self.world.fleets[fleet].cluster, region, version)


def _run(body: dict[str, Any], names: Any) -> Run:
    parameters = body["trigger"].get("parameters", {})
    return Run(
        version=parameters.get(names.get("version"), ""),
        region=parameters.get(names.get("region"), ""),
        status=body["status"],
        began=body["buildTime"],
        ended=body["endTime"],
    )
