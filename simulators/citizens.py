"""Citizens: people who notice what is the case near them and say so over public HTTP."""

import hashlib
import http.client
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import numpy as np

from livinglab.domain.geometry import Point, contains
from livinglab.domain.places import Place, Zone
from livinglab.domain.readings import to_ms
from simulators.fleet import truth
from simulators.signals import series_of, uniform
from simulators.town import Residents, Sensor, Town, Treatment

PHENOMENA = {
    "air": ("no2", 45.0),
    "traffic": ("vehicle_flow", 1_300.0),
    "noise": ("noise_level", 58.0),
    "bus": ("bus_delay", 180.0),
}
"""Category → what is noticed, and how much of it is a nuisance."""
WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "air": ("The air tastes of exhaust here.", "A burnt smell again this morning."),
        "traffic": ("Cars stand bumper to bumper.", "Nobody can cross the road here."),
        "noise": ("Too loud to sleep with the window open.",),
        "bus": ("The bus did not come, and nothing says why.",),
    },
    "fr": {
        "air": ("Ça sent les gaz d'échappement ici.",),
        "traffic": ("Impossible de traverser la rue.", "Un bouchon depuis une heure."),
        "noise": ("Trop de bruit la nuit.",),
        "bus": ("Le bus n'est pas passé.",),
    },
    "es": {
        "air": ("Huele a humo desde temprano.",),
        "traffic": ("Hay un atasco enorme.",),
        "noise": ("No se puede dormir con este ruido.",),
        "bus": ("El autobús no ha llegado.",),
    },
    "ar": {
        "air": ("رائحة العادم قوية هنا.",),
        "traffic": ("الازدحام شديد في هذا الشارع.",),
        "noise": ("الضجيج لا يطاق ليلا.",),
        "bus": ("لم تصل الحافلة.",),
    },
}


class Client:
    """A small HTTP client: one connection, JSON both ways, time limits."""

    def __init__(self, base: str, *, patience_s: float = 10.0) -> None:
        """Remember where the lab is."""
        self._host = urlsplit(base).netloc
        self._patience_s = patience_s
        self._link: http.client.HTTPConnection | None = None

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return status and document; status 0 if the lab does not answer."""
        for _ in range(2):  # a kept connection may have been closed meanwhile
            try:
                self._link = self._link or http.client.HTTPConnection(
                    self._host, timeout=self._patience_s
                )
                sent = None if body is None else json.dumps(body).encode()
                named = {"Content-Type": "application/json", **(headers or {})}
                self._link.request(method, path, sent, named)
                answer = self._link.getresponse()
                text = answer.read()
                return answer.status, json.loads(text) if text else None
            except (OSError, http.client.HTTPException, ValueError):
                self.close()
        return 0, None

    def close(self) -> None:
        """Let go of the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None


@dataclass(slots=True)
class Citizens:
    """All citizens of a town."""

    town: Town
    client: Client
    submit_key: str
    counts: Counter[str] = field(default_factory=Counter)
    """posted, accepted, repeated, refused, unanswered."""
    _places: dict[str, list[Place]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find out who lives near which Places."""
        zones = {zone.key: zone for zone in self.town.city_file.zones}
        for group in self.town.residents:
            zone: Zone = zones[group.zone]
            near = [p for p in self.town.city_file.places if contains(zone.ring, p.point)]
            self._places[group.zone] = near or list(self.town.city_file.places)

    def post_between(self, start: datetime, end: datetime, per_hour: float) -> None:
        """Let citizens notice and post during a span of time; *per_hour* for all together."""
        people = sum(one.n * one.propensity for one in self.town.residents)
        hours = (end - start) / timedelta(hours=1) * self.town.eagerness(start)
        for group in self.town.residents:
            expected = per_hour * hours * group.n * group.propensity / people
            n = self._draw(f"{group.zone} n", start, 0, expected)
            for k in range(n):
                self._notice(group, start, end, k)

    def _draw(self, what: str, at: datetime, k: int, expected: float) -> int:
        """Draw a count with the right mean: the whole part, and one more by chance."""
        whole, part = divmod(expected, 1.0)
        return int(whole) + int(self._chance(what, at, k) < part)

    def _chance(self, what: str, at: datetime, k: int) -> float:
        index = np.array([to_ms(at) // 100 + k], dtype=np.int64)
        return float(uniform(self.town.seed, series_of(what), index)[0])

    def _notice(self, group: Residents, start: datetime, end: datetime, k: int) -> None:
        """Let one citizen look around; who sees a nuisance posts, others do so seldom."""
        chance = self._chance
        places = self._places[group.zone]
        place = places[int(chance(f"{group.zone} where", start, k) * len(places))]
        category = list(PHENOMENA)[int(chance(f"{group.zone} what", start, k) * len(PHENOMENA))]
        when = start + (end - start) * chance(f"{group.zone} when", start, k)
        observed_property, nuisance = PHENOMENA[category]
        times = np.array([to_ms(when)], dtype=np.int64)
        sensor = Sensor(observed_property=observed_property, level=1.2)
        level = float(truth(self.town, place.key, sensor, times)[0])
        if chance(f"{group.zone} post", start, k) < min(1.0, 0.35 + 0.65 * level / nuisance):
            self._post(group, place, category, when, end, min(5, 1 + int(3 * level / nuisance)), k)

    def _post(
        self,
        group: Residents,
        place: Place,
        category: str,
        when: datetime,
        now: datetime,
        severity: int,
        k: int,
    ) -> None:
        who = int(self._chance(f"{group.zone} who", when, k) * group.n)
        lang = group.languages[who % len(group.languages)]
        words = WORDS[lang][category]
        spread = 0.0006
        point = Point(
            place.lon + spread * (self._chance("lon", when, k) - 0.5),
            place.lat + spread * (self._chance("lat", when, k) - 0.5),
        )
        skew = timedelta(minutes=7) if who % 23 == 0 else timedelta(0)
        digest = hashlib.sha256(f"{self.town.seed} {group.zone} {when} {k}".encode()).digest()
        body = {
            "client_key": str(UUID(bytes=digest[:16], version=4)),
            "kind": "problem",
            "category": category,
            "text": words[who % len(words)] if who % 3 else "",
            "lang": lang,
            "severity": severity,
            "point": [round(point.lon, 6), round(point.lat, 6)],
            "occurred_at": (when - skew).isoformat(),
            "submitted_at": (now - skew).isoformat(),
            "device_time": (now - skew).isoformat(),
        }
        token = hashlib.sha256(f"{self.town.seed} {group.zone} {who}".encode()).hexdigest()[:32]
        headers = {"X-Contributor": token, "Authorization": f"Bearer {self.submit_key}"}
        for _ in range(2 if who % 11 == 0 else 1):  # some telephones send twice
            self.counts["posted"] += 1
            status, _document = self.client.ask("POST", "/observations", body, headers)
            outcome = {201: "accepted", 200: "repeated", 0: "unanswered"}.get(status, "refused")
            self.counts[outcome] += 1


@dataclass(slots=True)
class Moderator:
    """Somebody who reads what waits and lets it go."""

    client: Client
    key: str
    released: int = 0
    _looked_at: float = 0.0

    def look(self, *, most: int = 50) -> None:
        """Release what waits, *most* at a time."""
        self._looked_at = time.monotonic()
        headers = {"Authorization": f"Bearer {self.key}"}
        status, waiting = self.client.ask("GET", f"/moderation?limit={most}", headers=headers)
        if status != http.client.OK:
            return
        for one in waiting["items"]:
            path = f"/moderation/{quote(str(one['id']))}/release"
            status, _ = self.client.ask("POST", path, {"note": "read"}, headers)
            self.released += status == http.client.OK

    def due(self, every_s: float) -> bool:
        """Tell whether it is time to look again."""
        return time.monotonic() - self._looked_at >= every_s


@dataclass(slots=True)
class Planner:
    """Somebody of the project office, who says beforehand what an Initiative should change."""

    town: Town
    client: Client
    key: str

    def propose(self) -> int:
        """Hand in every Initiative of the town, and return how many the lab took."""
        headers = {"Authorization": f"Bearer {self.key}"}
        answers = (
            self.client.ask("POST", "/initiatives", self._proposal(one), headers)[0]
            for one in self.town.treatments
        )
        return sum(status in {HTTPStatus.CREATED, HTTPStatus.OK} for status in answers)

    def _proposal(self, one: Treatment) -> dict[str, Any]:
        roles = [(place, "treated") for place in one.places]
        roles += [(place, "control") for place in self.town.controls(one)]
        return {
            "key": one.key,
            "title": one.title,
            "theme": "mobility",
            "announced_at": one.announced.isoformat() if one.announced else None,
            "starts_at": one.start.isoformat(),
            "areas": [{"place": place, "role": role} for place, role in roles],
            "hypotheses": [
                {
                    "key": name.replace("_", "-"),
                    "property": name,
                    "expected": "increase" if shift > 0 else "decrease",
                    "smallest_effect": one.smallest.get(name),
                    "primary": n == 0,
                }
                for n, (name, shift) in enumerate(one.effects.items())
            ],
        }
