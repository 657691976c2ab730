"""Up: the embedded lab in one process, and with a town its Things and citizens too."""

import json
import math
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import structlog
import uvicorn
from rich.console import Console
from rich.live import Live
from rich.table import Table

from api.app import create_app
from ingest.nightly import tidying
from ingest.pipeline import recording
from ingest.watchdog import watching
from livinglab.bootstrap import (
    BrokerAddress,
    Lab,
    broker_address,
    open_broker,
    open_lab,
    open_publisher,
    settable_clock,
    start_local_broker,
)
from livinglab.cli.asking import ADDRESS_FILE
from livinglab.config import CityFile, Settings, read_settings
from livinglab.domain.ledger import Tally
from livinglab.errors import PortBusyError, SettingsError
from livinglab.logging import configure_logging
from livinglab.ports import Publisher
from livinglab.services.keying import new_key
from livinglab.services.watching import Pulse
from simulators.running import TownSummary, run
from simulators.town import Town, read_town

log = structlog.get_logger()

DRAIN_PATIENCE_S = 60.0
"""How long the end waits for what the broker still holds. [s]"""
_screen = Console(stderr=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line asked for."""

    town: str | None = None
    data: Path | None = None
    port: int = 8000
    mqtt_port: int | None = None
    lan: bool = False
    seconds: float | None = None
    speed: str = "1"
    days: float | None = None
    seed: int | None = None


@dataclass(slots=True)
class Session:
    """A lab that is up."""

    lab: Lab
    url: str
    pulse: Pulse
    publisher: Publisher
    keys: dict[str, str]
    before: Tally
    observations_before: int
    stop: Event = field(default_factory=Event)
    died: str | None = None

    def tally(self) -> Tally:
        """Return what was counted since this session began."""
        now = total(self.lab)
        now.subtract(self.before)
        return now

    def observations(self) -> int:
        """Count the Observations since this session began."""
        with self.lab.work(write=False) as work:
            return work.observations.count() - self.observations_before


def total(lab: Lab) -> Tally:
    """Add up the whole ledger."""
    sum_ = Tally()
    with lab.work(write=False) as work:
        for line in work.ledger.lines():
            sum_.add(line.tally)
    return sum_


def run_up(wishes: Wishes) -> int:
    """Run the embedded lab until a signal comes or the time is over; return the exit code."""
    from livinglab.cli.services import stop_on_signals  # noqa: PLC0415 - services uses run_up

    settings = read_settings(data=wishes.data)
    configure_logging(settings.log, settings.log_level)
    speed = _speed(wishes.speed)
    town = read_town(wishes.town, seed=wishes.seed) if wishes.town else None
    if town is None and (speed != 1 or wishes.days or wishes.seed is not None):
        raise SettingsError("up", "--speed, --days and --seed need a town", "add --town NAME")
    stop = stop_on_signals()
    with ExitStack() as running:
        session = running.enter_context(_session(settings, wishes, town, speed, stop))
        _announce(session, wishes)
        if town is None:
            _watch(session, wishes, None)
            return _finish(session, None)
        with _living(session, town, speed, wishes) as life:
            _watch(session, wishes, life)
            stop.set()
            summary = life.result()
        return _finish(session, summary)


def _speed(text: str) -> float:
    try:
        speed = float("inf") if text == "max" else float(text)
    except ValueError:
        speed = 0.0
    if not speed >= 1:
        raise SettingsError("--speed", f"{text!r} is no speed", "use a number from 1 on, or max")
    return speed


@contextmanager
def _session(
    settings: Settings, wishes: Wishes, town: Town | None, speed: float, stop: Event
) -> Iterator[Session]:
    """Start every part in order, and end them in the other order."""
    host = "0.0.0.0" if wishes.lan else "127.0.0.1"  # noqa: S104 - asked for by --lan
    city: CityFile | None = town.city_file if town and settings.city is None else None
    clock = settable_clock(town.start) if town and speed > 1 else None
    with ExitStack() as parts:
        listener = parts.enter_context(_listener(host, wishes.port))
        lab = open_lab(settings, city=city, clock=clock)
        lab.even_clock = math.isfinite(speed)
        parts.callback(lab.close)
        at = parts.enter_context(_broker(settings, wishes))
        publisher = open_publisher(settings, at, "livinglab-up")
        parts.callback(publisher.close)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        keys = parts.enter_context(_keys(lab, url))
        pulse = Pulse()
        with lab.work(write=False) as work:
            observations = work.observations.count()
        session = Session(lab, url, pulse, publisher, keys, total(lab), observations, stop)
        parts.enter_context(recording(lab, open_broker(settings, at), pulse))
        parts.enter_context(_serving(lab, pulse, listener))

        def on_death(reason: str) -> None:
            session.died = reason
            stop.set()

        parts.enter_context(watching(lab, pulse, publisher, on_death))
        parts.enter_context(tidying(lab))
        yield session


@contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    """Take the port of the pages before anything else starts."""
    # Named as TCP: asyncio switches Nagle's delay off only for what says so, and 40 ms a request.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortBusyError(
            f"port {port}",
            "another program listens there",
            "stop it, or choose another with --port",
        ) from error
    with listener:
        yield listener


@contextmanager
def _broker(settings: Settings, wishes: Wishes) -> Iterator[BrokerAddress]:
    """Start the local broker, or name the one of the settings."""
    if settings.broker != "local":
        yield broker_address(settings)
        return
    with start_local_broker(settings, port=wishes.mqtt_port, lan=wishes.lan) as started:
        if wishes.mqtt_port is None and started.port != 1883:  # noqa: PLR2004 - MQTT's own port
            _screen.print(
                f"Port 1883 is taken by another program (Debian starts its own mosquitto there), "
                f"so the lab's broker listens on {started.port}."
            )
        if wishes.lan:
            _screen.print(f"Gateways enter as user {started.user}, password {started.password}.")
        yield started


@contextmanager
def _keys(lab: Lab, url: str) -> Iterator[dict[str, str]]:
    """Make keys for the commands and the town that live as long as the session."""
    made = {scope: secrets.token_urlsafe(32) for scope in ("admin", "moderate", "plan", "submit")}
    names = {scope: f"session-{scope}" for scope in made}
    with lab.work() as work:
        for scope, secret in made.items():
            work.keys.remove(names[scope])
            work.keys.add(new_key(names[scope], scope, secret, lab.clock.now()))
    path = lab.settings.data / ADDRESS_FILE
    lab.settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as address:
        json.dump({"url": url, "admin_key": made["admin"]}, address)
    try:
        yield made
    finally:
        path.unlink(missing_ok=True)
        with lab.work() as work:
            for name in names.values():
                work.keys.remove(name)


@contextmanager
def _serving(lab: Lab, pulse: Pulse, listener: socket.socket) -> Iterator[None]:
    """Serve pages and API from a thread of its own."""
    config = uvicorn.Config(
        create_app(lab, pulse=pulse),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, kwargs={"sockets": [listener]}, name="api")
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        yield
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _living(
    session: Session, town: Town, speed: float, wishes: Wishes
) -> Iterator[Future[TownSummary]]:
    """Let the town live in a thread of its own."""
    with ThreadPoolExecutor(1, thread_name_prefix="town") as threads:
        yield threads.submit(
            run,
            town,
            publisher=session.publisher,
            http_base=session.url,
            moderator_key=session.keys["moderate"],
            submit_key=session.keys["submit"],
            planner_key=session.keys["plan"],
            clock=session.lab.clock,
            speed=speed,
            days=wishes.days,
            stop=session.stop,
            received=lambda: session.tally().messages,
        )


def _announce(session: Session, wishes: Wishes) -> None:
    _screen.print(f"The lab is up: [bold]{session.url}[/bold]")
    if wishes.lan and (here := _own_address()):
        _screen.print(f"From the local network: {session.url.replace('127.0.0.1', here)}")
    if not wishes.seconds:
        _screen.print("Ctrl-C ends it.")


def _own_address() -> str | None:
    """Return our address in the local network; connecting a UDP socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation: the default route
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _watch(session: Session, wishes: Wishes, life: "Future[TownSummary] | None") -> None:
    """Show counters until the end: live on a terminal, a line every ten seconds elsewhere."""
    end = time.monotonic() + wishes.seconds if wishes.seconds else float("inf")
    with ExitStack() as shown:
        live = None
        if _screen.is_terminal:
            live = shown.enter_context(Live(console=_screen, auto_refresh=False, transient=True))
        next_line = time.monotonic() + 10
        while time.monotonic() < end and not session.stop.is_set():
            if life is not None and life.done():
                return
            session.stop.wait(min(1.0, max(0.0, end - time.monotonic())))
            if live is not None:
                live.update(_table(session), refresh=True)
            elif time.monotonic() >= next_line:
                next_line += 10
                _screen.print(_line(session.tally(), session.observations()))


def _line(tally: Tally, observations: int) -> str:
    return (
        f"messages {tally.messages}, Readings stored {tally.stored}, "
        f"quarantined {tally.quarantined_messages + tally.quarantined_readings}, "
        f"Observations {observations}"
    )


def _table(session: Session) -> Table:
    tally = session.tally()
    table = Table(title=f"{session.lab.city.name} · {session.url}", title_justify="left")
    table.add_column("since the lab is up")
    table.add_column("n", justify="right")
    for name, n in (
        ("messages received", tally.messages),
        ("Readings stored", tally.stored),
        ("Readings repeated or replaced", tally.duplicate + tally.replaced),
        ("quarantined messages", tally.quarantined_messages),
        ("quarantined Readings", tally.quarantined_readings),
        ("Observations", session.observations()),
    ):
        table.add_row(name, f"{n:,}")
    table.caption = f"town time {session.lab.clock.now():%Y-%m-%d %H:%M:%S} UTC"
    return table


def _finish(session: Session, summary: "TownSummary | None") -> int:
    """Wait for what is on its way, print both ledgers, and judge."""
    wanted = summary.acknowledged if summary else 0
    deadline = time.monotonic() + DRAIN_PATIENCE_S
    while summary and session.tally().messages < wanted and time.monotonic() < deadline:
        if session.pulse.failed:
            break
        time.sleep(0.05)
    tally = session.tally()
    lost = max(0, wanted - tally.messages)
    ignored = tally.retained + tally.probe + tally.rule
    rows = [
        ("messages", ""),
        ("  received", tally.messages),
        ("  = decoded", tally.decoded),
        ("  + ignored", ignored),
        ("  + quarantined whole", tally.quarantined_messages),
        ("Readings", ""),
        ("  decoded", tally.readings),
        ("  = stored", tally.stored),
        ("  + duplicate", tally.duplicate),
        ("  + replaced", tally.replaced),
        ("  + quarantined", tally.quarantined_readings),
        ("Observations", session.observations()),
        ("unaccounted", tally.unaccounted),
        ("lost", lost),
    ]
    for name, n in rows:
        print(f"{name:<24}{n:>12}")  # noqa: T201 - data go to stdout
    if session.died or session.pulse.failed:
        print(f"ingest ended: {session.died or session.pulse.failed}", file=sys.stderr)  # noqa: T201 - the reason of exit 1
        return 1
    return int(bool(tally.unaccounted or lost))
