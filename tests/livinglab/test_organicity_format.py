"""Format `organicity`: it looks like NGSI, and means other things."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given

from livinglab.config import read_settings
from livinglab.domain.geometry import Point
from livinglab.domain.readings import Flag
from livinglab.services.decoding import decode as as_lines
from livinglab.wire.organicity import decode, is_organicity
from livinglab.wire.routes import Route
from livinglab.wire.sinks import UNKNOWN_UNIT
from tests.livinglab.hearing import RECEIVED, Heard, survives
from tests.livinglab.test_ngsi_format import ANYTHING

ROUTE = Route(name="oc", filter="oc/#", format="organicity", scheme="organicity")
NOW = datetime.fromtimestamp(RECEIVED / 1_000, UTC)
SAMPLES = read_settings().samples / "payloads" / "organicity"
PER_MINUTE = {"unit": {"type": "urn:oc:dataType:string", "value": "urn:oc:uom:vehiclesPerMinute"}}


def asset(**attributes: Any) -> dict[str, Any]:
    """Write an asset."""
    return {
        "id": "urn:oc:entity:town:traffic:fixed:1",
        "type": "urn:oc:entityType:iotdevice:vehicleCounter",
        "TimeInstant": {"type": "ISO8601", "value": "2017-02-01T09:00:00.000Z", "metadata": {}},
        **attributes,
    }


def heard(told: object) -> Heard:
    found = Heard()
    decode(orjson.dumps(told), {}, ROUTE, found)
    return found


def test_positions_are_longitude_first_in_both_forms():
    """The text "lon,lat" is the other way round than in NGSI-v2."""
    text = {"type": "geo:point", "value": "-3.80111,43.40222", "metadata": {}}
    shape = {"type": "geo:json", "value": {"type": "Point", "coordinates": [-3.8, 43.4]}}
    level = {"type": "x", "value": "48.25", "metadata": {}}

    def point(location: object) -> object:
        told = asset(**{"location": location, "soundPressureLevel:ambient": level})
        return heard(told).readings[0]["point"]

    assert Point(-3.80111, 43.40222) == point(text)
    assert Point(-3.8, 43.4) == point(shape)


def test_numbers_may_be_text_and_a_score_is_none():
    """`reputation` is -1 until it is computed, and no measurement afterwards."""
    found = heard(
        asset(
            **{
                "soundPressureLevel:ambient": {"type": "x", "value": "48.25", "metadata": {}},
                "reputation": {"type": "y", "value": -1, "metadata": {}},
            }
        )
    )

    assert [("noise_level", 48.25, UNKNOWN_UNIT)] == found.all("property", "value", "unit")
    assert [("no_measurement", "reputation")] == found.ignored


def test_switches_are_no_numbers():
    """One that claims to be a level is refused, and costs no sibling."""
    found = heard(
        asset(
            **{
                "soundPressureLevel:ambient": {"type": "x", "value": True, "metadata": {}},
                "temperature:ambient": {"type": "x", "value": "21.5", "metadata": {}},
            }
        )
    )

    assert [("bad_number", "soundPressureLevel:ambient")] == found.rejects
    assert [("temperature", 21.5)] == found.all("property", "value")


def test_a_notification_of_assets_is_told_from_one_of_entities():
    """Taken for NGSI, its Things would stand in the Indian Ocean, and measure nothing."""
    told = asset(
        **{
            "location": {"type": "geo:point", "value": "-3.80111,43.40222"},
            "soundPressureLevel:ambient": {"type": "x", "value": "48.25"},
        }
    )
    written = orjson.dumps({"subscriptionId": "1", "data": [told]})
    guessed, line = as_lines("auto", written, now=NOW)

    assert {"format": "organicity"} == guessed
    assert ("noise_level", [-3.80111, 43.40222]) == (line["property"], line["point"])


def test_an_unreadable_time_costs_only_what_it_dates():
    """An attribute that tells its own is kept."""
    own = {"TimeInstant": {"type": "ISO8601", "value": "2017-02-01T09:00:00.000Z"}}
    found = heard(
        asset(
            TimeInstant={"type": "ISO8601", "value": "lately"},
            trafficIntensity={"type": "x", "value": 12, "metadata": own},
            roadLoad={"type": "x", "value": 9, "metadata": {}},
        )
    )

    assert ["vehicle_flow"] == found.all("property")
    assert ([("bad_time", "TimeInstant")], 1) == (found.rejects, found.lost)


def test_a_unit_that_contradicts_its_name_is_flagged_and_never_repaired():
    """An occupancy in vehicles a minute is suspect; an intensity in it is converted."""
    payload = orjson.dumps(
        asset(
            roadOccupancy={"type": "x", "value": 5.5, "metadata": PER_MINUTE},
            trafficIntensity={"type": "y", "value": 12, "metadata": PER_MINUTE},
        )
    )
    lines = list(as_lines("organicity", payload, now=NOW))

    assert [
        ("occupancy", 5.5, None, Flag.SUSPECT),
        ("vehicle_flow", 720.0, "veh/h", Flag.GOOD),
    ] == [(one["property"], one["result"], one["unit"], one["flag"]) for one in lines]


def test_an_intensity_without_unit_stays_what_it_is():
    """Another asset tells it per minute; nobody knows this one."""
    [line] = as_lines(
        "organicity",
        orjson.dumps(asset(trafficIntensity={"type": "y", "value": 150, "metadata": {}})),
        now=NOW,
    )

    assert (150.0, None, Flag.NOT_EVALUATED) == (line["result"], line["unit"], line["flag"])


@pytest.mark.skipif(not SAMPLES.exists(), reason=f"{SAMPLES} is not on this machine")
@pytest.mark.parametrize(
    ("name", "readings"),
    [
        ("vehicle_count_sensors", 2),
        ("magnetic_loops", 3),
        ("underground_car_parkings", 0),
        ("noise_repeaters", 1),
    ],
)
def test_published_assets(name, readings):
    """Every one stands somewhere, and nothing is refused."""
    payload = (SAMPLES / f"{name}.json").read_bytes()
    found = Heard()
    decode(payload, {}, ROUTE, found)

    assert is_organicity(orjson.loads(payload), {})
    assert readings == len(found.readings)
    assert [] == found.rejects
    assert all(one["point"] is not None for one in found.readings)


@given(ANYTHING)
def test_anything_is_read_or_refused(told: object):
    """Whatever stands in JSON: Readings, refusals, or one refusal of the whole."""
    survives(decode, orjson.dumps(told), {}, ROUTE)
