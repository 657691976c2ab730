"""The ledger: what became of every message and every Reading, in numbers that add up.

messages received = decoded + ignored{retained, probe, rule} + quarantined whole
Readings decoded  = stored + duplicate + replaced + quarantined
"""

from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import Enum


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of one route on one day, or sums of such."""

    messages: int = 0
    """Messages that arrived."""
    decoded: int = 0
    """Messages that a decoder read, whatever became of their Readings."""
    retained: int = 0
    """Messages ignored because the broker had kept them and they tell no time."""
    probe: int = 0
    """Messages ignored because the lab itself sent them to test the broker."""
    rule: int = 0
    """Messages ignored because they carry no measurement, by a rule."""
    quarantined_messages: int = 0
    """Messages that no decoder could read, or that no route takes."""
    readings: int = 0
    """Readings that were decoded."""
    stored: int = 0
    duplicate: int = 0
    replaced: int = 0
    quarantined_readings: int = 0
    qos0: int = 0
    """Of the messages: those published at QoS 0, for which nothing is promised."""
    missing: int = 0
    """Of the Readings: those whose source said it has no value."""

    @property
    def unaccounted(self) -> int:
        """How far the two sides differ, both ledgers together; 0 unless the lab is broken."""
        messages = self.messages - self.decoded - self.retained - self.probe - self.rule
        readings = self.readings - self.stored - self.duplicate - self.replaced
        return abs(messages - self.quarantined_messages) + abs(readings - self.quarantined_readings)

    def add(self, other: "Tally") -> None:
        """Add another Tally to this one."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def subtract(self, other: "Tally") -> None:
        """Take another Tally away from this one: what was counted since."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) - getattr(other, one.name))


class QuarantineState(Enum):
    """What became of something that was refused."""

    WAITING = "waiting"
    REPLAYED = "replayed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Why a message, or one Reading in it, was refused."""

    reason: str
    """A code of `docs/nomenclature.md`, such as `bad_number`."""
    detail: str
    """What is wrong, for a person; at most 300 characters."""
    path: str = ""
    """Where in the payload, such as `resources[4].ayto:noise`; empty for the whole message."""


@dataclass(eq=False, kw_only=True)
class Quarantined:
    """A message refused, whole or in part, with its bytes; unique on topic, hash and reason."""

    reason: str
    detail: str
    route: str
    topic: bytes
    payload: bytes
    sha256: str
    """Of the payload as it came, even where only its head was kept."""
    size: int
    """Bytes of the payload as it came; larger than the payload kept if that was cut."""
    header: int
    """The first byte of the PUBLISH packet: QoS, retain and DUP."""
    whole: bool
    """Whether the message as a whole was refused."""
    readings: int
    """How many Readings of the message this reason refused; 0 where whole."""
    first_seen: datetime
    """Also the arrival time that a replay uses."""
    last_seen: datetime
    count: int = 1
    """How often the same message was refused for the same reason."""
    state: QuarantineState = QuarantineState.WAITING
    number: int | None = None


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """The Tally of one route on one UTC day."""

    route: str
    day: date
    tally: Tally
