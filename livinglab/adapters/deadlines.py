"""Deadlines: a call to another machine ends by an instant, however many steps it takes."""

import time
from abc import ABC, abstractmethod

from livinglab.errors import LabError


class Deadline(ABC):
    """The instant by which a call has ended, however slowly somebody answers."""

    def __init__(self, seconds: float) -> None:
        """Begin to count. [s]"""
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return what is left. [s]

        Raises:
            LabError: Nothing is left: what `missed` says.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.missed()
        return left

    @abstractmethod
    def missed(self) -> LabError:
        """Say what it means that nothing is left."""
