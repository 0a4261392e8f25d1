"""doctor of Gate: the pipelines that fleets call, over HTTP, on the sandbox's Gate."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from adapters.doctor.findings import Finding, Verdict
from adapters.doctor.pipelines import GateLook
from adapters.gate.auth import GateAuth
from adapters.gate.client import Gate as Client
from adapters.pipelines.building import wanted_of
from desired_state.model import Fleet
from desired_state.trees import MemoryTree
from fairlead import wiring
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate, GateSettings, authentication, deploy_pipeline

FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [staging]\n",
    "environments/staging/environment.yaml": """\
account: "123456789012"
regions: [us-east-1]
spinnaker: {url: "https://gate.example.com", account: staging}
""",
    "environments/staging/checkout.yaml": "version: 1.4.1\n",
    "services/checkout.yaml": """\
owner: payments
package: checkout
deploy:
  type: spinnaker
  application: checkout
  pipeline: "deploy-{environment}"
  parameters: {version: PKG_VERSION, region: REGION, fairleadKey: FAIRLEAD_KEY}
  select: {cluster: "checkout-{environment}"}
""",
}


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    state = wiring.parser().parse(MemoryTree({path: text.encode() for path, text in FILES.items()}))
    return state.fleets["staging/checkout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A Gate, and one fleet that it is to deploy."""

    gate: Gate
    fleet: Fleet

    def found(self, about: str = "checkout/deploy-staging", auth: GateAuth | None = None) -> list[Finding]:
        look = GateLook(Client(self.gate.url, auth), [self.fleet], signs_in=auth is not None)
        return [each for each in look.check() if each.about == about]

    def verdicts(self) -> list[str]:
        return [str(each.verdict) for each in self.found()]

    def pipeline(self, **fields: Any) -> str:
        config = deploy_pipeline(
            "checkout", "deploy-staging", "checkout-staging", "checkout", regions=["us-east-1"], **fields
        )
        return self.gate.pipelines.save(config)


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.fixture
def site(aws: Aws, fleet: Fleet) -> Iterator[Site]:
    with Gate(aws, GateSettings(background=False)) as gate:
        yield Site(gate=gate, fleet=fleet)


def test_a_pipeline_that_is_not_there_is_trouble_that_names_what_is(site: Site) -> None:
    site.gate.pipelines.save({"application": "checkout", "name": "bake", "stages": []})

    (found,) = site.found()

    assert ("trouble", True) == (found.verdict, "the application has bake" in found.seen)


@pytest.mark.parametrize("kind", ["cron", "git", "jenkins", "docker", "pipeline", "pubsub", "webhook"])
def test_a_trigger_of_another_master_is_trouble(site: Site, kind: str) -> None:
    site.pipeline(triggers=[{"type": kind, "enabled": True}])

    (found,) = site.found()

    assert "trouble" == found.verdict
    assert kind in found.seen
    assert "disable that trigger" in found.fix


@pytest.mark.parametrize("trigger", [{"type": "cron", "enabled": False}, {"type": "cron"}])
def test_a_trigger_that_is_off_is_no_master(site: Site, trigger: dict[str, Any]) -> None:
    site.pipeline(triggers=[trigger])

    assert ["ok"] == site.verdicts()


def test_a_pipeline_that_starts_ours_is_a_second_master(site: Site) -> None:
    ours = site.pipeline()
    site.gate.pipelines.save(
        {"application": "checkout", "name": "nightly", "stages": [{"type": "pipeline", "pipeline": ours}]}
    )

    (found,) = site.found()

    assert ("warning", True) == (found.verdict, "nightly starts it too" in found.seen)


def test_a_pipeline_that_is_disabled_is_trouble(site: Site) -> None:
    site.pipeline(disabled=True)

    (found,) = site.found()

    assert ("trouble", "enable it in Spinnaker") == (found.verdict, found.fix)


def test_parameters_that_the_pipeline_lacks_or_wants_are_named(site: Site) -> None:
    site.pipeline(
        parameterConfig=[{"name": "PKG_VERSION"}, {"name": "REGION"}, {"name": "TEAM", "required": True}], stages=[]
    )

    lacks, wants = site.found()

    assert "takes no parameter FAIRLEAD_KEY" in lacks.seen
    assert "requires TEAM" in wants.seen


def test_a_parameter_that_a_stage_reads_need_not_be_declared(site: Site) -> None:
    expression = "${parameters.PKG_VERSION} ${parameters.REGION} ${parameters.FAIRLEAD_KEY}"
    site.pipeline(parameterConfig=[], stages=[{"type": "deploy", "x": expression}])

    assert ["ok"] == site.verdicts()


def test_a_pipeline_may_be_called_by_its_id(site: Site) -> None:
    ours = site.pipeline()
    called = replace(site.fleet, deploy={**site.fleet.deploy, "pipeline": ours})

    assert ["ok"] == [str(each.verdict) for each in replace(site, fleet=called).found(f"checkout/{ours}")]


def test_a_pipeline_of_a_template_is_not_judged_by_its_parameters(site: Site) -> None:
    site.pipeline(type="templatedPipeline", parameterConfig=[], stages=[])

    assert ["skipped"] == site.verdicts()


def test_whom_gate_takes_us_for_is_told(site: Site) -> None:
    (found,) = site.found(site.gate.url)

    assert (Verdict.OK, "it knows us as anonymous") == (found.verdict, found.seen)


def test_a_sign_in_that_gate_takes_for_nobody_is_trouble(site: Site) -> None:
    (found,) = site.found(site.gate.url, GateAuth(mode="bearer", header="X-Spinnaker-Token", secret="spk_x"))

    assert (Verdict.TROUBLE, True) == (found.verdict, "takes us for nobody" in found.seen)


def test_a_sign_in_that_gate_refuses_is_trouble_without_the_secret(aws: Aws, fleet: Fleet) -> None:
    with Gate(aws, GateSettings(background=False), authentication.Bearer(token="spk_right")) as gate:
        wrong = GateAuth(mode="bearer", header="X-Spinnaker-Token", secret="spk_wrong")

        (found,) = Site(gate=gate, fleet=fleet).found(gate.url, wrong)

    assert found.unreachable
    assert "check the credentials" in found.fix
    assert "spk_wrong" not in found.seen + found.fix


GENERATE = """\
  generate:
    zones: {us-east-1: [us-east-1a]}
    capacity: {min: 1, max: 2, desired: 1}
"""


@pytest.fixture(scope="module")
def writing_fleet() -> Fleet:
    files = {**FILES, "services/checkout.yaml": FILES["services/checkout.yaml"] + GENERATE}
    state = wiring.parser().parse(MemoryTree({path: text.encode() for path, text in files.items()}))
    return state.fleets["staging/checkout"]


def test_a_pipeline_that_is_ours_to_write_and_not_there_names_the_command(site: Site, writing_fleet: Fleet) -> None:
    (finding,) = replace(site, fleet=writing_fleet).found()

    assert "staging/checkout asks for it, and it is not there yet" == finding.seen
    assert "run `fairlead spinnaker pipelines apply`" == finding.fix


def test_a_pipeline_of_ours_that_somebody_edited_is_a_warning_with_who_and_when(
    site: Site, writing_fleet: Fleet
) -> None:
    site = replace(site, fleet=writing_fleet)
    (wanted,) = wanted_of(writing_fleet)
    site.gate.pipelines.save(wanted.config("1"))
    assert ["ok"] == site.verdicts()

    site.gate.pipelines.change("1", email="a@example.com", lastModifiedBy="alice", updateTs="1764149400000")

    warning = next(each for each in site.found() if each.verdict is Verdict.WARNING)
    assert "edited in Spinnaker by alice at 2025-11-26 09:30:00 UTC, in 1 place" == warning.seen
    assert "take the edit into the service file, or --overwrite it" in warning.fix
