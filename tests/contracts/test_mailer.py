"""What every Mailer promises: a letter is handed over whole and once, or refused with a reason."""

from dataclasses import replace
from email import message_from_bytes, policy

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from livinglab.adapters.mail import MemoryMailer, SmtpMailer, message_of
from livinglab.adapters.mqtt.local import free_port
from livinglab.domain.notices import Letter
from livinglab.errors import LetterRefusedError, SettingsError, UnavailableError

LETTER = Letter(
    to="anna@example.org",
    subject="Ciudad: novedades – مدينة",
    text="Línea uno\n.\nfin\n",
    message_id="<1@lab.example>",
    unsubscribe="https://lab.example/unsubscribe/t",
)


class Server:
    """A real SMTP server in this process that keeps what it takes, and says no to some."""

    def __init__(self):
        self.taken, self.answer = [], "250 taken"

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802 - aiosmtpd's name
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        if address.startswith("later@"):
            return "451 try again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd's name
        if self.answer.startswith("250"):
            self.taken.append((envelope.rcpt_tos, envelope.content))
        return self.answer


@pytest.fixture
def server():
    kept = Server()
    controller = Controller(kept, hostname="127.0.0.1", port=free_port())
    controller.start()
    kept.url = f"smtp://127.0.0.1:{controller.port}"
    yield kept
    controller.stop()


@pytest.fixture(params=["memory", "smtp"])
def mailer(request):
    """Every adapter."""
    if request.param == "memory":
        return MemoryMailer()
    return SmtpMailer(request.getfixturevalue("server").url, sender="lab@example.org")


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": "anna@example.org\nBcc: all@example.org"},
        {"to": "a@example.org, b@example.org"},
        {"to": "nobody"},
        {"subject": "x\r\nBcc: all@example.org"},
        {"message_id": "<1@x>\nX: y"},
    ],
)
def test_no_letter_brings_headers_of_its_own(mailer, wrong):
    """Nor goes to several people, or to none."""
    with pytest.raises(LetterRefusedError):
        mailer.send(replace(LETTER, **wrong))


def test_a_letter_is_handed_over(mailer):
    """And another one after it."""
    mailer.send(LETTER)
    mailer.send(replace(LETTER, to="bea@example.org"))


def test_it_arrives_as_it_was_written(server):
    """Words of every script, lines that begin with a dot, the header that ends it by one click."""
    SmtpMailer(server.url, sender="lab@example.org").send(LETTER)
    [(people, content)] = server.taken
    read = message_from_bytes(content, policy=policy.default)

    assert ["anna@example.org"] == people
    assert (LETTER.subject, LETTER.message_id) == (read["Subject"], read["Message-ID"])
    assert LETTER.text.splitlines() == read.get_content().splitlines()
    assert "<https://lab.example/unsubscribe/t>" == read["List-Unsubscribe"]
    assert "List-Unsubscribe=One-Click" == read["List-Unsubscribe-Post"]
    assert None is message_of(replace(LETTER, unsubscribe=None), "a@b.c")["List-Unsubscribe"]


def test_never_and_not_now_are_told_apart(server):
    """What will never be taken is not tried again; what the server cannot do now is."""
    mailer = SmtpMailer(server.url, sender="lab@example.org")
    with pytest.raises(LetterRefusedError):
        mailer.send(replace(LETTER, to="nobody@example.org"))
    with pytest.raises(UnavailableError):
        mailer.send(replace(LETTER, to="later@example.org"))
    server.answer = "452 disk full"
    with pytest.raises(UnavailableError):
        mailer.send(LETTER)
    with pytest.raises(UnavailableError):
        SmtpMailer(f"smtp://127.0.0.1:{free_port()}", sender="lab@example.org").send(LETTER)

    assert [] == server.taken


def test_no_password_goes_over_an_open_line():
    """A server without TLS is not told it, even if it asks."""
    heard = []

    def listens(_server, _session, _envelope, mechanism, given):
        heard.append((mechanism, given))
        return AuthResult(success=True)

    controller = Controller(
        Server(),
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=listens,
        auth_require_tls=False,
    )
    controller.start()
    url = f"smtp://lab@127.0.0.1:{controller.port}"
    try:
        with pytest.raises(UnavailableError, match="offers no TLS"):
            SmtpMailer(url, sender="lab@example.org", password="s3cret").send(LETTER)
        assert [] == heard
    finally:
        controller.stop()


@pytest.mark.parametrize("url", ["http://x", "smtp://", "smtp://h:port", "smtp://u:p@h"])
def test_what_is_no_mail_server_is_told(url):
    """A password in a URL would stand in logs."""
    with pytest.raises(SettingsError):
        SmtpMailer(url, sender="lab@example.org")
