"""Signing in: staff get accounts, show who they are, and stop being staff.

A password alone opens nothing but one's own account: to act, the second factor is shown (TOTP,
RFC 6238). Passwords are kept as Argon2id (RFC 9106), secrets of second factors in the Vault.
"""

import hashlib
import hmac
import re
import secrets
from datetime import datetime
from functools import lru_cache
from threading import BoundedSemaphore
from uuid import uuid4

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from livinglab.domain.staff import (
    LOCKED_FOR,
    LONGEST_PASSWORD,
    MOST_WRONG_CODES,
    SHORTEST_PASSWORD,
    StaffMember,
    StaffSession,
)
from livinglab.errors import ConflictError, InvalidError, NotFoundError
from livinglab.ports import CivicStore, UnitOfWork, Vault

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_CODE = re.compile(r"\d{6}")
_STEP_S = 30
"""How long a code is good for. [s]"""
_hasher = PasswordHasher()
_room = BoundedSemaphore(2)
"""Each takes 64 MiB and a core for a moment, whoever asks."""


@lru_cache(maxsize=1)
def _nobodys() -> str:
    """Return a hash that costs as much to compare as anybody's."""
    return _hasher.hash(secrets.token_urlsafe())


def hashed(password: str) -> str:
    """Hash a password with a salt of its own."""
    with _room:
        return _hasher.hash(password)


def matches(password_hash: str, password: str) -> bool:
    """Tell whether a hash is of this password."""
    with _room:
        try:
            return _hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


def recruit(login: str, scopes: str, work: UnitOfWork, now: datetime) -> str:
    """Give somebody an account and return its first password, which nobody keeps.

    Raises:
        ConflictError: The login is taken.
        InvalidError: It is none.
    """
    name = login.strip().casefold()
    if not _LOGIN.fullmatch(name):
        raise InvalidError("login", "is made of letters a to z, digits and . _ @ -, 64 at the most")
    if work.staff.one(login=name) is not None:
        raise ConflictError(f"there is a login {name!r} already; choose another one")
    password = secrets.token_urlsafe(12)
    kept = hashed(password)
    work.staff.add([StaffMember(login=name, scopes=scopes, password_hash=kept, created_at=now)])
    return password


def member(login: str, work: UnitOfWork) -> StaffMember:
    """Return the one of a login.

    Raises:
        NotFoundError: There is none.
    """
    found = work.staff.one(login=login.strip().casefold())
    if found is None:
        raise NotFoundError("login", login)
    return found


def dismiss(login: str, work: UnitOfWork) -> None:
    """End an account at once; its name stays in what was decided under it, and is not given again.

    Raises:
        NotFoundError: There is no such login.
    """
    found = member(login, work)
    found.active = False
    _end_all(found, work)


def restore(login: str, work: UnitOfWork, vault: Vault) -> str:
    """Give an account a new password and no second factor, as for somebody who lost theirs.

    Returns:
        The password, which nobody keeps.

    Raises:
        NotFoundError: There is no such login.
    """
    found, password = member(login, work), secrets.token_urlsafe(12)
    found.password_hash, found.active = hashed(password), True
    found.second_factor = found.new_factor = found.locked_until = None
    found.wrong_codes = found.last_step = 0
    _end_all(found, work)
    vault.erase(found.name)
    return password


def proven(login: str, password: str, civic: CivicStore) -> str | None:
    """Return the hash of a password that is right; nothing is held while it is computed.

    It takes as long for somebody whom nobody knows.
    """
    with civic.work(write=False) as work:
        found = work.staff.one(login=login.strip().casefold())
        kept = found.password_hash if found is not None and found.active else None
    right = matches(kept or _nobodys(), password)
    return kept if right else None


def sign_in(
    login: str,
    password_hash: str,
    code: str | None,
    *,
    work: UnitOfWork,
    vault: Vault,
    now: datetime,
) -> str | None:
    """Open a session for somebody whose password was right.

    Args:
        login: Whose.
        password_hash: What `proven` returned.
        code: Of the second factor; without one set up it is not looked at.
        work: The transaction, to be kept although nothing opens: wrong codes are counted.
        vault: Where second factors are.
        now: When.

    Returns:
        The secret of the session, or None if the code is wrong or the account has changed.
    """
    found = work.staff.one(login=login.strip().casefold())
    if found is None or not found.active or found.password_hash != password_hash:
        return None
    if found.second_factor is not None and not _is_right(found, code or "", vault, now):
        return None
    for one in work.staff_sessions.where(login=found.login):
        if not one.is_valid(now):
            work.staff_sessions.remove([one])
    return _opened(found, work, now)


def session_with(
    token: str, work: UnitOfWork, now: datetime
) -> tuple[StaffMember, StaffSession] | None:
    """Return whose session a secret opens, if both still stand."""
    session = work.staff_sessions.one(token_sha256=_digest(token))
    if session is None or not session.is_valid(now):
        return None
    found = work.staff.one(login=session.login)
    return (found, session) if found is not None and found.active else None


def sign_out(token: str, work: UnitOfWork) -> None:
    """End the session that a secret opens, if there is one."""
    work.staff_sessions.remove(work.staff_sessions.where(token_sha256=_digest(token)))


def guard_of(token: str) -> str:
    """Return what a page that belongs to a session sends along, and no other page knows."""
    return hmac.digest(token.encode(), b"this page is ours", "sha256").hex()


def begin_second_factor(staff: StaffMember, city: str, vault: Vault) -> tuple[str, str]:
    """Make a second factor, which counts from when a code of it is shown.

    Returns:
        Its secret in base32, and as the URI that an app reads from a QR code.
    """
    secret, name = pyotp.random_base32(), f"totp {uuid4()}"
    vault.note(staff.name, name, secret)
    staff.new_factor = name
    return secret, pyotp.TOTP(secret).provisioning_uri(name=staff.login, issuer_name=city)


def confirm_second_factor(
    staff: StaffMember, code: str, *, work: UnitOfWork, vault: Vault, now: datetime
) -> str | None:
    """Let a new second factor count, and open a new session in the place of all others.

    Returns:
        The secret of the session, or None if the code is wrong.
    """
    if staff.new_factor is None or not _is_right(staff, code, vault, now, staff.new_factor):
        return None
    staff.second_factor, staff.new_factor = staff.new_factor, None
    _end_all(staff, work)
    return _opened(staff, work, now)


def change_password(staff: StaffMember, new: str, *, work: UnitOfWork, now: datetime) -> str:
    """Take another password, and open a new session in the place of all others.

    Returns:
        The secret of the session.

    Raises:
        InvalidError: It is too short or too long, or the login itself.
    """
    if not SHORTEST_PASSWORD <= len(new) <= LONGEST_PASSWORD:
        raise InvalidError("new", f"has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    if staff.login in new.casefold():
        raise InvalidError("new", "must not hold the login")
    staff.password_hash = hashed(new)
    _end_all(staff, work)
    return _opened(staff, work, now)


def _opened(staff: StaffMember, work: UnitOfWork, now: datetime) -> str:
    token = secrets.token_urlsafe(32)
    opened = StaffSession(
        token_sha256=_digest(token),
        login=staff.login,
        created_at=now,
        seen_at=now,
        confirmed=staff.second_factor is not None,
    )
    work.staff_sessions.add([opened])
    return token


def _end_all(staff: StaffMember, work: UnitOfWork) -> None:
    work.staff_sessions.remove(work.staff_sessions.where(login=staff.login))


def _is_right(
    staff: StaffMember, code: str, vault: Vault, now: datetime, factor: str | None = None
) -> bool:
    """Tell whether a code is that of the present half minute or one beside it, and was never used.

    After some wrong ones none is right for a while: there are but a million.
    """
    if staff.locked_until is not None and now < staff.locked_until:
        return False
    secret = vault.noted(staff.name, factor or staff.second_factor or "")
    present = int(now.timestamp()) // _STEP_S
    if secret is not None and _CODE.fullmatch(code):
        for step in (present - 1, present, present + 1):
            if step > staff.last_step and hmac.compare_digest(
                pyotp.TOTP(secret).generate_otp(step), code
            ):
                staff.last_step, staff.wrong_codes, staff.locked_until = step, 0, None
                return True
    staff.wrong_codes += 1
    if staff.wrong_codes >= MOST_WRONG_CODES:
        staff.wrong_codes, staff.locked_until = 0, now + LOCKED_FOR
    return False


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
