"""The first page: Places with what is measured and said there, as a map and as a list."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api import public
from api.dependencies import LabDep, ReadDep
from api.pages import rendering
from livinglab.bootstrap import Lab
from livinglab.ports import UnitOfWork
from livinglab.services import joining

router = APIRouter(include_in_schema=False)

MOST_PLACES = 300


@router.get("/")
def home(request: Request, lab: LabDep, work: ReadDep) -> HTMLResponse:
    """Show the city."""
    return rendering.page(request, "home.html", **_facts(lab, work))


@router.get("/fragments/home")
def fragment(request: Request, lab: LabDep, work: ReadDep) -> HTMLResponse:
    """Show only what changes on the page, for its script to put in place."""
    return rendering.page(request, "places.html", **_facts(lab, work))


def _facts(lab: Lab, work: UnitOfWork) -> dict[str, Any]:
    now = lab.clock.now()
    every = joining.public_places(work)
    zones = {zone.key: zone for zone in work.zones.all()}
    found = joining.at_places(every[:MOST_PLACES], work, lab.readings, now)
    told = [public.at_place(one, now, lab.categories) for one in found]
    shown = [one for one in told if one["datastreams"] or one["observations"]]
    names = {place.key: place.name for place in every}
    said = rendering.said_at(None, work, lab.categories, limit=20)
    for one in said:
        one["place_name"] = names.get(one["place"], one["place"])
        one["age_s"] = (now - datetime.fromisoformat(one["occurred_at"])).total_seconds()
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in shown:
        zone = zones.get(one["zone"] or "")
        groups.setdefault(zone.name if zone else "Elsewhere", []).append(one)
    return {
        "groups": sorted(groups.items()),
        "n_places": len(shown),
        "n_more": max(0, len(every) - MOST_PLACES),
        "n_streams": sum(len(one["datastreams"]) for one in shown),
        "zones": [public.zone(zone) for zone in zones.values()],
        "observations": said,
        "now": public.time(now),
    }
