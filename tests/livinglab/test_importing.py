"""Importing: bulk rows under the rules of live Readings, interrupted and taken up again."""

import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from livinglab.adapters.clocks import SettableClock
from livinglab.bootstrap import Lab, open_importer, open_lab, open_replayer
from livinglab.config import Settings
from livinglab.domain.ledger import Tally
from livinglab.domain.readings import Flag, Interval, Reading, Test
from livinglab.domain.things import ThingState
from livinglab.errors import StoreUnavailableError, UnreadableInputError
from livinglab.services.importing import (
    Checkpoint,
    Imported,
    Importer,
    Source,
    batches,
    import_rows,
    kept_routes,
    open_source,
)
from livinglab.services.replaying import Replayed, replay
from livinglab.wire.layouts import layout_named

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALWAYS = Interval(datetime(2000, 1, 1, tzinfo=UTC), NOW)
HEADER = "thing,property,time,value\n"


def day(hours: int, *, thing: str = "t1", value: float = 7) -> str:
    """Return a file of one Reading an hour."""
    return HEADER + "".join(
        f"{thing},pm25,2025-01-01T{hour:02}:00:00Z,{value}\n" for hour in range(hours)
    )


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """An empty lab in memory; tables and checkpoints stand in its data folder."""
    settings = Settings(
        data=tmp_path,
        readings="memory:",
        civic="memory:",
        vault="memory:",
        media="memory:",
        provision_limit=5,
    )
    opened = open_lab(settings, clock=SettableClock(NOW))
    yield opened
    opened.close()


def source(text: str | bytes, layout: str = "long", name: str = "history.csv") -> Source:
    file = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    return open_source(file, name, layout_named(layout))


class Taking:
    """Takes the rows of a source into a lab, and loses power after some batches."""

    def __init__(self, lab: Lab, given: Source, *, power: int = 1_000) -> None:
        self.importer: Importer = open_importer(lab, given.table)
        self.given = given
        self.power = power
        self.rows: list[bytes] = []

    def __call__(self, rows: Sequence[bytes]) -> Imported:
        if not self.power:
            raise StoreUnavailableError("Readings", "no power")
        self.power -= 1
        self.rows += rows
        return self.importer.take(self.given.name, rows)


def run(lab: Lab, text: str | bytes, layout: str = "long") -> Imported:
    given = source(text, layout)
    return import_rows(given, Taking(lab, given))


def of(lab: Lab, key: str) -> list[Reading]:
    with lab.work(write=False) as work:
        known = work.things.datastream(key)
    return lab.readings.between(known.number or 0, ALWAYS) if known else []


def ledger(lab: Lab) -> dict[str, Tally]:
    found: dict[str, Tally] = {}
    with lab.work(write=False) as work:
        for line in work.ledger.lines():
            found.setdefault(line.route, Tally()).add(line.tally)
    return found


def test_rows_become_readings(lab):
    """Under the rules of live ones: their Thing introduces itself, and waits to be confirmed."""
    found = run(lab, day(24))

    assert Imported(rows=24, readings=24, stored=24, things=1) == found
    assert [(7.0, Flag.GOOD)] * 24 == [(one.result, one.flag) for one in of(lab, "lab:t1:pm25")]
    with lab.work(write=False) as work:
        [thing] = work.things.all()
    assert (ThingState.PROVISIONAL, "import:long") == (thing.state, thing.route)


def test_a_second_import_stores_nothing_new(lab):
    """Every row comes out as duplicate, and the ledger says so."""
    run(lab, day(24))
    found = run(lab, day(24))

    assert Imported(rows=24, readings=24, duplicate=24) == found
    assert 24 == lab.readings.count()
    tally = ledger(lab)["import:long"]
    assert (48, 48, 24, 24, 0) == (
        tally.messages,
        tally.readings,
        tally.stored,
        tally.duplicate,
        tally.unaccounted,
    )


def test_another_value_is_the_last_word_and_a_conflict(lab):
    """A city corrects its history; the lab keeps what it lost."""
    run(lab, day(2))
    found = run(lab, day(1, value=8))

    assert (0, 0, 1) == (found.stored, found.duplicate, found.replaced)
    [corrected, same] = of(lab, "lab:t1:pm25")
    assert (8.0, Test.CONFLICT) == (corrected.result, corrected.tests)
    assert (7.0, Flag.GOOD) == (same.result, same.flag)


def test_what_is_refused_costs_no_other_row(lab):
    """By reason in the summary, with its bytes in the quarantine, balanced in the ledger."""
    rows = [
        "t1,pm25,2025-01-01T00:00:00Z,7",
        "t1,pm25,2025-01-01T01:00:00Z,n/a",
        "t1,pm25,yesterday,7",
        "t1,pm25,2025-01-01T02:00:00Z,5000",
        "t1,pm25,2025-01-01T03:00:00Z,",
    ]

    found = run(lab, HEADER + "\n".join(rows))

    assert {"bad_number": 1, "bad_time": 1} == found.quarantined
    assert {"plausible": 1} == found.flagged
    assert (5, 4, 3, 1, 1, 0) == (
        found.rows,
        found.readings,
        found.stored,
        found.missing,
        found.quarantined_readings,
        found.untold,
    )
    with lab.work(write=False) as work:
        waiting = {one.reason: one.payload.decode() for one in work.quarantine.page()}
    assert {"bad_number": rows[1], "bad_time": rows[2]} == waiting
    assert 0 == ledger(lab)["import:long"].unaccounted


def test_empty_cells_of_a_wide_file_are_counted(lab):
    """They are no Readings; every cell of every row that was read is one or the other."""
    text = (
        "EpochTime,3.feed_9.NO_PPB,3.feed_9.SO2_PPB\n"
        "1477917000,1,\n1477920600,,\n1477924200,1,n/a\nbroken\n"
    )

    found = run(lab, text, "esdr")

    assert (4, 3, 2, 3, 1) == (
        found.rows,
        found.readings,
        found.stored,
        found.untold,
        found.quarantined_readings,
    )
    assert 0 == ledger(lab)["import:esdr"].unaccounted


def test_unsorted_rows_come_out_sorted(lab):
    """A file that begins in the middle, runs on and goes back."""
    first, *rows = day(6).splitlines(keepends=True)

    run(lab, first + "".join(rows[3:] + rows[:3]))

    assert list(range(6)) == [one.time.hour for one in of(lab, "lab:t1:pm25")]


def test_an_import_goes_on_where_it_stopped(lab, tmp_path):
    """After a loss of power only what was not durable is taken, and the summary tells of all."""
    text = day(24)
    given = source(text)
    with pytest.raises(StoreUnavailableError):
        import_rows(
            given,
            Taking(lab, given, power=2),
            checkpoint=Checkpoint.of(given, tmp_path),
            most=200,
        )
    before = lab.readings.count()
    again = source(text)
    taking = Taking(lab, again)

    found = import_rows(again, taking, checkpoint=Checkpoint.of(again, tmp_path), most=200)

    assert 0 < before < 24
    assert 24 - before == len(taking.rows)
    assert Imported(rows=24, readings=24, stored=24, things=1) == found
    assert Checkpoint.of(again, tmp_path).read() is None


def test_death_before_the_checkpoint_only_repeats(lab, tmp_path):
    """A batch that is durable but not noted comes again, as duplicates."""
    given = source(day(24))
    taking = Taking(lab, given)
    rows, _ = next(batches(given.file, given.start, 200))
    taking(rows)
    given.file.seek(given.start)

    found = import_rows(given, taking, checkpoint=Checkpoint.of(given, tmp_path), most=200)

    assert (24 - len(rows), len(rows)) == (found.stored, found.duplicate)
    assert 24 == lab.readings.count()


def test_a_checkpoint_is_of_one_file_and_one_layout(tmp_path):
    """A file that has grown since, or is read otherwise, begins anew; so does a torn checkpoint."""
    given = source(day(3))
    Checkpoint.of(given, tmp_path).write(99, Imported(rows=1))

    assert (99, Imported(rows=1)) == Checkpoint.of(source(day(3), name="b.csv"), tmp_path).read()
    assert Checkpoint.of(source(day(4)), tmp_path).read() is None

    [path] = (tmp_path / "imports").glob("*.checkpoint.json")
    path.write_text("{")
    assert Checkpoint.of(given, tmp_path).read() is None


def test_refused_rows_can_be_replayed(lab):
    """Their table was kept: what only waited for trust heals as it arrived."""
    text = HEADER + "".join(f"t{n},pm25,2025-01-01T00:00:00Z,7\n" for n in range(8))
    found = run(lab, text)
    with lab.work() as work:
        for thing in work.things.all():
            thing.state = ThingState.CONFIRMED

    healed = replay(open_replayer(lab))

    assert ({"provision_limit": 3}, 5) == (found.quarantined, found.stored)
    assert Replayed(tried=3, healed=3, readings=3) == healed
    assert 8 == lab.readings.count()
    assert 0 == sum(tally.unaccounted for tally in ledger(lab).values())


def test_a_table_that_cannot_be_read_stops_no_replay(lab, tmp_path):
    """It is logged; the others are there."""
    run(lab, day(1))
    (tmp_path / "imports" / "torn.table.json").write_text("{")

    assert ["import:long"] == [route.name for route in kept_routes(tmp_path)]


def test_the_name_of_a_file_is_no_wildcard(lab):
    """Whatever a file is called, its rows find their route."""
    given = source("\ufeff" + HEADER + "t1,pm25,2025-01-01T00:00:00Z,n/a", name="a/+#$ {x}.csv")

    import_rows(given, Taking(lab, given))

    with lab.work(write=False) as work:
        [refused] = work.quarantine.page()
    assert refused.topic.endswith(b"/a%2F%2B%23%24%20%7Bx%7D.csv")
    assert "import:long" == refused.route


def test_batches_hold_whole_rows_and_say_where_they_end():
    """Empty lines, carriage returns and a last line without its end; reading on there is exact."""
    text = b"a,1\r\n\r\nb,2\n\nc,3"

    found = list(batches(io.BytesIO(text), 10, 1))

    assert [([b"a,1"], 17), ([b"b,2"], 22), ([b"c,3"], 25)] == found
    assert [b"b,2\n\nc,3", b"c,3", b""] == [text[end - 10 :] for _, end in found]


def test_a_row_without_end_is_refused_and_costs_no_other(lab):
    """Only its head is kept in memory; the next row is read as if nothing had been."""
    huge = b"t1,pm25,2025-01-01T00:00:00Z," + b"7" * 200_000

    found = run(lab, HEADER.encode() + huge + b"\nt1,pm25,2025-01-01T01:00:00Z,7\n" + huge)

    assert ({"too_large": 2}, 1) == (found.quarantined, found.stored)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no column holds values"),
        (b"\xff\xfe", "codec"),
        (b"a,b,c\n", "no column holds values"),
        (b'"a,b\n', "unexpected end"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_anything(text: bytes, said: str):
    """Its header shows it."""
    with pytest.raises(UnreadableInputError, match=said):
        source(text)


def test_what_came_of_rows_survives_as_json():
    """Over HTTP and in checkpoints."""
    found = Imported(rows=3, stored=2)
    found.quarantined["bad_time"] += 1

    assert found == Imported.of(json.loads(json.dumps(found.as_dict())))
