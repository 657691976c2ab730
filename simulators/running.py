"""Running a town: in real time, faster, or flat out, on the clock that it shares with its lab."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event
from typing import Protocol, runtime_checkable

from livinglab.domain.readings import to_ms
from livinglab.ports import Clock, Publisher
from simulators.citizens import Citizens, Client, Moderator, Planner
from simulators.fleet import Fleet
from simulators.town import Town

HISTORY = timedelta(hours=24)
"""What Things tell of the time before they were switched on: it makes the first look worth it."""
HISTORY_EVERY_S = 900.0
STEP_S = 1.0
"""Real seconds between two looks at what is due."""
FLAT_STEP = timedelta(hours=12)
"""Town time of one step, flat out."""
LEAD = 50_000
"""Messages that the town may be ahead of its lab, flat out."""


@runtime_checkable
class DrivenClock(Protocol):
    """A clock that the town moves on."""

    def now(self) -> datetime:
        """Return the instant it stands at."""
        ...

    def advance_to(self, instant: datetime) -> None:
        """Move forward."""
        ...


@dataclass(slots=True)
class TownSummary:
    """What a town did, to be held against what its lab says."""

    acknowledged: int = 0
    """Messages that the broker acknowledged."""
    planted: dict[str, int] = field(default_factory=dict)
    """Fault → how often."""
    posts: dict[str, int] = field(default_factory=dict)
    """posted, accepted, repeated, refused, unanswered."""
    released: int = 0
    until: datetime | None = None


def run(  # noqa: PLR0913 - what a town needs of its world
    town: Town,
    *,
    publisher: Publisher,
    http_base: str,
    moderator_key: str,
    submit_key: str,
    planner_key: str,
    clock: Clock,
    speed: float,
    days: float | None,
    stop: Event,
    received: Callable[[], int],
) -> TownSummary:
    """Let a town live until it is told to stop, or so many of its days have passed.

    Args:
        town: Who lives there.
        publisher: To the broker of the lab.
        http_base: Address of the lab.
        moderator_key: With which the moderator reads what waits.
        submit_key: Of the gateway through which the citizens' postings come.
        planner_key: With which the project office hands in the town's Initiatives.
        clock: The lab's; for another speed than 1 it must be a DrivenClock.
        speed: Town time per real time; infinite is flat out.
        days: Of town time; None has no end.
        stop: Ends it.
        received: How many messages the lab has taken so far.
    """
    live = _Live(town, publisher, http_base, moderator_key, submit_key)
    Planner(town, live.client, planner_key).propose()
    begin = clock.now()
    end = begin + timedelta(days=days) if days is not None else None
    try:
        if math.isinf(speed):
            _flat_out(live, clock, begin, end, stop, received)
        else:
            live.backfill(begin)
            _paced(live, clock, begin, end, speed, stop)
        live.moderator.look()
    finally:
        live.client.close()
    return live.summary(clock.now())


class _Live:
    """The parts of a town while it lives."""

    def __init__(
        self, town: Town, publisher: Publisher, base: str, moderator_key: str, submit_key: str
    ) -> None:
        self.town, self.publisher = town, publisher
        self.client = Client(base)
        self.citizens = Citizens(town, self.client, submit_key)
        self.moderator = Moderator(self.client, moderator_key)
        self.fleet = Fleet(town)
        self.acknowledged = 0

    def publish(self, fleet: Fleet, start: datetime, end: datetime) -> None:
        samples = fleet.between(to_ms(start), to_ms(end))
        self.acknowledged += self.publisher.publish_many(
            (topic, body) for _, topic, body in samples
        )

    def backfill(self, now: datetime) -> None:
        """Tell of the day before, as a Thing does that was offline; and say who is online."""
        for thing in self.town.things[:50]:
            self.publisher.publish(f"lab/{thing.key}/$status", b"online", retain=True)
            self.acknowledged += 1
        history = Fleet(self.town, haste=HISTORY_EVERY_S, planted=self.fleet.planted)
        self.publish(history, now - HISTORY, now - timedelta(seconds=1))
        self.citizens.post_between(now - timedelta(hours=6), now, per_hour=6.0)
        self.moderator.look()

    def summary(self, until: datetime) -> TownSummary:
        return TownSummary(
            acknowledged=self.acknowledged,
            planted=dict(self.fleet.planted),
            posts=dict(self.citizens.counts),
            released=self.moderator.released,
            until=until,
        )


def _paced(
    live: _Live, clock: Clock, begin: datetime, end: datetime | None, speed: float, stop: Event
) -> None:
    """Publish what is due each second; the town's clock runs *speed* times ours."""
    started, last = time.monotonic(), begin
    per_hour = live.town.posts_per_hour if speed > 1 else 60 * live.town.demo_posts_per_minute
    while not stop.is_set():
        now = begin + timedelta(seconds=(time.monotonic() - started) * speed)
        if isinstance(clock, DrivenClock):
            clock.advance_to(now)
        if end is not None and now >= end:
            return
        live.publish(live.fleet, last, now)
        live.citizens.post_between(last, now, per_hour)
        if live.moderator.due(5.0):
            live.moderator.look()
        last = now
        stop.wait(STEP_S)


def _flat_out(
    live: _Live,
    clock: Clock,
    begin: datetime,
    end: datetime | None,
    stop: Event,
    received: Callable[[], int],
) -> None:
    """Take steps of half a day, as fast as the lab follows."""
    if not isinstance(clock, DrivenClock):
        raise TypeError("a town that runs flat out must share a clock with its lab")
    live.fleet.haste = live.town.flat_out_every_s
    now = begin
    while not stop.is_set() and (end is None or now < end):
        after = now + FLAT_STEP if end is None else min(end, now + FLAT_STEP)
        clock.advance_to(after)
        live.publish(live.fleet, now, after)
        live.citizens.post_between(now, after, live.town.posts_per_hour)
        live.moderator.look()
        while live.acknowledged - received() > LEAD and not stop.wait(0.02):
            pass
        now = after
