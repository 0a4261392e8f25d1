"""What people ask for outside Git."""

from datetime import datetime

from adapters.ledger.database import Database
from adapters.ledger.dialects import micros
from adapters.ledger.queue import make_due
from adapters.ledger.tables import requests
from desired_state.model import FleetName
from reconciler.record import Ask


class People:
    """Asks, kept until a pass has acted on them."""

    _database: Database

    def request(self, fleet: FleetName, ask: Ask, by: str, at: datetime) -> None:
        """Write down an ask and make the fleet due. Asking twice is asked twice; a pass takes all at once.

        So after `LedgerAway` a person may ask again.
        """
        row = {"fleet": fleet, "ask": ask.value, "by": by, "at": micros(at)}
        with self._database.writing() as connection:
            connection.execute(requests.insert().values(**row))
            make_due(connection, [f"fleet:{fleet}"])
