"""Batches: paper, telephone lists and shows of hands, handed over as counts."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api import public
from api.dependencies import LabDep, ReadDep, demand
from api.pages.rendering import json_response
from api.routes.places import next_url
from livinglab.domain.access import Scope
from livinglab.domain.batches import MOST_LEVELS, MOST_PEOPLE
from livinglab.domain.contributors import Dimension
from livinglab.domain.observations import Channel
from livinglab.services.counting import Sheet, count

router = APIRouter(tags=["observations"])

Level = Annotated[str, Field(min_length=1, max_length=200)]
People = Annotated[int, Field(ge=0, le=MOST_PEOPLE)]


class BatchIn(BaseModel):
    """How many people said something about one theme, at one Place or in one Zone, on one day."""

    model_config = ConfigDict(extra="forbid")

    external_id: str = Field(
        min_length=1, max_length=200, description="How the sender names the sheet: once each."
    )
    category: str = Field(max_length=80)
    day: date
    n: int = Field(ge=1, le=MOST_PEOPLE, description="[persons]")
    place: str | None = Field(default=None, max_length=200)
    zone: str | None = Field(default=None, max_length=200)
    channel: Literal["event", "phone", "kiosk", "staff"] = "event"
    strata: dict[Dimension, Annotated[dict[Level, People], Field(max_length=MOST_LEVELS)]] = Field(
        default={}, description="Dimension → level → how many; each dimension by itself."
    )

    def sheet(self, source: str) -> Sheet:
        """Return it in the lab's own words."""
        return Sheet(
            source=source,
            external_id=self.external_id,
            category=self.category,
            day=self.day,
            n=self.n,
            place=self.place,
            zone=self.zone,
            channel=Channel(self.channel),
            strata={name.value: levels for name, levels in self.strata.items()},
        )


@router.post("/batches", status_code=201)
def post_batch(body: BatchIn, request: Request, lab: LabDep) -> Response:
    """Hand over what was counted: 201 when it is new, 200 when the same came before."""
    with lab.work() as work:
        key = demand(request, work, Scope.SUBMIT)
        made, new = count(
            body.sheet(key.name), categories=lab.categories, work=work, now=lab.clock.now()
        )
        return json_response(public.batch(made), 201 if new else 200)


@router.get("/batches")
def list_batches(
    request: Request,
    work: ReadDep,
    category: str | None = None,
    place: str | None = None,
    zone: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    after: Annotated[int | None, Query(ge=0)] = None,
) -> dict[str, Any]:
    """List what was counted, newest first; strata may be few people, so it needs a key."""
    demand(request, work, Scope.READ, Scope.PLAN)
    asked: dict[str, Any] = {"category": category, "place": place, "zone": zone}
    page = work.batches.where(
        after=after,
        limit=limit,
        newest_first=True,
        **{name: value for name, value in asked.items() if value is not None},
    )
    more = next_url(request, str(page[-1].number)) if len(page) == limit else None
    return {"items": [public.batch(one) for one in page], "next": more}
