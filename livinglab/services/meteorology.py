"""Meteorology: a city's weather day by day, as its own stations measured it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.readings import Aggregation, Interval
from livinglab.domain.things import Datastream, Thing
from livinglab.impact import series
from livinglab.ports import ReadingStore
from livinglab.services.averaging import Hours, hours_of

SCALARS = ("temperature", "relative_humidity", "pressure")
WIND = ("wind_speed", "wind_direction")
PROPERTIES = frozenset({*SCALARS, *WIND})
KNOWN = 0.9
"""Of the days before the start that a column must know, to be learned from. [1]"""


@dataclass(frozen=True, slots=True)
class Sky:
    """The weather of a city over some days.

    Attributes:
        frame: Column ``period`` [local days], and one for each part of the weather that was
            measured nearly always; none where nothing was.
        stations: Thing that measured each column.
    """

    frame: pd.DataFrame
    stations: Mapping[str, str]


def sky_of(
    datastreams: Iterable[Datastream],
    things: Mapping[str, Thing],
    readings: ReadingStore,
    *,
    window: Interval,
    timezone: str,
    start: date,
    without: Collection[str],
) -> Sky:
    """Return the daily weather, each part of it from the one station that measured most days.

    A mean over stations would step where one of them joins. Stations at treated Places are left
    out: what the measure does must not be taken for weather.

    Args:
        datastreams: All of the lab.
        things: Of the lab, by key; those that are public and stand still count.
        readings: Where their Readings are.
        window: What is asked for.
        timezone: IANA zone of the days.
        start: First treated day; 90 % of the days before it must be known.
        without: Places whose stations do not count.

    Raises:
        StoreUnavailableError: The store does not answer.
    """
    of: dict[str, dict[str, Datastream]] = {}
    for one in datastreams:
        thing = things.get(one.thing)
        if one.observed_property not in PROPERTIES or thing is None:
            continue
        if thing.public and not thing.moving and thing.place not in without:
            of.setdefault(one.thing, {})[one.observed_property] = one
    found: dict[str, tuple[int, str, pd.DataFrame]] = {}
    for key in sorted(of):
        for name, columns in _columns(of[key], readings, window, timezone):
            known = int((columns["period"] < np.datetime64(start)).sum())
            if name not in found or known > found[name][0]:
                found[name] = (known, key, columns)
    days = max((known for known, _, _ in found.values()), default=0)
    frame, stations = pd.DataFrame({"period": np.array([], "datetime64[s]")}), {}
    for name, (known, key, columns) in sorted(found.items()):
        if known >= KNOWN * days > 0:
            frame = frame.merge(columns, on="period", how="outer")
            stations[name] = key
    return Sky(frame, stations)


def _columns(
    station: Mapping[str, Datastream], readings: ReadingStore, window: Interval, timezone: str
) -> Iterable[tuple[str, pd.DataFrame]]:
    """Yield what one station tells: a frame of days for each part of the weather."""
    for name in SCALARS:
        if name in station:
            hours = _hours(station[name], readings, window)
            yield name, _days(hours, timezone, {name: "result"})
    if all(name in station for name in WIND):
        both = _wind(*(_hours(station[name], readings, window) for name in WIND))
        yield "wind", _days(both, timezone, {"wind_u": "u", "wind_v": "v"})


def _wind(speeds: Hours, directions: Hours) -> Hours:
    """Bring together each speed and the direction nearest in time; a slow station turns about."""
    slow = max((*speeds.slow.values(), *directions.slow.values()))
    columns = ["time", "result"]
    if speeds.frame.empty or directions.frame.empty:
        return Hours(speeds.frame.iloc[:0], {"wind": slow})
    both = pd.merge_asof(
        speeds.frame.sort_values("time"),
        directions.frame[columns].sort_values("time"),
        on="time",
        direction="nearest",
        tolerance=pd.Timedelta(seconds=slow - 1),
        suffixes=("", "_from"),
    )
    u, v = series.components(both["result"].to_numpy(), both["result_from"].to_numpy())
    return Hours(both.assign(datastream="wind", u=u, v=v), {"wind": slow})


def _hours(one: Datastream, readings: ReadingStore, window: Interval) -> Hours:
    return hours_of([one], readings, window, OBSERVED_PROPERTIES[one.observed_property].aggregation)


def _days(hours: Hours, timezone: str, columns: Mapping[str, str]) -> pd.DataFrame:
    """Average columns of hours over local days."""
    found = pd.DataFrame({"period": np.array([], "datetime64[s]")})
    for name, column in columns.items():
        if not len(hours.frame):
            return found.assign(**dict.fromkeys(columns, np.nan))
        of_hours = series.hourly(
            hours.frame.assign(result=hours.frame[column]),
            interval_s=hours.slow,
            timezone=timezone,
            kind=Aggregation.MEAN,
        )
        rows = series.daily(of_hours).counting
        told = pd.DataFrame(
            {"period": rows["time"].to_numpy().astype("datetime64[s]"), name: rows["value"]}
        )
        found = found.merge(told, on="period", how="outer")
    return found
