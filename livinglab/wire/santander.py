"""Formats `santander-environment` and `santander-traffic`: answers of that city's open-data API.

``{"summary": …, "resources": [{…}, …]}``, a bare list, or one resource. Every value is a string,
and the empty string is missing. A node's own ``dc:modified`` is the time, for the answer also
lists nodes that have been silent for years. For traffic loops ``ayto:idSensor`` is the identity,
because ``dc:identifier`` names the reading.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite

import orjson

from livinglab.domain.geometry import Point
from livinglab.wire.documents import (
    NUMBERS,
    BadValue,
    document,
    identity,
    moment,
    number,
    position,
)
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Shape, Sink, Undecodable

TIME, LON, LAT = "dc:modified", "ayto:longitude", "ayto:latitude"
MOST_PLANS = 256
"""Orders of attributes that are remembered; a gateway has one."""

_Plan = tuple[tuple[str, ...], Shape]
"""Attributes that hold results, and their properties."""
_Plans = dict[tuple[str, ...], _Plan]
"""All attributes of usual resources, in their order → plan."""
_Short = tuple[str, int, Shape, tuple[float, ...], Point | None]


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


_PLANS_ENVIRONMENT: _Plans = {}
_PLANS_TRAFFIC: _Plans = {}


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


def short_environment(payload: bytes, route: Route) -> _Short | None:
    """Read one environment node that has all its results: see `wire.sinks`."""
    return _short(payload, _PLANS_ENVIRONMENT, ENVIRONMENT, route)


def short_traffic(payload: bytes, route: Route) -> _Short | None:
    """Read one traffic loop that has all its results: see `wire.sinks`."""
    return _short(payload, _PLANS_TRAFFIC, TRAFFIC, route)


def _short(payload: bytes, plans: _Plans, layout: _Layout, route: Route) -> _Short | None:
    try:
        told = orjson.loads(payload)
        plan = plans.get(tuple(told)) or _plan(told, layout, plans)
    except (ValueError, TypeError):
        return None
    if plan is None:
        return None
    attributes, shape = plan
    known = NUMBERS.get
    try:
        thing, time = identity(told[layout.identity]), moment(told[TIME], route.timezone)
        results = tuple([known(told[one]) or number(told[one]) for one in attributes])
        point = position(told.get(LON), told.get(LAT))
    except (BadValue, TypeError):
        return None
    if time is None or not isfinite(sum(results)):  # missing, or about to overflow
        return None
    return thing, time, shape, results, point


def _plan(told: object, layout: _Layout, plans: _Plans) -> _Plan | None:
    """Find out once what stands in resources with these attributes, in this order."""
    if type(told) is not dict:
        return None
    facts, attributes = {layout.identity, TIME}, tuple(told)
    known = tuple(one for one in attributes if one in layout.properties)
    if not (known and facts <= told.keys() <= {*known, *facts, LON, LAT}):
        return None
    if len(plans) >= MOST_PLANS:
        plans.clear()
    plan = plans[attributes] = known, Shape(tuple(layout.properties[one] for one in known))
    return plan


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
