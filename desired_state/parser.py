"""A tree of blobs to what it declares. Everything is remembered by blob id, so a second parse costs what changed."""

from collections.abc import Mapping
from copy import copy
from enum import Enum, auto
from typing import Any

from desired_state.assemble import Checks, DeploySettings
from desired_state.documents import Position
from desired_state.formats import EnvironmentFile, FairleadFile, FleetFile
from desired_state.layout import ROOT, environment_path, fleet_path
from desired_state.model import DesiredState, Digest, FleetName
from desired_state.resume import Seen, resume
from desired_state.sources import Sources
from desired_state.survey import survey
from desired_state.trees import Tree


class NoTarget(Enum):
    """Why a fleet has no target digest in a tree."""

    ABSENT = auto()  # the fleet has no file
    BROKEN = auto()  # it has one, and the fleet cannot be read


class Parser:
    """Parses trees. `deploy_settings` and `checks` come from the deployers, by deploy type.

    A check gives sentences `dotted.path: what is wrong, what would be right` about a fleet's `deploy`; one that begins
    with `warning: ` stops nothing.
    """

    def __init__(self, deploy_settings: DeploySettings, checks: Checks | None = None) -> None:
        self._sources = Sources(deploy_settings, checks or {})
        self._seen: Seen | None = None

    def parse(self, tree: Tree) -> DesiredState:
        """Everything the tree declares, with every problem in it. Never raises for what files hold."""
        last = self._seen
        seen = resume(last, tree, self._sources) if last is not None else None
        self._seen = seen = seen or survey(tree, self._sources)
        return seen.state

    def beside(self, tree: Tree) -> DesiredState:
        """What `parse` says of a tree that nobody has put on the branch: the next `parse` costs no more for it."""
        last = self._seen
        seen = resume(last, tree, self._sources) if last is not None else None
        return (seen or survey(tree, self._sources)).state

    def aside(self) -> "Parser":
        """A parser for trees of strangers: it begins with what is known here, and puts nothing into it."""
        made = copy(self)
        made._sources = self._sources.aside()
        return made

    def target_digest(self, tree: Tree, name: FleetName) -> Digest | NoTarget:
        """What the fleet shall run, by its own files alone: two fleets that select one cluster both have one."""
        if not self._sources.declares(tree, name):
            return NoTarget.ABSENT
        fleet = self._sources.assembled(tree, name).fleet
        return NoTarget.BROKEN if fleet is None else fleet.target_digest

    def inputs(self, tree: Tree, name: FleetName) -> frozenset[str]:
        """The paths, there or not, that can change what `target_digest` says of the fleet."""
        return frozenset(self._sources.paths(tree, name))

    def environment(self, tree: Tree, name: str) -> EnvironmentFile | None:
        """What an environment's own file says; None where it is missing or cannot be read."""
        checked = self._sources.checked(tree, environment_path(name))
        value = checked.value if checked is not None and checked.sound else None
        return value if isinstance(value, EnvironmentFile) else None

    def fleet_file(self, tree: Tree, name: FleetName) -> FleetFile | None:
        """What a fleet's own file says; None where it is missing or cannot be read."""
        checked = self._sources.checked(tree, fleet_path(name))
        value = checked.value if checked is not None and checked.sound else None
        return value if isinstance(value, FleetFile) else None

    def order(self, tree: Tree) -> tuple[str, ...]:
        """The environments in order of promotion; nothing where `fairlead.yaml` cannot be read."""
        checked = self._sources.checked(tree, ROOT)
        value = checked.value if checked is not None else None
        return value.environments if isinstance(value, FairleadFile) else ()

    def explain(self, tree: Tree, name: FleetName) -> Mapping[str, tuple[Any, Position]]:
        """Every effective value by dotted path, and where it was written; empty where the fleet cannot be read."""
        if not self._sources.declares(tree, name):
            return {}
        return self._sources.explained(tree, name)
