"""Observing: a citizen posts about a Place."""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from livinglab.domain.contributors import Contributor, Trust
from livinglab.domain.geometry import Point
from livinglab.domain.observations import (
    Category,
    Channel,
    Observation,
    ObservationKind,
    PlaceLink,
    StatusEvent,
    Visibility,
)
from livinglab.domain.privacy import Precision, public_point
from livinglab.errors import ClientKeyReusedError, InvalidError
from livinglab.ports import UnitOfWork
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

    def digest(self) -> str:
        """Hash what was posted; the device's present time may differ between attempts."""
        left_out = {"client_key", "device_time", "submitted_at", "source"}
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
        The Observation, and whether it is new.

    Raises:
        ClientKeyReusedError: The key was used for another posting.
        InvalidError: Something is not as it must be, with its path.
    """
    if earlier := work.observations.posted_as(draft.source, str(draft.client_key)):
        if earlier.body_sha256 != draft.digest():
            raise ClientKeyReusedError(str(draft.client_key))
        return earlier, False
    category = categories.get(draft.category)
    if category is None:
        raise InvalidError("category", f"must be one of {', '.join(sorted(categories))}")
    if draft.initiative is not None and work.initiatives.get(draft.initiative) is None:
        raise InvalidError("initiative", f"there is no Initiative {draft.initiative!r}")
    contributor = contributor_of(token, work, now)
    posting = compose(draft, category, contributor, Ground(work), now=now)
    observation = posting.observation
    shown = observation.public_point
    if shown is not None and contributor.token_sha256 is not None:
        kept = _kept_point(observation, category, work) or shown
        observation.public_lon, observation.public_lat = kept
    work.observations.add(observation)
    work.observations.link(posting.link)
    work.observations.note(posting.event)
    if draft.incident is None:
        linking.begin(observation, work, now)
    else:
        linking.join(
            observation, draft.incident, by="contributor", confidence=1.0, work=work, now=now
        )
    return observation, True


@dataclass(frozen=True, slots=True)
class Posting:
    """An Observation with the first lines of its histories, not kept yet."""

    observation: Observation
    link: PlaceLink
    event: StatusEvent


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
    joined = ground.join(
        category, point=draft.point, place=draft.place, accuracy_m=draft.accuracy_m or 0.0
    )
    shown = public_point(draft.point, category.privacy) if draft.point else None
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
        lon=draft.point.lon if draft.point else None,
        lat=draft.point.lat if draft.point else None,
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
    return Posting(observation, link, event)


def contributor_with(token: str | None, work: UnitOfWork) -> Contributor | None:
    """Return the one behind a token."""
    if not token:
        return None
    return work.contributors.with_token(hashlib.sha256(token.encode()).hexdigest())


def contributors_of(
    tokens: Sequence[str | None], work: UnitOfWork, now: datetime
) -> list[Contributor]:
    """Return who is behind each token; whoever has none is somebody of their own."""
    known: dict[str, Contributor] = {}
    found, new = list[Contributor](), list[Contributor]()
    for token in tokens:
        one = known.get(token) or contributor_with(token, work) if token else None
        if one is None:
            one = _newcomer(token, now)
            new.append(one)
        if token:
            known[token] = one
        found.append(one)
    work.contributors.add_all(new)
    return found


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


def _kept_point(one: Observation, category: Category, work: UnitOfWork) -> Point | None:
    """Return the public point of the same person at the same Place: the mean of many gives away.

    A cell's centre is always the same by itself.
    """
    if category.privacy.precision is not Precision.EXACT:
        return None
    earlier = (
        each.public_point
        for each in work.observations.of_contributor(one.contributor)
        if each.place == one.place and each.category == one.category
    )
    return next((each for each in earlier if each), None)
