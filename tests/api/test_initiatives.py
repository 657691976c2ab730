"""Initiatives over HTTP: a design is handed in before the start, and every version stays."""

from typing import Any

import pytest

PLAN = {"Authorization": "Bearer plan-secret"}


def design(**facts: Any) -> dict[str, Any]:
    return {
        "key": "quiet-square",
        "title": "A quiet square",
        "theme": "air",
        "announced_at": "2026-04-01T00:00:00Z",
        "starts_at": "2026-05-01T00:00:00+02:00",
        "areas": [
            {"place": "square", "role": "treated"},
            {"place": "bridge", "role": "control"},
        ],
        "hypotheses": [
            {
                "key": "no2",
                "property": "no2",
                "expected": "decrease",
                "smallest_effect": 2.0,
                "primary": True,
            }
        ],
        **facts,
    }


def test_a_design_is_kept_once(client):
    """201, and 200 when the same comes again; everybody may read what was expected."""
    first = client.post("/initiatives", json=design(), headers=PLAN)
    again = client.post("/initiatives", json=design(), headers=PLAN)

    told = client.get("/initiatives/quiet-square").json()
    assert (201, 200) == (first.status_code, again.status_code)
    assert "2026-04-30T22:00:00Z" == told["starts_at"]
    assert [("bridge", "control"), ("square", "treated")] == [
        (area["place"], area["role"]) for area in told["areas"]
    ]
    assert [("no2", 1, 2.0)] == [
        (one["key"], one["version"], one["smallest_effect"]) for one in told["hypotheses"]
    ]
    assert [told] == client.get("/initiatives").json()["items"]


def test_another_design_under_the_same_key_is_a_conflict(client):
    """What was handed in first stays as it was."""
    client.post("/initiatives", json=design(), headers=PLAN)

    other = client.post("/initiatives", json=design(title="A loud square"), headers=PLAN)

    assert 409 == other.status_code
    assert "A quiet square" == client.get("/initiatives/quiet-square").json()["title"]


def test_a_change_is_a_new_version(client):
    """The newest version is shown, with its number."""
    client.post("/initiatives", json=design(), headers=PLAN)

    hypothesis = {"key": "no2", "property": "no2", "expected": "decrease", "smallest_effect": 1}
    client.post("/initiatives/quiet-square/hypotheses", json=hypothesis, headers=PLAN)
    areas = [{"place": "bridge", "role": "treated"}]
    told = client.post("/initiatives/quiet-square/areas", json=areas, headers=PLAN).json()

    assert [(2, 1.0)] == [(one["version"], one["smallest_effect"]) for one in told["hypotheses"]]
    assert [("bridge", "treated", 2)] == [
        (one["place"], one["role"], one["version"]) for one in told["areas"]
    ]


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"areas": [{"place": "moon", "role": "treated"}]}, "no Place moon"),
        ({"areas": [{"place": "square", "role": "control"}]}, "must be treated"),
        ({"announced_at": "2026-06-01T00:00:00Z"}, "announced after it starts"),
        ({"key": "Not A Key"}, "key"),
        (
            {"hypotheses": [{"key": "x", "property": "luck", "expected": "increase"}]},
            "no property luck",
        ),
        (
            {
                "hypotheses": [
                    {"key": "x", "property": "no2", "expected": "increase", "smallest_effect": -1}
                ]
            },
            "smallest_effect",
        ),
    ],
)
def test_a_design_that_cannot_be_is_refused(client, facts, says):
    """422 with what is wrong, and nothing is kept."""
    answer = client.post("/initiatives", json=design(**facts), headers=PLAN)

    assert 422 == answer.status_code
    assert says in answer.text
    assert [] == client.get("/initiatives").json()["items"]


def test_planning_needs_its_scope(client):
    """Nobody without a key, and no key of another scope."""
    submit = {"Authorization": "Bearer submit-secret"}

    assert 401 == client.post("/initiatives", json=design()).status_code
    assert 403 == client.post("/initiatives", json=design(), headers=submit).status_code
    assert 404 == client.get("/initiatives/nothing").status_code


def test_disturbances_are_noted(client):
    """What else happened, and not what ends before it begins."""
    strike = {"kind": "strike", "since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z"}

    kept = client.post("/disturbances", json=strike, headers=PLAN)
    wrong = {**strike, "until": "2026-02-01T00:00:00Z"}
    refused = client.post("/disturbances", json=wrong, headers=PLAN)
    nowhere = client.post("/disturbances", json={**strike, "place": "moon"}, headers=PLAN)

    assert (201, 422, 422) == (kept.status_code, refused.status_code, nowhere.status_code)
    assert ["strike"] == [one["kind"] for one in client.get("/disturbances").json()["items"]]
