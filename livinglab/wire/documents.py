"""Documents: JSON at the door, and the numbers and times inside it.

Nothing here guesses: what cannot be read is told apart by a reason of `reasons.REASONS`.
"""

import math
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import orjson

from livinglab.domain.geometry import Point, is_point
from livinglab.domain.readings import to_ms
from livinglab.wire.sinks import Undecodable

DEEPEST = 32
"""Levels of nesting that a payload may have."""
LONGEST_ID = 200
"""Characters that the id of a Thing may have."""
NANOSECONDS = 19
"""Digits of a time in nanoseconds."""
KNOWN = 16_384
"""Short texts whose meaning is remembered: sensors repeat themselves."""
SHORT = 40
"""Characters of a text that is short; a longer one would fill memory. [characters]"""
NUMBERS: dict[str, float] = {}
"""Short text → the number that it is."""
ISO_MINUTES = len("2026-01-31T12:00")
"""Characters that a written time has at least; a date alone is no instant."""


class BadValue(Exception):  # noqa: N818 - an outcome of one value, not a fault of the lab
    """A value cannot be read as what it should be."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def document(payload: bytes) -> object:
    """Read a payload as JSON; of a key that stands twice in an object, the last counts.

    Raises:
        Undecodable: It is empty, not UTF-8, no JSON (NaN and Infinity are none), or too deep.
    """
    if not payload.strip():
        raise Undecodable("empty", "the payload is empty")
    try:
        read: object = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        if "depth" in error.msg:
            raise Undecodable("too_deep", "the JSON is nested too deeply") from error
        try:
            payload.decode()
        except UnicodeDecodeError as fault:
            raise Undecodable("not_utf8", f"byte {fault.start} is not UTF-8") from fault
        raise Undecodable("bad_json", f"{error.msg} at byte {error.pos}") from error
    if type(read) is dict or type(read) is list:
        _refuse_deep(payload, read)
    return read


def _refuse_deep(payload: bytes, read: object) -> None:
    if payload.count(b"{") + payload.count(b"[") <= DEEPEST:
        return
    level: list[object] = [read]
    for _ in range(DEEPEST):
        level = [child for one in level for child in _children(one)]
        if not level:
            return
    raise Undecodable("too_deep", f"the JSON is nested deeper than {DEEPEST} levels")


def _children(one: object) -> list[object]:
    inside = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return [child for child in inside if isinstance(child, (dict, list))]


def number(value: object) -> float:
    """Read a number; NaN is missing.

    Missing are null and the empty string. Strings that hold a decimal number are numbers.

    Raises:
        BadValue: It is something else, or not finite.
    """
    kind = type(value)
    if kind is float or kind is int:
        try:
            found = float(value)  # type: ignore[arg-type]  # its type was just looked at
        except OverflowError:
            found = math.inf
    elif value is None:
        return math.nan
    elif kind is str:
        return _from_text(value)  # type: ignore[arg-type]  # likewise
    else:
        raise BadValue("bad_number", f"{_short(value)} is no number")
    if math.isinf(found) or math.isnan(found):
        raise BadValue("not_finite", f"{_short(value)} is no finite number")
    return found


def _from_text(text: str) -> float:
    known = NUMBERS.get(text)
    if known is not None:
        return known
    stripped = text.strip()
    if not stripped:
        return math.nan
    if not stripped.isascii() or "_" in stripped:
        raise BadValue("bad_number", f"{_short(text)} is no number")
    try:
        found = float(stripped)
    except ValueError:
        raise BadValue("bad_number", f"{_short(text)} is no number") from None
    if math.isnan(found) or math.isinf(found):
        raise BadValue("not_finite", f"{_short(text)} is no finite number")
    if len(text) <= SHORT:
        if len(NUMBERS) >= KNOWN:
            NUMBERS.clear()
        NUMBERS[text] = found
    return found


def _short(value: object) -> str:
    text = f"{value!r}" if not isinstance(value, (dict, list)) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - enough to recognise it


def position(lon: object, lat: object) -> Point | None:
    """Read a position; None if the source told none.

    Raises:
        BadValue: It is nowhere on earth, or only half told.
    """
    if type(lon) is str and type(lat) is str and len(lon) <= SHORT and len(lat) <= SHORT:
        return _position(lon, lat)
    return _position.__wrapped__(lon, lat)


@lru_cache(maxsize=KNOWN)
def _position(lon: object, lat: object) -> Point | None:
    try:
        point = Point(number(lon), number(lat))
    except BadValue as error:
        raise BadValue("bad_position", error.detail) from None
    if math.isnan(point.lon) and math.isnan(point.lat):
        return None
    if not is_point(*point):
        raise BadValue("bad_position", f"[{point.lon}, {point.lat}] is nowhere on earth")
    return point


def identity(value: object) -> str:
    """Read the id of a Thing: a text or a whole number.

    Raises:
        BadValue: It is missing, or nothing that a key could be made of.
    """
    if type(value) is str and len(value) <= SHORT:
        return _identity(value)
    return _identity.__wrapped__(value)


@lru_cache(maxsize=KNOWN)
def _identity(value: object) -> str:
    text = str(value).strip() if type(value) in {str, int} else ""
    if not text:
        raise BadValue("no_identity", f"{_short(value)} names no Thing")
    if len(text) > LONGEST_ID or not text.isprintable():
        raise BadValue("bad_identity", f"{_short(text)} is too long, or holds control characters")
    return text


def moment(value: object, zone: str | None) -> int | None:
    """Read an instant. [ms since 1970 UTC]

    Numbers, and strings of digits, are seconds, milliseconds, microseconds or nanoseconds by
    their magnitude, which is unambiguous between the years 1973 and 5138. Other strings are RFC
    3339, with or without seconds; one without offset takes the zone; in the repeated hour of
    autumn it is the first.

    Args:
        value: As it came.
        zone: IANA zone of times that tell none; None: such a time is refused.

    Returns:
        The instant; None if the source told none: null, the empty string, or epoch 0.

    Raises:
        BadValue: It is no time.
    """
    if value is None:
        return None
    kind = type(value)
    if kind is int or kind is float:
        return _by_magnitude(value)  # type: ignore[arg-type]  # its type was just looked at
    if kind is not str:
        raise BadValue("bad_time", f"{_short(value)} is no time")
    text: str = value  # type: ignore[assignment]  # likewise
    return _written(text, zone) if len(text) <= SHORT else _written.__wrapped__(text, zone)


@lru_cache(maxsize=KNOWN)
def _written(text: str, zone: str | None) -> int | None:
    """Read an instant that is a text."""
    text = text.strip()
    if text[4:5] != "-":
        return _by_magnitude(_numeric(text)) if text else None
    try:
        found = datetime.fromisoformat(text.upper())
    except ValueError:
        raise BadValue("bad_time", f"{_short(text)} is no time") from None
    if len(text) < ISO_MINUTES:
        raise BadValue("bad_time", f"{_short(text)} tells no time of day")
    if found.tzinfo is None:
        if zone is None:
            raise BadValue("no_timezone", f"{_short(text)} tells no zone, nor does the route")
        found = found.replace(tzinfo=_zone(zone))
    return to_ms(found) or None


def _numeric(text: str) -> float:
    """Read a time that is written as a number; whole ones stay exact, for nanoseconds need it."""
    try:
        if text.isascii() and "_" not in text:
            return int(text) if text.isdigit() and len(text) <= NANOSECONDS else float(text)
    except ValueError:
        pass
    raise BadValue("bad_time", f"{_short(text)} is no time")


def _by_magnitude(value: float) -> int | None:
    size = abs(value)
    if not size:
        return None
    if size < 1e11:  # noqa: PLR2004 - seconds, until the year 5138
        return round(value * 1_000)
    for limit, per_ms in ((1e14, 1), (1e17, 1_000), (1e20, 1_000_000)):
        if size < limit:
            return int(value // per_ms)
    raise BadValue("bad_time", f"{_short(value)} is no time")


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
