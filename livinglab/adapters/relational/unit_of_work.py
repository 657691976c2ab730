"""Units of work on a database: every civic change of one transaction, or none."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from livinglab import ports
from livinglab.adapters.relational import repositories
from livinglab.adapters.relational.collections import SqlCollection
from livinglab.adapters.relational.engine import (
    connections,
    database_url,
    open_engine,
    ping,
    said,
    writing,
)
from livinglab.adapters.relational.mapping import start_mappers
from livinglab.adapters.relational.migrations import require_newest, upgrade
from livinglab.domain.answers import CityResponse
from livinglab.domain.batches import Batch
from livinglab.domain.contributors import Consent, Donation, Erasure
from livinglab.domain.incidents import Confirmation, Incident, IncidentLink
from livinglab.domain.moderation import AbuseFlag, Appeal, ModerationAction
from livinglab.domain.notices import EmailCode, Notice, OptOut
from livinglab.domain.photos import Photo
from livinglab.domain.staff import StaffMember, StaffSession
from livinglab.domain.suppression import Aggregate
from livinglab.domain.texting import Conversation, TextMessage
from livinglab.domain.voices import Comment, Feedback, Support
from livinglab.errors import ConflictError, StoreUnavailableError

PART = "civic data"
PRAGMAS = ("journal_mode=WAL", "secure_delete=ON")
"""Of SQLite: readers wait for nobody, and what is deleted is overwritten."""
PATIENCE_S = 20.0
"""How long a writer waits for another one. [s]"""


class _Work:
    """One transaction; see `ports.UnitOfWork`."""

    def __init__(self, session: Session) -> None:
        self.zones: ports.Zones = repositories.SqlZones(session)
        self.places: ports.Places = repositories.SqlPlaces(session)
        self.things: ports.Things = repositories.SqlThings(session)
        self.contributors: ports.Contributors = repositories.SqlContributors(session)
        self.observations: ports.Observations = repositories.SqlObservations(session)
        self.consents: ports.Collection[Consent] = SqlCollection(session, Consent)
        self.donations: ports.Collection[Donation] = SqlCollection(session, Donation)
        self.erasures: ports.Collection[Erasure] = SqlCollection(session, Erasure)
        self.incidents: ports.Collection[Incident] = SqlCollection(session, Incident)
        self.incident_links: ports.Collection[IncidentLink] = SqlCollection(session, IncidentLink)
        self.confirmations: ports.Collection[Confirmation] = SqlCollection(session, Confirmation)
        self.supports: ports.Collection[Support] = SqlCollection(session, Support)
        self.comments: ports.Collection[Comment] = SqlCollection(session, Comment)
        self.feedback: ports.Collection[Feedback] = SqlCollection(session, Feedback)
        self.flags: ports.Collection[AbuseFlag] = SqlCollection(session, AbuseFlag)
        self.actions: ports.Collection[ModerationAction] = SqlCollection(session, ModerationAction)
        self.appeals: ports.Collection[Appeal] = SqlCollection(session, Appeal)
        self.responses: ports.Collection[CityResponse] = SqlCollection(session, CityResponse)
        self.photos: ports.Collection[Photo] = SqlCollection(session, Photo)
        self.batches: ports.Collection[Batch] = SqlCollection(session, Batch)
        self.notices: ports.Collection[Notice] = SqlCollection(session, Notice)
        self.opt_outs: ports.Collection[OptOut] = SqlCollection(session, OptOut)
        self.email_codes: ports.Collection[EmailCode] = SqlCollection(session, EmailCode)
        self.conversations: ports.Collection[Conversation] = SqlCollection(session, Conversation)
        self.text_messages: ports.Collection[TextMessage] = SqlCollection(session, TextMessage)
        self.aggregates: ports.Collection[Aggregate] = SqlCollection(session, Aggregate)
        self.staff: ports.Collection[StaffMember] = SqlCollection(session, StaffMember)
        self.staff_sessions: ports.Collection[StaffSession] = SqlCollection(session, StaffSession)
        self.quarantine: ports.Quarantine = repositories.SqlQuarantine(session)
        self.ledger: ports.Ledger = repositories.SqlLedger(session)
        self.receive_log: ports.ReceiveLog = repositories.SqlReceiveLog(session)
        self.aliases: ports.Aliases = repositories.SqlAliases(session)
        self.conflicts: ports.Conflicts = repositories.SqlConflicts(session)
        self.quality: ports.Quality = repositories.SqlQuality(session)
        self.initiatives: ports.Initiatives = repositories.SqlInitiatives(session)
        self.keys: ports.Keys = repositories.SqlKeys(session)


class SqlCivicStore:
    """A CivicStore on a relational database."""

    def __init__(self, engine: Engine) -> None:
        """Bind an engine whose schema is the newest; `open` makes sure of that."""
        self._engine = engine
        self._readers = sessionmaker(engine, autoflush=False)
        self._turns = Lock() if engine.name == "sqlite" else None
        self._writers = sessionmaker(writing(engine), expire_on_commit=False, autoflush=True)

    @classmethod
    def open(cls, url: str, *, migrate: bool = False) -> "SqlCivicStore":
        """Open a database.

        Args:
            url: SQLAlchemy URL.
            migrate: Bring its schema up to date first; else one that is behind is refused.

        Raises:
            SettingsError: The URL names no database that is supported.
            StoreUnavailableError: It cannot be reached, or its schema is behind.
        """
        start_mappers()
        where = database_url(url, "LIVINGLAB_CIVIC")
        engine = open_engine(where, PART, patience_s=PATIENCE_S, pragmas=PRAGMAS)
        try:
            if migrate:
                upgrade(engine, PART)
            else:
                require_newest(engine, PART)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    @contextmanager
    def work(self, *, write: bool = True) -> Iterator[ports.UnitOfWork]:
        """Open a transaction: see `ports.CivicStore`."""
        with self._turn() if write else nullcontext():
            yield from self._worked(write=write)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for one's turn to write: SQLite lets one in, and who only knocks may starve."""
        if self._turns is None:
            yield
            return
        if not self._turns.acquire(timeout=PATIENCE_S):
            raise StoreUnavailableError(PART, "another unit of work has not ended", "try again")
        try:
            yield
        finally:
            self._turns.release()

    def _worked(self, *, write: bool) -> Iterator[ports.UnitOfWork]:
        session = (self._writers if write else self._readers)()
        try:
            with connections(PART):
                session.connection()
                yield _Work(session)
                if write:
                    session.commit()
                else:
                    repositories.undo(session)
        except IntegrityError as error:
            repositories.undo(session)
            raise ConflictError(said(error)) from error
        except BaseException:
            repositories.undo(session)
            raise
        finally:
            session.close()

    def scrub(self) -> bool:
        """Take what was deleted off the disk: see `ports.CivicStore`."""
        postgres = self._engine.name == "postgresql"
        statement = "VACUUM" if postgres else "PRAGMA wal_checkpoint(TRUNCATE)"
        with connections(PART), self._engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            done = alone.exec_driver_sql(statement)
            return postgres or not done.one()[0]  # SQLite tells whether somebody was reading

    def ping(self) -> str:
        """Return name and version of what answers: see `ports.CivicStore`."""
        return ping(self._engine, PART)

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()
