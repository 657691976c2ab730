"""Initiatives: what somebody does about a Place, and where and when it began."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class Role(Enum):
    """What a Place is to an Initiative."""

    TREATED = "treated"
    CONTROL = "control"
    PLANNED = "planned"


@dataclass(eq=False, kw_only=True)
class Initiative:
    """An idea on its way, from proposal to operation."""

    key: str
    title: str
    theme: str
    announced_at: datetime | None
    """When people first heard of it, and could begin to behave otherwise."""
    starts_at: datetime
    """When it begins to act."""
    created_at: datetime
    number: int | None = None

    def __post_init__(self) -> None:
        """Refuse an announcement after the start."""
        if self.announced_at is not None and self.announced_at > self.starts_at:
            raise ValueError(f"initiative {self.key} is announced after it starts")


@dataclass(eq=False, kw_only=True)
class InitiativeArea:
    """A Place and its role in one version of an Initiative's design; never changed."""

    initiative: str
    version: int
    place: str
    role: Role
    at: datetime
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class Disturbance:
    """Something else that happened: roadworks, a strike, a closure, another price of fuel."""

    kind: str
    note: str
    place: str | None
    """None: all of the city."""
    since: datetime
    until: datetime | None
    number: int | None = None
