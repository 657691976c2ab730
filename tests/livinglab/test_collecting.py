"""Reports become Observations: each once, whatever is imported how often, and stopped where."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from livinglab.adapters.clocks import SettableClock
from livinglab.adapters.relational.unit_of_work import SqlCivicStore
from livinglab.bootstrap import open_lab
from livinglab.cli.collecting import import_observations
from livinglab.config import CityFile, Settings, read_settings
from livinglab.domain.geometry import Point
from livinglab.domain.incidents import Membership
from livinglab.domain.observations import Category, Channel, Status, Visibility
from livinglab.domain.places import City, Place, Zone, ZoneKind
from livinglab.domain.privacy import Precision, PrivacyRule
from livinglab.errors import UnreadableInputError
from livinglab.ports import ObservationFilter
from livinglab.services.collecting import collect
from livinglab.wire.reports import layout_from, layout_named
from tests.civic_samples import a_zone

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EXACT = PrivacyRule(precision=Precision.EXACT)
LAYOUT = layout_from(
    {
        "source": "old",
        "categories": {"Lamp": "street"},
        "columns": {
            "id": "id",
            "category": "theme",
            "text": "text",
            "time": "time",
            "x": "lon",
            "y": "lat",
            "status": "status",
            "updated": "updated",
            "contributor": "who",
        },
    },
    "old",
)
HEADER = "id,theme,text,time,lon,lat,status,updated,who\n"
ROWS = (
    "1,Lamp,It is dark.,2025-01-01T08:00:00Z,6.05,45.05,closed,2025-01-03T08:00:00Z,a\n"
    "2,Lamp,,2025-01-02T08:00:00Z,6.05,45.05,open,,a\n"
    "3,Moon,,2025-01-02T08:00:00Z,6.05,45.05,open,,b\n"
    "4,street,,2025-01-02T08:00:00Z,600,45.05,open,,\n"
)
CATEGORIES = {"street": Category(key="street", label="Street", privacy=EXACT)}


@pytest.fixture
def civic(tmp_path):
    store = SqlCivicStore.open(f"sqlite:///{tmp_path / 'c.sqlite'}", migrate=True)
    yield store
    store.close()


def take(civic, text=HEADER + ROWS, layout=LAYOUT, categories=CATEGORIES, **asked):
    file = io.StringIO(text, newline="")
    return collect(file, layout, civic=civic, categories=categories, now=NOW, **asked)


def kept(civic):
    with civic.work(write=False) as work:
        return work.observations.page(ObservationFilter(), limit=1_000)[::-1]


def test_reports_are_kept_with_what_their_source_told(civic):
    """Time, words, status and author; each problem begins an Incident, a closed one ended it."""
    done = take(civic)

    first, second = kept(civic)
    assert (4, 2, 0) == (done.rows, done.stored, done.duplicate)
    assert {"unknown_category": [4], "bad_position": [5]} == done.lines
    assert ("1", "It is dark.", Channel.IMPORT) == (first.external_id, first.text, first.channel)
    assert (Status.CLOSED, Status.OPEN) == (first.status, second.status)
    assert datetime(2025, 1, 1, 8, tzinfo=UTC) == first.occurred_at
    assert Visibility.QUARANTINED is first.visibility
    assert first.contributor == second.contributor
    assert Membership.ORIGINAL is first.membership
    with civic.work(write=False) as work:
        ended = [one.ended_at for one in work.incidents.where()]
        assert [datetime(2025, 1, 3, 8, tzinfo=UTC), None] == ended
        last = work.observations.events(first.id)[-1]
        assert (datetime(2025, 1, 3, 8, tzinfo=UTC), Status.CLOSED) == (last.at, last.status)


def test_a_second_import_stores_nothing_new(civic):
    """Nor does one that was stopped and goes on; a dry run keeps nothing at all."""
    tried = take(civic, keep=False)
    assert 0 == len(kept(civic))
    take(civic, HEADER + ROWS.splitlines(keepends=True)[0])
    done, again = take(civic), take(civic)

    assert (2, 1, 0) == (tried.stored, done.stored, again.stored)
    assert (1, 2) == (done.duplicate, again.duplicate)
    assert 2 == len(kept(civic))


def test_many_batches_share_one_ground(civic):
    """Places that an early batch made are found by the later ones."""
    rows = "".join(f"{n},street,,2025-01-02T08:00:00Z,6.05,45.05,open,,\n" for n in range(7))
    done = take(civic, HEADER + rows, at_once=2)

    assert 7 == done.stored
    assert 1 == len({one.place for one in kept(civic)})
    assert 7 == len({one.contributor for one in kept(civic)})


def test_words_that_were_public_need_no_moderator(civic):
    """Where the layout says so."""
    layout = layout_from({"source": "o", "released": True, "columns": dict(LAYOUT.columns)}, "o")
    take(civic, layout=layout, text=HEADER + ROWS.replace("Lamp", "street"))

    assert [Visibility.PUBLIC] * 2 == [one.visibility for one in kept(civic)]


def test_rows_of_the_city_s_own_file(civic):
    """The default columns: a point, a point in a grid, a Place or a Zone; two sources, one id."""
    with civic.work() as work:
        work.zones.add(a_zone())
        work.places.add(Place(key="square", name="The Square", lon=6.05, lat=45.05))
    text = (
        "occurred_at,category,lat,lon,place,zone,severity,text,source,external_id,crs\n"
        "2026-03-01T10:00:00Z,street,45.05,6.05,,,4,Hole,north,7,\n"
        "2026-03-01T10:00:00Z,street,1200000,2600000,,,,Hole,north,8,EPSG:2056\n"
        "2026-03-01T10:00:00Z,street,,,square,,,Hole,south,7,\n"
        "2026-03-01T10:00:00Z,street,,,,centre,,Hole,,,\n"
        "2026-03-01T10:00:00Z,street,,,,nowhere,,Hole,,,\n"
        "2026-03-01T10:00:00Z,street,1,1,,,,Hole,north,9,EPSG:0\n"
        "2026-03-01T10:00:00Z,street,45.05,6.05,,,9,Hole,north,10,\n"
    )
    found = take(civic, text=text, layout=layout_named("plain"))
    again = take(civic, text=text, layout=layout_named("plain"))
    north, grid, south, zone = sorted(kept(civic), key=lambda one: one.number)

    assert (7, 4, 0) == (found.rows, found.stored, found.duplicate)
    assert {"bad_place": 1, "bad_position": 1, "bad_severity": 1} == found.refused
    assert (0, 4) == (again.stored, again.duplicate)
    assert ["north", "north", "south", "plain"] == [o.source for o in (north, grid, south, zone)]
    assert ("7", "7", 4) == (north.external_id, south.external_id, north.severity)
    # the grid's origin is the old observatory of Bern: 46 57 3.9 N, 7 26 19.1 E
    assert pytest.approx((7.43864, 46.95108), abs=2e-5) == (grid.lon, grid.lat)
    assert ("square", "zone:centre") == (south.place, zone.place)


def test_the_least_that_a_file_of_the_city_holds(civic):
    """Time, category and a position are enough; without them it is no such file."""
    least = "occurred_at,category,lat,lon\n2026-03-01T10:00:00Z,street,45.05,6.05\n"

    assert 1 == take(civic, text=least, layout=layout_named("plain")).stored
    with pytest.raises(UnreadableInputError, match="occurred_at"):
        take(civic, text=least.replace("occurred_at", "time"), layout=layout_named("plain"))


def sample(*path: str) -> Path:
    found = read_settings().samples.joinpath(*path)
    if not found.is_file():
        pytest.skip(f"{found} is not here; LIVINGLAB_SAMPLES names the folder of sample data")
    return found


def test_requests_of_another_server_are_served_again(tmp_path):
    """Fifty of them, with the same meaning: service, status, words, times, place and notes."""
    requests = json.loads(sample("open311", "cologne_requests.json").read_text(encoding="utf-8"))
    labels = sorted({one["service_name"] for one in requests})
    city = CityFile(
        city=City(key="k", name="K", timezone="Europe/Berlin"),
        categories={
            f"c{n}": Category(key=f"c{n}", label=one, privacy=EXACT) for n, one in enumerate(labels)
        },
        routes=(),
    )
    settings = Settings(data=tmp_path, readings="memory:", vault="memory:")
    lab = open_lab(settings, city=city, clock=SettableClock(datetime(2016, 3, 1, tzinfo=UTC)))
    with sample("open311", "cologne_requests.json").open(encoding="utf-8") as file:
        done = collect(
            file,
            layout_named("open311"),
            civic=lab.civic,
            categories=lab.categories,
            now=lab.clock.now(),
        )
    with TestClient(create_app(lab)) as client:
        served = client.get("/open311/v2/requests.json").json()
    lab.close()

    assert (50, {}) == (done.stored, dict(done.refused))
    assert 50 == len(served)
    by_address = {(one["address"], one["requested_datetime"]): one for one in served}
    for one in requests:
        requested = datetime.fromisoformat(one["requested_datetime"]).astimezone(UTC)
        updated = datetime.fromisoformat(one["updated_datetime"]).astimezone(UTC)
        same = by_address[one["address"], requested.strftime("%Y-%m-%dT%H:%M:%SZ")]
        assert updated.strftime("%Y-%m-%dT%H:%M:%SZ") == same["updated_datetime"]
        for name in ("status", "service_name"):
            assert one[name] == same[name]
        wanted = (one.get("description") or "").replace("\r\n", "\n").strip()
        assert wanted == (same["description"] or "")
        assert abs(one["lat"] - same["lat"]) < 1e-5
        assert abs(one["long"] - same["long"]) < 1e-5
        assert bool(one.get("status_notes")) == bool(same["status_notes"])
        assert "<" not in (same["status_notes"] or "")


def test_a_citys_open_data_is_imported(tmp_path, monkeypatch, capsys):
    """The first rows of Zurich's, in its own grid: all of them lie in the city."""
    with sample("zurich", "reports.csv").open(encoding="utf-8") as file:
        rows = [next(file) for _ in range(1_501)]
    some = tmp_path / "some.csv"
    some.write_text("".join(rows), encoding="utf-8")
    labels = sorted({row.split(",")[2] for row in rows[1:]})
    city = tmp_path / "city.toml"
    categories = "".join(
        f'[[categories]]\nkey = "c{n}"\nlabel = "{one}"\nprecision = "exact"\n'
        for n, one in enumerate(labels)
    )
    city.write_text(
        f'[city]\nkey = "z"\nname = "Z"\ntimezone = "Europe/Zurich"\n{categories}',
        encoding="utf-8",
    )
    monkeypatch.setenv("LIVINGLAB_CITY", str(city))

    code = import_observations([str(some)], "zurich", tmp_path / "lab", dry_run=False, as_json=True)

    [told] = json.loads(capsys.readouterr().out)
    assert (0, 1_500, 1_500) == (code, told["rows"], told["stored"])
    store = SqlCivicStore.open(f"sqlite:///{tmp_path / 'lab' / 'civic.sqlite'}")
    points = [one.point for one in kept(store)]
    store.close()
    assert all(8.44 < one.lon < 8.63 and 47.31 < one.lat < 47.44 for one in points)


def test_smells_are_attached_to_postal_codes(tmp_path):
    """Zones stand in for positions that nobody told: every report finds its Place."""
    path = sample("pittsburgh", "smell_raw.csv")
    with path.open(encoding="utf-8") as file:
        codes = sorted({line.rstrip().rpartition(",")[2] for line in list(file)[1:]})
    store = SqlCivicStore.open(f"sqlite:///{tmp_path / 'c.sqlite'}", migrate=True)
    ring = (Point(-80.1, 40.3), Point(-79.8, 40.3), Point(-79.8, 40.5), Point(-80.1, 40.5))
    with store.work() as work:
        for n, code in enumerate(codes):
            work.zones.add(
                Zone(
                    key=code,
                    kind=ZoneKind.DISTRICT,
                    name=code,
                    residents=1_000,
                    counted=NOW.date(),
                    ring=ring,
                )
            )
            work.places.add(
                Place(key=f"zip-{code}", name=code, lon=-80 + n / 100, lat=40.4, zone=code)
            )
    with path.open(encoding="utf-8") as file:
        some = io.StringIO("".join(next(file) for _ in range(1_001)))
    done = collect(
        some,
        layout_named("smell-pittsburgh"),
        civic=store,
        categories={"air": Category(key="air", label="Air")},
        now=NOW,
    )
    found = kept(store)
    store.close()

    assert (1_000, 1_000, {}) == (done.rows, done.stored, dict(done.refused))
    assert {one.place for one in found} <= {f"zip-{code}" for code in codes}
    assert {1, 2, 3, 4, 5} >= {one.severity for one in found}
    assert not any(one.incident for one in found)
