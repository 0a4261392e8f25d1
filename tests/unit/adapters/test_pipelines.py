"""From a service file to Spinnaker's JSON, and what stands in Spinnaker against it."""

import copy
import json
import re
from typing import Any

import pytest

from adapters.pipelines.building import Wanted, regions_to_bake, wanted_of
from adapters.pipelines.comparing import Change, State, Wishes, compare, edited, leftovers
from adapters.pipelines.contents import DEEPEST, digest_of, last_edit
from adapters.pipelines.differences import LINES, differences
from desired_state.model import DesiredState
from desired_state.trees import MemoryTree
from fairlead import wiring

GATE = "https://gate.example.com"
OURS, THEIRS = "git.example.com/payments/deploys", "git.example.com/fraud/deploys"
SERVICE = """\
owner: payments
package: checkout
deploy:
  type: spinnaker
  application: checkout
  pipeline: "deploy-{environment}"
  parameters: {version: PKG_VERSION, region: REGION, ami: AMI, fairleadKey: FAIRLEAD_KEY}
  select: {cluster: "checkout-{environment}"}
  rollback:
    pipeline: "rollback-{environment}"
    parameters: {restore: RESTORE, disable: DISABLE, region: REGION, fairleadKey: FAIRLEAD_KEY}
  generate:
    bake: {base_os: jammy}
    zones: {us-east-1: [us-east-1a], eu-west-1: [eu-west-1a, eu-west-1b]}
    capacity: {min: 2, max: 6, desired: 2}
    cluster: {instanceType: m6i.large, securityGroups: ["checkout-{region}"]}
"""
ENVIRONMENT = f"""\
account: "123456789012"
regions: [us-east-1, eu-west-1]
spinnaker: {{url: "{GATE}", account: prod}}
"""


def state_of(service: str = SERVICE, environments: tuple[str, ...] = ("prod",)) -> DesiredState:
    files = {
        "fairlead.yaml": f"apiVersion: fairlead/v1\nenvironments: [{', '.join(environments)}]\n",
        "services/checkout.yaml": service,
    }
    for name in environments:
        files[f"environments/{name}/environment.yaml"] = ENVIRONMENT
        files[f"environments/{name}/checkout.yaml"] = "version: 1.4.1\n"
    return wiring.parser().parse(MemoryTree({path: text.encode() for path, text in files.items()}))


def wanted(service: str = SERVICE, repository: str = OURS) -> tuple[Wanted, ...]:
    state = state_of(service)
    assert [] == [str(each) for each in state.errors]
    return wanted_of(state.fleets["prod/checkout"], repository=repository)


def generate(more: str, service: str = SERVICE) -> str:
    return service.replace("    bake: {base_os: jammy}\n", f"    bake: {{base_os: jammy}}\n    {more}\n")


def stages(pipeline: Wanted) -> dict[str, dict[str, Any]]:
    return {each["refId"]: each for each in pipeline.content["stages"]}


def told(pipeline: Wanted, config_id: str = "") -> dict[str, Any]:
    """As Spinnaker shows it after a save."""
    saved = json.loads(json.dumps(pipeline.config(config_id or pipeline.id)))
    saved.update(index=3, updateTs="1764149400000", lastModifiedBy="fairlead", createTs=None)
    del saved["triggers"]
    return saved  # type: ignore[no-any-return]


def judged(pipeline: Wanted, *configs: Any, adopt: bool = False, overwrite: bool = False) -> Change:
    found = {(GATE, "checkout"): configs}
    (change,) = compare([pipeline], found, Wishes(adopt=adopt, overwrite=overwrite))
    return change


# ── building ──


def test_a_fleet_has_a_pipeline_a_purpose_and_a_fleet_without_generate_none() -> None:
    assert ["deploy-prod", "rollback-prod"] == [each.name for each in wanted()]
    assert () == wanted(SERVICE.partition("  generate:")[0])


def test_the_same_fleet_gives_the_same_json() -> None:
    first, second = (json.dumps([each.config(each.id) for each in wanted()]) for _ in range(2))

    assert first == second


def test_each_region_deploys_where_it_is_told_and_its_settings_say_its_name() -> None:
    found = stages(wanted()[0])

    for region in ("us-east-1", "eu-west-1"):
        stage = found[f"deploy-{region}"]
        assert f"parameters.REGION == '{region}'" == stage["stageEnabled"]["expression"]
        (cluster,) = stage["clusters"]
        assert [region] == list(cluster["availabilityZones"])
        assert [f"checkout-{region}"] == cluster["securityGroups"]
        assert cluster["rollback"] == {"onFailure": False}
        assert {"fairlead:key": "${parameters.FAIRLEAD_KEY}"} == cluster["tags"]
        assert "${parameters.AMI}" == cluster["amiName"]


def test_an_image_is_baked_and_tagged_only_where_none_is_told() -> None:
    found = stages(wanted()[0])

    assert "checkout_${parameters.PKG_VERSION}_all" == found["bake"]["package"]
    assert {"fairlead:package/checkout": "${parameters.PKG_VERSION}"} == found["tag"]["tags"]
    assert ["parameters.AMI == ''"] * 2 == [found[ref]["stageEnabled"]["expression"] for ref in ("bake", "tag")]


ZONES = "    zones: {us-east-1: [us-east-1a], eu-west-1: [eu-west-1a, eu-west-1b]}\n"
PROMOTED = (
    SERVICE.replace(ZONES, "")
    + """\
in:
  staging: {deploy: {generate: {zones: {us-west-2: [us-west-2a]}}}}
  prod: {deploy: {generate: {zones: {us-east-1: [us-east-1a], eu-west-1: [eu-west-1a]}}}}
"""
)


def promoted(service: str = PROMOTED, prod: str = "version: 1.4.1\n") -> dict[str, tuple[list[str], list[str]]]:
    """What the bakes and tags of two environments are for. Another service runs in both."""
    files = {
        "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [staging, prod]\n",
        "services/checkout.yaml": service,
        "services/cart.yaml": PROMOTED.replace("checkout", "cart"),
        "environments/staging/environment.yaml": ENVIRONMENT.replace("us-east-1, eu-west-1", "us-west-2"),
        "environments/staging/checkout.yaml": "version: 1.4.2\n",
        "environments/prod/environment.yaml": ENVIRONMENT,
        "environments/prod/checkout.yaml": prod,
        "environments/prod/cart.yaml": "version: 1.4.1\n",
    }
    state = wiring.parser().parse(MemoryTree({path: text.encode() for path, text in files.items()}))
    found = {}
    for name, fleet in state.fleets.items():
        regions = regions_to_bake(fleet, list(state.fleets.values()), state.broken)
        parts = stages(wanted_of(fleet, regions)[0])
        found[name] = (parts["bake"]["regions"], parts["tag"]["regions"])
    return found


def test_the_first_environment_bakes_and_tags_for_all_and_the_others_for_themselves() -> None:
    everywhere, told_one = ["eu-west-1", "us-east-1", "us-west-2"], ["${parameters.REGION}"]

    assert {
        "staging/checkout": (everywhere, everywhere),
        "prod/checkout": (told_one, told_one),
        "prod/cart": (told_one, told_one),  # nobody takes what it bakes
    } == promoted()
    assert (everywhere, everywhere) == promoted(prod="version: [\n")["staging/checkout"]
    assert (told_one, told_one) == promoted(PROMOTED.replace("ami: AMI, ", ""))["staging/checkout"]


def test_without_a_bake_the_tagged_image_is_found() -> None:
    found = stages(wanted(SERVICE.replace("    bake: {base_os: jammy}\n", ""))[0])

    assert ["guard", "find", "deploy-us-east-1", "deploy-eu-west-1"] == list(found)
    assert {"fairlead:package/checkout": "${parameters.PKG_VERSION}"} == found["find"]["tags"]


def test_the_stages_stand_one_behind_the_other() -> None:
    canary = "{config: c1, metrics: prom, storage: s3, control: a, experiment: b}"
    found = stages(wanted(generate(f"canary: {canary}\n    judgment: {{roles: [sre], within: 10m}}"))[0])

    assert ["guard", "bake", "tag", "judge", "canary"] == list(found)[:5]
    behind = [found[ref]["requisiteStageRefIds"] for ref in ("bake", "tag", "judge", "canary", "deploy-eu-west-1")]
    assert [["guard"], ["bake"], ["tag"], ["judge"], ["canary"]] == behind
    assert (["sre"], 600_000) == (found["judge"]["selectedStageRoles"], found["judge"]["stageTimeoutMs"])
    assert {"marginal": 50, "pass": 75} == found["canary"]["canaryConfig"]["scoreThresholds"]


@pytest.mark.parametrize(
    ("written", "fields"),
    [
        ("strategy: none", {"strategy": ""}),
        ("strategy: highlander", {"strategy": "highlander"}),
        (
            "max_remaining: 3\n    disable_after: 5m",
            {"strategy": "redblack", "maxRemainingAsgs": 3, "delayBeforeDisableSec": 300, "scaleDown": True},
        ),
        (
            "strategy: rollingredblack\n    percentages: [10, 50]\n    scale_down: false",
            {"strategy": "rollingredblack", "targetPercentages": [10, 50], "scaleDown": False},
        ),
    ],
)
def test_a_strategy_is_written_in_spinnakers_words(written: str, fields: dict[str, Any]) -> None:
    (cluster,) = stages(wanted(generate(written))[0])["deploy-us-east-1"]["clusters"]

    assert fields == {key: cluster.get(key) for key in fields}


def test_a_rollback_takes_no_group_of_another_cluster() -> None:
    found = stages(wanted()[1])

    expressions = [each["context"]["expression"] for each in found["guard"]["preconditions"]]
    assert "parameters.RESTORE matches '(checkout-prod)-v[0-9]+'" == expressions[0]
    assert "EXPLICIT" == found["rollback"]["rollbackType"]
    assert "${parameters.REGION}" == found["rollback"]["region"]


def test_regions_with_pipelines_of_their_own_get_one_each() -> None:
    service = SERVICE.replace('"deploy-{environment}"', '"deploy-{region}"')

    first, second, _ = wanted(service)

    assert ["deploy-us-east-1", "deploy-eu-west-1"] == [first.name, second.name]
    assert "deploy-eu-west-1" not in stages(first)


# ── comparing ──


def test_what_is_not_there_is_created_and_what_is_as_written_is_left_alone() -> None:
    pipeline = wanted()[0]

    assert (State.CREATE, True) == (judged(pipeline).state, judged(pipeline).written)
    same = judged(pipeline, told(pipeline))
    assert (State.UNCHANGED, False, ()) == (same.state, same.written, same.differences.lines)


def test_another_service_file_changes_ours_and_says_what() -> None:
    old, new = wanted()[0], wanted(SERVICE.replace("m6i.large", "m7i.large"))[0]

    change = judged(new, told(old))

    assert (State.CHANGE, True) == (change.state, change.written)
    assert '~ stages[deploy-eu-west-1].clusters[0].instanceType: "m6i.large" -> "m7i.large"' in change.differences.lines
    assert 2 == len(change.differences.lines)


@pytest.mark.parametrize(
    "edit",
    [
        {"disabled": True},
        {"triggers": [{"type": "cron", "enabled": True}]},
        {"roles": ["sre"]},
        {"stages": []},
    ],
)
def test_an_edit_in_spinnaker_is_told_with_who_and_when_and_not_written_over(edit: dict[str, Any]) -> None:
    pipeline = wanted()[0]
    config = told(pipeline) | edit | {"lastModifiedBy": "alice@example.com"}

    change = judged(pipeline, config)

    assert (State.EDITED, False) == (change.state, change.written)
    assert "by alice@example.com at 2025-11-26 09:30:00 UTC" in change.message
    assert change.differences.lines
    assert edited(config)
    assert judged(pipeline, config, overwrite=True).written


def test_an_edit_that_was_taken_into_the_service_file_is_written_without_a_word() -> None:
    old, new = wanted()[0], wanted(SERVICE.replace("m6i.large", "m7i.large"))[0]
    config = told(old) | {"stages": list(new.content["stages"])}

    assert State.CHANGE is judged(new, config).state


def test_what_is_somebodys_is_taken_over_only_when_that_is_said_and_shows_what_is_lost() -> None:
    pipeline = wanted()[0]
    config = {"id": "1", "application": "checkout", "name": "Deploy-Prod ", "stages": [], "triggers": [{"type": "git"}]}

    assert (State.FOREIGN, False) == (judged(pipeline, config).state, judged(pipeline, config).written)
    assert (State.FOREIGN, False) == (judged(pipeline, config, overwrite=True).state, False)
    taken = judged(pipeline, config, adopt=True)
    assert (State.ADOPT, True) == (taken.state, taken.written)
    assert '- triggers[git].type: "git"' in taken.differences.lines


def test_a_pipeline_to_take_over_is_compared_stage_by_stage_whatever_its_numbers() -> None:
    pipeline = wanted()[0]
    cluster = {"instanceType": "m5.large", "loadBalancers": ["elb"], "availabilityZones": {"us-east-1": ["us-east-1a"]}}
    theirs = [
        {"refId": "1", "type": "bake", "baseOs": "bionic"},
        {"refId": "2", "type": "wait", "waitTime": 30},
        {"refId": "3", "type": "wait", "waitTime": 60},
        {"refId": "7", "type": "deploy", "clusters": [cluster]},
    ]
    config = {"id": "1", "application": "checkout", "name": "deploy-prod", "stages": theirs}

    lines = judged(pipeline, config, adopt=True).differences.lines

    assert {
        '~ stages[bake].baseOs: "bionic" -> "jammy"',
        "- stages[wait].waitTime: 30",
        "- stages[wait 2].waitTime: 60",
        '- stages[deploy us-east-1].clusters[0].loadBalancers: ["elb"]',
        '~ stages[deploy us-east-1].clusters[0].instanceType: "m5.large" -> "m6i.large"',
    } <= set(lines)


def test_one_that_was_renamed_in_spinnaker_is_an_edit_and_no_new_one_is_made() -> None:
    pipeline = wanted()[0]
    config = told(pipeline) | {"name": "old deploy"}

    change = judged(pipeline, config)

    assert (State.EDITED, False) == (change.state, change.written)
    assert ('~ name: "old deploy" -> "deploy-prod"',) == change.differences.lines
    assert judged(pipeline, config, overwrite=True).written
    assert [] == list(leftovers([pipeline], {(GATE, "checkout"): [config]}, (), OURS))


def test_one_that_somebody_made_his_own_under_another_name_is_left_to_him() -> None:
    pipeline = wanted()[0]
    config = {**told(pipeline), "name": "mine", "fairlead": None}

    change = judged(pipeline, config, adopt=True, overwrite=True)

    assert (State.REFUSED, False) == (change.state, change.written)
    assert "somebody made the pipeline 'mine' of it" in change.message


def test_another_fleets_pipeline_is_refused_whatever_is_said() -> None:
    pipeline = wanted()[0]
    config = told(pipeline)
    config["fairlead"]["fleet"] = "prod/basket"

    change = judged(pipeline, config, adopt=True, overwrite=True)

    assert (State.REFUSED, False) == (change.state, change.written)
    assert "it is the deploy pipeline of prod/basket" in change.message


def test_another_repositorys_pipeline_is_refused_whatever_is_said_and_never_left_over() -> None:
    pipeline, theirs = wanted()[0], wanted(repository=THEIRS)[0]

    change = judged(pipeline, told(theirs), adopt=True, overwrite=True)

    assert (State.REFUSED, False) == (change.state, change.written)
    assert f"it is the deploy pipeline of prod/checkout in {THEIRS}; write another name" in change.message
    assert [] == list(leftovers([], {(GATE, "checkout"): [told(theirs)]}, (), OURS))
    assert State.UNCHANGED is judged(wanted(repository="")[0], told(theirs)).state  # who only looks has no name


def test_a_copy_is_whoevers_made_it() -> None:
    pipeline = wanted()[0]
    copy = told(pipeline) | {"id": "copied", "name": "deploy-prod copy"}
    found = {(GATE, "checkout"): [told(pipeline), copy]}

    assert [("deploy-prod copy", True)] == [(each.name, each.copy) for each in leftovers([pipeline], found, (), OURS)]
    assert not edited(copy)
    change = judged(pipeline, copy | {"name": "deploy-prod"})
    assert (State.FOREIGN, False) == (change.state, change.written)
    assert "it is a copy of the deploy pipeline of prod/checkout" in change.message


def test_one_that_was_taken_over_is_ours_under_its_own_id() -> None:
    pipeline = wanted()[0]

    assert State.UNCHANGED is judged(pipeline, told(pipeline, "made-by-hand")).state


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"notes": "x" * 5_000_000}, "is 4886 KiB large, and the most is 1024 KiB"),
        ({"stages": "none"}, "has stages that are no list of objects"),
        ({"stages": [1]}, "has stages that are no list of objects"),
        ({"id": 5}, "has no id"),
        ({"notes": nested(5000)}, f"is nested over {DEEPEST} levels deep"),
        ({"notes": float("nan")}, "holds a number or a text that JSON cannot write"),
        ({"notes": "\ud800"}, "holds a number or a text that JSON cannot write"),
    ],
)
def test_a_config_that_cannot_be_worked_with_is_one_sentence(odd: dict[str, Any], said: str) -> None:
    pipeline = wanted()[0]

    change = judged(pipeline, {**told(pipeline), **odd}, adopt=True, overwrite=True)

    assert (State.REFUSED, False, ()) == (change.state, change.written, change.differences.lines)
    assert f"the pipeline of that name {said}; rename it in Spinnaker" in change.message


def test_odd_neighbours_harm_nothing() -> None:
    pipeline = wanted()[0]
    mark = {"repository": OURS, "fleet": "prod/basket", "purpose": "deploy", "id": "z", "digest": "x"}
    neighbours: list[dict[str, Any]] = [
        *({}, {"name": 5}, {"name": None, "fairlead": 7}, {"name": "x", "fairlead": {"fleet": []}}),
        {"name": "y", "id": "z", "fairlead": {**mark, "fleet": "f" * 1000}},
        {"name": "z" * 1_000_000, "id": "z", "fairlead": mark},
        {"name": "w", "id": {}, "fairlead": {**mark, "repository": THEIRS}},
    ]

    assert State.UNCHANGED is judged(pipeline, *neighbours, told(pipeline)).state
    (left,) = leftovers([pipeline], {(GATE, "checkout"): neighbours}, (), OURS)
    assert ("z" * 100, "prod/basket") == (left.name, left.fleet)


def test_two_pipelines_of_one_name_are_refused() -> None:
    pipeline = wanted()[0]

    change = judged(pipeline, told(pipeline), told(pipeline, "other"))

    assert "the application has 2 pipelines of that name; delete all but one in Spinnaker" == change.message


def test_two_fleets_that_ask_for_one_name_are_refused_both() -> None:
    state = state_of(SERVICE.replace("deploy-{environment}", "deploy"), ("staging", "prod"))
    every = [each for fleet in state.fleets.values() for each in wanted_of(fleet) if each.purpose == "deploy"]

    changes = compare(every, {}, Wishes())

    assert [State.REFUSED] * 2 == [each.state for each in changes]
    assert "prod/checkout and staging/checkout ask for a pipeline of this name" in changes[0].message


def test_what_was_written_for_nobody_here_is_left_over_and_what_cannot_be_read_is_not() -> None:
    pipeline, rollback = wanted()
    found = {(GATE, "checkout"): [told(pipeline), told(rollback)]}

    assert ["rollback-prod"] == [each.name for each in leftovers([pipeline], found, (), OURS)]
    assert [] == list(leftovers([pipeline], found, {"prod/checkout"}, OURS))


@pytest.mark.parametrize("stamp", [None, "soon", "9" * 40, -1e30])
def test_an_odd_time_of_an_edit_is_left_out(stamp: Any) -> None:
    assert "by alice" == last_edit({"lastModifiedBy": "alice", "updateTs": stamp})


# ── differences ──


def test_a_value_that_sounds_like_a_secret_is_not_shown() -> None:
    before = {"stages": [{"refId": "hook", "customHeaders": {"X-Key": "s3cret"}, "payload": {"password": "s3cret"}}]}

    lines = differences(before, {"stages": []}).lines

    assert "s3cret" not in str(lines)
    assert 3 < len(lines)


def test_many_differences_are_counted_and_a_script_gets_them_all() -> None:
    found = differences({}, {str(number): "x" * 5000 for number in range(LINES + 50)})

    assert (LINES + 1, LINES + 50) == (len(found.shown), len(found.lines))
    assert "... and 50 more" == found.shown[-1]
    assert max(map(len, found.lines)) < 150


def test_what_goes_as_a_whole_comes_first_and_is_never_cut() -> None:
    pipeline = wanted()[0]
    stages = [{"refId": f"{number}", "type": f"kind{number}", "a": 1, "b": 2} for number in range(LINES)]
    lost = {
        "triggers": [{"type": "cron", "expression": str(number)} for number in range(LINES)],
        "notifications": [{"type": "slack", "address": "#orders"}],
        "roles": ["sre"],
        "expectedArtifacts": [{"id": "a", "displayName": "jar"}],
    }
    config = {"id": "1", "application": "checkout", "name": "deploy-prod", "stages": stages, **lost}

    found = judged(pipeline, config, adopt=True).differences

    assert set(lost) == {re.split(r"[.\[:]", line[2:])[0] for line in found.lost}
    assert found.lost == found.shown[: len(found.lost)]
    assert 2 * LINES < len(found.lost)
    assert found.shown[-1].startswith("... and ")
    assert not any("stages" in line for line in found.lost)


def test_nothing_that_is_null_is_written_and_none_that_is_missing_counts_as_an_edit() -> None:
    service = SERVICE.replace("instanceType: m6i.large", "instanceType: m6i.large, spotPrice: null, a: [{b: null}]")
    pipeline = wanted(service)[0]

    assert "null" not in json.dumps(pipeline.config(pipeline.id))
    assert [{}] == stages(pipeline)["deploy-us-east-1"]["clusters"][0]["a"]
    older = {**pipeline.content, "parameterConfig": [{"name": "V", "default": None}]}
    assert digest_of({"parameterConfig": [{"name": "V"}]}) == digest_of({"parameterConfig": older["parameterConfig"]})


def test_the_digest_passes_over_what_servers_fill_in() -> None:
    pipeline = wanted()[0]
    shown = copy.deepcopy(told(pipeline))

    assert pipeline.digest == digest_of(shown)
    assert pipeline.digest != digest_of({**shown, "limitConcurrent": True})


# ── what the parser says ──


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max: 6", "max: 1", "`desired` must lie between `min` and `max`"),
        ("zones: {us-east-1: [us-east-1a], ", "zones: {", '"us-east-1" is missing; name its availability zones'),
        ("zones: {", "zones: {ap-south-1: [a], ", "ap-south-1 is no region of the environment"),
        ("cluster: {", "cluster: {strategy: redblack, ", 'Fairlead writes "strategy" itself, from the fleet'),
        ("cluster: {", 'cluster: {tags: {"fairlead:key": x}, ', "tags that begin with fairlead: are Fairlead's"),
        ("cluster: {", "cluster: {tags: [x], ", '"tags" must be a map of texts'),
        ("cluster: {", 'cluster: {iamRole: "${x}", ', "Spinnaker would evaluate"),
        ("bake: {base_os: jammy}", "percentages: [50]", "it means nothing for redblack; it is for rollingredblack"),
        (
            "bake: {base_os: jammy}",
            "{strategy: rollingredblack, percentages: [50, 20]}",
            "write growing numbers from 1 to 100",
        ),
        ("bake: {base_os: jammy}", "judgment: {within: 1h}", "the execution is failed before, by `deadline`"),
        ("bake: {base_os: jammy}", "strategy: canary", '"strategy"'),
        ("  rollback:", "  constants: {TEAM: x}\n  rollback:", 'a pipeline that Fairlead writes takes no "TEAM"'),
        ("version: PKG_VERSION", 'version: "pkg.version"', "cannot be written as an expression"),
        ('"deploy-{environment}"', '"deploy/{environment}"', "holds a slash, and Gate takes no such name"),
        ('"rollback-{environment}"', '"deploy-{environment}"', "it is the pipeline that deploys"),
        (
            "restore: RESTORE",
            'restore: "X == null || true || parameters.RESTORE"',
            "cannot be written as an expression",
        ),
        ("disable: DISABLE", "disable: DISABLE-GROUP", "cannot be written as an expression"),
        ("DISABLE, region: REGION", "DISABLE, region: RE.GION", "cannot be written as an expression"),
        ("restore: RESTORE, ", "", '"restore" is missing; the pipeline must be told which server group that is'),
        ("package: checkout", "packages: {checkout: {}, assets: {}}", "an image of one package is baked"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence_at_its_place(old: str, new: str, message: str) -> None:
    if new.startswith("{strategy"):
        old, new = "bake: {base_os: jammy}", new[1:-1].replace(", percentages", "\n    percentages")
    state = state_of(SERVICE.replace(old, new, 1))

    said = [str(problem) for problem in state.errors if message in problem.message]
    assert 1 == len(said), [str(problem) for problem in state.problems]
    assert ":" in said[0].partition("services/checkout.yaml")[2]


def test_a_strategy_that_leaves_the_old_groups_in_service_is_warned_of() -> None:
    state = state_of(generate("strategy: none"))

    assert [] == list(state.errors)
    assert ["the server groups before stay in service" in each.message for each in state.problems] == [True]
