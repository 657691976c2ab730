"""The air at a Place, as anybody may read it."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from livinglab.bootstrap import Lab
from livinglab.domain.readings import Flag, ReadingBatch, to_ms
from livinglab.domain.things import Datastream, Thing, ThingState

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def measure(
    lab: Lab,
    name: str,
    measures: str,
    *readings: tuple[datetime, float],
    state: ThingState = ThingState.CONFIRMED,
) -> None:
    """Let a Thing at the square measure."""
    thing = Thing(
        scheme="x", external_id=name, state=state, route="r", introduced_at=NOW, place="square"
    )
    stream = Datastream(thing=thing.key, observed_property=measures, introduced_at=NOW)
    with lab.work() as work:
        work.things.add([thing])
        work.things.add_datastreams([stream])
    assert stream.number is not None
    batch = ReadingBatch()
    for time, result in readings:
        batch.add(stream.number, to_ms(time), result, math.nan, Flag.GOOD, 0)
    lab.readings.append(batch)


def test_an_index_comes_with_all_it_rests_on(client, lab):
    """Level, pollutants, coverage, table, version, and what of it was verified."""
    measure(lab, "a", "no2", (NOW - HOUR, 30.0))
    measure(lab, "b", "pm10", (NOW - HOUR, 20.0))
    told = client.get("/places/square/air?station=traffic").json()["index"]
    table = told["table"]

    assert ("european-aqi-2024", "2024", True) == (
        table["name"],
        table["version"],
        table["verified"],
    )
    assert "ETC HE Report 2024/17" in table["source"]
    assert ("2026-03-02T12:00:00Z", "traffic", False, False) == (
        told["end"],
        told["station"],
        told["verified"],
        told["completeness_verified"],
    )
    assert {
        "pollutant": "no2",
        "rank": 3,
        "label": "Moderate",
        "colour": "#F0E641",
        "colour_verified": False,
        "number": None,
        "beyond": False,
    } == told["level"]
    assert [
        ("pm10", "x:b:pm10", 20.0, "ug/m3", 1.0, "Fair", True),
        ("no2", "x:a:no2", 30.0, "ug/m3", 1.0, "Moderate", True),
    ] == [
        tuple(
            one[name]
            for name in ("pollutant", "datastream", "mean", "unit", "coverage", "label", "verified")
        )
        for one in told["pollutants"]
    ]


def test_no_index_but_the_pollutants(client, lab):
    """Without ozone a Place that is not by a road has no index, and says what it lacks."""
    measure(lab, "a", "no2", (NOW - HOUR, 30.0))
    measure(lab, "b", "pm10", (NOW - HOUR, 20.0))
    told = client.get("/places/square/air").json()["index"]

    assert (None, [["o3"]], 2) == (told["level"], told["lacking"], len(told["pollutants"]))


def test_the_us_index_may_be_asked_for(client, lab):
    """100 µg/m³ of NO2 are 53 ppb: 50."""
    measure(lab, "a", "no2", (NOW - HOUR, 100.0))
    told = client.get("/places/square/air?index=us-aqi-2024").json()["index"]
    [one] = told["pollutants"]

    assert ("us-aqi-2024", 50) == (told["table"]["name"], told["level"]["number"])
    assert (100.0, "ug/m3", 53, "ppb") == (
        one["mean"],
        one["unit"],
        one["judged"],
        one["judged_unit"],
    )


def test_limit_values_of_a_year(client, lab):
    """Four hours above 200 exceed what 2024/2881 allows, and tell how little was measured."""
    start = datetime(2025, 5, 1, tzinfo=UTC)
    measure(lab, "a", "no2", *[(start + n * HOUR, 210.0) for n in range(4)])
    told = client.get("/places/square/air?year=2025").json()
    tables = {one["name"]: one for one in told["limits"]["tables"]}
    [hour] = [one for one in tables["eu-2024-2881"]["assessments"] if one["limit"] == "no2-hour"]

    assert (2025, "Europe/Paris", True) == tuple(
        told["limits"][name] for name in ("year", "timezone", "over")
    )
    assert {
        "limit": "no2-hour",
        "pollutant": "no2",
        "kind": "limit",
        "period": "hour",
        "statistic": "exceedances",
        "must_not_exceed": 200.0,
        "unit": "ug/m3",
        "years": 1,
        "verified": True,
        "note": "",
        "datastream": "x:a:no2",
        "verdict": "exceeded",
        "value": 210.0,
        "exceedances": [4],
        "allowed": 3,
        "coverage": 0.0005,
        "coverage_required": 0.85,
    } == hour
    assert not tables["eu-2024-2881"]["verified"]
    assert not any(one["verified"] for one in tables["eu-2008-50"]["assessments"])
    assert not told["coverage_rules"]["periods"]["hour"]["verified"]


def test_what_cannot_be_judged_is_named(client, lab):
    """Ten minutes of SO2 need Readings that hours do not tell."""
    measure(lab, "a", "so2", (NOW - HOUR, 5.0))
    tables = client.get("/places/square/air").json()["limits"]["tables"]

    assert [("who-2021", "so2-ten-minutes")] == [
        (table["name"], one["limit"]) for table in tables for one in table["not_assessed"]
    ]


def test_provisional_things_say_nothing(client, lab):
    """What nobody confirmed is neither in the index nor counted."""
    measure(lab, "a", "no2", (NOW - HOUR, 300.0), state=ThingState.PROVISIONAL)
    told = client.get("/places/square/air").json()

    assert [] == told["index"]["pollutants"]
    assert [0, 0, 0] == [len(one["assessments"]) for one in told["limits"]["tables"]]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/places/nowhere/air", 404),
        ("/places/square/air?index=european-aqi-2017", 404),
        ("/places/square/air?index=who-2021", 404),
        ("/places/square/air?year=2027", 422),
        ("/places/square/air?year=1999", 422),
        ("/places/square/air?station=attic", 422),
    ],
)
def test_what_is_refused(client, url, status):
    """Places and tables that do not exist, and years to come."""
    assert status == client.get(url).status_code


def test_the_same_question_is_answered_once_an_hour(client, lab):
    """A year of hours costs much, and anybody may ask; a new Reading waits for the next hour."""
    measure(lab, "a", "no2", (NOW - HOUR, 30.0))
    asked = "/places/square/air?station=traffic"
    before = client.get(asked).json()
    present, client.app.state.lab.readings.every = lab.readings.every, None  # it must not be asked

    again = client.get(asked).json()
    lab.readings.every = present

    assert before == again


def test_a_thing_that_is_withdrawn_is_gone_at_once(client, lab):
    """What was public a moment ago is not told out of memory."""
    measure(lab, "a", "no2", (NOW - HOUR, 30.0))
    asked = "/places/square/air?station=traffic"
    before = client.get(asked).json()["index"]["pollutants"]
    with lab.work() as work:
        work.things.get("x:a").state = ThingState.TEST

    assert 1 == len(before)
    assert [] == client.get(asked).json()["index"]["pollutants"]
