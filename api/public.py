"""The public serializer: the only way from entities to what anybody may read.

What may be public is decided by `livinglab.domain.privacy`; here it becomes JSON. A pseudonym, a
token, an exact position, a client_key, a hash and words that wait never pass.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from livinglab.domain.answers import CityResponse, Responsibility
from livinglab.domain.batches import Batch
from livinglab.domain.geometry import Point
from livinglab.domain.incidents import Incident
from livinglab.domain.indicators import AgreementFound, Effect, EvaluationJob
from livinglab.domain.initiatives import Disturbance
from livinglab.domain.observations import Category, Observation, StatusEvent, Visibility
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.photos import Photo
from livinglab.domain.places import Place, Zone
from livinglab.domain.privacy import public_count
from livinglab.domain.readings import Bucket, Reading, Test
from livinglab.domain.staff import StaffMember
from livinglab.domain.suppression import Aggregate
from livinglab.domain.things import Datastream, Thing
from livinglab.domain.voices import Comment, Feedback
from livinglab.services.initiating import Design
from livinglab.services.joining import AtPlace, Latest, Timeline
from livinglab.services.linking import Candidate
from livinglab.services.locating import Address
from livinglab.services.receiving import Received
from livinglab.services.voicing import Stances

Json = dict[str, Any]
TITLE = 120
"""Characters of a posting that stand for it in a list."""


def time(instant: datetime) -> str:
    """Write an instant as RFC 3339 in UTC."""
    spec = "milliseconds" if instant.microsecond else "seconds"
    text = instant.isoformat(timespec=spec)
    return text.replace("+00:00", "Z")


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _point(point: Point | None) -> list[float] | None:
    return [point.lon, point.lat] if point else None


def zone(one: Zone) -> Json:
    """Describe a Zone."""
    return {
        "key": one.key,
        "name": one.name,
        "kind": one.kind.value,
        "residents": one.residents,
        "counted": one.counted.isoformat(),
        "ring": [_point(corner) for corner in one.ring],
    }


def place(one: Place) -> Json:
    """Describe a Place."""
    return {
        "key": one.key,
        "name": one.name,
        "point": _point(one.point),
        "radius_m": one.radius_m,
        "zone": one.zone,
        "origin": one.origin.value,
    }


def address(one: Address) -> Json:
    """Describe an address that may be meant, with the Place nearest to it."""
    near = one.place and {
        "key": one.place.key,
        "name": one.place.name,
        "distance_m": one.distance_m,
    }
    return {
        "label": one.located.label,
        "point": _point(one.located.point),
        "score": one.located.score,
        "place": near,
    }


def latest(one: Latest, now: datetime) -> Json:
    """Describe a Datastream with its latest Reading, its age, and whether that is current."""
    known = OBSERVED_PROPERTIES[one.datastream.observed_property]
    told: Json = {
        "key": one.datastream.key,
        "thing": one.datastream.thing,
        "property": known.key,
        "label": known.label,
        "unit": known.unit,
        "time": None,
        "result": None,
        "flag": None,
        "age_s": None,
        "stale": one.stale,
        "current": one.current,
    }
    if one.reading is not None:
        told |= {
            "time": time(one.reading.time),
            "result": _number(one.reading.result),
            "unit": unit_of(one.reading, known.unit),
            "flag": int(one.reading.flag),
            "age_s": round((now - one.reading.time).total_seconds(), 1),
        }
    return told


def at_place(one: AtPlace, now: datetime, categories: Mapping[str, Category]) -> Json:
    """Describe a Place and what is known there; personal themes are only in aggregates."""
    return {
        **place(one.place),
        "datastreams": [latest(stream, now) for stream in one.latest],
        "observations": [
            {"category": category, "status": status.value, "n": n}
            for (category, status), n in sorted(one.observations.items(), key=str)
            if _itemised(category, categories)
        ],
        "on_paper": counted(one.on_paper, categories),
    }


def counted(totals: Mapping[str, int], categories: Mapping[str, Category]) -> list[Json]:
    """Tell how many people said something on paper, by category, under the k-rule."""
    told = []
    for category, n in sorted(totals.items()):
        if _itemised(category, categories):
            shown = public_count(n, n, k=categories[category].privacy.k)
            if not shown.suppressed:
                told.append({"category": category, "n": shown.n})
    return told


def account(one: StaffMember, guard: str) -> Json:
    """Describe to whoever signed in what they may do."""
    return {
        "login": one.login,
        "scopes": one.scopes.split(),
        "second_factor": one.second_factor is not None,
        "csrf": guard,
    }


def aggregate(one: Aggregate) -> Json:
    """Describe what was said in a month, as it was published."""
    return {
        "month": f"{one.month:%Y-%m}",
        "category": one.category,
        "zones": list(one.zones),
        "n": one.n,
        "contributors": one.contributors,
        "suppressed": one.n is None,
        "k": one.k,
        "published_at": time(one.published_at),
    }


def batch(one: Batch) -> Json:
    """Describe a batch to whoever may plan with it."""
    return {
        "source": one.source,
        "external_id": one.external_id,
        "category": one.category,
        "day": one.day.isoformat(),
        "n": one.n,
        "channel": one.channel.value,
        "place": one.place,
        "zone": one.zone,
        "strata": one.strata,
        "received_at": time(one.received_at),
    }


def _itemised(category: str, categories: Mapping[str, Category]) -> bool:
    return category in categories and not categories[category].privacy.personal


def observation(one: Observation, categories: Mapping[str, Category]) -> Json | None:
    """Describe an Observation; None where the public may not see that it exists."""
    hidden = one.visibility in {Visibility.REMOVED, Visibility.RESTRICTED}
    if hidden or not _itemised(one.category, categories):
        return None
    waiting = one.visibility is Visibility.QUARANTINED
    return {
        "id": str(one.id),
        "kind": one.kind.value,
        "category": one.category,
        "place": one.place,
        "point": _point(one.public_point),
        "occurred_at": time(one.occurred_at),
        "received_at": time(one.received_at),
        "severity": one.severity,
        "channel": one.channel.value,
        "assisted": one.assisted,
        "status": one.status.value,
        "outcome": one.outcome.value if one.outcome else None,
        "phase": one.phase.value if one.phase else None,
        "updated_at": time(one.updated_at or one.received_at),
        "incident": str(one.incident) if one.incident else None,
        "membership": one.membership.value if one.membership else None,
        "initiative": one.initiative,
        "waiting": waiting,
        "text": None if waiting else one.text,
        "lang": one.lang,
    }


def photo(one: Photo) -> Json:
    """Describe a photo that a moderator let go."""
    return {
        "url": f"/media/{one.key}",
        "thumbnail": f"/media/{one.key}?size=thumb",
        "width": one.width,
        "height": one.height,
    }


def own_photo(one: Photo) -> Json:
    """Tell who sent a photo what became of it."""
    return {**photo(one), "waiting": one.visibility is Visibility.QUARANTINED}


def status_event(one: StatusEvent) -> Json:
    """Describe one change of what an Observation is; who made it is not told."""
    return {
        "at": time(one.at),
        "status": one.status.value,
        "outcome": one.outcome.value if one.outcome else None,
        "phase": one.phase.value if one.phase else None,
        "note": one.note if one.visibility is Visibility.PUBLIC else "",
    }


def incident(
    one: Incident, members: Sequence[Observation], categories: Mapping[str, Category]
) -> Json | None:
    """Describe an Incident with what was posted about it; None where no member may be seen."""
    told = [each for member in members if (each := observation(member, categories))]
    if not told:
        return None
    return {
        "id": str(one.id),
        "category": one.category,
        "place": one.place,
        "first_at": time(one.first_at),
        "last_at": time(one.last_at),
        "ended_at": time(one.ended_at) if one.ended_at else None,
        "end_reason": one.end_reason.value if one.end_reason else None,
        "observations": told,
    }


def candidate(
    one: Candidate, photos: Sequence[Photo], categories: Mapping[str, Category], now: datetime
) -> Json:
    """Describe what a posting may be about that was posted already."""
    first = observation(one.original, categories) or {}
    label = categories[one.incident.category].label
    return {
        "incident": str(one.incident.id),
        "title": (first.get("text") or label)[:TITLE],
        "thumbnail": photo(photos[0])["thumbnail"] if photos else None,
        "category": one.incident.category,
        "place": one.incident.place,
        "point": first.get("point"),
        "distance_m": one.distance_m,
        "age_s": round((now - one.incident.first_at).total_seconds()),
        "status": "closed" if one.incident.ended_at else one.original.status.value,
        "outcome": one.original.outcome.value if one.original.outcome else None,
        "observations": one.observations,
        "supports": one.supports,
    }


def stances(subject: str, one: Stances) -> Json:
    """Count the voices on something."""
    return {
        "subject": subject,
        "for": one.supporting,
        "against": one.against,
        "neutral": one.neutral,
    }


def comment(one: Comment) -> Json | None:
    """Describe a Comment; None while it waits, and once it is removed."""
    if one.visibility is not Visibility.PUBLIC:
        return None
    return {
        "id": str(one.id),
        "subject": one.subject,
        "text": one.text,
        "lang": one.lang,
        "at": time(one.at),
    }


def feedback(one: Feedback) -> Json:
    """Describe a rating; its words only once a moderator let them go."""
    public = one.visibility is Visibility.PUBLIC
    return {
        "id": str(one.id),
        "subject": one.subject,
        "dimension": one.dimension.value,
        "rating": one.rating,
        "text": one.text if public else None,
        "lang": one.lang,
        "channel": one.channel.value,
        "stage_at": one.stage_at,
        "at": time(one.at),
    }


def response(one: CityResponse) -> Json:
    """Describe an answer of the city; who typed it is not told."""
    return {
        "key": one.key,
        "version": one.version,
        "subject": one.subject,
        "you_said": one.you_said,
        "we_did": one.we_did,
        "why_not": one.why_not,
        "evidence": list(one.evidence),
        "promised_for": one.promised_for.isoformat() if one.promised_for else None,
        "department": one.department,
        "published_at": time(one.published_at),
    }


def responsibility(one: Responsibility) -> Json:
    """Say who answers, and why they do."""
    return {
        "category": one.category,
        "zone": one.zone,
        "organisation": one.organisation,
        "reason": one.reason,
        "answer_within_s": round(one.answer_within.total_seconds()),
    }


def category(one: Category) -> Json:
    """Describe a theme, what it asks, and what the public will see of a posting."""
    return {
        "key": one.key,
        "label": one.label,
        "group": one.group,
        "description": one.description,
        "reach_m": one.reach_m,
        "precision": one.privacy.precision.value,
        "personal": one.privacy.personal,
        "attributes": [
            {
                "code": each.code,
                "question": each.question,
                "datatype": each.datatype.value,
                "required": each.required,
                "asked": each.asked,
                "hint": each.hint,
                "values": [{"key": key, "name": name} for key, name in each.values.items()],
            }
            for each in one.attributes
        ],
    }


def receipt(one: Observation, joined: Place) -> Json:
    """Tell who posted what became of it: the Place, how it was found, and how far away."""
    return {
        "id": str(one.id),
        "place": {"key": joined.key, "name": joined.name},
        "method": one.method.value,
        "distance_m": one.distance_m,
        "confidence": one.confidence,
        "occurred_at": time(one.occurred_at),
        "received_at": time(one.received_at),
        "time_corrected": one.time_corrected,
        "waiting": one.visibility is Visibility.QUARANTINED,
        "incident": str(one.incident) if one.incident else None,
    }


def thing(one: Thing, datastreams: list[Datastream]) -> Json:
    """Describe a Thing that may be public."""
    return {
        "key": one.key,
        "name": one.name or one.key,
        "moving": one.moving,
        "place": one.place,
        "introduced_at": time(one.introduced_at),
        "datastreams": [
            {"key": stream.key, "property": stream.observed_property} for stream in datastreams
        ],
    }


def unit_of(one: Reading, unit: str) -> str | None:
    """Return the property's unit, or None for a number whose own unit nobody knows."""
    return None if Test.UNIT_UNKNOWN in one.tests else unit


def reading(one: Reading, unit: str) -> Json:
    """Describe a Reading; where a moving Thing was is told by Place only."""
    return {
        "time": time(one.time),
        "result": _number(one.result),
        "flag": int(one.flag),
        "unit": unit_of(one, unit),
    }


def bucket(one: Bucket, expected: float | None) -> Json:
    """Describe the Readings of one period."""
    told: Json = {
        "start": time(one.start),
        "mean": _number(one.mean),
        "min": _number(one.minimum),
        "max": _number(one.maximum),
        "n": one.n,
        "suspect": one.suspect,
    }
    if expected:
        told["coverage"] = round(min(1.0, one.n / expected), 3)
    return told


def timeline(one: Timeline) -> Json:
    """Describe what was measured and what was said at a Place."""
    return {
        "place": place(one.place),
        "readings": [
            {"datastream": key, "buckets": [bucket(b, one.expected.get(key)) for b in buckets]}
            for key, buckets in one.readings.items()
        ],
        "observations": [
            {
                "month": period.start.isoformat(),
                "category": period.category,
                "n": period.count.n,
                "contributors": period.count.contributors,
                "suppressed": period.count.suppressed,
            }
            for period in one.observations
        ],
    }


def received(told: Received) -> dict[str, Any]:
    """Write what became of a payload; whoever sent it may read why something was refused."""
    return {
        "stored": told.stored,
        "duplicate": told.duplicate,
        "replaced": told.replaced,
        "quarantined": [
            {"reason": one.reason, "detail": one.detail, "path": one.path}
            for one in told.quarantined
        ],
    }


def initiative(one: Design) -> Json:
    """Describe an Initiative with the newest version of what it expects, where."""
    return {
        "key": one.initiative.key,
        "title": one.initiative.title,
        "theme": one.initiative.theme,
        "announced_at": time(one.initiative.announced_at) if one.initiative.announced_at else None,
        "starts_at": time(one.initiative.starts_at),
        "created_at": time(one.initiative.created_at),
        "areas": [
            {"place": area.place, "role": area.role.value, "version": area.version}
            for area in one.areas
        ],
        "hypotheses": [
            {
                "key": expected.key,
                "version": expected.version,
                "property": expected.observed_property,
                "expected": expected.expected.value,
                "transform": expected.transform.value,
                "smallest_effect": expected.smallest_effect,
                "primary": expected.primary,
                "at": time(expected.at),
            }
            for expected in one.hypotheses
        ],
    }


def disturbance(one: Disturbance) -> Json:
    """Describe something else that happened."""
    return {
        "kind": one.kind,
        "note": one.note,
        "place": one.place,
        "since": time(one.since),
        "until": time(one.until) if one.until else None,
    }


def job(one: EvaluationJob, step: str = "") -> Json:
    """Describe an evaluation that was asked for and has not found anything yet."""
    return {
        "id": str(one.id),
        "state": one.state.value,
        "initiative": one.initiative,
        "hypothesis": one.hypothesis,
        "seed": one.seed,
        "asked_at": time(one.asked_at),
        "step": step,
        "problem": one.problem,
    }


def effect(one: Effect) -> Json:
    """Describe what an evaluation found; it names Places and counts, and nobody."""
    return {
        "id": str(one.id),
        "state": "done",
        "initiative": one.initiative,
        "hypothesis": one.hypothesis,
        "version": one.version,
        "created_at": time(one.created_at),
        **one.document,
    }


def agreement(one: AgreementFound, categories: Mapping[str, Category]) -> Json | None:
    """Describe whether words and measurements go together; personal themes only by Zone."""
    kind, _, key = one.subject.partition(":")
    if kind == "place" and not _itemised(one.category, categories):
        return None
    return {
        kind: key,
        "category": one.category,
        "property": one.observed_property,
        "computed_at": time(one.computed_at),
        **one.document,
    }
