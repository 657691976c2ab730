"""Watching: is the lab alive, is anything stuck, and which Datastreams fell silent?"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from livinglab.domain.things import Datastream

STUCK_AFTER_S = 60.0
"""A batch unfinished for so long, although the store answers, means that ingest is stuck. [s]"""
STALE_INTERVALS = 3
"""A Datastream that missed so many expected intervals is stale."""
DEFAULT_INTERVAL_S = 3_600.0
"""What is expected of a Datastream about which nothing is known. [s]"""


@dataclass(slots=True, kw_only=True)
class Pulse:
    """What ingest tells about itself; one writer, many readers. Instants are monotonic seconds."""

    running: bool = False
    failed: str | None = None
    """Why ingest ended, if it ended with an error."""
    batches: int = 0
    batch_messages: int = 0
    """Size of the last batch. [messages]"""
    commit_s: float = 0.0
    """How long the store took for the last batch. [s]"""
    batch_since: float | None = None
    """When the batch in hand arrived; None between batches."""
    store_away_since: float | None = None
    """Since when the store does not answer; None while it does."""
    dropped_by_broker: int = 0
    """Messages that the broker says it dropped since it started."""
    probed: int = 0
    """Probes of the lab's own that came back through the broker."""
    probe_lost: bool = False
    """Whether the last probe did not come back although nothing else was waiting."""

    def unready(self) -> str | None:
        """Say why what Things publish may not arrive, or nothing."""
        if self.store_away_since is not None:
            return "a store does not answer; the broker keeps what arrives meanwhile"
        if self.dropped_by_broker:
            return f"the broker dropped {self.dropped_by_broker} messages; raise its queue limits"
        if self.probe_lost:
            return "the broker accepted the subscription but delivers nothing; check the filter"
        return None

    def trouble(self, now: float) -> str | None:
        """Say why ingest is not alive, or nothing.

        Args:
            now: The monotonic clock. [s]
        """
        if self.failed:
            return f"ingest ended: {self.failed}"
        if not self.running or self.store_away_since is not None or self.batch_since is None:
            return None
        stuck = now - self.batch_since
        if stuck > STUCK_AFTER_S:
            return f"ingest has held one batch for {stuck:.0f} s although the store answers"
        return None


def stale_after(datastream: Datastream) -> timedelta:
    """Tell after which silence a Datastream is stale."""
    return STALE_INTERVALS * timedelta(seconds=datastream.interval_s or DEFAULT_INTERVAL_S)


def is_stale(datastream: Datastream, last: datetime, now: datetime) -> bool:
    """Tell whether the latest Reading is too old to be served as current."""
    return now - last > stale_after(datastream)
