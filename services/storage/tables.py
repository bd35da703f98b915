"""Every table, as SQLAlchemy Core sees it; the migrations make the same ones, and a test compares the two.

    users ─┬─ api_keys            what was done to them is in audit_events
           ├ (by name) threads ── runs ─┬─ messages
           │                            ├─ run_events         its log: what every client saw, or will see
           │                            ├─ tool_effects       its ledger: what its tools have done to the world
           │                            ├─ idempotency_keys
           │                            ├─ webhooks
           │                            ├─ run_spans          its trace, where that is kept
           │                            ├─ scores             what judges made of it
           │                            └─ feedback           what its user made of it
           └ (by name) memories         what agents remember of a user
    leases           the agent replicas that are alive
    rate_buckets, slots      what has been taken of the quotas
    drift_series ── alerts ── alert_deliveries     how good the answers of all tenants are, and who is told when that changes
    drift_leader     the one replica that watches it; these seven are the only tables without a tenant
    budget_accounts, budget_reservations     what was spent in a month, and what model calls at work may cost yet
    usage            the bill of a run: it outlives the thread it belongs to
    documents        what agents may look up, as passages with their search vector
    checkpoints, checkpoint_blobs, checkpoint_writes     LangGraph's, keyed by its own text ids

Every row carries `tenant_id`. Ids are uuid7, made by the application; times are set by Postgres. A thread has at most one
live run: `uq_runs_live` makes that a fact rather than a check that two replicas could both pass. A queued run is not live:
it waits for its thread, or for an agent.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

LIVE_STATUSES = ("pending", "running")
LIVE = "status IN ('pending', 'running')"
UNENDED = "status IN ('queued', 'pending', 'running')"
_EMPTY_OBJECT = text("'{}'::jsonb")
_EMPTY_LIST = text("'[]'::jsonb")
_Id = Text(collation="C")  # LangGraph's ids are text that is compared bytewise


def _tenant() -> Column[str]:
    return Column("tenant_id", Text, nullable=False)


def _now(name: str, comment: str | None = None) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now(), comment=comment)


users = Table(
    "users",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    _now("created_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    _tenant(),
    Column("user_id", Text, nullable=False),
    Column("lookup", Text, nullable=False, unique=True, comment="the part of the key that finds its row; not secret"),
    Column("digest", LargeBinary, nullable=False, comment="HMAC-SHA-256 of the whole key under the pepper"),
    Column("scopes", ARRAY(Text), nullable=False),
    _now("created_at"),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("role", Text, nullable=False, server_default=text("'user'"), comment="user | operator | admin"),
    Column("replaced_by", Uuid, comment="the key that was made in place of this one"),
    ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
    CheckConstraint("role IN ('user', 'operator', 'admin')", name="role"),
    Index(None, "tenant_id", "user_id"),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", Uuid, primary_key=True),
    _tenant(),
    _now("at"),
    Column("action", Text, nullable=False),
    Column("user_id", Text, nullable=False, comment="who did it; no foreign key: the record outlives them"),
    Column("key_id", Uuid, comment="with which key; null for a command"),
    Column("target", Text, nullable=False),
    Column("target_user_id", Text, comment="whose what it was done to is"),
    Column("details", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    Index(None, "tenant_id", "id"),
)

threads = Table(
    "threads",
    metadata,
    Column("id", Uuid, primary_key=True),
    _tenant(),
    Column("user_id", Text, nullable=False, comment="no foreign key: users of a token issuer have no row"),
    Column("ephemeral", Boolean, nullable=False),
    Column("metadata", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    _now("created_at"),
    _now("updated_at"),
    Index("ix_threads_listed", "tenant_id", "user_id", "created_at", "id", postgresql_where=text("NOT ephemeral")),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    _tenant(),
    Column("thread_id", Uuid, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("graph", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("ephemeral", Boolean, nullable=False),
    Column("options", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    Column("on_disconnect", Text, nullable=False),
    Column("metadata", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    _now("created_at"),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Column("finish_reason", Text),
    Column("failure", JSONB),
    Column(
        "attempt", Integer, nullable=False, server_default=text("0"), comment="how often an agent took it: its fence"
    ),
    Column("owner", Uuid, comment="the lease of the replica that runs it, or ran it last"),
    Column(
        "crashes", SmallInteger, nullable=False, server_default=text("0"), comment="owners lost since it progressed"
    ),
    Column("progress", JSONB, comment="the last checkpoint: its event id, and the usage up to it"),
    _now("deadline_at"),
    Column("watched_at", DateTime(timezone=True), comment="when somebody last read its log as it grew"),
    Column("cancel_action", Text),
    Column("cancel_reason", Text),
    Column("background", Boolean, nullable=False, server_default=text("false")),
    Column("priority", SmallInteger, nullable=False, server_default=text("0"), comment="the lowest goes first"),
    Column("decisions", JSONB, comment="what a person decided, in a run that resumes an interrupted one"),
    Column("interrupts", JSONB, comment="what an interrupted run asks a person"),
    Column(
        "flagged", Boolean, nullable=False, server_default=text("false"), comment="its input was suspect, and passed"
    ),
    Column(
        "prompt_version", Text, nullable=False, server_default=text("''"), comment="of the prompts that it began with"
    ),
    Column("traceparent", Text, comment="where its trace begins, as the W3C writes it"),
    Column("request_id", Text, comment="the request that asked for it"),
    CheckConstraint(
        "status IN ('queued', 'pending', 'running', 'completed', 'failed', 'cancelled', 'interrupted')", name="status"
    ),
    CheckConstraint("cancel_action IN ('interrupt', 'rollback')", name="cancel_action"),
    CheckConstraint("on_disconnect IN ('cancel', 'continue')", name="on_disconnect"),
    CheckConstraint("finish_reason IN ('stop', 'length', 'content_filter')", name="finish_reason"),
    CheckConstraint(f"({UNENDED}) = (finished_at IS NULL)", name="finished"),
    Index("uq_runs_live", "thread_id", unique=True, postgresql_where=text(LIVE)),
    Index("ix_runs_thread", "thread_id", "created_at", "id"),
    Index("ix_runs_owner", "owner", postgresql_where=text("status = 'running'")),
    # The predicates differ on purpose: whoever asks for the queue of a thread cannot be given the index of the whole queue.
    Index("ix_runs_waiting", "thread_id", "created_at", "id", postgresql_where=text("status = 'queued'")),
    Index(
        "ix_runs_background",
        "tenant_id",
        "priority",
        "created_at",
        "id",
        postgresql_where=text("status = 'queued' AND background"),
    ),
    Index("ix_runs_foreground", "created_at", postgresql_where=text("status = 'queued' AND NOT background")),
)

leases = Table(
    "leases",
    metadata,
    Column("id", Uuid, primary_key=True),
    _now("beat_at"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

run_events = Table(
    "run_events",
    metadata,
    Column("run_id", Uuid, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, primary_key=True, autoincrement=False, comment="of the last event in the row"),
    _tenant(),
    Column("first_seq", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="the events, as services.runs.event_codec writes them"),
)

run_spans = Table(
    "run_spans",
    metadata,
    Column("run_id", Uuid, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("source", Text, primary_key=True, comment="the part of Mainstay whose spans these are"),
    Column("attempt", Integer, primary_key=True, autoincrement=False, comment="of the run; 0 outside of one"),
    _tenant(),
    Column("body", LargeBinary, nullable=False, comment="the spans, as services.telemetry.span_writer writes them"),
    _now("created_at"),
)

tool_effects = Table(
    "tool_effects",
    metadata,
    Column("run_id", Uuid, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("call_id", Text, primary_key=True),
    _tenant(),
    Column("tool", Text, nullable=False),
    Column("attempt", Integer, nullable=False, comment="of the run, when the call was last begun"),
    Column("outcome", JSONB, comment="what the model was told; null while it is not known what the call did"),
    _now("begun_at"),
    Column("done_at", DateTime(timezone=True)),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("key", _Id, primary_key=True),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of what was asked for"),
    # The key is taken before its run is there.
    Column(
        "run_id",
        Uuid,
        ForeignKey("runs.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
    _now("created_at"),
    Index("ix_idempotency_keys_run", "run_id"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("run_id", Uuid, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    _tenant(),
    Column("url", Text, nullable=False),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column(
        "next_at", DateTime(timezone=True), comment="when it is due; null before the run's end, and when it is settled"
    ),
    Column("delivered_at", DateTime(timezone=True)),
    Column("problem", Text, comment="why the last attempt failed"),
    Index("ix_webhooks_due", "next_at", postgresql_where=text("next_at IS NOT NULL")),
)

memories = Table(
    "memories",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("namespace", ARRAY(_Id), primary_key=True),
    Column("key", _Id, primary_key=True),
    Column("id", Uuid, nullable=False, comment="what its user knows it by; looked up among the user's own"),
    Column("value", JSONB, nullable=False),
    Column("text", Text, nullable=False, comment="what of the value can be searched"),
    Column(
        "search",
        TSVECTOR,
        # Every word as it is written, in any language, and the stems of English ones beside them. There is no index: a
        # search reads the few memories of one user, which the primary key finds.
        Computed("strip(to_tsvector('simple', text) || to_tsvector('english', text))", persisted=True),
        nullable=False,
    ),
    _now("created_at"),
    _now("updated_at"),
    Column("ttl_s", Double, comment="how long it is kept after it was last read or written"),
    Column("expires_at", DateTime(timezone=True)),
    CheckConstraint("(ttl_s IS NULL) = (expires_at IS NULL)", name="expires"),
    Index("ix_memories_expires_at", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
)

messages = Table(
    "messages",
    metadata,
    Column("run_id", Uuid, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False, comment="from 0 within the run, input first"),
    _tenant(),
    Column("input", Boolean, nullable=False, comment="whether the client sent it with this turn"),
    Column("role", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("tool_calls", JSONB, nullable=False, server_default=_EMPTY_LIST),
    Column("tool_call_id", Text),
    Column("name", Text),
    CheckConstraint("role IN ('system', 'user', 'assistant', 'tool')", name="role"),
)

usage = Table(
    "usage",
    metadata,
    Column("run_id", Uuid, primary_key=True, comment="no foreign key: the bill outlives an erased thread"),
    _tenant(),
    Column("user_id", Text, nullable=False),
    Column("provider", Text),
    Column("model", Text),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("model_calls", Integer, nullable=False),
    Column("estimated", Boolean, nullable=False),
    _now("created_at"),
    Column("cost_micros", BigInteger, nullable=False, server_default=text("0"), comment="millionths of the currency"),
)

scores = Table(
    "scores",
    metadata,
    Column("run_id", Uuid, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("criterion", Text, primary_key=True),
    Column("judge_model", Text, primary_key=True),
    Column("rubric_version", Text, primary_key=True),
    _tenant(),
    Column("value", Double, comment="null is unscored, never 0"),
    Column("reason", Text, nullable=False),
    Column("weight", Double, nullable=False, comment="1 / the probability with which the run was sampled"),
    _now("created_at"),
    # What made the answer, and how the run came to be judged: of the run, and here so that no reader of a series needs a join.
    Column("graph", Text, nullable=False),
    Column("provider", Text, comment="null: no model answered"),
    Column("model", Text, comment="null: no model answered"),
    Column("prompt_version", Text, nullable=False),
    Column("stratum", Text, nullable=False, comment="disliked | flagged | failed | long | ordinary"),
    Column("base", Boolean, nullable=False, comment="would be here at the rate that holds for every run"),
    _now("ended_at", comment="when the run ended, by which scores are summed up"),
    Column("watched_at", DateTime(timezone=True), comment="when its series took it in; null while it is to be"),
    Column(
        "flagged",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="its judge was spoken to: in no mean and no series",
    ),
    CheckConstraint("value <> 'NaN'", name="value"),
    CheckConstraint("weight > 0 AND weight < 'Infinity'", name="weight"),
    CheckConstraint("stratum IN ('disliked', 'flagged', 'failed', 'long', 'ordinary')", name="stratum"),
    Index("ix_scores_ended_at", "tenant_id", "ended_at"),
    Index(
        "ix_scores_unwatched",
        "created_at",
        "run_id",
        postgresql_where=text("watched_at IS NULL AND base AND value IS NOT NULL AND NOT flagged"),
    ),
)

feedback = Table(
    "feedback",
    metadata,
    Column("run_id", Uuid, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Text, nullable=False, comment="the run's; nobody reads it"),
    _tenant(),
    Column("rating", Text, nullable=False, comment="up | down"),
    Column("comment", Text),
    _now("created_at"),
    _now("updated_at"),
    Column("rate", Double, comment="with which it was taken for being disliked; null until it was looked at"),
    CheckConstraint("rating IN ('up', 'down')", name="rating"),
    CheckConstraint("rate BETWEEN 0 AND 1", name="rate"),
    # Ingress replicas of before revision 0010 insert by this key. It goes with the column, one revision later.
    Index("uq_feedback_run_user", "run_id", "user_id", unique=True),
    Index("ix_feedback_due", "updated_at", postgresql_where=text("rating = 'down' AND rate IS NULL")),
)

drift_series = Table(
    "drift_series",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("criterion", Text, nullable=False),
    Column("graph", Text, nullable=False),
    Column("model", Text, nullable=False, comment="empty: no model answered"),
    Column("prompt_version", Text, nullable=False),
    Column("judge_model", Text, nullable=False),
    Column("rubric_version", Text, nullable=False),
    Column("state", JSONB, comment="of its detector; null: it begins anew, with nothing to be compared with"),
    Column("answers", BigInteger, nullable=False, server_default=text("0"), comment="that were taken in"),
    _now("observed_at"),
    CheckConstraint("answers >= 0", name="answers"),
    Index(
        "uq_drift_series_key",
        "criterion",
        "graph",
        "judge_model",
        "rubric_version",
        "model",
        "prompt_version",
        unique=True,
    ),
)

drift_leader = Table(
    "drift_leader",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("holder", Uuid, comment="the replica that watches; its turn locks the row"),
    _now("expires_at"),
    CheckConstraint("id = 1", name="single"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("series_id", Uuid, ForeignKey("drift_series.id", ondelete="CASCADE"), comment="null: of one answer"),
    Column("run_id", Uuid, comment="that one; no foreign key: the alert outlives it"),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False, comment="info | warning | critical"),
    Column("summary", Text, nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("run_ids", ARRAY(Uuid), nullable=False, comment="examples"),
    Column("since", DateTime(timezone=True), nullable=False, comment="when it began, as far as can be told"),
    _now("raised_at"),
    Column("ends_at", DateTime(timezone=True), comment="of what is over by itself"),
    Column("resolved_at", DateTime(timezone=True)),
    Column("resolution", Text, comment="recovered | settled | quiet | rebaselined"),
    CheckConstraint("(series_id IS NULL) <> (run_id IS NULL)", name="of"),
    CheckConstraint("severity IN ('info', 'warning', 'critical')", name="severity"),
    CheckConstraint("(resolved_at IS NULL) = (resolution IS NULL)", name="resolution"),
    # One alert for an episode, and one for an unsafe answer, whoever else saw it.
    Index("uq_alerts_open", "series_id", "kind", unique=True, postgresql_where=text("resolved_at IS NULL")),
    Index("uq_alerts_run", "run_id", "kind", unique=True, postgresql_where=text("run_id IS NOT NULL")),
    Index("ix_alerts_raised_at", "raised_at"),
)

alert_deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("alert_id", Uuid, ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("news", Text, primary_key=True, comment="firing | resolved"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", DateTime(timezone=True), comment="when it is due; null when it is settled"),
    Column("delivered_at", DateTime(timezone=True)),
    Column("problem", Text, comment="why the last attempt failed"),
    CheckConstraint("news IN ('firing', 'resolved')", name="news"),
    Index("ix_alert_deliveries_due", "next_at", postgresql_where=text("next_at IS NOT NULL")),
)

documents = Table(
    "documents",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False, comment="of the passage in its document"),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column(
        "search",
        TSVECTOR,
        Computed(
            "setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('english', text), 'B')",
            persisted=True,
        ),
        nullable=False,
    ),
    Index("ix_documents_search", "search", postgresql_using="gin"),
)

budget_accounts = Table(
    "budget_accounts",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True, comment="empty: the whole tenant, its users included"),
    Column("month", Date, primary_key=True, comment="its first day, in UTC"),
    Column("spent_micros", BigInteger, nullable=False, server_default=text("0"), comment="millionths of the currency"),
    Column("spent_tokens", BigInteger, nullable=False, server_default=text("0")),
    Column("reserved_micros", BigInteger, nullable=False, server_default=text("0")),
    Column("reserved_tokens", BigInteger, nullable=False, server_default=text("0")),
    Column(
        "alerted_percent", SmallInteger, nullable=False, server_default=text("0"), comment="of a budget, last told of"
    ),
    postgresql_with={"fillfactor": 50},
)

budget_reservations = Table(
    "budget_reservations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("run_id", Uuid, nullable=False, comment="no foreign key: the bill outlives an erased thread"),
    Column("attempt", Integer, nullable=False),
    _tenant(),
    Column("user_id", Text, nullable=False),
    Column("month", Date, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("expected_micros", BigInteger, nullable=False, comment="what it cost if nobody is left to say"),
    Column("expected_tokens", BigInteger, nullable=False),
    _now("made_at"),
    Index(None, "run_id"),
)

rate_buckets = Table(
    "rate_buckets",
    metadata,
    Column("key", LargeBinary, primary_key=True, comment="a digest of whose bucket it is, and of what"),
    Column("full_at", DateTime(timezone=True), nullable=False),
    prefixes=["UNLOGGED"],
    postgresql_with={"fillfactor": 50},
)

slots = Table(
    "slots",
    metadata,
    Column("key", LargeBinary, primary_key=True, comment="a digest of whose slots they are"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("holder", Uuid, comment="the run that holds it, or held it last"),
    _now("held_until"),
    Index(None, "holder", postgresql_where=text("holder IS NOT NULL")),
    prefixes=["UNLOGGED"],
    postgresql_with={"fillfactor": 50},
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("thread_id", _Id, primary_key=True),
    Column("checkpoint_ns", _Id, primary_key=True),
    Column("checkpoint_id", _Id, primary_key=True),
    _tenant(),
    Column("parent_id", _Id),
    Column("channels", ARRAY(Text), nullable=False, comment="its channels; `versions` holds the version of each"),
    Column("versions", ARRAY(Text), nullable=False),
    Column("type", Text, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="the checkpoint without its channel values"),
    Column("metadata", JSONB, nullable=False),
)

checkpoint_blobs = Table(
    "checkpoint_blobs",
    metadata,
    Column("thread_id", _Id, primary_key=True),
    Column("checkpoint_ns", _Id, primary_key=True),
    Column("channel", _Id, primary_key=True),
    Column("version", _Id, primary_key=True),
    _tenant(),
    Column("type", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

checkpoint_writes = Table(
    "checkpoint_writes",
    metadata,
    Column("thread_id", _Id, primary_key=True),
    Column("checkpoint_ns", _Id, primary_key=True),
    Column("checkpoint_id", _Id, primary_key=True),
    Column("task_id", _Id, primary_key=True),
    Column("idx", SmallInteger, primary_key=True, autoincrement=False),
    _tenant(),
    Column("task_path", _Id, nullable=False),
    Column("channel", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
