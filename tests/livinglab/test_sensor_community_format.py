"""Format `sensor-community`: neither time nor name, and P1 is the coarse one."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.config import read_settings
from livinglab.domain.geometry import Point
from livinglab.wire.routes import Route
from livinglab.wire.sensorcommunity import WORDS, check, decode, is_sensor_community
from tests.livinglab.hearing import Heard, refusal, survives

TOPIC = {"thing": "balcony"}


def route(**changes: Any) -> Route:
    told: dict[str, Any] = {"filter": "air/{thing}", "format": "sensor-community"}
    return Route(name="air", scheme="sensor-community", **told | changes)


def record(extra: dict[str, object] | None = None, /, **values: object) -> dict[str, object]:
    told = [{"value_type": word, "value": value} for word, value in values.items()]
    return {"software_version": "NRZ-0", "sensordatavalues": told, **(extra or {})}


def hear(told: object, fields: dict[str, str] = TOPIC, **changes: Any) -> Heard:
    heard = Heard()
    payload = told if isinstance(told, bytes) else orjson.dumps(told)
    decode(payload, fields, route(**changes), heard)
    return heard


def test_p1_is_pm10_and_p2_is_pm25():
    """They are named after the outputs of the sensor; the arrival is the time."""
    heard = hear(record(SDS_P1="15.38", SDS_P2="4.98"))

    assert [("pm10", 15.38, "SDS"), ("pm25", 4.98, "SDS")] == heard.all(
        "property", "value", "channel"
    )
    assert {("balcony", None, None)} == set(heard.all("thing", "time", "unit"))
    assert "sensordatavalues[0].value" == heard.readings[0]["path"]


@pytest.mark.parametrize(
    ("word", "observed_property", "unit", "channel"),
    [
        ("PMS_P0", "pm1", None, "PMS"),
        ("SPS30_P1", "pm10", None, "SPS30"),
        ("BME280_temperature", "temperature", None, "BME280"),
        ("BME280_humidity", "relative_humidity", None, "BME280"),
        ("BME280_pressure", "pressure", "Pa", "BME280"),
        ("BMP_pressure", "pressure", "Pa", "BMP"),
        ("HTU21D_temperature", "temperature", None, "HTU21D"),
        ("noise_LAeq", "noise_level", None, "noise"),
        ("SCD30_co2_ppm", "co2", None, "SCD30"),
        ("humidity", "relative_humidity", None, ""),
        ("pressure", "pressure", "Pa", ""),
    ],
)
def test_firmwares_words_are_known(
    word: str, observed_property: str, unit: str | None, channel: str
):
    """The sensor is the channel: a box may hold two thermometers."""
    [reading] = hear(record(**{word: "1"})).readings

    assert (observed_property, unit, channel) == tuple(
        reading[key] for key in ("property", "unit", "channel")
    )


def test_diagnostics_are_no_measurements():
    """Nor is the air within the dryer, nor what is the loudest of an interval."""
    values = {
        "signal": "-59 dBm",
        "samples": "316274",
        "min_micro": "162",
        "max_micro": "394014",
        "HECA_temperature": "40",
        "noise_LA_max": "90",
        "SPS30_P4": "7",
        "GPS_lat": "43.4",
    }

    heard = hear(record(**values))

    assert len(values) * ["no_measurement"] == [rule for rule, _ in heard.ignored]
    assert [] == heard.readings + heard.rejects


@pytest.mark.parametrize(
    ("fields", "extra", "thing"),
    [
        (TOPIC, {"esp8266id": "123"}, "balcony"),
        ({}, {"esp8266id": "123"}, "123"),
        ({}, {"raspiid": "b8"}, "b8"),
        ({}, {"sensor": 7}, "7"),
        ({}, {"sensor": {"id": 7, "pin": "1"}}, "7"),
    ],
)
def test_topic_names_the_thing_or_else_the_message(
    fields: dict[str, str], extra: dict[str, object], thing: str
):
    """Over HTTP the id travels in a header, which is not here."""
    assert [thing] == hear(record(extra, SDS_P1="1"), fields).all("thing")


@pytest.mark.parametrize("extra", [{}, {"sensor": {}}, {"esp8266id": ""}, {"sensor": [1]}])
def test_nobodys_values_are_refused(extra: dict[str, object]):
    """As many as there are measurements."""
    heard = hear(record(extra, SDS_P1="1", SDS_P2="1", signal="x"), {})

    assert ([("no_identity", "sensor")], 2, []) == (heard.rejects, heard.lost, heard.readings)


def from_api(name: str, **values: object) -> dict[str, object]:
    extra: dict[str, object] = {
        "timestamp": "2026-01-31 12:00:00",
        "location": {"latitude": "43.4", "longitude": "-3.8", "indoor": 0},
        "sensor": {"id": 7, "sensor_type": {"name": name}},
    }
    return record(extra, **values)


def test_records_of_the_api_tell_time_and_position():
    """The time is UTC though it does not say so, whatever the zone of the route."""
    told = [from_api("SDS011", P1="15", P2="5"), from_api("BME280", pressure="101300")]

    heard = hear(told, {}, timezone="Asia/Tokyo")

    assert [("pm10", 15.0), ("pm25", 5.0), ("pressure", 101_300.0)] == heard.all(
        "property", "value"
    )
    assert {("7", 1_769_860_800_000, Point(-3.8, 43.4))} == set(heard.all("thing", "time", "point"))
    assert "[1].sensordatavalues[0].value" == heard.readings[2]["path"]


def test_bad_position_costs_no_reading_and_bad_time_costs_all():
    """Only where it was measured is unknown; when it was is needed."""
    told = from_api("SDS011", P1="15")

    nowhere = hear(told | {"location": {"latitude": "99", "longitude": "0"}})
    never = hear(told | {"timestamp": "noon"})

    assert ([("bad_position", "location")], 0, [None]) == (
        nowhere.rejects,
        nowhere.lost,
        nowhere.all("point"),
    )
    assert ([("bad_time", "timestamp")], 1, []) == (never.rejects, never.lost, never.readings)


@pytest.mark.parametrize(
    "told", [from_api("PPD42NS", P1="800", P2="9"), record(ratioP1="1", P1="800", P2="9")]
)
def test_counted_particles_are_no_masses(told: object):
    """The first sensors of the network counted, under the same words."""
    heard = hear(told)

    assert [] == heard.readings + heard.rejects


@pytest.mark.parametrize(
    ("value", "reason"), [("n/a", "bad_number"), ("nan", "not_finite"), ("inf", "not_finite")]
)
def test_one_bad_value_costs_no_sibling(value: object, reason: str):
    """The other of the same message is as good as before."""
    heard = hear(record(SDS_P1=value, SDS_P2="4"))

    assert [(reason, "sensordatavalues[0].value")] == heard.rejects
    assert ["pm25"] == heard.all("property")


def test_empty_is_missing_and_absent_is_nothing():
    """The sensor was asked and had nothing to say."""
    [reading] = hear(record(SDS_P1="")).readings

    assert reading["value"] != reading["value"]


def test_one_bad_record_costs_no_other():
    """Nor does one bad entry of a record."""
    odd = {"sensordatavalues": [5, {"value": 1}, {"value_type": "SDS_P1", "value": 1}]}

    heard = hear([5, {"sensordatavalues": 5}, odd])

    assert [
        ("bad_shape", "[0].sensordatavalues"),
        ("bad_shape", "[1].sensordatavalues"),
        ("bad_shape", "[2].sensordatavalues[0]"),
        ("bad_shape", "[2].sensordatavalues[1]"),
    ] == heard.rejects
    assert [1.0] == heard.all("value")


def test_route_may_add_words():
    """In the property's own unit."""
    heard = hear(
        record(HECA_temperature="4"), options={"names": {"HECA_temperature": "temperature"}}
    )

    assert [("temperature", None, "")] == heard.all("property", "unit", "channel")


@pytest.mark.parametrize(
    ("payload", "reason"), [(b"5", "bad_shape"), (b"{}", "bad_shape"), (b"", "empty")]
)
def test_another_shape_is_refused_as_a_whole(payload: bytes, reason: str):
    """What has no values is no message of a sensor."""
    assert reason == refusal(lambda: hear(payload))


def test_messages_can_be_told_from_other_documents():
    """By the word for their values."""
    assert is_sensor_community(record(), {})
    assert is_sensor_community([record(), record()], {})
    others: list[object] = [{}, [], [5], 5]
    for told in others:
        assert not is_sensor_community(told, {})


def test_options_must_name_properties():
    """A slip in the city file is found before the first message."""
    check(route(filter="air/#"))
    with pytest.raises(ValueError, match="mood"):
        check(route(options={"names": {"x": "mood"}}))


def test_real_message_is_read():
    """Two Readings of six values; the rest is about the box."""
    path = read_settings().samples / "payloads" / "sensor_community" / "nrz-2016-058.json"
    if not path.is_file():
        pytest.skip(f"{path} is not here; LIVINGLAB_SAMPLES names the folder of sample data")

    heard = hear(path.read_bytes())

    assert [("pm10", 5.38), ("pm25", 4.98)] == heard.all("property", "value")
    assert {("balcony", None, None)} == set(heard.all("thing", "time", "unit"))
    assert (4, []) == (len(heard.ignored), heard.rejects)
    assert is_sensor_community(orjson.loads(path.read_bytes()), {})
    assert [("no_identity", "sensor")] == hear(path.read_bytes(), {}).rejects


LEAVES = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=12)
ENTRIES = st.fixed_dictionaries(
    {"value_type": st.sampled_from([*WORDS, "signal", "ratioP1"]) | LEAVES, "value": LEAVES}
)
OBJECTS = st.dictionaries(
    st.sampled_from(["id", "latitude", "longitude", "sensor_type"]),
    LEAVES | st.lists(LEAVES, max_size=2),
)
RECORDS = st.fixed_dictionaries(
    {"sensordatavalues": st.lists(ENTRIES | LEAVES, max_size=3) | LEAVES},
    optional={
        "timestamp": LEAVES,
        "location": OBJECTS | LEAVES,
        "sensor": OBJECTS | LEAVES,
        "esp8266id": LEAVES,
    },
)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(payload: bytes):
    """Nothing but a refusal comes out."""
    survives(decode, payload, {}, route())


@given(RECORDS | st.lists(RECORDS | LEAVES, max_size=2))
def test_any_records_are_read_or_refused(told: object):
    """Nor do odd values in the right places."""
    survives(decode, orjson.dumps(told), {}, route())
    is_sensor_community(told, {})
