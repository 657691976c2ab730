"""Format `sensorthings`: Observations as OGC SensorThings publishes them over MQTT.

Topic ``v1.1/Datastreams(1)/Observations``, whose middle level a filter names:
``v1.1/{datastream}/Observations``. An Observation does not say what it is of, so the route does::

    [routes.options.datastreams.1]
    thing = "roof"
    property = "no2"
    unit = "ppb"

Without ``unit`` values come in the property's own. A Datastream that stands expanded inside the
Observation, with its Thing, ObservedProperty and unit of measurement, needs no such table; its
ObservedProperty is read as a word, by the option ``names`` where it is none of ours. Without
either nobody knows whose Observation it is.

An interval is stored at its start. ``result`` may be anything; a Reading is a number, also as
text.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.wire.documents import BadValue, document, identity, moment, number
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable
from livinglab.wire.words import check_words, quantity, unit_of

TABLE = "datastreams"
MISSPELT = {
    "phenonmenonTime": "phenomenonTime",
    "phenomenomTime": "phenomenonTime",
    "phenomenontime": "phenomenonTime",
    "phenomenTime": "phenomenonTime",
    "resulttime": "resultTime",
}
"""Attribute as some publish it → as the standard spells it."""

_ENTITY = re.compile(r"(?:Datastreams?)\((?:'((?:[^']|'')*)'|([^'()]+))\)")


class _Stream(NamedTuple):
    """What a Datastream of theirs is: whose Readings, of what, in which unit."""

    thing: str
    observed_property: str
    unit: str | None
    channel: str = ""


def check(route: Route) -> None:
    """Refuse a route whose topics tell no Datastream, or whose table names no property.

    Raises:
        ValueError: Saying which.
    """
    if "datastream" not in route.names() and not route.filter.endswith("/Observations"):
        raise ValueError(f"the filter {route.filter!r} names no {{datastream}}")
    check_words(route, others=(TABLE,))
    if not isinstance(route.options.get(TABLE, {}), dict):
        raise ValueError(f"{TABLE} must be a table")  # noqa: TRY004 - a wrong type in a file
    for key in (table := _table(route)):
        if _entry(table, str(key)) is None:
            raise ValueError(
                f"{TABLE}.{key} needs a text thing, a property of ours, and at most a unit"
            )


def _table(route: Route) -> Mapping[str, object]:
    found = route.options.get(TABLE)
    return found if isinstance(found, dict) else {}


def _entry(table: Mapping[str, object], key: str) -> _Stream | None:
    """Return what the route says of a Datastream, if it does."""
    told = table.get(key)
    if not isinstance(told, dict) or not told.keys() <= {"thing", "property", "unit"}:
        return None
    thing, observed_property, unit = (told.get(name) for name in ("thing", "property", "unit"))
    if not isinstance(thing, str) or not isinstance(unit, str | None):
        return None
    if not isinstance(observed_property, str) or observed_property not in OBSERVED_PROPERTIES:
        return None
    return _Stream(thing, observed_property, unit)


def is_sensorthings(told: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a document looks like an Observation."""
    if not isinstance(told, dict) or "result" not in told:
        return False
    named = bool(_ENTITY.fullmatch(fields.get("datastream", "")))
    return named or not {"phenomenonTime", "resultTime", *MISSPELT}.isdisjoint(told)


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    told = document(payload)
    if not isinstance(told, dict) or "result" not in told:
        raise Undecodable("bad_shape", "an Observation is an object with a result")
    told = _spelt(told, sink)
    source, path = told["result"], "result"
    try:
        stream = _stream(told, fields, route)
        thing = identity(stream.thing)
    except BadValue as error:
        raise Undecodable(error.reason, error.detail) from None
    try:
        value = number(source)
        path = "phenomenonTime" if told.get("phenomenonTime") else "resultTime"
        time, interval_s = _when(told.get(path), route.timezone)
    except BadValue as error:
        sink.reject(error.reason, error.detail, path)
        return
    sink.reading(
        thing,
        stream.observed_property,
        time,
        value,
        unit=stream.unit,
        source=source,
        path="result",
        interval_s=interval_s,
        channel=stream.channel,
    )


def _spelt(told: dict[str, object], sink: Sink) -> dict[str, object]:
    """Read known misspellings as what they should be, and tell of them."""
    slips = told.keys() & MISSPELT.keys()
    if not slips:
        return told
    for slip in sorted(slips):
        sink.ignore("misspelt", slip)
    return {MISSPELT[slip]: told[slip] for slip in slips} | told


def _when(told: object, zone: str | None) -> tuple[int | None, float | None]:
    """Read an instant, or an interval as its start and length. [ms since 1970 UTC], [s]"""
    if not isinstance(told, str) or "/" not in told:
        return moment(told, zone), None
    start, _, end = told.partition("/")
    begin, finish = moment(start, zone), moment(end, zone)
    if begin is None or finish is None or finish < begin:
        raise BadValue("bad_time", f"{told[:60]!r} is no interval")
    return begin, (finish - begin) / 1_000


def _stream(told: Mapping[str, object], fields: Mapping[str, str], route: Route) -> _Stream:
    """Find out what the Observation is of.

    Raises:
        BadValue: Nothing tells.
    """
    inline = told.get("Datastream")
    inline = inline if isinstance(inline, dict) else {}
    key = _key(fields.get("datastream", "")) or _id(inline)
    found = _entry(_table(route), key) or _expanded(inline, fields, route)
    if found is None:
        raise BadValue(
            "no_identity",
            f"nothing tells what Datastream {key[:40]!r} is; name it in the route ({TABLE})",
        )
    return found


def _key(level: str) -> str:
    """Return the id in ``Datastreams(1)`` or ``Datastreams('a')``; quotes within are doubled."""
    match = _ENTITY.fullmatch(level)
    if match is None:
        return ""
    quoted, plain = match.groups()
    return plain.strip() if quoted is None else quoted.replace("''", "'")


def _id(entity: object) -> str:
    """Return the id of an entity that stands inside another."""
    found = entity.get("@iot.id") if isinstance(entity, dict) else None
    return str(found) if type(found) in {str, int} else ""


def _expanded(
    stream: Mapping[str, object], fields: Mapping[str, str], route: Route
) -> _Stream | None:
    """Read a Datastream that stands inside the Observation."""
    observed, unit = stream.get("ObservedProperty"), stream.get("unitOfMeasurement")
    thing = fields.get("thing") or _id(stream.get("Thing"))
    meaning = quantity(_name(observed, "name"), route)
    if not thing or meaning is None:
        return None
    told = unit_of(meaning, _name(unit, "symbol"))
    return _Stream(thing, meaning.observed_property, told, meaning.channel)


def _name(entity: object, attribute: str) -> str:
    found = entity.get(attribute) if isinstance(entity, dict) else None
    return found if isinstance(found, str) else ""
