"""Locating: an address in words is a way to a Place as good as a pin on the map."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from livinglab.domain.addresses import LONGEST_SEARCH, Located, clearly_meant
from livinglab.domain.addresses import Known as KnownAddress
from livinglab.domain.places import JoinMethod, Place, PlaceIndex
from livinglab.errors import AddressUnclearError, InvalidError
from livinglab.ports import CivicStore, Gazetteer
from livinglab.services.grounding import stands_for_zone, whole
from livinglab.services.joining import public_places, visible
from livinglab.services.observing import Draft

REACH_M = 100.0
"""How far a Place may be from an address and still be shown beside it. [m]"""
MOST_NAMED = 8
"""Candidates that a refusal names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A candidate with the Place that it would lead to."""

    located: Located
    place: Place | None
    distance_m: float | None


def known_names(civic: CivicStore) -> Iterator[KnownAddress]:
    """Yield the names of public Places, and of Zones, which stand for themselves."""
    with civic.work(write=False) as work:
        zones = [whole(one) for one in work.zones.all()]
        places = [one for one in public_places(work) if not stands_for_zone(one)]
    for one in (*places, *zones):
        yield KnownAddress(one.name, one.point, one.key)


def search(words: str, gazetteer: Gazetteer, civic: CivicStore, *, limit: int) -> list[Address]:
    """List candidates for an address, the best first, each with the Place nearest to it.

    Raises:
        UnavailableError: Whoever knows addresses does not answer.
    """
    found = gazetteer.find(words, limit=limit)
    keys = {one.place for one in found if one.place is not None}
    spots = [(one.point, REACH_M) for one in found if one.place is None]
    with civic.work(write=False) as work:
        named = {one.key: one for one in visible(work.places.several(keys).values(), work)}
        named |= {one.key: one for one in map(whole, work.zones.all()) if one.key in keys}
        around = visible(work.places.around(spots), work) if spots else []
    index = PlaceIndex(one for one in around if not stands_for_zone(one))
    return [_beside(one, named, index) for one in found if one.place in {None, *named}]


def _beside(one: Located, named: dict[str, Place], index: PlaceIndex) -> Address:
    if one.place is not None:
        return Address(located=one, place=named[one.place], distance_m=0.0)
    joined = index.join(one.point, method=JoinMethod.ADDRESS, reach_m=REACH_M)
    if joined is None:
        return Address(located=one, place=None, distance_m=None)
    return Address(located=one, place=index.get(joined.place), distance_m=joined.distance_m)


def needs_looking_up(draft: Draft) -> bool:
    """Tell whether an address is all that says where a posting belongs."""
    return bool(draft.point is None and draft.place is None and (draft.address or "").strip())


def looked_up(draft: Draft, gazetteer: Gazetteer, civic: CivicStore) -> Draft:
    """Find out where a posting belongs that says it by an address alone; others stay as they are.

    It asks other machines, so it is called before a transaction begins. What was posted before is
    not looked up again: its answer is known.

    Raises:
        InvalidError: No such address is known, or it is too long.
        AddressUnclearError: Several could be meant.
        UnavailableError: Whoever knows addresses does not answer.
    """
    if not needs_looking_up(draft):
        return draft
    address = draft.address or ""
    if len(address) > LONGEST_SEARCH:
        raise InvalidError(
            "address", f"{LONGEST_SEARCH} characters at the most, or give a point [lon, lat]"
        )
    with civic.work(write=False) as work:
        if work.observations.posted_as(draft.source, [str(draft.client_key)]):
            return draft
    found = gazetteer.find(address, limit=MOST_NAMED)
    meant = clearly_meant(found)
    if meant is None:
        raise _unclear(found)
    return replace(draft, located=meant)


def _unclear(found: Sequence[Located]) -> InvalidError:
    if not found:
        return InvalidError(
            "address",
            "is not known here; give a position, the key of a place, or look for another spelling "
            "with GET /addresses",
        )
    return AddressUnclearError(
        tuple(
            {
                "label": one.label,
                "point": list(one.point),
                "place": one.place,
                "score": one.score,
            }
            for one in found
        )
    )
