"""What a decoder writes to: one call per Reading, one per refusal.

A decoder is ``decode(payload, fields, route, sink)``: pure but for the sink. It is lenient in form
and strict in meaning; it converts no unit and drops no value, and a bad attribute never costs its
siblings. What it cannot read as a whole it raises as `Undecodable`.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from livinglab.domain.geometry import Point
from livinglab.domain.readings import TimeSource
from livinglab.wire.routes import Route

UNKNOWN_UNIT = ""
"""Given as a unit where the source should name one and does not: nothing can be compared."""


class Undecodable(Exception):  # noqa: N818 - it is an outcome of the message, not a fault of the lab
    """A message as a whole cannot be read."""

    def __init__(self, reason: str, detail: str, path: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.path = path


class Sink(Protocol):
    """Takes what a decoder finds in one message."""

    def reading(  # noqa: PLR0913 - a Reading has as many facts as sources tell
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
        """Take one Reading.

        Args:
            thing: External id of the Thing, within the route's scheme.
            observed_property: Key of `OBSERVED_PROPERTIES`; an unknown one is refused here.
            time: Instant, or the start of an interval [ms since 1970 UTC]; None if the source
                tells none, or tells 1970: then the arrival counts.
            value: The source's number in the source's unit; NaN is missing; infinity is refused.
            unit: What the source calls its unit; None: the format says it is the property's own;
                UNKNOWN_UNIT: nobody knows.
            source: The value as it came, for `livinglab decode`.
            path: Where in the payload.
            point: Where the Thing is, if the message tells.
            interval_s: Length of the interval that the value covers. [s]
            channel: Which of several equal sensors of the Thing.
            time_source: Whose clock *time* comes from.
            doubted: Whether the source itself doubts the value.
        """
        ...

    def reject(self, reason: str, detail: str, path: str = "", *, readings: int = 1) -> None:
        """Refuse part of a message; *readings* is how many that costs, 0 for a location."""
        ...

    def ignore(self, rule: str, path: str = "") -> None:
        """Pass over something that is knowingly not a measurement."""
        ...


Decoder = Callable[[bytes, Mapping[str, str], Route, Sink], None]
"""``decode(payload, fields, route, sink)``; *fields* are the placeholders of the route's filter."""
