"""Reports: rows of other systems as what citizens posted there, by a layout that says where."""

import csv
import hashlib
import io
import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from livinglab.domain.places import WHOLE_ZONE
from livinglab.errors import UnreadableInputError

FACTS = (
    "id",
    "category",
    "text",
    "lang",
    "severity",
    "x",
    "y",
    "place",
    "address",
    "time",
    "updated",
    "status",
    "note",
    "contributor",
)
"""What names a row that has no id."""
MORE_COLUMNS = ("zone", "source", "crs")
COLUMNS = (*FACTS, *MORE_COLUMNS)
"""What a column may tell; ``x`` is a longitude, or to the east."""
TIME_FORMATS = ("iso", "epoch")
_TAG = re.compile(r"<[^>]*>")
_BREAK = re.compile(r"<\s*(br|/p|/div|/li)\s*/?>", re.IGNORECASE)
WGS84 = "EPSG:4326"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLayout:
    """How a file of reports is read.

    Attributes:
        name: Of the layout.
        source: Name of the system that they come from, where no column tells it: with an id it
            names a report for ever.
        format: ``csv`` with a header, or ``json``: an array of objects, or one below *items*.
        delimiter: Of CSV.
        items: Name of the member that holds the array, where JSON has one.
        columns: What is told → name of the column or member.
        optional: What of that a file may do without.
        categories: What the source calls a category → key or label in the city.
        category: Of all rows, where no column tells it.
        kind: Of all rows.
        lang: Of the words, where no column tells it.
        crs: Of the positions, as PROJ names it, where no column tells it.
        time: How times are written.
        timezone: Of times that name none; None: the city's, which the caller knows.
        place_prefix: Put before what the column place tells.
        closed: Words by which the column status says that it is closed.
        released: Whether the words were public at the source, and need no moderator.
    """

    name: str
    source: str
    format: Literal["csv", "json"] = "csv"
    delimiter: str = ","
    items: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    categories: Mapping[str, str] = field(default_factory=dict)
    category: str | None = None
    kind: str = "problem"
    lang: str | None = None
    crs: str = WGS84
    time: Literal["iso", "epoch"] = "iso"
    timezone: str | None = None
    place_prefix: str = ""
    closed: tuple[str, ...] = ("closed",)
    released: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One row in the lab's own words; positions are still in its own system."""

    line: int
    source: str
    crs: str
    external_id: str
    category: str
    text: str
    lang: str | None
    severity: int | None
    position: tuple[float, float] | None
    place: str | None
    address: str | None
    occurred_at: datetime
    updated_at: datetime | None
    closed: bool
    note: str
    contributor: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is none, and why; its words are not repeated."""

    line: int
    reason: str
    detail: str


def layout_named(name: str) -> ReportLayout:
    """Return a layout that ships with the lab, or that of a file.

    Raises:
        UnreadableInputError: There is none, or it is none.
    """
    folder = files("livinglab.wire.reports")
    shipped = {Path(one.name).stem: one for one in folder.iterdir() if one.name.endswith(".toml")}
    try:
        text = (
            Path(name).read_text(encoding="utf-8")
            if name.endswith(".toml")
            else shipped[name].read_text(encoding="utf-8")
        )
    except KeyError as error:
        known = ", ".join(sorted(shipped))
        raise UnreadableInputError("--layout", f"{name!r} is none of {known}") from error
    except OSError as error:
        raise UnreadableInputError(name, f"cannot be read ({error.strerror})") from error
    try:
        return layout_from(tomllib.loads(text), Path(name).stem)
    except (tomllib.TOMLDecodeError, ValueError, TypeError) as error:
        raise UnreadableInputError(f"layout {name}", str(error)) from error


def layout_from(document: Mapping[str, Any], name: str) -> ReportLayout:
    """Make a layout of a parsed document.

    Raises:
        ValueError: A name or a value in it means nothing.
    """
    known = {one.name for one in fields(ReportLayout)} - {"name"}
    unknown = sorted(document.keys() - known)
    if unknown:
        raise ValueError(f"there is no {unknown[0]!r} in a layout")
    columns = document.get("columns", {})
    strange = sorted(columns.keys() - set(COLUMNS))
    if strange:
        raise ValueError(f"there is no column {strange[0]!r}; use {', '.join(COLUMNS)}")
    if "time" not in columns:
        raise ValueError("columns.time names no column")
    if "category" not in columns and "category" not in document:
        raise ValueError("name columns.category, or one category for all rows")
    if not {"x", "y"} <= columns.keys() and not {"place", "zone"} & columns.keys():
        raise ValueError("name columns.x and columns.y, or columns.place, or columns.zone")
    needless = sorted(set(document.get("optional", ())) - columns.keys())
    if needless:
        raise ValueError(f"optional names {needless[0]!r}, which is no column")
    if document.get("time", "iso") not in TIME_FORMATS:
        raise ValueError(f"time is none of {', '.join(TIME_FORMATS)}")
    zone = document.get("timezone")
    try:
        ZoneInfo(zone or "UTC")
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"there is no time zone {zone!r}") from error
    facts = {"closed": ("closed",), **document}
    for several in ("closed", "optional"):
        facts[several] = tuple(facts.get(several, ()))
    return ReportLayout(name=name, **facts)


def read_reports(file: io.TextIOBase, layout: ReportLayout) -> Iterator[Report | Refused]:
    """Read a file row by row; a row that is none costs its neighbours nothing.

    A row without an id is named by its own facts, and by how often they came before it in the file,
    so that what is repeated stays repeated, and a second import finds every row again.

    Args:
        file: Text.
        layout: How it is read.

    Raises:
        UnreadableInputError: It is no such file, or lacks a column.
    """
    zone = ZoneInfo(layout.timezone or "UTC")
    seen: Counter[str] = Counter()
    for line, row in _rows(file, layout):
        if row is None:
            yield Refused(line, "bad_row", "has more or fewer fields than the header")
            continue
        try:
            yield _report(row, layout, zone, line, seen)
        except _BadRowError as error:
            yield Refused(line, error.reason, str(error))


class _BadRowError(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _rows(
    file: io.TextIOBase, layout: ReportLayout
) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    if layout.format == "json":
        yield from _objects(file, layout)
        return
    reader = csv.DictReader(file, delimiter=layout.delimiter, restkey="", restval=None)
    needed = (name for what, name in layout.columns.items() if what not in layout.optional)
    absent = [name for name in needed if name not in (reader.fieldnames or ())]
    if absent:
        raise UnreadableInputError(f"layout {layout.name}", f"the file has no column {absent[0]!r}")
    try:
        for row in reader:
            whole = "" not in row and all(value is not None for value in row.values())
            yield reader.line_num, row if whole else None
    except csv.Error as error:
        raise UnreadableInputError(f"line {reader.line_num}", f"is no CSV ({error})") from error


def _objects(
    file: io.TextIOBase, layout: ReportLayout
) -> Iterable[tuple[int, Mapping[str, Any] | None]]:
    try:
        document = json.load(file)
    except (ValueError, RecursionError) as error:
        raise UnreadableInputError("the file", f"is no JSON ({error})") from error
    if layout.items is not None and isinstance(document, dict):
        document = document.get(layout.items)
    if not isinstance(document, list):
        raise UnreadableInputError("the file", "holds no array of reports")
    return [(n, one if isinstance(one, dict) else None) for n, one in enumerate(document, 1)]


def _report(
    row: Mapping[str, Any],
    layout: ReportLayout,
    zone: ZoneInfo,
    line: int,
    seen: Counter[str],
) -> Report:
    def told(what: str) -> str:
        value = row.get(layout.columns.get(what, ""))
        return "" if value is None else str(value).strip()

    named = [told(one) for one in FACTS] + [told(one) for one in MORE_COLUMNS if told(one)]
    facts = hashlib.sha256(json.dumps(named, ensure_ascii=False).encode()).hexdigest()[:32]
    seen[facts] += 1
    category = told("category") or layout.category or ""
    occurred = _time(told("time"), layout, zone, "time")
    updated = _time(told("updated"), layout, zone, "updated") if told("updated") else None
    return Report(
        line=line,
        source=told("source") or layout.source,
        crs=told("crs") or layout.crs,
        external_id=told("id") or f"{facts}-{seen[facts]}",
        category=layout.categories.get(category, category),
        text=_words(told("text")),
        lang=told("lang") or layout.lang,
        severity=_severity(told("severity")),
        position=_position(told("x"), told("y")),
        place=_place(told, layout),
        address=told("address") or None,
        occurred_at=occurred,
        updated_at=updated,
        closed=told("status").lower() in layout.closed,
        note=_words(_TAG.sub("", _BREAK.sub("\n", told("note")))),
        contributor=told("contributor") or None,
    )


def _place(told: Callable[[str], str], layout: ReportLayout) -> str | None:
    if place := told("place"):
        return f"{layout.place_prefix}{place}"
    zone = told("zone")
    return f"{WHOLE_ZONE}{zone}" if zone else None


def _words(text: str) -> str:
    """Take marks of HTML for what they mean, and every end of a line for one."""
    return unescape(text).replace("\r\n", "\n").replace("\r", "\n").strip()


def _time(text: str, layout: ReportLayout, zone: ZoneInfo, what: str) -> datetime:
    try:
        if layout.time == "epoch":
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(text))
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=zone)
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _BadRowError("bad_time", f"{what} is no time") from error


def _severity(text: str) -> int | None:
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if found not in {1, 2, 3, 4, 5}:
        raise _BadRowError("bad_severity", "severity is none of 1 to 5")
    return int(found)


def _position(x: str, y: str) -> tuple[float, float] | None:
    if not x and not y:
        return None
    try:
        found = float(x), float(y)
    except ValueError as error:
        raise _BadRowError("bad_position", "a coordinate is no number") from error
    if not all(abs(one) < 1e9 for one in found):  # noqa: PLR2004 - also NaN; metres on this earth
        raise _BadRowError("bad_position", "a coordinate lies nowhere")
    return found
