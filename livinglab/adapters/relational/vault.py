"""The Vault: contact data in a database of its own, erasable alone."""

from pathlib import Path
from typing import Any

from sqlalchemy import Column, MetaData, Select, Table, Text, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from livinglab.adapters.relational.engine import (
    connections,
    database_url,
    open_engine,
    ping,
    writing,
)
from livinglab.domain.contributors import Contact
from livinglab.domain.notices import Mailbox

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
_mailbox = Table(
    "mailbox",
    _metadata,
    Column("pseudonym", Text, primary_key=True),
    Column("email", Text, nullable=False),
    Column("lang", Text, nullable=False),
    Column("token", Text, nullable=False, unique=True),
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
                for one in (_contact, _note, _mailbox)
            ]
        return any(gone)

    def open_mailbox(self, mailbox: Mailbox) -> None:
        """Keep or replace a Mailbox: see `ports.Vault`."""
        facts = {"email": mailbox.email, "lang": mailbox.lang, "token": mailbox.token}
        upsert = postgresql.insert if self._engine.name == "postgresql" else sqlite.insert
        new = upsert(_mailbox).values(pseudonym=mailbox.pseudonym, **facts)
        kept = new.on_conflict_do_update(index_elements=["pseudonym"], set_=facts)
        with connections(PART), writing(self._engine).begin() as connection:
            connection.execute(kept)

    def mailboxes(self) -> list[Mailbox]:
        """List them: see `ports.Vault`."""
        return self._mailboxes(select(_mailbox).order_by(_mailbox.c.pseudonym))

    def mailbox(self, pseudonym: str) -> Mailbox | None:
        """Return one: see `ports.Vault`."""
        found = self._mailboxes(select(_mailbox).where(_mailbox.c.pseudonym == pseudonym))
        return found[0] if found else None

    def mailbox_of(self, token: str) -> Mailbox | None:
        """Return the one whose letters a link ends: see `ports.Vault`."""
        found = self._mailboxes(select(_mailbox).where(_mailbox.c.token == token))
        return found[0] if found else None

    def close_mailbox(self, pseudonym: str) -> bool:
        """Forget one: see `ports.Vault`."""
        gone = delete(_mailbox).where(_mailbox.c.pseudonym == pseudonym)
        with connections(PART), writing(self._engine).begin() as connection:
            return bool(connection.execute(gone).rowcount)

    def _mailboxes(self, asked: Select[Any]) -> list[Mailbox]:
        with connections(PART), self._engine.connect() as connection:
            return [Mailbox(**row._mapping) for row in connection.execute(asked)]  # noqa: SLF001 - SQLAlchemy's public name for it

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
