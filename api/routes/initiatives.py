"""Initiatives: what they expect where, what else happened, and what evaluations found."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from api import public
from api.dependencies import LabDep, ReadDep, WriteDep, demand
from api.pages.rendering import json_response
from livinglab.domain.access import Scope
from livinglab.domain.indicators import Expected, Transform
from livinglab.domain.initiatives import Disturbance, Role
from livinglab.errors import NotFoundError
from livinglab.services import initiating

router = APIRouter(tags=["initiatives"])

Key = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Words = Annotated[str, Field(min_length=1, max_length=200)]
Json = dict[str, Any]


def _utc(instant: datetime) -> datetime:
    """Return an instant in UTC; one at the very end of the calendar has none."""
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("lies outside the years 1 to 9999") from error


Instant = Annotated[AwareDatetime, AfterValidator(_utc)]


class AreaIn(BaseModel):
    """A Place and what it is to the Initiative."""

    model_config = ConfigDict(extra="forbid")

    place: Words
    role: Role


class HypothesisIn(BaseModel):
    """What is expected of the daily value of a property at the treated Places."""

    model_config = ConfigDict(extra="forbid")

    key: Key
    property: Words
    expected: Expected
    transform: Transform = Transform.LEVEL
    smallest_effect: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Of interest, in the property's unit."
    )
    primary: bool = False

    def expectation(self) -> initiating.Expectation:
        """Return it in the lab's own words."""
        return initiating.Expectation(
            key=self.key,
            observed_property=self.property,
            expected=self.expected,
            transform=self.transform,
            smallest_effect=self.smallest_effect,
            primary=self.primary,
        )


class InitiativeIn(BaseModel):
    """An Initiative and its design, before it starts."""

    model_config = ConfigDict(extra="forbid")

    key: Key
    title: Words
    theme: Words
    announced_at: Instant | None = None
    starts_at: Instant
    areas: list[AreaIn] = Field(min_length=1, max_length=5_000)
    hypotheses: list[HypothesisIn] = Field(default=[], max_length=50)

    def proposal(self) -> initiating.Proposal:
        """Return it in the lab's own words."""
        return initiating.Proposal(
            key=self.key,
            title=self.title,
            theme=self.theme,
            announced_at=self.announced_at,
            starts_at=self.starts_at,
            areas={one.place: one.role for one in self.areas},
            expectations=[one.expectation() for one in self.hypotheses],
        )


class DisturbanceIn(BaseModel):
    """Something else that happened in the city, or at one Place."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["roadworks", "strike", "fuel_price", "closure", "thing_changed", "other"]
    note: str = Field(default="", max_length=1_000)
    place: str | None = Field(default=None, max_length=200)
    since: Instant
    until: Instant | None = None


@router.post("/initiatives", status_code=201)
def post_initiative(body: InitiativeIn, request: Request, lab: LabDep, work: WriteDep) -> Response:
    """Keep an Initiative with its design: 201 when it is new, 200 when the same came before."""
    demand(request, work, Scope.PLAN)
    made, new = initiating.propose(body.proposal(), work, lab.clock.now())
    told = public.initiative(initiating.design_of(made.key, work))
    return json_response(told, 201 if new else 200, {"Location": f"/initiatives/{made.key}"})


@router.get("/initiatives")
def list_initiatives(work: ReadDep) -> Json:
    """List every Initiative, by key."""
    designs = (initiating.design_of(one.key, work) for one in work.initiatives.all())
    return {"items": [public.initiative(one) for one in designs], "next": None}


@router.get("/initiatives/{key}")
def show_initiative(key: str, work: ReadDep) -> Json:
    """Show an Initiative with the newest version of its design."""
    return public.initiative(initiating.design_of(key, work))


@router.post("/initiatives/{key}/areas", status_code=201)
def post_areas(key: str, body: list[AreaIn], request: Request, lab: LabDep, work: WriteDep) -> Json:
    """Write a new version of the areas; the earlier ones stay, and evaluations tell of them."""
    demand(request, work, Scope.PLAN)
    initiating.redraw(key, {one.place: one.role for one in body}, work, lab.clock.now())
    return public.initiative(initiating.design_of(key, work))


@router.post("/initiatives/{key}/hypotheses", status_code=201)
def post_hypothesis(
    key: str, body: HypothesisIn, request: Request, lab: LabDep, work: WriteDep
) -> Json:
    """Write a new Hypothesis, or a new version of one."""
    demand(request, work, Scope.PLAN)
    initiating.expect(key, body.expectation(), work, lab.clock.now())
    return public.initiative(initiating.design_of(key, work))


@router.get("/disturbances")
def list_disturbances(work: ReadDep) -> Json:
    """List what else happened, oldest first."""
    items = [public.disturbance(one) for one in work.initiatives.disturbances()]
    return {"items": items, "next": None}


@router.post("/disturbances", status_code=201)
def post_disturbance(body: DisturbanceIn, request: Request, work: WriteDep) -> Json:
    """Note something else that happened, so that no Effect is claimed for it."""
    demand(request, work, Scope.PLAN)
    one = Disturbance(**body.model_dump())
    initiating.disturb(one, work)
    return public.disturbance(one)


@router.get("/initiatives/{key}/evaluations")
def list_evaluations(key: str, work: ReadDep) -> Json:
    """List what evaluations found, newest first."""
    initiating.design_of(key, work)
    found = reversed(work.initiatives.effects(key))
    return {"items": [public.effect(one) for one in found], "next": None}


@router.get("/initiatives/{key}/evaluations/{id}")
def show_evaluation(key: str, id: UUID, work: ReadDep) -> Json:  # noqa: A002 - the public name
    """Show what one evaluation found, with everything it rests on."""
    found = work.initiatives.effect(id)
    if found is None or found.initiative != key:
        raise NotFoundError("Effect", str(id))
    return public.effect(found)
