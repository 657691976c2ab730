"""MQTT 3.1.1 packets, as far as a QoS 1 subscriber needs them: pure, and fast in bulk.

References:
    MQTT Version 3.1.1, OASIS Standard, 29 October 2014; sections in square brackets below.
"""

import struct
from collections.abc import Sequence

from livinglab.ports import Message

LARGEST = 256 * 1024
"""A PUBLISH with more bytes than this is skipped by its length, and only its head is kept."""
HEAD = 4 * 1024
"""Bytes of payload that are kept of one that is too large."""
TOPICS_KNOWN = 200_000

CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xB0, 0xD0
PINGREQ_PACKET = b"\xc0\x00"
DISCONNECT_PACKET = b"\xe0\x00"
PUBACK_BYTES = 4


class ProtocolError(Exception):
    """Bytes that no MQTT 3.1.1 broker may send; nothing after them can be trusted."""


def _packet(head: int, body: bytes) -> bytes:
    length, encoded = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        encoded.append(digit | (128 if length else 0))
        if not length:
            return bytes([head]) + bytes(encoded) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded


def connect(client_id: str, *, keepalive_s: int, user: str | None, password: str | None) -> bytes:
    """Ask for a persistent session [3.1]."""
    flags = (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    body = _text("MQTT") + struct.pack("!BBH", 4, flags, keepalive_s) + _text(client_id)
    for one in (user, password):
        if one is not None:
            body += _text(one)
    return _packet(0x10, body)


def subscribe(packet_id: int, filters: Sequence[str]) -> bytes:
    """Ask for topics at QoS 1 [3.8]."""
    wanted = b"".join(_text(one) + b"\x01" for one in filters)
    return _packet(0x82, struct.pack("!H", packet_id) + wanted)


def unsubscribe(packet_id: int, filters: Sequence[str]) -> bytes:
    """Give topics up [3.10]."""
    return _packet(0xA2, struct.pack("!H", packet_id) + b"".join(_text(one) for one in filters))


class Splitter:
    """Cuts what a socket reads into packets; the tail of an unfinished one waits."""

    def __init__(self) -> None:
        """Begin at the start of a connection."""
        self._rest = b""
        self._skip = 0
        self._large: tuple[Message, bytes] | None = None
        self._topics: set[bytes] = set()

    def feed(  # noqa: C901, PLR0912, PLR0915 - one flat loop: a call per packet would halve the rate
        self,
        data: bytes,
        messages: list[Message],
        acknowledgements: bytearray,
        seen: set[bytes],
    ) -> list[tuple[int, bytes]]:
        """Read whole packets.

        Args:
            data: What the socket read.
            messages: Receives the PUBLISH packets, in order.
            acknowledgements: Receives a PUBACK for each of QoS 1, in the same order.
            seen: Packet ids of the batch; one that comes twice is one message.

        Returns:
            (First byte, body) of every other packet.

        Raises:
            ProtocolError: Saying what no broker may send.
        """
        if self._skip:
            data = self._skipped(data, messages, acknowledgements, seen)
        if self._rest:
            data = self._rest + data
        others: list[tuple[int, bytes]] = []
        at, end, make = 0, len(data), tuple.__new__
        topics = self._topics
        while at + 2 <= end:
            head, length, body = data[at], data[at + 1], at + 2
            if length > 127:  # noqa: PLR2004 - the length goes on in the next byte [2.2.3]
                found = _length(data, at + 1, end)
                if found is None:
                    break
                length, body = found
            after = body + length
            if head & 0xF0 != PUBLISH:
                if length > LARGEST:
                    raise ProtocolError(f"a packet of type {head >> 4} with {length} bytes")
                if after > end:
                    break
                others.append((head, data[body:after]))
                at = after
                continue
            if length > LARGEST:
                at = self._begin_large(data, at, body, after)
                if self._skip or self._large:
                    rest = self._skipped(data[at:], messages, acknowledgements, seen)
                    data, at, end = rest, 0, len(rest)
                    if self._skip:
                        break
                    continue
                break
            if after > end:
                break
            start = body + 2
            stop = start + ((data[body] << 8) | data[body + 1]) if length > 1 else after + 1
            topic = data[start:stop]
            qos = head & 6
            payload = stop + 2 if qos else stop
            if payload > after:
                raise ProtocolError("a PUBLISH shorter than its topic")
            if topic not in topics:
                self._learn(topic)
            if qos == 2:  # noqa: PLR2004 - QoS 1 in place [3.3.1.2]
                packet_id = data[stop:payload]
                if packet_id in seen:
                    at = after
                    continue
                if packet_id == b"\0\0":
                    raise ProtocolError("a PUBLISH with packet id 0")
                seen.add(packet_id)
                acknowledgements += b"\x40\x02" + packet_id
            elif qos:
                raise ProtocolError("a PUBLISH of a QoS that was not asked for")
            content = data[payload:after]
            messages.append(make(Message, (topic, content, head, len(content))))
            at = after
        self._rest = data[at:] if at < end else b""
        return others

    def _learn(self, topic: bytes) -> None:
        """Accept a topic that was not seen before [1.5.3, 3.3.2.1]."""
        try:
            text = topic.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("a topic that is not UTF-8") from error
        if not text or "\0" in text or "#" in text or "+" in text:
            raise ProtocolError("a topic that is empty, or holds a wildcard or NUL")
        if len(self._topics) >= TOPICS_KNOWN:
            self._topics.clear()
        self._topics.add(topic)

    def _begin_large(self, data: bytes, at: int, body: int, after: int) -> int:
        """Keep the head of a PUBLISH that is too large, once enough of it is here."""
        if len(data) < body + 2:
            return at
        stop = body + 2 + ((data[body] << 8) | data[body + 1])
        qos = data[at] & 6
        payload = stop + 2 if qos else stop
        if qos not in {0, 2}:
            raise ProtocolError("a PUBLISH of a QoS that was not asked for")
        if len(data) < payload + HEAD:
            return at
        if data[stop:payload] == b"\0\0":
            raise ProtocolError("a PUBLISH with packet id 0")
        topic = data[body + 2 : stop]
        self._learn(topic)
        head = Message(topic, data[payload : payload + HEAD], data[at], after - payload)
        self._large = (head, data[stop:payload])
        self._skip = after - payload - HEAD
        return payload + HEAD

    def _skipped(
        self,
        data: bytes,
        messages: list[Message],
        acknowledgements: bytearray,
        seen: set[bytes],
    ) -> bytes:
        """Pass over the rest of a PUBLISH that is too large; then it counts as arrived."""
        if len(data) < self._skip:
            self._skip -= len(data)
            return b""
        data, self._skip = data[self._skip :], 0
        if self._large is not None:
            message, packet_id = self._large
            self._large = None
            if not packet_id or packet_id not in seen:
                messages.append(message)
                if packet_id:
                    seen.add(packet_id)
                    acknowledgements += b"\x40\x02" + packet_id
        return data


def _length(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """Read a remaining length of several bytes [2.2.3]; None if it is not all here."""
    length = shift = 0
    for place in range(4):
        if at + place >= end:
            return None
        digit = data[at + place]
        length |= (digit & 127) << shift
        if digit < 128:  # noqa: PLR2004 - the last byte
            return length, at + place + 1
        shift += 7
    raise ProtocolError("a remaining length of more than four bytes")
