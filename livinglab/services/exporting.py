"""Exporting: what was measured, for anybody, under the same rules as everything public.

Only Things that somebody confirmed are told of, and where they stand by Place only: the history of
a moving Thing names Places, never positions.
"""

import csv
import io
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.places import Place
from livinglab.domain.readings import Interval, Reading, Test, from_ms, to_ms
from livinglab.domain.things import Datastream, Location, Thing
from livinglab.errors import NotFoundError, StoreUnavailableError
from livinglab.ports import ReadingStore, UnitOfWork
from livinglab.services.joining import public_places

COLUMNS = {
    "city": "VARCHAR",
    "place": "VARCHAR",
    "thing": "VARCHAR",
    "property": "VARCHAR",
    "channel": "VARCHAR",
    "unit": "VARCHAR",
    "time": "TIMESTAMP WITH TIME ZONE",
    "result": "DOUBLE",
    "flag": "TINYINT",
    "lon": "DOUBLE",
    "lat": "DOUBLE",
}
"""Columns of an export, with their SQL types."""
PAGE = 10_000
"""Readings that are in hand at once."""
ROWS = 1_000
"""Rows that are written at once."""

Row = tuple[str | float | int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A public Datastream, and where its Thing stood when."""

    thing: str
    observed_property: str
    channel: str
    number: int
    stays: tuple[tuple[int, Place], ...] = ()
    """From when on it stood at which Place, oldest first. [ms since 1970 UTC]"""
    moving: bool = False

    def place(self, reading: Reading, places: Mapping[int, Place]) -> Place | None:
        """Return the Place of a Reading; what was measured before the first stay belongs to it."""
        if self.moving:
            return places.get(reading.place or 0)
        at = bisect_right(self.stays, to_ms(reading.time), key=lambda stay: stay[0])
        return self.stays[max(at - 1, 0)][1] if self.stays else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What to export, looked up once: rows are read afterwards, without a transaction."""

    city: str
    series: tuple[Series, ...]
    places: Mapping[int, Place]
    """Number → every public Place."""
    only: frozenset[str] | None
    """Keys of the Places asked for; None: any, and none."""


def plan_export(
    work: UnitOfWork,
    city: str,
    *,
    place: str | None = None,
    thing: str | None = None,
    zone: str | None = None,
) -> Export:
    """Find the public Datastreams of a Thing, a Place or a Zone; without either, all.

    Raises:
        NotFoundError: What was named does not exist, or may not be seen.
    """
    public = {one.key: one for one in public_places(work)}
    if place is not None and place not in public:
        raise NotFoundError("Place", place)
    if zone is not None and work.zones.get(zone) is None:
        raise NotFoundError("Zone", zone)
    things = {one.key: one for one in work.things.all() if one.public}
    if thing is not None:
        if thing not in things:
            raise NotFoundError("Thing", thing)
        things = {thing: things[thing]}
    only = None
    if place is not None or zone is not None:
        only = frozenset(
            key
            for key, one in public.items()
            if (place is None or key == place) and (zone is None or one.zone == zone)
        )
    return Export(
        city=city,
        series=tuple(_series(work, things, public, only)),
        places={one.number or 0: one for one in public.values()},
        only=only,
    )


def _series(
    work: UnitOfWork,
    things: Mapping[str, Thing],
    public: Mapping[str, Place],
    only: frozenset[str] | None,
) -> Iterator[Series]:
    """Yield the Datastreams of Things, without those that never stood where it was asked for."""
    locations: dict[str, list[Location]] = {}
    for where in work.things.locations():
        locations.setdefault(where.thing, []).append(where)
    for one in sorted(work.things.datastreams(), key=lambda stream: stream.key):
        owner = things.get(one.thing)
        if owner is None:
            continue
        found = _one(one, owner, locations.get(owner.key, ()), public)
        if only is None or found.moving or any(stay.key in only for _, stay in found.stays):
            yield found


def _one(
    one: Datastream, owner: Thing, locations: Iterable[Location], public: Mapping[str, Place]
) -> Series:
    stood = [(to_ms(at.since), public.get(at.place or "")) for at in locations]
    stays = [(since, place) for since, place in stood if place is not None]
    if not stays and (place := public.get(owner.place or "")):
        stays = [(0, place)]
    return Series(
        thing=one.thing,
        observed_property=one.observed_property,
        channel=one.channel,
        number=one.number or 0,
        stays=tuple(stays),
        moving=owner.moving,
    )


def export_rows(export: Export, interval: Interval, readings: ReadingStore) -> Iterator[Row]:
    """Yield the Readings of an Interval by Datastream and time, in the order of `COLUMNS`.

    Raises:
        StoreUnavailableError: While rows are read.
    """
    for series in export.series:
        unit = OBSERVED_PROPERTIES[series.observed_property].unit
        for reading in _readings(series.number, interval, readings):
            place = series.place(reading, export.places)
            if export.only is not None and (place is None or place.key not in export.only):
                continue
            yield (
                export.city,
                place.key if place else None,
                series.thing,
                series.observed_property,
                series.channel or None,
                None if Test.UNIT_UNKNOWN in reading.tests else unit,
                f"{reading.time.isoformat(timespec='milliseconds')[:-6]}Z",
                reading.result if math.isfinite(reading.result) else None,
                int(reading.flag),
                place.lon if place else None,
                place.lat if place else None,
            )


def _readings(number: int, interval: Interval, readings: ReadingStore) -> Iterator[Reading]:
    """Yield the Readings of a Datastream, a page at a time."""
    start = interval.start
    while True:
        page = readings.between(number, Interval(start, interval.end), limit=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        start = from_ms(to_ms(page[-1].time) + 1)


def csv_text(rows: Iterable[Row]) -> Iterator[str]:
    """Yield rows as CSV, a thousand at a time; missing is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    stream = iter(rows)
    while several := list(islice(stream, ROWS)):
        writer.writerows(several)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    if text.getvalue():
        yield text.getvalue()


def name_datastreams(folder: Path, datastreams: Iterable[Datastream]) -> None:
    """Say beside the sealed months which number is which Datastream, if there are any.

    Raises:
        StoreUnavailableError: The folder cannot be written.
    """
    if not folder.is_dir():
        return
    path = folder / "datastreams.csv"
    draft = path.with_suffix(".draft")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("datastream", "key", "thing", "property", "channel", "unit"))
            for one in datastreams:
                unit = OBSERVED_PROPERTIES[one.observed_property].unit
                facts = (one.thing, one.observed_property, one.channel, unit)
                writer.writerow((one.number, one.key, *facts))
        draft.replace(path)
    except OSError as error:
        problem = f"{folder} cannot be written ({error.strerror})"
        raise StoreUnavailableError("sealed months", problem) from error
