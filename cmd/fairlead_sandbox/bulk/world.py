"""A world of hundreds to ten thousands of fleets: repository, Gate, AWS and hosts, in sync with each other.

Everything runs in threads of this process; `process.py` gives it one of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from adapters.agent_protocol.addresses import agent_queue_name, order_key, reports_queue_name, topic_name
from adapters.agent_protocol.reading import parse_order
from adapters.agent_protocol.signing import SigningKey, new_key
from fairlead_sandbox.aws import ACCOUNT
from fairlead_sandbox.builds import Behaviour, Build
from fairlead_sandbox.bulk.aws import BulkAws
from fairlead_sandbox.bulk.fleets import BUILDS, FIRST, BulkFleets, application_of, built, cluster_of, fleet_file
from fairlead_sandbox.bulk.fleets import parameters as pipeline_parameters
from fairlead_sandbox.bulk.ground import BulkGround
from fairlead_sandbox.bulk.identities import Caller
from fairlead_sandbox.bulk.played_hosts import EVERY, HostPace, PlayedHosts
from fairlead_sandbox.bulk.repository import Server, commit_files
from fairlead_sandbox.first_deploy import first_orders
from fairlead_sandbox.gate import FaultKind, Gate, GateSettings, deploy_pipeline
from fairlead_sandbox.git_server import GitServer

REPOSITORY = "main"  # its name, on the git server and in fairlead.toml
KEY_ID = "sandbox"
QUICK_GATE = GateSettings(bake_seconds=0.05, deploy_seconds=0.1, health_seconds=5.0)
QUICK = {
    "poll_interval": "1s",
    "request_timeout": "5s",
    "gate_timeout": "1s",
    "inventory_interval": "2s",
    "executions_interval": "1s",
    "active_interval": "1s",
    "reports_wait": "1s",
}
SEEDER = Caller(ACCOUNT, "", "sandbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkSettings:
    """What a world is made of. `hosts_each` and `instances_each` are per fleet and region.

    `ledger` is a SQLAlchemy URL (left out: SQLite in the folder), `controller` are further lines of fairlead.toml by
    name, as TOML values without quotes around text, and `repository` lines below `[[repositories]]`, such as a forge's.
    """

    fleets: BulkFleets
    hosts_each: int = 2
    instances_each: int = 2
    ledger: str = ""
    controller: Mapping[str, str] = field(default_factory=dict)
    repository: tuple[str, ...] = ()
    gate: GateSettings = QUICK_GATE
    pace: HostPace = field(default_factory=HostPace)
    latency: float = 0.0  # seconds, before each of AWS's answers
    played: bool = True  # hosts live; False: instances and their queues are there, and agents are whoever comes
    serve: Callable[[Path], Server] = GitServer


class BulkWorld:
    """Use it as a context manager. `aws`, `gate`, `hosts` and `git` are its parts; `config` is the fairlead.toml.

    `on_push` is called with each new commit: what a forge does with its webhooks. `road` leads from Gate's own URL to
    the one that everybody is told.
    """

    def __init__(self, folder: Path, settings: BulkSettings, road: Callable[[str], str] = str) -> None:
        self._road = road
        self.folder = folder.resolve()
        self.settings = settings
        self.fleets = settings.fleets
        self.aws = BulkAws(latency=settings.latency)
        self.gate = Gate(BulkGround(self.aws), settings.gate)
        self.config = self.folder / "fairlead.toml"
        self.state = self.folder / "state"
        self.on_push: list[Callable[[str], Any]] = []
        self.key: SigningKey
        self.hosts: PlayedHosts
        self.git: Server
        self.head = ""
        self.gate_url = ""
        self.launched: dict[str, list[str]] = {}  # instance ids by trigger fleet
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        self.state.mkdir(parents=True, exist_ok=True)
        with ExitStack() as starting:
            starting.enter_context(self.aws)
            starting.enter_context(self.gate)
            self.gate_url = self._road(self.gate.url)
            self.git = self.settings.serve(self.folder / "git")
            starting.callback(self.git.stop)
            self._make_key()
            self.hosts = PlayedHosts(self.aws, {self.key.key_id: self.key.public}, self.settings.pace)
            self.git.create(REPOSITORY)
            self.head = self._commit("Say what runs where", self.fleets.files(self.gate_url))
            self._seed_clusters()
            self._seed_hosts()
            self._write_settings()
            self.hosts.start()
            starting.callback(self.hosts.stop)
            self._parts = starting.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._parts.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a child process needs beside its own environment to see this world and no other."""
        return {**self.aws.environment(), "FAIRLEAD_CONFIG": str(self.config)}

    @property
    def names(self) -> list[str]:
        """Every fleet."""
        return [*self.fleets.spinnaker_names(), *self.fleets.trigger_names()]

    # -- living in it ------------------------------------------------------------------------------------------------

    def bump(self, names: Iterable[str], version: str) -> str:
        """One commit that sets the version of these fleets; gives it."""
        chosen = list(names)
        said = f"Bump {len(chosen)} fleets to {version}" if len(chosen) > 1 else f"Bump {chosen[0]} to {version}"
        return self.merge(said, [fleet_file(name, version) for name in chosen])

    def merge(self, message: str, files: Iterable[tuple[str, str | None]]) -> str:
        """One commit of these files (None: the file goes); gives it."""
        self.head = self._commit(message, files)
        for hear in self.on_push:
            hear(self.head)
        return self.head

    def change_by_hand(self, name: str, version: str) -> None:
        """Somebody replaces the instances of a Spinnaker fleet, outside any pipeline."""
        for region in self.fleets.regions:
            self.aws.set_version(cluster_of(name), region, version)

    def spoil(self, fleet: str, version: str) -> None:
        """From now on this version is unhealthy where it is deployed; `*` is any fleet."""
        self.hosts.sick.add((fleet, version))
        of_one: dict[str, Any] = {} if fleet == EVERY else {"application": application_of(fleet.partition("/")[2])}
        self.gate.faults.on(FaultKind.UNHEALTHY_VERSION, version=version, **of_one)

    def versions(self, name: str) -> dict[str, str]:
        """What runs now of a fleet, without asking Fairlead: by region, or by host."""
        if name in self._agents:
            return self.hosts.versions(name)
        return {region: self._serving(name, region) for region in self.fleets.regions}

    def starts(self) -> list[tuple[str, str, str]]:
        """Every deploy that was begun: fleet, version and where (a region's pipeline, or a host), in their order.

        A fleet's way back by itself, on a host, is none.
        """
        begun = [(one.fleet, one.version, one.host) for one in self.hosts.started if not one.back]
        return [*self._gate_starts(), *begun]

    def _gate_starts(self) -> list[tuple[str, str, str]]:
        by_name = {
            (application_of(name.partition("/")[2]), f"deploy-{name.partition('/')[0]}"): name
            for name in self.fleets.spinnaker_names()
        }
        found = []
        for execution in self.gate.executions.all():
            said = execution.parameters
            fleet = by_name[execution.body["application"], execution.body["name"]]
            found.append((fleet, str(said.get("PKG_VERSION")), str(said.get("REGION"))))
        return found

    def _serving(self, name: str, region: str) -> str:
        """The versions of the instances that enabled groups run, `+` between them."""
        estate = self.aws.estate(region)
        with estate.lock:
            enabled = [group for group in estate.clusters[cluster_of(name)].values() if group.enabled]
            images = {one.image for group in enabled for one in group.instances}
            return "+".join(sorted({estate.images[image].version for image in images}))

    # -- making it ---------------------------------------------------------------------------------------------------

    @property
    def _agents(self) -> frozenset[str]:
        return frozenset(self.fleets.trigger_names())

    def _commit(self, message: str, files: Iterable[tuple[str, str | None]]) -> str:
        return commit_files(self.git.path(REPOSITORY), message, files)

    def _make_key(self) -> None:
        self.key, private = new_key(KEY_ID)
        file = self.folder / "signing.key"
        file.write_text(f"{private}\n", encoding="utf-8")
        file.chmod(0o600)

    def _seed_clusters(self) -> None:
        for name in self.fleets.spinnaker_names():
            environment, _, service = name.partition("/")
            cluster, parameters = cluster_of(name), pipeline_parameters()
            for region in self.fleets.regions:
                self.aws.seed_cluster(cluster, region, service, FIRST, capacity=self.settings.instances_each)
            self.gate.pipelines.save(
                deploy_pipeline(
                    application_of(service),
                    f"deploy-{environment}",
                    cluster,
                    service,
                    regions=self.fleets.regions,
                    parameters=parameters,
                )
            )

    def _seed_hosts(self) -> None:
        self.aws.objects.made[BUILDS] = built
        self.aws.objects.buckets |= {self.fleets.bucket(environment) for environment in self.fleets.environments}
        for environment in self.fleets.environments:
            for region in self.fleets.regions:
                self.aws.make_queue(region, reports_queue_name(environment))
        for name, body in self._first_orders().items():
            bucket = self.fleets.bucket(name.partition("/")[0])
            self.aws.objects.put(bucket, order_key(name), body, SEEDER)
            self._launch(name, bucket, body)

    def _launch(self, name: str, bucket: str, body: bytes) -> None:
        """The fleet's hosts in every region, which run what its first order says."""
        release, fleet = parse_order(body).target, self.fleets.trigger_fleet(name)
        for region in self.fleets.regions:
            image = self.aws.image(region, "fairlead-agent", "1").id
            topic = self.aws.make_topic(region, topic_name(name))
            for number in range(self.settings.hosts_each):
                tags = {"Name": name, **fleet.tags}
                one = self.aws.estate(region).add_host(image, tags, number, self.aws.clock.now())
                self.aws.make_queue(region, agent_queue_name(one.id), topics=(topic,))
                self.launched.setdefault(name, []).append(one.id)
                if self.settings.played:
                    self.hosts.add(one.id, region, {name: bucket})
                    self.hosts.install(one.id, name, release)

    def _first_orders(self) -> dict[str, bytes]:
        names = self.fleets.trigger_names()
        if not names:
            return {}
        made = {name: self._build(name) for name in names}
        files = self.fleets.trigger_files(self.gate_url)
        return first_orders(files, self.head, made, self.key, self.aws.clock.now())

    def _build(self, name: str) -> Build:
        service = name.partition("/")[2]
        key = f"{service}/{FIRST}/{service}.jar"
        digest = sha256(built(key) or b"").hexdigest()
        return Build(
            service=service,
            version=FIRST,
            behaviour=Behaviour.HEALTHY,
            sha256={service: digest},
            addresses={service: f"s3://{BUILDS}/{key}"},
        )

    def _write_settings(self) -> None:
        """fairlead.toml, and world.env for a shell: `set -a; . world.env`."""
        ledger = self.settings.ledger or f"sqlite:///{self.state / 'ledger.db'}"
        lines = [f'ledger = "{ledger}"', f'state = "{self.state}"']
        lines += [f"{name} = {_toml(value)}" for name, value in {**QUICK, **self.settings.controller}.items()]
        lines += ["", "[[repositories]]", f'name = "{REPOSITORY}"', f'url = "{self.git.url(REPOSITORY)}"']
        lines += ['branch = "main"', *self.settings.repository]
        lines += ["", "[[gates]]", f'url = "{self.gate_url}"', 'auth = {mode = "none"}', ""]
        lines += ["[signing]", f'key_id = "{KEY_ID}"', f'key = "file:{self.folder / "signing.key"}"', ""]
        self.config.write_text("\n".join(lines), encoding="utf-8")
        said = "".join(f"{name}='{value}'\n" for name, value in self.environment.items())
        (self.folder / "world.env").write_text(said, encoding="utf-8")


def _toml(value: str) -> str:
    """Numbers and truths as they are, everything else as text."""
    return value if value.isdigit() or value in {"true", "false"} else f'"{value}"'
