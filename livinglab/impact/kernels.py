"""Kernels: what each comparing estimator subtracts from a treated series, and nothing else.

Placebos, power and leave-one-out ask the same question hundreds of times; a kernel answers it
from arrays, without inference. Its gap is treated minus counterfactual, centred before the start
where the estimator centres it.
"""

from collections.abc import Callable, Mapping

import numpy as np

from livinglab.impact.effects.simplex import sc_weights, sdid_weights
from livinglab.impact.results import Floats

Kernel = Callable[[Floats, Floats, int, int], Floats]
"""(controls [J, T], mean of the treated [T], start, number treated) → gap [T]."""


def did_gap(controls: Floats, treated: Floats, start: int, n_treated: int) -> Floats:  # noqa: ARG001 - a kernel
    """Subtract the mean of the controls, and the mean of what was there before."""
    gap = treated - controls.mean(axis=0)
    return np.asarray(gap - gap[:start].mean())


def sc_gap(controls: Floats, treated: Floats, start: int, n_treated: int) -> Floats:  # noqa: ARG001 - a kernel
    """Subtract the convex combination of controls that is nearest before the start."""
    weights = sc_weights(controls[:, :start].T, treated[:start])
    return np.asarray(treated - weights @ controls)


def sdid_gap(controls: Floats, treated: Floats, start: int, n_treated: int) -> Floats:
    """Subtract weighted controls, and the weighted mean of what was there before."""
    omega, lambda_ = sdid_weights(controls, treated, start, n_treated, "nnls")
    gap = treated - omega @ controls
    return np.asarray(gap - lambda_ @ gap[:start])


KERNELS: Mapping[str, Kernel] = {"did": did_gap, "sc": sc_gap, "sdid": sdid_gap}
"""By short name of the estimator."""
