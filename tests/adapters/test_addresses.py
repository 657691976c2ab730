"""Gazetteers: typing errors, files as cities have them, and a server that misbehaves."""

import socket

import pytest

from livinglab.adapters.addresses import FileGazetteer, NamesGazetteer, NominatimGazetteer
from livinglab.domain.addresses import Known, clearly_meant
from livinglab.domain.geometry import Box, Point
from livinglab.errors import SettingsError, UnavailableError
from tests.addresses import Nominatim, write_csv


@pytest.fixture
def file(tmp_path):
    """The city's own file."""
    return FileGazetteer(write_csv(tmp_path / "addresses.csv"))


@pytest.mark.parametrize(
    "text",
    [
        "Calle Myor 12",
        "Calle Mayro 12",
        "Clale Mayor 12",
        "C/ Mayor, 12",
        "mayor 12, testcity",
        "Calle Mayor 12 Testcty",
    ],
)
def test_typing_errors_and_abbreviations_are_understood(file, text):
    """One letter too few or swapped, and words cut short."""
    found = clearly_meant(file.find(text, limit=8))

    assert found is not None
    assert "Calle Mayor 12, Testcity" == found.label


def test_the_very_word_goes_before_one_like_it():
    """The street that was named, although the house exists in another that sounds like it."""
    known = [Known("Calle Mayor 1", Point(6, 45)), Known("Calle Mayol 3", Point(6.1, 45))]
    found = NamesGazetteer(lambda: known).find("Calle Mayor 3", limit=8)

    assert clearly_meant(found) is None
    assert {"Calle Mayor 1", "Calle Mayol 3"} == {one.label for one in found}


def test_a_street_without_number_lists_its_houses(file):
    """Nearest numbers first where the one that was asked for does not exist."""
    found = file.find("Calle Mayor 14", limit=3)

    assert ["13", "12", "11"] == [one.label.split()[2].strip(",") for one in found]


def test_names_are_read_anew():
    """A Place of today is found, once what was read is old."""
    known: list[Known] = []
    lasting = NamesGazetteer(lambda: known)
    forgetful = NamesGazetteer(lambda: known, fresh_s=0.0)
    before = [each.find("Bridge", limit=1) for each in (lasting, forgetful)]
    known.append(Known("The Bridge", Point(6, 45), "bridge"))

    assert [[], []] == before
    assert [] == lasting.find("Bridge", limit=1)
    assert "bridge" == forgetful.find("Bridge", limit=1)[0].place


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "street,number\nMain St,1\n", "no columns lat and lon"),
        ("a.csv", "lat,lon\n45,6\n", "no column label or street"),
        ("a.csv", b"\xff\xfe\x00", "decode"),
        ("a.geojson", "[]", "FeatureCollection"),
        ("a.json", "{", "Expecting"),
        ("a.csv", None, "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_refused_at_the_start(tmp_path, name, text, says):
    """Naming the setting, the file and what is wrong."""
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(SettingsError, match=says) as raised:
        FileGazetteer(path)

    assert "LIVINGLAB_ADDRESSES" == raised.value.setting


@pytest.mark.parametrize(
    "url", ["https://", "http://user:secret@host", "http://host:x", "ftp://host", "http://h?key=s"]
)
def test_a_url_that_is_none_is_refused_without_its_secret(url):
    """A password in a URL would end up in logs."""
    with pytest.raises(SettingsError) as raised:
        NominatimGazetteer(url)

    assert "secret" not in str(raised.value)


def test_nominatim_is_asked_once_and_politely():
    """Its path, who asks, where and how much; the same words are remembered."""
    with Nominatim().serving() as server:
        box = Box(6.0, 45.0, 6.06, 45.1)
        gazetteer = NominatimGazetteer(server.url, box=box)
        found = [gazetteer.find(text, limit=9) for text in ("Mill Lane 3", " Mill  Lane 3")]

    assert found[0] == found[1]
    assert [6.01] == [one.point.lon for one in found[0]], "the other lies outside the city"
    [asked] = server.asked
    assert "/nominatim/search" == asked["path"]
    assert ("Mill Lane 3", "jsonv2", "20", "1") == (
        asked["q"],
        asked["format"],
        asked["limit"],
        asked["bounded"],
    )
    assert "6.0,45.0,6.06,45.1" == asked["viewbox"]
    assert ["livinglab"] == server.agents


def test_what_nominatim_names_otherwise_is_a_candidate_only():
    """It knows more languages than its labels tell, but nobody checked."""
    with Nominatim().serving() as server:
        server.body = b'[{"display_name": "Casa Blanca 1", "lat": "45.05", "lon": "6.05"}]'
        found = NominatimGazetteer(server.url).find("White House 1", limit=9)

    assert ["Casa Blanca 1"] == [one.label for one in found]
    assert clearly_meant(found) is None


def test_rows_of_nominatim_that_are_none_are_passed_over():
    """Without a name, or with a position that is none."""
    with Nominatim().serving() as server:
        server.body = (
            b'[7, null, {"display_name": 3, "lat": 1, "lon": 1},'
            b'{"display_name": "Mill Lane 3", "lat": "nan", "lon": "6"},'
            b'{"display_name": "Mill Lane 3", "lat": "91", "lon": "6"},'
            b'{"display_name": "Mill Lane 3", "lat": 45, "lon": 6}]'
        )
        found = NominatimGazetteer(server.url).find("Mill Lane 3", limit=9)

    assert [Point(6.0, 45.0)] == [one.point for one in found]


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (500, b"[]", "answers 500"),
        (302, b"[]", "answers 302"),
        (200, b"<html>", "no JSON"),
        (200, b"[" * 100_000, "no JSON"),
        (200, b'{"error": 1}', "no list"),
        (200, b" " * 300_000, "more than"),
    ],
)
def test_a_server_that_misbehaves_is_unavailable(status, body, says):
    """And what it says does not spread."""
    with Nominatim().serving() as server:
        server.status, server.body = status, body
        with pytest.raises(UnavailableError, match=says):
            NominatimGazetteer(server.url).find("Mill Lane 3", limit=9)


def test_a_server_that_is_not_there_is_unavailable():
    """Its failure is not remembered."""
    with Nominatim().serving() as server:
        url = server.url

    with pytest.raises(UnavailableError, match="does not answer"):
        NominatimGazetteer(url).find("Mill Lane 3", limit=9)


def test_a_server_that_says_nothing_is_given_up():
    """A socket that takes the question and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=r"within 0\.1 s"):
            NominatimGazetteer(url, seconds=0.1).find("Mill Lane 3", limit=9)
