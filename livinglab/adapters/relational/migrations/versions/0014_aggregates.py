"""Aggregates: what was said in a month, by Zone and theme, as it was published."""

import sqlalchemy as sa
from alembic import op

from livinglab.adapters.relational.migrations.triggers import append_only

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "aggregate",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("zones", sa.JSON(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=True),
        sa.Column("contributors", sa.Integer(), nullable=True),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_aggregate")),
        sa.UniqueConstraint(
            "month", "category", "part", name=op.f("uq_aggregate_month_category_part")
        ),
        sqlite_autoincrement=True,
    )
    for statement in append_only("aggregate"):
        op.execute(statement)
