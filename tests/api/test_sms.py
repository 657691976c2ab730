"""SMS: what somebody says by telephone, is asked and hears again; and calls of nobody's gateway."""

import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from livinglab.adapters.sms import HttpTexter
from livinglab.bootstrap import office_of
from livinglab.domain.notices import Letter
from livinglab.domain.observations import Channel, Visibility
from livinglab.errors import ConflictError, LetterRefusedError, SettingsError, UnavailableError
from livinglab.ports import ObservationFilter
from livinglab.services import contributing, mailing, texting

SECRET = "shared-with-the-gateway"
ANNA, BEA = "+33612345678", "+33687654321"
MODERATOR = {"Authorization": "Bearer moderate-secret"}


class Gateway:
    """The city's SMS gateway: signs what it hands over."""

    def __init__(self, lab):
        self.lab, self.client, self._ids = lab, TestClient(create_app(lab)), count()

    def hands_over(self, body, *, secret=SECRET, stamp=None, signature=None):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        stamp = str(int(self.lab.clock.now().timestamp())) if stamp is None else stamp
        right = hmac.digest(secret.encode(), stamp.encode() + b"." + raw, "sha256").hex()
        headers = {"X-Timestamp": stamp, "X-Signature": signature or f"sha256={right}"}
        return self.client.post("/sms", content=raw, headers=headers)

    def says(self, text, sender=ANNA, **more):
        body = {"id": f"m{next(self._ids)}", "from": sender, "text": text} | more
        answer = self.hands_over(body)
        assert 200 == answer.status_code, answer.text
        return answer.json()["reply"]


@pytest.fixture
def gateway(lab, tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    lab.settings = lab.settings.model_copy(
        update={"sms_secret_file": tmp_path / "secret", "public_url": "https://lab.example"}
    )
    return Gateway(lab)


def posted(lab):
    with lab.work(write=False) as work:
        return work.observations.page(ObservationFilter())


def test_place_by_its_code(lab, gateway):
    """In one message, with a theme; the number of the telephone is in the Vault alone."""
    reply = gateway.says("Street and pavement: a hole #square")
    [one] = posted(lab)

    assert "Thank you. Noted: Street and pavement, The Square." in reply
    assert ("square", "street", "a hole") == (one.place, one.category, one.text)
    assert (Channel.SMS, "sms", "m0") == (one.channel, one.source, one.external_id)
    assert Visibility.QUARANTINED is one.visibility
    assert [f"tel:{ANNA}"] == [each.email for each in lab.vault.mailboxes()]
    with lab.work(write=False) as work:
        kept = [vars(work.contributors.get(one.contributor)), vars(one)]
        kept += [vars(each) for each in (*work.conversations.where(), *work.text_messages.where())]
    assert ANNA[-8:] not in str(kept)


def test_who_does_not_say_where_is_asked(lab, gateway):
    """By code or address; the words are those of the first message, once."""
    first = gateway.says("bus the stop is dark")
    second = gateway.says("#nowhere")
    third = gateway.says("The Brigde")
    [one] = posted(lab)

    assert first.startswith("Where is it?")
    assert "no place with the code nowhere" in second
    assert "The Bridge" in third
    assert ("bridge", "bus", "the stop is dark", "m0") == (
        one.place,
        one.category,
        one.text,
        one.external_id,
    )


def test_addresses_that_are_not_clear_are_chosen_by_number(lab, gateway):
    """Or written anew."""
    which = gateway.says("a hole @ the")
    wrong = gateway.says("7")
    done = gateway.says("2.")
    [one] = posted(lab)

    assert which.startswith("Which one?")
    assert "\n1. The " in which
    assert "\n2. The " in which
    assert wrong.startswith(("Which one?", "This address is not known"))
    assert "Noted: Something else" in done
    assert one.place in {"square", "bridge"}
    assert which.split("\n2. ")[1].splitlines()[0] in done


def test_two_people_are_two_conversations(lab, gateway):
    """Neither answers the other's question; the same words of both are two Observations."""
    gateway.says("a hole")
    gateway.says("a hole", sender=BEA)
    gateway.says("#square", sender=BEA)
    gateway.says("#bridge")

    found = {one.place: one.contributor for one in posted(lab)}
    assert {"square", "bridge"} == set(found)
    assert 2 == len(set(found.values()))


def test_a_message_that_comes_often_is_one(lab, gateway):
    """Sixty times at once: one Observation, one answer; other words under its name are refused."""
    body = {"id": "again", "from": ANNA, "text": "a hole #square"}
    lab.settings.__dict__["post_limit"] = 1_000
    gateway.client = TestClient(create_app(lab))
    with ThreadPoolExecutor(8) as several:
        answers = list(several.map(lambda _: gateway.hands_over(body), range(60)))
    other = gateway.hands_over(body | {"text": "something else #square"})

    assert {200} == {one.status_code for one in answers}
    assert 1 == len({one.json()["reply"] for one in answers})
    assert 1 == len(posted(lab))
    assert 409 == other.status_code


def test_two_of_it_at_once_are_answered_alike(lab, gateway, monkeypatch):
    """Where a database lets both in, the second finds out at its end, and learns the answer."""
    answered, first = texting.answer, [True]

    def late(*arguments, **more):
        reply = answered(*arguments, **more)
        if first:
            first.clear()
            raise ConflictError("text_message with id_sha256 is stored already")
        return reply

    monkeypatch.setattr(texting, "answer", late)
    assert "Noted" in gateway.says("a hole #square")
    assert 1 == len(posted(lab))


def test_stop_and_help_in_four_languages(lab, gateway):
    """The word tells the language; what was asked before is forgotten."""
    gateway.says("a hole #square")
    replies = [
        gateway.says(word, sender=f"+3360000000{n}")
        for n, word in enumerate(("Help", "AYUDA", "aide!", "مساعدة"))
    ]
    for lang, reply in zip(mailing.LANGUAGES, replies, strict=True):
        assert mailing.words(lang)["sms"]["help"].format(city="Testcity") == reply
    gateway.says("a bench")
    stopped = gateway.says("Arrêt.")
    asked = gateway.says("a tree")

    assert mailing.words("fr")["sms"]["stopped"] == stopped
    assert mailing.words("fr")["sms"]["where"] == asked
    assert [] == [one for one in lab.vault.mailboxes() if one.email == f"tel:{ANNA}"]
    assert 1 == len(posted(lab))


def test_a_question_lapses(lab, gateway):
    """A day later a message is a new one."""
    gateway.says("a hole")
    lab.clock.advance_to(lab.clock.now() + timedelta(hours=25))
    assert gateway.says("a lamp").startswith("Where is it?")
    gateway.says("#square")

    assert ["a lamp"] == [one.text for one in posted(lab)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"signature": "sha256=" + "0" * 64},
        {"signature": "é"},
        {"secret": "guessed"},
        {"stamp": ""},
        {"stamp": "9" * 30},
        {"stamp": "-1"},
        {"stamp": "1772452000"},
    ],
)
def test_nobody_else_speaks_for_the_gateway(lab, gateway, wrong):
    """Wrong, missing and old signatures are refused before anything is read."""
    if "signature" in wrong and not wrong["signature"].isascii():
        wrong = {"signature": wrong["signature"].encode("latin-1")}
    told = gateway.hands_over({"id": "1", "from": ANNA, "text": "a hole #square"}, **wrong)

    assert 401 == told.status_code
    assert [] == posted(lab)


def test_what_was_overheard_cannot_be_changed(lab, gateway):
    """The signature is of these bytes and this time."""
    stamp = str(int(lab.clock.now().timestamp()))
    raw = json.dumps({"id": "1", "from": ANNA, "text": "a hole #square"}).encode()
    signature = hmac.digest(SECRET.encode(), stamp.encode() + b"." + raw, "sha256").hex()
    changed = gateway.hands_over(raw.replace(b"hole", b"pole"), stamp=stamp, signature=signature)
    lab.clock.advance_to(lab.clock.now() + timedelta(minutes=6))
    late = gateway.hands_over(raw, stamp=stamp, signature=signature)

    assert [401, 401] == [changed.status_code, late.status_code]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"id": "1"}',
        {"id": "1", "from": "anna", "text": "x"},
        {"id": "", "from": ANNA, "text": "x"},
        {"id": "1", "from": ANNA, "text": "x" * 2_000},
    ],
)
def test_what_is_no_message_is_refused(lab, gateway, body):
    """With what is wrong about it."""
    answer = gateway.hands_over(body)
    assert 422 == answer.status_code
    assert [] == posted(lab)


def test_one_telephone_is_heard_so_often(gateway):
    """And the next one all the same."""
    codes = [
        gateway.hands_over({"id": f"x{n}", "from": ANNA, "text": "help"}).status_code
        for n in range(21)
    ]
    assert [200] * 20 + [429] == codes
    gateway.says("help", sender=BEA)


def test_closed_without_a_secret(client):
    """A lab that has no gateway says so."""
    assert 503 == client.post("/sms", json={}).status_code


def test_the_answer_comes_back_by_telephone(lab, gateway):
    """In the evening, by the gateway, signed; few words, and no other citizen's."""
    heard, status = [], [500, 202]

    class Server(BaseHTTPRequestHandler):
        def do_POST(self):
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((raw, self.headers["X-Timestamp"], self.headers["X-Signature"]))
            self.send_response(status.pop(0))
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        lab.texter = HttpTexter(f"http://127.0.0.1:{server.server_port}/send", SECRET)
        for _ in range(5):
            gateway.says("a hole #square")
        for one in posted(lab):
            body = {"outcome": "fixed", "note": "filled"}
            gateway.client.post(f"/moderation/{one.id}/close", json=body, headers=MODERATOR)
        lab.clock.advance_to(lab.clock.now() + timedelta(hours=6))
        office = office_of(lab)
        with pytest.raises(UnavailableError):
            mailing.send_digests(office, lab.civic, lab.clock.now())
        assert 1 == mailing.send_digests(office, lab.civic, lab.clock.now())
    finally:
        server.shutdown()
        server.server_close()
    first, second = (json.loads(raw) for raw, _, _ in heard)
    raw, stamp, signature = heard[1]
    right = hmac.digest(SECRET.encode(), stamp.encode() + b"." + raw, "sha256").hex()

    assert first == second
    assert ANNA == second["to"]
    assert second["text"].startswith("Testcity: ")
    assert 3 == second["text"].count("It is fixed.")
    assert "And 2 more." in second["text"]
    assert f"sha256={right}" == signature


def test_refusals_and_settings():
    """What will never be taken is told apart from what is not taken now."""
    letter = Letter(to="tel:+331", subject="", text="x", message_id="<1@x>")
    for status, error in (
        (400, LetterRefusedError),
        (429, UnavailableError),
        (503, UnavailableError),
    ):

        class Server(BaseHTTPRequestHandler):
            def do_POST(self, status=status):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(error):
                HttpTexter(f"http://127.0.0.1:{server.server_port}", SECRET).send(letter)
        finally:
            server.shutdown()
            server.server_close()
    for url in ("ftp://x", "http://", "http://u:p@x"):
        with pytest.raises(SettingsError):
            HttpTexter(url, SECRET)


def test_who_is_erased_is_forgotten_by_the_telephone(lab, gateway):
    """Words that waited for a Place, too."""
    gateway.says("a hole #square")
    gateway.says("my own words")
    with lab.work() as work:
        who = work.contributors.get(posted(lab)[0].contributor)
        contributing.erase(who, work, lab.vault, lab.media, lab.clock.now())

    with lab.work(write=False) as work:
        assert 0 == work.conversations.count()
    assert [] == lab.vault.mailboxes()
    assert gateway.says("a tree").startswith("Where is it?")


def test_a_message_is_taken_apart(lab):
    """Theme by key or label, code behind #, address behind @."""
    read = texting.read
    said = read("Buses and stops, no  light @  Main Street 1", lab.categories)
    assert ("bus", "no light", "Main Street 1") == (said.category, said.words, said.address)
    said = read("busy street #p.12.", lab.categories)
    assert (None, "busy street", "p.12") == (said.category, said.words, said.place)
    assert "noise" == read("noise", lab.categories).category
