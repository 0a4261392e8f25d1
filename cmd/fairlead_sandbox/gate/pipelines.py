"""Pipeline configurations (Front50's part), and the maker of the one that Fairlead documents."""

import uuid
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

from fairlead_sandbox.gate.answers import not_found
from fairlead_sandbox.server_groups import CONFIG_TAG, KEY_TAG

PARAMETERS = {  # Fairlead's word: the pipeline's own
    "version": "PKG_VERSION",
    "region": "REGION",
    "ami": "AMI",
    "commit": "COMMIT",
    "config": "CONFIG",
    "canary": "CANARY",
    "wave": "WAVE",
    "fairleadKey": "FAIRLEAD_KEY",
}


class Pipelines:
    """All configurations. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._configs: dict[str, dict[str, Any]] = {}

    def save(self, config: Mapping[str, Any]) -> str:
        """Add or replace a configuration; gives its id."""
        kept = {"id": str(uuid.uuid4()), "disabled": False, "parameterConfig": [], "triggers": [], **config}
        with self._lock:
            self._configs[kept["id"]] = kept
        return str(kept["id"])

    def delete(self, config_id: str) -> None:
        """Forget a configuration; its executions stay, and a search no longer finds them."""
        with self._lock:
            self._configs.pop(config_id, None)

    def change(self, config_id: str, **fields: Any) -> None:
        """Set top-level fields, such as `disabled=True`."""
        with self._lock:
            self._configs[config_id] = {**self._configs[config_id], **fields}

    def get(self, config_id: str) -> dict[str, Any] | None:
        """The configuration of this id."""
        with self._lock:
            return self._configs.get(config_id)

    def of(self, application: str) -> list[dict[str, Any]]:
        """The configurations of an application; `*` means all."""
        with self._lock:
            return [each for each in self._configs.values() if application in {"*", each["application"]}]

    def find(self, application: str, name_or_id: str) -> dict[str, Any] | None:
        """By exact name in the application first, then by id, which is not checked to belong to the application."""
        named = next((each for each in self.of(application) if each["name"] == name_or_id), None)
        return named or self.get(name_or_id)

    def find_to_trigger(self, application: str, name_or_id: str) -> dict[str, Any]:
        """As `find`; raises the 404 that Gate answers to a trigger of nothing."""
        config = self.find(application, name_or_id)
        if config is None:
            raise not_found(
                f"Unable to trigger pipeline (application: {application}, pipelineNameOrId: {name_or_id}). "
                f"Error: Pipeline configuration not found (id: {name_or_id}): Status: 404, "
                f"URL: http://front50.spinnaker.svc:8080/pipelines/{name_or_id}/get, "
                f"Message: No pipeline found with id '{name_or_id}'"
            )
        return config


def deploy_pipeline(
    application: str,
    name: str,
    cluster: str,
    package: str,
    *,
    regions: Iterable[str],
    parameters: Mapping[str, str] | None = None,
    bakes_for: Iterable[str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A pipeline that bakes `package` and deploys it to `cluster` by red/black, one deploy stage a region.

    `parameters` gives the pipeline's own names for Fairlead's words; a word left out makes a pipeline without it:
    without `region` it always deploys to all its regions. `bakes_for` are regions to bake for, where there are more
    than it deploys to. `fields` are set at the top level (`limitConcurrent=True`).
    """
    names = dict(PARAMETERS if parameters is None else parameters)
    return {
        "application": application,
        "name": name,
        "schema": "1",
        "spelEvaluator": "v4",
        "limitConcurrent": False,
        "keepWaitingPipelines": False,
        "parameterConfig": [_parameter(own, required=word == "version") for word, own in names.items()],
        "stages": [
            _bake(package, names, list(bakes_for or regions)),
            *(_deploy(cluster, names, region) for region in regions),
        ],
        **fields,
    }


def _parameter(name: str, *, required: bool) -> dict[str, Any]:
    default = None if required else ""
    return {"name": name, "required": required, "default": default, "hasOptions": False, "options": []}


def _bake(package: str, names: Mapping[str, str], regions: list[str]) -> dict[str, Any]:
    stage: dict[str, Any] = {
        "refId": "bake",
        "requisiteStageRefIds": [],
        "type": "bake",
        "name": "Bake",
        "cloudProviderType": "aws",
        "package": f"{package}_${{parameters.{names['version']}}}_all",
        "baseOs": "jammy",
        "regions": regions,
        "rebake": False,
    }
    if "ami" in names:
        stage["stageEnabled"] = {"type": "expression", "expression": f"parameters.{names['ami']} == ''"}
    return stage


def _deploy(cluster: str, names: Mapping[str, str], region: str) -> dict[str, Any]:
    stage: dict[str, Any] = {
        "refId": f"deploy-{region}",
        "requisiteStageRefIds": ["bake"],
        "type": "deploy",
        "name": f"Deploy {region}",
        "clusters": [_cluster(cluster, names, region)],
    }
    if "region" in names:
        own = names["region"]
        stage["stageEnabled"] = {
            "type": "expression",
            "expression": f"parameters.{own} == '' || parameters.{own} == '{region}'",
        }
    return stage


def _cluster(cluster: str, names: Mapping[str, str], region: str) -> dict[str, Any]:
    app, stack, detail = [*cluster.split("-", 2), "", ""][:3]
    tags = {KEY_TAG: names.get("fairleadKey"), CONFIG_TAG: names.get("config")}
    return {
        "account": "prod",
        "application": app,
        "stack": stack,
        "freeFormDetails": detail,
        "cloudProvider": "aws",
        "strategy": "redblack",
        "maxRemainingAsgs": 2,
        "scaleDown": True,
        "rollback": {"onFailure": False},
        "availabilityZones": {region: []},
        "capacity": {"min": 2, "max": 2, "desired": 2},
        "useSourceCapacity": True,
        "preferSourceCapacity": True,
        "amiName": f"${{parameters.{names['ami']}}}" if "ami" in names else "",
        "tags": {tag: f"${{parameters.{own}}}" for tag, own in tags.items() if own},
    }
