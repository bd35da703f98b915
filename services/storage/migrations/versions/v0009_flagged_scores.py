"""Scores say whether their judge was spoken to; means are of one tenant, and have an index."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Until now the reason alone said so, in these words.
_MARK = "UPDATE scores SET flagged = true WHERE judge_model <> 'code' AND reason LIKE 'flagged (%'"


def upgrade() -> None:
    # The default stays: evaluators of before, which are still up, do not name the column.
    op.add_column(
        "scores",
        sa.Column(
            "flagged",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="its judge was spoken to: in no mean and no series",
        ),
    )
    op.execute(_MARK)
    op.drop_index("ix_scores_unwatched", "scores")
    op.create_index(
        "ix_scores_unwatched",
        "scores",
        ["created_at", "run_id"],
        postgresql_where=sa.text("watched_at IS NULL AND base AND value IS NOT NULL AND NOT flagged"),
    )
    op.drop_index("ix_scores_criterion", "scores")
    op.drop_index("ix_scores_ended_at", "scores")
    op.create_index("ix_scores_ended_at", "scores", ["tenant_id", "ended_at"])
