"""Published examples of the data models: they contradict each other, and none is repaired."""

from datetime import UTC, datetime
from typing import Any

import pytest

from livinglab.config import read_settings
from livinglab.services.decoding import decode

NOBODY_KNOWS = ["pm4", "tpc", "tsp", "charge"]
AIR = "AirQualityObserved"
TRAFFIC = "TrafficFlowObserved"


def lines(name: str, timezone: str | None = "Europe/Madrid") -> list[dict[str, Any]]:
    path = read_settings().samples / "payloads" / "ngsi" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here; LIVINGLAB_SAMPLES names the folder of sample data")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return list(decode("auto", path.read_bytes(), timezone=timezone, now=now))


@pytest.mark.parametrize(
    ("name", "flags", "refused"),
    [
        ("example.json", [1] * 5 + [2] * 6, NOBODY_KNOWS),
        ("example-normalized.json", [1] * 8 + [2, 3], ["precipitation", *NOBODY_KNOWS]),
        ("example.jsonld", [1] * 5 + [2] * 5, []),
        ("example-normalized.jsonld", [1] * 9 + [2, 3], NOBODY_KNOWS),
    ],
)
def test_air_quality_is_read_as_it_stands(name: str, flags: list[int], refused: list[str]):
    """Gases without unit are not evaluated, half a gram of CO in a cubic metre is suspect."""
    guessed, *told = lines(f"{AIR}/{name}")

    readings = [one for one in told if "reject" not in one]
    assert {"format": "ngsi"} == guessed
    assert flags == sorted(one["flag"] for one in readings)
    assert refused == [one["path"] for one in told if "reject" in one]
    assert {"2016-03-15T10:00:00Z"} == {one["time"] for one in readings}


@pytest.mark.parametrize(
    ("name", "gas", "wind"),
    [
        ("example.json", "co2", 176.0),
        ("example-normalized.json", "no2", 176.0),
        ("example.jsonld", "no2", 180.0),
        ("example-normalized.jsonld", "no2", 186.0),
    ],
)
def test_twins_that_disagree_are_not_repaired(name: str, gas: str, wind: float):
    """One says carbon dioxide where the others say nitrogen dioxide; three winds blow."""
    found = {one["property"]: one["result"] for one in lines(f"{AIR}/{name}") if "thing" in one}

    assert ({gas: 69.0}, wind) == (
        {key: found[key] for key in ("co2", "no2") if key in found},
        found["wind_direction"],
    )


def test_a_time_without_zone_is_refused_as_a_whole():
    """Neither the example nor the route tells one."""
    _, refused = lines(f"{AIR}/example.json", timezone=None)

    assert ("no_timezone", "dateObserved") == (refused["reject"], refused["path"])


@pytest.mark.parametrize("timezone", ["Europe/Madrid", None])
@pytest.mark.parametrize(
    "name",
    ["example.json", "example-normalized.json", "example.jsonld", "example-normalized.jsonld"],
)
def test_traffic_is_the_same_in_every_form(name: str, timezone: str | None):
    """From and to tell their zone; a count has no unit; the lane is no measurement."""
    _, *told = lines(f"{TRAFFIC}/{name}", timezone)

    assert [
        ("occupancy", 76.0, "%", 1),
        ("vehicle_flow", 197.0, None, 2),
        ("vehicle_speed", 52.6, "km/h", 1),
    ] == sorted((one["property"], one["result"], one["unit"], one["flag"]) for one in told)
    assert {("2016-12-07T11:10:00Z", 300.0)} == {(one["time"], one["interval_s"]) for one in told}
