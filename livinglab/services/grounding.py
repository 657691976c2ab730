"""Grounding: where on the city's ground a posting belongs, be it told by a point or by name."""

from collections.abc import Sequence

from livinglab.domain.geometry import Point, distance_m
from livinglab.domain.observations import Category
from livinglab.domain.places import (
    WHOLE_ZONE,
    Join,
    JoinMethod,
    Place,
    PlaceIndex,
    PlaceOrigin,
    Zone,
    zone_of,
)
from livinglab.domain.privacy import Precision, PrivacyRule, public_point
from livinglab.errors import InvalidError
from livinglab.ports import UnitOfWork
from livinglab.services.joining import public_places, visible

LEAST_CONFIDENCE = 0.35
"""Below this a posting gets a Place of its own instead of a doubtful one."""


class Ground:
    """The Zones of one unit of work, and the Places around what is to be placed in it."""

    def __init__(self, work: UnitOfWork, spots: Sequence[tuple[Point, float]] = ()) -> None:
        """Load the Zones, and what is around.

        Args:
            work: The transaction.
            spots: Points that will be joined, each with the reach of its theme. [m]
        """
        self._work = work
        self._zones = work.zones.all()
        near = visible(work.places.around(spots), work) if spots else []
        self._index = PlaceIndex(one for one in near if not stands_for_zone(one))

    def join(
        self,
        category: Category,
        *,
        point: Point | None,
        place: str | None,
        accuracy_m: float,
        method: JoinMethod | None = None,
    ) -> Join:
        """Find the Place: the one that was named, the one in reach, or a new one.

        Args:
            category: Its privacy decides how precisely anything is placed.
            point: Where it is said to be.
            place: Key of the Place that was named.
            accuracy_m: Uncertainty of the point. [m]
            method: How it was said where; None: by a pin, or by choosing a Place.

        Raises:
            InvalidError: There is no such Place, neither point nor Place was told, or a theme that
                is placed by Zone lies outside all of them.
        """
        if place is not None:
            return self._named(category, point, place, method or JoinMethod.CHOSEN)
        if point is None:
            raise InvalidError(
                "point", "give a point [lon, lat], the key of a place, or an address"
            )
        if _by_zone(category.privacy):
            return self._zone_place(zone_of(point, self._zones))
        joined = self._index.join(
            point, method=method or JoinMethod.PIN, reach_m=category.reach_m, accuracy_m=accuracy_m
        )
        if joined is not None and joined.confidence >= LEAST_CONFIDENCE:
            return joined
        return self._new_place(point, category, method or JoinMethod.PIN)

    def _named(self, category: Category, point: Point | None, key: str, method: JoinMethod) -> Join:
        named = self._place(key)
        if named is None and key.startswith(WHOLE_ZONE):
            zone = next((one for one in self._zones if WHOLE_ZONE + one.key == key), None)
            if zone is not None:
                return self._zone_place(zone)
        if named is None:
            raise InvalidError("place", f"there is no Place {key!r}; see GET /places")
        if _by_zone(category.privacy):
            return self._zone_place(zone_of(point or named.point, self._zones))
        metres = distance_m(point, named.point) if point else 0.0
        return Join(place=key, method=method, distance_m=round(metres, 1), confidence=1.0)

    def _new_place(self, point: Point, category: Category, method: JoinMethod) -> Join:
        """Make a Place where nobody named one: no more precise than the theme allows."""
        zone = zone_of(point, self._zones)
        shown = public_point(point, category.privacy) or point
        key = f"o:{shown.lon:.5f}:{shown.lat:.5f}"
        if self._work.places.get(key) is None:
            exact = category.privacy.precision is Precision.EXACT
            self._add(
                Place(
                    key=key,
                    name=f"{zone.name if zone else 'Outskirts'}, {shown.lat:.4f} {shown.lon:.4f}",
                    lon=shown.lon,
                    lat=shown.lat,
                    radius_m=50.0 if exact else category.privacy.cell_m / 2,
                    zone=zone.key if zone else None,
                    origin=PlaceOrigin.OBSERVATION,
                )
            )
        return Join(place=key, method=method, distance_m=0.0, confidence=1.0)

    def _zone_place(self, zone: Zone | None) -> Join:
        """Attach to a Zone as a whole, for themes that may not be placed more precisely.

        The Places of all Zones are made together, so that the first of them tells of nobody.
        """
        if zone is None:
            raise InvalidError("point", "lies outside the zones of the city; this theme needs one")
        for each in self._zones:
            if self._work.places.get(WHOLE_ZONE + each.key) is None:
                self._add(whole(each))
        return Join(
            place=WHOLE_ZONE + zone.key,
            method=JoinMethod.ZONE_CENTROID,
            distance_m=0.0,
            confidence=1.0,
        )

    def _place(self, key: str) -> Place | None:
        named = self._work.places.get(key)
        return named if named is not None and visible([named], self._work) else None

    def _add(self, place: Place) -> None:
        self._work.places.add(place)
        if not stands_for_zone(place):
            self._index.put(place)


class LoadedGround(Ground):
    """The same with all Places at hand, for thousands of postings in several units of work."""

    def __init__(self, work: UnitOfWork) -> None:
        """Load all Places."""
        super().__init__(work)
        self._places = {one.key: one for one in public_places(work)}
        self._index = PlaceIndex(one for one in self._places.values() if not stands_for_zone(one))

    def continue_in(self, work: UnitOfWork) -> None:
        """Go on in the next unit of work, after the one before was kept."""
        self._work = work

    def _place(self, key: str) -> Place | None:
        return self._places.get(key)

    def _add(self, place: Place) -> None:
        super()._add(place)
        self._places[place.key] = place


def _by_zone(rule: PrivacyRule) -> bool:
    """Tell whether the theme may not be placed more precisely than a Zone."""
    return rule.personal or rule.precision is Precision.ZONE


def stands_for_zone(place: Place) -> bool:
    """Tell whether a Place is a whole Zone: its point is a label's, and nothing is near it."""
    return place.origin is PlaceOrigin.OBSERVATION and place.key.startswith(WHOLE_ZONE)


def whole(zone: Zone) -> Place:
    """Return the Place that stands for all of a Zone."""
    lons, lats = zip(*zone.ring, strict=True)
    return Place(
        key=WHOLE_ZONE + zone.key,
        name=zone.name,
        lon=sum(lons) / len(lons),
        lat=sum(lats) / len(lats),
        radius_m=0.0,
        zone=zone.key,
        origin=PlaceOrigin.OBSERVATION,
    )
