"""Format `sensor-community`: what the sensors of Sensor.Community send, and its API tells.

Particles are named after the sensor's outputs: **P1 is PM10, P2 is PM2.5**, P0 is PM1. Pressure is
in pascal. A sensor sends no time, so the arrival counts, and mostly no id: then the topic must name
the Thing. A record of the API has both, its ``timestamp`` being UTC, and a position; its id is that
of the sensor, of which a box has several.

The prefix of a word names the sensor, and is the channel: a box with two thermometers must not mix
them up, nor rename one when the other falls silent. The API's words have no prefix.

Option of the route: ``names``, a table of word = property, in the property's own unit.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from livinglab.domain.geometry import Point
from livinglab.wire.attributes import Teller, mapped
from livinglab.wire.documents import BadValue, document, identity, moment, position
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable
from livinglab.wire.words import Quantity, check_words

VALUES, TIME, PLACE = "sensordatavalues", "timestamp", "location"
IDS = ("esp8266id", "raspiid", "sensor")

_OUTPUTS = {
    "P0": Quantity("pm1"),
    "P1": Quantity("pm10"),
    "P2": Quantity("pm25"),
    "temperature": Quantity("temperature"),
    "humidity": Quantity("relative_humidity"),
    "pressure": Quantity("pressure", "Pa"),
    "LAeq": Quantity("noise_level"),
    "co2_ppm": Quantity("co2"),
}
_DUST, _CLIMATE = ("P0", "P1", "P2"), ("temperature", "humidity", "pressure")
_SENSORS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("SDS", "PMS", "HPM", "NPM", "IPS", "SPS30"), _DUST),
    **dict.fromkeys(("BME280", "BMP", "BMP280"), _CLIMATE),
    **dict.fromkeys(("DHT", "DHT11", "DHT22", "HTU21D", "SHT3X"), ("temperature", "humidity")),
    "DS18B20": ("temperature",),
    "SCD30": ("temperature", "humidity", "co2_ppm"),
    "noise": ("LAeq",),
}
"""Sensor → outputs that measure the air. HECA is missing: it is the air within a dryer."""

WORDS = {
    f"{sensor}_{output}": _OUTPUTS[output]._replace(channel=sensor)
    for sensor, outputs in _SENSORS.items()
    for output in outputs
} | {output: _OUTPUTS[output] for output in (*_DUST, *_CLIMATE)}

_COUNTED = frozenset({"ratioP1", "ratioP2"})
_COUNTER = "PPD42NS"
"""A sensor that counts particles: its P1 and P2 are no masses."""

check = check_words


class _Value(NamedTuple):
    """A value of a record."""

    word: str
    source: object
    path: str


def is_sensor_community(told: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a document looks like a sensor's message, or records of the API."""
    del fields  # the documents tell enough
    records = told if isinstance(told, list) else [told]
    return bool(records) and all(isinstance(one, dict) and VALUES in one for one in records)


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    told = document(payload)
    if isinstance(told, list):
        for n, record in enumerate(told):
            _decode(record, f"[{n}].", fields, route, sink)
    elif isinstance(told, dict) and VALUES in told:
        _decode(told, "", fields, route, sink)
    else:
        raise Undecodable("bad_shape", f"it holds no {VALUES}")


def _decode(record: object, dot: str, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one record; what is wrong with it costs no other."""
    if not isinstance(record, dict) or not isinstance(record.get(VALUES), list):
        sink.reject("bad_shape", f"a record must hold a list {VALUES}", f"{dot}{VALUES}")
        return
    known = _known(record, dot, route, sink)
    if not known:
        return
    at = "sensor"
    try:
        thing = identity(fields.get("thing") or _id(record))
        at = TIME
        time = moment(record.get(TIME), "UTC")
    except BadValue as error:
        sink.reject(error.reason, error.detail, f"{dot}{at}", readings=len(known))
        return
    teller = Teller(sink=sink, thing=thing, time=time, point=_point(record, dot, sink))
    for one, meaning in known:
        teller.tell(meaning, one.source, one.path)


def _id(record: Mapping[str, object]) -> object:
    """Return the first id that a record tells."""
    told = next((record[key] for key in IDS if record.get(key)), None)
    return told.get("id") if isinstance(told, dict) else told


def _known(
    record: Mapping[str, object], dot: str, route: Route, sink: Sink
) -> list[tuple[_Value, Quantity]]:
    """Return the values that are measurements; the others are passed over."""
    values = list(_values(record, dot, sink))
    counted = _counts(record, values)
    known = []
    for one in values:
        meaning = mapped(one.word, WORDS, route)
        if meaning is None or (counted and one.word in _DUST):
            sink.ignore("no_measurement", one.path)
        else:
            known.append((one, meaning))
    return known


def _values(record: Mapping[str, object], dot: str, sink: Sink) -> Iterator[_Value]:
    told = record[VALUES]
    for n, one in enumerate(told if isinstance(told, list) else []):
        path = f"{dot}{VALUES}[{n}]"
        word = one.get("value_type") if isinstance(one, dict) else None
        if isinstance(one, dict) and isinstance(word, str) and "value" in one:
            yield _Value(word, one["value"], f"{path}.value")
        else:
            sink.reject("bad_shape", "it holds no value_type and value", path)


def _counts(record: Mapping[str, object], values: list[_Value]) -> bool:
    """Tell whether plain P1 and P2 are counts."""
    sensor = record.get("sensor")
    kind = sensor.get("sensor_type") if isinstance(sensor, dict) else None
    name = kind.get("name") if isinstance(kind, dict) else None
    return name == _COUNTER or not _COUNTED.isdisjoint(one.word for one in values)


def _point(record: Mapping[str, object], dot: str, sink: Sink) -> Point | None:
    """Read where the API says that the sensor hangs; a bad position costs no Reading."""
    place = record.get(PLACE)
    if not isinstance(place, dict):
        return None
    try:
        return position(place.get("longitude"), place.get("latitude"))
    except BadValue as error:
        sink.reject(error.reason, error.detail, f"{dot}{PLACE}", readings=0)
        return None
