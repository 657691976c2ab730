"""Contributing: what somebody agrees to and tells of themselves, takes along, and takes back."""

import io
import json
import secrets
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

from livinglab.domain.contributors import (
    Consent,
    Contributor,
    Dimension,
    Donation,
    Erasure,
    Purpose,
)
from livinglab.domain.observations import Observation, Visibility
from livinglab.errors import InvalidError
from livinglab.ports import MediaStore, UnitOfWork, Vault
from livinglab.services.deciding import keep_state
from livinglab.services.picturing import forget

NOTHING_SHA256 = "0" * 64
BY_ERASURE = "erasure"
README = """\
This is everything that the living lab keeps of you.

data.json holds, in UTF-8:
  contributor    since when you are known, and how far your words are trusted
  contact        how to reach you, if you told
  consents       what you agreed to, and until when
  donations      what you told of yourself, for sums only
  observations   what you posted, with the exact position that nobody else sees
  photos         what you showed; the files lie beside, in photos/
  supports, comments, feedback, flags, confirmations, appeals
                 what else you said
  before         what your postings said before a moderator changed them

Times are UTC. To take everything back, send DELETE /me with the secret of your device.
"""


def agree(
    contributor: Contributor, purpose: Purpose, version: str, work: UnitOfWork, now: datetime
) -> Consent:
    """Note that somebody agrees; to another wording it is another consent."""
    standing = work.consents.one(
        contributor=contributor.pseudonym, purpose=purpose, version=version, withdrawn_at=None
    )
    if standing is not None:
        return standing
    made = Consent(
        contributor=contributor.pseudonym, purpose=purpose, version=version, given_at=now
    )
    work.consents.add([made])
    return made


def withdraw(contributor: Contributor, purpose: Purpose, work: UnitOfWork, now: datetime) -> None:
    """Note that somebody agrees no more; what was told under it is forgotten."""
    for one in work.consents.where(
        contributor=contributor.pseudonym, purpose=purpose, withdrawn_at=None
    ):
        one.withdrawn_at = now
    if purpose is Purpose.STRATA:
        work.donations.remove(work.donations.where(contributor=contributor.pseudonym))


def donate(
    contributor: Contributor,
    levels: Mapping[Dimension, str],
    work: UnitOfWork,
    now: datetime,
) -> None:
    """Keep what somebody tells of themselves, in place of what they told before.

    Raises:
        InvalidError: They have not agreed to it.
    """
    if not work.consents.count(
        contributor=contributor.pseudonym, purpose=Purpose.STRATA, withdrawn_at=None
    ):
        raise InvalidError("strata", "agree to the purpose `strata` first")
    work.donations.remove(work.donations.where(contributor=contributor.pseudonym))
    work.donations.add(
        [
            Donation(contributor=contributor.pseudonym, dimension=one, level=level, at=now)
            for one, level in levels.items()
        ]
    )


def own_data(contributor: Contributor, work: UnitOfWork, vault: Vault) -> dict[str, Any]:
    """Return everything that is kept of somebody, for themselves alone."""
    who = contributor.pseudonym
    contact, mailbox = vault.get(who), vault.mailbox(who)
    observations = work.observations.of_contributor(who)
    ids = frozenset(one.id for one in observations)
    notes = [
        vault.noted(who, one.before)
        for observation in ids
        for one in work.actions.where(subject=f"observation:{observation}")
        if one.before is not None
    ]
    return {
        "contributor": _plain(contributor),
        "contact": _plain(contact) if contact else None,
        "mailbox": _plain(mailbox) if mailbox else None,
        "notices": [_plain(one) for one in work.notices.where(recipient=who)],
        "conversations": [_plain(one) for one in work.conversations.where(contributor=who)],
        "opt_outs": [_plain(one) for one in work.opt_outs.where(recipient=who)],
        "consents": [_plain(one) for one in work.consents.where(contributor=who)],
        "donations": [_plain(one) for one in work.donations.where(contributor=who)],
        "observations": [_plain(one) for one in observations],
        "photos": [_plain(one) for one in work.photos.where(observation=ids)],
        "supports": [_plain(one) for one in work.supports.where(contributor=who)],
        "comments": [_plain(one) for one in work.comments.where(contributor=who)],
        "feedback": [_plain(one) for one in work.feedback.where(contributor=who)],
        "flags": [_plain(one) for one in work.flags.where(contributor=who)],
        "confirmations": [_plain(one) for one in work.confirmations.where(observation=ids)],
        "appeals": [_plain(one) for one in work.appeals.where(observation=ids)],
        "responses": [_plain(one) for one in work.responses.where(subject=_subjects(observations))],
        "before": [json.loads(one) for one in notes if one],
    }


def _subjects(observations: Iterable[Observation]) -> frozenset[str]:
    """Return what an answer to somebody is about."""
    found = {f"observation:{one.id}" for one in observations}
    return frozenset(found | {f"incident:{one.incident}" for one in observations if one.incident})


HIDDEN = frozenset(
    {
        "by",
        "token",
        "recipient",
        "number",
        "pseudonym",
        "contributor",
        "token_sha256",
        "body_sha256",
    }
)
"""Fields that tell nobody anything about themselves."""


def _plain(one: Any) -> dict[str, Any]:
    return {
        each.name: _value(getattr(one, each.name))
        for each in fields(one)
        if each.name not in HIDDEN
    }


def _value(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value


def packed(data: Mapping[str, Any], media: MediaStore) -> bytes:
    """Return what is kept of somebody as a ZIP file that explains itself, with their photos."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", README)
        archive.writestr("data.json", json.dumps(data, ensure_ascii=False, indent=1))
        for photo in data["photos"]:
            if (shown := media.get(photo["key"])) is not None:
                archive.writestr(f"photos/{photo['key']}.jpg", shown, zipfile.ZIP_STORED)
    return file.getvalue()


def erase(
    contributor: Contributor, work: UnitOfWork, vault: Vault, media: MediaStore, now: datetime
) -> Erasure:
    """Take back everything that somebody said or told; what was counted stays counted.

    What they posted keeps category, Place, time and the position that was public, under a new
    pseudonym that nobody holds a secret of. Words, photos, exact positions, addresses, answers,
    keys of devices and gateways, contact and notes go.

    Raises:
        StoreUnavailableError: Contact, notes and photos may be gone and the rest not; ask again.
    """
    who = contributor.pseudonym
    vault.erase(who)
    ghost = Contributor(
        pseudonym=secrets.token_hex(16),
        created_at=contributor.created_at.replace(hour=0, minute=0, second=0, microsecond=0),
        trust=contributor.trust,
    )
    work.contributors.add(ghost)
    posted = work.observations.of_contributor(who)
    rows = forget((one.id for one in posted), work, media)
    for observation in posted:
        _forget_words(observation, work, now)
        observation.contributor = ghost.pseudonym
        rows += 1
    for support in work.supports.where(contributor=who):
        support.contributor = ghost.pseudonym
        rows += 1
    for comment in work.comments.where(contributor=who):
        comment.contributor, comment.text, comment.lang = ghost.pseudonym, "", None
        comment.visibility = Visibility.REMOVED
        rows += 1
    for feedback in work.feedback.where(contributor=who):
        feedback.contributor, feedback.text, feedback.lang = ghost.pseudonym, "", None
        rows += 1
    for flag in work.flags.where(contributor=who):
        flag.contributor, flag.note = ghost.pseudonym, ""
        rows += 1
    work.notices.remove(work.notices.where(recipient=who))
    work.opt_outs.remove(work.opt_outs.where(recipient=who))
    work.email_codes.remove(work.email_codes.where(contributor=who))
    work.conversations.remove(work.conversations.where(contributor=who))
    work.consents.remove(work.consents.where(contributor=who))
    work.donations.remove(work.donations.where(contributor=who))
    work.contributors.remove(contributor)
    made = Erasure(at=now, rows=rows)
    work.erasures.add([made])
    return made


def _forget_words(one: Observation, work: UnitOfWork, now: datetime) -> None:
    one.text, one.lang, one.address, one.attributes = "", None, None, {}
    one.lon = one.lat = one.accuracy_m = None
    one.distance_m = round(one.distance_m, -1)
    one.submitted_at = one.skew_s = one.external_id = None
    one.client_key, one.body_sha256 = str(uuid4()), NOTHING_SHA256
    for confirmation in work.confirmations.where(observation=one.id):
        confirmation.text = ""
    for appeal in work.appeals.where(observation=one.id):
        appeal.text = appeal.answer = ""
        appeal.decided_at, appeal.granted = appeal.decided_at or now, appeal.granted or False
    if one.visibility is Visibility.QUARANTINED:
        one.visibility = Visibility.PUBLIC
        keep_state(one, by=BY_ERASURE, note="", work=work, now=now)
