"""Format `line-protocol`: one point a line, several numbers a point."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.wire.lineprotocol import check, decode, is_line_protocol
from livinglab.wire.routes import Route
from tests.livinglab.hearing import Heard, refusal, survives

MS = 1_769_860_800_000
NS = MS * 1_000_000
ROUTE = Route(name="influx", filter="telegraf/#", format="line-protocol", scheme="influx")


def hear(text: str | bytes, fields: Mapping[str, str] | None = None, **options: object) -> Heard:
    heard = Heard()
    route = Route(name="r", filter="#", format="line-protocol", scheme="influx", options=options)
    decode(text.encode() if isinstance(text, str) else text, fields or {}, route, heard)
    return heard


def test_every_number_of_a_line_is_a_reading():
    """Fields share the tags and the time of their line."""
    heard = hear(f"air,device=roof,zone=centre no2=41i,temperature=21.5,co2_ppm=400u {NS}\n")

    assert [
        ("roof", "no2", 41.0, "", MS),
        ("roof", "temperature", 21.5, "", MS),
        ("roof", "co2", 400.0, "ppm", MS),
    ] == heard.all("thing", "property", "value", "unit", "time")
    assert ["41i", "21.5", "400u"] == heard.all("source")
    assert ([], []) == (heard.rejects, heard.ignored)


def test_a_payload_is_many_lines():
    """Comments and empty lines are skipped, whatever ends a line."""
    heard = hear(
        f"# air\r\na,host=x temp=1 {NS}\r\n\r\n  b,host=y temp=2\r\n\t\n#end\nc,host=z rh=3i"
    )

    assert [("x", 1.0, MS), ("y", 2.0, None), ("z", 3.0, None)] == heard.all(
        "thing", "value", "time"
    )
    assert [] == heard.rejects


@pytest.mark.parametrize(
    "line",
    [
        "air",
        "air,device=roof",
        "air temp=1 soon",
        "air temp=1 1e18",
        "air temp=1 " + "9" * 21,
        "air temp=1,",
        "air temp= 1",
        "air temp",
        "air,device temp=1",
        "air,device= temp=1",
        'air temp="1',
        ",device=x temp=1",
        '{"temperature": 21}',
        "air temp=1 1 1",
    ],
)
def test_a_bad_line_costs_only_itself(line: str):
    """Lines are counted from one, as an editor does."""
    heard = hear(f"a,host=x temp=1\n# next\n{line}\na,host=y temp=2\n")

    assert [("bad_line", "line[3]")] == heard.rejects
    assert ["x", "y"] == heard.all("thing")


def test_names_may_hold_what_separates_them():
    """A comma, a space or an equals sign behind a backslash is part of the name."""
    line = r"air\ out\,side,thing=Calle\ Mayor\,\ 1\=A,path=C:\dir no2\=x=1,temp=2,re\l=\3"

    heard = hear(line, names={"no2=x": "no2", r"re\l": "no"})

    assert {"Calle Mayor, 1=A"} == set(heard.all("thing"))
    assert ["no2", "temperature"] == heard.all("property")
    assert [("bad_number", r"line[1].re\l")] == heard.rejects


def test_texts_and_booleans_are_no_measurements():
    """A text may hold anything, even what ends a line."""
    note = r'"a, b = \"c\"' + "\nd e=1" + r'\\"'

    heard = hear(f'm,host=x note={note},temp="1",ok=t,open=FALSE,rh=5\nm,host=y no2=x')

    assert [("x", 5.0)] == heard.all("thing", "value")
    assert [f"line[1].{name}" for name in ("note", "temp", "ok", "open")] == [
        path for _, path in heard.ignored
    ]
    assert [("bad_number", "line[3].no2")] == heard.rejects


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1.5", -1.5),
        ("1e3", 1_000),
        ("1E-3", 0.001),
        ("-7i", -7),
        ("7u", 7),
        (".5", 0.5),
    ],
)
def test_numbers_are_written_in_several_ways(text: str, value: float):
    """Whole numbers carry a letter; all become floats."""
    assert [float(value)] == hear(f"m,host=x temp={text}").all("value")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-7u", "bad_number"),
        ("1.5i", "bad_number"),
        ("i", "bad_number"),
        ("1_0", "bad_number"),
        ("warm", "bad_number"),
        ("NaN", "not_finite"),
        ("-inf", "not_finite"),
        ("1e999", "not_finite"),
    ],
)
def test_one_bad_field_costs_no_other(text: str, reason: str):
    """Its neighbours of the same line are read."""
    heard = hear(f"m,host=x temp={text},rh=5")

    assert [(reason, "line[1].temp")] == heard.rejects
    assert ["relative_humidity"] == heard.all("property")


@pytest.mark.parametrize(
    ("precision", "time"), [("ns", NS), ("us", MS * 1_000), ("ms", MS), ("s", MS // 1_000)]
)
def test_precision_of_times_is_the_routes(precision: str, time: int):
    """Without an option times are nanoseconds, whatever their size."""
    assert [MS] == hear(f"m,host=x temp=1 {time}", precision=precision).all("time")


@pytest.mark.parametrize(("text", "time"), [("", None), (" 0", None), (f" {NS + 999_999}", MS)])
def test_no_time_is_the_arrival(text: str, time: int | None):
    """So is 1970; what is below a millisecond is cut off."""
    assert [time] == hear(f"m,host=x temp=1{text}").all("time")


def test_seconds_in_a_route_of_nanoseconds_are_not_guessed():
    """The sink refuses 1970; the route should name the precision."""
    assert [MS // 1_000 // 1_000_000] == hear(f"m,host=x temp=1 {MS // 1_000}").all("time")


@pytest.mark.parametrize(
    ("tags", "fields", "options", "thing"),
    [
        ("thing=a,host=b", {}, {}, "a"),
        ("host=b,device=c", {}, {}, "c"),
        ("host=b,sensor=d", {}, {}, "d"),
        ("host=b", {"thing": "topic"}, {}, "topic"),
        ("host=b,mast=e", {"thing": "topic"}, {"thing": "mast"}, "e"),
        ("zone=f", {"thing": "topic"}, {}, "topic"),
    ],
)
def test_thing_is_named_by_route_topic_or_tag(
    tags: str, fields: dict[str, str], options: dict[str, object], thing: str
):
    """What somebody decided goes before what is usual."""
    assert [thing] == hear(f"m,{tags} temp=1", fields, **options).all("thing")


@pytest.mark.parametrize(
    ("tags", "options"), [("", {}), (",zone=x", {}), (",host=x", {"thing": "m"})]
)
def test_nobodys_line_is_refused_with_all_its_fields(tags: str, options: dict[str, object]):
    """The next line may be somebody's."""
    heard = hear(f"m{tags} temp=1,rh=2\nm,host=y,m=z temp=3", {}, **options)

    assert ([("no_identity", "line[1]")], 2) == (heard.rejects, heard.lost)
    assert [3.0] == heard.all("value")


def test_field_value_means_its_measurement():
    """Many write `temperature value=21.5`."""
    assert ["temperature"] == hear("temperature,host=x value=21.5").all("property")
    assert ["no2"] == hear("sniff,host=x value=1", names={"sniff": "no2"}).all("property")


def test_unknown_fields_are_refused_until_mapped():
    """Nobody can say what `flux` is but the route."""
    assert [("unknown_property", "line[1].flux")] == hear("m,host=x flux=1").rejects
    assert ["battery"] == hear("m,host=x flux=1", names={"flux": "battery"}).all("property")


def test_position_is_the_lines():
    """A bike tells where it was beside what it measured."""
    heard = hear("m,host=x temp=1,lat=43.4,lon=-3.8\nm,host=x temp=2")

    assert [(-3.8, 43.4), None] == heard.all("point")
    assert [("position", "line[1].lat"), ("position", "line[1].lon")] == heard.ignored


def test_bad_position_costs_no_reading():
    """Half of one is none."""
    heard = hear("m,host=x temp=1,lat=43.4")

    assert ([("bad_position", "line[1]")], 0) == (heard.rejects, heard.lost)
    assert [None] == heard.all("point")


@pytest.mark.parametrize(
    ("payload", "reason"), [(b"", "empty"), (b" \n", "empty"), (b"m temp=\xff", "not_utf8")]
)
def test_what_is_no_text_is_refused_as_a_whole(payload: bytes, reason: str):
    """Nothing in it can be trusted."""
    assert reason == refusal(lambda: hear(payload))


def test_comments_alone_are_ignored():
    """There is no point in it."""
    assert [("no_points", "")] == hear("# nothing today\n").ignored


def test_long_hostile_lines_are_done_in_no_time():
    """Nothing is read twice: a quarter of a megabyte of half a point takes no longer."""
    for text in (
        "\\" * 262_144,
        'a b="' * 50_000,
        "a," * 131_000,
        "a b=1," * 43_000,
        " " * 262_143 + "x",
    ):
        heard = hear(text)

        assert [] == heard.readings


@pytest.mark.parametrize(
    ("payload", "looks"),
    [
        (b"air,device=x no2=1i 1", True),
        (b"# comment\n\nair no2=1", True),
        (b"21.5", False),
        (b'{"v": 21.5}', False),
        (b"[1, 2]", False),
        (b"t|15|k|abc", False),
        (b"a b", False),
        (b"\xff", False),
        (b"", False),
    ],
)
def test_lines_can_be_told_from_other_payloads(payload: bytes, looks: bool):
    """The first point decides."""
    assert looks == is_line_protocol(payload, {})


@pytest.mark.parametrize(
    "options",
    [{"precision": "m"}, {"precision": 5}, {"thing": 5}, {"names": {"x": "mood"}}, {"tags": {}}],
)
def test_options_must_be_usable(options: dict[str, object]):
    """A slip in the city file is found before the first message."""
    with pytest.raises(ValueError, match=r"precision|thing|Property|table"):
        check(Route(name="r", filter="#", format="line-protocol", scheme="s", options=options))


def test_usual_options_are_taken():
    """All of them at once."""
    options = {"precision": "s", "thing": "mast", "names": {"x": "no2"}}

    check(Route(name="r", filter="#", format="line-protocol", scheme="s", options=options))


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(payload: bytes):
    """Nothing but a refusal comes out."""
    survives(decode, payload, {}, ROUTE)


@given(st.text('a,= \\"\n\r1i-#.', max_size=60))
def test_any_text_is_read_or_refused(text: str):
    """Nor does a text of all the characters that mean something."""
    survives(decode, text.encode(), {"thing": "x"}, ROUTE)
