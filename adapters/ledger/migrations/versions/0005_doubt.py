"""Which words are on their way to a forge, and which may be overtaken there by an older one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("statuses", sa.Column("sent_at", sa.BigInteger(), nullable=True))
    op.add_column("statuses", sa.Column("doubtful_until", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a ledger never goes back: keep a copy of it before upgrading, or start a new one")
