"""Format `ultralight`: FIWARE's Ultralight 2.0, words and values between bars, all of them text.

``t|15|k|abc`` is one group of measures; ``#`` parts several, each of which may begin with its
time: ``2016-06-13T00:35:30Z|t|15``. The Thing is named by the topic alone, and a topic that names
a property as well carries nothing but its value. ``device@command|result`` answers a command.
Words and values are read as `wire.attributes` says; a group with a word and no value is refused,
for nobody knows where its pairs begin.
"""

import re
from collections.abc import Mapping

from livinglab.wire.attributes import TIME, check_topics, tell_group, topic_thing
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable

_WRITTEN_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z_][\w.:@-]*", re.ASCII)

check = check_topics


def is_ultralight(payload: bytes, fields: Mapping[str, str]) -> bool:
    """Tell whether bytes look like groups of measures, or the answer to a command."""
    del fields  # a single value looks like anything
    try:
        groups = _text(payload).split("#")
    except Undecodable:
        return False
    return all(_is_group(_elements(group)) for group in groups)


def _is_group(elements: list[str]) -> bool:
    words = elements[::2]
    return len(elements) == 2 * len(words) and all(map(_WORD.fullmatch, words))


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    text = _text(payload)
    thing = topic_thing(fields)
    if word := fields.get("property"):
        tell_group([(word, text)], "", thing, route, sink)
        return
    groups = text.split("#")
    for n, group in enumerate(groups):
        _decode(_elements(group), f"[{n}]" if len(groups) > 1 else "", thing, route, sink)


def _decode(elements: list[str], where: str, thing: str, route: Route, sink: Sink) -> None:
    """Read one group; what is wrong with it costs no other."""
    words, values = elements[::2], elements[1::2]
    if "@" in words[0]:
        sink.ignore("command", where)
    elif len(words) != len(values):
        sink.reject("bad_shape", f"{words[-1][:60]!r} stands without a value", where)
    else:
        pairs = list(zip(words, values, strict=True))
        tell_group(pairs, f"{where}." if where else "", thing, route, sink)


def _text(payload: bytes) -> str:
    """Read a payload as text.

    Raises:
        Undecodable: It is empty, or not UTF-8.
    """
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError as fault:
        raise Undecodable("not_utf8", f"byte {fault.start} is not UTF-8") from None
    if not text:
        raise Undecodable("empty", "the payload is empty")
    return text


def _elements(group: str) -> list[str]:
    """Part a group at its bars; its time gets the word that it has in an entity."""
    elements = [element.strip() for element in group.strip().removeprefix("|").split("|")]
    return [TIME, *elements] if _WRITTEN_TIME.fullmatch(elements[0]) else elements
