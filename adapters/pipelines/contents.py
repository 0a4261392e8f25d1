"""What of a pipeline configuration is content: what is compared, what is digested, and whose it is.

Front50 keeps keys that it does not know, so a configuration that Fairlead wrote says so itself, under `fairlead`: the
repository, the fleet, the purpose, its own id, and the digest of the content as it was written. Where the content has
another digest, somebody edited it since; where it has another id, somebody copied it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from desired_state.digests import canonical, digest
from desired_state.model import Digest, FleetName

Config = Mapping[str, Any]
MARK = "fairlead"
FILLED_IN = frozenset(  # by Front50, Orca and Gate: its place in a list, when and by whom it was saved
    {"id", "index", "updateTs", "createTs", "lastModified", "lastModifiedBy", "createdAt", "stageCounter"}
)
EMPTY: tuple[Any, ...] = (None, "", False, [], {})  # Front50 adds and drops keys that say nothing
DEFAULTS = {"schema": "1"}
LARGEST = 1024 * 1024  # bytes of canonical JSON
DEEPEST = 50  # levels
LONGEST = 300  # characters of a part of a mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Whose configuration it is. `digest` is that of the content as Fairlead wrote it last."""

    repository: str  # of desired state: of two that name a fleet alike, one alone wrote it
    fleet: FleetName
    purpose: str
    id: str  # that it was written under: a copy keeps the mark, and gets another id
    digest: Digest

    def as_json(self) -> dict[str, str]:
        """As it stands in the configuration."""
        return asdict(self)


def content_of(config: Config) -> dict[str, Any]:
    """The configuration without its mark, what servers fill in, and keys that say nothing: null ones, and empty ones at
    the top.
    """
    return {
        key: without_nulls(value)
        for key, value in config.items()
        if key != MARK and key not in FILLED_IN and value not in EMPTY and DEFAULTS.get(key) != value
    }


def without_nulls(value: Any) -> Any:
    """Without the keys, at every level, that are null: Orca drops them when it saves (`NON_NULL` of its mapper)."""
    if isinstance(value, Mapping):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def digest_of(config: Config) -> Digest:
    """Over the content."""
    return digest(content_of(config))


def mark_of(config: Config) -> Mark | None:
    """Whose it is; None where nobody of us says so, or not in a way that can be read, and for a copy."""
    mark = _said_by(config)
    return mark if mark is not None and mark.id == config.get("id") else None


def copied_from(config: Config) -> Mark | None:
    """The mark of the one that somebody copied; None for what is no copy."""
    mark = _said_by(config)
    return mark if mark is not None and mark.id != config.get("id") else None


def _said_by(config: Config) -> Mark | None:
    said = config.get(MARK)
    texts = {each.name: said.get(each.name) for each in fields(Mark)} if isinstance(said, Mapping) else {"": None}
    if not all(isinstance(text, str) and len(text) <= LONGEST for text in texts.values()):
        return None
    return Mark(**{name: str(text) for name, text in texts.items()})


def last_edit(config: Config) -> str:
    """`by alice at 2026-11-26 09:30:00 UTC`, as far as Spinnaker tells."""
    who, at = config.get("lastModifiedBy"), config.get("updateTs")
    by = f"by {' '.join(who.split())[:100]}" if isinstance(who, str) and who else "by somebody"
    try:
        moment = datetime.fromtimestamp(int(str(at)) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return by
    return f"{by} at {moment:%Y-%m-%d %H:%M:%S} UTC"


def trouble_in(config: Config) -> str:
    """Why a configuration of Spinnaker's cannot be worked with, as the end of a sentence; empty where it can."""
    if any(level > DEEPEST for level in _levels(config)):
        return f"is nested over {DEEPEST} levels deep"
    try:
        size = len(canonical(config))
    except ValueError:
        return "holds a number or a text that JSON cannot write"
    if size > LARGEST:
        return f"is {size // 1024} KiB large, and the most is {LARGEST // 1024} KiB"
    if not isinstance(config.get("id"), str) or not config["id"]:
        return "has no id"
    stages = config.get("stages", [])
    if not isinstance(stages, list) or not all(isinstance(each, Mapping) for each in stages):
        return "has stages that are no list of objects"
    return ""


def _levels(value: Any) -> Iterator[int]:
    """How deep each part lies; what lies too deep is not looked into."""
    waiting = [(value, 0)]
    while waiting:
        part, level = waiting.pop()
        yield level
        inner = part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ()
        if level <= DEEPEST:
            waiting.extend((each, level + 1) for each in inner)
