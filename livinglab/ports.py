"""Ports: what the core needs from the world, as promises. Every adapter passes the same suite."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from threading import Event
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

from livinglab.domain.access import ApiKey
from livinglab.domain.addresses import Located
from livinglab.domain.answers import CityResponse
from livinglab.domain.batches import Batch
from livinglab.domain.contributors import Consent, Contact, Contributor, Donation, Erasure
from livinglab.domain.geometry import Box, Point
from livinglab.domain.incidents import Confirmation, Incident, IncidentLink
from livinglab.domain.indicators import (
    AgreementFound,
    Effect,
    EvaluationJob,
    Hypothesis,
    Picture,
)
from livinglab.domain.initiatives import Disturbance, Initiative, InitiativeArea
from livinglab.domain.ledger import LedgerLine, Quarantined, QuarantineState
from livinglab.domain.moderation import AbuseFlag, Appeal, ModerationAction
from livinglab.domain.notices import EmailCode, Letter, Mailbox, Notice, OptOut
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
from livinglab.domain.readings import (
    Aggregation,
    Appended,
    Bucket,
    Flag,
    Interval,
    Reading,
    ReadingBatch,
    Replacement,
)
from livinglab.domain.staff import StaffMember, StaffSession
from livinglab.domain.suppression import Aggregate
from livinglab.domain.texting import Conversation, TextMessage
from livinglab.domain.things import Datastream, Location, Thing
from livinglab.domain.voices import Comment, Feedback, Support

E = TypeVar("E")


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...


class ReadingStore(Protocol):
    """Keeps Readings for ever; knows Datastreams by number only.

    One row per (Datastream, time). Missing stays missing (NaN, Flag.MISSING). Intervals are
    half-open, answers oldest first. Any thread may call any method at any time.
    """

    def append(self, batch: ReadingBatch) -> Appended:
        """Make a batch durable, all of it or nothing, then tell what became of each row.

        Rows are applied as if one after the other: the last word wins, even within the batch. A
        repeated result leaves the stored row as it was. Where a number replaces another number,
        the stored flag becomes at least SUSPECT with the bit CONFLICT, and the loser is returned
        as a Replacement; a missing result that is filled in, or a result withdrawn, is REPLACED
        and returned likewise, without that bit. The batch itself is not changed. A row that the
        store will never take, such as one from before its retention, is REFUSED, with a RefusedRow
        that says why, and costs no other.

        Raises:
            StoreUnavailableError: Within 25 s at the latest; the same batch may be appended again.
        """
        ...

    def reflag(self, judged: ReadingBatch) -> int:
        """Give stored rows the flags and tests of a batch, durably, and count those that changed.

        A row is changed only where the stored result is still the one that was judged; where it
        differs or nothing is stored, nothing happens, and so a missing row stays missing. Nothing
        but flag and tests ever changes. The days of changed rows are rolled up again like those of
        appended ones. Each key comes once in a batch. All of it or nothing.

        Raises:
            StoreUnavailableError: Nothing is certain; the same batch may be judged again.
        """
        ...

    def between(
        self, datastream: int, interval: Interval, *, limit: int | None = None
    ) -> list[Reading]:
        """List the Readings of a Datastream in an Interval, oldest first, *limit* at the most."""
        ...

    def latest(self, datastreams: Iterable[int]) -> dict[int, Reading]:
        """Return the Reading of the greatest time for each Datastream that has one.

        A late arrival never moves it backwards; a row whose flag is MISSING counts like any other.
        """
        ...

    def every(
        self,
        datastream: int,
        interval: Interval,
        every: timedelta,
        aggregation: Aggregation,
    ) -> list[Bucket]:
        """Average a Datastream over periods of equal length, aligned to the Interval's start.

        Only flags 1 and 2 enter; flag 3 is counted beside. Periods without either are left out.
        """
        ...

    def count(self) -> int:
        """Count all rows."""
        ...

    def flags(self, datastreams: Iterable[int] | None = None) -> dict[int, dict[Flag, int]]:
        """Count the rows of each Datastream by flag."""
        ...

    def tidy(self, aggregations: Mapping[int, Aggregation], until: datetime) -> None:
        """Roll up what changed and compact months that ended before *until*; yields to writers."""
        ...

    def forget(self, before: datetime) -> int:
        """Drop all rows before an instant, and return how many; roll-ups of them may stay.

        Tidy first, or what nobody rolled up yet is gone for good.

        Raises:
            StoreUnavailableError: Nothing is certain; the same call may be made again.
        """
        ...

    def ping(self) -> str:
        """Return name and version of what answers, or raise StoreUnavailableError."""
        ...

    def close(self) -> None:
        """Let go of everything; a second call does nothing."""
        ...


class Zones(Protocol):
    """The Zones of the city."""

    def all(self) -> list[Zone]:
        """List every Zone by key."""
        ...

    def get(self, key: str) -> Zone | None:
        """Return one."""
        ...

    def add(self, zone: Zone) -> None:
        """Keep a new one."""
        ...


class Places(Protocol):
    """The Places of the city."""

    def all(self) -> list[Place]:
        """List every Place by key."""
        ...

    def get(self, key: str) -> Place | None:
        """Return one."""
        ...

    def around(self, spots: Sequence[tuple[Point, float]]) -> list[Place]:
        """List by key those whose edge may lie within reach of a Point, and perhaps some more.

        Args:
            spots: Points, each with its reach. [m]
        """
        ...

    def page(
        self, *, box: Box | None = None, zone: str | None = None, after: str = "", limit: int
    ) -> list[Place]:
        """List by key, from behind a key on, those of a box and of a Zone."""
        ...

    def several(self, keys: Iterable[str]) -> dict[str, Place]:
        """Return those of some keys that are stored."""
        ...

    def add(self, place: Place) -> None:
        """Keep a new one and give it a number."""
        ...


class Things(Protocol):
    """The registry of Things, their Datastreams and where they stood."""

    def version(self) -> int:
        """Return a number that grows with every committed change of the registry or of Places.

        It grows by itself: `add`, `add_datastream`, `add_location`, `Places.add` and changes of
        loaded Things all move it.
        """
        ...

    def all(self) -> list[Thing]:
        """List every Thing by key."""
        ...

    def get(self, key: str) -> Thing | None:
        """Return one."""
        ...

    def add(self, things: Sequence[Thing]) -> None:
        """Keep new ones and give them numbers."""
        ...

    def stood_at(self, places: Iterable[str]) -> list[Thing]:
        """List those that stand at one of these Places or stood there, by key."""
        ...

    def datastreams(self, things: Iterable[str] | None = None) -> list[Datastream]:
        """List every Datastream, or those of some Things, by number."""
        ...

    def datastream(self, key: str) -> Datastream | None:
        """Return one by its public key."""
        ...

    def add_datastreams(self, datastreams: Sequence[Datastream]) -> None:
        """Keep new ones and give them numbers that were never used before."""
        ...

    def locations(self, thing: str | None = None) -> list[Location]:
        """List Locations, those of one Thing or all, oldest first."""
        ...

    def add_locations(self, locations: Sequence[Location]) -> None:
        """Append to the history."""
        ...


class Contributors(Protocol):
    """Pseudonyms."""

    def get(self, pseudonym: str) -> Contributor | None:
        """Return one."""
        ...

    def with_token(self, token_sha256: str) -> Contributor | None:
        """Return the one behind a device token."""
        ...

    def add(self, contributor: Contributor) -> None:
        """Keep a new one."""
        ...

    def add_all(self, contributors: Sequence[Contributor]) -> None:
        """Keep many new ones, which are not watched: see `Observations.add_all`."""
        ...

    def remove(self, contributor: Contributor) -> None:
        """Forget one that nothing refers to any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationFilter:
    """Which Observations are asked for; None does not restrict."""

    place: str | None = None
    category: str | None = None
    status: Status | None = None
    since: datetime | None = None
    """By received_at."""
    box: Box | None = None
    """By the public point."""
    except_categories: tuple[str, ...] = ()
    categories: tuple[str, ...] | None = None
    """Any of these."""
    visibilities: tuple[Visibility, ...] | None = None
    """Any of these."""
    occurred: Interval | None = None
    updated: Interval | None = None
    """By the last change, or the receipt where nothing changed."""
    contributor: str | None = None
    placed: bool = False
    """Only those that have a public point."""


@dataclass(frozen=True, slots=True)
class Posting:
    """An Observation with the first lines of its histories, not kept yet."""

    observation: Observation
    link: PlaceLink
    events: Sequence[StatusEvent]
    incident: Incident | None = None
    """The one that begins with it."""
    member: IncidentLink | None = None
    """How it belongs to its Incident."""


class Collection(Protocol[E]):
    """Entities of one kind, asked for by the values of their fields."""

    def add(self, entities: Sequence[E]) -> None:
        """Keep new ones and number them: all of them, or none.

        Raises:
            ConflictError: One is stored already, or names something that is not.
        """
        ...

    def where(
        self,
        *,
        after: int | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        within: tuple[str, Interval] | None = None,
        **fields: Any,
    ) -> list[E]:
        """List by number those whose fields have these values.

        Args:
            within: A field that holds an instant, and the Interval in which it must lie.
            after: Number that the page before ended with.
            limit: How many at the most.
            newest_first: From the last number down.
            fields: A value each; a set of values stands for any of them.
        """
        ...

    def one(self, **fields: Any) -> E | None:
        """Return the newest of those."""
        ...

    def count(self, **fields: Any) -> int:
        """Count those."""
        ...

    def remove(self, entities: Sequence[E]) -> None:
        """Forget some; history is not forgotten.

        Raises:
            ConflictError: The kind is append-only.
        """
        ...


class Observations(Protocol):
    """What citizens posted."""

    def get(self, observation: UUID) -> Observation | None:
        """Return one."""
        ...

    def posted_as(self, source: str, client_keys: Sequence[str]) -> dict[str, Observation]:
        """Return those that a source posted under some keys, by key."""
        ...

    def add(self, observation: Observation) -> None:
        """Keep a new one."""
        ...

    def add_all(self, postings: Sequence[Posting]) -> None:
        """Keep many new ones with their Incidents and histories: all of them, or none.

        They are not watched: what is changed on them afterwards is not kept, nor are they numbered.

        Raises:
            ConflictError: One is stored already, or names something that is not.
        """
        ...

    def known(self, source: str, external_ids: Sequence[str]) -> set[str]:
        """Return which of some ids a source has handed over already."""
        ...

    def page(
        self,
        which: ObservationFilter,
        *,
        after: int | None = None,
        limit: int = 100,
        skip: int = 0,
    ) -> list[Observation]:
        """List newest first, by number; *after* is the last number of the page before."""
        ...

    def waiting(self, *, after: int | None = None, limit: int = 100) -> list[Observation]:
        """List what is quarantined, oldest first."""
        ...

    def at_place(self, place: str, interval: Interval | None = None) -> list[Observation]:
        """List all of a Place by occurred_at, oldest first."""
        ...

    def counts_by_place(self, places: Iterable[str]) -> dict[str, dict[tuple[str, Status], int]]:
        """Count at some Places, by category and status; what is removed does not count."""
        ...

    def count(self, *, except_categories: Sequence[str] = ()) -> int:
        """Count all, or all but those of some categories."""
        ...

    def earliest(self) -> datetime | None:
        """Return when the first of all occurred; None: there are none."""
        ...

    def of_incident(self, incident: UUID) -> list[Observation]:
        """List those of an Incident, by number."""
        ...

    def of_contributor(self, pseudonym: str) -> list[Observation]:
        """List those of a Contributor, by number."""
        ...

    def link(self, link: PlaceLink) -> None:
        """Append to the history of attachments."""
        ...

    def links(self, observation: UUID) -> list[PlaceLink]:
        """List the attachments, oldest first."""
        ...

    def note(self, event: StatusEvent) -> None:
        """Append to the history of states; the caller changes the Observation alike."""
        ...

    def events(self, observation: UUID) -> list[StatusEvent]:
        """List the states, oldest first."""
        ...

    def events_within(self, interval: Interval, *, limit: int) -> list[StatusEvent]:
        """List the states that began in an Interval, oldest first."""
        ...


class Quarantine(Protocol):
    """What was refused, with its bytes."""

    def keep(self, refused: Sequence[Quarantined]) -> None:
        """Keep each; one of the same topic, hash and reason counts on instead and waits again."""
        ...

    def get(self, number: int) -> Quarantined | None:
        """Return one."""
        ...

    def page(
        self,
        *,
        state: QuarantineState | None = QuarantineState.WAITING,
        reason: str | None = None,
        route: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[Quarantined]:
        """List by number, from the one after *after*."""
        ...

    def counts(self) -> dict[tuple[str, str], int]:
        """Count what waits, by route and reason."""
        ...

    def size(self) -> int:
        """Measure the payloads that are kept. [bytes]"""
        ...


class Ledger(Protocol):
    """Counts per route and UTC day; see `domain.ledger`."""

    def add(self, lines: Sequence[LedgerLine]) -> None:
        """Add counts to what is there."""
        ...

    def lines(self, since: date | None = None) -> list[LedgerLine]:
        """List by day and route."""
        ...


class ReceiveLog(Protocol):
    """When messages without a time of their own first arrived, so that a retry keeps its key."""

    def remember(self, arrivals: Sequence[tuple[bytes, str, int]]) -> None:
        """Keep (topic, sha256 of the payload, arrival [ms]); a later arrival replaces."""
        ...

    def recall(self, messages: Sequence[tuple[bytes, str]]) -> dict[tuple[bytes, str], int]:
        """Return the arrival [ms] of those (topic, sha256) that are known."""
        ...

    def forget(self, before_ms: int) -> None:
        """Drop arrivals before an instant. [ms since 1970 UTC]"""
        ...


class Aliases(Protocol):
    """What senders defined once, and refer to since by number."""

    def of(self, scheme: str, sender: str) -> dict[int, str]:
        """Return what a sender defined last, by number; empty if nothing."""
        ...

    def put(self, scheme: str, sender: str, aliases: Mapping[int, str]) -> None:
        """Keep what a sender defines, in place of all before; numbers have 64 bits with sign."""
        ...


class Conflicts(Protocol):
    """Results that lost their instant to a later word."""

    def keep(self, lost: Sequence[Replacement], at: datetime) -> None:
        """Append."""
        ...

    def count(self) -> int:
        """Count all."""
        ...


class Quality(Protocol):
    """What checking remembers: days to check again, skews, and which tests were in force."""

    def mark(self, marks: Sequence[Mark]) -> None:
        """Note days of Datastreams; one that is noted already is as new as the newest mark.

        Each (Datastream, day) comes once. ``soon`` stays until the day was seen.
        """
        ...

    def due(self, ripe_ms: int, *, limit: int = 1_000) -> list[Mark]:
        """List marks no younger than an instant, and those to be seen soon; by Datastream, day."""
        ...

    def seen(self, marks: Sequence[Mark], ripe_ms: int) -> None:
        """Drop marks that were due and are ripe; of others only ``soon`` is over.

        A mark that was made anew since it was listed stays as it is.
        """
        ...

    def note_skews(self, skews: Sequence[Skew]) -> None:
        """Keep the last Skew of each Datastream; each comes once."""
        ...

    def skews(self, datastreams: Iterable[int]) -> list[Skew]:
        """Return the Skews of Datastreams that have one, by number."""
        ...

    def versions(self) -> list[QualityVersion]:
        """List which tests were in force since when, oldest first."""
        ...

    def add_version(self, version: QualityVersion) -> None:
        """Append to the history."""
        ...

    def judged(self) -> dict[int, int]:
        """Return the version by which all Readings of a Datastream were judged at least."""
        ...

    def note_judged(self, datastream: int, version: int) -> None:
        """Keep that version."""
        ...


class Initiatives(Protocol):
    """Initiatives, what they expected where, and what was found."""

    def all(self) -> list[Initiative]:
        """List every Initiative by key."""
        ...

    def get(self, key: str) -> Initiative | None:
        """Return one."""
        ...

    def add(self, initiative: Initiative) -> None:
        """Keep a new one."""
        ...

    def areas(self, initiative: str) -> list[InitiativeArea]:
        """List all versions of its areas, oldest first."""
        ...

    def add_areas(self, areas: Sequence[InitiativeArea]) -> None:
        """Append a version."""
        ...

    def hypotheses(self, initiative: str) -> list[Hypothesis]:
        """List all versions of its Hypotheses, oldest first."""
        ...

    def add_hypothesis(self, hypothesis: Hypothesis) -> None:
        """Append a version; a version is written once."""
        ...

    def effects(self, initiative: str) -> list[Effect]:
        """List what was found, oldest first."""
        ...

    def effect(self, effect: UUID) -> Effect | None:
        """Return one."""
        ...

    def add_effect(self, effect: Effect, pictures: Sequence[Picture] = ()) -> None:
        """Append, with its pictures; an id is used once."""
        ...

    def picture(self, effect: UUID, name: str, lang: str) -> Picture | None:
        """Return one picture of an Effect."""
        ...

    def jobs(self, initiative: str | None = None) -> list[EvaluationJob]:
        """List the evaluations that were asked for, of one Initiative or of all, oldest first."""
        ...

    def job(self, job: UUID) -> EvaluationJob | None:
        """Return one."""
        ...

    def add_job(self, job: EvaluationJob) -> None:
        """Keep a new one."""
        ...

    def disturbances(self) -> list[Disturbance]:
        """List what else happened, oldest first."""
        ...

    def add_disturbance(self, disturbance: Disturbance) -> None:
        """Append."""
        ...

    def agreements(self, subject: str) -> list[AgreementFound]:
        """List the last agreement of each category and property of a subject, by these."""
        ...

    def note_agreement(self, found: AgreementFound) -> None:
        """Keep in place of the last one of its subject, category and property."""
        ...


class Keys(Protocol):
    """Access keys, by hash."""

    def all(self) -> list[ApiKey]:
        """List them in the order in which they were made."""
        ...

    def with_secret(self, secret_sha256: str) -> ApiKey | None:
        """Return the one that a secret opens."""
        ...

    def add(self, key: ApiKey) -> None:
        """Keep a new one; a name is used once."""
        ...

    def named(self, name: str) -> ApiKey | None:
        """Return the one of a name."""
        ...

    def remove(self, name: str) -> None:
        """Forget the one of a name, if there is one."""
        ...


class UnitOfWork(Protocol):
    """All civic changes of one transaction, or none.

    Changes of loaded entities are kept on commit. Services never commit; whoever opened it does.
    """

    zones: Zones
    places: Places
    things: Things
    contributors: Contributors
    observations: Observations
    consents: Collection[Consent]
    donations: Collection[Donation]
    erasures: Collection[Erasure]
    incidents: Collection[Incident]
    incident_links: Collection[IncidentLink]
    confirmations: Collection[Confirmation]
    supports: Collection[Support]
    comments: Collection[Comment]
    feedback: Collection[Feedback]
    flags: Collection[AbuseFlag]
    actions: Collection[ModerationAction]
    appeals: Collection[Appeal]
    responses: Collection[CityResponse]
    photos: Collection[Photo]
    batches: Collection[Batch]
    notices: Collection[Notice]
    opt_outs: Collection[OptOut]
    email_codes: Collection[EmailCode]
    conversations: Collection[Conversation]
    text_messages: Collection[TextMessage]
    aggregates: Collection[Aggregate]
    staff: Collection[StaffMember]
    staff_sessions: Collection[StaffSession]
    quarantine: Quarantine
    ledger: Ledger
    receive_log: ReceiveLog
    aliases: Aliases
    conflicts: Conflicts
    quality: Quality
    initiatives: Initiatives
    keys: Keys


class CivicStore(Protocol):
    """Opens units of work."""

    def work(self, *, write: bool = True) -> AbstractContextManager[UnitOfWork]:
        """Open a transaction: committed on a clean exit, rolled back otherwise.

        With ``write=False`` it reads one consistent state and keeps nothing.

        Raises:
            StoreUnavailableError: The database cannot be reached or written.
        """
        ...

    def scrub(self) -> bool:
        """Take what was deleted off the disk, and tell whether it is; else ask again later.

        SQLite's files hold none of it afterwards. PostgreSQL frees its pages; its write-ahead log
        and archives keep it for as long as they are kept.
        """
        ...

    def ping(self) -> str:
        """Return name and version of what answers, or raise StoreUnavailableError."""
        ...

    def close(self) -> None:
        """Let go of everything; a second call does nothing."""
        ...


class Vault(Protocol):
    """Contact data, apart from everything else and erasable alone."""

    def put(self, contact: Contact) -> None:
        """Keep or replace the Contact of a pseudonym."""
        ...

    def get(self, pseudonym: str) -> Contact | None:
        """Return the Contact of a pseudonym."""
        ...

    def note(self, pseudonym: str, name: str, text: str) -> None:
        """Keep what somebody had posted before it was changed, under a new name."""
        ...

    def noted(self, pseudonym: str, name: str) -> str | None:
        """Return one of these notes."""
        ...

    def open_mailbox(self, mailbox: Mailbox) -> None:
        """Keep or replace the Mailbox of a pseudonym."""
        ...

    def mailboxes(self) -> list[Mailbox]:
        """List them by pseudonym."""
        ...

    def mailbox(self, pseudonym: str) -> Mailbox | None:
        """Return the one of a pseudonym."""
        ...

    def mailbox_of(self, token: str) -> Mailbox | None:
        """Return the one whose letters a link ends."""
        ...

    def close_mailbox(self, pseudonym: str) -> bool:
        """Forget the Mailbox of a pseudonym; tell whether there was one."""
        ...

    def erase(self, pseudonym: str) -> bool:
        """Forget all that is kept of a pseudonym for good; tell whether there was any."""
        ...

    def ping(self) -> str:
        """Return name and version of what answers, or raise StoreUnavailableError."""
        ...

    def close(self) -> None:
        """Let go of everything; a second call does nothing."""
        ...


class Mailer(Protocol):
    """Hands letters to whoever delivers them."""

    def send(self, letter: Letter) -> None:
        """Hand a letter over: when this returns, somebody else answers for it.

        Raises:
            LetterRefusedError: It will never be taken: there is no such address.
            UnavailableError: It was not taken now; it may be sent again.
        """
        ...


class MediaSize(Enum):
    """In which size a photo is asked for."""

    FULL = "full"
    THUMB = "thumb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A photo as it is kept: what it shows, and nothing that came with it."""

    key: str
    """Random."""
    content_type: str
    """Of every size."""
    width: int
    """[pixels]"""
    height: int
    """[pixels]"""
    size: int
    """[bytes]"""
    taken_point: Point | None = None
    """Where the camera stood, if that was asked for; it is in no bytes that are kept."""


class MediaStore(Protocol):
    """Keeps photos; what comes out carries no metadata. Any thread may call any method."""

    def put(self, data: bytes, *, locate: bool = False) -> Media:
        """Make a photo anew, pixels only, and keep it durably in every size: all of it or nothing.

        Args:
            data: The file as somebody sent it.
            locate: Whether its owner agreed that the position in it is read.

        Raises:
            TooLargeError: It has more bytes than the store takes.
            UnsupportedFormatError: Its bytes are of no format that is read, whatever its name says.
            InvalidError: It is broken, cut off, or of too many pixels.
            StoreUnavailableError: Nothing is certain; the same photo may be put again.
        """
        ...

    def get(self, key: str, size: MediaSize = MediaSize.FULL) -> bytes | None:
        """Return a photo."""
        ...

    def delete(self, key: str) -> bool:
        """Forget a photo in every size; tell whether there was one."""
        ...

    def older(self, than_s: float) -> Iterator[str]:
        """Yield the keys of photos that were kept longer ago. [s]"""
        ...

    def ping(self) -> str:
        """Return name and version of what answers, or raise StoreUnavailableError."""
        ...

    def close(self) -> None:
        """Let go of everything; a second call does nothing."""
        ...


class MediaFetcher(Protocol):
    """Fetches what a stranger's URL shows, and never asks a machine that is not public."""

    def fetch(self, url: str) -> bytes:
        """Return the bytes behind a URL, which begin like a photo and are otherwise raw.

        Raises:
            InvalidError: The URL may not be asked, or shows nothing.
            TooLargeError: It shows more bytes than the fetcher takes.
            UnsupportedFormatError: It shows no photo of a format that is read.
            UnavailableError: Its server does not answer, or not in time.
        """
        ...

    def close(self) -> None:
        """Let go of everything; a second call does nothing."""
        ...


class Gazetteer(Protocol):
    """Knows addresses by words. Any thread may ask at any time."""

    def find(self, text: str, *, limit: int) -> list[Located]:
        """List candidates for what somebody wrote, the best first, *limit* at the most.

        Case, accents, punctuation and the order of words do not matter. A house number is right or
        wrong: a candidate whose number differs, or an address without its number, is never clear
        (`domain.addresses.clearly_meant`). Where nothing fits, there is none.

        Raises:
            UnavailableError: Whoever knows does not answer, within 10 s at the latest.
        """
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class Message(NamedTuple):
    """One PUBLISH as it came; a tuple, because there are a hundred thousand a second."""

    topic: bytes
    payload: bytes
    header: int
    """The first byte of the packet: 0x30 and DUP, QoS and RETAIN as bits 3, 2-1 and 0."""
    size: int
    """Bytes of the payload as it came; more than ``len(payload)`` if only its head was kept."""

    @property
    def dup(self) -> bool:
        """Whether the broker says that it sent this before."""
        return bool(self.header & 8)

    @property
    def qos(self) -> int:
        """0, 1 or 2."""
        return (self.header >> 1) & 3

    @property
    def retain(self) -> bool:
        """Whether the broker had kept it for new subscribers."""
        return bool(self.header & 1)

    @property
    def cut(self) -> bool:
        """Whether it was too large and only its head is here."""
        return self.size > len(self.payload)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A batch of messages that the broker waits to hear about."""

    messages: list[Message]
    token: object
    """The adapter's own: what to acknowledge, and to which connection."""
    backlog: bool
    """Whether more was waiting when this was read: its arrival times say little."""
    full: bool = False
    """Whether it ended because it was large, and more can be read before it is acknowledged."""


class Broker(Protocol):
    """Hands over messages, each at least once until its Delivery is acknowledged.

    The session survives restarts of either side. One thread uses it.
    """

    def deliveries(self, filters: Sequence[str], *, until: Event) -> Iterator[Delivery]:
        """Yield what arrives, connecting and reconnecting, until the event is set.

        A lost connection is no error: it is logged once, and what was not acknowledged comes
        again. A Delivery holds at most half the window, 50,000 messages or 16 MiB, so that one can
        be read while another is stored; it is empty if nothing came for a quarter of a second.

        Raises:
            BrokerUnavailableError: Only for what waiting cannot mend: credentials or a protocol
                that the broker refuses.
        """
        ...

    def acknowledge(self, delivery: Delivery) -> None:
        """Let the broker forget a Delivery; one of an earlier connection comes again instead."""
        ...

    def rest(self, seconds: float, *, until: Event) -> None:
        """Wait without reading while a store is away, and keep the session alive meanwhile."""
        ...

    def ping(self) -> str:
        """Return what is connected, or raise BrokerUnavailableError; from any thread."""
        ...

    def close(self) -> None:
        """Disconnect in order; the session stays. A second call does nothing."""
        ...


class Publisher(Protocol):
    """Hands messages to the broker. Any thread may call it."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Return once the message is the broker's (QoS 1).

        Raises:
            BrokerUnavailableError: It was not taken within 20 s; it may or may not arrive.
        """
        ...

    def publish_many(self, messages: Iterable[tuple[str, bytes]]) -> int:
        """Publish many, several in flight; return how many the broker acknowledged: all of them.

        Raises:
            BrokerUnavailableError: Some were not taken.
        """
        ...

    def ping(self) -> str:
        """Return what is connected, or raise BrokerUnavailableError."""
        ...

    def close(self) -> None:
        """Disconnect in order. A second call does nothing."""
        ...
