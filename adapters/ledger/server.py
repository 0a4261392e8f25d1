"""How a PostgreSQL is reached, and its limits of time: whoever hangs never holds up the others for longer than these.

A session that stands still inside a transaction (a stopped process, a dead host) is ended by the server after
`idle_in_transaction_session_timeout`, and gives its row locks free; who waits for a lock waits longer than that, so the
others go on. A server that is gone is given up after `tcp_user_timeout`, one that is there and does not answer after
`patience.PATIENCE`, one that cannot be reached after `connect_timeout` for each of its hosts.
"""

import time
from functools import partial
from typing import Any

from sqlalchemy import URL, Engine, NullPool, create_engine, event
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import InvalidatePoolError

from adapters.ledger.dialects import LedgerError

_SINCE = "fairlead_rests_since"
CHANNEL = "fairlead_due"
POOL_SECONDS = 10  # how long a thread waits for one of its process's connections
RESTED_SECONDS = 1  # a connection that was used just now is taken to live
LIMITS = {  # postgresql.org/docs/current/runtime-config-client.html
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "15s",
    "statement_timeout": "30s",
    "tcp_user_timeout": "20s",  # of the server's end: a stopped process that takes no more bytes
}
REACHING = {  # postgresql.org/docs/current/libpq-connect.html; what the URL says goes before
    "application_name": "fairlead",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
_READY = "SELECT pg_is_in_recovery(), " + ", ".join(f"set_config('{name}', '{LIMITS[name]}', false)" for name in LIMITS)


def pooled(url: URL, connections: int) -> Engine:
    """At most so many connections; one that rested is looked at before it is used again."""
    pool: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_timeout": POOL_SECONDS}
    engine = _watched(create_engine(_reaching(url), **pool))
    event.listen(engine, "checkin", _rests)
    event.listen(engine, "checkout", partial(_looked_at, engine.dialect))
    return engine


def unpooled(engine: Engine) -> Engine:
    """The same server, a connection of its own each time: for the one that listens."""
    return _watched(create_engine(engine.url, poolclass=NullPool))


def _reaching(url: URL) -> URL:
    return url.set(query={**REACHING, **url.query})


def _watched(engine: Engine) -> Engine:
    event.listen(engine, "do_connect", _connected)
    event.listen(engine, "connect", _ready)
    return engine


def _connected(_: Dialect, __: object, words: Any, options: Any) -> Any:
    from adapters.ledger.patience import PatientConnection  # a tenth of a second that SQLite does not pay

    return PatientConnection.connect(*words, **options)


def _ready(connection: Any, _: object) -> None:
    """Set the limits. Raises `LedgerError` for a standby: it takes no writes."""
    with connection.cursor() as cursor:
        standby = cursor.execute(_READY).fetchone()[0]
    connection.commit()
    if standby:
        host = connection.info.host
        connection.close()
        raise LedgerError(
            f"PostgreSQL at {host} is a standby and takes no writes: name the primary, or all hosts "
            "with target_session_attrs=read-write"
        )


def _rests(connection: Any, record: Any) -> None:
    if connection is not None:
        vars(connection).pop("patience", None)  # that of who migrates
    record.info[_SINCE] = time.monotonic()


def _looked_at(dialect: Dialect, connection: Any, record: Any, _: object) -> None:
    """Raises `InvalidatePoolError` for a dead one: then all that rest are made anew, and nobody notices."""
    rested = time.monotonic() - record.info.get(_SINCE, time.monotonic())
    if rested < RESTED_SECONDS:
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError from error
