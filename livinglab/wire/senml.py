"""Format `senml`: lists of measurements by RFC 8428, in JSON or CBOR.

A pack is a list of records, of which each may change what the following ones begin with: name,
time, unit, value. A time below 2**28, or none, is relative to now.

The full name of a record is that of the Thing, and may end in a word for the quantity:
``urn:dev:ow:10e2073a01080063:temperature``. A last part that is no such word belongs to the
Thing, and the unit tells the quantity, if it is one of those that mean only one: ``Cel``,
``%RH``. Records in ``lon`` and ``lat`` are where the Thing was at that time. Text, booleans, data
and sums are no measurements here.

Options of the route: ``names``, a table of word = property, the word being the last part of a
name, or a unit.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from io import BytesIO
from typing import NamedTuple

import cbor2

from livinglab.domain.geometry import Point
from livinglab.domain.readings import TimeSource
from livinglab.wire.documents import BadValue, document, identity, number, position
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable
from livinglab.wire.words import Quantity, check_words, quantity, unit_of

VERSION = 10
"""The version of RFC 8428; a pack of a later one is not for us."""
RELATIVE = 2**28
"""Times below are relative to now. [s]"""
LATEST = 1e11
"""No time lies so far from 1970: the year 5138. [s]"""
DEEPEST_CBOR = 8
"""Levels of nesting that CBOR may have; a pack has two."""

_LABELS = {
    -1: "bver",
    -2: "bn",
    -3: "bt",
    -4: "bu",
    -5: "bv",
    -6: "bs",
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}
"""Label in CBOR → label in JSON: RFC 8428, section 6, table 4."""
_TOLD = frozenset(_LABELS.values())
_NO_NUMBERS = ("vs", "vb", "vd", "s")
_UNITS = {
    "Cel": "temperature",
    "K": "temperature",
    "%RH": "relative_humidity",
    "%EL": "battery",
    "lx": "illuminance",
}
"""Units that measure one property only."""
_SEPARATORS = {":", "/"}
POSITION = ("lon", "lat")
"""Units of the two halves of a position."""
_POSITION_WORDS = frozenset({"lon", "lat", "longitude", "latitude", "position", "location", "gps"})

check = check_words


class Resolved(NamedTuple):
    """One record that needs no other to be understood, or why there is none."""

    record: dict[str, object]
    """Without base fields, its time absolute."""
    base_name: str = ""
    """The part of its name that other records share."""
    problem: BadValue | None = None


@dataclass(slots=True)
class _Base:
    """What the records begin with, as far as the pack has been read."""

    fields: dict[str, object] = field(default_factory=dict)
    strange: str = ""
    """A base field that must be understood, and is not."""

    def take(self, record: Mapping[str, object]) -> None:
        """Let a record change the base."""
        for label, value in record.items():
            if label[:1] != "b":
                continue
            if label in _TOLD:
                self.fields[label] = value
            elif label.endswith("_"):
                self.strange = label

    def resolve(self, record: Mapping[str, object], now_s: float) -> Resolved:
        """Complete one record.

        Raises:
            BadValue: It cannot be.
        """
        strange = [label for label in record if label[-1:] == "_" and label not in _TOLD]
        if strange or self.strange:
            label = (strange or [self.strange])[0]
            raise BadValue("bad_shape", f"{label[:40]!r} must be understood, and is not")
        base = _text(self.fields.get("bn"))
        found: dict[str, object] = {"n": base + _text(record.get("n"))}
        if unit := _text(record.get("u")) or _text(self.fields.get("bu")):
            found["u"] = unit
        time = _seconds(self.fields.get("bt")) + _seconds(record.get("t"))
        found["t"] = now_s + time if time < RELATIVE else time
        for label, begin in (("v", "bv"), ("s", "bs")):
            if label in record:
                found[label] = number(self.fields.get(begin) or 0) + number(record[label])
        found |= {label: record[label] for label in ("vs", "vb", "vd", "ut") if label in record}
        return Resolved(found, base)


def _text(value: object) -> str:
    if value is None:
        return ""
    if type(value) is not str:
        raise BadValue("bad_shape", "a name or a unit is no text")
    return value


def _seconds(value: object) -> float:
    """Read a time; none is zero."""
    if value is None:
        return 0
    if (type(value) is not int and type(value) is not float) or not abs(value) < LATEST:
        raise BadValue("bad_time", f"{str(value)[:40]!r} is no time in seconds")
    return value


def resolve(records: Iterable[object], now_s: float) -> Iterator[Resolved]:
    """Yield one Resolved for every record of a pack, in its order.

    Args:
        records: As they came.
        now_s: What relative times are relative to. [s since 1970 UTC]

    Raises:
        Undecodable: The pack is of a later version.

    References:
        RFC 8428, section 4.6.
    """
    base = _Base()
    for record in records:
        if not isinstance(record, dict):
            yield Resolved({}, problem=BadValue("bad_shape", "a record must be an object"))
            continue
        base.take(record)
        _check_version(base.fields.get("bver", VERSION))
        try:
            yield base.resolve(record, now_s)
        except BadValue as error:
            yield Resolved({}, problem=error)


def _check_version(told: object) -> None:
    if not isinstance(told, (int, float)) or not told <= VERSION:
        raise Undecodable("unknown_version", f"version {str(told)[:20]!r}; we read up to {VERSION}")


def is_senml(told: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a document looks like a pack."""
    del fields  # a pack tells enough
    if not isinstance(told, list) or not told or not isinstance(told[0], dict):
        return False
    labels: set[object] = {label for one in told[:3] if isinstance(one, dict) for label in one}
    return bool(labels & {"n", "bn"}) and bool(labels & {"v", *_NO_NUMBERS})


def is_senml_cbor(payload: bytes, fields: Mapping[str, str]) -> bool:
    """Tell whether a payload looks like a pack in CBOR."""
    if not _is_cbor(payload):
        return False
    try:
        return is_senml(_from_cbor(payload), fields)
    except Undecodable:
        return False


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    told = _from_cbor(payload) if _is_cbor(payload) else document(payload)
    if not isinstance(told, list):
        raise Undecodable("bad_shape", "a pack must be a list of records")
    # Resolved against 0, what stays below 2**28 is relative to an arrival that few packs ask for.
    records = [
        _Record.of(one, f"[{n}]", fields, route) for n, one in enumerate(resolve(told, now_s=0.0))
    ]
    spots = _spots(records, sink)
    for record in records:
        _tell(record, spots, sink)


def _is_cbor(payload: bytes) -> bool:
    """Tell CBOR from JSON, which begins with ASCII or a byte order mark."""
    return payload[:1] >= b"\x80" and payload[:1] != b"\xef"


def _refuse_tag(value: object, immutable: object) -> object:
    del value, immutable  # whatever it is, SenML has no use for it
    raise ValueError("of all tags SenML knows the decimal fraction only")


_REFUSED = dict.fromkeys(
    (0, 1, 2, 3, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000),
    _refuse_tag,
)
"""The tags that the library would make objects of: dates, patterns, references to elsewhere."""


def _from_cbor(payload: bytes) -> object:
    """Read CBOR as what JSON would have told.

    Raises:
        Undecodable: It is none.
    """
    try:
        stream = BytesIO(payload)
        told = cbor2.CBORDecoder(
            stream,
            semantic_decoders=_REFUSED,
            tag_hook=_refuse_tag,
            max_depth=DEEPEST_CBOR,
        ).decode()
    except Exception as error:  # whatever a library makes of hostile bytes
        raise Undecodable("bad_cbor", str(error)[:200]) from error
    if stream.tell() < len(payload):
        raise Undecodable("bad_cbor", f"more follows the item that ends at byte {stream.tell()}")
    if not isinstance(told, list):
        return told
    return [_labelled(one) if isinstance(one, dict) else one for one in told]


def _labelled(record: Mapping[object, object]) -> dict[str, object]:
    """Write the labels of a record as in JSON, and its numbers as floats."""
    named = (
        (_LABELS.get(label) if type(label) is int else label, value)
        for label, value in record.items()
    )
    return {
        label: float(value) if isinstance(value, Decimal) else value
        for label, value in named
        if isinstance(label, str)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """One resolved record, and what it is about."""

    path: str
    told: Mapping[str, object]
    thing: str = ""
    meaning: Quantity | None = None
    problem: BadValue | None = None

    @staticmethod
    def of(resolved: Resolved, path: str, fields: Mapping[str, str], route: Route) -> "_Record":
        """Tell Thing and quantity apart; a bare name is one of the topic's ``{thing}``."""
        told, problem = resolved.record, resolved.problem
        if problem:
            return _Record(path=path, told=told, problem=problem)
        name, unit = str(told["n"]), str(told.get("u", ""))
        if "thing" in fields and not resolved.base_name and not _SEPARATORS & set(name):
            name = f"{fields['thing']}/{name}"
        thing, word = _split(name, resolved.base_name)
        if unit in POSITION:
            meaning = None
            thing = thing if word.casefold() in _POSITION_WORDS else name
        else:
            meaning = quantity(word, route)
            if meaning is None:
                thing, meaning = name, _by_unit(unit, route)
        try:
            thing = identity(thing.rstrip(":/"))
        except BadValue as error:
            return _Record(path=path, told=told, problem=error)
        return _Record(path=path, told=told, thing=thing, meaning=meaning)

    @property
    def seconds(self) -> float:
        """Its time; below 2**28 relative to now. [s]"""
        time = self.told["t"]
        return time if isinstance(time, (int, float)) else 0

    @property
    def coordinate(self) -> str:
        """Which half of a position it is, if it is one."""
        unit = self.told.get("u")
        return unit if isinstance(unit, str) and unit in POSITION and "v" in self.told else ""


def _split(name: str, base_name: str) -> tuple[str, str]:
    """Part a name before its last word, which never reaches into the base name."""
    cut = max(name.rfind(":") + 1, name.rfind("/") + 1, len(base_name))
    return name[:cut], name[cut:]


def _by_unit(unit: str, route: Route) -> Quantity | None:
    return Quantity(_UNITS[unit]) if unit in _UNITS else quantity(unit, route)


Spots = Mapping[tuple[str, float], Point]
"""Thing and time → where it was."""


def _spots(records: Iterable[_Record], sink: Sink) -> Spots:
    """Find the positions of a pack; a bad one costs no Reading."""
    halves: dict[tuple[str, float], dict[str, _Record]] = {}
    for one in records:
        if one.coordinate:
            halves.setdefault((one.thing, one.seconds), {})[one.coordinate] = one
    found: dict[tuple[str, float], Point] = {}
    for at, both in halves.items():
        lon, lat = (both[one].told["v"] if one in both else None for one in POSITION)
        try:
            point = position(lon, lat)
        except BadValue as error:
            sink.reject(error.reason, error.detail, next(iter(both.values())).path, readings=0)
            continue
        if point:
            found[at] = point
    return found


def _tell(record: _Record, spots: Spots, sink: Sink) -> None:
    """Tell a sink of one record; what is wrong with it costs no other."""
    told, path, problem = record.told, record.path, record.problem
    if problem:
        sink.reject(problem.reason, problem.detail, path)
        return
    if "v" not in told or record.coordinate:
        kind = next((label for label in _NO_NUMBERS if label in told), "")
        sink.ignore("position" if record.coordinate else "no_measurement", f"{path}.{kind or 'v'}")
        return
    unit = str(told.get("u", ""))
    if record.meaning is None:
        detail = f"neither {str(told['n'])[-40:]!r} nor the unit {unit[:20]!r} is a property"
        sink.reject("unknown_property", detail, path)
        return
    time, time_source = _instant(record.seconds, sink)
    value = told["v"] if isinstance(told["v"], float) else math.nan
    sink.reading(
        record.thing,
        record.meaning.observed_property,
        time,
        value,
        unit=unit_of(record.meaning, unit),
        source=None if math.isnan(value) else value,
        path=f"{path}.v",
        point=spots.get((record.thing, record.seconds)),
        channel=record.meaning.channel,
        time_source=time_source,
    )


def _instant(seconds: float, sink: Sink) -> tuple[int | None, TimeSource]:
    """Return the time of a record in milliseconds; None: its arrival."""
    if seconds >= RELATIVE:
        return round(seconds * 1_000), TimeSource.PAYLOAD
    if not seconds:
        return None, TimeSource.RECEIVED
    return sink.received + round(seconds * 1_000), TimeSource.RECEIVED
