"""The newest Reading of every Datastream, in arrays that a number of a Datastream indexes."""

import math
from collections.abc import Iterable
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from livinglab.adapters.timeseries.columns import DTYPES, Booleans, Columns, Floats, Integers
from livinglab.domain.readings import Reading

NEVER = np.iinfo(np.int64).min
"""The time of a Datastream that has no Reading."""

LARGEST = (1 << 22) - 1
"""The largest Datastream number; numbers count from 1 and are dense, so arrays suit them."""


class Latest:
    """One thread advances it, any thread asks."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._columns: dict[str, npt.NDArray[Any]] = {}
        self._grow(1 << 10)

    def at(self, datastreams: npt.NDArray[np.int32]) -> tuple[Integers, Floats]:
        """Return times and results, row by row; NEVER where there is none. For one thread only."""
        self._make_room(datastreams)
        return self._columns["time"][datastreams], self._columns["result"][datastreams]

    def holds(self, rows: Columns) -> Booleans:
        """Mark the rows whose time is that of the newest. For the advancing thread only."""
        newest: Booleans = self.at(rows.datastream)[0] == rows.time
        return newest

    def advance(self, rows: Columns) -> None:
        """Take rows that were stored; an earlier one never moves it backwards."""
        newer = rows.time >= self.at(rows.datastream)[0]
        if not newer.all():
            rows = rows.take(newer)
        if (rows.time[1:] < rows.time[:-1]).any():
            rows = rows.take(np.argsort(rows.time, kind="stable"))
        with self._lock:  # of equal indices the last is kept
            for name, column in self._columns.items():
                column[rows.datastream] = getattr(rows, name)

    def of(self, datastreams: Iterable[int]) -> dict[int, Reading]:
        """Return the newest Readings as objects."""
        asked = np.unique(np.fromiter(datastreams, dtype=np.int64))
        with self._lock:
            asked = asked[(asked >= 0) & (asked < len(self._columns["time"]))]
            asked = asked[self._columns["time"][asked] != NEVER]
            found = Columns(**{name: column[asked] for name, column in self._columns.items()})
        return {reading.datastream: reading for reading in found.readings()}

    def _make_room(self, datastreams: npt.NDArray[np.int32]) -> None:
        low, high = int(datastreams.min(initial=0)), int(datastreams.max(initial=0))
        if low < 0 or high > LARGEST:
            raise ValueError(f"a Datastream's number lies in 0..{LARGEST}, not at {low}..{high}")
        if high >= len(self._columns["time"]):
            self._grow(1 << high.bit_length())

    def _grow(self, size: int) -> None:
        columns: dict[str, npt.NDArray[Any]] = {}
        for name, dtype in DTYPES.items():
            columns[name] = np.full(size, math.nan if dtype is np.float64 else 0, dtype)
            if self._columns:
                columns[name][: len(self._columns[name])] = self._columns[name]
        columns["time"][len(self._columns.get("time", ())) :] = NEVER
        with self._lock:
            self._columns = columns
