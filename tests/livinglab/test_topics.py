"""Topics: every topic has one route, and the topic itself tells what the route names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.errors import SettingsError
from livinglab.wire.routes import Route
from livinglab.wire.topics import CACHED_TOPIC, Router


def route(filter_: str, name: str = "") -> Route:
    return Route(name=name or filter_, filter=filter_, format="santander-traffic", scheme="test")


def taken_by(topic: str, *filters: str) -> str | None:
    found = Router([route(one) for one in filters]).route(topic.encode())
    return found[0].filter if found else None


def test_placeholders_name_levels():
    """A named level tells the decoder what stands there."""
    found = Router([route("lab/{thing}/{property}")]).route(b"lab/station-7/no2")

    assert found is not None
    assert {"thing": "station-7", "property": "no2"} == found[1]


def test_leading_slash_is_an_empty_level():
    """An IoT Agent's topic begins with a slash, and so must its filter."""
    assert taken_by("/json/key/node/attrs", "json/{key}/{thing}/attrs") is None
    assert "/json/{key}/{thing}/attrs" == taken_by(
        "/json/key/node/attrs", "/json/{key}/{thing}/attrs"
    )


@pytest.mark.parametrize(
    ("topic", "filters", "wins"),
    [
        ("a/b/c", ["a/#", "a/b/#"], "a/b/#"),
        ("a/b/c", ["#", "a/{x}/{y}"], "a/{x}/{y}"),
        ("a/b/c", ["a/+/c", "a/b/+"], "a/b/+"),
        ("a/b/c", ["a/+/#", "a/+/+"], "a/+/+"),
        ("a/b", ["a/b/#", "a/{x}"], "a/b/#"),
        ("a", ["a/#", "a"], "a"),
        ("a", ["a/#", "b"], "a/#"),
        ("a/b", ["a", "a/b/c"], None),
        ("", ["a", "b/#"], None),
    ],
)
def test_more_specific_route_wins(topic: str, filters: list[str], wins: str | None):
    """Text beats a placeholder, level by level from the left; a placeholder beats the rest."""
    assert wins == taken_by(topic, *filters)
    assert wins == taken_by(topic, *reversed(filters))


def test_wildcards_do_not_reach_the_brokers_own_topics():
    """`#` is not `$SYS/#`; whoever wants that says so."""
    assert taken_by("$SYS/uptime", "#") is None
    assert taken_by("$SYS/uptime", "{a}/{b}") is None
    assert "$SYS/#" == taken_by("$SYS/uptime", "#", "$SYS/#")


def test_shared_filter_takes_the_topics_behind_it():
    """`$share/<group>/` is between the broker and its subscribers, never part of a topic."""
    router = Router([route("$share/ingest/lab/{thing}/{property}")])

    assert ["$share/ingest/lab/+/+"] == router.filters()
    assert router.route(b"lab/a/no2") is not None


def test_topic_that_is_no_text_has_no_route():
    """MQTT topics are UTF-8; bytes that are not go to quarantine, not to a Thing."""
    assert Router([route("#")]).route(b"lab/\xff/no2") is None


def test_two_routes_for_the_same_topics_stop_the_start():
    """Placeholders have names, but no rank: which of the two was meant, nobody can tell."""
    with pytest.raises(SettingsError) as caught:
        Router([route("a/{x}/#", "one"), route("a/+/#", "other")])

    assert "one" in str(caught.value)
    assert "other" in str(caught.value)


def test_routes_of_the_same_shape_may_stand_side_by_side():
    """Filters that can never take the same topic do not tie."""
    Router([route("a/{x}/b"), route("a/{x}/c"), route("b/{x}/b")])


@pytest.mark.parametrize(
    "filter_",
    [
        "",
        "/",
        "a/#/b",
        "a#",
        "a+/b",
        "{}/b",
        "{a}{b}",
        "x{a}",
        "{a b}",
        "{a}/{a}",
        "$share/g",
        "a\0",
    ],
)
def test_what_is_no_filter_stops_the_start(filter_: str):
    """A filter that could never match is a slip of the pen, told at once."""
    with pytest.raises(SettingsError):
        Router([route(filter_)])


@pytest.mark.parametrize(
    "wrong",
    [
        Route(name="r", filter="#", format="morse", scheme="x"),
        Route(name="r", filter="#", format="auto", scheme="x", timezone="Mars/Olympus"),
        Route(name="r", filter="lab/#", format="lab", scheme="x"),
        Route(name="r", filter="#", format="json", scheme="x"),
    ],
)
def test_route_that_could_never_read_stops_the_start(wrong: Route):
    """Format, zone, named levels and options are looked at before the first message."""
    with pytest.raises(SettingsError, match="route r"):
        Router([wrong])


@pytest.mark.parametrize(
    ("filters", "subscribed"),
    [
        (["lab/{thing}/{property}", "lab/#"], ["lab/#"]),
        (["a/{x}", "a/b", "+/b"], ["+/b", "a/+"]),
        (["a", "a/#"], ["a/#"]),
        (["a/#", "a/b/{x}/#", "b"], ["a/#", "b"]),
        (["#", "$SYS/broker/{x}"], ["#", "$SYS/broker/+"]),
        (["$share/g/a/#", "a/b"], ["$share/g/a/#", "a/b"]),
    ],
)
def test_subscriptions_cover_every_route_once(filters: list[str], subscribed: list[str]):
    """A message that two subscriptions ask for may come twice, so none asks for another's."""
    assert subscribed == Router([route(one) for one in filters]).filters()


def test_memory_of_topics_is_bounded():
    """Long topics are not remembered, for a stranger could send them without end."""
    router = Router([route("#")])

    for n in range(10):
        router.route(b"a" * CACHED_TOPIC + b"%d" % n)

    assert not router._known


LEVELS = st.sampled_from(["a", "b", "", "$x"])
FILTERS = st.builds(
    lambda levels, rest: "/".join([*levels, *rest]),
    st.lists(st.sampled_from(["a", "b", "+", "$x"]), min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
)


def matches(filter_: str, topic: str) -> bool:
    """Match by the words of MQTT 3.1.1, section 4.7, as plainly as possible."""
    wanted, given_ = filter_.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"+", "#"}:
        return False
    if wanted[-1] == "#":
        wanted, given_ = wanted[:-1], given_[: len(wanted) - 1]
    return len(wanted) == len(given_) and all(
        level in {"+", found} for level, found in zip(wanted, given_, strict=True)
    )


@given(st.sets(FILTERS, min_size=1, max_size=5), st.lists(LEVELS, min_size=1, max_size=4))
def test_subscriptions_and_routes_agree_with_mqtt(filters: set[str], levels: list[str]):
    """What a route takes is what its filter matches, and some subscription brings it."""
    topic, router = "/".join(levels), Router([route(one) for one in filters])

    found = router.route(topic.encode())

    assert any(matches(one, topic) for one in filters) == (found is not None)
    assert any(matches(one, topic) for one in router.filters()) == (found is not None)
    assert found is None or matches(found[0].filter, topic)


def test_an_identity_is_made_of_named_levels():
    """Two sites number their nodes alike: the id of a Thing takes both."""
    made = Route(
        name="nodes",
        filter="{site}/nodes/{node}/{property}",
        format="lab",
        scheme="site",
        identity="{site}-{node}",
    )

    found = Router([made]).route(b"north/nodes/7/no2")

    assert found is not None
    assert ("north-7", "no2") == (found[1]["thing"], found[1]["property"])


def test_defaults_count_where_the_topic_tells_nothing():
    """One property a gateway, not told in the topic; what is told wins."""
    named = {"property": "noise_level", "thing": "nobody"}
    made = Route(name="noise", filter="noise/{thing}", format="lab", scheme="noise", defaults=named)

    found = Router([made]).route(b"noise/meter-1")

    assert found is not None
    assert {"thing": "meter-1", "property": "noise_level"} == found[1]


@pytest.mark.parametrize("identity", ["{sight}-{node}", "{}", "{site", "{site.__class__}"])
def test_an_identity_that_nothing_names_is_refused_at_the_start(identity):
    """Not with the first message, at night."""
    made = Route(
        name="nodes",
        filter="{site}/{node}/{property}",
        format="lab",
        scheme="site",
        identity=identity,
    )
    with pytest.raises(SettingsError, match="identity"):
        Router([made])
