"""What the broker acknowledged is in the store exactly once, whatever is killed meanwhile.

Run by `make kill`; CI runs a short form. The lab is a process of its own against a broker of its
own; one client publishes and counts the broker's acknowledgements.
"""

import json
import os
import random
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

from livinglab.adapters.mqtt.client import PahoPublisher
from livinglab.adapters.mqtt.local import LocalBroker, find, free_port
from livinglab.adapters.relational.unit_of_work import SqlCivicStore
from livinglab.adapters.timeseries.duckdb import DuckDBReadingStore
from livinglab.domain.ledger import Tally
from livinglab.domain.readings import Interval, from_ms

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find("mosquitto") is None, reason="mosquitto is not on this machine"),
]

TIMES = int(os.environ.get("LIVINGLAB_KILL_TIMES", "3"))
MESSAGES = int(os.environ.get("LIVINGLAB_KILL_MESSAGES", "20000"))
AWAY_S = float(os.environ.get("LIVINGLAB_KILL_AWAY_S", "8"))
THINGS = 50
BEGIN_MS = 1_767_225_600_000


class Lab:
    """An ingest process and what it leaves behind."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "LIVINGLAB_DATA": str(folder),
            "LIVINGLAB_BROKER": f"mqtt://127.0.0.1:{port}",
            "LIVINGLAB_BROKER_WINDOW": "10000",
            "LIVINGLAB_PROVISION_LIMIT": str(THINGS),  # no more than there are: retries cost none
        }
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []

    def start(self) -> None:
        """Start it; its log comes to us, whatever becomes of its disk."""
        self.folder.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "livinglab", "ingest"],
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, args=(self.process.stderr,)).start()

    def _listen(self, log: IO[str]) -> None:
        with log:
            self.lines.extend(log)

    def end(self, by: signal.Signals) -> None:
        """End it and wait."""
        if self.process is not None:
            self.process.send_signal(by)
            self.process.wait(60)
            self.process = None

    def log(self) -> str:
        """Return what it logged."""
        return "".join(self.lines)

    def tally(self) -> Tally:
        """Add up the ledger, beside the running process."""
        total = Tally()
        try:
            store = SqlCivicStore.open(f"sqlite:///{self.folder / 'civic.sqlite'}")
        except Exception:  # noqa: BLE001 - it is not there yet
            return total
        try:
            with store.work(write=False) as work:
                for line in work.ledger.lines():
                    total.add(line.tally)
        finally:
            store.close()
        return total

    def await_messages(self, n: int) -> Tally:
        """Wait until so many messages were settled and nothing more comes."""
        end = time.monotonic() + AWAY_S + 100
        before = Tally()
        while time.monotonic() < end:
            found = self.tally()
            if found.messages >= n and found == before:
                return found
            before = found
            time.sleep(1.0)
        pytest.fail(f"only {before.messages} of {n} messages were settled: {self.log()[-2_000:]}")


@contextmanager
def lab_on(folder: Path, port: int) -> Iterator[Lab]:
    """Have a lab that is ended whatever happens."""
    lab = Lab(folder, port)
    try:
        yield lab
    finally:
        lab.end(signal.SIGKILL)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalBroker]:
    """A mosquitto with the settings that ship."""
    started = LocalBroker(
        tmp_path / "broker", port=free_port(), window=10_000, kind="mosquitto"
    ).start()
    try:
        yield started
    finally:
        started.stop()


def messages(start: int, n: int) -> Iterator[tuple[str, bytes]]:
    """Yield messages of which no two are for the same instant of the same Thing."""
    for k in range(start, start + n):
        body = {"v": k % 40, "t": BEGIN_MS + (k // THINGS) * 1_000}
        yield f"lab/t{k % THINGS}/temperature", json.dumps(body).encode()


def assert_exactly_once(lab: Lab, n: int) -> None:
    """Hold the store against what was published: every value at its instant, and no other."""
    lab.end(signal.SIGTERM)
    store = DuckDBReadingStore(lab.folder / "readings.duckdb")
    civic = SqlCivicStore.open(f"sqlite:///{lab.folder / 'civic.sqlite'}")
    try:
        with civic.work(write=False) as work:
            series = {one.thing: one.number or 0 for one in work.things.datastreams()}
        span = Interval(from_ms(BEGIN_MS), from_ms(BEGIN_MS + (n // THINGS + 1) * 1_000))
        found = {
            (thing, reading.time): reading.result
            for thing, number in series.items()
            for reading in store.between(number, span)
        }
        rows = store.count()
    finally:
        store.close()
        civic.close()
    wanted = {
        (f"lab:t{k % THINGS}", from_ms(BEGIN_MS + (k // THINGS) * 1_000)): float(k % 40)
        for k in range(n)
    }
    assert n == rows
    assert wanted == found


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


def wait_until_subscribed(lab: Lab) -> None:
    """Wait until the probe of the watchdog came back: then the session exists."""
    end = time.monotonic() + 60
    while lab.tally().probe == 0:
        assert time.monotonic() < end, lab.log()[-2_000:]
        time.sleep(0.2)


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


def resident_mb(pid: int) -> int:
    """Return the resident memory of a process. [MB]"""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1_024
    return 0


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
        self.most = 2 * TIMES
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
