"""What SQLite itself has to guarantee: durability, history, and errors that say what to do."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, event

from livinglab.adapters.relational import tables
from livinglab.adapters.relational.unit_of_work import SqlCivicStore
from livinglab.domain.things import Datastream
from livinglab.errors import SettingsError, StoreUnavailableError
from tests.civic_samples import NOW, a_thing, enter_one_of_each_history


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "civic.sqlite"


@pytest.fixture
def store(file: Path) -> Iterator[SqlCivicStore]:
    """A store on a fresh database."""
    with closing(SqlCivicStore.open(f"sqlite:///{file}", migrate=True)) as opened:
        yield opened


def test_connections_are_durable_and_checked(store):
    """Readers and the writer do not block each other; a commit is on disk; references hold."""
    with store._engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()
            for pragma in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert ["wal", 2, 1] == found  # 2 is FULL


@pytest.mark.parametrize("table", ["location", "place_link", "status_event", "conflict"])
@pytest.mark.parametrize("change", ["UPDATE {} SET number = 99", "DELETE FROM {}"])
def test_history_cannot_be_rewritten_by_hand(store, file, table, change):
    """Somebody with a database client is refused too."""
    with store.work() as work:
        enter_one_of_each_history(work)

    with (
        closing(sqlite3.connect(file)) as by_hand,
        pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"),
    ):
        by_hand.execute(change.format(table))


def test_datastream_numbers_are_not_reused_after_a_deletion(store, file):
    """Readings know a series by number only, so a number never means another series."""

    def stream(name: str) -> Datastream:
        return Datastream(thing="lab:post", observed_property=name, introduced_at=NOW)

    last, following = stream("no2"), stream("o3")
    with store.work() as work:
        work.things.add([a_thing()])
        work.things.add_datastreams([last])
    with closing(sqlite3.connect(file)) as by_hand, by_hand:
        by_hand.execute("DELETE FROM datastream")
    with store.work() as work:
        work.things.add_datastreams([following])

    assert (last.number or 0) + 1 == following.number


def test_migrations_make_what_the_tables_say(store):
    """Columns, types, references, indexes and checks: written down twice, and the same."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
        wanted = _schema(connection.exec_driver_sql)
    with store._engine.connect() as connection:
        migrated = _schema(connection.exec_driver_sql)
        compared = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    engine.dispose()

    assert [] == compared
    assert wanted == migrated


def _schema(execute) -> dict[str, set[str]]:
    """Read each table's or index's parts, in whatever order and on whatever lines they stand."""
    rows = execute(
        "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL"
        " AND name NOT LIKE 'sqlite_%' AND name <> 'alembic_version'"
    )
    return {
        name: {re.sub(r"\s+", " ", part).strip(" ,") for part in re.split(r"\n|, ", sql)}
        for name, sql in rows
    }


def test_upgrading_twice_is_harmless(store, file):
    """The second upgrade finds nothing to do and touches no row."""
    with store.work() as work:
        work.things.add([a_thing()])

    with (
        closing(SqlCivicStore.open(f"sqlite:///{file}", migrate=True)) as again,
        again.work(write=False) as work,
    ):
        kept = [one.key for one in work.things.all()]

    assert ["lab:post"] == kept


def test_a_database_without_tables_names_the_command(file):
    """Whoever forgot to upgrade is told how."""
    with pytest.raises(StoreUnavailableError, match="run `livinglab db upgrade`"):
        SqlCivicStore.open(f"sqlite:///{file}")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("migrate", [True, False])
def test_a_newer_schema_is_left_alone(file, migrate):
    """An older lab neither uses nor downgrades what a newer one has written."""
    with closing(sqlite3.connect(file)) as by_hand, by_hand:
        by_hand.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreUnavailableError, match=r"9999.*a newer lab"):
        SqlCivicStore.open(f"sqlite:///{file}", migrate=migrate)


def test_a_folder_that_is_missing_is_named_as_the_cause(tmp_path):
    """The error says what to check; SQLAlchemy's own never comes out."""
    with pytest.raises(StoreUnavailableError, match="check that the folder exists"):
        SqlCivicStore.open(f"sqlite:///{tmp_path}/nowhere/civic.sqlite", migrate=True)


def test_a_file_that_is_no_database_is_not_touched(file):
    """Something else of that name stays as it was."""
    file.write_text("somebody's letter, long enough to be read as the head of a database " * 20)
    before = file.read_bytes()

    with pytest.raises(StoreUnavailableError, match="not a database"):
        SqlCivicStore.open(f"sqlite:///{file}", migrate=True)

    assert before == file.read_bytes()


@pytest.mark.parametrize("url", ["sqlite://", "mysql://host/db", "no url at all"])
def test_a_url_that_names_no_usable_database_is_a_setting_to_mend(url):
    """It is the caller's to change: waiting would not help."""
    with pytest.raises(SettingsError, match="LIVINGLAB_CIVIC"):
        SqlCivicStore.open(url)


def test_a_full_disk_undoes_and_says_so(store):
    """What did not fit is gone as a whole; what was there stays."""
    with store.work() as work:
        work.things.add([a_thing()])

    @event.listens_for(store._engine, "begin")
    def no_room(connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # as full as it is now

    with pytest.raises(StoreUnavailableError, match="free some space"), store.work() as work:
        work.things.add([a_thing(f"{n:04}") for n in range(5_000)])
    with store.work(write=False) as work:
        kept = [one.key for one in work.things.all()]

    assert ["lab:post"] == kept


_ADDING_FOR_EVER = """
import sys
from datetime import UTC, datetime
from livinglab.adapters.relational.unit_of_work import SqlCivicStore
from livinglab.domain.things import Thing, ThingState

store = SqlCivicStore.open(sys.argv[1])
for n in range(10**9):
    with store.work() as work:
        work.things.add([
            Thing(scheme="lab", external_id=f"{n}-{part}", state=ThingState.CONFIRMED,
                  route="lab", introduced_at=datetime(2026, 3, 2, tzinfo=UTC))
            for part in range(50)
        ])
    print(n, flush=True)
"""


def test_a_killed_writer_leaves_whole_transactions(store, file):
    """All fifty Things of a transaction or none; what was told as kept is there."""
    url = f"sqlite:///{file}"
    command = [sys.executable, "-c", _ADDING_FOR_EVER, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [int(next(writer.stdout)) for _ in range(5)]
        os.kill(writer.pid, signal.SIGKILL)
        told += [int(line) for line in writer.stdout]

    with store.work(write=False) as work:
        parts = [one.external_id.partition("-")[0] for one in work.things.all()]
    whole = {int(n): parts.count(n) for n in set(parts)}

    assert {50} == set(whole.values())
    assert set(told) <= set(whole)
