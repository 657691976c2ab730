"""Texting: somebody says by short message what is where, is asked what is missing, and answered.

The number of a telephone is kept in the Vault alone. Who speaks is known by a keyed hash of it,
which nobody can make without the secret that the gateway shares.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from livinglab.domain.addresses import Located, clearly_meant
from livinglab.domain.geometry import Point
from livinglab.domain.notices import Mailbox
from livinglab.domain.observations import Category, Channel
from livinglab.domain.places import City
from livinglab.domain.texting import (
    KEPT_FOR,
    LAPSES,
    MOST_CHOICES,
    TEL,
    WITHIN,
    Conversation,
    Said,
    TextMessage,
    Wish,
    read,
)
from livinglab.errors import ClientKeyReusedError, InvalidError
from livinglab.ports import CivicStore, Gazetteer, UnitOfWork, Vault
from livinglab.services.joining import visible
from livinglab.services.mailing import LANGUAGES, words
from livinglab.services.observing import Draft, contributor_of, contributor_with, observe

SOURCE = "sms"
ANYTHING = "other"
"""Category of what names none, where the city has one of this key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A message as the gateway hands it over."""

    id: str
    sender: str
    text: str
    lang: str | None = None

    def digest(self) -> str:
        """Hash it, to tell the same from another one of that name."""
        return _sha256(f"{self.sender}\n{self.text}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a conversation needs to know."""

    city: City
    categories: Mapping[str, Category]
    gazetteer: Gazetteer
    vault: Vault
    secret: str


def is_genuine(body: bytes, stamp: str, signature: str, secret: str, now: datetime) -> bool:
    """Tell whether the gateway sent a call, and just now.

    Args:
        body: As it came.
        stamp: When it was sent. [seconds since 1970 UTC, in digits]
        signature: HMAC-SHA-256 of stamp, a full stop and body, in hexadecimal digits.
        secret: Shared with the gateway.
        now: The present time.
    """
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):  # noqa: PLR2004 - the year 33658
        return False
    right = hmac.digest(secret.encode(), stamp.encode() + b"." + body, "sha256").hex()
    recent = abs(now.timestamp() - int(stamp)) <= WITHIN.total_seconds()
    given = signature.lower().removeprefix("sha256=")
    return hmac.compare_digest(right.encode(), given.encode()) and recent


def addresses(message: Incoming, desk: Desk, civic: CivicStore) -> list[Located]:
    """Look up the address that a message may hold, as it may ask other machines: nothing is held.

    Raises:
        UnavailableError: Whoever knows addresses does not answer.
    """
    said = read(message.text, desk.categories)
    with civic.work(write=False) as work:
        if work.text_messages.count(id_sha256=_sha256(message.id)):
            return []
        who = contributor_with(token_of(message.sender, desk.secret), work)
        talk = work.conversations.one(contributor=who.pseudonym) if who is not None else None
    if said.wish is not Wish.SAY or said.place is not None:
        return []
    waits = talk is not None and talk.message is not None
    words_ = said.address or (" ".join(message.text.split()) if waits else "")
    return desk.gazetteer.find(words_, limit=MOST_CHOICES) if words_ else []


def answer(
    message: Incoming,
    found: Sequence[Located],
    desk: Desk,
    *,
    work: UnitOfWork,
    now: datetime,
) -> str:
    """Do what a message asks for and return what its sender is told; a second time changes nothing.

    Args:
        message: What came.
        found: What `addresses` returned.
        desk: What a conversation needs to know.
        work: The transaction.
        now: When it came.

    Raises:
        ClientKeyReusedError: The gateway used its id for another message.
    """
    name = _sha256(message.id)
    known = work.text_messages.one(id_sha256=name)
    if known is not None:
        if known.body_sha256 != message.digest():
            raise ClientKeyReusedError(message.id)
        return known.reply
    for old in work.text_messages.where(limit=100):
        if old.at < now - KEPT_FOR:
            work.text_messages.remove([old])
    token = token_of(message.sender, desk.secret)
    who = contributor_of(token, work, now).pseudonym
    talk = work.conversations.one(contributor=who)
    if talk is None:
        talk = Conversation(contributor=who, lang=_lang(message, desk), updated_at=now)
        work.conversations.add([talk])
        talk = work.conversations.one(contributor=who) or talk
    if talk.updated_at < now - LAPSES:
        _begin(talk)
    talk.updated_at = now
    reply = _answered(message, found, talk, token, desk, work, now)
    work.text_messages.add(
        [TextMessage(id_sha256=name, body_sha256=message.digest(), reply=reply, at=now)]
    )
    return reply


def token_of(sender: str, secret: str) -> str:
    """Return what stands for the device of a telephone."""
    number = "".join(one for one in sender if one.isdigit())
    return "sms " + hmac.digest(secret.encode(), number.encode(), "sha256").hex()


def _answered(
    message: Incoming,
    found: Sequence[Located],
    talk: Conversation,
    token: str,
    desk: Desk,
    work: UnitOfWork,
    now: datetime,
) -> str:
    said = read(message.text, desk.categories)
    talk.lang = said.lang or talk.lang
    told = words(talk.lang)["sms"]
    if said.wish is Wish.STOP:
        desk.vault.close_mailbox(talk.contributor)
        _begin(talk)
        return str(told["stopped"])
    if said.wish is Wish.HELP:
        return str(told["help"]).format(city=desk.city.name)
    if talk.message is None:
        talk.message, talk.words = message.id, said.words
        talk.category = said.category or _anything(desk.categories)
        if said.place is None and said.address is None:
            return str(told["where"])
        where: Said | None = said
    else:
        where = _where(message.text, said, talk)
    draft = _placed(where, message.text, found, talk, work)
    if isinstance(draft, str):
        return draft
    try:
        made, _ = observe(draft, token, categories=desk.categories, work=work, now=now)
    except InvalidError as error:
        _begin(talk)
        return str(told["refused"]).format(reason=error.detail)
    place = work.places.get(made.place)
    label = desk.categories[made.category].label
    _begin(talk)
    if desk.vault.mailbox(talk.contributor) is None:
        desk.vault.open_mailbox(
            Mailbox(
                pseudonym=talk.contributor,
                email=f"{TEL}{message.sender}",
                lang=talk.lang,
                token=_sha256(f"{token} mailbox"),
            )
        )
    return str(told["noted"]).format(place=place.name if place else "", category=label)


def _where(text: str, said: Said, talk: Conversation) -> Said | None:
    """Read the answer to the question where; None: one of the choices."""
    chosen = text.strip().rstrip(".)")
    if chosen.isdecimal() and 1 <= int(chosen) <= len(talk.choices):
        return None
    if said.place is not None or said.address is not None:
        return said
    return replace(said, address=" ".join(text.split()))


def _placed(
    where: Said | None,
    text: str,
    found: Sequence[Located],
    talk: Conversation,
    work: UnitOfWork,
) -> Draft | str:
    """Make a draft that says where, or return what is asked instead."""
    told = words(talk.lang)["sms"]
    draft = Draft(
        client_key=uuid5(NAMESPACE_URL, f"sms/{talk.message}"),
        category=talk.category,
        text=talk.words,
        lang=None,
        channel=Channel.SMS,
        source=SOURCE,
        external_id=talk.message,
    )
    if where is None:
        chosen = talk.choices[int(text.strip().rstrip(".)")) - 1]
        return _at(draft, _located(chosen))
    key = where.place or where.address or ""
    named = work.places.get(key)
    if named is not None and visible([named], work):
        return replace(draft, place=key)
    if where.place is not None:
        return str(told["no_code"]).format(code=where.place)
    if (meant := clearly_meant(found)) is not None:
        return _at(draft, meant)
    if not found:
        return str(told["no_address"])
    talk.choices = [_kept(one) for one in found]
    numbered = "\n".join(f"{n}. {one.label}" for n, one in enumerate(found, 1))
    return f"{told['which']}\n{numbered}"


def _at(draft: Draft, found: Located) -> Draft:
    return replace(draft, address=found.label, located=found)


def _kept(one: Located) -> dict[str, Any]:
    return {"label": one.label, "lon": one.point.lon, "lat": one.point.lat, "place": one.place}


def _located(kept: Mapping[str, Any]) -> Located:
    """Return an address that somebody chose: there is no doubt about it left."""
    point = Point(kept["lon"], kept["lat"])
    return Located(label=kept["label"], point=point, place=kept["place"], score=1.0)


def _begin(talk: Conversation) -> None:
    talk.message, talk.words, talk.category, talk.choices = None, "", "", []


def _anything(categories: Mapping[str, Category]) -> str:
    return ANYTHING if ANYTHING in categories else next(iter(categories))


def _lang(message: Incoming, desk: Desk) -> str:
    for one in (message.lang, *desk.city.languages):
        if one is not None and one.partition("-")[0] in LANGUAGES:
            return one.partition("-")[0]
    return "en"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
