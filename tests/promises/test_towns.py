"""Intervals hold what was planted, and are no wider than they must be."""

import numpy as np
import pytest

from livinglab.impact.estimators import Options
from livinglab.impact.evaluation import Context, evaluate
from tests.promises.worlds import EFFECT, TOWNS, WHOLE, at_least, in_parallel, town_panel

pytestmark = pytest.mark.slow


def interval(seed: int) -> tuple[float, float, float]:
    """Effect and interval of the estimate that decides on a simulated town."""
    found = evaluate(
        town_panel(seed),
        context=Context(smallest_effect=1.0),
        options=Options(seasonal=7.0),
        seed=seed,
    ).headline
    if found is None:
        return np.nan, np.nan, np.nan
    return found.effect, found.low, found.high


def test_intervals_hold_what_was_planted():
    """In at least 92 of 100 towns; half as wide, they would not."""
    told = np.array(in_parallel(interval, range(TOWNS)))
    effect, low, high = told[~np.isnan(told[:, 0])].T
    n = len(effect)

    assert n >= 0.9 * TOWNS
    holds = (low <= EFFECT) & (high >= EFFECT)
    assert at_least(0.92, n, WHOLE["towns"] * 0.9) <= holds.mean()
    half = ((effect + low) / 2 <= EFFECT) & ((effect + high) / 2 >= EFFECT)
    assert half.mean() < at_least(0.92, n, 0) or n < WHOLE["towns"] * 0.9
