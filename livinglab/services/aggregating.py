"""Aggregating: what was said in a month, by Zone and theme, published once and never changed."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from livinglab.domain.observations import Category, Observation, Visibility
from livinglab.domain.readings import Interval
from livinglab.domain.suppression import LAG, Aggregate, blocks
from livinglab.ports import CivicStore, ObservationFilter, UnitOfWork

FIRST = datetime(2000, 1, 1, tzinfo=UTC)
"""Before it nothing is aggregated: a clock was wrong."""
PAGE = 1_000
"""Observations that are read at once."""


def publish_due(
    civic: CivicStore, categories: Mapping[str, Category], *, timezone: str, now: datetime
) -> int:
    """Publish the months that ended long enough ago and were not published yet.

    Args:
        civic: Where Observations are, and Aggregates go.
        categories: The city's themes.
        timezone: IANA zone whose calendar months count.
        now: When.

    Returns:
        How many months were published.

    Raises:
        StoreUnavailableError: What is left is published next time.
    """
    zone = ZoneInfo(timezone)
    with civic.work(write=False) as work:
        earliest = work.observations.earliest()
        done = {one.month for one in work.aggregates.where(part=0)}
    if earliest is None:
        return 0
    found = 0
    for month, interval in months_over(max(earliest, FIRST), now - LAG, zone):
        if month not in done:
            with civic.work() as work:
                _publish(month, interval, categories, work, now)
            found += 1
    return found


def last_month(now: datetime, timezone: str) -> datetime:
    """Return the end of the last month that is due to be published."""
    due = (now - LAG).astimezone(ZoneInfo(timezone))
    return due.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def months_over(
    since: datetime, until: datetime, zone: ZoneInfo
) -> Iterator[tuple[date, Interval]]:
    """Yield each calendar month from that of an instant on that was over at another."""
    start = since.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while (end := (start + timedelta(days=32)).replace(day=1)) <= until:
        yield start.date(), Interval(start, end)
        start = end


def _publish(
    month: date,
    interval: Interval,
    categories: Mapping[str, Category],
    work: UnitOfWork,
    now: datetime,
) -> None:
    zones = [one.key for one in work.zones.all()]
    people: dict[str, dict[str, list[str]]] = {
        key: {zone: [] for zone in zones} for key in categories
    }
    for one, zone in _said(interval, work):
        if one.category in people and zone in people[one.category]:
            people[one.category][zone].append(one.contributor)
    for key, category in categories.items():
        k = category.privacy.k
        told = [(one.zones, one.n, one.contributors) for one in blocks(people[key], k)]
        work.aggregates.add(
            [
                Aggregate(
                    month=month,
                    category=key,
                    part=part,
                    zones=list(which),
                    n=n,
                    contributors=contributors,
                    k=k,
                    published_at=now,
                )
                for part, (which, n, contributors) in enumerate(told or [((), None, None)])
            ]
        )


def _said(interval: Interval, work: UnitOfWork) -> Iterator[tuple[Observation, str | None]]:
    """Yield the Observations of a month, each with its Zone."""
    which, after = ObservationFilter(occurred=interval), None
    while page := work.observations.page(which, after=after, limit=PAGE):
        after = page[-1].number
        places = work.places.several({one.place for one in page})
        for one in page:
            if one.visibility is not Visibility.REMOVED:
                yield one, places[one.place].zone
