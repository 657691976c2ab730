"""Fetching a stranger's photo: whom the lab talks to, how long, and how much it takes."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from ipaddress import ip_address
from time import monotonic

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from livinglab.adapters.fetching import (
    Address,
    HttpMediaFetcher,
    Resolver,
    connected,
    is_public,
    resolved,
)
from livinglab.errors import (
    InvalidError,
    LabError,
    TooLargeError,
    UnavailableError,
    UnsupportedFormatError,
)
from livinglab.ports import MediaFetcher
from tests import photos

PHOTO = photos.telling_jpeg()
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts no authority, and is made in no time."""
HERE, THERE = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
"""Public addresses, which no test reaches: the world below brings their callers to itself."""


def answer(body: bytes = PHOTO, status: str = "200 OK", **headers: str) -> bytes:
    """Write what a server says."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def pointing(url: str, status: str = "302 Found") -> bytes:
    return answer(b"", status, Location=url)


class World:
    """Names, and servers behind them: all of them one socket of ours on loopback."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.names: dict[str, list[str]] = {"photos.example": [HERE]}
        self.pages: dict[str, bytes | Callable[[socket.socket], None]] = {}
        self.asked: list[str] = []
        self.called: list[tuple[str, int]] = []
        self.patience: list[float] = []
        self.heard: list[str] = []
        self.deaf: set[str] = set()
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))

    def resolve(self, name: str) -> list[str]:
        """Find addresses as DNS does; numbers of any spelling stand for themselves."""
        self.asked.append(name)
        return self.names[name] if name in self.names else resolved(name)

    def connect(self, address: Address, port: int, timeout: float) -> socket.socket:
        """Bring every caller here."""
        self.called.append((str(address), port))
        self.patience.append(timeout)
        if str(address) in self.deaf:
            raise TimeoutError
        return connected(ip_address("127.0.0.1"), self._socket.getsockname()[1], timeout)

    def serve(self) -> None:
        """Answer until the end."""
        while True:
            line, _ = self._socket.accept()
            with line, suppress(OSError):
                self._answer(line)

    def _answer(self, plain: socket.socket) -> None:
        plain.settimeout(5)
        line = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
        with line, line.makefile("rb") as words:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                if not (word := words.readline()):
                    return
                request += word
            self.heard.append(request.decode())
            page = self.pages[request.split()[1].decode()]
            if callable(page):
                page(line)
            else:
                line.sendall(page)

    @contextmanager
    def running(self) -> Iterator["World"]:
        """Serve as long as the context lasts."""
        with ThreadPoolExecutor(1, thread_name_prefix="world") as threads:
            serving = threads.submit(self.serve)
            try:
                yield self
            finally:
                self._socket.shutdown(socket.SHUT_RDWR)
                assert isinstance(serving.exception(), OSError)
                self._socket.close()


@pytest.fixture
def world() -> Iterator[World]:
    """A world without TLS."""
    with World().running() as found:
        yield found


@pytest.fixture
def fetch(world: World) -> Iterator[Callable[[str], bytes]]:
    """A fetcher that lives there, impatiently."""
    with fetcher(world) as found:
        yield found.fetch


def fetcher(
    world: World, *, seconds: float = 5.0, tls: ssl.SSLContext | None = None
) -> closing[MediaFetcher]:
    return closing(
        HttpMediaFetcher(
            largest_bytes=100_000,
            seconds=seconds,
            resolve=world.resolve,
            connect=world.connect,
            tls=tls or NOBODY,
        )
    )


def test_a_photo_is_fetched_as_it_is(fetch, world):
    """From the address of its name; what it carries is taken off when it is kept."""
    world.pages["/a%20b.php?x=%C3%A9&y=1"] = answer(Content_Type="text/html")

    assert PHOTO == fetch("http://photos.example/a b.php?x=é&y=1#there")
    assert [(HERE, 80)] == world.called
    assert "Host: photos.example\r\n" in world.heard[0]
    assert "Cookie" not in world.heard[0]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.10", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "239.1.2.3", "240.0.0.1",
        "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:93.184.215.14", "::127.0.0.1", "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::5db8:d70e", "64:ff9b:1::7f00:1", "2002:7f00:1::",
        "2002:5db8:d70e::", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1",
        "2001:db8::1", "3fff::1", "100::1", "5f00::1", "4000::1",
    ],
)  # fmt: skip
def test_machines_that_are_not_public_are_never_called(fetch, world, address):
    """Private, loopback, link-local, multicast, reserved, or hiding one address in another."""
    world.names["photos.example"] = [address]

    assert not is_public(ip_address(address))
    with pytest.raises(InvalidError, match="must name a public machine"):
        fetch("http://photos.example/photo")
    assert [] == world.called


@pytest.mark.parametrize("address", [HERE, "1.1.1.1", "192.0.1.1", THERE, "2a00:1450:4003::200e"])
def test_public_machines_are_called(fetch, world, address):
    """Of both families."""
    world.names["photos.example"] = [address]
    world.pages["/photo"] = answer()

    assert PHOTO == fetch("http://photos.example/photo")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "localhost", "[::1]",
        "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "169.254.169.254", "LOCALHOST", "①27.0.0.1",
        "localhost.", "0", "[fe80::1%25lo]",
    ],
)  # fmt: skip
def test_no_spelling_of_an_address_gets_through(fetch, world, host):
    """Whatever the system makes of it is what is looked at."""
    with pytest.raises(InvalidError):
        fetch(f"http://{host}/photo")
    assert [] == world.called


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///etc/passwd", "must begin with http"),
        ("ftp://photos.example/photo", "must begin with http"),
        ("gopher://photos.example/photo", "must begin with http"),
        ("photos.example/photo", "must begin with http"),
        ("http:///photo", "must begin with http"),
        ("", "must begin with http"),
        ("http://photos.example/" + "x" * 2_000, "2000 characters"),
        ("http://user@photos.example/photo", "user or a password"),
        ("http://user:word@photos.example/photo", "user or a password"),
        (r"http://photos.example\@127.0.0.1/photo", "user or a password"),
        ("http://photos.example:22/photo", "must leave the port at 80"),
        ("http://photos.example:443/photo", "must leave the port at 80"),
        ("https://photos.example:80/photo", "must leave the port at 443"),
        ("http://photos.example:0/photo", "must leave the port at 80"),
        ("http://photos.example:99999/photo", "is no URL"),
        ("http://photos.example:x/photo", "is no URL"),
        ("http://[::1/photo", "is no URL"),
        ("http://a..b/photo", "is no URL"),
        ("http://photos.example/\ud800", "is no URL"),
    ],
)
def test_other_urls_are_refused_before_anybody_is_asked(fetch, world, url, why):
    """No name is looked up for them."""
    with pytest.raises(InvalidError, match=why):
        fetch(url)
    assert [] == world.asked == world.called


def failing(error: OSError) -> Resolver:
    def resolve(_: str) -> list[str]:
        raise error

    return resolve


PIECES = st.sampled_from(
    ["http://", "https:", "//", "/", "@", ":", ":80", "?", "#", "[", "]", "\\", "%", "..", "é",
     "::1", "\r\n", "\0", " ", "127.0.0.1", "photos.example", "xn--", "\ud800", "\u2100"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES | st.text(max_size=3), max_size=8).map("".join))
def test_any_text_is_a_refusal_or_a_public_url(text):
    """Nothing that is written as a URL breaks the fetcher."""
    with closing(HttpMediaFetcher(resolve=failing(OSError()), tls=NOBODY)) as found:
        for url in (text, f"http://{text}", f"https://photos.example{text}"):
            with pytest.raises(InvalidError):
                found.fetch(url)


def test_one_address_that_is_not_public_spoils_a_name(fetch, world):
    """Of two, the wrong one might be taken."""
    world.names["photos.example"] = [HERE, "10.0.0.1"]

    with pytest.raises(InvalidError, match="public machine"):
        fetch("http://photos.example/photo")
    assert [] == world.called


def test_a_name_that_changes_is_looked_up_once(world):
    """Public when it is looked at, loopback a moment later: the first answer is the one called."""
    answers = iter([[HERE], ["127.0.0.1"]])
    world.pages["/photo"] = answer()
    changing: Resolver = lambda _: next(answers)  # noqa: E731 - a world of one line
    with closing(HttpMediaFetcher(resolve=changing, connect=world.connect)) as found:
        assert PHOTO == found.fetch("http://photos.example/photo")
        with pytest.raises(InvalidError, match="public machine"):
            found.fetch("http://photos.example/photo")

    assert [(HERE, 80)] == world.called


def test_a_name_that_is_none_is_refused_in_the_same_words(fetch, world):
    """So that nobody learns which names there are inside."""
    world.names["photos.example"] = []

    with pytest.raises(InvalidError, match="must name a public machine"):
        fetch("http://photos.example/photo")


@pytest.mark.parametrize(
    ("error", "answered"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no such name"), InvalidError),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), UnavailableError),
    ],
)
def test_a_name_that_cannot_be_looked_up_now_may_be_later(world, error, answered):
    """One that does not exist is refused for good."""
    with (
        closing(HttpMediaFetcher(resolve=failing(error), connect=world.connect)) as found,
        pytest.raises(answered),
    ):
        found.fetch("http://photos.example/photo")


def test_the_next_address_is_tried(fetch, world):
    """A name with IPv6 in a network without; the first has but half of the five seconds."""
    world.names["photos.example"] = [THERE, HERE]
    world.deaf = {THERE}
    world.pages["/photo"] = answer()

    assert PHOTO == fetch("http://photos.example/photo")
    assert [(THERE, 80), (HERE, 80)] == world.called
    assert world.patience[0] <= 2.5 < world.patience[1]


def test_a_server_that_nobody_reaches_is_unavailable(fetch, world):
    """At no address."""
    world.deaf = {HERE}

    with pytest.raises(UnavailableError, match="none of its addresses answers"):
        fetch("http://photos.example/photo")


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
def test_redirects_are_followed(fetch, world, status):
    """To another path, and to another name."""
    world.names["more.example"] = [THERE]
    world.pages |= {
        "/photo": pointing("/moved?to=1", status),
        "/moved?to=1": pointing("//more.example/photo2", status),
        "/photo2": answer(),
    }

    assert PHOTO == fetch("http://photos.example/photo")
    assert ["photos.example", "photos.example", "more.example"] == world.asked
    assert [HERE, HERE, THERE] == [address for address, _ in world.called]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://inside.example/", "//[::1]/", "http://169.254.169.254/latest/",
        "file:///etc/passwd", "http://photos.example:8080/", "http://a:b@photos.example/",
        "http://[::1/",
    ],
)  # fmt: skip
def test_each_redirect_is_looked_at_anew(fetch, world, url):
    """A public server may not send the lab to one that is not."""
    world.names["inside.example"] = ["10.0.0.1"]
    world.pages["/photo"] = pointing(url)

    with pytest.raises(InvalidError):
        fetch("http://photos.example/photo")
    assert [(HERE, 80)] == world.called


def test_three_redirects_are_enough(fetch, world):
    """The fourth is not followed; the third is."""
    world.pages |= {f"/{n}": pointing(f"/{n + 1}") for n in range(5)}
    with pytest.raises(InvalidError, match="redirects more than 3 times"):
        fetch("http://photos.example/0")
    followed = len(world.called)
    world.pages["/4"] = answer()

    assert 4 == followed
    assert PHOTO == fetch("http://photos.example/1")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer(b"gone", "404 Not Found"), InvalidError),
        (answer(PHOTO, "206 Partial Content"), InvalidError),
        (answer(b"", "302 Found"), InvalidError),
        (answer(b"", "503 Unavailable"), UnavailableError),
        (answer(b"", "429 Too Many"), UnavailableError),
        (answer(b"<html>", Content_Type="image/jpeg"), UnsupportedFormatError),
        (answer(b"", Content_Type="image/jpeg"), UnsupportedFormatError),
        (answer(b"\x1f\x8b\x08" + PHOTO, Content_Encoding="gzip"), UnsupportedFormatError),
        (answer(PHOTO, Content_Length="999999999999"), TooLargeError),
        (answer(PHOTO + bytes(100_000)), TooLargeError),
        (answer(PHOTO, Content_Length=str(len(PHOTO) + 1)), UnavailableError),
        (answer(b"5\r\nabcde\r\nzz\r\n", Transfer_Encoding="chunked"), LabError),
        (answer(b"ffffffff\r\n" + PHOTO, Transfer_Encoding="chunked"), UnavailableError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", UnavailableError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", UnavailableError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", UnavailableError),
        (b"", UnavailableError),
    ],
)
def test_what_is_no_photo_is_refused(fetch, world, said, error):
    """By its bytes, never by its declared type; each with a reason of ours."""
    world.pages["/photo"] = said

    with pytest.raises(error):
        fetch("http://photos.example/photo")


def test_chunks_are_joined(fetch, world):
    """A server need not know how long its photo is."""
    halves = (PHOTO[:500], PHOTO[500:])
    body = b"".join(f"{len(half):x}\r\n".encode() + half + b"\r\n" for half in halves)
    world.pages["/photo"] = answer(body + b"0\r\n\r\n", Transfer_Encoding="chunked")

    assert PHOTO == fetch("http://photos.example/photo")


def test_no_more_is_read_than_is_needed(fetch, world):
    """A server without an end is left as soon as it is too much."""
    sent = 0

    def endless(line: socket.socket) -> None:
        nonlocal sent
        line.sendall(answer())
        while True:
            sent += line.send(bytes(10_000))

    world.pages["/photo"] = endless
    with pytest.raises(TooLargeError):
        fetch("http://photos.example/photo")

    assert sent < 20_000_000  # what fits between two sockets


def trickling(words: bytes) -> Callable[[socket.socket], None]:
    """Say a byte at a time, for ever."""

    def trickle(line: socket.socket) -> None:
        while True:
            for number in range(len(words)):
                line.sendall(words[number : number + 1])
                threading.Event().wait(0.02)

    return trickle


@pytest.mark.parametrize(
    "words", [b"HTTP/1.1 200 OK\r\n", answer(b"\xff\xd8\xff" + bytes(500)), b"H"]
)
def test_a_trickle_ends_at_the_deadline(world, words):
    """Each byte comes in time, and all of them never."""
    world.pages["/photo"] = trickling(words)
    began = monotonic()
    with fetcher(world, seconds=0.2) as found, pytest.raises(UnavailableError, match=r"within 0.2"):
        found.fetch("http://photos.example/photo")

    assert monotonic() - began < 2


def test_names_have_the_same_deadline(world):
    """A name server that says nothing holds nobody up."""
    said = threading.Event()

    def slow(_: str) -> list[str]:
        said.wait(5)
        return [HERE]

    found = HttpMediaFetcher(resolve=slow, connect=world.connect, seconds=0.1)
    with pytest.raises(UnavailableError, match=r"within 0.1 s"):
        found.fetch("http://photos.example/photo")
    said.set()
    found.close()

    assert [] == world.called


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who vouches for servers."""
    return trustme.CA()


@contextmanager
def secure(authority: trustme.CA, *names: str) -> Iterator[World]:
    """A world whose servers prove these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    with World(context).running() as found:
        found.pages["/photo"] = answer()
        yield found


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_https_proves_the_name_and_calls_the_address(authority):
    """The certificate is that of the name, though an address was called."""
    with (
        secure(authority, "photos.example") as world,
        fetcher(world, tls=trusting(authority)) as found,
    ):
        assert PHOTO == found.fetch("https://photos.example/photo")
        assert [(HERE, 443)] == world.called


@pytest.mark.parametrize(
    ("names", "trusted"), [(["other.example"], True), ([HERE], True), (["photos.example"], False)]
)
def test_a_server_that_cannot_prove_its_name_is_not_asked(authority, names, trusted):
    """Of another name, of the bare address, or by nobody we trust."""
    tls = trusting(authority if trusted else trustme.CA())
    with (
        secure(authority, *names) as world,
        fetcher(world, tls=tls) as found,
        pytest.raises(UnavailableError, match="certificate is not valid"),
    ):
        found.fetch("https://photos.example/photo")

    assert [] == world.heard


def test_a_machine_without_tls_is_no_https(world):
    """Whatever it makes of what it hears."""
    with fetcher(world, seconds=0.2) as found, pytest.raises(UnavailableError):
        found.fetch("https://photos.example/photo")

    assert [] == world.heard


def test_closing_twice_does_nothing(world):
    """The second time."""
    with fetcher(world) as found:
        found.close()


def test_the_system_finds_loopback_and_is_reached():
    """What is injected above, as it is when nobody injects anything."""
    assert "127.0.0.1" in resolved("127.0.0.1")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        with connected(ip_address("127.0.0.1"), port, 1.0) as line:
            assert ("127.0.0.1", port) == line.getpeername()
