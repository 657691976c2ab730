"""Evaluations over HTTP: asked for, done in the background, and found under its id."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from livinglab.domain.readings import Flag, ReadingBatch, to_ms
from livinglab.domain.things import Datastream, Thing, ThingState
from livinglab.services import initiating

PLAN = {"Authorization": "Bearer plan-secret"}
BEGIN = datetime(2025, 11, 1, tzinfo=UTC)
PATH = "/initiatives/quiet-square/evaluations"


@pytest.fixture
def design(client) -> None:
    """Handed in half a year ago."""
    body = {
        "key": "quiet-square",
        "title": "A quiet square",
        "theme": "air",
        "starts_at": "2026-02-01T00:00:00Z",
        "areas": [
            {"place": "square", "role": "treated"},
            {"place": "bridge", "role": "control"},
        ],
        "hypotheses": [{"key": "no2", "property": "no2", "expected": "decrease", "primary": True}],
    }
    assert 201 == client.post("/initiatives", json=body, headers=PLAN).status_code


@pytest.fixture
def measured(lab) -> None:
    """NO2 at both Places since November, 10 less at the square since February."""
    chance = np.random.default_rng(3)
    times = np.arange(to_ms(BEGIN), to_ms(BEGIN + timedelta(days=120)), 6 * 3_600_000)
    common = 40 + chance.normal(size=len(times))
    batch = ReadingBatch()
    with lab.work() as work:
        for place in ("square", "bridge"):
            thing = Thing(
                scheme="lab",
                external_id=place,
                state=ThingState.CONFIRMED,
                route="lab",
                introduced_at=BEGIN,
                place=place,
            )
            stream = Datastream(
                thing=thing.key, observed_property="no2", introduced_at=BEGIN, interval_s=21_600.0
            )
            work.things.add([thing])
            work.things.add_datastreams([stream])
            effect = -10 if place == "square" else 0
            values = common + effect * (times >= to_ms(datetime(2026, 2, 1, tzinfo=UTC)))
            for at, value in zip(times.tolist(), values.tolist(), strict=True):
                batch.add(stream.number or 0, at, value + chance.normal(), Flag.GOOD)
    lab.readings.append(batch)


def settled(client: TestClient, location: str) -> dict[str, Any]:
    """Ask until it is done or failed."""
    deadline = time.monotonic() + 60
    while True:
        told: dict[str, Any] = client.get(location).json()
        if told["state"] not in {"waiting", "running"}:
            return told
        assert time.monotonic() < deadline, told
        time.sleep(0.02)


@pytest.mark.usefixtures("design", "measured")
def test_an_evaluation_is_found_where_it_was_said_to_be(client):
    """202 and a place to look; there the Effect appears, with its pictures."""
    asked = client.post(PATH, json={"seed": 7}, headers=PLAN)
    told = settled(client, asked.headers["location"])

    assert (202, "no2", 7) == (asked.status_code, asked.json()["hypothesis"], asked.json()["seed"])
    assert (asked.json()["id"], "done", 7) == (
        told["id"],
        told["state"],
        told["provenance"]["seed"],
    )
    assert -10 == pytest.approx(told["estimates"][0]["effect"], abs=2)
    assert [told] == client.get(PATH).json()["items"]
    assert "course" in told["pictures"]
    picture = client.get(f"{PATH}/{told['id']}/course.svg", params={"lang": "ar"})
    assert (200, "image/svg+xml") == (picture.status_code, picture.headers["content-type"])
    assert re.search("[\u0600-\u06ff]{3}", picture.text)
    assert 404 == client.get(f"{PATH}/{told['id']}/course.svg?lang=xx").status_code
    assert 404 == client.get(f"{PATH}/{told['id']}/secret.svg").status_code


@pytest.mark.usefixtures("design")
def test_what_cannot_be_evaluated_says_why(client):
    """Nothing was measured: the job ends as failed, and is told as such."""
    asked = client.post(PATH, json={}, headers=PLAN)
    told = settled(client, asked.headers["location"])

    assert "failed" == told["state"]
    assert "there is no Datastream 'no2 of quiet-square'" == told["problem"]
    assert [told] == client.get(PATH).json()["items"]


@pytest.mark.usefixtures("design")
def test_asking_needs_the_scope_and_a_design(client):
    """Nobody without a key, no key of another scope; no Initiative or Hypothesis of that name."""
    submit = {"Authorization": "Bearer submit-secret"}

    assert 401 == client.post(PATH, json={}).status_code
    assert 403 == client.post(PATH, json={}, headers=submit).status_code
    for body, status in (({"hypothesis": "pm10"}, 404), ({"seed": -1}, 422), ({"x": 1}, 422)):
        assert status == client.post(PATH, json=body, headers=PLAN).status_code
    assert 404 == client.post("/initiatives/no/evaluations", json={}, headers=PLAN).status_code
    assert 404 == client.get(f"{PATH}/{uuid4()}").status_code
    assert [] == client.get(PATH).json()["items"]


@pytest.mark.usefixtures("design")
def test_what_was_asked_for_survives_a_restart(lab):
    """A job that an earlier process left is done by the next one."""
    with lab.work() as work:
        job = initiating.ask_evaluation("quiet-square", None, 0, work, lab.clock.now()).id

    with TestClient(create_app(lab)) as another:
        told = settled(another, f"{PATH}/{job}")

    assert "failed" == told["state"]
