"""Bench: what a map asks of a city of 5,000 Places and 60,000 Observations, through the front door.

The lab keeps them in SQLite; the API answers in this process. Each query is asked many times, of
the whole city and of a quarter of its width.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from fastapi.testclient import TestClient
from rich.console import Console
from rich.table import Table

from api.app import create_app
from livinglab.bootstrap import Lab, open_lab
from livinglab.config import Settings
from livinglab.domain.geometry import Point
from livinglab.domain.places import Place
from livinglab.services import linking
from livinglab.services.grounding import LoadedGround
from livinglab.services.observing import Draft, People, compose

PLACES = 5_000
OBSERVATIONS = 60_000
PEOPLE = 300
CITY, PART = "6,45,6.1,45.1", "6.02,45.02,6.045,45.045"
QUERIES = (
    f"/places?bbox={CITY}",
    f"/places?bbox={PART}",
    f"/observations?bbox={CITY}",
    f"/observations?bbox={PART}",
    f"/observations?bbox={CITY}&category=street&status=open",
    f"/incidents?bbox={CITY}",
    "/places/p100",
)


def fill(lab: Lab) -> None:
    """Have Places on a grid, and Observations all over them."""
    with lab.work() as work:
        for n in range(PLACES):
            x, y = n % 71, n // 71
            work.places.add(Place(key=f"p{n}", name=f"P{n}", lon=6 + x / 700, lat=45 + y / 700))
        ground = LoadedGround(work)
    now, street = lab.clock.now(), lab.categories["street"]
    for first in range(0, OBSERVATIONS, 1_000):
        some = range(first, first + 1_000)
        with lab.work() as work:
            ground.continue_in(work)
            people, postings = People(work, now), []
            for n in some:
                person = people.who(f"person {n % PEOPLE}")
                people.came(person)
                point = Point(6 + n * 7919 % 5_000 / 50_000, 45 + n * 104_729 % 5_000 / 50_000)
                draft = Draft(client_key=uuid4(), category=street.key, point=point)
                one = compose(draft, street, person, ground, now=now)
                incident, member = linking.begun(one.observation, now, by="bench")
                postings.append(replace(one, incident=incident, member=member))
            people.keep()
            work.observations.add_all(postings)


def main() -> None:
    """Ask each query, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        lab = open_lab(Settings(data=Path(folder), readings="memory:"))
        fill(lab)
        with TestClient(create_app(lab)) as client:
            for query in QUERIES:
                took = []
                for _ in range(options.times):
                    begun = time.perf_counter()
                    answer = client.get(query)
                    took.append((time.perf_counter() - begun) * 1_000)
                    if not answer.is_success:
                        sys.exit(f"{query}: {answer.status_code}")
                found[query] = {
                    "median_ms": statistics.median(took),
                    "p95_ms": statistics.quantiles(took, n=20)[18],
                }
        lab.close()
    if options.json:
        sys.stdout.write(json.dumps({"cores": os.cpu_count(), **found}, indent=1) + "\n")
        return
    table = Table(title=f"{PLACES:,} Places, {OBSERVATIONS:,} Observations, {os.cpu_count()} cores")
    for column in ("", "median ms", "p95 ms"):
        table.add_column(column, justify="right")
    for query, one in found.items():
        table.add_row(query, f"{one['median_ms']:.1f}", f"{one['p95_ms']:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
