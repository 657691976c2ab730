"""A batch as numpy columns, and what becomes of each row, as if rows came one by one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from livinglab.domain.geometry import Point
from livinglab.domain.readings import (
    EPOCH,
    Appended,
    Flag,
    Outcome,
    Reading,
    ReadingBatch,
    Replacement,
    Test,
)

T = TypeVar("T")
Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

Stored = tuple[Booleans, Floats]
"""Whether the key of each row is stored already, and with which result."""


DTYPES: dict[str, type[np.generic]] = {
    "datastream": np.int32,
    "time": np.int64,
    "result": np.float64,
    "raw": np.float64,
    "flag": np.uint8,
    "tests": np.uint16,
    "place": np.float64,
    "lon": np.float64,
    "lat": np.float64,
}
"""Type of each column, by name."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings side by side; names and types are those of the tables that keep them."""

    datastream: npt.NDArray[np.int32]
    time: Integers
    """[ms since 1970 UTC]"""
    result: Floats
    """NaN is missing."""
    raw: Floats
    """NaN where the result is what the source said."""
    flag: npt.NDArray[np.uint8]
    tests: npt.NDArray[np.uint16]
    place: Floats
    """Number of the Place, NaN for none: an integer column could not say so."""
    lon: Floats
    lat: Floats

    @classmethod
    def of(cls, batch: ReadingBatch) -> Self:
        """Copy a batch, so that its owner may go on; what is missing is flagged so."""
        results = np.array(batch.results, dtype=np.float64)
        flags = np.array(batch.flags, dtype=np.uint8)
        flags[np.isnan(results)] = Flag.MISSING
        place, lon, lat = np.full((3, len(results)), math.nan)
        for row, spot in batch.spots.items():
            lon[row], lat[row] = spot.point
            if spot.place is not None:
                place[row] = spot.place
        return cls(
            datastream=np.array(batch.datastreams, dtype=np.int32),
            time=np.array(batch.times, dtype=np.int64),
            result=results,
            raw=np.array(batch.raws, dtype=np.float64),
            flag=flags,
            tests=np.array(batch.tests, dtype=np.uint16),
            place=place,
            lon=lon,
            lat=lat,
        )

    @classmethod
    def found(cls, answer: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Take what a query found; its NULL is NaN here."""
        columns = {name: filled(answer[name], dtype) for name, dtype in DTYPES.items()}
        return cls(**columns)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.time)

    def take(self, rows: Integers | Booleans) -> Self:
        """Return some of the rows."""
        return type(self)(**{name: getattr(self, name)[rows] for name in DTYPES})

    def as_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns by name."""
        return {name: getattr(self, name) for name in DTYPES}

    def readings(self) -> list[Reading]:
        """Return the rows as objects, for the edges."""
        columns = (
            self.datastream.tolist(),
            moments(self.time),
            self.result.tolist(),
            _named(self.flag, _FLAGS),
            _named(self.tests, _TESTS),
            _numbers(self.raw),
            [None if place is None else int(place) for place in _numbers(self.place)],
            self._points(),
        )
        return list(map(partial(tuple.__new__, Reading), zip(*columns, strict=True)))

    def _points(self) -> list[Point | None]:
        lons = _numbers(self.lon)
        if not any(lon is not None for lon in lons):
            return [None] * len(lons)
        spots = zip(lons, self.lat.tolist(), strict=True)
        return [None if lon is None else Point(lon, lat) for lon, lat in spots]


_FLAGS = {int(flag): flag for flag in Flag}
_TESTS = {bits: Test(bits) for bits in range(2 * max(Test))}


def _named(column: npt.NDArray[Any], names: Mapping[int, T]) -> list[T]:
    """Return a column of codes as what they stand for; mostly all are equal."""
    if len(column) and (column == column[0]).all():
        return [names[int(column[0])]] * len(column)
    return [names[code] for code in column.tolist()]


def moments(times: Integers) -> list[datetime]:
    """Return aware instants of milliseconds since 1970 UTC."""
    since: list[timedelta] = times.astype("timedelta64[ms]").tolist()
    return [EPOCH + one for one in since]


def _numbers(column: Floats) -> list[float | None]:
    """Return a column with None for NaN."""
    missing = np.isnan(column)
    if missing.all():
        return [None] * len(column)
    told: list[float | None] = column.tolist()
    for row in np.flatnonzero(missing).tolist():
        told[row] = None
    return told


def filled(column: npt.NDArray[Any], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Return a column of an answer with NaN for NULL."""
    if isinstance(column, np.ma.MaskedArray):
        column = np.ma.filled(column.astype(dtype), math.nan)
    return column.astype(dtype, copy=False)


@dataclass(frozen=True, slots=True)
class Applied:
    """A batch that was thought through, and what is left to write."""

    told: Appended
    winners: Columns
    """The last word on each key that changes; each key once."""
    replaces: Booleans
    """Which winners take the place of a stored row, or of an earlier row of the batch."""


def apply(batch: Columns, stored: Callable[[Columns], Stored]) -> Applied:
    """Find what becomes of each row as if rows were applied one after the other.

    After a row was applied, its key holds its result, repeated or not. So each row meets the
    result of the row before it with the same key, and the first meets what is stored.
    """
    order = _by_key(batch)
    rows = batch if order is None else batch.take(order)
    known, before = stored(rows)
    if order is None and not known.any():
        return Applied(Appended(bytes(len(rows))), rows, known)
    heads = _heads(rows)
    known, before = known | ~heads, np.where(heads, before, np.roll(rows.result, 1))
    outcomes = np.where(known, np.where(_same(rows.result, before), 1, 2), 0).astype(np.uint8)
    last = _last_changes(outcomes, heads)
    winners = _marked(rows.take(last), before[last], known[last])
    order = np.arange(len(rows)) if order is None else order
    told = _told(rows, before, outcomes, order)
    return Applied(told, winners, known[last])


def _by_key(batch: Columns) -> Integers | None:
    """Return the rows by key and arrival, or None if no key comes twice.

    Both numbers are folded into one that overflows; what then looks equal by chance costs time,
    never truth.
    """
    folded = np.left_shift(batch.time, 31) + batch.datastream
    folded.sort()
    if (folded[1:] != folded[:-1]).all():
        return None
    order: Integers = np.lexsort((batch.time, batch.datastream))
    return order


def _heads(rows: Columns) -> Booleans:
    """Mark the first row of each key, where equal keys stand together."""
    heads = np.ones(len(rows), dtype=np.bool_)
    heads[1:] = (rows.datastream[1:] != rows.datastream[:-1]) | (rows.time[1:] != rows.time[:-1])
    return heads


def _same(results: Floats, others: Floats) -> Booleans:
    """Tell which say the same; missing equals missing."""
    same: Booleans = (results == others) | (np.isnan(results) & np.isnan(others))
    return same


def _last_changes(outcomes: npt.NDArray[np.uint8], heads: Booleans) -> Integers:
    """Return the last row of each key that is no repetition."""
    changes = np.flatnonzero(outcomes != Outcome.DUPLICATE)
    keys = np.cumsum(heads)[changes]
    last = np.ones(len(changes), dtype=np.bool_)
    last[:-1] = keys[1:] != keys[:-1]
    return changes[last]


def _marked(winners: Columns, before: Floats, known: Booleans) -> Columns:
    """Mark the numbers that replace other numbers; *winners* is a copy, so in place."""
    conflict = known & ~np.isnan(before) & ~np.isnan(winners.result)
    winners.flag[conflict] = np.maximum(winners.flag[conflict], Flag.SUSPECT)
    winners.tests[conflict] |= np.uint16(Test.CONFLICT)
    return winners


def _told(
    rows: Columns, before: Floats, outcomes: npt.NDArray[np.uint8], order: Integers
) -> Appended:
    """Tell what became of the rows, in the order in which they arrived."""
    arrived = np.empty_like(outcomes)
    arrived[order] = outcomes
    replaced = np.flatnonzero(outcomes == Outcome.REPLACED)
    replaced = replaced[np.argsort(order[replaced])]
    facts = (rows.datastream, rows.time, before, rows.result)
    lost = zip(*(column[replaced].tolist() for column in facts), strict=True)
    return Appended(arrived.tobytes(), tuple(Replacement(*fact) for fact in lost))
