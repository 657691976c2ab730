"""Staggered starts: each cohort against the never treated, period by period, then averaged.

Where units begin at different times, one common difference compares late beginners with early ones
that are under way already; here nobody is compared with who is treated.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import norm

from livinglab.errors import NotEstimableError
from livinglab.impact.panel import Panel, as_panel
from livinglab.impact.results import Estimate, Floats, period, plain

Control = Literal["never", "notyet"]
Rule = Literal["available", "complete"]
AT_ONCE = 64
"""Resamples whose means are computed together."""
FEW_LEFT = 0.5
"""Of the draws: with fewer that are usable, the bootstrap says nothing."""


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

    Args:
        panel: Cells may be missing; starts may differ. [N, T]
        control_group: ``never`` treated units, or ``notyet`` treated ones as well.
        unbalanced: ``available`` takes each mean over the units that were observed in that cell,
            ``complete`` over those observed both then and at the base. Both are told in
            ``detail``.
        draws: Resamples of units; 0: no inference.
        level: Coverage of the interval. [1]
        rng: Draws units.

    Returns:
        The simple average. ``detail`` has it by cohort and by time since the start, each with its
        interval, and under both rules.

    Raises:
        NotEstimableError: No cohort with a base, or no control.

    References:
        [1] B. Callaway, P. H. C. Sant'Anna, J. Econometrics 225 (2), 200-230, 2021.
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
    samples = _resampled(panel, cells, unbalanced, draws, rng) if draws else None
    quantile = float(norm.ppf((1 + level) / 2))
    se, p, why = math.nan, math.nan, {}
    if samples is not None and len(samples.simple) >= FEW_LEFT * draws:
        se = float(samples.simple.std(ddof=1))
    if se > 0:
        p = float(2 * norm.sf(abs(effect) / se))
    else:
        se = math.nan
        why = {"se": "too few units to resample", "p": "see se"}
    reach = quantile * se if se > 0 else math.inf
    paths, relative, reason = _paths(panel, cells, found)
    return Estimate(
        estimator="cs",
        tier="T2",
        effect=effect,
        low=effect - reach,
        high=effect + reach,
        level=level,
        relative=relative,
        se=se,
        p=p,
        p_method="bootstrap" if samples is not None else "none",
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
                None if samples is None else samples.by_group,
                quantile,
                "group",
            ),
            "event": _told(
                cells.events.tolist(),
                found.by_event[0],
                None if samples is None else samples.by_event,
                quantile,
                "e",
            ),
            "draws": 0 if samples is None else len(samples.simple),
        },
        paths=paths,
        why=why | reason,
    )


@dataclass(frozen=True, slots=True)
class _Cells:
    """Which cohorts there are, and which cells of theirs are compared."""

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
    return _Cells(cohorts, members @ panel.weights, members, controls, events)


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
    sizes = np.where(sizes > 0, sizes, np.nan)
    after = np.arange(t)[None, :] >= cells.cohorts[:, None]
    return _Found(
        _average(att, sizes[:, :, None] * after, axis=(1, 2)),
        _average(att, np.broadcast_to(after, att.shape).astype(float), axis=(2,)),
        _by_event(att, sizes, cells),
        att,
    )


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
    found = np.full((len(att), len(cells.events)), np.nan)
    for k, event in enumerate(cells.events):
        columns = cells.cohorts + event
        rows = np.flatnonzero((columns >= 0) & (columns < t))
        if len(rows):
            found[:, k] = _average(att[:, rows, columns[rows]], sizes[:, rows], axis=(1,))
    return found


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


def _told(
    names: list[Any], effects: Floats, samples: Floats | None, quantile: float, name: str
) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for k, (key, effect) in enumerate(zip(names, effects, strict=True)):
        if math.isnan(effect):
            continue
        row: dict[str, Any] = {name: key, "effect": float(effect)}
        if samples is not None and len(samples) > 1:
            known = samples[:, k][~np.isnan(samples[:, k])]
            se = float(known.std(ddof=1)) if len(known) > 1 else math.nan
            if se > 0:
                row |= {"low": effect - quantile * se, "high": effect + quantile * se, "se": se}
        rows.append(plain(row))
    return rows


def _paths(
    panel: Panel, cells: _Cells, found: _Found
) -> tuple[dict[str, NDArray[Any]], float, dict[str, str]]:
    """Mean of the treated units, and the same without each cohort's effect."""
    rows = panel.is_treated
    weights = np.where(panel.observed[rows], panel.weights[rows][:, None], 0.0)
    total = weights.sum(axis=0)
    att = np.zeros((int(rows.sum()), len(panel.periods)))
    for c, start in enumerate(cells.cohorts):
        mine = panel.starts[rows] == start
        att[mine] = np.where(
            np.arange(len(panel.periods)) >= start, np.nan_to_num(found.att[0, c]), 0
        )
    values = np.nan_to_num(panel.values[rows])
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = (values * weights).sum(axis=0) / total
        expected = ((values - att) * weights).sum(axis=0) / total
    on = panel.treatment[rows] & panel.observed[rows]
    relative, why = panel.relative(panel.values[rows][on], (panel.values[rows] - att)[on])
    paths = {"periods": panel.periods, "observed": observed, "counterfactual": expected}
    return paths, relative, why
