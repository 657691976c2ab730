"""One service alone, for the deployed profile; each ends in order on SIGINT and SIGTERM."""

import gc
import signal
from contextlib import ExitStack
from pathlib import Path
from threading import Event

from livinglab.bootstrap import Lab, broker_address, open_broker, open_lab, open_publisher
from livinglab.cli.up import Wishes, run_up
from livinglab.config import Settings, read_settings
from livinglab.errors import SettingsError, UnavailableError
from livinglab.logging import configure_logging
from livinglab.services.watching import Pulse


def stop_on_signals() -> Event:
    """Return an event that SIGINT and SIGTERM set."""
    stop = Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: stop.set())
    return stop


def _settings_with_broker() -> Settings:
    settings = read_settings()
    configure_logging(settings.log, settings.log_level)
    if settings.broker == "local":
        raise SettingsError(
            "LIVINGLAB_BROKER", "a single service has no local broker", "name one, or use `up`"
        )
    return settings


def run_ingest() -> None:
    """Run ingest until a signal comes; a failure ends the process with an error."""
    from ingest.nightly import tidying  # noqa: PLC0415 - slow to import
    from ingest.pipeline import recording  # noqa: PLC0415 - likewise
    from ingest.watchdog import watching  # noqa: PLC0415 - likewise

    settings = _settings_with_broker()
    stop, pulse, died = stop_on_signals(), Pulse(), list[str]()

    def on_death(reason: str) -> None:
        died.append(reason)
        stop.set()

    with ExitStack() as running:
        lab = open_lab(settings)
        running.callback(lab.close)
        at = broker_address(settings)
        publisher = open_publisher(settings, at, f"{settings.client_id}-watchdog")
        running.callback(publisher.close)
        running.enter_context(recording(lab, open_broker(settings, at), pulse))
        running.enter_context(watching(lab, pulse, publisher, on_death))
        running.enter_context(tidying(lab))
        stop.wait()
    if died:
        raise UnavailableError("ingest", died[0], "its supervisor starts it again")


def run_api(host: str, port: int) -> None:
    """Serve pages and API until a signal comes."""
    import uvicorn  # noqa: PLC0415 - slow to import

    from api.app import create_app  # noqa: PLC0415 - likewise

    settings = read_settings()
    configure_logging(settings.log, settings.log_level)
    lab: Lab = open_lab(settings)
    try:
        app = create_app(lab)
        gc.collect()
        gc.freeze()  # what is there from the start stays: looking at it took a fifth of a posting
        uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
    finally:
        lab.close()


def run_simulate(
    town: str, *, speed: str, days: float | None, seed: int | None, data: Path | None
) -> int:
    """Simulate a town with a lab of its own; years pass only where the lab shares the clock."""
    settings = read_settings(data=data)
    if settings.broker != "local":
        raise SettingsError(
            "LIVINGLAB_BROKER",
            "a town's clock is its lab's, so it runs with an embedded lab only",
            "unset the variable",
        )
    return run_up(Wishes(town=town, speed=speed, days=days, seed=seed, data=data))
