"""What only the DuckDB file has to endure: kills, full disks, a second opener, and tidying."""

import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import duckdb
import numpy as np
import pytest

from livinglab.adapters.timeseries.duckdb import DuckDBReadingStore
from livinglab.domain.readings import (
    Aggregation,
    Interval,
    Outcome,
    ReadingBatch,
    from_ms,
    to_ms,
)
from livinglab.errors import LabBusyError, StoreUnavailableError

START = datetime(2024, 3, 1, tzinfo=UTC)
START_MS = to_ms(START)
HOUR = timedelta(hours=1)
ALWAYS = Interval(START - timedelta(days=999), START + timedelta(days=999))
LATER = START + timedelta(days=400)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "readings.duckdb"


@pytest.fixture
def store(path: Path) -> Iterator[DuckDBReadingStore]:
    with closing(DuckDBReadingStore(path)) as store:
        yield store


def minutes(datastream: int, first: int, n: int, result: float = 1.0) -> ReadingBatch:
    """A Reading a minute."""
    batch = ReadingBatch()
    for minute in range(first, first + n):
        batch.add(datastream, START_MS + minute * 60_000, result, flag=1)
    return batch


def asked(store: DuckDBReadingStore, query: str) -> list[tuple[int, ...]]:
    """Look into the file past the port."""
    return store._ask(lambda cursor: cursor.execute(query).fetchall())


CHILD = """
    import itertools, sys
    from contextlib import closing
    from datetime import UTC, datetime, timedelta
    from pathlib import Path
    from threading import Thread

    from livinglab.adapters.timeseries.duckdb import DuckDBReadingStore
    from livinglab.domain.readings import ReadingBatch

    def batch(number):
        made = ReadingBatch()
        for datastream in range(1, 101):
            made.add(datastream, number * 3_600_000, float(number), flag=1)
        if number:
            made.add(1, (number - 1) * 3_600_000, 0.5)
        return made

    def tidy(store):
        while True:
            store.tidy({}, datetime(2030, 1, 1, tzinfo=UTC))

    with closing(DuckDBReadingStore(Path(sys.argv[1]))) as store:
        Thread(target=tidy, args=[store], daemon=True).start()
        for number in itertools.count(store.count() // 100):
            store.append(batch(number))
            print(number, flush=True)
"""


def child(path: Path, source: str = CHILD) -> "subprocess.Popen[str]":
    """Run Python beside this process."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_kill_loses_nothing_and_leaves_nothing_half_done(path):
    """Killed at random moments, tidying meanwhile: what append returned is there exactly once."""
    moments = random.Random(7)

    for _ in range(4):
        with child(path) as process:
            assert process.stdout
            told = [process.stdout.readline() for _ in range(moments.randint(1, 60))]
            process.send_signal(signal.SIGKILL)
            told += process.stdout.readlines()
        last = int(told[-1])

        with closing(DuckDBReadingStore(path)) as store:
            stored, rest = divmod(store.count(), 100)
            counts = {len(store.between(number, Interval(from_ms(0), LATER))) for number in (2, 99)}
            newest = store.latest([2])[2].result
            doubles = asked(
                store, "SELECT count(*) FROM readings GROUP BY datastream, time HAVING count(*) > 1"
            )
        assert 0 == rest
        assert stored in {last + 1, last + 2}  # one batch may have been committed, but not told
        assert {stored} == counts
        assert stored - 1 == newest
        assert [] == doubles


@pytest.mark.usefixtures("store")
def test_another_process_is_told_what_to_do(path):
    """Two labs on one file: the second one says so and names the way out."""
    with child(path) as process:
        _, errors = process.communicate(timeout=30)

    assert "LabBusyError" in errors
    assert "stop it, or ask the running lab over HTTP" in errors


def test_the_same_process_is_refused_too(store, path):
    """DuckDB would let a second opener of the same process in, and with it duplicates."""
    with pytest.raises(LabBusyError, match="already"):
        DuckDBReadingStore(path)

    store.close()
    with closing(DuckDBReadingStore(path)) as again:
        assert 0 == again.count()


def test_a_file_that_is_no_database_is_unavailable(path):
    """A damaged file is no reason to start anew over it."""
    path.write_text("not a database, however long this text may be" * 100)

    with pytest.raises(StoreUnavailableError):
        DuckDBReadingStore(path)

    assert path.read_text().startswith("not a database")


FULL = """
    import resource, sys
    from contextlib import closing
    from datetime import UTC, datetime, timedelta
    from pathlib import Path

    import numpy as np

    from livinglab.adapters.timeseries.duckdb import DuckDBReadingStore
    from livinglab.domain.readings import Interval, ReadingBatch, from_ms
    from livinglab.errors import StoreUnavailableError

    def batch(number, n):
        made = ReadingBatch()
        results = np.random.default_rng(number).random(n)
        for row in range(n):
            made.add(row % 50 + 1, number * 10**9 + row * 1000, float(results[row]))
        return made

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def refused(attempt):
        try:
            attempt()
        except StoreUnavailableError as error:
            print("refused:", error, file=sys.stderr)
            return True
        return False

    def still_reads(store, rows):
        assert rows == store.count(), store.count()
        assert rows // 50 == len(store.between(1, Interval(from_ms(0), from_ms(10**13))))
        assert store.ping()

    path = Path(sys.argv[1])
    store = DuckDBReadingStore(path)
    store.append(batch(0, 50_000))
    store._write(lambda cursor: cursor.execute("CHECKPOINT"))
    rows = 50_000

    limit(100_000)
    number = 1
    while not refused(lambda: store.append(batch(number, 1_000))):
        number, rows = number + 1, rows + 1_000
    assert refused(lambda: store.append(batch(number, 1_000)))
    still_reads(store, rows)

    assert refused(lambda: store._write(lambda cursor: cursor.execute("CHECKPOINT")))  # fatal
    assert refused(lambda: store.append(batch(number, 1_000)))
    still_reads(store, rows)

    limit(resource.RLIM_INFINITY)
    told = store.append(batch(number, 1_000))
    assert {0} == set(told.outcomes), set(told.outcomes)
    still_reads(store, rows + 1_000)
    assert {1} == set(store.append(batch(number, 1_000)).outcomes)

    limit(100_000)
    store.close()
    limit(resource.RLIM_INFINITY)
    with closing(DuckDBReadingStore(path)) as store:
        still_reads(store, rows + 1_000)
    print("recovered")
"""


def test_a_full_disk_refuses_and_recovers(path):
    """Writes that fail are refused as a whole, reading goes on, and with space all is well again.

    The disk is full for real, as far as DuckDB can tell: no file may grow beyond a limit. A
    checkpoint that fails makes DuckDB give its file up, so it is opened again.
    """
    with child(path, FULL) as process:
        out, errors = process.communicate(timeout=60)

    assert "recovered\n" == out, errors
    assert "FATAL" in errors


def test_reopening_finds_everything(store, path):
    """Contents, newest Readings, counts and the numbering of commits survive a restart."""
    store.append(minutes(1, 0, 90))
    store.append(minutes(2, 50_000, 5))
    store.tidy({}, START + timedelta(days=31))
    store.append(minutes(1, 0, 1, result=2.0))
    before = (store.count(), store.latest([1, 2]), store.between(1, ALWAYS))
    store.close()

    with closing(DuckDBReadingStore(path)) as again:
        assert before == (again.count(), again.latest([1, 2]), again.between(1, ALWAYS))
        assert bytes([Outcome.DUPLICATE]) == again.append(minutes(2, 50_004, 1)).outcomes
        assert bytes([Outcome.DUPLICATE]) == again.append(minutes(1, 7, 1)).outcomes
        again.append(minutes(1, 100, 1))
        assert [(3,)] == asked(again, "SELECT max(batch) - 1 FROM hot")


def test_a_file_can_be_read_by_older_versions(store, path):
    """The format is chosen, not whatever the newest DuckDB likes best."""
    store.append(minutes(1, 0, 5))
    store.close()

    with duckdb.connect(path) as database:
        tags = database.execute("SELECT tags FROM duckdb_databases() WHERE NOT internal").fetchall()

    assert "v1.5" in str(tags)


def test_the_deadline_holds(path):
    """A writer that is stuck costs a caller its deadline, and what it gave up is not written."""
    with closing(DuckDBReadingStore(path, deadline_s=0.05)) as store:
        release = Event()
        store._writer.submit(release.wait)
        with pytest.raises(StoreUnavailableError, match=r"within 0\.05 s"):
            store.append(minutes(1, 0, 5))
        release.set()
        store._writer.submit(int).result()

        assert 0 == store.count()
        assert bytes([Outcome.NEW]) == store.append(minutes(1, 0, 1)).outcomes


def test_closing_refuses_what_waits(path):
    """Whoever waits for the writer when the lab stops is told, not left hanging."""
    store = DuckDBReadingStore(path)
    release = Event()
    store._writer.submit(release.wait)
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(store.append, minutes(1, 0, 5))
        while not store._writer._work_queue.qsize():
            assert not waiting.done()
        closing_down = threads.submit(store.close)
        with pytest.raises(StoreUnavailableError, match="closed"):
            waiting.result()
        release.set()
        closing_down.result()


def test_a_wild_number_is_refused(store):
    """Numbers of Datastreams are dense; one that is not would cost gigabytes."""
    with pytest.raises(ValueError, match="Datastream"):
        store.append(minutes(1 << 30, 0, 1))
    with pytest.raises(ValueError, match="Datastream"):
        store.append(minutes(-1, 0, 1))

    assert {} == store.latest([1 << 30, -1])


def test_months_that_ended_come_to_rest_sorted(store):
    """Hot keeps the month that runs; cold is sorted by month, Datastream and time."""
    for start in (40_000, 0, 20_000, 60_000):
        for number in (3, 1, 2):
            store.append(minutes(number, start, 50))

    store.tidy({}, START + timedelta(days=35))

    assert [(150,)] == asked(store, "SELECT count(*) FROM hot")
    rest = asked(store, "SELECT datastream, time FROM cold ORDER BY rowid")
    assert 450 == len(rest)
    assert sorted(rest) == rest
    assert 600 == store.count()


def test_late_rows_are_merged(store):
    """What arrives for a cold month waits in hot, hides what it replaces, and is merged."""
    store.append(minutes(1, 0, 90))
    store.tidy({}, LATER)
    store.append(minutes(1, 80, 20, result=7.0))

    hidden = asked(store, "SELECT shadows, count(*) FROM hot GROUP BY 1 ORDER BY 1")
    before = store.between(1, ALWAYS)
    store.tidy({}, LATER)

    assert [(False, 10), (True, 10)] == hidden
    assert [(0, 100)] == asked(
        store, "SELECT (SELECT count(*) FROM hot), (SELECT count(*) FROM cold)"
    )
    assert before == store.between(1, ALWAYS)


def test_clean_hours_come_from_the_roll_up(store):
    """An hour is read from its roll-up until a late row makes it dirty; a forged one shows it."""
    store.append(minutes(1, 0, 60 * 48))
    store.tidy({1: Aggregation.MEAN}, START)
    store._write(lambda cursor: cursor.execute("UPDATE hourly SET mean = 42"))
    two_days = Interval(START, START + timedelta(days=2))

    clean = store.every(1, two_days, HOUR, Aggregation.MEAN)
    other = store.every(1, two_days, HOUR, Aggregation.SUM)
    store.append(minutes(1, 60 * 30, 1, result=4.0))
    dirty = store.every(1, two_days, HOUR, Aggregation.MEAN)
    store.tidy({1: Aggregation.MEAN}, START)
    again = store.every(1, two_days, HOUR, Aggregation.MEAN)

    assert {42.0} == {bucket.mean for bucket in clean}
    assert {60.0} == {bucket.mean for bucket in other}
    assert [42.0] * 30 + [1.0] * 18 == [bucket.mean for bucket in dirty]
    assert [42.0] * 24 + [1.0] * 24 == [bucket.mean for bucket in again]


def many_rows(n: int) -> ReadingBatch:
    """Rows of twenty Datastreams, made fast."""
    batch = ReadingBatch()
    numbers = np.arange(n)
    batch.datastreams.frombytes((numbers % 20 + 1).astype(np.int32).tobytes())
    batch.times.frombytes((START_MS + numbers // 20 * 10_000).astype(np.int64).tobytes())
    batch.results.frombytes(np.sin(numbers).tobytes())
    batch.raws.frombytes(np.full(n, np.nan).tobytes())
    batch.flags.frombytes(np.ones(n, np.uint8).tobytes())
    batch.tests.frombytes(np.zeros(n, np.uint16).tobytes())
    return batch


def test_tidying_lets_writers_through(store):
    """Who appends while much is tidied waits for a slice, not for the end."""
    store.append(many_rows(400_000))
    between_slices = 0

    with ThreadPoolExecutor(1) as threads:
        tidied = threads.submit(store.tidy, {}, LATER)
        while not tidied.done():
            store.append(minutes(99, between_slices, 1))
            between_slices += not tidied.done()
        tidied.result()

    assert between_slices > 4
    assert 400_000 == asked(store, "SELECT count(*) FROM cold WHERE datastream < 99")[0][0]
    assert 20_000 == len(store.between(20, ALWAYS))


def test_readers_do_not_wait_for_the_writer(store):
    """While the writer is busy for as long as it likes, reading goes on."""
    store.append(minutes(1, 0, 5))
    release = Event()
    stuck = store._writer.submit(release.wait)

    answers = (
        len(store.between(1, ALWAYS)),
        store.count(),
        len(store.latest([1])),
        len(store.every(1, ALWAYS, HOUR, Aggregation.MEAN)),
        store.ping(),
    )

    assert not stuck.done()
    assert (5, 5, 1, 1, f"DuckDB {duckdb.__version__}") == answers
    release.set()


def test_any_thread_reads_while_one_writes(store):
    """Cursors of many short-lived threads see growing series, and all of them are given back."""

    def reading(_: int) -> int:
        return len(store.between(1, ALWAYS)) + len(store.flags([1]))

    with ThreadPoolExecutor(4) as threads:
        lengths = threads.map(reading, range(60))
        for minute in range(60):
            store.append(minutes(1, minute, 1))
        assert all(0 <= length <= 61 for length in lengths)

    assert set() == store._file._lent
    assert 60 == store.count()


def test_nothing_is_left_in_the_environment(store, path):
    """The lab owns one file, and a log beside it while it runs."""
    store.append(minutes(1, 0, 5))
    store.close()

    assert [path] == list(path.parent.iterdir())
