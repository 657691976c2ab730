"""Observing: a citizen posts about a Place."""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from livinglab.domain.access import Actor, Scope
from livinglab.domain.addresses import Located
from livinglab.domain.contributors import Contributor, Trust
from livinglab.domain.geometry import Point
from livinglab.domain.observations import (
    ANYBODYS_CHANNELS,
    Category,
    Channel,
    Observation,
    ObservationKind,
    PlaceLink,
    StatusEvent,
    Visibility,
)
from livinglab.domain.places import Join, JoinMethod
from livinglab.domain.privacy import Precision, public_point
from livinglab.errors import (
    ClientKeyReusedError,
    ForbiddenError,
    InvalidError,
    LabError,
    UnauthorizedError,
)
from livinglab.ports import ObservationFilter, Posting, UnitOfWork
from livinglab.services import linking
from livinglab.services.grounding import Ground
from livinglab.services.questioning import answered

SKEW_TOLERANCE = timedelta(minutes=2)
"""A device clock that is off by more is corrected."""
_CONTACT = re.compile(
    r"https?://|www\.|\b[\w.+-]+@[\w-]+\.\w+|\+?\d[\d\s()./-]{7,}\d"
    r"|\b[A-Z]{1,3}[- ]?\d{2,4}[- ]?[A-Z]{1,3}\b"
)
"""Links, mail addresses, telephone numbers and number plates."""
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
"""Control characters, which PostgreSQL refuses in part, and those that turn the text around."""

_FIRST = frozenset(
    {
        "category",
        "kind",
        "text",
        "lang",
        "severity",
        "point",
        "accuracy_m",
        "place",
        "occurred_at",
        "channel",
        "assisted",
    }
)
"""Fields that every digest tells of; others only where they say something, so that what was posted
before they existed keeps its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a citizen wants to post."""

    client_key: UUID
    category: str
    kind: ObservationKind = ObservationKind.PROBLEM
    text: str = ""
    lang: str | None = None
    severity: int | None = None
    point: Point | None = None
    accuracy_m: float | None = None
    place: str | None = None
    occurred_at: datetime | None = None
    submitted_at: datetime | None = None
    device_time: datetime | None = None
    """What the device's clock shows while it sends."""
    channel: Channel = Channel.WEB
    assisted: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Answers to the category's questions, by code."""
    address: str | None = None
    incident: UUID | None = None
    """The Incident that the citizen says it is about."""
    initiative: str | None = None
    external_id: str | None = None
    source: str = "api"
    located: Located | None = None
    """Where the address is, if it alone says where."""

    @property
    def spot(self) -> Point | None:
        """The position that was given, or else that of the address."""
        return self.point or (self.located.point if self.located else None)

    def digest(self) -> str:
        """Hash what was posted; the device's present time may differ between attempts."""
        left_out = {"client_key", "device_time", "submitted_at", "source", "located"}
        facts = {
            one.name: str(getattr(self, one.name))
            for one in fields(self)
            if one.name not in left_out
            and (one.name in _FIRST or getattr(self, one.name) not in (None, {}))
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clocks:
    """When it was, by the citizen, by the device, and by us."""

    occurred_at: datetime
    submitted_at: datetime | None
    skew_s: float | None
    corrected: bool


def signed(draft: Draft, key: Actor | None) -> Draft:
    """Return a posting as its sender may send it, under the sender's name if that gave it an id.

    Args:
        draft: What was posted.
        key: The sender's; None is anybody.

    Raises:
        UnauthorizedError: Only a gateway or staff can say this: its channel, that it was said for
            somebody else, or how its sender names it.
        ForbiddenError: The key is of neither.
    """
    if draft.channel in ANYBODYS_CHANNELS and not draft.assisted and draft.external_id is None:
        return draft
    if key is None:
        raise UnauthorizedError(
            "handing a posting over, by its channel, `assisted` or `external_id`, needs "
            "a key; send `Authorization: Bearer KEY`"
        )
    if not key.allows(Scope.SUBMIT):
        raise ForbiddenError(Scope.SUBMIT.value)
    if draft.external_id is None:
        return draft
    source = f"gateway:{key.name}"
    name = uuid5(NAMESPACE_URL, f"{source}/{draft.external_id}")
    return replace(draft, source=source, client_key=name)


Outcome = tuple[Observation, bool] | LabError
"""What became of a draft: the Observation and whether it is new, or why there is none."""


def observe(
    draft: Draft,
    token: str | None,
    *,
    categories: Mapping[str, Category],
    work: UnitOfWork,
    now: datetime,
) -> tuple[Observation, bool]:
    """Attach what a citizen posted to its Place; the same draft twice is kept once.

    Args:
        draft: What was posted.
        token: Secret of the citizen's device; None is a Contributor of its own.
        categories: The city's themes.
        work: The transaction.
        now: When it arrived.

    Returns:
        The Observation, and whether it is new; one that is new is not watched any more.

    Raises:
        ClientKeyReusedError: The key was used for another posting.
        InvalidError: Something is not as it must be, with its path.
    """
    (outcome,) = observe_all([(draft, token)], categories=categories, work=work, now=now)
    if isinstance(outcome, LabError):
        raise outcome
    return outcome


def observe_all(
    drafts: Sequence[tuple[Draft, str | None]],
    *,
    categories: Mapping[str, Category],
    work: UnitOfWork,
    now: datetime,
) -> list[Outcome]:
    """Attach what several citizens posted, each as `observe` does; one that fails costs no other.

    Args:
        drafts: What was posted, each with the secret of its device.
        categories: The city's themes.
        work: The transaction.
        now: When they arrived.
    """
    ground = Ground(work, _spots(drafts, categories))
    postings = _Postings(categories, work, now, ground, _posted_before(drafts, work))
    outcomes: list[Outcome] = []
    for draft, token in drafts:
        try:
            outcomes.append(postings.observe(draft, token))
        except LabError as error:
            outcomes.append(error)
    postings.keep()
    return outcomes


def _spots(
    drafts: Sequence[tuple[Draft, str | None]], categories: Mapping[str, Category]
) -> list[tuple[Point, float]]:
    return [
        (one.spot, categories[one.category].reach_m + (one.accuracy_m or 0.0))
        for one, _ in drafts
        if one.spot is not None and one.category in categories
    ]


def _posted_before(
    drafts: Sequence[tuple[Draft, str | None]], work: UnitOfWork
) -> dict[tuple[str, str], Observation]:
    keys: dict[str, list[str]] = {}
    for draft, _ in drafts:
        keys.setdefault(draft.source, []).append(str(draft.client_key))
    return {
        (source, key): one
        for source, several in keys.items()
        for key, one in work.observations.posted_as(source, several).items()
    }


class _Postings:
    """Postings of one unit of work: composed one by one, kept all at once."""

    def __init__(
        self,
        categories: Mapping[str, Category],
        work: UnitOfWork,
        now: datetime,
        ground: Ground,
        posted: dict[tuple[str, str], Observation],
    ) -> None:
        self._categories = categories
        self._work = work
        self._now = now
        self._posted = posted
        self._ground = ground
        self._people = People(work, now)
        self._shown: dict[tuple[str, str, str], Point | None] = {}
        self._postings: list[Posting] = []

    def observe(self, draft: Draft, token: str | None) -> tuple[Observation, bool]:
        key = draft.source, str(draft.client_key)
        if earlier := self._posted.get(key):
            if earlier.body_sha256 != draft.digest():
                raise ClientKeyReusedError(str(draft.client_key))
            return earlier, False
        category = self._categories.get(draft.category)
        if category is None:
            raise InvalidError("category", f"must be one of {', '.join(sorted(self._categories))}")
        if draft.initiative is not None and self._work.initiatives.get(draft.initiative) is None:
            raise InvalidError("initiative", f"there is no Initiative {draft.initiative!r}")
        known = None
        if draft.incident is not None:
            known = linking.fitting(draft.kind, draft.category, draft.incident, self._work)
        contributor = self._people.who(token)
        posting = compose(draft, category, contributor, self._ground, now=self._now)
        observation = posting.observation
        if known is None:
            incident, member = linking.begun(observation, self._now, by="contributor")
        else:
            incident = None
            member = linking.joined(
                observation, known, by="contributor", confidence=1.0, now=self._now
            )
        if token:
            self._show_alike(observation, category)
        self._people.came(contributor)
        self._posted[key] = observation
        self._postings.append(replace(posting, incident=incident, member=member))
        return observation, True

    def keep(self) -> None:
        self._people.keep()
        self._work.observations.add_all(self._postings)

    def _show_alike(self, one: Observation, category: Category) -> None:
        """Show the same person at the same Place at one point: the mean of many gives away.

        A cell's centre is always the same by itself.
        """
        if category.privacy.precision is not Precision.EXACT or one.public_point is None:
            return
        where = one.contributor, one.place, one.category
        if where not in self._shown:
            earlier = self._work.observations.page(
                ObservationFilter(
                    contributor=one.contributor, place=one.place, category=one.category, placed=True
                ),
                limit=1,
            )
            self._shown[where] = earlier[0].public_point if earlier else None
        kept = self._shown[where] = self._shown[where] or one.public_point
        one.public_lon, one.public_lat = kept


def compose(
    draft: Draft, category: Category, contributor: Contributor, ground: Ground, *, now: datetime
) -> Posting:
    """Make an Observation of what was posted; nothing is kept but a Place that it needs.

    Raises:
        InvalidError: Something is not as it must be, with its path.
    """
    answers = answered(category, draft.attributes)
    clocks = _clocks(draft, now)
    text = without_controls(draft.text)
    joined = _joined(draft, category, ground)
    exact = None if draft.located and draft.located.place else draft.spot
    shown = public_point(exact, category.privacy) if exact else None
    observation = Observation(
        id=uuid4(),
        contributor=contributor.pseudonym,
        source=draft.source,
        client_key=str(draft.client_key),
        body_sha256=draft.digest(),
        kind=draft.kind,
        category=category.key,
        channel=draft.channel,
        assisted=draft.assisted,
        text=text,
        lang=draft.lang,
        severity=draft.severity,
        occurred_at=clocks.occurred_at,
        submitted_at=clocks.submitted_at,
        received_at=now,
        skew_s=clocks.skew_s,
        time_corrected=clocks.corrected,
        place=joined.place,
        method=joined.method,
        distance_m=joined.distance_m,
        confidence=joined.confidence,
        lon=exact.lon if exact else None,
        lat=exact.lat if exact else None,
        accuracy_m=draft.accuracy_m,
        public_lon=shown.lon if shown else None,
        public_lat=shown.lat if shown else None,
        visibility=visibility_of(f"{text} {draft.address or ''}", contributor),
        external_id=draft.external_id,
        attributes=answers,
        address=without_controls(draft.address) if draft.address else None,
        initiative=draft.initiative,
    )
    link = PlaceLink(
        observation=observation.id,
        place=observation.place,
        method=observation.method,
        distance_m=round(observation.distance_m, -1),  # several exact ones would tell where
        confidence=observation.confidence,
        by="join",
        at=now,
    )
    event = StatusEvent(
        observation=observation.id,
        at=now,
        actor="contributor",
        visibility=observation.visibility,
        status=observation.status,
    )
    return Posting(observation, link, [event])


def _joined(draft: Draft, category: Category, ground: Ground) -> Join:
    accuracy_m, found = draft.accuracy_m or 0.0, draft.located
    if found is None:
        return ground.join(category, point=draft.point, place=draft.place, accuracy_m=accuracy_m)
    method = JoinMethod.ADDRESS
    joined = ground.join(
        category,
        point=None if found.place else found.point,
        place=found.place,
        accuracy_m=accuracy_m,
        method=method,
    )
    return replace(joined, confidence=round(joined.confidence * found.score, 3))


def contributor_with(token: str | None, work: UnitOfWork) -> Contributor | None:
    """Return the one behind a token."""
    if not token:
        return None
    return work.contributors.with_token(hashlib.sha256(token.encode()).hexdigest())


class People:
    """Who speaks in one unit of work; those who are new are kept all at once."""

    def __init__(self, work: UnitOfWork, now: datetime) -> None:
        """Begin with nobody."""
        self._work = work
        self._now = now
        self._known: dict[str, Contributor] = {}
        self._new: dict[str, Contributor] = {}

    def who(self, token: str | None) -> Contributor:
        """Return the one behind a token; whoever has none is somebody of their own."""
        found = self._known.get(token) if token else None
        found = found or contributor_with(token, self._work) or _newcomer(token, self._now)
        if token:
            self._known[token] = found
        return found

    def came(self, contributor: Contributor) -> None:
        """Say that somebody left something: who did not is not kept."""
        if contributor.number is None:
            self._new[contributor.pseudonym] = contributor

    def keep(self) -> None:
        """Keep those who are new."""
        self._work.contributors.add_all(list(self._new.values()))


def _newcomer(token: str | None, now: datetime) -> Contributor:
    digest = hashlib.sha256(token.encode()).hexdigest() if token else None
    return Contributor(
        pseudonym=secrets.token_hex(16), created_at=now, token_sha256=digest, trust=Trust.NEW
    )


def contributor_of(token: str | None, work: UnitOfWork, now: datetime) -> Contributor:
    """Return who posts: the one behind the token, or somebody new."""
    found = contributor_with(token, work)
    if found is None:
        found = _newcomer(token, now)
        work.contributors.add(found)
    return found


def without_controls(text: str) -> str:
    """Take out what no reader sees, or what turns the text around."""
    return _UNPRINTABLE.sub("", text)


def visibility_of(text: str, contributor: Contributor) -> Visibility:
    """Decide who may read it before a moderator did; without words there is nothing to read."""
    if contributor.trust is Trust.BLOCKED:
        return Visibility.QUARANTINED
    if not text.strip():
        return Visibility.PUBLIC
    if contributor.trust is Trust.NEW or _CONTACT.search(text):
        return Visibility.QUARANTINED
    return Visibility.PUBLIC


def _clocks(draft: Draft, now: datetime) -> _Clocks:
    """Bring three clocks together: what cannot be lies in the future."""
    skew = now - draft.device_time if draft.device_time else None
    wrong = skew is not None and abs(skew) > SKEW_TOLERANCE
    shift = skew if wrong and skew is not None else timedelta(0)
    occurred = _shifted(draft.occurred_at or draft.submitted_at or now, shift)
    submitted = _shifted(draft.submitted_at, shift) if draft.submitted_at else None
    future = occurred > now or (submitted is not None and submitted > now)
    return _Clocks(
        occurred_at=min(occurred, now),
        submitted_at=min(submitted, now) if submitted else None,
        skew_s=skew.total_seconds() if skew is not None else None,
        corrected=wrong or future,
    )


def _shifted(told: datetime, shift: timedelta) -> datetime:
    try:
        return told + shift
    except OverflowError as error:
        raise InvalidError("occurred_at", "lies outside the years 1 to 9999") from error
