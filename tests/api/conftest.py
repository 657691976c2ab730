"""A lab in memory behind its real front door."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from livinglab.adapters.clocks import SettableClock
from livinglab.bootstrap import Lab, open_lab
from livinglab.cli.registry import new_key
from livinglab.config import DEFAULT_CATEGORIES, CityFile, Settings
from livinglab.domain.geometry import Point
from livinglab.domain.places import City, Place, Zone, ZoneKind
from livinglab.wire.routes import Route

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab with one Zone, two Places, and a clock that stands still."""
    ring = (Point(6.0, 45.0), Point(6.1, 45.0), Point(6.1, 45.1), Point(6.0, 45.1))
    city = CityFile(
        city=City(key="testcity", name="Testcity", timezone="Europe/Paris"),
        zones=(
            Zone(
                key="centre",
                kind=ZoneKind.DISTRICT,
                name="Centre",
                residents=900,
                counted=date(2025, 1, 1),
                ring=ring,
            ),
        ),
        places=(
            Place(key="square", name="The Square", lon=6.05, lat=45.05),
            Place(key="bridge", name="The Bridge", lon=6.06, lat=45.05),
        ),
        categories={row.key: row for row in DEFAULT_CATEGORIES},
        routes=(
            Route(
                name="lab",
                filter="lab/{thing}/{property}",
                format="lab",
                scheme="lab",
                confirm=True,
            ),
            Route(name="new", filter="new/{thing}/{property}", format="lab", scheme="new"),
        ),
    )
    settings = Settings(
        data=tmp_path, readings="memory:", civic="memory:", vault="memory:", media="memory:"
    )
    opened = open_lab(settings, city=city, clock=SettableClock(NOW))
    with opened.work() as work:
        for scope in ("submit", "moderate", "plan", "admin"):
            work.keys.add(new_key(scope, scope, f"{scope}-secret"))
    yield opened
    opened.close()


@pytest.fixture
def client(lab: Lab) -> Iterator[TestClient]:
    """A program that asks it."""
    with TestClient(create_app(lab), raise_server_exceptions=False) as asking:
        yield asking
