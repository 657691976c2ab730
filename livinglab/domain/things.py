"""Things and their Datastreams: who measures, what, and where it stood when.

Keys are public and safe in paths: ``scheme:id`` for a Thing, ``scheme:id:property[:channel]`` for
a Datastream. Numbers never leave the lab and are never reused.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from urllib.parse import quote

from livinglab.domain.geometry import Point

RELOCATION_M = 50.0
"""A fixed Thing that reports farther than this from where it stood has moved. [m]"""


class ThingState(Enum):
    """How far a Thing is trusted."""

    PROVISIONAL = "provisional"
    """Introduced itself; stored and checked, but not public until somebody confirms it."""
    CONFIRMED = "confirmed"
    TEST = "test"
    """On a desk or indoors: kept, never public."""
    RETIRED = "retired"


def thing_key(scheme: str, external_id: str) -> str:
    """Return the public key of a Thing: ``santander:3330``.

    Characters of the id outside ``A-Za-z0-9._-`` are percent-encoded.
    """
    return f"{scheme}:{quote(external_id, safe='.-_').replace('~', '%7E')}"


def datastream_key(thing: str, observed_property: str, channel: str = "") -> str:
    """Return the public key of a Datastream: ``santander:3330:temperature``."""
    key = f"{thing}:{observed_property}"
    return f"{key}:{quote(channel, safe='.-_').replace('~', '%7E')}" if channel else key


@dataclass(eq=False, kw_only=True)
class Thing:
    """A sensor, node or vehicle: whoever publishes under one identity."""

    scheme: str
    external_id: str
    state: ThingState
    route: str
    introduced_at: datetime
    moving: bool = False
    name: str = ""
    place: str | None = None
    """Key of the Place where a fixed Thing stands now."""
    number: int | None = None
    """Given by the store."""

    @property
    def key(self) -> str:
        """The public key."""
        return thing_key(self.scheme, self.external_id)

    @property
    def public(self) -> bool:
        """Whether its Readings may be published."""
        return self.state is ThingState.CONFIRMED


@dataclass(eq=False, kw_only=True)
class Location:
    """Where a fixed Thing stood from an instant on; the history is never rewritten."""

    thing: str
    """Key of the Thing."""
    lon: float
    lat: float
    since: datetime
    place: str | None = None
    number: int | None = None

    @property
    def point(self) -> Point:
        """The position."""
        return Point(self.lon, self.lat)


@dataclass(eq=False, kw_only=True)
class Datastream:
    """One ObservedProperty of one Thing: the series that Readings belong to."""

    thing: str
    """Key of the Thing."""
    observed_property: str
    introduced_at: datetime
    channel: str = ""
    source_unit: str | None = None
    """What the source calls its unit."""
    interval_s: float | None = None
    """How often a Reading is expected; None until it is set or learned. [s]"""
    interval_learned: bool = False
    """Whether `interval_s` is what the lab observed; else somebody set it, and it stays."""
    number: int | None = None
    """Given by the store; never reused, never public."""

    @property
    def key(self) -> str:
        """The public key."""
        return datastream_key(self.thing, self.observed_property, self.channel)
