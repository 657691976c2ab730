"""Attributes: the words and values of one Thing at one time, told to a sink one by one.

Two kinds of formats meet here. Appliances have words and units of their own (`mapped`); FIWARE's
agents leave the words to whoever provisions a device (`tell_group`): they are read as
words (`wire.words`), and a value may carry its unit (``45%``). Under a word that nobody knows a
number is refused until the route's ``names`` maps it, and text is passed over.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from livinglab.domain.geometry import Point
from livinglab.domain.readings import TimeSource
from livinglab.domain.units import unit_named
from livinglab.wire.documents import BadValue, identity, moment, number, position
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable
from livinglab.wire.words import Quantity, check_words, named, quantity, unit_of

TIME = "TimeInstant"
POSITIONS = frozenset({"coordinates", "gps", "loc", "location", "pos", "position"})
_LETTERS = {"t": Quantity("temperature"), "h": Quantity("relative_humidity")}
"""What FIWARE's own examples mean by a single letter, wherever they use it."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WITH_UNIT = re.compile(rf"\s*({_NUMBER})\s*([^\d\s].*?)\s*", re.ASCII)
LAT_LON = re.compile(rf"\s*(?P<lat>{_NUMBER})\s*[/,]\s*(?P<lon>{_NUMBER})\s*", re.ASCII)
"""A position as a text. Ultralight shows ``1.2/3.4`` and never says which is which: we take the
order of NGSI's ``geo:point``, unverified. Where it is the other way round, a city's box tells."""

LONGEST_NUMBER = 80
"""Characters of a text that is looked at for a unit or a position. [characters]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Tells a sink of the values of one Thing at one time; a bad one costs no other."""

    sink: Sink
    thing: str
    time: int | None
    point: Point | None = None
    time_source: TimeSource = TimeSource.PAYLOAD

    def tell(self, meaning: Quantity, source: object, path: str) -> None:
        """Tell of a value; a meaning without unit is in the property's own."""
        try:
            value = number(source)
        except BadValue as error:
            self.sink.reject(error.reason, error.detail, path)
            return
        self.found(meaning, value, source, path)

    def found(self, meaning: Quantity, value: float, source: object, path: str) -> None:
        """Tell of a value that was read."""
        self.sink.reading(
            self.thing,
            meaning.observed_property,
            self.time,
            value,
            unit=meaning.unit,
            source=source,
            path=path,
            point=self.point,
            channel=meaning.channel,
            time_source=self.time_source,
        )


def check_topics(route: Route) -> None:
    """Refuse a route whose topics tell no Thing, or whose ``names`` name no property.

    Raises:
        ValueError: Saying so.
    """
    check_words(route)
    if "thing" not in route.names():
        raise ValueError(f"the filter {route.filter!r} of format {route.format} names no {{thing}}")


def topic_thing(fields: Mapping[str, str]) -> str:
    """Return the Thing that the topic names.

    Raises:
        Undecodable: It names none, and nothing else would.
    """
    try:
        return identity(fields.get("thing"))
    except BadValue as error:
        raise Undecodable(error.reason, f"the topic tells no Thing: {error.detail}") from None


def mapped(word: str, table: Mapping[str, Quantity], route: Route) -> Quantity | None:
    """Say what a word means: by the route's ``names``, else by its format's table."""
    return named(word, route) or table.get(word)


def tell_group(
    pairs: Sequence[tuple[str, object]], where: str, thing: str, route: Route, sink: Sink
) -> None:
    """Tell of one group of measures: its words and values, its time and position among them.

    Args:
        pairs: Words and values, in the order of the message.
        where: What stands before a word in its path.
        thing: Whose measures.
        route: Says more about words, units and zone.
        sink: Is told.
    """
    meanings = [_meaning(word, route) for word, _ in pairs]
    try:
        time = moment(dict(pairs).get(TIME), route.timezone)
    except BadValue as error:
        lost = max(1, sum(meaning is not None for meaning in meanings))
        sink.reject(error.reason, error.detail, f"{where}{TIME}", readings=lost)
        return
    teller = Teller(sink=sink, thing=thing, time=time, point=_point(pairs, where, route, sink))
    for (word, source), meaning in zip(pairs, meanings, strict=True):
        if meaning is not None:
            _tell(meaning, source, f"{where}{word}", teller)
        elif word != TIME and not (_is_position(word, route) and _axes(source)):
            _pass_over(word, source, f"{where}{word}", sink)


def _meaning(word: str, route: Route) -> Quantity | None:
    found = named(word, route) or _LETTERS.get(word) or quantity(word, route)
    return None if found is None else found._replace(unit=unit_of(found))


def _tell(meaning: Quantity, source: object, path: str, teller: Teller) -> None:
    """Tell of a value that may carry its unit."""
    value, unit = _parts(source)
    try:
        result = number(value)
    except BadValue as error:
        teller.sink.reject(error.reason, error.detail, path)
        return
    teller.found(meaning if unit is None else meaning._replace(unit=unit), result, source, path)


def _parts(source: object) -> tuple[object, str | None]:
    """Part ``45%`` into number and unit; a unit that nobody knows is none, nor is its text."""
    if isinstance(source, str) and len(source) <= LONGEST_NUMBER:
        parts = _WITH_UNIT.fullmatch(source)
        if parts and unit_named(parts[2]):
            return parts[1], parts[2][:40]
    return source, None


def _is_position(word: str, route: Route) -> bool:
    return word.casefold() in POSITIONS and named(word, route) is None


def _axes(source: object) -> tuple[object, object] | None:
    """Return longitude and latitude, if a value looks like a position."""
    if isinstance(source, str) and len(source) <= LONGEST_NUMBER:
        pair = LAT_LON.fullmatch(source)
        return (pair["lon"], pair["lat"]) if pair else None
    if isinstance(source, dict) and source.get("type") == "Point":
        told = source.get("coordinates")
        return (told[0], told[1]) if isinstance(told, list) and len(told) > 1 else None
    return None


def _point(
    pairs: Iterable[tuple[str, object]], where: str, route: Route, sink: Sink
) -> Point | None:
    """Read the position, if one was told; a bad one costs no Reading."""
    for word, source in pairs:
        axes = _axes(source) if _is_position(word, route) else None
        if axes is None:
            continue
        try:
            return position(*axes)
        except BadValue as error:
            sink.reject(error.reason, error.detail, f"{where}{word}", readings=0)
    return None


def _pass_over(word: str, source: object, path: str, sink: Sink) -> None:
    """Refuse numbers that nobody knows; text and switches are no measurements."""
    try:
        measured = not math.isnan(number(_parts(source)[0]))
    except BadValue:
        measured = False
    if measured:
        sink.reject("unknown_property", f"{word[:80]!r} is no property", path)
    else:
        sink.ignore("no_measurement", path)
