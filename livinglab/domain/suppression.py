"""Suppression: how a table of Zones is published without telling of the few in any of them.

What is told are disjoint blocks of Zones, each with at least k people behind it: nothing is told
twice, so that there is nothing to subtract. Zones with fewer than k people go into one block;
where that has too few people itself, or is one Zone, the smallest of the others joins them, which
is complementary suppression (Willenborg and de Waal, Elements of Statistical Disclosure Control,
2001, chapter 6). A Zone where nobody said anything is treated like one where few did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from livinglab.domain.privacy import public_count

LAG = timedelta(days=7)
"""How long after its end a month is published: postings that waited for a network come late."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some Zones and what may be told of them together."""

    zones: tuple[str, ...]
    n: int
    """Observations, rounded."""
    contributors: int
    """Distinct ones, rounded."""


@dataclass(eq=False, kw_only=True)
class Aggregate:
    """One Block as it was published: it never changes, whatever comes late or is taken back."""

    month: date
    """Its first day, in the city's own calendar."""
    category: str
    part: int
    """Which Block of its month and category, from 0."""
    zones: Sequence[str]
    """Empty: of this month nothing may be told."""
    n: int | None
    contributors: int | None
    k: int
    """Distinct Contributors that each Block had at least."""
    published_at: datetime
    number: int | None = None


def blocks(people: Mapping[str, Sequence[str]], k: int) -> tuple[Block, ...]:
    """Divide the Zones into Blocks that may be published; none where too few spoke in all.

    Args:
        people: Zone → who posted each Observation; Zones without any belong to it.
        k: Distinct people that a Block needs.
    """
    alone = {zone: found for zone, found in people.items() if len(set(found)) >= k}
    rest = sorted(set(people) - set(alone))
    if rest:
        by_size = sorted(alone, key=lambda zone: (len(set(alone[zone])), zone), reverse=True)
        while by_size and (len(rest) == 1 or len(_together(rest, people)) < k):
            joining = by_size.pop()
            rest.append(joining)
            del alone[joining]
        if len(rest) == 1 or len(_together(rest, people)) < k:
            rest = []
    divided = [(zone,) for zone in sorted(alone)]
    return tuple(_block(zones, people, k) for zones in [*divided, tuple(sorted(rest))] if zones)


def _together(zones: Sequence[str], people: Mapping[str, Sequence[str]]) -> set[str]:
    return {who for zone in zones for who in people[zone]}


def _block(zones: tuple[str, ...], people: Mapping[str, Sequence[str]], k: int) -> Block:
    n = sum(len(people[zone]) for zone in zones)
    told = public_count(n, len(_together(zones, people)), k=k)
    return Block(zones, told.n or 0, told.contributors or 0)
