"""Points on the earth: distance, containment, and what is near.

Coordinates are WGS84 degrees in the order longitude, latitude. Good to city scale; the earth is
a sphere here, which errs by less than 0.6 % of a distance.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the WGS84 ellipsoid. [m]"""

METRES_PER_DEGREE = EARTH_RADIUS_M * math.pi / 180


class Point(NamedTuple):
    """A position. [degrees, WGS84]"""

    lon: float
    lat: float


Ring = tuple[Point, ...]
"""The corners of a simple polygon in order; the last may repeat the first."""


class Box(NamedTuple):
    """A rectangle that does not cross the date line. [degrees, WGS84]"""

    west: float
    south: float
    east: float
    north: float

    def holds(self, point: Point) -> bool:
        """Tell whether a Point lies inside or on the edge."""
        return self.west <= point.lon <= self.east and self.south <= point.lat <= self.north


def is_point(lon: float, lat: float) -> bool:
    """Tell whether two numbers are a position on earth; NaN and infinity are not."""
    return abs(lon) <= 180.0 and abs(lat) <= 90.0  # noqa: PLR2004 - the size of the earth


def distance_m(one: Point, other: Point) -> float:
    """Measure the great-circle distance between two Points. [m]

    The haversine formula; it stays exact for short distances.

    References:
        R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68 (2), 159, 1984.
    """
    lat1, lat2 = math.radians(one.lat), math.radians(other.lat)
    dlat, dlon = lat2 - lat1, math.radians(other.lon - one.lon)
    h = math.sin(dlat / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin(dlon / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, h)))


def box_around(point: Point, metres: float) -> Box:
    """Return a rectangle that holds everything within a distance, cut at the date line."""
    dlat = metres / METRES_PER_DEGREE
    narrow = max(math.cos(math.radians(min(90.0, abs(point.lat) + dlat))), 1e-6)
    dlon = dlat / narrow
    return Box(
        max(-180.0, point.lon - dlon),
        max(-90.0, point.lat - dlat),
        min(180.0, point.lon + dlon),
        min(90.0, point.lat + dlat),
    )


def contains(ring: Ring, point: Point) -> bool:
    """Tell whether a Point lies inside a Ring, by the even-odd rule."""
    inside = False
    x, y = point
    x1, y1 = ring[-1]
    for x2, y2 in ring:
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
        x1, y1 = x2, y2
    return inside


def area_deg2(ring: Ring) -> float:
    """Measure a Ring in square degrees: good for comparing areas that contain one Point."""
    twice = sum(a.lon * b.lat - b.lon * a.lat for a, b in pairwise([*ring, ring[0]]))
    return abs(twice) / 2


def grid_centre(point: Point, size_m: float) -> Point:
    """Return the centre of the fixed grid cell of about *size_m* that holds a Point.

    The grid depends on nothing but its size, so the same Point always gives the same centre:
    repeated publication reveals no more than one.
    """
    step_lat = size_m / METRES_PER_DEGREE
    row = math.floor(point.lat / step_lat)
    middle = (row + 0.5) * step_lat
    step_lon = step_lat / max(0.01, math.cos(math.radians(middle)))
    column = math.floor(point.lon / step_lon)
    return Point(round((column + 0.5) * step_lon, 6), round(middle, 6))


class Nearby:
    """Named Points that can be asked what is near, in time that does not grow with their number."""

    def __init__(self, points: Iterable[tuple[str, Point]] = ()) -> None:
        """Index some (key, Point) pairs."""
        self._points: dict[str, Point] = {}
        self._cells: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
        for key, point in points:
            self.put(key, point)

    _CELL_DEG = 0.005  # about 550 m: one ring of cells covers the usual radius

    def _cell(self, point: Point) -> tuple[int, int]:
        return math.floor(point.lon / self._CELL_DEG), math.floor(point.lat / self._CELL_DEG)

    def put(self, key: str, point: Point) -> None:
        """Add a key, or move it."""
        if key in self._points:
            self._cells[self._cell(self._points[key])].discard(key)
        self._points[key] = point
        self._cells[self._cell(point)].add(key)

    def within(self, point: Point, radius_m: float) -> list[tuple[float, str]]:
        """List (distance [m], key) of what lies within a radius, nearest first."""
        found = [(distance_m(point, self._points[key]), key) for key in self._near(point, radius_m)]
        return sorted(pair for pair in found if pair[0] <= radius_m)

    def _near(self, point: Point, radius_m: float) -> Iterator[str]:
        reach_lat = radius_m / METRES_PER_DEGREE
        reach_lon = reach_lat / max(0.01, math.cos(math.radians(point.lat)))
        west, south = self._cell(Point(point.lon - reach_lon, point.lat - reach_lat))
        east, north = self._cell(Point(point.lon + reach_lon, point.lat + reach_lat))
        if (east - west + 1) * (north - south + 1) > len(self._cells):
            yield from self._points
            return
        for x in range(west, east + 1):
            for y in range(south, north + 1):
                yield from self._cells.get((x, y), ())
