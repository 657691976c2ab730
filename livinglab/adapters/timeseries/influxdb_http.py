"""Talking to an InfluxDB 2 server: connections that stay open, and one deadline for each call.

Nothing is retried here but what a server closed while it was idle: whoever has a batch in hand
knows best when to come again. Why not influxdb-client: `docs/decisions/0003-influxdb-http.md`.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPMessage,
    HTTPResponse,
    HTTPSConnection,
)
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from livinglab.adapters.deadlines import Deadline
from livinglab.errors import StoreUnavailableError

PART = "Readings (InfluxDB)"
SMALLEST_ERROR = 400
IDLE = 8
"""How many connections are kept for the next caller."""
CHUNK = 1 << 16
REMEDIES = {
    401: "give a token that may read and write the bucket (LIVINGLAB_INFLUXDB_TOKEN_FILE)",
    403: "give a token that may read and write the bucket (LIVINGLAB_INFLUXDB_TOKEN_FILE)",
    404: "create the organisation and the bucket, or correct LIVINGLAB_READINGS",
}
"""HTTP status → what an operator does about it."""


class StoreDeadline(Deadline):
    """The instant by which a call of the store has ended."""

    def missed(self) -> StoreUnavailableError:
        """Say that nothing is certain."""
        return StoreUnavailableError(PART, f"nothing was confirmed within {self.seconds:g} s")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def failed(self) -> bool:
        """Whether it is an error."""
        return self.status >= SMALLEST_ERROR

    def document(self) -> dict[str, Any]:
        """Return what a success says.

        Raises:
            StoreUnavailableError: It is an error, or no document.
        """
        if self.failed:
            raise self.as_error()
        with suppress(orjson.JSONDecodeError):
            told = orjson.loads(self.body)
            if isinstance(told, dict):
                return told
        raise StoreUnavailableError(PART, "what answers is no InfluxDB 2", REMEDIES[404])

    def message(self) -> str:
        """Return the server's own words about an error."""
        with suppress(orjson.JSONDecodeError):
            told = orjson.loads(self.body)
            if isinstance(told, dict):
                return str(told.get("message") or told.get("error") or "")[:300]
        return self.body[:300].decode(errors="replace")

    def as_error(self) -> StoreUnavailableError:
        """Say what is wrong, and what to do."""
        wait = self.headers.get("Retry-After") or ""
        return StoreUnavailableError(
            PART,
            f"HTTP {self.status} {self.message()}".rstrip(),
            REMEDIES.get(self.status, ""),
            retry_after_s=int(wait) if wait.isdecimal() else 5,
        )


class InfluxDBServer:
    """Sends requests from any thread, each over a connection of its own while it lasts."""

    def __init__(self, url: str, token: str) -> None:
        """Note where the server is; nothing is asked yet.

        Args:
            url: Scheme, host and port, such as ``http://127.0.0.1:8086``.
            token: Sent with each request, and never logged.
        """
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port
        self._headers = {"Authorization": f"Token {token}"}
        self._idle: deque[HTTPConnection] = deque()
        self._closed = False

    def get(self, path: str, deadline: Deadline, **parameters: str) -> Answer:
        """Ask for a document."""
        return self._ask("GET", f"{path}?{urlencode(parameters)}", None, {}, deadline)

    def post(
        self,
        path: str,
        body: bytes,
        deadline: Deadline,
        *,
        kind: str,
        encoding: str = "identity",
        **parameters: str,
    ) -> Answer:
        """Send something of a media type."""
        headers = {"Content-Type": kind, "Content-Encoding": encoding}
        return self._ask("POST", f"{path}?{urlencode(parameters)}", body, headers, deadline)

    def close(self) -> None:
        """Hang up; requests under way end by themselves."""
        self._closed = True
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()

    def _ask(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
        deadline: Deadline,
    ) -> Answer:
        """Send a request; once more if the server had closed an idle connection meanwhile."""
        while True:
            if self._closed:
                raise StoreUnavailableError(PART, "the store is closed")
            connection, fresh = self._connection(deadline.left())
            try:
                return self._exchange(connection, method, target, body, headers, deadline)
            except (OSError, HTTPException) as error:
                connection.close()
                if fresh or isinstance(error, TimeoutError):
                    problem = f"no answer from {self.url}: {str(error) or type(error).__name__}"
                    raise StoreUnavailableError(PART, problem) from error
            except BaseException:
                connection.close()
                raise

    def _connection(self, timeout: float) -> tuple[HTTPConnection, bool]:
        """Take an idle connection, or a fresh one: then the second is True."""
        with suppress(IndexError):
            return self._idle.pop(), False
        kind = HTTPSConnection if self._secure else HTTPConnection
        return kind(self._host, self._port, timeout=timeout), True

    def _exchange(
        self,
        connection: HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
        deadline: Deadline,
    ) -> Answer:
        if connection.sock is None:
            connection.connect()
        socket = connection.sock
        socket.settimeout(deadline.left())
        connection.request(method, target, body, self._headers | headers)
        socket.settimeout(deadline.left())
        response = connection.getresponse()
        told = _read(response, lambda: socket.settimeout(deadline.left()))
        if self._closed or len(self._idle) >= IDLE:
            connection.close()
        elif connection.sock is not None:
            self._idle.append(connection)
        return Answer(response.status, response.headers, told)


def _read(response: HTTPResponse, before: Callable[[], None]) -> bytes:
    """Read a body piece by piece, so that one that trickles misses its deadline too."""
    pieces = []
    while not response.isclosed():
        before()
        pieces.append(response.read(CHUNK))
    return b"".join(pieces)
