"""Decoding: what the lab would make of one payload, storing nothing."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from livinglab.domain.geometry import Point
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES, range_flag
from livinglab.domain.readings import Flag, Test, TimeSource, from_ms, to_ms
from livinglab.domain.things import thing_key
from livinglab.wire.decoders import FORMATS, check_route, format_named, guess, usual_route
from livinglab.wire.routes import Route
from livinglab.wire.settling import Refused, Settled, settle_time, settle_value
from livinglab.wire.sinks import UNKNOWN_UNIT, Undecodable
from livinglab.wire.topics import Router


class _Lines:
    """A sink that keeps what it is told as the lines that `decode` prints."""

    def __init__(self, route: Route, received_ms: int) -> None:
        self.route = route
        self.received = received_ms
        self.lines: list[dict[str, Any]] = []
        self._remembered: dict[str, Mapping[int, str]] = {}

    def recall(self, owner: str) -> Mapping[int, str]:
        """Return what a sender defined in this payload: see `wire.sinks.Sink`."""
        return self._remembered.get(owner, {})

    def remember(self, owner: str, aliases: Mapping[int, str]) -> None:
        """Keep what a sender defines: see `wire.sinks.Sink`."""
        self._remembered[owner] = aliases

    def reading(  # noqa: PLR0913 - the Sink's signature
        self,
        thing: str,
        observed_property: str,
        time: int | None,
        value: float,
        *,
        unit: str | None = None,
        source: object = None,
        path: str = "",
        point: Point | None = None,
        interval_s: float | None = None,
        channel: str = "",
        time_source: TimeSource = TimeSource.PAYLOAD,
        doubted: bool = False,
    ) -> None:
        """Take one Reading: see `wire.sinks.Sink`."""
        if time is None:
            time, time_source = self.received, TimeSource.RECEIVED
        if unit == UNKNOWN_UNIT:
            unit = self.route.units.get(observed_property, unit)
        try:
            settle_time(time, self.received)
            settled = settle_value(value, unit, observed_property, doubted=doubted)
        except Refused as error:
            self.reject(error.reason, error.detail, path)
            return
        known = not settled.tests & Test.UNIT_UNKNOWN
        self.lines.append(
            {
                "thing": thing_key(self.route.scheme, thing),
                "property": observed_property,
                **({"channel": channel} if channel else {}),
                "time": _time(time),
                "result": None if math.isnan(settled.result) else settled.result,
                "unit": OBSERVED_PROPERTIES[observed_property].unit if known else None,
                "raw": {"value": source, "unit": unit or None},
                "flag": int(_flag(settled, observed_property)),
                "point": list(point) if point else None,
                "interval_s": interval_s,
                "time_source": time_source.value,
            }
        )

    def reject(self, reason: str, detail: str, path: str = "", *, readings: int = 1) -> None:
        """Refuse part of a message: see `wire.sinks.Sink`."""
        del readings  # the ledger's concern
        self.lines.append({"reject": reason, "detail": detail, "path": path})

    def ignore(self, rule: str, path: str = "") -> None:
        """Pass over what is no measurement."""
        self.lines.append({"ignored": rule, "path": path})


def _flag(settled: Settled, observed_property: str) -> Flag:
    """Return the worst of what the door and the range test say."""
    if settled.flag == Flag.MISSING or settled.tests & Test.UNIT_UNKNOWN:
        return Flag(settled.flag)
    in_range, _ = range_flag(OBSERVED_PROPERTIES[observed_property], settled.result)
    return in_range if settled.flag == Flag.NOT_EVALUATED else max(in_range, Flag(settled.flag))


def _time(ms: int) -> str:
    text = from_ms(ms).isoformat(timespec="milliseconds" if ms % 1_000 else "seconds")
    return text.replace("+00:00", "Z")


def decode(
    format_: str,
    payload: bytes,
    *,
    topic: str = "",
    timezone: str | None = None,
    now: datetime,
    route: Route | None = None,
    everything: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield one line per Reading or refusal, in payload order.

    Args:
        format_: A format of `wire.decoders.FORMATS`; `auto` first says which it took.
        payload: As it would come.
        topic: Where it would come; for format `lab`, ``lab/<thing>/<property>``.
        timezone: IANA zone of times that tell none, unless a route names one.
        now: When it would arrive.
        route: What format `json` needs to know; other formats take filter and scheme from it.
        everything: Also yield what is knowingly not a measurement.

    Raises:
        UnsupportedFormatError: There is no such format.
        SettingsError: The route, or the time zone, cannot be used.
    """
    format_named(format_)
    try:
        fields = _fields(format_, route, topic)
        if format_ == "auto":
            format_ = guess(payload, fields)
            yield {"format": format_}
        route = _route(format_, timezone, route)
        check_route(route)
        sink = _Lines(route, to_ms(now))
        format_named(format_).decode(payload, fields, route, sink)
    except Undecodable as error:
        yield {"reject": error.reason, "detail": error.detail, "path": error.path}
        return
    yield from (line for line in sink.lines if everything or "ignored" not in line)


def _route(format_: str, timezone: str | None, route: Route | None) -> Route:
    """Return a route for a format: that of a file as far as it goes, else the usual one."""
    if route is not None:
        return replace(route, format=format_, timezone=route.timezone or timezone)
    return replace(usual_route(format_), timezone=timezone)


def _fields(format_: str, route: Route | None, topic: str) -> Mapping[str, str]:
    """Read the topic by the route of a file, else by the filters that the format prescribes.

    For `auto` the first that fits counts. A topic that fits none tells nothing.
    """
    if route is not None:
        filters: tuple[str, ...] = (route.filter,)
    elif format_ == "auto":
        filters = tuple(one for known in FORMATS.values() for one in known.topics)
    else:
        filters = format_named(format_).topics
    for one in filters:
        made = Route(name="topic", filter=one, format="auto", scheme="auto")
        if route is not None:
            made = replace(route, format="auto")
        if found := Router([made]).route(topic.encode()):
            return found[1]
    return {}
