"""The published JSON Schemas, one a file kind, for editors. `docs/schemas/` holds what this gives."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from desired_state.assemble import DeploySettings
from desired_state.formats import EnvironmentFile, FairleadFile, FleetFile, FreezeFile, ServiceFile, SuspendFile

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_FILES: dict[str, tuple[type[BaseModel], str]] = {
    "fairlead.schema.json": (FairleadFile, "fairlead.yaml"),
    "environment.schema.json": (EnvironmentFile, "environments/<env>/environment.yaml"),
    "service.schema.json": (ServiceFile, "services/<service>.yaml"),
    "fleet.schema.json": (FleetFile, "environments/<env>/<fleet>.yaml"),
    "suspend.schema.json": (SuspendFile, "environments/<env>/<fleet>.suspend.yaml or environments/<env>/suspend.yaml"),
    "freeze.schema.json": (FreezeFile, "freezes/<name>.yaml"),
}
_SECRET = {
    "type": "object",
    "description": "A secret, resolved on the host",
    "properties": {"$secret": {"type": "string"}, "version": {"type": "string"}},
    "required": ["$secret", "version"],
    "additionalProperties": False,
}
_REMOVE = {
    "type": "object",
    "description": "Takes away what the service's file says",
    "properties": {"$remove": {"const": True}},
    "required": ["$remove"],
    "additionalProperties": False,
}
_CONFIG: dict[str, Any] = {
    "$schema": DIALECT,
    "title": "services/<service>.config.yaml or environments/<env>/<fleet>.config.yaml",
    "description": "Configuration values, free but for $secret and $remove",
    "type": "object",
    "additionalProperties": {"$ref": "#/$defs/value"},
    "$defs": {
        "secret": _SECRET,
        "remove": _REMOVE,
        "value": {
            "anyOf": [
                {"$ref": "#/$defs/secret"},
                {"$ref": "#/$defs/remove"},
                {
                    "type": "object",
                    "propertyNames": {"pattern": "^(?!\\$)"},
                    "additionalProperties": {"$ref": "#/$defs/value"},
                },
                {"type": "array", "items": {"$ref": "#/$defs/value"}},
                {"type": ["string", "number", "boolean", "null"]},
            ]
        },
    },
}


def schemas(deploy_settings: DeploySettings) -> Mapping[str, dict[str, Any]]:
    """A JSON Schema (draft 2020-12) a file kind, by file name. `deploy_settings`: the deployers' models by type."""
    found = {name: _schema(model, path, deploy_settings) for name, (model, path) in _FILES.items()}
    return {**found, "config.schema.json": _CONFIG}


def _schema(model: type[BaseModel], path: str, deploy_settings: DeploySettings) -> dict[str, Any]:
    schema = model.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    for holder in (schema, *list(definitions.values())):
        if "deploy" in holder.get("properties", {}):
            holder["properties"]["deploy"] = {"$ref": "#/$defs/Deploy"}
            _put_deploy(definitions, deploy_settings)
    return {"$schema": DIALECT, **schema, "title": path}


def _put_deploy(definitions: dict[str, Any], deploy_settings: DeploySettings) -> None:
    """`deploy` of each type, and of none: a layer may say a part of it, so nothing is required here."""
    for kind, model in sorted(deploy_settings.items()):
        settings = model.model_json_schema(ref_template=f"#/$defs/{kind}.{{model}}")
        inner = settings.pop("$defs", {})
        definitions |= {f"{kind}.{name}": each for name, each in inner.items()}
        keys = {key: {"anyOf": [each, {"type": "null"}]} for key, each in settings.get("properties", {}).items()}
        definitions[f"deploy.{kind}"] = {
            "type": "object",
            "description": f"How a fleet of type {kind} is deployed",
            "properties": {"type": {"const": kind}, **keys},
            "additionalProperties": False,
        }
    branches = [{"$ref": f"#/$defs/deploy.{kind}"} for kind in sorted(deploy_settings)]
    description = "How it is deployed; type says which keys there are"
    definitions["Deploy"] = {"description": description, "anyOf": [*branches, {"type": "null"}]}
