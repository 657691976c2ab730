"""Contributors: pseudonymous citizens, and what they consented to."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class Trust(Enum):
    """How far a Contributor's words go before somebody looked at them."""

    NEW = "new"
    NORMAL = "normal"
    TRUSTED = "trusted"
    BLOCKED = "blocked"


@dataclass(eq=False, kw_only=True)
class Contributor:
    """A random pseudonym; who stands behind it only the Vault may know."""

    pseudonym: str
    created_at: datetime
    token_sha256: str | None = None
    """Hash of the device token; None for a posting without one."""
    trust: Trust = Trust.NEW
    number: int | None = None


class Purpose(Enum):
    """What a Contributor may agree to, or not; nothing else needs it."""

    STRATA = "strata"
    """Telling age, language and the like, for sums only."""


class Dimension(Enum):
    """In which respect people differ, where a city wants to know whom it reaches."""

    AGE = "age"
    SEX = "sex"
    INCOME = "income_q"
    LANGUAGE = "language"
    DISABILITY = "disability"
    CONNECTIVITY = "connectivity"


@dataclass(eq=False, kw_only=True)
class Consent:
    """What a Contributor agreed to, in which wording, and since when not any more."""

    contributor: str
    purpose: Purpose
    version: str
    """Of the wording."""
    given_at: datetime
    withdrawn_at: datetime | None = None
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class Donation:
    """What a Contributor tells of themselves, read in sums only."""

    contributor: str
    dimension: Dimension
    level: str
    at: datetime
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class Erasure:
    """That somebody was erased, and how much; not who."""

    at: datetime
    rows: int
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class Contact:
    """How to reach a Contributor; kept in the Vault alone."""

    pseudonym: str
    email: str | None = None
    phone: str | None = None
    name: str | None = None
