"""Together: calls that wait at the same time share one transaction, and each gets its own answer.

A commit costs the same for one posting as for twenty, so whoever comes while one is under way is
served with the others that came meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Generic, TypeVar

from livinglab.errors import LabError, UnavailableError

C = TypeVar("C")
R = TypeVar("R")
_Waiting = tuple[C, asyncio.Future[R]]


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
        self._waiting: list[_Waiting[C, R]] = []
        self._serving = False
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, "together")

    async def call(self, one: C) -> R:
        """Serve one call with whatever else waits.

        Raises:
            LabError: What became of this one.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append((one, future))
            idle, self._serving = not self._serving, True
        if idle:
            self._thread.submit(self._serve_all)
        return await future

    def close(self) -> None:
        """Serve what waits, and end."""
        self._thread.shutdown()

    def _serve_all(self) -> None:
        while True:
            with self._lock:
                waiting, self._waiting = self._waiting, []
                self._serving = bool(waiting)
            if not waiting:
                return
            if taken := [pair for pair in waiting if not pair[1].cancelled()]:
                self._answer(taken)

    def _answer(self, taken: Sequence[_Waiting[C, R]]) -> None:
        try:
            outcomes: Sequence[R | BaseException] = self._serve([one for one, _ in taken])
        except Exception as error:  # noqa: BLE001 - whoever called is told, whatever it is
            if len(taken) > 1 and not isinstance(error, UnavailableError):
                for pair in taken:
                    self._answer([pair])
                return
            outcomes = [error] * len(taken)
        told = list(zip((future for _, future in taken), outcomes, strict=True))
        for loop in {future.get_loop() for future, _ in told}:
            with suppress(RuntimeError):  # it ended, and with it whoever waited there
                loop.call_soon_threadsafe(_tell, loop, told)


def _tell(
    loop: asyncio.AbstractEventLoop,
    told: Sequence[tuple[asyncio.Future[R], R | BaseException]],
) -> None:
    """Wake all who wait in a loop: once for all of them, as each waking costs."""
    for future, outcome in told:
        if future.get_loop() is not loop or future.done():
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
