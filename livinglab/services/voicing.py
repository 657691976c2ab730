"""Voicing: supports, Comments and Feedback, each of somebody, on something that is there."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from livinglab.domain.contributors import Contributor, Trust
from livinglab.domain.observations import Channel, Visibility
from livinglab.domain.voices import Comment, Dimension, Feedback, Stance, Support
from livinglab.errors import ForbiddenError, InvalidError, NotFoundError
from livinglab.ports import UnitOfWork
from livinglab.services.observing import visibility_of, without_controls


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What somebody thinks of something in one respect."""

    dimension: Dimension
    rating: int
    """1 to 5."""
    text: str = ""
    lang: str | None = None
    channel: Channel = Channel.WEB


@dataclass(frozen=True, slots=True)
class Stances:
    """How many stand where; nobody else may know who."""

    supporting: int
    against: int
    neutral: int


def exists(subject: str, work: UnitOfWork) -> str:
    """Return a subject in its own writing.

    Raises:
        NotFoundError: There is no such thing, or the public may not see it.
    """
    kind, _, key = subject.partition(":")
    found: object = None
    if kind == "initiative":
        found = work.initiatives.get(key)
    elif kind == "response":
        found = work.responses.one(key=key)
    elif kind in {"observation", "incident"} and (id_ := _uuid(key)) is not None:
        key = str(id_)
        if kind == "incident":
            found = work.incidents.one(id=id_)
        else:
            seen = work.observations.get(id_)
            hidden = {Visibility.REMOVED, Visibility.RESTRICTED}
            found = seen if seen is not None and seen.visibility not in hidden else None
    if found is None:
        raise NotFoundError(kind.title() or "Subject", key)
    return f"{kind}:{key}"


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def support(
    subject: str, contributor: Contributor, stance: Stance, work: UnitOfWork, now: datetime
) -> Support:
    """Give one's voice, or change it; it counts once.

    Raises:
        NotFoundError: There is nothing of that name.
        ForbiddenError: The Contributor is blocked.
    """
    _may(contributor)
    subject = exists(subject, work)
    given = work.supports.one(contributor=contributor.pseudonym, subject=subject)
    if given is None:
        given = Support(contributor=contributor.pseudonym, subject=subject, stance=stance, at=now)
        work.supports.add([given])
    elif given.stance is not stance or given.revoked_at is not None:
        given.stance, given.at, given.revoked_at = stance, now, None
    return given


def revoke(subject: str, contributor: Contributor, work: UnitOfWork, now: datetime) -> None:
    """Take one's voice back; that it was never given is no error."""
    given = work.supports.one(contributor=contributor.pseudonym, subject=subject)
    if given is not None and given.revoked_at is None:
        given.revoked_at = now


def stances(subject: str, work: UnitOfWork) -> Stances:
    """Count the voices on something."""
    n = {one: work.supports.count(subject=subject, stance=one, revoked_at=None) for one in Stance}
    return Stances(n[Stance.FOR], n[Stance.AGAINST], n[Stance.NEUTRAL])


def comment(
    subject: str,
    contributor: Contributor,
    *,
    text: str,
    lang: str | None,
    work: UnitOfWork,
    now: datetime,
) -> Comment:
    """Say something below something; words of somebody new wait for a moderator.

    Raises:
        NotFoundError: There is nothing of that name.
        InvalidError: It says nothing.
        ForbiddenError: The Contributor is blocked.
    """
    _may(contributor)
    words = without_controls(text).strip()
    if not words:
        raise InvalidError("text", "say something")
    made = Comment(
        id=uuid4(),
        contributor=contributor.pseudonym,
        subject=exists(subject, work),
        text=words,
        lang=lang,
        visibility=visibility_of(words, contributor),
        at=now,
    )
    work.comments.add([made])
    return made


def rate(
    subject: str, contributor: Contributor, given: Rating, work: UnitOfWork, now: datetime
) -> Feedback:
    """Rate something in one respect; who rates again changes the rating.

    Raises:
        NotFoundError: There is nothing of that name.
        InvalidError: It cannot be rated.
        ForbiddenError: The Contributor is blocked.
    """
    _may(contributor)
    if subject.partition(":")[0] not in {"initiative", "response", "event"}:
        raise InvalidError("subject", "rate an Initiative, an event or a response")
    subject = exists(subject, work)
    words = without_controls(given.text).strip()
    made = Feedback(
        id=uuid4(),
        contributor=contributor.pseudonym,
        subject=subject,
        stage_at=None,
        dimension=given.dimension,
        rating=given.rating,
        text=words,
        lang=given.lang,
        channel=given.channel,
        visibility=visibility_of(words, contributor),
        at=now,
    )
    earlier = work.feedback.one(
        contributor=contributor.pseudonym, subject=subject, dimension=given.dimension
    )
    if earlier is None:
        work.feedback.add([made])
        return made
    earlier.rating, earlier.text, earlier.lang = given.rating, words, given.lang
    earlier.visibility, earlier.at = made.visibility, now
    return earlier


def _may(contributor: Contributor) -> None:
    if contributor.trust is Trust.BLOCKED:
        raise ForbiddenError("that is not blocked")
