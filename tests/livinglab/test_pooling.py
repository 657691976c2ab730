"""Pooling: the formulas by hand and by statsmodels, and a ranking that keeps quiet when it must."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from statsmodels.api import WLS
from statsmodels.stats.meta_analysis import combine_effects

from livinglab.errors import NotEstimableError, PanelError
from livinglab.impact.effects.pooling import (
    LARGEST,
    LEAST_SE,
    Card,
    InitiativeEffect,
    Pooling,
    pool,
)
from livinglab.impact.results import plain

CARD = Card(
    property_class="no2",
    estimand="treated Places, post window",
    window="365 d",
    seasons="same months",
    control="urban background Places",
    sensor="indicative",
    weather="none",
    capture="85 %",
)


def initiatives(
    thetas: Sequence[float],
    ses: Sequence[float],
    adoptions: Sequence[float | None] | None = None,
) -> list[InitiativeEffect]:
    known = adoptions or [None] * len(thetas)
    return [
        InitiativeEffect(key=f"initiative-{i}", theta=theta, se=se, card=CARD, adoption=adoption)
        for i, (theta, se, adoption) in enumerate(zip(thetas, ses, known, strict=True))
    ]


def pooled(effects: Sequence[InitiativeEffect], **more: Any) -> Pooling:
    more = {"better": "less", **more}
    return pool(effects, rng=np.random.default_rng(0), **more)


def bound(one: float | None) -> float:
    """A bound that must be there."""
    assert one is not None
    return one


# --- worked by hand


def test_three_with_equal_errors_worked_by_hand():
    """−1, 0 and 1, each ±0.5: τ² is the variance 1 less 0.25, and the mean has √(1/3)."""
    found = pooled(initiatives([-1.0, 0.0, 1.0], [0.5] * 3))

    half = student.isf(0.025, 2) * math.sqrt(1 / 3)
    next_half = student.isf(0.025, 1) * math.sqrt(0.75 + 1 / 3)
    assert math.sqrt(0.75) == pytest.approx(found.tau)
    assert pytest.approx([0, -half, half], abs=1e-12) == [found.mean, found.low, found.high]
    assert pytest.approx([-next_half, next_half]) == [found.next_low, found.next_high]
    assert 0.75 == pytest.approx(found.i2), "Q is 8 of 2"
    assert 1 == pytest.approx(found.p)


def test_shrunken_worked_by_hand():
    """With τ² three times each variance, three quarters of each Effect remain."""
    found = pooled(initiatives([-1.0, 0.0, 1.0], [0.5] * 3))

    shrunken = [one.shrunken for one in found.standings.values()]
    assert pytest.approx([-0.75, 0, 0.75], abs=1e-12) == shrunken


def test_without_spread_all_are_shrunken_to_the_mean():
    """Effects nearer than their errors: τ² and I² are 0, and there is one answer for all."""
    found = pooled(initiatives([0.1, 0.12, 0.11, 0.13], [0.1, 0.1, 0.2, 0.1]))

    assert (0, 0) == (found.tau, found.i2)
    assert all(found.mean == pytest.approx(one.shrunken) for one in found.standings.values())
    assert () == found.ranked
    assert "chance" in found.why["ranked"]
    assert all(one.best is None for one in found.standings.values())


# --- held against statsmodels

ses = st.floats(0.01, 1.0)
thetas = st.floats(-2, 2)
several = st.lists(st.tuples(thetas, ses), min_size=3, max_size=12)


@given(several)
@settings(deadline=None, max_examples=25)
def test_mean_and_spread_are_those_of_statsmodels(pairs):
    """μ, τ², I² and Hartung's and Knapp's sd agree with `combine_effects`, iterated long enough."""
    theta, se = map(np.array, zip(*pairs, strict=True))
    assume(np.ptp(theta) > 1e-3)
    found = pooled(initiatives(theta.tolist(), se.tolist()))
    oracle = combine_effects(theta, se**2, method_re="iterated", maxiter=500, atol=1e-11)
    assume(oracle.tau2 > 0 or found.tau == 0)  # rounded past its root, it gives up at 0

    half = student.isf(0.025, len(theta) - 1) * oracle.sd_eff_w_re_hksj
    assert oracle.mean_effect_re == pytest.approx(found.mean, abs=1e-7)
    assert max(oracle.tau2, 0) == pytest.approx(found.tau**2, abs=1e-8)
    assert max(oracle.i2, 0) == pytest.approx(found.i2, abs=1e-9)
    assert half == pytest.approx(bound(found.high) - found.mean, rel=1e-4, abs=1e-9)


@given(several)
@settings(deadline=None, max_examples=25)
def test_the_spread_leaves_what_chance_would(pairs):
    """At τ² the weighted square residual is K − 1; at τ² = 0 it is no more."""
    theta, se = map(np.array, zip(*pairs, strict=True))

    found = pooled(initiatives(theta.tolist(), se.tolist()))

    weights = 1 / (se**2 + found.tau**2)
    square = weights @ (theta - found.mean) ** 2
    chance = len(theta) - 1
    assert found.mean == pytest.approx(weights @ theta / weights.sum(), abs=1e-9)
    assert square == pytest.approx(chance, rel=1e-6) if found.tau else square <= chance + 1e-9


@pytest.mark.parametrize("factor", [1.0, 1e-4])
def test_slope_is_that_of_weighted_least_squares(factor):
    """Given τ², the slope on adoption is WLS's with its estimated scale, and t of K − 2."""
    chance = np.random.default_rng(3)
    adoption, se = chance.uniform(size=12), chance.uniform(0.02, 0.2, 12)
    theta = -0.1 - 0.5 * adoption + chance.normal(size=12) * 0.3
    effects = initiatives((factor * theta).tolist(), (factor * se).tolist(), adoption.tolist())

    slope = pooled(effects).adoption

    assert slope is not None
    weights = 1 / ((factor * se) ** 2 + slope.tau**2)
    design = np.column_stack([np.ones(12), adoption])
    oracle = WLS(factor * theta, design, weights=weights).fit()
    assert oracle.params[1] == pytest.approx(slope.slope)
    assert oracle.conf_int()[1] == pytest.approx([slope.low, slope.high])
    assert oracle.pvalues[1] == pytest.approx(slope.p)
    assert 1 == pytest.approx(oracle.scale), "which is how τ² was chosen"
    assert "association: adoption was not randomised" == slope.label


# --- laws


@given(several, st.floats(-1, 1))
@settings(deadline=None, max_examples=25)
def test_shifting_all_effects_shifts_the_mean_only(pairs, shift):
    """A constant added to each Effect moves the mean by it, and leaves spread and ranks."""
    theta, se = zip(*pairs, strict=True)

    one = pooled(initiatives(theta, se))
    other = pooled(initiatives([shift + value for value in theta], se))

    assert one.mean + shift == pytest.approx(other.mean, abs=1e-6)
    assert one.tau == pytest.approx(other.tau, abs=1e-5)


@given(several)
@settings(deadline=None, max_examples=25)
def test_shrunken_lies_between_effect_and_mean(pairs):
    """Whatever its error, an Effect is drawn towards the mean and not past it."""
    effects = initiatives(*zip(*pairs, strict=True))

    found = pooled(effects)

    for one in effects:
        lower, upper = sorted([one.theta, found.mean])
        assert lower - 1e-9 <= found.standings[one.key].shrunken <= upper + 1e-9


@given(several)
@settings(deadline=None, max_examples=25)
def test_order_and_sign_do_not_matter(pairs):
    """Effects turned around and read backwards give the same answer turned around."""
    effects = initiatives(*zip(*pairs, strict=True))
    turned = [replace(one, theta=-one.theta) for one in reversed(effects)]

    one, other = pooled(effects), pooled(turned, better="more")

    assert one.mean == pytest.approx(-other.mean, abs=1e-7)
    assert one.tau == pytest.approx(other.tau, abs=1e-6)
    assert one.i2 == pytest.approx(other.i2, abs=1e-9)


def test_another_initiative_is_less_certain_than_the_mean():
    """The interval of the next one holds the interval of the mean."""
    found = pooled(initiatives([-0.3, -0.1, -0.2, 0.1], [0.05, 0.1, 0.02, 0.08]))

    assert bound(found.next_low) < bound(found.low) < found.mean
    assert found.mean < bound(found.high) < bound(found.next_high)


# --- what is refused, left out, or not told


def test_two_cannot_be_pooled():
    """Three is the least, and who was left out is named."""
    effects = initiatives([0.1, 0.2, math.nan], [0.1, 0.1, 0.1])

    with pytest.raises(
        NotEstimableError, match=r"too few effects to pool \(initiative-2 left out\): 2 of 3"
    ):
        pooled(effects)


@pytest.mark.parametrize("line", list(asdict(CARD)))
def test_different_cards_are_refused(line):
    """Whichever line differs, it is named with both values and an Initiative of each."""
    effects = initiatives([0.1, 0.2, 0.3], [0.1] * 3)
    effects[2] = replace(effects[2], card=replace(CARD, **{line: "another"}))

    with pytest.raises(NotEstimableError, match=f"side by side.*{line} is .*'another'") as refused:
        pooled(effects)

    assert f"'{getattr(CARD, line)}' of initiative-0" in str(refused.value)


def test_a_card_leaves_nothing_open():
    """Two unknown weathers are not the same weather."""
    with pytest.raises(ValueError, match="says nothing of weather"):
        replace(CARD, weather=" ")


def test_an_adoption_is_a_share():
    """Forty people are no adoption; forty of a hundred are."""
    with pytest.raises(ValueError, match="it is a share"):
        initiatives([0.1], [0.1], [40])


@pytest.mark.parametrize(
    ("theta", "se", "reason"),
    [
        (math.nan, 0.1, "no estimate"),
        (0.1, math.nan, "no standard error"),
        (0.1, math.inf, "no standard error"),
        (0.1, 0.0, "is none"),
        (0.1, -1.0, "is none"),
        (1e300, 0.1, "no measured ratio"),
        (0.1, 1e300, "no measured ratio"),
    ],
)
def test_an_initiative_without_an_estimate_is_named(theta, se, reason):
    """It is left out with its reason, and moves the others by nothing."""
    others = initiatives([0.1, 0.2, 0.4], [0.1] * 3)
    lacking = replace(others[0], key="lacking", theta=theta, se=se)

    found = pooled([*others, lacking])

    assert reason in found.left_out["lacking"]
    assert pooled(others).mean == found.mean
    assert "lacking" not in found.standings


def test_an_initiative_enters_once():
    """The same key twice is a mistake of the table, and is named."""
    [one] = initiatives([0.1], [0.1])

    with pytest.raises(PanelError, match="initiative-0 has 3 effects"):
        pooled([one] * 3)


def test_a_level_is_a_share():
    """95 is no coverage; 0.95 is."""
    with pytest.raises(PanelError, match="between 0 and 1"):
        pooled(initiatives([0.1, 0.2, 0.3], [0.1] * 3), level=95)


def test_equal_effects_have_a_mean_but_no_interval():
    """An interval of no width would claim to know all; it is None, with its reason."""
    found = pooled(initiatives([-0.2] * 4, [0.1, 0.2, 0.3, 0.1]))

    assert -0.2 == pytest.approx(found.mean)
    assert {None} == {found.low, found.high, found.p, found.next_low, found.next_high}
    assert "equal" in found.why["low"]


def test_the_ends_of_what_is_usable_do_not_break_it():
    """The smallest and the largest errors together: finite numbers, and no warning."""
    found = pooled(initiatives([LARGEST, -LARGEST, 0, 1], [LEAST_SE, LARGEST, LEAST_SE, LARGEST]))

    assert all(map(math.isfinite, [found.mean, found.tau, found.i2]))


# --- leave one out


def test_leave_one_out_is_the_pool_without_it():
    """What each Initiative carries is seen by pooling the others."""
    effects = initiatives([-0.5, -0.1, -0.12, -0.09, 0.0], [0.05, 0.1, 0.02, 0.08, 0.2])

    found = pooled(effects)

    for one in effects:
        alone = pooled([other for other in effects if other is not one])
        without = found.standings[one.key].without
        assert without is not None
        assert (alone.mean, alone.low, alone.high) == (without.mean, without.low, without.high)


def test_none_of_three_can_be_left_out():
    """Two that remain are too few, which is said."""
    found = pooled(initiatives([0.1, 0.2, 0.4], [0.1] * 3))

    assert all(one.without is None for one in found.standings.values())
    assert "too few" in found.why["without"]


# --- ranks


def test_clear_differences_are_ranked():
    """Six Effects far apart stand in their order, the largest decrease first."""
    effects = initiatives([0.4, -0.4, 0.0, -0.8, 0.8, -1.2], [0.05] * 6)

    found = pooled(effects)

    assert tuple(f"initiative-{i}" for i in (5, 3, 1, 2, 0, 4)) == found.ranked
    first = found.standings["initiative-5"]
    assert (1, 1) == (first.low, first.high)
    assert 1 == pytest.approx(first.best, abs=0.01)
    assert found.ranked == tuple(reversed(pooled(effects, better="more").ranked))


def test_ranks_of_what_chance_could_swap_are_hidden():
    """The spread is there, but nobody could tell whose: no order is shown."""
    found = pooled(initiatives([-0.3, -0.25, 0.1, 0.2, -0.2], [0.15] * 5))

    assert found.tau > 0
    assert () == found.ranked
    assert "half of the ranks" in found.why["ranked"]
    assert all(one.best is one.low is one.high is None for one in found.standings.values())


def test_probabilities_of_being_best_make_one():
    """One of them is the best."""
    found = pooled(initiatives([-1.0, -0.9, 0.0, 0.5, 1.0, 1.5], [0.1] * 6))

    assert 1 == pytest.approx(sum(one.best or 0 for one in found.standings.values()))
    assert all(1 <= (one.low or 0) <= (one.high or 0) <= 6 for one in found.standings.values())


def test_the_same_seed_gives_the_same_answer():
    """All chance comes from the generator that is handed in."""
    effects = initiatives([-1.0, -0.9, 0.0, 0.5, 1.0, 1.5], [0.1] * 6)

    assert pooled(effects) == pooled(effects)


# --- adoption


def test_nine_adoptions_carry_no_slope():
    """An unknown adoption is not none: it does not count towards the ten."""
    adoptions = [None, *np.linspace(0.1, 0.9, 9)]

    found = pooled(initiatives(np.linspace(-1, 0, 10).tolist(), [0.1] * 10, adoptions))

    assert found.adoption is None
    assert "adoptions: 9 of 10" in found.why["adoption"]


def test_equal_adoptions_carry_no_slope():
    """Where all took it up alike, nothing goes with adoption."""
    found = pooled(initiatives(np.linspace(-1, 0, 10).tolist(), [0.1] * 10, [0.4] * 10))

    assert found.adoption is None
    assert "less than 0.01" in found.why["adoption"]


def test_effects_on_one_line_have_no_error():
    """A perfect line is told as that, not as a p of nothing."""
    shares = np.linspace(0, 0.9, 10)

    found = pooled(initiatives((-shares).tolist(), [0.1] * 10, shares.tolist()))

    assert found.adoption is None
    assert "one line" in found.why["adoption"]


# --- simulated Initiatives know the truth


def test_intervals_usually_hold_the_truth():
    """Where Effects differ, about 95 of 100 intervals hold the mean, and the next Initiative."""
    chance = np.random.default_rng(11)
    held = held_next = 0
    for _ in range(120):
        se = chance.uniform(0.03, 0.15, 8)
        theta = chance.normal(-0.15, 0.3, 8) + se * chance.normal(size=8)
        found = pooled(initiatives(theta.tolist(), se.tolist()))
        another = chance.normal(-0.15, 0.3)
        held += bound(found.low) <= -0.15 <= bound(found.high)
        held_next += bound(found.next_low) <= another <= bound(found.next_high)

    assert 105 <= held <= 119
    assert 105 <= held_next <= 119


def test_shown_ranks_usually_hold_the_true_ones():
    """Where a ranking is shown, 90 % intervals hold at least 88 of 100 true ranks."""
    chance = np.random.default_rng(12)
    held = []
    for _ in range(60):
        se = chance.uniform(0.03, 0.12, 8)
        true = chance.normal(-0.1, 0.2, 8)
        found = pooled(initiatives((true + se * chance.normal(size=8)).tolist(), se.tolist()))
        ranks = true.argsort().argsort() + 1
        held += [
            bound(one.low) <= rank <= bound(one.high)
            for one, rank in zip(found.standings.values(), ranks, strict=True)
            if found.ranked
        ]

    assert len(held) > 200
    assert np.mean(held) > 0.88


def test_it_can_be_written_as_json():
    """Every field is a plain value, and nothing is NaN."""
    written = json.dumps(plain(asdict(pooled(initiatives([0.1, 0.2, 0.4], [0.1] * 3)))))

    assert "NaN" not in written
    assert "Infinity" not in written
