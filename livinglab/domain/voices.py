"""Voices: what people say about what is there already, one voice each."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from livinglab.domain.observations import Channel, Visibility


class Stance(Enum):
    """Where somebody stands."""

    FOR = "for"
    AGAINST = "against"
    NEUTRAL = "neutral"


class Dimension(Enum):
    """What Feedback rates."""

    USEFULNESS = "usefulness"
    EASE = "ease"
    TRUST = "trust"
    SAFETY = "safety"
    INCLUSION = "inclusion"
    OVERALL = "overall"


@dataclass(eq=False, kw_only=True)
class Support:
    """One voice of one Contributor; it stays where it was given, and can be taken back."""

    contributor: str
    subject: str
    """``observation:ID``, ``incident:ID`` or ``initiative:KEY``."""
    stance: Stance
    at: datetime
    revoked_at: datetime | None = None
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class Comment:
    """Words below something; they wait for a moderator like those of an Observation."""

    id: UUID
    contributor: str
    subject: str
    text: str
    lang: str | None
    visibility: Visibility
    at: datetime
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class Feedback:
    """A rating, and perhaps words, on an Initiative, an event or a CityResponse."""

    id: UUID
    contributor: str
    subject: str
    """``initiative:KEY``, ``event:KEY`` or ``response:KEY``."""
    stage_at: str | None
    """Stage of the Initiative when it was given."""
    dimension: Dimension
    rating: int
    """1 to 5."""
    text: str
    lang: str | None
    channel: Channel
    visibility: Visibility
    """Of the words; the rating counts at once."""
    at: datetime
    number: int | None = None

    def __post_init__(self) -> None:
        """Refuse a rating off the scale."""
        if not 1 <= self.rating <= 5:  # noqa: PLR2004 - the scale
            raise ValueError(f"a rating is 1 to 5, not {self.rating}")
