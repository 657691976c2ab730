"""Moderation: what waits, what people object to, and what a moderator decides."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api import public
from api.dependencies import LabDep, WriteDep, demand
from livinglab.domain.access import Scope
from livinglab.domain.contributors import Trust
from livinglab.domain.incidents import Outcome, Phase
from livinglab.domain.observations import Observation, Visibility
from livinglab.services import deciding, linking, moderating, responding

router = APIRouter(tags=["moderation"], prefix="/moderation")

Limit = Annotated[int, Query(ge=1, le=500)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Decision(_In):
    """What a moderator says about it."""

    note: str = Field(default="", max_length=2_000)


class Redaction(_In):
    """Other words in place of some, and why."""

    text: str = Field(max_length=4_000)
    note: str = Field(min_length=1, max_length=2_000)


class Relinking(_In):
    """Another Place, and why."""

    place: str = Field(max_length=200)
    note: str = Field(min_length=1, max_length=2_000)


class Closing(_In):
    """What came of it; the note is public."""

    outcome: Outcome
    note: str = Field(min_length=1, max_length=2_000)


class Progress(_In):
    """How far the city has come; the note is public."""

    phase: Phase
    note: str = Field(default="", max_length=2_000)


class Reopening(_In):
    """Why it is open again, in public."""

    note: str = Field(min_length=1, max_length=2_000)


class Membering(_In):
    """The Incident it is about; null: something of its own."""

    incident: UUID | None


class Trusting(_In):
    """How far the words of whoever posted it go before somebody looked at them."""

    trust: Trust
    note: str = Field(min_length=1, max_length=2_000)


class AppealDecision(_In):
    """Whether what was changed is put back, and what whoever appealed is told."""

    granted: bool
    answer: str = Field(min_length=1, max_length=2_000)


def _state(one: Observation) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "visibility": one.visibility.value,
        "status": one.status.value,
        "outcome": one.outcome.value if one.outcome else None,
        "phase": one.phase.value if one.phase else None,
        "place": one.place,
        "incident": str(one.incident) if one.incident else None,
    }


@router.get("")
def list_waiting(request: Request, work: WriteDep, limit: Limit = 100) -> dict[str, Any]:
    """List what waits, oldest first, with the words a moderator must read."""
    demand(request, work, Scope.MODERATE)
    return {
        "items": [
            {
                "id": str(one.id),
                "category": one.category,
                "place": one.place,
                "text": one.text,
                "lang": one.lang,
                "received_at": public.time(one.received_at),
            }
            for one in work.observations.waiting(limit=limit)
        ],
        "next": None,
    }


@router.get("/comments")
def list_waiting_comments(request: Request, work: WriteDep, limit: Limit = 100) -> dict[str, Any]:
    """List Comments that wait, oldest first."""
    demand(request, work, Scope.MODERATE)
    waiting = work.comments.where(visibility=Visibility.QUARANTINED, limit=limit)
    return {
        "items": [
            {
                "id": str(one.id),
                "subject": one.subject,
                "text": one.text,
                "lang": one.lang,
                "at": public.time(one.at),
            }
            for one in waiting
        ],
        "next": None,
    }


@router.get("/flags")
def list_flags(request: Request, work: WriteDep, limit: Limit = 100) -> dict[str, Any]:
    """List what people object to and nobody has looked at, oldest first; not who objects."""
    demand(request, work, Scope.MODERATE)
    return {
        "items": [
            {
                "subject": one.subject,
                "reason": one.reason.value,
                "note": one.note,
                "trusted": one.trusted,
                "at": public.time(one.at),
            }
            for one in work.flags.where(settled_at=None, limit=limit)
        ],
        "next": None,
    }


@router.get("/appeals")
def list_appeals(request: Request, work: WriteDep, limit: Limit = 100) -> dict[str, Any]:
    """List appeals that nobody has decided, oldest first."""
    demand(request, work, Scope.MODERATE)
    return {
        "items": [
            {
                "id": str(one.id),
                "observation": str(one.observation),
                "text": one.text,
                "at": public.time(one.at),
            }
            for one in work.appeals.where(decided_at=None, limit=limit)
        ],
        "next": None,
    }


@router.get("/owed")
def list_owed(request: Request, lab: LabDep, work: WriteDep, limit: Limit = 100) -> dict[str, Any]:
    """List what is open and unanswered, the longest overdue first, with who has to answer."""
    demand(request, work, Scope.MODERATE)
    now = lab.clock.now()
    found = responding.owed(lab.responsibilities, lab.categories, work, limit=limit)
    return {
        "items": [
            {
                "observation": str(one.observation.id),
                "category": one.observation.category,
                "place": one.observation.place,
                "received_at": public.time(one.observation.received_at),
                "responsible": public.responsibility(one.responsibility)
                if one.responsibility
                else None,
                "due_at": public.time(one.due_at) if one.due_at else None,
                "overdue": one.overdue(now),
            }
            for one in found
        ],
        "next": None,
    }


@router.post("/appeals/{id}")
def decide_appeal(
    id: UUID,  # noqa: A002 - the public name
    body: AppealDecision,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, Any]:
    """Decide an appeal; granted, what was last changed is put back."""
    key = demand(request, work, Scope.MODERATE)
    found = moderating.decide_appeal(
        id,
        granted=body.granted,
        answer=body.answer,
        by=key.name,
        work=work,
        vault=lab.vault,
        now=lab.clock.now(),
    )
    return {"id": str(found.id), "granted": found.granted}


@router.post("/comments/{id}/{verdict}")
def judge_comment(
    id: UUID,  # noqa: A002 - the public name
    verdict: Literal["release", "remove"],
    body: Decision,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, str]:
    """Let a Comment go, or take it out with a reason in `note`."""
    key = demand(request, work, Scope.MODERATE)
    found = moderating.judge_comment(
        id,
        public=verdict == "release",
        by=key.name,
        reason=body.note,
        work=work,
        vault=lab.vault,
        now=lab.clock.now(),
    )
    return {"id": str(found.id), "visibility": found.visibility.value}


@router.post("/{id}/release")
def release(
    id: UUID,  # noqa: A002 - the public name
    body: Decision,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, Any]:
    """Let everybody read it."""
    key = demand(request, work, Scope.MODERATE)
    now = lab.clock.now()
    return _state(moderating.release(id, by=key.name, note=body.note, work=work, now=now))


@router.post("/{id}/remove")
def remove(
    id: UUID,  # noqa: A002 - the public name
    body: Decision,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, Any]:
    """Take it out of everything public, with a reason in `note`."""
    key = demand(request, work, Scope.MODERATE)
    found = moderating.remove(
        id, by=key.name, reason=body.note, work=work, vault=lab.vault, now=lab.clock.now()
    )
    return _state(found)


@router.post("/{id}/redact")
def redact(
    id: UUID,  # noqa: A002 - the public name
    body: Redaction,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, Any]:
    """Put other words in place of some; what it said before is kept apart."""
    key = demand(request, work, Scope.MODERATE)
    found = moderating.redact(
        id,
        text=body.text,
        by=key.name,
        reason=body.note,
        work=work,
        vault=lab.vault,
        now=lab.clock.now(),
    )
    return _state(found)


@router.post("/{id}/relink")
def relink(
    id: UUID,  # noqa: A002 - the public name
    body: Relinking,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, Any]:
    """Attach it to another Place; where it was attached before stays in its history."""
    key = demand(request, work, Scope.MODERATE)
    found = moderating.relink(
        id,
        body.place,
        by=key.name,
        reason=body.note,
        work=work,
        vault=lab.vault,
        now=lab.clock.now(),
    )
    return _state(found)


@router.post("/{id}/dismiss")
def dismiss_flags(
    id: UUID,  # noqa: A002 - the public name
    body: Decision,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, int]:
    """Say that what people objected to is all right."""
    key = demand(request, work, Scope.MODERATE)
    subject = f"observation:{id}"
    now = lab.clock.now()
    n = moderating.dismiss(subject, by=key.name, note=body.note, work=work, now=now)
    return {"settled": n}


@router.post("/{id}/close")
def close(
    id: UUID,  # noqa: A002 - the public name
    body: Closing,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, Any]:
    """Close it, with what came of it and a note that everybody may read."""
    key = demand(request, work, Scope.MODERATE)
    found = moderating.observation_of(id, work)
    now = lab.clock.now()
    deciding.close(found, outcome=body.outcome, note=body.note, by=key.name, work=work, now=now)
    return _state(found)


@router.post("/{id}/reopen")
def reopen(
    id: UUID,  # noqa: A002 - the public name
    body: Reopening,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, Any]:
    """Open it again."""
    key = demand(request, work, Scope.MODERATE)
    found = moderating.observation_of(id, work)
    deciding.reopen(found, note=body.note, by=key.name, work=work, now=lab.clock.now())
    return _state(found)


@router.post("/{id}/progress")
def progress(
    id: UUID,  # noqa: A002 - the public name
    body: Progress,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, Any]:
    """Tell how far the city has come."""
    key = demand(request, work, Scope.MODERATE)
    found = moderating.observation_of(id, work)
    now = lab.clock.now()
    deciding.progress(found, phase=body.phase, note=body.note, by=key.name, work=work, now=now)
    return _state(found)


@router.post("/{id}/incident")
def link(
    id: UUID,  # noqa: A002 - the public name
    body: Membering,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, Any]:
    """Say what it is about: an Incident that is known, or something of its own."""
    key = demand(request, work, Scope.MODERATE)
    found, now = moderating.observation_of(id, work), lab.clock.now()
    if body.incident is None:
        linking.part(found, by=key.name, work=work, now=now)
    else:
        linking.join(found, body.incident, by=key.name, confidence=1.0, work=work, now=now)
    return _state(found)


@router.post("/{id}/trust")
def trust(
    id: UUID,  # noqa: A002 - the public name
    body: Trusting,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, str]:
    """Say how far whoever posted it is trusted; who that is is not told."""
    key = demand(request, work, Scope.MODERATE)
    found = moderating.observation_of(id, work)
    moderating.trust(
        found.contributor,
        body.trust,
        by=key.name,
        reason=body.note,
        work=work,
        now=lab.clock.now(),
    )
    return {"id": str(found.id), "trust": body.trust.value}
