"""A panel of millions of cells is answered within a minute, and tells what was left out."""

import numpy as np
import pytest

from livinglab.impact.effects.synthetic import synthetic_control
from livinglab.impact.panel import Panel
from livinglab.impact.power import minimum_detectable_effect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def panel_of(values: np.ndarray, start: int) -> Panel:
    """Units of which the first two are treated from column *start* on."""
    units, periods = values.shape
    starts = np.full(units, periods)
    starts[:2] = start
    return Panel(
        units=tuple(f"u{row:02}" for row in range(units)),
        periods=np.arange(periods, dtype=np.float64),
        values=values,
        starts=starts,
    )


def test_a_huge_panel_is_held_against_fewer_placebos_and_says_so():
    """Of 300 pairs of controls 40 are drawn for 2.5 million cells, 200 for a small panel."""
    noise_alone = np.random.default_rng(1).normal(size=(27, 100_010))
    huge = synthetic_control(panel_of(noise_alone, 100_000), rng=np.random.default_rng(1))
    small = synthetic_control(panel_of(noise_alone[:, :50], 40), rng=np.random.default_rng(1))

    assert (40, 200) == (huge.detail["placebos"], small.detail["placebos"])
    assert "40 instead of 200: weights on so many cells take long" == huge.detail["fewer_draws"]
    assert "fewer_draws" not in small.detail


def test_what_a_huge_panel_would_have_found_is_planted_at_fewer_controls():
    """At 38 of 325 pairs, each held against the others; never where something was done."""
    values = np.random.default_rng(1).normal(size=(28, 100_010))
    told = minimum_detectable_effect(
        panel_of(values, 100_000), "sdid", rng=np.random.default_rng(1)
    )

    assert 35 <= told.plantings <= 40
    assert "planted at controls, at the real start: the panel is large" == told.note
    assert 0.3 < told.mde < 1.5
