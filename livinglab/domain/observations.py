"""Observations: what citizens post about a Place, and what may happen to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from livinglab.domain.geometry import Point
from livinglab.domain.incidents import NEAR_M, Membership, Outcome, Phase
from livinglab.domain.places import JoinMethod
from livinglab.domain.privacy import PrivacyRule


class ObservationKind(Enum):
    """What sort of thing a citizen says."""

    PROBLEM = "problem"
    OBSERVATION = "observation"
    RATING = "rating"
    QUESTION = "question"


class Channel(Enum):
    """Which way it came."""

    WEB = "web"
    PWA = "pwa"
    SMS = "sms"
    USSD = "ussd"
    PHONE = "phone"
    KIOSK = "kiosk"
    EVENT = "event"
    STAFF = "staff"
    OPEN311 = "open311"
    IMPORT = "import"


ANYBODYS_CHANNELS = frozenset({Channel.WEB, Channel.PWA})
"""Ways that everybody may say they came; by the others somebody hands it over who has a key."""


class Visibility(Enum):
    """Who may read the words; category, Place and time of an itemised category show at once."""

    QUARANTINED = "quarantined"
    """Waits for a moderator."""
    PUBLIC = "public"
    RESTRICTED = "restricted"
    REMOVED = "removed"


class Status(Enum):
    """Whether the city still has something to do. Closed is not fixed: see the outcome."""

    OPEN = "open"
    CLOSED = "closed"


class Datatype(Enum):
    """What an Attribute's answer is; the words are those of Open311."""

    STRING = "string"
    TEXT = "text"
    """Of several lines."""
    NUMBER = "number"
    DATETIME = "datetime"
    ONE_OF = "singlevaluelist"
    SOME_OF = "multivaluelist"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A question that a Category asks."""

    code: str
    question: str
    datatype: Datatype = Datatype.STRING
    required: bool = False
    hint: str = ""
    """How to answer."""
    asked: bool = True
    """False where the question is only shown, as a notice."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Key of a choice → its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A theme that citizens post about, with its radius and its privacy."""

    key: str
    label: str
    group: str = ""
    """Under which it is listed with others."""
    description: str = ""
    reach_m: float = 100.0
    """How far from a Place such a thing may be and still belong to it. [m]"""
    near_m: float = NEAR_M
    """How far apart two postings may be and still be about one Incident. [m]"""
    attributes: tuple[Attribute, ...] = ()
    """What is asked besides."""
    privacy: PrivacyRule = field(default_factory=PrivacyRule)
    properties: tuple[str, ...] = ()
    """ObservedProperties that sense the same phenomenon."""


@dataclass(eq=False, kw_only=True)
class Observation:
    """One posting of one citizen."""

    id: UUID
    contributor: str
    """Pseudonym; never public."""
    source: str
    """Who handed it over: `api`, or the name of a gateway."""
    client_key: str
    body_sha256: str
    """Hash of what was posted, to tell a retry from another posting under the same key."""
    kind: ObservationKind
    category: str
    channel: Channel
    assisted: bool
    text: str
    lang: str | None
    severity: int | None
    """1 to 5."""
    occurred_at: datetime
    """When the citizen says it was, corrected by the device's skew."""
    submitted_at: datetime | None
    received_at: datetime
    skew_s: float | None
    """Server minus device clock; None if the device did not tell its time. [s]"""
    time_corrected: bool
    place: str
    """Key of the Place it is attached to now."""
    method: JoinMethod
    distance_m: float
    confidence: float
    lon: float | None
    """Exact position: never public."""
    lat: float | None
    accuracy_m: float | None
    public_lon: float | None
    public_lat: float | None
    visibility: Visibility
    status: Status = Status.OPEN
    outcome: Outcome | None = None
    phase: Phase | None = None
    updated_at: datetime | None = None
    """When status, outcome or visibility changed last; None since it came."""
    external_id: str | None = None
    """How the source names it."""
    incident: UUID | None = None
    membership: Membership | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Answers to the Category's questions; never public."""
    address: str | None = None
    """As it was given; never public where the position is not."""
    initiative: str | None = None
    """Key of the Initiative it is about."""
    number: int | None = None

    @property
    def point(self) -> Point | None:
        """The exact position, if one was given; never public."""
        return None if self.lon is None or self.lat is None else Point(self.lon, self.lat)

    @property
    def public_point(self) -> Point | None:
        """The position that the public may see."""
        if self.public_lon is None or self.public_lat is None:
            return None
        return Point(self.public_lon, self.public_lat)


@dataclass(eq=False, kw_only=True)
class PlaceLink:
    """One attachment of an Observation to a Place; relinking appends another."""

    observation: UUID
    place: str
    method: JoinMethod
    distance_m: float
    confidence: float
    by: str
    """`join`, or the name of the moderator's key."""
    at: datetime
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class StatusEvent:
    """One change of what an Observation is; append-only."""

    observation: UUID
    at: datetime
    actor: str
    visibility: Visibility
    status: Status
    outcome: Outcome | None = None
    phase: Phase | None = None
    note: str = ""
    number: int | None = None
