"""SMS: a gateway hands messages over, and takes the answers back to their senders."""

import json
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.dependencies import BodyDep, LabDep
from api.pages.rendering import json_response
from livinglab.bootstrap import Lab
from livinglab.domain.addresses import Located
from livinglab.domain.texting import LONGEST
from livinglab.errors import (
    ClientKeyReusedError,
    ConflictError,
    InvalidError,
    UnauthorizedError,
    UnavailableError,
)
from livinglab.services import texting

router = APIRouter(tags=["observations"])

Number = Annotated[str, Field(pattern=r"^\+?[0-9]{3,20}$")]


class MessageIn(BaseModel):
    """A message as the gateway received it."""

    model_config = ConfigDict(extra="ignore")

    id: str = Field(min_length=1, max_length=200, description="How the gateway names it: once.")
    sender: Number = Field(alias="from")
    text: str = Field(max_length=LONGEST)
    lang: str | None = Field(default=None, max_length=20)


BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": MessageIn.model_json_schema()}},
    }
}


@router.post("/sms", openapi_extra=BODY)
def post_sms(body: BodyDep, request: Request, lab: LabDep) -> Response:
    """Take a message, signed in `X-Signature` over `X-Timestamp`, a full stop and the body.

    The answer's `reply` goes back to the sender. The same `id` again changes nothing and gets the
    same reply.
    """
    secret = lab.settings.sms_secret()
    if not secret:
        raise UnavailableError("SMS", "is not set up: this lab takes no short messages")
    stamp, signature = (request.headers.get(name, "") for name in ("x-timestamp", "x-signature"))
    if not texting.is_genuine(body, stamp, signature, secret, lab.clock.now()):
        raise UnauthorizedError("this is not signed by the gateway, or too long ago")
    told = _read(body)
    message = texting.Incoming(id=told.id, sender=told.sender, text=told.text, lang=told.lang)
    desk = texting.Desk(
        city=lab.city,
        categories=lab.categories,
        gazetteer=lab.gazetteer,
        vault=lab.vault,
        secret=secret,
    )
    request.app.state.texts.take(f"number {told.sender}", "messages")
    found = texting.addresses(message, desk, lab.civic)
    try:
        reply = _answer(message, found, desk, lab)
    except ClientKeyReusedError:
        raise
    except ConflictError:  # the same message was answered at the same time: now it is known
        reply = _answer(message, found, desk, lab)
    return json_response({"reply": reply})


def _answer(
    message: texting.Incoming, found: Sequence[Located], desk: texting.Desk, lab: Lab
) -> str:
    with lab.work() as work:
        return texting.answer(message, found, desk, work=work, now=lab.clock.now())


def _read(body: bytes) -> MessageIn:
    try:
        return MessageIn.model_validate(json.loads(body))
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"]) or "body"
        raise InvalidError(path, first["msg"]) from error
    except (ValueError, RecursionError) as error:
        raise InvalidError("body", "is no JSON") from error
