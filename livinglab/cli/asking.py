"""Asking the lab that runs on a data folder: it holds the Readings, so commands ask over HTTP."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from livinglab.config import Settings
from livinglab.errors import NotFoundError, UnavailableError

ADDRESS_FILE = "lab.json"
"""In the data folder, mode 0600: where the running lab listens, and a key of scope admin."""
PIECE = 64 * 1024
"""Bytes of an answer that are read at once."""
PATIENCE_S = 600
"""How long the running lab may take for one answer. [s]"""


def ask(
    settings: Settings,
    path: str,
    body: bytes | None = None,
    kind: str = "application/octet-stream",
) -> http.client.HTTPResponse:
    """Ask the running lab, and return its answer to read from.

    Raises:
        NotFoundError: It knows nothing of that name, or may not tell.
        UnavailableError: It does not answer, or refuses.
    """
    with _listening():
        running = json.loads((settings.data / ADDRESS_FILE).read_text(encoding="utf-8"))
        request = urllib.request.Request(  # noqa: S310 - the address is the lab's own, from its file
            f"{running['url']}{path}",
            data=body,
            headers={
                "Authorization": f"Bearer {running['admin_key']}",
                "Content-Type": kind,
            },
        )
        try:
            answer = urllib.request.urlopen(request, timeout=PATIENCE_S)  # noqa: S310 - likewise
        except urllib.error.HTTPError as error:
            facts = _problem(error)
            if "kind" in facts and "key" in facts:
                raise NotFoundError(facts["kind"], facts["key"]) from error
            problem = f"refuses ({facts.get('detail', error.reason)})"
            raise UnavailableError("the running lab", problem) from error
        found: http.client.HTTPResponse = answer
        return found


def pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield an answer as it comes."""
    with answer:
        while True:
            with _listening():
                piece = answer.read(PIECE)
            if not piece:
                return
            yield piece


def told(answer: http.client.HTTPResponse) -> Any:
    """Return the JSON of an answer."""
    with _listening():
        return json.loads(b"".join(pieces(answer)))


@contextmanager
def _listening() -> Iterator[None]:
    """Say it in the lab's own words if the running one falls silent."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise UnavailableError(
            "the running lab",
            f"does not answer ({error})",
            "wait until it is ready, then give the same command again",
        ) from error


def _problem(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        found = json.loads(error.read())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
