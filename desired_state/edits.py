"""Edits of a fleet's file that leave everything else in it as people wrote it: comments, order, quotes, line ends.

A new version replaces the old one's characters alone, so that edits by others merge; other keys go through the round
trip of ruamel.yaml.
"""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from desired_state.git_errors import GitRefused
from desired_state.model import Version

_VERSION = re.compile(r"^[^\s\x00-\x1f\x7f]{1,200}$")
_PLAIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+~-]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A fleet's file shall declare `version`. `package` is needed where the file has `versions`, one a package.

    `sha256` pins artifacts by package; without it, pins of another version are taken out.
    """

    version: Version
    package: str | None = None
    sha256: Mapping[str, str] | None = None


def declared_version(text: str, path: str, package: str | None = None) -> Version:
    """The version that a fleet's file declares. Raises `GitRefused`: it has none, or several and no `package`."""
    return str(_version_node(text, path, package).value)


def is_version(text: str) -> bool:
    """Whether a fleet's file may name it as a version."""
    return bool(_VERSION.match(text)) and "${" not in text


def apply(edit: Edit, text: str, path: str) -> str:
    """`text` of the file `path` with the edit made; the same text when it says so already. Raises `GitRefused`."""
    if not is_version(edit.version):
        raise GitRefused(f"{edit.version!r} is no version: write one without spaces, such as 1.4.2")
    node = _version_node(text, path, edit.package)
    written = quoted(edit.version, node.style)
    changed = node.value != edit.version
    if changed or (not node.style and written != edit.version):  # a bare 1.10 is a number, not the version 1.10
        text = text[: node.start_mark.index] + written + text[node.end_mark.index :]
    return _pin(text, edit, changed)


def quoted(version: Version, style: str | None = None) -> str:
    """The version as YAML that every reader takes for a string, in the given quotes where it has some."""
    if style == "'" and "'" not in version:
        return f"'{version}'"
    if style == '"' or not _PLAIN.match(version) or not _reads_as_string(version):
        return json.dumps(version)
    return version


def _reads_as_string(version: Version) -> bool:
    """Whether YAML 1.1 and 1.2 both read the bare version as a string."""
    newer = YAML(typ="safe", pure=True)
    newer.version = (1, 2)
    try:
        return bool(yaml.safe_load(version) == version and newer.load(version) == version)
    except (yaml.YAMLError, YAMLError, ValueError):
        return False


def _version_node(text: str, path: str, package: str | None) -> ScalarNode:
    top = _compose(text, path)
    if single := _value(top, "version"):
        return _scalar(single, path)
    several = _value(top, "versions")
    if not isinstance(several, MappingNode):
        raise GitRefused(f"{path} declares no version: add a line such as `version: 1.4.2`")
    names = [str(key.value) for key, _ in several.value]
    if package is None and len(names) == 1:
        package = names[0]
    found = _value(several, package) if package else None
    if not found:
        raise GitRefused(f"{path} declares versions by package: name one of {', '.join(names)}")
    return _scalar(found, path)


def _compose(text: str, path: str) -> MappingNode:
    try:
        top = YAML(typ="rt", pure=True).compose(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise GitRefused(f"{path}{place}: this is no YAML that can be edited: repair it first") from None
    if not isinstance(top, MappingNode):
        raise GitRefused(f"{path} holds no mapping: write `version: 1.4.2` into it first")
    return top


def _value(mapping: MappingNode, key: str) -> Node | None:
    return next((value for name, value in mapping.value if name.value == key), None)


def _scalar(node: Node, path: str) -> ScalarNode:
    if not isinstance(node, ScalarNode) or node.anchor or node.start_mark.index == node.end_mark.index:
        raise GitRefused(f"{path}:{node.start_mark.line + 1}: the version is no plain value: write one such as 1.4.2")
    return node


def _pin(text: str, edit: Edit, changed: bool) -> str:
    """Write the pins of the new version, or take those of an old one out."""
    round_trip = YAML(typ="rt", pure=True)
    round_trip.preserve_quotes = True
    round_trip.width = 1 << 16
    round_trip.explicit_start = text.lstrip("\ufeff").startswith("---") or None
    data = round_trip.load(text.replace("\r\n", "\n"))  # comments would keep their own \r
    pins = {**(data.get("sha256") or {})}
    wanted = _wanted(edit, pins, changed)
    if wanted == pins:
        return text
    if wanted:
        data["sha256"] = wanted
    else:
        del data["sha256"]
    out = io.StringIO()
    round_trip.dump(data, out)
    return out.getvalue().replace("\n", "\r\n") if "\r\n" in text else out.getvalue()


def _wanted(edit: Edit, pins: Mapping[str, str], changed: bool) -> dict[str, str]:
    """The pins that still hold for the other packages or the same version, and the given ones."""
    given = edit.sha256 or {}
    kept = {name for name in pins if not changed or (edit.package and name != edit.package)}
    return {name: given.get(name, pin) for name, pin in pins.items() if name in kept | set(given)} | {**given}
