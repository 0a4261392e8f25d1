"""Which steps this version knows, and taking a database through them with Alembic."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from adapters.ledger.dialects import LedgerError

FOLDER = Path(__file__).parent
STEPS = tuple(sorted(path.name[:4] for path in (FOLDER / "versions").glob("[0-9]*.py")))
HEAD = STEPS[-1]


def is_ready(connection: Connection) -> bool:
    """True where this version may work as it is: at its own step, or at a newer one that lets it.

    Raises `LedgerError` for a newer one that does not.
    """
    present = revision(connection)
    if present is None or present in STEPS:
        return present == HEAD
    oldest = connection.scalar(text("SELECT oldest FROM overlap"))
    if oldest is None or oldest > HEAD:
        raise LedgerError(
            f"the ledger is at schema {present}, which takes versions of Fairlead that know {oldest or present} or "
            f"newer; this one knows {HEAD}: run the newer version, or name another ledger"
        )
    return True


def bring_up(connection: Connection) -> None:
    """Take the database to `HEAD` where it is behind it, within the caller's transaction. Raises as `is_ready`."""
    if not is_ready(connection):
        upgrade(connection)


def revision(connection: Connection) -> str | None:
    """The schema's step; None for a database that never was a ledger."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def upgrade(connection: Connection, to: str = HEAD) -> None:
    """Take the database forward to a step within the caller's transaction."""
    from alembic import command  # a quarter of a second that an up-to-date ledger does not pay
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, to)
