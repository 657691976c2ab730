"""Documenting: what every route may answer beside what it is for, in the API's own description."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

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
_NEEDS_KEY = ("/moderation", "/admin", "/me")
_OPERATIONS = frozenset({"get", "put", "post", "delete", "patch"})


def document(app: FastAPI) -> None:
    """Let the app's description name the problems that its routes answer with."""
    plain = app.openapi

    def documented() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = plain()
            found.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
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
    writes = method != "get"
    if writes or path.startswith(_NEEDS_KEY):
        found |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    if writes or "{" in path or path.startswith(_NEEDS_KEY):
        found.add(HTTPStatus.NOT_FOUND)
    if writes:
        found |= {
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.TOO_MANY_REQUESTS,
        }
    return found
