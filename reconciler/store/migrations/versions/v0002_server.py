"""What the server keeps: keys, agents, policies made through the API, commands, reports and verdicts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_NO_REPLACE = """CREATE TRIGGER decision_log_refuses_replace BEFORE INSERT ON decision_log BEGIN
    SELECT RAISE(ABORT, 'the decision log is append-only') WHERE EXISTS (SELECT 1 FROM decision_log WHERE id = NEW.id);
    SELECT RAISE(IGNORE) WHERE NEW.decision_id <> '' AND EXISTS (
        SELECT 1 FROM decision_log WHERE decision_id <> '' AND decision_id = NEW.decision_id AND action = NEW.action);
END"""
"""INSERT OR REPLACE drops the row in its way without asking triggers about DELETE, unless recursive_triggers is on.

A second row about one decision is left out, as ON CONFLICT DO NOTHING has it: what was logged first stays.
"""


def upgrade() -> None:
    """Add the server's tables."""
    op.add_column("pushes", sa.Column("day", sa.Integer, nullable=False, server_default=sa.text("0")))
    _access()
    _policies()
    _commands()
    _reports()
    _log()


def _access() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("clusters", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash", name="uq_api_keys_hash"),
    )
    op.create_table(
        "agents",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hostname", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("host_pool", sa.Text, nullable=False),
        sa.Column("observed_as", sa.Text, nullable=False),
        sa.Column("registered_at", sa.BigInteger, nullable=False),
        sa.Column("last_seen", sa.BigInteger, nullable=False),
        sa.Column("container_count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organization", "platform", "name", "hostname", name="uq_agents"),
    )
    op.create_index("ix_agents_observed_as", "agents", ["observed_as"])


def _policies() -> None:
    op.create_table(
        "policies",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("target", sa.Text),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("deleted_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organization", "target", name="uq_policies_target"),
    )
    op.create_table(
        "policy_states",
        sa.Column("fleet", sa.Text, nullable=False),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("evaluated_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("fleet", "policy_id"),
    )


def _commands() -> None:
    op.create_table(
        "commands",
        sa.Column("seq", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("agent_id", sa.Text, nullable=False),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("change_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("host_pool", sa.Text, nullable=False),
        sa.Column("group_name", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("answered_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id", name="uq_commands_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_commands_waiting", "commands", ["agent_id", "answer", "expires_at"])
    op.create_index("ix_commands_slot", "commands", ["agent_id", "host_pool", "group_name", "seq"])
    op.create_index("ix_commands_change", "commands", ["change_id"])
    op.create_index("ix_commands_open", "commands", ["answer", "expires_at"])


def _reports() -> None:
    op.create_table(
        "status_reports",
        sa.Column("agent_id", sa.Text, nullable=False),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("agent_id"),
    )
    op.create_index("ix_status_reports_cluster", "status_reports", ["cluster"])
    op.create_table(
        "verdicts",
        sa.Column("fleet", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("change_id", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("fleet", "fingerprint", "change_id"),
    )
    op.create_index("ix_verdicts_change", "verdicts", ["change_id"])


def _log() -> None:
    op.create_index("ix_decision_log_fleet", "decision_log", ["fleet", "id"])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_NO_REPLACE)
