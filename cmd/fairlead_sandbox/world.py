"""The whole world on one machine: AWS, a Gate that deploys onto it, hosts with agents, a git server or a forge, an
example repository in it.
"""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from adapters.clock import SystemClock
from fairlead_sandbox import forge_half, images, server_groups
from fairlead_sandbox.aws import ACCOUNT, REGIONS, Aws
from fairlead_sandbox.builds import Behaviour, Build
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.example import EXAMPLE, ExampleFleet, files_of, fleets_of, trigger_fleets_of, without
from fairlead_sandbox.forge import Forge
from fairlead_sandbox.forge.vendor import Name
from fairlead_sandbox.forge_half import ForgeHalf
from fairlead_sandbox.gate import Gate, GateSettings, deploy_pipeline, rollback_pipeline
from fairlead_sandbox.git_server import GitServer
from fairlead_sandbox.hosts import Host
from fairlead_sandbox.server_groups import ServerGroup
from fairlead_sandbox.trigger_half import TriggerHalf

REPOSITORY = "main"  # the name in fairlead.toml, and on a git server without a forge
QUICK = {"poll_interval": "1s", "inventory_interval": "2s", "executions_interval": "1s", "gate_timeout": "1s"}
EXAMPLE_HOSTS = {"staging/matchmaker+staging/lobby": 1, "prod/matchmaker": 6, "prod/matchmaker+prod/lobby": 2}
__all__ = ["ACCOUNT", "EXAMPLE_HOSTS", "REGIONS", "World", "WorldSettings", "seed_cluster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSettings:
    """What a world is made of. `controller` holds durations of fairlead.toml, such as `{"poll_interval": "1s"}`.

    `hosts` says how many instances each trigger fleet has, spread over its regions: `{"prod/matchmaker": 8}`, or
    `{"prod/matchmaker+prod/lobby": 2}` for instances of both. Trigger fleets that it does not name are left out of the
    repository, so a world without hosts has Spinnaker's half alone. With `forge` the repository is on a forge, where
    changes are pull requests and statuses are the forge's; without one they are notes in the repository.
    """

    example: Path | None = EXAMPLE  # None: an empty repository and no fleets
    gate: GateSettings = field(default_factory=GateSettings)
    boot_seconds: float = 0.0  # how long a new instance is Pending
    controller: Mapping[str, str] | None = None
    hosts: Mapping[str, int] = field(default_factory=dict)
    pace: Mapping[str, str] = field(default_factory=lambda: {"poll": "2s", "heartbeat": "1s"})  # in agent.yaml
    deployed: bool = True  # hosts run what the repository says; False: they are fresh, and nothing runs on them
    agents: bool = True  # fresh hosts' agents are started with the world
    forge: Literal["", "token", "app"] = ""  # how Fairlead signs in there
    dialect: Name = "github"  # what the forge speaks


class World:
    """Everything that a controller meets. Use it as a context manager: all of it ends with it.

    `aws`, `gate`, `git` and `checkout` (a person's clone) are its parts; `config` is the controller's fairlead.toml and
    `environment` what its process needs.
    """

    def __init__(self, folder: Path, settings: WorldSettings | None = None) -> None:
        self.folder = folder.resolve()
        self.settings = settings or WorldSettings()
        self.aws = Aws(boot_seconds=self.settings.boot_seconds)
        self.gate = Gate(self.aws, self.settings.gate)
        self.config = self.folder / "fairlead.toml"
        self.state = self.folder / "state"
        self.fleets: dict[str, ExampleFleet] = {}
        self.checkout: Checkout
        self.git: GitServer
        self._clock = SystemClock()
        self._forge: ForgeHalf | None = None
        self._trigger: TriggerHalf | None = None
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        self.state.mkdir(parents=True, exist_ok=True)
        with ExitStack() as starting:  # what was started is ended again if the rest fails
            starting.enter_context(self.aws)
            starting.enter_context(self.gate)
            self.git = starting.enter_context(GitServer(self.folder / "git"))
            if self.settings.forge:
                half = ForgeHalf(self.folder, self.git, self._clock, self.settings.forge, self.settings.dialect)
                self._forge = starting.enter_context(half)
            files = self._files()
            self._make_hosts(files, starting)
            self._open_repository(files)
            self._write_settings()
            self._offer_deeds()
            self._begin_hosts(files)
            self._parts = starting.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End every part."""
        self._parts.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a child process needs beside its own environment to see this world and no other."""
        return {**self.aws.environment(), "FAIRLEAD_CONFIG": str(self.config)}

    # -- making it ---------------------------------------------------------------------------------------------

    def _files(self) -> dict[str, str]:
        """The repository as path: text, without trigger fleets that are to have no hosts."""
        if self.settings.example is None:
            return {"README.md": "# Desired state\n"}
        files = files_of(self.settings.example, self.gate.url)
        return without(files, (fleet for fleet in trigger_fleets_of(files) if fleet.name not in self._with_hosts))

    @property
    def _with_hosts(self) -> set[str]:
        return {name for names in self.settings.hosts for name in names.split("+")}

    def _make_hosts(self, files: Mapping[str, str], starting: ExitStack) -> None:
        if not self.settings.hosts:
            return
        half = TriggerHalf(self.folder, self.aws, self._clock, trigger_fleets_of(files), self.settings.pace)
        self._trigger = starting.enter_context(half)
        for names, count in self.settings.hosts.items():
            half.add(tuple(names.split("+")), count)

    def _begin_hosts(self, files: Mapping[str, str]) -> None:
        if self._trigger is None:
            return
        if self.settings.deployed:
            self._trigger.deploy_first(files, self.checkout.head)
        elif self.settings.agents:
            self.start_agents()
        self._trigger.put_behind_balancers(self._trigger.hosts.values())

    def _open_repository(self, files: Mapping[str, str]) -> None:
        if self._forge is None:
            self.git.create(REPOSITORY)
        self.checkout = Checkout(self.folder / "checkout", self.git.url(self.repository))
        for fleet in fleets_of(files) if self.settings.example is not None else ():
            self.add_fleet(fleet)
        self.checkout.commit("Say what runs where", files)
        self.checkout.push()

    def add_fleet(self, fleet: ExampleFleet) -> None:
        """Give a fleet its pipeline, and clusters that run its version."""
        self.fleets[fleet.name] = fleet
        self.gate.pipelines.save(
            deploy_pipeline(
                fleet.application,
                fleet.pipeline,
                fleet.cluster,
                fleet.package,
                regions=fleet.regions,
                parameters=fleet.parameters,
                bakes_for=REGIONS if "ami" in fleet.parameters else None,  # others take what it bakes
            )
        )
        if fleet.rollback:
            pipeline = rollback_pipeline(fleet.application, fleet.rollback, fleet.regions, fleet.back)
            self.gate.pipelines.save(pipeline)
        for region in fleet.regions:
            self.seed_cluster(fleet.cluster, region, fleet.package, fleet.version)

    def _write_settings(self) -> None:
        """fairlead.toml, and world.env for a shell: `set -a; . world.env`."""
        lines = [f'ledger = "sqlite:///{self.state / "ledger.db"}"', f'state = "{self.state}"']
        lines += [f'{name} = "{value}"' for name, value in {**QUICK, **(self.settings.controller or {})}.items()]
        lines += [
            "",
            "[[repositories]]",
            f'name = "{REPOSITORY}"',
            f'url = "{self.git.url(self.repository)}"',
            'branch = "main"',
            *(self._forge.settings if self._forge is not None else ()),
        ]
        lines += ["", "[[gates]]", f'url = "{self.gate.url}"', 'auth = {mode = "none"}', ""]
        if self._trigger is not None:
            lines += ["[signing]", f'key_id = "{self.trigger.key.key_id}"', f'key = "file:{self.trigger.key_file}"', ""]
        self.config.write_text("\n".join(lines), encoding="utf-8")
        forge = (
            {} if self._forge is None else {"FORGE": self.forge_half.person.url, "FORGE_TOKEN": self.forge_half.token}
        )
        said = "".join(f"{name}='{value}'\n" for name, value in {**self.environment, **forge}.items())
        (self.folder / "world.env").write_text(said, encoding="utf-8")

    def _offer_deeds(self) -> None:
        """What people may do by HTTP beside switching faults: POST /sandbox/<name> on Gate's address."""
        self.gate.control.deeds["change-by-hand"] = self.change_by_hand
        self.gate.control.deeds["break-health"] = self.break_health
        self.gate.control.deeds["mend-health"] = self.mend_health
        if self._trigger is not None:
            self.gate.control.deeds["build"] = lambda **said: self.build(**said).addresses
            self.gate.control.deeds["kill-agent"] = lambda host: self.host(host).kill_agent()
            self.gate.control.deeds["start-agent"] = lambda host: self.host(host).start_agent()
            self.gate.control.deeds["switch-by-hand"] = lambda host: self.host(host).switch_by_hand()
            self.gate.control.deeds["make-sick"] = lambda host: self.host(host).make_sick()
            self.gate.control.deeds["make-well"] = lambda host: self.host(host).make_well()
            self.gate.control.deeds["spot-notice"] = lambda host: self.spot_notice(self.host(host))

    # -- living in it ------------------------------------------------------------------------------------------

    def merge(self, message: str, files: Mapping[str, str | None]) -> str:
        """Write files (path: text, None removes one), commit and push to `main`; gives the commit."""
        self.checkout.pull()  # others push too
        self.checkout.commit(message, files)
        return self.checkout.push()

    def bump(self, fleet: str, version: str, *others: str) -> str:
        """Merge a version bump of a fleet ("prod/checkout"), or of others with it, in one commit, which it gives.

        The files keep their comments.
        """
        self.checkout.pull()
        bumped = {}
        for path in (f"environments/{name}.yaml" for name in (fleet, *others)):
            text = (self.checkout.folder / path).read_text(encoding="utf-8")
            bumped[path] = re.sub(r"^version:.*$", f'version: "{version}"', text, flags=re.MULTILINE)
        return self.merge(f"Bump {fleet} to {version}", bumped)

    def revert(self, commit: str) -> str:
        """Revert a commit on `main` and push; gives the reverting commit."""
        self.checkout.pull()
        self.checkout.revert(commit)
        return self.checkout.push()

    def seed_cluster(self, cluster: str, region: str, package: str, version: str, capacity: int = 2) -> str:
        """Let a cluster run a version in a region as if it had been deployed long ago; gives the new group's name."""
        return seed_cluster(self.aws, cluster, region, package, version, capacity=capacity)

    def groups(self, cluster: str, region: str) -> list[ServerGroup]:
        """All groups of a cluster in a region, oldest first."""
        return server_groups.groups_of(self.aws, region, cluster)

    def serving(self, cluster: str, region: str) -> ServerGroup:
        """The newest enabled group. Raises LookupError when none is enabled."""
        enabled = [each for each in self.groups(cluster, region) if each.enabled]
        if not enabled:
            raise LookupError(f"{cluster} has no enabled server group in {region}")
        return enabled[-1]

    def versions(self, cluster: str, region: str) -> set[str]:
        """The versions of the instances that enabled groups run."""
        ids = [i["InstanceId"] for group in self.groups(cluster, region) if group.enabled for i in group.instances]
        if not ids:
            return set()
        reservations = self.aws.client("ec2", region).describe_instances(InstanceIds=ids)["Reservations"]
        found = {instance["ImageId"] for reservation in reservations for instance in reservation["Instances"]}
        return {images.by_id(self.aws, region, image_id).version for image_id in found}

    def change_by_hand(self, cluster: str, region: str, version: str) -> str:
        """Somebody swaps the launch template and the instances of the serving group, outside any pipeline."""
        group = self.serving(cluster, region)
        package = next((each.package for each in self.fleets.values() if each.cluster == cluster), cluster)
        found = images.find(self.aws, region, package, version)
        image = found or images.register(self.aws, region, package, version, self._clock.now())
        server_groups.replace_image(self.aws, group, image.id)
        return group.name

    def break_health(self, cluster: str, region: str) -> str:
        """Every instance of the serving group becomes Unhealthy."""
        return self._set_health(cluster, region, healthy=False)

    def mend_health(self, cluster: str, region: str) -> str:
        """Undo `break_health`."""
        return self._set_health(cluster, region, healthy=True)

    def _set_health(self, cluster: str, region: str, *, healthy: bool) -> str:
        group = self.serving(cluster, region)
        server_groups.set_health(self.aws, group, healthy=healthy)
        return group.name

    # -- its forge ---------------------------------------------------------------------------------------------

    @property
    def repository(self) -> str:
        """The repository's name on the git server: with a forge it has an owner, too."""
        return REPOSITORY if self._forge is None else forge_half.REPOSITORY

    @property
    def forge_half(self) -> ForgeHalf:
        """The forge, and who is on it. Raises `RuntimeError` in a world without one."""
        if self._forge is None:
            raise RuntimeError('this world has no forge; say WorldSettings(forge="token")')
        return self._forge

    @property
    def forge(self) -> Forge:
        """The forge: its switches, its log. Raises `RuntimeError` in a world without one."""
        return self.forge_half.forge

    # -- its hosts ---------------------------------------------------------------------------------------------

    @property
    def trigger(self) -> TriggerHalf:
        """The trigger half. Raises `RuntimeError` in a world without hosts."""
        if self._trigger is None:
            raise RuntimeError('this world has no hosts; say WorldSettings(hosts={"prod/matchmaker": 2})')
        return self._trigger

    def hosts(self, fleet: str = "") -> tuple[Host, ...]:
        """The hosts of a fleet, by instance id; with no fleet all that there are."""
        known = self._trigger.hosts.values() if self._trigger is not None else ()
        found = (host for host in known if not fleet or fleet in host.fleets)
        return tuple(sorted(found, key=lambda host: host.id))

    def host(self, instance: str) -> Host:
        """One host. Raises `LookupError` for an instance that is none."""
        if instance not in self.trigger.hosts:
            raise LookupError(f"{instance} is no host here; there is: {', '.join(sorted(self.trigger.hosts))}")
        return self.trigger.hosts[instance]

    def build(self, service: str, version: str, behaviour: str = Behaviour.HEALTHY, after: float = 2.0) -> Build:
        """What CI does: upload a version of a trigger service. `after` is in seconds, see `Behaviour`."""
        return self.trigger.build(service, version, Behaviour(behaviour), after)

    def start_agents(self) -> None:
        """Start the agents that do not run, all at once."""
        for host in self.hosts():
            if not host.agent_running:
                host.start_agent()

    def add_host(self, *fleets: str, region: str | None = None, agent: bool = True) -> Host:
        """A fresh instance of these fleets joins, as when a group scales out."""
        host = self.trigger.add(fleets, 1, region)[0]
        self.trigger.put_behind_balancers([host])
        if agent:
            host.start_agent()
        return host

    def scale_out(self, group: str, fleet: str, region: str) -> Host:
        """A group, made where it is not there, launches an instance of the fleet, which waits in `Pending:Wait`."""
        if server_groups.read(self.aws, region, group) is None:
            self.trigger.make_group(group, fleet, region)
        host = self.trigger.scale_out(group, fleet, region)
        host.start_agent()
        return host

    def spot_notice(self, host: Host, action: str = "terminate") -> None:
        """AWS takes the spot instance away in two minutes: its metadata service says so."""
        at = self._clock.now() + timedelta(minutes=2)
        said = {"action": action, "time": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
        self.trigger.notice(host, "spot/instance-action", said)

    def terminate(self, host: Host) -> None:
        """The instance is gone, with everything on it. Its queue stays behind."""
        self.trigger.terminate(host)


def seed_cluster(aws: Aws, cluster: str, region: str, package: str, version: str, *, capacity: int = 2) -> str:
    """Register (or reuse) an AMI of the version and make the cluster's next group from it; gives the group's name."""
    found = images.find(aws, region, package, version)
    image = found or images.register(aws, region, package, version, SystemClock().now())
    name = server_groups.next_name(cluster, server_groups.groups_of(aws, region, cluster))
    server_groups.create(aws, region, name, image.id, (capacity, capacity, capacity), {})
    return name
