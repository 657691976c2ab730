"""Tidying the DuckDB file: roll-ups for what changed, and months that ended laid in order.

Work comes in slices of whole days of Datastreams, so that the writer is never held for long.
Planning and summing up need no writer; what is kept, marked or moved does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from livinglab.adapters.timeseries import duckdb_sql as sql
from livinglab.adapters.timeseries.columns import Columns, Integers, filled
from livinglab.adapters.timeseries.duckdb_file import ask, fetch
from livinglab.adapters.timeseries.duckdb_sql import DAY, HOUR
from livinglab.adapters.timeseries.periods import Summaries, buckets, summarise
from livinglab.domain.readings import Aggregation, Bucket, Interval, to_ms

Cursor = duckdb.DuckDBPyConnection

Hours = list[tuple[Aggregation, Mapping[str, npt.NDArray[Any]]]]
"""Rows of the table ``hourly``, by how they were averaged."""

SLICE = 100_000
"""Rows of a slice, unless one day of one Datastream has more."""


@dataclass(frozen=True, slots=True)
class Days:
    """A slice: which days of which Datastreams."""

    datastream: Integers
    day: Integers
    """Days since 1970, UTC."""

    def as_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns by name."""
        return {"datastream": self.datastream, "day": self.day}

    @property
    def bounds(self) -> list[int]:
        """First and last Datastream, first and last millisecond."""
        first, last = int(self.day.min()) * DAY, (int(self.day.max()) + 1) * DAY - 1
        return [int(self.datastream.min()), int(self.datastream.max()), first, last]


@dataclass(frozen=True, slots=True)
class RolledUp:
    """The Buckets at the start of an Interval that need no rows."""

    until_ms: int
    """From here on rows must be read. [ms since 1970 UTC]"""
    buckets: list[Bucket]


def dirty(cursor: Cursor, upto: int) -> list[Days]:
    """Plan what to roll up again: the days of what arrived since, to the commit *upto*."""
    return list(_slices(cursor, sql.DIRTY, [upto]))


def ended(cursor: Cursor, upto: int, until: datetime) -> list[Days]:
    """Plan what to move: the days in hot of months that ended before *until*."""
    utc = until.astimezone(UTC)
    month = datetime(utc.year, utc.month, 1, tzinfo=UTC)
    return list(_slices(cursor, sql.ENDED, [upto, to_ms(month)]))


def sum_up(cursor: Cursor, days: Days, aggregations: Mapping[int, Aggregation]) -> Hours:
    """Average the hours of a slice; a Datastream without an Aggregation by the mean."""
    rows = fetch(ask(cursor, sql.READ, days.as_dict(), days.bounds))
    datastreams, times = filled(rows["datastream"], np.int64), filled(rows["time"], np.int64)
    results, flags = filled(rows["result"], np.float64), filled(rows["flag"], np.uint8)
    hours: Hours = []
    for aggregation in Aggregation:
        alike = _averaged_by(aggregation, datastreams, aggregations)
        if alike.any():
            columns = (datastreams[alike], times[alike], results[alike], flags[alike])
            hours.append((aggregation, _hourly(*columns, aggregation)))
    return hours


def keep(cursor: Cursor, days: Days, hours: Hours) -> None:
    """Let the hours of a slice take the place of earlier ones."""
    cursor.execute("BEGIN")
    ask(cursor, sql.DROP_HOURS, days.as_dict(), days.bounds)
    for aggregation, columns in hours:
        ask(cursor, sql.KEEP_HOURS, columns, [aggregation.value])
    cursor.execute("COMMIT")


def mark(cursor: Cursor, upto: int) -> None:
    """Note that everything up to a commit is rolled up."""
    cursor.execute(sql.MARK, [upto])


def move(cursor: Cursor, days: Days, upto: int) -> Columns:
    """Merge a slice of hot, up to a commit, into cold; return what lies there now."""
    bounds, arrivals = days.bounds, days.as_dict()
    merged = Columns.found(fetch(ask(cursor, sql.MERGE, arrivals, [*bounds, upto, *bounds])))
    ask(cursor, sql.LEAVE_COLD, arrivals, bounds)
    ask(cursor, sql.LEAVE_HOT, arrivals, [*bounds, upto])
    ask(cursor, sql.REST, merged.as_dict())
    return merged


def remember(cursor: Cursor, newest: Columns) -> None:
    """Note the newest Readings of Datastreams that hot forgets."""
    arrivals = newest.as_dict()
    ask(cursor, sql.FORGET, arrivals)
    ask(cursor, sql.REMEMBER, arrivals)


def hours(
    cursor: Cursor,
    datastream: int,
    interval: Interval,
    every: timedelta,
    aggregation: Aggregation,
) -> RolledUp:
    """Return whole hours that are rolled up and clean, as far as they reach without a gap."""
    start, end = interval.start_ms, interval.end_ms
    if every != timedelta(hours=1) or start % HOUR:
        return RolledUp(start, [])
    [(soiled,)] = cursor.execute(sql.FIRST_DIRTY, [datastream, start, end]).fetchall()
    until = (end if soiled is None else soiled) // HOUR * HOUR
    rows = fetch(cursor.execute(sql.HOURS, [aggregation.value, datastream, start, until]))
    if not rows["fits"].all():
        return RolledUp(start, [])
    found = Summaries(
        firsts=np.arange(len(rows["hour"])),
        n=filled(rows["n"], np.int64),
        means=filled(rows["mean"], np.float64),
        minima=filled(rows["minimum"], np.float64),
        maxima=filled(rows["maximum"], np.float64),
        suspect=filled(rows["suspect"], np.int64),
    )
    return RolledUp(until, buckets(filled(rows["hour"], np.int64), found))


def _slices(cursor: Cursor, statement: str, facts: Sequence[object]) -> Iterator[Days]:
    """Cut a plan where enough rows came together, and between months."""
    plan = fetch(cursor.execute(statement, facts))
    datastreams, days = filled(plan["datastream"], np.int64), filled(plan["day"], np.int64)
    months = plan["month"]
    start = rows = 0
    for at, n in enumerate(plan["n"].tolist()):
        if at > start and (rows + n > SLICE or months[at] != months[start]):
            yield Days(datastreams[start:at], days[start:at])
            start, rows = at, 0
        rows += n
    if start < len(days):
        yield Days(datastreams[start:], days[start:])


def _averaged_by(
    aggregation: Aggregation, datastreams: Integers, aggregations: Mapping[int, Aggregation]
) -> npt.NDArray[np.bool_]:
    numbers = [
        number
        for number in np.unique(datastreams).tolist()
        if aggregations.get(number, Aggregation.MEAN) is aggregation
    ]
    return np.isin(datastreams, numbers)


def _hourly(
    datastreams: Integers,
    times: Integers,
    results: npt.NDArray[np.float64],
    flags: npt.NDArray[np.uint8],
    aggregation: Aggregation,
) -> dict[str, npt.NDArray[Any]]:
    """Average rows sorted by Datastream and time by the hour."""
    found = summarise((datastreams << 32) + times // HOUR, results, flags, aggregation)
    return {
        "datastream": datastreams[found.firsts],
        "hour": times[found.firsts] // HOUR * HOUR,
        "n": found.n,
        "mean": found.means,
        "minimum": found.minima,
        "maximum": found.maxima,
        "suspect": found.suspect,
    }
