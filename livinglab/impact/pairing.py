"""Pairing: Observations beside Readings, of the same Place or Zone and the same period.

Arrays have one row per unit (a Place, a Zone, or the whole city) and one column per period. A
period without an Observation counts 0, because people could have posted; a period without enough
Readings is missing, and is never filled in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from livinglab.domain.geometry import EARTH_RADIUS_M
from livinglab.domain.readings import Flag
from livinglab.errors import PanelError
from livinglab.impact.findings import THRESHOLDS
from livinglab.impact.results import Floats
from livinglab.impact.series import HOUR_S, Instants, daily, hourly

Every = Literal["1h", "1D"]
Count = Literal["reports", "contributors", "severity"]
Join = Literal["place", "zone", "nearest", "one_series"]

STEP: Mapping[Every, np.timedelta64] = {"1h": np.timedelta64(1, "h"), "1D": np.timedelta64(1, "D")}
EVERYWHERE = "all"
"""The unit of one series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """How Observations and Readings were brought together.

    Attributes:
        by: The column they share; ``nearest`` by positions; ``one_series`` where they share none.
        units: Which Places or Zones are compared.
        left_out: How many Observations count nowhere, by reason.
        places_left_out: Of one series: Places of Readings with holes where others have none.
        median_m: From an Observation to the Place of its Readings, where that was measured. [m]
        farthest_m: The same of the farthest. [m]
    """

    by: Join
    units: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    places_left_out: tuple[str, ...] = ()
    median_m: float | None = None
    farthest_m: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Observations beside Readings.

    Attributes:
        periods: UTC instants at which local hours begin, or local dates. [T]
        months: Their local calendar months, numbered through the years. [T]
        perceived: What was posted; 0 where nothing was. [N, T]
        sensed: Mean of the Readings, NaN where too few came. [N, T]
        every: Length of a period.
        observations: How many count.
        pairing: Which rows belong together.
    """

    periods: Instants
    months: NDArray[np.int64]
    perceived: Floats
    sensed: Floats
    every: Every
    observations: int
    pairing: Pairing


def paired(
    observations: pd.DataFrame,
    readings: pd.DataFrame,
    *,
    every: Every = "1D",
    timezone: str = "UTC",
    count: Count = "reports",
    min_severity: float | None = None,
) -> Pairs:
    """Count Observations and average Readings by period, where both belong together.

    They are paired by the first that both tables have: ``place``, ``zone``, or ``lat`` with
    ``lon``, by which an Observation goes to the nearest Place of Readings, however far. Where they
    share none, all are one series, over the Places of Readings that were measured together.

    A period has Readings if three quarters of those expected came, as `series.hourly` and
    `series.daily` judge it; what is expected follows from the usual gap between two. Their mean is
    arithmetic: hand sound levels in as hourly energy means. Between the first Observation and the
    last, wherever they were made, a period without one counts 0.

    Args:
        observations: Columns ``time`` (aware, or naive UTC), where, and what *count* asks for.
        readings: Columns ``time``, ``value`` and where. Of two at one instant the last counts.
        every: Length of a period.
        timezone: IANA zone whose hours, days and months are meant.
        count: ``reports`` counts Observations; ``contributors`` each person once a period, and
            each Observation without one; ``severity`` adds severities up.
        min_severity: Count only Observations at least as severe.

    Raises:
        PanelError: A column is missing.
    """
    judged = count == "severity" or min_severity is not None
    _demand(observations, ("time", *(["severity"] if judged else [])), "Observations")
    _demand(observations, ["contributor"] if count == "contributors" else [], "Observations")
    _demand(readings, ("time", "value"), "Readings")
    joined = _join(observations, readings)
    sensed = _averaged(readings, joined.sites, every, timezone)
    periods_of = _periods(observations["time"], every, timezone)
    periods = _window(periods_of, sensed["time"], every)
    places, cells = _matrix(sensed, periods, every)
    gone: tuple[str, ...] = ()
    if joined.by == "one_series":
        places, cells, gone = _one_series(places, cells)
    measured = places[np.flatnonzero(~np.isnan(cells).all(axis=1))]
    posts = observations.assign(
        unit=joined.posts, metres=joined.metres, column=_columns(periods_of, periods, every)
    )
    posts, left_out = _counting(posts, measured, min_severity, judged=judged)
    units = measured[measured.isin(posts["unit"])]
    return Pairs(
        periods=periods,
        months=_months(periods, every, timezone),
        perceived=_counted(posts, units, len(periods), count),
        sensed=cells[places.get_indexer(units)],
        every=every,
        observations=len(posts),
        pairing=Pairing(
            by=joined.by,
            units=tuple(units),
            left_out=left_out,
            places_left_out=gone,
            median_m=_metres(posts["metres"].median()),
            farthest_m=_metres(posts["metres"].max()),
        ),
    )


def _demand(frame: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    for name in columns:
        if name not in frame.columns:
            raise PanelError(f"the {what} lack the column {name}")


# --- where


@dataclass(frozen=True, slots=True)
class _Joined:
    """The unit of each row, None where it has none, and how far an Observation is from it."""

    by: Join
    posts: NDArray[np.object_]
    sites: NDArray[np.object_]
    metres: Floats


def _join(observations: pd.DataFrame, readings: pd.DataFrame) -> _Joined:
    nowhere = np.full(len(observations), np.nan)
    shared = set(observations.columns) & set(readings.columns)
    names: tuple[Literal["place", "zone"], ...] = ("place", "zone")
    for name in names:
        if name in shared:
            return _Joined(name, _names(observations[name]), _names(readings[name]), nowhere)
    if {"lat", "lon"} <= shared:
        sites = _sites(readings)
        return _Joined("nearest", *_nearest(observations, readings.assign(site=sites)))
    posts = np.full(len(observations), EVERYWHERE, object)
    return _Joined("one_series", posts, _sites(readings), nowhere)


def _names(column: pd.Series) -> NDArray[np.object_]:
    text = column.astype(str)
    return text.where(column.notna() & (text != ""), None).to_numpy(object)


def _sites(readings: pd.DataFrame) -> NDArray[np.object_]:
    """Name where Readings were taken, by what their table tells."""
    for name in ("place", "zone"):
        if name in readings:
            return _names(readings[name])
    if {"lat", "lon"} <= set(readings.columns):
        lat, lon = _degrees(readings)
        told = pd.Series([f"{one},{other}" for one, other in zip(lat, lon, strict=True)])
        return told.where(~np.isnan(lat + lon), None).to_numpy(object)
    return np.full(len(readings), EVERYWHERE, object)


def _degrees(frame: pd.DataFrame) -> tuple[Floats, Floats]:
    """Latitude and longitude; NaN where they are no position on earth."""
    lat, lon = (frame[name].to_numpy(np.float64) for name in ("lat", "lon"))
    wrong = ~((np.abs(lat) <= 90) & (np.abs(lon) <= 180))  # noqa: PLR2004 - the size of the earth
    return np.where(wrong, np.nan, lat), np.where(wrong, np.nan, lon)


def _nearest(
    observations: pd.DataFrame, readings: pd.DataFrame
) -> tuple[NDArray[np.object_], NDArray[np.object_], Floats]:
    """Bring each Observation to the nearest site: the haversine formula on a sphere. [m]"""
    readings = readings.reset_index(drop=True)
    lat, lon = _degrees(observations)
    unit, metres = np.full(len(lat), None, object), np.full(len(lat), np.inf)
    for site, row in readings[readings["site"].notna()].drop_duplicates("site").iterrows():
        [north], [east] = _degrees(readings.loc[[site]])
        half = np.sin(np.radians(lat - north) / 2) ** 2
        half += (
            np.cos(np.radians(lat))
            * np.cos(np.radians(north))
            * np.sin(np.radians(lon - east) / 2) ** 2
        )
        away = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(half, 1.0)))
        nearer = away < metres
        unit[nearer], metres[nearer] = row["site"], away[nearer]
    return unit, readings["site"].to_numpy(object), np.where(np.isinf(metres), np.nan, metres)


def _metres(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 1)


# --- when


def _utc(column: pd.Series) -> pd.Series:
    """UTC instants, without a zone."""
    text = not (pd.api.types.is_datetime64_any_dtype(column))
    try:
        found = pd.to_datetime(column, utc=True, format="ISO8601" if text else None)
    except (ValueError, TypeError) as error:
        told = str(error).splitlines()[0][:120]
        raise PanelError(f"a {column.name} is no time: {told}") from error
    instants: pd.Series = found.dt.tz_localize(None).astype("datetime64[ms]")
    return instants


def _periods(column: pd.Series, every: Every, timezone: str) -> pd.Series:
    """The local day of a time, or the UTC instant at which its local hour begins."""
    instants = _utc(column)
    local = instants.dt.tz_localize("UTC").dt.tz_convert(ZoneInfo(timezone)).dt.tz_localize(None)
    starts = local.dt.floor("D" if every == "1D" else "h")
    starts = starts if every == "1D" else starts - (local - instants)
    found: pd.Series = starts.astype("datetime64[s]")
    return found


def _window(posted: pd.Series, sensed: pd.Series, every: Every) -> Instants:
    """All periods from which Observations and Readings can be; none if they never meet. [T]"""
    posted, sensed = posted.dropna(), sensed.dropna()
    if posted.empty or sensed.empty:
        return np.empty(0, "datetime64[s]")
    first = max(posted.min(), sensed.min()).to_datetime64()
    last = min(posted.max(), sensed.max()).to_datetime64()
    return np.arange(first, last + STEP[every], STEP[every]).astype("datetime64[s]")


def _columns(times: pd.Series, periods: Instants, every: Every) -> NDArray[np.int64]:
    """Which period each time lies in; −1 outside."""
    if not len(periods):
        return np.full(len(times), -1, np.int64)
    first = pd.Timestamp(periods[0])
    columns = ((times - first) // pd.Timedelta(STEP[every])).fillna(-1).to_numpy(np.int64)
    return np.where((columns >= 0) & (columns < len(periods)), columns, -1)


def _months(periods: Instants, every: Every, timezone: str) -> NDArray[np.int64]:
    index = pd.DatetimeIndex(periods)
    if every == "1h":
        index = index.tz_localize("UTC").tz_convert(ZoneInfo(timezone))
    return np.asarray(index.year * 12 + index.month, np.int64)


# --- Readings


def _averaged(
    readings: pd.DataFrame, sites: NDArray[np.object_], every: Every, timezone: str
) -> pd.DataFrame:
    """Average Readings by site and period, where three quarters of them came."""
    values = pd.to_numeric(readings["value"]).to_numpy(np.float64)
    frame = pd.DataFrame({"datastream": sites, "time": _utc(readings["time"]), "result": values})
    frame = frame[np.isfinite(values) & frame["datastream"].notna() & frame["time"].notna()]
    if frame.empty:
        return pd.DataFrame({"unit": [], "time": pd.to_datetime([]), "value": []})
    frame = frame.assign(time=frame["time"].astype(np.int64), flag=int(Flag.NOT_EVALUATED))
    found = hourly(frame, interval_s=_usual_gaps(frame), timezone=timezone)
    found = daily(found) if every == "1D" else found
    return found.counting[["unit", "time", "value"]]


def _usual_gaps(frame: pd.DataFrame) -> dict[str, float]:
    """The median time between two Readings of a site; an hour where there is but one. [s]"""
    times = frame[["datastream", "time"]].drop_duplicates().sort_values(["datastream", "time"])
    gaps = times.groupby("datastream")["time"].diff() / 1_000
    usual = gaps.groupby(times["datastream"]).median().fillna(HOUR_S)
    return {str(site): float(gap) for site, gap in usual.items()}


def _matrix(sensed: pd.DataFrame, periods: Instants, every: Every) -> tuple[pd.Index, Floats]:
    codes, names = pd.factorize(sensed["unit"].astype(str), sort=True)
    columns = _columns(sensed["time"], periods, every)
    cells = np.full((len(names), len(periods)), np.nan)
    inside = columns >= 0
    cells[codes[inside], columns[inside]] = sensed["value"].to_numpy(np.float64)[inside]
    return pd.Index(names), cells


def _one_series(places: pd.Index, cells: Floats) -> tuple[pd.Index, Floats, tuple[str, ...]]:
    """Average Places that were measured together in three quarters of the time, as in `series`.

    A Place that joins halfway would fake a step; so the least measured are left out until the
    others go together, or one remains.
    """
    seen = ~np.isnan(cells)
    kept = list(np.argsort(seen.sum(axis=1), kind="stable"))
    enough = THRESHOLDS.capture_least * seen.any(axis=0).sum()
    gone = []
    while len(kept) > 1 and seen[kept].all(axis=0).sum() < enough:
        gone.append(str(places[kept.pop(0)]))
    found = cells[kept].sum(axis=0, keepdims=True) / max(len(kept), 1)
    if not kept:
        found[:] = np.nan
    return pd.Index([EVERYWHERE]), found, tuple(sorted(gone))


# --- Observations


def _counting(
    posts: pd.DataFrame, measured: pd.Index, min_severity: float | None, *, judged: bool
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Keep the Observations that count; tell of the others why they do not."""
    left_out = {}
    checks = {
        "without a time": posts["time"].isna(),
        "without a place": posts["unit"].isna(),
        "while nothing was measured": posts["column"] < 0,
        "where nothing was measured": ~posts["unit"].isin(measured),
    }
    if judged:
        least = -np.inf if min_severity is None else min_severity
        checks["less severe, or without severity"] = ~(posts["severity"] >= least)
    gone = pd.Series(data=False, index=posts.index)
    for reason, which in checks.items():
        n = int((which & ~gone).sum())
        if n:
            left_out[reason] = n
        gone |= which
    return posts[~gone], left_out


def _counted(posts: pd.DataFrame, units: pd.Index, length: int, count: Count) -> Floats:
    """Add up what was posted by unit and period. [N, T]"""
    found = np.zeros((len(units), length))
    if count == "contributors":
        again = posts.duplicated(["unit", "column", "contributor"])
        posts = posts[~again | posts["contributor"].isna()]
    weights = posts["severity"].to_numpy(np.float64) if count == "severity" else 1.0
    rows, columns = units.get_indexer(pd.Index(posts["unit"])), posts["column"].to_numpy()
    np.add.at(found, (rows, columns), weights)
    return found
