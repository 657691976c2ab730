"""What only a store behind HTTP has to endure: poison, silence, refusals, kills, and doubt."""

import gzip
import json
import math
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from livinglab.adapters.mqtt.local import free_port
from livinglab.adapters.timeseries.influxdb import InfluxDBReadingStore
from livinglab.domain.geometry import Point
from livinglab.domain.readings import (
    NO_TEST,
    Appended,
    Flag,
    Interval,
    Outcome,
    ReadingBatch,
    Replacement,
    Spot,
    Test,
    to_ms,
)
from livinglab.errors import StoreUnavailableError
from tests import influxdb
from tests.influxdb import ORG, TOKEN, InfluxDB

START = datetime(2024, 3, 1, tzinfo=UTC)
START_MS = to_ms(START)
WEEK = 7 * 24 * 60
ALWAYS = Interval(START - timedelta(days=999), START + timedelta(days=9_999))
NEW, DUPLICATE, REPLACED, REFUSED = Outcome
NAN = math.nan


@pytest.fixture
def server() -> InfluxDB:
    return influxdb.shared()


@pytest.fixture
def bucket(server: InfluxDB) -> str:
    return server.bucket()


@pytest.fixture
def store(server: InfluxDB, bucket: str) -> Iterator[InfluxDBReadingStore]:
    with closing(server.store(bucket)) as store:
        yield store


def batch_of(*rows: tuple[int, int, float]) -> ReadingBatch:
    """Rows of Datastream, minutes after START, result."""
    batch = ReadingBatch()
    for datastream, minutes, result in rows:
        batch.add(datastream, START_MS + 60_000 * minutes, result, flag=Flag.GOOD)
    return batch


def reasons(told: Appended) -> list[tuple[int, str]]:
    return [(one.row, one.reason) for one in told.refused]


def test_nothing_of_a_replaced_row_stays(store):
    """InfluxDB keeps the fields that a new row does not say; nobody sees them."""
    batch = ReadingBatch()
    batch.add(1, START_MS, 1.0, raw=7.0, flag=Flag.SUSPECT, tests=Test.SPIKE)
    batch.spots[0] = Spot(12, Point(-3.81, 43.46))
    store.append(batch)

    store.append(batch_of((1, 0, NAN)))
    [missing] = store.between(1, ALWAYS)
    store.append(batch_of((1, 0, 2.0)))
    [filled] = store.between(1, ALWAYS)

    assert (Flag.MISSING, NO_TEST) == (missing.flag, missing.tests)
    assert math.isnan(missing.result)
    assert (None, None, None) == (missing.raw, missing.place, missing.point)
    assert (2.0, Flag.GOOD, NO_TEST) == (filled.result, filled.flag, filled.tests)
    assert (None, None, None) == (filled.raw, filled.place, filled.point)
    assert {1: filled} == store.latest([1])


def test_a_row_that_is_half_written_is_not_there(server, bucket, store):
    """A reader between two fields of a row sees the row before it."""
    store.append(batch_of((1, 0, 1.0)))
    server.write(bucket, f"reading,d=1 f=1 {START_MS + 1}")
    server.write(bucket, f"reading,d=1 r=5 {START_MS + 2}")

    assert [1.0] == [reading.result for reading in store.between(1, ALWAYS)]


def test_a_store_opened_anew_knows_what_is_there(server, bucket, store):
    """After a restart rows are told new, repeated or replaced as before, late or not."""
    store.append(batch_of((1, 0, 1.0), (1, 300, 2.0), (1, 301, 3.0), (2, 300, NAN), (3, 0, 1.0)))

    with closing(server.store(bucket)) as anew:
        told = anew.append(
            batch_of(
                (1, 0, 1.0),
                (1, 1, 1.5),
                (1, 300, 2.5),
                (1, 301, 3.0),
                (1, 302, 4.0),
                (2, 300, NAN),
                (2, 299, 1.0),
                (3, 9_000, 1.0),
                (4, 0, 1.0),
            )
        )

    expected = [DUPLICATE, NEW, REPLACED, DUPLICATE, NEW, DUPLICATE, NEW, NEW, NEW]
    assert bytes(expected) == told.outcomes
    assert (Replacement(1, START_MS + 300 * 60_000, 2.0, 2.5),) == told.replacements
    assert 10 == store.count()


def test_any_number_comes_back_to_the_bit(store):
    """Numbers travel as text, and return as they were; only zero loses its sign."""
    numbers = [5e-324, 0.0, 1e22, 1.7976931348623157e308, 0.1 + 0.2, 1e16, -1.0, 1.25e8, 1e20 / 7]
    store.append(batch_of(*((1, minute, number) for minute, number in enumerate(numbers))))

    found = [reading.result for reading in store.between(1, ALWAYS)]

    assert [number.hex() for number in numbers] == [number.hex() for number in found]


def test_what_is_beyond_retention_is_refused(server):
    """InfluxDB would answer 422 and say not which; the store knows before it asks."""
    now = datetime.now(UTC).replace(microsecond=0)
    batch = ReadingBatch()
    for minutes in (0, 59, 61, 9_999):
        batch.add(1, to_ms(now - timedelta(minutes=minutes)), 1.0)

    with closing(server.store(server.bucket(keeps_s=3_600))) as store:
        told = store.append(batch)
        again = store.append(batch)

        assert bytes([NEW, NEW, REFUSED, REFUSED]) == told.outcomes
        assert bytes([DUPLICATE, DUPLICATE, REFUSED, REFUSED]) == again.outcomes
        assert [(2, "too_old"), (3, "too_old")] == reasons(told)
        assert 2 == store.count()


def test_a_retention_that_was_just_shortened_costs_only_what_is_too_old(server, bucket, store):
    """What InfluxDB refuses in part is found by halving, and the rest is stored once."""
    now = datetime.now(UTC).replace(microsecond=0)
    store.append(batch_of((1, 0, 1.0)))
    server.keep(bucket, 3_600)
    batch = ReadingBatch()
    for number in range(2, 200):
        batch.add(number, to_ms(now), 1.0)
    batch.add(7, START_MS, 1.0)
    batch.add(7, START_MS, 2.0)

    told = store.append(batch)

    assert bytes([NEW] * 198 + [REFUSED] * 2) == told.outcomes
    assert () == told.replacements
    assert [(198, "store_refused"), (199, "store_refused")] == reasons(told)
    assert "retention" in told.refused[0].detail
    assert 198 == len(store.latest(range(2, 200)))


def test_a_field_that_another_program_made_a_text_costs_its_week_only(server, bucket, store):
    """The first writer fixes a field's type per shard; a few requests find the other rows."""
    server.write(bucket, f'reading,d=9 r="warm" {START_MS}')

    told = store.append(
        batch_of(*((n, 0, 1.0) for n in range(20, 60)), *((n, WEEK, 1.0) for n in range(20, 60)))
    )

    assert bytes([REFUSED] * 40 + [NEW] * 40) == told.outcomes
    assert {"store_refused"} == {one.reason for one in told.refused}
    assert "type" in told.refused[0].detail


def test_the_newest_may_vanish_and_an_older_one_arrive(store):
    """Where the newest was found the last time is where a search begins, not where it ends."""
    store.append(batch_of((1, 10, 1.0), (2, WEEK, 2.0)))
    assert {1, 2} == set(store.latest([1, 2]))
    store.forget(START + timedelta(minutes=20))
    assert {2} == set(store.latest([1, 2]))
    store.append(batch_of((1, -9 * WEEK, 5.0)))

    assert [5.0, 2.0] == [store.latest([1, 2])[number].result for number in (1, 2)]


def test_what_is_infinite_is_refused(store):
    """InfluxDB has no word for it, and would refuse the whole request."""
    told = store.append(batch_of((1, 0, 1.0), (1, 1, math.inf), (1, 2, -math.inf)))

    assert bytes([NEW, REFUSED, REFUSED]) == told.outcomes
    assert [(1, "not_finite"), (2, "not_finite")] == reasons(told)


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"token": "another"}, "LIVINGLAB_INFLUXDB_TOKEN_FILE"),
        ({"bucket": "nowhere"}, "LIVINGLAB_READINGS"),
        ({"org": "nobody"}, "LIVINGLAB_READINGS"),
    ],
)
def test_a_wrong_setting_names_its_remedy(server, bucket, wrong, remedy):
    """Whoever set the lab up reads what to change."""
    facts = {"org": ORG, "bucket": bucket, "token": TOKEN} | wrong
    with closing(InfluxDBReadingStore(server.url, **facts)) as store:
        for use in (store.ping, lambda: store.append(batch_of((1, 0, 1.0)))):
            with pytest.raises(StoreUnavailableError, match=remedy) as caught:
                use()
            assert TOKEN not in str(caught.value)
        if "org" not in wrong:  # InfluxQL asks in the organisation of the token
            with pytest.raises(StoreUnavailableError, match=remedy):
                store.between(1, ALWAYS)


def test_a_token_of_several_organisations_is_refused(server, bucket, store):
    """InfluxQL might read from a bucket of the same name in another than is written to."""
    store.ping()
    other = server.ask("/api/v2/orgs", {"name": f"org-of-{bucket}"})
    server.bucket(org_id=other["id"], name=bucket)

    with pytest.raises(StoreUnavailableError, match="several organisations"):
        store.ping()
    with pytest.raises(StoreUnavailableError, match="several organisations"):
        store.append(batch_of((1, 0, 1.0)))


def test_it_names_itself_and_its_version(store):
    """Readiness says which server answers."""
    assert re.fullmatch(r"InfluxDB 2\.\d+\.\d+", store.ping())


def test_no_server_is_said_at_once():
    """A refused connection is no reason to wait."""
    begun = time.monotonic()
    with closing(
        InfluxDBReadingStore(f"http://127.0.0.1:{free_port()}", org=ORG, bucket="b", token="t")
    ) as store:
        with pytest.raises(StoreUnavailableError, match="no answer from"):
            store.append(batch_of((1, 0, 1.0)))
        with pytest.raises(StoreUnavailableError, match="no answer from"):
            store.ping()

    assert time.monotonic() - begun < 5


class Pretender(ThreadingHTTPServer):
    """Answers like an empty InfluxDB, or passes everything on; a write is judged by a test."""

    daemon_threads = True

    def __init__(self, real: InfluxDB | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.real = real
        self.judge: Callable[[list[str]], tuple[int, str]] = lambda _: (204, "")
        self.swallow = False
        """Whether the answers to writes are lost on the way."""
        self.silent = Event()
        self.ended = Event()
        self.retry_after: str | None = None
        self.written: set[str] = set()
        self.writes = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def store(self, timeout_s: float = 24.0, bucket: str = "b") -> InfluxDBReadingStore:
        return InfluxDBReadingStore(
            self.url, org=ORG, bucket=bucket, token=TOKEN, timeout_s=timeout_s
        )

    def answer(self, path: str, body: bytes) -> tuple[int, str]:
        if path.startswith("/api/v2/buckets"):
            return 200, json.dumps({"buckets": [{"retentionRules": []}]})
        if path.startswith("/query"):
            return 200, '{"results": [{"statement_id": 0}]}'
        lines = gzip.decompress(body).decode().splitlines()
        self.writes += 1
        status, text = self.judge(lines)
        if status == 204:
            self.written.update(lines)
        return status, text


class Answering(BaseHTTPRequestHandler):
    """One connection to a Pretender."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement
    server: Pretender

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.silent.is_set():
            self.server.ended.wait()
        status, text = self._passed_on(body) if self.server.real else self._pretended(body)
        if self.server.swallow and "/write" in self.path:
            self.close_connection = True
            return
        self.send_response(status)
        if self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after)
        if status != 204:
            self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _pretended(self, body: bytes) -> tuple[int, str]:
        return self.server.answer(self.path, body)

    def _passed_on(self, body: bytes) -> tuple[int, str]:
        assert self.server.real is not None
        kept = {"Authorization", "Content-Type", "Content-Encoding"}
        headers = {name: text for name, text in self.headers.items() if name in kept}
        target = self.server.real.url + self.path
        request = urllib.request.Request(target, body or None, headers, method=self.command)
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def pretending(real: InfluxDB | None = None) -> Iterator[Pretender]:
    """Have a Pretender on a thread of its own."""
    with Pretender(real) as pretender:
        thread = Thread(target=pretender.serve_forever, args=(0.01,), name="pretender")
        thread.start()
        try:
            yield pretender
        finally:
            pretender.ended.set()
            pretender.shutdown()
            thread.join()


def refusing(poison: str, status: int) -> Callable[[list[str]], tuple[int, str]]:
    """Refuse a request for the sake of some lines, without saying which."""

    def judge(lines: list[str]) -> tuple[int, str]:
        bad = sum(poison in line for line in lines)
        told = {"message": f"partial write: that is poison dropped={bad}"}
        return (status, json.dumps(told)) if bad else (204, "")

    return judge


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_poisonous_line_costs_only_itself(status):
    """Of five thousand rows one is refused, in some twenty-five requests; the others are in."""
    rows = [(number, 0, 1.0) for number in range(1, 5_001)]
    with pretending() as pretender, closing(pretender.store()) as store:
        pretender.judge = refusing("d=1313 ", status)

        told = store.append(batch_of(*rows))

    assert [(1_312, "store_refused")] == reasons(told)
    assert "that is poison" in told.refused[0].detail
    assert [1_312] == [row for row, outcome in enumerate(told.outcomes) if outcome == REFUSED]
    assert 4_999 == len(pretender.written)
    assert 30 > pretender.writes


def test_several_poisonous_lines_are_all_found():
    """Wherever they stand, none takes a neighbour with it."""
    with pretending() as pretender, closing(pretender.store()) as store:
        pretender.judge = refusing("f=4,", 422)
        batch = ReadingBatch()
        for number in range(1, 2_001):
            batch.add(number, START_MS, 1.0, flag=4 if number % 97 == 0 else 1)

        told = store.append(batch)

    assert [row for row in range(2_000) if (row + 1) % 97 == 0] == [row for row, _ in reasons(told)]
    assert 1_980 == len(pretender.written)


def test_a_server_that_takes_nothing_is_not_to_be_fed():
    """If no line at all is taken, the lines are not to blame: nothing is given up."""
    with pretending() as pretender, closing(pretender.store()) as store:
        pretender.judge = lambda _: (400, '{"message": "what do you want"}')

        with pytest.raises(StoreUnavailableError, match="what do you want"):
            store.append(batch_of(*((number, 0, 1.0) for number in range(1, 5_001))))

    assert 200 > pretender.writes


def test_a_week_of_poison_is_recognised_at_once():
    """Where as many lines are dropped as were sent, there is nothing to look for."""
    with pretending() as pretender, closing(pretender.store()) as store:
        pretender.judge = refusing("d=", 422)

        told = store.append(batch_of(*((number, 0, 1.0) for number in range(1, 5_001))))

    assert {REFUSED} == set(told.outcomes)
    assert 1 == pretender.writes


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "token"), (403, "token"), (404, "create"), (429, ""), (500, "")]
)
def test_other_refusals_are_no_fault_of_a_row(status, remedy):
    """Nothing is quarantined for a wrong token or a server in trouble; the batch comes again."""
    with pretending() as pretender, closing(pretender.store()) as store:
        pretender.judge = lambda _: (status, '{"message": "not now"}')
        pretender.retry_after = "17"

        with pytest.raises(StoreUnavailableError, match=f"{status} not now.*{remedy}") as caught:
            store.append(batch_of((1, 0, 1.0)))
        pretender.judge = lambda _: (204, "")
        told = store.append(batch_of((1, 0, 1.0)))

    assert 17 == caught.value.retry_after_s
    assert bytes([NEW]) == told.outcomes
    assert 2 == pretender.writes


def test_silence_ends_with_the_deadline():
    """A server that hangs delays every caller no longer than was said, also those who wait."""
    with pretending() as pretender, closing(pretender.store(timeout_s=0.4)) as store:
        pretender.silent.set()
        begun = time.monotonic()

        def append(number: int) -> None:
            with pytest.raises(StoreUnavailableError):
                store.append(batch_of((number, 0, 1.0)))
            with pytest.raises(StoreUnavailableError):
                store.latest([number])

        with ThreadPoolExecutor(3) as threads:
            list(threads.map(append, range(1, 4)))

    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("answer", ["<html>", "{}", "[]"])
def test_another_program_on_the_port_is_no_store(answer):
    """A proxy's page of apology is no answer."""
    with pretending() as pretender, closing(pretender.store()) as store:
        pretender.answer = lambda *_: (200, answer)  # type: ignore[method-assign]  # another server

        for use in (store.ping, store.count, lambda: store.append(batch_of((1, 0, 1.0)))):
            with pytest.raises(StoreUnavailableError):
                use()


def test_a_batch_in_doubt_is_told_what_it_would_have_been_told(server, bucket):
    """The first attempt reached the store, its answer did not: nothing is lost or counted twice."""
    batch = batch_of((1, 0, 2.0), (1, 1, 1.0), (2, 0, 1.0))
    with pretending(server) as between, closing(between.store(bucket=bucket)) as store:
        store.append(batch_of((1, 0, 1.0)))
        between.swallow = True
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                store.append(batch)
        between.swallow = False

        told = store.append(batch)
        again = store.append(batch)

        assert bytes([REPLACED, NEW, NEW]) == told.outcomes
        assert (Replacement(1, START_MS, 1.0, 2.0),) == told.replacements
        assert bytes([DUPLICATE] * 3) == again.outcomes
        assert 3 == store.count()


def test_a_batch_in_doubt_may_be_overtaken(server, bucket):
    """Another batch says a later word meanwhile: then the store is asked, not memory."""
    doubted = batch_of((1, 0, 1.0), (1, 1, 1.0))
    with pretending(server) as between, closing(between.store(bucket=bucket)) as store:
        between.swallow = True
        with pytest.raises(StoreUnavailableError):
            store.append(doubted)
        between.swallow = False

        overtaking = store.append(batch_of((1, 0, 5.0)))
        late = store.append(doubted)

        assert bytes([REPLACED]) == overtaking.outcomes
        assert bytes([REPLACED, DUPLICATE]) == late.outcomes
        assert [1.0, 1.0] == [reading.result for reading in store.between(1, ALWAYS)]


def test_kills_lose_nothing_and_tell_nothing_twice():
    """The server dies three times amid appends: every row is in, and was told new exactly once."""
    size, batches, kills = 1_000, 120, 3
    told: list[Appended] = []
    doubts = 0

    def feed(store: InfluxDBReadingStore) -> None:
        nonlocal doubts
        for number in range(batches):
            batch = batch_of(*((series, number, float(number)) for series in range(1, size + 1)))
            batch.add(1, START_MS + 60_000 * max(0, number - 1), 0.5)
            while True:
                try:
                    told.append(store.append(batch))
                    break
                except StoreUnavailableError:
                    doubts += 1
                    time.sleep(0.02)

    with (
        influxdb.running() as server,
        closing(server.store(server.bucket())) as store,
        ThreadPoolExecutor(1) as threads,
    ):
        feeding = threads.submit(feed, store)
        for kill in range(1, kills + 1):
            while len(told) < kill * batches // (kills + 1) and not feeding.done():
                time.sleep(0.001)
            server.kill()
            server.start()
        feeding.result()

        assert doubts >= kills
        assert size * batches == store.count()
        outcomes = b"".join(one.outcomes for one in told)
        assert size * batches == outcomes.count(NEW)
        assert batches - 1 == outcomes.count(REPLACED)
        assert batches - 1 == sum(len(one.replacements) for one in told)
        assert [float(number) for number in range(batches)] == [
            reading.result for reading in store.between(2, ALWAYS)
        ]
        assert {0.5} == {reading.result for reading in store.between(1, ALWAYS)[:-1]}


def test_a_restart_is_not_noticed_between_two_batches():
    """A connection that died while nobody used it is replaced without a word."""
    with influxdb.running() as server, closing(server.store(server.bucket())) as store:
        store.append(batch_of((1, 0, 1.0)))
        server.kill()
        server.start()

        told = store.append(batch_of((1, 0, 1.0), (1, 1, 1.0)))

    assert bytes([DUPLICATE, NEW]) == told.outcomes
