"""Differences in differences, against published numbers and another implementation."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st

from livinglab.errors import NotEstimableError
from livinglab.impact.effects.difference import before_after, did, event_study
from livinglab.impact.effects.staggered import callaway_santanna
from livinglab.impact.panel import Panel
from tests.livinglab.golden import mpdta, prop99


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def panel_of(values: np.ndarray, treated: list[int], start: int) -> Panel:
    n, t = values.shape
    starts = np.full(n, t)
    starts[treated] = start
    return Panel(
        units=tuple(f"u{row:02d}" for row in range(n)),
        periods=np.arange(float(t)),
        values=values,
        starts=starts,
    )


def holed(seed: int) -> pd.DataFrame:
    """Twelve units, ten periods, holes, a covariate, and an effect of 2."""
    chance = rng(seed)
    rows = [
        (f"u{i}", t, chance.normal() + i + 0.3 * t + 2 * (i < 4 and t >= 6), i < 4 and t >= 6)
        for i in range(12)
        for t in range(10)
        if chance.random() > 0.15
    ]
    frame = pd.DataFrame(rows, columns=["unit", "period", "value", "treated"])
    return frame.assign(treated=frame["treated"].astype(int), x=chance.normal(size=len(frame)))


def test_proposition_99():
    """The published difference in differences is 27.35 packs."""
    found = did(prop99(), rng=rng())

    assert pytest.approx(-27.35, abs=0.01) == found.effect
    assert ("randomisation", 1 / 39) == (found.p_method, found.p_min)


def test_card_and_krueger():
    """Employment of the published table: two states, two waves, 2.75 jobs."""
    frame = pd.DataFrame(
        {
            "unit": ["New Jersey", "New Jersey", "Pennsylvania", "Pennsylvania"],
            "period": [0, 1, 0, 1],
            "value": [20.44, 21.03, 23.33, 21.17],
            "treated": [0, 1, 0, 0],
        }
    )

    found = did(frame, rng=rng())

    assert pytest.approx(2.75, abs=0.01) == found.effect
    assert (-math.inf, math.inf) == (found.low, found.high)


def test_minimum_wages():
    """The published simple average of Callaway and Sant'Anna, never-treated controls."""
    found = callaway_santanna(mpdta(), draws=99, rng=rng())

    assert pytest.approx(-0.03995, abs=1e-5) == found.effect
    both = found.detail["unbalanced"]
    assert pytest.approx(both["available"], abs=1e-12) == both["complete"]


def test_holes_and_covariates_as_another_implementation_has_them():
    """Coefficient of a regression with a dummy for every unit and period."""
    frame = holed(1)

    found = did(frame, inference="cluster", rng=rng())

    oracle = smf.ols("value ~ treated + x + C(unit) + C(period)", frame).fit()
    assert pytest.approx(oracle.params["treated"], abs=1e-8) == found.effect


@pytest.mark.parametrize("columns", [["x"], []])
def test_units_are_exchanged_beside_holes(columns):
    """The effect of 2 is found, with covariates and without."""
    frame = holed(1)[["unit", "period", "value", "treated", *columns]]

    found = did(frame, draws=199, rng=rng())

    assert "randomisation" == found.p_method
    assert found.p <= 0.05
    assert 0 < found.low < found.effect < found.high


def test_counts_as_another_implementation_has_them():
    """Coefficient of a Poisson regression with a dummy for every unit and period."""
    frame = holed(2)
    frame["value"] = rng(3).poisson(np.exp(1 + 0.1 * frame["period"] + 0.4 * frame["treated"]))

    found = did(Panel.of(frame).transformed("poisson"), inference="cluster", rng=rng())

    oracle = smf.poisson("value ~ treated + x + C(unit) + C(period)", frame).fit(disp=False)
    assert pytest.approx(oracle.params["treated"], abs=1e-5) == found.effect
    assert pytest.approx(math.exp(found.effect) - 1) == found.relative


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shift=st.floats(-1e3, 1e3),
    scale=st.floats(0.01, 100),
)
def test_laws(seed, shift, scale):
    """Shifting all leaves the effect; scaling scales it, and leaves the p-value."""
    values = rng(seed).normal(size=(8, 12))
    found = did(panel_of(values, [0, 1], 7), rng=rng())

    shifted = did(panel_of(values + shift, [0, 1], 7), rng=rng())
    scaled = did(panel_of(values * scale, [0, 1], 7), rng=rng())

    assert pytest.approx(found.effect, abs=1e-8) == shifted.effect
    assert pytest.approx(found.effect * scale, rel=1e-8, abs=1e-10) == scaled.effect
    assert found.p == scaled.p


def test_the_interval_holds_what_is_not_rejected():
    """Taking out an effect inside the interval is not rejected; one outside is."""
    values = rng(5).normal(size=(25, 12))
    values[[0, 1], 7:] -= 3
    panel = panel_of(values, [0, 1], 7)
    found = did(panel, rng=rng())

    def p_without(effect: float) -> float:
        less = panel.values - effect * panel.treatment
        return did(panel.with_values(less), rng=rng()).p

    assert p_without(found.low + 0.02) > 0.05 >= p_without(found.low - 0.02)
    assert p_without(found.high - 0.02) > 0.05 >= p_without(found.high + 0.02)
    assert found.low < -3 < found.high


def test_exchanging_units_keeps_its_promise():
    """Of 200 panels without an effect, about one in twenty has p below .05."""
    chance = rng(6)
    panels = (panel_of(chance.normal(size=(20, 10)).cumsum(axis=1), [3], 6) for _ in range(200))

    rejected = sum(did(panel, rng=rng()).p <= 0.05 for panel in panels)

    assert rejected <= 16


def test_diverging_trends_show_before_the_start():
    """A treated unit that was on another way already fails the joint test and the slope's."""
    values = rng(7).normal(size=(20, 30)) * 0.2
    values[0] += 0.1 * np.arange(30)

    diverging = event_study(panel_of(values, [0], 20), rng=rng())
    parallel = event_study(panel_of(values, [5], 20), rng=rng())

    assert diverging.pre_p <= 0.10 < parallel.pre_p
    assert pytest.approx(0.1, abs=0.02) == diverging.slope


def test_before_after_takes_the_trend_for_an_effect():
    """The naive difference of a mere trend is large; nothing is compared with."""
    values = np.tile(np.arange(20.0), (3, 1))

    found = before_after(panel_of(values, [0], 10))

    assert 10 == found.effect
    assert math.isnan(found.p)


def test_staggered_starts_are_not_compared_with_each_other():
    """Effects that grow fool a common difference; cohort by cohort they come out right."""
    t = np.arange(20)
    values = np.zeros((12, 20))
    starts = np.full(12, 20)
    for row, start in ((0, 4), (1, 4), (2, 12), (3, 12)):
        starts[row] = start
        values[row] = np.maximum(0, t - start + 1)
    panel = Panel(
        units=tuple(f"u{row:02d}" for row in range(12)),
        periods=t.astype(float),
        values=values,
        starts=starts,
    )

    found = callaway_santanna(panel, draws=0, rng=rng())

    by_group = {row["group"]: row["effect"] for row in found.detail["by_group"]}
    assert {4.0: 8.5, 12.0: 4.5} == by_group
    assert pytest.approx((16 * 8.5 + 8 * 4.5) / 24) == found.effect


@pytest.mark.parametrize(
    ("treated", "says"), [([], "no unit is treated"), (list(range(6)), "no control")]
)
def test_what_cannot_be_compared_is_refused(treated, says):
    """Nobody treated, or everybody at once."""
    with pytest.raises(NotEstimableError, match=says):
        did(panel_of(rng().normal(size=(6, 8)), treated, 4), rng=rng())


def test_constant_values_have_no_p():
    """An error of 0 tells nothing, and is not taken for certainty."""
    found = did(panel_of(np.ones((30, 8)), list(range(12)), 4), inference="cluster", rng=rng())

    assert 0 == found.effect
    assert math.isnan(found.p)
    assert "p" in found.why
