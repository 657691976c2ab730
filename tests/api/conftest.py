"""A lab in memory behind its real front door."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Mount

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


def public_paths(app: FastAPI, known: dict[str, str]) -> set[str]:
    """Return every address that can be read, with each parameter filled in."""
    found = set()
    for path in _paths(app.routes):
        for name, value in known.items():
            path = path.replace(f"{{{name}}}", value)  # noqa: PLW2901 - filled in, one by one
        found |= {path.replace("{fmt}", fmt) for fmt in ("json", "xml")}
    described = {path for path, methods in app.openapi()["paths"].items() if "get" in methods}
    walked = set(_paths(app.routes))
    assert described <= walked, "the framework keeps its routes elsewhere"
    return found


def _paths(routes: Iterable[Any], prefix: str = "") -> Iterator[str]:
    for one in routes:
        if isinstance(one, Mount):
            yield from _paths(getattr(one.app, "routes", ()), prefix + one.path)
        elif (included := getattr(one, "original_router", None)) is not None:
            yield from _paths(included.routes, prefix)
        elif "GET" in (getattr(one, "methods", None) or ()):
            yield prefix + one.path
