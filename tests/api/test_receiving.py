"""Readings over HTTP: the way of MQTT, with an answer."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from livinglab.bootstrap import open_recorder
from livinglab.domain.ledger import Tally
from livinglab.domain.readings import Appended, ReadingBatch
from livinglab.errors import StoreUnavailableError
from livinglab.ports import Message

SUBMIT = {"Authorization": "Bearer submit-secret"}
AT = 1_772_452_800_000  # noon of 2 March 2026, when the clock of these tests stands still


def send(
    client: TestClient,
    content: str | bytes,
    *,
    headers: Mapping[str, str] = SUBMIT,
    **params: str,
) -> httpx.Response:
    """Post a payload."""
    return client.post("/readings", params=params, content=content, headers=headers)


def test_a_payload_is_stored_before_it_is_answered(client):
    """Who reads at once finds what was confirmed."""
    payload = f'{{"v": 41.5, "t": {AT}}}'
    answer = send(client, payload, format="lab", thing="post-1", property="no2")
    read = client.get("/datastreams/lab:post-1:no2/readings", params={"to": "2026-03-03T00:00Z"})

    assert 200 == answer.status_code
    assert {"stored": 1, "duplicate": 0, "replaced": 0, "quarantined": []} == answer.json()
    assert [41.5] == [one["result"] for one in read.json()["items"]]


def test_a_retry_is_a_duplicate_and_another_value_a_replacement(client):
    """Whoever lost the answer may send again."""

    def told(payload: str) -> dict[str, int]:
        answer = send(client, payload, format="lab", thing="post-1", property="no2")
        found: dict[str, int] = answer.json()
        return found

    told(f'{{"v": 41.5, "t": {AT}}}')

    assert 1 == told(f'{{"v": 41.5, "t": {AT}}}')["duplicate"]
    assert 1 == told(f'{{"v": 42.5, "t": {AT}}}')["replaced"]


def test_the_same_thing_by_mqtt_and_http(client, lab):
    """The city's route of the format says whose scheme it is, so there are not two Things."""
    send(client, f'{{"v": 1, "t": {AT - 1_000}}}', format="lab", thing="post-1", property="no2")
    mqtt = b'{"v": 2, "t": %d}' % AT
    open_recorder(lab).record([Message(b"lab/post-1/no2", mqtt, 0x32, len(mqtt))])

    read = client.get("/datastreams/lab:post-1:no2/readings", params={"to": "2026-03-03T00:00Z"})
    assert [1.0, 2.0] == [one["result"] for one in read.json()["items"]]


def test_what_is_refused_is_told_and_kept(client, lab):
    """One bad value costs no other; its bytes wait in quarantine."""
    nodes = (
        '[{"dc:identifier": "7", "dc:modified": "2026-03-02T11:00:00Z",'
        ' "ayto:temperature": "9.5", "ayto:noise": "n/a"}]'
    )
    told = send(client, nodes, format="santander-environment").json()
    with lab.work(write=False) as work:
        kept = work.quarantine.page()
        total = Tally()
        for line in work.ledger.lines():
            total.add(line.tally)

    assert 1 == told["stored"]
    assert [("bad_number", "[0].ayto:noise")] == [
        (one["reason"], one["path"]) for one in told["quarantined"]
    ]
    assert [nodes.encode()] == [one.payload for one in kept]
    assert 0 == total.unaccounted


def test_a_payload_that_is_no_payload(client):
    """It is refused as a whole, with the reason that MQTT would log."""
    told = send(client, "{", format="lab", thing="a", property="no2").json()

    assert ["bad_json"] == [one["reason"] for one in told["quarantined"]]


@pytest.mark.parametrize(
    ("params", "status", "word"),
    [
        ({"format": "smoke-signals"}, 415, "smoke-signals"),
        ({"format": "json"}, 422, "city file"),
        ({"format": "lab", "thing": "a/b", "property": "no2"}, 422, "slash"),
        ({}, 422, "format"),
    ],
)
def test_a_wrong_question_is_answered_with_what_to_do(client, params, status, word):
    """No format, an unknown one, one that only a route can explain, a name with a slash."""
    answer = send(client, "1", **params)

    assert status == answer.status_code
    assert word in answer.text


def test_only_with_a_key_that_may_submit(client):
    """Readings are not citizens' postings: somebody answers for them."""
    assert 401 == send(client, "1", format="lab", headers={}).status_code
    moderator = {"Authorization": "Bearer moderate-secret"}
    assert 403 == send(client, "1", format="lab", headers=moderator).status_code


def test_too_large_is_refused_before_it_is_read(client):
    """As over MQTT, 256 KiB is the limit."""
    assert 413 == send(client, b"1" * (256 * 1024 + 1), format="lab").status_code
    assert 200 == send(client, b" " * (256 * 1024 - 1) + b"1", format="lab").status_code


def test_a_store_that_is_away_is_no_success(client, lab):
    """503 with Retry-After: nothing is certain, so the sender tries again."""

    class Away:
        def append(self, batch: ReadingBatch) -> Appended:
            del batch
            raise StoreUnavailableError("readings", "the disk is full", "free some space")

        def __getattr__(self, name: str) -> object:
            return getattr(present, name)

    present = lab.readings
    client.app.state.receiver.recorder.readings = Away()
    answer = send(client, f'{{"v": 1, "t": {AT}}}', format="lab", thing="a", property="no2")

    assert 503 == answer.status_code
    assert "Retry-After" in answer.headers


def test_many_at_once_lose_nothing(client, lab):
    """Thirty gateways send in parallel: each Reading once, each Thing once."""

    def one(n: int) -> int:
        payload = f'{{"v": {n}, "t": {AT - n * 1_000}}}'
        told = send(client, payload, format="lab", thing=f"g{n % 5}", property="no2").json()
        return int(told["stored"])

    with ThreadPoolExecutor(10) as threads:
        assert 30 == sum(threads.map(one, range(30)))
    assert 30 == lab.readings.count()
