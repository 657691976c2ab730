"""What a decoder writes to: one call per Reading, one per refusal.

A decoder is ``decode(payload, fields, route, sink)``: pure but for the sink. It is lenient in form
and strict in meaning; it converts no unit and drops no value, and a bad attribute never costs its
siblings. What it cannot read as a whole it raises as `Undecodable`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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

    @property
    def received(self) -> int:
        """When the message arrived: the same again when it comes again. [ms since 1970 UTC]

        Only for times that a message tells relative to now. Whoever asks makes the arrival count,
        as a Reading without a time does: it is remembered for a redelivery, and a message that
        the broker had retained is passed over. A Reading that was made just now has the time
        None instead.
        """
        ...

    def recall(self, owner: str) -> Mapping[int, str]:
        """Return what a sender once defined, empty if nothing.

        Args:
            owner: Id of the sender, within the route's scheme.

        Returns:
            What stood in the last `remember`, be it of this batch or before a restart.
        """
        ...

    def remember(self, owner: str, aliases: Mapping[int, str]) -> None:
        """Keep what a sender defines, in place of all that it defined before.

        It is durable once the batch is, and seen by every later message, those of the same batch
        included. A message that turns out unreadable defines nothing, and one that arrived before
        the last definition, a replay for example, does not replace it.

        Args:
            owner: Id of the sender, within the route's scheme.
            aliases: Number, of 64 bits with sign → a text that only the decoder understands.
        """
        ...

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


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Which properties a message tells, in its order; one object for all messages alike."""

    properties: tuple[str, ...]


Short = Callable[[bytes, Route], tuple[str, int, Shape, tuple[float, ...], Point | None] | None]
"""``short(payload, route)``: external id, time, shape, results, position of a message with nothing
unusual in it, else nothing; then the decoder has the word. It tells what that would."""
