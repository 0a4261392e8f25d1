"""What a pipeline is called with: a documented contract (DESIGN 4), and the ids by which a call is found again."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from adapters.gate.lanes import Lane, region_of
from adapters.gate.settings import WHOLE, SpinnakerSettings, before_of
from desired_state.model import Fleet
from reconciler.work import Intent

USER = "fairlead"
_NAMESPACE = UUID("6f1f0f53-7c56-5a0f-9a53-6a1d0a1c9e11")  # never changes: event ids of old executions depend on it


def event_id(key: str) -> str:
    """The event id of an intent: the same for the same key, and searchable in Gate."""
    return str(uuid5(_NAMESPACE, key))


def trigger_body(intent: Intent, settings: SpinnakerSettings, config: str | None, lane: Lane) -> dict[str, Any]:
    """The trigger of an intent. Our own data is under one nested key: Gate guesses a trigger's kind from keys."""
    said = lane.as_trigger()
    return {
        "type": "manual",
        "user": USER,
        "correlationId": intent.key,
        "eventId": event_id(intent.key),
        "parameters": (
            before_parameters(intent, settings, config)
            if intent.is_before
            else parameters(intent, settings, config, lane)
        ),
        "artifacts": [],
        "fairlead": {
            "fleet": intent.fleet.name,
            "commit": intent.setting_commit,
            "target": intent.fleet.target_digest,
            "unit": intent.unit,
            "wave": intent.wave,
            "attempt": intent.attempt,
            **({"lane": said} if said else {}),
        },
    }


def parameters(intent: Intent, settings: SpinnakerSettings, config: str | None, lane: Lane) -> dict[str, str]:
    """The parameters of the lane's pipeline, under its own names. What is not known is left out: `canary` always."""
    asked: Mapping[Any, str] = settings.parameters
    if lane.restore:
        asked = settings.rollback.parameters if settings.rollback is not None else {}
    known = {
        "version": intent.fleet.version,
        "region": (region_of(intent) if lane.restore else None) if intent.unit == WHOLE else intent.unit,
        "ami": lane.image or intent.fleet.components.get("ami"),
        "restore": lane.restore,
        "disable": lane.disable,
        "commit": intent.setting_commit,
        "config": config,
        "wave": str(intent.wave),
        "fairleadKey": intent.key,
    }
    return _named(known, asked, {} if lane.restore else settings.constants)


def before_parameters(intent: Intent, settings: SpinnakerSettings, config: str | None) -> dict[str, str]:
    """Those of the pipeline that runs before a version, which is told of no region and no wave."""
    known = {
        "version": intent.fleet.version,
        "commit": intent.setting_commit,
        "config": config,
        "fairleadKey": intent.key,
    }
    return _named(known, before_of(settings).parameters, before_of(settings).constants)


def _named(
    known: Mapping[str, str | None], parameters: Mapping[Any, str], constants: Mapping[str, str]
) -> dict[str, str]:
    pairs = ((theirs, known.get(ours)) for ours, theirs in parameters.items())
    return {**constants, **{theirs: value for theirs, value in pairs if value is not None}}


def holds_expression(value: object) -> bool:
    """Whether Spinnaker would find an expression to evaluate anywhere in the value."""
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, Mapping):
        return any(holds_expression(inner) for pair in value.items() for inner in pair)
    return isinstance(value, list | tuple) and any(holds_expression(inner) for inner in value)


def config_address(fleet: Fleet) -> str | None:
    """Where the fleet's configuration lies for its instances: named by digest, so that it is written once."""
    bucket = fleet.environment.trigger.get("bucket")
    if fleet.config is None or not bucket:
        return None
    return f"s3://{bucket}/config/{fleet.service}/{fleet.config.digest}.{fleet.config.format}"
