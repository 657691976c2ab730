"""What a sender defines once is remembered: across batches, restarts and replays."""

from datetime import UTC, datetime
from typing import Any

from livinglab.adapters.clocks import SettableClock
from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.domain.ledger import Tally
from livinglab.domain.readings import Interval, to_ms
from livinglab.ports import Message
from livinglab.services.receiving import http_routes
from livinglab.services.recording import Recorder
from livinglab.services.registering import Registry
from livinglab.services.replaying import replay
from livinglab.wire import sparkplug
from livinglab.wire.routes import Route
from livinglab.wire.topics import Router

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ALWAYS = Interval(datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
PLANT = Route(
    name="plant",
    filter="spBv1.0/{group}/{type}/{edge}",
    format="sparkplug",
    scheme="plant",
    confirm=True,
    units={"temperature": "Cel", "relative_humidity": "%"},
)
DOUBLE = 10


class Lab:
    """A Recorder that can be started anew on the same stores."""

    def __init__(self) -> None:
        self.civic, self.readings = MemoryCivicStore(), MemoryReadingStore()
        self.start()

    def start(self) -> None:
        """Begin as a new process would."""
        self.recorder = Recorder(
            router=Router([PLANT]),
            registry=Registry(self.civic),
            readings=self.readings,
            civic=self.civic,
            clock=SettableClock(NOON),
            quarantine_cap=1_000_000,
        )

    def tell(self, kind: str, *metrics: dict[str, Any], at: int = 0) -> None:
        """Record one message of an edge node; *at* is the seconds before noon."""
        payload = sparkplug._payload_class()(timestamp=to_ms(NOON) - at * 1_000)
        for one in metrics:
            payload.metrics.add(datatype=DOUBLE, **one)
        sent = payload.SerializeToString()
        self.recorder.record([Message(f"spBv1.0/g/{kind}/edge".encode(), sent, 0x32, len(sent))])

    def results(self) -> dict[str, list[float]]:
        """Return what is stored, by property."""
        with self.civic.work(write=False) as work:
            series = work.things.datastreams()
        found = {
            one.observed_property: self.readings.between(one.number or 0, ALWAYS) for one in series
        }
        return {name: [one.result for one in several] for name, several in found.items()}

    def waiting(self) -> list[str]:
        """Return why something waits in quarantine, and see that the ledger adds up."""
        total = Tally()
        with self.civic.work(write=False) as work:
            for line in work.ledger.lines():
                total.add(line.tally)
            reasons = [one.reason for one in work.quarantine.page()]
        assert 0 == total.unaccounted
        return reasons


def name(text: str, alias: int, value: float) -> dict[str, Any]:
    return {"name": text.encode(), "alias": alias, "double_value": value}


def test_a_birth_gives_later_data_their_names():
    """In the batches after it, and after the lab was started anew."""
    lab = Lab()
    lab.tell("NBIRTH", name("temperature", 7, 1.0), at=3)
    lab.tell("NDATA", {"alias": 7, "double_value": 2.0}, at=2)
    lab.start()
    lab.tell("NDATA", {"alias": 7, "double_value": 3.0}, at=1)

    assert {"temperature": [1.0, 2.0, 3.0]} == lab.results()
    assert [] == lab.waiting()


def test_data_before_its_birth_wait_and_heal():
    """An unknown alias is quarantined; after the birth a replay reads it."""
    lab = Lab()
    lab.tell("NDATA", {"alias": 7, "double_value": 2.0}, at=2)
    assert ["unknown_alias"] == lab.waiting()

    lab.tell("NBIRTH", name("temperature", 7, 3.0), at=1)
    replay(lab.recorder)

    assert {"temperature": [2.0, 3.0]} == lab.results()
    assert [] == lab.waiting()


def test_a_replayed_birth_does_not_rename_what_came_later():
    """An old birth waits for another reason; meanwhile the node was born again."""
    lab = Lab()
    future = name("temperature", 7, 1.0)
    lab.tell("NBIRTH", future, at=-300)  # five minutes ahead: refused, with its definitions kept
    lab.tell("NBIRTH", name("relative_humidity", 7, 50.0), at=2)
    replay(lab.recorder)
    lab.tell("NDATA", {"alias": 7, "double_value": 51.0}, at=1)

    assert {"relative_humidity": [50.0, 51.0]} == lab.results()


def test_an_unreadable_birth_defines_nothing():
    """Its bytes broke off: what was known stays known."""
    lab = Lab()
    lab.tell("NBIRTH", name("temperature", 7, 1.0), at=3)
    broken = b"\x12\xff\xff"
    lab.recorder.record([Message(b"spBv1.0/g/NBIRTH/edge", broken, 0x32, len(broken))])
    lab.tell("NDATA", {"alias": 7, "double_value": 2.0}, at=2)

    assert {"temperature": [1.0, 2.0]} == lab.results()
    assert ["bad_protobuf"] == lab.waiting()


def test_formats_that_http_cannot_tell_enough_for_are_left_out():
    """Sparkplug names its sender by four levels of a topic; HTTP has none."""
    assert "sparkplug" not in {one.format for one in http_routes([PLANT])}
    assert {"lab", "senml", "ttn"} <= {one.format for one in http_routes([])}
