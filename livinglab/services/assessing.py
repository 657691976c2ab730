"""Assessing: is the air at a Place good now, and did it keep the limit values of a year?

Readings become hourly means, and those everything else: running means of eight hours, means and
maxima of the city's calendar days. Only flags 1 and 2 enter, and a period counts only where enough
of it was measured. Each Datastream is judged for itself: two instruments are never averaged.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import NamedTuple
from zoneinfo import ZoneInfo

from livinglab.domain.air_quality import (
    EUROPEAN,
    Assessment,
    Concentration,
    CoverageRules,
    Index,
    Limit,
    LimitTable,
    Period,
    Scale,
    StationKind,
    Statistic,
    Verdict,
    Year,
    coverage_rules,
    index_of,
    judge_exceedances,
    judge_mean,
    limits,
    scale,
    sub_indices,
    table_names,
)
from livinglab.domain.places import Place
from livinglab.domain.readings import Aggregation, Interval, Reading, Test
from livinglab.domain.things import Datastream, Location, Thing
from livinglab.ports import ReadingStore, UnitOfWork
from livinglab.services.joining import public_place

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HOURS_BACK = 3
"""How old the hour of an index may be: many stations publish late. [h]"""
LONGEST_WINDOW = 24
"""Of the tables' averaging times. [h]"""
SEASON = 6
"""Months of a peak season."""
MONTHS = 12
_WINDOW = 8
"""Hours of a running mean."""
_BEGINNING, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_WINDOWS = {1: Period.HOUR, 8: Period.EIGHT_HOURS, 24: Period.DAY}
"""Hours of a scale's row → the period whose rule of coverage holds."""


class HourMean(NamedTuple):
    """The mean of an hour, however little of it was measured."""

    start: datetime
    mean: float
    """[the property's unit]"""
    coverage: float
    """Of the Readings expected. [0 to 1]"""


class Measured(NamedTuple):
    """A concentration and the Datastream that measured it."""

    datastream: str
    concentration: Concentration


@dataclass(frozen=True, slots=True, kw_only=True)
class AirNow:
    """The index of a Place, for the latest hour that can be judged."""

    place: Place
    end: datetime
    """The averaging periods end here."""
    index: Index
    datastreams: tuple[str, ...]
    """Key of the Datastream behind each of the index's pollutants."""
    rules: CoverageRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A Datastream's year, against all limit values of its pollutant."""

    datastream: str
    pollutant: str
    assessments: tuple[Assessment, ...]
    not_assessed: tuple[Limit, ...]
    """Those whose means are shorter than an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AirYear:
    """What a year says about the limit values at a Place."""

    place: Place
    year: int
    timezone: str
    over: bool
    tables: tuple[LimitTable, ...]
    judged: tuple[Judged, ...]
    """By key of the Datastream."""
    rules: CoverageRules


class Sampling(NamedTuple):
    """A Datastream, and when it stood at the Place."""

    datastream: Datastream
    stays: tuple[Interval, ...]


def air_now(
    key: str,
    *,
    table: str = EUROPEAN,
    kind: StationKind = StationKind.OTHER,
    timezone: str,
    now: datetime,
    work: UnitOfWork,
    readings: ReadingStore,
) -> AirNow:
    """Judge the air at a Place by the latest full hour.

    Of the last three hours the latest decides whose index is complete; without one, the latest
    that has any pollutant. Of several instruments for a pollutant the worst counts, as of several
    pollutants. Longer averaging times trail: they end with that hour, and are no NowCast.

    Args:
        key: Of the Place.
        table: Name of the scale.
        kind: What the Place is measured for; nobody says it of a Place, so OTHER is assumed.
        timezone: IANA zone whose hours are meant.
        now: Only hours that are over count.
        work: The transaction.
        readings: Where Readings are kept.

    Raises:
        NotFoundError: There is no such Place, or it may not be seen; or no such table.
    """
    place, judging, rules = public_place(key, work), scale(table), coverage_rules()
    last = _full_hour(now, ZoneInfo(timezone))
    whole = Interval(last - (LONGEST_WINDOW + HOURS_BACK - 1) * HOUR, last)
    wanted = {row.pollutant for row in judging.rows}
    hours = {
        one.datastream.key: (
            one.datastream.observed_property,
            {hour.start: hour for hour in hourly_means(one, whole, readings)},
        )
        for one in _samplings(place, wanted, work, readings)
    }
    ends = [last - back * HOUR for back in range(HOURS_BACK)]
    found = [_air_at(place, end, judging, kind, hours, rules) for end in ends]
    complete = (one for one in found if one.index.worst)
    any_measured = (one for one in found if one.index.pollutants)
    return next(complete, None) or next(any_measured, found[0])


def _full_hour(now: datetime, zone: ZoneInfo) -> datetime:
    """Return the end of the last hour that is over, as the city's clocks strike it."""
    today = _midnight(now.astimezone(zone).date(), zone)
    return today + (now - today) // HOUR * HOUR


def _air_at(
    place: Place,
    end: datetime,
    table: Scale,
    kind: StationKind,
    hours: Mapping[str, tuple[str, Mapping[datetime, HourMean]]],
    rules: CoverageRules,
) -> AirNow:
    found = [
        worst
        for row in table.rows
        if (worst := _worst(_trailing(row.pollutant, row.hours, end, hours, rules), table))
    ]
    return AirNow(
        place=place,
        end=end,
        index=index_of(table, [one.concentration for one in found], kind),
        datastreams=tuple(one.datastream for one in found),
        rules=rules,
    )


def _trailing(
    pollutant: str,
    length: int,
    end: datetime,
    hours: Mapping[str, tuple[str, Mapping[datetime, HourMean]]],
    rules: CoverageRules,
) -> Iterator[Measured]:
    """Yield a pollutant's mean over the hours before *end*, per Datastream that measured enough."""
    starts = [end - back * HOUR for back in range(length, 0, -1)]
    for key, (measures, by_start) in hours.items():
        if measures != pollutant:
            continue
        inside = [by_start[start] for start in starts if start in by_start]
        valid = [one for one in inside if rules.enough(Period.HOUR.value, one.coverage)]
        coverage = valid[0].coverage if valid and length == 1 else len(valid) / length
        if valid and rules.enough(_WINDOWS[length].value, coverage):
            mean = math.fsum(one.mean for one in valid) / len(valid)
            concentration = Concentration(
                pollutant=pollutant, hours=length, mean=mean, coverage=coverage
            )
            yield Measured(key, concentration)


def _worst(measured: Iterable[Measured], table: Scale) -> Measured | None:
    """Return the one that the table judges worst; None where it judges none."""
    judged = [one for one in measured if sub_indices(table, one.concentration)]
    return max(judged, key=lambda one: one.concentration.mean, default=None)


def air_year(
    key: str,
    year: int,
    *,
    timezone: str,
    now: datetime,
    work: UnitOfWork,
    readings: ReadingStore,
) -> AirYear:
    """Compare a calendar year at a Place with every limit value that the lab knows.

    Args:
        key: Of the Place.
        year: The city's calendar year; one that is not over can exceed a limit, not keep it.
        timezone: IANA zone whose days are meant.
        now: The year may not be over yet.
        work: The transaction.
        readings: Where Readings are kept.

    Raises:
        NotFoundError: There is no such Place, or it may not be seen.
    """
    place, zone, rules = public_place(key, work), ZoneInfo(timezone), coverage_rules()
    tables = tuple(limits(name) for name in table_names("limits"))
    wanted = {row.pollutant for table in tables for row in table.rows}
    judged = []
    for one in _samplings(place, wanted, work, readings):
        rows = [
            (table, row)
            for table in tables
            for row in table.rows
            if row.pollutant == one.datastream.observed_property
        ]
        whole = _reach(year, [row for _, row in rows], zone)
        series = Series(hourly_means(one, whole, readings), zone, rules, now)
        judged.append(_judge(one.datastream, rows, series, year))
    return AirYear(
        place=place,
        year=year,
        timezone=timezone,
        over=now >= _midnight(date(year + 1, 1, 1), zone),
        tables=tables,
        judged=tuple(judged),
        rules=rules,
    )


def _reach(year: int, rows: Iterable[Limit], zone: ZoneInfo) -> Interval:
    """Return the span of Readings that some limits ask for, to judge a year."""
    before = max(row.years - 1 if row.period is not Period.PEAK_SEASON else 1 for row in rows)
    start = _midnight(date(year - before, 1, 1), zone)
    return Interval(start - (_WINDOW - 1) * HOUR, _midnight(date(year + 1, 1, 1), zone))


def _judge(
    datastream: Datastream,
    rows: Sequence[tuple[LimitTable, Limit]],
    series: "Series",
    year: int,
) -> Judged:
    return Judged(
        datastream=datastream.key,
        pollutant=datastream.observed_property,
        assessments=tuple(
            series.assess(table, row, year)
            for table, row in rows
            if not row.period.shorter_than_an_hour
        ),
        not_assessed=tuple(row for _, row in rows if row.period.shorter_than_an_hour),
    )


def _samplings(
    place: Place, pollutants: Collection[str], work: UnitOfWork, readings: ReadingStore
) -> list[Sampling]:
    """List the public Datastreams that measured pollutants at a Place, by key.

    Fixed Things only: a bus that passes is no sampling point. A Datastream whose latest number has
    no known unit is left out, because nobody knows what its numbers mean.
    """
    things = {one.key: one for one in work.things.all() if one.public and not one.moving}
    locations: dict[str, list[Location]] = {}
    for where in work.things.locations():
        locations.setdefault(where.thing, []).append(where)
    found = []
    for one in work.things.datastreams():
        owner = things.get(one.thing)
        if owner is not None and one.observed_property in pollutants:
            stays = tuple(_stays(owner, locations.get(owner.key, ()), place.key))
            found += [Sampling(one, stays)] if stays else []
    latest = readings.latest([one.datastream.number or 0 for one in found])
    return sorted(
        (one for one in found if not _unit_unknown(latest.get(one.datastream.number or 0))),
        key=lambda one: one.datastream.key,
    )


def _unit_unknown(latest: Reading | None) -> bool:
    return latest is not None and Test.UNIT_UNKNOWN in latest.tests


def _stays(thing: Thing, locations: Sequence[Location], place: str) -> Iterator[Interval]:
    """Yield when a Thing stood at a Place; what was measured before it first stood belongs there.

    Args:
        thing: The Thing.
        locations: Where it stood, oldest first.
        place: Key of the Place.
    """
    if not locations and thing.place == place:
        yield Interval(_BEGINNING, _END)
    starts = [_BEGINNING, *(one.since for one in locations[1:]), _END]
    for where, (start, end) in zip(locations, pairwise(starts), strict=False):
        if where.place == place:
            yield Interval(start, end)


def hourly_means(one: Sampling, whole: Interval, readings: ReadingStore) -> list[HourMean]:
    """Average a Datastream over the hours that it stood at a Place, counted from *whole*'s start.

    How many Readings an hour should have is known by the Datastream's interval; where nobody set
    one, the median of the hours that have any stands for it.
    """
    buckets = [
        bucket
        for stay in one.stays
        for bucket in readings.every(
            one.datastream.number or 0, _inside(stay, whole), HOUR, Aggregation.MEAN
        )
        if bucket.n
    ]
    if not buckets:
        return []
    interval_s = one.datastream.interval_s
    usual = HOUR.total_seconds() / interval_s if interval_s else median(b.n for b in buckets)
    return [HourMean(b.start, b.mean, min(1.0, b.n / max(1.0, usual))) for b in buckets]


def _inside(stay: Interval, whole: Interval) -> Interval:
    """Return the full hours of a stay, on the grid that the whole begins."""
    first = -((whole.start - max(stay.start, whole.start)) // HOUR)
    after = (min(stay.end, whole.end) - whole.start) // HOUR
    return Interval(whole.start + first * HOUR, whole.start + max(first, after) * HOUR)


class Series:
    """The hourly means of one Datastream at one Place, and what follows from them by day."""

    def __init__(
        self, hours: Iterable[HourMean], zone: ZoneInfo, rules: CoverageRules, now: datetime
    ) -> None:
        """Keep the hours that are covered well enough.

        Args:
            hours: Means, each by the start of its hour.
            zone: The city's, whose calendar days are meant.
            rules: How much of a period must be measured.
            now: Years that are not over by then are not complete.
        """
        self._zone, self._rules, self._now = zone, rules, now
        self.hours = {
            one.start: one.mean for one in hours if rules.enough(Period.HOUR.value, one.coverage)
        }

    @cached_property
    def running_means(self) -> dict[datetime, float]:
        """Means of eight hours, by the start of the last of them, which need not be measured."""
        if not self.hours:
            return {}
        first = min(self.hours)
        means = {(start - first) // HOUR: mean for start, mean in self.hours.items()}
        found = {}
        for last in range(max(means) + _WINDOW):
            inside = [means[n] for n in range(last - _WINDOW + 1, last + 1) if n in means]
            if self._rules.enough(Period.EIGHT_HOURS.value, len(inside) / _WINDOW):
                found[first + last * HOUR] = math.fsum(inside) / len(inside)
        return found

    @cached_property
    def day_means(self) -> dict[date, float]:
        """Means of the calendar days that are covered, of 23, 24 or 25 hours."""
        return {
            day: math.fsum(values) / len(values)
            for day, values in self._by_day(self.hours).items()
            if self._covers(Period.DAY.value, day, len(values))
        }

    @cached_property
    def day_maxima(self) -> dict[date, float]:
        """Greatest means of eight hours of those that end within a day; the first ends at one."""
        return {
            day: max(values)
            for day, values in self._by_day(self.running_means).items()
            if self._covers("day_maximum", day, len(values))
        }

    def _by_day(self, hours: Mapping[datetime, float]) -> dict[date, list[float]]:
        found: dict[date, list[float]] = {}
        for start, value in hours.items():
            found.setdefault(start.astimezone(self._zone).date(), []).append(value)
        return found

    def _covers(self, rule: str, day: date, n: int) -> bool:
        return self._rules.enough(rule, n / _hours_between(day, day + DAY, self._zone))

    def assess(self, table: LimitTable, limit: Limit, year: int) -> Assessment:
        """Compare a calendar year with a limit value."""
        if limit.period is Period.PEAK_SEASON:
            return self._peak_season(table, limit, year)
        if limit.statistic is Statistic.MEAN:
            return judge_mean(table, limit, self._year(limit.period, year), self._rules)
        years = [self._year(limit.period, year - ago) for ago in reversed(range(limit.years))]
        return judge_exceedances(table, limit, years, self._rules)

    def _year(self, period: Period, year: int) -> Year:
        """Return the values of a calendar year that a period is counted in: hours, or days."""
        first, after = date(year, 1, 1), date(year + 1, 1, 1)
        over = self._now >= _midnight(after, self._zone)
        if period is Period.DAY or period is Period.EIGHT_HOURS:
            days = self.day_means if period is Period.DAY else self.day_maxima
            values = [value for day, value in days.items() if first <= day < after]
            return Year(values=values, possible=(after - first).days, over=over)
        start, end = _midnight(first, self._zone), _midnight(after, self._zone)
        values = [value for begun, value in self.hours.items() if start <= begun < end]
        return Year(values=values, possible=(end - start) // HOUR, over=over)

    def _peak_season(self, table: LimitTable, limit: Limit, year: int) -> Assessment:
        """Judge the six months with the greatest mean among those that end within a year.

        A season may begin in the year before: south of the equator summer does. One that exceeds
        the limit decides; none does only if all twelve were measured, so a Datastream's first
        year proves nothing else.
        """
        seasons = [
            judge_mean(table, limit, self._season(year, month), self._rules)
            for month in range(1, MONTHS + 1)
        ]
        unsure = [one for one in seasons if one.verdict is Verdict.NOT_ENOUGH_DATA]
        exceeded = [one for one in seasons if one.verdict is Verdict.EXCEEDED]
        if unsure and not exceeded:
            return min(unsure, key=lambda one: one.coverage)
        return max(exceeded or seasons, key=lambda one: one.value or 0.0)

    def _season(self, year: int, last_month: int) -> Year:
        first = _first_of(year * MONTHS + last_month - SEASON)
        after = _first_of(year * MONTHS + last_month)
        return Year(
            values=[value for day, value in self.day_maxima.items() if first <= day < after],
            possible=(after - first).days,
            over=self._now >= _midnight(after, self._zone),
        )


def _first_of(month: int) -> date:
    """Return the first day of a month, counted from the year 0."""
    return date(month // MONTHS, month % MONTHS + 1, 1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which a day of the city begins, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _hours_between(first: date, after: date, zone: ZoneInfo) -> float:
    return (_midnight(after, zone) - _midnight(first, zone)) / HOUR
