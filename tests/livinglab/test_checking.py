"""Checking: what takes neighbours, on the way to the store; expected flags are worked by hand."""

import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.domain.observed_properties import (
    OBSERVED_PROPERTIES,
    FlatLine,
    ObservedProperty,
)
from livinglab.domain.quality import DAY_MS, Mark, Skew
from livinglab.domain.readings import NO_TEST, Flag, ReadingBatch, Test
from livinglab.services.checking import (
    ENOUGH_SAMPLES,
    REMARK_MS,
    Ranges,
    Recent,
    check,
    parameters,
)

MINUTE = 60_000
NOON = 20_000 * DAY_MS + DAY_MS // 2
AIR = ObservedProperty(
    key="temperature",
    unit="Cel",
    label="Temperature",
    plausible=(-40, 55),
    span=(-80, 150),
    spike=10,
    rate=5,
    flat=FlatLine(n=3, lasting_s=120),
)
COUNT = ObservedProperty(
    key="bicycle_count", unit="1", label="Bicycles", plausible=(0, 10_000), span=(0, 100_000)
)
T, B = 1, 2
"""A temperature every minute, and a count."""


class Stream:
    """Batches that come one after the other, and what is thought of their rows."""

    def __init__(self) -> None:
        self.ranges = Ranges()
        self.ranges.put(T, AIR, 60)
        self.ranges.put(B, COUNT, 60)
        self.recent = Recent()

    def tell(
        self,
        *rows: tuple[float, float],
        of: int = T,
        flag: Flag = Flag.NOT_EVALUATED,
        tests: Test = NO_TEST,
        now: float | None = None,
        live: bool = False,
    ) -> list[Test]:
        """Check a batch of (minutes after noon, result); return the tests that objected."""
        batch = ReadingBatch()
        for minutes, result in rows:
            batch.add(of, NOON + int(minutes * MINUTE), result, flag=flag, tests=tests)
        return [Test(bits) for bits in self.check(batch, now=now, live=live).tests]

    def check(
        self, batch: ReadingBatch, now: float | None = None, live: bool = False
    ) -> ReadingBatch:
        now_ms = max(batch.times) if now is None else NOON + int(now * MINUTE)
        check(batch, self.ranges, self.recent, now_ms=now_ms, live=live)
        return batch

    def marks(self) -> list[Mark]:
        """Take the marks, as if they had been committed."""
        marks = self.recent.marks(0)
        self.recent.marked(marks)
        return marks

    def skews(self, minute: float) -> list[Skew]:
        """Take the skews at an instant, as if they had been committed."""
        skews = self.recent.skews(NOON + int(minute * MINUTE))
        self.recent.told(skews)
        return skews


@pytest.fixture
def stream() -> Stream:
    return Stream()


def every_minute(*results: float, start: float = 0) -> list[tuple[float, float]]:
    return [(start + minute, result) for minute, result in enumerate(results)]


def test_the_present_call_knows_the_gross_range_only(stream):
    """Without a memory nothing is compared with anything."""
    batch = ReadingBatch()
    for minute, result in every_minute(20, 54, 20, 60, 200):
        batch.add(T, NOON + int(minute * MINUTE), result)

    check(batch, stream.ranges)

    assert [1, 1, 1, Flag.SUSPECT, Flag.FAIL] == list(batch.flags)


def test_a_fast_change_is_suspect(stream):
    """Six degrees in a minute are more than five; six in two minutes are not."""
    assert [NO_TEST, Test.RATE, NO_TEST] == stream.tell((0, 20), (1, 26), (3, 20))


def test_a_rate_goes_on_over_batches(stream):
    """The last Reading of a batch is the neighbour of the next one's first."""
    stream.tell((0, 20))

    assert [Test.RATE] == stream.tell((1, 26))
    assert [NO_TEST] == stream.tell((2, 26.5))


def test_jitter_of_a_fast_thing_is_no_rate(stream):
    """Half a degree within a second is no thirty degrees a minute."""
    assert [NO_TEST] * 3 == stream.tell((0, 20), (1 / 60, 20.5), (2 / 60, 20))


def test_a_spike_is_far_from_both_neighbours(stream):
    """It is flagged at once where both are in the batch; a step is none, nor a slope."""
    stream.ranges.rate[T] = np.inf

    assert [NO_TEST, Test.SPIKE, NO_TEST] == stream.tell(*every_minute(20, 40, 21))
    assert [NO_TEST] * 3 == stream.tell(*every_minute(21, 40, 41, start=3))
    assert [NO_TEST] * 3 == stream.tell(*every_minute(20, 31, 42, start=12))
    assert [NO_TEST, Test.SPIKE, NO_TEST] == stream.tell(*every_minute(20, 5, 21, start=20))


def test_the_nearer_neighbour_decides(stream):
    """Eleven above one and nine above the other: no spike, for the limit is ten."""
    stream.ranges.rate[T] = np.inf

    assert [NO_TEST] * 3 == stream.tell(*every_minute(20, 31, 22))


def test_a_spike_that_shows_one_reading_later_marks_its_day(stream):
    """Its row is stored already, so it waits for the next look at its day, soon."""
    stream.tell((0, 20), (1, 40))
    stream.marks()

    assert [Test.RATE] == stream.tell((2, 20))
    assert [Mark(T, 20_000, soon=True)] == stream.marks()


def test_a_flat_line_needs_number_and_time(stream):
    """Three equal Readings over two minutes are one, three within a minute are not."""
    assert [NO_TEST, NO_TEST, Test.FLAT, Test.FLAT] == stream.tell(*every_minute(20, 20, 20, 20))
    assert [NO_TEST] * 3 == stream.tell((5, 21), (5.4, 21), (5.9, 21))
    assert [Test.FLAT] == stream.tell((7, 21))
    assert [NO_TEST] * 2 == stream.tell((8, 21.1), (9, 21.1))


def test_a_flat_line_goes_on_over_batches(stream):
    """However the rows are cut into batches, the third is the one."""
    assert [NO_TEST] == stream.tell((0, 20))
    assert [NO_TEST] == stream.tell((1, 20))
    assert [Test.FLAT] == stream.tell((2, 20))


def test_what_rests_by_nature_is_never_flat(stream):
    """No bicycle passed all night, and that is a fact."""
    assert [NO_TEST] * 5 == stream.tell(*every_minute(0, 0, 0, 0, 0), of=B)
    assert not any(
        OBSERVED_PROPERTIES[key].flat
        for key in ("precipitation", "illuminance", "vehicle_flow", "parking_free", "battery")
    )


def test_a_redelivery_makes_no_flat_line(stream):
    """The same rows again, in the same batch or the next, are the same rows."""
    twice = [(0, 20), (0, 20), (1, 20), (0, 20), (1, 20)]

    assert [NO_TEST] * 5 == stream.tell(*twice)
    assert [NO_TEST] * 5 == stream.tell(*twice)
    assert [Test.FLAT] * 2 == stream.tell((2, 20), (2, 20))


def test_the_last_word_on_an_instant_is_the_neighbour(stream):
    """Told 20, then 40 for the same minute: 41 is near, and both words bear the same tests."""
    assert [NO_TEST, Test.RATE, Test.RATE, NO_TEST] == stream.tell(
        (0, 20), (1, 20), (1, 40), (2, 41)
    )


def test_nothing_is_compared_over_a_gap(stream):
    """Four minutes are more than three expected intervals: a new beginning."""
    assert [NO_TEST] * 3 == stream.tell((0, 20), (4, 50), (8, 20))
    assert [NO_TEST] * 2 == stream.tell((12, 20), (16, 20))
    assert [Test.RATE] == stream.tell((19, 50))


def test_rows_may_come_in_any_order_within_a_batch(stream):
    """Neighbours are neighbours in time."""
    assert [NO_TEST, Test.RATE, NO_TEST] == stream.tell((3, 20), (1, 26), (0, 20))


def test_late_rows_wait_for_the_nightly_pass(stream):
    """What lies before the newest is tested by range only, moves no memory and marks its day."""
    stream.tell((10, 20))
    stream.marks()

    assert [NO_TEST, NO_TEST] == stream.tell((5, 20), (6, 50))
    assert [NO_TEST] == stream.tell((11, 20))
    assert [NO_TEST, Test.RATE] == stream.tell((7, 20), (12, 30))


@pytest.mark.parametrize(
    ("result", "flag", "tests"),
    [
        (math.nan, Flag.MISSING, NO_TEST),
        (26, Flag.NOT_EVALUATED, Test.UNIT_UNKNOWN),
        (200, Flag.NOT_EVALUATED, NO_TEST),
    ],
)
def test_what_is_no_measurement_is_nobodys_neighbour(stream, result, flag, tests):
    """Missing, without a unit or beyond the span: those around it are compared with each other."""
    stream.tell((0, 20))
    [bits] = stream.tell((1, result), flag=flag, tests=tests)

    assert not bits & (Test.RATE | Test.SPIKE | Test.FLAT)
    assert [NO_TEST] == stream.tell((2, 20.5))
    assert [Test.RATE] == stream.tell((3, 26))


def test_the_worst_flag_wins_and_bits_stand_beside_it(stream):
    """A row that several tests object to says so; none makes a flag better."""
    batch = ReadingBatch()
    batch.add(T, NOON, 20, flag=Flag.SUSPECT, tests=Test.SOURCE)
    batch.add(T, NOON + MINUTE, 60)
    batch.add(T, NOON + 2 * MINUTE, 20)
    stream.check(batch)

    assert [Flag.SUSPECT] * 3 == list(batch.flags)
    assert [
        Test.SOURCE,
        Test.PLAUSIBLE | Test.RATE | Test.SPIKE,
        Test.RATE,
    ] == [Test(bits) for bits in batch.tests]


def test_results_never_change(stream):
    """Flags change, results never."""
    batch = ReadingBatch()
    for minute, result in every_minute(20, 60, 20, 200):
        batch.add(T, NOON + int(minute * MINUTE), result)

    stream.check(batch)

    assert [20, 60, 20, 200] == list(batch.results)


def test_datastreams_do_not_mind_each_other(stream):
    """Rows of many Datastreams, mixed as they come, are as many series."""
    stream.ranges.put(3_000, AIR, 60)
    batch = ReadingBatch()
    for minute in range(3):
        batch.add(T, NOON + minute * MINUTE, 20 + minute)
        batch.add(3_000, NOON + minute * MINUTE, 50 - minute)
        batch.add(B, NOON + minute * MINUTE, 0)
    stream.check(batch)

    assert [Flag.GOOD] * 9 == list(batch.flags)


def test_a_day_is_marked_when_it_begins_and_while_it_goes_on(stream):
    """Each day of a Datastream with such tests is marked once, and again after a while."""
    stream.tell((0, 20), (1, 21))
    assert [Mark(T, 20_000)] == stream.marks()
    stream.tell((2, 20))
    assert [] == stream.marks()
    stream.tell((3, 21), now=1 + REMARK_MS / MINUTE)
    assert [Mark(T, 20_000)] == stream.marks()
    stream.tell((719, 20), (721, 20), now=722)
    assert [Mark(T, 20_000), Mark(T, 20_001)] == stream.marks()
    stream.tell((0, 1), of=B)
    assert [] == stream.marks()


def test_a_mark_that_became_urgent_is_not_lost(stream):
    """What was committed before it became urgent is to be committed again."""
    stream.tell((0, 20), (1, 40))
    marks = stream.recent.marks(0)
    stream.tell((2, 20))
    stream.recent.marked(marks)

    assert [Mark(T, 20_000, soon=True)] == stream.marks()


def tell_late(stream: Stream, lag_min: float, n: int, start: int = 0) -> list[Test]:
    """Let a Thing speak every minute whose newest Reading is always so late."""
    told: list[Test] = []
    for minute in range(start, start + n):
        row = (minute - lag_min, 20 + minute % 2)
        told += stream.tell(row, now=minute, live=True)
    return told


def test_a_clock_that_runs_behind_is_skewed(stream):
    """Once enough was heard, Readings that arrive an hour late are suspect for their time."""
    told = tell_late(stream, 60, ENOUGH_SAMPLES + 2)

    assert [NO_TEST] * (ENOUGH_SAMPLES - 1) + [Test.SKEWED] * 3 == told
    [skew] = stream.skews(60)
    assert (T, 3_600.0, ENOUGH_SAMPLES + 2) == skew[:3]


def test_delivery_is_not_skew(stream):
    """What arrives within three expected intervals and two minutes is late, not wrong."""
    assert [NO_TEST] * 20 == tell_late(stream, 4.9, 20)
    [skew] = stream.skews(60)
    assert pytest.approx(294.0) == skew.lag_s


def test_the_median_forgives_outliers_and_a_clock_may_be_set_right(stream):
    """A single delay says nothing; a clock that was corrected is trusted again by and by."""
    tell_late(stream, 0, 9)
    assert [NO_TEST] == tell_late(stream, 0, 1, start=60)
    tell_late(stream, 60, 20, start=200)
    told = tell_late(stream, 0, 20, start=300)

    assert Test.SKEWED in told
    assert NO_TEST == told[-1]


def test_skew_is_learned_from_live_messages_only(stream):
    """A backlog, a replay or history is late for other reasons; a repeated time says nothing."""
    for minute in range(20):
        stream.tell((minute - 60, 20 + minute % 2), now=minute)
    for minute in range(20, 40):
        stream.tell((-41, 20), now=minute, live=True)

    assert [] == stream.skews(60)


def test_skew_is_sampled_and_told_once_a_minute(stream):
    """However fast a Thing speaks, and only what moved is told again."""
    for second in range(0, 600, 10):
        stream.tell((second / 60, 20 + second % 20), now=second / 60, live=True)

    [skew] = stream.skews(10)
    assert 10 == skew.samples
    assert [] == stream.skews(11)


def test_a_skew_that_was_not_kept_is_told_again(stream):
    """A settlement that failed loses nothing but a minute."""
    tell_late(stream, 4, ENOUGH_SAMPLES)

    lost = stream.recent.skews(NOON + 10 * MINUTE)
    assert [] == stream.skews(10.5)
    assert [one[:3] for one in lost] == [one[:3] for one in stream.skews(11)]
    assert [] == stream.skews(12)


def test_memory_grows_with_numbers(stream):
    """A Datastream far beyond the others finds its room, and the others keep what they know."""
    stream.tell((0, 20))
    stream.ranges.put(70_000, AIR, 60)
    stream.tell((0, 20), of=70_000)

    assert [Test.RATE] == stream.tell((1, 30))
    assert [Test.RATE] == stream.tell((1, 30), of=70_000)


def test_parameters_tell_all_that_the_tests_go_by():
    """What is kept with a version suffices to repeat its judgement."""
    told = parameters()["properties"]

    assert isinstance(told, dict)
    assert set(OBSERVED_PROPERTIES) == set(told)
    assert {
        "span": [-80, 150],
        "plausible": [-40, 55],
        "spike": 10,
        "rate_per_minute": 5,
        "flat": {"n": 12, "lasting_s": 43_200.0, "within": 1e-9},
    } == told["temperature"]


Rows = list[tuple[float, float]]
ROWS = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([20.0, 20.0, 24.0, 31.0, 45.0])),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row[0],
)


def by_hand(rows: Rows) -> list[Test]:
    """Judge a series row by row, as the design words it; spikes included."""
    found = [NO_TEST] * len(rows)
    for at, (time, result) in enumerate(rows):
        near = at > 0 and time - rows[at - 1][0] <= 3
        if near and abs(result - rows[at - 1][1]) > 5 * (time - rows[at - 1][0]):
            found[at] |= Test.RATE
        run = at
        while run > 0 and rows[run][0] - rows[run - 1][0] <= 3 and rows[run - 1][1] == result:
            run -= 1
        if at - run + 1 >= 3 and time - rows[run][0] >= 2:
            found[at] |= Test.FLAT
        if near and at + 1 < len(rows) and rows[at + 1][0] - time <= 3:
            back, on = result - rows[at - 1][1], result - rows[at + 1][1]
            if back * on > 0 and min(abs(back), abs(on)) > 10:
                found[at] |= Test.SPIKE
    return found


def cut(rows: Rows, sizes: Iterable[int]) -> Iterable[Rows]:
    start = 0
    for size in sizes:
        yield rows[start : start + size]
        start += size
    yield rows[start:]


@given(ROWS)
def test_a_batch_is_judged_as_by_hand(rows):
    """Columns or rows, the same tests object."""
    rows = sorted(rows)

    assert by_hand(rows) == Stream().tell(*rows)


@given(ROWS, st.lists(st.integers(1, 5), max_size=10))
def test_how_rows_are_cut_into_batches_does_not_matter(rows, sizes):
    """But for spikes that show one Reading later: those are marked instead."""
    rows, stream = sorted(rows), Stream()
    told: list[Test] = []
    for some in cut(rows, sizes):
        told += stream.tell(*some) if some else []

    expected = by_hand(rows)
    assert [bits & ~Test.SPIKE for bits in expected] == [bits & ~Test.SPIKE for bits in told]
    unseen = any(known & ~one & Test.SPIKE for known, one in zip(expected, told, strict=True))
    assert unseen == any(one.soon for one in stream.marks())
