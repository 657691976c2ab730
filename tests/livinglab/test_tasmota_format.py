"""Format `tasmota`: many sensors a message, a local clock, and units that are settings."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.wire.routes import Route
from livinglab.wire.tasmota import check, decode, is_tasmota
from tests.livinglab.hearing import Heard, refusal, survives

TOPIC = {"thing": "balcony", "message": "SENSOR"}
TIME = "2026-01-31T13:00:00"
MS = 1_769_860_800_000


def route(**changes: Any) -> Route:
    told: dict[str, Any] = {"filter": "tele/{thing}/{message}", "timezone": "Europe/Madrid"}
    return Route(name="tele", format="tasmota", scheme="tasmota", **told | changes)


def message(**sensors: object) -> dict[str, object]:
    return {"Time": TIME, **sensors, "PressureUnit": "hPa", "TempUnit": "C"}


def hear(told: object, fields: dict[str, str] = TOPIC, **changes: Any) -> Heard:
    heard = Heard()
    payload = told if isinstance(told, bytes) else orjson.dumps(told)
    decode(payload, fields, route(**changes), heard)
    return heard


def test_one_message_holds_many_sensors():
    """Each with its own words; what is reckoned from them is no measurement."""
    bme = {"Temperature": 20.5, "Humidity": 53.1, "DewPoint": 10.6, "Pressure": 977.0}
    heard = hear(message(BME280=bme, SDS0X1={"PM2.5": 11.8, "PM10": 15.8}))

    assert [
        ("temperature", "BME280", 20.5, "C", "BME280.Temperature"),
        ("relative_humidity", "BME280", 53.1, None, "BME280.Humidity"),
        ("pressure", "BME280", 977.0, "hPa", "BME280.Pressure"),
        ("pm25", "SDS0X1", 11.8, None, "SDS0X1.PM2.5"),
        ("pm10", "SDS0X1", 15.8, None, "SDS0X1.PM10"),
    ] == heard.all("property", "channel", "value", "unit", "path")
    assert {("balcony", MS)} == set(heard.all("thing", "time"))
    assert ([("no_measurement", "BME280.DewPoint")], []) == (heard.ignored, heard.rejects)


@pytest.mark.parametrize(
    ("sensor", "told", "found"),
    [
        ("AM2301", {"Temperature": 1, "Humidity": 2}, ["temperature", "relative_humidity"]),
        ("PMS5003", {"CF1": 1, "CF2.5": 2, "PM1": 3, "PM2.5": 4, "PB0.3": 5}, ["pm1", "pm25"]),
        ("MHZ19B", {"Model": "B", "CarbonDioxide": 456, "Temperature": 27}, ["co2", "temperature"]),
        ("SCD30", {"CarbonDioxide": 746, "eCO2": 700}, ["co2"]),
        ("SEN5X", {"PM1": 1, "PM4": 2, "NOx": 1, "VOC": 90}, ["pm1"]),
        ("SPS30", {"PM1_0": 1, "PM2_5": 2, "PM4_0": 3, "PM10": 4}, ["pm1", "pm25", "pm10"]),
        ("BH1750", {"Illuminance": 79}, ["illuminance"]),
        (
            "TX23",
            {"Speed": {"Act": 1, "Max": 2}, "Dir": {"Deg": 90}},
            ["wind_speed", "wind_direction"],
        ),
        ("TX23", {"Speed": 1, "SpeedMax": 2, "Degree": 90}, ["wind_speed", "wind_direction"]),
    ],
)
def test_drivers_words_are_known(sensor: str, told: dict[str, object], found: list[str]):
    """Factory conditions, maxima, indices and what is reckoned are left out."""
    assert found == hear(message(**{sensor: told})).all("property")


def test_a_probes_channel_does_not_depend_on_the_others():
    """Numbers change when a probe falls silent; its address does not."""
    first, second = {"Id": "01A1", "Temperature": 20.4}, {"Id": "01B2", "Temperature": 21.4}

    both = hear(message(**{"DS18B20-1": first, "DS18B20-2": second}))
    alone = hear(message(DS18B20=second))

    assert ["DS18B20-01A1", "DS18B20-01B2"] == both.all("channel")
    assert ["DS18B20-01B2"] == alone.all("channel")


def test_the_sensor_is_the_channel_even_alone():
    """Else a second thermometer would rename the first."""
    told = {"Temperature": 20}

    assert ["AM2301"] == hear(message(AM2301=told)).all("channel")
    assert ["AM2301", "BME280"] == hear(message(AM2301=told, BME280=told)).all("channel")


def test_units_are_settings_of_the_device():
    """A device that does not tell them leaves the unit unknown."""
    told = {"AM2301": {"Temperature": 68}, "BMP": {"Pressure": 29.9}, "TX23": {"Speed": {"Act": 9}}}
    units = {"TempUnit": "F", "PressureUnit": "inHg", "SpeedUnit": "mph"}

    assert ["F", "inHg", "mph"] == hear({**told, **units}).all("unit")
    assert ["", "", ""] == hear(told).all("unit")


def test_the_clock_is_local():
    """The zone is the route's, unless the device tells its offset."""
    told = message(AM2301={"Temperature": 20, "Humidity": 40})

    lost = hear(told, timezone=None)
    offset = hear({**told, "Time": f"{TIME}+01:00"}, timezone=None)

    assert ([("no_timezone", "Time")], 2, []) == (lost.rejects, lost.lost, lost.readings)
    assert {MS} == set(offset.all("time"))


def test_silent_sensor_is_missing_and_absent_one_is_nothing():
    """The driver says null when its sensor does not answer."""
    heard = hear(message(AM2301={"Temperature": None}))

    [reading] = heard.readings
    assert reading["value"] != reading["value"]
    assert ([], []) == (heard.rejects, heard.ignored)


def test_plugs_and_processors_measure_no_air():
    """Nor do switches, nor how long the device has run."""
    heard = hear(
        message(
            ENERGY={"Voltage": 230, "Temperature": 40},
            ESP32={"Temperature": 41.7},
            Switch1="ON",
            Uptime="1T00:00:00",
        )
    )

    ignored = [("no_measurement", key) for key in ("ENERGY", "ESP32", "Switch1", "Uptime")]
    assert (ignored, [], []) == (heard.ignored, heard.rejects, heard.readings)


def test_state_is_passed_over():
    """By its topic unread, or because nothing in it is a measurement."""
    state = {"Time": TIME, "Uptime": "1T", "Vcc": 3.4, "Wifi": {"RSSI": 70, "Signal": -65}}

    heard = hear(state, {"thing": "balcony"}, timezone=None)

    assert [("no_sensor_message", "")] == hear(b"Online", TOPIC | {"message": "LWT"}).ignored
    assert [("no_sensor_message", "")] == hear(state, TOPIC | {"message": "STATE"}).ignored
    assert [] == heard.readings + heard.rejects


@pytest.mark.parametrize(
    ("value", "reason"), [("n/a", "bad_number"), ("nan", "not_finite"), ("inf", "not_finite")]
)
def test_one_bad_value_costs_no_sibling(value: object, reason: str):
    """The other of the same sensor is as good as before."""
    heard = hear(message(AM2301={"Temperature": value, "Humidity": 40}))

    assert [(reason, "AM2301.Temperature")] == heard.rejects
    assert ["relative_humidity"] == heard.all("property")


def test_route_may_add_words_and_override_them():
    """What it adds is in the property's own unit; nested words are joined by a point."""
    told = message(ANALOG={"Illuminance1": 80}, TX23={"Speed": {"Avg": 2, "Act": 3}})
    names = {"Illuminance1": "illuminance", "Speed.Avg": "wind_speed"}

    heard = hear(told, options={"names": names})

    assert [("illuminance", 80.0, None), ("wind_speed", 2.0, ""), ("wind_speed", 3.0, "")] == (
        heard.all("property", "value", "unit")
    )


@pytest.mark.parametrize(
    ("payload", "fields", "reason"),
    [
        (b"[]", TOPIC, "bad_shape"),
        (b"", TOPIC, "empty"),
        (b"{", TOPIC, "bad_json"),
        (b"{}", {}, "no_identity"),
    ],
)
def test_another_shape_is_refused_as_a_whole(payload: bytes, fields: dict[str, str], reason: str):
    """So is one whose topic tells no Thing."""
    assert reason == refusal(lambda: hear(payload, fields))


def test_messages_can_be_told_from_other_documents():
    """A time with a capital, and an object per sensor."""
    assert is_tasmota(message(AM2301={}), {})
    others: list[object] = [[], {"Time": TIME}, {"Time": 5, "A": {}}, {"AM2301": {}}]
    for told in others:
        assert not is_tasmota(told, {})


def test_route_must_name_things_and_properties():
    """A slip in the city file is found before the first message."""
    check(route())
    slips: list[dict[str, Any]] = [{"filter": "tele/#"}, {"options": {"names": {"A": "mood"}}}]
    for changes in slips:
        with pytest.raises(ValueError, match=r"thing|mood"):
            check(route(**changes))


LEAVES = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=12)
SENSORS = st.dictionaries(
    st.sampled_from(["Temperature", "Pressure", "Speed", "Id", "PM2.5"]),
    LEAVES | st.dictionaries(st.sampled_from(["Act", "Deg"]), LEAVES),
)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(payload: bytes):
    """Nothing but a refusal comes out."""
    survives(decode, payload, TOPIC, route())


@given(
    st.dictionaries(
        st.sampled_from(["Time", "TempUnit", "SpeedUnit", "DS18B20-1", "ENERGY"]), LEAVES | SENSORS
    )
)
def test_any_message_is_read_or_refused(told: dict[str, object]):
    """Nor do odd values in the right places."""
    survives(decode, orjson.dumps(told), TOPIC, route())
    is_tasmota(told, {})
