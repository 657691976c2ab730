"""Sealed months: what came to rest, as Parquet, and never a stale file."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from livinglab.adapters.timeseries.duckdb import DuckDBReadingStore
from livinglab.domain.readings import Aggregation, Flag, Interval, ReadingBatch, Test, to_ms
from livinglab.errors import StoreUnavailableError

MARCH, APRIL, MAY = (datetime(2024, month, 1, tzinfo=UTC) for month in (3, 4, 5))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sealed"


@pytest.fixture
def store(tmp_path: Path, folder: Path) -> Iterator[DuckDBReadingStore]:
    with closing(DuckDBReadingStore(tmp_path / "readings.duckdb", sealed=folder)) as store:
        yield store


def tell(store: DuckDBReadingStore, *readings: tuple[int, datetime, float]) -> None:
    batch = ReadingBatch()
    for datastream, time, result in readings:
        batch.add(datastream, to_ms(time), result, flag=Flag.GOOD)
    store.append(batch)


def rows(
    path: Path, columns: str = "datastream, epoch_ms(time), result"
) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT {columns} FROM read_parquet(?)", [str(path)]).fetchall()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_month_that_ended_is_sealed(store, folder):
    """By Datastream and time; the month that goes on is not, nor is an instant of the next."""
    last = APRIL.replace(month=3, day=31, hour=23, minute=59)
    tell(store, (2, MARCH, 1), (1, last, 2), (1, MARCH, 3), (1, APRIL, 4))

    store.tidy({}, APRIL)

    assert ["2024-03.parquet"] == names(folder)
    assert [(1, to_ms(MARCH), 3.0), (1, to_ms(last), 2.0), (2, to_ms(MARCH), 1.0)] == rows(
        folder / "2024-03.parquet"
    )


def test_late_data_rewrite_their_month_only(store, folder):
    """What comes after the seal, or corrects it, is in the file once the lab has tidied again."""
    tell(store, (1, MARCH, 1), (1, APRIL, 2))
    store.tidy({}, MAY)
    april = (folder / "2024-04.parquet").stat().st_mtime_ns

    tell(store, (1, MARCH, 9), (2, MARCH, 3))
    store.tidy({}, MAY)

    assert [(1, to_ms(MARCH), 9.0), (2, to_ms(MARCH), 3.0)] == rows(folder / "2024-03.parquet")
    assert [(Test.CONFLICT.value,), (0,)] == rows(folder / "2024-03.parquet", "tests")
    assert april == (folder / "2024-04.parquet").stat().st_mtime_ns


def test_a_file_that_is_gone_comes_back(store, folder):
    """A lab that died between the change and the file, or an operator who cleaned up."""
    tell(store, (1, MARCH, 1))
    store.tidy({}, MAY)
    (folder / "2024-03.parquet").unlink()

    store.tidy({}, MAY)

    assert [(1, to_ms(MARCH), 1.0)] == rows(folder / "2024-03.parquet")


def test_december_ends_with_the_year(store, folder):
    """The month after the twelfth is the first."""
    december = datetime(2023, 12, 31, 23, tzinfo=UTC)
    tell(store, (1, december, 1), (1, datetime(2024, 1, 1, tzinfo=UTC), 2))

    store.tidy({}, MAY)

    assert ["2023-12.parquet", "2024-01.parquet"] == names(folder)
    assert [(1, to_ms(december), 1.0)] == rows(folder / "2023-12.parquet")


def test_missing_is_null(store, folder):
    """Neither zero nor NaN, which other tools would average."""
    tell(store, (1, MARCH, float("nan")))
    store.tidy({}, MAY)

    assert [(None, None, 9, 0, None)] == rows(
        folder / "2024-03.parquet", "result, raw, flag, tests, place"
    )


def test_a_seal_that_cannot_be_written_loses_nothing(store, folder):
    """The folder is a file: tidying says so, Readings stay, and the next time it succeeds."""
    folder.write_text("")
    tell(store, (1, MARCH, 1))
    with pytest.raises(StoreUnavailableError, match="sealed"):
        store.tidy({}, MAY)
    folder.unlink()

    store.tidy({}, MAY)

    assert 1 == store.count()
    assert ["2024-03.parquet"] == names(folder)


def test_what_is_forgotten_is_sealed_no_more(store, folder):
    """Months before the instant go, the month that it cuts is written anew, later ones stay."""
    noon = APRIL.replace(hour=12)
    tell(store, (1, MARCH, 1), (1, APRIL, 2), (1, noon, 3), (1, MAY, 4))
    store.tidy({}, MAY.replace(month=6))

    assert 2 == store.forget(noon)
    assert ["2024-05.parquet"] == names(folder)

    store.tidy({}, MAY.replace(month=6))
    assert ["2024-04.parquet", "2024-05.parquet"] == names(folder)
    assert [(1, to_ms(noon), 3.0)] == rows(folder / "2024-04.parquet")


def test_hourly_roll_ups_outlive_what_they_sum_up(store):
    """A city that keeps single Readings for two years keeps its curves for ever."""
    tell(store, (1, MARCH, 10), (1, MARCH.replace(minute=30), 20))
    store.tidy({1: Aggregation.MEAN}, MAY)

    store.forget(APRIL)
    store.tidy({1: Aggregation.MEAN}, MAY)

    [bucket] = store.every(1, Interval(MARCH, APRIL), timedelta(hours=1), Aggregation.MEAN)
    assert (2, 15.0, 0) == (bucket.n, bucket.mean, store.count())


def test_what_is_forgotten_stays_so(store, tmp_path):
    """After the next start too, and the store goes on taking Readings."""
    tell(store, (1, MARCH, 1), (2, MARCH, 2), (2, APRIL, 3))
    store.tidy({}, APRIL)
    store.forget(APRIL)
    store.close()

    with closing(DuckDBReadingStore(tmp_path / "readings.duckdb")) as again:
        tell(again, (1, MARCH, 5), (2, APRIL, 3))
        found = {number: reading.result for number, reading in again.latest([1, 2]).items()}
        assert ({1: 5.0, 2: 3.0}, 2) == (found, again.count())
