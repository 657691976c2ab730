"""Incidents over HTTP: who posts the same again is asked, linked, and never merged or refused."""

from uuid import uuid4

import pytest

MODERATOR = {"Authorization": "Bearer moderate-secret"}
HERE = [6.05, 45.05]
SIXTY_METRES_EAST = [6.05076, 45.05]
FAR = [6.09, 45.09]


def who(name: str) -> dict[str, str]:
    return {"X-Contributor": name * 30}


def post(client, name="a", **facts):
    body = {"client_key": str(uuid4()), "category": "traffic", "point": HERE, **facts}
    answer = client.post("/observations", json=body, headers=who(name))
    assert 201 == answer.status_code, answer.text
    return answer.json()


def candidates(client, **facts):
    asked = {"category": "traffic", "point": HERE, **facts}
    return client.post("/observations:candidates", json=asked).json()["items"]


def test_what_was_posted_nearby_is_offered_before_it_is_posted_again(client):
    """With its distance and age; another theme, and what is far away, is not."""
    posted = post(client, point=SIXTY_METRES_EAST)
    post(client, point=FAR)
    post(client, category="air")

    [offered] = candidates(client)

    assert posted["incident"] == offered["incident"]
    assert ("open", 1, 0) == (offered["status"], offered["observations"], offered["supports"])
    assert "traffic" == offered["category"]
    assert offered["distance_m"] < 250
    assert [] == candidates(client, point=[6.02, 45.02])


def test_it_is_this_one(client):
    """A duplicate is an Observation of its own, linked; with its own time and Contributor."""
    first = post(client)
    second = post(client, incident=first["incident"], name="b")

    told = client.get(f"/incidents/{first['incident']}").json()
    assert first["incident"] == second["incident"]
    assert ["original", "duplicate"] == [one["membership"] for one in told["observations"]]
    assert [2] == [one["observations"] for one in candidates(client)]


def test_it_is_not_this_one(client):
    """Whoever says nothing, or that it is another thing, begins another Incident."""
    assert post(client)["incident"] != post(client, name="b")["incident"]


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"incident": "6f1e2b9c-0000-4000-8000-000000000000"}, "no Incident"),
        ({"category": "air"}, "is about traffic, not air"),
        ({"kind": "question"}, "belongs to no Incident"),
    ],
)
def test_what_cannot_be_linked_is_refused(client, facts, says):
    """Nothing is kept of it."""
    known = post(client)["incident"]

    body = {
        "client_key": str(uuid4()),
        "category": "traffic",
        "point": HERE,
        "incident": known,
        **facts,
    }
    answer = client.post("/observations", json=body)

    assert answer.status_code in {404, 422}
    assert says in answer.text
    assert 1 == len(client.get("/incidents").json()["items"])


def test_a_moderator_links_and_undoes_it(client, lab):
    """Both are history; an Incident that lost its only Observation is shown no more."""
    first, second = post(client), post(client, name="b")
    path = f"/moderation/{second['id']}/incident"

    linked = client.post(path, json={"incident": first["incident"]}, headers=MODERATOR).json()
    shown = len(client.get("/incidents").json()["items"])
    undone = client.post(path, json={"incident": None}, headers=MODERATOR).json()

    assert (first["incident"], 1) == (linked["incident"], shown)
    assert undone["incident"] not in {first["incident"], second["incident"]}
    again = client.post(path, json={"incident": None}, headers=MODERATOR)
    assert 409 == again.status_code
    with lab.work(write=False) as work:
        links = [
            (str(one.incident) == first["incident"], one.linked, one.by)
            for one in work.incident_links.where()
            if str(one.observation) == second["id"]
        ]
    assert [
        (False, True, "contributor"),
        (False, False, "moderate"),
        (True, True, "moderate"),
        (True, False, "moderate"),
        (False, True, "moderate"),
    ] == links


def test_an_end_closes_every_observation(client):
    """By inspection, with outcome and a public note; it can be seen that it ended, and how."""
    first = post(client)
    second = post(client, incident=first["incident"], name="b")
    path = f"/incidents/{first['incident']}/end"
    body = {"reason": "inspection", "outcome": "fixed", "note": "The light was mended."}

    assert 401 == client.post(path, json=body).status_code
    assert 422 == client.post(path, json=body | {"note": ""}, headers=MODERATOR).status_code
    assert 2 == client.post(path, json=body, headers=MODERATOR).json()["closed"]
    assert 409 == client.post(path, json=body, headers=MODERATOR).status_code

    for one in (first, second):
        told = client.get(f"/observations/{one['id']}").json()
        assert ("closed", "fixed") == (told["status"], told["outcome"])
        assert "The light was mended." == told["history"][-1]["note"]
    assert "inspection" == client.get(f"/incidents/{first['incident']}").json()["end_reason"]
    assert ["closed"] == [one["status"] for one in candidates(client)]
    assert [] == client.get("/incidents?state=open").json()["items"]


def test_an_end_leaves_what_was_closed_before(client):
    """Another's, closed as not ours, stays that when the Incident ends as fixed."""
    first = post(client)
    second = post(client, incident=first["incident"], name="b")
    closing = {"outcome": "not_ours", "note": "Another office's."}
    client.post(f"/moderation/{second['id']}/close", json=closing, headers=MODERATOR)
    body = {"reason": "closure", "outcome": "fixed", "note": "Mended."}
    client.post(f"/incidents/{first['incident']}/end", json=body, headers=MODERATOR)

    outcomes = [
        client.get(f"/observations/{one['id']}").json()["outcome"] for one in (first, second)
    ]
    assert ["fixed", "not_ours"] == outcomes


def test_whoever_posted_it_says_whether_it_is_fixed(client):
    """A "no" opens it again, and its Incident; nobody else is asked, and nothing before the end."""
    one = post(client)
    path = f"/observations/{one['id']}/confirmation"
    early = client.post(path, json={"fixed": True}, headers=who("a"))
    closing = {"outcome": "fixed", "note": "Done."}
    client.post(f"/moderation/{one['id']}/close", json=closing, headers=MODERATOR)

    another = client.post(path, json={"fixed": False}, headers=who("b"))
    nobody = client.post(path, json={"fixed": False})
    no = client.post(path, json={"fixed": False, "text": "Still dark."}, headers=who("a"))

    assert (409, 404, 401, 201) == tuple(each.status_code for each in (early, another, nobody, no))
    told = client.get(f"/observations/{one['id']}").json()
    assert ("open", None) == (told["status"], told["outcome"])
    assert "not fixed" in told["history"][-1]["note"]
    assert "Still dark." not in str(told)


def test_how_far_the_city_has_come(client):
    """Phases of what is open; what is closed has none."""
    one = post(client)
    path = f"/moderation/{one['id']}"
    planned = client.post(f"{path}/progress", json={"phase": "planned"}, headers=MODERATOR)
    told = client.get(f"/observations/{one['id']}").json()
    client.post(f"{path}/close", json={"outcome": "not_ours", "note": "N."}, headers=MODERATOR)
    late = client.post(f"{path}/progress", json={"phase": "in_progress"}, headers=MODERATOR)
    reopened = client.post(f"{path}/reopen", json={"note": "Ours."}, headers=MODERATOR)

    assert (200, "planned") == (planned.status_code, told["phase"])
    assert 409 == late.status_code
    assert ("open", None) == (reopened.json()["status"], reopened.json()["phase"])


def test_personal_themes_have_no_candidates(client):
    """That somebody near posted about noise at home must not be learnt by asking."""
    post(client, category="noise")

    assert [] == candidates(client, category="noise")
    assert [] == client.get("/incidents").json()["items"]
