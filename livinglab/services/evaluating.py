"""Evaluating: what an Initiative changed, from stored Readings to a stored Effect."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median
from uuid import uuid4
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from livinglab.domain.geometry import distance_m
from livinglab.domain.indicators import Effect, Hypothesis
from livinglab.domain.initiatives import Disturbance, Role
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.places import Place
from livinglab.domain.readings import Bucket, Interval
from livinglab.domain.things import Datastream, Location
from livinglab.errors import NotFoundError, PanelError
from livinglab.impact import series, telling
from livinglab.impact.estimators import Options
from livinglab.impact.evaluation import Context, Evaluation, evaluate
from livinglab.impact.findings import THRESHOLDS
from livinglab.impact.wording import LANGUAGES, sentence_of
from livinglab.ports import CivicStore, ReadingStore, UnitOfWork
from livinglab.services.initiating import Design, design_of

HOUR = timedelta(hours=1)
LONGEST_BEFORE = timedelta(days=3 * 365)
"""Of the time before the start that is compared."""
WEEK_DAYS = 7.0
"""The season of daily values."""
HOUR_S = HOUR.total_seconds()
SHARE = 0.75
"""Of the Readings of an hour that must be there."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the civic store knows of an Initiative."""

    design: Design
    hypothesis: Hypothesis
    places: dict[str, Place]
    datastreams: tuple[tuple[str, Datastream], ...]
    """(Place, Datastream)."""
    locations: tuple[Location, ...]
    disturbances: tuple[Disturbance, ...]


def evaluate_initiative(
    initiative: str,
    hypothesis: str | None,
    *,
    civic: CivicStore,
    readings: ReadingStore,
    timezone: str,
    now: datetime,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Effect, Evaluation]:
    """Evaluate one Hypothesis on all Readings until now, and keep what was found.

    The Indicator is the daily value at each Place, over Datastreams that are there before and
    after. The window ends with the last day on which anything was measured.

    Raises:
        NotFoundError: There is no such Initiative or Hypothesis.
        PanelError: Nothing was measured at a treated Place, or on one side of the start.
        StoreUnavailableError: Nothing was kept; the same may be asked again.
    """
    with civic.work(write=False) as work:
        facts = _facts(initiative, hypothesis, work)
    progress("readings")
    design, asked = facts.design, facts.hypothesis
    local = ZoneInfo(timezone)
    start = design.initiative.starts_at.astimezone(local).date()
    daily = _days(facts, readings, timezone, now)
    treated = set(design.places(Role.TREATED))
    prepared = series.to_panel(daily, treated=treated & set(daily.members), start=start)
    panel = prepared.panel.transformed(asked.transform.value)
    context = _context(facts, prepared.panel.periods.dtype)
    found = evaluate(
        panel, context=context, options=Options(seasonal=WEEK_DAYS), seed=seed, progress=progress
    )
    known = OBSERVED_PROPERTIES[asked.observed_property]
    sentences = {
        lang: sentence_of(found, unit=known.unit, indicator=_label(known.label, lang), lang=lang)
        for lang in LANGUAGES
    }
    document = telling.document(
        found,
        sentences["en"],
        sentences=sentences,
        property=known.key,
        unit=known.unit,
        expected=asked.expected.value,
        smallest_effect=asked.smallest_effect,
        timezone=timezone,
        early=prepared.early,
        places={
            "treated": sorted(treated & set(panel.units)),
            "control": sorted(set(panel.units) - treated),
            "dropped": [
                {"place": one.unit, "reason": one.reason}
                for one in (*daily.dropped, *found.panel.dropped)
            ],
        },
        datastreams={place: list(names) for place, names in sorted(daily.members.items())},
    )
    effect = Effect(
        id=uuid4(),
        initiative=initiative,
        hypothesis=asked.key,
        version=asked.version,
        created_at=now,
        document=document,
    )
    with civic.work() as work:
        work.initiatives.add_effect(effect)
    return effect, found


def _label(label: str, lang: str) -> str | None:
    """The property's name, in the one language that the table has."""
    return label if lang == "en" else None


def _facts(initiative: str, hypothesis: str | None, work: UnitOfWork) -> _Facts:
    design = design_of(initiative, work)
    asked = design.hypothesis(hypothesis)
    roles = {one.place for one in design.areas if one.role is not Role.PLANNED}
    things = {one.key: one for one in work.things.all() if one.public and not one.moving}
    streams = tuple(
        (place, one)
        for one in work.things.datastreams()
        if one.observed_property == asked.observed_property
        and one.thing in things
        and (place := things[one.thing].place) in roles
        and place is not None
    )
    if not streams:
        raise NotFoundError("Datastream", f"{asked.observed_property} of {initiative}")
    named = {one.thing for _, one in streams}
    return _Facts(
        design,
        asked,
        {one.key: one for one in work.places.all()},
        streams,
        tuple(one for one in work.things.locations() if one.thing in named),
        tuple(work.initiatives.disturbances()),
    )


def _days(facts: _Facts, readings: ReadingStore, timezone: str, now: datetime) -> series.Series:
    """Daily values at each Place, from hourly means of flags 1 and 2."""
    known = OBSERVED_PROPERTIES[facts.hypothesis.observed_property]
    starts_at = facts.design.initiative.starts_at
    since = (starts_at - LONGEST_BEFORE).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    window = Interval(since, max(now, starts_at + HOUR))
    frames, stays, slow = [], [], {}
    for place, one in facts.datastreams:
        hours_seen = readings.every(one.number or 0, window, HOUR, known.aggregation)
        every = one.interval_s or _observed_interval_s(hours_seen)
        slow[one.key] = max(every, HOUR_S)
        enough = SHARE * min(1.0, HOUR_S / every) * max(1.0, HOUR_S / every)
        buckets = [one for one in hours_seen if one.n >= enough and math.isfinite(one.mean)]
        frames.append(
            pd.DataFrame(
                {
                    "datastream": one.key,
                    "time": pd.to_datetime([hour.start for hour in buckets], utc=True),
                    "result": [hour.mean for hour in buckets],
                    "flag": 1,
                }
            )
        )
        stays.append(_stay(place, one, facts.locations))
    measured = [one for one in frames if len(one)]
    if not measured:
        raise PanelError("nothing was measured at any of its Places")
    table = pd.concat(measured, ignore_index=True)
    hours = series.hourly(
        table,
        interval_s=slow,
        timezone=timezone,
        kind=known.aggregation,
        stays=pd.DataFrame(stays),
    )
    start = starts_at.astimezone(ZoneInfo(timezone)).date()
    return series.at_places(series.daily(hours), start=start)


def _observed_interval_s(hours: Sequence[Bucket]) -> float:
    """Tell how often a Datastream speaks, from the hours in which it did. [s]"""
    if len(hours) < 2:  # noqa: PLR2004 - two hours have a distance
        return HOUR_S
    gap = median((b.start - a.start).total_seconds() for a, b in pairwise(hours))
    return gap if gap > HOUR_S else HOUR_S / max(1.0, median(hour.n for hour in hours))


def _stay(place: str, one: Datastream, locations: Iterable[Location]) -> dict[str, object]:
    """Since when a Datastream stands where it stands now."""
    here = [at.since for at in locations if at.thing == one.thing]
    moved = len(here) > 1
    return {
        "datastream": one.key,
        "place": place,
        "since": max(here) if moved else None,
        "until": None,
    }


def _context(facts: _Facts, kind: np.dtype[np.generic]) -> Context:
    """What is known beside the numbers: freezes, neighbours, events, instruments."""
    initiative, asked = facts.design.initiative, facts.hypothesis
    written = [one.at for one in facts.design.areas]
    written += [one.at for one in facts.design.hypotheses]
    announced = initiative.announced_at
    return Context(
        smallest_effect=asked.smallest_effect,
        announced=(
            np.datetime64(announced.astimezone(UTC).replace(tzinfo=None)).astype(kind)
            if announced is not None and announced < initiative.starts_at
            else None
        ),
        unchanged=max(written) <= initiative.starts_at,
        near=_near(facts),
        events=_events(facts),
        changed=_changed(facts),
        primary=asked.primary or len(facts.design.hypotheses) == 1,
    )


def _near(facts: _Facts) -> frozenset[str]:
    """Controls within the ring of a street around a treated Place."""
    treated = [facts.places[key].point for key in facts.design.places(Role.TREATED)]
    return frozenset(
        key
        for key in facts.design.places(Role.CONTROL)
        if any(
            distance_m(facts.places[key].point, one) < THRESHOLDS.ring_street_m for one in treated
        )
    )


def _events(facts: _Facts) -> tuple[str, ...]:
    start = facts.design.initiative.starts_at
    margin = timedelta(days=THRESHOLDS.concurrent_days)
    places = {None, *facts.design.places(Role.TREATED)}
    return tuple(
        f"{one.kind} {one.note}".strip()
        for one in facts.disturbances
        if one.place in places
        and one.since <= start + margin
        and (one.until or one.since) >= start - margin
    )


def _changed(facts: _Facts) -> dict[str, str]:
    """Places whose Thing was moved around the start."""
    start = facts.design.initiative.starts_at
    margin = timedelta(days=THRESHOLDS.instrument_days)
    owners = {one.thing: place for place, one in facts.datastreams}
    first: set[str] = set()
    found = {}
    for at in sorted(facts.locations, key=lambda one: one.since):
        if at.thing in first and abs(at.since - start) <= margin:
            found[owners[at.thing]] = f"{at.thing} was moved"
        first.add(at.thing)
    return found
