"""Exporting: what anybody may have, as CSV and as Parquet."""

import csv
import io
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from livinglab.adapters.clocks import SettableClock
from livinglab.adapters.timeseries.parquet import write_parquet
from livinglab.bootstrap import Lab, open_lab
from livinglab.config import DEFAULT_CATEGORIES, CityFile, Settings
from livinglab.domain.geometry import Point
from livinglab.domain.places import City, Place
from livinglab.domain.readings import Flag, Interval, ReadingBatch, Spot, Test, to_ms
from livinglab.domain.things import Datastream, Location, Thing, ThingState
from livinglab.errors import NotFoundError, StoreUnavailableError
from livinglab.services.exporting import COLUMNS, PAGE, csv_text, export_rows, plan_export
from tests.civic_samples import a_zone

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = Interval(NOON - 12 * HOUR, NOON + 12 * HOUR)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab with one Zone around the Square; the Bridge lies outside."""
    ring = (Point(6.0, 45.0), Point(6.055, 45.0), Point(6.055, 45.1), Point(6.0, 45.1))
    city = CityFile(
        city=City(key="testcity", name="Testcity", timezone="UTC"),
        zones=(a_zone(ring),),
        places=(
            Place(key="square", name="The Square", lon=6.05, lat=45.05),
            Place(key="bridge", name="The Bridge", lon=6.06, lat=45.05),
        ),
        categories={row.key: row for row in DEFAULT_CATEGORIES},
        routes=(),
    )
    settings = Settings(
        data=tmp_path, readings="memory:", civic="memory:", vault="memory:", media="memory:"
    )
    opened = open_lab(settings, city=city, clock=SettableClock(NOON))
    yield opened
    opened.close()


def stand(
    lab: Lab,
    name: str,
    *stays: tuple[str, datetime],
    state: ThingState = ThingState.CONFIRMED,
    moving: bool = False,
) -> int:
    """Register a Thing that measures temperature, and where it stood; return the Datastream."""
    stream = Datastream(thing=f"x:{name}", observed_property="temperature", introduced_at=NOON)
    with lab.work() as work:
        thing = Thing(
            scheme="x", external_id=name, state=state, route="r", introduced_at=NOON, moving=moving
        )
        work.things.add([thing])
        work.things.add_datastreams([stream])
        for place, since in stays:
            here = work.places.get(place)
            assert here is not None
            work.things.add_locations(
                [Location(thing=thing.key, lon=6.0501, lat=45.0501, since=since, place=place)]
            )
            thing.place = place
    assert stream.number is not None
    return stream.number


def measure(lab: Lab, number: int, *readings: tuple[datetime, float, Flag, Test]) -> None:
    batch = ReadingBatch()
    for time, result, flag, tests in readings:
        batch.add(number, to_ms(time), result, math.nan, flag, tests)
    lab.readings.append(batch)


def good(time: datetime, result: float = 20) -> tuple[datetime, float, Flag, Test]:
    return time, result, Flag.GOOD, Test(0)


def exported(lab: Lab, interval: Interval = DAY, **which: str) -> list[dict[str, str]]:
    with lab.work(write=False) as work:
        export = plan_export(work, lab.city.key, **which)
    text = "".join(csv_text(export_rows(export, interval, lab.readings)))
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_says_all_that_is_public(lab):
    """City, Place, Thing, property, unit, time, result, flag; and the Place's point."""
    measure(lab, stand(lab, "t1", ("square", NOON)), good(NOON, 20.5))

    assert [
        {
            "city": "testcity",
            "place": "square",
            "thing": "x:t1",
            "property": "temperature",
            "channel": "",
            "unit": "Cel",
            "time": "2026-01-01T12:00:00.000Z",
            "result": "20.5",
            "flag": "1",
            "lon": "6.05",
            "lat": "45.05",
        }
    ] == exported(lab)


@pytest.mark.parametrize("state", [ThingState.PROVISIONAL, ThingState.TEST, ThingState.RETIRED])
def test_only_confirmed_things_are_told_of(lab, state):
    """Not even by their own name; retired ones neither, as everywhere in public."""
    measure(lab, stand(lab, "t1", ("square", NOON), state=state), good(NOON))

    assert [] == exported(lab)
    with pytest.raises(NotFoundError):
        exported(lab, thing="x:t1")


def test_missing_is_empty_and_so_is_an_unknown_unit(lab):
    """Never zero, never a guess."""
    measure(
        lab,
        stand(lab, "t1"),
        (NOON, math.nan, Flag.MISSING, Test(0)),
        (NOON + HOUR, 68, Flag.NOT_EVALUATED, Test.UNIT_UNKNOWN),
    )

    missing, unknown = exported(lab)

    assert ("", "9", "Cel") == (missing["result"], missing["flag"], missing["unit"])
    assert ("68.0", "2", "") == (unknown["result"], unknown["flag"], unknown["unit"])
    assert ("", "", "") == (missing["place"], missing["lon"], missing["lat"])


def test_a_reading_belongs_where_its_thing_stood_then(lab):
    """It moved at noon; what was measured before anybody knew of it belongs to its first Place."""
    number = stand(lab, "t1", ("square", NOON - HOUR), ("bridge", NOON))
    measure(lab, number, good(NOON - 2 * HOUR), good(NOON - HOUR), good(NOON), good(NOON + HOUR))

    assert ["square", "square", "bridge", "bridge"] == [row["place"] for row in exported(lab)]
    assert 2 == len(exported(lab, place="square"))
    assert ["bridge"] * 2 == [row["place"] for row in exported(lab, place="bridge")]


def test_a_moving_thing_is_told_by_place_only(lab):
    """Its track is personal: no position, and no row of a Place where it was not."""
    number = stand(lab, "bus", moving=True)
    with lab.work(write=False) as work:
        square = work.places.get("square")
    assert square is not None
    batch = ReadingBatch()
    for hour, place in enumerate((square.number, None)):
        row = batch.add(number, to_ms(NOON + hour * HOUR), 20)
        batch.spots[row] = Spot(place, Point(6.0512, 45.0498))
    lab.readings.append(batch)

    there, nowhere = exported(lab)

    assert ("square", "6.05", "45.05") == (there["place"], there["lon"], there["lat"])
    assert ("", "", "") == (nowhere["place"], nowhere["lon"], nowhere["lat"])
    assert [there] == exported(lab, place="square")


def test_a_zone_holds_its_places(lab):
    """The Square lies in the centre, the Bridge does not."""
    measure(lab, stand(lab, "t1", ("square", NOON)), good(NOON, 1))
    measure(lab, stand(lab, "t2", ("bridge", NOON)), good(NOON, 2))

    assert ["1.0"] == [row["result"] for row in exported(lab, zone="centre")]
    assert [] == exported(lab, zone="centre", place="bridge")
    assert ["2.0"] == [row["result"] for row in exported(lab, thing="x:t2")]


@pytest.mark.parametrize("which", [{"place": "moon"}, {"zone": "moon"}, {"thing": "x:moon"}])
def test_what_does_not_exist_is_said(lab, which):
    """A misspelt name is no empty export."""
    with pytest.raises(NotFoundError, match="moon"):
        exported(lab, **which)


def test_an_interval_is_half_open_and_no_page_is_too_long(lab):
    """More Readings than are in hand at once come out once each, oldest first."""
    number = stand(lab, "t1")
    second = timedelta(seconds=1)
    measure(lab, number, *(good(NOON + n * second, n) for n in range(PAGE + 5)))

    rows = exported(lab, Interval(NOON + second, NOON + (PAGE + 4) * second))

    assert [float(n) for n in range(1, PAGE + 4)] == [float(row["result"]) for row in rows]


def test_nothing_is_a_header(lab):
    """A table without rows still says what its columns are."""
    with lab.work(write=False) as work:
        export = plan_export(work, lab.city.key)

    assert [",".join(COLUMNS) + "\n"] == list(csv_text(export_rows(export, DAY, lab.readings)))


def test_parquet_holds_what_the_csv_holds(lab, tmp_path):
    """With types: instants, numbers, and NULL for what is missing."""
    number = stand(lab, "t1", ("square", NOON))
    measure(lab, number, good(NOON, 20.5), (NOON + HOUR, math.nan, Flag.MISSING, Test(0)))
    with lab.work(write=False) as work:
        export = plan_export(work, lab.city.key)
    source, target = tmp_path / "e.csv", tmp_path / "e.parquet"
    source.write_text("".join(csv_text(export_rows(export, DAY, lab.readings))))

    write_parquet(source, target, COLUMNS)

    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT thing, channel, epoch_ms(time), result, flag, lon FROM read_parquet(?)",
            [str(target)],
        ).fetchall()
    assert [
        ("x:t1", None, to_ms(NOON), 20.5, 1, 6.05),
        ("x:t1", None, to_ms(NOON + HOUR), None, 9, 6.05),
    ] == found


def test_an_empty_export_is_a_parquet_file_too(tmp_path):
    """Without rows, with columns."""
    source, target = tmp_path / "e.csv", tmp_path / "e.parquet"
    source.write_text("".join(csv_text([])))

    write_parquet(source, target, COLUMNS)

    with duckdb.connect() as connection:
        assert (0,) == connection.execute(
            "SELECT count(*) FROM read_parquet(?)", [str(target)]
        ).fetchone()


def test_what_is_no_table_is_said(tmp_path):
    """A cell that is not of its type ends in one sentence."""
    source = tmp_path / "e.csv"
    source.write_text(",".join(COLUMNS) + "\n" + "x," * (len(COLUMNS) - 1) + "x\n")

    with pytest.raises(StoreUnavailableError, match="Parquet"):
        write_parquet(source, tmp_path / "e.parquet", COLUMNS)
