"""Deciding: what becomes of an Observation, and whether whoever posted it agrees."""

from datetime import datetime

from livinglab.domain.incidents import Confirmation, Outcome, Phase
from livinglab.domain.notices import News
from livinglab.domain.observations import Observation, Status, StatusEvent, Visibility
from livinglab.errors import ConflictError, InvalidError
from livinglab.ports import UnitOfWork
from livinglab.services.notifying import tell_of_state

CONTRIBUTOR = "contributor"


def close(
    observation: Observation,
    *,
    outcome: Outcome | None,
    note: str,
    by: str,
    work: UnitOfWork,
    now: datetime,
) -> None:
    """Close it: with what came of it, and a note that everybody may read.

    Args:
        observation: What is closed.
        outcome: What came of it; None only where another system closed it and did not tell.
        note: Public.
        by: Who decided.
        work: The transaction.
        now: When.

    Raises:
        InvalidError: No note was given.
    """
    if not note.strip():
        raise InvalidError("note", "say in public what came of it")
    if (observation.status, observation.outcome) == (Status.CLOSED, outcome):
        return
    observation.status, observation.outcome, observation.phase = Status.CLOSED, outcome, None
    keep_state(observation, by=by, note=note, work=work, now=now)
    tell_of_state(observation, News.CLOSED, note, work, now)


def reopen(
    observation: Observation, *, note: str, by: str, work: UnitOfWork, now: datetime
) -> None:
    """Open it again, and its Incident with it.

    Raises:
        InvalidError: No note was given.
        ConflictError: It is open.
    """
    if not note.strip():
        raise InvalidError("note", "say in public why it is open again")
    if observation.status is Status.OPEN:
        raise ConflictError(f"Observation {observation.id} is open")
    observation.status, observation.outcome = Status.OPEN, None
    keep_state(observation, by=by, note=note, work=work, now=now)
    tell_of_state(observation, News.REOPENED, note, work, now)
    incident = work.incidents.one(id=observation.incident) if observation.incident else None
    if incident is not None:
        incident.ended_at = incident.end_reason = None


def progress(
    observation: Observation, *, phase: Phase, note: str, by: str, work: UnitOfWork, now: datetime
) -> None:
    """Tell how far the city has come.

    Raises:
        ConflictError: It is closed.
    """
    if observation.status is Status.CLOSED:
        raise ConflictError(f"Observation {observation.id} is closed")
    if observation.phase is phase:
        return
    observation.phase = phase
    keep_state(observation, by=by, note=note, work=work, now=now)
    tell_of_state(observation, News.PROGRESS, note, work, now)


def confirm(
    observation: Observation, *, fixed: bool, text: str, work: UnitOfWork, now: datetime
) -> Confirmation:
    """Keep what whoever posted it says after it was closed; "not fixed" opens it again.

    Raises:
        ConflictError: It is open: nothing has been said yet that could be confirmed.
    """
    if observation.status is Status.OPEN:
        raise ConflictError(f"Observation {observation.id} is open; there is nothing to confirm")
    made = Confirmation(observation=observation.id, fixed=fixed, text=text, at=now)
    work.confirmations.add([made])
    if not fixed and observation.outcome in {Outcome.FIXED, Outcome.NOT_NEEDED}:
        note = "Whoever posted it says that it is not fixed."
        reopen(observation, note=note, by=CONTRIBUTOR, work=work, now=now)
    return made


def show(
    observation: Observation,
    visibility: Visibility,
    *,
    by: str,
    work: UnitOfWork,
    now: datetime,
) -> None:
    """Change who may read it; why is said in the moderators' own history, not in the public one."""
    observation.visibility = visibility
    keep_state(observation, by=by, note="", work=work, now=now)


def keep_state(
    observation: Observation, *, by: str, note: str, work: UnitOfWork, now: datetime
) -> None:
    """Append what the Observation is now to its history."""
    observation.updated_at = now
    work.observations.note(
        StatusEvent(
            observation=observation.id,
            at=now,
            actor=by,
            visibility=observation.visibility,
            status=observation.status,
            outcome=observation.outcome,
            phase=observation.phase,
            note=note,
        )
    )
