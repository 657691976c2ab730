"""Format `lab`: the lab's own Things, one property a topic.

Topic ``lab/<thing>/<property>``; the payload is a number, or
``{"v": 21.5, "t": 1767225600000, "u": "Cel", "lat": 43.46, "lon": -3.81}``, of which only ``v``
must be there; ``null`` is missing. Without ``u`` the property's own unit is meant.
"""

from collections.abc import Mapping

from livinglab.domain.geometry import Point, is_point
from livinglab.wire.documents import BadValue, document, moment, number
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    told = document(payload)
    try:
        thing, observed_property = fields["thing"], fields["property"]
    except KeyError:
        raise Undecodable("no_identity", "the topic names no {thing} and {property}") from None
    if not thing or not observed_property:
        raise Undecodable("no_identity", "a level of the topic is empty")
    if type(told) is not dict:
        told = {"v": told}
    if "v" not in told:
        raise Undecodable("bad_shape", "there is no v")
    try:
        value = number(told["v"])
    except BadValue as error:
        sink.reject(error.reason, error.detail, "v")
        return
    try:
        time = told.get("t")
        if type(time) is not int or not 100_000_000_000 <= time < 100_000_000_000_000:  # noqa: PLR2004 - surely ms
            time = moment(time, route.timezone)
    except BadValue as error:
        sink.reject(error.reason, error.detail, "t")
        return
    if len(told) <= 2:  # noqa: PLR2004 - v and t: the common case
        unit = told.get("u")
        if unit is None:
            sink.reading(thing, observed_property, time, value, source=told["v"], path="v")
            return
    sink.reading(
        thing,
        observed_property,
        time,
        value,
        unit=_unit(told.get("u")),
        source=told["v"],
        path="v",
        point=_point(told, sink),
    )


def _unit(unit: object) -> str | None:
    return None if unit is None else str(unit)[:40]


def _point(told: Mapping[str, object], sink: Sink) -> Point | None:
    """Read the position, if one was told; a bad one costs no Reading."""
    if told.get("lat") is None and told.get("lon") is None:
        return None
    try:
        lon, lat = number(told.get("lon")), number(told.get("lat"))
    except BadValue as error:
        sink.reject("bad_position", error.detail, "lat", readings=0)
        return None
    if not is_point(lon, lat):
        sink.reject("bad_position", f"[{lon}, {lat}] is nowhere on earth", "lat", readings=0)
        return None
    return Point(lon, lat)
