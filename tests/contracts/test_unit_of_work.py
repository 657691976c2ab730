"""What every CivicStore promises."""

import threading
from datetime import UTC, date, datetime, timedelta, timezone
from math import cos, radians
from typing import Any
from uuid import uuid4

import pytest

from livinglab.domain.access import ApiKey
from livinglab.domain.contributors import Contributor, Trust
from livinglab.domain.geometry import METRES_PER_DEGREE, Box, Point
from livinglab.domain.incidents import Incident, IncidentLink, Membership, Phase
from livinglab.domain.indicators import (
    AgreementFound,
    Effect,
    EvaluationJob,
    Expected,
    Hypothesis,
    JobState,
    Picture,
    Transform,
)
from livinglab.domain.initiatives import Disturbance, Initiative, InitiativeArea, Role
from livinglab.domain.ledger import LedgerLine, Quarantined, QuarantineState, Tally
from livinglab.domain.observations import (
    Channel,
    Observation,
    ObservationKind,
    PlaceLink,
    Status,
    StatusEvent,
    Visibility,
)
from livinglab.domain.places import JoinMethod, Place, Zone, ZoneKind
from livinglab.domain.quality import Mark, QualityVersion, Skew
from livinglab.domain.readings import Interval, Replacement
from livinglab.domain.things import Datastream, Location, Thing, ThingState
from livinglab.errors import ConflictError
from livinglab.ports import CivicStore, ObservationFilter, Posting

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def a_place(key: str = "square") -> Place:
    return Place(key=key, name=key.title(), lon=6.05, lat=45.05)


def a_thing(external_id: str = "post") -> Thing:
    return Thing(
        scheme="lab",
        external_id=external_id,
        state=ThingState.PROVISIONAL,
        route="lab",
        introduced_at=NOW,
    )


def an_observation(**facts: object) -> Observation:
    usual: dict[str, object] = {
        "id": uuid4(),
        "contributor": "somebody",
        "source": "api",
        "client_key": str(uuid4()),
        "body_sha256": "0" * 64,
        "kind": ObservationKind.PROBLEM,
        "category": "air",
        "channel": Channel.WEB,
        "assisted": False,
        "text": "words",
        "lang": "en",
        "severity": 2,
        "occurred_at": NOW,
        "submitted_at": None,
        "received_at": NOW,
        "skew_s": None,
        "time_corrected": False,
        "place": "square",
        "method": JoinMethod.PIN,
        "distance_m": 1.0,
        "confidence": 1.0,
        "lon": 6.05,
        "lat": 45.05,
        "accuracy_m": None,
        "public_lon": 6.05,
        "public_lat": 45.05,
        "visibility": Visibility.PUBLIC,
    }
    return Observation(**(usual | facts))  # type: ignore[arg-type]  # facts are checked by use


def prepare(store: CivicStore) -> None:
    """Enter somebody and somewhere for Observations to refer to."""
    with store.work() as work:
        work.places.add(a_place())
        work.places.add(a_place("bridge"))
        work.contributors.add(Contributor(pseudonym="somebody", created_at=NOW))


def test_a_clean_exit_keeps_and_an_error_undoes(store):
    """All of a transaction, or nothing."""
    with store.work() as work:
        work.places.add(a_place())
    with pytest.raises(RuntimeError), store.work() as work:  # noqa: PT012 - the work must be under way
        work.places.add(a_place("bridge"))
        work.places.get("square").name = "Changed"
        raise RuntimeError
    with store.work(write=False) as work:
        found = [(place.key, place.name) for place in work.places.all()]

    assert [("square", "Square")] == found


def test_changes_of_loaded_entities_are_kept(store):
    """Nobody has to say save."""
    with store.work() as work:
        work.things.add([a_thing()])
    with store.work() as work:
        work.things.get("lab:post").state = ThingState.CONFIRMED
    with store.work(write=False) as work:
        assert ThingState.CONFIRMED is work.things.get("lab:post").state


def test_reading_keeps_nothing(store):
    """A change within write=False is gone afterwards."""
    with store.work() as work:
        work.things.add([a_thing()])
    with store.work(write=False) as work:
        work.things.get("lab:post").state = ThingState.RETIRED
    with store.work(write=False) as work:
        assert ThingState.PROVISIONAL is work.things.get("lab:post").state


def test_the_same_entity_is_the_same_object(store):
    """Within one transaction two questions get one answer."""
    with store.work() as work:
        work.things.add([a_thing()])
        assert work.things.get("lab:post") is work.things.get("lab:post")


def test_entities_outlive_their_transaction(store):
    """What was loaded may be read after the work is done."""
    with store.work() as work:
        work.places.add(a_place())
    with store.work(write=False) as work:
        place = work.places.get("square")

    assert 6.05 == place.lon


@pytest.mark.parametrize("what", ["place", "thing", "client_key", "key"])
def test_what_must_be_unique_is(store, what):
    """The second of the same key is a conflict, and costs the first nothing."""
    prepare(store)

    def add() -> None:
        with store.work() as work:
            if what == "place":
                work.places.add(a_place("new"))
            elif what == "thing":
                work.things.add([a_thing()])
            elif what == "client_key":
                work.observations.add(an_observation(client_key="same"))
            else:
                key = ApiKey(name="n", secret_sha256="1" * 64, scopes="read", created_at=NOW)
                work.keys.add(key)

    add()
    with pytest.raises(ConflictError):
        add()


def test_version_grows_with_every_change_of_the_registry(store):
    """Things, Datastreams, Locations, Places and changed states move it; Observations do not."""
    versions = []

    def look() -> None:
        with store.work(write=False) as work:
            versions.append(work.things.version())

    look()
    prepare(store)
    look()
    with store.work() as work:
        work.things.add([a_thing()])
    look()
    with store.work() as work:
        stream = Datastream(thing="lab:post", observed_property="no2", introduced_at=NOW)
        work.things.add_datastreams([stream])
    look()
    with store.work() as work:
        work.things.add_locations([Location(thing="lab:post", lon=6, lat=45, since=NOW)])
    look()
    with store.work() as work:
        work.things.get("lab:post").state = ThingState.CONFIRMED
    look()
    with store.work() as work:
        work.observations.add(an_observation())
    look()

    assert sorted(set(versions)) == versions[:-1]
    assert versions[-1] == versions[-2]


def test_datastream_numbers_are_given_and_never_twice(store):
    """A transaction that was undone uses no number up for somebody else's series."""
    with store.work() as work:
        work.things.add([a_thing()])

    def stream(name: str) -> Datastream:
        return Datastream(thing="lab:post", observed_property=name, introduced_at=NOW)

    first, second = stream("no2"), stream("o3")
    with store.work() as work:
        work.things.add_datastreams([first])
    with pytest.raises(RuntimeError), store.work() as work:  # noqa: PT012 - the work must be under way
        work.things.add_datastreams([stream("pm10")])
        raise RuntimeError
    with store.work() as work:
        work.things.add_datastreams([second])
        keys = [one.key for one in work.things.datastreams(["lab:post"])]

    assert first.number is not None
    assert second.number is not None
    assert first.number < second.number
    assert ["lab:post:no2", "lab:post:o3"] == keys


def test_writers_wait_for_each_other(store):
    """A hundred additions from four threads are a hundred: none lost, none refused."""
    with store.work() as work:
        work.ledger.add([LedgerLine("lab", date(2026, 3, 2), Tally())])
        work.things.add([a_thing()])
    failures: list[Exception] = []

    def add() -> None:
        try:
            for _ in range(25):
                with store.work() as work:
                    thing = work.things.get("lab:post")
                    thing.name = str(int(thing.name or 0) + 1)
                    work.ledger.add([LedgerLine("lab", date(2026, 3, 2), Tally(messages=1))])
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    with store.work(write=False) as work:
        [line] = work.ledger.lines()
        counted = work.things.get("lab:post").name

    assert [] == failures
    assert (100, "100") == (line.tally.messages, counted)


def test_ledger_adds_up_by_route_and_day(store):
    """Counts are added to what is there; days are apart."""
    today, before = date(2026, 3, 2), date(2026, 3, 1)
    for _ in range(2):
        with store.work() as work:
            work.ledger.add(
                [
                    LedgerLine("lab", today, Tally(messages=3, decoded=2, quarantined_messages=1)),
                    LedgerLine("lab", before, Tally(messages=1, decoded=1)),
                ]
            )
    with store.work(write=False) as work:
        found = [(one.day, one.tally.messages, one.tally.decoded) for one in work.ledger.lines()]
        since = work.ledger.lines(today)

    assert [(before, 2, 2), (today, 6, 4)] == found
    assert [today] == [one.day for one in since]


def refused(**facts: object) -> Quarantined:
    usual: dict[str, object] = {
        "reason": "bad_json",
        "detail": "nothing",
        "route": "lab",
        "topic": b"lab/x/no2",
        "payload": b"{",
        "sha256": "2" * 64,
        "size": 1,
        "header": 0x32,
        "whole": True,
        "readings": 0,
        "first_seen": NOW,
        "last_seen": NOW,
    }
    return Quarantined(**(usual | facts))  # type: ignore[arg-type]  # facts are checked by use


def test_quarantine_counts_on(store):
    """The same message for the same reason is one row, seen again; it waits again, too."""
    later = NOW + timedelta(hours=1)
    with store.work() as work:
        work.quarantine.keep([refused()])
    with store.work() as work:
        work.quarantine.page()[0].state = QuarantineState.DROPPED
    with store.work() as work:
        again = refused(first_seen=later, last_seen=later)
        work.quarantine.keep([again, refused(reason="future", whole=False, readings=2)])
    with store.work(write=False) as work:
        one, other = work.quarantine.page()
        counts, size = work.quarantine.counts(), work.quarantine.size()
        only = work.quarantine.page(reason="future")
        after = work.quarantine.page(after=one.number)

    assert (2, NOW, later, QuarantineState.WAITING) == (
        one.count,
        one.first_seen,
        one.last_seen,
        one.state,
    )
    assert {("lab", "bad_json"): 1, ("lab", "future"): 1} == counts
    assert 2 == size
    assert [other.number] == [each.number for each in only] == [each.number for each in after]


def test_aliases_are_those_defined_last(store):
    """A rebirth replaces all; senders and schemes do not mix; numbers have 64 bits with sign."""
    with store.work() as work:
        work.aliases.put("plc", "edge", {1: "old", 2: "gone"})
        work.aliases.put("plc", "other", {1: "another's"})
    with store.work() as work:
        work.aliases.put("plc", "edge", {1: "new", -(2**63): "least", 2**63 - 1: "greatest"})
    with store.work(write=False) as work:
        told = work.aliases.of("plc", "edge")

        assert {1: "new", -(2**63): "least", 2**63 - 1: "greatest"} == told
        assert {1: "another's"} == work.aliases.of("plc", "other")
        assert {} == work.aliases.of("opc", "edge")


def test_receive_log_tells_the_last_arrival(store):
    """A message that came again keeps its key; what is old is forgotten."""
    one, other = (b"lab/x/no2", "3" * 64), (b"lab/y/no2", "3" * 64)
    with store.work() as work:
        work.receive_log.remember([(*one, 1_000), (*other, 2_000)])
        work.receive_log.remember([(*one, 3_000)])
    with store.work() as work:
        found = work.receive_log.recall([one, other, (b"z", "4" * 64)])
        work.receive_log.forget(2_500)
        left = work.receive_log.recall([one, other])

    assert {one: 3_000, other: 2_000} == found
    assert {one: 3_000} == left


def test_conflicts_are_appended(store):
    """Each lost value is kept, missing ones too."""
    with store.work() as work:
        work.things.add([a_thing()])
        stream = Datastream(thing="lab:post", observed_property="no2", introduced_at=NOW)
        work.things.add_datastreams([stream])
        lost = Replacement(stream.number, 1, float("nan"), 2.0)
        work.conflicts.keep([lost, lost], NOW)
    with store.work(write=False) as work:
        assert 2 == work.conflicts.count()


def test_observations_are_found_by_all_that_is_asked(store):
    """Place, category, status, time, box and what is left out; newest first, paged by number."""
    prepare(store)
    rows = [
        an_observation(client_key="1"),
        an_observation(client_key="2", category="noise", public_lon=None, public_lat=None),
        an_observation(client_key="3", place="bridge", status=Status.CLOSED),
        an_observation(client_key="4", received_at=NOW + timedelta(hours=1)),
    ]
    for row in rows:
        with store.work() as work:
            work.observations.add(row)

    def asked(**facts: object) -> list[str]:
        with store.work(write=False) as work:
            page = work.observations.page(ObservationFilter(**facts))
            return [one.client_key for one in page]

    assert ["4", "3", "2", "1"] == asked()
    assert ["3"] == asked(place="bridge")
    assert ["2"] == asked(category="noise")
    assert ["3"] == asked(status=Status.CLOSED)
    assert ["4"] == asked(since=NOW + timedelta(minutes=1))
    assert ["4", "3", "1"] == asked(box=Box(6, 45, 6.1, 45.1))
    assert ["4", "3", "1"] == asked(except_categories=("noise",))
    assert ["4", "3", "2", "1"] == asked(contributor="somebody")
    assert [] == asked(contributor="nobody")
    assert ["4", "3", "1"] == asked(placed=True)
    with store.work(write=False) as work:
        city = ObservationFilter(box=Box(6, 45, 6.1, 45.1))
        newest = work.observations.page(city, limit=2)
        assert ["4", "3"] == [one.client_key for one in newest]
        older = work.observations.page(city, after=newest[-1].number, limit=1)
        assert ["1"] == [one.client_key for one in older]
        page = work.observations.page(ObservationFilter(), limit=2)
        rest = work.observations.page(ObservationFilter(), after=page[-1].number)
        counts = work.observations.counts_by_place(["bridge", "nowhere"])
        found = work.observations.posted_as("api", ["3"])["3"]
    assert ["2", "1"] == [one.client_key for one in rest]
    assert {("air", Status.CLOSED): 1} == counts["bridge"]
    assert rows[2].id == found.id


def test_intervals_are_half_open(store):
    """An Observation at the end of an Interval belongs to the next one."""
    prepare(store)
    with store.work() as work:
        work.observations.add(an_observation(occurred_at=NOW))
    hour = timedelta(hours=1)
    with store.work(write=False) as work:
        after = work.observations.at_place("square", Interval(NOW, NOW + hour))
        before = work.observations.at_place("square", Interval(NOW - hour, NOW))

    assert (1, 0) == (len(after), len(before))
    assert UTC == after[0].occurred_at.tzinfo


def test_histories_are_kept_in_order(store):
    """Attachments and states are appended, oldest first; what waits is found."""
    prepare(store)
    row = an_observation(visibility=Visibility.QUARANTINED)
    with store.work() as work:
        work.observations.add(row)
        for place in ("square", "bridge"):
            work.observations.link(
                PlaceLink(
                    observation=row.id,
                    place=place,
                    method=JoinMethod.PIN,
                    distance_m=0.0,
                    confidence=1.0,
                    by="join",
                    at=NOW,
                )
            )
        work.observations.note(
            StatusEvent(
                observation=row.id,
                at=NOW,
                actor="contributor",
                visibility=Visibility.QUARANTINED,
                status=Status.OPEN,
            )
        )
    with store.work(write=False) as work:
        places = [one.place for one in work.observations.links(row.id)]
        states = [one.visibility for one in work.observations.events(row.id)]
        waiting = [one.id for one in work.observations.waiting()]

    assert ["square", "bridge"] == places
    assert [Visibility.QUARANTINED] == states
    assert [row.id] == waiting


def test_contributors_and_keys_are_found_by_hash(store):
    """Never by the secret itself."""
    with store.work() as work:
        work.contributors.add(
            Contributor(pseudonym="p", created_at=NOW, token_sha256="5" * 64, trust=Trust.NEW)
        )
        key = ApiKey(name="k", secret_sha256="6" * 64, scopes="moderate", created_at=NOW)
        work.keys.add(key)
    with store.work() as work:
        assert "p" == work.contributors.with_token("5" * 64).pseudonym
        assert work.contributors.with_token("7" * 64) is None
        assert "k" == work.keys.with_secret("6" * 64).name
        assert ["k"] == [one.name for one in work.keys.all()]
        work.keys.remove("k")
        assert work.keys.named("k") is None


def test_a_key_may_leave_its_name_to_another(store):
    """Within one unit of work, as where a secret is changed."""
    facts = {"scopes": "read", "created_at": NOW}
    with store.work() as work:
        work.keys.add(ApiKey(name="k", secret_sha256="6" * 64, **facts))
    with store.work() as work:
        old = work.keys.named("k")
        old.name, old.expires_at = "k before", NOW
        assert work.keys.named("k") is None
        work.keys.add(ApiKey(name="k", secret_sha256="7" * 64, **facts))
    with store.work(write=False) as work:
        found = {one.name: (one.secret_sha256[0], one.expires_at) for one in work.keys.all()}

    assert {"k before": ("6", NOW), "k": ("7", None)} == found


def test_zones_keep_their_shape(store):
    """A ring comes back as Points."""
    ring = (Point(6, 45), Point(6.1, 45), Point(6.1, 45.1))
    zone = Zone(
        key="z",
        kind=ZoneKind.VILLAGE,
        name="Z",
        residents=3,
        counted=date(2025, 1, 1),
        ring=ring,
    )
    with store.work() as work:
        work.zones.add(zone)
    with store.work(write=False) as work:
        assert ring == work.zones.get("z").ring


def test_ping_and_close(store):
    """It says what it is; closing twice is harmless."""
    assert store.ping()
    store.close()
    store.close()


def test_keeping_a_refusal_loses_no_other_change(store):
    """What was marked as replayed stays so, whatever else is refused in the same transaction."""

    def refused(sha256: str) -> Quarantined:
        return Quarantined(
            reason="bad_number",
            detail="",
            route="lab",
            topic=b"lab/post",
            payload=b"x",
            sha256=sha256 * 64,
            size=1,
            header=0x32,
            whole=True,
            readings=0,
            first_seen=NOW,
            last_seen=NOW,
        )

    with store.work() as work:
        work.quarantine.keep([refused("0")])
    with store.work() as work:
        [one] = work.quarantine.page()
        one.state = QuarantineState.REPLAYED
        work.quarantine.keep([refused("1")])
    with store.work(write=False) as work:
        states = [each.state for each in work.quarantine.page(state=None)]

    assert [QuarantineState.REPLAYED, QuarantineState.WAITING] == states
    assert QuarantineState.REPLAYED is one.state


def test_what_was_undone_may_be_added_again(store):
    """The same object, after a failed transaction, is as new as it was."""
    thing = a_thing()
    with pytest.raises(RuntimeError), store.work() as work:  # noqa: PT012 - the work must be under way
        work.things.add([thing])
        raise RuntimeError
    undone = thing.number
    with store.work() as work:
        work.things.add([thing])
    with store.work(write=False) as work:
        kept = [one.key for one in work.things.all()]

    assert undone is None
    assert ["lab:post"] == kept


def test_a_refused_addition_leaves_the_rest_of_the_work(store):
    """It is a ConflictError at once, names the key, and the transaction goes on without it."""
    with store.work() as work:
        work.things.add([a_thing()])
    with store.work() as work:
        with pytest.raises(ConflictError, match="post"):
            work.things.add([a_thing("new"), a_thing()])
        work.things.add([a_thing("other")])
    with store.work(write=False) as work:
        kept = [one.key for one in work.things.all()]

    assert ["lab:other", "lab:post"] == kept


def test_a_stored_entity_is_not_added_twice(store):
    """Handing back what was loaded is a conflict, not a silent success."""
    with store.work() as work:
        work.things.add([a_thing()])
    with store.work(write=False) as work:
        stored = work.things.get("lab:post")

    with pytest.raises(ConflictError, match="post"), store.work() as work:
        work.things.add([stored])


def test_a_reader_with_a_changed_entity_blocks_nobody(store):
    """With write=False a change takes no lock, so a writer goes on meanwhile."""
    with store.work() as work:
        work.things.add([a_thing()])
    with store.work(write=False) as reading:
        reading.things.get("lab:post").name = "changed"
        reading.things.all()
        with store.work() as work:
            work.things.add([a_thing("other")])
    with store.work(write=False) as work:
        names = [one.name for one in work.things.all()]

    assert ["", ""] == names


def test_keys_are_sorted_as_python_does(store):
    """Capitals before small letters, accents last, whatever language the database speaks."""
    keys = ["b", "a-b", "B", "ab", "á", "a"]
    with store.work() as work:
        for key in keys:
            work.places.add(a_place(key))
            work.ledger.add([LedgerLine(key, date(2026, 3, 2), Tally(messages=1))])
    with store.work(write=False) as work:
        found = [one.key for one in work.places.all()]
        routes = [one.route for one in work.ledger.lines()]

    assert sorted(keys) == found
    assert sorted(keys) == routes


def test_the_same_may_come_twice_at_once(store):
    """A refusal, a count or an arrival that is told twice in one call counts twice, or last."""
    later = NOW + timedelta(hours=1)
    line = LedgerLine("lab", date(2026, 3, 2), Tally(messages=1))
    message = (b"lab/x/no2", "3" * 64)
    with store.work() as work:
        work.quarantine.keep([refused(last_seen=later), refused()])
        work.ledger.add([line, line])
        work.receive_log.remember([(*message, 2_000), (*message, 1_000)])
    with store.work(write=False) as work:
        [one] = work.quarantine.page()
        [counted] = work.ledger.lines()
        arrived = work.receive_log.recall([message])

    assert (2, NOW, later) == (one.count, one.first_seen, one.last_seen)
    assert 2 == counted.tally.messages
    assert {message: 1_000} == arrived


def test_a_reference_to_nothing_is_a_conflict(store):
    """It says so, and the work goes on without it."""
    with store.work() as work:
        with pytest.raises(ConflictError, match="not stored"):
            work.things.add_locations([Location(thing="lab:none", lon=6, lat=45, since=NOW)])
        work.places.add(a_place())
    with store.work(write=False) as work:
        assert ["square"] == [one.key for one in work.places.all()]


def test_instants_come_back_to_the_microsecond(store):
    """Whatever zone they were told in."""
    told = datetime(2026, 3, 29, 3, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with store.work() as work:
        work.contributors.add(Contributor(pseudonym="p", created_at=told))
    with store.work(write=False) as work:
        found = work.contributors.get("p").created_at

    assert told == found


def test_a_reader_keeps_what_it_saw_first(store):
    """A transaction that another one ends meanwhile is seen whole, later, or not at all."""
    with store.work() as work:
        work.places.add(a_place())
    with store.work(write=False) as reading:
        before = [one.key for one in reading.places.all()]
        with store.work() as work:
            work.places.add(a_place("bridge"))
        after = [one.key for one in reading.places.all()]

    assert ["square"] == before == after


def two_datastreams(store) -> tuple[int, int]:
    """Register two Datastreams, and return their numbers."""
    several = [
        Datastream(thing="lab:post", observed_property=one, introduced_at=NOW)
        for one in ("temperature", "pm25")
    ]
    with store.work() as work:
        work.things.add([a_thing()])
        work.things.add_datastreams(several)
    return several[0].number or 0, several[1].number or 0


def test_marks_are_due_once_they_are_ripe(store):
    """A day that goes on receiving waits; one with a flag to get is seen soon."""
    one, other = two_datastreams(store)
    with store.work() as work:
        work.quality.mark([Mark(other, 20_000, at=100), Mark(one, 20_001, at=100)])
        work.quality.mark([Mark(one, 20_000, at=300), Mark(other, 19_999, soon=True, at=300)])
        work.quality.mark([])

    with store.work(write=False) as work:
        due = work.quality.due(200)
        first = work.quality.due(200, limit=1)

    assert [
        Mark(one, 20_001, at=100),
        Mark(other, 19_999, soon=True, at=300),
        Mark(other, 20_000, at=100),
    ] == due
    assert due[:1] == first


def test_a_mark_is_as_new_as_the_newest(store):
    """Marking again neither makes a mark older nor forgets that it was urgent."""
    one, _ = two_datastreams(store)
    with store.work() as work:
        work.quality.mark([Mark(one, 20_000, soon=True, at=300)])
        work.quality.mark([Mark(one, 20_000, at=200)])

    with store.work(write=False) as work:
        assert [Mark(one, 20_000, soon=True, at=300)] == work.quality.due(0)


def test_what_was_seen_is_due_no_more(store):
    """Ripe marks go, young ones are no longer urgent, and what was marked meanwhile stays."""
    one, other = two_datastreams(store)
    with store.work() as work:
        work.quality.mark([Mark(one, 1, at=100), Mark(one, 2, soon=True, at=300)])
        work.quality.mark([Mark(other, 1, at=100)])
    with store.work(write=False) as work:
        due = work.quality.due(200)
    with store.work() as work:
        work.quality.mark([Mark(other, 1, at=150)])
        work.quality.seen(due, 200)

    with store.work(write=False) as work:
        assert [Mark(other, 1, at=150)] == work.quality.due(200)
        assert [Mark(one, 2, at=300), Mark(other, 1, at=150)] == work.quality.due(300)


def test_the_last_skew_is_kept(store):
    """A clock that was set right is no longer told as late."""
    one, other = two_datastreams(store)
    with store.work() as work:
        work.quality.note_skews([Skew(one, 3_600.0, 8, 100), Skew(other, 0.5, 16, 100)])
        work.quality.note_skews([Skew(one, 1.25, 16, 200)])
        work.quality.note_skews([])

    with store.work(write=False) as work:
        assert [Skew(one, 1.25, 16, 200), Skew(other, 0.5, 16, 100)] == work.quality.skews(
            [other, one, 99]
        )


def test_versions_of_the_tests_are_dated(store):
    """Which parameters were in force when, oldest first, and by which a Datastream was judged."""
    one, other = two_datastreams(store)
    first = QualityVersion(version=2, since=NOW, parameters={"pm25": {"spike": 400.0}})
    second = QualityVersion(version=3, since=NOW + timedelta(days=1), parameters={"pm25": None})
    with store.work() as work:
        work.quality.add_version(first)
        work.quality.note_judged(one, 2)
    with store.work() as work:
        work.quality.add_version(second)
        work.quality.note_judged(one, 3)
        work.quality.note_judged(other, 2)

    with store.work(write=False) as work:
        assert [first, second] == work.quality.versions()
        assert {one: 3, other: 2} == work.quality.judged()


def test_what_checking_remembers_belongs_to_a_datastream(store):
    """Nothing is remembered of a Datastream that does not exist: the whole work fails."""
    with pytest.raises(ConflictError), store.work() as work:
        work.quality.mark([Mark(99, 1, at=1)])

    with store.work(write=False) as work:
        assert [] == work.quality.due(10)


def test_an_interval_says_whether_it_was_learned(store):
    """What the city set is told from what the lab observed; noting it moves the registry."""
    one, _ = two_datastreams(store)
    with store.work() as work:
        before = work.things.version()
        first, _ = work.things.datastreams()
        first.interval_s, first.interval_learned = 60.0, True

    with store.work(write=False) as work:
        [learned, untouched] = work.things.datastreams()
        version = work.things.version()
    assert (one, 60.0, True) == (learned.number, learned.interval_s, learned.interval_learned)
    assert (None, False) == (untouched.interval_s, untouched.interval_learned)
    assert version > before


def an_initiative(key: str = "quiet-square") -> Initiative:
    return Initiative(
        key=key,
        title="A quiet square",
        theme="air",
        announced_at=NOW - timedelta(days=30),
        starts_at=NOW,
        created_at=NOW - timedelta(days=60),
    )


def a_hypothesis(version: int = 1) -> Hypothesis:
    return Hypothesis(
        initiative="quiet-square",
        key="no2",
        version=version,
        observed_property="no2",
        expected=Expected.DECREASE,
        transform=Transform.LEVEL,
        smallest_effect=2.0,
        primary=True,
        at=NOW,
    )


def an_effect(**document: object) -> Effect:
    return Effect(
        id=uuid4(),
        initiative="quiet-square",
        hypothesis="no2",
        version=1,
        created_at=NOW,
        document=document,
    )


def test_places_around_a_point(store):
    """Those whose edge lies within reach, wide ones from farther away; what was added counts."""
    with store.work() as work:
        for n, (metres, radius) in enumerate([(50, 10), (500, 10), (900, 800), (5_000, 10)]):
            place = a_place(f"p{n}")
            place.lon += metres / (METRES_PER_DEGREE * cos(radians(45.05)))
            place.radius_m = radius
            work.places.add(place)
        near = {one.key for one in work.places.around([(Point(6.05, 45.05), 200)])}
        assert {"p0", "p2"} <= near
        assert "p3" not in near
        assert set() == {one.key for one in work.places.around([(Point(7, 46), 200)])}


def test_places_come_by_the_page(store):
    """By key as bytes sort, whatever the database's language; of a box, of a Zone, by name."""
    ring = (Point(6, 45), Point(6.1, 45), Point(6.1, 45.1))
    keys = ["b", "B", "a", "é", "o:1", "Z"]
    with store.work() as work:
        work.zones.add(
            Zone(
                key="z",
                kind=ZoneKind.VILLAGE,
                name="Z",
                residents=3,
                counted=date(2025, 1, 1),
                ring=ring,
            )
        )
        for n, key in enumerate(keys):
            place = a_place(key)
            place.lon, place.zone = 6 + n / 100, "z" if key in {"a", "Z"} else None
            work.places.add(place)

    def asked(**facts: Any) -> list[str]:
        with store.work(write=False) as work:
            return [one.key for one in work.places.page(**{"limit": 10} | facts)]

    assert ["B", "Z", "a", "b", "o:1", "é"] == asked()
    assert ["B", "Z"] == asked(limit=2)
    assert ["a", "b"] == asked(after="Z", limit=2)
    assert [] == asked(after="é")
    assert ["B", "a", "é"] == asked(box=Box(6.01, 45, 6.03, 45.1))
    assert ["Z", "a"] == asked(zone="z")
    with store.work(write=False) as work:
        assert {"a", "é"} == work.places.several(["a", "é", "none"]).keys()


def a_posting(**facts: object) -> Posting:
    """A problem with its Incident and the first lines of its histories."""
    one = an_observation(**facts)
    incident = Incident(
        id=uuid4(), category=one.category, place=one.place, first_at=NOW, last_at=NOW
    )
    one.incident, one.membership = incident.id, Membership.ORIGINAL
    said = {"observation": one.id, "at": NOW}
    return Posting(
        one,
        PlaceLink(
            place=one.place, method=JoinMethod.PIN, distance_m=1, confidence=1, by="join", **said
        ),
        [StatusEvent(actor="x", visibility=one.visibility, status=one.status, **said)],
        incident,
        IncidentLink(
            incident=incident.id,
            membership=Membership.ORIGINAL,
            linked=True,
            confidence=1.0,
            by="x",
            **said,
        ),
    )


def test_postings_are_kept_with_their_histories(store):
    """Each with its Incident, its attachment, its first state and how it belongs."""
    prepare(store)
    postings = [a_posting(client_key="1"), a_posting(client_key="2")]
    with store.work() as work:
        work.observations.add_all(postings)
    with store.work(write=False) as work:
        found = work.observations.posted_as("api", ["1", "2", "3"])
        ids = [found[key].id for key in ("1", "2")]

        assert [one.observation.id for one in postings] == ids
        assert {"1", "2"} == found.keys()
        for one in found.values():
            assert [one.id] == [each.id for each in work.observations.of_incident(one.incident)]
            assert work.incidents.one(id=one.incident) is not None
            assert 1 == work.incident_links.count(observation=one.id)
            assert 1 == len(work.observations.links(one.id))
            assert 1 == len(work.observations.events(one.id))


@pytest.mark.parametrize("wrong", [{"client_key": "taken"}, {"place": "nowhere"}])
def test_postings_are_kept_all_or_none(store, wrong):
    """One that is known or stands nowhere: none of them, nor an Incident; what was before stays."""
    prepare(store)
    with store.work() as work:
        work.observations.add_all([a_posting(client_key="taken")])
    with store.work() as work:
        work.places.add(a_place("before"))
        with pytest.raises(ConflictError):
            work.observations.add_all([a_posting(client_key="good"), a_posting(**wrong)])
        work.observations.add_all([a_posting(client_key="after")])
    with store.work(write=False) as work:
        assert {"taken", "after"} == work.observations.posted_as(
            "api", ["taken", "good", "after"]
        ).keys()
        assert (2, 2, 2) == (
            work.observations.count(),
            work.incidents.count(),
            work.incident_links.count(),
        )
        assert work.places.get("before") is not None


def test_things_that_stood_somewhere(store):
    """Where one stands now, and where one stood before it was moved."""
    here, moved = a_thing("here"), a_thing("moved")
    with store.work() as work:
        for key in ("square", "bridge"):
            work.places.add(a_place(key))
        here.place, moved.place = "square", "bridge"
        work.things.add([here, moved])
        work.things.add_locations(
            [Location(thing=moved.key, lon=6.05, lat=45.05, since=NOW, place="square")]
        )

    with store.work(write=False) as work:
        assert ["lab:here", "lab:moved"] == [one.key for one in work.things.stood_at(["square"])]
        assert ["lab:moved"] == [one.key for one in work.things.stood_at({"bridge"})]
        assert [] == work.things.stood_at([])


def test_observations_are_found_by_what_they_are(store):
    """By theme, by who may read them, by when it was and when it changed last; and page by page."""
    prepare(store)
    late = NOW + timedelta(days=1)
    with store.work() as work:
        for facts in (
            {"text": "old"},
            {"text": "mended", "updated_at": late},
            {"text": "late", "occurred_at": late, "received_at": late, "category": "noise"},
            {"text": "waits", "visibility": Visibility.QUARANTINED},
        ):
            work.observations.add(an_observation(**facts))

    def found(**asked):
        page = {name: asked.pop(name) for name in ("limit", "skip") if name in asked}
        with store.work(write=False) as work:
            return [one.text for one in work.observations.page(ObservationFilter(**asked), **page)]

    day = Interval(late, late + timedelta(days=1))
    assert ["waits", "mended", "old"] == found(categories=("air", "street"))
    assert [] == found(categories=())
    assert ["late", "mended", "old"] == found(visibilities=(Visibility.PUBLIC,))
    assert ["late"] == found(occurred=day)
    assert ["late", "mended"] == found(updated=day)
    assert ["late", "mended"] == found(skip=1, limit=2)


def test_states_of_an_interval_are_found(store):
    """Whoever asks again asks from where they stopped."""
    prepare(store)
    one = an_observation()
    with store.work() as work:
        work.observations.add(one)
        for hour in range(3):
            work.observations.note(
                StatusEvent(
                    observation=one.id,
                    at=NOW + timedelta(hours=hour),
                    actor="m",
                    visibility=Visibility.PUBLIC,
                    status=Status.OPEN,
                    phase=Phase.PLANNED,
                    note=str(hour),
                )
            )

    with store.work(write=False) as work:
        interval = Interval(NOW + timedelta(hours=1), NOW + timedelta(hours=3))
        events = work.observations.events_within(interval, limit=10)
        assert [("1", Phase.PLANNED), ("2", Phase.PLANNED)] == [
            (one.note, one.phase) for one in events
        ]
        assert 1 == len(work.observations.events_within(interval, limit=1))


def test_an_initiative_keeps_every_version_of_its_design(store):
    """Areas and Hypotheses are appended; what was expected before the start stays on file."""
    area = InitiativeArea(
        initiative="quiet-square", version=1, place="square", role=Role.TREATED, at=NOW
    )
    with store.work() as work:
        work.places.add(a_place())
        work.initiatives.add(an_initiative())
        work.initiatives.add_areas([area])
        work.initiatives.add_hypothesis(a_hypothesis())
    with store.work() as work:
        work.initiatives.add_hypothesis(a_hypothesis(version=2))

    with store.work(write=False) as work:
        assert ["quiet-square"] == [one.key for one in work.initiatives.all()]
        [kept] = work.initiatives.areas("quiet-square")
        assert ("square", Role.TREATED) == (kept.place, kept.role)
        versions = work.initiatives.hypotheses("quiet-square")
        assert [1, 2] == [one.version for one in versions]
        assert (Expected.DECREASE, Transform.LEVEL, 2.0) == (
            versions[0].expected,
            versions[0].transform,
            versions[0].smallest_effect,
        )
        assert [] == work.initiatives.hypotheses("another")


@pytest.mark.parametrize("kind", ["effect", "hypothesis", "area"])
def test_what_was_found_and_expected_never_changes(store, kind):
    """A rerun is a new row; nobody rewrites an Effect, a Hypothesis or an area."""
    area = InitiativeArea(
        initiative="quiet-square", version=1, place="square", role=Role.CONTROL, at=NOW
    )
    with store.work() as work:
        work.places.add(a_place())
        work.initiatives.add(an_initiative())
        work.initiatives.add_areas([area])
        work.initiatives.add_hypothesis(a_hypothesis())
        work.initiatives.add_effect(an_effect(finding="decrease"))

    def change(work):
        if kind == "effect":
            work.initiatives.effects("quiet-square")[0].document = {"finding": "increase"}
        elif kind == "hypothesis":
            work.initiatives.hypotheses("quiet-square")[0].smallest_effect = 0.5
        else:
            work.initiatives.areas("quiet-square")[0].role = Role.TREATED

    with pytest.raises(ConflictError), store.work() as work:
        change(work)

    with store.work(write=False) as work:
        [found] = work.initiatives.effects("quiet-square")
        assert {"finding": "decrease"} == found.document
        assert found.document == work.initiatives.effect(found.id).document
        assert 2.0 == work.initiatives.hypotheses("quiet-square")[0].smallest_effect
        assert Role.CONTROL == work.initiatives.areas("quiet-square")[0].role


def test_an_initiative_treats_places_that_exist(store):
    """An area names an Initiative and a Place; a version names a Place once."""
    area = {"version": 1, "place": "square", "role": Role.TREATED, "at": NOW}
    with store.work() as work:
        work.places.add(a_place())
        work.initiatives.add(an_initiative())

    for wrong in (
        [InitiativeArea(initiative="nobody", **area)],
        [InitiativeArea(initiative="quiet-square", **{**area, "place": "nowhere"})],
        [InitiativeArea(initiative="quiet-square", **area) for _ in range(2)],
    ):
        with pytest.raises(ConflictError), store.work() as work:
            work.initiatives.add_areas(wrong)

    with store.work(write=False) as work:
        assert [] == work.initiatives.areas("quiet-square")


def test_an_effect_keeps_its_pictures(store):
    """One for each name and language, drawn once; nobody draws another over it."""
    effect = an_effect(finding="decrease")
    pictures = [
        Picture(effect=effect.id, name="course", lang=lang, svg=f"<svg>{lang}</svg>")
        for lang in ("en", "ar")
    ]
    with store.work() as work:
        work.initiatives.add(an_initiative())
        work.initiatives.add_effect(effect, pictures)

    with pytest.raises(ConflictError), store.work() as work:
        work.initiatives.picture(effect.id, "course", "en").svg = "<svg/>"
    again = an_effect()
    twice = [Picture(effect=again.id, name="course", lang="en", svg="") for _ in range(2)]
    with pytest.raises(ConflictError), store.work() as work:
        work.initiatives.add_effect(again, twice)
    with pytest.raises(ConflictError), store.work() as work:
        work.initiatives.add_effect(
            an_effect(), [Picture(effect=uuid4(), name="a", lang="", svg="")]
        )

    with store.work(write=False) as work:
        assert "<svg>en</svg>" == work.initiatives.picture(effect.id, "course", "en").svg
        assert "<svg>ar</svg>" == work.initiatives.picture(effect.id, "course", "ar").svg
        assert None is work.initiatives.picture(effect.id, "course", "fr")
        assert [effect.id] == [one.id for one in work.initiatives.effects("quiet-square")]


def test_an_evaluation_that_was_asked_for_is_remembered(store):
    """Its state moves on; those of one Initiative come in the order in which they were asked."""
    jobs = [
        EvaluationJob(id=uuid4(), initiative="quiet-square", hypothesis="no2", seed=n, asked_at=NOW)
        for n in range(2)
    ]
    with store.work() as work:
        work.initiatives.add(an_initiative())
        for one in jobs:
            work.initiatives.add_job(one)
    with store.work() as work:
        first = work.initiatives.job(jobs[0].id)
        first.state, first.problem = JobState.FAILED, "nothing was measured"

    with store.work(write=False) as work:
        kept = work.initiatives.jobs("quiet-square")
        assert [one.id for one in jobs] == [one.id for one in kept]
        assert [(JobState.FAILED, False), (JobState.WAITING, True)] == [
            (one.state, one.open) for one in kept
        ]
        assert "nothing was measured" == kept[0].problem
        assert [] == work.initiatives.jobs("another")
        assert 2 == len(work.initiatives.jobs())
        assert None is work.initiatives.job(uuid4())
    with pytest.raises(ConflictError), store.work() as work:
        work.initiatives.add_job(
            EvaluationJob(
                id=jobs[0].id, initiative="quiet-square", hypothesis="", seed=0, asked_at=NOW
            )
        )


def test_disturbances_are_told_in_order(store):
    """What else happened, oldest first, in the whole city or at a Place."""
    strike = Disturbance(
        kind="strike", note="no buses", place=None, since=NOW, until=NOW + timedelta(days=1)
    )
    works = Disturbance(
        kind="roadworks", note="", place="square", since=NOW - timedelta(days=9), until=None
    )
    with store.work() as work:
        work.places.add(a_place())
        work.initiatives.add_disturbance(strike)
        work.initiatives.add_disturbance(works)

    with store.work(write=False) as work:
        assert ["roadworks", "strike"] == [one.kind for one in work.initiatives.disturbances()]


def test_the_last_agreement_of_a_subject_counts(store):
    """Computed anew each night, it replaces the one of the same category and property."""

    def found(rho: float, property_: str = "no2") -> AgreementFound:
        return AgreementFound(
            subject="place:square",
            category="air",
            observed_property=property_,
            computed_at=NOW,
            document={"rho": rho},
        )

    with store.work() as work:
        work.initiatives.note_agreement(found(0.1))
        work.initiatives.note_agreement(found(0.2, "pm10"))
    with store.work() as work:
        work.initiatives.note_agreement(found(0.3))

    with store.work(write=False) as work:
        kept = work.initiatives.agreements("place:square")
        assert [{"rho": 0.3}, {"rho": 0.2}] == [one.document for one in kept]
        assert [] == work.initiatives.agreements("place:other")
