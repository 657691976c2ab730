"""Recording: what Things published becomes Readings, and every message is accounted for.

The steps of one batch, each repeatable: decode → register what is new → store → settle the
accounts. Whoever calls acknowledges after the last of them. Nothing here retries or sleeps.
"""

import hashlib
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import numpy as np
import orjson
import structlog

from livinglab.domain.geometry import Point
from livinglab.domain.ledger import LedgerLine, Quarantined, Reject, Tally
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.readings import (
    Appended,
    Flag,
    Outcome,
    ReadingBatch,
    Spot,
    Test,
    TimeSource,
    from_ms,
    to_ms,
)
from livinglab.ports import CivicStore, Clock, Message, ReadingStore, UnitOfWork
from livinglab.services.checking import check
from livinglab.services.registering import (
    Introduction,
    Known,
    Registry,
    SeriesId,
    within_city,
)
from livinglab.wire.decoders import DECODERS
from livinglab.wire.routes import Route
from livinglab.wire.settling import (
    EARLIEST_MS,
    FUTURE_TOLERANCE_MS,
    settle_unit,
    time_text,
)
from livinglab.wire.sinks import Undecodable
from livinglab.wire.topics import Router

log = structlog.get_logger()

Given = TypeVar("Given")

NO_ROUTE = "none"
"""Name under which messages that no route takes are counted."""
PROBE_LEVEL = b"/$probe"
"""Last level of the topic by which the lab tests that the broker delivers."""
DROPPED_TOPIC = b"$SYS/broker/publish/messages/dropped"
"""Where mosquitto counts what it threw away."""
SPOT_LIFE_MS = 30_000
"""A moving Thing is still where it last said, for so long. [ms]"""
USUAL_SIZE = 1e300
"""Larger numbers are looked at one by one: they may be infinite."""
TOPICS_KNOWN = 200_000
DETAILS_KEPT = 5
"""How many refusals of one message and reason are told in full."""
RECEIVE_LOG_LIFE = timedelta(days=7)
"""How long the arrival of a message without a time of its own is remembered."""


@dataclass(slots=True)
class Intake:
    """One batch on its way: what was decoded, what was refused, and the counts so far."""

    received_ms: int
    replayed: bool = False
    """Whether it arrived before, at *received_ms* exactly."""
    batch: ReadingBatch = field(default_factory=ReadingBatch)
    runs: list[tuple[str, int]] = field(default_factory=list)
    """(Route, its first row): rows up to the next run belong to it."""
    refused: list[Quarantined] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=dict)
    arrivals: list[tuple[bytes, str, int]] = field(default_factory=list)
    """Messages without a time of their own, for the receive log."""
    new: dict[tuple[str, SeriesId], Introduction] = field(default_factory=dict)
    waiting: dict[int, tuple[tuple[str, SeriesId], Message]] = field(default_factory=dict)
    """Row → its (scheme, series) that is not registered yet, and its message."""
    moves: dict[str, tuple[Known, Point]] = field(default_factory=dict)
    """Key of a fixed Thing → where it stands now."""

    def tally(self, route: str) -> Tally:
        """Return the counts of a route."""
        found = self.tallies.get(route)
        if found is None:
            found = self.tallies[route] = Tally()
        return found


class _Retained(Exception):  # noqa: N818 - an outcome, not an error
    """A message that the broker had kept and that tells no time."""


class _Columns:
    """The sink of the hot path: decoders write rows, not objects."""

    def __init__(self, recorder: "Recorder", intake: Intake, *, backlog: bool) -> None:
        self.recorder = recorder
        self.registry = recorder.registry
        self.intake = intake
        self.backlog = backlog
        self.datastreams: array[int] = array("i")
        self.times: array[int] = array("q")
        self.results: array[float] = array("d")
        self.odd: dict[int, tuple[float, int, int]] = {}
        """Row → raw, flag and tests, where they are not the usual ones."""
        self.latest_ms = intake.received_ms + FUTURE_TOLERANCE_MS
        self.numbers: dict[SeriesId, int] = {}
        self.route: Route | None = None
        self.message: Message | None = None
        self.arrival: int | None = None
        self.rejects: list[tuple[Reject, int]] = []
        self.ignored = 0
        self._before = (0, 0)

    def usual(self, stream: Iterator[Message]) -> Message | None:
        """Take messages for as long as they are usual; return the first that is not.

        Usual is what nearly all are that come by the hundred thousand: ``{"v": 21.5, "t": ms}``
        at QoS 1 for a series of format `lab` that is registered and stands still. For those this
        does what `wire.lab` and `reading` do, in a third of the time.
        """
        known, loads, latest_ms = self.recorder.usual, orjson.loads, self.latest_ms
        add_number, add_time = self.datastreams.append, self.times.append
        add_result = self.results.append
        before = len(self.times)
        for message in stream:
            topic, payload, header, size = message
            found = known.get(topic)
            if found is None:
                break
            number, route = found
            try:
                told = loads(payload)
                value, time = told["v"], told["t"]
            except (ValueError, KeyError, TypeError):
                break
            kind = type(value)
            if (
                (kind is not float and kind is not int)
                or type(time) is not int
                or not EARLIEST_MS <= time <= latest_ms
                or not -USUAL_SIZE < value < USUAL_SIZE
                or len(told) != 2  # noqa: PLR2004 - v and t
                or header & 6 != 2  # noqa: PLR2004 - QoS 1
                or size != len(payload)
            ):
                break
            if route is not self.route:
                self._count_usual(before)
                before = len(self.times)
                self.turn(route)
            add_number(number)
            add_time(time)
            add_result(value)
        else:
            message = None
        self._count_usual(before)
        return message

    def _count_usual(self, before: int) -> None:
        """Count the usual messages since a row: each is one row of the route in hand."""
        if taken := len(self.times) - before:
            tally = self.intake.tally(_given(self.route).name)
            tally.messages += taken
            tally.decoded += taken

    def turn(self, route: Route) -> None:
        """Turn to messages of another route."""
        self.route = route
        self.numbers = self.registry.of_scheme(route.scheme)
        self.intake.runs.append((route.name, len(self.times)))

    def begin(self, route: Route, message: Message) -> None:
        """Turn to the next message."""
        if route is not self.route:
            self.turn(route)
        self.message = message
        self._before = (len(self.intake.new), len(self.intake.moves))
        self.arrival = None
        if self.rejects:
            self.rejects = []
        self.ignored = 0

    def undo(self, rows: int) -> None:
        """Forget the rows after the first *rows*: their message turned out unreadable."""
        for column in (self.datastreams, self.times, self.results):
            del column[rows:]
        sparse: tuple[dict[int, Any], ...] = (
            self.odd,
            self.intake.waiting,
            self.intake.batch.spots,
        )
        for one in sparse:
            for row in [row for row in one if row >= rows]:
                del one[row]
        told: tuple[dict[Any, Any], ...] = (self.intake.new, self.intake.moves)
        for one, kept in zip(told, self._before, strict=True):
            for key in list(one)[kept:]:
                del one[key]

    def reading(  # noqa: C901, PLR0913 - the Sink's signature; one flat pass on the hot path
        self,
        thing: str,
        observed_property: str,
        time: int | None,
        value: float,
        *,
        unit: str | None = None,
        source: object = None,  # noqa: ARG002 - for `decode` only
        path: str = "",
        point: Point | None = None,
        interval_s: float | None = None,  # noqa: ARG002 - the store keeps instants
        channel: str = "",
        time_source: TimeSource = TimeSource.PAYLOAD,  # noqa: ARG002 - for `decode` only
        doubted: bool = False,
    ) -> None:
        """Take one Reading: see `wire.sinks.Sink`."""
        raw, flag, tests = math.nan, 2, 0
        if time is None:
            time = self._arrival_ms()
            if self.backlog:
                flag, tests = Flag.SUSPECT, Test.TIME_UNCERTAIN
        elif time > self.latest_ms:
            self.reject("future", f"{time_text(time)} lies in the future", path)
            return
        elif time < EARLIEST_MS:
            self.reject("bad_time", f"{time_text(time)} lies before the year 2000", path)
            return
        if value != value:  # noqa: PLR0124 - the fastest test for NaN
            flag = Flag.MISSING
        elif unit is not None:
            settled = settle_unit(value, unit, observed_property)
            value, raw = settled.result, settled.raw
            flag, tests = max(flag, settled.flag), tests | settled.tests
        if math.isinf(value):
            self.reject("not_finite", "the result is infinite", path)
            return
        if doubted:
            flag, tests = max(flag, Flag.SUSPECT), tests | Test.SOURCE
        number = self.numbers.get((thing, observed_property, channel))
        if number is None:
            if observed_property not in OBSERVED_PROPERTIES:
                self.reject("unknown_property", f"{observed_property[:80]!r} is no property", path)
                return
            number = self._wait((thing, observed_property, channel), unit, point)
        row = len(self.times)
        self.datastreams.append(number)
        self.times.append(time)
        self.results.append(value)
        if flag != 2 or raw == raw or tests:  # noqa: PLR0124, PLR2004 - what is usual is not noted
            self.odd[row] = (raw, flag, tests)
        if point is not None or (self.route is not None and self.route.moving):
            self._place(thing, row, time, point, path)

    def reject(self, reason: str, detail: str, path: str = "", *, readings: int = 1) -> None:
        """Refuse part of a message: see `wire.sinks.Sink`."""
        self.rejects.append((Reject(reason=reason, detail=detail[:300], path=path), readings))

    def ignore(self, rule: str, path: str = "") -> None:  # noqa: ARG002 - the Sink's signature
        """Pass over what is no measurement."""
        self.ignored += 1

    def _wait(self, series: SeriesId, unit: str | None, point: Point | None) -> int:
        """Note a series that nobody registered yet; its rows get their number later."""
        route = _given(self.route)
        wanted = (route.scheme, series)
        if wanted not in self.intake.new:
            self.intake.new[wanted] = Introduction(route, series, unit, point)
        self.intake.waiting[len(self.times)] = (wanted, _given(self.message))
        return 0

    def _arrival_ms(self) -> int:
        """Return when the message in hand first arrived, a different instant for each.

        Raises:
            _Retained: Nobody knows: the broker had kept it.
        """
        message = _given(self.message)
        if message.retain:
            raise _Retained
        if self.arrival is None:
            self.arrival = self.recorder.arrival_of(message, self.intake)
        return self.arrival

    def _place(self, thing: str, row: int, time: int, point: Point | None, path: str) -> None:
        """Attach a row of a moving Thing to a Place, or notice that a fixed one moved."""
        route = _given(self.route)
        if point is not None:
            point = within_city(point, self.registry.city_box)
            if point is None:
                self.reject("bad_position", "the city does not reach there", path, readings=0)
        if route.moving:
            self._follow((route.scheme, thing), row, time, point)
            return
        known = self.registry.things.get((route.scheme, thing))
        if point is None or known is None or known.spot == point:
            return
        if self.registry.moved(known, point):
            self.intake.moves[known.key] = (known, point)

    def _follow(self, owner: tuple[str, str], row: int, time: int, point: Point | None) -> None:
        """Give a row of a moving Thing the position it had, if that is not too long ago."""
        spots = self.recorder.spots
        if point is not None:
            spots[owner] = (time, point)
        elif owner in spots and 0 <= time - spots[owner][0] <= SPOT_LIFE_MS:
            point = spots[owner][1]
        if point is not None:
            place = self.registry.places.holding(point)
            self.intake.batch.spots[row] = Spot(place.number if place else None, point)

    def finish(self) -> None:
        """Hand the columns over to the batch."""
        rows, batch = len(self.times), self.intake.batch
        batch.datastreams, batch.times, batch.results = self.datastreams, self.times, self.results
        batch.raws = array("d", [math.nan]) * rows
        batch.flags = array("B", [Flag.NOT_EVALUATED]) * rows
        batch.tests = array("H", [0]) * rows
        for row, (raw, flag, tests) in self.odd.items():
            batch.raws[row], batch.flags[row], batch.tests[row] = raw, int(flag), int(tests)


def _given(value: Given | None) -> Given:
    """Return what must be there while a message is in hand."""
    if value is None:
        raise RuntimeError("no message is in hand")
    return value


class Recorder:
    """Turns batches of messages into Readings: the steps, in the order they must be taken."""

    def __init__(
        self,
        *,
        router: Router,
        registry: Registry,
        readings: ReadingStore,
        civic: CivicStore,
        clock: Clock,
        quarantine_cap: int,
    ) -> None:
        """Bind the ports; *quarantine_cap* is how many bytes of refused payloads are kept."""
        self.router = router
        self.registry = registry
        self.readings = readings
        self.civic = civic
        self.clock = clock
        self.quarantine_cap = quarantine_cap
        self.spots: dict[tuple[str, str], tuple[int, Point]] = {}
        """Where moving Things last said they were, and when. [ms]"""
        self.dropped_by_broker = 0
        """What mosquitto's own counter said last. [messages]"""
        self.probed = 0
        """How many of the lab's own probes came back."""
        self.usual: dict[bytes, tuple[int, Route]] = {}
        """Topic → number of its Datastream, where a message is one Reading of format `lab`."""
        self._arrived: dict[bytes, int] = {}
        self._forgotten_at: datetime | None = None

    def record(self, messages: Sequence[Message], *, backlog: bool = False) -> Intake:
        """Take all steps once, for callers that do not retry: replays, imports, HTTP.

        Raises:
            StoreUnavailableError: Some step did not happen; the same call may be made again.
        """
        self.registry.refresh()
        intake = self.decode(messages, backlog=backlog)
        self.register(intake)
        self.settle(intake, self.store(intake))
        return intake

    def decode(
        self,
        messages: Sequence[Message],
        *,
        backlog: bool = False,
        received_ms: int | None = None,
    ) -> Intake:
        """Decode a batch into columns; no message costs another anything.

        Args:
            messages: In order of arrival.
            backlog: Whether their arrival says little about when they were sent.
            received_ms: When they first arrived, if not now. [ms since 1970 UTC]
        """
        now = to_ms(self.clock.now())
        intake = Intake(now) if received_ms is None else Intake(received_ms, replayed=True)
        sink = _Columns(self, intake, backlog=backlog)
        stream = iter(messages)
        while (message := sink.usual(stream)) is not None:
            self._decode(message, sink, intake)
        sink.finish()
        for owner in [one for one, at in self._arrived.items() if at < now]:
            del self._arrived[owner]
        return intake

    def _decode(self, message: Message, sink: _Columns, intake: Intake) -> None:
        """Bring one message to its outcome: rows, and refusals or counts."""
        routed = self.router.route(message[0])
        if routed is None:
            self._unrouted(message, intake)
            return
        route, fields = routed
        tally = intake.tally(route.name)
        tally.messages += 1
        if not message.qos:
            tally.qos0 += 1
        if message[3] > len(message[1]):
            detail = f"{message.size} bytes; the limit is 256 KiB"
            self._refuse_whole(message, route.name, "too_large", detail, intake)
            return
        if b"/$" in message[0]:
            self._system(message, tally)
            return
        sink.begin(route, message)
        self._read(message, fields, sink, intake)

    def _read(
        self, message: Message, fields: Mapping[str, str], sink: _Columns, intake: Intake
    ) -> None:
        """Let the decoder of the route in hand read a message."""
        route, rows = _given(sink.route), len(sink.times)
        tally = intake.tally(route.name)
        try:
            DECODERS[route.format](message[1], fields, route, sink)
        except _Retained:
            sink.undo(rows)
            tally.retained += 1
        except Undecodable as error:
            sink.undo(rows)
            detail = f"{error.path}: {error.detail}" if error.path else error.detail
            self._refuse_whole(message, route.name, error.reason, detail, intake)
        except Exception as error:  # noqa: BLE001 - one decoder's defect must not stop the stream
            sink.undo(rows)
            log.error("decoder_failed", route=route.name, error=type(error).__name__)  # noqa: TRY400 - a trace may quote the payload
            detail = f"the decoder raised {type(error).__name__}"
            self._refuse_whole(message, route.name, "decoder_error", detail, intake)
        else:
            if sink.ignored and len(sink.times) == rows and not sink.rejects:
                tally.rule += 1
                return
            tally.decoded += 1
            if sink.rejects:
                self._refuse_parts(message, sink, intake)
            elif route.format == "lab" and not (route.moving or intake.waiting):
                self._know(message.topic, sink.datastreams[rows], route)

    def _know(self, topic: bytes, number: int, route: Route) -> None:
        """Remember where the Readings of a topic belong; a number is for ever."""
        if len(self.usual) >= TOPICS_KNOWN:
            self.usual.clear()
        self.usual[topic] = (number, route)

    def _system(self, message: Message, tally: Tally) -> None:
        """Account for a level that begins with `$`: states and probes, never measurements."""
        if message.topic.endswith(PROBE_LEVEL):
            self.probed += 1
            tally.probe += 1
        else:
            tally.rule += 1

    def _unrouted(self, message: Message, intake: Intake) -> None:
        """Account for a message whose topic no route takes."""
        tally = intake.tally(NO_ROUTE)
        tally.messages += 1
        if not message.qos:
            tally.qos0 += 1
        if message.topic == DROPPED_TOPIC:
            self.dropped_by_broker = int(message.payload) if message.payload.isdigit() else 0
        if message.topic.startswith(b"$"):
            tally.rule += 1
            return
        detail = "no route takes this topic; see `livinglab settings` for LIVINGLAB_CITY"
        self._refuse_whole(message, NO_ROUTE, "no_route", detail, intake)

    def _refuse_whole(
        self, message: Message, route: str, reason: str, detail: str, intake: Intake
    ) -> None:
        intake.tally(route).quarantined_messages += 1
        arrival = self._instant(message.topic, intake)
        intake.refused.append(_quarantined(message, route, reason, detail, arrival, whole=True))

    def _refuse_parts(self, message: Message, sink: _Columns, intake: Intake) -> None:
        route, arrival = _given(sink.route).name, sink.arrival
        if arrival is None:
            arrival = self._instant(message.topic, intake)
        tally = intake.tally(route)
        by_reason: dict[str, list[tuple[Reject, int]]] = {}
        for one in sink.rejects:
            by_reason.setdefault(one[0].reason, []).append(one)
        for reason, several in by_reason.items():
            readings = sum(cost for _, cost in several)
            told = [f"{one.path}: {one.detail}".lstrip(": ") for one, _ in several[:DETAILS_KEPT]]
            more = len(several) - len(told)
            detail = "; ".join(told) + (f"; and {more} more" if more else "")
            tally.readings += readings
            tally.quarantined_readings += readings
            intake.refused.append(
                _quarantined(message, route, reason, detail, arrival, readings=readings)
            )

    def arrival_of(self, message: Message, intake: Intake) -> int:
        """Tell when a message without a time arrived: the same again when it comes again.

        Two messages of one topic never share an instant, for one would then replace the other.
        """
        if intake.replayed:
            return intake.received_ms
        digest = hashlib.sha256(message.payload).hexdigest()
        arrival = None
        if message.dup:
            with self.civic.work(write=False) as work:
                known = work.receive_log.recall([(message.topic, digest)])
            arrival = known.get((message.topic, digest))
        if arrival is None:
            arrival = self._instant(message.topic, intake)
            intake.arrivals.append((message.topic, digest, arrival))
        return arrival

    def _instant(self, topic: bytes, intake: Intake) -> int:
        """Return an instant that no other message of the topic has; a replay's is its first."""
        if intake.replayed:
            return intake.received_ms
        arrival = max(intake.received_ms, self._arrived.get(topic, -1) + 1)
        self._arrived[topic] = arrival
        return arrival

    def register(self, intake: Intake) -> None:
        """Register what is new and remember arrivals, before any Reading refers to it.

        Raises:
            StoreUnavailableError: Nothing was registered; take this step again.
        """
        now = from_ms(intake.received_ms)
        if intake.new or intake.arrivals:
            refused = self.registry.introduce(
                list(intake.new.values()), now, lambda work: self._log_arrivals(work, intake, now)
            )
            self._number(intake, refused)
        for (scheme, series), one in intake.new.items():
            known = self.registry.things.get((scheme, series[0]))
            point = one.point and within_city(one.point, self.registry.city_box)
            if known and point and not known.moving and self.registry.moved(known, point):
                intake.moves[known.key] = (known, point)
        if intake.moves:
            self.registry.settle(list(intake.moves.values()), now)
        intake.new, intake.arrivals, intake.moves = {}, [], {}

    def _log_arrivals(self, work: UnitOfWork, intake: Intake, now: datetime) -> None:
        work.receive_log.remember(intake.arrivals)
        if self._forgotten_at is None or now - self._forgotten_at > timedelta(hours=1):
            self._forgotten_at = now
            work.receive_log.forget(to_ms(now - RECEIVE_LOG_LIFE))

    def _number(self, intake: Intake, refused: set[tuple[str, SeriesId]]) -> None:
        """Give rows of new series their numbers; quarantine those of Things that were refused."""
        out: list[int] = []
        lost: dict[Message, tuple[str, int]] = {}
        for row, ((scheme, series), message) in intake.waiting.items():
            if (scheme, series) in refused:
                route = intake.new[scheme, series].route.name
                lost[message] = (route, lost.get(message, (route, 0))[1] + 1)
                out.append(row)
            else:
                intake.batch.datastreams[row] = self.registry.of_scheme(scheme)[series]
        arrivals = {(topic, digest): at for topic, digest, at in intake.arrivals}
        detail = "its route introduced too many Things within an hour; confirm or raise the limit"
        for message, (route, n) in lost.items():
            tally = intake.tally(route)
            tally.readings += n
            tally.quarantined_readings += n
            digest = hashlib.sha256(message.payload).hexdigest()
            arrival = arrivals.get((message.topic, digest), intake.received_ms)
            intake.refused.append(
                _quarantined(message, route, "provision_limit", detail, arrival, readings=n)
            )
        if out:
            _take_out(out, intake)
        intake.waiting = {}

    def store(self, intake: Intake) -> Appended:
        """Check the batch and make it durable.

        Raises:
            StoreUnavailableError: Nothing is certain; take this step again.
        """
        if not len(intake.batch):
            return Appended(b"")
        check(intake.batch, self.registry.ranges)
        return self.readings.append(intake.batch)

    def settle(self, intake: Intake, appended: Appended) -> None:
        """Keep what was refused, and commit the counts: the last step before acknowledging.

        Raises:
            StoreUnavailableError: Nothing was kept; take this step again.
        """
        now = from_ms(intake.received_ms)
        lines = [
            LedgerLine(route, now.date(), tally)
            for route, tally in _with_outcomes(intake, appended).items()
        ]
        with self.civic.work() as work:
            if intake.refused:
                self._keep_refused(intake, work)
            if appended.replacements:
                work.conflicts.keep(appended.replacements, now)
            work.ledger.add(lines)

    def _keep_refused(self, intake: Intake, work: UnitOfWork) -> None:
        """Keep refused messages; beyond the cap only count them, one line a route and reason."""
        held = work.quarantine.size()
        kept: list[Quarantined] = []
        for one in intake.refused:
            held += len(one.payload) + len(one.topic)
            if held <= self.quarantine_cap:
                kept.append(one)
                continue
            log.warning("quarantine_full", cap_bytes=self.quarantine_cap, route=one.route)
            one.topic, one.payload, one.sha256 = b"", b"", "beyond the cap"
            kept.append(one)
        work.quarantine.keep(kept)


def _quarantined(
    message: Message,
    route: str,
    reason: str,
    detail: str,
    arrival: int,
    *,
    whole: bool = False,
    readings: int = 0,
) -> Quarantined:
    """Describe a refusal; a replay takes its *arrival* for what tells no time. [ms]"""
    seen = from_ms(arrival)
    return Quarantined(
        reason=reason,
        detail=detail[:2_000],
        route=route,
        topic=message.topic,
        payload=message.payload,
        sha256=hashlib.sha256(message.payload).hexdigest(),
        size=message.size,
        header=message.header,
        whole=whole,
        readings=readings,
        first_seen=seen,
        last_seen=seen,
    )


def _take_out(out: Sequence[int], intake: Intake) -> None:
    """Remove rows from a batch, and move what refers to later rows."""
    batch = intake.batch
    keep = np.ones(len(batch), dtype=np.bool_)
    keep[list(out)] = False
    for name in ("datastreams", "times", "results", "raws", "flags", "tests"):
        column = getattr(batch, name)
        kept = np.frombuffer(column, dtype=column.typecode)[keep].tobytes()
        setattr(batch, name, array(column.typecode, kept))
    index = np.cumsum(keep) - 1
    batch.spots = {int(index[row]): spot for row, spot in batch.spots.items() if keep[row]}
    before = np.concatenate([[0], np.cumsum(keep)])
    intake.runs = [(route, int(before[start])) for route, start in intake.runs]


def _with_outcomes(intake: Intake, appended: Appended) -> dict[str, Tally]:
    """Return the counts of each route with what became of its rows; the intake keeps its own."""
    tallies = {route: replace(tally) for route, tally in intake.tallies.items()}
    outcomes = np.frombuffer(appended.outcomes, dtype=np.uint8)
    flags = np.frombuffer(intake.batch.flags, dtype=np.uint8) if len(outcomes) else outcomes
    starts = [start for _, start in intake.runs]
    for (route, start), end in zip(intake.runs, [*starts[1:], len(outcomes)], strict=False):
        counts = np.bincount(outcomes[start:end], minlength=len(Outcome))
        tally = tallies[route]
        tally.readings += end - start
        tally.stored += int(counts[Outcome.NEW])
        tally.duplicate += int(counts[Outcome.DUPLICATE])
        tally.replaced += int(counts[Outcome.REPLACED])
        tally.missing += int(np.count_nonzero(flags[start:end] == Flag.MISSING))
    return tallies
