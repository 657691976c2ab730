"""Responding: you said, we did. What the city answers, and what it owes an answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from livinglab.domain.answers import CityResponse, Responsibility, responsible
from livinglab.domain.observations import Category, Observation, Status, Visibility
from livinglab.errors import ConflictError, InvalidError
from livinglab.ports import ObservationFilter, UnitOfWork
from livinglab.services.notifying import tell_of_response
from livinglab.services.voicing import exists

PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as its department writes it."""

    key: str
    subject: str
    you_said: str
    we_did: str = ""
    why_not: str = ""
    evidence: tuple[str, ...] = ()
    promised_for: date | None = None
    department: str


@dataclass(frozen=True, slots=True)
class Owed:
    """An Observation that nobody has answered yet."""

    observation: Observation
    responsibility: Responsibility | None
    due_at: datetime | None

    def overdue(self, now: datetime) -> bool:
        """Whether the answer is late."""
        return self.due_at is not None and now > self.due_at


def respond(reply: Reply, *, by: str, work: UnitOfWork, now: datetime) -> CityResponse:
    """Publish an answer; under a key that exists it is the next version, and the others stay.

    Raises:
        NotFoundError: There is nothing that it could answer.
        ConflictError: The key belongs to an answer to something else.
        InvalidError: It says neither what was done nor why not.
    """
    subject = exists(reply.subject, work)
    last = work.responses.one(key=reply.key)
    if last is not None and last.subject != subject:
        raise ConflictError(f"response {reply.key!r} answers {last.subject}; choose another key")
    if not (reply.we_did.strip() or reply.why_not.strip()):
        raise InvalidError("we_did", "say what was done, or in `why_not` why nothing was")
    made = CityResponse(
        key=reply.key,
        version=last.version + 1 if last else 1,
        subject=subject,
        you_said=reply.you_said,
        we_did=reply.we_did,
        why_not=reply.why_not,
        evidence=list(reply.evidence),
        promised_for=reply.promised_for,
        department=reply.department,
        by=by,
        published_at=now,
    )
    work.responses.add([made])
    tell_of_response(made, work)
    return made


def answers_to(observation: Observation, work: UnitOfWork) -> list[CityResponse]:
    """List the newest version of each answer that reaches an Observation, oldest first."""
    subjects = {f"observation:{observation.id}"}
    if observation.incident is not None:
        subjects.add(f"incident:{observation.incident}")
    if observation.initiative is not None:
        subjects.add(f"initiative:{observation.initiative}")
    return newest(work.responses.where(subject=subjects))


def newest(versions: Iterable[CityResponse]) -> list[CityResponse]:
    """Keep the last version of each answer."""
    last: dict[str, CityResponse] = {}
    for one in versions:
        if one.key not in last or one.version > last[one.key].version:
            last[one.key] = one
    return list(last.values())


def owed(
    rows: tuple[Responsibility, ...],
    categories: Mapping[str, Category],
    work: UnitOfWork,
    *,
    limit: int = 100,
) -> list[Owed]:
    """List open Observations without an answer, the longest overdue first."""
    zones = {one.key: one.zone for one in work.places.all()}
    answered = {one.subject for one in work.responses.where()}
    found, after = list[Owed](), None
    which = ObservationFilter(status=Status.OPEN)
    while page := work.observations.page(which, after=after, limit=PAGE):
        after = page[-1].number
        for one in page:
            if one.visibility is Visibility.REMOVED or one.category not in categories:
                continue
            if {f"observation:{one.id}", f"incident:{one.incident}"} & answered:
                continue
            row = responsible(rows, one.category, zones.get(one.place))
            due = one.received_at + row.answer_within if row else None
            found.append(Owed(one, row, due))
    found.sort(key=lambda owed: owed.due_at or owed.observation.received_at)
    return found[:limit]
