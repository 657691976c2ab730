"""Addresses: a way to a Place for whoever cannot or will not point at a map."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from api import public
from api.dependencies import LabDep, count_search, key_of
from livinglab.domain.addresses import LONGEST_SEARCH, MOST_FOUND
from livinglab.services.locating import search

router = APIRouter(tags=["places"])


@router.get("/addresses")
def list_addresses(
    request: Request,
    lab: LabDep,
    q: Annotated[str, Query(min_length=1, max_length=LONGEST_SEARCH)],
    limit: Annotated[int, Query(ge=1, le=MOST_FOUND)] = 8,
) -> dict[str, Any]:
    """Look an address up, typing errors and all: candidates, the best first."""
    with lab.work(write=False) as work:
        count_search(request, key_of(request, work))
    found = search(q, lab.gazetteer, lab.civic, limit=limit)
    return {"items": [public.address(one) for one in found], "next": None}
