"""Observations: a citizen posts, and everybody reads what may be read."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api import public
from api.dependencies import LabDep, ReadDep, WriteDep, key_of, network_of
from api.pages.rendering import json_response
from api.routes.places import next_url, read_box, read_time
from livinglab.domain.access import Scope
from livinglab.domain.geometry import Point, is_point
from livinglab.domain.observations import Channel, ObservationKind, Status
from livinglab.errors import InvalidError, NotFoundError
from livinglab.ports import ObservationFilter
from livinglab.services.observing import Draft, observe

router = APIRouter(tags=["observations"])

LONGEST_TEXT = 4_000
SHORTEST_TOKEN = 22
"""Characters: 128 random bits in base64, or more."""


class ObservationIn(BaseModel):
    """What a citizen posts. The client makes `client_key` before its first attempt."""

    model_config = ConfigDict(extra="forbid")

    client_key: UUID
    category: str = Field(max_length=80)
    kind: ObservationKind = ObservationKind.PROBLEM
    text: str = Field(default="", max_length=LONGEST_TEXT)
    lang: str | None = Field(default=None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    severity: int | None = Field(default=None, ge=1, le=5)
    point: tuple[float, float] | None = Field(default=None, description="[lon, lat], WGS84")
    accuracy_m: float | None = Field(default=None, ge=0, le=5_000)
    place: str | None = Field(default=None, max_length=200)
    occurred_at: AwareDatetime | None = None
    submitted_at: AwareDatetime | None = None
    device_time: AwareDatetime | None = Field(
        default=None, description="What the device's clock shows while it sends."
    )
    channel: Literal["web", "pwa", "phone", "kiosk", "event", "staff"] = "web"
    assisted: bool = False

    def draft(self) -> Draft:
        """Return it in the lab's own words."""
        point = Point(*self.point) if self.point else None
        if point is not None and not is_point(*point):
            raise InvalidError("point", f"{list(point)} is no [lon, lat]")
        return Draft(
            client_key=self.client_key,
            category=self.category,
            kind=self.kind,
            text=self.text.strip(),
            lang=self.lang,
            severity=self.severity,
            point=point,
            accuracy_m=self.accuracy_m,
            place=self.place,
            occurred_at=self.occurred_at,
            submitted_at=self.submitted_at,
            device_time=self.device_time,
            channel=Channel(self.channel),
            assisted=self.assisted,
        )


@router.post("/observations", status_code=201)
def post_observation(
    body: ObservationIn,
    request: Request,
    lab: LabDep,
    work: WriteDep,
    x_contributor: Annotated[str | None, Header(min_length=SHORTEST_TOKEN, max_length=200)] = None,
) -> Response:
    """Post about a Place: 201 when it is new, 200 when the same came before."""
    key = key_of(request, work)
    limits = request.app.state.limits
    if key is None or not key.allows(Scope.SUBMIT):
        limits.take(f"network {network_of(request)}")
        if x_contributor:
            limits.take(f"contributor {x_contributor}")
    observation, new = observe(
        body.draft(), x_contributor, categories=lab.categories, work=work, now=lab.clock.now()
    )
    place = work.places.get(observation.place)
    if place is None:
        raise NotFoundError("Place", observation.place)
    told = public.receipt(observation, place)
    return json_response(told, 201 if new else 200, {"Location": f"/observations/{observation.id}"})


@router.get("/observations")
def list_observations(  # noqa: PLR0913, PLR0917 - each argument is a query parameter
    request: Request,
    lab: LabDep,
    work: ReadDep,
    bbox: str | None = None,
    place: str | None = None,
    category: str | None = None,
    status: Status | None = None,
    since: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    after: Annotated[int | None, Query(ge=0)] = None,
) -> dict[str, Any]:
    """List what may be itemised in public, newest first."""
    which = ObservationFilter(
        place=place,
        category=category,
        status=status,
        since=read_time("since", since, lab.clock.now()) if since else None,
        box=read_box(bbox),
        except_categories=tuple(key for key, one in lab.categories.items() if one.privacy.personal),
    )
    page = work.observations.page(which, after=after, limit=limit)
    items = [told for one in page if (told := public.observation(one, lab.categories))]
    more = next_url(request, str(page[-1].number)) if len(page) == limit else None
    return {"items": items, "next": more}


@router.get("/observations/{id}")
def show_observation(id: UUID, lab: LabDep, work: ReadDep) -> dict[str, Any]:  # noqa: A002 - the public name
    """Show one Observation, if the public may see it."""
    found = work.observations.get(id)
    told = public.observation(found, lab.categories) if found else None
    if told is None:
        raise NotFoundError("Observation", str(id))
    return told
