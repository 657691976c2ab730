"""The Vault: contact data in a database of its own, erasable alone."""

from pathlib import Path

from sqlalchemy import Column, MetaData, Table, Text, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from livinglab.adapters.relational.engine import (
    connections,
    database_url,
    open_engine,
    ping,
    writing,
)
from livinglab.domain.contributors import Contact

PART = "the Vault"

_metadata = MetaData()
_contact = Table(
    "contact",
    _metadata,
    Column("pseudonym", Text, primary_key=True),
    Column("email", Text),
    Column("phone", Text),
    Column("name", Text),
)
_note = Table(
    "note",
    _metadata,
    Column("pseudonym", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("text", Text, nullable=False),
)


class SqlVault:
    """A Vault on a relational database.

    SQLite overwrites on disk what is erased. PostgreSQL hides it at once, removes it with its
    next vacuum, and keeps it in its write-ahead log and archives as long as those are kept.
    """

    def __init__(self, url: str) -> None:
        """Open the database, creating its tables if needed.

        Raises:
            SettingsError: The URL names no database that is supported.
            StoreUnavailableError: It cannot be reached.
        """
        where = database_url(url, "LIVINGLAB_VAULT")
        pragmas = ("secure_delete=ON", "journal_mode=DELETE")
        self._engine = open_engine(where, PART, patience_s=20.0, pragmas=pragmas)
        with connections(PART), writing(self._engine).begin() as connection:
            _metadata.create_all(connection)
        if where.database and self._engine.name == "sqlite":
            Path(where.database).chmod(0o600)

    def put(self, contact: Contact) -> None:
        """Keep or replace a Contact: see `ports.Vault`."""
        facts = {"email": contact.email, "phone": contact.phone, "name": contact.name}
        upsert = postgresql.insert if self._engine.name == "postgresql" else sqlite.insert
        new = upsert(_contact).values(pseudonym=contact.pseudonym, **facts)
        kept = new.on_conflict_do_update(index_elements=["pseudonym"], set_=facts)
        with connections(PART), writing(self._engine).begin() as connection:
            connection.execute(kept)

    def get(self, pseudonym: str) -> Contact | None:
        """Return a Contact: see `ports.Vault`."""
        asked = select(_contact).where(_contact.c.pseudonym == pseudonym)
        with connections(PART), self._engine.connect() as connection:
            row = connection.execute(asked).one_or_none()
        return None if row is None else Contact(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it

    def erase(self, pseudonym: str) -> bool:
        """Forget a Contact: see `ports.Vault`."""
        with connections(PART), writing(self._engine).begin() as connection:
            gone = [
                connection.execute(delete(one).where(one.c.pseudonym == pseudonym)).rowcount
                for one in (_contact, _note)
            ]
        return any(gone)

    def note(self, pseudonym: str, name: str, text: str) -> None:
        """Keep a note: see `ports.Vault`."""
        with connections(PART), writing(self._engine).begin() as connection:
            connection.execute(insert(_note), {"pseudonym": pseudonym, "name": name, "text": text})

    def noted(self, pseudonym: str, name: str) -> str | None:
        """Return a note: see `ports.Vault`."""
        asked = select(_note.c.text).where(_note.c.pseudonym == pseudonym, _note.c.name == name)
        with connections(PART), self._engine.connect() as connection:
            return connection.execute(asked).scalar_one_or_none()

    def ping(self) -> str:
        """Return name and version of what answers: see `ports.Vault`."""
        return ping(self._engine, PART)

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()
