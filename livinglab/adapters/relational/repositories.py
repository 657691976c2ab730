"""Repositories: the questions of the ports, asked of one database session."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date, datetime
from functools import cache
from operator import attrgetter
from typing import Any, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Executable,
    FromClause,
    Select,
    Table,
    UniqueConstraint,
    and_,
    bindparam,
    case,
    func,
    insert,
    inspect,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapper, Session, make_transient
from sqlalchemy.orm.attributes import manager_of_class

from livinglab.adapters.relational import tables
from livinglab.adapters.relational.engine import facts, said
from livinglab.adapters.relational.mapping import TABLES
from livinglab.domain.access import ApiKey
from livinglab.domain.contributors import Contributor
from livinglab.domain.geometry import Box, Point, box_around
from livinglab.domain.indicators import (
    AgreementFound,
    Effect,
    EvaluationJob,
    Hypothesis,
    Picture,
)
from livinglab.domain.initiatives import Disturbance, Initiative, InitiativeArea
from livinglab.domain.ledger import LedgerLine, Quarantined, QuarantineState, Tally
from livinglab.domain.observations import (
    Observation,
    PlaceLink,
    Status,
    StatusEvent,
    Visibility,
)
from livinglab.domain.places import Place, Zone
from livinglab.domain.quality import Mark, QualityVersion, Skew
from livinglab.domain.readings import Interval, Replacement
from livinglab.domain.things import Datastream, Location, Thing
from livinglab.errors import ConflictError
from livinglab.ports import ObservationFilter, Posting

_REFERS_TO_NOTHING = "23503"
"""PostgreSQL's code of a reference to a row that is not there."""

SLICE = 400
"""Pairs that one query asks for: SQLite allows some thousand parameters."""
BOXES = 64
"""Rectangles that one query asks for."""
NEWEST = 2_000
"""Observations that are looked through one by one for those of a rectangle."""


K = TypeVar("K", Zone, Place, Thing)


class Numbered(Protocol):
    """An entity that the store gives its number."""

    number: int | None


def settle(session: Session) -> None:
    """Write changes of loaded entities, unless nothing is to be kept anyway."""
    if session.autoflush:
        session.flush()


def enter(session: Session, entities: Sequence[Numbered]) -> None:
    """Insert new entities and number them: all of them, or none.

    Raises:
        ConflictError: One is stored already, or names something that is not; what the unit of
            work did before stays as it was.
    """
    settle(session)
    renew(entities)
    try:
        with session.begin_nested():
            session.add_all(entities)
    except IntegrityError as error:
        renew(entities)
        raise _conflict(session, entities, error) from error
    session.info.setdefault("entered", []).extend(entities)


def pour(session: Session, *kinds: Sequence[Numbered]) -> None:
    """Insert many new entities, kind after kind, that nobody watches: all of them, or none.

    One statement a kind takes a tenth of what the session needs to watch each entity.

    Raises:
        ConflictError: As `enter` does.
    """
    settle(session)
    kind: Sequence[Numbered] = ()
    try:
        with session.connection().begin_nested():
            for kind in filter(None, kinds):
                row_of = _reader(type(kind[0]))
                table = TABLES[type(kind[0])]
                statement: Executable = insert(table)
                if session.get_bind().dialect.name == "postgresql":
                    statement = insert(table).returning(
                        *table.primary_key
                    )  # a thousand rows in one
                session.execute(statement, [row_of(one) for one in kind])
    except IntegrityError as error:
        raise _conflict(session, kind, error) from error


@cache
def _reader(kind: type) -> Callable[[object], dict[str, Any]]:
    """Return what reads the row of an entity, without its number."""
    mapper: Mapper[Any] = inspect(kind, raiseerr=True)
    pairs = [(one.columns[0].name, one.key) for one in mapper.column_attrs if one.key != "number"]
    names, values = [name for name, _ in pairs], attrgetter(*(key for _, key in pairs))
    return lambda one: dict(zip(names, values(one), strict=True))


def renew(entities: Sequence[Numbered]) -> None:
    """Make entities look as if no database had ever seen them."""
    for one in entities:
        if inspect(one, raiseerr=False) is None:  # made before its class was mapped
            manager_of_class(type(one)).setup_instance(one)
        make_transient(one)
        one.number = None


def undo(session: Session) -> None:
    """Roll back, and take back the numbers of what was entered."""
    session.expunge_all()  # first, or a rollback would empty what was loaded
    session.rollback()
    renew(session.info.pop("entered", []))


def upsert(session: Session, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that may go on as an UPDATE, in the words of the session's database.

    PostgreSQL gets a thousand rows in one statement, but only if an answer is asked for; one
    statement updates no row twice, so the rows must differ.
    """
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table).returning(*table.primary_key)  # type: ignore[return-value]  # the same class
    return sqlite.insert(table)


def _conflict(
    session: Session, entities: Sequence[Numbered], error: IntegrityError
) -> ConflictError:
    kind, table = type(entities[0]).__name__, inspect(type(entities[0]), raiseerr=True).local_table
    columns = _taken(table, error)
    if not columns:
        missing = facts(error).get("C") == _REFERS_TO_NOTHING or "FOREIGN" in said(error)
        reason = "names something that is not stored" if missing else said(error)
        return ConflictError(f"{kind}: {reason}")
    value = _first_taken(session, entities, columns)
    return ConflictError(f"{kind} with {' and '.join(columns)} {value!r} is stored already")


def _taken(table: FromClause, error: IntegrityError) -> list[str]:
    """Return the columns whose value was taken; none if the error is about something else."""
    if told := facts(error):
        constraints = table.constraints if isinstance(table, Table) else ()
        broken = [one for one in constraints if one.name == told.get("n")]
        unique = [one for one in broken if isinstance(one, UniqueConstraint)]
        return [column.name for one in unique for column in one.columns]
    twice = re.search(r"UNIQUE constraint failed: (.+)", said(error))
    return [name.rpartition(".")[2] for name in twice[1].split(", ")] if twice else []


def _first_taken(session: Session, entities: Sequence[Numbered], columns: list[str]) -> object:
    table = inspect(type(entities[0]), raiseerr=True).local_table
    value_of, seen = attrgetter(*columns), set()
    for one in entities:
        value = value_of(one)
        same = (table.c[name] == getattr(one, name) for name in columns)
        if value in seen or session.scalar(select(table.c.number).where(*same)) is not None:
            return value
        seen.add(value)
    return None


def _by_key(entities: Iterable[K]) -> list[K]:
    """Sort here: a database sorts by the language that it was created for."""
    return sorted(entities, key=attrgetter("key"))


@cache
def _within(boxes: int) -> Select[Place]:
    """Return what asks for the Places within any of so many rectangles; making it takes longest."""
    rows = tables.place.c
    inside = (
        and_(
            rows.lon.between(bindparam(f"west{n}"), bindparam(f"east{n}")),
            rows.lat.between(bindparam(f"south{n}"), bindparam(f"north{n}")),
        )
        for n in range(boxes)
    )
    return select(Place).where(or_(*inside))


class SqlZones:
    """See `ports.Zones`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> list[Zone]:
        return _by_key(self._session.scalars(select(Zone)))

    def get(self, key: str) -> Zone | None:
        return self._session.scalars(select(Zone).where(tables.zone.c.key == key)).first()

    def add(self, zone: Zone) -> None:
        enter(self._session, [zone])


class SqlPlaces:
    """See `ports.Places`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> list[Place]:
        return _by_key(self._session.scalars(select(Place)))

    def get(self, key: str) -> Place | None:
        return self._session.scalars(select(Place).where(tables.place.c.key == key)).first()

    def page(
        self, *, box: Box | None = None, zone: str | None = None, after: str = "", limit: int
    ) -> list[Place]:
        settle(self._session)
        rows = tables.place.c
        by_bytes = "C" if self._session.get_bind().dialect.name == "postgresql" else "BINARY"
        key = rows.key.collate(by_bytes)
        asked = select(Place).where(key > after).order_by(key).limit(limit)
        if zone is not None:
            asked = asked.where(rows.zone == zone)
        if box is not None:
            asked = asked.where(
                rows.lon.between(box.west, box.east), rows.lat.between(box.south, box.north)
            )
        return list(self._session.scalars(asked))

    def several(self, keys: Iterable[str]) -> dict[str, Place]:
        wanted = list(keys)
        found: dict[str, Place] = {}
        for first in range(0, len(wanted), SLICE):
            asked = select(Place).where(tables.place.c.key.in_(wanted[first : first + SLICE]))
            found |= {one.key: one for one in self._session.scalars(asked)}
        return found

    def around(self, spots: Sequence[tuple[Point, float]]) -> list[Place]:
        rows = tables.place.c
        settle(self._session)
        widest = self._session.execute(select(func.max(rows.radius_m))).scalar_one() or 0.0
        found: dict[str, Place] = {}
        for first in range(0, len(spots), BOXES):
            boxes = [box_around(at, reach + widest) for at, reach in spots[first : first + BOXES]]
            most = 1 << (len(boxes) - 1).bit_length()
            sides = {
                f"{name}{n}": side
                for n, box in enumerate(boxes + boxes[-1:] * (most - len(boxes)))
                for name, side in zip(Box._fields, box, strict=True)
            }
            found |= {one.key: one for one in self._session.scalars(_within(most), sides)}
        return _by_key(found.values())

    def add(self, place: Place) -> None:
        enter(self._session, [place])


class SqlThings:
    """See `ports.Things`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def version(self) -> int:
        settle(self._session)
        asked = select(tables.registry_version.c.version)
        return int(self._session.execute(asked).scalar_one())

    def all(self) -> list[Thing]:
        return _by_key(self._session.scalars(select(Thing)))

    def get(self, key: str) -> Thing | None:
        return self._session.scalars(select(Thing).where(tables.thing.c.key == key)).first()

    def add(self, things: Sequence[Thing]) -> None:
        enter(self._session, things)

    def stood_at(self, places: Iterable[str]) -> list[Thing]:
        wanted = list(places)
        if not wanted:
            return []
        there, rows = tables.location.c, tables.thing.c
        found: dict[str, Thing] = {}
        for first in range(0, len(wanted), SLICE):
            some = wanted[first : first + SLICE]
            stood = select(there.thing).where(there.place.in_(some))
            asked = select(Thing).where(or_(rows.place.in_(some), rows.key.in_(stood)))
            found |= {one.key: one for one in self._session.scalars(asked)}
        return _by_key(found.values())

    def datastreams(self, things: Iterable[str] | None = None) -> list[Datastream]:
        rows = tables.datastream.c
        asked = select(Datastream).order_by(rows.number)
        if things is None:
            return list(self._session.scalars(asked))
        wanted, found = list(things), list[Datastream]()
        for first in range(0, len(wanted), SLICE):
            of_some = asked.where(rows.thing.in_(wanted[first : first + SLICE]))
            found += self._session.scalars(of_some)
        return sorted(found, key=attrgetter("number"))

    def datastream(self, key: str) -> Datastream | None:
        asked = select(Datastream).where(tables.datastream.c.key == key)
        return self._session.scalars(asked).first()

    def add_datastreams(self, datastreams: Sequence[Datastream]) -> None:
        enter(self._session, datastreams)

    def locations(self, thing: str | None = None) -> list[Location]:
        asked = select(Location).order_by(tables.location.c.since, tables.location.c.number)
        if thing is not None:
            asked = asked.where(tables.location.c.thing == thing)
        return list(self._session.scalars(asked))

    def add_locations(self, locations: Sequence[Location]) -> None:
        enter(self._session, locations)


class SqlContributors:
    """See `ports.Contributors`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, pseudonym: str) -> Contributor | None:
        asked = select(Contributor).where(tables.contributor.c.pseudonym == pseudonym)
        return self._session.scalars(asked).first()

    def with_token(self, token_sha256: str) -> Contributor | None:
        asked = select(Contributor).where(tables.contributor.c.token_sha256 == token_sha256)
        return self._session.scalars(asked).first()

    def add(self, contributor: Contributor) -> None:
        enter(self._session, [contributor])

    def add_all(self, contributors: Sequence[Contributor]) -> None:
        pour(self._session, contributors)

    def remove(self, contributor: Contributor) -> None:
        settle(self._session)
        self._session.delete(contributor)
        self._session.flush()


class SqlObservations:
    """See `ports.Observations`."""

    _rows = tables.observation.c

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, observation: UUID) -> Observation | None:
        asked = select(Observation).where(self._rows.id == observation)
        return self._session.scalars(asked).first()

    def posted_as(self, source: str, client_keys: Sequence[str]) -> dict[str, Observation]:
        found: dict[str, Observation] = {}
        for first in range(0, len(client_keys), SLICE):
            wanted = client_keys[first : first + SLICE]
            asked = select(Observation).where(
                self._rows.source == source, self._rows.client_key.in_(wanted)
            )
            found |= {one.client_key: one for one in self._session.scalars(asked)}
        return found

    def add(self, observation: Observation) -> None:
        enter(self._session, [observation])

    def add_all(self, postings: Sequence[Posting]) -> None:
        pour(
            self._session,
            [one.incident for one in postings if one.incident],
            [one.observation for one in postings],
            [one.link for one in postings],
            [event for one in postings for event in one.events],
            [one.member for one in postings if one.member],
        )

    def known(self, source: str, external_ids: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for first in range(0, len(external_ids), SLICE):
            wanted = external_ids[first : first + SLICE]
            asked = select(self._rows.external_id).where(
                self._rows.source == source, self._rows.external_id.in_(wanted)
            )
            found |= set(self._session.scalars(asked))
        return found

    def page(
        self,
        which: ObservationFilter,
        *,
        after: int | None = None,
        limit: int = 100,
        skip: int = 0,
    ) -> list[Observation]:
        asked = select(Observation)
        if after is not None:
            asked = asked.where(self._rows.number < after)
        asked = asked.order_by(self._rows.number.desc()).limit(limit).offset(skip)
        asked = asked.where(*_conditions(which))
        if which.box is None:
            return list(self._session.scalars(asked))
        # Of a box as wide as the city the newest are near the end, where no index of positions
        # finds them: look there first.
        settle(self._session)
        last = after or self._session.scalar(select(func.max(self._rows.number))) or 0
        near_end = asked.where(self._rows.number > last - NEWEST)
        one_by_one = near_end.where(_inside(which.box, literal_column("0.0")))
        found = list(self._session.scalars(one_by_one))
        if len(found) < limit:
            found = list(self._session.scalars(asked.where(_inside(which.box))))
        return found

    def waiting(self, *, after: int | None = None, limit: int = 100) -> list[Observation]:
        asked = select(Observation).where(self._rows.visibility == Visibility.QUARANTINED)
        if after is not None:
            asked = asked.where(self._rows.number > after)
        return list(self._session.scalars(asked.order_by(self._rows.number).limit(limit)))

    def at_place(self, place: str, interval: Interval | None = None) -> list[Observation]:
        asked = select(Observation).where(self._rows.place == place)
        if interval is not None:
            asked = asked.where(
                self._rows.occurred_at >= interval.start, self._rows.occurred_at < interval.end
            )
        return list(
            self._session.scalars(asked.order_by(self._rows.occurred_at, self._rows.number))
        )

    def counts_by_place(self, places: Iterable[str]) -> dict[str, dict[tuple[str, Status], int]]:
        settle(self._session)
        rows, wanted = self._rows, list(places)
        counts: dict[str, dict[tuple[str, Status], int]] = {}
        for first in range(0, len(wanted), SLICE):
            asked = (
                select(rows.place, rows.category, rows.status, func.count())
                .where(rows.place.in_(wanted[first : first + SLICE]))
                .where(rows.visibility != Visibility.REMOVED)
                .group_by(rows.place, rows.category, rows.status)
            )
            for place, category, status, n in self._session.execute(asked):
                counts.setdefault(place, {})[category, status] = n
        return counts

    def count(self, *, except_categories: Sequence[str] = ()) -> int:
        settle(self._session)
        asked = select(func.count()).select_from(tables.observation)
        asked = asked.where(self._rows.category.not_in(except_categories))
        return self._session.execute(asked).scalar_one()

    def earliest(self) -> datetime | None:
        settle(self._session)
        first: datetime | None = self._session.execute(
            select(func.min(self._rows.occurred_at))
        ).scalar_one()
        return first

    def of_incident(self, incident: UUID) -> list[Observation]:
        asked = select(Observation).where(self._rows.incident == incident)
        return list(self._session.scalars(asked.order_by(self._rows.number)))

    def of_contributor(self, pseudonym: str) -> list[Observation]:
        asked = select(Observation).where(self._rows.contributor == pseudonym)
        return list(self._session.scalars(asked.order_by(self._rows.number)))

    def link(self, link: PlaceLink) -> None:
        enter(self._session, [link])

    def links(self, observation: UUID) -> list[PlaceLink]:
        rows = tables.place_link.c
        asked = select(PlaceLink).where(rows.observation == observation).order_by(rows.number)
        return list(self._session.scalars(asked))

    def note(self, event: StatusEvent) -> None:
        enter(self._session, [event])

    def events(self, observation: UUID) -> list[StatusEvent]:
        rows = tables.status_event.c
        asked = select(StatusEvent).where(rows.observation == observation).order_by(rows.number)
        return list(self._session.scalars(asked))

    def events_within(self, interval: Interval, *, limit: int) -> list[StatusEvent]:
        rows = tables.status_event.c
        asked = select(StatusEvent).where(rows.at >= interval.start, rows.at < interval.end)
        return list(self._session.scalars(asked.order_by(rows.number).limit(limit)))


def _inside(box: Box, beside: ColumnElement[float] | None = None) -> ColumnElement[bool]:
    """Ask for a public point in a box; what is added keeps the database from its index of them."""
    lon: ColumnElement[float] = tables.observation.c.public_lon
    lat: ColumnElement[float] = tables.observation.c.public_lat
    if beside is not None:
        lon, lat = lon + beside, lat + beside
    return and_(lon.between(box.west, box.east), lat.between(box.south, box.north))


def _conditions(which: ObservationFilter) -> Iterator[ColumnElement[bool]]:
    """Ask for everything but the box."""
    rows = tables.observation.c
    last = func.coalesce(rows.updated_at, rows.received_at)
    for column, value in (
        (rows.place, which.place),
        (rows.category, which.category),
        (rows.status, which.status),
        (rows.contributor, which.contributor),
    ):
        if value is not None:
            yield column == value
    for column, values in (
        (rows.category, which.categories),
        (rows.visibility, which.visibilities),
    ):
        if values is not None:
            yield column.in_(values)
    for moment, interval in ((rows.occurred_at, which.occurred), (last, which.updated)):
        if interval is not None:
            yield moment >= interval.start
            yield moment < interval.end
    if which.since is not None:
        yield rows.received_at >= which.since
    if which.placed:
        yield rows.public_lon.is_not(None)
    if which.except_categories:
        yield rows.category.not_in(which.except_categories)


class SqlQuarantine:
    """See `ports.Quarantine`."""

    _rows = tables.quarantine.c
    _names = tuple(one.name for one in fields(Quarantined) if one.name != "number")

    def __init__(self, session: Session) -> None:
        self._session = session

    def keep(self, refused: Sequence[Quarantined]) -> None:
        if not refused:
            return
        new = upsert(self._session, tables.quarantine)
        seen, again = self._rows.last_seen, new.excluded.last_seen
        counted_on = new.on_conflict_do_update(
            index_elements=["topic", "sha256", "reason"],
            set_={
                "count": self._rows["count"] + new.excluded["count"],
                "last_seen": case((seen > again, seen), else_=again),
                "state": QuarantineState.WAITING,
            },
        )
        rows: dict[tuple[bytes, str, str], dict[str, Any]] = {}
        for one in refused:
            row = {name: getattr(one, name) for name in self._names}
            first = rows.setdefault((one.topic, one.sha256, one.reason), row)
            if first is not row:
                first["count"] += one.count
                first["last_seen"] = max(first["last_seen"], one.last_seen)
        settle(self._session)
        self._session.connection().execute(counted_on, list(rows.values()))
        for loaded in list(self._session.identity_map.values()):
            if isinstance(loaded, Quarantined):
                self._session.refresh(loaded)

    def get(self, number: int) -> Quarantined | None:
        return self._session.get(Quarantined, number)

    def page(
        self,
        *,
        state: QuarantineState | None = QuarantineState.WAITING,
        reason: str | None = None,
        route: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[Quarantined]:
        asked = select(Quarantined).where(self._rows.number > after)
        for column, wanted in (("state", state), ("reason", reason), ("route", route)):
            if wanted is not None:
                asked = asked.where(self._rows[column] == wanted)
        return list(self._session.scalars(asked.order_by(self._rows.number).limit(limit)))

    def counts(self) -> dict[tuple[str, str], int]:
        settle(self._session)
        asked = (
            select(self._rows.route, self._rows.reason, func.count())
            .where(self._rows.state == QuarantineState.WAITING)
            .group_by(self._rows.route, self._rows.reason)
        )
        return {(route, reason): n for route, reason, n in self._session.execute(asked)}

    def size(self) -> int:
        asked = select(func.coalesce(func.sum(func.length(self._rows.payload)), 0))
        return int(self._session.execute(asked).scalar_one())


class SqlLedger:
    """See `ports.Ledger`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, lines: Sequence[LedgerLine]) -> None:
        if not lines:
            return
        new = upsert(self._session, tables.ledger)
        added = new.on_conflict_do_update(
            index_elements=["day", "route"],
            set_={name: tables.ledger.c[name] + new.excluded[name] for name in tables.TALLY},
        )
        sums: dict[tuple[date, str], Tally] = {}
        for one in lines:
            sums.setdefault((one.day, one.route), Tally()).add(one.tally)
        rows = [{"day": day, "route": route} | asdict(sum_) for (day, route), sum_ in sums.items()]
        self._session.connection().execute(added, rows)

    def lines(self, since: date | None = None) -> list[LedgerLine]:
        asked = select(tables.ledger)
        if since is not None:
            asked = asked.where(tables.ledger.c.day >= since)
        found = (
            LedgerLine(row.route, row.day, Tally(**{n: getattr(row, n) for n in tables.TALLY}))
            for row in self._session.execute(asked)
        )
        return sorted(found, key=lambda line: (line.day, line.route))


class SqlReceiveLog:
    """See `ports.ReceiveLog`."""

    _rows = tables.receive_log.c

    def __init__(self, session: Session) -> None:
        self._session = session

    def remember(self, arrivals: Sequence[tuple[bytes, str, int]]) -> None:
        if not arrivals:
            return
        new = upsert(self._session, tables.receive_log)
        latest = new.on_conflict_do_update(
            index_elements=["sha256", "topic"], set_={"arrived_ms": new.excluded.arrived_ms}
        )
        last = {(topic, digest): ms for topic, digest, ms in arrivals}
        rows = [{"topic": t, "sha256": sha, "arrived_ms": ms} for (t, sha), ms in last.items()]
        self._session.connection().execute(latest, rows)

    def recall(self, messages: Sequence[tuple[bytes, str]]) -> dict[tuple[bytes, str], int]:
        found: dict[tuple[bytes, str], int] = {}
        wanted = set(messages)
        for start in range(0, len(messages), SLICE):
            digests = [digest for _, digest in messages[start : start + SLICE]]
            asked = select(self._rows.topic, self._rows.sha256, self._rows.arrived_ms).where(
                self._rows.sha256.in_(digests)
            )
            for topic, digest, ms in self._session.execute(asked):
                if (topic, digest) in wanted:
                    found[topic, digest] = ms
        return found

    def forget(self, before_ms: int) -> None:
        gone = tables.receive_log.delete().where(self._rows.arrived_ms < before_ms)
        self._session.connection().execute(gone)


class SqlAliases:
    """See `ports.Aliases`."""

    _rows = tables.alias.c

    def __init__(self, session: Session) -> None:
        self._session = session

    def of(self, scheme: str, sender: str) -> dict[int, str]:
        asked = select(self._rows.number, self._rows.text).where(
            self._rows.scheme == scheme, self._rows.sender == sender
        )
        return {row.number: row.text for row in self._session.execute(asked)}

    def put(self, scheme: str, sender: str, aliases: Mapping[int, str]) -> None:
        connection = self._session.connection()
        gone = tables.alias.delete().where(self._rows.scheme == scheme, self._rows.sender == sender)
        connection.execute(gone)
        owner = {"scheme": scheme, "sender": sender}
        if rows := [owner | {"number": n, "text": text} for n, text in aliases.items()]:
            connection.execute(insert(tables.alias), rows)


class SqlConflicts:
    """See `ports.Conflicts`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def keep(self, lost: Sequence[Replacement], at: datetime) -> None:
        if not lost:
            return
        rows = [
            {
                "datastream": one.datastream,
                "time_ms": one.time,
                "old": one.old,
                "new": one.new,
                "at": at,
            }
            for one in lost
        ]
        self._session.connection().execute(insert(tables.conflict), rows)

    def count(self) -> int:
        asked = select(func.count()).select_from(tables.conflict)
        return self._session.execute(asked).scalar_one()


class SqlQuality:
    """See `ports.Quality`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def mark(self, marks: Sequence[Mark]) -> None:
        if not marks:
            return
        rows, new = tables.recheck.c, upsert(self._session, tables.recheck)
        newest = case(
            (new.excluded.at_ms > rows.at_ms, new.excluded.at_ms),
            else_=rows.at_ms,
        )
        soon = or_(new.excluded.soon, rows.soon)
        again = new.on_conflict_do_update(
            index_elements=["datastream", "day"], set_={"at_ms": newest, "soon": soon}
        )
        facts = [
            {"datastream": one.datastream, "day": one.day, "soon": one.soon, "at_ms": one.at}
            for one in marks
        ]
        self._session.connection().execute(again, facts)

    def due(self, ripe_ms: int, *, limit: int = 1_000) -> list[Mark]:
        rows = tables.recheck.c
        asked = (
            select(rows.datastream, rows.day, rows.soon, rows.at_ms)
            .where(or_(rows.at_ms <= ripe_ms, rows.soon))
            .order_by(rows.datastream, rows.day)
            .limit(limit)
        )
        return [Mark(*row) for row in self._session.execute(asked)]

    def seen(self, marks: Sequence[Mark], ripe_ms: int) -> None:
        rows, connection = tables.recheck.c, self._session.connection()
        same = (
            (rows.datastream == bindparam("of"))
            & (rows.day == bindparam("on"))
            & (rows.at_ms == bindparam("made"))
        )
        ripe = [_as_asked(one) for one in marks if one.at <= ripe_ms]
        young = [_as_asked(one) for one in marks if one.at > ripe_ms]
        if ripe:
            connection.execute(tables.recheck.delete().where(same), ripe)
        if young:
            connection.execute(tables.recheck.update().where(same).values(soon=False), young)

    def note_skews(self, skews: Sequence[Skew]) -> None:
        if not skews:
            return
        new = upsert(self._session, tables.skew)
        names = ("lag_s", "samples", "at_ms")
        last = new.on_conflict_do_update(
            index_elements=["datastream"], set_={name: new.excluded[name] for name in names}
        )
        self._session.connection().execute(last, [one._asdict() for one in skews])

    def skews(self, datastreams: Iterable[int]) -> list[Skew]:
        rows, wanted = tables.skew.c, sorted(set(datastreams))
        found: list[Skew] = []
        for start in range(0, len(wanted), SLICE):
            asked = select(rows.datastream, rows.lag_s, rows.samples, rows.at_ms).where(
                rows.datastream.in_(wanted[start : start + SLICE])
            )
            told = self._session.execute(asked.order_by(rows.datastream))
            found += [Skew(*row) for row in told]
        return found

    def versions(self) -> list[QualityVersion]:
        rows = tables.quality_version.c
        asked = select(rows.version, rows.since, rows.parameters).order_by(rows.number)
        return [
            QualityVersion(version=version, since=since, parameters=parameters)
            for version, since, parameters in self._session.execute(asked)
        ]

    def add_version(self, version: QualityVersion) -> None:
        row = {
            "version": version.version,
            "since": version.since,
            "parameters": dict(version.parameters),
        }
        self._session.connection().execute(insert(tables.quality_version), row)

    def judged(self) -> dict[int, int]:
        rows = tables.judged.c
        asked = select(rows.datastream, rows.version)
        return {row.datastream: row.version for row in self._session.execute(asked)}

    def note_judged(self, datastream: int, version: int) -> None:
        new = upsert(self._session, tables.judged)
        last = new.on_conflict_do_update(
            index_elements=["datastream"], set_={"version": new.excluded.version}
        )
        row = {"datastream": datastream, "version": version}
        self._session.connection().execute(last, [row])


def _as_asked(one: Mark) -> dict[str, int]:
    return {"of": one.datastream, "on": one.day, "made": one.at}


class SqlInitiatives:
    """See `ports.Initiatives`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> list[Initiative]:
        return sorted(self._session.scalars(select(Initiative)), key=attrgetter("key"))

    def get(self, key: str) -> Initiative | None:
        asked = select(Initiative).where(tables.initiative.c.key == key)
        return self._session.scalars(asked).first()

    def add(self, initiative: Initiative) -> None:
        enter(self._session, [initiative])

    def areas(self, initiative: str) -> list[InitiativeArea]:
        rows = tables.initiative_area.c
        asked = select(InitiativeArea).where(rows.initiative == initiative).order_by(rows.number)
        return list(self._session.scalars(asked))

    def add_areas(self, areas: Sequence[InitiativeArea]) -> None:
        enter(self._session, areas)

    def hypotheses(self, initiative: str) -> list[Hypothesis]:
        rows = tables.hypothesis.c
        asked = select(Hypothesis).where(rows.initiative == initiative).order_by(rows.number)
        return list(self._session.scalars(asked))

    def add_hypothesis(self, hypothesis: Hypothesis) -> None:
        enter(self._session, [hypothesis])

    def effects(self, initiative: str) -> list[Effect]:
        rows = tables.effect.c
        asked = select(Effect).where(rows.initiative == initiative).order_by(rows.number)
        return list(self._session.scalars(asked))

    def effect(self, effect: UUID) -> Effect | None:
        return self._session.scalars(select(Effect).where(tables.effect.c.id == effect)).first()

    def add_effect(self, effect: Effect, pictures: Sequence[Picture] = ()) -> None:
        enter(self._session, [effect])
        enter(self._session, pictures)

    def picture(self, effect: UUID, name: str, lang: str) -> Picture | None:
        rows = tables.effect_picture.c
        asked = select(Picture).where(rows.effect == effect, rows.name == name, rows.lang == lang)
        return self._session.scalars(asked).first()

    def jobs(self, initiative: str | None = None) -> list[EvaluationJob]:
        rows = tables.evaluation_job.c
        asked = select(EvaluationJob).order_by(rows.number)
        if initiative is not None:
            asked = asked.where(rows.initiative == initiative)
        return list(self._session.scalars(asked))

    def job(self, job: UUID) -> EvaluationJob | None:
        asked = select(EvaluationJob).where(tables.evaluation_job.c.id == job)
        return self._session.scalars(asked).first()

    def add_job(self, job: EvaluationJob) -> None:
        enter(self._session, [job])

    def disturbances(self) -> list[Disturbance]:
        rows = tables.disturbance.c
        asked = select(Disturbance).order_by(rows.since, rows.number)
        return list(self._session.scalars(asked))

    def add_disturbance(self, disturbance: Disturbance) -> None:
        enter(self._session, [disturbance])

    def agreements(self, subject: str) -> list[AgreementFound]:
        asked = select(AgreementFound).where(tables.agreement.c.subject == subject)
        found = self._session.scalars(asked)
        return sorted(found, key=attrgetter("category", "observed_property"))

    def note_agreement(self, found: AgreementFound) -> None:
        rows = tables.agreement.c
        last = self._session.scalars(
            select(AgreementFound).where(
                rows.subject == found.subject,
                rows.category == found.category,
                rows.observed_property == found.observed_property,
            )
        ).first()
        if last is not None:
            last.computed_at, last.document = found.computed_at, found.document
            self._session.flush()
            return
        enter(self._session, [found])


class SqlKeys:
    """See `ports.Keys`."""

    _rows = tables.api_key.c

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> list[ApiKey]:
        return list(self._session.scalars(select(ApiKey).order_by(self._rows.number)))

    def with_secret(self, secret_sha256: str) -> ApiKey | None:
        asked = select(ApiKey).where(self._rows.secret_sha256 == secret_sha256)
        return self._session.scalars(asked).first()

    def add(self, key: ApiKey) -> None:
        enter(self._session, [key])

    def named(self, name: str) -> ApiKey | None:
        return self._session.scalars(select(ApiKey).where(self._rows.name == name)).first()

    def remove(self, name: str) -> None:
        found = self.named(name)
        if found is not None:
            self._session.delete(found)
            self._session.flush()
