"""Every table, as SQLAlchemy Core sees it. A change here needs a revision in ``migrations/versions`` (a test compares).

Instants are integers: unix seconds (``…_second``), milliseconds (``…_ms``) or microseconds (``at``) in UTC, so that both databases
order and compare them alike.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

RowId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the key is INTEGER."""

usage_clusters = Table(
    "usage_clusters",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("newest_second", BigInteger, nullable=False),
    Column("compacted_day", Integer, nullable=False),
)
"""The newest sample of each cluster, and the first day whose hours are still kept."""

usage_series = Table(
    "usage_series",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("cluster", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("container", Text, nullable=False),
    Column("resource", Text, nullable=False),
    UniqueConstraint("cluster", "namespace", "kind", "name", "container", "resource", name="uq_usage_series"),
)

usage_days = Table(
    "usage_days",
    metadata,
    Column("key", RowId, primary_key=True, autoincrement=False),
    Column("sketch", LargeBinary, nullable=False),
    Column("seen", LargeBinary, nullable=False),
)
"""One row a series and UTC day; key = series id << 16 | days since 1970 (the blobs: ``usage_rows``)."""

usage_hours = Table(
    "usage_hours",
    metadata,
    Column("key", RowId, primary_key=True, autoincrement=False),
    Column("stats", LargeBinary, nullable=False),
    Column("sketches", LargeBinary, nullable=False),
)
"""The hours of the recent days, beside their row in usage_days; same key."""

push_sources = Table(
    "push_sources",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("cluster", Text, nullable=False),
    Column("agent", Text, nullable=False),
    UniqueConstraint("cluster", "agent", name="uq_push_sources"),
)

pushes = Table(
    "pushes",
    metadata,
    Column("source", BigInteger, ForeignKey("push_sources.id"), primary_key=True, autoincrement=False),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("day", Integer, nullable=False, server_default=text("0")),
    sqlite_with_rowid=False,
)
"""What makes a push idempotent. ``day``: when it came in, days since 1970; agents' rows go after two days, imports' never."""

observed = Table(
    "observed",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("list", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("complete", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""The newest state of each list of a cluster: zlib of JSON."""

pod_counters = Table(
    "pod_counters",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("pod", Text, primary_key=True),
    Column("container", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("restarts", BigInteger, nullable=False),
    Column("oom_kills", BigInteger, nullable=False),
    Column("throttled", Integer, nullable=False, server_default=text("0")),
)
"""The counters of each pod's container as last pushed; no row = zeros. ``throttled``: in how many pushes in a row it was."""

incidents = Table(
    "incidents",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("namespace", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("container", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("oom_kills", BigInteger, nullable=False),
    Column("restarts", BigInteger, nullable=False),
    Column("peak_bytes", BigInteger, nullable=False),
)
"""OOM kills and restarts of a workload's container on one UTC day (days since 1970)."""

recent_incidents = Table(
    "recent_incidents",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("namespace", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("container", Text, primary_key=True),
    Column("pod", Text, primary_key=True),
    Column("oom_kills", BigInteger, nullable=False),
    Column("restarts", BigInteger, nullable=False),
    Column("throttled", Integer, nullable=False),
)
"""What happened to a container when, of the last two days: by how much its counters grew with the push of that instant."""

watched_changes = Table(
    "watched_changes",
    metadata,
    Column("change_id", Text, primary_key=True),
    Column("fleet", Text, nullable=False),
    Column("begins", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_watched_changes_fleet", "fleet", "outcome"),
)
"""Changes that the guard looks after, or has; ``outcome`` is empty while it does."""

changes = Table(
    "changes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("fleet", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("commit", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("landed_at", BigInteger),
    Column("body", Text, nullable=False),
    Index("ix_changes_fleet_state", "fleet", "state"),
    Index("ix_changes_commit", "commit"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("change_id", Text, ForeignKey("changes.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_decisions_change", "change_id", "position"),
)

open_decisions = Table(
    "open_decisions",
    metadata,
    Column("fleet", Text, primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("decision_id", Text, nullable=False),
    Index("ix_open_decisions_id", "decision_id"),
    sqlite_with_rowid=False,
)
"""The one id of a decision from its first proposal until its change is closed."""

decision_log = Table(
    "decision_log",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("ts", BigInteger, nullable=False),
    Column("fleet", Text, nullable=False),
    Column("policy_id", Text, nullable=False),
    Column("change_id", Text, nullable=False),
    Column("decision_id", Text, nullable=False),
    Column("runtime", Text, nullable=False),
    Column("trigger_metric", Text),
    Column("trigger_value", Float),
    Column("threshold", Float),
    Column("direction", Text, nullable=False),
    Column("from_replicas", Integer),
    Column("to_replicas", Integer),
    Column("action", Text, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("rendered_manifest", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Index("ix_decision_log_policy", "fleet", "policy_id", "id"),
    Index("ix_decision_log_fleet", "fleet", "id"),
    Index(
        "uq_decision_log_decision",
        "decision_id",
        "action",
        unique=True,
        sqlite_where=text("decision_id <> ''"),
        postgresql_where=text("decision_id <> ''"),
    ),
    sqlite_autoincrement=True,
)
"""Append-only: triggers refuse UPDATE and DELETE, and on SQLite keep a REPLACE from taking a row's place."""

refusals = Table(
    "refusals",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("fleet", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("commit", Text, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("fleet", "subject", "path", "field", "commit", name="uq_refusals"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)

cache = Table(
    "cache",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Index("ix_cache_used", "used", "key", "size"),
)

marks = Table(
    "marks",
    metadata,
    Column("fleet", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("clusters", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    UniqueConstraint("hash", name="uq_api_keys_hash"),
)
"""``hash`` is SHA-256 of the key: 190 random bits need no slow hash. ``scopes`` and ``clusters`` are joined by spaces."""

agents = Table(
    "agents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("hostname", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("host_pool", Text, nullable=False),
    Column("observed_as", Text, nullable=False),
    Column("registered_at", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("container_count", Integer, nullable=False),
    UniqueConstraint("organization", "platform", "name", "hostname", name="uq_agents"),
    Index("ix_agents_observed_as", "observed_as"),
)

policies = Table(
    "policies",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization", Text, nullable=False),
    Column("target", Text),
    Column("spec", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
    UniqueConstraint("organization", "target", name="uq_policies_target"),
)
"""Policies made through the API. A deleted one stays, without its target, so that its files are known to be ours to drop."""

policy_states = Table(
    "policy_states",
    metadata,
    Column("fleet", Text, primary_key=True),
    Column("policy_id", Text, primary_key=True),
    Column("evaluated_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
"""What the newest pass made of each policy, declared ones too: those of two fleet repos may have the same id."""

commands = Table(
    "commands",
    metadata,
    Column("seq", RowId, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("policy_id", Text, nullable=False),
    Column("change_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("host_pool", Text, nullable=False),
    Column("group_name", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("answer", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("answered_at", BigInteger),
    UniqueConstraint("id", name="uq_commands_id"),
    Index("ix_commands_waiting", "agent_id", "answer", "expires_at"),
    Index("ix_commands_slot", "agent_id", "host_pool", "group_name", "seq"),
    Index("ix_commands_change", "change_id"),
    Index("ix_commands_open", "answer", "expires_at"),
    sqlite_autoincrement=True,
)

status_reports = Table(
    "status_reports",
    metadata,
    Column("agent_id", Text, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_status_reports_cluster", "cluster"),
)
"""The newest report of each agent; ``cluster`` is the key that its cluster is observed as."""

verdicts = Table(
    "verdicts",
    metadata,
    Column("fleet", Text, primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("change_id", Text, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Index("ix_verdicts_change", "change_id"),
)
"""Who approved or rejected which decision of which change, by its fingerprint: another value needs another approval."""

action_configs = Table(
    "action_configs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
    Index("ix_action_configs_organization", "organization", "created_at"),
)
"""Action configs made through the API, as JSON. A deleted one stays, so that what stands of it in Git is known to be ours."""

action_runs = Table(
    "action_runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization", Text, nullable=False),
    Column("fleet", Text, nullable=False),
    Column("action_id", Text, nullable=False),
    Column("config_name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Index("ix_action_runs_organization", "organization", "started_at", "id"),
)

run_actions = Table(
    "run_actions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run_id", Text, ForeignKey("action_runs.id"), nullable=False),
    Column("organization", Text, nullable=False),
    Column("fleet", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("change_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("completed_at", BigInteger),
    Column("body", Text, nullable=False),
    Index("ix_run_actions_run", "run_id", "outcome", "completed_at", "cluster"),
    Index("ix_run_actions_completed", "organization", "completed_at", "id"),
    Index("ix_run_actions_fleet", "fleet", "outcome"),
)
"""What each run recommended, one row a container, quota or namespace; a run's counts are counted from these rows."""

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("organization", Text, primary_key=True),
    Column("cluster", Text, primary_key=True),
    Column("controller", Text, primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    Index("ix_heartbeats_at", "organization", "at"),
    Index("ix_heartbeats_cluster", "organization", "cluster", "at"),
)

_RECOMMENDATION_FILTERS = ("namespace", "cluster_id", "cluster", "kind", "priority", "risk", "status")
"""Behind what orders the pages: rows that a filter leaves out are passed over in the index, and their long bodies never read."""

recommendations = Table(
    "recommendations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization", Text, nullable=False),
    Column("fleet", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("cluster_id", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("uid", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("risk", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("saving", BigInteger, nullable=False),
    Column("change_id", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_recommendations_saving", "organization", "saving", "id", *_RECOMMENDATION_FILTERS),
    Index("ix_recommendations_open", "organization", "is_open", "saving", "id", *_RECOMMENDATION_FILTERS),
    Index("ix_recommendations_uid", "organization", "uid"),
    Index("ix_recommendations_fleet", "fleet", "is_open", "updated_at"),
    Index("ix_recommendations_change", "change_id"),
    Index("ix_recommendations_object", "fleet", "cluster", "namespace", "kind", "name"),
)
"""One row a lifecycle of a workload's recommendation. ``saving``: ten-thousandths of the currency an hour. ``is_open``: pending
or dismissed. ``digest``: what it was made of, so that a pass sees without reading it whether it still is the same."""
