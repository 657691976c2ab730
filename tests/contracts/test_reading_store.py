"""What every ReadingStore promises; a new adapter joins `STORES` and passes, or is not done."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livinglab.adapters.timeseries.duckdb import DuckDBReadingStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.domain.geometry import Point
from livinglab.domain.readings import (
    NO_TEST,
    Aggregation,
    Bucket,
    Flag,
    Interval,
    Outcome,
    Reading,
    ReadingBatch,
    Replacement,
    Spot,
    Test,
    to_ms,
)
from livinglab.errors import StoreUnavailableError
from livinglab.ports import ReadingStore
from tests import influxdb

START = datetime(2024, 3, 1, tzinfo=UTC)
START_MS = to_ms(START)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
ALWAYS = Interval(START - timedelta(days=9_000), START + timedelta(days=9_000))
NEW, DUPLICATE, REPLACED = Outcome.NEW, Outcome.DUPLICATE, Outcome.REPLACED
NAN = math.nan

Opener = Callable[[], AbstractContextManager[ReadingStore]]


@contextmanager
def in_duckdb() -> Iterator[ReadingStore]:
    """Open a store in a file that ends with it."""
    with (
        TemporaryDirectory() as folder,
        closing(DuckDBReadingStore(Path(folder) / "readings.duckdb")) as store,
    ):
        yield store


@contextmanager
def in_memory() -> Iterator[ReadingStore]:
    """Open a store that forgets."""
    with closing(MemoryReadingStore()) as store:
        yield store


@contextmanager
def in_influxdb() -> Iterator[ReadingStore]:
    """Open a store in a bucket of its own, on the server that the session shares."""
    server = influxdb.shared()
    with closing(server.store(server.bucket())) as store:
        yield store


STORES = [in_memory, in_duckdb, in_influxdb]


@pytest.fixture(params=STORES)
def store(request) -> Iterator[ReadingStore]:
    with request.param() as store:
        yield store


Row = tuple[int, int, float]
"""Datastream, minutes after START, result."""


def batch_of(*rows: Row, flag: Flag = Flag.GOOD, tests: Test = NO_TEST) -> ReadingBatch:
    batch = ReadingBatch()
    for datastream, minutes, result in rows:
        batch.add(datastream, START_MS + 60_000 * minutes, result, flag=flag, tests=tests)
    return batch


def at(minutes: float) -> datetime:
    return START + minutes * MINUTE


def between(start: float, end: float) -> Interval:
    return Interval(at(start), at(end))


def lost(datastream: int, minutes: int, old: float, new: float) -> Replacement:
    return Replacement(datastream, START_MS + 60_000 * minutes, old, new)


def alike(one: object, other: object) -> bool:
    """Compare by what is printed, because NaN never equals itself."""
    return repr(one) == repr(other)


def test_what_was_appended_can_be_read(store):
    """Every column of a row comes back as it went in."""
    batch = ReadingBatch()
    batch.add(7, START_MS, 18.9, raw=66.02, flag=Flag.SUSPECT, tests=Test.PLAUSIBLE | Test.SKEWED)

    told = store.append(batch)

    assert bytes([NEW]) == told.outcomes
    assert () == told.replacements
    assert [
        Reading(
            datastream=7,
            time=START,
            result=18.9,
            raw=66.02,
            flag=Flag.SUSPECT,
            tests=Test.PLAUSIBLE | Test.SKEWED,
        )
    ] == store.between(7, ALWAYS)


def test_an_empty_batch_is_nothing(store):
    """A batch whose every row was quarantined is appended all the same."""
    told = store.append(ReadingBatch())

    assert b"" == told.outcomes
    assert 0 == store.count()
    assert {} == store.flags()
    assert [] == store.between(1, ALWAYS)
    assert {} == store.latest([1])


def test_milliseconds_are_kept(store):
    """Two Readings a millisecond apart are two."""
    batch = ReadingBatch()
    batch.add(1, START_MS + 1, 1.0)
    batch.add(1, START_MS, 2.0)

    store.append(batch)

    assert [START, START + timedelta(milliseconds=1)] == [
        reading.time for reading in store.between(1, ALWAYS)
    ]


def test_intervals_are_half_open(store):
    """The start belongs to an Interval, its end to the next, to the millisecond."""
    store.append(batch_of((1, 0, 0.0), (1, 1, 1.0), (1, 2, 2.0)))

    assert [0.0, 1.0] == [reading.result for reading in store.between(1, between(0, 2))]
    assert [2.0] == [reading.result for reading in store.between(1, between(2, 3))]
    assert [] == store.between(1, between(1, 1))


def test_answers_are_oldest_first(store):
    """However late a Reading arrives, it is listed where it belongs."""
    store.append(batch_of((1, 5, 5.0), (1, 3, 3.0)))
    store.append(batch_of((1, 1, 1.0), (1, 4, 4.0)))

    assert [1.0, 3.0, 4.0, 5.0] == [reading.result for reading in store.between(1, ALWAYS)]


def test_a_limit_keeps_the_oldest(store):
    """A page of Readings starts where its Interval starts."""
    store.append(batch_of((1, 5, 5.0), (1, 3, 3.0), (1, 4, 4.0), (2, 3, 9.0)))

    assert [3.0, 4.0] == [row.result for row in store.between(1, ALWAYS, limit=2)]
    assert [] == store.between(1, ALWAYS, limit=0)
    assert 3 == len(store.between(1, ALWAYS, limit=99))


def test_missing_stays_missing(store):
    """A sensor that reported nothing did not report zero, whatever flag it came with."""
    store.append(batch_of((1, 0, NAN), flag=Flag.GOOD))

    [reading] = store.between(1, ALWAYS)

    assert math.isnan(reading.result)
    assert reading.raw is None
    assert Flag.MISSING == reading.flag


def test_the_same_again_changes_nothing(store):
    """A batch that is redelivered is recognised row by row, and leaves flags alone."""
    batch = batch_of((1, 0, 1.0), (1, 1, NAN), (2, 0, 3.0))
    store.append(batch)
    before = store.between(1, ALWAYS)

    again = store.append(batch)
    doubted = store.append(batch_of((1, 0, 1.0), flag=Flag.FAIL, tests=Test.SPAN))

    assert bytes([DUPLICATE] * 3) == again.outcomes
    assert bytes([DUPLICATE]) == doubted.outcomes
    assert () == again.replacements
    assert alike(before, store.between(1, ALWAYS))
    assert 3 == store.count()


def test_the_last_word_wins(store):
    """Another number for the same instant replaces the first, which is handed back."""
    store.append(batch_of((1, 0, 1.0), (1, 1, 1.0), (1, 2, 1.0)))

    told = store.append(batch_of((1, 2, 4.0), (1, 0, 2.0)))

    assert bytes([REPLACED, REPLACED]) == told.outcomes
    assert (lost(1, 2, 1.0, 4.0), lost(1, 0, 1.0, 2.0)) == told.replacements
    assert [2.0, 1.0, 4.0] == [reading.result for reading in store.between(1, ALWAYS)]
    assert 3 == store.count()


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (Flag.GOOD, Flag.SUSPECT),
        (Flag.NOT_EVALUATED, Flag.SUSPECT),
        (Flag.SUSPECT, Flag.SUSPECT),
        (Flag.FAIL, Flag.FAIL),
    ],
)
def test_a_conflict_makes_suspect(store, flag, expected):
    """Two numbers for one instant: nobody knows which is right, and no flag gets better."""
    store.append(batch_of((1, 0, 1.0)))

    batch = batch_of((1, 0, 2.0), flag=flag, tests=Test.SPIKE)
    store.append(batch)

    [reading] = store.between(1, ALWAYS)
    assert expected == reading.flag
    assert Test.SPIKE | Test.CONFLICT == reading.tests
    assert [flag] == list(batch.flags)  # the batch itself is not changed


def test_a_missing_result_may_be_filled_in(store):
    """A number in the place of nothing is no contradiction."""
    store.append(batch_of((1, 0, NAN)))

    told = store.append(batch_of((1, 0, 2.0)))

    [reading] = store.between(1, ALWAYS)
    assert bytes([REPLACED]) == told.outcomes
    assert alike((lost(1, 0, NAN, 2.0),), told.replacements)
    assert (2.0, Flag.GOOD, NO_TEST) == (reading.result, reading.flag, reading.tests)


def test_a_result_may_be_withdrawn(store):
    """Nothing in the place of a number: it is missing, and the number is handed back."""
    store.append(batch_of((1, 0, 1.0)))

    told = store.append(batch_of((1, 0, NAN), flag=Flag.MISSING))

    [reading] = store.between(1, ALWAYS)
    assert bytes([REPLACED]) == told.outcomes
    assert alike((lost(1, 0, 1.0, NAN),), told.replacements)
    assert math.isnan(reading.result)
    assert (Flag.MISSING, NO_TEST) == (reading.flag, reading.tests)


def test_rows_apply_one_after_the_other(store):
    """Within a batch A, B, A is one new row and two replacements; the last word wins."""
    told = store.append(batch_of((1, 0, 1.0), (2, 0, 5.0), (1, 0, 2.0), (1, 0, 2.0), (1, 0, 1.0)))

    [reading] = store.between(1, ALWAYS)
    assert bytes([NEW, NEW, REPLACED, DUPLICATE, REPLACED]) == told.outcomes
    assert (lost(1, 0, 1.0, 2.0), lost(1, 0, 2.0, 1.0)) == told.replacements
    assert (1.0, Flag.SUSPECT, Test.CONFLICT) == (reading.result, reading.flag, reading.tests)
    assert 2 == store.count()


def test_a_repetition_within_a_batch_keeps_the_first(store):
    """The row that first said so is stored, with its flag, not the one that repeats it."""
    batch = batch_of((1, 0, 1.0), flag=Flag.GOOD)
    batch.add(1, START_MS, 1.0, flag=Flag.FAIL)

    told = store.append(batch)

    assert bytes([NEW, DUPLICATE]) == told.outcomes
    assert [Flag.GOOD] == [reading.flag for reading in store.between(1, ALWAYS)]


def test_latest_is_the_greatest_time(store):
    """A late arrival does not move it back; a missing one counts like any other."""
    store.append(batch_of((1, 5, 5.0), (1, 4, 4.0), (2, 0, 1.0)))
    store.append(batch_of((1, 1, 1.0), (2, 1, NAN)))

    latest = store.latest([1, 2, 3])

    assert {1, 2} == set(latest)
    assert (at(5), 5.0) == (latest[1].time, latest[1].result)
    assert (at(1), Flag.MISSING) == (latest[2].time, latest[2].flag)
    assert {} == store.latest([])


def test_latest_shows_the_last_word(store):
    """The newest Reading may be replaced like any other."""
    store.append(batch_of((1, 5, 5.0)))
    store.append(batch_of((1, 5, 6.0)))

    [stored] = store.between(1, ALWAYS)

    assert (6.0, Flag.SUSPECT, Test.CONFLICT) == (stored.result, stored.flag, stored.tests)
    assert {1: stored} == store.latest([1])


def test_moving_things_keep_their_spots(store):
    """Position and Place come back with their row, also with the newest; others have none."""
    batch = batch_of((1, 0, 1.0), (1, 1, 2.0), (1, 2, 3.0), (2, 2, 3.0))
    batch.spots[1] = Spot(12, Point(-3.81, 43.46))
    batch.spots[2] = Spot(None, Point(-3.80, 43.47))

    store.append(batch)

    first, second, third = store.between(1, ALWAYS)
    assert (None, None) == (first.place, first.point)
    assert (12, Point(-3.81, 43.46)) == (second.place, second.point)
    assert (None, Point(-3.80, 43.47)) == (third.place, third.point)
    assert third == store.latest([1])[1]
    assert store.latest([2])[2].point is None


def test_flags_are_counted_per_datastream(store):
    """Who keeps an eye on quality asks for all, or for some."""
    store.append(batch_of((1, 0, 1.0), (1, 1, 1.0), (2, 0, 1.0)))
    store.append(batch_of((1, 2, 1.0), flag=Flag.FAIL))
    store.append(batch_of((2, 1, NAN), (2, 0, 2.0)))

    assert {
        1: {Flag.GOOD: 2, Flag.FAIL: 1},
        2: {Flag.SUSPECT: 1, Flag.MISSING: 1},
    } == store.flags()
    assert {1: {Flag.GOOD: 2, Flag.FAIL: 1}} == store.flags([1, 3])
    assert {} == store.flags([])


def test_a_mean_worked_by_hand(store):
    """Two periods of ten minutes, aligned to the Interval's start; the empty one is left out."""
    store.append(batch_of((1, 3, 1.0), (1, 12, 2.0), (1, 13, 6.0), (1, 33, 4.0), (2, 13, 99.0)))

    found = store.every(1, between(3, 43), 10 * MINUTE, Aggregation.MEAN)

    assert [
        Bucket(start=at(3), n=2, mean=1.5, minimum=1.0, maximum=2.0),
        Bucket(start=at(13), n=1, mean=6.0, minimum=6.0, maximum=6.0),
        Bucket(start=at(33), n=1, mean=4.0, minimum=4.0, maximum=4.0),
    ] == found


def test_only_good_and_unevaluated_enter(store):
    """Suspects are counted beside; failures and missing ones are not even that."""
    store.append(batch_of((1, 0, 1.0), flag=Flag.GOOD))
    store.append(batch_of((1, 1, 3.0), flag=Flag.NOT_EVALUATED))
    store.append(batch_of((1, 2, 50.0), (1, 61, 50.0), flag=Flag.SUSPECT))
    store.append(batch_of((1, 3, 99.0), (1, 121, 99.0), flag=Flag.FAIL))
    store.append(batch_of((1, 4, NAN)))

    first, second = store.every(1, between(0, 180), HOUR, Aggregation.MEAN)

    assert Bucket(start=at(0), n=2, mean=2.0, minimum=1.0, maximum=3.0, suspect=1) == first
    assert (at(60), 0, 1) == (second.start, second.n, second.suspect)
    assert all(map(math.isnan, (second.mean, second.minimum, second.maximum)))


@pytest.mark.parametrize(
    ("aggregation", "results", "expected"),
    [
        (Aggregation.MEAN, (1.0, 2.0, 6.0), 3.0),
        (Aggregation.SUM, (1.0, 2.0, 6.0), 9.0),
        (Aggregation.ENERGY_MEAN, (60.0, 70.0), 67.404),  # 10·log10((10⁶ + 10⁷) / 2)
        (Aggregation.ENERGY_MEAN, (4_000.0, 4_000.0), 4_000.0),  # 10⁴⁰⁰ is no number
        (Aggregation.CIRCULAR_MEAN, (350.0, 20.0), 5.0),
        (Aggregation.CIRCULAR_MEAN, (359.0, 359.0), 359.0),
        (Aggregation.CIRCULAR_MEAN, (0.0, 90.0, 90.0), 63.435),  # atan2(2, 1)
        (Aggregation.CIRCULAR_MEAN, (90.0, 270.0), NAN),  # they cancel: no direction
    ],
)
def test_aggregations_worked_by_hand(store, aggregation, results, expected):
    """Sound averages as energy, wind as unit vectors, counts add up."""
    store.append(batch_of(*((1, minute, result) for minute, result in enumerate(results))))

    [bucket] = store.every(1, between(0, 60), HOUR, aggregation)

    assert pytest.approx(expected, abs=1e-3, nan_ok=True) == bucket.mean
    assert len(results) == bucket.n
    assert (min(results), max(results)) == (bucket.minimum, bucket.maximum)


def test_the_last_period_ends_with_the_interval(store):
    """What lies behind the Interval's end does not enter, even within a started hour."""
    store.append(batch_of((1, 0, 1.0), (1, 70, 2.0), (1, 100, 50.0)))

    found = store.every(1, between(0, 90), HOUR, Aggregation.MEAN)

    assert [1.0, 2.0] == [bucket.mean for bucket in found]


AGGREGATIONS = dict(enumerate(Aggregation, start=1))


def a_varied_quarter() -> ReadingBatch:
    """Four Datastreams over February, March and April, with every flag."""
    batch = ReadingBatch()
    for n in range(2_000):
        batch.add(
            n % 5 + 1,
            START_MS + (n * 3_917 % 80_000 - 20_000) * 60_000,
            NAN if n % 97 == 0 else 360 * math.sin(n) ** 2,
            flag=(1, 2, 3, 4)[n // 7 % 4],
            raw=float(n) if n % 3 else NAN,
        )
    batch.spots[3] = Spot(4, Point(1.0, 2.0))
    return batch


def everything(store: ReadingStore) -> list[object]:
    """All that can be asked, averaged in every way, to the last bit."""
    hours = Interval(START - timedelta(days=20), START + timedelta(days=50, minutes=17))
    return [
        store.count(),
        sorted((number, sorted(counts.items())) for number, counts in store.flags().items()),
        sorted(store.latest(range(9)).items()),
        *(store.between(number, ALWAYS) for number in range(1, 7)),
        *(
            store.every(number, hours, every, kind)
            for number in range(1, 7)
            for every in (HOUR, timedelta(minutes=50), timedelta(days=1))
            for kind in Aggregation
        ),
    ]


def test_tidying_changes_no_answer(store):
    """Roll-ups and compaction are invisible, to the last bit, with late rows and conflicts too."""
    until = START + timedelta(days=33)
    store.append(a_varied_quarter())
    before = everything(store)

    store.tidy(AGGREGATIONS, until)
    assert alike(before, everything(store))

    late = ReadingBatch()
    for n, row in enumerate(a_varied_quarter().rows()):
        if n % 11 == 0:
            late.add(row.datastream, to_ms(row.time), (NAN, 7.0, row.result)[n % 3])
            late.add(row.datastream, to_ms(row.time) + 1, 8.0)
    store.append(late)
    after = everything(store)
    assert not alike(before, after)

    store.tidy(AGGREGATIONS, until)
    assert alike(after, everything(store))

    assert {DUPLICATE} == set(store.append(late).outcomes)
    store.tidy(dict.fromkeys(AGGREGATIONS, Aggregation.SUM), until)
    store.tidy({}, until)
    assert alike(after, everything(store))


@pytest.mark.parametrize("tidied", [True, False])
def test_what_is_forgotten_is_gone(store, tidied):
    """A city that keeps two years: half-open, in every answer, and it may be told again."""
    store.append(batch_of((1, 0, 1.0), (1, 60, 2.0), (2, 0, 3.0)))
    store.append(batch_of((1, 0, 4.0)))
    if tidied:
        store.tidy({}, START + timedelta(days=99))

    gone = store.forget(START + HOUR)

    assert (2, 1) == (gone, store.count())
    assert [2.0] == [row.result for row in store.between(1, ALWAYS)]
    assert ([], [1]) == (store.between(2, ALWAYS), list(store.latest([1, 2])))
    assert {1} == {number for number, counts in store.flags().items() if counts}
    assert bytes([NEW]) == store.append(batch_of((2, 0, 3.0))).outcomes
    assert 0 == store.forget(START)


def test_any_thread_may_append(store):
    """Several threads append overlapping batches: every key is in once, and new once."""
    batches = [
        batch_of(*((number, minute, float(minute)) for minute in range(n * 5, n * 5 + 40)))
        for number in (1, 2)
        for n in range(8)
    ]

    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(store.append, batches * 3))

    assert 150 == store.count()
    assert 150 == sum(answer.outcomes.count(NEW) for answer in told)
    assert 0 == sum(answer.outcomes.count(REPLACED) for answer in told)
    assert [float(minute) for minute in range(75)] == [
        reading.result for reading in store.between(2, ALWAYS)
    ]


def test_readers_see_whole_batches_only(store):
    """While batches are appended and tidied away, each is there as a whole or not at all."""

    def writing() -> None:
        for minute in range(40):
            store.append(batch_of(*((1, minute * 100 + n, 1.0) for n in range(50))))
            if minute % 10 == 9:
                store.tidy({}, START + timedelta(days=60))

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(writing)
        seen = [len(store.between(1, ALWAYS))]
        while not done.done():
            seen.append(len(store.between(1, ALWAYS)))
        done.result()

    assert {0} == {n % 50 for n in seen}
    assert sorted(seen) == seen
    assert 2_000 == len(store.between(1, ALWAYS))


def test_it_says_what_answers(store):
    """Readiness names the part."""
    assert store.ping()


def test_a_closed_store_is_unavailable(store):
    """After close nothing is accepted silently; closing twice does nothing."""
    store.close()
    store.close()

    with pytest.raises(StoreUnavailableError):
        store.append(batch_of((1, 0, 1.0)))
    with pytest.raises(StoreUnavailableError):
        store.between(1, ALWAYS)
    with pytest.raises(StoreUnavailableError):
        store.ping()


class Model:
    """The promise in its plainest form: one row after the other, into a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, datetime], Reading] = {}

    def append(self, batch: ReadingBatch) -> tuple[list[Outcome], list[Replacement]]:
        outcomes, replacements = [], []
        for row in batch.rows():
            stored = self.rows.get((row.datastream, row.time))
            if stored and alike(stored.result, row.result):
                outcomes.append(DUPLICATE)
                continue
            outcomes.append(REPLACED if stored else NEW)
            if stored:
                replacements.append(
                    Replacement(row.datastream, to_ms(row.time), stored.result, row.result)
                )
            self.rows[row.datastream, row.time] = self.kept(row, stored)
        return outcomes, replacements

    @staticmethod
    def kept(row: Reading, stored: Reading | None) -> Reading:
        if math.isnan(row.result):
            return row._replace(flag=Flag.MISSING)
        if stored is None or math.isnan(stored.result):
            return row
        return row._replace(flag=max(row.flag, Flag.SUSPECT), tests=row.tests | Test.CONFLICT)

    def of(self, datastream: int) -> list[Reading]:
        rows = [row for row in self.rows.values() if row.datastream == datastream]
        return sorted(rows, key=lambda row: row.time)


def _add(batch: ReadingBatch, row: tuple[int, int, float, float, Flag, bool]) -> ReadingBatch:
    datastream, minute, result, raw, flag, moving = row
    number = batch.add(datastream, START_MS + minute * 60_000, result, raw, flag)
    if moving:
        batch.spots[number] = Spot(None if minute % 2 else datastream, Point(float(minute), 2.0))
    return batch


some_rows = st.tuples(
    st.integers(0, 3),
    st.integers(-2, 6),
    st.sampled_from([0.0, 1.0, 2.0, NAN]),
    st.sampled_from([NAN, 7.0]),
    st.sampled_from([Flag.GOOD, Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.FAIL]),
    st.sampled_from([False, False, True]),
)
some_batches = st.lists(some_rows, max_size=12).map(lambda rows: reduce(_add, rows, ReadingBatch()))
tidyings = st.sampled_from([START, START + timedelta(days=40)])


@pytest.mark.parametrize("opened", STORES)
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(some_batches | tidyings, max_size=8))
def test_any_history_equals_the_model(opened: Opener, steps):
    """Whatever arrives in whatever order, tidied or not: contents and answers are the model's."""
    model = Model()
    with opened() as store:
        for step in steps:
            if isinstance(step, datetime):
                store.tidy(AGGREGATIONS, step)
                continue
            outcomes, replacements = model.append(step)
            told = store.append(step)
            assert bytes(outcomes) == told.outcomes
            assert alike(tuple(replacements), told.replacements)

        for datastream in range(4):
            rows = model.of(datastream)
            assert alike(rows, store.between(datastream, ALWAYS))
            latest = {datastream: rows[-1]} if rows else {}
            assert alike(latest, store.latest([datastream]))
        assert len(model.rows) == store.count()


def test_flags_may_change_and_nothing_else(store):
    """A later judgement takes the place of the first; result, raw number and spot stay."""
    batch = ReadingBatch()
    batch.add(1, START_MS, 18.9, raw=66.02, flag=Flag.GOOD)
    batch.add(1, START_MS + 60_000, 99.0, flag=Flag.SUSPECT, tests=Test.RATE)
    batch.spots[0] = Spot(12, Point(-3.81, 43.46))
    store.append(batch)
    [first, second] = store.between(1, ALWAYS)
    judged = batch_of((1, 0, 18.9), flag=Flag.SUSPECT, tests=Test.SPIKE)
    judged.add(1, START_MS + 60_000, 99.0, flag=Flag.GOOD)

    changed = store.reflag(judged)

    second = second._replace(flag=Flag.GOOD, tests=NO_TEST)
    assert 2 == changed
    assert [
        first._replace(flag=Flag.SUSPECT, tests=Test.SPIKE),
        second,
    ] == store.between(1, ALWAYS)
    assert {1: second} == store.latest([1])
    assert {1: {Flag.SUSPECT: 1, Flag.GOOD: 1}} == store.flags()
    assert 2 == store.count()


def test_what_was_judged_is_what_is_stored_or_nothing_happens(store):
    """A result that changed meanwhile keeps its flag; what is missing or unknown is no concern."""
    store.append(batch_of((1, 0, 1.0), (1, 1, NAN)))
    store.append(batch_of((1, 0, 2.0)))
    before = store.between(1, ALWAYS)

    changed = store.reflag(
        batch_of((1, 0, 1.0), (1, 1, NAN), (1, 2, 3.0), (9, 0, 1.0), flag=Flag.FAIL)
    )

    assert 0 == changed
    assert alike(before, store.between(1, ALWAYS))
    assert 2 == store.count()


def test_the_same_judgement_changes_nothing(store):
    """Only what differs is written, so whoever judges everything again costs nothing."""
    store.append(batch_of((1, 0, 1.0), (1, 1, 2.0)))

    assert 0 == store.reflag(ReadingBatch())
    assert 0 == store.reflag(batch_of((1, 0, 1.0)))
    assert 1 == store.reflag(batch_of((1, 1, 2.0), flag=Flag.SUSPECT, tests=Test.FLAT))
    assert 0 == store.reflag(batch_of((1, 1, 2.0), flag=Flag.SUSPECT, tests=Test.FLAT))


def test_means_follow_the_flags(store):
    """What became suspect leaves the mean of its hour, though rolled up and at rest before."""
    store.append(batch_of((1, 0, 1.0), (1, 1, 100.0), (1, 2, 3.0)))
    store.tidy(AGGREGATIONS, START + timedelta(days=62))
    store.reflag(batch_of((1, 1, 100.0), flag=Flag.SUSPECT, tests=Test.SPIKE))

    suspected = store.every(1, between(0, 60), HOUR, Aggregation.MEAN)
    store.tidy(AGGREGATIONS, START + timedelta(days=62))
    at_rest = store.every(1, between(0, 60), HOUR, Aggregation.MEAN)
    store.reflag(batch_of((1, 1, 100.0)))
    cleared = store.every(1, between(0, 60), HOUR, Aggregation.MEAN)

    assert [Bucket(START, 2, 2.0, 1.0, 3.0, suspect=1)] == suspected == at_rest
    assert [(3, 0)] == [(bucket.n, bucket.suspect) for bucket in cleared]


def test_a_later_word_still_wins_after_a_judgement(store):
    """A row that was judged again is known like any other: repeated, or replaced."""
    store.append(batch_of((1, 0, 1.0), (1, 1, 2.0)))
    store.reflag(batch_of((1, 0, 1.0), flag=Flag.SUSPECT, tests=Test.SPIKE))

    told = store.append(batch_of((1, 0, 1.0), (1, 1, 5.0)))

    assert bytes([DUPLICATE, REPLACED]) == told.outcomes
    assert [Flag.SUSPECT, Flag.SUSPECT] == [one.flag for one in store.between(1, ALWAYS)]
    assert 2 == store.count()


def test_judgements_survive_a_restart(tmp_path):
    """They are durable on return, like Readings."""
    file = tmp_path / "readings.duckdb"
    with closing(DuckDBReadingStore(file)) as store:
        store.append(batch_of((1, 0, 1.0), (1, 1, 2.0)))
        store.tidy(AGGREGATIONS, START + timedelta(days=62))
        store.reflag(batch_of((1, 1, 2.0), flag=Flag.SUSPECT, tests=Test.SPIKE))
    with closing(DuckDBReadingStore(file)) as store:
        [_, judged] = store.between(1, ALWAYS)
        latest = store.latest([1])
        count = store.count()

    assert (Flag.SUSPECT, Test.SPIKE) == (judged.flag, judged.tests)
    assert {1: judged} == latest
    assert 2 == count
