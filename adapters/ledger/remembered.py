"""What a process remembers of repositories, so that the next head costs what differs from the last."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from adapters.ledger.codec import FLEET, PROBLEMS, SETTING
from desired_state.model import Fleet, FleetName, Setting, Sha
from reconciler.ports import RevisionChange

NO_PROBLEMS = PROBLEMS.encode(())


class Stamp(NamedTuple):
    """A head as it was written: the same head written anew, after another one, has another time."""

    head: Sha
    read_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One fleet as a head declares it, in the row's own words. Broken: `fleet` is None, and the row keeps its spec."""

    name: FleetName
    fleet: Fleet | None
    digest: str | None
    setting: str | None
    problems: str

    def is_row(self, row: Any, repository: str) -> bool:
        """The row says so already."""
        if row is None or (row.repository, row.present, row.problems) != (repository, True, self.problems):
            return False
        return self.fleet is None or (row.desired_digest, row.setting) == (self.digest, self.setting)


class _Encoded(NamedTuple):
    fleet: Fleet
    setting: Setting | None
    digest: str
    text: str | None  # of the setting


class Encodings:
    """Fleets and settings in the rows' words. Most are the objects that they were at the last head."""

    def __init__(self) -> None:
        self._known: dict[FleetName, _Encoded] = {}

    def declared(self, name: FleetName, change: RevisionChange, problems: Mapping[FleetName, str]) -> Declared:
        """What the head says of this fleet."""
        fleet, told = change.desired.fleets.get(name), problems.get(name, NO_PROBLEMS)
        if fleet is None:
            return Declared(name=name, fleet=None, digest=None, setting=None, problems=told)
        known = self._known.get(name)
        setting = change.settings.get(name)
        if known is None or known.fleet is not fleet or known.setting is not setting:
            known = self._known[name] = _encode(fleet, setting)
        return Declared(name=name, fleet=fleet, digest=known.digest, setting=known.text, problems=told)


def _encode(fleet: Fleet, setting: Setting | None) -> _Encoded:
    digest = hashlib.sha256(FLEET.encode(fleet).encode()).hexdigest()
    return _Encoded(fleet, setting, digest, SETTING.encode(setting) if setting else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What this process wrote last of a repository: the rows are that as long as the ledger has this stamp.

    `settings` are those of all that are declared: a broken fleet keeps its last.
    """

    stamp: Stamp
    declared: frozenset[FleetName]
    fleets: Mapping[FleetName, Fleet]
    settings: Mapping[FleetName, Setting]
    problems: Mapping[FleetName, str]
    foreign: frozenset[FleetName]  # what belongs to another repository may be let go any time: it is always asked for

    def differing(self, change: RevisionChange, problems: Mapping[FleetName, str]) -> set[FleetName]:
        """The names whose rows may have to change, or that came or went."""
        fleets, settings = change.desired.fleets, change.settings
        moved = {name for name, fleet in fleets.items() if self.fleets.get(name) is not fleet}
        moved |= {name for name in fleets if _differ(settings.get(name), self.settings.get(name))}
        told = problems.keys() | self.problems.keys()
        moved |= {name for name in told if problems.get(name) != self.problems.get(name)}
        moved |= self.fleets.keys() - fleets.keys()
        return moved | (self.declared ^ change.desired.declared) | self.foreign


def _differ(one: Setting | None, other: Setting | None) -> bool:
    """Most are one object, which is quicker seen than that two say the same."""
    return one is not other and one != other
