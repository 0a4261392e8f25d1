"""What commands that change desired state need of the settings: who writes, reviews, and what a commit was told."""

from collections.abc import Callable, Sequence
from pathlib import Path

from adapters.forges.git_notes import GitNotes
from adapters.ledger.store import Store, open_ledger
from desired_state.commit_signing import Signer
from desired_state.landing import Author, Writer
from desired_state.mirror import Mirror
from desired_state.model import Sha
from fairlead.settings import RepositorySettings, SecretReference, Settings
from reconciler.ports import Clock
from reconciler.record import CommitStatus
from reconciler.reviews import Reviews

StatusesOf = Callable[[Sha], Sequence[CommitStatus]]  # all that a commit was told; raises `Unreadable`, `GitError`


def writer(settings: Settings, author: Author) -> Writer:
    """Who writes our commits. Raises `SettingsError`: the key is not to be had."""
    wanted = settings.commits
    key = SecretReference(wanted.signing_key).reveal() if wanted.signing_key else None
    return Writer(
        author=author,
        committer=Author(name=wanted.name, email=wanted.email),
        signer=Signer(key=key) if key is not None else None,
    )


def reviews(settings: Settings, repository: RepositorySettings) -> Reviews | None:  # noqa: ARG001
    """The pull requests of a repository; None where its forge has none. Raises `SettingsError`."""
    return None


def ledger_at_hand(settings: Settings, clock: Clock) -> Store | None:
    """The ledger, where there is one already: none is made. Raises what the database raises."""
    scheme, _, path = settings.ledger_url.partition(":///")
    if scheme.startswith("sqlite") and not Path(path).is_file():
        return None
    return open_ledger(settings.ledger_url, clock, settings.ledger_connections)


def statuses_of(repository: RepositorySettings, mirror: Mirror, store: Store | None) -> StatusesOf:
    """Where to read what a commit was told: the ledger that is at hand, else the forge."""
    if store is not None:
        return lambda commit: store.statuses(repository.name, commits=[commit])
    notes = GitNotes(mirror, repository=repository.name)
    return notes.read
