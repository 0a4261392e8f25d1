"""In what form a word is shown and where, which heads repeat the words of a commit, and what the outbox can tell of each.

A version that does not know these columns writes words on commits, which is what their defaults say. It reads the same:
under a repository's own name stand own statuses of its commits and nothing else, as before. Copies, comments,
deployments and words on other repositories stand under names of their own (`reconciler/outlets.py`), which no settings
name, in families of the queue that it does not know: it neither shows nor claims, tells, rolls up or overwrites them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, default in (("medium", "status"), ("project", ""), ("body", ""), ("said_for", "")):
        op.add_column("statuses", sa.Column(name, sa.Text(), nullable=False, server_default=default))
    op.add_column("statuses", sa.Column("delivered_at", sa.BigInteger(), nullable=True))
    op.add_column("statuses", sa.Column("waits_for", sa.Text(), nullable=True))
    refused = sa.text("refused IS NOT NULL")
    op.create_index("statuses_refused", "statuses", ["repository"], postgresql_where=refused, sqlite_where=refused)
    op.add_column("statuses", sa.Column("told_on", sa.Text(), nullable=True))
    op.add_column("statuses", sa.Column("absent_since", sa.BigInteger(), nullable=True))
    op.create_table(
        "heads",
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("commit", sa.Text(), nullable=False, quote=True),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("pull", sa.BigInteger(), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repository", "commit"),
    )
    op.create_index("heads_head", "heads", ["repository", "head"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("a ledger never goes back: keep a copy of it before upgrading, or start a new one")
