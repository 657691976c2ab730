"""Errors over HTTP: one table, and problem+json for every one of them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from livinglab.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    LabError,
    LetterRefusedError,
    LimitExceededError,
    NotFoundError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    UnsupportedFormatError,
)

log = structlog.get_logger()

STATUS: Mapping[type[LabError], HTTPStatus] = {
    UnauthorizedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedFormatError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    LetterRefusedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    LimitExceededError: HTTPStatus.TOO_MANY_REQUESTS,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Error → status; a subclass is answered like its nearest ancestor here."""


def problem(status: HTTPStatus, detail: str, **facts: object) -> JSONResponse:
    """Answer with problem+json (RFC 9457)."""
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    headers = {}
    if "retry_after_s" in facts:
        headers["Retry-After"] = str(facts["retry_after_s"])
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        {**body, **facts}, int(status), headers, media_type="application/problem+json"
    )


def answer(error: LabError) -> JSONResponse:
    """Turn an error of ours into its answer, with its facts."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            facts = {key: value for key, value in vars(error).items() if _is_fact(key, value)}
            return problem(STATUS[kind], str(error), **facts)
    log.error("error_without_status", kind=type(error).__name__)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the lab failed; its operator can see why")


def _is_fact(key: str, value: Any) -> bool:
    """Tell whether an attribute of an error adds to what problem+json says anyway."""
    return key != "detail" and isinstance(value, (str, int, float, tuple))


def install(app: FastAPI) -> None:
    """Let the app answer errors in this form."""

    @app.exception_handler(LabError)
    def of_ours(_: Request, error: LabError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    def of_payload(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            {"path": ".".join(str(part) for part in one["loc"][1:]), "detail": one["msg"]}
            for one in error.errors()[:20]
        ]
        said = "; ".join(f"{one['path'] or 'body'}: {one['detail']}" for one in faults)
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, said, errors=faults)

    @app.exception_handler(HTTPException)
    def of_framework(_: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        if status is HTTPStatus.BAD_REQUEST:  # the framework's word for a body that it cannot read
            status = HTTPStatus.UNPROCESSABLE_ENTITY
        told = problem(status, str(error.detail))
        told.headers.update(error.headers or {})  # such as what a path does allow
        return told
