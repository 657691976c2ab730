"""Joining: what Things measure and what citizens say at the same Place."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from livinglab.domain.observations import Category, Observation, Status, Visibility
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.places import Place
from livinglab.domain.privacy import PublicCount, public_count
from livinglab.domain.readings import Bucket, Flag, Interval, Reading
from livinglab.domain.things import Datastream
from livinglab.errors import InvalidError, NotFoundError
from livinglab.ports import ReadingStore, UnitOfWork
from livinglab.services.watching import DEFAULT_INTERVAL_S, is_stale

MOST_BUCKETS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """A Datastream with what it said last."""

    datastream: Datastream
    reading: Reading | None
    stale: bool
    """Too old to be served as current."""

    @property
    def current(self) -> bool:
        """Whether it may be read as the state of things now."""
        doubtful = {Flag.FAIL, Flag.MISSING}
        return self.reading is not None and not self.stale and self.reading.flag not in doubtful


@dataclass(frozen=True, slots=True, kw_only=True)
class AtPlace:
    """A Place and all that is known there."""

    place: Place
    latest: tuple[Latest, ...]
    observations: Mapping[tuple[str, Status], int]
    """(Category, status) → how many; what was removed does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What citizens said in one calendar period, as far as the k-rule lets it be told."""

    start: datetime
    category: str
    count: PublicCount


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What was measured and what was said at a Place, on one axis."""

    place: Place
    readings: Mapping[str, tuple[Bucket, ...]] = field(default_factory=dict)
    """Key of the Datastream → its buckets."""
    expected: Mapping[str, float] = field(default_factory=dict)
    """Key of the Datastream → Readings that a full bucket holds."""
    observations: tuple[Period, ...] = ()


def at_places(
    places: Sequence[Place], work: UnitOfWork, readings: ReadingStore, now: datetime
) -> list[AtPlace]:
    """Join some Places: their public Datastreams with the latest Reading, and the counts."""
    standing = _standing(work, {place.key for place in places})
    numbers = [one.number or 0 for several in standing.values() for one in several]
    latest = readings.latest(numbers)
    counts = work.observations.counts_by_place()
    return [
        AtPlace(
            place=place,
            latest=tuple(_latest(one, latest, now) for one in standing.get(place.key, ())),
            observations=counts.get(place.key, {}),
        )
        for place in places
    ]


def _standing(work: UnitOfWork, places: set[str]) -> dict[str, list[Datastream]]:
    """Return the public Datastreams of each Place."""
    home = {t.key: t.place for t in work.things.all() if t.public and t.place in places}
    found: dict[str, list[Datastream]] = {}
    for one in work.things.datastreams():
        place = home.get(one.thing)
        if place is not None:
            found.setdefault(place, []).append(one)
    return found


def _latest(one: Datastream, latest: Mapping[int, Reading], now: datetime) -> Latest:
    reading = latest.get(one.number or 0)
    stale = reading is None or is_stale(one, reading.time, now)
    return Latest(datastream=one, reading=reading, stale=stale)


def timeline(
    key: str,
    interval: Interval,
    every: timedelta,
    *,
    categories: Mapping[str, Category],
    timezone: str,
    work: UnitOfWork,
    readings: ReadingStore,
) -> Timeline:
    """Tell what happened at a Place.

    Args:
        key: Of the Place.
        interval: When.
        every: Length of a period of Readings.
        categories: The city's themes, with their privacy.
        timezone: IANA zone whose calendar months the Observations are counted by.
        work: The transaction.
        readings: Where Readings are kept.

    Raises:
        NotFoundError: There is no such Place.
        InvalidError: More periods than anybody reads.
    """
    place = work.places.get(key)
    if place is None:
        raise NotFoundError("Place", key)
    if every <= timedelta(0) or (interval.end - interval.start) / every > MOST_BUCKETS:
        raise InvalidError("every", f"must give at most {MOST_BUCKETS} periods")
    here = _standing(work, {key}).get(key, [])
    found = {
        one.key: tuple(
            readings.every(
                one.number or 0,
                interval,
                every,
                OBSERVED_PROPERTIES[one.observed_property].aggregation,
            )
        )
        for one in here
    }
    whole = Interval(*months_around(interval, timezone))
    said = [o for o in work.observations.at_place(key, whole) if _counts(o)]
    return Timeline(
        place=place,
        readings=found,
        expected={
            one.key: every.total_seconds() / (one.interval_s or DEFAULT_INTERVAL_S) for one in here
        },
        observations=tuple(_periods(said, categories, timezone)),
    )


def _counts(observation: Observation) -> bool:
    return observation.visibility is not Visibility.REMOVED


def months_around(interval: Interval, timezone: str) -> tuple[datetime, datetime]:
    """Widen an Interval to whole calendar months: fixed windows cannot be subtracted."""
    zone = ZoneInfo(timezone)
    start = _month(interval.start, zone)
    end = _month(interval.end - timedelta(microseconds=1), zone)
    return start, (end + timedelta(days=32)).replace(day=1)


def _month(instant: datetime, zone: ZoneInfo) -> datetime:
    local = instant.astimezone(zone)
    return local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _periods(
    said: Iterable[Observation], categories: Mapping[str, Category], timezone: str
) -> list[Period]:
    """Count Observations by calendar month and category, under the k-rule."""
    zone = ZoneInfo(timezone)
    cells: dict[tuple[datetime, str], list[Observation]] = {}
    for one in said:
        cells.setdefault((_month(one.occurred_at, zone), one.category), []).append(one)
    return [
        Period(
            start=start,
            category=category,
            count=public_count(
                len(inside),
                len({one.contributor for one in inside}),
                k=categories[category].privacy.k if category in categories else 10,
            ),
        )
        for (start, category), inside in sorted(cells.items(), key=lambda cell: cell[0])
    ]
