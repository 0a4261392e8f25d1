"""The fleets of a bulk world, and the desired-state repository that says what they run: many small files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fairlead_sandbox.aws import ACCOUNT, REGIONS
from fairlead_sandbox.example import Artifact, TriggerFleet
from fairlead_sandbox.gate.pipelines import PARAMETERS

FIRST = "1.0.0"  # the version that everything runs at first
BUILDS = "bulk-builds"  # the bucket that has every artifact of every version
ROLE = f"arn:aws:iam::{ACCOUNT}:role/fairlead"
TEAMS = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkFleets:
    """How many fleets of each type there are, spread evenly over the environments, all in these regions.

    Waves and policy are YAML, as they stand behind `waves:` and in `defaults:`.
    """

    spinnaker: int
    trigger: int
    environments: tuple[str, ...] = ("prod",)
    regions: tuple[str, ...] = REGIONS[:1]
    spinnaker_waves: str = "[{regions: all}]"
    trigger_waves: str = "[{hosts: 100%}]"
    defaults: str = "{on_failure: rollback, heal: repair, adopt: ask}"
    role: str = ROLE  # empty: the controller's own identity
    more: str = ""  # further lines of every service's `deploy`, such as "silent_after: 10s"
    run: str = ""  # of every trigger service, as YAML; empty: a systemd unit of its name
    health: str = '{http: "http://localhost:8080/health", within: 5s}'

    def spinnaker_names(self) -> list[str]:
        """`prod/svc-0001`, ..."""
        return list(self._named("svc", self.spinnaker))

    def trigger_names(self) -> list[str]:
        """`prod/mm-0001`, ..."""
        return list(self._named("mm", self.trigger))

    def _named(self, prefix: str, number: int) -> Iterator[str]:
        places = self.environments
        for index in range(number):
            yield f"{places[index % len(places)]}/{prefix}-{index // len(places) + 1:04d}"

    def bucket(self, environment: str) -> str:
        """Where an environment's orders lie."""
        return f"bulk-orders-{environment}"

    def files(self, gate_url: str) -> Iterator[tuple[str, str]]:
        """Every file of the repository, as path and text."""
        yield (
            "fairlead.yaml",
            (f"apiVersion: fairlead/v1\nenvironments: [{', '.join(self.environments)}]\ndefaults: {self.defaults}\n"),
        )
        for environment in self.environments:
            yield f"environments/{environment}/environment.yaml", self._environment(environment, gate_url)
        for kind, names in (("svc", self.spinnaker_names()), ("mm", self.trigger_names())):
            for service in dict.fromkeys(name.partition("/")[2] for name in names):
                yield f"services/{service}.yaml", self._service(service, kind)
            for name in names:
                yield fleet_file(name, FIRST)

    def trigger_files(self, gate_url: str) -> dict[str, str]:
        """The same without the Spinnaker fleets: all that a trigger fleet's release is made of."""
        return {path: text for path, text in self.files(gate_url) if "/svc-" not in path}

    def trigger_fleet(self, name: str) -> TriggerFleet:
        """A trigger fleet as the sandbox's other parts know it."""
        environment, _, service = name.partition("/")
        source = f"s3://{BUILDS}/{service}/{{version}}/{service}.jar"
        return TriggerFleet(
            name=name,
            service=service,
            version=FIRST,
            regions=self.regions,
            bucket=self.bucket(environment),
            root=f"/srv/{service}",
            unit=f"{service}.service",
            port=8080,
            tags={"service": service, "environment": environment},
            artifacts=(Artifact(name=service, format="file", source=source, to=f"{service}.jar"),),
            config=None,
            drains=False,
        )

    def _environment(self, environment: str, gate_url: str) -> str:
        role = f"role: {self.role}\n" if self.role else ""
        trigger = f"trigger: {{bucket: {self.bucket(environment)}}}\n" if self.trigger else ""
        return (
            f'account: "{ACCOUNT}"\nregions: [{", ".join(self.regions)}]\n{role}'
            f'spinnaker: {{url: "{gate_url}", account: prod}}\n{trigger}'
        )

    def _service(self, service: str, kind: str) -> str:
        team = f"owner: team-{int(service[-4:]) % TEAMS:02d}\n"
        more = "".join(f"  {line}\n" for line in self.more.splitlines())
        return team + (self._pipeline(service) if kind == "svc" else self._agents(service)) + more

    def _pipeline(self, service: str) -> str:
        names = ", ".join(f"{word}: {own}" for word, own in PARAMETERS.items() if word in USED)
        application = application_of(service)
        return (
            f"package: {service}\ndeploy:\n  type: spinnaker\n  application: {application}\n"
            f'  pipeline: "deploy-{{environment}}"\n  parameters: {{{names}}}\n'
            f'  select: {{cluster: "{application}-{{environment}}"}}\n  waves: {self.spinnaker_waves}\n'
        )

    def _agents(self, service: str) -> str:
        source = f"s3://{BUILDS}/{service}/{{version}}/{service}.jar"
        return (
            f'packages:\n  {service}: {{format: file, from: "{source}", to: {service}.jar}}\n'
            f"deploy:\n  type: trigger\n  root: /srv/{service}\n"
            f'  select: {{tags: {{service: {service}, environment: "{{environment}}"}}}}\n'
            f"  run: {self.run or f'{{unit: {service}.service, stop_within: 5s}}'}\n"
            f"  health: {self.health}\n  waves: {self.trigger_waves}\n"
        )


USED = frozenset({"version", "region", "ami", "fairleadKey"})  # of a pipeline's parameters


def parameters() -> Mapping[str, str]:
    """Fairlead's words and the pipelines' own names for them."""
    return {word: own for word, own in PARAMETERS.items() if word in USED}


def fleet_file(name: str, version: str) -> tuple[str, str]:
    """The one file that a bump edits."""
    return f"environments/{name}.yaml", f'version: "{version}"\n'


def application_of(service: str) -> str:
    """`svc0001`: an application has no hyphen."""
    return service.replace("-", "")


def cluster_of(name: str) -> str:
    """The cluster of a Spinnaker fleet."""
    environment, _, service = name.partition("/")
    return f"{application_of(service)}-{environment}"


def built(key: str) -> bytes | None:
    """What lies in the bucket of builds under a key: everything but versions that have `missing` in them."""
    return None if "missing" in key else f"the build {key}\n".encode()
