"""What `validate` says of a fleet's deploy map, and the waves that come of it."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.gate.settings import SpinnakerSettings, problems_of, settings_of, waves_of
from desired_state.model import Config
from reconciler.observed import Wave

EAST, WEST = "us-east-1", "eu-west-1"
ONLY = {"version": "V", "fairleadKey": "K"}


@pytest.mark.parametrize(
    ("deploy", "sentence"),
    [
        (
            {"parameters": {"region": "R", "fairleadKey": "K"}},
            (
                'deploy.parameters: "version" is missing; the pipeline must be told what to deploy; '
                "add `version: THE_PIPELINES_PARAMETER`"
            ),
        ),
        (
            {"parameters": {"version": "V", "region": "R"}},
            (
                'deploy.parameters: "fairleadKey" is missing; an execution is found again by it; '
                "add `fairleadKey: THE_PIPELINES_PARAMETER`"
            ),
        ),
        (
            {"parameters": {"version": "V", "fairleadKey": "V"}},
            "deploy.parameters: two parameters go to the pipeline's V; give each its own",
        ),
        (
            {"application": ".."},
            'deploy.application: "application" must be the name that Spinnaker shows',
        ),
        (
            {"pipeline": "deploy/{environment}"},
            (
                'deploy.pipeline: "pipeline" holds a slash, and Gate takes no such name; '
                "take it out, or use the pipeline's id"
            ),
        ),
        (
            {"application": "shop/checkout"},
            (
                'deploy.application: "application" holds a slash, and Gate takes no such name; '
                "take it out, or use the pipeline's id"
            ),
        ),
        (
            {"pipeline": ".."},
            'deploy.pipeline: "pipeline" must be the name that Spinnaker shows',
        ),
        (
            {"select": {"cluster": "checkout-prod-v003"}},
            'deploy.select.cluster: "checkout-prod-v003" is no cluster name; write app[-stack[-detail]] without -vNNN',
        ),
        (
            {"select": {"cluster": "checkout-prod", "canary": "checkout-prod"}},
            'deploy.select.canary: "canary" is the fleet\'s own cluster; a canary needs one of its own',
        ),
        (
            {"pipeline": "deploy-{region}", "parameters": ONLY},
            'deploy.pipeline: "pipeline" holds {region}, and the pipeline takes none; map `region` in parameters',
        ),
        (
            {"rollback": {"pipeline": "back", "parameters": {"disable": "D", "region": "R"}}},
            (
                'deploy.rollback.parameters: "restore" is missing; the pipeline must be told which server group that '
                "is; add `restore: THE_PIPELINES_PARAMETER`"
            ),
        ),
        (
            {"rollback": {"pipeline": "back", "parameters": {"restore": "X", "disable": "X", "region": "R"}}},
            "deploy.rollback.parameters: two parameters go to the pipeline's X; give each its own",
        ),
        (
            {"rollback": {"pipeline": "back", "parameters": {"restore": "A", "disable": "B"}}},
            'deploy.rollback.parameters: "region" is missing; add `region: THE_PIPELINES_PARAMETER`',
        ),
        (
            {"rollback": {"pipeline": "..", "parameters": {}}},
            'deploy.rollback.pipeline: "pipeline" must be the name that Spinnaker shows',
        ),
        (
            {"image": {"missing": "wait"}},
            "deploy.image.missing: \"missing\" Input should be 'hold' or 'bake'",
        ),
        (
            {"parameters": {**ONLY, "ami": "A"}},
            "warning: deploy.parameters.ami: an AMI is of one region, so none is sent; map `region` too",
        ),
        (
            {"waves": [{"regions": [EAST]}]},
            "deploy.waves: no wave covers eu-west-1; end with `regions: rest`",
        ),
        (
            {"waves": [{"regions": [EAST]}, {"regions": [EAST, WEST]}]},
            "deploy.waves.1.regions: us-east-1 is named twice; name each region once",
        ),
        (
            {"waves": [{"regions": ["ap-south-1"]}, {"regions": "all"}]},
            "deploy.waves.0.regions: ap-south-1 is not a region of prod, which has us-east-1, eu-west-1",
        ),
        (
            {"waves": [{"regions": []}, {"regions": "rest"}]},
            "deploy.waves.0.regions: the wave names no region; name one, `rest` or `all`",
        ),
        (
            {"waves": [{"regions": "all"}, {"regions": "rest"}]},
            "warning: deploy.waves.0.regions: this wave covers everything; those after it do nothing",
        ),
        (
            {"parameters": ONLY, "waves": [{"regions": [EAST]}, {"regions": "rest"}]},
            "deploy.waves: the pipeline takes no region, so there is one wave; map `region` in parameters",
        ),
        (
            {"pipeline": "deploy-${version}"},
            "deploy.pipeline: Spinnaker would evaluate what stands in ${...}; write it without",
        ),
        ({"deadline": "soon"}, 'deploy.deadline: "deadline" must be a duration like 90s, 5m, 2h or 1d'),
        ({"speed": 3}, 'deploy.speed: "speed" is not a setting of type spinnaker'),
        ({"application": None}, 'deploy.application: "application" Input should be a valid string'),
    ],
)
def test_each_mistake_has_its_sentence(made: SimpleNamespace, deploy: dict[str, Any], sentence: str) -> None:
    assert [sentence] == list(problems_of(made.fleet(deploy=deploy)))


def test_a_sound_fleet_has_nothing_to_say(made: SimpleNamespace) -> None:
    waves = [{"regions": [EAST], "soak": "5m"}, {"regions": "rest"}]

    assert list(problems_of(made.fleet(deploy={"waves": waves}))) == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "is missing in environments/prod/environment.yaml; a fleet of type spinnaker needs its Gate"),
        ("http://gate.example.com", "must begin with https:// (http:// is for localhost only)"),
        ("ftp://gate.example.com", "must begin with https:// (http:// is for localhost only)"),
        ("https://me:secret@gate.example.com", "holds credentials; they belong into the controller's settings"),
        ("gate.example.com", "must be https://host[:port][/path]"),
        ("https://gate.example.com:x", "is not a URL"),
    ],
)
def test_the_gates_url_must_be_safe(made: SimpleNamespace, url: str, why: str) -> None:
    fleet = made.fleet()
    fleet = replace(fleet, environment=replace(fleet.environment, spinnaker={"url": url}))

    said = list(problems_of(fleet))

    assert len(said) == 1
    assert said[0].endswith(why)
    assert "secret" not in said[0]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8084", "http://localhost:8084", "https://gate.example.com/gate"])
def test_plain_http_is_for_this_machine(made: SimpleNamespace, url: str) -> None:
    fleet = made.fleet()

    assert list(problems_of(replace(fleet, environment=replace(fleet.environment, spinnaker={"url": url})))) == []


def test_configuration_needs_a_parameter_and_a_bucket(made: SimpleNamespace) -> None:
    config = Config(destination="checkout.yaml", format="yaml", values={"a": 1}, digest="d" * 64)

    said = list(problems_of(made.fleet(config=config)))

    assert said == [
        (
            'deploy.parameters: "config" is missing, and the fleet has configuration; '
            "add `config: THE_PIPELINES_PARAMETER`, which is told where it lies"
        ),
        (
            'deploy: "trigger.bucket" is missing in environments/prod/environment.yaml; '
            "configuration is put there for the instances"
        ),
    ]


@pytest.mark.parametrize(
    ("waves", "slices"),
    [
        ([], [(EAST, WEST)]),
        ([{"regions": "all"}], [(EAST, WEST)]),
        ([{"regions": [WEST]}, {"regions": "rest"}], [(WEST,), (EAST,)]),
        ([{"regions": [WEST]}, {"regions": "all"}], [(WEST,), (EAST,)]),
        ([{"regions": "all"}, {"regions": "rest"}], [(EAST, WEST)]),
    ],
)
def test_waves_are_disjoint_and_together_everything(
    made: SimpleNamespace, waves: list[dict[str, Any]], slices: list[tuple[str, ...]]
) -> None:
    fleet = made.fleet(deploy={"waves": waves})

    assert slices == [wave.units for wave in waves_of(fleet, settings_of(fleet))]


def test_a_wave_without_a_soak_takes_the_fleets(made: SimpleNamespace) -> None:
    fleet = made.fleet(deploy={"soak": "2m", "waves": [{"regions": [EAST], "soak": "5m"}, {"regions": "rest"}]})

    assert [timedelta(minutes=5), timedelta(minutes=2)] == [wave.soak for wave in waves_of(fleet, settings_of(fleet))]


def test_without_a_region_parameter_there_is_one_unit(made: SimpleNamespace) -> None:
    fleet = made.fleet(deploy={"parameters": ONLY})

    assert waves_of(fleet, settings_of(fleet)) == (Wave(units=("all",)),)


def test_every_setting_is_described_for_editors() -> None:
    schema = SpinnakerSettings.model_json_schema()
    models = [schema, *schema["$defs"].values()]

    fields = [(name, field) for model in models for name, field in model["properties"].items()]

    undescribed = [name for name, field in fields if not {"description", "$ref"} & set(field)]

    assert undescribed == []
