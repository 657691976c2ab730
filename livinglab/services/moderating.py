"""Moderating: somebody reads what waits, lets it go, mends it or takes it out, and says why.

What something was before is kept in the Vault, so that it can be looked up and put back, and is
gone with its Contributor; the history in the civic store names that note, and is never changed.
"""

import json
import secrets
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID, uuid4

from livinglab.domain.contributors import Contributor, Trust
from livinglab.domain.moderation import (
    TRUSTED_FLAGS,
    AbuseFlag,
    Appeal,
    Deed,
    FlagReason,
    ModerationAction,
)
from livinglab.domain.observations import Observation, PlaceLink, Visibility
from livinglab.domain.photos import Photo
from livinglab.domain.places import WHOLE_ZONE, JoinMethod
from livinglab.domain.voices import Comment
from livinglab.errors import ConflictError, InvalidError, NotFoundError
from livinglab.ports import MediaStore, UnitOfWork, Vault
from livinglab.services.deciding import keep_state, show
from livinglab.services.picturing import photo_of

BY_FLAGS = "flags"
"""Who hid what trusted Contributors objected to."""


def observation_of(observation: UUID, work: UnitOfWork) -> Observation:
    """Return one.

    Raises:
        NotFoundError: There is none.
    """
    found = work.observations.get(observation)
    if found is None:
        raise NotFoundError("Observation", str(observation))
    return found


def release(
    observation: UUID, *, by: str, note: str, work: UnitOfWork, now: datetime
) -> Observation:
    """Let everybody read it; the first released posting makes a new Contributor a known one.

    Raises:
        NotFoundError: There is no such Observation.
        ConflictError: It was removed before.
    """
    found = _not_removed(observation, work)
    if found.visibility is not Visibility.PUBLIC:
        show(found, Visibility.PUBLIC, by=by, work=work, now=now)
        _write(f"observation:{found.id}", Deed.RELEASE, note, by, work, now)
        _settle(f"observation:{found.id}", work, now)
        known(found.contributor, work)
    return found


def known(pseudonym: str, work: UnitOfWork) -> None:
    """Make a new Contributor a known one."""
    contributor = work.contributors.get(pseudonym)
    if contributor is not None and contributor.trust is Trust.NEW:
        contributor.trust = Trust.NORMAL


def remove(
    observation: UUID, *, by: str, reason: str, work: UnitOfWork, vault: Vault, now: datetime
) -> Observation:
    """Take it out of everything public; the reason is kept, and what it said until then.

    Raises:
        NotFoundError: There is no such Observation.
        InvalidError: No reason was given.
    """
    _demand(reason)
    found = observation_of(observation, work)
    if found.visibility is Visibility.REMOVED:
        return found
    _keep_before(found, Deed.REMOVE, reason, by, work, vault, now)
    show(found, Visibility.REMOVED, by=by, work=work, now=now)
    _settle(f"observation:{found.id}", work, now)
    return found


def redact(
    observation: UUID,
    *,
    text: str,
    address: str | None,
    by: str,
    reason: str,
    work: UnitOfWork,
    vault: Vault,
    now: datetime,
) -> Observation:
    """Put other words in place of some, usually with a part left out; so with the address.

    Raises:
        NotFoundError: There is no such Observation.
        InvalidError: No reason was given, or nothing was changed.
        ConflictError: It was removed before.
    """
    _demand(reason)
    found = _not_removed(observation, work)
    if (text, address) == (found.text, found.address):
        raise InvalidError("text", "is what it says already")
    _keep_before(found, Deed.REDACT, reason, by, work, vault, now)
    found.text, found.address = text, address
    keep_state(found, by=by, note="", work=work, now=now)
    return found


def relink(
    observation: UUID,
    place: str,
    *,
    by: str,
    reason: str,
    work: UnitOfWork,
    vault: Vault,
    now: datetime,
) -> Observation:
    """Attach it to another Place; the attachments before stay in its history.

    Raises:
        NotFoundError: There is no such Observation.
        InvalidError: There is no such Place, or no reason was given.
    """
    _demand(reason)
    found = _not_removed(observation, work)
    there = work.places.get(place)
    if there is None:
        raise InvalidError("place", f"there is no Place {place!r}")
    if found.place == place:
        return found
    if found.place.startswith(WHOLE_ZONE) or place.startswith(WHOLE_ZONE):
        raise InvalidError("place", "a theme that is placed by Zone stays there")
    _keep_before(found, Deed.RELINK, reason, by, work, vault, now)
    found.place, found.method = place, JoinMethod.CHOSEN
    found.distance_m, found.confidence = 0.0, 1.0
    work.observations.link(
        PlaceLink(
            observation=found.id,
            place=place,
            method=found.method,
            distance_m=0.0,
            confidence=1.0,
            by=by,
            at=now,
        )
    )
    incident = work.incidents.one(id=found.incident) if found.incident else None
    if incident is not None and work.observations.of_incident(incident.id) == [found]:
        incident.place = place
    return found


def trust(
    pseudonym: str, level: Trust, *, by: str, reason: str, work: UnitOfWork, now: datetime
) -> None:
    """Say how far a Contributor's words go before somebody looked at them.

    Raises:
        NotFoundError: There is no such Contributor.
        InvalidError: No reason was given.
    """
    _demand(reason)
    found = work.contributors.get(pseudonym)
    if found is None:
        raise NotFoundError("Contributor", "of this Observation")
    found.trust = level
    _write("contributor", Deed.TRUST, f"{level.value}: {reason}", by, work, now)


def flag(
    subject: str,
    contributor: Contributor,
    *,
    reason: FlagReason,
    note: str,
    work: UnitOfWork,
    now: datetime,
) -> AbuseFlag:
    """Keep an objection; three of trusted Contributors hide it until a moderator looked.

    Whoever objects twice for one reason objects once. A raw count hides nothing: a crowd that
    wants something gone must not get its way by being many.
    """
    earlier = work.flags.one(contributor=contributor.pseudonym, subject=subject, reason=reason)
    if earlier is not None:
        return earlier
    made = AbuseFlag(
        contributor=contributor.pseudonym,
        subject=subject,
        reason=reason,
        note=note,
        trusted=contributor.trust is Trust.TRUSTED,
        at=now,
    )
    work.flags.add([made])
    standing = work.flags.where(subject=subject, trusted=True, settled_at=None)
    if len({one.contributor for one in standing}) >= TRUSTED_FLAGS:
        _hide(subject, work, now)
    return made


def _hide(subject: str, work: UnitOfWork, now: datetime) -> None:
    kind, _, key = subject.partition(":")
    if kind == "observation":
        found = observation_of(UUID(key), work)
        if found.visibility is Visibility.PUBLIC:
            show(found, Visibility.QUARANTINED, by=BY_FLAGS, work=work, now=now)
    elif (comment := work.comments.one(id=UUID(key))) is not None:
        comment.visibility = Visibility.QUARANTINED


def _settle(subject: str, work: UnitOfWork, now: datetime) -> None:
    for one in work.flags.where(subject=subject, settled_at=None):
        one.settled_at = now


def dismiss(subject: str, *, by: str, note: str, work: UnitOfWork, now: datetime) -> int:
    """Say that objections were looked at and nothing was wrong; return how many."""
    standing = work.flags.count(subject=subject, settled_at=None)
    _settle(subject, work, now)
    if standing:
        _write(subject, Deed.RELEASE, note, by, work, now)
    return standing


def judge_comment(
    comment: UUID,
    *,
    public: bool,
    by: str,
    reason: str,
    work: UnitOfWork,
    vault: Vault,
    now: datetime,
) -> Comment:
    """Let a Comment go, or take it out.

    Raises:
        NotFoundError: There is no such Comment.
        InvalidError: It is taken out without a reason.
        ConflictError: It was removed before.
    """
    found = work.comments.one(id=comment)
    if found is None:
        raise NotFoundError("Comment", str(comment))
    if found.visibility is Visibility.REMOVED:
        if public:
            raise ConflictError(f"Comment {comment} was removed before")
        return found
    subject = f"comment:{found.id}"
    if public:
        found.visibility = Visibility.PUBLIC
        known(found.contributor, work)
        _write(subject, Deed.RELEASE, reason, by, work, now)
    else:
        _demand(reason)
        note = _noted(found.contributor, {"text": found.text}, vault)
        found.visibility = Visibility.REMOVED
        _write(subject, Deed.REMOVE, reason, by, work, now, before=note)
    _settle(subject, work, now)
    return found


def judge_photo(
    key: str,
    *,
    public: bool,
    by: str,
    reason: str,
    work: UnitOfWork,
    store: MediaStore,
    now: datetime,
) -> Photo:
    """Let a photo go, or take it out for good: of what it showed nothing is kept.

    Raises:
        NotFoundError: There is no such photo.
        InvalidError: It is taken out without a reason.
        ConflictError: It was removed before.
        StoreUnavailableError: It could not be taken out; ask again.
    """
    found = photo_of(key, work)
    if found.visibility is Visibility.REMOVED:
        if public:
            raise ConflictError(f"Photo {key} was removed before")
        return found
    if not public:
        _demand(reason)
        store.delete(key)
    found.visibility = Visibility.PUBLIC if public else Visibility.REMOVED
    deed = Deed.RELEASE if public else Deed.REMOVE
    _write(f"photo:{key}", deed, reason, by, work, now)
    return found


def appeal(observation: Observation, text: str, work: UnitOfWork, now: datetime) -> Appeal:
    """Ask to look again at what was done to one's own posting.

    Raises:
        ConflictError: Nothing was done, or an appeal is open already.
    """
    done = work.actions.where(subject=f"observation:{observation.id}")
    if not any(one.deed in {Deed.REMOVE, Deed.REDACT, Deed.RELINK} for one in done):
        raise ConflictError("nothing was changed that could be looked at again")
    if work.appeals.count(observation=observation.id, decided_at=None):
        raise ConflictError("an appeal is open already")
    made = Appeal(id=uuid4(), observation=observation.id, text=text, at=now)
    work.appeals.add([made])
    return made


def decide_appeal(
    appeal_id: UUID,
    *,
    granted: bool,
    answer: str,
    by: str,
    work: UnitOfWork,
    vault: Vault,
    now: datetime,
) -> Appeal:
    """Decide an appeal with an answer; granted, what was last changed is put back.

    Raises:
        NotFoundError: There is no such appeal.
        ConflictError: It was decided before.
        InvalidError: No answer was given.
    """
    if not answer.strip():
        raise InvalidError("answer", "tell whoever appealed why")
    found = work.appeals.one(id=appeal_id)
    if found is None:
        raise NotFoundError("Appeal", str(appeal_id))
    if found.decided_at is not None:
        raise ConflictError(f"Appeal {appeal_id} was decided before")
    found.decided_at, found.granted, found.answer = now, granted, answer
    subject = f"observation:{found.observation}"
    _write(subject, Deed.DECIDE_APPEAL, answer, by, work, now)
    if granted:
        _put_back(observation_of(found.observation, work), by, work, vault, now)
    return found


def _put_back(
    observation: Observation, by: str, work: UnitOfWork, vault: Vault, now: datetime
) -> None:
    done = work.actions.where(subject=f"observation:{observation.id}", newest_first=True)
    last = next((one for one in done if one.before is not None), None)
    kept = vault.noted(observation.contributor, last.before) if last and last.before else None
    if kept is None:
        raise ConflictError("what it was before is not kept any more")
    before = json.loads(kept)
    observation.text, observation.address = before["text"], before["address"]
    if observation.place != before["place"]:
        observation.place = before["place"]
        observation.method = JoinMethod(before["method"])
        observation.distance_m = before["distance_m"]
        observation.confidence = before["confidence"]
        work.observations.link(
            PlaceLink(
                observation=observation.id,
                place=observation.place,
                method=observation.method,
                distance_m=observation.distance_m,
                confidence=observation.confidence,
                by=by,
                at=now,
            )
        )
    show(observation, Visibility.PUBLIC, by=by, work=work, now=now)


def _not_removed(observation: UUID, work: UnitOfWork) -> Observation:
    found = observation_of(observation, work)
    if found.visibility is Visibility.REMOVED:
        raise ConflictError(f"Observation {observation} was removed before")
    return found


def _demand(reason: str) -> None:
    if not reason.strip():
        raise InvalidError("reason", "say why; it is kept")


def _keep_before(
    observation: Observation,
    deed: Deed,
    reason: str,
    by: str,
    work: UnitOfWork,
    vault: Vault,
    now: datetime,
) -> None:
    before = {
        "text": observation.text,
        "address": observation.address,
        "place": observation.place,
        "method": observation.method.value,
        "distance_m": observation.distance_m,
        "confidence": observation.confidence,
        "visibility": observation.visibility.value,
    }
    note = _noted(observation.contributor, before, vault)
    _write(f"observation:{observation.id}", deed, reason, by, work, now, before=note)


def _noted(pseudonym: str, before: Mapping[str, object], vault: Vault) -> str:
    """Keep in the Vault what something was; return the name of the note."""
    name = secrets.token_hex(16)
    vault.note(pseudonym, name, json.dumps(before, ensure_ascii=False))
    return name


def _write(
    subject: str,
    deed: Deed,
    reason: str,
    by: str,
    work: UnitOfWork,
    now: datetime,
    *,
    before: str | None = None,
) -> None:
    work.actions.add(
        [
            ModerationAction(
                subject=subject, deed=deed, before=before, reason=reason, actor=by, at=now
            )
        ]
    )
