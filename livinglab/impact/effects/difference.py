"""Differences in differences: what changed at treated units beyond what changed at the others."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import norm
from scipy.stats import t as t_distribution

from livinglab.errors import NotEstimableError
from livinglab.impact.panel import Panel, as_panel
from livinglab.impact.results import UNBOUNDED, Estimate, Floats

TOLERANCE = 1e-10
MOST_SWEEPS = 10_000
FEW_TREATED, FEW_CLUSTERS = 10, 20
"""Below either, errors by cluster are not trusted, and who was treated is exchanged instead."""
LARGEST_EXCHANGE = 400_000_000
"""Numbers that exchanging units may touch where cells are missing or covariates enter."""
LEAST_VARIATION = 1e-9
"""Of treatment, once unit and period effects are taken out."""
MOST_BINS = 12
"""Bins of the time before the start, and as many after it."""

Ints = NDArray[np.int64]


# --- Two-way fixed effects ---


def demeaned(columns: Floats, weights: Floats) -> Floats:
    """Take unit and period effects out, by turns, until nothing changes any more.

    Args:
        columns: Variables; cells without weight may hold anything finite. [K, N, T]
        weights: Of the cells; 0 for missing ones. [N, T]

    Returns:
        What remains; 0 in cells without weight. [K, N, T]
    """
    rows = np.maximum(weights.sum(axis=1), 1e-300)
    columns_ = np.maximum(weights.sum(axis=0), 1e-300)
    left = np.where(weights > 0, columns, 0.0)
    seen = weights > 0
    for _ in range(MOST_SWEEPS):
        by_unit = (left * weights).sum(axis=2) / rows
        left = np.where(seen, left - by_unit[:, :, None], 0.0)
        by_period = (left * weights).sum(axis=1) / columns_
        left = np.where(seen, left - by_period[:, None, :], 0.0)
        scale = np.abs(left).max(axis=(1, 2), initial=0.0)
        moved = np.abs((left * weights).sum(axis=2) / rows).max(axis=1, initial=0.0)
        if (moved <= TOLERANCE * np.maximum(scale, 1e-300)).all() or not scale.any():
            break
    return np.asarray(left)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A regression of values on treatment and covariates, effects taken out."""

    effect: float
    values: Floats
    """Residualised, at δ = 0. [N, T]"""
    others: Floats
    """Residualised covariates. [K, N, T]"""
    weights: Floats
    covariance: float
    """Of the effect, robust within clusters."""
    residuals: Floats


def did(
    panel: Panel | pd.DataFrame,
    *,
    inference: Literal["auto", "cluster", "randomisation"] = "auto",
    draws: int = 1_999,
    level: float = 0.95,
    rng: Generator,
) -> Estimate:
    """Estimate one effect on all treated cells, beyond effects of units and of periods.

    Assumes that without treatment all units would have moved alike, and that the effect is the
    same whenever it began. Errors may correlate within clusters [1]; they are taken for as certain
    as the smaller side allows, t(min(treated clusters, others) − 1), for the clusters of the larger
    one tell little about the smaller. With few treated units or clusters, treatment paths are
    exchanged among clusters within strata [2] instead, and the interval is everything that this
    test does not reject.

    Args:
        panel: Cells may be missing; covariates enter as further regressors. [N, T]
        inference: How p and the interval come about; ``auto`` decides by the numbers.
        draws: Exchanges, if there are more than so many.
        level: Coverage of the interval. [1]
        rng: Chooses the exchanges.

    Returns:
        The effect, in log points with transform ``poisson`` (a two-way Poisson regression [3]).

    Raises:
        NotEstimableError: No control, or treatment that unit and period effects explain fully.

    References:
        [1] impact.md 5.1; J. G. MacKinnon, M. O. Nielsen, M. D. Webb, J. Econometrics 232, 2023.
        [2] T. J. Conley, C. R. Taber, Rev. Econ. Stat. 93 (1), 113-125, 2011.
        [3] S. Correia, P. Guimaraes, T. Zylkin, Stata J. 20 (1), 95-115, 2020.
    """
    panel = as_panel(panel)
    treated = panel.is_treated
    if not treated.any():
        raise NotEstimableError("no unit is treated")
    if treated.all() and len(np.unique(panel.starts)) == 1:
        raise NotEstimableError("there is no control unit")
    fit = _poisson_fit(panel) if panel.transform == "poisson" else _fit(panel)
    clusters = len(np.unique(panel.clusters))
    few = int(treated.sum()) < FEW_TREATED or clusters < FEW_CLUSTERS
    se = math.sqrt(fit.covariance) if fit.covariance > 0 else math.nan
    why: dict[str, str] = {}
    p, p_min, method, low, high = math.nan, 0.0, "none", -math.inf, math.inf
    if clusters > 1 and se > 1e-9 * max(abs(fit.effect), np.abs(fit.values).max(), 1e-300):
        left = _left(panel)
        quantile = float(t_distribution.ppf((1 + level) / 2, left))
        low, high = fit.effect - quantile * se, fit.effect + quantile * se
        p = float(2 * t_distribution.sf(abs(fit.effect) / se, left))
        method = "cluster_t"
    else:
        se, why["se"], why["p"] = math.nan, "errors do not vary between clusters", "see se"
    exchanges = 0
    if inference == "randomisation" or (inference == "auto" and few):
        found = _exchanged(panel, fit, draws, rng)
        if found is None:
            p, low, high, method = math.nan, -math.inf, math.inf, "none"
            why["p"] = "too few clusters for errors, and too many cells to exchange units"
        else:
            p, p_min, exchanges = found.p(), 1 / (len(found.fixed) + 1), len(found.fixed)
            method = "randomisation"
            why.pop("p", None)
            if panel.transform != "poisson":
                low, high = found.interval(1 - level)
                why["se"] = "errors by cluster are not trusted with so few"
                se = math.nan
    for side, bound in (("low", low), ("high", high)):
        if math.isinf(bound):
            why[side] = UNBOUNDED
    observed, expected = _paths(panel, fit)
    relative, reason = _relative(panel, fit)
    start = int(panel.starts[treated].min())
    return Estimate(
        estimator="did",
        tier="T2",
        effect=fit.effect,
        low=low,
        high=high,
        level=level,
        relative=relative,
        se=se,
        p=p,
        p_min=p_min,
        p_method=method,
        n=int((fit.weights > 0).sum()),
        detail={"start": start, "clusters": clusters, "exchanges": exchanges},
        paths={"periods": panel.periods, "observed": observed, "counterfactual": expected},
        why=why | reason,
    )


def _left(panel: Panel) -> int:
    """Degrees of freedom: clusters of the smaller side, less one; at least one."""
    treated = np.unique(panel.clusters[panel.is_treated])
    never = np.setdiff1d(panel.clusters, treated)
    sides = [len(one) for one in (treated, never) if len(one)]
    return max(1, min(sides) - 1)


def _cells(panel: Panel) -> Floats:
    """Weights of cells: the unit's where all is known, 0 where something is missing."""
    known = panel.observed
    for column in panel.covariates.values():
        known = known & ~np.isnan(column)
    if not known.any():
        raise NotEstimableError("no cell is complete")
    return np.where(known, panel.weights[:, None], 0.0)


def _fit(panel: Panel) -> _Fit:
    weights = _cells(panel)
    stack = np.stack([panel.values, panel.treatment.astype(float), *panel.covariates.values()])
    left = demeaned(np.nan_to_num(stack), weights)
    values, treatment, others = left[0], left[1], left[2:]
    return _regress(panel, values, treatment, others, weights)


def _regress(
    panel: Panel, values: Floats, treatment: Floats, others: Floats, weights: Floats
) -> _Fit:
    cells = weights > 0
    design = np.stack([treatment, *others])[:, cells].T
    root = np.sqrt(weights[cells])
    target = values[cells]
    if not (design[:, 0] ** 2 * root**2).sum() > LEAST_VARIATION:
        raise NotEstimableError("treatment cannot be told from units and periods")
    gram = design.T @ (design * root[:, None] ** 2)
    if np.linalg.matrix_rank(gram) < len(gram):
        raise NotEstimableError("a covariate cannot be told from treatment, units and periods")
    inverse = np.linalg.inv(gram)
    beta = inverse @ (design.T @ (target * root**2))
    residuals = np.zeros_like(values)
    residuals[cells] = target - design @ beta
    return _Fit(
        float(beta[0]),
        values,
        others,
        weights,
        _robust(panel, design, residuals[cells] * root**2, inverse, cells),
        residuals,
    )


def _robust(
    panel: Panel, design: Floats, scores: Floats, inverse: Floats, cells: NDArray[np.bool_]
) -> float:
    """Variance of the first coefficient, robust to correlation within clusters."""
    codes, cluster = np.unique(panel.clusters, return_inverse=True)
    of_cell = np.broadcast_to(cluster[:, None], cells.shape)[cells]
    groups = len(codes)
    sums = np.stack(
        [np.bincount(of_cell, column * scores, minlength=groups) for column in design.T], axis=1
    )
    n, k = int(cells.sum()), design.shape[1] + int(cells.any(axis=0).sum())
    if groups < 2 or n <= k:  # noqa: PLR2004 - one cluster tells no spread
        return math.nan
    factor = groups / (groups - 1) * (n - 1) / (n - k)
    return float(factor * (inverse @ (sums.T @ sums) @ inverse)[0, 0])


def _poisson_fit(panel: Panel) -> _Fit:
    """Fit a Poisson regression with effects of units and periods, by reweighted least squares."""
    weights = _cells(panel)
    weights = np.where(
        (np.nan_to_num(panel.values) * weights).sum(axis=1, keepdims=True) > 0, weights, 0
    )
    weights = np.where(
        (np.nan_to_num(panel.values) * weights).sum(axis=0, keepdims=True) > 0, weights, 0
    )
    if not (weights > 0).any():
        raise NotEstimableError("all counts are 0")
    y = np.nan_to_num(panel.values)
    covariates = np.nan_to_num(
        np.stack([panel.treatment.astype(float), *panel.covariates.values()])
    )
    mu = (y + y[weights > 0].mean()) / 2
    eta, fit, last = np.log(np.maximum(mu, 1e-12)), None, math.inf
    for _ in range(100):
        working = eta + (y - mu) / mu
        cell_weights = weights * mu
        left = demeaned(np.stack([working, *covariates]), cell_weights)
        fit = _regress(panel, left[0], left[1], left[2:], cell_weights)
        eta = np.where(weights > 0, working - fit.residuals, 0.0)
        mu = np.exp(np.clip(eta, -30, 30))
        deviance = float((weights * (mu - y * np.log(np.maximum(mu, 1e-300)))).sum())
        if abs(last - deviance) < 1e-9 * (abs(deviance) + 1):
            return fit
        last = deviance
    raise NotEstimableError("the Poisson regression does not converge")


# --- Exchanging who was treated ---


@dataclass(frozen=True, slots=True)
class Exchange:
    """Effects of other assignments: fixed − δ0·moving, were the true effect δ0. [B]

    Attributes:
        effect: Of the real assignment.
        fixed: Of the others, on the values as they are. [B]
        moving: Of the others, on the real treatment as if it were the values. [B]
    """

    effect: float
    fixed: Floats
    moving: Floats

    def count(self, at: Floats) -> Floats:
        """Count the assignments that show at least as much, for each supposed effect."""
        mine = np.abs(self.effect - at) * (1 - 1e-9)
        return np.asarray(
            (np.abs(self.fixed[:, None] - at * self.moving[:, None]) >= mine).sum(axis=0)
        )

    def p(self) -> float:
        """Rank the real effect among the others."""
        return float((1 + self.count(np.zeros(1))[0]) / (len(self.fixed) + 1))

    def interval(self, alpha: float) -> tuple[float, float]:
        """All supposed effects that are not rejected, from the outermost on either side."""
        with np.errstate(divide="ignore", invalid="ignore"):
            crossings = np.r_[
                (self.fixed - self.effect) / (self.moving - 1),
                (self.fixed + self.effect) / (self.moving + 1),
            ]
        crossings = np.unique(crossings[np.isfinite(crossings)])
        if not len(crossings):
            return -math.inf, math.inf
        span = np.ptp(crossings) + abs(self.effect) + 1.0
        edges = np.r_[crossings[0] - span, crossings, crossings[-1] + span]
        inside = (edges[1:] + edges[:-1]) / 2
        accepted = np.concatenate(
            [
                (1 + self.count(part)) / (len(self.fixed) + 1) > alpha
                for part in np.array_split(inside, max(1, len(inside) // 500))
            ]
        )
        kept = np.flatnonzero(accepted)
        if not len(kept):  # only the estimate itself
            return self.effect, self.effect
        low = -math.inf if kept[0] == 0 else float(edges[kept[0]])
        high = math.inf if kept[-1] == len(inside) - 1 else float(edges[kept[-1] + 1])
        return low, high


def _exchanged(panel: Panel, fit: _Fit, draws: int, rng: Generator) -> Exchange | None:
    """Estimate the effect under other assignments; None where that would touch too many cells."""
    starts = np.array(list(assignments(panel, draws, rng)))
    if not len(starts):
        return Exchange(fit.effect, np.empty(0), np.empty(0))
    t = len(panel.periods)
    cohorts = np.unique(panel.starts[panel.is_treated])
    whole = bool((fit.weights > 0).all()) and not len(fit.others)
    if whole and len(cohorts) == 1 and panel.transform != "poisson":
        return _contrasts(panel, fit, starts < t)
    if len(cohorts) * len(panel.units) ** 2 * t > LARGEST_EXCHANGE:
        return None
    return _projected(panel, fit, starts, cohorts)


def _contrasts(panel: Panel, fit: _Fit, assigned: NDArray[np.bool_]) -> Exchange:
    """On a complete panel the effect is a difference of mean changes."""
    start = int(panel.starts[panel.is_treated][0])
    change = panel.values[:, start:].mean(axis=1) - panel.values[:, :start].mean(axis=1)
    moved = panel.is_treated.astype(float)

    def contrast(values: Floats) -> Floats:
        on = assigned * panel.weights
        off = ~assigned * panel.weights
        return np.asarray(on @ values / on.sum(axis=1) - off @ values / off.sum(axis=1))

    return Exchange(fit.effect, contrast(change), contrast(moved))


def _projected(panel: Panel, fit: _Fit, starts: Ints, cohorts: Ints) -> Exchange:
    """Project every possible (unit, start) once; each assignment is a sum of those."""
    n, t = panel.values.shape
    units = np.arange(n)
    weights = fit.weights
    others = fit.others.reshape(len(fit.others), n * t)
    weighed = others * weights.ravel()
    gram = np.linalg.pinv(weighed @ others.T) if len(others) else np.zeros((0, 0))
    columns = np.empty((len(cohorts), n, n * t))
    for c, start in enumerate(cohorts):
        for unit in units:
            one = np.zeros((1, n, t))
            one[0, unit, start:] = 1.0
            left = demeaned(one, weights).reshape(-1)
            columns[c, unit] = left - (weighed @ left) @ gram @ others if len(others) else left
    flat = columns.reshape(len(cohorts) * n, -1)
    scores = flat @ (fit.values * weights).ravel()
    inner = (flat * weights.ravel()) @ flat.T
    chosen = np.concatenate([starts == start for start in cohorts], axis=1).astype(float)
    mine = np.concatenate([panel.starts == start for start in cohorts]).astype(float)
    size = np.einsum("bi,ij,bj->b", chosen, inner, chosen, optimize=True)
    size = np.maximum(size, 1e-300)
    return Exchange(fit.effect, chosen @ scores / size, chosen @ inner @ mine / size)


def assignments(panel: Panel, draws: int, rng: Generator) -> Iterator[Ints]:
    """Yield starts of units under other assignments of paths to clusters, within strata.

    All of them where one start and no strata leave few; else so many at random, which may repeat.
    """
    t = len(panel.periods)
    codes, first, cluster = np.unique(panel.clusters, return_index=True, return_inverse=True)
    path = panel.starts[first]
    if not (panel.starts == path[cluster]).all():  # treatment differs within clusters
        cluster, path = np.arange(len(panel.units)), panel.starts
        codes, first = cluster, cluster
    stratum = panel.strata[first]
    treated = np.flatnonzero(path < t)
    single = len(np.unique(path[treated])) == 1 and len(np.unique(stratum)) == 1
    if single and math.comb(len(codes), len(treated)) <= draws:
        for chosen in combinations(range(len(codes)), len(treated)):
            if chosen != tuple(treated):
                other = np.full(len(codes), t)
                other[list(chosen)] = path[treated[0]]
                yield other[cluster]
        return
    for _ in range(draws):
        other = path.copy()
        for one in np.unique(stratum):
            rows = np.flatnonzero(stratum == one)
            other[rows] = path[rng.permutation(rows)]
        yield other[cluster]


# --- Paths ---


def _paths(panel: Panel, fit: _Fit) -> tuple[Floats, Floats]:
    """Mean of the treated units, and the same without the effect, over what was observed."""
    rows = panel.is_treated
    seen = fit.weights[rows] > 0
    weights = np.where(seen, panel.weights[rows][:, None], 0.0)
    total = weights.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = (np.nan_to_num(panel.values[rows]) * weights).sum(axis=0) / total
        share = (panel.treatment[rows] * weights).sum(axis=0) / total
        if panel.transform == "poisson":
            return observed, observed * np.exp(-fit.effect * share)
    return observed, observed - fit.effect * share


def _relative(panel: Panel, fit: _Fit) -> tuple[float, dict[str, str]]:
    """Effect as a share of the counterfactual, from sums over treated cells."""
    if panel.transform == "poisson":
        return math.exp(fit.effect) - 1, {}
    cells = panel.treatment & (fit.weights > 0)
    observed = panel.values[cells]
    return panel.relative(observed, observed - fit.effect)


# --- Before the start ---


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStudy:
    """How treated units differed from controls, by time since the start.

    Attributes:
        relative: Middle of each bin, in periods since the start. [K]
        coefficients: Difference to the last bin before the start. [K; the panel's unit]
        errors: Standard errors, from the spread between units. [K]
        pre_p: Joint p-value of all bins before the start; NaN if there are fewer than two. [1]
        p_method: ``wald``, or ``randomisation`` with few units.
        slope: Difference of the trends before the start. [unit per period]
        slope_se: Its standard error. [unit per period]
    """

    relative: Floats
    coefficients: Floats
    errors: Floats
    pre_p: float
    p_method: str
    slope: float
    slope_se: float


def event_study(panel: Panel | pd.DataFrame, *, draws: int = 499, rng: Generator) -> EventStudy:
    """Follow treated units against the never treated, before and after their own start.

    Periods are put into at most 12 bins on either side. The joint test of the bins before the
    start is Wald's with many units; with few, who was treated is exchanged, and the sum of squares
    compared.

    Args:
        panel: Starts may differ; controls are never treated. [N, T]
        draws: Exchanges.
        rng: Chooses them.

    Raises:
        NotEstimableError: No control that is never treated, or one period before the start.
    """
    panel = as_panel(panel)
    rows = np.flatnonzero(panel.is_treated)
    controls = np.flatnonzero(~panel.is_treated)
    if not len(controls) or not len(rows):
        raise NotEstimableError("there is no treated unit, or none that is never treated")
    edges = _bins(panel)
    before = edges.before
    if before < 2:  # noqa: PLR2004 - the reference alone tells no trend
        raise NotEstimableError("one period before the start tells no trend")
    table = _binned(panel, edges)
    study = _study(panel, table)
    slopes = _slopes(panel)
    mine, theirs = slopes[rows], slopes[controls]
    spread = float(np.nanvar(theirs, ddof=1)) if len(theirs) > 1 else math.nan
    own = float(np.nanvar(mine, ddof=1)) if len(mine) > 2 else spread  # noqa: PLR2004 - two tell little
    slope_se = math.sqrt(own / len(mine) + spread / len(theirs))
    pre_p, method = _pre_p(panel, table, study, before, draws, rng)
    return EventStudy(
        relative=edges.middles,
        coefficients=study[0],
        errors=np.sqrt(np.diag(study[1])),
        pre_p=pre_p,
        p_method=method,
        slope=float(np.nanmean(mine) - np.nanmean(theirs)),
        slope_se=slope_se,
    )


@dataclass(frozen=True, slots=True)
class _Bins:
    edges: Ints
    """Relative periods at which bins begin, and the end of the last. [K + 1]"""
    before: int
    """Number of bins before the start; the last of them is the reference."""

    @property
    def middles(self) -> Floats:
        return np.asarray((self.edges[:-1] + self.edges[1:] - 1) / 2)


def _bins(panel: Panel) -> _Bins:
    starts = panel.starts[panel.is_treated]
    before, after = int(starts.max()), len(panel.periods) - int(starts.min())
    early = np.unique(np.linspace(-before, 0, min(before, MOST_BINS) + 1).round().astype(np.int64))
    late = np.unique(np.linspace(0, after, min(after, MOST_BINS) + 1).round().astype(np.int64))
    return _Bins(np.r_[early, late[1:]], len(early) - 1)


def _binned(panel: Panel, bins: _Bins) -> Floats:
    """Mean of every unit in every bin of every cohort, against the reference. [C, N, K]"""
    cohorts = np.unique(panel.starts[panel.is_treated])
    found = np.empty((len(cohorts), len(panel.units), len(bins.edges) - 1))
    seen = panel.observed
    values = np.nan_to_num(panel.values)
    for c, start in enumerate(cohorts):
        for k in range(len(bins.edges) - 1):
            part = slice(*np.maximum(0, start + bins.edges[k : k + 2]))
            n = seen[:, part].sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                found[c, :, k] = (values * seen)[:, part].sum(axis=1) / n
    return found - found[:, :, [bins.before - 1]]


def _gaps(panel: Panel, table: Floats, starts: Ints) -> Floats:
    """Treated minus mean of controls, by treated unit and bin."""
    cohorts = np.unique(panel.starts[panel.is_treated])
    never = starts >= len(panel.periods)
    found = []
    for c, start in enumerate(cohorts):
        rows = np.flatnonzero(starts == start)
        if len(rows):
            found.append(table[c, rows] - _mean(table[c, never]))
    return np.concatenate(found)


def _study(panel: Panel, table: Floats) -> tuple[Floats, Floats]:
    """Coefficients and covariance, from the spread between units."""
    gaps = _gaps(panel, table, panel.starts)
    controls = table[:, ~panel.is_treated]
    spread = _covariance(np.concatenate(list(controls))) if len(controls) else controls
    own = _covariance(gaps) if len(gaps) >= FEW_TREATED else spread
    count = int((~panel.is_treated).sum())
    return np.asarray(_mean(gaps)), np.asarray(own / len(gaps) + spread / count)


def _mean(rows: Floats) -> Floats:
    """Mean over rows of what is known; NaN where nothing is."""
    known = ~np.isnan(rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(known, rows, 0.0).sum(axis=0) / known.sum(axis=0))


def _covariance(rows: Floats) -> Floats:
    if len(rows) < 2:  # noqa: PLR2004 - one unit has no spread
        return np.full((rows.shape[1], rows.shape[1]), np.nan)
    centred = np.nan_to_num(rows - _mean(rows))
    return np.asarray(centred.T @ centred / (len(rows) - 1))


def _pre_p(
    panel: Panel,
    table: Floats,
    study: tuple[Floats, Floats],
    before: int,
    draws: int,
    rng: Generator,
) -> tuple[float, str]:
    leads = slice(0, before - 1)
    coefficients, covariance = study[0][leads], study[1][leads, leads]
    treated, units = int(panel.is_treated.sum()), len(panel.units)
    single = len(table) == 1
    if single and treated >= FEW_TREATED and units >= FEW_CLUSTERS + before:
        q, left = len(coefficients), units - 2
        try:
            wald = float(coefficients @ np.linalg.solve(covariance, coefficients))
        except np.linalg.LinAlgError:
            return math.nan, "wald"
        scaled = wald / q * (left - q + 1) / left
        return float(f_distribution.sf(scaled, q, left - q + 1)), "wald"
    scale = np.maximum(np.sqrt(np.diag(covariance)), 1e-12)

    def size(starts: Ints) -> float:
        mean = _mean(_gaps(panel, table, starts)[:, leads]) / scale
        return float(np.nansum(mean**2))

    mine = size(panel.starts)
    others = [size(starts) for starts in assignments(panel, draws, rng)]
    if not others or math.isnan(mine):
        return math.nan, "randomisation"
    return (1 + sum(one >= mine * (1 - 1e-9) for one in others)) / (
        len(others) + 1
    ), "randomisation"


def _slopes(panel: Panel) -> Floats:
    """Trend of each unit before its start, of controls before the last one. [N; unit a period]"""
    end = int(panel.starts[panel.is_treated].max())
    seen = (panel.observed & ~panel.treatment)[:, :end]
    time = np.where(seen, np.arange(end, dtype=float), np.nan)
    values = np.where(seen, panel.values[:, :end], np.nan)
    n = np.maximum(seen.sum(axis=1, keepdims=True), 1)
    time = time - np.nansum(time, axis=1, keepdims=True) / n
    values = values - np.nansum(values, axis=1, keepdims=True) / n
    size = np.nansum(time**2, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(size > 0, np.nansum(time * values, axis=1) / size, np.nan))


# --- The naive one ---


def before_after(panel: Panel | pd.DataFrame, *, level: float = 0.95) -> Estimate:
    """Subtract the mean before the start from the mean after it: what a naive reader would do.

    Nothing is compared with, so whatever else changed is in it. Its interval takes periods for
    independent, which they are not; it is shown beside, and graded D.
    """
    panel = as_panel(panel)
    if not panel.is_treated.any():
        raise NotEstimableError("no unit is treated")
    treated = panel.only(panel.is_treated)
    on, seen = treated.treatment, treated.observed
    before, after = treated.values[seen & ~on], treated.values[seen & on]
    if not len(before) or not len(after):
        raise NotEstimableError("nothing was measured on one side of the start")
    effect = float(after.mean() - before.mean())
    why = {"p": "a difference of two means tests no cause"}
    se = math.nan
    if min(len(before), len(after)) > 1:
        se = math.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after))
    if not se > 0:
        se, why["se"] = math.nan, "values do not vary"
    reach = float(norm.ppf((1 + level) / 2)) * se if se > 0 else math.inf
    relative = effect / float(before.mean()) if before.mean() > 0 else math.nan
    if panel.transform == "log":
        relative = float(np.exp(after).mean() / np.exp(before).mean() - 1)
    if math.isnan(relative):
        why["relative"] = "the mean before the start is not above 0"
    return Estimate(
        estimator="before_after",
        tier="D",
        effect=effect,
        low=effect - reach,
        high=effect + reach,
        level=level,
        relative=relative,
        se=se,
        n=len(before) + len(after),
        detail={"start": int(treated.starts.min())},
        why=why,
    )
