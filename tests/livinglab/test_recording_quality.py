"""Recording hands what it stores to the tests that take neighbours, and remembers what they say."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from livinglab.adapters.clocks import SettableClock
from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.domain.readings import Interval, Test, to_ms
from livinglab.errors import StoreUnavailableError
from livinglab.ports import Message
from livinglab.services.learning import learn_intervals, skew_of
from livinglab.services.rechecking import RIPE_AFTER, recheck_due
from livinglab.services.recording import Recorder
from livinglab.services.registering import Registry
from livinglab.wire.routes import Route
from livinglab.wire.topics import Router

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ALWAYS = Interval(NOON - timedelta(days=9), NOON + timedelta(days=9))


class Lab:
    """A Recorder on stores that keep everything in memory, one thermometer, and a clock."""

    def __init__(self) -> None:
        self.clock = SettableClock(NOON)
        self.readings, self.civic = MemoryReadingStore(), MemoryCivicStore()
        self.recorder = Recorder(
            router=Router(
                [Route(name="lab", filter="lab/{thing}/{property}", format="lab", scheme="lab")]
            ),
            registry=Registry(self.civic),
            readings=self.readings,
            civic=self.civic,
            clock=self.clock,
            quarantine_cap=1_000_000,
        )

    def tell(self, minute: float, result: float, *, lag: timedelta = timedelta(0)) -> None:
        """Let the thermometer speak live, as the pipeline hears it."""
        self.clock.advance_to(NOON + minute * MINUTE)
        payload = orjson.dumps({"v": result, "t": to_ms(self.clock.now() - lag)})
        recorder = self.recorder
        recorder.registry.refresh()
        intake = recorder.decode([Message(b"lab/t1/temperature", payload, 0x32, len(payload))])
        recorder.register(intake)
        recorder.check(intake, live=True)
        recorder.settle(intake, recorder.store(intake))

    def tests(self) -> list[Test]:
        return [one.tests for one in self.readings.between(1, ALWAYS)]


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_a_spike_is_found_from_end_to_end(lab):
    """The rate shows at once, the spike one Reading later: the next look at the day flags it."""
    for minute, result in enumerate([20, 20, 50, 20]):
        lab.tell(minute, result)
    before = lab.tests()

    changed = recheck_due(lab.civic, lab.readings, lab.clock.now())

    assert [Test(0), Test(0), Test.RATE, Test.RATE] == before
    assert [Test(0), Test(0), Test.RATE | Test.SPIKE, Test.RATE] == lab.tests()
    assert 1 == changed


def test_a_learned_interval_closes_gaps(lab):
    """Once a minute is what is expected, an hour's silence parts the series."""
    for minute in range(12):
        lab.tell(minute, 20 + minute % 2)
    learn_intervals(lab.civic, lab.readings)
    lab.tell(71, 50)

    assert 180_000 == lab.recorder.registry.ranges.gap_ms[1]
    assert Test(0) == lab.tests()[-1]


def test_a_skewed_clock_is_kept_and_flagged(lab):
    """Its Readings are suspect, at the times they told."""
    for minute in range(20):
        lab.tell(minute, 20 + minute % 2, lag=timedelta(hours=5))
    with lab.civic.work(write=False) as work:
        skew = skew_of(work.things.datastreams(), work)

    assert skew is not None
    assert 18_000.0 == skew.lag_s
    assert Test.SKEWED == lab.tests()[-1]
    assert NOON + 19 * MINUTE - timedelta(hours=5) == lab.readings.between(1, ALWAYS)[-1].time


def test_a_settlement_that_failed_loses_no_mark(lab):
    """What could not be committed is committed with the next batch."""
    lab.tell(0, 20)
    recheck_due(lab.civic, lab.readings, NOON + 2 * RIPE_AFTER)
    recorder = lab.recorder
    lab.clock.advance_to(NOON + 20 * MINUTE)
    payload = orjson.dumps({"v": 21, "t": to_ms(lab.clock.now())})
    intake = recorder.decode([Message(b"lab/t1/temperature", payload, 0x32, len(payload))])
    recorder.check(intake)
    appended = recorder.store(intake)
    recorder.civic = Away()
    with pytest.raises(StoreUnavailableError):
        recorder.settle(intake, appended)
    recorder.civic = lab.civic
    recorder.settle(intake, appended)

    with lab.civic.work(write=False) as work:
        assert 1 == len(work.quality.due(to_ms(NOON + 20 * MINUTE)))


class Away:
    """A civic store that does not answer."""

    def work(self, *, write: bool = True):  # noqa: ARG002 - the signature of the port
        raise StoreUnavailableError("civic data", "it is away")
