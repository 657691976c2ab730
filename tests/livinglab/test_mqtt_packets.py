"""MQTT packets against bytes worked by hand from the OASIS standard of MQTT 3.1.1."""

import pytest

from livinglab.adapters.mqtt import packets
from livinglab.adapters.mqtt.packets import HEAD, LARGEST, ProtocolError, Splitter
from livinglab.ports import Message

PLAIN = bytes.fromhex("30 07 0003 612f62 6869")
"""PUBLISH at QoS 0 of "hi" to a/b."""
SURE = bytes.fromhex("32 09 0003 612f62 000a 6869")
"""The same at QoS 1 with packet id 10, as in figure 3.11 of the standard."""
AGAIN = bytes.fromhex("3a 09 0003 612f62 000a 6869")
"""The same, sent again: DUP."""


class Reader:
    """A Splitter with the batch that it fills."""

    def __init__(self) -> None:
        self.splitter = Splitter()
        self.others: list[tuple[int, bytes]] = []
        self.begin_batch()

    def begin_batch(self) -> None:
        self.messages: list[Message] = []
        self.acknowledgements, self.seen = bytearray(), set[bytes]()

    def feed(self, *pieces: bytes) -> list[Message]:
        for piece in pieces:
            self.others += self.splitter.feed(
                piece, self.messages, self.acknowledgements, self.seen
            )
        return self.messages


@pytest.fixture
def reader():
    return Reader()


def large(size: int, *, head: int = 0x32, topic: bytes = b"a/b", packet_id: int = 10) -> bytes:
    """A PUBLISH whose remaining length takes three bytes."""
    number = packet_id.to_bytes(2, "big") if head & 6 else b""
    length = 2 + len(topic) + len(number) + size
    digits = bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14])
    return bytes([head]) + digits + len(topic).to_bytes(2, "big") + topic + number + b"x" * size


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def test_connect_worked_by_hand():
    """Protocol MQTT, level 4, no flags (so a session that stays), 60 s, client id lab [3.1]."""
    expected = bytes.fromhex("10 0f 0004 4d515454 04 00 003c 0003 6c6162")

    assert expected == packets.connect("lab", keepalive_s=60, user=None, password=None)


def test_connect_with_credentials_worked_by_hand():
    """User and password set bits 7 and 6, and follow the client id in this order [3.1.3]."""
    expected = bytes.fromhex("10 16 0004 4d515454 04 c0 003c 0003 6c6162 0001 75 0002 7077")

    assert expected == packets.connect("lab", keepalive_s=60, user="u", password="pw")


def test_connect_with_a_user_alone():
    """A user without a password sets bit 7 only, and text is UTF-8 [3.1.2.8]."""
    expected = bytes.fromhex("10 13 0004 4d515454 04 80 003c 0003 6c6162 0002 c3bc")

    assert expected == packets.connect("lab", keepalive_s=60, user="ü", password=None)


def test_subscribe_worked_by_hand():
    """a/b and c/d, each at QoS 1, with the reserved flags 0010 [3.8]."""
    expected = bytes.fromhex("82 0e 000a 0003 612f62 01 0003 632f64 01")

    assert expected == packets.subscribe(10, ["a/b", "c/d"])


def test_unsubscribe_worked_by_hand():
    """a/b and c/d, as in the example of the standard [3.10.3]."""
    expected = bytes.fromhex("a2 0c 000a 0003 612f62 0003 632f64")

    assert expected == packets.unsubscribe(10, ["a/b", "c/d"])


@pytest.mark.parametrize(
    ("length", "digits"),
    [(127, "7f"), (128, "8001"), (16_383, "ff7f"), (16_384, "808001"), (65_539, "838004")],
)
def test_remaining_length_grows_at_the_borders(length, digits):
    """One byte holds up to 127, two up to 16,383: table 2.4 of the standard."""
    packet = packets.unsubscribe(1, ["x" * (length - 4)])

    assert bytes.fromhex("a2" + digits) == packet[: 1 + len(digits) // 2]
    assert 1 + len(digits) // 2 + length == len(packet)


def test_publish_at_qos_0_needs_no_acknowledgement(reader):
    """At most once: there is nothing to answer."""
    assert [Message(b"a/b", b"hi", 0x30, 2)] == reader.feed(PLAIN)
    assert b"" == reader.acknowledgements


def test_publish_at_qos_1_is_acknowledged_by_its_id(reader):
    """PUBACK has two bytes, which are the packet id [3.4]."""
    assert [Message(b"a/b", b"hi", 0x32, 2)] == reader.feed(SURE)
    assert bytes.fromhex("40 02 000a") == reader.acknowledgements


def test_flags_are_kept(reader):
    """DUP, QoS and RETAIN are read from the first byte."""
    [message] = reader.feed(b"\x3b" + SURE[1:])

    assert (True, 1, True, False) == (message.dup, message.qos, message.retain, message.cut)


def test_empty_payload_is_a_message(reader):
    """A PUBLISH may carry nothing [3.3.3]."""
    assert [Message(b"a/b", b"", 0x30, 0)] == reader.feed(bytes.fromhex("30 05 0003 612f62"))


def test_packets_in_one_piece_keep_their_order(reader):
    """What one read of the socket brings is cut into all its packets."""
    reader.feed(PLAIN + SURE + b"\xd0\x00" + PLAIN)

    assert [0x30, 0x32, 0x30] == [one.header for one in reader.messages]
    assert [(0xD0, b"")] == reader.others


@pytest.mark.parametrize("at", range(1, len(PLAIN + SURE)))
def test_packet_split_anywhere_is_whole_again(reader, at):
    """TCP knows no packets: the tail of an unfinished one waits for the rest."""
    stream = PLAIN + SURE

    reader.feed(stream[:at], stream[at:])

    assert [b"hi", b"hi"] == [one.payload for one in reader.messages]
    assert bytes.fromhex("40 02 000a") == reader.acknowledgements


def test_other_packets_are_handed_over(reader):
    """SUBACK and PINGRESP go to the caller, also in pieces."""
    reader.feed(*bytewise(bytes.fromhex("90 04 0001 01 80 d0 00")))

    assert [(0x90, bytes.fromhex("0001 01 80")), (0xD0, b"")] == reader.others
    assert [] == reader.messages


def test_id_that_comes_twice_in_a_batch_is_one_message(reader):
    """A broker may repeat what is in flight; it is stored and acknowledged once."""
    reader.feed(SURE + AGAIN, AGAIN)

    assert [False] == [one.dup for one in reader.messages]
    assert bytes.fromhex("40 02 000a") == reader.acknowledgements


def test_id_of_an_earlier_batch_is_a_new_message(reader):
    """Once acknowledged, an id is free again."""
    reader.feed(SURE)
    reader.begin_batch()

    assert [Message(b"a/b", b"hi", 0x32, 2)] == reader.feed(SURE)
    assert bytes.fromhex("40 02 000a") == reader.acknowledgements


def test_publish_of_just_the_largest_size_is_whole(reader):
    """The limit counts the bytes behind the fixed header, and is itself allowed."""
    payload = LARGEST - 7

    assert [Message(b"a/b", b"x" * payload, 0x32, payload)] == reader.feed(large(payload))


@pytest.mark.parametrize("piece", [1 << 30, 100_000, HEAD, HEAD + 20, 999])
def test_oversize_publish_is_skipped_with_its_head(reader, piece):
    """Its head and true size are kept, it is acknowledged, and the next packet is read."""
    stream = PLAIN + large(LARGEST) + PLAIN

    reader.feed(*(stream[at : at + piece] for at in range(0, len(stream), piece)))

    before, cut, after = reader.messages
    assert Message(b"a/b", b"x" * HEAD, 0x32, LARGEST) == cut
    assert cut.cut
    assert [b"hi", b"hi"] == [before.payload, after.payload]
    assert bytes.fromhex("40 02 000a") == reader.acknowledgements


def test_oversize_publish_counts_only_once_it_is_all_here(reader):
    """Until its last byte came, it is neither a message nor acknowledged."""
    stream = large(LARGEST)

    assert [] == reader.feed(stream[:-1])
    assert b"" == reader.acknowledgements
    assert 1 == len(reader.feed(stream[-1:]))


def test_oversize_publish_at_qos_0_needs_no_acknowledgement(reader):
    """At most once holds for large ones too."""
    [message] = reader.feed(large(LARGEST, head=0x30))

    assert LARGEST == message.size
    assert b"" == reader.acknowledgements


def test_oversize_id_that_comes_twice_is_one_message(reader):
    """The rule for repeated ids knows no size."""
    reader.feed(large(LARGEST) + large(LARGEST, head=0x3A))

    assert 1 == len(reader.messages)
    assert bytes.fromhex("40 02 000a") == reader.acknowledgements


FORBIDDEN = {
    "no topic length": "30 00",
    "half a topic length": "30 01 00",
    "shorter than its topic": "30 04 0003 612f",
    "no room for the packet id": "32 06 0003 612f62 00",
    "packet id 0": "32 07 0003 612f62 0000",
    "QoS 2": "34 07 0003 612f62 000a",
    "QoS 3": "36 07 0003 612f62 000a",
    "not UTF-8": "30 03 0001 ff",
    "a surrogate": "30 05 0003 eda080",
    "empty topic": "30 02 0000",
    "wildcard +": "30 03 0001 2b",
    "wildcard #": "30 03 0001 23",
    "NUL": "30 03 0001 00",
    "length of five bytes": "30 ff ff ff ff 01",
    "control packet of a megabyte": "90 80 80 40",
}


@pytest.mark.parametrize("forbidden", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_what_no_broker_may_send(reader, forbidden):
    """Nothing behind such bytes can be trusted; what came before them stays read."""
    with pytest.raises(ProtocolError):
        reader.feed(PLAIN + bytes.fromhex(forbidden))

    assert [Message(b"a/b", b"hi", 0x30, 2)] == reader.messages


@pytest.mark.parametrize(
    "forbidden",
    [
        large(LARGEST, head=0x34),
        large(LARGEST, head=0x36),
        large(LARGEST, topic=b"\xff"),
        large(LARGEST, topic=b"a/#"),
        large(LARGEST, topic=b""),
        large(LARGEST, packet_id=0),
    ],
    ids=["QoS 2", "QoS 3", "not UTF-8", "wildcard", "empty topic", "packet id 0"],
)
def test_what_no_broker_may_send_of_any_size(reader, forbidden):
    """An oversize PUBLISH obeys the same rules."""
    with pytest.raises(ProtocolError):
        reader.feed(forbidden)
