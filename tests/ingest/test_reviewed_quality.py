"""What nightly work makes of flags and intervals, through the lab's own stores."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest.nightly import look_after, tidying
from livinglab.adapters.clocks import SettableClock
from livinglab.bootstrap import Lab, open_lab
from livinglab.config import Settings
from livinglab.domain.quality import DAY_MS, Mark
from livinglab.domain.readings import Aggregation, Flag, Interval, ReadingBatch, Test, to_ms
from livinglab.domain.things import Datastream, Thing, ThingState
from livinglab.services.checking import VERSION

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    opened = open_lab(Settings(data=tmp_path), clock=SettableClock(NOON + timedelta(days=1)))
    yield opened
    opened.close()


def tell(lab: Lab, *results: float) -> int:
    """Let one thermometer speak every minute from noon on, as nobody checked it yet."""
    post = Datastream(thing="lab:post", observed_property="temperature", introduced_at=NOON)
    thing = Thing(
        scheme="lab",
        external_id="post",
        state=ThingState.CONFIRMED,
        route="lab",
        introduced_at=NOON,
    )
    with lab.work() as work:
        work.things.add([thing])
        work.things.add_datastreams([post])
        number = post.number or 0
        work.quality.mark([Mark(number, to_ms(NOON) // DAY_MS, at=to_ms(NOON))])
    batch = ReadingBatch()
    for minute, result in enumerate(results):
        batch.add(number, to_ms(NOON + minute * MINUTE), result, flag=Flag.GOOD)
    lab.readings.append(batch)
    return number


def test_a_night_learns_judges_and_rolls_up(lab):
    """The spike is found by what the Thing's own interval makes neighbours, and leaves the mean."""
    number = tell(lab, *[20.0] * 5, 50.0, *[20.0] * 6)

    look_after(lab)

    hour = Interval(NOON, NOON + HOUR)
    tests = [one.tests for one in lab.readings.between(number, hour)]
    [bucket] = lab.readings.every(number, hour, HOUR, Aggregation.MEAN)
    with lab.work(write=False) as work:
        [known] = work.things.datastreams()
        assert {number: VERSION} == work.quality.judged()
        assert [] == work.quality.due(to_ms(NOON + timedelta(days=9)))
    assert (60.0, True) == (known.interval_s, known.interval_learned)
    assert [*[Test(0)] * 5, Test.RATE | Test.SPIKE, Test.RATE, *[Test(0)] * 5] == tests
    assert (10, 20.0, 2) == (bucket.n, bucket.mean, bucket.suspect)


def test_the_version_of_the_tests_is_noted_at_the_start(lab):
    """A lab that begins says by which tests it judges, and says it once."""
    for _ in range(2):
        with tidying(lab):
            pass  # the thread notes it first, and is joined

    with lab.work(write=False) as work:
        [noted] = work.quality.versions()
    assert (VERSION, NOON + timedelta(days=1)) == (noted.version, noted.since)
