"""Decoders: one row per format, and the guess which of them a payload is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    FORMATS[guess(payload, fields)].decode(payload, fields, route, sink)


def _accept(route: Route) -> None:
    """Demand nothing of a route: its format reads everything from the payload."""


@dataclass(frozen=True, slots=True)
class Format:
    """What the lab knows of a format."""

    decode: Decoder
    check: Callable[[Route], None] = _accept
    """What it demands of its routes; ValueError says what is wrong."""
    scheme: str | None = None
    """Scheme of its Things' ids where no route says another; None: the format's own name."""
    topics: tuple[str, ...] = ()
    """Filters of the topics that its makers prescribe, where they do."""
    short: Short | None = None
    """A shorter way for what comes by the hundred thousand."""


FORMATS: dict[str, Format] = {
    "lab": Format(lab.decode, lab.check, topics=("lab/{thing}/{property}",)),
    "santander-environment": Format(
        santander.decode_environment, scheme="santander", short=santander.short_environment
    ),
    "santander-traffic": Format(
        santander.decode_traffic, scheme="santander", short=santander.short_traffic
    ),
    "organicity": Format(organicity.decode, organicity.check),
    "ngsi": Format(ngsi.decode, ngsi.check),
    "ultralight": Format(
        ultralight.decode,
        ultralight.check,
        topics=("/ul/{key}/{thing}/attrs", "/ul/{key}/{thing}/attrs/{property}"),
    ),
    "iotagent-json": Format(
        iotagent.decode,
        iotagent.check,
        topics=("/json/{key}/{thing}/attrs", "/json/{key}/{thing}/attrs/{property}"),
    ),
    "senml": Format(senml.decode, senml.check),
    "sensorthings": Format(
        sensorthings.decode,
        sensorthings.check,
        topics=("{version}/{datastream}/Observations",),
    ),
    "ttn": Format(ttn.decode, ttn.check),
    "sensor-community": Format(sensorcommunity.decode, sensorcommunity.check),
    "tasmota": Format(tasmota.decode, tasmota.check, topics=("tele/{thing}/{message}",)),
    "zigbee2mqtt": Format(zigbee2mqtt.decode, zigbee2mqtt.check, topics=("zigbee2mqtt/{thing}",)),
    "sparkplug": Format(
        sparkplug.decode,
        sparkplug.check,
        topics=(
            "spBv1.0/{group}/{type}/{edge}",
            "spBv1.0/{group}/{type}/{edge}/{device}",
        ),
    ),
    "line-protocol": Format(lineprotocol.decode, lineprotocol.check, scheme="influx"),
    "json": Format(anyjson.decode, anyjson.check),
    "table": Format(table.decode, table.check),
    "auto": Format(_auto),
}
"""Every format, by name."""


def format_named(name: str) -> Format:
    """Return a format.

    Raises:
        UnsupportedFormatError: There is none of that name.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise UnsupportedFormatError(name, tuple(FORMATS)) from None


def usual_route(name: str) -> Route:
    """Return a route for a format of which nothing else is known."""
    known = format_named(name)
    filter_ = known.topics[0] if known.topics else "#"
    return Route(name=name, filter=filter_, format=name, scheme=known.scheme or name)


def check_route(route: Route) -> None:
    """Refuse a route that could never read a message, before the first one comes.

    Raises:
        SettingsError: Naming the route, and what is wrong with it.
    """
    name = f"route {route.name}"
    if route.format not in FORMATS:
        remedy = f"name one of {', '.join(FORMATS)}"
        raise SettingsError(name, f"there is no format {route.format!r}", remedy)
    if route.timezone is not None:
        try:
            ZoneInfo(route.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            remedy = "name an IANA zone such as Europe/Madrid"
            raise SettingsError(name, f"{route.timezone!r} is no time zone", remedy) from error
    try:
        FORMATS[route.format].check(route)
    except ValueError as error:
        raise SettingsError(name, str(error), "correct its filter or its options") from error
