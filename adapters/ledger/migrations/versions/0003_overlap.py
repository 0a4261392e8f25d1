"""Which versions may work on a schema that is newer than they know: overlap."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("overlap", sa.Column("oldest", sa.Text(), nullable=False), sa.PrimaryKeyConstraint("oldest"))
    op.execute("INSERT INTO overlap (oldest) VALUES ('0003')")


def downgrade() -> None:
    raise NotImplementedError("a ledger never goes back: keep a copy of it before upgrading, or start a new one")
