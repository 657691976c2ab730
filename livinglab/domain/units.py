"""Units: what sources call them, and conversion into the unit of a property.

One table of units and one of their aliases: UCUM, the common codes of UN/CEFACT Recommendation 20,
SenML (RFC 8428, section 12.1), and labels that devices print. Spelling is forgiven (case, spaces,
the micro sign), meaning is not: a unit of another quantity is a contradiction.
"""

import unicodedata
from enum import Enum
from functools import lru_cache

from livinglab.domain.observed_properties import ObservedProperty


class Conversion(Enum):
    """What became of a number on its way into the property's unit."""

    SAME = "same"
    CONVERTED = "converted"
    UNKNOWN = "unknown"
    """Nobody knows the unit, or how to convert it: the number stays."""
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
    "%": ("share", 1.0, 0.0),
    "1": ("number", 1.0, 0.0),
    "Pa": ("pressure", 0.01, 0.0),
    "hPa": ("pressure", 1.0, 0.0),
    "kPa": ("pressure", 10.0, 0.0),
    "bar": ("pressure", 1_000.0, 0.0),
    "mm[Hg]": ("pressure", 1.333_223_874_15, 0.0),
    "[in_i'Hg]": ("pressure", 33.863_886_4, 0.0),
    "m/s": ("speed", 1.0, 0.0),
    "km/h": ("speed", 1 / 3.6, 0.0),
    "[kn_i]": ("speed", 1_852 / 3_600, 0.0),
    "[mi_i]/h": ("speed", 1_609.344 / 3_600, 0.0),
    "deg": ("angle", 1.0, 0.0),
    "rad": ("angle", 57.295_779_513_082_32, 0.0),
    "mm": ("length", 1.0, 0.0),
    "cm": ("length", 10.0, 0.0),
    "[in_i]": ("length", 25.4, 0.0),
    "m": ("length", 1_000.0, 0.0),
    "lx": ("illuminance", 1.0, 0.0),
    "klx": ("illuminance", 1_000.0, 0.0),
    "dB(A)": ("sound level", 1.0, 0.0),
    "veh/h": ("flow", 1.0, 0.0),
    "veh/min": ("flow", 60.0, 0.0),
    "ms": ("time", 1e-3, 0.0),
    "s": ("time", 1.0, 0.0),
    "min": ("time", 60.0, 0.0),
    "h": ("time", 3_600.0, 0.0),
    "V": ("voltage", 1.0, 0.0),
    "mV": ("voltage", 1e-3, 0.0),
    "dB[mW]": ("power level", 1.0, 0.0),
}
"""Unit → dimension, factor, offset: a number in the dimension's base is number·factor + offset."""

_ALIASES: dict[str, tuple[str, ...]] = {
    "ug/m3": ("ug/m^3", "ug m-3", "ug.m-3", "ug_m3", "ugm3", "GQ", "micrograms/m3"),
    "mg/m3": ("mg/m^3", "mg m-3", "mg.m-3", "mg_m3", "mgm3", "GP"),
    "ng/m3": ("ng/m^3", "ng m-3", "ng.m-3"),
    "ppb": ("[ppb]", "ppbv", "nmol/mol", "61"),
    "ppm": ("[ppm]", "ppmv", "umol/mol", "59"),
    "Cel": ("°C", "ºC", "C", "celsius", "degC", "deg C", "degreesCelsius", "degreeCelsius"),
    "K": ("KEL", "kelvin"),
    "[degF]": ("°F", "ºF", "F", "FAH", "fahrenheit", "degF"),
    "%": ("%RH", "%EL", "percent", "percentage", "pct", "P1"),
    "1": ("C62", "count", "unit", "units", "vehicles", "fraction", "ratio", "/"),
    "Pa": ("PAL", "pascal"),
    "hPa": ("mbar", "A97", "MBR", "millibar", "hectopascal"),
    "kPa": ("KPA", "kilopascal"),
    "mm[Hg]": ("mmHg", "HN"),
    "[in_i'Hg]": ("inHg", "F79"),
    "m/s": ("MTS", "mps", "m s-1", "m.s-1"),
    "km/h": ("KMH", "kmh", "kph", "kmph"),
    "[kn_i]": ("kn", "kt", "kts", "knot", "knots", "KNT"),
    "[mi_i]/h": ("mph", "HM"),
    "deg": ("°", "DD", "degree", "degrees"),
    "rad": ("C81", "radian", "radians"),
    "mm": ("MMT", "l/m2", "L/m²"),
    "cm": ("CMT",),
    "[in_i]": ("in", "inch", "inches", "INH"),
    "m": ("MTR",),
    "lx": ("lux", "LUX"),
    "klx": ("klux", "KLX"),
    "dB(A)": ("dB", "dBA", "db a", "2N", "decibel", "decibels"),
    "veh/h": ("vehicles/h", "veh/hour", "vehicles/hour", "vehiclesPerHour"),
    "veh/min": ("vehicles/min", "veh/minute", "vehiclesPerMinute"),
    "ms": ("C26",),
    "s": ("SEC", "second", "seconds"),
    "min": ("minute", "minutes"),
    "h": ("HUR", "hour", "hours"),
    "V": ("VLT", "volt"),
    "mV": ("2Z", "millivolt"),
    "dB[mW]": ("dBm",),
}


def _plain(unit: str) -> str:
    """Write a unit without what makers of devices disagree about: case, spaces, micro, powers."""
    spelt = unit.removeprefix("urn:oc:uom:").replace("º", "°")
    folded = unicodedata.normalize("NFKC", spelt).replace("μ", "u").casefold()
    return "".join(folded.split()).replace("^", "").replace("**", "").replace("−", "-")


_EXACT = {alias: unit for unit in _UNITS for alias in (unit, *_ALIASES.get(unit, ()))}
_FORGIVING = {_plain(alias): unit for alias, unit in _EXACT.items()}

MOLAR_MASS = {
    "no2": 46.0055,
    "no": 30.0061,
    "nox": 46.0055,
    "o3": 47.9982,
    "so2": 64.064,
    "co": 28.0101,
    "co2": 44.0095,
    "nh3": 17.0305,
    "h2s": 34.081,
    "benzene": 78.1118,
    "toluene": 92.1384,
    "ethylbenzene": 106.165,
}
"""[g/mol], NIST Chemistry WebBook; nitrogen oxides are reckoned as nitrogen dioxide, as the
European Union does."""
_GAS_CONSTANT = 8.314_462_618  # [J/(mol·K)], CODATA 2018


@lru_cache(maxsize=1_024)
def unit_named(name: str) -> str | None:
    """Return the unit, by its name here, that a source calls *name*; None if nobody knows it."""
    return _EXACT.get(name) or _FORGIVING.get(_plain(name))


def molar_volume(celsius: float = 20.0, kilopascal: float = 101.325) -> float:
    """Return the molar volume of an ideal gas, by default at European reference conditions.

    Args:
        celsius: Temperature; the United States take 25. [Cel]
        kilopascal: Pressure. [kPa]

    Returns:
        24.055 at the defaults. [l/mol]
    """
    return _GAS_CONSTANT * (celsius + 273.15) / kilopascal


_EU_VOLUME = molar_volume()


def convert(
    value: float, unit: str, observed_property: ObservedProperty
) -> tuple[Conversion, float]:
    """Bring a number from the source's unit to the property's.

    A mixing ratio of a gas becomes a concentration as ``ppb · M / V``, M being its molar mass and
    V the molar volume at European reference conditions (20 °C, 101.325 kPa), whatever the weather
    was; the other way round for a property in ppm. A bare number is a fraction where the property
    is in per cent.

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
    name, wanted = unit_named(unit), observed_property.unit
    if name == wanted:
        return Conversion.SAME, value
    if name is None:
        return Conversion.UNKNOWN, value
    dimension, factor, offset = _UNITS[name]
    goal, per_unit, zero = _UNITS[wanted]
    base = value * factor + offset
    if dimension != goal:
        bridge = _bridge(dimension, goal, observed_property)
        if isinstance(bridge, Conversion):
            return bridge, value
        base *= bridge
    return Conversion.CONVERTED, (base - zero) / per_unit


def _bridge(dimension: str, goal: str, observed_property: ObservedProperty) -> float | Conversion:
    """Return the factor between the bases of two dimensions, or why there is none."""
    if (dimension, goal) == ("number", "share"):
        return 100.0
    if {dimension, goal} != {"mixing ratio", "concentration"}:
        return Conversion.CONTRADICTION
    mass = MOLAR_MASS.get(observed_property.key)
    if mass is None:
        return Conversion.UNKNOWN if observed_property.gas else Conversion.CONTRADICTION
    micrograms_per_ppb = mass / _EU_VOLUME
    return micrograms_per_ppb if goal == "concentration" else 1 / micrograms_per_ppb
