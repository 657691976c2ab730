"""Fetching: a photo that somebody only names is asked for like a stranger's letter is opened.

Whoever posts a ``media_url`` chooses whom the lab talks to, so the lab looks first: each name is
resolved once, every address behind it must be public, and the connection goes to the very address
that was looked at. A name that points elsewhere a moment later changes nothing. What is refused is
refused in the same words, so that nobody learns which machines there are.
"""

import io
import socket
import ssl
import string
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from livinglab.adapters.deadlines import Deadline
from livinglab.adapters.images import LARGEST_BYTES, sniff
from livinglab.errors import InvalidError, TooLargeError, UnavailableError

PATH: Final = "media_url"
PART: Final = "the server of media_url"
PORTS: Final = {"http": 80, "https": 443}
"""Scheme → port; on others stand machines that are not meant for the public."""
MOST_REDIRECTS: Final = 3
MOST_ADDRESSES: Final = 4
"""Of one name, tried one after the other."""
LONGEST_URL: Final = 2_000
CHUNK: Final = 1 << 16
HEAD: Final = 64
"""How many bytes tell what it is. [bytes]"""
NAME_THREADS: Final = 4
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
LATER: Final = frozenset({429, 500, 502, 503, 504})
"""States of a server that pass."""
HEADERS: Final = {
    "Accept": "image/jpeg, image/png, image/webp",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "livinglab",
}

Address = IPv4Address | IPv6Address
Resolver = Callable[[str], Sequence[str]]
"""Name → addresses; raises OSError where there are none."""
Opener = Callable[[Address, int, float], socket.socket]
"""Connects to an address and port within a time [s]."""

_GLOBAL_V6 = ip_network("2000::/3")
_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            "192.0.0.0/24",  # protocols
            "192.88.99.0/24",  # relays of 6to4
            "224.0.0.0/4",  # multicast
            "2001::/23",  # protocols; Teredo, which hides an IPv4 address, among them
            "2002::/16",  # 6to4, which hides an IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)
"""What `ipaddress` calls global in some versions, and is no public machine."""


def is_public(address: Address) -> bool:
    """Tell whether an address is one that anybody may ask.

    Of IPv6 only what is handed out to networks counts. So forms that hide an IPv4 address, such as
    IPv4-mapped and NAT64 (64:ff9b::/96), are not public, whatever they hide.
    """
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


def resolved(name: str) -> list[str]:
    """Ask the system for the addresses of a name."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(where[0]) for *_, where in found))


def connected(address: Address, port: int, timeout: float) -> socket.socket:
    """Connect to an address."""
    return socket.create_connection((str(address), port), timeout)


class Target(NamedTuple):
    """Whom to ask for what."""

    url: str
    scheme: str
    host: str
    path: str

    @property
    def port(self) -> int:
        """The only one that is asked."""
        return PORTS[self.scheme]

    @property
    def netloc(self) -> str:
        """The host as a header names it."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @classmethod
    def of(cls, url: str, *, after: str = "") -> "Target":
        """Take a URL apart, which may be relative to the one before.

        Raises:
            InvalidError: It is none that is asked.
        """
        try:
            url = urljoin(after, url)
            parts = urlsplit(url)
            host, port = (parts.hostname or "").encode("idna").decode(), parts.port
            asked = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            path = quote(asked, safe=string.punctuation)
        except ValueError as error:
            raise InvalidError(PATH, "is no URL") from error
        if len(url) > LONGEST_URL or not host or parts.scheme not in PORTS:
            wanted = f"must begin with http:// or https:// and have {LONGEST_URL} characters"
            raise InvalidError(PATH, f"{wanted} at the most")
        if "@" in parts.netloc:
            raise InvalidError(PATH, "must not carry a user or a password")
        if port not in (None, PORTS[parts.scheme]):
            raise InvalidError(PATH, f"must leave the port at {PORTS[parts.scheme]}")
        return cls(url, parts.scheme, host, path)


class PhotoDeadline(Deadline):
    """The instant by which a fetch has ended."""

    def missed(self) -> UnavailableError:
        """Say that it is over."""
        return UnavailableError(PART, f"no photo came within {self.seconds:g} s")


class Incoming(io.RawIOBase):
    """What comes over a connection; each step ends by the deadline, so that a trickle ends too."""

    def __init__(self, line: socket.socket, deadline: Deadline) -> None:
        """Listen on a connection."""
        self._line = line
        self._deadline = deadline

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Take what is there, or wait for it."""
        self._line.settimeout(self._deadline.left())
        return self._line.recv_into(buffer)


@contextmanager
def _answering(deadline: Deadline) -> Iterator[None]:
    """Say what it means when a server does not answer like one."""
    try:
        yield
    except TimeoutError as error:
        raise deadline.missed() from error
    except ssl.SSLCertVerificationError as error:
        raise UnavailableError(PART, "its certificate is not valid") from error
    except (OSError, HTTPException) as error:
        raise UnavailableError(PART, "it does not answer as a web server does") from error


class HttpMediaFetcher:
    """A MediaFetcher over HTTP/1.1, with no cookies, no proxy, and no memory."""

    def __init__(
        self,
        *,
        largest_bytes: int = LARGEST_BYTES,
        seconds: float = 15.0,
        resolve: Resolver = resolved,
        connect: Opener = connected,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Note the limits; nothing is asked yet.

        Args:
            largest_bytes: Of what is fetched. [bytes]
            seconds: By when a fetch has ended, redirects and all. [s]
            resolve: Finds the addresses of a name.
            connect: Reaches an address.
            tls: Whose certificates are trusted; None trusts the system's.
        """
        self._largest_bytes = largest_bytes
        self._seconds = seconds
        self._resolve = resolve
        self._connect = connect
        self._tls = tls or ssl.create_default_context()
        self._threads = ThreadPoolExecutor(NAME_THREADS, thread_name_prefix="media-names")

    def fetch(self, url: str) -> bytes:
        """Return the bytes behind a URL: see `ports.MediaFetcher`."""
        deadline, target = PhotoDeadline(self._seconds), Target.of(url)
        for _ in range(1 + MOST_REDIRECTS):
            found = self._asked(target, deadline)
            if isinstance(found, bytes):
                return found
            target = Target.of(found, after=target.url)
        raise InvalidError(PATH, f"redirects more than {MOST_REDIRECTS} times")

    def close(self) -> None:
        """Wait for names that are still asked for, which the system gives up by itself."""
        self._threads.shutdown(cancel_futures=True)

    def _asked(self, target: Target, deadline: Deadline) -> bytes | str:
        """Return what a server shows, or where it points."""
        addresses = self._addresses(target.host, deadline)
        with _answering(deadline), closing(self._line(target, addresses, deadline)) as line:
            line.settimeout(deadline.left())
            connection = HTTPConnection(target.host, target.port)
            connection.sock = line
            connection.request("GET", target.path, headers=HEADERS | {"Host": target.netloc})
            with HTTPResponse(line, method="GET") as response:
                response.fp.close()  # it would wait anew for each byte
                response.fp = io.BufferedReader(Incoming(line, deadline))
                response.begin()
                return self._told(response)

    def _addresses(self, host: str, deadline: Deadline) -> list[Address]:
        """Resolve a name once, and refuse it if any of its addresses is not public."""
        asked = self._threads.submit(self._resolve, host)
        try:
            found = [ip_address(one) for one in asked.result(deadline.left())]
        except TimeoutError as error:
            raise deadline.missed() from error
        except (OSError, ValueError) as error:
            if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
                raise UnavailableError(PART, "its name cannot be looked up now") from error
            found = []
        if not found or not all(map(is_public, found)):
            raise InvalidError(PATH, "must name a public machine")
        return found[:MOST_ADDRESSES]

    def _line(
        self, target: Target, addresses: Sequence[Address], deadline: Deadline
    ) -> socket.socket:
        """Connect to the first address that answers; each has its share of the time."""
        for number, address in enumerate(addresses):
            share = deadline.left() / (len(addresses) - number)
            try:
                plain = self._connect(address, target.port, share)
            except OSError:
                continue
            return self._secured(plain, target, deadline)
        raise UnavailableError(PART, "none of its addresses answers")

    def _secured(self, plain: socket.socket, target: Target, deadline: Deadline) -> socket.socket:
        """Let the server prove that it is who the URL names; plain HTTP proves nothing."""
        if target.scheme == "http":
            return plain
        try:
            plain.settimeout(deadline.left())
            return self._tls.wrap_socket(plain, server_hostname=target.host)
        except BaseException:
            plain.close()
            raise

    def _told(self, response: HTTPResponse) -> bytes | str:
        where = response.getheader("Location")
        if where and response.status in REDIRECTS:
            return where
        if response.status in LATER:
            raise UnavailableError(PART, f"HTTP {response.status}")
        if response.status != HTTPStatus.OK:
            raise InvalidError(PATH, f"shows no photo, but HTTP {response.status}")
        return self._body(response)

    def _body(self, response: HTTPResponse) -> bytes:
        """Read a body, and no more of it than is needed to know that it is refused."""
        if response.length is not None and response.length > self._largest_bytes:
            raise TooLargeError("what media_url shows", self._largest_bytes)
        body = bytearray(response.read(HEAD))
        sniff(bytes(body))
        while piece := response.read(CHUNK):
            body += piece
            if len(body) > self._largest_bytes:
                raise TooLargeError("what media_url shows", self._largest_bytes)
        if response.length:
            raise UnavailableError(PART, "the photo was cut off")
        return bytes(body)
