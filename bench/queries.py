"""Bench: questions to twenty million Readings, through the port and to DuckDB itself.

The store is filled through the port and tidied as at night; beside it stands a bare DuckDB table
with the same rows, sorted, as somebody would lay it out for these questions. Both answer with
Python's numbers and times. Each question is asked several times; medians. Compare ratios: the
machine is shared and noisy.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
from rich.console import Console
from rich.table import Table

from livinglab.adapters.timeseries.duckdb import DuckDBReadingStore
from livinglab.domain.readings import Aggregation, Interval, ReadingBatch, from_ms

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
BEGIN_MS = int(BEGIN.timestamp() * 1_000)
YEAR = timedelta(days=365)
DATASTREAMS = 5_000
DENSE = 8
"""Datastreams that tell every ten minutes."""
TEN_MINUTES_MS = 600_000
BATCH = 50_000
screen = Console(stderr=True)


def rows(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return datastreams, times and results, oldest first."""
    per = n // DATASTREAMS
    series = np.arange(DENSE + 1, DATASTREAMS + 1, dtype=np.int32)
    times = BEGIN_MS + np.arange(per, dtype=np.int64) * (365 * 86_400_000 // per)
    dense = np.arange(365 * 144, dtype=np.int64) * TEN_MINUTES_MS + BEGIN_MS
    datastream = np.concatenate(
        [np.tile(series, per), np.tile(np.arange(1, DENSE + 1, dtype=np.int32), len(dense))]
    )
    time_ = np.concatenate([np.repeat(times, len(series)), np.repeat(dense, DENSE)])
    order = np.argsort(time_, kind="stable")
    result = 20 + 5 * np.sin(np.arange(len(time_)) / 1_000)
    return datastream[order], time_[order], result


def fill(store: DuckDBReadingStore, told: tuple[np.ndarray, np.ndarray, np.ndarray]) -> float:
    """Append everything through the port; return rows a second."""
    begun = time.perf_counter()
    for start in range(0, len(told[0]), BATCH):
        datastream, time_, result = (column[start : start + BATCH] for column in told)
        n = len(time_)
        batch = ReadingBatch(
            array("i", datastream.tobytes()),
            array("q", time_.tobytes()),
            array("d", result.tobytes()),
            array("d", np.full(n, np.nan).tobytes()),
            array("B", np.ones(n, np.uint8).tobytes()),
            array("H", np.zeros(n, np.uint16).tobytes()),
        )
        store.append(batch)
    return len(told[0]) / (time.perf_counter() - begun)


def raw(path: Path, told: tuple[np.ndarray, np.ndarray, np.ndarray]) -> duckdb.DuckDBPyConnection:
    """Lay the same rows into one sorted table."""
    connection = duckdb.connect(path, config={"threads": 2, "memory_limit": "1GB"})
    datastream, time_, result = told
    flag = np.ones(len(time_), np.uint8)
    nothing = np.full(len(time_), np.nan)
    rows_ = {"datastream": datastream, "time": time_, "result": result, "raw": nothing}
    rows_ |= {"flag": flag, "tests": flag - 1, "place": nothing, "lon": nothing, "lat": nothing}
    connection.register("rows", rows_)
    connection.execute("CREATE TABLE t AS SELECT * FROM rows ORDER BY datastream, time")
    connection.unregister("rows")
    connection.execute("CHECKPOINT")
    return connection


def median_ms(ask: Callable[[], object], times: int) -> float:
    """Ask several times and return the median. [ms]"""
    ask()
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        ask()
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent) * 1_000


HOURLY = """
    SELECT make_timestamp_ms(time // 3600000 * 3600000) AS hour,
        count(*) FILTER (flag <= 2), avg(result) FILTER (flag <= 2),
        min(result) FILTER (flag <= 2), max(result) FILTER (flag <= 2), count(*) FILTER (flag = 3)
    FROM t WHERE datastream = ? AND time >= ? AND time < ? GROUP BY hour ORDER BY hour
"""
LATEST = """
    SELECT datastream, make_timestamp_ms(max(time)), arg_max(result, time), arg_max(flag, time)
    FROM t GROUP BY datastream
"""
BETWEEN = """
    SELECT datastream, make_timestamp_ms(time), result, raw, flag, tests, place, lon, lat FROM t
    WHERE datastream = ? AND time >= ? AND time < ? ORDER BY time
"""


def main() -> None:
    """Fill, ask, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    year = Interval(BEGIN, BEGIN + YEAR)
    with tempfile.TemporaryDirectory() as folder:
        told = rows(options.rows)
        store = DuckDBReadingStore(Path(folder) / "readings.duckdb")
        rate = fill(store, told)
        screen.print(f"filled {len(told[0]):,} rows at {rate:,.0f}/s")
        begun = time.perf_counter()
        means = dict.fromkeys(range(1, DATASTREAMS + 1), Aggregation.MEAN)
        store.tidy(means, BEGIN + YEAR)
        screen.print(f"tidied in {time.perf_counter() - begun:.0f} s")
        bare = raw(Path(folder) / "bare.duckdb", told)
        pick = random.Random(1)  # noqa: S311 - which series are asked for is no secret
        facts = [year.start_ms, year.end_ms]
        everyone = range(1, DATASTREAMS + 1)
        month = Interval(from_ms(BEGIN_MS), BEGIN + timedelta(days=30))
        hour = timedelta(hours=1)

        def dense() -> int:
            return pick.randint(1, DENSE)

        questions: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "latest of 5,000 Datastreams": (
                lambda: store.latest(everyone),
                lambda: bare.execute(LATEST).fetchall(),
            ),
            "hourly means of one, a year": (
                lambda: store.every(dense(), year, hour, Aggregation.MEAN),
                lambda: bare.execute(HOURLY, [dense(), *facts]).fetchall(),
            ),
            "Readings of one, a month": (
                lambda: store.between(dense(), month),
                lambda: bare.execute(BETWEEN, [dense(), month.start_ms, month.end_ms]).fetchall(),
            ),
        }
        found = {
            name: (median_ms(ours, options.times), median_ms(theirs, options.times))
            for name, (ours, theirs) in questions.items()
        }
        store.close()
        bare.close()
    if options.json:
        answer = {"rows": len(told[0]), "cores": os.cpu_count(), "ms": found}
        sys.stdout.write(json.dumps(answer, indent=1) + "\n")
        return
    table = Table(title=f"{len(told[0]):,} Readings, medians of {options.times}")
    for column in ("question", "through the port [ms]", "DuckDB itself [ms]", "ratio"):
        table.add_column(column, justify="left" if column == "question" else "right")
    for name, (ours, theirs) in found.items():
        table.add_row(name, f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
