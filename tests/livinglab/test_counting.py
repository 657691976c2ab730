"""A table of sheets becomes batches, each once, whatever is imported how often."""

import io
import json
from datetime import UTC, datetime

import pytest

from livinglab.adapters.clocks import SettableClock
from livinglab.bootstrap import open_lab
from livinglab.cli.collecting import import_sheets
from livinglab.config import DEFAULT_CATEGORIES, read_settings
from livinglab.domain.places import Place
from livinglab.errors import UnreadableInputError
from livinglab.services.counting import import_batches

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HEAD = "external_id,day,category,place,n,dimension,level\n"
TABLE = HEAD + (
    "a,2026-03-01,street,square,12,,\n"
    "a,2026-03-01,street,square,3,age,0-17\n"
    "a,2026-03-01,street,square,7,age,65+\n"
    "b,2026-03-01,street,square,4,sex,f\n"
    "b,2026-03-01,street,square,5,sex,m\n"
    "c,2026-03-01,street,moon,5,,\n"
    "d,yesterday,street,square,5,,\n"
    "e,2026-03-01,street,square,many,,\n"
    "f,2026-03-01,street,square,5,age,\n"
    "g,2026-03-01,street,square,5,,\n"
    "g,2026-03-01,bus,square,5,age,0-17\n"
)


@pytest.fixture
def lab(tmp_path):
    """A lab in a folder, with a Place."""
    opened = open_lab(read_settings(data=tmp_path / "lab"), clock=SettableClock(NOW))
    with opened.work() as work:
        work.places.add(Place(key="square", name="Square", lon=6.0, lat=45.0))
    yield opened
    opened.close()


def take(lab, table: str, **options):
    categories = {one.key: one for one in DEFAULT_CATEGORIES}
    return import_batches(
        io.StringIO(table), "paper", civic=lab.civic, categories=categories, now=NOW, **options
    )


def kept(lab):
    with lab.work(write=False) as work:
        return {one.external_id: (one.n, one.strata) for one in work.batches.where()}


def test_lines_of_one_sheet_belong_together(lab):
    """One line tells how many there were, or else the largest sum of a dimension does."""
    found = take(lab, TABLE)

    assert {
        "a": (12, {"age": {"0-17": 3, "65+": 7}}),
        "b": (9, {"sex": {"f": 4, "m": 5}}),
    } == kept(lab)
    assert (7, 2, 0) == (found.rows, found.stored, found.duplicate)
    assert {
        "bad_place": [7],
        "bad_day": [8],
        "bad_n": [9],
        "bad_level": [10],
        "bad_category": [11],
    } == found.lines


def test_the_same_file_twice_is_kept_once(lab):
    """And another sheet of a name is refused; one of another source is not."""
    take(lab, TABLE)
    again = take(lab, TABLE)
    other = take(lab, HEAD + "a,2026-03-01,street,square,13,,\n")
    elsewhere = take(lab, f"source,{HEAD}fair,a,2026-03-01,street,square,13,,\n")

    assert (0, 2) == (again.stored, again.duplicate)
    assert {"other_batch_of_this_name": [2]} == other.lines
    assert 1 == elsewhere.stored


def test_a_rehearsal_keeps_nothing(lab):
    """It only tells what would be."""
    assert 2 == take(lab, TABLE, keep=False).stored
    assert {} == kept(lab)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "lacks the column"),
        ("external_id,day,category,place\n", "column n"),
        ("external_id,day,category,n\n", "place or zone"),
        (HEAD + "x" * 200_000 + ",,,,,,\n", "no CSV"),
    ],
)
def test_what_is_no_table_is_refused_as_a_whole(lab, table, says):
    """Naming what it lacks."""
    with pytest.raises(UnreadableInputError, match=says):
        take(lab, table)


def test_the_command_counts_beside_a_lab_that_runs(lab, tmp_path, capsys):
    """Exit 1 names what was refused; the lab that runs sees what was kept."""
    path = tmp_path / "walk.csv"
    path.write_text(TABLE, encoding="utf-8")
    code = import_sheets([str(path)], "paper", tmp_path / "lab", dry_run=False, as_json=True)
    [told] = json.loads(capsys.readouterr().out)

    assert (1, "walk.csv", 2) == (code, told["file"], told["stored"])
    assert {"a", "b"} == set(kept(lab))
