"""Moderation: what people object to, what moderators did, and what it was before."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

TRUSTED_FLAGS = 3
"""So many trusted Contributors hide something until a moderator looked; never a raw count."""


class FlagReason(Enum):
    """Why somebody objects; "not fixed" is no objection, it goes to the confirmation."""

    ABUSE = "abuse"
    PERSONAL_DATA = "personal_data"
    SPAM = "spam"
    WRONG_PLACE = "wrong_place"
    OTHER = "other"


class Deed(Enum):
    """What a moderator did."""

    RELEASE = "release"
    REDACT = "redact"
    REMOVE = "remove"
    RELINK = "relink"
    TRUST = "trust"
    DECIDE_APPEAL = "decide_appeal"


@dataclass(eq=False, kw_only=True)
class AbuseFlag:
    """An objection of one Contributor."""

    contributor: str
    subject: str
    """``observation:ID`` or ``comment:ID``."""
    reason: FlagReason
    note: str
    trusted: bool
    """Whether the Contributor was trusted then."""
    at: datetime
    settled_at: datetime | None = None
    """When a moderator had looked."""
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class ModerationAction:
    """What was done to something, by whom and why; append-only.

    What it was before is sealed with a key of its own, which the Vault keeps: once the key is
    erased with its Contributor, nobody reads the row again, and it need not be changed.
    """

    subject: str
    deed: Deed
    before: str | None
    """Sealed JSON; None where nothing that could identify anybody was changed."""
    reason: str
    actor: str
    at: datetime
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class Appeal:
    """A Contributor asks to look again at what was taken out or changed."""

    id: UUID
    observation: UUID
    text: str
    at: datetime
    decided_at: datetime | None = None
    granted: bool | None = None
    answer: str = ""
    number: int | None = None
