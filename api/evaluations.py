"""Evaluations in the background: what was asked for is done one by one, and survives a restart."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from uuid import UUID

import structlog

from livinglab.bootstrap import Lab
from livinglab.errors import StoreUnavailableError

log = structlog.get_logger()

AGAIN_S = 10.0
"""Until an evaluation is tried again whose store was away. [s]"""


class _StoppedError(Exception):
    """The process ends; the evaluation is done after its next start."""


class Evaluations:
    """Does open evaluations on a thread of its own, in the order in which they were asked for."""

    def __init__(self, lab: Lab) -> None:
        """Begin nothing yet."""
        self._lab = lab
        self._stop = Event()
        self._steps: dict[UUID, str] = {}
        self._threads: ThreadPoolExecutor | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Do what an earlier process left open, and what `add` brings, until the context ends."""
        self._stop.clear()
        with ThreadPoolExecutor(1, thread_name_prefix="evaluations") as self._threads:
            with self._lab.work(write=False) as work:
                left = [one.id for one in work.initiatives.jobs() if one.open]
            for one in left:
                self.add(one)
            try:
                yield
            finally:
                self._stop.set()
                self._threads.shutdown(wait=False, cancel_futures=True)

    def add(self, job: UUID) -> None:
        """Put one in line that is kept already."""
        if self._threads is not None and not self._stop.is_set():
            self._threads.submit(self._do, job)

    def step(self, job: UUID) -> str:
        """Tell what is being done for one; empty while it waits."""
        return self._steps.get(job, "")

    def _do(self, job: UUID) -> None:
        from livinglab.services import evaluating  # noqa: PLC0415 - 100 MB, for the first one only

        def progress(step: str) -> None:
            self._steps[job] = step
            if self._stop.is_set():
                raise _StoppedError

        try:
            while True:
                try:
                    evaluating.run_job(
                        job,
                        civic=self._lab.civic,
                        readings=self._lab.readings,
                        timezone=self._lab.city.timezone,
                        now=self._lab.clock.now(),
                        progress=progress,
                    )
                except StoreUnavailableError as error:
                    log.warning("evaluation_put_off", job=str(job), problem=str(error))
                    self._stop.wait(AGAIN_S)
                    progress("waiting for the store")
                else:
                    return
        except _StoppedError:
            log.info("evaluation_left_open", job=str(job))
        except Exception:
            log.exception("evaluation_failed", job=str(job))
            with self._lab.work() as work:
                evaluating.end_job(job, "an error of the lab's own, which its log tells", work)
        finally:
            self._steps.pop(job, None)
