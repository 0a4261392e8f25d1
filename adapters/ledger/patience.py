"""A connection to PostgreSQL that does not wait for ever.

The server's own limits need a server that goes on, and TCP's a peer that is gone. A server that was stopped, whose disk
hangs, or that a proxy stands in for acknowledges what it is sent and never answers.
"""

from typing import Any

from psycopg import Connection, OperationalError
from psycopg.pq import TransactionStatus

PATIENCE = 40.0  # seconds: the server ends a statement itself before


class PatientConnection(Connection[Any]):
    """One statement is given up after `patience` seconds, and the connection with it; None: waits as long as needed."""

    patience: float | None = PATIENCE

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As the driver does, which sends and receives everything through here. Raises `OperationalError`."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.patience)
        except OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.close()
            raise OperationalError(f"the server has not answered for {self.patience:g} s") from error
