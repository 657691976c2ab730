"""GeoReport v2, row by row: in XML, in JSON, and as the clients of the field really speak it."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from livinglab.domain.answers import Responsibility
from livinglab.domain.observations import Attribute, Datatype
from livinglab.ports import ObservationFilter

V2 = "/open311/v2"
SUBMIT = "submit-secret"
MODERATOR = {"Authorization": "Bearer moderate-secret"}
PLAN = {"Authorization": "Bearer plan-secret"}
FORMATS = ("xml", "json")
TYPES = {"xml": "text/xml; charset=utf-8", "json": "application/json; charset=utf-8"}
FIELDS = [
    "service_request_id",
    "status",
    "status_notes",
    "service_name",
    "service_code",
    "description",
    "agency_responsible",
    "service_notice",
    "requested_datetime",
    "updated_datetime",
    "expected_datetime",
    "address",
    "address_id",
    "zipcode",
    "lat",
    "long",
    "media_url",
]


@pytest.fixture
def client(lab) -> Iterator[TestClient]:
    """A lab whose street asks questions, and where somebody is responsible."""
    lab.categories = {
        **lab.categories,
        "street": replace(
            lab.categories["street"],
            description="Lamps, holes",
            group="Roads",
            attributes=(
                Attribute(code="note", question="Call us if it burns.", asked=False),
                Attribute(code="pole", question="Number of the pole?", required=True),
                Attribute(
                    code="dark",
                    question="What is dark?",
                    datatype=Datatype.SOME_OF,
                    values={"lamp": "The lamp", "sign": "The sign"},
                ),
            ),
        ),
    }
    lab.responsibilities = (
        Responsibility(category="street", zone=None, organisation="Roads", reason="law 1"),
    )
    with TestClient(create_app(lab), raise_server_exceptions=False) as asking:
        yield asking


def read(answer, fmt: str) -> Any:
    """What an answer says, whatever its format: lists of dicts of text."""
    assert TYPES[fmt] == answer.headers["content-type"]
    if fmt == "json":
        return json.loads(answer.text)
    assert answer.text.startswith('<?xml version="1.0" encoding="utf-8"?>')
    root = ET.fromstring(answer.text)
    assert not root.attrib
    return [{field.tag: field.text for field in one} for one in root]


def form(**facts: Any) -> dict[str, Any]:
    return {
        "api_key": SUBMIT,
        "service_code": "street",
        "lat": "45.05",
        "long": "6.05",
        "description": "The lamp is dark.",
        "attribute[pole]": "12",
    } | facts


def post(client, fmt: str = "json", **facts: Any) -> str:
    answer = client.post(f"{V2}/requests.{fmt}", data=form(**facts))
    assert 200 == answer.status_code, answer.text
    return str(read(answer, fmt)[0]["service_request_id"])


def release(client, id_: str) -> None:
    client.post(f"/moderation/{id_}/release", json={}, headers=MODERATOR)


def one(client, id_: str, fmt: str = "json") -> dict[str, Any]:
    [found] = read(client.get(f"{V2}/requests/{id_}.{fmt}"), fmt)
    return dict(found)


@pytest.mark.parametrize("fmt", FORMATS)
def test_services(client, fmt):
    """Every category, with whether it asks something; ids at once."""
    rows = read(client.get(f"{V2}/services.{fmt}"), fmt)

    street = next(row for row in rows if row["service_code"] == "street")
    assert {
        "service_code": "street",
        "service_name": "Street and pavement",
        "description": "Lamps, holes",
        "metadata": True if fmt == "json" else "true",
        "type": "realtime",
        "keywords": None,
        "group": "Roads",
    } == street
    assert 6 == len(rows)


def test_service_definition(client):
    """In JSON one object; questions in order, with their values."""
    told = client.get(f"{V2}/services/street.json").json()
    root = ET.fromstring(client.get(f"{V2}/services/street.xml").text)

    assert "street" == told["service_code"]
    assert [("note", False, 1), ("pole", True, 2), ("dark", True, 3)] == [
        (row["code"], row["variable"], row["order"]) for row in told["attributes"]
    ]
    assert [{"key": "lamp", "name": "The lamp"}, {"key": "sign", "name": "The sign"}] == told[
        "attributes"
    ][2]["values"]
    assert ("service_definition", "multivaluelist", "false") == (
        root.tag,
        root.findtext("attributes/attribute[3]/datatype"),
        root.findtext("attributes/attribute[1]/variable"),
    )
    assert ["lamp", "sign"] == [
        row.text for row in root.findall("attributes/attribute[3]/values/value/key")
    ]


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_request_is_posted_and_read(client, fmt):
    """All seventeen fields in the standard's order, in the list and by id."""
    id_ = post(client, fmt, address_string="8th Ave 12", first_name="Jo", email="jo@example.org")
    release(client, id_)

    listed = read(client.get(f"{V2}/requests.{fmt}"), fmt)
    row = one(client, id_, fmt)

    assert [row] == listed
    assert FIELDS == list(row)
    number = float if fmt == "json" else str
    assert {
        "service_request_id": id_,
        "status": "open",
        "service_name": "Street and pavement",
        "service_code": "street",
        "description": "The lamp is dark.",
        "agency_responsible": "Roads",
        "service_notice": "law 1",
        "requested_datetime": "2026-03-02T12:00:00Z",
        "expected_datetime": "2026-03-07T12:00:00Z",
        "address": "8th Ave 12",
        "zipcode": None,
        "lat": number("45.05"),
        "long": number("6.05"),
        "media_url": None,
    }.items() <= row.items()
    assert re.fullmatch("[A-Za-z0-9_-]+", id_)


def test_json_keeps_numbers_and_text_apart(client):
    """Positions are floats, ids are text, what is empty is null."""
    id_ = post(client, lat="45", long="6.05")
    text = client.get(f"{V2}/requests/{id_}.json").text

    assert '"lat": 45.0' in text
    assert '"zipcode": null' in text
    assert f'"service_request_id": "{id_}"' in text


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"api_key": None}, 403, "api_key"),
        ({"api_key": "wrong"}, 403, "api_key"),
        ({"api_key": "plan-secret"}, 403, "submit"),
        ({"service_code": None}, 400, "service_code is required"),
        ({"service_code": "moon"}, 404, "moon"),
        ({"lat": None, "long": None}, 400, "a location is required"),
        ({"long": None}, 400, "both required"),
        ({"lat": "north"}, 400, "numbers"),
        ({"lat": "145"}, 400, "degrees"),
        ({"attribute[pole]": None}, 400, "pole is required"),
        ({"attribute[dark][]": "sun"}, 400, "one of lamp, sign"),
        ({"description": "x" * 4_001}, 400, "4000"),
        ({"lat": None, "long": None, "address_string": "8th Ave"}, 400, "give a position"),
        ({"lat": None, "long": None, "address_id": "moon"}, 400, "no 'moon'"),
    ],
)
def test_a_request_that_is_refused_says_why(client, fmt, change, status, says):
    """In the format that was asked for; nothing is kept."""
    data = {name: value for name, value in form(**change).items() if value is not None}

    answer = client.post(f"{V2}/requests.{fmt}", data=data)

    assert status == answer.status_code
    [row] = read(answer, fmt)
    assert str(status) == str(row["code"])
    assert says in row["description"]
    assert [] == read(client.get(f"{V2}/requests.{fmt}"), fmt)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/services/moon.json", 404),
        ("/services/bus.json", 404),
        ("/requests/1.json", 404),
        ("/requests/6f1e2b9c-0000-4000-8000-000000000000.xml", 404),
        ("/tokens/1.json", 404),
        ("/tokens/1.xml", 404),
        ("/services.yaml", 404),
        ("/nothing.json", 404),
        ("/requests.json?start_date=tuesday", 400),
        ("/requests.json?start_date=2026-01-01T00:00:00Z&end_date=2026-06-01T00:00:00Z", 400),
        ("/requests.xml?start_date=2026-02-01T00:00:00Z&end_date=2026-01-01T00:00:00Z", 400),
        ("/requests.json?status=dark", 400),
        ("/requests.json?page=one", 400),
        ("/requests.json?service_code=moon", 404),
        ("/servicerequestupdates.xml?start_date=2026-02-01T00:00:00Z", 400),
    ],
)
def test_what_is_not_there_or_makes_no_sense(client, path, status):
    """An error list in the format of the suffix; XML where there is none that is known."""
    answer = client.get(f"{V2}{path}")
    fmt = "json" if ".json" in path else "xml"

    assert status == answer.status_code
    [row] = read(answer, fmt)
    assert row["description"]


def test_other_methods_are_refused_in_their_format(client):
    """405 is an error list, too."""
    answer = client.put(f"{V2}/requests.json")

    assert (405, 405) == (answer.status_code, read(answer, "json")[0]["code"])


def test_filters(client, lab):
    """By ids before everything else, by service, status and time; empty is absent."""
    first = post(client)
    second = post(client, service_code="bus", description="")
    third = post(client, service_code="air", description="")
    release(client, first)
    closing = {"outcome": "fixed", "note": "New bulb."}
    client.post(f"/moderation/{second}/close", json=closing, headers=MODERATOR)

    def ids(**query):
        rows = client.get(f"{V2}/requests.json", params=query).json()
        return [row["service_request_id"] for row in rows]

    assert [third, second, first] == ids()
    assert [third, second, first] == ids(status="", service_code="", api_key="", unknown="1")
    assert [second] == ids(service_code="bus")
    assert [second, first] == ids(service_code="bus,street")
    assert [second] == ids(status="closed")
    assert [third, first] == ids(status="open")
    assert [third, second, first] == ids(status="open,closed")
    assert [first, third] == ids(service_request_id=f"{first},{third}", status="closed")
    assert [] == ids(start_date="2026-03-03T00:00:00Z")
    assert [third, second, first] == ids(end_date="2026-03-02T13:00:00+01:00")
    assert [third, second, first] == ids(start_date="2026-03-02T13:00:00 01:00")
    assert [third, second, first] == ids(start_date="2026-03-02T13:00:00.0")  # Paris
    assert [] == ids(start_date="2026-03-02T13:00:01")
    assert [third] == ids(page=1, page_size=1)
    assert [second] == ids(page=2, page_size=1)
    assert [third, second, first] == ids(page_size=100_000)
    assert [third] == ids(max_requests=1)
    assert [] == ids(bbox="7,46,8,47")
    lab.clock.advance_to(lab.clock.now() + timedelta(days=95))
    assert [] == ids()
    assert [third, second, first] == ids(start_date="2026-02-15T00:00:00Z")
    assert [third, second, first] == ids(updated_after="2026-03-01T00:00:00Z")


@pytest.mark.parametrize(
    ("outcome", "closed"),
    [
        ("fixed", "fixed"),
        ("not_ours", "not_councils_responsibility"),
        ("wont_fix", "no_further_action"),
        ("not_needed", "no_further_action"),
        ("cannot_find", "no_further_action"),
        ("duplicate", "duplicate"),
    ],
)
def test_what_became_of_it(client, outcome, closed):
    """Closed with its note; in the updates by the extension's own word."""
    id_ = post(client)
    release(client, id_)
    progress = {"phase": "in_progress", "note": "We look."}
    client.post(f"/moderation/{id_}/progress", json=progress, headers=MODERATOR)
    closing = {"outcome": outcome, "note": "Done & dusted."}
    client.post(f"/moderation/{id_}/close", json=closing, headers=MODERATOR)

    row = one(client, id_, "xml")
    updates = read(client.get(f"{V2}/servicerequestupdates.xml"), "xml")

    assert ("closed", "Done & dusted.") == (row["status"], row["status_notes"])
    assert ["open", "open", "in_progress", closed] == [each["status"] for each in updates]
    assert 4 == len({each["update_id"] for each in updates})
    assert {
        "service_request_id": id_,
        "description": "Done & dusted.",
        "updated_datetime": "2026-03-02T12:00:00Z",
        "media_url": None,
    }.items() <= updates[-1].items()


def test_an_answer_is_an_update(client):
    """You said, we did: its words reach whoever asks for updates."""
    id_ = post(client)
    release(client, id_)
    body = {
        "key": "lamp",
        "subject": f"observation:{id_}",
        "you_said": "Dark.",
        "we_did": "We mended it.",
        "department": "Roads",
    }
    client.post("/responses", json=body, headers=PLAN)

    rows = client.get(f"{V2}/servicerequestupdates.json").json()

    assert ("We mended it.", "open") == (rows[-1]["description"], rows[-1]["status"])
    assert rows[-1]["update_id"].startswith("r")


def test_an_update_is_posted_once(client, lab):
    """Of a moderator it changes the status; of others it is a Comment; a retry changes nothing."""
    id_ = post(client)
    release(client, id_)
    update = {
        "service_request_id": id_,
        "update_id": "77",
        "status": "FIXED",
        "updated_datetime": "2026-03-02T11:00:00Z",
        "description": "A new bulb.",
    }
    path = f"{V2}/servicerequestupdates.xml"

    with lab.work() as work:
        work.keys.named("moderate").scopes = "moderate submit"
    comment = client.post(path, data=update | {"api_key": SUBMIT})
    still = one(client, id_)["status"]
    twice = [
        client.post(path, data=update | {"api_key": "moderate-secret", "update_id": "78"})
        for _ in range(2)
    ]

    assert 200 == comment.status_code, comment.text
    assert "open" == still
    assert ("closed", "A new bulb.") == tuple(
        one(client, id_)[name] for name in ("status", "status_notes")
    )
    assert read(twice[0], "xml") == read(twice[1], "xml")
    with lab.work(write=False) as work:
        assert 2 == work.comments.count()
    for change in ({"status": "GONE"}, {"update_id": ""}, {"service_request_id": str(uuid4())}):
        wrong = client.post(path, data=update | {"api_key": SUBMIT, "update_id": "79"} | change)
        assert wrong.status_code in {400, 404}


def test_what_another_system_does_not_tell_is_not_made_up(client, lab):
    """Closed without an outcome: closed it is, and of the outcome nobody knows."""
    id_ = post(client)
    release(client, id_)
    with lab.work() as work:
        work.keys.named("moderate").scopes = "moderate submit"
    update = {
        "api_key": "moderate-secret",
        "service_request_id": id_,
        "update_id": "1",
        "status": "CLOSED",
        "updated_datetime": "2026-03-02T11:00:00Z",
        "description": "Closed over there.",
    }
    client.post(f"{V2}/servicerequestupdates.json", data=update)

    told = client.get(f"/observations/{id_}").json()
    assert ("closed", None) == (told["status"], told["outcome"])


@pytest.mark.parametrize("fmt", FORMATS)
def test_what_waits_shows_no_words(client, fmt):
    """In no list; by id without description. Removed, it is gone."""
    id_ = post(client)

    listed = read(client.get(f"{V2}/requests.{fmt}"), fmt)
    row = one(client, id_, fmt)
    client.post(f"/moderation/{id_}/remove", json={"note": "spam"}, headers=MODERATOR)

    assert [] == listed
    assert (None, "street") == (row["description"], row["service_code"])
    assert 404 == client.get(f"{V2}/requests/{id_}.{fmt}").status_code


def test_personal_themes_are_in_no_list(client):
    """By id they show service, status, time and the Zone's own point."""
    id_ = post(
        client, service_code="noise", description="My neighbour.", lat="45.011", long="6.022"
    )
    release(client, id_)

    row = one(client, id_)

    assert [] == client.get(f"{V2}/requests.json").json()
    assert [] == client.get(f"{V2}/servicerequestupdates.json").json()
    assert (None, "Centre", 45.05, 6.05) == (
        row["description"],
        row["address"],
        pytest.approx(row["lat"]),
        pytest.approx(row["long"]),
    )


def test_who_posted_is_never_echoed(client, lab):
    """Contact goes to the Vault; device and account to nowhere."""
    marks = {
        "email": "marked@example.org",
        "phone": "+33123456789",
        "first_name": "Marked",
        "last_name": "Person",
        "device_id": "marked-device",
        "account_id": "marked-account",
    }
    id_ = post(client, **marks)
    release(client, id_)

    text = "".join(
        client.get(f"{V2}/{path}").text
        for path in (
            "requests.xml?extensions=true",
            f"requests/{id_}.json?extensions=true",
            "servicerequestupdates.json",
        )
    )
    assert [] == [mark for mark in marks.values() if mark in text]
    with lab.work(write=False) as work:
        [kept] = work.observations.page(ObservationFilter())
    contact = lab.vault.get(kept.contributor)
    assert ("marked@example.org", "Marked Person") == (contact.email, contact.name)


def test_a_retry_is_one_request(client):
    """With the same Idempotency-Key; without one, the same words twice are two requests."""
    headers = {"Idempotency-Key": "abc-1"}
    answers = [
        client.post(f"{V2}/requests.json", data=form(), headers=headers).json() for _ in range(3)
    ]
    others = {post(client) for _ in range(2)}

    assert 1 == len({row[0]["service_request_id"] for row in answers})
    assert 2 == len(others)
    changed = client.post(f"{V2}/requests.json", data=form(description="X"), headers=headers)
    assert 400 == changed.status_code


@pytest.mark.parametrize("fmt", FORMATS)
def test_discovery(client, fmt):
    """One production and one test endpoint with two formats each, also below the endpoint."""
    at_root = client.get(f"/open311/discovery.{fmt}")
    below = client.get(f"{V2}/discovery.{fmt}")

    assert at_root.text == below.text
    if fmt == "json":
        told = at_root.json()
        endpoints = told["endpoints"]
        formats = endpoints[0]["formats"]
    else:
        root = ET.fromstring(at_root.text)
        endpoints = [
            {field.tag: field.text for field in row} for row in root.findall("endpoints/endpoint")
        ]
        formats = [row.text for row in root.findall("endpoints/endpoint[1]/formats/format")]
    assert ["production", "test"] == [row["type"] for row in endpoints]
    assert ["text/xml", "application/json"] == formats
    assert all(row["url"].endswith("/v2/") for row in endpoints)
    assert {"http://wiki.open311.org/GeoReport_v2"} == {row["specification"] for row in endpoints}


def test_the_sandbox_reaches_nobody(client, lab):
    """The test endpoint takes requests with the same keys, and the lab never hears of them."""
    answer = client.post("/open311/test/v2/requests.json", data=form())
    id_ = answer.json()[0]["service_request_id"]

    assert 200 == client.get(f"/open311/test/v2/requests/{id_}.json").status_code
    assert 404 == client.get(f"{V2}/requests/{id_}.json").status_code
    with lab.work(write=False) as work:
        assert 0 == work.observations.count()


def test_as_fixmystreet_speaks(client):
    """A doubled slash, `deviceid`, repeated media_url, control characters."""
    data = form(deviceid="x", description="Dark\x01 & <b>deep</b>", media_url=["a", "b"])
    answer = client.post("/open311/v2//requests.xml", data=data)
    id_ = read(answer, "xml")[0]["service_request_id"]
    release(client, id_)

    assert 200 == answer.status_code
    assert "Dark & <b>deep</b>" == one(client, id_, "xml")["description"]


def test_answers_to_questions_are_kept(client, lab):
    """Of one and of several values; a code that nobody asks is passed over."""
    post(client, **{"attribute[dark][]": ["lamp", "sign"], "attribute[colour]": "red"})
    with lab.work(write=False) as work:
        [kept] = work.observations.page(ObservationFilter())

    assert {"pole": "12", "dark": ["lamp", "sign"]} == kept.attributes
    assert "open311" == kept.channel.value


def test_an_address_id_is_a_place(client):
    """The key of a Place is as good as a position."""
    id_ = post(client, lat="", long="", address_id="bridge")

    assert "bridge" == one(client, id_)["address_id"]


def test_extensions_tell_more(client):
    """Channel, kind, Incident and history; only where they are asked for."""
    id_ = post(client)
    release(client, id_)
    more = client.get(f"{V2}/requests/{id_}.json?extensions=true").json()[0]

    assert "open311" == more["extended_attributes"]["channel"]
    assert ["open", "open"] == [note["type"] for note in more["notes"]]
    assert "notes" not in one(client, id_)
