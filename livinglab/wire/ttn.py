"""Format `ttn`: uplinks of LoRaWAN devices, as The Things Stack v3 forwards them.

The device's EUI is its identity: it is unique in the world and moves with the hardware, while
``device_id`` is unique in its application only and may be given to another device. Without an EUI
both names together count.

The device itself tells no time. Of the times told the gateway's is the nearest, if it is its
satellites' (``gps_time``) or at least set; then that of the network server, then that of the
application server.

Values stand in ``decoded_payload``, under names that the author of a payload formatter chose.
They are read as words (`wire.words`); a formatter that nests them names a channel. The unit is
told by ``{"value": 21.5, "unit": "°C"}`` or by a name with a unit in it; by no other name, so
without the route's ``units`` nobody knows.
Numbers under other names are refused until ``names`` maps them. The stack leaves out what is
empty, zero or false outside of ``decoded_payload``, so what is absent makes no Reading.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from livinglab.domain.geometry import Point
from livinglab.domain.readings import TimeSource
from livinglab.wire.documents import BadValue, document, identity, moment, number, position
from livinglab.wire.routes import Route
from livinglab.wire.settling import EARLIEST_MS
from livinglab.wire.sinks import Sink, Undecodable
from livinglab.wire.words import check_words, quantity, unit_of

_AXES = {
    "longitude": "lon",
    "lon": "lon",
    "lng": "lon",
    "latitude": "lat",
    "lat": "lat",
    "altitude": "alt",
    "alt": "alt",
}
_EVENTS = frozenset({"join_accept", "location_solved", "service_data", "uplink_normalized"})
"""Messages besides uplinks and what begins with ``downlink``; none holds values to decode."""

check = check_words


class _Value(NamedTuple):
    """A value of a decoded payload."""

    word: str
    source: object
    path: str
    channel: str
    unit: str | None = None


def is_ttn(told: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a document looks like a message of The Things Stack."""
    del fields  # the documents tell enough
    return isinstance(told, dict) and isinstance(told.get("end_device_ids"), dict)


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    del fields  # the documents name every device themselves
    told = document(payload)
    if not isinstance(told, dict):
        raise Undecodable("bad_shape", "a message must be an object")
    uplink = told.get("uplink_message")
    if not isinstance(uplink, dict):
        if "uplink_message" in told or not _is_event(told):
            raise Undecodable("bad_shape", "there is no uplink_message", "uplink_message")
        sink.ignore("no_uplink")
        return
    if told.get("simulated") is True:
        sink.ignore("simulated", "simulated")
        return
    try:
        thing = _identity(told.get("end_device_ids"))
    except BadValue as error:
        raise Undecodable(error.reason, error.detail, "end_device_ids") from None
    values = _payload(uplink, sink)
    time, time_source = _time(told, uplink, sink)
    point = _point(values, uplink, sink)
    for one in values:
        _tell(one, route, sink, thing=thing, time=time, time_source=time_source, point=point)


def _is_event(told: Mapping[str, object]) -> bool:
    """Tell whether it is a message of theirs that is no uplink."""
    return any(key in _EVENTS or key.startswith("downlink") for key in told)


def _identity(ids: object) -> str:
    """Return the device's EUI, or else the names of application and device."""
    ids = ids if isinstance(ids, dict) else {}
    if eui := ids.get("dev_eui"):
        return identity(eui).upper()
    application = ids.get("application_ids")
    name = application.get("application_id") if isinstance(application, dict) else None
    device = identity(ids.get("device_id"))
    return identity(f"{identity(name)}/{device}") if name else device


def _payload(uplink: Mapping[str, object], sink: Sink) -> list[_Value]:
    """Return the values of an uplink; what else a reader may want to know is listed.

    Raises:
        Undecodable: Nobody has decoded its bytes.
    """
    decoded = uplink.get("decoded_payload")
    count = uplink.get("f_cnt", 0)
    if type(count) is int:
        sink.ignore("f_cnt", f"uplink_message.f_cnt={count}")
    if decoded is None:
        if uplink.get("frm_payload"):
            raise Undecodable("no_decoded_payload", "no formatter decoded it", "uplink_message")
        sink.ignore("no_payload", "uplink_message")
        return []
    if not isinstance(decoded, dict):
        raise Undecodable("bad_shape", "it must be an object", "uplink_message.decoded_payload")
    if uplink.get("decoded_payload_warnings"):
        sink.ignore("warned", "uplink_message.decoded_payload_warnings")
    return list(_values(decoded, "uplink_message.decoded_payload"))


def _values(told: Mapping[str, object], path: str, channel: str = "") -> Iterator[_Value]:
    """Yield the values of a payload, nested ones too."""
    for word, source in told.items():
        where = f"{path}.{word}"
        if isinstance(source, dict) and "value" in source:
            unit = source.get("unit")
            unit = unit if isinstance(unit, str) else None
            yield _Value(word, source["value"], f"{where}.value", channel, unit)
        elif isinstance(source, dict):
            yield from _values(source, where, f"{channel}.{word}".removeprefix("."))
        else:
            yield _Value(word, source, where, channel)


def _time(
    told: Mapping[str, object], uplink: Mapping[str, object], sink: Sink
) -> tuple[int | None, TimeSource]:
    """Return the best of the times told: see the module. [ms since 1970 UTC]"""
    gateways = [
        (f"uplink_message.rx_metadata[{n}].{key}", gateway.get(key), TimeSource.PAYLOAD)
        for key in ("gps_time", "time")
        for n, gateway in enumerate(_list(uplink.get("rx_metadata")))
        if isinstance(gateway, dict)
    ]
    network = ("uplink_message.received_at", uplink.get("received_at"), TimeSource.NETWORK)
    application = ("received_at", told.get("received_at"), TimeSource.NETWORK)
    for path, text, source in (*gateways, network, application):
        try:
            time = moment(text, "UTC")
        except BadValue as error:
            sink.reject(error.reason, error.detail, path, readings=0)
            continue
        if time is not None and time >= EARLIEST_MS:  # else the clock was never set
            return time, source
    return None, TimeSource.RECEIVED


def _list(told: object) -> list[object]:
    return told if isinstance(told, list) else []


def _point(values: list[_Value], uplink: Mapping[str, object], sink: Sink) -> Point | None:
    """Return where the device says it is, else where its registry does; never where it once was.

    A bad position costs no Reading.
    """
    told = {_axis(one.word): (one.source, one.path) for one in values}
    if told.keys().isdisjoint({"lon", "lat"}):
        told = _registered(uplink)
    try:
        return position(*(told.get(axis, (None, ""))[0] for axis in ("lon", "lat")))
    except BadValue as error:
        path = next(told[axis][1] for axis in ("lon", "lat") if axis in told)
        sink.reject(error.reason, error.detail, path, readings=0)
        return None


def _registered(uplink: Mapping[str, object]) -> dict[str, tuple[object, str]]:
    """Return where the registry of the stack says that the device is."""
    locations = uplink.get("locations")
    user = locations.get("user") if isinstance(locations, dict) else None
    if not isinstance(user, dict):
        return {}
    return {
        _axis(key): (value, f"uplink_message.locations.user.{key}") for key, value in user.items()
    }


def _axis(word: str) -> str:
    """Tell which part of a position a name means, if one."""
    return _AXES.get(word.casefold(), "")


def _tell(
    one: _Value,
    route: Route,
    sink: Sink,
    *,
    thing: str,
    time: int | None,
    time_source: TimeSource,
    point: Point | None,
) -> None:
    """Tell a sink of one value; what is wrong with it costs no other."""
    meaning = quantity(one.word, route)
    if meaning is None:
        _pass_over(one, sink)
        return
    try:
        value = number(one.source)
    except BadValue as error:
        sink.reject(error.reason, error.detail, one.path)
        return
    sink.reading(
        thing,
        meaning.observed_property,
        time,
        value,
        unit=unit_of(meaning, one.unit),
        source=one.source,
        path=one.path,
        point=point,
        channel=".".join(filter(None, (one.channel, meaning.channel))),
        time_source=time_source,
    )


def _pass_over(one: _Value, sink: Sink) -> None:
    """Refuse numbers that nobody knows; text and switches are no measurements."""
    if _axis(one.word):
        return
    if type(one.source) in {int, float, list}:
        sink.reject("unknown_property", f"{one.word[:80]!r} is no property", one.path)
    else:
        sink.ignore("no_measurement", one.path)
