"""Findings and grades: every rule of the table, and the order in which rules are asked."""

import hashlib
import itertools
import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.impact.findings import (
    CAUSE_VETOES,
    FINDINGS,
    GUARDS,
    LETTERS,
    P_VETOES,
    THRESHOLDS,
    Finding,
    Grade,
    benjamini_hochberg,
    finding,
    grade,
)
from livinglab.impact.results import Guard, Status, Tier

EVERYWHERE = (-math.inf, math.inf)
TIERS: tuple[Tier, ...] = ("T1", "T2", "T3", "T4", "D")
STATUSES: tuple[Status, ...] = (
    "pass",
    "soft_fail",
    "cap_B",
    "cap_C",
    "next_tier",
    "veto",
    "not_applicable",
    "reported",
)


def guards(**statuses: Status) -> list[Guard]:
    return [Guard(id=name, status=status) for name, status in statuses.items()]


def found(
    effect: float = -3.0,
    interval90: tuple[float, float] = (-4.0, -2.0),
    *,
    tier: Tier = "T1",
    p: float = 0.01,
    mde: float = 2.0,
    sesoi: float | None = None,
    vetoes: tuple[str, ...] = (),
) -> Finding:
    return finding(effect, interval90, tier=tier, p=p, mde=mde, sesoi=sesoi, vetoes=vetoes)


def graded(
    *shown: Guard,
    tier: Tier = "T1",
    told: Finding = "decrease",
    p: float = 0.01,
    p_min: float = 0.01,
    mde: float = 2.0,
    sesoi: float | None = None,
) -> Grade:
    return grade(tier, shown, told, p=p, p_min=p_min, mde=mde, sesoi=sesoi)


# --- The table


def test_a_table_that_told_results_is_never_changed():
    """Another threshold is another version: this hash changes only together with the number."""
    told = repr(sorted(asdict(THRESHOLDS).items())).encode()

    assert ("2", "ff5426fc4c7ac239") == (THRESHOLDS.version, hashlib.sha256(told).hexdigest()[:16])


def test_every_tier_has_a_ceiling():
    """T1 and T2 may reach an A, T3 and T4 a C, before/after nothing but D."""
    ceilings = {tier: graded(tier=tier).letter for tier in TIERS}

    assert {"T1": "A", "T2": "A", "T3": "C", "T4": "C", "D": "D"} == ceilings


# --- Findings, in the order in which they are tested


def test_negligible_is_asked_first():
    """A detected effect inside the smallest effect of interest is negligible all the same."""
    assert "negligible" == found(-0.5, (-0.9, -0.1), mde=0.4, sesoi=1.0)


def test_negligible_needs_a_size_stated_beforehand():
    """However narrow the interval, without a size that matters nothing is negligible."""
    assert "decrease" == found(-0.5, (-0.6, -0.4), mde=0.1)


@pytest.mark.parametrize("interval90", [(-1.0, 0.5), (-0.5, 1.0), EVERYWHERE, (math.nan, 0.5)])
def test_an_interval_that_touches_the_size_is_not_negligible(interval90):
    """Inside is inside: a bound on the edge, an open or an unknown side do not count."""
    assert "not_detectable" == found(-0.1, interval90, p=0.5, sesoi=1.0)


@pytest.mark.parametrize(
    ("p", "mde"), [(0.2, 2.0), (0.01, 3.5), (math.nan, 2.0), (0.01, math.nan), (0.11, 2.0)]
)
def test_what_would_not_have_been_seen_was_not_detected(p, mde):
    """A p above .10, an effect below the MDE, or either of them unknown."""
    assert "not_detectable" == found(p=p, mde=mde)


@pytest.mark.parametrize(
    ("effect", "told"), [(-3.0, "decrease"), (3.0, "increase"), (0.0, "not_detectable")]
)
def test_the_sign_is_told_last(effect, told):
    """At p = .10 and one MDE an effect is still told; 0 has no direction."""
    assert told == found(effect, EVERYWHERE, p=0.10, mde=abs(effect))


def test_before_after_has_neither_p_nor_power():
    """Its interval must exclude 0; then a change is told, of which nobody knows the cause."""

    def naive(effect: float, interval90: tuple[float, float]) -> Finding:
        return found(effect, interval90, tier="D", p=math.nan, mde=math.nan)

    assert "decrease" == naive(-3, (-4, -2))
    assert "increase" == naive(3, (2, 4))
    assert "not_detectable" == naive(-3, (-7, 1))


# --- What a veto leaves


@pytest.mark.parametrize("guard", sorted(CAUSE_VETOES))
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    "numbers",
    [
        {},
        {"effect": 3.0, "interval90": (2.0, 4.0)},
        {"effect": -0.1, "interval90": (-0.5, 0.5), "sesoi": 1.0, "p": 0.8},
        {"effect": -0.1, "interval90": (-3.0, 3.0), "p": 0.8},
    ],
)
def test_a_veto_of_the_cause_leaves_nothing_established(guard, tier, numbers):
    """Neither a fall nor a rise, nor that there was little, nor that more would have been seen."""
    assert "not_established" != found(tier=tier, **numbers)
    assert "not_established" == found(tier=tier, vetoes=(guard,), **numbers)
    shown = Guard(id=guard, status="veto")
    assert "D" == graded(shown, tier=tier, told="not_established").letter


@pytest.mark.parametrize("guard", sorted(P_VETOES))
def test_a_veto_of_the_p_value_detects_nothing(guard):
    """However small the number that was called p; nor is anything negligible by the same error."""
    assert "not_detectable" == found(p=0.001, vetoes=(guard,))
    assert "negligible" == found(-0.1, (-0.5, 0.5), p=0.001, sesoi=1.0)
    assert "not_detectable" == found(-0.1, (-0.5, 0.5), p=0.001, sesoi=1.0, vetoes=(guard,))


def test_the_cause_is_asked_before_the_p_value():
    """Where both are vetoed, what cannot be said about the measure comes first."""
    assert "not_established" == found(vetoes=("clusters", "instrument"))


# --- Grades


@pytest.mark.parametrize(
    ("statuses", "letter"),
    [
        ({}, "A"),
        ({"pre_fit": "pass", "serial": "reported"}, "A"),
        ({"concurrent": "soft_fail"}, "B"),
        ({"capture": "cap_B"}, "B"),
        ({"capture": "cap_B", "concurrent": "soft_fail"}, "B"),
        ({"concurrent": "soft_fail", "agreement": "soft_fail"}, "C"),
        ({"pre_trend": "next_tier"}, "B"),
        ({"pre_trend": "next_tier", "agreement": "soft_fail"}, "C"),
        ({"seasons": "cap_C"}, "C"),
        ({"negative_control": "veto"}, "D"),
        ({"negative_control": "veto", "capture": "cap_B"}, "D"),
        ({"frozen": "not_applicable"}, "B"),
        (dict.fromkeys(GUARDS, "not_applicable"), "B"),
    ],
)
def test_guards_lower_the_grade(statuses, letter):
    """Caps cap; one soft failure costs a letter, two cost two; all without input cost one."""
    assert letter == graded(*guards(**statuses)).letter


def test_a_grade_names_who_lowered_it():
    """Weak, failed and unchecked are told apart, because sentences tell them apart."""
    told = graded(
        *guards(
            frozen="not_applicable",
            capture="cap_B",
            pre_fit="pass",
            placebo_time="cap_C",
            negative_control="veto",
            serial="reported",
            agreement="soft_fail",
        )
    )

    assert ("capture", "placebo_time", "agreement") == told.weak
    assert ("negative_control",) == told.failed
    assert ("frozen",) == told.unchecked
    assert "at best D: negative_control veto" in told.why
    assert 5 == len(told.why)


@pytest.mark.parametrize(
    ("p", "p_min", "letter"),
    [(0.05, 0.05, "A"), (0.051, 0.01, "C"), (0.09, 0.09, "C"), (math.nan, 0.0, "C")],
)
def test_a_direction_needs_a_p_that_is_reachable_and_reached(p, p_min, letter):
    """Above .05, or where .05 is out of reach, the evidence is suggestive."""
    assert letter == graded(p=p, p_min=p_min).letter


@pytest.mark.parametrize(
    ("mde", "sesoi", "letter"),
    [(2.0, 2.0, "A"), (2.1, 2.0, "C"), (math.nan, 2.0, "C"), (2.0, None, "C")],
)
def test_negligible_needs_power(mde, sesoi, letter):
    """What could not have seen an effect that matters cannot firmly say that there is none."""
    assert letter == graded(told="negligible", p=0.9, mde=mde, sesoi=sesoi).letter


def test_not_detectable_asks_for_no_p():
    """A null result may have an A: it says how small a change would have been seen."""
    assert "A" == graded(told="not_detectable", p=0.8).letter


@given(
    st.sampled_from(TIERS),
    st.lists(st.sampled_from(STATUSES), max_size=6),
    st.sampled_from(STATUSES),
    st.sampled_from(FINDINGS),
    st.floats(0, 1),
)
def test_another_guard_never_improves_a_grade(tier, statuses, status, told, p):
    """Whatever a guard says, the grade stays or falls."""
    shown = [Guard(id=name, status=one) for name, one in zip(GUARDS, statuses, strict=False)]
    more = [*shown, Guard(id="weather", status=status)]

    before, after = (graded(*some, tier=tier, told=told, p=p) for some in (shown, more))

    assert before.letter <= after.letter
    assert (after.letter == "A") == (not after.why)


def test_every_letter_can_be_reached():
    """There is no grade that nothing leads to."""
    reached = {
        graded(*guards(concurrent=status), tier=tier).letter
        for status, tier in itertools.product(STATUSES, TIERS)
    }

    assert set(LETTERS) == reached


# --- Several outcomes at once


def test_benjamini_hochberg_worked_by_hand():
    """Of five at q = .10, the third is the last below its line .06, so three are found."""
    assert (True, False, True, True, False) == benjamini_hochberg([0.001, 0.5, 0.055, 0.03, 0.09])


def test_benjamini_hochberg_of_the_paper():
    """The fifteen p-values of the paper's example: four are found at q = .05."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]

    assert 4 == sum(benjamini_hochberg(p, q=0.05))


def test_a_line_that_is_met_later_saves_those_before():
    """.09 misses its own line of .05, but the second one meets .10."""
    assert (True, True) == benjamini_hochberg([0.09, 0.095])


def test_an_undefined_p_is_never_found_and_still_counts():
    """One of two p-values is unknown: the other needs .05, not .10."""
    assert (False, False) == benjamini_hochberg([0.06, math.nan])
    assert (True, False) == benjamini_hochberg([0.05, math.nan])
    assert () == benjamini_hochberg([])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.01, 0.3))
def test_a_smaller_p_is_found_whenever_a_larger_one_is(p, q):
    """What is found is the lower end of the sorted list, and never more than a plain test finds."""
    told = benjamini_hochberg(p, q)

    assert sorted(told, reverse=True) == [one for _, one in sorted(zip(p, told, strict=True))]
    assert all(one <= q for one, is_found in zip(p, told, strict=True) if is_found)
