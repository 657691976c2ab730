"""Format `lab`: the lab's own Things, one property a topic.

Topic ``lab/<thing>/<property>``; the payload is a number, or
``{"v": 21.5, "t": 1767225600000, "u": "Cel", "lat": 43.46, "lon": -3.81}``, of which only ``v``
must be there; ``null`` is missing. Without ``u`` the property's own unit is meant.
"""

from collections.abc import Mapping

from livinglab.domain.geometry import Point
from livinglab.wire.documents import BadValue, document, identity, moment, number, position
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable


def check(route: Route) -> None:
    """Refuse a route whose topics do not tell Thing and property.

    Raises:
        ValueError: Saying so.
    """
    if not {"thing", "property"} <= route.names():
        raise ValueError(
            f"the filter {route.filter!r} of format lab names no {{thing}} and {{property}}"
        )


def is_lab(told: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a document looks like one of this format."""
    plain = type(told) in {int, float} or (isinstance(told, dict) and "v" in told)
    return plain and {"thing", "property"} <= fields.keys()


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    told = document(payload)
    try:
        thing, observed_property = identity(fields["thing"]), fields["property"]
    except KeyError:
        raise Undecodable("no_identity", "the topic names no {thing} and {property}") from None
    except BadValue as error:
        raise Undecodable(error.reason, error.detail) from None
    if type(told) is not dict:
        told = {"v": told}
    if "v" not in told:
        raise Undecodable("bad_shape", "there is no v")
    source, path = told["v"], "v"
    try:
        value = number(source)
        path = "t"
        time = told.get("t")
        if type(time) is not int or not 100_000_000_000 <= time < 100_000_000_000_000:  # noqa: PLR2004 - surely ms
            time = moment(time, route.timezone)
    except BadValue as error:
        sink.reject(error.reason, error.detail, path)
        return
    if len(told) == 1 + ("t" in told):  # the usual case: v, or v and t
        sink.reading(thing, observed_property, time, value, source=source, path="v")
        return
    unit = told.get("u")
    sink.reading(
        thing,
        observed_property,
        time,
        value,
        unit=None if unit is None else str(unit)[:40],
        source=source,
        path="v",
        point=_point(told, sink),
    )


def _point(told: Mapping[str, object], sink: Sink) -> Point | None:
    """Read the position, if one was told; a bad one costs no Reading."""
    try:
        return position(told.get("lon"), told.get("lat"))
    except BadValue as error:
        sink.reject(error.reason, error.detail, "lat", readings=0)
        return None
