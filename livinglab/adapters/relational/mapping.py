"""Mapping: the domain's own classes as rows, without the domain knowing.

Entities refer to each other by key, so no relation is loaded behind anybody's back.
"""

from threading import Lock
from types import MappingProxyType

from sqlalchemy import Table
from sqlalchemy.orm import registry

from livinglab.adapters.relational import tables
from livinglab.domain.access import ApiKey
from livinglab.domain.answers import CityResponse
from livinglab.domain.batches import Batch
from livinglab.domain.contributors import Consent, Contributor, Donation, Erasure
from livinglab.domain.incidents import Confirmation, Incident, IncidentLink
from livinglab.domain.indicators import (
    AgreementFound,
    Effect,
    EvaluationJob,
    Hypothesis,
    Picture,
)
from livinglab.domain.initiatives import Disturbance, Initiative, InitiativeArea
from livinglab.domain.ledger import Quarantined
from livinglab.domain.moderation import AbuseFlag, Appeal, ModerationAction
from livinglab.domain.notices import EmailCode, Notice, OptOut
from livinglab.domain.observations import Observation, PlaceLink, StatusEvent
from livinglab.domain.photos import Photo
from livinglab.domain.places import Place, Zone
from livinglab.domain.staff import StaffMember, StaffSession
from livinglab.domain.suppression import Aggregate
from livinglab.domain.texting import Conversation, TextMessage
from livinglab.domain.things import Datastream, Location, Thing
from livinglab.domain.voices import Comment, Feedback, Support

_TABLES: dict[type, Table] = {
    Zone: tables.zone,
    Place: tables.place,
    Thing: tables.thing,
    Datastream: tables.datastream,
    Location: tables.location,
    Contributor: tables.contributor,
    Consent: tables.consent,
    Donation: tables.donation,
    Erasure: tables.erasure,
    Observation: tables.observation,
    PlaceLink: tables.place_link,
    StatusEvent: tables.status_event,
    Incident: tables.incident,
    IncidentLink: tables.incident_link,
    Confirmation: tables.confirmation,
    Support: tables.support,
    Comment: tables.comment,
    Feedback: tables.feedback,
    AbuseFlag: tables.flag,
    ModerationAction: tables.moderation_action,
    Appeal: tables.appeal,
    CityResponse: tables.city_response,
    Photo: tables.photo,
    Batch: tables.batch,
    Quarantined: tables.quarantine,
    Initiative: tables.initiative,
    InitiativeArea: tables.initiative_area,
    Hypothesis: tables.hypothesis,
    Effect: tables.effect,
    Picture: tables.effect_picture,
    EvaluationJob: tables.evaluation_job,
    Disturbance: tables.disturbance,
    AgreementFound: tables.agreement,
    Notice: tables.notice,
    OptOut: tables.opt_out,
    EmailCode: tables.email_code,
    Conversation: tables.conversation,
    TextMessage: tables.text_message,
    Aggregate: tables.aggregate,
    StaffMember: tables.staff,
    StaffSession: tables.staff_session,
    ApiKey: tables.api_key,
}

TABLES = MappingProxyType(_TABLES)
_DERIVED = {Thing: ["key"], Datastream: ["key"]}
"""Columns that are properties in the domain: computed when a row is made, asked for in queries."""

_mappers = registry(metadata=tables.metadata)
_mapping = Lock()


def start_mappers() -> None:
    """Map the domain's classes; a second call does nothing."""
    with _mapping:
        if any(_mappers.mappers):
            return
        for entity, table in _TABLES.items():
            _mappers.map_imperatively(entity, table, exclude_properties=_DERIVED.get(entity, []))
        _mappers.configure()
