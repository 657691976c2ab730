"""More citizens post at once than there are threads."""

import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx2
import uvicorn

from api.app import create_app


def test_a_crowd_is_served(lab):
    """Eighty at once: nobody waits for a thread that those waiting for the store hold."""
    key = {"Authorization": "Bearer submit-secret"}
    body = {"category": "traffic", "place": "square"}
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(lab), log_level="error"))
        serving = threading.Thread(target=server.run, args=([listening],), name="api")
        serving.start()
        try:
            while not server.started:
                time.sleep(0.01)
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/observations"
            together = threading.Barrier(80)

            def post(_: int) -> int:
                together.wait(10)
                said = body | {"client_key": str(uuid4())}
                return httpx2.post(url, json=said, headers=key, timeout=30).status_code

            with ThreadPoolExecutor(80) as crowd:
                found = Counter(crowd.map(post, range(80)))
        finally:
            server.should_exit = True
            serving.join()

    assert {201: 80} == found
