"""The pipeline: one loop reads, decodes, checks, has stored, settles, and then acknowledges.

While a full batch is being stored, by a second thread, the loop reads and decodes the next one; it
settles and acknowledges in order, one batch after the other. On a quiet day no batch is full, and
each is acknowledged before the next is read.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import NamedTuple, TypeVar

import structlog

from livinglab.bootstrap import Lab, open_recorder
from livinglab.domain.readings import Appended
from livinglab.errors import StoreUnavailableError
from livinglab.ports import Broker, Delivery
from livinglab.services.gathering import Intake
from livinglab.services.recording import DROPPED_TOPIC, Recorder
from livinglab.services.watching import Pulse

log = structlog.get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
REFRESH_S = 1.0
"""How often the registry is compared with the database. [s]"""

Made = TypeVar("Made")


class _StoppedError(Exception):
    """The lab ends while a store is away: the batch stays the broker's."""


class _Pending(NamedTuple):
    """A batch that is being stored."""

    delivery: Delivery
    intake: Intake
    storing: Future[Appended]


class Pipeline:
    """Takes what a broker delivers until it is told to stop."""

    def __init__(self, lab: Lab, broker: Broker, *, stop: Event, pulse: Pulse) -> None:
        """Bind a lab to a broker."""
        self.recorder: Recorder = open_recorder(lab)
        self.even_clock = lab.even_clock
        self.broker = broker
        self.stop = stop
        self.pulse = pulse
        self._refreshed = -REFRESH_S
        self._pending: _Pending | None = None
        self._storing = ThreadPoolExecutor(1, thread_name_prefix="storing")

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
            self._finish()
        except _StoppedError:
            log.info("ingest_stopped_while_store_away")
        except BaseException as error:
            self.pulse.failed = f"{type(error).__name__}: {error}"
            log.error("ingest_failed", error=self.pulse.failed)  # noqa: TRY400 - re-raised with its trace
            raise
        finally:
            self._storing.shutdown()
            self.pulse.running = False
            self.broker.close()

    def _take(self, delivery: Delivery) -> None:
        """Begin one batch, and finish the one before."""
        if not delivery.messages:
            self._finish()
            return
        now = time.monotonic()
        if self.pulse.batch_since is None:
            self.pulse.batch_since = now
        self.pulse.batch_messages = len(delivery.messages)
        if now - self._refreshed >= REFRESH_S:
            self._insist(self.recorder.registry.refresh)
            self._refreshed = now
        recorder = self.recorder
        intake = self._insist(lambda: recorder.decode(delivery.messages, backlog=delivery.backlog))
        self._insist(lambda: recorder.register(intake))
        recorder.check(intake, live=self.even_clock and not delivery.backlog)
        self._finish()
        self.pulse.batch_since = self.pulse.batch_since or time.monotonic()
        self._pending = _Pending(delivery, intake, self._storing.submit(self._store, intake))
        if not delivery.full:
            self._finish()

    def _store(self, intake: Intake) -> Appended:
        begun = time.monotonic()
        appended = self.recorder.store(intake)
        self.pulse.commit_s = time.monotonic() - begun
        return appended

    def _finish(self) -> None:
        """Carry the batch that is being stored to its end; acknowledging is the last step."""
        if self._pending is None:
            return
        delivery, intake, storing = self._pending
        recorder = self.recorder
        try:
            appended = storing.result()
        except StoreUnavailableError:
            appended = self._insist(lambda: self._store(intake))
        self._insist(lambda: recorder.settle(intake, appended))
        self.broker.acknowledge(delivery)
        self._pending = None
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
