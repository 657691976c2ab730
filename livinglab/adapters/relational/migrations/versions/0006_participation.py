"""Participation: Incidents, voices, moderation and answers."""

import sqlalchemy as sa
from alembic import op

from livinglab.adapters.relational.migrations.triggers import append_only

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

APPEND_ONLY = ("incident_link", "moderation_action", "city_response")


def upgrade() -> None:
    op.create_table(
        "city_response",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("you_said", sa.Text(), nullable=False),
        sa.Column("we_did", sa.Text(), nullable=False),
        sa.Column("why_not", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("promised_for", sa.Date(), nullable=True),
        sa.Column("department", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_city_response")),
        sa.UniqueConstraint("key", "version", name=op.f("uq_city_response_key_version")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_city_response_subject"), "city_response", ["subject"], unique=False)
    op.create_table(
        "moderation_action",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column(
            "deed",
            sa.Enum(
                "release",
                "redact",
                "remove",
                "relink",
                "trust",
                "decide_appeal",
                name="deed",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_moderation_action")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_moderation_action_subject"), "moderation_action", ["subject"], unique=False
    )
    op.create_table(
        "comment",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contributor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("lang", sa.Text(), nullable=True),
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
            ["contributor"], ["contributor.pseudonym"], name=op.f("fk_comment_contributor")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_comment")),
        sa.UniqueConstraint("id", name=op.f("uq_comment_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_comment_contributor"), "comment", ["contributor"], unique=False)
    op.create_index(op.f("ix_comment_subject"), "comment", ["subject"], unique=False)
    op.create_index(
        op.f("ix_comment_visibility_number"), "comment", ["visibility", "number"], unique=False
    )
    op.create_table(
        "feedback",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contributor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("stage_at", sa.Text(), nullable=True),
        sa.Column(
            "dimension",
            sa.Enum(
                "usefulness",
                "ease",
                "trust",
                "safety",
                "inclusion",
                "overall",
                name="dimension",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("lang", sa.Text(), nullable=True),
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
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name=op.f("ck_feedback_rating")),
        sa.ForeignKeyConstraint(
            ["contributor"], ["contributor.pseudonym"], name=op.f("fk_feedback_contributor")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_feedback")),
        sa.UniqueConstraint(
            "contributor",
            "subject",
            "dimension",
            name=op.f("uq_feedback_contributor_subject_dimension"),
        ),
        sa.UniqueConstraint("id", name=op.f("uq_feedback_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_feedback_contributor"), "feedback", ["contributor"], unique=False)
    op.create_index(op.f("ix_feedback_subject"), "feedback", ["subject"], unique=False)
    op.create_index(
        op.f("ix_feedback_visibility_number"), "feedback", ["visibility", "number"], unique=False
    )
    op.create_table(
        "flag",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("contributor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column(
            "reason",
            sa.Enum(
                "abuse",
                "personal_data",
                "spam",
                "wrong_place",
                "other",
                name="reason",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["contributor"], ["contributor.pseudonym"], name=op.f("fk_flag_contributor")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_flag")),
        sa.UniqueConstraint(
            "contributor", "subject", "reason", name=op.f("uq_flag_contributor_subject_reason")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_flag_contributor"), "flag", ["contributor"], unique=False)
    op.create_index(op.f("ix_flag_settled_at"), "flag", ["settled_at"], unique=False)
    op.create_index(op.f("ix_flag_subject"), "flag", ["subject"], unique=False)
    op.create_table(
        "support",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("contributor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column(
            "stance",
            sa.Enum(
                "for",
                "against",
                "neutral",
                name="stance",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["contributor"], ["contributor.pseudonym"], name=op.f("fk_support_contributor")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_support")),
        sa.UniqueConstraint("contributor", "subject", name=op.f("uq_support_contributor_subject")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_support_contributor"), "support", ["contributor"], unique=False)
    op.create_index(op.f("ix_support_subject"), "support", ["subject"], unique=False)
    op.create_table(
        "incident",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "end_reason",
            sa.Enum(
                "inspection",
                "closure",
                name="end_reason",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=True,
        ),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (end_reason IS NULL)", name=op.f("ck_incident_end")
        ),
        sa.ForeignKeyConstraint(["place"], ["place.key"], name=op.f("fk_incident_place")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_incident")),
        sa.UniqueConstraint("id", name=op.f("uq_incident_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_incident_place"), "incident", ["place"], unique=False)
    op.create_table(
        "appeal",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("observation", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("granted", sa.Boolean(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["observation"], ["observation.id"], name=op.f("fk_appeal_observation")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_appeal")),
        sa.UniqueConstraint("id", name=op.f("uq_appeal_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_appeal_decided_at"), "appeal", ["decided_at"], unique=False)
    op.create_index(op.f("ix_appeal_observation"), "appeal", ["observation"], unique=False)
    op.create_table(
        "confirmation",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("observation", sa.Uuid(), nullable=False),
        sa.Column("fixed", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["observation"], ["observation.id"], name=op.f("fk_confirmation_observation")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_confirmation")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_confirmation_observation"), "confirmation", ["observation"], unique=False
    )
    op.create_table(
        "incident_link",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("observation", sa.Uuid(), nullable=False),
        sa.Column("incident", sa.Uuid(), nullable=False),
        sa.Column(
            "membership",
            sa.Enum(
                "original",
                "duplicate",
                name="membership",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("linked", sa.Boolean(), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_incident_link_confidence")),
        sa.ForeignKeyConstraint(
            ["incident"], ["incident.id"], name=op.f("fk_incident_link_incident")
        ),
        sa.ForeignKeyConstraint(
            ["observation"], ["observation.id"], name=op.f("fk_incident_link_observation")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_incident_link")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_incident_link_incident"), "incident_link", ["incident"], unique=False)
    op.create_index(
        op.f("ix_incident_link_observation"), "incident_link", ["observation"], unique=False
    )
    op.add_column("observation", sa.Column("phase", sa.Text(), nullable=True))
    op.add_column("observation", sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("observation", sa.Column("external_id", sa.Text(), nullable=True))
    op.add_column("observation", sa.Column("incident", sa.Uuid(), nullable=True))
    op.add_column("observation", sa.Column("membership", sa.Text(), nullable=True))
    op.add_column(
        "observation",
        sa.Column("attributes", sa.JSON(), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column("observation", sa.Column("address", sa.Text(), nullable=True))
    op.add_column("observation", sa.Column("initiative", sa.Text(), nullable=True))
    op.create_index(op.f("ix_observation_incident"), "observation", ["incident"], unique=False)
    op.create_index(
        op.f("ix_observation_source_external_id"),
        "observation",
        ["source", "external_id"],
        unique=True,
    )
    op.create_index(op.f("ix_observation_updated_at"), "observation", ["updated_at"], unique=False)
    op.add_column("status_event", sa.Column("phase", sa.Text(), nullable=True))
    for table in APPEND_ONLY:
        for statement in append_only(table):
            op.execute(statement)
