"""Format `lab`: one property a topic, a number or a small object."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from livinglab.services.decoding import decode

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def lines(payload: object, topic: str = "lab/station-7/temperature") -> list[dict[str, Any]]:
    sent = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return list(decode("lab", sent, topic=topic, now=NOW))


def test_bare_number_arrives_now():
    """The smallest Thing publishes a number and nothing else."""
    [line] = lines(18.4)

    assert {
        "thing": "lab:station-7",
        "property": "temperature",
        "time": "2026-01-01T12:00:00Z",
        "result": 18.4,
        "unit": "Cel",
        "raw": {"value": 18.4, "unit": None},
        "flag": 1,
        "point": None,
        "interval_s": None,
        "time_source": "received",
    } == line


def test_object_tells_time_unit_and_position():
    """Everything but the value may be left out."""
    [line] = lines({"v": 68, "t": 1767265200250, "u": "°F", "lat": 43.46, "lon": -3.81})

    assert "2026-01-01T11:00:00.250Z" == line["time"]
    assert pytest.approx(20.0) == line["result"]
    assert {"value": 68, "unit": "°F"} == line["raw"]
    assert [-3.81, 43.46] == line["point"]
    assert "payload" == line["time_source"]


@pytest.mark.parametrize("payload", [{"v": None}, {"v": ""}, None])
def test_null_is_missing(payload: object):
    """The Thing is alive and has no value: that is worth storing."""
    [line] = lines(payload)

    assert [None, 9] == [line["result"], line["flag"]]


@pytest.mark.parametrize(
    ("payload", "reason", "path"),
    [
        ({"v": "n/a"}, "bad_number", "v"),
        ({"v": True}, "bad_number", "v"),
        ([1, 2], "bad_number", "v"),
        ({"v": "Infinity"}, "not_finite", "v"),
        ({"v": 1, "t": "soon"}, "bad_time", "t"),
        ({"v": 1, "t": "2026-01-01T11:00:00"}, "no_timezone", "t"),
        ({"v": 1, "t": 1767355200000}, "future", "v"),
        ({"v": 1, "t": 500000000}, "bad_time", "v"),
        ({"value": 1}, "bad_shape", ""),
        (b"NaN", "bad_json", ""),
        (b"", "empty", ""),
        (b"\xff", "not_utf8", ""),
    ],
)
def test_refusals_name_reason_and_place(payload: object, reason: str, path: str):
    """Whoever mends the Thing learns what was wrong, and where."""
    [line] = lines(payload)

    assert [reason, path] == [line["reject"], line["path"]]


@pytest.mark.parametrize(
    "position", [{"lat": 91, "lon": 0}, {"lat": 43}, {"lat": "north", "lon": "west"}]
)
def test_bad_position_costs_no_reading(position: dict[str, object]):
    """The value is as good as before; only where it was measured is unknown."""
    refused, line = lines({"v": 1, **position})

    assert "bad_position" == refused["reject"]
    assert [1.0, None] == [line["result"], line["point"]]


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("", "no_identity"),
        ("lab/station-7", "no_identity"),
        ("lab//temperature", "no_identity"),
        ("lab/a\tb/temperature", "bad_identity"),
        ("lab/station-7/mood", "unknown_property"),
        ("lab/station-7/", "unknown_property"),
    ],
)
def test_topic_must_tell_thing_and_property(topic: str, reason: str):
    """A value of nobody, or of nothing, is no Reading."""
    assert [reason] == [line["reject"] for line in lines(1, topic)]


@pytest.mark.parametrize(("unit", "flag"), [("parsec", 2), ("hPa", 3), ("", 2)])
def test_unit_that_does_not_fit_is_not_repaired(unit: str, flag: int):
    """Unknown is not evaluated, contradicting is suspect; the number stays in either case."""
    [line] = lines({"v": 20, "u": unit})

    assert [20.0, flag, None] == [line["result"], line["flag"], line["unit"]]


@pytest.mark.parametrize(
    ("value", "flag"), [(20, 1), (-40, 1), (55.1, 3), (-41, 3), (267.61, 4), (-81, 4)]
)
def test_gross_range_flags_but_keeps(value: float, flag: int):
    """What the air cannot be is suspect, what no sensor can tell fails; both are kept."""
    [line] = lines(value)

    assert [value, flag] == [line["result"], line["flag"]]


def test_ids_are_safe_in_keys():
    """A key goes into paths, so odd characters of an id are encoded."""
    [line] = lines(1, "lab/Straße 7~a/temperature")

    assert "lab:Stra%C3%9Fe%207%7Ea" == line["thing"]
