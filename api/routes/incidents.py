"""Incidents over HTTP: what several Observations are about, and how it ended."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api import public
from api.dependencies import LabDep, ReadDep, WriteDep, demand
from api.routes.places import next_url
from livinglab.domain.access import Scope
from livinglab.domain.incidents import EndReason, Outcome
from livinglab.errors import InvalidError, NotFoundError
from livinglab.ports import UnitOfWork
from livinglab.services import linking, voicing
from livinglab.services.responding import newest

router = APIRouter(tags=["incidents"])


class EndIn(BaseModel):
    """How it is known to be over, and what came of it."""

    model_config = ConfigDict(extra="forbid")

    reason: EndReason
    outcome: Outcome
    note: str = Field(min_length=1, max_length=2_000, description="Public.")


@router.get("/incidents")
def list_incidents(
    request: Request,
    lab: LabDep,
    work: ReadDep,
    category: Annotated[str | None, Query(max_length=80)] = None,
    place: Annotated[str | None, Query(max_length=200)] = None,
    state: Literal["open", "ended"] | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[UUID | None, Query(description="The last one of the page before.")] = None,
) -> dict[str, Any]:
    """List Incidents that may be itemised in public, newest first."""
    shown = {key for key, one in lab.categories.items() if not one.privacy.personal}
    asked: dict[str, Any] = {"category": shown & {category} if category else shown}
    if place:
        asked["place"] = place
    last = None if after is None else _number(after, work)
    page = work.incidents.where(newest_first=True, after=last, limit=limit, **asked)
    more = next_url(request, str(page[-1].id)) if len(page) == limit else None
    wanted = [one for one in page if state in {None, "ended" if one.ended_at else "open"}]
    told = (
        public.incident(one, work.observations.of_incident(one.id), lab.categories)
        for one in wanted
    )
    return {"items": [one for one in told if one], "next": more}


def _number(after: UUID, work: UnitOfWork) -> int | None:
    """Return where a page ended: by id, as gaps between numbers would tell of what is hidden."""
    found = work.incidents.one(id=after)
    if found is None:
        raise InvalidError("after", f"there is no Incident {after}")
    return found.number


@router.get("/incidents/{id}")
def show_incident(id: UUID, lab: LabDep, work: ReadDep) -> dict[str, Any]:  # noqa: A002 - the public name
    """Show one Incident with what was posted about it, the answers, and the voices."""
    found = linking.incident_of(id, work)
    told = public.incident(found, work.observations.of_incident(id), lab.categories)
    if told is None:
        raise NotFoundError("Incident", str(id))
    subject = f"incident:{id}"
    answers = newest(work.responses.where(subject=subject))
    return {
        **told,
        "supports": public.stances(subject, voicing.stances(subject, work)),
        "responses": [public.response(one) for one in answers],
    }


@router.post("/incidents/{id}/end")
def end_incident(
    id: UUID,  # noqa: A002 - the public name
    body: EndIn,
    request: Request,
    lab: LabDep,
    work: WriteDep,
) -> dict[str, Any]:
    """End it by inspection or closure, and close every Observation of it alike."""
    key = demand(request, work, Scope.MODERATE)
    found = linking.end(
        id,
        reason=body.reason,
        outcome=body.outcome,
        note=body.note,
        by=key.name,
        work=work,
        now=lab.clock.now(),
    )
    return {
        "id": str(found.id),
        "ended_at": public.time(found.ended_at or lab.clock.now()),
        "closed": len(work.observations.of_incident(id)),
    }
