"""Decoders: whatever comes, from whatever topic, ends in lines or in a refusal; nothing breaks."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from livinglab.domain.geometry import Point
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.services.decoding import decode
from livinglab.wire.decoders import FORMATS, usual_route
from livinglab.wire.layouts import layout_named
from livinglab.wire.reasons import REASONS
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Undecodable
from livinglab.wire.table import Table
from livinglab.wire.topics import Router

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
OPTIONS = {
    "items": "$.resources[*]",
    "thing": "$.t",
    "time": "$..t",
    "lat": "lat",
    "lon": "lon",
    "property": "u",
    "value": "$.v",
    "unit": "$.u",
}
COLUMNS = ["thing", "property", "time", "value", "unit", "flag", "lon", "lat"]
ROUTES = {
    "lab": Route(
        name="lab",
        filter="lab/{thing}/{property}",
        format="lab",
        scheme="lab",
        timezone="Europe/Madrid",
    ),
    "json": Route(name="json", filter="json/#", format="json", scheme="json", options=OPTIONS),
    "table": Route(
        name="table",
        filter="table/#",
        format="table",
        scheme="table",
        options={"table": Table.bind(layout_named("long"), COLUMNS)},
    ),
}
for name in FORMATS.keys() - ROUTES.keys():
    usual = usual_route(name)
    ROUTES[name] = replace(usual, filter=f"{name}/#") if usual.filter == "#" else usual

KEYS = st.sampled_from(
    [
        "v", "t", "u", "lat", "lon", "resources", "summary", "dc:identifier", "dc:modified",
        "ayto:idSensor", "ayto:temperature", "ayto:noise", "ayto:carga", "ayto:latitude",
    ]
) | st.text(max_size=3)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=12)
    | st.sampled_from(["", "n/a", "1e999", "-inf", "18.4", "2026-01-01T00:00:00Z", "Cel", "ppb"])
    | st.sampled_from(["2026-10-25T02:30:00", "1767225600", *OBSERVED_PROPERTIES])
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=8),
    max_leaves=25,
)
RESOURCES = st.builds(
    lambda several: {"resources": several},
    st.lists(st.dictionaries(KEYS, LEAVES, min_size=3, max_size=12), max_size=4),
)
PAYLOADS = st.one_of(
    st.binary(max_size=60),
    DOCUMENTS.map(orjson.dumps),
    RESOURCES.map(orjson.dumps),
    st.integers(0, 600).map(lambda depth: b'{"v":[' * depth + b"]}" * depth),
    st.integers(15, 400).map(lambda digits: b"9" * digits),
    st.lists(LEAVES.map(str), min_size=7, max_size=9).map(lambda row: ",".join(row).encode()),
)
TOPICS = st.one_of(
    st.text(max_size=20),
    st.builds("lab/{}/{}".format, st.text(max_size=5), st.sampled_from([*OBSERVED_PROPERTIES, ""])),
)


class Counting:
    """A sink that holds every decoder to what it promises a sink."""

    received = 1_782_907_200_000

    def __init__(self) -> None:
        self.calls = 0
        self.memory: dict[str, Mapping[int, str]] = {}

    def recall(self, owner: str) -> Mapping[int, str]:
        return self.memory.get(owner, {})

    def remember(self, owner: str, aliases: Mapping[int, str]) -> None:
        assert owner
        self.memory[owner] = aliases

    def reading(
        self, thing: str, observed_property: str, time: int | None, value: float, **told: Any
    ) -> None:
        self.calls += 1
        assert thing == thing.strip()
        assert thing.isprintable()
        assert isinstance(observed_property, str)
        assert time is None or isinstance(time, int)
        assert isinstance(value, float)
        assert not math.isinf(value)
        assert told.get("unit") is None or len(told["unit"]) <= 40
        point = told.get("point")
        assert point is None or (isinstance(point, Point) and abs(point.lat) <= 90)

    def reject(self, reason: str, detail: str, path: str = "", *, readings: int = 1) -> None:
        self.calls += 1
        assert reason in REASONS
        assert detail
        assert isinstance(path, str)
        assert readings >= 0

    def ignore(self, rule: str, path: str = "") -> None:
        self.calls += 1
        assert rule
        assert isinstance(path, str)


@given(st.sampled_from(sorted(FORMATS)), PAYLOADS, st.dictionaries(KEYS, st.text(max_size=5)))
def test_a_decoder_tells_its_sink_or_refuses_the_message(
    name: str, payload: bytes, fields: dict[str, str]
):
    """Any bytes: readings, refusals and ignored things, or Undecodable; no other exception."""
    sink = Counting()
    named = {"thing": "a", "property": "temperature"} | fields

    refused = None
    try:
        FORMATS[name].decode(payload, named, ROUTES[name], sink)
    except Undecodable as error:
        refused = error

    assert refused is None or (refused.reason in REASONS and refused.detail)


@given(st.sampled_from(sorted(FORMATS)), TOPICS, PAYLOADS)
def test_decode_prints_json_for_anything(name: str, topic: str, payload: bytes):
    """Any topic and any bytes: every line is strict JSON of one of the documented shapes."""
    found = list(decode(name, payload, topic=topic, now=NOW, route=ROUTES[name], everything=True))

    for line in found:
        orjson.dumps(line)
        assert 1 == len({"thing", "reject", "ignored", "format"} & line.keys())
        if "thing" in line:
            assert (line["result"] is None) == (line["flag"] == 9)
            assert line["result"] is None or math.isfinite(line["result"])
            assert line["flag"] in {1, 2, 3, 4, 9}
            assert line["time"].endswith("Z")


@given(st.binary(max_size=30) | TOPICS.map(lambda topic: topic.encode(errors="replace")))
def test_a_router_answers_any_topic(topic: bytes):
    """Bytes that are no text have no route; everything else has one or none, and keeps it."""
    router = Router(list(ROUTES.values()))

    assert router.route(topic) == router.route(topic)
