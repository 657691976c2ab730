"""Decoding: what the lab would make of one payload, and that it then does the same."""

import ast
import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from livinglab.adapters.clocks import SettableClock
from livinglab.bootstrap import Lab, open_lab, open_recorder
from livinglab.config import DEFAULT_CATEGORIES, CityFile, Settings
from livinglab.domain.places import City
from livinglab.errors import SettingsError, UnsupportedFormatError
from livinglab.ports import Message
from livinglab.services.decoding import decode
from livinglab.wire.decoders import BY_BYTES, BY_DOCUMENT, BY_TEXT, FORMATS
from livinglab.wire.reasons import REASONS
from livinglab.wire.routes import Route

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
HERE = Path(__file__).parent
PAYLOADS = HERE.parent / "payloads"
SOURCES = HERE.parents[1] / "livinglab"


def lines(format_: str, payload: object, **given: Any) -> list[dict[str, Any]]:
    sent = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return list(decode(format_, sent, **{"now": NOW, **given}))


@pytest.mark.parametrize(
    ("payload", "topic", "taken"),
    [
        ((PAYLOADS / "santander_environment.json").read_bytes(), "", "santander-environment"),
        ((PAYLOADS / "santander_traffic.json").read_bytes(), "", "santander-traffic"),
        (b"18.4", "lab/a/temperature", "lab"),
        (b'{"v": null}', "lab/a/temperature", "lab"),
    ],
)
def test_auto_says_which_format_it_took(payload: bytes, topic: str, taken: str):
    """Then it does what that format does."""
    first, *rest = lines("auto", payload, topic=topic)

    assert {"format": taken} == first
    assert lines(taken, payload, topic=topic) == rest


@pytest.mark.parametrize("payload", [b"18.4", b'{"temp": 18.4}', b"[]", b'{"resources": 5}'])
def test_auto_does_not_guess_what_cannot_be_told(payload: bytes):
    """A number without a topic, or a document of no known shape, is anything."""
    assert ["unknown_format"] == [line["reject"] for line in lines("auto", payload)]


def test_auto_only_takes_formats_that_there_are():
    """What it recognises, it can also read."""
    assert BY_BYTES.keys() | BY_DOCUMENT.keys() | BY_TEXT.keys() <= FORMATS.keys()


def test_unknown_format_names_the_known():
    """A slip of the pen costs one try."""
    with pytest.raises(UnsupportedFormatError, match="santander-traffic"):
        lines("santander", b"{}")


def test_zone_that_does_not_exist_is_told():
    """It would otherwise shift every time, or break at the first."""
    with pytest.raises(SettingsError, match="Mars/Olympus"):
        lines("lab", b"1", topic="lab/a/no2", timezone="Mars/Olympus")


def test_json_without_a_route_is_told():
    """Format json knows nothing by itself."""
    with pytest.raises(SettingsError, match="properties"):
        lines("json", b"{}")


def test_route_gives_scheme_and_topic():
    """Format and zone of the command line fill what the route leaves open."""
    route = Route(name="r", filter="/in/{thing}/{property}", format="json", scheme="own")

    [line] = lines(
        "lab",
        {"v": 1, "t": "2026-07-01T12:00:00"},
        topic="/in/a/no2",
        route=route,
        timezone="Europe/Paris",
    )

    assert ["own:a", "2026-07-01T10:00:00Z"] == [line["thing"], line["time"]]


def test_a_document_that_breaks_is_one_refusal():
    """Nothing of it can be trusted."""
    assert [{"reject": "empty", "detail": "the payload is empty", "path": ""}] == lines(
        "santander-traffic", b""
    )


ROUTES = (
    Route(name="lab", filter="lab/{thing}/{property}", format="lab", scheme="lab"),
    Route(name="env", filter="env/city", format="santander-environment", scheme="santander"),
    Route(name="loops", filter="loops/city", format="santander-traffic", scheme="santander"),
    Route(
        name="flat",
        filter="flat/roof",
        format="json",
        scheme="flat",
        options={
            "thing": "dev",
            "properties": {"temperature": "t_out", "pressure": "baro.pa", "precipitation": "rain"},
            "units": {"pressure": "Pa"},
        },
    ),
)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab in memory whose clock stands still."""
    city = CityFile(
        city=City(key="testcity", name="Testcity", timezone="UTC"),
        categories={row.key: row for row in DEFAULT_CATEGORIES},
        routes=ROUTES,
    )
    settings = Settings(readings="memory:", civic="memory:", vault="memory:", media="memory:")
    opened = open_lab(settings, city=city, clock=SettableClock(NOW))
    yield opened
    opened.close()


def payload(name: str) -> bytes:
    return (PAYLOADS / name).read_bytes()


MESSAGES = [
    ("env/city", payload("santander_environment.json")),
    ("loops/city", payload("santander_traffic.json")),
    ("flat/roof", payload("weather_flat.json")),
    ("flat/roof", b"[1, 2]"),
    ("flat/roof", b'{"dev": "a\\u0000b", "t_out": 1, "rain": 2}'),
    ("lab/a/temperature", b"18.4"),
    ("lab/a/temperature", b"null"),
    ("lab/a/temperature", b"267.6"),
    ("lab/a/temperature", b"NaN"),
    ("lab/a/temperature", b'{"v": 68, "u": "F"}'),
    ("lab/a/temperature", b'{"v": 68, "u": "hPa"}'),
    ("lab/a/temperature", b'{"v": 68, "u": "parsec"}'),
    ("lab/a/no2", b'{"v": 1e308, "u": "mg/m3"}'),
    ("lab/a/no2", b'{"v": 1, "t": 99}'),
    ("lab/a/no2", b'{"v": 1, "t": 1900000000}'),
    ("lab/a/no2", b'{"v": 1, "lat": 99, "lon": 0}'),
    ("lab/a/mood", b'{"v": 1, "u": "Cel"}'),
    ("lab//no2", b"1"),
]


@pytest.mark.parametrize(("topic", "sent"), MESSAGES)
def test_the_lab_does_what_decode_tells(lab: Lab, topic: str, sent: bytes):
    """The same results, flags and refusals; and every message and Reading is accounted for."""
    route = next(one for one in ROUTES if one.name == topic.partition("/")[0])
    told = lines(route.format, sent, topic=topic, route=route)

    intake, _ = open_recorder(lab).record([Message(topic.encode(), sent, 0x32, len(sent))])

    assert [(line["result"], line["flag"]) for line in told if "thing" in line] == [
        (None if math.isnan(row.result) else row.result, row.flag) for row in intake.batch.rows()
    ]
    assert {line["reject"] for line in told if "reject" in line} == {
        one.reason for one in intake.refused
    }
    refused = Counter(line["reject"] for line in told if "reject" in line)
    tally = intake.tallies[route.name]
    if not tally.quarantined_messages:
        assert tally.quarantined_readings >= refused.total() - refused["bad_position"]


def reasons_in(source: Path) -> Iterator[str]:
    """Yield what the code gives as a reason: a text that stands where the reason belongs."""
    refusing = {"reject": 0, "Undecodable": 0, "BadValue": 0, "Refused": 0}
    refusing |= {"_refuse_whole": 2, "_quarantined": 2, "refuse": 1, "RefusedRow": 1}
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            at = node.args[refusing[name] :] if name in refusing else []
            if at and isinstance(at[0], ast.Constant):
                yield str(at[0].value)


def test_every_reason_is_explained():
    """Who finds a code in quarantine finds a sentence for it, and no sentence is left over."""
    given = {
        reason
        for folder in ("wire", "services", "adapters/timeseries")
        for source in (SOURCES / folder).glob("*.py")
        for reason in reasons_in(source)
    }

    assert REASONS.keys() == given
    assert all(text.endswith(".") and ";" in text for text in REASONS.values())


def test_a_route_tells_the_unit_that_its_source_should():
    """Order of trust: the message, then the route; what nobody tells stays unknown."""
    made = Route(
        name="air",
        filter="air/{thing}",
        format="json",
        scheme="air",
        units={"no2": "ppb"},
        options={"properties": {"no2": "no2", "o3": "o3"}, "unit": "u", "time": "t"},
    )

    def told(**more: str) -> list[list[Any]]:
        payload = orjson.dumps({"no2": 10, "o3": 10, "t": 1_767_225_600} | more)
        lines = decode("json", payload, topic="air/a", now=NOW, route=made)
        return [[line["result"], line["unit"], line["flag"]] for line in lines]

    assert [[19.125, "ug/m3", 1], [10.0, None, 2]] == [
        [round(line[0], 3), *line[1:]] for line in told()
    ]
    assert [[10.0, "ug/m3", 1], [10.0, "ug/m3", 1]] == told(u="ug/m3")
