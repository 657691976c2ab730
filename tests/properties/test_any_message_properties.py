"""Any message: whatever bytes arrive, each message ends in exactly one outcome."""

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from livinglab.adapters.clocks import SettableClock
from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.domain.geometry import Box
from livinglab.domain.ledger import Tally
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.readings import Interval, to_ms
from livinglab.ports import Message
from livinglab.services.recording import Recorder
from livinglab.services.registering import Registry
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Short
from livinglab.wire.topics import Router

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MADRID = "Europe/Madrid"
ROUTES = [
    Route(name="lab", filter="lab/{thing}/{property}", format="lab", scheme="lab"),
    Route(
        name="bus",
        filter="bus/{thing}/{property}",
        format="lab",
        scheme="bus",
        confirm=True,
        moving=True,
        timezone=MADRID,
    ),
    Route(
        name="nodes",
        filter="nodes/#",
        format="santander-environment",
        scheme="santander",
        timezone=MADRID,
    ),
    Route(name="loops", filter="loops", format="santander-traffic", scheme="santander"),
    Route(name="auto", filter="auto/{thing}/{property}", format="auto", scheme="auto"),
    Route(
        name="items",
        filter="items/{thing}",
        format="json",
        scheme="items",
        timezone=MADRID,
        options={
            "items": "resources",
            "time": "t",
            "lat": "lat",
            "lon": "lon",
            "unit": "u",
            "properties": {"temperature": "v", "noise_level": "$['ayto:noise']"},
        },
    ),
    Route(
        name="words",
        filter="words",
        format="json",
        scheme="words",
        options={
            "thing": "$['dc:identifier']",
            "property": "u",
            "value": "$..v",
            "names": {"Cel": "temperature"},
        },
    ),
]

KEYS = (
    *("v", "t", "u", "lat", "lon", "resources", "dc:identifier", "dc:modified", "ayto:idSensor"),
    *("ayto:noise", "ayto:light", "ayto:ocupacion", "ayto:latitude", "ayto:longitude", "label"),
)
TIMES = st.sampled_from(
    [
        to_ms(NOON),
        to_ms(NOON) // 1_000,
        to_ms(NOON) + 10**9,
        "2026-01-01T11:00:00Z",
        "2026-01-01T11:00:00",
        "2026-02-30T11:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        0,
        -1,
        2**63 - 1,
        1e308,
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["", "21.5", "NaN", "inf", "1e999", "Cel", "°F", "hPa", "ppb", "1_0", "٣"]),
    TIMES,
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
    ),
    max_leaves=12,
)


def as_bytes(told: object) -> bytes:
    try:
        return orjson.dumps(told)
    except TypeError:  # a lone surrogate or a number beyond 64 bits
        return repr(told).encode(errors="replace")


def broken(payload: bytes, at: int) -> bytes:
    """Cut a payload short somewhere."""
    return payload[: at % (len(payload) + 1)]


LIKELY = st.dictionaries(st.sampled_from(KEYS), SCALARS, max_size=len(KEYS))
DOCUMENTS = st.one_of(JSON, LIKELY, st.fixed_dictionaries({"resources": st.lists(LIKELY)})).map(
    as_bytes
)
PAYLOADS = st.one_of(
    st.binary(max_size=64),
    DOCUMENTS,
    st.builds(broken, DOCUMENTS, st.integers(0, 500)),
    st.integers(1, 40).map(lambda deep: b"[" * deep + b"]" * deep),
    st.sampled_from([b"", b" ", b"NaN", b"-0", b"1e999", b"null", b"true", b'"21.5"', b"\xff\xfe"]),
)
LEVELS = st.one_of(
    st.sampled_from(["lab", "bus", "nodes", "loops", "auto", "items", "words", "$SYS", "$probe"]),
    st.sampled_from(["", "t1", "t2", *list(OBSERVED_PROPERTIES)[:4]]),
    st.text(max_size=6),
)
ROUTED = st.builds(
    lambda route, thing, last: f"{route}/{thing}/{last}",
    st.sampled_from(["lab", "bus", "auto", "nodes"]),
    st.one_of(st.sampled_from(["t1", "t2"]), st.text(max_size=4)),
    st.one_of(st.sampled_from(list(OBSERVED_PROPERTIES)), st.sampled_from(["mood", "$probe", ""])),
)
TOPICS = st.one_of(
    ROUTED.map(lambda topic: topic.encode(errors="replace")),
    st.sampled_from([b"loops", b"words", b"items/t1", b"nodes"]),
    st.lists(LEVELS, min_size=1, max_size=5).map(
        lambda levels: "/".join(levels).encode(errors="replace")
    ),
    st.binary(max_size=32),
)
HEADERS = st.sampled_from([0x30, 0x31, 0x32, 0x33, 0x34, 0x3A, 0x3B])
MESSAGES = st.builds(
    lambda topic, payload, header, cut: Message(topic, payload, header, len(payload) + cut),
    TOPICS,
    PAYLOADS,
    HEADERS,
    st.sampled_from([0] * 9 + [300_000]),
)


class Forgetful(Recorder):
    """A Recorder that takes no message for usual, so that each goes through its decoder."""

    def _know(self, topic: bytes, way: int | Short, route: Route) -> None:
        del topic, way, route


class Lab:
    """A Recorder with one route of every kind."""

    def __init__(self, *, limit: int, recorder: type[Recorder] = Recorder) -> None:
        self.civic = MemoryCivicStore()
        self.readings = MemoryReadingStore()
        self.recorder = recorder(
            router=Router(ROUTES),
            registry=Registry(
                self.civic, provision_limit=limit, city_box=Box(-3.95, 43.40, -3.70, 43.52)
            ),
            readings=self.readings,
            civic=self.civic,
            clock=SettableClock(NOON),
            quarantine_cap=2_000,
        )

    def account(self) -> Tally:
        """Sum the ledger, and see that each route adds up for itself."""
        found = Tally()
        with self.civic.work(write=False) as work:
            for line in work.ledger.lines():
                assert 0 == line.tally.unaccounted, line
                found.add(line.tally)
        return found

    def stored(self) -> list[str]:
        """Write down all Readings of the first Datastreams; NaN reads like NaN."""
        always = Interval(datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
        return [
            repr(one) for number in range(1, 9) for one in self.readings.between(number, always)
        ]

    def reasons(self) -> set[str]:
        """Tell why something waits in quarantine."""
        with self.civic.work(write=False) as work:
            return {reason for _, reason in work.quarantine.counts()}


@settings(max_examples=400, deadline=None)
@given(
    batches=st.lists(st.lists(MESSAGES, max_size=6), min_size=1, max_size=3),
    limit=st.sampled_from([0, 1, 100]),
    backlog=st.booleans(),
)
def test_every_message_has_exactly_one_outcome(
    batches: Sequence[Sequence[Message]], limit: int, backlog: bool
):
    """Any topic, any payload: the accounts close, and no decoder of ours ever breaks."""
    lab = Lab(limit=limit)

    for messages in batches:
        lab.recorder.record(messages, backlog=backlog)

    total = lab.account()
    assert 0 == total.unaccounted
    assert sum(map(len, batches)) == total.messages
    assert total.stored == lab.readings.count()
    assert "decoder_error" not in lab.reasons()


@settings(max_examples=150, deadline=None)
@given(messages=st.lists(MESSAGES, max_size=6))
def test_what_comes_again_stores_nothing_new(messages: Sequence[Message]):
    """Everything that tells its own time may be delivered twice without a second row."""
    lab = Lab(limit=100)
    timed = [one for one in messages if b'"t"' in one.payload or b"dc:modified" in one.payload]
    retained = [one._replace(header=one.header | 1) for one in timed]  # without a time: ignored

    lab.recorder.record(retained)
    once = lab.readings.count()
    lab.recorder.record(retained)

    assert once == lab.readings.count()
    assert 0 == lab.account().unaccounted


NODE = b"nodes/n1"
NEARLY_USUAL_NODES = st.builds(
    lambda facts, values, header: Message(
        NODE, payload := as_bytes(facts | values), header, len(payload)
    ),
    st.fixed_dictionaries(
        {"dc:identifier": st.sampled_from(["1", "2", 1, " 1 ", "", None])},
        optional={
            "dc:modified": st.one_of(TIMES, st.just("2026-01-01T11:00:00Z")),
            "ayto:latitude": st.sampled_from(["43.46", "43.47", "-3.81", "", "x"]),
            "ayto:longitude": st.sampled_from(["-3.81", "-3.811", "43.46", ""]),
        },
    ),
    st.dictionaries(
        st.sampled_from(["ayto:temperature", "ayto:noise", "ayto:light", "label", "resources"]),
        st.one_of(SCALARS, st.sampled_from(["18.5", "0", "-0", " 7 "])),
    ),
    HEADERS,
)
NEARLY_USUAL = st.builds(
    lambda thing, payload, header, cut: Message(
        f"lab/{thing}/temperature".encode(), payload, header, len(payload) + cut
    ),
    st.sampled_from(["t1", "t2"]),
    st.one_of(
        st.builds(
            lambda value, time, more: as_bytes({"v": value, "t": time} | more),
            SCALARS,
            st.one_of(TIMES, st.integers(to_ms(NOON) - 3, to_ms(NOON))),
            st.sampled_from([{}, {}, {"u": "K"}, {"lat": 43.46, "lon": -3.81}, {"x": 1}]),
        ),
        PAYLOADS,
    ),
    HEADERS,
    st.sampled_from([0] * 9 + [300_000]),
)


@settings(max_examples=300, deadline=None)
@given(
    batches=st.lists(
        st.lists(NEARLY_USUAL | NEARLY_USUAL_NODES, max_size=6), min_size=1, max_size=3
    )
)
def test_the_short_way_ends_where_the_long_way_does(batches: Sequence[Sequence[Message]]):
    """What is usual is taken without its decoder; rows, flags and accounts are the same."""
    introduced = [
        Message(f"lab/{thing}/temperature".encode(), b'{"v":1,"t":1767225600000}', 0x32, 25)
        for thing in ("t1", "t2")
    ]
    for one in ("1", "2"):
        facts = {"dc:identifier": one, "dc:modified": "2026-01-01T10:00:00Z"}
        node = as_bytes(facts | {"ayto:temperature": "1", "ayto:noise": "40", "ayto:light": "5"})
        introduced.append(Message(NODE, node, 0x32, len(node)))
    short, long = Lab(limit=100), Lab(limit=100, recorder=Forgetful)

    for lab in (short, long):
        lab.recorder.record(introduced)  # new series are no usual ones
        lab.recorder.record(introduced)
        for messages in batches:
            lab.recorder.record(messages)

    assert {b"lab/t1/temperature", b"lab/t2/temperature", NODE} == short.recorder.usual.keys()
    assert long.account() == short.account()
    assert long.stored() == short.stored()
