"""Who may run on which panel: what would take hours is passed over, with what to do instead."""

import numpy as np
import pytest

from livinglab.errors import NotEstimableError
from livinglab.impact.estimators import ESTIMATORS
from livinglab.impact.panel import Panel


def panel(units: int, periods: int) -> Panel:
    starts = np.full(units, periods)
    starts[0] = periods - 10
    return Panel(
        units=tuple(f"u{row}" for row in range(units)),
        periods=np.arange(periods, dtype=float),
        values=np.zeros((units, periods)),
        starts=starts,
    )


@pytest.mark.parametrize("name", ["sdid", "sc"])
def test_weights_are_not_sought_on_millions_of_cells(name):
    """A thousand units over a thousand periods are the most; who names it gets it all the same."""
    ESTIMATORS[name].rule(panel(1_000, 1_000))

    with pytest.raises(NotEstimableError, match="average them over longer periods, or name it"):
        ESTIMATORS[name].rule(panel(1_000, 1_001))


def test_a_structural_series_has_its_length():
    """Beyond three thousand periods a model at every fake date takes hours."""
    ESTIMATORS["uc"].rule(panel(1, 3_000))
    ESTIMATORS["its"].rule(panel(1, 3_001))

    with pytest.raises(NotEstimableError, match="3,001 periods"):
        ESTIMATORS["uc"].rule(panel(1, 3_001))
