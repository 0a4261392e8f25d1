"""The feed of desired state: from a new head of a repository to settings and `fairlead/validate` in the ledger.

Only what Git says is decided here. Which fleets are due is the ledger's word, by their own digest (DESIGN 3, rule 2).
"""

import random
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from desired_state.git_errors import GitError
from desired_state.mirror import Mirror
from desired_state.model import DesiredState, FleetName, Revision, Setting, Severity, Sha
from desired_state.parser import Parser
from desired_state.setting_commits import setting_commits
from reconciler.ports import Clock, Known, Lease, Ledger, RevisionChange
from reconciler.record import CommitStatus, State
from reconciler.reviews import PLAN, Head

CONTEXT = "fairlead/validate"
VALIDATED = 20  # newest first-parent commits of a push that are judged
MERGES = 200  # newest ones of a push, or in force at a first read, whose heads answer
MERGES_SEEN = 2_000  # newest ones that a first read looks through
OF_TWO = ("--first-parent", "--min-parents=2", "--max-parents=2")
DESCRIPTION = 140  # characters that every forge takes
LONGEST_WAIT = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One repository: where it is mirrored, what reads it, and the folder in it where the desired state lies."""

    mirror: Mirror
    parser: Parser
    folder: str = ""

    def declares(self, commit: Sha) -> DesiredState:
        """What a commit declares. Raises `GitError`."""
        return self.parser.parse(self.mirror.tree(commit).under(self.folder))


class Repositories:
    """Reads repositories by name. Remembers, in this process only, the last head that the ledger has.

    `with_heads`: those where the heads of what was merged are to answer like the merges.
    """

    def __init__(
        self,
        ledger: Ledger,
        sources: Mapping[str, Source],
        clock: Clock,
        interval: timedelta,
        jitter: Callable[[], float] = random.random,
        with_heads: Collection[str] = (),
    ) -> None:
        self._ledger = ledger
        self._sources = sources
        self._clock = clock
        self._interval = interval
        self._jitter = jitter
        self._with_heads = frozenset(with_heads)
        self._seen: dict[str, Sha] = {}
        self._failures: dict[str, int] = {}  # in a row
        self._changed: dict[str, tuple[FleetName, ...]] = {}

    def changed(self, name: str) -> tuple[FleetName, ...]:
        """The fleets that the last `run` of this process found changed in the repository."""
        return self._changed.get(name, ())

    def poll(self, name: str) -> bool:
        """True when `run` has something to do: one `ls-refs` round trip, no ledger call.

        A remote that is down is news once; after that `run` comes back by its own backoff.
        """
        head = self.remote_head(name)
        if head is None:
            return not self._failures.get(name)
        return head != self._seen.get(name)

    def remote_head(self, name: str) -> Sha | None:
        """The remote's head now, by one round trip; None where it cannot be told."""
        try:
            return self._sources[name].mirror.remote_head()
        except GitError:
            return None

    def run(self, name: str, lease: Lease) -> datetime | None:
        """Fetch, and record what a new head declares; gives the time to look again.

        A remote that is down is recorded as trouble of `repository/<name>`. Raises `LeaseLost`.
        """
        self._changed[name] = ()
        try:
            self._read(name, lease)
        except GitError as error:
            self._failures[name] = self._failures.get(name, 0) + 1
            self._ledger.record_trouble(lease, feed(name), str(error))
            return self._clock.now() + self._wait(self._failures[name])
        self._failures[name] = 0
        return self._clock.now() + self._interval

    def _wait(self, failures: int) -> timedelta:
        longest = min(LONGEST_WAIT.total_seconds(), 2.0 ** min(failures, 20))
        return timedelta(seconds=max(1.0, longest * self._jitter()))

    def _read(self, name: str, lease: Lease) -> None:
        head = self._sources[name].mirror.fetch()
        known = self._ledger.known(name)
        if known is None or known.head != head.sha:
            change = self._change(name, head, known)
            lease.check()
            self._changed[name] = self._ledger.record_revision(lease, change)
        if self._failures.get(name, 1):  # another process, or we before, may have written trouble
            self._ledger.record_snapshots(lease, feed(name), {}, self._clock.now())
        self._seen[name] = head.sha

    def _change(self, name: str, head: Revision, known: Known | None) -> RevisionChange:
        source = self._sources[name]
        desired = source.declares(head.sha)
        descends = known is not None and source.mirror.is_ancestor(known.head, head.sha)
        settings = _settings(source, head, desired, known if descends else None)
        statuses = list(self._validations(name, head, known))
        rewritten: frozenset[FleetName] = frozenset()
        if known is not None and not descends:
            statuses += self._lost(name, head)
            rewritten = changed_fleets(known, desired)
        return RevisionChange(
            repository=name,
            head=head,
            desired=desired,
            settings=settings,
            statuses=tuple(statuses),
            rewritten=rewritten,
            heads=self._merged(name, head, known, settings),
            at=self._clock.now(),
        )

    def _validations(self, name: str, head: Revision, known: Known | None) -> Iterator[CommitStatus]:
        source = self._sources[name]
        for commit in self._pushed(source.mirror, head, known):
            state, text = verdict(source.declares(commit))
            yield self._status(name, commit, CONTEXT, state, text)

    def _pushed(self, mirror: Mirror, head: Revision, known: Known | None) -> Iterator[Sha]:
        """The newest first-parent commits that the known head does not have; at first contact the head alone."""
        yield head.sha
        if known is None:
            return
        for revision, _ in islice(mirror.first_parents(head.sha, stop=known.head, limit=VALIDATED), 1, None):
            if mirror.is_ancestor(revision.sha, known.head):
                return
            yield revision.sha

    def _merged(
        self, name: str, head: Revision, known: Known | None, settings: Mapping[FleetName, Setting]
    ) -> Mapping[Sha, Head]:
        """The heads of what the new merge commits merged, by their second parents; at a first read, of those in force.

        What the branch had before is no head: then somebody merged the branch into his own, and made that the branch.
        """
        if name not in self._with_heads or (known is not None and head.parents == (known.head,)):
            return {}
        if known is None:
            return _in_force(self._sources[name].mirror, head, {setting.commit for setting in settings.values()})
        mirror, new = self._sources[name].mirror, f"{known.head}..{head.sha}"
        if not mirror.is_ancestor(known.head, known.head):
            return {}  # it was lost to a force-push and is gone here too: nobody knows what is new
        merges = mirror.messages(*OF_TWO, f"--max-count={MERGES}", new)
        came = set(mirror.git("rev-list", new).split()) if merges else set()
        return {each.sha: Head(head=each.parents[1]) for each in merges if each.parents[1] in came}

    def _lost(self, name: str, head: Revision) -> Iterator[CommitStatus]:
        """A last word for what was open on commits that a force-push took away."""
        mirror = self._sources[name].mirror
        text = f"history rewritten: {head.short} is the new head"
        still_open = self._ledger.statuses(name, open_only=True)
        commits = {status.commit for status in still_open}
        lost = {commit for commit in commits if not mirror.is_ancestor(commit, head.sha)}
        for status in still_open:
            if status.commit in lost and status.context != PLAN:  # a pull request's head never was on the branch
                yield self._status(name, status.commit, status.context, State.ERROR, text)

    def _status(self, name: str, commit: Sha, context: str, state: State, text: str) -> CommitStatus:
        return CommitStatus(
            repository=name, commit=commit, context=context, state=state, description=text, at=self._clock.now()
        )


def _in_force(mirror: Mirror, head: Revision, settings: Collection[Sha]) -> Mapping[Sha, Head]:
    """Of the newest merges that set what is declared now. A lost ledger may have left an open word on their heads."""
    merges = mirror.messages(*OF_TWO, f"--max-count={MERGES_SEEN}", head.sha)
    in_force = [each for each in merges if each.sha in settings][:MERGES]
    return {
        each.sha: Head(head=each.parents[1])
        for each in in_force
        if not mirror.is_ancestor(each.parents[1], each.parents[0])
    }


def feed(name: str) -> str:
    """The name under which a repository's trouble is recorded."""
    return f"repository/{name}"


def _settings(source: Source, head: Revision, desired: DesiredState, known: Known | None) -> dict[FleetName, Setting]:
    """Of the sound fleets; what was known at an ancestor is taken over instead of searched for again."""
    found = setting_commits(
        source.mirror,
        head.sha,
        desired,
        source.parser,
        folder=source.folder,
        known_head=known.head if known else None,
        known=known.settings if known else None,
    )
    return {name: setting for name, setting in found.items() if name in desired.fleets}


def changed_fleets(known: Known, desired: DesiredState) -> frozenset[FleetName]:
    """The fleets that would run something else at a head which did not grow out of the known one."""
    return frozenset(
        name
        for name, fleet in desired.fleets.items()
        if name in known.settings and known.settings[name].target_digest != fleet.target_digest
    )


def verdict(desired: DesiredState) -> tuple[State, str]:
    """What `fairlead/validate` says of a commit: never pending, at most 140 characters."""
    if not desired.errors:
        return State.SUCCESS, _sound(desired)
    first, *others = desired.errors
    more = f" (+{len(others)} more)" if others else ""
    return State.ERROR, shorten(str(first), DESCRIPTION - len(more)) + more


def shorten(text: str, length: int) -> str:
    """At most `length` characters; an ellipsis says where something is missing."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _sound(desired: DesiredState) -> str:
    count = len(desired.fleets)
    text = "1 fleet is sound" if count == 1 else f"{count} fleets are sound"
    warnings = sum(problem.severity is Severity.WARNING for problem in desired.problems)
    return f"{text}, {warnings} warning{'s' if warnings > 1 else ''}" if warnings else text
