"""Rows in memory: one kind of entity with what a database would know of its table.

Unique values and references are checked as there, numbers are given once and never again, and what
is handed out are copies: nobody changes what is committed.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from livinglab.domain.readings import Interval
from livinglab.errors import ConflictError


class Numbered(Protocol):
    """An entity that gets its number from the store."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    number: int | None


E = TypeVar("E", bound=Numbered)

Key = tuple[str, Hashable]
"""What is unique, and its value; None is never a duplicate."""
Reference = tuple[str, str, Hashable]
"""Kind, what is unique there, and its value; None refers to nothing."""


def _nothing(_: object) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True)
class Kind(Generic[E]):
    """What a database would know of a table."""

    type: type[E]
    unique: Callable[[E], Iterable[Key]] = _nothing
    refers: Callable[[E], Iterable[Reference]] = _nothing
    append_only: bool = False
    registry: bool = False
    """Whether a change moves the registry's version."""

    @property
    def name(self) -> str:
        """What references call it."""
        return self.type.__name__


@dataclass(frozen=True, slots=True)
class Table(Generic[E]):
    """What is committed of one kind; nobody changes it."""

    rows: Mapping[int, E] = field(default_factory=dict)
    numbers: Mapping[Key, int] = field(default_factory=dict)
    last: int = 0


class Rows(Generic[E]):
    """One unit of work's view of one kind: what is committed, with its own changes above."""

    def __init__(self, kind: Kind[E], table: Table[E], others: "Mapping[str, Rows[Any]]") -> None:
        self._kind = kind
        self._table = table
        self._others = others
        self._facts = attrgetter(*(one.name for one in fields(kind.type)))
        self._own: dict[int, E] = {}
        self._seen: dict[int, Any] = {}
        self._numbers: dict[Key, int | None] = {}
        self._changed: set[int] = set()
        self._gone: set[int] = set()
        self._last = table.last
        self.changes = 0

    def number(self, key: Key) -> int | None:
        """Return the number of the row that a unique key belongs to."""
        if key in self._numbers:
            return self._numbers[key]
        return self._table.numbers.get(key)

    def find(self, what: str, value: Hashable) -> E | None:
        """Return the row that a unique key belongs to."""
        number = self.number((what, value))
        return None if number is None else self._handed(number)

    def numbered(self, number: int) -> E | None:
        """Return the row of a number."""
        known = number in self._own or number in self._table.rows
        return self._handed(number) if known and number not in self._gone else None

    def where(self, wanted: Callable[[E], bool] = lambda _: True) -> list[E]:
        """List rows by number."""
        return [self._handed(number) for number, row in self.peek() if wanted(row)]

    def peek(self) -> Iterator[tuple[int, E]]:
        """Yield rows by number, to look at only."""
        for number, row in self._table.rows.items():
            if number not in self._gone:
                yield number, self._own.get(number, row)
        for number in range(self._table.last + 1, self._last + 1):
            if number not in self._gone:
                yield number, self._own[number]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._table.rows) + self._last - self._table.last - len(self._gone)

    def _handed(self, number: int) -> E:
        if number not in self._own:
            copy = self._own[number] = copied(self._table.rows[number])
            self._seen[number] = self._facts(copy)
        return self._own[number]

    def add(self, entities: Sequence[E]) -> None:
        """Keep new ones and number them; all of them or none."""
        taken: dict[Key, int | None] = {}
        for number, one in enumerate(entities, self._last + 1):
            self._check(one)
            for key in self._keys(one, number):
                if key in taken or self.number(key) is not None:
                    raise _taken(self._kind, key)
                taken[key] = number
        self._numbers |= taken
        for one in entities:
            self._last += 1
            one.number = self._last
            self._own[self._last] = one
            self._seen[self._last] = self._facts(one)
            self._changed.add(self._last)
        self.changes += len(entities)

    @property
    def last(self) -> int:
        """The number that was given last."""
        return self._last

    def cut(self, last: int) -> None:
        """Take back what was added behind a number."""
        for number in range(last + 1, self._last + 1):
            for key in self._keys(self._own.pop(number), number):
                del self._numbers[key]
            del self._seen[number]
            self._changed.discard(number)
        self.changes -= self._last - last
        self._last = last

    def remove(self, number: int) -> None:
        """Forget a row."""
        if self._kind.append_only:
            raise ConflictError(f"{self._kind.name} {number} is history and cannot be forgotten")
        for key in self._keys(self._handed(number), number):
            self._numbers[key] = None
        self._gone.add(number)

    def flush(self) -> None:
        """Notice what was changed on the entities that were handed out."""
        for number in self._own.keys() - self._gone:
            one = self._own[number]
            facts = self._facts(one)
            if facts != self._seen[number]:
                self._alter(number, one)
                self._seen[number] = facts

    def _alter(self, number: int, one: E) -> None:
        if self._kind.append_only:
            raise ConflictError(f"{self._kind.name} {number} is history and cannot be changed")
        self._check(one)
        for key in self._keys(one, number):
            if self.number(key) not in {None, number}:
                raise _taken(self._kind, key)
        before = replace(one, **dict(zip(self._names(), self._seen[number], strict=True)))
        self._numbers |= dict.fromkeys(self._keys(before, number))
        self._numbers |= dict.fromkeys(self._keys(one, number), number)
        self._changed.add(number)
        self.changes += 1

    def _names(self) -> list[str]:
        return [one.name for one in fields(self._kind.type)]

    def _keys(self, one: E, number: int) -> list[Key]:
        keys = self._kind.unique(one)
        return [
            (what, number if what == "number" else value)
            for what, value in keys
            if what == "number" or value is not None
        ]

    def _check(self, one: E) -> None:
        for value in self._facts(one):
            if isinstance(value, datetime) and value.tzinfo is None:
                raise ValueError(f"{self._kind.name} needs aware times, not {value}")
        for kind, what, value in self._kind.refers(one):
            if value is not None and self._others[kind].number((what, value)) is None:
                raise ConflictError(
                    f"{self._kind.name} names the {kind} {value!r}, which is not stored"
                )

    def committed(self) -> Table[E]:
        """Return what the store holds once this unit of work is kept."""
        if not self._changed and not self._gone:
            return self._table
        rows = dict(self._table.rows)
        rows.update({number: copied(self._own[number]) for number in sorted(self._changed)})
        numbers = {**self._table.numbers, **self._numbers}
        return Table(
            {number: row for number, row in rows.items() if number not in self._gone},
            {key: number for key, number in numbers.items() if number is not None},
            self._last,
        )

    def undo(self) -> None:
        """Take back the numbers of what was added."""
        for number in range(self._table.last + 1, self._last + 1):
            self._own[number].number = None


def copied(entity: E) -> E:
    """Return an entity of its own with the same facts."""
    # Not copy.copy: a mapped class keeps the database session's notes in its instances.
    return replace(entity)


def _taken(kind: Kind[Any], key: Key) -> ConflictError:
    what, value = key
    return ConflictError(f"{kind.name} with {what} {value!r} is stored already")


class MemoryCollection(Generic[E]):
    """See `ports.Collection`."""

    def __init__(self, rows: Rows[E]) -> None:
        """Bind the rows of one kind."""
        self._rows = rows

    def add(self, entities: Sequence[E]) -> None:
        """Keep new ones."""
        self._rows.add(entities)

    def where(
        self,
        *,
        after: int | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        within: tuple[str, Interval] | None = None,
        **fields: Any,
    ) -> list[E]:
        """List those whose fields have these values."""
        found = [
            number
            for number, one in self._rows.peek()
            if _fits(one, fields) and (within is None or getattr(one, within[0]) in within[1])
        ]
        if newest_first:
            found.reverse()
        if after is not None:
            found = [one for one in found if (one < after if newest_first else one > after)]
        handed = map(self._rows.numbered, found[:limit])
        return [one for one in handed if one is not None]

    def one(self, **fields: Any) -> E | None:
        """Return the newest of those."""
        return next(iter(self.where(newest_first=True, limit=1, **fields)), None)

    def count(self, **fields: Any) -> int:
        """Count those."""
        return sum(_fits(one, fields) for _, one in self._rows.peek())

    def remove(self, entities: Sequence[E]) -> None:
        """Forget some."""
        for one in entities:
            self._rows.remove(one.number or 0)


def _fits(one: object, fields: dict[str, Any]) -> bool:
    return all(
        getattr(one, name) in wanted if several(wanted) else getattr(one, name) == wanted
        for name, wanted in fields.items()
    )


def several(wanted: object) -> bool:
    """Tell whether any of a set of values is wanted."""
    return isinstance(wanted, (set, frozenset))
