"""From a panel to what may be said: the chain, its guards, and its promises."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest

from livinglab.errors import PanelError
from livinglab.impact import guards, power, telling
from livinglab.impact.effects.synthetic import synthetic_did
from livinglab.impact.estimators import Options
from livinglab.impact.evaluation import Context, Evaluation, evaluate
from livinglab.impact.panel import Panel
from livinglab.impact.power import minimum_detectable_effect
from livinglab.impact.wording import sentence_of

DAYS, START = 500, 400


def town(effect: float, seed: int = 3, treated: tuple[int, ...] = (3, 11), n: int = 26) -> Panel:
    """Places that share a wandering level, each in its measure, with noise that lasts."""
    chance = np.random.default_rng(seed)
    common = chance.normal(size=DAYS).cumsum() * 0.3
    noise = chance.normal(size=(n, DAYS))
    for k in range(1, DAYS):
        noise[:, k] += 0.5 * noise[:, k - 1]
    values = 20 + chance.normal(size=(n, 1)) * 4 + common * chance.uniform(0.5, 1.5, (n, 1)) + noise
    values[list(treated), START:] += effect
    starts = np.full(n, DAYS)
    starts[list(treated)] = START
    days = np.arange(DAYS) * np.timedelta64(86_400, "s")
    return Panel(
        units=tuple(f"p{row:02d}" for row in range(n)),
        periods=np.datetime64("2024-09-01", "s") + days,
        values=values,
        starts=starts,
    )


KNOWN = Context(
    smallest_effect=1.0,
    unchanged=True,
    near=frozenset(),
    events=(),
    changed={},
    primary=True,
)


@pytest.fixture(scope="module", autouse=True)
def _few_plantings() -> Iterator[None]:
    """Forty plantings in the place of two hundred: as good a method, in a fifth of the time."""
    plain = power.minimum_detectable_effect
    with patch.object(power, "minimum_detectable_effect", partial(plain, plantings=40)):
        yield


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluate(town(-4.0), context=KNOWN, options=Options(seasonal=7))


def status(one: Evaluation, name: str) -> str:
    return next(guard.status for guard in one.guards if guard.id == name)


def test_a_planted_effect_is_told(found):
    """−4 at two of 26 Places: found by two estimates, and said with its interval."""
    assert "decrease" == found.finding
    assert found.headline.low < -4 < found.headline.high
    assert found.check.tier > found.headline.tier
    assert "reduced" in sentence_of(found)
    assert found.grade.letter in {"A", "B"}


def test_without_an_effect_nothing_is_claimed():
    """The same Places, nothing done: no causal word."""
    nothing = evaluate(town(0.0), context=KNOWN, options=Options(seasonal=7))

    assert nothing.finding in {"not_detectable", "negligible"}
    assert "reduced" not in sentence_of(nothing)


def test_the_same_seed_gives_the_same_numbers(found):
    """Every number of the document, to the last digit."""
    again = evaluate(town(-4.0), context=KNOWN, options=Options(seasonal=7))

    one, two = (telling.document(each, sentence_of(each)) for each in (found, again))
    assert one == two
    assert json.loads(json.dumps(one, allow_nan=False)) == one


@pytest.mark.parametrize(
    ("context", "guard", "failed", "best"),
    [
        ({"unchanged": False}, "frozen", "cap_C", "C"),
        ({"events": ("roadworks",)}, "concurrent", "soft_fail", "B"),
        ({"changed": {"p03": "moved"}}, "instrument", "soft_fail", "B"),
        ({"changed": {"p03": "moved", "p11": "moved"}}, "instrument", "veto", "D"),
        ({"negative_control": town(-4.0, seed=8)}, "negative_control", "veto", "D"),
    ],
)
def test_what_happened_beside_costs_its_grade(context, guard, failed, best):
    """Each input that is supplied can fail, and lowers what may be said."""
    told = evaluate(town(-4.0), context=replace(KNOWN, **context), options=Options(seasonal=7))

    assert failed == status(told, guard)
    assert told.grade.letter >= best
    if failed in {"veto", "cap_C"}:
        assert "reduced" not in sentence_of(told)


def test_what_was_never_supplied_is_named_and_caps_the_grade():
    """A bare panel has no event log: the guard says so, and no A is given."""
    bare = evaluate(town(-4.0), options=Options(seasonal=7))

    assert "not_applicable" == status(bare, "concurrent")
    assert bare.grade.letter >= "B"


def test_a_window_that_was_not_measured_has_no_estimate():
    """Below three quarters of the post window there is none, and the sentence says so."""
    panel = town(-4.0)
    values = panel.values.copy()
    values[3, START + 20 :] = np.nan

    told = evaluate(panel.with_values(values), context=KNOWN)

    assert told.headline is None
    assert "veto" == status(told, "capture")
    assert "reduced" not in sentence_of(told)


def test_less_than_a_year_before_is_suggestive_at_best():
    """Ninety days before the start: a season may do as much."""
    panel = town(-4.0)
    short = panel.only(np.arange(26), np.arange(310, DAYS))

    told = evaluate(short, context=KNOWN, options=Options(seasonal=7))

    assert "cap_C" == status(told, "seasons")
    assert told.grade.letter >= "C"


def test_a_year_is_a_year():
    """365 days before the start cover all seasons; a day less does not."""
    panel = town(-4.0)

    whole = guards.seasons(panel.only(np.arange(26), np.arange(35, DAYS)), seasonal=None)
    short = guards.seasons(panel.only(np.arange(26), np.arange(36, DAYS)), seasonal=None)

    assert ("pass", "cap_C") == (whole.status, short.status)


def test_time_since_the_announcement_is_left_out():
    """What people did beforehand enters neither side."""
    panel = town(-4.0)
    values = panel.values.copy()
    values[[3, 11], START - 14 : START] -= 30
    told = evaluate(
        panel.with_values(values),
        context=replace(KNOWN, announced=panel.periods[START - 14]),
        options=Options(seasonal=7),
    )

    assert told.headline.low < -4 < told.headline.high
    assert DAYS - 14 == len(told.panel.periods)


def test_the_minimum_detectable_effect_is_what_would_be_found():
    """An effect of that size, planted in thirty panels, is found about four times in five."""
    hits = 0
    for seed in range(30):
        chance = np.random.default_rng(seed)
        values = chance.normal(size=(21, 60)) + chance.normal(size=60)
        starts = np.full(21, 60)
        starts[0] = 45
        names = tuple(f"u{row:02d}" for row in range(21))
        panel = Panel(units=names, periods=np.arange(60.0), values=values, starts=starts)
        power = minimum_detectable_effect(panel, "sdid", plantings=40, rng=chance)
        values[0, 45:] += power.mde
        hits += synthetic_did(panel.with_values(values), rng=chance).p <= 0.05

    assert 19 <= hits <= 29


def test_an_unknown_estimator_is_named():
    """One sentence, with those that exist."""
    with pytest.raises(PanelError, match="no estimator 'magic'; there are sdid"):
        evaluate(town(0.0), estimators=["magic"])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_units_get_an_answer_or_a_reason(n):
    """One unit alone is an interrupted series; nothing breaks."""
    told = evaluate(town(-4.0, n=n, treated=(0,)), options=Options(seasonal=7))

    assert told.headline is not None
    assert told.headline.tier in {"T3", "T4", "D"}
    assert {"sdid", "sc"} <= {one.estimator for one in told.not_run}
