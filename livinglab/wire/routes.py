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
    timezone: str | None = None
    """IANA zone of times that tell none; None: such a time is refused."""
    confirm: bool = False
    """Whether the city trusts this gateway: its new Things are confirmed at once."""
    moving: bool = False
    """Whether its Things move."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What the decoder needs beyond that, such as the paths of format `json`."""
