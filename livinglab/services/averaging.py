"""Averaging: stored Readings of Datastreams as hourly means, as far as enough of them are there."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from statistics import median

import pandas as pd

from livinglab.domain.readings import Aggregation, Bucket, Interval
from livinglab.domain.things import Datastream
from livinglab.ports import ReadingStore

HOUR = timedelta(hours=1)
HOUR_S = HOUR.total_seconds()
SHARE = 0.75
"""Of the Readings of an hour that must be there."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Hourly means of several Datastreams.

    Attributes:
        frame: Columns ``datastream``, ``time`` (aware), ``result`` and ``flag``.
        slow: How often each Datastream speaks, an hour at least. [s]
    """

    frame: pd.DataFrame
    slow: dict[str, float]


def hours_of(
    datastreams: Iterable[Datastream],
    readings: ReadingStore,
    window: Interval,
    aggregation: Aggregation,
) -> Hours:
    """Average Datastreams over hours, from flags 1 and 2.

    Raises:
        StoreUnavailableError: The store does not answer.
    """
    frames, slow = [], {}
    for one in datastreams:
        seen = readings.every(one.number or 0, window, HOUR, aggregation)
        every = one.interval_s or _observed_interval_s(seen)
        slow[one.key] = max(every, HOUR_S)
        enough = max(SHARE, SHARE * HOUR_S / every)
        buckets = [hour for hour in seen if hour.n >= enough and math.isfinite(hour.mean)]
        frames.append(
            pd.DataFrame(
                {
                    "datastream": one.key,
                    "time": pd.to_datetime([hour.start for hour in buckets], utc=True),
                    "result": [hour.mean for hour in buckets],
                    "flag": 1,
                }
            )
        )
    measured = [one for one in frames if len(one)]
    nothing = pd.DataFrame({"datastream": [], "time": [], "result": [], "flag": []})
    return Hours(pd.concat(measured, ignore_index=True) if measured else nothing, slow)


def _observed_interval_s(hours: Sequence[Bucket]) -> float:
    """Tell how often a Datastream speaks, from the hours in which it did. [s]"""
    if len(hours) < 2:  # noqa: PLR2004 - two hours have a distance
        return HOUR_S
    gap = median((b.start - a.start).total_seconds() for a, b in pairwise(hours))
    return gap if gap > HOUR_S else HOUR_S / max(1.0, median(hour.n for hour in hours))
