"""Calls that wait at the same time: each gets its own answer, whatever the others do."""

import asyncio
from threading import Event
from uuid import uuid4

from api.together import Together
from livinglab.domain.geometry import Point
from livinglab.errors import (
    ClientKeyReusedError,
    ConflictError,
    InvalidError,
    NotFoundError,
    StoreUnavailableError,
)
from livinglab.services.observing import Draft, observe_all


def served(serve, calls):
    """Hold the first call until the others wait; return what became of each, and the groups."""
    groups, begun, go_on = [], Event(), Event()

    def holding(some):
        groups.append(list(some))
        begun.set()
        go_on.wait(10)
        return serve(some)

    async def all_of_them():
        together = Together(holding)
        first = asyncio.create_task(together.call(calls[0]))
        await asyncio.to_thread(begun.wait, 10)
        rest = [asyncio.create_task(together.call(one)) for one in calls[1:]]
        await asyncio.sleep(0)  # each has put itself among those that wait
        go_on.set()
        found = await asyncio.gather(first, *rest, return_exceptions=True)
        together.close()
        return found

    return asyncio.run(all_of_them()), groups


def test_who_waits_is_served_together():
    """One call was alone; the four that came meanwhile share a transaction."""
    found, groups = served(lambda some: [one * 2 for one in some], [1, 2, 3, 4, 5])

    assert [2, 4, 6, 8, 10] == found
    assert [[1], [2, 3, 4, 5]] == groups


def test_an_error_of_one_is_its_own():
    """What is wrong with one call is told to it alone, in the same transaction."""
    wrong = InvalidError("point", "is no point")
    found, groups = served(lambda some: [wrong if one == 3 else one for one in some], [1, 2, 3, 4])

    assert [1, 2, wrong, 4] == found
    assert [[1], [2, 3, 4]] == groups


def test_what_breaks_them_all_costs_only_one():
    """Where the transaction breaks, each is served in one of its own."""

    def breaks(some):
        if 3 in some:
            raise ConflictError("taken meanwhile")
        return some

    found, groups = served(breaks, [1, 2, 3, 4])

    assert [1, 2, 4] == [one for one in found if isinstance(one, int)]
    assert isinstance(found[2], ConflictError)
    assert [[1], [2, 3, 4], [2], [3], [4]] == groups


def test_a_store_that_is_away_is_asked_once():
    """Nobody waits for it again and again: all that waited are told."""

    def away(some):
        if some != [1]:
            raise StoreUnavailableError("civic data", "is away", "start it")
        return some

    found, groups = served(away, [1, 2, 3])

    assert [1, "StoreUnavailableError", "StoreUnavailableError"] == [
        one if isinstance(one, int) else type(one).__name__ for one in found
    ]
    assert [[1], [2, 3]] == groups


def test_who_went_away_is_not_served():
    """A call whose sender is gone before its turn is left out."""
    groups, begun, go_on = [], Event(), Event()

    def holding(some):
        groups.append(list(some))
        begun.set()
        go_on.wait(10)
        return some

    async def run():
        together = Together(holding)
        first = asyncio.create_task(together.call(1))
        await asyncio.to_thread(begun.wait, 10)
        gone, stays = (asyncio.create_task(together.call(one)) for one in (2, 3))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, gone, stays, return_exceptions=True)
        together.close()

    asyncio.run(run())

    assert [[1], [3]] == groups


KEY, TOKEN = uuid4(), "t" * 22
SPOT = Point(6.05, 45.05)


def a_draft(**facts):
    """A posting about the square."""
    return Draft(**({"client_key": uuid4(), "category": "street", "point": SPOT} | facts))


def test_postings_of_one_transaction_keep_their_own_outcome(lab):
    """Twice the same, the key with other words, wrong ones between: neighbours lose nothing."""
    drafts = [
        (a_draft(client_key=KEY, text="Hole"), TOKEN),
        (a_draft(category="nonsense"), TOKEN),
        (a_draft(client_key=KEY, text="Hole"), TOKEN),
        (a_draft(client_key=KEY, text="Other"), TOKEN),
        (a_draft(incident=uuid4(), point=Point(6.09, 45.09)), "u" * 22),
        (a_draft(text="Hole"), None),
    ]
    with lab.work() as work:
        found = observe_all(drafts, categories=lab.categories, work=work, now=lab.clock.now())
    first, nonsense, again, other, lost, stranger = found
    with lab.work(write=False) as work:
        assert 2 == work.observations.count()
        posted = work.observations.get(first[0].id)
        assert work.incidents.one(id=posted.incident) is not None
        assert 1 == len(work.observations.links(posted.id))
        assert 1 == len(work.observations.events(posted.id))
        people = {work.observations.get(one[0].id).contributor for one in (first, stranger)}
        places = {one.key for one in work.places.all()}

    assert first[1]
    assert not again[1]
    assert first[0].id == again[0].id
    assert stranger[1]
    assert 2 == len(people)
    assert [InvalidError, ClientKeyReusedError, NotFoundError] == [
        type(one) for one in (nonsense, other, lost)
    ]
    assert {"square", "bridge"} == places  # the one that failed made none


def test_one_person_shows_at_one_point_within_a_transaction(lab):
    """Two pins of one device at one Place, sent at once, show at the first; a stranger does not."""
    drafts = [
        (a_draft(point=Point(6.05001, 45.05001)), TOKEN),
        (a_draft(point=Point(6.04999, 45.04999)), TOKEN),
        (a_draft(point=Point(6.04998, 45.04998)), None),
    ]
    with lab.work() as work:
        found = observe_all(drafts, categories=lab.categories, work=work, now=lab.clock.now())
        later = observe_all(
            [(a_draft(point=Point(6.05002, 45.05002)), TOKEN)],
            categories=lab.categories,
            work=work,
            now=lab.clock.now(),
        )
    shown = [one.public_point for one, _ in found + later]

    assert shown[0] == shown[1] == shown[3] == Point(6.05001, 45.05001)
    assert shown[2] == Point(6.04998, 45.04998)
