"""Initiatives: what they expect where, what else happened, and what evaluations found."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from api import public
from api.dependencies import LabDep, ReadDep, WriteDep, demand
from api.evaluations import Evaluations
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


def _evaluations(request: Request) -> Evaluations:
    found: Evaluations = request.app.state.evaluations
    return found


EvaluationsDep = Annotated[Evaluations, Depends(_evaluations)]


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


@router.post(
    "/initiatives",
    status_code=201,
    responses={200: {"description": "It was handed in before, as it is."}},
)
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


class EvaluationIn(BaseModel):
    """What is to be evaluated, on all that was measured until now."""

    model_config = ConfigDict(extra="forbid")

    hypothesis: str | None = Field(
        default=None, max_length=80, description="Its key; without, the primary one."
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of all random numbers.")


@router.post("/initiatives/{key}/evaluations", status_code=202)
def post_evaluation(
    key: str, body: EvaluationIn, request: Request, lab: LabDep, evaluations: EvaluationsDep
) -> Response:
    """Ask for an evaluation: it is done in the background, and found at `Location`."""
    with lab.work() as work:
        demand(request, work, Scope.PLAN)
        job = initiating.ask_evaluation(key, body.hypothesis, body.seed, work, lab.clock.now())
        told = public.job(job, evaluations.step(job.id))
    evaluations.add(job.id)
    return json_response(told, 202, {"Location": f"/initiatives/{key}/evaluations/{told['id']}"})


@router.get("/initiatives/{key}/evaluations")
def list_evaluations(key: str, work: ReadDep, evaluations: EvaluationsDep) -> Json:
    """List what evaluations found, newest first; before them, those that found nothing yet."""
    initiating.design_of(key, work)
    found = work.initiatives.effects(key)
    done = {one.id for one in found}
    jobs = [one for one in work.initiatives.jobs(key) if one.id not in done]
    items = [public.job(one, evaluations.step(one.id)) for one in reversed(jobs)]
    return {"items": items + [public.effect(one) for one in reversed(found)], "next": None}


@router.get("/initiatives/{key}/evaluations/{id}")
def show_evaluation(
    key: str,
    id: UUID,  # noqa: A002 - the public name
    work: ReadDep,
    evaluations: EvaluationsDep,
) -> Json:
    """Show what one evaluation found, with everything it rests on; or how far it is."""
    found = work.initiatives.effect(id)
    if found is not None and found.initiative == key:
        return public.effect(found)
    job = work.initiatives.job(id)
    if job is None or job.initiative != key:
        raise NotFoundError("Effect", str(id))
    return public.job(job, evaluations.step(id))


@router.get("/initiatives/{key}/evaluations/{id}/{name}.svg")
def show_picture(
    key: str,
    id: UUID,  # noqa: A002 - the public name
    name: str,
    work: ReadDep,
    lang: Annotated[str, Query(max_length=10)] = "en",
) -> Response:
    """Show what one evaluation found as a picture; the Effect's `pictures` names what there is."""
    found = work.initiatives.effect(id)
    picture = work.initiatives.picture(id, name, lang)
    if found is None or found.initiative != key or picture is None:
        raise NotFoundError("picture", f"{name} of {id} in {lang}")
    return Response(
        picture.svg,
        media_type="image/svg+xml",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )
