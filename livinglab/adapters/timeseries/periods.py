"""Many Readings become one number per period: the formula behind each Aggregation, once.

Sums run in the order of the rows and restart with each period, so the same rows give the same
bits, wherever they were read from and whatever stands around them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import numpy.typing as npt

from livinglab.adapters.timeseries.columns import moments
from livinglab.domain.readings import Aggregation, Bucket, Flag, to_ms

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NO_DIRECTION = 1e-9
"""A mean unit vector shorter than this points nowhere. [unitless]"""


@dataclass(frozen=True, slots=True)
class Summaries:
    """What the rows of each period come to; columns of equal length."""

    firsts: Integers
    """Index of the first row of each period."""
    n: Integers
    means: Floats
    minima: Floats
    maxima: Floats
    suspect: Integers


def summarise(
    periods: Integers, results: Floats, flags: npt.NDArray[np.uint8], aggregation: Aggregation
) -> Summaries:
    """Summarise rows whose equal periods stand together; flags 1 and 2 enter, 3 is counted.

    Args:
        periods: Any number per row that changes with the period.
        results: Results; what is flagged 1 or 2 is a number. [the property's unit]
        flags: QARTOD flags.
        aggregation: How results become one number; for SUM the mean holds the sum.

    Returns:
        One row per period that has any row; means, minima and maxima are NaN where n is 0.
    """
    changes = _changes(periods)
    groups = np.cumsum(changes) - 1
    firsts = np.flatnonzero(changes)
    good = (flags == Flag.GOOD) | (flags == Flag.NOT_EVALUATED)
    entered = groups[good]
    n = np.bincount(entered, minlength=len(firsts))
    means, minima, maxima = np.full((3, len(firsts)), math.nan)
    if len(entered):
        values, starts = results[good], np.flatnonzero(_changes(entered))
        filled = entered[starts]
        means[filled] = _MEANS[aggregation](values, starts, n[filled])
        minima[filled] = np.minimum.reduceat(values, starts)
        maxima[filled] = np.maximum.reduceat(values, starts)
    suspect = np.bincount(groups[flags == Flag.SUSPECT], minlength=len(firsts))
    return Summaries(firsts, n, means, minima, maxima, suspect)


def buckets(starts: Integers, found: Summaries) -> list[Bucket]:
    """Return a Bucket per period that has a number or a suspect. [starts: ms since 1970 UTC]"""
    told = np.flatnonzero((found.n > 0) | (found.suspect > 0))
    columns = (found.n, found.means, found.minima, found.maxima, found.suspect)
    rows = zip(moments(starts[told]), *(column[told].tolist() for column in columns), strict=True)
    return list(map(partial(tuple.__new__, Bucket), rows))


def buckets_of(
    times: Integers,
    results: Floats,
    flags: npt.NDArray[np.uint8],
    *,
    origin: datetime,
    every: timedelta,
    aggregation: Aggregation,
) -> list[Bucket]:
    """Cut rows, oldest first, into periods of equal length from *origin* on. [times: ms]"""
    origin_ms, step = to_ms(origin), every // timedelta(milliseconds=1)
    numbers = (times - origin_ms) // step
    found = summarise(numbers, results, flags, aggregation)
    return buckets(origin_ms + numbers[found.firsts] * step, found)


def _changes(numbers: Integers) -> npt.NDArray[np.bool_]:
    """Mark the rows that differ from the one before; the first always does."""
    changes = np.ones(len(numbers), dtype=np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=changes[1:])
    return changes


def _sum(values: Floats, starts: Integers, n: Integers) -> Floats:  # noqa: ARG001 - a row of the table
    sums: Floats = np.add.reduceat(values, starts)
    return sums


def _mean(values: Floats, starts: Integers, n: Integers) -> Floats:
    return _sum(values, starts, n) / n


def _energy_mean(levels: Floats, starts: Integers, n: Integers) -> Floats:
    """Average the energies behind sound levels, relative to the loudest. [dB]"""
    loudest = np.maximum.reduceat(levels, starts)
    energies = 10 ** ((levels - np.repeat(loudest, n)) / 10)
    means: Floats = loudest + 10 * np.log10(_mean(energies, starts, n))
    return means


def _circular_mean(degrees: Floats, starts: Integers, n: Integers) -> Floats:
    """Return the direction of the mean unit vector; NaN where directions cancel. [deg]"""
    radians = np.radians(degrees)
    east, north = _mean(np.sin(radians), starts, n), _mean(np.cos(radians), starts, n)
    directions = np.degrees(np.arctan2(east, north)) % 360 % 360  # twice: -1e-17 % 360 is 360
    directions[np.hypot(east, north) < NO_DIRECTION] = math.nan
    return directions


_MEANS: dict[Aggregation, Callable[[Floats, Integers, Integers], Floats]] = {
    Aggregation.MEAN: _mean,
    Aggregation.ENERGY_MEAN: _energy_mean,
    Aggregation.CIRCULAR_MEAN: _circular_mean,
    Aggregation.SUM: _sum,
}
