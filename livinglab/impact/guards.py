"""Guards: what must hold before a number may be called an Effect.

Each guard is computed, stored and shown. One that cannot be computed from what it was given counts
as failed; one whose input was never supplied is not applicable, and says so.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import norm

from livinglab.errors import LabError, NotEstimableError
from livinglab.impact.effects.difference import event_study
from livinglab.impact.exchange import fake_dates, rank
from livinglab.impact.findings import THRESHOLDS, Thresholds, benjamini_hochberg
from livinglab.impact.kernels import KERNELS
from livinglab.impact.panel import Panel, as_panel
from livinglab.impact.results import Estimate, Floats, Guard, Status
from livinglab.impact.series import months_between
from livinglab.impact.weather import Weather

Point = Callable[[Panel], float]
"""An estimator without inference: from a panel to its effect."""
DAY = np.timedelta64(1, "D")
QUARTER_MONTHS = 3
MOST_DATES = 60
"""Dates before the start that are tried."""


def _unsupplied(name: str, input_: str) -> Guard:
    return Guard(id=name, status="not_applicable", note=f"{input_} was not supplied")


def unasked(name: str, estimate: Estimate) -> Guard:
    """Say that a guard does not concern an estimator."""
    return Guard(id=name, status="reported", note=f"is not asked of {estimate.estimator}")


# --- What is in the panel ---


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The periods of a panel as an even grid, so that an absent one is missing too."""

    step: Any
    positions: NDArray[np.int64]
    count: int


def _calendar(panel: Panel) -> _Calendar:
    periods = panel.periods
    gaps = np.diff(periods)
    step = np.median(gaps) if periods.dtype.kind == "f" else np.median(gaps.astype(np.int64))
    numbers = periods.astype(np.float64) if periods.dtype.kind == "f" else periods.astype(np.int64)
    positions = np.rint((numbers - numbers[0]) / step).astype(np.int64)
    return _Calendar(step, positions, int(positions[-1]) + 1)


def capture(panel: Panel | pd.DataFrame, *, limits: Thresholds = THRESHOLDS) -> Guard:
    """Ask how much of the post window, and of each calendar quarter in it, was measured.

    An absent period counts as missing. Of several treated units the worst counts, each from its
    own start on.
    """
    panel = as_panel(panel)
    treated = panel.only(panel.is_treated)
    if len(panel.periods) < 2:  # noqa: PLR2004 - one period has no rhythm
        return Guard(id="capture", status="cap_C", note="one period tells no rhythm")
    grid = _calendar(panel)
    seen = np.zeros((len(treated.units), grid.count), bool)
    seen[:, grid.positions] = treated.observed
    window = np.zeros(grid.count, np.int64)
    if panel.periods.dtype.kind == "M":
        stamps = panel.periods[0] + np.arange(grid.count) * np.timedelta64(int(grid.step), "s")
        window = stamps.astype("datetime64[M]").astype(np.int64) // QUARTER_MONTHS
    worst = 1.0
    for row, start in zip(seen, grid.positions[treated.starts], strict=True):
        after, quarter = row[start:], window[start:]
        parts = [after, *(after[quarter == one] for one in np.unique(quarter))]
        worst = min(worst, *(float(part.mean()) for part in parts))
    status: Status = "pass"
    if worst < limits.capture_full:
        status = "cap_B" if worst >= limits.capture_least else "veto"
    return Guard(
        id="capture",
        status=status,
        value=worst,
        threshold=limits.capture_full,
        note="" if status == "pass" else "share of the post window, or of a quarter in it",
    )


def seasons(
    panel: Panel | pd.DataFrame, *, seasonal: float | None, limits: Thresholds = THRESHOLDS
) -> Guard:
    """Ask whether the same months of a year before are compared with, and how many came after."""
    panel = as_panel(panel)
    start = int(panel.starts[panel.is_treated].min())
    if panel.periods.dtype.kind != "M":
        if seasonal is None:
            return _unsupplied("seasons", "a calendar, or the number of periods in a season,")
        whole = start / seasonal
        return Guard(
            id="seasons",
            status="pass" if whole >= 1 else "cap_C",
            value=whole,
            threshold=1.0,
            note="seasons before the start",
        )
    seconds = panel.periods.astype("datetime64[s]")
    end = seconds[-1] + np.median(np.diff(seconds).astype(np.int64)).astype("timedelta64[s]")
    first, begin, last = (
        day.astype("datetime64[D]").item() for day in (seconds[0], seconds[start], end)
    )
    before, after = months_between(first, begin), months_between(begin, last)
    if before < limits.pre_months:
        return Guard(
            id="seasons",
            status="cap_C",
            value=float(before),
            threshold=limits.pre_months,
            note="months before the start: less than a year",
        )
    if unlike := _unlike(panel):
        return Guard(
            id="seasons",
            status="cap_C",
            value=float(len(unlike)),
            threshold=0.0,
            note=f"calendar months not measured before the start: {', '.join(map(str, unlike))}",
        )
    early = after < limits.early_months
    return Guard(
        id="seasons",
        status="cap_B" if early else "pass",
        value=float(after),
        threshold=limits.early_months,
        note="early: few months after the start" if early else "months after the start",
    )


def _unlike(panel: Panel) -> list[int]:
    """Calendar months of the post window in which treated units had no value before. [1 to 12]"""
    months = panel.periods.astype("datetime64[M]").astype(np.int64) % 12 + 1
    treated = panel.is_treated
    on, seen = panel.treatment[treated], panel.observed[treated]
    before = months[(seen & ~on).any(axis=0)]
    return [int(one) for one in np.setdiff1d(months[(seen & on).any(axis=0)], before)]


def serial(estimate: Estimate, panel: Panel | pd.DataFrame) -> Guard:
    """Report the correlation of neighbouring gaps before the start.

    That is all it does: no estimator of the lab takes periods for independent and calls what
    follows a p-value.
    """
    if estimate.detail.get("rho") is not None:  # it has modelled its own
        return Guard(
            id="serial",
            status="reported",
            value=float(estimate.detail["rho"]),
            note="correlation at lag 1, in the model",
        )
    gap = _gap_before(estimate, as_panel(panel))
    if len(gap) < 3 or not np.ptp(gap):  # noqa: PLR2004 - two gaps have no lag
        return Guard(id="serial", status="reported", note="too few periods to tell")
    gap = gap - gap.mean()
    rho = float((gap[1:] * gap[:-1]).sum() / (gap**2).sum())
    return Guard(id="serial", status="reported", value=rho, note="correlation at lag 1")


def _gap_before(estimate: Estimate, panel: Panel) -> Floats:
    """Treated minus expected before the start, or minus controls where that is 0 by design."""
    paths, start = estimate.paths, int(panel.starts[panel.is_treated].min())
    gap = np.empty(0)
    if {"observed", "counterfactual"} <= set(paths) and "start" in estimate.detail:
        gap = (paths["observed"] - paths["counterfactual"])[: int(estimate.detail["start"])]
    if not np.nan_to_num(gap).any():
        try:
            gap = (panel.mean_treated() - panel.mean_control())[:start]
        except NotEstimableError:
            return np.empty(0)
    return np.asarray(gap[~np.isnan(gap)])


# --- Is the comparison sound? ---------------------------------------------------------------------


def pre_trend(
    panel: Panel | pd.DataFrame,
    *,
    smallest_effect: float | None,
    rng: Generator,
    limits: Thresholds = THRESHOLDS,
) -> Guard:
    """Ask whether treated and controls moved alike before the start.

    The joint Wald test of the leads must not reject, and with a smallest effect of interest the
    90 % interval of the slope, run on over the post window, must stay within half of it. The note
    tells the power of the test: the drift that it would have seen four times in five.
    """
    panel = as_panel(panel)
    try:
        study = event_study(panel, rng=rng)
    except NotEstimableError as error:
        return Guard(id="pre_trend", status="next_tier", note=str(error))
    p = study.pre_p
    if math.isnan(p):
        return Guard(id="pre_trend", status="next_tier", note="the leads cannot be tested")
    after = len(panel.periods) - int(panel.starts[panel.is_treated].min())
    reach = float(norm.ppf((1 + limits.pre_trend_level) / 2)) * study.slope_se * after
    seen = reach + float(norm.ppf(limits.power)) * study.slope_se * after
    sound, note = p > limits.pre_trend_p, f"p of all leads; a drift of {seen:.3g} would be seen"
    if smallest_effect is not None and sound:
        drift = abs(study.slope) * after + reach
        sound = drift <= limits.pre_trend_share * smallest_effect
        if not sound:
            note = f"the trends may part by {drift:.3g} over the post window"
    return Guard(
        id="pre_trend",
        status="pass" if sound else "next_tier",
        value=p,
        threshold=limits.pre_trend_p,
        note=note,
    )


def pre_fit(estimate: Estimate, *, limits: Thresholds = THRESHOLDS) -> Guard:
    """Ask whether the weighted controls followed the treated units before the start."""
    observed, fitted = estimate.paths["observed"], estimate.paths["counterfactual"]
    start = int(estimate.detail["start"])
    before = observed[:start]
    gap = before - fitted[:start]
    if estimate.estimator == "sdid":  # follows the course, not the level
        gap = gap - gap.mean()
    spread = float(before.std(ddof=1)) if start > 1 else math.nan
    rmspe = float(np.sqrt((gap**2).mean()))
    n_eff = float(estimate.detail.get("n_eff") or math.nan)
    good = (
        rmspe <= limits.pre_fit_sd * spread
        and rmspe <= limits.pre_fit_effect * abs(estimate.effect)
        and n_eff >= limits.pre_fit_donors
    )
    return Guard(
        id="pre_fit",
        status="pass" if good else "next_tier",
        value=rmspe,
        threshold=min(limits.pre_fit_sd * spread, limits.pre_fit_effect * abs(estimate.effect)),
        note=f"{n_eff:.1f} controls carry the weight",
    )


def placebo_space(estimate: Estimate, *, limits: Thresholds = THRESHOLDS) -> Guard:
    """Ask how the treated unit ranks among controls treated as if.

    Where more than a tenth of them rank as high, nothing was detected: the finding says so, and
    the grade, of what little an effect can be, is not lowered for it.
    """
    if estimate.p_method not in {"placebo_space", "randomisation"}:
        return unasked("placebo_space", estimate)
    if math.isnan(estimate.p):
        return Guard(id="placebo_space", status="cap_C", note=estimate.why.get("p", ""))
    failed: Status = "cap_C" if estimate.p <= limits.placebo_space_p_weak else "reported"
    return Guard(
        id="placebo_space",
        status="pass" if estimate.p <= limits.placebo_space_p else failed,
        value=estimate.p,
        threshold=limits.placebo_space_p,
        note=f"the least p that these units allow is {estimate.p_min:.3g}",
    )


def placebo_time(
    panel: Panel | pd.DataFrame, estimate: Estimate, *, limits: Thresholds = THRESHOLDS
) -> Guard:
    """Ask how often a date before the start, taken for it, gives as large an effect."""
    panel = as_panel(panel)
    if estimate.p_method == "placebo_time":
        p, dates = estimate.p, int(estimate.detail.get("placebo_dates", 0))
    else:
        effects = fake_starts(panel, estimate.estimator)
        dates = len(effects)
        p, _ = rank(abs(estimate.effect), np.abs(effects))
    if dates < limits.placebo_dates or math.isnan(p):
        return Guard(
            id="placebo_time",
            status="cap_C",
            value=float(dates),
            threshold=float(limits.placebo_dates),
            note="too few dates before the start to try",
        )
    return Guard(
        id="placebo_time",
        status="pass" if p <= limits.placebo_time_p else "cap_C",
        value=p,
        threshold=limits.placebo_time_p,
        note=f"{dates} dates",
    )


def fake_starts(panel: Panel, estimator: str) -> Floats:
    """Estimate as of dates at which nothing began, on data before the start only.

    Args:
        panel: Treated units may start at different periods: only what lies before the first
            start is used.
        estimator: Its kernel is used; that of ``did`` for any other.

    Returns:
        One effect a date. [dates]
    """
    first = int(panel.starts[panel.is_treated].min())
    after = len(panel.periods) - first
    early = panel.only(np.arange(len(panel.units)), np.arange(first))
    kernel = KERNELS.get(estimator, KERNELS["did"])
    whole = early.observed.all(axis=0)
    controls = early.values[~panel.is_treated][:, whole]
    if not len(controls):
        return np.empty(0)
    treated = np.average(
        early.values[panel.is_treated][:, whole], axis=0, weights=panel.weights[panel.is_treated]
    )
    found = []
    for date, end in fake_dates(len(treated), after, most=MOST_DATES):
        gap = kernel(controls[:, :end], treated[:end], date, int(panel.is_treated.sum()))
        found.append(float(gap[date:].mean()))
    return np.array(found)


def negative_control(
    found: Estimate | LabError | None, *, limits: Thresholds = THRESHOLDS
) -> Guard:
    """Ask whether something that the measure cannot touch moved as well."""
    if found is None:
        return _unsupplied("negative_control", "an outcome that the measure cannot touch")
    if isinstance(found, LabError) or math.isnan(found.p):
        why = str(found) if isinstance(found, LabError) else "it has no p-value"
        return Guard(id="negative_control", status="veto", note=f"cannot be estimated: {why}")
    return Guard(
        id="negative_control",
        status="veto" if found.p <= limits.negative_control_p else "pass",
        value=found.p,
        threshold=limits.negative_control_p,
        note=f"its effect is {found.effect:.3g}",
    )


def specification(
    estimate: Estimate,
    others: Sequence[Estimate],
    panel: Panel | pd.DataFrame,
    *,
    point: Point,
    limits: Thresholds = THRESHOLDS,
) -> Guard:
    """Ask whether the sign survives: without each donor, with shorter windows, by other tiers.

    A window can only be cut: the estimate already takes all that was measured.
    """
    panel = as_panel(panel)
    found = [one.effect for one in others if math.isfinite(one.effect)]
    for changed in _variants(panel, limits.specification_window):
        try:
            found.append(point(changed))
        except LabError:
            found.append(math.nan)
    if not found:
        return Guard(id="specification", status="soft_fail", note="nothing could be varied")
    same = float(np.mean(np.sign(found) == np.sign(estimate.effect)))
    return Guard(
        id="specification",
        status="pass" if same >= limits.specification_share else "soft_fail",
        value=same,
        threshold=limits.specification_share,
        note=f"share of {len(found)} variants with the same sign",
    )


def _variants(panel: Panel, share: float) -> list[Panel]:
    """Leave out each control in turn, a share of the time before, and of the time after."""
    units, t = np.arange(len(panel.units)), len(panel.periods)
    start = int(panel.starts[panel.is_treated].min())
    controls = np.flatnonzero(~panel.is_treated)
    left_out = controls[:: max(1, len(controls) // 30)] if len(controls) > 1 else controls[:0]
    variants = [panel.only(np.setdiff1d(units, [row])) for row in left_out]
    if before := int(start * share):
        variants.append(panel.only(units, np.arange(before, t)))
    if after := int((t - start) * share):
        variants.append(panel.only(units, np.arange(t - after)))
    return variants


def agreement(headline: Estimate, check: Estimate | None, *, level: float = 0.95) -> Guard:
    """Ask whether two estimates with different assumptions lie within their pooled error."""
    if check is None:
        return Guard(id="agreement", status="soft_fail", note="there is no second estimate")
    pooled = math.hypot(error_of(headline, level), error_of(check, level))
    apart = abs(headline.effect - check.effect)
    if math.isnan(pooled):
        note = f"{check.estimator} and {headline.estimator} have no common error to compare with"
        return Guard(id="agreement", status="soft_fail", value=apart, note=note)
    return Guard(
        id="agreement",
        status="pass" if apart <= pooled else "soft_fail",
        value=apart,
        threshold=pooled,
        note=f"{headline.estimator} against {check.estimator}",
    )


def error_of(estimate: Estimate, level: float = 0.95) -> float:
    """Return the standard error, or what the interval implies; NaN if neither says."""
    if math.isfinite(estimate.se) and estimate.se > 0:
        return estimate.se
    width = estimate.high - estimate.low
    if math.isfinite(width) and width > 0:
        return float(width / 2 / norm.ppf((1 + level) / 2))
    return math.nan


def clusters(
    panel: Panel | pd.DataFrame, estimate: Estimate, *, limits: Thresholds = THRESHOLDS
) -> Guard:
    """Ask whether the p-value rests on enough clusters, or on exchanging who was treated."""
    if estimate.tier == "D":
        return unasked("clusters", estimate)
    panel = as_panel(panel)
    count = len(np.unique(panel.clusters))
    exchanged = estimate.p_method in {"randomisation", "placebo_space", "placebo_time", "bootstrap"}
    by_error = estimate.p_method in {"cluster_t", "bootstrap"}
    broken = math.isnan(estimate.p) or (by_error and not estimate.se > 0)
    sound = not broken and (exchanged or count >= limits.clusters)
    if not sound and estimate.p_method == "simulation" and not broken:
        return unasked("clusters", estimate)
    return Guard(
        id="clusters",
        status="pass" if sound else "veto",
        value=float(count),
        threshold=float(limits.clusters),
        note=estimate.why.get("p", "") or estimate.p_method,
    )


def power(effect: float, mde: float, note: str = "") -> Guard:
    """Ask whether an effect of this size would have been found at all; if not, the finding says so.

    That costs no grade: a null result may be firm. An unknown power caps it.
    """
    if math.isnan(mde):
        return Guard(id="power", status="cap_C", note=note or "it could not be simulated")
    seen = abs(effect) >= mde
    return Guard(
        id="power",
        status="pass" if seen else "reported",
        value=abs(effect),
        threshold=mde,
        note=note if seen else f"smaller than what would have been found; {note}".rstrip("; "),
    )


def weather(found: Weather, *, limits: Thresholds = THRESHOLDS) -> Guard:
    """Tell whether the weather could be taken out; where not, values stay as they were."""
    return Guard(
        id="weather",
        status="pass" if found.passed else "reported",
        value=found.r2,
        threshold=limits.weather_r2,
        note=found.reason or "share explained in time that was not seen",
    )


# --- What happened beside it ---


def frozen(*, unchanged: bool | None) -> Guard:
    """Ask whether Hypothesis and Places stayed as they were when the Initiative began."""
    if unchanged is None:
        return _unsupplied("frozen", "a frozen Hypothesis")
    return Guard(id="frozen", status="pass" if unchanged else "cap_C")


def anticipation(
    with_gap: Estimate | LabError | None, estimate: Estimate, *, announced: bool
) -> Guard:
    """Ask whether the time between announcement and start changes the estimate.

    Args:
        with_gap: The estimate with that time kept, which the headline leaves out; None where
            there was no such time.
        estimate: The headline.
        announced: Whether a date of announcement was supplied.
    """
    if not announced:
        return _unsupplied("anticipation", "a date of announcement")
    if with_gap is None:
        return Guard(id="anticipation", status="pass", note="announced with the start")
    if isinstance(with_gap, LabError):
        return Guard(id="anticipation", status="soft_fail", note=f"cannot be held: {with_gap}")
    note = "shift if the time since the announcement is kept"
    return _shifted("anticipation", with_gap, estimate, note)


def _shifted(name: str, other: Estimate, estimate: Estimate, note: str) -> Guard:
    """Hold the shift between two estimates against their pooled error."""
    apart = abs(other.effect - estimate.effect)
    pooled = math.hypot(error_of(other), error_of(estimate))
    if math.isnan(pooled):
        note += "; there is no error to hold it against"
    return Guard(
        id=name,
        status="pass" if apart <= pooled else "soft_fail",
        value=apart,
        threshold=pooled,
        note=note,
    )


def contamination(
    without_near: Estimate | LabError | None,
    estimate: Estimate,
    *,
    near: Collection[str] | None,
    spillover: Estimate | None = None,
) -> Guard:
    """Ask whether controls near the treated Places were treated a little, too.

    Args:
        without_near: The estimate against controls beyond the ring only.
        estimate: The headline.
        near: Controls within the ring.
        spillover: What changed at these, against controls beyond the ring: an Effect of its own.
    """
    if near is None:
        return _unsupplied("contamination", "the distance between units")
    if not near:
        return Guard(id="contamination", status="pass", note="no control is near")
    if without_near is None or isinstance(without_near, LabError):
        return Guard(
            id="contamination", status="soft_fail", note="no control remains beyond the ring"
        )
    note = f"shift without {len(near)} near controls"
    if spillover is not None:
        note += f"; these changed by {spillover.effect:.3g} against the others"
    return _shifted("contamination", without_near, estimate, note)


def concurrent(events: Sequence[str] | None) -> Guard:
    """Ask what else happened around the start."""
    if events is None:
        return _unsupplied("concurrent", "a log of events")
    return Guard(
        id="concurrent",
        status="soft_fail" if events else "pass",
        value=float(len(events)),
        threshold=0.0,
        note="; ".join(events),
    )


def instrument(changed: Mapping[str, str] | None, treated_left: int) -> Guard:
    """Ask whether a Thing was moved or changed around the start; such units were left out."""
    if changed is None:
        return _unsupplied("instrument", "a history of instruments")
    if not changed:
        return Guard(id="instrument", status="pass", value=0.0)
    named = "; ".join(f"{unit}: {what}" for unit, what in sorted(changed.items()))
    return Guard(
        id="instrument",
        status="soft_fail" if treated_left else "veto",
        value=float(len(changed)),
        threshold=0.0,
        note=f"left out: {named}",
    )


def multiplicity(p: float, *, primary: bool | None, others: Sequence[float] | None = None) -> Guard:
    """Ask whether this outcome was the one that decides, or holds beside its siblings.

    Args:
        p: Its p-value. [1]
        primary: Whether it decides; None where there is one outcome only.
        others: The p-values of the other secondary outcomes, with which Benjamini-Hochberg holds.
    """
    if primary is None or primary:
        return Guard(id="multiplicity", status="pass", note="the primary outcome")
    if others is None:
        return _unsupplied("multiplicity", "the p-value of each other secondary outcome")
    holds = benjamini_hochberg([p, *others])[0]
    return Guard(
        id="multiplicity",
        status="pass" if holds else "soft_fail",
        value=p,
        note="secondary" + ("" if holds else ", and not significant beside its siblings"),
    )
