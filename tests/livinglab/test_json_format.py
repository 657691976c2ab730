"""Format `json`: any JSON, by a route that says where each fact stands."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from livinglab.errors import SettingsError
from livinglab.services.decoding import decode
from livinglab.wire.routes import Route

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
PAYLOADS = Path(__file__).parents[1] / "payloads"


def lines(
    payload: object,
    options: Mapping[str, object],
    *,
    topic: str = "x/node-1/temperature",
    filter_: str = "x/{thing}/{property}",
    timezone: str | None = None,
) -> list[dict[str, Any]]:
    sent = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    route = Route(
        name="any",
        filter=filter_,
        format="json",
        scheme="any",
        timezone=timezone,
        options=options,
    )
    return list(decode("json", sent, topic=topic, now=NOW, route=route))


def refusals(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(line["reject"], line["path"]) for line in found if "reject" in line]


GATEWAY = {
    "items": "$.readings[*]",
    "thing": "$.node",
    "property": "$.kind",
    "names": {"temp": "temperature", "NO2": "no2", "hum": "relative_humidity"},
    "value": "$.value",
    "unit": "$.unit",
    "time": "$.at",
    "lat": "$.gateway.lat",
    "lon": "$.gateway.lon",
}


def gateway() -> list[dict[str, Any]]:
    return lines((PAYLOADS / "gateway_items.json").read_bytes(), GATEWAY)


def test_each_record_of_an_array_is_a_reading():
    """Thing, property, value, unit and time stand beside each other in each record."""
    found = [line for line in gateway() if "thing" in line]

    assert [
        ("any:n1", "temperature", 12.5),
        ("any:n2", "no2", 19.125),
        ("any:n2", "temperature", None),
        ("any:n3", "relative_humidity", 54.0),
    ] == [
        (line["thing"], line["property"], line["result"] and round(line["result"], 3))
        for line in found
    ]
    assert "2026-01-01T10:30:00Z" == found[3]["time"]
    assert "received" == found[0]["time_source"]


def test_what_is_not_in_the_record_is_looked_for_in_the_document():
    """A gateway tells its position once for all."""
    assert [[6.05, 45.05]] * 4 == [line["point"] for line in gateway() if "thing" in line]


def test_each_bad_record_is_refused_alone_with_its_place():
    """An object for a value, a word nobody knows, no value at all, no Thing."""
    assert [
        ("bad_number", "readings[3].value"),
        ("unknown_property", "readings[5].value"),
        ("bad_shape", "readings[6]"),
        ("no_identity", "readings[7]"),
    ] == refusals(gateway())


def test_items_may_be_the_list_itself():
    """With or without `[*]`, the records are the same."""
    sent = (PAYLOADS / "gateway_items.json").read_bytes()

    assert gateway() == lines(sent, {**GATEWAY, "items": "readings"})


FLAT = {
    "thing": "dev",
    "time": "local_time",
    "properties": {
        "temperature": "t_out",
        "relative_humidity": "rh",
        "pressure": "baro.pa",
        "wind_speed": "wind",
        "precipitation": "rain",
        "no2": "no2",
    },
    "units": {"pressure": "Pa", "wind_speed": "km/h"},
}


def test_a_table_names_the_path_of_every_property():
    """One message of a weather station: absent is skipped, null is missing, a word refused."""
    sent = (PAYLOADS / "weather_flat.json").read_bytes()

    found = lines(sent, FLAT, timezone="Europe/Paris")

    assert {
        "temperature": (21.5, 1),
        "relative_humidity": (61.0, 1),
        "pressure": (1_013.25, 1),
        "wind_speed": (None, 9),
    } == {line["property"]: (line["result"], line["flag"]) for line in found if "thing" in line}
    assert [("bad_number", "rain")] == refusals(found)
    assert {"any:17"} == {line["thing"] for line in found if "thing" in line}
    assert {"2026-07-01T10:00:00Z"} == {line["time"] for line in found if "thing" in line}


def test_a_local_time_needs_the_zone_of_its_route():
    """Without one the whole record is refused: every value of it would be at the wrong time."""
    found = lines((PAYLOADS / "weather_flat.json").read_bytes(), FLAT)

    assert [("no_timezone", "")] == refusals(found)


def test_the_topic_may_tell_thing_and_property():
    """Then the payload need not; it may even be the value itself."""
    [deep] = lines({"state": {"now": 21.5}}, {"value": "$.state.now"})
    [bare] = lines(21.5, {"value": "$"})

    assert ["any:node-1", "temperature", 21.5] == [
        deep[key] for key in ("thing", "property", "result")
    ]
    assert {**bare, "raw": {"value": 21.5, "unit": None}} == deep


def test_a_unit_that_is_named_but_absent_is_unknown():
    """Where the source should say its unit and does not, nothing can be compared."""
    [line] = lines({"v": 21.5}, {"value": "v", "unit": "u"})

    assert [21.5, None, 2] == [line["result"], line["unit"], line["flag"]]


def test_two_values_at_one_path_are_not_chosen_from():
    """The route must say what it means; its other values are read."""
    options = {"properties": {"temperature": "$.a[*]", "no2": "$.b"}}

    found = lines({"a": [1, 2], "b": 3}, options)

    assert [("bad_shape", "a[*]")] == refusals(found)
    assert ["no2"] == [line["property"] for line in found if "thing" in line]


@pytest.mark.parametrize("document", [5, "[1]", None, {}, {"readings": {}}, {"readings": 3}])
def test_nothing_where_the_route_looks(document: object):
    """A document of another shape is refused, whatever it is."""
    found = lines(document, GATEWAY)

    assert ["bad_shape"] == [line["reject"] for line in found]


@pytest.mark.parametrize(
    ("options", "filter_"),
    [
        ({}, "x/{thing}/{property}"),
        ({"value": "$.["}, "x/{thing}/{property}"),
        ({"value": "$.v", "properties": {"no2": "$.n"}}, "x/{thing}/{property}"),
        ({"value": "$.v"}, "x/{thing}"),
        ({"value": "$.v"}, "x/{property}"),
        ({"properties": {"mood": "$.m"}}, "x/{thing}"),
        ({"properties": {"no2": "$.["}}, "x/{thing}"),
        ({"value": "$.v", "names": {"x": "mood"}}, "x/{thing}/{property}"),
        ({"value": 5}, "x/{thing}/{property}"),
        ({"properties": ["no2"]}, "x/{thing}"),
        ({"value": "$.v", "vlaue": "$.v"}, "x/{thing}/{property}"),
    ],
)
def test_options_that_cannot_work_stop_the_start(options: dict[str, object], filter_: str):
    """A typing error in a path or a property is told before the first message."""
    with pytest.raises(SettingsError, match="route any"):
        lines({}, options, filter_=filter_)
