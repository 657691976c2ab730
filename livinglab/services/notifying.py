"""Notifying: who hears of what happened. Letters are written elsewhere, once a day.

A Notice is kept in the transaction of what it tells of, once for each who said something about it
or supports or opposes it; who may be reached at all, the Vault knows.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from livinglab.domain.answers import CityResponse
from livinglab.domain.notices import ASKED_AFTER, KEPT_FOR, News, Notice, OptOut, Topic
from livinglab.domain.observations import Channel, Observation, Status
from livinglab.domain.readings import Interval
from livinglab.ports import UnitOfWork

LONGEST_WORDS = 600
"""Of the city, that a letter repeats. [characters]"""
LOOKS_BACK = timedelta(days=3)
"""How many days a lab may have been away and still ask whether something was fixed."""
MOST_ASKED = 10_000


def tell_of_response(response: CityResponse, work: UnitOfWork) -> None:
    """Let everybody whom an answer concerns hear of it, opposers like supporters."""
    words = "\n".join(part for part in (response.we_did, response.why_not) if part.strip())
    kind, _, key = response.subject.partition(":")
    said = _said_about(kind, key, work)
    people = {one.contributor for one in said} | _stood_for({response.subject}, work)
    event = f"response:{response.key}:{response.version}"
    facts = {"words": _short(words), "department": response.department}
    if said:
        facts |= _where(said[0], work)
    _keep(people, Topic.ANSWERS, event, News.ANSWERED, facts, work, response.published_at)


def tell_of_state(
    observation: Observation, news: News, note: str, work: UnitOfWork, now: datetime
) -> None:
    """Let whoever posted an Observation, or stands for or against it, hear what it is now."""
    state = observation.outcome or observation.phase
    facts = {
        **_where(observation, work),
        "outcome": observation.outcome.value if observation.outcome else None,
        "phase": observation.phase.value if observation.phase else None,
        "words": _short(note),
    }
    people = {observation.contributor} | _stood_for({f"observation:{observation.id}"}, work)
    named = f"{news.value}:{state.value if state else ''}"
    event = f"state:{observation.id}:{named}:{now.isoformat()}"
    _keep(people, Topic.ANSWERS, event, news, facts, work, now)


def ask_whether_fixed(work: UnitOfWork, now: datetime) -> int:
    """Ask those whose Observation was closed four weeks ago, and is still, whether that is true.

    Returns:
        How many are asked.
    """
    window = Interval(now - ASKED_AFTER - LOOKS_BACK, now - ASKED_AFTER)
    asked = 0
    for event in work.observations.events_within(window, limit=MOST_ASKED):
        one = work.observations.get(event.observation)
        if event.status is not Status.CLOSED or one is None or one.status is not Status.CLOSED:
            continue
        if one.channel is Channel.IMPORT or work.confirmations.count(observation=one.id):
            continue
        asked += _keep(
            {one.contributor},
            Topic.QUESTIONS,
            f"fixed:{one.id}",
            News.FIXED,
            _where(one, work),
            work,
            now,
        )
    return asked


def forget_old(work: UnitOfWork, now: datetime) -> None:
    """Forget Notices that are old, sent or not."""
    while old := [one for one in work.notices.where(limit=1_000) if one.at < now - KEPT_FOR]:
        work.notices.remove(old)


def unwanted(recipient: str, work: UnitOfWork) -> set[Topic]:
    """Return what somebody does not want to hear of."""
    return {one.topic for one in work.opt_outs.where(recipient=recipient)}


def choose(recipient: str, wanted: Iterable[Topic], work: UnitOfWork, now: datetime) -> None:
    """Let somebody hear of some topics and of no others."""
    work.opt_outs.remove(work.opt_outs.where(recipient=recipient))
    left = set(Topic) - set(wanted)
    work.opt_outs.add(
        [OptOut(recipient=recipient, topic=one, at=now) for one in Topic if one in left]
    )


def _keep(
    people: Iterable[str],
    topic: Topic,
    event: str,
    news: News,
    facts: Mapping[str, Any],
    work: UnitOfWork,
    now: datetime,
) -> int:
    """Keep a Notice for each who has not heard of it, and did not opt out."""
    wanted = sorted(set(people))
    told = {one.recipient for one in work.notices.where(topic=topic, event=event)}
    out = {one.recipient for one in work.opt_outs.where(topic=topic, recipient=set(wanted))}
    made = [
        Notice(recipient=one, topic=topic, event=event, news=news, facts=dict(facts), at=now)
        for one in wanted
        if one not in told | out
    ]
    work.notices.add(made)
    return len(made)


def _said_about(kind: str, key: str, work: UnitOfWork) -> list[Observation]:
    """Return what people posted about the subject of an answer, and what is linked to it."""
    if kind == "incident":
        return work.observations.of_incident(UUID(key))
    one = work.observations.get(UUID(key)) if kind == "observation" else None
    if one is None:
        return []
    linked = work.observations.of_incident(one.incident) if one.incident is not None else []
    return [one, *(each for each in linked if each.id != one.id)]


def _stood_for(subjects: set[str], work: UnitOfWork) -> set[str]:
    return {one.contributor for one in work.supports.where(subject=subjects, revoked_at=None)}


def _where(one: Observation, work: UnitOfWork) -> dict[str, Any]:
    place = work.places.get(one.place)
    return {
        "category": one.category,
        "place": place.name if place is not None else one.place,
        "observation": str(one.id),
    }


def _short(words: str) -> str:
    text = words.strip()
    return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 1] + "…"
