"""Where a run's trace begins, which request asked for it, and the spans of the runs whose trace is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "runs",
        sa.Column("traceparent", sa.Text(), comment="where its trace begins, as the W3C writes it", nullable=True),
    )
    op.add_column("runs", sa.Column("request_id", sa.Text(), comment="the request that asked for it", nullable=True))
    op.create_table(
        "run_spans",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="the part of Mainstay whose spans these are"),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False, comment="of the run; 0 outside of one"),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column(
            "body",
            sa.LargeBinary(),
            nullable=False,
            comment="the spans, as services.telemetry.span_writer writes them",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_spans_runs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "source", "attempt", name="pk_run_spans"),
    )
