"""Observations as a data set for anybody, under the rules of everything public.

Who posted is told by a name made for this one data set and month: how many different people spoke
can be counted, and nobody followed from one data set, or month, to the next.
"""

import csv
import hmac
import io
import json
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from shutil import copyfileobj
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from api import public
from livinglab import bootstrap
from livinglab.config import CityFile, empty_city, read_city, read_settings
from livinglab.errors import UnreadableInputError
from livinglab.ports import CivicStore, ObservationFilter

COLUMNS = {
    "city": "VARCHAR",
    "contributor": "VARCHAR",
    "day": "DATE",
    "kind": "VARCHAR",
    "category": "VARCHAR",
    "place": "VARCHAR",
    "zone": "VARCHAR",
    "lon": "DOUBLE",
    "lat": "DOUBLE",
    "severity": "TINYINT",
    "channel": "VARCHAR",
    "assisted": "BOOLEAN",
    "status": "VARCHAR",
    "outcome": "VARCHAR",
    "lang": "VARCHAR",
    "text": "VARCHAR",
}
"""Columns of a data set, with their SQL types."""
FORMATS = ("csv", "geojson", "parquet")
PAGE = 1_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets would compute."""

Row = dict[str, Any]


def export_observations(format_: str, data: Path | None) -> None:
    """Write public Observations to standard output."""
    if format_ not in FORMATS:
        raise UnreadableInputError("--format", f"{format_!r} is none of {', '.join(FORMATS)}")
    if format_ == "parquet" and sys.stdout.isatty():
        raise UnreadableInputError("--format parquet", "is no text; send it to a file with >")
    settings = read_settings(data=data)
    city = read_city(settings.city) if settings.city else empty_city()
    civic = bootstrap.open_civic(settings)
    try:
        WRITERS[format_](data_set(civic, city), sys.stdout.buffer)
    finally:
        civic.close()


def data_set(civic: CivicStore, city: CityFile) -> Iterator[Row]:
    """Yield a row for each Observation that may be itemised, newest first."""
    personal = tuple(key for key, one in city.categories.items() if one.privacy.personal)
    which, key = ObservationFilter(except_categories=personal), secrets.token_bytes(32)
    zone, after = ZoneInfo(city.city.timezone), None
    while True:
        with civic.work(write=False) as work:
            page = work.observations.page(which, after=after, limit=PAGE)
            places = work.places.several({one.place for one in page})
        if not page:
            return
        after = page[-1].number
        for one in page:
            told = public.observation(one, city.categories)
            if told is None:
                continue
            day = one.occurred_at.astimezone(zone).date()
            who = f"{day:%Y-%m} {one.contributor}".encode()
            lon, lat = told["point"] or (None, None)
            yield {
                "city": city.city.key,
                "contributor": hmac.digest(key, who, "sha256").hex()[:16],
                "day": day.isoformat(),
                "zone": places[one.place].zone,
                "lon": lon,
                "lat": lat,
                **{name: told[name] for name in COLUMNS if name in told},
            }


def write_csv(rows: Iterable[Row], target: BinaryIO) -> None:
    """Write a table that is only read, never computed, by spreadsheets."""
    _write_table(rows, target, _harmless)


def write_parquet(rows: Iterable[Row], target: BinaryIO) -> None:
    """Write Parquet; nothing has to fit into memory."""
    with tempfile.TemporaryDirectory() as folder:
        table, parquet = Path(folder, "observations.csv"), Path(folder, "observations.parquet")
        with table.open("wb") as file:
            _write_table(rows, file, lambda value: value)
        bootstrap.write_parquet(table, parquet, COLUMNS)
        with parquet.open("rb") as file:
            copyfileobj(file, target)


def write_geojson(rows: Iterable[Row], target: BinaryIO) -> None:
    """Write a FeatureCollection (RFC 7946), one Feature a line."""
    target.write(b'{"type": "FeatureCollection", "features": [')
    for n, row in enumerate(rows):
        told = {name: row[name] for name in COLUMNS if name not in {"lon", "lat"}}
        point = None
        if row["lon"] is not None:
            point = {"type": "Point", "coordinates": [row["lon"], row["lat"]]}
        feature = {"type": "Feature", "geometry": point, "properties": told}
        target.write(b",\n" if n else b"\n")
        target.write(json.dumps(feature, ensure_ascii=False).encode())
    target.write(b"\n]}\n")


def _write_table(rows: Iterable[Row], target: BinaryIO, cell: Callable[[Any], Any]) -> None:
    text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in rows:
        table.writerow("" if row[name] is None else cell(row[name]) for name in COLUMNS)
    text.detach()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


WRITERS: Mapping[str, Callable[[Iterable[Row], BinaryIO], None]] = {
    "csv": write_csv,
    "geojson": write_geojson,
    "parquet": write_parquet,
}
