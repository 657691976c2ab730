"""Together: calls that wait at the same time share one transaction, and each gets its own answer.

A commit costs the same for one posting as for twenty, so whoever comes while one is under way is
served with the others that came meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar

from livinglab.errors import LabError, UnavailableError

C = TypeVar("C")
R = TypeVar("R")


class Together(Generic[C, R]):
    """Gathers calls for a function that serves many at once."""

    def __init__(self, serve: Callable[[Sequence[C]], Sequence[R | LabError]]) -> None:
        """Bind what serves them.

        Args:
            serve: Serves some calls in one transaction, with an outcome for each in order. Where it
                fails as a whole it has done nothing, and each call is served alone: what one of
                them broke costs the others a moment.
        """
        self._serve = serve
        self._waiting: list[tuple[C, Future[R]]] = []
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, "together")

    async def call(self, one: C) -> R:
        """Serve one call with whatever else waits.

        Raises:
            LabError: What became of this one.
        """
        future: Future[R] = Future()
        with self._lock:
            self._waiting.append((one, future))
        self._thread.submit(self._take)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Serve what waits, and end."""
        self._thread.shutdown()

    def _take(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        taken = [pair for pair in waiting if pair[1].set_running_or_notify_cancel()]
        if taken:
            self._answer(taken)

    def _answer(self, taken: Sequence[tuple[C, "Future[R]"]]) -> None:
        try:
            outcomes = self._serve([one for one, _ in taken])
        except Exception as error:  # noqa: BLE001 - whoever called is told, whatever it is
            if len(taken) == 1 or isinstance(error, UnavailableError):
                for _, future in taken:
                    future.set_exception(error)
            else:
                for pair in taken:
                    self._answer([pair])
            return
        for (_, future), outcome in zip(taken, outcomes, strict=True):
            if isinstance(outcome, LabError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
