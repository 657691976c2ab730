"""Telling: Observations as service requests, and what became of them as updates."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from api import public
from api.open311.rendering import Items, time
from livinglab.domain.answers import CityResponse, Responsibility, responsible
from livinglab.domain.incidents import Outcome
from livinglab.domain.observations import (
    Category,
    Observation,
    Status,
    StatusEvent,
    Visibility,
)
from livinglab.domain.places import Place
from livinglab.domain.privacy import Precision

Row = dict[str, Any]

UPDATE_STATUS = {
    Outcome.FIXED: "fixed",
    Outcome.NOT_OURS: "not_councils_responsibility",
    Outcome.WONT_FIX: "no_further_action",
    Outcome.NOT_NEEDED: "no_further_action",
    Outcome.CANNOT_FIND: "no_further_action",
    Outcome.DUPLICATE: "duplicate",
}
"""Outcome → how the updates extension calls it."""


def code_of(category: str) -> str:
    """Return a category's key as clients accept it: letters, digits, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", category)


def codes(categories: Mapping[str, Category]) -> dict[str, Category]:
    """Return the categories by their service codes."""
    return {code_of(one.key): one for one in categories.values()}


def service(one: Category) -> Row:
    """Describe a category as a service."""
    return {
        "service_code": code_of(one.key),
        "service_name": one.label,
        "description": one.description,
        "metadata": bool(one.attributes),
        "type": "realtime",
        "keywords": ",".join(one.properties),
        "group": one.group,
    }


def definition(one: Category) -> Row:
    """Describe what a category asks."""
    return {
        "service_code": code_of(one.key),
        "attributes": Items(
            "attribute",
            [
                {
                    "variable": each.asked,
                    "code": each.code,
                    "datatype": each.datatype.value,
                    "required": each.required,
                    "datatype_description": each.hint,
                    "order": order,
                    "description": each.question,
                    "values": Items(
                        "value", [{"key": key, "name": name} for key, name in each.values.items()]
                    ),
                }
                for order, each in enumerate(one.attributes, start=1)
            ],
        ),
    }


def request(
    one: Observation,
    category: Category,
    place: Place,
    rows: tuple[Responsibility, ...],
    notes: str,
) -> Row | None:
    """Describe an Observation; None where nobody may learn that it exists.

    What waits, and what is not itemised, shows service, status, times and public point alone.
    """
    if one.visibility in {Visibility.REMOVED, Visibility.RESTRICTED}:
        return None
    told = public.observation(one, {category.key: category})
    whole = told is not None and not told["waiting"]
    point = one.public_point or place.point
    row = responsible(rows, one.category, place.zone)
    exact = category.privacy.precision is Precision.EXACT
    return {
        "service_request_id": str(one.id),
        "status": one.status.value,
        "status_notes": notes if whole else "",
        "service_name": category.label,
        "service_code": code_of(category.key),
        "description": one.text if whole else "",
        "agency_responsible": row.organisation if row else "",
        "service_notice": row.reason if row else "",
        "requested_datetime": time(one.occurred_at),
        "updated_datetime": time(one.updated_at or one.received_at),
        "expected_datetime": time(one.received_at + row.answer_within) if row else None,
        "address": (whole and exact and one.address) or place.name,
        "address_id": place.key,
        "zipcode": "",
        "lat": float(point.lat),
        "long": float(point.lon),
        "media_url": "",
    }


def status_notes(events: Iterable[StatusEvent]) -> str:
    """Return the last note that tells of a status."""
    notes = [one.note for one in events if one.note and one.visibility is Visibility.PUBLIC]
    return notes[-1] if notes else ""


def extended(one: Observation, events: Iterable[StatusEvent]) -> Row:
    """Return what the extension adds: channel, Place, Incident, and the history as notes."""
    return {
        "extended_attributes": {
            "channel": one.channel.value,
            "kind": one.kind.value,
            "severity": one.severity,
            "outcome": one.outcome.value if one.outcome else None,
            "phase": one.phase.value if one.phase else None,
            "incident": str(one.incident) if one.incident else None,
            "membership": one.membership.value if one.membership else None,
        },
        "notes": Items(
            "note",
            [
                {
                    "datetime": time(each.at),
                    "description": each.note if each.visibility is Visibility.PUBLIC else "",
                    "type": update_status(each),
                }
                for each in events
            ],
        ),
    }


def update_status(one: StatusEvent) -> str:
    """Name a state as the updates extension does."""
    if one.status is Status.CLOSED:
        return UPDATE_STATUS.get(one.outcome, "closed") if one.outcome else "closed"
    return one.phase.value if one.phase else "open"


def update_of_status(one: StatusEvent) -> Row:
    """Describe a change of state as an update."""
    return {
        "update_id": f"s{_name_of(one)}",
        "service_request_id": str(one.observation),
        "status": update_status(one),
        "updated_datetime": time(one.at),
        "description": one.note if one.visibility is Visibility.PUBLIC else "",
        "media_url": "",
    }


def _name_of(one: StatusEvent) -> UUID:
    """Name a change of state by what is public of it; numbers have gaps, which tell of others."""
    state = (one.visibility, one.status, one.outcome, one.phase)
    told = "/".join("" if part is None else part.value for part in state)
    return uuid5(NAMESPACE_URL, f"{one.observation}/{one.at.isoformat()}/{told}")


def update_of_response(one: CityResponse, observation: Observation) -> Row:
    """Describe an answer of the city as an update."""
    return {
        "update_id": f"r{one.key}-{one.version}",
        "service_request_id": str(observation.id),
        "status": "open" if observation.status is Status.OPEN else "closed",
        "updated_datetime": time(one.published_at),
        "description": "\n\n".join(part for part in (one.we_did, one.why_not) if part),
        "media_url": "",
    }
