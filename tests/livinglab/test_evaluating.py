"""From stored Readings to a stored Effect."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.domain.indicators import Expected
from livinglab.domain.initiatives import Disturbance, Role
from livinglab.domain.places import Place
from livinglab.domain.readings import Flag, ReadingBatch, to_ms
from livinglab.domain.things import Datastream, Thing, ThingState
from livinglab.errors import NotFoundError, PanelError
from livinglab.services import initiating
from livinglab.services.evaluating import evaluate_initiative

BEGIN = datetime(2024, 9, 1, tzinfo=UTC)
START = BEGIN + timedelta(days=400)
END = BEGIN + timedelta(days=500)
EVERY_H = 4
N = 14


@pytest.fixture
def civic() -> MemoryCivicStore:
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


def found(civic, readings, **asked):
    effect, _ = evaluate_initiative(
        "clean-street", None, civic=civic, readings=readings, timezone="UTC", now=END, **asked
    )
    return effect


def headline(document):
    return next(one for one in document["estimates"] if one["estimator"] == document["headline"])


def test_an_effect_is_found_and_kept(civic, readings):
    """−4 at two Places: told with its interval, in four languages, and on file."""
    effect = found(civic, readings)

    with civic.work(write=False) as work:
        kept = work.initiatives.effect(effect.id)
    document = kept.document
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


def test_a_rerun_is_another_row_with_the_same_numbers(civic, readings):
    """Same Readings, same seed: the same document, and both stay."""
    one, two = found(civic, readings), found(civic, readings)

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


def test_what_is_not_measured_is_said(civic, readings):
    """No Initiative of that name, and no Reading at all."""
    with pytest.raises(NotFoundError):
        evaluate_initiative(
            "another", None, civic=civic, readings=readings, timezone="UTC", now=END
        )
    with pytest.raises(PanelError, match="nothing was measured"):
        found(civic, MemoryReadingStore())
