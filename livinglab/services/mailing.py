"""Mailing: addresses that somebody proved to read, and one letter a day with what is new.

All text stands in one table per language (`letters/en.toml` and its siblings).
"""

import hashlib
import hmac
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from livinglab.domain.contributors import Contributor
from livinglab.domain.notices import (
    CODE_LASTS,
    MOST_LINES,
    MOST_TRIES,
    EmailCode,
    Letter,
    Mailbox,
    News,
    Notice,
)
from livinglab.domain.observations import Category
from livinglab.domain.places import City
from livinglab.domain.texting import TEL
from livinglab.errors import InvalidError, LetterRefusedError
from livinglab.ports import CivicStore, Mailer, UnitOfWork, Vault
from livinglab.services.notifying import unwanted

log = structlog.get_logger()

LANGUAGES = ("en", "es", "fr", "ar")
MOST_SHORT = 3
"""Lines of a message to a telephone."""
HOUR = 18
"""Of the city's clock, from which the day's letters are sent."""
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Of codes: nothing that looks like something else."""
_CODE_LENGTH = 8
_FIRST_STRONG, _END = "\u2068", "\u2069"


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Where letters come from: what all of them need."""

    city: City
    categories: Mapping[str, Category]
    base: str
    """Of every link."""
    mailer: Mailer | None
    vault: Vault
    texter: Mailer | None = None
    """The same for telephones."""

    def carrier(self, mailbox: Mailbox) -> Mailer | None:
        """Return who takes letters there; None: nobody does."""
        return self.texter if mailbox.email.startswith(TEL) else self.mailer


@lru_cache(maxsize=len(LANGUAGES))
def words(lang: str) -> Mapping[str, Any]:
    """Return the texts of a language, or English where there are none."""
    known = lang.partition("-")[0]
    name = known if known in LANGUAGES else "en"
    text = files("livinglab.services").joinpath("letters", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def normal(email: str) -> str:
    """Return an address as it is compared: the domain in small letters, nothing around it."""
    name, _, domain = email.strip().rpartition("@")
    return f"{name}@{domain.casefold()}"


def begin_email(
    contributor: Contributor, email: str, lang: str, office: Office, work: UnitOfWork, now: datetime
) -> Letter:
    """Make a code for whoever says that they read an address; it replaces the one before.

    Returns:
        The letter that takes it there, to be sent when the transaction is kept.
    """
    code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))
    work.email_codes.remove(work.email_codes.where(contributor=contributor.pseudonym))
    work.email_codes.add(
        [
            EmailCode(
                contributor=contributor.pseudonym,
                digest=_digest(code, email),
                expires_at=now + CODE_LASTS,
            )
        ]
    )
    told = words(lang)
    facts = {
        "city": office.city.name,
        "code": code,
        "minutes": int(CODE_LASTS.total_seconds() // 60),
    }
    return Letter(
        to=normal(email),
        subject=told["code_subject"].format(**facts),
        text=told["code"].format(**facts) + "\n",
        message_id=_message_id(f"code {contributor.pseudonym} {now.isoformat()}", office),
    )


def confirm_email(
    contributor: Contributor,
    email: str,
    code: str,
    lang: str,
    *,
    work: UnitOfWork,
    vault: Vault,
    now: datetime,
) -> bool:
    """Keep an address if the code that was sent there is shown.

    Returns:
        Whether it was; a wrong code counts, so the transaction is to be kept in any case.
    """
    asked = work.email_codes.one(contributor=contributor.pseudonym)
    if asked is None or now >= asked.expires_at or asked.tries >= MOST_TRIES:
        return False
    asked.tries += 1
    if not hmac.compare_digest(asked.digest, _digest(code.strip().upper(), email)):
        return False
    work.email_codes.remove([asked])
    vault.open_mailbox(
        Mailbox(
            pseudonym=contributor.pseudonym,
            email=normal(email),
            lang=lang,
            token=secrets.token_urlsafe(24),
        )
    )
    return True


def send_digests(office: Office, civic: CivicStore, now: datetime) -> int:
    """Send everybody who may be reached what is new, once a day from the evening on.

    What was sent is noted after the mail server took it: a lab that is killed in between sends the
    same letter again under the same Message-ID.

    Returns:
        How many letters were sent.

    Raises:
        UnavailableError: The mail server does not answer; the rest is sent next time.
    """
    local = now.astimezone(ZoneInfo(office.city.timezone))
    if local.hour < HOUR:
        return 0
    today = local.replace(hour=0, minute=0, second=0, microsecond=0)
    sent = 0
    for mailbox in office.vault.mailboxes():
        carrier = office.carrier(mailbox)
        waiting = _waiting(mailbox.pseudonym, today, civic)
        if carrier is None or not waiting:
            continue
        try:
            carrier.send(digest(mailbox, waiting, office))
        except LetterRefusedError as error:
            log.warning("letter_refused", problem=str(error), notices=len(waiting))
        else:
            sent += 1
        with civic.work() as work:
            numbers = {one.number for one in waiting}
            for one in work.notices.where(recipient=mailbox.pseudonym, sent_at=None):
                if one.number in numbers:
                    one.sent_at = now
    return sent


def _waiting(recipient: str, today: datetime, civic: CivicStore) -> list[Notice]:
    """Return what somebody should hear of; nothing if they heard of something today."""
    with civic.work(write=False) as work:
        out = unwanted(recipient, work)
        all_ = work.notices.where(recipient=recipient)
    if any(one.sent_at is not None and one.sent_at >= today for one in all_):
        return []
    return [one for one in all_ if one.sent_at is None and one.topic not in out]


def digest(mailbox: Mailbox, notices: Sequence[Notice], office: Office) -> Letter:
    """Write the letter of a day."""
    told = words(mailbox.lang)
    if mailbox.email.startswith(TEL):
        return _short(mailbox, notices, told, office)
    lines = [_line(one, told, office) for one in notices[:MOST_LINES]]
    if len(notices) > MOST_LINES:
        lines.append(told["more"].format(n=len(notices) - MOST_LINES))
    ending = f"{office.base}/unsubscribe/{mailbox.token}"
    city = _apart(office.city.name)
    text = "\n\n".join(
        [told["greeting"].format(city=city), *lines, "-- \n" + told["ending"].format(url=ending)]
    )
    return Letter(
        to=mailbox.email,
        subject=told["subject"].format(city=office.city.name),
        text=text + "\n",
        message_id=_message_id(f"digest {mailbox.pseudonym} {notices[0].number}", office),
        unsubscribe=ending,
    )


def _short(
    mailbox: Mailbox, notices: Sequence[Notice], told: Mapping[str, Any], office: Office
) -> Letter:
    """Write what is new for a telephone: few lines, no links."""
    lines = [_head(one, told, office) for one in notices[:MOST_SHORT]]
    if len(notices) > MOST_SHORT:
        lines.append(told["more"].format(n=len(notices) - MOST_SHORT))
    return Letter(
        to=mailbox.email,
        subject="",
        text=told["sms"]["news"].format(city=office.city.name, lines="\n".join(lines)),
        message_id=_message_id(f"digest {mailbox.pseudonym} {notices[0].number}", office),
    )


def _line(one: Notice, told: Mapping[str, Any], office: Office) -> str:
    facts = one.facts
    category = office.categories.get(facts.get("category", ""))
    parts = [_head(one, told, office)]
    if facts.get("words"):
        parts += [f"> {each}" for each in str(facts["words"]).splitlines()]
    if "observation" in facts and category is not None and not category.privacy.personal:
        parts.append(told["see"].format(url=f"{office.base}/observations/{facts['observation']}"))
    return "\n".join(parts)


def _head(one: Notice, told: Mapping[str, Any], office: Office) -> str:
    facts = one.facts
    category = office.categories.get(facts.get("category", ""))
    name = one.news.value
    if one.news is News.ANSWERED and "place" not in facts:
        name = "answered_nowhere"
    line: str = told[name].format(
        category=_apart(category.label if category else ""),
        place=_apart(facts.get("place", "")),
        department=_apart(facts.get("department", "")),
        outcome=told["outcomes"].get(facts.get("outcome") or "", ""),
        phase=told["phases"].get(facts.get("phase") or "", ""),
    )
    return line.strip()


def _apart(text: str) -> str:
    """Let a name keep its own direction between words of another."""
    return f"{_FIRST_STRONG}{text}{_END}" if text else ""


def _message_id(what: str, office: Office) -> str:
    host = office.base.partition("://")[2].partition("/")[0].partition(":")[0] or "localhost"
    return f"<{hashlib.sha256(what.encode()).hexdigest()[:32]}@{host}>"


def _digest(code: str, email: str) -> str:
    return hashlib.sha256(f"{code} {normal(email)}".encode()).hexdigest()


def checked_lang(lang: str | None, city: City) -> str:
    """Return a language that letters are written in.

    Raises:
        InvalidError: There are none in that one.
    """
    wanted = (lang or city.languages[0]).split("-")[0]
    if lang is not None and wanted not in LANGUAGES:
        raise InvalidError("lang", f"must be one of {', '.join(LANGUAGES)}")
    return wanted if wanted in LANGUAGES else "en"
