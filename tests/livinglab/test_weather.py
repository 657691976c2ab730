"""Weather is taken out where it can be told, and left alone where it cannot."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from livinglab.errors import NotEstimableError, PanelError
from livinglab.impact.effects.difference import did
from livinglab.impact.panel import Panel
from livinglab.impact.results import Estimate, Floats
from livinglab.impact.weather import (
    Features,
    Forest,
    counterfactual,
    features,
    normalise,
    trend,
    widened,
)

DAYS, START = 930, 810
"""Two years and more before the start, four months after it."""
FEW = Forest(trees=100)
WIND = ("t", "u", "v")


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def course(draw: np.random.Generator, periods: int, rho: float, sd: float) -> Floats:
    """Draw what remembers the day before."""
    found = draw.normal(size=periods)
    for t in range(1, periods):
        found[t] = rho * found[t - 1] + math.sqrt(1 - rho**2) * found[t]
    return found * sd


def town(*, effect: float = -4.0, turn: float = 1.5, seed: int = 1, controls: int = 4) -> Panel:
    """Make a treated kerb that answers to the wind four times as much as its controls do.

    From the start on the wind *turns*: that alone moves the kerb by −2·turn, controls by −½·turn.
    """
    draw = rng(seed)
    day = np.arange(DAYS)
    t = 12 - 8 * np.cos(2 * np.pi * day / 365.25) + course(draw, DAYS, 0.7, 3)
    u, v = course(draw, DAYS, 0.5, 2), course(draw, DAYS, 0.5, 2)
    u[START:] += turn
    answer = np.r_[-2.0, np.full(controls, -0.5)][:, None]
    values = 40 + answer * u + 0.3 * answer * np.abs(v) - 0.3 * (t - 12) + 2 * (day % 7 < 5)
    values = values + [course(draw, DAYS, 0.3, 1.0) for _ in range(controls + 1)]
    values[0, START:] += effect
    starts = np.full(controls + 1, DAYS)
    starts[0] = START
    return Panel(
        units=tuple(f"u{row}" for row in range(controls + 1)),
        periods=np.datetime64("2023-01-01", "s") + day * np.timedelta64(86_400, "s"),
        values=values,
        starts=starts,
        covariates={
            name: np.broadcast_to(column, values.shape)
            for name, column in {"t": t, "u": u, "v": v}.items()
        },
    )


def difference(panel: Panel) -> float:
    return did(replace(panel, covariates={}), rng=rng()).effect


def one(panel: Panel, row: int = 0) -> tuple[Floats, Features]:
    """Return a unit's values and its features."""
    weather = {name: column[row] for name, column in panel.covariates.items()}
    return panel.values[row], features(panel.periods, weather)


# --- the effect and the weather


@pytest.mark.parametrize("effect", [-4.0, 0.0])
def test_the_wind_is_taken_out_and_the_effect_stays(effect: float):
    """The wind adds −2.25 to the naive difference; normalised, at most a fifth of it is left."""
    panel = town(effect=effect)

    normal, found = normalise(panel, WIND, rng=rng(), forest=FEW)

    assert found.passed, found.reason
    assert abs(difference(panel) - effect) > 1.8
    assert abs(difference(normal) - effect) < 0.45
    assert "" == found.reason
    assert found.r2 > 0.75
    assert abs(found.bias) <= found.mde / 2
    assert found.controls_p > 0.05


def test_the_wind_is_taken_out_of_other_towns():
    """The same of another wind, whether or not the gate lets the values pass."""
    for seed in (2, 3):
        panel = town(seed=seed)
        _, found = normalise(panel, WIND, rng=rng(), forest=FEW)

        assert abs(difference(panel.with_values(found.values)) + 4) < 0.5


def test_columns_of_weather_leave_the_panel():
    """What was taken out is no regressor any more; other covariates stay."""
    panel = town()
    panel = replace(panel, covariates={**panel.covariates, "traffic": panel.values})

    normal, found = normalise(panel, WIND, rng=rng(), forest=FEW)

    assert ["traffic"] == list(normal.covariates)
    assert ("day_of_year", "weekday", "t", "u", "v") == found.features


def test_the_same_seed_gives_the_same_numbers():
    """To the ninth digit, weeks, trees and all."""
    (first, told), (again, retold) = (
        normalise(town(controls=1), WIND, rng=rng(7)) for _ in range(2)
    )

    np.testing.assert_allclose(first.values, again.values, rtol=0, atol=1e-9)
    assert json.dumps(told.document()) == json.dumps(retold.document())


def test_progress_counts_units():
    """A long run says how far it is."""
    told: list[tuple[int, int]] = []

    normalise(
        town(controls=1),
        WIND,
        rng=rng(),
        forest=FEW,
        progress=lambda done, total: told.append((done, total)),
    )

    assert [(1, 2), (2, 2)] == told


def test_scale_changes_nothing_but_the_scale():
    """Values too large to be squared are normalised as small ones are."""
    panel, factor = town(controls=1), 2.0**600

    _, small = normalise(panel, WIND, rng=rng(), forest=FEW)
    _, large = normalise(panel.with_values(panel.values * factor), WIND, rng=rng(), forest=FEW)

    assert pytest.approx(small.r2) == large.r2
    assert pytest.approx(small.bias * factor) == large.bias
    np.testing.assert_allclose(large.values / factor, small.values)


# --- the gate


def test_noise_does_not_pass():
    """Weather that explains nothing is left alone, and the panel with it."""
    panel = town(controls=1)
    panel = panel.with_values(rng().normal(20, 3, panel.values.shape))

    normal, found = normalise(panel, WIND, rng=rng(), forest=FEW)

    assert not found.passed
    assert "50% is asked" in found.reason
    assert found.r2 < 0.5
    np.testing.assert_array_equal(panel.values, normal.values)
    assert {} == normal.covariates


def test_controls_that_change_do_not_pass():
    """Everything fell by three, so what forests expected of the controls was wrong, too."""
    panel = town(effect=0.0)
    values = panel.values.copy()
    values[:, START:] -= 3

    _, found = normalise(panel.with_values(values), WIND, rng=rng(), forest=FEW)

    assert not found.passed
    assert "control units changed, too" in found.reason
    assert pytest.approx(-3, abs=0.5) == found.controls_change


def test_predictions_off_by_half_an_effect_do_not_pass():
    """The smaller the effect one wants to see, the smaller the bias that may stand."""
    panel = town(controls=1)

    _, strict = normalise(panel, WIND, rng=rng(), forest=FEW, mde=1e-6)
    _, lax = normalise(panel, WIND, rng=rng(), forest=FEW, mde=100.0)

    assert "half the smallest detectable effect" in strict.reason
    assert lax.passed
    assert pytest.approx(100.0) == lax.mde


def test_without_controls_there_is_no_word_of_them():
    """A series of its own passes on what it can be asked."""
    panel = town().only(np.array([0]))

    _, found = normalise(panel, WIND, rng=rng(), forest=FEW, mde=2.0)

    assert found.passed, found.reason
    assert math.isnan(found.controls_p)
    assert found.document()["controls_p"] is None


def test_constant_values_leave_nothing_to_explain():
    """No spread, no R²: undefined, and not one."""
    panel = town(controls=1)

    _, found = normalise(
        panel.with_values(np.full(panel.values.shape, 5.0)), WIND, rng=rng(), forest=FEW
    )

    assert math.isnan(found.r2)
    assert "explains nothing" in found.reason
    assert 0.0 == found.variance


def test_a_treated_unit_without_weather_stops_it():
    """What was not learned cannot be taken out."""
    panel = town(controls=1)
    dark = {name: column.copy() for name, column in panel.covariates.items()}
    dark["t"][0, : START - 50] = np.nan

    normal, found = normalise(replace(panel, covariates=dark), WIND, rng=rng(), forest=FEW)

    assert "u0 has fewer than 60 periods" in found.reason
    assert math.isnan(found.r2)
    assert panel.units == normal.units


def test_a_control_without_weather_is_left_out():
    """Raw and normalised values are never compared with each other."""
    panel = town(controls=2)
    dark = {name: column.copy() for name, column in panel.covariates.items()}
    dark["t"][2] = np.nan

    normal, found = normalise(replace(panel, covariates=dark), WIND, rng=rng(), forest=FEW, mde=5.0)

    assert found.passed, found.reason
    assert ("u0", "u1") == normal.units
    assert ["u2"] == [gone.unit for gone in normal.dropped]
    assert DAYS == found.lost


def test_missing_stays_missing():
    """Nothing is imputed: neither a value, nor one for a day without weather."""
    panel = town(controls=1)
    values = panel.values.copy()
    values[0, 100:110] = np.nan
    dark = {name: column.copy() for name, column in panel.covariates.items()}
    dark["u"][0, 200:203] = np.nan

    normal, found = normalise(
        replace(panel, values=values, covariates=dark), WIND, rng=rng(), forest=FEW, mde=5.0
    )

    assert found.passed, found.reason
    assert [*range(100, 110), 200, 201, 202] == np.flatnonzero(~normal.observed[0]).tolist()
    assert 3 == found.lost


# --- other scales and modes


def test_under_a_log_link_weather_is_a_factor():
    """Counts halve under the measure, stay positive, and are told in shares."""
    panel = town(effect=0.0)
    draw = rng(2)
    rate = np.exp(3 + (panel.values - 40) / 20)
    rate[0, START:] *= 0.5
    counts = replace(panel.with_values(draw.poisson(rate).astype(float)), transform="poisson")

    _, found = normalise(counts, WIND, rng=rng(), forest=FEW, mde=1.0)

    treated, others = found.values[0], found.values[1:].mean(axis=0)
    left = np.log(treated[START:].mean() / treated[:START].mean()) - np.log(
        others[START:].mean() / others[:START].mean()
    )
    assert np.nanmin(found.values) >= 0
    assert pytest.approx(math.log(0.5), abs=0.06) == left


@pytest.mark.parametrize("mode", ["trend", "weather_only", "detrended"])
def test_other_modes_show_the_step_too(mode: Any):
    """Smoothed or not, what is left after the wind is a fall of about four."""
    panel = town(controls=1)

    _, found = normalise(panel, WIND, rng=rng(), forest=FEW, mode=mode, mde=5.0)

    assert mode == found.mode
    assert ("date" in found.features) is (mode != "detrended")
    step = difference(panel.with_values(found.values))
    assert -5 < step < -2.4


def test_a_trend_has_no_weather_and_no_season():
    """The course under average weather is far smoother than what was measured."""
    values, given = one(town(effect=0.0, turn=0.0))

    found = trend(values, given, rng=rng(), forest=FEW)
    seasonal = trend(values, given, rng=rng(), weather_only=True, forest=FEW)

    assert found.expected.std() < values.std() / 5
    assert found.expected.std() < seasonal.expected.std()
    assert pytest.approx(values.mean(), abs=0.5) == found.expected.mean()


def test_what_goes_down_steadily_is_not_called_an_effect():
    """A line that falls before the start and after it: detrended, nothing is left of it."""
    values, given = one(town(effect=0.0, turn=0.0))
    falling = values - 0.01 * np.arange(DAYS)

    plain = counterfactual(falling, given, start=START, rng=rng(), forest=FEW)
    straight = counterfactual(falling, given, start=START, rng=rng(), detrend=True, forest=FEW)

    gap_plain, gap_straight = (
        float((falling - one.expected)[START:].mean()) for one in (plain, straight)
    )
    assert gap_plain < -2
    assert abs(gap_straight) < 0.7


def test_nothing_after_the_start_is_learned():
    """Whatever happens after the start, what was expected of it stays the same."""
    values, given = one(town())
    other = values.copy()
    other[START:] = 1e6

    found, again = (
        counterfactual(series, given, start=START, rng=rng(), forest=FEW)
        for series in (values, other)
    )

    np.testing.assert_array_equal(found.expected, again.expected)


def test_before_the_start_nothing_is_known_beforehand():
    """What is left before the start is as large as after it, though forests fit it closely."""
    values, given = one(town(effect=0.0, turn=0.0))

    found = counterfactual(values, given, start=START, rng=rng(), forest=FEW)

    left = values - found.expected
    ratio = left[:START].std() / left[START:].std()
    assert 0.75 < ratio < 1.35
    inside = values - found.by_bag.mean(axis=0)
    assert inside[:START].std() < 0.8 * left[:START].std()


def test_too_little_to_learn_from_is_said():
    """Fifty-nine days grow no forest."""
    values, given = one(town())

    with pytest.raises(NotEstimableError, match="needs 60 periods with value and weather"):
        counterfactual(values, given, start=59, rng=rng())


def test_a_forest_without_bags_has_no_spread():
    """Fewer than twenty refits are no variance, and a hundred draws the least of an average."""
    values, given = one(town())

    with pytest.raises(ValueError, match="20 bags"):
        Forest(bags=10)
    with pytest.raises(ValueError, match="100 draws"):
        trend(values, given, rng=rng(), resamples=30)


def test_what_is_unsure_about_the_weather_widens_the_interval():
    """Reaches of 3 and 4 with 1.96·√v = 4 and a bound at infinity: 5, √32 and infinity."""
    variance = (4 / 1.959964) ** 2
    estimate = Estimate(estimator="did", tier="T2", effect=0.0, low=-3.0, high=4.0, se=0.0)

    found = widened(estimate, variance)
    open_ = widened(replace(estimate, high=math.inf), variance)

    assert pytest.approx([-5, math.sqrt(32)], abs=1e-5) == [found.low, found.high]
    assert pytest.approx(math.sqrt(variance)) == found.se
    assert math.inf == open_.high


# --- features


def test_the_calendar_of_days():
    """The last day of a leap year is its 366th, and a Tuesday."""
    days = np.array(["2024-12-30", "2024-12-31"], "datetime64[s]")

    found = features(days, {"t": np.array([1.0, np.nan])})

    assert ("date", "day_of_year", "weekday", "t") == found.names
    assert [1.0, 366.0, 1.0] == found.values[1, :3].tolist()
    assert [True, False] == found.known.tolist()


def test_the_calendar_of_hours_is_the_citys():
    """23:00 UTC on New Year's Eve is midnight of New Year in Paris."""
    hours = np.array(["2024-12-31T23:00", "2025-01-01T00:00"], "datetime64[s]")

    found = features(hours, {}, timezone="Europe/Paris")

    assert ("date", "day_of_year", "weekday", "hour") == found.names
    assert [0.0, 1.0, 2.0, 0.0] == found.values[0].tolist()


def test_numbers_have_no_seasons():
    """Periods 1 to 3 are a date to count by, and nothing more."""
    assert ("date",) == features(np.array([1.0, 2.0, 3.0]), {}).names


def test_months_have_no_weekdays():
    """What lasts longer than a day has no day of the week."""
    months = np.arange("2024-01", "2025-01", dtype="datetime64[M]").astype("datetime64[s]")

    assert ("date", "day_of_year") == features(months, {}).names


def test_a_direction_becomes_two_components():
    """Ten degrees and 350 are neighbours; a direction without a speed is refused."""
    days = np.array(["2024-01-01", "2024-01-02"], "datetime64[s]")
    wind = {"wind_speed": np.array([2.0, 2.0]), "wind_direction": np.array([10.0, 350.0])}

    found = features(days, wind)

    assert ("wind_u", "wind_v") == found.names[-2:]
    assert pytest.approx(found.values[0, -1]) == found.values[1, -1]
    with pytest.raises(PanelError, match="needs wind_speed"):
        features(days, {"wind_direction": np.array([10.0, 350.0])})


def test_weather_may_come_in_a_frame_of_its_own():
    """One station for all units is the same as a covariate in each row."""
    panel = town(controls=1)
    frame = pd.DataFrame(
        {"period": panel.periods} | {name: panel.covariates[name][0] for name in WIND}
    )
    bare = replace(panel, covariates={})
    by_unit = pd.concat([frame.assign(unit=unit) for unit in panel.units]).sample(
        frac=1, random_state=1
    )

    of_covariates, of_frame, of_units = (
        normalise(one, weather, rng=rng(), forest=FEW)[1]
        for one, weather in ((panel, WIND), (bare, frame.iloc[::-1]), (bare, by_unit))
    )

    np.testing.assert_array_equal(of_covariates.values, of_frame.values)
    np.testing.assert_array_equal(of_covariates.values, of_units.values)


@pytest.mark.parametrize(
    ("weather", "words"),
    [
        (["rain"], "no column of weather rain; there are t, u, v"),
        ([], "no column of weather was named"),
        (pd.DataFrame({"t": [1.0]}), "lacks the column period"),
        (pd.DataFrame({"period": ["2023-01-01"]}), "no column but its period"),
        (pd.DataFrame({"period": ["soon"], "t": [1.0]}), "no date or time"),
        (pd.DataFrame({"period": ["2023-01-01"], "t": ["warm"]}), "t holds 'warm'"),
        (
            pd.DataFrame({"period": ["2023-01-01", "2023-01-01"], "t": [1.0, 2.0]}),
            "more than one row",
        ),
    ],
)
def test_weather_that_cannot_be_read_is_named(weather: Any, words: str):
    """One sentence says what is wrong."""
    with pytest.raises(PanelError, match=words):
        normalise(town(controls=1), weather, rng=rng(), forest=FEW)


def test_nobody_treated_nothing_to_do():
    """Without a start there is no time to learn from."""
    with pytest.raises(NotEstimableError, match="no unit is treated"):
        normalise(town().only(np.array([1, 2])), WIND, rng=rng(), forest=FEW)


def test_starts_may_differ():
    """Each treated unit learns until its own start, controls until the first one."""
    panel = town(controls=3)
    starts = panel.starts.copy()
    starts[1] = START + 40

    _, found = normalise(replace(panel, starts=starts), WIND, rng=rng(), forest=FEW, mde=5.0)

    assert found.passed, found.reason


@pytest.mark.parametrize("broken", ["short", "late", "empty", "all"])
def test_hostile_panels_get_a_reason(broken: str):
    """Too short, starting at once, a unit without values, none at all: a reason, no traceback."""
    panel = town(controls=2)
    values = panel.values.copy()
    if broken == "short":
        panel, values = panel.only(np.arange(3), np.arange(START - 20, START + 20)), values[:, :40]
    if broken == "late":
        panel = replace(panel, starts=np.array([1, DAYS, DAYS]))
    if broken == "empty":
        values[2] = np.nan
    if broken == "all":
        values[:] = np.nan
        with pytest.raises(PanelError, match="no cell has a value"):
            normalise(panel.with_values(values), WIND, rng=rng(), forest=FEW)
        return

    _, found = normalise(panel.with_values(values), WIND, rng=rng(), forest=FEW, mde=5.0)

    assert (broken == "empty") is found.passed, found.reason
    json.dumps(found.document(), allow_nan=False)


@pytest.mark.timeout(120)
def test_a_year_of_hours_is_foretold_alike_by_any_number_of_threads():
    """Ten thousand rows and 160 trees: the numbers of two threads are those of one."""
    draw = rng(3)
    hours = np.datetime64("2024-01-01", "s") + np.arange(10_000) * np.timedelta64(3_600, "s")
    t, u = course(draw, 10_000, 0.9, 4), course(draw, 10_000, 0.9, 2)
    values = 30 - t + 2 * np.abs(u) + draw.normal(size=10_000)

    given = features(hours, {"t": t, "u": u})
    found, again = (
        counterfactual(values, given, start=8_000, rng=rng(), forest=Forest(trees=160, jobs=jobs))
        for jobs in (1, 2)
    )

    np.testing.assert_array_equal(found.expected, again.expected)
    assert np.corrcoef(found.expected, values)[0, 1] > 0.9
