"""Setting commits: since when a fleet's present target is in force, and which commits that undid.

Pure: the first-parent walk and the digests are passed in (`setting_commits.py` brings them from a mirror). History is
told by values alone, never by dates or by the shape of side branches: merges, squashes and rebases read the same.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from desired_state.model import Digest, FleetName, Revision, Setting, Sha

ABSENT = "absent"  # read instead of a digest: the fleet has no file there
BROKEN = "broken"  # read instead of a digest: its file cannot be read there, so it keeps its last good spec
EARLIER_RUNS = 5  # how many runs before the present one are looked at for what was reverted
LOOKBACK = 100  # how many commits before the setting commit are looked at for that: each costs a diff of two trees
LIMIT = 20_000  # commits of a walk

Walk = Iterable[tuple[Revision, frozenset[str]]]  # newest first, with the paths that differ from the first parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A fleet at one commit: its target digest (or `ABSENT`, `BROKEN`), and the paths that can change it."""

    digest: Digest
    inputs: frozenset[str]


Read = Callable[[Sha, Collection[FleetName]], Mapping[FleetName, Reading]]
Reverted = Callable[[Revision], frozenset[Sha]]  # the commits that a commit says it reverts


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A stretch of history over which one target was in force, and the commit at which it came into force."""

    commit: Revision
    digest: Digest


def find_settings(
    walk: Walk,
    read: Read,
    fleets: Collection[FleetName],
    *,
    reverted_by: Reverted = lambda _: frozenset(),
    known_head: Sha | None = None,
    known: Mapping[FleetName, Setting] | None = None,
    limit: int = LIMIT,
) -> dict[FleetName, Setting]:
    """The setting of each of `fleets` at the head that `walk` begins with; those that have none there are left out.

    `read` is asked at the head, and else only at first parents of commits that touch a fleet's inputs, once a commit.
    At `known_head`, if the walk meets it, fleets whose target did not change since take over their `known` setting;
    only the others are followed further. Where the walk ends early, the oldest commit seen counts as the setting one.

    A `BROKEN` commit is transparent: good 1, broken, good 1 is one run. `ABSENT` ends the story of a fleet.
    """
    search = _Search(read, reverted_by)
    for number, (revision, paths) in enumerate(itertools.islice(walk, limit)):
        if number == 0:
            search.begin(revision.sha, fleets)
        if revision.sha == known_head:
            search.take_over(known or {})
        if search.finished(number):
            break
        search.step(number, revision, paths)
    else:
        search.end()
    return search.settings()


class _Trail:
    """What is known of one fleet, walking back: closed runs, newest first, and the digest of the open one."""

    def __init__(self, reading: Reading) -> None:
        self.inputs = reading.inputs
        self.digest = None if reading.digest == BROKEN else reading.digest  # None: nothing good was met yet
        self.begins: Revision | None = None  # where the open run begins, unless it goes on before a broken stretch
        self.runs: list[Run] = []
        self.known: Setting | None = None
        self.settled_at = 0

    @property
    def settled(self) -> bool:
        return bool(self.runs) or self.known is not None or self.digest == ABSENT

    def step(self, commit: Revision, below: Digest) -> bool:
        """`commit` touched the fleet and `below` was in force under it. True when that ended a run."""
        if below == BROKEN:
            self.begins = self.begins or commit
        elif below == self.digest:
            self.begins = None
        else:
            self.close(commit)
            self.digest, self.begins = below, None
            return True
        return False

    def close(self, commit: Revision) -> None:
        """End the open run: it began at `commit`, or above the broken stretch that lies over it."""
        if self.digest is not None and self.digest != ABSENT:
            self.runs.append(Run(commit=self.begins or commit, digest=self.digest))

    @property
    def restored(self) -> bool:
        """Whether the open run had the target that is in force now, with others in between."""
        return 1 < len(self.runs) <= EARLIER_RUNS and self.digest == self.runs[0].digest

    @property
    def told(self) -> bool:
        """Whether older history can add nothing."""
        return self.restored or self.digest == ABSENT or len(self.runs) > EARLIER_RUNS


class _Search:
    def __init__(self, read: Read, reverted_by: Reverted) -> None:
        self._read = read
        self._reverted_by = reverted_by
        self._trails: dict[FleetName, _Trail] = {}
        self._open: set[FleetName] = set()  # fleets that are still followed
        self._unsettled: set[FleetName] = set()
        self._watchers: dict[str, set[FleetName]] = defaultdict(set)
        self._last_settled = 0
        self._named: dict[Sha, frozenset[Sha]] = {}
        self._oldest: Revision | None = None

    def begin(self, head: Sha, fleets: Collection[FleetName]) -> None:
        for fleet, reading in self._read(head, fleets).items():
            trail = self._trails[fleet] = _Trail(reading)
            if not trail.settled:
                self._open.add(fleet)
                self._unsettled.add(fleet)
                self._watch(fleet, trail.inputs)

    def take_over(self, known: Mapping[FleetName, Setting]) -> None:
        for fleet in list(self._unsettled):
            trail, setting = self._trails[fleet], known.get(fleet)
            if setting and trail.digest in {None, setting.target_digest}:
                trail.known = setting
                self._retire(fleet)

    def finished(self, number: int) -> bool:
        return not self._open or (not self._unsettled and number > self._last_settled + LOOKBACK)

    def step(self, number: int, revision: Revision, paths: Iterable[str]) -> None:
        self._oldest = revision
        touched = set().union(*(self._watchers[path] for path in paths if path in self._watchers)) & self._open
        if not touched:
            return
        below = self._read(revision.parents[0], touched) if revision.parents else {}
        for fleet in touched:
            reading = below.get(fleet) or Reading(digest=ABSENT, inputs=frozenset())
            self._follow(number, fleet, revision, reading)

    def _follow(self, number: int, fleet: FleetName, revision: Revision, below: Reading) -> None:
        trail = self._trails[fleet]
        if trail.step(revision, below.digest) and trail.runs and fleet in self._unsettled:
            self._unsettled.discard(fleet)
            trail.settled_at = self._last_settled = number
        if trail.told or (trail.settled and number > trail.settled_at + LOOKBACK):
            self._retire(fleet)
        elif not below.inputs <= trail.inputs:
            self._watch(fleet, below.inputs - trail.inputs)
            trail.inputs |= below.inputs

    def end(self) -> None:
        """History ended, or the limit was reached: the runs that are open begin at the oldest commit seen."""
        for fleet in self._open:
            if self._oldest:
                self._trails[fleet].close(self._oldest)

    def settings(self) -> dict[FleetName, Setting]:
        return {
            fleet: trail.known or self._setting(trail)
            for fleet, trail in self._trails.items()
            if trail.known or trail.runs
        }

    def _setting(self, trail: _Trail) -> Setting:
        now, *before = trail.runs
        named = self._names(now.commit) if before else frozenset()
        if not trail.restored:
            before = [run for run in before if run.commit.sha in named]
        before.sort(key=lambda run: run.commit.sha not in named)  # what the message names comes first
        return Setting(commit=now.commit.sha, target_digest=now.digest, reverts=tuple(run.commit.sha for run in before))

    def _names(self, revision: Revision) -> frozenset[Sha]:
        if revision.sha not in self._named:
            self._named[revision.sha] = self._reverted_by(revision)
        return self._named[revision.sha]

    def _watch(self, fleet: FleetName, paths: Iterable[str]) -> None:
        for path in paths:
            self._watchers[path].add(fleet)

    def _retire(self, fleet: FleetName) -> None:
        self._open.discard(fleet)
        self._unsettled.discard(fleet)
