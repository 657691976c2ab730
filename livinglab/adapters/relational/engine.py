"""How the lab speaks with a database: transactions it can rely on, and errors it can explain."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as NoConnectionFreeError

from livinglab.adapters.relational import postgresql
from livinglab.errors import LabError, SettingsError, StoreUnavailableError

CONNECTIONS = 48
"""Connections lent at a time: 40 threads of the API, ingest, and what runs beside them."""

_URLS = "use sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"

_REMEDIES = (
    ("locked", "another program is writing; let it end, or try again"),
    ("unable to open", "check that the folder exists and may be written"),
    ("readonly", "make the file and its folder writable for this user"),
    ("full", "free some space on the disk"),
    ("disk i/o", "check the disk"),
    ("malformed", "restore the last backup"),
    ("not a database", "name another file, or restore the last backup"),
    ("no such table", "run `livinglab db upgrade`"),
    ("no such column", "run `livinglab db upgrade`"),
)
"""What to do, by a part of what SQLite says."""


def database_url(url: str, setting: str) -> URL:
    """Parse the URL of a database.

    Raises:
        SettingsError: Naming the setting; the URL itself may hold a password and is not told.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError(setting, "is no database URL", _URLS) from error
    backend = parsed.drivername.partition("+")[0]
    if backend in {"postgres", "postgresql"}:
        return postgresql.checked_url(parsed, setting)
    if backend != "sqlite":
        raise SettingsError(setting, f"{backend} is not supported", _URLS)
    if parsed.database in {None, "", ":memory:"}:
        raise SettingsError(setting, "names no file", "use sqlite:///PATH, or memory:")
    return parsed


def open_engine(url: URL, part: str, *, patience_s: float, pragmas: tuple[str, ...]) -> Engine:
    """Return an engine whose transactions begin and end where the lab says.

    Nothing is connected yet. Connections of `writing` begin with the right to write, so that two
    that read and then write wait for each other instead of failing.

    Args:
        url: Where.
        part: Name of the store in errors.
        patience_s: How long to wait for another writer, or for a free connection. [s]
        pragmas: What SQLite is told beside foreign keys and full durability.
    """
    if url.get_backend_name() == "sqlite":
        engine = _open_sqlite(url, patience_s, pragmas)
    else:
        engine = postgresql.open_engine(url, part, CONNECTIONS, patience_s)

    @event.listens_for(engine, "handle_error")
    def explain(context: ExceptionContext) -> None:
        if isinstance(context.original_exception, (ValueError, LabError)):
            raise context.original_exception  # a value that a column refuses
        if isinstance(context.sqlalchemy_exception, DBAPIError) and not context.is_pre_ping:
            _explain(context.sqlalchemy_exception, part, url)

    return engine


def writing(engine: Engine) -> Engine:
    """Return the same engine for transactions that begin with the right to write."""
    return engine.execution_options(livinglab_writing=True)


def _open_sqlite(url: URL, patience_s: float, pragmas: tuple[str, ...]) -> Engine:
    engine = create_engine(
        url,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=patience_s,
        connect_args={"timeout": patience_s, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # or the driver would begin transactions by itself
        for pragma in ("foreign_keys=ON", "synchronous=FULL", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        wants_to_write = connection.get_execution_options().get("livinglab_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if wants_to_write else "BEGIN")

    return engine


def _explain(error: DBAPIError, part: str, url: URL) -> None:
    """Raise what waiting or an operator can mend as StoreUnavailableError."""
    if url.get_backend_name() == "postgresql":
        _explain_postgresql(error, part, url)
        return
    away = isinstance(error, (OperationalError, InterfaceError))
    if away or type(error) is DatabaseError or error.connection_invalidated:
        unavailable(part, str(error.orig), error)


def _explain_postgresql(error: DBAPIError, part: str, url: URL) -> None:
    told = facts(error)
    if told.get("C", "").startswith("23"):  # the driver has one class for all errors
        if not isinstance(error, IntegrityError) and error.orig is not None:
            raise IntegrityError(error.statement, error.params, error.orig) from error
    elif not told:
        problem, remedy = postgresql.no_answer(url, error)
        raise StoreUnavailableError(part, problem, remedy) from error
    elif advice := postgresql.remedy(told):
        raise StoreUnavailableError(part, told["M"], advice) from error


def facts(error: DBAPIError) -> Mapping[str, str]:
    """Return what PostgreSQL tells of an error, by its letters; nothing for other databases."""
    told = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return told if isinstance(told, dict) else {}


def said(error: DBAPIError) -> str:
    """Return what the database says of an error, as a sentence."""
    told = facts(error)
    return told["M"] if told else str(error.orig)


def unavailable(part: str, problem: str, cause: Exception) -> NoReturn:
    """Raise StoreUnavailableError with a remedy that fits the problem."""
    words = problem.lower()
    remedy = next((remedy for word, remedy in _REMEDIES if word in words), "see what it says")
    raise StoreUnavailableError(part, problem, remedy) from cause


@contextmanager
def connections(part: str) -> Iterator[None]:
    """Explain that no connection became free in time."""
    try:
        yield
    except NoConnectionFreeError as error:
        raise StoreUnavailableError(part, "all connections are in use", "try again") from error


def ping(engine: Engine, part: str) -> str:
    """Return name and version of what answers, or raise StoreUnavailableError."""
    sqlite = engine.dialect.name == "sqlite"
    asked = "SELECT sqlite_version()" if sqlite else "SHOW server_version"
    with connections(part), engine.connect() as connection:
        version = connection.exec_driver_sql(asked).scalar_one()
    return f"SQLite {version}" if sqlite else f"PostgreSQL {str(version).partition(' ')[0]}"
