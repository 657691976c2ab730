"""Civic data of which tests of several databases need some, and care little which."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from uuid import uuid4

from livinglab.domain.contributors import Contributor
from livinglab.domain.geometry import Point
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
from livinglab.domain.readings import Replacement
from livinglab.domain.things import Datastream, Location, Thing, ThingState
from livinglab.ports import UnitOfWork

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def a_thing(external_id: str = "post") -> Thing:
    return Thing(
        scheme="lab",
        external_id=external_id,
        state=ThingState.CONFIRMED,
        route="lab",
        introduced_at=NOW,
    )


def a_zone(ring: Sequence[Point] = ()) -> Zone:
    """The centre of a town; around the square unless a ring says otherwise."""
    around = (Point(6.0, 45.0), Point(6.1, 45.0), Point(6.1, 45.1), Point(6.0, 45.1))
    return Zone(
        key="centre",
        kind=ZoneKind.DISTRICT,
        name="Centre",
        residents=900,
        counted=date(2025, 1, 1),
        ring=tuple(ring) or around,
    )


def an_observation() -> Observation:
    return Observation(
        id=uuid4(),
        contributor="somebody",
        source="api",
        client_key=str(uuid4()),
        body_sha256="0" * 64,
        kind=ObservationKind.PROBLEM,
        category="air",
        channel=Channel.WEB,
        assisted=False,
        text="words",
        lang=None,
        severity=None,
        occurred_at=NOW,
        submitted_at=None,
        received_at=NOW,
        skew_s=None,
        time_corrected=False,
        place="square",
        method=JoinMethod.PIN,
        distance_m=1.0,
        confidence=1.0,
        lon=None,
        lat=None,
        accuracy_m=None,
        public_lon=None,
        public_lat=None,
        visibility=Visibility.PUBLIC,
    )


def enter_somebody_somewhere(work: UnitOfWork) -> None:
    work.places.add(Place(key="square", name="Square", lon=6.0, lat=45.0))
    work.contributors.add(Contributor(pseudonym="somebody", created_at=NOW))


def enter_one_of_each_history(work: UnitOfWork) -> None:
    """Leave one row in every append-only table."""
    enter_somebody_somewhere(work)
    work.things.add([a_thing()])
    stream = Datastream(thing="lab:post", observed_property="no2", introduced_at=NOW)
    work.things.add_datastreams([stream])
    work.things.add_locations([Location(thing="lab:post", lon=6.0, lat=45.0, since=NOW)])
    work.conflicts.keep([Replacement(stream.number or 0, 0, float("nan"), 2.0)], NOW)
    posted = an_observation()
    work.observations.add(posted)
    work.observations.link(
        PlaceLink(
            observation=posted.id,
            place="square",
            method=JoinMethod.PIN,
            distance_m=1.0,
            confidence=1.0,
            by="join",
            at=NOW,
        )
    )
    work.observations.note(
        StatusEvent(
            observation=posted.id,
            at=NOW,
            actor="join",
            visibility=Visibility.PUBLIC,
            status=Status.OPEN,
        )
    )
