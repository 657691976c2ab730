"""Rechecking: what the tests think of a day once it came to rest, with both neighbours of each row.

Whoever records marks each (Datastream, day) that receives anything. A mark ripens a quarter of an
hour after the last row; then the day is judged as if its rows had come one after the other, with
what lies before and after it, and only flags that differ are written. So late rows, restarts and
spikes that showed one Reading later come out as if nothing had happened.

**Which version judged a Reading?** The history of versions is dated. When it changes, every
Datastream is judged again as a whole, little by little, and then says so: all its Readings bear
that version at least, and those that came since a later version began bear that.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from livinglab.domain.observed_properties import OBSERVED_PROPERTIES, ObservedProperty
from livinglab.domain.quality import DAY_MS, Mark, QualityVersion
from livinglab.domain.readings import (
    NO_TEST,
    Flag,
    Interval,
    Reading,
    ReadingBatch,
    Test,
    from_ms,
    to_ms,
)
from livinglab.domain.things import Datastream
from livinglab.ports import CivicStore, ReadingStore, UnitOfWork
from livinglab.services.checking import REMARK_MS, VERSION, Ranges, Recent, check, parameters
from livinglab.services.watching import DEFAULT_INTERVAL_S, STALE_INTERVALS

RIPE_AFTER = timedelta(milliseconds=REMARK_MS) + timedelta(minutes=5)
"""A day rests when nothing marked it for so long; longer than recorders wait to mark it again."""
OURS = Test.SPAN | Test.PLAUSIBLE | Test.SPIKE | Test.RATE | Test.FLAT
"""Tests that a series can repeat; what the others found at the door stays."""
FIRST_VERSION = 1
"""By which everything was judged that says nothing else."""
MOST_LEAD = timedelta(days=7)
"""How far before a day its flat lines may begin to be told."""
LONGEST = timedelta(days=31)
"""What is judged at once."""
EARLIEST = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
"""Nothing older is ever recorded."""
SLICE = 20_000
"""Rows whose flags are written at once."""


def note_version(work: UnitOfWork, now: datetime) -> bool:
    """Keep version and parameters of the tests, dated, if they are not those of the last time."""
    known, told = work.quality.versions(), parameters()
    if known and (known[-1].version, dict(known[-1].parameters)) == (VERSION, told):
        return False
    work.quality.add_version(QualityVersion(version=VERSION, since=now, parameters=told))
    return True


def recheck_due(civic: CivicStore, readings: ReadingStore, now: datetime) -> int:
    """Judge the days that came to rest or have a flag to get; count the flags that changed.

    Raises:
        StoreUnavailableError: What is not done is due the next time.
    """
    ripe_ms, changed = to_ms(now - RIPE_AFTER), 0
    with civic.work(write=False) as work:
        known = {one.number or 0: one for one in work.things.datastreams()}
    while True:
        with civic.work(write=False) as work:
            due = work.quality.due(ripe_ms)
        if not due:
            return changed
        for number, days in _spans(due):
            changed += judge(known[number], days, readings) if number in known else 0
        with civic.work() as work:
            work.quality.seen(due, ripe_ms)


def redo_version(civic: CivicStore, readings: ReadingStore, *, most: int = 100) -> int:
    """Judge some Datastreams anew that an earlier version judged; count those that are left.

    Raises:
        StoreUnavailableError: What is not done is done the next time.
    """
    with civic.work(write=False) as work:
        judged = work.quality.judged()
        behind = [
            one
            for one in work.things.datastreams()
            if judged.get(one.number or 0, FIRST_VERSION) < VERSION
        ]
    ends = readings.latest(one.number or 0 for one in behind)
    for one in behind[:most]:
        number = one.number or 0
        if number in ends:
            _judge_all(one, ends[number].time, readings)
        with civic.work() as work:
            work.quality.note_judged(number, VERSION)
    return max(0, len(behind) - most)


def _judge_all(one: Datastream, last: datetime, readings: ReadingStore) -> None:
    """Judge a whole series, from its first Reading on; gaps of any length cost one question."""
    start, end = EARLIEST, last + timedelta(milliseconds=1)
    while first := readings.between(one.number or 0, Interval(start, end), limit=1):
        start = first[0].time
        upto = min(start + LONGEST, end)
        judge(one, Interval(start, upto), readings)
        start = upto


def _spans(due: Sequence[Mark]) -> Iterable[tuple[int, Interval]]:
    """Join days that follow each other, a month at the most."""
    most, start = LONGEST // timedelta(days=1), 0
    for at in range(1, len(due) + 1):
        first = due[start]
        joined = at < len(due) and at - start < most
        if joined and due[at][:2] == (first.datastream, first.day + at - start):
            continue
        end = first.day + at - start
        yield first.datastream, Interval(from_ms(first.day * DAY_MS), from_ms(end * DAY_MS))
        start = at


def judge(one: Datastream, interval: Interval, readings: ReadingStore) -> int:
    """Judge the Readings of a Datastream in an Interval anew; count the flags that changed.

    Raises:
        StoreUnavailableError: Some flags may have changed; the same call may be made again.
    """
    observed_property = OBSERVED_PROPERTIES[one.observed_property]
    gap = STALE_INTERVALS * timedelta(seconds=one.interval_s or DEFAULT_INTERVAL_S)
    lead = min(_lead(observed_property, gap), MOST_LEAD)
    around = Interval(interval.start - lead, interval.end + min(gap, MOST_LEAD))
    rows = readings.between(one.number or 0, around)
    batch = judged(rows, observed_property, one.interval_s)
    differ = [
        row
        for row, stored in enumerate(rows)
        if stored.time in interval
        and (batch.flags[row], batch.tests[row]) != (stored.flag, stored.tests)
    ]
    return sum(
        readings.reflag(_some(batch, differ[start : start + SLICE], one.number or 0))
        for start in range(0, len(differ), SLICE)
    )


def _lead(observed_property: ObservedProperty, gap: timedelta) -> timedelta:
    """Return how much before a row its tests look at."""
    flat = observed_property.flat
    if flat is None:
        return gap
    return max(timedelta(seconds=flat.lasting_s) + gap, flat.n * gap)


def judged(
    rows: Sequence[Reading], observed_property: ObservedProperty, interval_s: float | None
) -> ReadingBatch:
    """Return what the tests think of a series, oldest first, that nothing precedes.

    The batch bears the number 0, for columns of a large number would cost more than the tests.
    """
    batch = ReadingBatch()
    for row in rows:
        flag, tests = _at_the_door(row)
        batch.add(0, to_ms(row.time), row.result, flag=flag, tests=tests)
    ranges = Ranges()
    ranges.put(0, observed_property, interval_s)
    check(batch, ranges, Recent())
    return batch


def _at_the_door(row: Reading) -> tuple[Flag, Test]:
    """Return what was known of a row before any test of a series."""
    if row.flag is Flag.MISSING or row.tests & Test.UNIT_UNKNOWN:
        return row.flag, row.tests
    kept = row.tests & ~OURS
    return (Flag.NOT_EVALUATED if kept == NO_TEST else Flag.SUSPECT), kept


def _some(batch: ReadingBatch, rows: Sequence[int], datastream: int) -> ReadingBatch:
    found = ReadingBatch()
    for row in rows:
        found.add(
            datastream,
            batch.times[row],
            batch.results[row],
            flag=batch.flags[row],
            tests=batch.tests[row],
        )
    return found
