"""The join: which Place a point belongs to, worked by hand."""

import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.domain.geometry import (
    METRES_PER_DEGREE,
    Nearby,
    Point,
    area_deg2,
    box_around,
    contains,
    distance_m,
    grid_centre,
)
from livinglab.domain.places import JoinMethod, Place, PlaceIndex, Zone, ZoneKind, zone_of

SQUARE = (Point(0, 0), Point(1, 0), Point(1, 1), Point(0, 1))
lons, lats = st.floats(-179, 179), st.floats(-80, 80)


def north_of(point: Point, metres: float) -> Point:
    """Return the Point so far north of another."""
    return Point(point.lon, point.lat + metres / METRES_PER_DEGREE)


def place(key: str, metres: float, radius_m: float = 50.0) -> Place:
    """A Place so far north of the origin."""
    spot = north_of(Point(0, 0), metres)
    return Place(key=key, name=key, lon=spot.lon, lat=spot.lat, radius_m=radius_m)


def zone(key: str, size: float) -> Zone:
    """A square Zone with a corner at the origin."""
    ring = tuple(Point(corner.lon * size, corner.lat * size) for corner in SQUARE)
    return Zone(
        key=key,
        kind=ZoneKind.DISTRICT,
        name=key,
        residents=10,
        counted=date(2025, 1, 1),
        ring=ring,
    )


def test_a_degree_of_latitude():
    """With a radius of 6371.0088 km it is 111.195 km."""
    assert pytest.approx(111_195.08, abs=0.01) == distance_m(Point(7, 0), Point(7, 1))


def test_a_degree_of_longitude_shrinks_with_the_cosine():
    """At 60 degrees north it is half as long as at the equator."""
    assert pytest.approx(55_597.5, rel=1e-4) == distance_m(Point(0, 60), Point(1, 60))


def test_a_ring_may_repeat_its_first_corner():
    """Closed or not, it holds the same and is as large."""
    closed = (*SQUARE, SQUARE[0])

    assert [True, True] == [contains(ring, Point(0.5, 0.5)) for ring in (SQUARE, closed)]
    assert [False, False] == [contains(ring, Point(1.5, 0.5)) for ring in (SQUARE, closed)]
    assert [1.0, 1.0] == [area_deg2(ring) for ring in (SQUARE, closed)]


def test_the_smallest_zone_counts():
    """A campus within a district is the campus."""
    zones = [zone("district", 1.0), zone("campus", 0.2)]
    found = [zone_of(Point(at, at), zones) for at in (0.1, 0.5, 2.0)]

    assert ["campus", "district", None] == [one and one.key for one in found]


@pytest.mark.parametrize(
    ("metres", "accuracy_m", "confidence"),
    [
        (0, 0, 1.0),
        (50, 0, 1.0),
        (100, 0, 0.75),
        (149.9, 0, 0.5),
        (151, 0, None),
        (151, 10, 0.541),
    ],
)
def test_confidence_falls_beyond_the_edge(metres, accuracy_m, confidence):
    """Sure within 50 m, half sure 100 m beyond; an uncertain position reaches further."""
    index = PlaceIndex([place("one", 0)])
    found = index.join(
        north_of(Point(0, 0), metres), method=JoinMethod.GPS, reach_m=100, accuracy_m=accuracy_m
    )

    assert (found and pytest.approx(confidence, abs=0.002)) == (found and found.confidence)
    assert (found is None) == (confidence is None)


def test_two_places_share_the_confidence():
    """Half way between two it is either: half of the 0.75 that one alone would have."""
    index = PlaceIndex([place("one", 0), place("two", 200)])
    found = index.join(north_of(Point(0, 0), 100), method=JoinMethod.GPS, reach_m=100)

    assert found is not None
    assert pytest.approx(0.375, abs=0.002) == found.confidence


def test_a_thing_stands_at_the_nearest_place_whose_radius_holds_it():
    """A wide Place holds what a small one nearby does not."""
    index = PlaceIndex([place("small", 100, radius_m=10), place("wide", 0, radius_m=200)])
    found = [index.holding(north_of(Point(0, 0), metres)) for metres in (95, 80, 300)]

    assert ["small", "wide", None] == [one and one.key for one in found]


@given(lons, lats, st.floats(50, 1_000))
def test_a_grid_cell_is_about_as_large_as_it_says(lon, lat, size):
    """Its centre is never farther than half a diagonal."""
    point = Point(lon, lat)

    assert distance_m(point, grid_centre(point, size)) <= size * 0.75


@given(lons, lats, st.floats(50, 1_000))
def test_publishing_again_reveals_no_more(lon, lat, size):
    """The centre of a cell lies in that cell."""
    centre = grid_centre(Point(lon, lat), size)
    again = grid_centre(centre, size)

    assert pytest.approx(0, abs=0.5) == distance_m(centre, again)


@given(st.lists(st.tuples(st.floats(-0.02, 0.02), st.floats(-0.02, 0.02)), max_size=20), lats)
def test_the_index_finds_what_a_plain_search_finds(spots, lat):
    """Cells are a short cut, not another answer."""
    points = {str(n): Point(10 + x, lat + y) for n, (x, y) in enumerate(spots)}
    here = Point(10, lat)
    plain = sorted(
        (metres, key) for key, point in points.items() if (metres := distance_m(here, point)) <= 800
    )

    assert plain == Nearby(points.items()).within(here, 800)


@pytest.mark.parametrize("lat", [0.0, 45.0, -62.5, 89.5])
def test_a_box_holds_everything_within_its_distance(lat):
    """Due north, east and in between; near the pole, too."""
    here = Point(6.0, lat)
    box = box_around(here, 1_000)
    east = 1_000 / METRES_PER_DEGREE / math.cos(math.radians(lat))
    for dlon, dlat in ((east, 0), (-east, 0), (0, 1_000 / METRES_PER_DEGREE)):
        there = Point(here.lon + 0.99 * dlon, here.lat + 0.99 * dlat)
        assert distance_m(here, there) <= 1_000
        assert box.holds(there)
