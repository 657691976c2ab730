"""Bench: treating every control as if, beside diff-diff, on California's tobacco programme.

Both answer the same questions about the same 39 states and 31 years. Synthetic control with the
outcomes before the start as the only predictors, and synthetic difference-in-differences, each with
all its placebos: here 38 states can be treated as if, and each is, once; diff-diff draws 200 times
among them for the second. Its number by the published solver, which needs ten thousand small steps,
is asked for once more by least squares, which differs by 0.002 and is what our placebos use.

The minimum detectable effect of synthetic difference-in-differences is found by planting effects at
states that were not treated: 38 simulations on both sides, theirs with 50 placebos each, ours with
all 37. The lab's own test ranks the effect among placebos; to ask the same as theirs it is asked
once more with a normal p and effects upwards only. Theirs draws states anew in each simulation and
halves an interval of effects, so the two numbers are alike and not the same. Medians, but of one
run where theirs takes long. Compare ratios: the machine is shared and noisy.

A second table tells what each part of an evaluation takes, beside what the design expects.

The data are read from `.golden/` (`make golden`). diff-diff is no dependency: without it, our
answers stand alone.
"""

import argparse
import hashlib
import importlib
import importlib.util
import io
import json
import math
import os
import statistics
import sys
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from livinglab.impact.effects.interrupted import interrupted
from livinglab.impact.effects.staggered import callaway_santanna
from livinglab.impact.effects.structural import structural
from livinglab.impact.effects.synthetic import synthetic_control, synthetic_did
from livinglab.impact.estimators import Options
from livinglab.impact.evaluation import evaluate
from livinglab.impact.kernels import KERNELS
from livinglab.impact.panel import Panel, as_panel
from livinglab.impact.power import minimum_detectable_effect
from livinglab.impact.weather import normalise

GOLDEN = Path(os.environ.get("LIVINGLAB_GOLDEN", Path(__file__).parents[1] / ".golden"))
MEMBER = "causalpy/data/california_prop99.csv"
SHA256 = "50d36488a8ef17251e2897ddc46df7c7476b6727cfeb96770c7f5e7422a69f5b"
START = 1989
THEIRS = "diff_diff"
screen = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one package said, and how long it took."""

    effect: float
    p: float
    se: float | None
    ms: float


def sales() -> pd.DataFrame:
    """Read packs a head by state and year; California treated from 1989."""
    wheels = sorted(GOLDEN.glob("causalpy-*.whl"))
    if not wheels:
        sys.exit("the data are absent: run `make golden`")
    with zipfile.ZipFile(wheels[-1]) as wheel:
        data = wheel.read(MEMBER)
    if hashlib.sha256(data).hexdigest() != SHA256:
        sys.exit(f"{MEMBER} is not the file that the answers were published for")
    wide = pd.read_csv(io.BytesIO(data))
    long = wide.melt("Year", var_name="unit", value_name="value").rename(columns={"Year": "period"})
    treated = (long["unit"] == "California") & (long["period"] >= START)
    return long.assign(treated=treated.astype(int))


def timed(ask: Callable[[], tuple[float, float, float | None]], times: int) -> Answer:
    """Ask several times after a first one, or once; the median is what it took. [ms]"""
    begun = time.perf_counter()
    answer = ask()
    spent = [] if times else [time.perf_counter() - begun]
    for _ in range(times):
        begun = time.perf_counter()
        answer = ask()
        spent.append(time.perf_counter() - begun)
    return Answer(*answer, ms=statistics.median(spent) * 1_000)


def ours(frame: pd.DataFrame, times: int) -> dict[str, Answer]:
    """Answer both questions, reading the frame included."""

    def control() -> tuple[float, float, float | None]:
        found = synthetic_control(frame, rng=np.random.default_rng(1))
        return found.effect, found.p, None

    def difference() -> tuple[float, float, float | None]:
        found = synthetic_did(frame, rng=np.random.default_rng(1))
        return found.effect, found.p, found.se

    def by_least_squares() -> tuple[float, float, float | None]:
        found = synthetic_did(frame, solver="nnls", rng=np.random.default_rng(1))
        return found.effect, found.p, found.se

    def detectable() -> tuple[float, float, float | None]:
        told = minimum_detectable_effect(as_panel(frame), "sdid", rng=np.random.default_rng(1))
        return told.mde, math.nan, None

    def detectable_by_normal() -> tuple[float, float, float | None]:
        return detectable_upwards(as_panel(frame)), math.nan, None

    return {
        "synthetic control": timed(control, times),
        "synthetic did": timed(difference, times),
        "synthetic did, least squares": timed(by_least_squares, times),
        "detectable effect, by rank": timed(detectable, times),
        "detectable effect, normal p": timed(detectable_by_normal, times),
    }


def detectable_upwards(panel: Panel) -> float:
    """Find the effect that a normal p finds in four of five plantings, one at each control."""
    block = panel.block()
    donors, start = block.values[~block.is_treated], block.start
    kernel, needed = KERNELS["sdid"], []

    def effect(of: int, among: np.ndarray) -> float:
        gap = kernel(donors[among[among != of]], donors[of], start, 1)
        return float(gap[start:].mean())

    everybody = np.arange(len(donors))
    for one in range(len(donors)):
        others = everybody[everybody != one]
        spread = np.std([effect(int(other), others) for other in others], ddof=1)
        needed.append(NormalDist().inv_cdf(0.975) * spread - effect(one, everybody))
    return float(np.sort(np.maximum(needed, 0))[math.ceil(0.8 * len(needed)) - 1])


def theirs(frame: pd.DataFrame, times: int) -> dict[str, Answer]:
    """Ask diff-diff the same: all periods before weigh alike, nothing is standardised."""
    package: Any = importlib.import_module(THEIRS)
    after = sorted(frame.loc[frame["treated"] == 1, "period"].unique())
    ever = frame.assign(treated=(frame["unit"] == "California").astype(int))
    weights = np.ones(START - int(frame["period"].min()))

    def control() -> tuple[float, float, float | None]:
        model = package.SyntheticControl(
            v_method="custom", custom_v=weights, standardize="none", seed=1
        )
        found = model.fit(frame, "value", "treated", "unit", "period", post_periods=after)
        found.in_space_placebo()
        return found.att, found.placebo_p_value, None

    def difference() -> tuple[float, float, float | None]:
        model = package.SyntheticDiD(variance_method="placebo", n_bootstrap=200, seed=1)
        found = model.fit(ever, "value", "treated", "unit", "period", post_periods=after)
        return found.att, found.p_value, found.se

    def planted(*, treatment_effect: float, seed: int, **_: Any) -> pd.DataFrame:
        """One state that was not treated, with an effect."""
        others = frame[frame["unit"] != "California"]
        chosen = np.random.default_rng(seed).choice(others["unit"].unique())
        on = (others["unit"] == chosen) & (others["period"] >= START)
        value = others["value"] + treatment_effect * on
        return others.assign(value=value, treated=(others["unit"] == chosen).astype(int))

    def detectable() -> tuple[float, float, float | None]:
        found = package.simulate_mde(
            package.SyntheticDiD(variance_method="placebo", n_bootstrap=50, seed=1),
            n_units=38,
            n_periods=31,
            n_simulations=38,
            seed=1,
            data_generator=planted,
            estimator_kwargs={
                "outcome": "value",
                "treatment": "treated",
                "unit": "unit",
                "time": "period",
                "post_periods": after,
            },
            effect_range=(0.0, 80.0),
            progress=False,
        )
        return found.mde, math.nan, None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice about its own options
        of_difference = timed(difference, times)
        return {
            "synthetic control": timed(control, times),
            "synthetic did": of_difference,
            "synthetic did, least squares": of_difference,
            "detectable effect, normal p": timed(detectable, 0),
        }


def parts() -> list[tuple[str, str, float]]:
    """Time what an evaluation consists of: (work, what is expected, seconds)."""
    chance = np.random.default_rng(1)
    frame = sales()
    prop99 = as_panel(frame)
    many = made(500, 40, chance, start=lambda: int(chance.choice([20, 25, 30, 40])))
    days = made(1, 3 * 365, chance, start=lambda: 800)
    places = made(16, 540, chance, start=lambda: 420, treated=2)
    weather = pd.DataFrame(chance.normal(size=(540, 4)), columns=list("abcd"))
    weather["period"] = places.periods
    asked: list[tuple[str, str, Callable[[], object]]] = [
        (
            "all placebos of 39 units, 31 periods",
            "< 0.1 s, budget 0.5",
            lambda: synthetic_control(prop99, rng=chance),
        ),
        (
            "synthetic did, reference solver, with placebos",
            "0.4 s and < 0.1",
            lambda: synthetic_did(prop99, rng=chance),
        ),
        (
            "synthetic did, least squares, with placebos",
            "< 0.1 s",
            lambda: synthetic_did(prop99, solver="nnls", rng=chance),
        ),
        (
            "staggered cohorts, 500 units, 999 draws",
            "1 s",
            lambda: callaway_santanna(many, draws=999, rng=chance),
        ),
        (
            "interrupted series, three years of days",
            "< 10 ms",
            lambda: interrupted(days, seasonal=7, placebo=False),
        ),
        (
            "structural series, the same, 2,000 paths",
            "< 1 s",
            lambda: structural(days, seasonal=7, placebo=False, rng=chance),
        ),
        (
            "weather, 16 units, 540 days (two forests a unit)",
            "a few seconds for 10,000 rows",
            lambda: normalise(places, weather, rng=chance),
        ),
        (
            "whole evaluation, 16 units, 540 days",
            "< 30 s",
            lambda: evaluate(places, options=Options(seasonal=7.0)),
        ),
    ]
    found = []
    for name, expected, ask in asked:
        screen.print(name, highlight=False)
        begun = time.perf_counter()
        ask()
        found.append((name, expected, time.perf_counter() - begun))
    return found


def made(
    units: int,
    periods: int,
    chance: np.random.Generator,
    *,
    start: Callable[[], int],
    treated: int | None = None,
) -> Panel:
    """Make a panel of noise around a common course."""
    starts = np.full(units, periods)
    for row in range(units if treated is None else treated):
        starts[row] = start()
    common = chance.normal(size=periods).cumsum() / 5
    days = np.datetime64("2023-01-01") + np.arange(periods)
    return Panel(
        units=tuple(f"u{row:03d}" for row in range(units)),
        periods=days.astype("datetime64[s]"),
        values=30 + common + chance.normal(size=(units, periods)),
        starts=starts,
    )


def main() -> None:
    """Ask both, and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    frame = sales()
    found = {"livinglab": ours(frame, options.times)}
    if importlib.util.find_spec(THEIRS):
        found["diff-diff"] = theirs(frame, options.times)
    else:
        screen.print("to compare: pip install diff-diff==3.13.0, into an environment of its own")
    timings = parts()
    if options.json:
        rows: dict[str, Any] = {
            name: {
                question: {
                    "effect": one.effect,
                    "p": None if math.isnan(one.p) else one.p,
                    "se": one.se,
                    "ms": one.ms,
                }
                for question, one in answers.items()
            }
            for name, answers in found.items()
        }
        rows["parts"] = [
            {"work": name, "expected": expected, "s": seconds}
            for name, expected, seconds in timings
        ]
        sys.stdout.write(json.dumps({"cores": os.cpu_count(), **rows}, indent=1) + "\n")
        return
    table = Table(title=f"39 states, 31 years, all placebos; medians of {options.times}")
    for column in ("question", "by", "effect", "SE", "p", "ms", "ratio"):
        table.add_column(column, justify="left" if column in {"question", "by"} else "right")
    for question, mine in found["livinglab"].items():
        for name, answers in found.items():
            if question not in answers:
                continue
            one = answers[question]
            table.add_row(
                question,
                name,
                f"{one.effect:.4f}",
                "" if one.se is None else f"{one.se:.2f}",
                "" if math.isnan(one.p) else f"{one.p:.3f}",
                f"{one.ms:.1f}",
                f"{one.ms / mine.ms:.1f}",
            )
    Console().print(table)
    of_parts = Table(title="what each part takes")
    for column in ("work", "expected", "s"):
        of_parts.add_column(column, justify="right" if column == "s" else "left")
    for name, expected, seconds in timings:
        of_parts.add_row(name, expected, f"{seconds:.3f}")
    Console().print(of_parts)


if __name__ == "__main__":
    main()
