"""What is known of how good answers are, by series; alerts, and to whom they were told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEY = ["criterion", "graph", "judge_model", "rubric_version", "model", "prompt_version"]


def upgrade() -> None:
    # Earlier scores are not taken in: a default that is there for them alone marks them without rewriting the table.
    op.add_column(
        "scores",
        sa.Column(
            "watched_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=True,
            comment="when its series took it in; null while it is to be",
        ),
    )
    op.alter_column("scores", "watched_at", server_default=None)
    op.create_index(
        "ix_scores_unwatched",
        "scores",
        ["created_at", "run_id"],
        postgresql_where=sa.text("watched_at IS NULL AND base AND value IS NOT NULL"),
    )
    _series()
    _alerts()


def _series() -> None:
    op.create_table(
        "drift_series",
        sa.Column("id", sa.Uuid(), nullable=False),
        _text("criterion"),
        _text("graph"),
        _text("model", comment="empty: no model answered"),
        _text("prompt_version"),
        _text("judge_model"),
        _text("rubric_version"),
        _json(
            "state", nullable=True, comment="of its detector; null: it begins anew, with nothing to be compared with"
        ),
        sa.Column(
            "answers", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="that were taken in"
        ),
        _now("observed_at"),
        sa.CheckConstraint("answers >= 0", name=op.f("ck_drift_series_answers")),
        sa.PrimaryKeyConstraint("id", name="pk_drift_series"),
    )
    op.create_index("uq_drift_series_key", "drift_series", _KEY, unique=True)
    op.create_table(
        "drift_leader",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=True, comment="the replica that watches; its turn locks the row"),
        _now("expires_at"),
        sa.CheckConstraint("id = 1", name=op.f("ck_drift_leader_single")),
        sa.PrimaryKeyConstraint("id", name="pk_drift_leader"),
    )
    op.execute("INSERT INTO drift_leader (id) VALUES (1)")


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("series_id", sa.Uuid(), nullable=True, comment="null: of one answer"),
        sa.Column("run_id", sa.Uuid(), nullable=True, comment="that one; no foreign key: the alert outlives it"),
        _text("kind"),
        _text("severity", comment="info | warning | critical"),
        _text("summary"),
        _json("labels"),
        _json("facts"),
        sa.Column("run_ids", sa.ARRAY(sa.Uuid()), nullable=False, comment="examples"),
        _time("since", nullable=False, comment="when it began, as far as can be told"),
        _now("raised_at"),
        _time("ends_at", comment="of what is over by itself"),
        _time("resolved_at"),
        sa.Column("resolution", sa.Text(), nullable=True, comment="recovered | settled | quiet | rebaselined"),
        sa.CheckConstraint("(series_id IS NULL) <> (run_id IS NULL)", name=op.f("ck_alerts_of")),
        sa.CheckConstraint("severity IN ('info', 'warning', 'critical')", name=op.f("ck_alerts_severity")),
        sa.CheckConstraint("(resolved_at IS NULL) = (resolution IS NULL)", name=op.f("ck_alerts_resolution")),
        sa.ForeignKeyConstraint(["series_id"], ["drift_series.id"], name="fk_alerts_drift_series", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index(
        "uq_alerts_open", "alerts", ["series_id", "kind"], unique=True, postgresql_where=sa.text("resolved_at IS NULL")
    )
    op.create_index(
        "uq_alerts_run", "alerts", ["run_id", "kind"], unique=True, postgresql_where=sa.text("run_id IS NOT NULL")
    )
    op.create_index("ix_alerts_raised_at", "alerts", ["raised_at"])
    op.create_table(
        "alert_deliveries",
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        _text("channel"),
        _text("news", comment="firing | resolved"),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _time("next_at", comment="when it is due; null when it is settled"),
        _time("delivered_at"),
        sa.Column("problem", sa.Text(), nullable=True, comment="why the last attempt failed"),
        sa.CheckConstraint("news IN ('firing', 'resolved')", name=op.f("ck_alert_deliveries_news")),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name="fk_alert_deliveries_alerts", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("alert_id", "channel", "news", name="pk_alert_deliveries"),
    )
    op.create_index(
        "ix_alert_deliveries_due",
        "alert_deliveries",
        ["next_at"],
        postgresql_where=sa.text("next_at IS NOT NULL"),
    )


def _text(name: str, comment: str | None = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def _json(name: str, *, nullable: bool = False, comment: str | None = None) -> "sa.Column[object]":
    return sa.Column(name, postgresql.JSONB(), nullable=nullable, comment=comment)


def _time(name: str, *, nullable: bool = True, comment: str | None = None) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, comment=comment)


def _now(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
