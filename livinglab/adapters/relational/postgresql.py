"""PostgreSQL: one writer at a time, readers with a snapshot, and an answer within a deadline."""

import socket
import ssl
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any
from zlib import crc32

import pg8000.exceptions  # type: ignore[import-untyped]  # it has none
import pg8000.legacy  # type: ignore[import-untyped]  # likewise
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from livinglab.errors import SettingsError, StoreUnavailableError

PORT = 5432
CONNECT_S = 5.0
"""How long a server may take to accept a connection. [s]"""
STATEMENT, ANSWER = 1.25, 1.5
"""How long a statement may take, and the server be silent, in times of the patience for a lock."""

_ENCRYPTION = ("disable", "prefer", "require", "verify-full")

_CHECK = "check its URL, and that PostgreSQL runs there"

_REMEDIES = (
    ("28", "check the user and the password of its URL"),
    ("3D", "create it with `createdb`, or name another one"),
    ("25006", "this server is a standby; name the one that may be written"),
    ("40", "try again"),
    ("42501", "grant the lab's user its tables and the right to create them"),
    ("42703", "run `livinglab db upgrade`"),
    ("42P01", "run `livinglab db upgrade`"),
    ("53100", "free some space on the server's disk"),
    ("53300", "raise its max_connections"),
    ("53", "give the server more memory"),
    ("55P03", "another program is writing; let it end, or try again"),
    ("57014", "try again when the server has less to do"),
    ("08", "try again"),
    ("57", "wait until the server is up again"),
    ("58", "check the server's disk"),
    ("XX", "see the server's log"),
)
"""What to do, by how the code of an error begins."""


class _Connection(pg8000.legacy.Connection):  # type: ignore[misc]  # it has no types
    """The driver, which else lets through some errors of the network that it should name."""

    def handle_messages(self, context: object) -> None:
        """Wait for answers; call every error on the way what the driver calls the others."""
        try:
            super().handle_messages(context)
        except OSError as error:
            raise pg8000.exceptions.InterfaceError("network error") from error

    def close(self) -> None:
        """Let go of the server; one that is gone already is no error."""
        with suppress(pg8000.exceptions.InterfaceError):
            super().close()


def checked_url(url: URL, setting: str) -> URL:
    """Return a URL as the driver wants it.

    Of libpq's parameters it understands ``host`` and ``port`` (of a Unix socket: its folder),
    ``sslmode`` (disable, prefer, require, verify-full) and ``sslrootcert``.

    Raises:
        SettingsError: It does not say who enters which database, or asks for something else.
    """
    if not (url.username and url.database):
        remedy = "use postgresql://USER:PASSWORD@HOST/DATABASE"
        raise SettingsError(setting, "names no user or no database", remedy)
    unknown = set(url.query) - {"host", "port", "sslmode", "sslrootcert"}
    if unknown:
        name = min(unknown)
        raise SettingsError(setting, f"has a parameter {name}", "use sslmode, sslrootcert, host")
    if url.query.get("sslmode", "prefer") not in _ENCRYPTION:
        raise SettingsError(setting, "has another sslmode", f"use {', '.join(_ENCRYPTION)}")
    port = url.port or int(str(url.query.get("port", PORT)))
    return url.set(drivername="postgresql+pg8000", port=port)


def open_engine(url: URL, part: str, connections: int, patience_s: float) -> Engine:
    """Return an engine on PostgreSQL; nothing is connected yet."""
    engine = create_engine(
        url.set(query={}),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=patience_s,
        pool_pre_ping=True,  # a restart of the server costs nobody an error
        connect_args=_encryption(url),
    )

    @event.listens_for(engine, "do_connect")
    def connect(_: object, __: object, ___: object, known: dict[str, Any]) -> Any:
        with ExitStack() as opening:
            try:
                way = opening.enter_context(_reach(url))
                way.settimeout(ANSWER * patience_s)
                found = _Connection(sock=way, **known)
            except OSError as error:
                problem = f"nobody can be reached at {_address(url)} ({error.strerror or error})"
                raise StoreUnavailableError(part, problem, _CHECK) from error
            opening.pop_all()
            return found

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        _set(connection, patience_s)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("livinglab_writing", False):
            # The lock comes first, so every question sees what the writer before has kept.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({crc32(part.encode())})")
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    return engine


def no_answer(url: URL, error: DBAPIError) -> tuple[str, str]:
    """Say what is wrong with a server that told nothing, and what to do."""
    cause = error.orig.__cause__ if error.orig is not None else None
    if isinstance(cause, TimeoutError):
        return f"{_address(url)} does not answer in time", "try again"
    if error.connection_invalidated:
        return f"the connection to {_address(url)} broke", "try again"
    return f"{_address(url)}: {error.orig}", _CHECK


def remedy(told: Mapping[str, str]) -> str | None:
    """Return what an operator may do about an error; None if it is about the data."""
    code = told.get("C", "")
    return next((remedy for start, remedy in _REMEDIES if code.startswith(start)), None)


def _encryption(url: URL) -> dict[str, object]:
    mode = url.query.get("sslmode", "prefer")
    if mode == "prefer":
        return {}
    if mode == "verify-full":
        authority = url.query.get("sslrootcert")
        return {"ssl_context": ssl.create_default_context(cafile=str(authority or "") or None)}
    return {"ssl_context": mode == "require"}


def _reach(url: URL) -> socket.socket:
    """Open a socket of our own: the driver has only one deadline for connecting and answers."""
    folder = url.query.get("host")
    if folder:
        found = socket.socket(socket.AF_UNIX)
        found.settimeout(CONNECT_S)
        try:
            found.connect(f"{folder}/.s.PGSQL.{url.port}")
        except OSError:
            found.close()
            raise
    else:
        found = socket.create_connection((url.host or "localhost", url.port or PORT), CONNECT_S)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def _address(url: URL) -> str:
    folder = url.query.get("host")
    return f"{folder or url.host or 'localhost'}:{url.port}"


def _set(connection: Any, patience_s: float) -> None:
    """Bound every wait, and let nothing depend on how somebody configured the server."""
    # Its text holds no NUL; better a sign of it than a message that can never be recorded.
    connection.register_out_adapter(
        str, lambda text: text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    )
    settings = {
        "application_name": "livinglab",
        "lock_timeout": f"{patience_s * 1e3:.0f}",
        "statement_timeout": f"{STATEMENT * patience_s * 1e3:.0f}",
        "default_transaction_isolation": "read committed",
        "TimeZone": "UTC",
        "DateStyle": "ISO",
    }
    asked = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items())
    connection.cursor().execute(f"SELECT {asked}")
    connection.commit()
