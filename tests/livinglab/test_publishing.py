"""Data sets of Observations: what is told, and that people are new in each."""

import csv
import io
import json
from collections import Counter
from datetime import UTC, datetime
from uuid import uuid4

import duckdb
import pytest

from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.cli import publishing
from livinglab.config import DEFAULT_CATEGORIES, CityFile
from livinglab.domain.geometry import Point
from livinglab.domain.observations import Visibility
from livinglab.domain.places import City
from livinglab.services.observing import Draft, observe
from tests.civic_samples import a_zone

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FORMULA = "=HYPERLINK(1)"


@pytest.fixture
def city():
    return CityFile(
        city=City(key="town", name="Town", timezone="Europe/Paris"),
        categories={one.key: one for one in DEFAULT_CATEGORIES},
        routes=(),
    )


@pytest.fixture
def civic(city):
    """Anna twice in March and once in February, Bea once; noise, and what was removed."""
    store = MemoryCivicStore()
    march, february = datetime(2026, 3, 1, 9, tzinfo=UTC), datetime(2026, 2, 28, 22, tzinfo=UTC)
    with store.work() as work:
        work.zones.add(a_zone())
        for who, when, category, visibility in (
            ("anna", march, "street", Visibility.PUBLIC),
            ("anna", march, "bus", Visibility.QUARANTINED),
            ("anna", february, "street", Visibility.PUBLIC),
            ("bea", march, "street", Visibility.PUBLIC),
            ("bea", march, "noise", Visibility.PUBLIC),
            ("bea", march, "street", Visibility.REMOVED),
        ):
            draft = Draft(
                client_key=uuid4(),
                category=category,
                text=FORMULA,
                point=Point(6.0512345, 45.0512345),
                occurred_at=when,
            )
            observe(draft, who * 8, categories=city.categories, work=work, now=NOW)
            one = work.observations.posted_as("api", [str(draft.client_key)])
            one[str(draft.client_key)].visibility = visibility
    return store


def test_people_are_counted_and_not_followed(civic, city):
    """Within a month by one name each; another name in the next month and the next data set."""
    first, second = ([*publishing.data_set(civic, city)] for _ in range(2))

    def by_month(rows):
        return {
            month: Counter(one["contributor"] for one in rows if one["day"].startswith(month))
            for month in ("2026-02", "2026-03")
        }

    found = by_month(first)
    assert [1] == list(found["2026-02"].values())
    assert [1, 2] == sorted(found["2026-03"].values())
    assert 3 == len(found["2026-02"] | found["2026-03"])
    names = [{one["contributor"] for one in rows} for rows in (first, second)]
    assert not names[0] & names[1]


def test_only_what_is_public_is_told(civic, city):
    """No personal theme, nothing removed, no words that wait, no time but the day in the city."""
    rows = [*publishing.data_set(civic, city)]

    assert {"street": 3, "bus": 1} == Counter(one["category"] for one in rows)
    assert [None] == [one["text"] for one in rows if one["category"] == "bus"]
    assert {"2026-02-28", "2026-03-01"} == {one["day"] for one in rows}
    assert {(6.05123, 45.05123)} == {(one["lon"], one["lat"]) for one in rows}
    assert all(one.keys() == publishing.COLUMNS.keys() for one in rows)
    assert {"centre"} == {one["zone"] for one in rows}


def test_every_form_says_the_same(civic, city, tmp_path):
    """And a spreadsheet computes nothing."""
    rows = [*publishing.data_set(civic, city)]
    made = {name: io.BytesIO() for name in publishing.FORMATS}
    for name, target in made.items():
        publishing.WRITERS[name](rows, target)
    table = [*csv.DictReader(io.StringIO(made["csv"].getvalue().decode()))]
    features = json.loads(made["geojson"].getvalue())["features"]
    (tmp_path / "o.parquet").write_bytes(made["parquet"].getvalue())
    read = duckdb.sql(f"SELECT contributor, text, lon FROM '{tmp_path / 'o.parquet'}'").fetchall()

    names = [one["contributor"] for one in rows]
    assert names == [one["contributor"] for one in table]
    assert names == [one["properties"]["contributor"] for one in features]
    assert names == [one[0] for one in read]
    assert {"", f"'{FORMULA}"} == {one["text"] for one in table}
    assert FORMULA in {one[1] for one in read}
    assert [6.05123, 45.05123] == features[0]["geometry"]["coordinates"]
