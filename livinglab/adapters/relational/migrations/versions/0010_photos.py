"""Photos: what somebody shows of what they observed."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "photo",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("observation", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column(
            "visibility",
            sa.Enum(
                "quarantined",
                "public",
                "restricted",
                "removed",
                name="visibility",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["observation"], ["observation.id"], name=op.f("fk_photo_observation")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_photo")),
        sa.UniqueConstraint("key", name=op.f("uq_photo_key")),
        sa.UniqueConstraint("observation", "sha256", name=op.f("uq_photo_observation_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_photo_visibility_number"), "photo", ["visibility", "number"], unique=False
    )
