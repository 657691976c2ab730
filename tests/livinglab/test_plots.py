"""Plots: SVG that says in words what it shows, in any language, and never breaks on its input."""

import re
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from livinglab.errors import NotFoundError
from livinglab.impact.evaluation import Evaluation
from livinglab.impact.panel import Panel
from livinglab.impact.plots import (
    Caption,
    counterfactual_svg,
    event_study_svg,
    of_evaluation,
    placebo_svg,
)
from livinglab.impact.results import Estimate
from livinglab.impact.wording import LANGUAGES, forbidden_in, label

SVG = "{http://www.w3.org/2000/svg}"
MARKS = re.compile("[\u2066-\u2069]")
YEARS = np.arange(1990.0, 2000.0)
SEEN = np.array([10, 11, 10, 12, 11, 10, 7, 6, 7, 8.0])
AWAITED = np.array([10, 11, 10, 12, 11, 10, 11, 10, 11, 12.0])
OTHERS = np.stack([SEEN - SEEN[::-1], AWAITED - 9, AWAITED - 30])
NO2 = Caption(indicator="NO₂", unit="ug/m3")


def course(caption: Caption | None = NO2, periods: Any = YEARS, start: int = 6) -> str:
    band = (np.where(YEARS >= 1996, AWAITED - 1, np.nan), AWAITED + 1)
    return counterfactual_svg(periods, SEEN, AWAITED, start=start, band=band, caption=caption)


def events(caption: Caption | None = NO2) -> str:
    effects = SEEN - AWAITED
    return event_study_svg(YEARS - 1996, effects, effects - 1, effects + 1, caption=caption)


def placebos(caption: Caption | None = NO2) -> str:
    return placebo_svg(YEARS, SEEN - AWAITED, OTHERS, start=6, caption=caption)


ALL = (course, events, placebos)


def root_of(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def texts_of(svg: str) -> list[str]:
    return [MARKS.sub("", text.text or "") for text in root_of(svg).iter(f"{SVG}text")]


def text_of(svg: str, tag: str) -> str:
    found = root_of(svg).find(f"{SVG}{tag}")
    assert found is not None
    return MARKS.sub("", found.text or "").replace("\u00a0", " ")


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("draw", ALL)
def test_a_picture_has_a_text_alternative(draw, lang):
    """Whoever does not see it is told its title and what it shows, in their language."""
    root = root_of(draw(Caption(indicator="NO₂", unit="ug/m3", lang=lang)))
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")

    assert title is not None
    assert desc is not None
    assert ("img", lang) == (root.get("role"), root.get("lang"))
    assert f"{title.get('id')} {desc.get('id')}" == root.get("aria-labelledby")
    assert "NO₂" in (title.text or "")
    assert "{" not in (desc.text or "")
    for text in (*texts_of(draw(Caption(lang=lang))), title.text or "", desc.text or ""):
        assert () == forbidden_in(text, "D", lang=lang)


def test_the_course_in_words():
    """After the start the means are 7 and 11, worked by hand."""
    assert "NO₂: Observed and expected course" == text_of(course(), "title")
    assert (
        "Line chart from 1990 to 1999; the measure starts at 1996. After the start the observed "
        "mean is 7.0, the expected mean 11.0."
    ) == text_of(course(), "desc")


def test_the_cloud_in_words():
    """The treated mean is −4; of three controls, one at −19 lies farther from 0."""
    assert (
        "After the start the mean difference is −4.0 for the treated and lies farther from 0 for "
        "1 of 3 controls."
    ) in text_of(placebos(), "desc")


def test_the_study_in_words():
    """Both sides of the start have their mean."""
    assert (
        "Points with 95 % intervals from −6 to 3 periods since the start. The mean is 0.0 before "
        "the start and −4.0 after it."
    ) == text_of(events(), "desc")


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    ("draw", "keys"),
    [
        (course, ("observed", "expected", "start", "period")),
        (events, ("before", "after", "start", "since")),
        (placebos, ("treated", "others", "start", "period")),
    ],
)
def test_words_are_text(draw, keys, lang):
    """The browser shapes them: letters stay letters, in Arabic, too; the unit stands beside."""
    texts = texts_of(draw(Caption(indicator="NO₂", unit="ug/m3", lang=lang)))

    for key in keys:
        assert label(key, lang=lang) in texts
    assert any("NO₂" in text and "[µg/m³]" in text for text in texts)


def test_arabic_text_is_embedded():
    """Each Arabic text runs from right to left, though the picture around it does not."""
    svg = course(Caption(indicator="NO₂", unit="ug/m3", lang="ar"))

    for text in root_of(svg).iter(f"{SVG}text"):
        if re.search("[\u0600-\u06ff]", text.text or ""):
            assert (text.text or "").startswith("\u2067")


@pytest.mark.parametrize("draw", ALL)
def test_a_picture_stands_inside_a_strict_page(draw):
    """No script, no style, nothing to load, no date: only elements and attributes."""
    svg = draw()

    assert svg.startswith("<svg ")
    assert not re.search(r"<script|<style|style=|\bon\w+=|metadata|<!|<\?|@import", svg)
    assert {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"} == set(
        re.findall(r"https?://[^\"']+", svg)
    )


@pytest.mark.parametrize("draw", ALL)
def test_the_same_input_gives_the_same_bytes(draw):
    """Whatever style the program around has set, and it is left as it was."""
    first = draw()
    with mpl.rc_context({"svg.fonttype": "path", "font.size": 20, "axes.grid": True}):
        second = draw()
        kept = mpl.rcParams["svg.fonttype"]

    assert first == second
    assert "path" == kept


def test_other_input_gives_other_names():
    """Two pictures on one page do not share the ids of their words."""
    ids = {root_of(draw()).get("aria-labelledby") for draw in ALL}

    assert len(ALL) == len(ids)


def test_lines_differ_without_colour():
    """Expected is dashed with hollow squares, observed solid with dots, the band hatched."""
    svg = course()

    assert re.search(r'stroke-dasharray="[^"]+"[^>]*stroke="#0072b2"', svg)
    assert re.search(r'fill="none" stroke="#000000" stroke-width="1.8"', svg)
    assert "<pattern" in svg
    assert 'fill="url(#h' in svg


def test_labels_are_taken_literally():
    """A name with markup, mathematics or letters that no font here has is only a name."""
    name = "<script>alert(1)</script> $x_1$ & 漢字"

    svg = course(Caption(indicator=name, unit="$"))

    assert "<script" not in svg
    assert f"{name} [$]" in texts_of(svg)
    assert text_of(svg, "title").startswith(name)


@pytest.mark.parametrize(
    ("first", "step", "tick"),
    [
        ("1990-01-01", np.timedelta64(366, "D"), r"\d{4}"),
        ("2020-01-01", np.timedelta64(90, "D"), r"\d{4}-\d\d"),
        ("2020-01-01", np.timedelta64(7, "D"), r"\d{4}-\d\d-\d\d"),
        ("2020-01-01", np.timedelta64(1, "h"), r"01-01 \d\d:\d\d"),
    ],
)
def test_dates_are_as_fine_as_the_span(first, step, tick):
    """Years, months, days or hours, written alike in every language."""
    periods = np.datetime64(first).astype("datetime64[s]") + np.arange(10) * step

    ticks = [text for text in texts_of(course(periods=periods)) if re.fullmatch(tick, text)]

    assert 3 <= len(ticks) == len(set(ticks))


def test_ticks_follow_the_language():
    """A decimal comma stands where the language has one, and no tick is rounded."""
    svg = placebo_svg(
        YEARS, (SEEN - 8) / 10, OTHERS[:0], start=6, caption=Caption(unit="m", lang="es")
    )

    assert {"−0,2", "0,0", "0,2"} <= set(texts_of(svg))


def test_many_periods_become_means():
    """Three years of days are drawn as means of seven; none mixes before and after."""
    days = np.arange("2020-01-01", "2023-01-01", dtype="datetime64[D]")
    values = np.where(np.arange(len(days)) < 500, 10.0, 0.0)

    svg = counterfactual_svg(days, values, values + 1, start=500)

    assert "Each point is the mean of 7 periods" in texts_of(svg)
    assert "observed mean is 0, " in text_of(svg, "desc")
    line, *_ = re.findall(r'd="(M [^"]*)"[^>]*stroke="#000000" stroke-width="1.8"', svg)
    assert 2 == len({height for _, height in re.findall(r"[ML] (\S+) (\S+)", line)})


def test_a_cloud_of_many_days_stays_small():
    """A hundred controls over three years fit into a page."""
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(100, 1_096))

    svg = placebo_svg(np.arange(1_096.0), cloud[0], cloud, start=800)

    assert len(svg) < 700_000


def test_an_unknown_language_is_refused():
    """No silent English."""
    with pytest.raises(NotFoundError):
        course(Caption(lang="tlh"))


# --- From an evaluation


def evaluation(headline: Estimate | None, transform: Any = "level") -> Evaluation:
    values = np.stack([SEEN, AWAITED])
    panel = Panel(
        units=("a", "b"),
        periods=YEARS,
        values=np.log(values) if transform == "log" else values,
        starts=np.array([6, 10]),
        transform=transform,
    )
    return cast("Evaluation", SimpleNamespace(panel=panel, headline=headline))


def headline(low: float, high: float, *, logs: bool = False) -> Estimate:
    paths = {"periods": YEARS, "observed": SEEN, "counterfactual": AWAITED}
    if logs:
        paths |= {key: np.log(paths[key]) for key in ("observed", "counterfactual")}
    return Estimate(estimator="sc", tier="T1", effect=-4.0, low=low, high=high, paths=paths)


def test_the_headline_is_drawn_with_its_interval():
    """The interval of the mean effect lies around what was expected, after the start."""
    texts = texts_of(of_evaluation(evaluation(headline(-5, -3)), caption=NO2))

    assert "95\u00a0% interval" in texts


def test_an_open_interval_is_not_drawn():
    """There is no band where there are no bounds."""
    texts = texts_of(of_evaluation(evaluation(headline(-5, np.inf))))

    assert "Expected" in texts
    assert not [text for text in texts if "interval" in text]


def test_logs_are_drawn_as_values():
    """The picture stands on the scale of the values: 7 against 11."""
    logs = of_evaluation(evaluation(headline(-0.5, -0.3, logs=True), "log"))

    assert re.search(r"observed mean is 7\.0, the expected mean 11\.0", text_of(logs, "desc"))


def test_without_an_estimate_the_course_is_drawn():
    """Not enough data is a result: what was observed is shown, and nothing is expected."""
    svg = of_evaluation(evaluation(None))

    assert "the expected mean –." in text_of(svg, "desc")
    assert "Observed, treated" in texts_of(svg)
    assert "Expected" not in texts_of(svg)


# --- Anything else


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12).flatmap(lambda n: arrays.arrays(np.float64, (5, n))), st.integers(0, 12))
def test_any_numbers_can_be_drawn(rows, start):
    """Nothing known, one period, infinite or huge: a picture comes, without a warning."""
    periods = np.arange(rows.shape[1], dtype=np.float64)

    for svg in (
        counterfactual_svg(periods, rows[0], rows[1], start=start, band=(rows[2], rows[3])),
        placebo_svg(periods, rows[0], rows[1:], start=start),
        event_study_svg(periods - start, rows[0], rows[1], rows[2]),
    ):
        assert text_of(svg, "desc")
