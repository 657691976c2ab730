"""Real history, imported: two years of Pittsburgh's air and a quarter of Madrid's, twice."""

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from livinglab.adapters.clocks import SettableClock
from livinglab.bootstrap import Lab, open_importer, open_lab
from livinglab.config import Settings, read_settings
from livinglab.domain.readings import Flag, Interval, Reading, Test
from livinglab.services.importing import Imported, import_rows, open_source
from livinglab.wire.layouts import layout_named

ALWAYS = Interval(datetime(2010, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
HOUR = timedelta(hours=1)
PITTSBURGH, MADRID = "pittsburgh/esdr_raw", "madrid"
PARKWAY = "Feed_43_and_Feed_11067_Parkway_East_ACHD.csv"
NOT_OURS = ("SIGTHETA", "NOY")
"""Spread of the wind's direction, and all reactive nitrogen: no properties of the lab."""


def folder(name: str) -> Path:
    path = read_settings().samples / name
    if not path.is_dir():
        pytest.skip(f"{path} is not here; LIVINGLAB_SAMPLES names the folder of sample data")
    return path


class History:
    """A lab with history in it, and what came of each file."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def take(self, name: str, layout: str) -> dict[str, Imported]:
        found = {}
        for path in sorted(folder(name).glob("*.csv")):
            with path.open("rb") as file:
                given = open_source(file, path.name, layout_named(layout))
                importer = open_importer(self.lab, given.table)
                found[path.name] = import_rows(given, partial(importer.take, path.name))
        return found

    def of(self, key: str, interval: Interval = ALWAYS) -> list[Reading]:
        with self.lab.work(write=False) as work:
            known = work.things.datastream(key)
        assert known is not None, key
        return self.lab.readings.between(known.number or 0, interval)

    def at(self, key: str, time: str) -> Reading:
        instant = datetime.fromisoformat(time)
        [found] = self.of(key, Interval(instant, instant + timedelta(milliseconds=1)))
        return found

    def unaccounted(self) -> int:
        with self.lab.work(write=False) as work:
            return sum(line.tally.unaccounted for line in work.ledger.lines())


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    data = tmp_path_factory.mktemp("history")
    settings = Settings(data=data, civic="memory:", vault="memory:", media="memory:")
    lab = open_lab(settings, clock=SettableClock(datetime(2026, 1, 1, tzinfo=UTC)))
    yield History(lab)
    lab.close()


@pytest.fixture(scope="module")
def pittsburgh(history: History) -> dict[str, Imported]:
    return history.take(PITTSBURGH, "esdr")


@pytest.fixture(scope="module")
def madrid(history: History) -> dict[str, Imported]:
    return history.take(MADRID, "madrid-hourly")


def total(found: dict[str, Imported]) -> Imported:
    whole = Imported()
    for one in found.values():
        whole.add(one)
    return whole


def test_every_cell_of_pittsburgh_is_a_reading_or_empty(pittsburgh):
    """Thirteen files, two for feed 1: counted here by other means than the importer's."""
    readings, untold = Counter[str](), Counter[str]()
    for path in folder(PITTSBURGH).glob("*.csv"):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                cells = [
                    cell
                    for name, cell in row.items()
                    if name != "EpochTime" and not any(word in name for word in NOT_OURS)
                ]
                readings[path.name] += sum(bool(cell) for cell in cells)
                untold[path.name] += sum(not cell for cell in cells)

    assert 13 == len(pittsburgh)
    assert readings == {name: one.stored for name, one in pittsburgh.items()}
    assert +untold == {name: one.untold for name, one in pittsburgh.items() if one.untold}
    assert (0, 0, {}) == (
        total(pittsburgh).duplicate,
        total(pittsburgh).replaced,
        total(pittsburgh).quarantined,
    )
    assert 12 == total(pittsburgh).things


@pytest.mark.usefixtures("pittsburgh")
def test_a_second_import_of_pittsburgh_stores_nothing_new(history):
    """All 603,477 Readings are duplicates, the unsorted ones too."""
    before = history.lab.readings.count()
    again = total(history.take(PITTSBURGH, "esdr"))

    assert (603_477, 0, 0) == (again.duplicate, again.stored, again.replaced)
    assert before == history.lab.readings.count()
    assert 0 == history.unaccounted()


@pytest.mark.usefixtures("pittsburgh")
def test_pittsburgh_worked_by_hand(history):
    """At 2016-10-31 05:30 UTC, epoch 1477891800, with V = 24.055 l/mol at 20 °C.

    Feed 26: ozone 0.026 ppm = 26 ppb, · 47.9982 / V = 51.88 µg/m³.
    Feed 23: CO 0.2 ppm = 200 ppb, · 28.0101 / V / 1000 = 0.2329 mg/m³.
    Feed 27: NO 0.1 ppb, · 30.0061 / V = 0.1247 µg/m³; its CO is empty, so there is none.
    Feed 26: wind 4.5 mph, · 1609.344 / 3600 = 2.0117 m/s, from 332 degrees.
    """
    time = "2016-10-31T05:30:00Z"
    keys = ("26:o3", "23:co", "27:no", "26:wind_speed", "26:wind_direction")

    found = [history.at(f"esdr:{key}", time).result for key in keys]

    assert pytest.approx([51.88, 0.2329, 0.1247, 2.0117, 332], abs=5e-3) == found
    assert 0.026 == pytest.approx(history.at("esdr:26:o3", time).raw)
    assert time < history.of("esdr:27:co")[0].time.isoformat()


@pytest.mark.usefixtures("pittsburgh")
def test_an_unsorted_file_comes_out_sorted(history):
    """Parkway East begins 2017-04-18 and goes back to 2016-10-31 after 12,709 rows.

    Its first hour by time: CO 159.5 ppb, · 28.0101 / 24.055 / 1000 = 0.1857 mg/m³.
    The first of the file: CO 513.3 ppb, likewise 0.5977 mg/m³.
    """
    found = history.of("esdr:11067:co")
    times = [one.time for one in found]

    assert sorted(times) == times
    assert 16_769 - 821 == len(found)
    assert "2016-10-31T05:30:00+00:00" == times[0].isoformat()
    assert pytest.approx(0.1857, abs=1e-4) == found[0].result
    assert (
        pytest.approx(0.5977, abs=1e-4)
        == history.at("esdr:11067:co", "2017-04-18T14:30:00Z").result
    )


@pytest.mark.usefixtures("pittsburgh")
def test_a_replaced_instrument_is_one_datastream(history):
    """Feed 43 was replaced by 11067 at the same spot; the file joins them, and so do we."""
    with history.lab.work(write=False) as work:
        keys = {one.key for one in work.things.datastreams()}

    assert {"esdr:11067:co", "esdr:11067:no2", "esdr:11067:pm25"} <= keys
    assert not any(key.startswith("esdr:43:") for key in keys)
    assert "esdr:1:pm25" in keys


def test_small_negatives_are_good_and_large_ones_suspect(history, pittsburgh):
    """Zero noise of an analyser is no error; ten below zero are not plausible for particles."""
    slight = history.at("esdr:1:pm25", "2018-04-19T20:30:00Z")
    large = history.at("esdr:23:pm10", "2017-08-23T04:30:00Z")

    assert (-3.0, Flag.GOOD) == (slight.result, slight.flag)
    assert (-10.0, Flag.SUSPECT, Test.PLAUSIBLE) == (large.result, large.flag, large.tests)
    assert {"plausible": 7, "unit_unknown": 64_912} == total(pittsburgh).flagged


@pytest.mark.usefixtures("pittsburgh")
def test_feeds_without_a_unit_are_not_evaluated(history):
    """AirNow's columns name none; their numbers stay as they are."""
    found = history.of("esdr:3506:o3")

    assert {(Flag.NOT_EVALUATED, Test.UNIT_UNKNOWN)} == {(one.flag, one.tests) for one in found}
    assert 26.0 == found[0].result


def test_every_hour_of_madrid_is_a_reading(madrid):
    """Rows by 24; each file's N cells are doubted by their source."""
    assert {"oct_mo18.csv": 4_679, "nov_mo18.csv": 4_514, "dic_mo18.csv": 4_679} == {
        name: one.rows for name, one in madrid.items()
    }
    assert all(one.rows * 24 == one.stored for one in madrid.values())
    assert {"oct_mo18.csv": 1_065, "nov_mo18.csv": 1_540, "dic_mo18.csv": 886} == {
        name: one.flagged["source"] for name, one in madrid.items()
    }
    assert (24, {}) == (total(madrid).things, total(madrid).quarantined)


@pytest.mark.usefixtures("madrid")
def test_a_second_import_of_madrid_stores_nothing_new(history):
    """All 332,928 Readings are duplicates."""
    again = total(history.take(MADRID, "madrid-hourly"))

    assert (332_928, 0, 0) == (again.duplicate, again.stored, again.replaced)
    assert 0 == history.unaccounted()


@pytest.mark.usefixtures("madrid")
def test_madrid_keeps_the_number_of_an_invalid_hour(history):
    """2 November, station 4: SO2 206 in H24, flagged N. It began at 23:00 of UTC+1, 22:00 UTC."""
    found = history.at("madrid:28079004:so2", "2018-11-02T22:00:00Z")

    assert (206.0, Flag.SUSPECT, Test.SOURCE) == (found.result, found.flag, found.tests)


@pytest.mark.usefixtures("madrid")
def test_the_day_of_the_clock_change_has_the_hours_that_the_source_gives(history):
    """28 October 2018: 24 hours, from 23:00 UTC of the 27th on, each an hour after the last."""
    start = datetime(2018, 10, 27, 23, tzinfo=UTC)

    found = history.of("madrid:28079008:o3", Interval(start, start + 24 * HOUR))

    assert [start + n * HOUR for n in range(24)] == [one.time for one in found]
    assert [55.56, 49.85, 33.75] == [one.result for one in found[:3]]
    assert 59.88 == found[-1].result


@pytest.mark.usefixtures("madrid")
def test_madrids_months_join_without_a_gap(history):
    """The last hour of October ends where November's first begins: none twice, none lost."""
    found = history.of("madrid:28079004:so2")
    days = (datetime(2018, 12, 31, tzinfo=UTC) - datetime(2018, 9, 30, tzinfo=UTC)).days

    assert datetime(2018, 9, 30, 23, tzinfo=UTC) == found[0].time
    assert datetime(2018, 12, 31, 22, tzinfo=UTC) == found[-1].time
    assert days * 24 == len({one.time for one in found}) == len(found)
    assert 9.0 == found[0].result
