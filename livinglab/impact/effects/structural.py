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

    The p-value of record compares with dates before the start: there controls are chosen anew and
    weighed by what lay before the date, and only the variances are held. The interval is that of
    the simulated paths.

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
    chooser = _Chooser(panel, y, max_controls)
    model = _Model(y, chooser, seasonal, start)
    names = chooser.names(start)
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
    fitted = _fit(_series(y / scale, np.stack(columns, axis=1), seasonal, coefficients=True))
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


class _Chooser:
    """Covariates, and the best controls as one column, by what can be known at a date."""

    def __init__(self, panel: Panel, y: Floats, most: int) -> None:
        self.y, self.most = y, most
        self.covariates = [_mean(panel, column) for column in panel.covariates.values()]
        whole = ~panel.is_treated & panel.observed.all(axis=1)
        self.controls = panel.values[whole]
        self.units = [panel.units[row] for row in np.flatnonzero(whole)]

    def regressors(self, date: int) -> Floats:
        """Return one column for each covariate, and one of controls if any is used. [T, K]"""
        rows, weights, mean, spread = self._best(date)
        columns = list(self.covariates)
        if len(rows):
            columns.append(weights @ ((self.controls[rows] - mean[:, None]) / spread[:, None]))
        return np.stack(columns, axis=1) if columns else np.empty((len(self.y), 0))

    def names(self, date: int) -> list[str]:
        """Name the controls that are used."""
        return [self.units[row] for row in self._best(date)[0]]

    def _best(self, date: int) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
        """Controls, their weights, and how each is standardised, on what lies before a date."""
        known = ~np.isnan(self.y[:date])
        before, target = self.controls[:, :date][:, known], self.y[:date][known]
        none = np.empty(0)
        if known.sum() <= LEAST_BEFORE or not target.std() > 0:
            return none.astype(np.int64), none, none, none
        mean, spread = before.mean(axis=1), before.std(axis=1)
        varied = np.flatnonzero(spread > 0)
        centred = (before[varied] - mean[varied, None]) / spread[varied, None]
        goal = (target - target.mean()) / target.std()
        order = np.argsort(-np.abs(centred @ goal), kind="stable")[: self.most]
        chosen, rows = centred[order], varied[order]
        shrunk = RIDGE / math.sqrt(len(goal)) * np.eye(len(rows))
        gram = chosen @ chosen.T / len(goal) + shrunk
        weights = np.linalg.solve(gram, chosen @ goal / len(goal))
        return rows, weights, mean[rows], spread[rows]


def _series(
    y: Floats, regressors: Floats, seasonal: int | None, *, coefficients: bool = False
) -> Any:
    """Make the model; coefficients of regressors are states, unless they are to be parameters."""
    return UnobservedComponents(
        y,
        level="llevel",
        seasonal=seasonal,
        stochastic_seasonal=False,
        exog=regressors if regressors.shape[1] else None,
        mle_regression=coefficients,
    )


def _fit(model: Any) -> Any:
    with warnings.catch_warnings():  # a flat likelihood still gives the best parameters it has
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return model.fit(disp=False, maxiter=200)
        except (np.linalg.LinAlgError, ValueError) as error:
            raise NotEstimableError(f"the state space model cannot be fitted ({error})") from error


class _Model:
    """The series before the start, standardised, and what it expects after any date."""

    def __init__(self, y: Floats, chooser: _Chooser, seasonal: int | None, start: int) -> None:
        self.chooser, self.seasonal, self.start = chooser, seasonal, start
        self.regressors = self._standardised(start)
        needed = LEAST_BEFORE + (seasonal or 0) + self.regressors.shape[1]
        if int((~np.isnan(y[:start])).sum()) < needed:
            raise NotEstimableError(f"needs {needed} periods before the start")
        self.mean, self.spread = float(np.nanmean(y[:start])), _scale(y[:start])
        self.y = (y - self.mean) / self.spread
        self.result = _fit(_series(self.y[:start], self.regressors[:start], seasonal))

    def _standardised(self, date: int) -> Floats:
        regressors = self.chooser.regressors(date)
        spread = regressors[:date].std(axis=0)
        centred = regressors - regressors[:date].mean(axis=0)
        return np.asarray(centred / np.where(spread > 0, spread, 1.0))

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
            exog=_after(self.regressors, self.start, len(self.y)),
            rng=rng,
        )
        found = np.asarray(drawn, dtype=np.float64).reshape(ahead, repetitions).T
        return found * self.spread + self.mean

    def placebos(self, after: int) -> Floats:
        """Forecast from dates before the start, with the same variances. [dates]"""
        found = []
        for date, end in fake_dates(self.start, after, most=MOST_DATES):
            seen: NDArray[Any] = self.y[:date]
            if np.isnan(seen).all() or np.isnan(self.y[date:end]).all():
                continue
            regressors = self._standardised(date)
            before = _series(seen, regressors[:date], self.seasonal).filter(self.result.params)
            expected = before.forecast(end - date, exog=_after(regressors, date, end))
            found.append(float(np.nanmean(self.y[date:end] - expected)) * self.spread)
        return np.array(found)


def _after(regressors: Floats, first: int, last: int) -> Floats | None:
    return regressors[first:last] if regressors.shape[1] else None
