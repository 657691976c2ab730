"""Format `ultralight`: bars and text, and a topic that knows the rest."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.wire.routes import Route
from livinglab.wire.ultralight import check, decode, is_ultralight
from tests.livinglab.hearing import Heard, refusal, survives

TOPIC = {"key": "k1", "thing": "bench-7"}


def route(filter_: str = "/ul/{key}/{thing}/attrs", **changes: Any) -> Route:
    return Route(name="ul", filter=filter_, format="ultralight", scheme="ultralight", **changes)


def hear(payload: str, fields: dict[str, str] = TOPIC, **changes: Any) -> Heard:
    heard = Heard()
    decode(payload.encode(), fields, route(**changes), heard)
    return heard


def test_pairs_are_measures_of_the_topics_thing():
    """Text under a word that nobody knows is no measurement."""
    heard = hear("t|15|k|abc")

    assert [("bench-7", "temperature", None, 15.0, "15", "t")] == heard.all(
        "thing", "property", "time", "value", "source", "path"
    )
    assert ([("no_measurement", "k")], []) == (heard.ignored, heard.rejects)


def test_groups_are_read_one_by_one():
    """A hash parts them; each has its own position."""
    heard = hear("gps|43.4/-3.8|t|10#t|11")

    assert [(10.0, (-3.8, 43.4), "[0].t"), (11.0, None, "[1].t")] == heard.all(
        "value", "point", "path"
    )


def test_time_may_stand_before_a_group():
    """It counts for its own group, and for no other."""
    heard = hear("2016-06-13T00:35:30Z|t|1#t|2#TimeInstant|2016-06-13T00:35:31Z|t|3")

    assert [1_465_778_130_000, None, 1_465_778_131_000] == heard.all("time")
    assert ([], []) == (heard.ignored, heard.rejects)


def test_local_time_takes_the_routes_zone():
    """Without one it is refused, with all that it dates."""
    payload = "2016-06-13T00:35:30|t|1|h|40|k|x"

    lost = hear(payload)

    assert ([("no_timezone", "TimeInstant")], 2, []) == (lost.rejects, lost.lost, lost.readings)
    assert [1_465_770_930_000] * 2 == hear(payload, timezone="Europe/Madrid").all("time")


def test_a_position_is_latitude_and_longitude():
    """The order of NGSI's geo:point; nowhere on earth is refused, at the cost of no Reading."""
    heard = hear("location|120.5/3|t|10")

    assert [(-3.8, 43.4)] == hear("loc|43.4/-3.8|t|10").all("point")
    assert ([("bad_position", "location")], 0) == (heard.rejects, heard.lost)
    assert [None] == heard.all("point")


@pytest.mark.parametrize("payload", ["bench-7@ping|Ping ok", "bench-7@ping|a=1|b=2"])
def test_answer_to_a_command_is_no_measure(payload: str):
    """It may come under the same filter."""
    heard = hear(payload)

    assert ([("command", "")], [], []) == (heard.ignored, heard.rejects, heard.readings)


@pytest.mark.parametrize("group", ["t", "t|15|h", "2016-06-13T00:35:30Z|t", ""])
def test_a_word_without_value_costs_its_group_alone(group: str):
    """Nobody knows where its pairs begin."""
    heard = hear(f"{group}#t|4")

    assert [("bad_shape", "[0]")] == heard.rejects
    assert [4.0] == heard.all("value")


@pytest.mark.parametrize(
    ("value", "reason"),
    [("abc", "bad_number"), ("1,5", "bad_number"), ("NaN", "not_finite"), ("-inf", "not_finite")],
)
def test_one_bad_value_costs_no_sibling(value: str, reason: str):
    """The others of the group are as good as before."""
    heard = hear(f"t|{value}|h|40")

    assert [(reason, "t")] == heard.rejects
    assert ["relative_humidity"] == heard.all("property")


def test_empty_is_missing_and_absent_is_nothing():
    """The device named the word and had no value for it."""
    [reading] = hear("t|").readings

    assert reading["value"] != reading["value"]
    assert "temperature" == reading["property"]


def test_unknown_numbers_are_refused_until_the_route_maps_them():
    """Nobody knows what l is, until somebody says so; what is no number is passed over."""
    heard = hear("l|1570|on|true|x|nan|e|")

    assert [("unknown_property", "l")] == heard.rejects
    assert [("no_measurement", word) for word in ("on", "x", "e")] == heard.ignored
    names = {"names": {"l": "illuminance", "t": "co2"}}
    assert ["illuminance", "co2"] == hear("l|1570|t|400", options=names).all("property")


def test_nobody_knows_a_unit_that_is_not_told():
    """A value or a word may tell it; else the units of the route count."""
    heard = hear("t|59 °F|h|40|co2_ppm|410")

    assert [(59.0, "°F"), (40.0, ""), (410.0, "ppm")] == heard.all("value", "unit")


def test_topic_with_a_property_carries_its_value_alone():
    """Bars in it would be part of the value."""
    fields = {**TOPIC, "property": "t"}

    assert [("bench-7", "temperature", 15.5)] == hear("15.5\n", fields).all(
        "thing", "property", "value"
    )
    assert [("bad_number", "t")] == hear("15|h", fields).rejects


@pytest.mark.parametrize("fields", [{}, {"thing": ""}, {"key": "k"}])
def test_without_the_topic_it_is_nobodys(fields: dict[str, str]):
    """The payload never names its Thing."""
    assert "no_identity" == refusal(lambda: hear("t|15", fields))


def test_what_is_no_text_is_refused_as_a_whole():
    """Empty, or no UTF-8."""
    assert "empty" == refusal(lambda: hear(" \n"))
    assert "not_utf8" == refusal(lambda: decode(b"t|\xff", TOPIC, route(), Heard()))


def test_groups_can_be_told_from_other_texts():
    """Each has words and values in pairs."""
    for payload in (b"t|15|k|abc", b"gps|1.2/3.4#t|10", b"2016-06-13T00:35:30Z|l|1", b"d@c|ok"):
        assert is_ultralight(payload, {})
    for payload in (b"", b"15", b"t|15|k", b'{"a|b":1}', b"air,a=1 t=1|2", b"\xff|1", b"a b|1"):
        assert not is_ultralight(payload, {})


def test_route_must_name_things_and_properties():
    """A slip in the city file is found before the first message."""
    check(route())
    check(route("ul/{a}/{b}", identity="{a}-{b}"))
    with pytest.raises(ValueError, match="thing"):
        check(route("/ul/{key}/+/attrs"))
    with pytest.raises(ValueError, match="mood"):
        check(route(options={"names": {"x": "mood"}}))


@given(st.binary(max_size=60) | st.text("t|#@/:.1-ZT ", max_size=40).map(str.encode))
def test_anything_is_read_or_refused(payload: bytes):
    """Nothing but a refusal comes out."""
    survives(decode, payload, TOPIC, route())
    survives(decode, payload, {**TOPIC, "property": "gps"}, route())
    is_ultralight(payload, {})
