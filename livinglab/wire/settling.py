"""Settling: the rules that every sink shares about the time and the unit of a Reading."""

import math
from typing import NamedTuple

from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.readings import Flag, Test
from livinglab.domain.units import Conversion, convert

EARLIEST_MS = 946_684_800_000
"""2000-01-01: no sensor of a city told an earlier time in earnest. [ms since 1970 UTC]"""
FUTURE_TOLERANCE_MS = 120_000
"""How far ahead of ours a Thing's clock may be. [ms]"""


class Settled(NamedTuple):
    """A result in its property's unit, and what is thought of it at the door."""

    result: float
    raw: float
    """The source's own number where conversion changed it, else NaN."""
    flag: int
    tests: int


def settle_unit(value: float, unit: str, observed_property: str) -> Settled:
    """Bring a value to its property's unit; what contradicts is flagged, never repaired.

    A unit that nobody knows leaves the number as it is, not evaluated; a unit of another quantity
    leaves it too, and makes it suspect.
    """
    known = OBSERVED_PROPERTIES.get(observed_property)
    if known is None or math.isnan(value):
        return Settled(value, math.nan, Flag.NOT_EVALUATED, 0)
    outcome, result = convert(value, unit, known)
    if outcome is Conversion.SAME:
        return Settled(value, math.nan, Flag.NOT_EVALUATED, 0)
    if outcome is Conversion.CONVERTED:
        return Settled(result, value, Flag.NOT_EVALUATED, 0)
    flag = Flag.SUSPECT if outcome is Conversion.CONTRADICTION else Flag.NOT_EVALUATED
    return Settled(value, math.nan, flag, Test.UNIT_UNKNOWN)
