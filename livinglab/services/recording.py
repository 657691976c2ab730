"""Recording: what Things published becomes Readings, and every message is accounted for.

The steps of one batch, each repeatable but checking: decode → register what is new → check →
store → settle the accounts. Whoever calls acknowledges after the last of them. Nothing here
retries or sleeps.
"""

import hashlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import structlog

from livinglab.domain.geometry import Point
from livinglab.domain.ledger import LedgerLine, Quarantined, Reject, Tally
from livinglab.domain.readings import Appended, Flag, Outcome, from_ms, to_ms
from livinglab.errors import StoreUnavailableError
from livinglab.ports import CivicStore, Clock, Message, ReadingStore, UnitOfWork
from livinglab.services.checking import Recent, check
from livinglab.services.gathering import (
    TOPICS_KNOWN,
    Aliases,
    Columns,
    Groups,
    Intake,
    Retained,
    given,
)
from livinglab.services.registering import Registry, SeriesId, within_city
from livinglab.wire.decoders import FORMATS
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Short, Undecodable
from livinglab.wire.topics import Router

log = structlog.get_logger()

NO_ROUTE = "none"
"""Name under which messages that no route takes are counted."""
PROBE_LEVEL = b"/$probe"
"""Last level of the topic by which the lab tests that the broker delivers."""
DROPPED_TOPIC = b"$SYS/broker/publish/messages/dropped"
"""Where mosquitto counts what it threw away."""
DETAILS_KEPT = 5
"""How many refusals of one message and reason are told in full."""
RECEIVE_LOG_LIFE = timedelta(days=7)
"""How long the arrival of a message without a time of its own is remembered."""


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
        keeps_since: Callable[[datetime], datetime | None] = lambda _: None,
    ) -> None:
        """Bind the ports.

        Args:
            router: Whose routes are recorded.
            registry: Of Things and Datastreams.
            readings: Where Readings go.
            civic: Where everything else goes.
            clock: Tells arrivals.
            quarantine_cap: How much of refused payloads is kept. [bytes]
            keeps_since: At an instant, since when Readings are kept; None: all of them.
        """
        self._keeps_since = keeps_since
        self.router = router
        self.registry = registry
        self.readings = readings
        self.civic = civic
        self.clock = clock
        self.quarantine_cap = quarantine_cap
        self.recent = Recent()
        """What Datastreams last said, for the tests that take neighbours."""
        self.spots: dict[tuple[str, str], tuple[int, Point]] = {}
        """Where moving Things last said they were, and when. [ms]"""
        self.dropped_by_broker = 0
        """What mosquitto's own counter said last. [messages]"""
        self.probed = 0
        """How many of the lab's own probes came back."""
        self.usual: dict[bytes, tuple[int | Short, Route]] = {}
        """Topic → number of its Datastream, or the short way of its format; and its route."""
        self._groups: dict[str, Groups] = {}
        self._aliases: Aliases = {}
        self._arrived: dict[bytes, int] = {}
        self._forgotten_at: datetime | None = None

    def oldest_ms(self) -> int:
        """Return the first instant of which Readings are kept now. [ms since 1970 UTC]"""
        since = self._keeps_since(self.clock.now())
        return to_ms(since) if since else 0

    def record(
        self, messages: Sequence[Message], *, backlog: bool = False
    ) -> tuple[Intake, Appended]:
        """Take all steps once, for callers that do not retry: imports, HTTP.

        Raises:
            StoreUnavailableError: Some step did not happen; the same call may be made again.
        """
        self.registry.refresh()
        intake = self.decode(messages, backlog=backlog)
        return intake, self.complete(intake)

    def complete(self, intake: Intake) -> Appended:
        """Take the steps after decoding, once each.

        Raises:
            StoreUnavailableError: Some step did not happen; decode again.
        """
        self.register(intake)
        self.check(intake)
        appended = self.store(intake)
        self.settle(intake, appended)
        return appended

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
        intake = Intake(now, messages)
        if received_ms is not None:
            intake = Intake(received_ms, messages, replayed=True)
        sink = Columns(self, intake, backlog=backlog)
        stream = iter(messages)
        while (message := sink.usual(stream)) is not None:
            self._decode(message, sink, intake)
        sink.finish()
        for owner in [one for one, at in self._arrived.items() if at < now]:
            del self._arrived[owner]
        return intake

    def _decode(self, message: Message, sink: Columns, intake: Intake) -> None:
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
        self, message: Message, fields: Mapping[str, str], sink: Columns, intake: Intake
    ) -> None:
        """Let the decoder of the route in hand read a message."""
        route, rows = given(sink.route), len(sink.times)
        tally = intake.tally(route.name)
        try:
            FORMATS[route.format].decode(message[1], fields, route, sink)
        except StoreUnavailableError:
            raise  # no fault of the message: the batch is decoded again
        except Retained:
            sink.undo(rows)
            tally.retained += 1
        except Undecodable as error:
            sink.undo(rows)
            self._refuse_whole(
                message, route.name, error.reason, error.detail, intake, path=error.path
            )
        except Exception as error:  # noqa: BLE001 - one decoder's defect must not stop the stream
            sink.undo(rows)
            log.error("decoder_failed", route=route.name, error=type(error).__name__)  # noqa: TRY400 - a trace may quote the payload
            detail = f"the decoder raised {type(error).__name__}"
            self._refuse_whole(message, route.name, "decoder_error", detail, intake)
        else:
            self._note(message, rows, sink, intake)

    def _note(self, message: Message, rows: int, sink: Columns, intake: Intake) -> None:
        """Account for a message that was read; its rows begin at *rows*."""
        route = given(sink.route)
        tally = intake.tally(route.name)
        intake.aliases.update(sink.defined)
        if sink.ignored and len(sink.times) == rows and not sink.rejects:
            tally.rule += 1
            return
        tally.decoded += 1
        if sink.rejects:
            self._refuse_parts(message, sink, intake)
        elif not (route.moving or intake.waiting):
            if route.format == "lab":
                self._know(message.topic, sink.datastreams[rows], route)
            elif short := FORMATS[route.format].short:
                self._know(message.topic, short, route)

    def groups_of(self, scheme: str) -> Groups:
        """Return what is known of Things of a scheme; the dict stays the same one for ever."""
        return self._groups.setdefault(scheme, {})

    def _know(self, topic: bytes, way: int | Short, route: Route) -> None:
        """Remember how the usual messages of a topic are taken; a number is for ever."""
        if len(self.usual) >= TOPICS_KNOWN:
            self.usual.clear()
        self.usual[topic] = (way, route)

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
        self,
        message: Message,
        route: str,
        reason: str,
        detail: str,
        intake: Intake,
        *,
        path: str = "",
    ) -> None:
        intake.tally(route).quarantined_messages += 1
        intake.rejects.append(Reject(reason=reason, detail=detail[:300], path=path))
        detail = f"{path}: {detail}" if path else detail
        arrival = self._instant(message.topic, intake)
        intake.refused.append(_quarantined(message, route, reason, detail, arrival, whole=True))

    def _refuse_parts(self, message: Message, sink: Columns, intake: Intake) -> None:
        route, arrival = given(sink.route).name, sink.arrival
        if arrival is None:
            arrival = self._instant(message.topic, intake)
        tally = intake.tally(route)
        intake.rejects.extend(one for one, _ in sink.rejects)
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

    def aliases_of(self, owner: tuple[str, str]) -> Mapping[int, str]:
        """Return what a sender, told with its scheme, defined in an earlier batch."""
        found = self._aliases.get(owner)
        if found is None:
            with self.civic.work(write=False) as work:
                found = self._aliases[owner] = work.aliases.of(*owner)
        return found

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
        if intake.aliases:
            with self.civic.work() as work:
                for owner, aliases in intake.aliases.items():
                    work.aliases.put(*owner, aliases)
            self._aliases.update(intake.aliases)
            intake.aliases = {}
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
            intake.rejects.append(Reject(reason="provision_limit", detail=detail))
            digest = hashlib.sha256(message.payload).hexdigest()
            arrival = arrivals.get((message.topic, digest), intake.received_ms)
            intake.refused.append(
                _quarantined(message, route, "provision_limit", detail, arrival, readings=n)
            )
        if out:
            _take_out(out, intake)
        intake.waiting = {}

    def check(self, intake: Intake, *, live: bool = False) -> None:
        """Flag the rows, batch after batch in order of arrival.

        Args:
            intake: What was decoded and registered.
            live: Whether its messages came as soon as they could: no backlog, no history.
        """
        now_ms = to_ms(self.clock.now())
        check(intake.batch, self.registry.ranges, self.recent, now_ms=now_ms, live=live)

    def store(self, intake: Intake) -> Appended:
        """Make the batch durable; from any thread, one batch after the other.

        Raises:
            StoreUnavailableError: Nothing is certain; take this step again.
        """
        if not len(intake.batch):
            return Appended(b"")
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
        refused = [*intake.refused, *self._refused_rows(intake, appended)]
        now_ms = to_ms(self.clock.now())
        marks, skews = self.recent.marks(now_ms), self.recent.skews(now_ms)
        with self.civic.work() as work:
            work.quality.mark(marks)
            work.quality.note_skews(skews)
            if refused:
                self._keep_refused(refused, work)
            if appended.replacements:
                work.conflicts.keep(appended.replacements, now)
            work.ledger.add(lines)
        self.recent.marked(marks)
        self.recent.told(skews)

    def _refused_rows(self, intake: Intake, appended: Appended) -> list[Quarantined]:
        """Describe the rows that the store will never take, by their messages."""
        if not appended.refused:
            return []
        owners = self._owners(intake, {one.row for one in appended.refused})
        found: dict[tuple[Message, str], Quarantined] = {}
        for one in appended.refused:
            message, route = owners[one.row]
            if (message, one.reason) in found:
                found[message, one.reason].readings += 1
                continue
            found[message, one.reason] = _quarantined(
                message, route, one.reason, one.detail, intake.received_ms, readings=1
            )
        return list(found.values())

    def _owners(self, intake: Intake, rows: set[int]) -> dict[int, tuple[Message, str]]:
        """Find the messages of some rows, by decoding them again one by one: it is rarely asked."""
        found: dict[int, tuple[Message, str]] = {}
        at = 0
        for message in intake.messages:
            again = self.decode([message], received_ms=intake.received_ms)
            n = len(again.batch) - len(again.waiting)  # what waits still was not stored
            for row in rows.intersection(range(at, at + n)):
                found[row] = message, again.runs[-1][0]
            at += n
        return found

    def _keep_refused(self, refused: Sequence[Quarantined], work: UnitOfWork) -> None:
        """Keep refused messages; beyond the cap only count them, one line a route and reason."""
        held = work.quarantine.size()
        kept: list[Quarantined] = []
        for one in refused:
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
        tally.quarantined_readings += int(counts[Outcome.REFUSED])
        tally.missing += int(np.count_nonzero(flags[start:end] == Flag.MISSING))
    return tallies
