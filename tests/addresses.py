"""Addresses of the test city, as files and as a Nominatim server would tell them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from livinglab.domain.addresses import words_of

ADDRESSES = (
    ("Calle Mayor", "11", 6.0510, 45.0500),
    ("Calle Mayor", "12", 6.0512, 45.0500),
    ("Calle Mayor", "13", 6.0514, 45.0500),
    ("Calle Mayor Alta", "12", 6.0700, 45.0600),
    ("Plaza de la Constitución", "1", 6.0600, 45.0700),
    ("Hauptstraße", "7b", 6.0800, 45.0200),
    ("شارع الحرية", "5", 6.0900, 45.0300),
    ("Mill Lane", "3", 6.0100, 45.0100),
    ("Mill Lane", "3", 6.0900, 45.0900),
)
"""Street, number, longitude, latitude. There are two Mill Lanes."""


def write_csv(path: Path) -> Path:
    """Write them as a table, as Excel would."""
    rows = (f"{street};{number};{lat};{lon};Testcity" for street, number, lon, lat in ADDRESSES)
    text = "\n".join(("Street;Number;Lat;Lon;City", *rows, ";;45;6;", "Nowhere;1;;;Testcity"))
    path.write_text(text, encoding="utf-8-sig")
    return path


def write_geojson(path: Path) -> Path:
    """Write them as features of OpenStreetMap."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [lon, lat]},
            "properties": {"addr:street": street, "addr:housenumber": number},
        }
        for street, number, lon, lat in ADDRESSES
    ]
    broken = [{"type": "Feature", "geometry": None, "properties": {"name": "Nowhere"}}, 7]
    document = {"type": "FeatureCollection", "features": [*features, *broken]}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


class Nominatim:
    """A server that finds what holds every word; *body* makes it answer something else."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.agents: list[str | None] = []
        self.body: bytes | None = None
        self.status = 200
        self.url = ""

    def answer(self, query: dict[str, str]) -> bytes:
        """Answer as jsonv2."""
        if self.body is not None:
            return self.body
        asked = words_of(query["q"])
        wanted = {*asked.names, *asked.houses}
        rows = []
        for street, number, lon, lat in ADDRESSES:
            names, houses = words_of(f"{street} {number} Testcity")
            if wanted <= {*names, *houses}:
                label = f"{number}, {street}, Testcity, 39001, Testland"
                rows.append({"display_name": label, "lat": str(lat), "lon": str(lon)})
        return json.dumps(rows[: int(query["limit"])]).encode()

    @contextmanager
    def serving(self) -> Iterator["Nominatim"]:
        """Answer for as long as the block lasts."""
        nominatim = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                nominatim.asked.append({"path": parts.path, **query})
                nominatim.agents.append(self.headers["User-Agent"])
                body = nominatim.answer(query)
                self.send_response(nominatim.status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/nominatim/"
        thread = Thread(target=server.serve_forever, args=(0.01,), name="nominatim")
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
