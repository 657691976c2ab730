"""The first schema: places, the registry, what citizens post, the quarantine and the ledger."""

import sqlalchemy as sa
from alembic import op

from livinglab.adapters.relational.migrations.triggers import append_only, moves_registry_version

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("place_link", "status_event", "location", "conflict")
MOVE_THE_VERSION = ("thing", "datastream", "location", "place", "zone")


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_api_key")),
        sa.UniqueConstraint("name", name=op.f("uq_api_key_name")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_api_key_secret_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "contributor",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("pseudonym", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=True),
        sa.Column(
            "trust",
            sa.Enum(
                "new",
                "normal",
                "trusted",
                "blocked",
                name="trust",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_contributor")),
        sa.UniqueConstraint("pseudonym", name=op.f("uq_contributor_pseudonym")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_contributor_token_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "ledger",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("decoded", sa.BigInteger(), nullable=False),
        sa.Column("retained", sa.BigInteger(), nullable=False),
        sa.Column("probe", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.BigInteger(), nullable=False),
        sa.Column("quarantined_messages", sa.BigInteger(), nullable=False),
        sa.Column("readings", sa.BigInteger(), nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.Column("duplicate", sa.BigInteger(), nullable=False),
        sa.Column("replaced", sa.BigInteger(), nullable=False),
        sa.Column("quarantined_readings", sa.BigInteger(), nullable=False),
        sa.Column("qos0", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "route", name=op.f("pk_ledger")),
    )
    op.create_table(
        "quarantine",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("topic", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("header", sa.Integer(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("readings", sa.Integer(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "replayed",
                "dropped",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.CheckConstraint("count >= 1", name=op.f("ck_quarantine_count")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_quarantine")),
        sa.UniqueConstraint(
            "topic", "sha256", "reason", name=op.f("uq_quarantine_topic_sha256_reason")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_quarantine_state_route_reason"),
        "quarantine",
        ["state", "route", "reason"],
        unique=False,
    )
    op.create_table(
        "receive_log",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("topic", sa.LargeBinary(), nullable=False),
        sa.Column("arrived_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "topic", name=op.f("pk_receive_log")),
    )
    op.create_index(op.f("ix_receive_log_arrived_ms"), "receive_log", ["arrived_ms"], unique=False)
    op.create_table(
        "registry_version",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("one = 1", name=op.f("ck_registry_version_one")),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_registry_version")),
    )
    op.create_table(
        "zone",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "district",
                "suburb",
                "peri_urban_town",
                "village",
                "campus",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("residents", sa.Integer(), nullable=False),
        sa.Column("counted", sa.Date(), nullable=False),
        sa.Column("ring", sa.JSON(), nullable=False),
        sa.CheckConstraint("residents >= 1", name=op.f("ck_zone_residents")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_zone")),
        sa.UniqueConstraint("key", name=op.f("uq_zone_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "place",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("lon", sa.Float(precision=53), nullable=False),
        sa.Column("lat", sa.Float(precision=53), nullable=False),
        sa.Column("radius_m", sa.Float(precision=53), nullable=False),
        sa.Column("zone", sa.Text(), nullable=True),
        sa.Column(
            "origin",
            sa.Enum(
                "city",
                "thing",
                "observation",
                name="origin",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.CheckConstraint(
            "lon BETWEEN -180 AND 180 AND lat BETWEEN -90 AND 90", name=op.f("ck_place_on_earth")
        ),
        sa.CheckConstraint("radius_m >= 0", name=op.f("ck_place_radius_m")),
        sa.ForeignKeyConstraint(["zone"], ["zone.key"], name=op.f("fk_place_zone")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_place")),
        sa.UniqueConstraint("key", name=op.f("uq_place_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_place_zone"), "place", ["zone"], unique=False)
    op.create_table(
        "observation",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contributor", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("client_key", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "problem",
                "observation",
                "rating",
                "question",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("category", sa.Text(), nullable=False),
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
        sa.Column("assisted", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("lang", sa.Text(), nullable=True),
        sa.Column("severity", sa.Integer(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("skew_s", sa.Float(precision=53), nullable=True),
        sa.Column("time_corrected", sa.Boolean(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column(
            "method",
            sa.Enum(
                "gps",
                "pin",
                "address",
                "asset_qr",
                "zone_centroid",
                "chosen",
                name="method",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("distance_m", sa.Float(precision=53), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.Column("lon", sa.Float(precision=53), nullable=True),
        sa.Column("lat", sa.Float(precision=53), nullable=True),
        sa.Column("accuracy_m", sa.Float(precision=53), nullable=True),
        sa.Column("public_lon", sa.Float(precision=53), nullable=True),
        sa.Column("public_lat", sa.Float(precision=53), nullable=True),
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
        sa.Column(
            "status",
            sa.Enum(
                "open",
                "closed",
                name="status",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_observation_confidence")),
        sa.CheckConstraint("distance_m >= 0", name=op.f("ck_observation_distance_m")),
        sa.CheckConstraint(
            "lon BETWEEN -180 AND 180 AND lat BETWEEN -90 AND 90",
            name=op.f("ck_observation_on_earth"),
        ),
        sa.CheckConstraint(
            "public_lon BETWEEN -180 AND 180 AND public_lat BETWEEN -90 AND 90",
            name=op.f("ck_observation_public_lon_on_earth"),
        ),
        sa.CheckConstraint("severity BETWEEN 1 AND 5", name=op.f("ck_observation_severity")),
        sa.ForeignKeyConstraint(
            ["contributor"], ["contributor.pseudonym"], name=op.f("fk_observation_contributor")
        ),
        sa.ForeignKeyConstraint(["place"], ["place.key"], name=op.f("fk_observation_place")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_observation")),
        sa.UniqueConstraint("id", name=op.f("uq_observation_id")),
        sa.UniqueConstraint("source", "client_key", name=op.f("uq_observation_source_client_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_observation_category_number"), "observation", ["category", "number"], unique=False
    )
    op.create_index(
        op.f("ix_observation_contributor"), "observation", ["contributor"], unique=False
    )
    op.create_index(
        op.f("ix_observation_place_occurred_at"),
        "observation",
        ["place", "occurred_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_observation_public_lon_public_lat"),
        "observation",
        ["public_lon", "public_lat"],
        unique=False,
    )
    op.create_index(
        op.f("ix_observation_received_at"), "observation", ["received_at"], unique=False
    )
    op.create_index(
        op.f("ix_observation_visibility_number"),
        "observation",
        ["visibility", "number"],
        unique=False,
    )
    op.create_table(
        "thing",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "provisional",
                "confirmed",
                "test",
                "retired",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("introduced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("moving", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["place"], ["place.key"], name=op.f("fk_thing_place")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_thing")),
        sa.UniqueConstraint("key", name=op.f("uq_thing_key")),
        sa.UniqueConstraint("scheme", "external_id", name=op.f("uq_thing_scheme_external_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_thing_place"), "thing", ["place"], unique=False)
    op.create_table(
        "datastream",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("thing", sa.Text(), nullable=False),
        sa.Column("observed_property", sa.Text(), nullable=False),
        sa.Column("introduced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("source_unit", sa.Text(), nullable=True),
        sa.Column("interval_s", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["thing"], ["thing.key"], name=op.f("fk_datastream_thing")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_datastream")),
        sa.UniqueConstraint("key", name=op.f("uq_datastream_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_datastream_thing"), "datastream", ["thing"], unique=False)
    op.create_table(
        "location",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("thing", sa.Text(), nullable=False),
        sa.Column("lon", sa.Float(precision=53), nullable=False),
        sa.Column("lat", sa.Float(precision=53), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "lon BETWEEN -180 AND 180 AND lat BETWEEN -90 AND 90", name=op.f("ck_location_on_earth")
        ),
        sa.ForeignKeyConstraint(["place"], ["place.key"], name=op.f("fk_location_place")),
        sa.ForeignKeyConstraint(["thing"], ["thing.key"], name=op.f("fk_location_thing")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_location")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_location_place"), "location", ["place"], unique=False)
    op.create_index(op.f("ix_location_thing_since"), "location", ["thing", "since"], unique=False)
    op.create_table(
        "place_link",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("observation", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column(
            "method",
            sa.Enum(
                "gps",
                "pin",
                "address",
                "asset_qr",
                "zone_centroid",
                "chosen",
                name="method",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("distance_m", sa.Float(precision=53), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_place_link_confidence")),
        sa.CheckConstraint("distance_m >= 0", name=op.f("ck_place_link_distance_m")),
        sa.ForeignKeyConstraint(
            ["observation"], ["observation.id"], name=op.f("fk_place_link_observation")
        ),
        sa.ForeignKeyConstraint(["place"], ["place.key"], name=op.f("fk_place_link_place")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_place_link")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_place_link_observation"), "place_link", ["observation"], unique=False)
    op.create_index(op.f("ix_place_link_place"), "place_link", ["place"], unique=False)
    op.create_table(
        "status_event",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("observation", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
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
        sa.Column(
            "status",
            sa.Enum(
                "open",
                "closed",
                name="status",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["observation"], ["observation.id"], name=op.f("fk_status_event_observation")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_status_event")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_status_event_observation"), "status_event", ["observation"], unique=False
    )
    op.create_table(
        "conflict",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("datastream", sa.Integer(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("old", sa.Float(53), nullable=True),
        sa.Column("new", sa.Float(53), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["datastream"], ["datastream.number"], name=op.f("fk_conflict_datastream")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_conflict")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_conflict_datastream_time_ms"), "conflict", ["datastream", "time_ms"], unique=False
    )
    op.execute("INSERT INTO registry_version (one, version) VALUES (1, 1)")
    for table in APPEND_ONLY:
        for statement in append_only(table):
            op.execute(statement)
    for table in MOVE_THE_VERSION:
        for statement in moves_registry_version(table):
            op.execute(statement)
