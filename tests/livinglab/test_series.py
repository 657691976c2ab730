"""From Readings to Indicators: each rule worked by hand, none bent by what is missing."""

import math
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.domain.readings import Aggregation
from livinglab.errors import NotEstimableError, PanelError
from livinglab.impact.series import (
    Series,
    at_places,
    components,
    daily,
    hourly,
    increment,
    months_between,
    same_months,
    to_panel,
    wind,
    windows,
)

PARIS = "Europe/Paris"


def readings(
    times: Any, results: Any, *, datastream: Any = "a", flag: Any = 1, every: str = "10min"
) -> pd.DataFrame:
    """Make Readings; a single time begins a row of them."""
    results = np.atleast_1d(np.asarray(results, dtype=np.float64))
    if isinstance(times, str):
        times = pd.date_range(times, periods=len(results), freq=every)
    return pd.DataFrame({"datastream": datastream, "time": times, "result": results, "flag": flag})


def by_hour(first: str, last: str, value: float = 1.0, *, datastream: str = "a") -> pd.DataFrame:
    """Make one Reading for every hour of some days, in UTC."""
    times = pd.date_range(first, last, freq="h", inclusive="left")
    return readings(times, np.full(len(times), value), datastream=datastream)


def series(rows: pd.DataFrame, **more: Any) -> Series:
    options: dict[str, Any] = {"interval_s": 3_600, "timezone": "UTC"}
    return hourly(rows, **(options | more))


def one(found: Series, column: str = "value") -> float:
    assert 1 == len(found.frame)
    return float(found.frame[column].iloc[0])


# --- hours


def test_an_hour_is_the_mean_of_its_readings():
    """Ten, twenty, thirty: twenty, of three of the six expected, which is not enough."""
    found = hourly(readings("2024-01-01", [10, 20, 30]), interval_s=600, timezone="UTC")

    [row] = found.frame.to_dict("records")
    assert (20.0, 3, 0.5, False) == (row["value"], row["n"], row["coverage"], row["valid"])
    assert ("a", "a", pd.Timestamp("2024-01-01")) == (row["unit"], row["place"], row["time"])


@pytest.mark.parametrize(("n", "valid"), [(44, False), (45, True), (60, True)])
def test_three_quarters_of_an_hour(n: int, valid: bool):
    """Of sixty Readings expected, 45 are enough and 44 are not."""
    rows = readings("2024-01-01", np.ones(n), every="min")

    found = hourly(rows, interval_s={"a": 60}, timezone="UTC")

    assert [valid] == found.frame["valid"].tolist()


def test_only_what_is_good_or_not_evaluated_enters():
    """Suspect Readings enter when asked for; failed and missing ones never."""
    rows = readings("2024-01-01", [1, 2, 30, 400, 5000], flag=[1, 2, 3, 4, 9], every="min")

    assert 1.5 == one(series(rows))
    assert 11.0 == one(series(rows, suspect=True))


def test_small_negative_readings_stay_in():
    """An analyser near zero reads slightly negative: dropping that would bias clean hours."""
    assert -0.25 == one(series(readings("2024-01-01", [-1.0, 0.5], every="min")))


def test_missing_is_not_zero():
    """A Reading without a result does not enter, whatever its flag says."""
    found = series(readings("2024-01-01", [4.0, math.nan, math.inf], every="min"))

    assert (4.0, 1) == (one(found), one(found, "n"))


def test_the_last_word_of_an_instant_counts():
    """The same instant told twice is one Reading, even across spellings of time."""
    rows = readings(pd.to_datetime(["2024-01-01"] * 2), [1.0, 3.0])

    assert (3.0, 1) == (one(series(rows)), one(series(rows), "n"))


def test_sound_is_averaged_as_energy():
    """60 and 70 dB are 67.4 together: 10·log10((10^6 + 10^7) / 2), and not 65."""
    rows = readings("2024-01-01", [60, 70], every="30min")

    found = hourly(rows, interval_s=1_800, timezone="UTC", kind=Aggregation.ENERGY_MEAN)

    assert pytest.approx(10 * math.log10(5.5e6)) == one(found)
    assert pytest.approx(67.4036, abs=1e-4) == one(found)


def test_loud_hours_carry_a_day():
    """Hours of 50 dB and one of 80: 66.2 dB, where a plain mean says 51.25."""
    rows = by_hour("2024-01-01", "2024-01-02", 50.0)
    rows.loc[12, "result"] = 80.0

    found = daily(series(rows, kind=Aggregation.ENERGY_MEAN))

    assert pytest.approx(10 * math.log10((23e5 + 1e8) / 24)) == one(found)


def test_a_lost_reading_is_not_a_lost_car():
    """Ten cars in each of five quarters of an hour's six parts are a rate of 60 an hour."""
    rows = readings("2024-01-01", [10] * 5)

    found = hourly(rows, interval_s=600, timezone="UTC", kind=Aggregation.SUM)

    assert 60.0 == one(found)


def test_counts_of_a_day_are_counts_of_a_whole_day():
    """Eighteen hours of 100 cars are a day of 2,400."""
    rows = by_hour("2024-01-01", "2024-01-01 18:00", 100.0)

    found = daily(series(rows, kind=Aggregation.SUM))

    assert (2_400.0, True) == (one(found), one(found, "valid"))


def test_directions_are_not_averaged():
    """North is neither 0 nor 360 on a scale; u and v are what can be compared."""
    with pytest.raises(PanelError, match="average u and v"):
        series(readings("2024-01-01", [350.0]), kind=Aggregation.CIRCULAR_MEAN)


def test_wind_from_the_west_blows_to_the_east():
    """From 270° at 5 m/s: u = 5, v = 0; from 0°: v = −5."""
    u, v = components(np.array([5.0, 5.0]), np.array([270.0, 0.0]))

    assert pytest.approx([5.0, 0.0], abs=1e-12) == u.tolist()
    assert pytest.approx([0.0, -5.0], abs=1e-12) == v.tolist()


def test_opposite_winds_cancel():
    """Half an hour from the east and half from the west is calm, not a wind from the south."""
    speeds = readings("2024-01-01", [4.0, 4.0, 9.0], flag=[1, 1, 1], every="30min")
    directions = readings("2024-01-01", [90.0, 270.0, 0.0], flag=[1, 2, 4], every="30min")

    u, v = wind(speeds, directions)

    assert [1, 2, 4] == u["flag"].tolist()
    assert pytest.approx(0.0, abs=1e-12) == one(hourly(u, interval_s=1_800, timezone="UTC"))
    assert pytest.approx(0.0, abs=1e-12) == one(hourly(v, interval_s=1_800, timezone="UTC"))


def test_hours_are_those_of_the_city():
    """Clocks in Kolkata strike at half past in UTC."""
    rows = readings(pd.to_datetime(["2024-01-01 10:29", "2024-01-01 10:31"]), [1.0, 5.0])

    found = series(rows, timezone="Asia/Kolkata")

    assert ["2024-01-01 09:30", "2024-01-01 10:30"] == [
        f"{time:%Y-%m-%d %H:%M}" for time in found.frame["time"]
    ]


def test_times_may_be_aware_naive_or_counted():
    """01:00+01:00, midnight without a zone, and milliseconds since 1970 are one instant."""
    aware = readings(pd.to_datetime(["2024-01-01T01:00:00+01:00"]), 1.0)
    counted = readings([1_704_067_200_000], 1.0)

    for rows in (aware, counted, readings("2024-01-01", 1.0)):
        assert pd.Timestamp("2024-01-01") == series(rows).frame["time"].iloc[0]


# --- days


@pytest.mark.parametrize(
    ("day", "hours", "enough"),
    [("2024-03-31", 23, 18), ("2024-10-27", 25, 19), ("2024-06-01", 24, 18)],
)
def test_a_day_has_the_hours_it_has(day: str, hours: int, enough: int):
    """Three quarters of 23 hours are 18, of 25 they are 19."""
    first = pd.Timestamp(day, tz=PARIS)
    times = pd.date_range(first, first + pd.Timedelta(hours=hours), freq="h", inclusive="left")

    whole = daily(series(readings(times, np.ones(hours)), timezone=PARIS))
    barely = daily(series(readings(times[:enough], np.ones(enough)), timezone=PARIS))
    short = daily(series(readings(times[1:enough], np.ones(enough - 1)), timezone=PARIS))

    assert (hours, 1.0, pd.Timestamp(day)) == (
        one(whole, "n"),
        one(whole, "coverage"),
        whole.frame["time"].iloc[0],
    )
    assert [True] == barely.frame["valid"].tolist()
    assert [False] == short.frame["valid"].tolist()
    assert (enough - 1) / hours == one(short, "coverage")


def test_both_hours_of_a_night_that_repeats_one_count():
    """Between two and three the clocks of Paris pass twice: two hours, not one of double."""
    times = pd.date_range("2024-10-26T22:00", periods=25, freq="h")

    found = series(readings(times, np.arange(25.0)), timezone=PARIS)

    assert 25 == len(found.frame)
    assert 12.0 == one(daily(found))


def test_an_hour_that_is_not_valid_is_not_in_the_day():
    """Eighteen full hours of 10 and a sliver of 1,000: the day is 10."""
    full = readings(pd.date_range("2024-01-01", periods=18 * 6, freq="10min"), np.full(108, 10.0))
    sliver = readings("2024-01-01 20:00", [1_000.0])

    found = daily(hourly(pd.concat([full, sliver]), interval_s=600, timezone="UTC"))

    assert (10.0, 18) == (one(found), one(found, "n"))


def test_a_slow_datastream_fills_the_hours_it_speaks_for():
    """A Reading every three hours makes a whole day of eight, and a valid one of six."""
    rows = readings("2024-01-01", np.ones(8), every="3h")

    whole = daily(hourly(rows, interval_s=10_800, timezone="UTC"))
    six = daily(hourly(rows[:6], interval_s=10_800, timezone="UTC"))
    five = daily(hourly(rows[:5], interval_s=10_800, timezone="UTC"))

    assert (1.0, 0.75) == (one(whole, "coverage"), one(six, "coverage"))
    assert [True, False] == [one(six, "valid"), one(five, "valid")]


# --- Places


def stays(*rows: tuple[str, str, str | None, str | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["datastream", "place", "since", "until"])


def test_a_thing_that_moved_is_another_unit():
    """The same Datastream at two Places is two units, and at none while it was carried."""
    rows = by_hour("2024-01-01", "2024-01-04")
    moved = stays(("a", "kerb", None, "2024-01-02"), ("a", "park", "2024-01-03", None))

    found = series(rows, stays=moved)

    assert {("a@kerb", "kerb"): 24, ("a@park", "park"): 24} == (
        found.frame.groupby(["unit", "place"], observed=True).size().to_dict()
    )


def test_a_thing_that_came_back_is_a_third_unit():
    """Where it stood before says nothing about how it hangs now."""
    rows = by_hour("2024-01-01", "2024-01-04")
    table = stays(
        ("a", "kerb", None, "2024-01-02"),
        ("a", "park", "2024-01-02", "2024-01-03"),
        ("a", "kerb", "2024-01-03", None),
    )

    found = series(rows, stays=table)

    assert ["a@kerb", "a@park", "a@kerb#2"] == [
        str(name) for name in found.frame.sort_values("time")["unit"].unique()
    ]


def test_nothing_stands_at_two_places_at_once():
    """Stays that overlap are a mistake of somebody's, and are told."""
    table = stays(("a", "kerb", None, None), ("a", "park", "2024-01-03", None))

    with pytest.raises(PanelError, match="two places at once"):
        series(by_hour("2024-01-01", "2024-01-04"), stays=table)


def test_who_joins_halfway_fakes_no_step():
    """A second Datastream of 100 that joins after the start leaves the Place at 10."""
    rows = pd.concat(
        [
            by_hour("2024-01-01", "2024-01-21", 10.0),
            by_hour("2024-01-11", "2024-01-21", 100.0, datastream="b"),
        ]
    )
    table = stays(("a", "kerb", None, None), ("b", "kerb", None, None))

    found = at_places(daily(series(rows, stays=table)), start=date(2024, 1, 11))

    assert {"kerb": ("a@kerb",)} == found.members
    assert [10.0] * 20 == found.frame["value"].tolist()
    assert ["b@kerb"] == [gone.unit for gone in found.dropped]


def test_the_set_is_whole_or_the_place_is_silent():
    """Two at a Place, one of which missed a day: nineteen days of their mean, none of one."""
    rows = pd.concat(
        [
            by_hour("2024-01-01", "2024-01-21", 10.0),
            by_hour("2024-01-01", "2024-01-05", 30.0, datastream="b"),
            by_hour("2024-01-06", "2024-01-21", 30.0, datastream="b"),
        ]
    )
    table = stays(("a", "kerb", None, None), ("b", "kerb", None, None))

    found = at_places(daily(series(rows, stays=table)), start=date(2024, 1, 11))

    assert [20.0] * 19 == found.frame["value"].tolist()
    assert [2] * 19 == found.frame["n"].tolist()
    assert pd.Timestamp("2024-01-05") not in found.frame["time"].tolist()


def test_who_would_tear_too_many_holes_leaves():
    """With a Datastream that missed half of the days a Place would have half of its days."""
    gaps = [
        by_hour(f"2024-01-{day:02}", f"2024-01-{day + 1:02}", 30.0, datastream="b")
        for day in range(1, 21, 2)
    ]
    table = stays(("a", "kerb", None, None), ("b", "kerb", None, None))
    rows = pd.concat([by_hour("2024-01-01", "2024-01-21", 10.0), *gaps])

    found = at_places(daily(series(rows, stays=table)), start=date(2024, 1, 11))

    assert [10.0] * 20 == found.frame["value"].tolist()
    assert "has holes where others at its Place have none" == found.dropped[0].reason


def test_two_sound_levels_at_a_place_are_averaged_as_energy():
    """60 and 70 dB at one Place are 67.4."""
    rows = pd.concat(
        [
            by_hour("2024-01-01", "2024-01-05", 60.0),
            by_hour("2024-01-01", "2024-01-05", 70.0, datastream="b"),
        ]
    )
    table = stays(("a", "kerb", None, None), ("b", "kerb", None, None))
    hours = series(rows, stays=table, kind=Aggregation.ENERGY_MEAN)

    found = at_places(daily(hours), start=date(2024, 1, 3))

    assert pytest.approx([67.4036] * 4, abs=1e-4) == found.frame["value"].tolist()


def test_what_a_street_adds_may_be_negative():
    """Roadside minus background, in hours in which both were measured."""
    rows = pd.concat(
        [
            by_hour("2024-01-01", "2024-01-02", 30.0, datastream="street"),
            by_hour("2024-01-01", "2024-01-01 06:00", 20.0, datastream="roofs"),
            by_hour("2024-01-01 06:00", "2024-01-01 20:00", 35.0, datastream="roofs"),
        ]
    )

    found = increment(series(rows), roadside=["street"], background="roofs")

    assert [10.0] * 6 + [-5.0] * 14 == found.frame["value"].tolist()
    assert {"street"} == set(found.frame["unit"])
    assert (6 * 10 - 14 * 5) / 20 == one(daily(found))


def test_an_increment_of_sound_is_a_plain_difference():
    """Its days are plain means: an energy mean of a difference means nothing."""
    rows = pd.concat(
        [
            by_hour("2024-01-01", "2024-01-02", 70.0, datastream="street"),
            by_hour("2024-01-01", "2024-01-02", 60.0, datastream="roofs"),
        ]
    )
    hours = series(rows, kind=Aggregation.ENERGY_MEAN)

    found = daily(increment(hours, roadside=["street"], background="roofs"))

    assert 10.0 == one(found)


def test_a_background_that_is_not_there_is_named():
    """No increment without its other half."""
    with pytest.raises(PanelError, match="roofs has no valid hour"):
        increment(series(by_hour("2024-01-01", "2024-01-02")), roadside=["a"], background="roofs")


# --- windows


def year(days: pd.DatetimeIndex, *, unit: str = "a") -> Series:
    """Make valid days without the hours behind them."""
    frame = pd.DataFrame(
        {
            "unit": unit,
            "place": unit,
            "time": days.astype("datetime64[s]"),
            "value": 1.0,
            "n": 24,
            "coverage": 1.0,
            "valid": True,
            "hours": 24.0,
        }
    )
    return Series(frame=frame, step="day", kind=Aggregation.MEAN, timezone="UTC")


ALL_2024 = pd.date_range("2024-01-01", "2024-12-31")


@pytest.mark.parametrize(
    ("missing", "verdict"), [(13, "valid"), (14, "cap_B"), (22, "cap_B"), (23, "none")]
)
def test_each_quarter_needs_its_days(missing: int, verdict: str):
    """Of the 91 days of a first quarter 78 are 85.7 %, 77 are 84.6 %, 68 are 74.7 %."""
    found = windows(year(ALL_2024[missing:]), since=date(2024, 1, 1), until=date(2025, 1, 1))["a"]

    assert verdict == found.verdict
    assert (91 - missing) / 91 == found.quarters["2024-Q1"]
    assert 1.0 == found.quarters["2024-Q4"]
    assert pytest.approx((366 - missing) / 366) == found.coverage


def test_a_hole_in_every_weekend_shows():
    """Without Saturdays and Sundays 71 % of the days remain, and the weekdays say why."""
    found = windows(
        year(ALL_2024[ALL_2024.day_of_week < 5]), since=date(2024, 1, 1), until=date(2025, 1, 1)
    )["a"]

    assert "none" == found.verdict
    assert {"mon": 1.0, "fri": 1.0, "sat": 0.0, "sun": 0.0}.items() <= found.weekdays.items()
    assert pytest.approx(23 / 31) == found.months["2024-01"]


def test_the_same_months_on_both_sides():
    """Three winter months after the start are compared with the winter before it."""
    periods = np.arange("2023-01-01", "2024-04-01", dtype="datetime64[D]")

    found = same_months(periods, "2024-01-01")

    assert {1, 2, 3} == set(pd.DatetimeIndex(periods[found]).month)
    assert 90 + 91 == found.sum()


# --- panel


def town(first: str = "2022-12-31 23:00", last: str = "2024-03-31 22:00") -> Series:
    """Three Places in Paris time, by day: local days from 2023-01-01 to 2024-03-31."""
    rows = pd.concat([by_hour(first, last, 10.0 * n, datastream=f"p{n}") for n in (1, 2, 3)])
    return daily(series(rows, timezone=PARIS))


def test_a_panel_of_local_days():
    """A day of the panel is a date of the city, the first after midnight of the start treated."""
    found = to_panel(town(), treated=["p2"], start=date(2024, 1, 1))

    assert ("p1", "p2", "p3") == found.panel.units
    assert ["2023-01-01T00:00:00", "2024-03-31T00:00:00"] == (
        found.panel.periods[[0, -1]].astype(str).tolist()
    )
    assert "2024-01-01T00:00:00" == str(found.panel.periods[found.panel.start])
    assert [False, True, False] == found.panel.is_treated.tolist()
    assert [10.0, 20.0, 30.0] == found.panel.values[:, 400].tolist()
    assert (12.0, 3.0) == (found.months_before, found.months_after)
    assert (False, True) == (found.early, found.whole_year)
    assert found.matched.sum() == 90 + 91


def test_a_panel_of_hours_starts_at_local_midnight():
    """Midnight of January in Paris is 23:00 UTC."""
    hours = series(by_hour("2023-11-01", "2024-02-01"), timezone=PARIS)

    found = to_panel(hours, treated=["a"], start=date(2024, 1, 1))

    assert "2023-12-31T23:00:00" == str(found.panel.periods[found.panel.start])
    assert found.early


def test_an_absent_day_is_a_missing_cell():
    """The grid is even, and nothing is filled in."""
    days = pd.date_range("2023-01-01", "2024-03-31").delete(5)

    found = to_panel(year(days), treated=["a"], start=date(2024, 1, 1))

    assert 456 == len(found.panel.periods)
    assert [5] == np.flatnonzero(~found.panel.observed[0]).tolist()


def test_a_place_that_was_hardly_measured_afterwards_is_left_out():
    """A control with half of the days after the start goes, with the reason."""
    half = pd.date_range("2023-01-01", "2024-01-31")
    both = year(pd.date_range("2023-01-01", "2024-03-31"))
    frame = pd.concat([both.frame, year(half, unit="b").frame], ignore_index=True)
    days = Series(frame=frame, step="day", kind=Aggregation.MEAN, timezone="UTC")

    found = to_panel(days, treated=["a"], start=date(2024, 1, 1))

    assert ("a",) == found.panel.units
    assert ["b"] == [gone.unit for gone in found.panel.dropped]
    assert "none" == found.windows["b"].verdict


def test_the_last_treated_place_stays_for_its_guard():
    """Where nothing treated would remain, the panel keeps it, and the guard of capture tells."""
    days = year(pd.date_range("2023-01-01", "2024-03-31").delete(range(370, 420)))

    found = to_panel(days, treated=["a"], start=date(2024, 1, 1))

    assert ("a",) == found.panel.units
    assert "none" == found.windows["a"].verdict


def test_a_panel_needs_both_sides_and_its_places():
    """What cannot be compared is refused in one sentence."""
    with pytest.raises(PanelError, match="nothing was measured before 2020-01-01"):
        to_panel(town(), treated=["p1"], start=date(2020, 1, 1))
    with pytest.raises(PanelError, match="nothing was measured after 2030-01-01"):
        to_panel(town(), treated=["p1"], start=date(2030, 1, 1))
    with pytest.raises(PanelError, match="the treated Place p9 has no valid day"):
        to_panel(town(), treated=["p9"], start=date(2024, 1, 1))


@pytest.mark.parametrize(
    ("first", "last", "months"),
    [
        (date(2023, 1, 1), date(2024, 1, 1), 12),
        (date(2024, 2, 29), date(2025, 2, 28), 12 - 1 / 31),
        (date(2024, 1, 31), date(2024, 3, 1), 2 - 30 / 31),
    ],
)
def test_a_year_has_twelve_months(first: date, last: date, months: float):
    """Leap year or not: what lasts from a date to the same date is a year."""
    assert months == months_between(first, last)


def test_the_scale_is_chosen_with_the_panel():
    """Logs of what is positive; a level of zero has none."""
    found = to_panel(town(), treated=["p2"], start=date(2024, 1, 1), transform="log")

    assert ("log", pytest.approx(math.log(10))) == (
        found.panel.transform,
        found.panel.values[0, 0],
    )


# --- what comes in


@pytest.mark.parametrize(
    ("rows", "more", "words"),
    [
        (readings("2024-01-01", 1.0).drop(columns="flag"), {}, "lack the column flag"),
        (readings("2024-01-01", 1.0), {"interval_s": {}}, "a has no interval"),
        (readings("2024-01-01", 1.0), {"interval_s": 0}, "a has no interval"),
        (readings(["soon"], 1.0), {}, "a time is no time"),
        (readings([pd.NaT], 1.0), {}, "a time is empty"),
        (readings("2024-01-01", 5e4), {"kind": Aggregation.ENERGY_MEAN}, "beyond 1000 dB"),
    ],
)
def test_what_cannot_be_read_is_named(rows: pd.DataFrame, more: dict[str, Any], words: str):
    """One sentence says what and where."""
    with pytest.raises(PanelError, match=words):
        series(rows, **more)


def test_nothing_at_all_is_said_so():
    """Without a valid Reading every step is empty, and a panel is refused."""
    days = daily(series(readings("2024-01-01", 1.0, flag=4)))

    assert days.frame.empty
    with pytest.raises(NotEstimableError, match="no day was measured well enough"):
        to_panel(days, treated=["a"], start=date(2024, 1, 1))


@given(
    st.lists(
        st.tuples(st.integers(0, 10**9), st.floats(-1e6, 1e6), st.sampled_from([1, 2, 3, 4, 9])),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from(["UTC", PARIS, "Asia/Kathmandu", "Australia/Lord_Howe", "America/Havana"]),
)
def test_a_mean_lies_among_its_readings(rows, zone):
    """Whatever comes in, in whatever order: hours and days lie between what was read."""
    times, results, flags = zip(*rows, strict=True)
    frame = readings(np.array(times, np.int64) * 1_000, results, flag=list(flags))

    hours = series(frame, timezone=zone)
    days = daily(hours)

    for found in (hours.frame, days.frame):
        if len(found):
            assert min(results) - 1e-6 <= found["value"].min()
            assert found["value"].max() <= max(results) + 1e-6
            assert found["coverage"].between(0, 1).all()
    assert found is days.frame


def test_order_of_rows_does_not_matter():
    """Readings that came late make the same hours, to the last digit of the count."""
    draw = np.random.default_rng(1)
    rows = pd.concat(
        [
            readings("2024-01-01", draw.normal(size=2_000), datastream=name)
            for name in ("b", "a", "c")
        ]
    )
    shuffled = rows.sample(frac=1, random_state=2)

    one_way, other_way = (
        hourly(frame, interval_s=600, timezone=PARIS).frame for frame in (rows, shuffled)
    )

    pd.testing.assert_frame_equal(one_way, other_way, rtol=1e-12)


@pytest.mark.timeout(60)
def test_a_million_readings_pass_the_whole_way():
    """Raw to hours to days to a panel, none held in Python one by one."""
    per, count = 10_000, 100
    rows = pd.DataFrame(
        {
            "datastream": np.repeat(np.arange(count), per),
            "time": np.tile(np.arange(per, dtype=np.int64) * 600_000 + 1_700_000_000_000, count),
            "result": np.random.default_rng(1).normal(20, 5, per * count),
            "flag": np.uint8(1),
        }
    )

    days = daily(hourly(rows, interval_s=600, timezone=PARIS))
    found = to_panel(days, treated=["7"], start=date(2023, 12, 25))

    assert count == len(found.panel.units)
