"""Action configs made through the API, their runs, heartbeats, and recommendations."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables of the Actions and Recommendations APIs."""
    _configs()
    _runs()
    _heartbeats()
    _recommendations()


def _configs() -> None:
    op.create_table(
        "action_configs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("deleted_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_action_configs_organization", "action_configs", ["organization", "created_at"])


def _runs() -> None:
    op.create_table(
        "action_runs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("fleet", sa.Text, nullable=False),
        sa.Column("action_id", sa.Text, nullable=False),
        sa.Column("config_name", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_action_runs_organization", "action_runs", ["organization", "started_at", "id"])
    op.create_table(
        "run_actions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("fleet", sa.Text, nullable=False),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("change_id", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("completed_at", sa.BigInteger),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["run_id"], ["action_runs.id"]),
    )
    op.create_index("ix_run_actions_run", "run_actions", ["run_id", "outcome", "completed_at", "cluster"])
    op.create_index("ix_run_actions_completed", "run_actions", ["organization", "completed_at", "id"])
    op.create_index("ix_run_actions_fleet", "run_actions", ["fleet", "outcome"])


def _heartbeats() -> None:
    op.create_table(
        "heartbeats",
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("controller", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("organization", "cluster", "controller", "at"),
    )
    op.create_index("ix_heartbeats_at", "heartbeats", ["organization", "at"])
    op.create_index("ix_heartbeats_cluster", "heartbeats", ["organization", "cluster", "at"])


def _recommendations() -> None:
    op.create_table(
        "recommendations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("fleet", sa.Text, nullable=False),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("risk", sa.Text, nullable=False),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("saving", sa.BigInteger, nullable=False),
        sa.Column("change_id", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    filters = ["namespace", "cluster_id", "cluster", "kind", "priority", "risk", "status"]
    op.create_index("ix_recommendations_saving", "recommendations", ["organization", "saving", "id", *filters])
    op.create_index("ix_recommendations_open", "recommendations", ["organization", "is_open", "saving", "id", *filters])
    op.create_index("ix_recommendations_uid", "recommendations", ["organization", "uid"])
    op.create_index("ix_recommendations_fleet", "recommendations", ["fleet", "is_open", "updated_at"])
    op.create_index("ix_recommendations_change", "recommendations", ["change_id"])
    op.create_index("ix_recommendations_object", "recommendations", ["fleet", "cluster", "namespace", "kind", "name"])
