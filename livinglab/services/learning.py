"""Learning: how often a Datastream speaks, and how wrong a Thing's clock is, by its Readings.

Both are observed, never assumed: an interval that somebody set stays, and a skew is shown beside
the Readings, whose own times are never corrected.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from livinglab.domain.quality import Skew
from livinglab.domain.readings import Interval
from livinglab.domain.things import Datastream
from livinglab.ports import CivicStore, ReadingStore, UnitOfWork

ENOUGH_GAPS = 8
"""An interval is learned from so many gaps at least."""
WINDOWS = (timedelta(hours=2), timedelta(days=2), timedelta(days=30))
"""How far back from the newest Reading gaps are sought; the first that holds enough is taken."""
MOST_READINGS = 500
"""Readings of a window that are looked at."""
SETTLED = 0.1
"""An interval that moved by a smaller share is not noted again: it moves the whole registry."""
SLICE = 200
"""Datastreams whose intervals are noted at once."""


def expected_interval(times: Sequence[datetime]) -> float | None:
    """Return the median of the gaps between instants, oldest first; None if they are too few. [s]

    A Thing that misses some Readings, or sends some twice as often, is not judged by those.
    """
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    return median(gaps) if len(gaps) >= ENOUGH_GAPS else None


def observed_interval(datastream: int, newest: datetime, readings: ReadingStore) -> float | None:
    """Return how often a Datastream spoke of late; None if it has not spoken enough yet. [s]"""
    end = newest + timedelta(milliseconds=1)
    for window in WINDOWS:
        span = Interval(end - window, end)
        times = [one.time for one in readings.between(datastream, span, limit=MOST_READINGS)]
        found = expected_interval(times)
        if found is not None:
            return found
    return None


def learn_intervals(
    civic: CivicStore, readings: ReadingStore, *, again: bool = False
) -> dict[int, float]:
    """Note how often Datastreams speak, where nobody set it.

    Args:
        civic: Keeps it.
        readings: What they said.
        again: Also where it was learned before; else only where nothing is known.

    Returns:
        Number → what was noted. [s]

    Raises:
        StoreUnavailableError: What was noted so far stays.
    """
    with civic.work(write=False) as work:
        wanted = [one for one in work.things.datastreams() if _may_learn(one, again=again)]
    newest = readings.latest(one.number or 0 for one in wanted)
    found: dict[int, float] = {}
    for one in wanted:
        number = one.number or 0
        if number in newest:
            interval = observed_interval(number, newest[number].time, readings)
            if interval is not None and _moved(one, interval):
                found[number] = interval
    numbers = list(found)
    for start in range(0, len(numbers), SLICE):
        _note(civic, {number: found[number] for number in numbers[start : start + SLICE]})
    return found


def _may_learn(one: Datastream, *, again: bool) -> bool:
    return one.interval_s is None or (again and one.interval_learned)


def _moved(one: Datastream, interval: float) -> bool:
    return one.interval_s is None or abs(interval - one.interval_s) > SETTLED * one.interval_s


def _note(civic: CivicStore, intervals: dict[int, float]) -> None:
    with civic.work() as work:
        for one in work.things.datastreams():
            if (one.number or 0) in intervals and _may_learn(one, again=True):
                one.interval_s, one.interval_learned = intervals[one.number or 0], True


def skew_of(datastreams: Iterable[Datastream], work: UnitOfWork) -> Skew | None:
    """Return how wrong the clock of a Thing is: the median over its Datastreams, which share it.

    None if too little came live to tell. The Skew bears the number of one of the Datastreams.
    """
    found = work.quality.skews(one.number or 0 for one in datastreams)
    if not found:
        return None
    middle = sorted(found, key=lambda one: one.lag_s)[len(found) // 2]
    return middle._replace(
        lag_s=median(one.lag_s for one in found),
        samples=sum(one.samples for one in found),
        at_ms=max(one.at_ms for one in found),
    )
