"""Laws of reading MQTT: cuts do not matter, paho reads the same, and no bytes surprise."""

import socket
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from livinglab.adapters.mqtt.packets import LARGEST, ProtocolError, Splitter
from livinglab.ports import Message


@dataclass(frozen=True)
class Publish:
    """A PUBLISH as a broker sends it."""

    topic: str
    payload: bytes
    packet_id: int | None
    retain: bool
    dup: bool

    def encode(self) -> bytes:
        sure = self.packet_id is not None
        head = 0x30 | (0x08 if sure and self.dup else 0) | (2 if sure else 0) | int(self.retain)
        topic = self.topic.encode()
        number = b"" if self.packet_id is None else self.packet_id.to_bytes(2, "big")
        body = len(topic).to_bytes(2, "big") + topic + number + self.payload
        left, digits = len(body), []
        while left >= 128:
            digits.append(left % 128 + 128)
            left //= 128
        return bytes([head, *digits, left]) + body


TOPICS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=12
)
SMALL = st.binary(max_size=300)
LARGE = st.sampled_from([LARGEST - 50, LARGEST, LARGEST + 70_000]).map(bytes)


def publishes(payloads: st.SearchStrategy[bytes]) -> st.SearchStrategy[Publish]:
    ids = st.none() | st.integers(1, 65_535) | st.integers(1, 3)
    return st.builds(Publish, TOPICS, payloads, ids, st.booleans(), st.booleans())


def pieces(stream: bytes, places: Sequence[float]) -> list[bytes]:
    """Cut a stream at fractions of its length."""
    cuts = sorted({0, len(stream), *(int(one * len(stream)) for one in places)})
    return [stream[one:other] for one, other in pairwise(cuts)]


PLACES = st.lists(st.floats(0, 1), max_size=12)


def read(parts: Sequence[bytes]) -> tuple[list[Message], bytes]:
    """Read one batch."""
    splitter, messages, seen = Splitter(), list[Message](), set[bytes]()
    acknowledgements = bytearray()
    for part in parts:
        assert [] == splitter.feed(part, messages, acknowledgements, seen)
    return messages, bytes(acknowledgements)


def read_by_paho(stream: bytes, count: int) -> list[Message]:
    """Let paho read a stream of *count* packets from a socket."""
    arrived: list[MQTTMessage] = []
    client = Client(CallbackAPIVersion.VERSION2, manual_ack=True)
    client.on_message = lambda _client, _data, message: arrived.append(message)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.setblocking(False)
        client._sock = theirs
        ours.sendall(stream)
        for _ in range(count):
            client.loop_read()
        client._sock = None
    return [
        Message(
            one.topic.encode(),
            bytes(one.payload),
            0x30 | one.dup << 3 | one.qos << 1 | one.retain,
            len(one.payload),
        )
        for one in arrived
    ]


@given(st.lists(publishes(SMALL), max_size=12), PLACES)
def test_cuts_do_not_matter(sent, places):
    """TCP may cut a stream anywhere: messages and acknowledgements stay the same."""
    stream = b"".join(one.encode() for one in sent)

    assert read([stream]) == read(pieces(stream, places))


@given(st.lists(publishes(SMALL), max_size=6))
def test_one_byte_at_a_time(sent):
    """The finest cut of all."""
    stream = b"".join(one.encode() for one in sent)

    assert read([stream]) == read([stream[at : at + 1] for at in range(len(stream))])


@settings(max_examples=40, deadline=None)
@given(st.lists(publishes(SMALL | LARGE), max_size=5), PLACES)
def test_cuts_do_not_matter_around_large_ones(sent, places):
    """What is too large is skipped the same way, wherever it is cut."""
    stream = b"".join(one.encode() for one in sent)
    messages, acknowledgements = read([stream])

    assert (messages, acknowledgements) == read(pieces(stream, places))
    assert all(one.size <= LARGEST for one in messages if not one.cut)


@given(st.lists(publishes(SMALL), max_size=12))
def test_every_id_is_acknowledged_once(sent):
    """Each message of QoS 1 once, in the order in which it first came."""
    messages, acknowledgements = read([b"".join(one.encode() for one in sent)])

    ids = list(dict.fromkeys(one.packet_id for one in sent if one.packet_id is not None))
    assert b"".join(b"\x40\x02" + one.to_bytes(2, "big") for one in ids) == acknowledgements
    assert len(ids) + sum(one.packet_id is None for one in sent) == len(messages)


@settings(deadline=None)
@given(
    st.lists(publishes(SMALL), max_size=12, unique_by=lambda one: one.packet_id or -id(one)),
    PLACES,
)
def test_paho_reads_the_same(sent, places):
    """The reference implementation of the Eclipse foundation agrees on every message."""
    stream = b"".join(one.encode() for one in sent)

    assert read_by_paho(stream, len(sent)) == read(pieces(stream, places))[0]


def read_whatever(parts: Sequence[bytes]) -> None:
    splitter, messages = Splitter(), list[Message]()
    with suppress(ProtocolError):
        for part in parts:
            splitter.feed(part, messages, bytearray(), set())


@given(st.lists(st.binary(max_size=60)))
@example([b"\x30\x00"])
@example([b"\x30\x01", b"\x00"])
@example([b"\x32\xff\xff\xff\x7f", b"\xff\xff"])
def test_no_bytes_surprise(parts):
    """Whatever a broken broker sends, it is read or it is a ProtocolError."""
    read_whatever(parts)


@given(
    st.lists(publishes(SMALL), min_size=1, max_size=4),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    PLACES,
)
def test_no_damage_surprises(sent, damages, places):
    """The same with streams that are almost right."""
    stream = bytearray(b"".join(one.encode() for one in sent))
    for place, byte in damages:
        stream[int(place * len(stream))] = byte

    read_whatever(pieces(bytes(stream), places))
