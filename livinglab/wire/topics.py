"""Topics: which route takes a message, and what the topic itself tells.

As in MQTT, a leading slash is an empty first level, ``#`` takes the parent level too, and
wildcards do not reach topics that begin with ``$``. A filter may begin with ``$share/<group>/``:
then the broker shares its messages among the ingest processes of that group.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from string import Formatter

from livinglab.errors import SettingsError
from livinglab.wire.decoders import check_route
from livinglab.wire.routes import Route

CACHE = 100_000
"""Topics remembered at the most; beyond that the memory starts anew. [topics]"""
CACHED_TOPIC = 256
"""Longer topics are looked up anew each time, so that the memory stays bounded. [bytes]"""
LITERAL, ONE, REST = 0, 1, 2
SHARED = 2
"""Levels of a shared filter that are no topic: ``$share`` and the group."""

Routed = tuple[Route, Mapping[str, str]]
"""The route of a topic, and the levels that its filter names."""


class _Pattern:
    """A filter, split once."""

    def __init__(self, route: Route) -> None:
        self.route = route
        levels = route.filter.split("/")
        self.shared = levels[:SHARED] if levels[0] == "$share" else []
        self.levels = levels[len(self.shared) :]
        self.kinds = [_kind(level, route) for level in self.levels]
        if not any(self.levels) or REST in self.kinds[:-1] or "" in self.shared:
            raise _no_filter(route, "it must have a level, and # only at its end")
        self.names = {
            at: level[1:-1] for at, level in enumerate(self.levels) if level.startswith("{")
        }
        if len(set(self.names.values())) < len(self.names):
            raise _no_filter(route, "each name may stand once")
        self.defaults, self.identity = dict(route.defaults), route.identity
        if unnamed := _unnamed(route, {*self.names.values(), *self.defaults}):
            raise SettingsError(
                f"route {route.name}",
                f"its identity {route.identity!r} asks for {{{unnamed}}}, which nothing names",
                "name it in the filter or in the defaults",
            )

    def fields(self, topic: Sequence[str]) -> Mapping[str, str] | None:
        """Return the named levels of a topic that fits, else nothing."""
        if self.kinds[-1] == REST:
            if len(topic) < len(self.levels) - 1:
                return None
        elif len(topic) != len(self.levels):
            return None
        if self.kinds[0] != LITERAL and topic[0].startswith("$"):
            return None
        for kind, level, given in zip(self.kinds, self.levels, topic, strict=False):
            if kind == LITERAL and level != given:
                return None
        named = self.defaults | {name: topic[at] for at, name in self.names.items()}
        if self.identity is not None:
            named["thing"] = self.identity.format_map(named)
        return named

    def subscription(self) -> str:
        """Return the filter as MQTT wants it."""
        levels = ["+" if kind == ONE else level for kind, level in self._pairs()]
        return "/".join([*self.shared, *levels])

    def _pairs(self) -> list[tuple[int, str]]:
        return list(zip(self.kinds, self.levels, strict=True))

    def ties_with(self, other: "_Pattern") -> bool:
        """Tell whether some topic fits both, and neither is more specific there."""
        if self.kinds != other.kinds:
            return False
        both = zip(self.kinds, self.levels, other.levels, strict=True)
        return all(mine == theirs for kind, mine, theirs in both if kind == LITERAL)

    def covers(self, other: "_Pattern") -> bool:
        """Tell whether the broker delivers for this filter all that it would for the other."""
        if self.shared != other.shared:
            return False
        if self.kinds[0] != LITERAL and other.levels[0].startswith("$"):
            return False
        for at, (kind, level) in enumerate(self._pairs()):
            if kind == REST:
                return True
            if at >= len(other.levels) or other.kinds[at] == REST:
                return False
            if kind == LITERAL and (other.kinds[at] != LITERAL or other.levels[at] != level):
                return False
        return len(self.levels) == len(other.levels)


def _unnamed(route: Route, names: set[str]) -> str:
    """Return what the identity of a route asks for in vain."""
    if route.identity is None:
        return ""
    try:
        asked = [name for _, name, _, _ in Formatter().parse(route.identity) if name is not None]
    except ValueError as error:
        raise SettingsError(
            f"route {route.name}",
            f"its identity {route.identity!r} is no template ({error})",
            "write text and {name}",
        ) from error
    return next((name or "nothing" for name in asked if name not in names), "")


def _no_filter(route: Route, rule: str) -> SettingsError:
    return SettingsError(
        f"route {route.name}",
        f"its filter {route.filter!r} is no filter: {rule}",
        "write levels of text, {name} or +, and at most a last #",
    )


def _kind(level: str, route: Route) -> int:
    if level == "#":
        return REST
    if level == "+" or (level[:1] + level[-1:] == "{}" and level[1:-1].isidentifier()):
        return ONE
    if any(char in level for char in "+#{}\0"):
        raise _no_filter(route, f"the level {level!r} is half a wildcard")
    return LITERAL


class Router:
    """Finds the route of a topic: the more specific filter wins, level by level from the left."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Order the routes.

        Raises:
            SettingsError: One of them cannot be used, or two would take the same topics.
        """
        for route in routes:
            check_route(route)
        self._patterns = sorted((_Pattern(route) for route in routes), key=lambda one: one.kinds)
        for one, other in combinations(self._patterns, 2):
            if one.ties_with(other):
                raise SettingsError(
                    f"routes {one.route.name} and {other.route.name}",
                    f"take the same topics ({one.route.filter}, {other.route.filter})",
                    "make one more specific, or remove it",
                )
        self._known: dict[bytes, Routed | None] = {}

    def filters(self) -> list[str]:
        """List the MQTT filters to subscribe to; none is covered by another."""
        kept: list[_Pattern] = []
        for one in reversed(self._patterns):  # what covers another has more wildcards, so is later
            if not any(other.covers(one) for other in kept):
                kept.append(one)
        return sorted({one.subscription() for one in kept})

    def route(self, topic: bytes) -> Routed | None:
        """Return the route of a topic and its named levels; None if no route takes it."""
        try:
            return self._known[topic]
        except KeyError:
            return self._remember(topic, self._find(topic))

    def _remember(self, topic: bytes, found: Routed | None) -> Routed | None:
        if len(topic) <= CACHED_TOPIC:
            if len(self._known) >= CACHE:
                self._known.clear()
            self._known[topic] = found
        return found

    def _find(self, topic: bytes) -> Routed | None:
        try:
            levels = topic.decode().split("/")
        except UnicodeDecodeError:
            return None
        for one in self._patterns:
            fields = one.fields(levels)
            if fields is not None:
                return one.route, fields
        return None
