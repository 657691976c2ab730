"""The pipeline: one loop on one thread reads, decodes, checks, stores, and then acknowledges."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

import structlog

from livinglab.bootstrap import Lab, open_recorder
from livinglab.errors import StoreUnavailableError
from livinglab.ports import Broker, Delivery
from livinglab.services.recording import DROPPED_TOPIC, Recorder
from livinglab.services.watching import Pulse

log = structlog.get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
REFRESH_S = 1.0
"""How often the registry is compared with the database. [s]"""

Made = TypeVar("Made")


class _StoppedError(Exception):
    """The lab ends while a store is away: the batch stays the broker's."""


class Pipeline:
    """Takes what a broker delivers until it is told to stop."""

    def __init__(self, lab: Lab, broker: Broker, *, stop: Event, pulse: Pulse) -> None:
        """Bind a lab to a broker."""
        self.recorder: Recorder = open_recorder(lab)
        self.broker = broker
        self.stop = stop
        self.pulse = pulse
        self._refreshed = -REFRESH_S

    def run(self) -> None:
        """Record until the stop event is set; whatever is unfinished then stays unacknowledged.

        Raises:
            BrokerUnavailableError: The broker refuses us for good.
        """
        self.pulse.running = True
        try:
            filters = [*self.recorder.router.filters(), DROPPED_TOPIC.decode()]
            for delivery in self.broker.deliveries(filters, until=self.stop):
                self._take(delivery)
        except _StoppedError:
            log.info("ingest_stopped_while_store_away")
        except BaseException as error:
            self.pulse.failed = f"{type(error).__name__}: {error}"
            log.error("ingest_failed", error=self.pulse.failed)  # noqa: TRY400 - re-raised with its trace
            raise
        finally:
            self.pulse.running = False
            self.broker.close()

    def _take(self, delivery: Delivery) -> None:
        """Carry one batch through; acknowledging is the last line."""
        self.pulse.batch_since = time.monotonic()
        self.pulse.batch_messages = len(delivery.messages)
        if self.pulse.batch_since - self._refreshed >= REFRESH_S:
            self._insist(self.recorder.registry.refresh)
            self._refreshed = self.pulse.batch_since
        recorder = self.recorder
        intake = self._insist(lambda: recorder.decode(delivery.messages, backlog=delivery.backlog))
        self._insist(lambda: recorder.register(intake))
        began = time.monotonic()
        appended = self._insist(lambda: recorder.store(intake))
        self.pulse.commit_s = time.monotonic() - began
        self._insist(lambda: recorder.settle(intake, appended))
        self.broker.acknowledge(delivery)
        self.pulse.batches += 1
        self.pulse.dropped_by_broker = recorder.dropped_by_broker
        self.pulse.probed = recorder.probed
        self.pulse.batch_since = None

    def _insist(self, step: Callable[[], Made]) -> Made:
        """Repeat a step while its store is away, keeping the session alive; say so once."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                done = step()
            except StoreUnavailableError as error:
                if self.pulse.store_away_since is None:
                    self.pulse.store_away_since = time.monotonic()
                    log.warning("store_lost", part=error.part, problem=error.problem)
                if self.stop.is_set():
                    raise _StoppedError from error
                self.broker.rest(pause, until=self.stop)
                pause = min(LONGEST_PAUSE_S, 2 * pause)
            else:
                if self.pulse.store_away_since is not None:
                    away = time.monotonic() - self.pulse.store_away_since
                    log.info("store_came_back", away_s=round(away, 1))
                    self.pulse.store_away_since = None
                    self.pulse.batch_since = time.monotonic()
                return done


@contextmanager
def recording(lab: Lab, broker: Broker, pulse: Pulse) -> Iterator[Future[None]]:
    """Record what Things publish for as long as the context lasts."""
    stop = Event()
    pipeline = Pipeline(lab, broker, stop=stop, pulse=pulse)
    with ThreadPoolExecutor(1, thread_name_prefix="ingest") as threads:
        running = threads.submit(pipeline.run)
        try:
            yield running
        finally:
            stop.set()
            running.result()
