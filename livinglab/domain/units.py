"""Units: what sources call them, and conversion into the unit of a property.

One table of aliases: UCUM, UN/CEFACT common codes, SenML, and labels that devices print.
"""

from enum import Enum

from livinglab.domain.observed_properties import ObservedProperty


class Conversion(Enum):
    """What became of a number on its way into the property's unit."""

    SAME = "same"
    CONVERTED = "converted"
    UNKNOWN = "unknown"
    """Nobody knows the unit, or knows it but cannot convert: the number stays."""
    CONTRADICTION = "contradiction"
    """The unit belongs to another quantity: the number stays, and is suspect."""


_UNITS: dict[str, tuple[str, float, float]] = {
    "ug/m3": ("concentration", 1.0, 0.0),
    "mg/m3": ("concentration", 1_000.0, 0.0),
    "ng/m3": ("concentration", 1e-3, 0.0),
    "ppb": ("mixing ratio", 1.0, 0.0),
    "ppm": ("mixing ratio", 1_000.0, 0.0),
    "Cel": ("temperature", 1.0, 0.0),
    "K": ("temperature", 1.0, -273.15),
    "[degF]": ("temperature", 5 / 9, -160 / 9),
    "%": ("fraction", 1.0, 0.0),
    "fraction": ("fraction", 100.0, 0.0),
    "1": ("number", 1.0, 0.0),
    "Pa": ("pressure", 0.01, 0.0),
    "hPa": ("pressure", 1.0, 0.0),
    "kPa": ("pressure", 10.0, 0.0),
    "m/s": ("speed", 1.0, 0.0),
    "km/h": ("speed", 1 / 3.6, 0.0),
    "[kn_i]": ("speed", 1_852 / 3_600, 0.0),
    "[mi_i]/h": ("speed", 1_609.344 / 3_600, 0.0),
    "deg": ("angle", 1.0, 0.0),
    "mm": ("length", 1.0, 0.0),
    "cm": ("length", 10.0, 0.0),
    "lx": ("illuminance", 1.0, 0.0),
    "dB(A)": ("sound level", 1.0, 0.0),
    "veh/h": ("flow", 1.0, 0.0),
    "veh/min": ("flow", 60.0, 0.0),
    "s": ("time", 1.0, 0.0),
    "min": ("time", 60.0, 0.0),
}
"""Unit → dimension, factor, offset: a number in the dimension's base is number·factor + offset."""

_ALIASES: dict[str, tuple[str, ...]] = {
    "ug/m3": ("µg/m³", "μg/m³", "µg/m3", "μg/m3", "ug/m^3", "ug m-3", "GQ", "micrograms/m3"),
    "mg/m3": ("mg/m³", "mg/m^3", "GP"),
    "ppb": ("[ppb]", "61"),
    "ppm": ("[ppm]", "59"),
    "Cel": ("°C", "ºC", "C", "celsius", "degC", "CEL", "degreesCelsius"),
    "K": ("KEL", "kelvin"),
    "[degF]": ("°F", "F", "FAH", "fahrenheit"),
    "%": ("%RH", "percent", "P1", "percentage", "%EL"),
    "fraction": ("ratio", "/", "C62/1"),
    "1": ("C62", "count", "unit", "vehicles"),
    "Pa": ("PAL",),
    "hPa": ("mbar", "A97", "MBR"),
    "kPa": ("KPA",),
    "m/s": ("MTS", "mps"),
    "km/h": ("KMH", "kmh", "kph"),
    "[kn_i]": ("kn", "knot", "KNT"),
    "[mi_i]/h": ("mph", "HM"),
    "deg": ("°", "DD", "degrees"),
    "mm": ("MMT", "l/m2"),
    "cm": ("CMT",),
    "lx": ("lux", "LUX"),
    "dB(A)": ("dB", "dBA", "2N", "decibel"),
    "veh/h": ("vehicles/h", "vehiclesPerHour"),
    "veh/min": ("vehicles/min", "vehiclesPerMinute"),
    "s": ("SEC", "seconds"),
    "min": ("MIN", "minutes"),
}
_NAMES = {unit: unit for unit in _UNITS} | {
    alias: unit for unit, aliases in _ALIASES.items() for alias in aliases
}

MOLAR_MASS = {
    "no2": 46.0055,
    "no": 30.0061,
    "nox": 46.0055,
    "o3": 47.9982,
    "so2": 64.064,
    "co": 28.0101,
    "nh3": 17.0305,
    "h2s": 34.081,
    "benzene": 78.1118,
    "toluene": 92.1384,
    "ethylbenzene": 106.165,
}
"""[g/mol]; nitrogen oxides are reckoned as nitrogen dioxide, as the European Union does."""
MOLAR_VOLUME = 8.314462618 * 293.15 / 101.325
"""Of an ideal gas at 20 °C and 101.325 kPa, the European reference conditions. [l/mol]"""


def convert(
    value: float, unit: str, observed_property: ObservedProperty
) -> tuple[Conversion, float]:
    """Bring a number from the source's unit to the property's.

    A mixing ratio of a gas becomes a concentration as ``ppb · M / V`` with the molar volume V of
    European reference conditions (20 °C, 101.325 kPa), whatever the weather was.

    Args:
        value: The source's number, in *unit*.
        unit: What the source calls its unit.
        observed_property: The quantity.

    Returns:
        What happened, and the number: in the property's unit if it could be converted, else as
        it came.

    References:
        Directive 2008/50/EC, Annex VI, C: volume of gases standardised at 293 K and 101.3 kPa.
    """
    name, wanted = _NAMES.get(unit.strip()), observed_property.unit
    goal = _UNITS.get(wanted)
    if name is None or goal is None:
        return Conversion.UNKNOWN, value
    if name == wanted:
        return Conversion.SAME, value
    dimension, factor, offset = _UNITS[name]
    if dimension == goal[0]:
        return Conversion.CONVERTED, (value * factor + offset - goal[2]) / goal[1]
    if (dimension, goal[0]) == ("mixing ratio", "concentration") and observed_property.gas:
        return _mass(value * factor, value, goal[1], observed_property.key)
    return Conversion.CONTRADICTION, value


def _mass(ppb: float, value: float, per_base: float, key: str) -> tuple[Conversion, float]:
    """Turn a mixing ratio into a concentration, if the gas is one molecule."""
    mass = MOLAR_MASS.get(key)
    if mass is None:
        return Conversion.UNKNOWN, value
    return Conversion.CONVERTED, ppb * mass / MOLAR_VOLUME / per_base
