"""Format `ttn`: three clocks, none of them the device's, and names that somebody chose."""

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.config import read_settings
from livinglab.wire.routes import Route
from livinglab.wire.ttn import check, decode, is_ttn
from tests.livinglab.hearing import Heard, refusal, survives

ROUTE = Route(name="ttn", filter="v3/#", format="ttn", scheme="ttn")
GATEWAY, NETWORK, APPLICATION = (
    "2026-01-31T12:00:00.787Z",
    "2026-01-31T12:00:00.789585559Z",
    "2026-01-31T12:00:01.014773143Z",
)
MS = 1_769_860_800_000
IDS = {"device_id": "bench-7", "dev_eui": "70b3d57ed0000001"}


def message(**changes: object) -> dict[str, Any]:
    """Make an uplink; a change to None leaves the field out."""
    uplink: dict[str, object] = {
        "f_cnt": 7,
        "frm_payload": "gkHe",
        "decoded_payload": {"temperature": 21.5},
        "rx_metadata": [{"time": GATEWAY, "rssi": -35}],
        "received_at": NETWORK,
    }
    left = {key: value for key, value in (uplink | changes).items() if value is not None}
    return {"end_device_ids": IDS, "received_at": APPLICATION, "uplink_message": left}


def hear(told: object, **options: object) -> Heard:
    heard = Heard()
    route = Route(name="ttn", filter="v3/#", format="ttn", scheme="ttn", options=options)
    decode(told if isinstance(told, bytes) else orjson.dumps(told), {}, route, heard)
    return heard


def values(**decoded: object) -> Heard:
    return hear(message(decoded_payload=decoded))


def test_uplink_is_a_reading_of_its_device():
    """Who, what, when: the rest of an uplink is about the radio."""
    [reading] = hear(message()).readings

    assert ("70B3D57ED0000001", "temperature", MS + 787, 21.5) == tuple(
        reading[key] for key in ("thing", "property", "time", "value")
    )


@pytest.mark.parametrize(
    ("ids", "thing"),
    [
        (IDS, "70B3D57ED0000001"),
        ({"device_id": "d", "application_ids": {"application_id": "a"}}, "a/d"),
        ({"device_id": "d"}, "d"),
        ({"device_id": "d", "dev_eui": ""}, "d"),
    ],
)
def test_eui_is_the_identity_and_names_are_the_next_best(ids: dict[str, object], thing: str):
    """The name of a device is its own in its application only."""
    assert [thing] == hear({**message(), "end_device_ids": ids}).all("thing")


@pytest.mark.parametrize("ids", [{}, {"device_id": ""}, {"dev_eui": [1]}, [], None])
def test_nobodys_uplink_is_refused(ids: object):
    """A value without a device is no Reading."""
    told = {**message(), "end_device_ids": ids}

    assert "no_identity" == refusal(lambda: hear(told))


@pytest.mark.parametrize(
    ("changes", "after", "source"),
    [
        ({}, 787, "payload"),
        ({"rx_metadata": [{"rssi": 1}, {"time": GATEWAY}]}, 787, "payload"),
        ({"rx_metadata": [{"time": NETWORK, "gps_time": GATEWAY}]}, 787, "payload"),
        ({"rx_metadata": [{"time": NETWORK}, {"gps_time": GATEWAY}]}, 787, "payload"),
        ({"rx_metadata": [{"rssi": -35}]}, 789, "network"),
        ({"rx_metadata": None}, 789, "network"),
        ({"rx_metadata": "none"}, 789, "network"),
        ({"rx_metadata": [{"time": "0001-01-01T00:00:00Z"}]}, 789, "network"),
        ({"rx_metadata": [{"time": "1970-01-01T00:12:00Z"}]}, 789, "network"),
        ({"rx_metadata": None, "received_at": None}, 1_014, "network"),
    ],
)
def test_the_nearest_clock_tells_the_time(changes: dict[str, object], after: int, source: str):
    """Gateway before network before application; a clock that was never set tells nothing.

    Up to nine decimals come; what is below a millisecond is cut off.
    """
    assert [(MS + after, source)] == hear(message(**changes)).all("time", "time_source")


def test_no_clock_at_all_is_the_arrival():
    """Then only we know."""
    told = message(rx_metadata=None, received_at=None)
    del told["received_at"]

    assert [(None, "received")] == hear(told).all("time", "time_source")


def test_unreadable_clock_costs_no_reading():
    """The next one is asked, and the bad one is told."""
    heard = hear(message(rx_metadata=[{"time": "noon"}]))

    assert [MS + 789] == heard.all("time")
    assert ([("bad_time", "uplink_message.rx_metadata[0].time")], 0) == (heard.rejects, heard.lost)


def test_names_are_read_as_words():
    """Formatters write as they like, and number their sensors."""
    heard = values(
        Temp=1, humidity=2, luminosity=3, pm2_5=4, relative_humidity_3=5, air={"temperature": 6}
    )

    assert [
        ("temperature", ""),
        ("relative_humidity", ""),
        ("illuminance", ""),
        ("pm25", ""),
        ("relative_humidity", "3"),
        ("temperature", "air"),
    ] == heard.all("property", "channel")


def test_unit_is_told_or_unknown():
    """0.64 of luminosity may be anything; a name or a neighbour may say more."""
    decoded = {"luminosity": 0.64, "co2_ppm": 400, "temp": {"value": 70, "unit": "°F"}}

    assert ["", "ppm", "°F"] == values(**decoded).all("unit")


def test_absent_is_neither_missing_nor_zero():
    """What a formatter leaves out makes no Reading; null and nought do."""
    temperature, humidity = values(temperature=None, humidity=0).all("value")

    assert math.isnan(temperature)
    assert 0.0 == humidity


def test_unknown_numbers_are_refused_until_mapped():
    """A measurement that nobody reads would be lost in silence; text and switches are none."""
    decoded = {"depth": 1.5, "list": [1], "status": "ok", "open": True, "note": None}

    heard = hear(message(decoded_payload=decoded))
    mapped = hear(message(decoded_payload={"depth": 1.5}), names={"depth": "precipitation"})

    start = "uplink_message.decoded_payload"
    assert [
        ("unknown_property", f"{start}.depth"),
        ("unknown_property", f"{start}.list"),
    ] == heard.rejects
    assert [f"{start}.{name}" for name in ("status", "open", "note")] == [
        path for rule, path in heard.ignored if rule == "no_measurement"
    ]
    assert [("precipitation", 1.5)] == mapped.all("property", "value")


@pytest.mark.parametrize(
    ("value", "reason"), [("n/a", "bad_number"), (False, "bad_number"), ("inf", "not_finite")]
)
def test_one_bad_value_costs_no_sibling(value: object, reason: str):
    """The others of the uplink are as good as before."""
    heard = values(temperature=value, humidity=40)

    assert [(reason, "uplink_message.decoded_payload.temperature")] == heard.rejects
    assert ["relative_humidity"] == heard.all("property")


def test_registered_place_is_the_point():
    """The registry of the stack knows where a device was put up."""
    user = {"latitude": 43.4, "longitude": -3.8, "altitude": 10, "source": "SOURCE_REGISTRY"}

    assert [(-3.8, 43.4)] == hear(message(locations={"user": user})).all("point")


def test_device_knows_better_where_it_is():
    """A tracker tells its position in the payload; a position of some time ago is not taken."""
    user = {"latitude": 43.4, "longitude": -3.8}
    decoded = {"temperature": 1, "gps_1": {"latitude": 43.5, "longitude": -3.9, "altitude": 7}}

    moving = hear(message(decoded_payload=decoded, locations={"user": user}))
    stale = hear(message(locations={"frm-payload": user}))

    assert [(-3.9, 43.5)] == moving.all("point")
    assert [] == moving.rejects
    assert [None] == stale.all("point")


@pytest.mark.parametrize(
    ("user", "path"),
    [
        ({"latitude": 91, "longitude": 0}, "uplink_message.locations.user.longitude"),
        ({"latitude": 43}, "uplink_message.locations.user.latitude"),
    ],
)
def test_bad_position_costs_no_reading(user: object, path: str):
    """Only where it was measured is unknown."""
    heard = hear(message(locations={"user": user}))

    assert ([("bad_position", path)], 0) == (heard.rejects, heard.lost)
    assert [None] == heard.all("point")


def test_frame_counter_is_listed_so_that_gaps_show():
    """Zero is left out by the stack, and is zero."""
    assert [("f_cnt", "uplink_message.f_cnt=7")] == hear(message()).ignored
    assert [("f_cnt", "uplink_message.f_cnt=0")] == hear(message(f_cnt=None)).ignored


def test_warnings_of_the_formatter_are_listed():
    """They speak of the message as a whole, so no single value is doubted."""
    heard = hear(message(decoded_payload_warnings=["battery low"]))

    assert ("warned", "uplink_message.decoded_payload_warnings") in heard.ignored
    assert [False] == heard.all("doubted")


@pytest.mark.parametrize(
    "event", [{"join_accept": {}}, {"downlink_ack": {}}, {"location_solved": {}}]
)
def test_joins_and_downlinks_are_no_measurements(event: dict[str, object]):
    """They come under the same filter."""
    heard = hear({"end_device_ids": IDS, **event})

    assert ([("no_uplink", "")], []) == (heard.ignored, heard.readings)


def test_simulated_uplinks_measure_nothing():
    """Somebody tried the console; no air was involved."""
    heard = hear({**message(), "simulated": True})

    assert ([("simulated", "simulated")], []) == (heard.ignored, heard.readings)


def test_undecoded_bytes_are_refused_as_a_whole():
    """Without a payload formatter there are no values to read."""
    told = message(decoded_payload=None)

    assert "no_decoded_payload" == refusal(lambda: hear(told))


def test_uplink_without_payload_is_a_sign_of_life():
    """Frames that carry only commands of the network have nothing to decode."""
    heard = hear(message(decoded_payload=None, frm_payload=None))

    assert ("no_payload", "uplink_message") in heard.ignored
    assert ([], []) == (heard.readings, heard.rejects)


@pytest.mark.parametrize(
    "told",
    [[], 5, {}, {"uplink_message": 5}, {"end_device_ids": IDS}, message(decoded_payload=[1])],
)
def test_another_shape_is_refused_as_a_whole(told: object):
    """What is no message of the stack is another format, or broken."""
    assert "bad_shape" == refusal(lambda: hear(told))


def test_messages_can_be_told_from_other_documents():
    """All of them begin with the ids of a device."""
    assert is_ttn(message(), {})
    assert not is_ttn({"uplink_message": {}}, {})
    assert not is_ttn([], {})


def test_options_must_name_properties():
    """A slip in the city file is found before the first message."""
    with pytest.raises(ValueError, match="mood"):
        check(
            Route(name="r", filter="#", format="ttn", scheme="s", options={"names": {"x": "mood"}})
        )


def test_published_uplink_is_read():
    """The example of the documentation: two values, one Place, the gateway's time."""
    path = read_settings().samples / "payloads" / "ttn" / "uplink.json"
    if not path.is_file():
        pytest.skip(f"{path} is not here; LIVINGLAB_SAMPLES names the folder of sample data")

    heard = hear(path.read_bytes())

    assert [("temperature", 1.0), ("illuminance", 0.64)] == heard.all("property", "value")
    assert {("0004A30B001C0530", 1_581_520_545_787, "payload", "")} == set(
        heard.all("thing", "time", "time_source", "unit")
    )
    assert {(23.72678801175413, 37.97155556731436)} == set(heard.all("point"))
    assert ([("f_cnt", "uplink_message.f_cnt=1")], []) == (heard.ignored, heard.rejects)
    assert is_ttn(orjson.loads(path.read_bytes()), {})


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["value", "unit", "temp", "lat", "lon", "user"]), inner)
    ),
    max_leaves=4,
)


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(payload: bytes):
    """Nothing but a refusal comes out."""
    survives(decode, payload, {}, ROUTE)


@given(
    st.dictionaries(
        st.sampled_from(
            ["decoded_payload", "rx_metadata", "received_at", "locations", "f_cnt", "frm_payload"]
        ),
        VALUES,
    )
)
def test_any_uplink_is_read_or_refused(uplink: dict[str, object]):
    """Nor do odd values in the right places."""
    survives(decode, orjson.dumps(message(**uplink)), {}, ROUTE)
