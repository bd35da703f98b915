"""Roles of keys, and the record of what was done to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "api_keys",
        sa.Column(
            "role", sa.Text(), server_default=sa.text("'user'"), nullable=False, comment="user | operator | admin"
        ),
    )
    op.add_column(
        "api_keys",
        sa.Column("replaced_by", sa.Uuid(), nullable=True, comment="the key that was made in place of this one"),
    )
    op.create_check_constraint(op.f("ck_api_keys_role"), "api_keys", "role IN ('user', 'operator', 'admin')")
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False, comment="who did it; no foreign key: the record outlives them"),
        sa.Column("key_id", sa.Uuid(), nullable=True, comment="with which key; null for a command"),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("target_user_id", sa.Text(), nullable=True, comment="whose what it was done to is"),
        sa.Column("details", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_tenant_id", "audit_events", ["tenant_id", "id"])
