"""Which pull requests have a comment of ours, or will: those that there is something to take back on."""

from sqlalchemy import bindparam, select

from adapters.ledger.database import Database
from adapters.ledger.tables import statuses
from desired_state.model import Sha
from reconciler.outlets import further

_PLACES = select(statuses.c.commit).where(
    statuses.c.repository == bindparam("outlet"), statuses.c.context == bindparam("context")
)


class Commented:
    """Reading places of comments."""

    _database: Database

    def commented(self, repository: str, context: str) -> frozenset[Sha]:
        """Where anything was ever said under that context, as `pull/7`, for as long as words are kept."""
        with self._database.reading() as connection:
            return frozenset(connection.scalars(_PLACES, {"outlet": further(repository), "context": context}))
