"""One fleet, deployed by Fairlead's Spinnaker deployer or by a client that believes what it is told.

Both act on a sandbox's Gate over HTTP and on a real AWS API (moto), each on an application and cluster of its own.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
import requests

from adapters.aws.sessions import Sessions
from adapters.clock import ManualClock, SystemClock
from adapters.deployers.spinnaker import Spinnaker
from adapters.gate.client import Gates
from desired_state.model import Environment, Fleet, Package
from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.gate import Gate, GateSettings, deploy_pipeline
from fairlead_sandbox.world import seed_cluster
from reconciler.reasons import Reason
from reconciler.work import Failure, Intent, Kind, Outcome, Phase, Release, Standing

EAST, WEST = "us-east-1", "eu-west-1"
OLD, NEW = "1.4.1", "1.4.2"
TRIES = 3
PARAMETERS = {"version": "PKG_VERSION", "region": "REGION", "fairleadKey": "FAIRLEAD_KEY"}
SETTINGS = GateSettings(bake_seconds=0, deploy_seconds=0, health_seconds=0, background=False)


class Ending(NamedTuple):
    """The last word, how many executions there are for it, and the versions that are in service."""

    said: str  # "success", "failed", "refused", "stuck"
    executions: int
    runs: str


class Lease:
    """Ours."""

    key = "fleet:prod/checkout"

    def check(self) -> None:
        """It is."""


@dataclass
class Side:
    """One application with one pipeline and one cluster that runs the old version, for whoever deploys onto it."""

    aws: Aws
    gate: Gate
    application: str
    regions: tuple[str, ...] = (EAST,)
    by_region: bool = False  # its pipeline is told the region, also where there are several
    meanwhile: Callable[["Side"], None] = lambda side: None  # once, as soon as something was accepted
    before_judging: Callable[["Side"], None] = lambda side: None  # once, when the first execution is complete
    steps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster = f"{self.application}-prod"
        told = self.by_region or len(self.regions) == 1
        self.parameters = parameters = {k: v for k, v in PARAMETERS.items() if told or k != "region"}
        self.config = self.gate.pipelines.save(
            deploy_pipeline(
                self.application,
                "deploy",
                self.cluster,
                self.application,
                regions=self.regions,
                parameters=parameters,
            )
        )
        for region in self.regions:
            seed_cluster(self.aws, self.cluster, region, self.application, OLD, capacity=1)

    def change(self, **fields: Any) -> None:
        """Edit the pipeline."""
        self.gate.pipelines.change(self.config, **fields)

    def change_deploys(self, **fields: Any) -> None:
        """Edit its deploy stages."""
        config = self.gate.pipelines.get(self.config)
        assert config is not None
        self.change(stages=[{**one, **fields} if one["type"] == "deploy" else one for one in config["stages"]])

    def post(self, version: str, **trigger: Any) -> requests.Response:
        """Somebody starts the pipeline."""
        body = {**trigger, "parameters": {"PKG_VERSION": version}}
        return requests.post(f"{self.gate.url}/pipelines/{self.application}/deploy", json=body, timeout=10)

    def once(self, step: str, deed: Callable[["Side"], None]) -> None:
        """Do it the first time only."""
        if step not in self.steps:
            self.steps.append(step)
            deed(self)

    def finish(self) -> None:
        """Let whatever can end come to its end."""
        for _ in range(100):
            self.gate.tick()
            if all(one.complete or one.zombie for one in self.executions):
                return
        raise AssertionError(f"executions of {self.application} did not end")

    @property
    def executions(self) -> list[Any]:
        """All of the application, oldest first."""
        return [one for one in self.gate.executions.all() if one.body["application"] == self.application]

    @property
    def statuses(self) -> list[str]:
        """Of all its executions, oldest first."""
        return [one.status for one in self.executions]

    def clear(self) -> None:
        """Destroy its groups: whoever lists groups lists those of everybody."""
        for region in self.regions:
            for group in server_groups.groups_of(self.aws, region, self.cluster):
                server_groups.delete(self.aws, group)

    def runs(self) -> str:
        """The versions of the instances in enabled groups, over all regions."""
        found = set()
        for region in self.regions:
            for group in server_groups.groups_of(self.aws, region, self.cluster):
                if group.enabled and group.instances:
                    template = self.aws.client("ec2", region).describe_launch_template_versions(
                        LaunchTemplateId=group.template
                    )["LaunchTemplateVersions"][0]["LaunchTemplateData"]
                    found.add(images.by_id(self.aws, region, template["ImageId"]).version)
        return "+".join(sorted(found))

    def ending(self, said: str) -> Ending:
        """What became of it in the end."""
        self.finish()
        return Ending(said, len(self.executions), self.runs())


class Fairlead:
    """The deployer, driven as the reconciler drives it: started again where its fate is unknown, tried again where the
    road failed, and let be where the target did.
    """

    def __init__(self, side: Side) -> None:
        self.side = side
        self.lease = Lease()
        self.clock = SystemClock()
        self.gate_clock = ManualClock(self.clock.now())  # rests and probes pass when we say so
        gates = Gates({}, timeout=10, clock=self.gate_clock)
        self.deployer = Spinnaker(sessions=Sessions(max_attempts=1), gates=gates, clock=self.clock)

    def fleet(self, version: str = NEW) -> Fleet:
        side = self.side
        return Fleet(
            name=f"prod/{side.application}",
            environment=Environment(
                name="prod", account=ACCOUNT, regions=side.regions, spinnaker={"url": side.gate.url}
            ),
            service=side.application,
            components={f"package/{side.application}": version},
            packages=(Package(name=side.application, version=version),),
            deploy_type="spinnaker",
            deploy={
                "application": side.application,
                "pipeline": "deploy",
                "parameters": side.parameters,
                "select": {"cluster": side.cluster},
                "health": {"within": "0s"},
            },
            target_digest=version.encode().hex().ljust(64, "0"),
            spec_digest="b" * 64,
            identity_digest="c" * 64,
        )

    def intent(self, version: str = NEW, attempt: int = 1, unit: str = "") -> Intent:
        fleet, now = self.fleet(version), self.clock.now()
        unit = unit or (self.side.regions[0] if len(self.side.regions) == 1 else "all")
        return Intent(
            key=f"fairlead:main:{fleet.name}:{'a' * 12}:{fleet.target_digest[:12]}:{unit}:w1:a{attempt}",
            fleet=fleet,
            repository="main",
            setting_commit="a" * 40,
            unit=unit,
            wave=1,
            attempt=attempt,
            kind=Kind.DEPLOY,
            created_at=now,
            settle_at=now,
            deadline=now + timedelta(hours=1),
            starts=1,
        )

    def start(self, intent: Intent) -> Outcome:
        standing = Standing(target=Release(fleet=intent.fleet, setting_commit=intent.setting_commit))
        return next(iter(self.deployer.start([intent], standing, {}, Lease())))

    def abort(self, outcome: Outcome) -> Outcome:
        return next(iter(self.deployer.abort([outcome], None, {}, Lease())))

    def look(self, outcome: Outcome, *, later: timedelta = timedelta(0)) -> Outcome:
        if outcome.ticket and all(one.complete for one in self.side.executions):
            self.side.once("judging", self.side.before_judging)
        snapshots = self.deployer.refresh(outcome.intent.fleet, [outcome], {})
        return self.deployer.check(outcome, snapshots, self.clock.now() + later)

    def deploy(self, version: str = NEW) -> Ending:
        outcome = None
        for attempt in range(1, TRIES + 1):
            outcome = self.follow(self.handed_over(self.intent(version, attempt)))
            if outcome.failure is not Failure.TRANSIENT:
                break
        assert outcome is not None
        said = {Phase.SUCCEEDED: "success", Phase.FAILED: "failed"}.get(outcome.phase, "stuck")
        return self.side.ending("refused" if outcome.failure is Failure.REFUSED else said)

    def handed_over(self, intent: Intent) -> Outcome:
        """Asked for again and again under the same key, until something is known of it."""
        for starts in range(1, 10):
            outcome = self.start(replace(intent, starts=starts))
            if outcome.phase is not Phase.INTENDED:
                return outcome
            self.gate_clock.advance(timedelta(seconds=10))
        raise AssertionError(f"never handed over: {outcome.message}")

    def follow(self, outcome: Outcome) -> Outcome:
        if not outcome.phase.ended:
            self.side.once("accepted", self.side.meanwhile)
        for _ in range(100):
            if outcome.phase.ended or outcome.reason is Reason.EXECUTION_STUCK:
                return outcome
            self.side.gate.tick()
            stands = any(one.zombie for one in self.side.executions)
            outcome = self.look(outcome, later=timedelta(hours=3) if stands else timedelta(0))
        raise AssertionError(f"did not end: {outcome.phase} {outcome.message}")


class Naive:
    """Starts a pipeline, polls until it is over, believes what it is told, and starts again on any error."""

    FRIGGA = re.compile(r"([-a-zA-Z0-9._~^]+)-([0-9.a-zA-Z~]+)-(\w+)(?:[.](\w+))?(?:/.*)?")

    def __init__(self, side: Side, trigger: Mapping[str, Any] | None = None) -> None:
        self.side = side
        self.trigger = dict(trigger or {})

    def deploy(self, version: str = NEW) -> Ending:
        return self.side.ending(self.said(version))

    def said(self, version: str = NEW) -> str:
        for _ in range(TRIES):
            try:
                return self.follow(self.started(version))
            except (requests.RequestException, ValueError, KeyError):
                continue
        return "failed"

    def verified(self, version: str = NEW) -> Ending:
        """Deploys until the newest group is of the version; the newest is the one with the highest number."""
        said = "failed"
        for _ in range(TRIES):
            said = self.said(version)
            if said == "success" and self.newest_version() == version:
                break
        return self.side.ending(said)

    def newest_version(self, region: str = EAST) -> str:
        groups = server_groups.groups_of(self.side.aws, region, self.side.cluster)
        newest = max(groups, key=lambda group: group.name)
        return images.by_id(self.side.aws, region, server_groups.launch_image(self.side.aws, newest)).version

    def save(self, name: str, tries: int = TRIES) -> str:
        """A 400 is a failure; it tries again."""
        config = {"application": self.side.application, "name": name, "stages": []}
        answers = (requests.post(f"{self.side.gate.url}/pipelines", json=config, timeout=10) for _ in range(tries))
        return "success" if any(answer.ok for answer in answers) else "failed"

    def rolled_back(self, told: Mapping[str, str]) -> str:
        """By the rollback pipeline, which it believes."""
        where = f"{self.side.gate.url}/pipelines/{self.side.application}/rollback"
        answer = requests.post(where, json={"parameters": dict(told)}, timeout=10)
        return self.follow(str(answer.json()["ref"]))

    def started(self, version: str = NEW) -> str:
        answer = self.side.post(version, **self.trigger)
        answer.raise_for_status()
        return str(answer.json()["ref"])

    def follow(self, ref: str) -> str:
        self.side.once("accepted", self.side.meanwhile)
        for _ in range(100):
            self.side.gate.tick()
            status = self.status(ref)
            if status not in {"NOT_STARTED", "RUNNING"}:
                return "success" if status == "SUCCEEDED" else "failed"
        return "stuck"

    def status(self, ref: str) -> str:
        answer = requests.get(f"{self.side.gate.url}{ref}", timeout=10)
        answer.raise_for_status()
        return str(answer.json()["status"])

    def found(self, event_id: str) -> list[str]:
        where = f"{self.side.gate.url}/applications/{self.side.application}/executions/search"
        return [one["id"] for one in requests.get(where, params={"eventId": event_id}, timeout=10).json()]

    def cancel(self, ref: str) -> bool:
        return requests.put(f"{self.side.gate.url}{ref}/cancel", timeout=10).ok

    def pause(self, ref: str) -> bool:
        return requests.put(f"{self.side.gate.url}{ref}/pause", timeout=10).ok

    def appversion(self, region: str = EAST) -> str | None:
        """The version of the newest group's image, taken apart by frigga's own pattern."""
        groups = server_groups.groups_of(self.side.aws, region, self.side.cluster)
        template = self.side.aws.client("ec2", region).describe_launch_template_versions(
            LaunchTemplateId=groups[-1].template
        )["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        image = self.side.aws.client("ec2", region).describe_images(ImageIds=[template["ImageId"]])["Images"][0]
        tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
        parsed = self.FRIGGA.fullmatch(tags.get("appversion", ""))
        return parsed[2] if parsed else None


@pytest.fixture(scope="module")
def ground() -> Iterator[tuple[Aws, Gate]]:
    """One AWS and one Gate for all cases of a module: every side has its own application there."""
    with Aws() as aws, Gate(aws, SETTINGS) as gate, pytest.MonkeyPatch.context() as environment:
        for name, value in aws.environment().items():
            environment.setenv(name, value)
        yield aws, gate


@pytest.fixture
def make_side(ground: tuple[Aws, Gate], request: pytest.FixtureRequest) -> Iterator[Callable[..., Side]]:
    """`make_side(regions=..., meanwhile=..., before_judging=...)`: a new application, which runs the old version."""
    aws, gate = ground
    stem = re.sub(r"\W|_", "", request.node.name)[-30:]
    made: list[Side] = []

    def make(**options: Any) -> Side:
        made.append(Side(aws, gate, f"{stem}x{len(made)}", **options))
        return made[-1]

    yield make
    gate.faults.clear()
    for side in made:
        side.clear()


@pytest.fixture
def fairlead() -> type[Fairlead]:
    """`fairlead(side)`: deploys as Fairlead does."""
    return Fairlead


@pytest.fixture
def naive() -> type[Naive]:
    """`naive(side, trigger={})`: deploys as somebody would who never read Spinnaker's code."""
    return Naive
