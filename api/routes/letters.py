"""Letters: an address that somebody proves to read, what they hear of, and how it ends."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from api.dependencies import LabDep, ReadDep, TokenDep, WriteDep, network_of
from api.pages import rendering
from api.pages.rendering import json_response
from api.routes.contributors import PRIVATE, own
from livinglab.bootstrap import Lab, office_of
from livinglab.domain.notices import Topic
from livinglab.errors import UnauthorizedError, UnavailableError
from livinglab.ports import Mailer
from livinglab.services import mailing, notifying
from livinglab.services.mailing import Office

router = APIRouter(tags=["contributors"])

LETTERS = 5
"""Codes that one network may have sent a minute, and one device or address."""
Email = Annotated[
    str, Field(pattern=r"^[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\"]+$", max_length=254)
]
Lang = Annotated[str | None, Field(max_length=20, description="en, es, fr or ar")]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EmailIn(_In):
    """An address that somebody says they read."""

    email: Email
    lang: Lang = None


class CodeIn(EmailIn):
    """What was sent there."""

    code: str = Field(min_length=1, max_length=20)


class TopicsIn(_In):
    """What somebody wants to hear of."""

    topics: list[Topic] = Field(max_length=len(Topic))


@router.post("/me/email", status_code=202)
def begin_email(body: EmailIn, request: Request, lab: LabDep, token: TokenDep = None) -> Response:
    """Have a code sent to an address; it is kept once the code was shown."""
    office, mailer = _office(lab)
    limits = request.app.state.letters
    limits.take(f"network {network_of(request)}", "letters")
    limits.take(f"address {mailing.normal(body.email)}", "letters")
    with lab.work() as work:
        who = own(token, work)
        lang = mailing.checked_lang(body.lang, lab.city)
        letter = mailing.begin_email(who, body.email, lang, office, work, lab.clock.now())
    mailer.send(letter)
    return json_response({"sent": True}, 202, PRIVATE)


@router.post("/me/email/verify")
def confirm_email(body: CodeIn, lab: LabDep, token: TokenDep = None) -> Response:
    """Show the code: from now on one letter a day tells what is new."""
    with lab.work() as work:
        who = own(token, work)
        kept = mailing.confirm_email(
            who,
            body.email,
            body.code,
            mailing.checked_lang(body.lang, lab.city),
            work=work,
            vault=lab.vault,
            now=lab.clock.now(),
        )
    if not kept:  # only now, so that the wrong code is counted
        raise UnauthorizedError("this code is wrong or too old; ask for another one")
    return json_response({"verified": True}, 200, PRIVATE)


@router.delete("/me/email")
def forget_email(lab: LabDep, work: WriteDep, token: TokenDep = None) -> dict[str, Any]:
    """Have one's address forgotten; no letters come any more."""
    return {"forgotten": lab.vault.close_mailbox(own(token, work).pseudonym)}


@router.get("/me/topics")
def show_topics(work: ReadDep, token: TokenDep = None) -> dict[str, Any]:
    """Show what one hears of."""
    return _topics(set(Topic) - notifying.unwanted(own(token, work).pseudonym, work))


@router.put("/me/topics")
def put_topics(
    body: TopicsIn, lab: LabDep, work: WriteDep, token: TokenDep = None
) -> dict[str, Any]:
    """Say what one wants to hear of."""
    notifying.choose(own(token, work).pseudonym, body.topics, work, lab.clock.now())
    return _topics(set(body.topics))


@router.get("/unsubscribe/{token}", include_in_schema=False)
def ask_to_end(token: str, request: Request, lab: LabDep) -> HTMLResponse:
    """Ask before letters end, as mail programs follow links by themselves."""
    return _page(request, token, lab, "asked")


@router.post("/unsubscribe/{token}", include_in_schema=False)
def end_letters(token: str, request: Request, lab: LabDep) -> HTMLResponse:
    """End all letters, without further ado (RFC 8058)."""
    told = _page(request, token, lab, "done")
    if (found := lab.vault.mailbox_of(token)) is not None:
        lab.vault.close_mailbox(found.pseudonym)
    return told


def _page(request: Request, token: str, lab: Lab, state: str) -> HTMLResponse:
    found = lab.vault.mailbox_of(token)
    lang = found.lang if found is not None else lab.city.languages[0]
    return rendering.page(
        request,
        "unsubscribe.html",
        in_language=lang,
        told=mailing.words(lang),
        state=state if found is not None else "unknown",
    )


def _topics(wanted: set[Topic]) -> dict[str, Any]:
    return {"topics": [one.value for one in Topic if one in wanted]}


def _office(lab: Lab) -> tuple[Office, Mailer]:
    found = office_of(lab)
    if found is None or found.mailer is None:
        raise UnavailableError("mail", "is not set up: this lab sends no letters")
    return found, found.mailer
