"""Words and measurements compared at each Place and in each Zone, and only the answer kept."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest

from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.config import DEFAULT_CATEGORIES
from livinglab.domain.contributors import Contributor, Trust
from livinglab.domain.geometry import Point
from livinglab.domain.observations import (
    Channel,
    Observation,
    ObservationKind,
    Visibility,
)
from livinglab.domain.places import JoinMethod, Place
from livinglab.domain.readings import Flag, ReadingBatch, to_ms
from livinglab.domain.things import Datastream, Thing, ThingState
from livinglab.services.agreeing import compare_all
from tests.civic_samples import a_zone

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 300
CATEGORIES = {one.key: one for one in DEFAULT_CATEGORIES}


def observation(at: datetime, who: str, category: str) -> Observation:
    return Observation(
        id=uuid4(),
        contributor=who,
        source="api",
        client_key=str(uuid4()),
        body_sha256="0" * 64,
        kind=ObservationKind.PROBLEM,
        category=category,
        channel=Channel.WEB,
        assisted=False,
        text="a secret",
        lang="en",
        severity=3,
        occurred_at=at,
        submitted_at=None,
        received_at=at,
        skew_s=None,
        time_corrected=False,
        place="square",
        method=JoinMethod.PIN,
        distance_m=1.0,
        confidence=1.0,
        lon=6.05,
        lat=45.05,
        accuracy_m=None,
        public_lon=6.05,
        public_lat=45.05,
        visibility=Visibility.PUBLIC,
    )


@pytest.fixture
def readings() -> MemoryReadingStore:
    return MemoryReadingStore()


def town(readings: MemoryReadingStore, people: int, category: str = "air") -> MemoryCivicStore:
    """A Place whose citizens post two days after the air was bad."""
    civic, chance = MemoryCivicStore(), np.random.default_rng(1)
    level = chance.normal(size=DAYS)
    begin = NOW - timedelta(days=DAYS)
    ring = tuple(Point(*corner) for corner in ((6, 45), (6.1, 45), (6.1, 45.1), (6, 45.1)))
    batch = ReadingBatch()
    for day in range(DAYS):
        for hour in range(24):
            time = to_ms(begin + timedelta(days=day, hours=hour))
            batch.add(1, time, 40 + 10 * level[day] + chance.normal(), Flag.GOOD)
    readings.append(batch)
    with civic.work() as work:
        work.zones.add(a_zone(ring))
        work.places.add(Place(key="square", name="Square", lon=6.05, lat=45.05, zone="centre"))
        thing = Thing(
            scheme="lab",
            external_id="post",
            state=ThingState.CONFIRMED,
            route="lab",
            introduced_at=begin,
            place="square",
        )
        work.things.add([thing])
        measured = CATEGORIES[category].properties[0]
        work.things.add_datastreams(
            [Datastream(thing=thing.key, observed_property=measured, introduced_at=begin)]
        )
        for n in range(people):
            work.contributors.add(
                Contributor(
                    pseudonym=f"person-{n}",
                    token_sha256=f"{n:064d}",
                    created_at=begin,
                    trust=Trust.NORMAL,
                )
            )
        for day in range(2, DAYS):
            for n in range(chance.poisson(np.exp(0.3 + 0.8 * level[day - 2]))):
                at = begin + timedelta(days=day, hours=9, minutes=n)
                work.observations.add(observation(at, f"person-{(day + n) % people}", category))
    return civic


def compared(civic: MemoryCivicStore, readings: MemoryReadingStore) -> int:
    return compare_all(civic, readings, CATEGORIES, timezone="UTC", now=NOW)


def test_what_goes_together_is_found_at_the_place_and_in_its_zone(readings):
    """People post two days after bad air; the answer names nobody and quotes nothing."""
    civic = town(readings, people=40)

    kept = compared(civic, readings)

    with civic.work(write=False) as work:
        [here] = work.initiatives.agreements("place:square")
        [around] = work.initiatives.agreements("zone:centre")
    assert 2 == kept
    assert ("air", "no2") == (here.category, here.observed_property)
    assert ("related", 2) == (here.document["finding"], here.document["level"]["lag"])
    assert "related" == around.document["finding"]
    written = json.dumps(here.document, allow_nan=False)
    assert "person" not in written
    assert "secret" not in written


def test_a_few_people_are_not_made_a_statistic(readings):
    """Four people who post every day stay below the five that a category needs."""
    civic = town(readings, people=4)

    assert 0 == compared(civic, readings)


def test_the_next_night_replaces_the_answer(readings):
    """One answer per subject, category and property: the last."""
    civic = town(readings, people=40)

    compared(civic, readings)
    compared(civic, readings)

    with civic.work(write=False) as work:
        assert 1 == len(work.initiatives.agreements("place:square"))


def test_nothing_is_asked_where_nothing_is_measured():
    """Words alone have nothing to agree with."""
    civic = town(MemoryReadingStore(), people=40)

    assert 0 == compared(civic, MemoryReadingStore())
