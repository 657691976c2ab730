"""Mailers: letters by SMTP, or kept in memory."""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from threading import Lock
from typing import Final
from urllib.parse import unquote, urlsplit

from livinglab.domain.notices import Letter
from livinglab.errors import LetterRefusedError, SettingsError, UnavailableError

SETTING: Final = "LIVINGLAB_SMTP"
PART: Final = "the mail server"
SECONDS: Final = 20.0
PERMANENT: Final = 500
"""From this reply code on another try is refused as well (RFC 5321, 4.2.1)."""


def message_of(letter: Letter, sender: str) -> EmailMessage:
    """Write a letter as mail programs read it.

    Raises:
        LetterRefusedError: An address or a header holds what would begin another header.
    """
    made = EmailMessage()
    try:
        made["From"], made["To"], made["Subject"] = sender, letter.to, letter.subject
        made["Message-ID"], made["Date"] = letter.message_id, formatdate()
        made["Auto-Submitted"] = "auto-generated"
        if letter.unsubscribe is not None:
            made["List-Unsubscribe"] = f"<{letter.unsubscribe}>"
            made["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        one = not made["To"].defects and len(made["To"].addresses) == 1
    except (ValueError, IndexError) as error:
        raise LetterRefusedError("its head holds what no head may") from error
    if not one:
        raise LetterRefusedError("it goes to no single address")
    made.set_content(letter.text)
    return made


class SmtpMailer:
    """Hands letters to a mail server, each over a connection of its own."""

    def __init__(self, url: str, *, sender: str, password: str | None = None) -> None:
        """Prepare to send; nobody is asked yet.

        Args:
            url: ``smtp://[USER@]HOST[:PORT]`` or ``smtps://…``.
            sender: Address that letters come from.
            password: Of the user.

        Raises:
            SettingsError: It is no such URL.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or port == -1:
            raise SettingsError(SETTING, "is no mail server", "write smtp://[USER@]HOST[:PORT]")
        if parts.password is not None:
            raise SettingsError(SETTING, "holds a password", "name its file: ..._PASSWORD_FILE")
        self._tls = parts.scheme == "smtps"
        self._host, self._port = parts.hostname, port or (465 if self._tls else 25)
        self._user = unquote(parts.username) if parts.username else None
        self._password, self._sender = password, sender

    def send(self, letter: Letter) -> None:
        """Hand a letter over: see `ports.Mailer`."""
        made = message_of(letter, self._sender)
        try:
            with self._connected() as server:
                server.send_message(made)
        except smtplib.SMTPRecipientsRefused as error:
            [(code, _)] = error.recipients.values()
            if code >= PERMANENT:
                raise LetterRefusedError(f"the mail server says {code}") from error
            raise UnavailableError(PART, f"answers {code}") from error
        except smtplib.SMTPNotSupportedError as error:
            raise LetterRefusedError("the mail server knows no such address") from error
        except smtplib.SMTPResponseException as error:
            raise UnavailableError(PART, f"answers {error.smtp_code}") from error
        except (OSError, smtplib.SMTPException) as error:
            raise UnavailableError(PART, "does not answer") from error

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=SECONDS, context=context
            )
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=SECONDS)
        try:
            server.ehlo()
            safe = self._tls
            if not safe and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
                safe = True
            self._introduce(server, safe=safe)
        except BaseException:
            server.close()
            raise
        return server

    def _introduce(self, server: smtplib.SMTP, *, safe: bool) -> None:
        if self._user is None:
            return
        if not safe:
            raise UnavailableError(PART, "offers no TLS, so it is not told the password")
        server.login(self._user, self._password or "")


class MemoryMailer:
    """Keeps letters, for tests and for looking at them."""

    def __init__(self) -> None:
        """Begin without any."""
        self.sent: list[Letter] = []
        self._lock = Lock()

    def send(self, letter: Letter) -> None:
        """Keep a letter: see `ports.Mailer`."""
        message_of(letter, "lab@localhost")
        with self._lock:
            self.sent.append(letter)
