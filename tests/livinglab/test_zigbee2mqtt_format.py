"""Format `zigbee2mqtt`: whole states, half of them not known yet, of things the topic names."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.wire.routes import Route
from livinglab.wire.topics import Router
from livinglab.wire.zigbee2mqtt import WORDS, check, decode, is_zigbee2mqtt
from tests.livinglab.hearing import Heard, refusal, survives

TOPIC = {"thing": "porch"}
MS = 1_769_860_800_000


def route(filter_: str = "zigbee2mqtt/{thing}", **changes: Any) -> Route:
    return Route(name="z", filter=filter_, format="zigbee2mqtt", scheme="zigbee2mqtt", **changes)


def hear(told: object, fields: dict[str, str] = TOPIC, **changes: Any) -> Heard:
    heard = Heard()
    payload = told if isinstance(told, bytes) else orjson.dumps(told)
    decode(payload, fields, route(**changes), heard)
    return heard


def test_state_is_readings_of_the_topics_thing():
    """Without a time the arrival counts; the radio and the cell's voltage are no measurements."""
    heard = hear({"battery": 90, "temperature": 21.5, "linkquality": 120, "voltage": 3000})

    assert [("porch", "battery", 90.0, None), ("porch", "temperature", 21.5, None)] == heard.all(
        "thing", "property", "value", "time"
    )
    assert [("no_measurement", "linkquality"), ("no_measurement", "voltage")] == heard.ignored


def test_words_are_those_that_are_exposed():
    """Carbon monoxide comes in ppm; all else in the property's own unit."""
    heard = hear(dict.fromkeys(WORDS.keys() - {"illuminance"}, 1))

    found = dict(heard.all("property", "unit"))
    assert {"co": "ppm"} == {key: unit for key, unit in found.items() if unit}
    assert {meaning.observed_property for meaning in WORDS.values()} == found.keys()


def test_null_is_not_known_yet():
    """The device has not reported since the bridge started: nothing is missing."""
    heard = hear({"temperature": None, "humidity": 40, "update": None})

    assert ["relative_humidity"] == heard.all("property")
    assert [("not_known_yet", "temperature"), ("not_known_yet", "update")] == heard.ignored
    assert [] == heard.rejects


def test_presence_is_no_occupancy_of_the_road():
    """Somebody is there, or not; so with all else that is no number."""
    state = {"occupancy": True, "device": {"ieeeAddr": "0x1"}, "update": {"state": "idle"}}

    heard = hear(state)

    assert [("no_measurement", word) for word in state] == heard.ignored
    assert [] == heard.readings + heard.rejects


def test_raw_illuminance_beside_lux_is_none():
    """Before version 2 it was logarithmic; since then it is lux, and stands alone."""
    heard = hear({"illuminance": 19_000, "illuminance_lux": 79})

    assert [("illuminance", 79.0)] == heard.all("property", "value")
    assert [("no_measurement", "illuminance")] == heard.ignored
    assert [("illuminance", 79.0)] == hear({"illuminance": 79}).all("property", "value")


@pytest.mark.parametrize(
    "told", [MS, "2026-01-31T12:00:00.000Z", "2026-01-31T13:00:00+01:00", str(MS)]
)
def test_last_seen_is_the_time(told: object):
    """However the bridge is set to write it; the clock is the bridge's."""
    heard = hear({"temperature": 1, "last_seen": told})

    assert [(MS, "network")] == heard.all("time", "time_source")
    assert [] == heard.ignored


def test_bad_time_is_refused_with_all_that_it_dates():
    """The arrival would be a guess."""
    heard = hear({"temperature": 1, "humidity": 2, "last_seen": "just now"})

    assert ([("bad_time", "last_seen")], 2) == (heard.rejects, heard.lost)
    assert [None] == hear({"temperature": 1, "last_seen": None}).all("time")


def test_endpoints_are_channels():
    """A switch module with two probes has two temperatures."""
    heard = hear({"temperature_l1": 1, "temperature_2": 2, "temperature_calibration": 3})

    assert [("temperature", "l1"), ("temperature", "2")] == heard.all("property", "channel")
    assert [("no_measurement", "temperature_calibration")] == heard.ignored


@pytest.mark.parametrize(
    ("topic", "identity"),
    [
        (b"zigbee2mqtt/bridge/state", None),
        (b"zigbee2mqtt/bridge/state", "{thing}/{part}"),
        (b"zigbee2mqtt/porch/availability", None),
        (b"zigbee2mqtt/porch/set", None),
        (b"zigbee2mqtt/garden/get", "{thing}/{part}"),
    ],
)
def test_bridge_and_availability_are_passed_over_unread(topic: bytes, identity: str | None):
    """Some of it is no JSON."""
    one = route("zigbee2mqtt/{thing}/{part}", identity=identity)
    found = Router([replace(one, format="auto")]).route(topic)
    heard = Heard()

    assert found is not None
    decode(b"online", found[1], one, heard)
    assert ([("no_state", "")], [], []) == (heard.ignored, heard.rejects, heard.readings)


@pytest.mark.parametrize("topic", [b"zigbee2mqtt/river/bridge", b"zigbee2mqtt/a/b"])
def test_friendly_names_may_hold_slashes(topic: bytes):
    """And words that mean something elsewhere."""
    one = route("zigbee2mqtt/{a}/{b}", identity="{a}/{b}")
    found = Router([replace(one, format="auto")]).route(topic)
    heard = Heard()

    assert found is not None
    decode(b'{"temperature": 1}', found[1], one, heard)
    assert [topic.decode().partition("/")[2]] == heard.all("thing")


@pytest.mark.parametrize(
    ("value", "reason"), [("n/a", "bad_number"), (True, "bad_number"), ("inf", "not_finite")]
)
def test_one_bad_value_costs_no_sibling(value: object, reason: str):
    """The others of the state are as good as before."""
    heard = hear({"temperature": value, "humidity": 40})

    assert [(reason, "temperature")] == heard.rejects
    assert ["relative_humidity"] == heard.all("property")


def test_route_may_add_words():
    """In the property's own unit."""
    heard = hear({"wind": 3}, options={"names": {"wind": "wind_speed"}})

    assert [("wind_speed", 3.0, None)] == heard.all("property", "value", "unit")


@pytest.mark.parametrize(
    ("payload", "fields", "reason"),
    [
        (b"[]", TOPIC, "bad_shape"),
        (b"", TOPIC, "empty"),
        (b'{"temperature": NaN}', TOPIC, "bad_json"),
        (b"{}", {}, "no_identity"),
    ],
)
def test_another_shape_is_refused_as_a_whole(payload: bytes, fields: dict[str, str], reason: str):
    """So is one whose topic tells no Thing."""
    assert reason == refusal(lambda: hear(payload, fields))


def test_states_can_be_told_from_other_documents():
    """By the quality of the radio."""
    assert is_zigbee2mqtt({"linkquality": 1}, {})
    assert not is_zigbee2mqtt({"temperature": 1}, {})
    assert not is_zigbee2mqtt(["linkquality"], {})


def test_route_must_name_things_and_properties():
    """A slip in the city file is found before the first message."""
    check(route())
    with pytest.raises(ValueError, match="thing"):
        check(route("zigbee2mqtt/#"))
    with pytest.raises(ValueError, match="mood"):
        check(route(options={"names": {"x": "mood"}}))


LEAVES = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=12)
KEYS = st.sampled_from([*WORDS, "last_seen", "temperature_l1", "update"]) | st.text(max_size=4)


@given(st.binary(max_size=60), st.dictionaries(st.sampled_from(["thing", "part"]), st.text()))
def test_any_bytes_are_read_or_refused(payload: bytes, fields: dict[str, str]):
    """Nothing but a refusal comes out."""
    survives(decode, payload, fields, route())


@given(st.dictionaries(KEYS, LEAVES | st.lists(LEAVES, max_size=2)))
def test_any_state_is_read_or_refused(told: dict[str, object]):
    """Nor do odd values in the right places."""
    survives(decode, orjson.dumps(told), TOPIC, route())
