"""Paper counts: each sheet once, by whom, where and for whom it may be seen."""

import pytest

SUBMIT = {"Authorization": "Bearer submit-secret"}
PLAN = {"Authorization": "Bearer plan-secret"}
MODERATE = {"Authorization": "Bearer moderate-secret"}


def sheet(**facts: object) -> dict[str, object]:
    """What a workshop wrote down about traffic at the Square."""
    return {
        "external_id": "walk-1",
        "category": "traffic",
        "day": "2026-03-01",
        "n": 12,
        "place": "square",
        "strata": {"age": {"0-17": 3, "65+": 7}, "sex": {"f": 8, "m": 4}},
        **facts,
    }


def post(client, **facts):
    return client.post("/batches", json=sheet(**facts), headers=SUBMIT)


def test_a_sheet_is_kept_once(client):
    """The same again is answered alike; another one of its name is a conflict."""
    answers = [post(client), post(client), post(client, n=13)]
    items = client.get("/batches", headers=PLAN).json()["items"]

    assert [201, 200, 409] == [one.status_code for one in answers]
    assert answers[0].json() == answers[1].json()
    [one] = items
    assert ("submit", "walk-1", 12, "square", None) == (
        one["source"],
        one["external_id"],
        one["n"],
        one["place"],
        one["zone"],
    )
    assert {"0-17": 3, "65+": 7} == one["strata"]["age"]


def test_who_may_count_and_who_may_see(client):
    """Strata may be few people."""
    post(client)
    posted = [client.post("/batches", json=sheet(), headers=one).status_code for one in ({}, PLAN)]
    seen = [client.get("/batches", headers=one).status_code for one in ({}, SUBMIT, MODERATE, PLAN)]

    assert [401, 403] == posted
    assert [401, 403, 403, 200] == seen


@pytest.mark.parametrize(
    ("facts", "path"),
    [
        ({"place": None}, "place"),
        ({"zone": "centre"}, "place"),
        ({"place": "moon"}, "place"),
        ({"place": None, "zone": "moon"}, "zone"),
        ({"category": "moon"}, "category"),
        ({"day": "2026-03-04"}, "day"),
        ({"day": "1999-12-31"}, "day"),
        ({"n": 9}, "n"),
        ({"strata": {"age": {}}}, "n"),
        ({"strata": {"age": {"a\u0000": 1}}}, "strata"),
        ({"external_id": "\u202e"}, "external_id"),
    ],
)
def test_what_cannot_be_counted_is_refused(client, facts, path):
    """With the place of what is wrong; nothing is kept."""
    answer = post(client, **facts)

    assert (422, path) == (answer.status_code, answer.json()["path"])
    assert [] == client.get("/batches", headers=PLAN).json()["items"]


@pytest.mark.parametrize(
    "facts", [{"n": 0}, {"n": 100_001}, {"channel": "web"}, {"strata": {"height": {"tall": 1}}}]
)
def test_what_no_sheet_holds_is_refused(client, facts):
    """By the description of the API itself."""
    assert 422 == post(client, **facts).status_code


def test_totals_show_beside_what_was_posted(client):
    """12 and 6 are 18, told as 20; noise is personal, 4 people too few, a Zone has its own."""
    post(client)
    post(client, external_id="walk-2", n=6, strata={})
    post(client, external_id="walk-3", n=50, category="noise", strata={})
    post(client, external_id="walk-4", n=4, category="bus", strata={})
    post(client, external_id="walk-5", n=30, place=None, zone="centre", strata={})
    place = client.get("/places/square").json()
    [listed] = [one for one in client.get("/places").json()["items"] if one["key"] == "square"]
    zone = client.get("/zones/centre").json()

    assert [{"category": "traffic", "n": 20}] == place["on_paper"] == listed["on_paper"]
    assert [] == place["observations"]
    assert [{"category": "traffic", "n": 30}] == zone["on_paper"]
    assert [zone] == client.get("/zones").json()["items"]


def test_batches_are_listed_newest_first_page_by_page(client):
    """By Place, Zone or category, if somebody asks."""
    for n in range(3):
        post(client, external_id=f"walk-{n}", category=("bus" if n == 1 else "traffic"))
    page = client.get("/batches?limit=2", headers=PLAN).json()
    rest = client.get(page["next"], headers=PLAN).json()
    of_bus = client.get("/batches?category=bus", headers=PLAN).json()["items"]

    assert ["walk-2", "walk-1"] == [one["external_id"] for one in page["items"]]
    assert ["walk-0"] == [one["external_id"] for one in rest["items"]]
    assert rest["next"] is None
    assert ["walk-1"] == [one["external_id"] for one in of_bus]
