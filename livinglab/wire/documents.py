"""Documents: JSON at the door, and the numbers and times inside it.

Nothing here guesses: what cannot be read is told apart by a reason of `reasons.REASONS`.
"""

import math
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import orjson

from livinglab.domain.readings import to_ms
from livinglab.wire.sinks import Undecodable

DEEPEST = 32
"""Levels of nesting that a payload may have."""


class BadValue(Exception):  # noqa: N818 - an outcome of one value, not a fault of the lab
    """A value cannot be read as what it should be."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def document(payload: bytes) -> object:
    """Read a payload as JSON.

    Raises:
        Undecodable: It is empty, not UTF-8, no JSON (NaN and Infinity are none), or too deep.
    """
    if not payload.strip():
        raise Undecodable("empty", "the payload is empty")
    try:
        read: object = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        if "recursion" in str(error).lower():
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
        found = _from_text(value)  # type: ignore[arg-type]  # likewise
        if found != found:  # noqa: PLR0124 - missing
            return found
    else:
        raise BadValue("bad_number", f"{_short(value)} is no number")
    if math.isinf(found) or math.isnan(found):
        raise BadValue("not_finite", f"{_short(value)} is no finite number")
    return found


def _from_text(text: str) -> float:
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
    return found


def _short(value: object) -> str:
    text = f"{value!r}" if not isinstance(value, (dict, list)) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - enough to recognise it


def moment(value: object, zone: str | None) -> int | None:
    """Read an instant. [ms since 1970 UTC]

    Numbers are seconds, milliseconds, microseconds or nanoseconds by their magnitude, which is
    unambiguous between the years 1973 and 5138. Strings are RFC 3339; one without offset takes
    the zone; in the repeated hour of autumn it is the first.

    Args:
        value: As it came.
        zone: IANA zone of times that tell none; None: such a time is refused.

    Returns:
        The instant; None if the source told none, or told 1970.

    Raises:
        BadValue: It is no time.
    """
    if value is None or value == "":
        return None
    kind = type(value)
    if kind is int or kind is float:
        return _by_magnitude(float(value))  # type: ignore[arg-type]  # its type was just looked at
    if kind is not str:
        raise BadValue("bad_time", f"{_short(value)} is no time")
    text = str(value).strip()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return _by_magnitude(_numeric(text))
    if found.tzinfo is None:
        if zone is None:
            raise BadValue("no_timezone", f"{_short(text)} tells no zone, nor does the route")
        found = found.replace(tzinfo=_zone(zone))
    try:
        return to_ms(found.astimezone(UTC)) or None
    except OverflowError:
        raise BadValue("bad_time", f"{_short(text)} is no time") from None


def _numeric(text: str) -> float:
    try:
        return float(text.encode("ascii").replace(b"_", b"?"))
    except ValueError:
        raise BadValue("bad_time", f"{_short(text)} is no time") from None


def _by_magnitude(value: float) -> int | None:
    if not math.isfinite(value):
        raise BadValue("bad_time", "a time must be finite")
    if value == 0:
        return None
    size = abs(value)
    for limit, per_ms in ((1e11, 1e-3), (1e14, 1.0), (1e17, 1e3), (1e20, 1e6)):
        if size < limit:
            return int(value // per_ms) if per_ms >= 1 else round(value * 1_000)
    raise BadValue("bad_time", f"{value:g} is no time")


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
