"""Learning: how often a Datastream speaks, and how wrong the clock of its Thing is."""

from datetime import UTC, datetime, timedelta

import pytest

from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.domain.quality import Skew
from livinglab.domain.readings import ReadingBatch, to_ms
from livinglab.domain.things import Datastream, Thing, ThingState
from livinglab.services.learning import (
    ENOUGH_GAPS,
    expected_interval,
    learn_intervals,
    skew_of,
)
from livinglab.services.watching import is_stale

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Lab:
    """One Thing with two Datastreams, on stores that keep everything in memory."""

    def __init__(self) -> None:
        self.civic, self.readings = MemoryCivicStore(), MemoryReadingStore()
        thing = Thing(
            scheme="lab",
            external_id="post",
            state=ThingState.CONFIRMED,
            route="lab",
            introduced_at=NOON,
        )
        several = [
            Datastream(thing=thing.key, observed_property=one, introduced_at=NOON)
            for one in ("temperature", "pm25")
        ]
        with self.civic.work() as work:
            work.things.add([thing])
            work.things.add_datastreams(several)
        self.one, self.other = (one.number or 0 for one in several)

    def tell(self, *seconds: float) -> None:
        """Store Readings of the first Datastream, so many seconds after noon."""
        batch = ReadingBatch()
        for second in seconds:
            batch.add(self.one, to_ms(NOON + timedelta(seconds=second)), 20.0)
        self.readings.append(batch)

    def datastreams(self) -> list[Datastream]:
        with self.civic.work(write=False) as work:
            return work.things.datastreams()

    def set_by_the_city(self, interval_s: float) -> None:
        with self.civic.work() as work:
            work.things.datastreams()[0].interval_s = interval_s


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_an_interval_is_the_median_of_the_gaps():
    """Eight gaps of a minute and one of an hour: a minute; fewer gaps tell nothing."""
    times = [NOON + timedelta(minutes=minute) for minute in range(ENOUGH_GAPS + 1)]

    assert 60.0 == expected_interval([*times, times[-1] + timedelta(hours=1)])
    assert expected_interval(times[:-1]) is None
    assert expected_interval([]) is None


@pytest.mark.parametrize("every_s", [1, 60, 600, 3_600, 86_400])
def test_intervals_of_any_length_are_learned(lab, every_s):
    """Once a second or once a day, and who never spoke stays unknown."""
    lab.tell(*(every_s * n for n in range(12)))

    learned = learn_intervals(lab.civic, lab.readings)

    [known, unknown] = lab.datastreams()
    assert {lab.one: every_s} == learned
    assert (every_s, True) == (known.interval_s, known.interval_learned)
    assert (None, False) == (unknown.interval_s, unknown.interval_learned)


def test_what_the_city_set_stays(lab):
    """An observed interval never takes the place of one that somebody promised."""
    lab.set_by_the_city(300)
    lab.tell(*(60 * n for n in range(12)))

    learned = learn_intervals(lab.civic, lab.readings, again=True)

    [known, _] = lab.datastreams()
    assert {} == learned
    assert (300, False) == (known.interval_s, known.interval_learned)


def test_a_learned_interval_is_learned_again_when_asked(lab):
    """A Thing that speaks less often now is expected less often, but small changes move nothing."""
    lab.tell(*(60 * n for n in range(12)))
    learn_intervals(lab.civic, lab.readings)
    lab.tell(*(86_400 + 63 * n for n in range(12)))
    assert {} == learn_intervals(lab.civic, lab.readings, again=True)
    lab.tell(*(2 * 86_400 + 600 * n for n in range(12)))

    assert {} == learn_intervals(lab.civic, lab.readings)
    assert {lab.one: 600} == learn_intervals(lab.civic, lab.readings, again=True)


def test_a_datastream_is_stale_by_what_was_learned(lab):
    """A Thing that speaks every minute is silent after four, not after three hours."""
    lab.tell(*(60 * n for n in range(12)))
    last = NOON + timedelta(minutes=11)
    later = last + timedelta(minutes=4)
    before = is_stale(lab.datastreams()[0], last, later)

    learn_intervals(lab.civic, lab.readings)

    assert not before
    assert is_stale(lab.datastreams()[0], last, later)
    assert not is_stale(lab.datastreams()[0], last, last + timedelta(minutes=3))


def test_the_skew_of_a_thing_is_that_of_its_datastreams(lab):
    """They share a clock: the median over them; a Thing that nobody heard live has none."""
    with lab.civic.work(write=False) as work:
        assert skew_of(work.things.datastreams(), work) is None
    with lab.civic.work() as work:
        work.quality.note_skews([Skew(lab.one, 60.0, 8, 100), Skew(lab.other, 62.0, 16, 200)])

    with lab.civic.work(write=False) as work:
        found = skew_of(work.things.datastreams(), work)

    assert found is not None
    assert (61.0, 24, 200) == (found.lag_s, found.samples, found.at_ms)
