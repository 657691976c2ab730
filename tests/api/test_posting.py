"""A citizen posts, and everybody reads what may be read."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from livinglab.config import Settings
from livinglab.services.aggregating import publish_due

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TOKEN = {"X-Contributor": "a" * 32}
MODERATOR = {"Authorization": "Bearer moderate-secret"}
EXACT = [6.050123456, 45.050098765]


def draft(**facts: object) -> dict[str, object]:
    """A posting about traffic near the square."""
    return {
        "client_key": str(uuid4()),
        "category": "traffic",
        "text": "Nobody can cross here.",
        "point": EXACT,
        **facts,
    }


def test_posting_is_attached_to_the_nearest_place(client):
    """The answer carries the Place, how it was found, and how far away it is."""
    answer = client.post("/observations", json=draft())

    assert 201 == answer.status_code
    told = answer.json()
    assert {"key": "square", "name": "The Square"} == told["place"]
    assert "pin" == told["method"]
    assert pytest.approx(14.6, abs=0.5) == told["distance_m"]
    assert told["waiting"]


def test_same_posting_twice_is_kept_once(client, lab):
    """A retry gets the first answer again, with 200 instead of 201."""
    body = draft()
    first, second = (client.post("/observations", json=body, headers=TOKEN) for _ in range(2))

    assert [201, 200] == [first.status_code, second.status_code]
    assert first.json() == second.json()
    with lab.work(write=False) as work:
        assert 1 == work.observations.count()


def test_same_key_for_another_posting_is_a_conflict(client):
    """A client_key names one Observation for ever."""
    body = draft()
    client.post("/observations", json=body)
    answer = client.post("/observations", json=body | {"text": "Something else."})

    assert 409 == answer.status_code
    assert "application/problem+json" == answer.headers["content-type"]
    assert body["client_key"] == answer.json()["client_key"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"category": "gossip"}, "category"),
        ({"point": [200, 45]}, "point"),
        ({"point": None}, "point"),
        ({"place": "nowhere"}, "place"),
        ({"severity": 9}, "severity"),
        ({"client_key": "1"}, "client_key"),
        ({"text": "x" * 4_001}, "text"),
        ({"unknown": 1}, "unknown"),
        ({"occurred_at": "2026-03-02T11:00:00"}, "occurred_at"),
    ],
)
def test_bad_postings_are_told_what_and_where(client, change, path):
    """422 names the field; nothing of it is kept."""
    answer = client.post("/observations", json=draft(**change))

    assert 422 == answer.status_code
    assert path in answer.json()["detail"]
    assert [] == client.get("/observations").json()["items"]


def test_body_that_is_too_large_is_refused(client):
    """413, before anything is parsed."""
    answer = client.post("/observations", content=b"x" * 70_000)

    assert 413 == answer.status_code


def test_device_clock_that_is_off_is_corrected(client):
    """A telephone seven minutes behind said 11:50; it was 11:57."""
    late = NOW - timedelta(minutes=7)
    body = draft(
        occurred_at=(late - timedelta(minutes=3)).isoformat(), device_time=late.isoformat()
    )
    told = client.post("/observations", json=body).json()

    assert "2026-03-02T11:57:00Z" == told["occurred_at"]
    assert told["time_corrected"]


def test_time_in_the_future_becomes_the_arrival(client):
    """Nobody has seen tomorrow."""
    body = draft(occurred_at=(NOW + timedelta(days=1)).isoformat())
    told = client.post("/observations", json=body).json()

    assert "2026-03-02T12:00:00Z" == told["occurred_at"]


def test_far_from_every_place_a_new_one_is_made(client):
    """Its key and point are no more precise than the theme allows: a cell for air."""
    point = [6.081234, 45.081234]
    told = client.post("/observations", json=draft(category="air", point=point)).json()
    place = client.get(f"/places/{told['place']['key']}").json()

    assert "observation" == place["origin"]
    assert point != place["point"]
    assert "centre" == place["zone"]


def test_words_wait_and_what_they_are_about_does_not(client):
    """Category, Place and time show at once; the words only after a moderator let them go."""
    id_ = client.post("/observations", json=draft(), headers=TOKEN).json()["id"]
    before = client.get(f"/observations/{id_}").json()
    waiting = client.get("/moderation", headers=MODERATOR).json()["items"]
    client.post(f"/moderation/{id_}/release", json={}, headers=MODERATOR)
    after = client.get(f"/observations/{id_}").json()

    assert before["waiting"]
    assert before["text"] is None
    assert [id_] == [one["id"] for one in waiting]
    assert "Nobody can cross here." == after["text"]


def test_a_released_contributor_need_not_wait_again(client):
    """But words that hold a telephone number do."""
    first = client.post("/observations", json=draft(), headers=TOKEN).json()
    client.post(f"/moderation/{first['id']}/release", json={}, headers=MODERATOR)
    plain = client.post("/observations", json=draft(), headers=TOKEN).json()
    phone = draft(text="Call me: +33 6 12 34 56 78")
    marked = client.post("/observations", json=phone, headers=TOKEN).json()

    assert [False, True] == [plain["waiting"], marked["waiting"]]


def test_removed_needs_a_reason_and_is_gone(client):
    """Without a reason nothing happens."""
    id_ = client.post("/observations", json=draft()).json()["id"]
    url = f"/moderation/{id_}/remove"
    without = client.post(url, json={"note": " "}, headers=MODERATOR)
    with_one = client.post(url, json={"note": "names a person"}, headers=MODERATOR)

    assert [422, 200] == [without.status_code, with_one.status_code]
    assert 404 == client.get(f"/observations/{id_}").status_code


def test_moderation_needs_its_key(client):
    """401 without a key or with a wrong one, 403 with one of another scope."""
    wanted = {
        None: 401,
        "Bearer wrong": 401,
        "Bearer submit-secret": 403,
        "Bearer moderate-secret": 200,
        "Bearer admin-secret": 200,
    }
    found = {
        key: client.get("/moderation", headers={"Authorization": key} if key else {}).status_code
        for key in wanted
    }

    assert wanted == found


def test_too_many_postings_have_to_wait(lab):
    """The 21st in a minute gets 429 and learns when to come again; a gateway is not limited."""
    with TestClient(create_app(lab)) as client:
        found = [client.post("/observations", json=draft()).status_code for _ in range(20)]
        last = client.post("/observations", json=draft())
        gateway = client.post(
            "/observations", json=draft(), headers={"Authorization": "Bearer submit-secret"}
        )

    assert [201] * 20 == found
    assert 429 == last.status_code
    assert int(last.headers["retry-after"]) >= 1
    assert 201 == gateway.status_code


def test_nothing_that_identifies_a_person_is_public(client, lab):
    """No public answer holds a pseudonym, token, exact point, client_key or waiting words."""
    secret = "Mz Secretname was seen here"
    posted = draft(text=secret)
    noise = draft(category="noise", text=secret, place="square")
    for body in (posted, noise):
        client.post("/observations", json=body, headers=TOKEN)
    with lab.work(write=False) as work:
        [pseudonym] = {one.contributor for one in work.observations.at_place("square")}
    hidden = [
        pseudonym,
        "a" * 32,
        secret,
        str(posted["client_key"]),
        str(noise["client_key"]),
        "6.050123456",
        "45.050098765",
    ]
    paths = [
        "/places",
        "/places/square",
        "/places/square/timeline",
        "/observations",
        "/observations?place=square",
        "/",
        "/fragments/home",
        "/metrics",
        "/zones",
        "/things",
    ]
    for path in paths:
        for accept in ("application/json", "text/html"):
            answer = client.get(path, headers={"Accept": accept})
            assert 200 == answer.status_code, path
            assert [] == [one for one in hidden if one in answer.text], path


def test_personal_themes_are_never_itemised(client):
    """Noise at home is counted, not listed."""
    id_ = client.post("/observations", json=draft(category="noise", text="")).json()["id"]

    assert 404 == client.get(f"/observations/{id_}").status_code
    assert [] == client.get("/observations?category=noise").json()["items"]
    assert [] == client.get("/places/square").json()["observations"]


def test_small_counts_are_hidden_in_the_timeline(client):
    """Four people are too few, five are told as five."""
    key = {"Authorization": "Bearer submit-secret"}

    def said(n: int) -> dict[str, object]:
        headers = key | {"X-Contributor": f"{n:032d}"}
        client.post("/observations", json=draft(text=""), headers=headers)
        periods = client.get("/places/square/timeline").json()["observations"]
        [period] = [one for one in periods if one["category"] == "traffic"]
        return {"n": period["n"], "suppressed": period["suppressed"]}

    found = [said(n) for n in range(5)]

    assert [{"n": None, "suppressed": True}] * 4 + [{"n": 5, "suppressed": False}] == found


def test_personal_themes_belong_to_the_zone(client):
    """However near a Place the citizen stood, and even if they named it."""
    near = client.post("/observations", json=draft(category="noise")).json()
    named = client.post(
        "/observations", json=draft(category="noise", place="square", point=None)
    ).json()
    outside = client.post("/observations", json=draft(category="noise", point=[7.5, 45.05]))

    assert ["zone:centre"] * 2 == [near["place"]["key"], named["place"]["key"]]
    assert "zone_centroid" == named["method"]
    assert 422 == outside.status_code


def test_the_middle_of_a_zone_attracts_nothing(client):
    """Its point is a label's: what happens near it belongs elsewhere."""
    client.post("/observations", json=draft(category="noise"))
    told = client.post("/observations", json=draft(point=[6.0502, 45.0525])).json()

    assert not told["place"]["key"].startswith("zone:")


def test_one_person_at_one_place_has_one_public_point(client):
    """A hundred fixes around a front door would give it away; the first stands for all."""
    points = [[6.05 + n / 10_000, 45.05] for n in range(3)]
    ids = [
        client.post("/observations", json=draft(point=one), headers=TOKEN).json()["id"]
        for one in points
    ]
    found = [client.get(f"/observations/{one}").json()["point"] for one in ids]

    assert [[6.05, 45.05]] * 3 == found


def test_a_personal_month_is_told_once_it_is_over(client, lab):
    """March is not over; February tells of ten people from a week after its end on, for good."""
    key = {"Authorization": "Bearer submit-secret"}
    client.post("/observations", json=draft(category="noise", text=""), headers=key)

    def told() -> list[tuple[str, int | None]]:
        url = "/places/zone:centre/timeline?from=2026-02-01T00:00:00%2B01:00"
        periods = client.get(url).json()["observations"]
        return [(one["month"][:7], one["n"]) for one in periods if one["category"] == "noise"]

    before = told()
    for n in range(10):
        said = draft(category="noise", text="", occurred_at="2026-02-10T20:00:00Z")
        client.post("/observations", json=said, headers=key | {"X-Contributor": f"{n:032d}"})

    alone = told()
    due = datetime(2026, 3, 7, 23, 0, tzinfo=UTC)  # 8 March in Paris
    for instant, found in ((due - timedelta(minutes=1), []), (due, [("2026-02", 10)])):
        lab.clock.advance_to(instant)
        publish_due(lab.civic, lab.categories, timezone="Europe/Paris", now=lab.clock.now())
        assert found == told()
    late = draft(category="noise", text="", occurred_at="2026-02-10T20:00:00Z")
    client.post("/observations", json=late, headers=key)
    publish_due(lab.civic, lab.categories, timezone="Europe/Paris", now=lab.clock.now())

    assert ([], [], [("2026-02", 10)]) == (before, alone, told())


def test_impossible_times_are_told_what_is_wrong(client):
    """The year 1, shifted to before there was one, is 422 and not 500."""
    early = draft(
        occurred_at="0001-01-01T00:00:00Z", device_time=(NOW + timedelta(days=2)).isoformat()
    )

    assert 422 == client.post("/observations", json=early).status_code


def test_control_characters_are_dropped(client):
    """No database and no page gets them."""
    id_ = client.post("/observations", json=draft(text="a\x00b\u202ec")).json()["id"]
    [waiting] = client.get("/moderation", headers=MODERATOR).json()["items"]

    assert (id_, "abc") == (waiting["id"], waiting["text"])


def test_settings_have_a_post_limit():
    """The limit that the test above counts on is the default."""
    assert 20 == Settings().post_limit
