"""What Things measured, as anybody may read it."""

import json
from datetime import UTC, datetime, timedelta

from fastapi.testclient import TestClient

from api.app import create_app
from livinglab.bootstrap import Lab, open_recorder
from livinglab.domain.readings import ReadingBatch, Test, to_ms
from livinglab.ports import Message

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def publish(lab: Lab, topic: str, value: object, *, ago: timedelta = timedelta(0)) -> None:
    """Let a Thing at the square publish."""
    body = {"v": value, "t": to_ms(NOW - ago), "lat": 45.05, "lon": 6.05}
    payload = json.dumps(body).encode()
    open_recorder(lab).record([Message(topic.encode(), payload, 0x32, len(payload))])


def test_place_joins_what_is_measured_and_said(client, lab):
    """One Thing at the square: its latest Reading with unit, flag and age."""
    publish(lab, "lab/post-1/no2", 31.5, ago=timedelta(seconds=30))
    [stream] = client.get("/places/square").json()["datastreams"]

    assert {
        "key": "lab:post-1:no2",
        "thing": "lab:post-1",
        "property": "no2",
        "label": "Nitrogen dioxide",
        "unit": "ug/m3",
        "time": "2026-03-02T11:59:30Z",
        "result": 31.5,
        "flag": 1,
        "age_s": 30.0,
        "stale": False,
        "current": True,
    } == stream


def test_old_and_failed_readings_are_never_current(client, lab):
    """A node last heard of years ago is stale; 267 degrees fails; null is missing."""
    publish(lab, "lab/old/no2", 20, ago=timedelta(days=900))
    publish(lab, "lab/hot/temperature", 267.61)
    publish(lab, "lab/mute/o3", None)
    streams = {one["thing"]: one for one in client.get("/places/square").json()["datastreams"]}

    assert (True, False) == (streams["lab:old"]["stale"], streams["lab:old"]["current"])
    assert (4, 267.61, False) == tuple(
        streams["lab:hot"][name] for name in ("flag", "result", "current")
    )
    assert (9, None, False) == tuple(
        streams["lab:mute"][name] for name in ("flag", "result", "current")
    )


def test_provisional_things_are_not_public(client, lab):
    """Stored and checked, but shown nowhere until somebody confirms them."""
    publish(lab, "new/stranger/no2", 20)

    assert 1 == lab.readings.count()
    assert [] == client.get("/things").json()["items"]
    assert 404 == client.get("/things/new:stranger").status_code
    assert 404 == client.get("/datastreams/new:stranger:no2/readings").status_code
    assert [] == client.get("/places/square").json()["datastreams"]


def test_the_spot_of_a_provisional_thing_is_not_public(client, lab):
    """Nobody can find a stranger's balcony, read its timeline, or see it on the map."""
    body = {"v": 20, "t": to_ms(NOW), "lat": 45.011111, "lon": 6.011111}
    payload = json.dumps(body).encode()
    open_recorder(lab).record([Message(b"new/stranger/no2", payload, 0x32, len(payload))])
    key = "new:stranger"
    with lab.work(write=False) as work:
        stands = work.places.get(key)
    found = [client.get(url).status_code for url in (f"/places/{key}", f"/places/{key}/timeline")]
    keys = [one["key"] for one in client.get("/places").json()["items"]]

    assert stands is not None
    assert [404, 404] == found
    assert ["bridge", "square"] == keys
    assert key not in client.get("/").text


def test_a_number_without_a_known_unit_is_shown_without_one(client, lab):
    """41 of nobody knows what is not 41 micrograms."""
    publish(lab, "lab/post-1/no2", 40, ago=timedelta(minutes=1))
    with lab.work(write=False) as work:
        [stream] = work.things.datastreams(["lab:post-1"])
    batch = ReadingBatch()
    batch.add(stream.number, to_ms(NOW), 41.0, flag=2, tests=Test.UNIT_UNKNOWN)
    lab.readings.append(batch)
    [told] = client.get("/places/square").json()["datastreams"]
    rows = client.get(f"/datastreams/{told['key']}/readings?to=2026-03-02T13:00:00Z").json()

    assert (41.0, None) == (told["result"], told["unit"])
    assert "41 None" not in client.get("/").text
    assert [(40.0, "ug/m3"), (41.0, None)] == [
        (row["result"], row["unit"]) for row in rows["items"]
    ]


def test_readings_as_json_and_csv(client, lab):
    """Oldest first; missing is null and empty, never 0."""
    for minutes, value in ((3, 10), (2, None), (1, 12)):
        publish(lab, "lab/post/no2", value, ago=timedelta(minutes=minutes))
    url = "/datastreams/lab:post:no2/readings"
    told = client.get(url).json()
    lines = client.get(f"{url}?format=csv").text.splitlines()

    assert [10, None, 12] == [one["result"] for one in told["items"]]
    assert [1, 9, 1] == [one["flag"] for one in told["items"]]
    assert "ug/m3" == told["unit"]
    assert "2026-03-02T11:58:00Z,,9,ug/m3" == lines[2]


def test_readings_by_period(client, lab):
    """Mean, least and greatest of an hour."""
    for minutes, value in ((50, 10), (40, 20), (30, 60)):
        publish(lab, "lab/post/no2", value, ago=timedelta(minutes=minutes))
    url = "/datastreams/lab:post:no2/readings?from=2026-03-02T11:00:00Z&every=3600"
    [hour] = client.get(url).json()["items"]

    assert (30, 10, 60, 3) == (hour["mean"], hour["min"], hour["max"], hour["n"])


def test_places_are_paged_by_key(client):
    """Following `next` gives every Place once."""
    url, found = "/places?limit=1", []
    while url:
        page = client.get(url).json()
        found += [one["key"] for one in page["items"]]
        url = page["next"]

    assert ["bridge", "square"] == found


def test_links_carry_the_public_name(lab):
    """Behind a proxy the next page is where the public finds it."""
    named = lab.settings.model_copy(update={"public_url": "https://lab.example.org/"})
    lab.settings = named
    with TestClient(create_app(lab)) as client:
        url = client.get("/places?limit=1").json()["next"]

    assert "https://lab.example.org/places?limit=1&after=bridge" == url


def test_bad_queries_are_told_what_is_wrong(client):
    """422 with the name of the parameter, never 500."""
    wrong = {
        "/places?bbox=1,2,3": "bbox",
        "/places?bbox=6,45,5,44": "bbox",
        "/places?limit=0": "limit",
        "/places/square/timeline?from=yesterday": "from",
        "/places/square/timeline?from=2026-03-02T11:00:00": "from",
        "/places/square/timeline?from=1999-01-01T00:00:00Z&every=1": "every",
        "/places/square/timeline?from=2027-01-01T00:00:00Z": "from",
        "/places/square/timeline?from=1999-01-01T00:00:00Z&every=999999": "from",
        "/places/square/timeline?from=0001-01-01T00:00:00%2B14:00": "from",
        "/places/square/timeline?from=9999-12-31T00:00:00Z&to=9999-12-31T23:59:59Z": "to",
        "/places/square/timeline?every=99999999999999999999": "every",
    }
    for url, name in wrong.items():
        answer = client.get(url)
        assert 422 == answer.status_code, url
        assert name in answer.json()["detail"]


def test_health_and_metrics(client, lab):
    """Ready names its parts; the metrics balance."""
    publish(lab, "lab/post/no2", 20)
    metrics = client.get("/metrics").text

    assert {"alive": True, "trouble": None} == client.get("/health/live").json()
    assert client.get("/health/ready").json()["ready"]
    assert "livinglab_unaccounted 0.0" in metrics
    assert 'livinglab_readings_total{outcome="stored",route="lab"} 1.0' in metrics


def test_pages_carry_a_strict_policy_and_no_inline_script(client, lab):
    """Everything a page needs comes from the lab itself."""
    publish(lab, "lab/post/no2", 20)
    for path in ("/", "/docs", "/places/square"):
        answer = client.get(path, headers={"Accept": "text/html"})
        assert 200 == answer.status_code
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "<script>" not in answer.text
        assert "http://" not in answer.text.replace("http://testserver", "")
    assert "Nitrogen dioxide" in client.get("/").text


def test_right_to_left_city(client, lab):
    """An Arabic city's pages say so."""
    object.__setattr__(lab.city, "languages", ("ar",))

    assert '<html lang="ar" dir="rtl">' in client.get("/").text
