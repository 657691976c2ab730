# ruff: noqa: S608 - nothing but names of this module and integers enters a statement
"""Readings as InfluxDB knows them: lines of its protocol on the way in, series on the way out.

One measurement, ``reading``; one tag, ``d``, the number of the Datastream; time in milliseconds;
and fields, which are always floats, because whoever writes a field first fixes its type:

| field | holds |
|---|---|
| ``f`` | the flag; every row has it |
| ``r`` | the result; not read where ``f`` is 9, for then nothing is known |
| ``t`` | the tests that objected; absent: none |
| ``raw`` | the source's own number, where conversion changed it |
| ``place``, ``lon``, ``lat`` | where a moving Thing was |
| ``has`` | in a row that replaced another: its own among ``raw`` (1), ``place`` (2), ``lon`` (4) |

InfluxDB overwrites field by field: what the new row does not say stays from the old one. So a row
that replaces another always says ``t``, and ``has`` tells what of the rest is not its own. A row
with a flag that promises a result and without one is still being written: nobody sees it.

Questions are in InfluxQL: Flux is in maintenance and absent from InfluxDB 3.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from livinglab.adapters.timeseries.columns import DTYPES, Booleans, Columns, Floats, Integers
from livinglab.domain.readings import Flag, Interval

FIELDS = ("f", "r", "t", "raw", "place", "lon", "lat", "has")
HAS_RAW, HAS_PLACE, HAS_POINT = 1, 2, 4
_HAS = {"raw": HAS_RAW, "place": HAS_PLACE, "lon": HAS_POINT, "lat": HAS_POINT}
"""Field → the bit of ``has`` that tells whether it belongs to the row."""

TOGETHER = 5_000
"""Datastreams that one statement asks for."""
HOUR = 3_600_000
EDGE_MS = 9_223_372_036_854
"""InfluxDB's time ends here, in either direction: 64 bits of nanoseconds. [ms since 1970 UTC]"""

Series = Iterator[tuple[int, list[list[float]]]]
"""Number of a Datastream, and rows of an answer: time first."""


class Results(NamedTuple):
    """What is needed to average, or to compare; columns of equal length."""

    datastream: Integers
    time: Integers
    """[ms since 1970 UTC]"""
    result: Floats
    flag: npt.NDArray[np.uint8]


def lines_of(rows: Columns, replaces: Booleans) -> bytes:
    """Write rows as lines, column by column: a number costs a twentieth of what repr takes.

    Args:
        rows: No result is infinite.
        replaces: Which of them take the place of a stored row.
    """
    size = len(rows)
    results, values = [b",r="] * size, _texts(rows.result)
    for row in np.flatnonzero(np.isnan(rows.result)).tolist():
        results[row] = values[row] = b""
    pieces = [b"reading,d="] * (size * 9)
    pieces[1::9] = _texts(rows.datastream)
    pieces[2::9] = [b" f="] * size
    pieces[3::9] = _texts(rows.flag)
    pieces[4::9] = results
    pieces[5::9] = values
    pieces[6::9] = _rest(rows, replaces)
    pieces[7::9] = _texts(rows.time)
    pieces[8::9] = [b"\n"] * size
    return b"".join(pieces)


def flags_of(rows: Columns) -> bytes:
    """Write flag and tests of rows that are there already; InfluxDB leaves their other fields."""
    columns = (rows.datastream, rows.flag, rows.tests, rows.time)
    told = zip(*(column.tolist() for column in columns), strict=True)
    return b"".join(b"reading,d=%d f=%d,t=%d %d\n" % row for row in told)


def _texts(column: npt.NDArray[Any]) -> list[bytes]:
    """Return the numbers of a column as texts that read back to the same bits."""
    option = orjson.OPT_SERIALIZE_NUMPY
    return orjson.dumps(np.ascontiguousarray(column), option=option)[1:-1].split(b",")


def _rest(rows: Columns, replaces: Booleans) -> list[bytes]:
    """Return what follows the result: for most rows nothing but the space before the time."""
    rest = [b" "] * len(rows)
    unusual = replaces | (rows.tests > 0) | ~np.isnan(rows.raw) | ~np.isnan(rows.lon)
    numbers = np.flatnonzero(unusual)
    few = rows.take(numbers)
    columns = (few.tests, few.raw, few.place, few.lon, few.lat, replaces[numbers])
    told = zip(numbers.tolist(), *(column.tolist() for column in columns), strict=True)
    for number, *facts, replaced in told:
        rest[number] = _unusual(*facts, replaces=replaced)
    return rest


def _unusual(
    tests: int, raw: float, place: float, lon: float, lat: float, *, replaces: bool
) -> bytes:
    told = ""
    if tests or replaces:
        told = f",t={tests}"
    fields = (("raw", raw), ("place", place), ("lon", lon), ("lat", lat))
    told += "".join(f",{name}={value!r}" for name, value in fields if not math.isnan(value))
    if replaces:
        flags = ((HAS_RAW, raw), (HAS_PLACE, place), (HAS_POINT, lon))
        told += f",has={sum(bit for bit, value in flags if not math.isnan(value))}"
    return f"{told} ".encode()


def between(datastream: int, interval: Interval, limit: int | None) -> str:
    """Ask for rows, whole, to be read by `columns_of`."""
    few = "" if limit is None else f" LIMIT {int(limit)}"
    which = f"{_inside(interval.start_ms, interval.end_ms)} AND {_one_of([datastream])}"
    return f"SELECT {', '.join(FIELDS)} FROM reading WHERE {which} GROUP BY d{few}"


def to_average(datastream: int, interval: Interval) -> str:
    """Ask for what `results_of` reads."""
    which = f"{_inside(interval.start_ms, interval.end_ms)} AND {_one_of([datastream])}"
    return f"SELECT f, r FROM reading WHERE {which} GROUP BY d"


def newest(datastreams: Iterable[int], since_ms: int) -> Iterator[str]:
    """Ask for the newest row of each Datastream that has one since an instant."""
    rest = ", ".join(FIELDS[1:])
    for some in _parts(sorted(set(datastreams))):
        which = f"time >= {_clamped(since_ms)}ms AND {_one_of(some)}"
        yield f"SELECT last(f), {rest} FROM reading WHERE {which} GROUP BY d"


def flagged(flag: Flag, datastreams: Iterable[int] | None) -> Iterator[str]:
    """Ask how many rows of each Datastream, or of all, have a flag."""
    parts = [None] if datastreams is None else _parts(sorted(set(datastreams)))
    for some in parts:
        among = "" if some is None else f" AND {_one_of(some)}"
        yield f"SELECT count(f) FROM reading WHERE f = {int(flag)}{among} GROUP BY d"


def counted(before_ms: int = EDGE_MS) -> str:
    """Ask for the number of rows before an instant."""
    return f"SELECT count(f) FROM reading WHERE time < {_clamped(before_ms)}ms"


def keys(rows: Columns, fields: str = "f, r") -> list[str]:
    """Ask for the results of the same keys; Datastreams asked for the same hours share a statement.

    Rows of a Datastream less than an hour apart are asked for as a whole, so that neither years
    are read for two rows nor a statement is made for each.
    """
    order = np.lexsort((rows.time, rows.datastream))
    numbers, times = rows.datastream[order], rows.time[order]
    starts = np.ones(len(order), dtype=np.bool_)
    starts[1:] = (numbers[1:] != numbers[:-1]) | (times[1:] - times[:-1] > HOUR)
    firsts = np.flatnonzero(starts)
    lasts = np.append(firsts[1:], len(order)) - 1
    spans: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    told = (numbers[firsts], times[firsts] // HOUR, times[lasts] // HOUR + 1)
    for number, first, end in zip(*(column.tolist() for column in told), strict=True):
        spans[first * HOUR, end * HOUR].append(number)
    return [
        f"SELECT {fields} FROM reading WHERE {_inside(*span)} AND {_one_of(some)} GROUP BY d"
        for span, together in spans.items()
        for some in _parts(together)
    ]


def _inside(start_ms: int, end_ms: int) -> str:
    return f"time >= {_clamped(start_ms)}ms AND time < {_clamped(end_ms)}ms"


def _clamped(ms: int) -> int:
    return max(-EDGE_MS, min(ms, EDGE_MS))


def _one_of(datastreams: Iterable[int]) -> str:
    """Restrict to Datastreams; of thousands, a pattern is forty times as fast as ORs."""
    return f"d =~ /^({'|'.join(str(int(number)) for number in datastreams)})$/"


def _parts(numbers: list[int]) -> Iterator[list[int]]:
    return (numbers[start : start + TOGETHER] for start in range(0, len(numbers), TOGETHER))


def series_of(answer: Any) -> Series:
    """Yield the series of an InfluxQL answer; what is not grouped by Datastream has number 0."""
    for result in answer["results"]:
        for series in result.get("series", ()):
            yield int(series.get("tags", {"d": 0})["d"]), series["values"]


def columns_of(series: Series) -> Columns:
    """Read rows of time and FIELDS; what is half written is left out."""
    numbers, time, told = _table(series, len(FIELDS))
    fields = dict(zip(FIELDS, told, strict=True))
    flags, results = _settled(fields["f"], fields["r"])
    has = np.nan_to_num(fields["has"], nan=HAS_RAW | HAS_PLACE | HAS_POINT).astype(np.uint8)
    for name, bit in _HAS.items():
        fields[name][has & bit == 0] = math.nan
    columns = {
        "datastream": numbers,
        "time": time,
        "result": results,
        "flag": flags,
        "tests": np.nan_to_num(fields["t"]),
        **{name: fields[name] for name in _HAS},
    }
    whole = _whole(flags, results)
    return Columns(**{name: columns[name][whole].astype(dtype) for name, dtype in DTYPES.items()})


def results_of(series: Series) -> Results:
    """Read rows of time, ``f`` and ``r``; what is half written is left out."""
    numbers, time, (flags, results) = _table(series, 2)
    flags, results = _settled(flags, results)
    whole = _whole(flags, results)
    return Results(numbers[whole], time[whole], results[whole], flags[whole].astype(np.uint8))


def judged_of(series: Series) -> dict[tuple[int, int], tuple[float, int, int]]:
    """Read rows of time, ``f``, ``r`` and ``t``: key → result, flag, tests, but of missing ones."""
    numbers, time, (flags, results, tests) = _table(series, 3)
    known = ~np.isnan(results) & ~np.isnan(flags) & (flags != Flag.MISSING)
    whole = np.nan_to_num(flags).astype(np.int64), np.nan_to_num(tests).astype(np.int64)
    columns = (numbers, time, results, *whole)
    told = zip(*(column[known].tolist() for column in columns), strict=True)
    return {(number, at): (result, flag, bits) for number, at, result, flag, bits in told}


def _settled(flags: Floats, results: Floats) -> tuple[Floats, Floats]:
    """Take back the results that were withdrawn: their field is still there."""
    results[flags == Flag.MISSING] = math.nan
    return flags, results


def _whole(flags: Floats, results: Floats) -> Booleans:
    """Tell which rows are there as a whole."""
    whole: Booleans = (flags == Flag.MISSING) | ~(np.isnan(flags) | np.isnan(results))
    return whole


def _table(series: Series, fields: int) -> tuple[Integers, Integers, list[Floats]]:
    """Turn series into columns: numbers, times, and fields in which null is NaN."""
    numbers: list[int] = []
    rows: list[list[float]] = []
    for number, values in series:
        numbers += [number] * len(values)
        rows += values
    time, *told = list(zip(*rows, strict=True)) or [()] * (fields + 1)
    floats = [np.array(column, dtype=np.float64) for column in told]
    return np.array(numbers, dtype=np.int64), np.array(time, dtype=np.int64), floats
