"""What commands that change desired state need of the settings: who writes, reviews, and what a commit was told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from adapters.forges.git_notes import GitNotes
from adapters.forges.hosted import Reading
from adapters.ledger.store import Store, open_ledger
from desired_state.commit_signing import Signer
from desired_state.landing import Author, Writer
from desired_state.mirror import Mirror
from desired_state.model import Sha
from fairlead.settings import RepositorySettings, SecretReference, Settings
from fairlead.wiring.forges import hosted, hosted_road
from reconciler.ports import Clock, Turn, Window
from reconciler.record import CommitStatus
from reconciler.reviews import Reviewed


def writer(settings: Settings, author: Author) -> Writer:
    """Who writes our commits. Raises `SettingsError`: the key is not to be had."""
    wanted = settings.commits
    key = SecretReference(wanted.signing_key).reveal() if wanted.signing_key else None
    return Writer(
        author=author,
        committer=Author(name=wanted.name, email=wanted.email),
        signer=Signer(key=key) if key is not None else None,
    )


def reviews(settings: Settings, repository: RepositorySettings, clock: Clock) -> Reviewed | None:
    """The pull requests of a repository; None where its forge has none. Raises `SettingsError`."""
    if repository.forge.type == "git_notes":
        return None
    return hosted(settings, repository, clock)(_Unshared(clock))


class _Unshared:
    """`reconciler.ports.Budget` of a command: one write, which is not counted in the ledger that it may not have."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def take(self, names: Sequence[str], windows: Sequence[Window]) -> Turn:
        """See `Budget`."""
        return Turn()

    def resting(self, names: Sequence[str]) -> Turn:
        """See `Budget`."""
        return Turn()

    def slots(self, names: Sequence[str], wanted: Sequence[Sequence[Window]]) -> Sequence[datetime]:
        """See `Budget`."""
        return [self._clock.now()] * len(wanted)

    def rest(self, name: str, span: timedelta, why: str) -> datetime:
        """See `Budget`."""
        return self._clock.now() + span

    def recover(self, names: Sequence[str]) -> None:
        """See `Budget`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Where to read all that a commit was told. `read` raises `Unreadable` and `GitError`.

    Seconds between two looks: `every` at first, up to `longest` while nothing is new.
    """

    read: Callable[[Sha], Sequence[CommitStatus]]
    every: float
    longest: float
    on_heads: bool = False  # where a commit came by a pull request, that one's head was told and not the commit


def ledger_at_hand(settings: Settings, clock: Clock) -> Store | None:
    """The ledger, where there is one already: none is made. Raises what the database raises."""
    scheme, _, path = settings.ledger_url.partition(":///")
    if scheme.startswith("sqlite") and not Path(path).is_file():
        return None
    return open_ledger(settings.ledger_url, clock, settings.ledger_connections)


def words_of(store: Store, repository: RepositorySettings) -> Words:
    """What the ledger says."""
    return Words(read=lambda commit: store.statuses(repository.name, commits=[commit]), every=0.5, longest=0.5)


def words_at_forge(settings: Settings, repository: RepositorySettings, mirror: Mirror, clock: Clock) -> Words:
    """What the forge shows. Raises `SettingsError`."""
    if repository.forge.type == "git_notes":
        return Words(read=GitNotes(mirror, repository=repository.name).read, every=3.0, longest=30.0)
    road, name = hosted_road(settings, repository, clock)
    on_heads = repository.forge.answer_on == "head"
    return Words(read=Reading(road, name).statuses, every=5.0, longest=30.0, on_heads=on_heads)
