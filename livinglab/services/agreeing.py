"""Agreeing: whether citizens and sensors tell one story, at each Place and in each Zone.

Only the answer is kept, with its counts; no posting and nobody who posted can be told from it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from livinglab.domain.indicators import AgreementFound
from livinglab.domain.observations import Category, Observation, Visibility
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.privacy import rounded
from livinglab.domain.readings import Interval
from livinglab.domain.suppression import LAG
from livinglab.domain.things import Datastream
from livinglab.impact.agreement import LEAST_OBSERVATIONS, agree, document
from livinglab.ports import CivicStore, ObservationFilter, ReadingStore, UnitOfWork
from livinglab.services.aggregating import last_month
from livinglab.services.averaging import hours_of

WINDOW = timedelta(days=365)
"""How far back is compared."""
PAGE = 1_000
"""Observations that are read at once."""


@dataclass(frozen=True, slots=True)
class _Question:
    subject: str
    category: Category
    observed_property: str
    observations: pd.DataFrame
    datastreams: tuple[tuple[str, Datastream], ...]
    """(Place, Datastream)."""


def compare_all(
    civic: CivicStore,
    readings: ReadingStore,
    categories: Mapping[str, Category],
    *,
    timezone: str,
    now: datetime,
) -> int:
    """Compare words with measurements wherever there are enough of both, and keep the answers.

    Personal themes are compared once a month, over whole months that were published: an answer of
    every night would tell what one more posting, or one less, makes of it.

    Returns:
        How many answers were kept.

    Raises:
        StoreUnavailableError: What is left is done next time.
    """
    until = last_month(now, timezone)
    with civic.work(write=False) as work:
        questions = list(_questions(work, categories, now, until))
    kept = 0
    for one in questions:
        document = _answer(one, readings, timezone, now)
        if document is None:
            continue
        with civic.work() as work:
            work.initiatives.note_agreement(
                AgreementFound(
                    subject=one.subject,
                    category=one.category.key,
                    observed_property=one.observed_property,
                    computed_at=now,
                    document=document,
                )
            )
        kept += 1
    return kept


def _questions(
    work: UnitOfWork, categories: Mapping[str, Category], now: datetime, until: datetime
) -> Iterator[_Question]:
    zone_of = {place.key: place.zone for place in work.places.all()}
    streams = _streams(work)
    said = _said(work, now)
    for category in categories.values():
        if not category.properties or category.key not in said:
            continue
        frame = said[category.key]
        if category.privacy.personal:
            frame = frame[frame["time"] < until]
        for observed_property in category.properties:
            measured = [one for one in streams if one[1].observed_property == observed_property]
            for subject, places in _subjects(zone_of, frame):
                here = tuple(one for one in measured if one[0] in places)
                of = frame[frame["place"].isin(places)]
                people = of["contributor"].nunique()
                if category.privacy.personal and _asked_since(until + LAG, subject, category, work):
                    continue
                if here and len(of) >= LEAST_OBSERVATIONS and people >= category.privacy.k:
                    yield _Question(subject, category, observed_property, of, here)


def _asked_since(since: datetime, subject: str, category: Category, work: UnitOfWork) -> bool:
    return any(
        one.category == category.key and one.computed_at >= since
        for one in work.initiatives.agreements(subject)
    )


def _streams(work: UnitOfWork) -> list[tuple[str, Datastream]]:
    """List the Datastreams of fixed Things that may be public, with their Places."""
    places = {one.key: one.place for one in work.things.all() if one.public and not one.moving}
    return [(place, one) for one in work.things.datastreams() if (place := places.get(one.thing))]


def _said(work: UnitOfWork, now: datetime) -> dict[str, pd.DataFrame]:
    """Return what was said in the window, by category."""
    rows: dict[str, list[Observation]] = {}
    which, after = ObservationFilter(occurred=Interval(now - WINDOW, now)), None
    while page := work.observations.page(which, after=after, limit=PAGE):
        after = page[-1].number
        for one in page:
            if one.visibility is not Visibility.REMOVED:
                rows.setdefault(one.category, []).append(one)
    return {category: _frame(found) for category, found in rows.items()}


def _frame(found: Iterable[Observation]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "time": one.occurred_at,
                "place": one.place,
                "contributor": one.contributor,
                "severity": one.severity if one.severity is not None else np.nan,
            }
            for one in found
        ]
    )


def _subjects(
    zone_of: Mapping[str, str | None], frame: pd.DataFrame
) -> Iterator[tuple[str, set[str]]]:
    """Yield each Place where something was said, and each Zone with all its Places."""
    for place in sorted(set(frame["place"])):
        yield f"place:{place}", {place}
    zones: dict[str, set[str]] = {}
    for place, zone in zone_of.items():
        if zone:
            zones.setdefault(zone, set()).add(place)
    for zone, places in sorted(zones.items()):
        yield f"zone:{zone}", places


def _answer(
    one: _Question, readings: ReadingStore, timezone: str, now: datetime
) -> dict[str, object] | None:
    """Compare; None where nothing was measured."""
    kind = OBSERVED_PROPERTIES[one.observed_property].aggregation
    streams = [stream for _, stream in one.datastreams]
    hours = hours_of(streams, readings, Interval(now - WINDOW, now), kind).frame
    places = {stream.key: place for place, stream in one.datastreams}
    measured = hours.assign(place=hours["datastream"].map(places)).rename(
        columns={"result": "value"}
    )
    if measured.empty:
        return None
    found = agree(
        one.observations,
        measured,
        count="contributors",
        timezone=timezone,
        rng=np.random.default_rng(0),
    )
    if one.category.privacy.personal:
        found = replace(found, observations=rounded(found.observations), why={})
    return document(found)
