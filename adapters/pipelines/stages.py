"""The stages of a pipeline that Fairlead writes, as Orca's JSON. Pure: the same fleet gives the same stages.

Sources of the keys: Orca's `BakeStage`, `FindImageFromTagsTask`, `UpsertImageTagsTask`, `CheckPreconditionsStage`,
`ManualJudgmentStage`, `KayentaCanaryStage`, `CreateServerGroupStage` with its strategies, `RollbackServerGroupStage`.
Values in `${...}` are evaluated by Orca; nothing that a person wrote may hold one, which `gate.settings` sees to.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from adapters.aws.clusters import CONFIG_TAG, KEY_TAG
from adapters.gate.settings import SpinnakerSettings, cluster_in, filled
from adapters.gate.settings_generate import Bake, Canary, Generate, Judgment
from desired_state.model import Fleet

Stage = dict[str, Any]
VERSION = "[0-9A-Za-z][-0-9A-Za-z.+~:_]*"  # what dpkg allows in a version, and _
MAX_REMAINING = 2  # as Spinnaker's own page proposes
PERCENTAGES = [50, 100]
KAYENTA_STEP = 60  # seconds between two measurements


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Fairlead's words as the pipeline's own expressions; empty where the pipeline is not told."""

    parameters: Mapping[str, str]

    def value(self, word: str) -> str:
        """`${parameters.NAME}`, to stand in a value."""
        return f"${{parameters.{self.parameters[word]}}}" if word in self.parameters else ""

    def bare(self, word: str) -> str:
        """`parameters.NAME`, to stand in an expression."""
        return f"parameters.{self.parameters[word]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One pipeline of one fleet: the regions that it deploys to, and its settings, `generate` among them."""

    fleet: Fleet
    settings: SpinnakerSettings
    generate: Generate
    regions: tuple[str, ...]
    bakes_for: tuple[str, ...] = ()  # of all who take what it bakes; empty: nobody does

    @property
    def account(self) -> str:
        """Spinnaker's name of the AWS account."""
        return self.fleet.environment.spinnaker["account"]

    @property
    def words(self) -> Words:
        """What the deploy pipeline is told."""
        return Words(parameters=dict[str, str](self.settings.parameters.items()))

    @property
    def told_regions(self) -> list[str]:
        """The region that an execution is told, or all where it is told none."""
        return [self.words.value("region")] if "region" in self.settings.parameters else list(self.regions)

    @property
    def baked_regions(self) -> list[str]:
        """The regions that an image is made for."""
        return list(self.bakes_for) or self.told_regions


def deploy_stages(place: Place) -> list[Stage]:
    """The guard first, because a bake takes minutes; then the image, whoever is asked, and a deploy a region."""
    stages = [_guard(place)]
    stages += _image(place)
    if place.generate.judgment is not None:
        stages.append(_judgment(place, place.generate.judgment, behind=stages[-1]))
    if place.generate.canary is not None:
        stages.append(_canary(place, place.generate.canary, behind=stages[-1]))
    return [*stages, *(_deploy(place, region, behind=stages[-1]) for region in place.regions)]


def rollback_stages(place: Place, parameters: Mapping[str, str]) -> list[Stage]:
    """Enable one server group and disable another; both must be of the fleet's cluster."""
    words = Words(parameters=parameters)
    own = "|".join(sorted({_pattern(cluster_in(place.fleet, place.settings, region)) for region in place.regions}))
    conditions = [
        (f"{words.bare(word)} matches '({own})-v[0-9]+'", f"{word} names no server group of the fleet")
        for word in ("restore", "disable")
    ]
    guard = _preconditions([*conditions, *_region_conditions(words, place.regions)])
    rollback = _stage("rollback", "rollbackServerGroup", "Roll back", behind=guard) | {
        "cloudProvider": "aws",
        "cloudProviderType": "aws",
        "credentials": place.account,
        "region": words.value("region") or place.regions[0],
        "rollbackType": "EXPLICIT",
        "rollbackContext": {
            "restoreServerGroupName": words.value("restore"),
            "rollbackServerGroupName": words.value("disable"),
            "targetHealthyRollbackPercentage": 100,
        },
    }
    return [guard, rollback]


def _stage(ref: str, kind: str, name: str, behind: Stage | None = None) -> Stage:
    required = [behind["refId"]] if behind else []
    return {"refId": ref, "requisiteStageRefIds": required, "type": kind, "name": name}


def _guard(place: Place) -> Stage:
    version = place.words.bare("version")
    conditions = [(f"{version} matches '{VERSION}'", "the version is none that a Debian package can have")]
    guard = _preconditions([*conditions, *_region_conditions(place.words, place.regions)])
    if place.generate.groups_at_most is not None:
        sizes = (_size(place, region, place.generate.groups_at_most) for region in place.told_regions)
        guard["preconditions"].extend(sizes)
    return guard


def _region_conditions(words: Words, regions: Iterable[str]) -> Iterator[tuple[str, str]]:
    """A region that the pipeline does not know would skip every deploy, and the execution would succeed."""
    if "region" in words.parameters:
        known = " || ".join(f"{words.bare('region')} == '{region}'" for region in regions)
        yield known, "the region is none of this pipeline's"


def _preconditions(conditions: Iterable[tuple[str, str]]) -> Stage:
    return _stage("guard", "checkPreconditions", "Guard") | {
        "preconditions": [
            {"type": "expression", "failPipeline": True, "context": {"expression": text, "failureMessage": said}}
            for text, said in conditions
        ]
    }


def _size(place: Place, region: str, at_most: int) -> dict[str, Any]:
    cluster = filled(place.settings.select.cluster, place.fleet, region)
    app = cluster.partition("-")[0]
    context = {
        "credentials": place.account,
        "cluster": cluster,
        "moniker": {"app": app, "cluster": cluster},
        "regions": [region],
        "comparison": "<=",
        "expected": at_most,
        "onlyEnabledServerGroups": False,
    }
    return {"type": "clusterSize", "failPipeline": True, "cloudProvider": "aws", "context": context}


def _image(place: Place) -> list[Stage]:
    """Nothing of it runs where the execution is told an image."""
    package = place.fleet.packages[0].name
    tags = {f"fairlead:package/{package}": place.words.value("version")}
    if place.generate.bake is None:
        find = _stage("find", "findImageFromTags", "Find the image") | {
            "cloudProvider": "aws",
            "cloudProviderType": "aws",
            "packageName": package,
            "regions": place.told_regions,
            "tags": tags,
        }
        stages = [find]
    else:
        tag = {"cloudProvider": "aws", "cloudProviderType": "aws", "regions": place.baked_regions, "tags": tags}
        stages = [_bake(place, place.generate.bake, package), _stage("tag", "upsertImageTags", "Tag the image") | tag]
    behind = "guard"
    for stage in stages:
        stage["requisiteStageRefIds"] = [behind]
        behind = stage["refId"]
        if "ami" in place.settings.parameters:
            stage["stageEnabled"] = _when(f"{place.words.bare('ami')} == ''")
    return stages


def _bake(place: Place, bake: Bake, package: str) -> Stage:
    return _stage("bake", "bake", "Bake") | {
        "cloudProviderType": "aws",
        "package": f"{package}_{place.words.value('version')}_{bake.architecture}",
        "baseOs": bake.base_os,
        "baseLabel": bake.base_label,
        "vmType": "hvm",
        "storeType": "ebs",
        "regions": place.baked_regions,
        "skipRegionDetection": True,
        "rebake": False,
        **({"account": bake.account} if bake.account else {}),
    }


def _judgment(place: Place, judgment: Judgment, behind: Stage) -> Stage:
    fleet = place.fleet
    asked = f"Deploy {fleet.packages[0].name} {place.words.value('version')} to {fleet.environment.name}?"
    return _stage("judge", "manualJudgment", "Judgment", behind=behind) | {
        "instructions": judgment.instructions or asked,
        "judgmentInputs": [],
        "selectedStageRoles": list(judgment.roles),
        "propagateAuthenticationContext": False,
        "notifications": [],
        "failPipeline": True,
        "stageTimeoutMs": _milliseconds(judgment.within),
    }


def _canary(place: Place, canary: Canary, behind: Stage) -> Stage:
    scopes = [
        {
            "scopeName": "default",
            "controlScope": canary.control,
            "controlLocation": region,
            "experimentScope": canary.experiment,
            "experimentLocation": region,
            "step": KAYENTA_STEP,
            "extendedScopeParams": {},
        }
        for region in place.told_regions
    ]
    return _stage("canary", "kayentaCanary", "Canary", behind=behind) | {
        "analysisType": "realTime",
        "canaryConfig": {
            "canaryConfigId": canary.config,
            "metricsAccountName": canary.metrics,
            "storageAccountName": canary.storage,
            "scopes": scopes,
            "scoreThresholds": {"marginal": canary.marginal, "pass": canary.passing},
            "lifetimeDuration": f"PT{int(canary.lifetime.total_seconds())}S",
        },
    }


def _deploy(place: Place, region: str, behind: Stage) -> Stage:
    stage = _stage(f"deploy-{region}", "deploy", f"Deploy {region}", behind=behind)
    if "region" in place.settings.parameters:
        stage["stageEnabled"] = _when(f"{place.words.bare('region')} == '{region}'")
    return stage | {"clusters": [_cluster(place, region)]}


def _cluster(place: Place, region: str) -> dict[str, Any]:
    generate, words = place.generate, place.words
    name = cluster_in(place.fleet, place.settings, region)
    app, stack, detail = [*name.split("-", 2), "", ""][:3]
    said = _filled(generate.cluster, place.fleet, region)
    tags = {KEY_TAG: words.value("fairleadKey"), CONFIG_TAG: words.value("config")}
    image = words.value("ami")
    return {
        "useSourceCapacity": True,
        "preferSourceCapacity": True,  # without it Orca refuses the first group of a cluster
        **said,
        "account": place.account,
        "application": app,
        "stack": stack,
        "freeFormDetails": detail,
        "moniker": {"app": app, "stack": stack, "detail": detail, "cluster": name},
        "provider": "aws",
        "cloudProvider": "aws",
        "availabilityZones": {region: list(generate.zones[region])},
        "capacity": generate.capacity.model_dump(),
        "rollback": {"onFailure": False},
        "tags": {**said.get("tags", {}), **{key: value for key, value in tags.items() if value}},
        **({"amiName": image} if image else {}),
        **_strategy(generate),
    }


def _strategy(generate: Generate) -> dict[str, Any]:
    if generate.strategy == "none":
        return {"strategy": ""}
    fields: dict[str, Any] = {"strategy": generate.strategy}
    if generate.strategy == "redblack":
        fields["maxRemainingAsgs"] = generate.max_remaining or MAX_REMAINING
        fields["delayBeforeDisableSec"] = _seconds(generate.disable_after)
    if generate.strategy == "rollingredblack":
        fields["targetPercentages"] = list(generate.percentages or PERCENTAGES)
    if generate.strategy in {"redblack", "rollingredblack"}:
        fields["scaleDown"] = generate.scale_down is not False
        fields["delayBeforeScaleDownSec"] = _seconds(generate.scale_down_after)
    return fields


def _filled(value: Any, fleet: Fleet, region: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(inner, fleet, region) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(inner, fleet, region) for inner in value]
    return filled(value, fleet, region) if isinstance(value, str) else value


def _when(expression: str) -> dict[str, str]:
    return {"type": "expression", "expression": expression}


def _pattern(text: str) -> str:
    """A regular expression for the text alone, without backslashes, which SpEL's quotes would need doubled."""
    return re.sub(r"[^-A-Za-z0-9_]", lambda found: f"[{found[0]}]" if found[0] != "^" else r"\^", text)


def _seconds(span: timedelta | None) -> int:
    return int(span.total_seconds()) if span is not None else 0


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
