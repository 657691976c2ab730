"""The watchdog: is ingest alive, does the broker deliver, and which Datastreams fell silent?"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import structlog

from livinglab.bootstrap import Lab
from livinglab.domain.things import ThingState
from livinglab.errors import LabError
from livinglab.ports import Publisher
from livinglab.services.recording import PROBE_LEVEL
from livinglab.services.watching import Pulse, is_stale
from livinglab.wire.routes import Route

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
PROBE_EVERY_S = 60.0
PROBE_PATIENCE_S = 30.0
STALE_EVERY_S = 60.0


class Watchdog:
    """Looks after ingest from a thread of its own."""

    def __init__(
        self, lab: Lab, pulse: Pulse, publisher: Publisher | None, on_death: Callable[[str], None]
    ) -> None:
        """Bind a lab; *on_death* is told once why ingest cannot go on."""
        self.lab = lab
        self.pulse = pulse
        self.publisher = publisher
        self.on_death = on_death
        self._stale: set[str] = set()
        self._next_probe = 0.0
        self._next_stale = time.monotonic() + STALE_EVERY_S
        self._awaited: tuple[float, int] | None = None

    def run(self, stop: Event) -> None:
        """Look every second until told to stop."""
        while not stop.wait(LOOK_EVERY_S):
            now = time.monotonic()
            if trouble := self.pulse.trouble(now):
                log.error("ingest_died", reason=trouble)
                self.on_death(trouble)
                return
            try:
                self._probe(now)
                if now >= self._next_stale:
                    self._next_stale = now + STALE_EVERY_S
                    self._look_for_silence()
            except LabError as error:
                log.warning("watchdog_could_not_look", problem=str(error))

    def _probe(self, now: float) -> None:
        """Publish a probe every minute, and wonder when none comes back while all is quiet."""
        if self.publisher is None:
            return
        if self._awaited is not None:
            sent, before = self._awaited
            if self.pulse.probed > before:
                self._awaited, self.pulse.probe_lost = None, False
            elif now - sent > PROBE_PATIENCE_S and self.pulse.batch_since is None:
                self._awaited, self.pulse.probe_lost = None, True
                log.error("probe_lost", waited_s=round(now - sent))
        elif now >= self._next_probe:
            self._next_probe = now + PROBE_EVERY_S
            self._awaited = (now, self.pulse.probed)
            self.publisher.publish(probe_topic(self.lab.routes[0]), b"")

    def _look_for_silence(self) -> None:
        """Log each Datastream once when it falls silent, and once when it speaks again."""
        now = self.lab.clock.now()
        with self.lab.work(write=False) as work:
            confirmed = {t.key for t in work.things.all() if t.state is ThingState.CONFIRMED}
            watched = {d.number or 0: d for d in work.things.datastreams() if d.thing in confirmed}
        latest = self.lab.readings.latest(watched)
        stale = {
            watched[number].key
            for number, reading in latest.items()
            if is_stale(watched[number], reading.time, now)
        }
        if fallen := stale - self._stale:
            log.warning("datastreams_fell_silent", n=len(fallen), first=min(fallen))
        if back := self._stale - stale:
            log.info("datastreams_spoke_again", n=len(back), first=min(back))
        self._stale = stale


def probe_topic(route: Route) -> str:
    """Return a topic that a route's filter lets through, and that carries no measurement.

    ``lab/{thing}/{property}`` gives ``lab/livinglab/$probe``.
    """
    levels = route.filter.split("/")
    levels = ["livinglab" if one[:1] in {"{", "+", "#"} else one for one in levels]
    return "/".join([*levels[:-1], PROBE_LEVEL.decode().removeprefix("/")])


@contextmanager
def watching(
    lab: Lab, pulse: Pulse, publisher: Publisher | None, on_death: Callable[[str], None]
) -> Iterator[None]:
    """Watch over ingest for as long as the context lasts."""
    stop = Event()
    watchdog = Watchdog(lab, pulse, publisher, on_death)
    with ThreadPoolExecutor(1, thread_name_prefix="watchdog") as threads:
        running = threads.submit(watchdog.run, stop)
        try:
            yield
        finally:
            stop.set()
            running.result()
