"""Format `sparkplug`: DATA says a number, and what it counts was said long before."""

import math
import struct
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.wire import sparkplug
from livinglab.wire.routes import Route
from livinglab.wire.sparkplug import check, decode, is_sparkplug
from tests.livinglab.hearing import Heard, refusal, survives

MS = 1_769_860_800_000
NODE = "spBv1.0/{group}/{type}/{edge}"
DEVICE = f"{NODE}/{{device}}"
ROUTE = Route(name="plant", filter=DEVICE, format="sparkplug", scheme="sparkplug")
INT8, INT16, INT32, INT64, UINT8, UINT32, FLOAT, DOUBLE, BOOL, TEXT = (
    1,
    2,
    3,
    4,
    5,
    7,
    9,
    10,
    11,
    12,
)


def at(kind: str, device: str = "mast") -> dict[str, str]:
    """Name the levels of a topic."""
    levels = {"group": "city", "type": kind, "edge": "park"}
    return levels | ({"device": device} if kind[0] == "D" else {})


def payload(*metrics: dict[str, Any], **fields: Any) -> bytes:
    """Write a payload; properties as a table."""
    told = sparkplug._payload_class()(timestamp=MS, **fields)
    for one in metrics:
        properties = one.pop("properties", {})
        metric = told.metrics.add(**one)
        for key, value in properties.items():
            metric.properties.keys.append(key.encode())
            if isinstance(value, str):
                metric.properties.values.add(string_value=value.encode())
            else:
                metric.properties.values.add(int_value=value)
    return bytes(told.SerializeToString())


def metric(name: str = "", alias: int | None = None, **fields: Any) -> dict[str, Any]:
    """Describe a metric; what is left out is not sent."""
    told = {"name": name.encode() if name else None, "alias": alias, **fields}
    return {key: value for key, value in told.items() if value is not None}


def hear(
    kind: str, *metrics: dict[str, Any], heard: Heard | None = None, **options: object
) -> Heard:
    heard = heard or Heard()
    route = Route(name="r", filter=DEVICE, format="sparkplug", scheme="s", options=options)
    decode(payload(*metrics), at(kind), route, heard)
    return heard


def test_payload_written_by_hand():
    """Numbers of the standard: timestamp 1, metrics 2; name 1, type 4, double 13."""
    name = b"\x0a\x0btemperature"
    inner = name + b"\x20\x0a" + b"\x69" + struct.pack("<d", 21.5)
    sent = b"\x08\x80\xbc\xb2\x9f\xc1\x33\x12" + bytes([len(inner)]) + inner + b"\x18\x05"

    heard = Heard()
    decode(sent, at("NBIRTH"), ROUTE, heard)

    assert [("city/park", "temperature", MS, 21.5)] == heard.all(
        "thing", "property", "time", "value"
    )


def test_data_means_what_the_birth_defined():
    """Name, type and unit are told once; after that a number must do."""
    birth = metric("temperature", 7, datatype=INT16, int_value=20, properties={"engUnit": "°C"})

    heard = hear("DBIRTH", birth)
    hear("DDATA", metric(alias=7, int_value=2**32 - 5), heard=heard)

    assert [
        ("city/park/mast", "temperature", 20.0, "°C"),
        ("city/park/mast", "temperature", -5.0, "°C"),
    ] == heard.all("thing", "property", "value", "unit")
    assert ["city/park/mast"] == list(heard.memory)


def test_name_without_a_number_has_a_type_too():
    """Aliases are optional; the type still stands in the BIRTH only."""
    heard = hear("NBIRTH", metric("temperature", datatype=INT8, int_value=1))

    hear("NDATA", metric("temperature", int_value=251), heard=heard)

    assert [1.0, -5.0] == heard.all("value")


def test_numbers_of_node_and_device_are_kept_apart():
    """A node that numbers each of its devices from zero still means different things."""
    heard = hear("NBIRTH", metric("pressure", 0, datatype=DOUBLE, double_value=1))
    hear("DBIRTH", metric("temperature", 0, datatype=DOUBLE, double_value=2), heard=heard)

    hear("NDATA", metric(alias=0, double_value=3), heard=heard)
    hear("DDATA", metric(alias=0, double_value=4), heard=heard)

    assert ["pressure", "temperature", "pressure", "temperature"] == heard.all("property")


def test_a_new_birth_forgets_the_old():
    """What it does not name again is no longer known."""
    heard = hear("NBIRTH", metric("temperature", 1, double_value=1))
    hear("NBIRTH", metric("pressure", 2, double_value=1), heard=heard)

    hear("NDATA", metric(alias=1, double_value=2), metric(alias=2, double_value=3), heard=heard)

    assert [("unknown_alias", "metrics[0]")] == heard.rejects
    assert [1.0, 1.0, 3.0] == heard.all("value")


def test_data_before_any_birth_waits_for_one():
    """The message is kept; after a rebirth it can be replayed."""
    heard = hear("DDATA", metric(alias=7, double_value=1), metric("temp", double_value=2))

    assert [("unknown_alias", "metrics[0]")] == heard.rejects
    assert 1 == heard.lost
    assert [2.0] == heard.all("value")


@pytest.mark.parametrize(
    ("datatype", "sent", "value"),
    [
        (INT8, {"int_value": 0xFB}, -5),
        (INT8, {"int_value": 0xFFFFFFFB}, -5),
        (INT16, {"int_value": 0xFFFB}, -5),
        (INT32, {"int_value": 0xFFFFFFFB}, -5),
        (INT32, {"long_value": 2**64 - 5}, -5),
        (INT64, {"long_value": 2**64 - 5}, -5),
        (INT16, {"int_value": 300}, 300),
        (UINT8, {"int_value": 0xFB}, 251),
        (UINT32, {"long_value": 0xFFFFFFFB}, 4_294_967_291),
        (FLOAT, {"float_value": 1.5}, 1.5),
        (DOUBLE, {"double_value": -1.25}, -1.25),
        (0, {"int_value": 5}, 5),
    ],
)
def test_signs_come_from_the_type(datatype: int, sent: dict[str, Any], value: float):
    """Whole numbers travel without one, in as many bits as the sender likes."""
    told = metric("temperature", 1, datatype=datatype or None, **sent)

    assert [float(value)] == hear("NBIRTH", told).all("value")


def test_large_number_without_a_type_is_not_guessed():
    """It may be minus five."""
    heard = hear("NDATA", metric("temperature", int_value=2**32 - 5))

    assert [("unknown_alias", "metrics[0]")] == heard.rejects


def test_null_is_missing():
    """The metric lives and has no value."""
    [value] = hear("NBIRTH", metric("temperature", datatype=DOUBLE, is_null=True)).all("value")

    assert math.isnan(value)


def test_metric_has_a_time_of_its_own_or_the_payloads():
    """Stored values are sent later, each with its instant."""
    heard = hear(
        "NBIRTH",
        metric("temp", double_value=1, timestamp=MS - 60_000),
        metric("rh", double_value=2),
    )

    assert [MS - 60_000, MS] == heard.all("time")


@pytest.mark.parametrize("told", [{"uuid": b"x"}, {"timestamp": 0}])
def test_no_time_at_all_is_the_arrival(told: dict[str, Any]):
    """Neither metric nor payload tells one."""
    message = sparkplug._payload_class()(**told)
    message.metrics.add(name=b"temperature", double_value=1)
    heard = Heard()

    decode(message.SerializeToString(), at("NDATA"), ROUTE, heard)

    assert [None] == heard.all("time")


def test_folders_are_channels():
    """Two thermometers of one device do not overwrite each other; a route may name one of them."""
    told = [metric(f"{side}/Temp", double_value=1) for side in ("North/Roof", "South")]
    told.append(metric("West/humidity_2", double_value=1))

    heard = hear("NBIRTH", *[dict(one) for one in told])
    named = hear("NBIRTH", *told[:2], names={"South/Temp": "temperature"})

    assert [
        ("temperature", "North/Roof"),
        ("temperature", "South"),
        ("relative_humidity", "West/2"),
    ] == heard.all("property", "channel")
    assert ["North/Roof", ""] == named.all("channel")


def test_source_may_doubt_its_value():
    """Quality 192 is good; anything else is the source's own doubt."""
    heard = hear(
        "NBIRTH",
        metric("temp", double_value=1, properties={"Quality": 192}),
        metric("temp", double_value=1, properties={"Quality": 500}),
        metric("temp", double_value=1, properties={"Quality": 0}),
        metric("temp", double_value=1),
    )

    assert [False, True, True, False] == heard.all("doubted")


def test_unit_is_told_or_unknown():
    """Without `engUnit`, or a unit in the name, nobody knows."""
    heard = hear(
        "NBIRTH",
        metric("pressure", double_value=1),
        metric("pressure_hPa", double_value=1),
        metric("pressure", double_value=1, properties={"engUnit": "kPa"}),
    )

    assert ["", "hPa", "kPa"] == heard.all("unit")


def test_route_may_make_another_id_of_the_levels():
    """What is remembered stays the sender's, whatever its Thing is called."""
    heard = Heard()
    sent = payload(metric("temperature", 1, double_value=1))

    decode(sent, at("DBIRTH") | {"thing": "mast-7"}, ROUTE, heard)

    assert ["mast-7"] == heard.all("thing")
    assert ["city/park/mast"] == list(heard.memory)


@pytest.mark.parametrize(
    "told",
    [
        metric("bdSeq", datatype=INT64, long_value=3),
        metric("Node Control/Rebirth", datatype=BOOL),
        metric("Properties/Depth", datatype=INT32, int_value=3),
        metric("temperature", datatype=TEXT),
        metric("temperature", datatype=BOOL, is_null=True),
        metric("temperature", datatype=DOUBLE),
    ],
)
def test_controls_and_texts_are_no_measurements(told: dict[str, Any]):
    """They are listed, not read."""
    heard = hear("NBIRTH", dict(told))

    assert [("no_measurement", "metrics[0]")] == heard.ignored
    assert ([], []) == (heard.readings, heard.rejects)


def test_unknown_numbers_are_refused_until_mapped():
    """Nobody can say what `flux` is but the route."""
    told = metric("flux", double_value=2)

    assert [("unknown_property", "metrics[0]")] == hear("NBIRTH", dict(told)).rejects
    assert ["battery"] == hear("NBIRTH", told, names={"flux": "battery"}).all("property")


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (metric(alias=3, double_value=1), "bad_shape"),
        (metric("temp", 2**63, double_value=1), "bad_shape"),
        ({"name": b"\xff", "double_value": 1}, "not_utf8"),
        (metric("temp", double_value=math.nan), "not_finite"),
        (metric("temp", double_value=math.inf), "not_finite"),
    ],
)
def test_one_bad_metric_costs_no_other(told: dict[str, Any], reason: str):
    """The others of the BIRTH are defined and read."""
    heard = hear("NBIRTH", dict(told), metric("humidity", 9, double_value=1))

    assert [(reason, "metrics[0]")] == heard.rejects
    assert ["relative_humidity"] == heard.all("property")
    assert 9 in heard.memory["city/park"]


def test_nameless_bytes_are_refused_in_data_too():
    """DATA with a name of no text."""
    heard = hear("NDATA", {"name": b"\xff", "double_value": 1})

    assert [("not_utf8", "metrics[0]")] == heard.rejects


@pytest.mark.parametrize("kind", ["NDEATH", "DDEATH", "NCMD", "DCMD", "STATE"])
def test_deaths_and_commands_are_no_measurements(kind: str):
    """They are passed over unread; what was defined stays defined."""
    heard = Heard(memory={"city/park": {1: "x"}})
    decode(b"\xff", at(kind), ROUTE, heard)

    assert [("no_data", kind)] == heard.ignored
    assert {"city/park": {1: "x"}} == heard.memory


@pytest.mark.parametrize(
    ("fields", "sent", "reason"),
    [
        ({"group": "city", "edge": "park"}, b"\x08\x01", "no_identity"),
        (at("NOISE"), b"\x08\x01", "bad_shape"),
        (at("NDATA") | {"device": "x"}, b"\x08\x01", "bad_shape"),
        ({"group": "city", "type": "DDATA", "edge": "park"}, b"\x08\x01", "bad_shape"),
        (at("DDATA", "a\tb"), b"\x08\x01", "bad_identity"),
        (at("NDATA"), b"", "empty"),
        (at("NDATA"), b"\x08\x01", "bad_shape"),
        (at("NDATA"), b'{"metrics":[]}', "bad_protobuf"),
        (at("NDATA"), b"\x22\x12SPBV1.0_COMPRESSED\x12\x00", "bad_shape"),
    ],
)
def test_what_is_no_payload_is_refused_as_a_whole(
    fields: Mapping[str, str], sent: bytes, reason: str
):
    """Topic and payload must both be of this format."""
    heard = Heard()

    assert reason == refusal(lambda: decode(sent, fields, ROUTE, heard))
    assert {} == heard.memory


def test_topic_tells_the_format():
    """Protobuf looks like anything."""
    assert is_sparkplug(b"", at("DDATA"))
    assert not is_sparkplug(b"", at("NOISE"))
    assert not is_sparkplug(b"", {"thing": "a"})


@pytest.mark.parametrize(
    ("filter_", "options"),
    [
        ("spBv1.0/#", {}),
        ("spBv1.0/{group}/{type}/{edge}/#", {}),
        ("spBv1.0/{group}/DDATA/{edge}/{device}", {}),
        (DEVICE, {"names": {"x": "mood"}}),
    ],
)
def test_routes_that_could_never_read_are_refused(filter_: str, options: dict[str, object]):
    """A filter must name group, type and edge, and never join several devices."""
    with pytest.raises(ValueError, match=r"levels|Property"):
        check(Route(name="r", filter=filter_, format="sparkplug", scheme="s", options=options))


@pytest.mark.parametrize("filter_", [NODE, DEVICE, f"eu/{DEVICE}"])
def test_usual_routes_are_taken(filter_: str):
    """One for the nodes, one for their devices."""
    check(Route(name="r", filter=filter_, format="sparkplug", scheme="s"))


def test_missing_package_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch):
    """Protobuf is optional; a lab without it says so at the start, and keeps what comes."""
    sent = payload(metric("temp", double_value=1))
    sparkplug._payload_class.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)

    assert "missing_package" == refusal(lambda: decode(sent, at("NDATA"), ROUTE, Heard()))
    with pytest.raises(ValueError, match=r"pip install 'livinglab\[sparkplug\]'"):
        check(ROUTE)


@given(st.binary(max_size=200), st.sampled_from(["NBIRTH", "DBIRTH", "NDATA", "DDATA"]))
def test_any_bytes_are_read_or_refused(sent: bytes, kind: str):
    """Nothing but a refusal comes out."""
    survives(decode, sent, at(kind), ROUTE)


METRICS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.binary(max_size=5) | st.just(b"temp"),
        "alias": st.integers(0, 2**64 - 1),
        "timestamp": st.integers(0, 2**64 - 1),
        "datatype": st.integers(0, 40),
        "is_null": st.booleans(),
        "int_value": st.integers(0, 2**32 - 1),
        "long_value": st.integers(0, 2**64 - 1),
        "double_value": st.floats(),
    },
)


@given(st.lists(METRICS, max_size=4), st.sampled_from(["NBIRTH", "NDATA"]))
def test_any_metrics_are_read_or_refused(metrics: list[dict[str, Any]], kind: str):
    """Nor do odd values in the right places."""
    survives(decode, payload(*metrics), at(kind), ROUTE)
