"""Contributors: what they agreed to, what they tell of themselves, and that some were erased."""

import sqlalchemy as sa
from alembic import op

from livinglab.adapters.relational.migrations.triggers import append_only

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

APPEND_ONLY = ("erasure",)


def upgrade() -> None:
    op.create_table(
        "erasure",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_erasure")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "consent",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("contributor", sa.Text(), nullable=False),
        sa.Column(
            "purpose",
            sa.Enum(
                "strata",
                name="purpose",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["contributor"], ["contributor.pseudonym"], name=op.f("fk_consent_contributor")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_consent")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_consent_contributor"), "consent", ["contributor"], unique=False)
    op.create_table(
        "donation",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("contributor", sa.Text(), nullable=False),
        sa.Column(
            "dimension",
            sa.Enum(
                "age",
                "sex",
                "income_q",
                "language",
                "disability",
                "connectivity",
                name="dimension",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["contributor"], ["contributor.pseudonym"], name=op.f("fk_donation_contributor")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_donation")),
        sa.UniqueConstraint(
            "contributor", "dimension", name=op.f("uq_donation_contributor_dimension")
        ),
        sqlite_autoincrement=True,
    )
    for table in APPEND_ONLY:
        for statement in append_only(table):
            op.execute(statement)
