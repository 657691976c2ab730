"""Differencing: whoever keeps every public answer learns nothing about the few in a Zone."""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient
from scipy.optimize import linprog

from api.app import create_app
from ingest.nightly import look_after
from livinglab.adapters.clocks import SettableClock
from livinglab.bootstrap import Lab, open_lab
from livinglab.config import DEFAULT_CATEGORIES, CityFile, Settings
from livinglab.domain.geometry import Point
from livinglab.domain.observations import Status, Visibility
from livinglab.domain.places import City, Place, Zone, ZoneKind
from livinglab.domain.readings import Interval
from livinglab.services import contributing
from livinglab.services.aggregating import publish_due
from livinglab.services.observing import Draft, observe
from tests.api.conftest import public_paths

MONTH = datetime(2026, 1, 1, tzinfo=UTC)
DUE = datetime(2026, 2, 8, 1, 0, tzinfo=UTC)
K = 10
ROUNDING = 2.5
"""What a rounded count may be away from the true one."""


@dataclass
class Town:
    """Zones side by side, people with devices, and what the public was told so far."""

    lab: Lab
    zones: tuple[str, ...]
    heard: list[dict] = field(default_factory=list)
    _keys: count = field(default_factory=count)

    def says(self, zone, who, day=15, category="noise"):
        """Somebody posts about a Zone; the key of the posting is told by order, not by chance."""
        west = 6.0 + 0.01 * self.zones.index(zone)
        draft = Draft(
            client_key=uuid4(),
            category=category,
            point=Point(west + 0.005, 45.005),
            occurred_at=MONTH + timedelta(days=day - 1, hours=12),
        )
        with self.lab.work() as work:
            found, _ = observe(
                draft,
                f"device of {who}",
                categories=self.lab.categories,
                work=work,
                now=max(self.lab.clock.now(), draft.occurred_at),
            )
            return found.id

    def at(self, instant):
        self.lab.clock.advance_to(instant)
        publish_due(self.lab.civic, self.lab.categories, timezone="UTC", now=instant)
        asks = TestClient(create_app(self.lab))
        for category in ("noise", "air"):
            page = asks.get("/aggregates", params={"category": category}).json()
            self.heard.append({"aggregates": page["items"]})
        for zone in self.zones:
            told = asks.get(f"/places/zone:{zone}/timeline?from=2026-01-01T00:00:00Z").json()
            self.heard.append({zone: told.get("observations", [])})


def a_town(folder, zones):
    """A lab of so many Zones, in one of which a personal theme was spoken of already."""
    square = [(0.0, 0.0), (0.01, 0.0), (0.01, 0.01), (0.0, 0.01)]
    names = tuple(f"z{n}" for n in range(zones))
    city = CityFile(
        city=City(key="town", name="Town", timezone="UTC"),
        zones=tuple(
            Zone(
                key=name,
                kind=ZoneKind.DISTRICT,
                name=name,
                residents=900,
                counted=date(2025, 1, 1),
                ring=tuple(Point(6.0 + 0.01 * n + x, 45.0 + y) for x, y in square),
            )
            for n, name in enumerate(names)
        ),
        places=(Place(key="square", name="The Square", lon=6.005, lat=45.005, zone="z0"),),
        categories={row.key: row for row in DEFAULT_CATEGORIES},
        routes=(),
    )
    settings = Settings(
        data=folder, **dict.fromkeys(("readings", "civic", "vault", "media"), "memory:")
    )
    town = Town(open_lab(settings, city=city, clock=SettableClock(MONTH)), names)
    town.says("z0", "the first", day=1)
    return town


@pytest.fixture
def town(tmp_path):
    made = a_town(tmp_path, 5)
    yield made
    made.lab.close()


def of_january(answer):
    """What an answer tells of the month that is attacked."""
    rows = next(iter(answer.values()))
    return [one for one in rows if one["month"].startswith("2026-01")]


def bounds(zone, zones, rows, k=K):
    """Solve for the fewest and the most people who may have spoken in a Zone.

    Unknown are Observations and people of each Zone; a Block bounds the sum of the ones, and the
    sum and each of the others, as people may have spoken in several.
    """
    n, size = len(zones), 2 * len(zones)
    above, limit = [], []

    def no_more(most, **weights):
        row = np.zeros(size)
        for name, weight in weights.items():
            row[zones.index(name[1:]) + (n if name[0] == "c" else 0)] = weight
        above.append(row)
        limit.append(most)

    for name in zones:
        no_more(0.0, **{f"c{name}": 1, f"o{name}": -1})
    for one in rows:
        if one["n"] is None:
            continue
        no_more(one["n"] + ROUNDING, **{f"o{name}": 1 for name in one["zones"]})
        no_more(ROUNDING - one["n"], **{f"o{name}": -1 for name in one["zones"]})
        fewest = max(k, one["contributors"] - ROUNDING)
        no_more(-fewest, **{f"c{name}": -1 for name in one["zones"]})
        for name in one["zones"]:
            no_more(one["contributors"] + ROUNDING, **{f"c{name}": 1})
    aim = np.zeros(size)
    aim[n + zones.index(zone)] = 1.0
    found = [
        linprog(sign * aim, A_ub=np.array(above), b_ub=limit, bounds=(0, 1_000)) for sign in (1, -1)
    ]
    assert all(one.success for one in found), "what was published contradicts itself"
    return found[0].fun, -found[1].fun


def a_month(town, rng):
    """Let people speak, of whom some do often and in several Zones.

    Returns:
        Who spoke in each Zone, and each posting with its Zone.
    """
    spoke: dict[str, set[str]] = {zone: set() for zone in town.zones}
    spoke["z0"].add("the first")
    posted = []
    for zone in town.zones:
        for _ in range(int(rng.choice([0, 1, 3, 8, 12, 25]))):
            who = f"{rng.choice(town.zones)} {rng.integers(40)}"
            spoke[zone].add(who)
            posted += [(town.says(zone, who), zone) for _ in range(int(rng.integers(1, 4)))]
    return spoke, posted


def change(town, how, id_, zone):
    """Take a posting away, forget who posted it, or let another one come late."""
    with town.lab.work() as work:
        one = work.observations.get(id_)
        if how == 0:
            one.visibility, one.status = Visibility.REMOVED, Status.CLOSED
        elif how == 1:
            person = work.contributors.get(one.contributor)
            contributing.erase(person, work, town.lab.vault, town.lab.media, DUE)
    if how == 2:
        town.says(zone, "somebody late")
    town.at(town.lab.clock.now() + timedelta(days=1))


@pytest.mark.parametrize("seed", range(12))
def test_no_sum_gives_a_hidden_zone_away(tmp_path, seed):
    """Over all that was published before and after late postings, erasures and removals."""
    rng = np.random.default_rng(seed)
    town = a_town(tmp_path, int(rng.integers(2, 7)))
    spoke, posted = a_month(town, rng)
    town.at(DUE)
    for n in rng.permutation(len(posted))[:4]:
        change(town, rng.integers(3), *posted[n])
    town.lab.close()

    answers = [of_january(one) for one in town.heard]
    per_step = 2 + len(town.zones)
    first = answers[:per_step]
    assert all(
        first == answers[step : step + per_step] for step in range(0, len(answers), per_step)
    )
    rows = first[0]
    for one in rows:
        if one["n"] is not None:
            together = set().union(*(spoke[zone] for zone in one["zones"]))
            assert len(together) >= K
            assert abs(len(together) - one["contributors"]) <= ROUNDING
    shown = {one["zones"][0] for one in rows if len(one["zones"]) == 1}
    for zone, told in zip(town.zones, first[2:], strict=True):
        [noise] = [one for one in told if one["category"] == "noise"]
        assert noise["suppressed"] == (zone not in shown)
        fewest, most = bounds(zone, list(town.zones), rows)
        assert fewest - 1e-6 <= len(spoke[zone]) <= most + 1e-6
        assert zone in shown or (fewest < 1e-6 and most >= K)


def test_the_attack_finds_what_careless_tables_tell():
    """Were a total published beside the Zones, the one that is hidden would be known."""
    careless = [
        {"zones": ["a"], "n": 40, "contributors": 40},
        {"zones": ["a", "b"], "n": 45, "contributors": 45},
    ]
    fewest, most = bounds("b", ["a", "b"], careless)

    assert most <= 10
    assert fewest == pytest.approx(0.0)
    exact = [one | {"n": one["n"] + 0.0} for one in careless]
    assert bounds("a", ["a", "b"], exact)[0] >= 35


def everything(town):
    """Return every public answer, with names that chance gave replaced by their order."""
    asks = TestClient(create_app(town.lab))
    told = {}
    ids = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    public = asks.get("/observations").json()["items"][-1]["id"]
    names = {"id": public, "id_": public, "code": "street", "token": "1", "name": "course"}
    paths = {
        path
        for key in ("square", *town.zones, *(f"zone:{zone}" for zone in town.zones))
        for path in public_paths(asks.app, names | {"key": key})
    }
    paths |= {f"/{kind}?limit=1" for kind in ("observations", "incidents", "places", "zones")}
    paths |= {f"/places?zone={zone}" for zone in town.zones}
    paths |= {"/open311/v2/requests.json?start_date=2026-01-01T00:00:00Z"}
    for path in sorted(paths):
        follow, pages, seen = path, [], {}

        def known(match, seen=seen):
            return seen.setdefault(match[0], f"<{len(seen)}>")

        while follow:
            answer = asks.get(follow, headers={"Accept": "application/json"})
            pages.append(ids.sub(known, answer.text))
            is_list = answer.headers["content-type"] == "application/json" and "limit=" in path
            follow = answer.json().get("next") if is_list else None
        told[ids.sub("<id>", path)] = pages
    return told


def test_what_few_say_changes_no_public_answer(tmp_path):
    """Two towns: in one, two people speak of a personal theme in a Zone, in the other nobody.

    They are the same to everybody, before the month is published and after, in every answer:
    counts, metrics, pages, numbers that have gaps. Together with their neighbours they are 17
    instead of 15, which rounds to the same.
    """
    heard = []
    for quiet in (True, False):
        town = a_town(tmp_path / str(quiet), 4)
        town.says("z0", "somebody", category="street")
        for n in range(14):
            town.says("z1", f"neighbour {n}")
        if not quiet:
            for n in range(2):
                town.says("z3", f"few {n}")
        town.says("z2", "somebody", category="street")
        town.lab.clock.advance_to(datetime(2026, 1, 20, tzinfo=UTC))
        before = everything(town)
        town.lab.clock.advance_to(DUE)
        look_after(town.lab)
        heard.append((before, everything(town)))
        town.lab.close()

    for of_quiet, of_other in zip(*heard, strict=True):
        assert of_quiet.keys() == of_other.keys()
        different = [path for path in of_quiet if of_quiet[path] != of_other[path]]
        assert [] == [(path, of_quiet[path], of_other[path]) for path in different]
        assert 60 < len(of_quiet)


def test_a_month_is_published_once_and_late(town):
    """A week after its end, with what came until then; earlier months that are empty, too."""
    for n in range(12):
        town.says("z1", f"neighbour {n}")
    town.at(DUE - timedelta(hours=2))
    assert [[], []] == [one["aggregates"] for one in town.heard[:2]]
    town.at(DUE)
    [row] = town.heard[-7]["aggregates"]

    assert ("2026-01", list(town.zones), 15, 15) == (
        row["month"],
        row["zones"],
        row["n"],
        row["contributors"],
    )
    assert 0 == publish_due(
        town.lab.civic, town.lab.categories, timezone="UTC", now=DUE + timedelta(hours=1)
    )
    with town.lab.work(write=False) as work:
        assert {"noise", "air", "street", "bus", "other", "traffic"} == {
            one.category for one in work.aggregates.where(month=MONTH.date())
        }
        said = work.observations.at_place("zone:z1", Interval(MONTH, MONTH + timedelta(days=31)))
        assert 12 == len(said)
