"""Rechecking: a day that came to rest is judged as if its rows had come one after the other."""

import math
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.duckdb import DuckDBReadingStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.quality import DAY_MS, Mark
from livinglab.domain.readings import (
    NO_TEST,
    Flag,
    Interval,
    Reading,
    ReadingBatch,
    Test,
    to_ms,
)
from livinglab.domain.things import Datastream, Thing, ThingState
from livinglab.errors import StoreUnavailableError
from livinglab.ports import ReadingStore
from livinglab.services.checking import VERSION, Ranges, Recent, check
from livinglab.services.rechecking import (
    RIPE_AFTER,
    judge,
    note_version,
    recheck_due,
    redo_version,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
ALWAYS = Interval(NOON - 100 * DAY, NOON + 100 * DAY)
Row = tuple[float, float]
"""Minutes after noon, degrees."""


class Lab:
    """One thermometer that speaks every minute, and whoever records it."""

    def __init__(self, readings: ReadingStore) -> None:
        self.civic, self.readings = MemoryCivicStore(), readings
        thing = Thing(
            scheme="lab",
            external_id="post",
            state=ThingState.CONFIRMED,
            route="lab",
            introduced_at=NOON,
        )
        self.datastream = Datastream(
            thing=thing.key, observed_property="temperature", introduced_at=NOON, interval_s=60
        )
        with self.civic.work() as work:
            work.things.add([thing])
            work.things.add_datastreams([self.datastream])
        self.number = self.datastream.number or 0
        self.ranges = Ranges()
        self.ranges.put(self.number, OBSERVED_PROPERTIES["temperature"], 60)
        self.restart()

    def restart(self) -> None:
        """Forget what the recorder remembers of the stream."""
        self.recent = Recent()

    def tell(self, *rows: Row, tests: Test = NO_TEST) -> None:
        """Record a batch: check, store, mark."""
        batch = ReadingBatch()
        flag = Flag.SUSPECT if tests else Flag.NOT_EVALUATED
        for minutes, result in rows:
            batch.add(self.number, to_ms(at(minutes)), result, flag=flag, tests=tests)
        check(batch, self.ranges, self.recent, now_ms=max(batch.times))
        self.readings.append(batch)
        marks = self.recent.marks(max(batch.times))
        with self.civic.work() as work:
            work.quality.mark(marks)
        self.recent.marked(marks)

    def recheck(self, now: datetime = NOON + DAY) -> int:
        return recheck_due(self.civic, self.readings, now)

    def rows(self) -> list[Reading]:
        return self.readings.between(self.number, ALWAYS)

    def tests(self) -> dict[int, Test]:
        """Return what objected, by minute, where anything did."""
        return {(one.time - NOON) // MINUTE: one.tests for one in self.rows() if one.tests}

    def due(self, now: datetime) -> list[Mark]:
        with self.civic.work(write=False) as work:
            return work.quality.due(to_ms(now))


def at(minutes: float) -> datetime:
    return NOON + minutes * MINUTE


@pytest.fixture(params=["memory", "duckdb"])
def lab(request, tmp_path: Path) -> Iterator[Lab]:
    memory = request.param == "memory"
    store = MemoryReadingStore() if memory else DuckDBReadingStore(tmp_path / "r.duckdb")
    with closing(store):
        yield Lab(store)


def every_minute(*results: float, start: int = 0) -> list[Row]:
    return [(start + minute, result) for minute, result in enumerate(results)]


def test_a_spike_is_flagged_one_reading_later(lab):
    """Each Reading came alone: the spike showed with the next, and is flagged within the hour."""
    for row in every_minute(20, 20.5, 60, 20, 20.5):
        lab.tell(row)
    before = lab.tests()

    changed = lab.recheck(at(5))

    assert {2: Test.RATE | Test.PLAUSIBLE, 3: Test.RATE} == before
    assert {2: Test.RATE | Test.PLAUSIBLE | Test.SPIKE, 3: Test.RATE} == lab.tests()
    assert 1 == changed


def test_late_rows_come_out_as_if_they_had_been_in_time(lab):
    """A spike whose neighbours came later, and a rate that was none."""
    lab.tell(*every_minute(20, 60, 20.1))
    lab.tell(*every_minute(40, 40.2, start=10))
    lab.tell(*every_minute(20.3, 24, 28, 32, 36, start=5))

    lab.recheck()

    assert {
        1: Test.PLAUSIBLE | Test.RATE | Test.SPIKE,
        2: Test.RATE,
    } == lab.tests()


def test_a_flag_may_get_better(lab):
    """Eleven degrees in two minutes were too fast; 6.1 and then 4.9 clear the second of them."""
    lab.tell((0, 20), (2, 31))
    before = lab.tests()
    lab.tell((1, 26.1))

    changed = lab.recheck()

    assert {2: Test.RATE} == before
    assert {1: Test.RATE} == lab.tests()
    assert [Flag.GOOD, Flag.SUSPECT, Flag.GOOD] == [one.flag for one in lab.rows()]
    assert 2 == changed


def test_a_restart_costs_no_test(lab):
    """The recorder had forgotten the Reading before; the day had not."""
    lab.tell((0, 20))
    lab.restart()
    lab.tell((1, 30))
    before = lab.tests()

    lab.recheck()

    assert {} == before
    assert {1: Test.RATE} == lab.tests()


def test_what_the_door_found_stays(lab):
    """Tests that no series can repeat keep their bits, and what is missing or unknown its flag."""
    lab.tell(*every_minute(20, 21, 20), tests=Test.SKEWED | Test.SOURCE)
    lab.tell((3, math.nan))
    lab.tell((4, 99), tests=Test.UNIT_UNKNOWN)
    lab.tell((5, 20))
    lab.tell((5, 21))
    before = repr(lab.rows())

    assert 0 == lab.recheck()
    assert before == repr(lab.rows())
    assert Test.SOURCE | Test.SKEWED == lab.tests()[0]
    assert Test.CONFLICT & lab.tests()[5]


def test_a_flat_line_that_began_the_day_before(lab):
    """Half a day of the same number across midnight: from twelve hours on it is flat."""
    minutes = range(0, 24 * 60, 2)
    lab.tell(*((minute, 20) for minute in minutes[::2]))
    lab.tell(*((minute, 20) for minute in minutes[1::2]))

    lab.recheck(NOON + 3 * DAY)

    flat = sorted(lab.tests())
    assert {Test.FLAT} == set(lab.tests().values())
    assert (12 * 60, 24 * 60 - 2) == (flat[0], flat[-1])
    assert len(range(12 * 60, 24 * 60, 2)) == len(flat)


def test_days_that_go_on_wait(lab):
    """A day ripens a quarter of an hour after its last row, and is then due no more."""
    lab.tell((0, 20))

    assert [] == lab.due(at(0) - timedelta(milliseconds=1))
    lab.recheck(at(0) + RIPE_AFTER - MINUTE)
    assert 1 == len(lab.due(at(1)))
    lab.recheck(at(0) + RIPE_AFTER)
    assert [] == lab.due(at(1_000_000))


def test_a_second_look_changes_nothing(lab):
    """Judging is repeatable: nothing differs, nothing is written."""
    lab.tell(*every_minute(20, 60, 20, 20, 35))
    lab.tell(*every_minute(50, 20, start=10))
    lab.recheck()
    with lab.civic.work() as work:
        work.quality.mark([Mark(lab.number, to_ms(NOON) // DAY_MS, at=1)])

    assert 0 == lab.recheck()


@pytest.mark.parametrize("seed", range(5))
def test_any_order_ends_like_the_right_one(seed):
    """However rows are shuffled, repeated and cut, a day ends with the flags of its series."""
    chance = random.Random(seed)
    rows = [(minute, chance.choice([20, 20, 22, 33, 60])) for minute in range(120)]
    orderly, shuffled = Lab(MemoryReadingStore()), Lab(MemoryReadingStore())
    orderly.tell(*rows)
    mixed = [*rows, *chance.sample(rows, 30)]
    chance.shuffle(mixed)
    while mixed:
        size = chance.randint(1, 12)
        shuffled.tell(*mixed[:size])
        del mixed[:size]
        if chance.random() < 0.1:
            shuffled.restart()

    shuffled.recheck()

    assert orderly.rows() == shuffled.rows()


def test_a_store_that_is_away_leaves_the_marks(lab):
    """What could not be judged is due the next time."""
    lab.tell((0, 20))
    lab.restart()
    lab.tell((1, 30))
    lab.readings.close()

    with pytest.raises(StoreUnavailableError):
        lab.recheck()

    assert 1 == len(lab.due(NOON + DAY))


def test_a_version_is_noted_when_it_changes():
    """Number and parameters, with the day since when; the same again is not."""
    lab = Lab(MemoryReadingStore())
    with lab.civic.work() as work:
        first = note_version(work, NOON)
        second = note_version(work, NOON + DAY)
        [version] = work.quality.versions()

    assert (True, False) == (first, second)
    assert (VERSION, NOON) == (version.version, version.since)
    assert "temperature" in str(version.parameters["properties"])


def test_what_an_earlier_version_judged_is_judged_anew(lab):
    """All of it, years apart or not, little by little; then the Datastream says so."""
    batch = ReadingBatch()
    for start in (-95, -40, 0):
        for minute, result in every_minute(20, 60, 20):
            batch.add(lab.number, to_ms(at(minute) + start * DAY), result, flag=Flag.GOOD)
    lab.readings.append(batch)

    left = redo_version(lab.civic, lab.readings)
    again = redo_version(lab.civic, lab.readings)

    spikes = [one.time for one in lab.rows() if one.tests & Test.SPIKE]
    assert (0, 0) == (left, again)
    assert [at(1) + start * DAY for start in (-95, -40, 0)] == spikes
    with lab.civic.work(write=False) as work:
        assert {lab.number: VERSION} == work.quality.judged()


def test_only_so_many_are_judged_anew_at_once():
    """The rest waits its turn, and is counted."""
    lab = Lab(MemoryReadingStore())
    more = [
        Datastream(thing="lab:post", observed_property=one, introduced_at=NOON)
        for one in ("pm25", "no2")
    ]
    with lab.civic.work() as work:
        work.things.add_datastreams(more)

    assert [2, 1, 0] == [redo_version(lab.civic, lab.readings, most=1) for _ in range(3)]


def test_only_the_interval_is_written(lab):
    """Neighbours outside are looked at, and left as they are."""
    batch = ReadingBatch()
    for minute, result in every_minute(20, 60, 20, 60, 20):
        batch.add(lab.number, to_ms(at(minute)), result, flag=Flag.GOOD)
    lab.readings.append(batch)

    changed = judge(lab.datastream, Interval(at(1), at(2)), lab.readings)

    assert 1 == changed
    assert {1: Test.PLAUSIBLE | Test.RATE | Test.SPIKE} == lab.tests()
