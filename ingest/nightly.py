"""Nightly work: roll-ups, and months that ended laid down in order."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Event

import structlog

from livinglab.bootstrap import SEALED, Lab
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.errors import LabError
from livinglab.services.exporting import name_datastreams

log = structlog.get_logger()

EVERY_S = 3_600.0
"""How often roll-ups are brought up to date. [s]"""
LATE = timedelta(days=2)
"""A month is laid down only so long after its end: late data are normal."""


def tidy(lab: Lab) -> None:
    """Bring roll-ups up to date and lay down the months that ended; it may be done at any time.

    Raises:
        StoreUnavailableError: It is done again next time.
    """
    with lab.work(write=False) as work:
        datastreams = work.things.datastreams()
    aggregations = {
        one.number or 0: OBSERVED_PROPERTIES[one.observed_property].aggregation
        for one in datastreams
    }
    until = (lab.clock.now() - LATE).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    lab.readings.tidy(aggregations, until)
    name_datastreams(lab.settings.data / SEALED, datastreams)


@contextmanager
def tidying(lab: Lab) -> Iterator[None]:
    """Tidy every hour for as long as the context lasts."""
    stop = Event()

    def run() -> None:
        while not stop.wait(EVERY_S):
            try:
                tidy(lab)
            except LabError as error:
                log.warning("tidying_put_off", problem=str(error))

    with ThreadPoolExecutor(1, thread_name_prefix="nightly") as threads:
        running = threads.submit(run)
        try:
            yield
        finally:
            stop.set()
            running.result()
