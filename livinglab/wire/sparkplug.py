"""Format `sparkplug`: metrics of edge nodes and their devices, by Sparkplug B (3.0).

Topics ``spBv1.0/<group>/<type>/<edge>[/<device>]``, so it takes two routes, of which each names
its levels: ``spBv1.0/{group}/{type}/{edge}`` and ``spBv1.0/{group}/{type}/{edge}/{device}``. The
Thing is ``<group>/<edge>[/<device>]``, unless the route makes another of the levels.

A BIRTH names every metric, with its type and perhaps its unit (``engUnit``); the DATA after it
tells number and value only. So what a BIRTH defined is remembered, until the next BIRTH of the
same node or device. A number is unique across an edge node by the standard; that of a device is
looked for among its own, so that nodes that forget this do no harm.

The last part of a metric's name is read as a word for the quantity (`wire.words`), what stands
before it is the channel: ``North/temperature`` and ``South/temperature`` are two Datastreams.
Route option ``names`` may map last parts, or whole names, which then are of no channel.
"""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from livinglab.wire.documents import BadValue, identity, number
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable
from livinglab.wire.words import Quantity, check_words, named, quantity, unit_of

LEVELS = ("group", "type", "edge")
OWNER = ("group", "edge", "device")
BIRTHS = frozenset({"NBIRTH", "DBIRTH"})
DATA = frozenset({"NDATA", "DDATA"})
SILENT = frozenset({"NDEATH", "DDEATH", "NCMD", "DCMD", "STATE"})
"""Types of messages that hold no measurements."""
GOOD_QUALITY = 192
"""What the property ``Quality`` is where the source trusts its value."""
LARGEST_ALIAS = 2**63 - 1
"""The largest number that a store can be expected to hold."""
COMPRESSED = b"SPBV1.0_COMPRESSED"
"""The uuid of a payload whose metrics stand compressed inside another."""
REMEDY = "format sparkplug needs protobuf: pip install 'livinglab[sparkplug]'"

_CONTROLS = ("Node Control/", "Device Control/", "Node Info/", "Device Info/", "Properties/")
_SIGNED = {1: 8, 2: 16, 3: 32, 4: 64}
"""Data type → bits of whole numbers with a sign, which travel without one."""
_NUMBERS = frozenset({0, *range(1, 11)})
"""Data types of numbers; 0 is none told."""
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Payload": {
        "timestamp": (1, "uint64"),
        "metrics": (2, "Metric*"),
        "uuid": (4, "bytes"),
    },
    "Metric": {
        "name": (1, "bytes"),
        "alias": (2, "uint64"),
        "timestamp": (3, "uint64"),
        "datatype": (4, "uint32"),
        "is_null": (7, "bool"),
        "properties": (9, "Properties"),
        "int_value": (10, "uint32"),
        "long_value": (11, "uint64"),
        "float_value": (12, "float"),
        "double_value": (13, "double"),
    },
    "Properties": {"keys": (1, "bytes*"), "values": (2, "Property*")},
    "Property": {"int_value": (3, "uint32"), "string_value": (8, "bytes")},
}
"""Message → field → number and type, * for many: as far as a Reading needs them."""
_WHOLE = {"int_value": 32, "long_value": 64}
"""Field of whole numbers → its bits."""


class _Definition(NamedTuple):
    """What a BIRTH says of a metric."""

    name: str
    datatype: int = 0
    unit: str = ""

    def text(self) -> str:
        """Write it down for `Sink.remember`."""
        return orjson.dumps(tuple(self)).decode()


@lru_cache(maxsize=4_096)
def _defined(text: str) -> _Definition:
    return _Definition(*orjson.loads(text))


def check(route: Route) -> None:
    """Refuse a route whose topics do not tell who speaks, and a lab that cannot read them.

    Raises:
        ValueError: Saying which.
    """
    if route.filter.endswith("#") or not set(LEVELS) <= route.names():
        raise ValueError(
            f"the filter {route.filter!r} does not name its levels, as in "
            "spBv1.0/{group}/{type}/{edge} and spBv1.0/{group}/{type}/{edge}/{device}"
        )
    check_words(route)
    try:
        _payload_class()
    except Undecodable as error:
        raise ValueError(error.detail) from None


def is_sparkplug(payload: bytes, fields: Mapping[str, str]) -> bool:
    """Tell whether a message looks like one of this format: its topic does."""
    del payload  # bytes of protobuf look like anything
    return set(LEVELS) <= fields.keys() and fields["type"] in BIRTHS | DATA | SILENT


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    if not set(LEVELS) <= fields.keys():
        raise Undecodable("no_identity", "the topic names no {group}, {type} and {edge}")
    kind = fields["type"]
    if kind in SILENT:
        sink.ignore("no_data", kind)
        return
    if kind not in BIRTHS | DATA or (kind[0] == "D") != ("device" in fields):
        raise Undecodable("bad_shape", f"{kind[:20]!r} is no type of message at such a topic")
    try:
        owner = identity("/".join(fields[one] for one in OWNER if one in fields))
    except BadValue as error:
        raise Undecodable(error.reason, error.detail) from None
    told = _parse(payload)
    if kind in BIRTHS:
        metrics = _born(told.metrics, sink)
        sink.remember(owner, {one.number: one.definition.text() for one in metrics})
    else:
        metrics = _updated(told.metrics, sink.recall(owner), sink)
    for one in metrics:
        _tell(one, fields.get("thing", owner), one.sent.timestamp or told.timestamp, route, sink)


@lru_cache(maxsize=1)
def _payload_class() -> Any:
    """Make the class of payloads from the numbers of the standard.

    Raises:
        Undecodable: The optional package for it is not installed.
    """
    try:
        from google.protobuf import (  # type: ignore[import-untyped]  # noqa: PLC0415 - optional
            descriptor_pb2,
            descriptor_pool,
            message_factory,
        )
    except ImportError:
        raise Undecodable("missing_package", REMEDY) from None
    package = "livinglab.sparkplug"
    file = descriptor_pb2.FileDescriptorProto(
        name="sparkplug.proto", package=package, syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number_, kind) in fields.items():
            added = message.field.add(name=field, number=number_)
            added.label = added.LABEL_REPEATED if kind[-1] == "*" else added.LABEL_OPTIONAL
            if (inner := kind.rstrip("*")) in _MESSAGES:
                added.type, added.type_name = added.TYPE_MESSAGE, f".{package}.{inner}"
            else:
                added.type = getattr(added, f"TYPE_{inner.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Payload"))


def _parse(payload: bytes) -> Any:
    """Read a payload.

    Raises:
        Undecodable: It is none, or holds no metrics.
    """
    if not payload:
        raise Undecodable("empty", "the payload is empty")
    payloads = _payload_class()
    try:
        told = payloads.FromString(payload)
    except Exception as error:  # whatever a library makes of hostile bytes
        raise Undecodable("bad_protobuf", str(error)[:200]) from error
    if told.uuid == COMPRESSED:
        raise Undecodable("bad_shape", "it is compressed; switch that off at the edge node")
    if not told.metrics:
        raise Undecodable("bad_shape", "there are no metrics")
    return told


class _Metric(NamedTuple):
    """A metric of a message, and what a BIRTH says of it."""

    number: int
    """Its alias; below zero where it has none."""
    definition: _Definition
    sent: Any
    path: str


def _born(sent: Iterable[Any], sink: Sink) -> list[_Metric]:
    """Read what a BIRTH defines; a metric that is not well defined costs no other."""
    found = []
    for n, one in enumerate(sent):
        path = f"metrics[{n}]"
        try:
            definition = _Definition(_text(one.name), one.datatype, _unit(one))
        except BadValue as error:
            sink.reject(error.reason, error.detail, path)
            continue
        if not definition.name or one.alias > LARGEST_ALIAS:
            sink.reject("bad_shape", "a BIRTH must name each metric, by a name and a number", path)
            continue
        found.append(_Metric(one.alias if one.HasField("alias") else -1 - n, definition, one, path))
    return found


def _updated(sent: Iterable[Any], known: Mapping[int, str], sink: Sink) -> list[_Metric]:
    """Read what DATA is about, by number, else by name."""
    found = []
    names: dict[str, _Definition] | None = None
    for n, one in enumerate(sent):
        path = f"metrics[{n}]"
        if one.HasField("alias") and (text := known.get(one.alias)):
            found.append(_Metric(one.alias, _defined(text), one, path))
            continue
        try:
            name = _text(one.name)
        except BadValue as error:
            sink.reject(error.reason, error.detail, path)
            continue
        if not name:
            detail = f"no BIRTH has told what metric {one.alias} is"
            sink.reject("unknown_alias", detail, path)
            continue
        if names is None:
            names = {each.name: each for each in map(_defined, known.values())}
        found.append(_Metric(-1, names.get(name) or _Definition(name), one, path))
    return found


def _tell(metric: _Metric, thing: str, time: int, route: Route, sink: Sink) -> None:
    """Tell a sink of one metric; what is wrong with it costs no other."""
    definition, sent, path = metric.definition, metric.sent, metric.path
    if definition.name == "bdSeq" or definition.name.startswith(_CONTROLS):
        sink.ignore("no_measurement", path)
        return
    try:
        value = _value(sent, sent.datatype or definition.datatype)
        unit = _unit(sent) or definition.unit
    except BadValue as error:
        sink.reject(error.reason, error.detail, path)
        return
    if value is None:
        sink.ignore("no_measurement", path)
        return
    meaning = _meaning(definition.name, route)
    if meaning is None:
        sink.reject("unknown_property", f"{definition.name[-80:]!r} is no property", path)
        return
    sink.reading(
        thing,
        meaning.observed_property,
        time or None,
        value,
        unit=unit_of(meaning, unit),
        source=None if math.isnan(value) else value,
        path=path,
        channel=meaning.channel,
        doubted=_quality(sent) != GOOD_QUALITY,
    )


def _value(sent: Any, datatype: int) -> float | None:
    """Return the number of a metric, NaN where it is missing, None where it is no number.

    Raises:
        BadValue: It cannot be known, or is not finite.
    """
    if datatype not in _NUMBERS:
        return None
    if sent.is_null:
        return math.nan
    for field, width in _WHOLE.items():
        if sent.HasField(field):
            return _whole(getattr(sent, field), width, datatype)
    for field in ("float_value", "double_value"):
        if sent.HasField(field):
            return number(getattr(sent, field))
    return None


def _whole(told: int, width: int, datatype: int) -> float:
    """Read a whole number, which travels without its sign."""
    if not datatype and told >> (width - 1):
        raise BadValue("unknown_alias", f"{told} may be negative: no BIRTH has told its type")
    bits = _SIGNED.get(datatype)
    if bits is None:
        return float(told)
    low = told & ((1 << bits) - 1)
    return float(low - (1 << bits) if low >> (bits - 1) else low)


def _meaning(name: str, route: Route) -> Quantity | None:
    """Say which quantity a metric is, by its whole name or by the last part of it."""
    if found := named(name, route):
        return found
    folder, _, word = name.rpartition("/")
    found = quantity(word, route)
    if found is None or not folder:
        return found
    return found._replace(channel="/".join(filter(None, (folder, found.channel))))


def _property(sent: Any, key: bytes) -> Any:
    """Return a property that a metric carries; None if it does not."""
    told = sent.properties
    return next(
        (value for one, value in zip(told.keys, told.values, strict=False) if one == key), None
    )


def _unit(sent: Any) -> str:
    found = _property(sent, b"engUnit")
    return "" if found is None else _text(found.string_value)


def _quality(sent: Any) -> int:
    found = _property(sent, b"Quality")
    return GOOD_QUALITY if found is None else int(found.int_value)


def _text(told: bytes) -> str:
    """Read a text.

    Raises:
        BadValue: It is no UTF-8.
    """
    try:
        return told.decode()
    except UnicodeDecodeError:
        raise BadValue("not_utf8", f"{told[:20]!r} is no UTF-8") from None
