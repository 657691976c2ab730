"""Nightly work: flags, what there is to learn, roll-ups, and months laid down in order."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from threading import Event

import structlog

from livinglab.bootstrap import SEALED, Lab, office_of
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.errors import LabError
from livinglab.services.aggregating import publish_due
from livinglab.services.checking import VERSION
from livinglab.services.exporting import name_datastreams
from livinglab.services.learning import learn_intervals
from livinglab.services.mailing import send_digests
from livinglab.services.notifying import ask_whether_fixed, forget_old
from livinglab.services.picturing import sweep
from livinglab.services.rechecking import note_version, recheck_due, redo_version

log = structlog.get_logger()

EVERY_S = 3_600.0
"""How often flags and roll-ups are brought up to date. [s]"""
LATE = timedelta(days=2)
"""A month is laid down only so long after its end: late data are normal."""


def look_after(lab: Lab, *, everything: bool = True) -> None:
    """Learn, judge what changed, tidy, publish months, and compare words with measurements.

    It may be done at any time.

    Args:
        lab: Whose Readings.
        everything: Also learn intervals again that were learned before, and compare.

    Raises:
        StoreUnavailableError: What is left is done next time.
    """
    learned = learn_intervals(lab.civic, lab.readings, again=everything)
    changed = recheck_due(lab.civic, lab.readings, lab.clock.now())
    left = redo_version(lab.civic, lab.readings)
    if learned or changed or left:
        log.info("quality_reviewed", intervals=len(learned), flags=changed, to_judge_anew=left)
    tidy(lab)
    if left_behind := sweep(lab.civic, lab.media):
        log.info("photos_swept", n=left_behind)
    published = publish_due(
        lab.civic, lab.categories, timezone=lab.city.timezone, now=lab.clock.now()
    )
    if published:
        log.info("aggregates_published", months=published)
    if everything:
        with lab.work() as work:
            ask_whether_fixed(work, lab.clock.now())
            forget_old(work, lab.clock.now())
        from livinglab.services.agreeing import compare_all  # noqa: PLC0415 - 60 MB, once a day

        found = compare_all(
            lab.civic,
            lab.readings,
            lab.categories,
            timezone=lab.city.timezone,
            now=lab.clock.now(),
        )
        log.info("agreement_computed", answers=found)


def write_letters(lab: Lab) -> None:
    """Send what is new to whoever has not heard of it today.

    Raises:
        UnavailableError: Who takes letters does not answer; the rest is sent next time.
    """
    if (office := office_of(lab)) and (sent := send_digests(office, lab.civic, lab.clock.now())):
        log.info("letters_sent", n=sent)


def tidy(lab: Lab) -> None:
    """Bring roll-ups up to date, lay down the months that ended, and drop what is not kept.

    It may be done at any time.

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
    if since := lab.city.keeps_since(lab.clock.now()):
        gone = lab.readings.forget(since)
        if gone:
            log.info("readings_forgotten", before=since.isoformat(), n=gone)
    name_datastreams(lab.settings.data / SEALED, datastreams)


@contextmanager
def tidying(lab: Lab) -> Iterator[None]:
    """Look after Readings every hour for as long as the context lasts; once a day, whole."""
    stop = Event()

    def run() -> None:
        _try(partial(_note_version, lab))
        done: date | None = None
        while not stop.wait(EVERY_S):
            today = lab.clock.now().date()
            if _try(partial(look_after, lab, everything=today != done)):
                done = today
            _try(partial(write_letters, lab))

    with ThreadPoolExecutor(1, thread_name_prefix="nightly") as threads:
        running = threads.submit(run)
        try:
            yield
        finally:
            stop.set()
            running.result()


def _note_version(lab: Lab) -> None:
    with lab.work() as work:
        if note_version(work, lab.clock.now()):
            log.info("quality_version_noted", version=VERSION)


def _try(work: Callable[[], None]) -> bool:
    """Do something that can be done later; tell whether it was done."""
    try:
        work()
    except LabError as error:
        log.warning("tidying_put_off", problem=str(error))
        return False
    return True
