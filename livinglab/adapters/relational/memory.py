"""Civic data and contacts in memory: the promises of a database, until the process ends.

A committed state is never changed, only followed by another: readers keep the one they began
with, and a unit of work that fails leaves nothing behind. What a unit of work hands out are its
own copies.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from operator import attrgetter
from threading import Lock
from typing import Any, cast
from uuid import UUID

from livinglab import ports
from livinglab.adapters.relational.memory_rows import E, Kind, MemoryCollection, Rows, Table, copied
from livinglab.domain.access import ApiKey
from livinglab.domain.answers import CityResponse
from livinglab.domain.batches import Batch
from livinglab.domain.contributors import Consent, Contact, Contributor, Donation, Erasure
from livinglab.domain.geometry import Box, Point, distance_m
from livinglab.domain.incidents import Confirmation, Incident, IncidentLink
from livinglab.domain.indicators import (
    AgreementFound,
    Effect,
    EvaluationJob,
    Hypothesis,
    Picture,
)
from livinglab.domain.initiatives import Disturbance, Initiative, InitiativeArea
from livinglab.domain.ledger import LedgerLine, Quarantined, QuarantineState, Tally
from livinglab.domain.moderation import AbuseFlag, Appeal, ModerationAction
from livinglab.domain.notices import EmailCode, Mailbox, Notice, OptOut
from livinglab.domain.observations import (
    Observation,
    PlaceLink,
    Status,
    StatusEvent,
    Visibility,
)
from livinglab.domain.photos import Photo
from livinglab.domain.places import Place, Zone
from livinglab.domain.quality import Mark, QualityVersion, Skew
from livinglab.domain.readings import Interval, Replacement
from livinglab.domain.staff import StaffMember, StaffSession
from livinglab.domain.suppression import Aggregate
from livinglab.domain.texting import Conversation, TextMessage
from livinglab.domain.things import Datastream, Location, Thing
from livinglab.domain.voices import Comment, Feedback, Support
from livinglab.errors import ConflictError, StoreUnavailableError


def _by(
    one: Support | Comment | Feedback | AbuseFlag | Consent | Donation,
) -> list[tuple[str, str, str]]:
    return [("Contributor", "pseudonym", one.contributor)]


_ZONE = Kind(Zone, lambda one: [("key", one.key)], registry=True)
_PLACE = Kind(
    Place,
    lambda one: [("key", one.key)],
    lambda one: [("Zone", "key", one.zone)],
    registry=True,
)
_THING = Kind(
    Thing,
    lambda one: [("key", one.key)],
    lambda one: [("Place", "key", one.place)],
    registry=True,
)
_DATASTREAM = Kind(
    Datastream,
    lambda one: [("key", one.key), ("number", one.number)],
    lambda one: [("Thing", "key", one.thing)],
    registry=True,
)
_LOCATION = Kind(
    Location,
    refers=lambda one: [("Thing", "key", one.thing), ("Place", "key", one.place)],
    append_only=True,
    registry=True,
)
_CONTRIBUTOR = Kind(
    Contributor,
    lambda one: [("pseudonym", one.pseudonym), ("token_sha256", one.token_sha256)],
)
_OBSERVATION = Kind(
    Observation,
    lambda one: [
        ("id", one.id),
        ("client_key", (one.source, one.client_key)),
        ("external_id", one.external_id and (one.source, one.external_id)),
    ],
    lambda one: [("Place", "key", one.place), ("Contributor", "pseudonym", one.contributor)],
)
_PLACE_LINK = Kind(
    PlaceLink,
    refers=lambda one: [("Observation", "id", one.observation), ("Place", "key", one.place)],
    append_only=True,
)
_STATUS_EVENT = Kind(
    StatusEvent, refers=lambda one: [("Observation", "id", one.observation)], append_only=True
)
_CONSENT = Kind(Consent, refers=_by)
_DONATION = Kind(Donation, lambda one: [("dimension", (one.contributor, one.dimension))], _by)
_ERASURE = Kind(Erasure, append_only=True)
_INCIDENT = Kind(Incident, lambda one: [("id", one.id)], lambda one: [("Place", "key", one.place)])
_INCIDENT_LINK = Kind(
    IncidentLink,
    refers=lambda one: [("Observation", "id", one.observation), ("Incident", "id", one.incident)],
    append_only=True,
)
_CONFIRMATION = Kind(Confirmation, refers=lambda one: [("Observation", "id", one.observation)])
_SUPPORT = Kind(Support, lambda one: [("subject", (one.contributor, one.subject))], _by)
_COMMENT = Kind(Comment, lambda one: [("id", one.id)], _by)
_FEEDBACK = Kind(
    Feedback,
    lambda one: [("id", one.id), ("subject", (one.contributor, one.subject, one.dimension))],
    _by,
)
_FLAG = Kind(
    AbuseFlag,
    lambda one: [("subject", (one.contributor, one.subject, one.reason))],
    _by,
)
_ACTION = Kind(ModerationAction, append_only=True)
_APPEAL = Kind(
    Appeal,
    lambda one: [("id", one.id)],
    lambda one: [("Observation", "id", one.observation)],
)
_RESPONSE = Kind(CityResponse, lambda one: [("key", (one.key, one.version))], append_only=True)
_PHOTO = Kind(
    Photo,
    lambda one: [("key", one.key), ("sha256", (one.observation, one.sha256))],
    lambda one: [("Observation", "id", one.observation)],
)
_BATCH = Kind(
    Batch,
    lambda one: [("external_id", (one.source, one.external_id))],
    lambda one: [
        ("Place", "key", one.place) if one.place is not None else ("Zone", "key", one.zone)
    ],
)
_NOTICE = Kind(Notice, lambda one: [("event", (one.recipient, one.topic, one.event))])
_OPT_OUT = Kind(OptOut, lambda one: [("topic", (one.recipient, one.topic))])
_EMAIL_CODE = Kind(
    EmailCode,
    lambda one: [("contributor", one.contributor)],
    lambda one: [("Contributor", "pseudonym", one.contributor)],
)
_CONVERSATION = Kind(
    Conversation,
    lambda one: [("contributor", one.contributor)],
    lambda one: [("Contributor", "pseudonym", one.contributor)],
)
_TEXT_MESSAGE = Kind(TextMessage, lambda one: [("id_sha256", one.id_sha256)])
_AGGREGATE = Kind(
    Aggregate,
    lambda one: [("part", (one.month, one.category, one.part))],
    append_only=True,
)
_STAFF = Kind(StaffMember, lambda one: [("login", one.login)])
_STAFF_SESSION = Kind(
    StaffSession,
    lambda one: [("token_sha256", one.token_sha256)],
    lambda one: [("StaffMember", "login", one.login)],
)
_QUARANTINED = Kind(Quarantined, lambda one: [("message", (one.topic, one.sha256, one.reason))])
_INITIATIVE = Kind(Initiative, lambda one: [("key", one.key)])
_AREA = Kind(
    InitiativeArea,
    lambda one: [("version", (one.initiative, one.version, one.place))],
    lambda one: [("Initiative", "key", one.initiative), ("Place", "key", one.place)],
    append_only=True,
)
_HYPOTHESIS = Kind(
    Hypothesis,
    lambda one: [("version", (one.initiative, one.key, one.version))],
    lambda one: [("Initiative", "key", one.initiative)],
    append_only=True,
)
_EFFECT = Kind(
    Effect,
    lambda one: [("id", one.id)],
    lambda one: [("Initiative", "key", one.initiative)],
    append_only=True,
)
_PICTURE = Kind(
    Picture,
    lambda one: [("name", (one.effect, one.name, one.lang))],
    lambda one: [("Effect", "id", one.effect)],
    append_only=True,
)
_JOB = Kind(
    EvaluationJob,
    lambda one: [("id", one.id)],
    lambda one: [("Initiative", "key", one.initiative)],
)
_DISTURBANCE = Kind(Disturbance, refers=lambda one: [("Place", "key", one.place)])
_AGREEMENT = Kind(
    AgreementFound,
    lambda one: [("subject", (one.subject, one.category, one.observed_property))],
)
_API_KEY = Kind(ApiKey, lambda one: [("name", one.name), ("secret_sha256", one.secret_sha256)])

_KINDS: tuple[Kind[Any], ...] = (
    _ZONE,
    _PLACE,
    _THING,
    _DATASTREAM,
    _LOCATION,
    _CONTRIBUTOR,
    _OBSERVATION,
    _PLACE_LINK,
    _STATUS_EVENT,
    _CONSENT,
    _DONATION,
    _ERASURE,
    _INCIDENT,
    _INCIDENT_LINK,
    _CONFIRMATION,
    _SUPPORT,
    _COMMENT,
    _FEEDBACK,
    _FLAG,
    _ACTION,
    _APPEAL,
    _RESPONSE,
    _PHOTO,
    _BATCH,
    _NOTICE,
    _OPT_OUT,
    _EMAIL_CODE,
    _CONVERSATION,
    _TEXT_MESSAGE,
    _AGGREGATE,
    _STAFF,
    _STAFF_SESSION,
    _QUARANTINED,
    _INITIATIVE,
    _AREA,
    _HYPOTHESIS,
    _EFFECT,
    _PICTURE,
    _JOB,
    _DISTURBANCE,
    _AGREEMENT,
    _API_KEY,
)


@dataclass(frozen=True, slots=True)
class _Checked:
    """What checking remembers; nobody changes it."""

    marks: Mapping[tuple[int, int], Mark] = field(default_factory=dict)
    skews: Mapping[int, Skew] = field(default_factory=dict)
    versions: tuple[QualityVersion, ...] = ()
    judged: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _State:
    """All that is committed; nobody changes it."""

    tables: Mapping[str, Table[Any]] = field(
        default_factory=lambda: {kind.name: Table() for kind in _KINDS}
    )
    version: int = 0
    tallies: Mapping[tuple[date, str], Tally] = field(default_factory=dict)
    arrivals: Mapping[tuple[bytes, str], int] = field(default_factory=dict)
    conflicts: tuple[tuple[Replacement, datetime], ...] = ()
    aliases: Mapping[tuple[str, str], Mapping[int, str]] = field(default_factory=dict)
    checked: _Checked = field(default_factory=_Checked)


class _Zones:
    def __init__(self, rows: Rows[Zone]) -> None:
        self._rows = rows

    def all(self) -> list[Zone]:
        return sorted(self._rows.where(), key=attrgetter("key"))

    def get(self, key: str) -> Zone | None:
        return self._rows.find("key", key)

    def add(self, zone: Zone) -> None:
        self._rows.add([zone])


class _Places:
    def __init__(self, rows: Rows[Place]) -> None:
        self._rows = rows

    def all(self) -> list[Place]:
        return sorted(self._rows.where(), key=attrgetter("key"))

    def get(self, key: str) -> Place | None:
        return self._rows.find("key", key)

    def page(
        self, *, box: Box | None = None, zone: str | None = None, after: str = "", limit: int
    ) -> list[Place]:
        found = self._rows.where(
            lambda one: (
                one.key > after
                and zone in {None, one.zone}
                and (box is None or box.holds(one.point))
            )
        )
        return sorted(found, key=attrgetter("key"))[:limit]

    def several(self, keys: Iterable[str]) -> dict[str, Place]:
        found = {key: self._rows.find("key", key) for key in keys}
        return {key: one for key, one in found.items() if one is not None}

    def around(self, spots: Sequence[tuple[Point, float]]) -> list[Place]:
        found = self._rows.where(
            lambda one: any(
                distance_m(point, one.point) <= reach_m + one.radius_m for point, reach_m in spots
            )
        )
        return sorted(found, key=attrgetter("key"))

    def add(self, place: Place) -> None:
        self._rows.add([place])


class _Things:
    def __init__(
        self,
        things: Rows[Thing],
        datastreams: Rows[Datastream],
        locations: Rows[Location],
        version: Callable[[], int],
    ) -> None:
        self._things = things
        self._datastreams = datastreams
        self._locations = locations
        self._version = version

    def version(self) -> int:
        return self._version()

    def all(self) -> list[Thing]:
        return sorted(self._things.where(), key=attrgetter("key"))

    def get(self, key: str) -> Thing | None:
        return self._things.find("key", key)

    def add(self, things: Sequence[Thing]) -> None:
        self._things.add(things)

    def stood_at(self, places: Iterable[str]) -> list[Thing]:
        wanted = set(places)
        stood = {one.thing for _, one in self._locations.peek() if one.place in wanted}
        found = self._things.where(lambda one: one.place in wanted or one.key in stood)
        return sorted(found, key=attrgetter("key"))

    def datastreams(self, things: Iterable[str] | None = None) -> list[Datastream]:
        if things is None:
            return self._datastreams.where()
        wanted = set(things)
        return self._datastreams.where(lambda one: one.thing in wanted)

    def datastream(self, key: str) -> Datastream | None:
        return self._datastreams.find("key", key)

    def add_datastreams(self, datastreams: Sequence[Datastream]) -> None:
        self._datastreams.add(datastreams)

    def locations(self, thing: str | None = None) -> list[Location]:
        found = self._locations.where(lambda one: thing in {None, one.thing})
        return sorted(found, key=attrgetter("since", "number"))

    def add_locations(self, locations: Sequence[Location]) -> None:
        self._locations.add(locations)


class _Contributors:
    def __init__(self, rows: Rows[Contributor]) -> None:
        self._rows = rows

    def get(self, pseudonym: str) -> Contributor | None:
        return self._rows.find("pseudonym", pseudonym)

    def with_token(self, token_sha256: str) -> Contributor | None:
        return self._rows.find("token_sha256", token_sha256)

    def add(self, contributor: Contributor) -> None:
        self._rows.add([contributor])

    def add_all(self, contributors: Sequence[Contributor]) -> None:
        self._rows.add([copied(one) for one in contributors])

    def remove(self, contributor: Contributor) -> None:
        self._rows.remove(contributor.number or 0)


class _Observations:
    def __init__(
        self,
        observations: Rows[Observation],
        links: Rows[PlaceLink],
        events: Rows[StatusEvent],
        incidents: Rows[Incident],
        members: Rows[IncidentLink],
    ) -> None:
        self._observations = observations
        self._links = links
        self._events = events
        self._incidents = incidents
        self._members = members

    def get(self, observation: UUID) -> Observation | None:
        return self._observations.find("id", observation)

    def posted_as(self, source: str, client_keys: Sequence[str]) -> dict[str, Observation]:
        found = {key: self._observations.find("client_key", (source, key)) for key in client_keys}
        return {key: one for key, one in found.items() if one is not None}

    def add(self, observation: Observation) -> None:
        self._observations.add([observation])

    def add_all(self, postings: Sequence[ports.Posting]) -> None:
        kinds: list[tuple[Rows[Any], list[Any]]] = [
            (self._incidents, [one.incident for one in postings if one.incident]),
            (self._observations, [one.observation for one in postings]),
            (self._links, [one.link for one in postings]),
            (self._events, [event for one in postings for event in one.events]),
            (self._members, [one.member for one in postings if one.member]),
        ]
        before = [(rows, rows.last) for rows, _ in kinds]
        try:
            for rows, entities in kinds:
                rows.add([copied(one) for one in entities])
        except ConflictError:
            for rows, last in before:
                rows.cut(last)
            raise

    def known(self, source: str, external_ids: Sequence[str]) -> set[str]:
        return {
            one
            for one in external_ids
            if self._observations.number(("external_id", (source, one))) is not None
        }

    def page(
        self,
        which: ports.ObservationFilter,
        *,
        after: int | None = None,
        limit: int = 100,
        skip: int = 0,
    ) -> list[Observation]:
        found = [
            number
            for number, one in self._observations.peek()
            if (after is None or number < after) and _fits(one, which)
        ]
        return self._numbered(found[::-1][skip : skip + limit])

    def waiting(self, *, after: int | None = None, limit: int = 100) -> list[Observation]:
        found = [
            number
            for number, one in self._observations.peek()
            if (after is None or number > after) and one.visibility is Visibility.QUARANTINED
        ]
        return self._numbered(found[:limit])

    def _numbered(self, numbers: Iterable[int]) -> list[Observation]:
        found = map(self._observations.numbered, numbers)
        return [one for one in found if one is not None]

    def at_place(self, place: str, interval: Interval | None = None) -> list[Observation]:
        found = self._observations.where(
            lambda one: one.place == place and (interval is None or one.occurred_at in interval)
        )
        return sorted(found, key=attrgetter("occurred_at", "number"))

    def counts_by_place(self, places: Iterable[str]) -> dict[str, dict[tuple[str, Status], int]]:
        wanted = set(places)
        counts: dict[str, dict[tuple[str, Status], int]] = {}
        for _, one in self._observations.peek():
            if one.place in wanted and one.visibility is not Visibility.REMOVED:
                here = counts.setdefault(one.place, {})
                here[one.category, one.status] = here.get((one.category, one.status), 0) + 1
        return counts

    def count(self, *, except_categories: Sequence[str] = ()) -> int:
        left_out = set(except_categories)
        return sum(one.category not in left_out for _, one in self._observations.peek())

    def earliest(self) -> datetime | None:
        return min((one.occurred_at for _, one in self._observations.peek()), default=None)

    def of_incident(self, incident: UUID) -> list[Observation]:
        return self._observations.where(lambda one: one.incident == incident)

    def of_contributor(self, pseudonym: str) -> list[Observation]:
        return self._observations.where(lambda one: one.contributor == pseudonym)

    def link(self, link: PlaceLink) -> None:
        self._links.add([link])

    def links(self, observation: UUID) -> list[PlaceLink]:
        return self._links.where(lambda one: one.observation == observation)

    def note(self, event: StatusEvent) -> None:
        self._events.add([event])

    def events(self, observation: UUID) -> list[StatusEvent]:
        return self._events.where(lambda one: one.observation == observation)

    def events_within(self, interval: Interval, *, limit: int) -> list[StatusEvent]:
        return self._events.where(lambda one: one.at in interval)[:limit]


def _fits(one: Observation, which: ports.ObservationFilter) -> bool:
    return (
        which.place in {None, one.place}
        and which.contributor in {None, one.contributor}
        and (not which.placed or one.public_point is not None)
        and which.category in {None, one.category}
        and which.status in {None, one.status}
        and (which.since is None or one.received_at >= which.since)
        and (which.box is None or _inside(one.public_point, which.box))
        and one.category not in which.except_categories
        and (which.categories is None or one.category in which.categories)
        and (which.visibilities is None or one.visibility in which.visibilities)
        and (which.occurred is None or one.occurred_at in which.occurred)
        and (which.updated is None or (one.updated_at or one.received_at) in which.updated)
    )


def _inside(point: Point | None, box: Box) -> bool:
    return point is not None and box.holds(point)


class _Quarantine:
    def __init__(self, rows: Rows[Quarantined]) -> None:
        self._rows = rows

    def keep(self, refused: Sequence[Quarantined]) -> None:
        for one in refused:
            known = self._rows.find("message", (one.topic, one.sha256, one.reason))
            if known is None:
                self._rows.add([copied(one)])
            else:
                known.count += one.count
                known.last_seen = max(known.last_seen, one.last_seen)
                known.state = QuarantineState.WAITING

    def get(self, number: int) -> Quarantined | None:
        return self._rows.numbered(number)

    def page(
        self,
        *,
        state: QuarantineState | None = QuarantineState.WAITING,
        reason: str | None = None,
        route: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[Quarantined]:
        found = [
            number
            for number, one in self._rows.peek()
            if number > after
            and state in {None, one.state}
            and reason in {None, one.reason}
            and route in {None, one.route}
        ]
        pages = map(self._rows.numbered, found[:limit])
        return [one for one in pages if one is not None]

    def counts(self) -> dict[tuple[str, str], int]:
        counts: dict[tuple[str, str], int] = {}
        for _, one in self._rows.peek():
            if one.state is QuarantineState.WAITING:
                key = (one.route, one.reason)
                counts[key] = counts.get(key, 0) + 1
        return counts

    def size(self) -> int:
        return sum(len(one.payload) for _, one in self._rows.peek())


class _Ledger:
    def __init__(self, tallies: Mapping[tuple[date, str], Tally]) -> None:
        self.tallies = tallies

    def add(self, lines: Sequence[LedgerLine]) -> None:
        tallies = dict(self.tallies)
        for line in lines:
            tally = replace(tallies.get((line.day, line.route), Tally()))
            tally.add(line.tally)
            tallies[line.day, line.route] = tally
        self.tallies = tallies

    def lines(self, since: date | None = None) -> list[LedgerLine]:
        return [
            LedgerLine(route, day, replace(self.tallies[day, route]))
            for day, route in sorted(self.tallies)
            if since is None or day >= since
        ]


class _ReceiveLog:
    def __init__(self, arrivals: Mapping[tuple[bytes, str], int]) -> None:
        self.arrivals = arrivals

    def remember(self, arrivals: Sequence[tuple[bytes, str, int]]) -> None:
        known = dict(self.arrivals)
        for topic, sha256, arrival in arrivals:
            known[topic, sha256] = arrival
        self.arrivals = known

    def recall(self, messages: Sequence[tuple[bytes, str]]) -> dict[tuple[bytes, str], int]:
        return {one: self.arrivals[one] for one in messages if one in self.arrivals}

    def forget(self, before_ms: int) -> None:
        self.arrivals = {one: ms for one, ms in self.arrivals.items() if ms >= before_ms}


class _Aliases:
    def __init__(self, known: Mapping[tuple[str, str], Mapping[int, str]]) -> None:
        self.known = known

    def of(self, scheme: str, sender: str) -> dict[int, str]:
        return dict(self.known.get((scheme, sender), {}))

    def put(self, scheme: str, sender: str, aliases: Mapping[int, str]) -> None:
        self.known = {**self.known, (scheme, sender): dict(aliases)}


class _Conflicts:
    def __init__(
        self, lost: tuple[tuple[Replacement, datetime], ...], datastreams: Rows[Datastream]
    ) -> None:
        self.lost = lost
        self._datastreams = datastreams

    def keep(self, lost: Sequence[Replacement], at: datetime) -> None:
        for one in lost:
            if self._datastreams.number(("number", one.datastream)) is None:
                raise ConflictError(f"there is no Datastream {one.datastream} to conflict within")
        self.lost += tuple((one, at) for one in lost)

    def count(self) -> int:
        return len(self.lost)


class _Quality:
    def __init__(self, checked: _Checked, datastreams: Rows[Datastream]) -> None:
        self.checked = checked
        self._datastreams = datastreams

    def mark(self, marks: Sequence[Mark]) -> None:
        self._require(one.datastream for one in marks)
        held = dict(self.checked.marks)
        for one in marks:
            known = held.get((one.datastream, one.day), one)
            held[one.datastream, one.day] = one._replace(
                soon=one.soon or known.soon, at=max(one.at, known.at)
            )
        self.checked = replace(self.checked, marks=held)

    def due(self, ripe_ms: int, *, limit: int = 1_000) -> list[Mark]:
        held = self.checked.marks.values()
        return sorted(one for one in held if one.soon or one.at <= ripe_ms)[:limit]

    def seen(self, marks: Sequence[Mark], ripe_ms: int) -> None:
        held = dict(self.checked.marks)
        for one in marks:
            key = (one.datastream, one.day)
            if key in held and held[key].at == one.at:
                if one.at <= ripe_ms:
                    del held[key]
                else:
                    held[key] = held[key]._replace(soon=False)
        self.checked = replace(self.checked, marks=held)

    def note_skews(self, skews: Sequence[Skew]) -> None:
        self._require(one.datastream for one in skews)
        last = {one.datastream: one for one in skews}
        self.checked = replace(self.checked, skews={**self.checked.skews, **last})

    def skews(self, datastreams: Iterable[int]) -> list[Skew]:
        held = self.checked.skews
        return [held[number] for number in sorted(set(datastreams)) if number in held]

    def versions(self) -> list[QualityVersion]:
        return list(self.checked.versions)

    def add_version(self, version: QualityVersion) -> None:
        self.checked = replace(self.checked, versions=(*self.checked.versions, version))

    def judged(self) -> dict[int, int]:
        return dict(self.checked.judged)

    def note_judged(self, datastream: int, version: int) -> None:
        self._require([datastream])
        self.checked = replace(self.checked, judged={**self.checked.judged, datastream: version})

    def _require(self, datastreams: Iterable[int]) -> None:
        for number in datastreams:
            if self._datastreams.number(("number", number)) is None:
                raise ConflictError(f"there is no Datastream {number} to remember anything of")


class _Initiatives:
    def __init__(self, rows: Mapping[str, Rows[Any]]) -> None:
        self._initiatives: Rows[Initiative] = rows[_INITIATIVE.name]
        self._areas: Rows[InitiativeArea] = rows[_AREA.name]
        self._hypotheses: Rows[Hypothesis] = rows[_HYPOTHESIS.name]
        self._effects: Rows[Effect] = rows[_EFFECT.name]
        self._pictures: Rows[Picture] = rows[_PICTURE.name]
        self._jobs: Rows[EvaluationJob] = rows[_JOB.name]
        self._disturbances: Rows[Disturbance] = rows[_DISTURBANCE.name]
        self._agreements: Rows[AgreementFound] = rows[_AGREEMENT.name]

    def all(self) -> list[Initiative]:
        return sorted(self._initiatives.where(), key=attrgetter("key"))

    def get(self, key: str) -> Initiative | None:
        return self._initiatives.find("key", key)

    def add(self, initiative: Initiative) -> None:
        self._initiatives.add([initiative])

    def areas(self, initiative: str) -> list[InitiativeArea]:
        return self._areas.where(lambda one: one.initiative == initiative)

    def add_areas(self, areas: Sequence[InitiativeArea]) -> None:
        self._areas.add(areas)

    def hypotheses(self, initiative: str) -> list[Hypothesis]:
        return self._hypotheses.where(lambda one: one.initiative == initiative)

    def add_hypothesis(self, hypothesis: Hypothesis) -> None:
        self._hypotheses.add([hypothesis])

    def effects(self, initiative: str) -> list[Effect]:
        return self._effects.where(lambda one: one.initiative == initiative)

    def effect(self, effect: UUID) -> Effect | None:
        return self._effects.find("id", effect)

    def add_effect(self, effect: Effect, pictures: Sequence[Picture] = ()) -> None:
        self._effects.add([effect])
        self._pictures.add(pictures)

    def picture(self, effect: UUID, name: str, lang: str) -> Picture | None:
        return self._pictures.find("name", (effect, name, lang))

    def jobs(self, initiative: str | None = None) -> list[EvaluationJob]:
        return self._jobs.where(lambda one: initiative in {None, one.initiative})

    def job(self, job: UUID) -> EvaluationJob | None:
        return self._jobs.find("id", job)

    def add_job(self, job: EvaluationJob) -> None:
        self._jobs.add([job])

    def disturbances(self) -> list[Disturbance]:
        return sorted(self._disturbances.where(), key=attrgetter("since", "number"))

    def add_disturbance(self, disturbance: Disturbance) -> None:
        self._disturbances.add([disturbance])

    def agreements(self, subject: str) -> list[AgreementFound]:
        found = self._agreements.where(lambda one: one.subject == subject)
        return sorted(found, key=attrgetter("category", "observed_property"))

    def note_agreement(self, found: AgreementFound) -> None:
        key = (found.subject, found.category, found.observed_property)
        last = self._agreements.find("subject", key)
        if last is None:
            self._agreements.add([found])
            return
        last.computed_at, last.document = found.computed_at, found.document


class _Keys:
    def __init__(self, rows: Rows[ApiKey]) -> None:
        self._rows = rows

    def all(self) -> list[ApiKey]:
        return self._rows.where()

    def with_secret(self, secret_sha256: str) -> ApiKey | None:
        self._rows.flush()
        return self._rows.find("secret_sha256", secret_sha256)

    def add(self, key: ApiKey) -> None:
        self._rows.flush()
        self._rows.add([key])

    def named(self, name: str) -> ApiKey | None:
        self._rows.flush()
        return self._rows.find("name", name)

    def remove(self, name: str) -> None:
        number = self._rows.number(("name", name))
        if number is not None:
            self._rows.remove(number)


class _Work:
    """One unit of work on a state."""

    def __init__(self, state: _State) -> None:
        self._base = state
        self._rows: dict[str, Rows[Any]] = {}
        for kind in _KINDS:
            self._rows[kind.name] = Rows(kind, state.tables[kind.name], self._rows)
        self.zones: ports.Zones = _Zones(self._of(_ZONE))
        self.places: ports.Places = _Places(self._of(_PLACE))
        datastreams = self._of(_DATASTREAM)
        self.things: ports.Things = _Things(
            self._of(_THING), datastreams, self._of(_LOCATION), self.version
        )
        self.contributors: ports.Contributors = _Contributors(self._of(_CONTRIBUTOR))
        self.observations: ports.Observations = _Observations(
            self._of(_OBSERVATION),
            self._of(_PLACE_LINK),
            self._of(_STATUS_EVENT),
            self._of(_INCIDENT),
            self._of(_INCIDENT_LINK),
        )
        self.consents: ports.Collection[Consent] = self._collected(_CONSENT)
        self.donations: ports.Collection[Donation] = self._collected(_DONATION)
        self.erasures: ports.Collection[Erasure] = self._collected(_ERASURE)
        self.incidents: ports.Collection[Incident] = self._collected(_INCIDENT)
        self.incident_links: ports.Collection[IncidentLink] = self._collected(_INCIDENT_LINK)
        self.confirmations: ports.Collection[Confirmation] = self._collected(_CONFIRMATION)
        self.supports: ports.Collection[Support] = self._collected(_SUPPORT)
        self.comments: ports.Collection[Comment] = self._collected(_COMMENT)
        self.feedback: ports.Collection[Feedback] = self._collected(_FEEDBACK)
        self.flags: ports.Collection[AbuseFlag] = self._collected(_FLAG)
        self.actions: ports.Collection[ModerationAction] = self._collected(_ACTION)
        self.appeals: ports.Collection[Appeal] = self._collected(_APPEAL)
        self.responses: ports.Collection[CityResponse] = self._collected(_RESPONSE)
        self.photos: ports.Collection[Photo] = self._collected(_PHOTO)
        self.batches: ports.Collection[Batch] = self._collected(_BATCH)
        self.notices: ports.Collection[Notice] = self._collected(_NOTICE)
        self.opt_outs: ports.Collection[OptOut] = self._collected(_OPT_OUT)
        self.email_codes: ports.Collection[EmailCode] = self._collected(_EMAIL_CODE)
        self.conversations: ports.Collection[Conversation] = self._collected(_CONVERSATION)
        self.text_messages: ports.Collection[TextMessage] = self._collected(_TEXT_MESSAGE)
        self.aggregates: ports.Collection[Aggregate] = self._collected(_AGGREGATE)
        self.staff: ports.Collection[StaffMember] = self._collected(_STAFF)
        self.staff_sessions: ports.Collection[StaffSession] = self._collected(_STAFF_SESSION)
        self.quarantine: ports.Quarantine = _Quarantine(self._of(_QUARANTINED))
        self.initiatives: ports.Initiatives = _Initiatives(self._rows)
        self.keys: ports.Keys = _Keys(self._of(_API_KEY))
        self._ledger = _Ledger(state.tallies)
        self._receive_log = _ReceiveLog(state.arrivals)
        self._conflicts = _Conflicts(state.conflicts, datastreams)
        self._aliases = _Aliases(state.aliases)
        self._quality = _Quality(state.checked, datastreams)
        self.ledger: ports.Ledger = self._ledger
        self.receive_log: ports.ReceiveLog = self._receive_log
        self.conflicts: ports.Conflicts = self._conflicts
        self.aliases: ports.Aliases = self._aliases
        self.quality: ports.Quality = self._quality

    def _collected(self, kind: Kind[E]) -> MemoryCollection[E]:
        return MemoryCollection(self._of(kind))

    def _of(self, kind: Kind[E]) -> Rows[E]:
        return cast("Rows[E]", self._rows[kind.name])

    def version(self) -> int:
        registry = [self._rows[kind.name] for kind in _KINDS if kind.registry]
        for rows in registry:
            rows.flush()
        return self._base.version + sum(rows.changes for rows in registry)

    def committed(self) -> _State:
        for rows in self._rows.values():
            rows.flush()
        return _State(
            {name: rows.committed() for name, rows in self._rows.items()},
            self.version(),
            self._ledger.tallies,
            self._receive_log.arrivals,
            self._conflicts.lost,
            self._aliases.known,
            self._quality.checked,
        )

    def undo(self) -> None:
        for rows in self._rows.values():
            rows.undo()


class MemoryCivicStore:
    """Civic data as long as the process lives; one unit of work writes at a time."""

    def __init__(self, *, patience_s: float = 20.0) -> None:
        """Begin empty.

        Args:
            patience_s: How long a writer waits for another. [s]
        """
        self._state = _State()
        self._writing = Lock()
        self._patience_s = patience_s

    @contextmanager
    def work(self, *, write: bool = True) -> Iterator[ports.UnitOfWork]:
        """Open a unit of work: kept on a clean exit, undone otherwise or with ``write=False``.

        Raises:
            StoreUnavailableError: Another unit of work has been writing for too long.
        """
        with self._turn() if write else nullcontext():
            work = _Work(self._state)
            try:
                yield work
                kept = work.committed() if write else None
            except BaseException:
                work.undo()
                raise
            if kept is None:
                work.undo()
            else:
                self._state = kept

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._writing.acquire(timeout=self._patience_s):
            raise StoreUnavailableError(
                "civic data", "another unit of work has not ended", "try again"
            )
        try:
            yield
        finally:
            self._writing.release()

    def scrub(self) -> bool:
        """Tell that nothing is on a disk."""
        return True

    def ping(self) -> str:
        """Return what answers."""
        return "memory"

    def close(self) -> None:
        """Let go of nothing: what is kept goes with the store."""


class MemoryVault:
    """Contacts as long as the process lives."""

    def __init__(self) -> None:
        """Begin empty."""
        self._contacts: dict[str, Contact] = {}
        self._notes: dict[tuple[str, str], str] = {}
        self._mailboxes: dict[str, Mailbox] = {}

    def put(self, contact: Contact) -> None:
        """Keep or replace the Contact of a pseudonym."""
        self._contacts[contact.pseudonym] = replace(contact)

    def get(self, pseudonym: str) -> Contact | None:
        """Return the Contact of a pseudonym."""
        contact = self._contacts.get(pseudonym)
        return replace(contact) if contact else None

    def erase(self, pseudonym: str) -> bool:
        """Forget Contact and notes of a pseudonym for good; tell whether there were any."""
        notes = [key for key in self._notes if key[0] == pseudonym]
        for key in notes:
            del self._notes[key]
        gone = self._contacts.pop(pseudonym, None), self._mailboxes.pop(pseudonym, None)
        return any(gone) or bool(notes)

    def open_mailbox(self, mailbox: Mailbox) -> None:
        """Keep or replace the Mailbox of a pseudonym."""
        self._mailboxes[mailbox.pseudonym] = mailbox

    def mailboxes(self) -> list[Mailbox]:
        """List them by pseudonym."""
        return [self._mailboxes[key] for key in sorted(self._mailboxes)]

    def mailbox(self, pseudonym: str) -> Mailbox | None:
        """Return the one of a pseudonym."""
        return self._mailboxes.get(pseudonym)

    def mailbox_of(self, token: str) -> Mailbox | None:
        """Return the one whose letters a link ends."""
        return next((one for one in self._mailboxes.values() if one.token == token), None)

    def close_mailbox(self, pseudonym: str) -> bool:
        """Forget the Mailbox of a pseudonym; tell whether there was one."""
        return self._mailboxes.pop(pseudonym, None) is not None

    def note(self, pseudonym: str, name: str, text: str) -> None:
        """Keep what somebody had posted before it was changed."""
        self._notes[pseudonym, name] = text

    def noted(self, pseudonym: str, name: str) -> str | None:
        """Return one of these notes."""
        return self._notes.get((pseudonym, name))

    def ping(self) -> str:
        """Return what answers."""
        return "memory"

    def close(self) -> None:
        """Let go of nothing: what is kept goes with the Vault."""
