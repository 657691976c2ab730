"""Aggregates: what was said in a month, by Zone and theme, so that nobody can be told from it."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from api import public
from api.dependencies import ReadDep
from api.routes.places import next_url

router = APIRouter(tags=["observations"])


@router.get("/aggregates")
def list_aggregates(
    request: Request,
    work: ReadDep,
    month: Annotated[str | None, Query(pattern=r"^[12]\d{3}-(0[1-9]|1[0-2])$")] = None,
    category: Annotated[str | None, Query(max_length=80)] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    after: Annotated[int | None, Query(ge=0, description="What `next` says.")] = None,
) -> dict[str, Any]:
    """List what was published, newest first: counts rounded, in groups of Zones that hold enough.

    A month is published a week after its end and never changes. Where too few spoke in a Zone it
    is told together with others; `suppressed` where they were too few in all.
    """
    asked: dict[str, Any] = {"category": category} if category is not None else {}
    if month is not None:
        asked["month"] = date.fromisoformat(f"{month}-01")
    page = work.aggregates.where(newest_first=True, after=after, limit=limit, **asked)
    more = next_url(request, str(page[-1].number)) if len(page) == limit else None
    return {"items": [public.aggregate(one) for one in page], "next": more}
