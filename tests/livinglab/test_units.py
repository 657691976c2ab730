"""Units: whatever a source calls them, results come in the property's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.units import MOLAR_MASS, Conversion, convert, molar_volume, unit_named


def converted(value: float, unit: str, key: str) -> float:
    outcome, result = convert(value, unit, OBSERVED_PROPERTIES[key])
    assert outcome is Conversion.CONVERTED
    return result


@pytest.mark.parametrize(
    ("gas", "eu", "us"),
    [
        ("no2", 1.9125, 1.8804),
        ("no", 1.2474, 1.2265),
        ("o3", 1.9953, 1.9619),
        ("so2", 2.6632, 2.6185),
        ("benzene", 3.2472, 3.1927),
        ("co", 1.1644, 1.1449),
    ],
)
def test_factors_of_gases(gas: str, eu: float, us: float):
    """The factors in use: µg/m³ per ppb at 20 °C in Europe, at 25 °C in the United States."""
    mass = MOLAR_MASS[gas]

    assert pytest.approx([eu, us], abs=1e-4) == [
        mass / molar_volume(20.0),
        mass / molar_volume(25.0),
    ]


@pytest.mark.parametrize(
    ("value", "unit", "key", "expected"),
    [
        (10, "ppb", "no2", 19.125),
        (0.01, "ppm", "no2", 19.125),
        (2, "ppm", "co", 2.3288),
        (2_000, "ppb", "co", 2.3288),
        (20, "ppb", "nox", 38.25),
        (0.5, "GP", "co", 0.5),
        (500, "GQ", "co", 0.5),
        (0.04, "mg/m3", "pm10", 40),
        (68, "°F", "temperature", 20),
        (293.15, "K", "temperature", 20),
        (101_325, "Pa", "pressure", 1_013.25),
        (760, "mmHg", "pressure", 1_013.25),
        (10, "kn", "wind_speed", 5.1444),
        (10, "km/h", "wind_speed", 2.7778),
        (10, "m/s", "vehicle_speed", 36),
        (0.54, "1", "relative_humidity", 54),
        (0.76, "ratio", "occupancy", 76),
        (12, "urn:oc:uom:vehiclesPerMinute", "vehicle_flow", 720),
        (2, "min", "bus_delay", 120),
        (1.5, "klx", "illuminance", 1_500),
        (732, "mg/m3", "co2", 400.10),
    ],
)
def test_conversions_worked_by_hand(value: float, unit: str, key: str, expected: float):
    """Metric, imperial, UN/CEFACT codes and fractions end in the property's unit."""
    result = (
        value if unit_named(unit) == OBSERVED_PROPERTIES[key].unit else converted(value, unit, key)
    )

    assert pytest.approx(expected, rel=1e-4) == result


@pytest.mark.parametrize(
    ("unit", "names"),
    [
        ("Cel", ["ºC", "°C", "℃", "C", "CEL", "celsius", "degC"]),
        ("ug/m3", ["µg/m³", "μg/m3", "ug/m^3", "µg m⁻³", "UG_M3", "GQ"]),
        ("hPa", ["mbar", "A97", "HPA", "hPa"]),
        ("dB(A)", ["dB", "dBA", "db(a)", "2N"]),
        ("%", ["%RH", "%EL", "P1", "percent"]),
        ("ppb", ["[ppb]", "PPB", "61"]),
        ("lx", ["lux", "LUX", "Lux"]),
    ],
)
def test_spelling_is_forgiven(unit: str, names: list[str]):
    """Makers of devices agree on no spelling, and two characters look like micro."""
    assert {unit} == {unit_named(name) for name in names}


@pytest.mark.parametrize("unit", ["", "furlong/fortnight", "vehicles per minute per lane", "??"])
def test_unknown_unit_leaves_the_number(unit: str):
    """Nothing is guessed: the number stays, and nothing is compared with it."""
    assert (Conversion.UNKNOWN, 21.5) == convert(21.5, unit, OBSERVED_PROPERTIES["temperature"])


def test_gas_of_many_molecules_has_no_factor():
    """Hydrocarbons in ppm are a known unit without a known mass."""
    found = convert(1.8, "ppm", OBSERVED_PROPERTIES["hydrocarbons"])

    assert (Conversion.UNKNOWN, 1.8) == found


@pytest.mark.parametrize(
    ("unit", "key"),
    [("hPa", "temperature"), ("ppb", "pm10"), ("%", "parking_free"), ("V", "battery")],
)
def test_unit_of_another_quantity_contradicts(unit: str, key: str):
    """A temperature in hectopascal is a mistake somewhere; the lab does not repair it."""
    assert (Conversion.CONTRADICTION, 21.5) == convert(21.5, unit, OBSERVED_PROPERTIES[key])


@pytest.mark.parametrize("key", OBSERVED_PROPERTIES)
def test_own_unit_changes_nothing(key: str):
    """Every property's unit is in the table, and a result in it keeps every bit."""
    known = OBSERVED_PROPERTIES[key]

    assert (Conversion.SAME, 0.1) == convert(0.1, known.unit, known)


@given(st.floats(-1e6, 1e6), st.sampled_from(["Cel", "K", "[degF]"]))
def test_larger_stays_larger(value: float, unit: str):
    """Conversion keeps the order of numbers."""
    temperature = OBSERVED_PROPERTIES["temperature"]

    assert convert(value, unit, temperature)[1] < convert(value + 1, unit, temperature)[1]
