"""Format `ngsi`: one entity has many forms, and the forms contradict each other."""

import math
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.domain.geometry import Point
from livinglab.domain.readings import Flag
from livinglab.services.decoding import decode as as_lines
from livinglab.wire.ngsi import decode, is_ngsi
from livinglab.wire.routes import Route
from livinglab.wire.sinks import UNKNOWN_UNIT
from tests.livinglab.hearing import Heard, refusal, survives

ROUTE = Route(name="ngsi", filter="ngsi/#", format="ngsi", scheme="ngsi", timezone="Europe/Madrid")
NOON_MS = 1_767_265_200_000  # 2026-01-01T11:00:00Z
NOON = "2026-01-01T11:00:00Z"
BARE = {"id": "station-7", "type": "AirQualityObserved"}

KEY_VALUES = {
    "id": "station-7",
    "type": "AirQualityObserved",
    "dateObserved": NOON,
    "temperature": 12.5,
    "no2": 41,
    "location": {"type": "Point", "coordinates": [-3.71, 40.42]},
}
NORMALIZED = {
    "id": "station-7",
    "type": "AirQualityObserved",
    "dateObserved": {"type": "DateTime", "value": NOON},
    "temperature": {"type": "Number", "value": 12.5},
    "no2": {"type": "Number", "value": 41, "metadata": {"unitCode": {"value": "GQ"}}},
    "location": {"type": "geo:json", "value": {"type": "Point", "coordinates": [-3.71, 40.42]}},
}
LINKED = {
    "id": "station-7",
    "type": "AirQualityObserved",
    "dateObserved": {"type": "Property", "value": {"@type": "DateTime", "@value": NOON}},
    "temperature": {"type": "Property", "value": 12.5, "observedAt": "2026-01-01T10:59:00Z"},
    "no2": {"type": "Property", "value": 41, "unitCode": "GQ"},
    "location": {
        "type": "GeoProperty",
        "value": {"type": "Point", "coordinates": [-3.71, 40.42]},
    },
    "refDevice": {"type": "Relationship", "object": "urn:ngsi-ld:Device:1"},
    "@context": ["https://nowhere.example/context.jsonld"],
}


def heard(told: Any, route: Route = ROUTE) -> Heard:
    found = Heard()
    decode(orjson.dumps(told), {}, route, found)
    return found


@pytest.mark.parametrize(
    ("form", "unit", "at"),
    [(KEY_VALUES, UNKNOWN_UNIT, 0), (NORMALIZED, "GQ", 0), (LINKED, "GQ", 60_000)],
    ids=["key-values", "normalized", "linked data"],
)
def test_every_form_tells_the_same(form, unit, at):
    """Only the unit of a gas depends on it: key-values leave it out. Nothing is fetched."""
    found = heard(form)

    assert [("temperature", 12.5, "Cel"), ("no2", 41.0, unit)] == found.all(
        "property", "value", "unit"
    )
    assert [NOON_MS - at, NOON_MS] == found.all("time")
    assert {"station-7"} == set(found.all("thing"))
    assert [Point(-3.71, 40.42)] * 2 == found.all("point")
    assert [] == found.rejects


def test_a_notification_holds_many_entities():
    """Orion sends them so; one without id costs no other."""
    found = heard(
        {"subscriptionId": "1", "data": [KEY_VALUES, {"type": "X", "no2": 1}, NORMALIZED]}
    )

    assert 4 == len(found.readings)
    assert [("no_identity", "data[1].id")] == found.rejects


def test_an_id_that_names_the_observation_is_cut():
    """Else each hour would introduce another Thing."""
    local = "2025-03-15T10:00:00"
    found = heard(KEY_VALUES | {"id": f"Town-17-{local}", "dateObserved": local})

    assert {"Town-17"} == set(found.all("thing"))


def test_a_time_without_zone_takes_the_routes():
    """Never the server's; without one in the route it is refused, and costs all that it dates."""
    local = KEY_VALUES | {"dateObserved": "2026-01-01T12:00:00"}
    nowhere = Route(name="n", filter="#", format="ngsi", scheme="ngsi")

    assert {NOON_MS} == set(heard(local).all("time"))
    assert [("no_timezone", "dateObserved")] == heard(local, nowhere).rejects
    assert 2 == heard(local, nowhere).lost


@pytest.mark.parametrize(
    "told",
    [
        {"dateObserved": "2026-01-01T12:00:00/2026-01-01T12:05:00"},
        {
            "dateObserved": "2025-01-01T12:00:00/2025-01-01T12:05:00",
            "dateObservedFrom": NOON,
            "dateObservedTo": "2026-01-01T11:05:00Z",
        },
    ],
    ids=["one text", "from and to win"],
)
def test_an_interval_counts_from_its_start(told):
    """Five minutes, stored at the first; where both are told, the one with a zone wins."""
    found = heard({"id": "lane", "type": "TrafficFlowObserved", "occupancy": 0.4} | told)

    assert [(NOON_MS, 300.0, 0.4, "1")] == found.all("time", "interval_s", "value", "unit")


def test_a_bad_end_costs_the_length_alone():
    """When it began is known; how long it took is refused visibly."""
    told = BARE | {"dateObservedFrom": NOON, "dateObservedTo": "later", "no2": 41}
    found = heard(told)

    assert [(NOON_MS, None)] == found.all("time", "interval_s")
    assert ([("bad_time", "dateObservedTo")], 0) == (found.rejects, found.lost)


@pytest.mark.parametrize(
    "attribute",
    [
        {"type": "Property", "value": 41, "observedAt": NOON},
        {"type": "Number", "value": 41, "metadata": {"timestamp": {"value": NOON}}},
        {"type": "Number", "value": 41, "metadata": {"TimeInstant": {"value": NOON}}},
    ],
    ids=["observedAt", "timestamp", "TimeInstant"],
)
def test_an_attributes_own_time_comes_first(attribute):
    """That of the entity may be another, or unreadable: it dates the other attributes alone."""
    hour_ago = heard(BARE | {"dateObserved": "2026-01-01T10:00:00Z", "no2": attribute, "no": 5})
    unreadable = heard(BARE | {"dateObserved": "lately", "no2": attribute, "no": 5})
    alone = heard(BARE | {"dateObserved": "lately", "no2": attribute})

    assert [NOON_MS, NOON_MS - 3_600_000] == hour_ago.all("time")
    assert [("no2", NOON_MS)] == unreadable.all("property", "time")
    assert ([("bad_time", "dateObserved")], 1) == (unreadable.rejects, unreadable.lost)
    assert ([("bad_time", "dateObserved")], 0) == (alone.rejects, alone.lost)


@pytest.mark.parametrize(
    "told",
    [
        {"TimeInstant": {"type": "DateTime", "value": NOON}},
        {"dateObserved": "", "TimeInstant": NOON},
        {"dateObserved": {"type": "DateTime", "value": None}, "TimeInstant": NOON},
        {"dateObservedFrom": "", "dateObserved": NOON},
    ],
)
def test_an_empty_time_tells_nothing(told):
    """The next one counts before the arrival does."""
    assert [NOON_MS] == heard(BARE | told | {"no2": 41}).all("time")


def test_missing_is_no_zero():
    """A null is a Reading that is missing; NaN is no JSON."""
    found = heard(BARE | {"no2": None, "no": {"type": "Number", "value": None}})

    assert ["no2", "no"] == found.all("property")
    assert all(math.isnan(value) for value in found.all("value"))
    assert "bad_json" == refusal(lambda: decode(b'{"id":"x","no2":NaN}', {}, ROUTE, Heard()))


def test_a_fraction_beyond_one_is_failed_and_never_repaired():
    """The models say 0 to 1: whoever sends 54 is read as he writes, unless he names per cent."""
    written = orjson.dumps(
        BARE
        | {
            "dateObserved": NOON,
            "relativeHumidity": 54,
            "occupancy": {"type": "Property", "value": 76, "unitCode": "P1"},
        }
    )
    lines = list(as_lines("ngsi", written, now=datetime(2026, 1, 2, tzinfo=UTC)))

    assert [
        ("relative_humidity", 5_400.0, "%", Flag.FAIL),
        ("occupancy", 76.0, "%", Flag.GOOD),
    ] == [(one["property"], one["result"], one["unit"], one["flag"]) for one in lines]


def test_milligrams_and_micrograms_are_told_by_their_codes():
    """Where the code is null, the metadata have the word."""
    written = orjson.dumps(
        BARE
        | {
            "dateObserved": NOON,
            "co": {"type": "Number", "value": 2, "metadata": {"unitCode": {"value": "GP"}}},
            "no2": {"type": "Property", "value": 0.05, "unitCode": "GP"},
            "no": {"value": 41, "unitCode": None, "metadata": {"unitCode": {"value": "GQ"}}},
        }
    )
    lines = list(as_lines("ngsi", written, now=datetime(2026, 1, 2, tzinfo=UTC)))

    assert [("co", 2.0, "mg/m3"), ("no2", 50.0, "ug/m3"), ("no", 41.0, "ug/m3")] == [
        (one["property"], one["result"], one["unit"]) for one in lines
    ]


def test_an_id_is_kept_whole():
    """What linked data put before it is part of it."""
    name = "urn:ngsi-ld:AirQualityObserved:station-7"

    assert {name} == set(heard(KEY_VALUES | {"id": name}).all("thing"))


def test_an_entity_may_have_an_attribute_called_data():
    """Only what names a subscription, or no id, is a notification."""
    found = heard(KEY_VALUES | {"data": [1, 2]})
    linked = heard({"id": "n", "type": "Notification", "subscriptionId": "1", "data": [LINKED]})

    assert (2, []) == (len(found.readings), found.rejects)
    assert (2, []) == (len(linked.readings), linked.rejects)


def test_a_line_is_known_by_its_middle_corner():
    """A road needs one Place; an area is nowhere in particular."""
    line = {"type": "LineString", "coordinates": [[-4.7, 41.6], [-4.6, 41.7], [-4.5, 41.8]]}
    area = {"type": "Polygon", "coordinates": [[[-4.7, 41.6], [-4.6, 41.7], [-4.7, 41.6]]]}

    assert {Point(-4.6, 41.7)} == set(heard(KEY_VALUES | {"location": line}).all("point"))
    assert {None} == set(heard(KEY_VALUES | {"location": area}).all("point"))


def test_a_geo_point_is_latitude_first():
    """NGSI-v2 writes "lat,lon"; a bad position costs no Reading."""
    place = {"type": "geo:point", "value": "40.42, -3.71"}
    nowhere = {"type": "geo:point", "value": "440.42, -3.71"}

    assert {Point(-3.71, 40.42)} == set(heard(NORMALIZED | {"location": place}).all("point"))
    found = heard(NORMALIZED | {"location": nowhere})
    assert ([("bad_position", "location")], 0, 2) == (
        found.rejects,
        found.lost,
        len(found.readings),
    )


def test_what_is_no_measurement_and_what_nobody_knows():
    """Descriptions are passed over, a number that nobody knows is visible, a switch is none."""
    told = {"reliability": 0.9, "laneId": 1, "source": "x", "pm4": 33, "precipitation": False}
    found = heard(KEY_VALUES | told)

    assert {"reliability", "laneId", "source"} == {path for _, path in found.ignored}
    assert [("unknown_property", "pm4"), ("bad_number", "precipitation")] == found.rejects
    assert 2 == len(found.readings)


def test_names_of_the_route_map_what_nobody_knows():
    """Whoever runs the station knows what it means."""
    route = Route(
        name="n", filter="#", format="ngsi", scheme="ngsi", options={"names": {"pm4": "pm10"}}
    )

    assert "pm10" in heard(KEY_VALUES | {"pm4": 33}, route).all("property")


def test_several_instances_of_an_attribute_are_channels():
    """NGSI-LD tells two sensors of a kind by data set."""
    twice = [
        {"type": "Property", "value": 1, "datasetId": "urn:ngsi-ld:Dataset:north"},
        {"type": "Property", "value": 2, "datasetId": "urn:ngsi-ld:Dataset:south"},
    ]
    found = heard(LINKED | {"no2": twice, "temperature": {"type": "Property", "value": 3}})

    assert [("", 3.0), ("north", 1.0), ("south", 2.0)] == sorted(found.all("channel", "value"))
    assert [""] == heard(BARE | {"no2": {"value": 1, "datasetId": None}}).all("channel")


def test_what_is_no_entity():
    """Numbers are none; lists of lists neither."""
    assert "bad_shape" == refusal(lambda: heard(7))
    assert [("bad_shape", "[0]")] == heard([[1]]).rejects
    assert is_ngsi(KEY_VALUES, {})
    assert not is_ngsi({"id": "x", "type": "y"}, {})
    assert not is_ngsi([], {})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=6) | st.just(NOON),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*KEY_VALUES, "value", "data", "metadata", "unitCode", "observedAt"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(ANYTHING)
def test_anything_is_read_or_refused(told: object):
    """Whatever stands in JSON: Readings, refusals, or one refusal of the whole."""
    survives(decode, orjson.dumps(told), {}, ROUTE)
