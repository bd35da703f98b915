"""What has been taken of each user's and each tenant's quotas, and what they have spent."""

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
        sa.Column("held_until", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", "number", name="pk_slots"),
        prefixes=["UNLOGGED"],
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("ix_slots_holder", "slots", ["holder"], postgresql_where=sa.text("holder IS NOT NULL"))
    op.create_table(
        "budget_accounts",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False, comment="empty: the whole tenant, its users included"),
        sa.Column("month", sa.Date(), nullable=False, comment="its first day, in UTC"),
        _count("spent_micros", comment="millionths of the currency"),
        _count("spent_tokens"),
        _count("reserved_micros"),
        _count("reserved_tokens"),
        sa.Column(
            "alerted_percent",
            sa.SmallInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="of a budget, last told of",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "month", name="pk_budget_accounts"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "budget_reservations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="no foreign key: the bill outlives an erased thread"),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("expected_micros", sa.BigInteger(), nullable=False, comment="what it cost if nobody is left to say"),
        sa.Column("expected_tokens", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_budget_reservations"),
    )
    op.create_index("ix_budget_reservations_run_id", "budget_reservations", ["run_id"])
    op.add_column("usage", _count("cost_micros", comment="millionths of the currency"))


def _count(name: str, comment: str | None = None) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment=comment)
