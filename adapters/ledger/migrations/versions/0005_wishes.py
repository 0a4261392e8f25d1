"""When a mark wants a name that runs, and what the forge has yet to confirm: queue.wished, statuses_undelivered."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UNDELIVERED = sa.text("sequence > delivered_sequence AND refused IS NULL")


def upgrade() -> None:
    op.add_column("queue", sa.Column("wished", sa.BigInteger(), nullable=True))
    op.create_index(
        "statuses_undelivered", "statuses", ["repository"], postgresql_where=UNDELIVERED, sqlite_where=UNDELIVERED
    )


def downgrade() -> None:
    raise NotImplementedError("a ledger never goes back: keep a copy of it before upgrading, or start a new one")
