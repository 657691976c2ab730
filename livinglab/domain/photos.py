"""Photos: what somebody shows of what they observed."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from livinglab.domain.observations import Visibility

MOST_PHOTOS = 5
"""Of one Observation."""


@dataclass(eq=False, kw_only=True)
class Photo:
    """One photo of an Observation; the MediaStore keeps what it shows."""

    key: str
    """Random; also its name in public, once a moderator let it go."""
    observation: UUID
    sha256: str
    """Of what was sent, to tell a retry from another photo."""
    width: int
    """[pixels]"""
    height: int
    """[pixels]"""
    visibility: Visibility
    at: datetime
    number: int | None = None
