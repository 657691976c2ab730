"""What nightly work leaves beside the Readings: months as Parquet, and whose numbers they hold."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from ingest.nightly import tidy
from livinglab.adapters.clocks import SettableClock
from livinglab.bootstrap import Lab, open_lab, open_recorder
from livinglab.config import Settings
from livinglab.ports import Message

EARLY, LATE = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 2, 5, tzinfo=UTC)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    settings = Settings(data=tmp_path, civic="memory:", vault="memory:", media="memory:")
    opened = open_lab(settings, clock=SettableClock(EARLY))
    yield opened
    opened.close()


def test_a_month_is_sealed_two_days_after_its_end(lab, tmp_path):
    """Any tool can read it; a list beside it says which number is which Datastream."""
    sealed = tmp_path / "sealed"
    open_recorder(lab).record([Message(b"lab/t1/temperature", b"21.5", 0x32, 4)])
    tidy(lab)
    before = sorted(path.name for path in sealed.iterdir())

    lab.clock.advance_to(LATE)
    tidy(lab)

    with (sealed / "datastreams.csv").open(newline="") as file:
        keys = {int(row["datastream"]): row["key"] for row in csv.DictReader(file)}
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT datastream, result FROM read_parquet(?)", [str(sealed / "2026-01.parquet")]
        ).fetchall()
    assert ["datastreams.csv"] == before
    assert [("lab:t1:temperature", 21.5)] == [(keys[number], result) for number, result in rows]


def test_without_sealed_months_there_is_no_list(tmp_path):
    """A lab that keeps its Readings elsewhere."""
    settings = Settings(
        data=tmp_path, readings="memory:", civic="memory:", vault="memory:", media="memory:"
    )
    lab = open_lab(settings, clock=SettableClock(EARLY))
    tidy(lab)
    lab.close()

    assert not (tmp_path / "sealed").exists()
