"""Agreement: planted relations are found, chance is not, and each number is worked by hand."""

import json
import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import lfilter
from scipy.stats import spearmanr

from livinglab.errors import NotEstimableError, PanelError
from livinglab.impact.agreement import (
    Agreement,
    agree,
    auc,
    change,
    concordance,
    document,
    exceed,
    lin_ccc,
    quadrants,
    weighted_kappa,
)
from livinglab.impact.relations import (
    effective_pairs,
    lead_lag,
    prewhitened,
    relation,
    shifted,
    spearman,
    without_months,
)
from livinglab.impact.results import Floats

CAUSAL = re.compile(r"becaus|caused|due to|leads? to|effect|impact|reduc|prove", re.IGNORECASE)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def remembering(n: int, chance: np.random.Generator, memory: float = 0.7) -> Floats:
    """A series that remembers itself, of variance 1."""
    series = lfilter([1.0], [1.0, -memory], chance.normal(size=n + 200))[200:]
    return np.asarray(series * math.sqrt(1 - memory**2))


def tables(
    n: int = 365, *, lag: int = 2, strength: float = 0.6, seed: int = 0, freq: str = "D"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A sensor, and what people posted *lag* periods later; without strength, for other reasons."""
    chance = rng(seed)
    sensor, other = remembering(n, chance), remembering(n, chance)
    reason = strength * np.roll(sensor, lag) if strength else 0.6 * other
    posts = chance.poisson(np.exp(0.5 + reason))
    times = pd.date_range("2023-01-01", periods=n, freq=freq, tz="UTC")
    return (
        pd.DataFrame({"time": np.repeat(times, posts) + pd.Timedelta(minutes=20)}),
        pd.DataFrame({"time": times, "value": 20 + 5 * sensor}),
    )


def asked(observations: pd.DataFrame, readings: pd.DataFrame, **more: Any) -> Agreement:
    return agree(observations, readings, rng=rng(), **more)


# --- the whole question


@pytest.mark.parametrize(("every", "freq", "n"), [("1D", "D", 365), ("1h", "h", 1_000)])
def test_a_planted_lag_is_found(every, freq, n):
    """People post two periods after what the sensor shows: so say all three tests."""
    found = asked(*tables(n, freq=freq), every=every)

    assert "related" == found.finding
    assert found.level is not None
    assert found.anomalies is not None
    assert found.lead_lag is not None
    assert (2, 2, 2) == (found.level.lag, found.anomalies.lag, found.lead_lag.best)
    assert "readings_first" == found.lead_lag.direction
    assert found.anomalies.low < found.anomalies.rho < found.anomalies.high
    assert f"2 {'days' if every == '1D' else 'hours'} after higher Readings" in found.sentence
    assert not CAUSAL.search(found.sentence.replace("tells nothing about a cause", ""))


def test_an_opposite_relation_is_told_as_one():
    """Fewer Observations after higher Readings: the sign is in the words."""
    found = asked(*tables(strength=-0.6))

    assert "related" == found.finding
    assert found.sentence.startswith("Fewer Observations came 2 days after higher Readings")
    assert "−0." in found.sentence


def test_independent_series_are_seldom_related():
    """Two series with memory and nothing in common: at most 7 % of two hundred towns."""
    towns = [asked(*tables(strength=0, seed=seed), draws=20) for seed in range(500, 700)]

    related = sum(town.finding == "related" for town in towns)
    named = sum(town.lead_lag is not None and town.lead_lag.best is not None for town in towns)

    assert related <= 14
    assert named <= 14


def test_below_significance_no_relation_is_shown():
    """It is not "no relation", and what would not show is said."""
    found = asked(*tables(strength=0, seed=3))

    assert "none_shown" == found.finding
    assert found.sentence.startswith("No relation shown between Observations and Readings")
    assert "is not excluded" in found.sentence
    assert "no lag passes the test" == found.why["lead_lag.best"]


def test_a_common_season_is_no_relation():
    """Both follow the year: as they are, they go together; beyond each month they do not."""
    chance = rng(5)
    times = pd.date_range("2022-01-01", periods=730, freq="D", tz="UTC")
    season = np.sin(2 * np.pi * np.arange(730) / 365)
    posts = chance.poisson(np.exp(1 + season))
    observations = pd.DataFrame({"time": np.repeat(times, posts)})
    readings = pd.DataFrame({"time": times, "value": season + 0.3 * chance.normal(size=730)})

    found = asked(observations, readings)

    assert found.level is not None
    assert found.anomalies is not None
    assert found.level.rho > 0.6
    assert abs(found.anomalies.rho) < 0.15
    assert "none_shown" == found.finding


@pytest.mark.parametrize("last", [0, 1, 12, 24])
def test_a_daily_round_alone_is_no_relation(last):
    """Both peak every morning, and only that: whole days are shifted, so it shows nothing."""
    chance = rng(7)
    hours = pd.date_range("2023-01-01", periods=2_400, freq="h", tz="UTC")
    peak = np.where(hours.hour == 8, 2.0, 0.0)
    observations = pd.DataFrame({"time": np.repeat(hours, chance.poisson(np.exp(peak - 1)))})
    readings = pd.DataFrame({"time": hours, "value": peak + 0.2 * chance.normal(size=2_400)})

    found = asked(observations, readings, every="1h", lags=range(last + 1))

    assert found.level is not None
    assert found.level.rho > 0.1
    assert "none_shown" == found.finding


@pytest.mark.parametrize("last", [0, 7])
@pytest.mark.parametrize("days", [200, 364])
def test_a_weekly_round_alone_is_no_relation(last, days):
    """Both have their Saturdays, and nothing else in common."""
    chance = rng(11)
    times = pd.date_range("2023-01-01", periods=days, freq="D", tz="UTC")
    peak = np.where(times.day_of_week == 5, 2.0, 0.0)
    observations = pd.DataFrame({"time": np.repeat(times, chance.poisson(np.exp(peak)))})
    readings = pd.DataFrame({"time": times, "value": peak + 0.3 * chance.normal(size=days)})

    found = asked(observations, readings, lags=range(last + 1))

    assert found.level is not None
    assert found.level.rho > 0.3
    assert "none_shown" == found.finding


def test_without_anomalies_values_as_they_are_decide():
    """What was not asked for is null, with the reason."""
    found = asked(*tables(), anomalies="none")

    assert found.anomalies is None
    assert "not asked for" == found.why["anomalies"]
    assert "related" == found.finding
    assert "season included" in found.sentence


def test_the_same_seed_gives_the_same_numbers():
    """Nothing depends on a global state, or on the order of rows."""
    observations, readings = tables()

    found = asked(observations, readings)
    again = asked(observations.sample(frac=1, random_state=1), readings.iloc[::-1])

    assert document(found) == document(again)


def test_an_answer_is_json():
    """An undefined number is null, never NaN; every part of the interface is there."""
    told = document(asked(*tables(), exceedance=1e6))

    written = json.loads(json.dumps(told, allow_nan=False))
    assert {"lag", "rho", "n_eff", "p", "by_lag"} <= set(written["level"])
    assert {"lag", "rho", "n"} == set(written["level"]["by_lag"][0])
    assert written["exceedance"] is None
    assert "nowhere do Readings lie on both sides of 1e+06" == written["why"]["exceedance"]
    assert 8 == len(written["anomalies"]["by_lag"])


@pytest.mark.parametrize(
    ("n", "rows", "says"),
    [
        (59, None, "59 days with Readings, 60 are needed"),
        (99, None, "99 days with Readings, 100 are needed where there are fewer than 5"),
        (200, 29, "29 Observations beside Readings, 30 are needed"),
    ],
)
def test_too_little_is_told_as_such(n, rows, says):
    """Below a minimum nothing is estimated, and the sentence says what is missing."""
    observations, readings = tables(n)
    if rows is not None:
        observations = observations.iloc[np.linspace(0, len(observations) - 1, rows).astype(int)]
    else:  # the last period has an Observation, so that all count
        observations = pd.concat([observations, readings[["time"]].iloc[[0, -1]]])

    found = asked(observations, readings)

    assert "too_little_data" == found.finding
    assert says in found.sentence
    assert found.level is None
    assert says in found.why["level"]


def test_five_zones_may_be_shorter_but_shifts_must_reach():
    """Sixty days in five Zones hold eight weeks, too few to shift by a month: p is no help."""
    parts = [tables(60, seed=seed) for seed in range(5)]
    observations = pd.concat([one.assign(zone=f"z{n}") for n, (one, _) in enumerate(parts)])
    readings = pd.concat([one.assign(zone=f"z{n}") for n, (_, one) in enumerate(parts)])

    found = asked(observations, readings)

    assert found.level is not None
    assert 5 == len(found.pairing.units)
    assert "too_little_data" == found.finding
    assert "circular shifts" in found.sentence


def test_zones_are_pooled_within_themselves():
    """A Zone that posts much and is dirty for good does not fake a relation in time."""
    parts = [tables(150, strength=0, seed=seed) for seed in range(20, 26)]
    observations = pd.concat(
        [pd.concat([one] * (1 + 3 * n)).assign(zone=f"z{n}") for n, (one, _) in enumerate(parts)]
    )
    readings = pd.concat(
        [one.assign(zone=f"z{n}", value=one["value"] + 50 * n) for n, (_, one) in enumerate(parts)]
    )

    found = asked(observations, readings, exceedance=100)

    assert found.level is not None
    assert abs(found.level.rho) < 0.2
    assert "none_shown" == found.finding


@pytest.mark.parametrize(
    ("observations", "readings"),
    [
        ({"time": []}, {"time": [], "value": []}),
        ({"time": ["2024-01-01"]}, {"time": ["2024-01-01"], "value": [1.0]}),
        ({"time": ["2024-01-01"] * 99}, {"time": ["2025-01-01"], "value": [1.0]}),
        ({"time": ["2024-01-01"] * 99}, {"time": ["2024-01-01"], "value": [math.nan]}),
        ({"time": [None] * 99}, {"time": [None], "value": [1.0]}),
    ],
)
def test_hardly_anything_is_too_little(observations, readings):
    """Empty, one row, never at the same time, all missing: a sentence, no number."""
    found = asked(pd.DataFrame(observations), pd.DataFrame(readings))

    assert "too_little_data" == found.finding
    assert json.dumps(document(found), allow_nan=False)


@pytest.mark.parametrize("value", [7.0, 0.0, 1e300, -1e300])
def test_a_constant_sensor_relates_to_nothing(value):
    """What does not vary has no correlation: undefined, with the reason."""
    observations, readings = tables()

    found = asked(observations, readings.assign(value=value))

    assert "too_little_data" == found.finding
    assert "at no lag do both Observations and Readings vary" == found.why["level"]


def test_huge_and_repeated_values_change_nothing():
    """Ranks are ranks; of two Readings at an instant the last counts."""
    observations, readings = tables()
    stale = readings.assign(value=rng(9).normal(size=len(readings)))

    plain = asked(observations, readings)
    huge = asked(observations, pd.concat([stale, readings.assign(value=readings["value"] * 1e300)]))

    assert plain.anomalies == huge.anomalies


def test_options_that_mean_nothing_are_refused():
    """One sentence each."""
    observations, readings = tables(30)

    with pytest.raises(PanelError, match="lags are 0 or more"):
        asked(observations, readings, lags=[-1])
    for wrong in ("p0", "p100", "much", "px", math.nan):
        with pytest.raises(PanelError, match="neither a value nor a percentile"):
            asked(observations, readings, exceedance=wrong)


# --- level


@pytest.mark.parametrize("lag", [0, 1, 5, -3])
def test_one_unit_gives_spearmans_coefficient(lag):
    """The same as anybody's, over the pairs that are there."""
    chance = rng(1)
    perceived = chance.poisson(2, size=100).astype(float)
    sensed = chance.normal(size=100)
    sensed[chance.random(100) < 0.1] = np.nan
    earlier = pd.Series(sensed).shift(lag)
    there = earlier.notna().to_numpy()

    rho, n = spearman(perceived[None], sensed[None], lag)

    assert pytest.approx(spearmanr(perceived[there], earlier[there]).statistic) == rho
    assert there.sum() == n


def test_all_shifts_at_once_are_each_shift_by_itself():
    """The Fourier transform gives what turning the Readings round one by one gives."""
    chance = rng(2)
    perceived = chance.normal(size=(2, 47))
    sensed = chance.normal(size=(2, 47))

    found = shifted(perceived, sensed)

    alone = [spearman(perceived, np.roll(sensed, shift, axis=1))[0] for shift in range(47)]
    assert pytest.approx(alone) == found


def test_missing_readings_take_no_part_in_a_shift():
    """With holes, ranks of the whole series are centred again over the pairs of each shift."""
    perceived = np.array([[3.0, 1.0, 2.0, 5.0, 4.0]])
    sensed = np.array([[10.0, np.nan, 30.0, 20.0, 40.0]])

    found = shifted(perceived, sensed)

    ranks = np.array([1.0, np.nan, 3.0, 2.0, 4.0])
    turned = np.roll(ranks, 2)
    there = ~np.isnan(turned)
    alone = np.corrcoef(perceived[0, there], turned[there])[0, 1]
    assert pytest.approx(alone) == found[2]


def test_effective_pairs_worked_by_hand():
    """A hundred pairs of memory 0.5 and 0.6: 100·0.7/1.3 = 53.8; never more than there are."""
    assert pytest.approx(100 * 0.7 / 1.3) == effective_pairs(100, 0.5, 0.6)
    assert 100 == effective_pairs(100, -0.5, 0.6)


def test_p_counts_shifts_of_thirty_periods_and_more():
    """Of 365 periods 306 shifts remain, so p is at least 1/307."""
    chance = rng(3)
    sensed = remembering(365, chance)[None]

    found = relation(sensed, sensed, lags=[0, 1])

    assert 306 == found.shifts
    assert 1 / 307 == found.p == found.p_min
    assert 0 == found.lag
    assert pytest.approx(1) == found.rho


def test_medians_of_months_are_taken_out_of_each_unit():
    """1, 2, 9 less 2; then 5, 7 less 6; missing stays missing."""
    values = np.array([[1.0, 2.0, 9.0, 5.0, 7.0], [np.nan, 4.0, 4.0, np.nan, np.nan]])

    found = without_months(values, np.array([1, 1, 1, 2, 2]))

    nan = np.nan
    np.testing.assert_array_equal([[-1, 0, 7, -1, 1], [nan, 0, 0, nan, nan]], found)


# --- event


def test_the_area_worked_by_hand():
    """1 and 3 against 0, 1, 2: four and a half of six pairs."""
    assert 0.75 == auc([1, 3], [0, 1, 2])
    with pytest.raises(NotEstimableError):
        auc([], [1])


def test_the_rate_ratio_worked_by_hand():
    """Three a period after exceedances, one and a half otherwise, a period later: two."""
    sensed = np.array([[60.0, 10.0, 60.0, 10.0, 10.0, 50.0]])
    perceived = np.array([[9.0, 4.0, 1.0, 2.0, 2.0, 1.5]])

    found = exceed(perceived, sensed, threshold=50, lag=1, rng=rng())

    assert (2, 3) == (found.exceeded, found.other)
    assert pytest.approx(3 / 1.5) == found.rate_ratio
    assert pytest.approx(auc([4, 2], [1, 2, 1.5])) == found.auc


def test_the_rate_ratio_is_taken_within_units():
    """Both Zones double; that the dirtier one posts tenfold does not count."""
    sensed = np.array([[1.0, 0, 0, 0], [1.0, 1, 1, 0]])
    perceived = np.array([[2.0, 1, 1, 1], [20.0, 20, 20, 10]])

    found = exceed(perceived, sensed, threshold=0.5, rng=rng())

    assert pytest.approx(2) == found.rate_ratio


def test_an_interval_that_cannot_be_drawn_is_undefined():
    """One exceedance in a hundred periods is in too few draws."""
    sensed = np.zeros((1, 100))
    sensed[0, 50] = 1
    perceived = np.ones((1, 100))

    found = exceed(perceived, sensed, threshold=0.5, rng=rng())

    assert 1 == found.rate_ratio
    assert math.isnan(found.low)
    assert "too little was posted" in found.why["low"]


def test_the_interval_usually_holds_the_true_ratio():
    """Episodes last, and still some 95 of 100 intervals hold the planted ratio of two."""
    held = 0
    for seed in range(100):
        chance = rng(seed)
        sensed = remembering(800, chance, 0.9)[None]
        base = np.exp(0.3 * remembering(800, chance, 0.9))
        perceived = chance.poisson(base * np.where(sensed > 1, 2, 1)).astype(float)
        found = exceed(perceived, sensed, threshold=1, draws=200, rng=chance)
        held += found.low <= 2 <= found.high

    assert 89 <= held


# --- class, concordance


def test_kappa_worked_by_hand():
    """Squares of 1 on average, 1.625 by chance: 1 − 1/1.625."""
    assert pytest.approx(1 - 1 / 1.625) == weighted_kappa([1, 2, 3, 3], [1, 2, 3, 1], [1, 2, 3])
    words = ["good", "fair", "poor"]
    assert 1 == weighted_kappa(words, words, words)


def test_kappa_needs_classes_that_differ():
    """Always the same class on both sides: there is nothing to agree on."""
    with pytest.raises(NotEstimableError, match="one class"):
        weighted_kappa([1, 1], [1, 1], [1, 2])
    with pytest.raises(NotEstimableError, match="no Observation"):
        weighted_kappa([], [], [1, 2])
    with pytest.raises(PanelError, match="none of 1, 2"):
        weighted_kappa([3], [1], [1, 2])


def test_concordance_worked_by_hand():
    """1, 2, 3 against 2, 3, 4: the same shape, one apart, so 4/7."""
    assert pytest.approx(4 / 7) == lin_ccc([1, 2, 3], [2, 3, 4])
    assert pytest.approx(1) == lin_ccc([1e300, 3e300], [1e300, 3e300])
    with pytest.raises(NotEstimableError):
        lin_ccc([1, 1], [1, 1])


def test_calibration_learns_the_curve_from_the_first_half():
    """Counts that rise with the square root of the Readings: calibrated, they are equal."""
    perceived = rng(4).integers(0, 6, size=(1, 200)).astype(float)

    found = concordance(perceived, perceived**2)

    assert (100, 100) == (found.trained, found.tested)
    assert pytest.approx(1) == found.ccc
    with pytest.raises(NotEstimableError, match="29 pairs, 30 are needed"):
        concordance(perceived[:, :59], perceived[:, :59])


# --- change


def test_a_quadrant_is_named_from_eighty_per_cent_on():
    """Four of five draws are enough, three of four are not; higher may be the better."""
    sure = quadrants([-1, -1, -1, -1, 1], [-2, -2, -2, -2, -2])
    unsure = quadrants([-1, -1, -1, 1], [-2, -2, -2, -2])
    higher = quadrants([1.0], [1.0], better="more")

    assert ("improved_felt", 0.8) == (sure.named, sure.probabilities["improved_felt"])
    assert "undecided" == unsure.named
    assert "improved_not_felt" == higher.named
    assert pytest.approx(1) == sum(sure.probabilities.values())


@given(arrays(float, (2, 9), elements=st.floats(-5, 5)))
def test_quadrants_share_all_draws(draws):
    """Each draw lies in one quadrant."""
    found = quadrants(draws[0], draws[1])

    assert pytest.approx(1) == sum(found.probabilities.values())


def test_an_improvement_that_nobody_feels():
    """The air becomes better, and as much is posted as before, or a little more."""
    chance = rng(6)
    after = np.arange(400) >= 200
    sensed = 20 + remembering(400, chance)[None] - 4 * after
    perceived = chance.poisson(2 + 0.6 * after, size=(1, 400)).astype(float)

    found = change(perceived, sensed, after, rng=rng())

    assert "improved_not_felt" == found.named


def test_a_unit_that_joins_later_is_no_change():
    """A dirty Place measured only after fakes none; where none was before, none is told."""
    chance = rng(8)
    after = np.arange(200) >= 100
    sensed = np.stack([chance.normal(size=200) - 3 * after, np.where(after, 90.0, np.nan)])
    perceived = np.stack([chance.poisson(3, 200) * 1.0 - 1.0 * after, np.full(200, 50.0)])

    found = change(perceived, sensed, after, rng=rng())

    assert "improved_felt" == found.named
    with pytest.raises(NotEstimableError, match="no unit has 30 periods"):
        change(perceived[1:], sensed[1:], after, rng=rng())


# --- lead and lag


def test_prewhitening_takes_out_what_a_series_tells_of_itself():
    """What remains of memory 0.8 remembers nothing, and missing stays missing."""
    series = remembering(600, rng(1), 0.8)
    series[100] = np.nan

    found = prewhitened(series)

    rest, before = found[300:], found[299:-1]
    assert abs(np.corrcoef(rest, before)[0, 1]) < 0.1
    assert np.isnan(found[100:102]).all()
    assert not np.isnan(found[110:]).any()


def test_citizens_may_be_first():
    """Posts three periods before the sensor shows it: a negative lag."""
    sensed = remembering(400, rng(2))
    perceived = np.roll(sensed, -3) + 0.3 * rng(3).normal(size=400)

    found = lead_lag(perceived[None], sensed[None], reach=7)

    assert (-3, "observations_first") == (found.best, found.direction)


def test_holes_may_leave_too_few_pairs():
    """Every third Reading missing leaves no residual of an order above one."""
    sensed = np.cumsum(rng(4).normal(size=150))
    sensed[::2] = np.nan

    with pytest.raises(NotEstimableError, match="remain after prewhitening"):
        lead_lag(rng(5).normal(size=(1, 150)), sensed[None], reach=3)
