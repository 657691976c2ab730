"""Relations: how far two series go together, at which lag, and how easily chance does the same.

Arrays have one row per unit (a Place, a Zone, or the whole city) and one column per period, as
`pairing.paired` makes them. Missing is NaN.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from scipy.linalg import LinAlgError, solve_toeplitz
from scipy.signal import correlate
from scipy.stats import norm
from scipy.stats import t as student

from livinglab.errors import NotEstimableError
from livinglab.impact.results import Floats

Direction = Literal["readings_first", "together", "observations_first"]

LEAST_PERIODS = 60
LEAST_SHIFT = 30
"""A series moved by less still resembles itself. [periods]"""
LEAST_SERIES = 30
"""Values that an autoregression is learnt from, at least."""
LEAST_EFFECTIVE = 3
"""A rank correlation of no more pairs can be anything."""
NOTHING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class AtLag:
    """The rank correlation of Observations with Readings so many periods earlier."""

    lag: int
    rho: float
    n: int
    """Pairs it rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """How two series go together at the lag at which they do most.

    Attributes:
        lag: That lag; Observations follow Readings by it. [periods]
        rho: Spearman's rank correlation there. [−1 to 1]
        low: Lower bound of its interval; it does not pay for the choice of the lag.
        high: Upper bound.
        n: Pairs at that lag.
        n_eff: What they are worth, since neighbours in time repeat each other.
        p: How often circular shifts have a lag as strong; it pays for the choice of the lag.
        p_min: The smallest p that so many shifts can give.
        shifts: How many there are.
        by_lag: All lags.
    """

    lag: int
    rho: float
    low: float
    high: float
    n: int
    n_eff: float
    p: float
    p_min: float
    shifts: int
    by_lag: tuple[AtLag, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadLag:
    """Which of two series moves first, once what each tells of itself is taken out.

    Attributes:
        best: The strongest lag, positive where Observations follow Readings; None unless it
            passes the test. [periods]
        direction: The same in a word.
        rho: Rank correlation of what remains at the strongest lag, passed or not.
        p: As in `Relation`.
        n: Pairs that remain.
    """

    best: int | None
    direction: Direction | None
    rho: float
    p: float
    n: int


# --- level


def spearman(perceived: Floats, sensed: Floats, lag: int = 0) -> tuple[float, int]:
    """Correlate the ranks of Observations with those of Readings *lag* periods earlier.

    Values are ranked within each unit, so that what differs between units for good counts nowhere;
    for one unit this is Spearman's coefficient [1].

    Args:
        perceived: [N, T]
        sensed: [N, T]
        lag: Negative where Observations come first. [periods]

    Returns:
        The coefficient, NaN where one of the two does not vary, and the pairs it rests on.

    References:
        [1] C. Spearman, Am. J. Psychol. 15 (1), 72-101, 1904.
    """
    later, earlier = lagged(perceived, sensed, lag)
    both = ~(np.isnan(later) | np.isnan(earlier))
    a, b = (_ranks(np.where(both, one, np.nan)) for one in (later, earlier))
    size = math.sqrt(float((a * a).sum() * (b * b).sum()))
    rho = float((a * b).sum()) / size if size > NOTHING else math.nan
    return max(-1.0, min(1.0, rho)) if size > NOTHING else rho, int(both.sum())


def lagged(perceived: Floats, sensed: Floats, lag: int) -> tuple[Floats, Floats]:
    """Cut both so that each column holds Observations and the Readings *lag* periods before."""
    length = perceived.shape[1]
    if lag < 0:
        return perceived[:, : max(length + lag, 0)], sensed[:, -lag:]
    return perceived[:, lag:], sensed[:, : max(length - lag, 0)]


def _ranks(values: Floats) -> Floats:
    """Rank within each unit, centred, as a share of its values; 0 where there is none. [N, T]"""
    ranks = pd.DataFrame(values.T).rank().to_numpy().T
    n = np.maximum((~np.isnan(values)).sum(axis=1, keepdims=True), 1)
    return np.asarray(np.nan_to_num((ranks - (n + 1) / 2) / n))


def relation(
    perceived: Floats,
    sensed: Floats,
    *,
    lags: Sequence[int],
    step: int = 1,
    circle: int = 1,
    level: float = 0.95,
) -> Relation:
    """Find the lag at which Observations go most with Readings, and how easily chance does so.

    The p-value is that of the strongest lag among the strongest lags of all circular shifts of the
    Readings by 30 periods or more, so it pays for the choice of the lag and for what each series
    remembers of itself; it is not below what so few independent shifts can promise. All units are
    shifted together: what they have in common they keep. Ranks are taken once, and what a lag
    pushes over the end comes in at the beginning.

    What both do every day, or every week, is no relation: then give a *step* of whole rounds, or
    lags that span one, and a *circle* of whole rounds. Without, two series that share nothing but
    a round of hours were found related in two to ten of ten cases, of weekdays in three to ten.

    Args:
        perceived: [N, T]
        sensed: [N, T]
        lags: By how many periods Observations may follow. [periods]
        step: Shift by multiples of it only. [periods]
        circle: As for `shifted`. [periods]
        level: Coverage of the interval, from `effective_pairs` of independent units [1] or from
            what circular shifts give, whichever is wider.

    Raises:
        NotEstimableError: One of the two does not vary.

    References:
        [1] D. G. Bonett, T. A. Wright, Psychometrika 65 (1), 23-28, 2000.
    """
    by_lag = _by_lag(perceived, sensed, lags)
    best = max(by_lag, key=lambda one: abs(one.rho))
    rhos = shifted(perceived, sensed, circle)
    p, shifts = _chance(rhos, lags, step)
    n_eff = effective_pairs(best.n, _persistence(perceived), _persistence(sensed))
    low, high = _interval(best.rho, n_eff, _spread(rhos), level)
    return Relation(
        lag=best.lag,
        rho=best.rho,
        low=low,
        high=high,
        n=best.n,
        n_eff=n_eff,
        p=p,
        p_min=1 / (1 + shifts),
        shifts=shifts,
        by_lag=by_lag,
    )


def _by_lag(perceived: Floats, sensed: Floats, lags: Iterable[int]) -> tuple[AtLag, ...]:
    found = ((lag, *spearman(perceived, sensed, lag)) for lag in lags)
    by_lag = tuple(AtLag(lag=lag, rho=rho, n=n) for lag, rho, n in found if not math.isnan(rho))
    if not by_lag:
        raise NotEstimableError("at no lag do both Observations and Readings vary")
    return by_lag


def _chance(rhos: Floats, lags: Sequence[int], step: int) -> tuple[float, int]:
    """Return p of the strongest lag, and how many circular shifts it was held against."""
    strongest = np.max([np.roll(np.abs(rhos), -lag) for lag in lags], axis=0)
    first = -(-LEAST_SHIFT // step) * step
    others = strongest[first : max(len(rhos) - LEAST_SHIFT + 1, 0) : step]
    if not len(others):
        return 1.0, 0
    as_strong = int((others >= strongest[0] - NOTHING).sum())
    p = (1 + as_strong) / (1 + len(others))
    return max(p, _chance_of_few(float(strongest[0]), others)), len(others)


def _chance_of_few(strongest: float, others: Floats) -> float:
    """Predict one more value as strong from shifts that repeat each other: Student's tail.

    Neighbouring shifts share most of their lags, so a short series has far fewer independent ones
    than it has shifts, and their share alone finds relations too often: in a tenth of series of 150
    periods that have none. What they are worth is told by how they repeat each other.
    """
    deviations = others - others.mean()
    spread = float(deviations @ deviations)
    if len(others) < LEAST_EFFECTIVE or spread < NOTHING**2:
        return 0.0
    memory = correlate(deviations, deviations, "full")[len(others) - 1 :] / spread
    ends = int(np.argmax(memory < 0)) or len(memory)
    worth = max(2.0, len(others) / (1 + 2 * float(memory[1:ends].sum())))
    size = math.sqrt(spread / len(others) * worth / (worth - 1) * (1 + 1 / worth))
    return float(student.sf((strongest - float(others.mean())) / size, worth - 1))


def _spread(rhos: Floats) -> float:
    """How far from 0 circular shifts lie, on Fisher's scale."""
    others = np.clip(
        rhos[LEAST_SHIFT : max(len(rhos) - LEAST_SHIFT + 1, 0)], NOTHING - 1, 1 - NOTHING
    )
    return float(np.sqrt(np.mean(np.arctanh(others) ** 2))) if len(others) else 0.0


def shifted(perceived: Floats, sensed: Floats, circle: int = 1) -> Floats:
    """Correlate the ranks at every circular shift of the Readings, all units pooled. [T]

    At shift s an Observation meets the Reading s periods before it. Ranks are those of the whole
    series, centred again over the pairs of each shift. One Fourier transform gives all shifts.

    Args:
        perceived: [N, T]
        sensed: [N, T]
        circle: The end is cut so that a multiple of it remains: a circle has whole weeks, or what
            comes in at the beginning is of another weekday and hour. [periods]
    """
    length = perceived.shape[1] // circle * circle
    if not length:
        return np.empty(0)
    perceived, sensed = perceived[:, :length], sensed[:, :length]

    def spectra(values: Floats) -> list[Any]:
        ranks = _ranks(values)
        there = (~np.isnan(values)).astype(np.float64)
        return [rfft(one, axis=1) for one in (there, ranks, ranks * ranks)]

    p0, p1, p2 = spectra(perceived)
    s0, s1, s2 = (one.conj() for one in spectra(sensed))

    def summed(one: Any, other: Any) -> Floats:
        return np.asarray(irfft(one * other, length, axis=1))

    n = np.maximum(np.rint(summed(p0, s0)), 1.0)
    mean_p, mean_s = summed(p1, s0) / n, summed(p0, s1) / n
    both = (summed(p1, s1) - n * mean_p * mean_s).sum(axis=0)
    size_p = (summed(p2, s0) - n * mean_p**2).sum(axis=0)
    size_s = (summed(p0, s2) - n * mean_s**2).sum(axis=0)
    size = np.sqrt(np.maximum(size_p, 0.0) * np.maximum(size_s, 0.0))
    return np.asarray(np.where(size > NOTHING, both / np.maximum(size, NOTHING), 0.0))


def effective_pairs(n: int, r1: float, r2: float) -> float:
    """Tell how many independent pairs two series with memory are worth.

    ``n·(1 − r1·r2)/(1 + r1·r2)``, and never more than there are [1].

    Args:
        n: Pairs.
        r1: Correlation of the one series with itself a period before. [−1 to 1]
        r2: Of the other. [−1 to 1]

    References:
        [1] M. S. Bartlett, J. R. Stat. Soc. 98 (3), 536-543, 1935.
    """
    together = r1 * r2
    return float(n) if together <= 0 else n * (1 - together) / (1 + together)


def _persistence(values: Floats) -> float:
    """Rank correlation of a series with itself a period before; 0 where it does not vary."""
    rho, _ = spearman(values, values, 1)
    return 0.0 if math.isnan(rho) else rho


def _interval(rho: float, n_eff: float, spread: float, level: float) -> tuple[float, float]:
    """Reach as far as *n_eff* pairs, or the circular shifts, say: whichever is farther."""
    if n_eff <= LEAST_EFFECTIVE:
        return -1.0, 1.0
    centre = math.atanh(max(-1 + NOTHING, min(1 - NOTHING, rho)))
    error = max(spread, math.sqrt((1 + rho**2 / 2) / (n_eff - LEAST_EFFECTIVE)))
    reach = float(norm.ppf((1 + level) / 2)) * error
    return math.tanh(centre - reach), math.tanh(centre + reach)


def without_months(values: Floats, months: NDArray[np.int64]) -> Floats:
    """Subtract each unit's median of each month.

    Args:
        values: [N, T]
        months: Calendar months of the periods, numbered through the years. [T]
    """
    frame = pd.DataFrame(values.T)
    return np.asarray((frame - frame.groupby(months).transform("median")).to_numpy().T)


# --- lead and lag


def lead_lag(
    perceived: Floats,
    sensed: Floats,
    *,
    reach: int,
    step: int = 1,
    circle: int = 1,
    alpha: float = 0.05,
) -> LeadLag:
    """Tell which of two series moves first, once each is freed of what it repeats of itself.

    Two series with a daily round lead each other at every lag; so each unit of both is prewhitened
    by an autoregression [1], and the strongest lag must pass the test of `relation`.

    Args:
        perceived: [N, T]
        sensed: [N, T]
        reach: Lags up to it are tried on both sides. [periods]
        step: As for `relation`. [periods]
        circle: As for `relation`. [periods]
        alpha: Greatest p with which a lag is named.

    Raises:
        NotEstimableError: Fewer than sixty pairs remain, or one series does not vary.

    References:
        [1] L. D. Haugh, J. Am. Stat. Assoc. 71 (354), 378-385, 1976.
    """
    one, other = (np.array([prewhitened(row) for row in rows]) for rows in (perceived, sensed))
    _, n = spearman(one, other)
    if n < LEAST_PERIODS:
        raise NotEstimableError(
            f"{n} pairs remain after prewhitening, {LEAST_PERIODS} are needed: Readings have holes"
        )
    lags = range(-reach, reach + 1)
    best = max(_by_lag(one, other, lags), key=lambda at: abs(at.rho))
    p, _ = _chance(shifted(one, other, circle), lags, step)
    named = p <= round(alpha, 12)
    direction: Direction = (
        "together" if best.lag == 0 else "readings_first" if best.lag > 0 else "observations_first"
    )
    return LeadLag(
        best=best.lag if named else None,
        direction=direction if named else None,
        rho=best.rho,
        p=p,
        n=best.n,
    )


def prewhitened(values: Floats) -> Floats:
    """Subtract what a series tells of itself: the residuals of an autoregression. [T]

    Its order, of at most ``10·log10(n)``, has the least BIC; its coefficients solve the Yule-Walker
    equations over the pairs that are there [1]. A residual is NaN where one of its terms is.

    Args:
        values: One series, NaN where nothing is. [T]

    Returns:
        What remains, as a share of the greatest value. [T]

    References:
        [1] G. E. P. Box, G. M. Jenkins, G. C. Reinsel, Time Series Analysis, 3rd ed., chapter 6.
    """
    there = ~np.isnan(values)
    n = int(there.sum())
    if n < LEAST_SERIES:
        return np.full(len(values), np.nan)
    scaled = values / max(float(np.abs(values[there]).max()), NOTHING)
    centred = np.where(there, scaled - scaled[there].mean(), 0.0)
    most = min(int(10 * math.log10(n)), n // 4)
    pairs = np.array([(there[lag:] & there[: len(there) - lag]).sum() for lag in range(most + 1)])
    products = np.array([centred[lag:] @ centred[: len(centred) - lag] for lag in range(most + 1)])
    coefficients = _autoregression(products / np.maximum(pairs, 1), n)
    found = np.where(there, centred, np.nan)
    for lag, coefficient in enumerate(coefficients, start=1):
        found[lag:] -= coefficient * np.where(there, centred, np.nan)[:-lag]
    found[: len(coefficients)] = np.nan
    return found


def _autoregression(covariances: Floats, n: int) -> Floats:
    """Return the coefficients of the order with the least BIC; none where nothing is gained."""
    best, coefficients = math.inf, np.empty(0)
    for order in range(len(covariances)):
        try:
            tried = solve_toeplitz(covariances[:order], covariances[1 : order + 1]) if order else []
        except LinAlgError:
            break
        rest = float(covariances[0] - np.dot(tried, covariances[1 : order + 1]))
        if rest <= NOTHING * max(float(covariances[0]), NOTHING):
            break
        bic = n * math.log(rest) + order * math.log(n)
        if bic < best:
            best, coefficients = bic, np.asarray(tried, np.float64)
    return coefficients
