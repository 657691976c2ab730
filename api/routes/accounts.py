"""Accounts: staff sign in with a password and a second factor, and look after both."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api import public
from api.dependencies import (
    LabDep,
    ReadDep,
    cookie_name,
    lab_of,
    network_of,
    signed_in,
)
from api.pages.rendering import json_response
from livinglab.domain.staff import LONGEST, LONGEST_PASSWORD, StaffMember
from livinglab.errors import UnauthorizedError
from livinglab.services import signing_in

router = APIRouter(tags=["accounts"])

GUESSES = 5
"""That one network may make a minute at one login, so that no other network is kept out."""
SIGN_INS = 30
"""That one network may try a minute at all logins together."""
PRIVATE = {"Cache-Control": "no-store"}
WRONG = "login, password or code is wrong; after several wrong codes, wait a quarter of an hour"

Password = Annotated[str, Field(min_length=1, max_length=LONGEST_PASSWORD)]
Code = Annotated[str, Field(max_length=20, description="Six digits that the app shows.")]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SignIn(_In):
    """Who somebody is, and what proves it."""

    login: str = Field(min_length=1, max_length=64)
    password: Password
    code: Code | None = None


class Proof(_In):
    """One's password, once more: a session may have been left open."""

    password: Password


class Shown(_In):
    """A code of the second factor that was just set up."""

    code: Code


class Change(_In):
    """One's password, and the next one."""

    password: Password
    new: str = Field(max_length=LONGEST_PASSWORD)


@router.post("/sign-in")
def sign_in(body: SignIn, request: Request, lab: LabDep) -> Response:
    """Open a session: a cookie for the browser, and `csrf` for what its pages change."""
    kept = _proven(request, body.login, body.password)
    with lab.work() as work:
        if before := request.cookies.get(cookie_name(request)):
            signing_in.sign_out(before, work)
        token = signing_in.sign_in(
            body.login, kept, body.code, work=work, vault=lab.vault, now=lab.clock.now()
        )
        found = signing_in.member(body.login, work)
    if token is None:  # only now, so that the wrong code is counted
        raise UnauthorizedError(WRONG)
    return _opened(request, found, token)


@router.post("/sign-out")
def sign_out(request: Request, lab: LabDep) -> Response:
    """End one's session."""
    with lab.work() as work:
        signed_in(request, work)
        signing_in.sign_out(request.cookies[cookie_name(request)], work)
    answer = json_response({}, 200, PRIVATE)
    answer.delete_cookie(cookie_name(request), secure=_secure(request), httponly=True)
    return answer


@router.get("/account")
def show_account(request: Request, work: ReadDep) -> Response:
    """Show who one is here."""
    staff, _ = signed_in(request, work)
    guard = signing_in.guard_of(request.cookies[cookie_name(request)])
    return json_response(public.account(staff, guard), 200, PRIVATE)


@router.post("/account/second-factor")
def begin_second_factor(body: Proof, request: Request, lab: LabDep) -> Response:
    """Set a second factor up: its secret is told once, and counts when a code was shown."""
    _prove(request, body.password)
    with lab.work() as work:
        staff, _ = signed_in(request, work)
        secret, uri = signing_in.begin_second_factor(staff, lab.city.name, lab.vault)
    return json_response({"secret": secret, "uri": uri}, 200, PRIVATE)


@router.post("/account/second-factor:confirm")
def confirm_second_factor(body: Shown, request: Request, lab: LabDep) -> Response:
    """Show a code of it; from now on it is asked for, and all other sessions end."""
    with lab.work() as work:
        staff, _ = signed_in(request, work)
        token = signing_in.confirm_second_factor(
            staff, body.code, work=work, vault=lab.vault, now=lab.clock.now()
        )
    if token is None:
        raise UnauthorizedError(WRONG)
    return _opened(request, staff, token)


@router.post("/account/password")
def change_password(body: Change, request: Request, lab: LabDep) -> Response:
    """Take another password; all other sessions end."""
    _prove(request, body.password)
    with lab.work() as work:
        staff, _ = signed_in(request, work)
        token = signing_in.change_password(staff, body.new, work=work, now=lab.clock.now())
    return _opened(request, staff, token)


def _proven(request: Request, login: str, password: str) -> str:
    """Return the hash of a password that is right.

    Raises:
        LimitExceededError: Too many guesses came from there; not even a right one is looked at.
        UnauthorizedError: It is wrong, or there is no such login, which nobody learns.
    """
    network, state = network_of(request), request.app.state
    state.sign_ins.take(network, "attempts")
    state.guesses.take(f"{login.strip().casefold()} {network}", "attempts")
    kept = signing_in.proven(login, password, lab_of(request).civic)
    if kept is None:
        raise UnauthorizedError(WRONG)
    return kept


def _prove(request: Request, password: str) -> None:
    """Make sure that whoever sits there is whoever signed in."""
    with lab_of(request).work(write=False) as work:
        staff, _ = signed_in(request, work)
        login = staff.login
    _proven(request, login, password)


def _opened(request: Request, staff: StaffMember, token: str) -> Response:
    told: dict[str, Any] = public.account(staff, signing_in.guard_of(token))
    answer = json_response(told, 200, PRIVATE)
    answer.set_cookie(
        cookie_name(request),
        token,
        max_age=int(LONGEST.total_seconds()),
        path="/",
        secure=_secure(request),
        httponly=True,
        samesite="strict",
    )
    return answer


def _secure(request: Request) -> bool:
    return request.url.scheme == "https"
