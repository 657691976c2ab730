"""Incidents: what several Observations are about; duplicates are linked, and never merged."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

RECENT = timedelta(days=30)
"""So long after its last Observation an Incident is still asked about before somebody posts."""
NEAR_M = 250.0
"""Default distance within which an Incident may be the same thing. [m]"""


class Membership(Enum):
    """What an Observation is to its Incident."""

    ORIGINAL = "original"
    """The first about it; without it there would be no Incident."""
    DUPLICATE = "duplicate"
    """Another one about the same thing; it keeps its time and its Contributor."""


class EndReason(Enum):
    """How it is known that an Incident is over; reporting that stops tells nothing."""

    INSPECTION = "inspection"
    """Somebody of the city looked."""
    CLOSURE = "closure"
    """The work was done, or the matter closed otherwise."""


class Outcome(Enum):
    """What came of it; closed is not fixed."""

    FIXED = "fixed"
    NOT_NEEDED = "not_needed"
    NOT_OURS = "not_ours"
    WONT_FIX = "wont_fix"
    DUPLICATE = "duplicate"
    CANNOT_FIND = "cannot_find"


class Phase(Enum):
    """How far the city has come with what is open."""

    INVESTIGATING = "investigating"
    PLANNED = "planned"
    IN_PROGRESS = "in_progress"


@dataclass(eq=False, kw_only=True)
class Incident:
    """One thing in the city that people post about."""

    id: UUID
    category: str
    place: str
    first_at: datetime
    """When the first Observation of it was made."""
    last_at: datetime
    """Likewise the last."""
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    number: int | None = None

    def __post_init__(self) -> None:
        """Refuse an end without a reason, and a reason without an end."""
        if (self.ended_at is None) != (self.end_reason is None):
            raise ValueError(f"incident {self.id}: an end has a reason, and a reason an end")


@dataclass(eq=False, kw_only=True)
class IncidentLink:
    """One attachment of an Observation to an Incident, or its undoing; append-only."""

    observation: UUID
    incident: UUID
    membership: Membership
    linked: bool
    """False where it was undone."""
    confidence: float
    by: str
    """``contributor``, ``rule``, or the name of a moderator's key."""
    at: datetime
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class Confirmation:
    """What a Contributor says weeks after it was closed: whether it is fixed."""

    observation: UUID
    fixed: bool
    text: str
    at: datetime
    number: int | None = None
