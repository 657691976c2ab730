"""Format `zigbee2mqtt`: the state of a Zigbee device, whole each time anything about it changes.

The Thing is named by the topic alone, ``zigbee2mqtt/<thing>``; friendly names may hold slashes, so
a route may make the identity of several levels. What the bridge says of itself, of the devices'
availability, and what others ask of it (``bridge/…``, ``…/availability``, ``…/set``, ``…/get``)
comes under the same filters and is passed over unread.

A state holds null for what the device has not reported yet: that is no missing Reading. Nor is
``occupancy`` one of the road: it says whether somebody is there. ``last_seen``, if the bridge is
set to tell it, is the time, by the bridge's clock. A word that ends in the number of an endpoint
(``temperature_l1``, ``temperature_2``) names a channel.

Option of the route: ``names``, a table of word = property, in the property's own unit.
"""

import re
from collections.abc import Mapping

from livinglab.domain.readings import TimeSource
from livinglab.wire.attributes import Teller, check_topics, mapped, topic_thing
from livinglab.wire.documents import BadValue, document, moment
from livinglab.wire.routes import Route
from livinglab.wire.sinks import Sink, Undecodable
from livinglab.wire.words import Quantity

TIME = "last_seen"
WORDS = {
    "temperature": Quantity("temperature"),
    "humidity": Quantity("relative_humidity"),
    "pressure": Quantity("pressure"),
    "illuminance": Quantity("illuminance"),
    "illuminance_lux": Quantity("illuminance"),
    "pm1": Quantity("pm1"),
    "pm25": Quantity("pm25"),
    "pm10": Quantity("pm10"),
    "co2": Quantity("co2"),
    "co": Quantity("co", "ppm"),
    "noise": Quantity("noise_level"),
    "battery": Quantity("battery"),
}
"""What Zigbee2MQTT exposes of what a city measures, in the units that it exposes."""

RAW, LUX = "illuminance", "illuminance_lux"
"""Before version 2 the first was no illuminance wherever the second stands beside it."""

_ENDPOINT = re.compile(r"(.+)_(l?\d+)", re.ASCII)
_ABOUT = frozenset({"availability", "get", "set"})

check = check_topics


def is_zigbee2mqtt(told: object, fields: Mapping[str, str]) -> bool:
    """Tell whether a document looks like the state of a device: by the quality of its radio."""
    del fields  # the documents tell enough
    return isinstance(told, dict) and "linkquality" in told


def decode(payload: bytes, fields: Mapping[str, str], route: Route, sink: Sink) -> None:
    """Read one message: see `wire.sinks`."""
    if _is_no_state(fields, route):
        sink.ignore("no_state")
        return
    told = document(payload)
    if not isinstance(told, dict):
        raise Undecodable("bad_shape", "a state must be an object")
    thing = topic_thing(fields)
    known = _known(told, route, sink)
    if not known:
        return
    try:
        time = moment(told.get(TIME), route.timezone)
    except BadValue as error:
        sink.reject(error.reason, error.detail, TIME, readings=len(known))
        return
    teller = Teller(sink=sink, thing=thing, time=time, time_source=TimeSource.NETWORK)
    for word, meaning in known.items():
        teller.tell(meaning, told[word], word)


def _is_no_state(fields: Mapping[str, str], route: Route) -> bool:
    """Tell by the topic's levels; a device may well be called ``river/bridge``."""
    levels = [level for name, level in fields.items() if name not in route.defaults]
    return bool(levels) and (
        levels[0].split("/")[0] == "bridge" or levels[-1].split("/")[-1] in _ABOUT
    )


def _known(told: Mapping[str, object], route: Route, sink: Sink) -> dict[str, Quantity]:
    """Return what each word means that is a measurement; the others are passed over."""
    known = {}
    for word, source in told.items():
        meaning = _meaning(word, route)
        if word == TIME:
            continue
        if source is None:
            sink.ignore("not_known_yet", word)
        elif meaning is None or (word == RAW and LUX in told):
            sink.ignore("no_measurement", word)
        else:
            known[word] = meaning
    return known


def _meaning(word: str, route: Route) -> Quantity | None:
    if found := mapped(word, WORDS, route):
        return found
    endpoint = _ENDPOINT.fullmatch(word)
    found = mapped(endpoint[1], WORDS, route) if endpoint else None
    return found._replace(channel=endpoint[2]) if endpoint and found else None
