"""What a route may ask for: a transaction, the caller's key, and the caller's share of patience."""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from threading import Lock
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Request

from livinglab.bootstrap import Lab
from livinglab.domain.access import Actor, Scope
from livinglab.domain.contributors import Contributor
from livinglab.domain.observations import Observation
from livinglab.domain.staff import StaffMember, StaffSession
from livinglab.errors import ForbiddenError, LimitExceededError, NotFoundError, UnauthorizedError
from livinglab.ports import UnitOfWork
from livinglab.services.keying import key_with
from livinglab.services.observing import contributor_of
from livinglab.services.signing_in import guard_of, session_with


def lab_of(request: Request) -> Lab:
    """Return the lab that the app serves."""
    lab: Lab = request.app.state.lab
    return lab


LabDep = Annotated[Lab, Depends(lab_of)]


def _write(lab: LabDep) -> Iterator[UnitOfWork]:
    with lab.work() as work:
        yield work


def _read(lab: LabDep) -> Iterator[UnitOfWork]:
    with lab.work(write=False) as work:
        yield work


WriteDep = Annotated[UnitOfWork, Depends(_write, scope="function")]
"""A transaction that is committed before the answer leaves."""
ReadDep = Annotated[UnitOfWork, Depends(_read, scope="function")]


async def _body(request: Request) -> bytes:
    return await request.body()


BodyDep = Annotated[bytes, Depends(_body)]
"""The body as it came, for what is no JSON."""


COOKIE = "livinglab"
GUARD = "x-csrf-token"
_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
WRONG_KEYS = 60
"""That one network may try a minute before it is told to stop; right ones are never counted."""


def cookie_name(request: Request) -> str:
    """Return the name of the cookie of a session; over https no other host can have set it."""
    return f"__Host-{COOKIE}" if request.url.scheme == "https" else COOKIE


def key_of(request: Request, work: UnitOfWork) -> Actor | None:
    """Return whoever acts, by key or session; a wrong key is refused, none is none.

    Raises:
        UnauthorizedError: The key opens nothing.
        LimitExceededError: Too many of those came from there in the last minute.
    """
    given = request.headers.get("authorization", "")
    if not given:
        staff = staff_of(request, work)
        return staff[0] if staff is not None and staff[1].confirmed else None
    kind, _, secret = given.partition(" ")
    found = None
    if kind.lower() == "bearer" and secret:
        found = key_with(secret.strip(), work, lab_of(request).clock.now())
    if found is None:
        wrong: Limits = request.app.state.wrong_keys
        wrong.take(network_of(request), "wrong keys")
        raise UnauthorizedError("this key opens nothing; send `Authorization: Bearer KEY`")
    return found


def staff_of(request: Request, work: UnitOfWork) -> tuple[StaffMember, StaffSession] | None:
    """Return who signed in, with the session.

    Whoever changes something shows what only pages of the same session know: a cookie comes along
    whichever page sends a request.
    """
    token = request.cookies.get(cookie_name(request))
    if not token:
        return None
    shown = request.headers.get(GUARD, "").encode()
    if request.method not in _HARMLESS and not hmac.compare_digest(shown, guard_of(token).encode()):
        return None
    now = lab_of(request).clock.now()
    found = session_with(token, work, now)
    if found is not None:
        found[1].seen_at = now
    return found


def signed_in(request: Request, work: UnitOfWork) -> tuple[StaffMember, StaffSession]:
    """Return who signed in, with the session.

    Raises:
        UnauthorizedError: Nobody did, or the request is not from one of their pages.
    """
    found = staff_of(request, work)
    if found is None:
        raise UnauthorizedError(
            "sign in with POST /sign-in; send its cookie, and its `csrf` as `X-CSRF-Token`"
        )
    return found


def demand(request: Request, work: UnitOfWork, *scopes: Scope) -> Actor:
    """Return whoever acts, who must have one of some scopes.

    Raises:
        UnauthorizedError: Neither a key came nor a session that may act.
        ForbiddenError: Whoever came has none of them.
    """
    actor = key_of(request, work)
    if actor is None:
        if request.cookies.get(cookie_name(request)):
            signed_in(request, work)
            raise UnauthorizedError("set your second factor up first: POST /account/second-factor")
        raise UnauthorizedError("this needs a key; send `Authorization: Bearer KEY`")
    if not any(actor.allows(scope) for scope in scopes):
        raise ForbiddenError(" or ".join(scope.value for scope in scopes))
    return actor


class Limits:
    """Token buckets: so many postings a minute for each caller; hashes only, kept in memory."""

    CALLERS = 50_000

    def __init__(self, per_minute: int) -> None:
        """Allow so many a minute."""
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, caller: str, what: str = "postings") -> None:
        """Take one from the caller's bucket.

        Args:
            caller: Whose bucket it is.
            what: What there are too many of, if it is empty.

        Raises:
            LimitExceededError: It is empty.
        """
        name = hashlib.sha256(caller.encode()).hexdigest()
        now = time.monotonic()
        with self._lock:
            left, at = self._buckets.pop(name, (float(self._per_minute), now))
            left = min(self._per_minute, left + (now - at) * self._per_minute / 60)
            self._buckets[name] = (left - 1 if left >= 1 else left, now)
            while len(self._buckets) > self.CALLERS:
                self._buckets.popitem(last=False)
        if left < 1:
            raise LimitExceededError(what, int((1 - left) * 60 / self._per_minute) + 1)


def network_of(request: Request) -> str:
    """Return the caller's network: /24 of IPv4, /48 of IPv6."""
    host = request.client.host if request.client else "unknown"
    return ":".join(host.split(":")[:3]) if ":" in host else host.rpartition(".")[0]


class Answers:
    """Answers that cost much, kept for whoever asks the same; the oldest goes first."""

    MOST = 512

    def __init__(self) -> None:
        """Begin without any."""
        self._kept: OrderedDict[Hashable, dict[str, Any]] = OrderedDict()
        self._lock = Lock()

    def get(self, question: Hashable, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the answer to a question, which names everything that may change it."""
        with self._lock:
            known = self._kept.get(question)
        if known is None:
            known = make()
            with self._lock:
                self._kept[question] = known
                while len(self._kept) > self.MOST:
                    self._kept.popitem(last=False)
        return known


SHORTEST_TOKEN = 22
"""Characters: 128 random bits in base64, or more."""
TokenDep = Annotated[
    str | None,
    Header(alias="X-Contributor", min_length=SHORTEST_TOKEN, max_length=200),
]
"""The secret of a citizen's device."""


def take_patience(request: Request, work: UnitOfWork, token: str | None) -> None:
    """Count a posting against its caller's patience.

    Raises:
        LimitExceededError: Too many came from there in the last minute.
        UnauthorizedError: A key came that is not known.
    """
    count_against(request, key_of(request, work), token)


def count_against(request: Request, key: Actor | None, token: str | None) -> None:
    """Count a posting against its caller's patience; who may post for many is counted by name.

    Raises:
        LimitExceededError: Too many came from there in the last minute.
    """
    if key is not None and key.allows(Scope.SUBMIT):
        of_keys: Limits = request.app.state.key_limits
        of_keys.take(key.name)
    else:
        limits: Limits = request.app.state.limits
        limits.take(f"network {network_of(request)}")
        if token:
            limits.take(f"contributor {token}")


def count_search(request: Request, key: Actor | None) -> None:
    """Count a search for an address like a posting, in a bucket of its own.

    Raises:
        LimitExceededError: Too many came from there in the last minute.
    """
    if key is None or not key.allows(Scope.SUBMIT):
        limits: Limits = request.app.state.limits
        limits.take(f"searches of {network_of(request)}", "searches")


def somebody(request: Request, lab: Lab, work: UnitOfWork, token: str | None) -> Contributor:
    """Return whoever speaks, by the token of the device; who speaks first is new.

    Raises:
        UnauthorizedError: No token came: one voice each needs one.
        LimitExceededError: Too many came from there in the last minute.
    """
    if token is None:
        raise UnauthorizedError("this needs `X-Contributor`; `POST /contributors` gives one")
    take_patience(request, work, token)
    return contributor_of(token, work, lab.clock.now())


def own_observation(id_: UUID, contributor: Contributor, work: UnitOfWork) -> Observation:
    """Return one's own Observation; of another's nobody learns whether it exists.

    Raises:
        NotFoundError: There is none, or it is another's.
    """
    found = work.observations.get(id_)
    if found is None or found.contributor != contributor.pseudonym:
        raise NotFoundError("Observation", str(id_))
    return found
