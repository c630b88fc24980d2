"""What the guard judges by: incidents with their instants, and the changes that it looks after."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the guard's tables, and count in how many pushes in a row a container was throttled."""
    op.add_column("pod_counters", sa.Column("throttled", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.create_table(
        "recent_incidents",
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("container", sa.Text, nullable=False),
        sa.Column("pod", sa.Text, nullable=False),
        sa.Column("oom_kills", sa.BigInteger, nullable=False),
        sa.Column("restarts", sa.BigInteger, nullable=False),
        sa.Column("throttled", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("cluster", "at", "namespace", "kind", "name", "container", "pod"),
    )
    op.create_table(
        "watched_changes",
        sa.Column("change_id", sa.Text, nullable=False),
        sa.Column("fleet", sa.Text, nullable=False),
        sa.Column("begins", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("change_id"),
    )
    op.create_index("ix_watched_changes_fleet", "watched_changes", ["fleet", "outcome"])
