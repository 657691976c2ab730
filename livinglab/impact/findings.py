"""Findings and grades: what an Effect may be called, and how far one may trust the call.

Every number that decides stands in one table, `THRESHOLDS`; a result names its version. A table is
never changed once results were told by it: a correction is another version.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from livinglab.impact.results import Guard, Status, Tier

Finding = Literal["not_established", "negligible", "not_detectable", "decrease", "increase"]
Letter = Literal["A", "B", "C", "D"]
FINDINGS: tuple[Finding, ...] = get_args(Finding)
LETTERS: tuple[Letter, ...] = get_args(Letter)
"""From best to worst."""

GUARDS = (
    "frozen",
    "capture",
    "seasons",
    "pre_trend",
    "pre_fit",
    "power",
    "placebo_time",
    "placebo_space",
    "negative_control",
    "contamination",
    "anticipation",
    "concurrent",
    "instrument",
    "serial",
    "clusters",
    "multiplicity",
    "agreement",
    "specification",
    "weather",
)
"""Every guard by its id, in the order in which they are shown."""

CAUSE_VETOES = frozenset({"negative_control", "instrument"})
"""Guards whose veto leaves no cause to speak of: something other than the measure was at work."""
P_VETOES = frozenset({"clusters"})
"""Guards whose veto leaves no p-value, nor an interval or a power that rest on the same error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What guards, findings and grades are held against: defaults of the project."""

    version: str

    capture_full: float
    """Share of valid periods that the post window and its quarters need. [1]"""
    capture_least: float
    """Below it there is no estimate; from it on the grade is capped. [1]"""
    pre_months: float
    """So long a baseline covers the seasons. [months]"""
    early_months: float
    """A shorter post window is early. [months]"""
    pre_trend_p: float
    """The joint test of the leads must exceed it. [1]"""
    pre_trend_level: float
    """Coverage of the interval of the drift that a slope before the start would cause. [1]"""
    pre_trend_share: float
    """The drift must stay within this share of the smallest effect of interest. [1]"""
    pre_fit_sd: float
    """RMSPE before the start, as a share of the standard deviation before it. [1]"""
    pre_fit_effect: float
    """RMSPE before the start, as a share of the size of the effect. [1]"""
    pre_fit_donors: float
    """Effective number of donors, 1/Σw². [1]"""
    placebo_dates: int
    """Fake starts that placebos in time need. [1]"""
    placebo_time_p: float
    """Fake starts must not reach the effect more often. [1]"""
    placebo_space_p: float
    """Nor may controls; met, nothing is lost. [1]"""
    placebo_space_p_weak: float
    """Met instead, the grade is capped. [1]"""
    negative_control_p: float
    """What the measure cannot touch is significant from here down. [1]"""
    ring_street_m: float
    """Controls so near to a treated street may be treated a little. [m]"""
    ring_zone_m: float
    """Likewise to a treated Zone. [m]"""
    concurrent_days: float
    """Events so near to the start count. [d]"""
    instrument_days: float
    """Changes of an instrument so near to the start count. [d]"""
    clusters: int
    """With fewer, p comes from randomisation or a bootstrap. [1]"""
    multiplicity_q: float
    """False discovery rate among the secondary outcomes of an Initiative. [1]"""
    specification_share: float
    """Such a share of the variants must agree in sign. [1]"""
    specification_window: float
    """Windows are varied by this share. [1]"""
    weather_r2: float
    """Share of the variance in time held out that weather must explain. [1]"""
    weather_bias: float
    """Bias in that time, in minimum detectable effects. [1]"""
    weather_controls_p: float
    """At or below it controls changed although the weather was taken out. [1]"""

    power: float
    """The minimum detectable effect is found this often. [1]"""
    negligible_level: float
    """Coverage of the interval that must lie within the smallest effect of interest. [1]"""
    detectable_p: float
    """Above it nothing was detected. [1]"""
    firm_p: float
    """Above it a direction is suggestive at best. [1]"""
    ceilings: tuple[tuple[Tier, Letter], ...]
    """The best grade that an estimate of each tier can have."""
    costs: tuple[tuple[Status, Letter], ...]
    """The best grade that a guard of each status leaves; the others cost nothing."""
    two_soft_fails: Letter
    """The best grade that two soft failures leave."""


THRESHOLDS = Thresholds(
    version="2",
    capture_full=0.85,
    capture_least=0.75,
    pre_months=12,
    early_months=3,
    pre_trend_p=0.10,
    pre_trend_level=0.90,
    pre_trend_share=0.5,
    pre_fit_sd=0.5,
    pre_fit_effect=0.5,
    pre_fit_donors=2,
    placebo_dates=20,
    placebo_time_p=0.10,
    placebo_space_p=0.05,
    placebo_space_p_weak=0.10,
    negative_control_p=0.05,
    ring_street_m=500,
    ring_zone_m=2_000,
    concurrent_days=60,
    instrument_days=90,
    clusters=20,
    multiplicity_q=0.10,
    specification_share=0.80,
    specification_window=0.25,
    weather_r2=0.5,
    weather_bias=0.5,
    weather_controls_p=0.05,
    power=0.80,
    negligible_level=0.90,
    detectable_p=0.10,
    firm_p=0.05,
    ceilings=(("T1", "A"), ("T2", "A"), ("T3", "C"), ("T4", "C"), ("D", "D")),
    costs=(
        ("soft_fail", "B"),
        ("next_tier", "B"),
        ("cap_B", "B"),
        ("not_applicable", "B"),
        ("cap_C", "C"),
        ("veto", "D"),
    ),
    two_soft_fails="C",
)
"""The table in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """How far a finding can be trusted, and what kept it from an A.

    Attributes:
        letter: A to D; it decides which words may be used.
        weak: Guards that failed and cost something, but no veto.
        failed: Guards that vetoed.
        unchecked: Guards whose input was never supplied.
        why: Every rule that allows no better than a letter below A, in words.
    """

    letter: Letter
    weak: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    why: tuple[str, ...] = ()


def finding(
    effect: float,
    interval90: tuple[float, float],
    *,
    tier: Tier,
    p: float,
    mde: float,
    sesoi: float | None = None,
    vetoes: Collection[str] = (),
) -> Finding:
    """Tell what was found, tested in this order.

    ``not_established``: a guard vetoed the cause, because something that the measure cannot touch
    moved as well, or the instruments themselves changed. Then nothing follows about the measure:
    neither that it did something, nor that it did little, nor that more would have been seen.
    ``negligible``: the 90 % interval lies inside ±SESOI, which is two one-sided tests at 5 % [1];
    only a SESOI that was stated beforehand may be given. ``not_detectable``: the effect is smaller
    than what would have been detected, or p exceeds .10; a p or an MDE that nobody could compute
    detects nothing. Else the sign.

    A vetoed p is no p: chance cannot be told from anything, so the finding is ``not_detectable``,
    and never ``negligible``, whose interval rests on the same error. Before/after (tier D) has
    neither p nor MDE: there the interval must exclude 0, and the words will claim no cause.

    Args:
        effect: The estimate. [the panel's unit, or log points]
        interval90: Its 90 % interval; a side may be infinite. [as effect]
        tier: The estimator's place in the table of tiers.
        p: The p-value of record; NaN where there is none. [1]
        mde: Minimum detectable effect; NaN where it is unknown. [as effect, positive]
        sesoi: Smallest effect size of interest; None where none was stated. [as effect, positive]
        vetoes: Ids of the guards that vetoed.

    Returns:
        One of the five findings.

    References:
        [1] D. J. Schuirmann, J. Pharmacokinet. Biopharm. 15 (6), 657-680, 1987.
    """
    if not CAUSE_VETOES.isdisjoint(vetoes):
        return "not_established"
    if not P_VETOES.isdisjoint(vetoes):
        return "not_detectable"
    low, high = interval90
    if sesoi is not None and -sesoi < low and high < sesoi:
        return "negligible"
    if tier == "D":
        detected = low > 0 or high < 0
    else:
        detected = abs(effect) >= mde and p <= THRESHOLDS.detectable_p
    if not detected or effect == 0:
        return "not_detectable"
    return "decrease" if effect < 0 else "increase"


def grade(
    tier: Tier,
    guards: Iterable[Guard],
    found: Finding,
    *,
    p: float,
    p_min: float,
    mde: float,
    sesoi: float | None = None,
) -> Grade:
    """Grade a finding: the lowest of all that the tier, the guards and the numbers allow.

    The tier sets the ceiling; caps, vetoes and soft failures lower it, two soft failures to C; all
    guards without input together cap at B. A direction with p above .05, or with a method that
    cannot reach .05, is at best C; so is ``negligible`` where the MDE exceeds the SESOI.

    ``next_tier`` means that the evaluation falls back to the next tier's estimate. Where it did,
    give the guards of the new headline only: what felled an earlier one is shown, but costs this
    one nothing. A ``next_tier`` that is still among them had no tier to fall to: it counts as a
    soft failure.

    Args:
        tier: Of the headline.
        guards: Those of the headline.
        found: The finding about it.
        p: Its p-value of record. [1]
        p_min: The least p that its method can reach. [1]
        mde: Minimum detectable effect; NaN where it is unknown. [as the effect]
        sesoi: Smallest effect size of interest, if stated. [as the effect]

    Returns:
        The grade with its reasons.
    """
    shown = tuple(guards)
    caps = [*_tier_cap(tier), *_guard_caps(shown)]
    if found == "negligible":
        caps += _equivalence_cap(mde, sesoi)
    elif found in {"decrease", "increase"}:
        caps += _direction_cap(p, p_min)
    return Grade(
        letter=max((letter for letter, _ in caps), default="A"),
        weak=_ids(shown, "soft_fail", "next_tier", "cap_B", "cap_C"),
        failed=_ids(shown, "veto"),
        unchecked=_ids(shown, "not_applicable"),
        why=tuple(f"at best {letter}: {reason}" for letter, reason in caps),
    )


def benjamini_hochberg(
    p: Sequence[float], q: float = THRESHOLDS.multiplicity_q
) -> tuple[bool, ...]:
    """Tell which of several outcomes count as found, at most a share *q* of them falsely.

    Sort p, find the largest i with p_(i) ≤ q·i/m, reject 1..i [1]. The tests are independent or
    positively dependent. An undefined p counts as 1: it is among the m, and is never rejected.

    Args:
        p: One p-value per outcome. [1]
        q: The false discovery rate. [1]

    Returns:
        Whether each is rejected, in the order given.

    References:
        [1] Y. Benjamini, Y. Hochberg, J. R. Stat. Soc. B 57 (1), 289-300, 1995.
    """
    values = [1.0 if math.isnan(one) else one for one in p]
    m = len(values)
    met = [one for i, one in enumerate(sorted(values), start=1) if one <= q * i / m]
    last = max(met, default=-1.0)
    return tuple(one <= last and not math.isnan(told) for one, told in zip(values, p, strict=True))


def _ids(guards: Iterable[Guard], *statuses: Status) -> tuple[str, ...]:
    return tuple(guard.id for guard in guards if guard.status in statuses)


def _tier_cap(tier: Tier) -> list[tuple[Letter, str]]:
    ceiling = dict(THRESHOLDS.ceilings)[tier]
    name = "before/after" if tier == "D" else f"tier {tier}"
    return [] if ceiling == "A" else [(ceiling, name)]


def _guard_caps(guards: tuple[Guard, ...]) -> list[tuple[Letter, str]]:
    costs = dict(THRESHOLDS.costs)
    caps = [
        (costs[guard.status], f"{guard.id} {guard.status}")
        for guard in guards
        if guard.status in costs
    ]
    soft = _ids(guards, "soft_fail", "next_tier")
    if len(soft) > 1:
        caps.append((THRESHOLDS.two_soft_fails, f"{len(soft)} soft failures"))
    return caps


def _direction_cap(p: float, p_min: float) -> list[tuple[Letter, str]]:
    firm = THRESHOLDS.firm_p
    if p_min > firm:
        return [("C", f"p <= {firm:g} is out of reach, the least is {p_min:.2g}")]
    return [] if p <= firm else [("C", f"p is not <= {firm:g}")]


def _equivalence_cap(mde: float, sesoi: float | None) -> list[tuple[Letter, str]]:
    if sesoi is not None and mde <= sesoi:
        return []
    return [("C", "the MDE exceeds the smallest effect of interest, or is unknown")]
