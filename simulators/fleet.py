"""The fleet: Things that publish what they measure, and what goes wrong with them."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from livinglab.domain.geometry import Point, distance_m
from livinglab.domain.readings import to_ms
from simulators.signals import (
    DAY_MS,
    YEAR_MS,
    Times,
    Values,
    normal,
    series_of,
    true_value,
    uniform,
    with_effects,
)
from simulators.town import BusLine, Sensor, SimulatedThing, Town

BROKEN = (b'{"v": 21.5, "t"', b'{"t": 0}', b"NaN", b'{"v": "n/a"}', b'{"v": 1e999}', b"\xff\xfe")
"""What a broken sender sends; each is refused, whole or in part."""
NOISE = {
    "temperature": 0.2,
    "relative_humidity": 1.0,
    "vehicle_flow": 25.0,
    "no2": 1.2,
    "pm10": 1.5,
    "pm25": 1.0,
    "o3": 2.0,
    "noise_level": 0.7,
}
"""Standard deviation of the sensors' own noise, in the property's unit; 0.3 for others."""
WHOLE = frozenset({"parking_free", "bicycle_count", "vehicle_flow"})

Sample = tuple[int, str, bytes]
"""Instant [ms since 1970 UTC], topic, payload."""


@dataclass(slots=True)
class Fleet:
    """All Things of a town; `between` is pure but for the counts of planted faults."""

    town: Town
    haste: float | None = None
    """Another interval between Readings than the Things' own. [s]"""
    planted: Counter[str] = field(default_factory=Counter)
    _introduced: set[str] = field(default_factory=set)

    def between(self, start_ms: int, end_ms: int) -> list[Sample]:
        """Return what is published in a half-open span of time, oldest first."""
        samples = [
            one
            for thing in self.town.things
            for sensor in thing.sensors
            for one in self._of_sensor(thing, sensor, start_ms, end_ms)
        ]
        for line in self.town.lines:
            for bus in range(line.buses):
                samples.extend(self._of_bus(line, bus, start_ms, end_ms))
        samples.sort(key=lambda one: one[0])
        return samples

    def _instants(self, key: str, every_s: float, start_ms: int, end_ms: int) -> Times:
        every_ms = int((self.haste or every_s) * 1_000)
        phase = series_of(key) % every_ms
        first = -(-(start_ms - phase) // every_ms)
        last = -(-(end_ms - phase) // every_ms)
        return np.arange(first, last, dtype=np.int64) * every_ms + phase

    def _of_sensor(
        self, thing: SimulatedThing, sensor: Sensor, start_ms: int, end_ms: int
    ) -> Iterator[Sample]:
        topic = f"lab/{thing.key}/{sensor.observed_property}"
        times = self._instants(topic, thing.every_s, start_ms, end_ms)
        if not len(times):
            return
        values = measured(self.town, thing, sensor, times)
        chance = {
            fault: uniform(self.town.seed, series_of(f"{fault} {topic}"), times)
            for fault in ("dropout", "broken", "null")
        }
        skew_ms = int(thing.faults.get("skewed", 0) * 1_000)
        spot = f',"lat":{thing.place.lat},"lon":{thing.place.lon}'
        for n, (time, value) in enumerate(zip(times.tolist(), values.tolist(), strict=True)):
            if chance["dropout"][n] < thing.faults.get("dropout", 0):
                self.planted["dropout"] += 1
                continue
            if chance["broken"][n] < thing.faults.get("broken", 0):
                self.planted["broken"] += 1
                yield time, topic, BROKEN[time // 1_000 % len(BROKEN)]
                continue
            if chance["null"][n] < thing.faults.get("null", 0):
                self.planted["null"] += 1
                yield time, topic, b'{"v":null,"t":%d}' % (time + skew_ms)
                continue
            self.planted["skewed"] += bool(skew_ms)
            told = f',"t":{time + skew_ms}' if thing.own_time else ""
            where = "" if topic in self._introduced else spot
            self._introduced.add(topic)
            yield (
                time,
                topic,
                f'{{"v":{_text(sensor.observed_property, value)}{told}{where}}}'.encode(),
            )

    def _of_bus(self, line: BusLine, bus: int, start_ms: int, end_ms: int) -> Iterator[Sample]:
        key = f"{line.key}-{bus + 1}"
        times = self._instants(f"fleet/{key}", line.every_s, start_ms, end_ms)
        delays = true_value(self.town.seed, line.key, "bus_delay", times)
        for time, delay in zip(times.tolist(), delays.tolist(), strict=True):
            point = position(line, bus, time)
            told = {"v": round(delay), "t": time, "lat": point.lat, "lon": point.lon}
            yield time, f"fleet/{key}/bus_delay", json.dumps(told).encode()


def _text(observed_property: str, value: float) -> str:
    return str(round(value)) if observed_property in WHOLE else f"{value:.2f}"


def truth(
    town: Town, place: str, sensor: Sensor, times: Times, *, with_initiatives: bool = True
) -> Values:
    """Tell what is the case at a Place, with or without the town's Initiatives.

    The difference of the two is the true effect, to the last digit.
    """
    value = true_value(town.seed, place, sensor.observed_property, times, sensor.level)
    slope = town.trends.get(sensor.observed_property, 0.0)
    value = value + slope * (times - to_ms(town.start)) / YEAR_MS
    if not with_initiatives:
        return value
    return with_effects(value, times, town.effects(place, sensor.observed_property))


def measured(town: Town, thing: SimulatedThing, sensor: Sensor, times: Times) -> Values:
    """Tell what a sensor shows: the truth, its noise, its drift, and hours in which it sticks."""
    place = thing.place.key
    topic = series_of(f"noise {thing.key} {sensor.observed_property}")
    noise = NOISE.get(sensor.observed_property, 0.3)
    stuck = thing.faults.get("stuck", 0)
    seen = times
    if stuck:
        day = times // DAY_MS
        sticks = uniform(town.seed, topic + 1, day) < stuck
        seen = np.where(sticks, day * DAY_MS, times)
    value = truth(town, place, sensor, seen) + noise * normal(town.seed, topic, seen)
    drift = thing.faults.get("drift", 0)
    if drift:
        value = value + drift * (times - int(town.start.timestamp() * 1_000)) / DAY_MS
    if sensor.observed_property == "wind_direction":
        return np.asarray(np.mod(value, 360))
    if sensor.observed_property == "temperature":
        return value
    top = (
        100.0
        if sensor.observed_property in {"relative_humidity", "occupancy", "battery"}
        else np.inf
    )
    return np.clip(value, 0.0, top)


def position(line: BusLine, bus: int, time_ms: int) -> Point:
    """Tell where a bus is: to and fro along its line, evenly spread."""
    legs = [distance_m(a, b) for a, b in pairwise(line.path)]
    length = sum(legs)
    gone = time_ms / 1_000 * line.speed_kmh / 3.6 + bus * 2 * length / line.buses
    at = gone % (2 * length)
    at = 2 * length - at if at > length else at
    return _along(line.path, legs, at)


def _along(path: Sequence[Point], legs: Sequence[float], at: float) -> Point:
    for (a, b), leg in zip(pairwise(path), legs, strict=True):
        if at <= leg:
            share = at / leg if leg else 0.0
            return Point(
                round(a.lon + (b.lon - a.lon) * share, 6), round(a.lat + (b.lat - a.lat) * share, 6)
            )
        at -= leg
    return path[-1]
