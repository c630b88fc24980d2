"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_APPEND_ONLY = {
    "sqlite": [
        f"""CREATE TRIGGER decision_log_refuses_{verb.lower()} BEFORE {verb} ON decision_log
            BEGIN SELECT RAISE(ABORT, 'the decision log is append-only'); END"""
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        """CREATE FUNCTION decision_log_refuses() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the decision log is append-only'; END $$""",
        """CREATE TRIGGER decision_log_refuses_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON decision_log
           FOR EACH STATEMENT EXECUTE FUNCTION decision_log_refuses()""",
    ],
}


def upgrade() -> None:
    """Create everything."""
    _usage()
    _observations()
    _changes()
    _log()
    _others()


def _usage() -> None:
    op.create_table(
        "usage_clusters",
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("newest_second", sa.BigInteger, nullable=False),
        sa.Column("compacted_day", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("cluster"),
    )
    op.create_table(
        "usage_days",
        sa.Column("key", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("sketch", sa.LargeBinary, nullable=False),
        sa.Column("seen", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "usage_hours",
        sa.Column("key", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("stats", sa.LargeBinary, nullable=False),
        sa.Column("sketches", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "usage_series",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("container", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("cluster", "namespace", "kind", "name", "container", "resource", name="uq_usage_series"),
    )


def _observations() -> None:
    op.create_table(
        "push_sources",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("cluster", "agent", name="uq_push_sources"),
    )
    op.create_table(
        "pushes",
        sa.Column("source", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("part", sa.Integer, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["source"],
            ["push_sources.id"],
        ),
        sa.PrimaryKeyConstraint("source", "at", "part"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "incidents",
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("container", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("oom_kills", sa.BigInteger, nullable=False),
        sa.Column("restarts", sa.BigInteger, nullable=False),
        sa.Column("peak_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("cluster", "namespace", "kind", "name", "container", "day"),
    )
    op.create_table(
        "observed",
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("list", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("part", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("cluster", "list", "agent", "at", "part"),
    )
    op.create_table(
        "pod_counters",
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("pod", sa.Text, nullable=False),
        sa.Column("container", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("restarts", sa.BigInteger, nullable=False),
        sa.Column("oom_kills", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("cluster", "pod", "container"),
    )


def _changes() -> None:
    op.create_table(
        "changes",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("fleet", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("commit", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("landed_at", sa.BigInteger),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_changes_commit", "changes", ["commit"])
    op.create_index("ix_changes_fleet_state", "changes", ["fleet", "state"])
    op.create_table(
        "decisions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("change_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["change_id"],
            ["changes.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_decisions_change", "decisions", ["change_id", "position"])
    op.create_table(
        "open_decisions",
        sa.Column("fleet", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("decision_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("fleet", "fingerprint"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_open_decisions_id", "open_decisions", ["decision_id"])
    op.create_table(
        "refusals",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("fleet", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("field", sa.Text, nullable=False),
        sa.Column("commit", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("fleet", "subject", "path", "field", "commit", name="uq_refusals"),
    )


def _log() -> None:
    op.create_table(
        "decision_log",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("ts", sa.BigInteger, nullable=False),
        sa.Column("fleet", sa.Text, nullable=False),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("change_id", sa.Text, nullable=False),
        sa.Column("decision_id", sa.Text, nullable=False),
        sa.Column("runtime", sa.Text, nullable=False),
        sa.Column("trigger_metric", sa.Text, nullable=True),
        sa.Column("trigger_value", sa.Float, nullable=True),
        sa.Column("threshold", sa.Float, nullable=True),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("from_replicas", sa.Integer, nullable=True),
        sa.Column("to_replicas", sa.Integer, nullable=True),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("dry_run", sa.Boolean, nullable=False),
        sa.Column("rendered_manifest", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_decision_log_policy", "decision_log", ["fleet", "policy_id", "id"])
    op.create_index(
        "uq_decision_log_decision",
        "decision_log",
        ["decision_id", "action"],
        unique=True,
        sqlite_where=sa.text("decision_id <> ''"),
        postgresql_where=sa.text("decision_id <> ''"),
    )
    for statement in _APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


def _others() -> None:
    op.create_table(
        "cache",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_cache_used", "cache", ["used", "key", "size"])
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "marks",
        sa.Column("fleet", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("fleet", "name"),
    )
