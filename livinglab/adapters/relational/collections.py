"""Collections: entities of one kind, asked for by the values of their fields."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from livinglab.adapters.relational.mapping import TABLES
from livinglab.adapters.relational.memory_rows import several
from livinglab.adapters.relational.repositories import Numbered, enter, settle
from livinglab.domain.readings import Interval

E = TypeVar("E", bound=Numbered)


class SqlCollection(Generic[E]):
    """See `ports.Collection`."""

    def __init__(self, session: Session, kind: type[E]) -> None:
        """Bind a kind of entities to a session."""
        self._session = session
        self._kind = kind
        self._rows = TABLES[kind].c

    def add(self, entities: Sequence[E]) -> None:
        """Keep new ones."""
        enter(self._session, entities)

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
        number = self._rows.number
        asked = select(self._kind).where(*self._conditions(fields))
        asked = asked.order_by(number.desc() if newest_first else number).limit(limit)
        if within is not None:
            name, interval = within
            asked = asked.where(self._rows[name] >= interval.start, self._rows[name] < interval.end)
        if after is not None:
            asked = asked.where(number < after if newest_first else number > after)
        return list(self._session.scalars(asked))

    def one(self, **fields: Any) -> E | None:
        """Return the newest of those."""
        return next(iter(self.where(newest_first=True, limit=1, **fields)), None)

    def count(self, **fields: Any) -> int:
        """Count those."""
        settle(self._session)
        asked = select(func.count()).select_from(TABLES[self._kind])
        return int(self._session.execute(asked.where(*self._conditions(fields))).scalar_one())

    def remove(self, entities: Sequence[E]) -> None:
        """Forget some."""
        for one in entities:
            self._session.delete(one)
        self._session.flush()

    def _conditions(self, fields: dict[str, Any]) -> list[ColumnElement[bool]]:
        return [
            self._rows[name].in_(wanted) if several(wanted) else self._rows[name] == wanted
            for name, wanted in fields.items()
        ]
