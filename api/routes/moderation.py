"""Moderation: what waits, what people object to, and what a moderator decides."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api import public
from api.dependencies import LabDep, WriteDep, demand
from api.routes.media import photo_as
from livinglab.bootstrap import Lab
from livinglab.domain.access import Scope
from livinglab.domain.contributors import Trust
from livinglab.domain.incidents import Outcome, Phase
from livinglab.domain.observations import Observation, Visibility
from livinglab.ports import UnitOfWork
from livinglab.services import deciding, linking, moderating, picturing, responding

router = APIRouter(tags=["moderation"], prefix="/moderation")

Limit = Annotated[int, Query(ge=1, le=500)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Decision(_In):
    """What a moderator says about it."""

    note: str = Field(default="", max_length=2_000)


class Redaction(_In):
    """Other words and another address in place of what stands there, and why."""

    text: str = Field(max_length=4_000)
    address: str | None = Field(default=None, max_length=500)
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


@dataclass(frozen=True, slots=True)
class Desk:
    """What a moderator decides with: whose key it is, the lab, the transaction, and the time."""

    by: str
    lab: Lab
    work: UnitOfWork
    now: datetime

    def observation(self, id_: UUID) -> Observation:
        """Return the Observation that is decided about."""
        return moderating.observation_of(id_, self.work)


def _desk(request: Request, lab: LabDep, work: WriteDep) -> Desk:
    key = demand(request, work, Scope.MODERATE)
    return Desk(key.name, lab, work, lab.clock.now())


DeskDep = Annotated[Desk, Depends(_desk)]


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
def list_waiting(desk: DeskDep, limit: Limit = 100) -> dict[str, Any]:
    """List what waits, oldest first, with the words a moderator must read."""
    return {
        "items": [
            {
                "id": str(one.id),
                "category": one.category,
                "place": one.place,
                "text": one.text,
                "address": one.address,
                "lang": one.lang,
                "received_at": public.time(one.received_at),
            }
            for one in desk.work.observations.waiting(limit=limit)
        ],
        "next": None,
    }


@router.get("/comments")
def list_waiting_comments(desk: DeskDep, limit: Limit = 100) -> dict[str, Any]:
    """List Comments that wait, oldest first."""
    waiting = desk.work.comments.where(visibility=Visibility.QUARANTINED, limit=limit)
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


@router.get("/media")
def list_waiting_photos(desk: DeskDep, limit: Limit = 100) -> dict[str, Any]:
    """List photos that wait, oldest first."""
    waiting = desk.work.photos.where(visibility=Visibility.QUARANTINED, limit=limit)
    return {
        "items": [
            {
                "key": one.key,
                "observation": str(one.observation),
                "url": f"/moderation/media/{one.key}",
                "width": one.width,
                "height": one.height,
                "at": public.time(one.at),
            }
            for one in waiting
        ],
        "next": None,
    }


@router.get("/media/{key}", response_class=Response)
def show_photo(key: str, desk: DeskDep) -> Response:
    """Show a photo that waits."""
    return photo_as(desk.lab.media.get(picturing.photo_of(key, desk.work).key), key)


@router.post("/media/{key}/{verdict}")
def judge_photo(
    key: str, verdict: Literal["release", "remove"], body: Decision, desk: DeskDep
) -> dict[str, str]:
    """Let a photo go, or take it out for good with a reason in `note`."""
    found = moderating.judge_photo(
        key,
        public=verdict == "release",
        by=desk.by,
        reason=body.note,
        work=desk.work,
        store=desk.lab.media,
        now=desk.now,
    )
    return {"key": key, "visibility": found.visibility.value}


@router.get("/flags")
def list_flags(desk: DeskDep, limit: Limit = 100) -> dict[str, Any]:
    """List what people object to and nobody has looked at, oldest first; not who objects."""
    return {
        "items": [
            {
                "subject": one.subject,
                "reason": one.reason.value,
                "note": one.note,
                "trusted": one.trusted,
                "at": public.time(one.at),
            }
            for one in desk.work.flags.where(settled_at=None, limit=limit)
        ],
        "next": None,
    }


@router.get("/appeals")
def list_appeals(desk: DeskDep, limit: Limit = 100) -> dict[str, Any]:
    """List appeals that nobody has decided, oldest first."""
    return {
        "items": [
            {
                "id": str(one.id),
                "observation": str(one.observation),
                "text": one.text,
                "at": public.time(one.at),
            }
            for one in desk.work.appeals.where(decided_at=None, limit=limit)
        ],
        "next": None,
    }


@router.get("/owed")
def list_owed(desk: DeskDep, limit: Limit = 100) -> dict[str, Any]:
    """List what is open and unanswered, the longest overdue first, with who has to answer."""
    lab = desk.lab
    found = responding.owed(lab.responsibilities, lab.categories, desk.work, limit=limit)
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
                "overdue": one.overdue(desk.now),
            }
            for one in found
        ],
        "next": None,
    }


@router.post("/appeals/{id}")
def decide_appeal(id: UUID, body: AppealDecision, desk: DeskDep) -> dict[str, Any]:  # noqa: A002 - the public name
    """Decide an appeal; granted, what was last changed is put back."""
    found = moderating.decide_appeal(
        id,
        granted=body.granted,
        answer=body.answer,
        by=desk.by,
        work=desk.work,
        vault=desk.lab.vault,
        now=desk.now,
    )
    return {"id": str(found.id), "granted": found.granted}


@router.post("/comments/{id}/{verdict}")
def judge_comment(
    id: UUID,  # noqa: A002 - the public name
    verdict: Literal["release", "remove"],
    body: Decision,
    desk: DeskDep,
) -> dict[str, str]:
    """Let a Comment go, or take it out with a reason in `note`."""
    found = moderating.judge_comment(
        id,
        public=verdict == "release",
        by=desk.by,
        reason=body.note,
        work=desk.work,
        vault=desk.lab.vault,
        now=desk.now,
    )
    return {"id": str(found.id), "visibility": found.visibility.value}


@router.post("/{id}/release")
def release(id: UUID, body: Decision, desk: DeskDep) -> dict[str, Any]:  # noqa: A002 - the public name
    """Let everybody read it."""
    return _state(moderating.release(id, by=desk.by, note=body.note, work=desk.work, now=desk.now))


@router.post("/{id}/remove")
def remove(id: UUID, body: Decision, desk: DeskDep) -> dict[str, Any]:  # noqa: A002 - the public name
    """Take it out of everything public, with a reason in `note`."""
    found = moderating.remove(
        id, by=desk.by, reason=body.note, work=desk.work, vault=desk.lab.vault, now=desk.now
    )
    return _state(found)


@router.post("/{id}/redact")
def redact(id: UUID, body: Redaction, desk: DeskDep) -> dict[str, Any]:  # noqa: A002 - the public name
    """Put other words in place of some; what it said before is kept apart."""
    found = moderating.redact(
        id,
        text=body.text,
        address=body.address,
        by=desk.by,
        reason=body.note,
        work=desk.work,
        vault=desk.lab.vault,
        now=desk.now,
    )
    return _state(found)


@router.post("/{id}/relink")
def relink(id: UUID, body: Relinking, desk: DeskDep) -> dict[str, Any]:  # noqa: A002 - the public name
    """Attach it to another Place; where it was attached before stays in its history."""
    found = moderating.relink(
        id,
        body.place,
        by=desk.by,
        reason=body.note,
        work=desk.work,
        vault=desk.lab.vault,
        now=desk.now,
    )
    return _state(found)


@router.post("/{id}/dismiss")
def dismiss_flags(id: UUID, body: Decision, desk: DeskDep) -> dict[str, int]:  # noqa: A002 - the public name
    """Say that what people objected to is all right."""
    n = moderating.dismiss(
        f"observation:{id}", by=desk.by, note=body.note, work=desk.work, now=desk.now
    )
    return {"settled": n}


@router.post("/{id}/close")
def close(id: UUID, body: Closing, desk: DeskDep) -> dict[str, Any]:  # noqa: A002 - the public name
    """Close it, with what came of it and a note that everybody may read."""
    found = desk.observation(id)
    deciding.close(
        found, outcome=body.outcome, note=body.note, by=desk.by, work=desk.work, now=desk.now
    )
    return _state(found)


@router.post("/{id}/reopen")
def reopen(id: UUID, body: Reopening, desk: DeskDep) -> dict[str, Any]:  # noqa: A002 - the public name
    """Open it again."""
    found = desk.observation(id)
    deciding.reopen(found, note=body.note, by=desk.by, work=desk.work, now=desk.now)
    return _state(found)


@router.post("/{id}/progress")
def progress(id: UUID, body: Progress, desk: DeskDep) -> dict[str, Any]:  # noqa: A002 - the public name
    """Tell how far the city has come."""
    found = desk.observation(id)
    deciding.progress(
        found, phase=body.phase, note=body.note, by=desk.by, work=desk.work, now=desk.now
    )
    return _state(found)


@router.post("/{id}/incident")
def link(id: UUID, body: Membering, desk: DeskDep) -> dict[str, Any]:  # noqa: A002 - the public name
    """Say what it is about: an Incident that is known, or something of its own."""
    found = desk.observation(id)
    if body.incident is None:
        linking.part(found, by=desk.by, work=desk.work, now=desk.now)
    else:
        linking.join(found, body.incident, by=desk.by, confidence=1.0, work=desk.work, now=desk.now)
    return _state(found)


@router.post("/{id}/trust")
def trust(id: UUID, body: Trusting, desk: DeskDep) -> dict[str, str]:  # noqa: A002 - the public name
    """Say how far whoever posted it is trusted; who that is is not told."""
    found = desk.observation(id)
    moderating.trust(
        found.contributor,
        body.trust,
        by=desk.by,
        reason=body.note,
        work=desk.work,
        now=desk.now,
    )
    return {"id": str(found.id), "trust": body.trust.value}
