"""Every guard: where it passes, what makes it fail, and what its failure does to what is said."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

from livinglab.errors import NotEstimableError
from livinglab.impact import guards, telling
from livinglab.impact.evaluation import Calm, Context, Evaluation, evaluate
from livinglab.impact.findings import CAUSE_VETOES, GUARDS, P_VETOES
from livinglab.impact.panel import Panel
from livinglab.impact.results import Estimate, Floats, Guard
from livinglab.impact.weather import Weather
from livinglab.impact.wording import sentence_of

WEEK = np.timedelta64(7, "D")
FIRST = np.datetime64("2024-01-01")
WEEKS, START = 92, 66
"""The start is 2025-04-07: two whole quarters follow, and more than a year lies before."""


def town(
    effect: float = -4.0, *, seed: int = 1, places: int = 22, treated: tuple[int, ...] = (0,)
) -> Panel:
    """Places on one wandering course, each at its own level, week by week; the first is treated."""
    chance = np.random.default_rng(seed)
    course = chance.normal(size=WEEKS).cumsum()
    values = 40 + chance.normal(size=(places, 1)) + course
    values += chance.normal(size=(places, WEEKS)) * 0.5
    values[list(treated), START:] += effect
    starts = np.full(places, WEEKS)
    starts[list(treated)] = START
    return Panel(
        units=tuple(f"p{row:02d}" for row in range(places)),
        periods=(FIRST + np.arange(WEEKS) * WEEK).astype("datetime64[s]"),
        values=values,
        starts=starts,
    )


def changed(change: Callable[[Floats], None], panel: Panel | None = None) -> Panel:
    """A town to whose values something was done. [places, weeks]"""
    panel = panel or town()
    values = panel.values.copy()
    change(values)
    return panel.with_values(values)


def weeks(panel: Panel, first: int, end: int = WEEKS) -> Panel:
    return panel.only(np.arange(len(panel.units)), np.arange(first, end))


KNOWN = Context(
    smallest_effect=2.0,
    announced=town().periods[START],
    negative_control=town(0.0, seed=3),
    unchanged=True,
    near=frozenset(),
    events=(),
    changed={},
    primary=True,
)
"""Everything was supplied, and nothing is wrong."""
NEAR = frozenset(f"p{row:02d}" for row in range(1, 36))


def told(
    panel: Panel | None = None,
    *,
    by: tuple[str, ...] = ("did", "its"),
    calm: Calm | None = None,
    **known: Any,
) -> Evaluation:
    context = replace(KNOWN, **known)
    return evaluate(panel or town(), calm=calm, context=context, estimators=by)


@cache
def sound() -> Evaluation:
    return told()


def guard_of(found: Evaluation, name: str) -> Guard:
    """A guard of the headline, or the one that felled an estimate before it."""
    felled = {guard.id: guard for guard in found.passed_over.values()}
    return felled.get(name) or next(guard for guard in found.guards if guard.id == name)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation comes to: its headline, finding, grade, and words of its sentence."""

    status: str
    headline: str | None
    finding: str | None
    letter: str | None
    says: str

    def of(self, found: Evaluation, name: str) -> "Outcome":
        sentence = sentence_of(found)
        return Outcome(
            guard_of(found, name).status,
            found.headline.estimator if found.headline else None,
            found.finding,
            found.grade.letter if found.grade else None,
            self.says if self.says in sentence else sentence,
        )


REDUCED = Outcome("pass", "did", "decrease", "A", "The measure reduced the values by")
LIKELY = "The measure very likely reduced the values by"
SUGGESTIVE = "the evidence is suggestive"
NO_CAUSE = "the cause is not established; one check failed: "


@dataclass(frozen=True, slots=True)
class Case:
    """One guard, an evaluation in which it fails, and the same without the fault."""

    guard: str
    fault: Callable[[], Evaluation]
    fails: Outcome
    without: Callable[[], Evaluation] = sound
    holds: Outcome = REDUCED


def missing(count: int) -> Panel:
    """So many of the thirteen weeks of the second quarter were not measured."""
    return changed(lambda values: values[0, START + 5 : START + 5 + count].fill(np.nan))


def hole_before(values: Floats) -> None:
    """Nothing from April to September of the year before."""
    values[0, 13:40] = np.nan


def drift(values: Floats) -> None:
    values[0, :START] += np.linspace(-3, 3, START)


def high_above(values: Floats) -> None:
    values[0] += 50


def beforehand(values: Floats) -> None:
    """People change their ways as soon as they know, eight weeks ahead."""
    values[0, START - 8 : START] -= 6


def half_as_much_nearby(values: Floats) -> None:
    values[1:36, START:] -= 2


def lasting(values: Floats, size: float = 0.5) -> None:
    """What is new in a week stays, and fades slowly."""
    chance = np.random.default_rng(4)
    wave = np.zeros(WEEKS)
    for week in range(1, WEEKS):
        wave[week] = 0.8 * wave[week - 1] + chance.normal() * size
    values[0] += wave


def by_a_thread() -> Panel:
    """An effect of −0.001, which any choice may turn."""
    bare = town(0.0)
    found = evaluate(bare, estimators=["did"]).headline
    assert found is not None
    return changed(lambda values: values[0, START:].__isub__(found.effect + 0.001), bare)


def forecast(*, passed: bool) -> Calm:
    """The weather made everything 3 lower at the treated Place after the start."""
    weather = Weather(
        mode="counterfactual",
        features=("t",),
        r2=0.7 if passed else 0.3,
        bias=0.0,
        mde=1.0,
        controls_change=0.0,
        controls_p=0.5,
        variance=0.0,
        passed=passed,
        reason="" if passed else "weather explains 30% of time held out; 50% is asked",
        lost=0,
        values=town().values,
    )
    return Calm(changed(lambda values: values[0, START:].__iadd__(3)), weather)


CASES = {
    "frozen": Case(
        "frozen",
        lambda: told(unchanged=False),
        Outcome("cap_C", "did", "decrease", "C", SUGGESTIVE),
    ),
    "capture, a hole": Case(
        "capture",
        lambda: told(missing(3)),
        Outcome("cap_B", "did", "decrease", "B", "one check was weak: how much was measured"),
    ),
    "capture, more hole than window": Case(
        "capture",
        lambda: told(missing(4)),
        Outcome(
            "veto",
            None,
            None,
            None,
            "There are not enough data for an estimate; one check failed: how much was measured.",
        ),
    ),
    "seasons, half a year": Case(
        "seasons",
        lambda: told(weeks(town(), 16)),
        Outcome("cap_C", "did", "decrease", "C", "whether the same seasons are compared"),
    ),
    "seasons, other months": Case(
        "seasons",
        lambda: told(changed(hole_before)),
        Outcome("cap_C", "did", "decrease", "C", "whether the same seasons are compared"),
    ),
    "seasons, early": Case(
        "seasons",
        lambda: told(weeks(town(), 0, START + 12)),
        Outcome("cap_B", "did", "decrease", "B", LIKELY),
    ),
    "pre_trend": Case(
        "pre_trend",
        lambda: told(changed(drift)),
        Outcome("next_tier", "its", "decrease", "C", SUGGESTIVE),
    ),
    "pre_fit": Case(
        "pre_fit",
        lambda: told(changed(high_above), by=("sc", "did")),
        Outcome("next_tier", "did", "decrease", "B", LIKELY),
        lambda: told(by=("sc", "did")),
        replace(REDUCED, headline="sc"),
    ),
    "power": Case(
        "power",
        lambda: told(town(-0.1), smallest_effect=None),
        Outcome("reported", "did", "not_detectable", "C", "No change of the values could be told"),
    ),
    "placebo_time": Case(
        "placebo_time",
        lambda: told(weeks(town(), 12)),
        Outcome("cap_C", "did", "decrease", "C", "other dates taken for the start"),
        lambda: told(weeks(town(), 11)),
    ),
    "placebo_space": Case(
        "placebo_space",
        lambda: told(town(places=12)),
        Outcome("cap_C", "did", "decrease", "C", "other places taken for the treated ones"),
    ),
    "negative_control": Case(
        "negative_control",
        lambda: told(negative_control=town(-4.0, seed=3)),
        Outcome(
            "veto",
            "did",
            "not_established",
            "D",
            NO_CAUSE + "something that the measure cannot touch.",
        ),
    ),
    "contamination": Case(
        "contamination",
        lambda: told(changed(half_as_much_nearby, town(places=60)), near=NEAR),
        Outcome("soft_fail", "did", "decrease", "B", "control places near the treated ones"),
        lambda: told(town(places=60), near=NEAR),
    ),
    "anticipation": Case(
        "anticipation",
        lambda: told(changed(beforehand), announced=town().periods[START - 8]),
        Outcome("soft_fail", "did", "decrease", "B", "changes between announcement and start"),
        lambda: told(announced=town().periods[START - 8]),
    ),
    "concurrent": Case(
        "concurrent",
        lambda: told(events=("roadworks",)),
        Outcome("soft_fail", "did", "decrease", "B", "other events around the start"),
    ),
    "instrument, one of two": Case(
        "instrument",
        lambda: told(town(treated=(0, 1)), changed={"p01": "was moved"}),
        Outcome("soft_fail", "did", "decrease", "B", "changes of instruments around the start"),
        lambda: told(town(treated=(0, 1))),
    ),
    "instrument, all": Case(
        "instrument",
        lambda: told(changed={"p00": "was moved"}),
        Outcome(
            "veto",
            "did",
            "not_established",
            "D",
            NO_CAUSE + "changes of instruments around the start.",
        ),
    ),
    "serial": Case(
        "serial",
        lambda: told(changed(lasting)),
        Outcome("reported", "its", "decrease", "C", SUGGESTIVE),
        holds=replace(REDUCED, status="reported"),
    ),
    "clusters": Case(
        "clusters",
        lambda: told(weeks(town(), 16), by=("its",)),
        Outcome(
            "veto",
            "its",
            "not_detectable",
            "D",
            "How small a change would have been missed is not known; ",
        ),
        lambda: told(by=("its",)),
        Outcome("pass", "its", "decrease", "C", SUGGESTIVE),
    ),
    "multiplicity": Case(
        "multiplicity",
        lambda: told(primary=False, other_p=(0.9,) * 5),
        Outcome("soft_fail", "did", "decrease", "B", "several outcomes examined at once"),
        lambda: told(primary=False, other_p=(0.01,)),
    ),
    "agreement": Case(
        "agreement",
        lambda: told(by=("did",)),
        Outcome("soft_fail", "did", "decrease", "B", "whether a second method agrees"),
    ),
    "specification": Case(
        "specification",
        lambda: told(by_a_thread(), smallest_effect=None),
        Outcome("soft_fail", "did", "not_detectable", "C", "other choices give the same sign"),
    ),
    "weather": Case(
        "weather",
        lambda: told(calm=forecast(passed=False)),
        replace(REDUCED, status="reported"),
        lambda: told(calm=forecast(passed=True)),
        Outcome("pass", "did", "negligible", "A", "is smaller than 2 in the period"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_guard_fails_for_its_fault_and_passes_without(case: Case):
    """Status, headline, finding, grade and words, beside the same evaluation without the fault."""
    fails, holds = case.fails, case.holds
    assert holds == holds.of(case.without(), case.guard)
    assert fails == fails.of(case.fault(), case.guard)


def test_every_guard_is_driven_to_fail():
    """No guard of the table is without its fixture, and no fixture without its guard."""
    assert set(GUARDS) == {case.guard for case in CASES.values()}


def test_every_veto_changes_finding_grade_and_words():
    """Those that veto the cause, the p-value, or the estimate: none leaves what was said before."""
    vetoes = {case.guard: case for case in CASES.values() if case.fails.status == "veto"}

    assert {*CAUSE_VETOES, *P_VETOES, "capture"} == set(vetoes)
    for case in vetoes.values():
        assert case.holds.finding != case.fails.finding
        assert case.holds.letter != case.fails.letter
        assert case.holds.says != case.fails.says


# --- A veto settles it, whatever the numbers


@pytest.mark.parametrize(("effect", "without"), [(0.0, "negligible"), (-1.0, "negligible")])
def test_under_a_veto_nothing_is_negligible(effect, without):
    """Where something moved that cannot have been touched, a small number shows no small effect."""
    panel = town(effect)

    clean, vetoed = told(panel), told(panel, negative_control=town(-4.0, seed=3))

    assert without == clean.finding
    assert ("not_established", "D") == (vetoed.finding, vetoed.grade and vetoed.grade.letter)
    assert "smaller than" not in sentence_of(vetoed)


def test_under_a_veto_no_larger_change_is_ruled_out():
    """That a change would have been seen is as little known as that there was one."""
    vetoed = told(town(0.0), smallest_effect=None, changed={"p00": "was recalibrated"})

    assert "not_established" == vetoed.finding
    assert "would have been missed" not in sentence_of(vetoed)


def test_what_was_never_supplied_is_not_applicable():
    """A bare panel: each such guard says what is wanting, and all together cost one letter."""
    bare = evaluate(town(), estimators=["did", "its"])

    unchecked = {one.id: one.note for one in bare.guards if one.status == "not_applicable"}
    assert {
        "frozen",
        "negative_control",
        "contamination",
        "anticipation",
        "concurrent",
        "instrument",
    } == set(unchecked)
    assert all(note.endswith("was not supplied") for note in unchecked.values())
    assert bare.grade is not None
    assert "B" == bare.grade.letter


# --- Each rule by itself


def estimate(
    effect: float = -4.0,
    *,
    estimator: str = "did",
    half: float = 1.0,
    p: float = 0.01,
    p_method: str = "randomisation",
    se: float = 0.5,
    **more: Any,
) -> Estimate:
    return Estimate(
        estimator=estimator,
        tier="T1" if estimator in {"sc", "sdid"} else "T2",
        effect=effect,
        low=effect - half,
        high=effect + half,
        se=se,
        p=p,
        p_method=p_method,
        **more,
    )


def test_each_unit_is_captured_from_its_own_start():
    """A Place that joins the measure later may have been silent before, not after."""
    panel = town(treated=(0, 1))
    starts = panel.starts.copy()
    starts[1] = START + 13
    late = replace(panel, starts=starts)

    before = changed(lambda values: values[1, START : START + 13].fill(np.nan), late)
    after = changed(lambda values: values[1, START + 13 : START + 20].fill(np.nan), late)

    assert "pass" == guards.capture(before).status
    assert "veto" == guards.capture(after).status


def test_an_absent_period_was_not_measured():
    """Weeks that no row tells of count as missing, as if they stood there empty."""
    kept = np.setdiff1d(np.arange(WEEKS), np.arange(START + 5, START + 9))

    found = guards.capture(town().only(np.arange(22), kept))

    assert ("veto", pytest.approx(9 / 13)) == (found.status, found.value)


@pytest.mark.parametrize(
    ("smallest", "slope", "status"),
    [(None, 0.01, "pass"), (2.0, 0, "pass"), (2.0, 0.1, "next_tier")],
)
def test_a_drift_must_stay_within_half_of_what_matters(smallest, slope, status):
    """A slope that the leads do not betray may still part the trends over half a year."""
    panel = changed(lambda values: values[0].__iadd__(np.arange(WEEKS) * slope))

    found = guards.pre_trend(panel, smallest_effect=smallest, rng=np.random.default_rng(0))

    assert status == found.status


def test_trends_that_cannot_be_compared_have_failed():
    """No control, or one period before the start; where it passes, it tells its power."""
    rng = np.random.default_rng(0)
    alone, short = town(places=1), weeks(town(), START - 1)

    for panel in (alone, short):
        assert "next_tier" == guards.pre_trend(panel, smallest_effect=None, rng=rng).status
    assert "would be seen" in guards.pre_trend(town(), smallest_effect=None, rng=rng).note


@pytest.mark.parametrize(
    ("gap", "effect", "donors", "status"),
    [
        (0.4, -4.0, 2.0, "pass"),
        (0.6, -4.0, 2.0, "next_tier"),
        (0.4, -0.7, 2.0, "next_tier"),
        (0.4, -4.0, 1.9, "next_tier"),
        (0.4, -4.0, None, "next_tier"),
    ],
)
def test_a_fit_is_held_against_spread_effect_and_donors(gap, effect, donors, status):
    """RMSPE within half the spread and half the effect, and two controls at least."""
    before = np.tile([-1.0, 1.0], 50)
    around = gap * np.tile([1.0, 1.0, -1.0, -1.0], 25)
    paths = {"observed": before, "counterfactual": before - around}
    found = estimate(effect, estimator="sc", detail={"start": 100, "n_eff": donors}, paths=paths)

    assert status == guards.pre_fit(found).status


def test_a_synthetic_difference_may_lie_beside_its_controls():
    """It follows their course, not their level: a constant gap is none."""
    before = np.tile([-1.0, 1.0], 50)
    told = {"detail": {"start": 100, "n_eff": 5}, "paths": {"observed": before}}
    told["paths"]["counterfactual"] = before - 9

    assert "pass" == guards.pre_fit(estimate(estimator="sdid", **told)).status
    assert "next_tier" == guards.pre_fit(estimate(estimator="sc", **told)).status


def test_a_date_at_which_nothing_began_must_not_do_as_well():
    """Of 22 dates before the start, none reaches −4 on an even course, several on a wandering."""
    chance = np.random.default_rng(1)
    restless = changed(lambda values: values[0].__iadd__(chance.normal(size=WEEKS).cumsum() * 2))

    even, wandering = (guards.placebo_time(one, estimate()) for one in (town(), restless))

    assert ("pass", "cap_C") == (even.status, wandering.status)
    assert ("22 dates", "22 dates") == (even.note, wandering.note)


@pytest.mark.parametrize(
    ("p", "status"), [(0.05, "pass"), (0.051, "cap_C"), (0.1, "cap_C"), (0.2, "reported")]
)
def test_a_rank_among_controls(p, status):
    """Up to .05 firm, up to .10 weak; beyond, the finding says that nothing was detected."""
    assert status == guards.placebo_space(estimate(p=p)).status


def test_a_rank_that_nobody_could_compute_has_failed():
    """No control to exchange with."""
    assert "cap_C" == guards.placebo_space(estimate(p=math.nan)).status


@pytest.mark.parametrize("found", [NotEstimableError("no control unit"), estimate(p=math.nan)])
def test_a_negative_control_that_cannot_be_estimated_has_failed(found):
    """It was supplied in order to be asked; without an answer no cause is named."""
    asked = guards.negative_control(found)

    assert "veto" == asked.status
    assert "cannot be estimated" in asked.note


def test_a_negative_control_is_estimated_over_the_same_periods():
    """What moved between announcement and start is left out of it, too."""
    early = changed(beforehand, town(0.0, seed=3))

    found = told(negative_control=early, announced=town().periods[START - 8])

    assert "pass" == guard_of(found, "negative_control").status


def test_what_cannot_be_held_without_near_controls_has_failed():
    """All controls lie within the ring, or too few beyond it for an interval."""
    everybody = frozenset(town().units[1:])

    all_near, few_left = told(near=everybody), told(near=frozenset(town().units[1:6]))

    for found in (all_near, few_left):
        assert "soft_fail" == guard_of(found, "contamination").status
    assert "no error to hold it against" in guard_of(few_left, "contamination").note


def test_what_changed_nearby_is_an_effect_of_its_own():
    """Half as much within the ring: told with its interval beside the Effect, not within it."""
    found = told(changed(half_as_much_nearby, town(places=60)), near=NEAR)

    document = telling.document(found, "")
    assert document["spillover"]["low"] < -2 < document["spillover"]["high"] < 0
    assert found.headline is not None
    assert -4 < found.headline.effect  # controls that fell, too, hide a part of it
    assert telling.document(sound(), "")["spillover"] is None


def test_people_who_changed_early_are_seen_without_the_weather_too():
    """The panel from which the weather was taken is asked like the measured one."""
    quiet = replace(forecast(passed=True), panel=changed(beforehand))

    found = told(calm=quiet, announced=town().periods[START - 8])

    assert "soft_fail" == guard_of(found, "anticipation").status


def test_anticipation_that_cannot_be_held_has_failed():
    """The estimate with the time since the announcement is not to be had."""
    found = guards.anticipation(NotEstimableError("too few"), estimate(), announced=True)

    assert ("soft_fail", "cannot be held: too few") == (found.status, found.note)


@pytest.mark.parametrize(
    ("places", "p_method", "se", "p", "status"),
    [
        (20, "cluster_t", 0.5, 0.01, "pass"),
        (19, "cluster_t", 0.5, 0.01, "veto"),
        (20, "cluster_t", 0.0, 0.01, "veto"),
        (20, "cluster_t", math.nan, 0.01, "veto"),
        (20, "bootstrap", 0.0, 0.01, "veto"),
        (12, "bootstrap", 0.5, 0.01, "pass"),
        (12, "randomisation", math.nan, 0.01, "pass"),
        (12, "randomisation", math.nan, math.nan, "veto"),
        (1, "simulation", 0.5, 0.01, "reported"),
    ],
)
def test_a_p_value_needs_clusters_or_an_exchange(places, p_method, se, p, status):
    """Twenty clusters for errors; fewer for exchanges; and never an error of 0 or NaN."""
    asked = guards.clusters(town(places=places), estimate(p=p, p_method=p_method, se=se))

    assert status == asked.status


@pytest.mark.parametrize(
    ("other", "status"),
    [
        (estimate(-4.7), "pass"),
        (estimate(-4.8), "soft_fail"),
        (estimate(-4.0, se=math.nan, half=math.inf), "soft_fail"),
    ],
)
def test_two_estimates_must_lie_within_their_pooled_error(other, status):
    """Errors of ½ and ½ pool to .71; without an error nothing can be held against it."""
    assert status == guards.agreement(estimate(), other).status


def test_neighbouring_periods_are_reported_and_never_taken_for_independent():
    """A lasting course has a correlation of about .8; p comes from exchanges, or there is none."""
    strong = partial(lasting, size=2.0)
    lasts = told(changed(strong), by=("did", "its"), smallest_effect=None)

    values = [guard_of(one, "serial").value for one in (lasts, sound())]
    assert pytest.approx(0.7, abs=0.2) == values[0]
    assert pytest.approx(0.0, abs=0.2) == values[1]
    for found in (lasts, evaluate(weeks(town(), 30)), evaluate(town(places=1))):
        methods = {one.p_method for one in found.estimates}
        assert methods <= {"randomisation", "placebo_space", "placebo_time", "none"}


def test_a_power_that_nobody_could_simulate_has_failed():
    """It caps the grade; an effect below a known one is told by the finding."""
    statuses = [guards.power(-1.0, mde).status for mde in (math.nan, 2.0, 1.0)]

    assert ["cap_C", "reported", "pass"] == statuses


def test_a_secondary_outcome_is_held_beside_its_siblings():
    """Without a p-value it never holds; without theirs nobody can tell."""

    def asked(p: float, others: tuple[float, ...] | None) -> str:
        return guards.multiplicity(p, primary=False, others=others).status

    assert "pass" == asked(0.05, (0.04,))
    assert "soft_fail" == asked(0.06, (0.5,))
    assert "soft_fail" == asked(math.nan, (0.01,))
    assert "not_applicable" == asked(0.01, None)
    assert "pass" == guards.multiplicity(0.9, primary=True).status
