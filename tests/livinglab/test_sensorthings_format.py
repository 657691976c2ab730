"""Format `sensorthings`: an Observation tells when and how much, the route tells of what."""

import math
from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.wire.routes import Route
from livinglab.wire.sensorthings import check, decode, is_sensorthings
from livinglab.wire.topics import _Pattern
from tests.livinglab.hearing import Heard, refusal, survives

STREAMS: dict[str, object] = {
    "1": {"thing": "roof", "property": "no2", "unit": "ppb"},
    "7d0a": {"thing": "roof", "property": "temperature"},
    "it's": {"thing": "yard", "property": "pm10"},
}
TIME = {"phenomenonTime": "2026-01-31T12:00:00Z"}
MS = 1_769_860_800_000


def route(filter_: str = "v1.1/{datastream}/Observations", **options: object) -> Route:
    return Route(name="st", filter=filter_, format="sensorthings", scheme="st", options=options)


def hear(payload: object, fields: Mapping[str, str] | None = None, **options: object) -> Heard:
    heard = Heard()
    one = Route(
        name="st",
        filter="v1.1/{datastream}/Observations",
        format="sensorthings",
        scheme="st",
        options={"datastreams": STREAMS} | options,
    )
    at = {"datastream": "Datastreams(1)"} if fields is None else fields
    decode(orjson.dumps(payload), at, one, heard)
    return heard


def test_topic_and_route_tell_what_an_observation_is_of():
    """The payload has a time and a result, and nothing else that counts."""
    [reading] = hear({**TIME, "result": 21.5, "parameters": {"k": 1}}).readings

    assert ("roof", "no2", MS, 21.5, "ppb", "payload") == tuple(
        reading[key] for key in ("thing", "property", "time", "value", "unit", "time_source")
    )


@pytest.mark.parametrize(
    ("level", "thing", "unit"),
    [
        ("Datastreams(1)", "roof", "ppb"),
        ("Datastreams('1')", "roof", "ppb"),
        ("Datastreams('7d0a')", "roof", None),
        ("Datastreams(7d0a)", "roof", None),
        ("Datastreams('it''s')", "yard", None),
    ],
)
def test_ids_are_numbers_or_quoted_texts(level: str, thing: str, unit: str | None):
    """Servers differ in what an id is; without a unit the property's own is meant."""
    assert [(thing, unit)] == hear({"result": 1}, {"datastream": level}).all("thing", "unit")


@pytest.mark.parametrize(
    ("filter_", "topic"),
    [
        ("v1.1/{datastream}/Observations", "v1.1/Datastreams(1)/Observations"),
        ("v1.0/{datastream}/Observations", "v1.0/Datastreams(1)/Observations"),
        ("frost/+/{datastream}/Observations", "frost/v1.1/Datastreams(1)/Observations"),
    ],
)
def test_filters_name_the_level_of_the_datastream(filter_: str, topic: str):
    """Whatever prefix and version a server has, the level is the same."""
    fields = _Pattern(route(filter_)).fields(topic.split("/"))

    assert {"datastream": "Datastreams(1)"} == fields
    check(route(filter_))


@pytest.mark.parametrize(
    ("times", "time", "interval_s"),
    [
        ({"phenomenonTime": "2026-01-31T13:00:00+01:00"}, MS, None),
        ({"phenomenonTime": "2026-01-31T12:00:00.000Z/2026-01-31T13:00:00Z"}, MS, 3_600),
        ({"phenomenonTime": None, "resultTime": "2026-01-31T12:00:00Z"}, MS, None),
        ({"resultTime": "2026-01-31T12:00:00Z"}, MS, None),
        ({**TIME, "resultTime": "2026-01-31T14:00:00Z"}, MS, None),
        ({}, None, None),
    ],
)
def test_an_interval_counts_at_its_start(
    times: dict[str, object], time: int | None, interval_s: float | None
):
    """What the result is of comes before when it was ready; without either the arrival counts."""
    assert [(time, interval_s)] == hear({"result": 1, **times}).all("time", "interval_s")


@pytest.mark.parametrize("slip", ["phenonmenonTime", "phenomenomTime", "phenomenontime"])
def test_known_misspellings_are_read_and_told(slip: str):
    """A sample that everybody copies has one; it costs no time, and can be counted."""
    heard = hear({slip: "2026-01-31T12:00:00Z", "result": 1})

    assert [MS] == heard.all("time")
    assert [("misspelt", slip)] == heard.ignored


def test_the_right_spelling_counts_first():
    """Who tells both means the one that the standard knows."""
    assert [MS] == hear({"phenonmenonTime": "soon", **TIME, "result": 1}).all("time")


@pytest.mark.parametrize(("result", "value"), [(3, 3.0), ("3.5", 3.5), ("-1e2", -100.0)])
def test_numbers_may_be_text(result: object, value: float):
    """The standard allows any type of result."""
    assert [(value, result)] == hear({"result": result}).all("value", "source")


@pytest.mark.parametrize("result", [None, ""])
def test_null_is_missing(result: object):
    """The Datastream lives and has no value."""
    [value] = hear({"result": result}).all("value")

    assert math.isnan(value)


@pytest.mark.parametrize(
    ("told", "reason", "path"),
    [
        ({"result": True}, "bad_number", "result"),
        ({"result": "closed"}, "bad_number", "result"),
        ({"result": {"value": 1}}, "bad_number", "result"),
        ({"result": [1, 2]}, "bad_number", "result"),
        ({"result": "inf"}, "not_finite", "result"),
        ({"result": 1, "phenomenonTime": "today"}, "bad_time", "phenomenonTime"),
        ({"result": 1, "phenomenonTime": "2026-01-31T12:00"}, "no_timezone", "phenomenonTime"),
        ({"result": 1, "resultTime": ["x"]}, "bad_time", "resultTime"),
        (
            {"result": 1, "phenomenonTime": "2026-01-31T12:00:00Z/2026-01-31T11:00:00Z"},
            "bad_time",
            "phenomenonTime",
        ),
        ({"result": 1, "phenomenonTime": "2026-01-31T12:00:00Z/"}, "bad_time", "phenomenonTime"),
    ],
)
def test_other_results_and_times_are_refused(told: object, reason: str, path: str):
    """Switches, categories and lists are results, but no Readings."""
    heard = hear(told)

    assert [(reason, path)] == heard.rejects
    assert [] == heard.readings


@pytest.mark.parametrize(
    ("told", "level", "reason"),
    [
        ({"result": 1}, "Datastreams(2)", "no_identity"),
        ({"result": 1}, "Things(1)", "no_identity"),
        ({"result": 1}, "", "no_identity"),
        ({"result": 1, "Datastream": {"@iot.id": 2}}, "", "no_identity"),
        ({"result": 1, "Datastream": [1]}, "", "no_identity"),
        ({"value": 1}, "Datastreams(1)", "bad_shape"),
        ([1], "Datastreams(1)", "bad_shape"),
    ],
)
def test_nobodys_observation_is_refused(told: object, level: str, reason: str):
    """Without Thing and property a number means nothing."""
    assert reason == refusal(lambda: hear(told, {"datastream": level}))


def test_datastream_may_stand_inside():
    """Who publishes at `v1.1/Observations` names the Datastream in the Observation."""
    assert ["no2"] == hear({"result": 1, "Datastream": {"@iot.id": 1}}, {}).all("property")


def test_expanded_datastream_needs_no_table():
    """Thing, ObservedProperty and unit stand in it; `names` maps a word of theirs."""
    stream = {
        "@iot.id": 9,
        "unitOfMeasurement": {"symbol": "°F"},
        "ObservedProperty": {"name": "Luftwärme"},
        "Thing": {"@iot.id": 4},
    }

    heard = hear({"result": 70, "Datastream": stream}, {}, names={"Luftwärme": "temperature"})

    assert [("4", "temperature", "°F")] == heard.all("thing", "property", "unit")
    assert "no_identity" == refusal(lambda: hear({"result": 70, "Datastream": stream}, {}))


@pytest.mark.parametrize(
    "broken",
    [
        route("v1.1/+/Values"),
        route("v1.1/#"),
        route(datastreams=5),
        route(datastreams={"1": {"thing": "a", "property": "mood"}}),
        route(datastreams={"1": {"property": "no2"}}),
        route(datastreams={"1": {"thing": "a", "property": "no2", "unit": 5}}),
        route(datastreams={"1": {"thing": "a", "property": "no2", "factor": 2}}),
        route(datastreams={"1": "roof"}),
        route(names={"x": "mood"}),
        route(words={}),
    ],
)
def test_routes_that_could_never_read_are_refused(broken: Route):
    """A slip in the city file is found before the first message."""
    with pytest.raises(ValueError, match=r"datastream|Property|table"):
        check(broken)


@pytest.mark.parametrize(
    ("told", "level", "looks"),
    [
        ({"result": 1, **TIME}, "", True),
        ({"result": 1, "phenonmenonTime": "x"}, "", True),
        ({"result": 1}, "Datastreams(1)", True),
        ({"result": 1}, "", False),
        ({"value": 1, **TIME}, "Datastreams(1)", False),
        ([], "", False),
    ],
)
def test_observations_can_be_told_from_other_documents(told: object, level: str, looks: bool):
    """A result with a time, or at the topic of a Datastream."""
    assert looks == is_sensorthings(told, {"datastream": level})


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
ROUTE = route(datastreams=STREAMS)
FIELDS = {"datastream": "Datastreams(1)"}


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(payload: bytes):
    """Nothing but a refusal comes out."""
    survives(decode, payload, FIELDS, ROUTE)


@given(
    st.dictionaries(
        st.sampled_from(["result", "phenomenonTime", "resultTime", "phenonmenonTime"])
        | st.just("Datastream"),
        VALUES,
    )
)
def test_any_observation_is_read_or_refused(told: dict[str, object]):
    """Nor do odd values in the right places."""
    survives(decode, orjson.dumps(told), FIELDS, ROUTE)
