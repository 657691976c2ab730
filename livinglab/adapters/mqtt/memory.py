"""A broker in memory, held to the same promises: for tests and demonstrations."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from threading import Condition, Event
from typing import Any

from livinglab.ports import Delivery, Message

IDLE_S = 0.25
"""How long nothing comes before that is told. [s]"""


class MemoryBroker:
    """One object that is both Broker and Publisher; its session outlives `reconnect`."""

    def __init__(self, *, window: int = 1_000) -> None:
        """Begin with an empty session."""
        self.window = window
        self._filters: Sequence[str] = ()
        self._queue: deque[Message] = deque()
        self._in_flight: deque[Message] = deque()
        self._retained: dict[bytes, Message] = {}
        self._connection = 0
        self._changed = Condition()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Take a message: see `ports.Publisher`."""
        message = Message(topic.encode(), payload, 0x32, len(payload))
        with self._changed:
            if retain:
                self._retained[message.topic] = message._replace(header=0x33)
            if any(matches(one, topic) for one in self._filters):
                self._queue.append(message)
            self._changed.notify_all()

    def publish_many(self, messages: Iterable[tuple[str, bytes]]) -> int:
        """Take many: see `ports.Publisher`."""
        n = 0
        for topic, payload in messages:
            self.publish(topic, payload)
            n += 1
        return n

    def subscribe(self, filters: Sequence[str]) -> None:
        """Begin the session, as a subscriber that connected once does."""
        with self._changed:
            for topic, message in self._retained.items():
                new = [one for one in filters if one not in self._filters]
                if any(matches(one, topic.decode()) for one in new):
                    self._queue.append(message)
            self._filters = filters

    def reconnect(self) -> None:
        """Lose the connection: what was not acknowledged comes again, marked so."""
        with self._changed:
            again = [one._replace(header=one.header | 8) for one in self._in_flight]
            self._queue.extendleft(reversed(again))
            self._in_flight.clear()
            self._connection += 1
            self._changed.notify_all()

    def deliveries(self, filters: Sequence[str], *, until: Event) -> Iterator[Delivery]:
        """Yield what arrives: see `ports.Broker`."""
        self.subscribe(filters)
        self.reconnect()
        while not until.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._room() > 0, IDLE_S)
                batch = [self._queue.popleft() for _ in range(self._room())]
                self._in_flight.extend(batch)
                token = (self._connection, batch)
                backlog = bool(self._queue)
            full = len(batch) >= max(1, self.window // 2) < self.window
            yield Delivery(batch, token, backlog, full)

    def _room(self) -> int:
        """Count what may be handed over now: half the window at a time."""
        room = self.window - len(self._in_flight)
        return min(room, max(1, self.window // 2), len(self._queue))

    def acknowledge(self, delivery: Delivery) -> None:
        """Forget a Delivery: see `ports.Broker`."""
        token: Any = delivery.token
        connection, batch = token
        with self._changed:
            if connection == self._connection:
                for _ in batch:
                    self._in_flight.popleft()

    def rest(self, seconds: float, *, until: Event) -> None:
        """Wait: see `ports.Broker`."""
        until.wait(seconds)

    def ping(self) -> str:
        """Say what this is."""
        return "broker in memory"

    def close(self) -> None:
        """Do nothing: the session stays."""


def matches(filter_: str, topic: str) -> bool:
    """Tell whether an MQTT filter takes a topic."""
    levels, wanted = topic.split("/"), filter_.split("/")
    if topic.startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for at, one in enumerate(wanted):
        if one == "#":
            return True
        if at >= len(levels) or one not in {"+", levels[at]}:
            return False
    return len(levels) == len(wanted)
