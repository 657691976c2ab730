"""Moderation over HTTP: every change has its reason and its before-image, and can be appealed."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from livinglab.domain.answers import Responsibility
from livinglab.domain.contributors import Trust
from livinglab.domain.observations import Attribute, Datatype

MODERATOR = {"Authorization": "Bearer moderate-secret"}
PLAN = {"Authorization": "Bearer plan-secret"}


def who(name: str) -> dict[str, str]:
    return {"X-Contributor": name * 30}


def post(client, text="The lamp of Jo Doe at 555 123 4567 is dark.", name="a", **facts):
    body = {
        "client_key": str(uuid4()),
        "category": "street",
        "point": [6.05, 45.05],
        "text": text,
        **facts,
    }
    return client.post("/observations", json=body, headers=who(name)).json()["id"]


def do(client, id_, deed, **body):
    return client.post(f"/moderation/{id_}/{deed}", json=body, headers=MODERATOR)


def trusted(client, *names):
    for name in names:
        id_ = post(client, "Words.", name=name)
        do(client, id_, "trust", trust="trusted", note="known to the office")


def test_words_can_be_mended(client, lab):
    """What it said before is in the Vault, not in the civic store; the public reads the rest."""
    id_ = post(client)
    done = do(client, id_, "redact", text="The lamp is dark.", note="a name and a number")
    do(client, id_, "release")

    assert 200 == done.status_code
    assert "The lamp is dark." == client.get(f"/observations/{id_}").json()["text"]
    with lab.work(write=False) as work:
        [action] = work.actions.where(subject=f"observation:{id_}", newest_first=True)[1:]
        author = work.observations.get(UUID(id_)).contributor
        assert "Jo Doe" not in str(action)
    assert "Jo Doe" in lab.vault.noted(author, action.before)
    same = do(client, id_, "redact", text="The lamp is dark.", note="again")
    assert 422 == same.status_code


def test_an_address_waits_like_words(client):
    """A posting without words, but with an address, is read first; mended, the address goes."""
    id_ = post(client, "", address="Jo Doe, 8th Ave 12")
    [waiting] = client.get("/moderation", headers=MODERATOR).json()["items"]
    do(client, id_, "redact", text="", address="8th Ave 12", note="a name")
    do(client, id_, "release")

    assert ("", "Jo Doe, 8th Ave 12") == (waiting["text"], waiting["address"])
    [row] = client.get(f"/open311/v2/requests/{id_}.json").json()
    assert "8th Ave 12" == row["address"]


def test_an_appeal_puts_it_back(client):
    """Asked by whoever posted it, decided once, with an answer."""
    id_ = post(client, "The lamp is dark.")
    do(client, id_, "release")
    early = client.post(f"/observations/{id_}/appeal", json={"text": "?"}, headers=who("a"))
    do(client, id_, "remove", note="off topic")
    path = f"/observations/{id_}/appeal"
    body = {"text": "It is about the street."}
    stranger = client.post(path, json=body, headers=who("b"))
    asked = client.post(path, json=body, headers=who("a"))
    twice = client.post(path, json=body, headers=who("a"))
    [waiting] = client.get("/moderation/appeals", headers=MODERATOR).json()["items"]
    decision = {"granted": True, "answer": "You are right."}
    url = f"/moderation/appeals/{waiting['id']}"
    decided = client.post(url, json=decision, headers=MODERATOR)

    assert (409, 404, 201, 409) == tuple(one.status_code for one in (early, stranger, asked, twice))
    assert 200 == decided.status_code
    assert "The lamp is dark." == client.get(f"/observations/{id_}").json()["text"]
    assert 409 == client.post(url, json=decision, headers=MODERATOR).status_code
    assert [] == client.get("/moderation/appeals", headers=MODERATOR).json()["items"]


def test_a_wrong_place_is_put_right(client):
    """The attachments before stay; a Place that is not there is refused."""
    id_ = post(client)
    moved = do(client, id_, "relink", place="bridge", note="they mean the bridge")
    nowhere = do(client, id_, "relink", place="moon", note="?")
    without = client.post(f"/moderation/{id_}/relink", json={"place": "square"}, headers=MODERATOR)

    assert ("bridge", 422, 422) == (
        moved.json()["place"],
        nowhere.status_code,
        without.status_code,
    )
    incident = client.get(f"/observations/{id_}").json()["incident"]
    assert "bridge" == client.get(f"/incidents/{incident}").json()["place"]


def test_what_is_placed_by_zone_stays_there(client):
    """Noise at home is not moved to a house number by mistake."""
    id_ = post(client, category="noise")

    assert 422 == do(client, id_, "relink", place="square", note="here").status_code


def test_a_crowd_hides_nothing(client):
    """Fifteen new Contributors who object change nothing but the moderators' list."""
    id_ = post(client, "")
    for n in range(15):
        body = {"reason": "abuse"}
        headers = {"X-Contributor": f"{n:030d}"}
        assert (
            202 == client.post(f"/observations/{id_}/flags", json=body, headers=headers).status_code
        )

    assert not client.get(f"/observations/{id_}").json()["waiting"]
    assert 15 == len(client.get("/moderation/flags", headers=MODERATOR).json()["items"])


def test_three_trusted_people_hide_it_until_somebody_looked(client):
    """Whoever objects twice counts once; released, it shows and all is settled."""
    trusted(client, "x", "y", "z")
    id_ = post(client, "Words about a lamp.")
    do(client, id_, "release")
    seen = []
    for name in ("x", "x", "y", "z"):
        client.post(f"/observations/{id_}/flags", json={"reason": "spam"}, headers=who(name))
        seen.append(client.get(f"/observations/{id_}").json()["waiting"])
    do(client, id_, "release", note="it is fine")

    assert [False, False, False, True] == seen
    assert not client.get(f"/observations/{id_}").json()["waiting"]
    assert [] == client.get("/moderation/flags", headers=MODERATOR).json()["items"]


def test_a_flag_needs_a_reason(client):
    """That it is not fixed is none: it goes to the confirmation."""
    id_ = post(client)
    path = f"/observations/{id_}/flags"

    assert 422 == client.post(path, json={}, headers=who("b")).status_code
    assert 422 == client.post(path, json={"reason": "not_fixed"}, headers=who("b")).status_code
    dismissed = do(client, id_, "dismiss")
    assert {"settled": 0} == dismissed.json()


def test_who_is_blocked_is_not_heard(client, lab):
    """Words wait for ever, and no voice counts; who it is is told to nobody."""
    id_ = post(client)
    answer = do(client, id_, "trust", trust="blocked", note="threats")
    support = client.post(f"/observations/{id_}/supports", json={}, headers=who("a"))
    another = post(client, "")

    assert {"id": id_, "trust": "blocked"} == answer.json()
    assert 403 == support.status_code
    assert client.get(f"/observations/{another}").json()["waiting"]
    with lab.work(write=False) as work:
        assert (
            Trust.BLOCKED
            is work.contributors.get(work.observations.get(UUID(id_)).contributor).trust
        )


def test_what_is_owed_an_answer(client, lab):
    """By Zone before city, the longest overdue first; answered or closed, it is owed no more."""
    lab.responsibilities = (
        Responsibility(category="street", zone=None, organisation="Roads", reason="city law 1"),
        Responsibility(
            category="street",
            zone="centre",
            organisation="Centre office",
            reason="the centre keeps its own streets",
            answer_within=timedelta(days=2),
        ),
    )
    inside = post(client, "")
    outside = post(client, "", point=[6.2, 45.2])
    told = client.get(f"/observations/{inside}").json()["responsible"]
    lab.clock.advance_to(lab.clock.now() + timedelta(days=3))

    owed = client.get("/moderation/owed", headers=MODERATOR).json()["items"]
    assert ("Centre office", "the centre keeps its own streets") == (
        told["organisation"],
        told["reason"],
    )
    assert [(inside, "Centre office", True), (outside, "Roads", False)] == [
        (one["observation"], one["responsible"]["organisation"], one["overdue"]) for one in owed
    ]
    body = {
        "key": "street",
        "subject": f"observation:{inside}",
        "you_said": "Dark.",
        "we_did": "Mended.",
        "department": "Roads",
    }
    client.post("/responses", json=body, headers=PLAN)
    do(client, outside, "close", outcome="not_ours", note="Another town's.")
    assert [] == client.get("/moderation/owed", headers=MODERATOR).json()["items"]


@pytest.mark.parametrize("path", ["", "/comments", "/flags", "/appeals", "/owed"])
def test_lists_need_the_scope(client, path):
    """Nobody else reads what waits."""
    assert 401 == client.get(f"/moderation{path}").status_code
    assert 403 == client.get(f"/moderation{path}", headers=PLAN).status_code


def test_category_questions_are_asked(client, lab):
    """A required answer that is missing is named; one that nobody asked is refused."""
    lab.categories = {
        **lab.categories,
        "street": replace(
            lab.categories["street"],
            attributes=(
                Attribute(code="pole", question="Number of the pole?", required=True),
                Attribute(
                    code="dark",
                    question="How dark?",
                    datatype=Datatype.ONE_OF,
                    values={"all": "Wholly", "some": "It flickers"},
                ),
            ),
        ),
    }
    body = {"client_key": str(uuid4()), "category": "street", "point": [6.05, 45.05]}

    def sent(**attributes):
        key = {"client_key": str(uuid4())}
        return client.post("/observations", json=body | key | {"attributes": attributes})

    assert "pole is required" in sent(dark="all").text
    assert "one of all, some" in sent(pole="12", dark="blue").text
    assert "does not ask this" in sent(pole="12", colour="red").text
    kept = sent(pole="12", dark="some").json()["id"]
    with lab.work(write=False) as work:
        assert {"pole": "12", "dark": "some"} == work.observations.get(UUID(kept)).attributes
