"""Format `json`: any JSON, by a route that says where each fact stands (JSONPath).

Options: ``items`` (list of records; the whole document if absent), ``thing`` (else the topic's
``{thing}``), ``time``, ``lat``, ``lon``, and either ``property`` and ``value`` with an optional
``unit``, or a table ``properties`` of property = path, with ``units`` of property = unit.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import jsonpath
from jsonpath import CompoundJSONPath, JSONPath

from livinglab.domain.geometry import Point, is_point
from livinglab.wire.documents import BadValue, document, moment, number
from livinglab.wire.routes import Route
from livinglab.wire.sinks import UNKNOWN_UNIT, Sink, Undecodable


@lru_cache(maxsize=1_024)
def _path(path: str) -> JSONPath | CompoundJSONPath:
    return jsonpath.compile(path if path.startswith("$") else f"$.{path}")


def check_options(options: Mapping[str, object]) -> None:
    """Refuse options that no document could be read by.

    Raises:
        ValueError: Saying which.
    """
    one = isinstance(options.get("property"), str) and isinstance(options.get("value"), str)
    if not one and not isinstance(options.get("properties"), dict):
        raise ValueError("format json needs property and value, or a table properties")
    table = options.get("properties")
    named = {**options, **(table if isinstance(table, dict) else {})}
    for name, path in named.items():
        if isinstance(path, str) and name != "units":
            try:
                _path(path)
            except jsonpath.JSONPathError as error:
                raise ValueError(f"{name} = {path!r} is no JSONPath ({error})") from error


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    told = document(payload)
    options = route.options
    for where, record in _records(told, options.get("items")):
        _decode(record, where, fields, route, sink)


def _records(told: object, items: object) -> Iterator[tuple[str, object]]:
    if not isinstance(items, str):
        yield "", told
        return
    found = False
    for match in _path(items).finditer(told):  # type: ignore[arg-type]  # any JSON may be searched
        inside = match.obj if isinstance(match.obj, list) else [match.obj]
        for n, record in enumerate(inside):
            found = True
            yield (f"{match.path}[{n}]" if isinstance(match.obj, list) else match.path), record
    if not found:
        raise Undecodable("bad_shape", f"nothing stands at {items}")


def _first(record: object, path: object) -> object:
    if not isinstance(path, str) or not isinstance(record, (dict, list)):
        return None
    match = _path(path).match(record)
    return None if match is None else match.obj


def _decode(
    record: object, where: str, fields: Mapping[str, str], route: Route, sink: Sink
) -> None:
    options = route.options
    values = list(_values(record, options))
    cost = max(1, len(values))
    thing = _first(record, options["thing"]) if "thing" in options else fields.get("thing")
    if not isinstance(thing, (str, int)) or isinstance(thing, bool) or thing == "":
        sink.reject("no_identity", "nothing tells which Thing it is", where, readings=cost)
        return
    try:
        time = moment(_first(record, options.get("time")), route.timezone)
    except BadValue as error:
        sink.reject(error.reason, error.detail, where, readings=cost)
        return
    point = _point(record, where, options, sink)
    if not values:
        sink.reject("bad_shape", "no value stands where the route says", where)
    for observed_property, source, unit, path in values:
        at = f"{where}.{path}" if where else path
        try:
            value = number(source)
        except BadValue as error:
            sink.reject(error.reason, error.detail, at)
            continue
        sink.reading(
            str(thing),
            observed_property,
            time,
            value,
            unit=unit,
            source=source,
            path=at,
            point=point,
        )


def _values(
    record: object, options: Mapping[str, object]
) -> Iterator[tuple[str, object, str | None, str]]:
    """Yield (property, value, unit, path) of what the record holds."""
    table = options.get("properties")
    if not isinstance(table, dict):
        observed_property = _first(record, options["property"])
        if isinstance(observed_property, str):
            unit = _first(record, options.get("unit")) if "unit" in options else None
            given = UNKNOWN_UNIT if "unit" in options and unit is None else unit
            value = _first(record, options["value"])
            yield observed_property, value, None if given is None else str(given), "value"
        return
    units = options.get("units")
    for observed_property, path in table.items():
        if isinstance(record, dict) and _path(str(path)).match(record) is None:
            continue
        unit = units.get(observed_property) if isinstance(units, dict) else None
        yield observed_property, _first(record, path), unit, str(path)


def _point(record: object, where: str, options: Mapping[str, object], sink: Sink) -> Point | None:
    told = _first(record, options.get("lon")), _first(record, options.get("lat"))
    if told == (None, None):
        return None
    try:
        lon, lat = number(told[0]), number(told[1])
    except BadValue as error:
        sink.reject("bad_position", error.detail, where, readings=0)
        return None
    if not is_point(lon, lat):
        sink.reject("bad_position", f"[{lon}, {lat}] is nowhere on earth", where, readings=0)
        return None
    return Point(lon, lat)
