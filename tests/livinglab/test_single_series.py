"""Interrupted and structural series, against published numbers and under serial correlation."""

import math

import numpy as np
import pandas as pd
import pytest

from livinglab.errors import NotEstimableError
from livinglab.impact.effects.interrupted import interrupted
from livinglab.impact.effects.structural import structural, structural_step
from livinglab.impact.panel import Panel
from tests.livinglab.golden import seatbelts, sicily


def wandering(seed: int, n: int, rho: float = 0.6) -> np.ndarray:
    chance = np.random.default_rng(seed)
    values = np.zeros(n + 50)
    for k in range(1, n + 50):
        values[k] = rho * values[k - 1] + chance.normal()
    return values[50:]


def series(values: np.ndarray, start: int, *controls: np.ndarray) -> Panel:
    rows = np.stack([values, *controls])
    starts = np.full(len(rows), rows.shape[1])
    starts[0] = start
    return Panel(
        units=tuple(f"u{row}" for row in range(len(rows))),
        periods=np.arange(float(rows.shape[1])),
        values=rows,
        starts=starts,
    )


def belts(column: str) -> Panel:
    frame = seatbelts()
    return Panel.of(
        pd.DataFrame(
            {
                "unit": "Great Britain",
                "period": np.arange(len(frame)),
                "value": frame[column],
                "treated": frame["law"],
                "log_kms": np.log(frame["kms"]),
                "log_price": np.log(frame["PetrolPrice"]),
            }
        )
    ).transformed("log")


def test_sicily():
    """Admissions fell to 0.885 of what was expected (0.839 to 0.933)."""
    table = sicily()
    frame = pd.DataFrame(
        {
            "unit": "Sicily",
            "period": table["time"],
            "value": table["aces"],
            "treated": table["smokban"],
            "population": table["stdpop"],
        }
    )

    found = interrupted(
        Panel.of(frame).transformed("poisson"),
        seasonal=12,
        offset="population",
        slope_change=False,
    )

    bounds = [math.exp(found.effect + z * found.se) for z in (0.0, -1.959964, 1.959964)]
    assert pytest.approx([0.885, 0.839, 0.933], abs=1e-3) == bounds


def test_seat_belts():
    """A fifth fewer drivers were killed or hurt; rear passengers, not covered, show nothing."""
    drivers = structural_step(belts("drivers"), seasonal=12)
    rear = structural_step(belts("rear"), seasonal=12)

    assert pytest.approx(-0.21, abs=0.025) == math.expm1(drivers.effect)
    assert drivers.p < 0.01
    assert rear.p > 0.10


def test_dates_before_the_start_keep_the_promise():
    """AR(1) noise without an effect: p ≤ .05 in at most 8 of 100, and the interval holds 0."""
    found = [interrupted(series(wandering(seed, 120), 90)) for seed in range(150)]

    assert sum(one.p <= 0.05 for one in found) <= 12
    assert sum(one.low <= 0 <= one.high for one in found) >= 135


def test_a_step_is_found_beside_trend_and_season():
    """−5 in noise of 1, on a trend and a season of twelve."""
    t = np.arange(120)
    values = 30 + 0.05 * t + 3 * np.sin(2 * np.pi * t / 12) + wandering(3, 120, 0.2)
    values[90:] -= 5

    found = interrupted(series(values, 90), seasonal=12)

    assert found.low < -5 < found.high
    assert found.p <= 0.05
    assert "T4" == found.tier


def test_a_control_takes_out_what_both_went_through():
    """A common shock at the start is no effect of the measure."""
    shock = np.where(np.arange(120) >= 90, -8.0, 0.0)
    values, control = wandering(1, 120, 0.2) + shock, wandering(2, 120, 0.2) + shock

    alone = interrupted(series(values, 90))
    beside = interrupted(series(values, 90, control))

    assert alone.effect < -6
    assert beside.low <= 0 <= beside.high
    assert "T3" == beside.tier


def test_a_structural_series_follows_its_controls():
    """The level wanders with the controls; the step of −4 remains."""
    chance = np.random.default_rng(4)
    common = chance.normal(size=150).cumsum()
    rows = [common + chance.normal(size=150) * 0.4 for _ in range(6)]
    rows[0][120:] -= 4

    found = structural(series(*rows[:1], 120, *rows[1:]), rng=np.random.default_rng(0))

    assert found.low < -4 < found.high
    assert found.p <= 0.10
    assert 0 < len(found.detail["controls"]) <= 5


def test_the_same_seed_gives_the_same_paths():
    """Nothing random is global."""
    panel = series(wandering(5, 100), 80)

    one, two = (structural(panel, rng=np.random.default_rng(9)) for _ in range(2))

    assert (one.effect, one.low, one.p) == (two.effect, two.low, two.p)


@pytest.mark.parametrize("estimator", [interrupted, structural_step])
def test_a_series_without_variation_is_refused(estimator):
    """Nothing can be told from nothing."""
    with pytest.raises(NotEstimableError):
        estimator(series(np.ones(60), 40))


def test_too_few_periods_are_refused():
    """Four coefficients need more than six numbers."""
    with pytest.raises(NotEstimableError, match="too few"):
        interrupted(series(wandering(6, 8), 6))
