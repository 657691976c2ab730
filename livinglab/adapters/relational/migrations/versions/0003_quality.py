"""Quality: days to check again, skews, versions of the tests, and intervals that were learned."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "datastream",
        sa.Column("interval_learned", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.create_table(
        "recheck",
        sa.Column("datastream", sa.Integer(), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("soon", sa.Boolean(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["datastream"], ["datastream.number"], name=op.f("fk_recheck_datastream")
        ),
        sa.PrimaryKeyConstraint("datastream", "day", name=op.f("pk_recheck")),
    )
    op.create_table(
        "skew",
        sa.Column("datastream", sa.Integer(), nullable=False),
        sa.Column("lag_s", sa.Float(precision=53), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["datastream"], ["datastream.number"], name=op.f("fk_skew_datastream")
        ),
        sa.PrimaryKeyConstraint("datastream", name=op.f("pk_skew")),
    )
    op.create_table(
        "quality_version",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_quality_version")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "judged",
        sa.Column("datastream", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["datastream"], ["datastream.number"], name=op.f("fk_judged_datastream")
        ),
        sa.PrimaryKeyConstraint("datastream", name=op.f("pk_judged")),
    )
