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


@dataclass(eq=False, kw_only=True)
class Contact:
    """How to reach a Contributor; kept in the Vault alone."""

    pseudonym: str
    email: str | None = None
    phone: str | None = None
    name: str | None = None
