"""`livinglab evaluate --panel`, as a planner runs it."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.commands import run_here


def evaluate(*arguments: str, table: str, apart: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the command, here or in a process of its own."""
    if not apart:
        return run_here("evaluate", "--panel", "-", *arguments, sent=table)
    return subprocess.run(
        [sys.executable, "-m", "livinglab", "evaluate", "--panel", "-", *arguments],
        input=table,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def table() -> str:
    """Fourteen units, sixty days, −5 at two of them from the fortieth on."""
    chance = np.random.default_rng(2)
    days = np.datetime64("2024-01-01") + np.arange(60)
    rows = ["unit,period,value,treated,other"]
    for unit in range(14):
        for n, day in enumerate(days):
            on = int(unit < 2 and n >= 40)
            value = 20 + unit + np.sin(n / 5) + chance.normal() - 5 * on
            rows.append(f"u{unit},{day},{value:.3f},{on},some words")
    return "\n".join(rows)


def test_a_panel_gets_its_answer(tmp_path: Path):
    """JSON for a pipe, a sentence, and a picture that says what it shows."""
    plot = tmp_path / "effect.svg"

    done = evaluate(
        "--sesoi", "1", "--seasonal", "7", "--plot", str(plot), table=table(), apart=True
    )

    assert 0 == done.returncode, done.stderr
    told = json.loads(done.stdout)
    headline = next(one for one in told["estimates"] if one["estimator"] == told["headline"])
    assert "decrease" == told["finding"]
    assert headline["low"] < -5 < headline["high"]
    assert (14, 2, 60, 40) == tuple(
        told["panel"][name] for name in ("units", "treated", "periods", "pre")
    )
    assert told["sentence"]
    assert 64 == len(told["provenance"]["data_sha256"])
    assert ET.parse(plot).getroot().find("{http://www.w3.org/2000/svg}title") is not None


def test_weather_is_set_apart():
    """Its columns are no covariates; what was taken out, and whether it is used, is told."""
    chance = np.random.default_rng(3)
    days = np.datetime64("2024-01-01") + np.arange(120)
    air = chance.normal(size=120)
    rows = ["unit,period,value,treated,t"]
    for unit in range(11):
        for n, day in enumerate(days):
            on = int(unit == 0 and n >= 90)
            value = 20 + (2 + unit % 3) * air[n] + chance.normal() * 0.3 - 5 * on
            rows.append(f"u{unit},{day},{value:.3f},{on},{air[n]:.3f}")

    done = evaluate("--weather", "t", "--estimators", "did,its", table="\n".join(rows))

    assert 0 == done.returncode, done.stderr
    told = json.loads(done.stdout)
    assert "t" in told["weather"]["features"]
    assert told["weather"]["r2_oot"] > 0.5
    guard = next(one for one in told["guards"] if one["id"] == "weather")
    assert ("pass" if told["weather"]["passed"] else "reported") == guard["status"]


@pytest.mark.parametrize(
    ("arguments", "rows", "says"),
    [
        ((), "unit,period\n", "lacks the column value"),
        ((), "unit,period,value,treated\na,1,x,0\n", "no number (line 2)"),
        ((), "", "no CSV table"),
        (("--covariates", "rain"), table(), "no column rain"),
        (("--estimators", "magic"), table(), "no estimator 'magic'"),
        (("--transform", "square"), table(), "'square' is none of level"),
        (("--level", "2"), table(), "no coverage"),
        (("--announced", "7"), table(), "periods are dates"),
        (("--treated", "u99", "--start", "2024-02-01"), table(), "u99 is not in the panel"),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence(arguments, rows, says):
    """Exit 2, what and where; never a traceback."""
    done = evaluate(*arguments, table=rows)

    assert 2 == done.returncode
    assert says in done.stderr
    assert 1 == len(done.stderr.strip().splitlines())
    assert "" == done.stdout
