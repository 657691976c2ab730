"""`livinglab agree`, as a planner runs it."""

import csv
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.commands import run_here

PROJECT = Path(__file__).resolve().parents[2]
SAMPLES = Path(os.environ.get("LIVINGLAB_SAMPLES", PROJECT.parent / "shared" / "data"))
PITTSBURGH = SAMPLES / "pittsburgh"
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)


def agree(
    observations: Path | str, readings: Path, *arguments: str, sent: str = "", apart: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the command, here or in a process of its own."""
    files = ("--observations", str(observations), "--readings", str(readings))
    if not apart:
        return run_here("agree", *files, *arguments, sent=sent)
    return subprocess.run(
        [sys.executable, "-m", "livinglab", "agree", *files, *arguments],
        input=sent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """A year of daily values, and reports that follow them by two days."""
    chance = np.random.default_rng(4)
    level = chance.normal(size=365)
    days = [BEGIN + timedelta(days=day, hours=9) for day in range(365)]
    readings, observations = tmp_path / "readings.csv", tmp_path / "observations.csv"
    lines = ["time,value", *(f"{d:%FT%TZ},{v:.3f}" for d, v in zip(days, level, strict=True))]
    readings.write_text("\n".join(lines), encoding="utf-8")
    rows = ["time,severity"]
    for day in range(2, 365):
        count = chance.poisson(np.exp(0.5 + 0.8 * level[day - 2]))
        rows += [f"{days[day] + timedelta(minutes=n):%FT%TZ},3" for n in range(count)]
    observations.write_text("\n".join(rows), encoding="utf-8")
    return observations, readings


def test_a_planted_relation_is_told(tables):
    """JSON for a pipe: the lag, the p-value, and a sentence that claims no cause."""
    done = agree(*tables, apart=True)

    assert 0 == done.returncode, done.stderr
    told = json.loads(done.stdout)
    assert "related" == told["finding"]
    assert (2, 2) == (told["level"]["lag"], told["anomalies"]["lag"])
    assert told["exceedance"]["rate_ratio"] is not None
    assert "This tells nothing about a cause." in told["sentence"]


def test_rows_that_cannot_be_read_are_listed(tables):
    """Each with its line and reason; the others count, and the exit says 1."""
    observations, readings = tables
    text = observations.read_text(encoding="utf-8")
    broken = f"{text}\nyesterday,3\n2025-05-01T00:00:00,3\n2025-05-01T00:00:00Z,much\n"

    done = agree("-", readings, sent=broken)

    told = json.loads(done.stdout)
    last = len(text.splitlines())
    assert 1 == done.returncode
    assert [last + 1, last + 2, last + 3] == [one["line"] for one in told["refused"]]
    assert "no RFC 3339 time" in told["refused"][0]["reason"]
    assert "give --timezone" in told["refused"][1]["reason"]
    assert "related" == told["finding"]


@pytest.mark.parametrize(
    ("sent", "arguments", "says"),
    [
        ("", (), "it is empty"),
        ("place,severity\nx,3\n", (), "lacks the column time"),
        ("time\nyesterday\n", (), "none of its 1 rows can be read"),
        ("time\n2025-01-01T00:00:00Z\n", ("--every", "1W"), "'1W' is none of 1h, 1D"),
        ("time\n2025-01-01T00:00:00Z\n", ("--lags", "9..2"), "no range"),
        ("time\n2025-01-01T00:00:00Z\n", ("--timezone", "Mars"), "no time zone"),
        ("time\n2025-01-01T00:00:00Z\n", ("--count", "severity"), "lack the column severity"),
        ("time\n2025-01-01T00:00:00Z\n", ("--exceedance", "p200"), "neither a value"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(tables, sent, arguments, says):
    """Exit 2, what and where; never a traceback."""
    done = agree("-", tables[1], *arguments, sent=sent)

    assert 2 == done.returncode
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "" == done.stdout


def test_too_little_data_is_an_answer(tables):
    """Three reports relate to nothing, and the sentence says what is missing."""
    sent = "time\n" + "\n".join(f"2025-02-0{day}T10:00:00Z" for day in (1, 2, 3))

    told = json.loads(agree("-", tables[1], sent=sent).stdout)

    assert "too_little_data" == told["finding"]
    assert "30 are needed" in told["sentence"]


@pytest.mark.skipif(not PITTSBURGH.exists(), reason="the sample data are absent: pittsburgh/")
def test_smells_go_with_hydrogen_sulphide(tmp_path):
    """Two years of a city's smell reports against one station's hydrogen sulphide, by day."""
    observations, readings = tmp_path / "smells.csv", tmp_path / "h2s.csv"
    with (PITTSBURGH / "smell_raw.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    told = "\n".join(f"{at(row['EpochTime'])},{row['smell_value']}" for row in rows)
    observations.write_text(f"time,severity\n{told}\n", encoding="utf-8")
    [source] = (PITTSBURGH / "esdr_raw").glob("Feed_28*.csv")
    with source.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        [column] = [name for name in table.fieldnames or () if "H2S" in name]
        lines = [f"{at(row['EpochTime'])},{row[column]}" for row in table if row[column]]
    readings.write_text("time,value\n" + "\n".join(lines) + "\n", encoding="utf-8")

    done = agree(observations, readings, "--timezone", "America/New_York", "--min-severity", "3")

    found = json.loads(done.stdout)
    assert 0 == done.returncode, done.stderr
    assert ("related", 0) == (found["finding"], found["anomalies"]["lag"])
    assert found["exceedance"]["rate_ratio"] > 1


def at(epoch: str) -> str:
    return f"{datetime.fromtimestamp(int(float(epoch)), UTC):%FT%TZ}"
