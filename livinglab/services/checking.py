"""Checking: what the lab thinks of Readings. Flags change, results never."""

import numpy as np
from numpy.typing import NDArray

from livinglab.domain.observed_properties import ObservedProperty
from livinglab.domain.readings import Flag, ReadingBatch, Test

_EVERYTHING = (-np.inf, np.inf)


class Ranges:
    """What each Datastream can and may plausibly show, as columns indexed by its number."""

    def __init__(self) -> None:
        """Begin without any Datastream."""
        self.span_low: NDArray[np.float64] = np.empty(0)
        self.span_high: NDArray[np.float64] = np.empty(0)
        self.low: NDArray[np.float64] = np.empty(0)
        self.high: NDArray[np.float64] = np.empty(0)
        self.testable: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)

    def put(self, number: int, observed_property: ObservedProperty) -> None:
        """Enter the ranges of one Datastream."""
        if number >= len(self.low):
            self._grow(max(number + 1, 2 * len(self.low), 1_024))
        self.span_low[number], self.span_high[number] = observed_property.span or _EVERYTHING
        self.low[number], self.high[number] = observed_property.plausible or _EVERYTHING
        self.testable[number] = bool(observed_property.span or observed_property.plausible)

    def _grow(self, size: int) -> None:
        more = size - len(self.low)
        for name, fill in (
            ("span_low", -np.inf),
            ("span_high", np.inf),
            ("low", -np.inf),
            ("high", np.inf),
        ):
            setattr(self, name, np.concatenate([getattr(self, name), np.full(more, fill)]))
        self.testable = np.concatenate([self.testable, np.zeros(more, dtype=np.bool_)])


def check(batch: ReadingBatch, ranges: Ranges) -> None:
    """Test every row that can be tested: gross range, as QARTOD orders it.

    Outside the span of such instruments fails; outside what is plausible is suspect; small
    negative particle results lie inside on purpose. A missing result, and one whose unit is
    unknown, stay as they are. The aggregate is the worst of all tests, those of the door included.

    References:
        QARTOD, Manual for Real-Time Quality Control of In-Situ Temperature and Salinity Data,
        version 2.1, test 4 (gross range), U.S. IOOS, 2020.
    """
    if not len(batch):
        return
    datastreams = np.frombuffer(batch.datastreams, dtype=np.int32)
    results = np.frombuffer(batch.results)
    flags = np.frombuffer(batch.flags, dtype=np.uint8)
    tests = np.frombuffer(batch.tests, dtype=np.uint16)
    outside = (results < ranges.low[datastreams]) | (results > ranges.high[datastreams])
    beyond = (results < ranges.span_low[datastreams]) | (results > ranges.span_high[datastreams])
    able = ranges.testable[datastreams] & (flags != Flag.MISSING)
    able &= (tests & Test.UNIT_UNKNOWN) == 0
    flags[able & (flags == Flag.NOT_EVALUATED)] = Flag.GOOD
    _object(able & outside, Flag.SUSPECT, Test.PLAUSIBLE, flags, tests)
    _object(able & beyond, Flag.FAIL, Test.SPAN, flags, tests)


def _object(
    where: NDArray[np.bool_],
    flag: Flag,
    test: Test,
    flags: NDArray[np.uint8],
    tests: NDArray[np.uint16],
) -> None:
    """Lower the flags of some rows, and say which test did it."""
    if where.any():
        flags[where] = np.maximum(flags[where], np.uint8(flag))
        tests[where] |= np.uint16(test)
