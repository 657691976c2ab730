"""Batches: what people said on paper or by show of hands, counted instead of kept one by one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from livinglab.domain.observations import Channel

MOST_PEOPLE = 100_000
"""Whom one batch counts at the most."""
MOST_LEVELS = 50
"""Of one dimension of one batch."""


Strata = Mapping[str, Mapping[str, int]]
"""Dimension → level → how many."""


@dataclass(eq=False, kw_only=True)
class Batch:
    """How many people said something about one theme, at one Place or in one Zone, on one day."""

    source: str
    """Name of the key that handed it over, or what a file says."""
    external_id: str
    """How the source names it: once each."""
    body_sha256: str
    """To tell the same again from another one of that name."""
    category: str
    day: date
    n: int
    """[persons]"""
    channel: Channel
    received_at: datetime
    place: str | None = None
    zone: str | None = None
    """One of the two."""
    strata: Strata = field(default_factory=dict)
    number: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be counted."""
        if (self.place is None) == (self.zone is None):
            raise ValueError("a batch belongs to a Place or to a Zone")
        if not 1 <= self.n <= MOST_PEOPLE:
            raise ValueError(f"a batch counts 1 to {MOST_PEOPLE} people, not {self.n}")
        for dimension, levels in self.strata.items():
            if not levels or len(levels) > MOST_LEVELS:
                raise ValueError(f"{dimension} has 1 to {MOST_LEVELS} levels")
            if min(levels.values()) < 0 or sum(levels.values()) > self.n:
                raise ValueError(f"{dimension} counts other people than the {self.n} of the batch")
