"""The trigger half of a world: instances with agents, builds, topics and queues, and the key that signs orders."""

import fcntl
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from adapters.agent_protocol.signing import SigningKey, new_key
from fairlead_sandbox import aws_lifecycle, builds, first_deploy, images, plumbing, server_groups
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.builds import Behaviour, Build
from fairlead_sandbox.example import TriggerFleet
from fairlead_sandbox.hosts import AgentSettings, Host
from fairlead_sandbox.imds import MetadataService
from fairlead_sandbox.surroundings import LOOPBACK, inherited
from reconciler.ports import Clock

KEY_ID = "sandbox"
LAUNCH_HOOK, TERMINATING_HOOK = "fairlead-launch", "fairlead-terminating"
_WARDEN = Path(__file__).parent / "played" / "warden.py"


class TriggerHalf:
    """Use it as a context manager: every process of every host ends with it, by its process id.

    `fleets` are those that may have hosts, by name; `hosts` those that there are, by instance id; `key` signs orders.
    """

    def __init__(
        self, folder: Path, aws: Aws, clock: Clock, fleets: Iterable[TriggerFleet], pace: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.fleets = {fleet.name: fleet for fleet in fleets}
        self.hosts: dict[str, Host] = {}
        self.key: SigningKey
        self._aws = aws
        self._clock = clock
        self._pace = pace
        self._imds = MetadataService(aws, clock, lifetime=timedelta(hours=6))
        self._targets: dict[tuple[str, str], str] = {}  # fleet, region: target group
        self._first: dict[str, Build] = {}  # by fleet: what the repository names
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        (self.folder / "hosts").mkdir(parents=True, exist_ok=True)
        self.key, private = new_key(KEY_ID)
        self.key_file.write_text(f"{private}\n", encoding="utf-8")
        self.key_file.chmod(0o600)
        with ExitStack() as starting:
            starting.enter_context(_Warden(self.folder))
            starting.enter_context(self._imds)
            starting.callback(self._end_hosts)
            plumbing.lay(self._aws, self.fleets.values())
            for fleet in self.fleets.values():
                self._first[fleet.name] = builds.upload(self._aws, fleet, fleet.version)
            self._parts = starting.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._parts.close()

    def _end_hosts(self) -> None:
        for host in self.hosts.values():
            host.end()

    @property
    def key_file(self) -> Path:
        """The private key, base64: what `[signing] key = "file:..."` names."""
        return self.folder / "signing.key"

    # -- builds ------------------------------------------------------------------------------------------------

    def build(self, service: str, version: str, behaviour: Behaviour, after: float) -> Build:
        """Upload a version of a service. Raises `LookupError` for a service that no fleet is of."""
        found = next((fleet for fleet in self.fleets.values() if fleet.service == service), None)
        if found is None:
            known = ", ".join(sorted({fleet.service for fleet in self.fleets.values()})) or "none"
            raise LookupError(f"no trigger fleet is of the service {service}; there is: {known}")
        return builds.upload(self._aws, found, version, behaviour, after=after)

    def deploy_first(self, files: Mapping[str, str], commit: str) -> None:
        """Lay the orders after which all hosts run what the repository says, start the agents, wait for them."""
        orders = first_deploy.first_orders(files, commit, self._first, self.key, self._clock.now())
        first_deploy.put_orders(self._aws, self.fleets, orders)
        for host in self.hosts.values():
            host.start_agent()
        first_deploy.wait_for(self.hosts.values())

    # -- hosts -------------------------------------------------------------------------------------------------

    def add(
        self, fleets: tuple[str, ...], count: int, region: str | None = None, *, connected: bool = True
    ) -> list[Host]:
        """Launch instances of these fleets, spread over the regions of the first. Their agents are not started.

        Without `connected` they have no queue yet. Raises `KeyError` for a fleet that the repository does not have.
        """
        members = tuple(self.fleets[name] for name in fleets)
        regions = [region] if region else list(members[0].regions)
        shares = Counter(place for _, place in zip(range(count), cycle(regions), strict=False))
        made = [host for place, share in shares.items() for host in self._launch(members, share, place)]
        for host in made if connected else ():
            self.connect(host)
        return made

    def make_group(self, name: str, fleet: str, region: str, timeout: int = 600) -> None:
        """An Auto Scaling group of the fleet's instances, empty yet, with a hook for each end of their lives."""
        server_groups.create(self._aws, region, name, self._image(region), (0, 100, 0), self.fleets[fleet].tags)
        for hook, transition in (
            (LAUNCH_HOOK, aws_lifecycle.LAUNCHING),
            (TERMINATING_HOOK, aws_lifecycle.TERMINATING),
        ):
            self._aws.client("autoscaling", region).put_lifecycle_hook(
                AutoScalingGroupName=name,
                LifecycleHookName=hook,
                LifecycleTransition=transition,
                HeartbeatTimeout=timeout,
            )

    def scale_out(self, group: str, fleet: str, region: str) -> Host:
        """The group launches one instance more, which waits for its hook. Its agent is not started."""
        found = server_groups.read(self._aws, region, group)
        if found is None:
            raise LookupError(f"there is no group {group} in {region}; make it first")
        self._aws.client("autoscaling", region).set_desired_capacity(
            AutoScalingGroupName=group, DesiredCapacity=found.desired + 1
        )
        return self.adopt(group, fleet, region)

    def adopt(self, group: str, fleet: str, region: str) -> Host:
        """The instance that the group launched last, as a host: by hand, or in the place of one that it ended."""
        found = server_groups.read(self._aws, region, group)
        members = [each["InstanceId"] for each in found.instances] if found is not None else []
        (fresh,) = [each for each in members if each not in self.hosts]
        ec2 = self._aws.client("ec2", region)
        (instance,) = ec2.describe_instances(InstanceIds=[fresh])["Reservations"][0]["Instances"]
        hooks = {"launch_hook": LAUNCH_HOOK, "terminating_hook": TERMINATING_HOOK}
        host = self._host(instance, region, (self.fleets[fleet],), **hooks)
        self.connect(host)
        return host

    def end_in_group(self, host: Host, *, replace: bool) -> None:
        """Its group ends it, when its hook lets it, and launches another in its place where that is asked for."""
        self._aws.client("autoscaling", host.region).terminate_instance_in_auto_scaling_group(
            InstanceId=host.id, ShouldDecrementDesiredCapacity=not replace
        )

    def lifecycle(self, host: Host) -> str:
        """The instance's state in its group; empty: it is in none, or gone."""
        found = self._aws.client("autoscaling", host.region).describe_auto_scaling_instances(InstanceIds=[host.id])
        return next((str(each["LifecycleState"]) for each in found["AutoScalingInstances"]), "")

    def notice(self, host: Host, path: str, said: Mapping[str, str] | None) -> None:
        """The host's metadata service says something below `latest/meta-data`; None: no more."""
        self._imds.put_notice(host.id, path, None if said is None else json.dumps(said))

    def connect(self, host: Host) -> None:
        """Give the host its queue, subscribed to its fleets' topics."""
        plumbing.connect(self._aws, host.region, host.id, host.fleets.values())

    def put_behind_balancers(self, hosts: Iterable[Host]) -> None:
        """Register the hosts with the target groups of those of their fleets that drain."""
        for host in hosts:
            for fleet in host.fleets.values():
                if fleet.drains:
                    self._register(fleet, host)

    def terminate(self, host: Host) -> None:
        """End its processes, terminate the instance, forget it. Its queue stays, as after a crash."""
        host.end()
        self._aws.client("ec2", host.region).terminate_instances(InstanceIds=[host.id])
        self._imds.remove(host.id)
        del self.hosts[host.id]

    def target_group(self, fleet: str, region: str) -> str:
        """The ARN of the fleet's target group in a region. Raises `KeyError` where it has none."""
        return self._targets[fleet, region]

    def _launch(self, fleets: tuple[TriggerFleet, ...], count: int, region: str) -> list[Host]:
        tags = {"Name": fleets[0].name, **{key: value for fleet in fleets for key, value in fleet.tags.items()}}
        launched = self._aws.client("ec2", region).run_instances(
            ImageId=self._image(region),
            InstanceType="t3.micro",
            MinCount=count,
            MaxCount=count,
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            ],
        )["Instances"]
        return [self._host(each, region, fleets) for each in launched]

    def _image(self, region: str) -> str:
        found = images.find(self._aws, region, "fairlead-agent", "1")
        return (found or images.register(self._aws, region, "fairlead-agent", "1", self._clock.now())).id

    def _host(self, instance: Mapping[str, Any], region: str, fleets: tuple[TriggerFleet, ...], **more: str) -> Host:
        name = instance["InstanceId"]
        self._imds.add(name, region, instance["Placement"]["AvailabilityZone"])
        host = Host(self.folder / "hosts" / name, name, region, fleets, self._environment(name))
        keys = {self.key.key_id: self.key.public}
        settings = AgentSettings(bucket=fleets[0].bucket, keys=keys, **self._pace)
        host.prepare(settings)
        host.write_settings(settings, **more)
        self.hosts[name] = host
        return host

    def _environment(self, instance: str) -> dict[str, str]:
        """An agent's: it knows who it is and what it may do from the metadata service alone."""
        return {
            **inherited(),
            "AWS_ENDPOINT_URL": self._aws.endpoint_url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self._imds.endpoint(instance),
            "AWS_METADATA_SERVICE_TIMEOUT": "5",  # this machine plays a whole data centre
            "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "3",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "NO_PROXY": LOOPBACK,
        }

    def _register(self, fleet: TriggerFleet, host: Host) -> None:
        client, region = self._aws.client("elbv2", host.region), host.region
        if (fleet.name, region) not in self._targets:
            vpc = self._aws.client("ec2", region).describe_vpcs()["Vpcs"][0]["VpcId"]
            name = fleet.name.replace("/", "-")[:32]
            made = client.create_target_group(
                Name=name, Protocol="HTTP", Port=fleet.port, VpcId=vpc, TargetType="instance"
            )
            self._targets[fleet.name, region] = made["TargetGroups"][0]["TargetGroupArn"]
        client.register_targets(TargetGroupArn=self._targets[fleet.name, region], Targets=[{"Id": host.id}])


class _Warden:
    """Ends the hosts' processes when this one is killed: it waits for a lock that the kernel takes from the dead."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: IO[str]
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> None:
        self._lock = (self._folder / "alive").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        command = [sys.executable, "-I", "-S", str(_WARDEN), str(self._folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self._lock.close()
