"""Scores say what made the answer and how it came to be judged; what users make of runs is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Earlier samples were of ordinary runs at one rate, and of every flagged run.
_DESCRIBE = """
UPDATE scores SET
    graph = runs.graph, provider = usage.provider, model = usage.model, base = NOT runs.flagged,
    ended_at = coalesce(runs.finished_at, scores.created_at),
    stratum = CASE WHEN runs.flagged THEN 'flagged' ELSE 'ordinary' END
FROM runs LEFT JOIN usage ON usage.run_id = runs.id WHERE runs.id = scores.run_id
"""


def upgrade() -> None:
    op.add_column("runs", _text("prompt_version", "''", comment="of the prompts that it began with"))
    op.add_column("scores", _text("graph", "''"))
    op.add_column("scores", sa.Column("provider", sa.Text(), nullable=True, comment="null: no model answered"))
    op.add_column("scores", sa.Column("model", sa.Text(), nullable=True, comment="null: no model answered"))
    op.add_column("scores", _text("prompt_version", "''"))
    op.add_column("scores", _text("stratum", "'ordinary'", comment="disliked | flagged | failed | long | ordinary"))
    op.add_column(
        "scores",
        sa.Column(
            "base",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="would be here at the rate that holds for every run",
        ),
    )
    op.add_column(
        "scores",
        sa.Column(
            "ended_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when the run ended, by which scores are summed up",
        ),
    )
    op.execute(_DESCRIBE)
    for name in ("graph", "prompt_version", "stratum", "base"):
        op.alter_column("scores", name, server_default=None)
    op.create_check_constraint(
        op.f("ck_scores_stratum"), "scores", "stratum IN ('disliked', 'flagged', 'failed', 'long', 'ordinary')"
    )
    op.create_index("ix_scores_ended_at", "scores", ["ended_at"])
    op.create_table(
        "feedback",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("rating", sa.Text(), nullable=False, comment="up | down"),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "rate",
            sa.Double(),
            nullable=True,
            comment="with which it was taken for being disliked; null until it was looked at",
        ),
        sa.CheckConstraint("rating IN ('up', 'down')", name=op.f("ck_feedback_rating")),
        sa.CheckConstraint("rate BETWEEN 0 AND 1", name=op.f("ck_feedback_rate")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_feedback_runs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "user_id", name="pk_feedback"),
    )
    op.create_index(
        "ix_feedback_due", "feedback", ["updated_at"], postgresql_where=sa.text("rating = 'down' AND rate IS NULL")
    )


def _text(name: str, default: str, comment: str | None = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), server_default=sa.text(default), nullable=False, comment=comment)
