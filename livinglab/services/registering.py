"""Registering: Things introduce themselves, stand at Places, and are confirmed or retired."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from livinglab.domain.geometry import Box, Point, distance_m, is_point
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.places import Place, PlaceIndex, PlaceOrigin, Zone, zone_of
from livinglab.domain.things import (
    RELOCATION_M,
    Datastream,
    Location,
    Thing,
    ThingState,
    thing_key,
)
from livinglab.errors import NotFoundError
from livinglab.ports import CivicStore, UnitOfWork
from livinglab.services.checking import Ranges
from livinglab.wire.routes import Route

SeriesId = tuple[str, str, str]
"""External id of the Thing, ObservedProperty, channel: within a scheme."""


@dataclass(slots=True)
class Known:
    """What ingest needs to know of a Thing, without asking the database."""

    key: str
    moving: bool
    spot: Point | None = None
    """Where a fixed Thing stands."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """A Datastream that a message told of for the first time, or a Thing that moved."""

    route: Route
    series: SeriesId
    unit: str | None
    point: Point | None


@dataclass(slots=True)
class _Provisions:
    """How many Things a route introduced in the hour that began at *since*."""

    since: datetime
    n: int = 0


@dataclass
class Registry:
    """What is registered, held in memory for ingest and kept in step with the database."""

    civic: CivicStore
    provision_limit: int = 100
    city_box: Box | None = None
    numbers: dict[str, dict[SeriesId, int]] = field(default_factory=dict)
    """Scheme → series → Datastream number."""
    things: dict[tuple[str, str], Known] = field(default_factory=dict)
    """(Scheme, external id) → what is known."""
    places: PlaceIndex = field(default_factory=PlaceIndex)
    ranges: Ranges = field(default_factory=Ranges)
    _zones: list[Zone] = field(default_factory=list)
    _version: int = -1
    _provisions: dict[str, _Provisions] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def refresh(self) -> None:
        """Load everything again if anybody changed it since."""
        with self._lock, self.civic.work(write=False) as work:
            self._look(work)

    def _look(self, work: UnitOfWork) -> None:
        version = work.things.version()
        if version != self._version:
            self._load(work)
            self._version = version

    def _load(self, work: UnitOfWork) -> None:
        spots = {where.thing: where.point for where in work.things.locations()}
        self._zones = work.zones.all()
        self.places = PlaceIndex(work.places.all())
        self.things = {}
        ids = {}
        for thing in work.things.all():
            ids[thing.key] = (thing.scheme, thing.external_id)
            known = Known(thing.key, thing.moving, spots.get(thing.key))
            self.things[thing.scheme, thing.external_id] = known
        numbers: dict[str, dict[SeriesId, int]] = {}
        ranges = Ranges()
        for one in work.things.datastreams():
            scheme, external_id = ids[one.thing]
            series = (external_id, one.observed_property, one.channel)
            number = _number(one)
            numbers.setdefault(scheme, {})[series] = number
            ranges.put(number, OBSERVED_PROPERTIES[one.observed_property], one.interval_s)
        for scheme, held in self.numbers.items():  # whoever holds the inner dict keeps seeing truth
            held.clear()
            held.update(numbers.pop(scheme, {}))
        self.numbers.update(numbers)
        self.ranges = ranges

    def of_scheme(self, scheme: str) -> dict[SeriesId, int]:
        """Return the numbers of a scheme; the dict stays the same one for ever."""
        return self.numbers.setdefault(scheme, {})

    def introduce(
        self, new: Sequence[Introduction], now: datetime, then: Callable[[UnitOfWork], None]
    ) -> set[tuple[str, SeriesId]]:
        """Register what is new, in one transaction with *then*.

        Args:
            new: Datastreams that are not known yet.
            now: When they were first heard of.
            then: What else belongs to the same transaction.

        Returns:
            (scheme, series) of those refused, because their route introduced too many Things.

        Raises:
            StoreUnavailableError: Nothing was registered.
        """
        with self._lock:
            with self.civic.work() as work:
                self._look(work)  # whoever else registers may have entered the same
                refused, things, datastreams = self._enter(new, now, work)
                then(work)
                version = work.things.version() if things or datastreams else self._version
            self._count_provisions(things)
            self._remember(things, datastreams)
            self._version = max(version, self._version)
        return refused

    def _enter(
        self, new: Sequence[Introduction], now: datetime, work: UnitOfWork
    ) -> tuple[set[tuple[str, SeriesId]], list[Thing], list[Datastream]]:
        refused: set[tuple[str, SeriesId]] = set()
        things: dict[tuple[str, str], Thing] = {}
        datastreams: dict[tuple[str, SeriesId], Datastream] = {}
        for one in new:
            scheme, (external_id, observed_property, channel) = one.route.scheme, one.series
            if one.series in self.of_scheme(scheme):
                continue
            owner = (scheme, external_id)
            if owner not in self.things and owner not in things:
                if not self._may_introduce(one.route, now, list(things.values())):
                    refused.add((scheme, one.series))
                    continue
                things[owner] = self._thing(one, now)
            datastreams[scheme, one.series] = Datastream(
                thing=thing_key(scheme, external_id),
                observed_property=observed_property,
                channel=channel,
                source_unit=one.unit or None,
                introduced_at=now,
            )
        work.things.add(list(things.values()))
        work.things.add_datastreams(list(datastreams.values()))
        return refused, list(things.values()), list(datastreams.values())

    def _may_introduce(self, route: Route, now: datetime, new: Sequence[Thing]) -> bool:
        """Tell whether a route may introduce one more, beside the *new* ones of this call."""
        if route.confirm:
            return True
        hour = self._provisions.get(route.name)
        if hour is None or now - hour.since >= timedelta(hours=1):
            hour = self._provisions[route.name] = _Provisions(now)
        return hour.n + sum(thing.route == route.name for thing in new) < self.provision_limit

    def _count_provisions(self, things: Iterable[Thing]) -> None:
        """Count what is committed, so that a step that is repeated is not counted twice."""
        for thing in things:
            if thing.route in self._provisions:
                self._provisions[thing.route].n += 1

    @staticmethod
    def _thing(one: Introduction, now: datetime) -> Thing:
        return Thing(
            scheme=one.route.scheme,
            external_id=one.series[0],
            state=ThingState.CONFIRMED if one.route.confirm else ThingState.PROVISIONAL,
            route=one.route.name,
            introduced_at=now,
            moving=one.route.moving,
        )

    def _remember(self, things: Iterable[Thing], datastreams: Iterable[Datastream]) -> None:
        ids = {}
        for thing in things:
            self.things[thing.scheme, thing.external_id] = Known(thing.key, thing.moving)
        for (scheme, external_id), known in self.things.items():
            ids[known.key] = (scheme, external_id)
        for one in datastreams:
            scheme, external_id = ids[one.thing]
            series = (external_id, one.observed_property, one.channel)
            self.of_scheme(scheme)[series] = _number(one)
            self.ranges.put(_number(one), OBSERVED_PROPERTIES[one.observed_property])

    def moved(self, known: Known, point: Point) -> bool:
        """Tell whether a fixed Thing stands elsewhere than it did, beyond jitter."""
        return known.spot is None or distance_m(known.spot, point) > RELOCATION_M

    def settle(self, moves: Sequence[tuple[Known, Point]], now: datetime) -> None:
        """Give fixed Things their Place: a new Location each, in one transaction.

        Raises:
            StoreUnavailableError: Nothing was registered.
        """
        with self._lock:
            with self.civic.work() as work:
                self._look(work)
                places = [
                    stand(known.key, point, now, work, self.places, self._zones)
                    for known, point in moves
                ]
                version = work.things.version()
            present = {known.key: known for known in self.things.values()}  # maybe loaded anew
            for (known, point), place in zip(moves, places, strict=True):
                present[known.key].spot = point
                self.places.put(place)
            self._version = max(version, self._version)


def _number(one: Datastream) -> int:
    if one.number is None:
        raise ValueError(f"{one.key} has no number yet")
    return one.number


def stand(
    thing: str,
    point: Point,
    now: datetime,
    work: UnitOfWork,
    index: PlaceIndex,
    zones: Sequence[Zone],
) -> Place:
    """Open a Location for a fixed Thing, at the Place whose radius holds it or at a new one."""
    place = index.holding(point) or _new_place(thing, point, work, zones)
    index.put(place)
    work.things.add_locations(
        [Location(thing=thing, lon=point.lon, lat=point.lat, since=now, place=place.key)]
    )
    registered = work.things.get(thing)
    if registered is not None:
        registered.place = place.key
    return place


def _new_place(thing: str, point: Point, work: UnitOfWork, zones: Sequence[Zone]) -> Place:
    """Make a Place at the spot of the first Thing that stands there."""
    key, n = thing, 1
    while work.places.get(key) is not None:  # the Thing stood elsewhere before
        n += 1
        key = f"{thing}.{n}"
    zone = zone_of(point, zones)
    place = Place(
        key=key,
        name=thing,
        lon=point.lon,
        lat=point.lat,
        zone=zone.key if zone else None,
        origin=PlaceOrigin.THING,
    )
    work.places.add(place)
    return place


def within_city(point: Point, box: Box | None) -> Point | None:
    """Return a position that the city can hold: as told, swapped if only that fits, or None.

    Sources mix up the order of longitude and latitude; a city's box tells which was meant.
    """
    if box is None:
        return point if is_point(*point) else None
    swapped = Point(point.lat, point.lon)
    return point if box.holds(point) else swapped if box.holds(swapped) else None


def change_state(keys: Sequence[str], state: ThingState, work: UnitOfWork) -> list[Thing]:
    """Confirm, retire or mark Things; a key that names none refuses the whole call.

    Raises:
        NotFoundError: Naming the first key that is no Thing.
    """
    things = []
    for key in keys:
        thing = work.things.get(key)
        if thing is None:
            raise NotFoundError("Thing", key)
        thing.state = state
        things.append(thing)
    return things


def of_route(route: str, work: UnitOfWork) -> list[str]:
    """List the keys of the provisional Things that a route introduced."""
    return [
        thing.key
        for thing in work.things.all()
        if thing.route == route and thing.state is ThingState.PROVISIONAL
    ]


@dataclass(frozen=True, slots=True)
class Located:
    """What became of a file of locations."""

    located: int
    unchanged: int
    unknown: tuple[str, ...]
    """Ids that name no Thing of the scheme."""
    contradicted: tuple[str, ...]
    """Ids that the file gives a second, different place: the first was taken."""


def locate(
    scheme: str, spots: Iterable[tuple[str, Point]], now: datetime, work: UnitOfWork
) -> Located:
    """Give fixed Things their Location from a list of (external id, Point)."""
    index, zones = PlaceIndex(work.places.all()), work.zones.all()
    present = {where.thing: where.point for where in work.things.locations()}
    known = {thing.key for thing in work.things.all() if not thing.moving}
    seen: dict[str, Point] = {}
    located, unchanged, unknown, contradicted = 0, 0, [], []
    for external_id, point in spots:
        key = thing_key(scheme, external_id)
        if key in seen:
            if seen[key] != point:
                contradicted.append(external_id)
            continue
        seen[key] = point
        if key not in known:
            unknown.append(external_id)
        elif key in present and distance_m(present[key], point) <= RELOCATION_M:
            unchanged += 1
        else:
            stand(key, point, now, work, index, zones)
            located += 1
    return Located(located, unchanged, tuple(unknown), tuple(contradicted))
