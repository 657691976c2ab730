"""History through the front door: killed in the middle, and beside a lab that runs."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from livinglab.adapters.mqtt.local import free_port

HEADER = "thing,property,time,value"
START = datetime(2020, 1, 1, tzinfo=UTC)
SPAN = ("--from", "2020-01-01T00:00:00Z", "--to", "2021-01-01T00:00:00Z")


def run(*arguments: str, data: Path, sent: str | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "livinglab", *arguments, "--data", str(data)],
        input=sent.encode() if sent is not None else None,
        capture_output=True,
        timeout=100,
        check=False,
    )


def history(rows: int) -> str:
    """Return Readings of one Thing, a minute apart."""
    minutes = (START + n * timedelta(minutes=1) for n in range(rows))
    lines = (f"t1,temperature,{at:%Y-%m-%dT%H:%M:%SZ},{at.minute / 2}" for at in minutes)
    return "\n".join([HEADER, *lines]) + "\n"


@contextmanager
def running(data: Path) -> Iterator[None]:
    """Run a lab on a data folder for as long as the context lasts."""
    ports = ("--port", str(free_port()), "--mqtt-port", str(free_port()))
    lab = subprocess.Popen(
        [sys.executable, "-m", "livinglab", "up", "--data", str(data), *ports],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while not (data / "lab.json").exists():
            assert lab.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield
    finally:
        lab.send_signal(signal.SIGINT)
        lab.wait(30)


def test_a_killed_import_goes_on_where_it_stopped(tmp_path):
    """After kill -9 between batches: nothing lost, nothing twice, and the summary tells of all."""
    data, file, rows = tmp_path / "lab", tmp_path / "history.csv", 120_000
    file.write_text(history(rows))
    command = ("import", "readings", str(file), "--json")
    first = subprocess.Popen(
        [sys.executable, "-m", "livinglab", *command, "--data", str(data)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while first.poll() is None and not list(data.glob("imports/*.checkpoint.json")):
        time.sleep(0.001)
    first.kill()
    assert -signal.SIGKILL == first.wait(30)

    second = run(*command, data=data)
    third = run(*command, data=data)

    [told], [again] = json.loads(second.stdout), json.loads(third.stdout)
    assert (0, 0) == (second.returncode, third.returncode)
    assert b"goes on at byte" in second.stderr
    assert (rows, rows, 0) == (told["rows"], told["stored"] + told["duplicate"], told["replaced"])
    assert (rows, 0) == (again["duplicate"], again["stored"])


def test_a_dry_run_stores_nothing(tmp_path):
    """It tells what would happen, in colour of its exit code too; the data folder is not made."""
    sent = f"{HEADER}\nt1,temperature,2020-01-01T00:00:00Z,20\nt1,temperature,never,20\n"

    done = run("import", "readings", "-", "--dry-run", "--json", data=tmp_path / "lab", sent=sent)

    [told] = json.loads(done.stdout)
    assert 1 == done.returncode
    assert ("standard input", 1, {"bad_time": 1}) == (
        told["file"],
        told["stored"],
        told["quarantined"],
    )
    assert not (tmp_path / "lab").exists()


def test_beside_a_running_lab(tmp_path):
    """The lab holds its file, so rows go in and come out over HTTP; the result is the same."""
    file, data = tmp_path / "history.csv", tmp_path / "lab"
    file.write_text(history(3_000) + "t1,temperature,never,20\n")
    with running(data):
        imported = run("import", "readings", str(file), "--json", data=data)
        confirmed = run("thing", "confirm", "--route", "import:long", data=data)
        exported = run("export", "readings", *SPAN, data=data)
        unknown = run("export", "readings", *SPAN, "--place", "moon", data=data)
    alone = run("export", "readings", *SPAN, data=data)
    parquet = run("export", "readings", *SPAN, "--format", "parquet", data=data)

    [told] = json.loads(imported.stdout)
    rows = list(csv.DictReader(io.StringIO(exported.stdout.decode())))
    assert (1, 0, 0, 1) == tuple(
        one.returncode for one in (imported, confirmed, exported, unknown)
    ), imported.stderr
    assert (3_001, 3_000, {"bad_time": 1}) == (told["rows"], told["stored"], told["quarantined"])
    assert 3_000 == len(rows)
    assert ("lab:t1", "2020-01-01T00:01:00.000Z", "0.5") == tuple(
        rows[1][name] for name in ("thing", "time", "result")
    )
    assert exported.stdout == alone.stdout
    (tmp_path / "e.parquet").write_bytes(parquet.stdout)
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT count(*), avg(result) FROM read_parquet(?)", [str(tmp_path / "e.parquet")]
        ).fetchone()
    assert (3_000, pytest.approx(14.75)) == found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "readings", "nowhere.csv"), "nowhere.csv"),
        (("import", "readings", os.devnull), "no column holds values"),
        (("import", "readings", os.devnull, "--layout", "atlantis"), "atlantis"),
        (("export", "readings", "--from", "yesterday"), "--from"),
        (("export", "readings", "--from", "2020-01-01T00:00:00"), "no zone"),
        (("export", "readings", *SPAN, "--format", "xlsx"), "xlsx"),
    ],
)
def test_what_cannot_work_says_why(tmp_path, arguments, said):
    """One sentence, exit code 2, and no lab left behind."""
    done = run(*arguments, data=tmp_path / "lab")

    assert 2 == done.returncode
    assert said in done.stderr.decode()
    assert not (tmp_path / "lab").exists()


def test_where_there_is_no_lab_nothing_is_exported(tmp_path):
    """A misspelt folder is no empty city."""
    done = run("export", "readings", *SPAN, data=tmp_path / "lab")

    assert (3, b"") == (done.returncode, done.stdout)
    assert not (tmp_path / "lab").exists()
