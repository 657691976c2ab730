"""Notices: who should hear of what, who does not want to, and codes to prove an address."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=20)


def upgrade() -> None:
    op.create_table(
        "notice",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("topic", _one_of("topic", "answers", "questions"), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column(
            "news",
            _one_of("news", "answered", "closed", "reopened", "progress", "fixed"),
            nullable=False,
        ),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_notice")),
        sa.UniqueConstraint(
            "recipient", "topic", "event", name=op.f("uq_notice_recipient_topic_event")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "opt_out",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("topic", _one_of("topic", "answers", "questions"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_opt_out")),
        sa.UniqueConstraint("recipient", "topic", name=op.f("uq_opt_out_recipient_topic")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "email_code",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("contributor", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contributor"], ["contributor.pseudonym"], name=op.f("fk_email_code_contributor")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_email_code")),
        sa.UniqueConstraint("contributor", name=op.f("uq_email_code_contributor")),
        sqlite_autoincrement=True,
    )
