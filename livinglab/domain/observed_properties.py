"""ObservedProperties: one row per quantity, read by checks, signals, panels and labels.

Keys and units are public names (`docs/nomenclature.md`). ``plausible`` is what the outdoor air or
a street of a city may show; outside it a Reading is suspect. ``span`` is what an instrument for
the property can output at all; outside it a Reading fails. Both are defaults of ours, wide on
purpose: a city narrows them in its file.
"""

from dataclasses import dataclass

from livinglab.domain.readings import NO_TEST, Aggregation, Flag, Test


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
    aggregation: Aggregation = Aggregation.MEAN
    gas: bool = False
    """A gas whose mixing ratio converts to a concentration only with temperature and pressure."""


def _air(
    key: str, label: str, high: float, *, gas: bool = True, unit: str = "ug/m3"
) -> ObservedProperty:
    """Describe a pollutant: analysers near zero read slightly negative, and that is good."""
    low = -5.0 if unit == "ug/m3" else -0.5
    return ObservedProperty(
        key=key, unit=unit, label=label, plausible=(low, high), span=(low * 10, high * 20), gas=gas
    )


_ROWS = (
    _air("pm10", "Particles below 10 µm", 1_000, gas=False),
    _air("pm25", "Particles below 2.5 µm", 800, gas=False),
    _air("pm1", "Particles below 1 µm", 600, gas=False),
    _air("no2", "Nitrogen dioxide", 1_000),
    _air("no", "Nitrogen monoxide", 2_000),
    _air("nox", "Nitrogen oxides", 4_000),
    _air("o3", "Ozone", 600),
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
        key="co2", unit="ppm", label="Carbon dioxide", plausible=(300, 5_000), span=(0, 50_000)
    ),
    ObservedProperty(
        key="temperature", unit="Cel", label="Temperature", plausible=(-40, 55), span=(-80, 150)
    ),
    ObservedProperty(
        key="relative_humidity",
        unit="%",
        label="Relative humidity",
        plausible=(0, 100),
        span=(-5, 110),
    ),
    ObservedProperty(
        key="pressure", unit="hPa", label="Air pressure", plausible=(850, 1_090), span=(300, 1_200)
    ),
    ObservedProperty(
        key="wind_speed", unit="m/s", label="Wind speed", plausible=(0, 60), span=(0, 120)
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
