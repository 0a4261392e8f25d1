"""Two contents of a pipeline, as the lines that a person reads before one replaces the other."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDEST = 100  # characters of one value
LINES = 200  # that a person is shown, beside all that go as a whole
NAMED_BY = ("refId", "name", "type")  # what tells the parts of a list apart, best first
_SECRET = re.compile(r"customHeaders|secret|password|token|authorization|api_?key", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """`+ path: value`, `- path: value` and `~ path: old -> new`. `lost`: of top-level keys that go as a whole."""

    lost: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """All, what is lost first."""
        return self.lost + self.others

    @property
    def shown(self) -> tuple[str, ...]:
        """For a person: all that is lost, at most `LINES` of the others, and how many more there are."""
        more = len(self.others) - LINES
        return self.lost + self.others[:LINES] + ((f"... and {more} more",) if more > 0 else ())


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Differences:
    """What becomes of one to get the other. Values whose path sounds like a secret are not shown."""
    gone = {key: value for key, value in before.items() if key not in after}
    stays = {key: value for key, value in before.items() if key in after}
    return Differences(lost=tuple(_lines(gone, {})), others=tuple(_lines(stays, after)))


def _lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    old, new = dict(_leaves("", before)), dict(_leaves("", after))
    for path in sorted({**old, **new}):
        if old.get(path, ...) != new.get(path, ...):
            yield _line(path, old, new)


def aligned(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content with stages named by what they do, for a pipeline whose author numbered them otherwise.

    `deploy us-east-1` is the deploy to that region; a second stage of a kind is `wait 2`. How they hang together is
    left out.
    """
    seen: Counter[str] = Counter()
    return {**content, "stages": [_by_kind(each, seen) for each in content.get("stages", [])]}


def _by_kind(stage: Mapping[str, Any], seen: Counter[str]) -> dict[str, Any]:
    name = " ".join([str(stage.get("type")), *_regions(stage)])
    seen[name] += 1
    own = {key: value for key, value in stage.items() if key not in {"refId", "requisiteStageRefIds", "name"}}
    return {"refId": name if seen[name] == 1 else f"{name} {seen[name]}", **own}


def _regions(stage: Mapping[str, Any]) -> Iterator[str]:
    clusters = stage.get("clusters")
    for cluster in clusters if isinstance(clusters, list) else ():
        zones = cluster.get("availabilityZones") if isinstance(cluster, Mapping) else None
        yield from sorted(map(str, zones)) if isinstance(zones, Mapping) else ()


def _line(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if path not in old:
        return f"+ {path}: {_shown(path, new[path])}"
    if path not in new:
        return f"- {path}: {_shown(path, old[path])}"
    return f"~ {path}: {_shown(path, old[path])} -> {_shown(path, new[path])}"


def _shown(path: str, value: Any) -> str:
    if _SECRET.search(path):
        return "(not shown)"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and (value or not path):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), inner)
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for name, inner in zip(_names(value), value, strict=True):
            yield from _leaves(f"{path}[{name}]", inner)
    else:
        yield path, value


def _names(parts: Sequence[Any]) -> list[str]:
    """By what tells them apart where something does; else their places."""
    for key in NAMED_BY:
        names = [str(each.get(key)) for each in parts if isinstance(each, Mapping) and each.get(key)]
        if len(set(names)) == len(parts):
            return names
    return [str(place) for place in range(len(parts))]
