"""Formats of Santander's open-data portal: strings, gaps, and years of silence."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from livinglab.config import read_settings
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.services.decoding import decode

NOW = datetime(2021, 6, 1, 19, 0, tzinfo=UTC)
PAYLOADS = Path(__file__).parents[1] / "payloads"


def lines(kind: str, payload: object, *, everything: bool = False) -> list[dict[str, Any]]:
    sent = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return list(decode(f"santander-{kind}", sent, now=NOW, everything=everything))


@pytest.fixture(scope="module")
def environment() -> list[dict[str, Any]]:
    return lines("environment", (PAYLOADS / "santander_environment.json").read_bytes())


@pytest.fixture(scope="module")
def traffic() -> list[dict[str, Any]]:
    return lines("traffic", (PAYLOADS / "santander_traffic.json").read_bytes())


def of(thing: str, found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {line["property"]: line for line in found if line.get("thing") == f"santander:{thing}"}


def test_strings_are_numbers_and_empty_is_missing(environment):
    """Every value is text; the empty one is a sensor that told nothing."""
    found = of("9001", environment)

    assert [11.25, 1] == [found["temperature"]["result"], found["temperature"]["flag"]]
    assert [None, 9] == [found["noise_level"]["result"], found["noise_level"]["flag"]]
    assert {"value": "11.25", "unit": None} == found["temperature"]["raw"]
    assert [-3.7011, 43.5101] == found["temperature"]["point"]


def test_readings_come_in_payload_order(environment):
    """Whoever compares output and payload reads both from top to bottom."""
    assert ["noise_level", "battery", "temperature", "illuminance"] == list(of("9001", environment))


def test_implausible_values_are_flagged_and_kept(environment):
    """267 degrees are no weather, but they are what the node said."""
    found = of("9002", environment)

    assert [267.5, 4] == [found["temperature"]["result"], found["temperature"]["flag"]]
    assert [6_561_000.0, 3] == [found["illuminance"]["result"], found["illuminance"]["flag"]]


def test_own_time_tells_who_has_been_silent_for_years(environment):
    """The answer of today lists what a node said in 2013."""
    assert "2013-02-01T00:00:00Z" == of("9003", environment)["temperature"]["time"]


def test_no_time_is_the_arrival(environment):
    """An empty time is none."""
    found = of("9004", environment)["noise_level"]

    assert ["2021-06-01T19:00:00Z", "received", None] == [
        found["time"],
        found["time_source"],
        found["point"],
    ]


def test_one_bad_attribute_costs_no_sibling(environment):
    """The word among the numbers is refused alone; so is a position off the earth."""
    assert {"battery", "temperature", "illuminance"} == of("9003", environment).keys()
    assert 4 == len(of("9005", environment))
    assert [
        ("bad_number", "resources[2].ayto:noise"),
        ("bad_position", "resources[4].ayto:latitude"),
        ("no_identity", "resources[5].dc:identifier"),
        ("bad_shape", "resources[6]"),
    ] == [(line["reject"], line["path"]) for line in environment if "reject" in line]


def test_a_loop_is_its_sensor_not_its_reading(traffic):
    """`dc:identifier` is new with every reading; by it each minute would bring a new Thing."""
    assert {"santander:9101", "santander:9102"} == {
        line["thing"] for line in traffic if "thing" in line
    }


def test_load_is_an_index_beyond_a_hundred(traffic):
    """Load reaches 138 and is good; occupancy is per cent of time, flow is vehicles an hour."""
    found = of("9101", traffic)

    assert [138.0, 1, "1"] == [found["traffic_load"][k] for k in ("result", "flag", "unit")]
    assert [540.0, "veh/h"] == [found["vehicle_flow"][k] for k in ("result", "unit")]
    assert [4.0, "%"] == [found["occupancy"][k] for k in ("result", "unit")]


def test_bad_time_costs_its_resource_only(traffic):
    """Two loops are read, the third is refused with its place."""
    [refused] = [line for line in traffic if "reject" in line]

    assert ["bad_time", "resources[2].dc:modified"] == [refused["reject"], refused["path"]]
    assert 3 == len(of("9102", traffic))


def test_labels_are_ignored_by_a_rule():
    """Type and address are no measurements; `--all` lists them."""
    sent = (PAYLOADS / "santander_traffic.json").read_bytes()

    ignored = [line for line in lines("traffic", sent, everything=True) if "ignored" in line]

    assert {"resources[0].ayto:medida", "resources[0].dc:identifier", "resources[0].uri"} == {
        line["path"] for line in ignored if line["path"].startswith("resources[0]")
    }


def test_one_resource_or_a_bare_list_will_do():
    """A gateway may publish each node on its own, or many without the summary."""
    node = {"dc:identifier": 9001, "ayto:temperature": "9.5", "dc:modified": "2021-06-01T18:00:00Z"}

    [alone], [listed] = lines("environment", node), lines("environment", [node])

    assert ["santander:9001", 9.5] == [alone["thing"], alone["result"]]
    assert alone == listed


@pytest.mark.parametrize("document", [5, "text", None, {"resources": {}}, {"resources": None}])
def test_another_shape_is_refused_as_a_whole(document: object):
    """What is no list of resources is another format, or broken."""
    assert ["bad_shape"] == [line["reject"] for line in lines("environment", document)]


def test_traffic_is_not_swallowed_by_the_other_format():
    """Under the wrong format nothing is read, and that is told."""
    sent = (PAYLOADS / "santander_traffic.json").read_bytes()

    assert ["bad_shape"] * 3 == [line["reject"] for line in lines("environment", sent)]


def test_answer_without_resources_holds_nothing():
    """An empty page is no error."""
    assert [] == lines("traffic", {"summary": {"items": 0}, "resources": []})


def sample(name: str) -> bytes:
    path = read_settings().samples / "santander" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here; LIVINGLAB_SAMPLES names the folder of sample data")
    return path.read_bytes()


def test_every_node_of_a_real_answer_is_accounted_for():
    """651 nodes by four attributes: each a Reading, or told to be missing."""
    found = lines("environment", sample("environment_snapshot.json"))

    missing = Counter(line["property"] for line in found if line["result"] is None)
    temperatures = [
        line["result"] for line in found if line["property"] == "temperature" and line["result"]
    ]

    assert 651 * 4 == len(found)
    assert 651 == len({line["thing"] for line in found})
    assert {"noise_level": 592, "illuminance": 117, "temperature": 46} == missing
    assert [-50.0, 267.61] == [min(temperatures), max(temperatures)]
    assert 7 == sum(
        line["property"] == "illuminance" and (line["result"] or 0) > 130_000 for line in found
    )
    assert 338 == len({line["thing"] for line in found if not line["time"] > "2016-04-11"})
    assert all(line["point"] for line in found)
    assert all((line["flag"] == 9) == (line["result"] is None) for line in found)


def test_every_loop_of_a_real_answer_is_accounted_for():
    """482 loops by three attributes, all of one minute."""
    found = lines("traffic", sample("traffic_snapshot.json"))

    highest = {
        key: max(line["result"] for line in found if line["property"] == key)
        for key in ("occupancy", "vehicle_flow", "traffic_load")
    }

    assert 482 * 3 == len(found)
    assert 482 == len({line["thing"] for line in found})
    assert {"2021-06-01T18:43:00Z"} == {line["time"] for line in found}
    assert {"occupancy": 100, "vehicle_flow": 3_400, "traffic_load": 138} == highest
    assert all(line["unit"] == OBSERVED_PROPERTIES[line["property"]].unit for line in found)
