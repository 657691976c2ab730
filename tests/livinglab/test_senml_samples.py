"""The packs of RFC 8428 itself, resolved as the RFC resolves them."""

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from livinglab.config import read_settings
from livinglab.wire.routes import Route
from livinglab.wire.senml import decode, is_senml, resolve
from tests.livinglab.hearing import RECEIVED, Heard

ROUTE = Route(name="senml", filter="#", format="senml", scheme="senml")


def sample(name: str) -> bytes:
    path: Path = read_settings().samples / "payloads" / "senml" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here; LIVINGLAB_SAMPLES names the folder of sample data")
    return path.read_bytes()


def hear(name: str) -> Heard:
    heard = Heard()
    decode(sample(f"{name}.json"), {}, ROUTE, heard)
    return heard


@pytest.mark.parametrize("name", ["ex1", "ex2", "ex4", "ex5", "ex6"])
def test_pack_resolves_as_published(name: str):
    """Record by record, number by number, with the clock at 1498780179."""
    records: Any = orjson.loads(sample(f"{name}.json"))
    expected: Any = orjson.loads(sample(f"{name}.resolved.json"))

    found = [one.record for one in resolve(records, RECEIVED / 1_000)]

    assert expected == found
    assert is_senml(records, {})


@pytest.mark.parametrize("name", ["ex1", "ex4", "ex6"])
def test_every_record_is_a_reading(name: str):
    """Values, units and times are those of the resolved pack."""
    expected: Any = orjson.loads(sample(f"{name}.resolved.json"))

    heard = hear(name)

    assert [(one["v"], one["u"]) for one in expected] == heard.all("value", "unit")
    times = [RECEIVED if time is None else time for time in heard.all("time")]
    assert [round(one["t"] * 1_000) for one in expected] == times
    assert ([], []) == (heard.rejects, heard.ignored)


def test_names_part_into_things_and_properties():
    """Whether the name ends in a word, or the unit alone tells the quantity."""
    device = "urn:dev:ow:10e2073a01080063"

    assert [(device, "temperature")] == hear("ex1").all("thing", "property")
    assert {(device, "relative_humidity")} == set(hear("ex4").all("thing", "property"))
    assert [
        ("2001:db8::2", "temperature"),
        ("2001:db8::2", "relative_humidity"),
        ("2001:db8::1", "temperature"),
        ("2001:db8::1", "relative_humidity"),
    ] == hear("ex6").all("thing", "property")


def test_electricity_is_refused_and_said():
    """Volts and amperes are no ObservedProperties of a city."""
    heard = hear("ex2")

    assert [("unknown_property", "[0]"), ("unknown_property", "[1]")] == heard.rejects
    assert [] == heard.readings


def test_moving_thing_is_where_it_was_at_each_time():
    """Four times humidity with its own position; the battery was read where nobody knows."""
    heard = hear("ex5")

    assert Counter(relative_humidity=4, battery=1) == Counter(heard.all("property"))
    assert [
        (24.30621, 60.07965),
        (24.30622, 60.07965),
        (24.30623, 60.07966),
        None,
        (24.30628, 60.07967),
    ] == heard.all("point")
    assert [("position", f"[{n}].v") for n in (1, 2, 4, 5, 7, 8, 11, 12)] == heard.ignored
    assert [] == heard.rejects
