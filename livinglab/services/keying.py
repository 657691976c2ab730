"""Keying: programs and staff get keys, change them without a gap, and lose them."""

import hashlib
import secrets
from datetime import datetime, timedelta

from livinglab.domain.access import ApiKey
from livinglab.domain.staff import STAFF
from livinglab.errors import ConflictError, InvalidError, NotFoundError
from livinglab.ports import UnitOfWork

GRACE = timedelta(hours=24)
"""How long the old secret still works after a change."""
_FORMER = " until "
"""Between the name of a key and the time when its secret was changed."""


def key_with(secret: str, work: UnitOfWork, now: datetime) -> ApiKey | None:
    """Return the key that a secret opens, if it has not ended."""
    found = work.keys.with_secret(_digest(secret))
    return found if found is not None and found.is_valid(now) else None


def new_key(
    name: str, scopes: str, secret: str, now: datetime, *, expires_at: datetime | None = None
) -> ApiKey:
    """Describe a key by the hash of its secret.

    Args:
        name: Whose it is.
        scopes: Scope values, separated by spaces.
        secret: What opens it.
        now: When it is made.
        expires_at: When it ends; None: never.
    """
    return ApiKey(
        name=name,
        secret_sha256=_digest(secret),
        scopes=scopes,
        created_at=now,
        expires_at=expires_at,
    )


def create(
    name: str, scopes: str, work: UnitOfWork, now: datetime, *, lasts: timedelta | None = None
) -> str:
    """Make a key and return its secret, which nobody keeps.

    Args:
        name: Whose it is; used once.
        scopes: Scope values, separated by spaces.
        work: The transaction.
        now: When it is made.
        lasts: When it ends; None: never.

    Raises:
        ConflictError: The name is taken.
        InvalidError: It looks like the name of a former secret, or of somebody of the staff.
    """
    if _FORMER in name:
        raise InvalidError("name", f"must not hold {_FORMER!r}, which marks former secrets")
    if name.startswith(STAFF):
        raise InvalidError("name", f"must not begin with {STAFF!r}, which marks people")
    return _made(name, scopes, work, now, None if lasts is None else now + lasts)


def _made(
    name: str, scopes: str, work: UnitOfWork, now: datetime, expires_at: datetime | None
) -> str:
    if work.keys.named(name) is not None:
        raise ConflictError(f"there is a key named {name!r} already; choose another name")
    secret = secrets.token_urlsafe(32)
    work.keys.add(new_key(name, scopes, secret, now, expires_at=expires_at))
    return secret


def rotate(name: str, work: UnitOfWork, now: datetime, *, grace: timedelta = GRACE) -> str:
    """Give a key a new secret and return it; the old one works on for a while.

    The old secret goes on under another name, so that it can be revoked by itself. The end of the
    key stays, and the old secret never outlives it.

    Raises:
        NotFoundError: There is no such key, or it has ended.
        ConflictError: It was changed in the same second.
    """
    old = _valid(name, work, now)
    ends = old.expires_at
    old.name = f"{name}{_FORMER}{now:%Y-%m-%dT%H:%M:%SZ}"
    old.expires_at = now + grace if ends is None else min(ends, now + grace)
    return _made(name, old.scopes, work, now, ends)


def revoke(name: str, work: UnitOfWork) -> None:
    """Take a key away: from now on it opens nothing, nor do its secrets from before.

    Raises:
        NotFoundError: There is no such key.
    """
    if work.keys.named(name) is None:
        raise NotFoundError("key", name)
    for one in work.keys.all():
        if one.name == name or one.name.startswith(f"{name}{_FORMER}"):
            work.keys.remove(one.name)


def _valid(name: str, work: UnitOfWork, now: datetime) -> ApiKey:
    found = work.keys.named(name)
    if found is None or not found.is_valid(now):
        raise NotFoundError("key", name)
    return found


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
