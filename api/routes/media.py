"""Photos over HTTP: sent with or after an Observation, seen by all once a moderator let them go."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api import public
from api.dependencies import LabDep, ReadDep, TokenDep, key_of, own_observation, take_patience
from api.forms import FORM, FormDep, filled
from api.pages.rendering import json_response
from api.routes.contributors import own
from livinglab.domain.access import Scope
from livinglab.errors import InvalidError, NotFoundError
from livinglab.ports import MediaSize
from livinglab.services.moderating import observation_of
from livinglab.services.picturing import attach, developed, is_public, photo_of

router = APIRouter(tags=["observations"])

ALONE = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Content-Disposition": "inline",
}
"""A photo is a photo, whatever a browser takes it for."""
A_WHILE = {**ALONE, "Cache-Control": "public, max-age=300"}
"""One that is taken out is out of caches soon."""
ASKED = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["media"],
                    "properties": {
                        "media": {
                            "type": "array",
                            "maxItems": 5,
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            }
        },
    }
}


@router.post("/observations/{id}/media", status_code=201, openapi_extra=ASKED)
def post_media(
    id: UUID,  # noqa: A002 - the public name
    form: FormDep,
    request: Request,
    lab: LabDep,
    token: TokenDep = None,
) -> Response:
    """Add photos to one's own Observation; they wait for a moderator."""
    files = filled(form).photos
    if not files:
        raise InvalidError("media", "send one photo at the least")
    with lab.work(write=False) as work:
        take_patience(request, work, token)
        key = key_of(request, work)
        if key is None or not key.allows(Scope.MODERATE):
            own_observation(id, own(token, work), work)
    with developed(files, lab.media) as made, lab.work() as work:
        kept = attach(observation_of(id, work), made, work, lab.clock.now())
        told = {"items": [public.own_photo(one) for one in kept], "next": None}
    return json_response(told, 201)


@router.get("/media/{key}", response_class=Response)
def show_media(
    key: str, lab: LabDep, work: ReadDep, size: Annotated[MediaSize, Query()] = MediaSize.FULL
) -> Response:
    """Show a photo that a moderator let go: JPEG, pixels only."""
    found = photo_of(key, work)
    data = lab.media.get(key, size) if is_public(found, lab.categories, work) else None
    if data is None:
        raise NotFoundError("Photo", key)
    return Response(data, media_type="image/jpeg", headers=A_WHILE)


def photo_as(data: bytes | None, key: str) -> Response:
    """Show a photo to a moderator, and to no cache."""
    if data is None:
        raise NotFoundError("Photo", key)
    headers: dict[str, Any] = {**ALONE, "Cache-Control": "no-store"}
    return Response(data, media_type="image/jpeg", headers=headers)
