"""Plots: an Effect as a picture that needs no colours, and says in words what it shows.

Each function returns one SVG document. It carries a title and a description for those who do not
see it, neither script nor style sheet, so that it may stand inside a page with a strict policy, and
its words are text, which the browser shapes in any writing. Time runs from left to right in every
language. Lines differ in dash and marker, not in colour alone. The same input gives the same bytes.
"""

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np
from matplotlib import style
from matplotlib.collections import LineCollection
from matplotlib.dates import AutoDateLocator
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from scipy.stats import norm

from livinglab.errors import NotEstimableError
from livinglab.impact.effects.difference import EventStudy, event_study
from livinglab.impact.panel import Panel
from livinglab.impact.results import Estimate, Floats
from livinglab.impact.wording import (
    coverage_in_words,
    decimals_for,
    is_right_to_left,
    label,
    number,
    period_in_words,
    printed_unit,
)

if TYPE_CHECKING:  # what estimates is heavy, and who only draws need not load it
    from livinglab.impact.evaluation import Evaluation

_BLACK, _BLUE, _VERMILLION = "#000000", "#0072B2", "#D55E00"
"""Of Okabe and Ito's palette, which colour-blind people can tell apart."""
_GREY, _PALE = "#999999", "#DDEBF4"
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "hatch.linewidth": 0.4,
    "svg.fonttype": "none",
    "svg.hashsalt": "livinglab",
}
_ONE_AT_A_TIME = Lock()
"""Matplotlib keeps its style in one place for all threads."""
_WITHOUT_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
_MARKED_UP_TO = 60
"""With more points, markers would hide the line."""
_POINTS = 160
"""With more, lines would hide each other: several periods then become one point."""
_DRAWABLE = 1e150
_LONG = 1e7
"""Ticks from here on stand in powers of ten."""
_DAY_S = 86_400
_YEARS, _MONTHS, _HOURS = 8 * 366, 200, 2
"""Spans above which ticks name the year, or the month, alone; and below which the hour. [d]"""
_RIGHT_TO_LEFT, _LEFT_TO_RIGHT, _END = "\u2067", "\u2066", "\u2069"
_MARKS = re.compile("[\u2066-\u2069]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What a picture is about, and in which language.

    Attributes:
        indicator: What was measured, in the reader's words; None: nobody named it.
        unit: By its UCUM code or as printed; empty where values have none.
        lang: One of `livinglab.impact.wording.LANGUAGES`.
    """

    indicator: str | None = None
    unit: str = ""
    lang: str = "en"


def counterfactual_svg(
    periods: NDArray[Any],
    observed: Floats,
    expected: Floats,
    *,
    start: int,
    band: tuple[Floats, Floats] | None = None,
    level: float = 0.95,
    caption: Caption | None = None,
) -> str:
    """Draw what was observed against what was expected, with the start of the measure.

    Args:
        periods: Numbers or instants, ascending. [T]
        observed: Mean of the treated; NaN is a gap. [T; unit]
        expected: Their counterfactual. [T; unit]
        start: Column of the first treated period.
        band: Lower and upper bound around what was expected; NaN where there is none. [T; unit]
        level: Coverage of the band. [1]
        caption: What was measured, and the language of all words.

    Returns:
        An SVG document.

    Raises:
        NotFoundError: There is no such language.
    """
    seen, awaited = _drawable(observed), _drawable(expected)
    with _picture(caption) as picture:
        lang = picture.lang
        picture.time(periods, start)
        if band is not None:
            name = label("interval", lang=lang).format(coverage=coverage_in_words(level, lang=lang))
            picture.band(_drawable(band[0]), _drawable(band[1]), name)
        picture.line(awaited, label("expected", lang=lang), _BLUE, "--", "s")
        picture.line(seen, label("observed", lang=lang), _BLACK, "-", "o")
        text = label("course_text", lang=lang).format(
            **picture.ends(periods, start),
            observed=picture.told(_mean(seen[start:]), seen, awaited),
            expected=picture.told(_mean(awaited[start:]), seen, awaited),
        )
        return picture.svg("course_title", "values", text)


def placebo_svg(
    periods: NDArray[Any],
    treated: Floats,
    others: NDArray[np.float64],
    *,
    start: int,
    caption: Caption | None = None,
) -> str:
    """Draw the treated difference on top of those of controls that were treated as if.

    Args:
        periods: Numbers or instants, ascending. [T]
        treated: Observed minus expected; NaN is a gap. [T; unit]
        others: The same for each control. [J, T; unit]
        start: Column of the first treated period.
        caption: What was measured, and the language of all words.

    Returns:
        An SVG document.

    Raises:
        NotFoundError: There is no such language.
    """
    gap, cloud = _drawable(treated), _drawable(others)
    after = _mean(gap[start:])
    larger = sum(abs(_mean(row[start:])) > abs(after) for row in cloud)
    with _picture(caption) as picture:
        lang = picture.lang
        picture.time(periods, start)
        picture.cloud(cloud, label("others", lang=lang))
        picture.line(gap, label("treated", lang=lang), _BLACK, "-", "o")
        picture.zero()
        text = label("placebo_text", lang=lang).format(
            **picture.ends(periods, start),
            after=picture.told(after, gap, signed=True),
            larger=number(larger, 0, lang=lang),
            count=number(len(cloud), 0, lang=lang),
        )
        return picture.svg("placebo_title", "difference", text)


def event_study_svg(
    relative: Floats,
    coefficients: Floats,
    low: Floats,
    high: Floats,
    *,
    level: float = 0.95,
    caption: Caption | None = None,
) -> str:
    """Draw the difference from expected by time since the start, each point with its interval.

    Args:
        relative: Periods since the start, below 0 before it. [K; periods]
        coefficients: Differences; NaN is left out. [K; unit]
        low: Lower bounds; where one is not finite, no interval is drawn. [K; unit]
        high: Upper bounds. [K; unit]
        level: Coverage of the intervals. [1]
        caption: What was measured, and the language of all words.

    Returns:
        An SVG document.

    Raises:
        NotFoundError: There is no such language.
    """
    points = _drawable(coefficients)
    bounds = _drawable(low), _drawable(high)
    before = np.asarray(relative) < 0
    with _picture(caption) as picture:
        lang = picture.lang
        picture.since(relative)
        picture.zero()
        for rows, key, colour, marker in (
            (before, "before", _BLUE, "o"),
            (~before, "after", _VERMILLION, "s"),
        ):
            picture.points(rows, points, bounds, label(key, lang=lang), colour, marker)
        text = label("event_text", lang=lang).format(
            coverage=coverage_in_words(level, lang=lang),
            first=_end_of(relative, 0, lang),
            last=_end_of(relative, -1, lang),
            before=picture.told(_mean(points[before]), points, signed=True),
            after=picture.told(_mean(points[~before]), points, signed=True),
        )
        return picture.svg("event_title", "difference", text)


def of_evaluation(found: "Evaluation", *, caption: Caption | None = None) -> str:
    """Draw the headline of an Evaluation; without one, the course of the treated alone.

    The band is the interval of the mean effect, laid around what was expected from the start on.
    Logs are drawn on the scale of the values.

    Args:
        found: The Evaluation.
        caption: What was measured, and the language of all words.

    Raises:
        NotFoundError: There is no such language.
    """
    panel, headline = found.panel, found.headline
    paths = {} if headline is None else headline.paths
    periods = np.asarray(paths.get("periods", panel.periods))
    observed = np.asarray(paths.get("observed", panel.mean_treated()))
    expected = np.asarray(paths.get("counterfactual", np.full(len(observed), np.nan)))
    start = _start(panel, periods)
    band = None if headline is None else _band(headline, expected, start)
    if panel.transform == "log":
        observed, expected = np.exp(observed), np.exp(expected)
        band = None if band is None else (np.exp(band[0]), np.exp(band[1]))
    level = 0.95 if headline is None else headline.level
    return counterfactual_svg(
        periods, observed, expected, start=start, band=band, level=level, caption=caption
    )


def pictures(found: "Evaluation", *, caption: Caption | None = None) -> dict[str, str]:
    """Draw everything that an Evaluation has to show.

    Args:
        found: The Evaluation.
        caption: What was measured, and the language of all words.

    Returns:
        SVG documents: ``course``; ``placebos`` if controls were treated as if; ``events`` if the
        headline follows treated units against controls.

    Raises:
        NotFoundError: There is no such language.
    """
    drawn = {"course": of_evaluation(found, caption=caption)}
    if found.headline is None:
        return drawn
    paths = found.headline.paths
    if found.headline.p_method == "placebo_space" and len(paths.get("placebos", ())):
        drawn["placebos"] = placebo_svg(
            paths["periods"],
            paths["observed"] - paths["counterfactual"],
            paths["placebos"],
            start=_start(found.panel, paths["periods"]),
            caption=caption,
        )
    if found.headline.tier == "T2":
        study = _events(found.panel)
        if study is not None:
            reach = float(norm.ppf((1 + found.headline.level) / 2)) * study.errors
            drawn["events"] = event_study_svg(
                study.relative,
                study.coefficients,
                study.coefficients - reach,
                study.coefficients + reach,
                level=found.headline.level,
                caption=caption,
            )
    return drawn


def _events(panel: Panel) -> EventStudy | None:
    """The course by time since the start; None where the panel has none. Its test is not shown."""
    try:
        return event_study(panel, draws=1, rng=np.random.default_rng(0))
    except NotEstimableError:
        return None


def _start(panel: Panel, periods: NDArray[Any]) -> int:
    """Where, among some of a panel's periods, the first unit is treated."""
    first = int(panel.starts[panel.is_treated].min())
    return int((periods < panel.periods[first]).sum())


def _band(headline: Estimate, expected: Floats, start: int) -> tuple[Floats, Floats] | None:
    """What may have been expected, by the interval of the effect; None where that has no end."""
    if not np.isfinite([headline.low, headline.high]).all():
        return None
    after = np.where(np.arange(len(expected)) >= start, expected, np.nan)
    return after + (headline.effect - headline.high), after + (headline.effect - headline.low)


class _Picture:
    """One pair of axes, and the words that stand in it.

    Matplotlib is given a placeholder for each text of ours: it would read ``$`` as mathematics, and
    miss letters in its font. The text itself enters the finished document.
    """

    def __init__(self, caption: Caption) -> None:
        self.caption = caption
        self.lang = lang = caption.lang
        self.texts: dict[str, str] = {}
        self.figure = Figure(figsize=(8, 4.5), layout="constrained")
        self.axes = self.figure.add_subplot()
        self.axes.spines[["top", "right"]].set_visible(False)
        self.axes.yaxis.set_major_formatter(_Ticks(lang))
        self.x: Floats = np.empty(0)
        self.bins: NDArray[np.int64] = np.empty(0, np.int64)

    def held(self, text: str) -> str:
        """Keep a text until the picture is drawn, and return something as long."""
        turned = is_right_to_left(self.lang)
        text = f"{_RIGHT_TO_LEFT}{text}{_END}" if turned else _MARKS.sub("", text)
        token = f"t{len(self.texts):02d}".ljust(len(text), "n")
        self.texts[token] = text
        return token

    def time(self, periods: NDArray[Any], start: int) -> None:
        """Let periods run along the axis, with a line where the measure starts."""
        dated = periods.dtype.kind == "M"
        numbers = periods.astype("datetime64[s]") if dated else periods
        x = numbers.astype(np.float64) / (_DAY_S if dated else 1)
        if 0 < start < len(x):
            self.start((x[start - 1] + x[start]) / 2)
        self.bins = _bins(len(x), start)
        self.x = self.binned(x)
        key = "period" if len(self.x) == len(x) else "binned"
        named = label(key, lang=self.lang).format(count=number(_width(len(x)), 0, lang=self.lang))
        if dated:
            self._dates()
        else:
            self.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            self.axes.xaxis.set_major_formatter(FuncFormatter(_tick_of_period))
        if not dated or key == "binned":
            self.axes.set_xlabel(self.held(named))

    def binned(self, values: Floats) -> Floats:
        """Means of what is known in each bin, NaN where nothing is."""
        known = np.isfinite(values)
        sums = np.bincount(self.bins, np.where(known, values, 0.0))
        counts = np.bincount(self.bins, known.astype(np.float64))
        means: Floats = np.full(len(sums), np.nan)
        return np.divide(sums, counts, out=means, where=counts > 0)

    def _dates(self) -> None:
        days = float(np.ptp(self.x)) if len(self.x) else 0.0
        shown = slice(4) if days > _YEARS else slice(7) if days > _MONTHS else slice(10)
        if days < _HOURS:
            shown = slice(5, 16)
        locator = AutoDateLocator(minticks=5, maxticks=10)  # type: ignore[no-untyped-call]
        self.axes.xaxis.set_major_locator(locator)
        self.axes.xaxis.set_major_formatter(
            FuncFormatter(lambda x, _: str(_instant(x))[shown].replace("T", " "))
        )

    def since(self, relative: Floats) -> None:
        """Let periods since the start run along the axis."""
        self.x = np.asarray(relative, dtype=np.float64)
        self.axes.set_xlabel(self.held(label("since", lang=self.lang)))
        self.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.axes.xaxis.set_major_formatter(FuncFormatter(_tick_of_period))
        before, after = self.x[self.x < 0], self.x[self.x >= 0]
        if len(before) and len(after):
            self.start((before.max() + after.min()) / 2)

    def start(self, x: float) -> None:
        """Draw the line where the measure starts."""
        name = self.held(label("start", lang=self.lang))
        self.axes.axvline(x, color=_BLACK, linestyle=":", linewidth=1.2, label=name)

    def zero(self) -> None:
        """Draw the line of no difference."""
        self.axes.axhline(0, color=_BLACK, linewidth=0.8)

    def line(self, values: Floats, name: str, colour: str, dash: str, marker: str) -> None:
        """Draw one series, if anything is known; few points get markers, hollow if dashed."""
        if not np.isfinite(values).any():
            return
        marked = len(self.x) <= _MARKED_UP_TO
        self.axes.plot(
            self.x,
            self.binned(values),
            color=colour,
            linestyle=dash,
            linewidth=1.8,
            marker=marker if marked else "",
            markersize=4,
            markerfacecolor="white" if dash == "--" else colour,
            label=self.held(name),
        )

    def band(self, low: Floats, high: Floats, name: str) -> None:
        """Draw an interval around a series, hatched, so that it shows without colour."""
        if not np.isfinite(low + high).any():
            return
        self.axes.fill_between(
            self.x,
            self.binned(low),
            self.binned(high),
            facecolor=_PALE,
            edgecolor=_BLUE,
            hatch="///",
            linewidth=0.5,
            label=self.held(name),
        )

    def cloud(self, rows: NDArray[np.float64], name: str) -> None:
        """Draw many series alike, thin and grey."""
        lines = [np.column_stack([self.x, self.binned(row)]) for row in rows]
        self.axes.add_collection(
            LineCollection(lines, colors=_GREY, linewidths=0.7, label=self.held(name)),
            autolim=True,
        )
        self.axes.autoscale_view()

    def points(
        self,
        rows: NDArray[np.bool_],
        values: Floats,
        bounds: tuple[Floats, Floats],
        name: str,
        colour: str,
        marker: str,
    ) -> None:
        """Draw some of the points, with an interval where there is one."""
        if not rows.any():
            return
        low, high = bounds[0][rows], bounds[1][rows]
        self.axes.vlines(self.x[rows], low, high, color=colour, linewidth=1.4)
        self.axes.plot(
            self.x[rows],
            values[rows],
            color=colour,
            linestyle="",
            marker=marker,
            markersize=6,
            markerfacecolor="white" if marker == "o" else colour,
            label=self.held(name),
        )

    def ends(self, periods: NDArray[Any], start: int) -> dict[str, str]:
        """Name the first and last period, and the first that was treated."""
        return {
            "first": _end_of(periods, 0, self.lang),
            "last": _end_of(periods, -1, self.lang),
            "start": _end_of(periods, start, self.lang),
        }

    def told(self, value: float, *shown: Floats, signed: bool = False) -> str:
        """Write a number as precisely as the picture shows it."""
        seen = np.concatenate([one[np.isfinite(one)] for one in shown])
        spread = float(np.ptp(seen)) if len(seen) else 0.0
        return number(value, decimals_for(spread, value), lang=self.lang, signed=signed)

    def _legend(self) -> None:
        handles, names = self.axes.get_legend_handles_labels()
        if handles:
            self.figure.legend(
                handles,
                names,
                loc="outside upper left",
                ncols=4,
                frameon=False,
                fontsize="small",
            )

    def svg(self, title: str, axis: str, text: str) -> str:
        """Finish the picture."""
        indicator, unit = self.caption.indicator, printed_unit(self.caption.unit)
        named = label(axis, lang=self.lang)
        if indicator is not None:
            named = indicator if axis == "values" else f"{indicator}: {named}"
        heading = self.held(f"{named} {_LEFT_TO_RIGHT}[{unit}]{_END}" if unit else named)
        self.axes.set_title(heading, loc="left", fontsize="medium")
        self._legend()
        file = io.StringIO()
        self.figure.savefig(file, format="svg", metadata=_WITHOUT_METADATA)
        drawn = label(title, lang=self.lang)
        name = drawn if indicator is None else f"{indicator}: {drawn}"
        return _document(file.getvalue(), self.texts, name, text, self.lang)


@contextmanager
def _picture(caption: Caption | None) -> Iterator[_Picture]:
    with _ONE_AT_A_TIME, style.context(["default", _STYLE]):
        yield _Picture(caption or Caption())


def _width(count: int) -> int:
    """How many of so many periods become one point."""
    return -(-count // _POINTS)


def _bins(count: int, start: int) -> NDArray[np.int64]:
    """Number the bin of each period; none reaches across the start."""
    bins: NDArray[np.int64] = (np.arange(count) - start) // _width(max(count, 1))
    return np.asarray(bins - bins[:1])


class _Ticks(Formatter):
    """Numbers along an axis, as the language writes them, as precise as the ticks are apart."""

    def __init__(self, lang: str) -> None:
        self.lang = lang

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Write one tick alone."""
        del pos
        return self.format_ticks([x])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Write all ticks."""
        apart = abs(float(np.diff(values[:2]).sum())) or abs(values[0])
        exact = (d for d in range(7) if all(abs(round(x, d) - x) <= apart / 100 for x in values))
        decimals = -1 if max(map(abs, values)) >= _LONG else next(exact, -1)
        return [_MARKS.sub("", number(x, decimals, lang=self.lang)) for x in values]


def _instant(days: float) -> np.datetime64:
    return np.datetime64(round(days * _DAY_S), "s")


def _tick_of_period(x: float, _: int | None = None) -> str:
    """Write a period as it is: a year has no groups."""
    return _MARKS.sub("", period_in_words(x))


def _drawable(values: NDArray[Any]) -> Floats:
    """Values as numbers; what is infinite, or too large for a picture, becomes a gap."""
    found = np.asarray(values, dtype=np.float64)
    return np.where(np.abs(found) < _DRAWABLE, found, np.nan)


def _mean(values: Floats) -> float:
    """Mean of what is known, NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _end_of(periods: NDArray[Any], position: int, lang: str) -> str:
    """Name one period; a dash where there is none."""
    inside = -len(periods) <= position < len(periods)
    return period_in_words(periods[position], lang=lang) if inside else "–"


def _document(drawn: str, texts: dict[str, str], title: str, text: str, lang: str) -> str:
    """Make Matplotlib's SVG ours: with words, text alternatives, and attributes only."""
    body = drawn[drawn.index("<svg ") :]
    body = re.sub(r"\s*<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r' style="([^"]*)"', lambda match: _attributes(match.group(1)), body)
    for token, held in texts.items():
        body = body.replace(f">{token}<", f">{escape(held)}<")
    name = hashlib.sha256(f"{title}{text}{body}".encode()).hexdigest()[:8]
    head, rest = body.split(">", 1)
    return (
        f'{head} role="img" aria-labelledby="title-{name} desc-{name}" lang="{lang}" '
        f'xml:lang="{lang}" stroke-linejoin="round">\n'
        f' <title id="title-{name}">{escape(title)}</title>\n'
        f' <desc id="desc-{name}">{escape(text)}</desc>{rest}'
    )


def _attributes(css: str) -> str:
    """Write a style as attributes, which a policy against inline styles lets pass."""
    pairs = (one.split(":", 1) for one in css.split(";") if one.strip())
    return "".join(f' {key.strip()}="{value.strip()}"' for key, value in pairs)
