"""Accounts of the staff: how one gets in, and every way in which nobody should."""

from datetime import timedelta

import pyotp
import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from api.app import create_app
from livinglab.services import keying, signing_in
from tests.api.conftest import NOW

ASIDE = {"X-CSRF-Token": "guessed"}
NOT_HER = 401
POSTING = {"client_key": "5f2cf0a8-6a09-4c5e-9a92-0f3d3b8b0001", "category": "street"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Passwords are hashed as ever, with less of everything."""
    monkeypatch.setattr(
        signing_in, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    )
    signing_in._nobodys.cache_clear()


class Person:
    """Somebody at a browser: with cookies, and what a page of the lab sends along."""

    def __init__(self, app, lab, *, at="192.0.2.1", url="http://lab.test"):
        self.client = TestClient(app, base_url=url, client=(at, 1), raise_server_exceptions=False)
        self.lab, self.guard, self.factor, self.answer = lab, {}, None, None

    def sends(self, path, guard=None, **body):
        self.answer = self.client.post(path, json=body, headers=guard or self.guard)
        if self.answer.status_code == 200 and "csrf" in self.answer.json():
            self.guard = {"X-CSRF-Token": self.answer.json()["csrf"]}
        return self.answer.status_code

    def signs_in(self, password, code=None, login="anna"):
        return self.sends("/sign-in", login=login, password=password, code=code)

    def enrols(self, password):
        self.sends("/account/second-factor", password=password)
        self.factor = pyotp.TOTP(self.answer.json()["secret"])
        return self.sends("/account/second-factor:confirm", code=self.code())

    def code(self):
        return self.factor.at(self.lab.clock.now())

    def reads_the_queue(self):
        return self.client.get("/moderation").status_code

    def acts(self, guard=None):
        """Take an Observation away, which needs `moderate`."""
        self.answer = self.client.post("/observations", json=POSTING | {"place": "square"})
        id_ = self.answer.json()["id"]
        self.answer = self.client.post(
            f"/moderation/{id_}/remove",
            json={"note": "x"},
            headers=self.guard if guard is None else guard,
        )
        return self.answer.status_code


@pytest.fixture
def app(lab):
    return create_app(lab)


@pytest.fixture
def password(lab):
    """Anna's, who moderates."""
    with lab.work() as work:
        return signing_in.recruit("Anna", "moderate", work, NOW)


@pytest.fixture
def anna(app, lab, password):
    """She signed in, with her second factor."""
    person = Person(app, lab)
    assert (200, 200) == (person.signs_in(password), person.enrols(password))
    return person


def later(lab, **by):
    lab.clock.advance_to(lab.clock.now() + timedelta(**by))


def test_a_password_alone_opens_nothing_but_the_account(app, lab, password):
    """With the second factor it acts, under the person's own name."""
    person = Person(app, lab)
    before = person.signs_in(password), person.reads_the_queue(), person.acts()
    problem = person.answer.json()["detail"]
    person.enrols(password)

    assert (200, 401, 401) == before
    assert "second factor" in problem
    assert (200, 200) == (person.reads_the_queue(), person.acts())
    with lab.work(write=False) as work:
        assert {"staff:anna"} == {one.actor for one in work.actions.where()}


def test_what_is_kept_opens_nothing(anna, lab, password):
    """Neither password nor session nor second factor stand in the civic data."""
    token = anna.client.cookies["livinglab"]
    with lab.work(write=False) as work:
        staff, session = signing_in.session_with(token, work, lab.clock.now())
        kept = f"{vars(staff)} {vars(session)}"

    assert staff.password_hash.startswith("$argon2id$")
    assert all(secret not in kept for secret in (password, token, anna.factor.secret))


def test_nobody_guesses_a_password(app, lab, anna, password):
    """Five guesses a minute from one network, right or wrong; others are not kept out by them."""
    guesser, elsewhere = (Person(app, lab, at=at) for at in ("198.51.100.7", "203.0.113.9"))
    tried = [guesser.signs_in(f"guess {n}") for n in range(5)]
    later(lab, seconds=30)

    assert [401] * 5 == tried
    assert 429 == guesser.signs_in(password, anna.code())
    assert 1 <= int(guesser.answer.headers["Retry-After"]) <= 60
    assert 200 == elsewhere.signs_in(password, anna.code())


def test_one_network_tries_few_logins(app, lab):
    """A list of logins with one password each is a guess, too."""
    guesser = Person(app, lab)
    tried = [guesser.signs_in("Summer2026!", login=f"user{n}") for n in range(31)]

    assert [401] * 30 + [429] == tried


def test_nobody_learns_who_has_an_account(app, lab, anna, password):
    """Unknown login, wrong password, wrong code, no code and an ended account look alike."""
    with lab.work() as work:
        ended = signing_in.recruit("bea", "moderate", work, NOW)
        signing_in.dismiss("bea", work)
    stranger, told = Person(app, lab, at="198.51.100.7"), set()
    for login, secret, code in (
        ("nobody", password, None),
        ("anna", "wrong", anna.code()),
        ("anna", password, "000000"),
        ("anna", password, None),
        ("bea", ended, None),
    ):
        assert 401 == stranger.signs_in(secret, code, login=login)
        told.add(stranger.answer.text)

    assert 1 == len(told)


def test_nobody_guesses_a_code(app, lab, anna, password):
    """After five wrong ones, from wherever, the right one opens nothing either, for 15 minutes."""
    later(lab, minutes=1)
    right = anna.code()
    wrong = [f"{(int(right) + n) % 1_000_000:06}" for n in range(1, 6)]
    for n, code in enumerate(wrong):
        assert 401 == Person(app, lab, at=f"198.51.{n}.7").signs_in(password, code)
    locked = Person(app, lab, at="203.0.113.9").signs_in(password, right)
    later(lab, minutes=15)

    assert 401 == locked
    assert 200 == Person(app, lab, at="203.0.113.9").signs_in(password, anna.code())


def test_a_code_opens_once(app, lab, anna, password):
    """Whoever looks over a shoulder comes too late, and an old code is too old."""
    later(lab, minutes=1)
    code = anna.code()
    codes = [Person(app, lab, at=f"198.51.{n}.7").signs_in(password, code) for n in range(2)]
    old = anna.code()
    later(lab, minutes=2)

    assert [200, 401] == codes
    assert 401 == Person(app, lab).signs_in(password, old)


def test_rights_withdrawn_are_withdrawn_at_once(anna, lab):
    """An open session is no right: each request asks anew."""
    opened = anna.reads_the_queue()
    with lab.work() as work:
        signing_in.member("anna", work).scopes = "read"
    narrowed = anna.reads_the_queue(), anna.acts()
    with lab.work() as work:
        signing_in.dismiss("anna", work)

    assert (200, 403, 403) == (opened, *narrowed)
    assert (NOT_HER, NOT_HER) == (anna.reads_the_queue(), anna.acts())
    assert NOT_HER == anna.client.get("/account").status_code


def test_a_session_that_was_foisted_on_somebody_stays_worthless(app, lab, anna, password):
    """Fixation: what an attacker set as cookie before is not what opens afterwards."""
    later(lab, minutes=1)
    attacker, victim = (Person(app, lab, at=f"198.51.{n}.7") for n in range(2))
    with lab.work() as work:
        theirs = signing_in.recruit("mallory", "read", work, NOW)
    attacker.signs_in(theirs, login="mallory")
    foisted = [attacker.client.cookies["livinglab"], "chosen-by-the-attacker"]
    for cookie in foisted:
        victim.client.cookies.set("livinglab", cookie, domain="lab.test")
        assert 200 == victim.signs_in(password, anna.code())
        assert victim.reads_the_queue() == 200
        later(lab, minutes=1)
        attacker.client.cookies.clear()
        attacker.client.cookies.set("livinglab", cookie)
        assert NOT_HER == attacker.client.get("/account").status_code


def test_the_second_factor_makes_a_new_session(app, lab, password):
    """What was known of the one before opens nothing."""
    person, thief = Person(app, lab), Person(app, lab)
    person.signs_in(password)
    thief.client.cookies.set("livinglab", person.client.cookies["livinglab"])
    person.enrols(password)

    assert (200, NOT_HER) == (person.reads_the_queue(), thief.reads_the_queue())


@pytest.mark.parametrize("guard", [{}, ASIDE, {"X-CSRF-Token": ""}])
def test_another_page_changes_nothing(anna, lab, guard):
    """CSRF: the cookie comes along, but not what only the lab's own page knows."""
    assert NOT_HER == anna.acts(guard)
    with lab.work(write=False) as work:
        assert [] == work.actions.where()
    assert NOT_HER == anna.sends("/sign-out", guard=guard or {"X": "y"})
    assert 200 == anna.reads_the_queue()


def test_the_guard_of_another_session_is_none(app, lab, anna):
    """An attacker who has an account knows their own only."""
    with lab.work() as work:
        theirs = signing_in.recruit("mallory", "read", work, NOW)
    attacker = Person(app, lab, at="198.51.100.7")
    attacker.signs_in(theirs, login="mallory")

    assert NOT_HER == anna.acts(attacker.guard)
    assert 200 == anna.acts()


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain"])
def test_a_form_of_another_page_signs_nobody_in(app, password, kind):
    """A page elsewhere can send forms and text, but no JSON; else it could foist its own login."""
    body = f'{{"login": "anna", "password": "{password}"}}'
    answer = TestClient(app).post("/sign-in", content=body, headers={"Content-Type": kind})

    assert answer.status_code in {415, 422}
    assert "set-cookie" not in answer.headers


def test_sessions_end(app, lab, anna, password):
    """An hour after the last deed, twelve after the first, and when somebody signs out."""
    for _ in range(12):
        later(lab, minutes=59)
        last = anna.reads_the_queue()
    later(lab, minutes=59)
    at_last = anna.reads_the_queue()
    anna.signs_in(password, anna.code())
    later(lab, minutes=60)
    idle = anna.reads_the_queue()
    anna.signs_in(password, anna.code())
    thief = Person(app, lab)
    thief.client.cookies.set("livinglab", anna.client.cookies["livinglab"])
    stolen = thief.reads_the_queue()
    anna.sends("/sign-out")

    assert (200, NOT_HER, NOT_HER, 200) == (last, at_last, idle, stolen)
    assert NOT_HER == thief.reads_the_queue()
    assert "livinglab" not in anna.client.cookies


def test_another_password_ends_other_sessions(app, lab, anna, password):
    """It must be long, must not hold the login, and the old one is asked for."""
    later(lab, minutes=1)
    thief = Person(app, lab, at="198.51.100.7")
    thief.signs_in(password, anna.code())
    new = "correct horse battery"
    refused = [
        anna.sends("/account/password", password=given, new=wanted)
        for given, wanted in ((password, "Anna" * 4), ("wrong", new))
    ]
    later(lab, minutes=1)

    assert [422, 401] == refused
    assert 200 == anna.sends("/account/password", password=password, new=new)
    assert (200, NOT_HER) == (anna.reads_the_queue(), thief.reads_the_queue())
    assert 401 == Person(app, lab, at="203.0.113.9").signs_in(password, anna.code())
    assert 200 == Person(app, lab, at="203.0.113.9").signs_in(new, anna.code())


def test_whoever_lost_everything_begins_anew(app, lab, anna, password):
    """Password and second factor are gone, and so are open sessions."""
    with lab.work() as work:
        new = signing_in.restore("anna", work, lab.vault)
        note = work.staff.one(login="anna").second_factor
    person = Person(app, lab, at="198.51.100.7")

    assert (None, NOT_HER, 401) == (note, anna.reads_the_queue(), person.signs_in(password))
    assert (200, 200) == (person.signs_in(new), person.enrols(new))


def test_the_cookie_is_for_the_lab_alone(app, lab, password):
    """No script reads it, no other site sends it, and over https no other host can set it."""
    plain, safe = Person(app, lab), Person(app, lab, url="https://lab.test")
    plain.signs_in(password)
    safe.signs_in(password)
    of_plain, of_safe = (one.answer.headers["set-cookie"].lower() for one in (plain, safe))

    assert all("httponly; " in one and "samesite=strict" in one for one in (of_plain, of_safe))
    assert of_safe.startswith("__host-livinglab=")
    assert ("; secure" in of_safe, "; secure" in of_plain) == (True, False)
    assert "no-store" == safe.answer.headers["cache-control"]


def test_keys_are_not_found_by_trying(lab, client):
    """None of many opens; soon they are not answered any more, and a right one still is."""
    with lab.work() as work:
        secret = keying.create("desk", "moderate", work, NOW)

    def asks(key):
        told = client.get("/moderation", headers={"Authorization": f"Bearer {key}"})
        return told.status_code

    tried = [asks(f"{secret[:-3]}{n:03}") for n in range(200)]
    assert {401, 429} == set(tried)
    assert tried.count(401) < 70
    assert 200 == asks(secret)


def test_no_key_passes_for_a_person(lab):
    """Names tell who decided."""
    with lab.work() as work, pytest.raises(signing_in.InvalidError, match="marks people"):
        keying.create("staff:anna", "moderate", work, NOW)
