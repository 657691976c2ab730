"""Structural series: a level that wanders, seasons and controls, carried on past the start."""

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import norm
from statsmodels.tools.sm_exceptions import ConvergenceWarning
from statsmodels.tsa.statespace.structural import UnobservedComponents

from livinglab.errors import NotEstimableError
from livinglab.impact.exchange import LEAST_DATES, fake_dates, rank
from livinglab.impact.panel import Panel, as_panel
from livinglab.impact.results import Estimate, Floats

MOST_DATES = 40
"""Dates before the start that are tried: each costs some milliseconds."""
LEAST_BEFORE = 8
"""Periods before the start, beyond a season and the number of regressors."""
RIDGE = 1.0
"""How much a control of no use is shrunk, against one that explains all. [1]"""


def structural(
    panel: Panel | pd.DataFrame,
    *,
    seasonal: int | None = None,
    max_controls: int = 5,
    repetitions: int = 2_000,
    placebo: bool = True,
    level: float = 0.95,
    rng: Generator,
) -> Estimate:
    """Learn the mean of the treated units before the start, and let it run on without them.

    A local level with fixed seasons [1]; the controls that go with it best before the start, at
    most *max_controls*, are shrunk into one regressor by ridge regression, because controls
    without a signal drift when taken as they are. Covariates enter as they are.

    The p-value of record compares with dates before the start, parameters held; the interval is
    that of the simulated paths.

    Args:
        panel: One start. [N, T]
        seasonal: Periods in a season; None fits none.
        max_controls: Most controls that are used; 0 for none.
        repetitions: Simulated paths.
        placebo: Whether to try other dates; without, p is the paths' own.
        level: Coverage of the interval. [1]
        rng: Draws the paths.

    Returns:
        The mean after the start of observed minus expected; cumulative in ``detail``.

    Raises:
        NotEstimableError: Too little before the start, or a constant series.

    References:
        [1] K. H. Brodersen et al., Ann. Appl. Stat. 9 (1), 247-274, 2015, without its prior.
    """
    panel = as_panel(panel)
    if panel.transform == "poisson":
        raise NotEstimableError("uc has no Poisson form; use level or log")
    start, t = panel.start, len(panel.periods)
    y = panel.mean_treated()
    regressors, names = _regressors(panel, y, start, max_controls)
    model = _Model(y, regressors, seasonal, start)
    paths = model.paths(repetitions, rng)
    after = ~np.isnan(y[start:])
    if not after.any():
        raise NotEstimableError("nothing was measured after the start")
    gaps = (y[start:] - paths)[:, after]
    means = gaps.mean(axis=1)
    expected = np.r_[model.fitted(), paths.mean(axis=0)]
    effect = float(means.mean())
    tail = (1 - level) / 2
    low, high = (float(one) for one in np.quantile(means, [tail, 1 - tail]))
    p = float(min(1.0, 2 * (1 + min((means > 0).sum(), (means < 0).sum())) / (1 + repetitions)))
    p_min, method, why = 2 / (1 + repetitions), "simulation", {}
    placebos = model.placebos(t - start) if placebo else np.empty(0)
    if placebo and len(placebos) >= LEAST_DATES:
        p, p_min = rank(abs(effect), np.abs(placebos))
        method = "placebo_time"
    elif placebo:
        p, method = math.nan, "none"
        why["p"] = (
            f"{len(placebos)} dates before the start can be tried, {LEAST_DATES} are needed: the "
            "paths' own p-value is not trusted"
        )
    relative, reason = panel.relative(y[start:][after], expected[start:][after])
    sums = gaps.sum(axis=1)
    return Estimate(
        estimator="uc",
        tier="T3" if names else "T4",
        effect=effect,
        low=low,
        high=high,
        level=level,
        relative=relative,
        se=float(means.std(ddof=1)),
        p=p,
        p_min=p_min,
        p_method=method,
        n=int((~np.isnan(y)).sum()),
        detail={
            "start": start,
            "controls": names,
            "cumulative": {
                "effect": float(sums.mean()),
                "low": float(np.quantile(sums, tail)),
                "high": float(np.quantile(sums, 1 - tail)),
            },
            "paths": repetitions,
            "placebo_dates": len(placebos),
        },
        paths={
            "periods": panel.periods,
            "observed": y,
            "counterfactual": expected,
            "placebos": placebos,
        },
        why=why | reason,
    )


def structural_step(
    panel: Panel | pd.DataFrame, *, seasonal: int | None = None, level: float = 0.95
) -> Estimate:
    """Fit a local level, fixed seasons, covariates and a step at the start to the whole series.

    The classic intervention model: its interval and p are the model's own.

    Args:
        panel: One start; the mean of the treated units. [N, T]
        seasonal: Periods in a season; None fits none.
        level: Coverage of the interval. [1]

    References:
        A. C. Harvey, J. Durbin, J. R. Stat. Soc. A 149 (3), 187-227, 1986.
    """
    panel = as_panel(panel)
    start = panel.start
    y = panel.mean_treated()
    step = (np.arange(len(y)) >= start).astype(float)
    columns = [step, *(_mean(panel, column) for column in panel.covariates.values())]
    scale = _scale(y)
    fitted = _fit(y / scale, np.stack(columns, axis=1), seasonal)
    position = list(fitted.param_names).index("beta.x1")
    effect = float(fitted.params[position]) * scale
    se = float(fitted.bse[position]) * scale
    reach = float(norm.ppf((1 + level) / 2)) * se
    expected = y - effect * step
    relative, why = panel.relative(y[start:], expected[start:])
    return Estimate(
        estimator="uc",
        tier="T4",
        effect=effect,
        low=effect - reach,
        high=effect + reach,
        level=level,
        relative=relative,
        se=se,
        p=float(2 * norm.sf(abs(effect) / se)),
        p_method="simulation",
        n=int((~np.isnan(y)).sum()),
        detail={"start": start},
        paths={"periods": panel.periods, "observed": y, "counterfactual": expected},
        why=why,
    )


def _mean(panel: Panel, column: Floats) -> Floats:
    rows = panel.is_treated
    found = np.asarray(np.average(column[rows], axis=0, weights=panel.weights[rows]))
    if np.isnan(found).any():
        raise NotEstimableError("a covariate is missing in some period")
    return found


def _scale(y: Floats) -> float:
    spread = float(np.nanstd(y))
    if not spread > 0:
        raise NotEstimableError("the series does not vary")
    return spread


def _regressors(panel: Panel, y: Floats, start: int, most: int) -> tuple[Floats, list[str]]:
    """Covariates, and the best controls as one column; names of those controls."""
    columns = [_mean(panel, column) for column in panel.covariates.values()]
    rows = np.flatnonzero(~panel.is_treated & panel.observed.all(axis=1))
    known = ~np.isnan(y[:start])
    names: list[str] = []
    if len(rows) and most and known.sum() > LEAST_BEFORE:
        before = panel.values[rows, :start][:, known]
        target = y[:start][known]
        spread = before.std(axis=1)
        rows, before, spread = rows[spread > 0], before[spread > 0], spread[spread > 0]
        if len(rows) and target.std() > 0:
            centred = (before - before.mean(axis=1, keepdims=True)) / spread[:, None]
            goal = (target - target.mean()) / target.std()
            strength = np.abs(centred @ goal) / len(goal)
            best = np.argsort(-strength, kind="stable")[:most]
            chosen = centred[best]
            gram = chosen @ chosen.T / len(goal) + RIDGE / math.sqrt(len(goal)) * np.eye(len(best))
            weights = np.linalg.solve(gram, chosen @ goal / len(goal))
            whole = panel.values[rows[best]]
            shifted = (whole - before[best].mean(axis=1, keepdims=True)) / spread[best][:, None]
            columns.append(weights @ shifted)
            names = [panel.units[row] for row in rows[best]]
    found = np.stack(columns, axis=1) if columns else np.empty((len(y), 0))
    return found, names


def _fit(y: Floats, regressors: Floats, seasonal: int | None) -> Any:
    model = UnobservedComponents(
        y,
        level="llevel",
        seasonal=seasonal,
        stochastic_seasonal=False,
        exog=regressors if regressors.shape[1] else None,
    )
    with warnings.catch_warnings():  # a flat likelihood still gives the best parameters it has
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return model.fit(disp=False, maxiter=200)
        except (np.linalg.LinAlgError, ValueError) as error:
            raise NotEstimableError(f"the state space model cannot be fitted ({error})") from error


class _Model:
    """The series before the start, standardised, and what it expects after any date."""

    def __init__(self, y: Floats, regressors: Floats, seasonal: int | None, start: int) -> None:
        needed = LEAST_BEFORE + (seasonal or 0) + regressors.shape[1]
        if int((~np.isnan(y[:start])).sum()) < needed:
            raise NotEstimableError(f"needs {needed} periods before the start")
        self.mean, self.spread = float(np.nanmean(y[:start])), _scale(y[:start])
        self.y = (y - self.mean) / self.spread
        centre = regressors[:start].mean(axis=0)
        spread = regressors[:start].std(axis=0)
        self.regressors = (regressors - centre) / np.where(spread > 0, spread, 1.0)
        self.seasonal, self.start = seasonal, start
        self.result = _fit(self.y[:start], self.regressors[:start], seasonal)

    def _after(self, first: int, last: int) -> Floats | None:
        return self.regressors[first:last] if self.regressors.shape[1] else None

    def fitted(self) -> Floats:
        """One step ahead, before the start."""
        return np.asarray(self.result.fittedvalues) * self.spread + self.mean

    def paths(self, repetitions: int, rng: Generator) -> Floats:
        """Simulate what would have gone on. [repetitions, T1]"""
        ahead = len(self.y) - self.start
        drawn = self.result.simulate(
            ahead,
            repetitions=repetitions,
            anchor="end",
            exog=self._after(self.start, len(self.y)),
            rng=rng,
        )
        found = np.asarray(drawn, dtype=np.float64).reshape(ahead, repetitions).T
        return found * self.spread + self.mean

    def placebos(self, after: int) -> Floats:
        """Forecast from dates before the start, with the same parameters. [dates]"""
        found = []
        for date, end in fake_dates(self.start, after, most=MOST_DATES):
            seen: NDArray[Any] = self.y[:date]
            if np.isnan(seen).all() or np.isnan(self.y[date:end]).all():
                continue
            before = UnobservedComponents(
                seen,
                level="llevel",
                seasonal=self.seasonal,
                stochastic_seasonal=False,
                exog=self._after(0, date),
            ).filter(self.result.params)
            expected = before.forecast(end - date, exog=self._after(date, end))
            found.append(float(np.nanmean(self.y[date:end] - expected)) * self.spread)
        return np.array(found)
