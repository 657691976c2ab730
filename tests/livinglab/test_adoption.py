"""Adoption, held against numbers that were published or worked by hand."""

import doctest
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from livinglab.errors import PanelError
from livinglab.impact import adoption
from livinglab.impact.adoption import (
    bass,
    concentration,
    fidelity,
    growth,
    maintenance,
    nonresponse_bounds,
    participation_ratios,
    poisson_interval,
    rate_per_thousand,
    rate_ratio,
    reach,
    representativeness,
    response_equity,
    retention,
    return_at_next_need,
    site_adoption,
    support,
    support_change,
    weighted_support,
    wilson,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_the_examples_of_the_module_are_true():
    """As they stand in its docstrings."""
    assert 0 == doctest.testmod(adoption).failed


@given(n=st.integers(1, 500), share=st.floats(0, 1))
def test_wilson_is_wilson(n, share):
    """As statsmodels has it, for any share."""
    hits = round(n * share)

    assert proportion_confint(hits, n, method="wilson") == pytest.approx(wilson(hits, n), abs=1e-12)


def test_reach_counts_paper_and_helpers_too():
    """40 by themselves and 10 on paper of 200 are a quarter: 0.195 to 0.314."""
    found = reach(40, 200, batches=10)

    assert (0.25, 50) == (found.value, found.n)
    assert (0.195, 0.314) == (round(found.low, 3), round(found.high, 3))


def test_what_few_people_stand_behind_is_not_told():
    """None with the reason, never 0."""
    found = reach(9, 200)

    assert (None, True, "10 distinct people are needed") == (
        found.value,
        found.suppressed,
        found.reason,
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda: reach(300, 200),
        lambda: reach(-1, 200),
        lambda: reach(1.5, 200),
        lambda: site_adoption(9, 8),
        lambda: return_at_next_need(5, 6),
        lambda: participation_ratios({"x": 20}, {"y": 10}),
        lambda: fidelity(1, 0, logged_days=10, days=10),
        lambda: nonresponse_bounds(0.5, 0),
        lambda: rate_per_thousand(20, 0, contributors=20),
        lambda: growth([0] * 10),
        lambda: retention(pd.DataFrame({"who": [1]}), weeks=1, now=1),
    ],
)
def test_what_cannot_be_is_refused(ask):
    """More active than eligible, half a person, nobody eligible."""
    with pytest.raises(PanelError):
        ask()


def test_who_takes_part_more_than_their_share():
    """30 of 80 where they are half of all: 0.75, and se² = 1/30 − 1/80."""
    found = participation_ratios(
        {"old": 30, "young": 50, "few": 0}, {"old": 5, "young": 5, "few": 0}
    )
    half = math.exp(1.959964 * math.sqrt(1 / 30 - 1 / 80))

    assert 0.75 == pytest.approx(found["old"].value)
    assert (0.75 / half, 0.75 * half) == pytest.approx((found["old"].low, found["old"].high))
    assert found["few"].suppressed


def test_resemblance():
    """60 and 40 where half and half are eligible: one tenth is in the wrong place."""
    found = representativeness({"a": 60, "b": 40}, {"a": 1, "b": 1}, rng=rng())
    few = representativeness({"a": 30, "b": 10}, {"a": 1, "b": 1}, rng=rng())
    unknown = representativeness({"a": 60, "b": 40}, {"a": 1, "b": 1}, unknown=60, rng=rng())

    assert 0.9 == pytest.approx(found.value)
    assert found.low < 0.9 < found.high
    assert "50 people" in few.reason
    assert "62%" in unknown.reason


def test_settings_and_dose():
    """Six of eight schools; nine of ten days were logged."""
    assert 0.75 == site_adoption(6, 8).value
    assert site_adoption(3, 4).suppressed
    assert 0.8 == fidelity(40, 50, logged_days=27, days=30).value
    assert fidelity(40, 50, logged_days=20, days=30).suppressed


def test_who_stays():
    """Kaplan and Meier by hand: of 20, 2 stop on day 10, 3 are lost on day 50, 3 stop on day 100.

    S = 18/20 · 12/15 = 0.72; Greenwood's sum 2/(20·18) + 3/(15·12) = 0.022222.
    """
    days = [10] * 2 + [50] * 3 + [100] * 3 + [200] * 12
    stopped = [True] * 2 + [False] * 3 + [True] * 3 + [False] * 12
    found = maintenance(days, stopped)

    error = math.sqrt(2 / 360 + 3 / 180) / abs(math.log(0.72))
    assert 0.72 == pytest.approx(found.value)
    assert (0.72 ** math.exp(1.959964 * error), 0.72 ** math.exp(-1.959964 * error)) == (
        pytest.approx((found.low, found.high))
    )
    assert maintenance(days[:10], stopped[:10]).suppressed
    assert "nobody has been seen" in maintenance([100] * 30, [False] * 30).reason


def test_growth_is_found():
    """A tenth more each period, with noise."""
    counts = np.random.default_rng(2).poisson(20 * np.exp(0.1 * np.arange(20)))
    found = growth(counts)

    assert found.low < 0.1 < found.high
    assert 0.1 == pytest.approx(found.value, abs=0.02)
    assert growth(counts[:5]).suppressed


def test_a_market_is_told_only_after_its_peak():
    """Planted p = .03, q = .4 and a market of 5,000: found once past the peak, else refused."""
    time = np.arange(0, 26.0)
    gone = np.exp(-0.43 * time)
    whole = np.diff(5_000 * (1 - gone) / (1 + 0.4 / 0.03 * gone))
    found = bass(whole, rng=rng())
    early = bass(whole[:5], rng=rng())
    rising = bass(20 * 1.4 ** np.arange(14), rng=rng())

    assert 5_000 == pytest.approx(found.market.value, rel=0.02)
    assert (0.03, 0.4) == pytest.approx((found.innovation.value, found.imitation.value), rel=0.05)
    assert math.log(0.4 / 0.03) / 0.43 == pytest.approx(found.peak.value, rel=0.02)
    assert early.market.suppressed
    assert "not identifiable" in rising.reason


def test_support_and_its_balance():
    """Newcombe's own example of one sample, 56 of 70 against 48 of 80, for the change."""
    found = support_change((48, 32), (56, 14))

    assert 0.2 == pytest.approx(found.value)
    assert (0.0524, 0.3339) == (round(found.low, 4), round(found.high, 4))
    balance = support(60, 20, 20)
    assert balance.net.low < 0.4 < balance.net.high
    assert support(10, 10).share.suppressed


def voices(old: int, young: int, *, old_for: float = 0.5, young_for: float = 1.0) -> pd.DataFrame:
    rows = [("old", n < old * old_for) for n in range(old)]
    rows += [("young", n < young * young_for) for n in range(young)]
    return pd.DataFrame(rows, columns=["age", "positive"])


def test_support_as_if_all_had_spoken():
    """20 old of whom half are for it, 80 young who all are: with half old it is three quarters."""
    found = weighted_support(voices(20, 80), {"age": {"old": 0.5, "young": 0.5}})

    # Weights 2.5 and 0.625: n_eff = 100²/(20·6.25 + 80·0.390625) = 64.
    assert 0.75 == pytest.approx(found.value)
    assert 64 == found.n
    # Two old of a hundred weigh five times a young one and no more: (2·½·5 + 98)/(2·5 + 98).
    cut = weighted_support(voices(2, 98), {"age": {"old": 0.5, "young": 0.5}})
    assert 103 / 108 == pytest.approx(cut.value)
    with pytest.raises(PanelError, match="no share"):
        weighted_support(voices(20, 80), {"age": {"old": 1.0}})
    with pytest.raises(PanelError, match="no column"):
        weighted_support(voices(20, 80), {"income": {"low": 1.0}})


def test_few_voices_that_are_many():
    """One of a hundred people posted half of all: flagged, with the Gini of that."""
    found = concentration([99] + [1] * 99)
    even = concentration([3] * 50, per_period=[10] * 15)
    burst = concentration([3] * 50, per_period=[1] * 14 + [136])

    assert (0.5, True, 100) == (found.top_share, found.flagged, found.n)
    # Sorted, 2·(1·1 + … + 99·1 + 100·99)/(100·198) − 101/100.
    assert 2 * (4_950 + 9_900) / 19_800 - 1.01 == pytest.approx(found.gini)
    assert (0.0, False) == (even.gini, even.flagged)
    assert even.burst_p > 0.9
    assert burst.burst_p < 0.001
    assert concentration([5] * 9).suppressed


def test_cohorts_show_what_is_over_only():
    """Six begin in week 0, of whom three are back in week 1; week 2 is not over."""
    rows = [(f"c{n}", 0) for n in range(6)] + [(f"c{n}", 1) for n in range(3)]
    rows += [("late", 1), ("c0", 2)]
    table = retention(pd.DataFrame(rows, columns=["contributor", "week"]), weeks=2, now=2)

    assert [1.0, 0.5] == table.loc[0, [0, 1]].tolist()
    assert math.isnan(table.loc[0, 2])
    assert math.isnan(table.loc[1, 0])


def test_who_comes_back_when_there_is_a_reason():
    """Of 40 with another Incident near, 10 posted again."""
    assert 0.25 == return_at_next_need(40, 10).value


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (20, 12.217, 30.888)]
)
def test_the_exact_interval_of_a_count(count, low, high):
    """Garwood's table."""
    assert (low, high) == tuple(
        round(one, len(str(edge).split(".")[1]))
        for one, edge in zip(poisson_interval(count), (low, high), strict=True)
    )


def test_rates_of_towns_and_districts():
    """30 in 20,000 against 120 in 40,000: half the rate, with se² = 1/30 + 1/120."""
    found = rate_ratio((30, 20_000), (120, 40_000), contributors=20)
    half = math.exp(1.959964 * math.sqrt(1 / 30 + 1 / 120))

    assert 0.5 == pytest.approx(found.value)
    assert (0.5 / half, 0.5 * half) == pytest.approx((found.low, found.high))
    assert rate_ratio((30, 1), (1, 1), contributors=3).suppressed
    assert rate_ratio((0, 1), (9, 1), contributors=30).suppressed


def test_who_waits_longest():
    """Eight Zones: the slowest quarter waits five times as long as the fastest."""
    hours = {str(zone): [zone + 1.0] * 5 for zone in range(8)}
    found = response_equity(hours)

    assert (7.5 / 1.5, 8) == (found.value, found.n)
    assert response_equity({"a": [1.0] * 5}).suppressed
