"""A run has one user, and so one row of feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_KEEP_THE_NEWEST = """
DELETE FROM feedback USING feedback AS newer
WHERE feedback.run_id = newer.run_id AND (feedback.updated_at, feedback.user_id) < (newer.updated_at, newer.user_id)
"""


def upgrade() -> None:
    op.execute(_KEEP_THE_NEWEST)
    op.drop_constraint("pk_feedback", "feedback")
    op.create_primary_key("pk_feedback", "feedback", ["run_id"])
    op.alter_column("feedback", "user_id", existing_type=sa.Text(), comment="the run's; nobody reads it")
    # Ingress replicas of before, which are still up, insert by this key. It goes with the column, one revision later.
    op.create_index("uq_feedback_run_user", "feedback", ["run_id", "user_id"], unique=True)
