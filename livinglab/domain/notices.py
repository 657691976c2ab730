"""Notices: what somebody should hear of, until it was told once a day in a letter."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

CODE_LASTS = timedelta(minutes=30)
MOST_TRIES = 5
"""Codes that may be tried before another letter is needed."""
MOST_LINES = 20
"""Of one letter; it tells how many more there are."""
KEPT_FOR = timedelta(days=90)
"""After which a Notice is forgotten, told or not."""
ASKED_AFTER = timedelta(days=28)
"""How long after the closing it is asked whether it was fixed."""


class Topic(Enum):
    """What somebody may hear of, or not."""

    ANSWERS = "answers"
    """What the city says and does."""
    QUESTIONS = "questions"
    """Whether it was fixed."""


class News(Enum):
    """What happened."""

    ANSWERED = "answered"
    CLOSED = "closed"
    REOPENED = "reopened"
    PROGRESS = "progress"
    FIXED = "fixed"
    """The question whether it was."""


@dataclass(eq=False, kw_only=True)
class Notice:
    """One line of a letter to come; whose address it goes to, only the Vault knows."""

    recipient: str
    """Pseudonym."""
    topic: Topic
    event: str
    """Names what happened: nobody hears of it twice."""
    news: News
    facts: Mapping[str, Any]
    """What the line says: category, place, outcome, phase, words of the city, Observation."""
    at: datetime
    sent_at: datetime | None = None
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class OptOut:
    """Somebody does not want to hear of a topic."""

    recipient: str
    topic: Topic
    at: datetime
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class EmailCode:
    """What was sent to an address, to see whether whoever named it reads it."""

    contributor: str
    digest: str
    """Of code and address together: neither can be told from it."""
    expires_at: datetime
    tries: int = 0
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """An address that somebody proved to read; kept in the Vault alone."""

    pseudonym: str
    email: str
    lang: str
    token: str
    """Secret of the link that ends all letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail."""

    to: str
    subject: str
    text: str
    message_id: str
    """The same when it is sent again, so that mail programs show it once."""
    unsubscribe: str | None = None
    """Address that ends all letters by one POST (RFC 8058)."""
