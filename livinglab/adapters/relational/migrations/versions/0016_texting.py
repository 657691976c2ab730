"""Texting: conversations by short message, and messages that were answered."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversation",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("contributor", sa.Text(), nullable=False),
        sa.Column("lang", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("choices", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contributor"], ["contributor.pseudonym"], name=op.f("fk_conversation_contributor")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_conversation")),
        sa.UniqueConstraint("contributor", name=op.f("uq_conversation_contributor")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "text_message",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id_sha256", sa.String(64), nullable=False),
        sa.Column("body_sha256", sa.String(64), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_text_message")),
        sa.UniqueConstraint("id_sha256", name=op.f("uq_text_message_id_sha256")),
        sqlite_autoincrement=True,
    )
