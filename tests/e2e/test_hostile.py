"""Hostile and broken Things: each costs what it sent, and its neighbours nothing."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

import paho.mqtt.client as mqtt
import pytest
from structlog.testing import capture_logs

from ingest.pipeline import recording
from livinglab.adapters.mqtt.client import PahoPublisher
from livinglab.adapters.mqtt.local import LocalBroker, find
from livinglab.bootstrap import BrokerAddress, Lab, open_broker, open_lab
from livinglab.config import Settings
from livinglab.domain.ledger import Tally
from livinglab.domain.readings import Interval, from_ms
from livinglab.services.watching import Pulse

pytestmark = pytest.mark.skipif(
    find("mosquitto") is None, reason="mosquitto is not on this machine"
)

BEGIN_MS = 1_767_225_600_000
GOOD = 2_000
LIMIT = 20
PATIENCE_S = 30.0


def begin_session(broker: LocalBroker) -> None:
    """Subscribe under the lab's name, so that what is published from now on waits for it."""
    granted = Event()
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=Settings().client_id, clean_session=False
    )
    client.on_subscribe = lambda *_: granted.set()
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe("lab/+/+", qos=1)
    assert granted.wait(PATIENCE_S)
    client.disconnect()
    client.loop_stop()


@contextmanager
def lab_at(broker: LocalBroker, folder: Path) -> Iterator[Lab]:
    """Have a lab that records what its broker brings."""
    settings = Settings(data=folder, provision_limit=LIMIT)
    at = BrokerAddress("127.0.0.1", broker.port, window=broker.window)
    with ExitStack() as parts:
        lab = open_lab(settings)
        parts.callback(lab.close)
        parts.enter_context(recording(lab, open_broker(settings, at), Pulse()))
        yield lab


def total(lab: Lab) -> Tally:
    """Add up the ledger."""
    found = Tally()
    with lab.work(write=False) as work:
        for line in work.ledger.lines():
            found.add(line.tally)
    return found


def reasons(lab: Lab) -> dict[str, int]:
    """Count what waits in quarantine, by reason."""
    with lab.work(write=False) as work:
        counts = work.quarantine.counts()
    found: dict[str, int] = {}
    for (_, reason), n in counts.items():
        found[reason] = found.get(reason, 0) + n
    return found


def good(k: int) -> tuple[str, bytes]:
    """Write the k-th message of the neighbour."""
    return "lab/neighbour/no2", json.dumps({"v": k % 40, "t": BEGIN_MS + k * 1_000}).encode()


def stored_of_neighbour(lab: Lab) -> list[int]:
    """List the seconds for which the neighbour's Readings are stored."""
    with lab.work(write=False) as work:
        known = work.things.datastream("lab:neighbour:no2")
    if known is None:
        return []
    span = Interval(from_ms(BEGIN_MS), from_ms(BEGIN_MS + GOOD * 1_000))
    found = lab.readings.between(known.number or 0, span)
    return [int((one.time - from_ms(BEGIN_MS)).total_seconds()) for one in found]


HOSTILE: list[tuple[str, bytes, str]] = [
    ("lab/evil/no2", b'{"v": "' + b"x" * (256 * 1024) + b'"}', "too_large"),
    ("lab/evil/no2", b'{"v":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "too_deep"),
    ("lab/evil/no2", b'{"v": 1e999}', "bad_json"),
    ("lab/evil/no2", b'{"v": "1e999"}', "not_finite"),
    ("lab/evil/no2", b'{"v": NaN}', "bad_json"),
    ("lab/evil/no2", b"\xff\xfe\x00", "not_utf8"),
    ("lab/evil/no2", b'{"v": 1, "t": 99999999999999}', "future"),
    ("lab/" + "t" * (65_535 - len("lab//no2")) + "/no2", b"1", "bad_identity"),
]


def test_a_neighbour_of_hostile_things_loses_nothing(broker, tmp_path):
    """Every kind of nonsense between good messages: each is quarantined, none of the good lost."""
    begin_session(broker)
    with lab_at(broker, tmp_path / "lab") as lab:
        publisher = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="city")
        messages = [good(k) for k in range(GOOD)]
        for n, (topic, payload, _) in enumerate(HOSTILE):
            messages.insert(n * 250, (topic, payload))
        assert len(messages) == publisher.publish_many(messages)
        publisher.close()
        await_messages(lab, len(messages))

        assert list(range(GOOD)) == stored_of_neighbour(lab)
        assert {reason for *_, reason in HOSTILE} == reasons(lab).keys()
        assert 0 == total(lab).unaccounted


def test_a_flood_of_unknown_things_is_stopped_at_the_limit(broker, tmp_path):
    """So many may introduce themselves in an hour; the registry does not grow with the others."""
    begin_session(broker)
    flood = [(f"lab/bot-{k}/no2", b'{"v": 1, "t": 1767225600000}') for k in range(3_000)]
    with lab_at(broker, tmp_path / "lab") as lab:
        publisher = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="city")
        messages = [good(0), *flood]
        for k in range(1, GOOD):
            messages.insert(k * 2, good(k))
        publisher.publish_many(messages)
        publisher.close()
        await_messages(lab, len(messages))
        with lab.work(write=False) as work:
            things = len(work.things.all())

        assert list(range(GOOD)) == stored_of_neighbour(lab)
        assert LIMIT == things
        assert {"provision_limit"} == reasons(lab).keys()
        assert 3_000 - (LIMIT - 1) == total(lab).quarantined_readings
        assert 0 == total(lab).unaccounted


def test_two_labs_with_one_client_id_push_each_other_out_and_say_so(broker, tmp_path):
    """A second lab was started by mistake: nothing is lost between the two, and both complain."""
    with capture_logs() as logs, lab_at(broker, tmp_path / "one") as one:
        publisher = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="city")
        await_messages_of_either(one, one, publisher, 0)
        with lab_at(broker, tmp_path / "two") as two:
            for start in range(0, GOOD, 100):
                publisher.publish_many(good(k) for k in range(start, start + 100))
                time.sleep(0.1)  # the rate of the neighbour, through several take-overs
            await_messages_of_either(one, two, publisher, GOOD)
            stored = set(stored_of_neighbour(one)) | set(stored_of_neighbour(two))
            complained = PATIENCE_S
            end = time.monotonic() + complained
            while time.monotonic() < end and not contended(logs):
                time.sleep(0.1)
        publisher.close()

    assert set(range(GOOD)) == stored
    assert contended(logs)


def contended(logs: Sequence[Mapping[str, object]]) -> bool:
    """Tell whether somebody reported a second user of its client id."""
    return any(line["event"] == "client_id_contended" for line in list(logs))


def await_messages(lab: Lab, n: int) -> None:
    """Wait until so many messages were settled."""
    end = time.monotonic() + PATIENCE_S
    while total(lab).messages < n:
        assert time.monotonic() < end, f"only {total(lab).messages} of {n}"
        time.sleep(0.1)


def await_messages_of_either(one: Lab, other: Lab, publisher: PahoPublisher, n: int) -> None:
    """Wait until every message is stored by one lab or the other."""
    if not n:
        publisher.publish("lab/hello/no2", b"1")
        await_messages(one, 1)
        return
    end = time.monotonic() + PATIENCE_S
    while len(set(stored_of_neighbour(one)) | set(stored_of_neighbour(other))) < n:
        assert time.monotonic() < end
        time.sleep(0.1)
