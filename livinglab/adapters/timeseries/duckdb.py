"""Readings in one DuckDB file: rows arrive in ``hot`` and come to rest in ``cold``, sorted.

* ``hot``: what arrived since its month was last compacted, in order of arrival. It has no key,
  because an index would cost ten times what it saves. ``batch`` counts commits.
* ``cold``: months that ended, sorted by Datastream and time. A row of ``hot`` that ``shadows`` one
  of ``cold`` hides it until they are merged.
* ``hourly``: a row per Datastream and hour, true up to the commit that ``rolled_up`` names. What
  ``hot`` got since makes its (Datastream, day) dirty; so dirt needs no table and is never lost.
* ``latest``: the newest Readings of Datastreams that ``hot`` no longer knows.
* ``readings``: a view of all rows, which prefers ``hot``.

Beside the file, if a folder is named for them, stand the months of ``cold`` as Parquet.

The newest Reading of every Datastream stands in memory, rebuilt from ``hot`` and ``latest`` when
the file is opened: what is derived costs nothing to write and cannot disagree after a crash. It
makes appending cheap, for a row later than the newest is surely new, and one that repeats the
newest is known without asking. Only other rows are looked up.

One thread writes, because concurrent writers would let a key in twice. Readers borrow a cursor
each, see the last commit and never wait for the writer.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import duckdb
import numpy as np
import numpy.typing as npt

from livinglab.adapters.timeseries import duckdb_sealing as sealing
from livinglab.adapters.timeseries import duckdb_sql as sql
from livinglab.adapters.timeseries import duckdb_tidying as tidying
from livinglab.adapters.timeseries.columns import Applied, Columns, Stored, apply, filled
from livinglab.adapters.timeseries.duckdb_file import PART, DuckDBFile, ask, fetch
from livinglab.adapters.timeseries.latest import NEVER, Latest
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
    from_ms,
    to_ms,
)
from livinglab.errors import LabBusyError, StoreUnavailableError

T = TypeVar("T")
Cursor = duckdb.DuckDBPyConnection
Arrays = Mapping[str, npt.NDArray[Any]]


class DuckDBReadingStore:
    """Keeps Readings in one file that one process holds."""

    def __init__(
        self,
        path: Path,
        *,
        memory_limit_mb: int = 256,
        threads: int = 2,
        deadline_s: float = 24,
        sealed: Path | None = None,
    ) -> None:
        """Open the file, and make it if it is not there.

        Args:
            path: Of the file.
            memory_limit_mb: What DuckDB may take. [MiB]
            threads: With which it reads.
            deadline_s: How long a writer waits for the store. [s]
            sealed: Folder for the months that came to rest, as Parquet; None: none are written.
        """
        self._deadline_s = deadline_s
        self._sealed = sealed
        self._tidying = Lock()
        self._doubted = False
        self._file = DuckDBFile(path, memory_limit_mb=memory_limit_mb, threads=threads)
        self._file.open()
        try:
            self._load()
        except BaseException:
            self._file.close()
            raise
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="duckdb-writer")

    def append(self, batch: ReadingBatch) -> Appended:
        """Commit a batch on the writer's thread; see `ports.ReadingStore`.

        After a missed deadline the batch may still be committed; appending it again is harmless.
        """
        arrived = Columns.of(batch)
        return self._write(lambda cursor: self._append(cursor, arrived))

    def reflag(self, judged: ReadingBatch) -> int:
        """Give rows other flags and tests on the writer's thread; see `ports.ReadingStore`."""
        arrived = Columns.of(judged)
        return self._write(lambda cursor: self._reflag(cursor, arrived))

    def between(
        self, datastream: int, interval: Interval, *, limit: int | None = None
    ) -> list[Reading]:
        """List the Readings of a Datastream in an Interval, oldest first."""
        facts = [datastream, interval.start_ms, interval.end_ms, limit]
        with self._file.cursor() as cursor:
            return Columns.found(fetch(cursor.execute(sql.BETWEEN, facts))).readings()

    def latest(self, datastreams: Iterable[int]) -> dict[int, Reading]:
        """Return the newest Reading for each Datastream that has one, out of memory."""
        return self._latest.of(datastreams)

    def every(
        self,
        datastream: int,
        interval: Interval,
        every: timedelta,
        aggregation: Aggregation,
    ) -> list[Bucket]:
        """Average a Datastream over periods of equal length; for SUM the mean is the sum.

        Whole hours that are rolled up are read from there, to the same bits.
        """
        with self._file.cursor() as cursor:
            cursor.execute("BEGIN")
            rolled_up = tidying.hours(cursor, datastream, interval, every, aggregation)
            facts = [datastream, rolled_up.until_ms, interval.end_ms]
            rows = fetch(cursor.execute(sql.TO_AVERAGE, facts))
        rest = buckets_of(
            filled(rows["time"], np.int64),
            filled(rows["result"], np.float64),
            filled(rows["flag"], np.uint8),
            origin=from_ms(rolled_up.until_ms),
            every=every,
            aggregation=aggregation,
        )
        return rolled_up.buckets + rest

    def count(self) -> int:
        """Count all rows."""
        with self._file.cursor():
            return self._count

    def flags(self, datastreams: Iterable[int] | None = None) -> dict[int, dict[Flag, int]]:
        """Count the rows of each Datastream by flag."""
        asked = None if datastreams is None else sorted(set(datastreams))
        counts: dict[int, dict[Flag, int]] = {}
        with self._file.cursor() as cursor:
            if asked is None:
                cursor.execute(sql.FLAGS.format(""))
            else:
                cursor.execute(sql.FLAGS.format("WHERE list_contains(?, datastream)"), [asked])
            for datastream, flag, n in cursor.fetchall():
                counts.setdefault(datastream, {})[Flag(flag)] = n
        return counts

    def tidy(self, aggregations: Mapping[int, Aggregation], until: datetime) -> None:
        """Roll up what is dirty and compact months that ended, a slice at a time."""
        with self._tidying:
            upto = self._batch
            for days in self._ask(partial(tidying.dirty, upto=upto)):
                hours = self._ask(partial(tidying.sum_up, days=days, aggregations=aggregations))
                self._write(partial(tidying.keep, days=days, hours=hours))
            self._write(partial(tidying.mark, upto=upto))
            for days in self._ask(partial(tidying.ended, upto=upto, until=until)):
                self._write(partial(self._compact, days=days, upto=upto))
            if self._sealed:
                self._ask(partial(sealing.seal, folder=self._sealed))

    def forget(self, before: datetime) -> int:
        """Drop all rows before an instant, and return how many; hourly roll-ups stay."""
        with self._tidying:
            return self._write(partial(self._forget, before=before))

    def ping(self) -> str:
        """Return name and version of what answers, or raise StoreUnavailableError."""
        with self._file.cursor() as cursor:
            cursor.execute(sql.PING).fetchall()
        return f"DuckDB {duckdb.__version__}"

    def close(self) -> None:
        """Finish the batch in hand, refuse the waiting ones and let go of the file."""
        self._writer.shutdown(cancel_futures=True)
        self._file.close()

    def _write(self, task: Callable[[Cursor], T]) -> T:
        """Do something on the writer's thread and wait for it."""
        try:
            future = self._writer.submit(self._attempt, task)
        except RuntimeError as error:
            raise StoreUnavailableError(PART, "the store is closed") from error
        try:
            return future.result(self._deadline_s)
        except TimeoutError as error:
            future.cancel()
            problem = f"nothing was confirmed within {self._deadline_s} s"
            raise StoreUnavailableError(PART, problem) from error
        except CancelledError as error:
            raise StoreUnavailableError(PART, "the store was closed") from error

    def _attempt(self, task: Callable[[Cursor], T]) -> T:
        if self._doubted:
            self._mend()
        try:
            with self._file.cursor() as cursor:
                return task(cursor)
        except Exception:
            self._doubted = True
            with suppress(StoreUnavailableError):
                self._mend()
            raise

    def _mend(self) -> None:
        """Derive memory anew after a failure, and open the file again if DuckDB gave it up."""
        if not self._file.answers():
            self._file.close()
            try:
                self._file.open()
            except LabBusyError as error:
                raise StoreUnavailableError(PART, error.problem, error.remedy) from error
        self._load()
        self._doubted = False

    def _load(self) -> None:
        """Derive from the file what is kept in memory."""
        latest = Latest()
        with self._file.cursor() as cursor:
            for source in (sql.REMEMBERED, sql.NEWEST):  # of equals, hot has the word
                latest.advance(Columns.found(fetch(cursor.execute(source))))
            state = cursor.execute(sql.STATE).fetchall()[0]
        self._latest = latest
        self._batch: int = state[0]
        self._cold_until: int = NEVER if state[1] is None else state[1]
        self._count: int = state[2]

    def _append(self, cursor: Cursor, arrived: Columns) -> Appended:
        applied = apply(arrived, lambda rows: self._stored(cursor, rows))
        if len(applied.winners):
            self._commit(cursor, applied)
            self._batch += 1
            self._count += applied.told.outcomes.count(Outcome.NEW)
            self._latest.advance(applied.winners)
        return applied.told

    def _reflag(self, cursor: Cursor, judged: Columns) -> int:
        """Let rows that differ in flag or tests take their own place, as if they came again."""
        if not len(judged):
            return 0
        wanted = judged.as_dict() | {"number": np.arange(len(judged))}
        first, last = int(judged.time.min()), int(judged.time.max())
        numbers = int(judged.datastream.min()), int(judged.datastream.max())
        found = fetch(ask(cursor, sql.JUDGED, wanted, [first, last, *numbers]))
        rows, whose = Columns.found(found), filled(found["number"], np.int64)
        if not len(rows):
            return 0
        rows = replace(rows, flag=judged.flag[whose], tests=judged.tests[whose])
        everywhere = np.ones(len(rows), dtype=np.bool_)
        self._commit(cursor, Applied(Appended(b""), rows, everywhere))
        self._batch += 1
        self._latest.advance(rows)
        return len(rows)

    def _stored(self, cursor: Cursor, rows: Columns) -> Stored:
        """Tell what the key of each row holds; only what lies before the newest is looked up."""
        newest, results = self._latest.at(rows.datastream)
        known = rows.time == newest
        before = np.where(known, results, np.nan)
        earlier = np.flatnonzero(rows.time < newest)
        if len(earlier):
            wanted = _keys(rows.take(earlier)) | {"number": earlier}
            for table in ("cold", "hot"):  # hot has the last word
                found = self._look_up(cursor, table, wanted)
                known[found["number"]] = True
                before[found["number"]] = filled(found["result"], np.float64)
        return known, before

    def _look_up(self, cursor: Cursor, table: str, wanted: Arrays) -> Arrays:
        first, last = int(wanted["time"].min()), int(wanted["time"].max())
        if table == "cold" and first > self._cold_until:
            return {"number": np.empty(0, np.int64), "result": np.empty(0)}
        return fetch(ask(cursor, sql.LOOK_UP.format(table), wanted, [first, last]))

    def _commit(self, cursor: Cursor, applied: Applied) -> None:
        """Write the winners; those that replace a row hide it in cold, or take it out of hot."""
        winners, batch = applied.winners, self._batch + 1
        if not applied.replaces.any():
            ask(cursor, sql.INSERT, winners.as_dict(), [batch])
            return
        numbers = np.flatnonzero(applied.replaces)
        replaced = _keys(winners.take(numbers)) | {"number": numbers}
        shadows = np.zeros(len(winners), dtype=np.bool_)
        shadows[self._look_up(cursor, "cold", replaced)["number"]] = True
        span = [int(replaced["time"].min()), int(replaced["time"].max())]
        cursor.execute("BEGIN")
        ask(cursor, sql.WITHDRAW, replaced, span)
        ask(cursor, sql.INSERT_SHADOWS, winners.as_dict() | {"shadows": shadows}, [batch])
        cursor.execute("COMMIT")

    def _compact(self, cursor: Cursor, days: tidying.Days, upto: int) -> None:
        """Move days from hot to cold; remember the newest Readings that hot forgets by that."""
        if self._sealed:
            sealing.unseal(self._sealed, days)
        cursor.execute("BEGIN")
        moved = tidying.move(cursor, days, upto)
        tidying.remember(cursor, moved.take(self._latest.holds(moved)))
        cursor.execute("COMMIT")
        self._cold_until = max(self._cold_until, int(moved.time.max(initial=NEVER)))

    def _forget(self, cursor: Cursor, before: datetime) -> int:
        """Delete from every table that keeps single Readings, and from what is sealed."""
        if self._sealed:
            sealing.forget(self._sealed, before)
        held = self._count
        cursor.execute("BEGIN")
        for table in ("hot", "cold", "latest"):
            cursor.execute(sql.FORGET_BEFORE.format(table), [to_ms(before)])
        cursor.execute("COMMIT")
        self._load()
        return held - self._count

    def _ask(self, question: Callable[[Cursor], T]) -> T:
        with self._file.cursor() as cursor:
            return question(cursor)


def _keys(rows: Columns) -> dict[str, npt.NDArray[Any]]:
    return {"datastream": rows.datastream, "time": rows.time}
