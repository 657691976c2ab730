"""Readings: a Thing sends them over HTTP, and everybody reads them, one by one or by period."""

import csv
import io
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from api import public
from api.dependencies import BodyDep, LabDep, ReadDep, demand
from api.pages.rendering import json_response
from api.routes.places import LONGEST_S, read_time
from livinglab.domain.access import Scope
from livinglab.domain.observed_properties import OBSERVED_PROPERTIES
from livinglab.domain.readings import Interval
from livinglab.errors import InvalidError, NotFoundError
from livinglab.services.joining import MOST_BUCKETS
from livinglab.services.receiving import Receiver

router = APIRouter(tags=["readings"])

MOST_READINGS = 10_000


@router.post("/readings")
def post_readings(
    request: Request,
    lab: LabDep,
    payload: BodyDep,
    format: str,  # noqa: A002 - the public name
    thing: str = "",
    property: str = "",  # noqa: A002 - the public name
) -> dict[str, Any]:
    """Take one payload as if it had come over MQTT: it is durable when this is answered.

    What is refused is kept in quarantine, and told with its reason.
    """
    with lab.work(write=False) as work:
        demand(request, work, Scope.SUBMIT)
    receiver: Receiver = request.app.state.receiver
    return public.received(receiver.take(format, payload, {"thing": thing, "property": property}))


@router.get("/datastreams/{key}/readings")
def list_readings(
    key: str,
    lab: LabDep,
    work: ReadDep,
    from_: Annotated[str | None, Query(alias="from")] = None,
    to: str | None = None,
    every: Annotated[
        int | None, Query(ge=1, le=LONGEST_S, description="Length of a period. [s]")
    ] = None,
    format: Literal["json", "csv"] = "json",  # noqa: A002 - the public name
) -> Response:
    """List the Readings of a Datastream, oldest first; missing is null in JSON, empty in CSV."""
    datastream = work.things.datastream(key)
    owner = work.things.get(datastream.thing) if datastream else None
    if datastream is None or owner is None or not owner.public:
        raise NotFoundError("Datastream", key)
    end = read_time("to", to, lab.clock.now())
    start = read_time("from", from_, end - timedelta(days=1))
    if start > end:
        raise InvalidError("from", "must not lie after `to`")
    known = OBSERVED_PROPERTIES[datastream.observed_property]
    interval, number = Interval(start, end), datastream.number or 0
    following: str | None = None
    rows: list[dict[str, Any]]
    if every is None:
        found = lab.readings.between(number, interval, limit=MOST_READINGS + 1)
        if len(found) > MOST_READINGS:
            following = public.time(found[MOST_READINGS].time)
        rows = [public.reading(one, known.unit) for one in found[:MOST_READINGS]]
    else:
        if (end - start) / timedelta(seconds=every) > MOST_BUCKETS:
            raise InvalidError("every", f"must give at most {MOST_BUCKETS} periods")
        buckets = lab.readings.every(number, interval, timedelta(seconds=every), known.aggregation)
        rows = [{**public.bucket(one, None), "unit": known.unit} for one in buckets]
    if format == "csv":
        return _csv(rows)
    facts = {"datastream": key, "property": known.key, "unit": known.unit}
    after = f"?from={following}&to={public.time(end)}" if following else None
    return json_response({**facts, "items": rows, "next": after})


def _csv(rows: list[dict[str, Any]]) -> Response:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
    for row in rows:
        writer.writerow("" if value is None else value for value in row.values())
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8")
