"""Topics: which route takes a message, and what the topic itself tells."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from livinglab.errors import SettingsError
from livinglab.wire.routes import Route

CACHE = 200_000
"""Topics remembered at the most; beyond that the memory starts anew. [topics]"""
LITERAL, ONE, REST = 0, 1, 2


class _Pattern:
    """A filter, split once."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.levels = route.filter.split("/")
        self.kinds = [_kind(level) for level in self.levels]
        if REST in self.kinds[:-1] or not route.filter:
            raise SettingsError(
                f"route {route.name}", f"filter {route.filter!r} is no filter", "put # last"
            )
        self.names = {
            at: level[1:-1] for at, level in enumerate(self.levels) if level.startswith("{")
        }

    def fields(self, topic: Sequence[str]) -> Mapping[str, str] | None:
        """Return the named levels of a topic that fits, else nothing."""
        if self.kinds[-1] == REST:
            if len(topic) < len(self.levels) - 1:
                return None
        elif len(topic) != len(self.levels):
            return None
        for kind, level, given in zip(self.kinds, self.levels, topic, strict=False):
            if kind == REST:
                break
            if kind == LITERAL and level != given:
                return None
        return {name: topic[at] for at, name in self.names.items()}

    def subscription(self) -> str:
        """Return the filter as MQTT wants it."""
        return "/".join("+" if kind == ONE else level for kind, level in self._pairs())

    def _pairs(self) -> list[tuple[int, str]]:
        return list(zip(self.kinds, self.levels, strict=True))

    def ties_with(self, other: "_Pattern") -> bool:
        """Tell whether some topic fits both, and neither is more specific there."""
        if self.kinds != other.kinds:
            return False
        both = zip(self.kinds, self.levels, other.levels, strict=True)
        return all(mine == theirs for kind, mine, theirs in both if kind == LITERAL)

    def covers(self, other: "_Pattern") -> bool:
        """Tell whether every topic of the other fits this one too."""
        if self.kinds[-1] != REST:
            if len(self.levels) != len(other.levels) or other.kinds[-1] == REST:
                return False
        elif len(other.levels) < len(self.levels) - 1:
            return False
        for at, (kind, level) in enumerate(self._pairs()):
            if kind == REST:
                return True
            if at >= len(other.levels) or other.kinds[at] == REST:
                return False
            if kind == LITERAL and (other.kinds[at] != LITERAL or other.levels[at] != level):
                return False
        return True


def _kind(level: str) -> int:
    if level == "#":
        return REST
    if level == "+" or (level.startswith("{") and level.endswith("}") and len(level) > 2):  # noqa: PLR2004 - braces around a name
        return ONE
    if any(char in level for char in "+#{}"):
        raise SettingsError("routes", f"level {level!r} is half a wildcard", "write +, # or {name}")
    return LITERAL


class Router:
    """Finds the route of a topic: the more specific filter wins, level by level from the left."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Order the routes.

        Raises:
            SettingsError: Two routes would take the same topics.
        """
        self._patterns = sorted(
            (_Pattern(route) for route in routes), key=lambda one: (one.kinds, -len(one.levels))
        )
        for one, other in combinations(self._patterns, 2):
            if one.ties_with(other):
                raise SettingsError(
                    f"routes {one.route.name} and {other.route.name}",
                    f"take the same topics ({one.route.filter}, {other.route.filter})",
                    "make one more specific, or remove it",
                )
        self._known: dict[bytes, tuple[Route, Mapping[str, str]] | None] = {}

    def filters(self) -> list[str]:
        """List the MQTT filters to subscribe to; none is covered by another."""
        kept: list[_Pattern] = []
        for one in sorted(self._patterns, key=lambda one: one.kinds, reverse=True):
            if not any(other.covers(one) for other in kept):
                kept.append(one)
        return sorted(one.subscription() for one in kept)

    def route(self, topic: bytes) -> tuple[Route, Mapping[str, str]] | None:
        """Return the route of a topic and its named levels, or nothing."""
        try:
            return self._known[topic]
        except KeyError:
            if len(self._known) >= CACHE:
                self._known.clear()
            found = self._known[topic] = self._find(topic)
            return found

    def _find(self, topic: bytes) -> tuple[Route, Mapping[str, str]] | None:
        try:
            levels = topic.decode().split("/")
        except UnicodeDecodeError:
            return None
        wild = levels[0].startswith("$")  # wildcards never reach into the broker's own topics
        for one in self._patterns:
            if wild and one.kinds[0] != LITERAL:
                continue
            fields = one.fields(levels)
            if fields is not None:
                return one.route, fields
        return None
