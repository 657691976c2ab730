"""Documents: JSON at the door, and the numbers, times, ids and positions inside it."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.domain.geometry import Point
from livinglab.domain.readings import from_ms, to_ms
from livinglab.wire.documents import (
    DEEPEST,
    BadValue,
    document,
    identity,
    moment,
    number,
    position,
)
from livinglab.wire.sinks import Undecodable

MADRID = "Europe/Madrid"
NOON = 1_767_268_800_000
"""2026-01-01T12:00:00Z. [ms since 1970 UTC]"""


def refusal(read: Any, *given_: Any) -> str:
    with pytest.raises((BadValue, Undecodable)) as caught:
        read(*given_)
    assert isinstance(caught.value, (BadValue, Undecodable))
    return caught.value.reason


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"21,5", "bad_json"),
        (b"NaN", "bad_json"),
        (b'{"v": Infinity}', "bad_json"),
        (b"1e999", "bad_json"),
        (b'{"v": 1', "bad_json"),
        (b'"\\ud800"', "bad_json"),
        (b'"\xff"', "not_utf8"),
        (b"\xff\xfe1\x00", "not_utf8"),
        (b"[" * 5_000, "too_deep"),
        (b"[" * 900 + b"]" * 900, "too_deep"),
        (b'{"a":' * (DEEPEST + 1) + b"1" + b"}" * (DEEPEST + 1), "too_deep"),
    ],
)
def test_what_is_no_document_is_told_apart(payload: bytes, reason: str):
    """The operator learns what came instead of JSON."""
    assert reason == refusal(document, payload)


def test_depth_counts_and_breadth_does_not():
    """A wide answer of a city is fine, and so are as many levels as anything real has."""
    wide = b"[" + b",".join([b'{"a":[1]}'] * 1_000) + b"]"
    deep = b"[" * DEEPEST + b"]" * DEEPEST

    assert 1_000 == len(document(wide))  # type: ignore[arg-type]  # a list
    assert document(deep)


def test_last_of_equal_keys_counts():
    """JSON leaves it open; one rule for all formats."""
    assert {"v": 2} == document(b'{"v": 1, "v": 2}')


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (21.5, 21.5),
        (0, 0.0),
        ("21.5", 21.5),
        (" -3 ", -3.0),
        ("00009", 9.0),
        ("000.3", 0.3),
        ("1e3", 1_000.0),
        (2**70, float(2**70)),
    ],
)
def test_numbers_also_come_as_text(given_: object, expected: float):
    """Cities publish numbers as strings, padded with zeros or blanks."""
    assert expected == number(given_)


@pytest.mark.parametrize("given_", [None, "", "  "])
def test_missing_is_not_zero(given_: object):
    """A sensor that told nothing did not tell zero."""
    assert math.isnan(number(given_))


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        ("n/a", "bad_number"),
        ("21,5", "bad_number"),
        ("1_000", "bad_number"),
        ("0x10", "bad_number"),
        ("٣", "bad_number"),
        ("-59 dBm", "bad_number"),
        (True, "bad_number"),
        ([1], "bad_number"),
        ({"v": 1}, "bad_number"),
        ("NaN", "not_finite"),
        ("-inf", "not_finite"),
        ("1e999", "not_finite"),
        (10**400, "not_finite"),
        (math.inf, "not_finite"),
        (math.nan, "not_finite"),
    ],
)
def test_what_is_no_number_is_refused(given_: object, reason: str):
    """Nothing is guessed: not a decimal comma, not a boolean, not a unit behind the number."""
    assert reason == refusal(number, given_)


@pytest.mark.parametrize(
    "given_",
    [
        "2026-01-01T12:00:00Z",
        "2026-01-01t12:00:00z",
        "2026-01-01 12:00:00+00:00",
        "2026-01-01T12:00Z",
        "2026-01-01T13:00:00+01:00",
        "2026-01-01T13:00:00",
        "2026-01-01T12:00:00.000999999Z",
        1_767_268_800,
        1_767_268_800.0,
        1_767_268_800_000,
        1_767_268_800_000_000,
        1_767_268_800_000_000_000,
        "1767268800",
        "1767268800000",
        "1767268800000000000",
        " 2026-01-01T12:00:00Z ",
    ],
)
def test_one_instant_in_many_spellings(given_: object):
    """Text with or without a zone, and numbers in whatever unit their magnitude tells."""
    assert NOON == moment(given_, MADRID)


def test_digits_are_never_taken_for_a_calendar():
    """1712010500123 are milliseconds of 2024, not half past one of a day in 1712."""
    assert 1_712_010_500_123 == moment("1712010500123", None)


@pytest.mark.parametrize("given_", [None, "", " ", 0, 0.0, "0", "1970-01-01T00:00:00Z"])
def test_no_time_and_epoch_zero_tell_nothing(given_: object):
    """A clock that was never set tells as little as none."""
    assert moment(given_, None) is None


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        ("2026-01-01T12:00:00", "no_timezone"),
        ("2026-01-01", "bad_time"),
        ("2026-13-01T12:00:00Z", "bad_time"),
        ("2026-01-01T12:00:61Z", "bad_time"),
        ("01.01.2026 12:00", "bad_time"),
        ("yesterday", "bad_time"),
        ("1_767_268_800", "bad_time"),
        ("nan", "bad_time"),
        (True, "bad_time"),
        ([1], "bad_time"),
        (math.nan, "bad_time"),
        (math.inf, "bad_time"),
        (10**30, "bad_time"),
    ],
)
def test_what_is_no_instant_is_refused(given_: object, reason: str):
    """A time without a zone belongs to a clock that nobody named; a date alone is no instant."""
    assert reason == refusal(moment, given_, None)


def test_naive_time_takes_the_zone_of_its_day():
    """Noon in Madrid is ten o'clock UTC in summer, and eleven in winter."""
    assert 10 == from_ms(moment("2026-07-01T12:00:00", MADRID) or 0).hour
    assert 11 == from_ms(moment("2026-01-01T12:00:00", MADRID) or 0).hour


def test_repeated_hour_is_the_first():
    """On 25 October 2026 half past two comes twice to Madrid; the earlier is taken."""
    found = moment("2026-10-25T02:30:00", MADRID)

    assert datetime(2026, 10, 25, 0, 30, tzinfo=UTC) == from_ms(found or 0)


@given(st.integers(946_684_800_000, 4_102_444_800_000))
def test_every_unit_of_time_tells_the_same_instant(ms: int):
    """From 2000 to 2100, s, ms, µs and ns are told apart, and no millisecond is lost."""
    assert {ms} == {
        moment(ms, None),
        moment(ms * 1_000, None),
        moment(ms * 1_000_000, None),
        moment(ms / 1_000, None),
        moment(str(ms), None),
    }


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.integers(-840, 840))  # noqa: DTZ001 - Hypothesis wants naive bounds
def test_written_times_round_down_to_the_millisecond(naive: datetime, offset_min: int):
    """Whatever the offset, the instant is the same as the calendar's."""
    sign, minutes = "-" if offset_min < 0 else "+", abs(offset_min)
    written = f"{naive.isoformat()}{sign}{minutes // 60:02}:{minutes % 60:02}"

    expected = to_ms(naive.replace(tzinfo=UTC) - timedelta(minutes=offset_min))

    assert expected == moment(written, None)


@pytest.mark.parametrize(("given_", "expected"), [("419", "419"), (419, "419"), (" a ", "a")])
def test_an_id_is_text_or_a_whole_number(given_: object, expected: str):
    """Loop 1033 is the same loop, with quotes or without."""
    assert expected == identity(given_)


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        (None, "no_identity"),
        ("", "no_identity"),
        (True, "no_identity"),
        (1.5, "no_identity"),
        (["a"], "no_identity"),
        ("a\0b", "bad_identity"),
        ("a\nb", "bad_identity"),
        ("a" * 201, "bad_identity"),
    ],
)
def test_what_names_no_thing_is_refused(given_: object, reason: str):
    """An id must be something that a key, a path and a database can hold."""
    assert reason == refusal(identity, given_)


def test_position_is_whole_or_none():
    """Nothing told is no position; half a position is a wrong one."""
    assert Point(-3.81, 43.46) == position("-3.81", 43.46)
    assert position(None, "") is None
    assert ["bad_position"] * 4 == [
        refusal(position, lon, lat)
        for lon, lat in [(-3.81, None), (181, 43), (43, -91), ("west", "north")]
    ]
