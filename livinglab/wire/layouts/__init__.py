"""Layouts: what is known of the columns of bulk files, as TOML that ships or that a city writes.

``base = "madrid-hourly"`` begins with a layout that ships; what is said beside it takes the place
of what is said there, key by key. `docs/how-to/history.md` lists the keys.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.errors import SettingsError
from livinglab.wire.table import Empty, Layout, Meaning, Quantity, Stamps, Values

Row = Mapping[str, Any]
Made = TypeVar("Made")

_KEYS: dict[str, set[str]] = {
    "thing": {"column", "match"},
    "property": {"column", "names"},
    "unit": {"column"},
    "time": {"columns", "format"},
    "point": {"lon", "lat"},
    "flags": set(),
    "values": {"column", "match", "property", "unit", "factor", "flag"},
}
"""Table of a layout → its keys; none are listed where the source's own words are the keys."""
_PLAIN = {
    "base",
    "scheme",
    "confirm",
    "delimiter",
    "timezone",
    "stamps",
    "interval_s",
    "empty",
    "optional",
}


def shipped() -> list[str]:
    """List the names of the layouts that ship."""
    found = (one.name for one in files(__name__).iterdir())
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


def layout_named(name: str) -> Layout:
    """Return a layout that ships, by name, or that of a TOML file.

    Raises:
        SettingsError: There is none, or it cannot be used.
    """
    if not name.endswith(".toml"):
        return layout_from({"base": name}, name)
    path = Path(name)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"{path} cannot be read ({error.strerror})"
        raise SettingsError("--layout", problem, "name a readable TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), f"is not TOML: {error}", "mend that line") from error
    return layout_from(document, path.stem)


def _shipped(name: str) -> dict[str, Any]:
    if name not in shipped():
        remedy = f"name one of {', '.join(shipped())}, or a file that ends in .toml"
        raise SettingsError("--layout", f"there is no layout {name!r}", remedy)
    return tomllib.loads((files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))


def layout_from(document: Row, name: str) -> Layout:
    """Make a Layout of a parsed document.

    Raises:
        SettingsError: Naming the layout, and what is wrong with it.
    """
    try:
        _refuse_unknown(document)
        base = _shipped(document["base"]) if "base" in document else {}
        return replace(_layout(_merged(base, document), name), document=dict(document))
    except KeyError as error:
        raise SettingsError(f"layout {name}", f"lacks {error.args[0]!r}", "add it") from error
    except (TypeError, ValueError, AttributeError, re.error) as error:
        raise SettingsError(f"layout {name}", str(error), "correct it") from error


def _merged(base: Row, own: Row) -> dict[str, Any]:
    """Lay a document over its base: tables key by key, all else as a whole."""
    merged = dict(base)
    for key, value in own.items():
        under = base.get(key)
        if isinstance(value, dict) and isinstance(under, dict):
            merged[key] = _merged(under, value)
        else:
            merged[key] = value
    return merged


def _refuse_unknown(document: Row) -> None:
    """Refuse keys that nobody reads: they are misspelt."""
    unknown = document.keys() - _KEYS.keys() - _PLAIN
    for table, keys in _KEYS.items():
        rows = document.get(table, {})
        for row in rows if isinstance(rows, list) else [rows]:
            if keys:
                unknown |= {f"{table}.{key}" for key in row.keys() - keys}
    if unknown:
        raise ValueError(f"nobody reads {', '.join(sorted(unknown))}")


def _layout(row: Row, name: str) -> Layout:
    thing, told, time = row.get("thing", {}), row.get("property", {}), row["time"]
    names = {code: _quantity(known) for code, known in told.get("names", {}).items()}
    found = Layout(
        name=name,
        scheme=row["scheme"],
        values=tuple(_values(one) for one in row["values"]),
        time=tuple(time["columns"]),
        time_format=time.get("format"),
        thing=thing.get("column"),
        thing_match=_pattern(thing, "match"),
        observed_property=told.get("column"),
        names=names,
        unit=row.get("unit", {}).get("column"),
        point=(row["point"]["lon"], row["point"]["lat"]) if "point" in row else None,
        flags={text: Meaning(meaning) for text, meaning in row.get("flags", {}).items()},
        optional=frozenset(row.get("optional", ())),
        delimiter=row.get("delimiter", ","),
        timezone=_zone(row.get("timezone")),
        stamps=Stamps(row.get("stamps", "start")),
        interval_s=_given(row, "interval_s", float),
        empty=Empty(row.get("empty", "missing")),
        confirm=bool(row.get("confirm", False)),
    )
    _check(found)
    return found


def _check(layout: Layout) -> None:
    """Refuse what contradicts itself, or leaves a Reading without what it needs."""
    if layout.stamps is not Stamps.START and not layout.interval_s:
        raise ValueError(f"stamps = {layout.stamps.value!r} needs interval_s")
    if len(layout.delimiter) != 1:
        raise ValueError("delimiter must be one character")
    if layout.thing_match and "thing" not in layout.thing_match.groupindex:
        raise ValueError("thing.match names no group (?P<thing>…)")
    for one in layout.values:
        groups = one.match.groupindex
        if layout.thing is None and "thing" not in groups:
            raise ValueError("nothing tells the Thing: thing.column, or a group (?P<thing>…)")
        if not (layout.observed_property or one.observed_property or "property" in groups):
            raise ValueError("nothing tells the property of a column of values")
        if "hour" in groups and layout.time_format is None:
            raise ValueError("a group (?P<hour>…) needs time.format")


def _values(row: Row) -> Values:
    match = _pattern(row, "match") or re.compile(re.escape(row["column"]))
    return Values(
        match=match,
        observed_property=_known(row["property"]) if "property" in row else None,
        unit=row.get("unit"),
        factor=float(row.get("factor", 1.0)),
        flag=row.get("flag"),
    )


def _quantity(known: str | Row) -> Quantity:
    if isinstance(known, str):
        return _known(known), None
    return _known(known["property"]), known.get("unit")


def _known(key: str) -> str:
    if key not in OBSERVED_PROPERTIES:
        raise ValueError(f"there is no ObservedProperty {key!r}")
    return key


def _pattern(row: Row, key: str) -> re.Pattern[str] | None:
    return _given(row, key, re.compile)


def _given(row: Row, key: str, make: Callable[[Any], Made]) -> Made | None:
    return make(row[key]) if key in row else None


def _zone(name: str | None) -> str | None:
    if name is not None:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, OSError) as error:
            raise ValueError(f"{name!r} is no time zone") from error
    return name
