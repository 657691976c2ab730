"""Texting: what stands in a short message, and how far a conversation has come."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from livinglab.domain.observations import Category

WITHIN = timedelta(minutes=5)
"""How old a call of the gateway may be, so that nobody repeats one that was overheard."""
LAPSES = timedelta(hours=24)
"""After which a question that was not answered is forgotten."""
KEPT_FOR = timedelta(days=30)
"""How long a message is known again."""
LONGEST = 1_600
"""Ten parts of a long message. [characters]"""
MOST_CHOICES = 3
"""Addresses that a question offers."""
_CODE = re.compile(r"(?:^|\s)#([\w.:-]{1,100})")
_AT = re.compile(r"\s*@\s*")
_STOP = {"stop": "en", "alto": "es", "baja": "es", "arret": "fr", "arrêt": "fr", "قف": "ar"}
_HELP = {"help": "en", "ayuda": "es", "aide": "fr", "مساعدة": "ar"}
TEL = "tel:"
"""Before the number of a telephone that letters go to."""


class Wish(Enum):
    """What a message is."""

    SAY = "say"
    STOP = "stop"
    HELP = "help"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message taken apart."""

    wish: Wish
    words: str = ""
    category: str | None = None
    place: str | None = None
    """Code of a Place: what follows `#`."""
    address: str | None = None
    """What follows `@`."""
    lang: str | None = None
    """Told by the word that asks for help or an end."""


@dataclass(eq=False, kw_only=True)
class Conversation:
    """What somebody said by telephone and not yet where."""

    contributor: str
    lang: str
    updated_at: datetime
    message: str | None = None
    """Name of the message whose Place is asked for; None: nothing is."""
    words: str = ""
    category: str = ""
    choices: Sequence[Mapping[str, Any]] = field(default_factory=list)
    """Addresses that were offered, to be chosen by number."""
    number: int | None = None


@dataclass(eq=False, kw_only=True)
class TextMessage:
    """A message that was answered: the same one again gets the same answer."""

    id_sha256: str
    body_sha256: str
    reply: str
    at: datetime
    number: int | None = None


def read(text: str, categories: Mapping[str, Category]) -> Said:
    """Take a message apart: `[category] words [#code | @ address]`, or a single word of command."""
    plain = " ".join(text.split())
    word = plain.casefold().strip(".!")
    if word in _STOP:
        return Said(wish=Wish.STOP, lang=_STOP[word])
    if word in _HELP or not plain:
        return Said(wish=Wish.HELP, lang=_HELP.get(word))
    place = address = None
    if code := _CODE.search(plain):
        place = code[1].rstrip(".:")
        plain = (plain[: code.start()] + plain[code.end() :]).strip()
    elif "@" in plain:
        plain, address = _AT.split(plain, maxsplit=1)
    category, words = _theme(plain, categories)
    return Said(wish=Wish.SAY, words=words, category=category, place=place, address=address or None)


def _theme(text: str, categories: Mapping[str, Category]) -> tuple[str | None, str]:
    """Return the category that a message begins with, by key or label, and the rest."""
    folded = text.casefold()
    names = {one.key.casefold(): one.key for one in categories.values()}
    names |= {one.label.casefold(): one.key for one in categories.values()}
    for name in sorted(names, key=len, reverse=True):
        if folded == name or folded.startswith((f"{name} ", f"{name}:", f"{name},")):
            return names[name], text[len(name) :].lstrip(" :,")
    return None, text
