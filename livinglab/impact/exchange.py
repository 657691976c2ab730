"""Exchange: what would be found where, or when, nothing was done, and how an effect ranks there.

Units that were not treated, and dates before the start, stand in for the real ones. The rank of
the real effect among theirs is its p-value; the effects that would not stand out among them are
its interval.
"""

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from livinglab.impact.results import Floats

FAKE_BEFORE, FAKE_AFTER = 24, 12
"""Periods that must lie before and after a date taken for the start."""
LEAST_DATES = 20
"""Such dates that a p-value needs."""
TIE = 1e-9
"""Relative difference below which two effects count as equal, which counts against."""
MOST_WEIGHED = 100_000_000
"""Cells that weights are sought on in all, at most half a microsecond each: about a minute."""
LEAST_SETS = 20
"""Sets that are drawn however long they take: of fewer none could stand out at 5 %."""


def rank(own: float, others: Floats) -> tuple[float, float]:
    """Return p by rank, and the least that so many others allow; NaN and 0 without any.

    ``(1 + number that are at least as large)/(B + 1)``.

    Args:
        own: How far the real one stands out.
        others: How far the others do. [B]
    """
    if not len(others):
        return math.nan, 0.0
    larger = int((others >= own * (1 - TIE)).sum())
    return (1 + larger) / (len(others) + 1), 1 / (len(others) + 1)


def reach(others: Floats, alpha: float) -> float:
    """Return what an effect must exceed so that its p is at most alpha: half its interval.

    Args:
        others: Effects where nothing was done. [B]
        alpha: Level of p.

    Returns:
        The size; infinite where so few others allow no such p. [as others]
    """
    allowed = math.floor(alpha * (len(others) + 1) + TIE) - 1
    return math.inf if allowed < 0 else float(np.sort(np.abs(others))[::-1][allowed])


def subsets(
    among: NDArray[np.int64], size: int, most: int, rng: Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield sets of so many elements: all of them, or *most* different ones.

    Args:
        among: What is chosen from; nothing is yielded unless more than *size*.
        size: Elements of a set.
        most: Sets, if there are more.
        rng: Chooses them.
    """
    if len(among) <= size:
        return
    if math.comb(len(among), size) <= most:
        yield from (np.array(one) for one in combinations(among, size))
        return
    seen: set[bytes] = set()
    while len(seen) < most:
        chosen = np.sort(rng.choice(among, size, replace=False))
        if (key := chosen.tobytes()) not in seen:
            seen.add(key)
            yield chosen


def affordable(draws: int, cells: int) -> int:
    """Return how many sets to draw where weights are sought for each: fewer on a huge panel.

    It goes by the size of the panel, never by a clock: the same panel gives the same numbers.

    Args:
        draws: Sets that were asked for.
        cells: Of controls before the start, which weights are sought on.
    """
    return min(draws, max(LEAST_SETS, MOST_WEIGHED // max(cells, 1)))


def fake_dates(start: int, after: int, *, most: int = 100) -> list[tuple[int, int]]:
    """Choose dates before the start, and where the time after each of them ends.

    Where the series is long enough, at least half of it lies before each date, and no more after
    it than after the real start: estimates are then as uncertain as the real one.

    Args:
        start: First treated column.
        after: Columns from it on.
        most: Dates, evenly spread, or a few less.
    """
    half = min(start // 2, start - FAKE_AFTER - LEAST_DATES + 1)
    dates = np.arange(max(FAKE_BEFORE, half), start - FAKE_AFTER + 1)
    step = max(1, -(-len(dates) // most))
    return [(int(date), min(start, int(date) + max(FAKE_AFTER, after))) for date in dates[::step]]
