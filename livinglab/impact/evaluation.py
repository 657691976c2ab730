"""Evaluation: from a panel to what may be said, through two estimates and all guards."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from livinglab.errors import LabError, NotEstimableError, PanelError
from livinglab.impact import guards as guard
from livinglab.impact import power
from livinglab.impact.estimators import ESTIMATORS, Estimator, Options, may_decide
from livinglab.impact.findings import (
    GUARDS,
    THRESHOLDS,
    Finding,
    Grade,
    finding,
    grade,
)
from livinglab.impact.kernels import KERNELS
from livinglab.impact.panel import Panel
from livinglab.impact.results import Estimate, Guard, NotRun
from livinglab.impact.weather import Weather, widened

PLANTINGS_OF_COHORTS = 200
AFTER_WEATHER = frozenset({"did", "cs", "its", "uc"})
"""Estimators of tiers 2 to 4: a synthetic comparison shares its weather with its controls."""

Progress = Callable[[str], None]
"""Told the name of each step as it begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is known beside the panel; None: nobody said, and the guard is not applicable.

    Attributes:
        smallest_effect: Of interest, stated beforehand. [as the values]
        announced: First period in which people knew; those from it to the start are left out.
        negative_control: A panel of something that the measure cannot touch.
        unchanged: Whether Hypothesis and Places stayed as they were since their freeze.
        near: Controls so near to treated units that they may be treated a little.
        events: What else happened around the start, unresolved.
        changed: Units whose instrument changed around the start, and how; they are left out.
        primary: Whether this outcome decides.
        other_p: The p-values of the Initiative's other secondary outcomes.
    """

    smallest_effect: float | None = None
    announced: Any = None
    negative_control: Panel | None = None
    unchanged: bool | None = None
    near: frozenset[str] | None = None
    events: tuple[str, ...] | None = None
    changed: Mapping[str, str] | None = None
    primary: bool | None = None
    other_p: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Calm:
    """A panel without its weather, and how that was taken out: see `weather.normalise`."""

    panel: Panel
    weather: Weather


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was found, how sure that is, and everything it rests on.

    Attributes:
        panel: What was analysed, after units and periods were left out.
        estimates: Of every estimator whose data rules hold, in the order of tiers.
        not_run: The others, with the rule that fails.
        headline: The estimate that decides; None if there is none.
        check: The second estimate, with other assumptions.
        power: What would have been found.
        finding: What was found; None without a headline.
        grade: How far it can be trusted, and why; None without a headline.
        guards: All that were asked of the headline, in the order of the table.
        passed_over: Guards that kept an estimate of a better tier from deciding, by estimator.
        spillover: What changed at controls near the treated units, against those farther away.
        smallest: The smallest effect of interest that it was held against.
        interval90: The 90 % interval that was held against it; unbounded where there is none.
        seed: Of all random numbers.
    """

    panel: Panel
    estimates: tuple[Estimate, ...]
    not_run: tuple[NotRun, ...]
    headline: Estimate | None
    check: Estimate | None
    power: power.Power | None
    finding: Finding | None
    grade: Grade | None
    guards: tuple[Guard, ...]
    passed_over: Mapping[str, Guard]
    spillover: Estimate | None
    smallest: float | None
    interval90: tuple[float, float]
    seed: int


def evaluate(
    panel: Panel,
    *,
    calm: Calm | None = None,
    context: Context | None = None,
    options: Options | None = None,
    estimators: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress = lambda _: None,
) -> Evaluation:
    """Estimate what changed, and hold it against every guard.

    The same panel, options and seed give the same numbers.

    Args:
        panel: Already on the scale on which effects are told.
        calm: The same without its weather: what tiers 2 to 4 are estimated on, if it passed.
        context: What is known beside it.
        options: Of the estimators.
        estimators: Only these; None for all whose data rules hold.
        seed: Of all random numbers.
        progress: Told each step.

    Raises:
        PanelError: The panel lets nothing be estimated at all, or an estimator is not known.
    """
    context, options = context or Context(), options or Options()
    wanted = _wanted(estimators)
    run = _Run(panel, calm, context, options, seed, progress)
    quiet = run.panel
    captured = guard.capture(quiet)
    if captured.status == "veto":
        not_run = tuple(
            NotRun(estimator=one.name, reason="less than three quarters of the window was measured")
            for one in wanted
        )
        return _nothing(quiet, not_run, (captured,), seed)
    estimates, not_run = run.all(wanted, asked=estimators is not None)
    headline, own, passed_over = run.headline(estimates)
    if headline is None:
        return _nothing(quiet, not_run, (captured,), seed, estimates, passed_over)
    check = _check_of(headline, estimates)
    decided = run.power(headline)
    spillover = run.spillover(headline)
    asked = [captured, *own, *run.guard(headline, check, estimates, spillover)]
    asked.append(guard.power(headline.effect, decided.mde, decided.note))
    if calm is not None:
        asked.append(guard.weather(calm.weather))
    asked.sort(key=lambda one: GUARDS.index(one.id))
    interval90 = run.interval90(headline)
    found = finding(
        headline.effect,
        interval90,
        tier=headline.tier,
        p=headline.p,
        mde=decided.mde,
        sesoi=context.smallest_effect,
        vetoes=[one.id for one in asked if one.status == "veto"],
    )
    return Evaluation(
        panel=quiet,
        estimates=estimates,
        not_run=not_run,
        headline=headline,
        check=check,
        power=decided,
        finding=found,
        grade=grade(
            headline.tier,
            asked,
            found,
            p=headline.p,
            p_min=headline.p_min,
            mde=decided.mde,
            sesoi=context.smallest_effect,
        ),
        guards=tuple(asked),
        passed_over=passed_over,
        spillover=spillover,
        smallest=context.smallest_effect,
        interval90=interval90,
        seed=seed,
    )


def _wanted(names: Sequence[str] | None) -> list[Estimator]:
    unknown = [name for name in names or () if name not in ESTIMATORS]
    if unknown:
        raise PanelError(f"there is no estimator {unknown[0]!r}; there are {', '.join(ESTIMATORS)}")
    return [row for row in ESTIMATORS.values() if names is None or row.name in names]


def _nothing(
    panel: Panel,
    not_run: tuple[NotRun, ...],
    guards: tuple[Guard, ...],
    seed: int,
    estimates: tuple[Estimate, ...] = (),
    passed_over: Mapping[str, Guard] | None = None,
) -> Evaluation:
    return Evaluation(
        panel=panel,
        estimates=estimates,
        not_run=not_run,
        headline=None,
        check=None,
        power=None,
        finding=None,
        grade=None,
        guards=guards,
        passed_over=passed_over or {},
        spillover=None,
        smallest=None,
        interval90=(-math.inf, math.inf),
        seed=seed,
    )


def _without_changed(panel: Panel, context: Context) -> Panel:
    """Leave out units whose instrument changed; the last treated one stays, and is vetoed."""
    changed = np.isin(panel.units, list(context.changed or {}))
    if not changed.any() or not (panel.is_treated & ~changed).any():
        return panel
    return panel.only(~changed)


def _without_announced(panel: Panel, context: Context) -> Panel:
    """Leave out what lies between the announcement and the start."""
    if context.announced is None:
        return panel
    values = panel.values.copy()
    told = np.searchsorted(panel.periods, context.announced)
    for row in np.flatnonzero(panel.is_treated):
        values[row, told : panel.starts[row]] = np.nan
    starts = np.unique(panel.starts[panel.is_treated])
    if len(starts) == 1 and told < starts[0]:
        kept = np.r_[0:told, int(starts[0]) : len(panel.periods)]
        if told < 2:  # noqa: PLR2004 - nothing to compare with
            raise PanelError("nothing was measured before the announcement")
        return panel.only(np.arange(len(panel.units)), kept)
    return panel.with_values(values)


def _check_of(headline: Estimate, estimates: Sequence[Estimate]) -> Estimate | None:
    """The first estimate of a lower tier, else another one of the same."""
    others = [one for one in estimates if one is not headline and one.tier != "D"]
    lower = [one for one in others if one.tier > headline.tier]
    return next(iter(lower or others), None)


class _Run:
    """One evaluation: its panels, what was chosen, and random numbers for each step of its own."""

    def __init__(
        self,
        panel: Panel,
        calm: Calm | None,
        context: Context,
        options: Options,
        seed: int,
        progress: Progress,
    ) -> None:
        self.context, self.options, self.seed, self.progress = context, options, seed, progress
        self.whole = self.calm_whole = _without_changed(panel, context)
        self.variance = 0.0
        if calm is not None and calm.weather.passed:
            self.calm_whole = _without_changed(calm.panel, context)
            self.variance = calm.weather.variance
        self.panel = _without_announced(self.whole, context)
        self.calm = _without_announced(self.calm_whole, context)

    def of(self, estimator: str) -> Panel:
        """The panel that an estimator works on."""
        return self.calm if estimator in AFTER_WEATHER else self.panel

    def whole_of(self, estimator: str) -> Panel:
        """The same with the time between announcement and start."""
        return self.calm_whole if estimator in AFTER_WEATHER else self.whole

    def rng(self, step: str) -> np.random.Generator:
        number = int.from_bytes(hashlib.sha256(step.encode()).digest()[:4], "big")
        return np.random.default_rng([self.seed, number])

    def one(self, row: Estimator, panel: Panel, options: Options | None = None) -> Estimate:
        found = row.run(panel, options or self.options, self.rng(row.name))
        widen = self.variance > 0 and row.name in AFTER_WEATHER
        return widened(found, self.variance) if widen else found

    def attempt(self, row: Estimator, panel: Panel) -> Estimate | LabError:
        try:
            return self.one(row, panel)
        except LabError as error:
            return error

    def all(
        self, rows: Sequence[Estimator], *, asked: bool
    ) -> tuple[tuple[Estimate, ...], tuple[NotRun, ...]]:
        """Run what the data carry; what was asked for by name, also beyond its tier's rule."""
        estimates, not_run = [], []
        for row in rows:
            self.progress(row.name)
            try:
                panel = self.of(row.name)
                if not asked:
                    row.rule(panel)
                estimates.append(self.one(row, panel))
            except NotEstimableError as error:
                not_run.append(NotRun(estimator=row.name, reason=str(error)))
        return tuple(estimates), tuple(not_run)

    def headline(
        self, estimates: Sequence[Estimate]
    ) -> tuple[Estimate | None, tuple[Guard, ...], dict[str, Guard]]:
        """The first estimate whose own guards let it decide, those, and what felled others."""
        felled: dict[str, Guard] = {}
        for one in estimates:
            if not may_decide(one, self.panel):
                continue
            own = self.own_guards(one)
            fallen = next((guard for guard in own if guard.status == "next_tier"), None)
            if fallen is None:
                return one, own, felled
            felled[one.estimator] = fallen
        return None, (), felled

    def own_guards(self, one: Estimate) -> tuple[Guard, ...]:
        """Guards that decide whether an estimate may: of its fit, or of its trends."""
        if one.tier == "T1":
            return (guard.pre_fit(one), guard.unasked("pre_trend", one))
        if one.tier == "T2":
            trend = guard.pre_trend(
                self.calm, smallest_effect=self.context.smallest_effect, rng=self.rng("pre_trend")
            )
            return (guard.unasked("pre_fit", one), trend)
        return (guard.unasked("pre_fit", one), guard.unasked("pre_trend", one))

    def interval90(self, headline: Estimate) -> tuple[float, float]:
        """The interval that must lie within the smallest effect, where one was stated."""
        if headline.tier != "D" and self.context.smallest_effect is None:
            return -math.inf, math.inf
        row = ESTIMATORS[headline.estimator]
        options = replace(self.options, level=THRESHOLDS.negligible_level)
        again = self.one(row, self.of(row.name), options)
        return again.low, again.high

    def guard(
        self,
        headline: Estimate,
        check: Estimate | None,
        estimates: Sequence[Estimate],
        spillover: Estimate | None,
    ) -> tuple[Guard, ...]:
        row, context = ESTIMATORS[headline.estimator], self.context
        panel = self.of(row.name)
        self.progress("guards")
        others = [one for one in estimates if one is not headline and one.tier != "D"]
        left = self.panel.is_treated & ~np.isin(self.panel.units, list(context.changed or {}))
        return (
            guard.frozen(unchanged=context.unchanged),
            guard.seasons(self.panel, seasonal=self.options.seasonal),
            guard.placebo_time(panel, headline),
            guard.placebo_space(headline),
            guard.negative_control(self.negative_control(row)),
            guard.contamination(self.beyond(row), headline, near=context.near, spillover=spillover),
            guard.anticipation(self.kept(row), headline, announced=context.announced is not None),
            guard.concurrent(context.events),
            guard.instrument(context.changed, int(left.sum())),
            guard.serial(headline, panel),
            guard.clusters(self.panel, headline),
            guard.multiplicity(headline.p, primary=context.primary, others=context.other_p),
            guard.agreement(headline, check, level=self.options.level),
            guard.specification(
                headline, others, panel, point=lambda varied: row.point(varied, self.options)
            ),
        )

    def negative_control(self, row: Estimator) -> Estimate | LabError | None:
        """The same estimate of what the measure cannot touch, over the same periods."""
        if self.context.negative_control is None:
            return None
        try:
            return self.one(row, _without_announced(self.context.negative_control, self.context))
        except LabError as error:
            return error

    def kept(self, row: Estimator) -> Estimate | LabError | None:
        """The estimate with the time since the announcement; None where nothing was left out."""
        whole, panel = self.whole_of(row.name), self.of(row.name)
        if whole.observed.sum() == panel.observed.sum():
            return None
        return self.attempt(row, whole)

    def beyond(self, row: Estimator) -> Estimate | LabError | None:
        """The estimate against controls beyond the ring; None where none is within."""
        if not self.context.near:
            return None
        panel = self.of(row.name)
        return self.attempt(row, panel.only(~np.isin(panel.units, list(self.context.near))))

    def spillover(self, headline: Estimate) -> Estimate | None:
        """What changed within the ring, taken for treated, against controls beyond it."""
        if not self.context.near or headline.tier == "D":
            return None
        panel = self.of(headline.estimator)
        controls = panel.only(~panel.is_treated)
        first = int(panel.starts[panel.is_treated].min())
        near = np.isin(controls.units, list(self.context.near))
        starts = np.where(near, first, len(panel.periods))
        found = self.attempt(ESTIMATORS[headline.estimator], replace(controls, starts=starts))
        return None if isinstance(found, LabError) else found

    def power(self, headline: Estimate) -> power.Power:
        self.progress("power")
        if headline.estimator in KERNELS:
            try:
                return power.minimum_detectable_effect(
                    self.of(headline.estimator), headline.estimator, rng=self.rng("power")
                )
            except NotEstimableError as error:
                return _no_power(str(error))
        if headline.estimator == "cs":
            return _planted_cohorts(self, headline)
        placebos = headline.paths.get("placebos")
        if placebos is None or not len(placebos):
            return _no_power("too few dates before the start to plant anything")
        mde = power.from_placebos(np.asarray(placebos))
        return power.Power(
            mde=mde,
            alpha=power.LEVELS[0],
            plantings=len(placebos),
            formula=math.nan,
            note="planted at dates before the start",
        )


def _planted_cohorts(run: _Run, headline: Estimate) -> power.Power:
    """Give the cohorts' starts to units that were never treated, and estimate again."""
    rng, panel = run.rng("power"), run.calm
    never = np.flatnonzero(~panel.is_treated)
    starts = panel.starts[panel.is_treated]
    if len(never) < 2 * len(starts):
        return _no_power("fewer than twice as many never-treated units as treated ones")
    row, effects = ESTIMATORS["cs"], []
    for _ in range(PLANTINGS_OF_COHORTS):
        given = np.full(len(panel.units), len(panel.periods))
        given[rng.choice(never, len(starts), replace=False)] = starts
        planted = replace(panel, starts=given).only(~panel.is_treated)
        effects.append(row.point(planted, run.options))
    return power.Power(
        mde=power.from_error(np.array(effects), headline.se),
        alpha=power.LEVELS[0],
        plantings=len(effects),
        formula=math.nan,
        note="planted at units that were never treated",
    )


def _no_power(why: str) -> power.Power:
    return power.Power(mde=math.nan, alpha=power.LEVELS[0], plantings=0, formula=math.nan, note=why)
