"""Wording: all that can ever be said, in every language, held against what must not be said."""

import itertools
import math
import re
import string
import tomllib
from dataclasses import replace
from importlib.resources import files
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.errors import NotFoundError
from livinglab.impact.evaluation import Evaluation
from livinglab.impact.findings import FINDINGS, GUARDS, LETTERS, Finding, Grade
from livinglab.impact.panel import Panel
from livinglab.impact.results import Estimate, Guard, Tier
from livinglab.impact.wording import (
    LANGUAGES,
    Claim,
    check_in_words,
    coverage_in_words,
    decimals_for,
    forbidden_in,
    label,
    number,
    period_in_words,
    sentence,
    sentence_of,
)

SIZES = ((-3.0, -1.2), (-4.0, 0.2), (-math.inf, -1.0), (-1.0, math.inf), (-math.inf, math.inf))
BOUNDS = (*SIZES, (math.nan, math.nan))
TIERS: tuple[Tier, ...] = ("T1", "T2", "T3", "T4", "D")
MARKS = re.compile("[\u2066-\u2069]")
CLAIM = Claim(
    effect=-2.1,
    low=-3.0,
    high=-1.2,
    level=0.95,
    interval90=(-2.9, -1.3),
    mde=1.8,
    smallest=2.5,
    unit="µg/m³",
    tier="T1",
    pre=(np.datetime64("2023-03-01"), np.datetime64("2024-02-29")),
    post=(np.datetime64("2024-03-01"), np.datetime64("2025-02-28")),
    indicator="NO₂",
)


def table(lang: str) -> dict[str, Any]:
    return tomllib.loads(
        files("livinglab.impact").joinpath("tables", f"{lang}.toml").read_text(encoding="utf-8")
    )


def keys_of(branch: Any, path: str = "") -> set[str]:
    if not isinstance(branch, dict):
        return {path}
    return set().union(*(keys_of(one, f"{path}.{key}") for key, one in branch.items()))


def texts_of(branch: Any, path: str = "") -> dict[str, str]:
    if isinstance(branch, str):
        return {path: branch}
    if not isinstance(branch, dict):
        return {}
    return {k: v for key, one in branch.items() for k, v in texts_of(one, f"{path}.{key}").items()}


def fields_of(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def plain(text: str) -> str:
    """Write a sentence with ordinary spaces and no marks of direction."""
    return MARKS.sub("", text).replace("\u00a0", " ").replace("\u202f", " ")


def said(found="decrease", letter="A", claim=CLAIM, lang="en", **checks: tuple[str, ...]) -> str:
    return plain(sentence(found, Grade(letter=letter, **checks), claim, lang=lang))


# --- What each grade permits, in the words of English


def test_an_a_says_what_the_measure_did():
    """The only grade with a plain causal verb; the number has its interval and both windows."""
    assert (
        "The measure reduced NO₂ by 2.1 µg/m³ in the period 2024-03-01 to 2025-02-28 "
        "(95 % interval 1.2 to 3.0; baseline 2023-03-01 to 2024-02-29)."
    ) == said()


def test_a_b_is_very_likely_and_names_its_doubt():
    """The weak check stands in the same sentence; what nobody could check stands behind it."""
    assert (
        "The measure very likely raised NO₂ by 2.1 µg/m³ in the period 2024-03-01 to 2025-02-28 "
        "(95 % interval 1.2 to 3.0; baseline 2023-03-01 to 2024-02-29); one check was weak: how "
        "much was measured. 2 checks could not be made for want of information: other events "
        "around the start and changes of instruments around the start."
    ) == said(
        "increase",
        "B",
        replace(CLAIM, effect=2.1, low=1.2, high=3.0),
        weak=("capture",),
        unchecked=("concurrent", "instrument"),
    )


def test_a_c_is_suggestive():
    """No cause is named, and what was expected is the yardstick, not what was before."""
    assert said(letter="C").startswith("Values of NO₂ were lower than expected by 2.1 µg/m³ in")
    assert said(letter="C").endswith("; the evidence is suggestive.")


def test_a_d_of_before_and_after_is_a_change():
    """Two windows are compared, and that is all that is said."""
    assert (
        "Values of NO₂ changed by −2.1 µg/m³ between the period 2023-03-01 to 2024-02-29 and the "
        "period 2024-03-01 to 2025-02-28 (95 % interval of the change −3.0 to −1.2); the cause is "
        "not established."
    ) == said(letter="D", claim=replace(CLAIM, tier="D"))


def test_a_d_by_veto_is_a_difference():
    """An estimate against controls is no change between two windows; the veto is named."""
    text = said("not_established", "D", failed=("negative_control",))

    assert "Values of NO₂ differed by −2.1 µg/m³ from what was expected" in text
    assert text.endswith(
        "the cause is not established; one check failed: something that the measure cannot touch."
    )


@pytest.mark.parametrize("letter", ["A", "B", "C"])
def test_what_is_not_established_has_no_better_grade(letter):
    """A veto of the cause is a D: no grade that speaks of one goes with it."""
    with pytest.raises(ValueError, match=f"has grade D, not {letter}"):
        said("not_established", letter)


def test_not_detectable_says_what_would_have_been_missed():
    """A null result is a statement about the measurement, not about the measure."""
    text = said("not_detectable", claim=replace(CLAIM, effect=0.0, low=-1.5, high=1.4))

    assert "No change of NO₂ could be told from chance" in text
    assert "the estimate is 0.0 µg/m³ (95 % interval of the change −1.5 to +1.4;" in text
    assert text.endswith("A change smaller than 1.8 µg/m³ would have been missed.")


def test_an_unknown_power_is_not_made_up():
    """Where no MDE is known the sentence says so."""
    text = said("not_detectable", claim=replace(CLAIM, mde=math.nan))

    assert text.endswith("How small a change would have been missed is not known.")


def test_negligible_rests_on_its_own_interval():
    """The 90 % interval is told, because it decided; the stated size is told as it was stated."""
    text = said("negligible", claim=replace(CLAIM, effect=0.1, interval90=(-0.8, 0.9)))

    assert text.startswith("Any effect of the measure on NO₂ is smaller than 2.5 µg/m³ in")
    assert "(90 % interval of the change −0.8 to +0.9;" in text
    assert "(95 % interval" in said("negligible", claim=replace(CLAIM, interval90=None))


def test_negligible_without_a_size_cannot_be_said():
    """Smaller than what? Nobody stated it."""
    with pytest.raises(ValueError, match="smallest effect"):
        said("negligible", claim=replace(CLAIM, smallest=None))


def test_values_that_nobody_named():
    """A bare panel has neither Indicator nor unit, and periods that are numbers."""
    bare = replace(
        CLAIM, effect=-15.6, low=-35.0, high=-1.0, indicator=None, unit="", pre=(1970.0, 1988.0)
    )

    assert (
        "The measure reduced the values by 16 in the period 1989 "
        "(95 % interval 1 to 35; baseline 1970 to 1988)."
    ) == said(claim=replace(bare, post=(1989.0, 1989.0)))


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((-4.0, 0.2), "95 % interval of the change −4.0 to +0.2;"),
        ((-math.inf, -1.0), "95 % interval of the change up to −1.0, without a lower limit;"),
        ((-4.0, math.inf), "95 % interval of the change −4.0 or more, without an upper limit;"),
        ((-math.inf, math.inf), "95 % interval of the change without limits;"),
        ((math.nan, math.nan), "95 % interval of the change not known;"),
    ],
)
def test_an_interval_that_is_no_pair_of_sizes(bounds, text):
    """Across 0, open or unknown: it is told with signs and in words, never cut off."""
    assert text in said(letter="C", claim=replace(CLAIM, low=bounds[0], high=bounds[1]))


def test_a_claim_needs_a_number():
    """What is undefined cannot be said."""
    with pytest.raises(ValueError, match="needs a number"):
        replace(CLAIM, effect=math.nan)


# --- From an estimate to a claim


def panel(transform="level") -> Panel:
    return Panel(
        units=("a", "b"),
        periods=np.arange(4.0),
        values=np.ones((2, 4)),
        starts=np.array([3, 4]),
        transform=transform,
    )


def estimate(effect: float, low: float, high: float, relative: float = math.nan) -> Estimate:
    return Estimate(
        estimator="did", tier="T2", effect=effect, low=low, high=high, relative=relative
    )


def test_the_windows_are_those_of_the_panel():
    """The first treated period begins the window; what lies before is the baseline."""
    claim = Claim.of(estimate(effect=-2, low=-3, high=-1), panel(), mde=1, unit="ug/m3")

    assert ((0.0, 2.0), (3.0, 3.0)) == (claim.pre, claim.post)
    assert ("µg/m³", -2, "T2") == (claim.unit, claim.effect, claim.tier)


def test_logs_are_told_as_a_percentage_from_sums():
    """The relative effect is −20 %; 0.1 log points above it lie −11.6 %: 0.8·e^0.1 − 1."""
    found = estimate(effect=-0.25, low=-0.35, high=-0.15, relative=-0.2)

    claim = Claim.of(
        found, panel("log"), mde=0.1, smallest=0.1, interval90=(-0.25, math.inf), unit="ug/m3"
    )

    assert "%" == claim.unit
    assert pytest.approx([-20, -27.61, -11.59], abs=0.01) == [claim.effect, claim.low, claim.high]
    assert pytest.approx([9.516, 10.517], abs=1e-3) == [claim.mde, claim.smallest]
    assert claim.interval90 is not None
    assert pytest.approx((-20, math.inf)) == claim.interval90


def test_logs_without_sums_stay_logs():
    """A mean of logs is never transformed back to look like a percentage."""
    found = estimate(effect=-0.25, low=-0.35, high=-0.15)

    claim = Claim.of(found, panel("poisson"), mde=0.1, smallest=0.1)

    assert (None, -0.25, 0.1, 0.1) == (claim.unit, claim.effect, claim.mde, claim.smallest)
    assert "by 0.25 log points in" in said(claim=claim)


def test_a_panel_without_a_start_has_no_windows():
    """Before and after need a start between them."""
    untreated = replace(panel(), starts=np.array([4, 4]))

    with pytest.raises(ValueError, match="before and after"):
        Claim.of(estimate(effect=-2, low=-3, high=-1), untreated, mde=1)


def evaluation(
    headline: Estimate | None,
    found: Finding | None,
    *,
    guards: tuple[Guard, ...] = (),
    passed_over: dict[str, Guard] | None = None,
    grade: Grade | None = None,
) -> Evaluation:
    """Only what a sentence asks of an Evaluation."""
    return cast(
        "Evaluation",
        SimpleNamespace(
            panel=panel(),
            headline=headline,
            finding=found,
            grade=(grade or Grade(letter="B", weak=("agreement",))) if headline else None,
            power=SimpleNamespace(mde=0.5) if headline else None,
            smallest=1.0,
            interval90=(-0.4, 0.2),
            guards=guards,
            passed_over=passed_over or {},
        ),
    )


def test_an_evaluation_is_told_whole():
    """Finding, grade, windows, the size that matters and its interval come from the result."""
    found = evaluation(estimate(effect=-0.1, low=-0.5, high=0.3), "negligible")

    assert (
        "Any effect of the measure on the values is very likely smaller than 1 ppb in the period 3 "
        "(90 % interval of the change −0.40 to +0.20; baseline 0 to 2); "
        "one check was weak: whether a second method agrees."
    ) == plain(sentence_of(found, unit="ppb"))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_without_an_estimate_there_are_not_enough_data(lang):
    """That is a result too: it is said, never left out."""
    named = plain(sentence_of(evaluation(None, None), indicator="NO₂", lang=lang))

    assert "NO₂" in named
    assert named != sentence_of(evaluation(None, None), lang=lang)
    assert () == forbidden_in(named, "D", lang=lang)


def test_not_enough_data_in_english():
    """The indicator is named where it has a name."""
    assert "There are not enough data on NO₂ for an estimate." == sentence_of(
        evaluation(None, None), indicator="NO₂"
    )


@pytest.mark.parametrize("lang", LANGUAGES)
def test_who_left_no_estimate_is_named(lang):
    """A window that was not measured, or comparisons that do not fit: the checks are told."""
    captured = evaluation(None, None, guards=(Guard(id="capture", status="veto"),))
    felled = evaluation(None, None, passed_over={"sc": Guard(id="pre_fit", status="next_tier")})

    for found, guard in ((captured, "capture"), (felled, "pre_fit")):
        text = sentence_of(found, indicator="NO₂", lang=lang)
        assert check_in_words(guard, lang=lang) in text
        assert text.endswith(".")
        assert () == forbidden_in(text, "D", lang=lang)


def test_a_window_that_was_not_measured_in_english():
    """No number, and the reason."""
    found = evaluation(None, None, guards=(Guard(id="capture", status="veto"),))

    assert (
        "There are not enough data on NO₂ for an estimate; one check failed: how much was measured."
    ) == sentence_of(found, indicator="NO₂")


def test_without_a_p_nobody_knows_what_would_have_been_missed():
    """The power was simulated with the p-value that a veto took away."""
    vetoed = Grade(letter="D", failed=("clusters",))
    found = evaluation(estimate(effect=-2, low=-3, high=-1), "not_detectable", grade=vetoed)

    text = sentence_of(found)

    assert "How small a change would have been missed is not known; one check failed:" in text


# --- Every sentence that there is


CLAIMS = [
    replace(CLAIM, low=low, high=high, mde=mde, tier=tier, indicator=indicator)
    for (low, high), mde, tier, indicator in itertools.product(
        BOUNDS, (1.8, math.nan), TIERS, ("NO₂", None)
    )
]


TOLD = [
    (found, letter)
    for found, letter in itertools.product(FINDINGS, LETTERS)
    if found != "not_established" or letter == "D"
]
"""What a grade can go with: a veto of the cause is always a D."""


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(("found", "letter"), TOLD)
def test_no_sentence_says_more_than_its_grade_permits(found, letter, lang):
    """All claims of all tiers with any number of doubts: nothing forbidden, nothing unfilled."""
    for claim, count in itertools.product(CLAIMS, (0, 1, 2, len(GUARDS))):
        checks = GUARDS[:count]
        for doubts in ({"weak": checks}, {"failed": checks, "unchecked": checks}):
            text = sentence(found, Grade(letter=letter, **doubts), claim, lang=lang)

            assert () == forbidden_in(text, letter, lang=lang), text
            assert not re.search(r"[{}]|nan|None|\binf\b|  ", text), text
            assert text.endswith(".")


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(("found", "letter"), TOLD)
def test_every_number_has_its_interval_and_windows(found, letter, lang):
    """Whatever the grade: effect or size, both bounds, level, and all four ends."""
    text = said(found, letter, lang=lang)

    ends = [period_in_words(one) for one in (*CLAIM.pre, *CLAIM.post)]
    bounds = ("2.9", "1.3", "90") if found == "negligible" else ("3.0", "1.2", "95")
    for shown in (*ends, *bounds):
        assert shown in text.replace(",", "."), text


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_grades_can_be_told_apart(lang):
    """Four grades, four sentences: the grade decides the words."""
    texts = {said(letter=letter, lang=lang) for letter in LETTERS}

    assert 4 == len(texts)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_direction_is_in_the_words(lang):
    """A rise of the same size does not read like a fall."""
    rise = replace(CLAIM, effect=2.1, low=1.2, high=3.0)

    for letter in LETTERS:
        assert said("decrease", letter, lang=lang) != said("increase", letter, rise, lang=lang)


# --- What is forbidden


@pytest.mark.parametrize(
    ("lang", "letter", "text", "matches"),
    [
        ("en", "A", "It proved that the measure reduced NO₂.", True),
        ("en", "A", "The measure reduced NO₂.", False),
        ("en", "B", "The measure reduced NO₂.", True),
        ("en", "B", "The measure very likely reduced NO₂.", False),
        ("en", "C", "Values were reduced.", True),
        ("en", "C", "A causal link.", True),
        ("en", "D", "The Effects are due to traffic.", True),
        ("en", "D", "Impacts of the measure", True),
        ("en", "D", "the cause is not established", False),
        ("en", "A", "It had no effect.", True),
        ("en", "A", "There was no measurable impact.", True),
        ("es", "A", "Está demostrado que bajó.", True),
        ("es", "B", "La medida redujo los valores.", True),
        ("es", "B", "La medida muy probablemente redujo los valores.", False),
        ("es", "C", "Los valores se han reducido.", True),
        ("es", "D", "debido a la medida", True),
        ("es", "D", "los efectos", True),
        ("es", "A", "No tuvo ningún efecto.", True),
        ("es", "A", "sin impacto", True),
        ("fr", "A", "Il est prouvé que", True),
        ("fr", "B", "La mesure a réduit les valeurs.", True),
        ("fr", "C", "une réduction", True),
        ("fr", "D", "en raison de la mesure", True),
        ("fr", "D", "l’effet", True),
        ("fr", "A", "La mesure n’a aucun effet.", True),
        ("fr", "A", "pas d’impact", True),
        ("ar", "A", "أُثبِتَ ذلك", True),
        ("ar", "B", "خَفَّضَ الإجراء القيم", True),
        ("ar", "C", "تسبّب الإجراء", True),
        ("ar", "D", "بسبب الإجراء", True),
        ("ar", "D", "التأثير", True),
        ("ar", "D", "ولم يُحدَّد السبب", False),
        ("ar", "A", "لا أثر للإجراء", True),
        ("ar", "A", "بلا تأثير", True),
    ],
)
def test_forbidden_words_are_found_in_any_form(lang, letter, text, matches):
    """Inflections, capitals, vowel marks and spaces of any kind hide nothing."""
    assert matches == bool(forbidden_in(text, letter, lang=lang))
    assert matches == bool(forbidden_in(text.upper().replace(" ", "\u00a0"), letter, lang=lang))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_an_a_may_say_a_d_may_not(lang):
    """The patterns bite: the causal sentence of an A is forbidden to every lower grade."""
    text = said(lang=lang)

    assert () == forbidden_in(text, "A", lang=lang)
    for letter in ("B", "C", "D"):
        assert forbidden_in(text, letter, lang=lang), letter


@pytest.mark.parametrize("lang", LANGUAGES)
def test_labels_claim_nothing(lang):
    """Names of checks and words of plots stand beside effects of any grade: they suit a D."""
    texts = {**table(lang)["checks"], **table(lang)["plots"]}

    for text in texts.values():
        assert () == forbidden_in(text, "D", lang=lang), text


# --- The tables


@pytest.mark.parametrize("lang", LANGUAGES[1:])
def test_languages_say_the_same_things(lang):
    """Every text of English is there, and asks for the same numbers; plurals may be more."""
    forms = re.compile(r"\.(two|few)$")
    english, other = table("en"), table(lang)
    extra = {key for key in keys_of(other) if forms.search(key)}

    assert keys_of(english) == keys_of(other) - extra
    for key, text in texts_of(english).items():
        if not re.search(r"\.(one|two|few|other)$", key):
            assert fields_of(text) == fields_of(texts_of(other)[key]), key


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_guard_has_a_name(lang):
    """Each id of the table of guards, also with its estimator behind it; others are refused."""
    names = [check_in_words(guard, lang=lang) for guard in GUARDS]

    assert len(GUARDS) == len(set(names)) == len(table(lang)["checks"])
    assert check_in_words("pre_fit", lang=lang) == check_in_words("pre_fit:sc", lang=lang)
    with pytest.raises(NotFoundError):
        check_in_words("horoscope", lang=lang)


def test_an_unknown_language_is_refused():
    """No silent English."""
    with pytest.raises(NotFoundError):
        label("start", lang="tlh")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "فحص واحد كان ضعيفًا"),
        (2, "فحصان كانا ضعيفين"),
        (3, "3 فحوص كانت ضعيفة"),
        (10, "10 فحوص كانت ضعيفة"),
        (11, "11 فحصًا كانت ضعيفة"),
    ],
)
def test_arabic_counts_in_four_forms(count, text):
    """One, two, few and many are four different words."""
    assert text in said(lang="ar", weak=GUARDS[:count])


# --- Numbers


@pytest.mark.parametrize(
    ("lang", "text"),
    [("en", "−12,345.7"), ("es", "−12 345,7"), ("fr", "−12 345,7"), ("ar", "−12,345.7")],
)
def test_numbers_follow_the_language(lang, text):
    """Comma or point, and groups from 10,000 on; the minus is one."""
    assert text == plain(number(-12345.67, 1, lang=lang))
    assert plain(number(1234, 0, lang=lang)) == "1234"


def test_arabic_keeps_each_number_in_its_own_direction():
    """Minus, digits and unit are isolated, so that the words around do not turn them."""
    text = sentence("decrease", Grade(letter="D"), CLAIM, lang="ar")

    assert "\u2066−2.1\u2069" in text
    assert "\u20662024-03-01\u2069" in text
    assert "\u2068NO₂\u2069" in text
    assert len(re.findall("[\u2066\u2068]", text)) == text.count("\u2069")
    assert not MARKS.search(sentence("decrease", Grade(letter="D"), CLAIM))


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "text"),
    [
        (0.04, 1, True, "0.0"),
        (-0.04, 1, False, "0.0"),
        (0.06, 1, True, "+0.1"),
        (math.inf, 0, False, "∞"),
        (-math.inf, 0, False, "−∞"),
        (math.nan, 0, False, "–"),
        (-1.23e-9, -1, False, "−1.2 × 10⁻⁹"),
        (4.56e15, -1, True, "+4.6 × 10¹⁵"),
        (0.0, -1, False, "0"),
    ],
)
def test_numbers_at_the_edges(value, decimals, signed, text):
    """What rounds to 0 has no sign; the very small and the very large stand in powers of ten."""
    assert text == plain(number(value, decimals, signed=signed))


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ((1.8,), 1),
        ((38.0,), 0),
        ((0.018,), 3),
        ((math.inf, 2.1), 1),
        ((0.0, 2.1), 1),
        ((math.nan,), 0),
        ((1e-9,), -1),
        ((5.0, 1e13), -1),
    ],
)
def test_two_digits_of_the_interval_are_shown(values, decimals):
    """How wide the interval is decides where all numbers end."""
    assert decimals == decimals_for(*values)


def test_periods_and_levels():
    """A day is its date, an hour is told in UTC, a number is a number."""
    assert "2024-03-01" == period_in_words(np.datetime64("2024-03-01T00:00:00"))
    assert "2024-03-01 06:30 UTC" == period_in_words(np.datetime64("2024-03-01T06:30:00"))
    assert "1989" == period_in_words(1989.0)
    assert "−3.5" == period_in_words(-3.5)
    assert "99,9 %" == plain(coverage_in_words(0.999, lang="fr"))


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(),
    st.floats(),
    st.floats(min_value=0, exclude_min=True),
    st.sampled_from(LANGUAGES),
)
def test_any_numbers_can_be_said(effect, low, high, mde, lang):
    """Huge, tiny, open or unknown: a sentence comes, of readable length."""
    claim = replace(CLAIM, effect=effect, low=low, high=high, mde=mde)

    text = sentence("not_detectable", Grade(letter="A"), claim, lang=lang)

    assert len(text) < 600
