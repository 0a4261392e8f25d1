"""Where the demo plays: the world, a controller that works on it, and what a person does there."""

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from adapters.clock import SystemClock
from adapters.ledger.store import Store, open_ledger
from fairlead_sandbox.builds import Behaviour
from fairlead_sandbox.demo.agents import AgentLine, lines_of
from fairlead_sandbox.demo.controller_process import ControllerProcess
from fairlead_sandbox.demo.scene import CommitView, Scene, look, newest
from fairlead_sandbox.forge import Person
from fairlead_sandbox.gate import GateSettings
from fairlead_sandbox.world import EXAMPLE_HOSTS, World, WorldSettings
from reconciler.record import Event

SETTINGS = WorldSettings(
    gate=GateSettings(bake_seconds=0.7, deploy_seconds=0.7, health_seconds=2.5),
    boot_seconds=0.3,
    controller={"active_interval": "1s"},
    hosts=EXAMPLE_HOSTS,
    forge="token",
)
PLAIN = 2  # releases that a host keeps: what runs, and what ran before; one that tried a sick version keeps more
RELOAD = 0.5  # seconds
SPINNAKER, TRIGGER, BOTH = "Spinnaker", "trigger", "both"  # who deploys a fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a pipeline, as Gate knows it. Times are epoch milliseconds."""

    version: str
    region: str
    status: str
    began: int
    ended: int | None
    image: str = ""  # the AMI that it was told to deploy
    baked: Mapping[str, str] = field(default_factory=dict)  # the AMIs that it baked, by region
    restored: str = ""  # the server group that it was told to enable

    @property
    def seconds(self) -> float:
        """How long it took."""
        return ((self.ended or self.began) - self.began) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class InService:
    """What a cluster has in service in a region, as AWS says."""

    versions: frozenset[str]
    healthy: bool  # there is an enabled group, and all that it wants are in service and healthy


class Stage:
    """Use it as a context manager: the controller and the world end with it. `commits` are those the story made."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, SETTINGS)
        self.clock = SystemClock()
        self.commits: dict[str, str] = {}  # the story's name of it: its id
        self._pulls: dict[str, tuple[int, str]] = {}  # likewise: the pull request's number and title
        self.controller: ControllerProcess
        self.ledger: Store
        self.changed_host = ""  # the host that was changed by hand
        self._heard: dict[str, int] = {}  # by host: the length of its log at the last deed
        self._fetched: Counter[tuple[str, str]] = Counter()  # what had been downloaded at the last deed
        self._asked = float("-inf")  # on the monotonic clock: when the forge was asked
        self._newest: tuple[CommitView, ...] = ()
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:  # what was started is ended again if the rest fails
            world = starting.enter_context(self.world)
            self.ledger = open_ledger(f"sqlite:///{world.state / 'ledger.db'}", self.clock)
            starting.callback(self.ledger.close)
            log = world.folder / "controller.log"
            self.controller = starting.enter_context(ControllerProcess(world.config, world.environment, log))
            self.commits["first"] = world.checkout.head
            self.listen()
            self._parts = starting.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._parts.close()

    @property
    def repository(self) -> Path:
        """The repository as the git server keeps it."""
        return self.world.git.path(self.world.repository)

    @property
    def person(self) -> Person:
        """Who merges, and reads statuses."""
        return self.world.forge_half.person

    def look(self) -> Scene:
        """What there is to see now; the forge is asked now and then, as a person reloads a page."""
        now = self.clock.monotonic()
        if now - self._asked >= RELOAD:
            self._asked, self._newest = now, newest(self.repository, self.person)
        return look(self.ledger, self._newest, self.clock)

    def history(self, fleet: str) -> list[Event]:
        """What the controller wrote down about a fleet, newest first."""
        return list(self.ledger.history(fleet, 100))

    def runs(self, fleet: str) -> list[Run]:
        """The executions of a fleet's pipeline, oldest first."""
        known = self.world.fleets[fleet]
        return self._runs(known.application, known.pipeline, known.parameters)

    def runs_back(self, fleet: str) -> list[Run]:
        """The executions of the pipeline by which the fleet goes back, oldest first."""
        known = self.world.fleets[fleet]
        return self._runs(known.application, known.rollback, known.back)

    def _runs(self, application: str, pipeline: str, parameters: Mapping[str, str]) -> list[Run]:
        bodies = [execution.view(expand=True) for execution in self.world.gate.executions.all()]
        wanted = (application, pipeline)
        return [_run(body, parameters) for body in bodies if (body["application"], body["name"]) == wanted]

    def in_service(self, fleet: str, region: str) -> InService:
        """What the fleet's cluster serves in a region, asked of AWS."""
        cluster = self.world.fleets[fleet].cluster
        enabled = [group for group in self.world.groups(cluster, region) if group.enabled]
        healthy = all(group.healthy == group.desired for group in enabled)
        versions = frozenset(self.world.versions(cluster, region))
        return InService(versions=versions, healthy=bool(enabled) and healthy)

    def fleets(self, by: str) -> frozenset[str]:
        """The names of the fleets that Spinnaker deploys, of those that agents do, or of both."""
        parts = {SPINNAKER: self.world.fleets.keys(), TRIGGER: self.world.trigger.fleets.keys()}
        return frozenset(name for part, names in parts.items() if by in (part, BOTH) for name in names)

    # -- what agents did -------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """`steps` and `downloaders` tell of what happens from now on."""
        self._heard = {host.id: len(host.log()) for host in self.world.hosts()}
        self._fetched = self.world.aws.fetched.copy()

    def steps(self, fleet: str) -> list[AgentLine]:
        """What the agents of a fleet wrote since the last deed, in the order of time."""
        logs = ((host.id, host.log()[self._heard[host.id] :]) for host in self.world.hosts(fleet))
        return sorted((line for host, log in logs for line in lines_of(host, fleet, log)), key=lambda line: line.at)

    def downloaders(self, fleet: str) -> set[str]:
        """The instances that downloaded an artifact of the fleet's service, of any version, since the last deed."""
        sources = [each.source.partition("{version}")[0] for each in self.world.trigger.fleets[fleet].artifacts]
        new = self.world.aws.fetched - self._fetched
        keys = {key for key, address in new if address.startswith(tuple(sources))}
        return {self.world.aws.session_of(key) for key in keys}

    # -- what a person does --------------------------------------------------------------------------------------

    def merge_bump(self, name: str, fleet: str, version: str, *others: str) -> str:
        """A pull request that bumps a fleet, and others with it, merged; gives what was done, in words."""
        checkout = self.world.checkout
        checkout.pull()
        bumped = {}
        for path in (f"environments/{each}.yaml" for each in (fleet, *others)):
            old = (checkout.folder / path).read_text(encoding="utf-8").splitlines(keepends=True)
            new = "".join(f"version: {version}\n" if line.startswith("version:") else line for line in old)
            bumped[path] = new
        branch, title = f"bump-{fleet.replace('/', '-')}-{version}", f"Bump {fleet} to {version}"
        with checkout.on_branch(branch):
            checkout.commit(title, bumped)
        return self._merge(name, branch, title)

    def merge_revert(self, name: str, of: str) -> str:
        """A pull request that takes a merged one back, merged; gives what was done, in words."""
        checkout, commit = self.world.checkout, self.commits[of]
        checkout.pull()
        number, reverted = self._pulls[of]
        branch, title = f"revert-{number}", f'Revert "{reverted}"'
        with checkout.on_branch(branch):
            checkout.revert(commit)
        return self._merge(name, branch, title)

    def _merge(self, name: str, branch: str, title: str) -> str:
        merged = self.person.merge(branch, title)
        self.commits[name], self._pulls[name] = merged.commit, (merged.number, title)
        return f"pull request #{merged.number} merged as {merged.commit[:7]}"

    def upload(self, service: str, version: str, behaviour: Behaviour = Behaviour.HEALTHY) -> None:
        """What CI does for a trigger service, before the bump is merged."""
        self.world.build(service, version, behaviour)

    def switch_by_hand(self, fleet: str) -> str:
        """Another release that a host keeps becomes its current one, behind the agent's back; gives the instance.

        Raises `LookupError` where no host keeps just one other.
        """
        plain = [host for host in self.world.hosts(fleet) if len(host.releases(fleet)) == PLAIN]
        host = plain[0]
        host.switch_by_hand(fleet)
        self.changed_host = host.id
        return host.id

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
        image=parameters.get(names.get("ami"), ""),
        baked={
            each["region"]: each["ami"]
            for stage in body["stages"]
            if stage["type"] == "bake"
            for each in stage["outputs"].get("deploymentDetails", [])
        },
        restored=parameters.get(names.get("restore"), ""),
    )
