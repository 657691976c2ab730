"""Format `organicity`: assets of OrganiCity, which look like NGSI and mean other things.

A position of type ``geo:point`` is the text "lon,lat" here, the other way round than in NGSI-v2.
The unit stands in the metadata, as ``urn:oc:uom:…``, or nowhere; one that contradicts the name of
its attribute is told on, for the lab to flag. ``reputation`` is a score of the platform, and
-1 until it is computed: no measurement. Numbers may be text.
"""

from collections.abc import Mapping

from livinglab.domain.geometry import Point
from livinglab.wire import ngsi
from livinglab.wire.documents import BadValue, document, identity, moment
from livinglab.wire.ngsi import Attribute, attributes, entities
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable
from livinglab.wire.words import Quantity, check_words, named

check = check_words

PREFIX = "urn:oc:"
TIME = "TimeInstant"
WORDS: dict[str, Quantity] = {
    "trafficIntensity": Quantity("vehicle_flow"),
    "roadOccupancy": Quantity("occupancy"),
    "roadLoad": Quantity("traffic_load", "1"),
    "soundPressureLevel:ambient": Quantity("noise_level"),
    "availableSpotNumber": Quantity("parking_free", "1"),
    "temperature:ambient": Quantity("temperature"),
    "relativeHumidity:ambient": Quantity("relative_humidity"),
    "illuminance": Quantity("illuminance"),
    "batteryLevel": Quantity("battery"),
}
"""Attribute → property; a unit only where a number can have no other."""
DESCRIPTIONS = frozenset({"reputation", "totalSpotNumber", "extraSpotNumber"})
_FACTS = frozenset({"id", "type", TIME, "location"})


def is_organicity(told: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a document looks like assets, or a notification of them."""
    del fields  # the documents tell enough
    try:
        _, first = next(entities(told), ("", None))
    except Undecodable:
        return False
    return isinstance(first, dict) and str(first.get("type", "")).startswith(PREFIX)


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read assets: see `wire.sinks`."""
    del fields  # the documents name every asset themselves
    for path, asset in entities(document(payload)):
        _decode(asset, path, route, sink)


def _decode(asset: object, path: str, route: Route, sink: Sink) -> None:
    """Read one asset; what is wrong with it costs no other."""
    if not isinstance(asset, dict):
        sink.reject("bad_shape", "an asset must be an object", path)
        return
    dot = f"{path}." if path else ""
    measured = {name for name in asset if _meaning(name, route) is not None}
    lost = max(1, len(measured))
    try:
        thing = identity(asset.get("id"))
    except BadValue as error:
        sink.reject(error.reason, error.detail, f"{dot}id", readings=lost)
        return
    point = _point(asset, dot, sink)
    try:
        when = ngsi.When(moment(_value(asset.get(TIME)), route.timezone))
    except BadValue as error:
        asset, when = ngsi.dated(asset), ngsi.When(None)
        lost -= len(measured & asset.keys())
        sink.reject(error.reason, error.detail, f"{dot}{TIME}", readings=lost)
    of = ngsi.Of(thing, when, point, route)
    for name, told in asset.items():
        if name in _FACTS:
            continue
        meaning = _meaning(name, route)
        for attribute in attributes(told):
            if meaning is None:
                ngsi.pass_over(name, attribute, dot + name, sink, DESCRIPTIONS)
            else:
                ngsi.tell(meaning, attribute, dot + name, sink, of)


def _meaning(name: str, route: Route) -> Quantity | None:
    return named(name, route) or WORDS.get(name)


def _value(told: object) -> object:
    return next(attributes(told)).value


def _point(asset: Mapping[str, object], dot: str, sink: Sink) -> Point | None:
    """Read the position, if one was told; a bad one costs no Reading."""
    told: Attribute = next(attributes(asset.get("location")))
    try:
        return ngsi.spot(told.value, lat_first=False)
    except BadValue as error:
        sink.reject(error.reason, error.detail, f"{dot}location", readings=0)
        return None
