"""Moderation: what waits, and what a moderator decides."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api import public
from api.dependencies import LabDep, WriteDep, demand
from livinglab.domain.access import Scope
from livinglab.services import moderating

router = APIRouter(tags=["moderation"], prefix="/moderation")


class Decision(BaseModel):
    """What a moderator says about it."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field(default="", max_length=2_000)


@router.get("")
def list_waiting(
    request: Request, work: WriteDep, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> dict[str, Any]:
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


@router.post("/{id}/release")
def release(
    id: UUID,  # noqa: A002 - the public name
    body: Decision,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, str]:
    """Let everybody read it."""
    key = demand(request, work, Scope.MODERATE)
    now = lab.clock.now()
    found = moderating.release(id, by=key.name, note=body.note, work=work, now=now)
    return {"id": str(found.id), "visibility": found.visibility.value}


@router.post("/{id}/remove")
def remove(
    id: UUID,  # noqa: A002 - the public name
    body: Decision,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, str]:
    """Take it out of everything public, with a reason in `note`."""
    key = demand(request, work, Scope.MODERATE)
    now = lab.clock.now()
    found = moderating.remove(id, by=key.name, reason=body.note, work=work, now=now)
    return {"id": str(found.id), "visibility": found.visibility.value}
