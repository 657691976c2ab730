"""SMS gateways: short messages handed over by HTTP, signed like the calls that come from there."""

import hmac
import json
import time
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

from livinglab.domain.notices import Letter
from livinglab.domain.texting import TEL
from livinglab.errors import LetterRefusedError, SettingsError, UnavailableError

SETTING: Final = "LIVINGLAB_SMS"
PART: Final = "the SMS gateway"
SECONDS: Final = 20.0
LATER: Final = frozenset({408, 425, 429})
"""States that pass, beside those from 500 on."""


class HttpTexter:
    """Posts each message to a gateway as JSON: ``to``, ``text`` and ``id``."""

    def __init__(self, url: str, secret: str) -> None:
        """Prepare to send; nobody is asked yet.

        Args:
            url: Where messages are posted.
            secret: What they are signed with, as `services.texting.is_genuine` reads it.

        Raises:
            SettingsError: It is no such URL.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1:
            raise SettingsError(SETTING, "is no gateway", "write https://HOST[:PORT]/PATH")
        if parts.username or parts.password:
            raise SettingsError(SETTING, "holds a secret", "name its file: ..._SECRET_FILE")
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port = parts.hostname, port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secret = secret.encode()

    def send(self, letter: Letter) -> None:
        """Hand a message over: see `ports.Mailer`."""
        told = {
            "to": letter.to.removeprefix(TEL),
            "text": letter.text,
            "id": letter.message_id.strip("<>"),
        }
        body, stamp = json.dumps(told, ensure_ascii=False).encode(), str(int(time.time()))
        signature = hmac.digest(self._secret, stamp.encode() + b"." + body, "sha256").hex()
        headers = {
            "Content-Type": "application/json",
            "X-Timestamp": stamp,
            "X-Signature": f"sha256={signature}",
            "User-Agent": "livinglab",
        }
        connection = self._kind(self._host, self._port, timeout=SECONDS)
        try:
            connection.request("POST", self._path, body, headers)
            status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            raise UnavailableError(PART, "does not answer") from error
        finally:
            connection.close()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in LATER:
            raise UnavailableError(PART, f"answers {status}")
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise LetterRefusedError(f"the gateway says {status}")
