"""Runs whose input the guard found suspect, and let pass."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "runs",
        sa.Column(
            "flagged",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="its input was suspect, and passed",
        ),
    )
