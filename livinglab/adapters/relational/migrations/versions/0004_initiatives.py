"""Initiatives: what they expected where, what was found, and what else happened."""

import sqlalchemy as sa
from alembic import op

from livinglab.adapters.relational.migrations.triggers import append_only

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

APPEND_ONLY = ("initiative_area", "hypothesis", "effect")


def upgrade() -> None:
    op.create_table(
        "agreement",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("observed_property", sa.Text(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_agreement")),
        sa.UniqueConstraint(
            "subject",
            "category",
            "observed_property",
            name=op.f("uq_agreement_subject_category_observed_property"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "initiative",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("theme", sa.Text(), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_initiative")),
        sa.UniqueConstraint("key", name=op.f("uq_initiative_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "effect",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("initiative", sa.Text(), nullable=False),
        sa.Column("hypothesis", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative"], ["initiative.key"], name=op.f("fk_effect_initiative")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_effect")),
        sa.UniqueConstraint("id", name=op.f("uq_effect_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_effect_initiative"), "effect", ["initiative"], unique=False)
    op.create_table(
        "hypothesis",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("initiative", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("observed_property", sa.Text(), nullable=False),
        sa.Column(
            "expected",
            sa.Enum(
                "decrease",
                "increase",
                name="expected",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column(
            "transform",
            sa.Enum(
                "level",
                "log",
                "poisson",
                name="transform",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("smallest_effect", sa.Float(precision=53), nullable=True),
        sa.Column("primary", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("smallest_effect > 0", name=op.f("ck_hypothesis_smallest_effect")),
        sa.ForeignKeyConstraint(
            ["initiative"], ["initiative.key"], name=op.f("fk_hypothesis_initiative")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_hypothesis")),
        sa.UniqueConstraint(
            "initiative", "key", "version", name=op.f("uq_hypothesis_initiative_key_version")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "disturbance",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["place"], ["place.key"], name=op.f("fk_disturbance_place")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_disturbance")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "initiative_area",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("initiative", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "treated",
                "control",
                "planned",
                name="role",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative"], ["initiative.key"], name=op.f("fk_initiative_area_initiative")
        ),
        sa.ForeignKeyConstraint(["place"], ["place.key"], name=op.f("fk_initiative_area_place")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_initiative_area")),
        sa.UniqueConstraint(
            "initiative",
            "version",
            "place",
            name=op.f("uq_initiative_area_initiative_version_place"),
        ),
        sqlite_autoincrement=True,
    )
    for table in APPEND_ONLY:
        for statement in append_only(table):
            op.execute(statement)
