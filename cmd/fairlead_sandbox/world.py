"""The whole world on one machine: AWS, a Gate that deploys onto it, a git server, an example repository in it."""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from adapters.clock import SystemClock
from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import ACCOUNT, REGIONS, Aws
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.example import EXAMPLE, ExampleFleet, files_of, fleets_of
from fairlead_sandbox.gate import Gate, GateSettings, deploy_pipeline
from fairlead_sandbox.git_server import GitServer
from fairlead_sandbox.server_groups import ServerGroup

REPOSITORY = "main"  # the name, on the git server and in fairlead.toml
QUICK = {"poll_interval": "1s", "inventory_interval": "2s", "executions_interval": "1s"}
__all__ = ["ACCOUNT", "REGIONS", "World", "WorldSettings", "seed_cluster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSettings:
    """What a world is made of. `controller` holds durations of fairlead.toml, such as `{"poll_interval": "1s"}`."""

    example: Path | None = EXAMPLE  # None: an empty repository and no fleets
    gate: GateSettings = field(default_factory=GateSettings)
    boot_seconds: float = 0.0  # how long a new instance is Pending
    controller: Mapping[str, str] | None = None


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
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        self.state.mkdir(parents=True, exist_ok=True)
        with ExitStack() as starting:  # what was started is ended again if the rest fails
            starting.enter_context(self.aws)
            starting.enter_context(self.gate)
            self.git = starting.enter_context(GitServer(self.folder / "git"))
            self._open_repository()
            self._write_settings()
            self._offer_deeds()
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

    def _open_repository(self) -> None:
        self.checkout = Checkout(self.folder / "checkout", self.git.create(REPOSITORY))
        files = {"README.md": "# Desired state\n"}
        if self.settings.example is not None:
            files = files_of(self.settings.example, self.gate.url)
            for fleet in fleets_of(files):
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
            )
        )
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
            f'url = "{self.git.url(REPOSITORY)}"',
            'branch = "main"',
        ]
        lines += ["", "[[gates]]", f'url = "{self.gate.url}"', 'auth = {mode = "none"}', ""]
        self.config.write_text("\n".join(lines), encoding="utf-8")
        said = "".join(f"{name}='{value}'\n" for name, value in self.environment.items())
        (self.folder / "world.env").write_text(said, encoding="utf-8")

    def _offer_deeds(self) -> None:
        """What people may do by HTTP beside switching faults: POST /sandbox/<name> on Gate's address."""
        self.gate.control.deeds["change-by-hand"] = self.change_by_hand
        self.gate.control.deeds["break-health"] = self.break_health
        self.gate.control.deeds["mend-health"] = self.mend_health

    # -- living in it ------------------------------------------------------------------------------------------

    def merge(self, message: str, files: Mapping[str, str | None]) -> str:
        """Write files (path: text, None removes one), commit and push to `main`; gives the commit."""
        self.checkout.pull()  # others push too
        self.checkout.commit(message, files)
        return self.checkout.push()

    def bump(self, fleet: str, version: str) -> str:
        """Merge a version bump of one fleet ("prod/checkout"), keeping the file's comments; gives the commit."""
        self.checkout.pull()
        path = f"environments/{fleet}.yaml"
        text = (self.checkout.folder / path).read_text(encoding="utf-8")
        bumped = re.sub(r"^version:.*$", f'version: "{version}"', text, flags=re.MULTILINE)
        return self.merge(f"Bump {fleet} to {version}", {path: bumped})

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


def seed_cluster(aws: Aws, cluster: str, region: str, package: str, version: str, *, capacity: int = 2) -> str:
    """Register (or reuse) an AMI of the version and make the cluster's next group from it; gives the group's name."""
    found = images.find(aws, region, package, version)
    image = found or images.register(aws, region, package, version, SystemClock().now())
    name = server_groups.next_name(cluster, server_groups.groups_of(aws, region, cluster))
    server_groups.create(aws, region, name, image.id, (capacity, capacity, capacity), {})
    return name
