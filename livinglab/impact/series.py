"""From Readings to Indicators: a value stands for its hour, day and Place, or it does not count.

The way is always the same: `hourly`, then `at_places` where several Datastreams stand at a Place,
then `increment` for what a street adds to its city, then `daily`, then `to_panel`. Nothing is
imputed on it, and each value tells how much of its period was measured.

Readings are fixed Things': those of a moving Thing lie outside every stay, and so never mix.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from livinglab.domain.air_quality import CoverageRules, coverage_rules
from livinglab.domain.readings import Aggregation, Flag
from livinglab.errors import NotEstimableError, PanelError
from livinglab.impact.findings import THRESHOLDS, Thresholds
from livinglab.impact.panel import Dropped, Panel, Transform
from livinglab.impact.results import Floats

Instants = NDArray[Any]
Step = Literal["hour", "day"]
Verdict = Literal["valid", "cap_B", "none"]

HOUR_S = 3_600
DAY = np.timedelta64(1, "D")
QUARTER_HOUR_MS = 900_000
"""Every zone's offset is a multiple of it."""
LOUDEST_DB = 1_000.0
"""Nothing is as loud; its energy could still be added up."""
LONGEST_MONTH = 31
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Values of units, hour by hour or day by day, with how much of each was measured.

    Attributes:
        frame: Columns ``unit``, ``place``, ``time`` (the UTC instant at which an hour begins, or
            the date of a local day), ``value`` [the property's unit], ``n`` (Readings of an hour,
            valid hours of a day, Datastreams of a Place), ``coverage`` [0 to 1], ``valid``
            (covered well enough to count) and ``hours`` (for how many hours it stands). Sorted by
            unit and time; a period without any Reading has no row.
        step: Whether a row is an hour or a day.
        kind: How values were averaged, and are when they are averaged again.
        timezone: IANA zone whose hours and days are meant.
        members: Datastreams by Place, once they were put together.
        dropped: Units left out on the way, and why.
    """

    frame: pd.DataFrame
    step: Step
    kind: Aggregation
    timezone: str
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()

    @property
    def counting(self) -> pd.DataFrame:
        """The rows that are covered well enough."""
        return self.frame[self.frame["valid"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How much of a window was measured, so that a hole in every winter or weekend shows.

    Attributes:
        coverage: Share of valid days. [0 to 1]
        quarters: The same by calendar quarter, such as ``2024-Q1``. [0 to 1]
        months: By month, such as ``2024-01``. [0 to 1]
        weekdays: By day of the week, ``mon`` to ``sun``. [0 to 1]
        verdict: ``valid``; ``cap_B``, usable with a doubt; ``none``, no estimate.
    """

    coverage: float
    quarters: Mapping[str, float]
    months: Mapping[str, float]
    weekdays: Mapping[str, float]
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A panel that estimators take, and what must be said about its windows.

    Attributes:
        panel: Units by periods, the treated from their start on.
        windows: How much of the time after the start was measured, by unit, dropped ones included.
        matched: Which periods belong to calendar months that lie on both sides of the start. [T]
        months_before: Length of the time before the start. [months]
        months_after: And after it. [months]
        early: Too few months lie after the start to be more than a first impression.
        whole_year: The time before covers all seasons.
    """

    panel: Panel
    windows: Mapping[str, Window]
    matched: NDArray[np.bool_]
    months_before: float
    months_after: float
    early: bool
    whole_year: bool


# --- hours


def hourly(
    readings: pd.DataFrame,
    *,
    interval_s: float | Mapping[Any, float],
    timezone: str,
    kind: Aggregation = Aggregation.MEAN,
    stays: pd.DataFrame | None = None,
    suspect: bool = False,
) -> Series:
    """Average Readings over the hours that the city's clocks strike.

    Only flags 1 (good) and 2 (not evaluated) enter; values below a detection limit and small
    negative ones stay in. An hour is valid with 75 % of the Readings expected. Sound levels are
    averaged as energy, ``10·log10(mean(10^(L/10)))``; counts become the rate of a whole hour, so
    that a lost Reading is not a lost car.

    Args:
        readings: Columns ``datastream``, ``time`` (aware, or naive UTC, or whole milliseconds
            since 1970 UTC), ``result`` and ``flag``. Of two at the same instant the last counts.
        interval_s: How often a Reading is expected, of all Datastreams or by Datastream. [s]
        timezone: IANA zone of the city.
        kind: How results are averaged.
        stays: Where Datastreams stood: columns ``datastream``, ``place``, ``since`` and ``until``
            (empty: open). Each stay is a unit of its own, since a Thing that was moved measures
            something else. None: each Datastream is a Place.
        suspect: Let suspect Readings in, for a sensitivity run.

    Raises:
        PanelError: A column is missing, a Datastream has no interval, or directions are averaged.
    """
    if kind is Aggregation.CIRCULAR_MEAN:
        raise PanelError("a direction is neither high nor low: average u and v, as `wind` makes")
    _demand(readings, ("datastream", "time", "result", "flag"), "Readings")
    results = readings["result"].to_numpy(dtype=np.float64)
    good = np.isin(readings["flag"].to_numpy(), _entering(suspect=suspect)) & np.isfinite(results)
    codes, names = pd.factorize(readings["datastream"][good], sort=True)
    times, results = _milliseconds(readings["time"])[good], results[good]
    intervals = _intervals(names, interval_s)
    units = _Units.of(names, stays)
    unit = units.at(codes, times)
    kept = _last_words(unit, times)
    unit, times, results, codes = unit[kept], times[kept], results[kept], codes[kept]
    every = intervals[codes]
    frame = _by_period(unit, _hour_starts(times, timezone), _encoded(results, kind))
    first = frame.pop("first").to_numpy()
    expected = np.maximum(HOUR_S / every[first], 1.0)
    frame["coverage"] = np.minimum(frame["n"] / expected, 1.0)
    frame["valid"] = _enough("hour", frame["coverage"])
    frame["hours"] = np.maximum(every[first] / HOUR_S, 1.0)
    frame["value"] = _decoded(frame["value"].to_numpy(), kind)
    if kind is Aggregation.SUM:
        frame["value"] *= HOUR_S / every[first]
    return Series(frame=units.named(frame), step="hour", kind=kind, timezone=timezone)


def wind(speeds: pd.DataFrame, directions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turn wind into Readings of its two components, which can be averaged.

    Args:
        speeds: Readings as for `hourly`. [m/s]
        directions: Where the wind comes from, under the same ``datastream`` names. [deg]

    Returns:
        Readings of u (eastward) and v (northward), where both were read at the same instant; the
        worse of the two flags decides. [m/s each]
    """
    columns = ["datastream", "time", "result", "flag"]
    _demand(speeds, columns, "speeds")
    _demand(directions, columns, "directions")
    both = speeds[columns].merge(directions[columns], on=columns[:2], suffixes=("", "_from"))
    flags = np.maximum(both["flag"], both.pop("flag_from"))
    u, v = components(both["result"].to_numpy(), both.pop("result_from").to_numpy())
    return both.assign(result=u, flag=flags), both.assign(result=v, flag=flags)


def components(speed: Floats, direction: Floats) -> tuple[Floats, Floats]:
    """Split wind into what blows to the east and to the north.

    Args:
        speed: [m/s]
        direction: Where it comes from, clockwise from north. [deg]

    Returns:
        ``u = −s·sin(φ)`` and ``v = −s·cos(φ)``. [m/s each]
    """
    angle = np.deg2rad(direction)
    return np.asarray(-speed * np.sin(angle)), np.asarray(-speed * np.cos(angle))


# --- days


def daily(series: Series) -> Series:
    """Average valid hours over local days; a day is valid with 75 % of the hours that it has.

    At a change of the clocks a day has 23 or 25 hours: 18 and 19 of them must be valid. A
    Datastream slower than hourly fills the hours that each of its Readings stands for.
    """
    _demand_step(series, "hour")
    rows = series.counting
    units = _Units.of_frame(rows)
    days = _local_dates(rows["time"].to_numpy(), series.timezone)
    values = _encoded(rows["value"].to_numpy(), series.kind)
    frame = _by_period(units.codes, days, values, rows["hours"].to_numpy())
    frame.pop("first")
    long = _day_hours(frame["time"].to_numpy(), series.timezone)
    frame["coverage"] = np.minimum(frame.pop("measured") / long, 1.0)
    frame["valid"] = _enough("day", frame["coverage"])
    frame["hours"] = long
    frame["value"] = _decoded(frame["value"].to_numpy(), series.kind)
    if series.kind is Aggregation.SUM:
        frame["value"] *= long
    return replace(series, frame=units.named(frame), step="day")


# --- Places


def at_places(
    series: Series,
    *,
    start: date,
    since: date | None = None,
    until: date | None = None,
    limits: Thresholds = THRESHOLDS,
) -> Series:
    """Average the Datastreams of each Place, over a set that is the same before and after.

    A Datastream that joins halfway fakes a step. So those with no valid period before or after
    the start are left out, then the least measured, one by one, until all that remain are valid
    together in 75 % of the periods on both sides, or one alone remains. A Place has a value where
    its whole set has one.

    Args:
        series: Hours or days of Datastreams.
        start: First treated day.
        since: First day; None: the first that was measured anywhere.
        until: The day after the last; None: after the last that was measured.
        limits: The table of thresholds.
    """
    grid = _Grid.over(series, start, since, until)
    rows = grid.inside(series.counting)
    found, members, dropped = [], {}, list(series.dropped)
    for place, here in rows.groupby("place", observed=True, sort=True):
        matrix = _Matrix.of(here, grid)
        names, left_out = matrix.constant(grid.start, limits.capture_least)
        dropped += left_out
        if names:
            members[str(place)] = names
            found.append(matrix.averaged(str(place), names, grid, series.kind))
    frame = pd.concat(found, ignore_index=True) if found else series.frame.iloc[:0]
    return replace(series, frame=frame, members=members, dropped=tuple(dropped))


def increment(series: Series, *, roadside: Collection[str], background: str) -> Series:
    """Subtract the urban background from roadside Places, in periods in which both are valid.

    The difference may be negative, so it stays on the scale of its values.

    Args:
        series: Of Places, best by hours.
        roadside: Units at streets.
        background: The unit that stands for the city around them.

    Raises:
        PanelError: One of them is not in the series.
    """
    rows = series.counting
    for name in (*roadside, background):
        if not (rows["unit"] == name).any():
            raise PanelError(f"{name} has no valid {series.step}")
    around = rows.loc[rows["unit"] == background, ["time", "value", "coverage"]]
    streets = rows[rows["unit"].isin(list(roadside))]
    both = streets.merge(around, on="time", suffixes=("", "_around"))
    both["value"] -= both.pop("value_around")
    both["coverage"] = np.minimum(both["coverage"], both.pop("coverage_around"))
    both = both.sort_values(["unit", "time"], ignore_index=True)
    return replace(series, frame=both, kind=Aggregation.MEAN)


# --- windows and panel


def windows(
    series: Series, *, since: date, until: date, limits: Thresholds = THRESHOLDS
) -> dict[str, Window]:
    """Tell of each unit how much of a window was measured, as a whole and by calendar.

    The window and each quarter in it need 85 % of valid days; from 75 % on it is usable.

    Args:
        series: Days.
        since: First day of the window.
        until: The day after its last.
        limits: The table of thresholds.

    Raises:
        PanelError: The window has no day.
    """
    _demand_step(series, "day")
    days = np.arange(np.datetime64(since, "D"), np.datetime64(until, "D"))
    if not len(days):
        raise PanelError(f"a window from {since} to {until} has no day")
    names = pd.Index(series.frame["unit"].astype(str).unique())
    seen = np.zeros((len(names), len(days)), bool)
    rows = series.counting
    place = (rows["time"].to_numpy().astype("datetime64[D]") - days[0]).astype(np.int64)
    inside = (place >= 0) & (place < len(days))
    seen[names.get_indexer(rows["unit"].astype(str))[inside], place[inside]] = True
    calendar = _Calendar.of(days)
    return {str(name): calendar.judged(row, limits) for name, row in zip(names, seen, strict=True)}


def same_months(periods: Instants, start: Any) -> NDArray[np.bool_]:
    """Mark periods whose calendar month lies on both sides of the start.

    Args:
        periods: Dates, or instants in the zone whose months are meant. [T]
        start: First treated period.

    Returns:
        Before the start, the months that come again after it, and the other way round. [T]
    """
    months = periods.astype("datetime64[M]").astype(np.int64) % 12
    after = periods >= np.datetime64(start)
    return np.asarray(
        np.where(after, np.isin(months, months[~after]), np.isin(months, months[after]))
    )


def months_between(first: date, last: date) -> float:
    """Count calendar months, the days left over as a share of 31: any whole year has twelve."""
    whole = 12 * (last.year - first.year) + last.month - first.month
    return whole + (last.day - first.day) / LONGEST_MONTH


def to_panel(
    series: Series,
    *,
    treated: Collection[str],
    start: date,
    since: date | None = None,
    until: date | None = None,
    transform: Transform = "level",
    limits: Thresholds = THRESHOLDS,
) -> Prepared:
    """Make a panel of a series: valid values in an even grid, everything else missing.

    Units less than three quarters of whose days after the start, or of a quarter of a year there,
    are valid are left out. Where that would leave no treated unit, the treated stay, so that the
    guard of capture can say so.

    Args:
        series: Hours or days, one unit per Place.
        treated: Units treated from *start* on; all others are controls.
        start: First treated day.
        since: First day; None: the first that was measured anywhere.
        until: The day after the last; None: after the last that was measured.
        transform: The scale on which effects are told.
        limits: The table of thresholds.

    Raises:
        PanelError: A treated unit is not in the series, or nothing lies on one side of the start.
        NotEstimableError: Nothing was valid.
    """
    grid = _Grid.over(series, start, since, until)
    matrix = _Matrix.of(grid.inside(series.counting), grid)
    absent = sorted(set(treated) - set(matrix.names))
    if absent:
        raise PanelError(f"the treated Place {absent[0]} has no valid {series.step}")
    if not 0 < grid.start < len(grid.periods):
        raise PanelError(f"nothing was measured {'after' if grid.start else 'before'} {start}")
    days = series if series.step == "day" else daily(series)
    judged = windows(days, since=start, until=grid.until, limits=limits)
    is_treated = np.isin(matrix.names, list(treated))
    kept = np.array([name in judged and judged[name].verdict != "none" for name in matrix.names])
    if not kept[is_treated].any():
        kept |= is_treated
    panel = Panel(
        units=matrix.names,
        periods=grid.periods,
        values=matrix.values,
        starts=np.where(is_treated, grid.start, len(grid.periods)).astype(np.int64),
    ).only(kept)
    gone = tuple(
        Dropped(name, "less than three quarters of the days after the start were measured")
        for name, stays in zip(matrix.names, kept, strict=True)
        if not stays
    )
    before, after = months_between(grid.since, start), months_between(start, grid.until)
    return Prepared(
        panel=replace(panel, dropped=series.dropped + gone).transformed(transform),
        windows=judged,
        matched=same_months(grid.local, start),
        months_before=before,
        months_after=after,
        early=after < limits.early_months,
        whole_year=before >= limits.pre_months,
    )


@dataclass(frozen=True, slots=True)
class _Grid:
    """The periods of a window, evenly spaced, and which of them is the first treated one."""

    periods: Instants
    local: Instants
    start: int
    since: date
    until: date

    @classmethod
    def over(cls, series: Series, start: date, since: date | None, until: date | None) -> "_Grid":
        times = series.counting["time"].to_numpy()
        if not len(times):
            raise NotEstimableError(f"no {series.step} was measured well enough to count")
        ends = np.array([times.min(), times.max()])
        dates = ends if series.step == "day" else _local_dates(ends, series.timezone)
        first, last = dates.astype("datetime64[D]").tolist()
        since, until = since or first, until or last + timedelta(days=1)
        if since >= until:
            raise PanelError(f"a window from {since} to {until} has no day")
        bounds = np.array([since, min(max(start, since), until), until], "datetime64[D]")
        if series.step == "day":
            periods = np.arange(bounds[0], bounds[2]).astype("datetime64[s]")
            return cls(periods, periods, int((bounds[1] - bounds[0]) / DAY), since, until)
        instants = _midnights(bounds, series.timezone)
        hour = np.timedelta64(HOUR_S, "s")
        periods = np.arange(instants[0], instants[2], hour)
        at = int(np.searchsorted(periods, instants[1]))
        return cls(periods, _local(periods, series.timezone), at, since, until)

    def inside(self, rows: pd.DataFrame) -> pd.DataFrame:
        times = rows["time"].to_numpy()
        within: pd.DataFrame = rows[(times >= self.periods[0]) & (times <= self.periods[-1])]
        return within


@dataclass(frozen=True, slots=True)
class _Matrix:
    """The valid values of some units over a grid; NaN where there is none."""

    names: tuple[str, ...]
    values: Floats
    coverage: Floats
    hours: Floats

    @classmethod
    def of(cls, rows: pd.DataFrame, grid: _Grid) -> "_Matrix":
        codes, names = pd.factorize(rows["unit"].astype(str), sort=True)
        columns = np.searchsorted(grid.periods, rows["time"].to_numpy())
        values = np.full((len(names), len(grid.periods)), np.nan)
        coverage, hours = values.copy(), values.copy()
        for cells, name in ((values, "value"), (coverage, "coverage"), (hours, "hours")):
            cells[codes, columns] = rows[name]
        return cls(tuple(names), values, coverage, hours)

    def constant(self, start: int, least: float) -> tuple[tuple[str, ...], list[Dropped]]:
        """Return the set that was measured before and after, and what was left out."""
        seen = np.asarray(~np.isnan(self.values))
        kept = np.asarray(seen[:, :start].any(axis=1) & seen[:, start:].any(axis=1))
        left_out = [
            Dropped(self.names[row], "was not measured both before and after the start")
            for row in np.flatnonzero(~kept)
        ]
        shares = np.minimum(_mean(seen[:, :start]), _mean(seen[:, start:]))
        for row in sorted(np.flatnonzero(kept), key=lambda one: float(shares[one])):
            together = np.asarray(seen[kept].all(axis=0))[None, :]
            both = min(_mean(together[:, :start])[0], _mean(together[:, start:])[0])
            if both >= least or kept.sum() == 1:
                break
            kept[row] = False
            left_out.append(
                Dropped(self.names[row], "has holes where others at its Place have none")
            )
        return tuple(self.names[row] for row in np.flatnonzero(kept)), left_out

    def averaged(
        self, place: str, names: tuple[str, ...], grid: _Grid, kind: Aggregation
    ) -> pd.DataFrame:
        rows = np.isin(self.names, names)
        whole = ~np.isnan(self.values[rows]).any(axis=0)
        cells = np.ix_(rows, whole)
        values = _encoded(self.values[cells], kind).mean(axis=0)
        return pd.DataFrame(
            {
                "unit": place,
                "place": place,
                "time": grid.periods[whole],
                "value": _decoded(values, kind),
                "n": len(names),
                "coverage": self.coverage[cells].min(axis=0),
                "valid": True,
                "hours": self.hours[cells].min(axis=0),
            }
        )


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The days of a window by quarter, month and weekday."""

    quarters: tuple[tuple[str, NDArray[np.bool_]], ...]
    months: tuple[tuple[str, NDArray[np.bool_]], ...]
    weekdays: tuple[tuple[str, NDArray[np.bool_]], ...]

    @classmethod
    def of(cls, days: Instants) -> "_Calendar":
        index = pd.DatetimeIndex(days.astype("datetime64[s]"))
        return cls(
            _parts(f"{day.year}-Q{day.quarter}" for day in index),
            _parts(index.strftime("%Y-%m")),
            _parts(WEEKDAYS[number] for number in index.day_of_week),
        )

    def judged(self, seen: NDArray[np.bool_], limits: Thresholds) -> Window:
        shares = [
            {name: float(seen[part].mean()) for name, part in parts}
            for parts in (self.quarters, self.months, self.weekdays)
        ]
        worst = min(float(seen.mean()), *shares[0].values())
        usable: Verdict = "cap_B" if worst >= limits.capture_least else "none"
        return Window(
            coverage=float(seen.mean()),
            quarters=shares[0],
            months=shares[1],
            weekdays=shares[2],
            verdict="valid" if worst >= limits.capture_full else usable,
        )


def _parts(labels: Iterable[str]) -> tuple[tuple[str, NDArray[np.bool_]], ...]:
    codes, names = pd.factorize(np.array(list(labels)))
    return tuple((str(name), np.asarray(codes == code)) for code, name in enumerate(names))


def _mean(seen: NDArray[np.bool_]) -> Floats:
    """Share of each row; 0 of a row without periods."""
    return np.asarray(seen.sum(axis=1) / max(seen.shape[1], 1))


# --- averaging


def _encoded(values: Floats, kind: Aggregation) -> Floats:
    """Bring values to the scale on which their mean is taken."""
    if kind is not Aggregation.ENERGY_MEAN:
        return values
    if (np.abs(values) > LOUDEST_DB).any():
        raise PanelError(f"a sound level lies beyond {LOUDEST_DB:g} dB: flag it, or leave it out")
    return np.asarray(10 ** (values / 10))


def _decoded(means: Floats, kind: Aggregation) -> Floats:
    return np.asarray(10 * np.log10(means)) if kind is Aggregation.ENERGY_MEAN else means


def _by_period(
    units: NDArray[np.int64], times: Instants, values: Floats, hours: Floats | None = None
) -> pd.DataFrame:
    """Average values by unit and time; ``first`` is the position of a row of each group."""
    seconds = times.astype("datetime64[s]").astype(np.int64)
    least = seconds.min(initial=0)
    span = int(seconds.max(initial=0) - least) + 1
    groups, keys = pd.factorize(units * span + (seconds - least))
    n = np.bincount(groups, minlength=len(keys))
    first = np.empty(len(keys), np.int64)
    first[groups[::-1]] = np.arange(len(groups))[::-1]
    frame = pd.DataFrame(
        {
            "unit": units[first],
            "time": times[first],
            "value": np.bincount(groups, values, len(keys)) / n,
            "n": n,
            "first": first,
        }
    )
    if hours is not None:
        frame["measured"] = np.bincount(groups, hours, len(keys))
    sorted_: pd.DataFrame = frame.iloc[np.argsort(keys)].reset_index(drop=True)
    return sorted_


def _enough(period: str, coverage: pd.Series, rules: CoverageRules | None = None) -> pd.Series:
    share = (rules or coverage_rules()).rows[period].share
    return coverage.round(9) >= share


def _entering(*, suspect: bool) -> list[int]:
    return [Flag.GOOD, Flag.NOT_EVALUATED, *([Flag.SUSPECT] if suspect else [])]


# --- units


@dataclass(frozen=True, slots=True)
class _Units:
    """What rows belong to: names of units and their Places, and how to find a row's."""

    names: tuple[str, ...]
    places: tuple[str, ...]
    codes: NDArray[np.int64]
    """Of the rows of the frame that units were read from."""
    stays: pd.DataFrame | None = None

    @classmethod
    def of(cls, datastreams: Iterable[Any], stays: pd.DataFrame | None) -> "_Units":
        """Make a unit of each Datastream, or of each of its stays."""
        known = [str(name) for name in datastreams]
        none = np.empty(0, np.int64)
        if stays is None:
            return cls(tuple(known), tuple(known), none)
        _demand(stays, ("datastream", "place", "since", "until"), "stays")
        table = pd.DataFrame(
            {
                "code": pd.Index(known).get_indexer(pd.Index(stays["datastream"].astype(str))),
                "place": stays["place"].astype(str).to_numpy(),
                "since": _milliseconds(stays["since"], empty=np.iinfo(np.int64).min),
                "until": _milliseconds(stays["until"], empty=np.iinfo(np.int64).max),
            }
        )
        table = table[table["code"] >= 0].sort_values(["code", "since"], ignore_index=True)
        follows = (table["code"] == table["code"].shift()) & (
            table["since"] < table["until"].shift()
        )
        if follows.any():
            name = known[int(table["code"][follows].iloc[0])]
            raise PanelError(f"datastream {name} stands at two places at once: end one stay first")
        again = table.groupby(["code", "place"]).cumcount()
        names = [
            f"{known[code]}@{place}" + (f"#{count + 1}" if count else "")
            for code, place, count in zip(table["code"], table["place"], again, strict=True)
        ]
        return cls(tuple(names), tuple(table["place"]), none, table)

    @classmethod
    def of_frame(cls, rows: pd.DataFrame) -> "_Units":
        codes, names = pd.factorize(rows["unit"].astype(str), sort=True)
        first = np.empty(len(names), np.int64)
        first[codes[::-1]] = np.arange(len(codes))[::-1]
        places = rows["place"].astype(str).to_numpy()[first]
        return cls(tuple(names), tuple(places), codes.astype(np.int64))

    def at(self, codes: NDArray[Any], times: NDArray[np.int64]) -> NDArray[np.int64]:
        """The unit of each Reading; -1 where its Datastream stood nowhere."""
        if self.stays is None:
            return codes.astype(np.int64)
        found = np.full(len(codes), -1, np.int64)
        since, until = self.stays["since"].to_numpy(), self.stays["until"].to_numpy()
        borders = np.unique(np.r_[since, until])
        # Rank times among the borders: then Datastream and rank fit into one number.
        ranks = np.searchsorted(borders, times, side="right")
        base = len(borders) + 1
        owner = self.stays["code"].to_numpy(np.int64)
        keys = owner * base + np.searchsorted(borders, since, side="right")
        if not len(keys):
            return found
        last = np.searchsorted(keys, codes.astype(np.int64) * base + ranks, side="right") - 1
        inside = (last >= 0) & (owner[last] == codes) & (times < until[last])
        found[inside] = last[inside]
        return found

    def named(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Put names in place of codes."""
        codes = frame["unit"].to_numpy(np.int64)
        labels, places = pd.factorize(np.array(self.places, dtype=object))
        frame["unit"] = pd.Categorical.from_codes(codes, pd.Index(self.names))
        frame["place"] = pd.Categorical.from_codes(labels[codes], pd.Index(places))
        columns = ["unit", "place", "time", "value", "n", "coverage", "valid", "hours"]
        return frame[columns].sort_values(["unit", "time"], ignore_index=True)


def _last_words(units: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of Readings that have a unit, the last of each instant."""
    here = np.flatnonzero(units >= 0)
    least = times[here].min(initial=np.iinfo(np.int64).max)
    span = int(times[here].max(initial=least) - least) + 1
    keys = pd.Series(units[here] * span + (times[here] - least))
    return np.asarray(here[~keys.duplicated(keep="last").to_numpy()])


def _intervals(names: Iterable[Any], interval_s: float | Mapping[Any, float]) -> Floats:
    if not isinstance(interval_s, Mapping):
        interval_s = dict.fromkeys(names, float(interval_s))
    found = []
    for name in names:
        every = interval_s.get(name)
        if every is None or not 0 < every < np.inf:
            raise PanelError(f"datastream {name} has no interval at which a Reading is expected")
        found.append(float(every))
    return np.array(found)


# --- times


def _milliseconds(column: pd.Series, *, empty: int | None = None) -> NDArray[np.int64]:
    """Milliseconds since 1970 UTC."""
    if pd.api.types.is_integer_dtype(column):
        return column.to_numpy(dtype=np.int64)
    missing = column.isna().to_numpy()
    if missing.any() and empty is None:
        raise PanelError(f"a {column.name} is empty")
    try:
        times = pd.to_datetime(column, utc=True).dt.tz_localize(None)
    except (ValueError, TypeError) as error:
        text = str(error).splitlines()[0][:120]
        raise PanelError(f"a {column.name} is no time: {text}") from error
    found = times.to_numpy().astype("datetime64[ms]").astype(np.int64)
    return np.where(missing, empty, found) if empty is not None else found


def _local(instants: Instants, timezone: str) -> Instants:
    """What the city's clocks show at UTC instants."""
    index = pd.DatetimeIndex(instants.astype("datetime64[s]"), tz="UTC")
    return index.tz_convert(ZoneInfo(timezone)).tz_localize(None).to_numpy()


def _hour_starts(times: NDArray[np.int64], timezone: str) -> Instants:
    """The UTC instants at which the local hours of times begin. [ms in, datetime64[s] out]"""
    codes, quarters = pd.factorize(times // QUARTER_HOUR_MS)
    instants = (quarters * (QUARTER_HOUR_MS // 1_000)).astype("datetime64[s]")
    local = _local(instants, timezone)
    starts = local.astype("datetime64[h]") - (local - instants)
    return np.asarray(starts.astype("datetime64[s]")[codes])


def _local_dates(instants: Instants, timezone: str) -> Instants:
    """Local dates, as midnights without a zone. [datetime64[s]]"""
    return np.asarray(_local(instants, timezone).astype("datetime64[D]").astype("datetime64[s]"))


def _midnights(dates: Instants, timezone: str) -> Instants:
    """The UTC instants at which local days begin. [datetime64[s]]"""
    index = pd.DatetimeIndex(dates.astype("datetime64[s]"))
    local = index.tz_localize(
        ZoneInfo(timezone), ambiguous=np.ones(len(index), bool), nonexistent="shift_forward"
    )
    return np.asarray(local.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[s]"))


def _day_hours(dates: Instants, timezone: str) -> Floats:
    """How many hours local days have: 24, or 23 and 25 when clocks change. [h]"""
    days, back = np.unique(dates, return_inverse=True)
    seconds = _midnights(days + DAY, timezone) - _midnights(days, timezone)
    return np.asarray(seconds.astype(np.float64)[back] / HOUR_S)


def _demand(frame: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    for name in columns:
        if name not in frame.columns:
            raise PanelError(f"the {what} lack the column {name}")


def _demand_step(series: Series, step: Step) -> None:
    if series.step != step:
        raise ValueError(f"this takes a series by {step}, not by {series.step}")
