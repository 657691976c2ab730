"""Indicators: what an Initiative is held against, what was expected, and what was found."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID


class Transform(Enum):
    """The scale on which an Effect is estimated."""

    LEVEL = "level"
    LOG = "log"
    POISSON = "poisson"


class Expected(Enum):
    """Which way the Initiative is expected to move its Indicator."""

    DECREASE = "decrease"
    INCREASE = "increase"


@dataclass(eq=False, kw_only=True)
class Hypothesis:
    """What one version of an Initiative's design expects of an Indicator; never changed.

    Its Indicator is the daily value of an ObservedProperty at the Initiative's Places.
    """

    initiative: str
    key: str
    version: int
    observed_property: str
    expected: Expected
    transform: Transform
    smallest_effect: float | None
    """Of interest; on the scale of the transform. [the property's unit, or log points]"""
    primary: bool
    """Whether it decides; the others are secondary, and corrected for their number."""
    at: datetime
    number: int | None = None

    def __post_init__(self) -> None:
        """Refuse a smallest effect that is none."""
        if self.smallest_effect is not None and not self.smallest_effect > 0:
            raise ValueError(f"hypothesis {self.key}: the smallest effect of interest is above 0")


@dataclass(eq=False, kw_only=True)
class Effect:
    """What one evaluation found: immutable; a rerun is another one."""

    id: UUID
    initiative: str
    hypothesis: str
    """Its key."""
    version: int
    """Of the Hypothesis."""
    created_at: datetime
    document: Mapping[str, Any]
    """The stored result: estimates, guards, finding, grade, windows, Places, provenance."""
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class Picture:
    """An Effect as a picture, in one language; drawn once, with the Effect."""

    effect: UUID
    name: str
    lang: str
    svg: str
    number: int | None = None


class JobState(Enum):
    """How far an evaluation that was asked for has come."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(eq=False, kw_only=True)
class EvaluationJob:
    """An evaluation that somebody asked for; what it finds is the Effect of the same id."""

    id: UUID
    initiative: str
    hypothesis: str
    """Its key."""
    seed: int
    asked_at: datetime
    state: JobState = JobState.WAITING
    problem: str = ""
    """Why it failed; empty in every other state."""
    number: int | None = None

    @property
    def open(self) -> bool:
        """Whether it is still to be done."""
        return self.state in {JobState.WAITING, JobState.RUNNING}


@dataclass(eq=False, kw_only=True)
class AgreementFound:
    """Whether what citizens said and what sensors showed told one story; the last word counts."""

    subject: str
    """Key of a Place or a Zone, as ``place:KEY`` or ``zone:KEY``."""
    category: str
    observed_property: str
    computed_at: datetime
    document: Mapping[str, Any]
    number: int | None = None
