"""Decoders: the table of formats, and the guess which of them a payload is."""

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from livinglab.errors import SettingsError, UnsupportedFormatError
from livinglab.wire import (
    anyjson,
    iotagent,
    lab,
    lineprotocol,
    ngsi,
    organicity,
    santander,
    senml,
    sensorcommunity,
    sensorthings,
    sparkplug,
    table,
    tasmota,
    ttn,
    ultralight,
    zigbee2mqtt,
)
from livinglab.wire.documents import document
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Decoder, Short, Sink, Undecodable

BY_BYTES: dict[str, Callable[[bytes, Mapping[str, str]], bool]] = {
    "sparkplug": sparkplug.is_sparkplug,
    "senml": senml.is_senml_cbor,
}
"""Format → whether bytes that need be no JSON look like it; asked first."""

BY_DOCUMENT: dict[str, Callable[[object, Mapping[str, str]], bool]] = {
    "santander-traffic": santander.is_traffic,
    "santander-environment": santander.is_environment,
    "organicity": organicity.is_organicity,
    "ttn": ttn.is_ttn,
    "ngsi": ngsi.is_ngsi,
    "senml": senml.is_senml,
    "sensorthings": sensorthings.is_sensorthings,
    "lab": lab.is_lab,
    "tasmota": tasmota.is_tasmota,
    "zigbee2mqtt": zigbee2mqtt.is_zigbee2mqtt,
    "sensor-community": sensorcommunity.is_sensor_community,
    "iotagent-json": iotagent.is_iotagent_json,
}
"""Format → whether a JSON document and its topic's named levels look like it; the first wins."""

BY_TEXT: dict[str, Callable[[bytes, Mapping[str, str]], bool]] = {
    "line-protocol": lineprotocol.is_line_protocol,
    "ultralight": ultralight.is_ultralight,
}
"""Format → whether bytes that are no JSON look like it."""


def guess(payload: bytes, fields: Mapping[str, str]) -> str:
    """Say which format a payload is, among those that can be told apart.

    Args:
        payload: As it came.
        fields: What its topic names.

    Raises:
        Undecodable: It is none of them.
    """
    for name, looks_like in BY_BYTES.items():
        if looks_like(payload, fields):
            return name
    try:
        told = document(payload)
    except Undecodable:
        for name, looks_like in BY_TEXT.items():
            if looks_like(payload, fields):
                return name
        raise
    for name, has_shape_of in BY_DOCUMENT.items():
        if has_shape_of(told, fields):
            return name
    names = ", ".join({**BY_BYTES, **BY_DOCUMENT, **BY_TEXT})
    raise Undecodable("unknown_format", f"it is none of those that can be told apart: {names}")


def _auto(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    DECODERS[guess(payload, fields)](payload, fields, route, sink)


DECODERS: dict[str, Decoder] = {
    "lab": lab.decode,
    "santander-environment": santander.decode_environment,
    "santander-traffic": santander.decode_traffic,
    "organicity": organicity.decode,
    "ngsi": ngsi.decode,
    "ultralight": ultralight.decode,
    "iotagent-json": iotagent.decode,
    "senml": senml.decode,
    "sensorthings": sensorthings.decode,
    "ttn": ttn.decode,
    "sensor-community": sensorcommunity.decode,
    "tasmota": tasmota.decode,
    "zigbee2mqtt": zigbee2mqtt.decode,
    "sparkplug": sparkplug.decode,
    "line-protocol": lineprotocol.decode,
    "json": anyjson.decode,
    "table": table.decode,
    "auto": _auto,
}
"""Format → decoder."""

CHECKS: dict[str, Callable[[Route], None]] = {
    "lab": lab.check,
    "organicity": organicity.check,
    "ngsi": ngsi.check,
    "ultralight": ultralight.check,
    "iotagent-json": iotagent.check,
    "senml": senml.check,
    "sensorthings": sensorthings.check,
    "ttn": ttn.check,
    "sensor-community": sensorcommunity.check,
    "tasmota": tasmota.check,
    "zigbee2mqtt": zigbee2mqtt.check,
    "sparkplug": sparkplug.check,
    "line-protocol": lineprotocol.check,
    "json": anyjson.check,
    "table": table.check,
}
"""Format → what it demands of its routes; ValueError says what is wrong."""

SHORT: dict[str, Short] = {
    "santander-environment": santander.short_environment,
    "santander-traffic": santander.short_traffic,
}
"""Format → its short way for what comes by the hundred thousand."""

SCHEMES = {
    "lab": "lab",
    "santander-environment": "santander",
    "santander-traffic": "santander",
    "line-protocol": "influx",
}
"""Format → scheme of its Things' ids where no route says another; else the format's own name."""

TOPICS: dict[str, tuple[str, ...]] = {
    "lab": ("lab/{thing}/{property}",),
    "ultralight": ("/ul/{key}/{thing}/attrs", "/ul/{key}/{thing}/attrs/{property}"),
    "iotagent-json": ("/json/{key}/{thing}/attrs", "/json/{key}/{thing}/attrs/{property}"),
    "tasmota": ("tele/{thing}/{message}",),
    "zigbee2mqtt": ("zigbee2mqtt/{thing}",),
    "sensorthings": ("{version}/{datastream}/Observations",),
    "sparkplug": (
        "spBv1.0/{group}/{type}/{edge}",
        "spBv1.0/{group}/{type}/{edge}/{device}",
    ),
}
"""Format → filters of the topics that its makers prescribe, where they do."""


def decoder(name: str) -> Decoder:
    """Return the decoder of a format.

    Raises:
        UnsupportedFormatError: There is none.
    """
    try:
        return DECODERS[name]
    except KeyError:
        raise UnsupportedFormatError(name, tuple(DECODERS)) from None


def check_route(route: Route) -> None:
    """Refuse a route that could never read a message, before the first one comes.

    Raises:
        SettingsError: Naming the route, and what is wrong with it.
    """
    name = f"route {route.name}"
    if route.format not in DECODERS:
        remedy = f"name one of {', '.join(DECODERS)}"
        raise SettingsError(name, f"there is no format {route.format!r}", remedy)
    if route.timezone is not None:
        try:
            ZoneInfo(route.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            remedy = "name an IANA zone such as Europe/Madrid"
            raise SettingsError(name, f"{route.timezone!r} is no time zone", remedy) from error
    try:
        CHECKS.get(route.format, _accept)(route)
    except ValueError as error:
        raise SettingsError(name, str(error), "correct its filter or its options") from error


def _accept(route: Route) -> None:
    """Demand nothing of a route: its format reads everything from the payload."""
