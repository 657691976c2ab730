"""Rows of other systems, read by a layout that says where things stand."""

import io
from datetime import UTC, datetime

import pytest

from livinglab.domain.geometry import Point, distance_m
from livinglab.errors import UnreadableInputError
from livinglab.wire.projecting import to_points
from livinglab.wire.reports import Refused, ReportLayout, layout_from, layout_named, read_reports

PLAIN = ReportLayout(
    name="p",
    source="p",
    timezone="Europe/Paris",
    columns={
        "id": "no",
        "category": "theme",
        "text": "words",
        "time": "when",
        "x": "lon",
        "y": "lat",
        "severity": "how bad",
        "note": "answer",
    },
    categories={"Straße": "street"},
)
HEADER = "no,theme,words,when,lon,lat,how bad,answer"


def read(*rows: str, layout: ReportLayout = PLAIN, header: str = HEADER):
    file = io.StringIO("\n".join([header, *rows]) + "\n", newline="")
    return list(read_reports(file, layout))


def test_a_row_is_read():
    """Names are mapped, a time without a zone is the city's, HTML becomes plain words."""
    [one] = read('7,Straße,"a &amp; b",2026-07-01T12:00:00,6.05,45.05,3,<p>Done.</p>Soon<br/>more')

    assert ("7", "street", "a & b", 3) == (one.external_id, one.category, one.text, one.severity)
    assert datetime(2026, 7, 1, 10, tzinfo=UTC) == one.occurred_at
    assert (6.05, 45.05) == one.position
    assert "Done.\nSoon\nmore" == one.note


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,a,b,yesterday,6,45,,", "bad_time"),
        ("1,a,b,,6,45,,", "bad_time"),
        ("1,a,b,2026-07-01,east,45,,", "bad_position"),
        ("1,a,b,2026-07-01,6,,,", "bad_position"),
        ("1,a,b,2026-07-01,6,nan,,", "bad_position"),
        ("1,a,b,2026-07-01,6,45,9,", "bad_severity"),
        ("1,a,b,2026-07-01", "bad_row"),
        ("1,a,b,2026-07-01,6,45,,,more", "bad_row"),
    ],
)
def test_a_bad_row_costs_its_neighbours_nothing(row, reason):
    """It is named by its line and reason; its words are not repeated."""
    first, bad, last = read("1,a,b,2026-07-01,6,45,,", row, "2,a,b,2026-07-01,6,45,,")

    assert (reason, 3) == (bad.reason, bad.line)
    assert isinstance(bad, Refused)
    assert ("1", "2") == (first.external_id, last.external_id)


def test_rows_without_an_id_are_named_by_what_they_say():
    """Two that say the same are two; read again, each is called as before."""
    layout = layout_from(
        {
            "source": "p",
            "category": "street",
            "columns": {"time": "when", "x": "lon", "y": "lat"},
        },
        "p",
    )
    rows = ("2026-07-01,6,45", "2026-07-01,6,45", "2026-07-02,6,45")
    first = [one.external_id for one in read(*rows, layout=layout, header="when,lon,lat")]
    again = [one.external_id for one in read(*rows, layout=layout, header="when,lon,lat")]

    assert 3 == len(set(first))
    assert first == again


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"colour": 1}, "no 'colour'"),
        ({"columns": {"time": "t", "x": "x", "y": "y", "mood": "m"}}, "no column 'mood'"),
        ({"columns": {"x": "x", "y": "y"}}, "columns.time"),
        ({"columns": {"time": "t", "x": "x"}}, "columns.x and columns.y"),
        ({"category": None, "columns": {"time": "t", "place": "p"}}, "category"),
        ({"time": "roman"}, "iso, epoch"),
        ({"timezone": "Europe/Atlantis"}, "no time zone"),
    ],
)
def test_a_layout_that_means_nothing_is_refused(change, says):
    """With what is wrong."""
    document = {
        "source": "p",
        "category": "street",
        "columns": {"time": "t", "x": "x", "y": "y"},
        **change,
    }
    document = {key: value for key, value in document.items() if value is not None}

    with pytest.raises(ValueError, match=says):
        layout_from(document, "p")


def test_files_that_are_none_are_refused():
    """A column that is not there, JSON that is none, an object instead of an array."""
    with pytest.raises(UnreadableInputError, match="no column 'no'"):
        read("1", header="id")
    json_ = ReportLayout(name="j", source="j", format="json", columns={"time": "t"}, category="c")
    for text in ("{", '{"a": 1}', "[" * 100_000):
        with pytest.raises(UnreadableInputError):
            list(read_reports(io.StringIO(text), json_))
    with pytest.raises(UnreadableInputError, match="none of"):
        layout_named("atlantis")


@pytest.mark.parametrize("name", ["open311", "plain", "smell-pittsburgh", "zurich"])
def test_layouts_that_ship_can_be_read(name):
    """Each is valid, and names its source."""
    assert layout_named(name).source


@pytest.mark.parametrize(
    ("east", "north", "lon", "lat"),
    [
        # By the approximate formulas of the Swiss survey, better than a metre, worked by hand:
        # with y' = (E − 2,600,000)/10⁶ and x' = (N − 1,200,000)/10⁶.
        (2_600_000, 1_200_000, 7.438637, 46.951083),
        (2_683_000, 1_248_000, 8.537690, 47.377604),
        (2_700_000, 1_100_000, 8.730497, 46.044127),
    ],
)
def test_swiss_positions_lie_where_the_survey_says(east, north, lon, lat):
    """Metres of the national grid as degrees."""
    [point] = to_points([(east, north)], "EPSG:2056")

    assert distance_m(Point(lon, lat), point) < 1.5


def test_positions_that_lie_nowhere_are_none():
    """Beyond the grid, as where east and north were taken for each other; or no system at all."""
    swapped = [(1_248_000, 2_683_000), (1e8, 1e8), (float("inf"), 1)]
    assert [None, None, None] == to_points(swapped, "EPSG:2056")
    assert [None, Point(6, 45)] == to_points([(600, 45), (6, 45)], "EPSG:4326")
    assert [] == to_points([], "EPSG:2056")
    with pytest.raises(UnreadableInputError, match="no coordinate system"):
        to_points([(1, 1)], "EPSG:0")
