"""Evaluations that are asked for, and the pictures of what they found."""

import sqlalchemy as sa
from alembic import op

from livinglab.adapters.relational.migrations.triggers import append_only

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "effect_picture",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("effect", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("lang", sa.Text(), nullable=False),
        sa.Column("svg", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["effect"], ["effect.id"], name=op.f("fk_effect_picture_effect")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_effect_picture")),
        sa.UniqueConstraint(
            "effect", "name", "lang", name=op.f("uq_effect_picture_effect_name_lang")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "evaluation_job",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("initiative", sa.Text(), nullable=False),
        sa.Column("hypothesis", sa.Text(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "running",
                "done",
                "failed",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative"], ["initiative.key"], name=op.f("fk_evaluation_job_initiative")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_evaluation_job")),
        sa.UniqueConstraint("id", name=op.f("uq_evaluation_job_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_evaluation_job_initiative"), "evaluation_job", ["initiative"], unique=False
    )
    for statement in append_only("effect_picture"):
        op.execute(statement)
