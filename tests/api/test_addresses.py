"""An address is a way to a Place as good as the map."""

from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from livinglab.adapters.addresses import NominatimGazetteer
from livinglab.bootstrap import open_lab
from livinglab.config import Settings
from livinglab.domain.geometry import Point
from tests.addresses import Nominatim, write_csv
from tests.photos import encoded, scene

GATEWAY = {"Authorization": "Bearer submit-secret"}
DEVICE = {"X-Contributor": "a" * 32}
MAYOR_12 = Point(6.0512, 45.05)


@pytest.fixture
def city(lab, tmp_path):
    """The lab, with the city's own file of addresses."""
    path = write_csv(tmp_path / "addresses.csv")
    apart = dict.fromkeys(("readings", "civic", "vault", "media"), "memory:")
    other = open_lab(Settings(data=tmp_path / "other", addresses=str(path), **apart))
    lab.gazetteer = other.gazetteer
    yield lab
    other.close()


def draft(address: str, **facts: object) -> dict[str, object]:
    """A posting that says where by an address alone."""
    return {
        "client_key": str(uuid4()),
        "category": "traffic",
        "text": "Nobody can cross here.",
        "address": address,
        **facts,
    }


def kept(lab, answer):
    """Return what was kept of a posting."""
    with lab.work(write=False) as work:
        return work.observations.get(UUID(answer.json()["id"]))


@pytest.mark.usefixtures("city")
def test_an_address_is_looked_up(client):
    """With its point and the Place nearest to it: 12 stands 94 m east of the Square."""
    [one, *_] = client.get("/addresses", params={"q": "calle myor 12"}).json()["items"]

    assert "Calle Mayor 12, Testcity" == one["label"]
    assert list(MAYOR_12) == one["point"]
    assert ("square", "The Square") == (one["place"]["key"], one["place"]["name"])
    assert pytest.approx(94.3, abs=0.5) == one["place"]["distance_m"]
    assert 0.82 < one["score"] < 1.0


@pytest.mark.usefixtures("city")
def test_an_address_far_from_any_place_has_none(client):
    """It may be posted about all the same."""
    [one] = client.get("/addresses?q=Constitucion 1&limit=1").json()["items"]

    assert one["place"] is None


def test_without_a_file_places_and_zones_are_known_by_name(client):
    """Both lead to themselves."""
    found = [client.get(f"/addresses?q={q}").json()["items"][0] for q in ("brigde", "CENTRE")]

    assert ["bridge", "zone:centre"] == [one["place"]["key"] for one in found]


@pytest.mark.parametrize("query", ["", "?q=", f"?q={'x' * 201}", "?q=x&limit=0", "?q=x&limit=21"])
def test_a_search_is_bounded(client, query):
    """In its words and in its answer."""
    assert 422 == client.get(f"/addresses{query}").status_code


def test_searches_are_limited_by_network_apart_from_postings(lab):
    """A key of scope submit searches on; whoever searched too much may still post."""
    lab.settings.__dict__["post_limit"] = 2
    with TestClient(create_app(lab)) as client:
        codes = [client.get("/addresses?q=bridge").status_code for _ in range(3)]
        with_key = client.get("/addresses?q=bridge", headers=GATEWAY)
        wrong = client.get("/addresses?q=bridge", headers={"Authorization": "Bearer x"})
        posted = client.post("/observations", json=draft("The Bridge"))

    assert [200, 200, 429] == codes
    assert [200, 401, 201] == [with_key.status_code, wrong.status_code, posted.status_code]


def test_a_posting_by_address_is_joined_like_one_by_map(city, client):
    """Same Place and public point, by another method, a little less sure."""
    by_map = client.post("/observations", json=draft("", point=MAYOR_12))
    by_address = client.post("/observations", json=draft("Calle Mayor 12"))
    one, other = kept(city, by_map), kept(city, by_address)

    assert [201, 201] == [by_map.status_code, by_address.status_code]
    assert ("pin", "address") == (one.method.value, other.method.value)
    assert (one.place, one.distance_m) == (other.place, other.distance_m)
    assert MAYOR_12 == other.point
    assert one.public_point == other.public_point
    assert 0.99 * one.confidence < other.confidence < one.confidence


def test_a_posting_at_a_place_by_its_name_has_no_point(client, lab):
    """Somebody said which Place, not where in it."""
    one = kept(lab, client.post("/observations", json=draft("the bridge")))

    assert ("bridge", "address") == (one.place, one.method.value)
    assert (None, None) == (one.point, one.public_point)


def test_an_address_shows_no_more_than_its_theme_allows(city, client):
    """Noise is placed by Zone: neither the house nor its Place is told."""
    answer = client.post("/observations", json=draft("Calle Mayor 12", category="noise"))
    air = client.post("/observations", json=draft("Calle Mayor 12", category="air"))

    assert "zone:centre" == answer.json()["place"]["key"]
    assert kept(city, answer).public_point is None
    assert "6.0512" not in answer.text
    assert "6.0512" not in air.text
    assert "6.0512" not in client.get("/places?limit=1000").text


@pytest.mark.usefixtures("city")
def test_several_that_could_be_meant_are_told(client):
    """Nothing is kept; with the point of one of them, the same key posts."""
    body = draft("Mill Lane 3")
    answer = client.post("/observations", json=body)
    told = answer.json()
    again = client.post("/observations", json=body | {"point": told["candidates"][0]["point"]})

    assert (422, "address") == (answer.status_code, told["path"])
    assert ["Mill Lane 3, Testcity"] * 2 == [one["label"] for one in told["candidates"]]
    assert {(6.01, 45.01), (6.09, 45.09)} == {tuple(one["point"]) for one in told["candidates"]}
    assert 201 == again.status_code


@pytest.mark.usefixtures("city")
@pytest.mark.parametrize("address", ["Zzyzx Qwrtp 1", "x" * 201])
def test_an_address_that_nobody_knows_says_what_to_do(client, address):
    """Another way to say where."""
    answer = client.post("/observations", json=draft(address))

    assert 422 == answer.status_code
    assert "give a p" in answer.json()["detail"]


def test_an_address_beside_a_point_stays_words(city, client):
    """Whoever pointed is believed, however the address reads."""
    one = kept(city, client.post("/observations", json=draft("Zzyzx 1", point=[6.06, 45.05])))

    assert ("bridge", "pin", "Zzyzx 1") == (one.place, one.method.value, one.address)


def test_a_retry_needs_no_address_server(lab, client):
    """What was kept is answered again, although nobody could look it up now."""
    with Nominatim().serving() as server:
        lab.gazetteer = NominatimGazetteer(server.url)
        body = draft("Calle Mayor 13")
        first = client.post("/observations", json=body, headers=DEVICE)
    lab.gazetteer = NominatimGazetteer(server.url)
    retry = client.post("/observations", json=body, headers=DEVICE)
    other = client.post("/observations", json=body | {"address": "Mill Lane 3"}, headers=DEVICE)
    new = client.post("/observations", json=draft("Calle Mayor 13"))

    assert [201, 200] == [first.status_code, retry.status_code]
    assert first.json() == retry.json()
    assert [409, 503] == [other.status_code, new.status_code]
    assert "5" == new.headers["retry-after"]


def test_a_form_may_say_where_by_an_address(city, client):
    """As a page without a map and a script sends it."""
    body = draft("Calle Mayor 12")
    photo = ("photo.jpg", encoded(scene(), "JPEG"), "image/jpeg")
    answer = client.post("/observations", data=body, files={"media": photo})

    assert 201 == answer.status_code, answer.text
    assert "address" == kept(city, answer).method.value


def test_a_posting_by_address_counts_once_against_patience(city):
    """One token of the bucket, not two."""
    city.settings.__dict__["post_limit"] = 2
    with TestClient(create_app(city)) as client:
        codes = [
            client.post("/observations", json=draft("Calle Mayor 12")).status_code for _ in range(3)
        ]

    assert [201, 201, 429] == codes


@pytest.mark.usefixtures("city")
def test_open311_takes_an_address_alone(client):
    """And says which ones could be meant where it is not clear."""
    form = {"api_key": "submit-secret", "service_code": "street", "description": "A hole."}
    url = "/open311/v2/requests.json"
    taken = client.post(url, data=form | {"address_string": "Calle Mayor 12"})
    doubtful = client.post(url, data=form | {"address_string": "Mill Lane 3"})
    id_ = taken.json()[0]["service_request_id"]
    [row] = client.get(f"/open311/v2/requests/{id_}.json").json()

    assert [200, 400] == [taken.status_code, doubtful.status_code]
    assert (45.05, 6.0512) == (row["lat"], row["long"])
    assert "Mill Lane 3, Testcity" in doubtful.json()[0]["description"]
