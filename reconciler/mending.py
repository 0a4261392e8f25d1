"""What stands on a commit, for people, and deriving it again where somebody doubts it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from desired_state.model import Sha
from reconciler.outbox import LEFT_OUT, is_fleets
from reconciler.record import CommitStatus, Record, State
from reconciler.rollup import roll_up


class Fate(StrEnum):
    """What became of the newest word of a place."""

    DELIVERED = "delivered"
    DOUBTED = "doubted"  # delivered, and told once more: an older word may have come after it
    WAITING = "waiting"
    REFUSED = "refused"  # by the forge, for good
    LEFT_OUT = "left out"  # by us: another place tells it


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One place of the outbox: its newest word, and how far that has come. Times are the ledger's."""

    status: CommitStatus
    said_at: datetime
    is_delivered: bool  # the newest word is; else the forge shows an older one, if any
    delivered_at: datetime | None  # when the forge last took a word here
    is_doubted: bool = False
    next_try: datetime | None = None
    why: str = ""  # it waits, or was refused
    is_refused: bool = False
    attempts: int = 0
    said_for: Sha = ""  # the commit whose word this repeats on its pull request's head
    pull: int | None = None  # the number of that pull request, where it is known

    @property
    def fate(self) -> Fate:
        """One word for it."""
        if self.is_refused:
            return Fate.LEFT_OUT if self.why in LEFT_OUT else Fate.REFUSED
        if not self.is_delivered:
            return Fate.WAITING
        return Fate.DOUBTED if self.is_doubted else Fate.DELIVERED


def derived(
    commit: Sha, head: Sha, records: Sequence[Record], said: Sequence[CommitStatus], now: datetime
) -> tuple[CommitStatus, ...]:
    """What the commit should say that no fleet's pass will say: its roll-ups, and the end of fleets that are gone.

    `records` are all fleets of the repository, `said` what stands on the commit. Fleets' own words are their passes'.
    """
    known = {record.name for record in records}
    ended = {word.context: _ended(word, known, now) for word in said}
    news = tuple(word for word in ended.values() if word not in said)
    repository = next((word.repository for word in said), "")
    rolled_up = roll_up(repository, head, records, tuple(ended.values()), now) if repository else ()
    return (*news, *(word for word in rolled_up if word.commit == commit))


def _ended(word: CommitStatus, known: set[str], now: datetime) -> CommitStatus:
    """A word that is open for a fleet of which nothing is known any more ends here."""
    fleet = word.context.removeprefix("fairlead/")
    if word.state is not State.PENDING or not is_fleets(word.context) or fleet in known:
        return word
    return replace(word, state=State.ERROR, description="no longer managed: its file is gone", at=now)
