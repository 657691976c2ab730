"""Agreement: whether what citizens post and what sensors show rise and fall together.

Counts of Observations are not the phenomenon: a campaign raises them while a problem shrinks. So
nothing here tells a cause, nothing calibrates a sensor by its neighbours' complaints, and what does
not pass its test is "no relation shown", which is not "no relation".

Arrays have one row per unit (a Place, a Zone, or the whole city) and one column per period, as
`paired` makes them of two tables.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import rankdata
from scipy.stats import t as student

from livinglab.errors import NotEstimableError, PanelError
from livinglab.impact.pairing import Count, Every, Pairing, Pairs, paired
from livinglab.impact.relations import (
    LEAST_PERIODS,
    LeadLag,
    Relation,
    lagged,
    lead_lag,
    relation,
    without_months,
)
from livinglab.impact.results import Floats, plain

Anomalies = Literal["month", "none"]
Finding = Literal["related", "none_shown", "too_little_data"]
Quadrant = Literal["improved_felt", "improved_not_felt", "not_improved_felt", "neither"]
Better = Literal["less", "more"]

LAGS: Mapping[Every, range] = {"1h": range(25), "1D": range(8)}
"""A day of hours, a week of days: how much later people may post."""
WORD: Mapping[Every, str] = {"1h": "hour", "1D": "day"}
WEEK = 7
"""[days]"""
PARTS = ("level", "anomalies", "exceedance", "concordance", "lead_lag")

LEAST_OBSERVATIONS = 30
LEAST_UNITS = 5
LEAST_PERIODS_OF_ONE = 100
LEAST_HALF = 30
"""Pairs to learn a calibration from, and as many to try it on."""
NAMED_FROM = 0.80
"""Probability from which a quadrant is named."""
BLOCKS = 10
"""Blocks of periods that are drawn again."""
UNDEFINED_DRAWS = 0.05
"""Share of draws that may be undefined before their interval is."""
LEAST_P_TOLD = 0.001


# --- what is answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceedance:
    """Whether more is posted while Readings exceed a threshold.

    Attributes:
        threshold: Periods above it exceed it. [unit of the Readings]
        lag: Observations so many periods later are counted; the first lag that was asked for, so
            that nothing was chosen by looking.
        rate_ratio: Observations in a period that follows an exceedance over those in another. [1]
        low: Lower bound of its interval, from blocks of periods drawn again.
        high: Upper bound.
        auc: Probability that the one has more Observations than the other, ties by half. [0 to 1]
        exceeded: Pairs above the threshold.
        other: Pairs that are not.
        why: Reasons of undefined numbers by name.
    """

    threshold: float
    lag: int
    rate_ratio: float
    low: float
    high: float
    auc: float
    exceeded: int
    other: int
    why: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concordance:
    """How near Observations come to Readings, on a curve learnt from the half before.

    Attributes:
        ccc: Lin's concordance correlation. [−1 to 1]
        lag: Observations so many periods later are meant.
        trained: Pairs the curve was learnt from.
        tested: Pairs it was tried on.
    """

    ccc: float
    lag: int
    trained: int
    tested: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Whether it became better, and whether people felt it: probabilities of the four answers."""

    probabilities: Mapping[Quadrant, float]
    named: Quadrant | Literal["undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What citizens and sensors told together.

    Attributes:
        periods: Periods with Readings, between the first Observation and the last.
        observations: Observations that count.
        every: Length of a period.
        since: First period; None where there is none.
        until: Last period.
        pairing: How the two were brought together.
        level: On values as they are; None where undefined, with the reason in *why*.
        anomalies: The same after each unit's median of each month was taken out; it decides. None
            where it was not asked for.
        exceedance: Around a threshold.
        concordance: After calibration.
        lead_lag: Who moves first.
        finding: The answer in a word.
        sentence: The answer in words that claim no cause.
        why: Reasons of parts that are None.
    """

    periods: int
    observations: int
    every: Every
    since: str | None
    until: str | None
    pairing: Pairing
    level: Relation | None = None
    anomalies: Relation | None = None
    exceedance: Exceedance | None = None
    concordance: Concordance | None = None
    lead_lag: LeadLag | None = None
    finding: Finding
    sentence: str
    why: Mapping[str, str] = field(default_factory=dict)


def document(found: Agreement) -> dict[str, Any]:
    """Write an Agreement as JSON: an undefined number is null, and ``why`` says the reason."""
    told: dict[str, Any] = plain(asdict(found))
    return told


# --- the whole question


def agree(  # noqa: PLR0913 - two tables, and what may be asked of them
    observations: pd.DataFrame,
    readings: pd.DataFrame,
    *,
    every: Every = "1D",
    lags: Sequence[int] | None = None,
    count: Count = "reports",
    min_severity: float | None = None,
    anomalies: Anomalies = "month",
    exceedance: float | str = "p90",
    timezone: str = "UTC",
    level: float = 0.95,
    draws: int = 500,
    rng: np.random.Generator,
) -> Agreement:
    """Tell whether what citizens posted and what sensors showed go together.

    Args:
        observations: Columns ``time`` (aware, or naive UTC) and any of ``place``, ``zone``, ``lat``
            with ``lon``, ``severity`` and ``contributor``, as `paired` takes them.
        readings: Columns ``time`` and ``value``, and where they were taken.
        every: Length of a period, in local hours or days.
        lags: As for `compare`.
        count: What of the Observations makes the index.
        min_severity: Count only Observations at least as severe.
        anomalies: As for `compare`.
        exceedance: As for `compare`.
        timezone: IANA zone of the city.
        level: As for `compare`.
        draws: As for `compare`.
        rng: Source of all chance.

    Raises:
        PanelError: A column is missing, or an option means nothing; the sentence says which.
    """
    pairs = paired(
        observations,
        readings,
        every=every,
        timezone=timezone,
        count=count,
        min_severity=min_severity,
    )
    return compare(
        pairs,
        lags=lags,
        anomalies=anomalies,
        exceedance=exceedance,
        level=level,
        draws=draws,
        rng=rng,
    )


def compare(
    pairs: Pairs,
    *,
    lags: Sequence[int] | None = None,
    anomalies: Anomalies = "month",
    exceedance: float | str = "p90",
    level: float = 0.95,
    draws: int = 500,
    rng: np.random.Generator,
) -> Agreement:
    """Tell whether Observations go with the Readings beside them.

    Args:
        pairs: Both, period by period.
        lags: By how many periods Observations may follow; None: a day of hours, a week of days.
        anomalies: ``month`` takes each unit's median of each month out before the test that
            decides, so that a common season shows no relation; ``none`` lets values as they are
            decide.
        exceedance: A threshold [unit of the Readings], or a percentile of them such as ``p90``.
        level: Coverage of the intervals; p at or below 1 − level is a relation.
        draws: How often blocks of periods are drawn again.
        rng: Source of all chance.

    Raises:
        PanelError: An option means nothing; the sentence says which.
    """
    asked = _in_order(LAGS[pairs.every] if lags is None else lags)
    given = pairs.perceived, pairs.sensed
    step, circle = _rounds(pairs.every, asked)
    related = partial(relation, lags=asked, level=level, step=step, circle=circle)
    parts: dict[str, Callable[[], Any]] = {
        "level": partial(related, *given),
        "anomalies": partial(related, *(without_months(one, pairs.months) for one in given)),
        "exceedance": partial(
            exceed,
            *given,
            threshold=threshold_of(exceedance, pairs.sensed),
            lag=asked[0],
            level=level,
            draws=draws,
            rng=rng,
        ),
        "concordance": partial(concordance, *given, lag=asked[0]),
        "lead_lag": partial(
            lead_lag, *given, reach=asked[-1], alpha=1 - level, step=step, circle=circle
        ),
    }
    why: dict[str, str] = {}
    if anomalies == "none":
        del parts["anomalies"]
        why["anomalies"] = "not asked for"
    found = _estimated(parts, _lacking(pairs), why)
    if "lead_lag" in found and found["lead_lag"].best is None:
        why["lead_lag.best"] = "no lag passes the test"
    decisive = "anomalies" if anomalies == "month" else "level"
    return _concluded(pairs, found, why, decisive, level)


def _in_order(lags: Sequence[int]) -> list[int]:
    found = sorted(set(lags))
    if not found or found[0] < 0:
        raise PanelError("lags are 0 or more: Observations follow Readings")
    return found


def _rounds(every: Every, lags: Sequence[int]) -> tuple[int, int]:
    """Step and circle that keep what every day and every week have in common: see `relation`."""
    if every == "1h":
        return 24, 24 * WEEK
    return (1 if len(lags) >= WEEK else WEEK), WEEK


def _estimated(
    parts: Mapping[str, Callable[[], Any]], lacking: str, why: dict[str, str]
) -> dict[str, Any]:
    """Return the parts that can be estimated, and note of the others why they cannot."""
    if lacking:
        why |= dict.fromkeys(parts, lacking)
        return {}
    found = {}
    for name, part in parts.items():
        try:
            found[name] = part()
        except NotEstimableError as error:
            why[name] = str(error)
    return found


def threshold_of(exceedance: float | str, sensed: Floats) -> float:
    """Return a threshold that was given as a value, or as a percentile such as ``p90``.

    Raises:
        PanelError: It is neither.
    """
    text = str(exceedance).strip()
    try:
        number = float(text.removeprefix("p"))
    except ValueError:
        number = math.nan
    if text.startswith("p") and 0 < number < 100:  # noqa: PLR2004 - a percentile
        values = sensed[~np.isnan(sensed)]
        return float(np.percentile(values, number)) if values.size else math.nan
    if text.startswith("p") or not math.isfinite(number):
        raise PanelError(f"exceedance {text!r} is neither a value nor a percentile such as p90")
    return number


def _lacking(pairs: Pairs) -> str:
    """Say what is missing for any answer; nothing if there is enough."""
    seen = ~np.isnan(pairs.sensed)
    periods, longest = int(seen.any(axis=0).sum()), int(seen.sum(axis=1).max(initial=0))
    word = WORD[pairs.every]
    if pairs.observations < LEAST_OBSERVATIONS:
        return f"{pairs.observations} Observations beside Readings, {LEAST_OBSERVATIONS} are needed"
    if periods < LEAST_PERIODS:
        return f"{periods} {word}s with Readings, {LEAST_PERIODS} are needed"
    if len(seen) < LEAST_UNITS and longest < LEAST_PERIODS_OF_ONE:
        return (
            f"{longest} {word}s with Readings, {LEAST_PERIODS_OF_ONE} are needed where there are "
            f"fewer than {LEAST_UNITS} Places or Zones"
        )
    return ""


# --- what is said


def _concluded(
    pairs: Pairs, found: Mapping[str, Any], why: Mapping[str, str], decisive: str, level: float
) -> Agreement:
    """Put an answer together."""
    related: Relation | None = found.get(decisive)
    lacking, alpha = why.get(decisive, ""), round(1 - level, 12)
    if related is not None and related.p_min > alpha:
        lacking = (
            f"{len(pairs.periods)} {WORD[pairs.every]}s allow {related.shifts} circular shifts, "
            f"so that p cannot fall below {related.p_min:.2g}"
        )
    finding: Finding = "none_shown"
    if lacking or related is None:
        finding, related = "too_little_data", None
    elif related.p <= alpha:
        finding = "related"
    ends = [_told(pairs.periods[at], pairs.every) for at in (0, -1) if len(pairs.periods)]
    return Agreement(
        periods=int((~np.isnan(pairs.sensed)).any(axis=0).sum()),
        observations=pairs.observations,
        every=pairs.every,
        since=ends[0] if ends else None,
        until=ends[1] if ends else None,
        pairing=pairs.pairing,
        finding=finding,
        sentence=_sentence(related, lacking, pairs, alpha, by_month=decisive == "anomalies"),
        why=why,
        **found,
    )


def _told(period: np.datetime64, every: Every) -> str:
    return str(period.astype("datetime64[D]")) if every == "1D" else f"{period}Z"


def _sentence(
    found: Relation | None, lacking: str, pairs: Pairs, alpha: float, *, by_month: bool
) -> str:
    """Say what was found, in words that claim no cause."""
    if found is None:
        return f"Too little data to tell whether Observations and Readings go together: {lacking}."
    word, (first, last) = WORD[pairs.every], pairs.periods[[0, -1]].astype("datetime64[D]")
    plural = "s" if found.lag > 1 else ""
    same = f"{'on' if pairs.every == '1D' else 'in'} the same {word} as"
    where = f"{found.lag} {word}{plural} after" if found.lag else same
    p = f"p = {found.p:.2g}" if found.p >= LEAST_P_TOLD else "p < 0.001"
    usual = "beyond the usual of each month" if by_month else "season included"
    size = f"rank correlation {_number(found.rho)}"
    if found.p > alpha:
        return (
            f"No relation shown between Observations and Readings, {usual}, from {first} to "
            f"{last}: the strongest, with Observations {where} Readings, is a {size} ({p}); one "
            "weaker than these data can show is not excluded."
        )
    more = "More" if found.rho > 0 else "Fewer"
    coverage = f"{1 - alpha:.0%}".replace("%", " %")
    return (
        f"{more} Observations came {where} higher Readings, {usual}, from {first} to {last}: "
        f"{size} ({coverage} interval {_number(found.low)} to {_number(found.high)}, {p}). "
        "This tells nothing about a cause."
    )


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


# --- event


def exceed(
    perceived: Floats,
    sensed: Floats,
    *,
    threshold: float,
    lag: int = 0,
    level: float = 0.95,
    draws: int = 500,
    rng: np.random.Generator,
) -> Exceedance:
    """Compare Observations after Readings above a threshold with those after others.

    Several units are pooled without comparing one with another: Mantel and Haenszel's ratio of
    rates [1], and the area under the curve weighted by pairs. The interval comes from drawing
    circular blocks of a tenth of the time again, all units together [2], so that a long episode
    counts once and not by its hours: the spread of the logarithm, times Student's quantile for
    ten blocks. Season and hour of the day are left in.

    Args:
        perceived: [N, T]
        sensed: [N, T]
        threshold: Readings above it exceed it. [as sensed]
        lag: Observations so many periods later are counted. [periods]
        level: Coverage of the interval.
        draws: How often blocks are drawn again.
        rng: Source of all chance.

    Raises:
        NotEstimableError: All Readings lie on one side of the threshold, or nothing was posted.

    References:
        [1] K. J. Rothman, S. Greenland, T. L. Lash, Modern Epidemiology, 3rd ed., chapter 15.
        [2] D. N. Politis, J. P. Romano, in Exploring the Limits of Bootstrap, 263-270, 1992.
    """
    later, earlier = lagged(perceived, sensed, lag)
    both = ~(np.isnan(later) | np.isnan(earlier))
    above, below = both & (earlier > threshold), both & (earlier <= threshold)
    if not (above.any(axis=1) & below.any(axis=1)).any():
        raise NotEstimableError(f"nowhere do Readings lie on both sides of {threshold:g}")
    if not later[both].any():
        raise NotEstimableError("nothing was posted beside Readings")
    posted = np.where(both, later, 0.0)
    columns = np.stack([posted * above, posted * below, above, below]).astype(np.float64)
    why: dict[str, str] = {}
    ratio = float(_rate_ratio(columns.sum(axis=2)))
    if math.isinf(ratio):
        why["rate_ratio"] = "nothing was posted in the other periods"
    drawn = _rate_ratio(redrawn(columns, draws=draws, rng=rng))
    low, high = _around(ratio, drawn, level, why)
    return Exceedance(
        threshold=threshold,
        lag=lag,
        rate_ratio=ratio,
        low=low,
        high=high,
        auc=_area(later, above, below),
        exceeded=int(above.sum()),
        other=int(below.sum()),
        why=why,
    )


def _rate_ratio(sums: Floats) -> Floats:
    """Pool the ratio of rates over units. [posted above, posted below, above, below; N; …]"""
    n = np.maximum(sums[2] + sums[3], 1.0)
    upper, lower = ((sums[0] * sums[3] / n).sum(axis=0), (sums[1] * sums[2] / n).sum(axis=0))
    safe = np.where(lower > 0, lower, 1.0)
    return np.asarray(
        np.where(lower > 0, upper / safe, np.where(upper > 0, np.inf, np.nan)), np.float64
    )


def _around(ratio: float, drawn: Floats, level: float, why: dict[str, str]) -> tuple[float, float]:
    """Return an interval on the scale of logarithms; undefined where too many draws are."""
    kept = drawn[np.isfinite(drawn) & (drawn > 0)]
    if not 0 < ratio < math.inf or len(kept) < (1 - UNDEFINED_DRAWS) * len(drawn):
        reason = "too little was posted on one side of the threshold to draw it again"
        why |= dict.fromkeys(("low", "high"), reason)
        return math.nan, math.nan
    spread = float(np.log(kept).std(ddof=1)) * math.sqrt(BLOCKS / (BLOCKS - 1))
    reach = math.exp(spread * float(student.ppf((1 + level) / 2, BLOCKS - 1)))
    return ratio / reach, ratio * reach


def redrawn(columns: Floats, *, draws: int, rng: np.random.Generator) -> Floats:
    """Sum columns over circular blocks of a tenth of the periods, drawn with replacement.

    Args:
        columns: What is summed. [..., T]
        draws: How often as many periods as there are, or a few more, are drawn.
        rng: Source of all chance.

    Returns:
        The sums. [..., draws]
    """
    length = columns.shape[-1]
    block = -(-length // BLOCKS)
    wrapped = np.concatenate([columns, columns[..., :block]], axis=-1)
    ends = np.concatenate([np.zeros((*columns.shape[:-1], 1)), wrapped.cumsum(axis=-1)], axis=-1)
    blocks = ends[..., block : block + length] - ends[..., :length]
    starts = rng.integers(length, size=(draws, BLOCKS))
    return np.stack([blocks[..., one].sum(axis=-1) for one in starts], axis=-1)


def _area(values: Floats, above: NDArray[np.bool_], below: NDArray[np.bool_]) -> float:
    areas = [
        (auc(row[up], row[down]), up.sum() * down.sum())
        for row, up, down in zip(values, above, below, strict=True)
        if up.any() and down.any()
    ]
    return float(np.average([one for one, _ in areas], weights=[n for _, n in areas]))


def auc(during: ArrayLike, otherwise: ArrayLike) -> float:
    """Tell how often one of the first has more than one of the others, ties by half. [0 to 1]

    The area under the curve by ranks [1]: 0.5 tells nothing, 1 tells them apart.

    Args:
        during: Counts of Observations in periods with an exceedance.
        otherwise: Counts in other periods.

    References:
        [1] J. A. Hanley, B. J. McNeil, Radiology 143 (1), 29-36, 1982.
    """
    one, other = np.asarray(during, np.float64), np.asarray(otherwise, np.float64)
    if not (one.size and other.size):
        raise NotEstimableError("an area under the curve needs periods on both sides")
    ranks = rankdata(np.concatenate([one, other]))[: one.size]
    return float((ranks.sum() - one.size * (one.size + 1) / 2) / (one.size * other.size))


# --- class


def weighted_kappa(perceived: Sequence[Any], band: Sequence[Any], classes: Sequence[Any]) -> float:
    """Tell how far people and an index name the same class, beyond chance. [−1 to 1]

    Cohen's kappa with quadratic weights [1]: two classes apart counts four times as much as one.

    Args:
        perceived: The class that each Observation names.
        band: The class of the index at the same time and Place.
        classes: All classes, from one end to the other.

    Raises:
        NotEstimableError: There is no pair, or both always name one class.
        PanelError: A class is not among *classes*.

    References:
        [1] J. Cohen, Psychol. Bull. 70 (4), 213-220, 1968.
    """
    index = pd.Index(classes)
    one, other = index.get_indexer(pd.Index(perceived)), index.get_indexer(pd.Index(band))
    if (one < 0).any() or (other < 0).any():
        raise PanelError(f"a class is none of {', '.join(map(str, classes))}")
    if not one.size:
        raise NotEstimableError("no Observation stands beside an index")
    expected = np.mean((one[:, None] - np.arange(len(index))[None, :]) ** 2, axis=0)
    by_chance = float(expected[other].mean())
    if by_chance == 0:
        raise NotEstimableError("both always name one class")
    return 1 - float(np.mean((one - other) ** 2)) / by_chance


# --- concordance


def lin_ccc(one: ArrayLike, other: ArrayLike) -> float:
    """Tell how near pairs lie to the line on which both are equal. [−1 to 1]

    ``2·s_xy/(s_x² + s_y² + (x̄ − ȳ)²)``, with n in the denominators [1].

    Raises:
        NotEstimableError: Both have one and the same value throughout, or there is no pair.

    References:
        [1] L. I. Lin, Biometrics 45 (1), 255-268, 1989.
    """
    x, y = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if not x.size:
        raise NotEstimableError("there is no pair")
    greatest = float(max(np.abs(x).max(), np.abs(y).max())) or 1.0
    x, y = x / greatest, y / greatest
    apart = float(x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    if apart == 0:
        raise NotEstimableError("both have one value throughout")
    return 2 * float(np.mean((x - x.mean()) * (y - y.mean()))) / apart


def concordance(perceived: Floats, sensed: Floats, lag: int = 0) -> Concordance:
    """Bring Observations to the scale of Readings, and tell how near they come.

    The rising curve is learnt by isotonic regression [1] from the first half of the time and tried
    on the second; without that, counts and concentrations have nothing to agree on.

    Args:
        perceived: [N, T]
        sensed: [N, T]
        lag: Observations so many periods later are meant. [periods]

    Raises:
        NotEstimableError: A half has fewer than thirty pairs.

    References:
        [1] R. E. Barlow et al., Statistical Inference under Order Restrictions, Wiley, 1972.
    """
    later, earlier = lagged(perceived, sensed, lag)
    both = ~(np.isnan(later) | np.isnan(earlier))
    first = np.arange(both.shape[1])[None, :] < both.shape[1] // 2
    learn, judge = both & first, both & ~first
    trained, tested = int(learn.sum()), int(judge.sum())
    if min(trained, tested) < LEAST_HALF:
        raise NotEstimableError(
            f"a half of the time has {min(trained, tested)} pairs, {LEAST_HALF} are needed"
        )
    counts, at, n = np.unique(later[learn], return_inverse=True, return_counts=True)
    means = np.bincount(at, earlier[learn]) / n
    curve = isotonic_regression(means, weights=n).x
    ccc = lin_ccc(np.interp(later[judge], counts, curve), earlier[judge])
    return Concordance(ccc=ccc, lag=lag, trained=trained, tested=tested)


# --- change


def change(
    perceived: Floats,
    sensed: Floats,
    after: NDArray[np.bool_],
    *,
    better: Better = "less",
    draws: int = 4_000,
    rng: np.random.Generator,
) -> Change:
    """Tell whether it became better, and whether people felt it.

    The same blocks of periods are drawn for both, before and after, so that what moves them
    together does so in each draw too.

    Args:
        perceived: [N, T]
        sensed: [N, T]
        after: Which periods come after. [T]
        better: Whether lower or higher Readings are better; fewer Observations always are.
        draws: How often.
        rng: Source of all chance.

    Raises:
        NotEstimableError: No unit has thirty periods with Readings on both sides; only such
            units count, because one that joins later would fake a change.
    """
    both = ~(np.isnan(perceived) | np.isnan(sensed))
    whole = np.min([both[:, side].sum(axis=1) for side in (~after, after)], axis=0) >= LEAST_HALF
    if not whole.any():
        raise NotEstimableError(f"no unit has {LEAST_HALF} periods with Readings on both sides")
    there = both[whole]
    values = [np.where(there, one[whole], 0.0) for one in (perceived, sensed)]
    columns = np.stack([one.sum(axis=0) for one in (*values, there)]).astype(np.float64)
    means = []
    for side in (~after, after):
        sums = redrawn(columns[:, side], draws=draws, rng=rng)
        means.append(sums[:2] / np.maximum(sums[2], 1.0))
    felt, measured = means[1] - means[0]
    return quadrants(felt, measured, better=better)


def quadrants(perceived: ArrayLike, sensed: ArrayLike, *, better: Better = "less") -> Change:
    """Count joint draws of two changes by quadrant, and name one that has 80 % of them.

    Args:
        perceived: Changes of what is posted; less is felt as better. [draws]
        sensed: Changes of the Indicator in the same draws. [draws]
        better: Whether the Indicator is better when it is less or more.
    """
    felt = np.asarray(perceived, np.float64) < 0
    improved = np.asarray(sensed, np.float64) * (1 if better == "less" else -1) < 0
    if not felt.size:
        raise NotEstimableError("there is no draw")
    probabilities: dict[Quadrant, float] = {
        "improved_felt": float(np.mean(improved & felt)),
        "improved_not_felt": float(np.mean(improved & ~felt)),
        "not_improved_felt": float(np.mean(~improved & felt)),
        "neither": float(np.mean(~improved & ~felt)),
    }
    name = max(probabilities, key=lambda one: probabilities[one])
    sure = probabilities[name] >= NAMED_FROM
    return Change(probabilities=probabilities, named=name if sure else "undecided")
