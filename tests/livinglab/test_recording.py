"""Recording: every message has one outcome, every Reading one row, and the ledger adds up."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from livinglab.adapters.clocks import SettableClock
from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.domain.geometry import Box, Point
from livinglab.domain.ledger import Quarantined, Tally
from livinglab.domain.places import City
from livinglab.domain.readings import (
    Appended,
    Flag,
    Interval,
    Outcome,
    Reading,
    ReadingBatch,
    RefusedRow,
    Test,
    to_ms,
)
from livinglab.domain.things import Location, ThingState
from livinglab.errors import StoreUnavailableError
from livinglab.ports import Message, UnitOfWork
from livinglab.services.gathering import Intake
from livinglab.services.recording import DETAILS_KEPT, NO_ROUTE, Recorder
from livinglab.services.registering import Registry
from livinglab.wire import decoders
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink
from livinglab.wire.topics import Router

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_MS = to_ms(NOON)
ALWAYS = Interval(datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
SECOND = timedelta(seconds=1)
CITY = Box(west=-3.95, south=43.40, east=-3.70, north=43.52)
SQUARE = Point(-3.8100, 43.4600)
NEXT_DOOR = Point(-3.8100, 43.4604)
"""44 m north of SQUARE."""
ROUND_THE_CORNER = Point(-3.8100, 43.4610)
"""111 m north of SQUARE."""
QOS0, QOS1, RETAINED, AGAIN = 0x30, 0x32, 0x33, 0x3A

LAB = Route(name="lab", filter="lab/{thing}/{property}", format="lab", scheme="lab")
BUSES = Route(
    name="buses",
    filter="bus/{thing}/{property}",
    format="lab",
    scheme="bus",
    confirm=True,
    moving=True,
)
GATEWAY = Route(
    name="gateway",
    filter="gateway/{thing}",
    format="json",
    scheme="gateway",
    options={
        "items": "items",
        "time": "t",
        "properties": {"temperature": "temperature", "battery": "battery"},
    },
)
NODES = Route(name="nodes", filter="nodes/#", format="santander-environment", scheme="santander")


class Lab:
    """A Recorder on stores that keep everything in memory, and questions to them."""

    def __init__(self, *, limit: int = 100, cap: int = 1_000_000) -> None:
        self.clock = SettableClock(NOON)
        self.readings = MemoryReadingStore()
        self.civic = MemoryCivicStore()
        self.registry = Registry(self.civic, provision_limit=limit, city_box=CITY)
        self.recorder = Recorder(
            router=Router([LAB, BUSES, GATEWAY, NODES]),
            registry=self.registry,
            readings=self.readings,
            civic=self.civic,
            clock=self.clock,
            quarantine_cap=cap,
        )

    def record(self, *messages: Message, backlog: bool = False) -> Intake:
        """Record a batch, and see that the ledger adds up afterwards."""
        intake, _ = self.recorder.record(messages, backlog=backlog)
        assert 0 == self.total().unaccounted
        return intake

    def tally(self, route: str) -> Tally:
        """Sum what the ledger says of a route."""
        found = Tally()
        with self.civic.work(write=False) as work:
            for line in work.ledger.lines():
                if line.route == route:
                    found.add(line.tally)
        return found

    def total(self) -> Tally:
        """Sum what the ledger says, and see that each route adds up for itself."""
        found = Tally()
        with self.civic.work(write=False) as work:
            for line in work.ledger.lines():
                assert 0 == line.tally.unaccounted, line
                found.add(line.tally)
        return found

    def of(self, key: str) -> list[Reading]:
        """List the Readings of a Datastream, none if there is no such Datastream."""
        with self.civic.work(write=False) as work:
            known = work.things.datastream(key)
        if known is None or known.number is None:
            return []
        return self.readings.between(known.number, ALWAYS)

    def refused(self) -> list[Quarantined]:
        """List what waits in quarantine."""
        with self.civic.work(write=False) as work:
            return work.quarantine.page()

    def reasons(self) -> list[str]:
        """List why something waits in quarantine."""
        return [one.reason for one in self.refused()]

    def things(self) -> list[str]:
        """List the keys of the Things."""
        with self.civic.work(write=False) as work:
            return [thing.key for thing in work.things.all()]

    def locations(self, thing: str) -> list[Location]:
        """List where a fixed Thing stood."""
        with self.civic.work(write=False) as work:
            return work.things.locations(thing)


@pytest.fixture
def lab() -> Lab:
    return Lab()


def message(topic: str, payload: object, header: int = QOS1) -> Message:
    told = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return Message(topic.encode(), told, header, len(told))


def value(v: Any, at: datetime | None = NOON, header: int = QOS1, **more: Any) -> Message:
    """Write what a Thing of ours says of its temperature."""
    told = {"v": v, **({} if at is None else {"t": to_ms(at)}), **more}
    return message("lab/t1/temperature", told, header)


def bus(v: float, at: datetime, point: Point | None = None) -> Message:
    where = {} if point is None else {"lon": point.lon, "lat": point.lat}
    return message("bus/b7/noise_level", {"v": v, "t": to_ms(at), **where})


def standing(point: Point, at: datetime = NOON) -> Message:
    return value(20, at, lon=point.lon, lat=point.lat)


def results(readings: list[Reading]) -> list[float]:
    return [one.result for one in readings]


def test_reading_is_stored_with_its_own_time(lab):
    """What a Thing says is kept at the instant it says, and a Thing nobody knew is provisional."""
    lab.record(value(21.5, NOON - SECOND))

    [reading] = lab.of("lab:t1:temperature")
    with lab.civic.work(write=False) as work:
        [thing] = work.things.all()
    assert (NOON - SECOND, 21.5, Flag.GOOD) == (reading.time, reading.result, reading.flag)
    assert ("lab:t1", ThingState.PROVISIONAL) == (thing.key, thing.state)
    assert Tally(messages=1, decoded=1, readings=1, stored=1) == lab.tally("lab")


def test_reading_that_comes_twice_is_one_row(lab):
    """The broker delivers at least once; the store keeps once."""
    lab.record(value(21.5))
    lab.record(value(21.5))

    assert [21.5] == results(lab.of("lab:t1:temperature"))
    assert Tally(messages=2, decoded=2, readings=2, stored=1, duplicate=1) == lab.tally("lab")


def test_last_word_wins_and_the_loser_is_kept(lab):
    """Two numbers for one instant: the later is the result, suspect, and the earlier evidence."""
    lab.record(value(21.5))
    lab.record(value(22.5))

    [reading] = lab.of("lab:t1:temperature")
    with lab.civic.work(write=False) as work:
        conflicts = work.conflicts.count()
    assert (22.5, Flag.SUSPECT) == (reading.result, reading.flag)
    assert Test.CONFLICT in reading.tests
    assert 1 == conflicts
    assert Tally(messages=2, decoded=2, readings=2, stored=1, replaced=1) == lab.tally("lab")


def test_outcomes_within_one_batch_are_told_apart(lab):
    """A batch is applied as if its messages came one after the other."""
    lab.record(value(1.0), value(1.0), value(2.0), value(3.0, NOON - SECOND))

    expected = Tally(messages=4, decoded=4, readings=4, stored=2, duplicate=1, replaced=1)
    assert expected == lab.tally("lab")


def test_missing_is_a_reading_without_a_number(lab):
    """A sensor that says it has no value is not silent, and did not say zero."""
    lab.record(value(None))

    [reading] = lab.of("lab:t1:temperature")
    assert math.isnan(reading.result)
    assert Flag.MISSING == reading.flag
    assert 1 == lab.tally("lab").missing


@pytest.mark.parametrize(
    ("told", "flag", "tests"),
    [
        (21.5, Flag.GOOD, 0),
        (99.0, Flag.SUSPECT, Test.PLAUSIBLE),
        (267.61, Flag.FAIL, Test.PLAUSIBLE | Test.SPAN),
    ],
)
def test_flags_change_and_results_never(lab, told: float, flag: Flag, tests: Test):
    """A node that says 267.61 °C is not believed, and not corrected."""
    lab.record(value(told))

    [reading] = lab.of("lab:t1:temperature")
    assert (told, flag, tests) == (reading.result, reading.flag, reading.tests)


def test_converted_reading_keeps_the_sources_number(lab):
    """68 °F are 20 °C, and the 68 stays beside it."""
    lab.record(value(68, u="°F"))

    [reading] = lab.of("lab:t1:temperature")
    assert pytest.approx(20) == reading.result
    assert (68, Flag.GOOD) == (reading.raw, reading.flag)


def test_contradicting_unit_is_suspect_and_not_repaired(lab):
    """A temperature in hectopascal is somebody's mistake, and nobody knows whose."""
    lab.record(value(20, u="hPa"))

    [reading] = lab.of("lab:t1:temperature")
    assert (20, Flag.SUSPECT) == (reading.result, reading.flag)
    assert Test.UNIT_UNKNOWN == reading.tests


def test_retained_message_without_time_is_ignored_and_counted(lab):
    """Nobody knows when it was measured; it introduces nobody either."""
    lab.record(value(21.5, None, RETAINED))

    assert [] == lab.things()
    assert Tally(messages=1, retained=1) == lab.tally("lab")


def test_retained_message_with_its_own_time_counts_like_any_other(lab):
    """The broker kept it, but it says when it was measured."""
    lab.record(value(21.5, NOON - SECOND, RETAINED))

    assert [NOON - SECOND] == [one.time for one in lab.of("lab:t1:temperature")]
    assert 1 == lab.tally("lab").stored


def test_retained_message_is_ignored_whole(lab):
    """Of a message whose second record tells no time the first leaves nothing behind."""
    items = [{"temperature": 20, "t": NOON_MS}, {"temperature": 21}]
    lab.record(
        message("gateway/g1", {"items": items}, RETAINED),
        value(21.5),
    )

    assert ["lab:t1"] == lab.things()
    assert Tally(messages=1, retained=1) == lab.tally("gateway")
    assert [21.5] == results(lab.of("lab:t1:temperature"))


def test_probe_and_states_are_no_measurement(lab):
    """Levels that begin with $ are the lab's and its Things' own talk."""
    lab.record(
        message("lab/ingest/$probe", b"1"),
        message("lab/t1/$state", b"ready"),
        message("$SYS/broker/publish/messages/dropped", b"3"),
    )

    assert Tally(messages=2, probe=1, rule=1) == lab.tally("lab")
    assert Tally(messages=1, rule=1) == lab.tally(NO_ROUTE)
    assert [1, 3] == [lab.recorder.probed, lab.recorder.dropped_by_broker]
    assert [] == lab.refused()


def test_counter_of_the_broker_may_be_anything():
    """What does not count is no reason to stop; digits of other scripts do not either."""
    for told in (b"", b"many", b"-1", "٣".encode(), b"\xff"):
        lab = Lab()
        lab.record(message("$SYS/broker/publish/messages/dropped", told))

        assert 0 == lab.recorder.dropped_by_broker
        assert 1 == lab.tally(NO_ROUTE).rule


def test_too_large_message_is_refused_by_its_head(lab):
    """Only the head came; it says how large the whole was, and is not decoded."""
    head = Message(b"lab/t1/temperature", b"21", QOS1, 300_000)
    lab.record(head)

    [refused] = lab.refused()
    assert ("too_large", 300_000, b"21", True) == (
        refused.reason,
        refused.size,
        refused.payload,
        refused.whole,
    )
    assert Tally(messages=1, quarantined_messages=1) == lab.tally("lab")


def test_message_without_a_route_waits(lab):
    """A topic that nobody expected is kept with its bytes."""
    lab.record(message("elsewhere/t1", b"21.5"))

    [refused] = lab.refused()
    assert ("no_route", b"elsewhere/t1", b"21.5", NOON) == (
        refused.reason,
        refused.topic,
        refused.payload,
        refused.first_seen,
    )
    assert Tally(messages=1, quarantined_messages=1) == lab.tally(NO_ROUTE)


def test_same_refusal_again_counts_on(lab):
    """A Thing that repeats its mistake all day fills one line, not the disk."""
    lab.record(value("warm"))
    lab.clock.advance_to(NOON + SECOND)
    lab.record(value("warm"))

    [refused] = lab.refused()
    assert (2, NOON, NOON + SECOND) == (refused.count, refused.first_seen, refused.last_seen)
    assert 2 == lab.tally("lab").quarantined_readings


def test_unreadable_message_costs_its_neighbours_nothing(lab):
    """One broken sender among many."""
    lab.record(value(1.0), message("lab/t1/temperature", b"{"), value(2.0, NOON - SECOND))

    assert ["bad_json"] == lab.reasons()
    assert [2.0, 1.0] == results(lab.of("lab:t1:temperature"))
    expected = Tally(messages=3, decoded=2, quarantined_messages=1, readings=2, stored=2)
    assert expected == lab.tally("lab")


def test_bad_value_costs_its_siblings_nothing(lab):
    """The message is decoded; what is wrong in it is refused by reason."""
    items = [
        {"t": NOON_MS, "temperature": "warm", "battery": 80},
        {"t": NOON_MS, "temperature": 20},
        {"t": NOON_MS - 1_000, "temperature": "cold"},
    ]
    lab.record(message("gateway/g1", {"items": items}))

    [refused] = lab.refused()
    assert ("bad_number", 2, False) == (refused.reason, refused.readings, refused.whole)
    assert "items[0].temperature" in refused.detail
    expected = Tally(messages=1, decoded=1, readings=4, stored=2, quarantined_readings=2)
    assert expected == lab.tally("gateway")


def test_long_list_of_refusals_is_cut_short(lab):
    """A message of a hundred mistakes is told by its first few."""
    items = [{"t": NOON_MS, "temperature": "warm"}] * 100
    lab.record(message("gateway/g1", {"items": items}))

    [refused] = lab.refused()
    assert 100 == refused.readings
    assert f"and {100 - DETAILS_KEPT} more" in refused.detail


@pytest.fixture
def failing() -> Iterator[str]:
    """A format whose decoder breaks after its first Reading."""

    def decode(_: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
        del route
        sink.reading(fields["thing"], "temperature", NOON_MS, 1.0, unit="K")
        raise ZeroDivisionError

    decoders.FORMATS["failing"] = decoders.Format(decode)
    try:
        yield "failing"
    finally:
        del decoders.FORMATS["failing"]


def test_decoder_that_breaks_costs_its_message_only(failing):
    """A defect of ours is an outcome like any other, and leaves no half message behind."""
    lab = Lab()
    route = Route(name="new", filter="new/{thing}", format=failing, scheme="new")
    lab.recorder.router = Router([LAB, route])

    lab.record(value(1.0), message("new/n1", b"1"), value(2.0, NOON - SECOND))

    assert ["decoder_error"] == lab.reasons()
    assert ["lab:t1"] == lab.things()
    assert [2.0, 1.0] == results(lab.of("lab:t1:temperature"))
    assert Tally(messages=1, quarantined_messages=1) == lab.tally("new")
    assert Tally(messages=2, decoded=2, readings=2, stored=2) == lab.tally("lab")


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (NOON + timedelta(seconds=121), "future"),
        (datetime(1999, 12, 31, tzinfo=UTC), "bad_time"),
        (datetime(1980, 1, 6, tzinfo=UTC), "bad_time"),
    ],
)
def test_time_that_cannot_be_is_refused(lab, at: datetime, reason: str):
    """A clock that was never set tells nothing; it introduces nobody either."""
    lab.record(value(21.5, at))

    assert [reason] == lab.reasons()
    assert [] == lab.things()
    assert Tally(messages=1, decoded=1, readings=1, quarantined_readings=1) == lab.tally("lab")


def test_clock_a_little_ahead_is_forgiven(lab):
    """Two minutes are within what clocks differ."""
    lab.record(value(21.5, NOON + timedelta(seconds=120)))

    assert 1 == lab.tally("lab").stored


@pytest.mark.parametrize("t", [2**62, -(2**62), 1e19, "99999-01-01T00:00:00Z", "soon", [], True])
def test_time_beyond_every_calendar_is_refused(lab, t: object):
    """However wild a time is, it is one refusal and no crash."""
    lab.record(message("lab/t1/temperature", {"v": 1, "t": t}))

    assert lab.reasons() in (["future"], ["bad_time"])


def test_unknown_property_is_refused(lab):
    """The lab knows what it measures; a word of somebody else's introduces no Datastream."""
    lab.record(message("lab/t1/mood", b"3"))

    assert ["unknown_property"] == lab.reasons()
    assert [] == lab.things()


def test_labels_alone_are_no_measurement(lab):
    """A message in which everything is ignored by a rule is itself counted so."""
    lab.record(message("nodes/a", {"resources": []}))

    assert 1 == lab.tally("nodes").messages
    assert [] == lab.refused()


def test_messages_at_qos_0_are_counted(lab):
    """For them nothing is promised, so it is worth knowing how many there are."""
    lab.record(value(1.0, header=QOS0), value(1.0), message("elsewhere", b"1", QOS0))

    assert [1, 1] == [lab.tally("lab").qos0, lab.tally(NO_ROUTE).qos0]


def test_route_that_introduces_too_many_things_is_stopped():
    """The limit refuses Readings of further Things, and not those of known ones."""
    lab = Lab(limit=2)
    lab.record(*(message(f"lab/t{n}/temperature", {"v": n, "t": NOON_MS}) for n in range(4)))
    lab.record(message("lab/t0/temperature", {"v": 9, "t": NOON_MS - 1}))

    assert ["lab:t0", "lab:t1"] == lab.things()
    assert ["provision_limit"] * 2 == lab.reasons()
    assert [9.0, 0.0] == results(lab.of("lab:t0:temperature"))
    expected = Tally(messages=5, decoded=5, readings=5, stored=3, quarantined_readings=2)
    assert expected == lab.tally("lab")


def test_limit_is_one_of_an_hour():
    """After an hour the route may introduce as many again."""
    lab = Lab(limit=1)
    lab.record(message("lab/t0/temperature", b"1"))
    lab.clock.advance_to(NOON + timedelta(minutes=59))
    lab.record(message("lab/t1/temperature", b"1"))
    lab.clock.advance_to(NOON + timedelta(minutes=60))
    lab.record(message("lab/t2/temperature", b"1"))

    assert ["lab:t0", "lab:t2"] == lab.things()


def test_trusted_gateway_has_no_limit():
    """Things of a route that the city trusts are confirmed at once, however many."""
    lab = Lab(limit=1)
    lab.record(*(message(f"bus/b{n}/noise_level", b"60") for n in range(5)))

    with lab.civic.work(write=False) as work:
        states = [thing.state for thing in work.things.all()]
    assert [ThingState.CONFIRMED] * 5 == states


def test_rows_between_refused_ones_keep_their_place():
    """Taking refused rows out of a batch moves neither spots nor the accounts of routes."""
    lab = Lab(limit=1)
    lab.record(
        message("lab/t0/temperature", {"v": 1, "t": NOON_MS}),
        message("lab/t1/temperature", {"v": 2, "t": NOON_MS}),
        bus(61, NOON, SQUARE),
        message("lab/t2/temperature", {"v": 3, "t": NOON_MS}),
        bus(62, NOON - SECOND, NEXT_DOOR),
    )

    assert [NEXT_DOOR, SQUARE] == [one.point for one in lab.of("bus:b7:noise_level")]
    assert [1.0] == results(lab.of("lab:t0:temperature"))
    assert [1, 2] == [lab.tally("lab").stored, lab.tally("lab").quarantined_readings]
    assert 2 == lab.tally("buses").stored


def test_moving_thing_has_a_place_per_reading(lab):
    """A bus is at a Place only while it is there."""
    lab.record(standing(SQUARE))
    lab.record(bus(61, NOON, SQUARE), bus(62, NOON + SECOND, ROUND_THE_CORNER))

    here, there = lab.of("bus:b7:noise_level")
    with lab.civic.work(write=False) as work:
        [place] = work.places.all()
    assert (place.number, SQUARE) == (here.place, here.point)
    assert (None, ROUND_THE_CORNER) == (there.place, there.point)
    assert [] == lab.locations("bus:b7")


def test_moving_thing_stays_where_it_was_for_half_a_minute(lab):
    """Noise without a position belongs where the bus last was, if that is not too long ago."""
    lab.record(
        bus(60, NOON - timedelta(seconds=60), SQUARE),
        bus(61, NOON - timedelta(seconds=30)),
        bus(62, NOON - timedelta(seconds=29, microseconds=999_000)),
        bus(63, NOON - timedelta(seconds=61)),
    )

    before, same, within, beyond = lab.of("bus:b7:noise_level")
    assert [None, SQUARE, SQUARE, None] == [
        before.point,
        same.point,
        within.point,
        beyond.point,
    ]


def test_fixed_thing_stands_at_a_place_of_its_own(lab):
    """Where nobody stood before, the first Thing makes the Place."""
    lab.record(standing(SQUARE))

    [where] = lab.locations("lab:t1")
    assert (SQUARE, "lab:t1", NOON) == (where.point, where.place, where.since)


def test_fixed_thing_that_jitters_stays(lab):
    """Satellites are not exact: 44 m are no move."""
    lab.record(standing(SQUARE))
    lab.record(standing(NEXT_DOOR, NOON + SECOND))

    assert [SQUARE] == [where.point for where in lab.locations("lab:t1")]


def test_fixed_thing_that_moves_gets_another_place(lab):
    """Beyond 50 m somebody carried it; where it stood before stays in the history."""
    lab.record(standing(SQUARE))
    lab.clock.advance_to(NOON + SECOND)
    lab.record(standing(ROUND_THE_CORNER, NOON + SECOND))

    assert [SQUARE, ROUND_THE_CORNER] == [one.point for one in lab.locations("lab:t1")]
    assert ["lab:t1", "lab:t1.2"] == [one.place for one in lab.locations("lab:t1")]


def test_position_in_swapped_order_is_understood(lab):
    """Where only the other order lies in the city, the other order was meant."""
    lab.record(standing(Point(SQUARE.lat, SQUARE.lon)))

    assert [SQUARE] == [where.point for where in lab.locations("lab:t1")]


def test_position_outside_the_city_costs_no_reading(lab):
    """Null Island is refused, the temperature is not."""
    lab.record(bus(61, NOON, Point(0.0, 0.0)))

    [reading] = lab.of("bus:b7:noise_level")
    assert (61, None) == (reading.result, reading.point)
    assert ["bad_position"] == lab.reasons()
    expected = Tally(messages=1, decoded=1, readings=1, stored=1)
    assert expected == lab.tally("buses")


def test_messages_without_time_never_share_an_instant(lab):
    """Three values in one millisecond are three Readings, not one with two losers."""
    lab.record(value(1, None), value(2, None), value(3, None))

    readings = lab.of("lab:t1:temperature")
    assert [1, 2, 3] == results(readings)
    assert [NOON_MS, NOON_MS + 1, NOON_MS + 2] == [to_ms(one.time) for one in readings]
    assert 3 == lab.tally("lab").stored


def test_batches_without_time_never_share_an_instant(lab):
    """Nor do those of two batches within one millisecond."""
    lab.record(value(1, None))
    lab.record(value(2, None))
    lab.record(value(3, None), value(4, None))

    assert [1, 2, 3, 4] == results(lab.of("lab:t1:temperature"))
    assert 4 == lab.tally("lab").stored


def test_arrivals_are_forgotten_once_they_lie_behind(lab):
    """The memory of arrivals does not grow with every topic there ever was."""
    for n in range(5):
        lab.clock.advance_to(NOON + n * SECOND)
        lab.record(message(f"lab/t{n}/temperature", b"1"))

    assert 1 >= len(lab.recorder._arrived)


def test_message_that_comes_again_keeps_its_instant(lab):
    """A message without a time that the broker sends again is the same Reading."""
    lab.record(value(21.5, None))
    lab.clock.advance_to(NOON + timedelta(minutes=5))
    lab.record(value(21.5, None, AGAIN))

    assert [NOON] == [one.time for one in lab.of("lab:t1:temperature")]
    assert Tally(messages=2, decoded=2, readings=2, stored=1, duplicate=1) == lab.tally("lab")


def test_message_that_comes_again_but_never_came_is_new(lab):
    """The broker may have sent it before to a lab that died; then it arrives now."""
    lab.record(value(21.5, None, AGAIN))

    assert [NOON] == [one.time for one in lab.of("lab:t1:temperature")]


def test_backlog_makes_arrival_times_uncertain(lab):
    """What waited for hours did not happen when it arrived; what tells its time did."""
    lab.record(value(1, None), value(2, NOON - SECOND), backlog=True)

    own, arrived = lab.of("lab:t1:temperature")
    assert (Flag.GOOD, 0) == (own.flag, own.tests)
    assert (Flag.SUSPECT, Test.TIME_UNCERTAIN) == (arrived.flag, arrived.tests)


def test_full_quarantine_keeps_counting():
    """Beyond the cap bytes are dropped, never the account of them."""
    lab = Lab(cap=40)
    lab.record(*(message(f"elsewhere/{n}", b"0123456789") for n in range(4)))

    with lab.civic.work(write=False) as work:
        size = work.quarantine.size()
    assert 40 >= size
    assert 4 == sum(one.count for one in lab.refused())
    assert 4 == lab.tally(NO_ROUTE).quarantined_messages


class Stumbling(MemoryReadingStore):
    """A store that is away the first time."""

    away = True

    def append(self, batch):
        if self.away:
            self.away = False
            raise StoreUnavailableError("readings", "away")
        return super().append(batch)


def test_steps_may_be_taken_again(lab):
    """A store that was away costs nothing: the steps repeat, the ledger counts once."""
    lab.recorder.readings = lab.readings = Stumbling()
    intake = lab.recorder.decode([value(21.5, None), message("elsewhere", b"1")])
    lab.recorder.register(intake)
    with pytest.raises(StoreUnavailableError):
        lab.recorder.store(intake)

    lab.recorder.register(intake)
    lab.recorder.settle(intake, lab.recorder.store(intake))

    assert [21.5] == results(lab.of("lab:t1:temperature"))
    assert Tally(messages=1, decoded=1, readings=1, stored=1) == lab.tally("lab")
    assert 0 == lab.total().unaccounted


def test_many_outcomes_in_one_batch_add_up(lab):
    """Whatever comes together, each route's account closes for itself."""
    intake = lab.record(
        value(1.0),
        value(1.0),
        value(2.0),
        value(None, NOON - SECOND),
        value("warm"),
        value(1.0, None, RETAINED),
        bus(60, NOON, SQUARE),
        message("lab/x/$probe", b""),
        message("elsewhere", b""),
        Message(b"lab/t1/temperature", b"", QOS1, 300_000),
        message("lab/\x01/temperature", b"1"),
        Message(b"\xff/\xfe", b"\xff", QOS0, 1),
    )

    assert 12 == lab.total().messages
    assert 4 == len(intake.batch) - 1
    assert sorted(["bad_number", "no_route", "too_large", "bad_identity", "no_route"]) == sorted(
        lab.reasons()
    )


class Picky(MemoryReadingStore):
    """A store that will never take the number of the beast."""

    def append(self, batch: ReadingBatch) -> Appended:
        kept, refused = ReadingBatch(), []
        for row in range(len(batch)):
            if batch.results[row] == 666:
                refused.append(RefusedRow(row, "store_refused", "it is superstitious"))
            else:
                kept.add(batch.datastreams[row], batch.times[row], batch.results[row])
        told = iter(super().append(kept).outcomes)
        outcomes = [Outcome.REFUSED] * len(batch)
        for row in set(range(len(batch))) - {one.row for one in refused}:
            outcomes[row] = Outcome(next(told))
        return Appended(bytes(outcomes), (), tuple(refused))


def test_a_row_that_the_store_will_never_take_is_quarantined_alone():
    """Its message is found again, among usual ones, mixed ones and ones that were refused."""
    lab = Lab()
    lab.readings = lab.recorder.readings = Picky()
    lab.record(value(0.0))
    nodes = {"resources": [{"dc:identifier": "9", "ayto:temperature": "666", "ayto:battery": "5"}]}
    nodes["resources"][0]["dc:modified"] = "2026-01-01T11:00:00Z"
    lab.record(
        value(1.0, NOON - SECOND),
        message("elsewhere", b"1"),
        value(666.0, NOON - 2 * SECOND),
        message("nodes/a", nodes),
        message("lab/t1/temperature", b"{"),
        value(2.0, NOON - 3 * SECOND),
    )

    refused = [one for one in lab.refused() if one.reason == "store_refused"]
    assert [b"lab/t1/temperature", b"nodes/a"] == sorted(one.topic for one in refused)
    assert all(b"666" in one.payload for one in refused)
    assert [2.0, 1.0, 0.0] == [one.result for one in lab.of("lab:t1:temperature")]
    assert [5.0] == [one.result for one in lab.of("santander:9:battery")]
    assert 2 == lab.total().quarantined_readings


def test_what_the_city_does_not_keep_is_refused():
    """A late Reading from before the retention would be dropped silently some night."""
    lab = Lab()
    city = City(key="c", name="C", timezone="UTC", retention_months=24)
    lab.recorder = Recorder(
        router=Router([LAB]),
        registry=lab.registry,
        readings=lab.readings,
        civic=lab.civic,
        clock=lab.clock,
        quarantine_cap=1_000_000,
        keeps_since=city.keeps_since,
    )
    kept = datetime(2024, 1, 1, tzinfo=UTC)

    lab.record(value(1.0, kept), value(2.0, kept - SECOND))

    assert [(kept, 1.0)] == [(one.time, one.result) for one in lab.of("lab:t1:temperature")]
    assert ["too_old"] == lab.reasons()


def test_two_recorders_may_meet_a_thing_at_the_same_time():
    """MQTT and HTTP have a registry each; whoever comes second takes what the first entered."""
    lab = Lab()
    other = Recorder(
        router=Router([LAB]),
        registry=Registry(lab.civic, city_box=CITY),
        readings=lab.readings,
        civic=lab.civic,
        clock=lab.clock,
        quarantine_cap=1_000_000,
    )
    lab.registry.refresh()
    mine = lab.recorder.decode([value(1.0, NOON - SECOND, lat=SQUARE.lat, lon=SQUARE.lon)])
    other.record([value(2.0, NOON, lat=SQUARE.lat, lon=SQUARE.lon)])

    lab.recorder.complete(mine)

    assert ["lab:t1"] == lab.things()
    assert [1.0, 2.0] == [one.result for one in lab.of("lab:t1:temperature")]
    with lab.civic.work(write=False) as work:
        assert 1 == len(work.things.locations("lab:t1"))
        assert 1 == len(work.places.all())


class Away(MemoryCivicStore):
    """Civic data that do not answer until somebody lets them."""

    here = True

    @contextmanager
    def work(self, *, write: bool = True) -> Iterator[UnitOfWork]:
        if not self.here:
            raise StoreUnavailableError("civic data", "the server is away", "start it")
        with super().work(write=write) as work:
            yield work


def test_a_store_that_is_away_is_no_fault_of_the_message():
    """A message without time that comes again is looked up; meanwhile it is not refused."""
    lab = Lab()
    lab.civic = lab.registry.civic = lab.recorder.civic = Away()
    lab.record(value(21.5, None))
    again = value(21.5, None, AGAIN)
    lab.civic.here = False

    with pytest.raises(StoreUnavailableError):
        lab.recorder.decode([again])
    lab.civic.here = True
    lab.record(again)

    assert 1 == len(lab.of("lab:t1:temperature"))
    assert [] == lab.reasons()
