"""Interrupted series: what the trend and the seasons before the start would have gone on to show.

One series answers for itself, so whatever else began at the same time is in its effect; a control
series beside it takes out what both went through. Neither a robust nor a modelled error keeps its
promise under serial correlation, so the p-value of record compares with dates at which nothing
began.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as t_distribution

from livinglab.errors import NotEstimableError
from livinglab.impact.exchange import LEAST_DATES, fake_dates, rank, reach
from livinglab.impact.panel import Panel, as_panel
from livinglab.impact.results import UNBOUNDED, Estimate, Floats

HARMONICS = 2
ROUNDS = 20
"""Of re-estimating the serial correlation."""
LARGEST_RHO = 0.98
LEAST_LEFT = 4
"""Periods beyond the number of coefficients."""


def interrupted(
    panel: Panel | pd.DataFrame,
    *,
    seasonal: float | None = None,
    offset: str | None = None,
    slope_change: bool = True,
    placebo: bool = True,
    level: float = 0.95,
) -> Estimate:
    """Estimate a step and a change of slope at the start, in the mean of the treated units.

    Trend, seasons and covariates of the panel are fitted together with them [1]. Values have an
    error that follows the one before it (AR(1), by iterated generalised least squares [2]); with
    transform ``poisson`` counts have a variance proportional to their mean. With controls the
    series is treated minus control, for counts both series with their own courses [3].

    The p-value of record comes from the same estimate at dates before the start, on data before
    it; the interval is the model's or theirs, whichever is wider.

    Args:
        panel: One start. [N, T]
        seasonal: Periods in a season; None fits none.
        offset: Name of a covariate whose logarithm is the offset of counts.
        slope_change: Whether the slope may change, too.
        placebo: Whether to try other dates; without, p is the model's.
        level: Coverage of the interval. [1]

    Returns:
        The mean over the post window of fitted minus counterfactual; ``detail`` has the step at
        the start and the level at the end.

    Raises:
        NotEstimableError: Too few periods for the coefficients, or a regressor that is constant.

    References:
        [1] J. Lopez Bernal, S. Cummins, A. Gasparrini, Int. J. Epidemiol. 46 (1), 348-355, 2017.
        [2] D. Cochrane, G. H. Orcutt, J. Am. Stat. Assoc. 44, 32-61, 1949.
        [3] J. Lopez Bernal, S. Cummins, A. Gasparrini, Int. J. Epidemiol. 47 (6), 2082-2093, 2018.
    """
    panel = as_panel(panel)
    series = _series(panel, offset)
    model = _Model(series, seasonal, slope_change=slope_change)
    found = model.fit(series.start, len(series.treated))
    quantile = float(t_distribution.ppf((1 + level) / 2, found.left))
    half = quantile * found.se
    why: dict[str, str] = {}
    p, p_min, method = (
        float(2 * t_distribution.sf(abs(found.effect) / found.se, found.left)),
        0.0,
        "cluster_t",
    )
    placebos = model.placebos(series.start) if placebo else np.empty(0)
    if placebo and len(placebos) >= LEAST_DATES:
        p, p_min = rank(abs(found.effect), np.abs(placebos))
        method = "placebo_time"
        half = max(half, reach(placebos, 1 - level))
    elif placebo:
        p, method = math.nan, "none"
        why["p"] = (
            f"{len(placebos)} dates before the start can be tried, {LEAST_DATES} are needed: the "
            "model's own p-value is not trusted under serial correlation"
        )
    if math.isinf(half):
        why |= {"low": UNBOUNDED, "high": UNBOUNDED}
    relative, reason = _relative(panel, found)
    return Estimate(
        estimator="its",
        tier="T3" if series.control is not None else "T4",
        effect=found.effect,
        low=found.effect - half,
        high=found.effect + half,
        level=level,
        relative=relative,
        se=found.se,
        p=p,
        p_min=p_min,
        p_method=method,
        n=found.n,
        detail={
            "start": series.start,
            "step": found.step,
            "level_at_end": found.at_end,
            "model_low": found.effect - quantile * found.se,
            "model_high": found.effect + quantile * found.se,
            "rho": None if math.isnan(found.rho) else found.rho,
            "scale": found.scale,
            "placebo_dates": len(placebos),
            "controlled": series.control is not None,
        },
        paths={
            "periods": panel.periods,
            "observed": found.observed,
            "counterfactual": found.expected,
            "placebos": placebos,
        },
        why=why | reason,
    )


@dataclass(frozen=True, slots=True)
class _Series:
    treated: Floats
    """[T]"""
    control: Floats | None
    covariates: Floats
    """Means over the treated units. [K, T]"""
    offset: Floats
    """Logarithm; 0 without. [T]"""
    start: int
    counts: bool


def _series(panel: Panel, offset: str | None) -> _Series:
    start = panel.start
    rows = panel.is_treated
    weights = panel.weights[rows]

    def mean(column: Floats) -> Floats:
        return np.asarray(np.average(column[rows], axis=0, weights=weights))

    others = {name: mean(column) for name, column in panel.covariates.items() if name != offset}
    logs = np.zeros(len(panel.periods))
    if offset is not None:
        if offset not in panel.covariates:
            raise NotEstimableError(f"there is no covariate {offset} for the offset")
        exposed = mean(panel.covariates[offset])
        if not (exposed > 0).all():
            raise NotEstimableError(f"the offset {offset} is not above 0 everywhere")
        logs = np.log(exposed)
    control = panel.mean_control() if (~rows).any() else None
    stacked = np.array(list(others.values())) if others else np.empty((0, len(logs)))
    counts = panel.transform == "poisson"
    return _Series(panel.mean_treated(), control, stacked, logs, start, counts)


@dataclass(frozen=True, slots=True)
class _Found:
    effect: float
    se: float
    left: int
    """Degrees of freedom."""
    n: int
    step: float
    at_end: float
    rho: float
    scale: float
    observed: Floats
    expected: Floats


class _Model:
    """One series, its regressors, and the estimate as of any date."""

    def __init__(self, series: _Series, seasonal: float | None, *, slope_change: bool) -> None:
        self.series, self.slope_change = series, slope_change
        t = len(series.treated)
        time = np.arange(t, dtype=float)
        columns = [np.ones(t), (time - t / 2) / max(t, 1)]
        if seasonal is not None:
            for k in range(1, HARMONICS + 1):
                if 2 * k <= seasonal:
                    columns.append(np.sin(2 * np.pi * k * time / seasonal))
                if 2 * k < seasonal:
                    columns.append(np.cos(2 * np.pi * k * time / seasonal))
        for column in series.covariates:
            spread = np.nanstd(column)
            if not spread > 0:
                raise NotEstimableError("a covariate does not vary")
            columns.append((column - np.nanmean(column)) / spread)
        self.course = np.stack(columns, axis=1)
        self.time = time

    def _changes(self, start: int, end: int) -> Floats:
        since = self.time[:end] - start
        after = since >= 0
        columns = [after.astype(float)]
        if self.slope_change:
            columns.append(np.where(after, since, 0.0))
        return np.stack(columns, axis=1)

    def fit(self, start: int, end: int) -> _Found:
        """Estimate as if the start were there, on the periods before *end*.

        Raises:
            NotEstimableError: Too few periods, or regressors that cannot be told apart.
        """
        return self._counts(start, end) if self.series.counts else self._values(start, end)

    def placebos(self, start: int) -> Floats:
        """Estimate as of dates before the start, on data before it. [dates]"""
        found = []
        for date, end in fake_dates(start, len(self.series.treated) - start):
            try:
                found.append(self.fit(date, end).effect)
            except NotEstimableError:
                continue
        return np.array(found)

    def _values(self, start: int, end: int) -> _Found:
        y = self.series.treated[:end]
        if self.series.control is not None:
            y = y - self.series.control[:end]
        changes, course = self._changes(start, end), self.course[:end]
        design = np.column_stack([changes, course])
        known = ~np.isnan(y) & ~np.isnan(design).any(axis=1)
        if known.any() and not np.ptp(y[known]):
            raise NotEstimableError("the series does not vary")
        beta, covariance, rho, scale, left = _autoregressive(y, design, known)
        return self._found(
            beta, covariance, changes, start, left=left, n=int(known.sum()), rho=rho, scale=scale
        )

    def _counts(self, start: int, end: int) -> _Found:
        changes, course = self._changes(start, end), self.course[:end]
        own = np.column_stack([changes, course])
        y, offset = self.series.treated[:end], self.series.offset[:end]
        known = ~np.isnan(y) & ~np.isnan(own).any(axis=1)
        design = own[known]
        if self.series.control is not None:
            control = self.series.control[:end]
            both = known & ~np.isnan(control)
            width = own.shape[1]
            design = np.zeros((2 * int(both.sum()), 2 * width))
            design[: int(both.sum()), :width] = own[both]
            design[:, width:] = np.tile(own[both], (2, 1))
            y = np.r_[y[both], control[both]]
            offset = np.tile(offset[both], 2)
            known = both
        else:
            y, offset = y[known], offset[known]
        beta, covariance, scale, left = _quasi_poisson(y, design, offset)
        return self._found(
            beta, covariance, changes, start, left=left, n=len(y), rho=math.nan, scale=scale
        )

    def _found(
        self,
        beta: Floats,
        covariance: Floats,
        changes: Floats,
        start: int,
        *,
        left: int,
        n: int,
        rho: float,
        scale: float,
    ) -> _Found:
        width, end = changes.shape[1], len(changes)
        mean = changes[start:].mean(axis=0)
        shift = changes @ beta[:width]
        variance = float(mean @ covariance[:width, :width] @ mean)
        if not variance > 0:
            raise NotEstimableError("the series follows its own course exactly: no error is left")
        observed = self.series.treated[:end]
        expected = observed * np.exp(-shift) if self.series.counts else observed - shift
        return _Found(
            effect=float(mean @ beta[:width]),
            se=math.sqrt(variance),
            left=left,
            n=n,
            step=float(beta[0]),
            at_end=float(shift[-1]),
            rho=rho,
            scale=scale,
            observed=observed,
            expected=expected,
        )


def _solved(design: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Return coefficients and the inverse of the Gram matrix."""
    gram = design.T @ design
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise NotEstimableError("trend, seasons, covariates and the start cannot be told apart")
    inverse = np.asarray(np.linalg.inv(gram))
    return np.asarray(inverse @ (design.T @ target)), inverse


def _autoregressive(
    y: Floats, design: Floats, known: NDArray[np.bool_]
) -> tuple[Floats, Floats, float, float, int]:
    """Generalised least squares with AR(1) errors; across a gap nothing is carried over."""
    n, k = int(known.sum()), design.shape[1]
    left = n - k - 1
    if left < LEAST_LEFT:
        raise NotEstimableError(f"{n} periods are too few for {k} coefficients")
    follows = known[1:] & known[:-1]
    begins = known.copy()
    begins[1:] &= ~known[:-1]
    beta, _ = _solved(design[known], y[known])
    rho = 0.0
    for _ in range(ROUNDS):
        error = np.where(known, y - np.nan_to_num(design) @ beta, 0.0)
        below = float((error[:-1][follows] ** 2).sum())
        new = float((error[1:][follows] * error[:-1][follows]).sum()) / below if below > 0 else 0.0
        new = min(max(new, -LARGEST_RHO), LARGEST_RHO)
        first = math.sqrt(1 - new**2)
        rows = np.concatenate([design[begins] * first, (design[1:] - new * design[:-1])[follows]])
        target = np.concatenate([y[begins] * first, (y[1:] - new * y[:-1])[follows]])
        beta, inverse = _solved(rows, target)
        if abs(new - rho) < 1e-6:  # noqa: PLR2004 - settled
            break
        rho = new
    scale = float(((target - rows @ beta) ** 2).sum()) / left
    return beta, inverse * scale, new, scale, left


def _quasi_poisson(y: Floats, design: Floats, offset: Floats) -> tuple[Floats, Floats, float, int]:
    """Poisson regression whose variance is Pearson's χ²/df times the mean."""
    left = len(y) - design.shape[1]
    if left < LEAST_LEFT:
        raise NotEstimableError(f"{len(y)} counts are too few for {design.shape[1]} coefficients")
    if not y.sum() > 0:
        raise NotEstimableError("all counts are 0")
    mu = (y + y.mean()) / 2
    last = math.inf
    for _ in range(100):
        eta = np.log(mu)
        root = np.sqrt(mu)
        working = eta - offset + (y - mu) / mu
        beta, inverse = _solved(design * root[:, None], working * root)
        mu = np.exp(np.clip(design @ beta + offset, -30, 30))
        deviance = float((mu - y * np.log(mu)).sum())
        if abs(last - deviance) < 1e-10 * (abs(deviance) + 1):
            break
        last = deviance
    else:
        raise NotEstimableError("the Poisson regression does not converge")
    scale = float(((y - mu) ** 2 / mu).sum()) / left
    return beta, np.asarray(inverse * scale), scale, left


def _relative(panel: Panel, found: _Found) -> tuple[float, dict[str, str]]:
    start = panel.start
    after = slice(start, len(found.observed))
    known = ~np.isnan(found.observed[after])
    return panel.relative(found.observed[after][known], found.expected[after][known])
