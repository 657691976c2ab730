"""Format `senml`: what a record leaves out stands in the records before it."""

import math
from collections.abc import Mapping
from typing import Any

import cbor2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.wire.routes import Route
from livinglab.wire.senml import check, decode, is_senml, is_senml_cbor, resolve
from tests.livinglab.hearing import RECEIVED, Heard, refusal, survives

ROUTE = Route(name="senml", filter="senml/#", format="senml", scheme="senml")
NOW_S = RECEIVED / 1_000
T = 1_400_000_000


def hear(payload: object, fields: Mapping[str, str] | None = None, **options: object) -> Heard:
    sent = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    heard = Heard()
    route = Route(name="senml", filter="#", format="senml", scheme="senml", options=options)
    decode(sent, fields or {}, route, heard)
    return heard


def resolved(*records: dict[str, object]) -> list[dict[str, object]]:
    return [one.record for one in resolve(records, NOW_S)]


def test_name_ends_in_the_quantity():
    """The last word is the property, what stands before it is the Thing."""
    heard = hear(
        [
            {"bn": "urn:dev:ow:1:", "bt": T, "n": "temperature", "u": "Cel", "v": 21.5},
            {"bn": "2001:db8::2/", "n": "humidity", "u": "%RH", "v": 40},
            {"bn": "", "n": "street/7/temp", "u": "Cel", "v": 9},
        ]
    )

    assert [
        ("urn:dev:ow:1", "temperature", T * 1_000, 21.5, "Cel"),
        ("2001:db8::2", "relative_humidity", T * 1_000, 40.0, "%RH"),
        ("street/7", "temperature", T * 1_000, 9.0, "Cel"),
    ] == heard.all("thing", "property", "time", "value", "unit")


def test_word_may_follow_a_base_name_without_separator():
    """The base name is a Thing's; what the record adds is its own."""
    heard = hear([{"bn": "urn:dev:ow:1", "n": "temperature", "u": "Cel", "v": 1, "t": T}])

    assert ["urn:dev:ow:1"] == heard.all("thing")


@pytest.mark.parametrize(
    ("unit", "observed_property"),
    [
        ("Cel", "temperature"),
        ("K", "temperature"),
        ("%RH", "relative_humidity"),
        ("%EL", "battery"),
        ("lx", "illuminance"),
    ],
)
def test_unit_tells_the_property_where_the_name_does_not(unit: str, observed_property: str):
    """A name that ends in no known word is the Thing's as a whole."""
    heard = hear([{"n": "urn:dev:ow:10e2073a01080063", "u": unit, "v": 1, "t": T}])

    assert [("urn:dev:ow:10e2073a01080063", observed_property)] == heard.all("thing", "property")


def test_two_of_a_kind_never_meet():
    """`t1` and `t2` are no words, so they stay apart as two Things."""
    heard = hear([{"bn": "urn:x:", "n": "t1", "u": "Cel", "v": 1}, {"n": "t2", "u": "Cel", "v": 2}])

    assert ["urn:x:t1", "urn:x:t2"] == heard.all("thing")


def test_volts_and_amperes_are_nothing_until_the_route_says_so():
    """There is no property for them; `names` maps the word, or the unit."""
    pack = [{"bn": "urn:x:", "n": "voltage", "u": "V", "v": 3.1}, {"n": "q", "u": "A", "v": 1}]

    heard = hear(pack)
    named = hear(pack, names={"voltage": "battery", "A": "traffic_load"})

    assert [("unknown_property", "[0]"), ("unknown_property", "[1]")] == heard.rejects
    assert 2 == heard.lost
    assert [("urn:x", "battery"), ("urn:x:q", "traffic_load")] == named.all("thing", "property")


def test_topic_tells_the_thing_of_a_bare_name():
    """Small devices name the quantity alone and publish under their own topic.

    So two of them may both have a `t1`; a name with parts is the Thing's, wherever it comes from.
    """
    temp, part, whole = (
        {"n": name, "u": "Cel", "v": 1} for name in ("temp", "t1", "urn:dev:ow:1:temp")
    )

    assert ["node-7"] == hear([temp], {"thing": "node-7"}).all("thing")
    assert ["node-7/t1"] == hear([part], {"thing": "node-7"}).all("thing")
    assert ["node-7"] == hear([{"u": "Cel", "v": 1}], {"thing": "node-7"}).all("thing")
    assert ["urn:dev:ow:1"] == hear([whole], {"thing": "node-7"}).all("thing")
    assert ["b"] == hear([{"bn": "b", **temp}], {"thing": "node-7"}).all("thing")
    assert [("no_identity", "[0]")] == hear([temp]).rejects


def test_base_fields_last_until_they_change():
    """Name, time, unit and value of one record are the beginning of the next."""
    found = resolved(
        {"bn": "a:", "bt": T, "bu": "Cel", "bv": 20, "n": "x", "v": 1.5},
        {"n": "x", "v": 2, "t": 10},
        {"n": "x", "v": 3, "u": "%RH"},
        {"bn": "b:", "bv": 0, "n": "x", "v": 4},
    )

    assert [
        {"n": "a:x", "u": "Cel", "t": T, "v": 21.5},
        {"n": "a:x", "u": "Cel", "t": T + 10, "v": 22},
        {"n": "a:x", "u": "%RH", "t": T, "v": 23},
        {"n": "b:x", "u": "Cel", "t": T, "v": 4},
    ] == found


def test_sums_add_up_and_are_no_readings():
    """An integrated value is another quantity than its property."""
    pack: list[dict[str, object]] = [
        {"bn": "meter:temperature", "bs": 100, "s": 5, "u": "Cel"},
        {"s": 7},
    ]

    heard = hear(pack)

    assert [105, 107] == [one["s"] for one in resolved(*pack)]
    assert [("no_measurement", "[0].s"), ("no_measurement", "[1].s")] == heard.ignored
    assert ([], []) == (heard.readings, heard.rejects)


@pytest.mark.parametrize(
    ("time", "absolute"),
    [
        ({}, NOW_S),
        ({"t": 0}, NOW_S),
        ({"t": -60}, NOW_S - 60),
        ({"t": 2**28 - 1}, NOW_S + 2**28 - 1),
        ({"t": 2**28}, 2**28),
        ({"t": 1.4e9}, 1.4e9),
        ({"bt": 1.4e9, "t": -5}, 1.4e9 - 5),
        ({"bt": -30, "t": -5}, NOW_S - 35),
    ],
)
def test_times_below_two_to_the_28_are_relative(time: dict[str, float], absolute: float):
    """No clock is needed to say `a minute ago`; base and own time are one sum."""
    [found] = resolved({"n": "x", "v": 1, **time})

    assert absolute == found["t"]


def test_now_is_the_arrival_and_before_is_reckoned_from_it():
    """Only the receiver's clock is behind such times, and that is told."""
    pack = [{"bn": "x:temp", "bu": "Cel", "v": 1}, {"v": 2, "t": -1.5}, {"v": 3, "bt": T}]

    heard = hear(pack)

    assert [None, RECEIVED - 1_500, T * 1_000] == heard.all("time")
    assert ["received", "received", "payload"] == heard.all("time_source")


def test_who_tells_times_does_not_ask_for_the_arrival():
    """Asking makes the arrival count, which a message with times of its own does not need."""

    class Timeless(Heard):
        def __getattribute__(self, name: str) -> Any:
            assert name != "received"
            return super().__getattribute__(name)

    heard = Timeless()
    decode(orjson.dumps([{"n": "a:temp", "u": "Cel", "v": 1, "t": T}]), {}, ROUTE, heard)

    assert [T * 1_000] == heard.all("time")


def test_position_holds_for_its_thing_and_time():
    """A moving Thing tells where it was beside what it measured; elsewhere it tells nothing."""
    heard = hear(
        [
            {"bn": "bike:", "bt": T, "n": "temperature", "u": "Cel", "v": 20},
            {"n": "lon", "u": "lon", "v": -3.8},
            {"n": "lat", "u": "lat", "v": 43.4},
            {"n": "temperature", "u": "Cel", "v": 21, "t": 60},
            {"bn": "tram:", "n": "temperature", "u": "Cel", "v": 22},
        ]
    )

    assert [(-3.8, 43.4), None, None] == heard.all("point")
    assert [("position", "[1].v"), ("position", "[2].v")] == heard.ignored


def test_half_a_position_costs_no_reading():
    """Longitude alone is nowhere."""
    heard = hear([{"bn": "bike", "u": "lon", "v": 5}, {"u": "Cel", "v": 20}])

    assert [("bad_position", "[0]")] == heard.rejects
    assert 0 == heard.lost
    assert [None] == heard.all("point")


@pytest.mark.parametrize("value", [{"vs": "open"}, {"vb": True}, {"vd": "AQI"}, {}])
def test_text_switches_and_data_are_no_measurements(value: dict[str, object]):
    """They are told, and passed over."""
    heard = hear([{"n": "a:temperature", **value}])

    assert (1, [], []) == (len(heard.ignored), heard.readings, heard.rejects)


def test_no_unit_is_no_known_unit():
    """The property is told by its word; in what it is measured, by nobody."""
    assert [""] == hear([{"n": "a:temperature", "v": 1}]).all("unit")
    assert ["K"] == hear([{"n": "a:temp_K", "v": 1}]).all("unit")


def test_null_is_missing():
    """The Thing is there and has no value."""
    [reading] = hear([{"n": "a:temperature", "v": None, "u": "Cel"}]).readings

    assert math.isnan(reading["value"])
    assert reading["source"] is None


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (5, "bad_shape"),
        ({"n": 5, "v": 1}, "bad_shape"),
        ({"u": ["Cel"], "v": 1}, "bad_shape"),
        ({"n": "a:temp", "v": True}, "bad_number"),
        ({"n": "a:temp", "v": "warm"}, "bad_number"),
        ({"n": "a:temp", "v": [1]}, "bad_number"),
        ({"n": "a:temp", "v": 1, "t": "now"}, "bad_time"),
        ({"n": "a:temp", "v": 1, "t": True}, "bad_time"),
        ({"n": "a:temp", "v": 1, "t": 1e300}, "bad_time"),
        ({"n": "a:temp", "v": 1, "cold_": 1}, "bad_shape"),
        ({"v": 1}, "no_identity"),
        ({"n": "a\tb:temp", "v": 1}, "bad_identity"),
    ],
)
def test_a_bad_record_costs_no_other(record: object, reason: str):
    """Its neighbours are read; the base that it set still holds."""
    good = {"n": "b:temp", "u": "Cel", "v": 2}

    heard = hear([good, record, good])

    assert [(reason, "[1]")] == heard.rejects
    assert [2.0, 2.0] == heard.all("value")


def test_base_value_of_null_is_none():
    """It must not make all values missing."""
    assert [1.0] == hear([{"bv": None, "n": "a:temp", "v": 1}]).all("value")


def test_bad_record_still_sets_the_base():
    """What follows begins where it said, not where the record before it did."""
    heard = hear([{"bn": "a:", "n": "temp", "v": "?"}, {"n": "temp", "u": "Cel", "v": 1}])

    assert ["a"] == heard.all("thing")


def test_base_field_that_must_be_understood_costs_what_follows():
    """Nobody knows what it does to the values after it."""
    good = {"n": "b:temp", "u": "Cel", "v": 2}

    heard = hear([good, {**good, "bmagic_": 1}, good])

    assert [("bad_shape", "[1]"), ("bad_shape", "[2]")] == heard.rejects


def test_fields_of_no_name_of_ours_are_passed_over():
    """An extension without the underscore changes no meaning."""
    assert [2.0] == hear([{"n": "b:temp", "v": 2, "ct": "60", "bmagic": 1, "ut": 5}]).all("value")


@pytest.mark.parametrize("version", [11, 1e9, "ten", None])
def test_later_versions_are_not_for_us(version: object):
    """A version above ten may mean anything."""
    pack = orjson.dumps([{"bver": version, "n": "a:temp", "v": 1}])

    assert "unknown_version" == refusal(lambda: hear(pack))
    assert 1 == len(hear([{"bver": 5, "n": "a:temp", "v": 1}]).readings)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"{}", "bad_shape"),
        (b"5", "bad_shape"),
        (b"[", "bad_json"),
        (b"\x81", "bad_cbor"),
        (b"\x80\x80", "bad_cbor"),
        (b"\xa0", "bad_shape"),
        (b"\x81" * 1_000, "bad_cbor"),
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "bad_cbor"),
        (cbor2.dumps([{2: 2**70}]), "bad_cbor"),
        (cbor2.dumps(cbor2.CBORTag(35, "(a+)+$")), "bad_cbor"),
        (cbor2.dumps([cbor2.CBORTag(4711, 1)]), "bad_cbor"),
        (b"\xef\xbb\xbf[]", "bad_json"),
    ],
)
def test_what_is_no_pack_is_refused_as_a_whole(payload: bytes, reason: str):
    """Neither depth nor length nor a clever tag gets further."""
    assert reason == refusal(lambda: hear(payload))


def test_cbor_says_the_same_as_json():
    """Labels are numbers there, and decimal fractions are numbers."""
    pack: list[dict[str, object]] = [
        {"bver": 10, "bn": "urn:x:", "bt": T, "bu": "Cel", "bv": 1, "n": "temp", "v": 20.5},
        {"n": "humidity", "u": "%RH", "v": 40, "t": -10},
        {"n": "door", "vb": True},
        {"n": "label", "vs": "x"},
        {"n": "total", "bs": 1, "s": 2},
    ]
    numbers = {"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6}
    numbers |= {"n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8}
    labelled = [{numbers[label]: value for label, value in one.items()} for one in pack]
    fraction = cbor2.loads(bytes.fromhex("c48221196ab3"))

    heard = hear(cbor2.dumps(labelled))

    assert hear(pack) == heard
    assert [273.15] == hear(cbor2.dumps([{0: "a:temp", 1: "K", 2: fraction}])).all("value")


def test_cbor_of_another_kind_costs_only_its_record():
    """Binary values and infinities are no numbers."""
    pack = [{0: "a:temp", 2: b"\x00"}, {0: "a:temp", 2: math.inf}, {0: "a:temp", 2: 1}]

    heard = hear(cbor2.dumps(pack))

    assert [("bad_number", "[0]"), ("not_finite", "[1]")] == heard.rejects
    assert [1.0] == heard.all("value")


@pytest.mark.parametrize(
    ("told", "looks"),
    [
        ([{"n": "x", "v": 1}], True),
        ([{"bn": "x"}, {"vs": "a"}], True),
        ([{"v": 1}], False),
        ([], False),
        ([5], False),
        ({"n": "x", "v": 1}, False),
    ],
)
def test_packs_can_be_told_from_other_documents(told: object, looks: bool):
    """A list whose records name and measure something."""
    assert looks == is_senml(told, {})


@pytest.mark.parametrize(
    ("payload", "looks"),
    [
        (cbor2.dumps([{0: "x", 2: 1}]), True),
        (cbor2.dumps([5]), False),
        (b"\x82\x01", False),
        (b'[{"n":"x","v":1}]', False),
        (b"", False),
    ],
)
def test_packs_in_cbor_can_be_told_from_other_bytes(payload: bytes, looks: bool):
    """JSON begins with ASCII, CBOR lists do not."""
    assert looks == is_senml_cbor(payload, {})


@pytest.mark.parametrize(
    "options", [{"names": {"t": "mood"}}, {"names": 5}, {"words": {}}, {"names": {"t": ["no2"]}}]
)
def test_options_must_name_properties(options: dict[str, object]):
    """A slip in the city file is found before the first message."""
    with pytest.raises(ValueError, match=r"Property|table"):
        check(Route(name="r", filter="#", format="senml", scheme="s", options=options))


RECORDS = st.dictionaries(
    st.sampled_from(["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "t", "s", "x_"]),
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["", "a:temp", "Cel", "lon", "lat", "K"])
    | st.binary(max_size=3)
    | st.lists(st.integers(), max_size=2),
    max_size=6,
)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes):
    """Nothing but a refusal comes out."""
    survives(decode, payload, {}, ROUTE)


@given(st.lists(RECORDS | st.none(), max_size=5))
def test_any_records_are_read_or_refused(records: list[object]):
    """Nor do odd values in the right places."""
    survives(decode, cbor2.dumps(records), {}, ROUTE)
