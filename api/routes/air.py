"""The air at a Place: its index now, and what a year says about the limit values.

Every number goes with what it rests on: pollutant, Datastream, coverage, table and version, and
whether that table's row was compared with its source.
"""

from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request

from api import public
from api.dependencies import Answers, LabDep, ReadDep
from livinglab.bootstrap import Lab
from livinglab.domain.air_quality import (
    EUROPEAN,
    Assessment,
    CoverageRules,
    Limit,
    LimitTable,
    StationKind,
    SubIndex,
    Table,
)
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.errors import InvalidError
from livinglab.ports import UnitOfWork
from livinglab.services.assessing import AirNow, AirYear, Judged, air_now, air_year

router = APIRouter(tags=["places"])

Json = dict[str, Any]
FIRST_YEAR = 2000
"""The time of Readings begins here."""
DIGITS = 4
"""Decimals of means and shares."""


@router.get("/places/{key}/air")
def show_air(
    key: str,
    request: Request,
    lab: LabDep,
    work: ReadDep,
    year: Annotated[
        int | None, Query(ge=FIRST_YEAR, description="The city's calendar year; default: this one.")
    ] = None,
    index: Annotated[str, Query(description="Name and version of the index.")] = EUROPEAN,
    station: Annotated[
        StationKind, Query(description="What the Place is measured for.")
    ] = StationKind.OTHER,
) -> Json:
    """Tell how good the air at a Place is, and which limit values it kept in a year.

    Told anew each hour, and whenever a Thing or a Place changed.
    """
    now, timezone = lab.clock.now(), lab.city.timezone
    this_year = now.astimezone(ZoneInfo(timezone)).year
    if year is not None and year > this_year:
        raise InvalidError("year", f"must be {this_year} or before")
    answers: Answers = request.app.state.airs
    hour = now.replace(minute=0, second=0, microsecond=0)
    question = (key, year or this_year, index, station, hour, work.things.version())
    return answers.get(
        question, lambda: _air(lab, work, key, year or this_year, index, station, now)
    )


def _air(
    lab: Lab,
    work: UnitOfWork,
    key: str,
    year: int,
    index: str,
    station: StationKind,
    now: datetime,
) -> Json:
    timezone = lab.city.timezone
    latest = air_now(
        key,
        table=index,
        kind=station,
        timezone=timezone,
        now=now,
        work=work,
        readings=lab.readings,
    )
    whole = air_year(key, year, timezone=timezone, now=now, work=work, readings=lab.readings)
    return {
        "place": public.place(latest.place),
        "index": _index(latest),
        "limits": _limits(whole),
        "coverage_rules": _rules(latest.rules),
    }


def _table(one: Table) -> Json:
    return {
        "name": one.name,
        "title": one.title,
        "version": one.version,
        "source": one.source,
        "in_force": one.in_force,
        "verified": one.verified,
        "notes": list(one.notes),
    }


def _rules(one: CoverageRules) -> Json:
    rows = {
        key: {"share": row.share, "verified": row.verified, "note": row.note}
        for key, row in one.rows.items()
    }
    return {**_table(one), "periods": rows}


def _index(one: AirNow) -> Json:
    """Describe an index with its pollutants; the level is null where pollutants lack."""
    found = one.index
    return {
        "table": _table(found.scale),
        "station": found.kind.value,
        "completeness_verified": found.scale.complete_verified,
        "verified": found.verified,
        "end": public.time(one.end),
        "level": _level(found.worst) if found.worst else None,
        "lacking": [list(several) for several in found.lacking],
        "pollutants": [
            _pollutant(sub, stream)
            for sub, stream in zip(found.pollutants, one.datastreams, strict=True)
        ],
    }


def _level(one: SubIndex) -> Json:
    return {
        "pollutant": one.concentration.pollutant,
        "rank": one.rank,
        "label": one.level.label,
        "colour": one.level.colour,
        "colour_verified": one.level.colour_verified,
        "number": one.number,
        "beyond": one.beyond,
    }


def _pollutant(one: SubIndex, datastream: str) -> Json:
    measured = one.concentration
    known = OBSERVED_PROPERTIES[measured.pollutant]
    return {
        **_level(one),
        "name": known.label,
        "datastream": datastream,
        "hours": measured.hours,
        "mean": round(measured.mean, DIGITS),
        "unit": known.unit,
        "coverage": round(measured.coverage, DIGITS),
        "judged": one.judged,
        "judged_unit": one.unit,
        "verified": one.verified,
    }


def _limits(one: AirYear) -> Json:
    return {
        "year": one.year,
        "timezone": one.timezone,
        "over": one.over,
        "tables": [_limit_table(table, one.judged) for table in one.tables],
    }


def _limit_table(table: LimitTable, judged: tuple[Judged, ...]) -> Json:
    return {
        **_table(table),
        "assessments": [
            _assessment(found, one)
            for one in judged
            for found in one.assessments
            if found.table == table.name
        ],
        "not_assessed": [
            {**_limit(limit), "datastream": one.datastream, "why": "needs means below an hour"}
            for one in judged
            for limit in one.not_assessed
            if limit in table.rows
        ],
    }


def _limit(one: Limit) -> Json:
    return {
        "limit": one.key,
        "pollutant": one.pollutant,
        "kind": one.kind,
        "period": one.period.value,
        "statistic": one.statistic.value,
        "must_not_exceed": one.value,
        "unit": one.unit,
        "years": one.years,
        "verified": one.verified,
        "note": one.note,
    }


def _assessment(one: Assessment, stream: Judged) -> Json:
    return {
        **_limit(one.limit),
        "datastream": stream.datastream,
        "verdict": one.verdict.value,
        "value": None if one.value is None else round(one.value, DIGITS),
        "exceedances": list(one.exceedances),
        "allowed": one.allowed,
        "coverage": round(one.coverage, DIGITS),
        "coverage_required": one.required,
    }
