"""Synthetic comparisons: a mixture of controls that follows the treated units before the start.

Synthetic control matches the level; synthetic difference-in-differences matches the course, weighs
the time before as well, and takes a constant difference out. Both need a complete block.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import norm

from livinglab.errors import NotEstimableError
from livinglab.impact.effects.simplex import Solver, kkt_gap, sc_weights, sdid_weights
from livinglab.impact.exchange import affordable, rank, reach, subsets
from livinglab.impact.panel import Panel, as_panel
from livinglab.impact.results import UNBOUNDED, Estimate, Floats
from livinglab.impact.threads import one_thread

Rows = NDArray[np.int64]
LEAST_BEFORE = 2
"""Periods before the start: with fewer there is no course to follow."""
SHOWN = 0.001
"""Weights below it are not listed."""
ROUNDING = 1e-12
"""What is smaller than this share of the largest value is rounding."""
GREATEST = 1e100
"""Values beyond it have no squares in floating point."""
APART = 6.0
"""Robust spreads of the slopes before the start, beyond which a control goes a way of its own."""
ENOUGH_TO_TELL = 10
"""Controls by which it is told what is usual."""
NOTHING_TO_EXCHANGE = "too few controls: none could be treated as if, with another left to compare"
ALL_ALIKE = "the controls do not differ from each other: chance cannot be judged by them"


@one_thread
def synthetic_control(
    panel: Panel | pd.DataFrame, *, draws: int = 200, level: float = 0.95, rng: Generator
) -> Estimate:
    """Compare the treated units with the convex combination of controls nearest to them before.

    Inference exchanges the treated units with controls: p is the rank of the ratio of RMSPE after
    to before, and the interval holds every effect that would not stand out among the controls'.
    It assumes that controls are not affected, and that what they went through is what the treated
    units would have gone through. Outcomes before the start are the only predictors.

    Args:
        panel: One start for all treated units; its complete block is used. [N, T]
        draws: Sets of controls that are treated as if, where there are more such sets; fewer where
            weights on so many cells would take long (`affordable`), told in the detail.
        level: Coverage of the interval. [1]
        rng: Chooses those sets.

    Returns:
        The mean gap after the start. [unit of the values] With several treated units their mean is
        fitted, and each unit for itself as a check, in ``detail["by_unit"]``.

    Raises:
        NotEstimableError: No complete block, no control, or too little before the start.

    References:
        [1] A. Abadie, A. Diamond, J. Hainmueller, J. Am. Stat. Assoc. 105, 493-505, 2010.
        [2] S. Firpo, V. Possebom, J. Causal Inference 6 (2), 2018: the interval.
    """
    data = _data(panel, "sc")
    controls, treated = _split(data.values, data.rows, data.weights)
    weights = sc_weights(controls[:, : data.start].T, treated[: data.start])
    gap = treated - weights @ controls
    effect, ratio = _mean_after(gap, data.start), _ratio(gap, data)
    gaps = np.array([_sc_placebo(data, chosen) for chosen in _sets(data, draws, rng)])
    p, p_min = rank(ratio, np.array([_ratio(one, data) for one in gaps]))
    half = reach(np.array([_mean_after(one, data.start) for one in gaps]), 1 - level)
    why = {"se": "the interval comes from exchanging units"}
    if math.isinf(half):
        why |= {"low": UNBOUNDED, "high": UNBOUNDED}
    if math.isnan(p):
        why["p"] = NOTHING_TO_EXCHANGE
    if math.isinf(ratio):
        why["rmspe_ratio"] = "infinite: the fit before the start is perfect"
    apart = controls[:, : data.start].T - treated[: data.start, None]
    return Estimate(
        estimator="sc",
        effect=effect,
        low=effect - half,
        high=effect + half,
        level=level,
        p=p,
        p_min=p_min,
        p_method="placebo_space",
        detail={
            **_facts(data, gap, weights),
            "rmspe_ratio": ratio if math.isfinite(ratio) else None,
            "kkt_gap": kkt_gap(apart, weights),
            "placebos": len(gaps),
            **_fewer(data, draws, len(gaps)),
            "by_unit": _by_unit(data),
        },
        **_shared(data, gap, gaps, why),
    )


@one_thread
def synthetic_did(
    panel: Panel | pd.DataFrame,
    *,
    solver: Solver = "frank-wolfe",
    draws: int = 200,
    level: float = 0.95,
    rng: Generator,
) -> Estimate:
    """Compare changes, with controls and periods weighed so that trends were parallel before.

    With more controls than treated units, controls are treated as if (placebo): the standard error
    is the spread of their effects, and p the rank of the effect among them, found by the same
    solver as theirs. A control that goes a way of its own before the start, as no treated unit
    does, counts for p and not for the spread. Otherwise units are resampled, and p is that of a
    normal effect. Covariates are taken out first, by their relation among never-treated units, anew
    in each resample.

    Args:
        panel: One start for all treated units; its complete block is used. [N, T]
        solver: Of the reported number; resampling always uses ``nnls``.
        draws: Placebos, where there are more sets of controls, or resamples; fewer where weights on
            so many cells would take long (`affordable`), told in the detail.
        level: Coverage of the interval, which takes the effect as normal. [1]
        rng: Chooses them.

    Returns:
        The weighted double difference. [unit of the values]

    Raises:
        NotEstimableError: No complete block, no control, or too little before the start; a
            covariate is missing within the block.

    References:
        [1] D. Arkhangelsky et al., Am. Econ. Rev. 111 (12), 4088-4118, 2021, algorithms 1, 2, 4.
    """
    data = _data(panel, "sdid")
    everyone = np.arange(len(data.values))
    gap, omega, lambda_, beta = _sdid(data, everyone, data.rows, solver)
    effect = _mean_after(gap, data.start)
    gaps, alike, own_way = np.empty((0, len(gap))), np.empty(0, bool), np.empty(0, np.int64)
    if len(data.others) > len(data.rows):
        sets = list(_sets(data, draws, rng))
        gaps = np.array([_sdid_placebo(data, chosen) for chosen in sets])
        effects = gaps[:, data.start :].mean(axis=1)
        own_way = _own_way(data)
        alike = np.array([not np.isin(chosen, own_way).any() for chosen in sets])
    elif len(data.rows) > 1:
        effects = _bootstrap(data, draws, rng)
    else:
        effects = np.empty(0)
    alike = alike if alike.sum() > 1 else np.ones(len(effects), bool)
    se = float(effects[alike].std(ddof=1)) if len(effects) > 1 else math.nan
    p, p_min, p_normal, why = math.nan, 0.0, math.nan, {}
    if se > ROUNDING * data.greatest:
        p_normal = float(2 * norm.sf(abs(effect) / se))
        like = _mean_after(_sdid(data, everyone, data.rows, "nnls")[0], data.start)
        p, p_min = rank(abs(like), np.abs(effects)) if len(gaps) else (p_normal, 0.0)
    else:
        se = math.nan
        reason = ALL_ALIKE if len(effects) > 1 else NOTHING_TO_EXCHANGE
        why = {"se": reason, "p": reason, "low": UNBOUNDED, "high": UNBOUNDED}
    half = math.inf if math.isnan(se) else float(norm.ppf((1 + level) / 2)) * se
    by_resampling = not len(gaps) and len(effects)
    return Estimate(
        estimator="sdid",
        effect=effect,
        low=effect - half,
        high=effect + half,
        level=level,
        se=se,
        p=p,
        p_min=p_min,
        p_method="bootstrap" if by_resampling else "placebo_space",
        detail={
            **_facts(data, gap, omega),
            "solver": solver,
            "draws": len(effects),
            "own_way": [data.panel.units[row] for row in own_way],
            **_fewer(data, draws, len(effects)),
            "p_normal": None if math.isnan(p_normal) else p_normal,
            "period_weights": _named(data.panel.periods[: data.start], lambda_),
            "covariates": beta,
        },
        **_shared(data, gap, gaps, why),
    )


# --- One panel, ready ---


@dataclass(frozen=True, slots=True)
class _Data:
    """A complete block, its start, and which rows are treated and which are controls."""

    panel: Panel
    start: int
    rows: Rows
    others: Rows
    greatest: float
    periods_given: int
    """Periods of the panel before it was cut to the block."""

    @property
    def values(self) -> Floats:
        return self.panel.values

    @property
    def weights(self) -> Floats:
        return self.panel.weights

    @property
    def cells(self) -> int:
        """Of the controls before the start, which weights are sought on."""
        return len(self.others) * self.start


def _data(panel: Panel | pd.DataFrame, name: str) -> _Data:
    panel = as_panel(panel)
    if panel.transform == "poisson":
        raise NotEstimableError(f"{name} has no Poisson form; use level or log")
    block = panel.block()
    if block.start < LEAST_BEFORE:
        raise NotEstimableError(
            f"needs {LEAST_BEFORE} complete periods before the start, there is {block.start}"
        )
    greatest = float(np.abs(block.values).max())
    if greatest > GREATEST:
        raise NotEstimableError(f"values as large as {greatest:.0e} cannot be compared")
    treated, control = np.flatnonzero(block.is_treated), np.flatnonzero(~block.is_treated)
    return _Data(block, block.start, treated, control, greatest, len(panel.periods))


def _split(values: Floats, rows: Rows, weights: Floats) -> tuple[Floats, Floats]:
    """Return the other rows, and the weighted mean of these."""
    others = np.ones(len(values), bool)
    others[rows] = False
    return values[others], weights[rows] / weights[rows].sum() @ values[rows]


def _mean_after(gap: Floats, start: int) -> float:
    return float(gap[start:].mean())


def _rmspe(gap: Floats) -> float:
    return float(np.sqrt((gap**2).mean()))


def _ratio(gap: Floats, data: _Data) -> float:
    """Return RMSPE after over before; after a perfect fit any gap stands out."""
    before, after = _rmspe(gap[: data.start]), _rmspe(gap[data.start :])
    if before > ROUNDING * data.greatest:
        return after / before
    return math.inf if after > ROUNDING * data.greatest else 0.0


# --- Exchanging who was treated ---


def _sets(data: _Data, draws: int, rng: Generator) -> Iterator[Rows]:
    """Yield sets of controls as large as the treated set."""
    return subsets(data.others, len(data.rows), affordable(draws, data.cells), rng)


def _fewer(data: _Data, draws: int, drawn: int) -> dict[str, str]:
    """Tell that fewer were drawn than was asked for, unless there are no more."""
    if not drawn or drawn >= min(draws, math.comb(len(data.others), len(data.rows))):
        return {}
    return {"fewer_draws": f"{drawn} instead of {draws}: weights on so many cells take long"}


def _own_way(data: _Data) -> Rows:
    """Return the controls whose slope before the start lies far from all others', by itself.

    The slope is that of the difference from the median control; what is far, the median absolute
    deviation of the controls tells. A slope that a treated unit comes halfway to is not alone.
    """
    if len(data.others) < ENOUGH_TO_TELL:
        return np.empty(0, np.int64)
    before = data.values[:, : data.start]
    apart = before - np.median(before[data.others], axis=0)
    time = np.arange(data.start) - (data.start - 1) / 2
    slopes = apart @ time
    usual = np.median(slopes[data.others])
    spread = 1.4826 * np.median(np.abs(slopes[data.others] - usual))
    if spread <= ROUNDING * data.greatest:
        return np.empty(0, np.int64)
    far = (slopes - usual) / spread
    known = far[data.rows]
    alone = [
        row for row in data.others if abs(far[row]) > APART and not (known / far[row] > 1 / 2).any()
    ]
    return np.array(alone, np.int64)


def _sc_gap(series: Floats, controls: Floats, start: int) -> Floats:
    return np.asarray(series - sc_weights(controls[:, :start].T, series[:start]) @ controls)


def _sc_placebo(data: _Data, chosen: Rows) -> Floats:
    """Treat some controls as if, with the other controls as donors; the treated ones stay out."""
    rows = np.searchsorted(data.others, chosen)
    controls, series = _split(data.values[data.others], rows, data.weights[data.others])
    return _sc_gap(series, controls, data.start)


def _by_unit(data: _Data) -> dict[str, dict[str, float]]:
    """Fit each of several treated units for itself."""
    if len(data.rows) == 1:
        return {}
    controls = data.values[data.others]
    gaps = {
        data.panel.units[row]: _sc_gap(data.values[row], controls, data.start) for row in data.rows
    }
    return {
        unit: {"effect": _mean_after(gap, data.start), "rmspe_pre": _rmspe(gap[: data.start])}
        for unit, gap in gaps.items()
    }


def _sdid(
    data: _Data, of: Rows, rows: Rows, solver: Solver
) -> tuple[Floats, Floats, Floats, dict[str, float]]:
    """Run the whole method.

    Args:
        data: The block.
        of: Units that take part, with repeats.
        rows: Which of them are treated, or treated as if.
        solver: As of `sdid_weights`.

    Returns:
        Gap centred before the start [T], weights of controls and of periods, and coefficients of
        covariates.
    """
    values, beta = _without_covariates(data, of, rows)
    controls, treated = _split(values, rows, data.weights[of])
    omega, lambda_ = sdid_weights(controls, treated, data.start, len(rows), solver)
    gap = treated - omega @ controls
    return gap - lambda_ @ gap[: data.start], omega, lambda_, beta


def _sdid_placebo(data: _Data, chosen: Rows) -> Floats:
    """Treat some controls as if, with the other controls as donors; the treated ones stay out."""
    return _sdid(data, data.others, np.searchsorted(data.others, chosen), "nnls")[0]


def _bootstrap(data: _Data, draws: int, rng: Generator) -> Floats:
    """Resample units until both kinds are there, and find weights anew."""
    found: list[float] = []
    treated = data.panel.is_treated
    while len(found) < affordable(draws, data.cells):
        drawn = rng.integers(len(treated), size=len(treated))
        if treated[drawn].any() and not treated[drawn].all():
            gap, *_ = _sdid(data, drawn, np.flatnonzero(treated[drawn]), "nnls")
            found.append(_mean_after(gap, data.start))
    return np.array(found)


def _without_covariates(data: _Data, of: Rows, rows: Rows) -> tuple[Floats, dict[str, float]]:
    """Subtract what covariates explain among the units that are not treated, and how much it is."""
    values = data.values[of]
    beta: dict[str, float] = {}
    usable: list[tuple[str, Floats, Floats, float]] = []
    for name, column in data.panel.covariates.items():
        if not np.abs(column).max() <= GREATEST:
            raise NotEstimableError(f"the covariate {name} is missing, or too large, in the block")
        within = _twice_demeaned(np.delete(column[of], rows, axis=0)).ravel()
        length = float(np.linalg.norm(within))
        beta[name] = 0.0  # one that tells units or periods apart, no more, explains nothing here
        if length > ROUNDING * np.abs(column).max() * math.sqrt(len(within)):
            usable.append((name, column[of], within / length, length))
    if not usable:
        return values, beta
    system = np.stack([one[2] for one in usable], axis=1)
    left = _twice_demeaned(np.delete(values, rows, axis=0)).ravel()
    found, *_ = np.linalg.lstsq(system, left, rcond=1e-10)
    for (name, column, _, length), coefficient in zip(usable, found, strict=True):
        beta[name] = float(coefficient) / length
        values = values - beta[name] * column
    return values, beta


def _twice_demeaned(values: Floats) -> Floats:
    rows = values - values.mean(axis=1, keepdims=True)
    return np.asarray(rows - rows.mean(axis=0, keepdims=True))


# --- The answer ---


def _named(names: Any, weights: Floats) -> dict[str, float]:
    """List weights that count by name, the largest first."""
    order = np.argsort(-weights, kind="stable")
    return {
        f"{names[n]:g}" if isinstance(names[n], float) else str(names[n]): round(
            float(weights[n]), 6
        )
        for n in order
        if weights[n] >= SHOWN
    }


def _facts(data: _Data, gap: Floats, weights: Floats) -> dict[str, Any]:
    return {
        "start": data.start,
        "weights": _named([data.panel.units[row] for row in data.others], weights),
        "n_eff": float(1 / (weights**2).sum()),
        "rmspe_pre": _rmspe(gap[: data.start]),
        "rmspe_post": _rmspe(gap[data.start :]),
        "donors": len(data.others),
        "dropped": [{"unit": one.unit, "reason": one.reason} for one in data.panel.dropped],
        "periods_dropped": data.periods_given - len(data.panel.periods),
    }


def _shared(data: _Data, gap: Floats, gaps: Floats, why: Mapping[str, str]) -> dict[str, Any]:
    observed = data.panel.mean_treated()
    expected = observed - gap
    relative, undefined = data.panel.relative(observed[data.start :], expected[data.start :])
    paths: dict[str, NDArray[Any]] = {
        "periods": data.panel.periods,
        "observed": observed,
        "counterfactual": expected,
    }
    if len(gaps):
        paths["placebos"] = gaps
    return {
        "tier": "T1",
        "relative": relative,
        "n": int(data.values.size),
        "paths": paths,
        "why": {**undefined, **why},
    }
