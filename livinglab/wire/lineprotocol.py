r"""Format `line-protocol`: points as InfluxDB and Telegraf write them, one a line.

``air,device=roof,zone=centre no2=41i,temperature=21.5 1769860800000000000``: a measurement, tags,
fields, and a time. Every field that is a number is a Reading; its key is read as a word for the
quantity (`wire.words`), and where the key is but ``value``, the measurement is. Fields ``lat``
and ``lon`` are where the Thing was. Texts and booleans are no measurements.

The Thing stands in the tag that route option ``thing`` names; without it the topic's ``{thing}``
counts, and without that the first of the tags thing, sensor, device and host.

Other options: ``precision`` of the times, ``ns``, ``us``, ``ms`` or ``s``, by default ``ns``;
``names``, a table of word = property.

References:
    https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from livinglab.domain.geometry import Point
from livinglab.wire.documents import BadValue, identity, number, position
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable
from livinglab.wire.words import check_words, quantity, unit_of

TAGS = ("thing", "sensor", "device", "host")
"""Tags that name the Thing where neither route nor topic does; the first counts."""
PRECISIONS = {"ns": (1, 1_000_000), "us": (1, 1_000), "ms": (1, 1), "s": (1_000, 1)}
"""Precision → factor and divisor of a time on its way to milliseconds."""

_NAME = r"((?:\\[,= ]|[^,= \n])++)"
_MEASUREMENT = re.compile(r"[ \t]*+((?:\\[, ]|[^, \n])++)")
_TAG = re.compile(rf",{_NAME}={_NAME}")
_GAP, _COMMA = re.compile(r" ++"), re.compile(r",")
_FIELD = re.compile(rf'{_NAME}=("(?:\\.|[^"\\])*+"|[^", \r\n][^, \r\n]*+)', re.DOTALL)
_TIME = re.compile(r" ++(-?[0-9]{1,20})(?![^ \r\n])")
_END = re.compile(r"[ \r]*+(?:\n|\Z)")
_SKIPPED = re.compile(r"[ \t\r]*+(?:#[^\n]*+)?(?:\n|\Z)")
_ESCAPED = re.compile(r"\\([,= ])")
_WHOLE = re.compile(r"-?[0-9]{1,20}i|[0-9]{1,20}u")
_BOOLEANS = frozenset({"t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"})
_AXES = {"lon": "lon", "lng": "lon", "longitude": "lon", "lat": "lat", "latitude": "lat"}


@dataclass(frozen=True, slots=True)
class _Line:
    """One point, or why there is none."""

    path: str
    measurement: str = ""
    tags: Mapping[str, str] | None = None
    """None: the line is none of this format."""
    fields: Mapping[str, str] = field(default_factory=dict)
    time: int | None = None
    """In the precision of the route."""


def check(route: Route) -> None:
    """Refuse options that no line could be read by.

    Raises:
        ValueError: Saying which.
    """
    check_words(route, others=("thing", "precision"))
    if not isinstance(route.options.get("thing", ""), str):
        raise ValueError("thing must be the name of a tag")  # noqa: TRY004 - a wrong type in a file
    precision = route.options.get("precision", "ns")
    if precision not in PRECISIONS:
        raise ValueError(f"precision = {precision!r} is none of {', '.join(PRECISIONS)}")


def is_line_protocol(payload: bytes, fields: Mapping[str, str]) -> bool:
    """Tell whether the first line of a payload looks like a point."""
    del fields  # a line tells enough
    try:
        first = next(_lines(payload.decode()), None)
    except UnicodeDecodeError:
        return False
    return first is not None and first.tags is not None


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    if not payload.strip():
        raise Undecodable("empty", "the payload is empty")
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise Undecodable("not_utf8", f"byte {error.start} is not UTF-8") from None
    none = True
    for line in _lines(text):
        none = False
        if line.tags is None:
            sink.reject("bad_line", "it is not: measurement,tags fields time", line.path)
            continue
        _tell(line, fields, route, sink)
    if none:
        sink.ignore("no_points")


def _lines(text: str) -> Iterator[_Line]:
    """Yield the points of a payload; a text may reach over several lines."""
    start, row = 0, 1
    while start < len(text):
        if skipped := _SKIPPED.match(text, start):
            end = skipped.end()
        else:
            line, end = _line(text, start, f"line[{row}]")
            yield line
        row += text.count("\n", start, end)
        start = end


def _line(text: str, start: int, path: str) -> tuple[_Line, int]:
    """Read the line that begins at *start*; return it, and where the next one begins."""
    found = _point(text, start, path)
    if found is not None:
        return found
    newline = text.find("\n", start)
    return _Line(path), len(text) if newline < 0 else newline + 1


def _point(text: str, start: int, path: str) -> tuple[_Line, int] | None:
    """Read a point and where it ends; None: it is none."""
    named = _MEASUREMENT.match(text, start)
    if named is None:
        return None
    tags: dict[str, str] = {}
    at = named.end()
    while tag := _TAG.match(text, at):
        tags[_plain(tag[1])] = _plain(tag[2])
        at = tag.end()
    fields: dict[str, str] = {}
    before = _GAP.match(text, at)
    while before and (one := _FIELD.match(text, before.end())):
        fields[_plain(one[1])] = one[2]
        at = one.end()
        before = _COMMA.match(text, at)
    time = _TIME.match(text, at)
    end = _END.match(text, time.end() if time else at)
    if not fields or before or end is None:
        return None
    told = int(time[1]) if time else None
    return _Line(path, _plain(named[1]), tags, fields, told), end.end()


def _plain(name: str) -> str:
    return _ESCAPED.sub(r"\1", name) if "\\" in name else name


def _tell(line: _Line, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Tell a sink of one point; what is wrong with a field costs no other."""
    try:
        thing = identity(_thing(line.tags or {}, fields, route))
    except BadValue as error:
        sink.reject(error.reason, error.detail, line.path, readings=len(line.fields))
        return
    time = _milliseconds(line.time, route)
    point = _where(line, sink)
    for key, source in line.fields.items():
        path = f"{line.path}.{key}"
        if source in _BOOLEANS or source[0] == '"' or key.casefold() in _AXES:
            sink.ignore("position" if key.casefold() in _AXES else "no_measurement", path)
            continue
        word = line.measurement if key == "value" else key
        meaning = quantity(word, route)
        if meaning is None:
            sink.reject("unknown_property", f"{word[:80]!r} is no property", path)
            continue
        try:
            value = _number(source)
        except BadValue as error:
            sink.reject(error.reason, error.detail, path)
            continue
        sink.reading(
            thing,
            meaning.observed_property,
            time,
            value,
            unit=unit_of(meaning),
            source=source,
            path=path,
            point=point,
            channel=meaning.channel,
        )


def _thing(tags: Mapping[str, str], fields: Mapping[str, str], route: Route) -> str | None:
    """Return what names the Thing of a point: a tag that the route names, the topic, or a tag."""
    if "thing" in route.options:
        return tags.get(str(route.options["thing"]))
    if "thing" in fields:
        return fields["thing"]
    return next((tags[tag] for tag in TAGS if tag in tags), None)


def _milliseconds(time: int | None, route: Route) -> int | None:
    """Return a time in milliseconds; none, and 1970, is the arrival."""
    factor, divisor = PRECISIONS[str(route.options.get("precision", "ns"))]
    return time * factor // divisor if time else None


def _number(source: str) -> float:
    """Read a field: a float, or a whole number with its suffix.

    Raises:
        BadValue: It is no number, or not finite.
    """
    return number(source[:-1] if _WHOLE.fullmatch(source) else source)


def _where(line: _Line, sink: Sink) -> Point | None:
    """Return where the Thing was, if its point tells; a bad position costs no Reading."""
    told = {_AXES.get(key.casefold(), ""): source for key, source in line.fields.items()}
    try:
        return position(told.get("lon"), told.get("lat"))
    except BadValue as error:
        sink.reject(error.reason, error.detail, line.path, readings=0)
        return None
