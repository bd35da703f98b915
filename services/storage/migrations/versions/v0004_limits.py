"""Token buckets and slots: what has been taken of each user's and each tenant's quotas."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Changed by every request, and worth nothing after a crash: not logged, with room beside each row for its next version.
    op.create_table(
        "rate_buckets",
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="a digest of whose bucket it is, and of what"),
        sa.Column("full_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_rate_buckets"),
        prefixes=["UNLOGGED"],
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "slots",
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="a digest of whose slots they are"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=True, comment="the run that holds it, or held it last"),
        sa.Column("held_until", sa.DateTime(timezone=True), server_default=sa.text("'-infinity'"), nullable=False),
        sa.PrimaryKeyConstraint("key", "number", name="pk_slots"),
        prefixes=["UNLOGGED"],
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("ix_slots_holder", "slots", ["holder"], postgresql_where=sa.text("holder IS NOT NULL"))
