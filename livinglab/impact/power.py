"""Power: the smallest effect that an evaluation would have found, by simulation.

Where nothing was done, something is planted: a unit that was not treated, or a treated one before
its start, gets a shift over as many periods as the real post window has, and the estimator with
its own p-value must find it. The minimum detectable effect is what it finds four times in five.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from livinglab.impact.exchange import LEAST_SETS, MOST_WEIGHED, affordable, reach, subsets
from livinglab.impact.kernels import KERNELS, Kernel
from livinglab.impact.panel import Panel
from livinglab.impact.results import Floats
from livinglab.impact.threads import one_thread

SHARE = 0.8
"""Of planted shifts that must be found."""
LEVELS = (0.05, 0.10)
"""Of p: the second only where so few units cannot reach the first."""
ASSIGNMENTS = 199
"""Other assignments that each planted one is held against, for the difference in differences."""
SETS = 59
"""Sets of other units that each planting is held against where several are treated."""
LEAST_BEFORE = 8
"""Periods before a planted start."""
TINY = 1e-12

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """The smallest effect that would have been found.

    Attributes:
        mde: Found in four of five plantings, up and down alike; NaN if none could be. [unit]
        alpha: Level of p at which a planting counts as found.
        plantings: How many were made.
        formula: The same from the textbook's formula, as a cross-check. [unit]
        note: Where the plantings were made, or why none could be.
    """

    mde: float
    alpha: float
    plantings: int
    formula: float
    note: str


@one_thread
def minimum_detectable_effect(
    panel: Panel, estimator: str, *, plantings: int = 200, rng: Generator
) -> Power:
    """Plant shifts where nothing was done, and see from what size on they are found.

    On a large panel, where weights for all would take long, sets of controls are planted at over
    the whole time, at the real start, and each is held against the others.

    Args:
        panel: A panel with one start; its block is used.
        estimator: ``did``, ``sc`` or ``sdid``.
        plantings: How many to make, if there are as many places for them.
        rng: Chooses units, dates and assignments.

    References:
        [1] impact.md 5.7; the formula is that of a two-sample comparison with repeated measures
            and serial correlation: Frison, Pocock, Stat. Med. 11, 1685-1704, 1992.
    """
    block = panel.block()
    windows = _windows(block, estimator, plantings, rng)
    formula = _formula(block)
    if not windows.chosen:
        note = "too few controls to plant anything at"
        return Power(mde=math.nan, alpha=LEVELS[0], plantings=0, formula=formula, note=note)
    size = len(windows.chosen[0][0])
    others = len(windows.values) - size
    sets = math.comb(others, size) if estimator != "did" else math.comb(others + size, size) - 1
    alpha = next((level for level in LEVELS if 1 / (1 + sets) <= level), math.nan)
    if math.isnan(alpha):
        note = f"{others} other units: no p-value can be below {1 / (1 + sets):.2f}"
        return Power(mde=math.nan, alpha=LEVELS[-1], plantings=0, formula=formula, note=note)
    if estimator == "did":
        up, down = _found_by_assignment(windows, alpha, rng)
    else:
        if windows.cells > MOST_WEIGHED:
            windows = _whole(block, affordable(plantings, block.values[:, : block.start].size), rng)
            made = _in_turn(windows, KERNELS[estimator])
        else:
            made = windows.made(KERNELS[estimator], rng)
        needed = _by_ratio if estimator == "sc" else _by_size
        shifts = [needed(gap, null, windows.start, alpha) for gap, null in made]
        up, down = np.array(shifts).T
    mde = _smallest(np.concatenate([up, down]))
    note = windows.note if math.isfinite(mde) else "no shift is found in four of five plantings"
    return Power(
        mde=mde if math.isfinite(mde) else math.nan,
        alpha=alpha,
        plantings=len(windows.chosen),
        formula=formula,
        note=note,
    )


def from_error(effects: Floats, se: float, *, alpha: float = LEVELS[0]) -> float:
    """Tell the MDE of an estimator that finds what exceeds so many standard errors.

    Args:
        effects: Estimates where nothing was done. [B]
        se: Standard error of the estimate. [as effects]
        alpha: Level of p.
    """
    if not len(effects) or not se > 0:
        return math.nan
    critical = NormalDist().inv_cdf(1 - alpha / 2) * se
    return _smallest(np.concatenate([critical - effects, critical + effects]))


def from_placebos(effects: Floats, *, alpha: float = LEVELS[0]) -> float:
    """Tell the MDE of an estimator whose null distribution is its own placebo effects.

    Each placebo takes its turn as the planted one, the others being its reference.

    Args:
        effects: Placebo effects, as of fake dates. [B]
        alpha: Level of p.

    Returns:
        The MDE, or NaN where so few placebos reach no such p. [as effects]
    """
    up, down = [], []
    for n, effect in enumerate(effects):
        critical = reach(np.delete(effects, n), alpha)
        up.append(critical - effect)
        down.append(critical + effect)
    mde = _smallest(np.array(up + down)) if up else math.nan
    return mde if math.isfinite(mde) else math.nan


@dataclass(frozen=True, slots=True)
class _Windows:
    """Where shifts are planted: (rows, first column) by planting, in a matrix of [units, T]."""

    values: Floats
    weights: Floats
    chosen: list[tuple[Rows, int]]
    length: int
    start: int
    note: str

    def cut(self, n: int) -> tuple[Floats, Floats, Rows]:
        """Return the window [units, L], the mean of the planted [L], and the other rows."""
        rows, first = self.chosen[n]
        window = self.values[:, first : first + self.length]
        return window, self.mean(window, rows), np.setdiff1d(np.arange(len(window)), rows)

    def mean(self, window: Floats, rows: Rows) -> Floats:
        """Average some units. [L]"""
        return np.asarray(np.average(window[rows], axis=0, weights=self.weights[rows]))

    def null(self, n: int, kernel: Kernel, rng: Generator) -> Floats:
        """Gaps of sets of other units, as large, the planted ones staying out. [B, L]"""
        window, _, others = self.cut(n)
        size = len(self.chosen[n][0])
        gaps = [
            kernel(window[np.setdiff1d(others, rows)], self.mean(window, rows), self.start, size)
            for rows in subsets(others, size, max(SETS, len(others)) if size == 1 else SETS, rng)
        ]
        return np.array(gaps).reshape(len(gaps), self.length)

    def made(self, kernel: Kernel, rng: Generator) -> Iterator[tuple[Floats, Floats]]:
        """Yield the gap of each planting [L], and those it is held against [B, L]."""
        for n, (rows, _) in enumerate(self.chosen):
            window, mean, others = self.cut(n)
            yield kernel(window[others], mean, self.start, len(rows)), self.null(n, kernel, rng)

    @property
    def cells(self) -> int:
        """Cells that weights would be sought on to make all plantings."""
        units, size = len(self.values), len(self.chosen[0][0])
        sets = max(SETS, units - 1) if size == 1 else SETS
        return len(self.chosen) * (1 + sets) * (units - size) * self.start


def _in_turn(windows: _Windows, kernel: Kernel) -> Iterator[tuple[Floats, Floats]]:
    """Yield the gap of each planting over the same time, and those of all others."""
    gaps = []
    for n, (rows, _) in enumerate(windows.chosen):
        window, mean, others = windows.cut(n)
        gaps.append(kernel(window[others], mean, windows.start, len(rows)))
    for n, gap in enumerate(gaps):
        yield gap, np.delete(gaps, n, axis=0)


def _windows(block: Panel, estimator: str, plantings: int, rng: Generator) -> _Windows:
    """Choose units and dates.

    Before the start, at the treated units themselves; where that gives too few dates, also at
    sets of controls as large. Where too little lies before the start, at controls over the whole
    time, at the real start; and there for a synthetic control, if there are enough: its rank
    divides by the fit before, which is the better the shorter that time is.
    """
    t0, t = block.start, len(block.periods)
    t1 = t - t0
    size = _size(block)
    if estimator == "sc" and math.comb(int((~block.is_treated).sum()), size) >= LEAST_SETS:
        return _whole(block, plantings, rng, "a shorter time before it would be fitted too well")
    treated, donors = np.flatnonzero(block.is_treated), np.flatnonzero(~block.is_treated)
    before = max(LEAST_BEFORE, min(2 * t1, 24))
    if t0 < before + t1:
        return _whole(block, plantings, rng, "too little was measured before it")
    alone = t0 - (before + t1) + 1
    room = plantings if alone >= plantings else -(-plantings // (len(donors) // size + 1))
    length = max(before + t1, t0 - room + 1)
    starts = t0 - length + 1
    chosen = [(treated, first) for first in range(starts)][:plantings]
    note = "planted at the treated units, before the start"
    if len(chosen) < plantings:
        note = "planted at treated units and controls, before the start"
        chosen += [
            (np.sort(rng.choice(donors, size, replace=False)), int(rng.integers(starts)))
            for _ in range(plantings - len(chosen))
        ]
    return _Windows(block.values[:, :t0], block.weights, chosen, length, length - t1, note)


def _size(block: Panel) -> int:
    """How many units are planted at together: as many as are treated, if there are as many."""
    treated = int(block.is_treated.sum())
    return min(treated, max(1, (len(block.units) - treated) // 2))


def _whole(
    block: Panel, plantings: int, rng: Generator, why: str = "the panel is large"
) -> _Windows:
    """Choose sets of controls over the whole time, at the real start."""
    donors = ~block.is_treated
    sets = subsets(np.arange(int(donors.sum())), _size(block), plantings, rng)
    return _Windows(
        block.values[donors],
        block.weights[donors],
        [(rows, 0) for rows in sets],
        len(block.periods),
        block.start,
        f"planted at controls, at the real start: {why}",
    )


def _smallest(needed: Floats) -> float:
    """Return the shift that suffices in four of five plantings."""
    ranked = np.sort(np.maximum(needed, 0.0))
    return float(ranked[math.ceil(SHARE * len(ranked)) - 1])


def _by_size(gap: Floats, null: Floats, start: int, alpha: float) -> tuple[float, float]:
    """Shift needed up and down, by |mean gap| among those of other sets."""
    effect = float(gap[start:].mean())
    critical = reach(null[:, start:].mean(axis=1), alpha)
    return critical - effect, critical + effect


def _by_ratio(gap: Floats, null: Floats, start: int, alpha: float) -> tuple[float, float]:
    """Shift needed up and down, by the rank of RMSPE after over before.

    A shift δ makes the mean square of the gap after the start m₂ + 2δm₁ + δ².
    """
    ratios = _rmse(null[:, start:]) / np.maximum(_rmse(null[:, :start]), TINY)
    goal = reach(ratios, alpha) * max(float(_rmse(gap[:start])), TINY)
    middle, square = float(gap[start:].mean()), float((gap[start:] ** 2).mean())
    if square >= goal**2:
        return 0.0, 0.0
    root = math.sqrt(middle**2 - square + goal**2) if math.isfinite(goal) else math.inf
    return root - middle, root + middle


def _rmse(gap: Floats) -> Floats:
    return np.asarray(np.sqrt((gap**2).mean(axis=-1)))


def _found_by_assignment(windows: _Windows, alpha: float, rng: Generator) -> tuple[Floats, Floats]:
    """Shift needed up and down, by randomisation of who was treated.

    An assignment that shares units with the planted one moves with the shift, so each size is
    tried by bisection.
    """
    up: list[float] = []
    down: list[float] = []
    start, units = windows.start, len(windows.values)
    for n, (rows, _) in enumerate(windows.chosen):
        window, *_ = windows.cut(n)
        change = window[:, start:].mean(axis=1) - window[:, :start].mean(axis=1)
        n1 = len(rows)
        if n1 == 1:
            sets = np.eye(units)[np.setdiff1d(np.arange(units), rows)]
        else:
            order = rng.random((ASSIGNMENTS, units)).argsort(axis=1)
            sets = (order < n1).astype(float)
        contrast = sets / n1 - (1 - sets) / (units - n1)
        mine = np.isin(np.arange(units), rows).astype(float)
        own = mine / n1 - (1 - mine) / (units - n1)
        fixed, moving = contrast @ change, contrast @ mine
        scale = 20 * (np.abs(change).max() + 1e-12)
        for sign, needed in ((1.0, up), (-1.0, down)):
            needed.append(
                _bisect(float(own @ change), fixed, moving, sign=sign, scale=scale, alpha=alpha)
            )
    return np.array(up), np.array(down)


def _bisect(
    effect: float, fixed: Floats, moving: Floats, *, sign: float, scale: float, alpha: float
) -> float:
    def found(shift: float) -> bool:
        larger = np.abs(fixed + sign * shift * moving) >= abs(effect + sign * shift) - 1e-12
        return bool((1 + larger.sum()) / (len(fixed) + 1) <= alpha)

    if not found(scale):
        return math.inf
    low, high = 0.0, scale
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def _formula(block: Panel) -> float:
    """Return the textbook's MDE at 5 % and 80 %, with serial correlation."""
    t0, t1 = block.start, len(block.periods) - block.start
    n1 = int(block.is_treated.sum())
    j = len(block.units) - n1
    pre = block.values[:, :t0]
    left = pre - pre.mean(axis=1, keepdims=True) - pre.mean(axis=0, keepdims=True) + pre.mean()
    cells = max((len(pre) - 1) * (t0 - 1), 1)
    sigma = math.sqrt((left**2).sum() / cells)
    below = (left[:, :-1] ** 2).sum()
    rho = float(np.clip((left[:, 1:] * left[:, :-1]).sum() / below, -0.9, 0.95)) if below else 0.0
    normal = NormalDist()
    factor = normal.inv_cdf(1 - LEVELS[0] / 2) + normal.inv_cdf(SHARE)
    spread = (1 / n1 + 1 / j) * (1 / t0 + 1 / t1) * (1 + rho) / (1 - rho)
    return factor * sigma * math.sqrt(spread)
