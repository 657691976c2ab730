"""Bench: 200,000 messages wait in a persistent session; how fast does each consumer drain it?

Every consumer gets a fresh session on a broker of its own, with the settings that ship, on the same
cores in the same run; several rounds, medians. Compare ratios: the machine is shared and noisy.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from rich.console import Console
from rich.table import Table

from ingest.pipeline import Pipeline
from livinglab.adapters.mqtt.client import PahoPublisher
from livinglab.adapters.mqtt.local import LocalBroker, free_port
from livinglab.adapters.mqtt.subscriber import BulkSubscriber
from livinglab.bootstrap import open_lab
from livinglab.config import Settings
from livinglab.services.watching import Pulse

BEGIN_MS = 1_767_225_600_000
THINGS = 50
screen = Console(stderr=True)


def messages(n: int) -> Iterator[tuple[str, bytes]]:
    """Yield payloads like those of a weather post, 50 Things in turn."""
    for k in range(n):
        body = {"v": 20 + (k % 100) / 10, "t": BEGIN_MS + (k // THINGS) * 1_000}
        yield f"lab/weather-post-{k % THINGS:04d}/temperature", json.dumps(body).encode()


@contextmanager
def filled(n: int, window: int, client_id: str) -> Iterator[LocalBroker]:
    """Have a broker in which n messages wait for a client."""
    with tempfile.TemporaryDirectory() as folder:
        broker = LocalBroker(Path(folder), port=free_port(), window=window, kind="mosquitto")
        broker.start()
        try:
            begin = ["mosquitto_sub", "-p", str(broker.port), "-i", client_id, "-c", "-q", "1"]
            subprocess.run([*begin, "-t", "lab/#", "-E"], check=True)
            publisher = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="filler")
            publisher.publish_many(messages(n))
            publisher.close()
            yield broker
        finally:
            broker.stop()


def cpu_of_children() -> float:
    """Return the CPU seconds of ended children."""
    times = os.times()
    return times.children_user + times.children_system


def into_duckdb(n: int, window: int) -> tuple[float, float]:
    """Drain with ingest into DuckDB and SQLite: decoded, checked, committed, acknowledged."""
    with filled(n, window, "ingest") as broker, tempfile.TemporaryDirectory() as folder:
        lab = open_lab(Settings(data=Path(folder)))
        subscriber = BulkSubscriber(
            host="127.0.0.1", port=broker.port, client_id="ingest", window=window
        )
        stop, done = Event(), 0

        class Counting:
            """Stops the pipeline once everything was acknowledged."""

            def __getattr__(self, name: str) -> object:
                return getattr(subscriber, name)

            def acknowledge(self, delivery: object) -> None:
                nonlocal done
                subscriber.acknowledge(delivery)  # type: ignore[arg-type]  # a Delivery passes through
                done += len(delivery.messages)  # type: ignore[attr-defined]  # likewise
                if done >= n:
                    stop.set()

        pipeline = Pipeline(lab, Counting(), stop=stop, pulse=Pulse())  # type: ignore[arg-type]  # a Broker but for one method
        begun, cpu = time.perf_counter(), time.process_time()
        pipeline.run()
        spent, used = time.perf_counter() - begun, time.process_time() - cpu
        stored = lab.readings.count()
        lab.close()
        if stored != n:
            sys.exit(f"of {n} Readings {stored} were stored")
        return n / spent, used / n * 1e6


def to_nowhere(n: int, window: int) -> tuple[float, float]:
    """Drain with mosquitto_sub, which throws everything away."""
    with filled(n, window, "nowhere") as broker:
        begun, cpu = time.perf_counter(), cpu_of_children()
        command = ["mosquitto_sub", "-p", str(broker.port), "-i", "nowhere", "-c", "-q", "1"]
        with Path(os.devnull).open("w") as nowhere:
            subprocess.run([*command, "-t", "lab/#", "-C", str(n)], stdout=nowhere, check=True)
        spent, used = time.perf_counter() - begun, cpu_of_children() - cpu
        return n / spent, used / n * 1e6


TELEGRAF = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = {batch}
  metric_buffer_limit = 200000
  omit_hostname = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:{mqtt}"]
  topics = ["lab/#"]
  topic_tag = ""
  qos = 1
  persistent_session = true
  client_id = "telegraf"
  max_undelivered_messages = {window}
  data_format = "json_v2"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "lab/+/+"
    tags = "_/thing/property"
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "reading"
    timestamp_path = "t"
    timestamp_format = "unix_ms"
    [[inputs.mqtt_consumer.json_v2.field]]
      path = "v"
      type = "float"
[[outputs.influxdb_v2]]
  urls = ["http://127.0.0.1:{http}"]
  token = "bench-token"
  organization = "lab"
  bucket = "readings"
"""


@contextmanager
def influxdb() -> Iterator[int]:
    """Have an empty InfluxDB 2; yield its port."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        server = subprocess.Popen(
            [
                "influxd",
                *("--bolt-path", f"{folder}/b", "--engine-path", f"{folder}/e"),
                *("--sqlite-path", f"{folder}/s", "--http-bind-address", f"127.0.0.1:{port}"),
                *("--log-level", "error"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            facts = {"username": "lab", "password": "bench-password", "org": "lab"}
            facts |= {"bucket": "readings", "token": "bench-token"}
            for _ in range(100):
                try:
                    ask(port, "/api/v2/setup", json.dumps(facts).encode())
                    break
                except OSError:
                    time.sleep(0.1)
            yield port
        finally:
            server.terminate()
            server.wait()


def ask(port: int, path: str, body: bytes | None = None) -> bytes:
    """Ask InfluxDB something."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body, {"Authorization": "Token bench-token"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - likewise
        found: bytes = answer.read()
    return found


def telegraf(n: int, window: int) -> tuple[float, float]:
    """Drain with Telegraf until InfluxDB holds every reading."""
    with filled(n, window, "telegraf") as broker, influxdb() as http:
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            conf.write(
                TELEGRAF.format(
                    mqtt=broker.port, http=http, window=window, batch=min(5_000, window)
                )
            )
            conf.flush()
            begun, cpu = time.perf_counter(), cpu_of_children()
            consumer = subprocess.Popen(
                ["telegraf", "--config", conf.name],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            query = "/query?db=readings&q=SELECT%20count(v)%20FROM%20reading"
            held, deadline = 0, time.monotonic() + 120
            while held < n and time.monotonic() < deadline:
                time.sleep(0.1)
                told = json.loads(ask(http, query))["results"][0]
                held = told["series"][0]["values"][0][1] if "series" in told else 0
            spent = time.perf_counter() - begun
            consumer.terminate()
            consumer.wait()
        used = cpu_of_children() - cpu
        if held < n:
            sys.exit(f"of {n} messages Telegraf brought {held}")
        return n / spent, used / n * 1e6


def main() -> None:
    """Run every consumer that is here, several rounds, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", type=int, nargs="+", default=[1_000, 10_000])
    options = parser.parse_args()
    table = Table(title=f"{options.messages:,} messages, {options.rounds} rounds, medians")
    for name in ("consumer", "window", "messages/s", "µs CPU a message", "of mosquitto_sub"):
        table.add_column(name, justify="left" if name == "consumer" else "right")
    consumers: dict[str, Callable[[int, int], tuple[float, float]]] = {
        "mosquitto_sub to nowhere": to_nowhere,
        "ingest into DuckDB, checked": into_duckdb,
    }
    if shutil.which("telegraf") and shutil.which("influxd"):
        consumers["Telegraf into InfluxDB"] = telegraf
    else:
        screen.print("telegraf and influxd are not on PATH: left out")
    for window in options.windows:
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in consumers}
        for round_ in range(options.rounds):
            for name, drain in consumers.items():
                results[name].append(drain(options.messages, window))
                screen.print(f"round {round_ + 1}: {name}: {results[name][-1][0]:,.0f}/s")
        ceiling = statistics.median(rate for rate, _ in results["mosquitto_sub to nowhere"])
        for name, found in results.items():
            rate = statistics.median(rate for rate, _ in found)
            cpu = statistics.median(cpu for _, cpu in found)
            table.add_row(
                name, f"{window:,}", f"{rate:,.0f}", f"{cpu:.1f}", f"{rate / ceiling:.2f}"
            )
    Console().print(table)


if __name__ == "__main__":
    main()
