"""Adoption: who took an Initiative up, how many of those who could, and whether they stayed.

Citizens and settings (schools, shops, sites) are counted apart. Paper and assisted use are batch
counts that enter every total. A number that may not be told, because too few stand behind it, is
None with the reason beside it, never 0. Nothing here says what an Initiative changed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy.optimize import curve_fit
from scipy.stats import chi2, norm

from livinglab.errors import NotEstimableError, PanelError
from livinglab.impact.results import Floats

LEAST = 10
"""Distinct people that a published number needs behind it."""
LEAST_SITES = 5
LEAST_KNOWN, LEAST_SHARE_KNOWN = 50, 0.7
LEAST_ENTRANTS = 20
LEAST_GROWTH, LEAST_BASS = 8, 12
LEAST_SIDE = 30
LEAST_COHORT = 5
LEAST_LOGGED = 0.75
MOST_MARKET = 2.0
"""Times the largest count so far that a market may be said to be."""
TRIM = 5.0
"""Weights are cut at so many medians."""
MOST_DESIGN_EFFECT = 3.0
MOST_TOP = 0.25
"""Share of one per cent of the people beyond which a few speak for all. [1]"""
DRAWS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number that may be published, or why it may not.

    Attributes:
        value: None where it is suppressed or undefined.
        low: Lower bound of its interval; None likewise, or where it has none.
        high: Upper bound.
        n: People, settings or periods behind it.
        minimum: So many are needed.
        reason: Why it is not told; empty where it is.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    minimum: int = 0
    reason: str = ""

    @property
    def suppressed(self) -> bool:
        """Whether it is not told."""
        return self.value is None


def _not_told(n: int, minimum: int, reason: str) -> Measure:
    return Measure(value=None, n=n, minimum=minimum, reason=reason)


def _few(n: int, minimum: int, what: str) -> Measure:
    return _not_told(n, minimum, f"{minimum} {what} are needed")


def _count(name: str, value: float) -> int:
    if not math.isfinite(value) or value < 0 or value != int(value):
        raise PanelError(f"{name} is {value!r}: a count is a whole number from 0 on")
    return int(value)


def _z(level: float) -> float:
    return float(norm.ppf((1 + level) / 2))


def wilson(hits: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share by Wilson's score.

    Args:
        hits: Of n; a weighted number may be broken.
        n: Above 0.
        level: Coverage. [1]

    Example:
        >>> low, high = wilson(50, 200)
        >>> print(f"{low:.3f} {high:.3f}")
        0.195 0.314

    References:
        E. B. Wilson, J. Am. Stat. Assoc. 22, 209-212, 1927.
    """
    z = _z(level)
    share, wide = hits / n, 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / wide
    half = z / wide * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def reach(active: int, eligible: int, *, batches: int = 0, level: float = 0.95) -> Measure:
    """Tell which share of those who could has taken it up.

    Args:
        active: Distinct people.
        eligible: Who could, counted at a known date.
        batches: Distinct people on paper or with a helper, beside those.
        level: Coverage of Wilson's interval. [1]

    Example:
        >>> found = reach(50, 200)
        >>> found.value, found.n
        (0.25, 50)
    """
    people = _count("active", active) + _count("batches", batches)
    if people > _count("eligible", eligible):
        raise PanelError(f"{people} people are active, but only {eligible} eligible")
    if people < LEAST:
        return _few(people, LEAST, "distinct people")
    low, high = wilson(people, eligible, level)
    return Measure(value=people / eligible, low=low, high=high, n=people, minimum=LEAST)


def participation_ratios(
    active: Mapping[str, int], eligible: Mapping[str, float], *, level: float = 0.95
) -> dict[str, Measure]:
    """Tell how each group's share among the active compares with its share among the eligible.

    1 is as many as there are; the interval is on the logarithm, ``se² = 1/A_g − 1/A``.

    Args:
        active: Distinct people of each group.
        eligible: How many of each group there are; groups that are absent here are an error.
        level: Coverage. [1]

    Example:
        >>> found = participation_ratios({"old": 20, "young": 60}, {"old": 500, "young": 500})
        >>> found["old"].value
        0.5
    """
    groups = _groups(active, eligible)
    total, everybody = sum(active.values()), sum(eligible.values())
    found = {}
    for group in groups:
        n = _count(group, active.get(group, 0))
        if n < LEAST or not eligible[group]:
            found[group] = _few(n, LEAST, "people of the group")
            continue
        ratio = (n / total) / (eligible[group] / everybody)
        reach_ = math.exp(_z(level) * math.sqrt(1 / n - 1 / total))
        found[group] = Measure(
            value=ratio, low=ratio / reach_, high=ratio * reach_, n=n, minimum=LEAST
        )
    return found


def _groups(active: Mapping[str, int], eligible: Mapping[str, float]) -> list[str]:
    strange = sorted(set(active) - set(eligible))
    if strange:
        raise PanelError(f"nobody of the group {strange[0]!r} is eligible")
    if not sum(eligible.values()) > 0:
        raise PanelError("nobody is eligible")
    return sorted(eligible)


def representativeness(
    active: Mapping[str, int],
    eligible: Mapping[str, float],
    *,
    unknown: int = 0,
    level: float = 0.95,
    rng: Generator,
) -> Measure:
    """Tell how far the active resemble the eligible: 1 − ½·Σ|a_g − e_g|.

    Args:
        active: Distinct people of each group.
        eligible: How many of each group there are.
        unknown: Active people whose group nobody knows.
        level: Coverage of the interval, from the multinomial drawn again. [1]
        rng: Source of the draws.
    """
    groups = _groups(active, eligible)
    counts = np.array([_count(one, active.get(one, 0)) for one in groups])
    n = int(counts.sum())
    if n < LEAST_KNOWN:
        return _few(n, LEAST_KNOWN, "people whose group is known")
    if n / (n + unknown) < LEAST_SHARE_KNOWN:
        reason = f"the group is known of {n / (n + unknown):.0%}, {LEAST_SHARE_KNOWN:.0%} needed"
        return _not_told(n, LEAST_KNOWN, reason)
    shares = np.array([eligible[one] for one in groups], float)
    shares /= shares.sum()

    def alike(of: Floats) -> Floats:
        return np.asarray(1 - np.abs(of - shares).sum(axis=-1) / 2)

    drawn = alike(rng.multinomial(n, counts / n, size=DRAWS) / n)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    value = float(alike(counts / n))
    return Measure(value=value, low=float(low), high=float(high), n=n, minimum=LEAST_KNOWN)


def site_adoption(live: int, planned: int, *, level: float = 0.95) -> Measure:
    """Tell which share of the planned settings is live; no citizen is counted here.

    Example:
        >>> site_adoption(3, 4).reason
        '5 planned settings are needed'
    """
    if _count("live", live) > _count("planned", planned):
        raise PanelError(f"{live} settings are live, but only {planned} planned")
    if planned < LEAST_SITES:
        return _few(planned, LEAST_SITES, "planned settings")
    low, high = wilson(live, planned, level)
    return Measure(value=live / planned, low=low, high=high, n=planned, minimum=LEAST_SITES)


def fidelity(delivered: float, planned: float, *, logged_days: int, days: int) -> Measure:
    """Tell which share of the planned dose was delivered, if nearly all days were logged.

    Args:
        delivered: In the unit of *planned*.
        planned: Above 0.
        logged_days: Days with an entry in the log.
        days: Of the period.
    """
    if not planned > 0 or delivered < 0:
        raise PanelError("a dose is planned above 0, and delivered from 0 on")
    needed = math.ceil(LEAST_LOGGED * days)
    if logged_days < needed:
        return _few(logged_days, needed, "days with a log entry")
    return Measure(value=delivered / planned, n=logged_days, minimum=needed)


def maintenance(
    days: ArrayLike, stopped: ArrayLike, *, at: float = 180, level: float = 0.95
) -> Measure:
    """Tell which share still uses it after so many days, by Kaplan and Meier.

    Args:
        days: From entry to the last use, or until today. [people; d]
        stopped: Whether that was the end; False for those who may go on. [people]
        at: The day that is asked about. [d]
        level: Coverage of Greenwood's interval on the log-log scale. [1]

    References:
        E. L. Kaplan, P. Meier, J. Am. Stat. Assoc. 53, 457-481, 1958.
    """
    lasted, ended = np.asarray(days, float), np.asarray(stopped, bool)
    n = len(lasted)
    if n < LEAST_ENTRANTS:
        return _few(n, LEAST_ENTRANTS, "entrants")
    if lasted.max() < at:
        return _not_told(n, LEAST_ENTRANTS, f"nobody has been seen for {at:g} days")
    survival, spread = 1.0, 0.0
    for day in np.unique(lasted[ended & (lasted <= at)]):
        risk, gone = int((lasted >= day).sum()), int((ended & (lasted == day)).sum())
        survival *= 1 - gone / risk
        if risk > gone:
            spread += gone / (risk * (risk - gone))
    if survival in {0.0, 1.0}:
        return Measure(value=survival, n=n, minimum=LEAST_ENTRANTS)
    error = math.sqrt(spread) / abs(math.log(survival))
    bounds = sorted(survival ** math.exp(sign * _z(level) * error) for sign in (-1, 1))
    return Measure(value=survival, low=bounds[0], high=bounds[1], n=n, minimum=LEAST_ENTRANTS)


def growth(counts: ArrayLike, *, level: float = 0.95) -> Measure:
    """Tell the slope of the logarithm of new adopters over time, by a negative binomial model.

    Args:
        counts: New adopters, period by period. [T]
        level: Coverage; errors are robust to correlation over time. [1]

    Returns:
        The slope; periods until it doubles are ``ln 2`` divided by it. [1/period]
    """
    import statsmodels.api as sm  # noqa: PLC0415 - slow to import, and only here

    y = np.asarray(counts, float)
    if len(y) < LEAST_GROWTH:
        return _few(len(y), LEAST_GROWTH, "periods")
    if not (np.isfinite(y).all() and (y >= 0).all() and y.any()):
        raise PanelError("counts are whole numbers from 0 on, and not all of them 0")
    time = sm.add_constant(np.arange(len(y)) - (len(y) - 1) / 2)
    mean, spread = y.mean(), y.var(ddof=1)
    alpha = max((spread - mean) / mean**2, 1e-3)
    model = sm.GLM(y, time, family=sm.families.NegativeBinomial(alpha=alpha))
    lags = math.floor(4 * (len(y) / 100) ** (2 / 9))
    fit = model.fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True})
    slope, error = float(fit.params[1]), float(fit.bse[1])
    half = _z(level) * error
    return Measure(value=slope, low=slope - half, high=slope + half, n=len(y), minimum=LEAST_GROWTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diffusion:
    """How a new thing spreads: by those who try of themselves, and those who follow.

    Attributes:
        market: Who will have taken it up in the end.
        innovation: Share who try of themselves, p. [1/period]
        imitation: How strongly others draw, q. [1/period]
        peak: Period of the most new adopters.
        reason: Why it cannot be told; empty where it can.
    """

    market: Measure
    innovation: Measure
    imitation: Measure
    peak: Measure
    reason: str = ""


def bass(counts: ArrayLike, *, level: float = 0.95, rng: Generator) -> Diffusion:
    """Fit Bass's curve to new adopters, or say that it is not identifiable.

    Before the peak every market size fits; so nothing is told unless twelve periods are there, the
    peak is past, and the market is no more than twice what was counted.

    Args:
        counts: New adopters, period by period. [T]
        level: Coverage of the intervals, from residuals drawn again in blocks. [1]
        rng: Source of the draws.

    References:
        F. M. Bass, Manag. Sci. 15 (5), 215-227, 1969.
    """
    y = np.asarray(counts, float)
    if len(y) < LEAST_BASS:
        return _unidentified(len(y), f"{LEAST_BASS} periods are needed")
    total = np.cumsum(y)
    found = _fit_bass(total)
    if found is None:
        return _unidentified(len(y), "not identifiable: no curve fits")
    market, p, q = found
    peak = math.log(q / p) / (p + q) if q > p else 0.0
    if peak >= len(y):
        return _unidentified(len(y), "not identifiable: the peak is not past")
    if market > MOST_MARKET * total[-1]:
        return _unidentified(len(y), "not identifiable: the market exceeds twice what was counted")
    fitted = np.diff(_bass_curve(np.arange(len(y) + 1.0), *found))
    drawn = _redrawn(y, fitted, rng)
    if len(drawn) < 100:  # noqa: PLR2004 - fewer draws have no tails
        return _unidentified(len(y), "not identifiable: the draws do not fit")
    ends = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    values = (market, p, q, peak)
    told = [
        Measure(
            value=one, low=float(ends[0, n]), high=float(ends[1, n]), n=len(y), minimum=LEAST_BASS
        )
        for n, one in enumerate(values)
    ]
    return Diffusion(market=told[0], innovation=told[1], imitation=told[2], peak=told[3])


def _unidentified(n: int, reason: str) -> Diffusion:
    nothing = _not_told(n, LEAST_BASS, reason)
    return Diffusion(
        market=nothing, innovation=nothing, imitation=nothing, peak=nothing, reason=reason
    )


def _bass_curve(time: Floats, market: float, p: float, q: float) -> Floats:
    gone = np.exp(-(p + q) * time)
    return np.asarray(market * (1 - gone) / (1 + q / p * gone))


def _fit_bass(total: Floats) -> tuple[float, float, float] | None:
    time = np.arange(1.0, len(total) + 1)
    last = float(total[-1])
    if not last > 0:
        return None
    try:
        found, _ = curve_fit(
            _bass_curve,
            time,
            total,
            p0=(1.2 * last, 0.03, 0.38),
            bounds=((last * 0.5, 1e-6, 1e-6), (last * 20, 1.0, 3.0)),
            maxfev=5_000,
        )
    except RuntimeError:
        return None
    return float(found[0]), float(found[1]), float(found[2])


def _redrawn(y: Floats, fitted: Floats, rng: Generator, draws: int = 200) -> Floats:
    """Fit again to the curve plus its residuals in blocks. [draws, 4]"""
    left, length = y - fitted, max(2, round(len(y) ** (1 / 3)))
    found = []
    for _ in range(draws):
        starts = rng.integers(len(y) - length + 1, size=-(-len(y) // length))
        rows = (starts[:, None] + np.arange(length)).ravel()[: len(y)]
        again = _fit_bass(np.cumsum(np.maximum(fitted + left[rows], 0)))
        if again is not None:
            market, p, q = again
            found.append((market, p, q, math.log(q / p) / (p + q) if q > p else 0.0))
    return np.array(found).reshape(-1, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """How many stand for it, among those who take a side, and on balance.

    Attributes:
        share: For, of for and against.
        net: For minus against, of all.
    """

    share: Measure
    net: Measure


def support(positive: int, negative: int, neutral: int = 0, *, level: float = 0.95) -> Support:
    """Tell how many support something.

    The interval of the net is Newcombe's for the difference of two shares of one sample, from
    Wilson's of each.

    Args:
        positive: Voices for it.
        negative: Voices against it.
        neutral: Voices without a side.
        level: Coverage. [1]

    Example:
        >>> found = support(60, 20, 20)
        >>> found.share.value, round(found.net.value, 2)
        (0.75, 0.4)

    References:
        R. G. Newcombe, Stat. Med. 17, 2635-2650, 1998.
    """
    for name, one in (("positive", positive), ("negative", negative), ("neutral", neutral)):
        _count(name, one)
    sides, n = positive + negative, positive + negative + neutral
    if sides < LEAST_SIDE:
        few = _few(sides, LEAST_SIDE, "voices with a side")
        return Support(share=few, net=few)
    low, high = wilson(positive, sides, level)
    share = Measure(value=positive / sides, low=low, high=high, n=sides, minimum=LEAST_SIDE)
    p, q = positive / n, negative / n
    (p_low, p_high), (q_low, q_high) = wilson(positive, n, level), wilson(negative, n, level)
    # The shares of one sample are correlated: r = −√(pq/((1−p)(1−q))).
    below = (1 - p) * (1 - q)
    r = -math.sqrt(p * q / below) if below > 0 else -1.0
    down = math.sqrt(
        max(0.0, (p - p_low) ** 2 + (q_high - q) ** 2 - 2 * r * (p - p_low) * (q_high - q))
    )
    up = math.sqrt(
        max(0.0, (p_high - p) ** 2 + (q - q_low) ** 2 - 2 * r * (p_high - p) * (q - q_low))
    )
    net = Measure(
        value=p - q, low=max(-1.0, p - q - down), high=min(1.0, p - q + up), n=n, minimum=LEAST_SIDE
    )
    return Support(share=share, net=net)


def support_change(
    before: tuple[int, int], after: tuple[int, int], *, level: float = 0.95
) -> Measure:
    """Tell how the share of support changed between two samples, with Newcombe's interval.

    Args:
        before: Voices for and against, then.
        after: Likewise, later.
        level: Coverage. [1]
    """
    n1, n2 = sum(before), sum(after)
    if min(n1, n2) < LEAST_SIDE:
        return _few(min(n1, n2), LEAST_SIDE, "voices with a side at each time")
    p1, p2 = before[0] / n1, after[0] / n2
    (l1, u1), (l2, u2) = wilson(before[0], n1, level), wilson(after[0], n2, level)
    return Measure(
        value=p2 - p1,
        low=p2 - p1 - math.hypot(p2 - l2, u1 - p1),
        high=p2 - p1 + math.hypot(u2 - p2, p1 - l1),
        n=n1 + n2,
        minimum=LEAST_SIDE,
    )


def weighted_support(
    voices: pd.DataFrame, shares: Mapping[str, Mapping[str, float]], *, level: float = 0.95
) -> Measure:
    """Tell the share of support had every group spoken as often as there are people in it.

    Weights are raked until each dimension has its shares, and cut at five medians. With
    ``n_eff = (Σw)²/Σw²`` the interval is Wilson's; below 30 of these, or with a design effect
    above 3, nothing is told.

    Args:
        voices: One row each: column ``positive`` (bool), and one for each dimension.
        shares: Dimension → group → its share among the eligible. [1]
        level: Coverage. [1]

    References:
        W. E. Deming, F. F. Stephan, Ann. Math. Stat. 11, 427-444, 1940; L. Kish, Survey Sampling,
        1965, for the design effect.
    """
    missing = [name for name in ("positive", *shares) if name not in voices.columns]
    if missing:
        raise PanelError(f"the voices have no column {missing[0]}")
    n = len(voices)
    if n < LEAST_SIDE:
        return _few(n, LEAST_SIDE, "voices")
    weights = _raked(voices, shares)
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    if n / effective > MOST_DESIGN_EFFECT:
        reason = f"the design effect is {n / effective:.1f}, {MOST_DESIGN_EFFECT:g} at the most"
        return _not_told(n, LEAST_SIDE, reason)
    if effective < LEAST_SIDE:
        return _not_told(n, LEAST_SIDE, f"they weigh as {effective:.0f}, {LEAST_SIDE} are needed")
    value = float(weights @ voices["positive"].to_numpy(bool) / weights.sum())
    low, high = wilson(value * effective, effective, level)
    return Measure(value=value, low=low, high=high, n=round(effective), minimum=LEAST_SIDE)


def _raked(voices: pd.DataFrame, shares: Mapping[str, Mapping[str, float]]) -> Floats:
    weights = np.ones(len(voices))
    codes: dict[str, tuple[Any, Floats]] = {}
    for name, of in shares.items():
        row, groups = pd.factorize(voices[name])
        strange = [one for one in groups if one not in of]
        if strange:
            raise PanelError(f"{name} has no share for {strange[0]!r}")
        wanted = np.array([of[one] for one in groups], float)
        codes[name] = (row, wanted / wanted.sum())
    for _ in range(200):
        before = weights.copy()
        for row, wanted in codes.values():
            have = np.bincount(row, weights, minlength=len(wanted))
            weights = weights * (wanted * weights.sum() / have)[row]
        weights = np.minimum(weights, TRIM * np.median(weights))
        if np.abs(weights - before).max() < 1e-9:  # noqa: PLR2004 - of weights around 1
            return weights
    raise NotEstimableError("the weights do not settle: a group has too few voices")


def nonresponse_bounds(share: float, response_rate: float) -> tuple[float, float]:
    """Return between what a share lies whatever those who did not answer think.

    Example:
        >>> low, high = nonresponse_bounds(0.8, 0.25)
        >>> print(f"{low:.2f} {high:.2f}")
        0.20 0.95

    References:
        C. F. Manski, Am. Econ. Rev. 80 (2), 319-323, 1990.
    """
    if not (0 <= share <= 1 and 0 < response_rate <= 1):
        raise PanelError("a share lies from 0 to 1, and a response rate above 0 to 1")
    return share * response_rate, share * response_rate + 1 - response_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Concentration:
    """Whether few people made most of it.

    Attributes:
        top_share: Of the one per cent who posted most, at least one person. [0 to 1]
        gini: 0 where all post alike, near 1 where one posts all. [0 to 1]
        burst_p: Of counts so uneven over time, if each period were as likely. [1]
        flagged: Whether the top share exceeds a quarter.
        n: People.
    """

    top_share: float
    gini: float
    burst_p: float
    flagged: bool
    n: int


def concentration(
    per_person: ArrayLike, per_period: ArrayLike | None = None
) -> Concentration | Measure:
    """Tell how unevenly people post, and whether it came in bursts.

    Args:
        per_person: How many each person posted. [people]
        per_period: How many came in each period; None: not asked. [T]

    Returns:
        The facts, or a suppressed measure where fewer than ten people posted.

    Example:
        >>> concentration([1] * 20).gini
        0.0
    """
    counts = np.sort(np.asarray(per_person, float))
    counts = counts[counts > 0]
    n = len(counts)
    if n < LEAST:
        return _few(n, LEAST, "distinct people")
    top = float(counts[-max(1, math.ceil(n / 100)) :].sum() / counts.sum())
    ranks = np.arange(1, n + 1)
    gini = float(2 * (ranks @ counts) / (n * counts.sum()) - (n + 1) / n)
    burst = math.nan
    if per_period is not None:
        periods = np.asarray(per_period, float)
        if len(periods) > 1 and periods.any():
            # Fisher's index of dispersion, chi-squared with T − 1 degrees of freedom.
            index = ((periods - periods.mean()) ** 2).sum() / periods.mean()
            burst = float(chi2.sf(index, len(periods) - 1))
    return Concentration(
        top_share=top, gini=max(0.0, gini), burst_p=burst, flagged=top > MOST_TOP, n=n
    )


def retention(events: pd.DataFrame, *, weeks: int, now: int) -> pd.DataFrame:
    """Follow cohorts by the week in which somebody was first active.

    Args:
        events: Columns ``contributor`` and ``week``, a whole number.
        weeks: How many weeks each cohort is followed.
        now: The present week, which is not over.

    Returns:
        A row a cohort, a column a week since: the share that was active; NaN where the week is not
        over yet, or fewer than five are in the cohort.
    """
    for name in ("contributor", "week"):
        if name not in events.columns:
            raise PanelError(f"the events have no column {name}")
    seen = events[["contributor", "week"]].drop_duplicates()
    first = seen.groupby("contributor")["week"].min()
    since = seen["week"] - seen["contributor"].map(first)
    cohort = seen["contributor"].map(first)
    active = pd.crosstab(cohort, since).reindex(columns=range(weeks + 1), fill_value=0)
    sizes = first.value_counts().reindex(active.index)
    shares = active.div(sizes, axis=0)
    mature = np.add.outer(active.index.to_numpy(), np.arange(weeks + 1)) < now
    return shares.where(mature & (sizes.to_numpy() >= LEAST_COHORT)[:, None])


def return_at_next_need(needs: int, returned: int, *, level: float = 0.95) -> Measure:
    """Tell how many post again when there is something to post about again.

    Most people post once, so weeks say little: what counts is the next Incident near where they
    posted before.

    Args:
        needs: People near whose earlier posting another Incident began.
        returned: Of them, those who posted again.
        level: Coverage. [1]
    """
    if _count("returned", returned) > _count("needs", needs):
        raise PanelError(f"{returned} returned, but only {needs} had a reason")
    if needs < LEAST:
        return _few(needs, LEAST, "people with a reason")
    low, high = wilson(returned, needs, level)
    return Measure(value=returned / needs, low=low, high=high, n=needs, minimum=LEAST)


def rate_per_thousand(
    count: int, residents: int, *, contributors: int, level: float = 0.95
) -> Measure:
    """Tell how many were posted for each thousand residents, with the exact Poisson interval.

    Args:
        count: Observations.
        residents: Of the Zone, at a known date.
        contributors: Distinct people who posted them.
        level: Coverage. [1]

    Example:
        >>> found = rate_per_thousand(20, 10_000, contributors=15)
        >>> print(f"{found.value} ({found.low:.2f} to {found.high:.2f})")
        2.0 (1.22 to 3.09)

    References:
        F. Garwood, Biometrika 28, 437-442, 1936.
    """
    if not residents > 0:
        raise PanelError("nobody lives there: there is no rate")
    if contributors < LEAST:
        return _few(contributors, LEAST, "distinct people")
    low, high = poisson_interval(_count("count", count), level)
    scale = 1_000 / residents
    return Measure(
        value=count * scale, low=low * scale, high=high * scale, n=contributors, minimum=LEAST
    )


def poisson_interval(count: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a Poisson mean, from one count."""
    tail = (1 - level) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * count + 2)) / 2


def rate_ratio(
    one: tuple[int, int], other: tuple[int, int], *, contributors: int, level: float = 0.95
) -> Measure:
    """Compare two rates, such as those of peri-urban towns and of districts.

    Args:
        one: Observations, residents.
        other: Likewise, what is compared with.
        contributors: Distinct people on the side with fewer.
        level: Coverage, on the logarithm. [1]
    """
    if contributors < LEAST:
        return _few(contributors, LEAST, "distinct people on each side")
    if not (one[0] and other[0]):
        return _not_told(contributors, LEAST, "nothing was posted on one side")
    ratio = (one[0] / one[1]) / (other[0] / other[1])
    half = math.exp(_z(level) * math.sqrt(1 / one[0] + 1 / other[0]))
    return Measure(value=ratio, low=ratio / half, high=ratio * half, n=contributors, minimum=LEAST)


def response_equity(hours: Mapping[str, Sequence[float]]) -> Measure:
    """Compare how long Zones wait for the first public answer: worst quartile over best.

    Args:
        hours: Zone → hours from receipt to answer.

    Returns:
        The median of Zones' medians in the slowest quarter over that in the fastest. [1]
    """
    medians = np.sort([np.median(one) for one in hours.values() if len(one) >= LEAST_COHORT])
    n = len(medians)
    if n < 4:  # noqa: PLR2004 - quarters
        return _few(n, 4, "Zones with five answers each")
    quarter = max(1, n // 4)
    best, worst = float(np.median(medians[:quarter])), float(np.median(medians[-quarter:]))
    if not best > 0:
        return _not_told(n, 4, "the fastest answer at once: there is no ratio")
    return Measure(value=worst / best, n=n, minimum=4)
