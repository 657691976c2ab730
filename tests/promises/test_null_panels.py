"""Where nothing happened, nothing is found more often than promised."""

import numpy as np
import pytest

from livinglab.impact.estimators import ESTIMATORS, Options
from livinglab.impact.evaluation import evaluate
from tests.promises.worlds import PANELS, WHOLE, at_most, calm_panel, in_parallel

pytestmark = pytest.mark.slow

FOUND = 0.05


def p_of(asked: tuple[str, int]) -> float:
    """The p-value of record of an estimator on a panel of noise."""
    name, seed = asked
    panel, chance = calm_panel(name, seed), np.random.default_rng(seed)
    return ESTIMATORS[name].run(panel, Options(draws=199), chance).p


@pytest.mark.parametrize("name", ["did", "cs", "sc", "sdid", "its", "uc"])
def test_noise_is_seldom_taken_for_an_effect(name):
    """P ≤ .05 in at most 8 of 100 panels of AR(1) noise, before any guard; each has a p at all."""
    found = np.array(in_parallel(p_of, [(name, seed) for seed in range(PANELS)]))

    assert not np.isnan(found).any()
    assert np.mean(found <= FOUND) <= at_most(0.08, PANELS, WHOLE["panels"])


def test_before_and_after_never_claims_a_cause():
    """It has no p of record, so it is graded D whatever it shows."""
    panel = calm_panel("did", 1)
    shifted = panel.with_values(
        panel.values + 50 * (np.arange(len(panel.periods)) >= panel.starts[:, None])
    )
    found = evaluate(shifted, estimators=("before_after",))

    assert found.grade is not None
    assert "D" == found.grade.letter
