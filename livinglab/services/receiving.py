"""Receiving: Readings that come over HTTP go the way of those that come over MQTT.

Each format has a route of its own here, that of the city for the same format where there is one:
so a Thing stays the same Thing, whichever way it speaks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from livinglab.domain.ledger import Reject
from livinglab.domain.readings import Outcome
from livinglab.errors import InvalidError, SettingsError
from livinglab.ports import Message
from livinglab.services.recording import Recorder
from livinglab.wire.decoders import FORMATS, check_route, format_named, usual_route
from livinglab.wire.routes import Route

PREFIX = "http"
"""First level of the topics under which messages of HTTP are kept."""
QOS_1 = 0x32


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What became of one payload, all of it durable."""

    stored: int
    duplicate: int
    replaced: int
    quarantined: tuple[Reject, ...]


def http_routes(routes: Sequence[Route]) -> list[Route]:
    """Return a route for each format that HTTP can tell enough for.

    Args:
        routes: Those of the city; the first of a format says scheme, zone, trust and words.
    """
    first: dict[str, Route] = {}
    for route in routes:
        first.setdefault(route.format, route)
    found = []
    for name in FORMATS:
        like = first.get(name) or usual_route(name)
        route = replace(
            like,
            name=f"{PREFIX}:{like.name}",
            filter=f"{PREFIX}/{name}/{{thing}}/{{property}}",
            identity=None,
        )
        try:
            check_route(route)
        except SettingsError:
            continue  # it needs options that only a route of the city can give
        found.append(route)
    return found


class Receiver:
    """Takes payloads one after the other, from any thread."""

    def __init__(self, recorder: Recorder) -> None:
        """Bind a Recorder whose routes are those of `http_routes`."""
        self.recorder = recorder
        self._lock = Lock()

    def take(self, format_: str, payload: bytes, names: Mapping[str, str]) -> Received:
        """Record one payload; it is durable when this returns.

        Args:
            format_: Name of a decoder.
            payload: As it came.
            names: ``thing`` and ``property``, where the payload itself does not name them.

        Raises:
            UnsupportedFormatError: There is no such format.
            InvalidError: A name cannot stand in a topic, or the format needs a route.
            StoreUnavailableError: Nothing is certain; the same payload may be sent again.
        """
        format_named(format_)
        for name, value in names.items():
            if "/" in value or not value.isprintable():
                raise InvalidError(name, "must hold no slash and no control character")
        topic = f"{PREFIX}/{format_}/{names.get('thing', '')}/{names.get('property', '')}".encode()
        if self.recorder.router.route(topic) is None:
            raise InvalidError("format", f"{format_} needs a route in the city file")
        with self._lock:
            intake, appended = self.recorder.record([Message(topic, payload, QOS_1, len(payload))])
        return Received(
            stored=appended.outcomes.count(Outcome.NEW),
            duplicate=appended.outcomes.count(Outcome.DUPLICATE),
            replaced=appended.outcomes.count(Outcome.REPLACED),
            quarantined=(
                *intake.rejects,
                *(Reject(reason=one.reason, detail=one.detail[:300]) for one in appended.refused),
            ),
        )
