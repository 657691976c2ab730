"""Signals: what is really the case in a town at any instant; pure, seeded, and never stored.

Every value is a function of (seed, place, property, instant) alone: asking in other pieces, or in
another order, gives the same numbers. Randomness is counter-based: a hash of the instant's index.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
"""Instants. [ms since 1970 UTC]"""
Values = NDArray[np.float64]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
YEAR_MS = 365.2425 * DAY_MS


def uniform(seed: int, series: int, index: NDArray[np.int64]) -> Values:
    """Draw from (0, 1) by counter: the same (seed, series, index) gives the same number.

    References:
        S. Vigna, splitmix64 (public domain), the finaliser; D. Stafford's variant 13.
    """
    with np.errstate(over="ignore"):
        key = np.uint64(seed & 0xFFFFFFFF) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(series)
        mixed = index.astype(np.uint64) * np.uint64(0xD1342543DE82EF95) + key
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def normal(seed: int, series: int, index: NDArray[np.int64]) -> Values:
    """Draw from the standard normal by counter (Box and Muller)."""
    one = uniform(seed, series, 2 * index)
    other = uniform(seed, series, 2 * index + 1)
    return np.asarray(np.sqrt(-2.0 * np.log(one)) * np.cos(2.0 * np.pi * other))


def smooth(seed: int, series: int, times: Times, period_ms: int) -> Values:
    """Wander around 0 with unit variance at the knots, one knot per period, smoothly between."""
    index, within = np.divmod(times, period_ms)
    share = within / period_ms
    share = share * share * (3.0 - 2.0 * share)
    return normal(seed, series, index) * (1 - share) + normal(seed, series, index + 1) * share


def series_of(name: str) -> int:
    """Number a series by its name, the same in every process (FNV-1a, 32 bits)."""
    found = 0x811C9DC5
    for byte in name.encode():
        found = ((found ^ byte) * 0x01000193) & 0xFFFFFFFF
    return found


def weather(seed: int, times: Times) -> dict[str, Values]:
    """Tell the weather that all of a town shares.

    Returns:
        temperature [Cel], wind_speed [m/s], wind_direction [deg], relative_humidity [%],
        pressure [hPa].
    """
    year = 2 * np.pi * times / YEAR_MS
    hour = 2 * np.pi * (times % DAY_MS) / DAY_MS
    front = smooth(seed, series_of("front"), times, 3 * DAY_MS)
    gust = smooth(seed, series_of("gust"), times, 6 * HOUR_MS)
    temperature = 12 - 9 * np.cos(year - 0.35) - 4 * np.cos(hour - 0.6) + 3 * front
    wind = np.maximum(0.2, 2.5 - 0.8 * np.cos(hour) + 1.4 * gust + 0.6 * front)
    return {
        "temperature": temperature,
        "wind_speed": wind,
        "wind_direction": np.mod(210 + 60 * front + 30 * gust, 360),
        "relative_humidity": np.clip(70 - 1.2 * (temperature - 12) + 8 * front, 15, 100),
        "pressure": 1_000 - 8 * front,
    }


def traffic(seed: int, place: str, times: Times) -> Values:
    """Tell how busy a street is: 0 to about 1.3, with two peaks a working day."""
    hour = (times % DAY_MS) / HOUR_MS
    weekday = (times // DAY_MS + 3) % 7  # 1970-01-01 was a Thursday
    morning = np.exp(-((hour - 7.5) ** 2) / 3.0)
    evening = np.exp(-((hour - 16.5) ** 2) / 5.0)
    noon = 0.55 * np.exp(-((hour - 13) ** 2) / 20.0)
    free = weekday >= 5  # noqa: PLR2004 - Saturday and Sunday
    shape = np.where(free, 0.75 * noon + 0.3 * evening, morning + evening + noon)
    wobble = smooth(seed, series_of(f"traffic {place}"), times, HOUR_MS)
    return np.maximum(0.02, 0.05 + shape * (1 + 0.12 * wobble))


def true_value(
    seed: int, place: str, observed_property: str, times: Times, level: float = 1.0
) -> Values:
    """Tell what is the case at a Place, without any Initiative.

    Args:
        seed: Of the town.
        place: Key of the Place.
        observed_property: Key of the quantity.
        times: Instants. [ms since 1970 UTC]
        level: How much of it there is at this Place, 1 being ordinary.

    Returns:
        Values in the property's unit, of the shape of *times*.
    """
    sky = weather(seed, times)
    if observed_property in sky:
        local = smooth(seed, series_of(f"{place} {observed_property}"), times, 6 * HOUR_MS)
        scale = {"temperature": 0.6, "relative_humidity": 2.0, "wind_direction": 6.0}
        value = sky[observed_property] + scale.get(observed_property, 0.15) * local
        return _within(observed_property, value)
    busy = traffic(seed, place, times)
    local = smooth(seed, series_of(f"{place} {observed_property}"), times, 8 * HOUR_MS)
    still = np.clip(2.2 - 0.45 * sky["wind_speed"], 0.5, 2.2)
    flow = 1_400 * level * busy
    values = {
        "vehicle_flow": flow,
        "occupancy": 4 + 26 * np.minimum(busy, 1.2) * level,
        "vehicle_speed": 48 - 22 * np.minimum(busy, 1.2) * min(level, 1.4),
        "noise_level": 42 + 9.5 * np.log10(1 + flow / 25),
        "no2": level * (9 + 26 * busy * still) + 2.5 * local,
        "no": level * (3 + 14 * busy * still) + 1.5 * local,
        "pm10": level * (13 + 8 * busy * still) + 3.5 * local,
        "pm25": level * (8 + 4 * busy * still) + 2.5 * local,
        "o3": 62 - 18 * busy * still + 1.1 * sky["temperature"] + 5 * local,
        "co2": 418 + 45 * busy * still * level + 6 * local,
        "bicycle_count": np.round(level * 14 * busy * np.clip(sky["temperature"] / 15, 0.2, 1.6)),
        "parking_free": np.round(level * 140 * (1.1 - np.minimum(busy, 1.0))),
        "bus_delay": 30 + 160 * busy * np.maximum(0.1, 1 + 0.5 * local),
        "battery": 60 + 38 * np.cos(2 * np.pi * times / (21 * DAY_MS)),
    }
    return _within(observed_property, values[observed_property])


def _within(observed_property: str, value: Values) -> Values:
    """Keep a value where nature keeps it."""
    if observed_property == "wind_direction":
        return np.asarray(np.mod(value, 360))
    if observed_property == "relative_humidity":
        return np.clip(value, 5, 100)
    if observed_property in {"temperature", "bus_delay"}:
        return value
    return np.maximum(value, 0.0)


def with_effects(value: Values, times: Times, effects: Mapping[int, float]) -> Values:
    """Add the true effects of Initiatives: start [ms since 1970 UTC] → shift in the unit."""
    for start, shift in effects.items():
        value = value + np.where(times >= start, shift, 0.0)
    return value
