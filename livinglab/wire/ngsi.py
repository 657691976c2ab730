"""Format `ngsi`: entities of FIWARE, NGSI-v2 or NGSI-LD, normalized or key-values.

A notification (``{"subscriptionId": …, "data": […]}``), a list of entities, or one. Which form
an attribute has is told by itself, so that they may be mixed. The entity is the Thing; an id that
ends in the entity's own ``dateObserved`` names the observation, and is cut there.

An attribute's own time counts (``observedAt``; metadata ``timestamp`` or ``TimeInstant``), else
that of the entity: ``dateObservedFrom`` to ``dateObservedTo``, ``dateObserved``, which may be an
interval too, ``TimeInstant`` or ``observedAt``. Units are those of ``unitCode``; without one,
those that the data models prescribe, and for gases and particles nobody's: their published
examples contradict each other. Humidity and occupancy are fractions by the models.

An attribute that no table knows is refused if it is a number, until the route's option ``names``
maps it; the usual descriptions of a station or lane are passed over, and so is what is no number.

References:
    https://smartdatamodels.org, AirQualityObserved, WeatherObserved, TrafficFlowObserved.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from livinglab.domain.geometry import Point
from livinglab.wire.documents import BadValue, document, identity, moment, number, position
from livinglab.wire.routes import Route
from livinglab.wire.sinks import UNKNOWN_UNIT, Sink, Undecodable
from livinglab.wire.words import Quantity, check_words, named

check = check_words

WORDS: dict[str, Quantity] = {
    **{
        name: Quantity(name)
        for name in ("pm10", "pm1", "no2", "no", "o3", "so2", "nh3", "h2s", "nox", "co", "co2")
    },
    "pm25": Quantity("pm25"),
    "pm2_5": Quantity("pm25"),
    "temperature": Quantity("temperature", "Cel"),
    "relativeHumidity": Quantity("relative_humidity", "1"),
    "atmosphericPressure": Quantity("pressure", "hPa"),
    "pressure": Quantity("pressure"),
    "windSpeed": Quantity("wind_speed", "m/s"),
    "windDirection": Quantity("wind_direction", "deg"),
    "precipitation": Quantity("precipitation", "mm"),
    "illuminance": Quantity("illuminance", "lx"),
    "LAeq": Quantity("noise_level", "dB"),
    "intensity": Quantity("vehicle_flow"),
    "occupancy": Quantity("occupancy", "1"),
    "averageVehicleSpeed": Quantity("vehicle_speed", "km/h"),
    "availableSpotNumber": Quantity("parking_free", "1"),
}
"""Attribute → property, and the unit that the models prescribe. ``intensity`` counts vehicles in
the period of observation, whatever that is, so its unit must be told."""
DESCRIPTIONS = frozenset(
    {"reliability", "airQualityIndex", "laneId", "reversedLane", "averageVehicleLength"}
    | {"averageHeadwayTime", "averageGapDistance", "congested", "totalSpotNumber"}
)
"""Numbers and switches that are knowingly no measurements of ours."""
_FACTS = frozenset(
    {"id", "type", "@context", "location", "dateObserved", "dateObservedFrom", "dateObservedTo"}
    | {"TimeInstant", "observedAt", "dateCreated", "dateModified"}
)
_WHOLE = ("TimeInstant", "observedAt")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One value of an entity, whatever form it came in."""

    value: object
    unit: object = None
    time: object = None
    channel: str = ""
    kind: str = ""
    """What the source calls its type."""


@dataclass(frozen=True, slots=True)
class When:
    """The time of an entity."""

    start: int | None
    """[ms since 1970 UTC]"""
    interval_s: float | None = None


def is_ngsi(told: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a document looks like entities, or a notification of them."""
    del fields  # the documents tell enough
    try:
        _, first = next(entities(told), ("", None))
    except Undecodable:
        return False
    return isinstance(first, dict) and {"id", "type"} <= first.keys() and len(first) > 2  # noqa: PLR2004 - and something to tell


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read entities: see `wire.sinks`."""
    del fields  # the documents name every entity themselves
    for path, entity in entities(document(payload)):
        _decode(entity, path, route, sink)


def entities(told: object) -> Iterator[tuple[str, object]]:
    """Yield the entities of a document with their paths."""
    prefix = ""
    if isinstance(told, dict):
        if not _is_notification(told):
            yield "", told
            return
        told, prefix = told["data"], "data"
    if not isinstance(told, list):
        raise Undecodable("bad_shape", "there is no entity", prefix)
    for n, entity in enumerate(told):
        yield f"{prefix}[{n}]", entity


def _is_notification(told: Mapping[str, object]) -> bool:
    """Tell a notification from an entity that has an attribute ``data``."""
    return isinstance(told.get("data"), list) and ("subscriptionId" in told or "id" not in told)


def _decode(entity: object, path: str, route: Route, sink: Sink) -> None:
    """Read one entity; what is wrong with it costs no other."""
    if not isinstance(entity, dict):
        sink.reject("bad_shape", "an entity must be an object", path)
        return
    dot = f"{path}." if path else ""
    measured = {name for name in entity if _meaning(name, route) is not None}
    lost = max(1, len(measured))
    try:
        thing = _thing(entity)
    except BadValue as error:
        sink.reject(error.reason, error.detail, f"{dot}id", readings=lost)
        return
    point = _point(entity, dot, sink)
    try:
        when = _when(entity, dot, route, sink)
    except BadValue as error:
        entity, when = dated(entity), When(None)
        lost -= len(measured & entity.keys())
        sink.reject(error.reason, error.detail, f"{dot}dateObserved", readings=lost)
    for name, told in entity.items():
        if name in _FACTS:
            continue
        meaning = _meaning(name, route)
        for attribute in attributes(told):
            where = f"{dot}{name}"
            if meaning is None:
                pass_over(name, attribute, where, sink, DESCRIPTIONS)
                continue
            tell(meaning, attribute, where, sink, Of(thing, when, point, route))


def _meaning(name: str, route: Route) -> Quantity | None:
    return named(name, route) or WORDS.get(name)


@dataclass(frozen=True, slots=True)
class Of:
    """Whose attribute it is, and when and where it was measured."""

    thing: str
    when: When
    point: Point | None
    route: Route


def tell(meaning: Quantity, attribute: Attribute, where: str, sink: Sink, of: Of) -> None:
    """Tell of one attribute; a bad one costs no other."""
    try:
        value = number(attribute.value)
        own = None if attribute.time is None else moment(attribute.time, of.route.timezone)
    except BadValue as error:
        sink.reject(error.reason, error.detail, where)
        return
    told = attribute.unit if isinstance(attribute.unit, str) and attribute.unit else meaning.unit
    sink.reading(
        of.thing,
        meaning.observed_property,
        of.when.start if own is None else own,
        value,
        unit=(told or UNKNOWN_UNIT)[:40],
        source=attribute.value,
        path=where,
        point=of.point,
        interval_s=of.when.interval_s if own is None else None,
        channel=attribute.channel,
    )


def dated(entity: Mapping[str, object]) -> dict[str, object]:
    """Return the attributes that tell a time of their own, whatever that of the entity is."""
    return {
        name: told
        for name, told in entity.items()
        if all(attribute.time is not None for attribute in attributes(told))
    }


def pass_over(
    name: str, attribute: Attribute, where: str, sink: Sink, descriptions: frozenset[str]
) -> None:
    """Refuse a number that nobody knows; everything else is no measurement."""
    measured = type(attribute.value) in {int, float} and name not in descriptions
    if measured:
        sink.reject("unknown_property", f"{name[:80]!r} is no property", where)
    else:
        sink.ignore("no_measurement", where)


def attributes(told: object) -> Iterator[Attribute]:
    """Yield the values of an attribute in any form; NGSI-LD may give several, by data set."""
    several = told if isinstance(told, list) and told and _is_ld(told[0]) else [told]
    for one in several:
        if not isinstance(one, dict) or "value" not in one:
            yield Attribute(one)
            continue
        metadata = one.get("metadata")
        told_beside = metadata if isinstance(metadata, dict) else {}
        unit = one.get("unitCode") or _plain(told_beside.get("unitCode", told_beside.get("unit")))
        time = one.get("observedAt")
        for name in ("timestamp", "TimeInstant", "observedAt"):
            time = time or _plain(told_beside.get(name))
        data_set = one.get("datasetId")
        channel = data_set.rpartition(":")[2][:80] if isinstance(data_set, str) else ""
        yield Attribute(_plain(one), unit, time or None, channel, str(one.get("type", "")))


def _is_ld(one: object) -> bool:
    return isinstance(one, dict) and "value" in one


def _plain(told: object) -> object:
    """Return a value without what stands around it: ``{"value": …}``, ``{"@value": …}``."""
    for name in ("value", "@value"):
        if isinstance(told, dict) and name in told:
            told = told[name]
    return told


def _thing(entity: Mapping[str, object]) -> str:
    """Return the id of the Thing: without the time that some publishers append to it."""
    found = identity(entity.get("id"))
    observed = _plain(entity.get("dateObserved"))
    if isinstance(observed, str) and observed and found.endswith(f"-{observed}"):
        return identity(found.removesuffix(f"-{observed}"))
    return found


def _when(entity: Mapping[str, object], dot: str, route: Route, sink: Sink) -> When:
    """Return when an entity was observed; an interval counts from its start.

    An end that cannot be read costs the length of the interval, and no Reading.

    Raises:
        BadValue: The start cannot be read.
    """
    at = "dateObservedTo"
    start, end = _fact(entity, "dateObservedFrom"), _fact(entity, at)
    if start is None:
        start = _fact(entity, "dateObserved")
        if isinstance(start, str) and "/" in start:
            at = "dateObserved"
            start, _, end = start.partition("/")
    if start is None:
        told = (_fact(entity, name) for name in _WHOLE)
        return When(moment(next((one for one in told if one is not None), None), route.timezone))
    began = moment(start, route.timezone)
    try:
        ended = moment(end, route.timezone)
    except BadValue as error:
        sink.reject(error.reason, error.detail, f"{dot}{at}", readings=0)
        ended = None
    if began is None or ended is None or ended <= began:
        return When(began)
    return When(began, (ended - began) / 1_000)


def _fact(entity: Mapping[str, object], name: str) -> object:
    """Return what an entity tells under a name; an empty text tells nothing."""
    found = _plain(entity.get(name))
    return None if found == "" else found


def _point(entity: Mapping[str, object], dot: str, sink: Sink) -> Point | None:
    """Read the position, if one was told; a bad one costs no Reading."""
    for told in attributes(entity.get("location")):
        try:
            return spot(told.value, lat_first=True)
        except BadValue as error:
            sink.reject(error.reason, error.detail, f"{dot}location", readings=0)
    return None


def spot(told: object, *, lat_first: bool) -> Point | None:
    """Read a location: a point, or the middle corner of a line; an area is nowhere in particular.

    Args:
        told: GeoJSON geometry, or the text of a ``geo:point``.
        lat_first: Whether such a text is "lat,lon", as in NGSI-v2; GeoJSON is [lon, lat] always.

    Raises:
        BadValue: It is nowhere on earth.
    """
    if isinstance(told, str):
        one, comma, other = told.partition(",")
        if not comma:
            raise BadValue("bad_position", f"{told[:60]!r} is no pair")
        return position(other, one) if lat_first else position(one, other)
    if not isinstance(told, dict):
        return None
    corner = told.get("coordinates")
    if told.get("type") == "LineString" and isinstance(corner, list) and corner:
        corner = corner[len(corner) // 2]
    elif told.get("type") != "Point":
        return None
    if not isinstance(corner, list) or len(corner) < 2:  # noqa: PLR2004 - lon and lat
        raise BadValue("bad_position", "its coordinates are no [lon, lat]")
    return position(corner[0], corner[1])
