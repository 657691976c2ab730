"""Format `iotagent-json`: what devices send to FIWARE's IoT Agent for JSON.

One object of words and values, or a list of such groups: ``{"h": "45%", "t": "23"}``. Numbers are
often text, with or without their unit; ``TimeInstant`` is the time. The Thing is named by the topic
alone, ``/json/<key>/<device>/attrs``, whose leading slash is an empty first level; a topic that
names a property as well carries nothing but its value. Words and values are read as
`wire.attributes` says.
"""

from collections.abc import Mapping

from livinglab.wire.attributes import TIME, check_topics, tell_group, topic_thing
from livinglab.wire.documents import document
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable

check = check_topics


def is_iotagent_json(told: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a document looks like groups of measures: by the time that the agent defines.

    Without times it looks like any JSON. An entity of NGSI has the same word, and an id of its own.
    """
    del fields  # what topics are called is the city's choice
    groups = told if isinstance(told, list) else [told]
    return bool(groups) and all(
        isinstance(one, dict) and TIME in one and "id" not in one for one in groups
    )


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    if word := fields.get("property"):
        tell_group([(word, _single(payload))], "", topic_thing(fields), route, sink)
        return
    told = document(payload)
    if not isinstance(told, (dict, list)):
        raise Undecodable("bad_shape", "a message must be an object, or a list of them")
    thing = topic_thing(fields)
    if isinstance(told, dict):
        tell_group(list(told.items()), "", thing, route, sink)
        return
    for n, group in enumerate(told):
        if isinstance(group, dict):
            tell_group(list(group.items()), f"[{n}].", thing, route, sink)
        else:
            sink.reject("bad_shape", "a group must be an object", f"[{n}]")


def _single(payload: bytes) -> object:
    """Read a value that stands alone: JSON, or plain text such as ``45%``."""
    try:
        return document(payload)
    except Undecodable as error:
        if error.reason != "bad_json":
            raise
        return payload.decode()
