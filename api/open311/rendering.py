"""Rendering: documents of GeoReport v2 in XML and in JSON, as its clients read them.

The JSON form drops the outer element, a list is an array even of one, and what is empty is null.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from fastapi import Response

FORMATS = ("xml", "json")
TYPES = {"xml": "text/xml; charset=utf-8", "json": "application/json; charset=utf-8"}
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that XML 1.0 does not allow."""

Row = Mapping[str, Any]
"""Name of an element → text, number, boolean, None, or a list of `Row` under `Items`."""


class Items:
    """A list inside a row, with the name of each element."""

    def __init__(self, name: str, rows: Sequence[Any]) -> None:
        """Name the elements."""
        self.name, self.rows = name, rows


def listed(fmt: str, outer: str, inner: str, rows: Sequence[Row], status: int = 200) -> Response:
    """Answer with a list: in JSON a bare array."""
    if fmt == "json":
        return _json([_plain(one) for one in rows], status)
    root = ET.Element(outer)
    for one in rows:
        _fill(ET.SubElement(root, inner), one)
    return _xml(root, status)


def single(fmt: str, outer: str, row: Row) -> Response:
    """Answer with one thing: in JSON an object."""
    if fmt == "json":
        return _json(_plain(row), 200)
    root = ET.Element(outer)
    _fill(root, row)
    return _xml(root, 200)


def refused(fmt: str, status: int, descriptions: Sequence[str], **headers: str) -> Response:
    """Answer with what is wrong, in words for whoever posted."""
    rows = [{"code": status, "description": one} for one in descriptions]
    found = listed(fmt, "errors", "error", rows, status)
    found.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return found


def time(instant: datetime | None) -> str | None:
    """Write an instant as its readers expect it: UTC, whole seconds, Z."""
    return None if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value: Any) -> Any:
    if isinstance(value, Items):
        return [_plain(one) for one in value.rows]
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return None if value == "" else value


def _fill(element: ET.Element, value: Any) -> None:
    if isinstance(value, Mapping):
        for name, one in value.items():
            _fill(ET.SubElement(element, name), one)
    elif isinstance(value, Items):
        for one in value.rows:
            _fill(ET.SubElement(element, value.name), one)
    elif value is not None:
        element.text = _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _FORBIDDEN.sub("", str(value))


def _xml(root: ET.Element, status: int) -> Response:
    body = ET.tostring(root, encoding="unicode", short_empty_elements=True)
    text = f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'
    return Response(text.encode(), status, media_type=TYPES["xml"])


def _json(document: Any, status: int) -> Response:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return Response(text.encode("utf-8", "replace"), status, media_type=TYPES["json"])
