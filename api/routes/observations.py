"""Observations: a citizen posts, and everybody reads what may be read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api import public
from api.dependencies import (
    GUARD,
    LabDep,
    ReadDep,
    TokenDep,
    count_against,
    key_of,
    lab_of,
)
from api.forms import FORM, FormDep, FormRoute, filled
from api.pages.rendering import json_response
from api.routes.places import next_url, read_box, read_time
from livinglab.bootstrap import Lab
from livinglab.domain.access import Actor
from livinglab.domain.answers import responsible
from livinglab.domain.geometry import Point, is_point
from livinglab.domain.observations import Channel, Observation, ObservationKind, Status
from livinglab.domain.places import Place
from livinglab.errors import ClientKeyReusedError, InvalidError, LabError, NotFoundError
from livinglab.ports import ObservationFilter, UnitOfWork
from livinglab.services import voicing
from livinglab.services.joining import public_place
from livinglab.services.linking import candidates
from livinglab.services.locating import looked_up, needs_looking_up
from livinglab.services.observing import Draft, observe, observe_all, signed
from livinglab.services.picturing import attach, developed, public_photos
from livinglab.services.responding import answers_to

router = APIRouter(tags=["observations"])
forms = APIRouter(tags=["observations"], route_class=FormRoute)

LONGEST_TEXT = 4_000
UNNAMED = UUID(int=0)
"""In the place of a client_key, until the sender's key tells whose external_id it is."""


class ObservationIn(BaseModel):
    """What a citizen posts. The client makes `client_key` before its first attempt."""

    model_config = ConfigDict(extra="forbid")

    client_key: UUID | None = Field(
        default=None, description="Not needed beside `external_id`, which names it as well."
    )
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
    channel: Literal["web", "pwa", "sms", "ussd", "phone", "kiosk", "event", "staff", "import"] = (
        Field(default="web", description="All but web and pwa need a key of scope submit.")
    )
    assisted: bool = Field(
        default=False, description="Entered for somebody else; needs a key of scope submit."
    )
    attributes: dict[str, Any] = Field(
        default={}, max_length=50, description="Answers to the category's questions, by code."
    )
    address: str | None = Field(default=None, max_length=500)
    incident: UUID | None = Field(
        default=None, description="What it is about, if that was posted before: a duplicate."
    )
    initiative: str | None = Field(default=None, max_length=80)
    external_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="How the sender names it: once each. Needs a key of scope submit.",
    )

    def draft(self) -> Draft:
        """Return it in the lab's own words."""
        point = Point(*self.point) if self.point else None
        if point is not None and not is_point(*point):
            raise InvalidError("point", f"{list(point)} is no [lon, lat]")
        if self.client_key is None and self.external_id is None:
            raise InvalidError("client_key", "make one (UUID) before the first attempt")
        return Draft(
            client_key=self.client_key or UNNAMED,
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
            attributes=self.attributes,
            address=self.address,
            incident=self.incident,
            initiative=self.initiative,
            external_id=self.external_id,
        )


AS_FORM = {
    "requestBody": {
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "description": "The same fields, `point` and `attributes` as JSON text; up to "
                    "five photos as `media`; `use_photo_position` where one of them may tell where "
                    "it was.",
                    "required": ["category"],
                }
            }
        }
    }
}


@forms.post("/observations", status_code=201, include_in_schema=False)
def post_form(form: FormDep, request: Request, lab: LabDep, token: TokenDep = None) -> Response:
    """Post about a Place with photos, or from a page without a script."""
    given = filled(form)
    draft = given.body(ObservationIn, as_json=("point", "attributes")).draft()
    with lab.work(write=False) as work:
        key = key_of(request, work)
    draft = signed(draft, key)
    count_against(request, key, token)
    with developed(given.photos, lab.media, locate=given.locate) as made:
        if draft.point is None and draft.place is None:
            seen = (one.media.taken_point for one in made if one.media.taken_point)
            draft = replace(draft, point=next(seen, None))
        draft = looked_up(draft, lab.gazetteer, lab.civic)
        with lab.work() as work:
            observation, new = observe(
                draft, token, categories=lab.categories, work=work, now=lab.clock.now()
            )
            if not new:
                known = {one.sha256 for one in work.photos.where(observation=observation.id)}
                if not known.issuperset(one.sha256 for one in made):
                    raise ClientKeyReusedError(str(draft.client_key))
            attach(observation, made, work, lab.clock.now())
            place = work.places.several([observation.place])[observation.place]
            return _receipt(observation, place, lab, work, new=new, photos=True)


@router.post(
    "/observations",
    status_code=201,
    responses={200: {"description": "The same came before; this is what became of it."}},
    openapi_extra=AS_FORM,
)
async def post_observation(
    body: ObservationIn, request: Request, token: TokenDep = None
) -> Response:
    """Post about a Place: 201 when it is new, 200 when the same came before."""
    draft = body.draft()
    looked = needs_looking_up(draft)
    if looked:
        draft = await run_in_threadpool(_look_up, draft, token, request)
    sent = _Sent(draft, token, request, counted=looked)
    answer: Response = await request.app.state.postings.call(sent)
    return answer


def _look_up(draft: Draft, token: str | None, request: Request) -> Draft:
    """Look its address up, for whoever may post; it was counted then."""
    lab = lab_of(request)
    with lab.work(write=False) as work:
        key = key_of(request, work)
    draft = signed(draft, key)
    count_against(request, key, token)
    return looked_up(draft, lab.gazetteer, lab.civic)


@dataclass(slots=True)
class _Sent:
    """A posting that waits for its turn."""

    draft: Draft
    token: str | None
    request: Request
    counted: bool = False
    """Whether it was counted against its sender's patience; a second try is free."""


def serve_postings(lab: Lab) -> Callable[[Sequence[_Sent]], list[Response | LabError]]:
    """Return what keeps several postings in one transaction, and answers each."""

    def serve(sent: Sequence[_Sent]) -> list[Response | LabError]:
        with lab.work() as work:
            refused: dict[int, LabError] = {}
            keys: dict[tuple[str | None, ...], Actor | None] = {}
            for n, one in enumerate(sent):
                given = tuple(map(one.request.headers.get, ("authorization", "cookie", GUARD)))
                try:
                    if given not in keys:
                        keys[given] = key_of(one.request, work)
                    one.draft = signed(one.draft, keys[given])
                    if not one.counted:
                        count_against(one.request, keys[given], one.token)
                    one.counted = True
                except LabError as error:
                    refused[n] = error
            outcomes = iter(
                observe_all(
                    [(one.draft, one.token) for n, one in enumerate(sent) if n not in refused],
                    categories=lab.categories,
                    work=work,
                    now=lab.clock.now(),
                )
            )
            settled = [refused.get(n) or next(outcomes) for n in range(len(sent))]
            kept = [one[0].place for one in settled if not isinstance(one, LabError)]
            places = work.places.several(set(kept))
            return [
                one
                if isinstance(one, LabError)
                else _receipt(one[0], places[one[0].place], lab, work, new=one[1])
                for one in settled
            ]

    return serve


def _receipt(
    one: Observation, place: Place, lab: Lab, work: UnitOfWork, *, new: bool, photos: bool = False
) -> Response:
    row = responsible(lab.responsibilities, one.category, place.zone)
    shown = work.photos.where(observation=one.id) if photos or not new else ()
    told = {
        **public.receipt(one, place),
        "responsible": public.responsibility(row) if row else None,
        "media": [public.own_photo(each) for each in shown],
    }
    return json_response(told, 201 if new else 200, {"Location": f"/observations/{one.id}"})


class CandidatesIn(BaseModel):
    """Where somebody is about to post, and about what."""

    model_config = ConfigDict(extra="forbid")

    category: str = Field(max_length=80)
    point: tuple[float, float] | None = Field(default=None, description="[lon, lat], WGS84")
    place: str | None = Field(default=None, max_length=200)
    within_m: float | None = Field(default=None, gt=0, le=1_000, description="For inspectors.")


@router.post("/observations:candidates")
def list_candidates(body: CandidatesIn, lab: LabDep, work: ReadDep) -> dict[str, Any]:
    """Ask what was posted near there already, before one posts the same again."""
    category = lab.categories.get(body.category)
    if category is None:
        raise InvalidError("category", f"must be one of {', '.join(sorted(lab.categories))}")
    point = Point(*body.point) if body.point else None
    if point is None and body.place is not None:
        point = public_place(body.place, work).point
    if point is None or not is_point(*point):
        raise InvalidError("point", "give a point [lon, lat], or the key of a place")
    now = lab.clock.now()
    found = candidates(point, category, within_m=body.within_m, work=work, now=now)
    photos = public_photos((one.original for one in found), lab.categories, work)
    return {
        "items": [
            public.candidate(one, photos.get(one.original.id, ()), lab.categories, now)
            for one in found
        ],
        "next": None,
    }


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
    after: Annotated[UUID | None, Query(description="The last one of the page before.")] = None,
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
    page = work.observations.page(which, after=_number(after, work), limit=limit)
    photos = public_photos(page, lab.categories, work)
    items = [
        {**told, "media": [public.photo(each) for each in photos.get(one.id, ())]}
        for one in page
        if (told := public.observation(one, lab.categories))
    ]
    more = next_url(request, str(page[-1].id)) if len(page) == limit else None
    return {"items": items, "next": more}


def _number(after: UUID | None, work: UnitOfWork) -> int | None:
    """Return where a page ended: by id, as gaps between numbers would tell of what is hidden."""
    if after is None:
        return None
    found = work.observations.get(after)
    if found is None:
        raise InvalidError("after", f"there is no Observation {after}")
    return found.number


@router.get("/observations/{id}")
def show_observation(id: UUID, lab: LabDep, work: ReadDep) -> dict[str, Any]:  # noqa: A002 - the public name
    """Show one Observation, if the public may see it, with its history, answers and voices."""
    found = work.observations.get(id)
    told = public.observation(found, lab.categories) if found else None
    if found is None or told is None:
        raise NotFoundError("Observation", str(id))
    subject = f"observation:{id}"
    comments = (public.comment(one) for one in work.comments.where(subject=subject))
    place = work.places.get(found.place)
    row = responsible(lab.responsibilities, found.category, place.zone if place else None)
    photos = public_photos([found], lab.categories, work)
    return {
        **told,
        "media": [public.photo(one) for one in photos.get(id, ())],
        "history": [public.status_event(one) for one in work.observations.events(id)],
        "responses": [public.response(one) for one in answers_to(found, work)],
        "supports": public.stances(subject, voicing.stances(subject, work)),
        "comments": [one for one in comments if one],
        "responsible": public.responsibility(row) if row else None,
    }
