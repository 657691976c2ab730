"""Bench: how many messages a second each format's decoder takes, into columns, on one core.

Payloads are invented, of the shape and size that devices send. The series are registered before,
so this is what a message costs in steady state; storing it comes on top, the same for all.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from livinglab.adapters.clocks import SettableClock
from livinglab.adapters.relational.memory import MemoryCivicStore
from livinglab.adapters.timeseries.memory import MemoryReadingStore
from livinglab.ports import Message
from livinglab.services.recording import Recorder
from livinglab.services.registering import Registry
from livinglab.wire.routes import Route
from livinglab.wire.topics import Router

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MS = 1_767_268_000_000
ISO = "2026-01-01T11:46:40Z"
NGSI = {
    "id": "urn:ngsi-ld:AirQualityObserved:roof",
    "type": "AirQualityObserved",
    "dateObserved": {"type": "DateTime", "value": ISO},
    "no2": {"type": "Number", "value": 41.5, "metadata": {"unitCode": {"value": "GQ"}}},
    "temperature": {"type": "Number", "value": 21.5},
}
PAYLOADS: dict[str, tuple[str, object, Mapping[str, Any]]] = {
    "lab": ("lab/{thing}/{property}|lab/roof/no2", {"v": 41.5, "t": MS}, {}),
    "json": (
        "json/{thing}|json/roof",
        {"no2": 41.5, "temperature": 21.5, "t": MS},
        {"properties": {"no2": "no2", "temperature": "temperature"}, "time": "t"},
    ),
    "santander-environment": (
        "s/#|s/roof",
        {
            "dc:identifier": "3330",
            "dc:modified": ISO,
            "ayto:temperature": "21.5",
            "ayto:noise": "55.5",
            "ayto:light": "300.0",
            "ayto:battery": "87.0",
        },
        {},
    ),
    "santander-traffic": (
        "s/#|s/loop",
        {
            "ayto:idSensor": "1001",
            "dc:modified": ISO,
            "ayto:ocupacion": "4",
            "ayto:intensidad": "320",
            "ayto:carga": "12",
        },
        {},
    ),
    "senml": (
        "senml/#|senml/roof",
        [
            {"bn": "urn:dev:ow:10e2073a0108006:", "bt": MS / 1_000, "n": "temperature", "u": "Cel"}
            | {"v": 21.5},
            {"n": "humidity", "u": "%RH", "v": 55},
        ],
        {},
    ),
    "sensorthings": (
        "v1.1/{datastream}/Observations|v1.1/Datastreams(1)/Observations",
        {"phenomenonTime": ISO, "result": 41.5},
        {"datastreams": {"1": {"thing": "roof", "property": "no2"}}},
    ),
    "ngsi": ("ngsi/#|ngsi/roof", NGSI, {}),
    "ultralight": ("/ul/{key}/{thing}/attrs|/ul/k/roof/attrs", f"{ISO}|t|21.5|h|55".encode(), {}),
    "iotagent-json": (
        "/json/{key}/{thing}/attrs|/json/k/roof/attrs",
        {"TimeInstant": ISO, "t": "21.5", "h": "55%"},
        {},
    ),
    "ttn": (
        "v3/#|v3/app/devices/roof/up",
        {
            "end_device_ids": {"device_id": "roof", "dev_eui": "0102030405060708"},
            "received_at": ISO,
            "uplink_message": {
                "f_cnt": 7,
                "decoded_payload": {"temperature": 21.5, "humidity": 55},
                "received_at": ISO,
            },
        },
        {},
    ),
    "line-protocol": (
        "telegraf/#|telegraf/roof",
        f"air,device=roof no2=41i,temperature=21.5 {MS * 1_000_000}".encode(),
        {},
    ),
    "sensor-community": (
        "sc/{thing}|sc/roof",
        {
            "software_version": "NRZ-2020-133",
            "sensordatavalues": [
                {"value_type": "SDS_P1", "value": "12.5"},
                {"value_type": "SDS_P2", "value": "6.2"},
                {"value_type": "signal", "value": "-59"},
            ],
        },
        {},
    ),
    "tasmota": (
        "tele/{thing}/{message}|tele/roof/SENSOR",
        {"Time": ISO[:-1], "BME280": {"Temperature": 21.5, "Humidity": 55.0}, "TempUnit": "C"},
        {},
    ),
    "zigbee2mqtt": (
        "zigbee2mqtt/{thing}|zigbee2mqtt/roof",
        {"battery": 87, "humidity": 55, "last_seen": MS, "linkquality": 90, "temperature": 21.5},
        {},
    ),
}


def rate(name: str, n: int) -> tuple[float, float]:
    """Return messages and Readings a second of one format."""
    where, document, options = PAYLOADS[name]
    filter_, topic = where.split("|")
    payload = document if isinstance(document, bytes) else orjson.dumps(document)
    route = Route(
        name=name,
        filter=filter_,
        format=name,
        scheme=name,
        timezone="UTC",
        confirm=True,
        options=options,
    )
    civic = MemoryCivicStore()
    recorder = Recorder(
        router=Router([route]),
        registry=Registry(civic),
        readings=MemoryReadingStore(),
        civic=civic,
        clock=SettableClock(NOW),
        quarantine_cap=1 << 20,
    )
    message = Message(topic.encode(), payload, 0x32, len(payload))
    recorder.record([message])
    begun = time.process_time()
    intake = recorder.decode([message] * n)
    spent = time.process_time() - begun
    if intake.refused or not len(intake.batch):
        sys.exit(f"{name}: {[one.detail for one in intake.refused[:1]]}")
    return n / spent, len(intake.batch) / spent


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    found = {name: rate(name, options.messages) for name in PAYLOADS}
    if options.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return
    table = Table(title=f"{options.messages:,} messages of each format, one core")
    for column in ("format", "messages/s", "Readings/s"):
        table.add_column(column, justify="left" if column == "format" else "right")
    for name, (messages, readings) in found.items():
        table.add_row(name, f"{messages:,.0f}", f"{readings:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
