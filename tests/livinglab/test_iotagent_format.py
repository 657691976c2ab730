"""Format `iotagent-json`: words that somebody chose, and numbers with their units glued on."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.domain.geometry import Point
from livinglab.wire.iotagent import check, decode, is_iotagent_json
from livinglab.wire.routes import Route
from livinglab.wire.topics import Router
from tests.livinglab.hearing import Heard, refusal, survives

ROUTE = Route(
    name="json",
    filter="/json/{key}/{thing}/attrs",
    format="iotagent-json",
    scheme="iotagent-json",
)
TOPIC = {"key": "k1", "thing": "bench-7"}
NOON = "2026-01-31T12:00:00Z"


def hear(told: object, fields: dict[str, str] = TOPIC) -> Heard:
    heard = Heard()
    decode(told if isinstance(told, bytes) else orjson.dumps(told), fields, ROUTE, heard)
    return heard


def test_numbers_are_text_and_may_carry_their_unit():
    """A number that is followed by a unit is a value and a unit."""
    heard = hear({"h": "45%", "t": "23", "pressure": "1.013 bar", "co2": 410})

    assert [
        ("relative_humidity", 45.0, "%", "45%"),
        ("temperature", 23.0, "", "23"),
        ("pressure", 1.013, "bar", "1.013 bar"),
        ("co2", 410.0, "", 410),
    ] == heard.all("property", "value", "unit", "source")
    assert ([], []) == (heard.rejects, heard.ignored)


@pytest.mark.parametrize(
    "text", ["12 apples", "0x10", "12:30", "2026-01-31", "1,5 C", "% 45", "on"]
)
def test_number_with_anything_else_is_no_number(text: str):
    """Only a unit that somebody knows is one."""
    assert [("bad_number", "t")] == hear({"t": text}).rejects


def test_groups_have_times_of_their_own():
    """An array is several groups of measures of the one Thing."""
    heard = hear([{"t": 1, "TimeInstant": NOON}, {"t": 2}, 5])

    assert [("bench-7", 1_769_860_800_000), ("bench-7", None)] == heard.all("thing", "time")
    assert ["[0].t", "[1].t"] == heard.all("path")
    assert [("bad_shape", "[2]")] == heard.rejects


def test_bad_time_costs_its_own_group():
    """As many Readings as it would have dated."""
    heard = hear([{"t": 1, "h": 2, "TimeInstant": "yesterday"}, {"t": 3}])

    assert ([("bad_time", "[0].TimeInstant")], 2) == (heard.rejects, heard.lost)
    assert [3.0] == heard.all("value")


def test_topics_leading_slash_is_an_empty_level():
    """As MQTT has it; the device stands on the level that the route names."""
    router = Router([replace(ROUTE, format="auto")])

    found = router.route(b"/json/k1/bench-7/attrs")

    assert found is not None
    assert ["bench-7"] == hear({"t": 1}, dict(found[1])).all("thing")
    assert router.route(b"json/k1/bench-7/attrs") is None


@pytest.mark.parametrize(
    ("payload", "value", "unit"),
    [(b"23", 23.0, ""), (b'"23.5 C"', 23.5, "C"), (b"45%", 45.0, "%")],
)
def test_topic_with_a_property_carries_its_value_alone(payload: bytes, value: float, unit: str):
    """As JSON or as plain text."""
    heard = hear(payload, {**TOPIC, "property": "t"})

    assert [("temperature", value, unit, "t")] == heard.all("property", "value", "unit", "path")


@pytest.mark.parametrize(
    "place",
    [
        {"type": "Point", "coordinates": [-3.8, 43.4]},
        "43.4,-3.8",
        "43.4/-3.8",
    ],
)
def test_position_counts_for_its_group(place: object):
    """GeoJSON begins with the longitude, text with the latitude."""
    heard = hear({"location": place, "t": 1})

    assert [Point(-3.8, 43.4)] == heard.all("point")
    assert ([], []) == (heard.rejects, heard.ignored)


def test_bad_position_costs_no_reading():
    """A place that has only a name is none."""
    heard = hear({"gps": {"type": "Point", "coordinates": [0, 95]}, "t": 1})

    assert ([("bad_position", "gps")], 0, [None]) == (heard.rejects, heard.lost, heard.all("point"))
    assert [("no_measurement", "location")] == hear({"location": "Old Town", "t": 1}).ignored


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, "bad_number"),
        ([1], "bad_number"),
        ("Infinity", "not_finite"),
        ("NaN", "not_finite"),
    ],
)
def test_one_bad_value_costs_no_sibling(value: object, reason: str):
    """The others of the group are as good as before."""
    heard = hear({"t": value, "h": 40})

    assert [(reason, "t")] == heard.rejects
    assert ["relative_humidity"] == heard.all("property")


def test_null_is_missing_and_absent_is_nothing():
    """Null says that there was a sensor and no value."""
    [reading] = hear({"t": None}).readings

    assert reading["value"] != reading["value"]


def test_unknown_numbers_are_refused_and_other_things_passed_over():
    """An object under a word is nobody's measurement."""
    heard = hear({"l": "1570", "x": {"a": 2}, "state": "up", "door": False})

    assert [("unknown_property", "l")] == heard.rejects
    assert [("no_measurement", word) for word in ("x", "state", "door")] == heard.ignored


def test_without_the_topic_it_is_nobodys():
    """The payload never names its Thing."""
    assert "no_identity" == refusal(lambda: hear({"t": 1}, {"key": "k"}))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"5", "bad_shape"),
        (b"", "empty"),
        (b"{", "bad_json"),
        (b'{"t": NaN}', "bad_json"),
        (b"\xff", "not_utf8"),
    ],
)
def test_another_shape_is_refused_as_a_whole(payload: bytes, reason: str):
    """What is no object is no group."""
    assert reason == refusal(lambda: hear(payload))


def test_only_its_time_tells_it_from_other_documents():
    """An entity of NGSI has it too, and an id."""
    assert is_iotagent_json([{"t": 1, "TimeInstant": NOON}], {})
    for told in ({"t": 1}, [], 5, {"id": "x", "TimeInstant": NOON}, [5]):
        assert not is_iotagent_json(told, {})


def test_route_must_name_things():
    """A slip in the city file is found before the first message."""
    check(ROUTE)
    with pytest.raises(ValueError, match="thing"):
        check(Route(name="r", filter="json/#", format="iotagent-json", scheme="s"))


WORDS = st.sampled_from(["t", "h", "gps", "location", "TimeInstant", "pm2_5"]) | st.text(max_size=4)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text("1.5e/,% NaIf-", max_size=9)
    | st.sampled_from([NOON, "1e999", "45%"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "coordinates"]), inner)
        | st.fixed_dictionaries({"type": st.just("Point"), "coordinates": inner})
    ),
    max_leaves=4,
)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(payload: bytes):
    """Nothing but a refusal comes out."""
    survives(decode, payload, TOPIC, ROUTE)
    survives(decode, payload, {**TOPIC, "property": "t"}, ROUTE)


@given(st.lists(st.dictionaries(WORDS, VALUES, max_size=4) | VALUES, max_size=3))
def test_any_groups_are_read_or_refused(groups: list[object]):
    """Nor do odd values in the right places."""
    survives(decode, orjson.dumps(groups), TOPIC, ROUTE)
    is_iotagent_json(groups, {})
