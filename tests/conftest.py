"""What the whole session shares ends with it."""

from collections.abc import Iterator

import pytest

from tests import influxdb
from tests.postgres_server import PostgresServer


@pytest.fixture(scope="session", autouse=True)
def _servers() -> Iterator[None]:
    """End the servers that tests started on demand."""
    with influxdb.session:
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that forgets quickly; take a database of your own from it.

    It does not wait for the disk, and others use it too: whoever stops or kills one starts a
    `PostgresServer()` instead.
    """
    server = PostgresServer(durable=False)
    try:
        yield server.start()
    finally:
        server.remove()
