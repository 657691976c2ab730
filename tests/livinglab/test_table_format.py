"""Rows of bulk files: what a layout makes of them, and what it refuses to guess."""

from datetime import UTC, datetime
from typing import Any

import pytest

from livinglab.errors import SettingsError
from livinglab.services.decoding import decode
from livinglab.wire.layouts import layout_from, layout_named, shipped
from livinglab.wire.routes import Route
from livinglab.wire.table import Table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG = "thing,property,time,value,unit,flag,lon,lat"
DAY = "PUNTO_MUESTREO;MAGNITUD;ANO;MES;DIA;H01;V01;H02;V02;H24;V24"
WIDE = {
    "scheme": "wide",
    "thing": {"column": "id"},
    "time": {"columns": ["at"]},
    "values": [{"column": "t", "property": "temperature"}],
}


def lines(layout: str | dict[str, Any], header: str, *rows: str | bytes) -> list[dict[str, Any]]:
    """Return what becomes of rows below a header."""
    described = (
        layout_named(layout) if isinstance(layout, str) else layout_from(layout, "of this test")
    )
    table = Table.bind(described, header.split(described.delimiter))
    route = Route(
        name="t", filter="#", format="table", scheme=described.scheme, options={"table": table}
    )
    return [
        line
        for row in rows
        for line in decode(
            "table",
            row if isinstance(row, bytes) else row.encode(),
            now=NOW,
            route=route,
            everything=True,
        )
    ]


def facts(line: dict[str, Any], *names: str) -> list[Any]:
    return [line[name] for name in names]


def test_a_long_row_is_one_reading():
    """Thing, property, time, value; unit and position if they are told."""
    [found] = lines("long", LONG, "t1,temperature,2025-01-31T12:00:00+01:00,68,F,1,-3.8,43.4")

    assert ["lab:t1", "temperature", "2025-01-31T11:00:00Z"] == facts(
        found, "thing", "property", "time"
    )
    assert pytest.approx(20) == found["result"]
    assert [{"value": "68", "unit": "F"}, 1, [-3.8, 43.4]] == facts(found, "raw", "flag", "point")


def test_a_long_file_may_be_short():
    """Without the column `unit` the property's own is meant; the order of columns is free."""
    [found] = lines("long", "value,time,property,thing", "7.5,1735689600,pm25,t1")

    assert ["2025-01-01T00:00:00Z", 7.5, "ug/m3", None] == facts(
        found, "time", "result", "unit", "point"
    )


def test_quotes_hold_what_would_else_divide():
    """As in CSV everywhere; a quote that does not end refuses its row."""
    header = "thing,property,time,value"
    found, refused = lines(
        "long",
        header,
        '"a, ""b""",pm25,2025-01-01T00:00:00Z,"7"',
        'a",pm25,2025-01-01T00:00:00Z,"7',
    )

    assert ["lab:a%2C%20%22b%22", 7.0] == facts(found, "thing", "result")
    assert "bad_shape" == refused["reject"]


@pytest.mark.parametrize(
    ("cell", "flag", "result"),
    [
        ("1", 1, 7.0),
        ("2", 1, 7.0),
        ("", 1, 7.0),
        ("3", 3, 7.0),
        ("4", 3, 7.0),
        ("9", 9, None),
        ("odd", 3, 7.0),
    ],
)
def test_a_sources_flag_means_what_the_layout_says(cell: str, flag: int, result: float | None):
    """The number stays; a flag that nobody explained casts doubt."""
    [found] = lines("long", LONG, f"t1,pm25,2025-01-01T00:00:00Z,7,ug/m3,{cell},,")

    assert [flag, result] == facts(found, "flag", "result")


def test_an_empty_cell_is_missing_in_a_long_file():
    """Somebody wrote the row to say that there is no value; an empty unit is an unknown one."""
    missing, unknown = lines(
        "long",
        LONG,
        "t1,pm25,2025-01-01T00:00:00Z,,ug/m3,,,",
        "t1,pm25,2025-01-01T01:00:00Z,7,,,,",
    )

    assert [None, 9] == facts(missing, "result", "flag")
    assert [7.0, None, 2] == facts(unknown, "result", "unit", "flag")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("t1,pm25,2025-01-01T00:00:00Z", "bad_shape"),
        ("t1,pm25,2025-01-01T00:00:00Z,7,8", "bad_shape"),
        (b"t\xff,pm25,2025-01-01T00:00:00Z,7", "not_utf8"),
        ("t1,pm25,,7", "bad_time"),
        ("t1,pm25,0,7", "bad_time"),
        ("t1,pm25,yesterday,7", "bad_time"),
        ("t1,pm25,2025-01-01T00:00:00,7", "no_timezone"),
        ("t1,pm25,2027-01-01T00:00:00Z,7", "future"),
        (",pm25,2025-01-01T00:00:00Z,7", "no_identity"),
        ("t1,mood,2025-01-01T00:00:00Z,7", "unknown_property"),
        ("t1,pm25,2025-01-01T00:00:00Z,n/a", "bad_number"),
        ("t1,pm25,2025-01-01T00:00:00Z,1e999", "not_finite"),
        ("x" * 40_000 + ",pm25,2025-01-01T00:00:00Z,7", "too_large"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_reason(row: str | bytes, reason: str):
    """A row of history has a time of its own, or it is none."""
    [found] = lines("long", "thing,property,time,value", row)

    assert reason == found["reject"]


def test_a_bad_position_costs_no_reading():
    """What was measured there stays."""
    refused, found = lines("long", LONG, "t1,pm25,2025-01-01T00:00:00Z,7,ug/m3,,200,99")

    assert ["bad_position", "lat"] == facts(refused, "reject", "path")
    assert [7.0, None] == facts(found, "result", "point")


def test_madrids_hours_begin_an_hour_before_they_are_named():
    """H01 of 1 March ends at 01:00 of UTC+1, so it begins at 23:00 UTC of the last of February.

    H24 ends at midnight: 24:00 - 1 h - 1 h = 22:00 UTC of the day itself.
    """
    found = lines("madrid-hourly", DAY, "28079099_8_38;8;2018;03;01;00009;V;000.3;V;-0.01;V")

    assert [
        ("2018-02-28T23:00:00Z", 9.0),
        ("2018-03-01T00:00:00Z", 0.3),
        ("2018-03-01T22:00:00Z", -0.01),
    ] == [(line["time"], line["result"]) for line in found]
    assert {("madrid:28079099", "no2", "ug/m3", 3_600.0, 1)} == {
        tuple(facts(line, "thing", "property", "unit", "interval_s", "flag")) for line in found
    }


def test_madrids_invalid_hours_keep_their_number():
    """N says not valid, and the cell says one all the same."""
    valid, invalid, untold = lines(
        "madrid-hourly", DAY, "28079099_6_48;6;2018;03;01;000.4;V;00001;N;;V"
    )

    assert [0.4, "mg/m3", 1] == facts(valid, "result", "unit", "flag")
    assert [1.0, 3] == facts(invalid, "result", "flag")
    assert {"ignored": "not_told", "path": "H24"} == untold


def test_madrids_unknown_pollutant_is_refused_with_its_row():
    """Code 99 may be anything."""
    [found] = lines("madrid-hourly", DAY, "28079099_99_1;99;2018;03;01;1;V;2;V;3;V")

    assert ["unknown_property", "the layout names no property '99'"] == facts(
        found, "reject", "detail"
    )


def test_the_repeated_hour_is_two_instants_at_a_fixed_offset():
    """On 28 October 2018 clocks went back; with UTC+1 all the day, hours stay an hour apart."""
    header = "PUNTO_MUESTREO;MAGNITUD;ANO;MES;DIA;" + ";".join(
        f"H{hour:02};V{hour:02}" for hour in range(1, 25)
    )
    row = "28079099_8_38;8;2018;10;28;" + ";".join(f"{hour};V" for hour in range(1, 25))

    fixed = lines("madrid-hourly", header, row)
    local = lines({"base": "madrid-hourly", "timezone": "Europe/Madrid"}, header, row)

    assert 24 == len({line["time"] for line in fixed}) == len(fixed)
    assert ["2018-10-27T23:00:00Z", "2018-10-28T22:00:00Z"] == [
        fixed[0]["time"],
        fixed[-1]["time"],
    ]
    assert 24 == len({line["time"] for line in local})
    assert ["2018-10-27T22:00:00Z", "2018-10-28T22:00:00Z"] == [
        local[0]["time"],
        local[-1]["time"],
    ]


@pytest.mark.parametrize(
    ("stamps", "start"),
    [("start", "12:30:00"), ("middle", "12:00:00"), ("end", "11:30:00")],
)
def test_an_interval_is_stored_at_its_start(stamps: str, start: str):
    """1477917000 is 2016-10-31 12:30 UTC; half an hour or an hour earlier began what it covers."""
    [found] = lines(
        {"base": "esdr", "stamps": stamps}, "EpochTime,3.feed_9.SO2_PPB", "1477917000,1"
    )

    assert f"2016-10-31T{start}Z" == found["time"]


def test_one_gas_in_two_units_is_one_quantity():
    """0.026 ppm are 26 ppb, and 26 ppb of ozone are 26 · 47.9982 / 24.055 = 51.88 µg/m³."""
    header = "EpochTime,3.feed_8.OZONE_PPM,3.feed_9.OZONE_PPB"

    million, billion = lines("esdr", header, "1477917000,0.026,26")

    assert ["esdr:8", "esdr:9"] == [million["thing"], billion["thing"]]
    assert pytest.approx([51.88, 51.88], abs=0.01) == [million["result"], billion["result"]]
    assert [{"value": "0.026", "unit": "PPM"}, {"value": "26", "unit": "PPB"}] == [
        million["raw"],
        billion["raw"],
    ]


def test_a_column_without_a_unit_has_one_that_nobody_knows():
    """AirNow's ozone of 26 may be ppb or anything; nothing is compared."""
    ozone, dust = lines("esdr", "EpochTime,3.feed_9.OZONE,3.feed_9.PM2_5", "1477917000,26,8.0")

    assert ["o3", 26.0, None, 2] == facts(ozone, "property", "result", "unit", "flag")
    assert ["pm25", 8.0, None, 2] == facts(dust, "property", "result", "unit", "flag")


def test_wind_in_miles_and_degrees():
    """10 mph are 10 · 1609.344 / 3600 = 4.4704 m/s."""
    header = "EpochTime,3.feed_9.SONICWS_MPH,3.feed_9.SONICWD_DEG"

    speed, direction = lines("esdr", header, "1477917000,10,343.0")

    assert ["wind_speed", pytest.approx(4.4704)] == facts(speed, "property", "result")
    assert ["wind_direction", 343.0, "deg"] == facts(direction, "property", "result", "unit")


def test_a_replaced_instrument_is_one_datastream_and_told():
    """The source poured feed 8 into feed 9: the Thing is the one named first."""
    header = ["EpochTime", "3.feed_9.CO_PPB..3.feed_8.CO_PPB", "3.feed_9.SIGTHETA_DEG"]

    table = Table.bind(layout_named("esdr"), header)

    assert [("9", "co", "PPB")] == [
        (column.thing, column.observed_property, column.unit) for column in table.columns
    ]
    assert ("3.feed_9.CO_PPB..3.feed_8.CO_PPB",) == table.joined
    assert ("3.feed_9.SIGTHETA_DEG",) == table.passed_over


def test_small_negatives_and_gaps_in_a_wide_row():
    """An analyser near zero reads below it; an empty cell tells nothing, not even missing."""
    found = lines("esdr", "EpochTime,3.feed_9.NO_PPB,3.feed_9.SO2_PPB", "1477917000,-0.1,")

    assert pytest.approx(-0.1 * 30.0061 / 24.055, rel=1e-3) == found[0]["result"]
    assert [1, {"ignored": "not_told", "path": "3.feed_9.SO2_PPB"}] == [
        found[0]["flag"],
        found[1],
    ]


def test_santanders_loops_over_time():
    """The loop is its sensor; load reaches 138."""
    header = "ayto:ocupacion,ayto:idSensor,ayto:intensidad,dc:modified,ayto:carga,dc:identifier"

    found = lines(
        "santander-traffic-history", header, "4,9101,540,2021-06-01T18:43:00Z,138,9101-f00"
    )

    assert [("occupancy", 4.0), ("vehicle_flow", 540.0), ("traffic_load", 138.0)] == [
        (line["property"], line["result"]) for line in found
    ]
    assert {"santander-loop:9101"} == {line["thing"] for line in found}


def test_a_factor_brings_a_number_into_its_unit():
    """A logger that writes tenths of a degree."""
    values = [{"column": "t", "property": "temperature", "unit": "Cel", "factor": 0.1}]

    [found] = lines(WIDE | {"values": values}, "id,at,t", "a,2025-01-01T00:00:00Z,215")

    assert [pytest.approx(21.5), "215"] == [found["result"], found["raw"]["value"]]


def test_a_date_and_an_hour_in_columns_of_their_own():
    """Joined by a blank and read by the layout's format, in its zone."""
    layout = WIDE | {
        "time": {"columns": ["day", "clock"], "format": "%d/%m/%Y %H:%M"},
        "timezone": "Europe/Madrid",
        "delimiter": ";",
    }

    good, bad = lines(layout, "id;day;clock;t", "a;01/07/2025;12:30;21", "a;31/06/2025;12:30;21")

    assert "2025-07-01T10:30:00Z" == good["time"]
    assert "bad_time" == bad["reject"]


def test_every_layout_that_ships_can_be_used():
    """By its name, and as the base of another."""
    assert ["esdr", "long", "madrid-hourly", "santander-traffic-history"] == shipped()
    for name in shipped():
        assert layout_named(name).scheme
        assert "mine" == layout_from({"base": name, "scheme": "mine"}, "own").scheme


def test_a_layout_of_ones_own(tmp_path):
    """A file that ends in .toml; what it does not say, its base does."""
    path = tmp_path / "ours.toml"
    path.write_text('base = "esdr"\n[property.names]\nSIGTHETA = "wind_direction"\n')

    layout = layout_named(str(path))

    assert ["ours", "esdr"] == [layout.name, layout.scheme]
    assert ("wind_direction", None) == layout.names["SIGTHETA"]
    assert ("co", None) == layout.names["CO"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "nobody reads colour"),
        ({"thing": {"colum": "id"}}, "nobody reads thing.colum"),
        ({"values": [{"column": "t", "property": "mood"}]}, "'mood'"),
        ({"values": [{"column": "t"}]}, "nothing tells the property"),
        ({"values": [{"property": "pm25"}]}, "lacks 'column'"),
        ({"thing": {}}, "nothing tells the Thing"),
        ({"thing": {"column": "id", "match": "x"}}, "names no group"),
        ({"values": [{"match": "(", "property": "pm25"}]}, "unterminated"),
        ({"values": [{"match": r"H(?P<hour>\d)", "property": "pm25"}]}, "time.format"),
        ({"stamps": "end"}, "interval_s"),
        ({"stamps": "noon"}, "noon"),
        ({"delimiter": ", "}, "one character"),
        ({"timezone": "Mars/Olympus"}, "no time zone"),
        ({"flags": {"V": "fine"}}, "fine"),
        ({"base": "atlantis"}, "no layout 'atlantis'"),
    ],
)
def test_a_layout_that_cannot_work_says_why(change: dict[str, Any], said: str):
    """Before the first row, and by name."""
    with pytest.raises(SettingsError, match=r"layout") as caught:
        layout_from(WIDE | change, "ours")

    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["atlantis", "/nowhere/layout.toml"])
def test_a_layout_that_is_not_there(name: str):
    """Neither shipped nor a file."""
    with pytest.raises(SettingsError):
        layout_named(name)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id,at", "no column holds values"),
        ("at,t", "column 'id' is not there"),
        ("id,at,t,t", "column 't' stands there twice"),
        ("id,id,at,t", "column 'id' stands there twice"),
    ],
)
def test_a_header_that_does_not_fit(header: str, said: str):
    """What a layout names must be there, once; what it does not name is passed over."""
    with pytest.raises(ValueError, match=said):
        Table.bind(layout_from(WIDE, "ours"), header.split(","))


def test_a_column_that_names_no_thing():
    """A pattern may leave out what nothing else tells."""
    values = [{"match": r"(?P<thing>\w+)?/t", "property": "temperature"}]
    layout = layout_from({key: WIDE[key] for key in ("scheme", "time")} | {"values": values}, "o")

    assert "a" == Table.bind(layout, ["at", "a/t"]).columns[0].thing
    with pytest.raises(ValueError, match="names no Thing"):
        Table.bind(layout, ["at", "/t"])


def test_a_flag_beside_each_column():
    """Its name follows from the column's; one that is not there is told, not ignored."""
    values = [{"match": r"t(?P<n>\d)", "property": "temperature", "flag": "q{n}"}]
    layout = WIDE | {"values": values, "flags": {"ok": "good"}}

    good, bad = lines(layout, "id,at,t1,q1,t2,q2", "a,2025-01-01T00:00:00Z,20,ok,21,?")

    assert [(20.0, 1), (21.0, 3)] == [(one["result"], one["flag"]) for one in (good, bad)]
    with pytest.raises(ValueError, match="column 'q2' is not there"):
        Table.bind(layout_from(layout, "ours"), ["id", "at", "t2"])


def test_without_a_table_there_is_no_route():
    """A city file cannot name this format: only an import knows a header."""
    with pytest.raises(SettingsError, match="imports"):
        list(decode("table", b"1,2", now=NOW))
