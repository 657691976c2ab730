"""Initiating: an Initiative says beforehand what it expects, where, and compared with what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from livinglab.domain.indicators import EvaluationJob, Expected, Hypothesis, Transform
from livinglab.domain.initiatives import Disturbance, Initiative, InitiativeArea, Role
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.errors import ConflictError, InvalidError, LimitExceededError, NotFoundError
from livinglab.ports import UnitOfWork

WAITING = 50
"""Evaluations that may be open at a time."""
PATIENCE_S = 60
"""When to ask again, where so many are open. [s]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What is expected of one Indicator: the daily value of an ObservedProperty."""

    key: str
    observed_property: str
    expected: Expected
    transform: Transform = Transform.LEVEL
    smallest_effect: float | None = None
    primary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An Initiative as its owner hands it in."""

    key: str
    title: str
    theme: str
    announced_at: datetime | None
    starts_at: datetime
    areas: Mapping[str, Role]
    """Key of a Place → its role."""
    expectations: Sequence[Expectation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The newest version of what an Initiative expects, where."""

    initiative: Initiative
    areas: tuple[InitiativeArea, ...]
    hypotheses: tuple[Hypothesis, ...]
    """The newest version of each, by key; primary ones first."""

    def places(self, role: Role) -> tuple[str, ...]:
        """Return the keys of the Places in a role."""
        return tuple(one.place for one in self.areas if one.role is role)

    def hypothesis(self, key: str | None) -> Hypothesis:
        """Return one by key, or without a key the first.

        Raises:
            NotFoundError: There is none.
        """
        for one in self.hypotheses:
            if key in {None, one.key}:
                return one
        raise NotFoundError("Hypothesis", key or self.initiative.key)


def propose(proposal: Proposal, work: UnitOfWork, now: datetime) -> tuple[Initiative, bool]:
    """Keep a new Initiative with its design; the same again is kept once.

    Returns:
        The Initiative, and whether it is new.

    Raises:
        ConflictError: The key names another Initiative.
        InvalidError: A Place, a property or a date that cannot be.
    """
    known = work.initiatives.get(proposal.key)
    if known is not None:
        same = (proposal.title, proposal.theme, proposal.announced_at, proposal.starts_at)
        if same != (known.title, known.theme, known.announced_at, known.starts_at):
            raise ConflictError(f"the Initiative {proposal.key} exists, with other facts")
        return known, False
    try:
        made = Initiative(
            key=proposal.key,
            title=proposal.title,
            theme=proposal.theme,
            announced_at=proposal.announced_at,
            starts_at=proposal.starts_at,
            created_at=now,
        )
    except ValueError as error:
        raise InvalidError("announced_at", str(error)) from error
    work.initiatives.add(made)
    redraw(proposal.key, proposal.areas, work, now)
    for one in proposal.expectations:
        expect(proposal.key, one, work, now)
    return made, True


def redraw(initiative: str, areas: Mapping[str, Role], work: UnitOfWork, now: datetime) -> int:
    """Write a new version of an Initiative's areas, and return its number.

    Raises:
        NotFoundError: There is no such Initiative.
        InvalidError: A Place that does not exist, or none that is treated.
    """
    _known(initiative, work)
    for place in areas:
        if work.places.get(place) is None:
            raise InvalidError("areas", f"there is no Place {place}")
    if Role.TREATED not in areas.values():
        raise InvalidError("areas", "one Place at least must be treated")
    version = 1 + max((one.version for one in work.initiatives.areas(initiative)), default=0)
    work.initiatives.add_areas(
        [
            InitiativeArea(initiative=initiative, version=version, place=place, role=role, at=now)
            for place, role in sorted(areas.items())
        ]
    )
    return version


def expect(initiative: str, one: Expectation, work: UnitOfWork, now: datetime) -> Hypothesis:
    """Write a new version of a Hypothesis.

    Raises:
        NotFoundError: There is no such Initiative.
        InvalidError: A property that does not exist, or a smallest effect that is none.
    """
    _known(initiative, work)
    if one.observed_property not in OBSERVED_PROPERTIES:
        raise InvalidError("observed_property", f"there is no property {one.observed_property}")
    earlier = [was for was in work.initiatives.hypotheses(initiative) if was.key == one.key]
    try:
        made = Hypothesis(
            initiative=initiative,
            key=one.key,
            version=1 + max((was.version for was in earlier), default=0),
            observed_property=one.observed_property,
            expected=one.expected,
            transform=one.transform,
            smallest_effect=one.smallest_effect,
            primary=one.primary,
            at=now,
        )
    except ValueError as error:
        raise InvalidError("smallest_effect", str(error)) from error
    work.initiatives.add_hypothesis(made)
    return made


def design_of(initiative: str, work: UnitOfWork) -> Design:
    """Return the newest version of what an Initiative expects, where.

    Raises:
        NotFoundError: There is no such Initiative.
    """
    found = _known(initiative, work)
    areas = work.initiatives.areas(initiative)
    version = max((one.version for one in areas), default=0)
    newest = {one.key: one for one in work.initiatives.hypotheses(initiative)}
    return Design(
        initiative=found,
        areas=tuple(one for one in areas if one.version == version),
        hypotheses=tuple(sorted(newest.values(), key=lambda one: (not one.primary, one.key))),
    )


def disturb(disturbance: Disturbance, work: UnitOfWork) -> None:
    """Note something else that happened, so that no Effect is claimed for it.

    Raises:
        InvalidError: It ends before it begins, or names no Place of the city.
    """
    if disturbance.until is not None and disturbance.until < disturbance.since:
        raise InvalidError("until", "lies before `since`")
    if disturbance.place is not None and work.places.get(disturbance.place) is None:
        raise InvalidError("place", f"there is no Place {disturbance.place}")
    work.initiatives.add_disturbance(disturbance)


def _known(initiative: str, work: UnitOfWork) -> Initiative:
    found = work.initiatives.get(initiative)
    if found is None:
        raise NotFoundError("Initiative", initiative)
    return found


def ask_evaluation(
    initiative: str, hypothesis: str | None, seed: int, work: UnitOfWork, now: datetime
) -> EvaluationJob:
    """Ask for an evaluation; one that is open already is returned as it is.

    Raises:
        NotFoundError: There is no such Initiative or Hypothesis.
        LimitExceededError: Too many are open.
    """
    key = design_of(initiative, work).hypothesis(hypothesis).key
    waiting = [one for one in work.initiatives.jobs() if one.open]
    for one in waiting:
        if (one.initiative, one.hypothesis, one.seed) == (initiative, key, seed):
            return one
    if len(waiting) >= WAITING:
        raise LimitExceededError("open evaluations", PATIENCE_S)
    made = EvaluationJob(id=uuid4(), initiative=initiative, hypothesis=key, seed=seed, asked_at=now)
    work.initiatives.add_job(made)
    return made
