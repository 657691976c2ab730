"""Power: the smallest effect that an evaluation would have found, by simulation.

Where nothing was done, something is planted: a unit that was not treated, or a treated one before
its start, gets a shift over as many periods as the real post window has, and the estimator with
its own p-value must find it. The minimum detectable effect is what it finds four times in five.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from livinglab.impact.kernels import KERNELS, Kernel
from livinglab.impact.panel import Panel
from livinglab.impact.results import Floats

SHARE = 0.8
"""Of planted shifts that must be found."""
LEVELS = (0.05, 0.10)
"""Of p: the second only where so few units cannot reach the first."""
ASSIGNMENTS = 199
"""Other assignments that each planted one is held against, for the difference in differences."""
LEAST_BEFORE = 8
"""Periods before a planted start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """The smallest effect that would have been found.

    Attributes:
        mde: Found in four of five plantings, whichever its sign; NaN if none could be. [unit]
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


def minimum_detectable_effect(
    panel: Panel, estimator: str, *, plantings: int = 200, rng: Generator
) -> Power:
    """Plant shifts where nothing was done, and see from what size on they are found.

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
    windows = _windows(block, plantings, rng)
    formula = _formula(block)
    p_min = 1 / (windows.donors + 1)
    alpha = next((level for level in LEVELS if estimator == "did" or p_min <= level), math.nan)
    if math.isnan(alpha):
        note = f"{windows.donors} donors: no p-value can be below {p_min:.2f}"
        return Power(mde=math.nan, alpha=LEVELS[-1], plantings=0, formula=formula, note=note)
    if estimator == "did":
        up, down = _found_by_assignment(windows, alpha, rng)
    elif estimator == "sc":
        up, down = _found_by_rank(windows, alpha)
    else:
        up, down = _found_by_placebo(windows, KERNELS[estimator], alpha)
    mde = max(_smallest(up), _smallest(down))
    note = windows.note if math.isfinite(mde) else "no shift is found in four of five plantings"
    return Power(
        mde=mde if math.isfinite(mde) else math.nan,
        alpha=alpha,
        plantings=len(windows.chosen),
        formula=formula,
        note=note,
    )


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
        critical = _critical(np.delete(effects, n), alpha)
        up.append(critical - effect)
        down.append(critical + effect)
    mde = max(_smallest(np.array(up)), _smallest(np.array(down))) if up else math.nan
    return mde if math.isfinite(mde) else math.nan


@dataclass(frozen=True, slots=True)
class _Windows:
    """Where shifts are planted: (treated rows, first column) by planting, in a matrix."""

    values: Floats
    chosen: list[tuple[NDArray[np.int64], int]]
    length: int
    start: int
    donors: int
    note: str

    def cut(self, n: int) -> tuple[Floats, Floats]:
        """Return controls [J, L] and the mean of the planted units [L] of one planting."""
        rows, first = self.chosen[n]
        window = self.values[:, first : first + self.length]
        others = np.setdiff1d(np.arange(len(window)), rows)
        return window[others], window[rows].mean(axis=0)


def _windows(block: Panel, plantings: int, rng: Generator) -> _Windows:
    """Choose units and dates: before the start if that is long enough, else among the donors."""
    t0, t = block.start, len(block.periods)
    t1, n1 = t - t0, int(block.is_treated.sum())
    donors = np.flatnonzero(~block.is_treated)
    before = max(LEAST_BEFORE, min(2 * t1, 24))
    if t0 >= before + t1:
        values = block.values[:, :t0]
        pool = np.arange(len(block.units))
        room = -(-plantings // len(pool))
        length = max(before + t1, t0 - room + 1)
        note = "planted before the start"
    else:
        values, pool, length = block.values[donors], np.arange(len(donors)), t
        note = "planted at controls, at the real start: too little was measured before it"
    n1 = min(n1, max(1, len(pool) // 2))
    starts = values.shape[1] - length + 1
    places = [(unit, first) for unit in pool for first in range(starts)]
    if n1 == 1:
        picks = rng.permutation(len(places))[:plantings]
        chosen = [(np.array([places[n][0]]), places[n][1]) for n in picks]
    else:
        chosen = [
            (np.sort(rng.choice(pool, n1, replace=False)), int(rng.integers(starts)))
            for _ in range(plantings)
        ]
    return _Windows(values, chosen, length, length - t1, len(pool) - n1, note)


def _critical(null: Floats, alpha: float) -> float:
    """Return what |effect| must exceed so that (1 + number of larger ones)/(B + 1) ≤ alpha."""
    allowed = math.floor(alpha * (len(null) + 1) + 1e-9) - 1
    if allowed < 0:
        return math.inf
    return float(np.sort(np.abs(null))[::-1][allowed]) if allowed < len(null) else 0.0


def _smallest(needed: Floats) -> float:
    """Return the shift that suffices in four of five plantings."""
    ranked = np.sort(np.maximum(needed, 0.0))
    return float(ranked[math.ceil(SHARE * len(ranked)) - 1])


def _found_by_placebo(windows: _Windows, kernel: Kernel, alpha: float) -> tuple[Floats, Floats]:
    """Shift needed up and down, by |mean gap| among the gaps of donors."""
    up, down = [], []
    for n in range(len(windows.chosen)):
        controls, treated = windows.cut(n)
        effect = kernel(controls, treated, windows.start, 1)[windows.start :].mean()
        null = [
            kernel(np.delete(controls, row, 0), controls[row], windows.start, 1)[
                windows.start :
            ].mean()
            for row in range(len(controls))
        ]
        critical = _critical(np.array(null), alpha)
        up.append(critical - effect)
        down.append(critical + effect)
    return np.array(up), np.array(down)


def _found_by_rank(windows: _Windows, alpha: float) -> tuple[Floats, Floats]:
    """Shift needed up and down, by the rank of RMSPE after over before.

    A shift δ makes the mean square of the gap after the start m₂ + 2δm₁ + δ².
    """
    kernel, start = KERNELS["sc"], windows.start
    up, down = [], []
    for n in range(len(windows.chosen)):
        controls, treated = windows.cut(n)
        ratios = []
        for row in range(len(controls)):
            gap = kernel(np.delete(controls, row, 0), controls[row], start, 1)
            ratios.append(_rmse(gap[start:]) / max(_rmse(gap[:start]), 1e-12))
        gap = kernel(controls, treated, start, 1)
        goal = _critical(np.array(ratios), alpha) * max(_rmse(gap[:start]), 1e-12)
        mean, square = gap[start:].mean(), (gap[start:] ** 2).mean()
        root = math.sqrt(max(mean**2 - square + goal**2, 0.0)) if math.isfinite(goal) else goal
        reached = square >= goal**2
        up.append(0.0 if reached else root - mean)
        down.append(0.0 if reached else root + mean)
    return np.array(up), np.array(down)


def _rmse(gap: Floats) -> float:
    return float(np.sqrt((gap**2).mean()))


def _found_by_assignment(windows: _Windows, alpha: float, rng: Generator) -> tuple[Floats, Floats]:
    """Shift needed up and down, by randomisation of who was treated.

    An assignment that shares units with the planted one moves with the shift, so each size is
    tried by bisection.
    """
    up: list[float] = []
    down: list[float] = []
    start, units = windows.start, len(windows.values)
    for rows, first in windows.chosen:
        window = windows.values[:, first : first + windows.length]
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
