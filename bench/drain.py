"""Bench: messages wait in a persistent session; how fast does each consumer drain them?

The backlog is made once and laid before every consumer anew: the same session of a mosquitto with
the settings that ship, the same two cores, in turn, several rounds, medians. A consumer is done
when its store holds every Reading. Compare ratios: the machine is shared and noisy.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from ingest.pipeline import Pipeline
from livinglab.adapters.mqtt.client import PahoPublisher
from livinglab.adapters.mqtt.local import LocalBroker, free_port
from livinglab.adapters.mqtt.subscriber import BulkSubscriber
from livinglab.bootstrap import open_lab
from livinglab.config import LOCAL_WINDOW, CityFile, Settings, empty_city
from livinglab.domain.ledger import Tally
from livinglab.services.watching import Pulse
from livinglab.wire.routes import Route

BEGIN_MS = 1_767_225_600_000
THINGS = 50
CLIENT = "consumer"
TOKEN = "bench-token"  # noqa: S105 - of a server that lives for seconds
screen = Console(stderr=True)


class Workload(NamedTuple):
    """What waits, and how each consumer is told to read it."""

    message: Callable[[int], tuple[str, bytes]]
    per_message: int
    """Readings that one message holds."""
    route: Route
    telegraf: str
    """Sections of Telegraf's configuration that read it."""


def _own(k: int) -> tuple[str, bytes]:
    body = {"v": 20 + (k % 100) / 10, "t": BEGIN_MS + (k // THINGS) * 1_000}
    return f"lab/weather-post-{k % THINGS:04d}/temperature", json.dumps(body).encode()


def _santander(k: int) -> tuple[str, bytes]:
    time_ = datetime.fromtimestamp(BEGIN_MS / 1_000 + k // THINGS, UTC)
    node = {
        "ayto:temperature": f"{20 + (k % 100) / 10:.1f}",
        "ayto:light": f"{300 + k % 50}.0",
        "ayto:noise": f"{50 + k % 20}.5",
        "ayto:battery": "87.0",
        "ayto:latitude": "43.46",
        "ayto:longitude": f"-3.{800 + k % THINGS}",
        "dc:modified": f"{time_:%Y-%m-%dT%H:%M:%SZ}",
        "dc:identifier": str(3_000 + k % THINGS),
    }
    return f"santander/node-{k % THINGS:04d}/environment", json.dumps(node).encode()


WORKLOADS = {
    "lab": Workload(
        _own,
        1,
        Route(name="lab", filter="lab/{thing}/{property}", format="lab", scheme="lab"),
        """
  topics = ["lab/#"]
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
""",
    ),
    "santander-environment": Workload(
        _santander,
        4,
        Route(
            name="nodes",
            filter="santander/{gateway}/environment",
            format="santander-environment",
            scheme="santander",
            confirm=True,
        ),
        """
  topics = ["santander/#"]
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "reading"
    timestamp_path = "dc\\\\:modified"
    timestamp_format = "2006-01-02T15:04:05Z"
    [[inputs.mqtt_consumer.json_v2.tag]]
      path = "dc\\\\:identifier"
      rename = "thing"
    [[inputs.mqtt_consumer.json_v2.field]]
      path = "ayto\\\\:temperature"
      rename = "v"
      type = "float"
    [[inputs.mqtt_consumer.json_v2.field]]
      path = "ayto\\\\:light"
      rename = "light"
      type = "float"
    [[inputs.mqtt_consumer.json_v2.field]]
      path = "ayto\\\\:noise"
      rename = "noise"
      type = "float"
    [[inputs.mqtt_consumer.json_v2.field]]
      path = "ayto\\\\:battery"
      rename = "battery"
      type = "float"
""",
    ),
}


class Result(NamedTuple):
    """What one consumer needed once."""

    rate: float
    """Messages a second, until the store holds them."""
    cpu_us: float
    """CPU of the consumer alone, a message. [µs]"""
    peak_mb: float
    """Of the consumer alone. [MiB]"""


@contextmanager
def backlog(workload: Workload, n: int, window: int) -> Iterator[Path]:
    """Have the folder of a broker in which n messages wait for CLIENT."""
    with tempfile.TemporaryDirectory() as folder:
        broker = LocalBroker(Path(folder), port=free_port(), window=window, kind="mosquitto")
        broker.start()
        begin = ["mosquitto_sub", "-p", str(broker.port), "-i", CLIENT, "-c", "-q", "1", "-E"]
        subprocess.run([*begin, "-t", "lab/#", "-t", "santander/#"], check=True)
        publisher = PahoPublisher(host="127.0.0.1", port=broker.port, client_id="filler")
        publisher.publish_many(workload.message(k) for k in range(n))
        publisher.close()
        broker.stop()
        yield Path(folder)


@contextmanager
def waiting(filled: Path, window: int) -> Iterator[int]:
    """Have a broker with a copy of the backlog; yield its port."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(filled, folder, dirs_exist_ok=True)
        broker = LocalBroker(Path(folder), port=free_port(), window=window, kind="mosquitto")
        broker.start()
        try:
            yield broker.port
        finally:
            broker.stop()


def run(command: list[str], **options: object) -> Result:
    """Run a consumer that tells its own Result as the last line of its output."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, **options)  # type: ignore[call-overload]  # keywords pass through
    return Result(*json.loads(done.stdout.splitlines()[-1]))


def to_nowhere(port: int, n: int) -> Result:
    """Drain with mosquitto_sub, which throws everything away."""
    command = ["mosquitto_sub", "-p", str(port), "-i", CLIENT, "-c", "-q", "1", "-C", str(n)]
    with Path(os.devnull).open("w") as nowhere:
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        running = subprocess.Popen([*command, "-t", "lab/#", "-t", "santander/#"], stdout=nowhere)
        peak = peak_of(running)
        spent, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Result(n / spent, used / n * 1e6, peak)


def peak_of(running: "subprocess.Popen[bytes]", until: Callable[[], bool] | None = None) -> float:
    """Wait for a process, or until something holds; return the most memory it had. [MiB]"""
    peak = 0.0
    status = Path(f"/proc/{running.pid}/status")
    while running.poll() is None and not (until and until()):
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                peak = int(line.split()[1]) / 1_024
        time.sleep(0.02)
    return peak


def telegraf(port: int, http: int, workload: Workload, n: int, window: int) -> Result:
    """Drain with Telegraf until InfluxDB holds every message's first field."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write(
            TELEGRAF.format(mqtt=port, http=http, window=window, batch=min(5_000, window))
            + workload.telegraf
        )
        conf.flush()
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        consumer = subprocess.Popen(
            ["telegraf", "--config", conf.name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 300
        peak = peak_of(consumer, lambda: held(http) >= n or time.monotonic() > deadline)
        spent = time.perf_counter() - begun
        consumer.terminate()
        consumer.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if held(http) < n:
        sys.exit(f"of {n} messages Telegraf brought {held(http)}")
    return Result(n / spent, used / n * 1e6, peak)


TELEGRAF = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = {batch}
  metric_buffer_limit = 400000
  omit_hostname = true
[[outputs.influxdb_v2]]
  urls = ["http://127.0.0.1:{http}"]
  token = "bench-token"
  organization = "lab"
  bucket = "readings"
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:{mqtt}"]
  topic_tag = ""
  qos = 1
  persistent_session = true
  client_id = "consumer"
  max_undelivered_messages = {window}
  data_format = "json_v2"
"""


def held(http: int) -> int:
    """Count what Telegraf brought."""
    query = "/query?db=readings&q=SELECT%20count(v)%20FROM%20reading"
    told = json.loads(ask(http, query))["results"][0]
    return int(told["series"][0]["values"][0][1]) if "series" in told else 0


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
            facts |= {"bucket": "readings", "token": TOKEN}
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
        f"http://127.0.0.1:{port}{path}", body, {"Authorization": f"Token {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own server
        found: bytes = answer.read()
    return found


def ours(port: int, readings: str, name: str, n: int, window: int) -> Result:
    """Drain with ingest, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "token"
        secret.write_text(TOKEN, encoding="utf-8")
        environment = os.environ | {
            "LIVINGLAB_DATA": folder,
            "LIVINGLAB_READINGS": readings,
            "LIVINGLAB_INFLUXDB_TOKEN_FILE": str(secret),
        }
        consume_ = ["--consume", str(port), "--workload", name, "--messages", str(n)]
        return run([sys.executable, __file__, *consume_, "--window", str(window)], env=environment)


def consume(port: int, workload: Workload, n: int, window: int) -> None:
    """Be ingest for n messages: decode, check, commit, account, acknowledge; tell the Result."""
    plain = empty_city()
    city = CityFile(city=plain.city, categories=plain.categories, routes=(workload.route,))
    lab = open_lab(Settings(), city=city)
    subscriber = BulkSubscriber(host="127.0.0.1", port=port, client_id=CLIENT, window=window)
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
    total = Tally()
    with lab.work(write=False) as work:
        for line in work.ledger.lines():
            total.add(line.tally)
    if total.stored != n * workload.per_message or total.unaccounted:
        sys.exit(f"of {n * workload.per_message} Readings {total.stored} were stored")
    lab.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    print(json.dumps([n / spent, used / n * 1e6, peak]))  # noqa: T201 - the Result


def main() -> None:
    """Run every consumer that is here, several rounds, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--window", type=int, default=LOCAL_WINDOW)
    parser.add_argument("--workload", choices=WORKLOADS, nargs="+", default=list(WORKLOADS))
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--consume", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    n, window = options.messages, options.window
    if options.consume:
        consume(options.consume, WORKLOADS[options.workload[0]], n, window)
        return
    servers = bool(shutil.which("telegraf") and shutil.which("influxd"))
    if not servers:
        screen.print("telegraf and influxd are not on PATH: left out")
    told = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "messages": n,
        "rounds": options.rounds,
        "window": window,
        "workloads": {
            name: measure(name, n, window, options.rounds, servers=servers)
            for name in options.workload
        },
    }
    if options.json:
        print(json.dumps(told, indent=1))  # noqa: T201 - data go to stdout
        return
    for name, medians in told["workloads"].items():
        show(name, medians, f"{n:,} messages, window {window:,}, {options.rounds} rounds, medians")


def measure(
    name: str, n: int, window: int, rounds: int, *, servers: bool
) -> dict[str, dict[str, float]]:
    """Return the medians of each consumer for one workload."""
    workload = WORKLOADS[name]
    results: dict[str, list[Result]] = {}

    def note(consumer: str, result: Result) -> None:
        results.setdefault(consumer, []).append(result)
        screen.print(f"{name}: {consumer}: {result.rate:,.0f}/s, {result.cpu_us:.1f} µs")

    with backlog(workload, n, window) as filled:
        for _ in range(rounds):
            with waiting(filled, window) as port:
                note("mosquitto_sub to nowhere", to_nowhere(port, n))
            with waiting(filled, window) as port:
                note("ingest into DuckDB", ours(port, "", name, n, window))
            if servers:
                with waiting(filled, window) as port, influxdb() as http:
                    where = f"influxdb://127.0.0.1:{http}/lab/readings"
                    note("ingest into InfluxDB", ours(port, where, name, n, window))
                with waiting(filled, window) as port, influxdb() as http:
                    note("Telegraf into InfluxDB", telegraf(port, http, workload, n, window))
    return {
        consumer: {
            field: statistics.median(getattr(one, field) for one in found)
            for field in Result._fields
        }
        for consumer, found in results.items()
    }


def show(name: str, medians: dict[str, dict[str, float]], caption: str) -> None:
    """Print a table beside the peer."""
    table = Table(title=f"{name}: {caption}")
    for column in ("consumer", "messages/s", "µs CPU a message", "peak MiB", "of Telegraf's rate"):
        table.add_column(column, justify="left" if column == "consumer" else "right")
    peer = medians.get("Telegraf into InfluxDB")
    for consumer, one in medians.items():
        share = f"{one['rate'] / peer['rate']:.2f}" if peer else ""
        table.add_row(
            consumer,
            f"{one['rate']:,.0f}",
            f"{one['cpu_us']:.1f}",
            f"{one['peak_mb']:.0f}",
            share,
        )
    Console().print(table)


if __name__ == "__main__":
    main()
