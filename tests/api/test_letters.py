"""Letters: proved addresses, one letter a day, and its end by one click."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from ingest.nightly import look_after, write_letters
from livinglab.adapters.mail import MemoryMailer
from livinglab.bootstrap import office_of
from livinglab.domain.notices import MOST_LINES, Topic
from livinglab.errors import LetterRefusedError, UnavailableError
from livinglab.services import mailing

ANNA, BEA, CARL = ({"X-Contributor": name * 30} for name in "abc")
MODERATOR = {"Authorization": "Bearer moderate-secret"}
PLANNER = {"Authorization": "Bearer plan-secret"}
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EVENING = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
"""18:00 in Paris."""


class Post(MemoryMailer):
    """Keeps letters; it may be away, or refuse an address."""

    away, refused = False, ""

    def send(self, letter):
        if self.away:
            raise UnavailableError("the mail server", "does not answer")
        if letter.to == self.refused:
            raise LetterRefusedError("the mail server says 550")
        super().send(letter)


@pytest.fixture
def post(lab):
    lab.mailer = Post()
    lab.settings = lab.settings.model_copy(update={"public_url": "https://lab.example"})
    return lab.mailer


@pytest.fixture
def city(lab, post):
    assert office_of(lab).mailer is post
    return TestClient(create_app(lab), raise_server_exceptions=False)


def says(city, who, **more):
    body = {"client_key": str(uuid4()), "category": "street", "place": "square", "text": "a hole"}
    return city.post("/observations", json=body | more, headers=who).json()["id"]


def proves(city, post, who, email, lang="en"):
    sent = city.post("/me/email", json={"email": email, "lang": lang}, headers=who)
    assert 202 == sent.status_code, sent.text
    code = re.search(r"[2-9A-Z]{8}", post.sent.pop().text)[0]
    body = {"email": email, "lang": lang, "code": code}
    assert 200 == city.post("/me/email/verify", json=body, headers=who).status_code


def closes(city, id_, outcome="fixed"):
    body = {"outcome": outcome, "note": "filled with asphalt"}
    assert 200 == city.post(f"/moderation/{id_}/close", json=body, headers=MODERATOR).status_code


def night(lab, at=EVENING):
    if at > lab.clock.now():
        lab.clock.advance_to(at)
    return mailing.send_digests(office_of(lab), lab.civic, lab.clock.now())


def test_who_spoke_hears_of_it_once_a_day(lab, city, post):
    """Not before the evening, all in one letter, nothing twice."""
    first, second = says(city, ANNA), says(city, ANNA, category="bus")
    proves(city, post, ANNA, "anna@example.org")
    closes(city, first)
    closes(city, second, "not_ours")
    counts = [night(lab, EVENING - timedelta(minutes=1)), night(lab), night(lab)]
    [letter] = post.sent

    assert [0, 1, 0] == counts
    assert "anna@example.org" == letter.to
    where = "\u2068Street and pavement\u2069, \u2068The Square\u2069"
    assert f"{where}: closed. It is fixed." in letter.text
    assert "The city is not responsible for it." in letter.text
    assert "> filled with asphalt" in letter.text
    assert f"https://lab.example/observations/{first}" in letter.text
    assert "a hole" not in letter.text

    third = says(city, ANNA)
    closes(city, third)
    later = [night(lab, EVENING + wait) for wait in (timedelta(hours=2), timedelta(days=1))]
    assert [0, 1] == later


def test_opposers_hear_the_answer_like_supporters(lab, city, post):
    """And who said the same; each once, though the same answer is published again unchanged."""
    one = says(city, ANNA)
    incident = city.get(f"/observations/{one}").json()["incident"]
    says(city, BEA, incident=incident)
    for who, stance in ((CARL, "against"), ({"X-Contributor": "d" * 30}, "for")):
        city.post(f"/observations/{one}/supports", json={"stance": stance}, headers=who)
    people = {"anna": ANNA, "bea": BEA, "carl": CARL, "dora": {"X-Contributor": "d" * 30}}
    for n, (name, who) in enumerate(people.items()):
        lab.clock.advance_to(lab.clock.now() + timedelta(minutes=1))
        create = TestClient(create_app(lab), client=(f"192.0.{n}.1", 1))
        proves(create, post, who, f"{name}@example.org")
    answer = {
        "key": "lamp",
        "subject": f"observation:{one}",
        "you_said": "there is a hole",
        "why_not": "the street belongs to the region",
        "department": "Roads",
    }
    city.post("/responses", json=answer, headers=PLANNER)

    assert 4 == night(lab)
    assert {f"{name}@example.org" for name in people} == {each.to for each in post.sent}
    assert all("> the street belongs to the region" in each.text for each in post.sent)


def test_nobody_reads_letters_of_another_address(lab, city, post):
    """Wrong, old and worn-out codes open nothing, nor does the right one for another address."""
    says(city, ANNA)
    city.post("/me/email", json={"email": "anna@example.org"}, headers=ANNA)
    code = re.search(r"[2-9A-Z]{8}", post.sent.pop().text)[0]

    def tries(given, email="anna@example.org", who=ANNA):
        body = {"email": email, "code": given}
        return city.post("/me/email/verify", json=body, headers=who).status_code

    says(city, BEA)
    tried = [tries("22222222"), tries(code, "eve@example.org"), tries(code, who=BEA)]
    tried += [tries("22222222") for _ in range(3)]
    assert [401] * 6 == tried
    assert 401 == tries(code)

    city.post("/me/email", json={"email": "anna@example.org"}, headers=ANNA)
    code = re.search(r"[2-9A-Z]{8}", post.sent.pop().text)[0]
    lab.clock.advance_to(lab.clock.now() + timedelta(minutes=30))
    assert 401 == tries(code)
    assert [] == lab.vault.mailboxes()


def test_nobody_is_flooded_with_codes(city, post):
    """Five a minute from one network."""
    says(city, ANNA)
    answers = [
        city.post("/me/email", json={"email": f"v{n}@example.org"}, headers=ANNA).status_code
        for n in range(6)
    ]
    assert [202] * 5 + [429] == answers
    assert 5 == len(post.sent)


@pytest.mark.parametrize(
    "email", ["a@b", "a b@c.de", "a@c.de,b@c.de", "a@c.de\nBcc: x@y.z", "<a@c.de>", "@c.de"]
)
def test_what_is_no_address_is_refused(city, post, email):
    """Before anything is sent."""
    says(city, ANNA)
    answer = city.post("/me/email", json={"email": email}, headers=ANNA)
    assert (422, []) == (answer.status_code, post.sent)


def test_one_click_ends_it(lab, city, post):
    """A look at the link changes nothing, as mail programs follow links; a POST needs no login."""
    one = says(city, ANNA)
    proves(city, post, ANNA, "anna@example.org", "ar")
    closes(city, one)
    night(lab)
    link = post.sent[0].unsubscribe.removeprefix("https://lab.example")
    page = city.get(link)
    still = len(lab.vault.mailboxes())
    done = city.post(link, data={"List-Unsubscribe": "One-Click"})
    again = city.post(link)
    closes(city, says(city, ANNA))

    assert post.sent[0].unsubscribe in post.sent[0].text
    assert (200, 1, 200) == (page.status_code, still, done.status_code)
    assert 'lang="ar" dir="rtl"' in page.text
    assert mailing.words("ar")["unsubscribe_done"] in done.text
    assert mailing.words("en")["unsubscribe_unknown"] in again.text
    assert ([], 0) == (lab.vault.mailboxes(), night(lab, EVENING + timedelta(days=1)))


def test_topics_are_chosen(lab, city, post):
    """What somebody does not want to hear of is not even noted."""
    one = says(city, ANNA)
    proves(city, post, ANNA, "anna@example.org")
    every = city.get("/me/topics", headers=ANNA).json()
    left = city.put("/me/topics", json={"topics": ["questions"]}, headers=ANNA).json()
    closes(city, one)

    assert ["answers", "questions"] == every["topics"]
    assert {"topics": ["questions"]} == left == city.get("/me/topics", headers=ANNA).json()
    assert 0 == night(lab)
    assert 401 == city.get("/me/topics").status_code


def test_after_four_weeks_it_is_asked_whether_it_was_fixed(lab, city, post):
    """Once; not of what was opened again, answered already, or closed lately."""
    ids = [says(city, ANNA) for _ in range(4)]
    proves(city, post, ANNA, "anna@example.org")
    for id_ in ids[:3]:
        closes(city, id_)
    city.put("/me/topics", json={"topics": ["questions"]}, headers=ANNA)
    city.post(f"/observations/{ids[1]}/confirmation", json={"fixed": False}, headers=ANNA)
    city.post(f"/observations/{ids[2]}/confirmation", json={"fixed": True}, headers=ANNA)
    for days in (27, 29, 30):
        lab.clock.advance_to(EVENING + timedelta(days=days, hours=1))
        look_after(lab)
        write_letters(lab)
    with lab.work(write=False) as work:
        asked = work.notices.where(topic=Topic.QUESTIONS)

    assert [ids[0]] == [one.facts["observation"] for one in asked]
    assert 1 == len(post.sent)
    assert "Was it fixed?" in post.sent[0].text


def test_long_letters_are_cut(lab, city, post):
    """Twenty lines, and how many there are besides."""
    for n in range(MOST_LINES + 3):
        caller = TestClient(create_app(lab), client=(f"192.0.{n}.1", 1))
        closes(city, says(caller, ANNA))
    proves(city, post, ANNA, "anna@example.org")

    assert 1 == night(lab)
    assert MOST_LINES == post.sent[0].text.count("It is fixed.")
    assert "And 3 more." in post.sent[0].text


def test_a_letter_that_was_interrupted_comes_under_the_same_name(lab, city, post, monkeypatch):
    """The server took it, and the lab was killed before it noted so."""
    one = says(city, ANNA)
    proves(city, post, ANNA, "anna@example.org")
    closes(city, one)
    lab.clock.advance_to(EVENING)
    office = office_of(lab)

    class KilledError(Exception):
        pass

    def taken(letter):
        post.sent.append(letter)
        raise KilledError

    monkeypatch.setattr(post, "send", taken)
    with pytest.raises(KilledError):
        mailing.send_digests(office, lab.civic, lab.clock.now())
    monkeypatch.undo()
    mailing.send_digests(office, lab.civic, lab.clock.now())

    assert 2 == len(post.sent)
    assert 1 == len({each.message_id for each in post.sent})


def test_a_server_that_is_away_costs_nothing(lab, city, post):
    """What waits is sent when it is back; one address that is refused costs no other."""
    for who, name in ((ANNA, "anna"), (BEA, "bea")):
        one = says(city, who)
        proves(city, post, who, f"{name}@example.org")
        closes(city, one)
    post.away = True
    with pytest.raises(UnavailableError):
        night(lab)
    post.away, post.refused = False, "anna@example.org"

    assert 1 == night(lab, EVENING + timedelta(hours=1))
    assert ["bea@example.org"] == [each.to for each in post.sent]
    assert 0 == night(lab, EVENING + timedelta(days=1))


def test_a_lab_without_mail_says_so(client, lab):
    """And keeps what is new for three months."""
    one = says(client, ANNA)
    closes(client, one)
    answer = client.post("/me/email", json={"email": "anna@example.org"}, headers=ANNA)
    with lab.work(write=False) as work:
        assert 1 == work.notices.count()
    for days, left in ((89, 1), (91, 0)):
        lab.clock.advance_to(NOW + timedelta(days=days))
        look_after(lab)
        with lab.work(write=False) as work:
            assert left == work.notices.count()

    assert (503, True) == (answer.status_code, "sends no letters" in answer.text)


def test_every_language_says_everything():
    """With the same names to fill in."""

    def names(told, path=""):
        for key, text in told.items():
            if isinstance(text, dict):
                yield from names(text, f"{key}.")
            else:
                yield path + key, frozenset(re.findall(r"{(\w+)}", text)), bool(text.strip())

    english = set(names(mailing.words("en")))
    for lang in mailing.LANGUAGES:
        assert english == set(names(mailing.words(lang))), lang
    assert mailing.words("pt-BR") == mailing.words("en")
