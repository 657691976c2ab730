"""A real influxd for tests: on a free port, with a bucket for each, ended with the session."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest

from livinglab.adapters.mqtt.local import free_port
from livinglab.adapters.timeseries.influxdb import InfluxDBReadingStore

ORG, TOKEN = "lab", "livinglab-token"
PATIENCE_S = 20.0


class InfluxDB:
    """A server that this process started, can kill, start again, and ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.start()
        facts = {"username": "lab", "password": "livinglab1", "org": ORG, "bucket": "first"}
        self.org_id = self.ask("/api/v2/setup", facts | {"token": TOKEN})["org"]["id"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {
            "bolt-path": self.folder / "bolt",
            "engine-path": self.folder / "engine",
            "sqlite-path": self.folder / "sqlite",
            "http-bind-address": f"127.0.0.1:{self.port}",
            "log-level": "error",
            "reporting-disabled": "true",
        }
        self.process = subprocess.Popen(
            ["influxd", *(f"--{name}={value}" for name, value in options.items())],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            with suppress(OSError):
                self.ask("/health")
                return
            time.sleep(0.05)
        self.stop()
        raise TimeoutError("influxd does not answer")

    def kill(self) -> None:
        """End it as a power cut would."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def ask(
        self, path: str, facts: Mapping[str, object] | None = None, method: str | None = None
    ) -> Any:
        """Ask past the store."""
        body = None if facts is None else json.dumps(facts).encode()
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read() or b"{}")

    def bucket(self, *, keeps_s: int = 0, org_id: str = "", name: str = "") -> str:
        """Make a bucket and return its name."""
        name = name or f"bucket-{uuid4().hex[:12]}"
        rules = [{"type": "expire", "everySeconds": keeps_s}]
        facts = {"orgID": org_id or self.org_id, "name": name, "retentionRules": rules}
        self.ask("/api/v2/buckets", facts)
        return name

    def keep(self, bucket: str, seconds: int) -> None:
        """Change how long a bucket keeps its rows."""
        found = self.ask(f"/api/v2/buckets?name={bucket}&org={ORG}")["buckets"]
        rule = {"everySeconds": seconds, "shardGroupDurationSeconds": seconds}
        rules = [{"type": "expire"} | rule]
        self.ask(f"/api/v2/buckets/{found[0]['id']}", {"retentionRules": rules}, method="PATCH")

    def write(self, bucket: str, line: str) -> None:
        """Write past the store."""
        url = f"{self.url}/api/v2/write?org={ORG}&bucket={bucket}&precision=ms"
        headers = {"Authorization": f"Token {TOKEN}"}
        request = urllib.request.Request(url, line.encode(), headers)
        urllib.request.urlopen(request, timeout=PATIENCE_S).close()

    def store(self, bucket: str, timeout_s: float = 24.0) -> InfluxDBReadingStore:
        """Open a store that keeps Readings in a bucket."""
        return InfluxDBReadingStore(
            self.url, org=ORG, bucket=bucket, token=TOKEN, timeout_s=timeout_s
        )


@contextmanager
def running() -> Iterator[InfluxDB]:
    """Have a server of one's own."""
    if shutil.which("influxd") is None:
        pytest.skip("influxd is not on this machine")
    with TemporaryDirectory() as folder:
        server = InfluxDB(Path(folder))
        try:
            yield server
        finally:
            server.stop()


@cache
def shared() -> InfluxDB:
    """Return the one server of all tests of this session, started when the first needs it."""
    return session.enter_context(running())


session = ExitStack()
"""Ends with the session: see `conftest`."""
