"""Readings in a bucket of an InfluxDB 2, which overwrites silently, and so is asked first.

InfluxDB tells nobody whether a line was new. So the store knows the newest instant of every
Datastream it writes, learnt when it first meets one: a row later than that is surely new, and one
that repeats it is known without asking. Only other rows are looked up, a batch of them at a time.
That holds as long as one process writes into a bucket; of two, either may call new what the other
had stored, though the last word wins all the same.

When it is uncertain whether a write arrived, what is known of the store is forgotten, but what was
thought about the batch is kept: the same batch is then written again, which changes nothing, and
told what it would have been told.

InfluxDB refuses lines in two ways: 400 takes none of a request, 422 all but some, and says not
which. Halving the request finds them, for what is written twice is written once.
"""

import re
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any
from urllib.parse import urlencode

import numpy as np
import orjson

from livinglab.adapters.deadlines import Deadline
from livinglab.adapters.timeseries import influxdb_rows as questions
from livinglab.adapters.timeseries.columns import (
    Applied,
    Booleans,
    Columns,
    Integers,
    Stored,
    apply,
)
from livinglab.adapters.timeseries.influxdb_http import (
    PART,
    REMEDIES,
    Answer,
    InfluxDBServer,
    StoreDeadline,
)
from livinglab.adapters.timeseries.influxdb_rows import (
    EDGE_MS,
    columns_of,
    flags_of,
    judged_of,
    lines_of,
    results_of,
    series_of,
)
from livinglab.adapters.timeseries.latest import LARGEST, Latest
from livinglab.adapters.timeseries.periods import buckets_of
from livinglab.domain.readings import (
    Aggregation,
    Appended,
    Bucket,
    Flag,
    Interval,
    Outcome,
    Reading,
    ReadingBatch,
    RefusedRow,
    from_ms,
    to_ms,
)
from livinglab.errors import StoreUnavailableError

LINES = 5_000
"""Lines of one request; 20,000 are a tenth faster, and four times as long to bisect."""
PING_S = 5.0
RETENTION_FOR_S = 300.0
"""How long the bucket's retention is believed. [s]"""
STATEMENTS = 500
"""Statements of one query."""
HOPELESS = 50
"""So many lines refused one by one, and none taken: it is not the lines."""
MONTH = 30 * 24 * 3_600_000
EVER = "1678-01-01T00:00:00Z"

PARTIAL = 422
_SOME_REFUSED = (400, 413, PARTIAL)
_DROPPED = re.compile(rb"\bdropped=(\d+)")


class InfluxDBReadingStore:
    """Keeps Readings on a server; one process writes, any thread of it may.

    InfluxDB makes a shard a week unless the bucket says otherwise, and whatever is asked of all
    time opens each of them: a bucket that keeps years is best made with
    ``--shard-group-duration 90d``.
    """

    def __init__(
        self, url: str, *, org: str, bucket: str, token: str, timeout_s: float = 24.0
    ) -> None:
        """Note where the store is; it is asked when it is needed.

        Args:
            url: Scheme, host and port, such as ``http://127.0.0.1:8086``.
            org: Name of the organisation.
            bucket: Name of the bucket; both are there.
            token: May read and write the bucket.
            timeout_s: How long any call may take. [s]
        """
        self._org, self._bucket, self._timeout_s = org, bucket, timeout_s
        self._server = InfluxDBServer(url, token)
        self._lock = Lock()
        self._doubted: _Plan | None = None
        self._floors: dict[int, int] = {}
        """Datastream → where `latest` last found the newest. [ms since 1970 UTC]"""
        self._retention_ms = 0
        self._believed_until = 0.0
        self._forget_newest()

    def append(self, batch: ReadingBatch) -> Appended:
        """Write what is new or different; see `ports.ReadingStore`."""
        arrived = Columns.of(batch)
        deadline = StoreDeadline(self._timeout_s)
        with self._writing(deadline):
            plan = self._plan(arrived, deadline)
            try:
                poison = self._write(plan.applied, deadline)
            except BaseException:
                self._forget_newest()
                self._doubted = plan
                raise
            if poison:
                self._forget_newest()
            else:
                self._latest.advance(plan.applied.winners)
            return plan.told(poison)

    def reflag(self, judged: ReadingBatch) -> int:
        """Write flag and tests where they differ; see `ports.ReadingStore`.

        Results stay, so what is known of the newest stays true.
        """
        arrived = Columns.of(judged)
        deadline = StoreDeadline(self._timeout_s)
        with self._writing(deadline):
            rows = self._differing(arrived, deadline)
            for start in range(0, len(rows), LINES):
                few = rows.take(np.arange(start, min(start + LINES, len(rows))))
                answer = self._send(flags_of(few), deadline)
                if answer.failed:
                    raise answer.as_error()
        return len(rows)

    def between(
        self, datastream: int, interval: Interval, *, limit: int | None = None
    ) -> list[Reading]:
        """List the Readings of a Datastream in an Interval, oldest first."""
        if limit == 0:  # InfluxQL takes 0 for no limit
            return []
        answer = self._query(questions.between(datastream, interval, limit))
        return columns_of(series_of(answer)).readings()

    def latest(self, datastreams: Iterable[int]) -> dict[int, Reading]:
        """Return the newest Reading for each Datastream that has one.

        Each shard that is looked into costs some 15 µs a Datastream, so the search begins where
        the newest was found the last time, else with the last month, and widens for the rest.
        """
        left, found = set(datastreams), dict[int, Reading]()
        groups: defaultdict[int, list[int]] = defaultdict(list)
        for number in left:
            if (floor := self._floors.get(number)) is not None:
                groups[floor // MONTH * MONTH].append(number)
        for since, some in groups.items():
            found |= self._newest(some, since)
        now = int(time.time() * 1_000)
        for since in (now - MONTH, now - 12 * MONTH, -EDGE_MS):
            found |= self._newest(left - found.keys(), since)
        self._floors |= {number: to_ms(reading.time) for number, reading in found.items()}
        return found

    def every(
        self,
        datastream: int,
        interval: Interval,
        every: timedelta,
        aggregation: Aggregation,
    ) -> list[Bucket]:
        """Average a Datastream over periods of equal length; for SUM the mean is the sum.

        The rows are averaged here: InfluxDB knows neither sound nor directions, and a year of
        hours comes in 20 ms, one of five minutes in 0.2 s.
        """
        rows = results_of(series_of(self._query(questions.to_average(datastream, interval))))
        return buckets_of(
            rows.time,
            rows.result,
            rows.flag,
            origin=interval.start,
            every=every,
            aggregation=aggregation,
        )

    def count(self) -> int:
        """Count all rows."""
        return self._count(questions.counted())

    def flags(self, datastreams: Iterable[int] | None = None) -> dict[int, dict[Flag, int]]:
        """Count the rows of each Datastream by flag."""
        counts: defaultdict[int, dict[Flag, int]] = defaultdict(dict)
        asked = None if datastreams is None else set(datastreams)
        for flag in Flag:
            for question in questions.flagged(flag, asked):
                for number, [[_, n]] in series_of(self._query(question)):
                    counts[number][flag] = int(n)
        return dict(counts)

    def tidy(self, aggregations: Mapping[int, Aggregation], until: datetime) -> None:
        """Do nothing: InfluxDB compacts by itself, and no roll-ups are kept."""

    def forget(self, before: datetime) -> int:
        """Delete all rows before an instant, and return how many."""
        deadline = StoreDeadline(self._timeout_s)
        with self._writing(deadline):
            self._doubted = None
            gone = self._count(questions.counted(to_ms(before)), deadline)
            if gone:
                self._forget_newest()
                self._delete(before - timedelta(milliseconds=1), deadline)
        return gone

    def ping(self) -> str:
        """Return name and version of what answers for the bucket, or say what is wrong."""
        _, version = self._about_bucket(StoreDeadline(min(PING_S, self._timeout_s)))
        return f"InfluxDB {version.lstrip('v')}".rstrip()

    def close(self) -> None:
        """Hang up; a second call does nothing."""
        self._server.close()

    @contextmanager
    def _writing(self, deadline: Deadline) -> Iterator[None]:
        """Be the one writer."""
        if not self._lock.acquire(timeout=deadline.left()):
            raise StoreUnavailableError(PART, f"another writer took all of {self._timeout_s:g} s")
        try:
            yield
        finally:
            self._lock.release()

    def _forget_newest(self) -> None:
        """Forget what is known of the store: it will be learnt anew."""
        self._latest = Latest()
        self._known = np.zeros(LARGEST + 1, dtype=np.bool_)

    def _plan(self, arrived: Columns, deadline: Deadline) -> "_Plan":
        """Find what is to be written; a batch that comes again is not thought through again."""
        doubted, self._doubted = self._doubted, None
        if doubted is not None and _alike(doubted.arrived, arrived):
            return doubted
        oldest_ms = self._oldest_ms(deadline)
        old, endless = arrived.time < oldest_ms, np.isinf(arrived.result) | np.isinf(arrived.raw)
        limit = from_ms(max(oldest_ms, -EDGE_MS)).isoformat(timespec="seconds")
        plan = _Plan(arrived)
        plan.refuse(endless, "not_finite", "InfluxDB keeps finite numbers only")
        plan.refuse(old, "too_old", f"the bucket keeps nothing from before {limit}")
        plan.applied = apply(plan.rest(), lambda rows: self._stored(rows, deadline))
        return plan

    def _oldest_ms(self, deadline: Deadline) -> int:
        """Return the first instant that the bucket keeps, by a clock like the server's. [ms]"""
        if time.monotonic() >= self._believed_until:
            rules = self._about_bucket(deadline)[0]["retentionRules"]
            self._retention_ms = max((rule["everySeconds"] for rule in rules), default=0) * 1_000
            self._believed_until = time.monotonic() + RETENTION_FOR_S
        if not self._retention_ms:
            return -EDGE_MS
        return int(time.time() * 1_000) - self._retention_ms

    def _about_bucket(self, deadline: Deadline) -> tuple[dict[str, Any], str]:
        """Return what the server says about the bucket, and the server's version.

        InfluxQL asks in the organisation of the token, whatever the request says: a token that
        sees buckets of that name in several could read from another than it writes to.
        """
        answer = self._server.get("/api/v2/buckets", deadline, org=self._org, name=self._bucket)
        anywhere = self._server.get("/api/v2/buckets", deadline, name=self._bucket)
        found = answer.document().get("buckets")
        if not found:
            raise StoreUnavailableError(PART, f"there is no bucket {self._bucket}", REMEDIES[404])
        if len(anywhere.document().get("buckets", found)) > 1:
            problem = f"the token sees a bucket {self._bucket} in several organisations"
            raise StoreUnavailableError(PART, problem, f"give one that is of {self._org} only")
        return found[0], answer.headers.get("X-Influxdb-Version", "")

    def _stored(self, rows: Columns, deadline: Deadline) -> Stored:
        """Tell what the key of each row holds; only what lies before the newest is looked up."""
        newest, results = self._latest.at(rows.datastream)
        unknown = ~self._known[rows.datastream]
        if unknown.any():
            self._learn(rows.take(unknown), deadline)
            newest, results = self._latest.at(rows.datastream)
        known = rows.time == newest
        before = np.where(known, results, np.nan)
        earlier = np.flatnonzero(rows.time < newest)
        if len(earlier):
            known[earlier], before[earlier] = self._look_up(rows.take(earlier), deadline)
        return known, before

    def _newest(self, datastreams: Iterable[int], since_ms: int) -> dict[int, Reading]:
        found: dict[int, Reading] = {}
        for question in questions.newest(datastreams, since_ms):
            rows = columns_of(series_of(self._query(question))).readings()
            found |= {reading.datastream: reading for reading in rows}
        return found

    def _learn(self, rows: Columns, deadline: Deadline) -> None:
        """Find the newest instant of Datastreams, where it is not before all these rows of theirs.

        What lies before them all does not matter, and old shards stay closed.
        """
        numbers = np.unique(rows.datastream)
        for question in questions.newest(numbers.tolist(), int(rows.time.min())):
            self._latest.advance(columns_of(series_of(self._query(question, deadline))))
        self._known[numbers] = True

    def _look_up(self, rows: Columns, deadline: Deadline) -> Stored:
        found: dict[tuple[int, int], float] = {}
        statements = questions.keys(rows)
        for start in range(0, len(statements), STATEMENTS):
            question = ";".join(statements[start : start + STATEMENTS])
            held = results_of(series_of(self._query(question, deadline)))
            keys = zip(held.datastream.tolist(), held.time.tolist(), strict=True)
            found.update(zip(keys, held.result.tolist(), strict=True))
        keys = zip(rows.datastream.tolist(), rows.time.tolist(), strict=True)
        before = [found.get(key) for key in keys]
        known = np.array([result is not None for result in before], dtype=np.bool_)
        return known, np.array(before, dtype=np.float64)

    def _differing(self, judged: Columns, deadline: Deadline) -> Columns:
        """Return the rows whose result is still the stored one, and flag or tests are not."""
        if not len(judged):
            return judged
        stored: dict[tuple[int, int], tuple[float, int, int]] = {}
        statements = questions.keys(judged, "f, r, t")
        for start in range(0, len(statements), STATEMENTS):
            question = ";".join(statements[start : start + STATEMENTS])
            stored |= judged_of(series_of(self._query(question, deadline)))
        facts = (judged.result.tolist(), judged.flag.tolist(), judged.tests.tolist())
        differ = []
        for row, (key, *told) in enumerate(zip(_keys(judged), *facts, strict=True)):
            held = stored.get(key)
            if held is not None and held[0] == told[0] and held[1:] != (told[1], told[2]):
                differ.append(row)
        return judged.take(np.array(differ, dtype=np.int64))

    def _write(self, applied: Applied, deadline: Deadline) -> dict[int, str]:
        """Write the winners in order of their series; return those that are refused, and why."""
        winners = applied.winners
        order = np.lexsort((winners.time, winners.datastream))
        delivery = _Delivery(applied, lambda body: self._send(body, deadline))
        for start in range(0, len(order), LINES):
            delivery.put(order[start : start + LINES])
        return delivery.refused

    def _send(self, lines: bytes, deadline: Deadline) -> Answer:
        return self._server.post(
            "/api/v2/write",
            _zipped(lines),
            deadline,
            kind="text/plain; charset=utf-8",
            encoding="gzip",
            org=self._org,
            bucket=self._bucket,
            precision="ms",
        )

    def _delete(self, until: datetime, deadline: Deadline) -> None:
        """Delete all rows up to an instant; InfluxDB counts the end in."""
        facts = {"start": EVER, "stop": until, "predicate": '_measurement="reading"'}
        answer = self._server.post(
            "/api/v2/delete",
            orjson.dumps(facts),
            deadline,
            kind="application/json",
            org=self._org,
            bucket=self._bucket,
        )
        if answer.failed:
            raise answer.as_error()

    def _count(self, question: str, deadline: Deadline | None = None) -> int:
        return sum(int(n) for _, [[_, n]] in series_of(self._query(question, deadline)))

    def _query(self, question: str, deadline: Deadline | None = None) -> Any:
        """Ask in InfluxQL, which takes the bucket for a database of that name."""
        answer = self._server.post(
            "/query",
            urlencode({"q": question}).encode(),
            deadline or StoreDeadline(self._timeout_s),
            kind="application/x-www-form-urlencoded",
            db=self._bucket,
            epoch="ms",
        ).document()
        for result in answer.get("results", [{"error": "no results are in the answer"}]):
            if "error" in result:
                told = str(result["error"])[:300]
                remedy = REMEDIES[404] if "not found" in told else ""
                raise StoreUnavailableError(PART, told, remedy)
        return answer


@dataclass(slots=True)
class _Plan:
    """A batch on its way: what is refused of it, and what is to be written of the rest."""

    arrived: Columns
    refused: dict[int, RefusedRow] = field(default_factory=dict)
    applied: Applied = field(init=False)

    def refuse(self, rows: Booleans, reason: str, detail: str) -> None:
        for row in np.flatnonzero(rows).tolist():
            self.refused[row] = RefusedRow(row, reason, detail)

    def rest(self) -> Columns:
        return self.arrived if not self.refused else self.arrived.take(self._taken())

    def told(self, poison: Mapping[int, str]) -> Appended:
        """Tell what became of each row, where InfluxDB refused the last word on some keys."""
        told = self.applied.told
        if not poison and not self.refused:
            return told
        refused = dict(self.refused)
        spoilt = self._keys_of(poison)
        for row, key in enumerate(_keys(self.arrived)):
            if key in spoilt and row not in refused:
                refused[row] = RefusedRow(row, "store_refused", spoilt[key])
        outcomes = np.full(len(self.arrived), Outcome.REFUSED, dtype=np.uint8)
        outcomes[self._taken()] = np.frombuffer(told.outcomes, dtype=np.uint8)
        outcomes[list(refused)] = Outcome.REFUSED
        return Appended(
            outcomes.tobytes(),
            tuple(one for one in told.replacements if (one.datastream, one.time) not in spoilt),
            tuple(refused[row] for row in sorted(refused)),
        )

    def _taken(self) -> Booleans:
        taken = np.ones(len(self.arrived), dtype=np.bool_)
        taken[list(self.refused)] = False
        return taken

    def _keys_of(self, winners: Mapping[int, str]) -> dict[tuple[int, int], str]:
        rows = self.applied.winners.take(np.array(list(winners), dtype=np.int64))
        return dict(zip(_keys(rows), winners.values(), strict=True))


@dataclass(slots=True)
class _Delivery:
    """Lines on their way; what is refused is found by halving."""

    applied: Applied
    send: Callable[[bytes], Answer]
    refused: dict[int, str] = field(default_factory=dict)
    """Winner → what InfluxDB said."""
    taken: int = 0

    def put(self, rows: Integers) -> None:
        """Write some winners, and find those of them that are refused.

        Raises:
            StoreUnavailableError: InfluxDB cannot write now, or refuses whatever it is given.
        """
        applied = self.applied
        answer = self.send(lines_of(applied.winners.take(rows), applied.replaces[rows]))
        if not answer.failed:
            self.taken += len(rows)
        elif answer.status not in _SOME_REFUSED:
            raise answer.as_error()
        elif len(rows) == 1 or _all_dropped(answer, len(rows)):
            self.refused |= dict.fromkeys(rows.tolist(), answer.message())
        elif answer.status != PARTIAL and not self.taken and len(self.refused) >= HOPELESS:
            raise answer.as_error()
        else:
            half = len(rows) // 2
            self.put(rows[:half])
            self.put(rows[half:])


def _all_dropped(answer: Answer, size: int) -> bool:
    """Tell whether a partial write left nothing: then there is nothing to look for."""
    found = _DROPPED.search(answer.body)
    return found is not None and int(found[1]) == size


def _zipped(lines: bytes) -> bytes:
    squeezer = zlib.compressobj(1, wbits=31)
    return squeezer.compress(lines) + squeezer.flush()


def _keys(rows: Columns) -> Iterator[tuple[int, int]]:
    return zip(rows.datastream.tolist(), rows.time.tolist(), strict=True)


def _alike(one: Columns, other: Columns) -> bool:
    """Tell whether two batches are the same, bit for bit."""
    theirs = other.as_dict()
    return all(mine.tobytes() == theirs[name].tobytes() for name, mine in one.as_dict().items())
