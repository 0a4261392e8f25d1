"""EC2's filters over an estate: candidates by the narrowest filter that has an index, then every filter on each.

`*` and `?` are wildcards, a backslash takes that from them; values of one filter are alternatives, filters add up
(EC2 User Guide, "Filter your resources").
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from fairlead_sandbox.bulk.estate import GROUP_TAG, Estate, Image, Instance
from fairlead_sandbox.bulk.wire import Fault

Filters = Sequence[tuple[str, list[str]]]
_WILD = re.compile(r"(?<!\\)(?:\\\\)*[*?\\]")


def matching_instances(estate: Estate, filters: Filters) -> list[Instance]:
    """Those that every filter lets through, in the order of their ids. Raises `Fault` for one that is not served."""
    found = [one for one in _candidates(estate, filters) if all(_passes(one, *each) for each in filters)]
    return sorted(found, key=lambda one: one.id)


def matching_images(estate: Estate, filters: Filters) -> list[Image]:
    """The images that every filter lets through."""
    named = next((values for name, values in filters if name == "image-id"), None)
    known = estate.images.values() if named is None else [estate.images[id_] for id_ in named if id_ in estate.images]
    return [one for one in known if all(_image_passes(one, *each) for each in filters)]


def _candidates(estate: Estate, filters: Filters) -> Iterable[Instance]:
    indexed = [found for name, values in filters if (found := _indexed(estate, name, values)) is not None]
    return min(indexed, key=len, default=None) or (() if indexed else list(estate.instances.values()))


def _indexed(estate: Estate, name: str, values: list[str]) -> list[Instance] | None:
    """What an index says of one filter; None where there is none for it."""
    if name == "instance-id":
        return [estate.instances[one] for one in dict.fromkeys(values) if one in estate.instances]
    if name == f"tag:{GROUP_TAG}":
        groups = {group.name: group for value in values for group in estate.groups_beginning(_fixed(value))}
        return [one for group in groups.values() for one in group.instances]
    if name.startswith("tag:") and not any(_WILD.search(value) for value in values):
        return _tagged(estate, name.removeprefix("tag:"), set(values))
    return None


def _tagged(estate: Estate, key: str, values: set[str]) -> list[Instance]:
    """Hosts by their own tags, and the instances of groups by their groups'."""
    hosts = [one for value in values for one in estate.hosts_by_tag[key, value].values()]
    groups = [group for group in estate.groups.values() if group.tags.get(key) in values]
    return hosts + [one for group in groups for one in group.instances]


def _fixed(value: str) -> str:
    """What a value begins with, before its first wildcard."""
    return re.split(r"[*?\\]", value, maxsplit=1)[0]


def _passes(one: Instance, name: str, values: list[str]) -> bool:
    if name.startswith("tag:"):
        said = one.tags.get(name.removeprefix("tag:"))
    elif name in {"instance-id", "instance-state-name", "image-id"}:
        said = {"instance-id": one.id, "instance-state-name": one.state, "image-id": one.image}[name]
    else:
        raise Fault("InvalidParameterValue", f"The filter '{name}' is invalid")
    return said is not None and any(_pattern(value).fullmatch(said) for value in values)


def _image_passes(one: Image, name: str, values: list[str]) -> bool:
    said = (
        one.tags.get(name.removeprefix("tag:"))
        if name.startswith("tag:")
        else {"image-id": one.id, "name": one.name}.get(name)
    )
    return said is not None and any(_pattern(value).fullmatch(said) for value in values)


@lru_cache(maxsize=10_000)
def _pattern(value: str) -> re.Pattern[str]:
    parts, letters = [], iter(value)
    for letter in letters:
        if letter == "\\":
            parts.append(re.escape(next(letters, letter)))
        else:
            parts.append({"*": ".*", "?": "."}.get(letter) or re.escape(letter))
    return re.compile("".join(parts), re.DOTALL)
