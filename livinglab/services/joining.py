"""Joining: what Things measure and what citizens say at the same Place."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from livinglab.domain.batches import Batch
from livinglab.domain.geometry import Box
from livinglab.domain.observations import Category, Observation, Status, Visibility
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.places import WHOLE_ZONE, Place, PlaceOrigin
from livinglab.domain.privacy import PublicCount, public_count
from livinglab.domain.readings import Bucket, Flag, Interval, Reading
from livinglab.domain.suppression import Aggregate
from livinglab.domain.things import Datastream, Thing, ThingState
from livinglab.errors import InvalidError, NotFoundError
from livinglab.ports import ReadingStore, UnitOfWork
from livinglab.services.watching import DEFAULT_INTERVAL_S, is_stale

MOST_BUCKETS = 10_000
SEARCHED = 1_000
"""Places that are looked through at once for words in their names."""
LONGEST = timedelta(days=3_660)
"""The longest timeline: ten years."""


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
    on_paper: Mapping[str, int]
    """Category → how many people batches count there."""


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


def public_places(work: UnitOfWork) -> list[Place]:
    """List the Places that may be seen, by key.

    A Place made for a Thing that nobody confirmed tells where a private balcony is: it stays
    hidden until that Thing, or another that stood there, is confirmed.
    """
    trusted = {thing.key: thing for thing in work.things.all() if _was_confirmed(thing)}
    stood = {thing.place for thing in trusted.values()}
    stood |= {one.place for one in work.things.locations() if one.thing in trusted}
    return [
        place
        for place in work.places.all()
        if place.origin is not PlaceOrigin.THING or place.key in stood
    ]


def page_of_places(
    work: UnitOfWork,
    *,
    box: Box | None = None,
    zone: str | None = None,
    words: str = "",
    after: str = "",
    limit: int,
) -> list[Place]:
    """List Places that may be seen, by key, from behind a key on.

    Args:
        work: The transaction.
        box: Where they lie.
        zone: Key of the Zone that they lie in.
        words: What their name or key holds, whatever its case.
        after: The last key of the page before.
        limit: How many at the most.
    """
    found: list[Place] = []
    wanted, size = words.casefold(), SEARCHED if words else limit
    while len(found) < limit:
        some = work.places.page(box=box, zone=zone, after=after, limit=size)
        named = [one for one in some if wanted in f"{one.name} {one.key}".casefold()]
        found += visible(named, work)
        if len(some) < size:
            break
        after = some[-1].key
    return found[:limit]


def visible(places: Iterable[Place], work: UnitOfWork) -> list[Place]:
    """Keep those of some Places that may be seen."""
    some = list(places)
    of_things = [one.key for one in some if one.origin is PlaceOrigin.THING]
    trusted = [one for one in work.things.stood_at(of_things) if _was_confirmed(one)]
    stood = {one.place for one in trusted}
    for thing in trusted:
        stood |= {one.place for one in work.things.locations(thing.key)}
    return [one for one in some if one.origin is not PlaceOrigin.THING or one.key in stood]


def _was_confirmed(thing: Thing) -> bool:
    return thing.state in {ThingState.CONFIRMED, ThingState.RETIRED}


def public_place(key: str, work: UnitOfWork) -> Place:
    """Return a Place that may be seen.

    Raises:
        NotFoundError: It does not exist, or may not be seen.
    """
    place = work.places.get(key)
    if place is None or not visible([place], work):
        raise NotFoundError("Place", key)
    return place


def at_places(
    places: Sequence[Place], work: UnitOfWork, readings: ReadingStore, now: datetime
) -> list[AtPlace]:
    """Join some Places: their public Datastreams with the latest Reading, and the counts."""
    standing = _standing(work, {place.key for place in places})
    numbers = [one.number or 0 for several in standing.values() for one in several]
    latest = readings.latest(numbers)
    counts = work.observations.counts_by_place(place.key for place in places)
    on_paper = counted(work.batches.where(place=frozenset(place.key for place in places)))
    return [
        AtPlace(
            place=place,
            latest=tuple(_latest(one, latest, now) for one in standing.get(place.key, ())),
            observations=counts.get(place.key, {}),
            on_paper=on_paper.get(place.key, {}),
        )
        for place in places
    ]


def counted(batches: Iterable[Batch]) -> dict[str, dict[str, int]]:
    """Add batches up, by key of their Place or Zone, and category. [persons]"""
    found: dict[str, dict[str, int]] = {}
    for one in batches:
        there = found.setdefault(one.place or one.zone or "", {})
        there[one.category] = there.get(one.category, 0) + one.n
    return found


def _standing(work: UnitOfWork, places: set[str]) -> dict[str, list[Datastream]]:
    """Return the public Datastreams of each Place."""
    there = work.things.stood_at(places)
    home = {one.key: one.place for one in there if one.public and one.place in places}
    found: dict[str, list[Datastream]] = {}
    for stream in work.things.datastreams(home):
        found.setdefault(home[stream.thing] or "", []).append(stream)
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
    now: datetime,
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
        now: Months that begin later are not told of.
        work: The transaction.
        readings: Where Readings are kept.

    Raises:
        NotFoundError: There is no such Place.
        InvalidError: More periods than anybody reads.
    """
    place = public_place(key, work)
    if every <= timedelta(0) or (interval.end - interval.start) / every > MOST_BUCKETS:
        raise InvalidError("every", f"must give at most {MOST_BUCKETS} periods")
    if interval.end - interval.start > LONGEST:
        raise InvalidError("from", "must be at most ten years before `to`")
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
    personal = frozenset(one.key for one in categories.values() if one.privacy.personal)
    published = work.aggregates.where(
        category=personal, month=frozenset(start.date() for start in _months(whole))
    )
    return Timeline(
        place=place,
        readings=found,
        expected={
            one.key: every.total_seconds() / (one.interval_s or DEFAULT_INTERVAL_S) for one in here
        },
        observations=tuple(_periods(place, said, published, whole, categories, timezone, now)),
    )


def _counts(observation: Observation) -> bool:
    return observation.visibility is not Visibility.REMOVED


def months_around(interval: Interval, timezone: str) -> tuple[datetime, datetime]:
    """Widen an Interval to whole calendar months: fixed windows cannot be subtracted."""
    zone = ZoneInfo(timezone)
    try:
        start = _month(interval.start, zone)
        end = _month(interval.end - timedelta(microseconds=1), zone)
        return start, (end + timedelta(days=32)).replace(day=1)
    except OverflowError as error:
        raise InvalidError("to", "reaches beyond the years 1 to 9999") from error


def _month(instant: datetime, zone: ZoneInfo) -> datetime:
    local = instant.astimezone(zone)
    return local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _periods(
    place: Place,
    said: Iterable[Observation],
    published: Iterable[Aggregate],
    whole: Interval,
    categories: Mapping[str, Category],
    timezone: str,
    now: datetime,
) -> list[Period]:
    """Count Observations by calendar month and category, under the k-rule.

    Every month tells of every category, so that a hidden one is not told from an empty one. Of a
    personal theme only what was published once is told, at the Place that stands for its Zone.
    """
    zone = ZoneInfo(timezone)
    told: dict[tuple[date, str], PublicCount] = {}
    for one in published:
        alone = [WHOLE_ZONE + key for key in one.zones] == [place.key]
        if alone or (one.month, one.category) not in told:
            count = (one.n, one.contributors) if alone else (None, None)
            told[one.month, one.category] = PublicCount(*count)
    cells: dict[tuple[datetime, str], list[Observation]] = {}
    for each in said:
        cells.setdefault((_month(each.occurred_at, zone), each.category), []).append(each)
    found = []
    for start in _months(whole):
        for category in categories.values():
            if not category.privacy.personal and start <= now:
                inside = cells.get((start, category.key), ())
                found.append(_period(start, category, inside))
            elif (start.date(), category.key) in told:
                hidden_or_not = told[start.date(), category.key]
                found.append(Period(start=start, category=category.key, count=hidden_or_not))
    return found


def _period(start: datetime, category: Category, inside: Collection[Observation]) -> Period:
    people = len({one.contributor for one in inside})
    count = public_count(len(inside), people, k=category.privacy.k)
    return Period(start=start, category=category.key, count=count)


def _months(whole: Interval) -> Iterator[datetime]:
    """Yield the first instant of each calendar month."""
    start = whole.start
    while start < whole.end:
        yield start
        start = (start + timedelta(days=32)).replace(day=1)
