"""The app: routes, errors, limits and headers put together for one lab."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from api.dependencies import Limits
from api.pages import rendering
from api.routes import admin, health, home, moderation, observations, places, readings
from livinglab import __version__
from livinglab.bootstrap import Lab
from livinglab.errors import TooLargeError
from livinglab.services.watching import Pulse

LARGEST_BODY = 64 * 1024
SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(self)",
}


def create_app(
    lab: Lab,
    *,
    pulse: Pulse | None = None,
    parts: Mapping[str, Callable[[], str]] | None = None,
) -> FastAPI:
    """Serve a lab.

    Args:
        lab: What is served.
        pulse: What ingest tells about itself, where it runs in the same process.
        parts: More parts that readiness asks, by name.
    """
    app = FastAPI(title="Living lab", version=__version__, docs_url=None, redoc_url=None)
    app.state.lab, app.state.pulse, app.state.parts = lab, pulse, dict(parts or {})
    app.state.limits = Limits(lab.settings.post_limit)
    errors.install(app)
    for one in (health, places, readings, observations, moderation, admin, home):
        app.include_router(one.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "pages" / "static"))
    app.add_middleware(_BodyCap)

    @app.middleware("http")
    async def with_security(
        request: Request, go_on: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        answer = await go_on(request)
        for name, value in SECURITY.items():
            answer.headers.setdefault(name, value)
        if request.url.path.startswith("/static/vendor/"):
            answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        return rendering.page(request, "docs.html", api=app.openapi())

    return app


class _BodyCap:
    """Refuses a body that is larger than any posting, whatever its headers say."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        chunks, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > LARGEST_BODY:
                await errors.answer(TooLargeError("the body", LARGEST_BODY))(scope, receive, send)
                return
            more = message.get("more_body", False)
        whole: list[Message] = [{"type": "http.request", "body": b"".join(chunks)}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, again, send)
