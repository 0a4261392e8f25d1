"""When a mark wants a name that runs, and what the forge has yet to confirm: queue.wished, statuses_to_be_told."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TO_BE_TOLD = sa.text("refused IS NULL AND (sequence > delivered_sequence OR doubtful_until IS NOT NULL)")


def upgrade() -> None:
    op.add_column("queue", sa.Column("wished", sa.BigInteger(), nullable=True))
    op.create_index(
        "statuses_to_be_told", "statuses", ["repository"], postgresql_where=TO_BE_TOLD, sqlite_where=TO_BE_TOLD
    )


def downgrade() -> None:
    raise NotImplementedError("a ledger never goes back: keep a copy of it before upgrading, or start a new one")
