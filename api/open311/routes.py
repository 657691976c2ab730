"""GeoReport v2 over HTTP: services, requests, tokens, discovery and updates, in both formats."""

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import STATUS
from api.forms import FormDep
from api.open311 import telling
from api.open311.facade import Facade
from api.open311.rendering import FORMATS, Items, listed, refused, single
from livinglab.errors import (
    ForbiddenError,
    InvalidError,
    LabError,
    LimitExceededError,
    NotFoundError,
    UnauthorizedError,
)

log = structlog.get_logger()

SPECIFICATION = "http://wiki.open311.org/GeoReport_v2"
CHANGESET = "2026-01-01T00:00:00Z"
SANDBOX_MOST = 1_000
"""Requests that the test endpoint takes until the lab starts again."""


def create_open311(facade: Facade) -> FastAPI:
    """Serve a lab by the standard."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(_SingleSlashes)
    _answer_errors(app)
    _serve_updates(app, facade)

    @app.get("/v2/services.{fmt}")
    def services(fmt: str) -> Response:
        rows = [telling.service(one) for one in facade.codes.values()]
        return listed(_known(fmt), "services", "service", rows)

    @app.get("/v2/services/{code}.{fmt}")
    def definition(code: str, fmt: str) -> Response:
        return single(_known(fmt), "service_definition", facade.definition(code))

    @app.post("/v2/requests.{fmt}")
    def post_request(fmt: str, request: Request, form: FormDep) -> Response:
        row = facade.post(form, request.headers)
        return listed(_known(fmt), "service_requests", "request", [row])

    @app.get("/v2/requests.{fmt}")
    def requests(fmt: str, request: Request) -> Response:
        rows = facade.requests(dict(request.query_params), _base(facade, request))
        return listed(_known(fmt), "service_requests", "request", rows)

    @app.get("/v2/requests/{id_}.{fmt}")
    def one_request(id_: str, fmt: str, request: Request) -> Response:
        given = {**request.query_params, "service_request_id": id_}
        rows = facade.requests(given, _base(facade, request))
        if not rows:
            raise NotFoundError("service_request_id", id_)
        return listed(_known(fmt), "service_requests", "request", rows)

    @app.get("/v2/tokens/{token}.{fmt}")
    def tokens(token: str, fmt: str) -> Response:
        _known(fmt)
        raise NotFoundError("token", token)

    @app.get("/discovery.{fmt}")
    @app.get("/v2/discovery.{fmt}")
    def discovery(fmt: str, request: Request) -> Response:
        return single(_known(fmt), "discovery", _discovery(_base(facade, request)))

    return app


def _base(facade: Facade, request: Request) -> str:
    """Return what every link begins with."""
    here = f"{request.url.scheme}://{request.url.netloc}"
    return (facade.lab.settings.public_url or here).rstrip("/")


def _serve_updates(app: FastAPI, facade: Facade) -> None:
    """Serve the extension that closes the loop."""

    @app.get("/v2/servicerequestupdates.{fmt}")
    def updates(fmt: str, request: Request) -> Response:
        rows = facade.updates(dict(request.query_params))
        return listed(_known(fmt), "service_request_updates", "request_update", rows)

    @app.post("/v2/servicerequestupdates.{fmt}")
    def post_update(fmt: str, request: Request, form: FormDep) -> Response:
        row = facade.post_update(form, request.headers)
        return listed(_known(fmt), "service_request_updates", "request_update", [row])


def _known(fmt: str) -> str:
    if fmt not in FORMATS:
        raise HTTPException(404, f"there is no format {fmt}; use xml or json")
    return fmt


def _discovery(base: str) -> dict[str, Any]:
    formats = Items("format", ["text/xml", "application/json"])
    return {
        "changeset": CHANGESET,
        "contact": f"{base}/",
        "key_service": f"{base}/docs",
        "endpoints": Items(
            "endpoint",
            [
                {
                    "specification": SPECIFICATION,
                    "url": f"{base}{where}/v2/",
                    "changeset": CHANGESET,
                    "type": kind,
                    "formats": formats,
                }
                for kind, where in (("production", "/open311"), ("test", "/open311/test"))
            ],
        ),
    }


class _SingleSlashes:
    """Takes `//` for `/`: a client of the field joins endpoint and path so."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            while "//" in scope["path"]:
                scope["path"] = scope["path"].replace("//", "/")
        await self.app(scope, receive, send)


def _format_of(request: Request) -> str:
    """The format that was asked for; XML where none was, for it is the mandatory one."""
    suffix = request.url.path.rpartition(".")[2]
    return suffix if suffix in FORMATS else "xml"


def _answer_errors(app: FastAPI) -> None:
    """Answer every error as a list in the format that was asked for."""

    @app.exception_handler(LabError)
    def of_ours(request: Request, error: LabError) -> Response:
        fmt = _format_of(request)
        if isinstance(error, (UnauthorizedError, ForbiddenError)):
            return refused(fmt, 403, [str(error)])
        if isinstance(error, LimitExceededError):
            return refused(fmt, 429, [str(error)], Retry_After=str(error.retry_after_s))
        if isinstance(error, InvalidError):
            return refused(fmt, 400, [str(error)])
        status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)
        kept = status in {HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE}
        if kept and status is not None:
            more = {"Retry_After": "30"} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
            return refused(fmt, int(status), [str(error)], **more)
        return refused(fmt, 400, [str(error)])

    @app.exception_handler(RequestValidationError)
    def of_payload(request: Request, error: RequestValidationError) -> Response:
        return refused(_format_of(request), 400, [str(one["msg"]) for one in error.errors()[:20]])

    @app.exception_handler(HTTPException)
    def of_framework(request: Request, error: HTTPException) -> Response:
        return refused(_format_of(request), error.status_code, [str(error.detail)])

    @app.exception_handler(Exception)
    def of_nobody(request: Request, error: Exception) -> Response:
        log.error("open311_failed", exc_info=error)
        return refused(_format_of(request), 500, ["the lab failed; its operator can see why"])
