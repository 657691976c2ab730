"""Format `table`: one row of a bulk file, read by a layout that says what its columns hold.

A row is a message like any other, so history meets the same rules as what arrives by MQTT. Its
payload is the row as it stands in the file; the columns are known from the file's header. A long
row holds one Reading, a wide row one in each column of values.
"""

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Self
from zoneinfo import ZoneInfo

from livinglab.domain.geometry import Point
from livinglab.domain.readings import to_ms
from livinglab.wire.documents import BadValue, identity, moment, number, position
from livinglab.wire.routes import Route
from livinglab.wire.sinks import UNKNOWN_UNIT, Sink, Undecodable

LONGEST_ROW = 32 * 1024
"""Bytes that a row may have."""
LONGEST_UNIT = 40
"""Characters of a unit that are told further."""

Quantity = tuple[str, str | None]
"""A property and the unit that the source gives it in; None: the unit is told elsewhere."""


class Stamps(Enum):
    """Which instant of its interval a source writes down."""

    START = "start"
    MIDDLE = "middle"
    END = "end"


class Meaning(Enum):
    """What a source's own flag says about its value."""

    GOOD = "good"
    DOUBTED = "doubted"
    MISSING = "missing"


class Empty(Enum):
    """What an empty cell of a value says."""

    MISSING = "missing"
    """The source says that it has no value: a Reading that is missing."""
    UNTOLD = "untold"
    """The source says nothing: no Reading, as if the row had no such column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Columns that hold values, and what their names tell."""

    match: re.Pattern[str]
    """The whole name of such a column. What the groups `thing`, `property`, `unit` and `hour` hold
    is taken from there; `joins` names what else the source poured into the column."""
    observed_property: str | None = None
    unit: str | None = None
    factor: float = 1.0
    """The source's number times this is in the unit."""
    flag: str | None = None
    """Name of the column with the source's flag; groups of *match* may stand in it: ``V{hour}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the columns of a kind of bulk file hold."""

    name: str
    scheme: str
    values: tuple[Values, ...]
    time: tuple[str, ...]
    """Columns that tell the time; several are joined by a blank."""
    time_format: str | None = None
    """For `strptime`; None: RFC 3339, or a number since 1970."""
    thing: str | None = None
    """Column that tells the Thing; None: the name of the value's column does."""
    thing_match: re.Pattern[str] | None = None
    """The whole cell of that column; its group `thing` is the id."""
    observed_property: str | None = None
    """Column that tells the property; None: the value's column does."""
    names: Mapping[str, Quantity] = field(default_factory=dict)
    """What the source calls a property → what it is; empty: it uses our keys."""
    unit: str | None = None
    """Column that tells the unit."""
    point: tuple[str, str] | None = None
    """Columns that tell longitude and latitude."""
    flags: Mapping[str, Meaning] = field(default_factory=dict)
    """What the source's flags mean; one that is not listed casts doubt."""
    optional: frozenset[str] = frozenset()
    """Columns that a file may lack, beside those that only *values* ask for."""
    delimiter: str = ","
    timezone: str | None = None
    stamps: Stamps = Stamps.START
    interval_s: float | None = None
    """Length of the interval that a value covers. [s]"""
    empty: Empty = Empty.MISSING
    confirm: bool = False
    """Whether new Things of such a file are trusted at once."""
    document: Mapping[str, object] = field(default_factory=dict)
    """The layout as it was written, to be kept or sent elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of values in a file at hand."""

    at: int
    name: str
    thing: str | None
    observed_property: str | None
    unit: str | None
    factor: float
    flag_at: int | None
    hours: int
    """How long after the time of its row. [h]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A layout bound to the header of a file."""

    layout: Layout
    header: tuple[str, ...]
    columns: tuple[Column, ...]
    time_at: tuple[int, ...]
    thing_at: int | None
    property_at: int | None
    unit_at: int | None
    point_at: tuple[int, int] | None
    passed_over: tuple[str, ...]
    """Columns of which the layout knows nothing."""
    joined: tuple[str, ...]
    """Columns into which the source poured several instruments."""
    shift_ms: int
    """How long after the start of its interval a time lies that the source tells. [ms]"""

    @classmethod
    def bind(cls, layout: Layout, header: Sequence[str]) -> Self:
        """Find the columns of a layout in a header.

        Raises:
            ValueError: A column is not there, or stands there twice.
        """
        names = tuple(name.strip() for name in header)
        found = _Binding(layout, names)
        columns, joined = found.columns()
        point = layout.point and (found.at(layout.point[0]), found.at(layout.point[1]))
        return cls(
            layout=layout,
            header=names,
            columns=columns,
            time_at=tuple(found.needed(name) for name in layout.time),
            thing_at=found.at(layout.thing),
            property_at=found.at(layout.observed_property),
            unit_at=found.at(layout.unit),
            point_at=(point[0], point[1]) if point and None not in point else None,  # type: ignore[arg-type]  # none of them is None
            passed_over=tuple(name for name in names if name not in found.used),
            joined=joined,
            shift_ms=_shift_ms(layout.stamps, layout.interval_s or 0.0),
        )

    def cells(self, row: bytes) -> list[str]:
        """Split a row.

        Raises:
            Undecodable: It is no row of this table.
        """
        if len(row) > LONGEST_ROW:
            raise Undecodable("too_large", f"the row is longer than {LONGEST_ROW} bytes")
        try:
            cells = split(row.decode(), self.layout.delimiter)
        except UnicodeDecodeError as error:
            raise Undecodable("not_utf8", f"byte {error.start} is not UTF-8") from error
        except csv.Error as error:
            raise Undecodable("bad_shape", f"the quotes do not match ({error})") from error
        if len(cells) != len(self.header):
            problem = f"{len(cells)} cells, but the header names {len(self.header)} columns"
            raise Undecodable("bad_shape", problem)
        return cells

    def thing(self, cells: Sequence[str]) -> str | None:
        """Read the Thing of a row; None if each column has its own."""
        if self.thing_at is None:
            return None
        told, match = cells[self.thing_at], self.layout.thing_match
        if match is None:
            return identity(told)
        found = match.fullmatch(told.strip())
        if found is None:
            raise BadValue("no_identity", f"{told[:60]!r} names no Thing")
        return identity(found["thing"])

    def quantity(self, cells: Sequence[str]) -> tuple[str | None, str | None]:
        """Read property and unit of a row, as far as it tells them."""
        unit: str | None = None
        if self.unit_at is not None:
            unit = cells[self.unit_at].strip()[:LONGEST_UNIT] or UNKNOWN_UNIT
        if self.property_at is None:
            return None, unit
        code = cells[self.property_at].strip()
        named, known_unit = self.layout.names.get(code, (None, None))
        if named is None:
            if self.layout.names:
                raise BadValue("unknown_property", f"the layout names no property {code[:60]!r}")
            named = code
        return named, unit if unit is not None else known_unit

    def time(self, cells: Sequence[str]) -> str:
        """Return what a row says of its time."""
        return " ".join([cells[at].strip() for at in self.time_at])

    def instant(self, told: str, hours: int) -> int:
        """Read when the interval of a value began. [ms since 1970 UTC]"""
        layout = self.layout
        if layout.time_format is None:
            instant = moment(told, layout.timezone)
        else:
            instant = _instant(told, layout.time_format, layout.timezone, hours)
        if instant is None:
            raise BadValue("bad_time", f"{told[:60]!r} tells no time")
        return instant - self.shift_ms


def _shift_ms(stamps: Stamps, interval_s: float) -> int:
    interval_ms = round(interval_s * 1_000)
    return {Stamps.START: 0, Stamps.MIDDLE: interval_ms // 2, Stamps.END: interval_ms}[stamps]


class _Binding:
    """Looks columns up, and remembers which were asked for."""

    def __init__(self, layout: Layout, header: tuple[str, ...]) -> None:
        self.layout = layout
        self.header = header
        self.used: set[str] = set()

    def needed(self, name: str) -> int:
        """Return where a column stands that must be there."""
        if self.header.count(name) != 1:
            problem = "stands there twice" if name in self.header else "is not there"
            raise ValueError(f"column {name!r} {problem}")
        self.used.add(name)
        return self.header.index(name)

    def at(self, name: str | None) -> int | None:
        """Return where a column stands; None if it is optional and not there."""
        absent = name is not None and name not in self.header
        if name is None or (absent and name in self.layout.optional):
            return None
        return self.needed(name)

    def columns(self) -> tuple[tuple[Column, ...], tuple[str, ...]]:
        """Return the columns of values, and what others were poured into some of them."""
        columns, joined = [], []
        for at, name in enumerate(self.header):
            for values in self.layout.values:
                found = values.match.fullmatch(name)
                column = found and self._column(at, name, values, found.groupdict())
                if found and column:
                    columns.append(column)
                    self.needed(name)
                    if found.groupdict().get("joins"):
                        joined.append(name)
                    break
        if not columns:
            raise ValueError(f"no column holds values of layout {self.layout.name}")
        return tuple(columns), tuple(joined)

    def _column(
        self, at: int, name: str, values: Values, told: Mapping[str, str | None]
    ) -> Column | None:
        """Describe a column by its name; None if that names a property which nobody knows."""
        observed_property, unit = values.observed_property, values.unit
        if called := told.get("property"):
            observed_property, known_unit = self.layout.names.get(called, (None, None))
            if observed_property is None:
                return None
            unit = unit if unit is not None else known_unit
        if not (observed_property or self.layout.observed_property):
            raise ValueError(f"column {name!r} names no property")
        if "unit" in told and unit is None:
            unit = (told["unit"] or UNKNOWN_UNIT)[:LONGEST_UNIT]
        flag = values.flag
        for group, text in told.items():
            flag = flag and flag.replace(f"{{{group}}}", text or "")
        return Column(
            at=at,
            name=name,
            thing=self._thing(name, told.get("thing")),
            observed_property=observed_property,
            unit=unit,
            factor=values.factor,
            flag_at=self.at(flag),
            hours=int(told.get("hour") or 0),
        )

    def _thing(self, name: str, told: str | None) -> str | None:
        """Read the Thing that a column names; None if its rows do."""
        if told is None and self.layout.thing is not None:
            return None
        try:
            return identity(told)
        except BadValue as error:
            raise ValueError(f"column {name!r}: {error.detail}") from None


def split(text: str, delimiter: str) -> list[str]:
    """Split a line into cells; quotes may hold what would else divide.

    Raises:
        csv.Error: The quotes do not match.
    """
    if '"' not in text:
        return text.split(delimiter)
    return next(csv.reader([text], delimiter=delimiter, strict=True), [])


@lru_cache(maxsize=8_192)
def _instant(told: str, time_format: str, timezone: str | None, hours: int) -> int:
    """Read a time that was written in a city's own way, some hours of its clock later. [ms]"""
    try:
        time = datetime.strptime(told, time_format) + timedelta(hours=hours)  # noqa: DTZ007 - the zone comes next
        if time.tzinfo is None:
            if timezone is None:
                raise BadValue("no_timezone", f"{told[:60]!r} tells no zone, nor does the layout")
            time = time.replace(tzinfo=ZoneInfo(timezone))
        return to_ms(time)
    except (ValueError, OverflowError):
        raise BadValue("bad_time", f"{told[:60]!r} is no time") from None


def table_of(route: Route) -> Table:
    """Return the table that a route reads.

    Raises:
        ValueError: It has none: only an import makes such routes.
    """
    table = route.options.get("table")
    if not isinstance(table, Table):
        raise ValueError("format table is for imports; it needs the header of a file")  # noqa: TRY004 - what `check` raises
    return table


def check(route: Route) -> None:
    """Refuse a route that has no table.

    Raises:
        ValueError: Saying so.
    """
    table_of(route)


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one row: see `wire.sinks`."""
    del fields  # the topic names the file, not a Thing
    table = table_of(route)
    cells = table.cells(payload)
    try:
        thing, (observed_property, unit) = table.thing(cells), table.quantity(cells)
        point, told = _point(table, cells, sink), table.time(cells)
        hours, time = -1, 0
        for column in table.columns:
            if column.hours != hours:
                hours, time = column.hours, table.instant(told, column.hours)
            found = _value(column, cells, table.layout, sink)
            if found is None:
                continue
            value, doubted = found
            sink.reading(
                column.thing or thing or "",
                column.observed_property or observed_property or "",
                time,
                value,
                unit=column.unit if column.unit is not None else unit,
                source=cells[column.at],
                path=column.name,
                point=point,
                interval_s=table.layout.interval_s,
                doubted=doubted,
            )
    except BadValue as error:
        raise Undecodable(error.reason, error.detail) from None


def _value(
    column: Column, cells: Sequence[str], layout: Layout, sink: Sink
) -> tuple[float, bool] | None:
    """Read a value and whether its source doubts it; None if there is none."""
    meaning = Meaning.GOOD
    if column.flag_at is not None:
        meaning = layout.flags.get(cells[column.flag_at].strip(), Meaning.DOUBTED)
    if meaning is Meaning.MISSING:
        return math.nan, False
    try:
        value = number(cells[column.at])
    except BadValue as error:
        sink.reject(error.reason, error.detail, column.name)
        return None
    if value != value:  # noqa: PLR0124 - the fastest test for NaN
        if layout.empty is Empty.UNTOLD:
            sink.ignore("not_told", column.name)
            return None
        return value, False
    return value * column.factor, meaning is Meaning.DOUBTED


def _point(table: Table, cells: Sequence[str], sink: Sink) -> Point | None:
    """Read the position, if one was told; a bad one costs no Reading."""
    if table.point_at is None:
        return None
    lon, lat = table.point_at
    try:
        return position(cells[lon], cells[lat])
    except BadValue as error:
        sink.reject(error.reason, error.detail, table.header[lat], readings=0)
        return None
