"""What PostgreSQL itself has to guarantee: the promises of SQLite, to many, over a network."""

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date
from functools import partial
from pathlib import Path

import pytest
import trustme
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine

from livinglab.adapters.relational import tables
from livinglab.adapters.relational.engine import database_url, open_engine, ping, writing
from livinglab.adapters.relational.unit_of_work import SqlCivicStore
from livinglab.adapters.relational.vault import SqlVault
from livinglab.domain.contributors import Contact, Contributor
from livinglab.domain.ledger import LedgerLine, Quarantined, QuarantineState, Tally
from livinglab.domain.things import Datastream
from livinglab.errors import SettingsError, StoreUnavailableError
from livinglab.ports import CivicStore
from tests.civic_samples import (
    NOW,
    a_thing,
    an_observation,
    enter_one_of_each_history,
    enter_somebody_somewhere,
)
from tests.postgres_server import USER, PostgresServer


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """A fresh civic database."""
    return postgres.migrated()


@pytest.fixture
def store(url: str) -> Iterator[SqlCivicStore]:
    """A store on it."""
    with closing(SqlCivicStore.open(url)) as opened:
        yield opened


@pytest.fixture
def own() -> Iterator[PostgresServer]:
    """A durable server that nobody else uses, to be stopped and killed."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.remove()


def impatient(url: str) -> Engine:
    """Return an engine that waits for next to nothing."""
    return open_engine(
        database_url(url, "LIVINGLAB_CIVIC"), "civic data", patience_s=0.4, pragmas=()
    )


def refused(**facts: object) -> Quarantined:
    usual: dict[str, object] = {
        "reason": "bad_json",
        "detail": "nothing",
        "route": "lab",
        "topic": b"lab/x/no2",
        "payload": bytes(range(256)),
        "sha256": "2" * 64,
        "size": 1,
        "header": 0x32,
        "whole": True,
        "readings": 0,
        "first_seen": NOW,
        "last_seen": NOW,
    }
    return Quarantined(**(usual | facts))  # type: ignore[arg-type]  # facts are checked by use


def test_history_cannot_be_rewritten_by_hand(postgres, url, store):
    """Somebody with a database client is refused too, whatever they try."""
    with store.work() as work:
        enter_one_of_each_history(work)

    for table in ("location", "place_link", "status_event", "conflict"):
        for change in (
            f"UPDATE {table} SET number = 99",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
        ):
            with pytest.raises(Exception, match=f"{table} is append-only"):
                postgres.run(url, change)
        assert [(1,)] == postgres.run(url, f"SELECT count(*) FROM {table}")


def test_datastream_numbers_are_not_reused_after_a_deletion(postgres, url, store):
    """Readings know a series by number only, so a number never means another series."""

    def stream(name: str) -> Datastream:
        return Datastream(thing="lab:post", observed_property=name, introduced_at=NOW)

    last, following = stream("no2"), stream("o3")
    with store.work() as work:
        work.things.add([a_thing()])
        work.things.add_datastreams([last])
    postgres.run(url, "DELETE FROM datastream")
    with store.work() as work:
        work.things.add_datastreams([following])

    assert (last.number or 0) < (following.number or 0)


def test_a_change_by_hand_moves_the_registry_version(postgres, url, store):
    """Ingest notices it within a second, as any other change."""
    with store.work() as work:
        work.things.add([a_thing()])
    with store.work(write=False) as work:
        before = work.things.version()
    postgres.run(url, "UPDATE thing SET name = 'by hand'")
    with store.work(write=False) as work:
        after = work.things.version()

    assert before < after


_COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default, character_maximum_length
FROM information_schema.columns
WHERE table_schema = 'public' AND table_name <> 'alembic_version'
"""
_CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conname NOT LIKE 'alembic%'
"""
_INDEXES = """
SELECT tablename, indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename <> 'alembic_version'
"""
_SCHEMA = (_COLUMNS, _CONSTRAINTS, _INDEXES)


def test_migrations_make_what_the_tables_say(postgres, url, store):
    """Columns, types, references, indexes and checks: written down twice, and the same."""
    other = postgres.database()
    engine = impatient(other)
    with writing(engine).begin() as connection:
        tables.metadata.create_all(connection)
    engine.dispose()
    wanted = [sorted(map(tuple, postgres.run(other, asked))) for asked in _SCHEMA]
    migrated = [sorted(map(tuple, postgres.run(url, asked))) for asked in _SCHEMA]
    with store._engine.connect() as connection:
        compared = compare_metadata(MigrationContext.configure(connection), tables.metadata)

    assert [] == compared
    assert wanted == migrated


_UPGRADING = """
import sys
from livinglab.adapters.relational.unit_of_work import SqlCivicStore

print("ready", flush=True)
sys.stdin.readline()
SqlCivicStore.open(sys.argv[1], migrate=True).close()
"""


def test_two_that_upgrade_at_once_wait_for_each_other(postgres):
    """Two services start beside each other on an empty database: one migrates, both go on."""
    empty = postgres.database()
    command = [sys.executable, "-c", _UPGRADING, empty]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    for one in both:
        assert one.stdout is not None
        one.stdout.readline()
    for one in both:
        assert one.stdin is not None
        one.stdin.write(b"\n")
        one.stdin.flush()
    for one in both:
        one.communicate(timeout=60)

    assert [0, 0] == [one.returncode for one in both]
    SqlCivicStore.open(empty).close()


def test_a_database_without_tables_names_the_command(postgres):
    """Whoever forgot to upgrade is told how."""
    with pytest.raises(StoreUnavailableError, match="run `livinglab db upgrade`"):
        SqlCivicStore.open(postgres.database())


@pytest.mark.parametrize("migrate", [True, False])
def test_a_newer_schema_is_left_alone(postgres, url, migrate):
    """An older lab neither uses nor downgrades what a newer one has written."""
    postgres.run(url, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreUnavailableError, match=r"9999.*a newer lab"):
        SqlCivicStore.open(url, migrate=migrate)


def test_forty_who_post_at_once_all_succeed(store):
    """As many as the API has threads: none fails, no count is lost, no number given twice."""
    with store.work() as work:
        enter_somebody_somewhere(work)
        work.things.add([a_thing()])

    def post(_: int) -> tuple[int | None, int]:
        posted = an_observation()
        with store.work() as work:
            work.observations.add(posted)
            work.ledger.add([LedgerLine("lab", date(2026, 3, 2), Tally(messages=1))])
            thing = work.things.get("lab:post")
            thing.name = str(int(thing.name or 0) + 1)
            return posted.number, work.things.version()

    with ThreadPoolExecutor(40) as threads:
        told = list(threads.map(post, range(200)))
    with store.work(write=False) as work:
        [line] = work.ledger.lines()
        counted = work.things.get("lab:post").name

    assert 200 == line.tally.messages == int(counted)
    assert 200 == len({number for number, _ in told}) == len({version for _, version in told})
    assert [version for _, version in sorted(told)] == sorted(version for _, version in told)


def test_thousands_are_kept_at_once(store):
    """A thousand rows a statement, so that a flood of nonsense does not hold up the ingest."""
    flood = [refused(sha256=f"{n:064}") for n in range(2_500)]
    arrivals = [(b"lab/x", f"{n:064}", n) for n in range(10_000)]
    began = time.monotonic()
    with store.work() as work:
        work.quarantine.keep(flood)
        work.receive_log.remember(arrivals)
    took = time.monotonic() - began
    with store.work() as work:
        for one in work.quarantine.page(limit=3_000):
            one.state = QuarantineState.DROPPED
    with store.work() as work:
        work.quarantine.keep(flood)
    with store.work(write=False) as work:
        kept = work.quarantine.page(limit=3_000)
        found = work.receive_log.recall([(topic, sha256) for topic, sha256, _ in arrivals])

    assert [2] * 2_500 == [one.count for one in kept]
    assert {bytes(range(256))} == {one.payload for one in kept}
    assert {(topic, sha256): n for topic, sha256, n in arrivals} == found
    assert took < 5


def test_a_nul_in_words_is_shown_and_kept(store):
    """PostgreSQL's text cannot hold it, and a message may not fail for ever because of it."""
    with store.work() as work:
        work.quarantine.keep([refused(detail="bad \0 byte")])
    with store.work(write=False) as work:
        assert "bad \N{REPLACEMENT CHARACTER} byte" == work.quarantine.page()[0].detail


def test_instants_come_back_in_utc(postgres, url):
    """Even from a server that lives in another zone and writes dates its own way."""
    name = url.rpartition("/")[2]
    postgres.run(
        url,
        f"ALTER DATABASE {name} SET TimeZone = 'America/Lima'",
        f"ALTER DATABASE {name} SET DateStyle = 'German'",
        f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'",
    )
    with closing(SqlCivicStore.open(url)) as store:
        with store.work() as work:
            work.contributors.add(Contributor(pseudonym="p", created_at=NOW))
        with store.work(write=False) as work:
            found = work.contributors.get("p")

    assert found is not None
    assert (NOW, UTC) == (found.created_at, found.created_at.tzinfo)


def test_ping_tells_name_and_version(store):
    """For `livinglab doctor`."""
    assert store.ping().startswith("PostgreSQL 1")


def test_who_waits_too_long_for_another_writer_is_told(url):
    """And not left hanging; whoever was writing goes on."""
    engine = impatient(url)
    with writing(engine).begin():
        began = time.monotonic()
        with (
            pytest.raises(StoreUnavailableError, match="another program is writing"),
            writing(engine).begin(),
        ):
            pass
        took = time.monotonic() - began
    engine.dispose()

    assert took < 2


def test_the_vault_is_written_while_civic_data_are(url):
    """Both may live in one database, and neither waits for the other."""
    with (
        closing(SqlCivicStore.open(url)) as civic,
        closing(SqlVault(url)) as vault,
        civic.work() as work,
    ):
        enter_somebody_somewhere(work)
        vault.put(Contact(pseudonym="somebody", email="somebody@example.org"))

        assert vault.get("somebody") is not None


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("postgresql://lab:hush@127.0.0.1:{dead}/lab", r"127.0.0.1:\d+ .*refused.*PostgreSQL runs"),
        ("postgresql://lab:hush@127.0.0.1:{port}/lab", "role .*check the user and the password"),
        ("postgresql://postgres:hush@127.0.0.1:{port}/none", "does not exist; create it"),
        ("postgresql://lab:hush@host.invalid/lab", "host.invalid:5432"),
    ],
)
def test_a_server_that_cannot_be_used_is_named_with_a_remedy(postgres, wrong, told):
    """At once, and without the password."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and silent: nobody listens
        wrong = wrong.format(dead=taken.getsockname()[1], port=postgres.port)
        with pytest.raises(StoreUnavailableError, match=told) as caught:
            SqlCivicStore.open(wrong)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("postgresql://host/lab", "names no user"),
        ("postgresql://lab@host", "no database"),
        ("postgresql://lab@host/lab?sslmode=allow", "verify-full"),
        ("postgresql://lab@host/lab?channel_binding=require", "channel_binding"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_setting_to_mend(wrong, told):
    """It is the caller's to change: waiting would not help."""
    with pytest.raises(SettingsError, match=f"LIVINGLAB_CIVIC.*{told}"):
        SqlCivicStore.open(wrong)


@pytest.mark.parametrize(
    "spelt",
    [
        "postgres://{user}@localhost:{port}/{name}",
        "postgresql+pg8000://{user}@127.0.0.1:{port}/{name}?sslmode=disable",
        "postgresql://{user}@/{name}?host={folder}&port={port}",
        "postgresql://{user}@127.0.0.1:{port}/{name}?sslmode=prefer",
    ],
)
def test_urls_may_be_spelt_as_people_spell_them(postgres, url, spelt):
    """Over TCP or through the folder of a Unix socket."""
    name = url.rpartition("/")[2]
    spelt = spelt.format(user=USER, port=postgres.port, name=name, folder=postgres.folder)
    with closing(SqlCivicStore.open(spelt)) as store:
        assert store.ping()


def test_encryption_is_checked_as_far_as_the_url_asks():
    """`verify-full` wants the authority's word for the server's name; `require` any key."""
    authority = trustme.CA()
    server = PostgresServer(durable=False, ssl="on", ssl_cert_file="../pem", ssl_key_file="../pem")
    try:
        pem, root = server.folder / "pem", server.folder / "root.pem"
        issued = authority.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(pem)
        authority.cert_pem.write_to_path(root)
        pem.chmod(0o600)
        shutil.chown(pem, server.folder.owner())
        server.start()
        at = f"postgresql://{USER}@{{}}:{server.port}/postgres?sslmode={{}}"
        trusted = at.format("localhost", "verify-full") + f"&sslrootcert={root}"
        for good in (trusted, at.format("127.0.0.1", "require")):
            with closing(SqlVault(good)) as vault, vault._engine.connect() as connection:
                asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                assert connection.exec_driver_sql(asked).scalar_one()
        another_name = trusted.replace("localhost", "127.0.0.1")
        for bad in (another_name, at.format("localhost", "verify-full")):
            with pytest.raises(StoreUnavailableError, match="certificate verify failed"):
                SqlVault(bad)
    finally:
        server.remove()


def test_a_server_that_demands_no_key_refuses_who_wants_one(postgres):
    """Nobody is silently left without encryption."""
    with pytest.raises(StoreUnavailableError, match="refuses SSL"):
        SqlCivicStore.open(postgres.url() + "?sslmode=require")


def test_a_restart_of_the_server_costs_nobody_an_error(own):
    """What was connected before is replaced unnoticed."""
    with closing(SqlCivicStore.open(own.migrated())) as store:
        with store.work() as work:
            work.things.add([a_thing()])
        own.stop()
        with pytest.raises(StoreUnavailableError, match="nobody can be reached"):
            store.ping()
        own.start()
        with store.work(write=False) as work:
            kept = [one.key for one in work.things.all()]

    assert ["lab:post"] == kept


def test_a_server_that_falls_silent_is_given_up(own):
    """Within the deadline, whether it was connected before or not; later it is used again."""
    engine = impatient(own.migrated())
    ping(engine, "civic data")
    own.freeze()
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match=r"does not answer in time|timed out"):
            ping(engine, "civic data")
        assert time.monotonic() - began < 5
    own.thaw()

    assert ping(engine, "civic data").startswith("PostgreSQL")
    engine.dispose()


def add_fifty_for_ever(store: CivicStore, who: int, confirmed: list[str]) -> None:
    """Add fifty Things at a time until the store is away; note what was confirmed."""
    n = 0
    while True:
        n += 1
        try:
            with store.work() as work:
                work.things.add([a_thing(f"{who}-{n}-{part}") for part in range(50)])
        except StoreUnavailableError:
            return
        confirmed.append(f"{who}-{n}")


def holds(confirmed: list[str], enough: int) -> bool:
    return len(confirmed) >= enough


def wait_until(done: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_a_killed_server_keeps_what_it_confirmed_and_no_halves(own):
    """All fifty Things of a transaction or none; afterwards the store goes on by itself."""
    confirmed: list[str] = []
    with closing(SqlCivicStore.open(own.migrated())) as store:
        for life in range(3):
            enough = len(confirmed) + 5
            writers = [
                threading.Thread(
                    target=add_fifty_for_ever, args=(store, 10 * life + n, confirmed), name="writer"
                )
                for n in range(4)
            ]
            for one in writers:
                one.start()
            wait_until(partial(holds, confirmed, enough))
            own.kill()
            for one in writers:
                one.join(30)
            own.start()
        with store.work(write=False) as work:
            parts = [one.external_id.rpartition("-")[0] for one in work.things.all()]
    whole = {each: parts.count(each) for each in set(parts)}

    assert {50} == set(whole.values())
    assert set(confirmed) <= set(whole)
    assert len(whole) <= len(confirmed) + 3 * 4


def test_nothing_of_a_removed_server_is_left():
    """Neither a process nor a file."""
    server = PostgresServer(durable=False).start()
    assert server._process is not None
    pid = server._process.pid
    server.remove()

    assert [False, False] == [server.folder.exists(), Path(f"/proc/{pid}").exists()]
