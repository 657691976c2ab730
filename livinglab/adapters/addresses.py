"""Gazetteers: addresses by words, from the city's own file, from names, or from Nominatim."""

import csv
import heapq
import json
import math
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import numpy as np
import structlog
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import OSA

from livinglab.adapters.deadlines import Deadline
from livinglab.domain.addresses import (
    LONGEST_SEARCH,
    MOST_FOUND,
    Known,
    Located,
    houses_agree,
    words_of,
)
from livinglab.domain.geometry import Box, Point, is_point
from livinglab.errors import LabError, SettingsError, UnavailableError
from livinglab.ports import Gazetteer

log = structlog.get_logger()

SETTING: Final = "LIVINGLAB_ADDRESSES"
PART: Final = "the address server"
LEAST: Final = 0.5
"""What goes together less well is no candidate."""
ALIKE: Final = 0.7
"""Share of letters that two words must have in common: one typing error in four letters."""
SHORTEST_TYPO: Final = 4
"""In shorter words an error makes another word. [letters]"""
COMMON: Final = 0.1
"""What a word counts that every address holds."""
KNOWN: Final = 0.7
"""What another word is worth where the very word is known."""
MOST_ALIKE: Final = 50
MOST_STREETS: Final = 30
LONGEST_LABEL: Final = 300
MOST_ADDRESSES: Final = 2_000_000


class AddressIndex:
    """Addresses that can be asked for by words with typing errors.

    What differs by house number alone is one street. Words count by how rare they are, so that
    "street" says little and the city's name nothing.
    """

    def __init__(self, known: Iterable[Known]) -> None:
        """Index what is known."""
        self._known: list[Known] = []
        self._houses: list[str] = []
        self._of_street: list[list[int]] = []
        numbers: dict[tuple[str, ...], int] = {}
        streets_with: dict[str, list[int]] = {}
        for one in known:
            names, houses = words_of(one.label)
            street = numbers.setdefault(names, len(numbers))
            if street == len(self._of_street):
                self._of_street.append([])
                for name in names:
                    streets_with.setdefault(name, []).append(street)
            self._of_street[street].append(len(self._known))
            self._known.append(one)
            self._houses.append(" ".join(sorted(houses)))
        self._names = sorted(streets_with)
        self._streets = [np.array(streets_with[name], dtype=np.int32) for name in self._names]
        total = len(self._of_street)
        self._weights = [COMMON + math.log(total / len(one)) for one in self._streets]
        self._rarest = COMMON + math.log(max(1, total))
        self._whole = np.zeros(total)
        for streets, weight in zip(self._streets, self._weights, strict=True):
            self._whole[streets] += weight

    def __len__(self) -> int:
        """Count the addresses."""
        return len(self._known)

    def known(self) -> Sequence[Known]:
        """Return all of them, in the order in which they came."""
        return self._known

    def find(self, text: str, *, limit: int) -> list[Located]:
        """List candidates, the best first: see `ports.Gazetteer`."""
        names, houses = words_of(text[:LONGEST_SEARCH])
        if not names or not self._known:
            return []
        scores = self._scores(names)
        best = np.argsort(-scores, kind="stable")[:MOST_STREETS]
        found: list[tuple[float, int, int]] = []
        for street in (int(one) for one in best if scores[one] >= LEAST):
            for n in self._of_street[street]:
                theirs = frozenset(self._houses[n].split())
                score = float(scores[street]) * houses_agree(houses, theirs)
                if score >= LEAST:
                    found.append((-score, _apart(houses, theirs), n))
        return [
            Located(
                label=self._known[n].label,
                point=self._known[n].point,
                place=self._known[n].place,
                score=round(-score, 3),
            )
            for score, _, n in heapq.nsmallest(min(limit, MOST_FOUND), found)
        ]

    def _scores(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Score every street: how much of what was asked it holds, and a little of the reverse."""
        total = len(self._of_street)
        held, asked, covered = np.zeros(total), np.zeros(total), np.zeros(total)
        for name in names:
            alike, weight = np.zeros(total), np.full(total, self._rarest)
            for n, value in sorted(self._alike(name).items(), key=lambda pair: pair[1]):
                streets = self._streets[n]  # ascending: the best of a street is written last
                alike[streets] = value
                weight[streets] = self._weights[n]
            held += alike * weight
            asked += weight
            covered += np.where(alike > 0.0, weight, 0.0)
        reverse = np.minimum(1.0, covered / np.maximum(self._whole, 1e-9))
        scores: NDArray[np.float64] = held / asked * (0.85 + 0.15 * reverse)
        return scores

    def _alike(self, name: str) -> dict[int, float]:
        """Return the known words that may be meant by one, with how likely: abbreviations too."""
        first = bisect_left(self._names, name)
        last = bisect_left(self._names, f"{name}\U0010ffff")
        longer = heapq.nlargest(MOST_ALIKE, range(first, last), key=lambda n: len(self._streets[n]))
        found = {n: 0.75 + 0.25 * len(name) / len(self._names[n]) for n in longer}
        if len(name) >= SHORTEST_TYPO:
            for _, likeness, n in process.extract(
                name,
                self._names,
                scorer=OSA.normalized_similarity,
                score_cutoff=ALIKE,
                limit=MOST_ALIKE,
            ):
                found[n] = max(found.get(n, 0.0), 1.0 - 0.6 * (1.0 - likeness))
        if first < last and self._names[first] == name:  # so it is hardly an error
            found = {n: value * (KNOWN if n != first else 1.0) for n, value in found.items()}
        return found


def _apart(asked: frozenset[str], known: frozenset[str]) -> int:
    """Tell how far two house numbers lie apart, for what comes first among equals."""
    ours, theirs = _number(asked), _number(known)
    return 0 if ours is None or theirs is None else abs(ours - theirs)


def _number(houses: frozenset[str]) -> int | None:
    return min((int("".join(filter(str.isdecimal, one))) for one in houses), default=None)


class FileGazetteer:
    """A Gazetteer over the city's own file, read once when somebody first asks."""

    def __init__(self, path: Path) -> None:
        """Look at the file.

        Raises:
            SettingsError: It cannot be read, or does not say where its addresses are.
        """
        self._path = path
        self._lock = Lock()
        self._index: AddressIndex | None = None
        try:
            next(iter(_addresses(path)), None)
        except OSError as error:
            raise _unusable(path, f"cannot be read ({error.strerror})") from error
        except (UnicodeDecodeError, ValueError, csv.Error) as error:
            raise _unusable(path, str(error)) from error

    def find(self, text: str, *, limit: int) -> list[Located]:
        """List candidates, the best first: see `ports.Gazetteer`."""
        with self._lock:
            if self._index is None:
                self._index = self._read()
        return self._index.find(text, limit=limit)

    def _read(self) -> AddressIndex:
        try:
            index = AddressIndex(islice(_addresses(self._path), MOST_ADDRESSES))
        except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
            raise UnavailableError("the file of addresses", "cannot be read any more") from error
        log.info("addresses_read", addresses=len(index))
        return index

    def close(self) -> None:
        """Let go of everything."""
        self._index = None


def _unusable(path: Path, problem: str) -> SettingsError:
    return SettingsError(
        SETTING, f"{path}: {problem}", "name a CSV or GeoJSON file, or the URL of a Nominatim"
    )


def _addresses(path: Path) -> Iterator[Known]:
    """Yield the addresses of a file; what has no name or no position is passed over.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not what it should be.
    """
    read = _of_geojson if path.suffix.lower() in {".geojson", ".json"} else _of_csv
    return read(path)


LABELS: Final = ("label", "address", "name")
STREETS: Final = ("street", "addr:street")
HOUSES: Final = ("number", "housenumber", "house_number", "addr:housenumber")
POSTCODES: Final = ("postcode", "zipcode", "addr:postcode")
CITIES: Final = ("city", "town", "addr:city")
LATS: Final = ("lat", "latitude", "y")
LONS: Final = ("lon", "lng", "long", "longitude", "x")


def _of_csv(path: Path) -> Iterator[Known]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.readline()
        delimiter = max(",;\t|", key=head.count)
        columns = [one.strip().casefold() for one in next(csv.reader([head], delimiter=delimiter))]
        if not set(columns) & {*LABELS, *STREETS}:
            raise ValueError(f"has no column {LABELS[0]} or {STREETS[0]}")
        if not (set(columns) & set(LATS) and set(columns) & set(LONS)):
            raise ValueError(f"has no columns {LATS[0]} and {LONS[0]}")
        used = {*LABELS, *STREETS, *HOUSES, *POSTCODES, *CITIES, *LATS, *LONS}
        read = [(n, name) for n, name in enumerate(columns) if name in used]
        for row in csv.reader(file, delimiter=delimiter):
            told = {name: row[n] for n, name in read if n < len(row)}
            point = _point(_first(told, LONS), _first(told, LATS))
            if (label := _label(told)) and point:
                yield Known(label, point)


def _of_geojson(path: Path) -> Iterator[Known]:
    document = json.loads(path.read_text(encoding="utf-8"))
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise ValueError("is no FeatureCollection")  # noqa: TRY004 - of the file, not of a type
    for one in features:
        told = one.get("properties") if isinstance(one, dict) else None
        geometry = one.get("geometry") if isinstance(one, dict) else None
        if isinstance(told, dict) and isinstance(geometry, dict):
            lower = {key.casefold(): str(value) for key, value in told.items() if value is not None}
            point = _middle(geometry)
            if (label := _label(lower)) and point:
                yield Known(label, point)


def _middle(geometry: Mapping[str, Any]) -> Point | None:
    """Return a Point's position, or the middle corner of a street's line."""
    found = geometry.get("coordinates")
    if geometry.get("type") == "LineString" and isinstance(found, list) and found:
        found = found[len(found) // 2]
    if isinstance(found, list) and len(found) >= 2:  # noqa: PLR2004 - longitude and latitude
        return _point(found[0], found[1])
    return None


def _label(told: Mapping[str, str]) -> str:
    if whole := _first(told, LABELS):
        return whole[:LONGEST_LABEL]
    street = _first(told, STREETS)
    if not street:
        return ""
    near = " ".join(filter(None, (street, _first(told, HOUSES))))
    town = " ".join(filter(None, (_first(told, POSTCODES), _first(told, CITIES))))
    return ", ".join(filter(None, (near, town)))[:LONGEST_LABEL]


def _first(told: Mapping[str, str], names: Iterable[str]) -> str:
    for name in names:
        if name in told and (value := told[name].strip()):
            return value
    return ""


def _point(lon: object, lat: object) -> Point | None:
    try:
        point = Point(float(str(lon)), float(str(lat)))
    except ValueError:
        return None
    return point if is_point(*point) else None


class NamesGazetteer:
    """A Gazetteer over names that may change, such as those of Places; read anew now and then."""

    FRESH_S = 60.0
    """How old names may be. [s]"""

    def __init__(self, names: Callable[[], Iterable[Known]], *, fresh_s: float = FRESH_S) -> None:
        """Ask for the names when somebody asks, and again when these are older. [s]"""
        self._names, self._fresh_s = names, fresh_s
        self._lock = Lock()
        self._index: AddressIndex | None = None
        self._until = 0.0

    def find(self, text: str, *, limit: int) -> list[Located]:
        """List candidates, the best first: see `ports.Gazetteer`."""
        with self._lock:
            if self._index is None or time.monotonic() >= self._until:
                self._index = AddressIndex(self._names())
                self._until = time.monotonic() + self._fresh_s
            index = self._index
        return index.find(text, limit=limit)

    def close(self) -> None:
        """Let go of everything."""
        self._index = None


class _Patience(Deadline):
    """The instant by which the address server has answered."""

    def missed(self) -> LabError:
        return UnavailableError(PART, f"does not answer within {self.seconds:g} s")


class NominatimGazetteer:
    """A Gazetteer that asks a Nominatim server, and remembers what it said."""

    SECONDS = 5.0
    LARGEST_BYTES = 256 * 1024
    REMEMBERED = 512

    def __init__(self, url: str, *, box: Box | None = None, seconds: float = SECONDS) -> None:
        """Prepare to ask; nothing is asked yet.

        Args:
            url: What stands before ``/search``.
            box: The city; what lies outside is no candidate.
            seconds: How long an answer may take. [s]

        Raises:
            SettingsError: It is no such URL.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        secret = parts.username or parts.password or parts.query
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1 or secret:
            raise SettingsError(SETTING, "is no URL of a Nominatim", "write https://HOST[:PORT]")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, port
        self._path = parts.path.rstrip("/") + "/search"
        self._box, self._seconds = box, seconds
        self._said: OrderedDict[str, AddressIndex] = OrderedDict()
        self._lock = Lock()

    def find(self, text: str, *, limit: int) -> list[Located]:
        """List candidates, the best first: see `ports.Gazetteer`.

        The server knows more than its labels tell, such as other languages: what it finds is a
        candidate, and clear if its label says what was asked.
        """
        asked = " ".join(text.split())[:LONGEST_SEARCH]
        if not words_of(asked).names:
            return []
        with self._lock:
            said = self._said.get(asked)
        if said is None:
            said = AddressIndex(self._candidates(asked))
            with self._lock:
                self._said[asked] = said
                while len(self._said) > self.REMEMBERED:
                    self._said.popitem(last=False)
        found = said.find(asked, limit=MOST_FOUND)
        labels = {one.label for one in found}
        rest = [
            Located(label=one.label, point=one.point, score=LEAST)
            for one in said.known()
            if one.label not in labels
        ]
        return [*found, *rest][: min(limit, MOST_FOUND)]

    def _candidates(self, asked: str) -> list[Known]:
        wanted = {"q": asked, "format": "jsonv2", "limit": str(MOST_FOUND)}
        if self._box:
            wanted |= {"viewbox": ",".join(map(str, self._box)), "bounded": "1"}
        rows = self._ask(f"{self._path}?{urlencode(wanted)}")
        found: list[Known] = []
        for row in rows[:MOST_FOUND]:
            told = row if isinstance(row, dict) else {}
            label, point = told.get("display_name"), _point(told.get("lon"), told.get("lat"))
            inside = point is not None and (self._box is None or self._box.holds(point))
            if isinstance(label, str) and label.strip() and point and inside:
                found.append(Known(label.strip()[:LONGEST_LABEL], point))
        return found

    def _ask(self, path: str) -> list[Any]:
        patience = _Patience(self._seconds)
        kind = HTTPSConnection if self._secure else HTTPConnection
        connection = kind(self._host, self._port, timeout=patience.left())
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "User-Agent": "livinglab",
        }
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            if answer.status != HTTPStatus.OK:
                raise UnavailableError(PART, f"answers {answer.status}")
            body = bytearray()
            while len(body) <= self.LARGEST_BYTES:
                if connection.sock is not None:
                    connection.sock.settimeout(patience.left())
                chunk = answer.read1(self.LARGEST_BYTES)
                if not chunk:
                    break
                body += chunk
                patience.left()
        except TimeoutError as error:
            raise patience.missed() from error
        except (OSError, HTTPException) as error:
            raise UnavailableError(PART, "does not answer") from error
        finally:
            connection.close()
        if len(body) > self.LARGEST_BYTES:
            raise UnavailableError(PART, f"answers with more than {self.LARGEST_BYTES} bytes")
        try:
            rows = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise UnavailableError(PART, "answers something that is no JSON") from error
        if not isinstance(rows, list):
            raise UnavailableError(PART, "answers no list")
        return rows

    def close(self) -> None:
        """Let go of everything."""
        self._said.clear()


class JoinedGazetteer:
    """Several Gazetteers asked as one."""

    def __init__(self, *several: Gazetteer) -> None:
        """Ask all of them."""
        self._several = several

    def find(self, text: str, *, limit: int) -> list[Located]:
        """List candidates, the best first: see `ports.Gazetteer`."""
        found = [one for each in self._several for one in each.find(text, limit=limit)]
        return sorted(found, key=lambda one: -one.score)[:limit]

    def close(self) -> None:
        """Let go of everything."""
        for one in self._several:
            one.close()
