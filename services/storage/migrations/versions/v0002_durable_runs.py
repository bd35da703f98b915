"""Runs that outlive their replica: leases, the event log, the ledger of effects, queued and interrupted runs, memories."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BYTEWISE = sa.Text(collation="C")


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _of_a_run() -> sa.Column[object]:
    return sa.Column("run_id", sa.Uuid(), nullable=False)


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant_id", sa.Text(), nullable=False)


def _goes_with_its_run(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=f"fk_{table}_runs", ondelete="CASCADE")


def upgrade() -> None:
    _runs()
    _leases()
    _run_events()
    _tool_effects()
    _idempotency_keys()
    _webhooks()
    _memories()


def _runs() -> None:
    for column in (
        sa.Column(
            "attempt",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how often an agent took it: its fence",
        ),
        sa.Column("owner", sa.Uuid(), nullable=True, comment="the lease of the replica that runs it, or ran it last"),
        sa.Column(
            "crashes",
            sa.SmallInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="owners lost since it progressed",
        ),
        sa.Column(
            "progress",
            postgresql.JSONB(),
            nullable=True,
            comment="the last checkpoint: its event id, and the usage up to it",
        ),
        _now("deadline_at"),
        sa.Column(
            "watched_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when somebody last read its log as it grew",
        ),
        sa.Column("cancel_action", sa.Text(), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("background", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "priority", sa.SmallInteger(), server_default=sa.text("0"), nullable=False, comment="the lowest goes first"
        ),
        sa.Column(
            "decisions",
            postgresql.JSONB(),
            nullable=True,
            comment="what a person decided, in a run that resumes an interrupted one",
        ),
        sa.Column("interrupts", postgresql.JSONB(), nullable=True, comment="what an interrupted run asks a person"),
    ):
        op.add_column("runs", column)
    for name, condition in (
        ("status", "status IN ('queued', 'pending', 'running', 'completed', 'failed', 'cancelled', 'interrupted')"),
        ("finished", "(status IN ('queued', 'pending', 'running')) = (finished_at IS NULL)"),
    ):
        op.drop_constraint(op.f(f"ck_runs_{name}"), "runs", type_="check")
        op.create_check_constraint(op.f(f"ck_runs_{name}"), "runs", condition)
    op.create_check_constraint(op.f("ck_runs_cancel_action"), "runs", "cancel_action IN ('interrupt', 'rollback')")
    op.create_index("ix_runs_owner", "runs", ["owner"], postgresql_where=sa.text("status = 'running'"))
    op.create_index(
        "ix_runs_waiting", "runs", ["thread_id", "created_at", "id"], postgresql_where=sa.text("status = 'queued'")
    )
    op.create_index(
        "ix_runs_background",
        "runs",
        ["tenant_id", "priority", "created_at", "id"],
        postgresql_where=sa.text("status = 'queued' AND background"),
    )
    op.create_index(
        "ix_runs_foreground",
        "runs",
        ["created_at"],
        postgresql_where=sa.text("status = 'queued' AND NOT background"),
    )


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("id", sa.Uuid(), nullable=False),
        _now("beat_at"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_leases"),
    )


def _run_events() -> None:
    op.create_table(
        "run_events",
        _of_a_run(),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False, comment="of the last event in the row"),
        _tenant(),
        sa.Column("first_seq", sa.Integer(), nullable=False),
        sa.Column(
            "body", sa.LargeBinary(), nullable=False, comment="the events, as services.runs.event_codec writes them"
        ),
        _goes_with_its_run("run_events"),
        sa.PrimaryKeyConstraint("run_id", "attempt", "seq", name="pk_run_events"),
    )


def _tool_effects() -> None:
    op.create_table(
        "tool_effects",
        _of_a_run(),
        sa.Column("call_id", sa.Text(), nullable=False),
        _tenant(),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="of the run, when the call was last begun"),
        sa.Column(
            "outcome",
            postgresql.JSONB(),
            nullable=True,
            comment="what the model was told; null while it is not known what the call did",
        ),
        _now("begun_at"),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        _goes_with_its_run("tool_effects"),
        sa.PrimaryKeyConstraint("run_id", "call_id", name="pk_tool_effects"),
    )


def _idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        _tenant(),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("key", _BYTEWISE, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of what was asked for"),
        _of_a_run(),
        _now("created_at"),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.id"],
            name="fk_idempotency_keys_runs",
            ondelete="CASCADE",
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_run", "idempotency_keys", ["run_id"])


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        _of_a_run(),
        _tenant(),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "next_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it is due; null before the run's end, and when it is settled",
        ),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True, comment="why the last attempt failed"),
        _goes_with_its_run("webhooks"),
        sa.PrimaryKeyConstraint("run_id", name="pk_webhooks"),
    )
    op.create_index("ix_webhooks_due", "webhooks", ["next_at"], postgresql_where=sa.text("next_at IS NOT NULL"))


def _memories() -> None:
    op.create_table(
        "memories",
        _tenant(),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("namespace", postgresql.ARRAY(_BYTEWISE), nullable=False),
        sa.Column("key", _BYTEWISE, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False, comment="what its user knows it by; looked up among the user's own"),
        sa.Column("value", postgresql.JSONB(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False, comment="what of the value can be searched"),
        sa.Column(
            "search",
            postgresql.TSVECTOR(),
            sa.Computed("strip(to_tsvector('simple', text) || to_tsvector('english', text))", persisted=True),
            nullable=False,
        ),
        _now("created_at"),
        _now("updated_at"),
        sa.Column("ttl_s", sa.Double(), nullable=True, comment="how long it is kept after it was last read or written"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(ttl_s IS NULL) = (expires_at IS NULL)", name=op.f("ck_memories_expires")),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "namespace", "key", name="pk_memories"),
    )
    op.create_index(
        "ix_memories_expires_at", "memories", ["expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL")
    )
