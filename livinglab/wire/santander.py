"""Formats `santander-environment` and `santander-traffic`: answers of that city's open-data API.

``{"summary": …, "resources": [{…}, …]}``, a bare list, or one resource. Every value is a string,
and the empty string is missing. A node's own ``dc:modified`` is the time; for traffic loops
``ayto:idSensor`` is the identity, because ``dc:identifier`` names the reading.
"""

from collections.abc import Iterator, Mapping

from livinglab.domain.geometry import Point, is_point
from livinglab.wire.documents import BadValue, document, moment, number
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable

ENVIRONMENT = {
    "ayto:temperature": ("temperature", "Cel"),
    "ayto:light": ("illuminance", "lx"),
    "ayto:noise": ("noise_level", "dB(A)"),
    "ayto:battery": ("battery", "%"),
}
"""Attribute → property and unit that the portal documents."""
TRAFFIC = {
    "ayto:ocupacion": ("occupancy", "%"),
    "ayto:intensidad": ("vehicle_flow", "veh/h"),
    "ayto:carga": ("traffic_load", "1"),
}


def decode_environment(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read environment nodes: see `wire.sinks`."""
    del fields  # the documents name every node themselves
    for path, resource in _resources(payload):
        _decode(resource, path, "dc:identifier", ENVIRONMENT, route, sink)


def decode_traffic(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read traffic loops: see `wire.sinks`."""
    del fields  # the documents name every loop themselves
    for path, resource in _resources(payload):
        _decode(resource, path, "ayto:idSensor", TRAFFIC, route, sink)


def _resources(payload: bytes) -> Iterator[tuple[str, object]]:
    told = document(payload)
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


def _decode(
    resource: object,
    path: str,
    identity: str,
    attributes: Mapping[str, tuple[str, str]],
    route: Route,
    sink: Sink,
) -> None:
    """Read one resource; what is wrong with it costs no other."""
    dot = f"{path}." if path else ""
    if not isinstance(resource, dict):
        sink.reject("bad_shape", "a resource must be an object", path)
        return
    present = [one for one in attributes if one in resource]
    thing = resource.get(identity)
    if not isinstance(thing, str) or not thing.strip():
        sink.reject("no_identity", f"{identity} is missing", path, readings=max(1, len(present)))
        return
    try:
        time = moment(resource.get("dc:modified"), route.timezone)
    except BadValue as error:
        where = f"{dot}dc:modified"
        sink.reject(error.reason, error.detail, where, readings=max(1, len(present)))
        return
    point = _point(resource, dot, sink)
    for attribute in present:
        source, where = resource[attribute], f"{dot}{attribute}"
        observed_property, unit = attributes[attribute]
        try:
            value = number(source)
        except BadValue as error:
            sink.reject(error.reason, error.detail, where)
            continue
        sink.reading(
            thing.strip(),
            observed_property,
            time,
            value,
            unit=unit,
            source=source,
            path=where,
            point=point,
        )


def _point(resource: Mapping[str, object], dot: str, sink: Sink) -> Point | None:
    if not resource.get("ayto:latitude") and not resource.get("ayto:longitude"):
        return None
    try:
        lon, lat = number(resource.get("ayto:longitude")), number(resource.get("ayto:latitude"))
    except BadValue as error:
        sink.reject("bad_position", error.detail, f"{dot}ayto:latitude", readings=0)
        return None
    if not is_point(lon, lat):
        sink.reject("bad_position", "nowhere on earth", f"{dot}ayto:latitude", readings=0)
        return None
    return Point(lon, lat)
