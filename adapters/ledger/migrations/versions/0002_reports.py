"""What hosts report: reports."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reports",
        sa.Column("fleet", sa.Text(), nullable=False),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("silent_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("fleet", "feed", "host"),
    )
    op.create_index("reports_silent_at", "reports", ["feed", "silent_at"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("a ledger never goes back: keep a copy of it before upgrading, or start a new one")
