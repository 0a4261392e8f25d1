"""What the reconciler asks of the world. Adapters implement these; the contract suites in tests/contract check them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from desired_state.model import DesiredState, Fleet, FleetName, Revision, Setting, Sha
from reconciler.observed import Observed, Snapshots, Wave
from reconciler.reasons import Reason
from reconciler.record import Ask, CommitStatus, Event, Pass, Record
from reconciler.reviews import Head
from reconciler.work import Before, Intent, Outcome, Standing


class Clock(Protocol):
    """Time, passed in so that tests own it. `now` is aware UTC; `monotonic` is seconds that also pass while stopped."""

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...


class LeaseLost(Exception):
    """Another owner may hold this name now: write nothing, send nothing."""


class LedgerAway(Exception):
    """The ledger does not answer now; the message is a sentence. Whether a write was made may be unknown.

    A name that was being worked on comes again when its lease has run out: nothing else is to be done about it.
    """


class Lease(Protocol):
    """The right to act on one name for a while."""

    @property
    def key(self) -> str: ...
    def check(self) -> None:
        """Return while at least the safety margin of the lease is left; raise `LeaseLost` otherwise.

        Called immediately before every side effect.
        """
        ...


class Deployer(Protocol):
    """How one type of fleet is observed and converged (DESIGN 10, with `waves`, `refresh`, `running` and `uphold`)."""

    @property
    def lacks(self) -> str:
        """A sentence on what this controller was not given and cannot act without, with the fix; "" where it can act.

        Its fleets are then observed, and held where they drift.
        """
        ...

    def validate(self, fleet: Fleet) -> Iterable[str]:
        """What is wrong with the fleet's `deploy`, as sentences `dotted.path: what is wrong, what would be right`."""
        ...

    def observe(self, fleet: Fleet, snapshots: Snapshots) -> Observed:
        """What the units run, out of snapshots. Pure."""
        ...

    def waves(self, fleet: Fleet, observed: Observed) -> tuple[Wave, ...]:
        """The slices in order, by unit id; disjoint, together all units. Pure.

        Observed units come in the order in which they are to be taken, the most urgent first.
        """
        ...

    def before(self, fleet: Fleet) -> Before | None:
        """The step that runs once before a version, as an intent of the unit `work.BEFORE`; None: there is none. Pure.

        Such an intent comes alone: with it `start` is given `standing.before`, and no unit is admitted yet.
        """
        ...

    def refresh(self, fleet: Fleet, work: Sequence[Outcome], known: Snapshots) -> Snapshots:
        """A narrow, fresh read of this fleet and of the work in flight on its machines. Raises `Unreadable`.

        Work that began before account, regions, selector or type changed is read by its own spec, in a call of its own.
        `known` is what the feeds read last, where that says what else is worth a look.
        """
        ...

    def running(self, fleet: Fleet, prefix: str) -> Mapping[str, str]:
        """Our own work that the other system runs for this fleet now, by key (all begin with `prefix`): the ticket.

        Asked once, when a ledger sees a fleet for the first time and an earlier one may have been lost. Raises
        `Unreadable`.
        """
        ...

    def start(
        self, intents: Sequence[Intent], standing: Standing, snapshots: Snapshots, lease: Lease
    ) -> Iterable[Outcome]:
        """Start them, in order, all of one release: an outcome each.

        The same key again is the same work and nothing new. Trouble is an Outcome, never an exception. `standing` is
        what all units are to run, with these intents' units admitted; `snapshots` is this pass's look at the world.
        """
        ...

    def check(self, outcome: Outcome, snapshots: Snapshots, now: datetime) -> Outcome:
        """Where it stands now, by the other system's word *and* the world. Pure."""
        ...

    def abort(
        self, outcomes: Sequence[Outcome], standing: Standing | None, snapshots: Snapshots, lease: Lease
    ) -> Iterable[Outcome]:
        """Ask for their end. Each is ended only when `check` has seen so. `standing` admits their units no more."""
        ...

    def uphold(self, fleet: Fleet, standing: Standing | None, snapshots: Snapshots, lease: Lease) -> str:
        """Keep in the world what units look at by themselves; asked for in passes that start and end nothing.

        Does nothing where the world says it already. Without a `standing` nothing new is said: only what stands there
        is kept from running out. Gives a sentence on what kept it from doing so, else "".
        """
        ...


class Unreadable(Exception):
    """A read that a decision needs did not come; the message is a sentence that names the fix.

    `reason` is what a fleet is held for by it. `retry_in`: when asking again may help, where that is known.
    """

    reason: Reason = Reason.OBSERVATION_FAILED
    retry_in: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A claimed name of the work queue."""

    key: str  # "fleet:prod/checkout", "repository:main", "statuses:main"
    mark: int
    attempts: int  # failures in a row
    lease: Lease


class Queue(Protocol):
    """The work queue: names, never events. One table; any number of processes."""

    def add(self, keys: Iterable[str], *, due: datetime | None = None) -> None:
        """Make names due at `due` (None: now). A name already there keeps its earliest due time; its mark is bumped."""
        ...

    def claim(self, family: str, limit: int, lease: timedelta) -> list[Due]:
        """Take up to `limit` due, unleased names of `family:`; earliest due first."""
        ...

    def finish(self, due: Due, *, again_at: datetime | None = None) -> bool:
        """Done. Deletes the name, or makes it due at `again_at`; a name marked meanwhile stays due now.

        False when the lease was lost: then nothing changed.
        """
        ...

    def fail(self, due: Due, *, again_at: datetime) -> bool:
        """Not done: due again at `again_at`, one more attempt counted. False when the lease was lost."""
        ...

    def renew(self, due: Due, lease: timedelta) -> bool:
        """Heartbeat. False when the lease was lost."""
        ...

    def wait(self, timeout: float) -> None:
        """Return when a name of the family that this thread claimed last may be due, at the latest in `timeout` s."""
        ...

    def wake(self) -> None:
        """End every `wait` of this process."""
        ...


class Ledger(Protocol):
    """Fairlead's own memory. Every write of a pass is fenced by the lease (database clock) and the row's version."""

    # one fleet's pass
    def load(self, fleet: FleetName) -> Record | None: ...
    def intend(self, lease: Lease, record: Record, result: Pass) -> Record:
        """T1: memory, the new intents and their statuses. Gives the record with its new version.

        Raises `LeaseLost` when the owner, the lease or the version is not what it was; then nothing was written.
        """
        ...

    def save(self, lease: Lease, record: Record, result: Pass) -> Record:
        """T2: memory, outcomes, statuses, events, requests done. Same fencing as `intend`."""
        ...

    # feeds
    def known(self, repository: str) -> "Known | None": ...
    def record_revision(self, lease: Lease, change: "RevisionChange") -> tuple[FleetName, ...]:
        """Store what a head declares; gives the fleets whose own row changed (and makes them due)."""
        ...

    def record_snapshots(
        self, lease: Lease, feed: str, by_fleet: Mapping[FleetName, Mapping[str, Any]], read_at: datetime
    ) -> tuple[FleetName, ...]:
        """Store a feed's parts where they changed; a fleet no longer named loses its part. Gives the changed fleets
        (and makes them due). Clears the feed's trouble."""
        ...

    def record_trouble(self, lease: Lease, feed: str, message: str) -> None:
        """The feed could not be read; fleets see it in `Record.trouble`."""
        ...

    def troubles(self) -> Mapping[str, str]:
        """Every feed that cannot be read now, by name, and why: for people."""
        ...

    def load_many(self, names: Collection[FleetName]) -> Sequence[Record]:
        """What `load` gives, for many at once: for the sweep. Ordered by name."""
        ...

    def fleets(self, repository: str | None = None) -> Sequence[Record]:
        """All fleets without work, snapshots and statuses: for feeds, roll-ups and people. Ordered by name."""
        ...

    def commented(self, repository: str, context: str) -> frozenset[Sha]:
        """Where anything was ever said under that context, as `pull/7`."""
        ...

    def heads(self) -> Mapping[str, Sha]:
        """The last read head of each repository."""
        ...

    def work_in_flight(self) -> Sequence[Outcome]: ...
    def set_by(self, repository: str, commits: Collection[Sha]) -> Mapping[Sha, int]:
        """How many declared fleets each of these commits sets; commits that set none are left out."""
        ...

    # statuses
    def say(self, lease: Lease, statuses: Sequence[CommitStatus]) -> None:
        """Put statuses into the outbox; what says the same as before is dropped."""
        ...

    def statuses(
        self,
        repository: str,
        *,
        commits: Collection[Sha] | None = None,
        context_prefix: str = "",
        open_only: bool = False,
    ) -> Sequence[CommitStatus]: ...
    def speaking(self, repository: str, commits: Collection[Sha]) -> Mapping[Sha, int]:
        """How many single fleets have a word on each of these commits; commits without one are left out."""
        ...

    def undelivered(self, repository: str, limit: int) -> "Sequence[Undelivered]":
        """What the forge may be told now, by the ledger's clock, the most urgent first."""
        ...

    def heads_of(self, repository: str, commits: Collection[Sha]) -> Mapping[Sha, Head]:
        """The heads of the pull requests that these commits came from; commits without one are left out."""
        ...

    def record_heads(self, repository: str, found: Mapping[Sha, Head]) -> None:
        """From here on what is said on each commit is said on its head too, beginning with what stands there now."""
        ...

    def next_telling(self, repository: str) -> datetime | None:
        """When there is something to tell next, by the ledger's clock; None where nothing waits."""
        ...

    def take_up(self, lease: Lease, words: "Sequence[Undelivered]") -> datetime:
        """These are about to be told; gives the ledger's time. Raises `LeaseLost`."""
        ...

    def settle(self, lease: Lease, results: "Sequence[Delivery]") -> None:
        """What became of what was told. Raises `LeaseLost`, and notes before where an older word may stand."""
        ...

    # people
    def request(self, fleet: FleetName, ask: Ask, by: str, at: datetime) -> None: ...
    def history(self, fleet: FleetName, limit: int) -> Sequence[Event]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the ledger knows of a repository: its last read head, and each fleet's setting there."""

    repository: str
    head: Sha
    settings: Mapping[FleetName, Setting]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionChange:
    """One repository read at a new head."""

    repository: str
    head: Revision
    desired: DesiredState
    settings: Mapping[FleetName, Setting]  # of the sound fleets
    statuses: tuple[CommitStatus, ...] = ()  # fairlead/validate, and what a force-push closes
    rewritten: frozenset[FleetName] = frozenset()  # fleets that a force-push would change
    at: datetime
    heads: Mapping[Sha, Head] = field(default_factory=dict)  # of what was merged, where they are to answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """A status that the forge has not confirmed yet. `sequence` names this word of it."""

    id: int
    sequence: int
    status: CommitStatus
    attempts: int
    said_before: bool = False  # the forge shows an earlier word of it, or may
    said_for: Sha = ""  # the commit whose word this repeats on its pull request's head; empty: a commit's own
    put_off: bool = False  # it was looked at before, and waits for a reason
    told_on: Sha = ""  # the commit that its tag meant when a word was first told there
    absent_since: datetime | None = None  # when the forge first said that the commit is not there


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of one status: delivered, to be tried again, or refused for good."""

    id: int
    sequence: int
    delivered: bool
    retry_at: datetime | None = None
    message: str = ""
    tried: bool = True  # False: it only waits for its turn, which counts as no attempt
    in_doubt: bool = False  # sent, and no answer says what became of it: it may take effect later
    told_on: Sha = ""  # the commit that it was told on, where the place is a tag: it is kept with the place
    absent: bool = False  # the forge says that the commit is not there


class Forge(Protocol):
    """Where a repository is hosted: puts statuses on commits."""

    def deliver(self, lease: Lease, statuses: Sequence[Undelivered], now: datetime) -> Sequence[Delivery]:
        """Tell them; gives what became of each. `now` is the ledger's, and so are times to try again.

        Raises `LeaseLost` where none was told; a lease that goes later ends the batch, and its results are given.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """At most so many writes in any span of this length."""

    span: timedelta
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The answer to who wants to write. Without `wait_until` the write is counted and may be made now."""

    wait_until: datetime | None = None
    why: str = ""  # what it waits for, as a sentence
    strikes: int = 0  # troubles in a row, so far


class Budget(Protocol):
    """How many writes a forge still takes, shared by every replica, by the database's clock.

    `names` are the account that writes, whose writes are counted, and then any other names that may be at rest.
    """

    def take(self, names: Sequence[str], windows: Sequence[Window]) -> Turn:
        """Count one write of the account now, where there is room and none of the names rests.

        Whoever comes with narrower windows leaves the rest of them to others: every write counts in each.
        """
        ...

    def resting(self, names: Sequence[str]) -> Turn:
        """Whether any of the names rests, for who only reads. Nothing is counted."""
        ...

    def slots(self, names: Sequence[str], wanted: Sequence[Sequence[Window]]) -> Sequence[datetime]:
        """The earliest times of the next writes, in this order, each by its own windows. Nothing is counted or kept
        free."""
        ...

    def rest(self, name: str, span: timedelta, why: str) -> datetime:
        """Let nobody write under this name for so long, and count one trouble; gives the end. Never shortens a rest."""
        ...

    def recover(self, names: Sequence[str]) -> None:
        """A write was taken: the troubles so far are forgotten."""
        ...
