"""Batches: what people said on paper, counted."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column(
            "channel",
            sa.Enum(
                "web",
                "pwa",
                "sms",
                "ussd",
                "phone",
                "kiosk",
                "event",
                "staff",
                "open311",
                "import",
                name="channel",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("zone", sa.Text(), nullable=True),
        sa.Column("strata", sa.JSON(), nullable=False),
        sa.CheckConstraint("(place IS NULL) <> (zone IS NULL)", name=op.f("ck_batch_where")),
        sa.CheckConstraint("n >= 1", name=op.f("ck_batch_people")),
        sa.ForeignKeyConstraint(["place"], ["place.key"], name=op.f("fk_batch_place")),
        sa.ForeignKeyConstraint(["zone"], ["zone.key"], name=op.f("fk_batch_zone")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_batch")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_batch_source_external_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_batch_place"), "batch", ["place"], unique=False)
    op.create_index(op.f("ix_batch_zone"), "batch", ["zone"], unique=False)
