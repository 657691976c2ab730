"""Observing: a citizen posts about a Place."""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from livinglab.domain.contributors import Contributor, Trust
from livinglab.domain.geometry import Point, distance_m
from livinglab.domain.observations import (
    Category,
    Channel,
    Observation,
    ObservationKind,
    PlaceLink,
    StatusEvent,
    Visibility,
)
from livinglab.domain.places import (
    Join,
    JoinMethod,
    Place,
    PlaceIndex,
    PlaceOrigin,
    Zone,
    zone_of,
)
from livinglab.domain.privacy import Precision, PrivacyRule, public_point
from livinglab.errors import ClientKeyReusedError, InvalidError
from livinglab.ports import UnitOfWork
from livinglab.services import linking
from livinglab.services.asking import answered
from livinglab.services.joining import public_places

SKEW_TOLERANCE = timedelta(minutes=2)
"""A device clock that is off by more is corrected."""
LEAST_CONFIDENCE = 0.35
"""Below this a posting gets a Place of its own instead of a doubtful one."""
_CONTACT = re.compile(
    r"https?://|www\.|\b[\w.+-]+@[\w-]+\.\w+|\+?\d[\d\s()./-]{7,}\d"
    r"|\b[A-Z]{1,3}[- ]?\d{2,4}[- ]?[A-Z]{1,3}\b"
)
"""Links, mail addresses, telephone numbers and number plates."""
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
"""Control characters, which PostgreSQL refuses in part, and those that turn the text around."""
_ZONE = "zone:"
"""Before the key of a Zone: the Place that stands for all of it."""

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
    digest = draft.digest()
    if earlier := work.observations.posted_as(draft.source, str(draft.client_key)):
        if earlier.body_sha256 != digest:
            raise ClientKeyReusedError(str(draft.client_key))
        return earlier, False
    category = categories.get(draft.category)
    if category is None:
        raise InvalidError("category", f"must be one of {', '.join(sorted(categories))}")
    if draft.initiative is not None and work.initiatives.get(draft.initiative) is None:
        raise InvalidError("initiative", f"there is no Initiative {draft.initiative!r}")
    answers = answered(category, draft.attributes)
    contributor = contributor_of(token, work, now)
    clocks = _clocks(draft, now)
    text = without_controls(draft.text)
    joined = _join(draft, category, work)
    shown = _shown(draft.point, joined.place, category, contributor, work)
    observation = Observation(
        id=uuid4(),
        contributor=contributor.pseudonym,
        source=draft.source,
        client_key=str(draft.client_key),
        body_sha256=digest,
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
        visibility=visibility_of(text, contributor),
        external_id=draft.external_id,
        attributes=answers,
        address=without_controls(draft.address) if draft.address else None,
        initiative=draft.initiative,
    )
    work.observations.add(observation)
    _begin_histories(observation, work, now)
    if draft.incident is None:
        linking.begin(observation, work, now)
    else:
        linking.join(
            observation, draft.incident, by="contributor", confidence=1.0, work=work, now=now
        )
    return observation, True


def _begin_histories(observation: Observation, work: UnitOfWork, now: datetime) -> None:
    work.observations.link(
        PlaceLink(
            observation=observation.id,
            place=observation.place,
            method=observation.method,
            distance_m=round(observation.distance_m, -1),  # several exact ones would tell where
            confidence=observation.confidence,
            by="join",
            at=now,
        )
    )
    work.observations.note(
        StatusEvent(
            observation=observation.id,
            at=now,
            actor="contributor",
            visibility=observation.visibility,
            status=observation.status,
        )
    )


def contributor_with(token: str | None, work: UnitOfWork) -> Contributor | None:
    """Return the one behind a token."""
    if not token:
        return None
    return work.contributors.with_token(hashlib.sha256(token.encode()).hexdigest())


def contributor_of(token: str | None, work: UnitOfWork, now: datetime) -> Contributor:
    """Return who posts: the one behind the token, or somebody new."""
    found = contributor_with(token, work)
    if found is None:
        digest = hashlib.sha256(token.encode()).hexdigest() if token else None
        found = Contributor(
            pseudonym=secrets.token_hex(16), created_at=now, token_sha256=digest, trust=Trust.NEW
        )
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


def _shown(
    point: Point | None,
    place: str,
    category: Category,
    contributor: Contributor,
    work: UnitOfWork,
) -> Point | None:
    """Return the public point; one person at one Place has one: the mean of many gives them away.

    A cell's centre does so by itself.
    """
    shown = public_point(point, category.privacy) if point else None
    if shown is None or category.privacy.precision is not Precision.EXACT:
        return shown
    if contributor.token_sha256 is None:
        return shown
    earlier = (
        one.public_point
        for one in work.observations.at_place(place)
        if one.contributor == contributor.pseudonym and one.category == category.key
    )
    return next((each for each in earlier if each), shown)


def _join(draft: Draft, category: Category, work: UnitOfWork) -> Join:
    """Find the Place: the one that was named, the one in reach, or a new one."""
    places, zones = public_places(work), work.zones.all()
    index = PlaceIndex(one for one in places if not _stands_for_zone(one))
    if draft.place is not None:
        named = next((one for one in places if one.key == draft.place), None)
        if named is None:
            raise InvalidError("place", f"there is no Place {draft.place!r}; see GET /places")
        if _by_zone(category.privacy):
            return _zone_place(zone_of(draft.point or named.point, zones), zones, work)
        metres = distance_m(draft.point, named.point) if draft.point else 0.0
        return Join(
            place=named.key,
            method=JoinMethod.CHOSEN,
            distance_m=round(metres, 1),
            confidence=1.0,
        )
    if draft.point is None:
        raise InvalidError("point", "give a point [lon, lat], or the key of a place")
    if _by_zone(category.privacy):
        return _zone_place(zone_of(draft.point, zones), zones, work)
    joined = index.join(
        draft.point,
        method=JoinMethod.PIN,
        reach_m=category.reach_m,
        accuracy_m=draft.accuracy_m or 0.0,
    )
    if joined is not None and joined.confidence >= LEAST_CONFIDENCE:
        return joined
    return _new_place(draft.point, category, zones, work)


def _by_zone(rule: PrivacyRule) -> bool:
    """Tell whether the theme may not be placed more precisely than a Zone."""
    return rule.personal or rule.precision is Precision.ZONE


def _stands_for_zone(place: Place) -> bool:
    """Tell whether a Place is a whole Zone: its point is a label's, and nothing is near it."""
    return place.origin is PlaceOrigin.OBSERVATION and place.key.startswith(_ZONE)


def _new_place(point: Point, category: Category, zones: list[Zone], work: UnitOfWork) -> Join:
    """Make a Place where nobody named one: no more precise than the theme allows."""
    zone = zone_of(point, zones)
    shown = public_point(point, category.privacy) or point
    key = f"o:{shown.lon:.5f}:{shown.lat:.5f}"
    if work.places.get(key) is None:
        radius = category.privacy.cell_m / 2
        exact = category.privacy.precision is Precision.EXACT
        work.places.add(
            Place(
                key=key,
                name=f"{zone.name if zone else 'Outskirts'}, {shown.lat:.4f} {shown.lon:.4f}",
                lon=shown.lon,
                lat=shown.lat,
                radius_m=50.0 if exact else radius,
                zone=zone.key if zone else None,
                origin=PlaceOrigin.OBSERVATION,
            )
        )
    return Join(place=key, method=JoinMethod.PIN, distance_m=0.0, confidence=1.0)


def _zone_place(zone: Zone | None, zones: list[Zone], work: UnitOfWork) -> Join:
    """Attach to a Zone as a whole, for themes that may not be placed more precisely.

    The Places of all Zones are made together, so that the first of them tells of nobody.
    """
    if zone is None:
        raise InvalidError("point", "lies outside the zones of the city; this theme needs one")
    for each in zones:
        if work.places.get(_ZONE + each.key) is None:
            work.places.add(_whole(each))
    return Join(
        place=_ZONE + zone.key, method=JoinMethod.ZONE_CENTROID, distance_m=0.0, confidence=1.0
    )


def _whole(zone: Zone) -> Place:
    lons, lats = zip(*zone.ring, strict=True)
    return Place(
        key=_ZONE + zone.key,
        name=zone.name,
        lon=sum(lons) / len(lons),
        lat=sum(lats) / len(lats),
        radius_m=0.0,
        zone=zone.key,
        origin=PlaceOrigin.OBSERVATION,
    )
