"""Reads a desired-state repository just far enough to make the world that it describes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def fleets_of(files: Mapping[str, str]) -> Iterator[ExampleFleet]:
    """The fleets of a repository given as path: text."""
    for environment in _load(files, "fairlead.yaml")["environments"]:
        place = _load(files, f"environments/{environment}/environment.yaml")
        for path in sorted(files):
            folder, _, file = path.rpartition("/")
            if folder == f"environments/{environment}" and file.count(".") == 1 and file != "environment.yaml":
                yield _fleet(files, environment, file.removesuffix(".yaml"), place)


def files_of(folder: Path, gate_url: str) -> dict[str, str]:
    """The repository in `folder` as path: text, with Gate's address put in. Raises FileNotFoundError."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if not paths:
        raise FileNotFoundError(
            f"{folder} holds no example repository; run the sandbox from a clone, or name its folder"
        )
    texts = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    return {path: text.replace(PLACEHOLDER_GATE, gate_url) for path, text in texts.items()}


def _fleet(files: Mapping[str, str], environment: str, name: str, place: Mapping[str, Any]) -> ExampleFleet:
    wanted = _load(files, f"environments/{environment}/{name}.yaml")
    service = wanted.get("service", name)
    said = _load(files, f"services/{service}.yaml")
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
    )


def _filled(text: str, environment: str, service: str) -> str:
    return text.replace("{environment}", environment).replace("{service}", service)


def _load(files: Mapping[str, str], path: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(files[path])
    return loaded
