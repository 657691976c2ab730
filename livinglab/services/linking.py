"""Linking: several postings about one thing become one Incident, and each stays what it is."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from livinglab.domain.geometry import Point, box_around, distance_m
from livinglab.domain.incidents import (
    RECENT,
    EndReason,
    Incident,
    IncidentLink,
    Membership,
    Outcome,
)
from livinglab.domain.observations import Category, Observation, ObservationKind, Status, Visibility
from livinglab.domain.privacy import Precision
from livinglab.errors import ConflictError, InvalidError, NotFoundError
from livinglab.ports import ObservationFilter, UnitOfWork
from livinglab.services.deciding import close

MOST_CANDIDATES = 20
PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An Incident that somebody may be about to post about again."""

    incident: Incident
    original: Observation
    distance_m: float
    """From the public position of its first Observation. [m]"""
    observations: int
    supports: int


def begin(
    observation: Observation, work: UnitOfWork, now: datetime, *, by: str = "contributor"
) -> None:
    """Make the Incident of a problem that nobody had posted about; other kinds have none."""
    incident, member = begun(observation, now, by=by)
    if incident is not None and member is not None:
        work.incidents.add([incident])
        work.incident_links.add([member])


def begun(
    observation: Observation, now: datetime, *, by: str
) -> tuple[Incident, IncidentLink] | tuple[None, None]:
    """Make the Incident that begins with an Observation, if it is a problem; nothing is kept."""
    if observation.kind is not ObservationKind.PROBLEM:
        return None, None
    incident = Incident(
        id=uuid4(),
        category=observation.category,
        place=observation.place,
        first_at=observation.occurred_at,
        last_at=observation.occurred_at,
    )
    if observation.status is Status.CLOSED:
        incident.ended_at = observation.updated_at or observation.received_at
        incident.end_reason = EndReason.CLOSURE
    return incident, _attached(observation, incident, Membership.ORIGINAL, by, 1.0, now)


def join(
    observation: Observation,
    incident: UUID,
    *,
    by: str,
    confidence: float,
    work: UnitOfWork,
    now: datetime,
) -> None:
    """Say that an Observation is about an Incident that is known already.

    An Observation that was the only one of its own Incident leaves that behind, as never begun.

    Raises:
        NotFoundError: There is no such Incident.
        InvalidError: The Incident is of another category, or the Observation of another kind.
    """
    known = fitting(observation.kind, observation.category, incident, work)
    if observation.incident == incident:
        return
    _detach(observation, by, work, now)
    work.incident_links.add([joined(observation, known, by=by, confidence=confidence, now=now)])


def fitting(kind: ObservationKind, category: str, incident: UUID, work: UnitOfWork) -> Incident:
    """Return an Incident that an Observation may belong to.

    Raises:
        NotFoundError: There is no such Incident.
        InvalidError: The Incident is of another category, or the Observation of another kind.
    """
    known = incident_of(incident, work)
    if kind is not ObservationKind.PROBLEM:
        raise InvalidError("incident", f"a {kind.value} belongs to no Incident")
    if known.category != category:
        raise InvalidError("incident", f"is about {known.category}, not {category}")
    return known


def joined(
    observation: Observation, known: Incident, *, by: str, confidence: float, now: datetime
) -> IncidentLink:
    """Join an Observation to an Incident that is known; the link is not kept yet."""
    known.first_at = min(known.first_at, observation.occurred_at)
    known.last_at = max(known.last_at, observation.occurred_at)
    return _attached(observation, known, Membership.DUPLICATE, by, confidence, now)


def part(observation: Observation, *, by: str, work: UnitOfWork, now: datetime) -> None:
    """Undo a link: the Observation is about something of its own.

    Raises:
        ConflictError: It is the original, or not linked.
    """
    if observation.membership is not Membership.DUPLICATE:
        raise ConflictError(f"Observation {observation.id} is no duplicate of another")
    _detach(observation, by, work, now)
    begin(observation, work, now, by=by)


def _attached(
    observation: Observation,
    incident: Incident,
    membership: Membership,
    by: str,
    confidence: float,
    now: datetime,
) -> IncidentLink:
    observation.incident, observation.membership = incident.id, membership
    return IncidentLink(
        observation=observation.id,
        incident=incident.id,
        membership=membership,
        linked=True,
        confidence=confidence,
        by=by,
        at=now,
    )


def _detach(observation: Observation, by: str, work: UnitOfWork, now: datetime) -> None:
    if observation.incident is None or observation.membership is None:
        return
    work.incident_links.add(
        [
            IncidentLink(
                observation=observation.id,
                incident=observation.incident,
                membership=observation.membership,
                linked=False,
                confidence=1.0,
                by=by,
                at=now,
            )
        ]
    )
    observation.incident = observation.membership = None


def incident_of(incident: UUID, work: UnitOfWork) -> Incident:
    """Return one.

    Raises:
        NotFoundError: There is none.
    """
    found = work.incidents.one(id=incident)
    if found is None:
        raise NotFoundError("Incident", str(incident))
    return found


def end(
    incident: UUID,
    *,
    reason: EndReason,
    outcome: Outcome,
    note: str,
    by: str,
    work: UnitOfWork,
    now: datetime,
) -> Incident:
    """End an Incident by inspection or closure, and close what is open of it alike.

    Raises:
        NotFoundError: There is none.
        ConflictError: It has ended before.
        InvalidError: No public note was given.
    """
    found = incident_of(incident, work)
    if found.ended_at is not None:
        raise ConflictError(f"Incident {incident} ended at {found.ended_at:%Y-%m-%d}")
    still_open = (
        one for one in work.observations.of_incident(incident) if one.status is Status.OPEN
    )
    for one in still_open:
        close(one, outcome=outcome, note=note, by=by, work=work, now=now)
    found.ended_at, found.end_reason = now, reason
    return found


def candidates(
    point: Point,
    category: Category,
    *,
    within_m: float | None,
    work: UnitOfWork,
    now: datetime,
) -> list[Candidate]:
    """List Incidents of the last 30 days that a posting there may be about, nearest first.

    Themes that are not itemised in public, or placed by Zone only, have none.
    """
    rule = category.privacy
    if rule.personal or rule.precision is Precision.ZONE:
        return []
    blur = rule.cell_m if rule.precision is Precision.CELL else 0.0
    reach = (within_m or category.near_m) + blur
    which = ObservationFilter(
        category=category.key, since=now - RECENT, box=box_around(point, reach)
    )
    near: dict[UUID, float] = {}
    for one in _all(which, work):
        shown = one.public_point
        if one.incident is None or shown is None or one.visibility is Visibility.REMOVED:
            continue
        metres = distance_m(point, shown)
        if metres <= reach and metres < near.get(one.incident, reach + 1):
            near[one.incident] = metres
    nearest = sorted(near.items(), key=lambda item: item[1])[:MOST_CANDIDATES]
    told = (_candidate(incident, metres, work) for incident, metres in nearest)
    return [one for one in told if one is not None]


def _all(which: ObservationFilter, work: UnitOfWork) -> list[Observation]:
    found, after = list[Observation](), None
    while page := work.observations.page(which, after=after, limit=PAGE):
        found += page
        after = page[-1].number
    return found


def _candidate(incident: UUID, metres: float, work: UnitOfWork) -> Candidate | None:
    members = [
        one
        for one in work.observations.of_incident(incident)
        if one.visibility not in {Visibility.REMOVED, Visibility.RESTRICTED}
    ]
    if not members:
        return None
    first = next((one for one in members if one.membership is Membership.ORIGINAL), members[0])
    return Candidate(
        incident=incident_of(incident, work),
        original=first,
        distance_m=round(metres, 1),
        observations=len(members),
        supports=work.supports.count(subject=f"incident:{incident}", revoked_at=None),
    )
