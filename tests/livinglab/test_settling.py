"""Settling: which times can be true, and what a unit does to a value and its flag."""

import math

import pytest

from livinglab.domain.readings import Flag, Test
from livinglab.wire.settling import EARLIEST_MS, Refused, settle_time, settle_value

NOON = 1_767_268_800_000


def why(call: object, *given: object) -> str:
    with pytest.raises(Refused) as caught:
        call(*given)  # type: ignore[operator]  # one of the two above
    return caught.value.reason


def test_two_minutes_ahead_are_forgiven():
    """Clocks differ; one that is further ahead would make the present look old."""
    assert NOON + 120_000 == settle_time(NOON + 120_000, NOON)
    assert "future" == why(settle_time, NOON + 120_001, NOON)
    assert "future" == why(settle_time, 2**62, NOON)


def test_nothing_was_measured_before_2000():
    """A clock that starts at 1970 or 1980 was never set."""
    assert EARLIEST_MS == settle_time(EARLIEST_MS, NOON)
    assert "bad_time" == why(settle_time, EARLIEST_MS - 1, NOON)
    assert "bad_time" == why(settle_time, -(2**62), NOON)


def test_conversion_keeps_the_sources_number():
    """What the source said stands beside the result wherever the two differ."""
    settled = settle_value(68.0, "°F", "temperature")

    assert pytest.approx(20.0) == settled.result
    assert [68.0, Flag.NOT_EVALUATED, 0] == [settled.raw, settled.flag, settled.tests]


def test_own_unit_needs_no_second_number():
    """Without conversion the result is what the source said."""
    assert math.isnan(settle_value(20.0, "Cel", "temperature").raw)
    assert math.isnan(settle_value(20.0, None, "temperature").raw)


def test_unknown_unit_is_not_evaluated_and_a_contradiction_suspect():
    """Nobody knows what was measured; or somebody is wrong about it."""
    unknown = settle_value(20.0, "", "temperature")
    contradiction = settle_value(20.0, "hPa", "temperature")

    assert (20.0, Flag.NOT_EVALUATED, Test.UNIT_UNKNOWN) == (unknown[0], *unknown[2:])
    assert (20.0, Flag.SUSPECT, Test.UNIT_UNKNOWN) == (contradiction[0], *contradiction[2:])


def test_missing_stays_missing_in_any_unit():
    """No conversion makes a number of nothing."""
    settled = settle_value(math.nan, "K", "temperature")

    assert math.isnan(settled.result)
    assert Flag.MISSING == settled.flag


def test_doubt_of_the_source_is_a_test():
    """A source that doubts its value is believed in that."""
    settled = settle_value(20.0, None, "temperature", doubted=True)

    assert (Flag.SUSPECT, Test.SOURCE) == settled[2:]


def test_infinity_and_unknown_properties_are_refused():
    """Also an infinity that only conversion makes."""
    assert "not_finite" == why(settle_value, math.inf, None, "temperature")
    assert "not_finite" == why(settle_value, 1e308, "mg/m3", "no2")
    assert "unknown_property" == why(settle_value, 1.0, "Cel", "mood")
