"""Bench: postings a second by a gateway, beside a bare endpoint that writes one row.

Both run under uvicorn in a process of their own, on SQLite files with full durability, and are
posted to over kept connections. The lab does all that a posting needs: key, idempotency, Place,
Contributor, histories and Incident. Postings that wait at the same time share a transaction, so the
ratio grows with the connections. Then so many postings a second come evenly, and what each took
counts from when it was due. Compare ratios: the machine is shared and noisy.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2 as httpx
from rich.console import Console
from rich.table import Table

from livinglab.bootstrap import open_lab
from livinglab.config import Settings
from livinglab.domain.places import Place
from livinglab.services.keying import new_key

PLACES = 5_000
SECRET = "bench-secret"  # noqa: S105 - of a lab that lives for a minute
BARE = """
import os, sqlite3, threading
from fastapi import FastAPI
from pydantic import BaseModel
app, local = FastAPI(), threading.local()
class Row(BaseModel):
    client_key: str
    text: str
@app.post("/observations", status_code=201)
def post(row: Row):
    if not hasattr(local, "db"):
        local.db = sqlite3.connect(os.environ["BARE"], timeout=20, isolation_level=None)
        local.db.execute("PRAGMA journal_mode=WAL"); local.db.execute("PRAGMA synchronous=FULL")
        local.db.execute("CREATE TABLE IF NOT EXISTS row (key TEXT PRIMARY KEY, text TEXT)")
    local.db.execute("INSERT INTO row VALUES (?, ?)", (row.client_key, row.text))
    return {"key": row.client_key}
"""
screen = Console(stderr=True)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int, environment: dict[str, str]) -> Iterator[str]:
    """Run a server until the context ends."""
    server = subprocess.Popen(command, env=os.environ | environment)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                httpx.get(f"{url}/openapi.json")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait()


def body(n: int) -> dict[str, object]:
    """A posting somewhere among the Places."""
    return {
        "client_key": str(uuid.uuid4()),
        "category": "street",
        "text": "",
        "point": [6 + (n * 7919 % 1_000) / 10_000, 45 + (n * 104_729 % 1_000) / 10_000],
    }


async def flood(url: str, seconds: float, clients: int, *, bare: bool) -> list[float]:
    """Post as fast as so many clients can; return what each posting took. [s]"""
    took: list[float] = []
    end = time.monotonic() + seconds
    headers = {} if bare else {"Authorization": f"Bearer {SECRET}"}

    async def client(first: int) -> None:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as asking:
            n = first
            while time.monotonic() < end:
                begun = time.perf_counter()
                answer = await asking.post("/observations", json=body(n))
                if answer.status_code != 201:  # noqa: PLR2004 - Created
                    sys.exit(f"refused: {answer.status_code} {answer.text[:200]}")
                took.append(time.perf_counter() - begun)
                n += clients

    await asyncio.gather(*(client(n) for n in range(clients)))
    return took


async def pace(url: str, seconds: float, rate: float) -> list[float]:
    """Post so many times a second, whoever waits; return what each took since it was due. [s]"""
    took: list[float] = []
    many = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, limits=many) as asking:
        begun = time.perf_counter() + 0.5

        async def post(n: int) -> None:
            due = begun + n / rate
            await asyncio.sleep(due - time.perf_counter())
            answer = await asking.post("/observations", json=body(n))
            if answer.status_code != 201:  # noqa: PLR2004 - Created
                sys.exit(f"refused: {answer.status_code} {answer.text[:200]}")
            took.append(time.perf_counter() - due)

        await asyncio.gather(*(post(n) for n in range(round(seconds * rate))))
    return took


def main() -> None:
    """Flood both, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rate", type=float, default=200, help="postings a second, evenly")
    parser.add_argument("--paced", type=float, default=60, help="for so many seconds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "lab")
        lab = open_lab(Settings(data=data, readings="memory:"))
        with lab.work() as work:
            for n in range(PLACES):
                x, y = n % 71, n // 71
                work.places.add(Place(key=f"p{n}", name=f"P{n}", lon=6 + x / 700, lat=45 + y / 700))
            work.keys.add(new_key("bench", "submit", SECRET, datetime.now(UTC)))
        lab.close()
        module = Path(folder, "bare.py")
        module.write_text(BARE)
        runs = {
            "bare": (
                [sys.executable, "-m", "uvicorn", "bare:app", "--app-dir", folder],
                {"BARE": str(Path(folder, "bare.sqlite"))},
            ),
            "lab": (
                [sys.executable, "-m", "livinglab", "api"],
                {"LIVINGLAB_DATA": str(data), "LIVINGLAB_READINGS": "memory:"},
            ),
        }
        for name, (command, environment) in runs.items():
            port = free_port()
            quiet = ["--log-level", "warning"] if name == "bare" else []
            with serving([*command, "--port", str(port), *quiet], port, environment) as url:
                took = asyncio.run(
                    flood(url, options.seconds, options.clients, bare=name == "bare")
                )
                found[name] = _told(took, options.seconds)
                if name == "lab":
                    evenly = asyncio.run(pace(url, options.paced, options.rate))
                    found["lab, evenly"] = _told(evenly, options.paced)
        sent = found["lab"]["postings"] + found["lab, evenly"]["postings"]
        lost = sent - _count(data)
    if options.json:
        sys.stdout.write(
            json.dumps({"cores": os.cpu_count(), "lost": lost, **found}, indent=1) + "\n"
        )
        return
    table = Table(title=f"{options.clients} clients, {PLACES:,} Places, {os.cpu_count()} cores")
    for column in ("", "postings/s", "median ms", "p99 ms", "postings"):
        table.add_column(column, justify="right")
    for name, one in found.items():
        table.add_row(
            name,
            f"{one['per_s']:.0f}",
            f"{one['median_ms']:.1f}",
            f"{one['p99_ms']:.1f}",
            f"{one['postings']:,}",
        )
    Console().print(table)
    ratio = found["lab"]["per_s"] / found["bare"]["per_s"]
    screen.print(f"ratio {ratio:.2f}, lost {lost}")


def _told(took: list[float], seconds: float) -> dict[str, float]:
    return {
        "postings": len(took),
        "per_s": len(took) / seconds,
        "median_ms": statistics.median(took) * 1_000,
        "p99_ms": statistics.quantiles(took, n=100)[98] * 1_000,
    }


def _count(data: Path) -> int:
    lab = open_lab(Settings(data=data, readings="memory:"))
    with lab.work(write=False) as work:
        n = work.observations.count()
    lab.close()
    return n


if __name__ == "__main__":
    main()
