"""From the first message to the sentence: a town whose truth is known is measured and evaluated."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from livinglab.adapters.mqtt.local import free_port

DAYS, START = 500, 400
"""Of the town's time: more than a year before the start, more than three months after it."""
TREATED = ("p-03", "p-11")
LEVELS = [0.7 + 0.05 * (n % 13) for n in range(26)]


def town_file(effect: float) -> str:
    """26 Places: one drifts, one drops out, one answers twice to still air; all improve."""
    places, things = [], []
    for n, level in enumerate(LEVELS):
        y, x = divmod(n, 6)
        level = 1.7 if n == 7 else level  # noqa: PLW2901 - this one answers to still air twice
        places.append(
            f'[[places]]\nkey = "p-{n:02d}"\nname = "Place {n}"\n'
            f"lon = {6.12 + 0.01 * x:.4f}\nlat = {45.51 + 0.01 * y:.4f}\n"
        )
        faults = {5: "\nfaults = { drift = 0.01 }", 9: "\nfaults = { dropout = 0.4 }"}.get(n, "")
        things.append(
            f'[[things]]\nkey = "t-{n:02d}"\nplace = "p-{n:02d}"\nmeasures = ["no2"]\n'
            f"level = {level:.2f}\nevery_s = 3600{faults}\n"
        )
    return f"""
[city]
key = "testville"
name = "Testville"
timezone = "Europe/Paris"
box = [6.1, 45.5, 6.22, 45.57]
languages = ["en"]

[town]
start = 2024-09-01T00:00:00Z
seed = 7
flat_out_every_s = 7200
posts_per_hour = 0.3
demo_posts_per_minute = 1

[[zones]]
key = "all"
kind = "district"
name = "All"
residents = 20000
counted = 2024-01-01
ring = [[6.1, 45.5], [6.22, 45.5], [6.22, 45.57], [6.1, 45.57]]

[[routes]]
name = "lab"
filter = "lab/{{thing}}/{{property}}"
format = "lab"
confirm = true

{"".join(places)}
{"".join(things)}
[[things]]
key = "sky"
place = "p-00"
measures = ["temperature", "wind_speed", "wind_direction", "relative_humidity"]
every_s = 3600

[[treatments]]
key = "clean-street"
title = "A street without through traffic"
start_day = {START}
announced_day = {START - 14}
places = {json.dumps(TREATED)}
effects = {{ no2 = {effect} }}
smallest = {{ no2 = 1.0 }}

[trends]
no2 = -5.0

[[campaigns]]
start_day = {START - 20}
factor = 3.0

[[residents]]
zone = "all"
n = 200
propensity = 1.0
languages = ["en"]
"""


def livinglab(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Run a command on a data folder, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "livinglab", *arguments, "--data", str(data)],
        env={name: value for name, value in os.environ.items() if not name.startswith("LIVINGLAB")},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def evaluated(effect: float, folder: Path) -> dict:
    """Let a town live flat out, then evaluate its Initiative as a planner does."""
    town = folder / "town.toml"
    town.write_text(town_file(effect), encoding="utf-8")
    ports = ("--port", str(free_port()), "--mqtt-port", str(free_port()))
    data = folder / "lab"
    lived = livinglab(
        "up", "--town", str(town), "--speed", "max", "--days", str(DAYS), *ports, data=data
    )
    assert 0 == lived.returncode, lived.stderr
    found = livinglab("evaluate", "clean-street", "--json", data=data)
    assert 0 == found.returncode, found.stderr
    told = json.loads(found.stdout)
    assert 0 == told["panel"]["missing"], "Readings were doubted for the speed of the town"
    assert {"temperature", "relative_humidity", "wind"} == set(told["weather"]["stations"])
    return told


def evaluated_by_a_running_lab(folder: Path) -> dict:
    """Evaluate again, beside a lab that holds the folder."""
    data = folder / "lab"
    ports = ("--port", str(free_port()), "--mqtt-port", str(free_port()))
    lab = subprocess.Popen(
        [sys.executable, "-m", "livinglab", "up", "--data", str(data), *ports],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not (data / "lab.json").exists():
            assert lab.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        plot = folder / "effect.svg"
        found = livinglab("evaluate", "clean-street", "--json", "--plot", str(plot), data=data)
    finally:
        lab.send_signal(signal.SIGINT)
        lab.wait(60)
    assert 0 == found.returncode, found.stderr
    assert "<svg" in plot.read_text(encoding="utf-8")
    told: dict = json.loads(found.stdout)
    return told


def estimate(told: dict, name: str) -> dict:
    return next(one for one in told["estimates"] if one["estimator"] == name)


@pytest.mark.slow
def test_a_planted_effect_is_found_and_told(tmp_path):
    """NO2 falls by 4 at two of 26 Places: the interval holds it, and the sentence says so."""
    told = evaluated(-4.0, tmp_path)
    headline = estimate(told, told["headline"])

    assert "decrease" == told["finding"]
    assert headline["low"] < -4.0 < headline["high"]
    assert told["grade"] in {"A", "B"}
    assert "reduced" in told["sentence"]
    assert sorted(TREATED) == sorted(told["places"]["treated"])
    assert {"anticipation", "seasons", "capture", "frozen"} <= {
        one["id"] for one in told["guards"] if one["status"] == "pass"
    }
    naive = estimate(told, "before_after")
    assert not naive["low"] < -4.0 < naive["high"]

    again = evaluated_by_a_running_lab(tmp_path)
    assert told["id"] != again["id"]
    for name in ("sentences", "estimates", "guards", "weather", "provenance"):
        assert told[name] == again[name]


@pytest.mark.slow
def test_without_an_effect_nothing_is_claimed(tmp_path):
    """The same town in which the Initiative does nothing: no causal sentence, whatever was told."""
    told = evaluated(0.0, tmp_path)

    assert told["finding"] in {"not_detectable", "negligible"}
    assert "reduced" not in told["sentence"]
    naive = estimate(told, "before_after")
    assert naive["high"] < -1.0
