"""The app: routes, errors, limits and headers put together for one lab."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from anyio import CapacityLimiter, move_on_after
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors, forms
from api.dependencies import WRONG_KEYS, Answers, Limits
from api.documenting import document
from api.evaluations import Evaluations
from api.open311.facade import Facade
from api.open311.routes import SANDBOX_MOST, create_open311
from api.pages import rendering
from api.routes import (
    accounts,
    addresses,
    admin,
    aggregates,
    air,
    batches,
    contributors,
    health,
    home,
    imports,
    incidents,
    initiatives,
    letters,
    media,
    moderation,
    observations,
    places,
    readings,
    sms,
    voices,
)
from api.together import Together
from livinglab import __version__
from livinglab.bootstrap import Lab, open_receiver, open_sandbox
from livinglab.domain.access import ApiKey
from livinglab.errors import TooLargeError
from livinglab.services.keying import key_with
from livinglab.services.watching import Pulse

LARGEST_BODY = 64 * 1024
LARGEST_READINGS = 256 * 1024
LARGEST_FORM = 24 << 20
"""Of a form with photos."""
FORMS_AT_ONCE = 8
"""Such forms that are held in memory at once; the others are read when one is done."""
FORM_WITHIN_S = 60.0
"""How long a form may take to come, so that slow senders do not keep others out. [s]"""
AT_ONCE = 30
"""Requests answered at once. Fewer than the 40 threads that work for them: a transaction holds
the store between two turns of a thread, so it must find one although all others wait for it."""
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
    evaluations = Evaluations(lab)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            with evaluations.running():
                yield
        finally:
            app.state.postings.close()

    app = FastAPI(
        title="Living lab", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.state.evaluations = evaluations
    app.state.lab, app.state.pulse, app.state.parts = lab, pulse, dict(parts or {})
    app.state.limits = Limits(lab.settings.post_limit)
    app.state.key_limits = Limits(lab.settings.key_limit)
    app.state.wrong_keys = Limits(WRONG_KEYS)
    app.state.guesses, app.state.sign_ins = Limits(accounts.GUESSES), Limits(accounts.SIGN_INS)
    app.state.texts = Limits(lab.settings.post_limit)
    app.state.letters = Limits(letters.LETTERS)
    app.state.airs = Answers()
    app.state.postings = Together(observations.serve_postings(lab))
    app.state.receiver = open_receiver(lab)
    app.state.importers = imports.Importers(lab)
    errors.install(app)
    app.include_router(observations.forms)
    for one in (
        observations,
        batches,
        sms,
        aggregates,
        health,
        places,
        addresses,
        air,
        readings,
        incidents,
        voices,
        contributors,
        letters,
        initiatives,
        media,
        moderation,
        accounts,
        admin,
        imports,
        home,
    ):
        app.include_router(one.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "pages" / "static"))
    app.add_middleware(_Gate)
    app.add_middleware(_BodyCap)
    app.add_middleware(_Security)

    document(app)
    keys = _keys_of(lab)
    sandbox = Facade(open_sandbox(lab), keys, most=SANDBOX_MOST)
    app.mount("/open311/test", create_open311(sandbox))
    app.mount("/open311", create_open311(Facade(lab, keys)))

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        return rendering.page(request, "docs.html", api=app.openapi())

    return app


def _keys_of(lab: Lab) -> Callable[[str], ApiKey | None]:
    """Look secrets up among the keys of a lab."""

    def find(secret: str) -> ApiKey | None:
        with lab.work(write=False) as work:
            return key_with(secret, work, lab.clock.now())

    return find


class _Security:
    """Adds to every answer what protects whoever reads it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/static/vendor/"):
                    headers["Cache-Control"] = "public, max-age=31536000, immutable"
            await send(message)

        await self.app(scope, receive, protected if scope["type"] == "http" else send)


class _Gate:
    """Lets in as many requests as find a thread; the others wait without holding one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.room = CapacityLimiter(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        guest = object()
        await self.room.acquire_on_behalf_of(guest)
        inside = True

        async def leaving(message: Message) -> None:
            """Make room once the answer begins: a slow reader keeps nobody out."""
            nonlocal inside
            if inside:
                inside = False
                self.room.release_on_behalf_of(guest)
            await send(message)

        try:
            await self.app(scope, receive, leaving)
        finally:
            if inside:
                self.room.release_on_behalf_of(guest)


class _BodyCap:
    """Refuses a body that is larger than any posting, whatever its headers say."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.room = CapacityLimiter(FORMS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif forms.is_form(scope) and forms.TAKES_PHOTOS.fullmatch(scope["path"]):
            async with self.room:
                await self._capped(scope, receive, send, LARGEST_FORM, FORM_WITHIN_S)
        else:
            largest = LARGEST_READINGS if scope["path"] == "/readings" else LARGEST_BODY
            await self._capped(scope, receive, send, largest, None)

    async def _capped(
        self, scope: Scope, receive: Receive, send: Send, largest: int, within_s: float | None
    ) -> None:
        chunks, size, more = [], 0, True
        with move_on_after(within_s) as waiting:
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    return
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > largest:
                    await errors.answer(TooLargeError("the body", largest))(scope, receive, send)
                    return
                more = message.get("more_body", False)
        if waiting.cancelled_caught:
            late = errors.problem(HTTPStatus.REQUEST_TIMEOUT, "the body came too slowly")
            await late(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": b"".join(chunks)}]
        chunks.clear()

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, again, send)
