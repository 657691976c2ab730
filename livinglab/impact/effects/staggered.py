"""Staggered starts: each cohort against the never treated, period by period, then averaged.

Where units begin at different times, one common difference compares late beginners with early ones
that are under way already; here nobody is compared with who is treated.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import t as t_distribution

from livinglab.errors import NotEstimableError
from livinglab.impact.effects.difference import FEW_CLUSTERS, FEW_TREATED, Exchange, assignments
from livinglab.impact.exchange import reach
from livinglab.impact.panel import Panel, as_panel
from livinglab.impact.results import UNBOUNDED, Estimate, Floats, period, plain

Control = Literal["never", "notyet"]
Rule = Literal["available", "complete"]
AT_ONCE = 64
"""Resamples whose means are computed together."""
FEW_LEFT = 0.5
"""Of the draws: with fewer that are usable, the bootstrap says nothing."""
LARGEST_EXCHANGE = 400_000_000
"""Cells that all exchanges of starts together may touch, but for the fewest that are made."""
FEWEST_EXCHANGES = 99


def callaway_santanna(
    panel: Panel | pd.DataFrame,
    *,
    control_group: Control = "never",
    unbalanced: Rule = "available",
    draws: int = 999,
    level: float = 0.95,
    rng: Generator,
) -> Estimate:
    """Average the effects of all cohorts over all periods since their start, without covariates.

    ATT(g, t) = change of cohort g since its base, the last period before g, minus the same change
    of the controls. Units weigh by ``panel.weights``; a cohort by its number of units [1].

    Units are resampled for the error, which is taken for as certain as the smallest cohort allows,
    t(units − 1). A resample of a few units spreads too little: with fewer than 10 in a cohort or
    among the never treated, or fewer than 20 clusters, starts are exchanged among clusters within
    strata instead [2], and the interval is everything that this test does not reject.

    Args:
        panel: Cells may be missing; starts may differ. [N, T]
        control_group: ``never`` treated units, or ``notyet`` treated ones as well.
        unbalanced: ``available`` takes each mean over the units that were observed in that cell,
            ``complete`` over those observed both then and at the base. Both are told in
            ``detail``.
        draws: Resamples of units, or exchanges of starts; 0: no inference.
        level: Coverage of the interval. [1]
        rng: Draws units, or starts.

    Returns:
        The simple average. ``detail`` has it by cohort and by time since the start, each with its
        interval, and under both rules.

    Raises:
        NotEstimableError: No cohort with a base, or no control.

    References:
        [1] B. Callaway, P. H. C. Sant'Anna, J. Econometrics 225 (2), 200-230, 2021.
        [2] T. J. Conley, C. R. Taber, Rev. Econ. Stat. 93 (1), 113-125, 2011.
    """
    panel = as_panel(panel)
    if panel.transform == "poisson":
        raise NotEstimableError("cs has no Poisson form; use level or log")
    cells = _cells(panel, control_group)
    once = np.ones((1, len(panel.units)))
    found = _estimates(panel, cells, unbalanced, once)
    effect = float(found.simple[0])
    if math.isnan(effect):
        raise NotEstimableError("no cohort was observed both at its base and after its start")
    other: Rule = "complete" if unbalanced == "available" else "available"
    beside = float(_estimates(panel, cells, other, once).simple[0])
    inferred = _infer(panel, cells, unbalanced, found, _Draws(draws, level, rng))
    paths, relative, reason = _paths(panel, cells, found)
    return Estimate(
        estimator="cs",
        tier="T2",
        effect=effect,
        low=inferred.low,
        high=inferred.high,
        level=level,
        relative=relative,
        se=inferred.se,
        p=inferred.p,
        p_min=inferred.p_min,
        p_method=inferred.method,
        n=int(panel.observed.sum()),
        detail={
            "start": int(cells.cohorts.min()),
            "control_group": control_group,
            "unbalanced": {
                unbalanced: effect,
                other: None if math.isnan(beside) else beside,
                "rule": unbalanced,
            },
            "units": int(cells.sizes.sum()),
            "controls": int((~panel.is_treated).sum()),
            "cells": int(panel.observed.sum()),
            "by_group": _told(
                [period(panel.periods[start]) for start in cells.cohorts],
                found.by_group[0],
                inferred.by_group,
                "group",
            ),
            "event": _told(
                cells.events.tolist(),
                found.by_event[0],
                inferred.by_event,
                "e",
            ),
            "draws": inferred.draws,
        },
        paths=paths,
        why=dict(inferred.why) | reason,
    )


@dataclass(frozen=True, slots=True)
class _Cells:
    """Which cohorts there are, and which cells of theirs are compared."""

    control_group: Control
    cohorts: NDArray[np.int64]
    sizes: Floats
    """Units of each cohort, by weight."""
    members: NDArray[np.bool_]
    """[C, N]"""
    controls: NDArray[np.bool_]
    """Units that each cohort is compared with in each period. [C, N, T]"""
    events: NDArray[np.int64]
    """All times since the start that occur."""


def _cells(panel: Panel, control_group: Control) -> _Cells:
    t = len(panel.periods)
    cohorts = np.unique(panel.starts[panel.is_treated])
    cohorts = cohorts[cohorts > 0]
    if not len(cohorts):
        raise NotEstimableError("no treated unit has a period before its start")
    never = ~panel.is_treated
    if control_group == "never" and not never.any():
        raise NotEstimableError("there is no unit that is never treated; try notyet")
    members = panel.starts[None, :] == cohorts[:, None]
    controls = np.broadcast_to(never[None, :, None], (len(cohorts), len(never), t)).copy()
    if control_group == "notyet":
        for c, start in enumerate(cohorts):
            later = panel.starts[:, None] > np.maximum(np.arange(t), start - 1)[None, :]
            controls[c] = later & ~members[c][:, None]
    events = np.arange(-int(cohorts.max()), t - int(cohorts.min()))
    return _Cells(control_group, cohorts, members @ panel.weights, members, controls, events)


@dataclass(frozen=True, slots=True)
class _Found:
    simple: Floats
    """[B]"""
    by_group: Floats
    """[B, C]"""
    by_event: Floats
    """[B, E]"""
    att: Floats
    """[B, C, T]"""


def _estimates(panel: Panel, cells: _Cells, rule: Rule, times: Floats) -> _Found:
    """Compute everything for several samples of units at once.

    Args:
        panel: The data.
        cells: What is compared.
        rule: Of missing cells.
        times: How often each sample holds each unit. [B, N]
    """
    att, sizes = _att(panel, cells, rule, times)
    after = np.broadcast_to(_after(cells, att.shape[2]), att.shape).astype(float)
    return _Found(
        _simple(att, sizes, cells),
        _average(att, after, axis=(2,)),
        _by_event(att, sizes, cells),
        att,
    )


def _att(panel: Panel, cells: _Cells, rule: Rule, times: Floats) -> tuple[Floats, Floats]:
    """ATT(g, t) in each sample [B, C, T], and the size of each cohort [B, C]."""
    t = len(panel.periods)
    weights = times * panel.weights
    values, seen = np.nan_to_num(panel.values), panel.observed.astype(float)
    att = np.full((len(times), len(cells.cohorts), t), np.nan)
    for c, start in enumerate(cells.cohorts):
        base = int(start) - 1
        at_base = seen[:, [base]] if rule == "complete" else np.ones((len(values), 1))
        both = seen * at_base
        changes = []
        for group in (
            np.broadcast_to(cells.members[c][:, None], (len(values), t)),
            cells.controls[c],
        ):
            now = _means(weights, values, both * group)
            then_seen = both if rule == "complete" else seen[:, [base]]
            then = _means(weights, values[:, [base]], then_seen * group)
            changes.append(now - then)
        att[:, c] = changes[0] - changes[1]
    sizes = weights @ cells.members.T
    return att, np.where(sizes > 0, sizes, np.nan)


def _after(cells: _Cells, t: int) -> NDArray[np.bool_]:
    """Periods from each cohort's start on. [C, T]"""
    return np.asarray(np.arange(t)[None, :] >= cells.cohorts[:, None])


def _simple(att: Floats, sizes: Floats, cells: _Cells) -> Floats:
    """Average over all cohorts and periods since their start. [B]"""
    return _average(att, sizes[:, :, None] * _after(cells, att.shape[2]), axis=(1, 2))


def _means(weights: Floats, values: Floats, seen: Floats) -> Floats:
    """Weighted means over units: [B, N] by [N, T] → [B, T]; NaN where nobody was observed."""
    total = weights @ seen
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 0, weights @ (values * seen) / total, np.nan))


def _average(values: Floats, weights: Floats, axis: tuple[int, ...]) -> Floats:
    known = np.where(np.isnan(values), 0.0, np.nan_to_num(weights))
    total = known.sum(axis=axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            np.where(total > 0, (np.nan_to_num(values) * known).sum(axis=axis) / total, np.nan)
        )


def _by_event(att: Floats, sizes: Floats, cells: _Cells) -> Floats:
    t = att.shape[2]
    columns = cells.cohorts[:, None] + cells.events[None, :]
    inside = (columns >= 0) & (columns < t)
    rows = np.arange(len(cells.cohorts))[:, None]
    shifted = np.where(inside, att[:, rows, np.where(inside, columns, 0)], np.nan)
    return _average(shifted, np.broadcast_to(sizes[:, :, None], shifted.shape), axis=(1,))


# --- How sure that is ---


@dataclass(frozen=True, slots=True)
class _Draws:
    """How many, at which level, and from where."""

    count: int
    level: float
    rng: Generator


@dataclass(frozen=True, slots=True)
class _Errors:
    """Of several effects: standard errors, and half their intervals; NaN where unknown. [K]"""

    se: Floats
    half: Floats

    @classmethod
    def unknown(cls, count: int) -> "_Errors":
        return cls(np.full(count, np.nan), np.full(count, np.nan))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inferred:
    by_group: _Errors
    by_event: _Errors
    low: float = -math.inf
    high: float = math.inf
    se: float = math.nan
    p: float = math.nan
    p_min: float = 0.0
    method: str = "none"
    draws: int = 0
    why: Mapping[str, str]


def _infer(panel: Panel, cells: _Cells, rule: Rule, found: _Found, draws: _Draws) -> _Inferred:
    if not draws.count:
        return _unknown(cells, "no draws were asked for")
    return (_exchanged if _few(panel, cells) else _bootstrapped)(panel, cells, rule, found, draws)


def _unknown(cells: _Cells, reason: str) -> _Inferred:
    return _Inferred(
        by_group=_Errors.unknown(len(cells.cohorts)),
        by_event=_Errors.unknown(len(cells.events)),
        why={"se": reason, "p": "see se", "low": UNBOUNDED, "high": UNBOUNDED},
    )


def _smallest(panel: Panel, cells: _Cells) -> int:
    """Units of the smallest cohort, or never treated, where any is."""
    never = int((~panel.is_treated).sum())
    cohorts = int(cells.members.sum(axis=1).min())
    return min(cohorts, never) if never else cohorts


def _few(panel: Panel, cells: _Cells) -> bool:
    clusters = len(np.unique(panel.clusters))
    return _smallest(panel, cells) < FEW_TREATED or clusters < FEW_CLUSTERS


def _bootstrapped(
    panel: Panel, cells: _Cells, rule: Rule, found: _Found, draws: _Draws
) -> _Inferred:
    samples = _resampled(panel, cells, rule, draws.count, draws.rng)
    usable = len(samples.simple) >= max(2, FEW_LEFT * draws.count)
    se = float(samples.simple.std(ddof=1)) if usable else math.nan
    if not se > 0:
        return _unknown(cells, "too few units to resample")
    left = max(1, _smallest(panel, cells) - 1)
    quantile = float(t_distribution.ppf((1 + draws.level) / 2, left))
    effect = float(found.simple[0])

    def errors(each: Floats) -> _Errors:
        spread = np.array([_spread(column) for column in each.T])
        return _Errors(spread, quantile * spread)

    return _Inferred(
        low=effect - quantile * se,
        high=effect + quantile * se,
        se=se,
        p=float(2 * t_distribution.sf(abs(effect) / se, left)),
        method="bootstrap",
        draws=len(samples.simple),
        by_group=errors(samples.by_group),
        by_event=errors(samples.by_event),
        why={},
    )


def _spread(column: Floats) -> float:
    known = column[~np.isnan(column)]
    return float(known.std(ddof=1)) if len(known) > 1 else math.nan


def _exchanged(panel: Panel, cells: _Cells, rule: Rule, found: _Found, draws: _Draws) -> _Inferred:
    """Give the starts to other units: what this finds is what chance would.

    For groups and for times since the start the values are taken without the effects that were
    found, so that what is exchanged is what chance left.
    """
    most = max(FEWEST_EXCHANGES, LARGEST_EXCHANGE // panel.values.size)
    others = list(assignments(panel, min(draws.count, most), draws.rng))
    without = panel.with_values(panel.values - _effects(panel, cells, found))
    given = panel.with_values(np.where(panel.observed, panel.treatment.astype(float), np.nan))
    once = np.ones((1, len(panel.units)))
    fixed, moving, left = [], [], []
    for starts in others:
        exchanged = _cells(replace(panel, starts=starts), cells.control_group)
        fixed.append(_simple(*_att(panel, exchanged, rule, once), exchanged)[0])
        moving.append(_simple(*_att(given, exchanged, rule, once), exchanged)[0])
        left.append(_estimates(without, exchanged, rule, once))
    known = ~np.isnan(np.array(fixed, dtype=float))
    chance = np.array([one.simple[0] for one in left])[known]
    if len(chance) < 2 or not chance.std() > 0:  # noqa: PLR2004 - one has no spread
        return _unknown(cells, "too few clusters to exchange, or values that do not differ")
    exchange = Exchange(float(found.simple[0]), np.array(fixed)[known], np.array(moving)[known])
    low, high = exchange.interval(1 - draws.level)
    why = {side: UNBOUNDED for side, bound in (("low", low), ("high", high)) if math.isinf(bound)}

    def errors(each: Floats) -> _Errors:
        spread = np.array([_spread(column) for column in each.T])
        half = [reach(column[~np.isnan(column)], 1 - draws.level) for column in each.T]
        return _Errors(spread, np.array(half))

    return _Inferred(
        low=low,
        high=high,
        se=float(chance.std(ddof=1)),
        p=exchange.p(),
        p_min=1 / (len(chance) + 1),
        method="randomisation",
        draws=len(chance),
        by_group=errors(np.array([one.by_group[0] for one in left])),
        by_event=errors(np.array([one.by_event[0] for one in left])),
        why=why,
    )


def _effects(panel: Panel, cells: _Cells, found: _Found) -> Floats:
    """The effect that was found in each cell; 0 where none was. [N, T]"""
    effects = np.zeros(panel.values.shape)
    for c, start in enumerate(cells.cohorts):
        on = np.arange(len(panel.periods)) >= start
        effects[cells.members[c]] = np.where(on, np.nan_to_num(found.att[0, c]), 0.0)
    return effects


def _resampled(panel: Panel, cells: _Cells, rule: Rule, draws: int, rng: Generator) -> _Found:
    """Resample units with replacement; a sample without a cohort or without controls is redrawn."""
    n = len(panel.units)
    never = ~panel.is_treated
    kept: list[Floats] = []
    tries = 0
    while len(kept) < draws and tries < 20 * draws:
        times = np.stack(
            [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(AT_ONCE)]
        )
        tries += AT_ONCE
        whole = ((times @ cells.members.T) > 0).all(axis=1)
        if never.any():
            whole &= (times[:, never] > 0).any(axis=1)
        kept += list(times[whole].astype(float))
    samples = [
        _estimates(panel, cells, rule, np.stack(kept[first : min(first + AT_ONCE, draws)]))
        for first in range(0, min(len(kept), draws), AT_ONCE)
    ]
    if not samples:
        empty = np.empty((0, 0))
        return _Found(np.empty(0), empty, empty, np.empty((0, 0, 0)))
    usable = np.concatenate([one.simple for one in samples])
    good = ~np.isnan(usable)
    return _Found(
        usable[good],
        np.concatenate([one.by_group for one in samples])[good],
        np.concatenate([one.by_event for one in samples])[good],
        np.empty((0, 0, 0)),
    )


def _told(names: list[Any], effects: Floats, errors: _Errors, name: str) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for key, effect, se, half in zip(names, effects, errors.se, errors.half, strict=True):
        if math.isnan(effect):
            continue
        row: dict[str, Any] = {name: key, "effect": float(effect)}
        if se > 0 and math.isfinite(half):
            row |= {"low": effect - half, "high": effect + half, "se": se}
        rows.append(plain(row))
    return rows


def _paths(
    panel: Panel, cells: _Cells, found: _Found
) -> tuple[dict[str, NDArray[Any]], float, dict[str, str]]:
    """Mean of the treated units, and the same without each cohort's effect."""
    rows = panel.is_treated
    weights = np.where(panel.observed[rows], panel.weights[rows][:, None], 0.0)
    total = weights.sum(axis=0)
    att = _effects(panel, cells, found)[rows]
    values = np.nan_to_num(panel.values[rows])
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = (values * weights).sum(axis=0) / total
        expected = ((values - att) * weights).sum(axis=0) / total
    on = panel.treatment[rows] & panel.observed[rows]
    relative, why = panel.relative(panel.values[rows][on], (panel.values[rows] - att)[on])
    paths = {"periods": panel.periods, "observed": observed, "counterfactual": expected}
    return paths, relative, why
