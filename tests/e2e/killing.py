"""What kill tests share: a lab in a process of its own, what is published to it, and the count."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from livinglab.adapters.relational.unit_of_work import SqlCivicStore
from livinglab.adapters.timeseries.duckdb import DuckDBReadingStore
from livinglab.domain.ledger import Tally
from livinglab.domain.readings import Interval, from_ms
from livinglab.ports import ReadingStore

TIMES = int(os.environ.get("LIVINGLAB_KILL_TIMES", "3"))
MESSAGES = int(os.environ.get("LIVINGLAB_KILL_MESSAGES", "20000"))
AWAY_S = float(os.environ.get("LIVINGLAB_KILL_AWAY_S", "8"))
THINGS = 50
BEGIN_MS = 1_767_225_600_000


class Lab:
    """An ingest process and what it leaves behind.

    Embedded, unless *settings* say where else its stores are.
    """

    def __init__(self, folder: Path, port: int, **settings: str) -> None:
        self.folder = folder
        self.civic_url = settings.get("LIVINGLAB_CIVIC", f"sqlite:///{folder / 'civic.sqlite'}")
        self.environment = os.environ | {
            "LIVINGLAB_DATA": str(folder),
            "LIVINGLAB_BROKER": f"mqtt://127.0.0.1:{port}",
            "LIVINGLAB_BROKER_WINDOW": "10000",
            "LIVINGLAB_PROVISION_LIMIT": str(THINGS),  # no more than there are: retries cost none
            **settings,
        }
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []

    def start(self) -> None:
        """Start it; its log comes to us, whatever becomes of its disk."""
        self.folder.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "livinglab", "ingest"],
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, args=(self.process.stderr,)).start()

    def _listen(self, log: IO[str]) -> None:
        with log:
            self.lines.extend(log)

    def end(self, by: signal.Signals) -> None:
        """End it and wait."""
        if self.process is not None:
            self.process.send_signal(by)
            self.process.wait(60)
            self.process = None

    def log(self) -> str:
        """Return what it logged."""
        return "".join(self.lines)

    def tally(self) -> Tally:
        """Add up the ledger, beside the running process."""
        total = Tally()
        try:
            store = SqlCivicStore.open(self.civic_url)
        except Exception:  # noqa: BLE001 - it is not there yet
            return total
        try:
            with store.work(write=False) as work:
                for line in work.ledger.lines():
                    total.add(line.tally)
        finally:
            store.close()
        return total

    def await_messages(self, n: int) -> Tally:
        """Wait until so many messages were settled and nothing more comes."""
        end = time.monotonic() + AWAY_S + 100
        before = Tally()
        while time.monotonic() < end:
            found = self.tally()
            if found.messages >= n and found == before:
                return found
            before = found
            time.sleep(1.0)
        pytest.fail(f"only {before.messages} of {n} messages were settled: {self.log()[-2_000:]}")


@contextmanager
def lab_on(folder: Path, port: int, **settings: str) -> Iterator[Lab]:
    """Have a lab that is ended whatever happens."""
    lab = Lab(folder, port, **settings)
    try:
        yield lab
    finally:
        lab.end(signal.SIGKILL)


def messages(start: int, n: int) -> Iterator[tuple[str, bytes]]:
    """Yield messages of which no two are for the same instant of the same Thing."""
    for k in range(start, start + n):
        body = {"v": k % 40, "t": BEGIN_MS + (k // THINGS) * 1_000}
        yield f"lab/t{k % THINGS}/temperature", json.dumps(body).encode()


def assert_exactly_once(lab: Lab, n: int, readings: ReadingStore | None = None) -> None:
    """Hold the store against what was published: every value at its instant, and no other."""
    lab.end(signal.SIGTERM)
    store = readings or DuckDBReadingStore(lab.folder / "readings.duckdb")
    civic = SqlCivicStore.open(lab.civic_url)
    try:
        with civic.work(write=False) as work:
            series = {one.thing: one.number or 0 for one in work.things.datastreams()}
        span = Interval(from_ms(BEGIN_MS), from_ms(BEGIN_MS + (n // THINGS + 1) * 1_000))
        found = {
            (thing, reading.time): reading.result
            for thing, number in series.items()
            for reading in store.between(number, span)
        }
        rows = store.count()
    finally:
        store.close()
        civic.close()
    wanted = {
        (f"lab:t{k % THINGS}", from_ms(BEGIN_MS + (k // THINGS) * 1_000)): float(k % 40)
        for k in range(n)
    }
    assert n == rows
    assert wanted == found


def wait_until_subscribed(lab: Lab) -> None:
    """Wait until the probe of the watchdog came back: then the session exists."""
    end = time.monotonic() + 60
    while lab.tally().probe == 0:
        assert time.monotonic() < end, lab.log()[-2_000:]
        time.sleep(0.2)


def resident_mb(pid: int) -> int:
    """Return the resident memory of a process. [MB]"""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1_024
    return 0
