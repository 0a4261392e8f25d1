"""Which path is what in a desired-state repository (DESIGN 4)."""

from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from desired_state.syntax import shown
from desired_state.words import name_fault

ROOT = "fairlead.yaml"
FOLDERS = ("services", "environments", "freezes")


class Kind(Enum):
    """What a path holds."""

    ROOT = auto()
    SERVICE = auto()
    SERVICE_CONFIG = auto()
    ENVIRONMENT = auto()
    ENVIRONMENT_SUSPEND = auto()
    FLEET = auto()
    FLEET_CONFIG = auto()
    FLEET_SUSPEND = auto()
    FREEZE = auto()
    STRAY = auto()  # in one of our folders, and read by nothing
    OTHER = auto()  # none of our business


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A path's meaning. `fault` says why the name cannot be used; then nothing reads the path."""

    kind: Kind
    environment: str = ""
    name: str = ""  # of the service, the fleet inside its environment, or the freeze
    fault: str = ""


@lru_cache(maxsize=131072)
def place(path: str) -> Place:
    """What this path is for."""
    match path.split("/"):
        case ["fairlead.yaml"]:
            return Place(kind=Kind.ROOT)
        case ["services", file]:
            return _in_services(file)
        case ["freezes", file] if file.endswith(".yaml"):
            return _named(Kind.FREEZE, file.removesuffix(".yaml"))
        case ["environments", environment, file]:
            return _in_environment(environment, file)
        case [folder, _, *_] if folder in FOLDERS:  # a folder's own name is no place in it: it is in the way
            return _stray(path)
    return Place(kind=Kind.OTHER)


def environment_path(environment: str) -> str:
    """Where an environment is described."""
    return f"environments/{environment}/environment.yaml"


def suspend_path(environment: str) -> str:
    """Where a whole environment is suspended."""
    return f"environments/{environment}/suspend.yaml"


def fleet_path(name: str, suffix: str = "") -> str:
    """Where a fleet's file is: `.config` and `.suspend` are suffixes of its neighbours."""
    environment, _, short = name.partition("/")
    return f"environments/{environment}/{short}{suffix}.yaml"


def service_path(service: str, suffix: str = "") -> str:
    """Where a service is described, or configured with the suffix `.config`."""
    return f"services/{service}{suffix}.yaml"


def _in_services(file: str) -> Place:
    if file.endswith(".config.yaml"):
        return _named(Kind.SERVICE_CONFIG, file.removesuffix(".config.yaml"))
    if file.endswith(".yaml"):
        return _named(Kind.SERVICE, file.removesuffix(".yaml"))
    return _stray(file)


def _in_environment(environment: str, file: str) -> Place:
    if not file.endswith(".yaml"):
        return _stray(file)
    stem = file.removesuffix(".yaml")
    if stem == "environment":
        return _named(Kind.ENVIRONMENT, environment, environment)
    if stem == "suspend":
        return _named(Kind.ENVIRONMENT_SUSPEND, environment, environment)
    for suffix, kind in ((".config", Kind.FLEET_CONFIG), (".suspend", Kind.FLEET_SUSPEND)):
        if stem.endswith(suffix):
            return _named(kind, stem.removesuffix(suffix), environment)
    return _named(Kind.FLEET, stem, environment)


def _named(kind: Kind, name: str, environment: str = "") -> Place:
    fault = name_fault(name) or (name_fault(environment) if environment else None)
    wrong = shown(name if name_fault(name) else environment)
    return Place(kind=kind, name=name, environment=environment, fault=f'the name "{wrong}" {fault}' if fault else "")


def _stray(path: str) -> Place:
    """Notes and dotfiles are nobody's business; anything else was probably meant to be read."""
    file = path.rpartition("/")[2]
    return Place(kind=Kind.OTHER if file.startswith(".") or file.endswith(".md") else Kind.STRAY)
