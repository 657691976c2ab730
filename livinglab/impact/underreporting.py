"""Under-reporting: how readily a Zone posts what happens there, so that silence is not mistaken.

Two ways, shown beside the raw count and never instead of it. The first needs no sensor: once an
Incident is known, the pace at which *others* post it again tells how soon one like it is noticed.
It works only if every duplicate was kept and linked, and if the end of an Incident was not caused
by its Observations. The second holds Observations against the hours in which a sensor exceeded.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import gammainc, gammaincinv, gammaln
from scipy.stats import beta, chi2
from scipy.stats import t as student
from statsmodels.discrete.discrete_model import NegativeBinomial, Poisson
from statsmodels.tools.sm_exceptions import (
    ConvergenceWarning,
    HessianInversionWarning,
)

from livinglab.errors import NotEstimableError, PanelError
from livinglab.impact.results import Floats

Method = Literal["own", "pooled", "none"]
Family = Literal["poisson", "negative_binomial"]

LEAST_INCIDENTS = 30
LEAST_DUPLICATES = 10
"""A Zone with fewer borrows from the others."""
LEAST_ZONES = 5
"""Zones that a prior is fitted across, at least."""
LEAST_CLUSTERS = 20
"""Zones between which a covariate may be compared, at least."""
LEAST_OBSERVATIONS = 30
"""Of the whole city, before Zones are held against it."""
CAPS = 30.0, 100.0
"""An Incident is watched for so long, and no longer. [days]"""
OVERDISPERSED = 1.645
"""Dean's score above it is chance in 5 of 100."""
SHAPES = 0.05, 1e6
"""Of the prior: from Zones that have nothing in common to Zones that are alike."""
VARIATIONS = 0.02, 3.0
"""Coefficients of variation of Zones that an interval reckons with. [1]"""
GRID = 41
NEGLIGIBLE = 1e-6
"""Of the likeliest prior's weight; one with less is not reckoned with."""
SLACK = 1e-6
"""Of the logarithm of a rate, where a root is sought. [1]"""
SCARCE = 0.01
"""Share of Incidents posted within their life, below which nothing is scaled up. [1]"""
LARGE = 1e50
"""No covariate is larger, or varies by less than one part of it. [its unit]"""
LARGEST_ERROR = 10.0
"""Of a logarithm of a rate; beyond it the likelihood has no top. [1]"""
THOUSAND = 1000
LEAST_COMPARED = 2
"""Zones whose sensor exceeded, before one is held against all."""
SENSED = "observations", "exceedance_hours", "residents"
DAY = pd.Timedelta(days=1)


# --- what is answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A number with its interval; what may not be told is None, and *why* says the reason."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneReporting:
    """How readily one Zone posts an Incident.

    Attributes:
        zone: Its key.
        incidents: Incidents that were posted: the raw count.
        duplicates: Further Observations of them by other Contributors.
        days: Time over which these could come, summed over Incidents. [days]
        method: Whether the Zone's own numbers suffice, are drawn towards the other Zones', or
            nothing can be told.
        rate: λ, Observations of a standing Incident. [per day]
        delay: 1/λ, mean time until one is posted. [days]
        corrected: Incidents there were, posted or not.
    """

    zone: str
    incidents: int
    duplicates: int
    days: float
    method: Method
    rate: Told
    delay: Told
    corrected: Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """The gamma distribution of rates over Zones; its mean is shape/days. [per day]"""

    shape: float
    days: float
    zones: int
    """That it was fitted across."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """How readily each Zone posts.

    Attributes:
        zones: In the order of their keys, with those that never posted.
        prior: What Zones with few data borrow from; None where it cannot be fitted.
        dispersion: Variance of duplicates over what one rate per Zone would make it; above 1 only
            where chance would seldom do as much, and then all intervals are wider by it. [1]
        life: Typical life of an Incident that was assumed. [days]
        level: Coverage of the intervals.
        why: Why there is no prior.
    """

    zones: tuple[ZoneReporting, ...]
    prior: Prior | None
    dispersion: float
    life: float
    level: float
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRatio:
    """By how many times Incidents are posted sooner where a covariate is one higher, or is so.

    Attributes:
        covariate: Its name; ``name=value`` for one of its words, against the first word.
        ratio: Of rates. [1]
        low: Lower bound of its interval.
        high: Upper bound.
        p: Two-sided.
    """

    covariate: str
    ratio: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Covariates:
    """How reporting goes with what Incidents and Zones are; never a cause.

    Attributes:
        ratios: One per covariate, or per word of it but the first.
        family: Poisson, or negative binomial where counts vary more.
        compared: ``between`` Zones, with errors clustered by Zone; or ``within`` them, where there
            are too few.
        incidents: That were used.
        zones: That were used.
    """

    ratios: tuple[RateRatio, ...]
    family: Family
    compared: Literal["between", "within"]
    incidents: int
    zones: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstSensor:
    """How often one Zone posts while its sensor exceeds.

    Attributes:
        zone: Its key.
        observations: Made in these hours.
        rate: Observations per exceedance hour and 1,000 residents.
        relative: The same over that of all Zones with a sensor. [1]
    """

    zone: str
    observations: int | None
    rate: Told
    relative: Told


UNKNOWN = Told(why="its Observations, exceedance hours or residents are not known")


# --- what an Incident was watched for


def windows(
    observations: pd.DataFrame,
    closed: Mapping[Any, Any],
    *,
    until: Any,
    cap: float = CAPS[1],
) -> pd.DataFrame:
    """Count how many others posted each Incident again, and how long they could.

    An Incident is watched from its first Observation to its end, to the cap, or to *until*,
    whichever comes first. Each other Contributor counts once. An Observation without a Contributor
    cannot be told to be another's, and counts only if it is the first.

    Args:
        observations: One row each, with columns ``incident`` (empty where none is linked),
            ``zone``, ``contributor`` (empty where unknown) and ``time`` (aware, or naive UTC).
        closed: Incident → the instant at which it was over; missing while it stands. What closes
            because people posted again makes rates too low.
        until: Instant up to which Observations are complete.
        cap: An Incident is watched no longer; between 30 and 100. [days]

    Returns:
        One row per Incident with columns ``incident``, ``zone`` (of its first Observation),
        ``duplicates`` and ``days``, as `reporting` takes them.

    Raises:
        PanelError: A column is missing, a time cannot be read, or an Incident ends before it began.
    """
    if not CAPS[0] <= cap <= CAPS[1]:
        raise PanelError(f"a cap lies between {CAPS[0]:g} and {CAPS[1]:g} days, and {cap} does not")
    _demand_columns(observations, ("incident", "zone", "contributor", "time"))
    rows = observations.assign(time=_instants(observations["time"], "time"))
    complete = _instants(pd.Series([until]), "until")[0]
    rows = rows[rows["incident"].notna() & (rows["time"] < complete)]
    rows = rows.sort_values("time", kind="stable")
    firsts = rows.drop_duplicates("incident").set_index("incident").sort_index()
    ends = _ends(firsts, closed, complete, cap)
    return pd.DataFrame(
        {
            "incident": firsts.index,
            "zone": firsts["zone"].to_numpy(),
            "duplicates": _others(rows, firsts, ends).to_numpy(),
            "days": ((ends - firsts["time"]) / DAY).to_numpy(dtype=np.float64),
        }
    )


def _demand_columns(frame: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise PanelError(
            f"the column {missing[0]} is missing: {', '.join(map(str, frame.columns)) or 'none'} "
            f"were given, {', '.join(names)} are needed"
        )


def _instants(column: pd.Series, name: str) -> pd.Series:
    try:
        found = pd.to_datetime(column, utc=True)
    except (ValueError, TypeError) as error:
        raise PanelError(f"{name} is no time: {str(error).splitlines()[0][:120]}") from error
    if found.isna().any():
        raise PanelError(f"a {name} is empty")
    return found


def _ends(
    firsts: pd.DataFrame, closed: Mapping[Any, Any], complete: pd.Timestamp, cap: float
) -> pd.Series:
    """Return when each Incident ceased to be watched."""
    capped = firsts["time"] + cap * DAY
    ends = capped.where(capped < complete, complete)
    over = pd.Series({key: closed[key] for key in firsts.index if key in closed}, dtype=object)
    if over.empty:
        return ends
    over = _instants(over, "closed")
    early = over < firsts["time"].reindex(over.index)
    if early.any():
        raise PanelError(f"the Incident {early.idxmax()} was over before it was first posted")
    over = over.reindex(ends.index).fillna(complete)
    return ends.where(ends < over, over)


def _others(rows: pd.DataFrame, firsts: pd.DataFrame, ends: pd.Series) -> pd.Series:
    """Count the other Contributors who posted each Incident before its end."""
    first, end = (
        one.loc[rows["incident"]].set_axis(rows.index) for one in (firsts["contributor"], ends)
    )
    another = rows["contributor"].notna() & (rows["contributor"] != first)
    others = rows[another & (rows["time"] < end)]
    counts = others.groupby("incident")["contributor"].nunique()
    return counts.reindex(firsts.index, fill_value=0)


# --- by duplicates


def reporting(
    incidents: pd.DataFrame,
    *,
    life: float,
    zones: Sequence[str] = (),
    level: float = 0.95,
) -> Reporting:
    """Estimate how readily each Zone posts, and how many Incidents it must have had.

    Other Contributors are taken to post an Incident of Zone z at a steady pace λ_z, independently
    [1]: λ̂_z = ΣM/ΣT with Garwood's exact interval [2], mean delay 1/λ_z, and n/(1 − exp(−λ_z·τ))
    Incidents in all. Where Incidents of one Zone are posted unequally, intervals are wider by the
    dispersion, and the corrected count is a lower limit: what is hardly noticed is missing in λ̂
    too. A Zone with fewer than 30 Incidents or 10 duplicates is drawn towards the others,
    λ_z = (a + ΣM)/(b + ΣT) with the likeliest gamma prior (a, b) [3]; its interval reckons with
    every prior that the Zones do not exclude, equally likely by mean and by variation: with the
    likeliest alone, 95 % intervals held 40 to 87 of 100 planted rates in towns of eight Zones.

    The interval of the corrected count tells how uncertain λ is, and nothing else.

    Args:
        incidents: One row each, with columns ``zone``, ``duplicates`` (M: by how many others it was
            posted again) and ``days`` (T: for how long they could), as `windows` makes them.
        life: How long an Incident typically stands: τ. [days]
        zones: Keys of all Zones, so that those without an Incident are named too.
        level: Coverage of the intervals.

    Raises:
        PanelError: A column is missing or holds what cannot be, or an option means nothing.

    References:
        [1] Z. Liu, U. Bhandaram, N. Garg, arXiv 2204.08620, 2022.
        [2] F. Garwood, Biometrika 28 (3/4), 437-442, 1936.
        [3] D. G. Clayton, J. Kaldor, Biometrics 43 (3), 671-681, 1987.
    """
    _demand_level(level)
    if not (math.isfinite(life) and life > 0):
        raise PanelError(f"a life is a number of days above 0, and {life} is none")
    rows = _incidents(incidents)
    totals = rows.groupby("zone").agg(
        incidents=("days", "size"), duplicates=("duplicates", "sum"), days=("days", "sum")
    )
    totals = totals.reindex(sorted({*totals.index, *map(str, zones)}), fill_value=0)
    dispersion = _dispersion_within(rows, totals)
    worth = totals[["duplicates", "days"]] / dispersion
    lacking = _no_prior(worth)
    priors = None if lacking else _priors(worth[worth["days"] > 0])
    return Reporting(
        zones=tuple(
            _zone(str(zone), totals.loc[zone], worth.loc[zone], priors, lacking, life, level)
            for zone in totals.index
        ),
        prior=priors.likeliest if priors else None,
        dispersion=dispersion,
        life=life,
        level=level,
        why=lacking,
    )


def _demand_level(level: float) -> None:
    if not 0 < level < 1:
        raise PanelError(f"a level lies between 0 and 1, and {level} does not")


def _incidents(frame: pd.DataFrame) -> pd.DataFrame:
    """Check zone, duplicates and days; other columns stay as they are."""
    _demand_columns(frame, ("zone", "duplicates", "days"))
    if frame["zone"].isna().any():
        raise PanelError("an Incident has no zone: leave it out")
    counted = {name: _amounts(frame, name) for name in ("duplicates", "days")}
    if (counted["duplicates"] % 1 != 0).any():
        raise PanelError("duplicates are counted: a part of one is none")
    return frame.assign(zone=frame["zone"].astype(str), **counted)


def _amounts(frame: pd.DataFrame, name: str) -> Floats:
    """Return numbers that are finite and not negative."""
    found = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
    bad = ~(np.isfinite(found) & (found >= 0))
    if bad.any():
        word = str(frame[name].to_numpy()[bad][0])[:40]
        raise PanelError(f"{name} is {word!r}: it is a finite number, 0 or more")
    return found


def _dispersion_within(rows: pd.DataFrame, totals: pd.DataFrame) -> float:
    """Tell how much more duplicates vary than one rate per Zone allows; 1 if chance may do it."""
    known = totals[(totals["duplicates"] > 0) & (totals["days"] > 0)]
    rows = rows[rows["zone"].isin(known.index)]
    total = rows["zone"].map(known["duplicates"]).to_numpy(dtype=np.float64)
    days = rows["zone"].map(known["days"]).to_numpy(dtype=np.float64)
    counts = rows["duplicates"].to_numpy(dtype=np.float64)
    expected = total * (rows["days"].to_numpy(dtype=np.float64) / days)
    return _dispersion(counts, expected, expected / total)


def _dispersion(counts: Floats, expected: Floats, leverage: Floats) -> float:
    """Return variance over expectation if Dean's adjusted score [1] is above chance, else 1.

    References:
        [1] C. B. Dean, J. Am. Stat. Assoc. 87 (418), 451-457, 1992.
    """
    squares = (counts - expected) ** 2
    left = float(((1 - leverage) * expected).sum())
    size = math.sqrt(2 * float((expected**2).sum()))
    score = float((squares - counts + leverage * expected).sum())
    if left <= 0 or score <= OVERDISPERSED * size:
        return 1.0
    return max(1.0, float(squares.sum()) / left)


# --- what Zones borrow from each other


@dataclass(frozen=True, slots=True, kw_only=True)
class _Priors:
    """Gamma priors that the Zones do not exclude, and how likely each is."""

    likeliest: Prior
    shapes: Floats
    days: Floats
    weights: Floats

    def quantile(self, q: float, duplicates: float, days: float) -> float:
        """Return a quantile of a Zone's rate, whichever prior holds."""
        shapes, times = self.shapes + duplicates, self.days + days
        each = np.log(gammaincinv(shapes, q) / times)

        def excess(log_rate: float) -> float:
            return float(self.weights @ gammainc(shapes, math.exp(log_rate) * times)) - q

        return math.exp(brentq(excess, each.min() - SLACK, each.max() + SLACK, xtol=SLACK / 100))


def _no_prior(worth: pd.DataFrame) -> str:
    """Say why Zones cannot borrow from each other; nothing if they can."""
    zones, duplicates = int((worth["days"] > 0).sum()), float(worth["duplicates"].sum())
    if zones < LEAST_ZONES:
        return f"too few Zones have Incidents to borrow from: {zones} of {LEAST_ZONES}"
    if duplicates < LEAST_DUPLICATES:
        return f"too few duplicates to borrow from: worth {duplicates:.1f} of {LEAST_DUPLICATES}"
    return ""


def _priors(worth: pd.DataFrame) -> _Priors:
    """Fit the prior by marginal likelihood, and weigh others around it by theirs."""
    duplicates, days = (worth[name].to_numpy(dtype=np.float64) for name in ("duplicates", "days"))
    pace = duplicates.sum() / days.sum()
    expected = pace * days

    def surprise(point: Floats) -> float:
        return -float(_likelihood(np.exp(point[:1]), np.exp(point[1:]), duplicates, expected)[0])

    found = minimize(
        surprise, [0.0, 0.0], method="L-BFGS-B", bounds=[(-5, 5), tuple(np.log(SHAPES))]
    )
    mean, shape = np.exp(found.x)
    reach = 6 * math.sqrt(1 / duplicates.sum() + (1 + 1 / shape) / len(days))
    variations = np.linspace(*VARIATIONS, GRID)
    means, shapes = (
        one.ravel()
        for one in np.meshgrid(mean * np.exp(np.linspace(-reach, reach, GRID)), variations**-2)
    )
    likelihood = _likelihood(means, shapes, duplicates, expected)
    weights = np.exp(likelihood - likelihood.max())
    kept = weights > NEGLIGIBLE
    return _Priors(
        likeliest=Prior(
            shape=float(shape), days=float(shape / (mean * pace)), zones=len(duplicates)
        ),
        shapes=shapes[kept],
        days=shapes[kept] / (means[kept] * pace),
        weights=weights[kept] / weights[kept].sum(),
    )


def _likelihood(means: Floats, shapes: Floats, counts: Floats, expected: Floats) -> Floats:
    """Return the log likelihood of counts whose rates are gamma, for each prior.

    A count is then negative binomial; what does not depend on the prior is left out.
    """
    shape = shapes[:, None]
    odds = means[:, None] * expected / shape
    each = (
        gammaln(shape + counts)
        - gammaln(shape)
        - (shape + counts) * np.log1p(odds)
        + counts * np.log(odds)
    )
    return np.asarray(each.sum(axis=1))


# --- one Zone


def _zone(
    zone: str,
    raw: pd.Series,
    worth: pd.Series,
    priors: _Priors | None,
    lacking: str,
    life: float,
    level: float,
) -> ZoneReporting:
    incidents, duplicates = int(raw["incidents"]), int(raw["duplicates"])
    method, rate = _rate(incidents, duplicates, worth, priors, lacking, level)
    return ZoneReporting(
        zone=zone,
        incidents=incidents,
        duplicates=duplicates,
        days=float(raw["days"]),
        method=method,
        rate=rate,
        delay=_of_rate(rate, lambda pace: 1 / pace, life),
        corrected=_of_rate(rate, lambda pace: -incidents / math.expm1(-pace * life), life),
    )


def _rate(
    incidents: int,
    duplicates: int,
    worth: pd.Series,
    priors: _Priors | None,
    lacking: str,
    level: float,
) -> tuple[Method, Told]:
    counted, days = float(worth["duplicates"]), float(worth["days"])
    if days == 0:
        nothing = "no Incident was posted" if incidents == 0 else "no Incident stood for any time"
        return "none", Told(why=f"{nothing}, so nothing is known of how readily it posts")
    if incidents >= LEAST_INCIDENTS and duplicates >= LEAST_DUPLICATES:
        low, high = _exact(counted, days, level)
        return "own", Told(estimate=counted / days, low=low, high=high)
    if priors is None:
        few = f"too few alone (Incidents: {incidents}, duplicates: {duplicates})"
        return "none", Told(why=f"{few}, and {lacking}")
    prior = priors.likeliest
    low, high = (priors.quantile(q, counted, days) for q in ((1 - level) / 2, (1 + level) / 2))
    estimate = (prior.shape + counted) / (prior.days + days)
    return "pooled", Told(estimate=estimate, low=low, high=high)


def _exact(count: float, exposure: float, level: float) -> tuple[float, float]:
    """Return Garwood's interval of a Poisson rate."""
    tail = (1 - level) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 if count > 0 else 0.0
    return low / exposure, float(chi2.isf(tail, 2 * count + 2)) / 2 / exposure


def _of_rate(rate: Told, falling: Callable[[float], float], life: float) -> Told:
    """Carry a rate and its interval through a falling function; scarce ones are not told."""
    if rate.estimate is None:
        return Told(why=rate.why)
    scarce = f"fewer than {SCARCE:.0%} of Incidents may be posted within their life"
    estimate, low, high = (
        None if pace is None or pace * life < SCARCE else falling(pace)
        for pace in (rate.estimate, rate.high, rate.low)
    )
    if estimate is None:
        return Told(why=f"not told: {scarce}")
    return Told(
        estimate=estimate, low=low, high=high, why="" if high else f"no upper bound: {scarce}"
    )


# --- by what Incidents and Zones are


def reporting_by(
    incidents: pd.DataFrame, covariates: Sequence[str], *, level: float = 0.95
) -> Covariates:
    """Tell how the pace of reporting goes with covariates of Incidents and of Zones.

    ln E[M] = ln T + Xβ, Poisson [1], or negative binomial where counts vary more than it allows.
    With 20 Zones or more they are compared with each other, and errors are clustered by Zone,
    since Incidents of one Zone repeat what it is; with fewer, only Incidents of the same Zone are
    compared, each Zone having its own pace.

    Args:
        incidents: As for `reporting`, with a column per covariate: numbers, or words of which the
            first in order is the reference.
        covariates: Their names.
        level: Coverage of the intervals.

    Raises:
        NotEstimableError: Too few Incidents, duplicates or Zones, or covariates that do not vary.
        PanelError: A column is missing or holds what cannot be.

    References:
        [1] Z. Liu, U. Bhandaram, N. Garg, arXiv 2204.08620, 2022.
    """
    _demand_level(level)
    rows = _incidents(incidents)
    _demand_columns(rows, ["zone", "duplicates", "days", *covariates])
    rows = rows[rows["days"] > 0]
    between = rows["zone"].nunique() >= LEAST_CLUSTERS
    if not between:  # a Zone without duplicates tells nothing about what differs within it
        rows = rows[rows.groupby("zone")["duplicates"].transform("sum") > 0]
    counts = rows["duplicates"].to_numpy(dtype=np.float64)
    if len(counts) < LEAST_INCIDENTS:
        raise NotEstimableError(
            "too few Incidents that stood for a time, in Zones with duplicates: "
            f"{len(counts)} of {LEAST_INCIDENTS}"
        )
    columns = _columns(rows, covariates)
    _demand_enough(counts, columns)
    zones = rows["zone"].astype("category").cat.codes.to_numpy()
    _demand_contrast(counts, columns, zones, between=between)
    fit = _regressed(counts, rows["days"].to_numpy(), columns.to_numpy(), zones, between=between)
    return Covariates(
        ratios=_ratios(fit, columns, float(zones.max()) if between else math.inf, level),
        family=fit.family,
        compared="between" if between else "within",
        incidents=len(rows),
        zones=int(zones.max()) + 1,
    )


def _columns(rows: pd.DataFrame, covariates: Sequence[str]) -> pd.DataFrame:
    """Return covariates as numbers, each word but the first as a column of its own."""
    chosen = rows[list(covariates)]
    empty = chosen.columns[chosen.isna().any()]
    if len(empty):
        raise PanelError(f"{empty[0]} is empty in a row: leave the row out")
    words = [name for name in chosen if not pd.api.types.is_numeric_dtype(chosen[name])]
    coded = pd.get_dummies(
        chosen.astype(dict.fromkeys(words, str)), columns=words, prefix_sep="=", drop_first=True
    ).astype(np.float64)
    for name, column in coded.items():
        if not column.abs().max() <= LARGE or 0 < np.ptp(column) < 1 / LARGE:
            raise PanelError(f"{name} is infinite, or too large or small to reckon with")
    return coded


def _demand_enough(counts: Floats, columns: pd.DataFrame) -> None:
    if columns.shape[1] == 0:
        raise NotEstimableError("no covariate takes more than one value")
    least = LEAST_DUPLICATES * columns.shape[1]
    if counts.sum() < least:
        raise NotEstimableError(
            f"too few duplicates for so many covariates: {counts.sum():.0f} of {least}"
        )


def _demand_contrast(
    counts: Floats, columns: pd.DataFrame, zones: NDArray[Any], *, between: bool
) -> None:
    """Refuse what does not vary where it is compared, or splits duplicates from none."""
    for name, column in columns.items():
        varies = bool(np.ptp(column) > 0)
        if varies and not between and not column.groupby(zones).agg(np.ptp).any():
            raise NotEstimableError(
                f"{name} differs between Zones only: that takes {LEAST_CLUSTERS} Zones, and "
                f"{int(zones.max()) + 1} can be used"
            )
        if not varies:
            raise NotEstimableError(f"{name} is the same in all Incidents that can be used")
        each = pd.Series(counts).groupby(column.to_numpy()).sum()
        if len(each) == 2 and each.min() == 0:  # noqa: PLR2004 - yes or no
            raise NotEstimableError(
                f"no Incident with {name} at {each.idxmin():g} was posted again"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Regression:
    """Logarithms of rate ratios per one of each covariate, and their standard errors."""

    beta: Floats
    se: Floats
    family: Family


def _regressed(
    counts: Floats, days: Floats, columns: Floats, zones: NDArray[Any], *, between: bool
) -> _Regression:
    scale = columns.std(axis=0)
    scaled = (columns - columns.mean(axis=0)) / scale
    paces = np.ones((len(counts), 1)) if between else np.eye(int(zones.max()) + 1)[zones]
    design = np.hstack([scaled, paces])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise NotEstimableError("one covariate follows from the others, or from the Zone")
    clusters = zones if between else None
    found = _likeliest(Poisson(counts, design, exposure=days), clusters)
    family: Family = "poisson"
    expected = np.asarray(found.predict())
    if _dispersion(counts, expected, np.zeros(len(counts))) > 1:
        more = ((counts - expected) ** 2 - counts).sum() / (expected**2).sum()
        start = np.append(found.params, more)
        found = _likeliest(NegativeBinomial(counts, design, exposure=days), clusters, start)
        family = "negative_binomial"
    some = slice(columns.shape[1])
    beta, se = np.asarray(found.params)[some], np.asarray(found.bse)[some]
    if not (found.mle_retvals["converged"] and (se < LARGEST_ERROR).all()):
        raise NotEstimableError(
            "the likelihood has no top: covariates repeat each other, or part duplicates from none"
        )
    return _Regression(beta=beta / scale, se=se / scale, family=family)


def _likeliest(model: Any, clusters: NDArray[Any] | None, start: Floats | None = None) -> Any:
    """Fit by maximum likelihood, with errors clustered where clusters are given."""
    errors = {} if clusters is None else {"cov_type": "cluster", "cov_kwds": {"groups": clusters}}
    with warnings.catch_warnings():  # what did not converge is refused by its numbers
        for kind in (ConvergenceWarning, HessianInversionWarning, RuntimeWarning):
            warnings.simplefilter("ignore", kind)
        try:
            return model.fit(start, disp=False, maxiter=300, **errors)
        except np.linalg.LinAlgError as error:
            raise NotEstimableError(
                "the likelihood has no top: the covariates repeat each other"
            ) from error


def _ratios(
    fit: _Regression, columns: pd.DataFrame, df: float, level: float
) -> tuple[RateRatio, ...]:
    half = student.isf((1 - level) / 2, df) * fit.se
    with np.errstate(over="ignore"):  # refused in the next line
        ratio, low, high = np.exp([fit.beta, fit.beta - half, fit.beta + half])
    if not np.isfinite(high).all():
        name = columns.columns[int(np.argmax(~np.isfinite(high)))]
        raise NotEstimableError(f"{name} differs by far less than 1: give it in a smaller unit")
    p = 2 * student.sf(np.abs(fit.beta / fit.se), df)
    return tuple(
        RateRatio(covariate=str(name), ratio=float(a), low=float(b), high=float(c), p=float(d))
        for name, a, b, c, d in zip(columns.columns, ratio, low, high, p, strict=True)
    )


# --- against sensors


def against_sensors(zones: pd.DataFrame, *, level: float = 0.95) -> tuple[AgainstSensor, ...]:
    """Hold Observations against the hours in which the same was measured.

    Only where what is sensed is what people post about. Given the sum over all Zones, one Zone's
    Observations are binomial, with its share of exceedance hours times residents if all Zones
    posted alike; so Clopper's and Pearson's exact interval [1] of its share of Observations, over
    that share, is one of the ratio. It assumes independent Observations: count Contributors rather
    than Observations where a few people post most.

    Args:
        zones: One row each, with columns ``zone``, ``observations`` (made in exceedance hours),
            ``exceedance_hours`` (empty without a sensor) and ``residents``.
        level: Coverage of the intervals.

    Returns:
        One per Zone, in the order given.

    Raises:
        PanelError: A column is missing or holds what cannot be, or a Zone comes twice.

    References:
        [1] C. J. Clopper, E. S. Pearson, Biometrika 26 (4), 404-413, 1934.
    """
    _demand_level(level)
    _demand_columns(zones, ("zone", *SENSED))
    keys = zones["zone"].astype(str)
    if zones["zone"].isna().any() or keys.duplicated().any():
        raise PanelError("a Zone has a key, and one row")
    known = zones[zones[list(SENSED)].notna().all(axis=1)]
    rows = known.assign(zone=known["zone"].astype(str), **{n: _amounts(known, n) for n in SENSED})
    if (rows["residents"] < 1).any() or (rows["observations"] % 1 != 0).any():
        raise PanelError("a Zone has at least one resident, and no part of an Observation")
    rows["exposure"] = rows["exceedance_hours"] * rows["residents"] / THOUSAND
    heard = rows[rows["exposure"] > 0]
    city = int(heard["observations"].sum()), float(heard["exposure"].sum())
    lacking = _no_city(city[0], len(heard))
    each = {
        zone: _against(zone, int(count), float(exposure), city, lacking, level)
        for zone, count, exposure in zip(
            rows["zone"], rows["observations"], rows["exposure"], strict=True
        )
    }
    unknown = partial(AgainstSensor, observations=None, rate=UNKNOWN, relative=UNKNOWN)
    return tuple(each.get(key) or unknown(zone=key) for key in keys)


def _no_city(observations: int, zones: int) -> str:
    """Say why Zones cannot be held against each other; nothing if they can."""
    if zones < LEAST_COMPARED:
        return f"too few Zones whose sensor exceeded: {zones} of {LEAST_COMPARED}"
    if observations < LEAST_OBSERVATIONS:
        return f"too few Observations in all Zones: {observations} of {LEAST_OBSERVATIONS}"
    return ""


def _against(
    zone: str, count: int, exposure: float, city: tuple[int, float], lacking: str, level: float
) -> AgainstSensor:
    if exposure == 0:
        silent = Told(why="its sensor did not exceed for an hour")
        return AgainstSensor(zone=zone, observations=count, rate=silent, relative=silent)
    low, high = _exact(count, exposure, level)
    return AgainstSensor(
        zone=zone,
        observations=count,
        rate=Told(estimate=count / exposure, low=low, high=high),
        relative=Told(why=lacking) if lacking else _relative(count, exposure, city, level),
    )


def _relative(count: int, exposure: float, city: tuple[int, float], level: float) -> Told:
    """Return the Zone's share of Observations over its share of exposure."""
    total, share = city[0], exposure / city[1]
    tail, other = (1 - level) / 2, total - count
    low = float(beta.ppf(tail, count, other + 1)) if count else 0.0
    high = float(beta.isf(tail, count + 1, other)) if other else 1.0
    return Told(estimate=count / total / share, low=low / share, high=high / share)
