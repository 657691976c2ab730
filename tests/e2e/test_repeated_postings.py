"""One posting that comes 600 times by a channel, while the server is killed, is one Observation."""

import csv
import hmac
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx2 as httpx
import pytest

from livinglab.adapters.mqtt.local import free_port
from livinglab.adapters.relational.unit_of_work import SqlCivicStore
from livinglab.domain.places import Place
from livinglab.ports import ObservationFilter
from livinglab.services.keying import new_key
from tests.e2e.killing import Lab
from tests.photos import encoded, scene

pytestmark = pytest.mark.slow

SENDINGS = 600
AT_ONCE = 16
DEVICE = {"X-Contributor": "d" * 22}
GATEWAY = {"Authorization": "Bearer gateway-secret"}
SMS_SECRET = "shared with the gateway"
TIMEOUT_S = 60.0


class Server(Lab):
    """The API in a process of its own."""

    def __init__(self, folder: Path) -> None:
        secret = folder.with_name("sms-secret")
        secret.write_text(SMS_SECRET)
        super().__init__(
            folder,
            1,
            LIVINGLAB_POST_LIMIT="1000000",
            LIVINGLAB_READINGS="memory:",
            LIVINGLAB_SMS_SECRET_FILE=str(secret),
        )
        self.port = free_port()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=TIMEOUT_S)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "livinglab", "api", "--port", str(self.port)],
            env=self.environment,
        )

    def send(self, ask: Callable[[httpx.Client], httpx.Response]) -> httpx.Response:
        """Send until there is an answer, as a telephone without signal does."""
        end = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return ask(self.client)
            except httpx.TransportError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def observations(self) -> Counter[str]:
        """Count by the words that were posted."""
        store = SqlCivicStore.open(self.civic_url)
        with store.work(write=False) as work:
            posted = work.observations.page(ObservationFilter(), limit=10_000)
        store.close()
        return Counter(one.text for one in posted)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A lab that knows a gateway."""
    one = Server(tmp_path / "lab")
    one.folder.mkdir()
    store = SqlCivicStore.open(one.civic_url, migrate=True)
    with store.work() as work:
        work.places.add(Place(key="square", name="Square", lon=6.05, lat=45.05))
        work.keys.add(new_key("gateway", "submit", "gateway-secret", datetime.now(UTC)))
    store.close()
    one.start()
    try:
        yield one
    finally:
        one.end(signal.SIGKILL)
        one.client.close()


def by_json(headers: dict[str, str]) -> Callable[..., httpx.Response]:
    """Post as a page's script or a program does."""

    def ask(client: httpx.Client, key: str, text: str) -> httpx.Response:
        return client.post("/observations", json=_body(key, text), headers=headers)

    return ask


def by_form(client: httpx.Client, key: str, text: str) -> httpx.Response:
    """Post as a page without a script does, with a photo."""
    photo = ("photo.jpg", PHOTO, "image/jpeg")
    fields = _body(key, text) | {"point": "[6.05, 45.05]"}
    return client.post("/observations", data=fields, files={"media": photo}, headers=DEVICE)


def by_open311(client: httpx.Client, key: str, text: str) -> httpx.Response:
    """Post as an application of Open311 does."""
    told = {
        "api_key": "gateway-secret",
        "service_code": "street",
        "lat": "45.05",
        "long": "6.05",
        "description": text,
    }
    headers = {"Idempotency-Key": key}
    return client.post("/open311/v2/requests.json", data=told, headers=headers)


def by_sms(client: httpx.Client, key: str, text: str) -> httpx.Response:
    """Hand a short message over, as a gateway does."""
    body = json.dumps({"id": key, "from": "+33612345678", "text": f"{text} #square"}).encode()
    stamp = str(int(time.time()))
    right = hmac.digest(SMS_SECRET.encode(), stamp.encode() + b"." + body, "sha256").hex()
    headers = {"X-Timestamp": stamp, "X-Signature": f"sha256={right}"}
    return client.post("/sms", content=body, headers=headers)


PHOTO = encoded(scene(), "JPEG")
CHANNELS = {
    "page": by_json(DEVICE),
    "gateway": by_json(GATEWAY),
    "form": by_form,
    "open311": by_open311,
    "sms": by_sms,
}


def _body(key: str, text: str) -> dict[str, object]:
    return {"client_key": key, "category": "street", "text": text, "point": [6.05, 45.05]}


@pytest.mark.parametrize("channel", CHANNELS)
def test_same_posting_600_times(server, channel):
    """Killed at the second hundred: one is kept, other words get 409, a stranger's are another."""
    post, key, text = CHANNELS[channel], str(uuid4()), f"A hole, told by {channel}"
    done, killed = Counter(), threading.Event()

    def send(_: int) -> int:
        status = server.send(lambda client: post(client, key, text)).status_code
        done[status] += 1
        if done.total() >= SENDINGS // 6 and not killed.is_set():
            killed.set()
            server.end(signal.SIGKILL)
            server.start()
        return status

    with ThreadPoolExecutor(AT_ONCE) as crowd:
        found = Counter(crowd.map(send, range(SENDINGS)))
    other = server.send(lambda client: post(client, key, f"{text}, and deep"))
    stranger = server.send(lambda client: post(client, str(uuid4()), text))

    assert killed.is_set()
    assert SENDINGS == found.total()
    assert found.keys() <= {200, 201}
    assert other.status_code == (400 if channel == "open311" else 409), other.text
    assert stranger.status_code in {200, 201}
    assert {text: 2} == server.observations()


def test_same_file_imported_again_after_a_kill(server, tmp_path):
    """An import killed between two commits, and then done twice: each row is kept once."""
    server.end(signal.SIGKILL)
    file, rows = tmp_path / "reports.csv", 3_000
    with file.open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["occurred_at", "category", "lat", "lon", "text", "external_id"])
        table.writerows(
            ["2026-03-01T10:00:00Z", "street", 45.05, 6.05, f"Hole {n}", n] for n in range(rows)
        )
    command = [sys.executable, "-m", "livinglab", "import", "observations", str(file)]
    first = subprocess.Popen(command, env=server.environment)
    while not server.observations() and first.poll() is None:
        time.sleep(0.02)
    first.kill()
    first.wait()
    kept = server.observations().total()
    again = [subprocess.run(command, env=server.environment, check=False) for _ in range(2)]

    assert 0 < kept < rows
    assert [0, 0] == [one.returncode for one in again]
    assert {f"Hole {n}": 1 for n in range(rows)} == server.observations()
