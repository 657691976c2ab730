"""Estimators as a table: who may run on which panel, and which of them decides."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

from livinglab.errors import NotEstimableError
from livinglab.impact.effects.difference import before_after, did
from livinglab.impact.effects.interrupted import interrupted
from livinglab.impact.effects.staggered import callaway_santanna
from livinglab.impact.effects.structural import structural
from livinglab.impact.effects.synthetic import synthetic_control, synthetic_did
from livinglab.impact.kernels import KERNELS
from livinglab.impact.panel import Panel
from livinglab.impact.results import Estimate

FEW_TREATED = 5
"""Treated units up to which a synthetic comparison decides."""
LEAST_DONORS = 10
LEAST_CLUSTERS = 10
LEAST_BEFORE = 24
"""Periods before the start that a series of its own needs."""
LEAST_AFTER = 3
"""Periods after it."""
MOST_CELLS = 1_000_000
"""Of a panel whose weights are sought hundreds of times over."""
LONGEST_STRUCTURAL = 3_000
"""Periods of a series whose model is fitted anew at every fake date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller may choose of all estimators."""

    level: float = 0.95
    draws: int = 999
    seasonal: float | None = None
    control_group: Literal["never", "notyet"] = "never"
    unbalanced: Literal["available", "complete"] = "available"


@dataclass(frozen=True, slots=True)
class Estimator:
    """One row: its name, what the data must carry, and how it runs."""

    name: str
    rule: Callable[[Panel], None]
    """Raises NotEstimableError with the rule that fails."""
    run: Callable[[Panel, Options, Generator], Estimate]
    point: Callable[[Panel, Options], float]
    """The effect without inference, for placebos and variants."""


def _staggered(panel: Panel) -> bool:
    return len(np.unique(panel.starts[panel.is_treated])) > 1


def _synthetic(panel: Panel) -> None:
    cells = panel.values.size
    if cells > MOST_CELLS:
        raise NotEstimableError(
            f"too few placebos in good time on {cells:,} cells: average them over longer periods, "
            "or name it"
        )
    donors = int((~panel.is_treated).sum())
    if donors < LEAST_DONORS:
        raise NotEstimableError(f"needs {LEAST_DONORS} control units, there are {donors}")
    before, after = panel.start, len(panel.periods) - panel.start
    if before < min(2 * after, LEAST_BEFORE):
        raise NotEstimableError(
            f"needs {min(2 * after, LEAST_BEFORE)} periods before the start, there are {before}"
        )


def _difference(panel: Panel) -> None:
    if _staggered(panel):
        raise NotEstimableError("starts differ: a common difference would mix early and late")
    _enough_clusters(panel)


def _enough_clusters(panel: Panel) -> None:
    if not (~panel.is_treated).any():
        raise NotEstimableError("there is no control unit")
    count = len(np.unique(panel.clusters))
    if count < LEAST_CLUSTERS:
        raise NotEstimableError(f"needs {LEAST_CLUSTERS} clusters, there are {count}")


def _cohorts(panel: Panel) -> None:
    if not _staggered(panel):
        raise NotEstimableError("all treated units start together")
    _enough_clusters(panel)


def _series(panel: Panel) -> None:
    start = panel.start
    seen = int((~np.isnan(panel.mean_treated()[:start])).sum())
    if seen < LEAST_BEFORE:
        raise NotEstimableError(f"needs {LEAST_BEFORE} periods before the start, there are {seen}")
    if len(panel.periods) - start < LEAST_AFTER:
        raise NotEstimableError(f"needs {LEAST_AFTER} periods after the start")


def _structural(panel: Panel) -> None:
    _series(panel)
    if len(panel.periods) > LONGEST_STRUCTURAL:
        raise NotEstimableError(
            f"takes hours on {len(panel.periods):,} periods: average over longer ones, or name it"
        )


def _anything(panel: Panel) -> None:
    if not panel.is_treated.any():
        raise NotEstimableError("no unit is treated")


def _kernel_point(name: str) -> Callable[[Panel, Options], float]:
    def point(panel: Panel, options: Options) -> float:  # noqa: ARG001 - a row's signature
        block = panel.block()
        gap = KERNELS[name](
            block.values[~block.is_treated],
            block.mean_treated(),
            block.start,
            int(block.is_treated.sum()),
        )
        return float(gap[block.start :].mean())

    return point


ESTIMATORS: Mapping[str, Estimator] = {
    row.name: row
    for row in (
        Estimator(
            "sdid",
            _synthetic,
            lambda panel, options, rng: synthetic_did(
                panel, draws=min(options.draws, 500), level=options.level, rng=rng
            ),
            _kernel_point("sdid"),
        ),
        Estimator(
            "sc",
            _synthetic,
            lambda panel, options, rng: synthetic_control(
                panel, draws=min(options.draws, 500), level=options.level, rng=rng
            ),
            _kernel_point("sc"),
        ),
        Estimator(
            "cs",
            _cohorts,
            lambda panel, options, rng: callaway_santanna(
                panel,
                control_group=options.control_group,
                unbalanced=options.unbalanced,
                draws=options.draws,
                level=options.level,
                rng=rng,
            ),
            lambda panel, options: (
                callaway_santanna(
                    panel,
                    control_group=options.control_group,
                    unbalanced=options.unbalanced,
                    draws=0,
                    level=options.level,
                    rng=np.random.default_rng(0),
                ).effect
            ),
        ),
        Estimator(
            "did",
            _difference,
            lambda panel, options, rng: did(
                panel, draws=2 * options.draws + 1, level=options.level, rng=rng
            ),
            lambda panel, options: (
                did(
                    panel, inference="cluster", level=options.level, rng=np.random.default_rng(0)
                ).effect
            ),
        ),
        Estimator(
            "its",
            _series,
            lambda panel, options, rng: interrupted(  # noqa: ARG005 - a row's signature
                panel, seasonal=options.seasonal, level=options.level
            ),
            lambda panel, options: (
                interrupted(
                    panel, seasonal=options.seasonal, level=options.level, placebo=False
                ).effect
            ),
        ),
        Estimator(
            "uc",
            _structural,
            lambda panel, options, rng: structural(
                panel,
                seasonal=None if options.seasonal is None else int(options.seasonal),
                level=options.level,
                rng=rng,
            ),
            lambda panel, options: (
                structural(
                    panel,
                    seasonal=None if options.seasonal is None else int(options.seasonal),
                    repetitions=200,
                    level=options.level,
                    rng=np.random.default_rng(0),
                ).effect
            ),
        ),
        Estimator(
            "before_after",
            _anything,
            lambda panel, options, rng: before_after(panel, level=options.level),  # noqa: ARG005
            lambda panel, options: before_after(panel, level=options.level).effect,
        ),
    )
}
"""In the order of tiers: the first that holds decides."""


def may_decide(estimate: Estimate, panel: Panel) -> bool:
    """Tell whether an estimate may be the headline: synthetic ones only with few treated units."""
    few = int(panel.is_treated.sum()) <= FEW_TREATED
    return math.isfinite(estimate.effect) and (few or estimate.tier != "T1")
