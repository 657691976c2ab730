"""Under-reporting: planted rates come back, worked numbers hold, silence is not none."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, gamma, nbinom, poisson

from livinglab.errors import NotEstimableError, PanelError
from livinglab.impact.results import Floats, plain
from livinglab.impact.underreporting import (
    AgainstSensor,
    Reporting,
    ZoneReporting,
    against_sensors,
    reporting,
    reporting_by,
    windows,
)


def known(one: float | None) -> float:
    """A number that must be told."""
    assert one is not None
    return one


def zone(key: str, incidents: int, duplicates: int, days: float) -> pd.DataFrame:
    """Incidents of one Zone, the duplicates spread evenly over them."""
    each = np.arange(incidents)
    counts = (each + 1) * duplicates // incidents - each * duplicates // incidents
    return pd.DataFrame({"zone": key, "duplicates": counts, "days": days / incidents})


def town(
    rates: Sequence[float] | Floats,
    incidents: Sequence[int],
    chance: np.random.Generator,
    unequal: float = 0.0,
) -> pd.DataFrame:
    """Zones with planted rates; *unequal* is the variance of how noticeable an Incident is."""
    parts = []
    for number, (rate, n) in enumerate(zip(rates, incidents, strict=True)):
        days = chance.uniform(2, 30, n)
        notice = chance.gamma(1 / unequal, unequal, n) if unequal else np.ones(n)
        duplicates = chance.poisson(rate * notice * days)
        part = {"zone": f"zone-{number:02}", "duplicates": duplicates, "days": days}
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def only(found: Reporting) -> ZoneReporting:
    [one] = found.zones
    return one


# --- worked by hand


def test_a_zone_with_enough_data_worked_by_hand():
    """40 Incidents, 20 duplicates in 400 days: 0.05 a day, and 40/(1 − 1/e) in 20 days of life."""
    found = only(reporting(zone("norte", 40, 20, 400), life=20))

    assert "own" == found.method
    assert pytest.approx([0.05, 20]) == [found.rate.estimate, found.delay.estimate]
    assert pytest.approx([12.2165 / 400, 30.8884 / 400], rel=1e-5) == [
        found.rate.low,
        found.rate.high,
    ], "Garwood's table for 20 events"
    assert 40 / (1 - 1 / math.e) == pytest.approx(found.corrected.estimate)


def test_the_exact_interval_is_where_chance_ends():
    """At its bounds, 20 or more and 20 or fewer duplicates have a chance of 2.5 % each."""
    rate = only(reporting(zone("norte", 40, 20, 400), life=20)).rate

    assert 0.025 == pytest.approx(poisson.sf(19, known(rate.low) * 400))
    assert 0.025 == pytest.approx(poisson.cdf(20, known(rate.high) * 400))


def test_bounds_are_carried_through_and_change_sides():
    """The fastest pace gives the shortest delay and the fewest Incidents."""
    found = only(reporting(zone("norte", 40, 20, 400), life=20))

    low, high = known(found.rate.low), known(found.rate.high)
    assert pytest.approx([1 / high, 1 / low]) == [found.delay.low, found.delay.high]
    assert pytest.approx([40 / (1 - math.exp(-20 * rate)) for rate in (high, low)]) == [
        found.corrected.low,
        found.corrected.high,
    ]


def test_a_zone_with_few_data_borrows_worked_by_hand():
    """(a + ΣM)/(b + ΣT), with the prior that is told."""
    zones = [zone(f"zone-{i}", 40, 20 * i, 400) for i in range(1, 6)]

    found = reporting(pd.concat([*zones, zone("small", 5, 2, 50)]), life=20)

    prior, small = found.prior, found.zones[0]
    assert prior is not None
    assert ("small", "pooled", 6) == (small.zone, small.method, prior.zones)
    assert (prior.shape + 2) / (prior.days + 50) == pytest.approx(small.rate.estimate)
    assert 2 / 50 < known(small.rate.estimate) < prior.shape / prior.days


def test_the_prior_is_the_likeliest():
    """No other gamma makes the Zones' duplicates, then negative binomial, likelier."""
    counts, days = np.array([3, 30, 12, 60, 18, 41]), np.array([90.0, 300, 250, 400, 600, 350])
    zones = [
        zone(f"zone-{i}", 40, count, time)
        for i, (count, time) in enumerate(zip(counts, days, strict=True))
    ]

    prior = reporting(pd.concat(zones), life=20).prior

    def likelihood(shape: float, time: float) -> float:
        return float(nbinom.logpmf(counts, shape, time / (time + days)).sum())

    assert prior is not None
    best = likelihood(prior.shape, prior.days)
    others = [
        likelihood(prior.shape * a, prior.days * b)
        for a in (0.97, 1, 1.03)
        for b in (0.97, 1, 1.03)
    ]
    assert best >= max(others) - 1e-9


def test_one_prior_alone_would_be_too_sure():
    """The interval reckons with other priors, and is wider than that of the likeliest."""
    chance = np.random.default_rng(1)
    found = reporting(town([0.02] * 6, [60] * 5 + [8], chance), life=20)

    small, prior = found.zones[-1], found.prior
    assert prior is not None
    shape, scale = prior.shape + small.duplicates, 1 / (prior.days + small.days)
    low, high = gamma.ppf([0.025, 0.975], shape, scale=scale)
    assert known(small.rate.low) < low < high < known(small.rate.high)


# --- what may not be told


def test_what_was_never_posted_is_not_told_as_zero():
    """A silent Zone is named; neither its rate nor its Incidents are 0."""
    found = reporting(zone("norte", 40, 20, 400), life=20, zones=["norte", "sur"])

    silent = found.zones[1]
    assert ("sur", 0, "none") == (silent.zone, silent.incidents, silent.method)
    assert {None} == {silent.rate.estimate, silent.delay.estimate, silent.corrected.estimate}
    assert "no Incident was posted" in silent.rate.why
    assert silent.rate.why == silent.corrected.why


@pytest.mark.parametrize(("incidents", "duplicates"), [(29, 20), (40, 9), (40, 0)])
def test_few_data_and_nobody_to_borrow_from(incidents, duplicates):
    """Below 30 Incidents or 10 duplicates one Zone alone tells nothing, and why is said."""
    found = reporting(zone("norte", incidents, duplicates, 400), life=20)

    assert found.prior is None
    assert "1 of 5" in found.why
    assert "none" == only(found).method
    assert f"(Incidents: {incidents}, duplicates: {duplicates})" in only(found).rate.why


def test_without_duplicates_nobody_can_lend():
    """Six Zones whose Incidents were posted once each: merged duplicates look like this."""
    found = reporting(pd.concat([zone(f"zone-{i}", 40, 0, 400) for i in range(6)]), life=20)

    assert "too few duplicates to borrow from: worth 0.0 of 10" == found.why
    assert {"none"} == {one.method for one in found.zones}


def test_a_pace_too_slow_is_not_scaled_up():
    """If fewer than one in a hundred is posted within its life, no number of them is told."""
    found = only(reporting(zone("norte", 40, 20, 400), life=0.1))

    assert found.rate.estimate is not None
    assert (None, None) == (found.corrected.estimate, found.corrected.high)
    assert "fewer than 1%" in found.corrected.why


def test_an_upper_bound_may_be_missing():
    """The slowest pace that is not excluded may be too slow, although the estimate is not."""
    found = only(reporting(zone("norte", 40, 20, 400), life=0.25))

    assert found.corrected.estimate is not None
    assert found.corrected.high is None
    assert found.corrected.why.startswith("no upper bound")


def test_incidents_that_ended_at_once_tell_nothing():
    """Time in which nobody could post again is no evidence of silence."""
    found = only(reporting(zone("norte", 3, 0, 0), life=20))

    assert "none" == found.method
    assert "no Incident stood for any time" in found.rate.why


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"duplicates": [1, -1]}, "duplicates is '-1'"),
        ({"duplicates": [1, 0.5]}, "a part of one is none"),
        ({"days": [1, math.nan]}, "days is 'nan'"),
        ({"days": [1, math.inf]}, "days is 'inf'"),
        ({"days": [1, "ten"]}, "days is 'ten'"),
        ({"zone": ["a", None]}, "has no zone"),
    ],
)
def test_impossible_incidents_are_refused(change, reason):
    """One sentence says which column holds what."""
    frame = pd.DataFrame({"zone": ["a", "b"], "duplicates": [1, 2], "days": [1.0, 2.0]} | change)

    with pytest.raises(PanelError, match=reason):
        reporting(frame, life=20)


def test_a_missing_column_and_meaningless_options_are_refused():
    """Each with one sentence."""
    frame = zone("norte", 40, 20, 400)

    with pytest.raises(PanelError, match="the column days is missing"):
        reporting(frame.drop(columns="days"), life=20)
    with pytest.raises(PanelError, match="a life"):
        reporting(frame, life=math.nan)
    with pytest.raises(PanelError, match="between 0 and 1"):
        reporting(frame, life=20, level=95)


def test_no_incident_at_all_is_an_answer():
    """An empty table names its Zones, and that nothing is known of them."""
    empty = pd.DataFrame({"zone": [], "duplicates": [], "days": []})

    found = reporting(empty, life=20, zones=["norte"])

    assert "no Incident was posted" in only(found).rate.why


# --- laws

parts = st.tuples(st.integers(1, 60), st.integers(0, 80), st.floats(0.5, 2000))


@given(st.lists(parts, min_size=1, max_size=9))
@settings(deadline=None, max_examples=20)
def test_intervals_hold_their_estimates(given_zones):
    """Whatever the numbers, estimates lie within their bounds, and corrected counts add."""
    zones = [zone(f"zone-{i}", *one) for i, one in enumerate(given_zones)]

    found = reporting(pd.concat(zones), life=20)

    for one in found.zones:
        for told in (one.rate, one.delay, one.corrected):
            if told.estimate is not None:
                high = math.inf if told.high is None else told.high
                assert known(told.low) * (1 - 1e-6) <= told.estimate <= high * (1 + 1e-6)
        assert (one.corrected.estimate or math.inf) >= one.incidents


@pytest.mark.parametrize("unit", [1 / 365, 24.0])
def test_the_unit_of_time_does_not_matter(unit):
    """In years or in hours, rates scale and corrected counts stay."""
    frame = town(
        [0.02, 0.05, 0.03, 0.04, 0.1, 0.02], [50, 80, 5, 12, 40, 9], np.random.default_rng(2)
    )

    one, other = (
        reporting(frame, life=20),
        reporting(frame.assign(days=frame["days"] * unit), life=20 * unit),
    )

    for left, right in zip(one.zones, other.zones, strict=True):
        assert left.method == right.method
        for name in ("estimate", "low", "high"):
            assert getattr(left.corrected, name) == pytest.approx(
                getattr(right.corrected, name), rel=1e-3
            )


# --- unequal Incidents


def test_unequal_incidents_widen_the_interval():
    """Where some Incidents are noticed by all and others by none, duplicates tell less."""
    chance = np.random.default_rng(3)
    even = reporting(town([0.05], [150], chance), life=20)
    uneven = reporting(town([0.05], [150], chance, unequal=2.0), life=20)

    assert 1 == even.dispersion
    assert uneven.dispersion > 2
    one = only(uneven)
    assert one.duplicates / one.days == pytest.approx(one.rate.estimate), "the estimate stays"
    low, high = known(one.rate.low), known(one.rate.high)
    exact = poisson.sf(one.duplicates - 1, low * one.days)
    assert exact < 0.01, "chance of so many at the lower bound, were Incidents alike"
    assert high > low


def test_duplicates_of_a_few_incidents_lend_little():
    """A thousand duplicates of one Incident in hundreds are worth too few to borrow from."""
    frame = pd.concat([zone(f"zone-{i}", 20, 1, 400) for i in range(6)], ignore_index=True)
    frame.loc[0, "duplicates"] = 1_000

    found = reporting(frame, life=20)

    assert found.dispersion > 100
    assert found.prior is None
    assert "worth" in found.why


# --- simulated towns know the truth


@pytest.mark.parametrize("unequal", [0.0, 1.0])
def test_planted_rates_are_recovered(unequal):
    """Of the planted rates of 20 towns, at least 90 in 100 lie in their intervals, by each way."""
    chance = np.random.default_rng(4)
    held: dict[str, list[bool]] = {"own": [], "pooled": []}
    for _ in range(20):
        rates = 0.03 * chance.gamma(4, 1 / 4, 8)
        found = reporting(town(rates, [5, 8, 15, 25, 60, 90, 120, 200], chance, unequal), life=20)
        for one, rate in zip(found.zones, rates, strict=True):
            held[one.method].append(known(one.rate.low) <= rate <= known(one.rate.high))

    assert min(map(len, held.values())) > 60
    assert set() == {way for way, each in held.items() if np.mean(each) < 0.90}


def test_threefold_under_reporting_is_corrected():
    """Of two Zones with as many Incidents, one posts a third as readily: raw counts mislead."""
    chance = np.random.default_rng(5)
    life, rates, true = 20.0, np.array([0.06, 0.02]), 400
    seen = [int(chance.binomial(true, 1 - math.exp(-rate * life))) for rate in rates]

    quick, slow = reporting(town(rates, seen, chance), life=life).zones

    assert slow.incidents < 0.55 * quick.incidents
    for one in (quick, slow):
        assert known(one.corrected.low) < true < known(one.corrected.high)


# --- windows

NOON = pd.Timestamp("2025-03-01T12:00Z")


def posted(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """Observations: incident, contributor, days after noon."""
    return pd.DataFrame(
        [
            {
                "incident": i,
                "zone": f"of-{who}",
                "contributor": who,
                "time": NOON + pd.Timedelta(d, "D"),
            }
            for i, who, d in rows
        ]
    )


def counted(frame: pd.DataFrame, closed: dict[str, Any] | None = None, **more: Any) -> pd.DataFrame:
    until = NOON + pd.Timedelta(60, "D")
    return windows(frame, closed or {}, until=until, **more).set_index("incident")


def test_others_are_counted_once_each_until_the_end():
    """The first again, an other again, somebody unknown, and who came too late do not count."""
    frame = posted(
        ("hole", "ana", 0),
        ("hole", "ana", 1),
        ("hole", "ben", 2),
        ("hole", "ben", 3),
        ("hole", None, 4),
        ("hole", "cem", 5),
        ("hole", "dua", 10),
        (None, "eva", 1),
    )

    found = counted(frame, {"hole": NOON + pd.Timedelta(10, "D")})

    assert [(2, 10.0, "of-ana")] == list(
        found[["duplicates", "days", "zone"]].itertuples(index=False, name=None)
    )


@pytest.mark.parametrize(
    ("cap", "days", "duplicates"), [(30, 30.0, 1), (50, 50.0, 2), (100, 60.0, 2)]
)
def test_the_watch_ends_at_the_cap_or_where_data_end(cap, days, duplicates):
    """What still stands is watched to its cap, and not past what is known."""
    frame = posted(
        ("hole", "ana", 0), ("hole", "ben", 29), ("hole", "cem", 31), ("hole", "dua", 70)
    )

    found = counted(frame, cap=cap)

    assert (days, duplicates) == (found.loc["hole", "days"], found.loc["hole", "duplicates"])


def test_the_order_of_rows_does_not_matter():
    """The first Observation is the earliest, wherever it stands."""
    frame = posted(("hole", "ben", 2), ("lamp", "eva", 1), ("hole", "ana", 0), ("hole", "ben", 5))

    pd.testing.assert_frame_equal(counted(frame), counted(frame[::-1]))
    assert "of-ana" == counted(frame).loc["hole", "zone"]


def test_nothing_posted_is_nothing_watched():
    """Without Observations there is an empty table that can still be asked."""
    found = counted(posted(("hole", "ana", 99)))

    assert found.empty
    assert () == reporting(found, life=20).zones


def test_some_incidents_close_and_others_stand():
    """Each has its own end."""
    frame = posted(("hole", "ana", 0), ("lamp", "ben", 0))

    found = counted(frame, {"lamp": "2025-03-03T12:00Z", "gone": "2025-03-03T12:00Z"})

    assert {"hole": 60.0, "lamp": 2.0} == found["days"].to_dict()


def test_windows_are_what_reporting_takes():
    """From Observations to rates without a step between."""
    rows = [(f"i{k}", who, d) for k in range(40) for who, d in (("ana", 0.0), (f"c{k}", 1.0))]

    found = reporting(counted(posted(*rows)).assign(zone="norte"), life=20)

    assert 40 / (40 * 60) == pytest.approx(only(found).rate.estimate)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda: counted(posted(("hole", "ana", 0)), cap=200), "between 30 and 100 days"),
        (
            lambda: counted(posted(("hole", "ana", 0)), {"hole": "2025-02-01T00:00Z"}),
            "was over before",
        ),
        (lambda: counted(posted(("hole", "ana", 0)).assign(time="soon")), "time is no time"),
        (lambda: counted(posted(("hole", "ana", 0)).assign(time=None)), "a time is empty"),
        (lambda: counted(posted(("hole", "ana", 0)).drop(columns="zone")), "zone is missing"),
    ],
)
def test_impossible_observations_are_refused(act: Callable[[], object], reason: str):
    """One sentence each."""
    with pytest.raises(PanelError, match=reason):
        act()


# --- covariates


def described(
    zones: int, chance: np.random.Generator, *, unequal: float = 0.0, each: int = 30
) -> pd.DataFrame:
    """Incidents posted twice as readily where they are severe, half as where income is low."""
    zone_of = np.repeat(np.arange(zones), each)
    poor = (zone_of % 2).astype(float)
    severe = chance.integers(0, 2, len(zone_of)).astype(float)
    own = chance.gamma(25, 1 / 25, zones)[zone_of]
    notice = chance.gamma(1 / unequal, unequal, len(zone_of)) if unequal else 1.0
    days = chance.uniform(5, 60, len(zone_of))
    rates = 0.03 * own * notice * np.exp(math.log(2) * severe - math.log(2) * poor)
    return pd.DataFrame(
        {
            "zone": [f"z{i}" for i in zone_of],
            "duplicates": chance.poisson(rates * days),
            "days": days,
            "severe": severe,
            "poor": poor,
            "kind": np.where(severe > 0, "wall", "lamp"),
        }
    )


def test_between_zones_it_is_the_clustered_glm():
    """Ratios, and errors clustered by Zone, agree with statsmodels' GLM."""
    frame = described(24, np.random.default_rng(6)).sort_values("days")

    found = reporting_by(frame, ["severe", "poor"])

    oracle = sm.GLM(
        frame["duplicates"],
        sm.add_constant(frame[["severe", "poor"]]),
        family=sm.families.Poisson(),
        offset=np.log(frame["days"]),
    ).fit(
        cov_type="cluster",
        cov_kwds={"groups": frame["zone"].astype("category").cat.codes},
        use_t=True,
    )
    assert ("poisson", "between", 24) == (found.family, found.compared, found.zones)
    for one in found.ratios:
        low, high = np.exp(oracle.conf_int().loc[one.covariate])
        assert math.exp(oracle.params[one.covariate]) == pytest.approx(one.ratio, rel=1e-5)
        assert [low, high] == pytest.approx([one.low, one.high], rel=1e-2)


def test_within_few_zones_each_has_its_own_pace():
    """Six Zones: severe Incidents are compared with others of the same Zone, as by dummies."""
    frame = described(6, np.random.default_rng(7), each=60)

    found = reporting_by(frame, ["severe"])

    oracle = sm.GLM(
        frame["duplicates"],
        pd.get_dummies(frame[["severe", "zone"]], columns=["zone"], dtype=float),
        family=sm.families.Poisson(),
        offset=np.log(frame["days"]),
    ).fit()
    [one] = found.ratios
    assert ("poisson", "within", 6) == (found.family, found.compared, found.zones)
    assert math.exp(oracle.params["severe"]) == pytest.approx(one.ratio, rel=1e-5)
    assert list(np.exp(oracle.conf_int().loc["severe"])) == pytest.approx(
        [one.low, one.high], rel=1e-4
    )
    assert one.low < 2 < one.high


def test_unequal_incidents_are_negative_binomial():
    """Where counts vary more than Poisson's, the family says so, and the truth is still held."""
    found = reporting_by(described(30, np.random.default_rng(8), unequal=1.0), ["severe", "poor"])

    severe, poor = found.ratios
    assert "negative_binomial" == found.family
    assert severe.low < 2 < severe.high
    assert poor.low < 0.5 < poor.high


def test_extremely_unequal_incidents_still_have_an_answer():
    """Counts with variances of hundreds of means: the fit ends, and tells how little it knows."""
    found = reporting_by(described(25, np.random.default_rng(11), unequal=12.0), ["severe"])

    [severe] = found.ratios
    assert "negative_binomial" == found.family
    assert severe.high / severe.low > 2


def test_words_are_compared_with_the_first():
    """A column of words has one ratio per word but the first."""
    frame = described(6, np.random.default_rng(7), each=60)

    [by_word], [by_number] = (reporting_by(frame, [name]).ratios for name in ("kind", "severe"))

    assert "kind=wall" == by_word.covariate
    assert by_number.ratio == pytest.approx(by_word.ratio)


def test_the_unit_of_a_covariate_only_scales_its_logarithm():
    """Income in euros or in thousands of them: the same p."""
    frame = described(24, np.random.default_rng(9))
    frame["euros"] = 20_000 - 5_000 * frame["poor"]

    [poor], [euros] = (reporting_by(frame, [name]).ratios for name in ("poor", "euros"))

    assert math.log(poor.ratio) == pytest.approx(-5_000 * math.log(euros.ratio))
    assert poor.p == pytest.approx(euros.p)


def test_covariate_intervals_usually_hold_the_truth():
    """Of 40 towns with Zones of their own pace, at least 36 intervals hold each planted ratio."""
    chance = np.random.default_rng(10)
    found = [
        reporting_by(described(24, chance, each=15), ["severe", "poor"]).ratios for _ in range(40)
    ]

    assert sum(severe.low <= 2 <= severe.high for severe, _ in found) >= 36
    assert sum(poor.low <= 0.5 <= poor.high for _, poor in found) >= 36


SOME = described(6, np.random.default_rng(7), each=60)


@pytest.mark.parametrize(
    ("frame", "covariates", "reason"),
    [
        (SOME, ["poor"], "poor differs between Zones only: that takes 20 Zones, and 6"),
        (SOME.assign(same=1), ["same"], "same is the same in all"),
        (SOME.assign(kind="lamp"), ["kind"], "no covariate takes more than one value"),
        (SOME.assign(again=3 * SOME["severe"] + 1), ["severe", "again"], "follows from the others"),
        (SOME.head(20), ["severe"], "too few Incidents .*: 20 of 30"),
        (SOME.assign(duplicates=0), ["severe"], "too few Incidents .*: 0 of 30"),
        (SOME.assign(duplicates=1 - SOME["severe"]), ["severe"], "severe at 1 was posted again"),
        (SOME.assign(severe=SOME["severe"] * 1e-9), ["severe"], "smaller unit"),
    ],
)
def test_what_cannot_be_compared_is_said(frame, covariates, reason):
    """Each covariate that tells nothing is named, with what it would take."""
    with pytest.raises(NotEstimableError, match=reason):
        reporting_by(frame, covariates)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (SOME.drop(columns="severe"), "the column severe is missing"),
        (SOME.assign(severe=SOME["severe"].where(SOME.index > 2)), "severe is empty"),
        (SOME.assign(severe=SOME["severe"].where(SOME.index > 2, math.inf)), "infinite"),
        (SOME.assign(severe=SOME["severe"] * 1e300), "too large"),
        (SOME.assign(severe=SOME["severe"] * 1e-300), "too large or small"),
    ],
)
def test_impossible_covariates_are_refused(frame, reason):
    """They are mistakes of the table, not of the data."""
    with pytest.raises(PanelError, match=reason):
        reporting_by(frame, ["severe"])


# --- against sensors


def sensed(*rows: tuple[str, Any, Any, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["zone", "observations", "exceedance_hours", "residents"])


def held(*rows: tuple[str, Any, Any, Any]) -> dict[str, AgainstSensor]:
    return {one.zone: one for one in against_sensors(sensed(*rows))}


def test_against_sensors_worked_by_hand():
    """30 in 10 hours of 5,000 people, 10 in 10 hours of 5,000: 0.6 and 0.2 against 0.4."""
    found = held(("norte", 30, 10, 5_000), ("sur", 10, 10, 5_000))

    assert [0.6, 0.2] == pytest.approx([known(one.rate.estimate) for one in found.values()])
    assert [1.5, 0.5] == pytest.approx([known(one.relative.estimate) for one in found.values()])


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(1, 500), st.integers(1, 90_000)),
        min_size=2,
        max_size=8,
    )
)
@settings(deadline=None, max_examples=20)
def test_relative_interval_is_clopper_and_pearsons(zones):
    """SciPy's exact binomial interval over the share of exposure; shares of it mean to 1."""
    found = held(*[(str(i), *one) for i, one in enumerate(zones)])

    total = sum(count for count, _, _ in zones)
    exposure = np.array([hours * people for _, hours, people in zones], dtype=float)
    shares: Floats = exposure / exposure.sum()
    if total < 30:
        assert all("of 30" in one.relative.why for one in found.values())
        return
    for (count, _, _), share, one in zip(zones, shares, found.values(), strict=True):
        exact = binomtest(count, total).proportion_ci()
        assert [exact.low / share, exact.high / share] == pytest.approx(
            [one.relative.low, one.relative.high], rel=1e-6
        )
    mean = sum(
        share * known(one.relative.estimate)
        for share, one in zip(shares, found.values(), strict=True)
    )
    assert 1 == pytest.approx(mean)


def test_none_posted_while_a_sensor_exceeded_is_a_measured_zero():
    """Here 0 is a finding: its interval says how much it may be."""
    quiet = held(("norte", 40, 10, 5_000), ("sur", 0, 10, 5_000))["sur"]

    assert 0 == quiet.rate.estimate
    assert -math.log(0.025) / 50 == pytest.approx(quiet.rate.high)
    assert 0 < known(quiet.relative.high) < 1


def test_a_zone_without_a_sensor_or_an_exceedance_has_no_number():
    """Not measured is not quiet: both are named with their reasons, and weigh nothing."""
    rows = ("norte", 30, 10, 5_000), ("sur", 10, 10, 5_000)

    found = held(*rows, ("este", 4, None, 5_000), ("oeste", 0, 0, 5_000))

    assert held(*rows)["sur"] == found["sur"]
    assert (None, None) == (found["este"].rate.estimate, found["este"].observations)
    assert "not known" in found["este"].rate.why
    assert found["oeste"].rate.estimate is None
    assert "did not exceed" in found["oeste"].rate.why


def test_one_zone_is_not_held_against_itself():
    """Its rate is told, a ratio is not."""
    one = held(("norte", 50, 10, 5_000))["norte"]

    assert 1 == one.rate.estimate
    assert one.relative.estimate is None
    assert "1 of 2" in one.relative.why


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("norte", 1, 1, 1), ("norte", 1, 1, 1)], "one row"),
        ([("norte", -1, 1, 1)], "observations is '-1'"),
        ([("norte", 1.5, 1, 1)], "no part of an Observation"),
        ([("norte", 1, 1, 0)], "at least one resident"),
    ],
)
def test_impossible_zones_are_refused(rows, reason):
    """One sentence each."""
    with pytest.raises(PanelError, match=reason):
        held(*rows)


def test_answers_can_be_written_as_json():
    """Every field is a plain value, and nothing is NaN."""
    answers: list[Any] = [
        reporting(zone("norte", 40, 20, 400), life=20, zones=["sur"]),
        reporting_by(SOME, ["severe"]),
        held(("norte", 30, 10, 5_000))["norte"],
    ]

    written = json.dumps([plain(asdict(one)) for one in answers])

    assert "NaN" not in written
    assert "Infinity" not in written
