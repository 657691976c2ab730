"""Weather: what a change of air mass did to each unit is learned, and taken out.

Naive controls fail when the weather hits treated and control units differently, so every unit gets
a forest of its own. A forest is grown in bags: each bag of trees sees another resample of whole
weeks. That makes three things of one fit: a prediction, predictions of weeks that a bag has not
seen, and the spread between bags, which is how unsure the weather's part is.

The normalised values replace the measured ones only if they pass the gate.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.ensemble import RandomForestRegressor

from livinglab.errors import NotEstimableError, PanelError
from livinglab.impact.findings import THRESHOLDS
from livinglab.impact.panel import Dropped, Panel, as_panel
from livinglab.impact.results import Estimate, Floats, plain
from livinglab.impact.series import components

Mode = Literal["counterfactual", "detrended", "trend", "weather_only"]
Progress = Callable[[int, int], None]
"""Told how many units are done, of how many."""

DATE = "date"
"""The feature that no forest can extrapolate."""
CALENDAR = (DATE, "day_of_year", "weekday", "hour")
DAY_S = 86_400
WEEK = 7
LEAST_PERIODS = 60
"""With value and weather before the start; fewer grow no forest and test none."""
HELD_OUT = 0.15
"""Share of the time before the start, at its end, that the gate is asked on. [1]"""
MOST_STRETCH = 2.0
"""Of expectations, to undo the pull to the middle. [1]"""
LEAST_WEEKS = 8
"""Before the start, to tell how weeks differ."""
MOST_RHO = 0.95
ROUNDING = 1e-12
"""Of values brought below 2."""
ROWS_AT_ONCE = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """How forests are grown.

    Attributes:
        trees: Of a forest, over all its bags.
        bags: Resamples of whole weeks.
        leaf: Periods that a leaf holds at least.
        share: Of the features that each split may choose among. [1]
        jobs: Processor cores; more than one helps from some thousand periods on.
    """

    trees: int = 300
    bags: int = 20
    leaf: int = 5
    share: float = 1 / 3
    jobs: int = 1

    def __post_init__(self) -> None:
        """Refuse forests too small to tell their spread."""
        if self.bags < 20 or self.trees < self.bags:  # noqa: PLR2004 - below, a variance is noise
            raise ValueError("a forest needs 20 bags, and a tree in each")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """What a forest may learn from, period by period.

    Attributes:
        names: Of the F columns.
        values: NaN where the weather is not known. [T, F]
    """

    names: tuple[str, ...]
    values: Floats

    @property
    def known(self) -> NDArray[np.bool_]:
        """Periods of which everything is known. [T]"""
        return np.asarray(np.isfinite(self.values).all(axis=1))

    def without(self, *names: str) -> "Features":
        """The same without some columns."""
        kept = [name not in names for name in self.names]
        names = tuple(name for name, keep in zip(self.names, kept, strict=True) if keep)
        return Features(names=names, values=self.values[:, kept])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Normalised:
    """One series with its weather taken out, once by the whole forest and once by each bag.

    Attributes:
        expected: What the forest expects; before the start, by bags that have not seen the week.
            In the modes of trend, what it expects under average weather. [T; unit of the values]
        by_bag: The same by each bag, whatever it has seen. [bags, T]
    """

    expected: Floats
    by_bag: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weather:
    """What was taken out of a panel, how, and whether it may be used.

    Attributes:
        mode: How it was taken out.
        features: What forests learned from.
        r2: Share of the variance of treated units that forests explain in time they have not
            seen, the last 15 % before the start; NaN where that did not vary. [1]
        bias: Predicted minus observed there, mean of the treated minus mean of the controls, as
            the effect is. [unit of the effect]
        mde: The minimum detectable effect that the bias was held against. [unit of the effect]
        controls_change: Of normalised control values, after minus before. [unit of the effect]
        controls_p: Of that change; NaN without controls. [1]
        variance: Of the effect, from the spread between bags: add it to that of the interval.
            [unit of the effect, squared]
        passed: Whether the normalised values are used.
        reason: Why not; empty if they are.
        lost: Cells with a value, but without weather or a forest.
        values: The normalised values, used or not, by unit and period. [N, T]
    """

    mode: Mode
    features: tuple[str, ...]
    r2: float
    bias: float
    mde: float
    controls_change: float
    controls_p: float
    variance: float
    passed: bool
    reason: str
    lost: int
    values: Floats = field(repr=False)

    def document(self) -> dict[str, Any]:
        """What is stored of it, ready for JSON; an undefined number is None."""
        told = {name: value for name, value in asdict(self).items() if name != "values"}
        told["r2_oot"] = told.pop("r2")
        document: dict[str, Any] = plain(told)
        return document


# --- features


def features(
    periods: NDArray[Any], meteorology: Mapping[str, Floats], *, timezone: str = "UTC"
) -> Features:
    """Put the calendar beside the weather.

    Args:
        periods: Numbers, or dates or UTC instants; numbers have a date, but no seasons. [T]
        meteorology: Columns by name, NaN where unknown; ``wind_speed`` and ``wind_direction``
            become u and v, since 350° is near 10°. [T each]
        timezone: IANA zone whose weekdays and hours matter, for periods shorter than a day.

    Raises:
        PanelError: A direction without a speed.
    """
    columns = _calendar(periods, timezone) | _as_components(meteorology)
    return Features(
        names=tuple(columns),
        values=np.column_stack([np.asarray(column, np.float64) for column in columns.values()]),
    )


def _calendar(periods: NDArray[Any], timezone: str) -> dict[str, Floats]:
    if periods.dtype.kind != "M":
        return {DATE: periods.astype(np.float64) - periods[0]}
    instants = periods.astype("datetime64[s]")
    step = float(np.median(np.diff(instants).astype(np.int64))) if len(instants) > 1 else DAY_S
    local = pd.DatetimeIndex(instants)
    if step < DAY_S:
        local = local.tz_localize("UTC").tz_convert(ZoneInfo(timezone))
    days = (instants - instants[0]).astype(np.int64) / DAY_S
    found = {DATE: days, "day_of_year": np.asarray(local.day_of_year, np.float64)}
    if step <= DAY_S:
        found["weekday"] = np.asarray(local.day_of_week, np.float64)
    if step < DAY_S:
        found["hour"] = np.asarray(local.hour, np.float64)
    return found


def _as_components(meteorology: Mapping[str, Floats]) -> dict[str, Floats]:
    found = dict(meteorology)
    if "wind_direction" in found:
        if "wind_speed" not in found:
            raise PanelError("wind_direction needs wind_speed beside it: both become u and v")
        direction, speed = found.pop("wind_direction"), found.pop("wind_speed")
        found["wind_u"], found["wind_v"] = components(speed, direction)
    return found


# --- one series


def counterfactual(
    values: Floats,
    given: Features,
    *,
    start: int,
    rng: Generator,
    detrend: bool = False,
    forest: Forest | None = None,
) -> Normalised:
    """Predict what a series would have been, from what the weather did to it before the start.

    Forests [1, 2] learn from the periods before *start* only, and without the date, which trees
    cannot extrapolate. Values before the start are predicted by the bags that have not seen their
    week, so that what is left there is as large as afterwards. A forest pulls extremes to the
    middle; by how much is learned from those predictions, and undone [3]. It assumes that the
    weather acts after the start as before, and stays within what was seen.

    Args:
        values: NaN is missing. [T]
        given: Of the same periods.
        start: First period that must not be learned from.
        rng: Source of resamples and trees.
        detrend: Take a straight line through the time before the start off first, and put it on
            again: only where that trend surely goes on.
        forest: How it is grown.

    Raises:
        NotEstimableError: Too few periods before the start to learn from.

    References:
        [1] L. Breiman, Mach. Learn. 45, 5-32, 2001.
        [2] J. Sexton, P. Laake, Comput. Stat. Data Anal. 53, 801-811, 2009: spread from bags.
        [3] G. Zhang, Y. Lu, J. Appl. Stat. 39 (1), 151-160, 2012.
    """
    line = _line(values, given, start) if detrend else np.zeros(len(values))
    kept = given.without(DATE)
    learned = kept.known & np.isfinite(values) & (np.arange(len(values)) < start)
    grown = _grow(values - line, kept, learned, _weeks(given), forest or Forest(), rng)
    by_bag = np.full((len(grown.bags), len(values)), np.nan)
    by_bag[:, kept.known] = grown.predict(kept.values[kept.known])
    expected = _unseen(by_bag, grown, _weeks(given))
    scaled = expected[learned] / grown.scale, (values - line)[learned] / grown.scale
    middle, slope = float(expected[learned].mean()), _slope(*scaled)
    return Normalised(
        expected=middle + slope * (expected - middle) + line,
        by_bag=middle + slope * (by_bag - middle) + line,
    )


def trend(
    values: Floats,
    given: Features,
    *,
    rng: Generator,
    resamples: int = 100,
    weather_only: bool = False,
    forest: Forest | None = None,
) -> Normalised:
    """Tell the course of a series under average weather and season.

    A forest learns from all periods; each is then predicted as if it had had the weather of
    periods drawn from the whole record, and the predictions are averaged [1]. A step comes out
    smoothed: this is a picture of the course, and `counterfactual` is what to estimate from.

    Args:
        values: NaN is missing. [T]
        given: Of the same periods.
        rng: Source of resamples and trees.
        resamples: Draws for each period; 100 at least.
        weather_only: Draw the weather only, and leave day of year, weekday and hour as they were.
        forest: How it is grown.

    Raises:
        NotEstimableError: Too few periods to learn from.

    References:
        [1] S. K. Grange, D. C. Carslaw, Sci. Total Environ. 653, 578-588, 2019.
    """
    if resamples < 100:  # noqa: PLR2004 - the method's own number; fewer leave weather in
        raise ValueError("average weather needs 100 draws")
    learned = given.known & np.isfinite(values)
    grown = _grow(values, given, learned, _weeks(given), forest or Forest(), rng)
    record = np.flatnonzero(given.known)
    kept = CALENDAR if weather_only else (DATE,)
    drawn = np.flatnonzero([name not in kept for name in given.names])
    total = np.zeros((len(grown.bags), len(record)))
    at_once = max(1, ROWS_AT_ONCE // len(record))
    for first in range(0, resamples, at_once):
        draws = min(at_once, resamples - first)
        rows = np.tile(given.values[record], (draws, 1))
        source = rng.choice(record, len(rows))
        rows[:, drawn] = given.values[np.ix_(source, drawn)]
        total += grown.predict(rows).reshape(len(total), draws, -1).sum(axis=1)
    by_bag = np.full((len(total), len(values)), np.nan)
    by_bag[:, record] = total / resamples
    return Normalised(expected=by_bag.mean(axis=0), by_bag=by_bag)


@dataclass(frozen=True, slots=True)
class _Grown:
    """The bags of a forest, and how often each saw each week."""

    bags: tuple[RandomForestRegressor, ...]
    seen: NDArray[np.int64]
    """[bags, weeks]"""
    scale: float
    width: Floats
    jobs: int

    def predict(self, rows: Floats) -> Floats:
        """What each bag says. [bags, rows]"""
        scaled = rows / self.width
        said = _side_by_side(lambda bag: bag.predict(scaled), self.bags, self.jobs)
        return np.array(said) * self.scale


def _grow(
    values: Floats,
    given: Features,
    learned: NDArray[np.bool_],
    weeks: NDArray[np.int64],
    forest: Forest,
    rng: Generator,
) -> _Grown:
    if learned.sum() < LEAST_PERIODS:
        raise NotEstimableError(
            f"needs {LEAST_PERIODS} periods with value and weather to learn from, "
            f"there are {int(learned.sum())}"
        )
    rows, target, week = given.values[learned], values[learned], weeks[learned]
    # Trees compare and square: both stay within reach of the numbers they use.
    width = np.maximum(np.abs(rows).max(axis=0), 1e-300)
    scale = _magnitude(np.abs(target))
    # Shares of what there is, drawn for all weeks: units with the same weeks get the same bags.
    shares = rng.random((forest.bags, int(weeks[-1]) + 1))
    seeds = rng.integers(2**31, size=forest.bags).tolist()
    present = np.unique(week)
    drawn = present[(shares[:, : len(present)] * len(present)).astype(np.int64)]
    seen = np.array([np.bincount(bag, minlength=shares.shape[1]) for bag in drawn])
    rows, target = rows / width, target / scale

    def fit(bag: int) -> RandomForestRegressor:
        often = seen[bag, week]
        used = often > 0
        grown = RandomForestRegressor(
            n_estimators=forest.trees // forest.bags,
            min_samples_leaf=forest.leaf,
            max_features=math.ceil(forest.share * rows.shape[1]),
            bootstrap=False,  # the bag's weeks are the resample
            random_state=seeds[bag],
        )
        return grown.fit(rows[used], target[used], sample_weight=often[used])

    bags = _side_by_side(fit, range(forest.bags), forest.jobs)
    return _Grown(tuple(bags), seen, scale, width, forest.jobs)


def _side_by_side(work: Callable[[Any], Any], on: Iterable[Any], jobs: int) -> list[Any]:
    """Do the same to each, on several threads if asked: trees leave the interpreter free."""
    if jobs == 1:
        return [work(one) for one in on]
    with ThreadPoolExecutor(jobs, thread_name_prefix="weather") as threads:
        return list(threads.map(work, on))


def _magnitude(sizes: Floats) -> float:
    """The power of two at or below the largest, so that dividing by it rounds nothing."""
    largest = float(sizes.max())
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest > 0 else 1.0


def _unseen(by_bag: Floats, grown: _Grown, weeks: NDArray[np.int64]) -> Floats:
    """Average each period over the bags that have not seen its week; over all where all have."""
    asked = grown.seen[:, weeks] == 0
    asked |= ~asked.any(axis=0)
    return np.asarray((by_bag * asked).sum(axis=0) / asked.sum(axis=0))


def _slope(expected: Floats, observed: Floats) -> float:
    """Slope of what was observed against what was expected: none where that was worth nothing."""
    centred = expected - expected.mean()
    below = float((centred**2).sum())
    if below <= ROUNDING**2:
        return 0.0
    slope = float((centred * (observed - observed.mean())).sum()) / below
    return float(np.clip(slope, 0, MOST_STRETCH))


def _weeks(given: Features) -> NDArray[np.int64]:
    """Which of the weeks, seven days or numbers long, a period belongs to; empty ones skipped."""
    date = given.values[:, given.names.index(DATE)]
    return np.asarray(np.unique(date // WEEK, return_inverse=True)[1], np.int64)


def _line(values: Floats, given: Features, start: int) -> Floats:
    date = given.values[:, given.names.index(DATE)]
    used = np.isfinite(values[:start])
    if used.sum() < LEAST_PERIODS:
        return np.zeros(len(values))
    slope, level = np.polyfit(date[:start][used], values[:start][used], 1)
    return np.asarray(slope * date + level - values[:start][used].mean())


# --- a panel


def normalise(
    panel: Panel | pd.DataFrame,
    meteorology: Sequence[str] | pd.DataFrame,
    *,
    rng: Generator,
    mode: Mode = "counterfactual",
    mde: float | None = None,
    timezone: str = "UTC",
    forest: Forest | None = None,
    progress: Progress = lambda _done, _total: None,
) -> tuple[Panel, Weather]:
    """Take the weather out of every unit, and use the result if it passes the gate.

    One forest per unit, since units answer differently to the same weather, and controls are
    compared one by one afterwards. In ``counterfactual`` mode a value becomes itself minus what
    the weather let expect plus the unit's mean before its start; under a log link, itself times
    their ratio. ``detrended`` does the same around a straight line that is taken to go on after
    the start. ``trend`` and ``weather_only`` put the course under average weather in its place.

    The gate: in the last 15 % of the time before the start, which a second forest has not seen,
    R² ≥ 0.5 and |bias| ≤ ½ MDE; and control units show no significant change.

    Args:
        panel: On the scale on which the effect is told, so that what is additive there is taken
            out there. [N, T]
        meteorology: Names of covariates of the panel, or a frame with ``period``, numeric columns
            and optionally ``unit``.
        rng: Source of resamples and trees.
        mode: How weather is taken out.
        mde: The minimum detectable effect; None: by the textbook's formula, from what the weather
            leaves unexplained and how unsure its own part is.
        timezone: IANA zone of weekdays and hours, for periods shorter than a day.
        forest: How forests are grown.
        progress: Told how many units are done.

    Returns:
        The panel without its columns of weather, on normalised values if the gate was passed and
        on its own if not; and what was found. Control units without enough weather to learn from
        are left out of a normalised panel.

    Raises:
        NotEstimableError: No unit is treated.
        PanelError: A column of weather is not there.
    """
    panel = as_panel(panel)
    if not panel.is_treated.any():
        raise NotEstimableError("no unit is treated")
    finite = np.abs(panel.values[np.isfinite(panel.values)])
    if not finite.size:
        raise PanelError("no cell has a value: there is nothing to take the weather out of")
    columns = _columns(panel, meteorology)
    kept = {name: column for name, column in panel.covariates.items() if name not in columns}
    bare = replace(panel, covariates=kept)
    # The controls' time before the start ends where the first treatment begins.
    starts = np.where(panel.is_treated, panel.starts, panel.starts.min())
    scale, seed = _magnitude(finite), int(rng.integers(2**63))
    found = []
    for row in range(len(panel.units)):
        weather = {name: column[row] for name, column in columns.items()}
        unit = _Unit(
            panel.values[row] / scale,
            features(panel.periods, weather, timezone=timezone),
            int(starts[row]),
            counts=panel.transform == "poisson",
        )
        # The same numbers for each: the same weeks in their bags, so that what is common cancels.
        found.append(unit.normalised(mode, np.random.default_rng(seed), forest or Forest()))
        progress(row + 1, len(panel.units))
    gate = _Gate(bare, found, starts, _weeks(unit.given))
    return gate.judged(mode, unit.given.names, mde, scale=scale)


def widened(estimate: Estimate, variance: float) -> Estimate:
    """Add what is unsure about the weather to an interval.

    Args:
        estimate: Made on a normalised panel.
        variance: That of the `Weather`. [unit of the effect, squared]

    Returns:
        The same with a wider interval and standard error. The p-value is left: it comes from
        units or dates whose weather was taken out just as unsurely.
    """
    reach = float(norm.ppf((1 + estimate.level) / 2)) ** 2 * variance
    return replace(
        estimate,
        low=estimate.effect - math.sqrt((estimate.effect - estimate.low) ** 2 + reach),
        high=estimate.effect + math.sqrt((estimate.high - estimate.effect) ** 2 + reach),
        se=math.sqrt(estimate.se**2 + variance),
        detail={**estimate.detail, "weather_variance": variance},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What one unit's forest left; all but *values* as shares of its level under a log link."""

    values: Floats
    """Normalised; NaN everywhere where no forest could be grown. [T]"""
    level: float
    """What the rest is a share of; 1 where effects add up."""
    by_bag: Floats
    """After minus before, of what each bag took out, or put in its place. [bags]"""
    left: Floats
    """What the weather does not explain. [T]"""
    errors: Floats
    """Predicted minus observed in the time held out; empty where no forest could be grown."""
    spread: float
    """Sum of squares of the observed values there."""

    @property
    def grown(self) -> bool:
        """Whether there was enough to learn from."""
        return bool(len(self.errors))


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    """One row of a panel with its weather."""

    values: Floats
    given: Features
    start: int
    counts: bool

    def normalised(self, mode: Mode, rng: Generator, forest: Forest) -> _Found:
        detrend = mode == "detrended"
        try:
            taken = counterfactual(
                self.values, self.given, start=self.start, rng=rng, detrend=detrend, forest=forest
            )
            errors, spread = self._held_out(rng, forest, detrend=detrend)
        except NotEstimableError:
            nothing = np.full(len(self.values), np.nan)
            return _Found(nothing, 1.0, np.zeros(forest.bags), nothing, np.empty(0), 0.0)
        mean = float(np.nanmean(self.values[: self.start]))
        level = mean if self.counts and mean > 0 else 1.0
        left = (self.values - taken.expected) / level
        if mode in {"trend", "weather_only"}:
            course = trend(
                self.values,
                self.given,
                rng=rng,
                weather_only=mode == "weather_only",
                forest=forest,
            )
            values = np.where(np.isfinite(self.values), course.expected, np.nan)
            change = self._change(course.by_bag)
        else:
            values, change = self._replaced(taken.expected, mean), -self._change(taken.by_bag)
        return _Found(values, level, change / level, left, errors / level, spread / level**2)

    def _replaced(self, expected: Floats, mean: float) -> Floats:
        if not self.counts:
            return np.asarray(self.values - expected + mean)
        return np.asarray(self.values * (mean / np.where(expected > 0, expected, np.nan)))

    def _change(self, by_bag: Floats) -> Floats:
        seen = np.isfinite(self.values) & np.isfinite(by_bag[0])
        after = seen & (np.arange(len(seen)) >= self.start)
        if not after.any():
            return np.zeros(len(by_bag))
        before = seen & ~(np.arange(len(seen)) >= self.start)
        return np.asarray(by_bag[:, after].mean(axis=1) - by_bag[:, before].mean(axis=1))

    def _held_out(self, rng: Generator, forest: Forest, *, detrend: bool) -> tuple[Floats, float]:
        """Predict the last periods before the start by a forest that has not seen them."""
        known = np.isfinite(self.values[: self.start]) & self.given.known[: self.start]
        asked = np.flatnonzero(known)[-math.ceil(HELD_OUT * known.sum()) :]
        earlier = counterfactual(
            self.values,
            self.given,
            start=int(asked[0]),
            rng=rng,
            detrend=detrend,
            forest=forest,
        )
        observed = self.values[asked]
        return earlier.expected[asked] - observed, float(((observed - observed.mean()) ** 2).sum())


def _columns(panel: Panel, meteorology: Sequence[str] | pd.DataFrame) -> dict[str, Floats]:
    if isinstance(meteorology, pd.DataFrame):
        return _aligned(panel, meteorology)
    absent = [name for name in meteorology if name not in panel.covariates]
    if absent:
        known = ", ".join(panel.covariates) or "none"
        raise PanelError(f"there is no column of weather {absent[0]}; there are {known}")
    if not meteorology:
        raise PanelError("no column of weather was named")
    return {name: panel.covariates[name] for name in meteorology}


def _aligned(panel: Panel, frame: pd.DataFrame) -> dict[str, Floats]:
    """Columns of a frame by unit and period; one without units holds for all."""
    if "period" not in frame.columns:
        raise PanelError("the weather lacks the column period")
    column = pd.Index(panel.periods).get_indexer(pd.Index(_periods(frame["period"], panel)))
    row, units = np.zeros(len(frame), np.int64), 1
    if "unit" in frame.columns:
        row = pd.Index(panel.units).get_indexer(pd.Index(frame["unit"].astype(str)))
        units = len(panel.units)
    inside = (column >= 0) & (row >= 0)
    row, column = row[inside], column[inside]
    if pd.Series(row * len(panel.periods) + column).duplicated().any():
        raise PanelError("the weather has more than one row for a unit and period")
    found = {}
    for name in frame.columns.drop(["period", "unit"], errors="ignore"):
        cells = np.full((units, len(panel.periods)), np.nan)
        cells[row, column] = _numbers(frame[name])[inside]
        found[str(name)] = np.broadcast_to(cells, panel.values.shape)
    if not found:
        raise PanelError("the weather has no column but its period")
    return found


def _periods(column: pd.Series, panel: Panel) -> NDArray[Any]:
    """Periods as the panel writes its own."""
    try:
        if panel.periods.dtype.kind != "M":
            return column.to_numpy(dtype=np.float64)
        times = pd.to_datetime(column, utc=True).dt.tz_localize(None)
    except (ValueError, TypeError) as error:
        kind = "date or time" if panel.periods.dtype.kind == "M" else "number"
        raise PanelError(f"a period of the weather is no {kind}, as the panel's are") from error
    return times.to_numpy().astype("datetime64[s]")


def _numbers(column: pd.Series) -> Floats:
    found = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    text = np.isnan(found) & column.notna().to_numpy()
    if text.any():
        word = str(column[text].iloc[0])[:40]
        raise PanelError(f"the weather's column {column.name} holds {word!r}, which is no number")
    return found


# --- the gate


@dataclass(frozen=True, slots=True, eq=False)
class _Gate:
    """Asks whether normalised values may be used."""

    panel: Panel
    found: Sequence[_Found]
    starts: NDArray[np.int64]
    weeks: NDArray[np.int64]

    def judged(
        self, mode: Mode, names: tuple[str, ...], mde: float | None, *, scale: float
    ) -> tuple[Panel, Weather]:
        """The panel to go on with, and why; *scale* is what values were divided by."""
        # Under a log link effects are shares, and have no scale.
        unit = 1.0 if self.panel.transform == "poisson" else scale
        values = np.array([one.values for one in self.found])
        mde = self.formula() if mde is None else mde / unit
        r2, bias = self.fit()
        change, p = self.controls(values)
        reason = self.reason(r2, bias, mde, p, unit)
        weather = Weather(
            mode=mode,
            features=tuple(n for n in names if n != DATE or mode in {"trend", "weather_only"}),
            r2=r2,
            bias=bias * unit,
            mde=mde * unit,
            controls_change=change * unit,
            controls_p=p,
            variance=self.variance() * unit * unit,
            passed=not reason,
            reason=reason,
            lost=int((self.panel.observed & ~np.isfinite(values)).sum()),
            values=values * scale,
        )
        return (self.panel if reason else self.used(values * scale)), weather

    @property
    def grown(self) -> NDArray[np.bool_]:
        return np.array([one.grown for one in self.found])

    def sides(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of treated and of control units that have a forest."""
        treated = self.panel.is_treated
        return np.flatnonzero(treated & self.grown), np.flatnonzero(~treated & self.grown)

    def used(self, values: Floats) -> Panel:
        gone = tuple(
            Dropped(self.panel.units[row], "has too little weather to learn from")
            for row in np.flatnonzero(~self.grown)
        )
        kept = self.panel.with_values(values).only(self.grown)
        return replace(kept, dropped=self.panel.dropped + gone)

    def reason(self, r2: float, bias: float, mde: float, p: float, unit: float) -> str:
        """Why normalised values are not used; empty if they are."""
        without = np.flatnonzero(self.panel.is_treated & ~self.grown)
        if without.size:
            return (
                f"{self.panel.units[without[0]]} has fewer than {LEAST_PERIODS} periods with "
                "value and weather before its start to learn from"
            )
        limits = THRESHOLDS
        if not r2 >= limits.weather_r2:
            share = f"{max(r2, 0):.0%}" if math.isfinite(r2) else "nothing"
            return f"weather explains {share} of time held out; {limits.weather_r2:.0%} is asked"
        if not abs(bias) <= limits.weather_bias * mde:
            return (
                f"predictions of time held out are off by {bias * unit:.3g}; half the smallest "
                f"detectable effect, {limits.weather_bias * mde * unit:.3g}, is allowed"
            )
        if p <= limits.weather_controls_p:
            return f"control units changed, too, with the weather taken out (p = {p:.2g})"
        return ""

    def fit(self) -> tuple[float, float]:
        """R² of the treated and bias of the comparison, in the time held out."""
        treated, controls = self.sides()
        if not treated.size:
            return math.nan, math.nan
        weights = self.panel.weights
        missed = sum(weights[row] * float((self.found[row].errors ** 2).sum()) for row in treated)
        spread = sum(weights[row] * self.found[row].spread for row in treated)
        bias = self.mean_of([float(one.errors.mean()) for one in self.pick(treated)], treated)
        if controls.size:
            bias -= self.mean_of(
                [float(one.errors.mean()) for one in self.pick(controls)], controls
            )
        return (1 - float(missed / spread) if spread > 0 else math.nan), bias

    def pick(self, rows: NDArray[np.int64]) -> list[_Found]:
        return [self.found[row] for row in rows]

    def mean_of(self, numbers: Sequence[float], rows: NDArray[np.int64]) -> float:
        return float(np.average(numbers, weights=self.panel.weights[rows]))

    def bags(self, rows: NDArray[np.int64]) -> Floats:
        """Mean change by bag. [bags]"""
        by_bag = [one.by_bag for one in self.pick(rows)]
        return np.asarray(np.average(by_bag, axis=0, weights=self.panel.weights[rows]))

    def variance(self) -> float:
        """Variance between bags of the treated units' change minus the controls'."""
        treated, controls = self.sides()
        if not treated.size:
            return math.nan
        change = self.bags(treated) - (self.bags(controls) if controls.size else 0)
        return float(change.var(ddof=1))

    def controls(self, values: Floats) -> tuple[float, float]:
        """Mean change of control units, and how probable it is by chance.

        Its variance is that of weekly means, which follow each other, plus that between bags.
        """
        _, rows = self.sides()
        if not rows.size:
            return math.nan, math.nan
        start, weights = int(self.starts.min()), self.panel.weights[rows]
        levels = np.array([one.level for one in self.pick(rows)])
        course = _mean(values[rows] / levels[:, None], weights)
        left = _mean(np.array([one.left for one in self.pick(rows)]), weights)
        before = _weekly(left[:start], self.weeks[:start])
        after = _weekly(left[start:], self.weeks[start:])
        if len(before) < LEAST_WEEKS or not len(after):
            return math.nan, math.nan
        change = float(np.nanmean(course[start:]) - np.nanmean(course[:start]))
        rho = _rho(before)
        noise = before.var(ddof=1) * (1 + rho) / (1 - rho) * (1 / len(before) + 1 / len(after))
        error = math.sqrt(float(noise) + float(self.bags(rows).var(ddof=1)))
        if error <= ROUNDING:
            return change, math.nan
        return change, float(2 * norm.sf(abs(change) / error))

    def formula(self) -> float:
        """The textbook's MDE at 5 % and 80 %, of what the weather left, with its own variance."""
        treated, controls = self.sides()
        if not treated.size:
            return math.nan
        rows = np.sort(np.r_[treated, controls])
        start, end = int(self.starts[rows].min()), len(self.panel.periods)
        left = np.array([one.left[:start] for one in self.pick(rows)])
        if controls.size:
            left = left - _mean(left, self.panel.weights[rows])
        kept = [row[np.isfinite(row)] for row in left if np.isfinite(row).any()]
        if not kept:
            return math.nan
        sigma = math.sqrt(float(np.mean([row.var() for row in kept])))
        rho = float(np.mean([_rho(row) for row in kept]))
        units = 1 / treated.size + (1 / controls.size if controls.size else 0)
        periods = 1 / start + 1 / (end - start)
        noise = sigma**2 * units * periods * (1 + rho) / (1 - rho)
        return (1.96 + 0.84) * math.sqrt(noise + self.variance())


def _mean(values: Floats, weights: Floats) -> Floats:
    """Weighted mean of units around their own means, over those that have a value. [T]"""
    seen = np.isfinite(values)
    filled = np.where(seen, values, 0.0)
    centred = filled - filled.sum(axis=1, keepdims=True) / np.maximum(seen.sum(axis=1), 1)[:, None]
    total = (seen * weights[:, None]).sum(axis=0)
    summed = (np.where(seen, centred, 0.0) * weights[:, None]).sum(axis=0)
    return np.asarray(np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0))


def _weekly(values: Floats, weeks: NDArray[np.int64]) -> Floats:
    """Means of weeks, without those that hold less than half of what a full one does."""
    seen = np.isfinite(values)
    if not seen.any():
        return np.empty(0)
    codes = weeks[seen] - weeks[0]
    n = np.bincount(codes)
    full = 2 * n >= n.max()
    return np.asarray(np.bincount(codes, values[seen])[full] / n[full])


def _rho(values: Floats) -> float:
    """Correlation of neighbours, none where it is negative."""
    centred = values - values.mean()
    below = float((centred**2).sum())
    if below <= ROUNDING**2:
        return 0.0
    return float(np.clip((centred[1:] * centred[:-1]).sum() / below, 0, MOST_RHO))
