"""From stored Readings to a stored Effect."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.domain.indicators import Expected, JobState
from livinglab.domain.initiatives import Disturbance, Role
from livinglab.domain.places import Place
from livinglab.domain.readings import Flag, ReadingBatch, to_ms
from livinglab.domain.things import Datastream, Thing, ThingState
from livinglab.errors import LimitExceededError, NotFoundError
from livinglab.services import initiating
from livinglab.services.evaluating import run_job

BEGIN = datetime(2024, 9, 1, tzinfo=UTC)
START = BEGIN + timedelta(days=400)
END = BEGIN + timedelta(days=500)
EVERY_H = 4
N = 14


def planned() -> MemoryCivicStore:
    """Fourteen Places with a Thing each, and an Initiative at two of them."""
    store = MemoryCivicStore()
    with store.work() as work:
        for n in range(N):
            work.places.add(Place(key=f"p-{n:02d}", name=f"P {n}", lon=6 + 0.01 * n, lat=45.0))
            thing = Thing(
                scheme="lab",
                external_id=f"t-{n}",
                state=ThingState.CONFIRMED,
                route="lab",
                introduced_at=BEGIN,
                place=f"p-{n:02d}",
            )
            work.things.add([thing])
            work.things.add_datastreams(
                [
                    Datastream(
                        thing=thing.key,
                        observed_property="no2",
                        introduced_at=BEGIN,
                        interval_s=3_600.0 * EVERY_H,
                    )
                ]
            )
        proposal = initiating.Proposal(
            key="clean-street",
            title="Clean street",
            theme="air",
            announced_at=START - timedelta(days=14),
            starts_at=START,
            areas={f"p-{n:02d}": Role.TREATED if n in {2, 5} else Role.CONTROL for n in range(N)},
            expectations=[
                initiating.Expectation(
                    key="no2",
                    observed_property="no2",
                    expected=Expected.DECREASE,
                    smallest_effect=1.0,
                    primary=True,
                )
            ],
        )
        initiating.propose(proposal, work, BEGIN)
    return store


@pytest.fixture
def civic() -> MemoryCivicStore:
    return planned()


@pytest.fixture(scope="module")
def readings() -> MemoryReadingStore:
    """A wandering level that all share, noise, and −4 at two Places."""
    store = MemoryReadingStore()
    chance = np.random.default_rng(1)
    times = np.arange(to_ms(BEGIN), to_ms(END), EVERY_H * 3_600_000)
    common = 25 + chance.normal(size=len(times)).cumsum() * 0.1
    batch = ReadingBatch()
    for n in range(N):
        values = common + n / 3 + chance.normal(size=len(times))
        if n in {2, 5}:
            values = values - 4 * (times >= to_ms(START))
        for time, value in zip(times.tolist(), values.tolist(), strict=True):
            batch.add(n + 1, time, value, Flag.GOOD)
    store.append(batch)
    return store


def job(civic, readings, initiative="clean-street", **asked):
    """Ask, do it, and return how it ended."""
    with civic.work() as work:
        made = initiating.ask_evaluation(initiative, None, 0, work, END).id
    run_job(made, civic=civic, readings=readings, timezone="UTC", now=END, **asked)
    with civic.work(write=False) as work:
        return work.initiatives.job(made)


def found(civic, readings):
    ended = job(civic, readings)
    with civic.work(write=False) as work:
        return work.initiatives.effect(ended.id)


def headline(document):
    return next(one for one in document["estimates"] if one["estimator"] == document["headline"])


@pytest.fixture(scope="module")
def evaluated(readings):
    """A civic store with one Effect, and that Effect."""
    store = planned()
    return store, found(store, readings)


def test_an_effect_is_found_and_kept(evaluated):
    """−4 at two Places: told with its interval, in four languages, and on file."""
    document = evaluated[1].document

    assert "decrease" == document["finding"]
    assert headline(document)["low"] < -4 < headline(document)["high"]
    assert ["p-02", "p-05"] == document["places"]["treated"]
    assert {"en", "es", "fr", "ar"} == set(document["sentences"])
    status = {one["id"]: one["status"] for one in document["guards"]}
    assert ("pass", "pass", "pass") == (
        status["frozen"],
        status["concurrent"],
        status["instrument"],
    )


def test_a_rerun_is_another_row_with_the_same_numbers(evaluated, readings):
    """Same Readings, same seed: the same document, and both stay."""
    civic, one = evaluated
    two = found(civic, readings)

    assert one.document == two.document
    assert one.id != two.id
    with civic.work(write=False) as work:
        assert 2 == len(work.initiatives.effects("clean-street"))


def test_what_changed_after_the_start_shows(civic, readings):
    """A Hypothesis rewritten when the result was known, and roadworks, lower the grade."""
    with civic.work() as work:
        late = initiating.Expectation(
            key="no2", observed_property="no2", expected=Expected.DECREASE, primary=True
        )
        initiating.expect("clean-street", late, work, END)
        initiating.disturb(
            Disturbance(kind="roadworks", note="bridge", place="p-02", since=START, until=None),
            work,
        )

    document = found(civic, readings).document

    status = {one["id"]: one["status"] for one in document["guards"]}
    assert ("cap_C", "soft_fail") == (status["frozen"], status["concurrent"])
    assert document["grade"] >= "C"
    assert "reduced" not in document["sentence"]


def test_what_is_not_measured_is_said(civic):
    """No Initiative of that name is refused at once; no Reading at all ends it with the reason."""
    with pytest.raises(NotFoundError), civic.work() as work:
        initiating.ask_evaluation("another", None, 0, work, END)

    ended = job(civic, MemoryReadingStore())

    assert (JobState.FAILED, "nothing was measured at any of its Places") == (
        ended.state,
        ended.problem,
    )


def test_an_evaluation_that_was_left_is_done_once(civic, readings):
    """Interrupted, it stays open under its id; done, it is not done again."""

    def stop(step):
        if step == "weather":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job(civic, readings, progress=stop)
    with civic.work(write=False) as work:
        [left] = work.initiatives.jobs()
    again = job(civic, readings)
    run_job(again.id, civic=civic, readings=readings, timezone="UTC", now=END)

    assert JobState.RUNNING is left.state
    assert (left.id, JobState.DONE) == (again.id, again.state)
    with civic.work(write=False) as work:
        assert [left.id] == [one.id for one in work.initiatives.effects("clean-street")]
        assert work.initiatives.picture(left.id, "course", "ar").svg.startswith("<svg")


def test_so_many_evaluations_may_wait(civic):
    """The same one is the same job; beyond 50 others, who asks is told to come back."""
    with civic.work() as work:
        jobs = {
            initiating.ask_evaluation("clean-street", key, seed, work, END).id
            for seed in range(initiating.WAITING)
            for key in (None, "no2")
        }
    assert initiating.WAITING == len(jobs)
    with pytest.raises(LimitExceededError), civic.work() as work:
        initiating.ask_evaluation("clean-street", None, 999, work, END)
