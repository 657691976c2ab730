"""What the broker acknowledged is in the store exactly once, whatever is killed meanwhile.

Run by `make kill`; CI runs a short form. The lab is a process of its own against a broker of its
own; one client publishes and counts the broker's acknowledgements.
"""

import random
import resource
import signal
import socket
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from livinglab.adapters.mqtt.client import PahoPublisher
from livinglab.adapters.mqtt.local import LocalBroker, find
from tests.e2e.killing import (
    AWAY_S,
    MESSAGES,
    TIMES,
    assert_exactly_once,
    lab_on,
    messages,
    resident_mb,
    wait_until_subscribed,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find("mosquitto") is None, reason="mosquitto is not on this machine"),
]


def test_lab_killed_at_random_moments(tmp_path: Path, broker: LocalBroker) -> None:
    """`kill -9` of the lab costs nothing and stores nothing twice."""
    random.seed(1)
    with lab_on(tmp_path / "lab", broker.port) as lab:
        lab.start()
        lab.await_messages(0)
        wait_until_subscribed(lab)
        publisher = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="counter")
        acknowledged: list[int] = []

        def publish() -> None:
            part = MESSAGES // (2 * TIMES)
            for start in range(0, MESSAGES, part):
                size = min(part, MESSAGES - start)
                acknowledged.append(publisher.publish_many(messages(start, size)))

        publishing = threading.Thread(target=publish)
        publishing.start()
        for _ in range(TIMES):
            time.sleep(random.uniform(0.2, 2.0))
            lab.end(signal.SIGKILL)
            lab.start()
        publishing.join()
        publisher.close()
        tally = lab.await_messages(MESSAGES)
        assert MESSAGES == sum(acknowledged)
        assert 0 == tally.unaccounted
        assert_exactly_once(lab, MESSAGES)


def test_broker_killed(tmp_path: Path, broker: LocalBroker) -> None:
    """`kill -9` of the broker, once its queue is on disk, costs nothing."""
    with lab_on(tmp_path / "lab", broker.port) as lab:
        lab.start()
        wait_until_subscribed(lab)
        lab.end(signal.SIGTERM)
        publisher = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="counter")
        first = publisher.publish_many(messages(0, MESSAGES // 2))
        publisher.close()
        await_saved(broker)
        broker.kill()
        broker.start()
        publisher = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="counter")
        second = publisher.publish_many(messages(MESSAGES // 2, MESSAGES - MESSAGES // 2))
        publisher.close()
        lab.start()
        tally = lab.await_messages(MESSAGES)
        assert MESSAGES == first + second
        assert 0 == tally.unaccounted
        assert_exactly_once(lab, MESSAGES)


def await_saved(broker: LocalBroker) -> None:
    """Wait until the broker has written its queue after this moment."""
    file, now, end = broker.folder / "mosquitto.db", time.time(), time.monotonic() + 30
    while not file.exists() or file.stat().st_mtime <= now + 1.0:
        assert time.monotonic() < end, "mosquitto saved nothing"
        time.sleep(0.1)
        poke = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="poke")
        poke.publish("poke", b"", retain=True)  # only a change is saved
        poke.close()


def test_disk_that_fills_and_heals(tmp_path: Path, broker: LocalBroker) -> None:
    """While nothing can be written nothing is acknowledged, memory stays bounded, and it heals."""
    with lab_on(tmp_path / "lab", broker.port) as lab:
        lab.start()
        wait_until_subscribed(lab)
        assert lab.process is not None
        pid = lab.process.pid
        publisher = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="counter")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        acknowledged = publisher.publish_many(messages(0, MESSAGES))
        publisher.close()
        end = time.monotonic() + AWAY_S
        peak = 0
        while time.monotonic() < end:
            peak = max(peak, resident_mb(pid))
            time.sleep(0.5)
        settled = lab.tally().decoded
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        tally = lab.await_messages(MESSAGES)
        assert MESSAGES == acknowledged
        assert settled < MESSAGES
        assert peak < 700
        assert 0 == tally.unaccounted
        assert '"store_lost"' in lab.log()
        assert '"store_came_back"' in lab.log()
        assert_exactly_once(lab, MESSAGES)


def test_civic_data_locked_and_released(tmp_path: Path, broker: LocalBroker) -> None:
    """While another program holds the civic database, the broker keeps what arrives."""
    with lab_on(tmp_path / "lab", broker.port) as lab:
        lab.start()
        wait_until_subscribed(lab)
        holder = sqlite3.connect(lab.folder / "civic.sqlite", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        publisher = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="counter")
        acknowledged = publisher.publish_many(messages(0, 2_000))
        publisher.close()
        time.sleep(min(AWAY_S, 25))
        holder.execute("ROLLBACK")
        holder.close()
        tally = lab.await_messages(2_000)
        assert 2_000 == acknowledged
        assert 0 == tally.unaccounted
        assert_exactly_once(lab, 2_000)


class Cutter:
    """A wire to the broker that breaks in the middle of packets."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.cuts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.most = min(2 * TIMES, 8)  # the pauses between connections grow to half a minute
        threading.Thread(target=self._accept, name="cutter").start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            budget = random.randint(20_000, 200_000) if self.cuts < self.most else None
            for one, other, limit in ((client, server, None), (server, client, budget)):
                threading.Thread(target=self._pump, args=(one, other, limit)).start()

    def _pump(self, one: socket.socket, other: socket.socket, limit: int | None) -> None:
        passed = 0
        try:
            while data := one.recv(8_192):
                if limit is not None and passed + len(data) > limit:
                    other.sendall(data[: limit - passed])
                    self.cuts += 1
                    break
                other.sendall(data)
                passed += len(data)
        except OSError:
            pass
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """Let nobody in any more."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def test_network_cut_in_the_middle_of_packets(tmp_path: Path, broker: LocalBroker) -> None:
    """A connection that breaks anywhere costs nothing and stores nothing twice."""
    random.seed(2)
    cutter = Cutter(broker.port)
    try:
        with lab_on(tmp_path / "lab", cutter.port) as lab:
            lab.start()
            wait_until_subscribed(lab)
            publisher = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="counter")
            acknowledged = publisher.publish_many(messages(0, MESSAGES))
            publisher.close()
            tally = lab.await_messages(MESSAGES)
            assert MESSAGES == acknowledged
            assert cutter.cuts > 0
            assert 0 == tally.unaccounted
            assert_exactly_once(lab, MESSAGES)
    finally:
        cutter.close()
