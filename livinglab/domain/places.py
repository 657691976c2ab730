"""Places and Zones, and the join: which Place a Thing or an Observation belongs to.

The join is computed here, on the standard library, so that every database agrees about it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum

from livinglab.domain.geometry import Box, Nearby, Point, Ring, area_deg2, contains

WHOLE_ZONE = "zone:"
"""Before the key of a Zone: the Place that stands for all of it."""
THING_RADIUS_M = 50.0
"""Default radius of a Place. [m]"""


class ZoneKind(Enum):
    """What sort of area people live in."""

    DISTRICT = "district"
    SUBURB = "suburb"
    PERI_URBAN_TOWN = "peri_urban_town"
    VILLAGE = "village"
    CAMPUS = "campus"


class PlaceOrigin(Enum):
    """Why a Place exists."""

    CITY = "city"
    """The city named it."""
    THING = "thing"
    """Made at the spot of the first fixed Thing that stood there."""
    OBSERVATION = "observation"
    """Made where a citizen reported something far from any other Place."""


class JoinMethod(Enum):
    """How something was attached to a Place."""

    GPS = "gps"
    PIN = "pin"
    ADDRESS = "address"
    ASSET_QR = "asset_qr"
    ZONE_CENTROID = "zone_centroid"
    CHOSEN = "chosen"
    """The citizen named the Place itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """The one city that a lab serves; its key stands in every export."""

    key: str
    name: str
    timezone: str
    box: Box | None = None
    languages: tuple[str, ...] = ("en",)
    retention_months: int | None = None
    """For how many whole months Readings are kept; None: for ever."""

    def keeps_since(self, now: datetime) -> datetime | None:
        """Return the first instant of which Readings are kept, in UTC; None: of all."""
        if self.retention_months is None:
            return None
        months = now.year * 12 + now.month - 1 - self.retention_months
        return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


@dataclass(eq=False, kw_only=True)
class Zone:
    """An administrative area and the people counted in it."""

    key: str
    kind: ZoneKind
    name: str
    residents: int
    counted: date
    ring: Ring
    number: int | None = None

    def __post_init__(self) -> None:
        """Refuse an area that no rate can be computed for."""
        if self.residents < 1:
            raise ValueError(f"zone {self.key} has {self.residents} residents: no rate exists")
        if len(self.ring) < 3:  # noqa: PLR2004 - a triangle is the smallest area
            raise ValueError(f"zone {self.key} has {len(self.ring)} corners: no area")

    def __contains__(self, point: object) -> bool:
        """Tell whether a Point lies inside."""
        return isinstance(point, Point) and contains(self.ring, point)


@dataclass(eq=False, kw_only=True)
class Place:
    """Where things meet: Things stand here, Observations are attached here."""

    key: str
    name: str
    lon: float
    lat: float
    radius_m: float = THING_RADIUS_M
    zone: str | None = None
    """Key of the smallest Zone that holds it; None outside all Zones."""
    origin: PlaceOrigin = PlaceOrigin.CITY
    number: int | None = None

    @property
    def point(self) -> Point:
        """The middle."""
        return Point(self.lon, self.lat)


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """The Place something was attached to, how, and how sure that is."""

    place: str
    method: JoinMethod
    distance_m: float
    confidence: float
    """0 to 1: how much of the uncertainty lies within reach of this Place rather than another."""


def zone_of(point: Point, zones: Iterable[Zone]) -> Zone | None:
    """Return the smallest Zone that holds a Point."""
    return min(
        (zone for zone in zones if point in zone),
        key=lambda zone: area_deg2(zone.ring),
        default=None,
    )


class PlaceIndex:
    """All Places of the city, ready to be joined."""

    def __init__(self, places: Iterable[Place] = ()) -> None:
        """Index some Places."""
        self._places: dict[str, Place] = {}
        self._near = Nearby()
        self._widest_m = THING_RADIUS_M
        for place in places:
            self.put(place)

    def __len__(self) -> int:
        """Count the Places."""
        return len(self._places)

    def put(self, place: Place) -> None:
        """Add a Place, or replace the one of the same key."""
        self._places[place.key] = place
        self._near.put(place.key, place.point)
        self._widest_m = max(self._widest_m, place.radius_m)

    def get(self, key: str) -> Place | None:
        """Return the Place of a key."""
        return self._places.get(key)

    def holding(self, point: Point) -> Place | None:
        """Return the nearest Place whose radius holds a Point: where a Thing stands."""
        for metres, key in self._near.within(point, self._widest_m):
            if metres <= self._places[key].radius_m:
                return self._places[key]
        return None

    def join(
        self, point: Point, *, method: JoinMethod, reach_m: float, accuracy_m: float = 0.0
    ) -> Join | None:
        """Attach a Point to the nearest Place in reach, or to none.

        Args:
            point: What the citizen pointed at.
            method: How they pointed.
            reach_m: How far from a Place such a thing may be and still belong to it. [m]
            accuracy_m: Uncertainty of the position; it widens the reach. [m]

        Returns:
            The join. Its confidence falls from 1 at a Place's edge to 0.5 at the end of the reach,
            and is shared with a second Place by the ratio of their distances.
        """
        reach = reach_m + accuracy_m
        found = self._near.within(point, reach + self._widest_m)
        beyond = sorted(
            (max(0.0, metres - self._places[key].radius_m), metres, key) for metres, key in found
        )
        beyond = [one for one in beyond if one[0] <= reach]
        if not beyond:
            return None
        edge, metres, key = beyond[0]
        confidence = 1.0 - 0.5 * (edge / reach if reach else 0.0)
        if len(beyond) > 1 and not (edge == 0.0 < beyond[1][0]):
            second = beyond[1][0]
            confidence *= (second + 1.0) / (edge + second + 2.0)
        return Join(
            place=key, method=method, distance_m=round(metres, 1), confidence=round(confidence, 3)
        )
