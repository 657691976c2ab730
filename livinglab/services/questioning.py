"""Questioning: what a category asks besides, and whether what was given answers it."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from livinglab.domain.observations import Attribute, Category, Datatype
from livinglab.errors import InvalidError

LONGEST = {Datatype.STRING: 500, Datatype.TEXT: 4_000}


def answered(category: Category, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers to a category's questions, each in its own type.

    Raises:
        InvalidError: A required answer is missing, one is no answer, or nobody asked.
    """
    asked = {one.code: one for one in category.attributes if one.asked}
    unknown = sorted(given.keys() - asked.keys())
    if unknown:
        raise InvalidError(_path(unknown[0]), f"{category.key} does not ask this")
    found = {}
    for code, one in asked.items():
        value = given.get(code)
        if value is None or value in ("", []):
            if one.required:
                raise InvalidError(_path(code), f"{code} is required: {one.question}")
            continue
        found[code] = _READERS[one.datatype](one, value)
    return found


def _path(code: str) -> str:
    return f"attributes.{code}"


def _words(one: Attribute, value: Any) -> str:
    longest = LONGEST[one.datatype]
    if not isinstance(value, str) or len(value) > longest:
        raise InvalidError(_path(one.code), f"must be words, {longest} characters at the most")
    if one.datatype is Datatype.STRING and "\n" in value:
        raise InvalidError(_path(one.code), "must be one line")
    return value


def _number(one: Attribute, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise InvalidError(_path(one.code), "must be a number")
    return number


def _instant(one: Attribute, value: Any) -> str:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidError(_path(one.code), "must be a time with its zone, as 2026-01-31T08:00:00Z")
    return str(value)


def _choice(one: Attribute, value: Any) -> str:
    if not isinstance(value, str) or value not in one.values:
        raise InvalidError(_path(one.code), f"must be one of {', '.join(one.values)}")
    return value


def _choices(one: Attribute, value: Any) -> list[str]:
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, Sequence):
        raise InvalidError(_path(one.code), f"must be some of {', '.join(one.values)}")
    return list(dict.fromkeys(_choice(one, each) for each in several))


_READERS = {
    Datatype.STRING: _words,
    Datatype.TEXT: _words,
    Datatype.NUMBER: _number,
    Datatype.DATETIME: _instant,
    Datatype.ONE_OF: _choice,
    Datatype.SOME_OF: _choices,
}
