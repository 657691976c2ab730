"""A town whose truth is known: what is planted comes out, however it is asked for."""

import json
from itertools import pairwise

import numpy as np
import pytest

from livinglab.domain.geometry import contains, distance_m
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.readings import to_ms
from livinglab.errors import SettingsError
from simulators.fleet import BROKEN, Fleet, position, truth
from simulators.signals import DAY_MS, HOUR_MS, normal, traffic, true_value, uniform
from simulators.town import read_town, town_names

BEGIN = 1_767_225_600_000


def test_towns_that_ship_can_be_read():
    """`medium` has five thousand Datastreams, `small` a few dozen Things."""
    small, medium = read_town("small"), read_town("medium")

    assert {"small", "medium"} <= set(town_names())
    assert 30 <= len(small.things) <= 60
    assert 5_000 <= sum(len(thing.sensors) for thing in medium.things)


@pytest.mark.parametrize("name", ["small", "medium"])
def test_things_stand_in_zones_and_measure_what_exists(name):
    """Every Place lies in a Zone; every property has its row."""
    town = read_town(name)
    for thing in town.things:
        inside = [z.key for z in town.city_file.zones if contains(z.ring, thing.place.point)]
        assert inside, thing.key
        assert all(sensor.observed_property in OBSERVED_PROPERTIES for sensor in thing.sensors)


def test_unknown_town_is_told_what_there_is():
    """The error names the towns that ship."""
    with pytest.raises(SettingsError, match="small"):
        read_town("atlantis")


def test_signal_does_not_depend_on_how_it_is_asked():
    """In one piece, in two, or one instant at a time: the same numbers."""
    times = np.arange(BEGIN, BEGIN + 6 * HOUR_MS, 60_000)
    whole = true_value(1, "here", "no2", times)
    halves = np.concatenate([true_value(1, "here", "no2", part) for part in np.split(times, 2)])
    single = true_value(1, "here", "no2", times[77:78])

    assert np.array_equal(whole, halves)
    assert whole[77] == single[0]
    assert not np.array_equal(whole, true_value(2, "here", "no2", times))


def test_counter_based_draws_are_what_they_claim():
    """Uniform in (0, 1) with mean 1/2; normal with mean 0 and variance 1."""
    index = np.arange(100_000)
    even, bell = uniform(1, 2, index), normal(1, 2, index)

    assert pytest.approx(0.5, abs=0.005) == even.mean()
    assert 0 < even.min() < even.max() < 1
    assert pytest.approx(0, abs=0.02) == bell.mean()
    assert pytest.approx(1, abs=0.02) == bell.var()


def test_traffic_has_a_day_and_a_week():
    """Busier at half past seven than at three; less on Sunday than on Monday."""
    monday = BEGIN + 4 * DAY_MS
    hours = monday + np.array([3, 7]) * HOUR_MS + HOUR_MS // 2
    night, morning = traffic(1, "street", hours)
    sunday = traffic(1, "street", hours - DAY_MS)[1]

    assert morning > 3 * night
    assert morning > 1.5 * sunday


def test_true_effect_is_the_difference_with_and_without():
    """A street without cars: -6 µg/m³ of NO2 from its first day on, nothing before."""
    town = read_town("small")
    start = to_ms(next(one.start for one in town.treatments if one.key == "school-street"))
    times = np.array([start - 1, start, start + 40 * DAY_MS])
    sensor = next(
        sensor
        for thing in town.things
        for sensor in thing.sensors
        if sensor.observed_property == "no2"
    )
    treated = [truth(town, "swan-lane", sensor, times, with_initiatives=w) for w in (True, False)]
    elsewhere = [truth(town, "chapel", sensor, times, with_initiatives=w) for w in (True, False)]

    assert pytest.approx([0, -6, -6]) == list(treated[0] - treated[1])
    assert np.array_equal(*elsewhere)


def test_planted_faults_are_counted():
    """What was planted is what is found in the payloads."""
    town = read_town("small")
    fleet = Fleet(town, haste=600)
    samples = fleet.between(BEGIN, BEGIN + 2 * DAY_MS)
    broken = sum(payload in BROKEN for _, _, payload in samples)
    nulls = sum(payload.startswith(b'{"v":null') for _, _, payload in samples)
    due = Fleet(town, haste=600)
    for thing in town.things:
        object.__setattr__(thing, "faults", {})

    assert broken == fleet.planted["broken"] > 0
    assert nulls == fleet.planted["null"] > 0
    assert len(due.between(BEGIN, BEGIN + 2 * DAY_MS)) == len(samples) + fleet.planted["dropout"]


def test_fleet_tells_each_sample_once():
    """Two half hours hold what one hour holds, and a fixed Thing tells first where it stands."""
    town = read_town("small")
    hour = Fleet(town).between(BEGIN, BEGIN + HOUR_MS)
    halves = Fleet(town)
    both = halves.between(BEGIN, BEGIN + HOUR_MS // 2)
    both += halves.between(BEGIN + HOUR_MS // 2, BEGIN + HOUR_MS)
    first = next(body for _, topic, body in hour if topic.endswith("/no2") and body not in BROKEN)

    assert [one[:2] for one in hour] == [one[:2] for one in both]
    assert {"v", "t", "lat", "lon"} == set(json.loads(first))


def test_buses_drive_as_buses_do():
    """Never faster than the line says, and always near it."""
    line = read_town("small").lines[0]
    points = [position(line, 0, BEGIN + k * 5_000) for k in range(2_000)]
    steps = [distance_m(a, b) for a, b in pairwise(points)]

    assert max(steps) <= line.speed_kmh / 3.6 * 5 * 1.01
    assert sum(steps) > 10_000
