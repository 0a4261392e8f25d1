"""Reads a desired-state repository just far enough to make the world that it describes."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

EXAMPLE = Path(__file__).parents[2] / "deploy" / "example"
PLACEHOLDER_GATE = "https://gate.example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleFleet:
    """One fleet of type spinnaker, as the files tell it."""

    name: str  # "prod/checkout"
    application: str
    pipeline: str
    cluster: str
    package: str
    version: str
    regions: tuple[str, ...]
    parameters: Mapping[str, str]
    rollback: str = ""  # the pipeline that goes back, if it has one
    back: Mapping[str, str] = field(default_factory=dict)  # that pipeline's parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One package of a trigger fleet's service. `source` holds `{version}`."""

    name: str
    format: str  # file, archive, deb
    source: str
    to: str  # empty for a deb


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerFleet:
    """One fleet of type trigger, as the files tell it."""

    name: str  # "prod/matchmaker"
    service: str
    version: str
    regions: tuple[str, ...]
    bucket: str  # of its orders
    root: str
    unit: str
    port: int  # on which its health is asked
    tags: Mapping[str, str]  # that select its instances
    artifacts: tuple[Artifact, ...]
    config: str | None  # the file, below the release's folder
    drains: bool  # it has target groups

    @property
    def environment(self) -> str:
        """The part of its name before the slash."""
        return self.name.partition("/")[0]


def fleets_of(files: Mapping[str, str]) -> Iterator[ExampleFleet]:
    """The Spinnaker fleets of a repository given as path: text."""
    for environment, name in _declared(files):
        if _service(files, environment, name)[1]["deploy"].get("type") != "trigger":
            yield _fleet(files, environment, name)


def trigger_fleets_of(files: Mapping[str, str]) -> Iterator[TriggerFleet]:
    """The trigger fleets of a repository given as path: text."""
    for environment, name in _declared(files):
        if _service(files, environment, name)[1]["deploy"].get("type") == "trigger":
            yield _trigger_fleet(files, environment, name)


def without(files: Mapping[str, str], fleets: Iterable[TriggerFleet]) -> dict[str, str]:
    """The repository without these fleets, and without what only they need."""
    gone = tuple(f"environments/{fleet.name}." for fleet in fleets)
    if not gone:
        return dict(files)
    kept = {path: text for path, text in files.items() if not path.startswith(gone)}
    used = {fleet.service for fleet in trigger_fleets_of(kept)}
    unused = tuple(f"services/{fleet.service}." for fleet in trigger_fleets_of(files) if fleet.service not in used)
    kept = {path: text for path, text in kept.items() if not path.startswith(unused)} if unused else kept
    if used:
        return kept
    return {path: re.sub(r"^trigger:.*\n", "", text, flags=re.MULTILINE) for path, text in kept.items()}


def _declared(files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Environment and short name of every fleet."""
    for environment in _load(files, "fairlead.yaml")["environments"]:
        for path in sorted(files):
            folder, _, file = path.rpartition("/")
            if folder == f"environments/{environment}" and file.count(".") == 1 and file != "environment.yaml":
                yield environment, file.removesuffix(".yaml")


def _service(files: Mapping[str, str], environment: str, name: str) -> tuple[str, dict[str, Any]]:
    service = _load(files, f"environments/{environment}/{name}.yaml").get("service", name)
    return service, _load(files, f"services/{service}.yaml")


def files_of(folder: Path, gate_url: str) -> dict[str, str]:
    """The repository in `folder` as path: text, with Gate's address put in. Raises FileNotFoundError."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if not paths:
        raise FileNotFoundError(
            f"{folder} holds no example repository; run the sandbox from a clone, or name its folder"
        )
    texts = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    return {path: text.replace(PLACEHOLDER_GATE, gate_url) for path, text in texts.items()}


def _fleet(files: Mapping[str, str], environment: str, name: str) -> ExampleFleet:
    wanted, place = _wanted(files, environment, name), _place(files, environment)
    _, said = _service(files, environment, name)
    deploy = said["deploy"]
    return ExampleFleet(
        name=f"{environment}/{name}",
        application=deploy["application"],
        pipeline=_filled(deploy["pipeline"], environment, name),
        cluster=_filled(deploy["select"]["cluster"], environment, name),
        package=said["package"],
        version=str(wanted["version"]),
        regions=tuple(place["regions"]),
        parameters=deploy["parameters"],
        rollback=_filled(deploy.get("rollback", {}).get("pipeline", ""), environment, name),
        back=deploy.get("rollback", {}).get("parameters", {}),
    )


def _trigger_fleet(files: Mapping[str, str], environment: str, name: str) -> TriggerFleet:
    wanted, place = _wanted(files, environment, name), _place(files, environment)
    service, said = _service(files, environment, name)
    deploy, config = said["deploy"], said.get("config")
    health = deploy["health"].get("http") or f"tcp://{deploy['health'].get('tcp', 'localhost:8080')}"
    return TriggerFleet(
        name=f"{environment}/{name}",
        service=service,
        version=str(wanted["version"]),
        regions=tuple(place["regions"]),
        bucket=place["trigger"]["bucket"],
        root=deploy["root"],
        unit=deploy["run"].get("unit", f"{service}.service"),
        port=urlsplit(health).port or 80,
        tags={key: _filled(value, environment, name) for key, value in deploy["select"]["tags"].items()},
        artifacts=tuple(_artifact(package, how, environment, name) for package, how in said["packages"].items()),
        config=config["to"] if config else None,
        drains="drain" in deploy,
    )


def _artifact(package: str, how: Mapping[str, str], environment: str, name: str) -> Artifact:
    source = _filled(how["from"], environment, name)
    return Artifact(name=package, format=how["format"], source=source, to=how.get("to", ""))


def _wanted(files: Mapping[str, str], environment: str, name: str) -> dict[str, Any]:
    return _load(files, f"environments/{environment}/{name}.yaml")


def _place(files: Mapping[str, str], environment: str) -> dict[str, Any]:
    return _load(files, f"environments/{environment}/environment.yaml")


def _filled(text: str, environment: str, service: str) -> str:
    return text.replace("{environment}", environment).replace("{service}", service)


def _load(files: Mapping[str, str], path: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(files[path])
    return loaded
