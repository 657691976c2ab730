"""Decoders: the table of formats, and the guess which of them a payload is."""

from collections.abc import Mapping

from livinglab.errors import UnsupportedFormatError
from livinglab.wire import anyjson, lab, santander
from livinglab.wire.documents import document
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Decoder, Sink, Undecodable


def guess(payload: bytes, topic: str) -> str:
    """Say which format a payload is, among those that can be told apart.

    Raises:
        Undecodable: It is none of them.
    """
    told = document(payload)
    if isinstance(told, dict) and isinstance(told.get("resources"), list):
        told = told["resources"]
    first = told[0] if isinstance(told, list) and told else told
    if isinstance(first, dict):
        if "ayto:idSensor" in first:
            return "santander-traffic"
        if "ayto:type" in first or "ayto:temperature" in first:
            return "santander-environment"
    plain = isinstance(told, (int, float)) or (isinstance(told, dict) and "v" in told)
    if plain and topic.count("/") == 2:  # noqa: PLR2004 - lab/<thing>/<property>
        return "lab"
    raise Undecodable("bad_shape", "this is none of the formats that can be told apart")


def _auto(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    topic = "lab/x/y" if {"thing", "property"} <= fields.keys() else ""
    DECODERS[guess(payload, topic)](payload, fields, route, sink)


DECODERS: dict[str, Decoder] = {
    "lab": lab.decode,
    "santander-environment": santander.decode_environment,
    "santander-traffic": santander.decode_traffic,
    "json": anyjson.decode,
    "auto": _auto,
}
"""Format → decoder."""

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
