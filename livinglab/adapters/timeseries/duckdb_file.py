"""The DuckDB file of the Readings: its tables, who holds it, and who has borrowed a cursor."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import Any, cast

import duckdb
import numpy.typing as npt

from livinglab.adapters.timeseries.duckdb_sql import SCHEMA
from livinglab.errors import LabBusyError, StoreUnavailableError

PART = "Readings (DuckDB)"

FORMAT = "v1.5.0"
"""The oldest DuckDB that can read the file."""

_held: set[Path] = set()
"""Files open in this process: DuckDB locks out other processes, but not a second opener here."""


class DuckDBFile:
    """Opens the file, lends cursors to any thread, and can be closed and opened again."""

    def __init__(self, path: Path, *, memory_limit_mb: int, threads: int) -> None:
        self._path = path.resolve()
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_limit_mb}MB",
            "threads": threads,
            "storage_compatibility_version": FORMAT,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        self._returned = Condition()
        self._lent: set[duckdb.DuckDBPyConnection] = set()
        self._root: duckdb.DuckDBPyConnection | None = None

    def open(self) -> None:
        """Open the file and make its tables.

        Raises:
            LabBusyError: Another lab holds it.
            StoreUnavailableError: It cannot be opened for any other reason.
        """
        if self._path in _held:
            raise self._busy("this process has it open already")
        try:
            root = duckdb.connect(self._path, config=self._config)
        except duckdb.Error as error:
            if "lock" in str(error):
                raise self._busy(reason(error)) from error
            raise unavailable(error) from error
        try:
            root.execute(SCHEMA)
        except duckdb.Error as error:
            root.close()
            raise unavailable(error) from error
        _held.add(self._path)
        self._root = root

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a cursor; a transaction that its borrower leaves open is rolled back.

        Raises:
            StoreUnavailableError: The file is closed, or DuckDB failed within the context.
        """
        with self._returned:
            if self._root is None:
                raise StoreUnavailableError(PART, f"{self._path} is not open")
            cursor = self._root.cursor()
            self._lent.add(cursor)
        try:
            yield cursor
        except duckdb.Error as error:
            raise unavailable(error) from error
        finally:
            cursor.close()
            with self._returned:
                self._lent.discard(cursor)
                self._returned.notify_all()

    def answers(self) -> bool:
        """Tell whether it is open and DuckDB has not given it up."""
        try:
            with self.cursor() as cursor:
                cursor.execute("SELECT batch FROM rolled_up")
        except StoreUnavailableError:
            return False
        return True

    def close(self) -> None:
        """Interrupt the borrowers, wait for their cursors and let go of the file."""
        with self._returned:
            root, self._root = self._root, None
            if root is None:
                return
            for cursor in self._lent:
                cursor.interrupt()
            self._returned.wait_for(lambda: not self._lent)
            try:
                root.close()
            finally:
                _held.discard(self._path)

    def _busy(self, problem: str) -> LabBusyError:
        remedy = "stop it, or ask the running lab over HTTP"
        return LabBusyError(PART, f"{self._path}: {problem}", remedy)


def ask(
    cursor: duckdb.DuckDBPyConnection,
    statement: str,
    arrivals: Mapping[str, npt.NDArray[Any]],  # noqa: ARG001 - DuckDB finds it by its name
    facts: Sequence[object] = (),
) -> duckdb.DuckDBPyConnection:
    """Execute a statement that reads `arrivals` as if it were a table; NaN arrives as NULL."""
    return cursor.execute(statement, facts)


def fetch(answer: duckdb.DuckDBPyConnection) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of an answer; where there is NULL, a column is masked."""
    return cast(dict[str, npt.NDArray[Any]], answer.fetchnumpy())


def reason(error: duckdb.Error) -> str:
    """Return the first line of what DuckDB says."""
    return str(error).partition("\n")[0]


def unavailable(error: duckdb.Error) -> StoreUnavailableError:
    """Say it in the lab's own words."""
    return StoreUnavailableError(PART, reason(error))
