"""Worlds whose truth is known: panels in which nothing happened, towns in which something did."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

import numpy as np
from scipy.stats import binom

from livinglab.impact.panel import Panel
from simulators.signals import DAY_MS, HOUR_MS, YEAR_MS, normal, series_of, true_value

PANELS = int(os.environ.get("LIVINGLAB_PROMISES_PANELS", "500"))
PAIRS = int(os.environ.get("LIVINGLAB_PROMISES_PAIRS", "100"))
TOWNS = int(os.environ.get("LIVINGLAB_PROMISES_TOWNS", "300"))
WHOLE = {"panels": 500, "pairs": 100, "towns": 300}
"""From so many on a promise is held as it is given; below, as far as so few can tell."""
UNSURE = 1e-4
"""How seldom a short form may fail although the promise holds. [1]"""
RHO = 0.6
FIRST_DAY = np.datetime64("2024-09-01")
DAYS, START, PLACES = 500, 400, 26
EFFECT = -4.0

Asked = TypeVar("Asked")


def in_parallel(work: Callable[[Asked], Any], asked: Iterable[Asked]) -> list[Any]:
    """Do the same to each, on all cores."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, asked, chunksize=4))


def at_most(share: float, n: int, whole: int) -> float:
    """The largest share of n that a promise of *share* at most allows."""
    return share if n >= whole else float(binom.ppf(1 - UNSURE, n, share)) / n


def at_least(share: float, n: int, whole: int) -> float:
    """Likewise the smallest that one of *share* at least allows."""
    return share if n >= whole else float(binom.ppf(UNSURE, n, share)) / n


def _wandering(chance: np.random.Generator, n: int, t: int, rho: float) -> np.ndarray:
    """First-order autoregressive noise of unit variance. [n, t]"""
    steps = chance.normal(size=(n, t + 50))
    for column in range(1, t + 50):
        steps[:, column] += rho * steps[:, column - 1]
    found: np.ndarray = steps[:, 50:] * np.sqrt(1 - rho**2)
    return found


SHAPES = {
    "did": (24, 60, 4),
    "sc": (22, 60, 1),
    "sdid": (22, 60, 1),
    "cs": (40, 24, 12),
    "its": (1, 120, 1),
    "uc": (1, 120, 1),
}
"""Estimator → units, periods, and how many units are treated."""
STARTS = {"did": (40,), "sc": (44,), "sdid": (44,), "cs": (10, 13, 16), "its": (96,), "uc": (96,)}


def calm_panel(estimator: str, seed: int) -> Panel:
    """A panel in which nothing happened: levels, a common course, and noise that wanders."""
    chance = np.random.default_rng([11, seed])
    n, t, treated = SHAPES[estimator]
    values = (
        20
        + 3 * chance.normal(size=(n, 1))
        + 2 * _wandering(chance, 1, t, 0.8)
        + _wandering(chance, n, t, RHO)
    )
    starts = np.full(n, t)
    starts[:treated] = chance.choice(STARTS[estimator], treated)
    return Panel(
        units=tuple(f"u{row:02d}" for row in range(n)),
        periods=(FIRST_DAY + np.arange(t)).astype("datetime64[s]"),
        values=values,
        starts=starts,
    )


def town_panel(seed: int) -> Panel:
    """Days of NO2 in a simulated town: two Places lose 4 µg/m³ from day 400 on.

    All share their weather, each has a level and a course of its own, everything improves, one
    control drifts, and the daily value of another is missing two days of five.
    """
    chance = np.random.default_rng([5, seed])
    first = int(FIRST_DAY.astype("datetime64[ms]").astype(np.int64))
    times = first + np.arange(0, DAYS * DAY_MS, 2 * HOUR_MS)
    levels = chance.uniform(0.8, 1.4, PLACES)
    treated = chance.choice(np.arange(2, PLACES), 2, replace=False)
    days = np.empty((PLACES, DAYS))
    for row, level in enumerate(levels):
        value = true_value(seed, f"p-{row}", "no2", times, level) - 1.0 * (times - first) / YEAR_MS
        value = value + normal(seed, series_of(f"noise {row}"), times)
        if row in treated:
            value = value + EFFECT * (times >= first + START * DAY_MS)
        if row == 0:
            value = value + 0.01 * (times - first) / DAY_MS
        days[row] = value.reshape(DAYS, -1).mean(axis=1)
    days[1, chance.random(DAYS) < 0.4] = np.nan
    starts = np.full(PLACES, DAYS)
    starts[treated] = START
    return Panel(
        units=tuple(f"p-{row:02d}" for row in range(PLACES)),
        periods=(FIRST_DAY + np.arange(DAYS)).astype("datetime64[s]"),
        values=days,
        starts=starts,
    )
