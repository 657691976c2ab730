"""A town: a city file and what really happens in it."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from livinglab.config import CityFile, city_from
from livinglab.domain.geometry import Point
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.places import Place
from livinglab.domain.readings import to_ms
from livinglab.errors import SettingsError

FAULTS = ("dropout", "drift", "stuck", "skewed", "broken", "null")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """One property that a Thing measures."""

    observed_property: str
    level: float = 1.0
    """How much of it there is at the Place, 1 being ordinary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedThing:
    """A Thing that stands at a Place, with the faults it has."""

    key: str
    place: Place
    sensors: tuple[Sensor, ...]
    every_s: float
    faults: Mapping[str, float] = field(default_factory=dict)
    """Fault → strength: a share of the samples; for drift units a day; for skew seconds."""
    own_time: bool = True
    """Whether it tells the time of its Readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusLine:
    """Buses that go to and fro along a line of Points."""

    key: str
    buses: int
    every_s: float
    speed_kmh: float
    path: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """An Initiative as it really works: the truth that estimates are held against."""

    key: str
    title: str
    start: datetime
    places: tuple[str, ...]
    effects: Mapping[str, float]
    """ObservedProperty → true shift at each Place, in its unit."""
    announced: datetime | None = None
    smallest: Mapping[str, float] = field(default_factory=dict)
    """ObservedProperty → the smallest effect that its owners find worth it, in its unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A call to report: citizens post more often, although nothing else changed."""

    start: datetime
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Residents:
    """Citizens of one Zone, and how readily they report."""

    zone: str
    n: int
    propensity: float
    """1 is ordinary; below 1 is under-reporting, planted and known."""
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """Everything that is true of a town."""

    name: str
    city_file: CityFile
    start: datetime
    seed: int
    things: tuple[SimulatedThing, ...]
    lines: tuple[BusLine, ...]
    treatments: tuple[Treatment, ...]
    campaigns: tuple[Campaign, ...]
    trends: Mapping[str, float]
    """ObservedProperty → how it changes everywhere, whatever anybody does. [its unit per year]"""
    residents: tuple[Residents, ...]
    flat_out_every_s: float
    """Interval between Readings when years pass in minutes. [s]"""
    posts_per_hour: float
    """Of all citizens together, in ordinary times."""
    demo_posts_per_minute: float
    """The same in real time, where somebody watches."""

    def eagerness(self, at: datetime) -> float:
        """Return how many times more citizens post than in ordinary times."""
        return math.prod(one.factor for one in self.campaigns if one.start <= at)

    def controls(self, treatment: Treatment) -> list[str]:
        """Return the Places that no Initiative treats, and where all it moves is measured."""
        treated = {place for one in self.treatments for place in one.places}
        measured: dict[str, set[str]] = {}
        for thing in self.things:
            names = {sensor.observed_property for sensor in thing.sensors}
            measured.setdefault(thing.place.key, set()).update(names)
        return sorted(
            place
            for place, names in measured.items()
            if place not in treated and set(treatment.effects) & names
        )

    def effects(self, place: str, observed_property: str) -> dict[int, float]:
        """Return start [ms since 1970 UTC] → true shift of what treats a Place."""
        return {
            to_ms(one.start): one.effects[observed_property]
            for one in self.treatments
            if place in one.places and observed_property in one.effects
        }


def town_names() -> list[str]:
    """List the towns that ship."""
    folder = files("simulators") / "towns"
    return sorted(
        one.name.removesuffix(".toml") for one in folder.iterdir() if one.name.endswith(".toml")
    )


def read_town(name_or_path: str, *, seed: int | None = None) -> Town:
    """Read a town by its name, or a town file by its path.

    Raises:
        SettingsError: There is none, or it cannot be used; naming the table.
    """
    if name_or_path in town_names():
        text = (files("simulators") / "towns" / f"{name_or_path}.toml").read_text(encoding="utf-8")
    else:
        try:
            text = Path(name_or_path).read_text(encoding="utf-8")
        except OSError as error:
            names = ", ".join(town_names())
            raise SettingsError(
                "--town",
                f"there is no town {name_or_path!r}",
                f"use {names}, or the path of a file",
            ) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(name_or_path, f"is not TOML: {error}", "mend that line") from error
    try:
        return _town(document, name_or_path, seed)
    except KeyError as error:
        raise SettingsError(name_or_path, f"a table lacks {error.args[0]!r}", "add it") from error
    except (TypeError, ValueError) as error:
        raise SettingsError(name_or_path, str(error), "correct it") from error


def _town(document: Mapping[str, Any], source: str, seed: int | None) -> Town:
    city_file = city_from(document, source)
    places = {place.key: place for place in city_file.places}
    grid_places, grid_things = _grids(document)
    places |= {place.key: place for place in grid_places}
    facts = document["town"]
    start = facts["start"].astimezone(UTC)
    return Town(
        name=source,
        city_file=replace(city_file, places=tuple(places.values())),
        start=start,
        seed=int(facts.get("seed", 1)) if seed is None else seed,
        things=(*(_thing(row, places) for row in document.get("things", ())), *grid_things),
        lines=tuple(_line(row) for row in document.get("lines", ())),
        treatments=tuple(_treatment(row, places, start) for row in document.get("treatments", ())),
        campaigns=tuple(
            Campaign(
                start=start + timedelta(days=float(row["start_day"])), factor=float(row["factor"])
            )
            for row in document.get("campaigns", ())
        ),
        trends={name: float(slope) for name, slope in document.get("trends", {}).items()},
        residents=tuple(_residents(row) for row in document.get("residents", ())),
        flat_out_every_s=float(facts["flat_out_every_s"]),
        posts_per_hour=float(facts["posts_per_hour"]),
        demo_posts_per_minute=float(facts["demo_posts_per_minute"]),
    )


def _sensors(row: Mapping[str, Any]) -> tuple[Sensor, ...]:
    unknown = [one for one in row["measures"] if one not in OBSERVED_PROPERTIES]
    if unknown:
        raise ValueError(f"there is no ObservedProperty {unknown[0]!r}")
    level = float(row.get("level", 1.0))
    return tuple(Sensor(observed_property=one, level=level) for one in row["measures"])


def _thing(row: Mapping[str, Any], places: Mapping[str, Place]) -> SimulatedThing:
    faults = row.get("faults", {})
    unknown = [one for one in faults if one not in FAULTS]
    if unknown or row["place"] not in places:
        raise ValueError(
            f"thing {row['key']}: no fault or place {(unknown or [row['place']])[0]!r}"
        )
    return SimulatedThing(
        key=row["key"],
        place=places[row["place"]],
        sensors=_sensors(row),
        every_s=float(row["every_s"]),
        faults={name: float(strength) for name, strength in faults.items()},
        own_time=bool(row.get("own_time", True)),
    )


def _grids(document: Mapping[str, Any]) -> tuple[list[Place], list[SimulatedThing]]:
    """Lay out what a big town has too many of to list: one row, columns times rows Things."""
    places, things = [], []
    for row in document.get("grids", ()):
        west, south, east, north = row["box"]
        for n in range(int(row["columns"]) * int(row["rows"])):
            y, x = divmod(n, int(row["columns"]))
            place = Place(
                key=f"{row['key']}-{n:04d}",
                name=f"{row['name']} {n + 1}",
                lon=round(west + (east - west) * (x + 0.5) / row["columns"], 6),
                lat=round(south + (north - south) * (y + 0.5) / row["rows"], 6),
            )
            places.append(place)
            things.append(
                SimulatedThing(
                    key=place.key,
                    place=place,
                    sensors=_sensors(row),
                    every_s=float(row["every_s"]),
                    faults=row.get("faults", {}),
                )
            )
    return places, things


def _line(row: Mapping[str, Any]) -> BusLine:
    return BusLine(
        key=row["key"],
        buses=int(row["buses"]),
        every_s=float(row["every_s"]),
        speed_kmh=float(row["speed_kmh"]),
        path=tuple(Point(float(lon), float(lat)) for lon, lat in row["path"]),
    )


def _treatment(row: Mapping[str, Any], places: Mapping[str, Place], start: datetime) -> Treatment:
    unknown = [one for one in row["places"] if one not in places]
    if unknown:
        raise ValueError(f"treatment {row['key']}: there is no place {unknown[0]!r}")
    return Treatment(
        key=row["key"],
        title=row["title"],
        start=start + timedelta(days=float(row["start_day"])),
        places=tuple(row["places"]),
        effects={name: float(shift) for name, shift in row["effects"].items()},
        announced=(
            start + timedelta(days=float(row["announced_day"])) if "announced_day" in row else None
        ),
        smallest={name: float(least) for name, least in row.get("smallest", {}).items()},
    )


def _residents(row: Mapping[str, Any]) -> Residents:
    return Residents(
        zone=row["zone"],
        n=int(row["n"]),
        propensity=float(row["propensity"]),
        languages=tuple(row["languages"]),
    )
