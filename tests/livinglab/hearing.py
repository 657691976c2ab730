"""A sink that keeps what a decoder tells, word for word: for tests of decoders alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from livinglab.domain.geometry import Point
from livinglab.domain.readings import TimeSource
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Undecodable

Decode = Callable[[bytes, Mapping[str, str], Route, "Heard"], None]
RECEIVED = 1_498_780_179_000


@dataclass
class Heard:
    """What a decoder told; it answers as if the message arrived at *received*."""

    received: int = RECEIVED
    readings: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[tuple[str, str]] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    lost: int = 0
    ignored: list[tuple[str, str]] = field(default_factory=list)
    memory: dict[str, dict[int, str]] = field(default_factory=dict)

    def reading(
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
        told: dict[str, Any] = {"thing": thing, "property": observed_property, "channel": channel}
        told |= {"time": time, "time_source": time_source.value, "interval_s": interval_s}
        told |= {"value": value, "unit": unit, "source": source, "doubted": doubted}
        told |= {"path": path, "point": point}
        assert time is None or type(time) is int
        assert type(value) is float
        self.readings.append(told)

    def together(
        self,
        thing: str,
        time: int | None,
        found: Sequence[tuple[str, float, object, str]],
        *,
        point: Point | None = None,
    ) -> None:
        for observed_property, value, source, path in found:
            self.reading(
                thing, observed_property, time, value, source=source, path=path, point=point
            )

    def reject(self, reason: str, detail: str, path: str = "", *, readings: int = 1) -> None:
        self.rejects.append((reason, path))
        self.details.append(detail)
        self.lost += readings

    def ignore(self, rule: str, path: str = "") -> None:
        self.ignored.append((rule, path))

    def recall(self, owner: str) -> Mapping[int, str]:
        return self.memory.get(owner, {})

    def remember(self, owner: str, aliases: Mapping[int, str]) -> None:
        assert all(-(2**63) <= alias < 2**63 for alias in aliases)
        self.memory[owner] = dict(aliases)

    def all(self, *keys: str) -> list[Any]:
        """List one fact of every Reading, or several as tuples."""
        if len(keys) == 1:
            return [one[keys[0]] for one in self.readings]
        return [tuple(one[key] for key in keys) for one in self.readings]


def refusal(decode: Callable[[], object]) -> str:
    """Return the reason for which a message is refused as a whole."""
    try:
        decode()
    except Undecodable as error:
        return error.reason
    raise AssertionError("it was not refused")


def survives(decode: Decode, payload: bytes, fields: Mapping[str, str], route: Route) -> None:
    """Decode whatever it is: nothing but Undecodable may come out."""
    try:
        decode(payload, fields, route, Heard())
    except Undecodable as error:
        assert error.reason  # noqa: PT017 - that it may be raised is the point
