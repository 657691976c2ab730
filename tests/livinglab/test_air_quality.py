"""Indices and limit values: the tables as they ship, and what is made of them, worked by hand."""

import re
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.domain.air_quality import (
    EUROPEAN,
    Concentration,
    Index,
    Limit,
    Period,
    StationKind,
    Statistic,
    SubIndex,
    Table,
    Verdict,
    Year,
    coverage_rules,
    in_unit,
    index_of,
    judge_exceedances,
    judge_mean,
    limits,
    scale,
    sub_indices,
    table_names,
)
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.errors import NotFoundError

EU, US = scale(EUROPEAN), scale("us-aqi-2024")
RULES = coverage_rules()
SCALES = table_names("scale")
LIMITS = table_names("limits")
ROWS = [(name, row) for name in SCALES for row in scale(name).rows]
ALL: list[Table] = [*map(scale, SCALES), *map(limits, LIMITS), RULES]


def mean_of(pollutant: str, mean: float, hours: int = 1, coverage: float = 1.0) -> Concentration:
    return Concentration(pollutant=pollutant, hours=hours, mean=mean, coverage=coverage)


def us(pollutant: str, mean: float, hours: int) -> SubIndex:
    [found] = sub_indices(US, mean_of(pollutant, mean, hours))
    return found


def eu(pollutant: str, mean: float) -> SubIndex:
    [found] = sub_indices(EU, mean_of(pollutant, mean))
    return found


def micrograms(pollutant: str, value: float, unit: str) -> float:
    """Turn ppb or ppm, at 25 °C, into the property's unit."""
    return value / in_unit(pollutant, 1.0, unit, 25)


def limit(table: str, key: str) -> Limit:
    [found] = [row for row in limits(table).rows if row.key == key]
    return found


# --- the tables as they ship


def test_the_tables_that_ship():
    """Two indices, three sets of limit values, one set of rules of coverage."""
    assert ("european-aqi-2024", "us-aqi-2024") == SCALES
    assert ("eu-2008-50", "eu-2024-2881", "who-2021") == LIMITS
    assert ("coverage-2024-2881",) == table_names("coverage")


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_a_table_says_where_it_comes_from(table):
    """Title, source, and since when it holds; it is verified if every row is."""
    rows = table.rows.values() if table is RULES else table.rows

    assert table.title
    assert table.source
    assert re.fullmatch(r"\d{4}(-\d\d-\d\d)?", table.in_force)
    assert all(row.verified for row in rows) == table.verified


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_bands_leave_no_gap(name, row):
    """Each begins where the one before ends, or a step above, and ranks one worse."""
    for one, other in pairwise(row.bands):
        assert one.high is not None
        assert one.low < one.high
        assert one.high + (row.step or 0) == other.low
        assert one.rank + 1 == other.rank
    assert row.bands[-1].rank <= len(scale(name).levels)


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_units_of_bands_convert(name, row):
    """The lab's unit of each pollutant becomes that of the table."""
    assert in_unit(row.pollutant, 1.0, row.unit, scale(name).celsius) > 0


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_in_the_units_of_the_lab(name):
    """A limit is compared as it stands; metals and benzo(a)pyrene are listed, not measured."""
    rows = limits(name).rows
    wrong = [
        row.key
        for row in rows
        if row.pollutant in OBSERVED_PROPERTIES
        and row.unit != OBSERVED_PROPERTIES[row.pollutant].unit
    ]

    assert [] == wrong
    assert len(rows) == len({row.key for row in rows})


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_has_what_its_statistic_needs(name):
    """Exceedances a number allowed, percentiles a percentile; a mean is of a year or a season."""
    for row in limits(name).rows:
        assert (row.statistic is Statistic.EXCEEDANCES) == (row.allowed is not None)
        assert (row.statistic is Statistic.PERCENTILE) == (row.percentile is not None)
        assert (row.statistic is Statistic.MEAN) == (
            row.period in {Period.YEAR, Period.PEAK_SEASON}
        )


def test_verified_rows_of_the_directive():
    """Nitrogen dioxide and the years of fine particles and benzene; nothing else."""
    rows = limits("eu-2024-2881").rows

    assert {"no2-hour", "no2-day", "no2-year", "pm25-year", "benzene-year"} == {
        row.key for row in rows if row.verified
    }
    assert not any(row.verified for row in limits("eu-2008-50").rows)


@pytest.mark.parametrize(
    ("table", "key", "value", "allowed"),
    [
        ("eu-2024-2881", "pm25-day", 25, 18),
        ("eu-2024-2881", "pm10-day", 45, 18),
        ("eu-2024-2881", "no2-hour", 200, 3),
        ("eu-2024-2881", "no2-day", 50, 18),
        ("eu-2024-2881", "so2-hour", 350, 3),
        ("eu-2024-2881", "co-day", 4, 18),
        ("eu-2024-2881", "co-eight-hours", 10, 0),
        ("eu-2024-2881", "o3-eight-hours", 120, 18),
        ("eu-2008-50", "pm10-day", 50, 35),
        ("eu-2008-50", "no2-hour", 200, 18),
        ("eu-2008-50", "so2-hour", 350, 24),
        ("eu-2008-50", "so2-day", 125, 3),
        ("who-2021", "pm25-day", 15, 3),
        ("who-2021", "pm10-day", 45, 3),
        ("who-2021", "no2-day", 25, 3),
        ("who-2021", "no2-hour", 200, 0),
    ],
)
def test_what_a_year_may_have(table, key, value, allowed):
    """As the tables say; of 365 days one in a hundred is 3.65, so three."""
    found = limit(table, key)

    assert (value, allowed) == (found.value, found.allowance(365))


def test_an_unknown_table_is_not_guessed():
    """No name, and no table of another kind, stands for an index."""
    for name in ("european-aqi-2017", "who-2021"):
        with pytest.raises(NotFoundError):
            scale(name)


# --- the European index


@pytest.mark.parametrize(
    ("pollutant", "upper"),
    [
        ("pm25", (5, 15, 50, 90, 140)),
        ("pm10", (15, 45, 120, 195, 270)),
        ("no2", (10, 25, 60, 100, 150)),
        ("o3", (60, 100, 120, 160, 180)),
        ("so2", (20, 40, 125, 190, 275)),
    ],
)
def test_both_sides_of_every_european_edge(pollutant, upper):
    """The upper bound belongs to the better band; the least above it is the next."""
    at = [eu(pollutant, edge).rank for edge in upper]
    above = [eu(pollutant, edge + 0.001).rank for edge in upper]

    assert [1, 2, 3, 4, 5] == at
    assert [2, 3, 4, 5, 6] == above


def test_between_whole_numbers_nothing_is_rounded():
    """5.3 µg/m³ of fine particles is above 5, so Fair."""
    assert ["Good", "Fair"] == [eu("pm25", 5.0).level.label, eu("pm25", 5.3).level.label]


def test_the_noise_of_adding_up_moves_no_band():
    """A trillionth above 5 is 5."""
    assert "Good" == eu("pm25", 5.000000000001).level.label


def test_slightly_negative_is_good():
    """An analyser in clean air reads below zero now and then."""
    assert 1 == eu("pm10", -3.0).rank
    assert 0 == us("pm10", -3.0, 24).number


def test_colours_say_whether_they_were_checked():
    """Only the last of the European colours was."""
    assert ["#50F0E6", "#50CCAA", "#F0E641", "#FF5050", "#960032", "#7D2181"] == [
        level.colour for level in EU.levels
    ]
    assert [False] * 5 + [True] == [level.colour_verified for level in EU.levels]


def test_the_worst_pollutant_decides():
    """NO2 30 is Moderate, ozone 110 Moderate, fine particles 60 Poor: Poor."""
    found = index_of(
        EU, [mean_of("no2", 30), mean_of("o3", 110), mean_of("pm25", 60)], StationKind.OTHER
    )

    assert found.worst is not None
    assert ("pm25", 4, "Poor") == (
        found.worst.concentration.pollutant,
        found.worst.rank,
        found.worst.level.label,
    )


@pytest.mark.parametrize(
    ("kind", "measured", "lacking"),
    [
        (StationKind.TRAFFIC, ("no2", "pm10"), ()),
        (StationKind.TRAFFIC, ("no2", "pm25"), ()),
        (StationKind.TRAFFIC, ("no2", "o3"), (("pm10", "pm25"),)),
        (StationKind.TRAFFIC, ("pm10", "pm25"), (("no2",),)),
        (StationKind.OTHER, ("no2", "o3", "pm10"), ()),
        (StationKind.OTHER, ("no2", "pm10"), (("o3",),)),
        (StationKind.OTHER, ("so2",), (("no2",), ("o3",), ("pm10", "pm25"))),
    ],
)
def test_without_what_it_needs_there_is_no_index(kind, measured, lacking):
    """Traffic needs NO2 and particles, elsewhere ozone too; else only the pollutants are told."""
    found = index_of(EU, [mean_of(one, 20) for one in measured], kind)

    assert lacking == found.lacking
    assert bool(lacking) == (found.worst is None)
    assert measured == tuple(one.concentration.pollutant for one in found.pollutants)


def test_an_index_shows_that_its_completeness_is_unverified():
    """The bands were confirmed, what a station must measure was not."""
    found = index_of(EU, [mean_of("no2", 20), mean_of("pm10", 20)], StationKind.TRAFFIC)

    assert (True, False) == (found.scale.verified, found.verified)
    assert index_of(US, [mean_of("pm25", 10, 24)], StationKind.OTHER).verified


def test_no_index_without_what_it_rests_on():
    """Neither without table, pollutants or coverage, nor from two tables, nor of nothing."""
    with pytest.raises(TypeError):
        Index(kind=StationKind.OTHER, pollutants=())  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Concentration(pollutant="no2", hours=1, mean=5.0)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="coverage"):
        mean_of("no2", 5.0, coverage=0.0)
    with pytest.raises(ValueError, match="number"):
        mean_of("no2", float("nan"))
    with pytest.raises(ValueError, match="ObservedProperty"):
        mean_of("soot", 5.0)
    with pytest.raises(ValueError, match="european-aqi-2024 judged no2"):
        Index(scale=US, kind=StationKind.OTHER, pollutants=(eu("no2", 5),))


def test_carbon_monoxide_is_not_part_of_the_european_index():
    """What a table has no row for it does not judge."""
    assert () == sub_indices(EU, mean_of("co", 1.0))
    assert () == sub_indices(EU, mean_of("pm25", 10.0, hours=24))


@given(
    st.sampled_from(ROWS),
    st.floats(-10, 5_000, allow_nan=False),
    st.floats(-10, 5_000, allow_nan=False),
)
def test_more_of_it_is_never_better(which, one, other):
    """In every row of every scale the index rises with the concentration, or stays."""
    name, row = which
    low, high = (
        sub_indices(scale(name), mean_of(row.pollutant, value, row.hours))
        for value in sorted((one, other))
    )

    assert not low or (high and low[0].severity <= high[0].severity)


# --- the US index


@pytest.mark.parametrize(
    ("mean", "number"), [(9.0, 50), (10.0, 53), (35.4, 100), (55.4, 150), (125.4, 200)]
)
def test_published_numbers_of_fine_particles(mean, number):
    """10.0: (100 - 51) / (35.4 - 9.1) · (10.0 - 9.1) + 51 = 52.68, so 53; the others are edges."""
    assert number == us("pm25", mean, 24).number


@pytest.mark.parametrize("row", US.rows, ids=lambda row: f"{row.pollutant}-{row.hours}h")
def test_both_sides_of_every_us_edge(row):
    """A band's ends are its level's; a step above is the next; just below a step is the same."""
    for band in row.bands:
        level = US.levels[band.rank - 1]
        high = micrograms(row.pollutant, float(band.high), row.unit)
        almost = micrograms(row.pollutant, float(band.high + row.step * Decimal("0.9")), row.unit)
        low = micrograms(row.pollutant, float(band.low), row.unit)

        assert level.low == us(row.pollutant, low, row.hours).number
        assert level.high == us(row.pollutant, high, row.hours).number
        assert level.high == us(row.pollutant, almost, row.hours).number
        assert not us(row.pollutant, almost, row.hours).beyond


def test_truncating_keeps_what_is_written():
    """35.4 as a float is a little less, and is still 35.4; so with every tenth of the table."""
    tenths = [n / 10 for n in range(3_255)]

    assert tenths == [us("pm25", one, 24).judged for one in tenths]


def test_truncation_comes_first():
    """35.49 is 35.4 and moderate; rounded it would be unhealthy for some."""
    found = us("pm25", 35.49, 24)

    assert (35.4, 100, "Moderate") == (found.judged, found.number, found.level.label)


def test_beyond_the_index_the_concentration_is_kept():
    """600 µg/m³ of fine particles: at least 500, and 600."""
    found = us("pm25", 600.0, 24)

    assert (500, True, 600.0) == (found.number, found.beyond, found.concentration.mean)
    assert (500, False) == (us("pm25", 325.4, 24).number, us("pm25", 325.4, 24).beyond)


@pytest.mark.parametrize(
    ("pollutant", "hours", "mean", "judged", "number"),
    [
        # 100 ppb · 1.8804 = 188.04; 53.19 ppb truncate to 53
        ("no2", 1, 188.05, 100, 100),
        ("no2", 1, 100.0, 53, 50),
        # 140 / 1961.9 = 0.0714 ppm, so 0.071; the first of its band
        ("o3", 8, 140.0, 0.071, 101),
        # 300 / 1961.9 = 0.1529, so 0.152: 49 / 0.039 · 0.027 + 101 = 134.9
        ("o3", 1, 300.0, 0.152, 135),
        # 5 / 1.1449 = 4.367, so 4.3: 50 / 4.4 · 4.3 = 48.9
        ("co", 8, 5.0, 4.3, 49),
        # 200 / 2.6185 = 76.4, so 76
        ("so2", 1, 200.0, 76, 101),
    ],
)
def test_gases_are_reckoned_at_25_degrees(pollutant, hours, mean, judged, number):
    """As the United States do, whatever the lab's own reference is."""
    found = us(pollutant, mean, hours)

    assert (judged, number) == (found.judged, found.number)


def test_ozone_has_two_averaging_times():
    """One hour says nothing below 0.125 ppm; eight hours say no more than *at least* 300."""
    clean = mean_of("o3", 200.0, 1)
    eight = us("o3", micrograms("o3", 0.25, "ppm"), 8)

    assert () == sub_indices(US, clean)
    assert (300, True) == (eight.number, eight.beyond)


def test_the_us_index_takes_the_worst_of_both():
    """0.060 ppm over eight hours is 67; 0.170 ppm over one is 157, and decides."""
    found = index_of(
        US,
        [
            mean_of("o3", micrograms("o3", 0.0601, "ppm"), 8),
            mean_of("o3", micrograms("o3", 0.1701, "ppm"), 1),
        ],
        StationKind.OTHER,
    )

    assert [67, 157] == [one.number for one in found.pollutants]
    assert 157 == (found.worst and found.worst.number)


# --- limit values


def year_of(values: list[float], possible: int = 365, *, over: bool = True) -> Year:
    return Year(values=values, possible=possible, over=over)


def no2_days(values: list[float], *, over: bool = True) -> Verdict:
    table = limits("eu-2024-2881")
    row = limit("eu-2024-2881", "no2-day")
    return judge_exceedances(table, row, [year_of(values, over=over)], RULES).verdict


def test_as_many_as_allowed_are_allowed():
    """Eighteen days above 50 keep the limit, nineteen do not; 50.0 is not above."""
    assert Verdict.KEPT is no2_days([50.1] * 18 + [50.0] * 347)
    assert Verdict.EXCEEDED is no2_days([50.1] * 19 + [50.0] * 346)


def test_85_per_cent_of_the_year():
    """Of 365 days 311 are 85.2 per cent, 310 are 84.9."""
    assert Verdict.KEPT is no2_days([10.0] * 311)
    assert Verdict.NOT_ENOUGH_DATA is no2_days([10.0] * 310)


def test_too_many_are_too_many_however_much_is_missing():
    """Nineteen days are conclusive alone, and in a year that is not over; eighteen are not."""
    assert Verdict.EXCEEDED is no2_days([60.0] * 19)
    assert Verdict.EXCEEDED is no2_days([60.0] * 19, over=False)
    assert Verdict.NOT_ENOUGH_DATA is no2_days([60.0] * 18)
    assert Verdict.NOT_ENOUGH_DATA is no2_days([10.0] * 365, over=False)


def test_the_value_that_decides_is_told():
    """With eighteen allowed it is the nineteenth greatest."""
    values = [float(n) for n in range(365)]
    found = judge_exceedances(
        limits("eu-2024-2881"), limit("eu-2024-2881", "no2-day"), [year_of(values)], RULES
    )

    assert (346.0, 18, (314,)) == (found.value, found.allowed, found.exceedances)
    assert ("eu-2024-2881", 1.0, 0.85) == (found.table, found.coverage, found.required)


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((18, 18, 18), Verdict.KEPT),
        ((0, 0, 54), Verdict.KEPT),
        ((18, 18, 19), Verdict.EXCEEDED),
        ((0, 0, 55), Verdict.EXCEEDED),
    ],
)
def test_ozone_is_averaged_over_three_years(counts, verdict):
    """Eighteen days a year are 54 in three."""
    years = [year_of([130.0] * n + [60.0] * (365 - n)) for n in counts]
    row = limit("eu-2024-2881", "o3-eight-hours")
    found = judge_exceedances(limits("eu-2024-2881"), row, years, RULES)

    assert (verdict, counts) == (found.verdict, found.exceedances)


def test_a_missing_year_leaves_ozone_open():
    """A year that nobody measured has no coverage, and may have been the bad one."""
    years = [year_of([]), year_of([60.0] * 365), year_of([60.0] * 365)]
    row = limit("eu-2024-2881", "o3-eight-hours")
    found = judge_exceedances(limits("eu-2024-2881"), row, years, RULES)

    assert (Verdict.NOT_ENOUGH_DATA, 0.0) == (found.verdict, found.coverage)


@pytest.mark.parametrize(
    ("hours", "mean", "over", "verdict"),
    [
        (8_760, 10.0, True, Verdict.KEPT),
        (8_760, 10.1, True, Verdict.EXCEEDED),
        (7_446, 10.1, True, Verdict.EXCEEDED),
        (7_445, 10.1, True, Verdict.NOT_ENOUGH_DATA),
        # Half a year at 20.1 is 10.05 over the year although the rest were clean; at 20 it is 10.
        (4_380, 20.1, True, Verdict.EXCEEDED),
        (4_380, 20.1, False, Verdict.EXCEEDED),
        (4_380, 20.0, True, Verdict.NOT_ENOUGH_DATA),
        (8_000, 10.1, False, Verdict.NOT_ENOUGH_DATA),
        (0, 0.0, True, Verdict.NOT_ENOUGH_DATA),
    ],
)
def test_the_mean_of_a_year(hours, mean, over, verdict):
    """10 µg/m³ of fine particles; 85 per cent of 8,760 hours are 7,446."""
    year = year_of([mean] * hours, 8_760, over=over)
    table = limits("eu-2024-2881")
    found = judge_mean(table, limit("eu-2024-2881", "pm25-year"), year, RULES)

    assert verdict is found.verdict
    assert (pytest.approx(mean) if hours else None) == found.value
