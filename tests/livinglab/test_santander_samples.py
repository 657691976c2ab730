"""Real answers of Santander's open data, recorded: nothing lost, nothing invented."""

from datetime import UTC, datetime

import orjson
import pytest

from livinglab.adapters.clocks import SettableClock
from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.config import read_settings
from livinglab.domain.ledger import Tally
from livinglab.domain.readings import Flag
from livinglab.ports import Message
from livinglab.services.gathering import Intake
from livinglab.services.recording import Recorder
from livinglab.services.registering import Registry
from livinglab.wire.routes import Route
from livinglab.wire.topics import Router

NODES = Route(name="nodes", filter="nodes", format="santander-environment", scheme="node")
LOOPS = Route(name="loops", filter="loops", format="santander-traffic", scheme="loop")


def sample(name: str) -> bytes:
    path = read_settings().samples / "santander" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here; LIVINGLAB_SAMPLES names the folder of sample data")
    return path.read_bytes()


def record(route: Route, payload: bytes) -> tuple[Recorder, Intake, Tally]:
    """Record an answer twice; return the first intake, and what the ledger says of both."""
    civic = MemoryCivicStore()
    recorder = Recorder(
        router=Router([route]),
        registry=Registry(civic, provision_limit=1_000),
        readings=MemoryReadingStore(),
        civic=civic,
        clock=SettableClock(datetime(2026, 1, 1, tzinfo=UTC)),
        quarantine_cap=1_000_000,
    )
    message = Message(route.filter.encode(), payload, 0x32, len(payload))
    first, _ = recorder.record([message])
    recorder.record([message])
    found = Tally()
    with civic.work(write=False) as work:
        for line in work.ledger.lines():
            found.add(line.tally)
    return recorder, first, found


@pytest.mark.parametrize(
    ("route", "name", "things", "per_thing", "missing"),
    [
        (NODES, "environment_snapshot.json", 651, 4, 592 + 117 + 46),
        (LOOPS, "traffic_snapshot.json", 482, 3, 0),
    ],
)
def test_real_answer_is_stored_once(
    route: Route, name: str, things: int, per_thing: int, missing: int
):
    """Every attribute is a Reading, missing ones too; the same answer again is all duplicates."""
    recorder, _, tally = record(route, sample(name))

    rows = things * per_thing
    expected = Tally(
        messages=2,
        decoded=2,
        readings=2 * rows,
        stored=rows,
        duplicate=rows,
        missing=2 * missing,
    )
    assert expected == tally
    assert 0 == tally.unaccounted
    assert things == len(recorder.registry.things)
    assert rows == recorder.readings.count()


@pytest.mark.parametrize(
    ("route", "name", "identity", "attributes"),
    [
        (
            NODES,
            "environment_snapshot.json",
            "dc:identifier",
            {"temperature": "temperature", "illuminance": "light", "noise_level": "noise"}
            | {"battery": "battery"},
        ),
        (
            LOOPS,
            "traffic_snapshot.json",
            "ayto:idSensor",
            {"occupancy": "ocupacion", "vehicle_flow": "intensidad", "traffic_load": "carga"},
        ),
    ],
)
def test_every_result_stands_in_the_answer(
    route: Route, name: str, identity: str, attributes: dict[str, str]
):
    """Nothing is invented: result, Thing and time are those of the source, empty is missing."""
    payload = sample(name)
    recorder, intake, _ = record(route, payload)

    series = {number: one for one, number in recorder.registry.of_scheme(route.scheme).items()}
    kept = {}
    for reading in intake.batch.rows():
        thing, observed_property, _ = series[reading.datastream]
        result = None if reading.flag == Flag.MISSING else reading.result
        kept[thing, observed_property] = (reading.time, result)
    told = {}
    for one in orjson.loads(payload)["resources"]:
        for observed_property, attribute in attributes.items():
            text = one[f"ayto:{attribute}"]
            time = datetime.fromisoformat(one["dc:modified"])
            told[one[identity], observed_property] = (time, float(text) if text else None)
    assert told == kept
