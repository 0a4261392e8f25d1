"""`deploy.before` and `constants` of a Spinnaker fleet: what is refused, and what the pipelines are told."""

from typing import Any

import pytest

from adapters.gate.foreign import _pipelines
from adapters.gate.lanes import Lane
from adapters.gate.settings import problems_of, settings_of
from adapters.gate.starting import call_for
from adapters.gate.trigger import trigger_body

STEP = {"pipeline": "migrate-prod", "parameters": {"version": "TO", "fairleadKey": "ONCE"}}


@pytest.mark.parametrize(
    ("deploy", "sentence"),
    [
        ({"before": STEP}, ""),
        ({"before": {**STEP, "once": "target", "irreversible": True, "deadline": "20m"}}, ""),
        ({"constants": {"TEAM": "payments"}}, ""),
        ({"before": {**STEP, "once": "always"}}, "deploy.before.once: \"once\" Input should be 'target'"),
        ({"before": {**STEP, "regions": []}}, 'deploy.before.regions: "regions" is not a setting of type spinnaker'),
        ({"before": {**STEP, "pipeline": ".."}}, "deploy.before.pipeline:"),
        ({"before": {**STEP, "parameters": {"region": "R"}}}, "deploy.before.parameters.region:"),
        (
            {"before": {**STEP, "parameters": {"fairleadKey": "ONCE"}}},
            (
                'deploy.before.parameters: "version" is missing; the pipeline must be told what comes; '
                "add `version: THE_PIPELINES_PARAMETER`"
            ),
        ),
        (
            {"before": {**STEP, "pipeline": "migrate-{region}"}},
            (
                "deploy.before.pipeline: it holds {region}, and the before step runs once over all regions; "
                "write the name itself"
            ),
        ),
        (
            {"before": {**STEP, "constants": {"TO": "x"}}},
            "deploy.before.constants: two parameters go to the pipeline's TO; give each its own",
        ),
        (
            {"before": {**STEP, "constants": {"TEAM": "${1}"}}},
            "deploy.before.constants.TEAM: Spinnaker would evaluate what stands in ${...}; write it without",
        ),
        (
            {"constants": {"TEAM": "${trigger}"}},
            "deploy.constants.TEAM: Spinnaker would evaluate what stands in ${...}; write it without",
        ),
        (
            {"constants": {"PKG_VERSION": "1"}},
            "deploy.constants: two parameters go to the pipeline's PKG_VERSION; give each its own",
        ),
        ({"constants": {"SIZE": 3}}, "deploy.constants.SIZE:"),
        (
            {"before": {**STEP, "parameters": {"version": "TO", "config": "CONFIG"}}},
            'deploy.before.parameters.config: "config" is mapped, and the fleet has no configuration; remove it',
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(made: Any, deploy: dict[str, Any], sentence: str) -> None:
    found = list(problems_of(made.fleet(deploy=deploy)))

    assert ([] == found) if not sentence else any(each.startswith(sentence) for each in found), found


def test_the_step_calls_its_own_pipeline_and_is_told_of_no_region_or_wave(made: Any) -> None:
    fleet = made.fleet(deploy={"before": {**STEP, "constants": {"MODE": "online"}}, "constants": {"TEAM": "payments"}})
    step = made.intent(fleet, unit="before", wave=0)

    assert "migrate-prod" == call_for(None, step).pipeline  # type: ignore[arg-type]
    assert {"TO": "1.4.2", "ONCE": step.key, "MODE": "online"} == trigger_body(step, settings_of(fleet), None, Lane())[
        "parameters"
    ]
    told = trigger_body(made.intent(fleet), settings_of(fleet), None, Lane())["parameters"]
    assert ("payments", "us-east-1") == (told["TEAM"], told["REGION"])
    assert {"checkout": {"deploy-prod", "migrate-prod"}} == _pipelines(fleet)
