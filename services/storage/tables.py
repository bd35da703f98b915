"""Every table, as SQLAlchemy Core sees it; the migrations make the same ones, and a test compares the two.

    users ─┬─ api_keys
           └ (by name) threads ── runs ─┬─ messages
                                        └─ scores
    usage            the bill: it outlives the thread it belongs to
    documents        what agents may look up, as passages with their search vector
    checkpoints, checkpoint_blobs, checkpoint_writes     LangGraph's, keyed by its own text ids

Every row carries `tenant_id`. Ids are uuid7, made by the application; times are set by Postgres. A thread has at most one
live run: `uq_runs_live` makes that a fact rather than a check that two replicas could both pass.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
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
_EMPTY_OBJECT = text("'{}'::jsonb")
_EMPTY_LIST = text("'[]'::jsonb")
_Id = Text(collation="C")  # LangGraph's ids are text that is compared bytewise


def _tenant() -> Column[str]:
    return Column("tenant_id", Text, nullable=False)


def _now(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


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
    ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
    Index(None, "tenant_id", "user_id"),
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
    CheckConstraint("status IN ('pending', 'running', 'completed', 'failed', 'cancelled')", name="status"),
    CheckConstraint("on_disconnect IN ('cancel', 'continue')", name="on_disconnect"),
    CheckConstraint("finish_reason IN ('stop', 'length', 'content_filter')", name="finish_reason"),
    CheckConstraint(f"({LIVE}) = (finished_at IS NULL)", name="finished"),
    Index("uq_runs_live", "thread_id", unique=True, postgresql_where=text(LIVE)),
    Index("ix_runs_thread", "thread_id", "created_at", "id"),
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
    CheckConstraint("value <> 'NaN'", name="value"),
    CheckConstraint("weight > 0 AND weight < 'Infinity'", name="weight"),
    Index("ix_scores_criterion", "tenant_id", "criterion", "created_at"),
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
