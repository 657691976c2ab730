"""Wording: what may be said about an Effect, in four languages, no more than its grade permits.

All text stands in one table per language (`tables/en.toml` and its siblings), together with the
patterns that no sentence may match. A number never stands alone: it has its interval and window.
"""

import math
import re
import sys
import tomllib
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from livinglab.errors import NotFoundError
from livinglab.impact.findings import P_VETOES, THRESHOLDS, Finding, Grade, Letter
from livinglab.impact.panel import Panel, Transform
from livinglab.impact.results import Estimate, Tier

if TYPE_CHECKING:  # what estimates is heavy, and who only words need not load it
    from livinglab.impact.evaluation import Evaluation

LANGUAGES = ("en", "es", "fr", "ar")
"""Arabic comes with western digits, each number isolated so that it keeps its own direction."""

Window = tuple[Any, Any]
"""First and last period, both included: numbers or instants (datetime64)."""

_PRINTED = {
    "1": "",
    "Cel": "°C",
    "[degF]": "°F",
    "deg": "°",
    "mg/m3": "mg/m³",
    "ng/m3": "ng/m³",
    "ug/m3": "µg/m³",
}
"""Units whose code is not how people write them."""
_LEFT_TO_RIGHT, _FIRST_STRONG, _END = "\u2066", "\u2068", "\u2069"
_SHOWN = 2
"""Significant digits of an interval's width: all numbers of a sentence end where its do."""
_DECIMALS = 6
_HUGE = 1e12
_GROUPED_FROM = 10_000
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The numbers of one sentence, in a unit that people read.

    Attributes:
        effect: What changed. [unit]
        low: Lower bound of the interval; -inf is unbounded, NaN unknown. [unit]
        high: Upper bound. [unit]
        level: Coverage of the interval. [1]
        interval90: The 90 % interval by which an effect is negligible; None: the other is told.
        mde: Minimum detectable effect; NaN where it is unknown. [unit, positive]
        smallest: Smallest effect of interest, if one was stated. [unit, positive]
        unit: As printed; empty where values have none; None: log points.
        tier: Of the estimate: before/after (D) tells a change, others a difference from expected.
        pre: The baseline window.
        post: The window that the effect is about.
        indicator: What was measured, in the reader's words; None: nobody named it.
    """

    effect: float
    low: float
    high: float
    level: float
    interval90: tuple[float, float] | None = None
    mde: float
    smallest: float | None = None
    unit: str | None = ""
    tier: Tier
    pre: Window
    post: Window
    indicator: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no number: nothing can be said about it."""
        if not math.isfinite(self.effect):
            raise ValueError(f"a claim needs a number, not {self.effect}")

    @classmethod
    def of(
        cls,
        estimate: Estimate,
        panel: Panel,
        *,
        mde: float,
        smallest: float | None = None,
        interval90: tuple[float, float] | None = None,
        unit: str = "",
        indicator: str | None = None,
    ) -> Self:
        """Take the numbers of an estimate, as a percentage where it stands on a log scale.

        A percentage is the estimate's ``relative``, which comes from sums; the bounds stand as far
        from it, in logs, as the interval's from the effect. Without ``relative`` the claim stays in
        log points. A minimum detectable effect and a smallest effect mean a factor either way: of
        its two percentages, the one is told that makes the sentence true for both.

        Args:
            estimate: The headline.
            panel: What it was estimated from: its scale, and the windows.
            mde: Minimum detectable effect; NaN where it is unknown. [as the effect]
            smallest: Smallest effect of interest, if stated. [as the effect]
            interval90: The 90 % interval, where the estimate's own has another level.
            unit: Of the values on their own scale, by its UCUM code or as printed.
            indicator: What was measured, in the reader's words.

        Raises:
            ValueError: The effect is no number.
        """
        scale, shown = _scale(estimate, panel.transform, unit)
        percent = shown == "%" and panel.transform != "level"
        if percent:
            mde = -100 * _expm1(-mde)
            smallest = None if smallest is None else 100 * _expm1(smallest)
        pre, post = _windows(panel)
        return cls(
            effect=scale(estimate.effect),
            low=scale(estimate.low),
            high=scale(estimate.high),
            level=estimate.level,
            interval90=None if interval90 is None else (scale(interval90[0]), scale(interval90[1])),
            mde=mde,
            smallest=smallest,
            unit=shown,
            tier=estimate.tier,
            pre=pre,
            post=post,
            indicator=indicator,
        )

    def interval_of(self, found: Finding) -> tuple[float, float, float]:
        """Lower bound, upper bound and coverage of the interval that a finding rests on."""
        if found == "negligible" and self.interval90 is not None:
            return (*self.interval90, THRESHOLDS.negligible_level)
        return self.low, self.high, self.level


def sentence_of(
    found: "Evaluation", *, unit: str = "", indicator: str | None = None, lang: str = "en"
) -> str:
    """Say what an Evaluation found; without an estimate, that there are not enough data.

    The checks that left no estimate are named. Where the p-value was vetoed, so is the power that
    was simulated with it: how small a change would have been missed is then not known.

    Args:
        found: The Evaluation.
        unit: Of the values on their own scale, by its UCUM code or as printed.
        indicator: What was measured, in the reader's words; None: nobody named it.
        lang: One of `LANGUAGES`.

    Raises:
        NotFoundError: There is no such language.
    """
    if found.headline is None or found.finding is None or found.grade is None:
        return _nothing(found, indicator, lang)
    known = P_VETOES.isdisjoint(found.grade.failed)
    claim = Claim.of(
        found.headline,
        found.panel,
        mde=found.power.mde if found.power is not None and known else math.nan,
        smallest=found.smallest,
        interval90=found.interval90,
        unit=unit,
        indicator=indicator,
    )
    return sentence(found.finding, found.grade, claim, lang=lang)


def sentence(found: Finding, grade: Grade, claim: Claim, *, lang: str = "en") -> str:
    """Say what was found, as far as the grade permits, with the doubts that go with it.

    Args:
        found: The finding.
        grade: Its grade, with the checks that were weak, failed, or could not be made.
        claim: The numbers.
        lang: One of `LANGUAGES`.

    Returns:
        One or more sentences; between a number and its unit stands a no-break space.

    Raises:
        NotFoundError: There is no such language.
        ValueError: A negligible effect without the size that would have mattered, or a cause that
            is not established with a grade that names one.
    """
    if found == "not_established" and grade.letter != "D":
        raise ValueError(f"a cause that is not established has grade D, not {grade.letter}")
    if found == "negligible" and claim.smallest is None:
        raise ValueError("a negligible effect needs the smallest effect of interest")
    parts = [_main(lang, found, grade.letter, claim)]
    parts += _doubts(lang, "weak", grade.weak) + _doubts(lang, "failed", grade.failed)
    said = _words(lang)["numbers"]["then"].join(parts) + "."
    return " ".join([said, *(f"{one}." for one in _doubts(lang, "unchecked", grade.unchecked))])


def check_in_words(guard: str, *, lang: str = "en") -> str:
    """Name what a guard checks; one that tells its estimator (``pre_fit:sc``) is called the same.

    Raises:
        NotFoundError: There is no such language, or no such guard.
    """
    checks = _words(lang)["checks"]
    name = guard.partition(":")[0]
    if name not in checks:
        raise NotFoundError("guard", name)
    return str(checks[name])


def label(key: str, *, lang: str = "en") -> str:
    """Return a label of a plot, by its key in the table.

    Raises:
        NotFoundError: There is no such language.
    """
    return str(_words(lang)["plots"][key])


def is_right_to_left(lang: str) -> bool:
    """Tell whether a language is written from right to left.

    Raises:
        NotFoundError: There is no such language.
    """
    return bool(_words(lang)["right_to_left"])


def printed_unit(unit: str) -> str:
    """Write a unit as people do, where its UCUM code differs."""
    return _PRINTED.get(unit, unit)


def number(value: float, decimals: int, *, lang: str = "en", signed: bool = False) -> str:
    """Write a number as the language does, with so many decimals; groups begin at 10,000.

    Args:
        value: To be written; infinite or NaN become ∞ and –.
        decimals: Behind the point; a negative count stands for powers of ten, as `decimals_for`
            returns where plain digits would be too many.
        lang: One of `LANGUAGES`.
        signed: Whether a positive number has its sign, too.
    """
    numbers = _words(lang)["numbers"]
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        digits = "∞"
    elif decimals < 0 or abs(value) >= _HUGE:
        digits = _in_powers(abs(value))
    else:
        grouped = abs(value) >= _GROUPED_FROM
        digits = f"{abs(value):,.{decimals}f}" if grouped else f"{abs(value):.{decimals}f}"
    zero = not any(digit in digits for digit in "123456789∞")
    sign = "" if zero else "−" if value < 0 else "+" if signed else ""
    local = digits.translate(str.maketrans({",": numbers["group"], ".": numbers["point"]}))
    return _isolated(sign + local, lang, _LEFT_TO_RIGHT)


def decimals_for(*values: float) -> int:
    """How many decimals show two significant digits of the first finite number that is not 0.

    Returns:
        0 to 6; or -1 where plain digits would be too many, so that powers of ten are to be used.
    """
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    if not sizes:
        return 0
    decimals = _SHOWN - 1 - math.floor(math.log10(sizes[0]))
    return -1 if decimals > _DECIMALS or max(sizes) >= _HUGE else max(decimals, 0)


def period_in_words(value: Any, *, lang: str = "en") -> str:
    """Write a period: a number as it is, a day as its ISO date, any other instant in UTC."""
    if isinstance(value, np.datetime64):
        text = str(np.datetime_as_string(value, unit="s"))
        day, clock = text.split("T")
        text = day if clock == "00:00:00" else f"{day} {clock[:5]} UTC"
    else:
        text = f"{float(value):.10g}".replace("-", "−")
    return _isolated(text, lang, _LEFT_TO_RIGHT)


def coverage_in_words(level: float, *, lang: str = "en") -> str:
    """Write the coverage of an interval. [level: 0 to 1]"""
    numbers = _words(lang)["numbers"]
    percent = f"{100 * level:.6g}".replace(".", numbers["point"])
    return _isolated(numbers["coverage"].format(percent=percent), lang, _LEFT_TO_RIGHT)


def forbidden_in(text: str, letter: Letter, *, lang: str = "en") -> tuple[str, ...]:
    """Find what a text says that its grade does not permit, or that nobody may say.

    Case does not count, nor do vowel marks and marks of direction.

    Args:
        text: Anything that is shown beside an Effect.
        letter: The Effect's grade.
        lang: The text's language.

    Returns:
        Each match, as it stands in the bare text.

    Raises:
        NotFoundError: There is no such language.
    """
    table = _words(lang)["forbidden"]
    bare = _bare(text)
    patterns = [*table["any"], *table[letter]]
    return tuple(
        match.group() for pattern in patterns for match in re.finditer(pattern, bare, re.IGNORECASE)
    )


# --- The parts of a sentence ----------------------------------------------------------------------


def _nothing(found: "Evaluation", indicator: str | None, lang: str) -> str:
    """Say that nothing can be said, and which checks left no estimate."""
    words = _words(lang)
    nothing = words["sentences"]["nothing"]["named" if indicator else "unnamed"]
    failed = [one.id for one in found.guards if one.status == "veto"]
    failed += [one.id for one in found.passed_over.values()]
    parts = [nothing.format(**_named(lang, indicator)), *_doubts(lang, "failed", tuple(failed))]
    return f"{words['numbers']['then'].join(parts)}."


def _main(lang: str, found: Finding, letter: Letter, claim: Claim) -> str:
    sentences = _words(lang)["sentences"]
    if found == "not_detectable":
        template = sentences[found]["unknown" if math.isnan(claim.mde) else "known"]
    elif letter == "D":
        template = sentences["D"]["changed" if claim.tier == "D" else "differed"]
    else:
        template = sentences[letter][found]
    said: str = template.format(**_parts(lang, found, letter, claim))
    return said


def _parts(lang: str, found: Finding, letter: Letter, claim: Claim) -> dict[str, str]:
    """Everything that a template may ask for."""
    low, high, level = claim.interval_of(found)
    decimals = decimals_for(high - low, claim.effect)
    sized = letter != "D" and found in {"decrease", "increase"}
    smallest = math.nan if claim.smallest is None else claim.smallest
    return {
        **_named(lang, claim.indicator),
        "pre": _span(lang, claim.pre),
        "post": _span(lang, claim.post),
        "size": _quantity(lang, claim, abs(claim.effect), decimals),
        "change": _quantity(lang, claim, claim.effect, decimals, signed=True),
        "smallest": _quantity(lang, claim, smallest, _exact(smallest)),
        "mde": _quantity(lang, claim, claim.mde, decimals_for(claim.mde)),
        "interval": _interval(lang, (low, high), level, decimals, sized=sized),
    }


def _named(lang: str, indicator: str | None) -> dict[str, str]:
    values = _words(lang)["values"]
    if indicator is None:
        return {"subject": values["subject_unnamed"], "object": values["object_unnamed"]}
    name = _isolated(indicator, lang, _FIRST_STRONG)
    return {key: values[key].format(indicator=name) for key in ("subject", "object")}


def _interval(
    lang: str, bounds: tuple[float, float], level: float, decimals: int, *, sized: bool
) -> str:
    """Write an interval: as sizes where all of it lies on one side of 0, else with signs."""
    words = _words(lang)["interval"]
    low, high = bounds
    coverage = coverage_in_words(level, lang=lang)
    if sized and math.isfinite(low) and math.isfinite(high) and low * high > 0:
        sizes = sorted((abs(low), abs(high)))
        told = [number(size, decimals, lang=lang) for size in sizes]
        return str(words["size"].format(coverage=coverage, range=_range(lang, *told)))
    told = [number(bound, decimals, lang=lang, signed=True) for bound in bounds]
    if math.isnan(low) or math.isnan(high):
        text = words["unknown"]
    elif math.isinf(low) and math.isinf(high):
        text = words["none"]
    elif math.isinf(low) or math.isinf(high):
        text = words["no_low" if math.isinf(low) else "no_high"].format(low=told[0], high=told[1])
    else:
        text = _range(lang, *told)
    return str(words["change"].format(coverage=coverage, range=text))


def _range(lang: str, low: str, high: str) -> str:
    return str(_words(lang)["interval"]["both"].format(low=low, high=high))


def _span(lang: str, window: Window) -> str:
    first, last = (period_in_words(one, lang=lang) for one in window)
    return (
        first if first == last else _words(lang)["numbers"]["span"].format(first=first, last=last)
    )


def _quantity(lang: str, claim: Claim, value: float, decimals: int, *, signed: bool = False) -> str:
    numbers = _words(lang)["numbers"]
    unit = numbers["points"] if claim.unit is None else claim.unit
    told = number(value, decimals, lang=lang, signed=signed)
    if not unit:
        return told
    return _isolated(numbers["quantity"].format(number=told, unit=unit), lang, _FIRST_STRONG)


def _doubts(lang: str, kind: str, guards: tuple[str, ...]) -> list[str]:
    """Say how many checks were of a kind, and which; nothing where there are none."""
    if not guards:
        return []
    words = _words(lang)
    checks = list(dict.fromkeys(check_in_words(guard, lang=lang) for guard in guards))
    numbers = words["numbers"]
    *earlier, last = checks
    listed = numbers["comma"].join(earlier) + (numbers["and"] if earlier else "") + last
    forms = words[kind]
    form = forms.get(_plural(lang, len(checks)), forms["other"])
    told = _isolated(str(len(checks)), lang, _LEFT_TO_RIGHT)
    return [form.format(n=told, checks=listed)]


def _plural(lang: str, count: int) -> str:
    """Name the form that a count takes, in the words of Unicode's plural rules."""
    if count == 1:
        return "one"
    if lang != "ar":
        return "other"
    return "two" if count == 2 else "few" if 3 <= count % 100 <= 10 else "other"  # noqa: PLR2004 - the grammar's numbers


# --- Numbers --------------------------------------------------------------------------------------


def _windows(panel: Panel) -> tuple[Window, Window]:
    """The baseline, and what follows from the first start on."""
    starts = panel.starts[panel.is_treated]
    start = int(starts.min()) if len(starts) else len(panel.periods)
    if not 0 < start < len(panel.periods):
        raise ValueError("a claim needs periods before and after the start")
    periods = panel.periods
    return (periods[0], periods[start - 1]), (periods[start], periods[-1])


def _scale(
    estimate: Estimate, transform: Transform, unit: str
) -> tuple[Callable[[float], float], str | None]:
    """How an estimate's numbers become a claim's, and their unit; None means log points."""
    if transform == "level":
        return float, printed_unit(unit)
    if not (math.isfinite(estimate.relative) and estimate.relative > -1):
        return float, None
    shift = math.log1p(estimate.relative) - estimate.effect

    def percent(value: float) -> float:
        return value if math.isinf(value) else 100 * _expm1(value + shift)

    return percent, "%"


def _expm1(value: float) -> float:
    """Return e^value − 1; infinite where that is too large a number."""
    return math.inf if value >= math.log(sys.float_info.max) else math.expm1(value)


def _exact(value: float) -> int:
    """How many decimals somebody used who stated a number."""
    if not math.isfinite(value):
        return 0
    decimals = max(0, -int(Decimal(f"{value:.6g}").as_tuple().exponent))
    return -1 if decimals > _DECIMALS or abs(value) >= _HUGE else decimals


def _in_powers(value: float) -> str:
    if not value:
        return "0"
    mantissa, exponent = f"{value:.{_SHOWN - 1}e}".split("e")
    return f"{mantissa}\u00a0×\u00a010{str(int(exponent)).translate(_SUPERSCRIPTS)}"


# --- Tables ---------------------------------------------------------------------------------------


@lru_cache
def _words(lang: str) -> dict[str, Any]:
    if lang not in LANGUAGES:
        raise NotFoundError("language", lang)
    text = files("livinglab.impact").joinpath("tables", f"{lang}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _isolated(text: str, lang: str, mark: str) -> str:
    """Keep a text's own direction where the words around it run from right to left."""
    return f"{mark}{text}{_END}" if is_right_to_left(lang) else text


def _bare(text: str) -> str:
    """Compose letters, drop marks of direction and Arabic vowel marks, make spaces one kind."""
    composed = unicodedata.normalize("NFC", text)
    kept = (
        one for one in composed if unicodedata.category(one) != "Cf" and not _is_vowel_mark(one)
    )
    return " ".join("".join(kept).split())


def _is_vowel_mark(one: str) -> bool:
    return "\u064b" <= one <= "\u0652" or one == "\u0670"
