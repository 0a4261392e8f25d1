"""Which steps this version knows, and taking a database through them with Alembic."""

from pathlib import Path

from sqlalchemy import Connection

FOLDER = Path(__file__).parent
STEPS = tuple(sorted(path.name[:4] for path in (FOLDER / "versions").glob("[0-9]*.py")))
HEAD = STEPS[-1]


def upgrade(connection: Connection) -> None:
    """Take the database to `HEAD` within the caller's transaction."""
    from alembic import command  # a quarter of a second that an up-to-date ledger does not pay
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
