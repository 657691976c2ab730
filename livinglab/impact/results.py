"""What an estimator and a guard answer: plain values, each undefined number with its reason."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Tier = Literal["T1", "T2", "T3", "T4", "D"]
Status = Literal[
    "pass", "soft_fail", "cap_B", "cap_C", "next_tier", "veto", "not_applicable", "reported"
]

UNBOUNDED = "unbounded: too few units or dates to exclude any value on this side"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One estimator's answer on one panel.

    An undefined number is NaN, or an infinite bound, and *why* says the reason by field name.

    Attributes:
        estimator: Its short name: ``did``, ``cs``, ``sc``, ``sdid``, ``its``, ``uc``,
            ``before_after``.
        tier: Its place in the table of tiers; ``D`` is before minus after.
        effect: Mean of treated minus counterfactual over the post window. [unit of the panel's
            values; log points for ``log`` and ``poisson``]
        low: Lower bound of the interval at *level*; -inf is unbounded. [as effect]
        high: Upper bound; inf is unbounded. [as effect]
        level: Coverage of the interval. [1]
        relative: Effect as a fraction of the counterfactual, from sums. [1]
        se: Standard error. [as effect]
        p: The p-value of record, two-sided. [1]
        p_min: The smallest p that the method can reach with these units and dates. [1]
        p_method: How p came about: ``cluster_t``, ``randomisation``, ``placebo_space``,
            ``placebo_time``, ``bootstrap``, ``simulation``, ``none``.
        n: Cells used. [1]
        detail: More, ready for JSON: weights, event study, RMSPE, cells, counts.
        paths: Arrays for plots and guards, by name: ``observed``, ``counterfactual`` (both over
            ``periods``), ``placebos`` and so on. Not part of the JSON.
        why: Reasons of undefined numbers by field name.
    """

    estimator: str
    tier: Tier
    effect: float
    low: float
    high: float
    level: float = 0.95
    relative: float = math.nan
    se: float = math.nan
    p: float = math.nan
    p_min: float = 0.0
    p_method: str = "none"
    n: int = 0
    detail: Mapping[str, Any] = field(default_factory=dict)
    paths: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One check of one estimate: what was found, against which threshold, and what follows.

    Attributes:
        id: Its name in the table of guards.
        status: ``pass``; or what its failure costs; ``not_applicable`` where an input was never
            supplied; ``reported`` where it only tells a number.
        value: What was computed; NaN or None where nothing could be.
        threshold: What it was held against.
        note: One sentence for a reader, where the numbers do not say all.
    """

    id: str
    status: Status
    value: float | None = None
    threshold: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    """An estimator that was not run, and the data rule that forbade it."""

    estimator: str
    reason: str


def number(value: float | None) -> float | None:
    """Return a finite number, or null."""
    return None if value is None or not math.isfinite(value) else float(value)


def period(value: Any) -> float | str:
    """Write a period: a number, a date, or a time with Z."""
    if isinstance(value, np.datetime64):
        text = str(value.astype("datetime64[s]"))
        return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else f"{text}Z"
    return float(value)


def plain(value: Any) -> Any:
    """Return JSON's own types: no tuple, no numpy, and null for what is no finite number."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(one) for one in value]
    if isinstance(value, np.datetime64):
        return period(value)
    if isinstance(value, np.generic):
        value = value.item()
    return number(value) if isinstance(value, float) else value
