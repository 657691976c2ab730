"""Agreeing from the command line: whether what citizens post and sensors show go together."""

import csv
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from livinglab.domain.geometry import is_point
from livinglab.errors import UnreadableInputError
from livinglab.impact.agreement import Anomalies, agree, document
from livinglab.impact.pairing import Count, Every

EVERY: tuple[Every, ...] = ("1h", "1D")
COUNTS: tuple[Count, ...] = ("reports", "contributors", "severity")
ANOMALIES: tuple[Anomalies, ...] = ("month", "none")
FARTHEST_LAG = 1_000
SHOWN = 20
"""Refused rows that are shown; JSON lists all."""
NUMBERS = ("value", "severity", "lat", "lon")
NAMES = ("place", "zone", "category", "contributor")

_screen = Console(stderr=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the command line asked about two tables."""

    observations: str
    readings: str
    every: Every = "1D"
    lags: str | None = None
    count: Count = "reports"
    min_severity: float | None = None
    anomalies: Anomalies = "month"
    exceedance: str = "p90"
    timezone: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row that cannot be read, and why."""

    table: Literal["observations", "readings"]
    line: int
    reason: str


@dataclass(slots=True)
class Columns:
    """What was read of a table so far, column by column."""

    parsers: Mapping[int, tuple[str, Callable[[str], Any]]]
    width: int
    found: dict[str, list[Any]] = field(default_factory=dict)

    def take(self, cells: list[str]) -> None:
        """Take a row, or none of it.

        Raises:
            ValueError: It cannot be read; the text says why.
        """
        if len(cells) != self.width:
            raise ValueError(f"it has {len(cells)} cells, the header {self.width}")
        row = {name: parse(cells[at].strip()) for at, (name, parse) in self.parsers.items()}
        lon, lat = row.get("lon", math.nan), row.get("lat", math.nan)
        if not (math.isnan(lon + lat) or is_point(lon, lat)):
            raise ValueError(f"lat {lat:g}, lon {lon:g} is no position on earth")
        for name, value in row.items():
            self.found[name].append(value)


def run_agree(question: Question, *, as_json: bool) -> int:
    """Compare two tables and print what may be said; 1 if a row was refused.

    Raises:
        UnreadableInputError: A table or an option cannot be read.
        PanelError: A column is missing that the question needs.
    """
    if question.observations == question.readings == "-":
        raise UnreadableInputError("-", "standard input can be one of the two tables, not both")
    zone, lags = _zone(question.timezone), _lags(question.lags)
    refused: list[Refused] = []
    observations = _read("observations", question.observations, zone, refused)
    readings = _read("readings", question.readings, zone, refused)
    with _screen.status("comparing"):
        found = agree(
            observations,
            readings,
            every=question.every,
            lags=lags,
            count=question.count,
            min_severity=question.min_severity,
            anomalies=question.anomalies,
            exceedance=question.exceedance,
            timezone=question.timezone or "UTC",
            rng=np.random.default_rng(question.seed),
        )
    categories = Counter(observations.get("category", pd.Series(dtype=object)).dropna())
    told = {
        **document(found),
        "categories": dict(categories.most_common()),
        "refused": [
            {"table": one.table, "line": one.line, "reason": one.reason} for one in refused
        ],
        "seed": question.seed,
    }
    if as_json or not sys.stdout.isatty():
        print(json.dumps(told, ensure_ascii=False, allow_nan=False))  # noqa: T201 - data go to stdout
    else:
        show(told)
    _list(refused)
    return int(bool(refused))


# --- options


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnreadableInputError("--timezone", f"there is no time zone {name!r}") from error


def _lags(text: str | None) -> range | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,4})(?:\.\.(\d{1,4}))?", text.strip())
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not first <= last <= FARTHEST_LAG:
        raise UnreadableInputError(
            "--lags", f"{text!r} is no range such as 0..24, of at most {FARTHEST_LAG} periods"
        )
    return range(first, last + 1)


# --- tables


def _read(
    table: Literal["observations", "readings"],
    source: str,
    zone: ZoneInfo | None,
    refused: list[Refused],
) -> pd.DataFrame:
    """Read the columns that mean something, and note each row that cannot be read."""
    name = "standard input" if source == "-" else Path(source).name
    try:
        with _opened(source) as file:
            rows = csv.reader(file, strict=True)
            columns = _header(name, next(rows, []), table, zone)
            wrong = list(_refused(columns, rows, table))
    except OSError as error:
        raise UnreadableInputError(source, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UnreadableInputError(name, "is no text in UTF-8") from error
    except csv.Error as error:
        raise UnreadableInputError(name, f"is no CSV (line {rows.line_num}: {error})") from error
    if wrong and not columns.found["time"]:
        first = f"line {wrong[0].line}: {wrong[0].reason}"
        raise UnreadableInputError(name, f"none of its {len(wrong):,} rows can be read; {first}")
    refused += wrong
    return pd.DataFrame(columns.found)


@contextmanager
def _opened(source: str) -> Iterator[TextIO]:
    if source == "-":
        yield sys.stdin
        return
    with Path(source).open(encoding="utf-8-sig", newline="") as file:
        yield file


def _header(name: str, cells: list[str], table: str, zone: ZoneInfo | None) -> Columns:
    """Find the columns that mean something."""
    header = [cell.strip().removeprefix("\ufeff") for cell in cells]
    for needed in ("time", "value") if table == "readings" else ("time",):
        if header.count(needed) != 1:
            there = f"it has {', '.join(header)}"[:200] if any(header) else "it is empty"
            often = "lacks" if needed not in header else "has more than one of"
            raise UnreadableInputError(name, f"{often} the column {needed}; {there}")
    parsers: dict[str, Callable[[str], Any]] = {"time": lambda text: _time(text, zone)}
    parsers |= {one: _number_of(one) for one in NUMBERS}
    parsers |= dict.fromkeys(NAMES, lambda text: text or None)
    at = {header.index(one): (one, parsers[one]) for one in parsers if one in header}
    found: dict[str, list[Any]] = {one: [] for one, _ in at.values()}
    return Columns(at, len(header), found)


def _refused(
    columns: Columns, rows: Any, table: Literal["observations", "readings"]
) -> Iterator[Refused]:
    for cells in rows:
        try:
            if any(cells):
                columns.take(cells)
        except ValueError as error:
            yield Refused(table=table, line=rows.line_num, reason=str(error))


def _time(text: str, zone: ZoneInfo | None) -> datetime:
    """Read an RFC 3339 time; one without a zone is told by the clocks of *zone*."""
    if re.fullmatch(r"\d{9,10}", text):
        utc = datetime.fromtimestamp(int(text), UTC)
        raise ValueError(f"time {text} is no RFC 3339 time; in seconds of 1970 it is {utc:%FT%TZ}")
    try:
        found = datetime.fromisoformat(text) if text[4:5] == "-" else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError(f"time {text[:40]!r} is no RFC 3339 time such as 2024-05-01T13:00:00Z")
    if found.tzinfo is None and zone is None:
        raise ValueError(f"time {text} has no zone: give --timezone")
    try:
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"time {text} lies outside the calendar") from None


def _number_of(name: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        """Read a number; an empty cell is missing."""
        try:
            found = float(text) if text and "_" not in text else math.nan if not text else math.inf
        except ValueError:
            found = math.inf
        if math.isinf(found):
            raise ValueError(f"{name} {text[:40]!r} is no number")
        return found

    return read


# --- what is printed


def show(told: Mapping[str, Any]) -> None:
    """Print a document for somebody at a terminal."""
    out = Console()
    out.print(escape(told["sentence"]), style="bold", highlight=False)
    pairing = told["pairing"]
    units = len(pairing["units"])
    away = pairing["median_m"]
    far = f", the median Observation {away:,.0f} m from its Readings" if away is not None else ""
    out.print(
        f"finding {told['finding']}; {told['periods']} periods of {told['every']} with Readings, "
        f"{told['observations']} Observations, paired by {pairing['by']} ({units}){far}",
        highlight=False,
    )
    for reason, n in pairing["left_out"].items():
        out.print(f"{n} Observations left out: {reason}", style="dim", highlight=False)
    out.print(_tests(told))
    for line in _lines(told):
        out.print(escape(line), highlight=False)


def _tests(told: Mapping[str, Any]) -> Table:
    table = Table(header_style="bold")
    for name in ("test", "lag", "rho", "low", "high", "pairs worth", "p"):
        table.add_column(name)
    for name in ("level", "anomalies", "lead_lag"):
        one = told[name]
        if one is None:
            table.add_row(name, escape(told["why"].get(name, "")), style="dim")
            continue
        lag = one["best"] if name == "lead_lag" else one["lag"]
        numbers = (one.get(key) for key in ("rho", "low", "high", "n_eff", "p"))
        table.add_row(name, "none" if lag is None else str(lag), *map(_text, numbers))
    return table


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    for name in ("exceedance", "concordance"):
        if told[name] is None:
            yield f"{name}: {told['why'].get(name, '')}"
    if one := told["exceedance"]:
        ratio = f"{_text(one['rate_ratio'])} ({_text(one['low'])} to {_text(one['high'])})"
        yield f"above {one['threshold']:g}: Observations times {ratio}, AUC {one['auc']:.2f}"
        yield from one["why"].values()
    if one := told["concordance"]:
        yield f"concordance after calibration: {one['ccc']:.2f}"


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _list(refused: list[Refused]) -> None:
    """Tell on standard error which rows were refused."""
    for one in refused[:SHOWN]:
        text = f"{one.table}, line {one.line}: {one.reason}"
        _screen.print(escape(text), highlight=False, soft_wrap=True)
    if len(refused) > SHOWN:
        _screen.print(f"and {len(refused) - SHOWN:,} rows more", highlight=False)
