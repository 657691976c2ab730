"""Routes: which decoder reads a topic, and what the topic itself tells.

A filter is an MQTT filter whose single levels may be named: ``lab/{thing}/{property}``. A leading
slash is an empty first level, as in MQTT.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How the messages of some topics are read."""

    name: str
    filter: str
    """Levels are literal, ``{name}``, ``+`` or a last ``#``."""
    format: str
    """Name of a decoder."""
    scheme: str
    """Namespace of the Things' ids."""
    identity: str | None = None
    """External id of the Thing, made of named levels: ``{site}-{node}``; None: ``{thing}``."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """What counts where the topic does not name it, such as ``property``."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Property → unit, for sources that should tell one and do not."""
    timezone: str | None = None
    """IANA zone of times that tell none; None: such a time is refused."""
    confirm: bool = False
    """Whether the city trusts this gateway: its new Things are confirmed at once."""
    moving: bool = False
    """Whether its Things move."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What the decoder needs beyond that, such as the paths of format `json`."""

    def names(self) -> set[str]:
        """Return what its topics tell: named levels, defaults, and the Thing of its identity."""
        levels = self.filter.split("/")
        named = {level[1:-1] for level in levels if level[:1] + level[-1:] == "{}"}
        return named | self.defaults.keys() | ({"thing"} if self.identity else set())
