"""Voices over HTTP: supports, Comments, flags, confirmations, appeals, Feedback and answers."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api import public
from api.dependencies import LabDep, ReadDep, TokenDep, WriteDep, demand, own_observation, somebody
from api.pages.rendering import json_response
from api.routes.places import next_url
from livinglab.bootstrap import Lab
from livinglab.domain.access import Scope
from livinglab.domain.answers import CityResponse
from livinglab.domain.incidents import Incident
from livinglab.domain.moderation import FlagReason
from livinglab.domain.observations import Channel, Observation
from livinglab.domain.voices import Dimension, Stance
from livinglab.errors import NotFoundError
from livinglab.ports import UnitOfWork
from livinglab.services import deciding, moderating, responding, voicing

router = APIRouter(tags=["voices"])

LONGEST_TEXT = 4_000
Lang = Annotated[str | None, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Subject = Annotated[str, Field(pattern=r"^[a-z]+:.{1,200}$")]
Key = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SupportIn(_In):
    """Where somebody stands."""

    stance: Stance = Stance.FOR


class CommentIn(_In):
    """Words below something."""

    text: str = Field(min_length=1, max_length=LONGEST_TEXT)
    lang: Lang = None


class FlagIn(_In):
    """Why somebody objects; what is not fixed goes to the confirmation."""

    reason: FlagReason
    note: str = Field(default="", max_length=1_000)


class ConfirmationIn(_In):
    """Whether it is fixed, by whoever posted it."""

    fixed: bool
    text: str = Field(default="", max_length=LONGEST_TEXT)


class AppealIn(_In):
    """Why somebody should look again."""

    text: str = Field(min_length=1, max_length=LONGEST_TEXT)


class FeedbackIn(_In):
    """A rating on an Initiative, an event or a response."""

    subject: Subject
    dimension: Dimension = Dimension.OVERALL
    rating: int = Field(ge=1, le=5)
    text: str = Field(default="", max_length=LONGEST_TEXT)
    lang: Lang = None


class ResponseIn(_In):
    """You said, we did; the same key again is the next version."""

    key: Key
    subject: Subject
    you_said: str = Field(min_length=1, max_length=LONGEST_TEXT)
    we_did: str = Field(default="", max_length=LONGEST_TEXT)
    why_not: str = Field(default="", max_length=LONGEST_TEXT)
    evidence: list[Annotated[str, Field(pattern=r"^https?://", max_length=500)]] = Field(
        default=[], max_length=20
    )
    promised_for: date | None = None
    department: str = Field(min_length=1, max_length=200)


Kind = Literal["observations", "incidents", "initiatives"]


@router.post("/{kind}/{key}/supports")
def post_support(
    kind: Kind,
    key: str,
    body: SupportIn,
    request: Request,
    lab: LabDep,
    work: WriteDep,
    token: TokenDep = None,
) -> dict[str, Any]:
    """Support something, oppose it, or say that one is affected, too.

    One voice each, changed by giving it again.
    """
    contributor = somebody(request, lab, work, token)
    subject = f"{kind.removesuffix('s')}:{key}"
    voicing.support(subject, contributor, body.stance, work, lab.clock.now())
    return public.stances(subject, voicing.stances(subject, work))


@router.delete("/{kind}/{key}/supports")
def revoke_support(
    kind: Kind,
    key: str,
    request: Request,
    lab: LabDep,
    work: WriteDep,
    token: TokenDep = None,
) -> dict[str, Any]:
    """Take one's voice back."""
    contributor = somebody(request, lab, work, token)
    subject = f"{kind.removesuffix('s')}:{key}"
    voicing.revoke(subject, contributor, work, lab.clock.now())
    return public.stances(subject, voicing.stances(subject, work))


@router.post("/observations/{id}/comments", status_code=201)
def post_comment(
    id: UUID,  # noqa: A002 - the public name
    body: CommentIn,
    request: Request,
    lab: LabDep,
    work: WriteDep,
    token: TokenDep = None,
) -> dict[str, Any]:
    """Say something below an Observation; words of somebody new wait for a moderator."""
    contributor = somebody(request, lab, work, token)
    made = voicing.comment(
        f"observation:{id}",
        contributor,
        text=body.text,
        lang=body.lang,
        work=work,
        now=lab.clock.now(),
    )
    return {"id": str(made.id), "waiting": public.comment(made) is None}


@router.post("/observations/{id}/flags", status_code=202)
def post_flag(
    id: UUID,  # noqa: A002 - the public name
    body: FlagIn,
    request: Request,
    lab: LabDep,
    work: WriteDep,
    token: TokenDep = None,
) -> dict[str, str]:
    """Object to an Observation, with the reason; a moderator looks at it."""
    contributor = somebody(request, lab, work, token)
    subject = voicing.exists(f"observation:{id}", work)
    moderating.flag(
        subject,
        contributor,
        reason=body.reason,
        note=body.note,
        work=work,
        now=lab.clock.now(),
    )
    return {"subject": subject, "reason": body.reason.value}


@router.post("/observations/{id}/confirmation", status_code=201)
def post_confirmation(
    id: UUID,  # noqa: A002 - the public name
    body: ConfirmationIn,
    request: Request,
    lab: LabDep,
    work: WriteDep,
    token: TokenDep = None,
) -> dict[str, Any]:
    """Say whether one's own posting was fixed; "no" opens it again."""
    found = own_observation(id, somebody(request, lab, work, token), work)
    deciding.confirm(found, fixed=body.fixed, text=body.text, work=work, now=lab.clock.now())
    return {"id": str(found.id), "status": found.status.value, "fixed": body.fixed}


@router.post("/observations/{id}/appeal", status_code=201)
def post_appeal(
    id: UUID,  # noqa: A002 - the public name
    body: AppealIn,
    request: Request,
    lab: LabDep,
    work: WriteDep,
    token: TokenDep = None,
) -> dict[str, str]:
    """Ask to look again at what a moderator did to one's own posting."""
    found = own_observation(id, somebody(request, lab, work, token), work)
    made = moderating.appeal(found, body.text, work, lab.clock.now())
    return {"id": str(made.id), "observation": str(id)}


@router.post("/feedback", status_code=201)
def post_feedback(
    body: FeedbackIn, request: Request, lab: LabDep, work: WriteDep, token: TokenDep = None
) -> dict[str, Any]:
    """Rate an Initiative, an event or a response; once in each respect, changed by rating again."""
    contributor = somebody(request, lab, work, token)
    given = voicing.Rating(
        dimension=body.dimension,
        rating=body.rating,
        text=body.text,
        lang=body.lang,
        channel=Channel.WEB,
    )
    return public.feedback(voicing.rate(body.subject, contributor, given, work, lab.clock.now()))


@router.get("/feedback")
def list_feedback(
    request: Request,
    work: ReadDep,
    subject: Annotated[str, Query(max_length=220)],
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    after: Annotated[int | None, Query(ge=0)] = None,
) -> dict[str, Any]:
    """List what was said of something, newest first, with how many rated it how."""
    page = work.feedback.where(subject=subject, newest_first=True, after=after, limit=limit)
    more = next_url(request, str(page[-1].number)) if len(page) == limit else None
    counts = [
        {
            "dimension": dimension.value,
            "n": sum(n),
            "by_rating": n,
        }
        for dimension in Dimension
        if sum(n := _by_rating(subject, dimension, work))
    ]
    return {
        "subject": subject,
        "dimensions": counts,
        "items": [public.feedback(one) for one in page],
        "next": more,
    }


def _by_rating(subject: str, dimension: Dimension, work: UnitOfWork) -> list[int]:
    """Count ratings of 1 to 5."""
    return [
        work.feedback.count(subject=subject, dimension=dimension, rating=rating)
        for rating in range(1, 6)
    ]


@router.post("/responses", status_code=201)
def post_response(body: ResponseIn, request: Request, lab: LabDep, work: WriteDep) -> Response:
    """Publish an answer of the city."""
    key = demand(request, work, Scope.PLAN)
    reply = responding.Reply(
        key=body.key,
        subject=body.subject,
        you_said=body.you_said,
        we_did=body.we_did,
        why_not=body.why_not,
        evidence=tuple(body.evidence),
        promised_for=body.promised_for,
        department=body.department,
    )
    made = responding.respond(reply, by=key.name, work=work, now=lab.clock.now())
    return json_response(public.response(made), 201, {"Location": f"/responses/{made.key}"})


@router.get("/responses")
def list_responses(
    request: Request,
    lab: LabDep,
    work: ReadDep,
    subject: Annotated[str | None, Query(max_length=220)] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    after: Annotated[int | None, Query(ge=0)] = None,
) -> dict[str, Any]:
    """List what the city answered, newest first; of each answer the last version."""
    asked: dict[str, Any] = {"subject": subject} if subject is not None else {}
    page = work.responses.where(newest_first=True, after=after, limit=limit, **asked)
    more = next_url(request, str(page[-1].number)) if len(page) == limit else None
    last = [one for one in page if work.responses.one(key=one.key) is one]
    told = [public.response(one) for one in last if not _is_personal(one, lab, work)]
    return {"items": told, "next": more}


def _is_personal(one: CityResponse, lab: Lab, work: UnitOfWork) -> bool:
    """Tell whether it answers what may not be itemised: only whoever posted that reads it."""
    kind, _, key = one.subject.partition(":")
    subject: Observation | Incident | None = None
    if kind == "observation":
        subject = work.observations.get(UUID(key))
    elif kind == "incident":
        subject = work.incidents.one(id=UUID(key))
    return subject is not None and lab.categories[subject.category].privacy.personal


@router.get("/responses/{key}")
def show_response(key: str, lab: LabDep, work: ReadDep) -> dict[str, Any]:
    """Show an answer with every version of it."""
    versions = work.responses.where(key=key)
    if not versions or _is_personal(versions[-1], lab, work):
        raise NotFoundError("Response", key)
    return {
        **public.response(versions[-1]),
        "versions": [public.response(one) for one in versions],
    }
