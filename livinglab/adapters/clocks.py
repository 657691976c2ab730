"""Clocks: the system's, one that stands still, and one that a simulated town drives."""

from datetime import UTC, datetime
from threading import Lock


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present instant."""
        return datetime.now(UTC)


class SettableClock:
    """A clock that stands still until somebody moves it; it never goes back.

    A simulated town drives it, so that years pass in minutes and no Reading comes from the future.
    """

    def __init__(self, start: datetime) -> None:
        """Begin at an aware instant."""
        self._now = start.astimezone(UTC)
        self._lock = Lock()

    def now(self) -> datetime:
        """Return the instant it stands at."""
        return self._now

    def advance_to(self, instant: datetime) -> None:
        """Move forward; an earlier instant changes nothing."""
        with self._lock:
            self._now = max(self._now, instant.astimezone(UTC))
