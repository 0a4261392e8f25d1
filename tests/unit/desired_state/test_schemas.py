"""The published JSON Schemas are what the models give, and say what every key is for."""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from adapters.trigger.settings import TriggerSettings
from desired_state.schemas import schemas

PUBLISHED = Path(__file__).parents[3] / "docs" / "schemas"


def shipped() -> dict[str, type[BaseModel]]:
    """The settings models that Fairlead ships."""
    found: dict[str, type[BaseModel]] = {"trigger": TriggerSettings}
    if importlib.util.find_spec("adapters.deployers.spinnaker"):
        module = importlib.import_module("adapters.deployers.spinnaker")
        found["spinnaker"] = module.Spinnaker.settings_model
    return found


def test_the_published_schemas_are_up_to_date() -> None:
    written = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in PUBLISHED.glob("*.json")}

    assert dict(schemas(shipped())) == written


def own_fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for holder in (schema, *(each for name, each in schema.get("$defs", {}).items() if "." not in name)):
        yield from holder.get("properties", {}).items()


@pytest.mark.parametrize("name", sorted(schemas({})))
def test_every_key_says_what_it_is_for(name: str) -> None:
    schema = schemas({"trigger": TriggerSettings})[name]
    silent = [key for key, field in own_fields(schema) if "description" not in field and "$ref" not in field]

    assert [] == [key for key in silent if not key.startswith("$") and name != "config.schema.json"]
    assert "https://json-schema.org/draft/2020-12/schema" == schema["$schema"]
    assert schema["title"].endswith(".yaml")


def test_references_inside_a_schema_are_all_there() -> None:
    for schema in schemas({"trigger": TriggerSettings}).values():
        text = json.dumps(schema)
        named = {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}

        assert named <= set(schema.get("$defs", {}))


def test_deploy_knows_the_keys_of_each_type() -> None:
    definitions = schemas({"trigger": TriggerSettings})["service.schema.json"]["$defs"]

    assert set(TriggerSettings.model_fields) | {"type"} == set(definitions["deploy.trigger"]["properties"])
    assert {"const": "trigger"} == definitions["deploy.trigger"]["properties"]["type"]
