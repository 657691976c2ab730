"""Rendering: templates with what every page needs, and numbers and ages in words."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api import public
from livinglab.bootstrap import Lab
from livinglab.domain.observations import Category
from livinglab.domain.readings import Flag
from livinglab.ports import ObservationFilter, UnitOfWork

RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})
UNITS = {
    "ug/m3": "µg/m³",
    "mg/m3": "mg/m³",
    "Cel": "°C",
    "deg": "°",
    "veh/h": "vehicles/h",
    "1": "",
    "lx": "lx",
}
"""Unit → how a person writes it, where that differs."""
_STEPS = ((60, "second"), (60, "minute"), (24, "hour"), (365, "day"))


def age(seconds: float) -> str:
    """Say how long ago something was, in the largest unit that fits."""
    left = max(0.0, seconds)
    for size, name in _STEPS:
        if left < size:
            whole = int(left)
            return f"{whole} {name}{'' if whole == 1 else 's'} ago"
        left /= size
    whole = int(left)
    return f"{whole} year{'' if whole == 1 else 's'} ago"


def quality(stream: Mapping[str, Any]) -> str:
    """Say in words what is thought of a latest Reading; nothing if it is good."""
    if stream["time"] is None:
        return "nothing heard yet"
    if stream["stale"]:
        return "not current"
    flag = Flag(stream["flag"])
    return {
        Flag.SUSPECT: "doubtful",
        Flag.FAIL: "failed its check",
        Flag.MISSING: "the sensor has no value",
        Flag.NOT_EVALUATED: "not checked",
    }.get(flag, "")


def amount(stream: Mapping[str, Any]) -> str:
    """Write a result with its unit as a person would."""
    result = stream["result"]
    if result is None:
        return "–"
    digits = 0 if abs(result) >= 100 or float(result).is_integer() else 1  # noqa: PLR2004 - three digits say enough
    unit = UNITS.get(stream["unit"] or "1", stream["unit"])  # None: nobody knows it
    return f"{result:,.{digits}f} {unit}".strip()


@lru_cache(maxsize=1)
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"age": age, "quality": quality, "amount": amount}
    return environment


def page(
    request: Request, template: str, *, in_language: str | None = None, **facts: object
) -> HTMLResponse:
    """Render a page in a language, or the city's first one, and its direction."""
    lab: Lab = request.app.state.lab
    lang = in_language or lab.city.languages[0]
    text = (
        _templates()
        .get_template(template)
        .render(
            city=lab.city,
            lang=lang,
            direction="rtl" if lang.split("-")[0] in RIGHT_TO_LEFT else "ltr",
            **facts,
        )
    )
    return HTMLResponse(text)


def json_response(
    document: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with JSON; NaN never gets this far."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return Response(text, status, dict(headers or {}), "application/json")


def said_at(
    place: str | None, work: UnitOfWork, categories: Mapping[str, Category], *, limit: int = 30
) -> list[dict[str, Any]]:
    """List what citizens said, as far as the public may read it, newest first."""
    personal = tuple(key for key, one in categories.items() if one.privacy.personal)
    which = ObservationFilter(place=place, except_categories=personal)
    page_ = work.observations.page(which, limit=limit)
    told = [said for one in page_ if (said := public.observation(one, categories))]
    for one in told:
        one["label"] = categories[one["category"]].label
    return told
