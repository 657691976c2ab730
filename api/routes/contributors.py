"""Contributors over HTTP: a device introduces itself, and its owner has the last word."""

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api import public
from api.dependencies import LabDep, ReadDep, TokenDep, WriteDep, take_patience
from api.pages.rendering import json_response
from livinglab.domain.contributors import Contact, Contributor, Dimension, Purpose
from livinglab.errors import UnauthorizedError
from livinglab.ports import UnitOfWork
from livinglab.services import contributing
from livinglab.services.observing import contributor_of, contributor_with

router = APIRouter(tags=["contributors"])

PRIVATE = {"Cache-Control": "no-store"}


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ContactIn(_In):
    """How to reach somebody; what is left out is forgotten."""

    email: Annotated[str | None, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254)] = (
        None
    )
    phone: Annotated[str | None, Field(pattern=r"^\+?[0-9 ()./-]{5,30}$")] = None
    name: Annotated[str | None, Field(max_length=200)] = None


class ConsentIn(_In):
    """Whether somebody agrees to something, in which wording."""

    purpose: Purpose
    version: str = Field(min_length=1, max_length=40)
    given: bool


class StrataIn(_In):
    """What somebody tells of themselves; it is read in sums only."""

    levels: dict[Dimension, Annotated[str, Field(min_length=1, max_length=40)]]


def own(token: str | None, work: UnitOfWork) -> Contributor:
    """Return whoever holds the secret.

    Raises:
        UnauthorizedError: Nobody does, or none came.
    """
    found = contributor_with(token, work)
    if found is None:
        raise UnauthorizedError("this needs the secret of your device as `X-Contributor`")
    return found


@router.post("/contributors", status_code=201)
def introduce(request: Request, lab: LabDep, work: WriteDep) -> Response:
    """Introduce a device: the answer's secret stays on it, and is sent as `X-Contributor`."""
    take_patience(request, work, None)
    token = secrets.token_urlsafe(32)
    contributor_of(token, work, lab.clock.now())
    return json_response({"token": token}, 201, PRIVATE)


@router.get("/me")
def show_me(lab: LabDep, work: ReadDep, token: TokenDep = None) -> Response:
    """Show what is kept of oneself."""
    return json_response(contributing.own_data(own(token, work), work, lab.vault), 200, PRIVATE)


@router.put("/me/contact")
def put_contact(
    body: ContactIn, lab: LabDep, work: WriteDep, token: TokenDep = None
) -> dict[str, Any]:
    """Say how one may be reached; it is kept apart from everything else."""
    who = own(token, work)
    lab.vault.put(Contact(pseudonym=who.pseudonym, **body.model_dump()))
    return body.model_dump()


@router.put("/me/consents")
def put_consent(
    body: ConsentIn, lab: LabDep, work: WriteDep, token: TokenDep = None
) -> dict[str, Any]:
    """Agree to something, or no more."""
    who, now = own(token, work), lab.clock.now()
    if body.given:
        contributing.agree(who, body.purpose, body.version, work, now)
    else:
        contributing.withdraw(who, body.purpose, work, now)
    standing = work.consents.where(contributor=who.pseudonym, withdrawn_at=None)
    return {
        "consents": [
            {"purpose": one.purpose.value, "version": one.version, "at": public.time(one.given_at)}
            for one in standing
        ]
    }


@router.put("/me/strata")
def put_strata(
    body: StrataIn, lab: LabDep, work: WriteDep, token: TokenDep = None
) -> dict[str, Any]:
    """Tell something of oneself, for sums only; it takes the place of what was told before."""
    contributing.donate(own(token, work), body.levels, work, lab.clock.now())
    return {"levels": {one.value: level for one, level in body.levels.items()}}


@router.post("/me/export")
def export_me(lab: LabDep, work: ReadDep, token: TokenDep = None) -> Response:
    """Take everything along: a ZIP file that explains itself."""
    data = contributing.own_data(own(token, work), work, lab.vault)
    named = {"Content-Disposition": 'attachment; filename="livinglab.zip"', **PRIVATE}
    return Response(
        contributing.packed(data, lab.media), media_type="application/zip", headers=named
    )


@router.delete("/me")
def erase_me(request: Request, lab: LabDep, token: TokenDep = None) -> dict[str, Any]:
    """Take everything back; what was counted stays counted, of nobody.

    `off_disk` tells whether the database has overwritten it already, too.
    """
    with lab.work() as work:
        take_patience(request, work, token)
        done = contributing.erase(own(token, work), work, lab.vault, lab.media, lab.clock.now())
    return {
        "erased_at": public.time(done.at),
        "rows": done.rows,
        "off_disk": lab.civic.scrub(),
    }
