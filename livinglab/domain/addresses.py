"""Addresses: where somebody means who says it in words."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from livinglab.domain.geometry import Point, distance_m

LONGEST_SEARCH = 200
"""Characters of an address that is looked up."""
MOST_FOUND = 20
"""Candidates that one search returns."""
CLEAR = 0.82
"""Score from which a candidate is what was meant."""
MARGIN = 0.03
"""How much better it must be than another one elsewhere."""
SAME_M = 30.0
"""Candidates so close to each other are one answer. [m]"""
_MOST_WORDS = 16
_WORD = re.compile(r"[^\W_]+")
_HOUSE = re.compile(r"\d{1,4}[a-z]?")
"""A number of a house; longer ones are postcodes, which are words."""


class Known(NamedTuple):
    """What a gazetteer knows by name."""

    label: str
    point: Point
    place: str | None = None
    """Key of the Place, or of a whole Zone's, if it is one itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A candidate for what somebody meant."""

    label: str
    point: Point
    place: str | None = None
    """Key of the Place, or of a whole Zone's, if it is one itself."""
    score: float
    """0 to 1: how well it goes with the words."""


class Words(NamedTuple):
    """An address taken apart, without case, accents and punctuation."""

    names: tuple[str, ...]
    houses: frozenset[str]
    """Numbers of houses: these are right or wrong, never nearly right."""


def words_of(text: str) -> Words:
    """Take an address apart: the same for what is looked up and for what is known."""
    plain = text.casefold()
    if not plain.isascii():
        plain = "".join(map(_plain, unicodedata.normalize("NFKD", plain)))
    found = list(dict.fromkeys(_WORD.findall(plain)))[:_MOST_WORDS]
    houses = frozenset(one for one in found if _HOUSE.fullmatch(one))
    return Words(tuple(one for one in found if one not in houses), houses)


def _plain(character: str) -> str:
    """Drop what is only an accent, and write every script's digits alike."""
    if unicodedata.combining(character):
        return ""
    return str(unicodedata.decimal(character)) if character.isdecimal() else character


def houses_agree(asked: frozenset[str], known: frozenset[str]) -> float:
    """Tell how well the numbers of two addresses go together, 0 to 1.

    Without its number an address is never clear: another house of the street may be meant.
    """
    if asked == known:
        return 1.0
    if not asked or not known:
        return 0.8
    if asked < known or asked > known:
        return 0.95
    return 0.7 if asked & known else 0.6


def clearly_meant(found: Sequence[Located]) -> Located | None:
    """Return the candidate that somebody meant, if nobody could mean another one."""
    if not found or found[0].score < CLEAR:
        return None
    best = found[0]
    rivals = (one for one in found[1:] if best.score - one.score < MARGIN)
    if any(distance_m(one.point, best.point) > SAME_M for one in rivals):
        return None
    return best
