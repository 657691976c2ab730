"""paho: everything that publishes, and the reference that our subscriber is held against."""

import ssl
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from livinglab.errors import BrokerUnavailableError
from livinglab.ports import Delivery, Message

PATIENCE_S = 20.0
IN_FLIGHT = 1_000
GATHER_S = 0.25


def _client(
    client_id: str,
    *,
    clean: bool,
    user: str | None,
    password: str | None,
    tls: ssl.SSLContext | None,
) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean)
    client.max_inflight_messages_set(IN_FLIGHT)
    client.max_queued_messages_set(0)
    client.reconnect_delay_set(min_delay=1, max_delay=10)
    if user is not None:
        client.username_pw_set(user, password)
    if tls is not None:
        client.tls_set_context(tls)
    return client


class PahoPublisher:
    """A Publisher that waits for the broker's word."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        client_id: str,
        user: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: Nobody answers there, or refuses us.
        """
        self._where = f"broker {host}:{port}"
        self._connected, self._refused = Event(), ""
        # A clean session: what was not acknowledged when we end is the caller's to repeat.
        self._client = _client(client_id, clean=True, user=user, password=password, tls=tls)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        try:
            self._client.connect(host, port, keepalive=60)
        except OSError as error:
            raise BrokerUnavailableError(self._where, str(error), "is it running?") from error
        self._client.loop_start()
        if not self._connected.wait(PATIENCE_S) or self._refused:
            self.close()
            raise BrokerUnavailableError(self._where, self._refused or "does not answer")

    def _on_connect(self, _c: Client, _u: Any, _f: Any, reason: Any, _p: Any = None) -> None:
        self._refused = str(reason) if reason.is_failure else ""
        self._connected.set()

    def _on_disconnect(self, *_: Any) -> None:
        self._connected.clear()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Return once the message is the broker's: see `ports.Publisher`."""
        self._await(self._client.publish(topic, payload, qos=1, retain=retain))

    def publish_many(self, messages: Iterable[tuple[str, bytes]]) -> int:
        """Publish many, several in flight: see `ports.Publisher`."""
        waiting: deque[MQTTMessageInfo] = deque()
        published = 0
        for topic, payload in messages:
            waiting.append(self._client.publish(topic, payload, qos=1))
            if len(waiting) > IN_FLIGHT:
                self._await(waiting.popleft())
                published += 1
        for one in waiting:
            self._await(one)
        return published + len(waiting)

    def _await(self, info: MQTTMessageInfo) -> None:
        try:
            info.wait_for_publish(PATIENCE_S)
        except (RuntimeError, ValueError) as error:
            if info.rc != MQTTErrorCode.MQTT_ERR_NO_CONN:
                raise BrokerUnavailableError(self._where, str(error)) from error
            self._await_queued(info)
        if not info.is_published():
            raise BrokerUnavailableError(self._where, f"took nothing within {PATIENCE_S:.0f} s")

    @staticmethod
    def _await_queued(info: MQTTMessageInfo) -> None:
        """Wait for a message that paho holds until it is connected again."""
        end = time.monotonic() + PATIENCE_S
        while not info._published and time.monotonic() < end:  # noqa: SLF001 - is_published raises while offline
            time.sleep(0.05)

    def ping(self) -> str:
        """Say what is connected: see `ports.Publisher`."""
        if not self._client.is_connected():
            raise BrokerUnavailableError(self._where, "is not connected", "is it running?")
        return f"MQTT 3.1.1 at {self._where.removeprefix('broker ')}"

    def close(self) -> None:
        """Disconnect in order."""
        self._client.disconnect()
        self._client.loop_stop()


class PahoSubscriber:
    """The reference Broker: paho with manual acknowledgement, queue and thread included."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        client_id: str,
        window: int,
        user: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Describe the session; nothing is connected yet."""
        self.host, self.port, self.window = host, port, window
        self._most = max(1, window // 2)
        self._client = _client(client_id, clean=False, user=user, password=password, tls=tls)
        self._client.manual_ack_set(True)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._arrived: SimpleQueue[tuple[int, MQTTMessage]] = SimpleQueue()
        self._connection = 0
        self._filters: Sequence[str] = ()
        self._refused = ""
        self._started = False

    def _on_connect(self, client: Client, _u: Any, _f: Any, reason: Any, _p: Any = None) -> None:
        if reason.is_failure:
            self._refused = str(reason)
            return
        self._connection += 1
        client.subscribe([(one, 1) for one in self._filters])

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        self._arrived.put((self._connection, message))

    def deliveries(self, filters: Sequence[str], *, until: Event) -> Iterator[Delivery]:
        """Yield what arrives: see `ports.Broker`."""
        self._filters = filters
        if not self._started:
            self._client.connect_async(self.host, self.port, keepalive=60)
            self._client.loop_start()
            self._started = True
        caught_up = False
        while not until.is_set():
            if self._refused:
                raise BrokerUnavailableError(f"broker {self.host}:{self.port}", self._refused)
            batch = self._gather()
            caught_up = caught_up or not batch
            full = len(batch) >= self._most < self.window
            yield Delivery([_message(one) for _, one in batch], batch, not caught_up, full)

    def _gather(self) -> list[tuple[int, MQTTMessage]]:
        batch: list[tuple[int, MQTTMessage]] = []
        end = time.monotonic() + GATHER_S
        while len(batch) < self._most and (left := end - time.monotonic()) > 0:
            try:
                batch.append(self._arrived.get(timeout=left))
            except Empty:
                break
        return batch

    def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge what came over the present connection: see `ports.Broker`."""
        batch: list[tuple[int, MQTTMessage]] = delivery.token  # type: ignore[assignment]  # our own
        for connection, message in batch:
            if connection == self._connection and message.qos:
                self._client.ack(message.mid, message.qos)

    def rest(self, seconds: float, *, until: Event) -> None:
        """Wait: paho's thread keeps the session alive."""
        until.wait(seconds)

    def ping(self) -> str:
        """Say what is connected: see `ports.Broker`."""
        if not self._client.is_connected():
            raise BrokerUnavailableError(f"broker {self.host}:{self.port}", "is not connected")
        return f"MQTT 3.1.1 at {self.host}:{self.port}"

    def close(self) -> None:
        """Disconnect in order; the session stays."""
        self._client.disconnect()
        self._client.loop_stop()


def _message(one: MQTTMessage) -> Message:
    header = 0x30 | (8 if one.dup else 0) | (one.qos << 1) | int(one.retain)
    return Message(one.topic.encode(), bytes(one.payload), header, len(one.payload))
