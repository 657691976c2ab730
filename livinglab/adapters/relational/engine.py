"""How the lab speaks with a database: transactions it can rely on, and errors it can explain."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as NoConnectionFreeError

from livinglab.errors import LabError, SettingsError, StoreUnavailableError

CONNECTIONS = 48
"""Connections lent at a time: 40 threads of the API, ingest, and what runs beside them."""

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
"""What to do, by a part of what the database says."""


def database_url(url: str, setting: str) -> URL:
    """Parse the URL of a database.

    Raises:
        SettingsError: Naming the setting; the URL itself may hold a password and is not told.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError(setting, "is no database URL", "use sqlite:///PATH") from error
    if parsed.get_backend_name() != "sqlite":
        raise SettingsError(
            setting, f"{parsed.get_backend_name()} is not supported", "use sqlite:///PATH"
        )
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
        writing = connection.get_execution_options().get("livinglab_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    @event.listens_for(engine, "handle_error")
    def explain(context: ExceptionContext) -> None:
        if isinstance(context.original_exception, (ValueError, LabError)):
            raise context.original_exception  # a value that a column refuses
        if isinstance(context.sqlalchemy_exception, DBAPIError):
            _explain(context.sqlalchemy_exception, part)

    return engine


def writing(engine: Engine) -> Engine:
    """Return the same engine for transactions that begin with the right to write."""
    return engine.execution_options(livinglab_writing=True)


def _explain(error: DBAPIError, part: str) -> None:
    """Raise what waiting or an operator can mend as StoreUnavailableError."""
    away = isinstance(error, (OperationalError, InterfaceError))
    if away or type(error) is DatabaseError or error.connection_invalidated:
        unavailable(part, str(error.orig), error)


def unavailable(part: str, problem: str, cause: Exception) -> NoReturn:
    """Raise StoreUnavailableError with a remedy that fits the problem."""
    said = problem.lower()
    remedy = next((remedy for word, remedy in _REMEDIES if word in said), "see what it says")
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
    with connections(part), engine.connect() as connection:
        version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
    return f"SQLite {version}"
