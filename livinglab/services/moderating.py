"""Moderating: somebody reads what waits, and lets it go or takes it out."""

from datetime import datetime
from uuid import UUID

from livinglab.domain.contributors import Trust
from livinglab.domain.observations import Observation, StatusEvent, Visibility
from livinglab.errors import ConflictError, InvalidError, NotFoundError
from livinglab.ports import UnitOfWork


def release(
    observation: UUID, *, by: str, note: str, work: UnitOfWork, now: datetime
) -> Observation:
    """Let everybody read it; the first released posting makes a new Contributor a known one.

    Raises:
        NotFoundError: There is no such Observation.
        ConflictError: It does not wait.
    """
    found = _decide(observation, Visibility.PUBLIC, by=by, note=note, work=work, now=now)
    contributor = work.contributors.get(found.contributor)
    if contributor is not None and contributor.trust is Trust.NEW:
        contributor.trust = Trust.NORMAL
    return found


def remove(
    observation: UUID, *, by: str, reason: str, work: UnitOfWork, now: datetime
) -> Observation:
    """Take it out of everything public; the reason is kept.

    Raises:
        NotFoundError: There is no such Observation.
        InvalidError: No reason was given.
    """
    if not reason.strip():
        raise InvalidError("reason", "say why; it is kept")
    return _decide(observation, Visibility.REMOVED, by=by, note=reason, work=work, now=now)


def _decide(
    observation: UUID,
    visibility: Visibility,
    *,
    by: str,
    note: str,
    work: UnitOfWork,
    now: datetime,
) -> Observation:
    found = work.observations.get(observation)
    if found is None:
        raise NotFoundError("Observation", str(observation))
    if found.visibility is visibility:
        return found
    if found.visibility is Visibility.REMOVED:
        raise ConflictError(f"Observation {observation} was removed before")
    found.visibility = visibility
    work.observations.note(
        StatusEvent(
            observation=found.id,
            at=now,
            actor=by,
            visibility=visibility,
            status=found.status,
            outcome=found.outcome,
            note=note,
        )
    )
    return found
