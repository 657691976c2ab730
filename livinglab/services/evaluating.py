"""Evaluating: what an Initiative changed, from stored Readings to a stored Effect."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from livinglab.domain.geometry import distance_m
from livinglab.domain.indicators import Effect, EvaluationJob, Hypothesis, JobState, Picture
from livinglab.domain.initiatives import Disturbance, Role
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.places import Place
from livinglab.domain.readings import Interval
from livinglab.domain.things import Datastream, Location, Thing
from livinglab.errors import NotEstimableError, NotFoundError, PanelError
from livinglab.impact import plots, series, telling
from livinglab.impact.estimators import Options
from livinglab.impact.evaluation import Calm, Context, Evaluation, evaluate
from livinglab.impact.findings import THRESHOLDS
from livinglab.impact.panel import Panel
from livinglab.impact.weather import normalise
from livinglab.impact.wording import LANGUAGES, sentence_of
from livinglab.ports import CivicStore, ReadingStore, UnitOfWork
from livinglab.services.averaging import HOUR, hours_of
from livinglab.services.initiating import Design, design_of
from livinglab.services.meteorology import PROPERTIES as WEATHER
from livinglab.services.meteorology import Sky, sky_of

LONGEST_BEFORE = timedelta(days=3 * 365)
"""Of the time before the start that is compared."""
WEEK_DAYS = 7.0
"""The season of daily values."""
Progress = Callable[[str], None]
"""Told the name of each step as it begins; what it raises ends the evaluation."""


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
    things: Mapping[str, Thing]
    everything: tuple[Datastream, ...]
    """All Datastreams of the lab: some of them know the weather."""


def run_job(
    job: UUID,
    *,
    civic: CivicStore,
    readings: ReadingStore,
    timezone: str,
    now: datetime,
    progress: Progress = lambda _: None,
) -> None:
    """Do an evaluation that was asked for, and keep how it ended.

    What its data do not carry ends it as failed, with the reason. Anything else that is raised,
    by *progress* too, leaves it open, to be done again; an Effect is kept once all the same.

    Args:
        job: Its id, and that of the Effect.
        civic: Where the design is, and the Effect will be.
        readings: Where the Readings are.
        timezone: IANA zone of the days.
        now: The end of the Readings that count.
        progress: Told each step.

    Raises:
        NotFoundError: There is no such job.
        StoreUnavailableError: It may be done again.
    """
    with civic.work() as work:
        asked = _job(job, work)
        if not asked.open:
            return
        asked.state = JobState.RUNNING
        done = work.initiatives.effect(job) is not None
    problem = ""
    try:
        if not done:
            effect, pictures = evaluate_initiative(
                asked,
                civic=civic,
                readings=readings,
                timezone=timezone,
                now=now,
                progress=progress,
            )
            with civic.work() as work:
                if work.initiatives.effect(job) is None:
                    work.initiatives.add_effect(effect, pictures)
    except (PanelError, NotEstimableError, NotFoundError) as error:
        problem = str(error)
    with civic.work() as work:
        end_job(job, problem, work)


def end_job(job: UUID, problem: str, work: UnitOfWork) -> None:
    """Keep how an evaluation ended: failed if there was a problem."""
    ended = _job(job, work)
    ended.state = JobState.FAILED if problem else JobState.DONE
    ended.problem = problem


def _job(job: UUID, work: UnitOfWork) -> EvaluationJob:
    found = work.initiatives.job(job)
    if found is None:
        raise NotFoundError("EvaluationJob", str(job))
    return found


def evaluate_initiative(
    asked: EvaluationJob,
    *,
    civic: CivicStore,
    readings: ReadingStore,
    timezone: str,
    now: datetime,
    progress: Progress = lambda _: None,
) -> tuple[Effect, list[Picture]]:
    """Evaluate one Hypothesis on all Readings until now; nothing is kept yet.

    The Indicator is the daily value at each Place, over Datastreams that are there before and
    after. The window ends with the last day on which anything was measured. Where the city's own
    stations know the weather, it is taken out of what tiers 2 to 4 are estimated on.

    Args:
        asked: Which, with which seed, and under which id.
        civic: Where the design is.
        readings: Where the Readings are.
        timezone: IANA zone of the days.
        now: The end of the Readings that count.
        progress: Told each step.

    Raises:
        NotFoundError: There is no such Initiative or Hypothesis.
        PanelError: Nothing was measured at a treated Place, or on one side of the start.
        StoreUnavailableError: The same may be asked again.
    """
    with civic.work(write=False) as work:
        facts = _facts(asked.initiative, asked.hypothesis, work)
    progress("readings")
    days = _Days(
        readings,
        timezone,
        _window(facts, now),
        facts.design.initiative.starts_at.astimezone(ZoneInfo(timezone)).date(),
    )
    daily = days.at_places(facts)
    treated = set(facts.design.places(Role.TREATED)) & set(daily.members)
    prepared = series.to_panel(daily, treated=treated, start=days.start)
    panel = prepared.panel.transformed(facts.hypothesis.transform.value)
    progress("weather")
    sky = days.sky(facts)
    calm = _calm(panel, sky, asked.seed, progress)
    found = evaluate(
        panel,
        calm=calm,
        context=_context(facts, panel.periods.dtype),
        options=Options(seasonal=WEEK_DAYS),
        seed=asked.seed,
        progress=progress,
    )
    progress("pictures")
    known = OBSERVED_PROPERTIES[facts.hypothesis.observed_property]
    labels = {lang: known.label if lang == "en" else None for lang in LANGUAGES}
    pictures = [
        Picture(effect=asked.id, name=name, lang=lang, svg=svg)
        for lang, label in labels.items()
        for name, svg in plots.pictures(
            found, caption=plots.Caption(indicator=label, unit=known.unit, lang=lang)
        ).items()
    ]
    sentences = {
        lang: sentence_of(found, unit=known.unit, indicator=label, lang=lang)
        for lang, label in labels.items()
    }
    document = telling.document(
        found,
        sentences["en"],
        sentences=sentences,
        property=known.key,
        unit=known.unit,
        expected=facts.hypothesis.expected.value,
        smallest_effect=facts.hypothesis.smallest_effect,
        timezone=timezone,
        early=prepared.early,
        places=_places(facts, daily, found),
        datastreams={place: list(names) for place, names in sorted(daily.members.items())},
        weather=calm.weather.document() | {"stations": dict(sky.stations)} if calm else None,
        pictures=sorted({one.name for one in pictures}),
    )
    effect = Effect(
        id=asked.id,
        initiative=asked.initiative,
        hypothesis=facts.hypothesis.key,
        version=facts.hypothesis.version,
        created_at=now,
        document=document,
    )
    return effect, pictures


def _places(facts: _Facts, daily: series.Series, found: Evaluation) -> dict[str, Any]:
    """Say which Places were compared, and which not, and why."""
    treated = set(facts.design.places(Role.TREATED))
    units = set(found.panel.units)
    return {
        "treated": sorted(treated & units),
        "control": sorted(units - treated),
        "dropped": [
            {"place": one.unit, "reason": one.reason}
            for one in (*daily.dropped, *found.panel.dropped)
        ],
    }


def _facts(initiative: str, hypothesis: str | None, work: UnitOfWork) -> _Facts:
    design = design_of(initiative, work)
    asked = design.hypothesis(hypothesis)
    roles = {one.place for one in design.areas if one.role is not Role.PLANNED}
    every = {one.key: one for one in work.things.all()}
    things = {key: one for key, one in every.items() if one.public and not one.moving}
    everything = tuple(work.things.datastreams())
    streams = tuple(
        (place, one)
        for one in everything
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
        things,
        everything,
    )


def _window(facts: _Facts, now: datetime) -> Interval:
    starts_at = facts.design.initiative.starts_at
    since = (starts_at - LONGEST_BEFORE).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return Interval(since, max(now, starts_at + HOUR))


@dataclass(frozen=True, slots=True)
class _Days:
    """How Readings become days."""

    readings: ReadingStore
    timezone: str
    window: Interval
    start: date
    """First treated day."""

    def at_places(self, facts: _Facts) -> series.Series:
        """Daily values at each Place, from hourly means of flags 1 and 2."""
        kind = OBSERVED_PROPERTIES[facts.hypothesis.observed_property].aggregation
        streams = (one for _, one in facts.datastreams)
        hours = hours_of(streams, self.readings, self.window, kind)
        if not len(hours.frame):
            raise PanelError("nothing was measured at any of its Places")
        stays = [_stay(place, one, facts.locations) for place, one in facts.datastreams]
        of_hours = series.hourly(
            hours.frame,
            interval_s=hours.slow,
            timezone=self.timezone,
            kind=kind,
            stays=pd.DataFrame(stays),
        )
        return series.at_places(series.daily(of_hours), start=self.start)

    def sky(self, facts: _Facts) -> Sky:
        """The city's weather, unless it is itself what is asked about."""
        asked = facts.hypothesis.observed_property
        return sky_of(
            facts.everything if asked not in WEATHER else (),
            facts.things,
            self.readings,
            window=self.window,
            timezone=self.timezone,
            start=self.start,
            without=facts.design.places(Role.TREATED),
        )


def _calm(panel: Panel, sky: Sky, seed: int, progress: Progress) -> Calm | None:
    """The panel without its weather, where that is known."""
    if not sky.stations:
        return None
    try:
        normal, weather = normalise(
            panel,
            sky.frame,
            rng=np.random.default_rng(seed),
            progress=lambda done, total: progress(f"weather: {done} of {total} Places"),
        )
    except NotEstimableError:  # too short a time to learn from: `evaluate` says so of the panel
        return None
    return Calm(normal, weather)


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
