"""Answers: what the city says back, by when, and who has to."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta


@dataclass(eq=False, kw_only=True)
class CityResponse:
    """You said, we did: one version of an answer; a correction is another version."""

    key: str
    version: int
    subject: str
    """``observation:ID``, ``incident:ID`` or ``initiative:KEY``."""
    you_said: str
    we_did: str
    why_not: str
    evidence: list[str] = field(default_factory=list)
    """Addresses of what shows it."""
    promised_for: date | None = None
    department: str
    by: str
    """Name of the key; never public."""
    published_at: datetime
    number: int | None = None

    def __post_init__(self) -> None:
        """Refuse an answer that says neither what was done nor why not."""
        if not (self.we_did.strip() or self.why_not.strip()):
            raise ValueError("an answer says what was done, or why not")


@dataclass(frozen=True, slots=True, kw_only=True)
class Responsibility:
    """Who answers for a category, in one Zone or everywhere, and why."""

    category: str
    zone: str | None
    """None: wherever no other row says otherwise."""
    organisation: str
    reason: str
    answer_within: timedelta = timedelta(days=5)
    """From the receipt to the first public answer."""


def responsible(
    rows: tuple[Responsibility, ...], category: str, zone: str | None
) -> Responsibility | None:
    """Return who answers: the row of the Zone before the one of the city."""
    of_category = [one for one in rows if one.category == category]
    for wanted in (zone, None):
        for one in of_category:
            if one.zone == wanted:
                return one
    return None
