"""Format `json`: any JSON, by a route that says where each fact stands.

Options of the route; every path is JSONPath, and ``a.b`` is short for ``$.a.b``:

* ``items``: path of the records, or of a list of them; without it the document is the one record.
* ``thing``, ``time``, ``lat``, ``lon``: paths. Without ``thing`` the topic's ``{thing}`` counts.
* Either ``properties``, a table of property = path of its value; or ``value``, a path, with
  ``property``, the path of a word for the property (else the topic's ``{property}``), and
  ``names``, a table of word = property where the source has words of its own.
* ``unit``: path of the unit; ``units``: a table of property = unit. Without either, values come in
  the property's own unit.

Paths begin at the record; what is not there, except values, is looked for in the whole document.
Absent is not missing: a value that does not stand there makes no Reading.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

import jsonpath
from jsonpath import CompoundJSONPath, JSONPath

from livinglab.domain.geometry import Point
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.wire.documents import BadValue, document, identity, moment, number, position
from livinglab.wire.routes import Route
from livinglab.wire.sinks import UNKNOWN_UNIT, Sink, Undecodable

PATHS = ("items", "thing", "time", "lat", "lon", "value", "property", "unit")
TABLES = ("properties", "names", "units")
_KINDS = dict.fromkeys(PATHS, str) | dict.fromkeys(TABLES, dict)
_ABSENT = object()


@lru_cache(maxsize=1_024)
def _path(path: str) -> JSONPath | CompoundJSONPath:
    return jsonpath.compile(path if path.startswith("$") else f"$.{path}")


class _Value(NamedTuple):
    """A value that stands in a record."""

    observed_property: str
    source: object
    path: str
    problem: BadValue | None = None
    """Why nobody can say what stands there."""


@dataclass(frozen=True, slots=True)
class _Options:
    """The options of a route, each of the type it should have."""

    paths: Mapping[str, str]
    properties: Mapping[str, str]
    names: Mapping[str, str]
    units: Mapping[str, str]

    @staticmethod
    def of(route: Route) -> "_Options":
        """Sort the options of a route; `check` has seen that they fit."""
        tables = [_table(route.options.get(name, {})) for name in TABLES]
        paths = {name: str(route.options[name]) for name in PATHS if name in route.options}
        return _Options(paths, *tables)


def _table(given: object) -> dict[str, str]:
    return {str(key): str(value) for key, value in given.items()} if isinstance(given, dict) else {}


def check(route: Route) -> None:
    """Refuse options that no document could be read by.

    Raises:
        ValueError: Saying which.
    """
    for name, given in route.options.items():
        if not isinstance(given, _KINDS.get(name, ())):
            raise ValueError(  # noqa: TRY004 - a wrong type in a file is a wrong value
                f"{name} = {given!r} is none of the paths {', '.join(PATHS)}, "
                f"and none of the tables {', '.join(TABLES)}"
            )
    options, levels = _Options.of(route), route.filter.split("/")
    if bool(options.properties) == ("value" in options.paths):
        raise ValueError("format json needs either a table properties or a path value")
    if "thing" not in options.paths and "{thing}" not in levels:
        raise ValueError("neither an option thing nor the topic's {thing} tells the Thing")
    if not options.properties and "property" not in options.paths and "{property}" not in levels:
        raise ValueError("neither an option property nor the topic's {property} tells what it is")
    for key in (*options.properties, *options.units, *options.names.values()):
        if key not in OBSERVED_PROPERTIES:
            raise ValueError(f"there is no ObservedProperty {key!r}")
    _check_paths((*options.paths.values(), *options.properties.values()))


def _check_paths(paths: Iterable[str]) -> None:
    for path in paths:
        try:
            _path(path)
        except jsonpath.JSONPathError as error:
            raise ValueError(f"{path!r} is no JSONPath ({str(error).splitlines()[0]})") from error


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    whole = document(payload)
    options = _Options.of(route)
    for where, record in _records(whole, options.paths.get("items")):
        _Record(record, whole, where, fields, options).decode(route, sink)


def _records(whole: object, items: str | None) -> Iterator[tuple[str, object]]:
    """Yield the records of a document with their paths."""
    if items is None:
        yield "", whole
        return
    if not isinstance(whole, (dict, list)):
        raise Undecodable("bad_shape", f"nothing stands at {items}")
    matches = list(_path(items).finditer(whole))
    if not matches:
        raise Undecodable("bad_shape", f"nothing stands at {items}")
    for match in matches:
        where = _dotted(match.parts)
        if isinstance(match.obj, list):
            yield from ((f"{where}[{n}]", record) for n, record in enumerate(match.obj))
        else:
            yield where, match.obj


def _dotted(parts: tuple[int | str, ...]) -> str:
    """Write a path as people do: ``readings[3].value``."""
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return "".join(steps).removeprefix(".")


def _look(told: object, path: str) -> object:
    """Return what stands at a path.

    Raises:
        BadValue: More than one thing stands there.
    """
    if path == "$":
        return told
    if not isinstance(told, (dict, list)):
        return _ABSENT
    found = [match.obj for match in islice(_path(path).finditer(told), 2)]
    if len(found) > 1:
        raise BadValue("bad_shape", f"several values stand at {path}: read them with items")
    return found[0] if found else _ABSENT


@dataclass(frozen=True, slots=True)
class _Record:
    """One record of a document: of one Thing, at one time."""

    told: object
    whole: object
    where: str
    fields: Mapping[str, str]
    options: _Options

    def decode(self, route: Route, sink: Sink) -> None:
        """Read all values; what is wrong with one costs no other."""
        values = list(self._values())
        try:
            thing = identity(self._fact("thing", self.fields.get("thing")))
            time = moment(self._fact("time"), route.timezone)
        except BadValue as error:
            sink.reject(error.reason, error.detail, self.where, readings=max(1, len(values)))
            return
        if not values:
            sink.reject("bad_shape", "no value stands where the route says", self.where)
            return
        point = self._point(sink)
        for one in values:
            try:
                if one.problem:
                    raise one.problem
                value = number(one.source)
                unit = self._unit(one.observed_property)
            except BadValue as error:
                sink.reject(error.reason, error.detail, one.path)
                continue
            sink.reading(
                thing,
                one.observed_property,
                time,
                value,
                unit=unit,
                source=one.source,
                path=one.path,
                point=point,
            )

    def _fact(self, name: str, otherwise: object = None) -> object:
        """Return a fact of the record, or of the whole document; the given one without a path."""
        path = self.options.paths.get(name)
        if path is None:
            return otherwise
        found = _look(self.told, path)
        if found is _ABSENT and self.told is not self.whole:
            found = _look(self.whole, path)
        return None if found is _ABSENT else found

    def _values(self) -> Iterator[_Value]:
        """Yield what stands in the record."""
        options = self.options
        wanted = options.properties or {"": options.paths["value"]}
        for observed_property, path in wanted.items():
            at = self._at(path)
            try:
                source = _look(self.told, path)
                if source is not _ABSENT:
                    yield _Value(observed_property or self._property(), source, at)
            except BadValue as error:
                yield _Value(observed_property, None, at, error)

    def _property(self) -> str:
        """Return the property that the record or the topic names."""
        word = self._fact("property", self.fields.get("property"))
        if not isinstance(word, str):
            raise BadValue("bad_shape", "nothing tells which property it is")
        return self.options.names.get(word, word)

    def _at(self, path: str) -> str:
        """Write where in the document a path of the record leads."""
        steps = path.removeprefix("$").removeprefix(".")
        dot = "." if self.where and steps and not steps.startswith("[") else ""
        return f"{self.where}{dot}{steps}"

    def _unit(self, observed_property: str) -> str | None:
        unit = self._fact("unit")
        if unit is not None and unit != "":
            return str(unit)[:40]
        nobody_knows = UNKNOWN_UNIT if "unit" in self.options.paths else None
        return self.options.units.get(observed_property, nobody_knows)

    def _point(self, sink: Sink) -> Point | None:
        """Read the position, if one was told; a bad one costs no Reading."""
        try:
            return position(self._fact("lon"), self._fact("lat"))
        except BadValue as error:
            sink.reject(error.reason, error.detail, self.where, readings=0)
            return None
