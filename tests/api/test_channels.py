"""Who hands a posting over for somebody else shows a key; everybody may use a page."""

from uuid import UUID, uuid4

import pytest

from tests.photos import encoded, scene

GATEWAY = {"Authorization": "Bearer submit-secret"}
PLANNER = {"Authorization": "Bearer plan-secret"}


def draft(**facts: object) -> dict[str, object]:
    """A posting at the square."""
    return {"client_key": str(uuid4()), "category": "traffic", "place": "square", **facts}


def post(client, headers, **facts):
    return client.post("/observations", json=draft(**facts), headers=headers)


@pytest.mark.parametrize(
    "facts",
    [
        *({"channel": one} for one in ("sms", "ussd", "phone", "kiosk", "event", "staff")),
        {"channel": "import"},
        {"assisted": True},
        {"external_id": "sms-1"},
    ],
)
def test_only_a_key_hands_over(client, facts):
    """Nobody and a key of another scope may not; a gateway may, and both channels are told."""
    answers = [post(client, headers, **facts) for headers in ({}, PLANNER, GATEWAY)]

    assert [401, 403, 201] == [one.status_code for one in answers]
    assert 1 == len(client.get("/observations").json()["items"])
    [told] = client.get("/observations").json()["items"]
    assert facts.get("channel", "web") == told["channel"]
    assert facts.get("assisted", False) is told["assisted"]


@pytest.mark.parametrize("channel", ["web", "pwa"])
def test_everybody_may_use_a_page(client, channel):
    """And cannot say that they came by a facade of ours."""
    assert 201 == post(client, {}, channel=channel).status_code
    assert 422 == post(client, GATEWAY, channel="open311").status_code


def test_a_form_is_no_way_around(client):
    """With a photo the same rule holds."""
    photo = {"media": ("photo.jpg", encoded(scene(), "JPEG"), "image/jpeg")}
    codes = [
        client.post(
            "/observations", data=draft(channel="kiosk"), files=photo, headers=headers
        ).status_code
        for headers in ({}, PLANNER, GATEWAY)
    ]

    assert [401, 403, 201] == codes


def test_nor_is_an_address(client):
    """Whoever may not hand over learns it before anything is looked up."""
    codes = [
        client.post(
            "/observations",
            json={"external_id": "1", "category": "traffic", "address": "The Bridge"},
            headers=headers,
        ).status_code
        for headers in ({}, PLANNER, GATEWAY, GATEWAY)
    ]

    assert [401, 403, 201, 200] == codes


def test_an_external_id_names_one_posting_of_its_sender(client, lab):
    """The same again is answered alike, another is a conflict, and senders do not meet."""
    body = {"external_id": "sms-1", "category": "traffic", "place": "square", "channel": "sms"}
    other = {"Authorization": "Bearer admin-secret"}
    answers = [
        client.post("/observations", json=body, headers=GATEWAY),
        client.post("/observations", json=body, headers=GATEWAY),
        client.post("/observations", json=body | {"client_key": str(uuid4())}, headers=GATEWAY),
        client.post("/observations", json=body | {"text": "Other."}, headers=GATEWAY),
        client.post("/observations", json=body, headers=other),
    ]

    assert [201, 200, 200, 409, 201] == [one.status_code for one in answers]
    assert 1 == len({one.json()["id"] for one in answers[:3]})
    with lab.work(write=False) as work:
        kept = work.observations.get(UUID(answers[0].json()["id"]))
    assert ("gateway:submit", "sms-1") == (kept.source, kept.external_id)


def test_a_posting_needs_one_name(client):
    """Its own, or its sender's."""
    answer = client.post("/observations", json={"category": "traffic", "place": "square"})

    assert (422, "client_key") == (answer.status_code, answer.json()["path"])
