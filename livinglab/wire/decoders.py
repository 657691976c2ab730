"""Decoders: the table of formats, and the guess which of them a payload is."""

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from livinglab.errors import SettingsError, UnsupportedFormatError
from livinglab.wire import anyjson, lab, santander
from livinglab.wire.documents import document
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Decoder, Sink, Undecodable

RECOGNISED: dict[str, Callable[[object, Mapping[str, str]], bool]] = {
    "santander-traffic": santander.is_traffic,
    "santander-environment": santander.is_environment,
    "lab": lab.is_lab,
}
"""Format → whether a document and its topic's named levels look like it; the first wins."""


def guess(payload: bytes, fields: Mapping[str, str]) -> str:
    """Say which format a payload is, among those that can be told apart.

    Args:
        payload: As it came.
        fields: What its topic names.

    Raises:
        Undecodable: It is none of them.
    """
    told = document(payload)
    for name, looks_like in RECOGNISED.items():
        if looks_like(told, fields):
            return name
    raise Undecodable(
        "unknown_format", f"it is none of those that can be told apart: {', '.join(RECOGNISED)}"
    )


def _auto(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    DECODERS[guess(payload, fields)](payload, fields, route, sink)


DECODERS: dict[str, Decoder] = {
    "lab": lab.decode,
    "santander-environment": santander.decode_environment,
    "santander-traffic": santander.decode_traffic,
    "json": anyjson.decode,
    "auto": _auto,
}
"""Format → decoder."""

CHECKS: dict[str, Callable[[Route], None]] = {"lab": lab.check, "json": anyjson.check}
"""Format → what it demands of its routes; ValueError says what is wrong."""

SCHEMES = {"lab": "lab", "santander-environment": "santander", "santander-traffic": "santander"}
"""Format → scheme of its Things' ids, where no route says another."""


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
