"""What a change of desired state means for each fleet: pure, from two parsed revisions to sentences."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from deepdiff import DeepDiff

from desired_state.model import DesiredState, Fleet, FleetName, Suspension


class Effect(StrEnum):
    """What the merge of the change would do to a fleet."""

    ADDED = "added"  # managed from now on
    REMOVED = "removed"  # no longer managed; nothing is destroyed
    DEPLOY = "deploy"  # another target: units change
    SPEC = "spec"  # the same target, reached in another way: nothing is deployed
    POLICY = "policy"  # waves, guards, owner: nothing is deployed
    BROKEN = "broken"  # cannot be read: keeps its last good spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of one fleet between two revisions."""

    fleet: FleetName
    effect: Effect
    before: Fleet | None
    after: Fleet | None

    @property
    def versions(self) -> tuple[str | None, str | None]:
        """From what to what, as people say versions."""
        return self.before.version if self.before else None, self.after.version if self.after else None

    @property
    def identity_changed(self) -> bool:
        """Other machines than before: held until approved."""
        if self.before is None or self.after is None:
            return False
        return self.before.identity_digest != self.after.identity_digest

    @property
    def sentences(self) -> list[str]:
        """What differs, shortly; empty for a fleet that came, went or broke."""
        return describe(self.before, self.after) if self.before and self.after else []

    @property
    def waves(self) -> list[str]:
        """The waves that Git declares for it, in order."""
        return [wave_text(wave) for wave in self.after.deploy.get("waves") or ()] if self.after else []


def compare(before: DesiredState, after: DesiredState) -> list[Change]:
    """The fleets that a merge would change, by name."""
    changes = (_change(name, before, after) for name in sorted(before.declared | after.declared))
    return [change for change in changes if change is not None]


def _change(name: FleetName, before: DesiredState, after: DesiredState) -> Change | None:
    old, new = before.fleets.get(name), after.fleets.get(name)
    if old is new and old is not None:
        return None  # parsed once: all but a few of ten thousand
    effect = _effect(old, new, was=name in before.declared, declared=name in after.declared)
    return Change(fleet=name, effect=effect, before=old, after=new) if effect else None


def _effect(old: Fleet | None, new: Fleet | None, *, was: bool, declared: bool) -> Effect | None:
    if not declared:
        return Effect.REMOVED
    if new is None:
        return Effect.BROKEN if old is not None or not was else None
    if old is None:
        return Effect.DEPLOY if was else Effect.ADDED
    if old.target_digest != new.target_digest:
        return Effect.DEPLOY
    if old.spec_digest != new.spec_digest or old.identity_digest != new.identity_digest:
        return Effect.SPEC
    return Effect.POLICY if old != new else None


def describe(old: Fleet, new: Fleet) -> list[str]:
    """Each difference as `path: old → new`. Only for fleets that differ: DeepDiff is slow on thousands (DESIGN 11)."""
    difference = DeepDiff(_comparable(old), _comparable(new), ignore_order=False, verbose_level=2, view="tree")
    return sorted(_sentences(difference))


def _comparable(fleet: Fleet) -> dict[str, Any]:
    """What a person wrote, without digests and what is derived from it."""
    derived = {"name", "target_digest", "spec_digest", "identity_digest", "components", "packages", "config"}
    values = {field.name: getattr(fleet, field.name) for field in dataclasses.fields(fleet)}
    plain = {name: _plain(value) for name, value in values.items() if name not in derived}
    plain["package"] = {package.name: _plain(package) for package in fleet.packages}
    if len(fleet.packages) == 1:  # its version is the fleet's, which is said already
        plain["package"][fleet.packages[0].name].pop("version")
    plain["bakes"] = fleet.bakes.name if fleet.bakes else None
    plain["config"] = _plain(fleet.config.values) if fleet.config else None
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Suspension):
        value = replace(value, file="")  # where it is written says nothing of what it does
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _sentences(difference: Mapping[str, Iterable[Any]]) -> Iterator[str]:
    for kind, found in difference.items():
        for level in found:
            path = _path(level.path(output_format="list"))
            if kind.endswith("_added"):
                yield f"{path}: {_value(level.t2)} is new"
            elif kind.endswith("_removed"):
                yield f"{path}: {_value(level.t1)} is gone"
            else:
                yield f"{path}: {_value(level.t1)} → {_value(level.t2)}"


def _path(parts: Iterable[Any]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return re.sub(r"^\.", "", text)


def _value(value: Any) -> str:
    if value is None:
        return "none"
    text = wave_text(value) if isinstance(value, Mapping) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def wave_text(wave: Any) -> str:
    """`regions us-east-1, soak 5m`: any small map, for a person."""
    if not isinstance(wave, Mapping):
        return str(wave)
    told = {name: value for name, value in wave.items() if value not in (None, (), [], "")}
    return ", ".join(f"{name} {_list(value)}" for name, value in told.items()) or "empty"


def _list(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
