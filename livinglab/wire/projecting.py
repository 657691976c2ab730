"""Projecting: positions of a city's own grid as longitude and latitude."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from livinglab.domain.geometry import Box, Point, is_point
from livinglab.errors import UnreadableInputError

WGS84 = "EPSG:4326"
MARGIN = 0.5
"""Around the area that a system is meant for. [degrees]"""


def to_points(positions: Sequence[tuple[float, float]], crs: str) -> list[Point | None]:
    """Turn positions of a coordinate system into Points; None where one lies nowhere in it.

    Args:
        positions: East and north, or longitude and latitude.
        crs: As PROJ names it, such as ``EPSG:2056``.

    Raises:
        UnreadableInputError: There is no such system.
    """
    if not positions:
        return []
    if crs == WGS84:
        return [Point(x, y) if is_point(x, y) else None for x, y in positions]
    transform, inside = _system(crs)
    xs, ys = transform(*zip(*positions, strict=True))
    found = [Point(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
    return [one if inside.holds(one) else None for one in found]


@lru_cache(maxsize=8)
def _system(crs: str) -> tuple[Callable[..., Any], Box]:
    """Return how positions are turned, and where the system is meant for, with some margin.

    Beyond, its formulas go on and mean nothing: columns that were taken for each other land there.
    """
    import pyproj  # noqa: PLC0415 - slow to import, and only for what is not WGS84

    try:
        transform = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
        area = pyproj.CRS.from_user_input(crs).area_of_use
    except pyproj.exceptions.CRSError as error:
        raise UnreadableInputError("crs", f"{crs!r} is no coordinate system") from error
    inside = Box(*area.bounds) if area else Box(-180, -90, 180, 90)
    grown = Box(
        inside.west - MARGIN, inside.south - MARGIN, inside.east + MARGIN, inside.north + MARGIN
    )
    return transform.transform, grown
