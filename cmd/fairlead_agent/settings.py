"""The agent's settings: one YAML file, read once. What is wrong is said with file and line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from adapters.agent_protocol.addresses import FLEET
from adapters.agent_protocol.signing import BadKey, public_key

PATH = Path("/etc/fairlead/agent.yaml")
STATE = "/var/lib/fairlead-agent"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_DURATION = re.compile(r"([1-9][0-9]{0,6})(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_DAY = 86_400  # seconds
_COMPONENT = re.compile(r"package/[A-Za-z0-9][A-Za-z0-9.+_-]{0,199}")
_PORT = re.compile(r"[0-9]{1,5}")
_REFERENCE = re.compile(r"file:/.+|env:[A-Za-z_][A-Za-z0-9_]*|aws-sm:.+")
_LARGEST = 1 << 20  # bytes
_KNOWN = (
    *("bucket", "keys", "fleets", "state", "poll", "heartbeat", "report_only", "host", "rehearsal"),
    *("launch_hook", "terminating_hook", "group"),
)
_HOOK = re.compile(r"[A-Za-z0-9\-_/]{1,255}")  # PutLifecycleHook, LifecycleHookName


class BadSettings(Exception):
    """One sentence: `file:line: what is wrong, and what would be right`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observe:
    """How the version is found of what Fairlead did not install."""

    command: str | None = None  # prints it
    component: str | None = None  # whose version that is; None: `package/` and the service of the fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """For tests: a folder that plays the host's disk."""

    prefix: Path | None = None  # every folder of an order lies below it
    ports: Mapping[int, int] = field(default_factory=dict)  # of health checks on loopback, by the order's
    path: Path | None = None  # the first folder of the PATH of what the agent runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the file says. Intervals in seconds."""

    bucket: str
    keys: Mapping[str, str] | str  # base64 public keys or references by key id, or a reference to all; see `keyring`
    fleets: Mapping[str, Observe]  # by name
    state: Path = Path(STATE)
    poll: float = 60.0
    heartbeat: float = 60.0
    report_only: bool = False  # report and touch nothing
    host: str | None = None  # None: the metadata service says it
    region: str | None = None
    rehearsal: Rehearsal = field(default_factory=Rehearsal)
    launch_hook: str | None = None  # lifecycle hooks of the host's Auto Scaling group
    terminating_hook: str | None = None
    group: str | None = None  # that group; None: the instance's tags in its metadata say it


def read_settings(path: Path) -> Settings:
    """The settings in a file. Raises `BadSettings`."""
    top = _Map(_parsed(path), str(path), "", _KNOWN)
    host = top.map("host", ("id", "region"))
    return Settings(
        bucket=top.text("bucket", _BUCKET, "the name of the environment's bucket"),
        keys=_keys(top),
        fleets=_fleets(top),
        state=top.path("state") or Path(STATE),
        poll=top.seconds("poll", 60.0),
        heartbeat=top.seconds("heartbeat", 60.0),
        report_only=top.truth("report_only"),
        host=host.optional("id"),
        region=host.optional("region"),
        rehearsal=_rehearsal(top.map("rehearsal", ("prefix", "ports", "path"))),
        launch_hook=_hook(top, "launch_hook"),
        terminating_hook=_hook(top, "terminating_hook"),
        group=top.optional("group"),
    )


def _parsed(path: Path) -> Any:
    """The file as YAML nodes. Aliases are not followed further than settings go, and nothing is constructed."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise BadSettings(f"{path}:1: it has more than {_LARGEST >> 20} MiB; settings are a few lines")
        return yaml.compose(data.decode(), Loader=yaml.SafeLoader)
    except OSError as error:
        raise BadSettings(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{path}:1: this is no YAML: it is not UTF-8 text") from None
    except RecursionError:
        raise BadSettings(f"{path}:1: this is no YAML: it is nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise BadSettings(f"{path}:{mark.line + 1 if mark else 1}: this is no YAML: {said}") from None


def _keys(top: "_Map") -> Mapping[str, str] | str:
    if top.is_value("keys"):
        return top.text(
            "keys", _REFERENCE, "a map of public keys by key id, or file:, env: or aws-sm: and where that is"
        )
    keys = top.map("keys", None)
    found = {}
    for key_id in keys.names:
        found[key_id] = keys.text(key_id, None, "a public key")
        if _REFERENCE.fullmatch(found[key_id]):
            continue
        try:
            public_key(found[key_id])
        except BadKey as error:
            raise keys.wrong(key_id, str(error)) from None
    if not found:
        raise top.wrong("keys", "name at least one public key, by its key id")
    return found


def _fleets(top: "_Map") -> Mapping[str, Observe]:
    fleets = top.map("fleets", None)
    found = {}
    for name in fleets.names:
        if FLEET.fullmatch(name) is None:
            raise fleets.wrong(name, "a fleet is written environment/service, like prod/matchmaker")
        found[name] = _observe(fleets.map(name, ("observe",)).map("observe", ("command", "component")))
    if not found:
        raise top.wrong("fleets", "name at least one fleet, like prod/matchmaker: {}")
    return found


def _observe(found: "_Map") -> Observe:
    component = found.optional("component")
    if component is not None and _COMPONENT.fullmatch(component) is None:
        raise found.wrong("component", "must be a package as desired state names it, like package/catalog")
    return Observe(command=found.optional("command"), component=component)


def _hook(top: "_Map", name: str) -> str | None:
    hook = top.optional(name)
    if hook is not None and _HOOK.fullmatch(hook) is None:
        raise top.wrong(name, "must be the name of a lifecycle hook, like fairlead-launch")
    return hook


def _rehearsal(found: "_Map") -> Rehearsal:
    ports = found.map("ports", None)
    return Rehearsal(
        prefix=found.path("prefix"),
        ports={_port(ports, name, name): _port(ports, name, ports.text(name, None, "a port")) for name in ports.names},
        path=found.path("path"),
    )


def _port(ports: "_Map", name: str, text: str) -> int:
    if _PORT.fullmatch(text) is None or not 0 < int(text) < 65536:
        raise ports.wrong(name, "a port is a number from 1 to 65535")
    return int(text)


class _Map:
    """One map of the file. `names` of None takes any key; no key may stand twice."""

    def __init__(self, node: Any, file: str, where: str, names: tuple[str, ...] | None) -> None:
        self._file, self._where = file, where
        self._line = node.start_mark.line + 1 if node is not None else 1
        self._nodes: dict[str, tuple[Any, int]] = {}
        if node is None or _is_null(node):
            return
        if not isinstance(node, yaml.MappingNode):
            raise BadSettings(f"{file}:{self._line}: {where or 'the file'} must be a map of keys and values")
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise BadSettings(f"{file}:{line}: a key of {where or 'the file'} must be one word")
            name = str(key.value)
            if names is not None and name not in names:
                known = ", ".join(names)
                raise BadSettings(f"{file}:{line}: {self._path(name)} is no setting; there is: {known}")
            if name in self._nodes:
                raise BadSettings(f"{file}:{line}: {self._path(name)} stands twice")
            self._nodes[name] = (value, line)

    @property
    def names(self) -> tuple[str, ...]:
        """The keys that are there."""
        return tuple(self._nodes)

    def map(self, name: str, names: tuple[str, ...] | None) -> "_Map":
        """A map within this one; an empty one where it is not there."""
        return _Map(self._nodes.get(name, (None, 0))[0], self._file, self._path(name), names)

    def text(self, name: str, pattern: re.Pattern[str] | None, right: str) -> str:
        """A value that has to be there."""
        value = self.optional(name)
        if value is None or (pattern is not None and pattern.fullmatch(value) is None):
            raise self.wrong(name, f"must be {right}")
        return value

    def optional(self, name: str) -> str | None:
        """A value as it is written; None where it is not there or null."""
        node, _ = self._nodes.get(name, (None, 0))
        if node is None or _is_null(node):
            return None
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise self.wrong(name, "must be one value")
        return str(node.value)

    def is_value(self, name: str) -> bool:
        """It is there, and is one value."""
        node, _ = self._nodes.get(name, (None, 0))
        return isinstance(node, yaml.ScalarNode) and not _is_null(node)

    def path(self, name: str) -> Path | None:
        """A path from the root of the disk on."""
        value = self.optional(name)
        if value is not None and (not value.startswith("/") or "\0" in value):
            raise self.wrong(name, "must be a whole path, like /var/lib/fairlead-agent")
        return Path(value) if value is not None else None

    def truth(self, name: str) -> bool:
        """`true` or `false`; false where it is not there."""
        value = self.optional(name)
        if value not in {None, "true", "false"}:
            raise self.wrong(name, "must be true or false")
        return value == "true"

    def seconds(self, name: str, otherwise: float) -> float:
        """A duration such as `30s`, up to a day."""
        value = self.optional(name)
        if value is None:
            return otherwise
        found = _DURATION.fullmatch(value)
        seconds = int(found[1]) * _SECONDS[found[2]] if found is not None else 0
        if not 0 < seconds <= _DAY:
            raise self.wrong(name, "must be a whole number and a unit, like 30s, 5m or 1h, up to 24h")
        return float(seconds)

    def wrong(self, name: str, said: str) -> BadSettings:
        """What to raise about a key, or about its absence."""
        line = self._nodes[name][1] if name in self._nodes else self._line
        return BadSettings(f"{self._file}:{line}: {self._path(name)}: {said}")

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name


def _is_null(node: Any) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"
