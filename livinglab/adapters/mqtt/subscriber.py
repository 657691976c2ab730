"""The subscriber of ingest: reads a persistent QoS 1 session in bulk, and nothing else.

One thread reads, yields, is told to acknowledge, and reads on. There is no queue: while the caller
stores, nobody reads, and TCP tells the broker. Memory is one batch.
"""

import json
import random
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import structlog

from livinglab.adapters.mqtt import packets
from livinglab.adapters.mqtt.packets import ProtocolError
from livinglab.errors import BrokerUnavailableError
from livinglab.ports import Delivery, Message

log = structlog.get_logger()

RECV_BYTES = 1 << 20
MOST_MESSAGES = 50_000
MOST_BYTES = 16 << 20
STEP_S = 0.25
"""How soon the end is noticed, and how long a quiet day gathers. [s]"""
FIRST_DELIVERY = 256
"""Messages of the first Delivery of a connection, doubled with each: one that breaks again and
again must bring something to its end before it does."""
SEND_PATIENCE_S = 15.0
CONNECT_PATIENCE_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S, STABLE_S = 0.25, 30.0, 60.0
KICKS_A_MINUTE = 3

_REFUSALS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it refuses our client id; choose another with LIVINGLAB_CLIENT_ID",
    4: "user or password are wrong; see LIVINGLAB_BROKER_USER and LIVINGLAB_BROKER_PASSWORD_FILE",
    5: "it does not let us in; see LIVINGLAB_BROKER_USER and the broker's access list",
}
"""CONNACK code → what waiting cannot mend [3.2.2.3]."""


class BulkSubscriber:
    """A Broker over one socket; see `ports.Broker`."""

    def __init__(  # noqa: PLR0913 - a session has as many facts
        self,
        *,
        host: str,
        port: int,
        client_id: str,
        window: int,
        user: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        keepalive_s: int = 60,
        filters_file: Path | None = None,
    ) -> None:
        """Describe the session; nothing is connected yet.

        Args:
            host: Of the broker.
            port: Of the broker.
            client_id: Names the session for ever.
            window: In-flight window of the broker: waiting for more would wait for ever.
            user: To enter with.
            password: To enter with.
            tls: How to trust the broker; None: no TLS.
            keepalive_s: Silence after which either side gives the connection up. [s]
            filters_file: Remembers what was subscribed, so that it can be given up later.
        """
        self.host, self.port, self.client_id = host, port, client_id
        self.window = min(window, 2 * MOST_MESSAGES)
        self.most = max(1, self.window // 2)
        """Messages of one Delivery: another is read while it is stored."""
        self._user, self._password, self._tls = user, password, tls
        self.keepalive_s = keepalive_s
        self._filters_file = filters_file
        self._socket: socket.socket | None = None
        self._splitter = packets.Splitter()
        self._connection = 0
        self._caught_up = False
        self._enough = 1
        self._sent_at = self._heard_at = self._connected_at = 0.0
        self._kicks: deque[float] = deque(maxlen=KICKS_A_MINUTE + 1)
        self._lost = False

    def deliveries(self, filters: Sequence[str], *, until: Event) -> Iterator[Delivery]:
        """Yield what arrives: see `ports.Broker`."""
        pause = FIRST_PAUSE_S
        while not until.is_set():
            try:
                if self._socket is None:
                    self._connect(filters)
                delivery = self._gather(until)
            except (OSError, ProtocolError) as error:
                if self._lose(error):
                    pause = FIRST_PAUSE_S
                until.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
                pause = min(LONGEST_PAUSE_S, 2 * pause)
                continue
            yield from self._cut(delivery)

    def _connect(self, filters: Sequence[str]) -> None:
        patience = min(CONNECT_PATIENCE_S, self.keepalive_s)
        link = socket.create_connection((self.host, self.port), timeout=patience)
        try:
            if self._tls is not None:
                link = self._sealed(link, self._tls)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.sendall(
                packets.connect(
                    self.client_id,
                    keepalive_s=self.keepalive_s,
                    user=self._user,
                    password=self._password,
                )
            )
            early = self._await_connack(link)
        except BaseException:
            link.close()
            raise
        self._socket, self._splitter = link, packets.Splitter()
        self._connection += 1
        self._caught_up = False
        self._enough = min(FIRST_DELIVERY, self.most)
        self._early = early
        self._connected_at = self._heard_at = self._sent_at = time.monotonic()
        self._subscribe(filters)
        if self._lost:
            log.info("broker_came_back", host=self.host, port=self.port)
        self._lost = False

    def _sealed(self, link: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
        """Go on under TLS; a certificate that is not trusted is no matter of waiting."""
        try:
            return tls.wrap_socket(link, server_hostname=self.host)
        except ssl.SSLCertVerificationError as error:
            raise BrokerUnavailableError(
                f"broker {self.host}:{self.port}",
                f"its certificate is not trusted ({error.verify_message})",
                "name the authority that signed it with LIVINGLAB_BROKER_CA",
            ) from error

    def _await_connack(self, link: socket.socket) -> bytes:
        """Read the broker's answer; return what it sent right behind."""
        answer = b""
        while len(answer) < 4:  # noqa: PLR2004 - a CONNACK has four bytes [3.2]
            more = link.recv(RECV_BYTES)
            if not more:
                raise ConnectionError("the broker closed the connection instead of answering")
            answer += more
        if answer[:2] != b"\x20\x02":
            raise ProtocolError("an answer to CONNECT that is no CONNACK")
        code = answer[3]
        if code in _REFUSALS:
            raise BrokerUnavailableError(f"broker {self.host}:{self.port}", _REFUSALS[code])
        if code:
            raise ConnectionError(f"the broker is not ready (code {code})")
        return answer[4:]

    def _subscribe(self, filters: Sequence[str]) -> None:
        """Ask for the filters again, and give up those of an earlier configuration."""
        before = self._remembered()
        if gone := sorted(set(before) - set(filters)):
            self._send(packets.unsubscribe(2, gone))
        self._filters = list(filters)
        self._send(packets.subscribe(1, self._filters))
        if self._filters_file is not None and before != self._filters:
            self._filters_file.parent.mkdir(parents=True, exist_ok=True)
            self._filters_file.write_text(json.dumps(self._filters), encoding="utf-8")

    def _remembered(self) -> list[str]:
        if self._filters_file is None:
            return []
        try:
            return [str(one) for one in json.loads(self._filters_file.read_text(encoding="utf-8"))]
        except (OSError, ValueError):
            return []

    def _gather(self, until: Event) -> Delivery:
        """Read until enough is here or a quarter of a second has passed since the first."""
        messages: list[Message] = []
        acknowledgements, seen, size, full = bytearray(), set[bytes](), 0, False
        deadline = time.monotonic() + STEP_S
        while True:
            data = self._receive(deadline - time.monotonic())
            now = time.monotonic()
            if data:
                first = not messages
                for head, body in self._splitter.feed(data, messages, acknowledgements, seen):
                    self._control(head, body)
                size += len(data)
                if first and messages:
                    deadline = now + STEP_S
                if full := len(messages) >= self._enough or size >= MOST_BYTES:
                    break
            if now >= deadline:
                if not data:
                    self._caught_up = True
                break
            if until.is_set():
                break
        self._stay_alive(now)
        if full:
            self._enough = min(2 * self._enough, self.most)
        token = (self._connection, acknowledgements)
        return Delivery(messages, token, not self._caught_up, full and self.most < self.window)

    def _cut(self, delivery: Delivery) -> Iterator[Delivery]:
        """Divide what came beyond the size of a Delivery."""
        messages = delivery.messages
        if len(messages) <= self.most:
            yield delivery
            return
        token: Any = delivery.token
        connection, acknowledgements = token
        for at in range(0, len(messages), self.most):
            part = messages[at : at + self.most]
            end = packets.PUBACK_BYTES * sum(one.qos > 0 for one in part)
            own = (connection, acknowledgements[:end])
            yield Delivery(part, own, delivery.backlog, delivery.full)
            del acknowledgements[:end]

    def _receive(self, patience: float) -> bytes:
        """Read what the socket has; nothing if it has nothing in time."""
        if self._early:
            data, self._early = self._early, b""
            return data
        link = self._link()
        link.settimeout(max(patience, 0.001))
        try:
            data = link.recv(RECV_BYTES)
        except (TimeoutError, ssl.SSLWantReadError):
            return b""
        if not data:
            raise ConnectionError("the broker closed the connection")
        self._heard_at = time.monotonic()
        return data

    def _control(self, head: int, body: bytes) -> None:
        """Take note of a packet that is no PUBLISH."""
        kind = head & 0xF0
        if kind == packets.SUBACK:
            for one, granted in zip(self._filters, body[2:], strict=False):
                if granted == 0x80:  # noqa: PLR2004 - failure [3.9.3]
                    raise BrokerUnavailableError(
                        f"broker {self.host}:{self.port}",
                        f"refuses the subscription {one}",
                        "let this client read it in the broker's access list",
                    )
        elif kind not in {packets.PINGRESP, packets.UNSUBACK, packets.PUBACK}:
            raise ProtocolError(f"a packet of type {head >> 4}, which only clients send")

    def _stay_alive(self, now: float) -> None:
        """Send a PINGREQ in good time, and notice a broker that fell silent."""
        if now - self._sent_at > self.keepalive_s / 3:
            self._send(packets.PINGREQ_PACKET)
        if now - self._heard_at > 1.5 * self.keepalive_s:
            raise ConnectionError("the broker fell silent")

    def _send(self, data: bytes) -> None:
        link = self._link()
        link.settimeout(SEND_PATIENCE_S)
        link.sendall(data)
        self._sent_at = time.monotonic()

    def _link(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionError("not connected")
        return self._socket

    def acknowledge(self, delivery: Delivery) -> None:
        """Send all PUBACKs of a Delivery at once; an earlier connection's are forgotten."""
        token: Any = delivery.token
        connection, acknowledgements = token
        if connection != self._connection or self._socket is None or not acknowledgements:
            return
        try:
            self._send(bytes(acknowledgements))
        except OSError as error:
            self._lose(error)

    def rest(self, seconds: float, *, until: Event) -> None:
        """Wait without reading, and keep the session alive: see `ports.Broker`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not until.is_set():
            until.wait(min(left, self.keepalive_s / 3))
            now = time.monotonic()
            if self._socket is not None and now - self._sent_at > self.keepalive_s / 3:
                try:
                    self._send(packets.PINGREQ_PACKET)
                except OSError as error:
                    self._lose(error)
            self._heard_at = now  # nobody listened, so silence says nothing

    def _lose(self, error: Exception) -> bool:
        """Forget a connection; tell whether it had been stable."""
        now = time.monotonic()
        connected = self._socket is not None
        stable = connected and now - self._connected_at >= STABLE_S
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if not self._lost:
            log.warning("broker_lost", host=self.host, port=self.port, reason=str(error))
            self._lost = True
        if connected:
            self._kicks.append(now)
            if len(self._kicks) > KICKS_A_MINUTE and now - self._kicks[0] < 60:  # noqa: PLR2004 - a minute
                log.error("client_id_contended", client_id=self.client_id)
                self._kicks.clear()
        return stable

    def ping(self) -> str:
        """Say what is connected: see `ports.Broker`."""
        if self._socket is None:
            raise BrokerUnavailableError(
                f"broker {self.host}:{self.port}", "is not connected", "is it running?"
            )
        return f"MQTT 3.1.1 at {self.host}:{self.port}"

    def close(self) -> None:
        """Disconnect in order; the session stays."""
        if self._socket is not None:
            try:
                self._send(packets.DISCONNECT_PACKET)
            except OSError:
                log.debug("disconnect_not_sent")
            self._socket.close()
            self._socket = None
