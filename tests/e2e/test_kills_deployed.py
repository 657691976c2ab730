"""The deployed profile: InfluxDB and PostgreSQL are stopped and killed, and nothing is lost.

Run by `make kill`; CI runs a short form.
"""

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from livinglab.adapters.mqtt.client import PahoPublisher
from livinglab.adapters.mqtt.local import LocalBroker, find
from tests.e2e.killing import (
    AWAY_S,
    MESSAGES,
    TIMES,
    Lab,
    assert_exactly_once,
    lab_on,
    messages,
    resident_mb,
    wait_until_subscribed,
)
from tests.influxdb import ORG, TOKEN, InfluxDB, running
from tests.postgres_server import PostgresServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find("mosquitto") is None, reason="mosquitto is not on this machine"),
    pytest.mark.skipif(shutil.which("influxd") is None, reason="influxd is not on this machine"),
]

MOST_MB = 700


@pytest.fixture
def influxdb() -> Iterator[InfluxDB]:
    """A server that may be killed."""
    with running() as server:
        yield server


@pytest.fixture
def postgresql() -> Iterator[PostgresServer]:
    """A server that waits for its disk, and may be killed."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def lab(
    tmp_path: Path, broker: LocalBroker, influxdb: InfluxDB, postgresql: PostgresServer
) -> Iterator[Lab]:
    """An ingest process on both, subscribed."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    settings = {
        "LIVINGLAB_READINGS": f"influxdb://127.0.0.1:{influxdb.port}/{ORG}/first",
        "LIVINGLAB_INFLUXDB_TOKEN_FILE": str(token),
        "LIVINGLAB_CIVIC": postgresql.migrated(),
    }
    with lab_on(tmp_path / "lab", broker.port, **settings) as started:
        started.start()
        wait_until_subscribed(started)
        yield started


def published(broker: LocalBroker) -> tuple[threading.Thread, list[int]]:
    """Publish everything from a thread; how many were acknowledged comes last."""
    acknowledged: list[int] = []

    def publish() -> None:
        publisher = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="counter")
        part = max(1, MESSAGES // (2 * TIMES))
        for start in range(0, MESSAGES, part):
            size = min(part, MESSAGES - start)
            acknowledged.append(publisher.publish_many(messages(start, size)))
        publisher.close()

    thread = threading.Thread(target=publish)
    thread.start()
    return thread, acknowledged


def assert_all_there(lab: Lab, influxdb: InfluxDB, acknowledged: list[int]) -> None:
    """Count what the broker took, what the ledger says, and what is stored."""
    tally = lab.await_messages(MESSAGES)
    assert MESSAGES == sum(acknowledged)
    assert 0 == tally.unaccounted
    assert_exactly_once(lab, MESSAGES, influxdb.store("first"))


def stay_away(lab: Lab, go: Callable[[], None], come: Callable[[], object]) -> int:
    """Have a server away for a while; return the most memory that the lab had. [MB]"""
    assert lab.process is not None
    pid, peak = lab.process.pid, 0
    go()
    end = time.monotonic() + AWAY_S
    while time.monotonic() < end:
        peak = max(peak, resident_mb(pid))
        time.sleep(0.5)
    come()
    return peak


@pytest.mark.parametrize("which", ["influxdb", "postgresql"])
def test_server_stopped_for_a_while(which, request, lab, broker, influxdb) -> None:
    """The broker keeps what arrives; the lab waits, with bounded memory, and catches up."""
    server = request.getfixturevalue(which)
    thread, acknowledged = published(broker)
    peak = stay_away(lab, server.stop, server.start)
    thread.join()

    assert_all_there(lab, influxdb, acknowledged)
    assert peak < MOST_MB
    assert '"store_lost"' in lab.log()
    assert '"store_came_back"' in lab.log()


@pytest.mark.parametrize("which", ["influxdb", "postgresql"])
def test_server_killed_in_the_middle_of_batches(which, request, lab, broker, influxdb) -> None:
    """`kill -9` again and again, under load: nothing lost, nothing twice."""
    random.seed(3)
    server = request.getfixturevalue(which)
    thread, acknowledged = published(broker)
    for _ in range(TIMES):
        time.sleep(random.uniform(0.1, 1.5))
        server.kill()
        server.start()
    thread.join()

    assert_all_there(lab, influxdb, acknowledged)
