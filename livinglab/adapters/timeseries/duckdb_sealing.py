"""Sealing: a month that came to rest becomes one Parquet file, for other tools and for archives.

``YYYY-MM.parquet`` holds the rows of that month (UTC) as they lie in ``cold``, by Datastream and
time. A file goes before its month changes, and comes back after: so one that is there is true,
and a lab that dies in between only writes it anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from livinglab.adapters.timeseries import duckdb_sql as sql
from livinglab.adapters.timeseries.duckdb_file import PART
from livinglab.adapters.timeseries.duckdb_sql import DAY
from livinglab.adapters.timeseries.duckdb_tidying import Days
from livinglab.domain.readings import EPOCH, from_ms, to_ms
from livinglab.errors import StoreUnavailableError

_MILLISECOND = timedelta(milliseconds=1)


def unseal(folder: Path, days: Days) -> None:
    """Take away the file of the month that is about to change; a slice never spans two."""
    with _writing(folder):
        (folder / f"{_month(int(days.day[0]))}.parquet").unlink(missing_ok=True)


def seal(cursor: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write the months that came to rest and have no file."""
    days = cursor.execute(sql.DAYS_AT_REST).fetchall()
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in sorted({_month(day) for (day,) in days}):
            target = folder / f"{name}.parquet"
            if not target.exists():
                draft = folder / f"{name}.draft"
                cursor.execute(sql.SEAL, [*_bounds(name), str(draft)])
                draft.replace(target)


def forget(folder: Path, before: datetime) -> None:
    """Take away the months that began before an instant; the last of them is written anew."""
    with _writing(folder):
        for path in folder.glob("????-??.parquet"):
            if path.stem <= f"{before.astimezone(UTC) - _MILLISECOND:%Y-%m}":
                path.unlink()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say it in the lab's own words if the folder cannot be written."""
    try:
        yield
    except OSError as error:
        problem = f"{folder} cannot be written ({error.strerror})"
        raise StoreUnavailableError(PART, problem) from error


def _month(day: int) -> str:
    return f"{from_ms(day * DAY):%Y-%m}"


def _bounds(name: str) -> list[int]:
    """Return the first millisecond of a month and that of the next."""
    year, month = (int(part) for part in name.split("-"))
    ends = (year, month), (year + month // 12, month % 12 + 1)
    return [to_ms(EPOCH.replace(year=year, month=month)) for year, month in ends]
