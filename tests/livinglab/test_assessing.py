"""Assessing: planted hours whose means, days and exceedances are known by hand."""

import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.domain.air_quality import Assessment, StationKind, Verdict, coverage_rules
from livinglab.domain.places import Place
from livinglab.domain.readings import Flag, ReadingBatch, Test, to_ms
from livinglab.domain.things import Datastream, Location, Thing, ThingState
from livinglab.errors import NotFoundError
from livinglab.services.assessing import AirNow, AirYear, HourMean, Series, air_now, air_year

PARIS = ZoneInfo("Europe/Paris")
RULES = coverage_rules()
HOUR = timedelta(hours=1)
LATER = datetime(2030, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 2, 12, 20, tzinfo=UTC)


class Town:
    """A square and a bridge, in memory."""

    def __init__(self) -> None:
        self.civic, self.readings = MemoryCivicStore(), MemoryReadingStore()
        with self.civic.work() as work:
            for key, lon in (("square", 6.05), ("bridge", 6.06)):
                work.places.add(Place(key=key, name=key, lon=lon, lat=45.05))

    def stand(
        self,
        name: str,
        measures: str,
        *stays: tuple[str, datetime],
        state: ThingState = ThingState.CONFIRMED,
        moving: bool = False,
        interval_s: float | None = None,
    ) -> int:
        """Register a Thing at the square, unless told where; return its Datastream's number."""
        thing = Thing(
            scheme="x", external_id=name, state=state, route="r", introduced_at=NOW, moving=moving
        )
        thing.place = stays[-1][0] if stays else "square"
        stream = Datastream(
            thing=thing.key, observed_property=measures, introduced_at=NOW, interval_s=interval_s
        )
        with self.civic.work() as work:
            work.things.add([thing])
            work.things.add_datastreams([stream])
            work.things.add_locations(
                [
                    Location(thing=thing.key, lon=6.05, lat=45.05, since=since, place=place)
                    for place, since in stays
                ]
            )
        assert stream.number is not None
        return stream.number

    def measure(
        self,
        number: int,
        readings: Iterable[tuple[datetime, float]],
        flag: Flag = Flag.GOOD,
        tests: Test | None = None,
    ) -> None:
        batch = ReadingBatch()
        for time, result in readings:
            batch.add(number, to_ms(time), result, math.nan, flag, tests or Test(0))
        self.readings.append(batch)

    def now(self, kind: StationKind = StationKind.TRAFFIC, table: str = "") -> AirNow:
        with self.civic.work(write=False) as work:
            return air_now(
                "square",
                table=table or "european-aqi-2024",
                kind=kind,
                timezone="Europe/Paris",
                now=NOW,
                work=work,
                readings=self.readings,
            )

    def year(self, year: int, place: str = "square", now: datetime = LATER) -> AirYear:
        with self.civic.work(write=False) as work:
            return air_year(
                place,
                year,
                timezone="Europe/Paris",
                now=now,
                work=work,
                readings=self.readings,
            )


@pytest.fixture
def town() -> Town:
    return Town()


def hours(start: datetime, n: int, result: float | Callable[[int], float]) -> list[HourMean]:
    """Hours that are wholly measured."""
    told = result if callable(result) else lambda _: result
    return [HourMean(start + k * HOUR, told(k), 1.0) for k in range(n)]


def series(measured: Iterable[HourMean], zone: ZoneInfo = PARIS) -> Series:
    return Series(measured, zone, RULES, LATER)


def midnight(*day: int) -> datetime:
    """The instant at which a day begins in Paris."""
    return datetime(*day, tzinfo=PARIS).astimezone(UTC)  # type: ignore[arg-type, misc]


def noon(day: date) -> datetime:
    """Noon of Paris."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=PARIS).astimezone(UTC)


def every_hour(year: int, by_day: Callable[[date], float]) -> list[tuple[datetime, float]]:
    """A Reading at each hour of a year in Paris, the same all day."""
    start, end = midnight(year, 1, 1), midnight(year + 1, 1, 1)
    instants = [start + n * HOUR for n in range((end - start) // HOUR)]
    return [(one, by_day(one.astimezone(PARIS).date())) for one in instants]


def found(told: AirYear, table: str, key: str) -> Assessment:
    [one] = [
        one
        for judged in told.judged
        for one in judged.assessments
        if (one.table, one.limit.key) == (table, key)
    ]
    return one


# --- hours, days, running means


def test_a_day_needs_eighteen_hours():
    """Eighteen hours of 20 make a day of 20; seventeen make none."""
    day = midnight(2025, 6, 1)

    assert {date(2025, 6, 1): 20.0} == series(hours(day, 18, 20.0)).day_means
    assert {} == series(hours(day, 17, 20.0)).day_means


@pytest.mark.parametrize(
    ("day", "length", "enough"),
    [(date(2025, 3, 30), 23, 18), (date(2025, 10, 26), 25, 19), (date(2025, 6, 1), 24, 18)],
)
def test_days_on_which_clocks_change(day, length, enough):
    """They have 23 or 25 hours, three quarters of which are 17.25 and 18.75."""
    start = midnight(day.year, day.month, day.day)
    whole = series(hours(start, length, float))
    least = series(hours(start, enough, 20.0))
    less = series(hours(start, enough - 1, 20.0))

    assert {day: (length - 1) / 2} == whole.day_means
    assert ([day], []) == (list(least.day_means), list(less.day_means))


def test_days_are_those_of_the_city():
    """An hour that begins at 23:00 UTC in winter belongs to the next day of Paris."""
    measured = hours(datetime(2025, 1, 1, 23, tzinfo=UTC), 24, 20.0)

    assert [date(2025, 1, 2)] == list(series(measured).day_means)
    assert [date(2025, 1, 2)] == list(series(measured, ZoneInfo("UTC")).day_means)


def test_an_hour_needs_three_quarters():
    """Of twelve Readings nine."""
    start = midnight(2025, 6, 1)
    measured = [HourMean(start, 10.0, 9 / 12), HourMean(start + HOUR, 10.0, 8 / 12)]

    assert [start] == list(series(measured).hours)


def test_running_means_of_eight_hours():
    """Of 0 to 9: the first whole one is 0 to 7, so 3.5; six of eight are enough, five are not."""
    start = midnight(2025, 6, 1)
    told = series(hours(start, 10, float)).running_means

    assert 3.5 == told[start + 7 * HOUR]
    assert 2.5 == told[start + 5 * HOUR]
    assert start + 4 * HOUR not in told
    # After the last hour, 9, come two windows that still hold six hours: 4 to 9.
    assert 6.5 == told[start + 11 * HOUR]
    assert start + 12 * HOUR not in told


def test_a_daily_maximum_may_begin_the_day_before():
    """Eight hours until one o'clock belong to the day in which they end."""
    start = midnight(2025, 6, 1)
    # 17:00 to 24:00 at 160, then 0: the mean that ends at 1 o'clock is 7/8 of 160.
    told = series(hours(start, 48, lambda k: 160.0 if 17 <= k < 24 else 0.0)).day_maxima

    assert {date(2025, 6, 1): 140.0, date(2025, 6, 2): 140.0} == {
        day: told[day] for day in (date(2025, 6, 1), date(2025, 6, 2))
    }


# --- a year


def test_planted_exceedances_are_counted(town):
    """Nineteen days of NO2 at 60 in a clean year: one more than 2024/2881 allows."""
    bad = {date(2025, 2, 1) + timedelta(days=n) for n in range(19)}
    stream = town.stand("a", "no2")
    town.measure(stream, every_hour(2025, lambda day: 60.0 if day in bad else 8.0))
    told = town.year(2025)
    day = found(told, "eu-2024-2881", "no2-day")
    # (19 · 60 + 346 · 8) / 365; every day has as many hours except two clean ones, 23 and 25.
    mean = (19 * 60 + 346 * 8) / 365

    assert ((19,), 18, 1.0, Verdict.EXCEEDED) == (
        day.exceedances,
        day.allowed,
        day.coverage,
        day.verdict,
    )
    assert pytest.approx(mean) == found(told, "eu-2024-2881", "no2-year").value
    assert Verdict.EXCEEDED is found(told, "who-2021", "no2-year").verdict
    assert Verdict.KEPT is found(told, "eu-2024-2881", "no2-year").verdict
    assert Verdict.KEPT is found(told, "eu-2008-50", "no2-hour").verdict
    assert ((19,), 3) == (
        found(told, "who-2021", "no2-day").exceedances,
        found(told, "who-2021", "no2-day").allowed,
    )


def test_a_row_shows_whether_it_was_verified(town):
    """The day of NO2 was, that of particles was not."""
    for name, measures in (("a", "no2"), ("b", "pm10")):
        town.measure(town.stand(name, measures), [(midnight(2025, 1, 1), 5.0)])
    told = town.year(2025)

    assert found(told, "eu-2024-2881", "no2-day").limit.verified
    assert not found(told, "eu-2024-2881", "pm10-day").limit.verified
    assert [False, False, False] == [table.verified for table in told.tables]


def test_only_good_and_unevaluated_readings_enter(town):
    """Suspect, failed and missing ones are as if nobody had measured."""
    stream = town.stand("a", "no2")
    start = midnight(2025, 1, 1)
    for n, flag in enumerate((Flag.GOOD, Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.FAIL)):
        town.measure(stream, [(start + n * HOUR, 300.0)], flag)
    town.measure(stream, [(start + 4 * HOUR, math.nan)], Flag.MISSING)
    told = found(town.year(2025), "eu-2024-2881", "no2-hour")

    assert (2,) == told.exceedances
    assert pytest.approx(2 / 8_760) == told.coverage


def test_a_year_that_is_not_over_can_only_be_exceeded(town):
    """In June four hours above 200 are too many already; clean days prove nothing yet."""
    stream = town.stand("a", "no2")
    now = midnight(2025, 6, 30)
    town.measure(stream, [one for one in every_hour(2025, lambda _: 5.0) if one[0] < now])
    clean = town.year(2025, now=now)
    town.measure(
        stream, [(midnight(2025, 5, 1) + timedelta(minutes=30) + n * HOUR, 700.0) for n in range(4)]
    )
    told = town.year(2025, now=now)

    assert not told.over
    assert Verdict.NOT_ENOUGH_DATA is found(clean, "eu-2024-2881", "no2-hour").verdict
    assert ((4,), Verdict.EXCEEDED) == (
        found(told, "eu-2024-2881", "no2-hour").exceedances,
        found(told, "eu-2024-2881", "no2-hour").verdict,
    )


def test_ozone_over_three_years(town):
    """20, 18 and 16 days above 120: 18 a year on average, which is allowed."""
    stream = town.stand("a", "o3")
    for year, days in ((2023, 20), (2024, 18), (2025, 16)):
        # A summer of alternate days, and afternoons only, so that no mean reaches into another day.
        bad = {date(year, 6, 1) + timedelta(days=2 * n) for n in range(days)}
        summer = {noon(day) + n * HOUR: 150.0 for day in bad for n in range(8)}
        town.measure(stream, (dict(every_hour(year, lambda _: 40.0)) | summer).items())
    told = found(town.year(2025), "eu-2024-2881", "o3-eight-hours")

    assert ((20, 18, 16), 18, Verdict.KEPT) == (told.exceedances, told.allowed, told.verdict)
    assert 1.0 == told.coverage


def test_the_peak_season_is_the_worst_half_year(town):
    """Ozone of 80 from April to September and 50 else: the season is 80, above 60."""
    stream = town.stand("a", "o3")
    for year in (2024, 2025):
        town.measure(stream, every_hour(year, lambda day: 80.0 if 4 <= day.month <= 9 else 50.0))
    told = found(town.year(2025), "who-2021", "o3-peak-season")

    assert Verdict.EXCEEDED is told.verdict
    # The first hours of April still average with March.
    assert pytest.approx(80.0, abs=0.2) == told.value


def test_a_peak_season_is_kept_only_if_all_were_measured(town):
    """Clean air in a first year proves nothing of the season that began the year before."""
    stream = town.stand("a", "o3")
    town.measure(stream, every_hour(2025, lambda _: 40.0))
    first = found(town.year(2025), "who-2021", "o3-peak-season")
    town.measure(stream, every_hour(2024, lambda _: 40.0))
    second = found(town.year(2025), "who-2021", "o3-peak-season")

    assert [Verdict.NOT_ENOUGH_DATA, Verdict.KEPT] == [first.verdict, second.verdict]
    assert pytest.approx(31 / 184) == first.coverage


def test_limits_below_an_hour_are_named_not_judged(town):
    """500 µg/m³ of SO2 in ten minutes cannot be told from hours."""
    town.measure(town.stand("a", "so2"), [(midnight(2025, 1, 1), 5.0)])
    [judged] = town.year(2025).judged

    assert ["so2-ten-minutes"] == [one.key for one in judged.not_assessed]


def test_each_place_has_the_time_that_a_thing_stood_there(town):
    """At the bridge until July, at the square since; an hour in which it moved belongs to none."""
    moved = midnight(2025, 7, 1) + timedelta(minutes=20)
    stream = town.stand("a", "no2", ("bridge", midnight(2025, 1, 1)), ("square", moved))
    town.measure(stream, every_hour(2025, lambda _: 20.0))
    at = {
        place: round(found(town.year(2025, place), "who-2021", "no2-year").coverage * 8_760)
        for place in ("bridge", "square")
    }

    # January to June have 181 days, less the hour that clocks lost in March.
    assert {"bridge": 4_343, "square": 8_760 - 4_344} == at


@pytest.mark.parametrize(
    "which", [{"state": ThingState.PROVISIONAL}, {"state": ThingState.TEST}, {"moving": True}]
)
def test_things_that_are_not_public_or_move_are_not_judged(town, which):
    """Nobody confirmed them, they hang indoors, or they pass by."""
    town.measure(town.stand("a", "no2", **which), [(NOW - HOUR, 300.0)])

    assert () == town.year(2026).judged
    assert () == town.now().index.pollutants


def test_numbers_without_a_unit_are_not_judged(town):
    """41 of nobody knows what is no concentration."""
    town.measure(
        town.stand("a", "no2"), [(NOW - HOUR, 41.0)], Flag.NOT_EVALUATED, Test.UNIT_UNKNOWN
    )

    assert () == town.now().index.pollutants


def test_only_places_that_exist(town):
    """A Place that nobody knows is not found."""
    with pytest.raises(NotFoundError):
        town.year(2025, "nowhere")


# --- now


def each_five_minutes(start: datetime, n: int, result: float) -> list[tuple[datetime, float]]:
    return [(start + k * timedelta(minutes=5), result) for k in range(n)]


def test_the_last_full_hour_is_judged(town):
    """At 12:20 it is eleven to twelve: NO2 30 is Moderate, PM10 20 Fair."""
    eleven = datetime(2026, 3, 2, 11, tzinfo=UTC)
    for name, measures, result in (("a", "no2", 30.0), ("b", "pm10", 20.0)):
        stream = town.stand(name, measures, interval_s=300)
        town.measure(stream, each_five_minutes(eleven, 12, result))
        town.measure(stream, each_five_minutes(eleven + HOUR, 4, 900.0))
    told = town.now()

    assert eleven + HOUR == told.end
    assert ("no2", "Moderate") == (
        told.index.worst and told.index.worst.concentration.pollutant,
        told.index.worst and told.index.worst.level.label,
    )
    assert {"x:a:no2", "x:b:pm10"} == set(told.datastreams)


def test_an_hour_that_lacks_readings_gives_no_index(town):
    """Eight of twelve Readings are too few, nine are enough and tell their coverage."""
    eleven = datetime(2026, 3, 2, 11, tzinfo=UTC)
    few, enough = (town.stand(name, "no2", interval_s=300) for name in ("few", "enough"))
    town.measure(few, each_five_minutes(eleven, 8, 90.0))
    town.measure(enough, each_five_minutes(eleven, 9, 30.0))
    [one] = town.now().index.pollutants

    assert (30.0, 0.75) == (one.concentration.mean, one.concentration.coverage)


def test_without_a_set_interval_the_usual_hour_is_the_measure(town):
    """Who reports twelve times an hour and now five times was away."""
    stream = town.stand("a", "no2")
    eleven = datetime(2026, 3, 2, 11, tzinfo=UTC)
    town.measure(stream, each_five_minutes(eleven - 9 * HOUR, 9 * 12, 30.0))
    town.measure(stream, each_five_minutes(eleven, 5, 30.0))

    assert eleven == town.now().end


def test_of_several_instruments_the_worst_counts(town):
    """Two of NO2 are not averaged."""
    eleven = datetime(2026, 3, 2, 11, tzinfo=UTC)
    for name, result in (("a", 10.0), ("b", 70.0)):
        town.measure(town.stand(name, "no2"), [(eleven, result)])
    told = town.now()

    assert (("x:b:no2",), [4]) == (told.datastreams, [one.rank for one in told.index.pollutants])


def test_a_complete_hour_is_preferred_for_three_hours(town):
    """Particles came for the hour before only: that hour has an index, and says its time."""
    eleven = datetime(2026, 3, 2, 11, tzinfo=UTC)
    town.measure(town.stand("a", "no2"), [(eleven - HOUR, 30.0), (eleven, 30.0)])
    town.measure(town.stand("b", "pm25"), [(eleven - HOUR, 60.0)])
    told = town.now()

    assert eleven == told.end
    assert 4 == (told.index.worst and told.index.worst.rank)


def test_old_readings_are_not_now(town):
    """Four hours ago is not current: no pollutants, and what lacks is named."""
    town.measure(town.stand("a", "no2"), [(datetime(2026, 3, 2, 8, tzinfo=UTC), 30.0)])
    told = town.now()

    assert () == told.index.pollutants
    assert (("no2",), ("pm10", "pm25")) == told.index.lacking
    assert told.index.worst is None


def test_the_us_index_trails(town):
    """Fine particles of 10.0 over 18 of the last 24 hours are 53; over 17 nothing."""
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    stream = town.stand("a", "pm25")
    town.measure(stream, [(noon - n * HOUR, 10.0) for n in range(1, 18)])
    seventeen = town.now(table="us-aqi-2024").index
    town.measure(stream, [(noon - 18 * HOUR, 10.0)])
    [eighteen] = town.now(table="us-aqi-2024").index.pollutants

    assert () == seventeen.pollutants
    assert (53, 0.75) == (eighteen.number, eighteen.concentration.coverage)
