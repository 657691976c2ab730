"""The city's own weather, and an Effect that is estimated without it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.domain.indicators import Expected
from livinglab.domain.initiatives import Role
from livinglab.domain.places import Place
from livinglab.domain.readings import Flag, Interval, ReadingBatch, to_ms
from livinglab.domain.things import Datastream, Thing, ThingState
from livinglab.services import initiating
from livinglab.services.evaluating import run_job
from livinglab.services.meteorology import Sky, sky_of

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 150
START = BEGIN + timedelta(days=110)
END = BEGIN + timedelta(days=DAYS)
EVERY_H = 6
TIMES = np.arange(to_ms(BEGIN), to_ms(END), EVERY_H * 3_600_000)


class City:
    """Stations and what they measured, by hand."""

    def __init__(self) -> None:
        self.civic, self.readings = MemoryCivicStore(), MemoryReadingStore()

    def station(
        self,
        name: str,
        measured: dict[str, Any],
        place: str = "roof",
        every_h: int = EVERY_H,
        **facts: Any,
    ) -> None:
        thing = Thing(
            scheme="lab",
            external_id=name,
            state=facts.pop("state", ThingState.CONFIRMED),
            route="lab",
            introduced_at=BEGIN,
            place=place,
            **facts,
        )
        batch = ReadingBatch()
        with self.civic.work() as work:
            if place not in {one.key for one in work.places.all()}:
                n = len(work.places.all())
                work.places.add(Place(key=place, name=place, lon=6 + n / 50, lat=45.0))
            work.things.add([thing])
            for key, values in measured.items():
                stream = Datastream(
                    thing=thing.key,
                    observed_property=key,
                    introduced_at=BEGIN,
                    interval_s=3_600.0 * every_h,
                )
                work.things.add_datastreams([stream])
                for time, value in zip(TIMES.tolist(), values, strict=True):
                    if value is not None:
                        batch.add(stream.number or 0, time, float(value), Flag.GOOD)
        self.readings.append(batch)

    def sky(self, *without: str) -> Sky:
        with self.civic.work(write=False) as work:
            return sky_of(
                work.things.datastreams(),
                {one.key: one for one in work.things.all()},
                self.readings,
                window=Interval(BEGIN, END),
                timezone="UTC",
                start=date(2025, 4, 21),
                without=without,
            )


@pytest.fixture
def city() -> City:
    return City()


def test_each_part_of_the_weather_comes_from_the_station_that_measured_most(city):
    """A station that joined late tells the wind only, because nobody else does."""
    late = [None if n < 12 else 7.0 for n in range(len(TIMES))]
    city.station("old", {"temperature": np.arange(len(TIMES))})
    city.station(
        "new",
        {"temperature": late, "wind_speed": late, "wind_direction": [270.0] * len(TIMES)},
    )

    sky = city.sky()

    assert ("lab:old", "lab:new") == (sky.stations["temperature"], sky.stations["wind"])
    row = sky.frame.set_index("period").loc["2025-01-10"]
    assert (37.5, 7.0) == (row["temperature"], pytest.approx(row["wind_u"]))
    assert 0 == pytest.approx(row["wind_v"])


def test_what_is_known_of_few_days_is_no_weather(city):
    """A column that lacks more than a tenth of the days would cost their values."""
    rare = [1_000.0 if n >= 120 else None for n in range(len(TIMES))]
    city.station("roof", {"temperature": np.ones(len(TIMES)), "pressure": rare})

    sky = city.sky()

    assert {"temperature": "lab:roof"} == sky.stations
    assert ["period", "temperature"] == list(sky.frame)


def test_speed_and_direction_that_are_told_in_turn_belong_together(city):
    """Every six hours one of them: the direction nearest in time counts."""
    even = [4.0 if n % 2 == 0 else None for n in range(len(TIMES))]
    odd = [90.0 if n % 2 else None for n in range(len(TIMES))]
    city.station("mast", {"wind_speed": even, "wind_direction": odd}, every_h=12)

    sky = city.sky()

    assert {"wind": "lab:mast"} == sky.stations
    assert -4.0 == pytest.approx(sky.frame["wind_u"].mean())


@pytest.mark.parametrize("why", ["treated", "moving", "provisional", "speed alone"])
def test_stations_that_do_not_count(city, why):
    """At a treated Place the measure would pass for weather; and wind needs its direction."""
    measured = {"wind_speed" if why == "speed alone" else "temperature": np.ones(len(TIMES))}
    facts: dict[str, Any] = {"moving": True} if why == "moving" else {}
    if why == "provisional":
        facts["state"] = ThingState.PROVISIONAL
    city.station("one", measured, **facts)

    sky = city.sky(*(["roof"] if why == "treated" else []))

    assert {} == sky.stations
    assert 0 == len(sky.frame)


def test_an_effect_is_told_without_the_weather(city):
    """Stronger wind after the start thins a street's air by more than the −4 of the measure."""
    chance = np.random.default_rng(4)
    days = (np.arange(len(TIMES)) * EVERY_H // 24).astype(int)
    after = to_ms(START) <= TIMES
    wind = chance.uniform(1, 6, size=DAYS)[days]
    wind = np.where(after & (days % 2 == 0), np.maximum(wind, 4.5), wind)
    city.station(
        "mast",
        {
            "wind_speed": wind,
            "wind_direction": [180.0] * len(TIMES),
            "temperature": 10 + chance.normal(size=DAYS)[days],
        },
    )
    air = 50 - 5 * wind + chance.normal(size=len(TIMES))
    city.station("street", {"no2": air - 4 * after}, place="street")
    with city.civic.work() as work:
        proposal = initiating.Proposal(
            key="quiet",
            title="Quiet",
            theme="air",
            announced_at=None,
            starts_at=START,
            areas={"street": Role.TREATED},
            expectations=[
                initiating.Expectation(
                    key="no2", observed_property="no2", expected=Expected.DECREASE, primary=True
                )
            ],
        )
        initiating.propose(proposal, work, BEGIN)
        job = initiating.ask_evaluation("quiet", None, 0, work, END).id
    steps: list[str] = []

    run_job(
        job,
        civic=city.civic,
        readings=city.readings,
        timezone="UTC",
        now=END,
        progress=steps.append,
    )

    with city.civic.work(write=False) as work:
        document = work.initiatives.effect(job).document
    weather = document["weather"]
    found = {one["estimator"]: one for one in document["estimates"]}
    assert "weather: 1 of 1 Places" in steps
    assert {"temperature": "lab:mast", "wind": "lab:mast"} == weather["stations"]
    assert weather["passed"]
    assert -6 > found["before_after"]["effect"]
    for name in ("its", "uc"):
        assert found[name]["low"] < -4 < found[name]["high"]
        assert -4 == pytest.approx(found[name]["effect"], abs=1.3)
