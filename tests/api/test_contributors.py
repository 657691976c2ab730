"""One's own data over HTTP: shown, taken along, and taken back so that nothing is left."""

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from livinglab.adapters.clocks import SettableClock
from livinglab.adapters.mail import MemoryMailer
from livinglab.adapters.relational.memory import MemoryVault
from livinglab.bootstrap import Lab, open_lab
from livinglab.cli.people import erase_contributor
from livinglab.config import DEFAULT_CATEGORIES, DEFAULT_ROUTES, CityFile, Settings
from livinglab.domain.observations import Attribute
from livinglab.domain.places import City, Place
from livinglab.errors import NotFoundError
from livinglab.ports import ObservationFilter
from livinglab.services.keying import new_key
from livinglab.services.mailing import Office, begin_email
from livinglab.services.observing import contributor_of
from tests.api.conftest import public_paths
from tests.photos import opened, quarters, telling_jpeg

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TOKEN = "marked-token-of-a-device-000001"
ME = {"X-Contributor": TOKEN}
OTHER = {"X-Contributor": "b" * 30}
MODERATOR = {"Authorization": "Bearer moderate-secret"}
PLAN = {"Authorization": "Bearer plan-secret"}
CLIENT_KEY = "7d0a1f6e-1111-4222-8333-444455556666"
SECRETS = (
    TOKEN,
    CLIENT_KEY,
    "marked-text",
    "marked-first-words",
    "marked-comment",
    "marked-feedback",
    "marked-flag",
    "marked-appeal",
    "marked-confirmation",
    "marked-answer",
    "marked-address",
    "marked@example.org",
    "marked-mailbox@example.org",
    "+33 1 23 45 67 89",
    "Marked Name",
    "marked-stratum",
    "6.050123456",
    "45.050098765",
)


AN_OFFICE = Office(
    city=City(key="testcity", name="Testcity", timezone="UTC"),
    categories={},
    base="https://lab.example",
    mailer=MemoryMailer(),
    vault=MemoryVault(),
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose civic data and Vault are files."""
    street = next(one for one in DEFAULT_CATEGORIES if one.key == "street")
    asking = street.__class__(
        key="street",
        label="Street",
        privacy=street.privacy,
        attributes=(Attribute(code="pole", question="Pole?"),),
    )
    city = CityFile(
        city=City(key="t", name="T", timezone="UTC"),
        places=(Place(key="square", name="The Square", lon=6.05, lat=45.05),),
        categories={"street": asking},
        routes=DEFAULT_ROUTES,
    )
    settings = Settings(data=tmp_path, readings="memory:")
    opened = open_lab(settings, city=city, clock=SettableClock(NOW))
    with opened.work() as work:
        for scope in ("moderate", "plan"):
            work.keys.add(new_key(scope, scope, f"{scope}-secret", NOW))
    yield opened
    opened.close()


@pytest.fixture
def client(lab: Lab) -> Iterator[TestClient]:
    with TestClient(create_app(lab), raise_server_exceptions=False) as asking:
        yield asking


@pytest.fixture
def life(client) -> str:
    """Somebody who said and told everything that one can, each with a mark."""

    def ask(method, path, headers=ME, **body):
        answer = client.request(method, path, json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json()

    posted = ask(
        "POST",
        "/observations",
        client_key=CLIENT_KEY,
        category="street",
        text="marked-first-words",
        point=[6.050123456, 45.050098765],
        accuracy_m=12,
        address="marked-address",
        attributes={"pole": "marked-answer"},
        lang="fr",
        submitted_at="2026-03-02T11:59:58.123Z",
        device_time="2026-03-02T12:00:00Z",
    )["id"]
    initiative = {
        "key": "i",
        "title": "I",
        "theme": "air",
        "starts_at": "2026-05-01T00:00:00Z",
        "areas": [{"place": "square", "role": "treated"}],
    }
    ask("POST", "/initiatives", headers=PLAN, **initiative)
    redaction = {"text": "marked-text", "note": "n"}
    ask("POST", f"/moderation/{posted}/redact", headers=MODERATOR, **redaction)
    ask("POST", f"/observations/{posted}/appeal", text="marked-appeal")
    ask("POST", f"/observations/{posted}/comments", text="marked-comment")
    ask("POST", f"/observations/{posted}/supports")
    flag = {"reason": "other", "note": "marked-flag"}
    ask("POST", f"/observations/{posted}/flags", **flag)
    closing = {"outcome": "fixed", "note": "n"}
    ask("POST", f"/moderation/{posted}/close", headers=MODERATOR, **closing)
    said = {"fixed": True, "text": "marked-confirmation"}
    ask("POST", f"/observations/{posted}/confirmation", **said)
    ask("POST", "/feedback", subject="initiative:i", rating=2, text="marked-feedback")
    contact = {"email": "marked@example.org", "phone": "+33 1 23 45 67 89", "name": "Marked Name"}
    ask("PUT", "/me/contact", **contact)
    photo = {"media": ("SECRET name.jpg", telling_jpeg(), "image/jpeg")}
    sent = client.post(f"/observations/{posted}/media", files=photo, headers=ME)
    key = sent.json()["items"][0]["url"].removeprefix("/media/")
    ask("POST", f"/moderation/media/{key}/release", headers=MODERATOR)
    ask("PUT", "/me/consents", purpose="strata", version="1", given=True)
    ask("PUT", "/me/strata", levels={"age": "marked-stratum"})
    ask("PUT", "/me/topics", topics=["answers"])
    proved = {"email": "marked-mailbox@example.org", "code": "22222222"}
    kept = client.app.state.lab
    with kept.work() as work:
        who = contributor_of(TOKEN, work, NOW)
        letter = begin_email(who, proved["email"], "fr", AN_OFFICE, work, NOW)
    proved["code"] = letter.text.split("Votre code est ")[1][:8]
    ask("POST", "/me/email/verify", **proved)
    with kept.work() as work:  # and asked for another one, which nobody has shown yet
        begin_email(contributor_of(TOKEN, work, NOW), "another@x.yz", "fr", AN_OFFICE, work, NOW)
    return str(posted)


def everything(folder: Path) -> bytes:
    """All bytes of all files."""
    return b"".join(one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file())


def test_a_device_introduces_itself(client):
    """The secret is told once; with it one finds oneself, without it nobody."""
    token = client.post("/contributors").json()["token"]

    assert 43 == len(token)
    assert 200 == client.get("/me", headers={"X-Contributor": token}).status_code
    assert 401 == client.get("/me").status_code
    assert 401 == client.get("/me", headers={"X-Contributor": "x" * 43}).status_code


def test_one_sees_everything_of_oneself(client, life):
    """And takes it along as a file that explains itself; nobody else's secret opens it."""
    shown = client.get("/me", headers=ME).json()
    answer = client.post("/me/export", headers=ME)
    another = client.get("/me", headers=OTHER)

    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        taken = json.loads(archive.read("data.json"))
        assert "data.json" in archive.read("README.txt").decode()
        [photo] = [one for one in archive.namelist() if one.startswith("photos/")]
        assert ["red", "lime", "blue", "white"] == quarters(opened(archive.read(photo)))
    text = json.dumps(taken, ensure_ascii=False)
    assert shown == taken
    for secret in SECRETS[1:]:
        assert secret in text, secret
    assert life == taken["observations"][0]["id"]
    assert "no-store" == answer.headers["cache-control"]
    assert 401 == another.status_code


def test_nobody_else_learns_any_of_it(client, lab, life):
    """Every public address, page, list and facade: none tells more than was published."""
    with lab.work(write=False) as work:
        kept = work.observations.get(UUID(life))
        photo = work.photos.one().key
        who, incident = kept.contributor, str(kept.incident)
    known = {
        "id": life,
        "id_": life,
        "key": "square",
        "code": "street",
        "token": "1",
        "name": "course",
    }
    paths = public_paths(client.app, known)
    paths |= {
        f"/incidents/{incident}",
        f"/media/{photo}",
        f"/media/{photo}?size=thumb",
        "/initiatives/i",
        "/feedback?subject=initiative:i",
        "/open311/v2/requests.xml?extensions=true",
        f"/open311/v2/requests/{life}.json?extensions=true",
        "/places/square?lang=ar",
        "/addresses?q=marked-address",
        "/places/square/timeline?every=7d",
    }
    left = [path for path in paths if "{" in path]
    assert not left, "these parameters are not known to this test"
    answered = 0
    for path in sorted(paths):
        for accept in ("application/json", "text/html"):
            answer = client.get(path, headers={"Accept": accept})
            found = [one for one in (*SECRETS, who) if one in answer.text]
            assert not found, (path, accept, found)
            assert b"SECRET" not in answer.content, path
            assert answer.status_code < 500, (path, answer.text)
            answered += answer.status_code == 200
    assert 60 < answered


def test_erasing_leaves_nothing(client, lab, life, tmp_path):
    """No mark in any file of the lab, no row that names the person; counts are as before."""
    before = client.get("/places/square").json()["observations"]
    supports = client.get(f"/observations/{life}").json()["supports"]
    with lab.work(write=False) as work:
        who = work.supports.one().contributor
    planted = everything(tmp_path)
    assert b"marked-text" in planted
    assert [*tmp_path.glob("media/*/*/full.jpg")]
    assert who.encode() in planted

    done = client.delete("/me", headers=ME)

    left = everything(tmp_path)
    assert (200, True) == (done.status_code, done.json()["off_disk"])
    # floats are stored as binary: positions are looked for in rows, below
    for secret in (*SECRETS[:-2], who):
        assert secret.encode() not in left, secret
    with lab.work(write=False) as work:
        [one] = work.observations.page(ObservationFilter())
        assert (None, None, None, "") == (one.lon, one.lat, one.accuracy_m, one.text)
        assert work.contributors.get(who) is None
        assert 1 == work.erasures.count()
        for kept in (work.notices, work.opt_outs, work.email_codes):
            assert 0 == kept.count()
    assert [] == lab.vault.mailboxes()
    assert lab.vault.get(who) is None
    assert [] == [*tmp_path.rglob("*.jpg")]
    assert before == client.get("/places/square").json()["observations"]
    assert supports == client.get(f"/observations/{life}").json()["supports"]
    assert 401 == client.get("/me", headers=ME).status_code
    assert [] == client.get("/moderation", headers=MODERATOR).json()["items"]
    assert [] == client.get("/moderation/appeals", headers=MODERATOR).json()["items"]


def test_the_office_erases_whoever_asks(client, life, tmp_path):
    """By what they posted, beside a running lab; what is not there is refused."""
    erase_contributor(life, tmp_path)

    assert b"marked-text" not in everything(tmp_path)
    assert 401 == client.get("/me", headers=ME).status_code
    with pytest.raises(NotFoundError):
        erase_contributor("nobody", tmp_path)


@pytest.mark.usefixtures("life")
def test_who_comes_back_is_somebody_new(client):
    """The same device may post again; nothing links it to what was there."""
    client.delete("/me", headers=ME)
    body = {"client_key": str(uuid4()), "category": "street", "place": "square"}
    assert 201 == client.post("/observations", json=body, headers=ME).status_code

    assert 1 == len(client.get("/me", headers=ME).json()["observations"])


def test_what_is_told_needs_consent_and_goes_with_it(client):
    """Strata only after agreeing; withdrawn, they are forgotten, and the consent is history."""
    client.post("/observations", json=draft(), headers=ME)
    levels = {"levels": {"age": "18-25"}}
    early = client.put("/me/strata", json=levels, headers=ME)
    consent = {"purpose": "strata", "version": "1", "given": True}
    client.put("/me/consents", json=consent, headers=ME)
    told = client.put("/me/strata", json=levels, headers=ME)
    left = client.put("/me/consents", json=consent | {"given": False}, headers=ME).json()

    mine = client.get("/me", headers=ME).json()
    assert (422, 200, {"consents": []}) == (early.status_code, told.status_code, left)
    assert [] == mine["donations"]
    assert [True] == [one["withdrawn_at"] is not None for one in mine["consents"]]


def draft() -> dict[str, str]:
    return {"client_key": str(uuid4()), "category": "street", "place": "square"}
