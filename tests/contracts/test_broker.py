"""What every Broker and every Publisher promises, on every broker that is here."""

import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any
from uuid import uuid4

import pytest

from livinglab.adapters.mqtt import packets
from livinglab.adapters.mqtt.client import PahoPublisher, PahoSubscriber
from livinglab.adapters.mqtt.local import Kind, LocalBroker, Login, find, free_port
from livinglab.adapters.mqtt.memory import MemoryBroker
from livinglab.adapters.mqtt.packets import HEAD, LARGEST
from livinglab.adapters.mqtt.subscriber import BulkSubscriber
from livinglab.errors import BrokerUnavailableError
from livinglab.ports import Broker, Delivery, Message, Publisher

WINDOW = 20
PATIENCE_S = 80.0  # nats-server sends what a dying connection took only after its ack_wait
HOST = "127.0.0.1"
KINDS: tuple[Kind, ...] = ("mosquitto", "nats")
SUBSCRIBERS: dict[str, Callable[..., Broker]] = {"bulk": BulkSubscriber, "paho": PahoSubscriber}


class ImpatientNats(LocalBroker):
    """nats-server sends again after `ack_wait` alone, not on reconnect: wait a second."""

    def _nats(self) -> str:
        text, changed = re.subn(r'ack_wait: "\w+"', 'ack_wait: "1s"', super()._nats())
        assert 1 == changed
        return text


class Connection:
    """One use of a session, from `deliveries` to `close`."""

    def __init__(self, broker: Broker, filters: Sequence[str]) -> None:
        self.broker, self.until = broker, Event()
        self._deliveries = broker.deliveries(filters, until=self.until)

    def read(self, count: int, *, acknowledge: bool = True) -> list[Delivery]:
        """Take Deliveries until *count* messages came; what was retained does not count."""
        taken: list[Delivery] = []
        giving_up = Timer(PATIENCE_S, self.until.set)
        giving_up.start()
        try:
            while len(fresh(taken)) < count:
                delivery = next(self._deliveries, None)
                assert delivery is not None, f"only {payloads(taken)} of {count} messages came"
                taken.append(delivery)
                if acknowledge:
                    self.broker.acknowledge(delivery)
        finally:
            giving_up.cancel()
            giving_up.join()
        return taken

    def read_until(self, payload: bytes | None = None) -> None:
        """Take and acknowledge whatever comes, until a payload or, without one, anything came."""
        for delivery in self._deliveries:
            self.broker.acknowledge(delivery)
            if payload in {None, *(one.payload for one in delivery.messages)}:
                return

    def rest(self) -> Iterator[Delivery]:
        """Take whatever comes, silence too."""
        return self._deliveries

    def rest_of_it(self) -> list[Delivery]:
        """Take whatever comes until the end."""
        return [one for one in self._deliveries if one.messages]

    def end(self) -> None:
        self.until.set()
        self.broker.close()


@contextmanager
def talking(say: Callable[[], None]) -> Iterator[None]:
    """Say something again and again for as long as the context lasts."""
    heard = Event()

    def go_on() -> None:
        while not heard.wait(0.05):
            say()

    thread = Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        heard.set()
        thread.join()


@dataclass
class Session:
    """A session of its own on a broker, its topics, and somebody who publishes to them."""

    publisher: Publisher
    open: Callable[[], Broker]
    lose: Callable[[Broker], None]
    """Cut the present connection, as a network does."""
    topic: str = field(default_factory=lambda: f"city/{uuid4().hex}")
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def filters(self) -> list[str]:
        return [f"{self.topic}/#"]

    def connect(self) -> Connection:
        connection = Connection(self.open(), self.filters)
        self._stack.callback(connection.end)
        return connection

    def begun(self) -> Connection:
        """Connect for the first time, and make sure that the broker delivers.

        Somebody greets until the first greeting came: a granted subscription proves nothing, and
        nats-server under load does not always hand out what it retained.
        """
        connection, topic = self.connect(), f"{self.topic}/hello"
        with talking(lambda: self.publisher.publish(topic, b"hello")):
            connection.read_until()
        self.publisher.publish(topic, b"begun")
        connection.read_until(b"begun")
        return connection

    def publish(self, *texts: str) -> None:
        self.publisher.publish_many((f"{self.topic}/one", text.encode()) for text in texts)

    def close(self) -> None:
        self._stack.close()


def fresh(deliveries: Sequence[Delivery]) -> list[Message]:
    """What came, without what the broker had retained for new subscribers."""
    return [one for delivery in deliveries for one in delivery.messages if not one.retain]


def payloads(deliveries: Sequence[Delivery]) -> list[str]:
    return [one.payload.decode() for one in fresh(deliveries)]


def numbered(count: int) -> list[str]:
    return [str(one) for one in range(count)]


def need(kind: Kind) -> None:
    if find(kind) is None:
        pytest.skip(f"{kind} is not on this machine")


@pytest.fixture(scope="module")
def ports(tmp_path_factory) -> Iterator[Callable[[str], int]]:
    """Start each broker when it is first asked for, and end all."""
    running: dict[str, LocalBroker] = {}

    def start(name: str) -> LocalBroker:
        kind: Kind = "mosquitto" if name == "mosquitto" else "nats"
        need(kind)
        make = ImpatientNats if name == "impatient" else LocalBroker
        folder = tmp_path_factory.mktemp(name)
        return make(folder, port=free_port(), window=WINDOW, kind=kind).start()

    def port(name: str) -> int:
        if name not in running:
            running[name] = start(name)
        return running[name].port

    yield port
    for one in running.values():
        one.stop()


def take_over(port: int, client_id: str) -> None:
    """Enter under the same client id: the broker closes the older connection [3.1.4]."""
    hello = packets.connect(client_id, keepalive_s=10, user=None, password=None)
    with socket.create_connection((HOST, port), timeout=PATIENCE_S) as link:
        link.sendall(hello)
        assert b"\x20" == link.recv(1)


def session_on(port: int, adapter: Callable[..., Broker]) -> Session:
    client_id = f"lab-{uuid4().hex[:12]}"
    return Session(
        publisher=PahoPublisher(host=HOST, port=port, client_id=f"{client_id}-publisher"),
        open=partial(adapter, host=HOST, port=port, client_id=client_id, window=WINDOW),
        lose=lambda _: take_over(port, client_id),
    )


ON_BROKERS = [f"{subscriber}-{kind}" for subscriber in SUBSCRIBERS for kind in KINDS]


def opened(name: str, ports: Callable[[str], int]) -> Session:
    if name == "memory":
        broker = MemoryBroker(window=WINDOW)
        return Session(publisher=broker, open=lambda: broker, lose=lambda _: broker.reconnect())
    subscriber, server = name.split("-")
    return session_on(ports(server), SUBSCRIBERS[subscriber])


@pytest.fixture(params=["memory", *ON_BROKERS])
def session(request, ports) -> Iterator[Session]:
    """Every adapter on every broker."""
    with closing(opened(request.param, ports)) as one, closing(one.publisher):
        yield one


@pytest.fixture(
    params=["memory", *(f"{one}-{on}" for one in SUBSCRIBERS for on in ("mosquitto", "impatient"))]
)
def repeating(request, ports) -> Iterator[Session]:
    """The same, where what is unacknowledged comes again soon."""
    with closing(opened(request.param, ports)) as one, closing(one.publisher):
        yield one


def test_messages_come_in_order(session):
    """A message is topic, payload and QoS 1; no Delivery exceeds the window."""
    connection = session.begun()
    session.publish(*numbered(3 * WINDOW))

    taken = connection.read(3 * WINDOW)

    assert numbered(3 * WINDOW) == payloads(taken)
    assert {(f"{session.topic}/one".encode(), 1)} == {(one.topic, one.qos) for one in fresh(taken)}
    assert WINDOW >= max(len(one.messages) for one in taken)
    assert 1 <= min(len(one.messages) for one in taken)


def test_unacknowledged_come_again(repeating):
    """What was not acknowledged is handed to the next connection, marked so, in order."""
    first = repeating.begun()
    repeating.publish("a", "b", "c")
    assert ["a", "b", "c"] == payloads(first.read(3, acknowledge=False))
    first.end()

    again = repeating.connect().read(3)

    assert ["a", "b", "c"] == payloads(again)
    assert {True} == {one.dup for one in fresh(again)}


def test_acknowledged_never_come_again(session):
    """The next connection begins behind them."""
    first = session.begun()
    session.publish("a", "b", "c")
    first.read(3)
    first.end()
    session.publish("d")

    assert ["d"] == payloads(session.connect().read(1))


def test_message_published_while_away_arrives(session):
    """The session gathers while nobody is connected, each message once.

    nats-server may hand the first to the connection that is ending, and send it again after its
    ack_wait, so across an end the order is no promise.
    """
    session.begun().end()
    session.publish(*numbered(WINDOW + 5))

    found = payloads(session.connect().read(WINDOW + 5))
    assert numbered(WINDOW + 5) == sorted(found, key=int)


def test_lost_connection_is_no_error(repeating):
    """The same iterator goes on over a new connection; what was on its way back may come again."""
    connection = repeating.begun()
    repeating.publish("a")
    connection.read(1)

    repeating.lose(connection.broker)
    repeating.publish("b")

    seen = payloads(connection.read(1))
    while "b" not in seen:
        seen += payloads(connection.read(1))
    assert seen in (["b"], ["a", "b"])


def test_acknowledging_a_stale_delivery_is_harmless(repeating):
    """It reaches no message of the new connection: those come again until acknowledged."""
    connection = repeating.begun()
    repeating.publish("a", "b")
    stale = connection.read(2, acknowledge=False)
    repeating.lose(connection.broker)
    assert ["a", "b"] == payloads(connection.read(2, acknowledge=False))

    for one in stale:
        connection.broker.acknowledge(one)
    connection.end()

    assert ["a", "b"] == payloads(repeating.connect().read(2))


def test_half_the_window_is_read_while_the_other_half_is_unacknowledged(session):
    """A full Delivery says so, and the next one comes before it is acknowledged."""
    connection = session.begun()
    session.publish(*(str(n) for n in range(WINDOW)))

    first = connection.read(1, acknowledge=False)
    while not first[-1].full and len(fresh(first)) < WINDOW // 2:
        first += connection.read(1, acknowledge=False)
    second = connection.read(1, acknowledge=False)

    assert len(payloads(first)) <= WINDOW // 2
    assert [str(n) for n in range(len(payloads(first) + payloads(second)))] == payloads(
        first + second
    )


def test_that_nothing_came_is_told(session):
    """Whoever has a batch in hand can finish it: silence is an empty Delivery."""
    connection = session.begun()

    quiet = next(one for one in connection.rest() if not one.messages)

    assert not quiet.full


@pytest.mark.timeout(30)
def test_until_ends_the_waiting(session):
    """Who waits for messages is let go."""
    connection = session.begun()
    ending = Timer(0.1, connection.until.set)
    ending.start()

    assert [] == fresh(connection.rest_of_it())
    ending.join()


@pytest.mark.timeout(30)
def test_rest_ends_when_told_and_keeps_the_session(session):
    """Resting reads nothing; what came meanwhile is read afterwards."""
    connection = session.begun()
    session.publish("a")
    ended = Event()
    ended.set()

    connection.broker.rest(60, until=ended)
    connection.broker.rest(0.1, until=Event())

    assert ["a"] == payloads(connection.read(1))


def test_ping_says_what_is_connected(session):
    """And closing twice does nothing more."""
    connection = session.begun()

    assert connection.broker.ping()

    connection.end()
    connection.end()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("adapter", SUBSCRIBERS.values(), ids=SUBSCRIBERS.keys())
def test_until_ends_the_waiting_where_nobody_answers(adapter):
    """A broker that is away is waited for, and the wait can be ended."""
    broker = adapter(host=HOST, port=free_port(), client_id="lab", window=WINDOW)
    until = Event()
    ending = Timer(0.3, until.set)
    ending.start()
    with closing(broker):
        assert [] == fresh(list(broker.deliveries(["#"], until=until)))
        with pytest.raises(BrokerUnavailableError):
            broker.ping()
    ending.join()


@pytest.mark.parametrize("kind", KINDS)
def test_oversize_message_is_delivered_cut(kind, ports):
    """Its head and size are kept, and acknowledging it works as for any other."""
    with closing(session_on(ports(kind), BulkSubscriber)) as session, closing(session.publisher):
        first = session.begun()
        session.publish("before", "x" * LARGEST, "after")

        before, cut, after = fresh(first.read(3))
        first.end()
        second = session.connect()

        assert (b"before", b"after") == (before.payload, after.payload)
        assert (b"x" * HEAD, LARGEST, True) == (cut.payload, cut.size, cut.cut)
        with talking(lambda: session.publish("next")):  # nats-server may hold the first back
            assert {"next"} == set(payloads(second.read(1)))


def await_autosave(folder: Path) -> None:
    """Wait until mosquitto saved its sessions as they are now."""
    asked = time.time()
    store, end = folder / "mosquitto.db", time.monotonic() + PATIENCE_S
    while not (store.exists() and store.stat().st_mtime > asked):
        assert time.monotonic() < end, "mosquitto saves nothing"
        time.sleep(0.05)


@pytest.mark.parametrize("adapter", SUBSCRIBERS.values(), ids=SUBSCRIBERS.keys())
def test_session_survives_the_end_of_the_broker(adapter, tmp_path):
    """Killed as by a power cut, mosquitto hands over what it had saved, to the same iterator."""
    need("mosquitto")
    server = LocalBroker(tmp_path, port=free_port(), window=WINDOW, kind="mosquitto").start()
    try:
        session = session_on(server.port, adapter)
        with closing(session), closing(session.publisher):
            connection = session.begun()
            session.publish("a")
            connection.read(1)
            session.publish("b", "c")
            connection.read(2, acknowledge=False)
            await_autosave(tmp_path)

            server.kill()
            server.start()

            assert ["b", "c"] == payloads(connection.read(2))
    finally:
        server.stop()


@pytest.fixture(params=["memory", *(f"bulk-{kind}" for kind in KINDS)])
def published(request, ports) -> Iterator[Session]:
    """Every Publisher, with a subscriber that sees what it does."""
    with closing(opened(request.param, ports)) as one, closing(one.publisher):
        yield one


def test_published_message_arrives(published):
    """Topic and payload as they were given, at QoS 1, and not retained."""
    connection = published.begun()

    published.publisher.publish(f"{published.topic}/ü", b"\x00\xff")

    [message] = fresh(connection.read(1))
    assert (f"{published.topic}/ü".encode(), b"\x00\xff", 1) == (
        message.topic,
        message.payload,
        message.qos,
    )


def test_publish_many_tells_how_many(published):
    """All of them, in order; also none, and more than may be in flight."""
    connection = published.begun()

    assert 0 == published.publisher.publish_many([])
    assert 1_100 == published.publisher.publish_many(
        (f"{published.topic}/one", text.encode()) for text in numbered(1_100)
    )

    assert numbered(1_100) == payloads(connection.read(1_100))


def test_retained_message_waits_for_new_subscribers(published):
    """The last one of a topic, marked so."""
    for text in (b"old", b"new"):
        published.publisher.publish(f"{published.topic}/state", text, retain=True)

    connection = published.connect()
    delivery = next(connection.broker.deliveries(published.filters, until=connection.until))

    assert [(b"new", True)] == [(one.payload, one.retain) for one in delivery.messages]


def test_publisher_pings_and_closes_twice(published):
    """It says what is connected; a second close does nothing."""
    assert published.publisher.ping()

    published.publisher.close()
    published.publisher.close()


def test_publisher_without_a_broker():
    """Nobody listens there: the error names the place."""
    port = free_port()

    with pytest.raises(BrokerUnavailableError, match=str(port)):
        PahoPublisher(host=HOST, port=port, client_id="gateway")


@pytest.fixture(scope="module", params=KINDS)
def guarded(request, tmp_path_factory) -> Iterator[dict[str, Any]]:
    """A broker that asks for a password, as arguments of an adapter that has the wrong one."""
    need(request.param)
    server = LocalBroker(
        tmp_path_factory.mktemp("guarded"),
        port=free_port(),
        window=WINDOW,
        kind=request.param,
        logins=(Login("gateway", "right"),),
    ).start()
    yield {"host": HOST, "port": server.port, "user": "gateway", "password": "wrong"}
    server.stop()


@pytest.mark.parametrize("adapter", SUBSCRIBERS.values(), ids=SUBSCRIBERS.keys())
def test_wrong_password_ends_a_subscriber(adapter, guarded):
    """Waiting cannot mend it, so it is an error at once."""
    refused = pytest.raises(BrokerUnavailableError)
    with closing(adapter(client_id="lab", window=WINDOW, **guarded)) as broker, refused:
        list(broker.deliveries(["#"], until=Event()))


def test_wrong_password_ends_a_publisher(guarded):
    """It never comes to be."""
    with pytest.raises(BrokerUnavailableError):
        PahoPublisher(client_id="gateway", **guarded)


def test_right_password_lets_in(guarded):
    """The same broker takes who knows it."""
    entered = PahoPublisher(client_id="gateway", **(guarded | {"password": "right"}))
    with closing(entered):
        entered.publish("city/one", b"hi")
