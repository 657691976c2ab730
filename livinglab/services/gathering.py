"""Gathering: what decoders find in a batch of messages, as columns, and what they refuse.

The sink of the hot path. Decoders write rows here, not objects; what is usual goes a shorter way.
"""

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from livinglab.domain.geometry import Point
from livinglab.domain.ledger import Quarantined, Reject, Tally
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.readings import Flag, ReadingBatch, Spot, Test, TimeSource
from livinglab.ports import Message
from livinglab.services.registering import Introduction, Known, SeriesId, within_city
from livinglab.wire.routes import Route
from livinglab.wire.settling import EARLIEST_MS, FUTURE_TOLERANCE_MS, settle_unit, time_text
from livinglab.wire.sinks import Shape, Short

if TYPE_CHECKING:
    from livinglab.services.recording import Recorder

Given = TypeVar("Given")
Aliases = dict[tuple[str, str], Mapping[int, str]]
"""(Scheme, sender) → what it defined."""
Groups = dict[tuple[str, Shape], tuple[int, ...]]
"""(External id, shape of its messages) → Datastream numbers, within a scheme."""

SPOT_LIFE_MS = 30_000
"""A moving Thing is still where it last said, for so long. [ms]"""
USUAL_SIZE = 1e300
"""Larger numbers are looked at one by one: they may be infinite."""
TOPICS_KNOWN = 200_000
"""Topics, and Things, whose usual messages are remembered."""


@dataclass(slots=True)
class Intake:
    """One batch on its way: what was decoded, what was refused, and the counts so far."""

    received_ms: int
    messages: Sequence[Message] = ()
    replayed: bool = False
    """Whether it arrived before, at *received_ms* exactly."""
    batch: ReadingBatch = field(default_factory=ReadingBatch)
    runs: list[tuple[str, int]] = field(default_factory=list)
    """(Route, its first row): rows up to the next run belong to it."""
    refused: list[Quarantined] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    """Each refusal by itself, for whoever waits for an answer."""
    tallies: dict[str, Tally] = field(default_factory=dict)
    arrivals: list[tuple[bytes, str, int]] = field(default_factory=list)
    """Messages without a time of their own, for the receive log."""
    new: dict[tuple[str, SeriesId], Introduction] = field(default_factory=dict)
    waiting: dict[int, tuple[tuple[str, SeriesId], Message]] = field(default_factory=dict)
    """Row → its (scheme, series) that is not registered yet, and its message."""
    moves: dict[str, tuple[Known, Point]] = field(default_factory=dict)
    """Key of a fixed Thing → where it stands now."""
    aliases: Aliases = field(default_factory=dict)
    """What senders defined in this batch."""

    def tally(self, route: str) -> Tally:
        """Return the counts of a route."""
        found = self.tallies.get(route)
        if found is None:
            found = self.tallies[route] = Tally()
        return found


class Retained(Exception):  # noqa: N818 - an outcome, not an error
    """A message that the broker had kept and that tells no time."""


class Columns:
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
        self.earliest_ms = max(EARLIEST_MS, recorder.oldest_ms())
        self.numbers: dict[SeriesId, int] = {}
        self.groups: Groups = {}
        self.route: Route | None = None
        self.message: Message | None = None
        self.arrival: int | None = None
        self.rejects: list[tuple[Reject, int]] = []
        self.defined: Aliases = {}
        """What the message in hand defines."""
        self.ignored = 0
        self._before = (0, 0)

    def usual(self, stream: Iterator[Message]) -> Message | None:
        """Take messages for as long as they are usual; return the first that is not.

        Usual is what nearly all are that come by the hundred thousand, at QoS 1 and from Things
        that are registered and stand still: ``{"v": 21.5, "t": ms}`` of format `lab`, or what a
        format has a short way for. For those this does what decoders and `reading` do, in a third
        of the time.
        """
        known, loads = self.recorder.usual, orjson.loads
        earliest_ms, latest_ms = self.earliest_ms, self.latest_ms
        add_number, add_time = self.datastreams.append, self.times.append
        add_result = self.results.append
        taken = 0
        for message in stream:
            topic, payload, header, size = message
            found = known.get(topic)
            if found is None or header & 6 != 2 or size != len(payload):  # noqa: PLR2004 - QoS 1
                break
            way, route = found
            if route is not self.route:
                self._count_usual(taken)
                taken = 0
                self.turn(route)
            if not isinstance(way, int):
                if not self._short(way, payload, route):
                    break
                taken += 1
                continue
            try:
                told = loads(payload)
                value, time = told["v"], told["t"]
            except (ValueError, KeyError, TypeError):
                break
            kind = type(value)
            if (
                (kind is not float and kind is not int)
                or type(time) is not int
                or not earliest_ms <= time <= latest_ms
                or not -USUAL_SIZE < value < USUAL_SIZE
                or len(told) != 2  # noqa: PLR2004 - v and t
            ):
                break
            add_number(way)
            add_time(time)
            add_result(value)
            taken += 1
        else:
            message = None
        self._count_usual(taken)
        return message

    def _count_usual(self, taken: int) -> None:
        if taken:
            tally = self.intake.tally(given(self.route).name)
            tally.messages += taken
            tally.decoded += taken

    def _short(self, way: Short, payload: bytes, route: Route) -> bool:
        """Take a message by the short way of its format; False if it has to go the long one."""
        told = way(payload, route)
        if told is None:
            return False
        thing, time, shape, results, point = told
        numbers = self.groups.get((thing, shape))
        if numbers is None:
            numbers = self._group(thing, shape)
        if not numbers or not self.earliest_ms <= time <= self.latest_ms:
            return False
        if point is not None and self.registry.things[route.scheme, thing].spot != point:
            return False
        self.datastreams.extend(numbers)
        self.times.extend((time,) * len(numbers))
        self.results.extend(results)
        return True

    def _group(self, thing: str, shape: Shape) -> tuple[int, ...]:
        """Find the numbers of several series of a Thing; none if one is not registered yet."""
        found = [self.numbers.get((thing, name, "")) for name in shape.properties]
        numbers = tuple(one for one in found if one is not None)
        if len(numbers) < len(found):
            return ()
        if len(self.groups) >= TOPICS_KNOWN:
            self.groups.clear()
        self.groups[thing, shape] = numbers
        return numbers

    def turn(self, route: Route) -> None:
        """Turn to messages of another route."""
        self.route = route
        self.numbers = self.registry.of_scheme(route.scheme)
        self.groups = self.recorder.groups_of(route.scheme)
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
        if self.defined:
            self.defined = {}
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
        elif not self.earliest_ms <= time <= self.latest_ms:
            self._reject_time(time, path)
            return
        if value != value:  # noqa: PLR0124 - the fastest test for NaN
            flag = Flag.MISSING
        elif unit is not None:
            unit = unit or given(self.route).units.get(observed_property, unit)
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

    @property
    def received(self) -> int:
        """When the message arrived: see `wire.sinks.Sink`."""
        return self._arrival_ms()

    def _reject_time(self, time: int, path: str) -> None:
        """Refuse a Reading that cannot be true, or that nobody keeps."""
        if time > self.latest_ms:
            self.reject("future", f"{time_text(time)} lies in the future", path)
        elif time < EARLIEST_MS:
            self.reject("bad_time", f"{time_text(time)} lies before the year 2000", path)
        else:
            self.reject("too_old", f"{time_text(time)} is not kept any more", path)

    def recall(self, owner: str) -> Mapping[int, str]:
        """Return what a sender defined: see `wire.sinks.Sink`."""
        wanted = (given(self.route).scheme, owner)
        for told in (self.defined, self.intake.aliases):
            if wanted in told:
                return told[wanted]
        return self.recorder.aliases_of(wanted)

    def remember(self, owner: str, aliases: Mapping[int, str]) -> None:
        """Keep what a sender defines: see `wire.sinks.Sink`; a replay is older."""
        if not (self.intake.replayed and self.recall(owner)):
            self.defined[given(self.route).scheme, owner] = aliases

    def reject(self, reason: str, detail: str, path: str = "", *, readings: int = 1) -> None:
        """Refuse part of a message: see `wire.sinks.Sink`."""
        self.rejects.append((Reject(reason=reason, detail=detail[:300], path=path), readings))

    def ignore(self, rule: str, path: str = "") -> None:  # noqa: ARG002 - the Sink's signature
        """Pass over what is no measurement."""
        self.ignored += 1

    def _wait(self, series: SeriesId, unit: str | None, point: Point | None) -> int:
        """Note a series that nobody registered yet; its rows get their number later."""
        route = given(self.route)
        wanted = (route.scheme, series)
        if wanted not in self.intake.new:
            self.intake.new[wanted] = Introduction(route, series, unit, point)
        self.intake.waiting[len(self.times)] = (wanted, given(self.message))
        return 0

    def _arrival_ms(self) -> int:
        """Return when the message in hand first arrived, a different instant for each.

        Raises:
            Retained: Nobody knows: the broker had kept it.
        """
        message = given(self.message)
        if message.retain:
            raise Retained
        if self.arrival is None:
            self.arrival = self.recorder.arrival_of(message, self.intake)
        return self.arrival

    def _place(self, thing: str, row: int, time: int, point: Point | None, path: str) -> None:
        """Attach a row of a moving Thing to a Place, or notice that a fixed one moved."""
        route = given(self.route)
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


def given(value: Given | None) -> Given:
    """Return what must be there while a message is in hand."""
    if value is None:
        raise RuntimeError("no message is in hand")
    return value
