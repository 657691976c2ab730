"""Words: which quantity a source means, where its format leaves the names to the sender.

Spelling is forgiven, meaning is not: ``Temp``, ``air_temperature`` and ``temperature_1`` are a
temperature, ``temperature_max`` is nothing here until a route says so. A name may carry a number,
which is a channel, and a unit, if that unit can measure the quantity: ``pm2_5``, ``co2_ppm``,
``pressure_hPa``, ``relative_humidity_3``. Any other unit must come from the message; nobody
knows it otherwise, so the ``units`` of the route count.

Option of such a route: ``names``, a table of word = property.
"""

import re
from collections.abc import Container
from functools import lru_cache
from typing import NamedTuple

from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.units import Conversion, convert
from livinglab.wire.routes import Route
from livinglab.wire.sinks import UNKNOWN_UNIT

_ALIASES: dict[str, tuple[str, ...]] = {
    "pm10": ("pm10.0",),
    "pm25": ("pm2.5", "pm2p5"),
    "pm1": ("pm1.0", "pm1p0"),
    "no2": ("nitrogendioxide",),
    "no": ("nitrogenmonoxide", "nitricoxide"),
    "o3": ("ozone",),
    "so2": ("sulphurdioxide", "sulfurdioxide"),
    "nh3": ("ammonia",),
    "h2s": ("hydrogensulphide", "hydrogensulfide"),
    "co": ("carbonmonoxide",),
    "co2": ("carbondioxide",),
    "temperature": ("temp", "airtemperature", "airtemp", "ambienttemperature"),
    "relative_humidity": ("humidity", "hum", "rh", "relhum", "relhumidity", "airhumidity"),
    "pressure": ("airpressure", "barometricpressure", "atmosphericpressure", "barometer"),
    "wind_direction": ("winddir",),
    "precipitation": ("rain", "rainfall"),
    "illuminance": ("light", "lux", "luminosity", "lightlevel", "lightintensity", "illumination"),
    "noise_level": ("noise", "sound", "soundlevel", "laeq"),
    "battery": ("batt", "batterylevel"),
}
"""Property → other words for it, as `_plain` writes them."""

_DECIMAL = re.compile(r"(?<=\d)[._](?=\d)")
_TAIL = re.compile(r"(.+)[_\-. ]([^_\-. ]+)")


class Quantity(NamedTuple):
    """What a word means."""

    observed_property: str
    unit: str | None = None
    """What the word itself says of the unit."""
    channel: str = ""


def _plain(word: str) -> str:
    """Write a word without what senders disagree about; 2.5 stays two and a half."""
    decimal = _DECIMAL.sub("§", word.casefold())
    return "".join(char for char in decimal if char.isalnum() or char == "§").replace("§", ".")


_WORDS = {_plain(key): key for key in OBSERVED_PROPERTIES} | {
    alias: key for key, aliases in _ALIASES.items() for alias in aliases
}


@lru_cache(maxsize=4_096)
def _known(word: str) -> Quantity | None:
    if found := _WORDS.get(_plain(word)):
        return Quantity(found)
    parts = _TAIL.fullmatch(word)
    if parts is None:
        return None
    head, tail = parts.groups()
    if tail.isdecimal():
        before = _known(head)
        return None if before is None or before.channel else before._replace(channel=tail)
    key = _WORDS.get(_plain(head))
    return Quantity(key, tail) if key and _measures(tail, key) else None


def _measures(unit: str, observed_property: str) -> bool:
    outcome, _ = convert(0.0, unit, OBSERVED_PROPERTIES[observed_property])
    return outcome in {Conversion.SAME, Conversion.CONVERTED}


def named(word: str, route: Route) -> Quantity | None:
    """Say which quantity the route's ``names`` make of a word."""
    names = route.options.get("names")
    found = names.get(word) if isinstance(names, dict) else None
    return None if found is None else Quantity(str(found))


def quantity(word: str, route: Route) -> Quantity | None:
    """Say which quantity a word means: by the route's ``names``, else by our own; None: unknown."""
    return named(word, route) or _known(word[:100])


def unit_of(found: Quantity, told: str | None = None) -> str:
    """Return the unit of a value: the message's, else its word's, else that nobody knows it."""
    return (told or found.unit or UNKNOWN_UNIT)[:40]


def check_words(route: Route, others: Container[str] = ()) -> None:
    """Refuse options that name no property, or that the format does not have.

    Args:
        route: Whose options.
        others: Options that the format has besides ``names``.

    Raises:
        ValueError: Saying which.
    """
    for name, given in route.options.items():
        if name in others:
            continue
        if name != "names" or not isinstance(given, dict):
            raise ValueError(f"{name} = {given!r} is not the table names")
        for key in given.values():
            if not isinstance(key, str) or key not in OBSERVED_PROPERTIES:
                raise ValueError(f"there is no ObservedProperty {key!r}")
