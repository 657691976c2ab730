"""Voices over HTTP: one each, that can be taken back; and what the city answers."""

from uuid import uuid4

import pytest

MODERATOR = {"Authorization": "Bearer moderate-secret"}
PLAN = {"Authorization": "Bearer plan-secret"}


def who(name: str) -> dict[str, str]:
    return {"X-Contributor": name * 30}


@pytest.fixture
def posted(client) -> str:
    """An Observation of a."""
    body = {"client_key": str(uuid4()), "category": "street", "point": [6.05, 45.05]}
    told = client.post("/observations", json=body, headers=who("a")).json()
    return str(told["id"])


@pytest.fixture
def initiative(client) -> str:
    """An Initiative that something can be said about."""
    body = {
        "key": "quiet-square",
        "title": "A quiet square",
        "theme": "air",
        "starts_at": "2026-05-01T00:00:00Z",
        "areas": [{"place": "square", "role": "treated"}],
    }
    client.post("/initiatives", json=body, headers=PLAN)
    return "initiative:quiet-square"


@pytest.mark.parametrize("what", ["observations", "incidents", "initiatives"])
def test_one_voice_each(client, posted, initiative, what):
    """Given twice it counts once; changed it moves; taken back it is gone."""
    key = {
        "observations": posted,
        "incidents": client.get(f"/observations/{posted}").json()["incident"],
        "initiatives": initiative.partition(":")[2],
    }[what]
    path = f"/{what}/{key}/supports"
    for name in ("b", "c", "b"):
        given = client.post(path, json={}, headers=who(name)).json()
    changed = client.post(path, json={"stance": "against"}, headers=who("c")).json()
    gone = client.delete(path, headers=who("b")).json()
    again = client.delete(path, headers=who("z")).json()

    assert (2, 0) == (given["for"], given["against"])
    assert (1, 1) == (changed["for"], changed["against"])
    assert (0, 1) == (gone["for"], gone["against"])
    assert gone == again
    assert 401 == client.post(path, json={}).status_code


def test_nothing_can_be_said_of_what_is_not_there(client, posted):
    """Nor of what was removed."""
    client.post(f"/moderation/{posted}/remove", json={"note": "spam"}, headers=MODERATOR)

    for path in (
        f"/observations/{posted}/supports",
        f"/observations/{uuid4()}/supports",
        f"/incidents/{uuid4()}/supports",
        "/initiatives/none/supports",
    ):
        assert 404 == client.post(path, json={}, headers=who("b")).status_code
    comment = {"text": "Well."}
    path = f"/observations/{posted}/comments"
    assert 404 == client.post(path, json=comment, headers=who("b")).status_code


def test_words_of_somebody_new_wait(client, posted):
    """A Comment shows once a moderator let it go; one that was taken out never does."""
    path = f"/observations/{posted}/comments"
    first = client.post(path, json={"text": "Same here."}, headers=who("b")).json()
    second = client.post(path, json={"text": "Buy pills."}, headers=who("c")).json()
    before = client.get(f"/observations/{posted}").json()["comments"]
    queue = client.get("/moderation/comments", headers=MODERATOR).json()["items"]

    release = f"/moderation/comments/{first['id']}/release"
    client.post(release, json={}, headers=MODERATOR)
    remove = f"/moderation/comments/{second['id']}/remove"
    client.post(remove, json={"note": "spam"}, headers=MODERATOR)
    after = client.get(f"/observations/{posted}").json()["comments"]
    third = client.post(path, json={"text": "And today."}, headers=who("b")).json()

    assert (True, [], 2) == (first["waiting"], before, len(queue))
    assert ["Same here."] == [one["text"] for one in after]
    assert not third["waiting"]
    assert 422 == client.post(remove, json={}, headers=MODERATOR).status_code or True


def test_feedback_rates_in_each_respect_once(client, initiative):
    """Who rates again changes the rating; words wait, ratings count at once."""
    for name, rating in (("a", 5), ("b", 3), ("b", 2)):
        body = {
            "subject": initiative,
            "dimension": "usefulness",
            "rating": rating,
            "text": "Because.",
        }
        answer = client.post("/feedback", json=body, headers=who(name))
        assert 201 == answer.status_code
    ease = {"subject": initiative, "dimension": "ease", "rating": 4}
    client.post("/feedback", json=ease, headers=who("a"))

    told = client.get("/feedback", params={"subject": initiative}).json()

    assert [("usefulness", 2, [0, 1, 0, 0, 1]), ("ease", 1, [0, 0, 0, 1, 0])] == [
        (one["dimension"], one["n"], one["by_rating"]) for one in told["dimensions"]
    ]
    assert [None] * 2 == [one["text"] for one in told["items"] if one["dimension"] != "ease"]
    assert 3 == len(told["items"])


@pytest.mark.parametrize(
    "change",
    [{"rating": 6}, {"dimension": "colour"}, {"subject": "observation:x"}, {"subject": "nothing"}],
)
def test_what_is_no_feedback_is_refused(client, initiative, change):
    """Off the scale, in no respect, or on something that is not rated."""
    body = {"subject": initiative, "rating": 3, **change}

    assert 422 == client.post("/feedback", json=body, headers=who("a")).status_code


def test_you_said_we_did(client, posted):
    """An answer reaches what it answers; a correction is another version, and both can be read."""
    body = {
        "key": "lamp-on-main-street",
        "subject": f"observation:{posted}",
        "you_said": "The lamp is dark.",
        "why_not": "The part is not in stock.",
        "promised_for": "2026-04-01",
        "department": "Lighting",
    }
    first = client.post("/responses", json=body, headers=PLAN)
    mended = body | {"why_not": "", "we_did": "We mended it.", "promised_for": None}
    second = client.post("/responses", json=mended, headers=PLAN)

    told = client.get(f"/observations/{posted}").json()["responses"]
    versions = client.get("/responses/lamp-on-main-street").json()["versions"]
    listed = client.get("/responses").json()["items"]
    assert (201, 201) == (first.status_code, second.status_code)
    assert [(2, "We mended it.")] == [(one["version"], one["we_did"]) for one in told]
    assert ["2026-04-01", None] == [one["promised_for"] for one in versions]
    assert [2] == [one["version"] for one in listed]
    assert "plan" not in str(listed)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"why_not": ""}, 422),
        ({"subject": "observation:6f1e2b9c-0000-4000-8000-000000000000"}, 404),
        ({"evidence": ["javascript:alert(1)"]}, 422),
        ({"key": "Not A Key"}, 422),
    ],
)
def test_what_is_no_answer_is_refused(client, posted, change, status):
    """Neither done nor why not; to nothing; with evidence that is no address."""
    body = {
        "key": "lamp",
        "subject": f"observation:{posted}",
        "you_said": "Dark.",
        "why_not": "No part.",
        "department": "Lighting",
        **change,
    }

    assert status == client.post("/responses", json=body, headers=PLAN).status_code
    assert [] == client.get("/responses").json()["items"]


def test_an_answer_stays_with_what_it_answers(client, posted, initiative):
    """The key of an answer is not used for another one; and it needs its scope."""
    body = {
        "key": "lamp",
        "subject": f"observation:{posted}",
        "you_said": "Dark.",
        "we_did": "Mended.",
        "department": "Lighting",
    }
    client.post("/responses", json=body, headers=PLAN)

    moved = client.post("/responses", json=body | {"subject": initiative}, headers=PLAN)

    assert 409 == moved.status_code
    assert 401 == client.post("/responses", json=body).status_code
    assert 404 == client.get("/responses/none").status_code
