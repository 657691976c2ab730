"""Quality: what the lab remembers of its own judgement, beside the flags of Readings."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from livinglab.domain.readings import from_ms

DAY_MS = 86_400_000
"""A day, as days are counted here: in UTC. [ms]"""


class Mark(NamedTuple):
    """A day of a Datastream that changed since its tests last saw it as a whole."""

    datastream: int
    day: int
    """Days since 1970, UTC."""
    soon: bool = False
    """Whether a flag is known to be wrong, so that it does not wait for the day to come to rest."""
    at: int = 0
    """When it was made. [ms since 1970 UTC]"""


class Skew(NamedTuple):
    """How late the newest Readings of a Datastream were when they arrived."""

    datastream: int
    lag_s: float
    """Median of received − phenomenon; negative if the Thing's clock is ahead. [s]"""
    samples: int
    at_ms: int
    """When it was found. [ms since 1970 UTC]"""

    @property
    def at(self) -> datetime:
        """When it was found."""
        return from_ms(self.at_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityVersion:
    """The tests and their parameters, in force from an instant on."""

    version: int
    since: datetime
    parameters: Mapping[str, object]
