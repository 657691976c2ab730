"""Forms: what a page without a script sends, fields and photos in one body."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.routing import Match
from starlette.types import Scope

from livinglab.domain.photos import MOST_PHOTOS
from livinglab.errors import InvalidError

MOST_FIELDS = 200
MOST_FILES = 10
LARGEST_FIELD = 64 * 1024
PHOTOS = "media"
LOCATE = "use_photo_position"
FORM = "multipart/form-data"
M = TypeVar("M", bound=BaseModel)


TAKES_PHOTOS = re.compile(
    r"/observations(/[^/]+/media)?|/open311/(test/)?/*v2/(requests|servicerequestupdates)\.\w+"
)
"""Paths of forms that may hold photos."""


def is_form(scope: Scope) -> bool:
    """Tell whether a request says that its body is a form."""
    kinds = (value for name, value in scope["headers"] if name == b"content-type")
    return any(one.lower().startswith(FORM.encode()) for one in kinds)


class FormRoute(APIRoute):
    """A route for forms alone: the same path may read JSON by another."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Pass over what is no form."""
        return super().matches(scope) if is_form(scope) else (Match.NONE, {})


async def _form(request: Request) -> AsyncIterator[FormData]:
    limits = {"max_files": MOST_FILES, "max_fields": MOST_FIELDS, "max_part_size": LARGEST_FIELD}
    async with request.form(**limits) as form:
        yield form


FormDep = Annotated[FormData, Depends(_form)]
"""A form as it came; its files are gone once it is answered."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A form that somebody filled in."""

    fields: dict[str, Any]
    photos: tuple[bytes, ...]
    locate: bool
    """Whether the position in a photo may be read."""

    def body(self, model: type[M], as_json: Sequence[str] = ()) -> M:
        """Read the fields as a model; some are JSON in themselves.

        Raises:
            RequestValidationError: They are not as they must be.
        """
        given = dict(self.fields)
        for name in as_json:
            if name in given:
                given[name] = _parsed(name, given[name])
        try:
            return model.model_validate(given)
        except ValidationError as error:
            faults = [
                {"loc": ("body", *one["loc"]), "msg": one["msg"], "type": one["type"]}
                for one in error.errors()
            ]
            raise RequestValidationError(faults) from error


def filled(form: FormData) -> Filled:
    """Read a form: a field left empty was not given.

    Raises:
        InvalidError: A field is given twice, or there are too many photos.
    """
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if isinstance(value, str) and value.strip():
            if name in fields:
                raise InvalidError(name, "is given twice")
            fields[name] = value
    told = str(fields.pop(LOCATE, "")).lower()
    if told not in {"", "true", "false", "on"}:
        raise InvalidError(LOCATE, "is true or false")
    return Filled(fields, photos(form, (PHOTOS,)), told in {"true", "on"})


def photos(form: FormData, names: Sequence[str]) -> tuple[bytes, ...]:
    """Return the files of these names; a file without name and content was not chosen.

    Raises:
        InvalidError: There are too many.
    """
    found = [
        value.file.read()
        for name, value in form.multi_items()
        if name in names and isinstance(value, UploadFile) and (value.filename or value.size)
    ]
    if len(found) > MOST_PHOTOS:
        raise InvalidError(PHOTOS, f"{MOST_PHOTOS} photos at the most")
    return tuple(found)


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidError(name, "is no JSON") from error
