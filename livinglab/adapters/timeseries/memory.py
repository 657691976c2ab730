"""Readings that live as long as the process: the shortest way to keep every promise."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from threading import Lock

import numpy as np

from livinglab.adapters.timeseries.periods import buckets_of
from livinglab.domain.readings import (
    Aggregation,
    Appended,
    Bucket,
    Flag,
    Interval,
    Outcome,
    Reading,
    ReadingBatch,
    Replacement,
    Test,
    to_ms,
)
from livinglab.errors import StoreUnavailableError


class MemoryReadingStore:
    """Keeps Readings in dictionaries: for tests, demonstrations and small towns."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._series: defaultdict[int, dict[datetime, Reading]] = defaultdict(dict)
        self._latest: dict[int, Reading] = {}
        self._closed = False

    def append(self, batch: ReadingBatch) -> Appended:
        """Apply the rows one after the other; see `ports.ReadingStore`."""
        outcomes = bytearray()
        replacements: list[Replacement] = []
        with self._lock:
            self._require_open()
            for reading in batch.rows():
                series = self._series[reading.datastream]
                stored = series.get(reading.time)
                if stored is not None and _same_result(stored.result, reading.result):
                    outcomes.append(Outcome.DUPLICATE)
                    continue
                if stored is None:
                    outcomes.append(Outcome.NEW)
                else:
                    outcomes.append(Outcome.REPLACED)
                    replacements.append(_replacement(stored, reading))
                self._keep(_as_stored(reading, stored))
        return Appended(bytes(outcomes), tuple(replacements))

    def reflag(self, judged: ReadingBatch) -> int:
        """Give rows other flags and tests, where their result is still the one that was judged."""
        changed = 0
        with self._lock:
            self._require_open()
            for one in judged.rows():
                stored = self._series.get(one.datastream, {}).get(one.time)
                if stored is None or stored.result != one.result:
                    continue
                if (stored.flag, stored.tests) != (one.flag, one.tests):
                    self._keep(stored._replace(flag=one.flag, tests=one.tests))
                    changed += 1
        return changed

    def between(
        self, datastream: int, interval: Interval, *, limit: int | None = None
    ) -> list[Reading]:
        """List the Readings of a Datastream in an Interval, oldest first."""
        with self._lock:
            self._require_open()
            series = self._series.get(datastream, {})
            inside = [reading for time, reading in series.items() if time in interval]
        return sorted(inside, key=lambda reading: reading.time)[:limit]

    def latest(self, datastreams: Iterable[int]) -> dict[int, Reading]:
        """Return the Reading of the greatest time for each Datastream that has one."""
        with self._lock:
            self._require_open()
            return {
                datastream: self._latest[datastream]
                for datastream in datastreams
                if datastream in self._latest
            }

    def every(
        self,
        datastream: int,
        interval: Interval,
        every: timedelta,
        aggregation: Aggregation,
    ) -> list[Bucket]:
        """Average a Datastream over periods of equal length; for SUM the mean is the sum."""
        rows = self.between(datastream, interval)
        return buckets_of(
            np.array([to_ms(row.time) for row in rows], dtype=np.int64),
            np.array([row.result for row in rows], dtype=np.float64),
            np.array([row.flag for row in rows], dtype=np.uint8),
            origin=interval.start,
            every=every,
            aggregation=aggregation,
        )

    def count(self) -> int:
        """Count all rows."""
        with self._lock:
            self._require_open()
            return sum(map(len, self._series.values()))

    def flags(self, datastreams: Iterable[int] | None = None) -> dict[int, dict[Flag, int]]:
        """Count the rows of each Datastream by flag."""
        with self._lock:
            self._require_open()
            asked = self._series if datastreams is None else set(datastreams) & set(self._series)
            return {
                datastream: dict(Counter(row.flag for row in self._series[datastream].values()))
                for datastream in asked
            }

    def tidy(self, aggregations: Mapping[int, Aggregation], until: datetime) -> None:
        """Do nothing: memory is always tidy."""

    def forget(self, before: datetime) -> int:
        """Drop all rows before an instant, and return how many."""
        with self._lock:
            self._require_open()
            gone = 0
            for datastream, series in self._series.items():
                old = [time for time in series if time < before]
                gone += len(old)
                for time in old:
                    del series[time]
                if not series:
                    self._latest.pop(datastream, None)
        return gone

    def ping(self) -> str:
        """Return what answers, or raise StoreUnavailableError once it is closed."""
        self._require_open()
        return "memory"

    def close(self) -> None:
        """Forget everything; a second call does nothing."""
        with self._lock:
            self._closed = True
            self._series.clear()
            self._latest.clear()

    def _keep(self, reading: Reading) -> None:
        self._series[reading.datastream][reading.time] = reading
        latest = self._latest.get(reading.datastream)
        if latest is None or latest.time <= reading.time:
            self._latest[reading.datastream] = reading

    def _require_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError("Readings", "the store is closed")


def _same_result(one: float, other: float) -> bool:
    """Tell whether two results say the same; missing equals missing."""
    return one == other or (math.isnan(one) and math.isnan(other))


def _replacement(stored: Reading, reading: Reading) -> Replacement:
    return Replacement(reading.datastream, to_ms(reading.time), stored.result, reading.result)


def _as_stored(reading: Reading, stored: Reading | None) -> Reading:
    """Return what is kept: missing is flagged so, a number against a number is a conflict."""
    if math.isnan(reading.result):
        return reading._replace(flag=Flag.MISSING)
    if stored is None or math.isnan(stored.result):
        return reading
    return reading._replace(
        flag=max(reading.flag, Flag.SUSPECT), tests=reading.tests | Test.CONFLICT
    )
