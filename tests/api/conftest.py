"""A lab in memory behind its real front door."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from livinglab.adapters.clocks import SettableClock
from livinglab.bootstrap import Lab, open_lab
from livinglab.config import DEFAULT_CATEGORIES, CityFile, Settings
from livinglab.domain.places import City, Place
from livinglab.services.keying import new_key
from livinglab.wire.routes import Route
from tests.civic_samples import a_zone

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab with one Zone, two Places, and a clock that stands still."""
    city = CityFile(
        city=City(key="testcity", name="Testcity", timezone="Europe/Paris"),
        zones=(a_zone(),),
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
            work.keys.add(new_key(scope, scope, f"{scope}-secret", NOW))
    yield opened
    opened.close()


@pytest.fixture
def client(lab: Lab) -> Iterator[TestClient]:
    """A program that asks it."""
    with TestClient(create_app(lab), raise_server_exceptions=False) as asking:
        yield asking
