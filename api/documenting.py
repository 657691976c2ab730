"""Documenting: what every route may answer beside what it is for, in the API's own description."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from api.forms import TAKES_PHOTOS

PROBLEM = {
    "type": "object",
    "description": "What is wrong, and what to do about it (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_NEEDS_SECRET = frozenset({"moderation", "admin", "me", "batches", "account"})
"""First part of the paths that nobody reads without a key or a device."""
_OPERATIONS = frozenset({"get", "put", "post", "delete", "patch"})


def document(app: FastAPI) -> None:
    """Let the app's description name the problems that its routes answer with."""
    plain = app.openapi

    def documented() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = plain()
            schemas = found["components"]["schemas"]
            schemas["Problem"] = PROBLEM
            for name in ("HTTPValidationError", "ValidationError"):
                del schemas[name]  # the framework's own form of 422, which is not ours
            for path, item in found["paths"].items():
                for method in _OPERATIONS & item.keys():
                    _name_problems(path, method, item[method])
        return app.openapi_schema or {}

    app.openapi = documented  # type: ignore[method-assign]  # as FastAPI documents it


def _name_problems(path: str, method: str, operation: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": schema}}
    for status in sorted(_problems(path, method)):
        operation["responses"][str(int(status))] = {
            "description": status.phrase,
            "content": content,
        }


def _problems(path: str, method: str) -> set[HTTPStatus]:
    found = {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE}
    writes, secret = method != "get", path.split("/")[1] in _NEEDS_SECRET
    if writes or secret:
        found |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    if writes or secret or "{" in path:
        found.add(HTTPStatus.NOT_FOUND)
    if path == "/addresses":
        found |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}
    if writes:
        found |= {
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.TOO_MANY_REQUESTS,
        }
    if writes and TAKES_PHOTOS.fullmatch(path):
        found.add(HTTPStatus.REQUEST_TIMEOUT)
    return found
