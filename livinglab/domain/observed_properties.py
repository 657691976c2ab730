"""ObservedProperties: one row per quantity, read by checks, signals, panels and labels.

Keys and units are public names (`docs/nomenclature.md`). ``plausible`` is what the outdoor air or
a street of a city may show; outside it a Reading is suspect. ``span`` is what an instrument for
the property can output at all; outside it a Reading fails. Both are defaults of ours, wide on
purpose: a city narrows them in its file.

``spike``, ``rate`` and ``flat`` are proposals of ours too, for tests that look at neighbours. What
jumps by nature (noise, traffic, rain, light) has neither spike nor rate, and what rests by nature
(counts, states, rain, light at night, gases near their detection limit) is never called flat: a
suspect Reading leaves the means, so a test that cannot be sure must not exist.
"""

from dataclasses import dataclass

from livinglab.domain.readings import NO_TEST, Aggregation, Flag, Test


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatLine:
    """When a result that does not change means that the instrument is stuck."""

    n: int
    """So many Readings in a row, the judged one included."""
    lasting_s: float
    """Over so long a time at least, however often the Thing speaks. [s]"""
    within: float = 1e-9
    """Two results are equal up to this: far below any resolution, so that drift is no flat line.
    In the unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedProperty:
    """A quantity with its unit, what it can plausibly be, and how it is averaged."""

    key: str
    unit: str
    """UCUM where UCUM has it."""
    label: str
    plausible: tuple[float, float] | None = None
    """In the unit, ends included. None: no range test exists."""
    span: tuple[float, float] | None = None
    """In the unit, ends included."""
    spike: float | None = None
    """Farther than this from both neighbours, on the same side, is suspect. In the unit."""
    rate: float | None = None
    """A faster change is suspect; one within less than a minute counts as if it took a minute. In
    the unit per minute."""
    flat: FlatLine | None = None
    aggregation: Aggregation = Aggregation.MEAN
    gas: bool = False
    """A gas whose mixing ratio converts to a concentration only with temperature and pressure."""


_HOUR_S = 3_600.0
_DAY_LONG = FlatLine(n=12, lasting_s=24 * _HOUR_S)


def _air(
    key: str,
    label: str,
    high: float,
    *,
    gas: bool = True,
    unit: str = "ug/m3",
    flat: FlatLine | None = None,
) -> ObservedProperty:
    """Describe a pollutant: analysers near zero read slightly negative, and that is good.

    A jump by half of what is plausible is suspect.
    """
    low = -5.0 if unit == "ug/m3" else -0.5
    return ObservedProperty(
        key=key,
        unit=unit,
        label=label,
        plausible=(low, high),
        span=(low * 10, high * 20),
        spike=high / 2,
        rate=high / 2,
        flat=flat,
        gas=gas,
    )


_ROWS = (
    _air("pm10", "Particles below 10 µm", 1_000, gas=False, flat=_DAY_LONG),
    _air("pm25", "Particles below 2.5 µm", 800, gas=False, flat=_DAY_LONG),
    _air("pm1", "Particles below 1 µm", 600, gas=False, flat=_DAY_LONG),
    _air("no2", "Nitrogen dioxide", 1_000, flat=_DAY_LONG),
    _air("no", "Nitrogen monoxide", 2_000),
    _air("nox", "Nitrogen oxides", 4_000),
    _air("o3", "Ozone", 600, flat=_DAY_LONG),
    _air("so2", "Sulphur dioxide", 2_000),
    _air("nh3", "Ammonia", 1_000),
    _air("h2s", "Hydrogen sulphide", 1_000),
    _air("benzene", "Benzene", 200),
    _air("toluene", "Toluene", 1_000),
    _air("ethylbenzene", "Ethylbenzene", 500),
    _air("hydrocarbons", "Hydrocarbons", 20, unit="mg/m3"),
    _air("methane", "Methane", 20, unit="mg/m3"),
    _air("non_methane_hydrocarbons", "Non-methane hydrocarbons", 10, unit="mg/m3"),
    _air("co", "Carbon monoxide", 60, unit="mg/m3"),
    ObservedProperty(
        key="co2",
        unit="ppm",
        label="Carbon dioxide",
        plausible=(300, 5_000),
        span=(0, 50_000),
        spike=1_000,
        rate=1_000,
        flat=_DAY_LONG,
    ),
    ObservedProperty(
        key="temperature",
        unit="Cel",
        label="Temperature",
        plausible=(-40, 55),
        span=(-80, 150),
        spike=10,
        rate=5,
        flat=FlatLine(n=12, lasting_s=12 * _HOUR_S),
    ),
    ObservedProperty(
        key="relative_humidity",
        unit="%",
        label="Relative humidity",
        plausible=(0, 100),
        span=(-5, 110),
        spike=30,
        rate=20,
        flat=FlatLine(n=12, lasting_s=48 * _HOUR_S),  # fog holds it at 100 for a day
    ),
    ObservedProperty(
        key="pressure",
        unit="hPa",
        label="Air pressure",
        plausible=(850, 1_090),
        span=(300, 1_200),
        spike=5,
        rate=3,
        flat=_DAY_LONG,
    ),
    ObservedProperty(
        key="wind_speed",
        unit="m/s",
        label="Wind speed",
        plausible=(0, 60),
        span=(0, 120),
        spike=30,
        flat=FlatLine(n=12, lasting_s=48 * _HOUR_S),  # a calm may last a day
    ),
    ObservedProperty(
        key="wind_direction",
        unit="deg",
        label="Wind direction",
        plausible=(0, 360),
        span=(0, 360),
        aggregation=Aggregation.CIRCULAR_MEAN,
    ),
    ObservedProperty(
        key="precipitation",
        unit="mm",
        label="Precipitation",
        plausible=(0, 150),
        span=(0, 500),
        aggregation=Aggregation.SUM,
    ),
    ObservedProperty(
        key="illuminance",
        unit="lx",
        label="Illuminance",
        plausible=(0, 130_000),
        span=(0, 10_000_000),
    ),
    ObservedProperty(
        key="noise_level",
        unit="dB(A)",
        label="Noise level",
        plausible=(20, 120),
        span=(0, 160),
        flat=FlatLine(n=12, lasting_s=12 * _HOUR_S),
        aggregation=Aggregation.ENERGY_MEAN,
    ),
    ObservedProperty(
        key="vehicle_flow",
        unit="veh/h",
        label="Traffic flow",
        plausible=(0, 6_000),
        span=(0, 20_000),
    ),
    ObservedProperty(
        key="occupancy", unit="%", label="Occupancy of the road", plausible=(0, 100), span=(0, 100)
    ),
    ObservedProperty(
        key="vehicle_speed", unit="km/h", label="Traffic speed", plausible=(0, 160), span=(0, 300)
    ),
    ObservedProperty(
        key="traffic_load", unit="1", label="Traffic load", plausible=(0, 150), span=(0, 1_000)
    ),
    ObservedProperty(
        key="parking_free",
        unit="1",
        label="Free parking spaces",
        plausible=(0, 10_000),
        span=(0, 100_000),
    ),
    ObservedProperty(
        key="bicycle_count",
        unit="1",
        label="Bicycles counted",
        plausible=(0, 10_000),
        span=(0, 100_000),
        aggregation=Aggregation.SUM,
    ),
    ObservedProperty(key="battery", unit="%", label="Battery", plausible=(0, 100), span=(0, 255)),
    ObservedProperty(
        key="bus_delay",
        unit="s",
        label="Delay of the bus",
        plausible=(-1_800, 7_200),
        span=(-86_400, 86_400),
    ),
)

OBSERVED_PROPERTIES: dict[str, ObservedProperty] = {row.key: row for row in _ROWS}
"""Every quantity the lab knows, by key."""


def range_flag(observed_property: ObservedProperty, result: float) -> tuple[Flag, Test]:
    """Judge one result by its property's ranges: the gross range test for a single number.

    Args:
        observed_property: The quantity.
        result: In the property's unit; not NaN.
    """
    span, plausible = observed_property.span, observed_property.plausible
    outside = plausible is not None and not plausible[0] <= result <= plausible[1]
    if span is not None and not span[0] <= result <= span[1]:
        return Flag.FAIL, Test.SPAN | (Test.PLAUSIBLE if outside else NO_TEST)
    if outside:
        return Flag.SUSPECT, Test.PLAUSIBLE
    return (Flag.GOOD if span or plausible else Flag.NOT_EVALUATED), NO_TEST
