"""The tables of civic data: what a row is, what it refers to, and what may never be twice.

The domain's classes are mapped onto these in `mapping`. Append-only tables and the version of the
registry are guarded by triggers, see `migrations.triggers`.
"""

import math
from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    false,
    text,
)
from sqlalchemy import Enum as EnumText
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.types import JSON

from livinglab.domain.contributors import Dimension as Stratum
from livinglab.domain.contributors import Purpose, Trust
from livinglab.domain.geometry import Point, Ring
from livinglab.domain.incidents import EndReason, Membership, Outcome, Phase
from livinglab.domain.indicators import Expected, JobState, Transform
from livinglab.domain.initiatives import Role
from livinglab.domain.ledger import QuarantineState, Tally
from livinglab.domain.moderation import Deed, FlagReason
from livinglab.domain.notices import News, Topic
from livinglab.domain.observations import Channel, ObservationKind, Status, Visibility
from livinglab.domain.places import JoinMethod, PlaceOrigin, ZoneKind
from livinglab.domain.things import ThingState, datastream_key, thing_key
from livinglab.domain.voices import Dimension, Stance

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware going in, aware and UTC coming out, whatever the database can hold."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - all alike
        """Refuse a naive time: nobody knows when that is."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"an instant needs a time zone, and {value} has none")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - all alike
        """SQLite forgets the zone; it is always UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class RingJson(TypeDecorator[Ring]):
    """The corners of an area, as a JSON list of [lon, lat]."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Ring | None, dialect: Dialect) -> object:  # noqa: ARG002 - all alike
        """Write lists: JSON has no tuples."""
        return None if value is None else [list(point) for point in value]

    def process_result_value(
        self,
        value: Iterable[Iterable[float]] | None,
        dialect: Dialect,  # noqa: ARG002 - all alike
    ) -> Ring | None:
        """Read Points."""
        return None if value is None else tuple(Point(*corner) for corner in value)


class Word(TypeDecorator[Enum]):
    """A value of an enum in a column that came after its table: text without a check."""

    impl = Text
    cache_ok = True

    def __init__(self, choices: type[Enum]) -> None:
        """Name the enum."""
        super().__init__()
        self.choices = choices

    def process_bind_param(self, value: Enum | None, dialect: Dialect) -> object:  # noqa: ARG002 - all alike
        """Write the value."""
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> Enum | None:  # noqa: ARG002 - likewise
        """Read the member."""
        return None if value is None else self.choices(value)


class Result(TypeDecorator[float]):
    """A result whose missing value is NaN in the lab and NULL in the database."""

    impl = Float(53)
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:  # noqa: ARG002 - all alike
        """Write NULL: not every database holds NaN."""
        return None if value is None or math.isnan(value) else value

    def process_result_value(self, value: float | None, dialect: Dialect) -> float:  # noqa: ARG002 - all alike
        """Read NaN."""
        return math.nan if value is None else value


def _number() -> Column[int]:
    """Return the primary key; with ``sqlite_autoincrement`` no number is ever given twice."""
    return Column("number", Integer, primary_key=True)


def _one_of(choices: type[Enum], name: str) -> EnumText:
    """Return text that is one of an enum's values, checked by the database too."""
    return EnumText(
        choices,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=20,
        values_callable=lambda them: [one.value for one in them],
    )


def _of(parameters: DefaultExecutionContext) -> dict[str, str]:
    return parameters.get_current_parameters()  # type: ignore[no-untyped-call,no-any-return]  # untyped there


def _thing_key(inserting: DefaultExecutionContext) -> str:
    row = _of(inserting)
    return thing_key(row["scheme"], row["external_id"])


def _datastream_key(inserting: DefaultExecutionContext) -> str:
    row = _of(inserting)
    return datastream_key(row["thing"], row["observed_property"], row["channel"])


def _on_earth(lon: str, lat: str) -> CheckConstraint:
    rule = f"{lon} BETWEEN -180 AND 180 AND {lat} BETWEEN -90 AND 90"
    return CheckConstraint(rule, name="on_earth" if lon == "lon" else f"{lon}_on_earth")


zone = Table(
    "zone",
    metadata,
    _number(),
    Column("key", Text, nullable=False, unique=True),
    Column("kind", _one_of(ZoneKind, "kind"), nullable=False),
    Column("name", Text, nullable=False),
    Column("residents", Integer, nullable=False),
    Column("counted", Date, nullable=False),
    Column("ring", RingJson, nullable=False),
    CheckConstraint("residents >= 1", name="residents"),
    sqlite_autoincrement=True,
)

place = Table(
    "place",
    metadata,
    _number(),
    Column("key", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("lon", Float(53), nullable=False),
    Column("lat", Float(53), nullable=False),
    Column("radius_m", Float(53), nullable=False),
    Column("zone", Text, ForeignKey("zone.key"), index=True),
    Column("origin", _one_of(PlaceOrigin, "origin"), nullable=False),
    Index(None, "lon", "lat"),
    Index(None, "radius_m"),
    _on_earth("lon", "lat"),
    CheckConstraint("radius_m >= 0", name="radius_m"),
    sqlite_autoincrement=True,
)

thing = Table(
    "thing",
    metadata,
    _number(),
    Column("key", Text, nullable=False, unique=True, default=_thing_key),
    Column("scheme", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("state", _one_of(ThingState, "state"), nullable=False),
    Column("route", Text, nullable=False),
    Column("introduced_at", UtcDateTime, nullable=False),
    Column("moving", Boolean, nullable=False),
    Column("name", Text, nullable=False),
    Column("place", Text, ForeignKey("place.key"), index=True),
    UniqueConstraint("scheme", "external_id"),
    sqlite_autoincrement=True,
)

datastream = Table(
    "datastream",
    metadata,
    _number(),
    Column("key", Text, nullable=False, unique=True, default=_datastream_key),
    Column("thing", Text, ForeignKey("thing.key"), nullable=False, index=True),
    Column("observed_property", Text, nullable=False),
    Column("introduced_at", UtcDateTime, nullable=False),
    Column("channel", Text, nullable=False),
    Column("source_unit", Text),
    Column("interval_s", Float(53)),
    Column("interval_learned", Boolean, nullable=False, server_default=false()),
    sqlite_autoincrement=True,
)

location = Table(
    "location",
    metadata,
    _number(),
    Column("thing", Text, ForeignKey("thing.key"), nullable=False),
    Column("lon", Float(53), nullable=False),
    Column("lat", Float(53), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("place", Text, ForeignKey("place.key"), index=True),
    Index(None, "thing", "since"),
    _on_earth("lon", "lat"),
    sqlite_autoincrement=True,
)

registry_version = Table(
    "registry_version",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    CheckConstraint("one = 1", name="one"),
)
"""One row that triggers move with every change of Zones, Places, Things and what they have."""

contributor = Table(
    "contributor",
    metadata,
    _number(),
    Column("pseudonym", Text, nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("token_sha256", String(64), unique=True),
    Column("trust", _one_of(Trust, "trust"), nullable=False),
    sqlite_autoincrement=True,
)

observation = Table(
    "observation",
    metadata,
    _number(),
    Column("id", Uuid, nullable=False, unique=True),
    Column("contributor", Text, ForeignKey("contributor.pseudonym"), nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("client_key", Text, nullable=False),
    Column("body_sha256", String(64), nullable=False),
    Column("kind", _one_of(ObservationKind, "kind"), nullable=False),
    Column("category", Text, nullable=False),
    Column("channel", _one_of(Channel, "channel"), nullable=False),
    Column("assisted", Boolean, nullable=False),
    Column("text", Text, nullable=False),
    Column("lang", Text),
    Column("severity", Integer),
    Column("occurred_at", UtcDateTime, nullable=False, index=True),
    Column("submitted_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False, index=True),
    Column("skew_s", Float(53)),
    Column("time_corrected", Boolean, nullable=False),
    Column("place", Text, ForeignKey("place.key"), nullable=False),
    Column("method", _one_of(JoinMethod, "method"), nullable=False),
    Column("distance_m", Float(53), nullable=False),
    Column("confidence", Float(53), nullable=False),
    Column("lon", Float(53)),
    Column("lat", Float(53)),
    Column("accuracy_m", Float(53)),
    Column("public_lon", Float(53)),
    Column("public_lat", Float(53)),
    Column("visibility", _one_of(Visibility, "visibility"), nullable=False),
    Column("status", _one_of(Status, "status"), nullable=False),
    Column("outcome", Word(Outcome)),
    Column("phase", Word(Phase)),
    Column("updated_at", UtcDateTime, index=True),
    Column("external_id", Text),
    Column("incident", Uuid, index=True),
    Column("membership", Word(Membership)),
    Column("attributes", JSON, nullable=False, server_default=text("'{}'")),
    Column("address", Text),
    Column("initiative", Text),
    UniqueConstraint("source", "client_key"),
    Index(None, "source", "external_id", unique=True),
    Index(None, "place", "occurred_at"),
    Index(None, "category", "number"),
    Index(None, "visibility", "number"),
    Index(None, "public_lon", "public_lat"),
    CheckConstraint("severity BETWEEN 1 AND 5", name="severity"),
    CheckConstraint("distance_m >= 0", name="distance_m"),
    CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
    _on_earth("lon", "lat"),
    _on_earth("public_lon", "public_lat"),
    sqlite_autoincrement=True,
)

place_link = Table(
    "place_link",
    metadata,
    _number(),
    Column("observation", Uuid, ForeignKey("observation.id"), nullable=False, index=True),
    Column("place", Text, ForeignKey("place.key"), nullable=False, index=True),
    Column("method", _one_of(JoinMethod, "method"), nullable=False),
    Column("distance_m", Float(53), nullable=False),
    Column("confidence", Float(53), nullable=False),
    Column("by", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    CheckConstraint("distance_m >= 0", name="distance_m"),
    CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
    sqlite_autoincrement=True,
)

status_event = Table(
    "status_event",
    metadata,
    _number(),
    Column("observation", Uuid, ForeignKey("observation.id"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("visibility", _one_of(Visibility, "visibility"), nullable=False),
    Column("status", _one_of(Status, "status"), nullable=False),
    Column("outcome", Word(Outcome)),
    Column("phase", Word(Phase)),
    Column("note", Text, nullable=False),
    sqlite_autoincrement=True,
)

consent = Table(
    "consent",
    metadata,
    _number(),
    Column("contributor", Text, ForeignKey("contributor.pseudonym"), nullable=False, index=True),
    Column("purpose", _one_of(Purpose, "purpose"), nullable=False),
    Column("version", Text, nullable=False),
    Column("given_at", UtcDateTime, nullable=False),
    Column("withdrawn_at", UtcDateTime),
    sqlite_autoincrement=True,
)

donation = Table(
    "donation",
    metadata,
    _number(),
    Column("contributor", Text, ForeignKey("contributor.pseudonym"), nullable=False),
    Column("dimension", _one_of(Stratum, "dimension"), nullable=False),
    Column("level", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("contributor", "dimension"),
    sqlite_autoincrement=True,
)

erasure = Table(
    "erasure",
    metadata,
    _number(),
    Column("at", UtcDateTime, nullable=False),
    Column("rows", Integer, nullable=False),
    sqlite_autoincrement=True,
)
"""Append-only."""

incident = Table(
    "incident",
    metadata,
    _number(),
    Column("id", Uuid, nullable=False, unique=True),
    Column("category", Text, nullable=False),
    Column("place", Text, ForeignKey("place.key"), nullable=False, index=True),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("end_reason", _one_of(EndReason, "end_reason")),
    CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="end"),
    sqlite_autoincrement=True,
)

incident_link = Table(
    "incident_link",
    metadata,
    _number(),
    Column("observation", Uuid, ForeignKey("observation.id"), nullable=False, index=True),
    Column("incident", Uuid, ForeignKey("incident.id"), nullable=False, index=True),
    Column("membership", _one_of(Membership, "membership"), nullable=False),
    Column("linked", Boolean, nullable=False),
    Column("confidence", Float(53), nullable=False),
    Column("by", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
    sqlite_autoincrement=True,
)
"""Append-only."""

confirmation = Table(
    "confirmation",
    metadata,
    _number(),
    Column("observation", Uuid, ForeignKey("observation.id"), nullable=False, index=True),
    Column("fixed", Boolean, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

support = Table(
    "support",
    metadata,
    _number(),
    Column("contributor", Text, ForeignKey("contributor.pseudonym"), nullable=False, index=True),
    Column("subject", Text, nullable=False, index=True),
    Column("stance", _one_of(Stance, "stance"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    UniqueConstraint("contributor", "subject"),
    sqlite_autoincrement=True,
)

comment = Table(
    "comment",
    metadata,
    _number(),
    Column("id", Uuid, nullable=False, unique=True),
    Column("contributor", Text, ForeignKey("contributor.pseudonym"), nullable=False, index=True),
    Column("subject", Text, nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("lang", Text),
    Column("visibility", _one_of(Visibility, "visibility"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index(None, "visibility", "number"),
    sqlite_autoincrement=True,
)

photo = Table(
    "photo",
    metadata,
    _number(),
    Column("key", Text, nullable=False, unique=True),
    Column("observation", Uuid, ForeignKey("observation.id"), nullable=False),
    Column("sha256", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("visibility", _one_of(Visibility, "visibility"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("observation", "sha256"),
    Index(None, "visibility", "number"),
    sqlite_autoincrement=True,
)

batch = Table(
    "batch",
    metadata,
    _number(),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("body_sha256", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("n", Integer, nullable=False),
    Column("channel", _one_of(Channel, "channel"), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("place", Text, ForeignKey("place.key"), index=True),
    Column("zone", Text, ForeignKey("zone.key"), index=True),
    Column("strata", JSON, nullable=False),
    UniqueConstraint("source", "external_id"),
    CheckConstraint("(place IS NULL) <> (zone IS NULL)", name="where"),
    CheckConstraint("n >= 1", name="people"),
    sqlite_autoincrement=True,
)

feedback = Table(
    "feedback",
    metadata,
    _number(),
    Column("id", Uuid, nullable=False, unique=True),
    Column("contributor", Text, ForeignKey("contributor.pseudonym"), nullable=False, index=True),
    Column("subject", Text, nullable=False, index=True),
    Column("stage_at", Text),
    Column("dimension", _one_of(Dimension, "dimension"), nullable=False),
    Column("rating", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("lang", Text),
    Column("channel", _one_of(Channel, "channel"), nullable=False),
    Column("visibility", _one_of(Visibility, "visibility"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("contributor", "subject", "dimension"),
    Index(None, "visibility", "number"),
    CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
    sqlite_autoincrement=True,
)

flag = Table(
    "flag",
    metadata,
    _number(),
    Column("contributor", Text, ForeignKey("contributor.pseudonym"), nullable=False, index=True),
    Column("subject", Text, nullable=False, index=True),
    Column("reason", _one_of(FlagReason, "reason"), nullable=False),
    Column("note", Text, nullable=False),
    Column("trusted", Boolean, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("settled_at", UtcDateTime, index=True),
    UniqueConstraint("contributor", "subject", "reason"),
    sqlite_autoincrement=True,
)

moderation_action = Table(
    "moderation_action",
    metadata,
    _number(),
    Column("subject", Text, nullable=False, index=True),
    Column("deed", _one_of(Deed, "deed"), nullable=False),
    Column("before", Text),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)
"""Append-only."""

appeal = Table(
    "appeal",
    metadata,
    _number(),
    Column("id", Uuid, nullable=False, unique=True),
    Column("observation", Uuid, ForeignKey("observation.id"), nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime, index=True),
    Column("granted", Boolean),
    Column("answer", Text, nullable=False),
    sqlite_autoincrement=True,
)

city_response = Table(
    "city_response",
    metadata,
    _number(),
    Column("key", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("you_said", Text, nullable=False),
    Column("we_did", Text, nullable=False),
    Column("why_not", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("promised_for", Date),
    Column("department", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("published_at", UtcDateTime, nullable=False),
    UniqueConstraint("key", "version"),
    sqlite_autoincrement=True,
)
"""Append-only."""

quarantine = Table(
    "quarantine",
    metadata,
    _number(),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("topic", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("header", Integer, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("readings", Integer, nullable=False),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("state", _one_of(QuarantineState, "state"), nullable=False),
    UniqueConstraint("topic", "sha256", "reason"),
    Index(None, "state", "route", "reason"),
    CheckConstraint("count >= 1", name="count"),
    sqlite_autoincrement=True,
)

TALLY = tuple(one.name for one in fields(Tally))
"""The counts of the ledger; a count added to Tally becomes a column with the next revision."""

ledger = Table(
    "ledger",
    metadata,
    Column("day", Date, primary_key=True),
    Column("route", Text, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in TALLY),
)

receive_log = Table(
    "receive_log",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("topic", LargeBinary, primary_key=True),
    Column("arrived_ms", BigInteger, nullable=False, index=True),
)

alias = Table(
    "alias",
    metadata,
    Column("scheme", Text, primary_key=True),
    Column("sender", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
)

conflict = Table(
    "conflict",
    metadata,
    _number(),
    Column("datastream", Integer, ForeignKey("datastream.number"), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("old", Result),
    Column("new", Result),
    Column("at", UtcDateTime, nullable=False),
    Index(None, "datastream", "time_ms"),
    sqlite_autoincrement=True,
)

recheck = Table(
    "recheck",
    metadata,
    Column("datastream", Integer, ForeignKey("datastream.number"), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("soon", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
"""Days of Datastreams that changed since the tests last saw them as a whole."""

skew = Table(
    "skew",
    metadata,
    Column("datastream", Integer, ForeignKey("datastream.number"), primary_key=True),
    Column("lag_s", Float(53), nullable=False),
    Column("samples", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

quality_version = Table(
    "quality_version",
    metadata,
    _number(),
    Column("version", Integer, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("parameters", JSON, nullable=False),
    sqlite_autoincrement=True,
)

judged = Table(
    "judged",
    metadata,
    Column("datastream", Integer, ForeignKey("datastream.number"), primary_key=True),
    Column("version", Integer, nullable=False),
)
"""By which version of the tests all Readings of a Datastream were judged at least."""

initiative = Table(
    "initiative",
    metadata,
    _number(),
    Column("key", Text, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("theme", Text, nullable=False),
    Column("announced_at", UtcDateTime),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

initiative_area = Table(
    "initiative_area",
    metadata,
    _number(),
    Column("initiative", Text, ForeignKey("initiative.key"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("place", Text, ForeignKey("place.key"), nullable=False),
    Column("role", _one_of(Role, "role"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("initiative", "version", "place"),
    sqlite_autoincrement=True,
)
"""Append-only."""

hypothesis = Table(
    "hypothesis",
    metadata,
    _number(),
    Column("initiative", Text, ForeignKey("initiative.key"), nullable=False),
    Column("key", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("observed_property", Text, nullable=False),
    Column("expected", _one_of(Expected, "expected"), nullable=False),
    Column("transform", _one_of(Transform, "transform"), nullable=False),
    Column("smallest_effect", Float(53)),
    Column("primary", Boolean, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("initiative", "key", "version"),
    CheckConstraint("smallest_effect > 0", name="smallest_effect"),
    sqlite_autoincrement=True,
)
"""Append-only."""

effect = Table(
    "effect",
    metadata,
    _number(),
    Column("id", Uuid, nullable=False, unique=True),
    Column("initiative", Text, ForeignKey("initiative.key"), nullable=False, index=True),
    Column("hypothesis", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("document", JSON, nullable=False),
    sqlite_autoincrement=True,
)
"""Append-only."""

effect_picture = Table(
    "effect_picture",
    metadata,
    _number(),
    Column("effect", Uuid, ForeignKey("effect.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("lang", Text, nullable=False),
    Column("svg", Text, nullable=False),
    UniqueConstraint("effect", "name", "lang"),
    sqlite_autoincrement=True,
)
"""Append-only."""

evaluation_job = Table(
    "evaluation_job",
    metadata,
    _number(),
    Column("id", Uuid, nullable=False, unique=True),
    Column("initiative", Text, ForeignKey("initiative.key"), nullable=False, index=True),
    Column("hypothesis", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("state", _one_of(JobState, "state"), nullable=False),
    Column("problem", Text, nullable=False),
    sqlite_autoincrement=True,
)

disturbance = Table(
    "disturbance",
    metadata,
    _number(),
    Column("kind", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("place", Text, ForeignKey("place.key")),
    Column("since", UtcDateTime, nullable=False),
    Column("until", UtcDateTime),
    sqlite_autoincrement=True,
)

agreement = Table(
    "agreement",
    metadata,
    _number(),
    Column("subject", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("observed_property", Text, nullable=False),
    Column("computed_at", UtcDateTime, nullable=False),
    Column("document", JSON, nullable=False),
    UniqueConstraint("subject", "category", "observed_property"),
    sqlite_autoincrement=True,
)

notice = Table(
    "notice",
    metadata,
    _number(),
    Column("recipient", Text, nullable=False),
    Column("topic", _one_of(Topic, "topic"), nullable=False),
    Column("event", Text, nullable=False),
    Column("news", _one_of(News, "news"), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    UniqueConstraint("recipient", "topic", "event"),
    sqlite_autoincrement=True,
)

opt_out = Table(
    "opt_out",
    metadata,
    _number(),
    Column("recipient", Text, nullable=False),
    Column("topic", _one_of(Topic, "topic"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("recipient", "topic"),
    sqlite_autoincrement=True,
)

email_code = Table(
    "email_code",
    metadata,
    _number(),
    Column("contributor", Text, ForeignKey("contributor.pseudonym"), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("tries", Integer, nullable=False),
    sqlite_autoincrement=True,
)

conversation = Table(
    "conversation",
    metadata,
    _number(),
    Column("contributor", Text, ForeignKey("contributor.pseudonym"), nullable=False, unique=True),
    Column("lang", Text, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("message", Text),
    Column("words", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("choices", JSON, nullable=False),
    sqlite_autoincrement=True,
)

text_message = Table(
    "text_message",
    metadata,
    _number(),
    Column("id_sha256", String(64), nullable=False, unique=True),
    Column("body_sha256", String(64), nullable=False),
    Column("reply", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

aggregate = Table(
    "aggregate",
    metadata,
    _number(),
    Column("month", Date, nullable=False),
    Column("category", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("zones", JSON, nullable=False),
    Column("n", Integer),
    Column("contributors", Integer),
    Column("k", Integer, nullable=False),
    Column("published_at", UtcDateTime, nullable=False),
    UniqueConstraint("month", "category", "part"),
    sqlite_autoincrement=True,
)
"""Append-only."""

staff = Table(
    "staff",
    metadata,
    _number(),
    Column("login", Text, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("second_factor", Text),
    Column("new_factor", Text),
    Column("last_step", Integer, nullable=False),
    Column("wrong_codes", Integer, nullable=False),
    Column("locked_until", UtcDateTime),
    sqlite_autoincrement=True,
)

staff_session = Table(
    "staff_session",
    metadata,
    _number(),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("login", Text, ForeignKey("staff.login"), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("confirmed", Boolean, nullable=False),
    sqlite_autoincrement=True,
)

api_key = Table(
    "api_key",
    metadata,
    _number(),
    Column("name", Text, nullable=False, unique=True),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    sqlite_autoincrement=True,
)
