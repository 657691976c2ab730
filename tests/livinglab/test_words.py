"""Words: names that senders chose, read as quantities or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.wire.routes import Route
from livinglab.wire.words import _ALIASES, Quantity, check_words, quantity, unit_of


def route(**options: object) -> Route:
    return Route(name="r", filter="#", format="ttn", scheme="s", options=options)


def means(word: str, **options: object) -> Quantity | None:
    return quantity(word, route(**options))


@pytest.mark.parametrize(
    ("word", "observed_property"),
    [
        ("temperature", "temperature"),
        ("Temp", "temperature"),
        ("airTemperature", "temperature"),
        ("Relative Humidity", "relative_humidity"),
        ("relative-humidity", "relative_humidity"),
        ("RH", "relative_humidity"),
        ("barometric_pressure", "pressure"),
        ("luminosity", "illuminance"),
        ("CO2", "co2"),
        ("co", "co"),
        ("NO", "no"),
        ("winddirection", "wind_direction"),
        ("PM2.5", "pm25"),
        ("pm2_5", "pm25"),
        ("pm_2_5", "pm25"),
        ("pm25", "pm25"),
        ("pm_10", "pm10"),
    ],
)
def test_spelling_is_forgiven(word: str, observed_property: str):
    """Case, spaces and hyphens are what makers of devices disagree about."""
    assert Quantity(observed_property) == means(word)


@pytest.mark.parametrize("word", ["pm1.0", "PM1_0", "pm1p0", "pm1"])
def test_one_micrometre_is_not_ten(word: str):
    """Who drops the point reads PM1.0 as PM10."""
    assert Quantity("pm1") == means(word)


@pytest.mark.parametrize("word", ["temperature_1", "temperature 1", "temp-1"])
def test_a_number_is_a_channel(word: str):
    """Sensors of a kind are numbered; they must not overwrite each other."""
    assert Quantity("temperature", channel="1") == means(word)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("temperature_F", Quantity("temperature", "F")),
        ("co2_ppm", Quantity("co2", "ppm")),
        ("no2_ppb", Quantity("no2", "ppb")),
        ("pressure_hPa", Quantity("pressure", "hPa")),
        ("rain_mm", Quantity("precipitation", "mm")),
        ("temp_c_2", Quantity("temperature", "c", "2")),
    ],
)
def test_a_unit_in_the_name_is_the_unit(word: str, found: Quantity):
    """The author of the name knew it."""
    assert found == means(word)


@pytest.mark.parametrize(
    "word",
    [
        "temperature_max",
        "temperature_min",
        "battery_mV",
        "depth",
        "1",
        "",
        "_",
        "a_b_c",
        "pm10_1_2",
    ],
)
def test_meaning_is_not_guessed(word: str):
    """A minimum is no minute, a voltage is no level, and a word that nobody knows is nothing."""
    assert means(word) is None


def test_route_has_the_last_word():
    """It maps words as they came; what it maps has no unit and no channel of its own."""
    names = {"T": "temperature", "temp_1": "pressure", "battery_mV": "battery"}

    assert Quantity("temperature") == means("T", names=names)
    assert Quantity("pressure") == means("temp_1", names=names)
    assert Quantity("battery") == means("battery_mV", names=names)
    assert means("t", names=names) is None


def test_unit_is_the_messages_then_the_words_then_nobodys():
    """Order of trust."""
    assert "K" == unit_of(Quantity("temperature", "c"), "K")
    assert "c" == unit_of(Quantity("temperature", "c"), "")
    assert "" == unit_of(Quantity("temperature"))


def test_all_words_mean_properties():
    """The table names nothing that does not exist, and no word twice."""
    words = [word for words in _ALIASES.values() for word in words]

    assert _ALIASES.keys() <= OBSERVED_PROPERTIES.keys()
    assert len(set(words)) == len(words)
    assert all(Quantity(key) == means(word) for key, all_ in _ALIASES.items() for word in all_)
    assert all(Quantity(key) == means(key) for key in OBSERVED_PROPERTIES)


@pytest.mark.parametrize("options", [{"names": []}, {"names": {"a": "mood"}}, {"other": {}}])
def test_options_must_name_properties(options: dict[str, object]):
    """A slip in the city file is found before the first message."""
    with pytest.raises(ValueError, match=r"table|Property"):
        check_words(route(**options))
    check_words(route(names={"a": "no2"}, mine=5), others={"mine"})


@given(st.text(max_size=20) | st.text("pm12._-t 5", max_size=12))
def test_any_word_means_a_property_or_nothing(word: str):
    """Whatever a sender writes."""
    found = means(word)

    assert found is None or found.observed_property in OBSERVED_PROPERTIES
