"""Checking: what the lab thinks of Readings. Flags change, results never.

A batch is judged on its way to the store, by what it holds and by what `Recent` remembers of each
Datastream. A spike shows only when the next Reading is there: within a batch it is flagged at once,
else its day is marked, and `rechecking` sees to it. So is every day that anything arrived for, once
it came to rest: late rows, restarts and gaps in memory cost a test its time, never its result.

What is missing, has no known unit or fails its span is neither tested nor anybody's neighbour.
Beyond three expected intervals nobody is a neighbour at all.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from livinglab.domain.observed_properties import OBSERVED_PROPERTIES, ObservedProperty
from livinglab.domain.quality import DAY_MS, Mark, Skew
from livinglab.domain.readings import Flag, ReadingBatch, Test
from livinglab.services.watching import DEFAULT_INTERVAL_S, STALE_INTERVALS

VERSION = 2
"""Of the tests and their parameters; 1 was the gross range alone. Raise it with any change."""
SKEW_TOLERANCE_MS = 120_000
"""So much later than a stale Reading may be, a new one is skewed. [ms]"""
SKEW_SAMPLES, ENOUGH_SAMPLES = 16, 8
"""How many arrivals of a Datastream the skew is the median of, and how many it needs."""
SAMPLE_EVERY_MS = 60_000
"""One arrival of a Datastream is sampled so often at the most. [ms]"""
REMARK_MS = 600_000
"""A day that goes on receiving Readings is marked again so often. [ms]"""
SHORTEST_MS = 60_000
"""A change within less time counts as if it took so long: jitter is no rate. [ms]"""

_EVERYTHING = (-np.inf, np.inf)
_NEVER = -(1 << 60)
_TOLD_S = 5.0
"""A skew that moved less since it was told is not told again. [s]"""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Numbers = NDArray[np.int32]


class _ByNumber:
    """Columns indexed by a Datastream's number, grown as numbers come."""

    columns: ClassVar[dict[str, tuple[type[np.generic], float]]]
    """Name → type, and what stands where nothing is known."""
    widths: ClassVar[dict[str, int]] = {}
    """Name → how many a Datastream has, where it is not one."""

    def __init__(self) -> None:
        self._size = 0
        self.make_room(0)

    def make_room(self, number: int) -> None:
        """Let a number be an index of every column."""
        if number < self._size:
            return
        size = max(number + 1, 2 * self._size, 1_024)
        for name, (dtype, fill) in self.columns.items():
            shape = (size, self.widths[name]) if name in self.widths else size
            grown = np.full(shape, fill, dtype=dtype)
            if self._size:
                grown[: self._size] = getattr(self, name)
            setattr(self, name, grown)
        self._size = size


class Ranges(_ByNumber):
    """What each Datastream can and may plausibly show, and how it may change."""

    columns: ClassVar = {
        "span_low": (np.float64, -np.inf),
        "span_high": (np.float64, np.inf),
        "low": (np.float64, -np.inf),
        "high": (np.float64, np.inf),
        "testable": (np.bool_, False),
        "serial": (np.bool_, False),
        "gap_ms": (np.int64, STALE_INTERVALS * DEFAULT_INTERVAL_S * 1_000),
        "spike": (np.float64, np.inf),
        "rate": (np.float64, np.inf),
        "flat_within": (np.float64, -1),
        "flat_n": (np.int64, 0),
        "flat_ms": (np.int64, 0),
    }
    span_low: Floats
    span_high: Floats
    low: Floats
    high: Floats
    testable: Booleans
    """Whether any test exists."""
    serial: Booleans
    """Whether any test looks at neighbours."""
    gap_ms: Integers
    """Farther apart, Readings are no neighbours. [ms]"""
    spike: Floats
    rate: Floats
    """[unit per ms]"""
    flat_within: Floats
    """-1: no flat line exists."""
    flat_n: Integers
    flat_ms: Integers

    def put(
        self, number: int, observed_property: ObservedProperty, interval_s: float | None = None
    ) -> None:
        """Enter one Datastream.

        Args:
            number: Of the Datastream.
            observed_property: Whose parameters hold for it.
            interval_s: How often a Reading is expected; None: nobody knows. [s]
        """
        self.make_room(number)
        known, flat = observed_property, observed_property.flat
        self.span_low[number], self.span_high[number] = known.span or _EVERYTHING
        self.low[number], self.high[number] = known.plausible or _EVERYTHING
        self.testable[number] = bool(known.span or known.plausible)
        self.gap_ms[number] = STALE_INTERVALS * (interval_s or DEFAULT_INTERVAL_S) * 1_000
        self.spike[number] = np.inf if known.spike is None else known.spike
        self.rate[number] = np.inf if known.rate is None else known.rate / 60_000
        self.flat_within[number] = flat.within if flat else -1
        self.flat_n[number] = flat.n if flat else 0
        self.flat_ms[number] = flat.lasting_s * 1_000 if flat else 0
        self.serial[number] = bool(flat) or known.spike is not None or known.rate is not None


class Recent(_ByNumber):
    """What one stream of batches last told of each Datastream; for the thread that checks it."""

    columns: ClassVar = {
        "time": (np.int64, _NEVER),
        "result": (np.float64, np.nan),
        "step": (np.float64, np.nan),
        "since": (np.int64, 0),
        "run": (np.int64, 0),
        "marked_day": (np.int64, _NEVER),
        "marked_at": (np.int64, _NEVER),
        "sampled_at": (np.int64, _NEVER),
        "samples": (np.int64, 0),
        "lag_ms": (np.float64, np.nan),
        "told_s": (np.float64, np.inf),
        "lags": (np.float64, np.inf),
    }
    widths: ClassVar = {"lags": SKEW_SAMPLES}
    time: Integers
    """Of the newest Reading. [ms since 1970 UTC]"""
    result: Floats
    step: Floats
    """By how much it differs from the one before; NaN where that is no neighbour."""
    since: Integers
    """When the results that equal it began. [ms since 1970 UTC]"""
    run: Integers
    """How many they are."""
    marked_day: Integers
    marked_at: Integers
    sampled_at: Integers
    samples: Integers
    lag_ms: Floats
    told_s: Floats
    lags: Floats

    def __init__(self) -> None:
        """Begin without any memory."""
        super().__init__()
        self._marks: dict[tuple[int, int], bool] = {}
        self._asked_at = _NEVER

    def marks(self, now_ms: int) -> list[Mark]:
        """List the days that are to be marked, and are not yet."""
        return [Mark(*key, soon, now_ms) for key, soon in self._marks.items()]

    def marked(self, marks: Iterable[Mark]) -> None:
        """Note that days are marked, durably."""
        for one in marks:
            if self._marks.get((one.datastream, one.day)) == one.soon:
                del self._marks[one.datastream, one.day]

    def skews(self, now_ms: int) -> list[Skew]:
        """List the skews that moved since they were told; once a minute, else none."""
        if now_ms - self._asked_at < SAMPLE_EVERY_MS:
            return []
        self._asked_at = now_ms
        lags = self.lag_ms / 1_000
        moved = np.flatnonzero(
            (self.samples >= ENOUGH_SAMPLES) & ~(np.abs(lags - self.told_s) < _TOLD_S)
        )
        counts = np.minimum(self.samples[moved], SKEW_SAMPLES)
        facts = zip(moved.tolist(), lags[moved].tolist(), counts.tolist(), strict=True)
        return [Skew(number, lag, n, now_ms) for number, lag, n in facts]

    def told(self, skews: Iterable[Skew]) -> None:
        """Note that skews are kept, durably."""
        for one in skews:
            self.told_s[one.datastream] = one.lag_s

    def mark(self, series: "_Series", ranges: Ranges, now_ms: int) -> None:
        """Mark the days of rows that were not marked of late."""
        numbers = series.datastream[series.firsts]
        day = self.marked_day[numbers]
        first, last = series.time[series.firsts] // DAY_MS, series.time[series.lasts] // DAY_MS
        need = (first != day) | (last != day) | (now_ms - self.marked_at[numbers] >= REMARK_MS)
        need &= ranges.serial[numbers]
        if not need.any():
            return
        rows = np.repeat(need, series.lasts - series.firsts + 1)
        days = np.stack([series.datastream[rows], series.time[rows] // DAY_MS], axis=1)
        fresh = np.ones(len(days), dtype=np.bool_)
        fresh[1:] = (days[1:] != days[:-1]).any(axis=1)
        for number, one in days[fresh].tolist():
            self._marks.setdefault((number, one), False)
        self.marked_day[numbers[need]] = last[need]
        self.marked_at[numbers[need]] = now_ms

    def mark_soon(self, numbers: Numbers) -> None:
        """Mark the day of the newest Reading of some Datastreams: it has a flag to get."""
        for number, day in zip(
            numbers.tolist(), (self.time[numbers] // DAY_MS).tolist(), strict=True
        ):
            self._marks[number, day] = True

    def sample(self, numbers: Numbers, times: Integers, now_ms: int) -> None:
        """Note how late the newest rows of some Datastreams arrived."""
        due = now_ms - self.sampled_at[numbers] >= SAMPLE_EVERY_MS
        if not due.any():
            return
        numbers = numbers[due]
        self.lags[numbers, self.samples[numbers] % SKEW_SAMPLES] = now_ms - times[due]
        self.samples[numbers] += 1
        self.sampled_at[numbers] = now_ms
        held = np.sort(self.lags[numbers], axis=1)  # what is not there yet sorts last
        n = np.minimum(self.samples[numbers], SKEW_SAMPLES)
        row = np.arange(len(numbers))
        self.lag_ms[numbers] = (held[row, (n - 1) // 2] + held[row, n // 2]) / 2

    def skewed(self, numbers: Numbers, ranges: Ranges) -> Booleans:
        """Tell of which Datastreams even the newest Readings are too old when they arrive.

        A Reading may be told once its interval is over, or with others: what arrives before it
        would be served as stale is late, not skewed. Of clocks that are ahead nothing comes here,
        because what lies in the future is quarantined.
        """
        late = self.lag_ms[numbers] > ranges.gap_ms[numbers] + SKEW_TOLERANCE_MS
        told: Booleans = late & (self.samples[numbers] >= ENOUGH_SAMPLES)
        return told


@dataclass(slots=True)
class _Series:
    """Rows of a batch by Datastream and time, each instant once."""

    datastream: Numbers
    time: Integers
    """[ms since 1970 UTC]"""
    result: Floats
    heads: Booleans
    """Which rows are the first of their Datastream."""
    firsts: Integers
    """Index of the first row of each Datastream."""
    lasts: Integers

    @classmethod
    def of(cls, datastreams: Numbers, times: Integers, results: Floats) -> "_Series":
        heads = np.ones(len(times), dtype=np.bool_)
        np.not_equal(datastreams[1:], datastreams[:-1], out=heads[1:])
        firsts = np.flatnonzero(heads)
        lasts = np.append(firsts[1:], len(times)) - 1
        return cls(datastreams, times, results, heads, firsts, lasts)

    def take(self, rows: Booleans) -> "_Series":
        return type(self).of(self.datastream[rows], self.time[rows], self.result[rows])


def check(
    batch: ReadingBatch,
    ranges: Ranges,
    recent: Recent | None = None,
    *,
    now_ms: int = 0,
    live: bool = False,
) -> None:
    """Test every row that can be tested, once, batch after batch in order of arrival.

    Gross range first: outside the span of such instruments fails; outside what is plausible is
    suspect; small negative particle results lie inside on purpose. Then, with a memory, what takes
    neighbours: rate of change, flat line, spike. A missing result, and one whose unit is unknown,
    stay as they are. The aggregate is the worst of all tests, those of the door included.

    Args:
        batch: Whose flags and tests change.
        ranges: What holds for each Datastream.
        recent: What came before in the same stream; it learns the batch. None: gross range only.
        now_ms: When the batch is here. [ms since 1970 UTC]
        live: Whether its rows came as soon as they could: no backlog, no replay, no history.

    References:
        QARTOD, Manual for Real-Time Quality Control of In-Situ Temperature and Salinity Data,
        version 2.1, tests 4 (gross range), 6 (spike), 7 (rate of change) and 8 (flat line),
        U.S. IOOS, 2020. A spike is told by the nearer of both neighbours, not by their mean.
    """
    if not len(batch):
        return
    datastreams = np.frombuffer(batch.datastreams, dtype=np.int32)
    results = np.frombuffer(batch.results)
    flags = np.frombuffer(batch.flags, dtype=np.uint8)
    tests = np.frombuffer(batch.tests, dtype=np.uint16)
    outside = (results < ranges.low[datastreams]) | (results > ranges.high[datastreams])
    beyond = (results < ranges.span_low[datastreams]) | (results > ranges.span_high[datastreams])
    able = (flags != Flag.MISSING) & ((tests & Test.UNIT_UNKNOWN) == 0)
    able &= ranges.testable[datastreams]
    flags[able & (flags == Flag.NOT_EVALUATED)] = Flag.GOOD
    _object(np.flatnonzero(able & outside), Flag.SUSPECT, Test.PLAUSIBLE, flags, tests)
    _object(np.flatnonzero(able & beyond), Flag.FAIL, Test.SPAN, flags, tests)
    if recent is None:
        return
    rows = np.flatnonzero(able & (flags < Flag.FAIL))
    if len(rows):
        times = np.frombuffer(batch.times, dtype=np.int64)[rows]
        rows, bits = _with_neighbours(
            rows, datastreams[rows], times, results, ranges, recent, now_ms=now_ms, live=live
        )
        tests[rows] |= bits
        flags[rows] = np.maximum(flags[rows], np.uint8(Flag.SUSPECT))


def _object(
    rows: Integers,
    flag: Flag,
    test: Test,
    flags: NDArray[np.uint8],
    tests: NDArray[np.uint16],
) -> None:
    """Lower the flags of some rows, and say which test did it."""
    if len(rows):
        flags[rows] = np.maximum(flags[rows], np.uint8(flag))
        tests[rows] |= np.uint16(test)


def _with_neighbours(
    rows: Integers,
    datastreams: Numbers,
    times: Integers,
    results: Floats,
    ranges: Ranges,
    recent: Recent,
    *,
    now_ms: int,
    live: bool,
) -> tuple[Integers, NDArray[np.uint16]]:
    """Return the rows that a test with neighbours objects to, and which tests; learn them all."""
    recent.make_room(int(datastreams.max()))
    order = _in_order(datastreams, times)
    rows, datastreams, times = rows[order], datastreams[order], times[order]
    again = (datastreams[1:] == datastreams[:-1]) & (times[1:] == times[:-1])
    last = np.append(~again, True)  # of several words on an instant the last one counts
    words = np.cumsum(np.append(True, ~again)) - 1 if again.any() else None
    series = _Series.of(datastreams[last], times[last], results[rows[last]])
    recent.mark(series, ranges, now_ms)
    bits = np.zeros(len(series.time), dtype=np.uint16)
    late = series.time <= recent.time[series.datastream]
    if late.any():
        if not late.all():
            bits[~late] = _judge(series.take(~late), ranges, recent, now_ms=now_ms, live=live)
    else:
        bits = _judge(series, ranges, recent, now_ms=now_ms, live=live)
    bits[recent.skewed(series.datastream, ranges)] |= np.uint16(Test.SKEWED)
    if words is not None:
        bits = bits[words]
    objected = np.flatnonzero(bits)
    return rows[objected], bits[objected]


def _in_order(datastreams: Numbers, times: Integers) -> Integers:
    """Return the rows by Datastream, time and arrival."""
    first = int(times.min())
    if int(times.max()) - first < 1 << 40:  # 34 years: both fit one number, sorted in half the time
        folded = (datastreams.astype(np.int64) << 40) | (times - first)
        if (folded[1:] >= folded[:-1]).all():
            return np.arange(len(times))
        return np.argsort(folded, kind="stable")
    return np.lexsort((times, datastreams))


def _judge(
    series: _Series, ranges: Ranges, recent: Recent, *, now_ms: int, live: bool
) -> NDArray[np.uint16]:
    """Return the tests that object to each row, all of them later than what is remembered."""
    numbers, time, heads = series.datastream, series.time, series.heads
    at, own = series.firsts, numbers[series.firsts]
    step, apart = np.empty(len(time)), np.empty(len(time), dtype=np.int64)
    step[1:], apart[1:] = series.result[1:] - series.result[:-1], time[1:] - time[:-1]
    step[at], apart[at] = series.result[at] - recent.result[own], time[at] - recent.time[own]
    step[apart > ranges.gap_ms[numbers]] = np.nan  # nothing is compared over a gap
    size = np.abs(step)
    bits = np.zeros(len(time), dtype=np.uint16)
    bits[size > ranges.rate[numbers] * np.maximum(apart, SHORTEST_MS)] = Test.RATE
    spike = ranges.spike[numbers]
    there_and_back = _opposite(step[:-1], step[1:], spike[:-1]) & ~heads[1:]
    bits[:-1][there_and_back] |= np.uint16(Test.SPIKE)
    recent.mark_soon(own[_opposite(recent.step[own], step[at], spike[at])])
    run, since = _runs(series, size <= ranges.flat_within[numbers], recent)
    flat = (run >= ranges.flat_n[numbers]) & (time - since >= ranges.flat_ms[numbers])
    bits[flat & (ranges.flat_n[numbers] > 0)] |= np.uint16(Test.FLAT)
    ends = numbers[series.lasts]
    columns = {"time": time, "result": series.result, "step": step, "since": since, "run": run}
    for name, column in columns.items():
        getattr(recent, name)[ends] = column[series.lasts]
    if live:
        recent.sample(ends, time[series.lasts], now_ms)
    return bits


def _opposite(steps: Floats, nexts: Floats, spike: Floats) -> Booleans:
    """Tell where two steps lead there and back, each farther than a spike may."""
    far = np.minimum(np.abs(steps), np.abs(nexts)) > spike
    found: Booleans = far & ((steps > 0) != (nexts > 0))
    return found


def _runs(series: _Series, same: Booleans, recent: Recent) -> tuple[Integers, Integers]:
    """Count the equal results that each row ends, and tell since when they last."""
    index = np.arange(len(same))
    starts = np.maximum.accumulate(np.where(same & ~series.heads, 0, index))
    known = same & series.heads
    before = np.where(known, recent.run[series.datastream], 0)
    since = np.where(known, recent.since[series.datastream], series.time)
    return index - starts + 1 + before[starts], since[starts]


def parameters() -> dict[str, object]:
    """Return what the tests go by, to be kept with their version."""
    return {
        "gap_intervals": STALE_INTERVALS,
        "shortest_ms": SHORTEST_MS,
        "skew_tolerance_ms": SKEW_TOLERANCE_MS,
        "skew_samples": [ENOUGH_SAMPLES, SKEW_SAMPLES],
        "properties": {one.key: _told(one) for one in OBSERVED_PROPERTIES.values()},
    }


def _told(one: ObservedProperty) -> dict[str, object]:
    flat = one.flat
    return {
        "span": one.span and list(one.span),
        "plausible": one.plausible and list(one.plausible),
        "spike": one.spike,
        "rate_per_minute": one.rate,
        "flat": flat and {"n": flat.n, "lasting_s": flat.lasting_s, "within": flat.within},
    }
