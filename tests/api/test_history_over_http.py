"""History by way of a running lab: what the command line asks of it."""

import json

from livinglab.domain.things import ThingState

ADMIN = {"Authorization": "Bearer admin-secret"}
FACTS = {
    "file": "history.csv",
    "layout": "long",
    "document": {"base": "long"},
    "header": ["thing", "property", "time", "value"],
}


def post(client, *rows: str, headers=ADMIN, **facts):
    body = "\n".join([json.dumps(FACTS | facts), *rows])
    return client.post("/admin/imports", content=body.encode(), headers=headers)


def confirm(lab) -> None:
    with lab.work() as work:
        for thing in work.things.all():
            thing.state = ThingState.CONFIRMED


def test_rows_are_durable_once_answered(client, lab):
    """The answer says what became of them; the same again is a duplicate."""
    row = "t1,temperature,2026-03-01T12:00:00Z,20.5"

    first, second = post(client, row, "t1,temperature,x,20.5"), post(client, row)

    assert 200 == first.status_code
    assert (2, 1, {"bad_time": 1}) == tuple(
        first.json()[name] for name in ("rows", "stored", "quarantined")
    )
    assert (1, 0, 1) == tuple(second.json()[name] for name in ("rows", "stored", "duplicate"))
    assert 1 == lab.readings.count()


def test_an_import_needs_the_operators_key(client):
    """Neither nobody nor a sensor's key may rewrite history."""
    assert 401 == post(client, headers={}).status_code
    assert 403 == post(client, headers={"Authorization": "Bearer submit-secret"}).status_code


def test_a_table_that_is_none_is_refused(client):
    """Whatever is wrong with the first line is one sentence."""
    asked = [
        post(client, header=["a"]),
        post(client, document={"base": "atlantis"}),
        post(client, document=5),
        client.post("/admin/imports", content=b"{", headers=ADMIN),
        client.post("/admin/imports", content=b"[]", headers=ADMIN),
        client.post("/admin/imports", content=b"\xff", headers=ADMIN),
    ]

    assert [422] * len(asked) == [answer.status_code for answer in asked]


def test_refused_rows_heal_in_the_running_lab(client, lab):
    """Their table was kept, so the route of the row is known to a replay."""
    post(client, "t1,temperature,2026-03-03T12:00:00Z,20.5")
    lab.clock.advance_to(lab.clock.now().replace(day=4))
    with lab.work(write=False) as work:
        [waiting] = work.quarantine.page()

    again = client.post("/admin/quarantine:replay", json={}, headers=ADMIN)

    assert "future" == waiting.reason
    assert {"tried": 1, "healed": 0, "readings": 0, "refused": 1} == again.json()
    with lab.work(write=False) as work:
        assert ["future"] == [one.reason for one in work.quarantine.page()]


def test_an_export_is_csv(client, lab):
    """For an interval, of what is confirmed."""
    post(client, "t1,temperature,2026-03-01T12:00:00Z,20.5")
    span = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}

    before = client.get("/admin/export/readings", params=span, headers=ADMIN)
    confirm(lab)
    after = client.get("/admin/export/readings", params=span, headers=ADMIN)

    assert (200, 1) == (before.status_code, len(before.text.splitlines()))
    assert (
        "testcity,,lab:t1,temperature,,Cel,2026-03-01T12:00:00.000Z,20.5,1,,"
        == (after.text.splitlines()[1])
    )


def test_an_export_says_what_is_wrong(client):
    """Without a key, for nothing known, or backwards."""
    span = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}
    path = "/admin/export/readings"

    assert 401 == client.get(path, params=span).status_code
    assert 404 == client.get(path, params=span | {"place": "moon"}, headers=ADMIN).status_code
    assert (
        422
        == client.get(
            path, params={"from": span["to"], "to": span["from"]}, headers=ADMIN
        ).status_code
    )
