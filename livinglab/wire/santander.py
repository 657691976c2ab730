"""Formats `santander-environment` and `santander-traffic`: answers of that city's open-data API.

``{"summary": …, "resources": [{…}, …]}``, a bare list, or one resource. Every value is a string,
and the empty string is missing. A node's own ``dc:modified`` is the time, for the answer also
lists nodes that have been silent for years. For traffic loops ``ayto:idSensor`` is the identity,
because ``dc:identifier`` names the reading.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from livinglab.domain.geometry import Point
from livinglab.wire.documents import BadValue, document, identity, moment, number, position
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable

TIME, LON, LAT = "dc:modified", "ayto:longitude", "ayto:latitude"


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the resources of one format hold; values come in their property's own unit."""

    identity: str
    properties: Mapping[str, str]
    """Attribute → property."""


ENVIRONMENT = _Layout(
    "dc:identifier",
    {
        "ayto:temperature": "temperature",
        "ayto:light": "illuminance",
        "ayto:noise": "noise_level",
        "ayto:battery": "battery",
    },
)
TRAFFIC = _Layout(
    "ayto:idSensor",
    {
        "ayto:ocupacion": "occupancy",
        "ayto:intensidad": "vehicle_flow",
        "ayto:carga": "traffic_load",
    },
)


def decode_environment(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read environment nodes: see `wire.sinks`."""
    del fields  # the documents name every node themselves
    for path, resource in _resources(document(payload)):
        _decode(resource, path, ENVIRONMENT, route, sink)


def decode_traffic(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read traffic loops: see `wire.sinks`."""
    del fields  # the documents name every loop themselves
    for path, resource in _resources(document(payload)):
        _decode(resource, path, TRAFFIC, route, sink)


def is_environment(told: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a document looks like environment nodes."""
    del fields  # the documents tell enough
    return _looks_like(told, ENVIRONMENT)


def is_traffic(told: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a document looks like traffic loops."""
    del fields  # the documents tell enough
    return _looks_like(told, TRAFFIC)


def _looks_like(told: object, layout: _Layout) -> bool:
    try:
        _, first = next(_resources(told), ("", None))
    except Undecodable:
        return False
    return (
        isinstance(first, dict)
        and layout.identity in first
        and not layout.properties.keys().isdisjoint(first)
    )


def _resources(told: object) -> Iterator[tuple[str, object]]:
    """Yield the resources of a document with their paths."""
    prefix = ""
    if isinstance(told, dict):
        if "resources" not in told:
            yield "", told
            return
        told, prefix = told["resources"], "resources"
    if not isinstance(told, list):
        raise Undecodable("bad_shape", "there is no list of resources", prefix)
    for n, resource in enumerate(told):
        yield f"{prefix}[{n}]", resource


def _decode(resource: object, path: str, layout: _Layout, route: Route, sink: Sink) -> None:
    """Read one resource; what is wrong with it costs no other."""
    if not isinstance(resource, dict):
        sink.reject("bad_shape", "a resource must be an object", path)
        return
    dot = f"{path}." if path else ""
    present = [one for one in layout.properties if one in resource]
    if not present:
        sink.reject("bad_shape", f"it holds none of {', '.join(layout.properties)}", path)
        return
    at = layout.identity
    try:
        thing = identity(resource.get(at))
        at = TIME
        time = moment(resource.get(at), route.timezone)
    except BadValue as error:
        sink.reject(error.reason, error.detail, f"{dot}{at}", readings=len(present))
        return
    point = _point(resource, dot, sink)
    for attribute, source in resource.items():
        observed_property = layout.properties.get(attribute)
        where = f"{dot}{attribute}"
        if observed_property is None:
            if attribute not in {layout.identity, TIME, LON, LAT}:
                sink.ignore("no_measurement", where)
            continue
        try:
            value = number(source)
        except BadValue as error:
            sink.reject(error.reason, error.detail, where)
            continue
        sink.reading(thing, observed_property, time, value, source=source, path=where, point=point)


def _point(resource: Mapping[str, object], dot: str, sink: Sink) -> Point | None:
    """Read the position, if one was told; a bad one costs no Reading."""
    try:
        return position(resource.get(LON), resource.get(LAT))
    except BadValue as error:
        sink.reject(error.reason, error.detail, f"{dot}{LAT}", readings=0)
        return None
