"""Settling: what every sink does with the time, the value and the unit that a decoder found.

These are the rules in words; the column sink of `services.recording` spells the usual case out,
because it does this a hundred thousand times a second.
"""

import math
from typing import NamedTuple

from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.readings import Flag, Test, from_ms
from livinglab.domain.units import Conversion, convert

EARLIEST_MS = 946_684_800_000
"""2000-01-01: no sensor of a city told an earlier time in earnest. [ms since 1970 UTC]"""
FUTURE_TOLERANCE_MS = 120_000
"""How far ahead of ours a Thing's clock may be. [ms]"""


class Refused(Exception):  # noqa: N818 - an outcome of one Reading, not a fault of the lab
    """A Reading cannot be kept as it is."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Settled(NamedTuple):
    """A result in its property's unit, and what is thought of it at the door."""

    result: float
    raw: float
    """The source's own number where conversion changed it, else NaN."""
    flag: int
    tests: int


def settle_time(time: int, received_ms: int) -> int:
    """Return a time that can be true. [ms since 1970 UTC]

    Raises:
        Refused: It lies more than two minutes ahead of the arrival, or before the year 2000.
    """
    if time > received_ms + FUTURE_TOLERANCE_MS:
        raise Refused("future", f"{time_text(time)} lies in the future")
    if time < EARLIEST_MS:
        raise Refused("bad_time", f"{time_text(time)} lies before the year 2000")
    return time


def time_text(ms: int) -> str:
    """Write an instant for a person, also one that no calendar reaches."""
    try:
        return f"{from_ms(ms):%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        return f"{ms} ms"


def settle_value(
    value: float, unit: str | None, observed_property: str, *, doubted: bool = False
) -> Settled:
    """Bring a value to its property's unit, and flag what can be told without its history.

    Raises:
        Refused: It is infinite, or there is no such property.
    """
    settled = Settled(value, math.nan, Flag.NOT_EVALUATED, 0)
    if math.isnan(value):
        settled = Settled(value, math.nan, Flag.MISSING, 0)
    elif unit is not None:
        settled = settle_unit(value, unit, observed_property)
    if math.isinf(settled.result):
        raise Refused("not_finite", "the result is infinite")
    if observed_property not in OBSERVED_PROPERTIES:
        raise Refused("unknown_property", f"{observed_property[:80]!r} is no property")
    if doubted:
        flag, tests = max(settled.flag, Flag.SUSPECT), settled.tests | Test.SOURCE
        settled = settled._replace(flag=flag, tests=tests)
    return settled


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
