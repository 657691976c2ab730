"""Format `tasmota`: SENSOR messages, one object per sensor and many sensors a message.

The Thing is named by the topic, ``tele/<thing>/SENSOR``. A route that takes the other telemetry too
names its last level ``{message}``: whatever is not SENSOR is passed over unread.

The time is local and tells no zone, so the route's counts. Units of temperature, pressure and wind
speed are settings of the device, told beside the sensors; all else is in the property's own unit. A
sensor that does not answer says null: missing.

Every Reading's channel is its sensor, also where the device has only one of a kind: which of
several answered must not decide what the others are called. Probes on one wire are numbered anew at
each start (``DS18B20-1``, or plain ``DS18B20`` when alone), so where they tell their address, that
counts in place of the number.

Option of the route: ``names``, a table of word = property; nested words are joined by a point.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from livinglab.wire.attributes import Teller, check_topics, mapped, topic_thing
from livinglab.wire.documents import BadValue, document, moment
from livinglab.wire.routes import Route
from livinglab.wire.sinks import UNKNOWN_UNIT, Sink, Undecodable
from livinglab.wire.words import Quantity

TIME = "Time"
UNITS = {"temperature": "TempUnit", "pressure": "PressureUnit", "wind_speed": "SpeedUnit"}
"""Property → where the message tells its unit."""

WORDS = {
    word: Quantity(observed_property)
    for observed_property, words in {
        "temperature": ("Temperature",),
        "relative_humidity": ("Humidity",),
        "pressure": ("Pressure",),
        "illuminance": ("Illuminance",),
        "co2": ("CarbonDioxide",),
        "pm1": ("PM1", "PM1_0"),
        "pm25": ("PM2.5", "PM2_5"),
        "pm10": ("PM10",),
        "wind_speed": ("Speed", "Speed.Act"),
        "wind_direction": ("Degree", "Dir.Deg"),
        "battery": ("Battery",),
    }.items()
    for word in words
}
"""What Tasmota's drivers call what a city measures. Not here, on purpose: CF1 and its like (factory
conditions), eCO2 (reckoned from other gases), NOx (an index), SeaPressure (reduced)."""

INSIDE = frozenset({"ENERGY", "ESP32"})
"""Not the air: a plug's meter, and the processor's own temperature."""

_NUMBERED = re.compile(r"[-_]\d+$", re.ASCII)

check = check_topics


class _Value(NamedTuple):
    """A value of a sensor."""

    meaning: Quantity | None
    source: object
    path: str


def is_tasmota(told: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a document looks like a SENSOR message."""
    del fields  # the documents tell enough
    return (
        isinstance(told, dict)
        and isinstance(told.get(TIME), str)
        and any(isinstance(one, dict) for one in told.values())
    )


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    if fields.get("message", "SENSOR") != "SENSOR":
        sink.ignore("no_sensor_message")
        return
    told = document(payload)
    if not isinstance(told, dict):
        raise Undecodable("bad_shape", "a message must be an object")
    thing = topic_thing(fields)
    values = list(_values(told, route))
    for one in values:
        if one.meaning is None:
            sink.ignore("no_measurement", one.path)
    known = [(one.meaning, one.source, one.path) for one in values if one.meaning]
    if not known:
        return
    try:
        time = moment(told.get(TIME), route.timezone)
    except BadValue as error:
        sink.reject(error.reason, error.detail, TIME, readings=len(known))
        return
    teller = Teller(sink=sink, thing=thing, time=time)
    for meaning, source, path in known:
        teller.tell(meaning, source, path)


def _values(told: Mapping[str, object], route: Route) -> Iterator[_Value]:
    """Yield the values of all sensors."""
    for sensor, told_of in told.items():
        if sensor == TIME or sensor in UNITS.values():
            continue
        if not isinstance(told_of, dict) or sensor in INSIDE:
            yield _Value(None, told_of, sensor)
            continue
        channel = _channel(sensor, told_of)
        for word, source in _flat(told_of):
            meaning = mapped(word, WORDS, route)
            if meaning is not None:
                unit = _unit(meaning.observed_property, told)
                meaning = meaning._replace(unit=unit, channel=channel)
            yield _Value(meaning, source, f"{sensor}.{word}")


def _flat(sensor: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield words and values; those one level deeper are joined by a point."""
    for word, source in sensor.items():
        if isinstance(source, dict):
            yield from ((f"{word}.{inner}", value) for inner, value in source.items())
        else:
            yield word, source


def _channel(sensor: str, told: Mapping[str, object]) -> str:
    address = told.get("Id") or told.get("Address")
    if isinstance(address, str):
        sensor = f"{_NUMBERED.sub('', sensor)}-{address}"
    return sensor


def _unit(observed_property: str, told: Mapping[str, object]) -> str | None:
    """Return the unit that the message tells; None: the property's own."""
    if observed_property not in UNITS:
        return None
    unit = told.get(UNITS[observed_property])
    return unit[:40] if isinstance(unit, str) else UNKNOWN_UNIT
