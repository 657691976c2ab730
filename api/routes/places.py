"""Places, Zones and Things: the join, as JSON and as a plain page."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api import public
from api.dependencies import LabDep, ReadDep, lab_of
from api.pages import rendering
from livinglab.bootstrap import Lab
from livinglab.domain.geometry import Box, is_point
from livinglab.domain.places import Zone
from livinglab.domain.readings import Interval
from livinglab.errors import InvalidError, NotFoundError
from livinglab.ports import UnitOfWork
from livinglab.services import joining

router = APIRouter(tags=["places"])

Limit = Annotated[int, Query(ge=1, le=1_000, description="Items a page.")]
LONGEST_S = 366 * 86_400
"""The longest period that Readings are averaged over. [s]"""
After = Annotated[str, Query(description="Key that the page before ended with.")]


def read_box(text: str | None) -> Box | None:
    """Read ``west,south,east,north`` in degrees."""
    if not text:
        return None
    try:
        west, south, east, north = (float(edge) for edge in text.split(","))
    except ValueError as error:
        raise InvalidError("bbox", "must be west,south,east,north in degrees") from error
    if not is_point(west, south) or not is_point(east, north) or west > east or south > north:
        raise InvalidError("bbox", "must be west,south,east,north, each in its range")
    return Box(west, south, east, north)


def read_time(name: str, text: str | None, default: datetime) -> datetime:
    """Read an RFC 3339 time with a zone."""
    if text is None:
        return default
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidError(name, "must be an RFC 3339 time such as 2026-01-31T08:00:00Z") from error
    if found.tzinfo is None:
        raise InvalidError(name, "must tell its zone; end it in Z or +01:00")
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise InvalidError(name, "lies outside the years 1 to 9999") from error


def next_url(request: Request, after: str) -> str:
    """Return the address of the next page, under the name that the lab has outside."""
    url = request.url.include_query_params(after=after)
    base = lab_of(request).settings.public_url
    return f"{base.rstrip('/')}{url.path}?{url.query}" if base else str(url)


@router.get("/places")
def list_places(
    request: Request,
    lab: LabDep,
    work: ReadDep,
    bbox: str | None = None,
    zone: str | None = None,
    q: str | None = None,
    limit: Limit = 100,
    after: After = "",
) -> dict[str, Any]:
    """List Places with what is measured and what is said there, by key."""
    box, now = read_box(bbox), lab.clock.now()
    found = joining.page_of_places(
        work, box=box, zone=zone or None, words=q or "", after=after, limit=limit + 1
    )
    page = joining.at_places(found[:limit], work, lab.readings, now)
    return {
        "items": [public.at_place(one, now, lab.categories) for one in page],
        "next": next_url(request, page[-1].place.key) if len(found) > limit else None,
    }


@router.get("/places/{key}/timeline")
def show_timeline(
    key: str,
    lab: LabDep,
    work: ReadDep,
    from_: Annotated[str | None, Query(alias="from")] = None,
    to: str | None = None,
    every: Annotated[int, Query(ge=1, le=LONGEST_S, description="Length of a period. [s]")] = 3_600,
) -> dict[str, Any]:
    """Tell what was measured and what was said at a Place, on one axis."""
    end = read_time("to", to, lab.clock.now())
    start = read_time("from", from_, end - timedelta(days=1))
    if start > end:
        raise InvalidError("from", "must not lie after `to`")
    found = joining.timeline(
        key,
        Interval(start, end),
        timedelta(seconds=every),
        categories=lab.categories,
        timezone=lab.city.timezone,
        now=lab.clock.now(),
        work=work,
        readings=lab.readings,
    )
    return public.timeline(found)


@router.get("/places/{key}/agreement")
def show_agreement(key: str, lab: LabDep, work: ReadDep) -> dict[str, Any]:
    """Tell whether what citizens say at a Place, and in its Zone, goes with what is measured."""
    place = joining.public_place(key, work)
    found = work.initiatives.agreements(f"place:{place.key}")
    if place.zone:
        found += work.initiatives.agreements(f"zone:{place.zone}")
    told = (public.agreement(one, lab.categories) for one in found)
    return {"items": [one for one in told if one], "next": None}


@router.get("/places/{key}")
def show_place(key: str, request: Request, lab: LabDep, work: ReadDep) -> Response:
    """Show a Place: a page for a browser, JSON for a program."""
    place = joining.public_place(key, work)
    now = lab.clock.now()
    [found] = joining.at_places([place], work, lab.readings, now)
    told = public.at_place(found, now, lab.categories)
    if "text/html" in request.headers.get("accept", ""):
        said = rendering.said_at(place.key, work, lab.categories)
        return rendering.page(request, "place.html", place=told, observations=said)
    return rendering.json_response(told)


@router.get("/zones")
def list_zones(lab: LabDep, work: ReadDep) -> dict[str, Any]:
    """List the Zones of the city."""
    return {"items": _with_totals(work.zones.all(), lab, work), "next": None}


def _with_totals(zones: Sequence[Zone], lab: Lab, work: UnitOfWork) -> list[dict[str, Any]]:
    on_paper = joining.counted(work.batches.where(zone=frozenset(one.key for one in zones)))
    return [
        {
            **public.zone(one),
            "on_paper": public.counted(on_paper.get(one.key, {}), lab.categories),
        }
        for one in zones
    ]


@router.get("/zones/{key}")
def show_zone(key: str, lab: LabDep, work: ReadDep) -> dict[str, Any]:
    """Show a Zone."""
    found = work.zones.get(key)
    if found is None:
        raise NotFoundError("Zone", key)
    [told] = _with_totals([found], lab, work)
    return told


@router.get("/things")
def list_things(
    request: Request, work: ReadDep, limit: Limit = 100, after: After = ""
) -> dict[str, Any]:
    """List the Things that may be public, by key."""
    found = [one for one in work.things.all() if one.public and one.key > after]
    page = found[:limit]
    items = [public.thing(one, work.things.datastreams([one.key])) for one in page]
    more = len(found) > limit
    return {"items": items, "next": next_url(request, page[-1].key) if more else None}


@router.get("/things/{key}")
def show_thing(key: str, work: ReadDep) -> dict[str, Any]:
    """Show a Thing."""
    found = work.things.get(key)
    if found is None or not found.public:
        raise NotFoundError("Thing", key)
    return public.thing(found, work.things.datastreams([key]))
