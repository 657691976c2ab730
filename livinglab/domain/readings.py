"""Readings: one result at one instant, and the columns that carry thousands of them.

A Reading is an object at the edges only. In the stream it is a row of a ReadingBatch. What a
source said is never changed: flags say what the lab thinks of it.
"""

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, IntEnum, IntFlag
from typing import NamedTuple

from livinglab.domain.geometry import Point

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(time: datetime) -> int:
    """Count milliseconds since 1970 UTC of an aware time, rounding down. [ms]"""
    return (time - EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    """Return the aware UTC time of milliseconds since 1970."""
    return EPOCH + timedelta(milliseconds=ms)


class Flag(IntEnum):
    """What the lab thinks of a Reading: the QARTOD numbers; the worst test decides."""

    GOOD = 1
    """At least one test ran and none objected."""
    NOT_EVALUATED = 2
    """No test could run: none exists for the property, or the unit is unknown."""
    SUSPECT = 3
    FAIL = 4
    MISSING = 9
    """The source said that it has no value. The result is NaN."""


class Test(IntFlag):
    """The tests that objected, as bits beside the Flag. Values are stored: never renumber."""

    SPAN = 1
    """Outside what such a sensor can output: fail."""
    PLAUSIBLE = 2
    """Outside what the property plausibly reaches: suspect."""
    TIME_UNCERTAIN = 4
    """No time of its own, and it came out of a backlog: suspect."""
    CONFLICT = 8
    """The same instant was told with another value before: suspect."""
    UNIT_UNKNOWN = 16
    """No unit is known, so nothing could be compared: not evaluated."""
    SPIKE = 32
    RATE = 64
    FLAT = 128
    SKEWED = 256
    SOURCE = 512
    """The source itself doubts its value."""


NO_TEST = Test(0)
Test.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it by its name


class TimeSource(Enum):
    """Whose clock a Reading's time comes from."""

    PAYLOAD = "payload"
    NETWORK = "network"
    RECEIVED = "received"


class Aggregation(Enum):
    """How the Readings of a property become one number per period."""

    MEAN = "mean"
    ENERGY_MEAN = "energy_mean"
    """10·log10(mean(10^(L/10))), for sound levels."""
    CIRCULAR_MEAN = "circular_mean"
    """The direction of the mean unit vector, for degrees."""
    SUM = "sum"
    """For counts per interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A half-open span of time: the start belongs to it, the end does not."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Refuse naive times and an end before the start."""
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("an Interval needs aware times")
        if self.end < self.start:
            raise ValueError(f"an Interval cannot end ({self.end}) before it starts ({self.start})")

    def __contains__(self, time: object) -> bool:
        """Tell whether an aware time lies inside."""
        return isinstance(time, datetime) and self.start <= time < self.end

    @property
    def start_ms(self) -> int:
        """The first millisecond inside. [ms since 1970 UTC]"""
        return to_ms(self.start)

    @property
    def end_ms(self) -> int:
        """The first millisecond after. [ms since 1970 UTC]"""
        return to_ms(self.end)


class Reading(NamedTuple):
    """One result of one Datastream at one instant."""

    datastream: int
    time: datetime
    result: float
    """In the property's unit; NaN where the Flag is MISSING."""
    flag: Flag
    tests: Test = NO_TEST
    raw: float | None = None
    """The source's own number, where conversion changed it."""
    place: int | None = None
    """Number of the Place, for a moving Thing only."""
    point: Point | None = None
    """Position at that instant, for a moving Thing only."""


@dataclass(slots=True)
class Spot:
    """Where a moving Thing was at one row of a batch."""

    place: int | None
    point: Point


@dataclass(slots=True)
class ReadingBatch:
    """Columns of equal length, one row per Reading, in order of arrival.

    ``numpy.frombuffer`` views them without copying; while such a view lives, rows cannot be
    added, so check after the last row.
    """

    datastreams: "array[int]" = field(default_factory=lambda: array("i"))
    """Datastream numbers. [int32]"""
    times: "array[int]" = field(default_factory=lambda: array("q"))
    """Instants. [ms since 1970 UTC, int64]"""
    results: "array[float]" = field(default_factory=lambda: array("d"))
    """Results in the property's unit; NaN is missing. [float64]"""
    raws: "array[float]" = field(default_factory=lambda: array("d"))
    """The source's own numbers where conversion changed them, else NaN. [float64]"""
    flags: "array[int]" = field(default_factory=lambda: array("B"))
    """QARTOD flags. [uint8]"""
    tests: "array[int]" = field(default_factory=lambda: array("H"))
    """Bits of Test. [uint16]"""
    spots: dict[int, Spot] = field(default_factory=dict)
    """Row → where it was measured, for moving Things only."""

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.times)

    def add(
        self,
        datastream: int,
        time: int,
        result: float,
        raw: float = math.nan,
        flag: int = Flag.NOT_EVALUATED,
        tests: int = 0,
    ) -> int:
        """Add a row and return its index."""
        self.datastreams.append(datastream)
        self.times.append(time)
        self.results.append(result)
        self.raws.append(raw)
        self.flags.append(flag)
        self.tests.append(tests)
        return len(self.times) - 1

    def rows(self) -> Iterator[Reading]:
        """Yield the rows as Readings: for edges and tests, never for the stream."""
        for row in range(len(self)):
            spot = self.spots.get(row)
            raw = self.raws[row]
            yield Reading(
                datastream=self.datastreams[row],
                time=from_ms(self.times[row]),
                result=self.results[row],
                flag=Flag(self.flags[row]),
                tests=Test(self.tests[row]),
                raw=None if math.isnan(raw) else raw,
                place=spot.place if spot else None,
                point=spot.point if spot else None,
            )


class Outcome(IntEnum):
    """What a store made of a row, as if rows were applied one after the other."""

    NEW = 0
    DUPLICATE = 1
    """Same Datastream, time and result as stored: nothing changed."""
    REPLACED = 2
    """Same Datastream and time, another result: the last word won."""
    REFUSED = 3
    """The store will never take it: nothing changed. A RefusedRow says why."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A result that lost its instant to a later word; NaN is missing."""

    datastream: int
    time: int
    """[ms since 1970 UTC]"""
    old: float
    new: float


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that a store will not take, however often it is appended."""

    row: int
    """Its index in the batch."""
    reason: str
    """A code of `wire.reasons`."""
    detail: str


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of each row of a batch, once it is durable."""

    outcomes: bytes
    """One Outcome per row, in the batch's order."""
    replacements: tuple[Replacement, ...] = ()
    refused: tuple[RefusedRow, ...] = ()
    """One per row whose Outcome is REFUSED, by row."""


class Bucket(NamedTuple):
    """The Readings of one period, in one number each; flags 1 and 2 only."""

    start: datetime
    n: int
    """How many Readings entered."""
    mean: float
    """By the property's Aggregation; NaN where n is 0."""
    minimum: float
    maximum: float
    suspect: int = 0
    """How many more were flagged 3, and did not enter."""
