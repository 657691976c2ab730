"""Our subscriber against brokers that refuse, fall silent, talk nonsense or hide behind TLS."""

import shutil
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import pytest
import trustme

from livinglab.adapters.mqtt.client import PahoPublisher
from livinglab.adapters.mqtt.local import find, free_port
from livinglab.adapters.mqtt.subscriber import BulkSubscriber
from livinglab.errors import BrokerUnavailableError

HOST = "127.0.0.1"
WELCOME = b"\x20\x02\x00\x00"
GRANTED = b"\x90\x03\x00\x01\x01"
PATIENCE_S = 20.0

Script = Callable[[socket.socket], None]


def publish(text: str, packet_id: int = 1) -> bytes:
    """Write a PUBLISH at QoS 1 to `lab/a`."""
    body = struct.pack("!H", 5) + b"lab/a" + struct.pack("!H", packet_id) + text.encode()
    return bytes([0x32, len(body)]) + body


class ScriptedBroker:
    """Plays one script a connection, in order, the last one again and again."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.scripts, self.tls = list(scripts), tls
        self.met = 0
        """How many clients connected."""
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed under it: the end
            while True:
                link, _ = self._listener.accept()
                script = self.scripts[min(self.met, len(self.scripts) - 1)]
                self.met += 1
                with suppress(OSError), link:
                    link.settimeout(PATIENCE_S)
                    if self.tls is not None:
                        link = self.tls.wrap_socket(link, server_side=True)
                    with link:
                        script(link)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def says(*pieces: bytes) -> Script:
    """Answer each packet of the client with the next piece, then listen until it hangs up."""

    def play(link: socket.socket) -> None:
        for piece in pieces:
            if not link.recv(4_096):
                return
            link.sendall(piece)
        while link.recv(4_096):
            pass

    return play


def then_hangs_up(*pieces: bytes) -> Script:
    """Answer likewise, and close the connection."""

    def play(link: socket.socket) -> None:
        for piece in pieces:
            if not link.recv(4_096):
                return
            link.sendall(piece)

    return play


SOUND = says(WELCOME, GRANTED + publish("sound"))


@pytest.fixture
def broker() -> Iterator[Callable[..., ScriptedBroker]]:
    """Make scripted brokers that end with the test."""
    made: list[ScriptedBroker] = []

    def make(*scripts: Script, tls: ssl.SSLContext | None = None) -> ScriptedBroker:
        made.append(ScriptedBroker(*scripts, tls=tls))
        return made[-1]

    yield make
    for one in made:
        one.close()


def first_message(port: int, *, keepalive_s: int = 60, tls: ssl.SSLContext | None = None) -> str:
    """Subscribe and return the first payload that comes."""
    subscriber = BulkSubscriber(
        host=HOST, port=port, client_id="faults", window=20, keepalive_s=keepalive_s, tls=tls
    )
    until = Event()
    giving_up = Timer(PATIENCE_S, until.set)
    giving_up.start()
    try:
        with closing(subscriber):
            for delivery in subscriber.deliveries(["lab/#"], until=until):
                if delivery.messages:
                    return delivery.messages[0].payload.decode()
    finally:
        giving_up.cancel()
    pytest.fail("nothing came")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (1, "does not speak MQTT 3.1.1"),
        (2, "choose another with LIVINGLAB_CLIENT_ID"),
        (4, "user or password are wrong"),
        (5, "does not let us in"),
    ],
)
def test_a_refusal_that_waiting_cannot_mend_ends_it(broker, code, sentence):
    """Each code of CONNACK is one sentence with what to do, at once and once [3.2.2.3]."""
    refusing = broker(says(bytes([0x20, 2, 0, code])))

    with pytest.raises(BrokerUnavailableError, match=sentence):
        first_message(refusing.port)
    assert 1 == refusing.met


def test_a_broker_that_is_not_ready_is_asked_again(broker):
    """Code 3, server unavailable, passes."""
    busy = broker(says(b"\x20\x02\x00\x03"), SOUND)

    assert "sound" == first_message(busy.port)
    assert 2 == busy.met


def test_a_refused_subscription_ends_it(broker):
    """Without its topics ingest would be silent for ever, and look healthy."""
    with pytest.raises(BrokerUnavailableError, match=r"refuses the subscription lab/#"):
        first_message(broker(says(WELCOME, b"\x90\x03\x00\x01\x80")).port)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="a web server"),
        pytest.param(b"\x00\x00\x00\x00", id="zeros"),
        pytest.param(b"\x30\x02\x00\x00", id="a PUBLISH before the CONNACK"),
    ],
)
def test_an_answer_that_is_no_connack_is_given_up(broker, answer):
    """Whoever answers so is no broker now; it may be one at the next try."""
    assert "sound" == first_message(broker(says(answer), SOUND).port)


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param(b"\x82\x05\x00\x01\x00\x01a", id="a packet that only clients send"),
        pytest.param(b"\x32\xff\xff\xff\xff\x7f", id="a length of five bytes"),
        pytest.param(b"\x32\x03\x00\x09a", id="a topic longer than its packet"),
        pytest.param(b"\x32\x05\x00\x01a\x00\x00", id="packet id 0"),
        pytest.param(b"\x34\x06\x00\x01a\x00\x01x", id="a QoS that nobody asked for"),
        pytest.param(b"\x32\x05\x00\x01\xff\x00\x01", id="a topic that is no UTF-8"),
        pytest.param(b"\x90\xff\xff\x7f", id="two megabytes that are no PUBLISH"),
    ],
)
def test_nonsense_ends_the_connection_and_nothing_else(broker, nonsense):
    """Nothing after it can be trusted; what the session holds comes again."""
    mad = broker(says(WELCOME, GRANTED + nonsense), SOUND)

    assert "sound" == first_message(mad.port)
    assert 2 == mad.met


def test_a_broker_that_never_answers_is_left(broker):
    """It took the connection and sits there: not for longer than the keep-alive."""
    mute = broker(says(), SOUND)

    assert "sound" == first_message(mute.port, keepalive_s=1)
    assert 2 == mute.met


def test_a_broker_that_falls_silent_is_left(broker):
    """PINGREQ without PINGRESP: the network is gone, though the socket does not know."""
    silent = broker(says(WELCOME, GRANTED), SOUND)

    assert "sound" == first_message(silent.port, keepalive_s=1)
    assert 2 == silent.met


def test_a_connection_cut_in_a_packet_leaves_nothing_behind(broker):
    """The half of a message is no message, and no head of the next connection."""
    cut = broker(then_hangs_up(WELCOME, GRANTED + publish("torn apart")[:9]), SOUND)

    assert "sound" == first_message(cut.port)


def test_packets_may_come_byte_by_byte(broker):
    """TCP promises bytes, not packets."""

    def dribble(link: socket.socket) -> None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.recv(4_096)
        for one in WELCOME:
            link.sendall(bytes([one]))
        link.recv(4_096)
        for one in GRANTED + publish("in drops"):
            link.sendall(bytes([one]))
        while link.recv(4_096):
            pass

    assert "in drops" == first_message(broker(dribble).port)


def test_what_came_with_the_connack_counts(broker):
    """A session that waited may send at once, in the same segment."""
    eager = broker(says(WELCOME + publish("early"), GRANTED))

    assert "early" == first_message(eager.port)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_tls_carries_the_session(broker, authority):
    """The same packets, encrypted."""
    sealed = broker(SOUND, tls=server_side(authority, HOST))

    assert "sound" == first_message(sealed.port, tls=trusting(authority))


@pytest.mark.parametrize("named", [HOST, "elsewhere.example"])
def test_a_certificate_that_is_not_trusted_ends_it(broker, authority, named):
    """An unknown authority, or another's name: it may be somebody who listens in between."""
    trusted = authority if named != HOST else trustme.CA()
    sealed = broker(SOUND, tls=server_side(authority, named))

    with pytest.raises(BrokerUnavailableError, match=r"certificate .* LIVINGLAB_BROKER_CA"):
        first_message(sealed.port, tls=trusting(trusted))


def test_a_broker_without_tls_is_no_reason_to_go_without(broker, authority):
    """Who answers in plain text is given up, and asked again."""
    assert "sound" == first_message(
        _plain_then_sealed(broker, authority).port, tls=trusting(authority)
    )


def _plain_then_sealed(
    make: Callable[..., ScriptedBroker], authority: trustme.CA
) -> ScriptedBroker:
    context = server_side(authority, HOST)

    def sealed(link: socket.socket) -> None:
        with context.wrap_socket(link, server_side=True) as inside:
            SOUND(inside)

    return make(says(b"not TLS at all"), sealed)


def await_port(port: int) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.02)
    pytest.fail(f"nobody listens at {port}")


@contextmanager
def mosquitto_with_tls(folder: Path, authority: trustme.CA, port: int) -> Iterator[None]:
    """Run a mosquitto that speaks TLS only, and knows one user."""
    passwords, key, chain = folder / "passwords", folder / "key.pem", folder / "chain.pem"
    issued = authority.issue_cert(HOST)
    issued.private_key_pem.write_to_path(key)
    for part in issued.cert_chain_pems:
        part.write_to_path(chain, append=True)
    tool = str(shutil.which("mosquitto_passwd"))
    subprocess.run([tool, "-b", "-c", str(passwords), "gate", "open sesame"], check=True)
    settings = folder / "mosquitto.conf"
    settings.write_text(
        f"user root\nlistener {port} {HOST}\nallow_anonymous false\n"
        f"password_file {passwords}\ncertfile {chain}\nkeyfile {key}\n"
    )
    running = subprocess.Popen([str(find("mosquitto")), "-c", str(settings)])
    try:
        await_port(port)
        yield
    finally:
        running.terminate()
        running.wait(10)


@pytest.mark.skipif(find("mosquitto") is None, reason="mosquitto is not on this machine")
def test_tls_and_password_with_mosquitto(authority, tmp_path):
    """The whole way through a real broker: authority, user, password, a message at QoS 1."""
    port = free_port()
    with mosquitto_with_tls(tmp_path, authority, port):
        login: dict[str, Any] = {"host": HOST, "port": port, "user": "gate"}
        login["password"] = "open sesame"
        tls = trusting(authority)
        with (
            closing(BulkSubscriber(client_id="tls", window=20, tls=tls, **login)) as subscriber,
            closing(PahoPublisher(client_id="sender", tls=tls, **login)) as publisher,
        ):
            publisher.publish("lab/a", b"sealed", retain=True)
            came = subscriber.deliveries(["lab/#"], until=Event())
            delivery = next(one for one in came if one.messages)
            assert [b"sealed"] == [one.payload for one in delivery.messages]
