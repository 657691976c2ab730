"""Replaying: what was refused heals after a fix, at the instant at which it first arrived."""

from datetime import UTC, datetime, timedelta

import pytest

from livinglab.adapters.clocks import SettableClock
from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.domain.ledger import QuarantineState, Tally
from livinglab.domain.readings import Interval, Reading
from livinglab.ports import Message
from livinglab.services.recording import Recorder
from livinglab.services.registering import Registry
from livinglab.services.replaying import Replayed, drop, replay
from livinglab.wire.routes import Route
from livinglab.wire.topics import Router

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=5)
MILLISECOND = timedelta(milliseconds=1)
ALWAYS = Interval(datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
LAB = Route(name="lab", filter="lab/{thing}/{property}", format="lab", scheme="lab")
NEW = Route(name="new", filter="new/{thing}/{property}", format="lab", scheme="new")
PAIRS = Route(
    name="pairs",
    filter="pairs/{thing}",
    format="json",
    scheme="pairs",
    options={"properties": {"temperature": "a", "battery": "b"}},
)


class Lab:
    """A Recorder on stores that keep everything in memory."""

    def __init__(self, *routes: Route, limit: int = 100) -> None:
        self.clock = SettableClock(NOON)
        self.readings = MemoryReadingStore()
        self.civic = MemoryCivicStore()
        self.recorder = Recorder(
            router=Router(routes),
            registry=Registry(self.civic, provision_limit=limit),
            readings=self.readings,
            civic=self.civic,
            clock=self.clock,
            quarantine_cap=1_000_000,
        )

    def record(self, *messages: tuple[str, bytes]) -> None:
        self.recorder.record([message(*one) for one in messages])

    def mend(self, *routes: Route) -> None:
        """Start again hours later with other routes."""
        self.clock.advance_to(LATER)
        self.recorder.router = Router(routes)

    def of(self, key: str) -> list[Reading]:
        with self.civic.work(write=False) as work:
            known = work.things.datastream(key)
        if known is None or known.number is None:
            return []
        return self.readings.between(known.number, ALWAYS)

    def states(self) -> list[QuarantineState]:
        with self.civic.work(write=False) as work:
            return [one.state for one in work.quarantine.page(state=None)]

    def unaccounted(self) -> int:
        found = Tally()
        with self.civic.work(write=False) as work:
            for line in work.ledger.lines():
                found.add(line.tally)
        return found.unaccounted


@pytest.fixture
def lab() -> Lab:
    """A lab without a route for `new`, to which such messages came at noon."""
    lab = Lab(LAB)
    lab.record(("new/n1/temperature", b"20"), ("new/n1/temperature", b"21"))
    return lab


def message(topic: str, payload: bytes) -> Message:
    return Message(topic.encode(), payload, 0x32, len(payload))


def told(readings: list[Reading]) -> list[tuple[datetime, float]]:
    return [(one.time, one.result) for one in readings]


def test_message_heals_once_a_route_takes_it(lab):
    """It counts from its arrival, not from the repair; and two of one instant stay two."""
    lab.mend(LAB, NEW)

    found = replay(lab.recorder)

    assert Replayed(tried=2, healed=2, readings=2) == found
    assert [(NOON, 20.0), (NOON + MILLISECOND, 21.0)] == told(lab.of("new:n1:temperature"))
    assert [QuarantineState.REPLAYED] * 2 == lab.states()
    assert 0 == lab.unaccounted()


def test_replay_comes_after_the_present(lab):
    """What arrives meanwhile on the same topic keeps its own instant, and so does the healed."""
    lab.mend(LAB, NEW)
    lab.record(("new/n1/temperature", b"30"))

    replay(lab.recorder)

    assert [20.0, 21.0, 30.0] == [one.result for one in lab.of("new:n1:temperature")]
    assert NOON == lab.of("new:n1:temperature")[0].time


def test_dry_run_changes_nothing(lab):
    """It tells what would heal; the real run then does just that."""
    lab.mend(LAB, NEW)

    found = replay(lab.recorder, dry_run=True)

    assert Replayed(tried=2, healed=2, readings=2) == found
    assert [QuarantineState.WAITING] * 2 == lab.states()
    assert [] == lab.of("new:n1:temperature")

    replay(lab.recorder)

    assert [NOON, NOON + MILLISECOND] == [one.time for one in lab.of("new:n1:temperature")]


def test_what_still_fails_stays(lab):
    """Without a fix a replay only says so, once more with the reason."""
    found = replay(lab.recorder)

    assert Replayed(tried=2, refused=2) == found
    assert [QuarantineState.WAITING] * 2 == lab.states()
    assert 0 == lab.unaccounted()


def test_only_what_is_asked_for_is_tried(lab):
    """By reason and by route."""
    lab.record(("lab/t1/temperature", b"{"))

    assert 1 == replay(lab.recorder, reason="bad_json").tried
    assert 2 == replay(lab.recorder, route="none").tried
    assert 0 == replay(lab.recorder, reason="bad_json", route="none").tried


def test_half_a_message_heals_beside_its_other_half():
    """What was stored of it at first comes out as a duplicate: its instant is the same."""
    lab = Lab(PAIRS)
    lab.record(("pairs/p1", b'{"a": 19, "b": 80}'), ("pairs/p1", b'{"a": 20, "b": [81]}'))
    mended = {"properties": {"temperature": "a", "battery": "b[0]"}}
    lab.mend(
        Route(name="pairs", filter="pairs/{thing}", format="json", scheme="pairs", options=mended)
    )

    found = replay(lab.recorder)

    assert Replayed(tried=1, healed=1, readings=2) == found
    assert [19.0, 20.0] == [one.result for one in lab.of("pairs:p1:temperature")]
    assert [(NOON, 80.0), (NOON + MILLISECOND, 81.0)] == told(lab.of("pairs:p1:battery"))
    assert 0 == lab.unaccounted()


def test_things_beyond_the_limit_heal_once_confirmed():
    """A route that is trusted by now brings in what it had to leave outside, as it arrived."""
    lab = Lab(NEW, limit=0)
    lab.record(("new/n1/temperature", b"20"), ("new/n1/temperature", b"21"))
    lab.mend(Route(name="new", filter=NEW.filter, format="lab", scheme="new", confirm=True))

    assert Replayed(tried=2, healed=2, readings=2) == replay(lab.recorder)
    assert [(NOON, 20.0), (NOON + MILLISECOND, 21.0)] == told(lab.of("new:n1:temperature"))


def test_what_is_dropped_is_not_tried(lab):
    """Somebody gave up on it; its bytes stay."""
    with lab.civic.work() as work:
        dropped = drop(work, reason="no_route")

    assert 2 == dropped
    assert [QuarantineState.DROPPED] * 2 == lab.states()
    assert 0 == replay(lab.recorder).tried
