"""Synthetic comparisons: published answers, laws that must hold, and panels that carry nothing."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from livinglab.errors import NotEstimableError
from livinglab.impact.effects.simplex import (
    kkt_gap,
    sc_weights,
    sdid_weights,
    simplex_least_squares,
)
from livinglab.impact.effects.synthetic import synthetic_control, synthetic_did
from livinglab.impact.panel import Panel
from livinglab.impact.results import UNBOUNDED, Estimate, Floats
from tests.livinglab.golden import prop99

BOTH = pytest.mark.parametrize("estimator", [synthetic_control, synthetic_did])


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def panel_of(values: Floats, *, start: int, treated: int = 1, **more: Any) -> Panel:
    """Make a panel whose first units are treated from column *start* on."""
    n, t = values.shape
    starts = np.full(n, t)
    starts[:treated] = start
    return Panel(
        units=tuple(f"u{row:03}" for row in range(n)),
        periods=np.arange(t, dtype=np.float64),
        values=values,
        starts=starts,
        **more,
    )


def noise(units: int, periods: int, *, seed: int = 1, rho: float = 0.6) -> Floats:
    """Draw courses that share two factors, with errors that remember the last period."""
    draw = rng(seed)
    factors = draw.normal(size=(2, periods)).cumsum(axis=1)
    errors = draw.normal(size=(units, periods))
    for t in range(1, periods):
        errors[:, t] += rho * errors[:, t - 1]
    found = 50 + draw.normal(size=(units, 1)) + draw.random((units, 2)) @ factors + errors
    return np.asarray(found)


def town(units: int = 21, periods: int = 30, **more: Any) -> Panel:
    return panel_of(noise(units, periods), **({"start": 20} | more))


# --- Published answers ---


@pytest.mark.parametrize(("solver", "within"), [("frank-wolfe", 1e-3), ("nnls", 5e-3)])
def test_california_by_synthetic_did(solver: Any, within: float):
    """Proposition 99 lowered sales by 15.604 packs a head, as published."""
    found = synthetic_did(prop99(), solver=solver, rng=rng())

    assert pytest.approx(-15.604, abs=within) == found.effect
    assert 38 == found.detail["draws"]


def test_california_by_synthetic_control():
    """On average 19.5 packs fewer; in 2000, 26.6 fewer; third of 39 by RMSPE after over before."""
    found = synthetic_control(prop99(), rng=rng())
    gap = found.paths["observed"] - found.paths["counterfactual"]

    assert pytest.approx(-19.5, abs=0.3) == found.effect
    assert pytest.approx(-26.6, abs=0.5) == gap[-1]
    assert pytest.approx(3 / 39) == found.p
    assert pytest.approx(1 / 39) == found.p_min
    assert (38, 31) == found.paths["placebos"].shape


# --- Weights ---


def test_weights_worked_by_hand():
    """Three lies three tenths of the way from nought to ten."""
    donors = np.array([[0.0, 10.0], [0.0, 10.0]])

    assert pytest.approx([0.7, 0.3]) == sc_weights(donors, np.array([3.0, 3.0])).tolist()


@given(
    arrays(np.float64, (6, 4), elements=st.floats(-100, 100)),
    arrays(np.float64, 6, elements=st.floats(-100, 100)),
    st.sampled_from([0.0, 1.0, 30.0]),
)
def test_weights_are_optimal_on_the_simplex(donors: Floats, treated: Floats, ridge: float):
    """None is negative, they sum to one, and moving weight between donors gains nothing."""
    found = simplex_least_squares(donors, treated, ridge=ridge)
    rows = np.vstack([donors - treated[:, None], ridge * np.eye(4)])

    assert (found >= 0).all()
    assert pytest.approx(1) == found.sum()
    assert kkt_gap(rows, found) <= 1e-9 * max(1.0, np.abs(rows).max() ** 2)


@given(st.integers(0, 10**6), st.floats(-1e6, 1e6))
def test_a_constant_added_to_all_leaves_the_weights(seed: int, shift: float):
    """Weights answer to differences: the zero of the scale does not matter."""
    values = noise(8, 12, seed=seed).round(3)

    before = sc_weights(values[1:].T, values[0])
    after = sc_weights(values[1:].T + shift, values[0] + shift)

    assert pytest.approx(before, abs=1e-4) == after


def test_many_periods_or_donors_give_what_few_rows_give():
    """Rows are reduced to their triangle where there are many: the optimum is the same."""
    donors = noise(30, 5_000)[1:].T
    treated = noise(30, 5_000)[0]

    weights = sc_weights(donors, treated)

    assert pytest.approx(1) == weights.sum()
    assert kkt_gap(donors - treated[:, None], weights) <= 1e-6


def test_the_fast_solver_answers_as_the_reference_does():
    """Both find weights of controls and of periods for the same double difference."""
    values = noise(20, 30)

    effects = []
    for solver in ("nnls", "frank-wolfe"):
        omega, lambda_ = sdid_weights(values[1:], values[0], 20, 1, solver)
        gap = values[0] - omega @ values[1:]
        effects.append(float(gap[20:].mean() - lambda_ @ gap[:20]))

    assert pytest.approx(effects[0], abs=0.02) == effects[1]


@pytest.mark.timeout(30)
def test_thousands_of_controls_are_weighed():
    """Where least squares would take minutes, the reference answers for them."""
    values = noise(3_001, 30)

    omega, lambda_ = sdid_weights(values[1:], values[0], 20, 1, "nnls")

    assert pytest.approx([1, 1]) == [omega.sum(), lambda_.sum()]


# --- Effects ---


@given(arrays(np.float64, 5, elements=st.floats(0.01, 1)), st.floats(-20, 20))
def test_an_exact_mixture_is_recovered(shares: Floats, effect: float):
    """A unit that is a mixture of controls, and then shifted, shows the shift."""
    values = noise(6, 24)
    values[0] = shares / shares.sum() @ values[1:]
    values[0, 16:] += effect

    found = synthetic_control(panel_of(values, start=16), rng=rng())

    assert pytest.approx(effect, abs=1e-6) == found.effect


def test_synthetic_did_worked_by_hand():
    """One control without course: the double difference. (9 - 4) - (3 - 2) = 4."""
    values = np.array([[4.0, 4.0, 9.0], [2.0, 2.0, 3.0]])

    found = synthetic_did(panel_of(values, start=2), rng=rng())

    assert pytest.approx(4) == found.effect
    assert math.isnan(found.p)
    assert "too few controls" in found.why["p"]


def test_synthetic_did_forgives_a_constant_difference():
    """A unit far above every control is compared by its course."""
    panel = town()
    values = panel.values.copy()
    values[0, 20:] -= 5
    raised = values + np.where(np.arange(21) == 0, 1_000.0, 0.0)[:, None]

    found = synthetic_did(panel.with_values(values), rng=rng())
    far = synthetic_did(panel.with_values(raised), rng=rng())

    assert pytest.approx(found.effect, abs=1e-6) == far.effect


@BOTH
def test_a_constant_added_to_all_leaves_the_effect(estimator: Any):
    """Shifting every unit moves no difference."""
    panel = town()

    found = estimator(panel, rng=rng())
    moved = estimator(panel.with_values(panel.values + 500), rng=rng())

    assert pytest.approx([found.effect, found.p, found.high], rel=1e-6) == [
        moved.effect,
        moved.p,
        moved.high,
    ]


@BOTH
def test_a_change_of_unit_changes_the_effect_alone(estimator: Any):
    """In micrograms or milligrams: the effect scales; its share of the whole and p stay."""
    panel = town()

    found = estimator(panel, rng=rng())
    small = estimator(panel.with_values(panel.values / 1_000), rng=rng())

    assert pytest.approx(found.effect / 1_000, rel=1e-6) == small.effect
    assert pytest.approx(found.low / 1_000, rel=1e-6) == small.low
    assert pytest.approx([found.relative, found.p], rel=1e-6) == [small.relative, small.p]


@BOTH
def test_logs_are_taken_back_before_shares_are_told(estimator: Any):
    """A tenth less is a tenth less: the share comes from sums on the original scale."""
    values = np.tile(np.exp(noise(1, 30) / 20), (12, 1))
    values[0, 20:] *= 0.9

    found = estimator(panel_of(values, start=20).transformed("log"), rng=rng())

    assert pytest.approx(-0.1) == found.relative
    assert pytest.approx(math.log(0.9)) == found.effect


def test_several_treated_units_are_averaged_by_weight_and_each_fitted():
    """The mean series decides; each unit for itself is a check."""
    values = noise(14, 30)
    values[:2] = values[2:4]
    values[0, 20:] += 10
    panel = panel_of(values, start=20, treated=2, weights=np.r_[3.0, np.ones(13)])

    found = synthetic_control(panel, draws=40, rng=rng())
    units = found.detail["by_unit"]

    assert pytest.approx(7.5, abs=1e-6) == found.effect
    assert pytest.approx([10, 0], abs=1e-6) == [units[name]["effect"] for name in ("u000", "u001")]
    assert 40 == found.detail["placebos"]
    assert pytest.approx(1 / 41) == found.p_min


def test_what_has_holes_is_dropped_and_named():
    """A control with holes and a period without a value leave the block; nothing is made up."""
    panel = town()
    values = panel.values.copy()
    values[5, 3:9] = math.nan
    values[1:, 12] = math.nan

    found = synthetic_control(panel.with_values(values), rng=rng())

    assert ["u005"] == [one["unit"] for one in found.detail["dropped"]]
    assert 1 == found.detail["periods_dropped"]
    assert 19 == found.detail["donors"]
    assert 20 * 29 == found.n
    assert 29 == len(found.paths["observed"])


def test_covariates_are_taken_out_and_told():
    """Rain that fell on the treated unit alone is no effect; its coefficient is told."""
    draw = rng()
    values, rain = noise(21, 30, rho=0.0), draw.normal(size=(21, 30))
    rain[0, 20:] += 4
    wet = panel_of(values + 3 * rain, start=20)

    dry = synthetic_did(panel_of(values, start=20), rng=rng())
    blind = synthetic_did(wet, rng=rng())
    aware = synthetic_did(
        panel_of(wet.values, start=20, covariates={"rain": rain, "height": rain[:, :1] + 0 * rain}),
        rng=rng(),
    )

    assert abs(blind.effect - dry.effect) > 8
    assert pytest.approx(dry.effect, abs=1) == aware.effect
    assert pytest.approx(3, abs=0.2) == aware.detail["covariates"]["rain"]
    assert 0 == aware.detail["covariates"]["height"]
    assert aware.se < blind.se
    assert wet.values[0].tolist() == aware.paths["observed"].tolist()


# --- Chance ---


@pytest.mark.parametrize(("donors", "bounded"), [(18, False), (19, True)])
def test_few_donors_bound_nothing(donors: int, bounded: bool):
    """At 95 % it takes 19 controls to exclude any value, however large the effect."""
    values = noise(donors + 1, 30)
    values[0, 20:] += 100

    found = synthetic_control(panel_of(values, start=20), rng=rng())

    assert pytest.approx(1 / (donors + 1)) == found.p == found.p_min
    assert bounded == math.isfinite(found.low) == math.isfinite(found.high)
    assert bounded or UNBOUNDED == found.why["low"]


@given(st.integers(0, 10**6), st.sampled_from([0.8, 0.9, 0.95]))
@settings(max_examples=20)
def test_the_interval_holds_what_would_not_stand_out(seed: int, level: float):
    """Just inside a bound at least as many placebos are as large as level asks; outside fewer."""
    panel = panel_of(noise(25, 20, seed=seed), start=14)

    found = synthetic_control(panel, level=level, rng=rng())
    placebos = np.abs(found.paths["placebos"][:, 14:].mean(axis=1))

    def p_of(supposed: float) -> float:
        return float(1 + (placebos >= abs(found.effect - supposed)).sum()) / (len(placebos) + 1)

    assert p_of(found.high - 1e-9) > 1 - level >= p_of(found.high + 1e-9) - 1e-12


def test_a_control_that_goes_its_own_way_widens_nothing():
    """It is named and counts for p; where a treated unit goes that way too, it is like others."""
    values = noise(24, 60)
    drifting = values.copy()
    drifting[5] += np.linspace(0, 60, 60)
    both = drifting.copy()
    both[0] += np.linspace(0, 60, 60)

    plain, one, two = (
        synthetic_did(panel_of(each, start=40), rng=rng()) for each in (values, drifting, both)
    )

    assert ([], ["u005"], []) == tuple(each.detail["own_way"] for each in (plain, one, two))
    assert (23, 60) == one.paths["placebos"].shape
    assert one.se < 1.3 * plain.se
    assert one.p_min == plain.p_min
    assert float(one.paths["placebos"][:, 40:].mean(axis=1).std(ddof=1)) > 2 * one.se


@pytest.mark.parametrize("estimator", ["sc", "sdid"])
def test_chance_alone_is_seldom_called_significant(estimator: str):
    """Of 300 panels in which nothing happened, at most 8 in 100 show a p of .05 or less."""
    hits = 0
    for seed in range(300):
        panel = panel_of(noise(21, 18, seed=seed), start=12)
        if estimator == "sc":
            found = synthetic_control(panel, rng=rng())
        else:
            found = synthetic_did(panel, solver="nnls", rng=rng())
        hits += found.p <= 0.05

    assert hits <= 24


def test_as_many_treated_as_controls_forbid_placebos():
    """Then units are resampled instead."""
    found = synthetic_did(town(units=8, treated=4), draws=50, rng=rng())

    assert "bootstrap" == found.p_method
    assert 50 == found.detail["draws"]
    assert found.se > 0
    assert found.low < found.effect < found.high
    assert "placebos" not in found.paths


def test_controls_that_do_not_differ_give_no_p():
    """A spread of nothing is no certainty: there is no standard error, no p and no interval."""
    values = np.tile(noise(1, 30), (12, 1))
    values[0, 20:] += 3

    found = synthetic_did(panel_of(values, start=20), rng=rng())

    assert pytest.approx(3) == found.effect
    assert math.isnan(found.se)
    assert math.isnan(found.p)
    assert (-math.inf, math.inf) == (found.low, found.high)
    assert "do not differ" in found.why["p"]


@BOTH
def test_the_same_seed_gives_the_same_answer(estimator: Any):
    """Nothing is left to a hidden chance, whoever else draws."""
    panel = town(treated=3)

    one, other = (estimator(panel, draws=30, rng=rng(7)) for _ in range(2))

    assert one.p == other.p
    assert one.low == other.low
    assert one.paths["placebos"].tolist() == other.paths["placebos"].tolist()


# --- Panels that carry little, or nothing ---


def staggered() -> Panel:
    values = noise(12, 20)
    starts = np.r_[10, 12, np.full(10, 20)]
    units = tuple(f"u{row:02}" for row in range(12))
    return Panel(units=units, periods=np.arange(20.0), values=values, starts=starts)


@BOTH
@pytest.mark.parametrize(
    ("panel", "words"),
    [
        (town(transform="poisson"), "no Poisson form"),
        (staggered(), "start at 2 different periods"),
        (town(start=1), "2 complete periods before the start"),
        (panel_of(noise(3, 20), start=10, treated=3), "no control unit"),
        (panel_of(noise(3, 20), start=10, treated=0), "no unit is treated"),
        (panel_of(noise(12, 20) * 1e150, start=10), "cannot be compared"),
    ],
)
def test_what_cannot_be_estimated_says_which_rule_fails(estimator: Any, panel: Panel, words: str):
    """A planner reads one sentence, not a traceback."""
    with pytest.raises(NotEstimableError, match=words):
        estimator(panel, rng=rng())


def test_a_covariate_with_holes_is_not_filled():
    """Nothing is imputed, so the covariate must be dropped or completed by who knows it."""
    rain = np.where(np.arange(21)[:, None] == 3, math.nan, 1.0) * np.ones((21, 30))

    with pytest.raises(NotEstimableError, match="covariate rain is missing"):
        synthetic_did(town(covariates={"rain": rain}), rng=rng())


@pytest.mark.parametrize(
    "values",
    [
        np.full((6, 10), 0.1),
        np.zeros((6, 10)),
        np.tile(np.arange(6.0)[:, None], 10),
        np.tile(np.arange(10.0), (6, 1)),
        noise(2, 10),
        noise(3, 10) - 1_000,
        noise(6, 10) * 1e90,
        noise(6, 10) * 1e-200,
    ],
    ids=["constant", "zeros", "levels", "courses", "one_donor", "negative", "huge", "tiny"],
)
@BOTH
def test_a_poor_panel_is_answered_with_reasons(estimator: Any, values: Floats):
    """Every number is there, or its reason is; facts are ready for JSON."""
    found = estimator(panel_of(values, start=6), rng=rng())

    assert math.isfinite(found.effect)
    assert_reasons(found)


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 6), st.integers(1, 8)),
        elements=st.one_of(st.floats(-1e6, 1e6), st.just(math.nan), st.sampled_from([0.0, 1.0])),
    ),
    st.integers(0, 8),
    st.integers(0, 3),
)
@settings(max_examples=60)
def test_no_panel_breaks_the_synthetic_estimators(values: Floats, start: int, treated: int):
    """Whatever the holes and shapes: an answer with its reasons, or the rule that fails."""
    panel = panel_of(values, start=min(start, values.shape[1]), treated=treated)

    for found in (
        answer(lambda: synthetic_control(panel, draws=20, rng=rng())),
        answer(lambda: synthetic_did(panel, draws=20, solver="nnls", rng=rng())),
    ):
        if isinstance(found, Estimate):
            assert_reasons(found)
        else:
            assert found


def answer(ask: Callable[[], Estimate]) -> Estimate | str:
    try:
        return ask()
    except NotEstimableError as error:
        return str(error)


def assert_reasons(found: Estimate) -> None:
    undefined = {
        name
        for name in ("effect", "relative", "se", "p", "low", "high")
        if not math.isfinite(getattr(found, name))
    }
    assert undefined <= set(found.why)
    json.dumps(found.detail, allow_nan=False)
    assert pytest.approx(1, abs=0.01) == sum(found.detail["weights"].values())
