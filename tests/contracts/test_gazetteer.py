"""What every Gazetteer promises."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from livinglab.adapters.addresses import (
    FileGazetteer,
    JoinedGazetteer,
    NamesGazetteer,
    NominatimGazetteer,
)
from livinglab.domain.addresses import Known, Located, clearly_meant
from livinglab.domain.geometry import Box, Point
from livinglab.ports import Gazetteer
from tests.addresses import ADDRESSES, Nominatim, write_csv, write_geojson

CITY = Box(6.0, 45.0, 6.1, 45.1)


def names() -> Iterator[Known]:
    """Tell the same addresses as names."""
    for street, number, lon, lat in ADDRESSES:
        yield Known(f"{street} {number}", Point(lon, lat), f"place:{lon}")


@pytest.fixture(params=["csv", "geojson", "names", "nominatim", "joined"])
def gazetteer(request, tmp_path: Path) -> Iterator[Gazetteer]:
    """Every adapter."""
    with ExitStack() as opened:
        made: Gazetteer
        if request.param == "csv":
            made = FileGazetteer(write_csv(tmp_path / "addresses.csv"))
        elif request.param == "geojson":
            made = FileGazetteer(write_geojson(tmp_path / "addresses.geojson"))
        elif request.param == "names":
            made = NamesGazetteer(names)
        elif request.param == "nominatim":
            server = opened.enter_context(Nominatim().serving())
            made = NominatimGazetteer(server.url, box=CITY)
        else:
            empty = NamesGazetteer(lambda: ())
            made = JoinedGazetteer(empty, FileGazetteer(write_csv(tmp_path / "addresses.csv")))
        yield opened.enter_context(closing(made))


def meant(gazetteer: Gazetteer, text: str) -> Point | None:
    """Return where somebody clearly means."""
    found: Located | None = clearly_meant(gazetteer.find(text, limit=8))
    return found and found.point


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("Calle Mayor 12", Point(6.0512, 45.05)),
        ("  12, CALLE  mayor!", Point(6.0512, 45.05)),
        ("plaza de la constitucion 1", Point(6.06, 45.07)),
        ("HAUPTSTRASSE 7B", Point(6.08, 45.02)),
        ("شارع الحرية \u0665", Point(6.09, 45.03)),
    ],
)
def test_an_address_is_found(gazetteer, text, point):
    """Whatever its case, accents, order, punctuation and digits."""
    assert point == meant(gazetteer, text)


def test_another_house_is_not_meant(gazetteer):
    """Neither a number that does not exist, nor a street without one, nor one of two alike."""
    assert meant(gazetteer, "Calle Mayor 99") is None
    assert meant(gazetteer, "Calle Mayor") is None
    assert meant(gazetteer, "Mill Lane 3") is None


def test_candidates_are_the_best_first_and_few(gazetteer):
    """Both Mill Lanes are told, and no more than were asked for."""
    found = gazetteer.find("Mill Lane 3", limit=8)
    scores = [one.score for one in found]

    assert {6.01, 6.09} == {one.point.lon for one in found[:2]}
    assert sorted(scores, reverse=True) == scores
    assert all(0.0 <= one <= 1.0 for one in scores)
    assert 1 == len(gazetteer.find("Mill Lane 3", limit=1))


@pytest.mark.parametrize(
    "text",
    ["Zzyzx Qwrtp 1", "", " ", "12", "'; DROP TABLE place; --", "\x00", "%", "\ud800", "x" * 9_000],
)
def test_nonsense_finds_nothing(gazetteer, text):
    """Whatever it is, it is only words."""
    assert [] == gazetteer.find(text, limit=8)
