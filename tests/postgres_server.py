"""A real PostgreSQL for tests: on a free port, killed and started again at will, gone afterwards.

It refuses to run as root, so root lends it the user ``postgres``.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from livinglab.adapters.relational.unit_of_work import SqlCivicStore

USER = "postgres"
STARTING_S = 60.0
"""A server that was killed first repeats what its log holds. [s]"""


def postgres_binaries() -> Path:
    """Return the folder of initdb and postgres, or skip the test that asks."""
    on_path = shutil.which("postgres")
    places = [Path(on_path).resolve().parent] if on_path else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in places:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.skip("postgres is neither on PATH nor in /usr/lib/postgresql/*/bin")


class PostgresServer:
    """One server with a data folder of its own: `start`, `kill`, `start` again, `remove`."""

    def __init__(self, *, durable: bool = True, **options: str) -> None:
        """Make the data folder; `start` starts.

        Args:
            durable: Whether a commit waits for the disk, as a real server's does.
            options: Further settings of postgresql.conf.
        """
        self._bin = postgres_binaries()
        # Neither below pytest's folder, which is closed to other users, nor deep: a socket's path
        # has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="lab-postgres-"))
        self.port = _free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "on" if durable else "off",
            "synchronous_commit": "on" if durable else "off",
            "max_connections": "120",
            "shared_buffers": "32MB",
        }
        self._settings = settings | options
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self._template = ""
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER)
        initdb = [self._bin / "initdb", "-D", self.folder / "data", "-U", USER, "-A", "trust"]
        self._popen([*initdb, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]).wait()

    def url(self, database: str = "postgres") -> str:
        """Return where a database is."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> "PostgresServer":
        """Start, and return when it answers."""
        told = [f"--{name}={value}" for name, value in self._settings.items()]
        self._process = self._popen([self._bin / "postgres", "-D", self.folder / "data", *told])
        give_up = time.monotonic() + STARTING_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError((self.folder / "log").read_text(errors="replace"))
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """End it as an operator would: whoever is connected is sent away."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it without a word, as a power cut would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let every process of it stand still: it accepts connections and never answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal_all(signal.SIGCONT)

    def remove(self) -> None:
        """End it and delete what it kept."""
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def database(self) -> str:
        """Return the URL of a fresh database without tables."""
        return self._create("template0")

    def migrated(self) -> str:
        """Return the URL of a fresh civic database: a copy of one that was migrated once."""
        if not self._template:
            url = self.database()
            SqlCivicStore.open(url, migrate=True).close()
            self._template = url.rpartition("/")[2]
        return self._create(self._template)

    def run(self, database_url: str, *statements: str) -> list[Any]:
        """Run statements by hand, as somebody with a database client; return the last rows."""
        url = database_url.replace("postgresql:", "postgresql+pg8000:")
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        rows: list[Any] = []
        with engine.connect() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                rows = list(result) if result.returns_rows else []
        return rows

    def _create(self, template: str) -> str:
        name = f"lab_{next(self._numbers)}"
        self.run(self.url(), f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def _answers(self) -> bool:
        try:
            return bool(self.run(self.url(), "SELECT 1"))
        except DBAPIError:
            return False

    def _popen(self, command: list[Any]) -> "subprocess.Popen[bytes]":
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            as_user = {"user": USER, "group": USER, "extra_groups": []}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [str(part) for part in command],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the tests
                **as_user,
            )

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        children = _children(self._process.pid)
        self._process.send_signal(how)
        self._process.wait(STARTING_S)
        give_up = time.monotonic() + STARTING_S
        while any(Path(f"/proc/{child}").exists() for child in children):  # they end by themselves
            if time.monotonic() > give_up:
                raise RuntimeError(f"{children} outlive their server")
            time.sleep(0.01)

    def _signal_all(self, what: signal.Signals) -> None:
        assert self._process is not None
        for pid in [self._process.pid, *_children(self._process.pid)]:
            with suppress(ProcessLookupError):  # a child that ended meanwhile
                os.kill(pid, what)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
